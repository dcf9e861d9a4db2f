r"""What Satterthwaite's method will cost, from the sizes of a model alone: the same on every machine and every day.

With r variance parameters it takes 2 r + 1 evaluations of the criterion with its gradient. An evaluation factors and
inverts the second level (LAPACK on its dense corner, loops over its sparse columns), passes over the entries of
Z1'Z2, and over the effects of the first level with their right-hand sides. Each part has the constant below, in
seconds on one core: measured once, and written down, so that what is decided by the forecast does not hang on a clock.
"""

from __future__ import annotations

import numpy as np

from mixedfx.pls.coupling import DENSE_COST, SPARSE_COST
from mixedfx.pls.problem import Problem

ENTRY_COST = 1e-6  # seconds for each entry of Z1'Z2: downdate, quadratic forms, products
PASS_COST = 1e-7  # seconds for each number of the first level
PRODUCT_COST = 1e-10  # seconds for each multiplication of two fixed effects within a random effect


def evaluation_seconds(problem: Problem) -> float:
    """Forecast of one evaluation of the criterion with its gradient and information.

    Parameters
    ----------
    problem
        Cross-products; only their sizes are read.
    """
    k1, _, q1 = problem.gram1.shape
    p, r = problem.p, problem.n_parameters
    effects = q1 * k1
    seconds = PASS_COST * effects * (k1 + p + r)
    if problem.coupling is not None:
        layout = problem.coupling.layout
        effects += problem.coupling.size
        sparse_columns = np.diff(layout.start).astype(np.float64)
        seconds += DENSE_COST * float(problem.coupling.size - layout.split) ** 3
        seconds += SPARSE_COST * float(sparse_columns @ sparse_columns)
        seconds += ENTRY_COST * len(problem.coupling.indices) * k1
    return seconds + PRODUCT_COST * effects * p**2


def satterthwaite_seconds(problem: Problem) -> float:
    """Forecast of Satterthwaite's method: 2 r + 1 evaluations.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.forecast import satterthwaite_seconds
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> satterthwaite_seconds(fit.solution.problem) < 0.001
    True
    """
    return (2 * problem.n_parameters + 1) * evaluation_seconds(problem)
