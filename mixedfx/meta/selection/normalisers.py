r"""What estimates would weigh on average: E[w(p(Y))] of Y ~ N(m, d), for step functions and for smooth weights.

**Steps.** With z = y / sqrt(v), cut-offs c_j of z at the steps a_j, and T_j = P(p <= a_j), which is Phi((m - c_j
sqrt(v)) / sqrt(d)), plus Phi((-m - c_j sqrt(v)) / sqrt(d)) for two-sided p values,

    A = sum_j delta_j (T_j - T_{j-1}) = delta_J + sum_{j<J} (delta_j - delta_{j+1}) T_j,     T_0 = 0, T_J = 1.

**Smooth weights.** In units of the standard error, x = y / sqrt(v), p is a function of x alone, so that the nodes of
the integral and the weights there serve every estimate: A = sum_n h_n w(p(x_n)) phi(u_n) / kappa with u = (x - eta) /
kappa, eta = m / sqrt(v) and kappa^2 = d / v >= 1. Since kappa >= 1 the integrand has no detail below unit scale: ten
Gauss-Legendre nodes in panels of unit length reach 1e-13. Panels end where w has a kink (x = 0 of two-sided p values, a
step, the clip of the beta function), and halve their lengths towards x = 0 where log w is singular there. Beyond
|x| = 9, p or 1 - p is below 1e-18: w is constant, and the tails are normal probabilities.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from mixedfx.meta.measure import Array
from mixedfx.meta.selection.weights import WeightFunction

FAR = 9.0
FARTHEST = 37.0  # where the lower tail of the normal distribution is the last that a float64 can hold
NODES = 10
ROOT_2PI = float(np.sqrt(2 * np.pi))


class Normaliser(NamedTuple):
    """log E[w] and its derivatives: (..., k) each, that by delta (d, ..., k)."""

    log_value: Array
    by_mean: Array
    by_variance: Array
    by_delta: Array


@dataclass(frozen=True, eq=False)
class StepWeights:
    """A step function at the observed estimates, in the direction in which they are significant.

    Attributes
    ----------
    cuts
        (J - 1,) z values at the steps, falling.
    cells
        (k,) interval of each estimate, 0 the most significant.
    sd
        (k,) standard errors.
    two_sided
        Whether p values are.
    """

    cuts: Array
    cells: Array
    sd: Array
    two_sided: bool

    @property
    def size(self) -> int:
        """Number of parameters, the first of which is 1."""
        return len(self.cuts) + 1

    def observed(self, delta: Array) -> tuple[Array, Array]:
        """(k,) log w of the estimates, and derivatives (J, k)."""
        at = self.cells[None] == np.arange(self.size)[:, None]
        return np.log(delta)[self.cells], at / delta[:, None]

    def rows(self, chosen: Array) -> StepWeights:
        """Those of some estimates."""
        return StepWeights(self.cuts, self.cells[chosen], self.sd[chosen], self.two_sided)

    def exceed(self, mean: Array, variance: Array) -> tuple[Array, Array, Array]:
        """P(p <= a_j), (J - 1, ..., k), and its derivatives by mean and variance."""
        s = np.sqrt(variance)
        value, by_mean, by_variance = np.empty((3, len(self.cuts), *np.broadcast_shapes(mean.shape, s.shape)))
        for j, cut in enumerate(self.cuts):
            u = (mean - cut * self.sd) / s
            density = np.exp(-0.5 * u * u) / (ROOT_2PI * s)
            T, T_m, T_d = special.ndtr(u), density, -0.5 * u * density / s
            if self.two_sided:
                u = (-mean - cut * self.sd) / s
                density = np.exp(-0.5 * u * u) / (ROOT_2PI * s)
                T, T_m, T_d = T + special.ndtr(u), T_m - density, T_d - 0.5 * u * density / s
            value[j], by_mean[j], by_variance[j] = T, T_m, T_d
        return value, by_mean, by_variance

    def normaliser(self, mean: Array, variance: Array, delta: Array) -> Normaliser:
        """E[w] of N(mean, variance), (..., k) and (k,)."""
        T, T_m, T_d = self.exceed(mean, variance)
        step, shape = delta[:-1] - delta[1:], T.shape[1:]
        flat = (len(step), -1)
        A = delta[-1] + (step @ T.reshape(flat)).reshape(shape)
        cells = np.empty((len(delta), *shape))
        cells[:-1], cells[-1] = T, 1.0
        cells[1:] -= T
        by_mean, by_variance = ((step @ part.reshape(flat)).reshape(shape) / A for part in (T_m, T_d))
        return Normaliser(np.log(A), by_mean, by_variance, cells / A)


@dataclass(frozen=True, eq=False)
class SmoothWeights:
    """A smooth weight function at the observed estimates.

    Attributes
    ----------
    function
        Its entry of the table.
    z
        (k,) estimates over their standard errors, in the direction in which they are significant.
    sd
        (k,) standard errors.
    two_sided
        Whether p values are.
    begin
        p value where selection begins; 0 for everywhere.
    """

    function: WeightFunction
    z: Array
    sd: Array
    two_sided: bool
    begin: float = 0.0

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.function.null)

    def log_weight(self, x: Array, delta: Array) -> tuple[Array, Array]:
        """Log w (n,) of estimates of x standard errors, and derivatives (d, n)."""
        assert self.function.log_weight is not None
        if self.two_sided:
            p = 2 * special.ndtr(-np.abs(x))
            rest = special.erf(np.abs(x) / np.sqrt(2))
        else:
            p, rest = special.ndtr(-x), special.ndtr(x)
        value, slope = self.function.log_weight(p, rest, delta)
        if self.begin > 0:
            ends = np.array([self.begin]), np.array([1 - self.begin])
            base, base_slope = self.function.log_weight(*ends, delta)
            beyond = p > self.begin
            value, slope = np.where(beyond, value - base, 0.0), np.where(beyond, slope - base_slope, 0.0)
        return value, slope

    def observed(self, delta: Array) -> tuple[Array, Array]:
        """(k,) log w of the estimates, and derivatives (d, k)."""
        return self.log_weight(self.z, delta)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Between which x the weights are not constant."""
        if self.function.clip > 0:
            far = float(-special.ndtri(self.function.clip / (2 if self.two_sided else 1)))
            return -far, far
        return (-FARTHEST if self.function.decays and not self.two_sided else -FAR), FAR

    @cached_property
    def _nodes(self) -> tuple[Array, Array]:
        """Nodes and their quadrature weights, ends of panels at the kinks."""
        low, high = self._ends
        kinks = {low, high}
        if self.two_sided:
            kinks.add(0.0)
            if self.function.clip > 0:
                near = float(-special.ndtri((1 - self.function.clip) / 2))
                kinks |= {near, -near}
            if self.function.singular:
                kinks |= {sign * 2.0**-j for j in range(45) for sign in (-1, 1)}
        if self.begin > 0:
            cut = float(-special.ndtri(self.begin / (2 if self.two_sided else 1)))
            kinks |= {cut, -cut} if self.two_sided else {cut}
        ends = np.array(sorted(kink for kink in kinks if low <= kink <= high))
        edges = np.concatenate(
            [np.linspace(a, b, int(np.ceil(b - a)) + 1)[:-1] for a, b in itertools.pairwise(ends)] + [ends[-1:]]
        )
        x, h = np.polynomial.legendre.leggauss(NODES)
        half = np.diff(edges)[:, None] / 2
        return ((edges[:-1, None] + half) + half * x).ravel(), (half * h).ravel()

    def normaliser(self, mean: Array, variance: Array, delta: Array) -> Normaliser:
        """E[w] of N(mean, variance), (k,) each."""
        x, h = self._nodes
        ends = np.array(self._ends)
        logs, slopes = self.log_weight(np.concatenate([x, ends]), delta)
        top = logs.max()
        w = np.exp(logs - top)
        inner, outer = w[:-2] * h, w[-2:]
        eta, kappa = mean / self.sd, np.sqrt(variance) / self.sd
        u = (x[:, None] - eta) / kappa
        density = np.exp(-0.5 * u * u) / (ROOT_2PI * kappa)
        tails = (ends[:, None] - eta) / kappa * np.array([[1.0], [-1.0]])
        beyond, edge = special.ndtr(tails), np.exp(-0.5 * tails * tails) / (ROOT_2PI * kappa)
        A = inner @ density + outer @ beyond
        by_eta = inner @ (density * u) / kappa + np.array([-1.0, 1.0]) * outer @ edge
        by_kappa = inner @ (density * (u * u - 1.0)) / kappa - outer @ (edge * tails)
        by_delta = (slopes[:, :-2] * inner) @ density + (slopes[:, -2:] * outer) @ beyond
        return Normaliser(
            np.log(A) + top,
            by_eta / self.sd / A,
            by_kappa / (2 * self.sd * np.sqrt(variance)) / A,
            by_delta / A,
        )
