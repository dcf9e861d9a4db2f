"""Pictures of meta-analyses: what they show is what the fit says."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError
from mixedfx.meta.multivariate import mv_pictures
from mixedfx.meta.univariate.pictures import KINDS, baujat_table, bubble_tables, forest_tables, labbe_tables
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
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "filled in"
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


# Multilevel fits

SCHOOLS = mx.datasets.load("school_calendars")
NESTED = "yi ~ 1 + (1 | district/school)"


@pytest.fixture(scope="module")
def nested():
    return mx.rma_mv(NESTED, SCHOOLS)


@pytest.mark.parametrize("kind", mv_pictures.KINDS)
def test_every_kind_of_a_multilevel_fit_is_drawn(kind, nested):
    drawn = mx.rma_mv("yi ~ year + (1 | district)", SCHOOLS) if kind == "bubble" else nested
    assert drawn.plot(kind).render("png").startswith(b"\x89PNG")


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_weights_are_those_of_the_inverse_of_the_whole_covariance(rho):
    V = mx.vcalc("vi", SCHOOLS, cluster="district", rho=rho)
    fit = mx.rma_mv(NESTED, SCHOOLS, V=V)
    between, within = fit.components["estimate"]
    same = SCHOOLS["district"].to_numpy()[:, None] == SCHOOLS["district"].to_numpy()
    w = np.linalg.solve(V.toarray() + within * np.eye(56) + between * same, np.ones(56))
    np.testing.assert_allclose(fit.study_weights, 100 * w / w.sum(), rtol=1e-9)
    np.testing.assert_allclose(fit.study_weights @ SCHOOLS["yi"] / 100, fit.beta[0], rtol=1e-9)


def test_weights_without_random_terms_are_those_of_equal_effects():
    weights = mx.rma_mv("yi ~ 1", SCHOOLS).study_weights
    np.testing.assert_allclose(weights, 100 / SCHOOLS["vi"] / (1 / SCHOOLS["vi"]).sum(), rtol=1e-12)


def test_means_of_districts_are_mu_plus_u(nested):
    """Their errors by brute force: var(mu-hat + u-hat - mu - u), the components taken as known."""
    means = mv_pictures.group_means(nested, "district", 0.95).set_index("group")
    modes = nested.ranef()["district"].iloc[:, 0]
    np.testing.assert_allclose(means["estimate"], nested.beta[0] + modes.loc[means.index], rtol=1e-9)
    between, within = nested.components["estimate"]
    Z = (SCHOOLS["district"].astype(str).to_numpy()[:, None] == means.index.to_numpy()).astype(float)
    M = np.diag(SCHOOLS["vi"] + within) + between * Z @ Z.T
    C = between * np.linalg.solve(M, Z)  # u-hat = C'(y - mu-hat)
    rest = 1 - C.sum(axis=0)
    variance = between - np.sum(C * (M @ C), axis=0) + rest**2 / np.linalg.inv(M).sum()
    half = (means["conf_high"] - means["conf_low"]) / 2
    np.testing.assert_allclose(half, 1.959963985 * np.sqrt(variance), rtol=1e-7)


def test_means_of_districts_of_a_structured_term_are_those_of_their_schools():
    """By brute force: mu-hat and the mean of the schools' u-hat, and the error of both together."""
    fit = mx.rma_mv("yi ~ 1 + homcs(0 + school | district)", SCHOOLS)
    means = mv_pictures.group_means(fit, "district", 0.95).set_index("group")
    tau2, rho = (
        float(fit.components.loc[fit.components["term"].str.startswith(x), "estimate"].iloc[0]) for x in ("tau", "rho")
    )
    label = SCHOOLS["district"].astype(str).to_numpy()
    T = tau2 * ((1 - rho) * np.eye(56) + rho * (label[:, None] == label))
    M, y = T + np.diag(SCHOOLS["vi"]), SCHOOLS["yi"].to_numpy()
    one = np.ones(56)
    mu_var = 1 / (one @ np.linalg.solve(M, one))
    mu = mu_var * one @ np.linalg.solve(M, y)
    for name, row in means.iterrows():
        a = (label == name) / (label == name).sum()
        c = np.linalg.solve(M, T @ a)  # the mean of u-hat is c'(y - mu-hat)
        assert row["estimate"] == pytest.approx(mu + c @ (y - mu), abs=1e-7)
        variance = a @ T @ a - c @ M @ c + (1 - c.sum()) ** 2 * mu_var
        assert row["conf_high"] - row["estimate"] == pytest.approx(1.959963985 * np.sqrt(variance), rel=1e-5)
    shown = [text.strip() for text in texts(fit.plot(group="district", slab="school").ax)]
    assert shown[5] == "Mean true effect"


