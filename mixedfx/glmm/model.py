r"""A generalised linear mixed model as its engine sees it: blocks, rows, and the parameters psi = (gamma, par, phi).

    eta = X beta + Z Lambda v + offset,    v ~ N(0, I),    y | eta independent,

X = Q R with the columns of Q orthogonal and of unit mean square, gamma = R beta; Z in the columns that
`mixedfx.pls.problem` uses, with `par` the parameters of their T, and phi the logarithms of the auxiliary parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.glmm.bends import Bends, RowBends
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.level_rows import LevelRows
from mixedfx.glmm.likelihood import Likelihood
from mixedfx.glmm.pairs import PairLikelihood, likelihood_of
from mixedfx.linalg import triangular
from mixedfx.pls.crossproducts import orthogonal_columns, triangle
from mixedfx.pls.factorization import Pair, scaled
from mixedfx.pls.factors import group_factors
from mixedfx.pls.nesting import Tree, find_tree
from mixedfx.pls.problem import LateProblem, Problem
from mixedfx.pls.row_map import LoopedRows, RowMap, row_map

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scan:
    """What one pass over the rows finds.

    Attributes
    ----------
    gamma, v
        Where.
    value
        Sum of log f, less v'v / 2; -inf where a row is impossible.
    eta, s, w
        (n,) linear predictor, score, observed weight.
    h
        Z's.
    blocks
        Z'WZ, flat as `RowMap.blocks` gives it; None where it is still to be formed.
    """

    gamma: Vector
    v: Pair
    value: float
    eta: Vector
    s: Vector
    w: Vector
    h: Pair
    blocks: tuple[Vector, Vector, Vector] | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """One design under one family.

    Attributes
    ----------
    design, family
        What is fitted.
    problem
        Patterns and parameters; its cross-products are of weights one.
    rows
        The rows of Z; what follows has their order.
    likelihood
        Of the rows.
    Q
        (n, p) fixed part, X = Q R with R that of `problem`.
    offset
        (n,)
    prior
        Of the coefficients, where the estimate is a maximum a posteriori.
    """

    design: Design
    family: Family
    problem: Problem
    rows: RowMap
    likelihood: Likelihood
    Q: Vector
    offset: Vector
    prior: CoefficientPrior | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Lengths of gamma, par and phi."""
        return self.Q.shape[1], self.problem.n_parameters, len(self.likelihood.names)

    @cached_property
    def columns(self) -> Vector:
        """(p, n) the transpose of Q, laid out by columns of X."""
        return np.ascontiguousarray(self.Q.T)

    @cached_property
    def tree(self) -> Tree | None:
        """How the grouping factors nest, where every random term is an intercept and they do."""
        return find_tree(self.problem, self.rows.order)

    @cached_property
    def levels(self) -> LevelRows:
        """Sums over the rows of levels of the first factor."""
        return LevelRows.of(self.rows)

    @cached_property
    def looped_nodes(self) -> bool:
        """Whether compiled loops pass over rows and nodes: many rows, of a family whose formulas they know."""
        own = self.likelihood
        return isinstance(self.rows, LoopedRows) and own.fast is not None and not own.names

    @cached_property
    def node_rows(self) -> tuple[NDArray[np.int64], Vector, Vector, NDArray[np.int64]]:
        """Start of each level's rows, z, and columns and entries of the second level, for those loops."""
        assert isinstance(self.rows, LoopedRows)
        levels = self.problem.factors[0].n_levels
        start = np.searchsorted(self.rows.codes, np.arange(levels + 1)).astype(np.int64)
        return start, self.rows.z, np.ascontiguousarray(self.rows.second[1]), self.rows.entries

    def split(self, psi: Vector) -> tuple[Vector, Vector, Vector]:
        """Gamma, par and phi."""
        p, r, _ = self.sizes
        return psi[:p], psi[p : p + r], psi[p + r :]

    def beta(self, gamma: Vector) -> Vector:
        """(p,) coefficients of X."""
        return np.asarray(triangular.solve(self.problem.R, gamma))

    def scaled(self, T: list[Vector], b: Pair, transposed: bool = False) -> Pair:
        """Lambda b, or Lambda'b."""
        return scaled(T, self.problem.coupling, b, transposed)

    def zero(self, r: int = 1) -> Pair:
        """Random effects of zero, r of each."""
        first = self.problem.factors[0]
        q2 = 0 if self.problem.coupling is None else self.problem.coupling.size
        return np.zeros((first.n_levels, first.k, r)), np.zeros((q2, r))

    def by_factor(self, b: Pair) -> list[Vector]:
        """One (q, k, r) array for each factor."""
        if self.problem.coupling is None:
            return [b[0]]
        return [b[0], *(b[1][position] for position in self.problem.coupling.positions)]

    def scan(self, gamma: Vector, T: list[Vector], phi: Vector, v: Pair) -> Scan:
        """One pass over the rows at a point."""
        base, u = self.offset + self.Q @ gamma, self.scaled(T, v)
        own, penalty = self.likelihood, 0.5 * inner(v, v)
        if isinstance(self.rows, LoopedRows) and own.fast is not None:
            total, eta, s, w, h, blocks = self.rows.scan(own.fast.kind, own.y, own.trials, own.shape(phi), base, u)
            total += own.constant(phi) - penalty
            return Scan(gamma, v, total if np.isfinite(total) else -np.inf, eta, s, w, h, blocks)
        eta = self.rows.predictor(base, u)
        total, s, w = own.scan(eta, phi)
        return Scan(gamma, v, total - penalty, eta, s, w, self.rows.score_products(s))

    def higher(self, eta: Vector, phi: Vector) -> tuple[Vector, Vector]:
        """(n,) minus the third and minus the fourth derivatives of the log densities."""
        own = self.likelihood
        if not isinstance(self.rows, LoopedRows) or own.fast is None:
            return own.higher(eta, phi)
        from mixedfx.linalg.density_rows import higher_rows

        third, fourth = np.empty((2, len(eta)))
        higher_rows(own.fast.kind, own.y, own.trials, own.shape(phi), eta, third, fourth)
        return third, fourth

    def bends(self, eta: Vector, phi: Vector) -> Bends:
        """How the weights of the rows change with their linear predictors."""
        own = self.likelihood
        return own.bends(eta, phi) if isinstance(own, PairLikelihood) else RowBends(*self.higher(eta, phi))

    def with_frames(self, problem: Problem) -> Model:
        """The same with other frames of its covariance factors."""
        return replace(self, problem=problem)


