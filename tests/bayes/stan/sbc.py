"""Simulation-based calibration of generated Stan programs (Talts et al. 2018): bernoulli and poisson, varying slopes.

If data come from the model and its prior, the rank of the truth among posterior draws is uniform. Priors are fixed, so
that nothing is scaled from y, and the simulators share no code with the package. As those of the default set they hold
for the lines of the groups at the mean of t: sd of the intercept there, and its correlation with the slope; the truths
are those at zero, as draws are. Ranked are the coefficients, each sd,
the correlation, and subgroup effects on the response scale as `effects` answers them: of one group, of the groups of
one region, of one group that the fit has not seen, and the mean over six such groups.

A mutant is ranked beside the truth: the same fit by a program in which the varying slope has ten times its scale.
What it says of groups that it has seen is right for all that, as the data speak; what it says of the sd, and of the
effect in a group not seen, is not.

NUTS draws are thinned, since ranks among correlated draws are not uniform.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

import mixedfx as mx
from mixedfx.bayes.stan import program
from mixedfx.errors import MixedfxWarning
from tests.resumable import resumed

GROUPS, ROWS, UNSEEN = 10, 12, 6
TREATED = 2 / 3
WARMUP, DRAWS, THIN = 400, 800, 4
FORMULA = "y ~ t + (1 + t | g)"
RIGHT, WRONG = "diag_pre_multiply(sd_1, L_1)", "diag_pre_multiply([1, 10]' .* sd_1, L_1)"


@dataclass(frozen=True)
class Study:
    """A family, sds of its normal and half-normal priors, how it draws responses, and its inverse link."""

    name: str
    intercept: float
    slope: float
    sd: float
    draw: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    mean: Callable[[np.ndarray], np.ndarray]

    @property
    def priors(self) -> dict:
        """What `bayes` is told."""
        return {
            "intercept": mx.priors.normal(0.0, self.intercept),
            "coef": mx.priors.normal(0.0, self.slope),
            "sd": mx.priors.half_normal(self.sd),
            "cor": mx.priors.lkj(2.0),
        }


STUDIES = {
    "bernoulli": Study(
        "bernoulli", 1.0, 1.0, 1.0, lambda rng, eta: (rng.random(eta.shape) < special.expit(eta)) * 1.0, special.expit
    ),
    "poisson": Study("poisson", 0.7, 0.5, 0.6, lambda rng, eta: rng.poisson(np.exp(eta)) * 1.0, np.exp),
}


def parameters(study: Study, rng: np.random.Generator) -> dict:
    """Parameters from their prior, under the keys of draws."""
    at_mean = study.sd * np.abs(rng.normal(size=2))
    r_mean = 2 * rng.beta(2, 2) - 1  # lkj(2) of a 2 x 2 matrix
    # effects at zero are those at the mean, less the mean times the slope
    covariance = np.outer(at_mean, at_mean) * [[1, r_mean], [r_mean, 1]]
    covariance = np.array([[1, -TREATED], [0, 1]]) @ covariance @ np.array([[1, 0], [-TREATED, 1]])
    sd = np.sqrt(np.diag(covariance))
    r = covariance[0, 1] / sd.prod()
    slope = study.slope * rng.normal()
    intercept = study.intercept * rng.normal() - TREATED * slope  # the prior holds at the mean of t
    return {
        ("beta", "Intercept"): intercept,
        ("beta", "t"): slope,
        ("sd", "g", "Intercept"): sd[0],
        ("sd", "g", "t"): sd[1],
        ("cor", "g", "Intercept", "t"): r,
    }


def simulate(study: Study, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], dict]:
    """Data, the rows of each subgroup, and the truth: parameters, and effects under their names."""
    g = np.repeat(np.arange(GROUPS), ROWS)
    t = np.tile([0.0, 1.0, 1.0], GROUPS * ROWS // 3)
    drawn = parameters(study, rng)
    intercept, slope, sd_intercept, sd_slope, r = drawn.values()
    noise = rng.normal(size=(GROUPS + UNSEEN, 2))
    u = np.column_stack([sd_intercept * noise[:, 0], sd_slope * (r * noise[:, 0] + np.sqrt(1 - r**2) * noise[:, 1])])
    y = study.draw(rng, intercept + slope * t + u[g, 0] + u[g, 1] * t)

    def effect(groups: np.ndarray) -> float:
        low = intercept + u[groups, 0]
        return float(np.mean(study.mean(low + slope + u[groups, 1]) - study.mean(low)))

    truth = drawn | {
        "group": effect(np.array([0])),
        "region": effect(np.arange(4)),
        "newcomer": effect(np.array([GROUPS])),
        "unseen": effect(np.arange(GROUPS, GROUPS + UNSEEN)),
    }
    names = np.array([f"g{j:02d}" for j in range(GROUPS + UNSEEN)])
    rows = {
        "group": pd.DataFrame({"t": [0.0], "g": ["g00"]}),
        "region": pd.DataFrame({"t": 0.0, "g": names[:4]}),
        "newcomer": pd.DataFrame({"t": 0.0, "g": names[GROUPS : GROUPS + 1]}),
        "unseen": pd.DataFrame({"t": 0.0, "g": names[GROUPS:]}),
    }
    return pd.DataFrame({"y": y, "t": t, "g": names[g]}), rows, truth


@contextmanager
def mutation():
    """Let every program give the varying slope a wrong scale."""
    original = program.program_text

    def wrong(shape):
        text = original(shape)
        assert text.count(RIGHT) == 1, "the program is written otherwise: write the mutant anew"
        return text.replace(RIGHT, WRONG)

    program.program_text = wrong
    try:
        yield
    finally:
        program.program_text = original


def posterior(study: Study, data: pd.DataFrame, rows: dict[str, pd.DataFrame], truth: dict, seed: int) -> dict:
    """Name -> (thinned draws, truth) of all that is ranked."""
    fit = mx.bayes(
        FORMULA, data, family=study.name, priors=study.priors, engine="stanli", chains=1, warmup=WARMUP, draws=DRAWS,
        seed=seed, adapt_delta=0.9, cores=1, progress=False,
    )  # fmt: skip
    draws = fit.draws()
    values = {" ".join(key): (draws[key].ravel()[::THIN], truth[key]) for key in truth if isinstance(key, tuple)}
    for name, newdata in rows.items():
        found = mx.effects(fit, "t", newdata=newdata, new_levels="sample").draws()[:, 0]
        values[f"effect, {name}"] = found[::THIN], truth[name]
    return values


def ranks(study: Study, index: int) -> dict[str, float]:
    """Uniform ranks, 0 to 1, of every truth of one simulated data set; ties are broken at random."""
    rng = np.random.default_rng([20261121, index])
    data, rows, truth = simulate(study, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # unseen levels; a divergence in a few fits of hundreds
        values = posterior(study, data, rows, truth, index)
        with mutation():
            wrong = posterior(study, data, rows, truth, index)
    values |= {f"mutant: {name}": value for name, value in wrong.items()}
    return {name: (np.sum(d < t) + rng.random()) / (len(d) + 1) for name, (d, t) in values.items()}


def run(study: Study, count: int, folder: Path) -> pd.DataFrame:
    """Ranks of `count` data sets, and their numbers in the column index."""
    return resumed(study.name, __file__, count, folder, lambda index: [ranks(study, index)])
