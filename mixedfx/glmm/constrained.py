r"""The smallest criterion with one parameter held: the refits behind the profiles of a generalised linear mixed model.

Whatever is held at c, psi = A(c) x + b(c) is linear in the parameters x that stay free:

* *a coefficient* beta_j = r'gamma, r = R^{-1}'e_j: gamma = c r / r'r + N x, the columns of N orthogonal to r;
* *a parameter of the family*: its entry of phi (`mixedfx.glmm.auxiliary`);
* *a standard deviation*: in a frame of its term it is L_11 over a scale (`mixedfx.inference.term_charts`);
* *a correlation*: in a frame L_21 = c y - lean x_1 and L_22 = sqrt(1 - c^2) y; of other structures, an angle.

The criterion is minimised over x by Newton's method in a trust region with the exact gradient; what the second
derivatives lack a symmetric matrix of rank-one corrections learns (as in `mixedfx.glmm.course`). The derivative of the
smallest criterion in c is that of the criterion along dpsi/dc, x held (the envelope theorem).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.course import ROUNDING, WORTH, predicted_mode
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.model import Model
from mixedfx.inference.held import Held
from mixedfx.inference.term_charts import TermChart
from mixedfx.linalg.trust_region import next_radius, trust_region_step, with_secant

Vector = NDArray[np.float64]
Criterion = Callable[..., Evaluation]

MOST = 60  # evaluations at one value
ENOUGH = 1e-9  # predicted decrease at which a point is a minimum
RADIUS = 3.0  # of the first step, in units of information


@dataclass(frozen=True)
class Chart:
    """Parameters of a model as a function of what is held and what is free.

    Attributes
    ----------
    model
        The model, perhaps in other frames.
    place
        c -> A (d, m) and b (d,).
    slope
        (c, x) -> (d,) dpsi/dc.
    bounded
        (m,) which free parameters must not be negative.
    """

    model: Model
    place: Callable[[float], tuple[Vector, Vector]]
    slope: Callable[[float, Vector], Vector]
    bounded: NDArray[np.bool_]


def coefficient_chart(model: Model, index: int) -> Chart:
    """Hold a coefficient."""
    p, d = model.sizes[0], sum(model.sizes)
    unit = np.zeros(p)
    unit[index] = 1.0
    r = np.linalg.solve(model.problem.R.T, unit)
    along = np.zeros(d)
    along[:p] = r / (r @ r)
    basis = np.linalg.qr(r[:, None], mode="complete")[0][:, 1:]
    A = np.zeros((d, d - 1))
    A[:p, : p - 1] = basis
    A[p:, p - 1 :] = np.eye(d - p)
    return Chart(model, lambda c: (A, c * along), lambda c, x: along, np.zeros(d - 1, dtype=bool))


def auxiliary_chart(model: Model, index: int) -> Chart:
    """Hold a parameter of the family."""
    p, r, _ = model.sizes
    parameters, (low, high) = model.likelihood.parameters, model.likelihood.parameters.ranges[index]

    def at(c: float) -> float:
        if not low < c < high:
            raise np.linalg.LinAlgError("the parameter is outside its range")
        return parameters.coordinate(index, c)

    def slope(c: float) -> float:
        return 1.0 / parameters.slope(index, at(c))

    return _entry_chart(model, p + r + index, at, slope)


def limit_chart(model: Model, held: Mapping[int, float]) -> Chart:
    """Hold several entries of phi, index -> value, whatever is asked."""
    d, start = sum(model.sizes), sum(model.sizes[:2])
    b = np.zeros(d)
    for index, value in held.items():
        b[start + index] = value
    A = np.delete(np.eye(d), [start + index for index in held], axis=1)
    return Chart(model, lambda c: (A, b), lambda c, x: np.zeros(d), np.zeros(d - len(held), dtype=bool))


def sd_chart(model: Model, chart: TermChart) -> Chart:
    """Hold a standard deviation."""
    position = model.sizes[0] + chart.first
    return _entry_chart(
        model.with_frames(chart.problem), position, lambda c: c * chart.scale, lambda c: chart.scale
    )  # fmt: skip


def angle_chart(model: Model, chart: TermChart) -> Chart:
    """Hold the one correlation of a structure."""
    correlation = chart.correlation
    assert correlation is not None

    def slope(c: float) -> float:
        found = correlation.slope(float(correlation.angle(c)))
        return 1.0 / found if abs(found) > 1e-8 else 0.0

    position = model.sizes[0] + chart.first
    return _entry_chart(model.with_frames(chart.problem), position, lambda c: float(correlation.angle(c)), slope)


def _entry_chart(
    model: Model, position: int, at: Callable[[float], float], slope: Callable[[float], float]
) -> Chart:  # fmt: skip
    """One entry of psi is held."""
    d = sum(model.sizes)
    A = np.delete(np.eye(d), position, axis=1)
    unit = np.eye(d)[position]
    return Chart(model, lambda c: (A, at(c) * unit), lambda c, x: slope(c) * unit, np.zeros(d - 1, dtype=bool))


def correlation_chart(model: Model, chart: TermChart) -> Chart:
    """Hold a correlation of two columns of an unstructured term; y stands in the place of L_21."""
    assert chart.pair is not None
    p, d = model.sizes[0], sum(model.sizes)
    first, lower, corner = p + chart.first, p + chart.pair[0], p + chart.pair[1]
    bounded = np.zeros(d - 1, dtype=bool)
    bounded[[first, lower]] = True  # L_11 and L_21 stand before L_22

    def rest(c: float) -> float:
        return float(np.sqrt(max((1.0 - c) * (1.0 + c), 0.0)))

    def place(c: float) -> tuple[Vector, Vector]:
        A = np.delete(np.eye(d), corner, axis=1)
        A[lower, lower], A[corner, lower], A[lower, first] = c, rest(c), -chart.lean
        return A, np.zeros(d)

    def slope(c: float, x: Vector) -> Vector:
        out = np.zeros(d)
        out[lower] = x[lower]
        out[corner] = -c / rest(c) * x[lower] if rest(c) > 0.0 else 0.0
        return out

    return Chart(model.with_frames(chart.problem), place, slope, bounded)


@dataclass
class Holder:
    """Minimises with the parameter of a chart held, each time from the last mode and with what was learnt.

    Attributes
    ----------
    chart
        What is held.
    criterion
        What is minimised.
    last
        The last minimum.
    learnt
        (d, d) what the second derivatives in psi lacked there.
    """

    chart: Chart
    criterion: Criterion
    last: Evaluation | None = field(default=None, init=False)
    learnt: Vector | None = field(default=None, init=False)

    def evaluate(self, psi: Vector, near: Evaluation | None) -> Evaluation:
        """The criterion at psi (d,), its mode sought from where `near` predicts it."""
        model = self.chart.model
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step too far is taken back
            if near is not None:
                try:
                    return self.criterion(model, psi, predicted_mode(model, near, psi), False)
                except np.linalg.LinAlgError:
                    pass
            return self.criterion(model, psi, None, False)

    def hold(self, value: float, x: Vector) -> Held:
        """The smallest criterion with the parameter at `value`, from free parameters x.

        Raises
        ------
        numpy.linalg.LinAlgError
            Where the criterion is not defined.
        """
        chart = self.chart
        A, b = chart.place(value)
        best = self.evaluate(A @ x + b, self.last)
        learnt = np.zeros((len(b), len(b))) if self.learnt is None else self.learnt
        radius = RADIUS
        for _ in range(MOST if len(x) else 0):
            average, gradient = A.T @ best.average @ A, A.T @ best.gradient
            second = A.T @ (best.curvature + learnt) @ A
            scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(average)), 1e-8) / 2.0)
            free = ~(chart.bounded & (x <= 0.0) & (gradient > 0.0))
            if not free.any():
                break
            scaled = np.zeros_like(x)
            inside = (second * np.outer(scale, scale))[np.ix_(free, free)]
            scaled[free], gain = trust_region_step((gradient * scale)[free], inside, radius)
            length = float(np.linalg.norm(scaled))
            rounding = ROUNDING * abs(best.criterion)
            if (gain <= ENOUGH + rounding and length < 0.99 * radius) or radius < 1e-9:
                break
            trial = x + scaled * scale
            trial = np.where(chart.bounded, np.maximum(trial, 0.0), trial)
            try:
                new = self.evaluate(A @ trial + b, best)
            except np.linalg.LinAlgError:
                radius = 0.25 * length
                continue
            ratio = (best.criterion - new.criterion + rounding) / (gain + rounding)
            if not best.exact and ratio > 0.0:
                learnt = _corrected(learnt, best, new)
            radius = next_radius(radius, ratio, length)
            if new.criterion < best.criterion + rounding:
                x, best = trial, new
        self.last, self.learnt = best, learnt
        return Held(best.criterion, float(best.gradient @ chart.slope(value, x)), x)


def _corrected(learnt: Vector, best: Evaluation, new: Evaluation) -> Vector:
    """What the change of the gradient says of the second derivatives, as far as it is more than rounding."""
    move = new.psi - best.psi
    rest = new.gradient - best.gradient - (new.curvature + learnt) @ move
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(new.average)), 1e-8) / 2.0)
    least = WORTH * float(np.linalg.norm(rest * scale)) * float(np.linalg.norm(move / scale))
    return with_secant(learnt, rest, move, least)
