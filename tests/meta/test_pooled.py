"""Mantel-Haenszel and Peto against metafor, and what holds without a reference."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
REFERENCE = json.loads((FOLDER / "after.json").read_text())
BCG = pd.DataFrame(json.loads((FOLDER / "rma.json").read_text())["data"]["bcg"])
ZERO, RATES = (pd.DataFrame(REFERENCE["data"][name]) for name in ("zero", "rates"))
CELLS = {
    "bcg": (BCG, {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}),
    "zero": (ZERO, {name: name for name in ("ai", "bi", "ci", "di")}),
    "rates": (RATES, {name: name for name in ("x1i", "x2i", "t1i", "t2i")}),
}
# sums of products of counts of five digits: rounding of the differences in them
TOLERANCE = 1e-9


def close(found, expected):
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=TOLERANCE, atol=1e-12)


def agrees(fit, expected):
    table = fit.tidy()
    for column, key in {"estimate": "beta", "std_error": "se", "statistic": "z", "p_value": "p"}.items():
        close(table[column][0], expected[key])
    close(table[["conf_low", "conf_high"]].to_numpy()[0], [expected["low"], expected["high"]])
    close([fit.QE, fit.tests["p_value"][0], fit.i2, fit.h2], [expected[k] for k in ("QE", "QEp", "I2", "H2")])
    assert fit.k == expected["k_yi"]
    tests = fit.tests.set_index("test")
    names = {"MH": "No effect (Cochran-Mantel-Haenszel)", "BD": "One odds ratio (Breslow-Day)"}
    for key, name in {**names, "TA": "One odds ratio (with Tarone's term)"}.items():
        if expected[key] is None:
            assert name not in tests.index
        else:
            close(tests.loc[name, ["statistic", "p_value"]].astype(float), [expected[key], expected[f"{key}p"]])


@pytest.mark.parametrize("name", [name for name in REFERENCE["mh"] if name != "corrected OR"])
def test_mantel_haenszel_is_that_of_metafor(name):
    data, measure = name.split()
    frame, columns = CELLS[data]
    agrees(mx.rma_mh(measure, frame, **columns), REFERENCE["mh"][name])


@pytest.mark.parametrize("name", REFERENCE["added"])
def test_a_constant_in_the_pooled_tables_is_that_of_metafor(name):
    """Cochran's Q and the tests of tables included; of Peto's method the effect.

    Its Q in metafor has a term of the table without events, which 1/2 gives a variance, and no degree of freedom of it.
    """
    data, measure, to = name.split()
    frame, columns = CELLS[data]
    options, expected = {"add": 0.5, "to": to, **columns}, REFERENCE["added"][name]
    if measure != "PETO":
        agrees(mx.rma_mh(measure, frame, **options), expected)
        return
    table = mx.rma_peto(frame, **options).tidy()
    close(table[["estimate", "std_error"]].to_numpy()[0], [expected["beta"], expected["se"]])


def test_constants_that_are_none_are_refused():
    frame, columns = CELLS["zero"]
    for wrong in ({"add": -0.5}, {"add": "half"}, {"to": "some"}):
        with pytest.raises(OptionError):
            mx.rma_mh("OR", frame, **wrong, **columns)


def test_without_the_correction():
    frame, columns = CELLS["bcg"]
    agrees(mx.rma_mh("OR", frame, correct=False, **columns), REFERENCE["mh"]["corrected OR"])


@pytest.mark.parametrize("name", REFERENCE["peto"])
def test_petos_method_is_that_of_metafor(name):
    frame, columns = CELLS[name]
    agrees(mx.rma_peto(frame, **columns), REFERENCE["peto"][name])


def test_one_table_is_its_own_odds_ratio():
    fit = mx.rma_mh("OR", ai=[12], bi=[30], ci=[7], di=[45])
    one = mx.escalc("OR", ai=[12], bi=[30], ci=[7], di=[45])
    close([fit.estimate, fit.std_error**2], [one["yi"][0], one["vi"][0]])
    assert str(fit.summary())


def test_totals_serve_and_missing_rows_are_left_out():
    frame, columns = CELLS["zero"]
    totals = frame.assign(n1=frame.ai + frame.bi, n2=frame.ci + frame.di).astype(float)
    totals.loc[len(totals)] = np.nan
    found = mx.rma_mh("RR", totals, ai="ai", n1i="n1", ci="ci", n2i="n2")
    close(found.estimate, mx.rma_mh("RR", frame, **columns).estimate)


def test_what_cannot_be_pooled_is_refused():
    none = {"ai": [0, 0], "bi": [10, 12], "ci": [0, 0], "di": [9, 11]}
    with pytest.raises(ModelError, match="no events from which to estimate OR"):
        mx.rma_mh("OR", **none)
    with pytest.raises(ModelError, match="no events"):
        mx.rma_peto(**none)
    assert mx.rma_mh("RD", **none).estimate == 0
    with pytest.raises(OptionError, match="measure='SMD' is not known"):
        mx.rma_mh("SMD", **none)
    with pytest.raises(DataError, match="ai is larger than n1i in row 0"):
        mx.rma_mh("OR", ai=[9], n1i=[8], ci=[1], n2i=[9])
    with pytest.raises(OptionError, match="needs ci="):
        mx.rma_peto(ai=[1], bi=[2])
