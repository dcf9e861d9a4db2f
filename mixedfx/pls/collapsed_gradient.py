r"""The collapsed likelihood and its gradient at many points at once, for models of moderate size.

`Collapsed.evaluate` spends most of its time between calls of NumPy where blocks are small; here every step is one call
for D points, such as the chains of a sampler that move together. As in `mixedfx.pls.collapsed_batch` F = [Z2, W], Z2
the columns of all factors but the first and W = [Q, y], and V1 is the covariance that the first factor alone gives:

    E = F'V1^{-1}F = F'F - sum_j (Z_j'F)' N_j (Z_j'F),   N_j = T1 (I + T1'G_j T1)^{-1} T1',   G_j = Z_j'Z_j.

**Gradient.** In `mixedfx.pls.collapsed` the derivative of log p in T_f is -P_f T_f, P_f the sum over the levels of f of
the diagonal blocks of Z'V^{-1}Z - Z'V^{-1}Q S~^{-1} Q'V^{-1}Z - h h' / sigma^2, h = Z'V^{-1}(y - Q gamma). Eliminating Z2
first, with N2 = Lambda2 (I + Lambda2'E22 Lambda2)^{-1} Lambda2', all three terms are quadratic in products with F:

    P_2 = E22 - E2F Omega EF2,      P_1 = sum_j K_j'G_j - K_j' (Z_j'F) Omega (F'Z_j) K_j,     K_j' = I - G_j N_j,

    Omega = [N2, 0; 0, 0] + B S~^{-1} B' + g g' / sigma^2,   B = [-N2 E2Q; I; 0],   g = [-N2 (E2y - E2Q gamma); -gamma; 1].

That is Fisher's identity: Omega is the second moment, over sigma^2, of what multiplies the columns of F, given y. A level
of the first factor meets few of the columns of F where factors are nested; only those are kept (`touched`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.linalg import batched
from mixedfx.pls.collapsed import Collapsed

Vector = NDArray[np.float64]

LARGEST_SECOND = 400  # random effects of the second level up to which dense matrices for every point pay
LARGEST_BLOCKS = 2**22  # numbers of the products of one point, beyond which nothing is gained
CHUNK = 2**22  # numbers of one temporary array

dpotrf, dpotri = linalg.get_lapack_funcs(("potrf", "potri"), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Gradients:
    """The collapsed likelihood at D points.

    Attributes
    ----------
    value
        (D,) log likelihoods, minus infinity where the factorisation breaks down; gradients are zero there.
    of_factors
        For each factor of the problem (D, k, k) derivatives in T.
    of_sigma
        (D,) derivatives in log sigma at fixed T.
    of_precision
        (D, m) derivatives in the log precisions of the coefficients' priors.
    """

    value: Vector
    of_factors: list[Vector]
    of_sigma: Vector
    of_precision: Vector


@dataclass(frozen=True, eq=False)
class CollapsedGradient:
    """Cross-products laid out for evaluations of value and gradient at many points.

    Attributes
    ----------
    collapsed
        The likelihood.
    gram
        (k, k, q) blocks G_j of the first factor.
    ZF
        (q, k, m) products Z_j'F with the columns that a level meets, padded with zeros.
    touched
        (q, m) which columns of F those are.
    products
        (w, w) F'F.
    """

    collapsed: Collapsed
    gram: Vector
    ZF: Vector
    touched: NDArray[np.intp]
    products: Vector

    @property
    def q2(self) -> int:
        """Random effects of the second level."""
        return len(self.products) - self.collapsed.problem.p - 1

    def evaluate(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Gradients:
        """Value and gradient.

        Parameters
        ----------
        factors
            For each factor of the problem, (D, k, k) relative factors T of the columns used.
        sigma
            (D,) residual standard deviations.
        mixing
            (D, m) factors of the prior precisions.
        """
        D = len(sigma)
        out = Gradients(np.full(D, -np.inf), [np.zeros(T.shape) for T in factors], np.zeros(D), np.zeros(mixing.shape))
        fine = sigma > 0
        for T in factors:
            fine &= np.isfinite(T).all(axis=(1, 2)) & (np.abs(T).max(axis=(1, 2), initial=0.0) < 1e7)
        size = max(1, CHUNK // max(self.touched.size * self.touched.shape[1], len(self.products) ** 2))
        rows = np.flatnonzero(fine)
        for part in (rows[i : i + size] for i in range(0, len(rows), size)):
            try:
                self._into(out, part, factors, sigma, mixing)
            except np.linalg.LinAlgError:
                for row in part[:, None]:
                    try:
                        self._into(out, row, factors, sigma, mixing)
                    except np.linalg.LinAlgError:
                        continue
        broken = ~np.isfinite(out.value)
        for array in (*out.of_factors, out.of_sigma, out.of_precision):
            broken |= ~np.isfinite(array.reshape(D, -1)).all(axis=1)
        if broken.any():
            out.value[broken] = -np.inf
            for array in (*out.of_factors, out.of_sigma, out.of_precision):
                array[broken] = 0.0
        return out

    def _into(
        self, out: Gradients, rows: NDArray[np.intp], factors: list[Vector], sigma: Vector, mixing: Vector
    ) -> None:
        """Evaluate some of the points."""
        value, of_factors, of_sigma, of_precision = self._evaluate([T[rows] for T in factors], sigma[rows], mixing[rows])
        out.value[rows], out.of_sigma[rows], out.of_precision[rows] = value, of_sigma, of_precision
        for all_of_one, some in zip(out.of_factors, of_factors, strict=True):
            all_of_one[rows] = some

    def _evaluate(
        self, factors: list[Vector], sigma: Vector, mixing: Vector
    ) -> tuple[Vector, list[Vector], Vector, Vector]:
        problem, prior = self.collapsed.problem, self.collapsed.prior
        C, location = self.collapsed.rotated
        p, q2, D = problem.p, self.q2, len(sigma)
        N, logdet = self._first(factors[0])
        E = self._less_first(N)
        SW, N2 = E[:, q2:, q2:], np.zeros((D, 0, 0))
        if q2:
            A = self._second(factors, E[:, :q2, :q2], transposed=True)
            M2 = self._second(factors, A.transpose(0, 2, 1), transposed=True)
            M2[:, np.arange(q2), np.arange(q2)] += 1.0
            inverse, more = _inverses(M2)
            N2 = self._second(factors, self._second(factors, inverse).transpose(0, 2, 1))
            logdet = logdet + more
            NE = N2 @ E[:, :q2, q2:]
            SW = SW - E[:, :q2, q2:].transpose(0, 2, 1) @ NE
        # the coefficients
        sigma2 = sigma**2
        d = mixing * prior.scale**-2.0
        weighted = sigma2[:, None] * d
        S = SW[:, :p, :p]
        S_inverse, log_S = _inverses(S + (C.T * weighted[:, None, :]) @ C)
        right = SW[:, :p, p] + (weighted * location) @ C
        gamma = (S_inverse @ right[:, :, None])[:, :, 0]
        yy = SW[:, p, p]
        square = (yy + weighted @ location**2 - (right * gamma).sum(axis=1)) / sigma2
        log_scale = (problem.n - p) * np.log(sigma2) - np.log(d).sum(axis=1)
        value = -0.5 * (self.collapsed.constant + log_scale + logdet + log_S + square)
        # the second moment Omega
        w = q2 + p + 1
        B = np.zeros((D, w, p + 1))
        B[:, q2 : q2 + p, :p] = np.eye(p)
        B[:, q2 : q2 + p, p], B[:, q2 + p, p] = -gamma, 1.0
        if q2:
            B[:, :q2, :p] = -NE[:, :, :p]
            B[:, :q2, p] = -NE[:, :, p] + (NE[:, :, :p] @ gamma[:, :, None])[:, :, 0]
        middle = np.zeros((D, p + 1, p + 1))
        middle[:, :p, :p], middle[:, p, p] = S_inverse, 1.0 / sigma2
        omega = B @ middle @ B.transpose(0, 2, 1)
        omega[:, :q2, :q2] += N2
        of_factors = [-(self._first_sum(N, omega) @ factors[0])]
        if q2:
            across = E[:, :q2] @ omega
            for T, position in zip(factors[1:], self._positions, strict=True):
                P = E[:, position[:, :, None], position[:, None, :]].sum(axis=1)
                flat = across[:, position].transpose(0, 2, 1, 3).reshape(D, position.shape[1], -1)
                P -= flat @ E[:, position].transpose(0, 2, 1, 3).reshape(flat.shape).transpose(0, 2, 1)
                of_factors.append(-(P @ T))
        resid = (yy - 2.0 * (gamma * SW[:, :p, p]).sum(axis=1) + ((S @ gamma[:, :, None])[:, :, 0] * gamma).sum(1)) / sigma2
        of_sigma = -(problem.n - (S_inverse * S).sum(axis=(1, 2)) - resid)
        misfit = sigma2[:, None] * ((C @ S_inverse) * C).sum(axis=2) + (gamma @ C.T - location) ** 2
        return value, of_factors, of_sigma, 0.5 * (1.0 - d * misfit)

    # --- the first factor ----------------------------------------------------------------------------------------------
    def _first(self, T: Vector) -> tuple[Vector, Vector]:
        """(D, q, k, k) matrices N_j and (D,) log |M_1|."""
        k, _, q = self.gram.shape
        D = len(T)
        TG = (T.transpose(0, 2, 1).reshape(D * k, k) @ self.gram.reshape(k, k * q)).reshape(D, k, k, q)
        M = np.matmul(T.transpose(0, 2, 1)[:, None], TG).transpose(1, 2, 0, 3).reshape(k, k, D * q)
        M[np.arange(k), np.arange(k)] += 1.0
        L = batched.cholesky(M)
        logdet = 2.0 * np.log(L[np.arange(k), np.arange(k)]).sum(axis=0).reshape(D, q).sum(axis=1)
        half = batched.invert_lower(L).reshape(k, k, D, q).transpose(2, 3, 0, 1)
        J = half @ T.transpose(0, 2, 1)[:, None]
        return J.transpose(0, 1, 3, 2) @ J, logdet

    def _less_first(self, N: Vector) -> Vector:
        """(D, w, w) E = F'F less what the first factor takes."""
        D, w = len(N), len(self.products)
        NZF = N @ self.ZF
        if self._all_touched:
            q, k, _ = self.ZF.shape
            return self.products - self.ZF.reshape(q * k, w).T @ NZF.reshape(D, q * k, w)
        blocks = self.ZF.transpose(0, 2, 1) @ NZF
        at = (self.touched[:, :, None] * w + self.touched[:, None, :]).ravel()
        taken = np.array([np.bincount(at, one.ravel(), w * w) for one in blocks])
        return self.products - taken.reshape(D, w, w)

    def _first_sum(self, N: Vector, omega: Vector) -> Vector:
        """(D, k, k) P_1."""
        G = self.gram.transpose(2, 0, 1)
        K = -(G @ N)
        k = G.shape[1]
        K[..., np.arange(k), np.arange(k)] += 1.0
        if self._all_touched:
            q, _, w = self.ZF.shape
            left = (self.ZF.reshape(q * k, w) @ omega).reshape(len(N), q, k, w)
        else:
            left = self.ZF @ omega[:, self.touched[:, :, None], self.touched[:, None, :]]
        inner = left @ self.ZF.transpose(0, 2, 1)
        return (K @ (G - inner @ K.transpose(0, 1, 3, 2))).sum(axis=1)

    @property
    def _all_touched(self) -> bool:
        return self.touched.shape[1] == len(self.products)

    # --- the others ----------------------------------------------------------------------------------------------------
    @property
    def _positions(self) -> tuple[NDArray[np.intp], ...]:
        coupling = self.collapsed.problem.coupling
        return () if coupling is None else coupling.positions

    def _second(self, factors: list[Vector], X: Vector, transposed: bool = False) -> Vector:
        """(D, q2, r) products Lambda2 X, or Lambda2'X."""
        out = np.empty(X.shape)
        for T, position in zip(factors[1:], self._positions, strict=True):
            one = T.transpose(0, 2, 1) if transposed else T
            out[:, position] = one[:, None] @ X[:, position]
        return out


