"""The search for the ends of a profile on curves whose ends are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.inference.profile import Node, Range, find_end, interpolate, trace
from mixedfx.inference.replicates import run_blocks

FREE = Range(-np.inf, np.inf, 1.0)


def from_zeta(zeta, slope):
    """The deviance whose zeta is this function."""
    return lambda c: (zeta(c) ** 2, 2 * zeta(c) * slope(c))


@given(
    centre=st.floats(-50, 50),
    spread=st.floats(1e-3, 1e3),
    bend=st.floats(-0.25, 0.25),
    guess=st.floats(0.02, 50.0),
    z=st.floats(0.3, 4.0),
    side=st.sampled_from([-1, 1]),
)
def test_ends_of_a_bent_curve_whatever_the_first_step(centre, spread, bend, guess, z, side):
    """c = centre + spread (zeta + bend zeta |zeta| / 2), which has a closed inverse."""

    def value_at(zeta):
        return centre + spread * (zeta + bend * zeta * abs(zeta) / 2)

    def zeta_at(c):
        # the inverse of t + bend t |t| / 2; beyond the turning point of a downward bend the curve stays flat
        t = (c - centre) / spread
        return 2 * t / (1 + np.sqrt(max(1 + 2 * bend * abs(t), 0.0)))

    def slope(c):
        return 1 / (spread * max(1 + bend * abs(zeta_at(c)), 1e-12))

    if 1 + bend * z <= 0.05:
        return
    found = find_end(from_zeta(zeta_at, slope), centre, side, z, Range(-np.inf, np.inf, guess * spread))
    # a Newton step from within 1e-5 of the quantile leaves 1e-10 of it
    assert found.value == pytest.approx(value_at(side * z), abs=1e-7 * spread)
    assert not found.boundary


def test_a_boundary_before_the_quantile_is_the_end():
    curve = from_zeta(lambda c: c - 1.0, lambda c: 1.0)
    low = find_end(curve, 1.0, -1, 1.96, Range(0.0, np.inf, 0.3))
    assert (low.value, low.boundary) == (0.0, True)
    low = find_end(curve, 1.0, -1, 0.5, Range(0.0, np.inf, 0.3))
    assert low.value == pytest.approx(0.5)
    assert not low.boundary
    at_edge = find_end(curve, 0.0, -1, 1.96, Range(0.0, np.inf, 0.3))
    assert at_edge.boundary


def test_a_curve_that_cannot_be_evaluated_far_out_is_bracketed():
    def deviance(c):
        return (np.inf, np.nan) if c <= 0 else (np.log(c) ** 2, 2 * np.log(c) / c)

    found = find_end(deviance, 1.0, -1, 3.0, Range(0.0, np.inf, 0.5))
    assert found.value == pytest.approx(np.exp(-3.0), rel=1e-7)


def test_a_trace_reaches_beyond_the_quantile_or_ends_on_the_boundary():
    nodes = trace(from_zeta(lambda c: 2 * (c - 0.6), lambda c: 2.0), 0.6, Range(0.0, np.inf, 0.5), 2.0)
    assert nodes[0].value == 0.0
    assert nodes[-1].zeta >= 2.0
    assert np.diff([n.zeta for n in nodes]).max() < 1.5
    for z in (-1.0, -0.2, 0.0, 0.3, 1.7):
        assert interpolate(nodes, z) == pytest.approx(0.6 + z / 2, abs=1e-9)
    assert np.isnan(interpolate(nodes, -3.0))


def test_interpolation_takes_the_slopes_where_they_are_known():
    nodes = [Node(1.0, 0.0, np.nan), Node(np.exp(0.5), 0.5, np.exp(-0.5)), Node(np.exp(1.0), 1.0, np.exp(-1.0))]
    # cubic between points half apart: h^4 / 384 times the fourth derivative
    assert interpolate(nodes, 0.75) == pytest.approx(np.exp(0.75), abs=0.5**4 / 384 * np.e)
    assert interpolate(nodes, 0.25) == pytest.approx(np.exp(0.25), rel=0.02)


@pytest.mark.parametrize("n", [1, 7, 20])
def test_blocks_cover_all_replicates_with_seeds_of_their_own(n):
    found = run_blocks(lambda size, seeds: (size, seeds.spawn_key), n, block=6, seed=1)
    assert sum(size for size, _ in found) == n
    assert len({key for _, key in found}) == len(found)
