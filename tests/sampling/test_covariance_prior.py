"""The prior of a covariance, stated in one basis and evaluated in another: density, gradient and draws.

The basis of the prior is reached by a shift of the covariates, as from their means to zero, and by triangular matrices
with a determinant of their own.
"""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import stats

from mixedfx import priors
from mixedfx.covariance.structures import structure_for
from mixedfx.covariance.unconstrained import Layout, coordinates_of, correlation_factor, log_one_minus_square
from mixedfx.priors.resolve import TermPrior
from mixedfx.sampling.covariance_prior import CovariancePrior

SIZES = [1, 2, 3, 4]


def sampled_of(k, correlated=True):
    """Coordinates of a term of k columns."""
    return structure_for(k, "us" if correlated else "diag").sampled


def kinds(k):
    """Priors of the k standard deviations: one for each, of every shape, and decov."""
    each = (priors.half_normal(1.3), priors.exponential(0.7), priors.half_student_t(3, 2.0), priors.gamma(2.0, 1.5))
    return {"each": each[:k], "decov": priors.decov(1.3, 1.5, 1.2, 0.8)}


def shift(m):
    """From effects at the means m of k - 1 covariates to effects at zero."""
    A = np.eye(len(m) + 1)
    A[0, 1:] = -np.asarray(m)
    return A


def across(k, seed=0):
    rng = np.random.default_rng([seed, k])
    return np.triu(rng.normal(size=(k, k)), 1) + np.diag(rng.uniform(0.5, 2.0, k))


def density(prior, log_sd, y, log_sigma):
    return prior.log_density(log_sd, y, factor(log_sd, y), log_sigma)


def factor(log_sd, y):
    return np.exp(log_sd)[:, :, None] * correlation_factor(y, log_sd.shape[1])


