r"""Derivatives of mu, log mu and log(1 - mu) in eta for each link, to the fourth order.

They are formed without mu where mu loses digits: for the logit link from p (1 - p), for the probit link from the
inverse Mills ratio R = phi / Phi, whose derivative is -R (eta + R), for cloglog from w = e / (exp(e) - 1) with
e = exp(eta) and w' = w (1 - e - w).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import Ladder, of_logarithm

Array = NDArray[np.float64]
Climb = Callable[[Array, int], Ladder]

_LARGEST = 700.0
_FARTHEST = 1e150  # beyond this the square of a number is infinite


def _numbers(eta: Array) -> Array:
    return np.asarray(eta, dtype=np.float64)


def _constant(eta: Array, first: float, order: int) -> Ladder:
    return (np.full_like(eta, first), *(np.zeros_like(eta) for _ in range(order - 1)))


def identity(eta: Array, order: int) -> Ladder:
    """Of eta itself."""
    return _constant(_numbers(eta), 1.0, order)


def logarithm(eta: Array, order: int) -> Ladder:
    """Of log eta; NaN below zero."""
    x = _numbers(eta)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return tuple(
            np.where(x > 0, (-1) ** (j - 1) * special.factorial(j - 1) / x**j, np.nan) for j in range(1, order + 1)
        )


def exponential(eta: Array, order: int) -> Ladder:
    """Of exp(eta)."""
    value = np.exp(np.minimum(eta, _LARGEST))
    return (value,) * order


def unknown(eta: Array, order: int) -> Ladder:
    """Of what is no number: log(1 - mu) where mu is no probability."""
    return (np.full_like(_numbers(eta), np.nan),) * order


def logistic(eta: Array, order: int) -> Ladder:
    """Of p = 1 / (1 + exp(-eta)): polynomials in p (1 - p) and 1 - 2 p."""
    p, q = special.expit(eta), special.expit(np.negative(eta))
    v, tilt = p * q, q - p
    return (v, v * tilt, v * (1 - 6 * v), v * tilt * (1 - 12 * v))[:order]


def log_logistic(eta: Array, order: int) -> Ladder:
    """Of log p: 1 - p, then the derivatives of -p."""
    q = special.expit(np.negative(eta))
    return (q, *(-rung for rung in logistic(eta, order - 1)))


def log_logistic_complement(eta: Array, order: int) -> Ladder:
    """Of log(1 - p): -p, then the derivatives of -p."""
    p = special.expit(eta)
    return (-p, *(-rung for rung in logistic(eta, order - 1)))


def normal(eta: Array, order: int) -> Ladder:
    """Of Phi(eta): the density times Hermite polynomials."""
    x = np.clip(eta, -40.0, 40.0)
    d = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    return (d, -x * d, (x * x - 1) * d, x * (3 - x * x) * d)[:order]


def log_normal(eta: Array, order: int) -> Ladder:
    """Of log Phi(eta), by the inverse Mills ratio R."""
    x = np.clip(_numbers(eta), -_FARTHEST, _FARTHEST)
    R = np.sqrt(2 / np.pi) / special.erfcx(-x / np.sqrt(2))  # without underflow of phi and Phi
    s = np.where(x > -50.0, x + R, _mills_excess(np.minimum(x, -50.0)))
    one = -R * s
    sone = 1 + one
    two = -(one * s + R * sone)
    three = -(two * s + 2 * one * sone + R * two)
    return (R, one, two, three)[:order]


def _mills_excess(x: Array) -> Array:
    """Evaluate x + R for x far below zero, where the sum would lose its digits: -1/x + 2/x^3 - 10/x^5 + ..."""
    r = 1.0 / x
    return -r * (1 - r * r * (2 - r * r * (10 - 74 * r * r)))


def log_normal_complement(eta: Array, order: int) -> Ladder:
    """Of log Phi(-eta)."""
    return tuple((-1) ** j * rung for j, rung in enumerate(log_normal(np.negative(eta), order), start=1))


def gumbel(eta: Array, order: int) -> Ladder:
    """Of 1 - exp(-e), e = exp(eta)."""
    x = np.minimum(_numbers(eta), _LARGEST)
    e = np.exp(x)
    d = np.exp(x - e)
    e = np.minimum(e, 1e3)  # d is zero there
    return (d, d * (1 - e), d * (1 - 3 * e + e * e), d * (1 - 7 * e + 6 * e * e - e**3))[:order]


def log_gumbel(eta: Array, order: int) -> Ladder:
    """Of log(1 - exp(-e)), by w = e / (exp(e) - 1)."""
    e = np.exp(np.minimum(_numbers(eta), 6.5))  # exp(e) is 1e288 there, and w is zero
    w = np.where(e > 0, e / np.expm1(np.where(e > 0, e, 1.0)), 1.0)
    t = 1 - e - w
    one = w * t
    tone = -e - one
    two = one * t + w * tone
    three = two * t + 2 * one * tone + w * (-e - two)
    return (w, one, two, three)[:order]


def log_gumbel_complement(eta: Array, order: int) -> Ladder:
    """Of -exp(eta)."""
    return tuple(-rung for rung in exponential(eta, order))


def cauchy(eta: Array, order: int) -> Ladder:
    """Of 1/2 + arctan(eta) / pi."""
    x = np.clip(_numbers(eta), -1e70, 1e70)
    s = 1 / (1 + x * x)
    d = s / np.pi
    return (d, -2 * x * s * d, (6 * x * x - 2) * s * s * d, -24 * x * (x * x - 1) * s**3 * d)[:order]


def log_cauchy(eta: Array, order: int) -> Ladder:
    """Of its logarithm."""
    p = np.arctan2(1.0, -np.clip(_numbers(eta), -1e70, 1e70)) / np.pi
    return of_logarithm(tuple(rung / p for rung in cauchy(eta, order)))


def log_cauchy_complement(eta: Array, order: int) -> Ladder:
    """Of the logarithm of 1/2 - arctan(eta) / pi."""
    return tuple((-1) ** j * rung for j, rung in enumerate(log_cauchy(np.negative(eta), order), start=1))


def reciprocal(eta: Array, order: int) -> Ladder:
    """Of 1 / eta."""
    x = _numbers(eta)
    with np.errstate(divide="ignore", over="ignore"):
        return tuple((-1) ** j * special.factorial(j) / x ** (j + 1) for j in range(1, order + 1))


def log_reciprocal(eta: Array, order: int) -> Ladder:
    """Of -log eta."""
    return tuple(-rung for rung in logarithm(eta, order))


def square(eta: Array, order: int) -> Ladder:
    """Of eta^2."""
    x = _numbers(eta)
    zero = np.zeros_like(x)
    return (2 * x, np.full_like(x, 2.0), zero, zero)[:order]


def log_square(eta: Array, order: int) -> Ladder:
    """Of 2 log |eta|."""
    x = _numbers(eta)
    with np.errstate(divide="ignore", over="ignore"):
        return tuple(2 * (-1) ** (j - 1) * special.factorial(j - 1) / x**j for j in range(1, order + 1))


LINK_DERIVATIVES: dict[str, tuple[Climb, Climb, Climb]] = {
    "identity": (identity, logarithm, lambda eta, order: _mirrored(logarithm, eta, order)),
    "log": (exponential, identity, unknown),
    "logit": (logistic, log_logistic, log_logistic_complement),
    "probit": (normal, log_normal, log_normal_complement),
    "cloglog": (gumbel, log_gumbel, log_gumbel_complement),
    "cauchit": (cauchy, log_cauchy, log_cauchy_complement),
    "inverse": (reciprocal, log_reciprocal, unknown),
    "sqrt": (square, log_square, unknown),
}
"""Name of a link -> derivatives of mu, of log mu, of log(1 - mu)."""


def _mirrored(climb: Climb, eta: Array, order: int) -> Ladder:
    """Derivatives of f(1 - eta)."""
    return tuple((-1) ** j * rung for j, rung in enumerate(climb(1.0 - _numbers(eta), order), start=1))
