r"""Serial correlation: columns in their order, neighbours with the correlation rho, rho^m if they are m apart.

The correlation matrix of a stationary autoregressive process of order one has, with rho = cos t, the lower factor

    U_i0 = cos^i t,    U_ij = cos^(i - j) t sin t,    j = 1, ..., i,

since u_i = rho u_(i - 1) + (1 - rho^2)^(1/2) e_i. rho is one at t = 0 and minus one at t = pi, q = 1/2
(`mixedfx.covariance.correlations`); at both ends the columns of U but the first are zero, and sin t keeps the digits of
1 - rho^2.

* **One standard deviation** (``ar1``), as in glmmTMB; metafor's ``struct="AR"``.
* **A standard deviation for each column** (``hetar1``); metafor's ``struct="HAR"``.

|R| = (1 - rho^2)^(k - 1), so that under LKJ(eta) along the line of such R (1 + rho) / 2 ~ Beta(a, a), a = (k - 1)(eta -
1) + 1: uniform for eta = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.angles import Polar
from mixedfx.covariance.components import Component
from mixedfx.covariance.correlations import Correlation

Vector = NDArray[np.float64]

STEEPEST = 350.0  # of y, beyond which cosh overflows


@dataclass(frozen=True)
class Serial(Correlation):
    """Neighbours among k columns have the correlation rho, columns that are m apart rho^m.

    Examples
    --------
    >>> from mixedfx.covariance.serial import Serial
    >>> Serial(3).matrix(0.5)
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    """

    rate: ClassVar[float] = 0.5
    manner: ClassVar[str] = "serially correlated"
    stan: ClassVar[str] = "serial"

    @property
    def lowest(self) -> float:
        """Minus one."""
        return -1.0

    @property
    def component(self) -> Component:
        """Of neighbours."""
        return Component("cor", tuple(range(self.k)), neighbours=True)

    @property
    def _apart(self) -> NDArray[np.intp]:
        """(k, k) how far apart columns are."""
        return np.abs(np.subtract.outer(np.arange(self.k), np.arange(self.k)))

    def _lower(self, first: Vector, others: Vector) -> Vector:
        """(..., k, k) from (..., k) the first column, and what the others have m below the diagonal, at m."""
        out = np.tril(others[..., self._apart])
        out[..., :, 0] = first
        return out

    def _powers(self, c: Vector, s: Vector) -> tuple[Vector, Vector, Vector]:
        """(k,) m, (..., k) cos^m t, (..., 1) sin t."""
        m = np.arange(self.k, dtype=np.float64)
        return m, np.asarray(c)[..., None] ** m, np.asarray(s)[..., None]

    def root(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) U, lower triangular."""
        _, power, s = self._powers(c, s)
        return self._lower(power, power * s)

    def turned(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) (c^m)' = -m c^(m-1) s and (c^m s)' = c^(m+1) - m c^(m-1) s^2."""
        m, power, s = self._powers(c, s)
        before = self._shifted(power, 1)
        return self._lower(-m * before * s, np.asarray(c)[..., None] * power - m * before * s**2)

    def bent(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) (c^m)'' = m (m-1) c^(m-2) s^2 - m c^m, (c^m s)'' = m (m-1) c^(m-2) s^3 - (3 m + 1) c^m s."""
        m, power, s = self._powers(c, s)
        two = m * (m - 1.0) * self._shifted(power, 2) * s**2
        return self._lower(two - m * power, (two - (3.0 * m + 1.0) * power) * s)

    def _shifted(self, power: Vector, by: int) -> Vector:
        """(..., k) c^(m - by), zero where m is below `by`: it is multiplied by zero there."""
        out = np.zeros_like(power)
        out[..., by:] = power[..., :-by]
        return out

    def of_rows(self, unit: Vector, some: NDArray[np.bool_]) -> Vector:
        """(...) angles of rows of length one: of neighbours, or of rows as close to each other as vary.

        The angle between two rows is 2 atan2(|u - v|, |u + v|), which loses no digits at its ends. Of rows that are an
        even number apart, the correlation is taken to be positive.
        """
        t = np.full(some.shape[:-1], float(self.angle(0.0)))
        open_ = np.ones(some.shape[:-1], dtype=bool)
        for m in range(1, self.k):
            both = some[..., m:] & some[..., :-m]
            chosen = open_ & both.any(axis=-1)
            if not chosen.any():
                continue
            less = (np.where(both[..., None], unit[..., m:, :] - unit[..., :-m, :], 0.0) ** 2).sum(axis=(-1, -2))
            more = (np.where(both[..., None], unit[..., m:, :] + unit[..., :-m, :], 0.0) ** 2).sum(axis=(-1, -2))
            t = np.where(chosen, self._of_power(2.0 * np.arctan2(np.sqrt(less), np.sqrt(more)), m), t)
            open_ = open_ & ~chosen
        return t

    def _of_power(self, t: Vector, m: int) -> Vector:
        """(...) angle whose cosine has the m-th power cos t."""
        if m == 1:
            return t
        positive = np.minimum(t, np.pi - t)  # of the power's size
        with np.errstate(divide="ignore"):
            log = np.log1p(-2.0 * np.sin(positive / 2.0) ** 2) / m
        found = 2.0 * np.arcsin(np.sqrt(np.clip(-np.expm1(log) / 2.0, 0.0, 0.5)))
        return np.where((t > np.pi / 2.0) & (m % 2 == 1), np.pi - found, found)

    def matrix(self, rho: float) -> Vector:
        """(k, k) rho to the power of the distance."""
        return np.asarray(float(rho) ** self._apart, dtype=np.float64)

    def matrix_slope(self, rho: float) -> Vector:
        """(k, k) m rho^(m - 1)."""
        m = self._apart
        return np.asarray(m * float(rho) ** np.maximum(m - 1, 0), dtype=np.float64)

    def shapes(self, eta: float) -> tuple[float, float]:
        """From |R| = (1 - rho^2)^(k - 1)."""
        a = (self.k - 1) * (eta - 1.0) + 1.0
        return a, a

    def cosines(self, y: Vector) -> tuple[Vector, Vector, Vector]:
        """(...) cosine tanh y and sine 1 / cosh y of t, and dt/dy = -sin t: t = 2 atan(e^-y)."""
        s = 1.0 / np.cosh(np.clip(y, -STEEPEST, STEEPEST))
        return np.tanh(y), s, -s


def Autoregressive(k: int) -> Polar:
    """One standard deviation, and a correlation of neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.serial import Autoregressive
    >>> F = Autoregressive(3).factor_at(np.array([2.0, -0.5]))
    >>> np.round(F @ F.T, 12)
    array([[ 4., -2.,  1.],
           [-2.,  4., -2.],
           [ 1., -2.,  4.]])
    """
    return Polar(Serial(k), True, "ar1")


def HeterogeneousAutoregressive(k: int) -> Polar:
    """A standard deviation for each column, and a correlation of neighbours."""
    return Polar(Serial(k), False, "hetar1")
