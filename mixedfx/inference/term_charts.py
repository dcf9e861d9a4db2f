r"""Frames of a random term in which one of its standard deviations or correlations is a coordinate.

The effect of column i as given is g_i'u_used, g_i = B^{-1}'e_i, so that its sd, relative to sigma, is |g_i'T|. In a
frame C, orthogonal with g_i / |g_i| for its first column, T = C L and that is |g_i| L_11 alone. Of columns i and j,
with the second column of C in the span of g_i and g_j, and p, q the coordinates of g_j, the effect of j has the row
p L_1 + q L_2, of length q y, and with L_11 = x and a correlation rho

    L_21 = rho y - (p / q) x,    L_22 = sqrt(1 - rho^2) y,    x, y >= 0 free:

linear for a given rho, regular at rho = +-1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component
from mixedfx.covariance.correlations import Correlation
from mixedfx.covariance.structures import Structure
from mixedfx.pls.factors import Block, GroupFactor
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class TermChart:
    """A problem in a frame that makes an sd or a correlation of one term a coordinate.

    Attributes
    ----------
    problem
        With a frame for the term.
    start
        (r,) parameters of the estimate in that frame.
    first
        Parameter of L_11.
    pair
        Parameters of L_21 and L_22; None for a term of independent columns.
    scale
        L_11 for a relative sd of one, 1 / |g_i|.
    lean
        p / q, what the effect of the second column has of the first coordinate; 0 for an sd.
    term
        The random term.
    correlation
        Whose angle a correlation is, where it is one of the parameters; else None.
    """

    problem: Problem
    start: Vector
    first: int
    pair: tuple[int, int] | None
    scale: float
    lean: float
    term: int
    correlation: Correlation | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest correlation."""
        return (-1.0 if self.correlation is None else self.correlation.lowest), 1.0

    @property
    def perfect(self) -> bool:
        """Whether the correlation is one to rounding: 1 - |r| below 1e-8 for columns that are orthogonal."""
        if self.correlation is not None:
            t = self.start[self.first]
            return bool(abs(t - self.correlation.nearest_end(t)) < 1e-4)
        assert self.pair is not None
        lower, corner = self.start[list(self.pair)]
        return bool(abs(corner) < np.sqrt(2e-8) * np.hypot(lower, corner))


def _block(problem: Problem, term: int) -> tuple[int, GroupFactor, Block]:
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            if block.term == term:
                return f, group, block
    raise IndexError(f"no random term {term}")


def term_chart(problem: Problem, T: list[Vector], term: int, component: Component) -> TermChart:
    """A problem that has a component of a term for a parameter; `T` are the factors at the estimate.

    Of an unstructured term, a frame with the effects of its columns, one or two, first.
    """
    f, group, block = _block(problem, term)
    k, structure, columns = block.structure.k, block.structure, component.columns
    if not structure.free:
        shape, at, correlation = structure.held(component)
        held = replace(problem, factors=tuple(_with_structure(g, term, shape) for g in problem.factors))
        column = block.first + columns[0]
        scale = float(group.basis[column, column])
        return TermChart(held, held.lower(T), block.par + at, None, scale, 0.0, term, correlation)
    start = problem.lower(T)
    g = group.inverse[block.columns, block.columns][list(columns)].T
    C, R = np.linalg.qr(g, mode="complete")
    sign = np.where(np.diag(R) < 0.0, -1.0, 1.0)
    C[:, : len(columns)] *= sign
    R = R[: len(columns)] * sign[:, None]
    start[block.parameters] = structure.parameters(C.T @ T[f][block.columns, block.columns])
    pair = (block.par + 1, block.par + k) if k > 1 else None
    lean = float(R[0, 1] / R[1, 1]) if len(columns) == 2 else 0.0
    return TermChart(
        replace(problem, frames={**problem.frames, term: C}), start, block.par, pair, float(1.0 / R[0, 0]), lean, term
    )


def _with_structure(group: GroupFactor, term: int, structure: Structure) -> GroupFactor:
    """The same factor with another structure of one of its terms."""
    return replace(group, blocks=tuple(replace(b, structure=structure) if b.term == term else b for b in group.blocks))


def correlation_start(chart: TermChart) -> tuple[float, Vector]:
    """The correlation at the estimate, and the free parameters there; NaN where no two columns vary."""
    if chart.correlation is not None:
        rest = np.delete(chart.start, chart.first)
        own = chart.problem.blocks[chart.term].parameters
        varies = np.any(np.delete(chart.start, chart.first)[own.start : own.stop - 1] != 0.0)
        return (float(chart.correlation.correlation(chart.start[chart.first])) if varies else np.nan), rest
    assert chart.pair is not None
    lower, corner = chart.pair
    along = float(chart.start[lower] + chart.lean * chart.start[chart.first])
    length = float(np.hypot(along, chart.start[corner]))
    x = np.delete(chart.start, corner)
    x[lower] = length
    return along / length if length > 0 else np.nan, x
