r"""M = Lambda'Z'Z Lambda + I without a factor: products, and solves by conjugate gradients.

The first factor is eliminated exactly, as in `Factorization`; what is left is solved by conjugate gradients on

    C = Lambda2'(Z2'Z2 - Z2'Z1 W Z1'Z2) Lambda2 + I,      W = T1 M1^{-1} T1',

whose product is one pass over the rows (`mixedfx.pls.incidence`), preconditioned by its own diagonal blocks D, one for
each level of each other factor.

**Products with Z'V^{-1}Z without cancellation.** Z'V^{-1}Z = Z'Z - Z'Z Lambda M^{-1} Lambda'Z'Z is a small difference
of large terms where groups differ much. But Lambda'Z'V^{-1}Z Lambda = I - M^{-1}. So for v = Lambda w + e, with b =
Lambda'Z'Z e and x = M^{-1}(w - b),

    v'Z'V^{-1}Z v = w'w + e'Z'Z e - (w - b)'x,
    Z'V^{-1}Z v = Lambda^{-T}(w - x)     in the rows of factors whose T is regular,
                  Z'Z (e + Lambda x)     in the others,

and e is needed for factors only whose T is singular or nearly so: boundaries need no case of their own. Likewise
Lambda'Z'V^{-1}W = M^{-1}Lambda'Z'W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import IterativeSolverError
from mixedfx.linalg import batched
from mixedfx.linalg.conjugate_gradients import Array, Solved, conjugate_gradients
from mixedfx.pls.factorization import Factorization, Pair, _batch_product
from mixedfx.pls.incidence import Incidence
from mixedfx.pls.problem import Problem
from mixedfx.pls.second_level import REGULAR, apply_blocks

Vector = NDArray[np.float64]

EXACT = 1e-9  # tolerance of solves that the estimates rest on; quadratic forms have its square
CAREFUL = 1e-12  # of the same where differences of products follow, with a T that is not regular
MOST_STEPS = 2000


class IterativeSolves(Factorization):
    """M at one set of relative covariance factors, by iteration; the verbs of `Factorization` that need no factor.

    Parameters
    ----------
    problem
        Its coupling is an `Incidence`.
    T
        The (k, k) relative covariance factor of each factor.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite to rounding.
    """

    def __init__(self, problem: Problem, T: list[Vector]) -> None:
        self.problem, self.T = problem, T
        coupling = problem.coupling
        assert isinstance(coupling, Incidence)
        self.incidence = coupling
        k1 = len(T[0])
        M1 = batched.sandwich(T[0], problem.gram1)
        M1[np.arange(k1), np.arange(k1)] += 1.0
        self.L1 = batched.cholesky(M1)
        self.L1_inverse = batched.invert_lower(self.L1)
        self.M1_inverse = batched.gram_of_lower(self.L1_inverse)
        self.weights = np.ascontiguousarray(batched.sandwich(T[0].T, self.M1_inverse).transpose(2, 0, 1))
        self.logdet_blocks = 2.0 * float(np.log(self.L1[np.arange(k1), np.arange(k1)]).sum())
        self.D, self.D_inverse, self.D_lower = [], [], []
        for Tf, block in zip(T[1:], coupling.diagonal_blocks(self.weights), strict=True):
            own = batched.sandwich(Tf, np.ascontiguousarray(block.transpose(1, 2, 0)))
            k = len(Tf)
            own[np.arange(k), np.arange(k)] += 1.0
            lower = batched.cholesky(own)
            self.D.append(own)
            self.D_lower.append(lower)
            self.D_inverse.append(batched.gram_of_lower(batched.invert_lower(lower)))
            self.logdet_blocks += 2.0 * float(np.log(lower[np.arange(k), np.arange(k)]).sum())
        self.regular = [_regular(Tf) for Tf in T]

    @property
    def second(self) -> None:  # type: ignore[override]
        """There is no factor of the second level."""
        raise _needs_factor()

    @property
    def logdet(self) -> float:  # type: ignore[override]
        """Known with a Monte Carlo error only; see `log_determinants`."""
        raise _needs_factor()

    def release(self) -> None:
        """Nothing is kept that could be let go."""

    def half_solve(self, b: Pair) -> Pair:
        """Refused: there is no factor."""
        raise _needs_factor()

    def half_solve_transposed(self, b: Pair) -> Pair:
        """Refused: there is no factor."""
        raise _needs_factor()

    def inverse_blocks(self) -> list[Vector]:
        """Refused: they take a solve for every effect."""
        raise _needs_factor()

    def score_sums(self) -> tuple[list[Vector], list[Vector]]:
        """Refused: they are estimated, see `traces`."""
        raise _needs_factor()

    # --- products and solves ---------------------------------------------------------------------------------------
    def gram(self, b: Pair) -> Pair:
        """Z'Z b."""
        flat = b[0].reshape(-1, b[0].shape[2])
        first = _batch_product(self.problem.gram1, b[0]) + self.incidence.up(b[1]).reshape(b[0].shape)
        return first, self.incidence.down(flat) + self.incidence.within(b[1])

    def solve(self, b: Pair, tolerance: float | None = None) -> Pair:
        """M^{-1} b.

        Parameters
        ----------
        b
            Right-hand sides.
        tolerance
            Relative length of the residual; None: what estimates need.

        Raises
        ------
        IterativeSolverError
            If conjugate gradients do not come to an end.
        """
        tolerance = (EXACT if all(self.regular) else CAREFUL) if tolerance is None else tolerance
        kind = b[0].dtype
        c1 = _batch_product(self.M1_inverse, b[0])
        moved = apply_blocks(self.T[0], c1).astype(kind, copy=False)
        down = self.incidence.down(moved.reshape(-1, moved.shape[2]))
        x2: Any = self._solve_second(b[1] - self._scale_second(down, True), tolerance).x
        back = self.incidence.up(self._scale_second(x2)).reshape(b[0].shape)
        x1 = c1 - _batch_product(self.M1_inverse, apply_blocks(self.T[0].T, back))
        return x1.astype(kind, copy=False), x2

    def _apply(self, x: Array) -> Array:
        """C x."""
        weights = self.weights.astype(x.dtype, copy=False)
        return self._scale_second(self.incidence.schur(weights, self._scale_second(x)), True) + x

    def _solve_second(
        self, b: Array, tolerance: float, project: Callable[[Array], Array] | None = None
    ) -> Solved:  # fmt: skip
        """C^{-1} b, or the inverse of C between projections in whose range b is."""

        def apply(x: Array) -> Array:
            out = self._apply(x)
            return out if project is None else project(out)

        found = conjugate_gradients(apply, self._precondition, b, tolerance, MOST_STEPS)
        if not found.converged:
            raise IterativeSolverError(
                f"conjugate gradients did not come to an end in {MOST_STEPS:,} steps: the crossed factors hardly meet, "
                "or levels are confounded",
                hint='Fit with control={"solver": "direct"}: where few levels meet, its factor is sparse.',
            )
        return found

    def _scale_second(self, b: Array, transposed: bool = False) -> Array:
        """Lambda2 b, or Lambda2'b, in the precision of b."""
        out = np.empty_like(b)
        for Tf, position in zip(self.T[1:], self.incidence.positions, strict=True):
            own = slice(position[0, 0], position[-1, -1] + 1)
            if len(Tf) == 1:
                np.multiply(b[own], b.dtype.type(Tf[0, 0]), out=out[own])
            else:
                used = (Tf.T if transposed else Tf).astype(b.dtype)
                out[own] = np.matmul(used, b[own].reshape(*position.shape, -1)).reshape(out[own].shape)
        return out

    def _precondition(self, r: Array) -> Array:
        """D^{-1} r."""
        return self._by_blocks(self.D_inverse, r)

    def _by_blocks(self, blocks: list[Vector], r: Array) -> Array:
        out = np.empty_like(r)
        for block, position in zip(blocks, self.incidence.positions, strict=True):
            own = slice(position[0, 0], position[-1, -1] + 1)
            part = r[own].reshape(*position.shape, -1)
            if len(block) == 1:
                out[own] = r[own] * block[0, 0].astype(r.dtype, copy=False)[:, None]
            else:
                out[own] = np.einsum("abj,jbm->jam", block.astype(r.dtype, copy=False), part).reshape(out[own].shape)
        return out

    # --- products with Z'V^{-1}Z ------------------------------------------------------------------------------------
    def right_side(self, w: Pair, e: Pair) -> tuple[Pair, Pair]:
        """The vectors w - b and Z'Z e, b = Lambda'Z'Z e; e is read where a factor is singular only."""
        if all(self.regular):
            return w, (np.zeros((0, 0, 0)), np.zeros((0, 0)))
        Ge = self.gram(e)
        b = self.scale_transposed(Ge)
        return (w[0] - b[0], w[1] - b[1]), Ge

    def by_factor(self, b: Pair) -> list[Vector]:
        """A pair (q1, k1, r), (q2, r) as one (q, k, r) array for each factor."""
        return [b[0], *(b[1][p[0, 0] : p[-1, -1] + 1].reshape(*p.shape, -1) for p in self.incidence.positions)]


def _regular(T: Vector) -> bool:
    """Whether T may be inverted."""
    return smallest_singular(T) > REGULAR * max(1.0, float(np.abs(T).max()))


def smallest_singular(T: Vector) -> float:
    """The smallest singular value of T."""
    return float(abs(T[0, 0]) if len(T) == 1 else np.linalg.svd(T, compute_uv=False)[-1])


def _needs_factor() -> IterativeSolverError:
    return IterativeSolverError(
        "this needs the factor of all crossed effects, which an iterative fit does without",
        hint='Fit with control={"solver": "direct"} where memory allows; estimates, standard errors, fit.apply and '
        "mx.effects do not need it.",
    )
