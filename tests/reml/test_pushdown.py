"""Rows that DuckDB sums up: groups of rows come back, and the fit is that of the rows in memory."""

import math

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mixedfx as mx
from mixedfx.datasets.benchmark_shapes import simulate_insteval
from mixedfx.design import aggregates, sql_expressions
from mixedfx.design.expressions import Scope, evaluate
from mixedfx.errors import DataError, ModelError, OptionError, RankDeficiencyWarning, UnseenLevelError
from mixedfx.pls.problem import build_problem
from tests.reml.streamed_models import MODELS, nested, quiet, same

PUSHED = {"stream": True, "control": {"pushdown": True}}


@pytest.fixture(scope="module")
def data():
    """Categories are text: but for types of its own, DuckDB has none."""
    star = mx.datasets.load("star")
    frames = {"star": star.assign(sch="s" + star["sch"].astype(str)), "weighted nested": nested()}
    return {name: f.assign(**{c: f[c].astype(str) for c in f.select_dtypes("category")}) for name, f in frames.items()}


@pytest.fixture(scope="module")
def fits(data):
    return {name: quiet(MODELS[name][0], frame, **MODELS[name][1]) for name, frame in data.items()}


def relation(frame, folder=None):
    return duckdb.connect().from_arrow(pa.Table.from_pandas(frame, preserve_index=False))


def query(frame, folder):
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(frame, preserve_index=False))
    return connection, "SELECT * FROM given"


def parquet(frame, folder):
    for i, part in enumerate(np.array_split(np.arange(len(frame)), 2)):
        frame.iloc[part].to_parquet(folder / f"part-{i}.parquet", index=False)
    return str(folder / "part-*.parquet")


def csv(frame, folder):
    frame.to_csv(folder / "data.csv", index=False)
    return str(folder / "data.csv")


def of_ibis(frame, folder):
    connection = ibis.duckdb.connect()
    connection.con.register("given", pa.Table.from_pandas(frame, preserve_index=False))
    return connection.table("given")


SOURCES = {"relation": relation, "query": query, "parquet": parquet, "csv": csv, "ibis": of_ibis}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("model", ["star", "weighted nested"])
def test_every_source_gives_the_fit_of_the_rows_in_memory(model, kind, data, fits, tmp_path):
    formula, options = MODELS[model]
    found = quiet(formula, SOURCES[kind](data[model], tmp_path), **PUSHED, **options)
    assert found.design.streamed.how.startswith("summed up by DuckDB: ")
    same(found, fits[model])
    for fact in ("total", "missing", "dropped_missing", "dropped_zero_weight"):
        assert getattr(found.design.rows, fact) == getattr(fits[model].design.rows, fact)
    for ours, theirs in zip(found.design.random, fits[model].design.random, strict=True):
        assert ours.sizes.tolist() == theirs.sizes.tolist()


def test_crossed_factors_meet_where_a_group_has_both():
    """Their incidence is the groups; where these have few rows each, they have to be asked for."""
    rng = np.random.default_rng(8)
    s, d, x = rng.integers(0, 60, 4000), rng.integers(0, 40, 4000), rng.normal(size=4000)
    y = x + rng.normal(size=60)[s] + rng.normal(size=40)[d] * (1 + x) + rng.normal(size=4000)
    frame = pd.DataFrame({"y": y, "x": x, "s": s, "d": [f"d{i}" for i in d]})
    formula = "y ~ x + (1 | s) + (1 + x | d)"
    same(quiet(formula, relation(frame), **PUSHED), quiet(formula, frame))
    found = quiet(formula, relation(frame), stream=True)
    assert "of fewer than 30 rows on average" in found.design.streamed.how


@pytest.mark.slow
def test_insteval_is_summed_up():
    """73,421 rows, each a group of its own."""
    frame = simulate_insteval(1).data
    formula, options = MODELS["insteval"]
    same(quiet(formula, relation(frame), **PUSHED, **options), quiet(formula, frame, **options))


