r"""The penalised least squares problem of a design: scaled, weighted, and reduced to cross-products.

Everything a fit needs of the data is in the cross-products of Omega = [Z X y] (Bates et al. 2015, section 3; the
blocked layout is that of Bates, Alday & Kokandakar 2025). They are formed once, here; no evaluation passes over the
rows.

Before they are formed,

* rows are multiplied by sqrt(w), which turns precision weights into a unit residual variance;
* the response is replaced by its least squares residual, y - X b (any b serves, since the criterion depends on y only
  through its residual; b is added to beta afterwards), so that a large mean does not eat the digits of the sums of
  squares;
* X is replaced by Q = X R^{-1} with R from the Cholesky factor of X'X: gamma = R beta, and
  log|X'V^{-1}X| = log|Q'V^{-1}Q| + 2 log|R|;
* each column of z is divided by its root mean square s, T becomes diag(s) T: the optimiser sees parameters
  without units.

Random terms over the same grouping are amalgamated into one factor, whose T is block diagonal. The factor with the
most random effects is eliminated first: its block of Z'Z is block diagonal. The others form the second level, whose
columns may be permuted (`Coupling.permutation`) to keep its Cholesky factor sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.covariance.structures import Structure, structure_for
from mixedfx.design.design import Design, RandomTerm
from mixedfx.pls.coupling import Coupling, couple
from mixedfx.pls.crossproducts import cross_products

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """One random term in its factor: columns ``first`` to ``first + k`` of the factor, parameters from ``par`` on."""

    term: int
    first: int
    par: int
    structure: Structure


@dataclass(frozen=True)
class GroupFactor:
    """One grouping factor with all the random terms over it: q levels, k columns.

    Attributes
    ----------
    blocks
        Its random terms.
    codes, z
        (n,) levels and (n, k) covariates, divided by `scale`, times the roots of the weights.
    n_levels
        Number of levels q.
    scale
        (k,) root mean squares of the columns of z as given.
    """

    blocks: tuple[Block, ...]
    codes: NDArray[np.intp]
    z: Vector
    n_levels: int
    scale: Vector

    @property
    def k(self) -> int:
        """Number of columns."""
        return self.z.shape[1]


@dataclass(frozen=True)
class Problem:
    """Cross-products of one design; all a criterion needs.

    Attributes
    ----------
    factors
        The grouping factors in order of elimination: most random effects first.
    gram1
        (k1, k1, q1) diagonal blocks of Z1'Z1.
    coupling
        Z1'Z2 and Z2'Z2, or None for a single factor.
    zw1, zw2
        (q1, k1, p + 1) and (q2, p + 1) products of Z with W = [Q, y0].
    ww
        (p + 1, p + 1) products W'W.
    R
        (p, p) upper triangle with X = Q R (rows weighted).
    shift
        (p,) least squares coefficients b taken out of y.
    n
        Number of rows.
    log_weights
        Sum of log w.
    REML
        Whether the criterion is REML's or -2 log L.
    sigma
        The residual standard deviation where it is known, else None.
    n_parameters
        Length of theta.
    orders
        Random term -> order in which its columns are taken: the rows of T in this order are lower triangular. Terms
        that are not named keep their own order. Every order describes the same covariances; see
        `mixedfx.reml.pivoting`.
    """

    factors: tuple[GroupFactor, ...]
    gram1: Vector
    coupling: Coupling | None
    zw1: Vector
    zw2: Vector
    ww: Vector
    R: Vector
    shift: Vector
    n: int
    log_weights: float
    REML: bool
    sigma: float | None
    n_parameters: int
    orders: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.R.shape[0]

    @property
    def dof(self) -> int:
        """Divisor of sigma^2: n - p for REML, n for ML."""
        return self.n - self.p if self.REML else self.n

    @cached_property
    def entries(self) -> list[tuple[int, int, int]]:
        """Factor, row and column in its T of each parameter."""
        out: list[tuple[int, int, int]] = [(0, 0, 0)] * self.n_parameters
        for f, group in enumerate(self.factors):
            for block in group.blocks:
                order = self.orders.get(block.term, tuple(range(block.structure.k)))
                for m, (a, b) in enumerate(zip(*block.structure.entries, strict=True)):
                    out[block.par + m] = (f, block.first + order[int(a)], block.first + int(b))
        return out

    @cached_property
    def parameter_scale(self) -> Vector:
        """(r,) factors that turn theta as users see it into the scaled parameters: the scale of the row of T."""
        return np.array([self.factors[f].scale[a] for f, a, _ in self.entries])

    def matrices(self, par: Vector) -> list[Vector]:
        """The (k, k) T of each factor at scaled parameters `par` (r,)."""
        T = [np.zeros((group.k, group.k)) for group in self.factors]
        for value, (f, a, b) in zip(par, self.entries, strict=True):
            T[f][a, b] = value
        return T


def _column_scale(z: Vector) -> Vector:
    scale = np.sqrt(np.diag(z.T @ z) / max(z.shape[0], 1))
    return np.where(scale > 0, scale, 1.0)


def group_factors(design: Design, root_weights: Vector | None) -> tuple[GroupFactor, ...]:
    """Random terms over the same grouping, amalgamated; the factor with the most random effects first.

    The scale of a column is its unweighted root mean square, so that weights do not change the meaning of a step.
    """
    by_label: dict[str, list[int]] = {}
    for t, term in enumerate(design.random):
        by_label.setdefault(term.label, []).append(t)
    starts = np.cumsum([0, *(structure_for(t.n_columns, t.correlated).n_parameters for t in design.random)])
    groups = []
    for members in by_label.values():
        terms = [design.random[t] for t in members]
        firsts = np.cumsum([0, *(t.n_columns for t in terms)])
        blocks = tuple(
            Block(t, int(firsts[m]), int(starts[t]), structure_for(terms[m].n_columns, terms[m].correlated))
            for m, t in enumerate(members)
        )
        groups.append(_group(terms, blocks, root_weights))
    return tuple(sorted(groups, key=lambda g: -g.n_levels * g.k))


def _group(terms: list[RandomTerm], blocks: tuple[Block, ...], root_weights: Vector | None) -> GroupFactor:
    z = terms[0].z if len(terms) == 1 else np.hstack([t.z for t in terms])
    scale = _column_scale(z)
    scaled = np.empty(z.shape)
    for a in range(z.shape[1]):  # NumPy loops over rows of two or three numbers are four times slower
        np.divide(z[:, a], scale[a], out=scaled[:, a])
        if root_weights is not None:
            scaled[:, a] *= root_weights
    return GroupFactor(blocks, terms[0].codes, scaled, terms[0].n_levels, scale)


def build_problem(design: Design, REML: bool = True) -> Problem:
    """Cross-products of `design`, for REML or ML.

    Raises
    ------
    MemoryForecastError
        If the factor of the second level would not fit in the memory that is free.
    """
    weights = design.weights
    if design.known_sd is not None:
        weights = 1.0 / design.known_sd**2
    root = None if weights is None else np.sqrt(weights)
    X = design.X if root is None else design.X * root[:, None]
    y = design.y - design.offset if root is None else (design.y - design.offset) * root
    n, p = X.shape
    factors = group_factors(design, root)
    first, rest = factors[0], factors[1:]
    products = cross_products(X, y, first.z, first.codes, first.n_levels, with_rows=bool(rest))
    R, ww = products.R, products.ww
    shift = linalg.solve_triangular(R, products.gamma) if p else products.gamma
    gram1 = np.ascontiguousarray(products.by_level[:, :, p + 1 :].transpose(1, 2, 0))
    zw1 = products.by_level[:, :, : p + 1].copy()
    coupling, zw2 = None, np.zeros((0, p + 1))
    if products.rows is not None and rest:
        coupling, zw2 = couple(first, rest, products.rows)
    return Problem(
        factors, gram1, coupling, zw1, zw2, ww, R, shift, n,
        0.0 if weights is None else float(np.log(weights).sum()),
        REML, None if design.known_sd is None else 1.0,
        sum(b.structure.n_parameters for g in factors for b in g.blocks),
    )  # fmt: skip


def random_index(design: Design, problem: Problem) -> list[NDArray[np.intp]]:
    """For each factor the positions (q_f * k_f,) in u, as the design orders it, of the factor's effects."""
    out = []
    starts = design.starts
    for group in problem.factors:
        index = np.empty((group.n_levels, group.k), dtype=np.intp)
        for block in group.blocks:
            k = block.structure.k
            index[:, block.first : block.first + k] = starts[block.term] + np.arange(group.n_levels * k).reshape(-1, k)
        out.append(index.ravel())
    return out
