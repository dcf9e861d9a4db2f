"""The forest plot by its content: what is drawn where, and that no text is cut off or printed over another."""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import norm

from mixedfx.errors import DataError, OptionError
from mixedfx.plots.forest import forest
from mixedfx.plots.style import COLOURS, COLUMN


def make(keys: dict, sd=None, **more) -> pd.DataFrame:
    n = len(next(iter(keys.values())))
    rng = np.random.default_rng(n)
    table = pd.DataFrame(keys | {"contrast": "1 - 0", "n": rng.integers(90, 4000, n)} | more)
    table["estimate"] = rng.normal(4, 3, n)
    table["sd"] = rng.uniform(0.5, 2, n)
    table["lower"], table["upper"] = table["estimate"] - 2 * table["sd"], table["estimate"] + 2 * table["sd"]
    table["null"] = 0.0
    table.attrs["level"] = 0.9
    return table


CROSSED = make({"race": ["Black"] * 3 + ["White"] * 3, "gender": ["boy", "girl", "other"] * 2})
LONG = make({"subgroup": ["Black boys entitled to free school lunch in inner cities", "White girls", "Everybody else"]})
MARGINS = make(
    {
        "margin": ["overall", "race", "race", "race:gender"],
        "race": ["(all)", "Black", "White", "White"],
        "gender": ["(all)", "(all)", "(all)", "girl"],
    }
)
STYLES = pd.concat(
    [CROSSED.assign(contrast="Some Flipped - No Flipped"), CROSSED.assign(contrast="Fully Flipped - No Flipped")],
    ignore_index=True,
)
MANY = make({"school": [f"school {i}" for i in range(80)]})
TABLES = {"crossed": CROSSED, "long": LONG, "margins": MARGINS, "styles": STYLES, "many": MANY}


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def points(axes) -> list[tuple[float, float]]:
    """Position of every marker."""
    return [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() not in ("None", "", None)
    ]


