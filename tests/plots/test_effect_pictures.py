"""Pictures of effects: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from mixedfx.errors import DataError
from mixedfx.plots.lines import effect_lines
from mixedfx.plots.matrices import intersection_matrix, rank_heatmap
from mixedfx.plots.pooling import funnel, pooling_arrows
from mixedfx.plots.ridges import prior_posterior, ridgelines


def inside(axes):
    """Whether everything drawn lies within the figure, to a point."""
    axes.figure.canvas.draw()
    seen, room = axes.get_tightbbox(axes.figure.canvas.get_renderer()), axes.figure.bbox
    return seen.x0 > -3 and seen.y0 > -3 and seen.x1 < room.x1 + 3 and seen.y1 < room.y1 + 3


@pytest.fixture
def draws():
    rng = np.random.default_rng(1)
    return pd.DataFrame(rng.normal([0.0, 3.0, 1.0], [1.0, 0.5, 2.0], (2000, 3)), columns=["low", "high", "wide label"])


def test_ridges_mark_medians_and_shade_the_interval(draws):
    axes = ridgelines(draws, null=0.0)
    medians = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_color() == "black"]
    np.testing.assert_allclose(medians, draws.median())
    assert [t.get_text() for t in axes.get_yticklabels()] == list(draws.columns)
    assert inside(axes)
    assert [t.get_text() for t in ridgelines(draws, order=True).get_yticklabels()] == ["high", "wide label", "low"]


def test_a_constant_column_is_drawn_flat(draws):
    assert ridgelines(draws.assign(sure=1.0)).get_ylim()[1] > 4


def test_ridges_need_draws(draws):
    with pytest.raises(DataError, match="need draws"):
        ridgelines(draws.head(5))
    with pytest.raises(DataError, match="need draws"):
        ridgelines(draws[[]])


def test_prior_and_posterior_share_an_axis():
    rng = np.random.default_rng(1)
    axes = prior_posterior({"a": (rng.normal(0, 5, 500), rng.normal(1, 0.1, 500)), "b": (np.ones(500), np.zeros(500))})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert inside(axes)
    with pytest.raises(DataError):
        prior_posterior({})


def test_a_wide_prior_leaves_the_posterior_legible():
    """The axis is cut at four widths of the posterior to each side, and says how far the prior reaches."""
    rng = np.random.default_rng(1)
    axes = prior_posterior({"a": (rng.normal(0, 500, 4000), rng.normal(1, 1.0, 4000))}, xlabel="effect")
    low, high = axes.get_xlim()
    assert -30 < low < -18
    assert 20 < high < 32
    label = axes.get_xlabel()
    assert label.startswith("effect\n(95 % of the prior: -")
    near = prior_posterior({"a": (rng.normal(0, 2, 4000), rng.normal(1, 1.0, 4000))})
    assert near.get_xlabel() == ""
    # Both curves are as high as each other.
    prior = near.lines[0].get_ydata()
    posterior = near.collections[0].get_paths()[0].vertices[:, 1]
    assert prior.max() == pytest.approx(posterior.max(), rel=1e-6)
    assert inside(axes)


@pytest.fixture
def pooled():
    return pd.DataFrame(
        {
            "label": ["small", "large", "none"],
            "n": [10, 200, 0],
            "raw": [9.0, 4.0, np.nan],
            "raw_se": [3.0, 0.5, np.nan],
            "pooled": [5.0, 4.1, 4.4],
        }
    )


def test_arrows_run_from_raw_to_pooled_and_the_largest_is_on_top(pooled):
    axes = pooling_arrows(pooled, overall=4.5)
    arrows = [(a.xyann[0], a.xy[0]) for a in axes.texts]
    assert arrows == [(4.0, 4.1), (9.0, 5.0)]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["large (200)", "small (10)", "none (0)"]
    assert axes.get_yticks()[0] == 2
    assert inside(axes)
    # Labels that leave little room for the axes do not cut off the legend.
    assert inside(pooling_arrows(pooled.assign(label="a label of some length"), overall=4.5))


def test_the_funnel_is_what_noise_alone_gives(pooled):
    axes = funnel(pooled, overall=4.0, noise=10.0)
    band = axes.collections[0].get_paths()[0].vertices
    at = np.argmin(np.abs(band[:, 0] - 100))
    assert abs(band[at, 1] - 4.0) == pytest.approx(1.96 * 10 / np.sqrt(band[at, 0]), rel=1e-6)
    assert len(axes.collections[-1].get_offsets()) == 2  # the empty subgroup has no place on the axis
    with pytest.raises(DataError, match="nothing to draw"):
        funnel(pooled.tail(1), overall=0.0)


@pytest.fixture
def crossing():
    columns = ["race", "gender", "estimate", "sd", "prob_above_null"]
    rows = [("Black", "boy", 2.0, 1.0, 0.977), ("Black", "girl", -4.0, 1.0, 0.0), ("White", "boy", 0.0, 1.0, 0.5)]
    return pd.DataFrame(rows, columns=columns)


def test_the_matrix_shows_sign_by_colour_and_certainty_by_size(crossing):
    axes = intersection_matrix(crossing, "race", "gender")
    squares = [p for p in axes.patches if p.get_linewidth() == 0]
    np.testing.assert_allclose([p.get_width() for p in squares], [0.12 + 0.84 * np.sqrt(0.954), 0.96, 0.12])
    blue, orange, white = (to_rgb(p.get_facecolor()) for p in squares)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert min(white) > 0.95
    assert {"2.0", "±1.0", "-4.0"} <= {t.get_text() for t in axes.texts}
    assert inside(axes)


def test_the_matrix_refuses_what_is_no_crossing(crossing):
    with pytest.raises(DataError, match="more than once"):
        intersection_matrix(pd.concat([crossing, crossing]), "race", "gender")
    with pytest.raises(DataError, match="no column 'age'"):
        intersection_matrix(crossing, "race", "age")


def test_ranks_are_ordered_by_the_expected_one():
    table = pd.DataFrame([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1], [0.1, 0.7, 0.2]], index=["c", "a", "b"], columns=[1, 2, 3])
    axes = rank_heatmap(table)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    np.testing.assert_allclose(axes.images[0].get_array(), table.loc[["a", "b", "c"]])
    assert inside(axes)
    many = pd.DataFrame(np.full((30, 30), 1 / 30), index=[f"group {i}" for i in range(30)], columns=range(1, 31))
    assert inside(rank_heatmap(many))
    hundred = pd.DataFrame(np.full((100, 100), 1 / 100), index=range(100), columns=range(1, 101))
    width, height = rank_heatmap(hundred).figure.get_size_inches()
    assert max(width, height) < 9.5


def test_lines_have_bands_and_one_style_each():
    x = np.array([3.0, 1.0, 2.0])
    parts = [pd.DataFrame({"age": x, "sex": s, "estimate": x, "lower": x - 1, "upper": x + 1}) for s in ("f", "m")]
    axes = effect_lines(pd.concat(parts), "age", "sex", null=0.0, rug=pd.Series([1.0, 1.0, 3.0]))
    lines = [line for line in axes.lines if line.get_label() in ("f", "m")]
    assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3]] * 2
    assert len({line.get_linestyle() for line in lines}) == 2
    assert len(axes.collections) == 2
    assert inside(axes)
    with pytest.raises(DataError, match="no column 'income'"):
        effect_lines(parts[0], "income")
