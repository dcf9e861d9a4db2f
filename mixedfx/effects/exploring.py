"""An answer as a page to explore: from an `Effects` over a crossing to the content of `mixedfx.explorer`.

The table of the answer has a row for each cell of the crossing, and behind it the joint quantities; readers put cells
together as they like. What is known exactly goes along as it is known (`mixedfx.effects.exact_law`), what rows say
alone as sums (`mixedfx.effects.raw_sums`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import column as fetch
from mixedfx.design.labels import level_label, variable_label
from mixedfx.design.transforms import Affine, Curve, Transformation
from mixedfx.effects.answer import answer, caveats, other_notes, places_of
from mixedfx.effects.exact_law import exact_law
from mixedfx.effects.pictures import EffectsPictures, in_words
from mixedfx.effects.pooled_law import data_set_weights, pooled_law, set_averages, set_draws
from mixedfx.effects.pooling import PooledRows
from mixedfx.effects.quantities import Drawn, Exact, Monotone
from mixedfx.effects.raw_sums import raw_sums
from mixedfx.effects.report import code, computed, title_of
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.wording import Wording
from mixedfx.errors import EffectsError, MixedfxError, check_count
from mixedfx.explorer.content import Column, Content, Law, Population, Raw, Rule, Steps
from mixedfx.explorer.packing import kept_of
from mixedfx.explorer.page import page

Array = NDArray[np.float64]

LARGEST = 5_000_000  # bytes of a page: what mail servers take
COUNTS = (4000, 2000, 1000, 500)  # draws that are tried where nobody says how many
KNOWN = ("log", "log2", "log10", "log1p", "sqrt", "cbrt", "square", "logit")  # what the page can undo


def explorer(
    effects: EffectsPictures,
    also: Mapping[str, EffectsPictures] | None = None,
    draws: int | None = None,
    title: str | None = None,
    data: str = "data",
    labels: Mapping[Any, str] | None = None,
    unit: str = "",
    plural: bool = False,
) -> str:
    """The page as text; see `Effects.explore`."""
    wording = Wording(labels or {}, unit, plural)
    if draws is not None:
        check_count("draws", draws)
    content = content_of(effects, also or {}, wording, title, data)
    size = 0
    for count in COUNTS if draws is None else (draws,):
        made = page(_with_count(content, count), count)
        size = len(made.encode())
        if size <= LARGEST:
            return made
    cells = len(content.populations[0].n)
    fewer = "Cross fewer columns" if draws is None else f"Ask for fewer than draws={draws}, or cross fewer columns"
    raise EffectsError(
        f"the page would take {size / 1e6:.1f} MB with {draws or COUNTS[-1]:,} draws of {cells:,} cells; "
        f"{LARGEST / 1e6:g} MB are the most",
        hint=f"{fewer}: by=[...].",
    )


def content_of(
    effects: EffectsPictures,
    also: Mapping[str, EffectsPictures],
    wording: Wording,
    title: str | None = None,
    data: str = "data",
) -> Content:
    """What a page about an answer holds.

    Raises
    ------
    EffectsError
        An answer that is not one crossing, whose weights are uncertain, or whose response is transformed by what a page
        cannot undo; others beside it that answer another question.
    """
    _check(effects)
    asked = {_whom(effects): effects, **{str(name): other for name, other in also.items()}}
    if len(asked) <= len(also):
        raise EffectsError(f"also={{{_whom(effects)!r}: ...}} has the name of the answer itself", hint="Give another.")
    for name, other in also.items():
        _check(other)
        if _question(other) != _question(effects):
            raise EffectsError(
                f"also={{{str(name)!r}: ...}} answers another question than the page is about",
                hint="Only the rows averaged over and their weights may differ: newdata=, weights=.",
            )
    columns = tuple(_column(list(asked.values()), key, wording) for key in effects.keys)
    populations = tuple(_population(name, one, columns) for name, one in asked.items())
    comparison, averages = effects.comparison, effects.averages
    categories = ("",) if averages is None or averages.categories is None else averages.categories
    plain = comparison is not None and comparison.plain
    return Content(
        title=title or title_of(effects, wording),
        lead=" ".join(answer(effects, wording)),
        model=str(effects.fit.design.formula),
        quantity=_capital(in_words(effects, Wording(wording.labels)).what),
        short="average" if comparison is None else "effect" if plain else comparison.title,
        unit=wording.unit,
        null=None if comparison is None else comparison.null,
        level=effects.level,
        counted="cells" if isinstance(effects.fit, ReportedFit) and not effects.fit.counted else "rows",
        columns=columns,
        contrasts=_contrasts(effects),
        categories=tuple(map(str, categories)),
        populations=populations,
        raw=_raw(effects, columns),
        caveats=(*caveats(effects), *other_notes(effects), effects.uncertainty),
        computed=tuple(computed(effects)),
        code=code(effects, data),
        threshold=_threshold(effects),
    )


def _with_count(content: Content, count: int) -> Content:
    """The same with sentences on how many draws the page holds and what its intervals are."""
    from dataclasses import replace

    law = content.populations[0].law
    kept = kept_of(law, count)
    thinned = f"{kept:,} of {law.total:,} joint draws" if kept < law.total else f"{kept:,} joint draws"
    if kept == 1:
        said = "The page holds points without uncertainty."
    elif law.exact is not None:
        said = (
            f"Estimates, intervals and probabilities of subgroups and their differences are computed as in Python, not "
            f"from draws; ranks are taken within {thinned}, kept to 16 bits."
        )
    else:
        said = f"Intervals, probabilities and ranks of subgroups are those of {thinned}, kept to 16 bits."
    if content.populations[0].weights is not None and law.sets == 1:
        said += " Within these draws cells weigh what they do on average over the data sets."
    return replace(content, computed=(*content.computed, said))


def _check(effects: EffectsPictures) -> None:
    if not isinstance(effects, EffectsPictures):
        raise EffectsError(f"a page is made of effects, and this is a {type(effects).__name__}")
    example = 'Ask for one crossing: mx.effects(fit, "small", by=["race", "gender"]).explore("page.html").'
    if "against" in effects.keys or effects.aspect or effects.overall is None:
        raise EffectsError("a page is about effects or averages, and this table holds differences", hint=example)
    if effects.question.plan.queries is not None or effects.question.plan.several or effects.keys == ("subgroup",):
        raise EffectsError("a page needs the columns from which its readers choose", hint=example)
    if effects.averages is not None and len(effects.averages.weight) > 1:
        raise EffectsError("the weights are draws, and a page holds one weight for each cell", hint="Give their means.")


def _question(effects: EffectsPictures) -> tuple[Any, ...]:
    """What two answers must share to stand on one page."""
    question = effects.question
    name = None if question.comparison is None else question.comparison.name
    return effects.keys, effects.treatment, _contrasts(effects), name, question.scale, question.groups, effects.response


def _threshold(effects: EffectsPictures) -> float:
    """The null, or of averages the number for everybody, to the digits that its standard error supports."""
    if effects.comparison is not None:
        return effects.comparison.null
    assert effects.overall is not None, "a page is about effects or averages of all rows"
    row = effects.overall.quantities.summary(effects.level, 0.0).iloc[0]
    estimate = float(row["estimate"])
    return round(estimate, places_of(float(row["sd"]))) if np.isfinite(estimate) else 0.0


def _contrasts(effects: EffectsPictures) -> tuple[str, ...]:
    """Names of the contrasts of treatment values; none of averages."""
    return () if effects.comparison is None else tuple(dict.fromkeys(effects.table["contrast"].astype(str)))


def _whom(effects: EffectsPictures) -> str:
    """Whom the averages of an answer are over."""
    question = effects.question
    rows = "rows of newdata" if question.newdata else "rows of the data"
    if isinstance(question.weights, str):
        return f"{rows}, by {question.weights}"
    return f"{rows}, each counting once"


def _column(answers: list[EffectsPictures], key: str, wording: Wording) -> Column:
    """Levels that occur in any of the answers, categories in their order and others sorted."""
    first = fetch(answers[0].table, key)
    seen = list(dict.fromkeys(value for one in answers for value in fetch(one.table, key)))
    if isinstance(first.dtype, pd.CategoricalDtype):
        order = {value: i for i, value in enumerate(first.cat.categories)}
        seen.sort(key=lambda value: order.get(value, len(order)))
    else:
        try:
            seen.sort()
        except TypeError:
            seen.sort(key=str)
    label = wording.labels.get(key) or variable_label(answers[0].fit.design.frame, key)
    return Column(key, str(label), tuple(map(level_label, seen)), tuple(wording.name(value) for value in seen))


def _population(label: str, effects: EffectsPictures, columns: tuple[Column, ...]) -> Population:
    J = effects.per_subgroup
    table = effects.table.iloc[::J]
    codes = np.empty((len(table), len(columns)), dtype=np.intp)
    for k, column in enumerate(columns):
        place = {key: i for i, key in enumerate(column.keys)}
        codes[:, k] = [place[level_label(value)] for value in fetch(table, column.name)]
    n, weight = table["n"].to_numpy(dtype=float), table["weight"].to_numpy(dtype=float)
    return Population(label, codes, n, weight, _law(effects, J, len(table)), data_set_weights(effects))


def _law(effects: EffectsPictures, J: int, s: int) -> Law:
    quantities, averages = effects.quantities, effects.averages
    lost = quantities.lost.reshape(s, J).T
    if isinstance(quantities, Drawn) and quantities.center == "median":
        comparison = effects.comparison
        if averages is None or comparison is None:
            raise EffectsError("a page needs the averages that were compared, and this answer does not hold them")
        V, _, K = averages.shape
        drawn = set_averages(effects) or [averages.quantities.draws()]
        found = np.concatenate(drawn).reshape(-1, V, s + 1, K)[:, :, :s]
        values = found.transpose(0, 1, 3, 2).reshape(len(found), V * K, s)
        reading = averages.reading
        back = () if reading.back is None else steps_of(reading.back)
        pairs = tuple(effects.question.treated.pairs)
        rule = Rule(comparison.name, pairs, K, back, reading.increments, reading.step)
        return Law(np.nan_to_num(values), len(values), lost, rule=rule, sets=len(drawn))
    curve: Steps = ()
    if isinstance(quantities, Monotone):
        curve, quantities = steps_of(quantities.curve), quantities.base
    if effects.sets and not isinstance(quantities, Exact):
        return _law_of_sets(set_draws(effects), lost, curve)
    draws = quantities.draws()
    values = np.nan_to_num(draws.reshape(len(draws), s, J).transpose(0, 2, 1))
    exact = None
    if isinstance(quantities, Exact):
        means = quantities.summary(effects.level, 0.0)["estimate"].to_numpy(dtype=float)
        pooled = isinstance(quantities.fit, PooledRows)
        exact = pooled_law(quantities, J, s) if pooled else exact_law(quantities, J, s)
    else:
        means = quantities.known.mean(axis=0)
    return Law(values, len(values), lost, means.reshape(s, J).T, exact, curve)


def _law_of_sets(drawn: list[Array], lost: NDArray[np.bool_], curve: Steps) -> Law:
    """Draws of several data sets, which the page pools."""
    J, s = lost.shape
    every = [np.nan_to_num(one.reshape(len(one), s, J).transpose(0, 2, 1)) for one in drawn]
    values, means = np.concatenate(every), np.stack([one.mean(axis=0) for one in every])
    return Law(values, len(values), lost, means, None, curve, sets=len(every))


def steps_of(curve: Curve | Transformation) -> Steps:
    """What a page undoes, by name.

    Raises
    ------
    EffectsError
        A function that the page does not know.

    Examples
    --------
    >>> from mixedfx.design.transforms import CURVES, Affine, Transformation
    >>> from mixedfx.effects.exploring import steps_of
    >>> steps_of(Transformation("log(y / 10)", "y", (CURVES["log"], Affine(0.0, 10.0))))
    (('log',), ('affine', 0.0, 10.0))
    """
    parts = curve.steps if isinstance(curve, Transformation) else (curve,)
    found: list[tuple[str | float, ...]] = []
    for part in parts:
        if isinstance(part, Affine):
            found.append(("affine", part.shift, part.factor))
        elif part.name in KNOWN:
            found.append((part.name,))
        else:
            raise EffectsError(
                f"a page cannot undo {part.name!r} of the response", hint='Ask with scale="link", or in Python.'
            )
    return tuple(found)


def _raw(effects: EffectsPictures, columns: tuple[Column, ...]) -> tuple[Raw, ...]:
    """What rows alone say; nothing where a table of effects has no such estimates either."""
    try:
        found = [raw_sums(one, columns, steps_of) for one in effects.sets or [effects]]
    except MixedfxError:
        return ()
    kept = tuple(one for one in found if one is not None)
    return kept if len(kept) == len(found) else ()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
