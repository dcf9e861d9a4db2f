r"""Randomised quantile residuals of any family, from simulated responses.

Of B simulated responses of a row let l be those below the observed one, e those equal to it. With v uniform on (0, 1)

    r = (l + v (e + 1)) / (B + 1)

is uniform if the observed response comes from the model that was simulated from: the observed and the B simulated ones
are exchangeable, and ties are broken at random (Dunn & Smyth 1996, Journal of Computational and Graphical Statistics
5:236; by simulation Gelman & Hill 2007, ch. 8). Counts and yes/no answers then have residuals without steps, and a
picture of them reads as one of normal residuals does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


def uniform_residuals(y: Array, below: Array, equal: Array, n: int, rng: np.random.Generator) -> Array:
    """(m,) residuals between 0 and 1.

    Parameters
    ----------
    y
        (m,) observed responses.
    below, equal
        (m,) numbers of simulated responses below and equal to them.
    n
        Number of simulated responses.
    rng
        Breaks ties.

    Examples
    --------
    The observed 2 is the largest of five responses, the other four simulated:

    >>> import numpy as np
    >>> from mixedfx.inference.quantile_residuals import uniform_residuals
    >>> found = uniform_residuals(np.array([2.0]), np.array([4.0]), np.array([0.0]), 4, np.random.default_rng(1))
    >>> bool(0.8 < found[0] < 1.0)
    True
    """
    return (below + rng.random(len(y)) * (equal + 1.0)) / (n + 1.0)


def normal_scores(uniform: Array) -> Array:
    """The same as standard normal residuals."""
    return special.ndtri(uniform)
