"""`answers`: three numbers that all answer "is there an effect?", side by side, and why they differ.

1. The **coefficient** of the treatment: its effect where every variable it interacts with is at its reference level
   or at zero, on the scale of the linear predictor, in the middle of the population of groups.
2. The average over **these groups**: what the treatment does to the rows as they are, in the groups they are in. A
   group whose effect is large counts with that effect, which is known as well as its rows tell it.
3. The average over **the population of groups**: what to expect in groups like these that are not in the data. That
   effects differ between groups is part of its uncertainty, so its interval is the widest one under random slopes.

On the identity link and without interactions all three estimate one number; the intervals differ where effects vary
between groups. Off it the second and third are averages of outcomes, and the coefficient is not.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import column, to_pandas
from mixedfx.design.labels import level_label
from mixedfx.effects.answer import cause_of, outcome_of, places_of
from mixedfx.effects.effects import effects
from mixedfx.effects.result import Effects
from mixedfx.effects.treatment import TreatmentLike
from mixedfx.errors import MixedfxWarning, OptionError
from mixedfx.results.numbers import column as numbers
from mixedfx.results.numbers import p_values
from mixedfx.results.protocol import Fit
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.sentences import listed
from mixedfx.results.tables import term_names


@dataclass(frozen=True, eq=False, repr=False)
class Answers(Shown):
    """The answers to "is there an effect?", as `mixedfx.answers` returns them.

    Attributes
    ----------
    table
        One row for each answer and comparison: answer, about, contrast, estimate, sd, lower, upper, df, p_value (of
        coefficients of fits by REML or maximum likelihood; NaN elsewhere), prob_above_null (NaN of coefficients).
    reasons
        Why the answers differ, or that they do not, a sentence each.
    effects
        ``"these groups"`` and the others -> the effects behind the row, to ask more of.
    title
        The question.
    level
        Probability the intervals hold.
    """

    table: pd.DataFrame
    reasons: tuple[str, ...]
    effects: dict[str, Effects]
    title: str
    level: float

    def content(self) -> SummaryContent:
        """The table, and why its rows differ."""
        places = places_of(float(np.median(self.table["sd"].to_numpy(dtype=float))))
        cells = [
            self.table["answer"].tolist(),
            self.table["contrast"].tolist(),
            *(numbers(self.table[c], places=places) for c in ("estimate", "sd", "lower", "upper")),
            numbers(self.table["df"], places=1),
            p_values(self.table["p_value"]),
            numbers(self.table["prob_above_null"], places=3),
        ]
        header = ("Answer", "Of", "Estimate", "Std. error", "Lower", "Upper", "df", "p", "P(> null)")
        body = SummaryTable(f"{100 * self.level:g} % intervals", header, tuple(zip(*cells, strict=True)), "llrrrrrrr")
        about = dict(zip(self.table["answer"], self.table["about"], strict=True))
        facts = [*((name[:1].upper() + name[1:], text) for name, text in about.items())]
        facts.append(("Why they differ", " ".join(self.reasons)))
        return SummaryContent(self.title, (body, SummaryFacts(tuple(facts))))


ABOUT = {
    "these groups": "the rows of the data, each in the group it is in: what the treatment did here.",
    "population of groups": "groups like these that are not in the data: what to expect of a policy elsewhere.",
    "average group": "one group in the middle of the population, all random effects at zero.",
}


def answers(
    fit: Fit, treatment: TreatmentLike, newdata: Any = None, weights: Any = None, level: float = 0.95,
    seed: int | None = None,
) -> Answers:  # fmt: skip
    """The three answers to "is there an effect?" in one table, with the reasons why they differ.

    Parameters
    ----------
    fit
        A fit of `mixedfx.lmer`, `mixedfx.glmer` or `mixedfx.bayes`.
    treatment, newdata, weights, level, seed
        As for `mixedfx.effects`.

    Returns
    -------
    Answers
        Prints as a page; ``.table``, ``.reasons``, ``.effects``.

    Raises
    ------
    OptionError
        What has no coefficients, such as a learner.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("math ~ small + (1 + small | sch)", mx.datasets.load("star"))
    >>> found = mx.answers(fit, "small")
    >>> print(found.table[["answer", "estimate", "sd"]].round(2).to_string(index=False))
                  answer  estimate   sd
             coefficient      8.40 2.28
            these groups      9.19 1.22
    population of groups      8.40 2.28
    >>> print(found.reasons[0])
    The effect varies between levels of sch (sd 16.8): these groups are known as well as their rows tell them, others
    differ from them by that much, so that the population's interval is the wider one.
    """
    if not hasattr(fit, "tidy"):
        raise OptionError(f"a {type(fit).__name__} has no coefficients", hint="Ask mx.effects alone.")
    asked = {"these groups": "fitted", "population of groups": "integrate"}
    if not fit.family.identity:
        asked["average group"] = "average"
    newdata = None if newdata is None else to_pandas(newdata)  # once, for every answer
    common = {"newdata": newdata, "weights": weights, "level": level, "seed": seed}
    found: dict[str, Effects] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        for name, groups in asked.items():
            found[name] = effects(fit, treatment, groups=groups, **common)  # pyright: ignore[reportArgumentType]
    first = found["these groups"]
    rows = _coefficients(fit, first, level)
    for name, eff in found.items():
        for i, row in enumerate(eff.table.to_dict("records")):
            label = cause_of(eff, min(i, max(len(eff.question.treated.pairs) - 1, 0)))
            rows.append(_row(name, ABOUT[name], row.get("category", label) if "category" in row else label, row))
    title = f"Is there an effect of {first.treatment} on {outcome_of(first)[0]}?"
    return Answers(pd.DataFrame(rows), _reasons(fit, first), found, title, level)


def _row(answer: str, about: str, contrast: Any, numbers: Any, df: float = float("nan")) -> dict[str, Any]:
    missing = float("nan")
    return {
        "answer": answer, "about": about, "contrast": str(contrast), "estimate": numbers["estimate"],
        "sd": numbers["sd"], "lower": numbers["lower"], "upper": numbers["upper"], "df": df,
        "p_value": numbers.get("p_value", missing), "prob_above_null": numbers.get("prob_above_null", missing),
    }  # fmt: skip


def _coefficients(fit: Any, eff: Effects, level: float) -> list[dict[str, Any]]:
    """Rows of the coefficients that are the treatment's alone."""
    design: Design = fit.design
    own = [
        design.fixed_names[c]
        for term in design.terms.fixed
        if len(term.product) == 1 and term.columns == (eff.treatment,)
        for c in term.coefficients
    ]
    table = fit.tidy(level=level)
    if not own or "category" in table:
        return []
    about = _where(design, eff.treatment)
    table = table.set_index("term")
    rows = []
    for name in own:
        row: Any = table.loc[name]
        named = {"estimate": row["estimate"], "sd": row["std_error"], "lower": row["conf_low"],
                 "upper": row["conf_high"], "p_value": row.get("p_value", float("nan"))}  # fmt: skip
        rows.append(_row("coefficient", about, name, named, float(row.get("df", float("nan")))))
    return rows


