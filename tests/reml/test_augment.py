"""fit.augment() against broom.mixed (tests/reference/gen_augment.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx

HERE = Path(__file__).resolve().parent.parent
REFERENCE = json.loads((HERE / "reference" / "augment" / "augment.json").read_text())


@pytest.mark.parametrize(
    ("name", "options"), [("sleepstudy", {}), ("sleepstudy_weighted", {"weights": "w", "offset": "off"})]
)
def test_broom_columns(name, options):
    data = pd.read_csv(HERE / "data" / f"{name}.csv")
    found = mx.lmer("Reaction ~ Days + (Days | Subject)", data, **options).augment()
    for column in (".fitted", ".resid", ".hat", ".cooksd", ".fixed", ".offset", ".weights", ".wtres"):
        # R's optimiser stops where theta is right to some 1e-6; residuals near zero are compared on their scale
        scale = np.abs(REFERENCE[name][column]).max()
        np.testing.assert_allclose(found[column], REFERENCE[name][column], rtol=2e-5, atol=1e-6 * scale)


def test_keeps_the_rows_used_and_a_transformed_response():
    data = pd.read_csv(HERE / "data" / "sleepstudy.csv")
    data.loc[[3, 17], "Days"] = np.nan
    found = mx.lmer("log(Reaction) ~ Days + (1 | Subject)", data).augment()
    assert len(found) == 178
    np.testing.assert_allclose(found["log(Reaction)"], np.log(found["Reaction"]))
    np.testing.assert_allclose(found[".fitted"] + found[".resid"], found["log(Reaction)"])
