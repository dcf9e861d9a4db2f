"""What a fit of crossed factors is said to need is what it takes: neither a third of it nor a multiple."""

import re
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

from mixedfx.errors import MemoryForecastError
from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

LEVELS = 600


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    a, b = np.repeat(np.arange(LEVELS + 20), 15), rng.integers(0, LEVELS, 15 * (LEVELS + 20))
    x = rng.normal(size=len(a))
    y = (1 + 0.5 * x) * rng.normal(size=LEVELS + 20)[a] + rng.normal(size=LEVELS)[b] + rng.normal(size=len(a))
    return pd.DataFrame({"a": a, "b": b, "x": x, "y": y})


def forecast_and_peak(monkeypatch, work, empty=2**18):
    """Megabytes that are said to be needed where nothing is free, and those that the work takes where all is."""
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=empty))
        with pytest.raises(MemoryForecastError) as caught:
            work()
    said = float(re.search(r"needs ([\d,]+) MB", str(caught.value)).group(1).replace(",", ""))
    work()  # what is made once, such as compiled code, is no part of it
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return said, (tracemalloc.get_traced_memory()[1] - before) / 2**20
    finally:
        tracemalloc.stop()


def test_a_fit_takes_what_was_forecast(data, monkeypatch):
    """Measured 0.9 of it, half of which are pairs of entries; products of the data come on top, 2 MB here."""
    said, peak = forecast_and_peak(monkeypatch, lambda: lmer("y ~ 1 + (1 | a) + (1 | b)", data))
    assert 0.7 * said < peak < 1.1 * said + 4


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | a) + (1 | b)", "y ~ 1 + (1 + x | a) + (1 | b)"])
def test_kenward_and_rogers_method_takes_what_was_forecast(data, monkeypatch, formula):
    fit = lmer(formula, data)
    said, peak = forecast_and_peak(monkeypatch, lambda: fit.update(formula).tidy(ddf="kenward-roger"), empty=24 * 2**20)
    assert 0.7 * said < peak < 1.2 * said + 6
