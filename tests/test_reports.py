"""Reports of fits: every part is there, the code in it makes the very fit again, nothing is loaded from elsewhere."""

import re
import warnings
from html import unescape

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.results.page import Page

SECTIONS = ["Answer", "What to keep in mind", "Pictures", "Table", "For the methods section", "Code"]


@pytest.fixture(scope="module")
def data():
    star = mx.datasets.load("star").head(900)
    return star.assign(passed=(star["math"] > 480).astype(int))


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.fixture(scope="module")
def fits(data):
    calendars = mx.datasets.load("school_calendars")
    return quiet(
        lambda: {
            "lm": mx.lmer("math ~ small + race", data),
            "lmer": mx.lmer("math ~ small + (1 + small | sch)", data, REML=False),
            "glmer": mx.glmer("passed ~ small + (1 | sch)", data, family="bernoulli"),
            "bayes": mx.bayes("math ~ small + (1 | sch)", data, seed=3, draws=400),
            "rma": mx.rma("yi ~ year", calendars, test="knha"),
            "rma_mv": mx.rma_mv("yi ~ 1 + (1 | district/school)", calendars),
        }
    )


KINDS = ["lm", "lmer", "glmer", "bayes", "rma", "rma_mv"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_has_every_part_and_is_self_contained(fits, kind, tmp_path):
    page = quiet(lambda: fits[kind].report(tmp_path / "r.html", title="Pupils & <schools>", data="frame"))
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page
    assert "<h1>Pupils &amp; &lt;schools&gt;</h1>" in page
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert [h for h in headings if h in SECTIONS] == SECTIONS
    assert page.count("data:image/png;base64,") >= 1
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_makes_the_very_fit(fits, kind, data):
    page = quiet(lambda: fits[kind].report(data="frame"))
    code = unescape(re.search(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)[1])
    frame = mx.datasets.load("school_calendars") if kind.startswith("rma") else data
    scope = {"frame": frame, "print": lambda *_: None}
    quiet(lambda: exec(code, scope))
    again, fit = scope["fit"], fits[kind]
    assert type(again) is type(fit)
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy(), rtol=1e-8)
    if kind == "lmer":
        assert not again.REML


def test_the_methods_paragraph_says_what_was_done(fits):
    from mixedfx.inference.fit_words import methods_paragraph
    from mixedfx.meta.page import meta_methods

    texts = {kind: methods_paragraph(fits[kind]) for kind in KINDS[:4]}
    assert "linear model, math ~ 1 + small + race, by least squares" in texts["lm"]
    assert "residual degrees of freedom" in texts["lm"]
    assert "by maximum likelihood with mixedfx" in texts["lmer"]
    assert "Satterthwaite" in texts["lmer"]
    assert "900 rows" in texts["lmer"]
    assert f"{fits['lmer'].ngroups['sch']} levels of sch" in texts["lmer"]
    assert "bernoulli response, logit link" in texts["glmer"]
    assert "Laplace" in texts["glmer"]
    assert "400 posterior draws" in texts["bayes"]
    assert "mixedfx's default priors" in texts["bayes"]
    meta = meta_methods(fits["rma"])
    assert "random-effects meta-regression of 56 estimates" in meta
    assert "Knapp and Hartung" in meta
    assert "multilevel meta-analysis of 56 estimates" in meta_methods(fits["rma_mv"])


def test_answers_of_fits_have_the_numbers_of_their_tables(fits):
    from mixedfx.inference.fit_words import fit_answer

    row = fits["lmer"].tidy(level=0.9).set_index("term").loc["small"]
    [text, *_] = fit_answer(fits["lmer"], level=0.9)
    interval = f"90 % interval {row['conf_low']:.1f} to {row['conf_high']:.1f}"
    assert text == f"The coefficient of small is {row['estimate']:.1f} ({interval})."
    mixed = quiet(lambda: mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom")))
    share = 100 * mixed.icc()["adjusted"][0]
    assert fit_answer(mixed)[-1] == (
        f"Of the variance that the fixed effects leave, {share:.0f} % lies between levels of professor."
    )


def test_caveats_of_failed_or_singular_fits_lead_the_report():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 6), "y": rng.normal(size=48)})
    frame["y"] -= frame.groupby("g")["y"].transform("mean")
    fit = quiet(lambda: mx.lmer("y ~ 1 + (1 | g)", frame))
    page = quiet(fit.report)
    lead = unescape(page[page.index("What to keep in mind") : page.index("<h2>Table")])
    assert "The fit is singular: the sd of Intercept within `g` is zero." in lead
    # the trace of it that arithmetic leaves is shown as zero
    shown = str(fit.summary()).split("Random effects")[1].split("\n")[2].split()
    assert shown[:2] == ["g", "Intercept"]
    assert float(shown[2]) == float(shown[3]) == 0.0


