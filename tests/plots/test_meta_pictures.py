"""Pictures of meta-analyses: what they show is what the fit says."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError
from mixedfx.meta.pictures import KINDS, baujat_table, bubble_tables, forest_tables, labbe_tables
from mixedfx.plots.study_forest import study_forest

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
BCG = pd.DataFrame(json.loads((FOLDER / "rma.json").read_text())["data"]["bcg"]).assign(
    n1=lambda d: d.tpos + d.tneg, n2=lambda d: d.cpos + d.cneg
)
ARMS = {"ai": "tpos", "n1i": "n1", "ci": "cpos", "n2i": "n2"}


@pytest.fixture(scope="module")
def fit():
    return mx.rma("yi ~ 1", BCG, slab="author", measure="RR")


def texts(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(kind, fit):
    drawn = mx.rma("yi ~ ablat + alloc", BCG) if kind == "bubble" else fit
    picture = drawn.plot(kind, **(ARMS if kind == "labbe" else {}))
    assert len(picture.axes) == 1
    assert picture.render("png").startswith(b"\x89PNG")


def test_the_forest_has_a_line_for_each_study_and_the_mean(fit):
    assert texts(fit.plot().ax) == [*fit.slab, "Mean"]
    ordered = fit.plot(order="estimate").ax
    assert texts(ordered)[0] == fit.slab[int(np.argmin(BCG.yi))]


def test_groups_of_a_forest_are_fits_of_their_own(fit):
    _, pooled = forest_tables(fit, 0.95, "exp", "alloc", None)
    for name, part in BCG.groupby("alloc"):
        alone = mx.rma("yi ~ 1", part).predict(transf="exp")
        row = pooled[pooled["group"] == name]
        np.testing.assert_allclose(
            row[["estimate", "conf_low", "pred_high"]], alone[["estimate", "conf_low", "pred_high"]]
        )
    shown = texts(fit.plot(group="alloc", transf="exp").ax)
    assert [name for name in shown if name in ("random", "alternate", "systematic")] == list(BCG.alloc.unique())
    assert shown[-1] == "All"


def test_a_single_study_in_a_group_is_its_own_mean(fit):
    groups = np.where(np.arange(13) == 4, "alone", "rest")
    _, pooled = forest_tables(fit, 0.95, None, groups, None)
    row = pooled[pooled["group"] == "alone"].iloc[0]
    assert row["estimate"] == pytest.approx(BCG.yi[4], rel=1e-12)
    assert np.isnan(row["pred_low"])


def test_the_baujat_plot_is_that_of_metafor(fit):
    expected = json.loads((FOLDER / "after.json").read_text())["baujat"]
    table = baujat_table(fit)
    np.testing.assert_allclose(table["heterogeneity"], expected["x"], rtol=1e-7)
    np.testing.assert_allclose(table["influence"], expected["y"], rtol=1e-7)


def test_the_line_of_a_bubble_plot_is_the_prediction():
    fit = mx.rma("yi ~ ablat + alloc", BCG)
    _, line = bubble_tables(fit, "ablat")
    row = pd.DataFrame({"ablat": [line["x"][10]], "alloc": [BCG.alloc.mode()[0]]})
    assert line["estimate"][10] == pytest.approx(fit.predict(row)["estimate"][0], rel=1e-12)


def test_the_curve_of_a_labbe_plot_is_the_mean_effect(fit):
    studies, line = labbe_tables(fit, **ARMS)
    np.testing.assert_allclose(np.log(line["y"] / line["x"]), fit.beta[0], rtol=1e-12)
    np.testing.assert_allclose(np.log(studies["y"] / studies["x"]), BCG.yi, rtol=1e-9)


def test_filled_studies_are_open_in_the_funnel(fit):
    axes = fit.plot("funnel", trimfill=fit.trimfill(), contours=True).ax
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["filled in"]
    assert sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o") == 14


def test_the_gosh_plot_tells_subsets_apart(fit):
    axes = fit.gosh(300, seed=1).plot(out="TPT Madras").ax
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["with TPT Madras", "without TPT Madras"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.plot("tree"), OptionError, "kind='tree' is not known"),
        (lambda f: f.plot("bubble"), ModelError, "no moderator of this fit is a number"),
        (lambda f: mx.rma("yi ~ ablat", BCG).plot("funnel"), ModelError, "without moderators"),
        (lambda f: mx.rma("yi ~ ablat", BCG).plot("bubble", variable="alloc"), OptionError, "is no number"),
        (lambda f: mx.rma("yi ~ 1", BCG).plot("labbe", **ARMS), ModelError, "L'Abbe plots are of the measures"),
        (lambda f: study_forest(pd.DataFrame(), pd.DataFrame()), DataError, "needs studies"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, message, fit):
    with pytest.raises(error, match=message):
        call(fit)
