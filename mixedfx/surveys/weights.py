r"""Sampling weights of rows and units: read, refused where they cannot be, made conditional, scaled.

Weights as given are overall, W = 1 / P(selected), or conditional, w = 1 / P(selected | the unit above was). The pseudo
likelihood (`recursion.py`) multiplies by conditional ones: w of a member is its W over that of its unit. A level
without weights has conditional ones of 1.

Within a unit with weights w_1 ... w_m the scaled weights are

    size       w_i m / sum w,          which add up to m;
    effective  w_i sum w / sum w^2,    which add up to (sum w)^2 / sum w^2

(Pfeffermann, Skinner, Holmes, Goldstein & Rasbash 1998; Asparouhov 2006). The inner likelihoods of small units depend
on the scale of these weights: unscaled ones of 100 make a unit of 20 rows look like one of 2,000, and the variance
between units is overestimated.

**Design effect.** Kish's n sum w^2 / (sum w)^2 (Kish 1965, Survey Sampling, section 11.7) of overall weights: by how
much unequal weights multiply the variance of a mean; n over it is the effective sample size.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import per_row
from mixedfx.design.design import Design
from mixedfx.design.frame import nearest
from mixedfx.errors import DataError, OptionError, SamplingWeightsWarning, outside, some_rows
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.options import ROW, SamplingWeights, Scaling

Array = NDArray[np.float64]
SAME = 1e-8  # relative differences of weights within a unit that are rounding of a file


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """Weights as users gave them, for all rows of the data.

    Attributes
    ----------
    values
        ``"row"`` or a key of a factor -> (N,).
    names
        The same keys -> the column, or what to call values.
    """

    values: Mapping[str, Array]
    names: Mapping[str, str]

    @property
    def zero(self) -> NDArray[np.bool_]:
        """(N,) rows that have a weight of zero, or lie in a unit that has."""
        return np.any([w == 0.0 for w in self.values.values()], axis=0)


def read_weights(asked: SamplingWeights, frame: pd.DataFrame, labels: pd.Index | None) -> GivenWeights:
    """Weights of all rows of the data.

    Parameters
    ----------
    asked
        What the user said.
    frame
        (N, .) the columns named.
    labels
        Labels of the rows, to align values that are given beside the data.

    Raises
    ------
    DataError
        Weights that are negative or infinite, or not one for each row.
    """
    values: dict[str, Array] = {}
    names: dict[str, str] = {}
    for key, given in asked.weights.items():
        name = f"'{given}'" if isinstance(given, str) else "the weights"
        name += "" if key == ROW and isinstance(given, str) else f" of '{key}'"
        source = frame[given] if isinstance(given, str) else given
        value = per_row(
            source, frame.index if isinstance(given, str) else labels, len(frame), f"sampling weight {name}"
        )
        bad = np.flatnonzero((value < 0) | np.isinf(value))
        if len(bad):
            raise DataError(
                f"sampling weights {name} are negative or infinite in {some_rows(bad)} (counted from 0)",
                hint="A weight is how many of the population a row stands for; zero leaves it out.",
            )
        values[key], names[key] = value, name
    return GivenWeights(values, names)


@dataclass(frozen=True, eq=False)
class LevelWeights:
    """Conditional weights in F sets, rows sorted and units numbered as the nesting has them.

    Attributes
    ----------
    rows
        (F, n) or (1, n) where all sets have the same.
    units
        For each level, finest first, (F, U).
    """

    rows: Array
    units: tuple[Array, ...]

    @property
    def sets(self) -> int:
        """Number of sets F."""
        return max([len(self.rows), *map(len, self.units)])

    def take(self, sets: slice) -> LevelWeights:
        """Some of the sets."""
        return LevelWeights(
            self.rows if len(self.rows) == 1 else self.rows[sets],
            tuple(w if len(w) == 1 and self.sets > 1 else w[sets] for w in self.units),
        )


@dataclass(frozen=True, eq=False)
class SampleWeights:
    """All that is known of the weights of one design.

    Attributes
    ----------
    conditional
        Conditional weights, scaled: one set.
    overall
        (n,) overall weight of each sorted row, unscaled.
    of_units
        Grouping factor -> (U,) overall weight of each unit.
    notes
        What a reader must know of them.
    given
        Key -> (n,) weights of the rows of the design, in its order, as the user gave them.
    """

    conditional: LevelWeights
    overall: Array
    of_units: Mapping[str, Array]
    notes: tuple[str, ...]
    given: Mapping[str, Array]

    def design_effects(self) -> pd.DataFrame:
        """Kish's design effects: level, n, smallest, largest, design_effect, effective_n."""
        rows = []
        for level, w in (("row", self.overall), *self.of_units.items()):
            effect = kish(w)
            rows.append((level, len(w), float(w.min()), float(w.max()), effect, len(w) / effect))
        columns = ["level", "n", "smallest", "largest", "design_effect", "effective_n"]
        return pd.DataFrame(rows, columns=columns)


def kish(weights: Array) -> float:
    """Design effect n sum w^2 / (sum w)^2 of unequal weights; 1 where they are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.surveys.weights import kish
    >>> kish(np.array([1.0, 3.0]))
    1.25
    """
    return float(len(weights) * (weights**2).sum() / weights.sum() ** 2)