PUSHABLE = [
    "0 + arm",
    "x * arm",
    "o:x",  # nearly a multiple of o: no digit may be lost in small groups
    "center(x) : o + arm",
    "scale(x)",
    "scale(x, center=False)",
    "standardize(x, ddof=1)",
    "flag * scale(log(x))",
    "C(arm, contr.sum) * o",
    "C(half) * x",
    "`order` + np.minimum(x, 2015)",
    'arm : `a"b`',
    "I((x - shift) ** 2 / 3 - o)",
]
BATCHED = {
    "poly(x, 2)": "'poly(x, 2)' is not written in SQL",
    "I(x > 2015)": "'I(x > 2015)' is not written in SQL",
    "scale(center(x))": "'scale(center(x))' learns of what learns itself",
    "doubled(x)": "'doubled(x)' is not written in SQL",
    "C(np.round(x))": "makes levels of more than a column",
    "when": "'when' holds neither numbers, text nor booleans",
    "C(year) * arm": "of fewer than 30 rows on average",
}
ENV = {"shift": 2015.0, "doubled": lambda x: 2 * x}


@pytest.fixture(scope="module")
def wide(data):
    frame = data["weighted nested"]
    year = frame["x"].fillna(2015).round().astype(int)
    more = {"flag": frame["o"] > 0, "half": (year > 2014).astype(int), "year": year, "order": frame["o"] ** 2}
    return frame.assign(**more, **{'a"b': 2 * frame["o"] + 1})


@pytest.mark.parametrize("term", PUSHABLE)
def test_formulas_are_written_in_sql(term, wide):
    formula = f"y ~ {term} + (1 + o | school) + (1 | school:class)"
    found = quiet(formula, relation(wide), weights="w", env=ENV, **PUSHED)
    expected = quiet(formula, wide, weights="w", env=ENV)
    same(found, expected)
    new = wide.dropna().iloc[::500]
    np.testing.assert_allclose(found.predict(new), expected.predict(new), rtol=1e-9)


@pytest.mark.parametrize("term", BATCHED)
def test_what_a_database_is_not_asked_is_said(term, wide):
    frame = wide.assign(when=pd.Timestamp("2020-01-01"))
    formula = f"y ~ {term} + (1 | school)"
    if term == "when":
        with pytest.raises(DataError, match="holds dates"):  # the words of batches, and of frames
            quiet(formula, relation(frame), stream=True)
    else:
        found = quiet(formula, relation(frame), stream=True, env=ENV)
        assert found.design.streamed.how.startswith("read in batches and not held (")
        assert BATCHED[term] in found.design.streamed.how
        assert found.design.streamed.how in " ".join(found.summary().text().split())
    if term != "C(year) * arm":
        with pytest.raises(DataError, match="cannot be summed up by a database: ") as error:
            quiet(formula, relation(frame), env=ENV, **PUSHED)
        assert BATCHED[term] in str(error.value)


def test_a_source_without_a_database_says_so(wide):
    with pytest.raises(DataError, match="the data cannot be summed up by a database: the data has no database"):
        quiet("y ~ x + (1 | school)", wide, **PUSHED)
    with pytest.raises(OptionError, match="pushdown"):
        mx.lmer("y ~ x + (1 | school)", wide, control={"pushdown": "yes"})
    with pytest.raises(OptionError, match="passes over them"):
        quiet("y ~ x + (1 | school)", relation(wide), control={"pushdown": True, "solver": "iterative"})
    found = quiet("y ~ x + (1 | school)", relation(wide), stream=True, control={"pushdown": False})
    assert found.design.streamed.how == "read in batches and not held"


def test_few_groups_are_cut_into_parts(data):
    """Least squares has one group, and a sample of one row would not tell x from a constant."""
    frame = data["weighted nested"]
    found = quiet("y ~ x + arm", relation(frame), weights="w", **PUSHED)
    same(found, quiet("y ~ x + arm", frame, weights="w"))
    assert len(found.design.streamed.learnt.sample) > 100


def test_a_database_is_asked_of_itself_where_groups_are_large(data):
    """Without a word in control=, 60 schools of 100 rows are summed up by DuckDB, and 360 classes of 16 are not."""
    source = relation(data["weighted nested"])
    assert "summed up by DuckDB" in quiet("y ~ x + (1 | school)", source, stream=True).summary().text()
    found = quiet("y ~ x + (1 | school:class)", source, stream=True)
    assert "of fewer than 30 rows on average" in found.design.streamed.how


