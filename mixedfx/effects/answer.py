"""What a table of effects answers, in sentences: from an `EffectsState` to the claims of `mixedfx.results.sentences`.

The answer begins with the number for all rows, one sentence for each comparison of treatment values, and says then how
far the subgroups are apart. What would change it (a sampler that failed, a singular fit, numbers that the data do not
determine) stands beside it: `caveats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.effects.ranks import chances_of_values
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.wording import PLAIN, Wording
from mixedfx.results.numbers import decimals
from mixedfx.results.sentences import (
    Claim,
    Form,
    average_sentence,
    best_sentence,
    difference_sentence,
    effect_sentence,
    range_sentence,
)

if TYPE_CHECKING:
    from mixedfx.effects.state import EffectsState

MOST = 3  # comparisons that each get a sentence; more are a table
FORMS: Mapping[str, tuple[Form, str, str]] = {
    # comparison -> form, what stands before the outcome, unit
    "difference": ("add", "", ""),
    "risk_difference": ("add", "", ""),
    "ratio": ("times", "", ""),
    "lnratio": ("add", "the logarithm of ", ""),
    "lift": ("add", "", "%"),
    "odds_ratio": ("times", "the odds of ", ""),
    "log_odds_ratio": ("add", "the log odds of ", ""),
}


def answer(effects: EffectsState, wording: Wording = PLAIN) -> tuple[str, ...]:
    """The sentences of an answer, the most important first."""
    table = effects.table
    if "against" in effects.keys or effects.aspect:
        return _of_contrasts(effects, wording)
    claims, sentences = _overall_claims(effects, wording), []
    say = average_sentence if effects.comparison is None else effect_sentence
    if 0 < len(claims) <= MOST:
        sentences = [say(claim) for claim in claims]
        sentences[1:] = [say(replace(claim, about="")) for claim in claims[1:]]
    subgroups = list(dict.fromkeys(effects.labels))
    if len(subgroups) > 1 and len(table) == len(subgroups):
        sentences.append(_range(effects, wording, "averages" if effects.comparison is None else "estimates"))
    return (*(sentences or [_range(effects, wording, "estimates")]), *_best(effects, wording))


def _best(effects: EffectsState, wording: Wording) -> tuple[str, ...]:
    """Which value of the treatment leads to most, where three or more compete; `Effects.rank` has all of it."""
    chances = chances_of_values(effects)
    if chances is None:
        return ()
    treated = effects.question.treated
    names = [wording.name(value) for value in treated.values]
    return (
        best_sentence(names, chances.tolist(), wording.name(treated.column), outcome_of(effects, None, wording)[0]),
    )


def caveats(effects: EffectsState) -> tuple[str, ...]:
    """What changes the answer: warnings of the question, what speaks against the fit, what is not estimable."""
    concerns = [text for _, text in effects.fit.concerns]
    lost = [note for note in effects.notes if note.startswith("Not estimable")]
    return tuple(dict.fromkeys(" ".join(text.split()) for text in (*concerns, *effects.warnings, *lost)))


def other_notes(effects: EffectsState) -> tuple[str, ...]:
    """Notes that are no caveats."""
    said = set(caveats(effects))
    return tuple(note for note in effects.notes if " ".join(note.split()) not in said)


def cause_of(effects: EffectsState, pair: int, wording: Wording = PLAIN) -> str:
    """What one comparison of treatment values compares: ``"small (1 against 0)"``."""
    treated = effects.question.treated
    name = wording.name(treated.column)
    if treated.kind == "unit":
        return f"one unit more of {name}"
    high, low = (treated.values[k] for k in treated.pairs[pair])
    if treated.column in wording.labels and {high, low} == {0, 1}:
        return name  # "small classes", whose values say no more
    return f"{name} ({wording.name(high)} against {wording.name(low)})"


def outcome_of(effects: EffectsState, category: Any = None, wording: Wording = PLAIN) -> tuple[str, float, str]:
    """What the numbers are about, what they are multiplied by to be said, and their unit."""
    name = wording.name(effects.response)
    question, comparison = effects.question, effects.comparison
    if question.scale == "link" and not effects.fit.family.identity:
        return f"the linear predictor ({effects.fit.family.link.name}) of {name}", 1.0, ""
    if category is not None:
        name = f"{name} = {wording.name(category)}"
    family = effects.fit.family
    chance = family.categories or family.outcome in ("binary", "trials")
    kind = "average" if comparison is None else comparison.name
    if comparison is not None and comparison.coefficients is not None and abs(comparison.coefficients[0]) != 1.0:
        return name, 1.0, f"per {abs(comparison.coefficients[0]):,.10g}"
    if chance and kind in ("average", "difference", "risk_difference"):
        return f"the probability of {name}", 100.0, "%" if comparison is None else "percentage points"
    before, unit = ("", "") if comparison is None else FORMS[kind][1:] if kind in FORMS else ("", "")
    if chance and kind in ("ratio", "lift", "lnratio"):
        name = f"the probability of {name}"
    own = kind in ("average", "difference", "risk_difference")
    return before + name, 1.0, unit or (wording.unit if own else "")


def whom(effects: EffectsState, count: int) -> str:
    """Whom an answer for all rows is about, as a sentence begins."""
    question = effects.question
    start = "On average" if effects.comparison is not None else "Over all"
    if isinstance(effects.fit, ReportedFit):
        return f"{start} over all subgroups" if effects.comparison is not None else "Over all subgroups"
    rows = f"{count:,} rows" + (" of newdata" if question.newdata else "")
    text = f"{start} over {rows}" if effects.comparison is not None else f"Over {rows}"
    if isinstance(question.weights, str):
        text += " by weight"
    if question.groups == "average":
        text += ", in an average group"
    elif question.groups == "integrate":
        text += " and over the population of groups"
    return text


def places_of(sd: float, factor: float = 1.0) -> int:
    """Decimals that show two significant digits of a standard deviation."""
    return decimals([sd * factor], 2) if np.isfinite(sd) and sd > 0 else 2


def _overall_claims(effects: EffectsState, wording: Wording) -> list[Claim]:
    overall = effects.overall
    if overall is None:
        return []
    comparison = effects.comparison
    null = comparison.null if comparison is not None else 0.0
    numbers = overall.quantities.summary(effects.level, null)
    about = whom(effects, overall.count)
    categories: tuple[Any, ...] = (None,)
    if effects.averages is not None and effects.averages.categories is not None:
        categories = tuple(effects.averages.categories)
    pairs = range(len(effects.question.treated.pairs)) if comparison is not None else (None,)
    asked = [(pair, category) for pair in pairs for category in categories]
    if len(asked) != len(numbers):
        return []
    return [
        _claim(effects, numbers.iloc[i], pair, category, wording, about) for i, (pair, category) in enumerate(asked)
    ]


def _claim(
    effects: EffectsState, row: Any, pair: int | None, category: Any, wording: Wording, about: str = ""
) -> Claim:
    outcome, factor, unit = outcome_of(effects, category, wording)
    comparison = effects.comparison
    form: Form = "add" if comparison is None else FORMS.get(comparison.name, ("add", "", ""))[0]
    return Claim(
        cause="" if pair is None else cause_of(effects, pair, wording),
        outcome=outcome,
        estimate=float(row["estimate"]) * factor,
        lower=float(row["lower"]) * factor,
        upper=float(row["upper"]) * factor,
        level=effects.level,
        null=0.0 if comparison is None else comparison.null * factor,
        form=form,
        unit=unit,
        places=places_of(float(row["sd"]), factor),
        about=about,
        plural=wording.plural and pair is not None and effects.question.treated.column in wording.labels,
    )


def _of_contrasts(effects: EffectsState, wording: Wording) -> tuple[str, ...]:
    """Differences between subgroups, and excesses."""
    table = effects.table
    if len(table) == 1 and "against" in table and effects.comparison is not None and not effects.aspect:
        row = table.iloc[0]
        claim = _claim(effects, row, None, row.get("category"), wording)
        names = [wording.name(row[k]) for k in effects.keys if k not in ("against", "margin")]
        cause = cause_of(effects, 0, wording) if len(effects.question.treated.pairs) == 1 else str(row["contrast"])
        claim = replace(claim, cause=", ".join(names), outcome=f"the effect of {cause} on {claim.outcome}", null=0.0)
        against = str(row["against"])
        if len(names) == 1:
            against = against.removeprefix(f"{effects.keys[0]}=")
        return (difference_sentence(claim, wording.name(against)),)
    noun = f"{effects.aspect}es" if effects.aspect else "differences"
    return (_range(effects, wording, noun),)


def _range(effects: EffectsState, wording: Wording, noun: str) -> str:
    table = effects.table
    _, factor, unit = outcome_of(effects, None, wording)
    estimate, lower, upper = (table[c].to_numpy(dtype=float) * factor for c in ("estimate", "lower", "upper"))
    names = [wording.labels.get(label, label) for label in row_names(effects)]
    null = float(table["null"].iloc[0]) * factor if "null" in table else None
    sd = table["sd"].to_numpy(dtype=float)
    known = sd[np.isfinite(sd) & (sd > 0)]
    places = places_of(float(np.median(known)) if known.size else np.nan, factor)
    return range_sentence(
        names, estimate.tolist(), lower.tolist(), upper.tolist(), null=null, unit=unit, places=places, noun=noun
    )


def row_names(effects: EffectsState) -> list[str]:
    """One text for each row of the table: what tells it from the others."""
    columns = [c for c in effects.names if c != "margin" and len(set(effects.table[c])) > 1] or list(effects.keys)
    rows = effects.table[columns].astype(str).itertuples(index=False)
    return [", ".join(part for part in row if part != "(all)") or "all" for row in rows]