def points(k, count=4, correlated=True, seed=0):
    rng = np.random.default_rng([seed, k])
    return (
        0.6 * rng.normal(size=(count, k)),
        0.7 * rng.normal(size=(count, k * (k - 1) // 2 if correlated else 0)),
        0.3 * rng.normal(size=count),
    )


@pytest.mark.parametrize("kind", ["each", "decov"])
@pytest.mark.parametrize("k", SIZES)
def test_the_density_is_that_of_the_other_basis_times_the_jacobian_by_differences(k, kind):
    """Coordinates in one basis as a function of those in the other: the determinant of the differences, to 1e-7."""
    there = CovariancePrior(TermPrior(kinds(k)[kind], 1.7), sampled_of(k))
    A = across(k)
    here = CovariancePrior(there.prior, sampled_of(k), A)
    log_sd, y, log_sigma = points(k)

    def moved(x):
        return np.concatenate(coordinates_of(A @ factor(x[None, :k], x[None, k:])), axis=1)[0]

    for d in range(len(log_sd)):
        x = np.concatenate([log_sd[d], y[d]])
        J = np.array([(moved(x + h) - moved(x - h)) / 2e-5 for h in 1e-5 * np.eye(len(x))])
        other = moved(x)[None]
        expected = density(there, other[:, :k], other[:, k:], log_sigma[d : d + 1])[0] + np.linalg.slogdet(J)[1]
        found = density(here, log_sd[d : d + 1], y[d : d + 1], log_sigma[d : d + 1])[0]
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["each", "decov"])
@pytest.mark.parametrize("k", SIZES)
def test_no_change_of_basis_changes_nothing(k, kind):
    prior = TermPrior(kinds(k)[kind], 2.0)
    log_sd, y, log_sigma = points(k)
    plain, same = CovariancePrior(prior, sampled_of(k)), CovariancePrior(prior, sampled_of(k), np.eye(k))
    args = (log_sd, y, factor(log_sd, y), log_sigma)
    np.testing.assert_allclose(same.log_density(*args), plain.log_density(*args), rtol=0, atol=1e-11)
    for one, other in zip(same.gradient(*args), plain.gradient(*args), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("kind", ["each", "decov"])
@pytest.mark.parametrize("k", SIZES)
def test_the_gradient_is_that_of_the_density(k, kind, moved, correlated):
    prior = CovariancePrior(
        TermPrior(kinds(k)[kind], 1.4), sampled_of(k, correlated), across(k) if moved and correlated else None
    )
    log_sd, y, log_sigma = points(k, correlated=correlated)
    found = np.concatenate(
        [part.reshape(len(y), -1) for part in prior.gradient(log_sd, y, factor(log_sd, y), log_sigma)], axis=1
    )
    x = np.concatenate([log_sd, y, log_sigma[:, None]], axis=1)

    def value(x):
        return density(prior, x[:, :k], x[:, k:-1], x[:, -1])

    numeric = np.column_stack([(value(x + h) - value(x - h)) / 2e-5 for h in 1e-5 * np.eye(x.shape[1])])
    np.testing.assert_allclose(found, numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("m", [0.0, 1.0, 2e3, 1e6, -1e6])
@pytest.mark.parametrize("eta", [1.0, 2.5])
def test_shifts_of_a_million_standard_deviations_keep_their_digits(m, eta):
    """Two columns, in sixty digits by the definition: sd at zero, 1 - rho^2 as it is, and the volume of each basis."""
    getcontext().prec = 60
    prior = CovariancePrior(
        TermPrior((priors.half_student_t(3, 2.0), priors.half_normal(0.5)), eta), sampled_of(2), shift([m])
    )
    log_sd, y, log_sigma = points(2, count=6, seed=3)
    found = density(prior, log_sd, y, log_sigma)
    gradient = prior.gradient(log_sd, y, factor(log_sd, y), log_sigma)
    assert all(np.isfinite(part).all() for part in gradient)
    for d in range(len(y)):
        s0, s1 = (Decimal(float(value)) for value in np.exp(log_sd[d]))
        rho, m_ = Decimal(float(np.tanh(y[d, 0]))), Decimal(m)
        sd = (s0**2 - 2 * m_ * rho * s0 * s1 + m_**2 * s1**2).sqrt()
        left = 1 - ((rho * s0 * s1 - m_ * s1**2) / (sd * s1)) ** 2
        of_matrix = (  # density of the covariance matrix at zero: |dSigma| = 4 (sd s1)^3 |d (log sd, rho)|
            stats.t(3, 0, 2).logpdf(float(sd)) + stats.norm(0, 0.5).logpdf(float(s1)) + 2 * np.log(2)
            + float((sd * s1).ln()) + (eta - 1) * float(left.ln())
            - np.log(4) - 3 * float((sd * s1).ln()) - Layout(2).log_lkj_constant(eta)
        )  # fmt: skip
        volume = Layout(2).log_volume(log_sd[d : d + 1], log_one_minus_square(y[d : d + 1]))[0]
        assert found[d] == pytest.approx(of_matrix + volume, abs=1e-9)


@pytest.mark.parametrize("kind", ["each", "decov"])
@pytest.mark.parametrize("k", [2, 3])
def test_draws_have_the_density(k, kind):
    """The mean of q / p over draws of p is one, q a normal density inside."""
    prior = CovariancePrior(TermPrior(kinds(k)[kind], 1.7), sampled_of(k), across(k))
    log_sd, y = prior.draw(np.random.default_rng(7), np.full(40_000, 0.2))
    x = np.concatenate([log_sd, y], axis=1)
    inside = stats.multivariate_normal(np.median(x, axis=0), np.cov(x.T) / 4)
    ratio = np.exp(inside.logpdf(x) - density(prior, log_sd, y, np.full(len(x), 0.2)))
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.05
    assert ratio.mean() == pytest.approx(1, abs=4.5 * error)


def test_draws_at_zero_are_those_of_the_means_moved_there():
    """Standard deviation at zero of a prior stated at the means: that of a line, m covariates away."""
    prior = TermPrior((priors.half_normal(1.0), priors.half_normal(0.5)), 2.0)
    stated = CovariancePrior(prior, sampled_of(2))
    moved = CovariancePrior(prior, sampled_of(2), shift([-3.0]))  # sampled at zero, stated three units on
    one, other = (p.draw(np.random.default_rng(1), np.zeros(20_000)) for p in (stated, moved))
    back = shift([3.0]) @ factor(*one)
    np.testing.assert_allclose(factor(*other) @ factor(*other).transpose(0, 2, 1), back @ back.transpose(0, 2, 1))
