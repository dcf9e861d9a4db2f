"""Log densities and derivatives of the commonest families by one evaluation of the exponential function for each row.

Families say the same in general terms (`mixedfx.families`), for any link and many draws; an optimiser asks thousands of
times for all rows at one point, and these formulas share what log density and derivatives have in common. They leave
out of the log density what does not depend on eta. Families without an entry are asked themselves. The compiled twins
are in `mixedfx.linalg.density_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Three = tuple[float, Vector, Vector]


@dataclass(frozen=True)
class Density:
    """One distribution with its link.

    Attributes
    ----------
    kind
        Its number in `mixedfx.linalg.density_rows`.
    scan
        (y, trials, eta, shape) -> the sum of log f, and (n,) first derivatives and minus the second ones.
    higher
        The same -> (n,) minus the third and minus the fourth ones.
    """

    kind: int
    scan: Callable[[Vector, Vector, Vector, float], Three]
    higher: Callable[[Vector, Vector, Vector, float], tuple[Vector, Vector]]


def _logistic(eta: Vector) -> tuple[Vector, Vector, Vector]:
    """exp(-|eta|), 1 / (1 + it), and p."""
    q = np.exp(-np.abs(eta))
    d = 1.0 / (1.0 + q)
    return q, d, np.where(eta >= 0.0, d, q * d)


def _logit(y: Vector, m: Vector, eta: Vector, shape: float) -> Three:
    q, d, p = _logistic(eta)
    total = float(y @ eta - m @ (np.maximum(eta, 0.0) + np.log1p(q)))
    return total, y - m * p, m * q * d * d


def _logit_higher(y: Vector, m: Vector, eta: Vector, shape: float) -> tuple[Vector, Vector]:
    q, d, p = _logistic(eta)
    v = q * d * d
    w = m * v
    return w * (1.0 - 2.0 * p), w * (1.0 - 6.0 * v)


def _mu(eta: Vector) -> Vector:
    return np.exp(np.minimum(eta, 700.0))


def _poisson(y: Vector, m: Vector, eta: Vector, shape: float) -> Three:
    mu = _mu(eta)
    return float(y @ eta - mu.sum()), y - mu, mu


def _poisson_higher(y: Vector, m: Vector, eta: Vector, shape: float) -> tuple[Vector, Vector]:
    mu = _mu(eta)
    return mu, mu


def _negbinomial(y: Vector, m: Vector, eta: Vector, shape: float) -> Three:
    mu = _mu(eta)
    total, counts = shape + mu, y + shape
    a = counts * (mu / total)
    return float(y @ eta - counts @ np.log1p(mu / shape)), y - a, a * (shape / total)


def _negbinomial_higher(y: Vector, m: Vector, eta: Vector, shape: float) -> tuple[Vector, Vector]:
    mu = _mu(eta)
    total = shape + mu
    q, r = mu / total, shape / total
    a = (y + shape) * q * r
    return a * (r - q), a * (1.0 - 6.0 * q * r)


def _gamma(y: Vector, m: Vector, eta: Vector, shape: float) -> Three:
    a = shape * y / _mu(eta)
    return float(-shape * eta.sum() - a.sum()), a - shape, a


def _gamma_higher(y: Vector, m: Vector, eta: Vector, shape: float) -> tuple[Vector, Vector]:
    a = shape * y / _mu(eta)
    return -a, a


DENSITIES: dict[tuple[str, str], Density] = {
    ("bernoulli", "logit"): Density(0, _logit, _logit_higher),
    ("binomial", "logit"): Density(0, _logit, _logit_higher),
    ("poisson", "log"): Density(1, _poisson, _poisson_higher),
    ("negbinomial", "log"): Density(2, _negbinomial, _negbinomial_higher),
    ("gamma", "log"): Density(3, _gamma, _gamma_higher),
}
"""Family and link -> formulas."""
