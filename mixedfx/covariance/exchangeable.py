r"""Compound symmetry: any two columns have the same correlation rho.

The correlation matrix R = (1 - rho) I + rho 11' of k columns has the eigenvalue 1 + (k - 1) rho along 1 and 1 - rho
across, so rho lies between -1 / (k - 1) and 1. With P = 11'/k its symmetric root is

    R^(1/2) = a P + b (I - P),    a^2 = 1 + (k - 1) rho,    b^2 = 1 - rho,    a^2 + (k - 1) b^2 = k,

and the circle is run through by an angle t: a = sqrt(k) cos t, b = sqrt(k / (k - 1)) sin t. rho is one at t = 0 and at
its lower end at t = pi / 2; t and its mirror images about both describe the same R, so that the criterion is stationary
there, and t needs no bounds.

* **One standard deviation s** (``homcs``): T = s R^(1/2) = alpha P + beta (I - P) is linear in alpha = s a, beta = s b,
  and the ends of rho's range are the zeros of alpha and beta.
* **A standard deviation for each column** (``cs``): T = D R^(1/2), D = diag(d), d = e^2. The sign of a single d would
  turn its correlations, d >= 0 is a true bound; its root e has none.

Both ends lose no digits: a and b are lengths of what T has along 1 and across. Another shape of the same families has a
standard deviation itself, and t, for parameters: intervals hold them (`held`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component, Scaling, own_sds

Vector = NDArray[np.float64]


def lowest_correlation(k: int) -> float:
    """-1 / (k - 1), the lowest correlation that all pairs of k columns can have."""
    return -1.0 / (k - 1)


def angle(rho: Vector | float, k: int) -> Vector:
    """T in [0, pi / 2] of a correlation.

    Examples
    --------
    >>> from mixedfx.covariance.exchangeable import angle, correlation
    >>> round(float(correlation(angle(0.25, 5), 5)), 12)
    0.25
    """
    rho = np.asarray(rho, dtype=np.float64)
    return np.arctan2(
        np.sqrt((k - 1) * np.clip(1.0 - rho, 0.0, None)), np.sqrt(np.clip(1.0 + (k - 1) * rho, 0.0, None))
    )


def correlation(t: Vector, k: int) -> Vector:
    """Correlation of an angle: 1 - k / (k - 1) sin^2 t."""
    return 1.0 - k / (k - 1) * np.sin(t) ** 2


def correlation_slope(t: float, k: int) -> float:
    """Derivative of the correlation in the angle."""
    return -k / (k - 1) * float(np.sin(2.0 * t))


def roots(t: Vector, k: int) -> tuple[Vector, Vector]:
    """(a, b) of the symmetric root of the correlation matrix."""
    return np.sqrt(k) * np.cos(t), np.sqrt(k / (k - 1)) * np.sin(t)


def mixture(a: Vector, b: Vector, k: int) -> Vector:
    """(..., k, k) a P + b (I - P) for a, b (...)."""
    a, b = np.asarray(a)[..., None, None], np.asarray(b)[..., None, None]
    return (a - b) / k * np.ones((k, k)) + b * np.eye(k)


def _along_and_across(unit: Vector) -> tuple[Vector, Vector]:
    """Squared lengths (...), (...) of what rows (..., k, m) have along 1, and in all across it."""
    k = unit.shape[-2]
    mean = unit.mean(axis=-2, keepdims=True)
    return k * (mean**2).sum(axis=(-1, -2)), ((unit - mean) ** 2).sum(axis=(-1, -2))


@dataclass(frozen=True)
class HomogeneousSymmetry:
    """One standard deviation and one correlation; parameters alpha, beta.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.exchangeable import HomogeneousSymmetry
    >>> F = HomogeneousSymmetry(3).factor_at(np.array([2.0, -0.25]))
    >>> np.round(F @ F.T, 12)
    array([[ 4., -1., -1.],
           [-1.,  4., -1.],
           [-1., -1.,  4.]])
    """

    k: int
    name: ClassVar[str] = "homcs"
    scaling: ClassVar[Scaling] = "one unit"
    n_parameters: ClassVar[int] = 2
    entries: ClassVar[None] = None

    @property
    def stationary(self) -> NDArray[np.bool_]:
        """(2,) both."""
        return np.ones(2, dtype=bool)

    @property
    def components(self) -> tuple[Component, ...]:
        """The standard deviation and the correlation."""
        every = tuple(range(self.k))
        return Component("sd", every), Component("cor", every)

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) alpha P + beta (I - P)."""
        return mixture(par[..., 0], par[..., 1], self.k)

    def parameters(self, T: Vector) -> Vector:
        """(..., 2) alpha, beta >= 0."""
        along, across = _along_and_across(T)
        return np.stack([np.sqrt(along), np.sqrt(across / (self.k - 1))], axis=-1)

    def directions(self, par: Vector) -> Vector:
        """(..., 2, k, k) P and I - P."""
        P = np.full((self.k, self.k), 1.0 / self.k)
        return np.broadcast_to(np.stack([P, np.eye(self.k) - P]), (*np.shape(par)[:-1], 2, self.k, self.k))

    def curvature(self, par: Vector) -> None:
        """None: `factor` is linear."""

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., 2) which are within `near` of zero."""
        return np.abs(par) <= near

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., 2) zero where within `near` of it."""
        return np.where(self.at_end(par, near), 0.0, par)

    def theta(self, T: Vector) -> Vector:
        """(..., 2) standard deviation and correlation."""
        along, across = _along_and_across(T)
        total = along + across
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = (along - across / (self.k - 1)) / total
        return np.stack([np.sqrt(total / self.k), np.where(total > 0, rho, 0.0)], axis=-1)

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at a standard deviation and a correlation."""
        sd, rho = np.asarray(theta)[..., 0], np.asarray(theta)[..., 1]
        a, b = np.clip(1.0 + (self.k - 1) * rho, 0.0, None), np.clip(1.0 - rho, 0.0, None)
        return mixture(sd * np.sqrt(a), sd * np.sqrt(b), self.k)

    def patterns(self, T: Vector) -> Vector:
        """(2, k, k) P and I - P: the covariance is alpha^2 P + beta^2 (I - P)."""
        return np.array(self.directions(np.zeros(2)))

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """The name of what all columns share, and ``cor``."""
        return shared, f"{shared}.cor"

    def held(self, component: Component) -> tuple[Polar, int]:
        """A standard deviation and an angle."""
        return Polar(self.k, True, (0,)), 0 if component.kind == "sd" else 1


@dataclass(frozen=True)
class Polar:
    """Standard deviations and an angle for parameters: T = D R(t)^(1/2).

    Attributes
    ----------
    k
        Number of columns.
    shared
        Whether all columns have one standard deviation.
    plain
        Which standard deviations are parameters themselves; of the others their roots e are.
    """

    k: int
    shared: bool
    plain: tuple[int, ...] = ()
    entries: ClassVar[None] = None

    @property
    def name(self) -> str:
        """As in formulas."""
        return "homcs" if self.shared else "cs"

    @property
    def scaling(self) -> Scaling:
        """Units of the columns are their own, unless they share a standard deviation."""
        return "one unit" if self.shared else "units"

    @property
    def n_sds(self) -> int:
        """Number of standard deviations."""
        return 1 if self.shared else self.k

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.n_sds + 1

    @property
    def stationary(self) -> NDArray[np.bool_]:
        """(r,) the roots of standard deviations, and the angle."""
        return np.array([*(i not in self.plain for i in range(self.n_sds)), True])

    @property
    def components(self) -> tuple[Component, ...]:
        """Standard deviations, then the correlation."""
        every = tuple(range(self.k))
        return (*((Component("sd", every),) if self.shared else own_sds(self.k)), Component("cor", every))

    def _sds(self, par: Vector) -> tuple[Vector, Vector, Vector]:
        """(..., n_sds) standard deviations with their first and second derivatives in the parameters."""
        x = np.asarray(par)[..., :-1]
        plain = np.isin(np.arange(self.n_sds), self.plain)
        return (
            np.where(plain, x, x**2),
            np.where(plain, 1.0, 2.0 * x),
            np.broadcast_to(np.where(plain, 0.0, 2.0), x.shape),
        )

    def _spread(self, d: Vector) -> Vector:
        """(..., k, 1) one for each row."""
        return np.broadcast_to(d, (*d.shape[:-1], self.k))[..., None]

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) factors T at parameters (..., r)."""
        return self._spread(self._sds(par)[0]) * mixture(*roots(np.asarray(par)[..., -1], self.k), self.k)

    def parameters(self, T: Vector) -> Vector:
        """(..., r) parameters, roots not negative and the angle in [0, pi / 2]."""
        length = np.sqrt((T**2).sum(axis=-1))
        if self.shared:
            along, across = _along_and_across(T)
            sds = np.sqrt((along + across) / self.k)[..., None]
            t = np.where(sds[..., 0] > 0, np.arctan2(np.sqrt(across), np.sqrt(along)), angle(0.0, self.k))
        else:
            sds, t = length, self._angle(T, length)
        plain = np.isin(np.arange(self.n_sds), self.plain)
        return np.concatenate([np.where(plain, sds, np.sqrt(sds)), t[..., None]], axis=-1)

    def _angle(self, T: Vector, length: Vector) -> Vector:
        """(...) angle of the correlation of the rows that are not zero; of zero where there are not two."""
        some = length > 0
        m = some.sum(axis=-1)
        unit = np.where(some[..., None], T / np.where(some, length, 1.0)[..., None], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = unit.sum(axis=-2) / m[..., None]
            across = (np.where(some[..., None], unit - mean[..., None, :], 0.0) ** 2).sum(axis=(-1, -2))
            b2 = across / (m - 1)  # 1 - rho
            a2 = np.where(m == self.k, m * (mean**2).sum(axis=-1), self.k - (self.k - 1) * b2)
            t = np.arctan2(np.sqrt((self.k - 1) * b2), np.sqrt(np.clip(a2, 0.0, None)))
        return np.where(m > 1, t, angle(0.0, self.k))

    def directions(self, par: Vector) -> Vector:
        """(..., r, k, k) first derivatives of `factor`."""
        d, slope, _ = self._sds(par)
        a, b = roots(np.asarray(par)[..., -1], self.k)
        root, turned = mixture(a, b, self.k), mixture(*self._turned(a, b), self.k)
        out = np.zeros((*np.shape(par)[:-1], self.n_parameters, self.k, self.k))
        for i in range(self.n_sds):
            rows = slice(None) if self.shared else slice(i, i + 1)
            out[..., i, rows, :] = slope[..., i, None, None] * root[..., rows, :]
        out[..., -1, :, :] = self._spread(d) * turned
        return out

    def curvature(self, par: Vector) -> Vector:
        """(..., r, r, k, k) second derivatives of `factor`."""
        d, slope, bend = self._sds(par)
        a, b = roots(np.asarray(par)[..., -1], self.k)
        root, turned = mixture(a, b, self.k), mixture(*self._turned(a, b), self.k)
        r = self.n_parameters
        out = np.zeros((*np.shape(par)[:-1], r, r, self.k, self.k))
        for i in range(self.n_sds):
            rows = slice(None) if self.shared else slice(i, i + 1)
            out[..., i, i, rows, :] = bend[..., i, None, None] * root[..., rows, :]
            mixed = slope[..., i, None, None] * turned[..., rows, :]
            out[..., i, -1, rows, :] = mixed
            out[..., -1, i, rows, :] = mixed
        out[..., -1, -1, :, :] = -self._spread(d) * root
        return out

    def _turned(self, a: Vector, b: Vector) -> tuple[Vector, Vector]:
        """Derivatives of (a, b) in the angle."""
        return -np.sqrt(self.k - 1) * b, a / np.sqrt(self.k - 1)

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., r) which standard deviations are within `near` of zero, and whether the angle is of a quarter turn."""
        size = np.append(np.full(self.n_sds, np.sqrt(near)), near)  # of a root e, e^2 is the standard deviation
        return self.stationary & (np.abs(par - self._ends(par)) <= size)

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., r) parameters with those `at_end` put there."""
        return np.where(self.at_end(par, near), self._ends(par), par)

    def _ends(self, par: Vector) -> Vector:
        """(..., r) zero for standard deviations, the nearest quarter turn for the angle."""
        out = np.zeros(np.shape(par))
        out[..., -1] = np.round(np.asarray(par)[..., -1] / (np.pi / 2)) * (np.pi / 2)
        return out

    def theta(self, T: Vector) -> Vector:
        """(..., r) standard deviations and the correlation."""
        par = self.parameters(T)
        return np.concatenate([self._sds(par)[0], correlation(par[..., -1:], self.k)], axis=-1)

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at standard deviations and the correlation."""
        theta = np.asarray(theta, dtype=np.float64)
        root = mixture(*roots(angle(theta[..., -1], self.k), self.k), self.k)
        return self._spread(theta[..., :-1]) * root

    def patterns(self, T: Vector) -> Vector:
        """(r, k, k) derivatives in the standard deviations and in rho."""
        theta = self.theta(T)
        rho, d = theta[-1], np.broadcast_to(theta[:-1], (self.k,))
        R = np.full((self.k, self.k), rho) + (1.0 - rho) * np.eye(self.k)
        rows = [np.ones(self.k)] if self.shared else list(np.eye(self.k))
        moved = [np.outer(e, d) * R for e in rows]
        return np.array([*(one + one.T for one in moved), np.outer(d, d) * (1.0 - np.eye(self.k))])

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """The columns, or the name of what all share, and ``cor``."""
        return (*((shared,) if self.shared else columns), f"{shared}.cor")

    def held(self, component: Component) -> tuple[Polar, int]:
        """The shape of the family with this standard deviation itself for a parameter; angles are parameters."""
        if component.kind == "cor":
            return self, self.n_sds
        at = component.columns[0]
        return Polar(self.k, self.shared, (at,)), at


def CompoundSymmetry(k: int) -> Polar:
    """A standard deviation for each column and one correlation.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.exchangeable import CompoundSymmetry
    >>> F = CompoundSymmetry(2).factor_at(np.array([1.0, 2.0, 0.5]))
    >>> np.round(F @ F.T, 12)
    array([[1., 1.],
           [1., 4.]])
    """
    return Polar(k, False)
