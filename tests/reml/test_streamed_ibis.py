"""Tables of ibis, whatever engine answers them, are read in batches; filters run in the engine."""

import ibis
import numpy as np
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import DataError

FORMULA = "math ~ small * race + (1 + small | sch)"


@pytest.fixture(scope="module")
def star():
    star = mx.datasets.load("star")
    return star.assign(**{name: star[name].astype(str) for name in ("sch", "race")})[["math", "small", "race", "sch"]]


def test_a_table_of_ibis_gives_the_fit_of_its_rows(star):
    table = ibis.polars.connect({"star": pl.from_pandas(star)}).table("star")
    found = mx.lmer(FORMULA, table.filter(table.math > 400), stream=True)
    expected = mx.lmer(FORMULA, star[star["math"] > 400])
    assert found.nobs == expected.nobs < len(star)
    np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-10)
    np.testing.assert_allclose(found.ranef["sch"], expected.ranef["sch"], rtol=1e-8, atol=1e-8)


def test_what_an_engine_refuses_is_said(star):
    table = ibis.polars.connect({"star": pl.from_pandas(star)}).table("star")
    broken = table.mutate(math=(table.math * 10**6).cast("int8"))
    with pytest.raises(DataError, match="the table of ibis cannot be read"):
        mx.lmer(FORMULA, broken, stream=True)
