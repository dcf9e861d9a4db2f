"""Codes of grouping factors: against pandas, and what counts as a level."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.design.build import build_design
from mixedfx.design.grouping import compress, group, level_codes, regroup
from mixedfx.errors import DataError


def frames(columns=3, low=-3, high=3):
    """Frames of small integers: enough rows for combinations to repeat, and for some never to occur."""
    row = st.tuples(*[st.integers(low, high)] * columns)
    return st.lists(row, min_size=1, max_size=40).map(lambda rows: pd.DataFrame(rows, columns=list("abc")[:columns]))


@given(frames())
def test_codes_are_the_group_numbers_of_pandas(frame):
    codes, grouping = group(frame, ["a", "b", "c"])
    by = frame.groupby(["a", "b", "c"], sort=True)
    np.testing.assert_array_equal(codes, by.ngroup())
    assert grouping.levels == tuple(":".join(map(str, key)) for key in by.groups)


@given(frames(), st.permutations(["a", "b", "c"]))
def test_the_order_of_the_factors_changes_only_the_order_of_the_levels(frame, order):
    one, _ = group(frame, ["a", "b", "c"])
    other, _ = group(frame, list(order))
    assert len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@given(frames())
def test_every_level_is_observed_and_codes_run_from_zero(frame):
    codes, grouping = group(frame, ["a", "b"])
    np.testing.assert_array_equal(np.unique(codes), np.arange(len(grouping.levels)))


@given(frames(), frames())
def test_new_rows_get_the_code_of_the_same_label_or_none(old, new):
    _, grouping = group(old, ["a", "b", "c"])
    again = regroup(new, grouping)
    labels = new.astype(str).agg(":".join, axis=1)
    position = {label: i for i, label in enumerate(grouping.levels)}
    np.testing.assert_array_equal(again.codes, [position.get(label, -1) for label in labels])
    assert set(again.unseen) == set(labels) - set(position)
    assert [again.unseen[i] for i in again.unseen_codes if i >= 0] == [v for v in labels if v not in position]
    seen = {c: set(old[c].astype(str)) for c in "abc"}
    assert {c: set(v) for c, v in again.unseen_values.items()} == {
        c: set(new[c].astype(str)) - seen[c] for c in "abc" if set(new[c].astype(str)) - seen[c]
    }
    known_parts = {v for v in again.unseen if all(p in seen[c] for p, c in zip(v.split(":"), "abc", strict=True))}
    assert set(again.combinations) == known_parts


@given(frames())
def test_the_rows_of_the_fit_are_all_seen(frame):
    codes, grouping = group(frame, ["c", "a"])
    again = regroup(frame.sample(frac=1, random_state=1), grouping)
    assert again.unseen == again.combinations == ()
    np.testing.assert_array_equal(again.codes, codes[frame.sample(frac=1, random_state=1).index])


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30), st.integers(-50, 50))
def test_compress_by_table_and_by_hash_agree_with_numpy(wide, shift):
    for keys in (np.array(wide), np.array(wide) % 13 + shift):
        codes, distinct = compress(keys)
        expected, inverse = np.unique(keys, return_inverse=True)
        np.testing.assert_array_equal(distinct, expected)
        np.testing.assert_array_equal(codes, inverse)


def test_many_factors_with_many_levels_do_not_overflow():
    """Eight factors of 5,000 levels have 4e29 combinations, far beyond 64 bits; only 5,000 occur."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({f"f{i}": rng.permutation(5000) for i in range(8)})
    codes, grouping = group(frame, list(frame.columns))
    np.testing.assert_array_equal(codes, frame.groupby(list(frame.columns)).ngroup())
    np.testing.assert_array_equal(regroup(frame, grouping).codes, codes)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, 10], ("9", "10")),
        (np.array([10, 9, 10], dtype=np.uint8), ("9", "10")),
        (np.array([2**63, 5, 2**63], dtype=np.uint64), ("5", str(2**63))),
        ([17.0, 4.0, 17.0], ("4", "17")),
        ([0.5, 0.25, 0.5], ("0.25", "0.5")),
        ([True, False, True], ("False", "True")),
        (pd.Categorical(["b", "a", "b"], categories=["b", "unused", "a"]), ("b", "a")),
        (pd.Categorical([3, 1, 3], categories=[3, 1]), ("3", "1")),
        (pd.to_datetime(["2024-05-02", "2024-05-01", "2024-05-02"]), ("2024-05-01", "2024-05-02")),
        (
            [datetime.date(2024, 5, 2), datetime.date(2024, 5, 1), datetime.date(2024, 5, 2)],
            ("2024-05-01", "2024-05-02"),
        ),
        (pd.array([10, 9, 10], dtype="Int64"), ("9", "10")),
        (pd.array(["b", "a", "b"], dtype="string"), ("a", "b")),
        (pd.array([True, False, True], dtype="boolean"), ("False", "True")),
        (np.array(["b", "a", "b"], dtype=object), ("a", "b")),
    ],
)
def test_levels_of_every_kind_of_column(values, levels):
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0], "g": values})
    design = build_design("y ~ 1 + (1 | g)", data, sigma_free=False)
    assert design.random[0].levels == levels
    first = levels.index(str(levels[design.random[0].codes[0]]))
    assert design.random[0].codes.tolist() == [first, 1 - first, first]
    assert design.random[0].codes.dtype == np.intp


