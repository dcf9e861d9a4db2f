"""The smallest deviance with one parameter held, whatever is fitted: how it is descended to and asked about."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import ConvergenceWarning
from mixedfx.inference.parameters import Names, Parameter, interval_frame
from mixedfx.inference.profile import Deviance, Profile, Range, find_end, quantile, trace
from mixedfx.linalg.trust_region import next_radius, trust_region_step
from mixedfx.progress import Asked, Progress

Vector = NDArray[np.float64]

MOST = 100  # evaluations at one value
ENOUGH = 1e-9  # predicted decrease of the deviance at which a point is a minimum
ROUNDING = 2e-15  # relative rounding error of a criterion that is worked out in one go
LOWER = 1e-5  # a profile this far below the deviance of the fit says that the fit was not the minimum


@dataclass(frozen=True)
class Held:
    """The smallest deviance with a parameter held: the deviance, its derivative in the value, where it is."""

    deviance: float
    slope: float
    at: Vector


@dataclass(frozen=True)
class Local:
    """Value, gradient and curvature of a criterion, and its derivative with respect to what is held."""

    value: float
    gradient: Vector
    curvature: Vector
    slope: float


def descend(criterion: Callable[[Vector], Local], start: Vector, bounded: NDArray[np.bool_]) -> tuple[Vector, Local]:
    """Newton's method in a trust region, with some parameters kept from going below zero.

    Parameters
    ----------
    criterion
        Raises LinAlgError where it cannot be evaluated.
    start
        (r,) where to begin.
    bounded
        (r,) which parameters must not be negative.
    """
    x, best = start, criterion(start)
    radius = 0.25 * max(float(np.linalg.norm(x)), 0.2)
    for _ in range(MOST):
        free = ~(bounded & (x <= 0.0) & (best.gradient > 0.0))
        if not free.any():
            break
        step = np.zeros_like(x)
        step[free], decrease = trust_region_step(best.gradient[free], best.curvature[np.ix_(free, free)], radius)
        length = float(np.linalg.norm(step))
        rounding = ROUNDING * abs(best.value)
        if (decrease <= ENOUGH + rounding and length < 0.99 * radius) or radius < 1e-10:
            break
        trial_at = np.where(bounded, np.maximum(x + step, 0.0), x + step)
        try:
            trial = criterion(trial_at)
        except np.linalg.LinAlgError:
            radius = 0.25 * length
            continue
        gain, noise = best.value - trial.value, 10.0 * rounding
        ratio = (gain + noise) / (decrease + noise)
        radius = next_radius(radius, ratio, length)
        if gain > -noise:
            x, best = trial_at, trial
    return x, best


@dataclass
class WarmDeviance:
    """The excess d(c) - d-hat and d'(c), each minimisation starting from the nearest one done before.

    Attributes
    ----------
    hold
        Minimises with the parameter held at a value, from a start.
    lowest
        d-hat.
    known
        Value -> free parameters at the minimum there.
    """

    hold: Callable[[float, Vector], Held]
    lowest: float
    label: str
    known: dict[float, Vector] = field(default_factory=dict)

    def __call__(self, value: float) -> tuple[float, float]:
        """Minimise with the parameter held at `value`."""
        nearest = min(self.known, key=lambda c: abs(c - value))
        try:
            held = self.hold(value, self.known[nearest])
        except np.linalg.LinAlgError:
            return np.inf, np.nan
        self.known[value] = held.at
        excess = held.deviance - self.lowest
        if excess < -LOWER:
            warnings.warn(
                f"with {self.label} held at {value:.6g} the deviance is {-excess:.3g} below that of the fit, which is "
                "therefore not the minimum; the profile is not to be trusted",
                ConvergenceWarning,
                stacklevel=2,
            )
        return excess, held.slope


@dataclass(frozen=True)
class Curve:
    """What the search needs of one parameter; `deviance` is None where the parameter is not defined."""

    estimate: float
    limits: Range
    deviance: Deviance | None


def traced(
    chosen: tuple[Parameter, ...], curve_of: Callable[[Parameter], Curve], level: float, progress: Asked = None
) -> Profile:
    """Trace the profile of every parameter chosen."""
    z = quantile(level)
    curves, nodes = [], []
    with Progress(progress, "profiles", len(chosen), "parameters") as report:
        for parameter in report.over(chosen):
            curve = curve_of(parameter)
            curves.append(curve)
            found = [] if curve.deviance is None else trace(curve.deviance, curve.estimate, curve.limits, z)
            nodes.append(tuple(found))
    estimates = np.array([c.estimate for c in curves])
    return Profile(chosen, estimates, tuple(nodes), tuple(c.limits for c in curves), level)


def ends(
    chosen: Sequence[Parameter], curve_of: Callable[[Parameter], Curve], level: float, names: Names
) -> pd.DataFrame:  # fmt: skip
    """Profile intervals: the ends where zeta reaches the quantile, or the boundary before it."""
    z = quantile(level)
    found = np.full((len(chosen), 2), np.nan)
    estimates = np.empty(len(chosen))
    for k, parameter in enumerate(chosen):
        curve = curve_of(parameter)
        estimates[k] = curve.estimate
        if curve.deviance is not None:
            for s, side in enumerate((-1, 1)):
                found[k, s] = find_end(curve.deviance, curve.estimate, side, z, curve.limits).value
    return interval_frame(chosen, estimates, found[:, 0], found[:, 1], level, names)
