"""What makes two fits comparable: one response, one set of weights, one offset; and which random term holds another."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, NestingWarning

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.SingularFitWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(17)
    g = np.repeat(np.arange(15), 8)
    frame = pd.DataFrame({"g": g, "h": np.tile(np.arange(8), 15), "x": rng.normal(size=120), "v": rng.normal(size=120)})
    frame["y"] = rng.normal(size=15)[g] + (1 + 0.7 * rng.normal(size=15))[g] * frame["x"] + rng.normal(size=120)
    return frame.assign(o=rng.normal(size=120), w=rng.choice([0.5, 2.0], 120))


def ml(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        return mx.lmer(formula, data, REML=False, **options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"offset": "o"}),
        ({"offset": "o"}, {"offset": "x"}),
        ({}, {"weights": "w"}),
        ({"weights": "w"}, {"weights": "half"}),
        ({"weights": "w", "offset": "o"}, {"weights": "w"}),
    ],
)
def test_fits_of_other_data_are_not_compared(data, one, other):
    data = data.assign(half=data["w"] / 2)
    with pytest.raises(DataError, match="different weights or offsets"):
        mx.anova(ml("y ~ 1 + (1 | g)", data, **one), ml("y ~ x + (1 | g)", data, **other))
    both = {**one, **other}
    assert len(mx.anova(ml("y ~ 1 + (1 | g)", data, **both), ml("y ~ x + (1 | g)", data, **both))) == 2


@pytest.mark.parametrize(
    ("small", "large", "nested"),
    [
        ("(1 | g)", "(1 + x | g)", True),
        ("(1 | g)", "(x || g)", True),
        ("(x || g)", "(1 + x | g)", True),
        ("(1 + x | g)", "(1 + I(2 * x - 3) + v | g)", True),
        ("(0 + x | g)", "(1 + v | g)", False),
        ("(1 + x | g)", "(1 + v + I(v**2) | g)", False),
        ("(1 + x | g)", "(x + v || g)", False),
        ("(1 | g)", "(1 + x | h)", False),
        ("(1 | g)", "(1 | h) + (0 + x | h)", False),
    ],
)
def test_a_random_term_within_another_is_seen_by_its_columns_and_groups(data, small, large, nested):
    fits = ml(f"y ~ x + {small}", data), ml(f"y ~ x + {large}", data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mx.anova(*fits)
    assert any(issubclass(w.category, NestingWarning) for w in caught) is not nested
