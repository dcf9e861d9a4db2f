r"""Profile likelihood: the curve zeta of one parameter, where it crosses a quantile, and the boundary of its range.

With d(c) the smallest -2 log L when the parameter is held at c, and d-hat the smallest of all,

    zeta(c) = sign(c - c-hat) sqrt(d(c) - d-hat)

is standard normal in large samples, and straight where the log likelihood is quadratic (Bates & Watts 1988, chapter 6;
Bates et al. 2015, section 5.1). An interval of level 1 - alpha holds the c with |zeta(c)| <= z. Since d'(c) comes with
every point (the derivative of the criterion with respect to c, everything else held: the envelope theorem), so does
dzeta/dc = d'(c) / (2 zeta), and Newton's method finds an end in two or three points.

Where a parameter has a boundary (an sd at 0, a correlation at -1 or 1) and zeta there is still below z, every value up
to the boundary is compatible with the data: the boundary is the end of the interval, and `End.boundary` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_level
from mixedfx.inference.parameters import Names, Parameter, choose, interval_frame
from mixedfx.plots.picture import Picture
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    pass

Vector = NDArray[np.float64]
# value -> (d(c) - d-hat, d'(c)); the second is of no use on a boundary
Deviance = Callable[[float], tuple[float, float]]

CLOSE = 1e-5  # |zeta - z| from which one more Newton step, without an evaluation, is exact to rounding
MOST = 40  # points in the search of one end


@dataclass(frozen=True)
class End:
    """One end of an interval; `boundary` where it is the end of the parameter's range."""

    value: float
    boundary: bool


@dataclass(frozen=True)
class Node:
    """One point of a profile: value, zeta, and dzeta/dvalue (NaN on a boundary)."""

    value: float
    zeta: float
    slope: float


@dataclass(frozen=True)
class Range:
    """Where a parameter may lie, and the step that is tried first; `endless` where `high` stands for infinity.

    `ceiling` is what d(c) - d-hat does not rise above, whatever c: where the others can go to a limit at which the
    parameter no longer matters, it has no ends below.
    """

    low: float
    high: float
    step: float
    endless: bool = False
    ceiling: float = np.inf

    def shown(self, edge: float) -> float:
        """An end of the range as users read it."""
        return np.inf if self.endless and edge == self.high else edge


def node(deviance: Deviance, value: float, side: int, limits: Range) -> Node:
    """Evaluate zeta and its slope at one value."""
    excess, slope = deviance(value)
    zeta = side * float(np.sqrt(max(excess, 0.0)))
    inside = limits.low < value < limits.high
    return Node(value, zeta, slope / (2.0 * zeta) if inside and zeta != 0.0 else np.nan)


def find_end(deviance: Deviance, estimate: float, side: int, z: float, limits: Range) -> End:
    """Where zeta reaches z on one side of the estimate.

    Parameters
    ----------
    deviance
        d(c) - d-hat and d'(c).
    estimate
        c-hat, where zeta is zero.
    side
        -1 for the lower end, 1 for the upper end.
    z
        Quantile to reach, positive.
    limits
        The range of the parameter.

    Returns
    -------
    End
        NaN where zeta does not get there in `MOST` points.

    Examples
    --------
    >>> from mixedfx.inference.profile import Range, find_end
    >>> find_end(lambda c: ((c - 3.0) ** 2, 2 * (c - 3.0)), 3.0, 1, 1.96, Range(0.0, 9.0, 0.1))
    End(value=4.96, boundary=False)
    """
    edge = limits.low if side < 0 else limits.high
    if estimate == edge or limits.ceiling <= z**2:
        return End(edge, True)
    inner, outer = estimate, np.inf * side
    if np.isfinite(edge):
        if np.sqrt(max(deviance(edge)[0], 0.0)) <= z:
            return End(limits.shown(edge), True)
        outer = edge
    value = estimate + side * min(limits.step * z, abs(outer - estimate) / 2)
    before = np.inf
    for _ in range(MOST):
        here = node(deviance, value, side, limits)
        missing = z - abs(here.zeta)
        if missing > 0:
            inner = value
        else:
            outer = value
        newton = side * missing / here.slope if here.slope > 0 else np.nan
        if abs(missing) < CLOSE or abs(outer - inner) < 1e-12 * max(abs(inner), limits.step):
            return End(float(value + (newton if np.isfinite(newton) else 0.0)), False)
        far = max(abs(value - estimate), limits.step)
        value = value + side * min(2.0 * far, side * newton) if np.isfinite(newton) else np.nan
        slow = abs(missing) > 0.5 * before and np.isfinite(outer)  # the slope leads nowhere: halve the bracket
        before = abs(missing)
        if slow or not min(inner, outer) < value < max(inner, outer):
            value = (inner + outer) / 2 if np.isfinite(outer) else inner + side * 2.0 * far
    return End(np.nan, False)


