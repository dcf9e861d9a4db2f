"""The page to explore in a real browser: headless Chromium, driven by Playwright's client (`make test-browser`).

The executable is the system's: the variable CHROMIUM, or chromium, chromium-browser or google-chrome on the path.
"""

import os
import re
import shutil
import warnings

import numpy as np
import pytest

import mixedfx as mx
from tests.explorer.asking import as_query, random_ticks
from tests.explorer.several import imputations, plausible_values

pytestmark = pytest.mark.browser

BY = ["race", "gender", "lunch", "schtype"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

ACTIVE = "() => ((e) => e.id || e.name || e.textContent.slice(0, 12))(document.activeElement)"
# Texts whose contrast with what they stand on is below 4.5 to 1 (WCAG 2, level AA).
LOW_CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = (c) => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c) && c !== "transparent") return c;
    }
    return "rgb(255,255,255)";
  };
  return [...document.querySelectorAll("h1, h2, p, label, legend, th, td, summary, button, footer, code")]
    .filter((e) => e.textContent.trim() && e.offsetParent)
    .map((e) => [e, ...[luminance(getComputedStyle(e).color), luminance(ground(e))].sort((x, y) => y - x)])
    .filter(([e, a, b]) => (a + 0.05) / (b + 0.05) < 4.5)
    .map(([e]) => `${e.tagName} ${e.textContent.slice(0, 30)}`);
}"""
# Texts of pictures that reach beyond their picture.
OUTSIDE = """() => [...document.querySelectorAll(".picture svg")].flatMap((svg) => {
  const w = svg.viewBox.baseVal.width;
  const boxes = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBBox()]);
  return boxes.filter(([, b]) => b.x < -1 || b.x + b.width > w + 1).map(([text]) => text);
})"""


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium: install the system's package, or name the executable in the variable CHROMIUM"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def star():
    star = mx.datasets.load("star")
    return star.assign(passed=(star["math"] > 480).astype(int))


@pytest.fixture(scope="module")
def answers(star):
    """What is explored: exact intervals of a REML fit (mixture and t), draws of a posterior, a ratio of odds, several
    data sets by Rubin's rules, a numeric treatment."""
    of_values, imputed = plausible_values(star, every=1), imputations(star, every=1)
    fits = {
        "nodes": mx.lmer("math ~ small * race * gender + small * (lunch + schtype) + (1 + small | sch)", star),
        "t": mx.lmer("math ~ small * (race + schtype) + small * gender * lunch + (1 | sch)", star),
        "draws": mx.bayes(
            "math ~ small * race * gender + small * (lunch + schtype) + (1 + small | sch)", star, seed=1, draws=2000
        ),
        "odds": mx.glmer("passed ~ small * (race + lunch) + gender + schtype + (1 | sch)", star, family="bernoulli"),
        # several data sets: plausible values, and imputations in which pupils change their subgroup
        "values": mx.lmer("[PV1:PV4] ~ small * (race + schtype) + small * gender * lunch + (1 | sch)", of_values),
        "imputed": mx.lmer("math ~ small * lunch * race + gender + schtype + (1 + small | sch)", imputations=imputed),
        "imputed odds": mx.glmer(
            "passed ~ small * lunch + race + gender + schtype + (1 | sch)",
            None,
            family="bernoulli",
            imputations=imputed,
        ),
        "dose": quiet(lambda: mx.lmer("PV1 ~ dose * race * gender + lunch + schtype + (1 | sch)", of_values)),
        "values, dose": mx.lmer("[PV1:PV4] ~ dose * race * gender + lunch + schtype + (1 | sch)", of_values),
    }
    return {name: (fit, quiet(lambda f=fit, n=name: mx.effects(f, by=BY, **asked(n)))) for name, fit in fits.items()}


def asked(name):
    """What is asked of a fit besides its subgroups."""
    comparison = {"comparison": "odds_ratio"} if name.endswith("odds") else {}
    return {"treatment": "dose" if name.endswith("dose") else "small"} | comparison


