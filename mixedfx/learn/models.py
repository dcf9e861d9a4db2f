"""Models that are used where none was given, and what was given in their place."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx.errors import OptionError
from mixedfx.learn.packages import package


def boosted(*, classes: bool, small: bool = False, seed: int | None = 0) -> Any:
    """LightGBM with its own defaults, or `small`: 100 trees of 7 leaves at half the learning rate.

    Examples
    --------
    >>> from mixedfx.learn.models import boosted
    >>> type(boosted(classes=True)).__name__
    'LGBMClassifier'
    """
    package("sklearn")  # without it lightgbm is there and its estimators fail
    lightgbm = package("lightgbm")
    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    own = {"learning_rate": 0.05, "num_leaves": 7, "min_child_samples": 40} if small else {}
    # one thread: fits go side by side (n_jobs of the learner), and threads of small fits wait for each other
    return kind(verbosity=-1, n_jobs=1, random_state=0 if seed is None else seed, **own)


def is_model(given: Any) -> bool:
    """Whether it is an estimator, and not numbers."""
    return hasattr(given, "fit")


def outcome_model(given: Any, binary: bool, *, small: bool = False, seed: int | None = 0) -> Any:
    """The model of outcomes: what was given, else boosted trees; a classifier only of zeros and ones.

    Raises
    ------
    OptionError
        A classifier of outcomes that are other numbers.
    """
    if given is None:
        return boosted(classes=binary, small=small, seed=seed)
    if hasattr(given, "predict_proba") and not binary:
        raise OptionError(
            f"outcome={type(given).__name__} is a classifier, and outcomes are not 0 and 1", hint="Use a regressor."
        )
    return given


def propensity_model(given: Any, *, small: bool = False, seed: int | None = 0) -> Any | None:
    """The model of the arms, or None where their probabilities were given."""
    if given is None:
        return boosted(classes=True, small=small, seed=seed)
    if is_model(given):
        return given
    shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    if isinstance(given, str) or not np.issubdtype(np.asarray(given).dtype, np.number):
        raise OptionError(
            f"propensity={shown} is neither a classifier nor numbers", hint="Give a classifier or probabilities."
        )
    return None
