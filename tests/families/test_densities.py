"""Densities against scipy.stats, weights and known standard deviations, the registry, what is refused."""

import numpy as np
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.registry import FAMILIES, family, find_family

ETA = np.array([[-0.8, 0.3, 1.1], [0.5, -0.2, 0.9]])
MU = np.exp(ETA)
P = special.expit(ETA)
SIGMA, NU, SHAPE, PHI = (np.array(v) for v in ([0.7, 1.4], [3.0, 30.0], [0.5, 6.0], [2.0, 9.0]))
REAL, POSITIVE, UNIT = np.array([-1.0, 0.2, 2.5]), np.array([0.1, 1.2, 5.5]), np.array([0.02, 0.5, 0.97])
COUNT, TRIALS = np.array([0.0, 1.0, 6.0]), np.array([5.0, 1.0, 6.0])


def column(values):
    return values[:, None]


KNOWN = {
    "gaussian": (REAL, {"sigma": SIGMA}, lambda y: stats.norm.logpdf(y, ETA, column(SIGMA))),
    "student": (REAL, {"nu": NU, "sigma": SIGMA}, lambda y: stats.t.logpdf(y, column(NU), ETA, column(SIGMA))),
    "lognormal": (POSITIVE, {"sigma": SIGMA}, lambda y: stats.lognorm.logpdf(y, column(SIGMA), scale=MU)),
    "gamma": (
        POSITIVE,
        {"shape": SHAPE},
        lambda y: stats.gamma.logpdf(y, column(SHAPE), scale=MU / column(SHAPE)),
    ),
    "beta": (UNIT, {"phi": PHI}, lambda y: stats.beta.logpdf(y, P * column(PHI), (1 - P) * column(PHI))),
    "bernoulli": (np.array([0.0, 1.0, 1.0]), {}, lambda y: stats.bernoulli.logpmf(y, P)),
    "binomial": (COUNT, {}, lambda y: stats.binom.logpmf(y, TRIALS, P)),
    "poisson": (COUNT, {}, lambda y: stats.poisson.logpmf(y, MU)),
    "nbinom1": (
        COUNT,
        {"dispersion": SHAPE},
        lambda y: stats.nbinom.logpmf(y, MU / column(SHAPE), 1 / (1 + column(SHAPE))),
    ),
    "beta_binomial": (
        COUNT,
        {"phi": PHI},
        lambda y: stats.betabinom.logpmf(y, TRIALS.astype(int), P * column(PHI), (1 - P) * column(PHI)),
    ),
    "negbinomial": (
        COUNT,
        {"shape": SHAPE},
        lambda y: stats.nbinom.logpmf(y, column(SHAPE), column(SHAPE) / (column(SHAPE) + MU)),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_density_is_that_of_scipy(name):
    y, aux, known = KNOWN[name]
    found = family(name).log_density(y, ETA, aux, RowFacts(TRIALS))
    np.testing.assert_allclose(found, known(y), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("link", FAMILIES["cumulative"].links)
def test_ordered_probabilities_are_differences_of_the_distribution_function(link):
    found = family("cumulative", link)
    thresholds = np.array([[-1.0, 0.0, 2.0], [0.0, 0.5, 0.6]])
    below = found.link.inverse(thresholds[:, None, :] - ETA[..., None])
    ends = np.concatenate([np.zeros((2, 3, 1)), below, np.ones((2, 3, 1))], axis=2)
    np.testing.assert_allclose(found.mean(ETA, {"threshold": thresholds}), np.diff(ends), rtol=1e-10, atol=1e-15)
    codes = np.array([0.0, 3.0, 1.0])
    picked = np.take_along_axis(np.diff(ends), codes.astype(int)[None, :, None], axis=2)[..., 0]
    np.testing.assert_allclose(found.log_density(codes, ETA, {"threshold": thresholds}), np.log(picked), rtol=1e-10)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("eta", [-30.0, 30.0])
def test_ordered_probabilities_keep_their_digits_in_the_tails(link, eta):
    """F(b) - F(a) for a distribution function whose values there are 1 or 1e-14: scipy in whichever tail is small."""
    eta = eta / 10 if link == "cloglog" and eta < 0 else eta
    found = family("cumulative", link)
    known = {"logit": stats.logistic, "probit": stats.norm, "cloglog": stats.gumbel_l}[link]
    a, b = -0.4 - eta, 0.7 - eta
    upper = known.logsf(a) + np.log(-np.expm1(known.logsf(b) - known.logsf(a)))
    lower = known.logcdf(b) + np.log(-np.expm1(known.logcdf(a) - known.logcdf(b)))
    answer = found.log_density(np.array([1.0]), np.array([[eta]]), {"threshold": np.array([[-0.4, 0.7]])})
    assert answer[0, 0] == pytest.approx(upper if eta < 0 else lower, rel=1e-10)


def test_categorical_is_the_softmax_with_the_first_level_as_reference():
    eta = np.array([[[0.5, -1.0], [0.0, 3.0]]])
    p = special.softmax(np.array([[[0.0, 0.5, -1.0], [0.0, 0.0, 3.0]]]), axis=2)
    found = mx.families.categorical()
    np.testing.assert_allclose(found.mean(eta, {}), p, rtol=1e-14)
    np.testing.assert_allclose(found.log_density(np.array([0.0, 2.0]), eta, {}), np.log([[p[0, 0, 0], p[0, 1, 2]]]))


def test_two_ordered_categories_are_a_bernoulli_response():
    y = np.array([0.0, 1.0, 1.0])
    ordered = family("cumulative").log_density(y, ETA, {"threshold": np.array([[0.4], [0.4]])})
    np.testing.assert_allclose(ordered, family("bernoulli").log_density(y, ETA - 0.4, {}), rtol=1e-13)


@pytest.mark.parametrize("name", ["gaussian", "student"])
def test_weights_divide_the_variance_and_known_deviations_replace_sigma(name):
    found, (y, aux, _) = family(name), KNOWN[name]
    w = np.array([1.0, 4.0, 0.25])
    for row in range(3):
        scaled = {**aux, "sigma": aux["sigma"] / np.sqrt(w[row])}
        alone = found.log_density(y, ETA, scaled)[:, row]
        np.testing.assert_allclose(found.log_density(y, ETA, aux, RowFacts(weights=w))[:, row], alone, rtol=1e-14)
    known = {k: v for k, v in aux.items() if k != "sigma"}
    se = np.array([0.3, 0.6, 2.0])
    ones = {**known, "sigma": np.ones(2)}
    np.testing.assert_allclose(
        found.log_density(y, ETA, known, RowFacts(known_sd=se)),
        found.log_density(y, ETA, ones, RowFacts(weights=se**-2.0)),
        rtol=1e-13,
    )
    drawn = found.draw(
        np.random.default_rng(2),
        np.zeros((20_000, 3)),
        {k: np.full(20_000, v[1]) for k, v in known.items()},
        RowFacts(known_sd=se),
    )
    spread = se * (1 if name == "gaussian" else np.sqrt(30 / 28))
    np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.03)  # its own error is 0.5 %


def test_a_large_shape_leaves_the_poisson_distribution():
    """At shape 1e12 the two differ by y^2 / shape."""
    aux = {"shape": np.array([1e12, 1e12])}
    found = family("negbinomial").log_density(COUNT, ETA, aux)
    np.testing.assert_allclose(found, family("poisson").log_density(COUNT, ETA, {}), rtol=1e-10)


def test_gamma_keeps_its_digits_at_a_large_shape():
    """r - expm1(r) = -r^2 / 2 - r^3 / 6 - r^4 / 24 for r = log(y / mu); at r = 1e-4 and shape 1e8 the next is 1e-13."""
    shape, r = 1e8, np.array([1e-4, -1e-4])
    found = family("gamma").log_density(np.exp(r), np.zeros((1, 2)), {"shape": np.array([shape])})
    expected = 0.5 * np.log(shape / (2 * np.pi)) - 1 / (12 * shape) - shape * (r**2 / 2 + r**3 / 6 + r**4 / 24) - r
    # exp(r) is rounded to 1e-16, that is 1e-12 of r, and shape r^2 = 1.
    np.testing.assert_allclose(found[0], expected, atol=1e-11)


def test_a_linear_predictor_outside_the_domain_has_no_density():
    assert np.isneginf(family("poisson", "identity").log_density(np.array([1.0]), np.array([[-0.5]]), {}))[0, 0]
    aux = {"shape": np.array([2.0])}
    for name, link in (("gamma", "inverse"), ("gamma", "identity"), ("negbinomial", "identity")):
        found = family(name, link)
        assert np.isneginf(found.log_density(np.array([1.0]), np.array([[-0.5]]), aux))[0, 0]
        assert np.isnan(found.draw(np.random.default_rng(0), np.array([[-0.5]]), aux))[0, 0]


def test_enormous_means_are_drawn_as_themselves():
    drawn = family("poisson").draw(np.random.default_rng(0), np.array([[2.0, 600.0]]), {})
    assert drawn[0, 1] == pytest.approx(np.exp(600.0))


def test_the_registry_has_the_families_of_the_documentation():
    assert list(FAMILIES) == [
        "gaussian", "student", "lognormal", "bernoulli", "binomial", "poisson", "negbinomial", "nbinom1",
        "beta_binomial", "truncated_poisson", "truncated_negbinomial", "tweedie", "gamma", "beta", "cumulative",
        "categorical",
    ]  # fmt: skip
    for name, known in FAMILIES.items():
        assert known == getattr(mx.families, name)()
        assert known.name == name
        assert find_family(name) is find_family(known) is known
    weighted = {name for name, known in FAMILIES.items() if known.weights}
    assert weighted == {"gaussian", "student"}


def test_unknown_names_and_links_are_refused():
    with pytest.raises(OptionError, match="Did you mean 'poisson'"):
        family("poison")
    with pytest.raises(OptionError, match="Use 'gaussian', 'student'"):
        find_family("weibull")
    with pytest.raises(OptionError, match=r"bernoulli has no link 'log'\nUse 'logit', 'probit'"):
        mx.families.bernoulli("log")
    with pytest.raises(OptionError, match="poisson has no link 'logit'"):
        family("poisson", "logit")
    with pytest.raises(OptionError, match="a NoneType, neither a name nor a family"):
        find_family(None)


def test_binomial_checks_both_sides():
    rows = np.arange(3, dtype=np.intp)
    found, three = mx.families.binomial(), np.full(3, 3.0)
    with pytest.raises(DataError, match=r"k \| trials\(m\)"):
        found.check(COUNT, NO_FACTS, rows)
    with pytest.raises(DataError, match=r"more successes than trials in row 2 .*has 6 successes"):
        found.check(COUNT, RowFacts(three), rows)
    with pytest.raises(DataError, match=r"numbers of trials are counts .* 2.5 in row 1"):
        found.check(COUNT, RowFacts(np.array([3, 2.5, 8])), rows)
    with pytest.raises(DataError, match=r"responses are counts .* 0.5 in rows 0 and 2 "):
        found.check(np.array([0.5, 1, 0.1]), RowFacts(three), rows)


def test_many_bad_rows_are_counted():
    with pytest.raises(DataError, match=r"-1 in rows 0, 1, 2, 3, 4, ... \(20 in all\) \(counted from 0\)"):
        mx.families.poisson().check(np.full(20, -1.0), NO_FACTS, np.arange(20, dtype=np.intp))