def _interacting(design: Design, treatment: str) -> list[str]:
    """Columns that share a term of the fixed part with the treatment."""
    found = [
        c for term in design.terms.fixed if treatment in term.columns and len(term.product) > 1
        for v in term.product if treatment not in v.columns for c in v.columns
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def _where(design: Design, treatment: str) -> str:
    """Where the coefficient of a treatment is its effect."""
    places = []
    for name in _interacting(design, treatment):
        values = column(design.frame, name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            places.append(f"{name} is {level_label(values.cat.categories[0])}")
        elif not pd.api.types.is_numeric_dtype(values) or name in design.terms.categories:
            places.append(f"{name} is {level_label(sorted(values.dropna().unique())[0])}")
        else:
            places.append(f"{name} is 0")
    if not places:
        return "the effect that the model holds for everybody, in the middle of the population of groups."
    return f"the effect where {listed(places)}, in the middle of the population of groups."


def _reasons(fit: Any, eff: Effects) -> tuple[str, ...]:
    """Why the answers differ."""
    design: Design = fit.design
    reasons = []
    inside = _interacting(design, eff.treatment)
    if inside:
        reasons.append(
            f"{eff.treatment} interacts with {listed(inside)}: the coefficient is about one point of "
            f"{'it' if len(inside) == 1 else 'them'}, the averages are over the rows as they are."
        )
    names = term_names(design.random)
    varying = []
    for t, term in enumerate(design.random):
        columns = [
            term.columns[c] for left in design.terms.random[t].left if eff.treatment in left.columns
            for c in left.coefficients
        ]  # fmt: skip
        if columns:
            varying.append((names[t], term.label, columns))
    table = fit.varcorr
    for name, label, columns in varying:
        sds = table.loc[(table["grp"] == name) & table["var1"].isin(columns) & table["var2"].isna(), "sdcor"]
        sd = f" (sd {', '.join(f'{v:.3g}' for v in sds)})" if len(sds) else ""
        reasons.append(
            f"The effect varies between levels of {label}{sd}: these groups are known as well as their rows tell them, "
            "others differ from them by that much, so that the population's interval is the wider one."
        )
    if design.random and not varying:
        labels = listed(list(dict.fromkeys(term.label for term in design.random)))
        reasons.append(
            f"The model holds the effect the same in every level of {labels}, so that answers about these groups and "
            f"about others agree{'' if fit.family.identity else ' on the scale of the linear predictor'}; "
            f"let it vary with (1 + {eff.treatment} | {design.random[0].label})."
        )
    if not fit.family.identity:
        reasons.append(
            f"The coefficient is on the scale of the linear predictor ({fit.family.link.name}), the averages are of "
            "outcomes; the average of outcomes over groups is not the outcome of an average group."
        )
    return tuple(reasons)
