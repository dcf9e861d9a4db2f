"""A page to explore answers as Python does: the NumPy twin of its script reads the page and agrees with `mx.effects`.

Also: nothing in it can be taken for markup or code, it stays small or is refused, and it says what it cannot do.
"""

import importlib
import re
import warnings
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import EffectsError, OptionError
from mixedfx.explorer.packing import quantised, thinned
from mixedfx.explorer.page import bundle, source_hash
from tests.explorer.asking import as_query, random_ticks
from tests.explorer.several import imputations, plausible_values
from tests.explorer.twin import Twin, data_of

BY = ["race", "gender", "lunch"]


@pytest.fixture(scope="module")
def star():
    star = mx.datasets.load("star")
    rng = np.random.default_rng(3)
    return star.assign(passed=(star["math"] > 480).astype(int), N=rng.integers(1, 90, len(star)))


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def several(formula, star, **options):
    return mx.lmer(formula, plausible_values(star), **options)


FITS = {
    "random slopes": lambda d: mx.lmer("math ~ small * race * gender + small * lunch + (1 + small | sch)", d),
    "fixed effects": lambda d: mx.lmer("math ~ small * race + small * gender * lunch + (1 | sch)", d),
    "no groups": lambda d: mx.lmer("math ~ small * race * gender + lunch", d),
    "log": lambda d: mx.lmer("log(math) ~ small * race * gender + lunch + (1 + small | sch)", d),
    "posterior": lambda d: mx.bayes("math ~ small * race * gender + lunch + (1 + small | sch)", d, seed=1, draws=800),
    "sample": lambda d: mx.lmer(
        "math ~ small * race * gender + small * lunch + (1 + small | sch)", d, sampling_weights={"row": "N"}
    ),
    "odds": lambda d: mx.glmer("passed ~ small * race + gender + lunch + (1 | sch)", d, family="bernoulli"),
    "values": lambda d: several("[PV1:PV4] ~ small * race * gender + small * lunch + (1 + small | sch)", d),
    "values, t": lambda d: several("[PV1:PV4] ~ small * race + small * gender * lunch + (1 | sch)", d),
    "values, log": lambda d: several("log(y) ~ small * race + lunch + gender + (1 | sch)", d, responses=["PV1", "PV2"]),
    "values, dose": lambda d: several("[PV1:PV4] ~ dose * race * gender + lunch + (1 | sch)", d),
    "imputed": lambda d: mx.lmer(
        "math ~ small * lunch * race + gender + (1 + small | sch)", imputations=imputations(d)
    ),
    "imputed, odds": lambda d: mx.glmer(
        "passed ~ small * lunch + race + gender + (1 | sch)", None, family="bernoulli", imputations=imputations(d)
    ),
    "dose": lambda d: several("PV1 ~ dose * race * gender + lunch + (1 | sch)", d, weights="N"),
}
# fit, and what is asked besides the treatment
QUESTIONS = {
    "mixture of nodes": ("random slopes", {}),
    "mixture, weights": ("random slopes", {"weights": "N"}),
    "given theta": ("random slopes", {"uncertainty": "given theta"}),
    "t": ("fixed effects", {}),
    "t, residual": ("no groups", {}),
    "t of a sample": ("sample", {}),
    "t of a sample, weights": ("sample", {"weights": "N"}),
    "ratio of means": ("random slopes", {"comparison": "ratio"}),
    "ratio of geometric means": ("log", {"comparison": "ratio"}),
    "difference of geometric means": ("log", {}),
    "draws": ("posterior", {}),
    "lift, draws": ("posterior", {"comparison": "lift"}),
    "risk difference": ("odds", {}),
    "odds ratio": ("odds", {"comparison": "odds_ratio"}),
    "log odds": ("odds", {"scale": "link"}),
    "plausible values": ("values", {}),
    "plausible values, given theta": ("values", {"uncertainty": "given theta"}),
    "plausible values, t": ("values, t", {}),
    "plausible values, census": ("values, t", {"weights": "N"}),
    "plausible values, ratio": ("values, log", {"comparison": "ratio"}),
    "plausible values, dose": ("values, dose", {"treatment": "dose"}),
    "imputed subgroups": ("imputed", {}),
    "imputed subgroups, ratio of means": ("imputed", {"comparison": "ratio"}),
    "imputed subgroups, risk difference": ("imputed, odds", {}),
    "imputed subgroups, odds ratio": ("imputed, odds", {"comparison": "odds_ratio"}),
    "dose": ("dose", {"treatment": "dose"}),
}


