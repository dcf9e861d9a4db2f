"""Sums of plain names are read without formulaic, and as formulaic reads them."""

import subprocess
import sys

import pytest
from formulaic.parser import DefaultFormulaParser
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.formula.expansion import plain_sum

names = st.sampled_from(["x", "y2", "_z", "Days", "I", "C", "center", "x"])


@given(st.sampled_from("01"), st.lists(names, max_size=6))
def test_their_terms_are_those_of_formulaic(first, others):
    text = " + ".join([first, *others])
    terms = DefaultFormulaParser(include_intercept=False).get_terms(text)
    names = [tuple(f.expr for f in term.factors if f.eval_method.value == "lookup") for term in terms]
    assert plain_sum(text) == tuple(names)


@pytest.mark.parametrize(
    "text",
    ["1 + in", "1 + None", "1 + x:y", "1 + x * y", "1 + f(x)", "1 + `x`", "x", "1 - x", "1 + x y", "1 + é", "2 + x"],
)
def test_anything_else_is_left_to_formulaic(text):
    assert plain_sum(text) is None


def test_a_plain_model_does_not_import_formulaic():
    code = (
        "import sys, numpy as np, pandas as pd, mixedfx as mx; rng = np.random.default_rng(0);"
        "d = pd.DataFrame({'y': rng.normal(size=60), 'x': rng.normal(size=60), 'g': list('abcdef') * 10});"
        "print(mx.lmer('y ~ x + (1 | g)', d).summary()); assert 'formulaic' not in sys.modules;"
        "assert 'scipy.stats' not in sys.modules; assert 'scipy.optimize' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
