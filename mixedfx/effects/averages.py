"""Average outcomes of subgroups under each value of a treatment: one linear functional each, or joint draws.

On the linear predictor, and on the identity link, the average over a subgroup is ``C_S = sum w_i c_i / sum w_i`` over
its cells, and the fit is asked about C_S (beta, u) once, however many cells there are. Any other average is a sum over
cells within each draw. The cells then pass by in blocks: D draws of a block of expected outcomes, times the weights,
added to the (D, subgroups) sums; D x cells is never held.

The response may be a transformation of a variable, such as a logarithm. The average of the model's predictions is then
taken back through the inverse (a generalised mean: the geometric one of a logarithm), or, where arithmetic means are
asked for, every cell contributes the mean of the variable itself, which takes draws. For a numeric treatment "per unit"
the second of its two values is an increment, formed without subtracting large numbers (`mixedfx.effects.increments`).

Where weights are uncertain too, draw d of an average uses draw d of the weights: sum w_di m_di / sum w_di. An exact
fit then gives, for each draw of the weights, one draw from the joint normal distribution of its averages.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.estimable import Null
from mixedfx.design.frame import column as fetch
from mixedfx.design.functional import Functional, NewLevel
from mixedfx.design.transforms import Transformation
from mixedfx.effects.grid import Grid
from mixedfx.effects.increments import affine_in, far_from, increments
from mixedfx.effects.mean_fit import MeanFit, mean_averages, paired
from mixedfx.effects.outcome import (
    Outcome,
    categories_of,
    distinct_rows,
    integrated,
    is_identity,
)
from mixedfx.effects.quantities import Drawn, Exact, Quantities
from mixedfx.effects.reading import AS_THEY_ARE, Reading
from mixedfx.effects.sampled import sampled
from mixedfx.effects.subgroups import block_diagonal
from mixedfx.effects.treatment import Treatment
from mixedfx.effects.unseen import condensed
from mixedfx.effects.wording import listed
from mixedfx.errors import EffectsError, UnseenLevelsWarning
from mixedfx.progress import Progress
from mixedfx.results.protocol import Fit, NewLevels
from mixedfx.results.undetermined import needed_columns

Array = NDArray[np.float64]

# Cells whose matrices are built at once.
CELLS = 2**16
# Numbers (draws x cells x categories) of expected outcomes held at once: 64 MB, and a few copies of them.
NUMBERS = 2**23


@dataclass(frozen=True, eq=False)
class Averages:
    """Average outcomes, joint over values of the treatment, subgroups and categories.

    Attributes
    ----------
    quantities
        V * (s + 1) * K rows: for each value of the treatment each subgroup, everybody last, for each of those each
        category (K = 1 where the response has none).
    shape
        (V, s + 1, K).
    categories
        Levels of the response, None where it has none.
    averaged
        Labels of grouping factors that the cells do not have.
    any_unseen
        Whether some cell rests on a level the fit has not seen.
    weight
        (D, s + 1) draws of the total weights where these are uncertain, else (1, s + 1).
    needed
        Columns dropped from the fit as aliased that some of the cells need.
    reading
        How they are to be read.
    """

    quantities: Quantities
    shape: tuple[int, int, int]
    categories: tuple[str, ...] | None
    averaged: tuple[str, ...]
    any_unseen: bool
    weight: Array
    needed: tuple[str, ...] = ()
    reading: Reading = AS_THEY_ARE

    def rows(self) -> NDArray[np.intp]:
        """(V, s + 1, K) positions in `quantities`."""
        return np.arange(int(np.prod(self.shape))).reshape(self.shape)


def subgroup_averages(
    fit: Fit,
    grid: Grid,
    treated: Treatment,
    membership: sparse.csr_array,
    *,
    scale: str,
    groups: str,
    new_levels: NewLevels,
    seed: int | None,
    back: Transformation | None = None,
    bias_adjust: bool = False,
) -> Averages:
    """Average outcomes of subgroups under every value of the treatment.

    Parameters
    ----------
    fit
        Any fit.
    grid
        The m cells averaged over, and their weights.
    treated
        Which values of the treatment are compared.
    membership
        (s + 1, m) ones where a cell belongs to a subgroup; the last row is everybody.
    scale, groups, new_levels, seed, bias_adjust
        As `mixedfx.effects.effects.effects` has them.
    back
        The transformation of the response that is to be undone.

    Raises
    ------
    EffectsError
        A subgroup that weighs nothing in some draw of the weights.
    """
    if isinstance(fit, MeanFit):
        predictions, totals = mean_averages(fit, grid, treated, membership, seed)
        found = Drawn(predictions, np.zeros(predictions.shape[1]))
        reading = Reading(step=treated.step)
        return Averages(found, (len(treated.values), totals.shape[1], 1), None, (), False, totals, reading=reading)
    means = back if bias_adjust and back is not None and back.affine is None else None
    linear = means is None and (scale == "link" or is_identity(fit))
    if not linear and not fit.posterior and fit.apply(fit.design_for().combine(_first(len(fit.design.y)))).exact:
        fit = sampled(fit, 0 if seed is None else seed, groups)
    zero = (linear and groups != "fitted") or groups == "average"
    pass_by = _Cells(fit, grid, treated, new_levels, zero=zero, linear=linear)
    totals = np.atleast_2d((membership @ grid.weight_draws.T).T)
    if (totals <= 0).any():
        raise EffectsError(
            "a subgroup has a total weight of zero in some draws of the weights",
            hint="Leave it out, or add a small count to its cells.",
        )
    mean_weight = grid.weight
    scaled = sparse.csr_array(membership * mean_weight)
    averaging = sparse.csr_array(sparse.diags_array(1.0 / np.asarray(scaled.sum(axis=1))) @ scaled)
    V, s = len(treated.values), cast(tuple[int, int], membership.shape)[0]
    categories = None if linear else categories_of(fit)
    K = 1 if categories is None else len(categories)
    certain = len(grid.weight_draws) == 1
    if linear and certain:
        quantities: Quantities = Exact(fit, condensed(_functional(pass_by, averaging, V), fit.design), seed)
        unseen = quantities.unseen
    elif linear and fit.apply(pass_by.first()).exact:
        values, unseen, null = _one_for_each_weighting(pass_by, membership, averaging, V, 0 if seed is None else seed)
        quantities = Drawn(values, unseen, null=null)
    else:
        values, unseen, totals, null = _streamed(
            pass_by, membership, averaging, totals, Outcome(fit, linear, means), (V, s, K), groups, seed=seed
        )
        quantities = Drawn(values, unseen, null=null)
    pass_by.warn()
    needed, any_unseen = tuple(pass_by.needed), bool((unseen > 0).any())
    reading = Reading(back if means is None else None, pass_by.increments, treated.step)
    return Averages(quantities, (V, s, K), categories, pass_by.averaged, any_unseen, totals, needed, reading)


def _first(n: int) -> sparse.csr_array:
    """(1, n) the first row."""
    return sparse.csr_array(([1.0], ([0], [0])), shape=(1, n))


class _Cells:
    """The cells of a grid under every value of the treatment, block by block, with one warning in the end."""

    def __init__(
        self, fit: Fit, grid: Grid, treated: Treatment, new_levels: NewLevels, *, zero: bool, linear: bool
    ) -> None:
        self.fit, self.grid, self.zero = fit, grid, zero
        # Where outcomes are linear predictors, what a unit adds is a row of its own.
        self.increments = linear and treated.kind == "unit"
        if self.increments and affine_in(fit.design, treated.column):
            treated = replace(treated, far=far_from(fetch(grid.frame, treated.column).to_numpy(dtype=float)))
        self.treated = treated
        self.new_levels: NewLevels = new_levels
        self.averaged: tuple[str, ...] = ()
        self.needed: dict[str, None] = {}
        self._unseen: dict[NewLevel, None] = {}
        self._said: dict[str, warnings.WarningMessage] = {}

    def __len__(self) -> int:
        return -(-len(self.grid) // CELLS)

    def __iter__(self) -> Iterator[tuple[NDArray[np.intp], pd.DataFrame, Functional]]:
        """Positions of the cells (b,), their frame (V * b, .) and linear predictor (V * b rows)."""
        for start in range(0, len(self.grid), CELLS):
            yield self._block(np.arange(start, min(start + CELLS, len(self.grid))))

    def first(self) -> Functional:
        """One row, to learn how the fit answers."""
        return self._block(np.arange(1))[2]

    def _block(self, cells: NDArray[np.intp]) -> tuple[NDArray[np.intp], pd.DataFrame, Functional]:
        frame = self.grid.counterfactual(self.treated, None if len(cells) == len(self.grid) else cells)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = self.fit.design_for(frame, new_levels=self.new_levels)
        for warning in caught:
            self._said.setdefault(str(warning.message), warning)
        self.needed |= dict.fromkeys(needed_columns(self.fit.design, rows.null))
        if self.increments:
            x = fetch(frame, self.treated.column).to_numpy(dtype=float).reshape(2, -1)
            rows = increments(rows, x[1] - x[0])
        self._unseen |= dict.fromkeys(rows.new_levels)
        self.averaged = rows.averaged
        return cells, frame, rows.without_random() if self.zero else rows

    def warn(self) -> None:
        """Say once what the blocks had to say; unseen levels of many blocks in one list."""
        for warning in self._said.values():
            if len(self) == 1 or not issubclass(warning.category, UnseenLevelsWarning):
                warnings.warn(warning.message, stacklevel=2)
        if len(self) > 1:
            for t in sorted({new.term for new in self._unseen}):
                levels = [new.level for new in self._unseen if new.term == t]
                warnings.warn(
                    f"'{self.fit.design.random[t].label}' has levels that the fit has not seen: {listed(levels)}. "
                    "Their effects are drawn from the population; if one is a typing error, correct it.",
                    UnseenLevelsWarning,
                    stacklevel=2,
                )


def _functional(pass_by: _Cells, averaging: sparse.csr_array, V: int) -> Functional:
    """V * s rows: the averages, added up over blocks of cells."""
    parts: list[tuple[Functional, Array]] = []
    whole = len(pass_by) == 1
    columns = averaging if whole else sparse.csc_array(averaging)
    for cells, _, rows in pass_by:
        A = block_diagonal(averaging if whole else sparse.csr_array(columns[:, cells[0] : cells[-1] + 1]), V)
        parts.append((rows.combine(A), np.asarray(A @ rows.unseen)))
    return _add(parts, pass_by)


def _add(parts: list[tuple[Functional, Array]], pass_by: _Cells) -> Functional:
    """Sum of functionals over the union of their unseen levels."""
    if len(parts) == 1:
        return parts[0][0]
    widths = [term.n_columns for term in pass_by.fit.design.random]
    unseen = np.clip(np.sum([share for _, share in parts], axis=0), 0.0, 1.0)
    return Functional.total([part for part, _ in parts], widths, unseen, pass_by.averaged)


def _one_for_each_weighting(
    pass_by: _Cells, membership: sparse.csr_array, averaging: sparse.csr_array, V: int, seed: int
) -> tuple[Array, Array, Null | None]:
    """(D, V * s) draws of an exact fit, one for each draw of the weights; (V * s,) shares of unseen cells; null."""
    whole = list(pass_by)
    blocks = [(cells, frame, replace(rows, null=None)) for cells, frame, rows in whole]
    s = cast(tuple[int, int], membership.shape)[0]
    draws = pass_by.grid.weight_draws
    values = np.empty((len(draws), V * s))
    with Progress(None, "averaging cells", len(draws)) as report:
        for d, weight in report.over(enumerate(draws)):
            scaled = sparse.csr_array(membership * weight)
            mean = sparse.csr_array(sparse.diags_array(1.0 / np.asarray(scaled.sum(axis=1))) @ scaled)
            parts = []
            for cells, _, rows in blocks:
                A = block_diagonal(sparse.csr_array(mean[:, cells]) if len(blocks) > 1 else mean, V)
                parts.append((rows.combine(A), np.asarray(A @ rows.unseen)))
            own = int(np.random.SeedSequence([seed, d]).generate_state(1)[0])
            values[d] = pass_by.fit.apply(_add(parts, pass_by)).draws(1, own)[0]
    unseen, nulls = np.zeros(V * s), []
    for cells, _, rows in whole:
        A = block_diagonal(sparse.csr_array(averaging[:, cells]), V)
        unseen += A @ rows.unseen
        nulls.append(None if rows.null is None else rows.null.combine(A))
    return values, unseen, Null.total(nulls)


def _streamed(
    pass_by: _Cells,
    membership: sparse.csr_array,
    averaging: sparse.csr_array,
    totals: Array,
    outcome: Outcome,
    shape: tuple[int, int, int],
    groups: str,
    *,
    seed: int | None,
) -> tuple[Array, Array, Array, Null | None]:
    """(D, V * s * K) draws of averages; (V * s * K,) shares of unseen cells; totals of weights, draw by draw; null.

    Where outcomes are linear, what averages need of dropped columns is averaged too; of others the draws are NaN.
    """
    V, s, K = shape
    fit, weights = pass_by.fit, pass_by.grid.weight_draws
    certain = len(weights) == 1
    by_cell, members = sparse.csc_array(averaging), sparse.csc_array(membership)
    widths = [term.n_columns for term in fit.design.random]
    D = len(outcome.draws(pass_by.first()))
    chosen = paired(len(weights), D, seed)
    sums = np.zeros((D, V, s, K))
    unseen = np.zeros((V, s))
    nulls: list[Null | None] = []

    def pieces() -> Iterator[float]:
        """Add up block by block; yields the number of rows (cells times values) that each piece has done."""
        for cells, frame, rows in pass_by:
            spread = None if outcome.linear else integrated(fit, frame, rows, groups)
            if groups == "integrate":
                rows = rows.without_random()
            b = len(cells)
            if outcome.linear and rows.null is not None:
                nulls.append(rows.null.combine(block_diagonal(sparse.csr_array(by_cell[:, cells]), V)))
                rows = replace(rows, null=None)
            unseen[...] += (by_cell[:, cells] @ rows.unseen.reshape(V, b).T).T
            for v in range(V):
                own = v * b + np.arange(b)
                # What the b cells count for, (s, b); fewer columns where cells share an outcome.
                counts = sparse.csc_array(by_cell[:, cells])
                if groups != "fitted" and certain:
                    same = [] if spread is None else [z[own] for z in spread]
                    first, which = distinct_rows(rows.take(own), same)
                    together = sparse.csr_array((np.ones(b), (np.arange(b), which)), shape=(b, len(first)))
                    counts, own = sparse.csc_array(counts @ together), own[first]
                for part in np.array_split(np.arange(len(own)), -(-len(own) * D * K // NUMBERS)):
                    at = own[part]
                    known = None if spread is None else [z[at] for z in spread]
                    found = outcome.draws(rows.take(at).with_used_levels(widths), known).reshape(D, len(part), K)
                    for k in range(K):
                        if certain:
                            sums[:, v, :, k] += (counts[:, part] @ found[:, :, k].T).T
                        else:
                            weighted = found[:, :, k] * weights[np.ix_(chosen, cells[part])]
                            sums[:, v, :, k] += (members[:, cells[part]] @ weighted.T).T
                    yield b * len(part) / len(own)

    with Progress(None, "averaging cells", V * len(pass_by.grid)) as report:
        for _ in report.over(pieces(), size=float):
            pass
    if not certain:
        totals = totals[chosen]
        sums /= totals[:, None, :, None]
    return sums.reshape(D, -1), np.clip(np.repeat(unseen.ravel(), K), 0.0, 1.0), totals, Null.total(nulls)
