"""Plausible values and imputations as one fit: every way to write them, every verb, every wrong input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import (
    DataError,
    EffectsError,
    FormulaError,
    IdentifierSlopeWarning,
    NoVariationWarning,
    OptionError,
    PlausibleValueWarning,
)
from mixedfx.surveys.rubin import barnard_rubin, moments

PVS = ["PV1MATH", "PV2MATH", "PV3MATH", "PV4MATH"]


@pytest.fixture(scope="module")
def pupils():
    """30 schools; what a test says of a pupil, drawn four times."""
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(30), 12)
    frame = pd.DataFrame({"school": school.astype(str), "ses": rng.normal(size=360)})
    frame["arm"] = np.where(school % 2 == 0, "control", "coached")
    frame["girl"] = rng.integers(0, 2, 360)
    ability = (
        (2 + rng.normal(0, 1.5, 30)[school]) * frame["ses"]
        + (1 + frame["girl"]) * (frame["arm"] == "coached")
        + rng.normal(0, 2, 30)[school]
    )
    ability += rng.normal(0, 3, 360)
    for name in PVS:
        frame[name] = ability + rng.normal(0, 2, 360)
    return frame


FORMULA = "ses + arm * girl + (1 + ses | school)"


@pytest.fixture(scope="module")
def fit(pupils):
    return mx.lmer(f"[PV1MATH:PV4MATH] ~ {FORMULA}", pupils)


def imputations(pupils):
    """The same as completed data sets, of which a predictor differs too."""
    rng = np.random.default_rng(8)
    frames = []
    for name in PVS:
        frame = pupils.drop(columns=PVS).assign(math=pupils[name])
        gaps = rng.random(len(frame)) < 0.2
        frames.append(frame.assign(ses=np.where(gaps, frame["ses"] + rng.normal(0, 0.5, len(frame)), frame["ses"])))
    return frames


@pytest.mark.parametrize(
    ("formula", "responses"),
    [
        ("[PV1MATH:PV4MATH] ~ ", None),
        (" [ PV1MATH , PV2MATH, PV3MATH:PV4MATH ] ~ ", None),
        ("math ~ ", PVS),
        ("PV1MATH ~ ", PVS),
    ],
)
def test_however_they_are_written_it_is_the_pool_of_single_fits(pupils, fit, formula, responses):
    found = mx.lmer(formula + FORMULA, pupils, responses=responses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlausibleValueWarning)
        single = [mx.lmer(f"{name} ~ {FORMULA}", pupils) for name in PVS]
    pd.testing.assert_frame_equal(found.tidy(), mx.pool(single).tidy())
    pd.testing.assert_frame_equal(found.tidy(), fit.tidy())
    assert found.sets == tuple(PVS)


def test_a_transformed_response_is_transformed_in_each(pupils):
    shifted = pupils.assign(**{name: pupils[name] + 40 for name in PVS})
    found = mx.lmer("log(math) ~ ses + (1 | school)", shifted, responses=PVS)
    single = [mx.lmer(f"log({name}) ~ ses + (1 | school)", shifted).fixef for name in PVS]
    np.testing.assert_allclose(found.fixef, np.mean(single, axis=0), rtol=1e-12)


@pytest.mark.parametrize("form", ["list", "long", "mice", "polars"])
def test_however_imputations_are_given_it_is_the_pool_of_single_fits(pupils, form):
    frames = imputations(pupils)
    long = pd.concat([frame.assign(**{".imp": k + 1}) for k, frame in enumerate(frames)])
    gaps = frames[0].assign(**{".imp": 0, "ses": np.nan})
    given = {
        "list": (None, frames),
        "long": (long, ".imp"),
        "mice": (pd.concat([gaps, long]), ".imp"),
        "polars": (pl.from_pandas(long), ".imp"),
    }[form]
    found = mx.lmer(f"math ~ {FORMULA}", given[0], imputations=given[1])
    expected = mx.pool([mx.lmer(f"math ~ {FORMULA}", frame) for frame in frames])
    pd.testing.assert_frame_equal(found.tidy(), expected.tidy(), rtol=1e-9)


def test_components_and_modes_are_means_over_the_data_sets(fit):
    for column in ("vcov",):
        np.testing.assert_allclose(fit.varcorr[column], np.mean([f.varcorr[column] for f in fit.fits], axis=0))
    sd = fit.varcorr["sdcor"].to_numpy()
    assert sd[0] == pytest.approx(np.sqrt(fit.varcorr["vcov"][0]))
    assert abs(sd[2]) <= 1
    F = fit.covariance_factors[0][0]
    np.testing.assert_allclose(F @ F.T, [[sd[0] ** 2, sd[2] * sd[0] * sd[1]], [sd[2] * sd[0] * sd[1], sd[1] ** 2]])
    modes = fit.ranef["school"]
    np.testing.assert_allclose(modes, np.mean([f.ranef["school"] for f in fit.fits], axis=0))
    total = fit.ranef_sd["school"].to_numpy()
    assert (total > np.sqrt(np.mean([f.ranef_sd["school"] ** 2 for f in fit.fits], axis=0))).all()


@pytest.mark.parametrize("transform", ["scale(ses)", "poly(ses, 2)", "bs(ses, df=4)"])
def test_rows_that_the_data_sets_do_not_share_are_refused(pupils, transform):
    """Where a transform learns from imputed values, coefficients of two fits go with different columns."""
    frames = imputations(pupils)
    found = mx.lmer(f"math ~ {transform} + arm + (1 | school)", imputations=frames)
    with pytest.raises(OptionError, match="do not agree on the rows"):
        mx.emmeans(found, "arm", at={"ses": 0.5})
    rows = pupils.head(5)
    each = np.mean([f.predict(rows) for f in found.fits], axis=0)
    np.testing.assert_allclose(found.predict(rows), each, rtol=1e-10)
    shared = mx.lmer(f"math ~ {transform.replace('ses', 'girl + 0.5')} + arm + (1 | school)", imputations=frames)
    assert len(mx.emmeans(shared, "arm").table) == 2


def test_marginal_means_and_their_contrasts_go_by_the_rules(fit):
    means = mx.emmeans(fit, "arm")
    single = [mx.emmeans(f, "arm").table for f in fit.fits]
    np.testing.assert_allclose(means.table["emmean"], np.mean([t["emmean"] for t in single], axis=0))
    pair, pairs = means.pairs().table.iloc[0], [mx.emmeans(f, "arm").pairs().table.iloc[0] for f in fit.fits]
    rules = moments(np.array([[p.estimate] for p in pairs]), np.array([[[p.SE**2]] for p in pairs]))
    assert pytest.approx(np.sqrt(rules.total.item()), rel=1e-9) == pair.SE
    assert pair.df == pytest.approx(barnard_rubin(4, rules.increase, np.mean([p.df for p in pairs]))[0], rel=1e-9)


@pytest.mark.parametrize("by", [None, "girl", "school"])
def test_effects_of_subgroups_go_by_the_rules(fit, by):
    """With the uncertainty of theta in each; by school they hold random effects."""
    treatment = "ses" if by == "school" else "arm"
    found = mx.effects(fit, treatment, by=by)
    single = [mx.effects(f, treatment, by=by) for f in fit.fits]
    estimates = np.array([e.table["estimate"] for e in single])
    rules = moments(estimates, np.array([np.diag(e.table["sd"] ** 2) for e in single]))
    np.testing.assert_allclose(found.table["estimate"], estimates.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.table["sd"], np.sqrt(np.diag(rules.total)), rtol=1e-7)
    assert (found.table["lower"] < found.table["estimate"]).all()
    draws = found.draws(20_000, seed=1)
    # one t for all rows, with the median of their degrees of freedom: nearly the intervals of the table
    np.testing.assert_allclose(draws.mean(axis=0), found.table["estimate"], atol=0.1)
    inside = (draws > found.table["lower"].to_numpy()) & (draws < found.table["upper"].to_numpy())
    assert (np.abs(inside.mean(axis=0) - 0.95) < 0.02).all()
    assert "Pooled over 4 plausible values by Rubin's rules." in found.notes
    assert str(found.fit.formula).startswith("[PV1MATH:PV4MATH]")


def test_what_every_data_set_says_of_a_question_is_said_once(pupils):
    fit = mx.lmer("[PV1MATH:PV4MATH] ~ ses + girl + (1 | school)", pupils)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        mx.effects(fit, "ses", by="girl")
    found = [str(w.message) for w in heard if issubclass(w.category, NoVariationWarning)]
    assert len(found) == 1
    assert "[PV1MATH:PV4MATH] ~ 1 + ses + girl" in found[0]


def test_a_contrast_of_subgroups_is_pooled_as_a_contrast(fit):
    found = mx.effects(fit, "arm", by="girl").contrast("1", "0").table.iloc[0]
    single = [mx.effects(f, "arm", by="girl").contrast("1", "0").table.iloc[0] for f in fit.fits]
    rules = moments(np.array([[s.estimate] for s in single]), np.array([[[s.sd**2]] for s in single]))
    assert [found.estimate, found.sd] == pytest.approx([rules.mean.item(), np.sqrt(rules.total.item())], rel=1e-7)


def test_comparisons_that_are_drawn_have_the_variance_of_the_rules(pupils):
    counted = pupils.assign(**{name: (pupils[name] > 2).astype(int) for name in PVS})
    fit = mx.glmer("[PV1MATH:PV4MATH] ~ arm + girl + (1 | school)", counted, "bernoulli")
    found = mx.effects(fit, "arm", by="girl")
    single = [mx.effects(f, "arm", by="girl").table for f in fit.fits]
    rules = moments(np.array([s["estimate"] for s in single]), np.array([np.diag(s["sd"] ** 2) for s in single]))
    np.testing.assert_allclose(found.table["estimate"], rules.mean, rtol=1e-9)
    np.testing.assert_allclose(found.table["sd"], np.sqrt(np.diag(rules.total)), rtol=2e-3)  # divisors D and D - 1


def test_predictions_have_what_separates_the_data_sets(pupils, fit):
    rows = pupils.iloc[:5].drop(columns=PVS)
    found = fit.predict(rows, se=True)
    single = np.array([f.predict(rows) for f in fit.fits])
    np.testing.assert_allclose(found["estimate"], single.mean(axis=0))
    assert (found["se"] > single.std(axis=0, ddof=1) * np.sqrt(1.25)).all()
    assert fit.predict(rows).index.equals(rows.index)
    gap = rows.copy()
    gap.loc[gap.index[1], "girl"] = np.nan
    table = fit.predict(gap, se=True)
    assert table.isna().all(axis=1).tolist() == [k == 1 for k in range(len(rows))]
    np.testing.assert_allclose(table.drop(index=gap.index[1]), found.drop(index=gap.index[1]))
    with pytest.raises(mx.errors.DataError, match="missing"):
        fit.predict(gap, na="raise")
    average = fit.predict(rows, groups="average")
    np.testing.assert_allclose(average, np.mean([f.predict(rows, groups="average") for f in fit.fits], axis=0))


def test_the_page_says_what_it_is(fit):
    page = str(fit.summary())
    assert "Pooled linear mixed model, 4 plausible values" in page
    assert "PV1MATH, PV2MATH, PV3MATH, PV4MATH" in page
    assert "fmi" in page
    assert "Barnard and Rubin" in page
    assert max(map(len, page.splitlines())) <= 100
    assert "<table>" in fit._repr_html_()
    assert "Rubin" in str(mx.effects(fit, "arm"))
    assert "PooledFit" not in str(mx.table(fit))


def test_one_plausible_value_alone_is_asked_about(pupils):
    with pytest.warns(PlausibleValueWarning, match=r"one of 4 plausible values.*\[PV1MATH:PV4MATH\]"):
        mx.lmer("PV1MATH ~ ses + (1 | school)", pupils)
    mean = pupils.assign(math=pupils[PVS].mean(axis=1))
    with pytest.warns(PlausibleValueWarning, match=r"mean of 4 plausible values"):
        mx.lmer("math ~ ses + (1 | school)", mean)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PlausibleValueWarning)
        mx.lmer("ses ~ girl + (1 | school)", pupils)
        mx.lmer("PV1MATH ~ ses + (1 | school)", pupils.drop(columns=PVS[1:]))


def test_a_warning_that_all_data_sets_raise_is_raised_once(pupils):
    data = pupils.assign(school_id=pupils["school"].astype(int))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        mx.lmer("[PV1MATH:PV4MATH] ~ school_id + (1 | arm)", data)
    found = [str(w.message) for w in heard if issubclass(w.category, IdentifierSlopeWarning)]
    assert len(found) == 1
    assert found[0].endswith("(in all plausible values)")


@pytest.mark.parametrize(
    ("formula", "options", "error", "says"),
    [
        ("[PV1MATH:PV9MATH] ~ ses", {}, DataError, "no column 'PV5MATH'"),
        ("[PV1MATH] ~ ses", {}, DataError, "one response"),
        ("[PV1MATH, PV1MATH] ~ ses", {}, DataError, "twice"),
        ("[] ~ ses", {}, FormulaError, "no list of responses"),
        ("[PV1MATH:] ~ ses", {}, FormulaError, "no list of responses"),
        ("[PV1MATH:ses] ~ ses", {}, DataError, "does not count"),
        ("[PV1MATH PV2MATH ~ ses", {}, FormulaError, "no list of responses"),
        ("[PV1MATH:PV4MATH] ~ ses", {"responses": PVS}, OptionError, "twice"),
        ("[PV1MATH:PV4MATH] ~ ses", {"imputations": "girl"}, OptionError, "two sets"),
        ("a + b ~ ses", {"responses": PVS}, FormulaError, "not clear"),
        ("math ~ ses", {"responses": ["PV1MATH"]}, DataError, "one response"),
        ("math ~ ses", {"responses": ["PV1MATH", "PV7"]}, DataError, "no column 'PV7'"),
        ("PV1MATH ~ ses", {"imputations": "nobody"}, DataError, "no column 'nobody'"),
        ("PV1MATH ~ ses", {"imputations": "arm_of_one"}, DataError, "no column 'arm_of_one'"),
        ("PV1MATH ~ ses", {"imputations": 3}, OptionError, "list of frames"),
    ],
)
def test_what_cannot_be_read_as_several_data_sets_says_why(pupils, formula, options, error, says):
    with pytest.raises(error, match=says):
        mx.lmer(formula, pupils, **options)


def test_data_sets_that_do_not_match_are_refused(pupils):
    frames = imputations(pupils)
    cases = [
        ([frames[0]], "at least two"),
        ([frames[0], frames[1].iloc[:-1]], "different numbers of rows"),
        ([frames[0], frames[1].assign(ses=frames[1]["ses"].mask(frames[1].index == 3))], "359 complete rows"),
        ([frames[0], frames[1].assign(school=frames[1]["school"].replace("3", "x"))], "other groups"),
        ([frames[0], frames[1].assign(arm=np.where(frames[1].index % 2, "new", "coached"))], "other coefficients"),
    ]
    for given, says in cases:
        with pytest.raises(DataError, match=says):
            mx.lmer("math ~ ses + arm + (1 | school)", imputations=given)
    with pytest.raises(OptionError, match="Leave data out"):
        mx.lmer("math ~ ses", pupils, imputations=frames)
    with pytest.raises(DataError):
        mx.lmer("math ~ ses + (1 | school)")
    holes = pupils.assign(PV2MATH=pupils["PV2MATH"].mask(pupils.index < 5))
    with pytest.raises(DataError, match=r"PV2MATH and PV1MATH are missing in different rows \(5"):
        mx.lmer("[PV1MATH:PV4MATH] ~ ses", holes)


def test_subgroups_that_one_data_set_lacks_are_refused(pupils):
    frames = imputations(pupils)
    kinds = [frame.assign(kind=pd.Categorical(np.where(frame.index < 200, "a", "b"), ["a", "b"])) for frame in frames]
    odd = [*kinds[:3], kinds[3].assign(kind=pd.Categorical(["a"] * len(pupils), ["a", "b"]))]
    fit = mx.lmer("math ~ ses + girl * kind + (1 | school)", imputations=kinds)
    assert len(mx.effects(fit, "girl", by="kind").table) == 2
    fit = mx.pool([mx.lmer("math ~ girl + (1 | school)", frame) for frame in odd])
    with pytest.raises(EffectsError, match="kind"):
        mx.effects(fit, "girl", by="kind")


def test_estimates_from_elsewhere_are_checked():
    two = [{"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 2.5}]
    roots = [[0.1, 0.2], [0.1, 0.2]]
    assert mx.pool(two, roots).tidy()["std_error"].iloc[0] == pytest.approx(np.sqrt(0.01 + 1.5 * 0.125))
    with pytest.raises(OptionError, match="need covariances="):
        mx.pool(two)
    with pytest.raises(DataError, match="other coefficients"):
        mx.pool([two[0], {"a": 1.0, "c": 2.0}], roots)
    with pytest.raises(DataError, match="no finite 2 x 2"):
        mx.pool(two, [np.eye(3), np.eye(3)])
    with pytest.raises(DataError, match="at least two"):
        mx.pool(two[:1], roots[:1])
    with pytest.raises(OptionError, match="positive"):
        mx.pool(two, roots, df=-1)


def test_fits_of_statsmodels_have_what_is_needed():
    class Fitted:
        def __init__(self, shift):
            self.params = pd.Series({"x": 1.0 + shift})

        def cov_params(self):
            return pd.DataFrame([[0.04]], ["x"], ["x"])

    found = mx.pool([Fitted(0.0), Fitted(0.2)])
    assert found.tidy()["estimate"].tolist() == [1.1]
    assert "Rubin" in str(found)


def test_raw_estimates_are_pooled_as_the_models_are(pupils, fit):
    table = mx.effects(fit, "arm", by="girl").shrinkage()
    for row in table.itertuples():
        own = pupils[pupils["girl"] == row.girl]
        means = own.groupby("arm")[PVS].mean()
        within = (own.groupby("arm")[PVS].var().T / own.groupby("arm").size()).sum(axis=1)
        high, low = row.contrast.split(" - ")
        raw = means.loc[high] - means.loc[low]
        total = within.mean() + (1 + 1 / len(PVS)) * raw.var(ddof=1)
        assert row.raw == pytest.approx(raw.mean(), rel=1e-12)
        assert row.raw_se == pytest.approx(np.sqrt(total), rel=1e-12)
        assert row.n == len(own)


@pytest.mark.parametrize("comparison", ["difference", "ratio"])
def test_against_the_complement_each_data_set_has_its_own_rest(pupils, comparison):
    """The imputed column decides who the others are; a ratio is no combination of averages."""
    frames = imputations(pupils.assign(**{name: pupils[name] + 60.0 for name in PVS}))
    frames = [one.assign(rich=np.where(one["ses"] > 0, "rich", "poor")) for one in frames]
    fit = mx.lmer("math ~ arm * rich * girl + (1 | school)", imputations=frames)
    found = mx.effects(fit, "arm", by=["rich", "girl"], comparison=comparison).contrast(against="complement")
    single = [
        mx.effects(one, "arm", by=["rich", "girl"], comparison=comparison).contrast(against="complement")
        for one in fit.fits
    ]
    if comparison == "difference":
        expected = np.mean([one.table["estimate"] for one in single], axis=0)
        np.testing.assert_allclose(found.table["estimate"], expected, rtol=1e-10)
        known = moments(
            np.array([one.table["estimate"] for one in single]),
            np.array([np.diag(one.table["sd"] ** 2) for one in single]),
        )
        np.testing.assert_allclose(found.table["sd"], np.sqrt(np.diag(known.total)), rtol=1e-8)
        return
    draws = np.array([one.draws() for one in single])
    apart = draws.mean(axis=1, keepdims=True) - draws.mean(axis=(0, 1))
    pooled = (draws + (np.sqrt(5 / 3) - 1) * apart).reshape(-1, draws.shape[2])
    # A ratio less another ratio is drawn in each data set, by the same random numbers.
    np.testing.assert_allclose(found.table["estimate"], np.median(pooled, axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.table["sd"], pooled.std(axis=0, ddof=1), rtol=1e-10)
