"""Nodes and weights for expectations over a normal distribution.

Gauss-Hermite nodes (Abramowitz & Stegun 1972, 25.4.46) serve up to a standard deviation of 1. Beyond, the functions
averaged here (inverse links, transformations undone) are steep in the standard normal x and polynomials follow them
badly, while the trapezoidal rule still converges geometrically (Trefethen & Weideman 2014, SIAM Review 56:385): its
error falls as exp(-2 pi a / h), with a the half width of the strip of analyticity, of order 1 / sd. Errors stay below
1e-6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def normal_rule(sd: float) -> tuple[Array, Array]:
    """Nodes and weights for the expectation of g(eta + s x) over a standard normal x, for every s up to `sd`.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.quadrature import normal_rule
    >>> x, w = normal_rule(3.0)
    >>> bool(abs(w @ np.exp(3 * x) / np.exp(4.5) - 1) < 1e-6)
    True
    """
    if sd <= 1:
        x, w = np.polynomial.hermite_e.hermegauss(11 if sd <= 0.5 else 21)
    else:
        # Under a log link the mass lies about x = sd.
        reach = 6.5 + sd
        x = np.linspace(-reach, reach, 1 + int(np.ceil(2 * reach * np.sqrt(1 + sd**2) / 0.7)))
        w = np.exp(-0.5 * x**2)
    return x, w / w.sum()
