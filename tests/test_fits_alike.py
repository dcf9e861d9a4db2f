"""`predict` and `simulate` mean the same whichever way a model was fitted: arguments, columns, groups."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.errors import DataError, OptionError, UnseenLevelError
from mixedfx.glmm.fit import GlmerFit
from mixedfx.reml.fit import LmerFit

FORMULA = "y ~ x + (1 + x | g)"
# what one way of fitting can be asked and the other cannot: a posterior answers with all its uncertainty, and rows that
# are not held, whose predictions go to a file, are those of lmer
ONLY = {LmerFit: {"uncertainty", "to"}, PosteriorFit: set(), GlmerFit: set()}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    g, x = np.repeat(np.arange(30), 12), rng.normal(size=360)
    u = rng.normal(size=(30, 2)) * [3.0, 1.0]
    y = 2.0 + x + u[g, 0] + u[g, 1] * x + 0.5 * rng.normal(size=360)
    return pd.DataFrame({"x": x, "g": g.astype(str), "y": y}, index=np.arange(360) + 1000)


@pytest.fixture(scope="module", params=["lmer", "bayes", "glmer"])
def fit(request, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if request.param == "bayes":
            return mx.bayes(FORMULA, data, draws=2000, seed=1)
        return mx.lmer(FORMULA, data) if request.param == "lmer" else mx.glmer(FORMULA, data, "gaussian")


def arguments(cls, name):
    found = inspect.signature(getattr(cls, name)).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if p.name not in ONLY[cls]]


@pytest.mark.parametrize("other", [PosteriorFit, GlmerFit])
def test_predict_takes_the_same_arguments_in_the_same_places(other):
    ours, theirs = (arguments(cls, "predict") for cls in (LmerFit, other))
    by_place = [a for a in ours if a[1] is not inspect.Parameter.KEYWORD_ONLY]
    assert by_place == [a for a in theirs if a[1] is not inspect.Parameter.KEYWORD_ONLY]
    assert sorted(ours, key=lambda a: a[0]) == sorted(theirs, key=lambda a: a[0])


def test_simulate_takes_the_same_arguments():
    assert arguments(LmerFit, "simulate") == arguments(PosteriorFit, "simulate") == arguments(GlmerFit, "simulate")


@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_tables_of_predictions_have_the_same_columns(fit, data, interval):
    table = fit.predict(data.iloc[:4], interval=interval)
    assert list(table.columns) == ["estimate", "se", "lower", "upper"]
    assert table.index.equals(data.index[:4])


def test_an_interval_for_a_new_response_is_wider_by_the_residual(fit, data):
    mean = fit.predict(data.iloc[:50], interval="confidence")
    new = fit.predict(data.iloc[:50], interval="prediction")
    # 2,000 draws: a standard deviation is known to 1.6 %, three times that here, of 50 rows
    expected = np.sqrt(mean["se"] ** 2 + 0.5**2)
    np.testing.assert_allclose(new["se"], expected, rtol=0.12)


def test_groups_are_averaged_over_alike(fit, data):
    """With the random effects at 0, whatever the group: X beta."""
    rows = data.iloc[:6].assign(g="unseen")
    found = fit.predict(rows, groups="average", interval="confidence")
    beta = fit.fixef.to_numpy()
    np.testing.assert_allclose(found["estimate"], beta[0] + beta[1] * rows["x"], rtol=1e-10)
    with pytest.raises(OptionError, match="groups"):
        fit.predict(rows, groups="none")


def test_a_level_that_was_not_seen_is_an_error_unless_said_otherwise(fit, data):
    new = data.iloc[[0]].assign(g="unseen")
    with pytest.raises(UnseenLevelError):
        fit.predict(new)
    beta = fit.fixef.to_numpy()
    found = fit.predict(new, "population", interval="confidence")["estimate"].iloc[0]
    assert found == pytest.approx(beta[0] + beta[1] * new["x"].iloc[0])


def test_simulated_responses_have_a_column_each_and_the_rows_of_the_fit(fit, data):
    found = fit.simulate(3, seed=1)
    assert found.columns.tolist() == [0, 1, 2]
    assert len(found) == len(data)
    assert fit.simulate(seed=1).shape == (len(data), 1)
    assert found.equals(fit.simulate(3, seed=1))


def test_simulated_groups_are_new_unless_they_are_to_keep_their_effects(fit, data):
    """Variance of group means over simulations: that of the population's lines, or what is left of a known group's."""
    group = data["g"].to_numpy()
    new = fit.simulate(2000, seed=2).groupby(group).mean().var(axis=1)
    same = fit.simulate(2000, seed=2, use_u=True).groupby(group).mean().var(axis=1)
    vcov = fit.varcorr["vcov"].to_numpy(dtype=float)
    x = data["x"].groupby(group).mean()
    variance = vcov[0] + 2 * vcov[2] * x + vcov[1] * x**2 if np.isfinite(vcov[2]) else vcov[0] + vcov[1] * x**2
    # 2,000 simulations: the variance of one group within 3.2 %, the mean ratio of thirty much closer; a posterior
    # spreads over its variances, which adds a few percent
    assert np.mean(new / variance) == pytest.approx(1.0, abs=0.1)
    assert (same < 0.2 * new).all()


def test_options_of_simulate_are_checked(fit):
    for wrong in ({"n": 0}, {"use_u": 1}, {"seed": "a"}):
        with pytest.raises(OptionError):
            fit.simulate(**wrong)


def test_a_posterior_gives_a_response_for_each_draw(data):
    """`n=None`: what no other fit has."""
    fit = mx.bayes(FORMULA, data, draws=50, chains=1, seed=1)
    assert fit.simulate(None, seed=1).shape == (360, 50)
    assert fit.simulate(None, seed=1, use_u=True).shape == (360, 50)


def test_predictions_alone_are_a_series_and_everything_else_a_table(fit, data):
    rows = data.iloc[:5]
    alone = fit.predict(rows)
    assert isinstance(alone, pd.Series)
    assert alone.name == "predicted"
    assert alone.index.equals(rows.index)
    pd.testing.assert_series_equal(fit.predict(rows, kind="link"), alone)  # of a normal response they are one
    for asked in ({"se": True}, {"interval": "confidence"}, {"interval": "prediction"}, {"kind": "predictive"}):
        table = fit.predict(rows, **asked)
        assert list(table.columns) == ["estimate", "se", "lower", "upper"]
        # a new response has the mean of its draws, whose error is a fiftieth of a residual sd of 0.5
        near = 0.05 if "prediction" in asked.values() or "predictive" in asked.values() else 1e-8
        assert table["estimate"].to_numpy() == pytest.approx(alone.to_numpy(), abs=near)
    pd.testing.assert_frame_equal(fit.predict(rows, se=True), fit.predict(rows, interval="confidence"))


def test_a_new_response_is_asked_for_in_two_words_that_mean_the_same(fit):
    pd.testing.assert_frame_equal(fit.predict(interval="prediction"), fit.predict(kind="predictive"))
    with pytest.raises(OptionError, match="scales"):
        fit.predict(kind="link", interval="prediction")


def test_new_groups_of_categories_and_thresholds(data):
    """Every linear predictor of a categorical response gets new effects; thresholds go with their draws."""
    rng = np.random.default_rng(1)
    people = data.assign(k=pd.cut(data["y"] + rng.normal(size=360), 3, labels=["low", "mid", "high"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for family in ("cumulative", "categorical"):
            fit = mx.bayes("k ~ x + (1 | g)", people, family=family, draws=40, warmup=40, chains=2, seed=1)
            found = fit.simulate(7, seed=3)
            assert found.shape == (360, 7)
            assert set(np.unique(found)) <= {"low", "mid", "high"}


def test_warnings_name_the_line_that_asked(fit, data):
    """Not a line of the package, however deep the function that warns."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        again = type(fit) is LmerFit and fit.update(data=data.assign(g=data["g"].where(data["g"] < "2", "0")))
        mx.lmer("y ~ x + (1 | g)", data.assign(y=data.groupby("g")["x"].transform("size") + data["x"] ** 2))
    assert again is False or len(again.design.y) == len(data)
    assert heard
    assert {one.filename for one in heard} == {__file__}


