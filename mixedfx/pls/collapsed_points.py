r"""The collapsed likelihood, its gradient and draws of (beta, u) at many points at once, for models of moderate size.

`Collapsed.evaluate` spends most of its time between calls of NumPy where blocks are small; here every step is one call
for D points, such as the chains of a sampler that move together. As in `mixedfx.pls.collapsed_batch` F = [Z2, W], Z2
the columns of all factors but the first and W = [Q, y], and V1 is the covariance that the first factor alone gives:

    E = F'V1^{-1}F = F'F - sum_j (Z_j'F)' N_j (Z_j'F),   N_j = T1 (I + T1'G_j T1)^{-1} T1',   G_j = Z_j'Z_j.

There the sum is a product with one table; here it is formed anew at each point, from the few columns of F that a level
of the first factor meets where factors are nested (`touched`). So it costs more for each point, but has no table that
grows with the fourth power of the number of columns.

**Gradient.** In `mixedfx.pls.collapsed` the derivative of log p in T_f is -P_f T_f, P_f the sum over the levels of f
of the diagonal blocks of Z'V^{-1}Z - Z'V^{-1}Q S~^{-1} Q'V^{-1}Z - h h' / sigma^2, h = Z'V^{-1}(y - Q gamma).
Eliminating Z2 first, with N2 = Lambda2 (I + Lambda2'E22 Lambda2)^{-1} Lambda2', all three terms are quadratic in
products with F:

    P_2 = E22 - E2F Omega EF2,      P_1 = sum_j K_j'G_j - K_j' (Z_j'F) Omega (F'Z_j) K_j,     K_j' = I - G_j N_j,

    Omega = [N2, 0; 0, 0] + B S~^{-1} B' + g g' / sigma^2,

    B = [-N2 E2Q; I; 0],   g = [-N2 (E2y - E2Q gamma); -gamma; 1].

That is Fisher's identity: Omega is the second moment, over sigma^2, of what multiplies the columns of F, given y.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import batched, stacked
from mixedfx.pls.collapsed import Collapsed
from mixedfx.pls.collapsed_gradients import Gradients

Vector = NDArray[np.float64]

LARGEST_SECOND = 400  # random effects of the second level up to which dense matrices for every point pay
LARGEST_BLOCKS = 2**20  # numbers of the products of one point, beyond which nothing is gained
LARGEST_FACTOR = 1e7  # entry of T beyond which M cannot be factored
CHUNK = 2**22  # numbers of one temporary array


@dataclass(frozen=True, eq=False)
class _Solved:
    """D points after both eliminations.

    (D, q, k, k) `half` with N_j = half' half; (D, w, w) E; the lower Cholesky factors of C = I + Lambda2'E22 Lambda2;
    (D, q2, p + 1) N2 E2W; (D, p + 1, p + 1) W'V^{-1}W; the inverse of S~ and gamma.
    """

    value: Vector
    half: Vector
    E: Vector
    second: list[Vector]
    NE: Vector
    SW: Vector
    S_inverse: Vector
    gamma: Vector


@dataclass(frozen=True, eq=False)
class CollapsedPoints:
    """Cross-products laid out for evaluations at many points.

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

    def loglik(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Vector:
        """(D,) log p(y | T, sigma, d), minus infinity where the factorisation breaks down.

        Parameters
        ----------
        factors
            For each factor of the problem, (D, k, k) relative factors T of the columns used.
        sigma
            (D,) residual standard deviations.
        mixing
            (D, m) factors of the prior precisions.
        """
        out = np.full(len(sigma), -np.inf)

        def work(rows: NDArray[np.intp]) -> None:
            out[rows] = self._solve(_at(factors, rows), sigma[rows], mixing[rows]).value

        self._work_through(factors, sigma, work)
        return np.where(np.isnan(out), -np.inf, out)

    def gradients(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Gradients:
        """Values and gradients at D points; arguments as for `loglik`."""
        out = Gradients.nowhere(factors, mixing)

        def work(rows: NDArray[np.intp]) -> None:
            out.put(rows, self._gradients(_at(factors, rows), sigma[rows], mixing[rows]))

        self._work_through(factors, sigma, work)
        return out

    def draw(
        self, factors: list[Vector], sigma: Vector, mixing: Vector, rng: np.random.Generator
    ) -> tuple[Vector, Vector]:
        """(D, p) and (D, q) exact draws of (beta, u), one for each point.

        Raises
        ------
        numpy.linalg.LinAlgError
            At a point where the factorisation breaks down.
        """
        beta = np.empty((len(sigma), self.collapsed.problem.p))
        u = np.empty((len(sigma), self.collapsed.design.n_random))
        for rows in self._chunks(np.arange(len(sigma))):
            self._draw(_at(factors, rows), sigma[rows], mixing[rows], rng, rows, beta, u)
        return beta, u

    # --- elimination -------------------------------------------------------------------------------------------------
    def _solve(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> _Solved:
        problem, prior = self.collapsed.problem, self.collapsed.prior
        C, location = self.collapsed.rotated
        p, q2 = problem.p, self.q2
        half, logdet = self._first(factors[0])
        E = self._less_first(half)
        SW, second, NE = E[:, q2:, q2:], [], E[:, :0, :0]
        if q2:
            A = self._second(factors, E[:, :q2], transposed=True)
            M2 = self._second(factors, A[:, :, :q2].transpose(0, 2, 1), transposed=True)
            M2[:, np.arange(q2), np.arange(q2)] += 1.0
            second, more = stacked.cholesky(M2)
            NE = self._second(factors, stacked.solved(second, A[:, :, q2:]))
            SW = SW - E[:, :q2, q2:].transpose(0, 2, 1) @ NE
            logdet = logdet + more
        sigma2 = sigma**2
        d = mixing * prior.scale**-2.0
        weighted = sigma2[:, None] * d
        factor_S, log_S = stacked.cholesky(SW[:, :p, :p] + (C.T * weighted[:, None, :]) @ C)
        S_inverse = stacked.inverses(factor_S, p)
        right = SW[:, :p, p] + (weighted * location) @ C
        gamma = (S_inverse @ right[:, :, None])[:, :, 0]
        square = (SW[:, p, p] + weighted @ location**2 - (right * gamma).sum(axis=1)) / sigma2
        log_scale = (problem.n - p) * np.log(sigma2) - np.log(d).sum(axis=1)
        value = -0.5 * (self.collapsed.constant + log_scale + logdet + log_S + square)
        return _Solved(value, half, E, second, NE, SW, S_inverse, gamma)

    def _first(self, T: Vector) -> tuple[Vector, Vector]:
        """(D, q, k, k) matrices J_j with N_j = J_j'J_j, and (D,) log |M_1|."""
        k, _, q = self.gram.shape
        D, across = len(T), T.transpose(0, 2, 1)
        TG = (across.reshape(D * k, k) @ self.gram.reshape(k, k * q)).reshape(D, k, k, q)
        M = np.matmul(across[:, None], TG).transpose(1, 2, 0, 3).reshape(k, k, D * q)
        M[np.arange(k), np.arange(k)] += 1.0
        L = batched.cholesky(M)
        logdet = 2.0 * np.log(L[np.arange(k), np.arange(k)]).sum(axis=0).reshape(D, q).sum(axis=1)
        return batched.invert_lower(L).reshape(k, k, D, q).transpose(2, 3, 0, 1) @ across[:, None], logdet

    def _less_first(self, half: Vector) -> Vector:
        """(D, w, w) E = F'F less what the first factor takes."""
        D, w = len(half), len(self.products)
        Y = half @ self.ZF
        if self._all_touched:
            flat = Y.reshape(D, -1, w)
            return self.products - flat.transpose(0, 2, 1) @ flat
        blocks = Y.transpose(0, 1, 3, 2) @ Y
        at = (self.touched[:, :, None] * w + self.touched[:, None, :]).ravel()
        taken = np.array([np.bincount(at, one.ravel(), w * w) for one in blocks])
        return self.products - taken.reshape(D, w, w)

    def _second(self, factors: list[Vector], X: Vector, transposed: bool = False) -> Vector:
        """(D, q2, r) products Lambda2 X, or Lambda2'X."""
        out = np.empty(X.shape)
        for T, position in zip(factors[1:], self._positions, strict=True):
            one = T.transpose(0, 2, 1) if transposed else T
            out[:, position] = one[:, None] @ X[:, position]
        return out

    @property
    def _all_touched(self) -> bool:
        return self.touched.shape[1] == len(self.products)

    @property
    def _positions(self) -> tuple[NDArray[np.intp], ...]:
        coupling = self.collapsed.problem.coupling
        return () if coupling is None else coupling.positions

    # --- gradients ---------------------------------------------------------------------------------------------------
    def _gradients(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Gradients:
        problem, prior = self.collapsed.problem, self.collapsed.prior
        C, location = self.collapsed.rotated
        p, q2, sigma2 = problem.p, self.q2, sigma**2
        at = self._solve(factors, sigma, mixing)
        omega = self._second_moment(factors, at, sigma2)
        of_factors = [-(self._first_sum(at.half, omega) @ factors[0])]
        if q2:
            across = at.E[:, :q2] @ omega
            for T, position in zip(factors[1:], self._positions, strict=True):
                P = at.E[:, position[:, :, None], position[:, None, :]].sum(axis=1)
                P -= _side_by_side(across, position) @ _side_by_side(at.E, position).transpose(0, 2, 1)
                of_factors.append(-(P @ T))
        S, gamma = at.SW[:, :p, :p], at.gamma
        Sg = (S @ gamma[:, :, None])[:, :, 0]
        resid = (at.SW[:, p, p] - 2.0 * (gamma * at.SW[:, :p, p]).sum(axis=1) + (Sg * gamma).sum(axis=1)) / sigma2
        of_sigma = -(problem.n - (at.S_inverse * S).sum(axis=(1, 2)) - resid)
        misfit = sigma2[:, None] * ((C @ at.S_inverse) * C).sum(axis=2) + (gamma @ C.T - location) ** 2
        of_precision = 0.5 * (1.0 - mixing * prior.scale**-2.0 * misfit)
        return Gradients(at.value, of_factors, of_sigma, of_precision)

    def _second_moment(self, factors: list[Vector], at: _Solved, sigma2: Vector) -> Vector:
        """(D, w, w) Omega."""
        p, q2, D = self.collapsed.problem.p, self.q2, len(sigma2)
        B = np.zeros((D, q2 + p + 1, p + 1))
        B[:, q2 : q2 + p, :p] = np.eye(p)
        B[:, q2 : q2 + p, p], B[:, q2 + p, p] = -at.gamma, 1.0
        if q2:
            B[:, :q2, :p] = -at.NE[:, :, :p]
            B[:, :q2, p] = -_less_fixed(at.NE, at.gamma)
        middle = np.zeros((D, p + 1, p + 1))
        middle[:, :p, :p], middle[:, p, p] = at.S_inverse, 1.0 / sigma2
        omega = B @ middle @ B.transpose(0, 2, 1)
        if q2:
            left = self._second(factors, stacked.inverses(at.second, q2))
            omega[:, :q2, :q2] += self._second(factors, left.transpose(0, 2, 1))
        return omega

    def _first_sum(self, half: Vector, omega: Vector) -> Vector:
        """(D, k, k) P_1."""
        G = self.gram.transpose(2, 0, 1)
        k = G.shape[1]
        K = -((G @ half.transpose(0, 1, 3, 2)) @ half)
        K[..., np.arange(k), np.arange(k)] += 1.0
        if self._all_touched:
            q, _, w = self.ZF.shape
            left = (self.ZF.reshape(q * k, w) @ omega).reshape(len(half), q, k, w)
        else:
            left = self.ZF @ omega[:, self.touched[:, :, None], self.touched[:, None, :]]
        inner = left @ self.ZF.transpose(0, 2, 1)
        return (K @ (G - inner @ K.transpose(0, 1, 3, 2))).sum(axis=1)

    # --- draws -------------------------------------------------------------------------------------------------------
    def _draw(
        self, factors: list[Vector], sigma: Vector, mixing: Vector, rng: np.random.Generator, rows: NDArray[np.intp],
        beta: Vector, u: Vector,
    ) -> None:  # fmt: skip
        """Draw (beta, u) for some rows and put them where they belong."""
        problem, (q, k, _), D = self.collapsed.problem, self.ZF.shape, len(sigma)
        p, q2 = problem.p, self.q2
        at = self._solve(factors, sigma, mixing)
        if not np.isfinite(at.value).all():
            raise np.linalg.LinAlgError("the factorisation breaks down")
        # what multiplies the columns of F: minus u2, minus gamma, one
        weight = np.ones((D, q2 + p + 1))
        root = np.linalg.cholesky(at.S_inverse)
        gamma = at.gamma + sigma[:, None] * (root @ rng.standard_normal((D, p, 1)))[:, :, 0]
        weight[:, q2 : q2 + p] = -gamma
        beta[rows] = self.collapsed.beta(gamma)
        if q2:
            # u2 = N2 (E2y - E2Q gamma) + sigma Lambda2 Lc^{-T} e
            noise = self._second(factors, stacked.half_solved(at.second, rng.standard_normal((D, q2, 1))))[:, :, 0]
            effects = _less_fixed(at.NE, gamma) + sigma[:, None] * noise
            weight[:, :q2] = -effects
            for group, where, position in zip(
                problem.factors[1:], self.collapsed.effect_index[1:], self._positions, strict=True
            ):
                u[rows[:, None, None], where] = _natural(group, effects[:, position])
        # u_j = J_j'(J_j Z_j'(y - Q gamma - Z2 u2) + sigma e)
        right = self.ZF @ weight[:, self.touched][..., None]
        inner = at.half @ right + sigma[:, None, None, None] * rng.standard_normal((D, q, k, 1))
        effects = (at.half.transpose(0, 1, 3, 2) @ inner)[..., 0]
        index = self.collapsed.effect_index[0]
        u[rows[:, None, None], index] = _natural(problem.factors[0], effects)[:, : len(index)]

    # --- parts of the points -----------------------------------------------------------------------------------------
    def _chunks(self, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        size = max(1, CHUNK // max(self.touched.size * self.touched.shape[1], len(self.products) ** 2))
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def _work_through(self, factors: list[Vector], sigma: Vector, work: Callable[[NDArray[np.intp]], None]) -> None:
        """Do the work for the points that can be evaluated, many at once; one by one where one of many breaks down."""
        fine = sigma > 0
        for T in factors:
            fine &= np.isfinite(T).all(axis=(1, 2)) & (np.abs(T).max(axis=(1, 2), initial=0.0) < LARGEST_FACTOR)
        for rows in self._chunks(np.flatnonzero(fine)):
            try:
                work(rows)
            except np.linalg.LinAlgError:
                for row in rows[:, None]:
                    with suppress(np.linalg.LinAlgError):
                        work(row)


def points_of(collapsed: Collapsed) -> CollapsedPoints | None:
    """The layout for evaluations at many points; None where the model is too large for it."""
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
    touched = np.concatenate([touched, np.broadcast_to(np.arange(q2, w), (q, p + 1))], axis=1)
    if q * touched.shape[1] ** 2 > LARGEST_BLOCKS:
        return None
    return CollapsedPoints(collapsed, problem.gram1, np.concatenate([cross, problem.zw1], axis=2), touched, products)


def _met(cross, q: int, k: int, q2: int) -> tuple[NDArray[np.intp], Vector]:
    """(q, m) columns of Z2 that each level of the first factor meets, padded, and its (q, k, m) products with them."""
    starts, columns = cross.indptr[::k], cross.indices
    met = [np.unique(columns[a:b]) for a, b in pairwise(starts)]
    most = max(map(len, met), default=0)
    if 2 * most > q2:  # little is saved: take all of them
        return np.broadcast_to(np.arange(q2), (q, q2)), cross.toarray().reshape(q, k, q2)
    touched, values = np.zeros((q, most), dtype=np.intp), np.zeros((q, k, most))
    for j, own in enumerate(met):
        touched[j, : len(own)] = own
        values[j, :, : len(own)] = cross[j * k : (j + 1) * k][:, own].toarray()
    return touched, values


def _at(factors: list[Vector], rows: NDArray[np.intp]) -> list[Vector]:
    return [T[rows] for T in factors]


def _natural(group, effects: Vector) -> Vector:
    """(D, q, k) effects of the columns as given from those of the columns used."""
    return group.effects(effects[..., None])[..., 0]


def _less_fixed(products: Vector, gamma: Vector) -> Vector:
    """(D, r) products with y - Q gamma from (D, r, p + 1) products with [Q, y]."""
    return products[:, :, -1] - (products[:, :, :-1] @ gamma[:, :, None])[:, :, 0]


def _side_by_side(X: Vector, position: NDArray[np.intp]) -> Vector:
    """(D, k, q r) rows of X (D, q2, r) for each column of a factor, all its levels in a row."""
    return X[:, position].transpose(0, 2, 1, 3).reshape(len(X), position.shape[1], -1)
