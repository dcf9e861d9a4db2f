"""Pictures of fits and of marginal means: what is drawn is what the tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import DataError, NotDrawableWarning, OptionError
from mixedfx.means.comparison_arrows import arrow_lengths
from mixedfx.means.group_lines import fitted_rows, slope_tables
from mixedfx.plots.by_group import observed_against_fitted, slopes
from mixedfx.plots.caterpillar import caterpillar
from mixedfx.plots.marginal_means import marginal_means
from mixedfx.reml.pictures import KINDS

DATA = Path(__file__).resolve().parent.parent / "data"


@pytest.fixture(scope="module")
def fit():
    return mx.lmer("Reaction ~ Days + (Days | Subject)", pd.read_csv(DATA / "sleepstudy.csv"))


@pytest.fixture(scope="module")
def means():
    return mx.emmeans(
        mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed")), "style"
    )


def test_caterpillar_is_ordered_and_holds_the_modes(fit):
    axes = fit.plot("caterpillar", term="Days").ax
    modes = fit.ranef["Subject"]["Days"].sort_values()
    assert [t.get_text() for t in axes.get_yticklabels()] == list(modes.index)
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(drawn), modes, rtol=1e-12)
    half = 1.959964 * fit.ranef_sd["Subject"]["Days"].iloc[0]
    lengths = [np.ptp(segment[:, 0]) for c in axes.collections for segment in c.get_segments()]
    np.testing.assert_allclose(lengths, 2 * half, rtol=1e-6)  # a balanced design: all the same
    assert "95 %" in axes.get_xlabel()


def test_many_levels_are_not_named():
    table = pd.DataFrame({"level": range(200), "estimate": np.arange(200.0), "lower": -1.0, "upper": 300.0})
    assert list(caterpillar(table).get_yticks()) == []


def test_slopes_are_the_predictions_of_the_groups(fit):
    lines, population, variable, group = slope_tables(fit)
    assert (variable, group) == ("Days", "Subject")
    data = fit.design.frame.assign(fitted=fit.fitted)
    ends = data[data["Days"] == 9].set_index(data[data["Days"] == 9]["Subject"].astype(str))["fitted"]
    drawn = lines[lines["x"] == 9].set_index("group")["y"]
    np.testing.assert_allclose(drawn.loc[ends.index], ends, rtol=1e-10)
    np.testing.assert_allclose(np.diff(population["y"]) / np.diff(population["x"]), fit.fixef["Days"], rtol=1e-8)
    assert len(fit.plot("slopes").ax.lines) == 18 + 2


def test_slopes_average_over_other_predictors_and_leave_other_groups_out():
    star = mx.datasets.load("star")
    with pytest.warns(mx.errors.FewLevelsWarning):
        fit = mx.lmer("math ~ small * race + (1 + small | sch) + (1 | lunch)", star)
    lines, population, _, _ = slope_tables(fit, "small", "sch", most=5)
    assert lines["group"].nunique() == 5
    means = mx.emmeans(fit, "small", ddf="normal").table["emmean"]
    np.testing.assert_allclose(population["y"].iloc[[0, -1]], means, rtol=1e-10)
    level = lines["group"].iloc[0]
    expected = population["y"].iloc[0] + fit.ranef["sch"].loc[level, "Intercept"]
    assert lines["y"].iloc[0] == pytest.approx(expected)


def test_fitted_chooses_groups_over_the_whole_range(fit):
    table, n = fitted_rows(fit.design, fit.fitted.to_numpy(), fit.design.y, most=4)
    assert n == 18
    centre = table.groupby("group", sort=False)["fitted"].mean()
    assert len(centre) == 4
    assert centre.is_monotonic_increasing
    figure = fit.plot("fitted", groups=4).figure
    assert [a.get_title() for a in figure.axes if a.get_visible()] == list(centre.index)


def test_every_kind_and_the_page(fit):
    for kind in KINDS:
        assert fit.plot(kind) is not None
    page = fit.plot()
    assert sum(axes.get_visible() for axes in page.axes) == 7
    plain = mx.lmer("Reaction ~ Days", pd.read_csv(DATA / "sleepstudy.csv"))
    assert len(plain.plot().axes) == 4


def test_observed_values_and_profiles_of_a_fit(fit):
    axes = fit.plot("observed").ax
    assert axes.get_ylabel() == "observed Reaction"
    drawn = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(drawn, np.column_stack([fit.fitted, fit.design.y]))
    assert fit.plot("residuals").ax.get_ylabel() == "residual / sigma"
    titles = [a.get_title(loc="left") for a in fit.plot("profile", parm="fixed").axes]
    assert titles == ["Intercept", "Days"]
    with pytest.raises(OptionError, match="Leave ax= out"):
        fit.plot("profile", ax=axes)


def test_what_cannot_be_drawn(fit, means):
    for call, says in (
        (lambda: fit.plot("pie"), "'caterpillar'"),
        (lambda: fit.plot("caterpillar", group="School"), "'Subject'"),
        (lambda: fit.plot("caterpillar", term="Hours"), "'Days'"),
        (lambda: fit.plot("slopes", variable="Hours"), "variable='Days'"),
        (lambda: fit.plot(points=False), "takes no options"),
        (lambda: means.asker.fit.plot("slopes"), "has random slopes"),
        (lambda: means.pairs().plot(comparisons=True), "comparison arrows"),
    ):
        with pytest.raises(OptionError, match=says):
            call()
    for call in (
        lambda: caterpillar(pd.DataFrame({"level": [1]})),
        lambda: observed_against_fitted(pd.DataFrame({"group": [], "fitted": [], "observed": []})),
        lambda: slopes(pd.DataFrame({"x": [1]}), pd.DataFrame()),
        lambda: marginal_means(pd.DataFrame({"a": [1]}), ["a"]),
    ):
        with pytest.raises(DataError):
            call()


def test_means_with_arrows(means):
    axes = means.plot(comparisons=True).ax
    assert [t.get_text() for t in axes.get_yticklabels()] == means.table["style"].tolist()
    assert "overlap" in axes.get_xlabel()
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points, means.table["emmean"])
    # the outermost means have one arrow each
    assert len(axes.texts) == 4


def test_contrasts_are_drawn_with_the_line_of_no_difference(means):
    axes = means.pairs().plot().ax
    dashed = [line for line in axes.lines if list(line.get_xdata()) == [0.0, 0.0]]
    assert len(dashed) == 1


@given(st.integers(2, 6), st.integers(0, 10_000))
def test_arrows_never_contradict_a_comparison(k, seed):
    """Either arrows overlap exactly where the difference is not significant, or there are none."""
    rng = np.random.default_rng(seed)
    estimate, needed = rng.normal(size=k), rng.uniform(0.3, 1.5, size=k * (k - 1) // 2)
    found = arrow_lengths(estimate, needed)
    if found is None:
        return
    left, right = found
    for (i, j), limit in zip(zip(*np.triu_indices(k, 1), strict=True), needed, strict=True):
        low, high = (i, j) if estimate[i] <= estimate[j] else (j, i)
        gap = estimate[high] - estimate[low]
        assert (estimate[low] + right[low] >= estimate[high] - left[high]) == (limit >= gap) or np.isclose(
            right[low] + left[high], gap, rtol=1e-12
        )


def test_arrows_of_means_with_equal_precision_always_exist():
    """Half the smallest significant difference to each side shows every comparison."""
    rng = np.random.default_rng(1)
    for k in (2, 3, 6):
        for _ in range(20):
            found = arrow_lengths(rng.normal(size=k), np.full(k * (k - 1) // 2, 0.8))
            assert found is not None


def test_arrows_that_would_mislead_are_left_out(means, monkeypatch):
    monkeypatch.setattr("mixedfx.means.comparison_arrows.arrow_lengths", lambda *_: None)
    with pytest.warns(NotDrawableWarning, match="pairwise differences"):
        axes = means.plot(comparisons=True).ax
    assert len(axes.texts) == 0