@pytest.fixture(scope="module")
def fits(star):
    made = {}

    def fit(name):
        if name not in made:
            made[name] = quiet(lambda: FITS[name](star))
        return made[name]

    return fit


@pytest.fixture(scope="module")
def columns(star):
    return {name: sorted(star[name].unique()) for name in BY}


@pytest.mark.parametrize("what", QUESTIONS)
def test_the_page_answers_for_any_subgroup_as_python_does(fits, star, columns, what):
    """Twelve random choices of levels, and differences of two.

    Python's own numbers differ from the page's by the 16 bits of draws (1e-4 sd) and the single precision of matrices
    (1e-6); a share of draws moves by a draw or two.
    """
    name, options = QUESTIONS[what]
    fit = fits(name)
    rows = plausible_values(star) if what.startswith("plausible") else star
    asked = {"treatment": "small"} | options | ({"newdata": rows} if "weights" in options else {})
    eff = quiet(lambda: mx.effects(fit, by=BY, **asked))
    twin = Twin(eff.explore(draws=12_000))  # all that there are
    chosen = random_ticks(columns, 12, seed=7)
    queries = {f"s{i}": as_query(only, columns) for i, only in enumerate(chosen)}
    python = quiet(lambda: mx.effects(fit, subgroups=queries, **asked))
    drawn = not twin.exact
    null = float(python.table["null"].iloc[0])
    for (_, row), only in zip(python.table.iterrows(), chosen, strict=True):
        found = twin.answer(only, threshold=null)
        expected = row[["estimate", "lower", "upper"]].to_numpy(dtype=float)
        assert np.abs(np.array(found[:3]) - expected).max() < (1e-3 if drawn else 1e-5) * row["sd"]
        assert found[3] == pytest.approx(row["prob_above_null"], abs=3 / 800 if drawn else 1e-6)
        inside = twin.members(twin.codes, only)
        assert twin.n[inside].sum() == pytest.approx(row["n"], rel=1e-12)
        assert twin.weight[inside].sum() == pytest.approx(row["weight"], rel=1e-12)


@pytest.mark.parametrize(
    "what",
    [
        "mixture of nodes",
        "t",
        "draws",
        "risk difference",
        "plausible values",
        "plausible values, t",
        "imputed subgroups",
    ],
)
def test_differences_of_two_subgroups_are_those_of_contrast(fits, what):
    name, options = QUESTIONS[what]
    eff = quiet(lambda: mx.effects(fits(name), "small", by=BY, **options))
    twin = Twin(eff.explore())
    python = eff.contrast(("Black", "boy", "free"), ("White", "girl", "paid")).table.iloc[0]
    first = {"race": ["Black"], "gender": ["boy"], "lunch": ["free"]}
    second = {"race": ["White"], "gender": ["girl"], "lunch": ["paid"]}
    found = twin.answer(first, less=second)
    expected = python[["estimate", "lower", "upper"]].to_numpy(dtype=float)
    assert np.abs(np.array(found[:3]) - expected).max() < (1e-5 if twin.exact else 1e-3) * python["sd"]


def test_matrices_that_would_be_too_large_are_left_to_draws_and_that_is_said(fits, monkeypatch):
    # mixedfx.effects is a function, and not the package, to whoever takes it from mixedfx
    monkeypatch.setattr(importlib.import_module("mixedfx.effects.pooled_law"), "LARGEST", 500)
    page = quiet(lambda: mx.effects(fits("values, t"), "small", by=BY)).explore()
    twin = Twin(page)
    assert not twin.exact
    assert "Intervals, probabilities and ranks of subgroups are those of 4,000 joint draws" in page
    row = quiet(lambda: mx.effects(fits("values, t"), "small", by="race")).table.iloc[0]
    found = twin.answer({"race": [row["race"]]})
    assert found[0] == pytest.approx(row["estimate"], rel=1e-10)
    # ends of 4,000 draws: their standard error is 0.04 sd
    assert np.abs(np.array(found[1:3]) - row[["lower", "upper"]].to_numpy(float)).max() < 0.2 * row["sd"]


