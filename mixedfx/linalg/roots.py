"""Symmetric roots of covariances: continuous in the matrix, so that draws do not turn on rounding.

The eigenvectors of a covariance are known up to sign, and up to rotation where eigenvalues agree; V D^{1/2} of two
matrices that differ by rounding can be far apart. V D^{1/2} V' is the same for every choice of V.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NOTHING = 1e-14  # of the largest eigenvalue: what is smaller is the rounding of a singular matrix


def symmetric_root(covariance: Array) -> Array:
    """(k, k) positive semidefinite A with A A the covariance, which may be singular.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.roots import symmetric_root
    >>> symmetric_root(np.array([[5.0, 4.0], [4.0, 5.0]])).round(6).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    values, vectors = np.linalg.eigh(covariance)
    known = np.where(values > NOTHING * values.max(initial=0.0), values, 0.0)
    return np.asarray((vectors * np.sqrt(known)) @ vectors.T)
