"""Names with dollars are drawn as they are: matplotlib would set "$25-$50k" as a formula, and fail on half of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

import mixedfx as mx
from mixedfx.effects.pictures import _DRAW
from mixedfx.meta.univariate.pictures import KINDS as RMA_KINDS
from mixedfx.plots.dependence import dependence_map
from mixedfx.plots.picture import Picture
from mixedfx.plots.style import literal
from mixedfx.reml.pictures import KINDS as LMER_KINDS

# The second is a formula that does not parse: matplotlib raises ValueError where it takes it for one.
LEVELS = ["$0-$25k", "$a_$b$^{$", "over $50k"]
PAY, SITE, DOSE = "pay ($ or $)", "site $1$", "dose $x^^$"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(19)
    n = 240
    frame = pd.DataFrame({"z": rng.integers(0, 2, n), DOSE: rng.normal(size=n).round(1)})
    frame["income"], frame["sex"] = rng.choice(LEVELS, n), rng.choice(["f $", "m $"], n)
    frame[SITE] = np.char.add("$s$", rng.integers(0, 8, n).astype(str))
    frame[PAY] = frame["z"] + rng.normal(size=n) + rng.normal(size=8)[pd.factorize(frame[SITE])[0]]
    return frame


@pytest.fixture(scope="module")
def fit(data):
    return mx.lmer(f"`{PAY}` ~ z*income*sex + z*`{DOSE}` + (1 + `{DOSE}` | `{SITE}`)", data)


def texts(picture: Picture) -> set[str]:
    """What a drawn picture says; none of it a formula."""
    assert picture.render().startswith(b"\x89PNG")  # layout and drawing go through
    shown = [t for t in picture.figure.findobj(Text) if t.get_visible()]
    # Axes that count in powers of ten write their own numbers.
    formulas = {t.get_text() for t in shown if is_math_text(t.get_text()) and r"\mathdefault{" not in t.get_text()}
    assert not formulas
    return {" ".join(t.get_text().replace(r"\$", "$").split()) for t in shown}


@pytest.mark.parametrize("kind", _DRAW)
def test_pictures_of_effects(fit, data, kind):
    by, grid, options = {"matrix": ["income", "sex"], "lines": [DOSE, "income"]}.get(kind, "income"), None, {}
    if kind == "lines":
        grid = data.head(12)
    eff = mx.effects(fit, "z", by=by, newdata=grid)
    if kind == "prior":
        options = {"prior": eff}
    said = texts(eff.plot(kind, **options))
    if kind in ("forest", "ridges", "ranks", "matrix", "prior"):
        assert set(LEVELS) <= said
    assert kind == "ranks" or any(PAY in text for text in said)  # ranks have no unit


@pytest.mark.parametrize("kind", LMER_KINDS)
def test_pictures_of_fits(fit, kind):
    said = texts(fit.plot(kind, **({"parm": "sigma"} if kind == "profile" else {})))
    if kind in ("caterpillar", "slopes", "observed", "fitted"):
        assert any("$" in text for text in said)


def test_the_page_of_a_check_and_marginal_means(fit):
    assert any(DOSE in text for text in texts(fit.plot()))
    assert any(LEVELS[1] in text for text in texts(mx.emmeans(fit, "income").plot()))


@pytest.mark.parametrize("kind", [k for k in RMA_KINDS if k != "labbe"])
def test_pictures_of_meta_analyses(kind):
    """Names of studies are written beside points, which needs their size before the picture is done."""
    rng = np.random.default_rng(1)
    names = [*LEVELS, *(f"${i}$_^" for i in range(9))]
    trials = pd.DataFrame({"yi": rng.normal(0.3, 0.5, 12), "vi": 0.04, "study": names, DOSE: np.arange(12.0)})
    formula = f"yi ~ `{DOSE}`" if kind == "bubble" else "yi ~ 1"
    said = texts(mx.rma(formula, trials, slab="study").plot(kind))
    if kind == "forest":
        assert {"$0-$25k", "$a_$b$^{$"} <= said
    assert kind != "baujat" or any("$" in text for text in said)  # those that stand out are named


def test_the_legend_and_a_map_are_literal_and_what_a_caller_writes_later_is_his(fit):
    picture = mx.effects(fit, "z", by=["income", "sex"]).plot(colour="sex")
    assert {"f $", "m $"} <= texts(picture)
    picture.ax.set_title(r"$\tau^2$")
    assert is_math_text(picture.ax.get_title())
    cells = pd.DataFrame({"a$1$": [1.0, 1.0, 2.0, 2.0], "b$2$": ["$x$", "$y$"] * 2, "mean": [0.0, 1.0, 2.0, 3.0]})
    assert {"a$1$", "b$2$"} <= texts(Picture(dependence_map(cells, ("a$1$", "b$2$"), title="$t$")))


def test_other_panels_of_a_callers_figure_are_left_alone(fit):
    import matplotlib.pyplot as plt

    figure, (own, other) = plt.subplots(1, 2)
    try:
        other.set_title(r"$\tau^2$")
        mx.effects(fit, "z", by="income").plot(ax=own)
        assert other.get_title() == r"$\tau^2$"
        figure.canvas.draw()
        assert not any(is_math_text(label.get_text()) for label in own.get_yticklabels())
    finally:
        plt.close(figure)


@given(st.text(alphabet="$a\\ _^{}5", max_size=12))
def test_a_literal_text_is_no_formula_and_says_the_same(text):
    assert not is_math_text(literal(text))
    assert literal(literal(text)) == literal(text)
    assert literal(text).replace(r"\$", "$") == text.replace(r"\$", "$")
