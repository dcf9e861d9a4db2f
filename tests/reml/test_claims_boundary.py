"""A zero off the diagonal is a correlation of zero and no boundary; a zero on it is one.

Balanced data whose groups' coefficients have given sums of squares and products: the analysis of variance gives the
REML estimates in closed form. With G groups, the same rows x (m, k) of orthogonal columns in each, residuals that sum
to RSS over G (m - k) degrees of freedom, and coefficients of the groups with covariance S (k, k) around their mean,

    sigma^2 = RSS / (G (m - k)),    Sigma = S - sigma^2 (x'x)^-1,

wherever Sigma is positive definite (Searle, Casella & McCulloch 1992, section 4.9, column by column).
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.errors import SingularFitWarning
from mixedfx.reml.lmer import lmer
from mixedfx.results.optimization import Outcome

FORMULAS = {2: "y ~ a + (1 + a | g)", 3: "y ~ a + b + (1 + a + b | g)"}
GROUPS, ROWS = 12, 6


def balanced(Sigma, shift, seed, sigma=0.7):
    """Data whose REML estimates are `Sigma`, for covariates a and b around zero, and `sigma`; a is moved by `shift`."""
    k, rng = len(Sigma), np.random.default_rng(seed)
    a = np.array([-3.0, -1.0, -1.0, 1.0, 1.0, 3.0])
    b = np.array([1.0, -2.0, 1.0, 1.0, -2.0, 1.0])  # orthogonal to the constant and to a
    x = np.column_stack([np.ones(ROWS), a, b])[:, :k]
    S = Sigma + sigma**2 * np.linalg.inv(x.T @ x)
    raw = rng.normal(size=(GROUPS, k))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(raw.T @ raw / (GROUPS - 1))).T
    coefficients = [5.0, 1.0, -0.5][:k] + white @ np.linalg.cholesky(S).T
    e = rng.normal(size=(GROUPS, ROWS))
    e -= e @ x @ np.linalg.inv(x.T @ x) @ x.T
    e *= sigma * np.sqrt(GROUPS * (ROWS - k) / (e**2).sum())
    frame = {"y": (coefficients @ x.T + e).ravel(), "g": np.repeat(np.arange(GROUPS), ROWS)}
    return pd.DataFrame({**frame, "a": np.tile(a + shift, GROUPS), "b": np.tile(b, GROUPS)})


def estimated(fit, k):
    """(k, k) covariance of the effects of a level."""
    out = np.zeros((k, k))
    names = ["Intercept", "a", "b"][:k]
    for row in fit.varcorr[fit.varcorr["grp"] == "g"].itertuples():
        i = names.index(row.var1)
        j = i if not isinstance(row.var2, str) else names.index(row.var2)
        out[i, j] = out[j, i] = row.vcov
    return out


def moved(Sigma, shift):
    """The same covariance for effects with the covariate a measured from elsewhere."""
    A = np.eye(len(Sigma))
    A[0, 1] = -shift
    return A @ Sigma @ A.T


@settings(max_examples=15)
@given(
    k=st.sampled_from([2, 3]),
    sds=st.tuples(*[st.floats(0.3, 3.0)] * 3),
    shift=st.sampled_from([0.0, 2.0, -5.0]),
    seed=st.integers(0, 1000),
)
def test_an_uncorrelated_balanced_design_stays_interior(k, sds, shift, seed):
    """Wherever the covariate is measured from: its correlations are zero in one place, and that is no boundary."""
    Sigma = np.diag(np.square(sds[:k]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SingularFitWarning)
        fit = lmer(FORMULAS[k], balanced(Sigma, shift, seed))
    assert fit.optimization.outcome is Outcome.INTERIOR
    assert fit.optimization.converged
    assert not fit.singular
    assert fit.sigma == pytest.approx(0.7, rel=1e-5)
    # The criterion is known to 1e-9, and is quadratic: its minimum to about the root of that, of the largest sd.
    expected = moved(Sigma, shift)
    np.testing.assert_allclose(estimated(fit, k), expected, atol=3e-4 * expected.max())


@pytest.mark.parametrize("rho", [-3e-4, 3e-4, 2e-3])
def test_a_small_correlation_is_estimated_and_not_put_on_zero(rho):
    """Within the reach of what is tried at zero on the diagonal (1e-3 in theta), or just beyond."""
    Sigma = np.array([[1.0, rho], [rho, 1.0]])
    fit = lmer(FORMULAS[2], balanced(Sigma, 0.0, 4))
    assert fit.optimization.outcome is Outcome.INTERIOR
    cor = estimated(fit, 2)[0, 1]
    # The gradient at the answer certifies it to about 1e-5 of a standard deviation.
    assert cor == pytest.approx(rho, abs=5e-5)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.SingularFitWarning")
def test_a_variance_of_zero_is_a_boundary():
    """The slopes vary less than their estimates' errors, so that the slopes' own variance is estimated as zero."""
    Sigma = np.diag([1.0, -0.5 * 0.7**2 / 22.0])
    fit = lmer(FORMULAS[2], balanced(Sigma, 0.0, 4))
    assert fit.optimization.outcome is Outcome.BOUNDARY
    assert fit.singular
    assert estimated(fit, 2)[1, 1] < 1e-6
