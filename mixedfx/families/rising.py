r"""Rising factorials: log Gamma(a + y) - log Gamma(a) as a function of log a, for whole numbers y.

It is the sum of log(a + j) over j = 0 to y - 1, and the derivatives of one term in log a are those of a logistic
function at p = a / (a + j): p, p (1 - p), ... None of them is a difference of large numbers, at no a, where digamma
functions of a and a + y cancel for a large a and overflow for a small one. Counts beyond `TERMS` add the rest by
polygamma functions, at arguments of that size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import Ladder, compose

Array = NDArray[np.float64]

TERMS = 200  # of the sum


def log_rising(y: Array, a: Array) -> Array:
    """The logarithm of a (a + 1) ... (a + y - 1), a > 0.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.families.rising import log_rising
    >>> np.exp(log_rising(np.array([0.0, 1.0, 3.0]), np.array(2.0))).round(9)
    array([ 1.,  2., 24.])
    """
    y, a = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(a, dtype=np.float64))
    rest = np.maximum(y - 1.0, 0.0)
    # a Gamma(a + 1 + rest) / Gamma(a + 1), by 1 / B(a + 1, rest + 1)
    others = special.gammaln(rest + 1.0) - special.betaln(a + 1.0, rest + 1.0) - np.log(a + 1.0 + rest)
    return np.where(y > 0, np.log(a) + others, 0.0)


def rising_derivatives(y: Array, a: Array, order: int) -> Ladder:
    """Derivatives of `log_rising` in log a, of orders 1 to `order`, at most four."""
    y, a = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(a, dtype=np.float64))
    out = tuple(np.zeros(y.shape) for _ in range(order))
    last = int(min(y.max(initial=0.0), TERMS))
    for j in range(last):
        p = np.where(y > j, a / (a + j), 0.0)
        for rung, found in zip(out, _logistic(p), strict=False):
            rung += found
    if (y > last).any():
        b, count = a + last, np.maximum(y - last, 0.0)
        gammas = [special.polygamma(j, b + count) - special.polygamma(j, b) for j in range(order)]
        # in log b, and log b in log a
        powers = compose(tuple(gammas), (b,) * order)
        share = a / b
        inner = _logistic(share)[:order]
        for rung, found in zip(out, compose(powers, inner), strict=True):
            rung += found
    return out


def _logistic(p: Array) -> Ladder:
    """Derivatives of log(a + j) in log a, p = a / (a + j); one and zeros for j = 0, where p is one."""
    v = p * (1.0 - p)
    return p, v, v * (1.0 - 2.0 * p), v * (1.0 - 6.0 * v)
