r"""Weight functions of selection models: how likely an estimate is seen, given its p value, one entry of a table each.

An estimate of p value p is seen with probability proportional to w(p); only ratios of w matter, and every function here
is 1 where p is 0 (or where it is most significant). With parameters delta >= 0,

    stepfun    w = delta_j for a_{j-1} < p <= a_j, delta_1 = 1    Hedges (1992), Vevea and Hedges (1995)
    halfnorm   w = exp(-delta p^2)                                Preston, Ashby and Smyth (2004)
    negexp     w = exp(-delta p)                                  the same
    logistic   w = 2 exp(-delta p) / (1 + exp(-delta p))          the same
    power      w = (1 - p)^delta
    beta       w = p^(delta1 - 1) (1 - p)^(delta2 - 1)            Citkowicz and Vevea (2017)

(Hedges 1992, Statistical Science 7(2); Vevea and Hedges 1995, Psychometrika 60(3); Preston et al. 2004, Statistics in
Medicine 23(10); Citkowicz and Vevea 2017, Psychological Methods 22(1).) A step `a` given to one of the four in the
middle is where selection begins: w = 1 for p <= a and f(p) / f(a) beyond.

The beta function grows without bound where delta1 < 1 and p goes to 0 or delta2 < 1 and p to 1. Since p falls like
exp(-y^2 / 2v) while estimates are spread like exp(-y^2 / 2(v + tau^2)), the normaliser E[w] is finite only if delta1
and delta2 exceed tau^2 / (v + tau^2): elsewhere there is no model. Clipping p to [c, 1 - c] makes w bounded and every
delta admissible, but then c is part of the model: c = 1e-5 here, as in metafor, and the fit says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx.errors import check_option
from mixedfx.meta.measure import Array

BETA_CLIP = 1e-5
LogWeight = Callable[[Array, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class WeightFunction:
    """A weight function.

    Attributes
    ----------
    name
        As users write it.
    title
        In words.
    formula
        w(p), for the page of a fit.
    null
        Its parameters where all estimates are equally likely seen; of a step function, one for each interval.
    log_weight
        (p, 1 - p, delta) -> log w (n,) and its derivatives (d, n); None of a step function.
    boundary
        Whether `null` is at the end of what the parameters can be, so that the likelihood-ratio test has half its
        weight at 0.
    starts_at_step
        Whether one step may say where selection begins.
    clip
        p is taken between this and one less this; 0 where it is not clipped.
    singular
        Whether log w of two-sided p values has a singularity at p = 1.
    decays
        Whether w goes to 0 as p goes to 1, so that its lower tail is never constant.
    """

    name: str
    title: str
    formula: str
    null: tuple[float, ...]
    log_weight: LogWeight | None
    boundary: bool = True
    starts_at_step: bool = True
    clip: float = 0.0
    singular: bool = False
    decays: bool = False

    @property
    def smooth(self) -> bool:
        """Whether the weights are a formula of p."""
        return self.log_weight is not None


def _halfnorm(p: Array, _: Array, delta: Array) -> tuple[Array, Array]:
    return -delta[0] * p**2, -(p**2)[None]


def _negexp(p: Array, _: Array, delta: Array) -> tuple[Array, Array]:
    return -delta[0] * p, -p[None]


def _logistic(p: Array, _: Array, delta: Array) -> tuple[Array, Array]:
    x = delta[0] * p
    return np.log(2.0) - x - np.log1p(np.exp(-x)), (-p / (1.0 + np.exp(-x)))[None]


def _power(_: Array, rest: Array, delta: Array) -> tuple[Array, Array]:
    logs = np.log(np.maximum(rest, 1e-300))
    return delta[0] * logs, logs[None]


def _beta(p: Array, rest: Array, delta: Array) -> tuple[Array, Array]:
    logs = np.log(np.stack([np.maximum(p, BETA_CLIP), np.maximum(rest, BETA_CLIP)]))
    logs = np.minimum(logs, np.log1p(-BETA_CLIP))
    return (delta - 1.0) @ logs, logs


WEIGHT_FUNCTIONS = {
    entry.name: entry
    for entry in (
        WeightFunction(
            "stepfun", "step function", "delta_j in the j-th interval of p", (1.0,), None, boundary=False
        ),
        WeightFunction("halfnorm", "half-normal", "exp(-delta p^2)", (0.0,), _halfnorm),
        WeightFunction("negexp", "negative exponential", "exp(-delta p)", (0.0,), _negexp),
        WeightFunction("logistic", "logistic", "2 exp(-delta p) / (1 + exp(-delta p))", (0.0,), _logistic),
        WeightFunction("power", "power", "(1 - p)^delta", (0.0,), _power, singular=True, decays=True),
        WeightFunction(
            "beta", "beta", "p^(delta1 - 1) (1 - p)^(delta2 - 1)", (1.0, 1.0), _beta,
            boundary=False, starts_at_step=False, clip=BETA_CLIP, singular=True,
        ),
    )
}  # fmt: skip


def find_weight_function(name: str) -> WeightFunction:
    """The entry of a name.

    Raises
    ------
    OptionError
        There is none.

    Examples
    --------
    >>> from mixedfx.meta.selection.weights import find_weight_function
    >>> find_weight_function("negexp").formula
    'exp(-delta p)'
    """
    check_option("type", name, tuple(WEIGHT_FUNCTIONS))
    return WEIGHT_FUNCTIONS[name]
