"""What `check` looks at is standardised: modes by their own variance, and p values uniform where the model holds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixedfx.inference.checks import CheckInput, quadratic_form_p_value
from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def given(fit):
    return CheckInput(fit.projection, fit.sigma, fit.solution.factors)


def test_modes_of_a_balanced_fit_have_a_mean_square_of_one():
    """With B = tau^2 / (tau^2 + sigma^2 / n) a mode is B times the deviation of the group's mean.

    Its variance is tau^2 B (q - 1) / q, and REML makes the sum of squared deviations (q - 1) (tau^2 + sigma^2 / n).
    """
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(15), 4)
    fit = lmer("y ~ 1 + (1 | g)", pd.DataFrame({"y": rng.normal(size=15)[g] + rng.normal(size=60), "g": g}))
    assert fit.theta.iloc[0] > 0.3
    modes = given(fit).modes[0]
    assert np.mean(modes**2) == pytest.approx(1.0, rel=1e-5)


def test_modes_are_standardised_by_their_own_variance():
    """Groups of very different size: var(u-hat) by the dense formula D Z'P Z D."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(9), [2, 2, 3, 5, 8, 12, 20, 30, 3])
    x = rng.normal(size=len(g))
    frame = pd.DataFrame({"x": x, "g": g, "w": rng.choice([0.3, 2.0], len(g))})
    frame["y"] = rng.normal(size=9)[g] + (1 + 0.8 * rng.normal(size=9))[g] * x + rng.normal(size=len(g))
    fit = lmer("y ~ x + (1 + x | g)", frame, weights="w")
    Z = fit.design_for().random.toarray()
    T = fit.solution.factors[0]
    D = np.kron(np.eye(9), fit.sigma**2 * T @ T.T)
    X = fit.design.X
    inverse = np.linalg.inv(Z @ D @ Z.T + fit.sigma**2 * np.diag(1 / frame["w"]))
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    expected = fit.solution.u / np.sqrt(np.diag(D @ Z.T @ P @ Z @ D))
    np.testing.assert_allclose(given(fit).modes[0].ravel(), expected, rtol=1e-6)


def test_residuals_fitted_values_and_leverage_are_those_of_the_rows():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=80), "g": np.repeat(np.arange(8), 10), "o": rng.normal(size=80)})
    frame["w"] = rng.choice([0.2, 1.0, 4.0], 80)
    frame["y"] = frame["x"] + rng.normal(size=8)[frame["g"]] + frame["o"] + rng.normal(size=80) / np.sqrt(frame["w"])
    fit = lmer("y ~ x + (1 | g)", frame, weights="w", offset="o")
    seen = given(fit)
    np.testing.assert_allclose(seen.fitted, fit.fitted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(seen.residual, fit.residuals("standardized"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weights", [np.ones(1), np.ones(7), np.array([3.0, 1.0, 0.2, 0.05]), 0.6 ** np.arange(12)])
def test_tails_of_sums_of_chi_squares(weights):
    """One weight or equal ones are chi square exactly; others against 200,000 draws, in which a share has an error.

    Four moments are matched, so that beyond sampling error a tail of a few percent is right to a tenth of itself.
    """
    draws = np.random.default_rng(1).chisquare(1, (200_000, len(weights))) @ weights
    for share in (0.5, 0.1, 0.02):
        at = float(np.quantile(draws, 1 - share))
        found = quadratic_form_p_value(at, weights)
        error = np.sqrt(share * (1 - share) / 200_000)
        assert found == pytest.approx(share, abs=5 * error + 0.1 * share)
        if np.ptp(weights) == 0:
            assert found == pytest.approx(stats.chi2.sf(at / weights[0], len(weights)), rel=1e-6)
