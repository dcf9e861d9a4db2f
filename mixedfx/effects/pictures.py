"""Pictures of an answer: tables are made here, and drawn by the functions of `mixedfx.plots`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfx.design.labels import variable_label
from mixedfx.effects.questions import EffectsQuestions
from mixedfx.effects.ranks import comparable, rank_draws
from mixedfx.effects.render import places
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.wording import Wording
from mixedfx.errors import EffectsError, check_option
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["forest", "ridges", "pooling", "funnel", "ranks", "matrix", "lines", "prior"]


class EffectsPictures(EffectsQuestions):
    """What can be seen of an answer."""

    def plot(
        self, kind: Kind = "forest", labels: Mapping[Any, str] | Any = None, unit: str = "", **options: Any
    ) -> Picture:
        """Draw the table.

        Parameters
        ----------
        kind
            ``"forest"``: points with 50 % intervals and intervals at `level`. ``"ridges"``: the whole distribution of
            each. ``"pooling"``: arrows from raw to pooled estimates (`shrinkage`). ``"funnel"``: raw and pooled
            estimates against the number of rows, over the funnel that noise alone fills. ``"ranks"``: probability of
            each rank. ``"matrix"``: a crossing of two factors as coloured squares, small where the sign is uncertain.
            ``"lines"``: the effect over a numeric column of `by`, a line for each level of the other. ``"prior"``: each
            row before and after the data, from ``prior=``, the answer of a `mixedfx.prior_predictive` fit to the same
            question.
        labels
            Column, level or subgroup -> what to write instead: ``{"small": "small classes", "math": "mathematics"}``.
        unit
            Of the outcome, for the axis: ``"points"``.
        **options
            Passed to the function that draws: `mixedfx.plots.forest.forest` (`sort`, `group`, `width`, `title`, `ax`),
            `ridges.ridgelines`, `pooling.pooling_arrows`, `pooling.funnel`, `matrices.rank_heatmap`,
            `matrices.intersection_matrix`, `lines.effect_lines`, `ridges.prior_posterior`.

        Returns
        -------
        Picture
            Shows itself in a notebook; ``.save("effects.png")``, ``.ax`` and ``.figure`` (matplotlib's).

        Raises
        ------
        EffectsError
            A picture that this table does not allow; says which table would.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race*gender + (1 | sch)", mx.datasets.load("star"))
        >>> eff = mx.effects(fit, "small", by=["race", "gender"])
        >>> ax = eff.plot("matrix").ax
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('gender', 'race')
        """
        check_option("kind", kind, tuple(_DRAW))
        if labels is not None and not isinstance(labels, Mapping):
            options["labels"] = labels  # columns that name a line of a forest plot
            labels = None
        return Picture(_DRAW[kind](in_words(self, Wording(labels or {}, unit)), options))

    @property
    def what(self) -> str:
        """What the numbers are, for an axis: ``"effect of small on math"``."""
        wording, frame = self.wording, self.fit.design.frame
        response, treatment = (
            wording.name(name) if name in wording.labels else variable_label(frame, name)
            for name in (self.response, self.treatment)
        )
        if self.comparison is None:
            text = f"average {response}"
        else:
            name = self.comparison.title
            text = f"effect of {treatment} on {response}"
            text += "" if name == "difference" else f" ({name})"
        if self.aspect:
            text = f"{self.aspect} of the {text}"
        text = f"difference in the {text}" if "against" in self.keys else text
        return f"{text} ({wording.unit})" if wording.unit else text

    @property
    def row_labels(self) -> list[str]:
        """One text for each row of the table: what tells it from the others."""
        columns = [c for c in self.names if c != "margin" and len(set(self.table[c])) > 1] or list(self.keys)
        rows = self.table[columns].astype(str).itertuples(index=False)
        return [", ".join(row) for row in rows]


def in_words(effects: EffectsPictures, wording: Wording) -> EffectsPictures:
    """The same answer with the reader's names in its table, for pictures."""
    if not wording.labels and not wording.unit:
        return effects
    table = effects.table.copy()
    for name in effects.names:
        kept = table[name]
        if wording.labels and name != "margin" and not pd.api.types.is_numeric_dtype(kept):
            new = [wording.labels.get(v, wording.labels.get(str(v), v)) for v in kept]
            table[name] = pd.Series(new, index=table.index, dtype=object)
    return replace(effects, table=table, wording=wording)


def _forest(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.forest import forest

    inner = effects.quantities.interval(0.5)
    what, labels = effects.what, list(effects.keys)
    if "against" in labels:
        others = set(effects.table["against"])
        if len(others) == 1:
            what += f", against {others.pop()}"
            labels.remove("against")
    options = {"labels": labels, "xlabel": what} | options
    if effects.wording.labels and "title" not in options and options.get("ax") is None:
        unit = effects.wording.unit
        plain = what.replace(f" ({unit})", "", 1) if unit else what
        options["title"] = plain[:1].upper() + plain[1:]
        options["xlabel"] = unit or ("average" if effects.comparison is None else effects.comparison.title)
    table = effects.table
    if isinstance(effects.fit, ReportedFit) and not effects.fit.counted:
        table = table.drop(columns="n")
    return forest(table.assign(lower_50=inner[:, 0], upper_50=inner[:, 1]), level=effects.level, **options)


def _ridges(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.ridges import ridgelines

    draws = pd.DataFrame(effects.draws(), columns=pd.Index(effects.row_labels)).loc[:, ~effects.quantities.lost]
    null = float(effects.table["null"].iloc[0]) if "null" in effects.table else None
    return ridgelines(draws, **({"null": null, "level": effects.level, "xlabel": effects.what} | options))


def _raw_and_pooled(effects: EffectsPictures) -> tuple[pd.DataFrame, float | None]:
    table = effects.shrinkage().assign(label=effects.row_labels)
    if "contrast" in table and len(set(table["contrast"])) > 1:
        raise EffectsError(
            "the table holds several contrasts of the treatment", hint='Ask for one: treatment={"style": ["a", "b"]}.'
        )
    overall = effects.overall
    return table, None if overall is None else float(overall.quantities.summary(effects.level, 0.0)["estimate"].iloc[0])


def _pooling(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.pooling import pooling_arrows

    table, overall = _raw_and_pooled(effects)
    return pooling_arrows(table, **({"overall": overall, "xlabel": effects.what} | options))


def _funnel(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.pooling import funnel

    table, overall = _raw_and_pooled(effects)
    return funnel(table, **({"overall": overall, "ylabel": effects.what} | options))


def _ranks(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.matrices import rank_heatmap

    best = options.pop("best", "highest")
    check_option("best", best, ("highest", "lowest"))
    groups = [rows for rows in comparable(effects) if len(rows) > 1]
    if len(groups) != 1:
        raise EffectsError(
            f"the table has {len(groups)} competitions of two or more subgroups; one can be drawn",
            hint='Ask for one margin and one contrast: by=["race", "gender"].',
        )
    values = effects.draws()[:, groups[0]]
    ranks, _ = rank_draws(values if best == "lowest" else -values)
    positions = np.arange(1, len(groups[0]) + 1)
    low, high = np.floor(ranks), np.ceil(ranks)  # subgroups that tie share their places
    shares = [
        [float(np.mean(0.5 * (low[:, j] == k) + 0.5 * (high[:, j] == k))) for k in positions]
        for j in range(len(positions))
    ]
    labels = np.array(effects.row_labels, dtype=object)[groups[0]]
    return rank_heatmap(pd.DataFrame(shares, index=pd.Index(labels), columns=pd.Index(positions)), **options)


def _crossing(effects: EffectsPictures) -> list[str]:
    """The two columns of the crossing that the table is."""
    columns = [k for k in effects.keys if k not in ("margin", "subgroup", "against")]
    if len(columns) != 2 or "margin" in effects.keys or effects.per_subgroup != 1:
        raise EffectsError(
            f"this picture needs one crossing of two columns and one contrast; the table is by {list(effects.keys)}",
            hint='Ask for it: by=["race", "gender"].',
        )
    return columns


def _matrix(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.matrices import intersection_matrix

    row, column = _crossing(effects)
    table = effects.table
    if "prob_above_null" not in table:
        raise EffectsError("average outcomes have no null to be uncertain about", hint='Use plot("forest").')
    null = float(table["null"].iloc[0])
    digits = places(table["sd"].to_numpy())
    options = {"null": null, "title": effects.what, "number": f"{{:.{digits}f}}"} | options
    return intersection_matrix(table, row, column, **options)


def _lines(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.lines import effect_lines

    columns = [k for k in effects.keys if k not in ("margin", "subgroup", "against")]
    numeric = [c for c in columns if pd.api.types.is_numeric_dtype(effects.table[c])]
    if "margin" in effects.keys or len(columns) > 2 or not numeric or effects.per_subgroup != 1:
        raise EffectsError(
            "lines need a numeric column of `by`, one more column at most, and one contrast of the treatment",
            hint='Ask over a grid of values: by=["age", "sex"], newdata=grid.',
        )
    other = [c for c in columns if c != numeric[0]]
    inner = effects.quantities.interval(0.5)
    null = float(effects.table["null"].iloc[0]) if "null" in effects.table else None
    table = effects.table.assign(lower_50=inner[:, 0], upper_50=inner[:, 1])
    options = {"null": null, "ylabel": effects.what, "rug": effects.fit.design.frame.get(numeric[0])} | options
    return effect_lines(table, numeric[0], other[0] if other else None, **options)


def _prior(effects: EffectsPictures, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.ridges import prior_posterior

    prior = options.pop("prior", None)
    if not isinstance(prior, EffectsPictures):
        raise EffectsError(
            'plot("prior") needs the same question put to the prior',
            hint="Write prior=mx.effects(mx.prior_predictive(formula, data), ...).",
        )
    if prior.row_labels != effects.row_labels:
        raise EffectsError("the prior was asked another question: its rows are not those of this table")
    before, after = prior.draws(), effects.draws()
    known = ~effects.quantities.lost
    pairs = {label: (before[:, j], after[:, j]) for j, label in enumerate(effects.row_labels) if known[j]}
    options = {"xlabel": effects.what} | options
    return prior_posterior(pairs, **options)


_DRAW: dict[str, Callable[[EffectsPictures, dict[str, Any]], Any]] = {
    "forest": _forest,
    "ridges": _ridges,
    "pooling": _pooling,
    "funnel": _funnel,
    "ranks": _ranks,
    "matrix": _matrix,
    "lines": _lines,
    "prior": _prior,
}
