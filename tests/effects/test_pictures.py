"""Pictures and the report of an answer: they show this answer, and refuse a table they cannot show."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx


@pytest.fixture(scope="module")
def star():
    return mx.datasets.load("star")


@pytest.fixture(scope="module")
def fit(star):
    return mx.lmer("math ~ small * race * gender + (1 + small | sch)", star)


@pytest.fixture(scope="module")
def crossing(fit):
    return mx.effects(fit, "small", by=["race", "gender"])


@pytest.mark.parametrize("kind", ["forest", "ridges", "pooling", "funnel", "ranks", "matrix"])
def test_every_kind_draws_this_table(crossing, kind):
    axes = crossing.plot(kind).ax
    axes.figure.canvas.draw()
    assert axes.has_data() or axes.patches


def test_rank_shares_sum_to_one_and_agree_with_the_table(crossing):
    axes = crossing.plot("ranks").ax
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    first = dict(zip([t.get_text() for t in axes.get_yticklabels()], shares[:, 0], strict=True))
    ranks = crossing.rank()
    for race, gender, best in zip(ranks["race"], ranks["gender"], ranks["prob_best"], strict=True):
        assert first[f"{race}, {gender}"] == pytest.approx(best, abs=1e-12)


def test_labels_name_what_differs(crossing):
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    eff = mx.effects(mx.lmer("score ~ style + (1 | professor)", data), "style")
    expected = ["Some Flipped - Fully Flipped", "No Flipped - Fully Flipped"]
    assert eff.row_labels == expected
    assert [t.get_text().replace("\n", " ") for t in eff.plot("ridges").ax.get_yticklabels()] == expected
    assert mx.effects(crossing.fit, "small").row_labels == ["overall"]
    assert crossing.row_labels[0] == "Black, boy"


def test_an_excess_is_called_one(crossing):
    excess = crossing.interaction_excess()
    assert excess.plot().ax.get_xlabel().startswith("interaction excess of the effect of small on math")
    assert repr(excess).startswith("Interaction excesses of effects of small on math")
    contrast = excess.contrast(("Black", "boy"), ("White", "boy"))
    assert repr(contrast).startswith("Differences between interaction excesses of effects of small on math")


def test_the_matrix_shows_two_digits_of_the_sd(star):
    scaled = star.assign(math=star["math"] / 1000)
    eff = mx.effects(mx.lmer("math ~ small * race * gender + (1 | sch)", scaled), "small", by=["race", "gender"])
    shown = [t.get_text() for t in eff.plot("matrix").ax.texts]
    assert f"{eff.table['estimate'][0]:.4f}" in shown


def test_arrows_end_at_the_estimates(crossing):
    ends = sorted(a.xy[0] for a in crossing.plot("pooling").ax.texts)
    np.testing.assert_allclose(ends, sorted(crossing.table["estimate"]))


def test_lines_run_over_a_numeric_column():
    rng = np.random.default_rng(3)
    n = 400
    data = pd.DataFrame({"z": rng.integers(0, 2, n), "age": rng.integers(20, 60, n), "g": rng.integers(0, 12, n)})
    data["sex"] = rng.choice(["f", "m"], n)
    data["y"] = data["z"] * (data["age"] - 40) / 10 + rng.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ z * age * sex + (1 | g)", data.astype({"g": str}))
    grid = pd.MultiIndex.from_product([[20, 40, 60], ["f", "m"]], names=["age", "sex"]).to_frame(index=False)
    eff = mx.effects(fit, "z", by=["age", "sex"], newdata=grid.assign(z=0, g="1"))
    lines = [line for line in eff.plot("lines").ax.lines if line.get_label() in ("f", "m")]
    for line in lines:
        expected = eff.table[eff.table["sex"] == line.get_label()]
        np.testing.assert_allclose(line.get_ydata(), expected["estimate"])


def test_prior_against_posterior(star):
    small = star.head(400)
    formula = "math ~ small * gender + (1 | sch)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prior, posterior = mx.prior_predictive(formula, small, seed=1), mx.bayes(formula, small, seed=1)
        before, after = (mx.effects(f, "small", by="gender") for f in (prior, posterior))
    axes = after.plot("prior", prior=before).ax
    assert [t.get_text() for t in axes.get_yticklabels()] == ["boy", "girl"]
    with pytest.raises(mx.errors.EffectsError, match="another question"):
        after.plot("prior", prior=mx.effects(prior, "small"))
    with pytest.raises(mx.errors.EffectsError, match="put to the prior"):
        after.plot("prior")


@pytest.mark.parametrize("kind", ["matrix", "lines", "ranks"])
def test_a_table_that_does_not_fit_is_refused_with_the_mend(fit, kind):
    everybody = mx.effects(fit, "small")
    with pytest.raises(mx.errors.EffectsError, match="by="):
        everybody.plot(kind)


def test_an_unknown_kind_lists_the_known(crossing):
    with pytest.raises(mx.errors.OptionError, match="'forest'"):
        crossing.plot("pie")


class TestReport:
    def test_the_page_is_self_contained(self, crossing):
        page = crossing.to_html(title="Small classes & race", data="star")
        assert "Small classes &amp; race" in page
        assert page.count("data:image/png;base64,") == 5
        assert not re.search(r'(src|href)="(?!data:)', page)
        assert "<script" not in page
        assert crossing.uncertainty in page.replace("&#x27;", "'")

    def test_the_code_asks_the_same_question(self, star, crossing):
        from mixedfx.effects.report import code

        scope = {"star": star}
        exec(code(crossing, "star").replace("print(eff.table)", ""), scope)
        pd.testing.assert_frame_equal(scope["eff"].table, crossing.table)

    def test_the_code_of_named_subgroups_and_options(self, star, fit):
        from mixedfx.effects.report import code

        eff = mx.effects(fit, "small", subgroups={"Black boys": "race == 'Black' and gender == 'boy'"}, level=0.9)
        scope = {"star": star}
        exec(code(eff, "star").replace("print(eff.table)", ""), scope)
        pd.testing.assert_frame_equal(scope["eff"].table, eff.table)

    @pytest.mark.parametrize(
        ("treatment", "options"),
        [
            ({"style": "pairwise"}, {}),
            ({"style": "sequential"}, {"by": "professor"}),
            ("style", {"comparison": "lift", "seed": 3, "groups": "average"}),
            ("style", {"newdata": True, "weights": "N", "new_levels": "population"}),
            ("style", {"weights": True}),
        ],
    )
    def test_the_code_writes_down_pairs_options_and_what_was_given(self, treatment, options):
        from mixedfx.effects.report import code

        data = mx.datasets.load("flipped_classroom", plan="crossed")
        newdata = pd.DataFrame({"professor": ["A", "B", "nobody"], "N": [1, 2, 3]})
        weights = np.arange(len(data)) + 1.0
        options = options | ({"newdata": newdata} if "newdata" in options else {})
        options = options | ({"weights": weights} if options.get("weights") is True else {})
        fit = mx.lmer("score ~ style + (1 + style || professor)", data, weights=1 + data.index % 3, REML=False)
        eff = mx.effects(fit, treatment, **options)
        text = code(eff)
        assert "# weights= as in the original fit" in text
        assert ("as in the original question" in text) == ("newdata" in options or "weights" in options)
        scope = {"data": data, "newdata": newdata, "weights": weights}
        text = text.replace(", REML=False)", ", REML=False, weights=1 + data.index % 3)")
        exec(text.replace("print(eff.table)", ""), scope)
        pd.testing.assert_frame_equal(scope["eff"].table, eff.table)

    def test_the_code_of_averages_and_of_excesses(self, star, fit, crossing):
        from mixedfx.effects.report import code

        cells = star.groupby(["race", "gender", "small"], observed=True).size().rename("N").reset_index()
        for eff in (
            mx.poststratify(fit, cells, "N", by="race"),
            mx.poststratify(fit, None, by=[[], ["race"]]),
            crossing.interaction_excess(),
        ):
            scope = {"data": star, "newdata": cells}
            exec(code(eff).replace("print(eff.table)", ""), scope)
            pd.testing.assert_frame_equal(scope["eff"].table, eff.table)
        assert "eff.contrast(...)" in code(crossing.contrast(against="overall"))

    def test_the_code_of_a_posterior(self, star):
        from mixedfx.effects.report import code

        data = star.head(400)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mx.bayes("math ~ small * gender + (1 | sch)", data, draws=500, seed=4, priors="rstanarm")
            eff = mx.effects(fit, "small", by="gender")
            scope = {"data": data}
            exec(code(eff).replace("print(eff.table)", ""), scope)
        pd.testing.assert_frame_equal(scope["eff"].table, eff.table)

    def test_warnings_are_in_the_page_and_in_the_answer(self, star):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mx.lmer("math ~ small + (1 | race) + (1 | sch)", star)
        with pytest.warns(mx.errors.NoVariationWarning) as caught:
            eff = mx.effects(fit, "small", by="race")
        assert caught[0].filename == __file__
        assert eff.warnings == (str(caught[0].message),)
        assert eff.contrast("Black", "White").warnings == eff.warnings
        assert "Warning: the effect of &#x27;small&#x27; cannot vary over &#x27;race&#x27;" in eff.to_html()

    def test_a_posterior_shows_priors_and_diagnostics(self, star):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mx.bayes("math ~ small * gender + (1 | sch)", star.head(400), seed=1)
        page = mx.effects(fit, "small", by="gender").to_html()
        assert "<h2>Priors</h2>" in page
        assert "<h2>Diagnostics</h2>" in page
        assert "mx.bayes(" in page

    def test_pictures_left_out_are_named(self, fit):
        page = mx.effects(fit, "small").to_html()
        assert "Not drawn, matrix" in page

    def test_a_table_too_long_for_pictures_has_the_funnel_alone(self, star):
        long = star.head(1500).assign(block=lambda d: np.arange(len(d)) % 160 + 1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mx.lmer("math ~ small + (1 + small | block)", long.astype({"block": str}))
        page = mx.effects(fit, "small", by="block").to_html()
        assert page.count("data:image/png;base64,") == 1
        assert "Not drawn, forest: the table has 160 rows" in page

    def test_the_file_is_written_whole_or_not_at_all(self, crossing, tmp_path):
        target = tmp_path / "report.html"
        page = crossing.to_html(target)
        assert target.read_text(encoding="utf-8") == page
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
        with pytest.raises(mx.errors.DataError, match="there is no folder"):
            crossing.to_html(tmp_path / "nowhere" / "report.html")
