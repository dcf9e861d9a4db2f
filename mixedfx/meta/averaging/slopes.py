r"""The coefficient of PET or PEESE integrated out where tau and rho are known: nodes about its own peak.

Given the rest the likelihood of the coefficient b is that of a normal distribution (`gaussian.lines`), as narrow as the
data make it and as far out in the prior as they say, while the density of the prior changes on a scale of its own. Both
are smooth functions of y with b = m + c sinh(y), m the median of the prior and c half its interquartile range: y is b
near the bulk of the prior, and log b in a heavy tail, in which such a density changes little while b doubles. For each
tau and rho nodes of y are therefore placed in a window of their own, where prior times likelihood is within e^-DROP of
its top: found on a grid that always holds the peak of the likelihood and shrinks to where it is high. In the window
y = low + (high - low) sin^2(pi t / 2) with Gauss-Legendre nodes t, which are denser at both ends, where the prior may
end at an infinite density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from mixedfx.meta.averaging.gaussian import Lines
from mixedfx.meta.averaging.legendre import axis, spread_out
from mixedfx.meta.measure import Array
from mixedfx.priors.marginal import Marginal

DROP = 25.0
BEYOND = 8.0  # standard deviations of the likelihood that are looked at
REMAINDER = 1e-11  # probability of the prior beyond which it does not move the window
POINTS, ROUNDS, SHRINKING = 33, 12, 0.6  # of the search for windows
FINE = 65  # points at which conditional densities are tabulated
MARGINAL = 130  # points at which the average of their distribution functions is


@dataclass(frozen=True, eq=False)
class SlopeAxis:
    """Windows of the coordinate y, one for each state of the other parameters.

    Attributes
    ----------
    prior, scale
        Of the coefficient, and what y is in its units.
    lines
        Its likelihood; arrays (...).
    low, high
        (...) ends of the windows.
    """

    prior: Marginal
    scale: _Scale
    lines: Lines
    low: Array
    high: Array

    def log_density(self, y: Array) -> Array:
        """Log of likelihood, prior and Jacobian at (..., n) coordinates."""
        return _log_density(self.prior, self.scale, self.lines, y)

    def log_integral(self, n: int) -> Array:
        """(...) logs of the integral over b, by n nodes."""
        nodes = axis(n, 0.0, 1.0)
        width = self.high - self.low
        y = self.low[..., None] + width[..., None] * np.sin(np.pi / 2 * nodes.nodes) ** 2
        weights = nodes.log_weights + np.log(np.pi / 2 * np.sin(np.pi * nodes.nodes))
        logs = self.log_density(y) + weights
        top = logs.max(axis=-1)
        safe = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            return safe + np.log(np.exp(logs - safe[..., None]).sum(axis=-1)) + np.log(width)

    def draw(self, uniform: Array) -> Array:
        """(N,) coefficients, one for each of N states, at N numbers between 0 and 1.

        Their marginal distribution is the average of the conditional ones, in the order of what is drawn from these.
        """
        tables, rows = self._tables(), np.arange(len(self.low))
        at = np.clip((tables.cdf < uniform[:, None]).sum(axis=1), 1, FINE - 1)
        start, end = tables.density[rows, at - 1], tables.density[rows, at]
        below, above = tables.cdf[rows, at - 1], tables.cdf[rows, at]
        part = np.clip((uniform - below) / np.where(above > below, above - below, 1.0), 0.0, 1.0) * (start + end)
        share = part / np.maximum(start + np.sqrt(start**2 + (end - start) * part), 1e-300)
        y = self.low + (self.high - self.low) * (at - 1 + np.clip(share, 0.0, 1.0)) / (FINE - 1)
        return np.clip(self.scale.value(self._spread_out(y, tables)), self.prior.lower, self.prior.upper)

    def _tables(self) -> _Tables:
        """Densities at even points of the windows; integrals between them by the rule (-1, 13, 13, -1) / 24."""
        grid = self.low[:, None] + (self.high - self.low)[:, None] * np.linspace(0, 1, FINE)
        logs = self.log_density(grid)
        density = np.exp(logs - logs.max(axis=1, keepdims=True))
        pairs = density[:, 1:] + density[:, :-1]
        steps = pairs / 2
        steps[:, 1:-1] += (pairs[:, 1:-1] - density[:, :-3] - density[:, 3:]) / 24
        cdf = np.zeros_like(density)
        np.cumsum(np.maximum(steps, 0.0), axis=1, out=cdf[:, 1:])
        return _Tables(density, cdf / cdf[:, -1:])

    def _spread_out(self, drawn: Array, tables: _Tables) -> Array:
        """Draws of y in the place of quantiles of the average of the distribution functions."""
        inner = np.quantile(drawn, special.ndtr(np.linspace(-4, 4, MARGINAL - 2)))
        points = np.unique(np.concatenate([[self.low.min()], inner, [self.high.max()]]))
        if len(points) < 3:
            return drawn
        position = (points[:, None] - self.low) / (self.high - self.low) * (FINE - 1)
        cell = np.clip(position.astype(np.intp), 0, FINE - 2)
        part = np.clip(position - cell, 0.0, 1.0)
        flat = np.arange(len(drawn)) * FINE + cell
        start, end = (tables.density.ravel()[flat + i] for i in (0, 1))
        below, above = (tables.cdf.ravel()[flat + i] for i in (0, 1))
        pair = np.maximum(start + end, 1e-300)
        mean = (below + (above - below) * part * (2 * start + part * (end - start)) / pair).mean(axis=1)
        wanted = (np.arange(len(drawn)) + 0.5) / len(drawn)
        inside = (mean > 1e-15) & (mean < 1 - 1e-15)
        if inside.sum() < 2:
            return drawn
        return spread_out(drawn, np.interp(special.ndtri(wanted), special.ndtri(mean[inside]), points[inside]))


class _Tables(NamedTuple):
    """(N, FINE) densities at even points of each window, relative to their largest, and distribution functions."""

    density: Array
    cdf: Array


def slope_axis(prior: Marginal, lines: Lines) -> SlopeAxis:
    """Windows for the likelihoods `lines`."""
    scale = _scale(prior)
    low, high = prior.quantile(np.array([REMAINDER, 1 - REMAINDER]))
    with np.errstate(divide="ignore"):
        beyond = BEYOND * np.minimum(1 / np.sqrt(lines.precision), high - low)
    low = prior.lower if np.isfinite(prior.lower) else np.minimum(low, lines.centre - beyond)
    high = prior.upper if np.isfinite(prior.upper) else np.maximum(high, lines.centre + beyond)
    low, high = (np.broadcast_to(scale.coordinate(end), lines.centre.shape) for end in (low, high))
    peak = np.clip(scale.coordinate(np.clip(lines.centre, prior.lower, prior.upper)), low, high)[..., None]
    even = np.linspace(0, 1, POINTS)
    for _ in range(ROUNDS):
        grid = np.sort(np.concatenate([low[..., None] + (high - low)[..., None] * even, peak], axis=-1), axis=-1)
        logs = _log_density(prior, scale, lines, grid)
        inside = logs > logs.max(axis=-1, keepdims=True) - DROP
        first = np.argmax(inside, axis=-1)
        last = grid.shape[-1] - 1 - np.argmax(inside[..., ::-1], axis=-1)
        before, width = (np.maximum(first - 1, 0), np.minimum(last + 1, grid.shape[-1] - 1)), high - low
        low, high = (np.take_along_axis(grid, at[..., None], axis=-1)[..., 0] for at in before)
        peak = np.clip(peak, low[..., None], high[..., None])
        if np.all(high - low >= SHRINKING * width):
            break
    return SlopeAxis(prior, scale, lines, low, high)


@dataclass(frozen=True)
class _Scale:
    """The coordinate y of one prior: b = median + unit sinh(y)."""

    median: float
    unit: float

    def coordinate(self, b: Array | float) -> Array:
        return np.arcsinh((np.asarray(b) - self.median) / self.unit)

    def value(self, y: Array) -> Array:
        return self.median + self.unit * np.sinh(y)


def _scale(prior: Marginal) -> _Scale:
    quarter, median, three = prior.quantile(np.array([0.25, 0.5, 0.75]))
    return _Scale(float(median), float(three - quarter) / 2)


def _log_density(prior: Marginal, scale: _Scale, lines: Lines, y: Array) -> Array:
    """Log of likelihood, prior and Jacobian at (..., n) coordinates of states (...)."""
    sinh = np.sinh(y)
    b = np.clip(scale.median + scale.unit * sinh, prior.lower, prior.upper)
    jacobian = np.log(scale.unit) + 0.5 * np.log1p(sinh * sinh)
    density = prior.log_density(b)
    return lines.spread_out().log_likelihood(b) + np.where(density < np.inf, density, -np.inf) + jacobian
