r"""Structures of standard deviations and one correlation: T = D U(t), D = diag(d), U a root of the correlation matrix.

The correlation is an angle (`mixedfx.covariance.correlations`). Where all columns share one standard deviation it is a
parameter itself, for T and -T describe the same. Of standard deviations of their own d = e^2, e the parameter: the sign
of a single d would turn its correlations, so that d >= 0 is a true bound; its root e has none. Another shape of the
same family has a standard deviation itself for a parameter: intervals hold it (`held`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component, Family, Scaling, own_sds
from mixedfx.covariance.correlations import Correlation
from mixedfx.covariance.sampled import OneAngle

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Polar(Family):
    """Standard deviations and an angle for parameters: T = D U(t).

    Attributes
    ----------
    correlation
        The family of correlation matrices.
    shared
        Whether all columns have one standard deviation.
    name
        As in formulas.
    plain
        Which standard deviations of columns are parameters themselves; of the others their roots e are.
    """

    correlation: Correlation
    shared: bool
    name: str
    plain: tuple[int, ...] = ()
    entries: ClassVar[None] = None

    @property
    def k(self) -> int:
        """Number of columns."""
        return self.correlation.k

    @property
    def scaling(self) -> Scaling:
        """Units of the columns are their own, unless they share a standard deviation."""
        return "one unit" if self.shared else "units"

    @property
    def manner(self) -> str:
        """That of the correlations."""
        return self.correlation.manner

    @property
    def stan(self) -> str:
        """That of the correlations."""
        return self.correlation.stan

    @property
    def least_eta(self) -> float:
        """That of the correlations."""
        return self.correlation.least_eta

    @property
    def sampled(self) -> OneAngle:
        """Log standard deviations and y."""
        return OneAngle(self.correlation, self.shared)

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
        """(r,) a shared standard deviation, the roots of others, and the angle."""
        return np.array([*(self.shared or i not in self.plain for i in range(self.n_sds)), True])

    @property
    def components(self) -> tuple[Component, ...]:
        """Standard deviations, then the correlation."""
        sds = (Component("sd", tuple(range(self.k))),) if self.shared else own_sds(self.k)
        return (*sds, self.correlation.component)

    @property
    def _plain(self) -> NDArray[np.bool_]:
        """(n_sds,) which standard deviations are parameters themselves."""
        return np.ones(1, dtype=bool) if self.shared else np.isin(np.arange(self.k), self.plain)

    def _sds(self, par: Vector) -> tuple[Vector, Vector, Vector]:
        """(..., n_sds) standard deviations with their first and second derivatives in the parameters."""
        x, plain = np.asarray(par)[..., :-1], self._plain
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
        t = np.asarray(par)[..., -1]
        return self._spread(self._sds(par)[0]) * self.correlation.root(np.cos(t), np.sin(t))

    def parameters(self, T: Vector) -> Vector:
        """(..., r) parameters, roots not negative and the angle between its ends."""
        length = np.sqrt((T**2).sum(axis=-1))
        some = length > 0
        unit = np.where(some[..., None], T / np.where(some, length, 1.0)[..., None], 0.0)
        sds = np.sqrt((length**2).mean(axis=-1, keepdims=True)) if self.shared else length
        values = np.where(self._plain, sds, np.sqrt(sds))
        return np.concatenate([values, self.correlation.of_rows(unit, some)[..., None]], axis=-1)

    def directions(self, par: Vector) -> Vector:
        """(..., r, k, k) first derivatives of `factor`."""
        d, slope, _ = self._sds(par)
        t = np.asarray(par)[..., -1]
        c, s = np.cos(t), np.sin(t)
        root = self.correlation.root(c, s)
        out = np.zeros((*np.shape(par)[:-1], self.n_parameters, self.k, self.k))
        for i in range(self.n_sds):
            rows = slice(None) if self.shared else slice(i, i + 1)
            out[..., i, rows, :] = slope[..., i, None, None] * root[..., rows, :]
        out[..., -1, :, :] = self._spread(d) * self.correlation.turned(c, s)
        return out

    def curvature(self, par: Vector) -> Vector:
        """(..., r, r, k, k) second derivatives of `factor`."""
        d, slope, bend = self._sds(par)
        t = np.asarray(par)[..., -1]
        c, s = np.cos(t), np.sin(t)
        root, turned = self.correlation.root(c, s), self.correlation.turned(c, s)
        r = self.n_parameters
        out = np.zeros((*np.shape(par)[:-1], r, r, self.k, self.k))
        for i in range(self.n_sds):
            rows = slice(None) if self.shared else slice(i, i + 1)
            out[..., i, i, rows, :] = bend[..., i, None, None] * root[..., rows, :]
            mixed = slope[..., i, None, None] * turned[..., rows, :]
            out[..., i, -1, rows, :] = mixed
            out[..., -1, i, rows, :] = mixed
        out[..., -1, -1, :, :] = self._spread(d) * self.correlation.bent(c, s)
        return out

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., r) which standard deviations are within `near` of zero, and whether the angle is of an end."""
        size = np.append(np.where(self._plain, near, np.sqrt(near)), near)  # of a root e, e^2 is the standard deviation
        return self.stationary & (np.abs(par - self._ends(par)) <= size)

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., r) parameters with those `at_end` put there."""
        return np.where(self.at_end(par, near), self._ends(par), par)

    def _ends(self, par: Vector) -> Vector:
        """(..., r) zero for standard deviations, the nearest end for the angle."""
        out = np.zeros(np.shape(par))
        out[..., -1] = self.correlation.nearest_end(np.asarray(par)[..., -1])
        return out

    def theta(self, T: Vector) -> Vector:
        """(..., r) standard deviations and the correlation."""
        par = self.parameters(T)
        return np.concatenate([self._sds(par)[0], self.correlation.correlation(par[..., -1:])], axis=-1)

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at standard deviations and the correlation."""
        theta = np.asarray(theta, dtype=np.float64)
        t = self.correlation.angle(theta[..., -1])
        return self._spread(theta[..., :-1]) * self.correlation.root(np.cos(t), np.sin(t))

    def patterns(self, T: Vector) -> Vector:
        """(r, k, k) derivatives in the standard deviations and in rho."""
        theta = self.theta(T)
        rho, d = float(theta[-1]), np.broadcast_to(theta[:-1], (self.k,))
        R = self.correlation.matrix(rho)
        rows = [np.ones(self.k)] if self.shared else list(np.eye(self.k))
        moved = [np.outer(e, d) * R for e in rows]
        return np.array([*(one + one.T for one in moved), np.outer(d, d) * self.correlation.matrix_slope(rho)])

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """The columns, or the name of what all share, and ``cor``."""
        return (*((shared,) if self.shared else columns), f"{shared}.cor")

    def held(self, component: Component) -> tuple[Polar, int, Correlation | None]:
        """The shape of the family with this standard deviation itself for a parameter; angles are parameters."""
        if component.kind == "cor":
            return self, self.n_sds, self.correlation
        if self.shared:
            return self, 0, None
        at = component.columns[0]
        return Polar(self.correlation, False, self.name, (at,)), at, None
