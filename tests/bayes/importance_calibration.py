"""Simulation-based calibration of importance sampling: a yes/no answer with varying slopes, subgroup effects ranked.

As in tests/bayes/calibration.py, whose simulators these follow: truths come from the prior by plain NumPy, the priors
of covariances hold at the mean of the covariate, and ranks of the truths among posterior draws are uniform. Effects
are differences of probabilities, of one group that was seen and the mean over six that were not. A mutant inflates the
sd of the slopes by 30 %.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from mixedfx import priors
from mixedfx.bayes.bayes import bayes
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from tests.bayes.calibration import CORRELATION, UNSEEN, at_the_mean
from tests.resumable import resumed

GROUPS, ROWS, DRAWS = 15, 10, 400
PRIORS = {
    "intercept": priors.normal(0.0, 1.5),
    "coef": priors.normal(0.0, 1.0),
    "sd": priors.half_normal(1.0),
    "cor": priors.lkj(2.0),
}


def simulate(rng: np.random.Generator) -> tuple[pd.DataFrame, dict]:
    """Data of y ~ z + (1 + z | g) with z from zero to one, and the truth."""
    g, z = np.repeat(np.arange(GROUPS), ROWS), np.tile(np.linspace(0.0, 1.0, ROWS), GROUPS)
    sd, r = np.abs(rng.normal(size=2)), 2 * rng.beta(2, 2) - 1
    slope, middle, mean = rng.normal(), rng.normal(0, 1.5), z.mean()
    noise = rng.normal(size=(GROUPS + UNSEEN, 2))
    at_mean = middle + sd[0] * noise[:, 0]
    own = slope + sd[1] * (r * noise[:, 0] + np.sqrt(1 - r**2) * noise[:, 1])
    y = rng.binomial(1, special.expit(at_mean[g] + own[g] * (z - mean)))
    change = special.expit(at_mean + own * (1 - mean)) - special.expit(at_mean - own * mean)
    truth = {
        ("beta", "Intercept"): middle - mean * slope,
        ("beta", "z"): slope,
        ("sd", "g", "z"): sd[1],
        ("u", "g", "g03", "z"): own[3] - slope,
        "sd at the mean": sd[0],
        "cor at the mean": r,
        "effect, seen group": change[0],
        "effect, unseen groups": change[GROUPS:].mean(),
    }
    return pd.DataFrame({"y": y, "z": z, "g": [f"g{j:02d}" for j in g]}), truth


def ranks(index: int) -> dict[str, float]:
    """Uniform ranks, 0 to 1, of every truth of one data set, and whether importance sampling refused it."""
    rng = np.random.default_rng([20261129, index])
    data, truth = simulate(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # of few draws, and of levels that were not seen
        fit = bayes("y ~ z + (1 + z | g)", data, "bernoulli", PRIORS, draws=DRAWS, seed=index, progress=False)
        seen = effects(fit, "z", newdata=pd.DataFrame({"z": [0.0], "g": ["g00"]}))
        new = pd.DataFrame({"z": 0.0, "g": [f"new{j}" for j in range(UNSEEN)]})
        unseen = effects(fit, "z", newdata=new, new_levels="sample", seed=index)
        found = [eff.draws()[:, 0] for eff in (seen, unseen)]
    draws = fit.draws()
    sd, cor = at_the_mean(draws, data["z"].mean())
    values = {name: draws[name].ravel() for name in truth if isinstance(name, tuple)}
    values |= {"sd at the mean": sd, "cor at the mean": cor}
    values |= dict(zip(("effect, seen group", "effect, unseen groups"), found, strict=True))
    assert CORRELATION in draws
    out = {
        " ".join(name) if isinstance(name, tuple) else name: _rank(x, truth[name], rng) for name, x in values.items()
    }
    key = ("sd", "g", "z")
    return out | {
        "mutant: sd inflated by 30 %": _rank(1.3 * values[key], truth[key], rng),
        "refused": float(fit.sampling.engine != "importance"),
    }


def _rank(draws: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    return float((np.sum(draws < truth) + rng.random()) / (DRAWS + 1))


def run(count: int, folder: Path) -> pd.DataFrame:
    """Ranks of `count` data sets, and their numbers in the column index."""
    return resumed("importance", __file__, count, folder, lambda index: [ranks(index)])
