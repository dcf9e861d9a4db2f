"""Effect sizes: every measure with every variance against metafor, laws that need no reference, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, NotEstimableWarning, OptionError
from mixedfx.meta.effect_sizes.layouts import LAYOUTS
from mixedfx.meta.effect_sizes.measures import MEASURES
from mixedfx.meta.effect_sizes.transforms import BACK

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "meta" / "escalc.json").read_text())
# 15 digits are written; the gamma functions of J differ in the last of them, R's integrals in the last five.
TOLERANCE = 1e-9

BCG = pd.DataFrame(
    {
        "tpos": [4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27],
        "tneg": [119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886],
        "cpos": [11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29],
        "cneg": [128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825],
    }
)
CELLS = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}


def asked(answer):
    """What escalc is called with for one answer of the reference; None where the measure has no such variance."""
    entry = MEASURES[answer["measure"]]
    rules = LAYOUTS[entry.layout].rules
    data = pd.DataFrame(REFERENCE["data"][answer["set"]])
    columns = {name: name for name in data.columns if name in rules}
    return data, columns, dict(REFERENCE["treatments"][answer["treatment"]])


ANSWERS = [
    answer
    for answer in REFERENCE["answers"]
    if answer["vtype"] == "LS" or answer["vtype"] in MEASURES[answer["measure"]].variances
]


@pytest.mark.filterwarnings("ignore::mixedfx.errors.NotEstimableWarning")
@pytest.mark.parametrize(
    "answer", ANSWERS, ids=lambda a: "-".join(a[name] for name in ("measure", "vtype", "treatment", "set"))
)
def test_figures_are_those_of_metafor(answer):
    data, columns, options = asked(answer)
    found = mx.escalc(answer["measure"], data, vtype=answer["vtype"], **columns, **options)
    refused = np.array(answer["vi"], dtype=float) < 0  # the unbiased variance of a large correlation may be negative
    for name in ("yi", "vi"):
        expected = np.where(refused, np.nan, np.array(answer[name], dtype=float))
        np.testing.assert_allclose(found[name], expected, rtol=TOLERANCE, atol=1e-12)


def test_every_measure_and_variance_has_a_reference():
    have = {(a["measure"], a["vtype"]) for a in ANSWERS}
    lacking = {
        (name, vtype) for name, measure in MEASURES.items() for vtype in measure.variances if (name, vtype) not in have
    }
    assert lacking == set()


@pytest.mark.parametrize("name", MEASURES)
def test_an_entry_is_complete(name):
    measure = MEASURES[name]
    layout = LAYOUTS[measure.layout]
    assert measure.name == name
    assert measure.title
    assert any(digit.isdigit() for digit in measure.source), "a source has a year"
    assert set(measure.needs) <= set(layout.rules)
    assert measure.back in ("", *BACK)


def test_groups_exchanged_change_the_sign_only():
    """Of all contrasts of two groups; a difference is as precise from either side."""
    swapped = {"ai": "cpos", "bi": "cneg", "ci": "tpos", "di": "tneg"}
    for name in ("RR", "OR", "RD", "AS", "PETO", "PHI", "YUQ", "YUY"):
        one, other = mx.escalc(name, BCG, **CELLS), mx.escalc(name, BCG, **swapped)
        np.testing.assert_allclose(one["yi"], -other["yi"], rtol=1e-9)
        np.testing.assert_allclose(one["vi"], other["vi"], rtol=1e-9)


def test_unbiased_variance_of_a_proportion_is_unbiased():
    """E[p q / (n - 1)] is P Q / n, by the sum over the binomial distribution."""
    from scipy import stats

    n, p = 7, 0.3
    x = np.arange(n + 1)
    v = mx.escalc("PR", xi=x, ni=n, vtype="UB", to="none")["vi"]
    assert np.sum(stats.binom.pmf(x, n, p) * v) == pytest.approx(p * (1 - p) / n, rel=1e-12)


def test_smdh_does_not_depend_on_the_units():
    small = {"m1i": [10.2], "m2i": [8.7], "sd1i": [2.3], "sd2i": [2.9], "n1i": 12, "n2i": 14}
    large = {name: value if name.startswith("n") else [100 * value[0]] for name, value in small.items()}
    pd.testing.assert_frame_equal(mx.escalc("SMDH", **small), mx.escalc("SMDH", **large))


def test_totals_serve_for_the_other_cells():
    totals = BCG.assign(n1=BCG.tpos + BCG.tneg, n2=BCG.cpos + BCG.cneg)
    one = mx.escalc("OR", totals, ai="tpos", n1i="n1", ci="cpos", n2i="n2")
    np.testing.assert_array_equal(one["yi"], mx.escalc("OR", BCG, **CELLS)["yi"])


def test_index_labels_and_columns_of_the_data_are_kept():
    data = BCG.set_axis([f"study {i}" for i in range(13)])
    found = mx.escalc("RR", data, **CELLS, slab=data.index, var_names=("y", "v"))
    assert list(found.columns) == [*BCG.columns, "y", "v", "slab"]
    assert list(found.index) == list(found["slab"]) == list(data.index)


def test_any_frame_serves():
    found = mx.escalc("RR", pl.from_pandas(BCG), **CELLS)
    np.testing.assert_array_equal(found["yi"], mx.escalc("RR", BCG, **CELLS)["yi"])


def test_a_row_that_lacks_a_value_is_nan_without_a_warning(recwarn):
    data = BCG.astype(float)
    data.loc[3, "tneg"] = np.nan
    found = mx.escalc("RR", data, **CELLS)
    assert found["yi"].isna().tolist() == [i == 3 for i in range(13)]
    assert len(recwarn) == 0


def test_variances_by_row():
    kinds = ["ST", "CS"] * 6 + ["ST"]
    found = mx.escalc("PHI", BCG, vtype=kinds, **CELLS)["vi"]
    for kind in ("ST", "CS"):
        chosen = np.array(kinds) == kind
        np.testing.assert_array_equal(found[chosen], mx.escalc("PHI", BCG, vtype=kind, **CELLS)["vi"][chosen])


def test_empty_cells_without_a_constant_are_warned_about_by_row():
    with pytest.warns(NotEstimableWarning, match=r"OR or its variance is not defined in row 1 \(counted from 0\)"):
        found = mx.escalc("OR", ai=[1, 0], bi=[2, 3], ci=[4, 5], di=[6, 7], to="none")
    assert np.isnan(found["vi"][1])


PAIR = {"m1i": [1.0], "m2i": [2.0], "sd1i": [1.0], "sd2i": [1.0], "ri": [0.5], "ni": [10]}


@pytest.mark.parametrize(
    ("measure", "columns", "message"),
    [
        ("RR", {"ai": [5, 3], "n1i": [9, 2], "ci": [1, 1], "n2i": [9, 9]}, "ai is larger than n1i in row 1"),
        ("RR", {"ai": [-1], "bi": [1], "ci": [1], "di": [1]}, "-1 in row 0"),
        ("OR", {"ai": [1.5], "bi": [1], "ci": [1], "di": [1]}, "1.5 in row 0"),
        ("OR", {"ai": [1], "bi": [1], "n1i": [3], "ci": [1], "di": [1]}, "ai and bi do not add up to n1i in row 0"),
        ("COR", {"ri": [0.2, 1.2], "ni": [10, 10]}, "ri is a correlation, and 1.2 in row 1"),
        ("COR", {"ri": [0.2], "ni": [10.5]}, "ni is a sample size, and 10.5 in row 0"),
        ("MC", {**PAIR, "sd1i": [-1.0]}, "sd1i is a standard deviation, and -1 in row 0"),
        ("MC", {**PAIR, "ni": [1]}, "1 in row 0"),
        ("IRR", {"x1i": [1], "x2i": [1], "t1i": [0], "t2i": [1]}, "t1i is a time at risk, and 0 in row 0"),
        ("PR", {"xi": [3, 12, 4], "ni": [10, 11, 3]}, "xi is larger than ni in rows 1 and 2"),
        ("ABT", {"ai": [1.1], "mi": [10], "ni": [100]}, "ai is a reliability, and 1.1 in row 0"),
        ("ABT", {"ai": [0.9], "mi": [1], "ni": [100]}, "mi is a number of items, and 1 in row 0"),
    ],
)
def test_what_cannot_be_is_refused_by_row(measure, columns, message):
    with pytest.raises(DataError, match=message) as refused:
        mx.escalc(measure, **columns)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mx.escalc("LOR", BCG, **CELLS), "measure='LOR' is not known"),
        (lambda: mx.escalc("RR", BCG, ai="tpos", bi="tneg"), r"RR \(log risk ratio\) needs ci="),
        (lambda: mx.escalc("RR", BCG, **CELLS, m1i="tpos"), "RR has no column 'm1i'"),
        (lambda: mx.escalc("RR", BCG, **CELLS, vtype="UB"), "vtype='UB' is not known"),
        (lambda: mx.escalc("RR", BCG, **CELLS, to="zero"), "to='zero' is not known"),
        (lambda: mx.escalc("RR", BCG, **CELLS, add=-1), "add=-1 is no constant"),
    ],
)
def test_options_that_there_are_not(call, message):
    with pytest.raises(OptionError, match=message) as refused:
        call()
    assert refused.value.hint


def test_an_unknown_column_is_offered_its_neighbour():
    with pytest.raises(DataError, match="no column 'tpost'") as refused:
        mx.escalc("RR", BCG, **{**CELLS, "ai": "tpost"})
    assert "'tpos'" in refused.value.hint


@pytest.mark.parametrize("source", ["d", "r", "z", "log_odds"])
@pytest.mark.parametrize("target", ["d", "r", "z", "log_odds"])
def test_conversions_there_and_back(source, target):
    """To rounding: all steps are inverse functions, and their slopes inverse numbers."""
    y, v, sizes = np.array([0.4, -0.1]), np.array([0.05, 0.02]), {"n1i": [10, 40], "n2i": [30, 20]}
    there = mx.convert_effects(y, v, source=source, target=target, **sizes)
    back = mx.convert_effects(there["yi"], there["vi"], source=target, target=source, **sizes)
    np.testing.assert_allclose(back["yi"], y, rtol=1e-12)
    np.testing.assert_allclose(back["vi"], v, rtol=1e-12)


def test_r_of_a_difference_is_the_point_biserial_correlation():
    """d of the pooled sd with divisor n - 2 falls short of r's by the divisor only; exact with divisor n."""
    rng = np.random.default_rng(1)
    group = np.repeat([0.0, 1.0], [12, 20])
    x = rng.normal(size=32) + group
    spread = np.sqrt(sum(((x[group == g] - x[group == g].mean()) ** 2).sum() for g in (0, 1)) / 32)
    d = (x[group == 1].mean() - x[group == 0].mean()) / spread
    found = mx.convert_effects([d], source="d", target="r", n1i=[12], n2i=[20])["yi"][0]
    assert found == pytest.approx(np.corrcoef(x, group)[0, 1], rel=1e-12)


@pytest.mark.parametrize("name", [n for n, m in MEASURES.items() if m.back and m.layout in ("proportion", "rate")])
def test_ways_back_lead_back(name):
    measure = MEASURES[name]
    columns = {"xi": [3, 17]} | ({"ni": [20, 40]} if measure.layout == "proportion" else {"ti": [20.0, 40.0]})
    y = mx.escalc(name, **columns)["yi"].to_numpy()
    np.testing.assert_allclose(BACK[measure.back](y), [0.15, 0.425], rtol=1e-12)
