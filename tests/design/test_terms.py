"""A term says what it reads and what it owns: checked against what happens when a column of the data changes."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.results.singularity import singularity

N = 96
_RNG = np.random.default_rng(7)
_NUMBERS = {name: _RNG.uniform(0.5, 2.0, N) for name in ("x", "w", "a:b", "p[1]", "x:w", "f")}
DATA = pd.DataFrame(
    {
        "y": _RNG.normal(size=N),
        **_NUMBERS,
        "h": _RNG.choice(["u:v", "w[1]", "z"], N),
        "kind[a]:x": _RNG.choice(["no", "yes:no"], N),
        "dose": _RNG.choice([1, 2, 4], N),
        "g": _RNG.choice(list("abcdefgh"), N),
        "group:2": _RNG.choice(["s:t", "t[1]", "r"], N),
    }
)
NUMERIC = (
    "x", "w", "`a:b`", "`p[1]`", "f", "log(w)", "center(x)", "I(x * w)", "np.exp(`a:b`)", "poly(w, 2)", "Q('p[1]')",
    "log(`x:w`)",
)  # fmt: skip
CATEGORICAL = ("h", "`kind[a]:x`", "C(dose)", "C(`kind[a]:x`)")
GROUPS = ("g", "`group:2`", "g:`group:2`", "h:dose")

variable = st.sampled_from(NUMERIC + CATEGORICAL)
product = st.lists(variable, min_size=1, max_size=2, unique=True).map(":".join)
side = st.lists(product, min_size=1, max_size=3, unique=True).map(" + ".join)
left = st.lists(product, max_size=2).map(lambda products: " + ".join(["1", *products]))
random_term = st.builds("({} | {})".format, left, st.sampled_from(GROUPS))
offsets = st.sampled_from(["", " + offset(log(x))", " + offset(`a:b`)"])
formulas = st.builds("y ~ {} + {}{}".format, side, random_term, offsets)


def built(formula, data=DATA):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_design(formula, data, sigma_free=False)


def rolled(column):
    """The data with one column moved down by some rows: every column that is made of it changes."""
    return DATA.assign(**{column: np.roll(DATA[column].to_numpy(), 5)})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(formulas)
def test_every_coefficient_belongs_to_exactly_one_term(formula):
    design = built(formula)
    terms = design.terms
    assert sorted(c for term in terms.fixed for c in term.coefficients) == list(range(design.X.shape[1]))
    for own, term in zip(terms.random, design.random, strict=True):
        assert sorted(c for inner in own.left for c in inner.coefficients) == list(range(term.n_columns))
    assert all(j in terms.owner(j).coefficients for j in range(design.X.shape[1]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(formulas)
def test_what_a_term_reads_is_what_changes_it(formula):
    design = built(formula)
    terms, now = design.terms, design.spec.replay(DATA)
    for column in DATA.columns.drop("y"):
        then = design.spec.replay(rolled(column))
        for term in terms.fixed:
            own = list(term.coefficients)
            changed = not np.array_equal(now.X[:, own], then.X[:, own])
            assert changed == (column in term.columns and bool(own)), (term.text, column)
        for random, one, two in zip(terms.random, now.terms, then.terms, strict=True):
            moved = not (np.array_equal(one.new.codes, two.new.codes) and np.array_equal(*(
                np.asarray(new.unseen_codes) for new in (one.new, two.new))))  # fmt: skip
            assert moved == (column in random.grouping)
            for inner in random.left:
                own = list(inner.coefficients)
                changed = not np.array_equal(one.z[:, own], two.z[:, own])
                assert changed == (column in inner.columns), (inner.text, column)
        changed = not np.array_equal(now.offset, then.offset)
        assert changed == any(column in offset.columns for offset in terms.offsets)
        read = any(column in part.columns for part in (*terms.fixed, *terms.random, *terms.offsets))
        assert read == (column in terms.columns)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(formulas)
def test_a_term_is_written_so_that_it_can_be_read_again(formula):
    """The columns of each term, fitted alone from its text, lie in the space of the whole fixed part."""
    design = built(formula)
    for term in design.terms.fixed:
        if term.product and term.coefficients:
            again = built(f"y ~ {term.written}").terms.fixed[-1]
            assert (again.text, again.columns, again.factors) == (term.text, term.columns, term.factors)


def test_a_name_with_a_colon_is_no_interaction():
    design = built("y ~ x * w + `a:b` + (1 + `a:b` + x:w | g) + (1 | `group:2`)")
    assert [(t.text, t.columns) for t in design.terms.fixed] == [
        ("Intercept", ()), ("x", ("x",)), ("w", ("w",)), ("a:b", ("a:b",)), ("x:w", ("x", "w")),
    ]  # fmt: skip
    scales = scales_of(design)
    assert scales.orders == (1, 1, 1, 1, 2)
    assert [(t.orders, t.group_order) for t in scales.terms] == [((1, 1, 2), 1), ((1,), 1)]


def test_pooled_interactions_shrink_interactions_and_not_names_or_levels():
    design = built("y ~ `a:b` + h + x:w + (1 | `group:2`) + (1 | g:`group:2`)")
    found = resolve(mx.priors.pooled_interactions(0.5), scales_of(design))
    whole = resolve(mx.priors.default(), scales_of(design))
    ratio = [a.scale / b.scale for a, b in zip(found.coefficients, whole.coefficients, strict=True)]
    assert ratio == [1, 1, 1, 1, 0.5]
    assert [a.sd[0].scale / b.sd[0].scale for a, b in zip(found.terms, whole.terms, strict=True)] == [1, 0.5]


def test_a_term_is_dropped_whatever_its_name():
    data = DATA.assign(y=DATA["y"] + DATA["a:b"] + DATA["g"].map(dict(zip("abcdefgh", range(8), strict=True))))
    fit = mx.lmer("y ~ x + `a:b` + `kind[a]:x` + (1 | g)", data)
    table = fit.drop1()
    assert list(table["term"]) == ["x", "a:b", "kind[a]:x"]
    plain = mx.lmer("y ~ x + ab + k + (1 | g)", data.rename(columns={"a:b": "ab", "kind[a]:x": "k"})).drop1()
    pd.testing.assert_frame_equal(table.drop(columns="term"), plain.drop(columns="term"))


@pytest.mark.parametrize(
    ("formula", "factor", "smaller"),
    [
        ("y ~ x + (1 + `a:b` | g)", np.diag([1.0, 0.0]), "(1 | g)"),
        ("y ~ x + (0 + `a:b` + x | g)", np.diag([1.0, 0.0]), "(0 + `a:b` | g)"),
        ("y ~ x + (1 + poly(w, 2) || g)", np.diag([1.0, 0.5, 0.0]), "(1 | g)"),
        ("y ~ x + (0 + h || g)", np.diag([1.0, 0.5, 0.0]), "(1 | g:h)"),
    ],
)
def test_smaller_formulas_write_names_as_formulas_do(formula, factor, smaller):
    found = singularity(built(formula), [factor]).smaller
    assert [str(part) for part in found.random] == [smaller]
