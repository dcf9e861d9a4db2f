"""The formulas of common families, and their compiled twins, are those of the families themselves."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.families.facts import RowFacts
from mixedfx.families.registry import family
from mixedfx.glmm.densities import DENSITIES
from mixedfx.linalg import density_rows

SHAPES = (0.3, 2.0, 5e4)


def rows(name):
    rng = np.random.default_rng(7)
    eta = np.r_[rng.normal(size=200) * 2, -30.0, -8.0, 8.0, 12.0]
    m = rng.integers(1, 9, len(eta)).astype(float)
    y = {
        "bernoulli": (rng.random(len(eta)) < 0.5).astype(float),
        "binomial": rng.binomial(m.astype(int), 0.4).astype(float),
        "gamma": rng.gamma(2.0, size=len(eta)),
    }.get(name, rng.poisson(3.0, len(eta)).astype(float))
    return y, np.ones_like(m) if name == "bernoulli" else m, eta


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "link"), DENSITIES)
def test_formulas_are_those_of_the_family(name, link, shape):
    """Relative to the largest number of their kind: log densities differ by a constant, rows by rounding."""
    y, m, eta = rows(name)
    kind, own = family(name, link), DENSITIES[name, link]
    facts, auxiliary = RowFacts(trials=m if name == "binomial" else None), {"shape": np.array([shape])}
    exact = kind.derivatives(y, eta[None], auxiliary, facts, 4)[:, 0]
    total, s, w = own.scan(y, m, eta, shape)
    third, fourth = own.higher(y, m, eta, shape)
    for found, expected in ((s, exact[0]), (-w, exact[1]), (-third, exact[2]), (-fourth, exact[3])):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())
    away = eta + 0.1
    density = [kind.log_density(y, at[None], auxiliary, facts).sum() for at in (eta, away)]
    gained = own.scan(y, m, away, shape)[0] - total
    # a negative binomial of shape 5e4 is formed from two terms of 1e6 by the family: nine digits of 1e6 are left
    assert gained == pytest.approx(density[1] - density[0], rel=1e-8, abs=1e-4)


@pytest.mark.parametrize(("name", "link"), DENSITIES)
def test_compiled_twins_say_the_same(name, link):
    y, m, eta = rows(name)
    own = DENSITIES[name, link]
    for shape in SHAPES:
        total, s, w = own.scan(y, m, eta, shape)
        found = np.array([density_rows.density(own.kind, *row, shape) for row in zip(y, m, eta, strict=True)])
        assert found[:, 0].sum() == pytest.approx(total, rel=1e-12)
        np.testing.assert_allclose(found[:, 1], s, rtol=1e-12, atol=1e-12 * np.abs(s).max())
        np.testing.assert_allclose(found[:, 2], w, rtol=1e-12)
        third, fourth = np.empty_like(eta), np.empty_like(eta)
        density_rows.higher_rows(own.kind, y, m, shape, eta, third, fourth)
        for ours, theirs in zip((third, fourth), own.higher(y, m, eta, shape), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12 * np.abs(theirs).max())
