"""Weights: what may be given, what becomes of it, and what is said."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError, RowsDroppedWarning, SamplingWeightsWarning
from mixedfx.surveys.weights import kish, scaled
from tests.surveys.samples import pupils

W = {"row": "w_pupil", "school": "w_school"}
F = "y ~ x + (1 | school)"


def conditional(fit):
    return fit.solution.weights.conditional


def test_overall_weights_are_made_conditional(three):
    """What is given as overall or within the unit above is the same sample."""
    formula = "y ~ x + (1 | district) + (1 | school)"
    overall = mx.lmer(
        formula, three, sampling_weights={"row": "w_pupil", "school": "w_school", "district": "w_district"}
    )
    within = mx.lmer(
        formula, three,
        sampling_weights=mx.sampling_weights(
            row="w_within", school="w_school_within", district="w_district", conditional=True
        ),
    )  # fmt: skip
    assert within.criterion == pytest.approx(overall.criterion, abs=1e-9)
    np.testing.assert_allclose(within.vcov, overall.vcov, rtol=1e-9)
    np.testing.assert_allclose(within.design_effects["design_effect"], overall.design_effects["design_effect"])


@given(st.lists(st.floats(0.1, 50.0), min_size=3, max_size=30), st.data())
def test_scaled_weights_add_up_to_what_they_should(values, data):
    w = np.array(values)
    starts = np.array(sorted(data.draw(st.sets(st.integers(1, len(w) - 1), max_size=5)) | {0}))
    size = np.diff(np.append(starts, len(w)))
    total, squares = np.add.reduceat(w, starts), np.add.reduceat(w**2, starts)
    np.testing.assert_allclose(np.add.reduceat(scaled(w, starts, "size"), starts), size)
    np.testing.assert_allclose(np.add.reduceat(scaled(w, starts, "effective"), starts), total**2 / squares)
    assert scaled(w, starts, "none") is w
    for scaling in ("size", "effective"):  # a unit that is weighted alike counts its members
        np.testing.assert_allclose(scaled(np.ones(len(w)), starts, scaling), 1.0)
        np.testing.assert_allclose(scaled(7.5 * w, starts, scaling), scaled(w, starts, scaling))


def test_a_factor_without_weights_is_said_to_have_ones(two):
    with pytest.warns(SamplingWeightsWarning, match="'school' has no sampling weights: they are taken as 1"):
        fit = mx.lmer(F, two, sampling_weights={"row": "w_pupil"})
    assert np.all(conditional(fit).units[0] == 1.0)
    assert "'school' has no sampling weights: they are taken as 1" in str(fit.summary())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = mx.lmer(F, two, sampling_weights={"school": "w_school"})
    assert np.all(conditional(alone).rows == 1.0)
    assert "Rows have no weights of their own" in str(alone.summary())


def test_weights_within_units_given_as_overall_are_warned_of(two):
    with pytest.warns(SamplingWeightsWarning, match=r"have a smaller weight than the unit they lie in.*conditional"):
        mx.lmer(F, two, sampling_weights={"row": "w_within", "school": "w_school"})


def test_the_last_column_of_a_nested_factor_names_it(three):
    w = {"row": "w_pupil", "school": "w_school", "district": "w_district"}
    nested = mx.lmer("y ~ x + (1 | district/school)", three, sampling_weights=w)
    plain = mx.lmer("y ~ x + (1 | district) + (1 | school)", three, sampling_weights=w)
    assert nested.criterion == pytest.approx(plain.criterion, abs=1e-9)


def test_units_of_weight_zero_leave_and_are_counted(two):
    gone = two.assign(w_school=np.where(two["school"].isin(["s02", "s05"]), 0.0, two["w_school"]))
    n = int(two["school"].isin(["s02", "s05"]).sum())
    with pytest.warns(RowsDroppedWarning, match=f"{n} rows have a weight of zero"):
        fit = mx.lmer(F, gone, sampling_weights=W)
    known = mx.lmer(F, two.loc[~two["school"].isin(["s02", "s05"])], sampling_weights=W)
    assert fit.ngroups == {"school": 12}
    assert fit.design.weights is None
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.vcov, known.vcov, rtol=1e-9)


def test_values_beside_the_data_are_those_of_columns(two):
    data = two.set_axis([f"row {i}" for i in range(len(two))])
    known = mx.lmer(F, data, sampling_weights=W)
    shuffled = data.sample(frac=1, random_state=1)
    fit = mx.lmer(F, data, sampling_weights={"row": shuffled["w_pupil"], "school": data["w_school"].to_numpy()})
    assert fit.criterion == known.criterion


def test_missing_weights_matter_only_in_rows_that_are_used(two):
    data = two.copy()
    data.loc[[4, 9], "w_pupil"] = np.nan
    with pytest.raises(DataError, match=r"sampling weights 'w_pupil' are missing in rows 4 and 9 \(counted from 0\)"):
        mx.lmer(F, data, sampling_weights=W)
    data.loc[[4, 9], "y"] = np.nan
    assert mx.lmer(F, data, sampling_weights=W).nobs == len(two) - 2


BAD = {
    "vary": (
        lambda d: d.assign(w_school=np.where(d.index == d.index[d["school"] == "s03"][0], 9.0, d["w_school"])), W,
        DataError, r"sampling weights 'w_school' of 'school' vary within 'school': in 's03' from"),
    "negative": (lambda d: d.assign(w_pupil=d["w_pupil"].where(d.index != 3, -1.0)), W,
                 DataError, r"'w_pupil' are negative or infinite in row 3"),
    "unknown level": (lambda d: d, {"row": "w_pupil", "schol": "w_school"}, OptionError,
                      r"names 'schol', and the formula has no such level\nDid you mean 'school'\?"),
    "a column that is none": (lambda d: d, {"row": "w_pupl"}, DataError, "no column 'w_pupl'"),
    "a name alone": (lambda d: d, "w_pupil", OptionError, "does not say of what these are the weights"),
    "nothing": (lambda d: d, {}, OptionError, "names no weight"),
    "text": (lambda d: d.assign(w_pupil="heavy"), W, DataError, "must be numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_refused(name, two):
    change, w, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        mx.lmer(F, change(two), sampling_weights=w)


def test_models_that_weights_cannot_have_are_refused(two):
    crossed = two.assign(item=np.arange(len(two)) % 5)
    with pytest.raises(ModelError, match="'school' and 'item' are crossed"):
        mx.lmer("y ~ x + (1 | school) + (1 | item)", crossed, sampling_weights=W)
    with pytest.raises(OptionError, match="dispersion= and sampling weights are not fitted together"):
        mx.lmer(F, two, sampling_weights=W, dispersion="~ sex")
    with pytest.raises(OptionError, match="known sampling errors"):
        mx.lmer("y | se(w_within) ~ x + (1 | school)", two, sampling_weights=W)
    with pytest.raises(OptionError, match="scaling='sizes' is not known"):
        mx.sampling_weights(W, scaling="sizes")


def test_design_effects_are_kishs(two):
    fit = mx.lmer(F, two, sampling_weights=W)
    found = fit.design_effects.set_index("level")
    w = two["w_pupil"]
    assert found.loc["row", "design_effect"] == pytest.approx(len(w) * (w**2).sum() / w.sum() ** 2)
    of_schools = two.groupby("school")["w_school"].first().to_numpy()
    assert found.loc["school", "effective_n"] == pytest.approx(of_schools.sum() ** 2 / (of_schools**2).sum())


def test_weights_of_rake_go_on_with_their_design_effect():
    """The weights of `mx.rake` are weights of rows, and the fit says the design effect that rake said."""
    data = pupils(seed=2, schools=20)
    data["group"] = np.where(data["x"] > 0.5, "high", "low")
    raked = mx.rake(data, {"sex": {"f": 0.5, "m": 0.5}, "group": {"high": 0.8, "low": 0.2}}, weights="w_pupil")
    fit = mx.lmer("y ~ 1", data, sampling_weights={"row": raked})
    assert fit.design_effects["design_effect"].item() == pytest.approx(raked.attrs["design_effect"], rel=1e-12)
    assert fit.fixef.item() == pytest.approx(np.average(data["y"], weights=raked), abs=1e-9)
    share = np.average(data["sex"] == "m", weights=raked)
    assert share == pytest.approx(0.5, abs=1e-9)
    with pytest.warns(SamplingWeightsWarning):
        nested = mx.lmer("y ~ x + (1 | school)", data.assign(raked=raked), sampling_weights={"row": "raked"})
    assert f"{raked.attrs['design_effect']:.2f} of unequal weights of rows" in str(nested.summary())
    zero = mx.rake(data, {"group": {"high": 1.0, "low": 0.0}}, weights="w_pupil")
    with pytest.warns(RowsDroppedWarning):
        part = mx.lmer("y ~ 1", data, sampling_weights={"row": zero})
    assert part.nobs == (zero > 0).sum()
    assert kish(zero[zero > 0].to_numpy()) == pytest.approx(zero.attrs["design_effect"])


def test_frames_of_other_libraries_are_read_once(two):
    import polars as pl

    known = mx.lmer(F, two, sampling_weights=W)
    fit = mx.lmer(F, pl.from_pandas(two).lazy(), sampling_weights=W)
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)


def test_a_dot_does_not_stand_for_weights(two):
    data = two[["y", "x", "sex", "w_pupil"]]
    fit = mx.lmer("y ~ .", data, sampling_weights={"row": "w_pupil"})
    assert list(fit.fixef.index) == ["Intercept", "x", "sex[m]"]
