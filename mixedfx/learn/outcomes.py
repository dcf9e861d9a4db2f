"""Which models of outcomes a learner has fitted: one of all arms, one for each arm, or one of arms pooled.

A base model of `FitsArms` that says ``arms="together"`` takes the place of one model for each arm: it is fitted once,
to the rows of all arms, and answers for each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.learn.crossfit import Plan, each_arm, mean_of, with_arm
from mixedfx.learn.trial import Trial

Array = NDArray[np.float64]
Outcome = Literal["joint", "by arm", "pooled"]


@runtime_checkable
class FitsArms(Protocol):
    """A base model that can be fitted to all arms at once, each with its own mean.

    Attributes
    ----------
    arms
        ``"together"`` where learners should ask this of it; ``"apart"`` where they should fit a model for each arm.
    """

    arms: str

    def fit_arms(self, X: Any, y: Any, arm: Any) -> Any:
        """Fit to rows X (n, p) with outcomes y (n,) and codes of arms (n,)."""
        ...

    def predict_arms(self, X: Any) -> Array:
        """(m, K) expected outcomes in each arm, in the order of the codes; of classes the probability of the second."""
        ...


def fits_arms(model: Any) -> bool:
    """Whether arms are fitted together."""
    return isinstance(model, FitsArms) and model.arms == "together"


def outcome_plans(kind: Outcome | None, trial: Trial, model: Any) -> list[Plan]:
    """Plans of the outcome models, whose answers side by side are mu or m.

    Parameters
    ----------
    kind
        As in `mixedfx.learn.pseudo_outcomes.Learner`.
    trial
        What was observed.
    model
        Not fitted.
    """
    y = trial.y.astype(np.intp) if hasattr(model, "predict_proba") else trial.y
    K, everybody = len(trial.arms), np.arange(len(trial))
    if kind == "joint":
        both = with_arm(trial.X, trial.arm, K)
        return [Plan("outcome", model, both, everybody, y, partial(each_arm, K=K), about=trial.X)]
    if kind is None:
        return []
    if kind == "by arm" and fits_arms(model):
        return [Plan("outcome", model, trial.X, everybody, y, partial(_of_arms, K=K), arm=trial.arm)]
    if kind == "pooled":
        asked = [np.flatnonzero((trial.arm == 0) | (trial.arm == k)) for k in range(1, K)]
    else:
        asked = [np.flatnonzero(trial.arm == k) for k in range(K)]
    return [Plan("outcome", model, trial.X, rows, y[rows], mean_of) for rows in asked]


def _of_arms(model: Any, X: Any, K: int) -> Array:
    found = np.asarray(model.predict_arms(X), dtype=np.float64)
    if found.shape != (X.shape[0], K):
        raise DataError(
            f"{type(model).__name__} answered with shape {found.shape} for {X.shape[0]} rows in {K} arms",
            hint="predict_arms gives a column for each arm.",
        )
    return found
