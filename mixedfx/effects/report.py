"""A report for readers who have no Python: one HTML file with everything an answer rests on.

The page is made of what the answer and its fit already say (their own HTML), of pictures as PNG inside the text, and of
the code that asks the same question again. Nothing is loaded from elsewhere and nothing runs in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mixedfx.effects.answer import answer, caveats, other_notes
from mixedfx.effects.mean_fit import MeanFit
from mixedfx.effects.paper import effects_sheet
from mixedfx.effects.pictures import EffectsPictures
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.treatment import PER_UNIT, STYLES, Treatment, pairs_of
from mixedfx.effects.wording import PLAIN, Wording
from mixedfx.errors import MixedfxError
from mixedfx.inference.fit_words import fit_code, methods_paragraph
from mixedfx.results.page import Figure, Page, not_drawn
from mixedfx.results.sentences import listed

# A picture with a line for each row of the table is read up to so many.
MOST_ROWS = 150
# Kind of picture, and what it shows. Those that a table does not allow are left out, and the page says why.
PICTURES = (
    ("forest", "Estimates with 50 % intervals and intervals at the level of the table; numbers of rows at the right."),
    ("matrix", "The crossing; the smaller a square, the less certain its sign."),
    ("pooling", "From what the rows of each subgroup say alone to what the model says."),
    ("funnel", "Raw and pooled estimates against the number of rows: small subgroups scatter widely by chance."),
    ("ranks", "Probability of each rank: a league table is only as good as this is dark on the diagonal."),
)


def report(
    effects: EffectsPictures,
    title: str | None = None,
    data: str = "data",
    labels: Mapping[Any, str] | None = None,
    unit: str = "",
    plural: bool = False,
) -> str:
    """The page as text; see `Effects.to_html`."""
    wording = Wording(labels or {}, unit, plural)
    how = computed(effects)
    figures, left_out = _pictures(effects, wording)
    page = Page(
        title=title or title_of(effects, wording),
        answer=answer(effects, wording),
        model=str(effects.fit.design.formula),
        caveats=(
            *(f"Warning: {text}" for text in caveats(effects)),
            *other_notes(effects),
            effects.uncertainty,
        ),
        table=table_html(effects, wording),
        figures=figures,
        left_out=left_out,
        sections=tuple(_model(effects)),
        computed=tuple(how),
        methods=_methods(effects, how),
        code=code(effects, data),
    )
    return page.html()


def title_of(effects: EffectsPictures, wording: Wording = PLAIN) -> str:
    """The question in words, as a heading.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.effects.report import title_of
    >>> fit = mx.lmer("math ~ small*race + (1 | sch)", mx.datasets.load("star"))
    >>> title_of(mx.effects(fit, "small", by="race"))
    'What small does to math, by race'
    """
    keys = [wording.name(k) for k in effects.keys if k not in ("margin", "subgroup", "against")]
    by = f", by {listed(keys)}" if keys else ""
    if "against" in effects.keys:
        by += ": differences between subgroups"
    if effects.comparison is None:
        return f"Average {wording.name(effects.response)}{by}"
    do = "do" if wording.plural else "does"
    return f"What {wording.name(effects.treatment)} {do} to {wording.name(effects.response)}{by}"


def table_html(effects: EffectsPictures, wording: Wording = PLAIN) -> str:
    """The table alone, every row, under headers for people; caveats are elsewhere on the page."""
    return replace(effects_sheet(effects, wording.labels), notes=()).to_html()


def _methods(effects: EffectsPictures, how: Sequence[str]) -> str:
    """A paragraph for a paper: the model, then how effects were made of it."""
    fit = effects.fit
    known = not isinstance(fit, ReportedFit | MeanFit)
    if not known:
        return " ".join(how)
    return " ".join([methods_paragraph(fit), *(text for text in how if not text.startswith("The model was fitted"))])


def _pictures(effects: EffectsPictures, wording: Wording) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    drawn, left_out = [], []
    for kind, caption in PICTURES:
        if kind != "funnel" and len(effects) > MOST_ROWS:
            left_out.append(
                f"Not drawn, {kind}: the table has {len(effects):,} rows, too many to be read in a picture."
            )
            continue
        try:
            picture = effects.plot(
                kind,  # pyright: ignore[reportArgumentType]
                labels=wording.labels, unit=wording.unit,
            )  # fmt: skip
        except MixedfxError as error:
            left_out.append(not_drawn(kind, error))
            continue
        drawn.append(Figure(picture.render(dpi=150), caption))
    return tuple(drawn), tuple(dict.fromkeys(left_out))


def _model(effects: EffectsPictures) -> list[tuple[str, str]]:
    """What the fit says of itself: its summary, and for a posterior its priors and diagnostics."""
    fit: Any = effects.fit
    parts = []
    for heading, name in (("Model", "summary"), ("Priors", "prior_summary"), ("Diagnostics", "diagnostics")):
        if hasattr(fit, name):
            parts.append((heading, getattr(fit, name)()._repr_html_()))
    return parts


def computed(effects: EffectsPictures) -> list[str]:
    """How the numbers were made, in sentences."""
    question = effects.question
    design = effects.fit.design
    if isinstance(effects.fit, ReportedFit):
        return list(effects.fit.how) or [
            f"{len(design.y):,} reported estimates with known errors were put to the model above.",
            "Effects of subgroups are averages over the reported ones that they hold, by weight, from the joint "
            "distribution of all.",
        ]
    sentences = []
    if question.comparison is not None and question.treated.kind == "unit":
        sentences.append(f"Every row is taken twice: as it is, and with one unit of {effects.treatment} more.")
    elif question.comparison is not None:
        values = ", ".join(str(v) for v in question.treated.values)
        sentences.append(f"Every row is taken with {effects.treatment} set to each of: {values}.")
    sentences.append(
        "Predicted outcomes are averaged over the rows of each subgroup, by weight, on the scale of the "
        f"{question.scale}" + ("." if question.comparison is None else ", then compared.")
    )
    groups = {
        "fitted": "Groups keep their estimated effects.",
        "average": "Random effects are set to zero: numbers are for an average group.",
        "integrate": "Outcomes are averaged over the population of groups.",
    }
    sentences.append(groups[question.groups])
    rows = f"{len(design.y):,} rows"
    dropped = design.rows.dropped_missing + design.rows.dropped_zero_weight
    sentences.append(f"The model was fitted to {rows}" + (f"; {dropped:,} were left out." if dropped else "."))
    return sentences


def code(effects: EffectsPictures, data: str = "data") -> str:
    """Python code that asks the same question again; what cannot be written down is named in a comment."""
    question = effects.question
    lines = ["import mixedfx as mx", "", _fit_line(effects.fit, data)]
    asked = [f"by={_by(question.plan)}"]
    if question.plan.queries is not None:
        asked = [f"subgroups={ {name: query.text for name, query in question.plan.queries.items()}!r}"]
    elif question.plan.margins == ((),):
        asked = []
    for name, value, default in (
        ("scale", question.scale, "response"),
        ("groups", question.groups, "fitted"),
        ("new_levels", question.new_levels, "sample"),
        ("level", effects.level, 0.95),
        ("uncertainty", question.uncertainty, "full"),
        ("seed", effects.seed, None),
        ("bias_adjust", question.bias_adjust, False),
    ):
        if value != default:
            asked.append(f"{name}={value!r}")
    given = ["newdata"] if question.newdata else []
    if question.weights == "weights":
        asked.append("weights=weights")
        given.append("weights")
    elif question.weights is not None:
        asked.append(f"weights={question.weights!r}")
    if isinstance(effects.fit, ReportedFit) and effects.fit.direct:
        lines.append(f"eff = {', '.join([effects.fit.code.replace('data', data, 1), *asked])})")
    elif isinstance(effects.fit, ReportedFit):
        by = [] if question.plan.margins == (tuple(effects.fit.frame.columns),) else asked[:1]
        lines.append(f"eff = fit.effects({', '.join([*effects.fit.asked, *by, *asked[1:]])})")
    elif question.comparison is None:
        call = ["fit", "newdata" if question.newdata else "None", *asked]
        lines.append(f"eff = mx.poststratify({', '.join(call)})")
    else:
        if question.comparison.name != "difference":
            asked.insert(0, f"comparison={question.comparison.name!r}")
        if question.newdata:
            asked.append("newdata=newdata")
        lines.append(f"eff = mx.effects({', '.join(['fit', _treatment(question.treated), *asked])})")
    if given:
        lines[-1] += f"  # {' and '.join(given)} as in the original question"
    if effects.aspect:
        lines.append("eff = eff.interaction_excess()")
    if "against" in effects.keys:
        lines.append("# eff = eff.contrast(...), as the table says")
    lines.append("print(eff.table)")
    return "\n".join(lines)


def _fit_line(fit: Any, data: str) -> str:
    """The call that fits the model."""
    if isinstance(fit, ReportedFit) and fit.direct:
        return "# what is given besides the data: as in the original question"
    if isinstance(fit, ReportedFit):
        return f"fit = {fit.code.replace('data', data, 1)}"
    if isinstance(fit, MeanFit):
        return "# fit: what predicted the means, as it was made"
    return fit_code(fit, data)


def _treatment(treated: Treatment) -> str:
    """The argument `treatment`."""
    if treated.kind != "levels":
        return repr({treated.column: PER_UNIT})
    values = [_plain(v) for v in treated.values]
    for style in STYLES[1:]:
        if len(values) > 2 and treated.pairs == pairs_of(len(values), style):
            # The pairing, for all levels in their own order; chosen levels have the first as their base.
            return repr({treated.column: style})
    return repr({treated.column: values})


def _by(plan: Any) -> str:
    margins: Sequence[Sequence[str]] = plan.margins
    return repr([list(m) for m in margins]) if plan.several else repr(list(margins[0]) if margins else None)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
