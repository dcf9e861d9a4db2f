r"""M = Lambda'Z'Z Lambda + I without a factor: traces and log determinant by probes.

C is the Schur complement of the first factor, D its diagonal blocks, and solves are those of
`mixedfx.pls.iterative_solves`.

**Traces** (Hutchinson 1990). Of C^{-1} only what is beside known parts is estimated, with independent signs z for the
effects of the second level and y = C^{-1}z: z_j y_j' has the mean [C^{-1}]_jj. The first factor needs no signs of its
own, since its blocks are (`mixedfx.pls.factorization`)

    Z'V^{-1}Z_ii = G1_i K_i - K_i'F_i K_i,      F_i = V_i'C^{-1}V_i = E[V_i'y (V_i'z)'],     V = Lambda2'Z2'Z1.

Known are the blocks D^{-1}, and what they are in F_i; and of factors with few levels (departments, years), E their
columns, everything: with X = C^{-1}E, a solve for each, and o the columns of the others,

    C^{-1} = [C_oo^{-1}, 0; 0, 0] + X (E'X)^{-1} X',     log|C| = log|C_oo| - log|E'X|,

so that signs are needed for C_oo^{-1} alone, and levels that lie in one of few are no source of noise. Of N =
C_oo^{-1} - D^{-1}, what is along the sums of the effects of a factor, which other factors and the fixed part share,
is known too: with Q unit vectors along these, QQ'N + N QQ' - QQ'N QQ'. Signs estimate (I - QQ') N (I - QQ') (Meyer et
al. 2021). The signs of each factor come from a seed of its own, which its name gives: probes are the same in every
evaluation, in every run, in whichever order rows come, and in every model that has the factor.

**Where T is small.** A block of Z'V^{-1}Z is T^{-T}(I - [C^{-1}]_jj)T^{-1}. Along a singular vector of T what was
solved for shrinks with the singular value, and of the two entries for a pair of vectors the one is taken whose division
that pays for (`_divided`). Where T loses a vector, its pairs with others come from Z'V^{-1}Z Lambda = S Lambda2 C^{-1},
S = Z2'V1^{-1}Z2, without a division (`_joined`), and that with itself is a block of S - S Lambda2 C^{-1} Lambda2'S,
with signs and a solve of their own.

**Log determinant.** log|M| = log|M1| + log|D| + log|A|, A = D^{-1/2} C D^{-T/2}, the last by quadrature
(`mixedfx.linalg.conjugate_gradients`). The diagonal of A is one, so that z'A z - z'z has the mean zero and goes as a
control variate: what noise is left is of the second order in what A has beside its diagonal. The directions q = L'Q,
D = L L', in which A may be nearly singular, are taken out: with P the projection beside them, log|A| = log|P A P| -
log|q'A^{-1}q| for orthonormal q.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.conjugate_gradients import Array, log_quadrature
from mixedfx.pls.iterative_solves import CAREFUL, EXACT, IterativeSolves, smallest_singular
from mixedfx.pls.second_level import REGULAR

Vector = NDArray[np.float64]

PROBE = 1e-4  # of solves with probes, whose own noise is far larger
SMALL = 0.1  # smallest singular value of T below which they are solved to more digits
SINGLE = 1e-6  # tolerance that single precision has
QUADRATURE = 1e-4  # of solves whose coefficients give the log determinant: quadrature has twice the digits
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


class IterativeFactorization(IterativeSolves):
    """M at one set of relative covariance factors, by iteration: solves, and what probes estimate."""

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
        found: Any = self._solve_second(np.concatenate([E, Q], axis=1), EXACT).x
        X = found[:, : len(columns)]
        middle = (X[columns] + X[columns].T) / 2.0
        known = Known(frozenset(few), columns, X, np.linalg.inv(middle), float(np.linalg.slogdet(middle)[1]), Q, Q, Q)
        U = known.without_few(found[:, len(columns) :]) - self._precondition(Q)
        return replace(known, U=U, QU=(Q.T @ U + U.T @ Q) / 2.0)

    def signs(self, begin: int, end: int) -> Vector:
        """Probes number `begin` to `end`: (q2, m) independent signs, zero for factors with few levels."""
        parts = []
        for f, group in enumerate(self.problem.factors[1:]):
            seed = crc32(group.name.encode())
            part = np.zeros((group.n_levels, group.k, end - begin))
            for a in range(0 if f in self.known.factors else group.k):
                for probe in range(begin, end):
                    rng = np.random.default_rng([SEED, seed, a, probe])
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
            given, rest = self._deviations(z)
            for f, (first, second) in enumerate(zip(*self._by_probes(z, given, rest, inverse, forms), strict=True)):
                scaled[f].append(first)
                plain[f].append(second)
        return Traces([np.concatenate(s) for s in scaled], [np.concatenate(p) for p in plain])

    @cached_property
    def _K(self) -> Vector:
        """(q1, k1, k1) K_i = (I + T1 T1'G1_i)^{-1} = I - W_i G1_i."""
        G = self.problem.gram1.transpose(2, 0, 1)
        return np.eye(len(self.T[0])) - np.matmul(self.weights, G)

    @cached_property
    def known_blocks(self) -> list[Vector]:
        """For each factor of the second level (q, k, k) T D^{-1} T', zero where levels are few."""
        found = []
        for f, (T, block) in enumerate(zip(self.T[1:], self.D_inverse, strict=True)):
            few = f in self.known.factors
            E = np.zeros((block.shape[2], *T.shape)) if few else np.matmul(T, np.matmul(block.transpose(2, 0, 1), T.T))
            found.append(np.ascontiguousarray(E))
        return found

    @property
    def known_pairs(self) -> list[tuple[Vector, Vector]]:
        """(q2, c) matrices whose products L R' are the rest of C^{-1} that is known."""
        known = self.known
        half = known.U - known.Q @ known.QU / 2.0  # QQ'N + N QQ' - QQ'N QQ' is Q half' + half Q', N Q = U
        pairs = ((known.X @ known.inverse, known.X), (known.Q, half), (half, known.Q))
        return [pair for pair in pairs if pair[0].shape[1]]

    def _exact_parts(self) -> tuple[list[Vector], Vector]:
        """What is known of the sums of blocks of C^{-1}, by factor, and of sum_i K_i'F_i K_i."""
        inverse = [
            np.zeros_like(T) if f in self.known.factors else block.sum(axis=2)
            for f, (T, block) in enumerate(zip(self.T[1:], self.D_inverse, strict=True))
        ]
        forms = self._known_forms
        for left, right in self.known_pairs:
            for f, position in enumerate(self.incidence.positions):
                inverse[f] = inverse[f] + np.einsum("jas,jbs->ab", left[position], right[position])
            one, two = (self._up(b) for b in (left, right))
            forms = forms + np.matmul(one, two.transpose(0, 2, 1))
        return inverse, np.einsum("ica,icd,idb->ab", self._K, forms, self._K, optimize=True)

    @cached_property
    def _known_forms(self) -> Vector:
        """(q1, k1, k1) V_i'D^{-1}V_i."""
        return self.incidence.forms(self.known_blocks)

    def _up(self, b: Array) -> Array:
        """(q1, k1, m) V'b for b (q2, m), V = Lambda2'Z2'Z1."""
        return self.incidence.up(self._scale_second(b)).reshape(self.incidence.q1, len(self.T[0]), -1)

    @cached_property
    def _probe_tolerance(self) -> float:
        """Tolerance of solves with probes: what they say of a factor is divided by a T that may be small."""
        sizes = [smallest_singular(T) for T, regular in zip(self.T, self.regular, strict=True) if regular]
        return PROBE * min(1.0, (min(sizes, default=1.0) / SMALL) ** 2)

    def _deviations(self, z: Vector) -> tuple[Array, Array]:
        """(q2, m) pairs whose products have the mean that is not known of C^{-1}, from signs z (q2, m)."""
        tolerance = self._probe_tolerance
        given = z.astype(np.float32) if self.problem.n >= SINGLE_FROM and tolerance > SINGLE else z
        y = np.asarray(self._solve_second(given, tolerance).x)
        return self.known.beside_sums(given, self.known.without_few(y) - self._precondition(given))

    def _by_probes(
        self, z: Vector, given: Array, rest: Array, inverse: list[Vector], forms: Vector
    ) -> tuple[list[Vector], list[Vector]]:
        """For each factor (m, k, k) sums of Z'V^{-1}Z Lambda and of Z'V^{-1}Z, from signs z and their deviations."""
        m = z.shape[1]
        T1, G1 = self.T[0], self.problem.gram1
        left, right = (np.matmul(self._K.transpose(0, 2, 1), self._up(b)) for b in (rest, given))
        own = np.einsum("iam,ibm->mab", left, right)
        total = np.einsum("aci,icb->ab", G1, self._K, optimize=True) - forms
        first = total - (own + own.transpose(0, 2, 1)) / 2.0
        scaled, plain = [first @ T1], [first]
        for f, (T, position) in enumerate(zip(self.T[1:], self.incidence.positions, strict=True)):
            if self.regular[f + 1]:
                one, two = (b[position.ravel()].reshape(*position.shape, m) for b in (given, rest))
                own = np.einsum("jam,jbm->mab", np.asarray(two, dtype=np.float64), one)
                ZVZ = _divided(T, len(position) * np.eye(len(T)) - inverse[f], own)
            else:
                ZVZ = self._singular(f, z)
                if f not in self.known.factors and smallest_singular(T) < np.abs(T).max():
                    ZVZ = _joined(T, self._half_scaled(f, given, rest), ZVZ)
            scaled.append(ZVZ @ T)
            plain.append(ZVZ)
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

    def _half_scaled(self, f: int, given: Array, rest: Array) -> Vector:
        """(m, k, k) sums of blocks of Z'V^{-1}Z Lambda = S Lambda C^{-1} of a factor of the second level."""
        position = self.incidence.positions[f]
        own = slice(position[0, 0], position[-1, -1] + 1)
        S, DI = self.incidence.diagonal_blocks(self.weights)[f], self.D_inverse[f].transpose(2, 0, 1)
        known = np.einsum("jab,bc,jcd->ad", S, self.T[f + 1], DI)
        for left, right in self.known_pairs:
            moved = self.incidence.schur(self.weights, self._scale_second(left))[own]
            known += np.einsum("jas,jbs->ab", moved.reshape(*position.shape, -1), right[position])
        moved = self.incidence.schur(self.weights, self._scale_second(np.asarray(rest, dtype=np.float64)))[own]
        signs = np.asarray(given, dtype=np.float64)[position]
        return known + np.einsum("jam,jbm->mab", moved.reshape(*position.shape, -1), signs)

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


def _divided(T: Vector, known: Vector, own: Vector) -> Vector:
    """(m, k, k) T^{-T}(known - E own)T^{-1}, symmetric, of m probes; rows of `own` are those that were solved for.

    Along a singular vector of T what was solved for shrinks with the singular value, and the signs do not: of the two
    entries for a pair of vectors, the one whose row has the smaller value keeps its noise bounded.
    """
    if len(T) == 1:
        return (known - own) / T[0, 0] ** 2
    U, sizes, Vt = np.linalg.svd(T)  # T^{-T} = U diag(1 / sizes) Vt, sizes descending
    lower = np.tril(Vt @ own @ Vt.T)
    middle = Vt @ known @ Vt.T - lower - np.tril(lower, -1).transpose(0, 2, 1)
    return U @ (middle / np.outer(sizes, sizes)) @ U.T


def _joined(T: Vector, half: Vector, whole: Vector) -> Vector:
    """(m, k, k) Z'V^{-1}Z, symmetric: from `half`, itself times T, but for pairs of singular vectors that T loses."""
    U, sizes, Vt = np.linalg.svd(T)
    kept = sizes > REGULAR * max(1.0, float(np.abs(T).max()))
    found = U.T @ half @ Vt.T / np.where(kept, sizes, 1.0)
    lower = np.tril(np.where(kept, found, U.T @ whole @ U))
    return U @ (lower + np.tril(lower, -1).transpose(0, 2, 1)) @ U.T
