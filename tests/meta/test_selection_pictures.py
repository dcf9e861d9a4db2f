"""What the picture of a weight function draws."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.meta.selection.pictures import weight_table
from mixedfx.meta.selection.weights import WEIGHT_FUNCTIONS

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
DATA = pd.read_csv(FOLDER / "konstantopoulos2011.csv")


@pytest.mark.parametrize("steps", [(0.025,), (0.025, 0.5)])
def test_steps_are_drawn_with_the_limits_of_the_table(steps):
    fit = mx.selmodel("yi ~ 1", DATA, steps=steps)
    drawn, table = weight_table(fit), fit.weights()
    assert drawn["low"].tolist() == [0.0, *steps]
    assert drawn["high"].tolist() == [*steps, 1.0]
    np.testing.assert_array_equal(drawn["mean"], table["estimate"])
    np.testing.assert_array_equal(drawn[["lower", "upper"]].iloc[1:], table[["conf_low", "conf_high"]].iloc[1:])
    assert drawn.loc[0, ["lower", "upper"]].tolist() == [1.0, 1.0]  # the reference, which is known
    np.testing.assert_array_equal(drawn["k"], table["k"])


@pytest.mark.parametrize("name", [name for name, entry in WEIGHT_FUNCTIONS.items() if entry.smooth])
def test_bands_of_smooth_weights_are_those_of_the_delta_method(name):
    """Derivatives of log w by delta from differences of the weights that the fit itself gives.

    Effects turned round, so that selection is estimated and not at its boundary.
    """
    fit = mx.selmodel("yi ~ 1", DATA.assign(yi=0.3 - DATA["yi"]), type=name)
    drawn = weight_table(fit, 0.9)
    p, at = drawn["p"].to_numpy(), fit.estimate.at_weights
    log_weight = WEIGHT_FUNCTIONS[name].log_weight
    assert log_weight is not None
    h, slopes = 1e-6, []
    for j in range(len(fit.delta)):
        step = h * np.eye(len(fit.delta))[j]
        up, down = (log_weight(p, 1 - p, fit.delta + s)[0] for s in (step, -step))
        slopes.append((up - down) / (2 * h))
    variance = np.einsum("am,ab,bm->m", slopes, fit.estimate.maximum.covariance[at, at], slopes)
    half = 1.6448536269514722 * np.sqrt(np.nan_to_num(variance))
    np.testing.assert_allclose(drawn["mean"], fit.weight_at(p), rtol=1e-12)
    np.testing.assert_allclose(drawn["upper"], drawn["mean"] * np.exp(half), rtol=1e-6)
    np.testing.assert_allclose(drawn["lower"], drawn["mean"] * np.exp(-half), rtol=1e-6)


def test_a_wide_interval_does_not_flatten_the_weights():
    """Its end is cut, so that the weights themselves can be read."""
    fit = mx.selmodel("yi ~ 1", DATA, steps=(0.025, 0.5))
    picture = fit.plot()
    assert picture.ax.get_ylim()[1] <= 3.0 * max(1.0, fit.delta.max()) + 1e-9
    assert fit.plot(level=0.5).ax.get_ylim()[1] <= picture.ax.get_ylim()[1]
