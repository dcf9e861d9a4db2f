"""Transforms of transforms are columns of numbers or refused in words, in the fixed part and in random terms."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import DataError, MixedfxError

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

INNER = ["poly(x, 2)", "bs(x, df=4)", "bs(log(x), df=4)", "cr(x, df=3)", "cc(z, df=3)", "scale(x)", "log(z)"]
OUTER = ["poly({}, 2)", "bs({}, df=4)", "cr({}, df=3)", "cc({}, df=3)", "scale({})", "log({})", "I({})"]
SIDES = ["{}", "z + {}", "z + (0 + {} | g)", "z + (0 + {} || g)"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=60), rng.uniform(1, 2, 60)
    return pd.DataFrame({"y": rng.normal(size=60), "x": x, "z": z, "g": np.repeat(list("abcdef"), 10)})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("inner", "outer"), [*product(INNER, OUTER)])
def test_every_pair_is_numbers_or_refused_in_words(data, inner, outer, side):
    try:
        design = build_design(f"y ~ {side.format(outer.format(inner))}", data)
    except MixedfxError:
        return
    assert np.isfinite(design.X).all()
    assert design.X.shape == (60, len(design.fixed_names))
    for term in design.random:
        assert term.z.shape == (60, term.n_columns)
        assert np.isfinite(term.z).all()


def test_a_polynomial_of_each_column_of_a_spline_is_refused(data):
    for side in ("poly(bs(x, df=4), 2)", "z + (0 + poly(bs(x, df=4), 2) || g)"):
        with pytest.raises(DataError, match=r"poly\(bs\(x, df=4\), 2\)' makes several columns of each of several"):
            build_design(f"y ~ {side}", data)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_spline_of_what_is_no_number_names_the_expression_and_the_rows(data):
    with pytest.raises(DataError, match=r"bs\(log\(x\), df=4\)"):
        build_design("y ~ cr(bs(log(x), df=4), df=3)", data.assign(x=data["x"] - 10))
