"""Derivatives of every family with every link: each order is the difference of the one below, from the density on.

Central differences with step 1e-5 have a truncation error of 1e-10 times a derivative two orders up and a rounding
error of 1e-16 / 1e-5; both are below 1e-8 of numbers of order one here.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.errors import OptionError
from mixedfx.families.derivatives import compose, of_logarithm
from mixedfx.families.facts import RowFacts
from mixedfx.families.links import LINKS
from mixedfx.families.registry import family
from tests.families.conftest import CASES
from tests.families.test_contracts import moments, support

STEP, CLOSE = 1e-5, {"rtol": 2e-7, "atol": 2e-7}
ONE_PREDICTOR = [key for key in CASES if not key.startswith("categorical")]
RESPONSES = {"real": [0.4, -1.2, 2.0], "positive": [0.4, 1.2, 2.5], "unit": [0.2, 0.5, 0.9], "count": [0.0, 3.0, 7.0]}
RESPONSES |= {"nonnegative": [0.0, 0.6, 3.5], "positive count": [1.0, 3.0, 7.0]}
RESPONSES |= {"binary": [0.0, 1.0, 1.0], "trials": [0.0, 3.0, 5.0], "ordered": [0.0, 2.0, 3.0]}
FACTS = {"known": RowFacts(known_sd=np.array([0.5, 1.0, 2.0])), "weighted": RowFacts(weights=np.array([0.5, 1.0, 4.0]))}


def settings_of(key):
    """Responses, and what may be known of the rows, for a case."""
    case = CASES[key]
    extra = list(FACTS.values()) if case.family.weights else []
    return case, np.array(RESPONSES[case.family.outcome]), [case.facts, *extra]


@pytest.mark.parametrize("key", ONE_PREDICTOR)
def test_each_order_is_the_difference_of_the_one_below(key):
    case, y, known = settings_of(key)
    for facts in known:

        def below(eta, facts=facts):
            return np.concatenate(
                [
                    case.family.log_density(y, eta, case.aux, facts)[None],
                    case.family.derivatives(y, eta, case.aux, facts, order=3),
                ]
            )

        slopes = (below(case.eta + STEP) - below(case.eta - STEP)) / (2 * STEP)
        found = case.family.derivatives(y, case.eta, case.aux, facts)
        for j in range(4):  # relative to the size of that order
            np.testing.assert_allclose(found[j], slopes[j], rtol=2e-7, atol=2e-7 * max(1, np.abs(slopes[j]).max()))


@pytest.mark.parametrize("key", ONE_PREDICTOR)
def test_fewer_orders_are_the_first_of_all(key):
    case, y, known = settings_of(key)
    every = case.family.derivatives(y, case.eta, case.aux, known[0])
    for order in (1, 2, 3):
        np.testing.assert_array_equal(case.family.derivatives(y, case.eta, case.aux, known[0], order), every[:order])


EDGES = {"real": [-3.0, 0.2, 4.0], "positive": [0.05, 0.7, 6.0], "unit": [0.02, 0.5, 0.97], "count": [0.0, 1.0, 20.0]}
EDGES |= {"nonnegative": [0.0, 0.3, 8.0], "positive count": [1.0, 2.0, 9.0], "binary": [0.0, 1.0]}
EDGES |= {"trials": [0.0, 2.0, 3.0], "ordered": [0.0, 1.0, 2.0, 3.0]}


@pytest.mark.parametrize("key", ONE_PREDICTOR)
def test_a_family_names_the_links_under_which_its_log_density_is_concave(key):
    """Far over eta, responses and parameters no second derivative is above zero for these, and some is for others."""
    case, largest = CASES[key], -np.inf
    eta = np.linspace(-5.0, 5.0, 101) if case.eta.min() < 0 else np.linspace(0.05, 5.0, 100)
    facts = RowFacts(np.full(len(eta), 3.0)) if case.family.outcome == "trials" else RowFacts()
    for y in EDGES[case.family.outcome]:
        for times in (0.03, 0.3, 1.0, 5.0):
            aux = {name: x if name in ("threshold", "power", "nu") else times * x for name, x in case.aux.items()}
            rows = np.full(len(eta), y), np.repeat(eta[None], 2, axis=0), aux, facts
            largest = max(largest, np.nanmax(case.family.derivatives(*rows, order=2)[1]))
    assert (largest <= 1e-12) == (case.family.link.name in case.family.concave)


@pytest.mark.parametrize("key", ONE_PREDICTOR)
def test_derivatives_in_the_auxiliary_parameters(key):
    """In logarithms; in the thresholds themselves."""
    case, y, known = settings_of(key)
    for facts in known:
        found = case.family.auxiliary_derivatives(y, case.eta, case.aux, facts)
        names = set(case.aux) - ({"sigma"} if facts.known_sd is not None else set())
        assert set(found) == names

        def below(aux, facts=facts):
            return np.concatenate(
                [
                    case.family.log_density(y, case.eta, aux, facts)[None],
                    case.family.derivatives(y, case.eta, aux, facts, order=2),
                ]
            )

        for name in names - {"threshold"}:
            up, down = (case.aux | {name: case.aux[name] * np.exp(step)} for step in (STEP, -STEP))
            np.testing.assert_allclose(found[name], (below(up) - below(down)) / (2 * STEP), **CLOSE)
        for k in range(3 if "threshold" in names else 0):
            shift = STEP * np.eye(3)[k]
            up, down = ({"threshold": case.aux["threshold"] + step} for step in (shift, -shift))
            np.testing.assert_allclose(found["threshold"][k], (below(up) - below(down)) / (2 * STEP), **CLOSE)


@pytest.mark.parametrize("key", ONE_PREDICTOR)
def test_the_information_is_the_mean_of_the_squared_score(key):
    """By a sum over all responses, or by 200,000 draws where they cannot be counted (4.5 standard errors)."""
    case = CASES[key]
    expected = case.family.information(case.eta, case.aux, case.facts)
    for draw, row in ((0, 0), (1, 2)):
        eta = case.eta[draw : draw + 1, row : row + 1]
        aux = {name: values[draw : draw + 1] for name, values in case.aux.items()}
        if case.family.outcome in ("real", "positive", "nonnegative", "unit"):
            n = 200_000
            wide, facts = np.repeat(eta, n, axis=1), case.facts
            y = case.family.draw(np.random.default_rng(3), wide, aux, facts)[0]
            square = case.family.derivatives(y, wide, aux, facts, 1)[0, 0] ** 2
            assert square.mean() == pytest.approx(expected[draw, row], abs=4.5 * square.std() / np.sqrt(n))
            continue
        y = support(case)
        y = y if case.facts.trials is None else y[y <= case.facts.trials[row]]
        facts, wide = case.facts.take(np.full(len(y), row)), np.repeat(eta, len(y), axis=1)
        p = np.exp(case.family.log_density(y, wide, aux, facts))[0]
        score = case.family.derivatives(y, wide, aux, facts, 1)[0, 0]
        assert p @ score == pytest.approx(0, abs=1e-9)
        assert p @ score**2 == pytest.approx(expected[draw, row], rel=1e-9)


@pytest.mark.parametrize("key", list(CASES))
def test_the_variance_is_that_of_the_density(key):
    case = CASES[key]
    found = case.family.variance(case.eta, case.aux, case.facts)
    if case.family.categories:
        p = case.family.mean(case.eta, case.aux)
        np.testing.assert_allclose(found, p * (1 - p))
        return
    for draw, row in ((0, 0), (1, 2)):
        assert found[draw, row] == pytest.approx(moments(case, draw, row)[2], rel=1e-5)


def test_several_linear_predictors_are_refused_in_words():
    found = family("categorical")
    with pytest.raises(OptionError, match="several"):
        found.derivatives(np.zeros(1), np.zeros((1, 1, 2)), {})
    with pytest.raises(OptionError, match="several"):
        found.information(np.zeros((1, 1, 2)), {})


@pytest.mark.parametrize("name", LINKS)
def test_links(name):
    link = LINKS[name]
    eta = np.linspace(0.2, 0.8, 7) if name in ("inverse", "sqrt", "identity") else np.linspace(-6, 2.5, 18)
    pairs = [(link.inverse, link.derivatives), (link.log_inverse, link.log_inverse_derivatives)]
    if name not in ("log", "inverse", "sqrt"):
        pairs.append((link.log_complement, link.log_complement_derivatives))
    for value, climb in pairs:
        below = lambda x, value=value, climb=climb: np.stack([value(x), *climb(x, 3)])  # noqa: E731
        slopes = (below(eta + STEP) - below(eta - STEP)) / (2 * STEP)
        for found, slope in zip(climb(eta, 4), slopes, strict=True):
            np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-7 * max(1, np.abs(slope).max()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["logit", "probit", "cloglog", "cauchit", "log"])
def test_far_out_derivatives_are_numbers(name):
    """At the ends log mu is the linear predictor itself (logit, cloglog) or minus half its square (probit)."""
    link, eta = LINKS[name], np.array([-1e5, -500.0, -60.0, 60.0, 500.0])
    for climb in (link.derivatives, link.log_inverse_derivatives):
        assert all(np.isfinite(rung).all() for rung in climb(eta, 4))
    first, second = link.log_inverse_derivatives(eta, 2)
    if name in ("logit", "cloglog"):
        np.testing.assert_allclose(first[:3], 1, rtol=1e-12)
    if name == "probit":
        np.testing.assert_allclose(first[:3], -eta[:3], rtol=3e-4)
        np.testing.assert_allclose(second[:3], -1, rtol=3e-4)


coefficients = st.lists(st.floats(-2, 2), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(coefficients, coefficients)
def test_compositions_of_polynomials(outer, inner):
    """f(g(x)) at 0 for polynomials without constants, against the coefficients of the composed polynomial."""
    f, g = np.polynomial.Polynomial([0, *outer]), np.polynomial.Polynomial([0, *inner])
    ladders = [tuple(np.array(p.deriv(j)(0.0)) for j in range(1, 5)) for p in (f, g, f(g))]
    np.testing.assert_allclose(compose(*ladders[:2]), ladders[2], atol=1e-10)


@settings(deadline=None, max_examples=60)
@given(coefficients)
def test_logarithms(ratios):
    """The logarithm of a composition with exp is the thing itself: of_logarithm undoes it."""
    ladder = tuple(np.array(r) for r in ratios)
    one = np.array(1.0)
    np.testing.assert_allclose(of_logarithm(compose((one, one, one, one), ladder)), ladder, atol=1e-10)
