"""What the data do not determine is NaN in every verb, and named; what they do determine is a number in every verb."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import EffectsError, NotEstimableWarning
from tests.effects.drawn_fit import draw_fit

NUMBERS = ["estimate", "sd", "lower", "upper", "prob_above_null"]


def holed() -> pd.DataFrame:
    """No rows in cell (a3, b2); x2 is 2 x."""
    rng = np.random.default_rng(18)
    g = np.repeat(np.arange(12), 20)
    columns = {"A": ["a1", "a2", "a3"], "B": ["b1", "b2"], "C": ["c1", "c2"]}
    data = pd.DataFrame({k: rng.choice(v, 240) for k, v in columns.items()}).assign(g=g, x=rng.normal(size=240))
    data["y"] = 2.0 * (data["A"] == "a2") + (data["B"] == "b2") + rng.normal(size=12)[g] + rng.normal(size=240)
    data = data[~((data["A"] == "a3") & (data["B"] == "b2"))].reset_index(drop=True)
    return data.assign(x2=2 * data["x"], k=(data["y"] > 1) * 1.0)


FORMULA = "A * B + C + x + x2"


@pytest.fixture(scope="module")
def fits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "lmer": mx.lmer(f"y ~ {FORMULA} + (1 | g)", holed()),
            "bayes": mx.bayes(f"y ~ {FORMULA} + (1 | g)", holed(), draws=400, seed=1),
            "bernoulli": draw_fit(f"k ~ {FORMULA} + (1 | g)", holed(), "bernoulli", draws=40),
        }


@pytest.fixture(params=["lmer", "bayes", "bernoulli"])
def fit(request, fits):
    return fits[request.param]


def cells(**columns) -> pd.DataFrame:
    rows = list(itertools.product(["a1", "a2", "a3"], ["b1", "b2"]))
    return pd.DataFrame(rows, columns=["A", "B"]).assign(**({"C": "c1", "x": 0.5, "x2": 1.0, "g": 0} | columns))


def quiet(question):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotEstimableWarning)
        return question()


def test_effects_predictions_and_marginal_means_lose_the_same_cell(fit):
    lost = np.array([False] * 5 + [True])
    assert (~fit.design_for(cells()).estimable == lost).all()
    means = quiet(lambda: mx.emmeans(fit, ["B", "A"], at={"x": 0.5, "x2": 1.0}).table)
    np.testing.assert_array_equal(means["emmean"].isna(), lost)
    average = quiet(lambda: mx.poststratify(fit, cells(), by=["A", "B"]).table)
    for column in ("estimate", "sd", "lower", "upper"):
        np.testing.assert_array_equal(average[column].isna(), lost)
    with pytest.warns(NotEstimableWarning, match=r"for 'A=a3' is not estimable.*'A\[a3\]:B\[b2\]'") as caught:
        effects = mx.effects(fit, "B", by="A")
    assert len(caught) == 1
    np.testing.assert_array_equal(effects.table[NUMBERS].isna(), np.repeat([[False], [False], [True]], 5, axis=1))
    assert sum(note.startswith("Not estimable, NaN: 'A=a3'.") for note in effects.notes) == 1
    assert "nan" in repr(effects)
    if hasattr(fit, "predict"):
        with pytest.warns(NotEstimableWarning, match=r"predictions of row 5 \(counted from 0\).*'A\[a3\]:B\[b2\]'"):
            found = fit.predict(cells())
        found = found if isinstance(found, pd.Series) else found["estimate"]
        np.testing.assert_array_equal(found.isna(), lost)


def test_every_kind_of_prediction_is_nan_where_it_is_not_estimable(fits):
    lost, new = np.array([False] * 5 + [True]), cells()
    for options in ({"interval": "confidence"}, {"interval": "prediction"}, {"se": True}, {"groups": "average"}):
        table = quiet(lambda options=options: pd.DataFrame(fits["lmer"].predict(new, **options)))
        np.testing.assert_array_equal(table.isna().all(axis=1), lost)
        assert table[~lost].notna().all(axis=None)
    for kind in ("response", "link", "predictive"):
        table = quiet(lambda kind=kind: pd.DataFrame(fits["bayes"].predict(new, kind=kind)))
        np.testing.assert_array_equal(table.isna().all(axis=1), lost)
    for question in (fits["bayes"].epred, fits["bayes"].linpred):
        with pytest.warns(NotEstimableWarning, match="row 5"):
            values = question(new)
        np.testing.assert_array_equal(np.isnan(values).all(axis=0), lost)
    for name in ("lmer", "bayes"):
        found = fits[name].apply(fits[name].design_for(new))
        for numbers in (found.mean, found.sd, found.variances, np.diag(found.cov), found.draws(5, seed=0)[0]):
            np.testing.assert_array_equal(np.isnan(numbers), lost)


@pytest.mark.filterwarnings("error::mixedfx.errors.NotEstimableWarning")
def test_what_cancels_is_estimable_in_every_verb(fit):
    """The effect of C inside the empty cell, with covariates that break x2 = 2 x: the same unknown on both sides."""
    scale = {"scale": "link"}
    inside = mx.effects(fit, "C", newdata=cells(x2=9.0), by=["A", "B"], **scale).table
    whole = mx.effects(fit, "C", **scale).table
    np.testing.assert_allclose(inside["estimate"], whole["estimate"][0], rtol=1e-9)
    rows = fit.design_for(pd.concat([cells(x2=9.0), cells(x2=9.0, C="c2")]))
    difference = rows.combine(np.hstack([-np.eye(6), np.eye(6)]))
    assert difference.estimable.all()
    weights = np.random.default_rng(1).uniform(1, 2, (30, 6))
    uncertain = mx.effects(fit, "C", newdata=cells(x2=9.0), by="A", weights=weights, **scale)
    assert uncertain.table[NUMBERS].notna().all(axis=None)
    if fit.family.identity:
        assert uncertain.contrast(against="complement").table["estimate"].notna().all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotEstimableWarning)
        pairs = mx.emmeans(fit, "C").pairs().table
    assert np.isfinite(pairs["estimate"][0])


def test_averages_over_a_cell_that_is_not_estimable_are_lost_and_those_without_it_are_not(fit):
    weights = np.random.default_rng(2).uniform(1, 2, (30, 6))
    for options in ({}, {"weights": weights}):
        found = quiet(lambda options=options: mx.poststratify(fit, cells(), by=[[], ["A"], ["B"]], **options))
        lost = found.table["estimate"].isna().to_numpy()
        assert lost.tolist() == [True, False, False, True, False, True]
    effects = quiet(lambda: mx.effects(fit, "B", by=[[], ["A"]], newdata=cells()))
    assert effects.table["estimate"].isna().tolist() == [True, False, False, True]
    others = mx.effects(fit, "B", subgroups={"others": "A != 'a3'"}, newdata=cells())
    assert others.table[NUMBERS].notna().all(axis=None)


def test_a_ratio_needs_both_averages(fits):
    fit = fits["bernoulli"]
    new = cells(x2=9.0)
    with pytest.warns(NotEstimableWarning, match="'x2'"):
        found = mx.effects(fit, "C", newdata=new, comparison="ratio")
    assert np.isnan(found.table["estimate"][0])


def test_questions_leave_out_what_is_not_known(fit):
    effects = quiet(lambda: mx.effects(fit, "B", by="A", scale="link"))
    ranks = effects.rank().set_index("A")
    assert ranks.loc["a3", ["prob_best", "rank", "median"]].isna().all()
    assert ranks.loc[["a1", "a2"], "prob_best"].sum() == pytest.approx(1.0)
    assert ranks.loc[["a1", "a2"], "rank"].sum() == pytest.approx(3.0)
    assert effects.prob(greater=0)["prob"].isna().tolist() == [False, False, True]
    assert effects.heterogeneity()["subgroups"].tolist() == [2]
    assert np.isfinite(effects.heterogeneity()["sd"][0])
    assert effects.contrast("a1", "a2").table["estimate"].notna().all()
    with pytest.warns(NotEstimableWarning, match=r"'\(A=a1\) - \(A=a3\)'"):
        assert effects.contrast("a1", "a3").table[NUMBERS].isna().all(axis=None)
    with pytest.raises(EffectsError, match="do not determine the effect for 'A=a3'"):
        effects.decide()


@pytest.mark.parametrize("kind", ["forest", "ridges", "ranks", "pooling"])
def test_pictures_of_tables_with_numbers_that_are_not_known_are_drawn(fits, kind):
    effects = quiet(lambda: mx.effects(fits["lmer"], "B", by="A"))
    assert effects.plot(kind) is not None
