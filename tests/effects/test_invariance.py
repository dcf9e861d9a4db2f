"""What must not matter does not: the order of rows, copies against weights, the kind of frame, the number of rows."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.effects.effects import effects

FORMULA = "y ~ z*gender + age*z + (1 + z | race)"
NUMBERS = ["estimate", "sd", "lower", "upper", "prob_above_null", "unseen"]


@pytest.fixture(scope="module")
def fit(people, dense_fit):
    return dense_fit(FORMULA, people)


def close(one, other, columns=NUMBERS):
    # Sums in another order differ in the last digits only.
    pd.testing.assert_frame_equal(one[columns], other[columns], rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(fit, people, seed):
    shuffled = people.sample(frac=1, random_state=seed)
    by = ["gender", "race"]
    close(effects(fit, "z", by=by, newdata=shuffled).table, effects(fit, "z", by=by).table)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_copies_of_a_row_are_a_weight(fit, people, data):
    rows = people.iloc[:30]
    copies = np.array(data.draw(st.lists(st.integers(0, 4), min_size=30, max_size=30).filter(any)))
    repeated = rows.loc[rows.index.repeat(copies)]
    by = data.draw(st.sampled_from(["race", ["race", "gender"], [["race"], ["gender"]]]))
    weighted = effects(fit, "z", by=by, newdata=rows, weights=copies)
    copied = effects(fit, "z", by=by, newdata=repeated)
    close(weighted.table, copied.table)
    assert weighted.table["weight"].tolist() == copied.table["n"].tolist()


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(1e-6, 1e6))
def test_the_unit_of_the_weights_does_not_matter(fit, people, factor):
    one = effects(fit, "z", by="race", newdata=people, weights="w").table
    other = effects(fit, "z", by="race", newdata=people, weights=factor * people["w"]).table
    close(one, other)


@settings(max_examples=25, deadline=None)
@given(bounds=st.lists(st.integers(21, 59), min_size=1, max_size=4, unique=True))
def test_an_average_over_parts_is_the_average_of_the_parts(fit, people, bounds):
    """Subgroups that divide everybody: their weighted mean is the overall effect."""
    edges = [0, *sorted(bounds), 100]
    ranges = {f"{a}-{b}": f"{a} <= age < {b}" for a, b in pairwise(edges)}
    ranges = {name: q for name, q in ranges.items() if people.eval(q).any()}
    eff = effects(fit, "z", subgroups=ranges)
    overall = effects(fit, "z")
    share = eff.table["n"].to_numpy() / len(people)
    assert share.sum() == pytest.approx(1.0)
    assert share @ eff.table["estimate"] == pytest.approx(overall.table["estimate"].item(), rel=1e-9)
    variance = share @ fit.apply(eff.functional).cov @ share
    assert np.sqrt(variance) == pytest.approx(overall.table["sd"].item(), rel=1e-8)


@pytest.mark.parametrize("store", [pl.from_pandas, pl.DataFrame.to_arrow], ids=["polars", "pyarrow"])
def test_the_kind_of_frame_does_not_matter(store, fit, people):
    frame = store(people if store is pl.from_pandas else pl.from_pandas(people))
    by = ["race", "gender"]
    close(
        effects(fit, "z", by=by, newdata=frame, weights="w").table,
        effects(fit, "z", by=by, newdata=people, weights="w").table,
    )


def test_by_and_queries_agree(fit):
    crossing = effects(fit, "z", by=["race", "gender"]).table
    queries = {f"{r}/{g}": f"race == '{r}' and gender == '{g}'" for r, g in crossing[["race", "gender"]].to_numpy()}
    named = effects(fit, "z", subgroups=queries).table
    close(named, crossing, ["n", "weight", *NUMBERS])


def test_a_million_rows_in_few_cells_cost_what_the_cells_cost(fit, people):
    """10^6 rows of at most 240 distinct ones are collapsed before a matrix is built."""
    many = pd.concat([people[["race", "gender", "age"]]] * 4200, ignore_index=True)
    calls = []
    design_for = type(fit).design_for

    class Watched(type(fit)):
        def design_for(self, newdata=None, new_levels="error"):
            calls.append(len(newdata))
            return design_for(self, newdata, new_levels)

    watched = Watched(fit.design, fit.mean, fit.cov, fit.populations)
    start = time.perf_counter()
    eff = effects(watched, "z", by="race", newdata=many)
    assert time.perf_counter() - start < 5.0
    distinct = len(people[["race", "gender", "age"]].drop_duplicates())
    assert calls == [2 * distinct]
    assert eff.table["n"].sum() == len(many)
    close(eff.table, effects(fit, "z", by="race").table)


def test_more_rows_than_one_block_of_the_summary(fit, people):
    """A table of 1,500 rows is summarised block by block, the same as row by row."""
    rows = pd.DataFrame(
        {
            "cell": np.arange(1500),
            "race": np.resize(["Asian", "Black", "White"], 1500),
            "gender": pd.Categorical(np.resize(["girl", "boy"], 1500), categories=["girl", "boy"]),
            "age": np.linspace(20, 60, 1500),
        }
    )
    table = effects(fit, "z", by="cell", newdata=rows).table
    for i in (0, 1023, 1024, 1499):
        close(effects(fit, "z", newdata=rows.iloc[[i]]).table, table.iloc[[i]].reset_index(drop=True))
