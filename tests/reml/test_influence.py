"""Leverage, deletion diagnostics and residuals: against lme4, and against refits done by hand."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.pls.projection import Projection

TESTS = Path(__file__).resolve().parent.parent
REFERENCE = json.loads((TESTS / "reference" / "diagnostics" / "lme4.json").read_text())
LEFT_OUT = [
    2,
    3,
    5,
    17,
    18,
    40,
    41,
    42,
    43,
    44,
    45,
    99,
    100,
    101,
    150,
]  # rows of sleepstudy, from 1, as in the generator


def reference_fit(name):
    data = pd.read_csv(TESTS / "data" / f"{name}.csv")
    if name == "sleepstudy":
        data = data.drop(index=[row - 1 for row in LEFT_OUT])
        return mx.lmer("Reaction ~ Days + (Days | Subject)", data), "Subject"
    return mx.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data), "sample"


@pytest.fixture(params=sorted(REFERENCE))
def case(request):
    fit, by = reference_fit(request.param)
    return fit, by, REFERENCE[request.param]


def test_leverage_and_studentised_residuals_equal_lme4(case):
    """To 1e-6 and 1e-5: lme4's theta is right to about 1e-6."""
    fit, _, expected = case
    np.testing.assert_allclose(fit.leverage(), expected["hat"], atol=1e-6)
    standardised = fit.residuals("standardized")
    np.testing.assert_allclose(standardised, expected["studentised"], atol=1e-5)


def test_refits_without_each_group_equal_lme4(case):
    """lme4 gives without minus with, and multiplies Cook's distance by (groups - p) / groups."""
    fit, by, expected = case
    found = fit.influence(by=by, refit=True)
    assert [str(g) for g in found.dfbeta.index] == expected["groups"]
    se = np.sqrt(np.diag(fit.vcov))
    gap = (found.dfbeta.to_numpy() + np.reshape(expected["dfbeta"], found.dfbeta.shape)) / se
    assert np.abs(gap).max() < 1e-5
    q, p = found.dfbeta.shape
    np.testing.assert_allclose(found.cooks_distance * (q - p) / q, expected["cooks"], rtol=1e-4, atol=1e-7)


VARIANCES = {
    "sleepstudy": {
        "sigma^2": "sigma",
        "v[(Intercept)]": "Subject: sd__Intercept",
        "v[Days]": "Subject: sd__Days",
        "C[Days,(Intercept)]": "Subject: cor__Intercept.Days",
    },
    "penicillin": {
        "sigma^2": "sigma",
        "plate:v[(Intercept)]": "plate: sd__Intercept",
        "sample:v[(Intercept)]": "sample: sd__Intercept",
    },
}


def test_variances_without_each_group_equal_lme4(case, request):
    """To 2e-4: a variance moves with theta to first order, and refits of lme4 stop at some 1e-4 of it."""
    fit, by, expected = case
    names = VARIANCES[request.node.callspec.params["case"]]
    assert sorted(expected["names"]) == sorted(names)
    found = fit.influence(by=by, refit=True).varcorr
    assert found is not None
    for theirs, values in zip(expected["names"], np.transpose(expected["varcomps"]), strict=True):
        mine, scale = found[names[theirs]] ** 2, np.abs(values)
        if theirs.startswith("C["):  # a covariance is compared with the sds it stands between
            scale = found["Subject: sd__Intercept"] * found["Subject: sd__Days"]
            mine = found[names[theirs]] * scale
        assert (np.abs(mine - values) / scale).max() < 2e-4


def test_refits_without_each_row_equal_lme4(case):
    """To 5e-4 of a standard error, which is lme4's: where the two differ most, a fit of the other rows is the judge."""
    fit, _, expected = case
    found = fit.influence(refit=True)
    se = np.sqrt(np.diag(fit.vcov))
    gap = np.abs(found.dfbeta.to_numpy() + np.reshape(expected["row_dfbeta"], found.dfbeta.shape)) / se
    assert gap.max() < 5e-4
    worst = int(gap.max(axis=1).argmax())
    left = mx.lmer(fit.formula, fit.design.frame.drop(index=fit.design.frame.index[worst]))
    assert np.abs((fit.fixef - left.fixef - found.dfbeta.iloc[worst]) / se).max() < 1e-5


def data_with_weights(seed=4):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 9, 120), rng.integers(0, 5, 120)
    x = rng.normal(size=120)
    y = 1 + x + rng.normal(size=9)[g] + x * rng.normal(size=9)[g] + rng.normal(size=5)[h] + rng.normal(size=120)
    columns = {"y": y, "x": x, "g": g.astype(str), "h": h.astype(str), "w": rng.uniform(0.5, 3, 120)}
    return pd.DataFrame(columns)


def dense(fit):
    """Weighted rows, and V, P, H of a fit in units of sigma^2, from matrices."""
    design, root = fit.design, np.sqrt(fit.design.weights)
    Z = fit.design_for().random.toarray() * root[:, None]
    G = np.zeros((Z.shape[1], Z.shape[1]))
    for t, (term, T) in enumerate(zip(design.random, fit.solution.factors, strict=True)):
        for j in range(term.n_levels):
            rows = slice(design.starts[t] + j * term.n_columns, design.starts[t] + (j + 1) * term.n_columns)
            G[rows, rows] = T @ T.T
    X, y = design.X * root[:, None], (design.y - design.offset) * root
    V = np.eye(len(y)) + Z @ G @ Z.T
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    return X, y, V, P


