"""Columns of every kind come back from bytes as they were, without pyarrow; other bytes are refused, and by size."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.stored_tables import arrays_bytes, read_arrays, read_frame, table_bytes

ROWS = st.integers(0, 12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = ["bool", "int8", "uint8", "int16", "int64", "uint64", "float32", "float64"]
NULLABLE = ["Int8", "UInt16", "Int64", "UInt64", "Float32", "Float64", "boolean"]


def values_of(draw, n, dtype):
    """n values of a NumPy type."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        one = st.booleans()
    elif kind.kind in "iu":
        info = np.iinfo(kind)
        one = st.integers(int(info.min), int(info.max))
    else:
        one = st.floats(width=8 * kind.itemsize)
    return np.array(draw(st.lists(one, min_size=n, max_size=n)), dtype=kind)


@st.composite
def columns(draw, n):
    """A column of n values of any kind that a file of data can hold."""
    kind = draw(st.sampled_from([*NUMBERS, *NULLABLE, "str", "string", "object", "time", "zone", "duration"]))
    missing = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    if kind in NUMBERS:
        return pd.Series(values_of(draw, n, kind))
    if kind in NULLABLE:
        plain = pd.api.types.pandas_dtype(kind).numpy_dtype
        found = pd.Series(np.nan_to_num(values_of(draw, n, plain))).astype(kind)
        found[missing] = pd.NA
        return found
    if kind in ("str", "string", "object"):
        texts = draw(st.lists(TEXTS, min_size=n, max_size=n))
        return pd.Series([None if gone else t for t, gone in zip(texts, missing, strict=True)], dtype=kind)
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    whole = np.array(draw(st.lists(st.integers(-(10**9), 10**9), min_size=n, max_size=n)), dtype=np.int64)
    if kind == "duration":
        return pd.Series(whole.view(f"m8[{unit}]"))
    times = pd.Series(whole.view(f"M8[{unit}]")).where(~missing)
    return times if kind == "time" else times.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")


@st.composite
def frames(draw):
    n = draw(ROWS)
    found = {}
    for name in draw(st.lists(TEXTS, max_size=4, unique=True)):
        column = draw(columns(n))
        if draw(st.booleans()) and column.dtype.kind in "iuO" and n:
            column = column.astype(pd.CategoricalDtype(column.dropna().unique(), ordered=draw(st.booleans())))
        found[name] = column
    return pd.DataFrame(found, index=pd.RangeIndex(n))


@settings(max_examples=150, deadline=None)
@given(frames())
def test_every_kind_of_column_comes_back(frame):
    pd.testing.assert_frame_equal(read_frame(table_bytes(frame)), frame)


@settings(max_examples=150, deadline=None)
@given(frames(), st.data())
def test_damaged_bytes_are_refused_or_read_as_what_they_say(frame, data):
    """A byte changed or bytes missing: an error that `mixedfx.archive.being_read` turns into words, or the frame."""
    content = bytearray(table_bytes(frame))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    found = None
    with suppress(Exception):  # which one a damaged archive raises is its own affair; it may not crash or take long
        found = read_frame(bytes(content[:end]))
    assert found is None or len(found) == len(frame)


@pytest.mark.parametrize(
    ("objects", "wanted"),
    [
        ([1, 2, None], pd.Series([1, 2, pd.NA], dtype="Int64")),
        ([True, None], pd.Series([True, pd.NA], dtype="boolean")),
        ([Decimal("1.5"), Decimal("2")], pd.Series([1.5, 2.0])),
        ([1, 2.5], pd.Series([1.0, 2.5])),
        ([pd.Timestamp("2026-01-01").date()], pd.Series(pd.to_datetime(["2026-01-01"]))),
    ],
)
def test_objects_are_kept_as_what_they_are(objects, wanted):
    found = read_frame(table_bytes(pd.DataFrame({"x": pd.Series(objects, dtype=object)})))["x"]
    pd.testing.assert_series_equal(found, wanted, check_names=False, check_dtype=wanted.dtype.kind != "M")