def test_the_forest_of_a_multilevel_fit_has_districts_as_headings(nested):
    shown = [text.strip() for text in texts(nested.plot(group="district", slab="school").ax)]
    assert shown[:6] == ["district 11", "1", "2", "3", "4", "Predicted mean"]
    assert shown[-1] == "All"
    by_column = [text.strip() for text in texts(nested.plot(group="year", order="weight").ax)]
    assert "Predicted mean" not in by_column
    assert "year 1976" in by_column
    assert len(texts(nested.plot(order="estimate", transf="exp").ax)) == 57


def test_numbers_of_a_forest_stand_below_each_other(fit):
    """Two columns, each aligned at its right end, none reaching into the next."""
    picture = fit.plot()
    picture.figure.draw_without_rendering()
    written = picture.ax.texts
    second = [text.get_text() for text in written].index("weight")
    columns = [written[:second], written[second:]]
    boxes = [[text.get_window_extent() for text in column if text.get_text()] for column in columns]
    for column in boxes:
        ends = [box.x1 for box in column]
        assert max(ends) - min(ends) < 2  # pixels
    assert max(box.x1 for box in boxes[0]) < min(box.x0 for box in boxes[1])
    assert min(box.x0 for box in boxes[0]) > picture.ax.get_window_extent().x1
    written = [text.get_text() for text in columns[0]]
    assert written[0] == "estimate [interval]"
    assert "-" not in "".join(written)
    assert "\N{MINUS SIGN}0.00" not in "".join(written)


def test_names_of_a_baujat_plot_hide_nothing(fit):
    picture = fit.plot("baujat")
    picture.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in picture.ax.texts]
    assert len(boxes) == 5
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
        assert picture.figure.bbox.x0 <= one.x0 < one.x1 <= picture.figure.bbox.x1


def test_regions_of_a_funnel_are_named(fit):
    names = [text.get_text() for text in fit.plot("funnel", contours=True).ax.get_legend().get_texts()]
    assert names == [".01 < p < .05", ".05 < p < .10", "p > .10"]


def test_risks_that_differ_much_are_drawn_on_logarithmic_axes(fit):
    axes = fit.plot("labbe", **ARMS).ax
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlim() == axes.get_ylim()
    assert fit.plot("labbe", **ARMS, log=False).ax.get_xscale() == "linear"


def test_a_bubble_plot_says_where_other_moderators_are():
    assert mx.rma("yi ~ ablat + alloc", BCG).plot("bubble").ax.get_title("left") == "line where alloc = random"
    assert mx.rma("yi ~ ablat", BCG).plot("bubble").ax.get_title("left") == ""


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.plot("tree"), OptionError, "kind='tree' is not known"),
        (lambda f: f.plot("bubble"), ModelError, "no moderator of this fit is a number"),
        (lambda f: f.plot(group="distric"), DataError, "no column 'distric'"),
        (lambda f: f.plot(order="size"), OptionError, "order='size' is not known"),
        (lambda f: mx.rma_mv("yi ~ year + (1 | district)", SCHOOLS).plot("funnel"), ModelError, "without moderators"),
        (lambda f: mx.rma_mv("yi ~ year + (1 | district)", SCHOOLS).study_weights, ModelError, "without moderators"),
    ],
)
def test_what_cannot_be_drawn_of_a_multilevel_fit_is_refused(call, error, message, nested):
    with pytest.raises(error, match=message):
        call(nested)
