r"""The distribution of a sum of weighted chi-square variables, sum_i lambda_i z_i^2 with positive weights.

Its cumulant function is K(s) = -1/2 sum log(1 - 2 lambda_i s), and for c between 0 and 1 / (2 max lambda)

    P(S > q) = 1 / (2 pi i)  integral over c + i R of  exp(K(s) - s q) / s  ds,

for c < 0 the same with opposite sign is P(S <= q) (inversion of the Laplace transform). The line is bent into the
parabola c + a t^2 + i t, which stays left of the cuts of K: there the integrand falls as exp(-q a t^2), and the
trapezoidal rule converges exponentially (Trefethen and Weideman 2014, SIAM Review 56(3)). c is the saddle point.
Davies (1980, Applied Statistics 29(3)) and Farebrother (1984, ibid. 33(3)) compute the same by other means.
"""

from __future__ import annotations

import numpy as np

from mixedfx.meta.measure import Array

NODES = 400
REACH = 40.0  # of the exponent, over which the integral is taken


def upper_probability(q: float, weights: Array) -> float:
    """P(sum weights * chi^2_1 > q).

    Parameters
    ----------
    q
        A number.
    weights
        (m,) positive weights.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.univariate.quadratic_forms import upper_probability
    >>> round(upper_probability(5.991464547107979, np.ones(2)), 12)
    0.05
    """
    lam = np.asarray(weights, dtype=np.float64)
    if q <= 0:
        return 1.0
    largest = float(lam.max())
    q, lam = q / largest, lam / largest  # now 1 / (2 max) is 1 / 2
    right = _contour(q, lam, q > lam.sum())
    return right if q > lam.sum() else 1.0 - right


def _contour(q: float, lam: Array, upper: bool) -> float:
    """P(S > q) for `upper`, else P(S <= q)."""
    c = _saddle(q, lam, upper)
    curvature = float(np.sum(2 * lam**2 / (1 - 2 * lam * c) ** 2)) + 1 / c**2
    width = 1.0 / np.sqrt(curvature)
    bend = 0.5 / (0.5 - c)
    # the end: where exp(-q a t^2) alone is below rounding, or the algebraic tail is, whichever is nearer
    end = max(np.sqrt(REACH / (q * bend)), 8 * width)
    # nodes are denser where the integrand varies: t = width sinh(u)
    u = np.linspace(0.0, np.arcsinh(end / width), NODES)
    t, dt = width * np.sinh(u), width * np.cosh(u)
    s = c + bend * t**2 + 1j * t
    exponent = -0.5 * np.log(1 - 2 * lam[:, None] * s).sum(axis=0) - s * q - np.log(s)
    values = (np.exp(exponent) * (2 * bend * t + 1j)).imag * dt
    total = (values.sum() - 0.5 * (values[0] + values[-1])) * (u[1] - u[0])
    return float(abs(total) / np.pi)


def _saddle(q: float, lam: Array, upper: bool) -> float:
    """Where K(s) - s q - log|s| is stationary, between 0 and 1/2 or below 0: by bisection, then Newton."""

    def slope(s: float) -> float:
        return float(np.sum(lam / (1 - 2 * lam * s))) - q - 1 / s

    low, high = (1e-12, 0.5 - 1e-12) if upper else (-(len(lam) + 3.0) / q - 1.0, -1e-12)
    for _ in range(80):
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