def scaled(weights: Array, starts: NDArray[np.intp], scaling: Scaling) -> Array:
    """Weights of members (m,), in runs of their units, scaled within these.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.surveys.weights import scaled
    >>> w, units = np.array([1.0, 3.0, 5.0, 5.0]), np.array([0, 2])
    >>> scaled(w, units, "size").tolist(), scaled(w, units, "effective").round(6).tolist()
    ([0.5, 1.5, 1.0, 1.0], [0.4, 1.2, 1.0, 1.0])
    """
    if scaling == "none":
        return weights
    size = np.diff(np.append(starts, len(weights)))
    total = np.add.reduceat(weights, starts)
    factor = size / total if scaling == "size" else total / np.add.reduceat(weights**2, starts)
    return weights * np.repeat(factor, size)


def sample_weights(design: Design, nesting: Nesting, asked: SamplingWeights, given: GivenWeights) -> SampleWeights:
    """Conditional weights of a design's rows and units.

    Raises
    ------
    OptionError
        Weights of a level that the formula does not have.
    DataError
        Weights that are missing in a row that is used, or vary within a unit.

    Warns
    -----
    SamplingWeightsWarning
        A grouping factor without weights; overall weights of members below that of their unit.
    """
    keys = _levels_of(list(given.values), nesting.labels)
    used = design.rows.used[nesting.order]
    known: dict[str, Array] = {}
    for key, value in given.values.items():
        known[keys[key]] = value[used]
        lacking = np.flatnonzero(np.isnan(value[used]))
        if len(lacking):
            raise DataError(
                f"sampling weights {given.names[key]} are missing in {some_rows(np.sort(used[lacking]))} (counted "
                "from 0)",
                hint="Who was sampled has a weight: fill it in, or leave these rows out of the data.",
            )
    notes: list[str] = []
    n = len(design.y)
    above: Array = np.ones(1)  # overall weights of the units of the level above, and which of them each unit lies in
    inside = np.zeros(nesting.levels[-1].size if nesting.levels else n, dtype=np.intp)
    units: list[Array] = []
    of_units: dict[str, Array] = {}
    for depth in range(len(nesting.levels) - 1, -1, -1):
        level = nesting.levels[depth]
        w, overall = None, above[inside]
        if level.label in known:
            name = next(given.names[key] for key, label in keys.items() if label == level.label)
            labels = design.random[level.terms[0]].levels
            w = _of_units(known[level.label], level.first_rows, [labels[c] for c in level.code], level.label, name)
        else:
            _without_weights(level.label, notes)
        conditional, overall = _conditional(w, overall, asked.conditional)
        if depth < len(nesting.levels) - 1:
            conditional = scaled(conditional, nesting.levels[depth + 1].starts, asked.scaling)
        units.insert(0, conditional)
        of_units[level.label] = overall
        above = overall
        size = np.diff(np.append(level.starts, n if depth == 0 else nesting.levels[depth - 1].size))
        inside = np.repeat(np.arange(level.size), size)
    conditional, overall = _conditional(known.get(ROW), above[inside], asked.conditional)
    if ROW not in known:
        notes.append("rows have no weights of their own: they count alike within their unit")
    elif nesting.levels and not asked.conditional and len(known) > 1:
        below = int((overall < above[inside] * (1.0 - SAME)).sum())
        if below:
            warnings.warn(
                f"{below} rows have a smaller weight than the unit they lie in, which overall weights cannot have: if "
                "these are weights within units, say mx.sampling_weights(..., conditional=True)",
                SamplingWeightsWarning,
                outside(),
            )
    if nesting.levels:
        conditional = scaled(conditional, nesting.levels[0].starts, asked.scaling)
    found = LevelWeights(conditional[None], tuple(w[None] for w in units))
    rows = {key: value[design.rows.used] for key, value in given.values.items()}
    return SampleWeights(found, overall, of_units, tuple(notes), rows)


def _conditional(w: Array | None, above: Array, conditional: bool) -> tuple[Array, Array]:
    """Conditional and overall weights of members, from those given and the overall ones of their units."""
    if w is None:
        return np.ones(len(above)), above
    return (w, w * above) if conditional else (w / above, w)


def _without_weights(label: str, notes: list[str]) -> None:
    text = f"'{label}' has no sampling weights: they are taken as 1, as if all its levels were drawn with one chance"
    notes.append(text)
    warnings.warn(f"{text}. Name them: sampling_weights={{..., {label!r}: ...}}", SamplingWeightsWarning, outside())


def _of_units(
    values: Array, first_rows: NDArray[np.intp], levels: Sequence[str], label: str, name: str
) -> Array:  # fmt: skip
    """(U,) weights of units from those of their rows, which have to agree."""
    low, high = np.minimum.reduceat(values, first_rows), np.maximum.reduceat(values, first_rows)
    bad = np.flatnonzero(high - low > SAME * high)
    if len(bad):
        u = bad[0]
        more = f", and in {len(bad) - 1} other levels" if len(bad) > 1 else ""
        raise DataError(
            f"sampling weights {name} vary within '{label}': in {levels[u]!r} from {low[u]:g} to {high[u]:g}{more}",
            hint='The weight of a unit is one number; weights of rows are given as "row".',
        )
    return values[first_rows]


def _levels_of(keys: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """The level that each key names: a grouping factor, or its last column where that is no other one."""
    found: dict[str, str] = {}
    for key in keys:
        ends = [label for label in labels if label.rpartition(":")[2] == key]
        label = key if key == ROW or key in labels else ends[0] if len(ends) == 1 else None
        if label is None:
            listed = ", ".join(repr(name) for name in (ROW, *labels))
            raise OptionError(
                f"sampling_weights= names {key!r}, and the formula has no such level",
                hint=nearest(key, [ROW, *labels]) or f"Levels are {listed}.",
            )
        if label in found.values():
            raise OptionError(f"sampling_weights= gives two weights of {label!r}", hint="Leave one of them out.")
        found[key] = label
    return found
