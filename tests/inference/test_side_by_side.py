"""mx.table: what stands in it is what the fits say, in every form."""

import re

import numpy as np
import pytest

import mixedfx as mx


@pytest.fixture(scope="module")
def fits():
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    a = mx.lmer("score ~ 1 + (1 | professor)", data)
    b = mx.lmer("score ~ style + (1 | professor)", data)
    return a, b, mx.bayes("score ~ style + (1 | professor)", data, draws=400, seed=1)


def cell(frame, section, row, model):
    return frame.loc[(section, row), model]


def test_numbers_are_those_of_the_fits(fits):
    frame = mx.table(*fits, names=["empty", "REML", "Bayes"]).frame
    for name, fit in zip(("empty", "REML", "Bayes"), fits, strict=True):
        for term, estimate, se in fit.tidy()[["term", "estimate", "std_error"]].itertuples(index=False):
            shown = re.fullmatch(r"(\S+) \((\S+)\)", cell(frame, "Fixed effects", term, name)).groups()
            assert [float(s) for s in shown] == pytest.approx([estimate, se], abs=0.006)
        assert cell(frame, "Fit", "Rows", name) == "375"
        assert float(cell(frame, "Random effects", "SD residual", name)) == pytest.approx(fit.sigma, abs=0.01)
    assert cell(frame, "Fixed effects", "style[No Flipped]", "empty") == ""
    assert [cell(frame, "Fit", "Estimated by", n) for n in frame.columns] == ["REML", "REML", "posterior"]
    assert float(cell(frame, "Fit", "R2 marginal", "REML")) == pytest.approx(fits[1].r2()["marginal"][0], abs=6e-4)
    assert float(cell(frame, "Fit", "AIC", "REML")) == pytest.approx(fits[1].aic, abs=0.06)
    assert cell(frame, "Fit", "AIC", "Bayes") == ""


def test_intervals_stars_and_covariances(fits):
    _, fit, _ = fits
    found = mx.table(fit, show="ci", stars=True, level=0.9, ddf="kenward-roger")
    tidy = fit.tidy(level=0.9, ddf="kenward-roger").set_index("term").loc["style[No Flipped]"]
    shown = cell(found.frame, "Fixed effects", "style[No Flipped]", "(1)")
    numbers = [float(s) for s in re.findall(r"-?\d+\.\d+", shown)]
    assert numbers == pytest.approx([tidy["estimate"], tidy["conf_low"], tidy["conf_high"]], abs=0.006)
    assert "***" in shown
    assert any("90 % intervals" in note for note in found.notes)
    assert "Degrees of freedom: Kenward-Roger, with its adjusted covariance." in found.notes
    assert not any("Degrees" in note for note in mx.table(fit).notes)
    robust = fit.vcov_robust("CR2")
    se = cell(mx.table(fit, vcov=[robust]).frame, "Fixed effects", "Intercept", "(1)")
    assert float(se.split("(")[1][:-1]) == pytest.approx(np.sqrt(robust.vcov[0, 0]), abs=0.006)
    both = mx.table(fit, fit, vcov=[robust, robust]).notes
    assert "Covariance of the fixed effects: CR2, clusters professor." in both
    one = mx.table(fit, fit, names=["a", "b"], vcov=[None, robust]).notes
    assert "Covariance of the fixed effects of b: CR2, clusters professor." in one
    assert cell(mx.table(fit, show="none").frame, "Fixed effects", "Intercept", "(1)") == "67.19"


def test_notes_say_what_cannot_be_compared(fits):
    a, b, _ = fits
    assert any("different fixed parts" in note for note in mx.table(a, b).notes)
    assert any("by REML and by ML" in note for note in mx.table(b, b.update(REML=False)).notes)
    assert not any("compared" in note for note in mx.table(b, b).notes)


def test_every_form_holds_every_cell(fits):
    found = mx.table(*fits, labels={"Intercept": "Constant & more"})
    for form in (found.text(), found.markdown(), found.html(), found.latex()):
        for value in ("67.19", "375", "REML", "posterior"):
            assert value in form
    assert "Constant &amp; more" in found.html()
    assert r"Constant \& more" in found.latex()
    rows = [line for line in found.markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}
    body = [line for line in found.latex().splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.replace(r"\&", "").count("&") for line in body} == {3}
    assert found.rich().row_count > 10


def test_text_is_folded_into_blocks_where_it_is_too_wide(fits):
    a, _, _ = fits
    narrow = mx.table(*[a] * 9)
    assert max(map(len, narrow.text(60).splitlines())) <= 100
    assert max(len(line) for line in narrow.text(60).splitlines() if "(9)" in line) <= 60


def test_great_tables(fits):
    html = mx.table(*fits).gt().as_raw_html()
    assert "67.19 (1.65)" in html


def test_what_cannot_be_tabled(fits):
    a, b, c = fits
    for call, says in (
        (lambda: mx.table(), "needs a fit"),
        (lambda: mx.table(a, b, names=["x"]), "1 entries for 2 fits"),
        (lambda: mx.table(b, c, stars=True), "a posterior has none"),
        (lambda: mx.table(b, show="t"), "'ci'"),
        (lambda: mx.table(c, vcov=[np.eye(3)]), "REML or ML"),
    ):
        with pytest.raises(mx.errors.OptionError, match=says):
            call()
