"""Coordinates of covariances for sampling: maps, gradients and induced densities, for every registered structure."""

import numpy as np
import pytest
from scipy import integrate, stats

from mixedfx.covariance.exchangeable import Equal
from mixedfx.covariance.sampled import Free, OneAngle
from mixedfx.covariance.serial import Serial
from mixedfx.covariance.structures import STRUCTURES, structure_for

EVERY = [structure_for(k, name).sampled for name in STRUCTURES for k in (1, 2, 3, 5)]
NAMED = {"ids": lambda s: f"{type(getattr(s, 'correlation', s)).__name__}-{s.k}-{getattr(s, 'shared', '')}"}


def points(shape, count=4, seed=0):
    rng = np.random.default_rng(seed)
    return 0.5 * rng.normal(size=(count, shape.n_sds)), 0.7 * rng.normal(size=(count, shape.n_correlations))


@pytest.mark.parametrize("structure", [structure_for(k, n) for n in STRUCTURES for k in (1, 2, 4)], ids=str)
def test_as_many_coordinates_as_components_and_every_factor_is_of_the_family(structure):
    shape = structure.sampled
    assert shape.n_sds == sum(c.kind == "sd" for c in structure.components)
    F = shape.factor(*points(shape))
    again = structure.factor(structure.parameters(F))
    np.testing.assert_allclose(again @ again.transpose(0, 2, 1), F @ F.transpose(0, 2, 1), atol=1e-12)
    sds = [c.value(F) for c in structure.components if c.kind == "sd"]
    np.testing.assert_allclose(np.log(sds).T, points(shape)[0], rtol=1e-10)


@pytest.mark.parametrize("shape", EVERY, **NAMED)
def test_coordinates_and_factor_are_inverse(shape):
    log_sd, y = points(shape)
    found = shape.coordinates(shape.factor(log_sd, y))
    np.testing.assert_allclose(found[0], log_sd, atol=1e-10)
    np.testing.assert_allclose(found[1], y, atol=1e-9)


@pytest.mark.parametrize("shape", EVERY, **NAMED)
def test_gradients_are_differences(shape):
    """Over 1e-6 of coordinates, good to 1e-8."""
    log_sd, y = points(shape)
    G = np.random.default_rng(2).normal(size=(4, shape.k, shape.k))
    of_sd, of_y = shape.pull(log_sd, y, G)

    def value(a, b):
        return (G * shape.factor(a, b)).sum(axis=(1, 2))

    for j in range(shape.n_sds):
        step = 1e-6 * np.eye(shape.n_sds)[j]
        np.testing.assert_allclose(of_sd[:, j], (value(log_sd + step, y) - value(log_sd - step, y)) / 2e-6, atol=1e-7)
    for j in range(shape.n_correlations):
        step = 1e-6 * np.eye(shape.n_correlations)[j]
        np.testing.assert_allclose(of_y[:, j], (value(log_sd, y + step) - value(log_sd, y - step)) / 2e-6, atol=1e-7)
        slope = (shape.log_lkj(y + step, 1.7) - shape.log_lkj(y - step, 1.7)) / 2e-6
        np.testing.assert_allclose(shape.lkj_score(y, 1.7)[:, j], slope, atol=1e-7)


@pytest.mark.parametrize("kind", [Equal, Serial])
@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("eta", [1.0, 2.5])
def test_one_correlation_has_the_lkj_density_along_its_line(kind, k, eta):
    """|R|^(eta - 1) in rho, normalised by quadrature; and draws have that distribution."""
    family = kind(k)
    shape, lowest = OneAngle(family, False), family.lowest

    def unnormalised(rho):
        return np.array([np.linalg.det(family.matrix(r)) for r in np.ravel(rho)]) ** (eta - 1)

    whole = integrate.quad(lambda rho: unnormalised(rho)[0], lowest, 1)[0]
    y = np.array([[-1.0], [0.2], [1.5]])
    x = (1 + np.tanh(y[:, 0])) / 2
    rho = lowest + x * (1 - lowest)
    jacobian = (1 - lowest) * 2 * x * (1 - x)  # d rho / d y
    np.testing.assert_allclose(np.exp(shape.log_lkj(y, eta)), unnormalised(rho) / whole * jacobian, rtol=1e-9)
    drawn = np.tanh(shape.draw_lkj(np.random.default_rng(1), 4000, eta)[:, 0])
    assert stats.kstest((1 + drawn) / 2, stats.beta(*family.shapes(eta)).cdf).pvalue > 0.01


@pytest.mark.parametrize("kind", [Equal, Serial])
def test_of_two_columns_it_is_the_lkj_distribution_itself(kind):
    log_sd, y = np.zeros((5, 2)), np.linspace(-2, 2, 5)[:, None]
    ours, free = OneAngle(kind(2), False), Free(2)
    np.testing.assert_allclose(ours.log_lkj(y, 2.0), free.log_lkj(y, 2.0), rtol=1e-12)
    F, G = ours.factor(log_sd, y), free.factor(log_sd, y)
    np.testing.assert_allclose(F @ F.transpose(0, 2, 1), G @ G.transpose(0, 2, 1), atol=1e-14)