def test_factor_of_a_column_is_the_column(data):
    plain = build_design("y ~ x + (x | g)", data, sigma_free=False)
    marked = build_design("y ~ x + (x | factor(g))", data, sigma_free=False)
    np.testing.assert_array_equal(plain.random[0].codes, marked.random[0].codes)
    assert plain.random[0].label == marked.random[0].label == "g"


def test_numbers_are_ordered_as_numbers_and_text_as_text(data):
    assert build_design("y ~ 1 + (1 | g)", data, sigma_free=False).random[0].levels == ("4", "5", "6", "8", "17", "30")
    data["g"] = data["g"].astype(str)
    assert build_design("y ~ 1 + (1 | g)", data, sigma_free=False).random[0].levels == ("17", "30", "4", "5", "6", "8")


def test_interactions_use_observed_combinations_only(data):
    data = data[(data["race"] != "White") | (data["gender"] == "man")]
    term = build_design("y ~ 1 + (1 | race:gender)", data, sigma_free=False).random[0]
    assert term.label == "race:gender"
    assert term.levels == ("Asian:man", "Asian:woman", "Black:man", "Black:woman", "White:man")


def test_levels_of_an_interaction_follow_the_order_of_categories(data):
    term = build_design("y ~ 1 + (1 | dose:gender)", data, sigma_free=False).random[0]
    assert term.levels[:3] == ("low:man", "low:woman", "mid:man")


def test_levels_that_would_be_written_alike_are_refused():
    data = pd.DataFrame({"y": [1.0, 2, 3, 4], "a": ["p:q", "p", "p:q", "p"], "b": ["r", "q:r", "r", "q:r"]})
    with pytest.raises(DataError, match="both written 'p:q:r'"):
        build_design("y ~ 1 + (1 | a:b)", data, sigma_free=False)
    mixed = pd.DataFrame({"y": [1.0, 2.0], "g": pd.Categorical([1, "1"], categories=[1, "1"])})
    with pytest.raises(DataError, match="two levels of 'g' are both written '1'"):
        build_design("y ~ 1 + (1 | g)", mixed, sigma_free=False)


def test_level_codes_of_a_large_sparse_range_use_no_table():
    values = pd.Series(np.array([2**62, -(2**62), 0, 2**62]))
    codes, levels = level_codes(values)
    assert codes.tolist() == [2, 0, 1, 2]
    assert levels == (str(-(2**62)), "0", str(2**62))
