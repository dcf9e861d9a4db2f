"""What the optimiser did, as data: every step, why it stopped, and the certificate of the point it stopped at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Outcome(Enum):
    """Why the optimiser stopped; the value is the message for the user."""

    INTERIOR = "converged: gradient zero and curvature positive"
    BOUNDARY = "converged on the boundary: a variance component is zero or a correlation is one"
    NO_PARAMETERS = "nothing to optimise"
    STALLED = "stopped: no step improves the criterion, but the gradient is not zero"
    SADDLE = "stopped at a saddle point"
    EXACT = "stopped: the model reproduces the response exactly, and the residual variance goes to zero"
    FLAT = (
        "stopped: Laplace's approximation breaks down, some random effects having a density that is flat at its mode, "
        "and the approximate likelihood has no maximum"
    )
    EVALUATIONS = "stopped: the limit of evaluations was reached"

    @property
    def converged(self) -> bool:
        """Whether the point is certified as a minimum."""
        return self in (Outcome.INTERIOR, Outcome.BOUNDARY, Outcome.NO_PARAMETERS)


@dataclass(frozen=True)
class Step:
    """One evaluation of criterion, gradient and information.

    Attributes
    ----------
    theta
        (r,) parameters of the relative covariance factors, columns of z as given.
    criterion
        REML criterion or -2 log likelihood at `theta`.
    max_gradient
        Largest absolute derivative of the criterion in the optimiser's parameters: the lower triangle of T for columns
        of z made orthogonal and of unit mean square (`mixedfx.pls.basis`).
    radius
        Radius of the trust region the step was taken in.
    accepted
        Whether the optimiser moved here.
    """

    theta: NDArray[np.float64]
    criterion: float
    max_gradient: float
    radius: float
    accepted: bool


@dataclass(frozen=True)
class Optimization:
    """The whole course of one optimisation.

    Attributes
    ----------
    steps
        Every evaluation, in order.
    outcome
        Why it stopped.
    gradient
        (r,) final gradient in the optimiser's parameters, in the order the optimiser took the columns.
    curvature
        Smallest eigenvalue of the information at the end; on the boundary it holds the derivative in theta squared.
    """

    steps: tuple[Step, ...]
    outcome: Outcome
    gradient: NDArray[np.float64]
    curvature: float

    @property
    def converged(self) -> bool:
        """Whether the final point is certified as a minimum."""
        return self.outcome.converged

    @property
    def accepted(self) -> Step:
        """The last evaluation that the optimiser moved to."""
        return next(step for step in reversed(self.steps) if step.accepted)

    @property
    def message(self) -> str:
        """Why the optimiser stopped, in words."""
        return self.outcome.value

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the criterion."""
        return len(self.steps)

    def to_frame(self) -> pd.DataFrame:
        """One row for each evaluation: theta[0], ..., criterion, max_gradient, radius, accepted."""
        rows = [
            {f"theta[{i}]": t for i, t in enumerate(s.theta)}
            | {"criterion": s.criterion, "max_gradient": s.max_gradient, "radius": s.radius, "accepted": s.accepted}
            for s in self.steps
        ]
        return pd.DataFrame(rows)