def trace(deviance: Deviance, estimate: float, limits: Range, z: float, spacing: float = 0.5) -> list[Node]:
    """Points of zeta from -z to z and just beyond, about `spacing` apart, or up to a boundary.

    Each step is as long as the slope of the last point asks for; zeta is recorded where it comes to lie.
    """
    found = [Node(estimate, 0.0, np.nan)]
    for side in (-1, 1):
        edge = limits.low if side < 0 else limits.high
        value, last = estimate, Node(estimate, 0.0, np.nan)
        step = limits.step * spacing
        while value != edge and abs(last.zeta) < z and len(found) < 200:
            value = estimate + side * step if value == estimate else value + side * step
            if (value - edge) * side >= -1e-3 * step:
                value = edge
            here = node(deviance, value, side, limits)
            rise = abs(here.zeta - last.zeta)
            if rise > 3.0 * spacing and step > 1e-8 * max(limits.step, abs(estimate)):  # too far: come back
                value, step = last.value, step * max(spacing / rise, 0.1)
                continue
            grown = 3.0 * step
            step = min(grown, spacing / here.slope) if here.slope > 0 else grown
            last = here
            found.append(here)
    found.sort(key=lambda n: n.value)
    at = next(i for i, n in enumerate(found) if n.zeta == 0.0 and n.value == estimate)
    if 0 < at < len(found) - 1:  # the limit of d'(c) / (2 zeta) at the estimate, from its two neighbours
        a, b = found[at - 1], found[at + 1]
        found[at] = Node(estimate, 0.0, 1.0 / ((b.zeta / a.slope - a.zeta / b.slope) / (b.zeta - a.zeta)))
    return found


def interpolate(nodes: Sequence[Node], zeta: float) -> float:
    """The value at which a traced profile reaches `zeta`: cubic in zeta between two points, with both slopes exact.

    NaN beyond the trace.
    """
    for a, b in pairwise(nodes):
        if a.zeta <= zeta <= b.zeta and a.zeta < b.zeta:
            width, secant = b.zeta - a.zeta, (b.value - a.value) / (b.zeta - a.zeta)
            x = (zeta - a.zeta) / width
            at_a, at_b = (1.0 / n.slope if n.slope > 0 else np.nan for n in (a, b))
            if np.isnan(at_a) or np.isnan(at_b):  # the slope at the estimate or on a boundary is not known
                known = at_a if np.isnan(at_b) else at_b
                if np.isnan(known):
                    return float(a.value + secant * width * x)
                at_a, at_b = (known, 2 * secant - known) if np.isnan(at_b) else (2 * secant - known, known)
            h = np.array([2 * x**3 - 3 * x**2 + 1, x**3 - 2 * x**2 + x, -2 * x**3 + 3 * x**2, x**3 - x**2])
            return float(h @ np.array([a.value, width * at_a, b.value, width * at_b]))
    return np.nan


def quantile(level: float) -> float:
    """Normal quantile z of a two-sided interval of this level."""
    from scipy import special

    check_level(level)
    return float(special.ndtri((1.0 + level) / 2.0))


@dataclass(frozen=True, repr=False)
class Profile(Shown):
    """Profiles of -2 log L, as the `profile` of a fit returns them.

    Attributes
    ----------
    parameters
        The parameters profiled.
    estimates
        (m,) ML estimates: where zeta is zero.
    nodes
        The points of each.
    limits
        The range of each.
    level
        Level up to which they were traced.
    """

    parameters: tuple[Parameter, ...]
    estimates: Vector
    nodes: tuple[tuple[Node, ...], ...]
    limits: tuple[Range, ...]
    level: float

    @property
    def table(self) -> pd.DataFrame:
        """One row for each point: parameter, value, zeta, slope (dzeta/dvalue)."""
        rows = [
            (parameter.label, n.value, n.zeta, n.slope)
            for parameter, nodes in zip(self.parameters, self.nodes, strict=True)
            for n in nodes
        ]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta", "slope"])

    def confint(
        self, level: float = 0.95, parm: str | Sequence[str] | None = None, names: Names = "tidy"
    ) -> pd.DataFrame:
        """Intervals read off the profiles; ``fit.confint(method="profile")`` finds the same ends without a trace.

        Parameters
        ----------
        level
            At most the level of the profile; NaN where a profile was not traced that far.
        parm
            Parameters, None for all; see `mixedfx.inference.parameters.choose`.
        names
            ``"tidy"``, or ``"lme4"`` for its row names and columns.
        """
        z = quantile(level)
        chosen = choose(self.parameters, parm)
        at = [self.parameters.index(p) for p in chosen]
        ends = np.array([[self._end(k, side, z) for side in (-1, 1)] for k in at]).reshape(-1, 2)
        return interval_frame(chosen, self.estimates[at], ends[:, 0], ends[:, 1], level, names)

    def _end(self, k: int, side: int, z: float) -> float:
        nodes = self.nodes[k]
        if not nodes:
            return np.nan
        last = nodes[0] if side < 0 else nodes[-1]
        edge = self.limits[k].low if side < 0 else self.limits[k].high
        if self.limits[k].ceiling <= z**2:
            return edge
        if last.value == edge and abs(last.zeta) <= z:
            return self.limits[k].shown(edge)
        return interpolate(nodes, side * z)

    def content(self) -> SummaryContent:
        """ML estimates and intervals, at 95 % or as far as the profiles go."""
        level = min(0.95, self.level)
        title = f"Profile of -2 log L up to {100 * self.level:g} %; ML estimates and {100 * level:g} % intervals"
        return SummaryContent(title, (frame_table(self.confint(level), "", whole=".confint()"),))

    def plot(self, density: bool = False) -> Picture:
        """Draw zeta of each parameter, or its density; see `mixedfx.plots.profile.profile`."""
        from mixedfx.plots.profile import profile

        return Picture(profile(self.table, density=density))