def test_averages_of_categories_are_those_of_poststratify():
    """Ordered answers: a series for each category."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 30), "x": rng.choice(["a", "b"], 360), "z": rng.integers(0, 2, 360)}
    )
    data["y"] = pd.cut(rng.normal(size=360) + 0.5 * data["z"], [-9, -0.5, 0.5, 9], labels=["lo", "mid", "hi"])
    fit = quiet(lambda: mx.glmer("y ~ z * x + (1 | g)", data, family="cumulative"))
    page = quiet(lambda: mx.effects(fit, "z", by=["x", "g"])).explore()
    twin = Twin(page)
    assert twin.data["categories"] == ["lo", "mid", "hi"]
    table = quiet(lambda: mx.effects(fit, "z", by="x")).table
    for i, row in enumerate(table.itertuples()):
        found = twin.answer({"x": [row.x]}, series=i % 3)
        assert found[:3] == pytest.approx((row.estimate, row.lower, row.upper), abs=1e-3 * row.sd)
    averages = quiet(lambda: mx.poststratify(fit, None, by=["x", "g"]))
    over = quiet(lambda: mx.poststratify(fit, None, by="x")).table
    twin = Twin(averages.explore())
    assert twin.data["null"] is None
    assert 0 < twin.data["threshold"] < 1, "the average itself, since averages have no null"
    for i, row in enumerate(over.itertuples()):
        assert twin.answer({"x": [row.x]}, series=i % 3)[0] == pytest.approx(row.estimate, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "treatment"),
    [
        ("random slopes", "small"),
        ("values", "small"),
        ("imputed", "small"),
        ("dose", "dose"),
        ("values, dose", "dose"),
    ],
)
def test_raw_estimates_are_those_of_shrinkage(fits, name, treatment):
    eff = quiet(lambda: mx.effects(fits(name), treatment, by=BY))
    twin = Twin(eff.explore())
    coarse = quiet(lambda: mx.effects(fits(name), treatment, by=["race", "lunch"])).shrinkage()
    for row in coarse.itertuples():
        found = twin.raw({"race": [row.race], "lunch": [row.lunch]})
        assert found[:2] == pytest.approx((row.raw, row.raw_se), rel=1e-9)
        assert found[2] == pytest.approx(row.n, abs=0.5), "a mean over data sets, rounded in the table"


def test_readers_choose_between_the_sample_and_a_census(fits, star):
    """Each population has its own averages within cells, not only other weights of cells."""
    fit = fits("random slopes")
    census = star.sample(frac=0.5, random_state=2).assign(N=lambda d: 1 + 9 * (d["lunch"] == "free"))
    over = quiet(lambda: mx.effects(fit, "small", by=["race", "gender"], newdata=census, weights="N"))
    sample = quiet(lambda: mx.effects(fit, "small", by=["race", "gender"]))
    page = over.explore(also={"the sample": sample})
    assert [p["label"] for p in data_of(page)["populations"]] == ["rows of newdata, by N", "the sample"]
    for i, (eff, options) in enumerate([(over, {"newdata": census, "weights": "N"}), (sample, {})]):
        row = quiet(lambda options=options: mx.effects(fit, "small", by="race", **options)).table.iloc[0]
        assert Twin(page, i).answer({"race": [row["race"]]})[:3] == pytest.approx(
            tuple(row[["estimate", "lower", "upper"]]), abs=1e-5
        )
        assert eff.explore()


# ---- what the page is made of


class Read(HTMLParser):
    """Elements, their attributes and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def named(star, names):
    own = star.assign(**{k: star[k].astype(str).map(lambda v: names.get(v, v)) for k in ("race", "gender")})
    return quiet(
        lambda: mx.effects(mx.lmer("math ~ small * race + gender + (1 | sch)", own), "small", by=["race", "gender"])
    )


def hostile(star):
    return named(star, {"Black": "<b>x", "White": "</script><script>alert(1)</script>", "girl": "<!-- {{data}}"})


def test_no_label_can_become_markup(star):
    plain = Read(named(star, {}).explore())
    page = hostile(star).explore(title="<i>Whom?</i>", labels={"boy": "<img src=x onerror=alert(1)>"})
    read = Read(page)
    assert read.tags == plain.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert "<h1>&lt;i&gt;Whom?&lt;/i&gt;</h1>" in page
    assert data_of(page)["columns"][0]["levels"] == ["</script><script>alert(1)</script>", "<b>x"]