def build_model(design: Design, family: Family, compiled: bool | None = None) -> Model:
    """The engine's view of a design; `compiled` as in `row_map`.

    Raises
    ------
    MemoryForecastError
        If the factor of the second level would not fit in the memory that is free.
    """
    plain, n = replace(design, weights=None, known_sd=None), len(design.y)
    factors = group_factors(plain)
    R, inverse = triangle(design.X)
    problem = LateProblem(
        plain, factors=factors, R=R / np.sqrt(n), shift=np.zeros(len(R)), n=n, REML=False, sigma=1.0,
        n_parameters=sum(block.structure.n_parameters for group in factors for block in group.blocks),
    )  # fmt: skip
    rows = row_map(problem, compiled)
    Q = np.ascontiguousarray(orthogonal_columns(design.X, R, inverse)[rows.order]) * np.sqrt(n)
    return Model(
        design, family, problem, rows, likelihood_of(design, family, rows.order), Q, design.offset[rows.order]
    )  # fmt: skip


def inner(a: Pair, b: Pair) -> float:
    """A'b of two vectors in the space of the random effects."""
    return float(np.vdot(a[0], b[0]) + np.vdot(a[1], b[1]))


def products(a: Pair, b: Pair) -> Vector:
    """(r, s) products a'b of columns in the space of the random effects."""
    rows = a[0].shape[0] * a[0].shape[1]
    first = a[0].reshape(rows, a[0].shape[-1]).T @ b[0].reshape(rows, b[0].shape[-1])
    return first + a[1].T @ b[1] if len(a[1]) else first


def plus(a: Pair, b: Pair, size: float = 1.0) -> Pair:
    """The sum a + size b."""
    return a[0] + size * b[0], a[1] + size * b[1]
