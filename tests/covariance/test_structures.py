"""Every registered structure keeps the contract par -> T, at sizes one, two and many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance.components import Component
from mixedfx.covariance.exchangeable import Polar, angle, correlation, correlation_slope, lowest_correlation
from mixedfx.covariance.structures import STRUCTURES, structure_for
from mixedfx.covariance.triangular import Unstructured

SIZES = (1, 2, 3, 6)
REGISTERED = [structure_for(k, name) for name in STRUCTURES for k in SIZES]
SHAPES = [Polar(k, shared, plain) for k in (2, 4) for shared in (True, False) for plain in ((0,), ())]
EVERY = REGISTERED + SHAPES
NAMED = {"ids": lambda s: f"{s.name}-{s.k}"}


def drawn(structure, *shape, seed=0):
    """Parameters inside their range, standard deviations and angles positive and apart."""
    return np.random.default_rng(seed + structure.k).uniform(0.3, 1.2, (*shape, structure.n_parameters))


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_parameters_and_factor_are_inverse(structure):
    par = drawn(structure)
    np.testing.assert_allclose(structure.parameters(structure.factor(par)), par, rtol=1e-12)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_theta_and_factor_at_are_inverse_and_describe_the_same_covariance(structure):
    T = structure.factor(drawn(structure))
    theta = structure.theta(T)
    assert theta.shape == (structure.n_parameters,)
    F = structure.factor_at(theta)
    np.testing.assert_allclose(F @ F.T, T @ T.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(structure.theta(F), theta, rtol=1e-12)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_signs_of_stationary_parameters_do_not_matter(structure, sign):
    """The mirror image describes the same covariance, and has the same parameters."""
    par = drawn(structure)
    mirrored = np.where(structure.stationary, sign * par, par)
    if structure.entries is not None:  # of a triangle, one column changes its sign
        mirrored = structure.factor(par) * np.where(np.arange(structure.k) == 0, sign, 1.0)
        mirrored = mirrored[structure.entries]
    T, M = structure.factor(par), structure.factor(mirrored)
    np.testing.assert_allclose(M @ M.T, T @ T.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(structure.parameters(M), structure.parameters(T), rtol=1e-12)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_derivatives_are_those_of_the_factor(structure):
    """Central differences of step 1e-5 are good to 1e-9; second ones of 1e-4 to 1e-7."""
    par, r = drawn(structure), structure.n_parameters
    step = 1e-5 * np.eye(r)
    numeric = (structure.factor(par + step) - structure.factor(par - step)) / 2e-5
    np.testing.assert_allclose(structure.directions(par), numeric, atol=1e-9)
    second = structure.curvature(par)
    numeric = np.array([(structure.directions(par + s) - structure.directions(par - s)) / 2e-5 for s in step])
    np.testing.assert_allclose(np.zeros_like(numeric) if second is None else second, numeric, atol=1e-8)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_many_points_at_once_are_the_points_one_by_one(structure):
    par = drawn(structure, 5)
    T = structure.factor(par)
    for name in ("factor", "directions", "curvature", "at_end", "snapped"):
        args = (0.1,) if name in ("at_end", "snapped") else ()
        together = getattr(structure, name)(par, *args)
        one_by_one = [getattr(structure, name)(one, *args) for one in par]
        assert (together is None) == (one_by_one[0] is None)
        if together is not None:
            np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-14)
    np.testing.assert_allclose(structure.parameters(T), [structure.parameters(one) for one in T], atol=1e-14)
    np.testing.assert_allclose(structure.theta(T), [structure.theta(one) for one in T], atol=1e-14)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_at_an_end_the_covariance_does_not_move_to_first_order(structure):
    """What is called stationary is: dT T' + T dT' vanishes there."""
    for m in np.flatnonzero(structure.stationary):
        par = drawn(structure)
        at = structure.at_end(par, 0.0)
        assert not at.any()
        par[m] = 1e-9 if not isinstance(structure, Polar) or m < structure.n_sds else par[m]
        if isinstance(structure, Polar) and m == structure.n_sds:
            par[m] = np.pi / 2 - 1e-9
        there = structure.snapped(par, 1e-6)
        assert structure.at_end(there, 0.0).tolist() == [i == m for i in range(len(par))]
        if structure.name == "us":  # of a triangle, where the rest of the column is zero as well
            there = np.where(structure.entries[1] == structure.entries[1][m], 0.0, there)
        T, dT = structure.factor(there), structure.directions(there)[m]
        np.testing.assert_allclose(dT @ T.T + T @ dT.T, 0.0, atol=1e-12)


@pytest.mark.parametrize("structure", EVERY, **NAMED)
def test_components_are_read_from_the_covariance(structure):
    """Standard deviations and correlations of T T', and as many names as there are numbers."""
    T = structure.factor(drawn(structure))
    covariance = T @ T.T
    sd = np.sqrt(np.diag(covariance))
    for component in structure.components:
        if component.kind == "sd":
            np.testing.assert_allclose(sd[list(component.columns)], component.value(T), rtol=1e-12)
        else:
            pairs = [(i, j) for i in component.columns for j in component.columns if i < j]
            found = [covariance[i, j] / (sd[i] * sd[j]) for i, j in pairs]
            np.testing.assert_allclose(found, component.value(T), rtol=1e-9, atol=1e-12)
    columns = tuple(f"c{i}" for i in range(structure.k))
    names = [(c.kind, *c.names(columns, "shared")) for c in structure.components]
    assert len(set(names)) == len(names)
    assert len(set(structure.theta_labels(columns, "shared"))) == structure.n_parameters
    assert len(names) == structure.n_parameters


