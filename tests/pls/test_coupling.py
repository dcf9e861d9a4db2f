"""What the second level looks like: sparse where levels seldom meet, dense where they do, refused if too large."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from mixedfx.design.design import Design, RandomTerm, RowReport
from mixedfx.errors import MemoryForecastError
from mixedfx.pls.coupling import SMALL, choose_split
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem

absent: Any = None  # no formula, data frame or specification stands behind a design made of numbers


def crossed(first, second, **extra):
    """Intercepts for two groupings given as codes."""
    n = len(first)
    rng = np.random.default_rng(0)
    terms = [
        RandomTerm(label, ("Intercept",), tuple(map(str, range(codes.max() + 1))), codes.astype(np.intp),
                   np.ones((n, 1)))
        for label, codes in (("first", first), ("second", second), *extra.items())
    ]  # fmt: skip
    return Design(
        absent, rng.normal(size=n), np.ones((n, 1)), ("Intercept",), tuple(terms), None, np.zeros(n), absent, absent,
        RowReport(n, np.arange(n)),
    )  # fmt: skip


def layout_of(design):
    coupling = build_problem(design).coupling
    assert coupling is not None
    return coupling.layout


def neighbours(units=6_000, places=2_000, reach=6, rows=4):
    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(units), rows)
    place = (unit * places // units + rng.integers(0, reach, len(unit))) % places
    return unit, np.unique(place, return_inverse=True)[1]


def test_nested_terms_need_no_fill():
    """pupil / class / school: the factor of the second level has the entries of Z'Z and no more."""
    pupil = np.repeat(np.arange(9_000), 2)
    in_class, in_school = pupil // 3, pupil // 30
    design = crossed(pupil, in_class, school=in_school)
    layout = layout_of(design)
    assert len(layout.permutation) == 3_300 > SMALL
    off_diagonal = 3_000  # each class meets one school
    entries = len(layout.row) + (3_300 - layout.split) * (3_300 - layout.split + 1) // 2
    assert entries <= 1.2 * (3_300 + off_diagonal)
    assert layout.megabytes < 1


def test_neighbours_stay_sparse():
    design = crossed(*neighbours())
    layout = layout_of(design)
    assert layout.split > 0.8 * 2_000
    assert len(layout.row) < 40 * 2_000
    dense = 8 * 2_000**2 / 2**20
    assert layout.megabytes < 0.1 * dense


def test_fully_crossed_is_dense():
    rng = np.random.default_rng(2)
    design = crossed(rng.integers(0, 900, 60_000), rng.integers(0, 600, 60_000))
    assert layout_of(design).split == 0


def test_sparse_and_dense_factor_give_one_criterion(monkeypatch):
    design = crossed(*neighbours(units=900, places=500, reach=8))
    par = np.array([0.8, 0.6])
    chosen = evaluate(build_problem(design), par)
    monkeypatch.setattr("mixedfx.pls.coupling.DENSE_SHARE", -1.0)
    dense = build_problem(design)
    assert dense.coupling is not None
    assert dense.coupling.layout.split == 0
    other = evaluate(dense, par)
    assert chosen.criterion == pytest.approx(other.criterion, rel=1e-13)
    assert chosen.gradient is not None
    assert other.gradient is not None
    np.testing.assert_allclose(chosen.gradient, other.gradient, rtol=1e-9, atol=1e-9)


def test_split_follows_the_predicted_cost():
    """All columns short: all sparse. All columns full: all dense."""
    assert choose_split(np.full(5_000, 10)) > 4_800
    assert choose_split(np.arange(5_000, 0, -1)) == 0


def test_memory_is_forecast_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))
    rng = np.random.default_rng(2)
    design = crossed(rng.integers(0, 900, 60_000), rng.integers(0, 600, 60_000))
    with pytest.raises(MemoryForecastError, match=r"needs 10 MB \(600 crossed random effects fill in\); 1 MB are free"):
        build_problem(design)
