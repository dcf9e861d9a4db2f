"""Many points at once are the points one by one: value, gradient and draws, whichever columns the levels meet.

The oracle is `Collapsed.evaluate`, which is compared with dense algebra in test_collapsed.
"""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.pls import collapsed_points
from mixedfx.pls.collapsed import CoefficientPrior, Collapsed
from mixedfx.pls.collapsed_points import one_by_one, points_of
from mixedfx.pls.problem import build_problem

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.FewLevelsWarning")
FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ 0 + (x || g)",
    "y ~ x + (x | g) + (1 | h)",
    "y ~ x + (x * w | g / h)",
    "y ~ x + (x | g * h)",
    "y ~ 0 + (1 | g) + (w | h) + (0 + x | h)",
]


def setting(formula):
    rng = np.random.default_rng(5)
    n = 90
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n)})
    data = data.assign(g=rng.integers(5, size=n), h=rng.integers(4, size=n), y=3 + data["x"] + rng.normal(size=n))
    design = build_design(formula, data, weights=rng.uniform(0.5, 2, n))
    problem = build_problem(design)
    p = problem.p
    prior = CoefficientPrior(np.tri(p)[::-1], np.linspace(1, 2, p), np.linspace(0.5, 3, p))
    return Collapsed(design, problem, prior)


def random_points(collapsed, D):
    rng = np.random.default_rng(3)
    factors = [rng.normal(size=(D, group.k, group.k)) for group in collapsed.problem.factors]
    return factors, rng.uniform(0.2, 2, D), rng.uniform(0.5, 2, (D, collapsed.problem.p))


@pytest.mark.parametrize("formula", FORMULAS)
def test_values_and_gradients_are_those_of_one_point(formula):
    collapsed = setting(formula)
    at = random_points(collapsed, 7)
    found, expected = points_of(collapsed).gradients(*at), one_by_one(collapsed, *at)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-11)
    np.testing.assert_allclose(points_of(collapsed).loglik(*at), expected.value, rtol=1e-11)
    for mine, theirs in zip(found.of_factors, expected.of_factors, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.of_sigma, expected.of_sigma, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.of_precision, expected.of_precision, rtol=1e-8, atol=1e-8)


def test_nested_levels_keep_the_columns_they_meet_only():
    """Each level of g:h meets one of 5 levels of g and one of 4 of h, two columns each, and three columns of W."""
    points = points_of(setting("y ~ x + (x | g * h)"))
    assert points.touched.shape == (20, 2 * 2 + 3)
    assert points.products.shape == (2 * 9 + 3, 2 * 9 + 3)


@pytest.mark.parametrize("formula", FORMULAS[:5])
def test_gradients_stay_exact_where_factors_are_singular(formula):
    """At T = 0 in one column nothing is divided by it: differences of the value agree."""
    collapsed = setting(formula)
    factors, sigma, mixing = random_points(collapsed, 1)
    for T in factors:
        T[:, :, 0] = 0.0
    found, h = points_of(collapsed).gradients(factors, sigma, mixing), 1e-5
    for f, T in enumerate(factors):
        for a, b in np.ndindex(T.shape[1:]):
            moved = [[one.copy() for one in factors] for _ in range(2)]
            moved[0][f][0, a, b] += h
            moved[1][f][0, a, b] -= h
            up, down = (points_of(collapsed).loglik(one, sigma, mixing)[0] for one in moved)
            assert found.of_factors[f][0, a, b] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("formula", FORMULAS)
def test_draws_have_the_moments_of_exact_draws(formula):
    collapsed, n = setting(formula), 20_000
    factors, sigma, mixing = random_points(collapsed, 1)
    many = [np.tile(T, (n, 1, 1)) for T in factors], np.tile(sigma, n), np.tile(mixing, (n, 1))
    found = np.hstack(points_of(collapsed).draw(*many, np.random.default_rng(11)))
    at = collapsed.evaluate([T[0] for T in factors], sigma[0], mixing[0])
    expected = np.hstack(collapsed.draw(at, n, np.random.default_rng(12)))
    sd = expected.std(axis=0)
    # 20,000 draws each: means differ by less than 4.5 of their errors, correlations by less than 6 of 0.01
    assert np.abs((found.mean(axis=0) - expected.mean(axis=0)) / sd).max() < 4.5 * np.sqrt(2 / n)
    assert np.abs((np.cov(found.T) - np.cov(expected.T)) / np.outer(sd, sd)).max() < 0.06


def test_points_without_a_density_do_not_spoil_their_neighbours():
    collapsed = setting("y ~ x + (x | g * h)")
    factors, sigma, mixing = random_points(collapsed, 4)
    factors[0][1, 0, 0], factors[1][2, 1, 1], sigma[3] = np.inf, np.nan, 0.0
    found = points_of(collapsed).gradients(factors, sigma, mixing)
    assert found.value[0] == pytest.approx(collapsed.evaluate([T[0] for T in factors], sigma[0], mixing[0]).value)
    assert found.value[1:].tolist() == [-np.inf] * 3
    assert all(not T[1:].any() for T in found.of_factors)


def test_a_point_that_breaks_the_factorisation_breaks_alone(monkeypatch):
    """LAPACK refuses the matrix of one of three points: the other two are evaluated."""
    collapsed = setting("y ~ x + (x | g) + (1 | h)")
    points, at = points_of(collapsed), random_points(collapsed, 3)
    expected, real = points.loglik(*at), collapsed_points.dpotrf
    refused = points._solve(*([T[1:2] for T in at[0]], at[1][1:2], at[2][1:2])).second[0]

    def choosy(A, **options):
        L, info = real(A, **options)
        return L, int(L.shape == refused.shape and np.allclose(np.tril(L), np.tril(refused))) or info

    monkeypatch.setattr(collapsed_points, "dpotrf", choosy)
    found = points.loglik(*at)
    assert found[1] == -np.inf
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]], rtol=1e-13)


def test_large_models_are_left_to_evaluations_one_by_one(monkeypatch):
    collapsed = setting("y ~ x + (x | g) + (1 | h)")
    monkeypatch.setattr(collapsed_points, "LARGEST_SECOND", 3)
    assert points_of(collapsed) is None
    monkeypatch.setattr(collapsed_points, "LARGEST_SECOND", 4)
    monkeypatch.setattr(collapsed_points, "LARGEST_BLOCKS", 10)
    assert points_of(collapsed) is None
