"""Labelled codes: which are missing, whether labels make categories, and in which order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.files.labelled import LabelNotes, decoded

CODES = st.one_of(st.integers(-9, 9).map(float), st.sampled_from([0.5, 1.5]))


@given(
    codes=st.lists(st.one_of(CODES, st.just(np.nan)), min_size=1, max_size=30),
    labels=st.dictionaries(CODES, st.sampled_from(["low", "mid", "high", "other", "", "2"]), max_size=8),
    lost=st.sets(CODES, max_size=3), how=st.sampled_from(["auto", "labels", "codes"]),
)  # fmt: skip
def test_every_row_says_what_its_code_says(codes, labels, lost, how):
    """Missing codes are missing and counted; equal codes are equal categories, different ones different."""
    values, notes = pd.Series(codes, name="q"), LabelNotes()
    found = decoded(values, labels, lambda code: code in lost, how, notes)
    gone = values.isna() | values.isin(list(lost))
    assert found.isna().tolist() == gone.tolist()
    assert sum(notes.missing.get("q", {}).values()) == int(values.isin(list(lost)).sum())
    kept = values[~gone]
    pd.testing.assert_series_equal(found[~gone].astype(str).groupby(kept).nunique(), kept.groupby(kept).nunique())
    assert found[~gone].nunique() == kept.nunique()
    if found.dtype != "category":
        pd.testing.assert_series_equal(found, values.mask(gone))
        return
    for code, text in zip(kept, found[~gone], strict=True):
        label = labels.get(code, "").strip()
        assert text.startswith(label) if label else text == f"{code:g}" or text.startswith(f"{code:g} (")
    counted = {code: int((kept == code).sum()) for code in set(kept) - set(labels)}
    assert notes.unlabelled.get("q", {}) == {f"{code:g}": rows for code, rows in counted.items()}


def test_categories_come_in_the_order_of_the_file_and_codes_without_a_label_in_their_place():
    codes = pd.Series([3.0, 2.0, 1.0, 4.0], name="trust")
    cases = [
        ({1.0: "low", 3.0: "high", 5.0: "very high"}, ["low", "2", "high", "4", "very high"]),
        ({3.0: "high", 1.0: "low", 5.0: "very high"}, ["high", "low", "very high", "2", "4"]),
    ]
    for labels, expected in cases:
        found = decoded(codes, labels, lambda code: False, "auto", LabelNotes())
        assert found.cat.categories.tolist() == expected


def test_a_scale_with_labels_at_its_ends_stays_a_number_unless_asked_otherwise():
    codes, labels = pd.Series([1.0, 2, 3, 4, 5, 6, 7], name="scale"), {1.0: "never", 7.0: "always"}
    notes = LabelNotes()
    assert decoded(codes, labels, lambda code: False, "auto", notes).tolist() == codes.tolist()
    assert notes.sentences() == [
        'numbers, since most codes have no label (values="labels" makes categories): '
        "scale (1 = 'never', 7 = 'always')"
    ]
    made = decoded(codes, labels, lambda code: False, "labels", LabelNotes())
    assert made.cat.categories.tolist() == ["never", "2", "3", "4", "5", "6", "always"]


def test_two_codes_with_one_label_stay_two_categories():
    notes = LabelNotes()
    found = decoded(pd.Series([1, 2, 9], name="q"), {1: "yes", 2: "other", 9: "other"}, lambda c: False, "auto", notes)
    assert found.tolist() == ["yes", "other (2)", "other (9)"]
    assert "'other' in q" in notes.sentences()[1]


@pytest.mark.parametrize("ordered", [False, True])
def test_an_order_is_kept(ordered):
    found = decoded(pd.Series([2, 1], name="q"), {1: "a", 2: "b"}, lambda c: False, "auto", LabelNotes(), ordered)
    assert found.cat.ordered is ordered
