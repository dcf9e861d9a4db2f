r"""Weighted least squares of many data sets at once, and the quadratic forms that estimators of tau^2 are made of.

With y ~ N(X beta, diag(v + tau^2)) and weights a, let P = A - A X (X'A X)^{-1} X'A. Then P X = 0, y'P y is the weighted
sum of squared residuals, and for diagonal D and E

    tr(P D)     = sum a d - tr[G X'A^2 D X],                                          G = (X'A X)^{-1},
    tr(P D P E) = sum a^2 d e - 2 tr[G X'A^3 D E X] + tr[G X'A^2 D X G X'A^2 E X],
    P y = a r,   y'P P y = sum a^2 r^2,   y'P P P y = sum a^3 r^2 - c'G c,   c = X'A(a r),     r the residuals,

so that nothing needs P itself. X is replaced by an orthonormal basis of its columns: P and r are the same, and G is
well conditioned whatever the units of the moderators.

A leading axis runs over B data sets that share X: subsets (`use` is 0 or 1), permutations, simulated y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.measure import Array

SINGULAR = 1e-10  # smallest eigenvalue of Q'Q of some rows, 1 of all


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimates with known sampling variances, of B data sets over the same k rows.

    Attributes
    ----------
    y, v
        (B, k) or (1, k) estimates and sampling variances.
    Q
        (k, p) orthonormal columns that span those of X.
    use
        (B, k) 1 for rows that a data set has, 0 for others; None where all have all.
    """

    y: Array
    v: Array
    Q: Array
    use: Array | None = None

    @property
    def size(self) -> int:
        """Number of data sets B."""
        return max(len(self.y), len(self.v), 1 if self.use is None else len(self.use))

    @cached_property
    def k(self) -> Array:
        """(B,) rows of each data set."""
        if self.use is None:
            return np.full(self.size, float(self.y.shape[1]))
        return self.use.sum(axis=1)

    @cached_property
    def identified(self) -> NDArray[np.bool_]:
        """(B,) whether the rows of a data set tell all columns of X apart."""
        if self.use is None:
            return np.ones(self.size, dtype=bool)
        gram = self.Q.T @ (self.use[:, :, None] * self.Q)
        return np.linalg.eigvalsh(gram)[:, 0] > SINGULAR

    @property
    def df(self) -> Array:
        """(B,) k - p."""
        return self.k - self.Q.shape[1]

    def weights(self, tau2: Array) -> Array:
        """(B, k) 1 / (v + tau^2), 0 for rows not used; `tau2` is (B,)."""
        w = 1.0 / (self.v + tau2[:, None])
        return w if self.use is None else w * self.use

    def used(self, weights: Array | float) -> Array:
        """(B, k) weights that do not depend on tau^2, 0 for rows not used."""
        w = np.broadcast_to(np.asarray(weights, dtype=np.float64), (self.size, self.y.shape[1]))
        return w if self.use is None else w * self.use

    def at(self, tau2: Array | float) -> Weighted:
        """The weighted fit at (B,) tau^2."""
        return Weighted(self, self.weights(np.broadcast_to(np.asarray(tau2, dtype=np.float64), (self.size,))))

    def take(self, chosen: NDArray[np.intp]) -> Effects:
        """Some of the data sets."""
        if len(chosen) == self.size:
            return self
        y, v = (a if len(a) == 1 and self.size > 1 else a[chosen] for a in (self.y, self.v))
        return Effects(y, v, self.Q, None if self.use is None else self.use[chosen])