@pytest.mark.parametrize(
    "formula", ["y ~ x + (1 + x | g)", "y ~ x + (1 + x | g) + (1 | h)", "y ~ x + (1 | g) + (1 | h)"]
)
class TestProjection:
    def fit(self, formula):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return mx.lmer(formula, data_with_weights(), weights="w")

    def test_leverage_and_residuals_equal_the_dense_formula(self, formula):
        """To 1e-9: two inverses of matrices of order 120."""
        fit = self.fit(formula)
        _, y, V, P = dense(fit)
        np.testing.assert_allclose(fit.leverage(), 1 - np.diag(P), atol=1e-9)
        root = np.sqrt(fit.design.weights)
        standard = (P @ y) / (fit.sigma * np.sqrt(np.diag(P)))
        np.testing.assert_allclose(fit.residuals("standardized"), standard, atol=1e-8)
        spread = fit.sigma**2 * V / np.outer(root, root) - fit.design.X @ fit.vcov.to_numpy() @ fit.design.X.T
        marginal = fit.design.y - fit.design.X @ fit.fixef.to_numpy()
        np.testing.assert_allclose(fit.residuals("marginal"), marginal, atol=1e-10)
        expected = marginal / np.sqrt(np.diag(spread))
        np.testing.assert_allclose(fit.residuals("marginal_standardized"), expected, atol=1e-8)

    def test_deletion_at_fixed_theta_is_generalised_least_squares_without_the_rows(self, formula):
        fit = self.fit(formula)
        X, y, V, _ = dense(fit)
        by_group, by_row = fit.influence(by="g"), fit.influence()
        for level in ("0", "5"):
            keep = (fit.design.frame["g"] != level).to_numpy()
            A = X[keep].T @ np.linalg.inv(V[np.ix_(keep, keep)])
            left = np.linalg.solve(A @ X[keep], A @ y[keep])
            np.testing.assert_allclose(by_group.dfbeta.loc[level], fit.fixef - left, atol=1e-9)
        keep = np.arange(120) != 17
        A = X[keep].T @ np.linalg.inv(V[np.ix_(keep, keep)])
        change = fit.fixef.to_numpy() - np.linalg.solve(A @ X[keep], A @ y[keep])
        np.testing.assert_allclose(by_row.dfbeta.iloc[17], change, atol=1e-9)
        distance = change @ np.linalg.solve(fit.vcov.to_numpy(), change) / 2
        assert by_row.cooks_distance.iloc[17] == pytest.approx(distance, rel=1e-8)
        np.testing.assert_allclose(by_row.dfbetas.iloc[17], change / np.sqrt(np.diag(fit.vcov)), rtol=1e-8)

    def test_least_confounded_residuals_are_uncorrelated(self, formula):
        """v_k'(I - H)v_l / sqrt(d_k d_l) is the identity; here the sum of squares is the penalised one over sigma^2."""
        fit = self.fit(formula)
        _, y, _, P = dense(fit)
        found = fit.least_confounded()
        assert len(found) == 118  # n - p
        assert (found["residual"] ** 2).sum() == pytest.approx(float(y @ P @ y) / fit.sigma**2, rel=1e-8)
        assert found["confounded"].is_monotonic_increasing


def test_a_refit_without_a_group_is_the_fit_of_the_other_rows():
    """The warm start ends at the optimum of the data without the group: 1e-5 of a standard error."""
    data = data_with_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ x + (1 + x | g)", data)
        left = mx.lmer("y ~ x + (1 + x | g)", data[data["g"] != "3"])
    found = fit.influence(by="g", refit=True)
    np.testing.assert_allclose(fit.fixef - found.dfbeta.loc["3"], left.fixef, atol=1e-5)
    assert found.varcorr is not None
    assert found.varcorr.loc["3", "sigma"] == pytest.approx(left.sigma, rel=1e-5)
    assert found.varcorr.loc["3", "g: sd__x"] == pytest.approx(left.varcorr["sdcor"][1], rel=1e-3)


def test_influence_of_a_group_that_alone_determines_a_coefficient_is_nan():
    data = data_with_weights()
    data["only"] = (data["g"] == "2").astype(float) * data["x"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ x + only + (1 | g)", data)
    for refit in (False, True):
        found = fit.influence(by="g", refit=refit)
        assert found.failed == ("2",)
        assert found.dfbeta.drop("2").notna().all().all()


def test_an_unknown_grouping_is_refused():
    fit, _ = reference_fit("penicillin")
    with pytest.raises(mx.errors.OptionError, match="no grouping factor or column"):
        fit.influence(by="school")


def test_leverage_sums_to_the_effective_number_of_parameters():
    """The trace of H lies between p and p + q, and one factor's closed form equals the general one."""
    data = data_with_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ x + (1 + x | g)", data)
    rows = fit.design_for()
    general = fit.solution.joint.variances(rows.fixed, rows.random) / fit.sigma**2
    np.testing.assert_allclose(fit.leverage(), general, rtol=1e-9)
    assert isinstance(fit.projection, Projection)
    assert 2 < fit.leverage().sum() < 2 + 18


def test_it_prints_the_most_influential_sets_with_every_column():
    fit, by = reference_fit("sleepstudy")
    found = fit.influence(by=by, refit=True)
    text = repr(found)
    assert text.startswith("Influence of each Subject (the 10 most influential of 18; theta estimated anew)")
    assert all(column in text for column in found.table.columns)
    assert max(map(len, text.splitlines())) <= 100
    assert found._repr_html_().count("<tr") == 12