@pytest.mark.parametrize("options", [{}, {"se": True}, {"interval": "prediction"}, {"groups": "average"}])
def test_rows_that_lack_a_value_are_nan_and_the_others_what_they_were(fit, data, options):
    rows = data.iloc[:6].copy()
    rows.loc[rows.index[2], "x"] = np.nan
    rows.loc[rows.index[4], "g"] = None
    whole, found = fit.predict(data.iloc[:6], **options), fit.predict(rows, **options)
    lacking = rows[["x", "g"]].isna().any(axis=1)
    assert found.index.equals(rows.index)
    assert found[lacking].isna().to_numpy().all()
    # draws of new responses of a posterior or a GLMM are those of four rows, not of six
    close = {"rtol": 0.2, "atol": 0.2} if "prediction" in options.values() else {"rtol": 1e-9}
    np.testing.assert_allclose(found[~lacking], whole[~lacking], **close)
    with pytest.raises(DataError, match="missing values: 'x' in row 2; 'g' in row 4"):
        fit.predict(rows, na="raise", **options)
    with pytest.raises(OptionError):
        fit.predict(rows, na="drop")


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "list"])
def test_rows_of_any_frame_may_lack_a_value(fit, data, kind):
    rows = data.iloc[:6].copy()
    rows.loc[rows.index[3], "x"] = np.nan
    made = rows.reset_index(drop=True)
    frame = {
        "polars": lambda: pl.from_pandas(made), "lazy": lambda: pl.from_pandas(made).lazy(),
        "arrow": lambda: pl.from_pandas(made).to_arrow(), "list": lambda: made,
    }[kind]()  # fmt: skip
    np.testing.assert_allclose(fit.predict(frame), fit.predict(rows), rtol=1e-9)


