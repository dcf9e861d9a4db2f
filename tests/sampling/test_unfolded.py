"""Standard deviations on a line through zero: the same probability, an exact gradient, and no tail to the left."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.mode import find_modes
from mixedfx.sampling.target import build_target
from mixedfx.sampling.unfolded import unfold


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), 8)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=48), "y": rng.normal(size=6)[g] + rng.normal(size=48)})
    design = build_design("y ~ x + (1 + x | g)", data)
    target = build_target(design, resolve(prior_set("default"), scales_of(design)))
    mode = find_modes(target).best
    return target, mode, unfold(target, mode.phi)


def test_there_and_back_again(setting):
    _, mode, density = setting
    phi = mode.phi + np.random.default_rng(2).normal(0, 4, (200, len(mode.phi)))
    phi[0, density.folded], phi[1, density.folded] = 50.0, -50.0
    np.testing.assert_allclose(density.phi(density.v(phi)), phi, rtol=1e-12, atol=1e-9)
    v = density.v(phi)
    mirrored = v.copy()
    mirrored[:, density.folded] *= -1
    np.testing.assert_array_equal(density.phi(mirrored), density.phi(v))


def test_the_density_is_that_of_the_target_times_the_jacobian(setting):
    """log p(v) - log p(phi) is the logarithm of d phi / d v, here by differences."""
    target, mode, density = setting
    v = density.v(mode.phi + np.random.default_rng(3).normal(0, 0.7, (20, len(mode.phi))))
    h = 1e-6
    step = np.zeros(len(mode.phi))
    step[density.folded] = h
    slope = (density.phi(v + step) - density.phi(v - step))[:, density.folded] / (2 * h)
    expected = target.log_density(density.phi(v)) + np.log(slope).sum(axis=1)
    np.testing.assert_allclose(density(v)[0], expected, rtol=1e-7)


def test_the_gradient_is_that_of_the_density_on_both_sides_of_zero(setting):
    _, mode, density = setting
    v = density.v(mode.phi + np.random.default_rng(4).normal(0, 0.7, (6, len(mode.phi))))
    v[1::2, density.folded] *= -1
    v[2, density.folded[0]] = 1e-4  # where two large terms cancel
    value, gradient = density(v)
    assert np.isfinite(value).all()
    for j in range(v.shape[1]):
        step = np.zeros(v.shape[1])
        step[j] = 1e-5
        numeric = (density(v + step)[0] - density(v - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[:, j], numeric, rtol=1e-5, atol=1e-5)


def test_what_no_computer_can_tell_from_zero_has_no_density(setting):
    _, mode, density = setting
    v = np.tile(density.v(mode.phi), (3, 1))
    v[0, density.folded[0]], v[1, density.folded[0]], v[2, 0] = 0.0, 1e4, 1e3
    value, gradient = density(v)
    assert value.tolist() == [-np.inf] * 3
    assert not gradient.any()


def test_the_distance_to_zero_is_finite(setting):
    """Half of a standard deviation from the mode in v, log sd has gone to minus infinity."""
    _, mode, density = setting
    sd = np.sqrt(np.diag(density.covariance(mode.covariance)))[density.folded]
    assert (density.v(mode.phi)[density.folded] < 3 * sd).any()
    assert density.v(mode.phi)[density.folded] == pytest.approx(np.arcsinh(1.0))
