"""What a posterior knows about linear functionals of (beta, u), and of levels it has not seen: its draws of them.

The effects of an unseen level are drawn from the population, N(0, Sigma_d) with the Sigma of the same posterior draw
d: each level gets draws of its own, never one shared by all. The random numbers of a level depend on the fit's seed
and the level's name only, so that two questions about one level get the same answer. Where a model has several linear
predictors, each has random numbers of its own.

`blocks` gives the linear predictor of many rows a few rows at a time, so that draws x rows numbers never exist at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.posterior.rows import Rows, functionals
from mixedfx.design.functional import Functional, NewLevel

Array = NDArray[np.float64]

BLOCK_BYTES = 2**26  # of draws of one linear predictor in a block of rows


@dataclass(frozen=True, eq=False)
class PosteriorEstimate:
    """Joint posterior draws of s linear functionals.

    Attributes
    ----------
    functional
        The s rows.
    values
        (D, s) draws.
    """

    functional: Functional
    values: Array
    exact = False
    own_intervals = False
    notes = ()

    @cached_property
    def mean(self) -> Array:
        """(s,) posterior means."""
        return self.values.mean(axis=0)

    @cached_property
    def cov(self) -> Array:
        """(s, s) posterior covariance."""
        deviation = self.values - self.mean
        return deviation.T @ deviation / max(len(self.values) - 1, 1)

    @cached_property
    def variances(self) -> Array:
        """(s,) posterior variances."""
        return self.values.var(axis=0, ddof=1)

    @cached_property
    def sd(self) -> Array:
        """(s,) posterior standard deviations."""
        return np.sqrt(self.variances)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws: all there are where `n` is None, else n of them chosen at random.

        Without replacement while there are enough; `seed` is of the choice.
        """
        if n is None:
            return self.values
        chosen = np.random.default_rng(seed).choice(len(self.values), n, replace=n > len(self.values))
        return self.values[chosen]


def estimate(functional: Functional, beta: Array, u: Array, factors: Sequence[Array], seed: int) -> PosteriorEstimate:
    """Apply a functional to draws.

    Parameters
    ----------
    functional
        The s rows.
    beta, u
        (D, p) and (D, q) draws.
    factors
        For each random term (D, k, k) factors F of the covariance F F' of a level's effects.
    seed
        Of the effects of unseen levels.
    """
    values = beta @ functional.fixed.T + (functional.random @ u.T).T + functional.offset
    if functional.new_levels:
        effects = np.concatenate([new_effects(level, factors, seed) for level in functional.new_levels], axis=1)
        values = values + (functional.new @ effects.T).T
    return PosteriorEstimate(functional, np.asarray(values))


def new_effects(level: NewLevel, factors: Sequence[Array], seed: int, predictor: int = 0) -> Array:
    """(D, k) effects of one unseen level, one for each posterior draw, in the linear predictor of that number."""
    factor = factors[level.term]
    key = [seed, level.term, crc32(level.level.encode()), predictor]
    rng = np.random.default_rng(key if predictor else key[:3])
    return np.einsum("dab,db->da", factor, rng.standard_normal(factor.shape[:2]))


def blocks(
    functional: Rows,
    joint: JointDraws,
    seed: int,
    chosen: NDArray[np.intp] | None = None,
    rows: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Draws of the linear predictors of a functional's rows, a block of rows at a time.

    Parameters
    ----------
    functional
        The m rows.
    joint
        Joint draws.
    seed
        Of the effects of unseen levels.
    chosen
        Numbers of the draws wanted; all where None.
    rows
        Rows in a block; as many as take 64 MiB where None.

    Yields
    ------
    (slice, array)
        The rows, and their (D, b) draws; (D, b, K - 1) where there are K - 1 linear predictors, as the two
        of counts and zeros.
    """
    which: NDArray[np.intp] | slice = slice(None) if chosen is None else chosen
    every = joint.n_draws
    n = every if chosen is None else len(chosen)
    width = max(1, BLOCK_BYTES // (8 * max(n, 1) * len(joint.predictors))) if rows is None else rows
    fixed = [one.beta[which].T for one in joint.predictors]
    parts = [(own, _columns_of_levels(own, joint.predictors[i])) for i, own in enumerate(functionals(functional))]
    for start in range(0, len(functional), width):
        at = slice(start, min(start + width, len(functional)))
        found, needed = [], [_Needed.of(own.take(at), columns) for own, columns in parts]
        for number, (predictor, beta) in enumerate(zip(joint.predictors, fixed, strict=True)):
            one = needed[number % len(needed)]
            eta = one.rows.fixed @ beta
            eta += one.random @ _effects(predictor.u, one.known, chosen)
            if len(one.levels):
                effects = [new_effects(level, predictor.factors, seed, number)[which] for level in one.levels]
                eta += one.rows.new[:, one.places] @ np.ascontiguousarray(np.concatenate(effects, axis=1).T)
            eta += one.rows.offset[:, None]
            found.append(eta.T)
        yield at, found[0] if len(found) == 1 else np.stack(found, axis=2)


@dataclass(frozen=True, eq=False)
class _Needed:
    """Some rows of a linear predictor: the random effects that they need, and the rows over these alone."""

    rows: Functional
    known: NDArray[np.intp]
    random: sparse.csr_array
    levels: tuple[NewLevel, ...]
    places: NDArray[np.intp]

    @staticmethod
    def of(rows: Functional, columns: NDArray[np.intp]) -> _Needed:
        known, random = _used(rows.random)
        levels, places = _levels_in(rows.new, columns)
        return _Needed(rows, known, random, tuple(rows.new_levels[level] for level in levels), places)


def _used(random: sparse.csr_array) -> tuple[NDArray[np.intp], sparse.csr_array]:
    """Random effects that these rows need, and the rows over these alone."""
    known = np.unique(random.indices)
    index = np.searchsorted(known, random.indices).astype(random.indices.dtype)
    rows = sparse.csr_array((random.data, index, random.indptr), shape=(len(random.indptr) - 1, len(known)))
    return known.astype(np.intp), rows


def _effects(u: Array, known: NDArray[np.intp], chosen: NDArray[np.intp] | None) -> Array:
    """(effects, draws) of some random effects; contiguous, as sparse products want it."""
    taken = np.take(u.T, known, axis=0)
    return taken if chosen is None else np.ascontiguousarray(taken[:, chosen])


def _columns_of_levels(functional: Functional, predictor: Predictor) -> NDArray[np.intp]:
    """First column in `Functional.new` of each unseen level, and the end."""
    widths = [predictor.factors[level.term].shape[1] for level in functional.new_levels]
    return np.concatenate([[0], np.cumsum(widths, dtype=np.intp)]).astype(np.intp)


def _levels_in(new: sparse.csr_array, columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the unseen levels that these rows need, and their columns."""
    levels = np.unique(np.searchsorted(columns, np.unique(new.indices), side="right") - 1).astype(np.intp)
    ranges = [np.arange(int(columns[level]), int(columns[level + 1]), dtype=np.intp) for level in levels]
    return levels, np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.intp)