def test_new_rows_none_of_which_is_complete_are_all_nan(fit, data):
    found = fit.predict(data.iloc[:3].assign(x=np.nan))
    assert found.isna().all()
    assert len(found) == 3


def test_weights_go_with_the_rows_that_are_complete(data):
    weights = np.linspace(0.5, 2.0, len(data))
    fit = mx.lmer(FORMULA, data, weights=weights)
    rows = data.iloc[:5].copy()
    given = pd.Series([1.0, 4.0, 9.0, 16.0, 25.0], index=rows.index)[::-1]
    whole = fit.predict(rows, interval="prediction", weights=given)
    rows.loc[rows.index[1], "x"] = np.nan
    for values in (given, given[::-1].to_numpy(), given[::-1].tolist()):
        found = fit.predict(rows, interval="prediction", weights=values)
        np.testing.assert_allclose(found.drop(rows.index[1]), whole.drop(rows.index[1]), rtol=1e-9)


def test_new_rows_are_simulated_as_those_of_the_fit_are(fit, data):
    """The same rows as new data have the same means and variances, with known groups and with new ones."""
    rows = data.iloc[:24]
    for use_u in (False, True):
        own = fit.simulate(4000, seed=5, use_u=use_u).iloc[:24]
        new = fit.simulate(4000, seed=6, use_u=use_u, newdata=rows)
        assert new.index.equals(rows.index)
        sd = own.std(axis=1).mean()
        # 24 means and sds of 4,000 draws: errors of 1.6 % and 1.1 % of a sd, the largest of 24 below 4 of these
        np.testing.assert_allclose(new.mean(axis=1), own.mean(axis=1).to_numpy(), atol=0.1 * sd)
        np.testing.assert_allclose(new.std(axis=1), own.std(axis=1).to_numpy(), rtol=0.1)
        # rows of a group share its effects
        between = np.corrcoef(new.to_numpy())[0, 1]
        assert between == pytest.approx(np.corrcoef(own.to_numpy())[0, 1], abs=0.1)


def test_groups_nobody_has_seen_are_drawn_from_their_population(fit, data):
    rows = data.iloc[:4].assign(g=["a", "a", "b", "b"], x=0.0)
    found = fit.simulate(4000, seed=7, use_u=True, newdata=rows).to_numpy()
    between = np.corrcoef(found)
    assert between[0, 1] > 0.8  # sd 3 between groups, 0.5 within
    assert abs(between[0, 2]) < 0.1
    with pytest.raises(DataError, match="say nothing of the groups 'g'"):
        fit.simulate(1, newdata=rows.drop(columns="g"))


def test_simulated_counts_of_new_rows_have_their_trials(data):
    rng = np.random.default_rng(3)
    people = data.assign(m=rng.integers(1, 6, len(data)))
    people["k"] = rng.binomial(people["m"], 0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fit in (mx.glmer("k | trials(m) ~ x + (1 | g)", people, "binomial"),
                    mx.bayes("k | trials(m) ~ x + (1 | g)", people, family="binomial", seed=1, draws=200)):  # fmt: skip
            new = fit.simulate(300, seed=1, newdata=people.iloc[:20].assign(m=50))
            assert new.to_numpy().max() > 20
            with pytest.raises(DataError, match="trials"):
                fit.simulate(newdata=people.drop(columns="m"))
