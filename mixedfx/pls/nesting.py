r"""Intercepts of grouping factors each nested in the next: a covariance whose every product is a walk along a tree.

For pupils in classes in schools, with a random intercept for each, row r has the linear predictor
eta_r = base_r + U_i, where i is the finest level it belongs to and U_i = t_1 v_1 + t_2 v_2 + ... sums the effects of
that level and of those above it. Everything is then in sums over rows of the finest levels, and

    A = Lambda'Z'WZ Lambda + I

is eliminated level by level without fill. With G_f the precision that the rows below tell about the sum of the effects
from factor f upwards, all finer effects integrated out (G_1 the sums of the weights w),

    M_f = 1 + t_f^2 G_f,    G_{f+1} = sum over children of G_f / M_f,    log|A| = sum of log M_f.

Given everything else, U of a level has the mean (U_parent + t_f^2 Y_f) / M_f, where Y_{f+1} sums Y_f / M_f and Y_1 is
what the rows say; its variance is S_f = t_f^2 / M_f + S_parent / M_f^2. Two levels of factor f whose paths meet at a
level l have the covariance S_l times the 1 / M of both paths, so that quadratic forms in its squares are sums along the
tree, too (`squares`). That makes second derivatives of Laplace's criterion exact (`mixedfx.glmm.nested`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.coupling import SMALL
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Tree:
    """Which level of each factor belongs to which of the next.

    Levels are numbered so that those of one parent follow each other.

    Attributes
    ----------
    codes
        (n,) finest level of each row.
    parents
        For each factor but the last, the level (q_f,) of the next, ascending.
    sizes
        Number of levels q_f of each factor, finest first.
    order
        (q_1,) the level of the first factor of the problem that each finest level is.
    places
        For each factor but the first, where its effects stand in the second level of the problem.
    """

    codes: Index
    parents: tuple[Index, ...]
    sizes: tuple[int, ...]
    order: Index
    places: tuple[Index, ...]

    @cached_property
    def _starts(self) -> tuple[Index, ...]:
        """For each factor but the last, where the levels of each parent begin."""
        return tuple(
            np.searchsorted(parent, np.arange(q)) for parent, q in zip(self.parents, self.sizes[1:], strict=True)
        )

    @cached_property
    def _wide(self) -> dict[int, Index]:
        return {}

    def gathered(self, x: Vector) -> Vector:
        """(..., q) sums over the rows of each finest level of (..., n)."""
        size = self.sizes[0]
        if x.ndim == 1:
            return np.asarray(np.bincount(self.codes, x, size), dtype=np.float64)
        width = len(x)
        if not width:
            return np.zeros((0, size))
        if width not in self._wide:
            self._wide[width] = (np.arange(width)[:, None] * size + self.codes).ravel()
        sums = np.bincount(self._wide[width], x.ravel(), width * size)
        return np.asarray(sums, dtype=np.float64).reshape(width, size)

    def up(self, f: int, x: Vector) -> Vector:
        """(..., q_{f+1}) sums over the levels of factor f, counted from zero, that belong to each of the next."""
        return np.add.reduceat(x, self._starts[f], axis=-1)

    def upwards(self, x: Vector) -> list[Vector]:
        """Sums over the finest levels (..., q_1) that belong to each level of each factor."""
        out = [x]
        for f in range(len(self.parents)):
            out.append(self.up(f, out[f]))
        return out

    def total(self, parts: list[Vector]) -> Vector:
        """(..., q_1) sums over the factors of numbers (..., q_f) of each level that a finest level belongs to."""
        out = parts[-1]
        for f in range(len(self.parents) - 1, -1, -1):
            out = out.take(self.parents[f], axis=-1) + parts[f]
        return out


class TreeFactor:
    """A at weights whose sums over the finest levels are G (q_1,), for standard deviations t.

    Raises
    ------
    numpy.linalg.LinAlgError
        If A is not positive definite.
    """

    def __init__(self, tree: Tree, t: list[float], G: Vector) -> None:
        self.tree, self.t = tree, t
        self.G: list[Vector] = []
        self.M: list[Vector] = []
        self.logdet = 0.0
        for f, t_f in enumerate(t):
            if f:
                G = tree.up(f - 1, G / self.M[f - 1])
            M = 1.0 + (t_f * t_f) * G
            if not M.min() > 0.0:
                raise np.linalg.LinAlgError("matrix is not positive definite")
            self.G.append(G)
            self.M.append(M)
            self.logdet += float(np.log(M).sum())

    def solve(self, b: list[Vector]) -> list[Vector]:
        """A^{-1} b, for numbers (..., q_f) of each factor."""
        tree, last = self.tree, len(self.t) - 1
        scaled, above = [b[0] / self.M[0]], None
        for f in range(last):
            told = (self.t[f] * self.G[f]) * scaled[f]
            above = tree.up(f, told if above is None else above + told)
            scaled.append((b[f + 1] - self.t[f + 1] * above) / self.M[f + 1])
        x, U = scaled, self.t[last] * scaled[last]
        for f in range(last - 1, -1, -1):
            U = U.take(tree.parents[f], axis=-1)
            x[f] = x[f] - (self.t[f] * self.G[f] / self.M[f]) * U
            if f:
                U = U + self.t[f] * x[f]
        return x

    def means(self, Y: Vector) -> Vector:
        """(..., q_1) the sums C y of the finest levels, C = Z Lambda A^{-1} Lambda'Z', from sums Y of y over them."""
        tree, told = self.tree, [Y]
        for f in range(len(self.t) - 1):
            told.append(tree.up(f, told[f] / self.M[f]))
        U = None
        for f in range(len(self.t) - 1, -1, -1):
            own = self.t[f] ** 2 * told[f]
            U = (own if U is None else U.take(tree.parents[f], axis=-1) + own) / self.M[f]
        assert U is not None
        return U

    @cached_property
    def variances(self) -> list[Vector]:
        """S_f (q_f,) of each factor."""
        out: list[Vector] = [np.zeros(0)] * len(self.t)
        for f in range(len(self.t) - 1, -1, -1):
            own = self.t[f] ** 2 / self.M[f]
            out[f] = own if f == len(self.t) - 1 else own + out[f + 1].take(self.tree.parents[f]) / self.M[f] ** 2
        return out

    @cached_property
    def own_squares(self) -> list[Vector]:
        """For each factor S_f^2 - S_parent^2 / M_f^4, what pairs of rows that first meet there add."""
        out = []
        for M, S, t in zip(self.M, self.variances, self.t, strict=True):
            own = t * t / M
            out.append(own * (2.0 * S - own))
        return out

    def carried(self, f: int, x: Vector) -> list[Vector]:
        """(..., q_g) sums of x (..., q_f) times the 1 / M^2 of the path, for the factors g from f on."""
        out = [x]
        for g in range(f, len(self.t) - 1):
            out.append(self.tree.up(g, out[-1] / self.M[g] ** 2))
        return out

    def squares(self, f: int, carried: list[Vector]) -> Vector:
        """(q_f,) sums over the levels j of factor f of C_ij^2 x_j, from what `carried` makes of x (q_f,)."""
        out = None
        for g in range(len(self.t) - 1, f - 1, -1):
            own = self.own_squares[g] * carried[g - f]
            out = own if out is None else own + out.take(self.tree.parents[g]) / self.M[g] ** 2
        assert out is not None
        return out


def find_tree(problem: Problem, order: Index) -> Tree | None:
    """The tree of a problem whose random terms are intercepts of factors each nested in the next; else None."""
    factors = problem.factors
    if not problem.linear or any(len(g.blocks) != 1 or g.k != 1 or g.mixing is not None for g in factors):
        return None
    if any(g.blocks[0].structure.n_parameters != 1 for g in factors):
        return None
    if not all(np.array_equal(dT, np.ones((1, 1, 1))) for _, dT in problem.directions(np.zeros(problem.n_parameters))):
        return None
    codes = [g.codes[order] for g in factors]
    parents = []
    for g, below, above in zip(factors[:-1], codes[:-1], codes[1:], strict=True):
        parent = np.full(g.n_levels, -1, dtype=np.intp)
        parent[below] = above
        if not np.array_equal(parent[below], above):
            return None
        parents.append(parent)
    if any(parent.min(initial=0) < 0 for parent in parents) or not all((g.z == 1.0).all() for g in factors):
        return None
    sizes = tuple(g.n_levels for g in factors)
    orders = [np.arange(sizes[-1])]  # the level of the problem that each level here is, coarsest factor first
    for parent in reversed(parents):
        rank = np.empty(len(orders[-1]), dtype=np.intp)
        rank[orders[-1]] = np.arange(len(rank))
        orders.append(np.argsort(rank[parent], kind="stable"))
    orders.reverse()
    ranks = []
    for own in orders:
        rank = np.empty(len(own), dtype=np.intp)
        rank[own] = np.arange(len(own))
        ranks.append(rank)
    ascending = tuple(ranks[f + 1][parent[orders[f]]] for f, parent in enumerate(parents))
    places = tuple(place[own] for place, own in zip(_places(problem, sizes[1:]), orders[1:], strict=True))
    return Tree(ranks[0][codes[0]], ascending, sizes, orders[0], places)


def _places(problem: Problem, sizes: tuple[int, ...]) -> tuple[Index, ...]:
    """Positions of the effects of the second level; one after the other where it is too small to be permuted."""
    if sum(sizes) > SMALL:
        assert problem.coupling is not None
        return tuple(place[:, 0] for place in problem.coupling.positions)
    ends = np.cumsum([0, *sizes])
    return tuple(np.arange(a, b) for a, b in itertools.pairwise(ends))
