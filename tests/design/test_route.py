"""Building a design visits each file of `mixedfx/design` once, in the order that build.py says."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.design.build import build_design

FOLDER = Path(mx.__file__).parent / "design"


HANDED_ON = {"build", "columns"}  # the steps themselves, and the columns that each hands to the next


def route(work):
    """Files of the folder that build.py calls, in order; calls one after another into one file are one stay.

    Calls that other files make of each other do not count: what is asked of a column (`frame`) or of a design is asked
    where it is needed.
    """
    stays = []

    def called(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event != "call" or path.parent != FOLDER or path.stem in HANDED_ON:
            return
        caller = frame.f_back
        while caller is not None and Path(caller.f_code.co_filename).parent != FOLDER:
            caller = caller.f_back
        asked = caller is not None and Path(caller.f_code.co_filename).stem == "build"
        if asked and (not stays or stays[-1] != path.stem):
            stays.append(path.stem)

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return stays


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    n = 120
    frame = pd.DataFrame({"x": rng.normal(size=n), "f": rng.choice(list("abc"), n), "g": rng.integers(0, 12, n)})
    return frame.assign(y=rng.normal(size=n), w=1.0, k=rng.integers(0, 5, n), s=0.5 + rng.random(n))


PLAIN = ["source", "select", "expressions", "response", "parts", "rank", "estimable", "grouping", "relation", "spec",
         "checks"]  # fmt: skip


def test_a_linear_mixed_model_visits_each_file_once(data):
    assert route(lambda: mx.lmer("y ~ x * f + (1 + x | g) + (1 | f:g)", data)) == PLAIN


@pytest.mark.parametrize(
    "asked",
    [
        {"weights": "w"},
        {"weights": np.full(120, 2.0), "offset": np.zeros(120)},
        {"offset": "x"},
        {"dispersion": "~ f"},
        {"V": np.eye(120)},
        {"V": np.ones(120)},
        {"contrasts": {"f": "sum"}, "sigma": 2.0},
    ],
    ids=str,
)
def test_so_does_every_other_model(data, asked):
    stays = route(lambda: build_design("y ~ f + bs(x, df=4) + (1 | g)", data, **asked))
    assert len(stays) == len(set(stays))
    assert [stay for stay in stays if stay in PLAIN] == PLAIN


@pytest.mark.parametrize(
    ("formula", "family"),
    [("k ~ x + (1 | g)", "poisson"), ("f ~ x + (1 | g)", "categorical"), ("y | se(s) ~ x + (1 | g)", "gaussian")],
)
def test_whatever_the_family(data, formula, family):
    stays = route(lambda: build_design(formula, data, family=family, sigma_free=False))
    assert len(stays) == len(set(stays))