def test_the_policy_allows_this_script_and_this_style_and_nothing_else(star):
    page = hostile(star).explore()
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert f"script-src {source_hash(script)};" in policy
    assert f"style-src {source_hash(style)};" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(src|href)="(?!#)', page), "nothing is loaded"


def test_the_script_writes_text_and_no_markup():
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
        "XMLHttpRequest",
    ):
        assert word not in bundle()
    assert not re.search(r"^\s*(?:import|export)\b", bundle(), re.MULTILINE)


def test_sixteen_bits_move_a_draw_by_half_a_step():
    values = np.random.default_rng(1).normal(size=(3, 4000)) * [[1.0], [1e-8], [1e9]] + [[0.0], [5.0], [0.0]]
    steps, low, step = quantised(np.vstack([values, np.full((1, 4000), 7.0)]))
    back = low[:, None] + step[:, None] * steps
    assert (np.abs(back[:3] - values) <= 0.5001 * np.ptp(values, axis=1)[:, None] / 65535).all()
    assert (back[3] == 7.0).all()


def test_draws_are_thinned_to_the_number_that_is_stated(fits):
    eff = quiet(lambda: mx.effects(fits("posterior"), "small", by=BY))
    page = eff.explore(draws=200)
    assert "200 of 800 joint draws" in page
    drawn = data_of(page)["populations"][0]["law"]["draws"]
    assert (drawn["count"], drawn["total"]) == (200, 800)
    # estimates stay those of all draws
    assert Twin(page).answer({})[0] == pytest.approx(
        float(mx.effects(fits("posterior"), "small").table["estimate"].iloc[0]), abs=1e-9
    )
    kept = thinned(np.arange(800.0), 200)
    assert len(kept) == 200
    assert set(np.diff(kept)) == {4.0}


def test_a_page_that_is_too_large_is_refused_in_words(fits, monkeypatch):
    eff = quiet(lambda: mx.effects(fits("posterior"), "small", by=BY))
    # `mixedfx.effects` is a function: the module is found by its name
    monkeypatch.setattr(importlib.import_module("mixedfx.effects.exploring"), "LARGEST", 60_000)
    with pytest.raises(EffectsError, match=r"the page would take 0\.\d MB with 500 draws of \d+ cells.*\nCross fewer"):
        eff.explore()
    with pytest.raises(EffectsError, match=r"with 800 draws.*\nAsk for fewer than draws=800"):
        eff.explore(draws=800)


def test_what_a_page_cannot_show_is_refused_in_words(fits, star):
    fit = fits("random slopes")
    eff = quiet(lambda: mx.effects(fit, "small", by=["race", "gender"]))
    for answer in (
        eff.contrast(against="overall"),
        quiet(lambda: mx.effects(fit, "small")),
        quiet(lambda: mx.effects(fit, "small", by=[["race"], ["gender"]])),
        quiet(lambda: mx.effects(fit, "small", subgroups={"a": "race == 'Black'"})),
    ):
        with pytest.raises(EffectsError, match=r"by=\[\"race\", \"gender\"\]"):
            answer.explore()
    draws = np.random.default_rng(1).uniform(1, 2, (20, len(star)))
    with pytest.raises(EffectsError, match="one weight for each cell"):
        quiet(lambda: mx.effects(fit, "small", by=["race", "gender"], weights=draws)).explore()
    with pytest.raises(EffectsError, match="answers another question"):
        eff.explore(also={"ratio": quiet(lambda: mx.effects(fit, "small", by=["race", "gender"], comparison="ratio"))})
    with pytest.raises(OptionError, match="draws=0"):
        eff.explore(draws=0)


def test_the_file_is_the_page(fits, tmp_path):
    eff = quiet(lambda: mx.effects(fits("random slopes"), "small", by=["race", "gender"]))
    page = eff.explore(tmp_path / "for_whom.html", unit="points", labels={"small": "small classes"}, plural=True)
    assert (tmp_path / "for_whom.html").read_text(encoding="utf-8") == page
    assert "<h1>What small classes do to math, by race and gender</h1>" in page
    assert data_of(page)["unit"] == "points"