def test_maximum_likelihood_and_dropped_columns(data):
    frame = data["weighted nested"].assign(twice=lambda d: 2 * d["x"] - 1, none=0.0)
    formula = "y ~ x + twice + arm + none + (1 | school)"
    with pytest.warns(RankDeficiencyWarning):
        found = mx.lmer(formula, relation(frame), REML=False, **PUSHED)
    assert found.design.aliased == ("twice", "none")
    same(found, quiet(formula, frame, REML=False))


def test_levels_of_a_type_keep_its_order(data):
    """An ENUM of DuckDB is an ordered category, and its first level the reference."""
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(data["weighted nested"], preserve_index=False))
    connection.sql("CREATE TYPE arms AS ENUM ('mid', 'high', 'low', 'none')")
    sql = "SELECT y, x, school, CAST(arm AS arms) AS arm FROM given"
    found = quiet("y ~ x + arm + (1 | school)", (connection, sql), **PUSHED)
    same(found, quiet("y ~ x + arm + (1 | school)", connection.sql(sql), stream=False))
    assert found.fixef.index.tolist() == ["Intercept", "x", "arm[high]", "arm[low]"]


def test_levels_of_a_file_keep_their_order(tmp_path):
    """Parquet written by pandas remembers the order of categories, and DuckDB does not read it."""
    path = parquet(nested(), tmp_path)
    found = quiet("y ~ x + arm + (1 | school)", path, stream=True)
    assert "the order of the levels of 'arm' is in the file" in found.design.streamed.how
    assert found.fixef.index.tolist() == ["Intercept", "x", "arm[mid]", "arm[high]"]


def test_rows_are_read_anew_for_effects_and_fitted_values(data, fits):
    found = quiet(MODELS["star"][0], relation(data["star"]), **PUSHED)
    pd.testing.assert_series_equal(found.fitted, fits["star"].fitted, rtol=1e-9, check_index_type=False)
    ours, theirs = (mx.effects(fit, "small", by="race").table for fit in (found, fits["star"]))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, check_dtype=False)
    new = data["star"].iloc[:2].assign(race="none such")
    with pytest.raises(UnseenLevelError):
        found.predict(new)


def test_a_response_of_two_values_is_said(data):
    frame = data["star"].assign(passed=lambda d: (d["math"] > 480) * 1.0)
    for response, said in (("passed", True), ("math", False)):
        text = quiet(f"{response} ~ small + (1 | sch)", relation(frame.dropna()), **PUSHED).summary().text()
        assert ("takes two values" in text) == said


# --- numbers ---------------------------------------------------------------------------------------------------------
def test_whole_numbers_and_decimals_do_not_overflow():
    """Squares beyond 64 bits and beyond what DECIMAL(18, 6) holds, against exact sums of doubles."""
    rng = np.random.default_rng(5)
    n = 5000
    whole = rng.integers(-(2**31), 2**31, n).astype(np.int32)
    y = pa.array([f"{v:.6f}" for v in rng.normal(2e6, 1e5, n)]).cast(pa.decimal128(18, 6))
    table = pa.table({"y": y, "x": whole, "g": np.arange(n) % 10})
    found = quiet("y ~ x + (1 | g)", duckdb.connect().from_arrow(table), **PUSHED)
    problem = found.solution.problem
    gram = problem.R.T @ problem.R
    assert gram[1, 1] == pytest.approx(math.fsum(float(v) ** 2 for v in whole.tolist()), rel=1e-14)
    memory = build_problem(quiet("y ~ x + (1 | g)", table.to_pandas().astype({"y": float})).design)
    np.testing.assert_allclose(problem.ww, memory.ww, rtol=1e-12, atol=1e-13 * memory.ww.max())
    np.testing.assert_allclose(problem.gram1, memory.gram1, rtol=1e-12)
    np.testing.assert_allclose(problem.zw1, memory.zw1, rtol=1e-10, atol=1e-10 * np.abs(memory.zw1).max())


