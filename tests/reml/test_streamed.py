"""A fit whose rows are read in batches is the fit of the same rows in memory, whatever the rows come from."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import mixedfx as mx
from mixedfx.datasets.benchmark_shapes import simulate_insteval
from mixedfx.design import first_pass, streams
from mixedfx.effects import cells
from mixedfx.errors import DataError, ModelError, OptionError, RowsNotHeldError
from mixedfx.linalg.sums import Sum
from mixedfx.pls.problem import build_problem
from tests.reml import streamed_models
from tests.reml.streamed_models import MODELS, nested, same


def quiet(formula, source, **options):
    """A fit whose rows come in batches, though a database might sum them up (tests/reml/test_pushdown.py)."""
    return streamed_models.quiet(formula, source, **({"control": {"pushdown": False}} | options))


@pytest.fixture(scope="module")
def data():
    star = mx.datasets.load("star")
    return {
        "star": star.assign(sch="s" + star["sch"].astype(str)),
        "weighted nested": nested(),
        "insteval": simulate_insteval(1).data,
    }


@pytest.fixture(scope="module")
def fits(data):
    return {name: quiet(formula, data[name], **options) for name, (formula, options) in MODELS.items()}


def parquet(frame: pd.DataFrame, folder: Path) -> str:
    """Three files of several row groups, and the pattern that names them."""
    for i, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        frame.iloc[part].to_parquet(folder / f"part-{i}.parquet", index=False, row_group_size=900)
    return str(folder / "part-*.parquet")


def csv(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_csv(folder / "data.csv", index=False)
    return str(folder / "data.csv")


def relation(frame: pd.DataFrame, folder: Path):
    return duckdb.connect().from_arrow(pa.Table.from_pandas(frame, preserve_index=False))


def query(frame: pd.DataFrame, folder: Path):
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(frame, preserve_index=False))
    return connection, "SELECT * FROM given"


SOURCES = {
    "parquet": parquet,
    "folder": lambda frame, folder: parquet(frame, folder) and folder,
    "csv": csv,
    "relation": relation,
    "query": query,
    "polars": lambda frame, folder: pl.from_pandas(frame).lazy(),
    "dataset": lambda frame, folder: ds.dataset(parquet(frame, folder).replace("part-*.parquet", ""), format="parquet"),
    "frame": lambda frame, folder: frame,
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("model", ["star", "weighted nested"])
def test_every_source_gives_the_fit_of_the_rows_in_memory(model, kind, data, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    frame, expected = data[model], fits[model]
    formula, options = MODELS[model]
    if kind in ("csv", "relation", "query", "polars"):  # which forget that levels have an order: text, sorted
        frame = frame.assign(**{c: frame[c].astype(str) for c in frame.select_dtypes("category")})
        expected = quiet(formula, frame, **options)
    found = quiet(formula, SOURCES[kind](frame, tmp_path), stream=True, **options)
    assert not found.design.held
    same(found, expected)


def test_crossed_factors_of_a_file_are_those_of_the_frame(data, fits, tmp_path):
    """InstEval's shape: 73,421 rows, two crossed factors and a sparse or dense corner."""
    formula, options = MODELS["insteval"]
    same(quiet(formula, parquet(data["insteval"], tmp_path), stream=True, **options), fits["insteval"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOURCES)
def test_crossed_factors_of_every_source(kind, data, fits, tmp_path):
    """The same of all sources; half a minute."""
    formula, options = MODELS["insteval"]
    same(quiet(formula, SOURCES[kind](data["insteval"], tmp_path), stream=True, **options), fits["insteval"])


def test_what_needs_no_rows_is_answered_as_from_a_frame(data, fits, tmp_path):
    expected, formula = fits["star"], MODELS["star"][0]
    found = quiet(formula, parquet(data["star"], tmp_path), stream=True)
    pd.testing.assert_frame_equal(found.tidy(), expected.tidy(), rtol=1e-7)
    pd.testing.assert_frame_equal(found.tidy(ddf="kenward-roger"), expected.tidy(ddf="kenward-roger"), rtol=1e-6)
    pd.testing.assert_frame_equal(found.varcorr, expected.varcorr, rtol=1e-8)
    pd.testing.assert_frame_equal(found.ranef_sd["sch"], expected.ranef_sd["sch"], rtol=1e-8)
    pd.testing.assert_frame_equal(found.glance(), expected.glance(), rtol=1e-8)
    assert "read in batches" in found.summary().text()
    ours, theirs = (
        fit.summary().text().partition("Scaled residuals")[0].split("Fit\n")[1] for fit in (found, expected)
    )
    assert ours.partition("\nTests")[0].strip() == theirs.strip()  # numbers, groups, random and fixed effects
    new = data["star"].iloc[:50]
    np.testing.assert_allclose(found.predict(new), expected.predict(new), rtol=1e-10)
    interval = found.predict(new, interval="prediction")
    pd.testing.assert_frame_equal(interval, expected.predict(new, interval="prediction"), rtol=1e-6)


def test_maximum_likelihood_and_least_squares(data, tmp_path):
    path = parquet(data["weighted nested"], tmp_path)
    for formula, options in ((MODELS["weighted nested"][0], {"REML": False}), ("y ~ poly(x, 2) + arm", {})):
        options = {"weights": "w"} | options
        same(quiet(formula, path, stream=True, **options), quiet(formula, data["weighted nested"], **options))
    found, expected = (quiet("y ~ x + arm", d, stream=s) for d, s in ((path, True), (data["weighted nested"], None)))
    line = next(line for line in expected.summary().text().splitlines() if "0." in line)
    assert line in found.summary().text()  # R2 and F


TRANSFORMS = [
    "center(x)",
    "scale(x)",
    "scale(x, center=False)",
    "standardize(x)",
    "poly(x, 3)",
    "bs(x, df=6)",
    "bs(x, knots=[2010, 2015], degree=2)",
    "scale(center(x) + o)",
    "cr(x, knots=[2012, 2018])",
    "C(year)",
    "I(x > 2015)",
    "log(x) * arm",
    "C(arm, contr.sum) + np.where(o > 0, 1, 0)",
]


@pytest.mark.parametrize("term", TRANSFORMS)
def test_transforms_learn_from_all_rows(term, data, tmp_path, monkeypatch):
    """What a transform learns (means, knots, levels) is what all rows in memory teach it."""
    monkeypatch.setattr(streams, "BATCH", 700)
    frame = data["weighted nested"].assign(year=lambda d: d["x"].round().fillna(2015).astype(int)).sort_values("x")
    formula = f"y ~ {term} + (1 | school)"
    found, expected = quiet(formula, parquet(frame, tmp_path), stream=True), quiet(formula, frame)
    same(found, expected)
    new = frame.dropna().iloc[::400]
    np.testing.assert_allclose(found.predict(new), expected.predict(new), rtol=1e-9)


def test_a_column_that_is_a_combination_of_others_is_dropped_as_in_memory(data, tmp_path):
    frame = data["weighted nested"].assign(twice=lambda d: 2 * d["x"] - 1, none=0.0)
    formula = "y ~ x + twice + arm + none + (1 | school)"
    with pytest.warns(mx.errors.RankDeficiencyWarning) as memory:
        expected = mx.lmer(formula, frame)
    with pytest.warns(mx.errors.RankDeficiencyWarning) as batches:
        found = mx.lmer(formula, parquet(frame, tmp_path), stream=True)
    assert found.design.aliased == expected.design.aliased == ("twice", "none")
    assert str(memory[0].message) == str(batches[0].message)
    same(found, expected)


def test_a_level_that_comes_last_is_a_level(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 100)
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"y": rng.normal(size=1000), "g": np.arange(1000) // 50, "a": "common"})
    frame.loc[990:, "a"] = "a rare one"
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    found = quiet("y ~ a + (1 | g)", str(tmp_path / "rows.parquet"), stream=True)
    assert found.fixef.index.tolist() == ["Intercept", "a[common]"]
    same(found, quiet("y ~ a + (1 | g)", frame))


def test_categories_keep_the_order_that_they_are_written_in(tmp_path, monkeypatch):
    """Categories without an order of their own, that do not all come in the first batch."""
    monkeypatch.setattr(streams, "BATCH", 100)
    rng = np.random.default_rng(4)
    numbers = np.r_[rng.integers(5, 10, 100), rng.integers(0, 12, 900)]
    g = pd.Categorical.from_codes(numbers, [f"g{i}" for i in range(12)])
    frame = pd.DataFrame({"y": rng.normal(size=1000) + numbers, "g": g, "a": g})
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    for source in (frame, str(tmp_path / "rows.parquet")):
        found = quiet("y ~ 1 + (1 | g)", source, stream=True)
        assert found.ranef["g"].index.tolist() == list(g.categories)
    assert list(quiet("y ~ a", frame, stream=True).fixef.index) == list(quiet("y ~ a", frame).fixef.index)


def test_a_random_intercept_that_the_fixed_part_has_is_said(data):
    frame = data["star"].iloc[:2000]
    with pytest.warns(mx.errors.IdentifiabilityWarning, match="say the same: the fixed effects .*gender") as heard:
        mx.lmer("math ~ gender + (1 | sch) + (1 | gender)", frame, stream=True)
    with pytest.warns(mx.errors.IdentifiabilityWarning) as in_memory:
        mx.lmer("math ~ gender + (1 | sch) + (1 | gender)", frame)
    texts = [{str(w.message) for w in one if "say the same" in str(w.message)} for one in (heard, in_memory)]
    assert texts[0] == texts[1]


def test_few_rows_are_held_and_many_are_not(data, tmp_path, monkeypatch):
    path = parquet(data["star"], tmp_path)
    assert quiet(MODELS["star"][0], path).design.held
    monkeypatch.setattr("mixedfx.reml.sourced.HELD", 5000)
    assert not quiet(MODELS["star"][0], path).design.held
    assert quiet(MODELS["star"][0], path, stream=False).design.held


# --- rows, afterwards ------------------------------------------------------------------------------------------------
def test_rows_are_read_anew_for_fitted_values_and_residuals(data, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula, options = MODELS["weighted nested"]
    expected = fits["weighted nested"]
    found = quiet(formula, parquet(data["weighted nested"], tmp_path), stream=True, **options)
    pd.testing.assert_series_equal(found.fitted, expected.fitted, rtol=1e-9, check_index_type=False)
    for kind in ("response", "pearson", "scaled"):
        pd.testing.assert_series_equal(
            found.residuals(kind), expected.residuals(kind), rtol=1e-7, atol=1e-8, check_index_type=False
        )
    path = found.residuals("scaled", to=tmp_path / "residuals.parquet")
    written = pd.read_parquet(path)
    assert written["row"].tolist() == expected.residuals().index.tolist()
    np.testing.assert_allclose(written["residual"], expected.residuals("scaled"), rtol=1e-7, atol=1e-8)
    assert sorted(p.name for p in tmp_path.iterdir() if "part" not in p.name) == ["residuals.parquet"]


@pytest.mark.parametrize("held", [True, False])
def test_predictions_go_from_file_to_file(held, data, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula, options = MODELS["weighted nested"]
    source = parquet(data["weighted nested"], tmp_path)
    fit = fits["weighted nested"] if held else quiet(formula, source, stream=True, **options)
    new = data["weighted nested"].iloc[:1500]
    expected = fits["weighted nested"].predict(new, se=True, uncertainty=["beta"])
    path = fit.predict(new, se=True, uncertainty=["beta"], to=tmp_path / "predicted.parquet")
    written = pd.read_parquet(path).set_index("row")
    pd.testing.assert_frame_equal(written, expected, rtol=1e-6, check_names=False, check_index_type=False)
    pd.testing.assert_series_equal(
        fit.predict(source), fits["weighted nested"].predict(data["weighted nested"]), rtol=1e-9, check_index_type=False
    )
    own = pd.read_parquet(fit.predict(to=tmp_path / "own.parquet"))
    np.testing.assert_allclose(own["predicted"], fits["weighted nested"].fitted, rtol=1e-9)


def test_a_killed_run_leaves_no_file(tmp_path):
    """The process is killed in the middle of writing: neither the file nor a draft of it is there."""
    script = f"""
import itertools, time, numpy as np, pandas as pd
from mixedfx.reml.batches import written
def batches():
    for i in itertools.count():
        yield pd.Series(np.zeros(1000), index=np.arange(1000) + 1000 * i, name="residual")
        print("one", flush=True)
        time.sleep(0.02)
written(batches(), {str(tmp_path / "out.parquet")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(mx.__file__).parents[1])
    for _ in range(3):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    time.sleep(0.1)
    assert os.listdir(tmp_path) == []


def test_effects_average_over_all_rows(data, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    found = quiet(MODELS["star"][0], parquet(data["star"], tmp_path), stream=True)
    for question in (
        {"by": "race"},
        {"by": ["race", "gender"], "groups": "average"},
        {"subgroups": {"black boys": "race == 'Black' and gender == 'boy'"}},
        {"by": "race", "newdata": data["star"].iloc[::7]},
    ):
        ours, theirs = mx.effects(found, "small", **question).table, mx.effects(fits["star"], "small", **question).table
        order = [c for c in ours if c in ("race", "gender", "subgroup", "contrast")]
        ours, theirs = (
            t.astype(dict.fromkeys(order, str)).sort_values(order).reset_index(drop=True) for t in (ours, theirs)
        )
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, check_dtype=False)


def test_a_covariate_that_cancels_makes_no_cells(data, fits, tmp_path, monkeypatch):
    """Differences by arm do not depend on x, and cells of x would be as many as rows."""
    monkeypatch.setattr(cells, "MOST", 100)
    formula, options = MODELS["weighted nested"]
    found = quiet(formula, parquet(data["weighted nested"], tmp_path), stream=True, **options)
    for treatment in ("arm", "x"):
        ours, theirs = (mx.effects(fit, treatment).table for fit in (found, fits["weighted nested"]))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, check_dtype=False)


def test_what_needs_all_rows_at_once_says_so(data, tmp_path):
    found = quiet(MODELS["star"][0], parquet(data["star"], tmp_path), stream=True)
    for ask in (
        found.check,
        found.influence,
        lambda: found.bootstrap(10),
        found.leverage,
        found.augment,
        lambda: found.residuals("standardized"),
        lambda: found.save(tmp_path / "fit.mfx"),
        found.design_for,
    ):
        with pytest.raises(RowsNotHeldError, match="read its rows in batches"):
            ask()
    assert not (tmp_path / "fit.mfx").exists()


# --- bad input -------------------------------------------------------------------------------------------------------
def test_files_that_are_not_there_or_not_alike(tmp_path):
    def fit(source):
        return mx.lmer("y ~ x + (1 | g)", source, stream=True)

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60), "g": np.arange(60) % 6})
    with pytest.raises(DataError, match=r"there is no file 'nowhere\.parquet'"):
        fit("nowhere.parquet")
    with pytest.raises(DataError, match="no file matches"):
        fit(str(tmp_path / "*.parquet"))
    with pytest.raises(DataError, match="holds no Parquet files"):
        fit(tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="cannot be read as a Parquet file"):
        fit(tmp_path / "broken.parquet")
    (tmp_path / "broken.parquet").unlink()
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"mx\.read"):
        fit(tmp_path / "a.xlsx")

    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    frame.to_parquet(first)
    pattern = str(tmp_path / "*.parquet")
    frame.drop(columns="x").to_parquet(second)
    with pytest.raises(DataError, match=r"'x' is in '.*1\.parquet' and not in '.*2\.parquet'"):
        fit(pattern)
    frame.astype({"x": str}).to_parquet(second)
    with pytest.raises(DataError, match="the files disagree about 'x': double"):
        fit(pattern)
    frame.astype({"x": "float32", "g": "int8"}).to_parquet(second)  # narrower numbers are numbers
    assert fit(pattern).nobs == 120
    with pytest.raises(DataError, match="has no column 'z'"):
        mx.lmer("y ~ z + (1 | g)", str(first), stream=True)


def test_text_where_numbers_were(tmp_path):
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("y,x,g\n" + "".join(f"{i % 7},{i},{i % 5}\n" for i in range(50)))
    second.write_text("y,x,g\n" + "".join(f"{i % 7},{i if i != 30 else 'many'},{i % 5}\n" for i in range(50)))
    with pytest.raises(DataError, match="the files disagree about 'x'"):
        mx.lmer("y ~ x + (1 | g)", str(tmp_path / "*.csv"), stream=True)
    with pytest.raises(DataError, match="the response 'x' is not numeric"):
        mx.lmer("x ~ y + (1 | g)", str(second), stream=True)


def test_numbers_that_one_cell_has_turned_into_text(tmp_path, monkeypatch):
    """They would be as many levels as there are numbers."""
    monkeypatch.setattr(first_pass, "MOST_LEVELS", 40)
    path = tmp_path / "rows.csv"
    path.write_text("y,x,g\n" + "".join(f"{i % 7},{i if i != 30 else 'many'},{i % 5}\n" for i in range(90)))
    with pytest.raises(DataError, match=r"most cells are numbers \('many' is one that is none\)"):
        mx.lmer("y ~ x + (1 | g)", path, stream=True)
    path.write_text("y,x,g\n" + "".join(f"{i % 7},word{i},{i % 5}\n" for i in range(90)))
    with pytest.raises(DataError, match="'x' has more than 40 levels"):
        mx.lmer("y ~ x + (1 | g)", path, stream=True)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_columns_of_a_left_side_that_depend_on_each_other(tmp_path, data):
    """An intercept beside all indicators: the same fit, whatever its variances mean."""
    frame = data["weighted nested"].assign(
        **{f"is_{a}": lambda d, a=a: (d["arm"] == a) * 1.0 for a in ("low", "mid", "high")}
    )
    formula = "y ~ arm + (1 + is_low + is_mid + is_high || school)"
    found, expected = quiet(formula, parquet(frame, tmp_path), stream=True), quiet(formula, frame)
    np.testing.assert_allclose(found.criterion, expected.criterion, rtol=1e-10)
    frame["double"] = 2 * frame["is_low"]
    formula = "y ~ arm + (is_low + double | school)"
    found, expected = quiet(formula, frame, stream=True), quiet(formula, frame)
    for ours, theirs in zip(found.solution.bases, expected.solution.bases, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.criterion, expected.criterion, rtol=1e-9)


def test_columns_that_are_missing_throughout(tmp_path):
    frame = pd.DataFrame({"y": np.arange(20.0), "x": np.nan, "g": np.arange(20) % 4})
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="no rows are left: of 20, 20 lack 'x'"):
        mx.lmer("y ~ x + (1 | g)", tmp_path / "rows.parquet", stream=True)
    table = pa.table({"y": np.arange(20.0), "x": pa.nulls(20), "g": np.arange(20) % 4})
    pq.write_table(table, tmp_path / "nulls.parquet")
    with pytest.raises(DataError, match="no rows are left: of 20, 20 lack 'x'"):
        mx.lmer("y ~ x + (1 | g)", tmp_path / "nulls.parquet", stream=True)
    with pytest.raises(DataError, match="missing values: 'x' in rows 0, 1"):
        mx.lmer("y ~ x + (1 | g)", tmp_path / "rows.parquet", stream=True, na="raise")


def test_options_that_need_rows_are_refused(data, tmp_path):
    path = parquet(data["weighted nested"], tmp_path)
    with pytest.raises(DataError, match="Make them a column"):
        mx.lmer("y ~ x + (1 | school)", path, weights=np.ones(6000), stream=True)
    with pytest.raises(OptionError, match="V= needs all rows"):
        mx.lmer("y ~ x + (1 | school)", path, V=np.ones(6000), stream=True)
    with pytest.raises(ModelError, match="depends on other rows"):
        mx.lmer("y ~ ranked(x) + (1 | school)", path, env={"ranked": lambda x: x.rank()}, stream=True)
    with pytest.raises(ModelError, match="learns from all rows"):
        mx.lmer("scale(y) ~ x + (1 | school)", path, stream=True)
    with pytest.raises(ModelError, match="learns from all rows at once"):
        mx.lmer("y ~ cr(x, df=4) + (1 | school)", path, stream=True)


def test_a_source_that_gives_other_rows_each_time_is_refused(data):
    """A query that draws a sample is answered anew each time."""
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(data["weighted nested"], preserve_index=False))
    with pytest.raises(DataError, match="other rows each time"):
        quiet("y ~ o + (1 | school)", (connection, "SELECT * FROM given WHERE random() < 0.9"), stream=True)


# --- numbers ---------------------------------------------------------------------------------------------------------
def test_sums_over_many_batches_are_as_good_as_exact():
    """Against math.fsum: numbers of mean zero beside one of 1e8, in 4,000 batches."""
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=50) * 10.0 ** rng.integers(-4, 5) for _ in range(4000)]
    parts[17][3] = 1e8
    total = Sum()
    for part in parts:
        total.add(part.sum())
    exact = math.fsum(math.fsum([part.sum()]) for part in parts)
    assert float(total.value) == pytest.approx(exact, rel=2.0**-52)  # two units in the last place


def test_cross_products_are_those_of_exact_sums(tmp_path, monkeypatch):
    """Squares of whole numbers and of decimals that no integer holds, against math.fsum of doubles."""
    monkeypatch.setattr(streams, "BATCH", 500)
    rng = np.random.default_rng(5)
    n = 5000
    whole = rng.integers(-(2**31), 2**31, n).astype(np.int32)  # squares beyond 2^62: sums overflow 64 bits
    y = pa.array([f"{v:.6f}" for v in rng.normal(2e6, 1e5, n)]).cast(pa.decimal128(18, 6))
    table = pa.table({"y": y, "x": whole, "g": np.arange(n) % 10})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=700)
    found = quiet("y ~ x + (1 | g)", tmp_path / "rows.parquet", stream=True)
    problem = found.solution.problem
    gram = problem.R.T @ problem.R
    assert gram[1, 1] == pytest.approx(math.fsum(float(v) ** 2 for v in whole.tolist()), rel=1e-14)
    assert gram[0, 1] == pytest.approx(math.fsum(map(float, whole.tolist())), rel=1e-9)
    memory = build_problem(quiet("y ~ x + (1 | g)", table.to_pandas().astype({"y": float})).design)
    np.testing.assert_allclose(problem.ww, memory.ww, rtol=1e-12, atol=1e-13 * memory.ww.max())
    np.testing.assert_allclose(problem.gram1, memory.gram1, rtol=1e-12)
    np.testing.assert_allclose(problem.zw1, memory.zw1, rtol=1e-10, atol=1e-10 * np.abs(memory.zw1).max())


def test_a_connection_that_is_in_use_says_so(data):
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(data["star"], preserve_index=False))
    connection.execute("SELECT 1 UNION ALL SELECT 2").fetchone()  # an answer that is still open
    with pytest.raises(DataError, match=r"in use.*\n.*fetchall"):
        quiet(MODELS["star"][0], (connection, "SELECT * FROM given"), stream=True)


def test_rows_of_the_sample_are_not_taken_for_rows_of_the_source():
    """Every 16th of 8,192 rows is in it: row 4,096 would be its 256th, and 8,192 bad ones would be 512."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"y": rng.normal(size=8192), "x": rng.normal(size=8192), "g": np.arange(8192) % 16})
    first = np.unique(np.linspace(0, 8191, 512).astype(int))
    one = frame.assign(x=np.where(frame.index == first[256], np.inf, frame["x"]))
    for formula, data in (
        ("y ~ x + (1 | g)", one),
        ("x ~ y + (1 | g)", one),
        ("y ~ 1 + offset(x) + (1 | g)", one),
        ("y ~ I(1e309 * x) + (1 | g)", frame),
        ("y ~ 1 + (1 + log(x - 9) | g)", frame),
    ):
        source = ds.dataset(pa.table({name: data[name].to_numpy() for name in data}))
        with pytest.raises(DataError, match=r"(infinite|not a number) in some rows\n"):
            mx.lmer(formula, source, stream=True)
