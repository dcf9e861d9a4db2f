"""Pictures for people who did not fit the model: names and units in words, keys, nothing empty, text as it stands."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.plots.caterpillar import caterpillar
from mixedfx.plots.diagnostics import check_panels
from mixedfx.plots.group_panels import group_panels
from mixedfx.plots.matrices import intersection_matrix
from mixedfx.plots.picture import Picture
from mixedfx.plots.power import power_curve

LABELS = {"small": "small classes", "math": "mathematics", "Black": "Black pupils", "boy": "$5 boys_of"}


@pytest.fixture(scope="module")
def eff():
    return mx.effects(
        mx.lmer("math ~ small*race*gender + (1 | sch)", mx.datasets.load("star")), "small", by=["race", "gender"]
    )


def all_text(picture):
    from matplotlib.text import Text

    return [t.get_text() for t in picture.figure.findobj(Text) if t.get_text()]


def test_labels_and_units_are_those_of_the_reader(eff):
    ax = eff.plot(labels=LABELS, unit="points").ax
    assert ax.get_title(loc="left").replace("\n", " ") == "Effect of small classes on mathematics"
    assert ax.get_xlabel().splitlines()[0] == "points"
    shown = [t.get_text().strip() for t in ax.get_yticklabels()]
    assert shown == ["Black pupils", r"\$5 boys_of", "girl", "White", r"\$5 boys_of", "girl"]
    assert eff.table["race"].tolist() == ["Black", "Black", "White", "White"]  # the answer itself keeps its names
    assert eff.plot("matrix", labels=LABELS, unit="points").ax.get_title(loc="left") == (
        "effect of small classes on mathematics (points)"
    )
    assert "effect of small on math" in eff.plot().ax.get_xlabel()  # without labels nothing changes
    assert [t.get_text().strip() for t in eff.plot(labels="gender").ax.get_yticklabels()] == ["boy", "girl"] * 2


@pytest.mark.parametrize("kind", ["forest", "matrix", "ridges", "pooling", "funnel", "ranks"])
def test_every_kind_takes_labels_and_writes_svg_and_png(eff, kind):
    picture = eff.plot(kind, labels=LABELS, unit="points")
    assert picture.render("svg").startswith(b"<?xml")
    assert picture.render("png", dpi=300)[:4] == b"\x89PNG"
    if kind not in ("funnel", "ranks"):
        assert any("small classes" in text or "points" in text for text in all_text(picture))


def test_a_matrix_has_a_key_and_says_how_many_rows(eff):
    picture = eff.plot("matrix")
    texts = all_text(picture)
    assert "size: probability of its sign" in texts
    assert "colour: estimate" in texts
    assert [t for t in texts if t.endswith("%")] == ["50 %", "80 %", "95 %", "99 %"]
    assert any(f"n = {n:,}" in text for n in eff.table["n"] for text in texts)
    bare = intersection_matrix(eff.table, "race", "gender", key=False)
    assert len(bare.figure.axes) == 1


def test_the_key_of_a_caterpillar_stands_where_both_signs_do():
    table = pd.DataFrame({"level": list("ab"), "estimate": [3.0, 0.1], "lower": [2.0, -1.0], "upper": [4.0, 1.2]})
    legend = caterpillar(table).get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["interval leaves 0 out", "interval holds 0"]
    assert caterpillar(table.head(1)).get_legend() is None


def test_the_check_page_has_no_empty_panel():
    residuals = pd.DataFrame({"fitted": np.arange(40.0), "residual": np.sin(np.arange(40.0))})
    modes = pd.DataFrame({"group": "g", "column": "Intercept", "mode": np.full(5, np.nan)})
    influence = pd.DataFrame({"group": list("abcde"), "cooks_distance": np.full(5, np.nan)})
    full = {
        "residuals": residuals,
        "modes": modes.assign(mode=np.arange(5.0)),
        "influence": influence.assign(cooks_distance=0.1),
    }
    assert len(check_panels(full).axes) == 6
    assert len(check_panels(full | {"modes": modes}).axes) == 5
    figure = check_panels({"residuals": residuals, "modes": modes, "influence": influence})
    assert len(figure.axes) == 4
    assert all(ax.has_data() for ax in figure.axes)


def test_a_power_curve_says_effect_and_size_and_marks_the_answer():
    table = pd.DataFrame(
        {"effect": "z", "size": 0.5, "n_groups": [10, 20, 40], "n_per_group": 5.0, "power": [0.4, 0.7, 0.95],
         "lower": 0.3, "upper": 0.99}
    )  # fmt: skip
    ax = power_curve(table, group="school", needed={"z": 26.0})
    assert ax.get_title(loc="left") == "Power to find z = 0.5"
    assert ax.get_xlabel() == "levels of school"
    assert "26" in [t.get_text() for t in ax.texts]
    assert not power_curve(table, needed={"z": 90.0}).texts  # beyond the axis


def test_marginal_means_say_that_overlap_decides_nothing():
    means = mx.emmeans(mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom")), "style")
    assert "may overlap where means differ" in means.plot().ax.get_xlabel().replace("\n", " ")
    assert "may overlap" not in means.pairs().plot().ax.get_xlabel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "may overlap" not in means.plot(comparisons=True).ax.get_xlabel()


@pytest.mark.parametrize("rows", [3, 12, 60])
@pytest.mark.parametrize("kind", ["forest", "ridges", "pooling"])
def test_long_names_cover_no_other_name(kind, rows):
    from mixedfx.plots.forest import forest
    from mixedfx.plots.pooling import pooling_arrows
    from mixedfx.plots.ridges import ridgelines

    rng = np.random.default_rng(rows)
    names = [f"Black_boys entitled to $5 lunch in inner cities of region {i}" for i in range(rows)]
    e, sd = rng.normal(size=rows), rng.uniform(0.3, 1, rows)
    if kind == "forest":
        ax = forest(pd.DataFrame({"subgroup": names, "estimate": e, "lower": e - sd, "upper": e + sd, "n": 9}))
    elif kind == "ridges":
        ax = ridgelines(pd.DataFrame(rng.normal(e, sd, size=(50, rows)), columns=names))
    else:
        ax = pooling_arrows(pd.DataFrame({"label": names, "n": 9, "raw": 2 * e, "raw_se": sd, "pooled": e}))
    Picture(ax).figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in ax.get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))  # a pixel of 200 dpi


class TestGroups:
    def test_points_are_rows_bars_are_means_and_panels_are_styles(self):
        course = mx.datasets.load("flipped_classroom")
        picture = mx.plot_groups("score ~ style + (1 | professor)", course)
        styles = list(course["style"].cat.categories)
        assert [ax.get_title(loc="left").splitlines()[0] for ax in picture.axes] == styles
        for ax, style in zip(picture.axes, styles, strict=True):
            own = course[course["style"] == style]
            assert len(ax.collections[0].get_offsets()) == len(own)
            means = own.groupby("professor", observed=True)["score"].mean().sort_values()
            assert [t.get_text() for t in ax.get_xticklabels()] == list(means.index)
            bars = ax.collections[-1].get_segments()
            np.testing.assert_allclose([bar[0][1] for bar in bars], means)

    def test_a_factor_without_groups_and_groups_without_a_factor(self):
        course = mx.datasets.load("flipped_classroom")
        assert len(mx.plot_groups("score ~ style", course).axes) == 3
        [only] = mx.plot_groups("score ~ 1 + (1 | professor)", course).axes
        assert len(only.get_xticklabels()) == 15
        star = mx.datasets.load("star").head(500)
        assert len(mx.plot_groups("math ~ small + (1 | sch)", star).axes) == 2
        with pytest.raises(mx.errors.OptionError, match="no grouping factor 'class'"):
            mx.plot_groups("score ~ style + (1 | professor)", course, group="class")
        with pytest.raises(mx.errors.OptionError, match="too many for panels"):
            mx.plot_groups("score ~ style + (1 | professor)", course, panel="score")
        with pytest.raises(mx.errors.DataError, match="needs rows"):
            group_panels(pd.DataFrame({"y": [], "group": [], "panel": []}))


class TestOver:
    def test_the_curve_is_the_effect_at_each_value(self):
        star = mx.datasets.load("star").head(400)
        fit = mx.lmer("math ~ small*read + (1 | sch)", star)
        curve = mx.effects_over(fit, "small", "read", points=3)
        beta = fit.fixef
        expected = beta["small"] + beta["small:read"] * curve.table["read"]
        np.testing.assert_allclose(curve.table["estimate"], expected, rtol=1e-8)

    def test_a_second_column_gives_a_curve_each_and_other_columns_are_refused(self):
        star = mx.datasets.load("star").head(400)
        fit = mx.lmer("math ~ small*read + small*gender + (1 | sch)", star)
        curve = mx.effects_over(fit, "small", "read", by="gender", points=3)
        assert len(curve) == 6
        assert len(curve.plot("lines").ax.get_legend().get_texts()) == 2
        with pytest.raises(mx.errors.EffectsError, match="no column 'age'"):
            mx.effects_over(fit, "small", "age")
        with pytest.raises(mx.errors.EffectsError, match="is no number"):
            mx.effects_over(fit, "small", "gender")
