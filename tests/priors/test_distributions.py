"""Log densities against scipy's, scores against differences, draws against the distribution functions."""

import numpy as np
import pytest
from scipy import integrate, stats

from mixedfx import priors
from mixedfx.errors import OptionError
from mixedfx.priors.location import Flat

POSITIVE = {
    "half_normal": (priors.half_normal(2.0), stats.halfnorm(scale=2.0)),
    "half_student_t": (priors.half_student_t(3, 1.5), None),
    "half_cauchy": (priors.half_cauchy(2.0), stats.halfcauchy(scale=2.0)),
    "exponential": (priors.exponential(0.5), stats.expon(scale=2.0)),
    "normal cut at zero": (priors.normal(1.0, 2.0), stats.truncnorm(-0.5, np.inf, loc=1.0, scale=2.0)),
    "gamma": (priors.gamma(2.0, 0.5), stats.gamma(2.0, scale=2.0)),
    "inv_gamma": (priors.inv_gamma(3.0, 2.0), stats.invgamma(3.0, scale=2.0)),
    "student_t cut at zero": (priors.student_t(4, 1.0, 0.7), None),
}


@pytest.mark.parametrize(("prior", "frozen"), POSITIVE.values(), ids=POSITIVE)
def test_priors_of_positive_quantities_integrate_to_one_and_have_the_right_score(prior, frozen):
    assert integrate.quad(lambda x: np.exp(prior.log_positive(x)), 0, np.inf)[0] == pytest.approx(1, abs=1e-7)
    x = np.array([0.01, 0.3, 1.0, 4.0])
    if frozen is not None:
        np.testing.assert_allclose(prior.log_positive(x), frozen.logpdf(x), rtol=1e-12)
    h = 1e-6
    difference = (prior.log_positive(x * np.exp(h)) - prior.log_positive(x * np.exp(-h))) / (2 * h)
    np.testing.assert_allclose(prior.score_positive(x), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("prior", "frozen"), POSITIVE.values(), ids=POSITIVE)
def test_draws_follow_the_density(prior, frozen):
    draws = prior.draw(np.random.default_rng(1), 4000, positive=True)
    assert draws.min() > 0

    def cdf(x):
        return np.array([integrate.quad(lambda t: np.exp(prior.log_positive(t)), 0, v)[0] for v in x])

    # 200 of them: enough to tell a wrong scale, few enough for numerical integration
    assert stats.kstest(draws[:200], cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("prior", "frozen"),
    [
        (priors.normal(1.0, 2.0), stats.norm(1.0, 2.0)),
        (priors.student_t(3, 1.0, 2.0), stats.t(3, 1.0, 2.0)),
        (priors.cauchy(0.0, 2.5), stats.cauchy(0.0, 2.5)),
    ],
)
def test_priors_of_coefficients_are_scipys(prior, frozen):
    x = np.array([-3.0, 0.0, 1.0, 10.0])
    np.testing.assert_allclose(prior.log_density(x), frozen.logpdf(x), rtol=1e-12)
    assert stats.kstest(prior.draw(np.random.default_rng(2), 4000), frozen.cdf).pvalue > 0.001


def test_a_flat_prior_adds_nothing():
    assert Flat().log_positive(np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    assert Flat().score_positive(np.array([1.0, 2.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: priors.normal(0, 0),
        lambda: priors.student_t(-1),
        lambda: priors.exponential(float("inf")),
        lambda: priors.lkj(0),
        lambda: priors.decov(shape=-1),
        lambda: priors.half_cauchy(float("nan")),
        lambda: priors.pooled_interactions(0),
        lambda: priors.gamma(0, 1),
        lambda: priors.inv_gamma(1, -1),
        lambda: priors.horseshoe(scale_slab=0),
        lambda: priors.horseshoe(par_ratio=-1),
        lambda: priors.r2d2(mean_R2=1.0),
        lambda: priors.r2d2(concentration=0),
    ],
)
def test_numbers_that_make_no_distribution_are_refused(make):
    with pytest.raises(OptionError):
        make()


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (priors.normal(0, 2.5), "normal(0, 2.5)"),
        (priors.half_student_t(3, 59.3), "half_student_t(3, 59.3)"),
        (priors.cauchy(0, 1), "cauchy(0, 1)"),
        (priors.half_cauchy(2), "half_cauchy(2)"),
        (priors.decov(), "decov(1, 1, 1, 1)"),
        (priors.horseshoe(), "horseshoe(1, scale_global=1, slab 2)"),
        (priors.horseshoe(par_ratio=0.2), "horseshoe(1, par_ratio=0.2, slab 2)"),
        (priors.r2d2(0.3), "r2d2(0.3, 2, 0.5)"),
        (priors.gamma(2, 0.1), "gamma(2, 0.1)"),
        (priors.inv_gamma(0.4, 0.3), "inv_gamma(0.4, 0.3)"),
    ],
)
def test_priors_print_as_they_are_written(prior, text):
    assert str(prior) == text


@pytest.mark.parametrize("name", POSITIVE)
def test_times_is_the_distribution_of_a_multiple(name):
    """Density of f X at f x: that of X at x over f."""
    prior, x, factor = POSITIVE[name][0], np.array([0.3, 1.0, 4.0]), 3.7
    expected = prior.log_positive(x) - np.log(factor)
    np.testing.assert_allclose(prior.times(factor).log_positive(factor * x), expected, rtol=1e-12)
    assert Flat().times(factor) == Flat()
