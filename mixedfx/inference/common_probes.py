"""Criteria of fits by iteration for likelihood-ratio tests: common probes, as many as their differences need.

The signs that belong to a factor are the same in every model that has it, so that most of the Monte Carlo error of the
log determinants cancels in the difference of two models with crossed factors in common. What is left is the spread of
the probes' differences. It shrinks with the root of their number; where it would not come below `NEEDED` a test would
be a throw of dice, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import MonteCarloError

Vector = NDArray[np.float64]

NEEDED = 0.1  # Monte Carlo error of a difference of deviances that a test may have
FIRST, MOST = 32, 1024  # probes


def common_criteria(criteria: Sequence[Callable[[int, int], Vector]], words: Sequence[str]) -> list[float]:
    """Criteria of models, smallest first, with differences known to `NEEDED`.

    Parameters
    ----------
    criteria
        For each model the criterion by each of the probes from one number to another; the same by all where it is
        exact.
    words
        What the models are called.

    Raises
    ------
    MonteCarloError
        Where `MOST` probes leave a difference less exact.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.common_probes import common_criteria
    >>> noise = np.random.default_rng(0).normal(size=64)
    >>> small, large = (lambda a, b: 12.0 + noise[a:b]), (lambda a, b: 10.0 + noise[a:b])
    >>> one, two = common_criteria([small, large], ["small", "large"])
    >>> round(one - two, 6)
    2.0
    """
    held = [np.zeros(0) for _ in criteria]
    probes = FIRST
    while True:
        held = [np.concatenate([old, more(len(old), probes)]) for old, more in zip(held, criteria, strict=True)]
        errors = [float((b - a).std(ddof=1) / np.sqrt(probes)) for a, b in pairwise(held)]
        worst = int(np.argmax(errors))
        if errors[worst] <= NEEDED:
            return [float(one.mean()) for one in held]
        wanted = int(np.ceil(probes * 1.2 * (errors[worst] / NEEDED) ** 2))
        if wanted > MOST:
            raise MonteCarloError(
                f"the difference of deviances of {words[worst]} and {words[worst + 1]} is known to "
                f"{errors[worst]:.2g} after {probes} probes, and {NEEDED} would take about {wanted:,}",
                hint='Fit both with control={"solver": "direct"} where memory allows; a variance is tested by its '
                "standard error in fit.monte_carlo, a fixed effect by fit.test.",
            )
        probes = max(wanted, probes + FIRST)