@pytest.mark.parametrize("structure", [s for s in REGISTERED if s.name != "us"], **NAMED)
def test_a_held_component_is_a_parameter(structure):
    """In the shape that `held` gives, moving its parameter moves the component and keeps the family."""
    T = structure.factor(drawn(structure))
    for component in structure.components:
        shape, at = structure.held(component)
        par = shape.parameters(T)
        value = float(component.value(shape.factor(par)))
        np.testing.assert_allclose(value, component.value(T), rtol=1e-10)
        if component.kind == "sd":
            np.testing.assert_allclose(par[at], value, rtol=1e-12)
        else:
            np.testing.assert_allclose(correlation(par[at], structure.k), value, rtol=1e-10)


def test_a_correlation_is_undefined_where_nothing_varies():
    assert np.isnan(Component("cor", (0, 1)).value(np.diag([1.0, 0.0])))
    assert np.isnan(Component("cor", (0, 1, 2)).value(np.diag([1.0, 0.0, 0.0])))


@given(k=st.integers(2, 60), share=st.floats(0.0, 1.0))
def test_angles_and_correlations(k, share):
    """Over the whole range, whose ends are exact; cos and sin lose at most a few units of rounding."""
    rho = lowest_correlation(k) + share * (1.0 - lowest_correlation(k))
    t = angle(rho, k)
    assert 0.0 <= t <= np.pi / 2
    np.testing.assert_allclose(correlation(t, k), rho, atol=4e-16 * k)
    step = 1e-6
    numeric = (correlation(t + step, k) - correlation(t - step, k)) / (2 * step)
    np.testing.assert_allclose(correlation_slope(float(t), k), numeric, atol=1e-8)


@given(seed=st.integers(0, 10_000), k=st.integers(2, 6), share=st.sampled_from([0.0, 1e-9, 0.3, 1.0 - 1e-9, 1.0]))
def test_compound_symmetry_has_the_covariance_it_names(seed, k, share):
    """Standard deviations as given, any two correlations equal, near both ends of the range too."""
    sd = np.random.default_rng(seed).uniform(0.1, 3.0, k)
    rho = lowest_correlation(k) + share * (1.0 - lowest_correlation(k))
    R = np.full((k, k), rho) + (1.0 - rho) * np.eye(k)
    for name, theta in (("cs", np.append(sd, rho)), ("homcs", np.array([sd[0], rho]))):
        F = structure_for(k, name).factor_at(theta)
        D = np.diag(sd) if name == "cs" else sd[0] * np.eye(k)
        np.testing.assert_allclose(F @ F.T, D @ R @ D, atol=1e-13)


def test_a_column_without_variance_says_nothing_of_the_correlation():
    """The others' correlation stays; with one column left there is none, and zero is taken."""
    cs = structure_for(3, "cs")
    F = cs.factor_at(np.array([1.0, 0.0, 2.0, 0.4]))
    np.testing.assert_allclose(cs.theta(F), [1.0, 0.0, 2.0, 0.4], atol=1e-14)
    np.testing.assert_allclose(cs.theta(cs.factor_at(np.array([1.0, 0.0, 0.0, 0.4]))), [1.0, 0, 0, 0], atol=1e-14)


def test_canonical_of_a_factor_with_a_zero_pivot():
    """A zero first row leaves a rotation free; the canonical factor puts the variance on the diagonal."""
    T = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(Unstructured(2).canonical(T), [[0.0, 0.0], [0.0, 5.0]], atol=1e-12)


def test_theta_is_the_column_major_lower_triangle():
    """lme4's order of theta for a 3 x 3 term."""
    rows, columns = Unstructured(3).entries
    assert list(zip(rows, columns, strict=True)) == [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)]


def test_canonical_keeps_the_digits_of_rows_that_are_nearly_parallel():
    """An intercept a million slopes from the data: T T' would keep none of the digits of the last pivot."""
    at_the_middle = np.array([[0.8, 0.0], [-0.3, 0.5]])
    far = np.array([[1.0, -1e6], [0.0, 1.0]]) @ at_the_middle
    L = Unstructured(2).canonical(far)
    back = Unstructured(2).canonical(np.array([[1.0, 1e6], [0.0, 1.0]]) @ L)
    # each way costs the six digits of the distance
    np.testing.assert_allclose(back, at_the_middle * np.sign(np.diag(at_the_middle)), atol=1e-9)


@given(seed=st.integers(0, 10_000), k=st.integers(2, 5), rank=st.integers(0, 4))
def test_a_factor_of_deficient_rank_keeps_its_covariance(seed, k, rank):
    """Any rank, any pivots: a column is zero wherever its pivot is; alone and beside others the same."""
    T = np.zeros((k, k))
    T[:, : min(rank, k)] = np.random.default_rng(seed).integers(-2, 3, (k, min(rank, k)))
    L = Unstructured(k).canonical(T)
    np.testing.assert_allclose(L @ L.T, T @ T.T, atol=1e-12)
    np.testing.assert_array_equal(L, np.tril(L))
    for j in range(k):
        assert L[j, j] > 0 or not L[:, j].any()
    both = Unstructured(k).canonical(np.stack([np.eye(k), T]))
    np.testing.assert_array_equal(both[1], L)
