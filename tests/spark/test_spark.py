"""Spark sums up the rows of a data frame: only groups of rows come back, and the fit is that of the rows in memory.

A session of two threads on this machine; Java is needed (`make test-spark`).
"""

import warnings

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mixedfx as mx
from mixedfx.datasets.benchmark_shapes import simulate_insteval
from mixedfx.errors import DataError
from tests.reml.streamed_models import MODELS, nested, quiet, same

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def session():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        found = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    yield found
    found.stop()


def as_text(frame):
    """Categories as text: Spark has none."""
    return frame.assign(**{c: frame[c].astype(str) for c in frame.select_dtypes("category")})


def spark_frame(session, frame):
    return session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


@pytest.fixture(scope="module")
def data():
    star = mx.datasets.load("star")
    return {
        "star": as_text(star.assign(sch="s" + star["sch"].astype(str))),
        "weighted nested": as_text(nested()),
        "insteval": as_text(simulate_insteval(1).data),
    }


@pytest.mark.parametrize("model", MODELS)
def test_spark_gives_the_fit_of_the_rows_in_memory(model, session, data):
    """STAR, a weighted nested model with an offset, and two crossed factors, whose incidence are the groups."""
    formula, options = MODELS[model]
    source = spark_frame(session, data[model])
    found = quiet(formula, source, stream=True, control={"pushdown": True}, **options)
    assert not found.design.held
    assert found.design.streamed.how.startswith("summed up by Spark")
    same(found, quiet(formula, data[model], **options))


def test_no_row_is_fetched(session, data, monkeypatch):
    """Neither batches nor an iterator: the answers of two questions are all that comes."""
    formula, options = MODELS["weighted nested"]
    source = spark_frame(session, data["weighted nested"])
    for verb in ("toLocalIterator", "collect", "toPandas"):
        monkeypatch.setattr(type(source), verb, None)
    found = quiet(formula, source, stream=True, **options)
    assert "summed up by Spark" in found.summary().text()


def test_names_overflow_and_missing_values(session):
    """Names that are words of SQL or have quotes, squares beyond 64 bits, decimals, NaN beside NULL."""
    rng = np.random.default_rng(4)
    n = 800
    whole = rng.integers(-(2**31), 2**31, n).astype(np.int32)
    x = rng.normal(1e6, 1.0, n)
    x[3] = np.nan
    y = 3 * x + whole / 2**31 + rng.normal(size=n)
    table = pa.table(
        {
            "or der": pa.array([None if i == 5 else v for i, v in enumerate(x)]),
            "select": whole,
            "y": pa.array([f"{v:.6f}" if np.isfinite(v) else None for v in y]).cast(pa.decimal128(18, 6)),
            "group": np.arange(n) % 20,
            'w`"': rng.uniform(1, 2, n),
        }
    )
    frame, source = table.to_pandas().astype({"y": float}), session.createDataFrame(table)
    formula = "y ~ `or der` + `select` + (1 | `group`)"
    found = quiet(formula, source, weights='w`"', stream=True, control={"pushdown": True})
    expected = quiet(formula, frame, weights='w`"')
    assert found.nobs == expected.nobs == n - 2
    np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-8)  # a column of mean 10^6 and deviation 1
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-8)


def test_what_spark_is_not_asked_comes_in_batches(session, data):
    frame = data["star"]
    source = spark_frame(session, frame)
    formula = "math ~ poly(small, 1) + race + (1 | sch)"
    found = quiet(formula, source, stream=True)
    assert "'poly(small, 1)' is not written in SQL" in found.design.streamed.how
    same(found, quiet(formula, frame))
    with pytest.raises(DataError, match=r"the data frame of Spark cannot be summed up .*'poly\(small, 1\)'"):
        quiet(formula, source, stream=True, control={"pushdown": True})
    expected = quiet("math ~ small + (1 | sch)", frame)
    held = quiet("math ~ small + (1 | sch)", source)  # few rows are held
    assert held.design.held
    np.testing.assert_allclose(held.fixef, expected.fixef, rtol=1e-10)
    pushed = quiet("math ~ small + (1 | sch)", source, stream=True)
    assert len(pushed.fitted) == pushed.nobs  # rows are fetched when they are asked for
    np.testing.assert_allclose(np.sort(pushed.fitted), np.sort(expected.fitted), rtol=1e-9)


def test_a_table_of_ibis_on_spark_is_summed_up_by_spark(session, data):
    spark_frame(session, data["star"]).createOrReplaceTempView("star")
    table = ibis.pyspark.connect(session).table("star")
    found = quiet("math ~ small + (1 | sch)", table.filter(table.math > 400), stream=True)
    assert "summed up by Spark" in found.design.streamed.how
    same(found, quiet("math ~ small + (1 | sch)", data["star"].query("math > 400")))
    assert isinstance(found.fixef, pd.Series)
