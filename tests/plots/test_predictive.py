"""Predictive checks draw the frequencies of the data and of simulated data."""

import numpy as np
import pytest

from mixedfx.plots.predictive import bars, frequencies, predictive_check, rootogram


@pytest.fixture
def counts():
    rng = np.random.default_rng(1)
    return rng.poisson(12, size=300), rng.poisson(12, size=(40, 300))


def test_frequencies_count_each_value():
    values, data, found = frequencies(np.array([0, 2, 2]), np.array([[1, 1, 2], [0, 0, 3]]))
    assert values.tolist() == [0, 1, 2, 3]
    assert data.tolist() == [1, 0, 2, 0]
    assert found.tolist() == [[0, 2, 1, 0], [2, 0, 0, 1]]
    _, data, found = frequencies(np.array([0, 9]), np.array([[1, 7]]), 3)
    assert (data.tolist(), found.tolist()) == ([1, 0, 0], [[0, 1, 0]])


def test_densities_end_at_the_bounds_and_keep_their_mass():
    """Areas by the trapezoidal rule on 200 points; what lies beyond the 99.9 % quantiles is not drawn."""
    rng = np.random.default_rng(2)
    y = rng.beta(0.8, 0.6, size=2000)
    for bounds, least in (((0.0, 1.0), 0.99), ((-np.inf, np.inf), 0.97)):
        axes = predictive_check(y, rng.beta(0.8, 0.6, size=(5, 2000)), bounds=bounds)
        for line in axes.lines:
            x, height = (np.asarray(values, dtype=float) for values in line.get_data())
            assert x.min() >= bounds[0]
            assert x.max() <= bounds[1]
            assert least < np.trapezoid(height, x) < 1.01
    at_zero = np.asarray(predictive_check(y, y[None], bounds=(0.0, np.inf)).lines[-1].get_ydata(), dtype=float)[0]
    assert at_zero > 1.5 * np.asarray(predictive_check(y, y[None]).lines[-1].get_ydata(), dtype=float)[20]


def test_bars_are_as_high_as_the_data(counts):
    y, simulated = (values % 3 for values in counts)
    axes = bars(y, simulated, labels=["low", "middle", "high"], name="opinion")
    assert [patch.get_height() for patch in axes.patches] == np.bincount(y).tolist()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["low", "middle", "high"]
    points = axes.lines[0].get_ydata()
    assert np.asarray(points) == pytest.approx([np.mean((simulated == v).sum(axis=1)) for v in range(3)])


def test_bars_of_a_rootogram_hang_from_the_expected_curve(counts):
    y, simulated = counts
    axes = rootogram(y, simulated)
    curve = np.asarray(axes.lines[0].get_ydata())
    tops = [patch.get_y() + patch.get_height() for patch in axes.patches]
    assert tops == pytest.approx(curve)
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == pytest.approx(np.sqrt(np.bincount(y, minlength=len(heights))[: len(heights)]))
    assert curve[12] == pytest.approx(np.sqrt((simulated == 12).sum(axis=1)).mean())
