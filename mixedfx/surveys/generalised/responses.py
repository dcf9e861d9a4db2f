"""Responses given their linear predictors: log densities and derivatives at many nodes, in coordinates without bounds.

A family says them (`mixedfx.families`) in the logarithm of its auxiliary parameters; here they are taken to the
coordinates phi of `mixedfx.priors.auxiliary`, and rows without a density at a node count as impossible ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.checks import check_held
from mixedfx.design.design import Design
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.priors.auxiliary import AUXILIARY

Array = NDArray[np.float64]
STEP = 1e-3  # of phi, in five-point differences of first derivatives
FURTHEST = 18.0  # of phi: a parameter that would go on is at the end of its range


@dataclass(frozen=True, eq=False)
class Responses:
    """Rows y | eta, independent, in the order of units.

    Attributes
    ----------
    family
        Their distribution.
    y
        (n,) responses.
    facts
        Trials and precision weights.
    names
        The a auxiliary parameters that are estimated.
    """

    family: Family
    y: Array
    facts: RowFacts
    names: tuple[str, ...]

    def take(self, rows: slice) -> Responses:
        """Some of the rows."""
        return replace(self, y=self.y[rows], facts=self.facts.take(rows))

    def natural(self, phi: Array) -> Array:
        """(a,) the parameters as users read them."""
        return np.array([float(AUXILIARY[name].value(x)) for name, x in zip(self.names, phi, strict=True)])

    def slope(self, phi: Array) -> Array:
        """(a,) derivatives of these in phi."""
        return np.array([float(AUXILIARY[name].slope(x)) for name, x in zip(self.names, phi, strict=True)])

    def coordinates(self, values: dict[str, float]) -> Array:
        """(a,) phi of the parameters."""
        found = [float(AUXILIARY[name].coordinate(np.asarray(values[name]))) for name in self.names]
        return np.clip(np.array(found, dtype=np.float64), -FURTHEST, FURTHEST)

    def auxiliary(self, phi: Array, times: int = 1) -> dict[str, Array]:
        """Name -> (times,) values of each auxiliary parameter."""
        known = dict(self.family.held) | dict(zip(self.names, self.natural(phi).tolist(), strict=True))
        return {name: np.full(times, value) for name, value in known.items()}

    def log_density(self, eta: Array, phi: Array) -> Array:
        """(P, n) log densities at linear predictors (P, n), -inf where there is none."""
        with np.errstate(all="ignore"):
            found = self.family.log_density(self.y, eta, self.auxiliary(phi, len(eta)), self.facts)
        if self.family.link.name == "sqrt":  # both signs have the same mean; see mixedfx.glmm.likelihood
            found = np.where((eta <= 0.0) & (self.y > 0.0), -np.inf, found)
        return np.where(np.isnan(found), -np.inf, found)

    def derivatives(self, eta: Array, phi: Array) -> tuple[Array, Array]:
        """(P, n) first and second derivatives in eta, zero where there are none."""
        with np.errstate(all="ignore"):
            found = self.family.derivatives(self.y, eta, self.auxiliary(phi, len(eta)), self.facts, 2)
        return np.nan_to_num(found[0], posinf=0.0, neginf=0.0), np.nan_to_num(found[1], posinf=0.0, neginf=0.0)

    def information(self, eta: Array, phi: Array) -> Array:
        """(P, n) expected information about eta."""
        with np.errstate(all="ignore"):
            found = self.family.information(eta, self.auxiliary(phi, len(eta)), self.facts)
        return np.nan_to_num(found, posinf=0.0)

    def in_auxiliary(self, eta: Array, phi: Array) -> Array:
        """(a, 2, P, n) derivatives in phi of each log density and of its score."""
        if not self.names:
            return np.zeros((0, 2, *eta.shape))
        with np.errstate(all="ignore"):
            found = self.family.auxiliary_derivatives(self.y, eta, self.auxiliary(phi, len(eta)), self.facts)
        chain = self.slope(phi) / self.natural(phi)
        own = [factor * found[name][:2] for name, factor in zip(self.names, chain, strict=True)]
        return np.nan_to_num(np.stack(own), posinf=0.0, neginf=0.0)

    def bend(self, eta: Array, phi: Array, weights: Array) -> Array:
        """(a, a) second derivatives in phi of the sum of weights (P, n) times log densities, by five-point rule."""
        a = len(self.names)
        out = np.empty((a, a))
        for i in range(a):
            total = np.zeros(a)
            for size, factor in ((-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)):
                moved = phi + STEP * size * (np.arange(a) == i)
                total += factor * np.einsum("apn,pn->a", self.in_auxiliary(eta, moved)[:, 0], weights)
            out[i] = total / (12.0 * STEP)
        return (out + out.T) / 2.0

    def limits(self, phi: Array) -> dict[str, str]:
        """Parameters that have run to an end of their range, each with what the family has become there."""
        values = {name: float(x[0]) for name, x in self.auxiliary(phi).items()}
        return dict(self.family.becomes(values, self.y, self.facts)) if values else {}

    def start(self, weights: Array) -> tuple[float, float, Array]:
        """Linear predictor of the mean (weights (n,)), a standard deviation of eta to begin with, and phi."""
        link, mean = self.family.link, self._mean(weights)
        centre = float(link.link(np.array(mean)))
        unit = 1.0
        if link.name in ("identity", "inverse", "sqrt"):
            slope = abs(float(link.derivatives(np.array(centre), 1)[0]))
            unit = max(float(np.std(self.y)), 1e-8) / max(slope, 1e-300)
        return centre, unit, self.coordinates(dict(self.family.starting_values(self.y, self.facts)))

    def _mean(self, weights: Array) -> float:
        """Mean response, of successes their share, kept off the ends of its range."""
        w = weights / weights.mean()
        if self.family.outcome in ("binary", "trials"):
            trials = np.ones(len(self.y)) if self.facts.trials is None else self.facts.trials
            return float((w @ self.y + 0.5) / (w @ trials + 1.0))
        if "count" in self.family.outcome:
            return float((w @ self.y + 0.5) / (len(self.y) + 1.0))
        mean = float(np.average(self.y, weights=weights))
        positive = self.family.link.name in ("log", "inverse", "sqrt")
        return mean if mean > 0.0 or not positive else max(float(np.mean(np.abs(self.y))), 1e-3)


def responses(design: Design, family: Family, order: NDArray[np.intp]) -> Responses:
    """The rows of a design in the order given.

    Raises
    ------
    OptionError
        A known value outside the range of its parameter.
    """
    held = dict(family.held)
    check_held(family)
    names = tuple(name for name in family.auxiliary if name not in held)
    facts = RowFacts(design.trials, design.weights).take(order)
    return Responses(family, design.y[order], facts, names)