@dataclass(frozen=True, eq=False)
class Weighted:
    """The fit of `effects` with weights `w` (B, k)."""

    effects: Effects
    w: Array

    @cached_property
    def _weighted_Q(self) -> Array:
        return self.w[:, :, None] * self.effects.Q

    @cached_property
    def information(self) -> Array:
        """(B, p, p) Q'A Q."""
        return self.effects.Q.T @ self._weighted_Q

    @cached_property
    def G(self) -> Array:
        """(B, p, p) its inverse; NaN where the rows do not tell all columns of X apart."""
        info = self.information
        if info.shape[1] == 1:
            with np.errstate(divide="ignore"):
                return np.asarray(1.0 / info, dtype=np.float64)
        bad = ~self.effects.identified
        if not bad.any():
            return np.linalg.inv(info)
        found = np.linalg.inv(np.where(bad[:, None, None], np.eye(info.shape[1]), info))
        return np.where(bad[:, None, None], np.nan, found)

    @cached_property
    def gamma(self) -> Array:
        """(B, p) coefficients of Q."""
        score = (self.effects.y[:, None, :] @ self._weighted_Q)[:, 0]
        return (self.G @ score[:, :, None])[:, :, 0]

    @cached_property
    def residuals(self) -> Array:
        """(B, k) y - Q gamma."""
        return self.effects.y - self.gamma @ self.effects.Q.T

    @cached_property
    def Py(self) -> Array:
        """(B, k) P y."""
        return self.w * self.residuals

    @cached_property
    def yPy(self) -> Array:
        """(B,) weighted sum of squared residuals."""
        return np.sum(self.Py * self.residuals, axis=1)

    @cached_property
    def yPPy(self) -> Array:
        """(B,) y'P P y."""
        return np.sum(self.Py**2, axis=1)

    @cached_property
    def yPPPy(self) -> Array:
        """(B,) y'P P P y."""
        c = (self.Py[:, None, :] @ self._weighted_Q)[:, 0]
        return np.sum(self.w * self.Py**2, axis=1) - np.sum(c * (self.G @ c[:, :, None])[:, :, 0], axis=1)

    @cached_property
    def _second(self) -> Array:
        """(B, p, p) G Q'A^2 Q."""
        return self.G @ (self._weighted_Q.transpose(0, 2, 1) @ self._weighted_Q)

    @cached_property
    def trP(self) -> Array:
        """(B,) trace of P."""
        return self.w.sum(axis=1) - np.trace(self._second, axis1=1, axis2=2)

    @cached_property
    def trPP(self) -> Array:
        """(B,) trace of P P."""
        third = self.G @ (self._weighted_Q.transpose(0, 2, 1) @ (self.w[:, :, None] * self._weighted_Q))
        again = np.sum(self._second * self._second.transpose(0, 2, 1), axis=(1, 2))
        return np.sum(self.w**2, axis=1) - 2 * np.trace(third, axis1=1, axis2=2) + again

    def trPD(self, d: Array) -> Array:
        """(B,) trace of P diag(d); d is (B, k) or (1, k)."""
        inner = self._weighted_Q.transpose(0, 2, 1) @ (d[:, :, None] * self._weighted_Q)
        return np.sum(self.w * d, axis=1) - np.sum(self.G * inner.transpose(0, 2, 1), axis=(1, 2))

    def trPDPD(self, d: Array) -> Array:
        """(B,) trace of P diag(d) P diag(d)."""
        left = self._weighted_Q.transpose(0, 2, 1)
        third = self.G @ (left @ ((self.w * d**2)[:, :, None] * self._weighted_Q))
        second = self.G @ (left @ (d[:, :, None] * self._weighted_Q))
        again = np.sum(second * second.transpose(0, 2, 1), axis=(1, 2))
        return np.sum((self.w * d) ** 2, axis=1) - 2 * np.trace(third, axis1=1, axis2=2) + again

    @cached_property
    def log_determinant(self) -> Array:
        """(B,) log|Q'A Q|."""
        return np.linalg.slogdet(self.information)[1]

    @cached_property
    def leverage(self) -> Array:
        """(B, k) diagonal of the hat matrix Q G Q'A."""
        return np.sum((self.effects.Q @ self.G) * self.effects.Q, axis=2) * self.w


def orthonormal(X: Array) -> tuple[Array, Array]:
    """(k, p) basis Q and (p, p) R with X = Q R, R of positive diagonal."""
    Q, R = np.linalg.qr(X)
    sign = np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q * sign, R * sign[:, None]