def test_a_column_far_from_zero_keeps_its_digits():
    """Mean 10^6 and standard deviation 1: differences of sums of squares would keep four digits of sixteen."""
    rng = np.random.default_rng(6)
    g = np.arange(4000) // 40
    x = rng.normal(1e6, 1.0, 4000)
    y = 2 * (x - 1e6) + rng.normal(size=100)[g] + rng.normal(0, 0.3, 100)[g] * (x - 1e6) + rng.normal(size=4000)
    frame = pd.DataFrame({"y": y, "x": x, "g": g})
    found, expected = (quiet("y ~ x + (1 + x | g)", d, **o) for d, o in ((relation(frame), PUSHED), (frame, {})))
    np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-8)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-10)
    ours, theirs = (fit.varcorr.loc[fit.varcorr["var1"] == "x", "sdcor"].to_numpy() for fit in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


FUNCTIONS = sorted(
    [f"{name}(x, z)" if "{1}" in sql else f"{name}(x)" for name, sql in sql_expressions._NAMED.items()]
    + [f"np.{name}(x, z)" if "{1}" in sql else f"np.{name}(x)" for name, sql in sql_expressions._NUMPY.items()]
)


@pytest.mark.parametrize("expression", [*FUNCTIONS, "-x + 2 * z / (x - 1.5)", "+x ** 2 - Q('z')", "k * `x`"])
def test_sql_computes_what_formulas_compute(expression):
    """Wherever the value is finite to four units in the last place; elsewhere SQL has no finite number either."""
    frame = pd.DataFrame({"x": [-2.5, -0.0, 0.3, 1.5, 2.0, 710.0], "z": [2.0, 1.0, 0.0, 0.5, -1.0, 3.0]})
    sql = sql_expressions.expression_text(expression, {"x": "x", "z": "z"}.__getitem__, {"k": 3})
    found = duckdb.connect().from_arrow(pa.Table.from_pandas(frame)).project(f"{sql} AS v").fetchnumpy()["v"]
    found = np.ma.filled(np.ma.asarray(found, dtype=float), np.nan)
    expected = np.asarray(evaluate(expression, frame, Scope.of({"k": 3}), {}), dtype=float)
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all()
    np.testing.assert_allclose(found[finite], expected[finite], rtol=4 * 2.0**-52)


# --- rows ------------------------------------------------------------------------------------------------------------
def test_missing_values_are_null_and_nan():
    rng = np.random.default_rng(7)
    n = 400
    x = pa.array([None if i == 4 else math.nan if i == 9 else float(v) for i, v in enumerate(rng.normal(size=n))])
    table = pa.table({"y": rng.normal(size=n), "x": x, "g": [None if i == 20 else f"g{i % 12}" for i in range(n)]})
    source = duckdb.connect().from_arrow(table)
    found, expected = quiet("y ~ x + (1 | g)", source, **PUSHED), quiet("y ~ x + (1 | g)", table.to_pandas())
    same(found, expected)
    assert found.design.rows.missing == {"x": 2, "g": 1}
    assert (found.design.rows.total, found.design.rows.dropped_missing) == (n, 3)
    with pytest.raises(DataError, match="missing values: 'x' in rows 4 and 9; 'g' in row 20"):
        quiet("y ~ x + (1 | g)", source, stream=True, na="raise")
    nothing = duckdb.connect().from_arrow(table.set_column(1, "x", pa.nulls(n, pa.float64())))
    with pytest.raises(DataError, match="no rows are left: of 400, 400 lack 'x', 1 lack 'g'"):
        quiet("y ~ x + (1 | g)", nothing, **PUSHED)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("x", np.inf, "'x' is infinite in row 7"), ("y", -np.inf, "'y' is infinite"), ("w", np.inf, "weights is infinite"),
     ("w", -1.0, "weights are negative in row 7"), ("o", np.inf, "'`o`' is infinite|'o' is infinite")],
)  # fmt: skip
def test_bad_values_are_refused_in_the_words_of_frames(column, value, words, data):
    frame = data["weighted nested"].copy()
    frame.loc[7, ["y", "x", "w", "o"]] = 1.0
    frame.loc[7, column] = value
    with pytest.raises(DataError, match=words):
        quiet("y ~ x + offset(o) + (1 | school)", relation(frame), stream=True, weights="w")


def test_a_source_that_gives_other_rows_each_time_is_refused(data):
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(data["weighted nested"], preserve_index=False))
    with pytest.raises(DataError, match="other rows each time"):
        quiet("y ~ o + (1 | school)", (connection, "SELECT * FROM given WHERE random() < 0.9"), **PUSHED)


def test_a_query_that_fails_is_said(data):
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(data["star"], preserve_index=False))
    sql = "SELECT math, CASE WHEN math > 600 THEN error('no such score') ELSE sch END AS sch FROM given"
    with pytest.raises(DataError, match=r"DuckDB could not sum up the rows \(.*no such score"):
        quiet("math ~ 1 + (1 | sch)", (connection, sql), **PUSHED)


