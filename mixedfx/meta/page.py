"""The report of a meta-analysis: what `report()` of `mixedfx.rma` and `mixedfx.rma_mv` fits gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.inference.fit_report import HEADERS, pictures_of, renamed
from mixedfx.meta.effect_sizes.measures import MEASURES
from mixedfx.output import write_whole
from mixedfx.results.frames import frame_table
from mixedfx.results.numbers import decimals
from mixedfx.results.page import Page, software
from mixedfx.results.render import SummaryContent
from mixedfx.results.sentences import listed, sized

FEW = 10  # estimates below which tests by z are said to suppose many
MOST = 3  # coefficients that each get a sentence
PICTURES = (
    ("forest", "Each estimate with its interval, the mean below them."),
    ("funnel", "Estimates against their standard errors: small ones scatter widely, and should do so to both sides."),
    ("bubble", "Estimates over the moderator, larger where they weigh more, with the line of the regression."),
    ("baujat", "Which estimates make for heterogeneity, and which for the mean."),
)


def meta_report(
    fit: Any,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    data: str = "data",
    labels: Mapping[str, str] | None = None,
    level: float | None = None,
) -> str:
    """The page as text, and as a file where a path is given; see `RmaFit.report`."""
    page = meta_page(fit, title, data, labels or {}, fit.level if level is None else level).html()
    if path is not None:
        write_whole(path, page.encode())
    return page


def meta_page(fit: Any, title: str | None, data: str, labels: Mapping[str, str], level: float) -> Page:
    """What the report of a meta-analysis holds."""
    moderated = tuple(fit.names) != ("Intercept",)
    response = labels.get(fit.design.response_name, fit.design.response_name)
    figures, left_out = pictures_of(fit, [p for p in PICTURES if p[0] != "bubble" or moderated])
    table = frame_table(fit.tidy(level=level), f"Coefficients, {100 * level:g} % intervals")
    return Page(
        title=title
        or (f"What {response} depends on: {fit.k} estimates" if moderated else f"{fit.k} estimates of {response}"),
        answer=meta_answer(fit, labels, level),
        model=str(fit.formula),
        caveats=_caveats(fit),
        table=SummaryContent("Coefficients", (renamed(table, HEADERS),)).html(),
        figures=figures,
        left_out=tuple(text for text in left_out if "bubble" not in text and "baujat" not in text),
        sections=(("Summary", fit.summary()._repr_html_()),),
        methods=meta_methods(fit),
        code="\n".join(["import mixedfx as mx", "", meta_code(fit, data), "print(fit.summary())"]),
    )


def meta_answer(fit: Any, labels: Mapping[str, str] | None = None, level: float = 0.95) -> tuple[str, ...]:
    """The mean or the coefficients, and how far true effects differ, in sentences.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.meta.page import meta_answer
    >>> fit = mx.rma("yi ~ 1", mx.datasets.load("school_calendars"))
    >>> print(" ".join(meta_answer(fit)))
    The average of 56 effects is 0.128 (95 % interval 0.042 to 0.214). True effects vary around it with a standard
    deviation (tau) of 0.297: 95 % of those of further studies are expected between -0.461 and 0.717.
    """
    labels = labels or {}
    table = fit.tidy(level=level).set_index("term")
    percent = f"{100 * level:g} %"
    out = []
    for name in list(table.index)[: MOST + 1]:
        row: Any = table.loc[name]
        places = max(decimals([float(row["std_error"])], 2), 0)
        text = f"{sized(row['estimate'], places)} ({percent} interval {sized(row['conf_low'], places)} to "
        text += f"{sized(row['conf_high'], places)})"
        if tuple(fit.names) == ("Intercept",):
            out.append(f"The average of {fit.k} effects is {text}.")
        elif name != "Intercept":
            out.append(f"The coefficient of {labels.get(name, name)} is {text}.")
    tau = getattr(fit, "tau", None)
    if tuple(fit.names) == ("Intercept",):
        mean: Any = fit.predict(level=level).iloc[0]
        places = decimals([float(table["std_error"].iloc[0])], 2)
        expected = ""
        if "pred_low" in mean and np.isfinite(mean["pred_low"]):
            expected = f"{percent} of those of further studies are expected between {sized(mean['pred_low'], places)}"
            expected += f" and {sized(mean['pred_high'], places)}"
        if tau is not None and np.isfinite(tau) and getattr(fit, "estimator", None) and fit.estimator.heterogeneous:
            out.append(f"True effects vary around it with a standard deviation (tau) of {sized(tau, places)}"
                       + (f": {expected}." if expected else "."))  # fmt: skip
        elif expected:
            out.append(f"True effects vary around it: {expected}.")
    elif tau is not None and np.isfinite(tau):
        out.append(f"True effects vary around these means with a standard deviation (tau) of {tau:.3g}.")
    return tuple(out)


def _caveats(fit: Any) -> tuple[str, ...]:
    texts = []
    if fit.k <= FEW and fit.test == "z":
        better = 'test="knha"' if hasattr(fit, "tau2") else 'test="t"'
        texts.append(f"Tests by z suppose many estimates, and there are {fit.k}: {better} allows for that.")
    model = getattr(fit, "model", None)
    if model is not None and model.singular:
        texts.append(f"The fit is singular: {model.singularity.found}.")
    rows = fit.design.rows
    if rows.dropped_missing:
        texts.append(f"{rows.dropped_missing:,} of {rows.total:,} rows have missing values and were left out.")
    texts.append("Nothing here corrects for estimates that were not published; see the funnel.")
    return tuple(texts)


def meta_methods(fit: Any) -> str:
    """A paragraph for the methods section."""
    moderated = tuple(fit.names) != ("Intercept",)
    kind = "meta-regression" if moderated else "meta-analysis"
    measure = getattr(fit, "measure", None)
    of = f" ({MEASURES[measure].title.lower()})" if measure in MEASURES else ""
    model = getattr(fit, "model", None)
    if model is not None:
        groups = [f"{term.n_levels} levels of {term.label}" for term in model.design.random]
        text = (
            f"We fitted a multilevel {kind} of {fit.k} estimates{of} ({listed(groups)}), {fit.formula}, by {fit.method}"
        )
    else:
        random = "an equal-effects" if not fit.estimator.heterogeneous else "a random-effects"
        text = f"We fitted {random} {kind} of {fit.k} estimates{of}, {fit.formula}"
        text += f", the between-study variance estimated by {fit.estimator.title}" * fit.estimator.heterogeneous
    words = {
        "z": "the normal distribution", "t": "the t distribution", "knha": "Knapp and Hartung's method",
        "adhoc": "Knapp and Hartung's method where it gives the larger standard error",
    }  # fmt: skip
    q = f"Cochran's Q was {fit.QE:.2f} on {fit.k - fit.p} degrees of freedom"
    return f"{text}, with {software()}. Tests and intervals rest on {words.get(fit.test, fit.test)}. {q}."


def meta_code(fit: Any, data: str = "data") -> str:
    """The line that fits the model again.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.meta.page import meta_code
    >>> print(meta_code(mx.rma("yi ~ 1", mx.datasets.load("school_calendars"), test="knha"), "schools"))
    fit = mx.rma('yi ~ 1', schools, test='knha')
    """
    if getattr(fit, "model", None) is not None:
        options = [f"{n}={v!r}" for n, v, d in (("method", fit.method, "REML"), ("test", fit.test, "z"),
                   ("level", fit.level, 0.95)) if v != d]  # fmt: skip
        written = ", ".join([repr(str(fit.formula)), data, *options])
        return f"fit = mx.rma_mv({written})  # vi= or V= as in the original fit"
    options, left = [], []
    for field in fields(fit.call):
        value = getattr(fit.call, field.name)
        if field.name in ("formula", "data") or value is field.default:
            continue
        if isinstance(value, str | int | float):
            if value != field.default:
                options.append(f"{field.name}={value!r}")
        else:
            left.append(f"{field.name}=")
    note = f"  # {' and '.join(left)} as in the original fit" if left else ""
    return f"fit = mx.rma({', '.join([repr(str(fit.formula)), data, *options])}){note}"