def test_a_page_without_answer_or_pictures_is_a_page():
    page = Page("Title", (), "y ~ x", (), "<table></table>").html()
    assert "<h2>Answer</h2>" not in page
    assert "<h2>Pictures</h2>" not in page


class TestTried:
    def test_the_suggestion_was_fitted_and_is_not_singular(self):
        rng = np.random.default_rng(4)
        g = np.repeat(np.arange(12), 20)
        frame = pd.DataFrame({"g": g, "x": rng.normal(size=240), "w": rng.normal(size=240)})
        frame["y"] = rng.normal(size=12)[g] + frame["x"] + rng.normal(size=240)
        with pytest.warns(mx.errors.SingularFitWarning) as caught:
            fit = mx.lmer("y ~ x + w + (1 + x + w | g)", frame)
        text = str(caught[0].message)
        assert len(text.splitlines()) == 1
        assert text.endswith("fit.singularity.text says all, and what to try.")
        assert "_regular" not in fit.singularity.__dict__  # a fit costs no second one before it is asked for
        assert str(fit.singularity.smaller) in str(fit.summary())
        assert fit.singularity.fitted
        assert f"Try the smaller model {fit.singularity.smaller}" in fit.singularity.text
        again = quiet(lambda: mx.lmer(fit.singularity.smaller, frame))
        assert not again.singular

    def test_what_cannot_be_tried_is_only_named(self):
        from mixedfx.results.tried import ROWS, tried

        rng = np.random.default_rng(4)
        frame = pd.DataFrame({"g": np.repeat(np.arange(12), 20), "y": rng.normal(size=240)})
        frame["y"] -= frame.groupby("g")["y"].transform("mean")
        report = quiet(lambda: mx.lmer("y ~ 1 + (1 | g)", frame)).singularity
        assert report.fitted

        def refuse(_):
            raise mx.errors.ModelError("no")

        from dataclasses import replace

        plain = replace(report, attempt=None)
        assert tried(plain, 240, refuse) == plain
        assert tried(plain, ROWS + 1, lambda _: report) == plain
        assert "Try y ~ 1" in plain.line


def test_the_number_of_groups_for_a_power_is_that_of_the_formula():
    from scipy.stats import norm

    from mixedfx.inference.power_answer import needed_sentences, needed_table, size_for

    n = np.array([10.0, 20.0, 40.0])
    exact = norm.cdf(0.4 * np.sqrt(n) - norm.ppf(0.975))
    wanted = ((norm.ppf(0.975) + norm.ppf(0.8)) / 0.4) ** 2
    assert size_for(n, exact, np.full(3, 5000.0), 0.05) == pytest.approx(wanted, rel=1e-6)
    assert size_for(n[:1], exact[:1], np.array([5000.0]), 0.05) == pytest.approx(wanted, rel=1e-6)
    assert np.isnan(size_for(n, exact[::-1], np.full(3, 100.0), 0.05))
    table = pd.DataFrame(
        {"effect": "z", "size": 0.4, "n_groups": [10, 20, 40], "n_per_group": 5.0, "power": exact, "n_sim": 5000}
    )
    row = needed_table(table, 0.05).iloc[0]
    assert row["needed"] == np.ceil(wanted)
    assert row["beyond"] == (wanted > 40)
    [text] = needed_sentences(table, 0.05, "school")
    assert text == (
        f"To find z = 0.4 with a power of 80 %, about {np.ceil(wanted):.0f} levels of school are needed (extrapolated "
        "beyond the 10 to 40 that were tried)."
    )
