"""Every registered structure keeps the contract par -> T, at sizes one, two and many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.covariance.angles import Polar
from mixedfx.covariance.components import Component
from mixedfx.covariance.exchangeable import Equal
from mixedfx.covariance.serial import Serial
from mixedfx.covariance.structures import STRUCTURES, is_special_case, structure_for
from mixedfx.covariance.triangular import Unstructured

SIZES = (1, 2, 3, 6)
REGISTERED = [structure_for(k, name) for name in STRUCTURES for k in SIZES]
SHAPES = [
    Polar(kind(k), shared, name, plain)
    for k in (2, 4)
    for kind, name in ((Equal, "cs"), (Serial, "hetar1"))
    for shared, plain in ((True, ()), (False, (0,)), (False, ()))
]
FAMILIES = [kind(k) for kind in (Equal, Serial) for k in (2, 3, 6)]
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
        angle = isinstance(structure, Polar) and m == structure.n_sds
        par[m] = structure.correlation.angle(structure.correlation.lowest) - 1e-9 if angle else 1e-9
        there = structure.snapped(par, 1e-6)
        assert structure.at_end(there, 0.0).tolist() == [i == m for i in range(len(par))]
        if structure.free:  # of a triangle, where the rest of the column is zero as well
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
            found = [covariance[i, j] / (sd[i] * sd[j]) for i, j in component.pairs]
            np.testing.assert_allclose(found, component.value(T), rtol=1e-9, atol=1e-12)
    columns = tuple(f"c{i}" for i in range(structure.k))
    names = [(c.kind, *c.names(columns, "shared")) for c in structure.components]
    assert len(set(names)) == len(names)
    assert len(set(structure.theta_labels(columns, "shared"))) == structure.n_parameters
    assert len(names) == structure.n_parameters


@pytest.mark.parametrize("structure", [s for s in REGISTERED if not s.free], **NAMED)
def test_a_held_component_is_a_parameter(structure):
    """In the shape that `held` gives, moving its parameter moves the component and keeps the family."""
    T = structure.factor(drawn(structure))
    for component in structure.components:
        shape, at, family = structure.held(component)
        par = shape.parameters(T)
        value = float(component.value(shape.factor(par)))
        np.testing.assert_allclose(value, component.value(T), rtol=1e-10)
        if component.kind == "sd":
            np.testing.assert_allclose(par[at], value, rtol=1e-12)
        else:
            np.testing.assert_allclose(family.correlation(par[at]), value, rtol=1e-10)


def test_a_correlation_is_undefined_where_nothing_varies():
    assert np.isnan(Component("cor", (0, 1)).value(np.diag([1.0, 0.0])))
    assert np.isnan(Component("cor", (0, 1, 2)).value(np.diag([1.0, 0.0, 0.0])))


@given(kind=st.sampled_from([Equal, Serial]), k=st.integers(2, 60), share=st.floats(0.0, 1.0))
def test_angles_and_correlations(kind, k, share):
    """Over the whole range, whose ends are exact; cos and sin lose at most a few units of rounding."""
    family = kind(k)
    rho = family.lowest + share * (1.0 - family.lowest)
    t = family.angle(rho)
    assert 0.0 <= t <= family.angle(family.lowest)
    np.testing.assert_allclose(family.correlation(t), rho, atol=4e-16 * k)
    step = 1e-6
    numeric = (family.correlation(t + step) - family.correlation(t - step)) / (2 * step)
    np.testing.assert_allclose(family.slope(float(t)), numeric, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{type(f).__name__}-{f.k}")
def test_roots_of_correlation_matrices(family):
    """U U' = R all over the range and at its ends, which y reaches as well; the slope of R is that of differences."""
    for rho in (family.lowest, 0.7 * family.lowest, 0.0, 0.3, 0.9999, 1.0):
        t = family.angle(rho)
        U = family.root(np.cos(t), np.sin(t))
        np.testing.assert_allclose(U @ U.T, family.matrix(rho), atol=1e-13)
        numeric = (family.matrix(rho + 1e-6) - family.matrix(rho - 1e-6)) / 2e-6
        np.testing.assert_allclose(family.matrix_slope(rho), numeric, atol=1e-8)
        np.testing.assert_allclose(family.of_rows(U, np.ones(family.k, dtype=bool)), t, atol=1e-12)
    y = np.array([-40.0, -3.0, 0.0, 2.0, 40.0])  # at the first an angle has no digits of it left
    c, s, slope = family.cosines(y)
    np.testing.assert_allclose(c**2 + s**2, 1.0, rtol=1e-14)
    np.testing.assert_allclose(family.unconstrained(np.arctan2(s, c))[1:], y[1:], rtol=1e-9, atol=1e-15)
    numeric = [np.arctan2(*family.cosines(v)[1::-1]) for v in (y + 1e-6, y - 1e-6)]
    np.testing.assert_allclose(slope, (numeric[0] - numeric[1]) / 2e-6, atol=1e-8)


