"""Averages, shares and simulated tests by their definitions, where balance hides nothing.

Groups and cells of unequal size, several factors to average over, weights and offsets: formulas that agree in balanced
data give different numbers here, and each is compared with its definition written out.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.inference.variance_explained import variance_parts

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def frame():
    """Three factors that go together, groups of 2 to 30 rows, weights and an offset."""
    rng = np.random.default_rng(14)
    n = 400
    g = np.repeat(np.arange(25), rng.multinomial(n - 50, rng.dirichlet(np.full(25, 0.7))) + 2)
    a = rng.integers(0, 3, n)
    b = (a + (rng.random(n) < 0.4) + (rng.random(n) < 0.3)) % 3
    c = (rng.random(n) < 0.2 + 0.25 * b).astype(int)
    y = 0.5 * a - 0.8 * b * c + 0.4 * b + rng.normal(size=25)[g] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "g": g.astype(str), "w": rng.choice([0.2, 1.0, 5.0], n), "o": rng.normal(size=n)})
    for name, values in (("a", a), ("b", b), ("c", c)):
        data[name] = np.char.add(name, values.astype(str)).astype(object)
    return data.assign(x=rng.normal(2.0, 1.0, n))


@pytest.mark.parametrize("weights", ["equal", "proportional", "outer", "cells"])
@pytest.mark.parametrize("names", [["a"], ["b"], ["a", "c"]])
def test_marginal_means_are_averages_with_their_weights(frame, weights, names):
    """Two or one other factors: with two, shares of combinations and products of shares differ."""
    fit = mx.lmer("y ~ a*b*c + (1 | g)", frame)
    found = mx.emmeans(fit, names, weights=weights).table
    levels = {name: sorted(frame[name].unique()) for name in "abc"}
    others = [name for name in "abc" if name not in names]
    mean = {}
    grid = pd.DataFrame(list(itertools.product(*levels.values())), columns=list("abc")).assign(g="0")
    for row, value in zip(
        grid.itertuples(index=False), fit.predict(grid, new_levels="population", groups="average"), strict=True
    ):
        mean[row.a, row.b, row.c] = value
    for _, row in found.iterrows():
        total = size = 0.0
        for combination in itertools.product(*(levels[name] for name in others)):
            cell = {name: row[name] for name in names} | dict(zip(others, combination, strict=True))
            among = np.ones(len(frame), dtype=bool)
            for name in others:
                among &= (frame[name] == cell[name]).to_numpy()
            if weights == "equal":
                share = 1.0
            elif weights == "proportional":
                share = among.mean()
            elif weights == "outer":
                share = np.prod([(frame[name] == cell[name]).mean() for name in others])
            else:
                for name in names:
                    among &= (frame[name] == cell[name]).to_numpy()
                share = among.mean()
            total += share * mean[cell["a"], cell["b"], cell["c"]]
            size += share
        assert row["emmean"] == pytest.approx(total / size, rel=1e-8)


def test_the_design_effect_of_unequal_groups(frame):
    """What clustering multiplies the variance of the mean of all rows by, computed from their covariance matrix."""
    fit = mx.lmer("y ~ 1 + (1 | g)", frame)
    row = fit.icc().iloc[0]
    tau2, sigma2 = fit.varcorr["vcov"]
    same = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy()
    V = tau2 * same + sigma2 * np.eye(len(frame))
    assert row["design_effect"] == pytest.approx(V.sum() / (len(frame) * (tau2 + sigma2)), rel=1e-9)
    sizes = frame.groupby("g").size()
    assert row["size"] == pytest.approx((sizes**2).sum() / sizes.sum(), rel=1e-12)
    assert sizes.max() > 3 * sizes.mean()


def test_known_standard_errors_and_weights_enter_by_the_mean_variance_of_a_row(frame):
    """Of a posterior with se(s): the mean of s^2, not the square of the mean."""
    few = frame.head(120).assign(s=np.linspace(0.2, 3.0, 120))
    fit = mx.bayes("y | se(s) ~ x + (1 | g)", few, seed=1, draws=1000)
    found = variance_parts(fit.design, fit.fixef.to_numpy(), fit.covariance_factors, 1.0).residual
    assert found == pytest.approx(float(np.mean(few["s"] ** 2)), rel=1e-9)
    weighted = mx.lmer("y ~ x + (1 | g)", frame, weights="w")
    parts = weighted.r2(by="term")
    residual = float(parts.loc[parts["part"] == "residual", "variance"].iloc[0])
    assert residual == pytest.approx(weighted.sigma**2 * float(np.mean(1 / frame["w"])), rel=1e-9)


def test_a_weighted_test_by_simulation_is_that_of_the_rows_multiplied_by_the_root_of_their_weight(frame):
    """One model written twice: every simulated statistic is the same, and with it the p value."""
    root = np.sqrt(frame["w"])
    scaled = frame.assign(one=root, xs=frame["x"] * root, ys=(frame["y"] - frame["o"]) * root)
    weighted = mx.lmer("y ~ x + (1 | g)", frame, weights="w", offset="o").ranova(simulate=60, seed=3).iloc[1]
    plain = mx.lmer("ys ~ 0 + one + xs + (0 + one | g)", scaled).ranova(simulate=60, seed=3).iloc[1]
    assert weighted["lrt"] == pytest.approx(plain["lrt"], abs=1e-6)
    assert weighted["p_simulated"] == plain["p_simulated"]
    # No effect of the groups: a p value within (0, 1), which two null distributions would not share.
    shuffled = frame.assign(g=np.random.default_rng(7).permutation(frame["g"]))
    rescaled = scaled.assign(g=shuffled["g"])
    weighted = mx.lmer("y ~ x + (1 | g)", shuffled, weights="w", offset="o").ranova(simulate=200, seed=3).iloc[1]
    plain = mx.lmer("ys ~ 0 + one + xs + (0 + one | g)", rescaled).ranova(simulate=200, seed=3).iloc[1]
    assert weighted["p_simulated"] == plain["p_simulated"]


def test_draws_without_random_terms_have_the_covariance_of_least_squares(frame):
    """Intercept and slope are strongly correlated where the covariate is far from zero."""
    fit = mx.lmer("y ~ x + a", frame, weights="w")
    draws = fit.draws(20_000, seed=2)
    found = np.cov(np.array([np.ravel(draws["beta", name]) for name in fit.fixef.index]))
    expected = fit.vcov.to_numpy()
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 20_000)
    np.testing.assert_array_less(np.abs(found - expected), 5 * error)
    assert abs(expected[0, 1]) > 0.5 * np.sqrt(expected[0, 0] * expected[1, 1])
