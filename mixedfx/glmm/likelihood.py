"""The log density of the rows of a design and its derivatives in the linear predictor and auxiliary parameters.

A family says both (`mixedfx.families`); here they are asked about one point instead of many draws, for rows in the
order of the engine. Auxiliary parameters (the shape of a gamma or negative binomial response, the standard deviation of
a normal one) have coordinates phi without bounds, of which `mixedfx.glmm.auxiliary` knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.glmm.auxiliary import Auxiliary, Thresholds, auxiliary_of, check_occurring
from mixedfx.glmm.densities import DENSITIES, Density

Vector = NDArray[np.float64]

STEP = 1e-4  # of phi, in differences of its own derivative


@dataclass(frozen=True)
class Slopes:
    """Derivatives of log f in the auxiliary parameters phi, a of them.

    Attributes
    ----------
    own
        (a,) sums over the rows of d log f / d phi.
    score, weight
        (a, n) derivatives in phi of the score s and of the weight w of each row.
    """

    own: Vector
    score: Vector
    weight: Vector


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Rows y | eta, independent.

    Attributes
    ----------
    family
        Their distribution.
    y
        (n,) responses.
    facts
        Trials, weights, known standard deviations.
    parameters
        The auxiliary parameters.
    """

    family: Family
    y: Vector
    facts: RowFacts
    parameters: Auxiliary

    @staticmethod
    def of(design: Design, family: Family, order: NDArray[np.intp]) -> Likelihood:
        """The rows of a design, in the order given."""
        facts = RowFacts(design.trials, design.weights, design.known_sd).take(order)
        return Likelihood(family, design.y[order], facts, auxiliary_of(design, family, order))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(a,) labels of the auxiliary parameters that are estimated."""
        return self.parameters.labels

    def auxiliary(self, phi: Vector, times: int = 1) -> dict[str, Vector]:
        """Name -> (times,) values of each auxiliary parameter; (times, n) by row, (times, K - 1) thresholds."""
        found = self.parameters.of_family(self.parameters.natural(phi[None]))
        return found if times == 1 else {name: np.repeat(x, times, axis=0) for name, x in found.items()}

    @cached_property
    def fast(self) -> Density | None:
        """Formulas of this family and link; None where the family itself is asked."""
        if not self.parameters.plain or self.family.held:
            return None
        return DENSITIES.get((self.family.name, self.family.link.name))

    @cached_property
    def trials(self) -> Vector:
        """(n,) numbers of trials; ones where there are none."""
        return np.ones(len(self.y)) if self.facts.trials is None else np.asarray(self.facts.trials, dtype=np.float64)

    def shape(self, phi: Vector) -> float:
        """The auxiliary parameter, or one where there is none."""
        return float(np.exp(phi[0])) if len(phi) else 1.0

    def constant(self, phi: Vector) -> float:
        """What the formulas leave out of the sum of log densities."""
        assert self.fast is not None
        key = phi.tobytes()
        if key not in self._constants:
            centre = np.zeros(len(self.y))
            self._constants.clear()
            self._constants[key] = (
                self.value(centre, phi) - self.fast.scan(self.y, self.trials, centre, self.shape(phi))[0]
            )
        return self._constants[key]

    @cached_property
    def _constants(self) -> dict[bytes, float]:
        return {}

    def value(self, eta: Vector, phi: Vector) -> float:
        """Sum of the log densities; -inf where a row is impossible."""
        found = self.family.log_density(self.y, eta[None], self.auxiliary(phi), self.facts)
        total = float(found.sum())
        return total if np.isfinite(total) else -np.inf

    def scan(self, eta: Vector, phi: Vector) -> tuple[float, Vector, Vector]:
        """Sum of the log densities, and (n,) scores s and observed weights w of the rows."""
        if self.fast is not None:
            total, s, w = self.fast.scan(self.y, self.trials, eta, self.shape(phi))
            total += self.constant(phi)
            return total if np.isfinite(total) else -np.inf, s, w
        total = -np.inf if self._on_the_other_side(eta) else self.value(eta, phi)
        if total == -np.inf:
            return total, np.zeros(len(eta)), np.zeros(len(eta))
        found = self.derivatives(eta, phi, 2)
        return total, found[0], -found[1]

    def _on_the_other_side(self, eta: Vector) -> bool:
        """Whether a mean above zero is the square of a negative linear predictor.

        Under the root both signs give the same mean, and a count above zero has a mode on either side. As in R's
        generalised linear models the linear predictor is positive; at a count of zero there is one mode, at zero.
        """
        return self.restricted is not None and bool((eta[self.restricted] <= 0.0).any())

    @cached_property
    def restricted(self) -> NDArray[np.bool_] | None:
        """(n,) rows whose linear predictor is positive at modes, for that reason; None where there are none."""
        return self.y > 0.0 if self.family.link.name == "sqrt" else None

    def higher(self, eta: Vector, phi: Vector) -> tuple[Vector, Vector]:
        """(n,) minus the third and minus the fourth derivatives."""
        if self.fast is not None:
            return self.fast.higher(self.y, self.trials, eta, self.shape(phi))
        found = self.derivatives(eta, phi, 4)
        return -found[2], -found[3]

    def derivatives(self, eta: Vector, phi: Vector, order: int) -> Vector:
        """(order, n) derivatives of each log density in eta."""
        return self.family.derivatives(self.y, eta[None], self.auxiliary(phi), self.facts, order)[:, 0]

    def node_values(self, eta: Vector, phi: Vector) -> Vector:
        """(N, n) log densities at N linear predictors (N, n) of the rows."""
        return self.family.log_density(self.y, eta, self.auxiliary(phi, len(eta)), self.facts)

    def node_derivatives(self, eta: Vector, phi: Vector, order: int) -> Vector:
        """(order, N, n) derivatives of the same in eta."""
        return self.family.derivatives(self.y, eta, self.auxiliary(phi, len(eta)), self.facts, order)

    def draw(self, rng: np.random.Generator, eta: Vector, auxiliary: dict[str, Vector], facts: RowFacts) -> Vector:
        """(D, n) responses at linear predictors (D, n) of the rows of the design, in its order."""
        return self.family.draw(rng, eta, auxiliary, facts)

    def pearson(self, eta: Vector, phi: Vector) -> Vector:
        """(n,) Pearson residuals at linear predictors eta (n,) in the order of the engine."""
        at, auxiliary = eta[None], self.auxiliary(phi)
        mean, variance = (one(at, auxiliary, self.facts)[0] for one in (self.family.mean, self.family.variance))
        return (self.y - mean) / np.sqrt(variance)

    def information(self, eta: Vector, phi: Vector) -> Vector:
        """(n,) expected information about eta."""
        return np.array(self.family.information(eta[None], self.auxiliary(phi), self.facts)[0])

    def slopes(self, eta: Vector, phi: Vector) -> Slopes:
        """Derivatives in phi."""
        a, n = len(self.names), len(eta)
        if not a:
            return Slopes(np.zeros(0), np.zeros((0, n)), np.zeros((0, n)))
        stacked = self.auxiliary_derivatives(eta[None], phi)[:, :, 0]
        return Slopes(stacked[:, 0].sum(axis=1), stacked[:, 1], -stacked[:, 2])

    def auxiliary_derivatives(self, eta: Vector, phi: Vector) -> Vector:
        """(a, 3, D, n) derivatives in phi of each log density, its score and its second derivative, at eta (D, n)."""
        found = self.family.auxiliary_derivatives(self.y, eta, self.auxiliary(phi, len(eta)), self.facts)
        return self.parameters.chain(phi, found, (3, *np.shape(eta)))

    def bend(self, eta: Vector, phi: Vector) -> Vector:
        """(a, a) second derivatives in phi of the sum of log f at fixed eta, by central differences of the first."""
        a = len(self.names)
        out = np.empty((a, a))
        for i in range(a):
            step = np.zeros(a)
            step[i] = STEP
            out[i] = (self.slopes(eta, phi + step).own - self.slopes(eta, phi - step).own) / (2 * STEP)
        return (out + out.T) / 2.0

    def at_limit(self, phi: Vector) -> NDArray[np.bool_]:
        """(a,) which auxiliary parameters have run to a limit of the family; see `Family.becomes`."""
        found = self.limits(phi)
        return np.array([name in found for name in self.names], dtype=bool)

    def vanished(self, eta: Vector) -> bool:
        """Whether a part of the linear predictors has run so far that it adds nothing to any row."""
        return False

    def within(self, eta: Vector) -> Vector:
        """(n,) linear predictors from which a search can begin where a part of them had vanished."""
        return eta

    def limits(self, phi: Vector) -> dict[str, str]:
        """Which they are, each with what is said of it."""
        values = self.auxiliary(phi)
        plain = {name: float(np.exp(np.mean(np.log(x)))) for name, x in values.items() if name != "threshold"}
        return dict(self.family.becomes(plain, self.y, self.facts)) if plain else {}

    @cached_property
    def mean(self) -> float:
        """Mean response, of binomial ones the share of successes, away from the ends of its range."""
        if self.family.outcome == "ordered":
            return 0.0
        if self.family.outcome in ("binary", "trials"):
            trials = np.ones(len(self.y)) if self.facts.trials is None else self.facts.trials
            return float((self.y.sum() + 0.5) / (trials.sum() + 1.0))
        mean = float(np.average(self.y, weights=self.facts.weights))
        if self.family.outcome == "count":
            return (self.y.sum() + 0.5) / (len(self.y) + 1.0)
        return mean

    def start(self) -> tuple[float, float, Vector]:
        """Linear predictor of the mean, a standard deviation of eta to begin with, and phi, from moments."""
        link, mean = self.family.link, self.mean
        if self.family.outcome == "ordered":
            return 0.0, 0.7, self.starting_phi()
        if link.name in ("log", "inverse", "sqrt") and not mean > 0.0:
            positive = self.y[self.y > 0.0]
            mean = float(positive.mean()) if len(positive) else 1.0
        centre = float(link.link(np.array(mean)))
        variance = float(np.var(self.y))
        unit = 1.0
        if link.name in ("identity", "inverse", "sqrt"):
            slope = abs(float(link.derivatives(np.array(centre), 1)[0]))
            unit = max(np.sqrt(variance), 1e-8) / slope
        return centre, 0.7 * unit, self.starting_phi()

    def starting_phi(self) -> Vector:
        """(a,) phi by moments: coefficients of a model of the dispersion at zero, thresholds at the shares."""
        begin = self.family.starting_values(self.y, self.facts)
        out = np.zeros(len(self.names))
        for part, at in self.parameters.places():
            if isinstance(part, Thresholds):
                check_occurring(part.categories, self.y)
                counts = np.bincount(self.y.astype(np.intp), minlength=at.stop - at.start + 1)
                out[at] = self.family.link.link(np.cumsum(counts)[:-1] / counts.sum())
            elif part.labels:
                natural = np.zeros(at.stop - at.start)
                natural[0] = begin[part.name]
                out[at] = part.coordinates(natural)
        return out