@given(seed=st.integers(0, 10_000), k=st.integers(2, 7), share=st.sampled_from([0.0, 1e-9, 0.3, 0.8, 1.0 - 1e-9, 1.0]))
def test_serial_correlation_has_the_covariance_it_names(seed, k, share):
    """s_i s_j rho^|i - j|, near both ends of the range too, and theta comes back."""
    sd = np.random.default_rng(seed).uniform(0.1, 3.0, k)
    rho = 2.0 * share - 1.0
    R = np.array([[rho ** abs(i - j) for j in range(k)] for i in range(k)])
    for name, theta in (("hetar1", np.append(sd, rho)), ("ar1", np.array([sd[0], rho]))):
        structure = structure_for(k, name)
        F = structure.factor_at(theta)
        D = np.diag(sd) if name == "hetar1" else sd[0] * np.eye(k)
        np.testing.assert_allclose(F @ F.T, D @ R @ D, atol=1e-13)
        np.testing.assert_allclose(structure.theta(F), theta, rtol=1e-12)


def test_columns_without_variance_leave_the_correlation_of_the_others():
    """Of neighbours where two vary; of the others the root of their power, which is positive if even."""
    serial = structure_for(5, "hetar1")
    for sd, rho in (([1, 0, 2, 1, 0], -0.4), ([1, 0, 0, 2, 0], -0.4), ([1, 0, 2, 0, 1], 0.4), ([1, 0, 0, 2, 0], 1.0)):
        theta = np.array([*sd, rho], dtype=float)
        np.testing.assert_allclose(serial.theta(serial.factor_at(theta)), theta, atol=1e-12)
    one = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.4])
    np.testing.assert_allclose(serial.theta(serial.factor_at(one)), [0, 1, 0, 0, 0, 0], atol=1e-14)


SPECIAL = {
    "id": {"diag", "homcs", "cs", "ar1", "hetar1"},
    "diag": {"cs", "hetar1"},
    "homcs": {"cs"},
    "ar1": {"hetar1"},
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_which_structures_are_special_cases_is_found(name):
    """Of four columns those listed; of two any one correlation is any other; a column of its own is one of any sds."""
    found = {s for s in STRUCTURES if is_special_case(structure_for(4, name), structure_for(4, s), range(4))}
    assert found == {name, "us"} | SPECIAL.get(name, set())
    one = {s for s in STRUCTURES if is_special_case(structure_for(1, name), structure_for(3, s), (1,))}
    assert one == {s for s in STRUCTURES if structure_for(3, s).n_sds == 3}
    assert is_special_case(structure_for(2, "ar1"), structure_for(2, "homcs"), (0, 1))
    assert not is_special_case(structure_for(3, "ar1"), structure_for(3, "hetar1"), (0, 2, 1))


@given(seed=st.integers(0, 10_000), k=st.integers(2, 6), share=st.sampled_from([0.0, 1e-9, 0.3, 1.0 - 1e-9, 1.0]))
def test_compound_symmetry_has_the_covariance_it_names(seed, k, share):
    """Standard deviations as given, any two correlations equal, near both ends of the range too."""
    sd = np.random.default_rng(seed).uniform(0.1, 3.0, k)
    lowest = Equal(k).lowest
    rho = lowest + share * (1.0 - lowest)
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
