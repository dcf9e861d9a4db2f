r"""Transformations of a response that can be undone: what they are, their inverses, and means of what is undone.

A model of ``f(y) = eta + e`` is asked about y. Two answers are exact in different senses:

* the plain inverse ``f^-1(m)`` of a mean m of f(y): the generalised (Kolmogorov) mean of y, which for the logarithm is
  the geometric mean, and the median wherever f(y) is symmetric about m. It needs no distribution, and intervals go
  through it as they are;
* the arithmetic mean ``E f^-1(m + s x)`` with x a standard normal and s^2 the variance of f(y) about m. It is exact
  where f^-1 is a polynomial or an exponential: exp(m + s^2 / 2) for the logarithm (Finney 1941, Supplement to the JRSS
  7:155), m^2 + s^2 for the square root, sinh(m) exp(s^2 / 2) for arcsinh; elsewhere it is a sum over nodes
  (`mixedfx.linalg.quadrature`). Where f(y) is bounded below, the normal distribution is not, and f^-1 has no values
  there (``1 / y``, ``exp(y)``, ``y ** 2``), there is no such mean.

`CURVES` is the registry of functions that bend; shifts and factors (``center``, ``scale``, ``I(y / c)``) are `Affine`,
and powers come from `power`. A composition is undone from the outside in, see `Transformation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.quadrature import normal_rule

Array = NDArray[np.float64]
Map = Callable[[Array], Array]


@dataclass(frozen=True)
class Affine:
    """f(y) = (y - shift) / factor."""

    shift: float
    factor: float

    def forward(self, y: Array) -> Array:
        """f(y)."""
        return (y - self.shift) / self.factor

    def inverse(self, eta: Array) -> Array:
        """f^-1(eta)."""
        return self.shift + self.factor * eta

    def slope(self, eta: Array) -> Array:
        """Derivative of the inverse."""
        return np.full_like(eta, self.factor)

    @property
    def falls(self) -> bool:
        """Whether larger values of y have smaller f(y)."""
        return self.factor < 0


@dataclass(frozen=True)
class Curve:
    """A function that bends, on the part of the line where it is monotone.

    Attributes
    ----------
    name
        As it is written in a formula.
    forward, inverse, slope
        f, f^-1, and the derivative of f^-1; values that f never takes are taken for the nearest it does.
    mean
        (m, s) -> E f^-1(m + s x); ``"quadrature"`` for the sum over nodes, None where there is no such mean.
    positive
        Whether f is one to one on positive numbers only.
    rate
        Where f^-1(a) / f^-1(b) = exp(rate (a - b)), that rate.
    odds
        The same for the ratio of the odds of f^-1(a) and f^-1(b).
    kind
        What a back-transformed mean is called.
    falls
        Whether larger values of y have smaller f(y).
    """

    name: str
    forward: Map
    inverse: Map
    slope: Map
    mean: Callable[[Array, Array], Array] | Literal["quadrature"] | None = "quadrature"
    positive: bool = False
    rate: float | None = None
    odds: float | None = None
    kind: str = ""
    falls: bool = False


def _logarithm(name: str, forward: Map, rate: float) -> Curve:
    return Curve(
        name,
        forward,
        lambda eta: np.exp(rate * eta),
        lambda eta: rate * np.exp(rate * eta),
        lambda m, s: np.exp(rate * m + (rate * s) ** 2 / 2),
        positive=True,
        rate=rate,
        kind="geometric mean",
    )


def _exponential(name: str, forward: Map, inverse: Map, rate: float, least: float) -> Curve:
    # These have no values at or below `least`; the inverse of such a number is minus infinity.
    def above(eta: Array) -> Array:
        return np.maximum(eta, least)

    return Curve(name, forward, lambda eta: inverse(above(eta)), lambda eta: 1 / (rate * (above(eta) - least)), None)


def _clipped(eta: Array) -> Array:
    return np.maximum(eta, 0.0)


def _expit(eta: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(eta))


def _logit(p: Array) -> Array:
    from scipy.special import logit

    return np.asarray(logit(p))


def _normal(eta: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(eta))


def _probit(p: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(p))


def _cloglog(p: Array) -> Array:
    return np.log(-np.log1p(-p))


def _arc(eta: Array) -> Array:
    return np.clip(eta, -np.pi / 2, np.pi / 2)


def power(p: float) -> Curve:
    """The power p of positive numbers, p not 0 or 1."""
    inverse = 1 / p
    return Curve(
        f"** {p:g}",
        lambda y: y**p,
        lambda eta: _clipped(eta) ** inverse,
        lambda eta: inverse * _clipped(eta) ** (inverse - 1),
        # A normal variable has values below zero; where 1 / p is 1 or more they count as zero, and weigh little.
        "quadrature" if 0 < p < 1 else None,
        positive=True,
        kind="harmonic mean" if p == -1 else "",
        falls=p < 0,
    )


LN = {"log": 1.0, "log2": float(np.log(2.0)), "log10": float(np.log(10.0))}
CURVES: dict[str, Curve] = {
    curve.name: curve
    for curve in (
        _logarithm("log", np.log, LN["log"]),
        _logarithm("log2", np.log2, LN["log2"]),
        _logarithm("log10", np.log10, LN["log10"]),
        Curve("log1p", np.log1p, np.expm1, np.exp, lambda m, s: np.expm1(m + s**2 / 2)),
        Curve(
            "sqrt",
            np.sqrt,
            lambda eta: _clipped(eta) ** 2,
            lambda eta: 2 * _clipped(eta),
            # y is the square of its root, whatever the distribution of that.
            lambda m, s: m**2 + s**2,
            positive=True,
        ),
        Curve("cbrt", np.cbrt, lambda eta: eta**3, lambda eta: 3 * eta**2, lambda m, s: m**3 + 3 * m * s**2),
        Curve(
            "square",
            np.square,
            lambda eta: np.sqrt(_clipped(eta)),
            lambda eta: 0.5 / np.sqrt(_clipped(eta)),
            None,
            positive=True,
        ),
        Curve(
            "reciprocal",
            np.reciprocal,
            lambda eta: 1 / _clipped(eta),
            lambda eta: -(_clipped(eta) ** -2.0),
            None,
            positive=True,
            kind="harmonic mean",
            falls=True,
        ),
        _exponential("exp", np.exp, np.log, 1.0, 0.0),
        _exponential("exp2", np.exp2, np.log2, LN["log2"], 0.0),
        _exponential("exp10", lambda y: np.power(10.0, y), np.log10, LN["log10"], 0.0),
        _exponential("expm1", np.expm1, np.log1p, 1.0, -1.0),
        Curve("logit", _logit, _expit, lambda eta: _expit(eta) * _expit(-eta), odds=1.0),
        Curve("probit", _probit, _normal, lambda eta: np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi)),
        Curve("cloglog", _cloglog, lambda eta: -np.expm1(-np.exp(eta)), lambda eta: np.exp(eta - np.exp(eta))),
        Curve(
            "cauchit",
            lambda p: np.tan(np.pi * (p - 0.5)),
            lambda eta: np.arctan2(1.0, -eta) / np.pi,
            lambda eta: 1 / (np.pi * (1 + eta**2)),
        ),
        Curve("arcsinh", np.arcsinh, np.sinh, np.cosh, lambda m, s: np.sinh(m) * np.exp(s**2 / 2)),
        Curve("arctanh", np.arctanh, np.tanh, lambda eta: 1 / np.cosh(eta) ** 2),
        Curve("arcsin", np.arcsin, lambda eta: np.sin(_arc(eta)), lambda eta: np.cos(_arc(eta))),
        Curve("sinh", np.sinh, np.arcsinh, lambda eta: 1 / np.sqrt(1 + eta**2)),
    )
}
"""Functions that can be undone, by the name they are written with in a formula, or that of a link."""


@dataclass(frozen=True)
class Transformation:
    """What stands on the left of a formula as a function of a variable.

    Attributes
    ----------
    text
        The left side as written, ``"log(days)"``.
    variable
        What is transformed, ``"days"``: a column, or columns computed with.
    steps
        The functions, outermost first.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.transforms import CURVES, Affine, Transformation
    >>> hours = Transformation("log10(days * 24)", "days", (CURVES["log10"], Affine(0.0, 1 / 24)))
    >>> float(hours.inverse(np.array(2.0)).round(3)), round(hours.rate, 3)
    (4.167, 2.303)
    """

    text: str
    variable: str
    steps: tuple[Affine | Curve, ...]

    def forward(self, y: Array) -> Array:
        """f(y)."""
        with np.errstate(all="ignore"):
            for step in reversed(self.steps):
                y = step.forward(y)
        return y

    def inverse(self, eta: Array) -> Array:
        """f^-1(eta)."""
        with np.errstate(all="ignore"):
            for step in self.steps:
                eta = step.inverse(eta)
        return eta

    def slope(self, eta: Array) -> Array:
        """Derivative of f^-1."""
        total = np.ones_like(eta)
        with np.errstate(all="ignore"):
            for step in self.steps:
                total, eta = total * step.slope(eta), step.inverse(eta)
        return total

    def mean(self, center: Array, sd: Array) -> Array:
        """E f^-1(center + sd x) over a standard normal x; arrays that broadcast.

        Where a single function bends it has a formula of its own, since shifts and factors pass through means.
        """
        outer, curve, inner = self._parts
        if curve is None:
            return self.inverse(center + 0.0 * sd)
        if curve.mean is None:
            raise ValueError(f"{self.text} has no mean: ask has_mean first")
        if callable(curve.mean):
            found = curve.mean(outer.inverse(center), np.abs(outer.factor * sd))
            return inner.inverse(found)
        total: Array = np.zeros(np.broadcast_shapes(np.shape(center), np.shape(sd)))
        spread = abs(outer.factor) * float(np.max(sd, initial=0.0))
        for node, weight in zip(*normal_rule(spread), strict=True):
            total = total + weight * self.inverse(center + sd * node)
        return total

    def mean_slope(self, center: Array, sd: Array) -> Array:
        """Derivative of `mean` with respect to `center`."""
        total: Array = np.zeros(np.broadcast_shapes(np.shape(center), np.shape(sd)))
        spread = abs(self._parts[0].factor) * float(np.max(sd, initial=0.0))
        for node, weight in zip(*normal_rule(spread), strict=True):
            total = total + weight * self.slope(center + sd * node)
        return total

    @property
    def has_mean(self) -> bool:
        """Whether `mean` exists."""
        return all(isinstance(step, Affine) or step.mean is not None for step in self.steps)

    @property
    def affine(self) -> Affine | None:
        """The whole as a shift and a factor, where nothing bends."""
        outer, curve, _ = self._parts
        return outer if curve is None else None

    @property
    def rate(self) -> float | None:
        """The r of f^-1(a) / f^-1(b) = exp(r (a - b)): differences of means of f(y) are logarithms of ratios."""
        outer, curve, inner = self._parts
        if curve is None or curve.rate is None or inner.shift != 0:
            return None
        return outer.factor * curve.rate

    @property
    def odds(self) -> float | None:
        """The same for ratios of odds."""
        outer, curve, inner = self._parts
        if curve is None or curve.odds is None or inner != Affine(0.0, 1.0):
            return None
        return outer.factor * curve.odds

    @property
    def falls(self) -> bool:
        """Whether larger values of y have smaller f(y)."""
        return sum(step.falls for step in self.steps) % 2 == 1

    @property
    def kind(self) -> str:
        """What a back-transformed mean of f(y) is, in the singular."""
        _, curve, inner = self._parts
        if curve is None:
            return "mean"
        return curve.kind if curve.kind and inner.shift == 0 else "back-transformed mean"

    @cached_property
    def _parts(self) -> tuple[Affine, Curve, Affine] | tuple[Affine, None, Affine]:
        """Shift and factor outside, what bends, shift and factor inside; several that bend are one."""
        bends = [i for i, step in enumerate(self.steps) if isinstance(step, Curve)]
        if not bends:
            return _together(self.steps), None, Affine(0.0, 1.0)
        first, last = bends[0], bends[-1]
        outer, inner = _together(self.steps[:first]), _together(self.steps[last + 1 :])
        middle = self.steps[first]
        if first < last or not isinstance(middle, Curve):
            whole = Transformation(self.text, self.variable, self.steps[first : last + 1])
            mean = "quadrature" if self.has_mean else None
            middle = Curve(self.text, whole.forward, whole.inverse, whole.slope, mean, falls=whole.falls)
        return outer, middle, inner


def argument_of(curve: Curve | Transformation, value: float) -> float:
    """Where the inverse of a curve has a value; NaN where it nowhere does.

    Examples
    --------
    >>> from mixedfx.design.transforms import CURVES, argument_of
    >>> argument_of(CURVES["square"], 3.0), argument_of(CURVES["square"], -3.0)
    (9.0, nan)
    """
    with np.errstate(all="ignore"):
        found = curve.forward(np.array([float(value)]))
        # A shift leaves rounding of its own size.
        shift = float(np.abs(curve.inverse(np.zeros(1)))[0])
        same = np.isclose(curve.inverse(found), value, rtol=1e-6, atol=1e-9 * shift if np.isfinite(shift) else 0.0)
    return float(found[0]) if same[0] else float("nan")


def _together(steps: tuple[Affine | Curve, ...]) -> Affine:
    """Shifts and factors as one; outermost first."""
    shift, factor = 0.0, 1.0
    for step in steps:
        if isinstance(step, Affine):
            shift, factor = step.shift + step.factor * shift, step.factor * factor
    return Affine(shift, factor)