@pytest.mark.parametrize("values", [[[1], [2]], [1, "a"], [1j, 2j], [{"a": 1}, {}], [b"a", b"b"]])
def test_other_objects_are_refused_in_words(values):
    with pytest.raises(TypeError, match="column 'x' holds"):
        table_bytes(pd.DataFrame({"x": values}))


def test_labels_come_back_and_other_attributes_are_left():
    frame = pd.DataFrame({"x": [1.0]})
    frame.attrs = {
        "measure": "SMD",
        "variable_labels": {"x": "Years of schooling"},
        "notes": ["a"],
        "level": 0.9,
        1: "b",
    }
    assert read_frame(table_bytes(frame)).attrs == {"measure": "SMD", "variable_labels": {"x": "Years of schooling"}}


def test_names_stand_once_and_are_text():
    for frame in (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({1: [2]})):
        with pytest.raises(TypeError, match="names of their own"):
            table_bytes(frame)


@given(st.lists(st.tuples(TEXTS, st.lists(st.integers(0, 3), max_size=3)), max_size=4, unique_by=lambda x: x[0]))
def test_arrays_come_back(named):
    arrays = {name: np.arange(float(np.prod(shape, dtype=int))).reshape(shape) for name, shape in named}
    found = read_arrays(arrays_bytes(arrays))
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)


def changed(content, change, **parts):
    """A table whose head was changed by a function, or members replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    head = json.loads(members["head.json"])
    change(head)
    members = members | {"head.json": json.dumps(head).encode()} | parts
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.update(rows=4),
        lambda head: head.update(rows=-1),
        lambda head: head.update(rows=2**60),
        lambda head: head["columns"][0].update(kind="pickle"),
        lambda head: head["columns"][0]["values"].update(dtype="|O"),
        lambda head: head["columns"][0]["values"].update(dtype="<f16"),
        lambda head: head["columns"][0]["values"].update(part=99),
        lambda head: head["columns"][1].update(of="category"),
        lambda head: head["columns"][2].update(count=1),
        lambda head: head["columns"][1].update(name="x"),
    ],
)
def test_heads_that_do_not_fit_the_arrays_are_refused(change):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "t": ["a", "b", ""], "c": pd.Categorical(["u", "v", "u"])})
    with pytest.raises(ValueError, match=r"table|column|array|codes|values"):
        read_frame(changed(table_bytes(frame), change))


def test_tables_that_unpack_to_far_more_are_refused():
    """Ten million equal numbers take some tens of kilobytes at the most that the archive can compress."""
    small = table_bytes(pd.DataFrame({"x": [1.0]}))
    content = changed(small, lambda head: head.update(rows=10**7), **{"0": bytes(8 * 10**7)})
    assert len(content) < 100_000
    with pytest.raises(ValueError, match="would take"):
        read_frame(content)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pyarrow", "polars"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import warnings

import mixedfx as mx

warnings.simplefilter("ignore")
star = mx.datasets.load("star").iloc[:600]
fit = mx.lmer("math ~ small * race + (1 | sch)", star)
path = sys.argv[1]
again = mx.load(fit.save(path + "/fit.mfx"))
assert again.criterion == fit.criterion
posterior = mx.bayes("math ~ small + (1 | sch)", star, seed=1, draws=200)
draws = mx.load(posterior.save(path + "/posterior.mfx"))
assert (draws.summary().frame == posterior.summary().frame).all().all() if hasattr(draws.summary(), "frame") else True
print(mx.effects(fit, "small", by=["race"]).table.round(2).to_string())
assert "pyarrow" not in sys.modules
"""


def test_fits_are_saved_and_read_without_pyarrow(tmp_path):
    """pyarrow is an extra: shipped data, fits, effects and files of fits do without."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
