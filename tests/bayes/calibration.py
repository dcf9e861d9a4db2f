"""Simulation-based calibration (Talts et al. 2018): two model shapes, truths drawn from the prior by plain NumPy.

If data come from the model and its prior, the rank of the truth among posterior draws is uniform. Priors are fixed, so
that nothing is scaled from y, and the simulators share no code with the package. Ranked are sigma, each sd,
correlations, fixed effects, and subgroup effects as `effects` answers them: one of groups that were seen, and the mean
over six groups that were not, which comes out too wide where all unseen levels share one draw.

Two mutants are ranked beside the truth: all unseen levels with the draws of one level, and sigma inflated by 10 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx import priors
from mixedfx.bayes import estimate
from mixedfx.bayes.bayes import bayes
from mixedfx.effects.effects import effects
from mixedfx.errors import UnseenLevelsWarning
from tests.resumable import resumed

DRAWS = 400
UNSEEN = 6


@dataclass(frozen=True)
class Study:
    """A model shape, its fixed priors, and a simulator of data with the truth."""

    name: str
    formula: str
    priors: dict
    simulate: Callable[[np.random.Generator], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict]]


PRIORS = {
    "intercept": priors.normal(1.0, 2.0),
    "coef": priors.normal(0.0, 1.0),
    "sd": priors.half_normal(1.0),
    "cor": priors.lkj(2.0),
    "sigma": priors.exponential(1.0),
}


def correlated(rng):
    """y ~ z + (1 + z | g): 12 groups of 8."""
    g = np.repeat(np.arange(12), 8)
    z = np.tile([0.0, 1.0], 48)
    sd, sigma = np.abs(rng.normal(size=2)), rng.exponential()
    r = 2 * rng.beta(2, 2) - 1
    slope = rng.normal()
    intercept = rng.normal(1, 2) - z.mean() * slope
    noise = rng.normal(size=(12 + UNSEEN, 2))
    u = np.column_stack([sd[0] * noise[:, 0], sd[1] * (r * noise[:, 0] + np.sqrt(1 - r**2) * noise[:, 1])])
    y = intercept + slope * z + u[g, 0] + u[g, 1] * z + sigma * rng.normal(size=96)
    truth = {
        ("sigma",): sigma,
        ("sd", "g", "Intercept"): sd[0],
        ("sd", "g", "z"): sd[1],
        ("cor", "g", "Intercept", "z"): r,
        ("beta", "Intercept"): intercept,
        ("beta", "z"): slope,
        "seen": slope + u[0, 1],
        "unseen": slope + u[12:, 1].mean(),
    }
    seen = pd.DataFrame({"z": [0.0], "g": ["g00"]})
    unseen = pd.DataFrame({"z": 0.0, "g": [f"new{j}" for j in range(UNSEEN)]})
    return pd.DataFrame({"y": y, "z": z, "g": [f"g{j:02d}" for j in g]}), seen, unseen, truth


def crossed(rng):
    """y ~ x + z + (1 | g) + (1 + z || h): 10 groups g crossed with 4 groups h, unbalanced."""
    g, h = np.repeat(np.arange(10), 8), np.tile([0, 0, 0, 1, 1, 2, 2, 3], 10)
    x = np.linspace(-1, 1, 80) ** 3
    z = ((np.arange(80) * 7) % 3 == 0).astype(float)
    sd, sigma = np.abs(rng.normal(size=3)), rng.exponential()
    b = rng.normal(size=2)
    intercept = rng.normal(1, 2) - x.mean() * b[0] - z.mean() * b[1]
    ug, uh = sd[0] * rng.normal(size=10), sd[1:] * rng.normal(size=(4 + UNSEEN, 2))
    y = intercept + b[0] * x + b[1] * z + ug[g] + uh[h, 0] + uh[h, 1] * z + sigma * rng.normal(size=80)
    truth = {
        ("sigma",): sigma,
        ("sd", "g", "Intercept"): sd[0],
        ("sd", "h", "Intercept"): sd[1],
        ("sd", "h", "z"): sd[2],
        ("beta", "Intercept"): intercept,
        ("beta", "x"): b[0],
        ("beta", "z"): b[1],
        "seen": b[1] + uh[3, 1],
        "unseen": b[1] + uh[4:, 1].mean(),
    }
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": [f"g{j}" for j in g], "h": [f"h{j}" for j in h]})
    seen = pd.DataFrame({"x": [0.0], "z": [0.0], "g": ["g0"], "h": ["h3"]})
    unseen = pd.DataFrame({"x": 0.0, "z": 0.0, "g": "g0", "h": [f"new{j}" for j in range(UNSEEN)]})
    return data, seen, unseen, truth


STUDIES = {
    "correlated": Study("correlated", "y ~ z + (1 + z | g)", PRIORS, correlated),
    "crossed": Study("crossed", "y ~ x + z + (1 | g) + (1 + z || h)", PRIORS, crossed),
}


def ranks(study: Study, index: int) -> dict[str, float]:
    """Uniform ranks, 0 to 1, of every truth of one simulated data set; ties are broken at random."""
    rng = np.random.default_rng([20261121, index])
    data, seen, unseen, truth = study.simulate(rng)
    fit = bayes(study.formula, data, priors=study.priors, draws=DRAWS, seed=index)
    draws = fit.draws()
    values = {" ".join(k): (draws[k].ravel(), truth[k]) for k in truth if isinstance(k, tuple)}
    values["effect, seen group"] = _effect(fit, seen), truth["seen"]
    values["effect, unseen groups"] = _effect(fit, unseen), truth["unseen"]
    original = estimate.new_effects
    try:
        estimate.new_effects = lambda level, *rest: original(replace(level, level="one for all"), *rest)
        values["mutant: one draw for unseen groups"] = _effect(fit, unseen), truth["unseen"]
    finally:
        estimate.new_effects = original
    values["mutant: sigma inflated by 10 %"] = 1.1 * draws["sigma"].ravel(), truth["sigma",]
    return {name: (np.sum(d < t) + rng.random()) / (DRAWS + 1) for name, (d, t) in values.items()}


def _effect(fit, newdata: pd.DataFrame) -> np.ndarray:
    """(D,) draws of the mean effect of z over the rows of `newdata`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLevelsWarning)
        return effects(fit, "z", newdata=newdata, new_levels="sample").draws()[:, 0]


def run(study: Study, count: int, folder: Path) -> pd.DataFrame:
    """Ranks of `count` data sets, and their numbers in the column index."""
    return resumed(study.name, __file__, count, folder, lambda index: [ranks(study, index)])