def gradients(collapsed: Collapsed) -> CollapsedGradient | None:
    """The layout for evaluations of value and gradient at many points; None where the model is too large for it."""
    problem = collapsed.problem
    k, _, q = problem.gram1.shape
    q2, p = (0 if problem.coupling is None else problem.coupling.size), problem.p
    if q2 > LARGEST_SECOND:
        return None
    w = q2 + p + 1
    touched, cross = np.zeros((q, 0), dtype=np.intp), np.zeros((q, k, 0))
    products = problem.ww
    if problem.coupling is not None:
        touched, cross = _met(problem.coupling.cross, q, k, q2)
        products = np.block([[problem.coupling.gram.toarray(), problem.zw2], [problem.zw2.T, problem.ww]])
    always = np.broadcast_to(np.arange(q2, w), (q, p + 1))
    touched = np.concatenate([touched, always], axis=1)
    if q * touched.shape[1] ** 2 > LARGEST_BLOCKS:
        return None
    ZF = np.concatenate([cross, problem.zw1], axis=2)
    return CollapsedGradient(collapsed, problem.gram1, ZF, touched, products)


def _met(cross, q: int, k: int, q2: int) -> tuple[NDArray[np.intp], Vector]:
    """Columns of Z2 that each level of the first factor meets, (q, m), padded, and its products with them, (q, k, m)."""
    starts, columns = cross.indptr[::k], cross.indices
    met = [np.unique(columns[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    most = max(map(len, met), default=0)
    if 2 * most > q2:  # little is saved: take all of them
        dense = cross.toarray().reshape(q, k, q2)
        return np.broadcast_to(np.arange(q2), (q, q2)), dense
    touched, values = np.zeros((q, most), dtype=np.intp), np.zeros((q, k, most))
    for j, own in enumerate(met):
        touched[j, : len(own)] = own
        values[j, :, : len(own)] = cross[j * k : (j + 1) * k][:, own].toarray()
    return touched, values


def _inverses(A: Vector) -> tuple[Vector, Vector]:
    """(D, n, n) inverses of symmetric positive definite matrices, and (D,) logarithms of their determinants."""
    D, n = A.shape[:2]
    out, logdet = np.empty((D, n, n)), np.zeros(D)
    if n == 0:
        return out, logdet
    above = np.triu_indices(n, 1)
    for d in range(D):
        L, info = dpotrf(A[d].T, lower=1, clean=0)
        if info:
            raise np.linalg.LinAlgError("matrix is not positive definite")
        logdet[d] = 2.0 * np.log(np.diagonal(L)).sum()
        L, _ = dpotri(L, lower=1, overwrite_c=1)
        out[d] = L
        out[d][above] = out[d].T[above]
    return out, logdet
