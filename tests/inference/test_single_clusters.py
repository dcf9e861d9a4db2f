"""Cluster-robust standard errors of what one cluster alone tells are no standard errors, and that is said."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import SingleClusterWarning


def study(seed: int, clusters: int = 9, rows: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), rows)
    data = pd.DataFrame({"g": g, "cl": [f"c{i}" for i in g], "x": rng.normal(size=len(g))})
    data["y"] = rng.normal(size=clusters)[g] + rng.normal(size=len(g))
    return data


def fitted(formula: str, data: pd.DataFrame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mx.lmer(formula, data)


def heard(question) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        question()
    return [str(w.message) for w in caught if issubclass(w.category, SingleClusterWarning)]


def robust(fit, kind="CR2"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit.vcov_robust(kind)


PREDICTORS = {
    "dummy": lambda d, own: np.where(d["g"].isin(own), 1.0, 0.0),
    "dose": lambda d, own: np.where(d["g"].isin(own), 2.5 + d["g"], 0.0),
    "covariate": lambda d, own: np.where(d["g"].isin(own), d["x"] - 3.0, 0.0),
    "factor": lambda d, own: np.where(d["g"].isin(own), "new", np.where(d["g"] % 2 == 1, "other", "old")),
}


@settings(max_examples=20)
@given(
    st.integers(0, 10_000), st.sampled_from(list(PREDICTORS)), st.sets(st.integers(0, 8), min_size=1, max_size=2),
    st.sampled_from(["z + x", "z * x"]),
)  # fmt: skip
def test_a_predictor_of_one_cluster_is_named_and_one_of_two_is_not(seed, what, own, fixed):
    data = study(seed)
    data["z"] = PREDICTORS[what](data, own)
    fit = fitted(f"y ~ {fixed} + (1 | cl)", data)
    told = heard(lambda: fit.vcov_robust("CR2"))
    if len(own) > 1:
        assert told == []
        return
    (message,) = told
    name = next(n for n in fit.fixef.index if n in ("z", "z[old]"))
    assert message.startswith(f"cl c{next(iter(own))} alone tells ")
    assert f" {name}" in message
    vcov = robust(fit)
    for question in (
        lambda: fit.tidy(vcov=vcov),
        lambda: fit.tidy(vcov=vcov, ddf="normal"),
        lambda: fit.test(name, vcov=vcov),
        lambda: fit.test([name, "x"], vcov=vcov),
        lambda: fit.anova("II", vcov=vcov),
        lambda: fit.confint(method="wald", vcov=vcov),
        lambda: str(fit.summary(vcov=vcov)),
    ):
        assert any(message.split(" alone")[0] in text for text in heard(question))
    if fixed == "z + x" or what != "factor":  # else x is the slope in the arm that one cluster has
        assert heard(lambda: fit.test("x", vcov=vcov)) == []
    assert heard(lambda: fit.tidy()) == []


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(4, 8), st.integers(1, 3))
def test_what_is_named_is_what_is_not_estimable_without_the_cluster_and_where_cr2_is_biased(seed, clusters, singles):
    """By brute force: rank of X without each cluster, and the expectation of CR2 under the model."""
    rng = np.random.default_rng(seed)
    data = study(seed, clusters)
    for k in range(singles):
        own = rng.choice(clusters, rng.integers(1, 3), replace=False)
        data[f"z{k}"] = np.where(data["g"].isin(own), 1.0 + 0.5 * data["g"], 0.0)
    fit = fitted(f"y ~ x + {' + '.join(f'z{k}' for k in range(singles))} + (1 | cl)", data)
    found = robust(fit)
    X, p, M = fit.design.X, len(fit.fixef), found.model
    contrasts = np.vstack([np.eye(p), rng.normal(size=(3, p))])
    concerned = {found.single.labels[i]: set(rows) for i, rows in enumerate(found.single.rests_on(contrasts))}
    for c in range(clusters):
        rest = X[data["g"].to_numpy() != c]
        gap = rest.T @ np.linalg.lstsq(rest.T, contrasts.T, rcond=1e-9)[0] - contrasts.T
        lost = set(np.flatnonzero(np.abs(gap).max(axis=0) > 1e-7).tolist())
        shown = concerned.get(f"c{c}", set())
        assert shown <= lost
        # a random contrast may have less than a hundredth of its variance in what the cluster alone tells
        assert all(s >= p for s in lost - shown)
    expected = M @ (found.within.sum(0) - np.einsum("jpr,ps,jst->rt", found.across, M, found.across)) @ M
    biased = set(np.flatnonzero(np.diag(expected) < (1.0 - 1e-6) * np.diag(M)).tolist())
    named = set().union(*concerned.values())
    assert biased == {s for s in named if s < p}


def test_levels_and_contrasts_of_a_factor_are_told_apart():
    """Three arms, one of them in a single school: comparisons of the other two are what they were."""
    data = study(1)
    data["arm"] = np.where(data["g"] == 0, "pilot", np.where(data["g"] % 2 == 1, "a", "b"))
    fit = fitted("y ~ arm + (1 | cl)", data)
    vcov = robust(fit)
    means = mx.emmeans(fit, "arm", vcov=vcov)
    (message,) = set(heard(lambda: means.table))
    assert "cl c0 alone tells arm[pilot]" in message
    assert heard(lambda: fit.test("arm[b]", vcov=vcov)) == []
    assert heard(lambda: fit.test({"arm[b]": 1.0, "arm[pilot]": -1.0}, vcov=vcov)) != []
    for kind in ("CR0", "CR1"):
        assert f"its {kind} standard error" in heard(lambda kind=kind: fit.vcov_robust(kind))[0]


def test_clusters_given_as_a_column_or_as_values_are_named():
    data = study(2)
    data["pilot"] = (data["g"] == 4) * 1.0
    data["district"] = data["g"] // 2 * 10
    fit = fitted("y ~ pilot + district + (1 | cl)", data)
    assert "district 20 alone tells pilot" in heard(lambda: fit.vcov_robust(cluster="district"))[0]
    assert "cluster 4 alone tells pilot" in heard(lambda: fit.vcov_robust(cluster=data["g"].to_numpy()))[0]
