"""A report for readers who have no Python: one HTML file with everything an answer rests on.

The page is made of what the answer and its fit already say (their own HTML), of pictures as PNG inside the text, and of
the code that asks the same question again. Nothing is loaded from elsewhere and nothing runs in it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from mixedfx.effects.mean_fit import MeanFit
from mixedfx.effects.pictures import EffectsPictures
from mixedfx.effects.render import content
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.treatment import PER_UNIT, STYLES, Treatment, pairs_of
from mixedfx.errors import MixedfxError
from mixedfx.families.registry import find_family

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #e4e4e4; text-align: left; }
td[style*="right"], th[style*="right"] { text-align: right; }
caption { text-align: left; font-weight: 600; padding-top: 1rem; }
figure { display: inline-block; vertical-align: top; margin: 0.5rem 1rem 0.5rem 0; max-width: 27rem; }
figure img { max-width: 100%; } figcaption { font-size: 0.85rem; color: #444; }
pre { background: #f6f6f6; padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
.caveat { border-left: 4px solid #D55E00; padding: 0.1rem 0.8rem; background: #fdf5ef; }
footer { margin-top: 3rem; font-size: 0.8rem; color: #666; }
"""

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


def report(effects: EffectsPictures, title: str | None = None, data: str = "data") -> str:
    """The page as text; see `Effects.to_html`."""
    shown = content(effects, max_rows=None)
    heading = title or shown.title
    pictures, left_out = _pictures(effects)
    caveats = [effects.uncertainty, *effects.notes, *(f"Warning: {text}" for text in effects.warnings)]
    what = "" if title is None else f"{escape(shown.title)}. "
    parts = [
        f"<h1>{escape(heading)}</h1>",
        f"<p>{what}Model: <code>{escape(str(effects.fit.design.formula))}</code></p>",
        "<h2>What to keep in mind</h2>",
        '<div class="caveat">' + "".join(f"<p>{escape(text)}</p>" for text in caveats) + "</div>",
        "<h2>Table</h2>",
        shown.html(),
        "<h2>Pictures</h2>",
        *pictures,
        *(f"<p>{escape(text)}</p>" for text in left_out),
        *_model(effects),
        "<h2>How it was computed</h2>",
        *(f"<p>{escape(text)}</p>" for text in computed(effects)),
        "<h2>Code</h2>",
        f"<pre><code>{escape(code(effects, data))}</code></pre>",
        f"<footer>{escape(_versions())}</footer>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(heading)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _pictures(effects: EffectsPictures) -> tuple[list[str], list[str]]:
    drawn, left_out = [], []
    for kind, caption in PICTURES:
        if kind != "funnel" and len(effects) > MOST_ROWS:
            left_out.append(
                f"Not drawn, {kind}: the table has {len(effects):,} rows, too many to be read in a picture."
            )
            continue
        try:
            picture = effects.plot(kind)  # pyright: ignore[reportArgumentType]
        except MixedfxError as error:
            left_out.append(f"Not drawn, {kind}: {getattr(error, 'message', error)}.")
            continue
        source = base64.b64encode(picture.render(dpi=150)).decode("ascii")
        image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{source}">'
        drawn.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
    return drawn, left_out


def _model(effects: EffectsPictures) -> list[str]:
    """What the fit says of itself: its summary, and for a posterior its priors and diagnostics."""
    fit: Any = effects.fit
    parts = []
    for heading, name in (("Model", "summary"), ("Priors", "prior_summary"), ("Diagnostics", "diagnostics")):
        if hasattr(fit, name):
            parts += [f"<h2>{heading}</h2>", getattr(fit, name)()._repr_html_()]
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
    design = fit.design
    options, comments = [], []
    if isinstance(fit, ReportedFit) and fit.direct:
        return "# what is given besides the data: as in the original question"
    if isinstance(fit, ReportedFit):
        return f"fit = {fit.code.replace('data', data, 1)}"
    if isinstance(fit, MeanFit):
        return "# fit: what predicted the means, as it was made"
    posterior = fit.posterior
    if posterior:
        family = find_family(fit.family.name)
        if fit.family.link.name != family.link.name:
            options.append(f"family=mx.families.{family.name}(link={fit.family.link.name!r})")
        elif family.name != "gaussian":
            options.append(f"family={family.name!r}")
        if fit.n_draws != 4000:
            options.append(f"draws={fit.n_draws}")
        options.append(f"seed={fit.seed}")
        if fit.priors.name in ("rstanarm", "brms"):
            options.append(f"priors={fit.priors.name!r}")
        elif fit.priors.name != "default":
            comments.append(f"priors: {fit.priors.name}")
    elif not fit.REML:
        options.append("REML=False")
    given = {
        "weights": design.weights is not None,
        "offset": design.spec.given_offset is not None,
        "contrasts": bool(design.spec.contrasts),
        "env": bool(design.spec.env),
    }
    left = [f"{name}=" for name, there in given.items() if there]
    if left:
        comments.append(f"{' and '.join(left)} as in the original fit")
    call = ", ".join([repr(str(design.formula)), data, *options])
    return f"fit = mx.{'bayes' if posterior else 'lmer'}({call})" + (f"  # {'; '.join(comments)}" if comments else "")


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


def _versions() -> str:
    import sys
    from importlib.metadata import version

    names = ", ".join(f"{name} {version(name)}" for name in ("mixedfx", "numpy", "scipy", "pandas"))
    return f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with {names}, Python {sys.version.split()[0]}."
