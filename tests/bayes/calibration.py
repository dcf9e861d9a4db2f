"""Simulation-based calibration (Talts et al. 2018): three model shapes, truths drawn from the prior by plain NumPy.

If data come from the model and its prior, the rank of the truth among posterior draws is uniform. Priors are fixed, so
that nothing is scaled from y, and the simulators share no code with the package. As those of the default set they hold
for the lines of the groups at the mean of the covariate: sd of the intercept there, and its correlation with the slope;
the truths are those at zero, as draws are. One study has its covariate a hundred standard deviations from zero.
Ranked are sigma, each sd,
correlations, fixed effects, and subgroup effects as `effects` answers them: one of groups that were seen, and the mean
over six groups that were not, which comes out too wide where all unseen levels share one draw.

Two mutants are ranked beside the truth: all unseen levels with the draws of one level, and sigma inflated by 10 %. Far
from zero a third: the same priors stated there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx import priors
from mixedfx.bayes.bayes import bayes
from mixedfx.bayes.posterior import estimate
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning, UnseenLevelsWarning
from mixedfx.priors.sets import prior_set
from tests.resumable import resumed

CORRELATION = ("cor", "g", "Intercept", "z")
DRAWS = 400
UNSEEN = 6


@dataclass(frozen=True)
class Study:
    """A model shape, its fixed priors, a simulator of data with the truth, and the priors of a mutant."""

    name: str
    formula: str
    priors: dict
    simulate: Callable[[np.random.Generator], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict]]
    wrong: priors.PriorSet | None = None


PRIORS = {
    "intercept": priors.normal(1.0, 2.0),
    "coef": priors.normal(0.0, 1.0),
    "sd": priors.half_normal(1.0),
    "cor": priors.lkj(2.0),
    "sigma": priors.exponential(1.0),
}
AT_ZERO = replace(prior_set(PRIORS), varying_intercepts="zero")


def lines(rng, z, g):
    """Data of y ~ z + (1 + z | g), all that `Study.simulate` returns: 12 groups, priors at the mean of z."""
    sd, sigma = np.abs(rng.normal(size=2)), rng.exponential()
    r = 2 * rng.beta(2, 2) - 1
    slope, middle, mean = rng.normal(), rng.normal(1, 2), z.mean()
    noise = rng.normal(size=(12 + UNSEEN, 2))
    at_mean = sd[0] * noise[:, 0]
    u = sd[1] * (r * noise[:, 0] + np.sqrt(1 - r**2) * noise[:, 1])
    y = middle + at_mean[g] + (slope + u[g]) * (z - mean) + sigma * rng.normal(size=len(z))
    at_zero = np.sqrt(sd[0] ** 2 - 2 * mean * r * sd.prod() + (mean * sd[1]) ** 2)
    truth = {
        ("sigma",): sigma,
        ("sd", "g", "Intercept"): at_zero,
        ("sd", "g", "z"): sd[1],
        CORRELATION: (r * sd[0] - mean * sd[1]) / at_zero,
        ("beta", "Intercept"): middle - mean * slope,
        ("beta", "z"): slope,
        "sd at the mean": sd[0],
        "cor at the mean": r,
        "seen": slope + u[0],
        "unseen": slope + u[12:].mean(),
    }
    seen = pd.DataFrame({"z": [0.0], "g": ["g00"]})
    unseen = pd.DataFrame({"z": 0.0, "g": [f"new{j}" for j in range(UNSEEN)]})
    return pd.DataFrame({"y": y, "z": z, "g": [f"g{j:02d}" for j in g]}), seen, unseen, truth


def correlated(rng):
    """y ~ z + (1 + z | g): 12 groups of 8, z zero or one."""
    return lines(rng, np.tile([0.0, 1.0], 48), np.repeat(np.arange(12), 8))


def uncentred(rng):
    """The same with a covariate a hundred of its standard deviations from zero, unbalanced over the groups."""
    z = rng.normal(size=96)
    return lines(rng, 100 + (z - z.mean()) / z.std(), np.repeat(np.arange(12), 8))


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
    "uncentred": Study("uncentred", "y ~ z + (1 + z | g)", PRIORS, uncentred, AT_ZERO),
}


def ranks(study: Study, index: int) -> dict[str, float]:
    """Uniform ranks, 0 to 1, of every truth of one simulated data set; ties are broken at random."""
    rng = np.random.default_rng([20261121, index])
    data, seen, unseen, truth = study.simulate(rng)
    fit = bayes(study.formula, data, priors=study.priors, draws=DRAWS, seed=index)
    draws = fit.draws()
    values = {" ".join(k): (draws[k].ravel(), truth[k]) for k in truth if isinstance(k, tuple)}
    if "sd at the mean" in truth:
        sd, cor = at_the_mean(draws, data["z"].mean())
        values["sd at the mean"], values["cor at the mean"] = (
            (sd, truth["sd at the mean"]),
            (cor, truth["cor at the mean"]),
        )
    values["effect, seen group"] = _effect(fit, seen), truth["seen"]
    values["effect, unseen groups"] = _effect(fit, unseen), truth["unseen"]
    original = estimate.new_effects
    try:
        estimate.new_effects = lambda level, *rest: original(replace(level, level="one for all"), *rest)
        values["mutant: one draw for unseen groups"] = _effect(fit, unseen), truth["unseen"]
    finally:
        estimate.new_effects = original
    values["mutant: sigma inflated by 10 %"] = 1.1 * draws["sigma"].ravel(), truth["sigma",]
    if study.wrong is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # the prior is against the data
            wrong = bayes(study.formula, data, priors=study.wrong, draws=DRAWS, seed=index).draws()
        values["mutant: priors at zero"] = wrong["sd", "g", "z"].ravel(), truth["sd", "g", "z"]
    return {name: (np.sum(d < t) + rng.random()) / (DRAWS + 1) for name, (d, t) in values.items()}


def at_the_mean(draws, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """(D,) sds of the groups' levels at the mean of z and correlations with their slopes, from those at zero."""
    sd, slope, r = (draws[key].ravel() for key in (("sd", "g", "Intercept"), ("sd", "g", "z"), CORRELATION))
    there = np.sqrt(sd**2 + 2 * mean * r * sd * slope + (mean * slope) ** 2)
    return there, (r * sd + mean * slope) / there


def _effect(fit, newdata: pd.DataFrame) -> np.ndarray:
    """(D,) draws of the mean effect of z over the rows of `newdata`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLevelsWarning)
        return effects(fit, "z", newdata=newdata, new_levels="sample").draws()[:, 0]


def run(study: Study, count: int, folder: Path) -> pd.DataFrame:
    """Ranks of `count` data sets, and their numbers in the column index."""
    return resumed(study.name, __file__, count, folder, lambda index: [ranks(study, index)])
