"""Resampled data are rows of the data, and drawn residuals and modes have the variances of the model.

A new response is X beta + e* / sqrt(w). Residuals in units of their row, sqrt(w) (y - fitted), are exchangeable between
rows; centred and reflated to sigma they are what is drawn from, so every drawn response shows which of them it took.
"""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.inference.resampling import cluster_of, resample_rows
from mixedfx.reml.lmer import lmer
from mixedfx.reml.resampling import reflated

WEIGHTS = np.array([0.04, 1.0, 25.0])


@pytest.fixture(scope="module")
def frame():
    """Weights cross groups, and x stands in rows of every weight."""
    rng = np.random.default_rng(12)
    n = 360
    g = np.repeat(np.arange(30), 12)
    w = np.tile(np.repeat(WEIGHTS, 4), 30)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(0, 1.5, 30)[g] + rng.normal(size=n) / np.sqrt(w)
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g, "o": rng.normal(size=n), "light": (w < 0.1).astype(float)})


def response(fit):
    return fit.design.y


def drawn(fit, kind, n, seed):
    """(n, rows) responses of a bootstrap."""
    return fit.bootstrap(n, kind, statistic=response, seed=seed).values


def test_residuals_drawn_are_those_of_the_fit_in_units_of_their_rows(frame):
    """Exactly: each drawn residual is one of the fit's, centred, reflated, and scaled to the row it goes to."""
    fit = lmer("y ~ x", frame, weights="w", offset="o")
    root = np.sqrt(frame["w"].to_numpy())
    mean = fit.fitted.to_numpy()
    pool = (frame["y"].to_numpy() - mean) * root
    pool -= pool.mean()
    pool *= fit.sigma / np.sqrt(np.mean(pool**2))
    found = (drawn(fit, "residual", 20, 3) - mean) * root
    pool = np.sort(pool)
    at = np.clip(np.searchsorted(pool, found), 1, len(pool) - 1)
    nearest = np.minimum(np.abs(found - pool[at - 1]), np.abs(found - pool[at]))
    assert nearest.max() < 1e-9 * fit.sigma
    # Each of the 360 is drawn about 20 times of 7,200: none is left out and none is taken for many.
    counts = np.bincount(np.abs(found.ravel()[:, None] - pool).argmin(axis=1), minlength=len(pool))
    assert counts.min() > 0
    assert counts.max() < 60


@pytest.mark.parametrize("kind", ["residual", "parametric"])
@pytest.mark.parametrize("random", ["", " + (1 | g)"])
def test_each_row_varies_as_its_weight_says(frame, kind, random):
    """The variance around the mean of the population is z'Sigma z + sigma^2 / w_i, by class of weights."""
    fit = lmer("y ~ x" + random, frame, weights="w", offset="o")
    tau2 = float(fit.varcorr["vcov"].iloc[0]) if random else 0.0
    mean = (fit.design.X @ fit.fixef.to_numpy()) + frame["o"].to_numpy()
    n = 60
    square = (drawn(fit, kind, n, 5) - mean) ** 2
    for w in WEIGHTS:
        expected = tau2 + fit.sigma**2 / w
        found = square[:, frame["w"].to_numpy() == w].mean()
        # 120 rows of 30 groups times 60 draws: effects of groups count n * 30 times, residuals n * 120 times, each with
        # a kurtosis of about 3.
        error = np.sqrt(2 * (tau2**2 / 30 + 2 * tau2 * fit.sigma**2 / w / 120 + (fit.sigma**2 / w) ** 2 / 120) / n)
        assert abs(found - expected) < 4.5 * error


@pytest.mark.parametrize("kind", ["residual", "parametric", "cluster"])
def test_coefficients_vary_as_least_squares_with_weights_says(frame, kind):
    """A mean of light rows alone varies 25 times as much as one of rows of weight one would."""
    fit = lmer("y ~ light*x + (1 | g)", frame, weights="w")
    found = fit.bootstrap(1500, kind, statistic="fixed", seed=2).replicates
    ratio = found.var().to_numpy() / np.diag(fit.vcov)
    # Relative error of a variance of 1,500 draws, and of theta between them; groups drawn whole have 30 to draw from,
    # and their variance is that of 30 sums of squares: as a sandwich, within 4 sqrt(2 / 30).
    tolerance = 4 * np.sqrt(2 / 30) if kind == "cluster" else 4 * np.sqrt(2 / 1500) + 0.02
    np.testing.assert_allclose(ratio, 1.0, atol=tolerance)


def test_simulated_responses_vary_as_their_weights_say(frame):
    fit = lmer("y ~ x + (1 | g)", frame, weights="w", offset="o")
    tau2 = float(fit.varcorr["vcov"].iloc[0])
    draws = np.asarray(fit.simulate(400, seed=8))
    draws = draws if draws.shape[0] == len(frame) else draws.T
    for w in WEIGHTS:
        rows = frame["w"].to_numpy() == w
        found = draws[rows].var(axis=1, ddof=1).mean()
        expected = tau2 + fit.sigma**2 / w
        error = np.sqrt(2 * (tau2**2 / 30 + 2 * tau2 * fit.sigma**2 / w / 120 + (fit.sigma**2 / w) ** 2 / 120) / 400)
        assert abs(found - expected) < 4.5 * error


def test_modes_are_centred_where_no_fixed_effect_centres_them():
    """Slopes around one that is not in the fixed part: their mean is in the modes, and must not be drawn from."""
    rng = np.random.default_rng(9)
    g, x = np.repeat(np.arange(25), 8), rng.normal(size=200)
    y = rng.normal(size=25)[g] + (2.0 + 0.5 * rng.normal(size=25))[g] * x + rng.normal(size=200)
    fit = lmer("y ~ 1 + (1 + x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    modes = fit.ranef["g"].to_numpy()
    assert modes[:, 1].mean() > 1.5
    effects, _ = reflated(fit.design, fit.solution)
    np.testing.assert_allclose(effects[0].mean(axis=0), 0.0, atol=1e-10)
    T = fit.solution.factors[0]
    np.testing.assert_allclose(effects[0].T @ effects[0] / 25, fit.sigma**2 * T @ T.T, rtol=1e-9)


def test_resampled_rows_take_all_that_belongs_to_them(frame):
    """Response, X, covariates, offset, known standard errors and the frame: row for row those of the row drawn."""
    data = frame.assign(s=np.linspace(0.5, 2.0, len(frame)), row=np.arange(len(frame)))
    for formula, options in (
        ("y | se(s) ~ x + row + (1 + x | g)", {"offset": "o"}),
        ("y ~ x + row + (1 + x | g)", {"offset": "o", "weights": "w"}),
    ):
        design = build_design(formula, data, sigma_free=False, **options)
        drawn = np.array([4, 4, 17, 0, 29])
        found = resample_rows(design, cluster_of(design), drawn)
        at = found.X[:, design.fixed_names.index("row")].astype(int)
        np.testing.assert_array_equal(at, np.concatenate([np.arange(12 * g, 12 * g + 12) for g in drawn]))
        for name in ("y", "X", "offset", "weights", "known_sd"):
            before, after = getattr(design, name), getattr(found, name)
            assert (before is None) == (after is None)
            if before is not None:
                np.testing.assert_array_equal(after, before[at])
        np.testing.assert_array_equal(found.random[0].z, design.random[0].z[at])
        np.testing.assert_array_equal(found.frame["row"], at)
        np.testing.assert_array_equal(found.random[0].codes, np.repeat(np.arange(5), 12))
