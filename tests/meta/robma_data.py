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
THREE_EVIDENCES = np.array(
    [
        "-.83380",
        "-.29078",
        "-.37965",
        "-.27811",
        ".03570",
        ".56136",
        ".80154",
        ".15769",
        "-.85262",
        "-.61755",
        "-.34924",
        "-.51058",
        "-.26474",
        "-.04411",
        ".64681",
        ".80729",
        "-.09124",
        "-.95118",
        "-.02817",
        "-.09802",
        "-.37778",
        "-.27342",
        "-.28876",
        ".23838",
        ".27473",
        "-.57894",
        "-1.51384",
        "-.39109",
        "-.52123",
        "-.81816",
        "-.62652",
        "-.65337",
        ".03141",
        ".05844",
        "-.87029",
        "-1.71370",
    ],
    dtype=float,
)

SEVEN_EVIDENCES = np.array([-3.2846, 14.9047, 12.8528, 13.7021, 12.5905, 15.7493, 15.6497])
