"""Whether a summary shows degrees of freedom is decided by sizes, never by a clock."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.inference.forecast import evaluation_seconds, satterthwaite_seconds
from mixedfx.pls.problem import build_problem
from mixedfx.reml.report import SUMMARY_SECONDS
from tests.reml.test_reference_lme4 import CASES, fit


def sizes(q1, k1, p, r, q2=0, sparse_columns=(), entries=0):
    """Only what the forecast reads."""
    coupling = None
    if q2:
        layout = SimpleNamespace(split=len(sparse_columns), start=np.append(0, np.cumsum(sparse_columns)))
        coupling = SimpleNamespace(size=q2, layout=layout, indices=np.empty(entries))
    return cast(Any, SimpleNamespace(gram1=np.empty((k1, k1, q1)), p=p, n_parameters=r, coupling=coupling))


@pytest.mark.parametrize("case", CASES)
def test_the_reference_models_are_far_below_the_limit(case):
    problem = build_problem(fit(case).design, fit(case).REML)
    assert satterthwaite_seconds(problem) < 0.1
    assert "Satterthwaite's degrees of freedom" in fit(case).summary().text()


def test_crossed_models_of_the_size_of_insteval_show_df():
    """73,421 ratings of 1,128 lecturers by 2,972 students in 14 departments, planned but not fitted."""
    rng = np.random.default_rng(1)
    n = 73_421
    codes = {"s": rng.integers(0, 2972, n), "d": rng.integers(0, 1128, n), "dept": rng.integers(0, 14, n)}
    data = pd.DataFrame({"y": rng.integers(1, 6, n).astype(float), "service": rng.integers(0, 2, n), **codes})
    problem = build_problem(mx.design("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data))
    assert problem.coupling is not None
    assert problem.coupling.size == 1142
    assert 0.1 < satterthwaite_seconds(problem) < SUMMARY_SECONDS / 2


def test_many_groups_of_one_factor_show_df_and_very_large_crossings_do_not():
    assert satterthwaite_seconds(sizes(100_000, 2, 10, 3)) < SUMMARY_SECONDS
    crossed = sizes(20_000, 1, 3, 2, q2=10_000, entries=1_000_000)
    # 10,000^3 multiplications of LAPACK in each of five evaluations
    assert satterthwaite_seconds(crossed) > 200
    assert satterthwaite_seconds(crossed) == 5 * evaluation_seconds(crossed)


def test_each_part_of_the_work_adds_to_the_forecast():
    base = {"q1": 5000, "k1": 1, "p": 3, "r": 2, "q2": 800, "entries": 20_000}
    small = evaluation_seconds(sizes(**base))
    for larger in ({"q1": 9000}, {"p": 50}, {"q2": 1500}, {"entries": 90_000}, {"k1": 2}):
        assert evaluation_seconds(sizes(**{**base, **larger})) > small
    # sparse columns in place of the dense corner: 700 columns of 5 numbers cost less than 700 of up to 800
    assert evaluation_seconds(sizes(**base, sparse_columns=[5] * 700)) < small


def test_no_clock_is_read(monkeypatch):
    made = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))

    def clock():
        raise AssertionError("a clock was read")

    for name in ("perf_counter", "monotonic", "process_time", "time"):
        monkeypatch.setattr(time, name, clock)
    text = made.summary().text()
    monkeypatch.undo()
    assert "Satterthwaite's degrees of freedom" in text