def bars(axes, thick: bool) -> list[tuple[float, float]]:
    """Ends of every interval."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    return [tuple(line.get_xdata()) for line in lines if (line.get_linewidth() > 2) == thick]


def test_every_row_is_a_point_with_two_intervals_at_its_label():
    table = LONG.assign(subgroup=["a", "b", "c"])
    axes = forest(table)
    assert labels(axes) == ["a", "b", "c"]
    assert points(axes) == [(x, float(i)) for i, x in enumerate(table["estimate"])]
    assert bars(axes, thick=False) == list(zip(table["lower"], table["upper"], strict=True))
    half = norm.ppf(0.75) * table["sd"]
    np.testing.assert_allclose(
        bars(axes, thick=True), np.column_stack([table["estimate"] - half, table["estimate"] + half])
    )
    # The first row is at the top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_an_inner_interval_in_the_table_is_used_as_it_is():
    table = LONG.assign(lower_50=[1.0, 2.0, 3.0], upper_50=[2.0, 3.0, 9.0])
    assert bars(forest(table), thick=True) == [(1.0, 2.0), (2.0, 3.0), (3.0, 9.0)]
    assert bars(forest(LONG.drop(columns="sd")), thick=True) == []


def test_the_null_line_the_axis_text_and_the_counts():
    axes = forest(LONG, xlabel="effect on math")
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [0.0]
    assert forest(LONG, null=1.0).lines[0].get_xdata()[0] == 1.0
    assert axes.get_xlabel() == "effect on math\n(50 and 90 % intervals)"
    right = axes.child_axes[0]
    assert [text.get_text() for text in right.get_yticklabels()] == [f"{n:,}" for n in LONG["n"]]
    assert not forest(LONG.drop(columns="n")).child_axes


def test_crossings_stand_below_headings():
    axes = forest(CROSSED)
    assert labels(axes) == ["Black", "   boy", "   girl", "   other", "White", "   boy", "   girl", "   other"]
    assert [text.get_fontweight() == "bold" for text in axes.get_yticklabels()] == [True, False, False, False] * 2
    assert [y for _, y in points(axes)] == [1, 2, 3, 5, 6, 7]
    assert labels(forest(CROSSED, group=False))[0] == "Black, boy"


def test_margins_are_named_by_what_they_cross():
    assert labels(forest(MARGINS, group=False)) == ["overall", "Black", "White", "White, girl"]
    assert [text.strip() for text in labels(forest(MARGINS))] == [
        "overall", "by race", "Black", "White", "by race and gender", "White, girl",
    ]  # fmt: skip


def test_sort_is_order_in_a_readers_words():
    for sort, order in (("effect", "estimate"), ("n", "n")):
        assert points(forest(CROSSED, sort=sort, group=False)) == points(forest(CROSSED, order=order, group=False))
    with pytest.raises(OptionError, match="sort='size' is not known"):
        forest(CROSSED, sort="size")


def test_beyond_forty_lines_a_line_takes_less_room():
    table = pd.concat([CROSSED] * 20, ignore_index=True).assign(race=[f"r{i}" for i in range(20 * len(CROSSED))])
    table = table.drop(columns="gender")
    few, many = (forest(table.head(n)).figure.get_size_inches()[1] / n for n in (30, 60))
    assert many < 0.75 * few


@pytest.mark.parametrize("order", ["estimate", "n"])
def test_order(order):
    axes = forest(CROSSED, order=order, group=False)
    expected = CROSSED.sort_values(order, ascending=False)
    assert [x for x, _ in points(axes)] == expected["estimate"].tolist()
    assert labels(axes) == [f"{r}, {g}" for r, g in expected[["race", "gender"]].to_numpy()]


def test_contrasts_share_a_line_and_differ_in_colour_and_marker():
    axes = forest(STYLES)
    assert len(labels(axes)) == 8
    marked = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
    assert {(line.get_color(), line.get_marker()) for line in marked} == {(COLOURS[0], "o"), (COLOURS[1], "s")}
    assert len({y for _, y in points(axes)}) == 12
    legend = axes.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "Some Flipped - No Flipped",
        "Fully Flipped - No Flipped",
    ]


def texts(axes):
    """All texts of the figure that are seen."""
    figure = axes.figure
    found = [*axes.get_yticklabels(), *axes.get_xticklabels(), axes.xaxis.label, axes.title, axes._left_title]
    found += [t for child in axes.child_axes for t in child.get_yticklabels()]
    found += [*axes.texts, *(t for legend in figure.legends for t in legend.get_texts())]
    return [t for t in found if t.get_text().strip() and t.get_visible()]


@pytest.mark.parametrize("width", [COLUMN, 6.5])
@pytest.mark.parametrize("title", [None, "A title that is long enough to need folding at one column"])
@pytest.mark.parametrize("name", TABLES)
def test_no_text_is_cut_off_or_overlaps_another(name, title, width):
    axes = forest(
        TABLES[name], title=title, width=width, xlabel="effect of small classes on mathematics scores in points"
    )
    figure = axes.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    assert figure.get_size_inches()[0] == width
    page = figure.bbox
    boxes = []
    for text in texts(axes):
        if text in axes.get_xticklabels() and not (axes.get_xlim()[0] <= text.get_position()[0] <= axes.get_xlim()[1]):
            continue  # a tick outside the limits is not drawn
        box = text.get_window_extent(renderer)
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
        boxes.append((text.get_text(), box.shrunk(0.9, 0.8)))
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            assert not a.overlaps(b), (one, other)
    # Intervals need room: at least a third of the width is left for them.
    assert axes.get_window_extent(renderer).width > page.width / 3


def test_text_is_legible_at_one_column():
    for name, table in TABLES.items():
        for text in texts(forest(table)):
            assert text.get_fontsize() >= 7, (name, text)


def test_nothing_global_is_touched():
    before = dict(mpl.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    forest(CROSSED)
    assert dict(mpl.rcParams) == before
    if not loaded:
        assert "matplotlib.pyplot" not in sys.modules


def test_the_table_is_left_as_it_was():
    before = STYLES.copy(deep=True)
    forest(STYLES, order="n")
    pd.testing.assert_frame_equal(STYLES, before)


def test_axes_of_the_caller_are_drawn_in():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert forest(CROSSED, ax=left) is left
    forest(STYLES, ax=right)
    assert right.get_legend() is not None
    assert tuple(figure.get_size_inches()) == (8, 4)
    FigureCanvasAgg(figure).draw()


def test_it_is_written_to_a_file(tmp_path):
    path = tmp_path / "forest.png"
    forest(CROSSED).figure.savefig(path)
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (CROSSED.drop(columns="lower"), {}, "'lower'"),
        (CROSSED.iloc[:0], {}, "with rows"),
        (CROSSED, {"labels": "lunch"}, "no column 'lunch'"),
        (CROSSED, {"colour": "lunch"}, "no column 'lunch'"),
        (CROSSED, {"order": "alphabet"}, "order='alphabet'"),
        (CROSSED.drop(columns="n"), {"order": "n"}, "needs a column 'n'"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_why(table, options, message):
    with pytest.raises(DataError, match=message):
        forest(table, **options)