class View:
    """A page that is open, with what its console said."""

    def __init__(self, browser, file, fragment="", **size):
        self.page = browser.new_page(**size)
        self.page.set_default_timeout(10_000)
        self.said = []
        self.page.on(
            "console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.file = file
        self.page.goto(file.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")

    def show(self, fragment):
        self.page.evaluate(
            "(f) => { history.replaceState(null, '', f); window.dispatchEvent(new HashChangeEvent('hashchange')); }",
            fragment,
        )

    def text(self, selector):
        return self.page.inner_text(selector)

    def number(self, selector):
        return float(self.text(selector).replace("−", "-").replace(",", ""))


@pytest.fixture
def opened(browser, answers, tmp_path):
    views = []

    def start(name, fragment="", options=None, **size):
        file = tmp_path / f"{name}.html"
        answers[name][1].explore(file, **(options or {}))
        views.append(View(browser, file, fragment, **size))
        return views[-1]

    yield start
    for view in views:
        assert view.said == [], "the console said something"
        view.page.close()


def fragment_of(only, threshold):
    from urllib.parse import urlencode

    pairs = [("cross", "race")] + [(f"only.{name}", level) for name, levels in only.items() for level in levels]
    return "#" + urlencode([*pairs, ("above", threshold)])


def agree(view, selector, expected, slack):
    """What is printed is the number, to half a unit of its last digit."""
    shown = view.text(selector).replace("−", "-").replace(",", "")
    unit = 10.0 ** -len(shown.partition(".")[2])
    assert abs(float(shown) - expected) <= 0.5 * unit * (1 + 1e-6) + slack, (selector, shown, expected)


@pytest.mark.parametrize("name", ["nodes", "t", "draws", "odds", "values", "imputed", "imputed odds", "values, dose"])
def test_two_hundred_random_subgroups_are_those_of_python_to_the_printed_digit(opened, answers, star, name):
    """Draws are kept to 16 bits, 1e-4 sd; a share of 2,000 or 4,000 draws may move by one."""
    fit, _ = answers[name]
    # of the imputed, where 4,000 are drawn in each data set, none is thinned out
    view = opened(name, options={"draws": 12_000} if name == "imputed odds" else None)
    columns = {column: sorted(star[column].unique()) for column in BY}
    assert len(columns["schtype"]) == 4
    chosen = random_ticks(columns, 200, seed=11)
    queries = {f"s{i}": as_query(only, columns) for i, only in enumerate(chosen)}
    python = quiet(lambda: mx.effects(fit, subgroups=queries, **asked(name)))
    threshold = float(np.round(python.table["estimate"].median(), 2))
    above = python.prob(greater=threshold)
    above = above["prob"] if "prob" in above else above.iloc[:, -1]
    exact = "odds" not in name and name != "draws"
    for only, row, p in zip(chosen, python.table.itertuples(), above, strict=True):
        view.show(fragment_of(only, threshold))
        slack = (1e-6 if exact else 2e-4) * row.sd
        agree(view, "#estimate", row.estimate, slack)
        agree(view, "#lower", row.lower, slack)
        agree(view, "#upper", row.upper, slack)
        agree(view, "#above", p, 0 if exact else 1 / 2000)
        assert view.number("#n") == pytest.approx(row.n, abs=0.5), "a mean over data sets, rounded"


def test_the_forest_and_its_table_hold_the_crossing(opened, answers):
    view = opened("nodes", "#cross=race&cross=gender&sort=effect")
    eff = quiet(lambda: mx.effects(answers["nodes"][0], "small", by=["race", "gender"])).table
    rows = view.page.locator("#numbers tbody tr")
    view.page.locator("summary", has_text="As a table").first.click()
    assert rows.count() == len(eff)
    shown = [
        [cell.replace("−", "-") for cell in rows.nth(i).locator("th, td").all_inner_texts()]
        for i in range(rows.count())
    ]
    ordered = eff.sort_values("estimate", ascending=False)
    assert [row[:2] for row in shown] == ordered[["race", "gender"]].astype(str).values.tolist()
    for row, expected in zip(shown, ordered["estimate"], strict=True):
        assert float(row[3]) == pytest.approx(expected, abs=0.0501)
    assert view.page.locator("#forest svg circle").count() == len(eff)
    assert view.page.locator("#forest svg").get_attribute("aria-label").startswith("Effect of small on math by")


def test_a_difference_and_ranks_are_those_of_python(opened, answers):
    fit, _ = answers["draws"]
    view = opened("draws", "#cross=race&first=Black&second=White")
    eff = quiet(lambda: mx.effects(fit, "small", by="race"))
    row = eff.contrast("Black", "White").table.iloc[0]
    for selector, column in {"#gap": "estimate", "#gap-lower": "lower", "#gap-upper": "upper"}.items():
        agree(view, selector, row[column], 3e-4 * row["sd"])
    view.page.locator("#ranks-section summary").click()
    shown = {
        r[0]: r
        for r in (
            view.page.locator("#ranks tbody tr").nth(i).locator("th, td").all_inner_texts() for i in range(len(eff))
        )
    }
    for rank in eff.rank().itertuples():
        assert float(shown[str(rank.race)][1]) == pytest.approx(rank.prob_best, abs=0.0016)
        assert float(shown[str(rank.race)][2]) == pytest.approx(rank.rank, abs=0.06)


def test_subgroups_that_are_one_effect_share_their_places(browser, star, tmp_path):
    """Gender does not change the effect here; sixteen bits must not decide between boys and girls."""
    fit = mx.lmer("math ~ small * race + gender + (1 | sch)", star)
    eff = quiet(lambda: mx.effects(fit, "small", by=["race", "gender"]))
    eff.explore(tmp_path / "ties.html")
    view = View(browser, tmp_path / "ties.html")
    view.page.locator("#ranks-section summary").click()
    rows = view.page.locator("#ranks tbody tr")
    shown = {tuple(r[:2]): r[2:] for r in (rows.nth(i).locator("th, td").all_inner_texts() for i in range(4))}
    for rank in eff.rank().itertuples():
        best, mean = shown[str(rank.race), str(rank.gender)][:2]
        assert float(best) == pytest.approx(rank.prob_best, abs=0.0016)
        assert float(mean) == pytest.approx(rank.rank, abs=0.051)
    assert view.said == []
    view.page.close()


@pytest.mark.parametrize("name", ["nodes", "values", "imputed", "dose", "values, dose"])
def test_raw_estimates_are_those_of_shrinkage(opened, answers, name):
    view = opened(name, "#cross=race")
    view.page.locator("summary", has_text="As a table").first.click()
    table = quiet(lambda: mx.effects(answers[name][0], by="race", **asked(name))).shrinkage()
    for i, row in enumerate(table.itertuples()):
        cells = [
            c.replace("−", "-")
            for c in view.page.locator("#numbers tbody tr").nth(i).locator("th, td").all_inner_texts()
        ]
        digits = len(cells[6].partition(".")[2])
        assert float(cells[6]) == pytest.approx(row.raw, abs=0.51 * 10.0**-digits)
        assert float(cells[7]) == pytest.approx(row.raw_se, abs=0.51 * 10.0**-digits)
        assert float(cells[8]) == pytest.approx(row.pooling, abs=0.0051)


def test_a_level_that_looks_like_markup_is_text(browser, star, tmp_path):
    own = star.assign(
        race=[
            {"Black": "<b>x", "White": "<img src=x onerror=document.title='hit'>"}.get(r, r)
            for r in star["race"].astype(str)
        ]
    )
    eff = quiet(
        lambda: mx.effects(mx.lmer("math ~ small * race + gender + (1 | sch)", own), "small", by=["race", "gender"])
    )
    eff.explore(tmp_path / "hostile.html", title="<b>For whom?</b>")
    view = View(browser, tmp_path / "hostile.html", "#cross=race")
    assert view.page.locator("body b, body img").count() == 0
    assert view.page.locator("#columns label", has_text="<b>x").count() == 1
    assert "<b>x" in view.page.locator("#forest").text_content()
    assert view.page.title() == "<b>For whom?</b>"
    assert view.said == []
    view.page.close()


def test_the_policy_stops_scripts_and_styles_that_are_not_the_pages(opened):
    view = opened("t")
    view.page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'window.hit = 1';
          document.body.append(s); }"""
    )
    assert view.page.evaluate("() => window.hit") is None
    assert any("Content Security Policy" in text for text in view.said)
    view.said.clear()


def test_the_address_restores_the_view(opened):
    view = opened("nodes")
    view.page.get_by_label("gender", exact=True).set_checked(True)
    view.page.locator("#cross label", has_text="lunch").locator("input").uncheck()
    view.page.locator("#columns").get_by_label("inner").uncheck()
    view.page.locator("#threshold-number").fill("7.5")
    view.page.locator("#sort").select_option("n")
    address = view.page.url
    parts = ("#answer", "#forest", "#pair", "#numbers")
    before = [view.page.locator(part).text_content() for part in parts]
    again = View(view.page.context.browser, view.file, "#" + address.partition("#")[2])
    assert [again.page.locator(part).text_content() for part in parts] == before
    assert again.page.locator("#sort").input_value() == "n"
    assert not again.page.locator("#columns").get_by_label("inner").is_checked()
    assert again.said == []
    again.page.close()


def test_everything_can_be_reached_and_changed_by_keyboard(opened):
    view = opened("nodes")
    reached = []
    for _ in range(80):
        view.page.keyboard.press("Tab")
        reached.append(view.page.evaluate(ACTIVE))
        if reached[-1] == "rank-map-png":
            break
    for needed in (
        "cross",
        "only.race",
        "threshold",
        "threshold-number",
        "sort",
        "save-csv",
        "forest-svg",
        "first",
        "rows",
        "rank-map-png",
    ):
        assert needed in reached
    box = view.page.locator("#cross input").first
    box.focus()
    before = view.text("#crossed")
    view.page.keyboard.press("Space")
    assert view.text("#crossed") != before
    assert view.page.evaluate("() => document.activeElement.name") == "cross", "focus stays where it was"


def test_every_control_and_picture_has_a_name_and_text_has_contrast(opened):
    view = opened("draws")
    unnamed = view.page.evaluate(
        """() => [...document.querySelectorAll("input, select, button")].filter((e) => !e.labels?.length && !e.ariaLabel
          && !e.textContent.trim()).map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert view.page.evaluate("() => [...document.querySelectorAll('svg')].every((s) => s.getAttribute('aria-label'))")
    for scheme in ("light", "dark"):
        view.page.emulate_media(color_scheme=scheme)
        low = view.page.evaluate(LOW_CONTRAST)
        assert low == [], scheme


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_screen(opened, width):
    view = opened("nodes", "#cross=race&cross=gender&cross=lunch", viewport={"width": width, "height": 900})
    assert view.page.evaluate("() => document.documentElement.scrollWidth") <= width
    # pictures fit their place: what is drawn lies within
    outside = view.page.evaluate(OUTSIDE)
    assert outside == []


def test_numbers_and_pictures_are_saved(opened, tmp_path):
    view = opened("nodes", "#cross=race")
    for button, ending, start in (
        ("save-csv", ".csv", b"race,n,weight"),
        ("forest-svg", ".svg", b"<svg"),
        ("forest-png", ".png", b"\x89PNG"),
    ):
        with view.page.expect_download() as found:
            view.page.locator(f"#{button}").click()
        assert found.value.suggested_filename.endswith(ending)
        found.value.save_as(tmp_path / "saved")
        assert (tmp_path / "saved").read_bytes().startswith(start)


def test_it_prints(opened):
    view = opened("nodes", "#cross=race&cross=lunch")
    view.page.emulate_media(media="print")
    assert not view.page.locator("#controls").is_visible()
    assert view.page.locator("#forest svg").is_visible()
    assert re.match(rb"%PDF", view.page.pdf())
