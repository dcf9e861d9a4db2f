"""Parts that add numbers and factors have the columns that formulaic makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import parts
from mixedfx.design.expressions import Scope
from mixedfx.design.frame import kind
from mixedfx.design.parts import FormulaicPart, build_part
from mixedfx.design.terms import Reader
from mixedfx.design.treatment import TreatmentPart
from mixedfx.errors import UnseenLevelError

ROWS = 40


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "x": rng.normal(size=ROWS),
        "z": rng.integers(0, 9, ROWS),
        "text": rng.choice(list("cab"), ROWS),
        "truth": rng.random(ROWS) < 0.5,
        "ordered": pd.Categorical(rng.choice(["lo", "hi", "mid"], ROWS), categories=["lo", "mid", "hi"]),
        "whole": pd.Categorical(rng.choice([3, 1, 2], ROWS)),
        "broken": pd.Categorical(rng.choice([3.0, 1.5, 2.0], ROWS)),
        "single": ["q"] * ROWS,
        "two words": rng.choice(list("uv"), ROWS),
    })  # fmt: skip


TEXTS = (
    "1 + text", "1 + x + text", "1 + text + x", "1 + truth + ordered + whole + broken", "1 + x * z + text",
    "1 + single + x", "1 + `two words` + x", "1 + z:x + text + truth",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_columns_are_those_of_formulaic(text, frame, monkeypatch):
    scope, rows = Scope.of(None, None), np.arange(ROWS)
    ours, part = build_part(text, frame, scope, rows)
    monkeypatch.setattr(parts, "_factors", lambda *_: None)
    theirs, twin = build_part(text, frame, scope, rows)
    assert isinstance(part, TreatmentPart)
    assert isinstance(twin, FormulaicPart)
    assert np.array_equal(ours, theirs)
    assert tuple(part.columns) == tuple(twin.columns)
    assert dict(part.levels) == dict(twin.levels)
    assert dict(part.constant_factors) == dict(twin.constant_factors)
    few = frame.iloc[:7]
    assert np.array_equal(part.matrix(few, scope, rows[:7]), twin.matrix(few, scope, rows[:7]))
    reader = Reader({}, {name: kind(frame[name]) for name in frame})
    assert reader.part(part) == reader.part(twin)


@pytest.mark.parametrize("text", ["0 + text", "1 + text * x", "1 + text:x", "1 + C(z)", "1 + center(x) + text"])
def test_what_is_more_than_a_sum_is_left_to_formulaic(text, frame):
    assert isinstance(build_part(text, frame, Scope.of(None, None), np.arange(ROWS))[1], FormulaicPart)


def test_codings_asked_for_are_left_to_formulaic(frame):
    scope = Scope.of(None, {"text": "sum"})
    assert isinstance(build_part("1 + text", frame, scope, np.arange(ROWS))[1], FormulaicPart)


def test_a_level_that_the_fit_has_not_seen_is_refused_in_the_same_words(frame, monkeypatch):
    scope, rows = Scope.of(None, None), np.arange(ROWS)
    new = frame.head(2).assign(text=["a", "nowhere"])
    said = []
    for _ in range(2):
        part = build_part("1 + text", frame, scope, rows)[1]
        with pytest.raises(UnseenLevelError, match="nowhere") as error:
            part.matrix(new, scope, rows[:2])
        said.append(str(error.value))
        monkeypatch.setattr(parts, "_factors", lambda *_: None)
    assert said[0] == said[1]
