"""What must hold for every family with every link, whatever it is called."""

import itertools
import pickle

import numpy as np
import pytest
from scipy import integrate

from mixedfx.errors import DataError
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Family

ROWS = np.array([10, 20, 30, 40], dtype=np.intp)


def support(case):
    """All responses with any probability worth counting, for families of whole numbers."""
    outcome = case.family.outcome
    if outcome in ("ordered", "nominal"):
        return np.arange(4.0)
    if outcome == "binary":
        return np.arange(2.0)
    if outcome == "positive count":
        return np.arange(1.0, 2000.0)
    return np.arange(13.0) if outcome == "trials" else np.arange(2000.0)


def moments(case, draw, row):
    """Total, mean and variance of the density of one row in one draw, by a sum or by quadrature."""
    family, eta = case.family, case.eta[draw : draw + 1, row : row + 1]
    aux = {name: values[draw : draw + 1] for name, values in case.aux.items()}
    trials = case.facts.trials if case.facts.trials is None else case.facts.trials[row : row + 1]

    def density(y):
        y = np.atleast_1d(y)
        wide = np.repeat(eta, len(y), axis=1)
        m = None if trials is None else np.repeat(trials, len(y))
        return np.exp(family.log_density(y, wide, aux, RowFacts(m)))[0]

    if family.outcome not in ("real", "positive", "nonnegative", "unit"):
        y = support(case)
        y = y if trials is None else y[y <= trials[0]]
        p = density(y)
        mean = p @ y
        return p.sum(), mean, p @ (y - mean) ** 2
    ends = {"real": (-np.inf, np.inf), "unit": (0, 1)}.get(family.outcome, (0, np.inf))
    zero = density(0.0)[0] if family.outcome == "nonnegative" else 0.0  # a probability, beside the density
    centre = float(family.mean(eta, aux)[0, 0])
    cuts = [ends[0], *([] if family.outcome == "unit" else [centre]), ends[1]]

    def integral(f):
        pieces = itertools.pairwise(cuts)
        return sum(integrate.quad(lambda y: f(y) * density(y)[0], a, b, limit=200)[0] for a, b in pieces)

    mean = integral(lambda y: y)
    return integral(lambda y: 1.0) + zero, mean, integral(lambda y: (y - mean) ** 2) + zero * mean**2


@pytest.mark.parametrize(("draw", "row"), [(0, 0), (1, 2)])
def test_the_density_is_one_in_all_and_its_mean_is_the_mean(each, draw, row):
    total, mean, _ = moments(each, draw, row)
    assert total == pytest.approx(1, abs=1e-7)  # the accuracy quad promises; sums are far better
    answer = each.family.mean(each.eta, each.aux, each.facts)[draw, row]
    if each.family.categories:
        answer = answer @ np.arange(4)
    assert answer == pytest.approx(mean, rel=1e-6)


def test_draws_have_that_mean_and_variance(each):
    """40,000 draws of each row: the mean within 4.5 standard errors, the variance within 15 %."""
    n, rng = 40_000, np.random.default_rng(5)
    for draw, row in ((0, 1), (1, 0)):
        eta = np.repeat(each.eta[draw : draw + 1, row : row + 1], n, axis=1)
        aux = {name: values[draw : draw + 1] for name, values in each.aux.items()}
        y = each.family.draw(rng, eta, aux, each.facts.take(np.full(n, row)))
        assert y.shape == (1, n)
        _, mean, variance = moments(each, draw, row)
        assert y.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / n))
        assert y.var() == pytest.approx(variance, rel=0.15)


def test_draws_are_responses_that_the_family_accepts(each):
    rng = np.random.default_rng(1)
    for y in each.family.draw(rng, each.eta, each.aux, each.facts):
        each.family.check(y, each.facts, ROWS[:3])


def test_probabilities_of_categories_sum_to_one(each):
    mean = each.family.mean(each.eta, each.aux, each.facts)
    if each.family.categories:
        assert mean.shape == (2, 3, 4)
        np.testing.assert_allclose(mean.sum(axis=2), 1, rtol=1e-14)
    else:
        assert mean.shape == (2, 3)


@pytest.mark.filterwarnings("error")
def test_far_out_the_density_is_a_number(each):
    """No NaN and no warning at any linear predictor; for probabilities a finite density as well."""
    for eta in (-500.0, -60.0, 60.0, 500.0):
        at = np.full_like(each.eta, eta)
        mean = each.family.mean(at, each.aux, each.facts)
        assert np.isfinite(mean).all()
        y = {"unit": 0.3, "positive": 0.7, "nonnegative": 0.7, "real": 0.1}.get(each.family.outcome, 1.0)
        found = each.family.log_density(np.full(3, y), at, each.aux, each.facts)
        assert not np.isnan(found).any()
        assert (found < 50).all()
        if each.family.outcome in ("binary", "trials", "ordered", "nominal", "unit"):
            assert np.isfinite(found).all()


def test_a_family_can_be_compared_copied_and_hashed(each):
    again = pickle.loads(pickle.dumps(each.family))
    assert again == each.family
    assert len({again, each.family}) == 1
    assert repr(again) == f"{each.family.name}(link='{each.family.link.name}')"
    assert isinstance(again, Family)


def test_only_the_identity_link_of_a_location_family_is_linear(each):
    same = not each.family.categories and np.array_equal(
        each.family.mean(each.eta, each.aux, each.facts), each.eta, equal_nan=True
    )
    linear = each.family.name in ("gaussian", "student")
    assert each.family.identity == (same and linear)


BAD = {
    "real": [0.0, 1.0, np.inf, 2.0],
    "positive": [1.0, 2.0, 0.0, 3.0],
    "nonnegative": [0.0, 2.0, -1.0, 3.0],
    "positive count": [1.0, 2.0, 0.0, 3.0],
    "unit": [0.5, 0.2, 1.0, 0.9],
    "count": [1.0, 2.0, -1.0, 3.0],
    "binary": [0.0, 1.0, 2.0, 1.0],
    "trials": [0.0, 1.0, 4.0, 1.0],
    "ordered": [0.0, 1.0, 0.5, 2.0],
    "nominal": [0.0, 1.0, -1.0, 2.0],
}


def test_bad_responses_are_refused_by_row(each):
    facts = NO_FACTS if each.facts.trials is None else RowFacts(np.full(4, 3.0))
    with pytest.raises(DataError, match="in row 30 "):
        each.family.check(np.array(BAD[each.family.outcome]), facts, ROWS)
