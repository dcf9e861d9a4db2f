"""Data and reference values of averaged meta-analyses.

Log evidences are those of quadrature programs written apart from the package, with 44 nodes an axis; published figures,
of RoBMA 3.3 (its vignettes, its tests), have Monte Carlo errors.
"""

import numpy as np
import pandas as pd

# Bem (2011): nine experiments on precognition, Cohen's d
BEM = pd.DataFrame({
    "yi": [0.25, 0.20, 0.26, 0.23, 0.22, 0.15, 0.09, 0.19, 0.42],
    "sei": [0.10155048, 0.08246211, 0.10323629, 0.10182427, 0.10120277, 0.08210765, 0.07085372, 0.10089846, 0.14752627],
})  # fmt: skip

_R, _N = np.array([0.1, 0.2, 0.3]), np.array([15, 20, 50])
_D = 2 * _R / np.sqrt(1 - _R**2)
THREE = pd.DataFrame({"yi": _D, "vi": 4 / _N + _D**2 / (2 * _N), "cluster": ["a", "a", "b"]})

# effect x heterogeneity x (none, six weight functions, PET, PEESE) of THREE
THREE_EVIDENCES = np.array([
    -0.8338, -0.29078, -0.37965, -0.27811, 0.0357, 0.56136, 0.80154, 0.15769, -0.85262,
    -0.61755, -0.34924, -0.51058, -0.26474, -0.04411, 0.64681, 0.80729, -0.09124, -0.95118,
    -0.02817, -0.09802, -0.37778, -0.27342, -0.28876, 0.23838, 0.27473, -0.57894, -1.51384,
    -0.39109, -0.52123, -0.81816, -0.62652, -0.65337, 0.03141, 0.05844, -0.87029, -1.7137,
])  # fmt: skip

SEVEN_EVIDENCES = np.array([-3.2846, 14.9047, 12.8528, 13.7021, 12.5905, 15.7493, 15.6497])
