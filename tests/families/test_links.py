"""Every link: inverse and derivative, their logarithms, and what happens far out."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.families.links import LINKS, log1mexp

PROBABILITY = {"logit": stats.logistic, "probit": stats.norm, "cauchit": stats.cauchy, "cloglog": stats.gumbel_l}
POSITIVE = {"log", "inverse", "sqrt"}
links = pytest.mark.parametrize("name", LINKS)


def inside(name):
    """Linear predictors where the link is one to one."""
    return np.linspace(0.1, 4.0, 41) if name in {"inverse", "sqrt"} else np.linspace(-4.0, 4.0, 41)


def test_the_registry_knows_each_link_by_its_name():
    assert set(LINKS) == {"identity", "log", "logit", "probit", "cloglog", "cauchit", "inverse", "sqrt"}
    assert all(link.name == name for name, link in LINKS.items())


@links
def test_the_inverse_undoes_the_link(name):
    link, eta = LINKS[name], inside(name)
    # 1 - mu has relative precision 1e-16 / 2e-24 at cloglog's eta = 4, so the way back is compared where mu is not 1.
    eta = eta[eta < 3] if name == "cloglog" else eta
    np.testing.assert_allclose(link.link(link.inverse(eta)), eta, rtol=1e-7, atol=1e-12)


@links
def test_the_derivative_is_the_finite_difference(name):
    link, eta, step = LINKS[name], inside(name), 1e-5
    slope = (link.inverse(eta + step) - link.inverse(eta - step)) / (2 * step)
    # Truncation step^2 f''' / 6 and rounding 1e-16 / step.
    np.testing.assert_allclose(link.derivatives(eta, 1)[0], slope, rtol=1e-6, atol=1e-9)


@links
def test_the_logarithms_are_those_of_the_mean(name):
    link, eta = LINKS[name], np.linspace(0.1, 2.0, 20) if name == "identity" else inside(name)
    np.testing.assert_allclose(link.log_inverse(eta), np.log(link.inverse(eta)), rtol=1e-12, atol=1e-15)
    if name in PROBABILITY:
        np.testing.assert_allclose(link.log_complement(eta[:20]), np.log1p(-link.inverse(eta[:20])), rtol=1e-10)


@pytest.mark.parametrize("name", PROBABILITY)
def test_probabilities_are_the_distribution_functions_of_scipy(name):
    eta, link, known = np.array([-30.0, -5.0, -0.3, 0.0, 0.4, 3.0, 6.0]), LINKS[name], PROBABILITY[name]
    np.testing.assert_allclose(link.inverse(eta), known.cdf(eta), rtol=1e-11)
    np.testing.assert_allclose(link.derivatives(eta, 1)[0], known.pdf(eta), rtol=1e-11)
    np.testing.assert_allclose(link.log_inverse(eta), known.logcdf(eta), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(link.log_complement(eta), known.logsf(eta), rtol=1e-10, atol=1e-14)


@pytest.mark.filterwarnings("error")
@links
def test_far_out_nothing_overflows(name):
    eta = np.array([-1e4, -800.0, 800.0, 1e4])
    link = LINKS[name]
    assert np.isfinite(link.inverse(eta)).all()
    assert np.isfinite(link.derivatives(eta, 1)[0]).all()
    if name in PROBABILITY:
        assert np.isfinite(link.log_inverse(eta)).all()
        assert np.isfinite(link.log_complement(eta)).all()
        assert ((link.inverse(eta) >= 0) & (link.inverse(eta) <= 1)).all()


def test_log1mexp_keeps_its_digits():
    """log(1 - exp(x)): near zero it is log(-x) + x / 2, far out -exp(x)."""
    np.testing.assert_allclose(log1mexp(np.array([-1e-12, -40.0])), [np.log(1e-12) - 5e-13, -np.exp(-40.0)], rtol=1e-14)
    assert np.isneginf(log1mexp(np.array([0.0])))
