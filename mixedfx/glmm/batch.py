r"""Many responses of one design fitted together: models with one grouping factor, all replicates as one array.

The parameters psi = (gamma, par) of B replicates are rows of a (B, d) array, and every step of the fit is taken for all
of them at once. With s, w, w' the score, the weight and its derivative of each row, h_j = Z's and G_j = Z'WZ of level
j, A_j = T'G_j T + I, c = z'T A^{-1} T'z, a = w'c and r_j = A_j^{-1} T'(Z'a)_j, Laplace's criterion has the derivatives

    dD/dgamma = Q'(a - W Z T r - 2 s),
    dD/dT     = sum_j (Z'a - 2 h - G T r)_j v_j' + h_j r_j' + 2 G_j T A_j^{-1}

at the mode (`mixedfx.glmm.laplace` derives the same in another form, exact at singular T). The optimiser is BFGS from
the second derivatives of the fit that the responses were drawn from, which are those of the replicates but for noise,
with steps bounded in units of information and halved until the criterion falls. Where a standard deviation is near
zero, the criterion there is compared. What is not certified so is left to the caller: a fit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.densities import DENSITIES
from mixedfx.glmm.model import Model
from mixedfx.glmm.solve import GlmmSolution

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST = 60  # evaluations
INNER = 40  # Newton steps to a mode
DECREMENT = 1e-12  # of a mode: what is left moves the criterion to second order
ENOUGH = 1e-9  # predicted decrease at which a replicate is done
RADIUS = 2.0  # longest step, in units of information
NEAR_ZERO = 0.02  # of a standard deviation, from where zero is tried
FAR = 30.0  # of gamma, in standard errors, from where a fit runs off
NUMBERS = 2**20  # rows times replicates held at once
FAMILIES = ("bernoulli", "binomial", "poisson")


@dataclass(frozen=True)
class Batch:
    """Estimates of B responses.

    Attributes
    ----------
    psi
        (B, d) parameters.
    criterion
        (B,) -2 log likelihoods.
    done
        (B,) which are certified minima.
    """

    psi: Vector
    criterion: Vector
    done: Mask


def can_batch(solution: GlmmSolution) -> bool:
    """Whether a model is of the kind that is fitted here."""
    model = solution.model
    return (
        solution.nAGQ == 1
        and model.prior is None
        and model.problem.coupling is None
        and bool(model.design.random)
        and model.problem.linear
        and not model.sizes[2]
        and model.family.name in FAMILIES
        and (model.family.name, model.family.link.name) in DENSITIES
        and all(term.relation is None for term in model.design.random)
    )


@dataclass(frozen=True)
class _Point:
    """Criterion, gradient and modes at one point of each replicate."""

    psi: Vector
    criterion: Vector
    gradient: Vector
    v: Vector

    def take(self, rows: NDArray[np.intp] | Mask) -> _Point:
        return _Point(self.psi[rows], self.criterion[rows], self.gradient[rows], self.v[rows])

    def put(self, rows: NDArray[np.intp] | Mask, other: _Point) -> None:
        for name in ("psi", "criterion", "gradient", "v"):
            getattr(self, name)[rows] = getattr(other, name)


def fit_batch(solution: GlmmSolution, Y: Vector, start: Vector) -> Batch:
    """Fit the model of `solution` to the columns of Y (n, B), from psi (d,)."""
    model = solution.model
    engine = _Engine(model)
    B = Y.shape[1]
    step = max(1, NUMBERS // max(len(model.design.y), 1))
    parts = [engine.fit(Y[model.rows.order, b : b + step].T, start, solution.hessian) for b in range(0, B, step)]
    return Batch(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("psi", "criterion", "done")))


class _Engine:
    """The rows of one model, and what is asked about them for many responses."""

    def __init__(self, model: Model) -> None:
        self.model = model
        own = model.likelihood
        self.Q, self.offset, self.z, self.codes = model.Q, model.offset, model.rows.z, model.rows.codes
        self.trials = own.trials if model.family.name == "binomial" else np.ones(len(own.y))
        self.poisson = model.family.name == "poisson"
        self.begin = np.flatnonzero(np.r_[True, np.diff(self.codes) > 0])
        self.level = np.cumsum(np.r_[0, np.diff(self.codes) > 0])  # position of each row's level among those with rows
        self.k, self.q = self.z.shape[1], len(self.begin)
        self.where, self.directions = model.problem.directions(np.zeros(model.sizes[1]))[0]

    def factors(self, par: Vector) -> Vector:
        """(B, k, k) T."""
        return np.einsum("bm,mac->bac", par[:, self.where], self.directions)

    def summed(self, rows: Vector) -> Vector:
        """(B, q) sums over the rows of each level of (B, n)."""
        return np.add.reduceat(rows, self.begin, axis=1)

    def products(self, s: Vector) -> Vector:
        """(B, q, k) Z's."""
        return np.stack([self.summed(s * self.z[:, c]) for c in range(self.k)], axis=2)

    def gram(self, w: Vector) -> Vector:
        """(B, q, k, k) Z'WZ."""
        out = np.empty((len(w), self.q, self.k, self.k))
        for a in range(self.k):
            for c in range(a + 1):
                out[:, :, a, c] = out[:, :, c, a] = self.summed(w * (self.z[:, a] * self.z[:, c]))
        return out

    def times(self, u: Vector) -> Vector:
        """(B, n) Z u for (B, q, k)."""
        return np.einsum("nk,bnk->bn", self.z, u[:, self.level]) if self.k > 1 else u[:, self.level, 0] * self.z[:, 0]

    def scan(self, y: Vector, eta: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        """(B,) sums of log densities, without what does not depend on eta; (B, n) s, w and w'."""
        if self.poisson:
            mu = np.exp(np.minimum(eta, 700.0))
            return (y * eta - mu).sum(axis=1), y - mu, mu, mu
        m = self.trials
        q = np.exp(-np.abs(eta))
        d = 1.0 / (1.0 + q)
        p = np.where(eta >= 0.0, d, q * d)
        w = m * (q * d * d)
        total = (y * eta - m * (np.maximum(eta, 0.0) + np.log1p(q))).sum(axis=1)
        return total, y - m * p, w, w * (1.0 - 2.0 * p)

    def constants(self, y: Vector) -> Vector:
        """(B,) what `scan` leaves out of the log densities."""
        from scipy import special

        if self.poisson:
            return np.asarray(-special.gammaln(y + 1.0).sum(axis=1), dtype=np.float64)
        m = self.trials
        found = (special.gammaln(m + 1.0) - special.gammaln(y + 1.0) - special.gammaln(m - y + 1.0)).sum(axis=1)
        return np.asarray(found, dtype=np.float64)

    def evaluate(self, y: Vector, constant: Vector, psi: Vector, v: Vector) -> _Point:
        """Criterion and gradient at (B, d) points, modes sought from v (B, q, k); NaN where there are none."""
        p = self.Q.shape[1]
        fixed, T = self.offset + psi[:, :p] @ self.Q.T, self.factors(psi[:, p:])
        v = v.copy()
        active = np.arange(len(psi))
        scans = self._at(y, fixed, T, v)
        for _ in range(INNER):
            step = self._step(scans, T[active], v[active])
            h = self._pull(scans, T[active], v[active])
            gain = (h * step).sum(axis=(1, 2))
            left = ~(gain < DECREMENT)
            if not left.any():
                break
            active, step = active[left], step[left]
            old = scans[0][left] - 0.5 * (v[active] ** 2).sum(axis=(1, 2))
            size, trial = np.ones(len(active)), v[active]
            for _ in range(20):
                trial = v[active] + size[:, None, None] * step
                scans = self._at(y[active], fixed[active], T[active], trial)
                worse = ~(scans[0] - 0.5 * (trial**2).sum(axis=(1, 2)) >= old - 1e-9 * np.abs(old))
                if not worse.any():
                    break
                size[worse] /= 2.0
            v[active] = trial
        return self._finished(y, constant, psi, fixed, T, v)

    def _at(self, y: Vector, fixed: Vector, T: Vector, v: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        return self.scan(y, fixed + self.times(v @ T.transpose(0, 2, 1)))

    def _pull(self, scans: tuple[Vector, ...], T: Vector, v: Vector) -> Vector:
        """(B, q, k) the gradient T'Z's - v."""
        return self.products(scans[1]) @ T - v

    def _step(self, scans: tuple[Vector, ...], T: Vector, v: Vector) -> Vector:
        return _solved(self._curvature(scans[2], T)[0], self._pull(scans, T, v))

    def _curvature(self, w: Vector, T: Vector) -> tuple[Vector, Vector]:
        """A and G of each level."""
        G = self.gram(w)
        return T.transpose(0, 2, 1)[:, None] @ G @ T[:, None] + np.eye(self.k), G

    def _finished(
        self, y: Vector, constant: Vector, psi: Vector, fixed: Vector, T: Vector, v: Vector
    ) -> _Point:  # fmt: skip
        total, s, w, third = self._at(y, fixed, T, v)
        A, G = self._curvature(w, T)
        C = np.linalg.inv(A) if self.k > 1 else 1.0 / A
        logdet = np.linalg.slogdet(A)[1] if self.k > 1 else np.log(A[:, :, 0, 0])
        criterion = -2.0 * (total + constant) + (v**2).sum(axis=(1, 2)) + logdet.sum(axis=1)
        TC = T[:, None] @ C
        inner = (TC @ T.transpose(0, 2, 1)[:, None])[:, self.level]
        c = np.einsum("na,bnac,nc->bn", self.z, inner, self.z) if self.k > 1 else inner[:, :, 0, 0] * self.z[:, 0] ** 2
        a = third * c
        h, za = self.products(s), self.products(a)
        r = np.einsum("bqac,bqc->bqa", C, za @ T)
        Tr = r @ T.transpose(0, 2, 1)
        gamma = (a - w * self.times(Tr) - 2.0 * s) @ self.Q
        left = za - 2.0 * h - np.einsum("bqac,bqc->bqa", G, Tr)
        M = left.transpose(0, 2, 1) @ v + h.transpose(0, 2, 1) @ r + 2.0 * (G @ TC).sum(axis=1)
        gradient = np.concatenate([gamma, np.zeros((len(psi), psi.shape[1] - gamma.shape[1]))], axis=1)
        gradient[:, gamma.shape[1] + self.where] = np.einsum("mac,bac->bm", self.directions, M)
        return _Point(psi.copy(), criterion, gradient, v)

    def fit(self, y: Vector, start: Vector, hessian: Vector) -> Batch:
        """Fit (B, n) responses, rows in the order of the engine."""
        B, d = len(y), len(start)
        constant = self.constants(y)
        H0 = _positive(hessian)
        H = np.broadcast_to(H0, (B, d, d)).copy()
        unit = 1.0 / np.sqrt(np.diag(H0) / 2.0)
        with np.errstate(all="ignore"):
            at = self.evaluate(y, constant, np.broadcast_to(start, (B, d)).copy(), np.zeros((B, self.q, self.k)))
            done, lost = np.zeros(B, dtype=bool), ~np.isfinite(at.criterion)
            for _ in range(MOST):
                active = np.flatnonzero(~done & ~lost)
                if not len(active):
                    break
                g = at.gradient[active]
                step = -np.linalg.solve(H[active], g[:, :, None])[:, :, 0]
                gain = -0.5 * (step * g).sum(axis=1)
                finished = gain < ENOUGH
                done[active[finished]] = True
                active, step, gain = active[~finished], step[~finished], gain[~finished]
                if not len(active):
                    break
                length = np.sqrt((step * (H[active] @ step[:, :, None])[:, :, 0]).sum(axis=1) / 2.0)
                step *= np.minimum(1.0, RADIUS / length)[:, None]
                lost[active] = ~self._searched(y, constant, at, active, step, H)
            self._boundary(y, constant, at, done)
        p = self.Q.shape[1]
        done &= (np.abs((at.psi[:, :p] - start[:p]) / unit[:p]) < FAR).all(axis=1)
        return Batch(at.psi, at.criterion, done)

    def _searched(
        self, y: Vector, constant: Vector, at: _Point, active: NDArray[np.intp], step: Vector, H: Vector
    ) -> Mask:  # fmt: skip
        """Move, steps halved until the criterion falls; (m,) whether it did."""
        before = at.take(active)
        good = np.zeros(len(active), dtype=bool)
        size = np.ones(len(active))
        left = np.arange(len(active))
        for _ in range(12):
            psi = before.psi[left] + size[left, None] * step[left]
            new = self.evaluate(y[active[left]], constant[active[left]], psi, before.v[left])
            fell = new.criterion <= before.criterion[left] + 1e-11 * np.abs(before.criterion[left])
            rows = left[fell]
            at.put(active[rows], new.take(fell))
            good[rows] = True
            left = left[~fell]
            if not len(left):
                break
            size[left] /= 3.0
        moved = active[good]
        H[moved] = _updated(
            H[moved], at.psi[moved] - before.psi[good], at.gradient[moved] - before.gradient[good]
        )  # fmt: skip
        return good

    def _boundary(self, y: Vector, constant: Vector, at: _Point, done: Mask) -> None:
        """Try zero where a standard deviation is nearly so; a term of several effects that is singular is left."""
        p = self.Q.shape[1]
        problem = self.model.problem
        near = problem.on_boundary(at.psi[:, p:], NEAR_ZERO)
        rows = np.flatnonzero(near & done)
        if not len(rows):
            return
        if self.k > 1 or at.psi.shape[1] != p + 1:
            done[rows] = False
            return
        psi = at.psi[rows].copy()
        psi[:, p:] = 0.0
        for _ in range(8):  # gamma at zero, by its expected information
            _, s, w, _ = self.scan(y[rows], self.offset + psi[:, :p] @ self.Q.T)
            psi[:, :p] += np.linalg.solve((self.Q.T[None] * w[:, None]) @ self.Q, (s @ self.Q)[:, :, None])[:, :, 0]
        zero = self.evaluate(y[rows], constant[rows], psi, np.zeros_like(at.v[rows]))
        better = zero.criterion <= at.criterion[rows] + 1e-8
        at.put(rows[better], zero.take(better))
        around = psi.copy()
        around[:, p:] = NEAR_ZERO / 4.0
        aside = self.evaluate(y[rows], constant[rows], around, np.zeros_like(at.v[rows]))
        falls = aside.gradient[:, p] < 0.0  # a saddle: the variance wants to grow
        done[rows[better & falls]] = False


def _solved(A: Vector, g: Vector) -> Vector:
    """(B, q, k) solutions of the k by k systems of all levels."""
    if A.shape[-1] == 1:
        return g / A[..., 0]
    return np.asarray(np.linalg.solve(A, g[..., None])[..., 0], dtype=np.float64)


def _positive(H: Vector) -> Vector:
    """The nearest matrix whose eigenvalues, in units of its diagonal, are not below a hundredth."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-8))
    values, vectors = np.linalg.eigh(H / np.outer(scale, scale))
    return np.asarray((vectors * np.maximum(values, 0.01)) @ vectors.T * np.outer(scale, scale), dtype=np.float64)


def _updated(H: Vector, move: Vector, change: Vector) -> Vector:
    """BFGS: (m, d, d) second derivatives that explain the changes of the gradients; kept where these bend wrongly."""
    Hm = (H @ move[:, :, None])[:, :, 0]
    along, bent = (move * change).sum(axis=1), (move * Hm).sum(axis=1)
    weak = along < 0.1 * bent  # damped, so that the matrix stays positive (Powell 1978)
    share = np.where(weak, 0.9 * bent / np.maximum(bent - along, 1e-300), 1.0)[:, None]
    change = share * change + (1.0 - share) * Hm
    along = (move * change).sum(axis=1)
    ok = (bent > 0.0) & (along > 0.0) & np.isfinite(along)
    out: Vector = H.copy()
    out[ok] += (
        change[ok, :, None] * change[ok, None, :] / along[ok, None, None]
        - Hm[ok, :, None] * Hm[ok, None, :] / bent[ok, None, None]
    )
    return out
