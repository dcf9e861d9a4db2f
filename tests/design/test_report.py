"""A design prints as a few lines that a reader can check."""

import numpy as np
import pytest

from mixedfx.design.build import design


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_text(data):
    data.loc[[1, 2], "x"] = np.nan
    data["x2"] = 2 * data["x"]
    data.loc[5, "w"] = 0
    shown = repr(design("y ~ x + x2 + race + offset(k) + (x | g) + (race || h) + (1 | race:gender)", data, weights="w"))
    assert shown.splitlines() == [
        "Design of y ~ x + x2 + race + offset(k) + (x | g) + (race || h) + (1 | race:gender)",
        "57 of 60 rows: 2 dropped for missing values (x 2, x2 2), 1 dropped for a weight of zero",
        "fixed effects (4): Intercept, x, race[Black], race[White]",
        "dropped as linearly dependent: x2",
        "random effects by g (6 levels): Intercept, x (correlated)",
        "random effects by h (10 levels): Intercept, race[Black], race[White] (uncorrelated)",
        "random effects by race:gender (6 levels): Intercept",
        f"weights: {data['w'].drop([1, 2, 5]).min():g} to {data['w'].max():g}",
        "offset: 1 to 5",
    ]


def test_html_is_escaped(data):
    data["a<b"] = data["x"]
    shown = design("y | se(w) ~ `a<b`", data)._repr_html_()
    assert "a&lt;b" in shown
    assert "<b`" not in shown
    assert "known standard deviations" in shown


def test_long_lists_are_cut(data):
    data["many"] = [f"level {i:02d}" for i in range(60)]
    shown = repr(design("y ~ 0 + many", data.iloc[np.r_[0:20, 0:20]]))
    assert shown.splitlines()[2].endswith("many[level 11], ...")
