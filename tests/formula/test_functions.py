"""The documented functions: they exist, take what the list says, and work row by row where they claim to."""

import inspect

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from formulaic.transforms import TRANSFORMS

from mixedfx.formula.functions import (
    CONTRAST_NAMES,
    CONTRASTS,
    FUNCTIONS,
    NUMPY,
    NUMPY_CONSTANTS,
    PLAIN,
    TRANSLATIONS,
    formula_functions,
)

functions = formula_functions()
numpy_functions = vars(functions["np"])


def test_the_context_is_the_list_and_nothing_else():
    assert set(functions) == {*FUNCTIONS, *CONTRAST_NAMES, "np", "contr"}
    assert set(numpy_functions) == {*NUMPY, *NUMPY_CONSTANTS}
    assert set(vars(functions["contr"])) == set(CONTRASTS)


def test_the_context_may_be_changed_without_changing_the_next_one():
    formula_functions().clear()
    assert formula_functions().keys() == functions.keys()


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n in TRANSFORMS and FUNCTIONS[n].by_name])
def test_parameters_are_those_of_formulaic_in_its_order(name):
    known = [p for p in inspect.signature(TRANSFORMS[name]).parameters if not p.startswith("_")]
    listed = list(FUNCTIONS[name].parameters)
    assert [p for p in known if p in listed] == listed
    positional = FUNCTIONS[name].positional or len(listed)
    assert known[:positional] == listed[:positional]


@pytest.mark.parametrize("name", CONTRASTS)
def test_parameters_of_contrasts_are_those_of_formulaic(name):
    known = inspect.signature(getattr(TRANSFORMS["contr"], name)).parameters
    assert list(known) == list(CONTRASTS[name].parameters)


@pytest.mark.parametrize("name", [*NUMPY, *PLAIN])
def test_elementwise_functions_work_row_by_row_and_leave_their_argument_alone(name):
    function = numpy_functions[name] if name in NUMPY else functions[name]
    signature = NUMPY.get(name, FUNCTIONS.get(name))
    start = 1.0 if name == "arccosh" else 0.0
    arguments = [start + np.array([0.3, 0.7, 0.2, 0.9]) ** (i + 1) for i in range(signature.required)]
    before = [a.copy() for a in arguments]
    whole = function(*arguments)
    # Vector instructions may round the last bit differently from a single number.
    for row in range(4):
        assert function(*(a[row : row + 1] for a in arguments)) == pytest.approx(whole[row : row + 1], rel=1e-15)
    assert all((a == b).all() for a, b in zip(arguments, before, strict=True))


def test_exp10_is_a_power_of_ten_for_whole_numbers_too():
    assert functions["exp10"](np.array([-1, 0, 2])) == pytest.approx([0.1, 1.0, 100.0], rel=1e-15)


def test_factor_makes_a_factor_of_numbers():
    data = pd.DataFrame({"x": [1, 2, 3, 1]})
    matrix = model_matrix("factor(x)", data, context=functions)
    assert np.asarray(matrix).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    "call",
    [
        "poly(x, 2)",
        "bs(x, df=4)",
        "cr(x, df=4)",
        "cs(x, df=4)",
        "cc(x, df=4)",
        "center(x)",
        "scale(x, ddof=0)",
        "standardize(x)",
        "Q('x')",
        "I(x ** 2)",
        "C(g, contr.helmert)",
        "C(g, contr.treatment('b'))",
        "C(g, Treatment('b'))",
        "C(g, contr.custom({'a-b': [1, -1, 0]}))",
        "C(g, levels=['c', 'b', 'a'])",
    ],
)
def test_documented_calls_evaluate(call):
    data = pd.DataFrame({"x": np.linspace(0.0, 1.0, 12), "g": list("abc") * 4})
    matrix = np.asarray(model_matrix(f"0 + {call}", data, context=functions), dtype=float)
    assert matrix.shape[0] == 12
    assert np.isfinite(matrix).all()


def test_translations_from_elsewhere_name_no_function_that_exists_here():
    assert not set(TRANSLATIONS) & set(functions)