def test_sums_that_would_be_too_many_are_not_asked_for(data, monkeypatch):
    source = relation(data["weighted nested"])
    monkeypatch.setattr(aggregates, "MOST_SUMS", 5)
    assert "6 sums in each group" in quiet("y ~ x + (1 | school)", source, stream=True).design.streamed.how
    monkeypatch.undo()
    monkeypatch.setattr(aggregates, "MOST_BYTES", 2000)
    assert "too many to come back" in quiet("y ~ x + (1 | school)", source, stream=True).design.streamed.how


def test_one_level_is_refused_as_in_memory(data):
    frame = data["star"].assign(all="one")
    with pytest.raises(ModelError, match="has one level, 'one'"):
        quiet("math ~ small + (1 | all)", relation(frame), **PUSHED)


@pytest.mark.parametrize("said", ["by the column", "by the connection"])
def test_collations_do_not_merge_levels(said):
    """'ab' and 'AB' are two levels of a frame and of batches; GROUP BY alone takes NOCASE's word that they are one."""
    rng = np.random.default_rng(11)
    n = 1200
    school = rng.choice([f"{c}{i}" for c in "aAé" for i in range(6)], n)
    arm = rng.choice(["ab", "AB", "c"], n)
    x = rng.normal(size=n)
    y = x + (arm == "ab") + rng.normal(size=18)[pd.factorize(school)[0]] + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "x": x, "arm": arm, "school": school})
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(frame, preserve_index=False))
    collate = "COLLATE NOCASE.NOACCENT" if said == "by the column" else ""
    connection.sql(f"CREATE TABLE t (y DOUBLE, x DOUBLE, arm VARCHAR {collate}, school VARCHAR {collate})")
    connection.sql("INSERT INTO t SELECT * FROM given")
    if said == "by the connection":
        connection.sql("SET default_collation = 'nocase'")
    assert len(connection.sql("SELECT arm FROM t GROUP BY arm").fetchall()) == 2
    found = quiet("y ~ x * arm + (1 | school)", connection.table("t"), **PUSHED)
    assert found.design.streamed.how.startswith("summed up by DuckDB: ")
    same(found, quiet("y ~ x * arm + (1 | school)", frame))


@pytest.mark.parametrize("options", [PUSHED, {"stream": True, "control": {"pushdown": False}}, {}, {"stream": False}])
def test_columns_that_duckdb_cannot_tell_apart_are_refused(options):
    """It compares names without their case, and would hand out the first of them for all."""
    rng = np.random.default_rng(12)
    given = pd.DataFrame({"y": rng.normal(size=200), "x": rng.normal(size=200), "z": rng.normal(size=200)})
    given["g"] = np.arange(200) % 8
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(given, preserve_index=False))
    cases = (connection, 'SELECT y, g, x AS "A", z AS a FROM given')
    with pytest.raises(DataError, match="several columns called 'a': 'A' and 'a', which are one name") as error:
        quiet("y ~ a + (1 | g)", cases, **options)
    assert "in SQL by AS" in error.value.hint
    with pytest.raises(DataError, match="several columns called 'x': 'x' and 'x'"):
        quiet("y ~ x + (1 | g)", (connection, "SELECT y, g, x, z AS x FROM given"), **options)
    assert quiet("y ~ 1 + (1 | g)", cases, **options).fixef.index.tolist() == ["Intercept"]  # it needs neither
    frame = given.rename(columns={"x": "A", "z": "a"})
    if not options:
        ours, theirs = quiet("y ~ a + (1 | g)", frame), quiet("y ~ z + (1 | g)", given)
        np.testing.assert_allclose(ours.fixef, theirs.fixef, rtol=1e-12)


@pytest.mark.parametrize("options", [PUSHED, {"stream": True}, {}])
def test_a_relation_of_a_closed_connection_is_said(options):
    connection = duckdb.connect()
    gone = connection.sql("SELECT 1.0 AS y, 2 AS g")
    connection.close()
    with pytest.raises(DataError, match=r"the DuckDB relation cannot be read: .*closed") as error:
        quiet("y ~ 1 + (1 | g)", gone, **options)
    assert "Keep its connection open" in error.value.hint
