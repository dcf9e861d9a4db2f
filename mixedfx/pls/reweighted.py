r"""A = Lambda'Z'WZ Lambda + I of rows with weights w, without a factor: leverages and what pulls on them, by probes.

The determinant of Laplace's approximation moves with the linear predictors eta through the weights, by the leverages
c = diag(Z Lambda A^{-1} Lambda'Z'): along a direction K (n,) of the weights the derivative of log|A| is K'c. With the
first factor eliminated, g the row's level there, W_g = T1 M1_g^{-1} T1' and V_g = Z2'W Z1 of that level,

    c_i = z_1'W_g z_1 + x_i'Lambda2 C^{-1} Lambda2'x_i,      x_i = z_2 - V_g W_g z_1.

C^{-1} is known in part (`mixedfx.pls.iterative`): its blocks D^{-1}, whose forms a pass over the rows takes exactly,
and products L R' of a few columns. The rest N is estimated with the signs that serve the traces, x_i'N x_i being the
mean of (x_i'N z)(x_i'z), so that leverages and traces take one solve together. Of the leverages themselves only the
mean over all probes is kept; of their sums along the directions that are asked for, every probe's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.conjugate_gradients import Array
from mixedfx.pls import iterative
from mixedfx.pls.factorization import Pair
from mixedfx.pls.iterative import IterativeFactorization, Traces
from mixedfx.pls.problem import Problem
from mixedfx.pls.row_leverages import RowIncidence

Vector = NDArray[np.float64]

STEP = 1e-4  # tolerance of solves for steps of Newton's method, which the next step mends
MOVES = 1e-6  # of those for derivatives of the mode, whose forms have its square


@dataclass(frozen=True)
class Pull:
    """Directions K (n, d) of the weights: third (Q, Z u, 0) + (0, 0, bend).

    Attributes
    ----------
    third
        (n,) derivatives of the weights in eta.
    Q
        (n, p), the first p directions of eta besides Z u.
    u
        (q1, k1, d) and (q2, d).
    bend
        (a, n) what the weights move by themselves, along the last a directions.
    """

    third: Vector
    Q: Vector
    u: Pair
    bend: Vector


@dataclass(frozen=True)
class Probed:
    """What m probes say.

    Attributes
    ----------
    traces
        Sums of diagonal blocks of Z'V^{-1}Z, probe by probe.
    sums
        (m, d) K'c by each probe.
    leverages
        (n,) c, their mean.
    """

    traces: Traces
    sums: Vector
    leverages: Vector


class ReweightedFactorization(IterativeFactorization):
    """A at one set of weights and relative covariance factors.

    Parameters
    ----------
    problem
        With the rows times the roots of their weights.
    rows
        The rows without weights.
    w
        (n,) weights, none negative.
    T
        The (k, k) relative covariance factor of each factor.
    """

    def __init__(self, problem: Problem, rows: RowIncidence, w: Vector, T: list[Vector]) -> None:
        super().__init__(problem, T)
        self.rows, self.w = rows, w

    def solve(self, b: Pair, tolerance: float | None = None) -> Pair:
        """A^{-1} b; by default to the digits that derivatives of the mode need."""
        return super().solve(b, MOVES if tolerance is None else tolerance)

    def newton_step(self, b: Pair) -> Pair:
        """A^{-1} b to few digits."""
        return super().solve(b, STEP)

    def probed(self, begin: int, end: int, pull: Pull) -> Probed:
        """Traces, and leverages along the directions of `pull`, from probes number `begin` to `end`."""
        inverse, forms = self._exact_parts()
        known = self._known_leverages()
        estimated = np.zeros_like(known)
        scaled: list[list[Vector]] = [[] for _ in self.T]
        plain: list[list[Vector]] = [[] for _ in self.T]
        sums = []
        for at in range(begin, end, iterative.BATCH):
            z = self.signs(at, min(at + iterative.BATCH, end))
            given, rest = self._deviations(z)
            for f, (first, second) in enumerate(zip(*self._by_probes(z, given, rest, inverse, forms), strict=True)):
                scaled[f].append(first)
                plain[f].append(second)
            sums.append(self._add_products(given, rest, estimated, pull))
        traces = Traces([np.concatenate(s) for s in scaled], [np.concatenate(p) for p in plain])
        own = np.concatenate(sums) + self._along(pull, known)
        return Probed(traces, own, known + estimated / (end - begin))

    def _along(self, pull: Pull, c: Vector) -> Vector:
        """(d,) K'c."""
        t = pull.third * c
        zt = self.rows.transposed(t[:, None])
        out = np.einsum("qkd,qk->d", pull.u[0], zt[0][:, :, 0]) + zt[1][:, 0] @ pull.u[1]
        out[: pull.Q.shape[1]] += pull.Q.T @ t
        if len(pull.bend):
            out[-len(pull.bend) :] += pull.bend @ c
        return out

    def _known_leverages(self) -> Vector:
        """(n,) leverages by the part of C^{-1} that is known."""
        inner = self.weights + np.matmul(np.matmul(self.weights, self._known_forms), self.weights)
        out = self.rows.block_leverages(self.w, self.weights, inner, self.known_blocks)
        for left, right in self.known_pairs:
            self._add_products(left, right, out)
        return out

    def _add_products(self, left: Array, right: Array, total: Vector, pull: Pull | None = None) -> Vector:
        """Add sums over c of (x'l_c)(x'r_c) to `total` (n,); (m, d) the same along the directions, by column."""
        sides = [self._scale_second(b) for b in (left, right)]
        firsts = [
            np.matmul(self.weights, self.incidence.up(b).reshape(self.incidence.q1, len(self.T[0]), -1)) for b in sides
        ]
        firsts = [one.astype(left.dtype, copy=False) for one in firsts]
        directions = None if pull is None else (pull.third, pull.Q, pull.u, pull.bend)
        return self.rows.product_leverages(sides, firsts, total, directions)
