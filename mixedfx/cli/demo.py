"""`mixedfx demo`: the effect of small classes in Project STAR by race, gender and school lunch."""

from __future__ import annotations

from pathlib import Path

import mixedfx as mx
from mixedfx.cli.ask import picture
from mixedfx.cli.show import say, show_summary, working
from mixedfx.effects.render import content
from mixedfx.errors import MissingPackageError
from mixedfx.output import write_whole

PICTURE = Path("demo-output") / "star_forest.png"
FORMULA = "math ~ small * race + small * gender + small * lunch + (1 + small | sch)"
BY = ["race", "gender", "lunch"]

INTRODUCTION = """\
Project STAR, Tennessee 1985: kindergartners were assigned at random, within their school, to small classes (13 to 17
pupils) or regular ones (22 to 25). By how many points of the mathematics test do small classes change the result, and
for whom? The effect varies by race, gender, school lunch (free: from a poor family) and school:
"""

IN_PYTHON = """
The same in Python:

    import mixedfx as mx
    fit = mx.lmer("{formula}", mx.datasets.load("star"))
    eff = mx.effects(fit, "small", by={by})
    {last}
"""


def run_demo(plot: Path) -> None:
    """Fit the STAR model; print its summary and the effects; write the forest plot.

    Without matplotlib it is in a page to explore, which the reader's browser draws.

    Parameters
    ----------
    plot
        Where the picture goes; its folder exists.
    """
    say(INTRODUCTION)
    star = mx.datasets.load("star")
    with working("fitting the model"):
        fit = mx.lmer(FORMULA, star)
    show_summary(fit.summary())
    with working("averaging effects"):
        eff = mx.effects(fit, "small", by=BY)
    say()
    show_summary(content(eff))
    try:
        with working("drawing"):
            drawn = picture({"by": eff}, plot.suffix)
    except MissingPackageError as error:
        page = plot.with_suffix(".html")
        eff.explore(page, unit="points")
        last = 'eff.explore("star_forest.html")'
        say(f"\nforest plot, in a page to explore: {page.resolve()}\n{error.message} ({error.hint}).")
    else:
        last = 'eff.plot().save("star_forest.png")'
        write_whole(plot, drawn)
        say(f"\nforest plot: {plot.resolve()}")
    say(IN_PYTHON.format(formula=FORMULA, by=str(BY).replace("'", '"'), last=last))
