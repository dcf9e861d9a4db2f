r"""M = Lambda'Z'Z Lambda + I without a factor: solves by conjugate gradients, traces and log determinant by probes.

The first factor is eliminated exactly, as in `Factorization`; what is left is solved by conjugate gradients on

    C = Lambda2'(Z2'Z2 - Z2'Z1 W Z1'Z2) Lambda2 + I,      W = T1 M1^{-1} T1',

whose product is one pass over the rows (`mixedfx.pls.incidence`), preconditioned by its own diagonal blocks D, one for
each level of each other factor.

**Products with Z'V^{-1}Z without cancellation.** Z'V^{-1}Z = Z'Z - Z'Z Lambda M^{-1} Lambda'Z'Z is a small difference of
large terms where groups differ much. But Lambda'Z'V^{-1}Z Lambda = I - M^{-1}. So for v = Lambda w + e, with b =
Lambda'Z'Z e and x = M^{-1}(w - b),

    v'Z'V^{-1}Z v = w'w + e'Z'Z e - (w - b)'x,
    Z'V^{-1}Z v = Lambda^{-T}(w - x)     in the rows of factors whose T is regular,
                  Z'Z (e + Lambda x)     in the others,

and e is needed for factors only whose T is singular or nearly so: boundaries need no case of their own. Likewise
Lambda'Z'V^{-1}W = M^{-1}Lambda'Z'W.

**Traces** (Hutchinson 1990). Of C^{-1} only what is beside known parts is estimated, with independent signs z for the
effects of the second level and y = C^{-1}z: z_j y_j' has the mean [C^{-1}]_jj. The first factor needs no signs of its own,
since its blocks are (`mixedfx.pls.factorization`)

    Z'V^{-1}Z_ii = G1_i K_i - K_i'F_i K_i,      F_i = V_i'C^{-1}V_i = E[V_i'y (V_i'z)'],     V = Lambda2'Z2'Z1.

Known are the blocks D^{-1}, and what they are in F_i; and of factors with few levels (departments, years), E their
columns, everything: with X = C^{-1}E, a solve for each, and o the columns of the others,

    C^{-1} = [C_oo^{-1}, 0; 0, 0] + X (E'X)^{-1} X',     log|C| = log|C_oo| - log|E'X|,

so that signs are needed for C_oo^{-1} alone, and levels that lie in one of few are no source of noise. Of N = C_oo^{-1} -
D^{-1}, what is along the sums of the effects of a factor, which other factors and the fixed part share, is known too: with
Q unit vectors along these, QQ'N + N QQ' - QQ'N QQ'. Signs estimate (I - QQ') N (I - QQ') (Meyer et al. 2021). Where T of a
factor f of the second level is not regular, its block is S_f of S = Z2'V1^{-1}Z2 less S Lambda2 C^{-1} Lambda2'S, and gets
signs and a solve of its own. The signs of each factor come from a seed of its own: probes are the same in every
evaluation, in every run, and in every model that has the factor.

**Log determinant.** log|M| = log|M1| + log|D| + log|A|, A = D^{-1/2} C D^{-T/2}, the last by quadrature
(`mixedfx.linalg.conjugate_gradients`). The diagonal of A is one, so that z'A z - z'z has the mean zero and goes as a
control variate: what noise is left is of the second order in what A has beside its diagonal. The directions q = L'Q, D =
L L', in which A may be nearly singular, are taken out: with P the projection beside them, log|A| = log|P A P| -
log|q'A^{-1}q| for orthonormal q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import IterativeSolverError
from mixedfx.linalg import batched
from mixedfx.linalg.conjugate_gradients import Array, Solved, conjugate_gradients, log_quadrature
from mixedfx.pls.factorization import Factorization, Pair, _batch_product
from mixedfx.pls.incidence import Incidence
from mixedfx.pls.problem import Problem
from mixedfx.pls.second_level import REGULAR, apply_blocks

Vector = NDArray[np.float64]

EXACT = 1e-9  # tolerance of solves that the estimates rest on; quadratic forms have its square
CAREFUL = 1e-12  # of the same where differences of products follow, with a T that is not regular
PROBE = 1e-4  # of solves with probes, whose own noise is far larger
QUADRATURE = 1e-4  # of solves whose coefficients give the log determinant: quadrature has twice the digits
MOST_STEPS = 2000
BATCH = 16  # probes that are solved together
FEW_EFFECTS, FEW_OF_FEW = 64, 256  # effects of factors with few levels, together, that are solved for one by one
FEW_ROWS = 100_000  # rows up to which these are more, since a pass takes little
SINGLE_FROM = 1_000_000  # rows from which probes are solved in single precision: half the memory to pass over
SEED = 2026


@dataclass(frozen=True)
class Traces:
    """Estimates of sums of diagonal blocks of Z'V^{-1}Z, probe by probe.

    Attributes
    ----------
    scaled, plain
        For each factor (m, k, k): the sums over its levels of Z'V^{-1}Z Lambda and of Z'V^{-1}Z, from each of m probes.
    """

    scaled: list[Vector]
    plain: list[Vector]


@dataclass(frozen=True)
class Known:
    """The part of C^{-1} that belongs to factors with few levels.

    Attributes
    ----------
    factors
        Which, among those of the second level.
    columns
        Their effects.
    X
        (q2, s) columns of C^{-1}.
    inverse, logdet
        (s, s) inverse of E'X, and log|E'X|.
    Q, U, QU
        (q2, c) unit vectors along the sums of the effects of the other factors, U = (C_oo^{-1} - D^{-1}) Q, and Q'U.
    """

    factors: frozenset[int]
    columns: NDArray[np.intp]
    X: Vector
    inverse: Vector
    logdet: float
    Q: Vector
    U: Vector
    QU: Vector

    def without_few(self, y: Array) -> Array:
        """C_oo^{-1} b from y = C^{-1} b (q2, m), b zero where levels are few."""
        if not len(self.columns):
            return y
        out = y - (self.X @ (self.inverse @ y[self.columns])).astype(y.dtype, copy=False)
        out[self.columns] = 0.0
        return out

    def beside_sums(self, z: Array, rest: Array) -> tuple[Array, Array]:
        """(I - QQ')z and (I - QQ')(C_oo^{-1} - D^{-1})(I - QQ')z, from z and `rest`, the same without projections."""
        along = self.Q.T @ z
        other = rest - (self.U @ along).astype(rest.dtype, copy=False)
        other = other - (self.Q @ (self.Q.T @ other)).astype(rest.dtype, copy=False)
        return z - (self.Q @ along).astype(z.dtype, copy=False), other


class IterativeFactorization(Factorization):
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
        x2 = self._solve_second(b[1] - self._scale_second(down, True), tolerance).x
        back = self.incidence.up(self._scale_second(x2)).reshape(b[0].shape)
        x1 = c1 - _batch_product(self.M1_inverse, apply_blocks(self.T[0].T, back))
        return x1.astype(kind, copy=False), np.asarray(x2)

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

    def marginal(self, w: Pair, Ge: Pair, x: Pair) -> list[Vector]:
        """For each factor (q, k, m) rows of Z'V^{-1}Z v, from what `right_side` and the solve gave."""
        parts_w, parts_x = self.by_factor(w), self.by_factor(x)
        GLx: list[Vector] = []
        if not all(self.regular):
            moved = self.gram(self.scale(x))
            GLx = self.by_factor((moved[0] + Ge[0], moved[1] + Ge[1]))
        out = []
        for f, T in enumerate(self.T):
            if self.regular[f]:
                rest = np.asarray(parts_w[f] - parts_x[f], dtype=np.float64)
                out.append(apply_blocks(np.linalg.inv(T).T, rest))
            else:
                out.append(GLx[f])
        return out

    def by_factor(self, b: Pair) -> list[Vector]:
        """A pair (q1, k1, r), (q2, r) as one (q, k, r) array for each factor."""
        return [b[0], *(b[1][p[0, 0] : p[-1, -1] + 1].reshape(*p.shape, -1) for p in self.incidence.positions)]

    # --- what is estimated by probes ---------------------------------------------------------------------------------
    @cached_property
    def known(self) -> Known:
        """The part of C^{-1} that belongs to factors with few levels, and to the sums of the effects of the others."""
        sizes = [position.size for position in self.incidence.positions]
        few, total = [], 0
        for f in np.argsort(sizes, kind="stable"):
            total += sizes[f]
            if total > (FEW_OF_FEW if self.problem.n <= FEW_ROWS else FEW_EFFECTS):
                break
            few.append(int(f))
        positions = self.incidence.positions
        columns = np.concatenate([np.zeros(0, dtype=np.intp), *(positions[f].ravel() for f in sorted(few))])
        E = np.zeros((self.incidence.size, len(columns)))
        E[columns, np.arange(len(columns))] = 1.0
        sums = [positions[f][:, a] for f in range(len(sizes)) if f not in few for a in range(len(self.T[f + 1]))]
        Q = np.zeros((self.incidence.size, len(sums)))
        for m, own in enumerate(sums):
            Q[own, m] = 1.0 / np.sqrt(len(own))
        found = np.asarray(self._solve_second(np.concatenate([E, Q], axis=1), EXACT).x)
        X = found[:, : len(columns)]
        middle = (X[columns] + X[columns].T) / 2.0
        known = Known(frozenset(few), columns, X, np.linalg.inv(middle), float(np.linalg.slogdet(middle)[1]), Q, Q, Q)
        U = known.without_few(found[:, len(columns) :]) - self._precondition(Q)
        return replace(known, U=U, QU=(Q.T @ U + U.T @ Q) / 2.0)

    def signs(self, begin: int, end: int) -> Vector:
        """Probes number `begin` to `end`: (q2, m) independent signs, zero for factors with few levels."""
        parts, taken = [], {}
        for f, group in enumerate(self.problem.factors[1:]):
            key = group.n_levels, crc32(np.ascontiguousarray(group.codes[:: len(group.codes) // 1000 + 1]).tobytes())
            taken[key] = taken.get(key, 0) + 1  # factors that name the same rows alike
            part = np.zeros((group.n_levels, group.k, end - begin))
            for a in range(0 if f in self.known.factors else group.k):
                for probe in range(begin, end):
                    rng = np.random.default_rng([SEED, key[1], taken[key], a, probe])
                    part[:, a, probe - begin] = rng.integers(0, 2, group.n_levels, dtype=np.int8) * 2.0 - 1.0
            parts.append(part.reshape(-1, end - begin))
        return np.concatenate(parts)

    def traces(self, begin: int, end: int) -> Traces:
        """Sums of diagonal blocks of Z'V^{-1}Z from probes number `begin` to `end`."""
        inverse, forms = self._exact_parts()
        scaled: list[list[Vector]] = [[] for _ in self.T]
        plain: list[list[Vector]] = [[] for _ in self.T]
        for at in range(begin, end, BATCH):
            z = self.signs(at, min(at + BATCH, end))
            for f, (first, second) in enumerate(zip(*self._by_probes(z, inverse, forms), strict=True)):
                scaled[f].append(first)
                plain[f].append(second)
        return Traces([np.concatenate(s) for s in scaled], [np.concatenate(p) for p in plain])

    @cached_property
    def _K(self) -> Vector:
        """(q1, k1, k1) K_i = (I + T1 T1'G1_i)^{-1} = I - W_i G1_i."""
        G = self.problem.gram1.transpose(2, 0, 1)
        return np.eye(len(self.T[0])) - np.matmul(self.weights, G)

    def _exact_parts(self) -> tuple[list[Vector], Vector]:
        """What is known of the sums of blocks of C^{-1}, by factor, and of sum_i K_i'F_i K_i."""
        known, inner, inverse = self.known, [], []
        for f, (T, block) in enumerate(zip(self.T[1:], self.D_inverse, strict=True)):
            few = f in known.factors
            inverse.append(np.zeros_like(T) if few else block.sum(axis=2))
            E = np.zeros((block.shape[2], *T.shape)) if few else np.matmul(T, np.matmul(block.transpose(2, 0, 1), T.T))
            inner.append(np.ascontiguousarray(E))
        forms = self.incidence.forms(inner)
        half = known.U - known.Q @ known.QU / 2.0  # QQ'N + N QQ' - QQ'N QQ' is Q half' + half Q', N Q = U
        pairs = ((known.X @ known.inverse, known.X), (known.Q, half), (half, known.Q))
        for left, right in (pair for pair in pairs if pair[0].shape[1]):
            for f, position in enumerate(self.incidence.positions):
                inverse[f] = inverse[f] + np.einsum("jas,jbs->ab", left[position], right[position])
            one, two = (self._up(b) for b in (left, right))
            forms = forms + np.matmul(one, two.transpose(0, 2, 1))
        return inverse, np.einsum("ica,icd,idb->ab", self._K, forms, self._K, optimize=True)

    def _up(self, b: Array) -> Array:
        """(q1, k1, m) V'b for b (q2, m), V = Lambda2'Z2'Z1."""
        return self.incidence.up(self._scale_second(b)).reshape(self.incidence.q1, len(self.T[0]), -1)

    def _by_probes(self, z: Vector, inverse: list[Vector], forms: Vector) -> tuple[list[Vector], list[Vector]]:
        """For each factor (m, k, k) sums of Z'V^{-1}Z Lambda and of Z'V^{-1}Z, from signs z (q2, m)."""
        given = z.astype(np.float32) if self.problem.n >= SINGLE_FROM else z
        known, m = self.known, z.shape[1]
        y = np.asarray(self._solve_second(given, PROBE).x)
        given, rest = known.beside_sums(given, known.without_few(y) - self._precondition(given))
        T1, G1 = self.T[0], self.problem.gram1
        left, right = (np.matmul(self._K.transpose(0, 2, 1), self._up(b)) for b in (rest, given))
        own = np.einsum("iam,ibm->mab", left, right)
        total = np.einsum("aci,icb->ab", G1, self._K, optimize=True) - forms
        first = total - (own + own.transpose(0, 2, 1)) / 2.0
        scaled, plain = [first @ T1], [first]
        for f, (T, position) in enumerate(zip(self.T[1:], self.incidence.positions, strict=True)):
            if self.regular[f + 1]:
                one, two = (b[position.ravel()].reshape(*position.shape, m) for b in (given, rest))
                own = np.einsum("jam,jbm->mab", one, np.asarray(two, dtype=np.float64))
                sums = inverse[f] + (own + own.transpose(0, 2, 1)) / 2.0
                ZVZT = np.linalg.solve(T.T, len(position) * np.eye(len(T)) - sums)
                ZVZ = np.linalg.solve(T.T, ZVZT.transpose(0, 2, 1))
            else:
                ZVZ = self._singular(f, z)
                ZVZT = ZVZ @ T
            scaled.append(ZVZT)
            plain.append((ZVZ + ZVZ.transpose(0, 2, 1)) / 2.0)
        return scaled, plain

    def _singular(self, f: int, z: Vector) -> Vector:
        """(m, k, k) sums of blocks of Z'V^{-1}Z of a factor of the second level whose T is not regular."""
        position = self.incidence.positions[f]
        own = slice(position[0, 0], position[-1, -1] + 1)
        few = f in self.known.factors
        signs = np.zeros((len(z), position.size if few else z.shape[1]))
        signs[own] = np.eye(position.size) if few else z[own]
        moved = self.incidence.schur(self.weights, signs)
        y = np.asarray(self._solve_second(-self._scale_second(moved, True), CAREFUL).x)
        rows = (moved + self.incidence.schur(self.weights, self._scale_second(y)))[own]
        if few:  # all of it, the same by every probe
            blocks = rows.reshape(*position.shape, *position.shape)
            found = np.repeat(np.einsum("jajb->ab", blocks)[None], z.shape[1], axis=0)
        else:
            one, two = (b.reshape(*position.shape, -1) for b in (signs[own], rows))
            found = np.einsum("jam,jbm->mab", one, two)
        return (found + found.transpose(0, 2, 1)) / 2.0

    def log_determinants(self, begin: int, end: int) -> Vector:
        """(m,) estimates of log|M| from probes number `begin` to `end`; their mean is the estimate."""
        out, known = [], self.known
        few = np.zeros(self.incidence.size, dtype=bool)
        few[known.columns] = True
        exact = self.logdet_blocks - known.logdet
        for f, lower in enumerate(self.D_lower):
            if f in known.factors:
                exact -= 2.0 * float(np.log(np.diagonal(lower).T).sum())
        Q, DQ = known.Q, self._by_blocks(self.D, known.Q)
        inner = np.eye(0)
        if Q.shape[1]:
            inner = np.linalg.inv(Q.T @ DQ)
            along = DQ.T @ known.without_few(np.asarray(self._solve_second(DQ, EXACT).x))
            exact -= float(np.linalg.slogdet(along)[1] + np.linalg.slogdet(inner)[1])
            exact += Q.shape[1] - float(np.trace(inner @ (Q.T @ self._apply(Q))))

        def project(b: Array) -> Array:
            b[few] = 0.0
            return b - DQ @ (inner @ (Q.T @ b)) if Q.shape[1] else b

        for at in range(begin, end, BATCH):
            z = self.signs(at, min(at + BATCH, end))
            b = self._by_blocks(self.D_lower, z)
            lengths = (z**2).sum(axis=0)
            if Q.shape[1]:
                lengths = lengths - np.einsum("cm,cd,dm->m", Q.T @ b, inner, Q.T @ b)
            found = self._solve_second(project(b), QUADRATURE, project)
            logs, firsts = log_quadrature(found.lengths, found.ratios)
            out.append(exact + lengths * (logs - (firsts - 1.0)))
        return np.concatenate(out)


def _regular(T: Vector) -> bool:
    """Whether T may be inverted."""
    smallest = abs(T[0, 0]) if len(T) == 1 else np.linalg.svd(T, compute_uv=False)[-1]
    return bool(smallest > REGULAR * max(1.0, np.abs(T).max()))


def _needs_factor() -> IterativeSolverError:
    return IterativeSolverError(
        "this needs the factor of all crossed effects, which an iterative fit does without",
        hint='Fit with control={"solver": "direct"} where memory allows; estimates, standard errors, fit.apply and '
        "mx.effects do not need it.",
    )
