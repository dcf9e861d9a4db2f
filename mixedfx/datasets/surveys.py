r"""A simulated survey of pupils in schools, drawn in two stages with chances that depend on what is measured.

In the population score = 500 + 30 ses + a_s + b_s ses + e with independent normal a_s, b_s and e. Schools are drawn
within regions, as many in each, with probability proportional to exp(-i a_s / (2 sd(a)) + 0.3 z), z standard normal and
i the degree of `informative`: schools that do badly have the better chance. In a school drawn, pupils below the line of
their school (e < 0) and above it are two strata, of which shares 1/2 + i / 4 and 1/2 - i / 4 of the sample come, as in
Pfeffermann et al. (1998, Journal of the Royal Statistical Society B 60:23, section 6). Who ignores the weights
underestimates the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_seed

Array = NDArray[np.float64]

REGIONS = ("north", "east", "south", "west")


@dataclass(frozen=True)
class SurveyTruth:
    """The population that a survey was drawn from.

    Attributes
    ----------
    intercept, slope
        Fixed effects.
    sd_school, sd_slope, sigma
        Standard deviations between schools, of the slope of ses between schools, and within schools.
    """

    intercept: float = 500.0
    slope: float = 30.0
    sd_school: float = 30.0
    sd_slope: float = 6.0
    sigma: float = 75.0


def simulate_survey(
    seed: int, *, schools: int = 60, pupils: int = 12, informative: float = 1.0, population: int = 20
) -> tuple[pd.DataFrame, SurveyTruth]:
    """Simulate a survey.

    Parameters
    ----------
    seed
        Whole number.
    schools
        Schools drawn, a multiple of four.
    pupils
        Pupils drawn in a school.
    informative
        From 0, chances that have nothing to do with scores, to 1.
    population
        Schools in the population for each that is drawn.

    Returns
    -------
    DataFrame
        region (the strata), school, w_school (one over its chance), ses, score, w_pupil (one over the chance of the
        pupil and its school).
    SurveyTruth

    Raises
    ------
    OptionError
        Schools that four regions cannot share.

    Examples
    --------
    >>> import mixedfx as mx
    >>> pupils, truth = mx.datasets.simulate_survey(1)
    >>> list(pupils.columns), pupils["school"].nunique(), truth.slope
    (['region', 'school', 'w_school', 'ses', 'score', 'w_pupil'], 60, 30.0)
    """
    check_seed(seed)
    check_count("schools", schools, 4)
    check_count("pupils", pupils, 4)
    check_count("population", population, 2)
    if schools % len(REGIONS):
        raise OptionError(f"schools={schools} is no multiple of the {len(REGIONS)} regions")
    if not 0.0 <= informative <= 1.0:
        raise OptionError(f"informative={informative!r} is not between 0 and 1")
    rng, truth = np.random.default_rng(seed), SurveyTruth()
    own = schools // len(REGIONS)
    parts: list[tuple[Array, Array, Array]] = []
    names: list[tuple[str, str, float]] = []
    for region in REGIONS:
        a = truth.sd_school * rng.standard_normal(own * population)
        size = np.exp(-informative * a / (2.0 * truth.sd_school) + 0.3 * rng.standard_normal(len(a)))
        chance = _inclusion(size, own)
        for s in _systematic(chance, rng):
            names.append((region, f"{region} {s}", float(1.0 / chance[s])))
            parts.append(_school(float(a[s]), pupils, informative, truth, rng))
    ses, score, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    region, school, w_school = (np.repeat(np.array(column), pupils) for column in zip(*names, strict=True))
    columns = {
        "region": region, "school": school, "w_school": w_school, "ses": ses, "score": score,
        "w_pupil": w_school * weight,
    }  # fmt: skip
    return pd.DataFrame(columns), truth


def _inclusion(size: Array, n: int) -> Array:
    """Inclusion probabilities proportional to size, at most one."""
    chance = n * size / size.sum()
    while (chance > 1.0).any():
        sure = chance >= 1.0
        chance = np.where(sure, 1.0, (n - sure.sum()) * size / size[~sure].sum())
    return chance


def _systematic(chance: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """A systematic sample from a random order."""
    order = rng.permutation(len(chance))
    ends = np.cumsum(chance[order])
    points = rng.random() + np.arange(round(ends[-1]))
    return order[np.searchsorted(ends, np.minimum(points, ends[-1] * (1.0 - 1e-12)))]


def _school(
    a: float, pupils: int, informative: float, truth: SurveyTruth, rng: np.random.Generator
) -> tuple[Array, Array, Array]:  # fmt: skip
    """ses, score and weight within the school of the pupils drawn in it."""
    b = truth.sd_slope * rng.standard_normal()
    low = round(pupils * (0.5 + informative / 4.0))
    while True:
        enrolled = int(rng.integers(5 * pupils, 10 * pupils + 1))
        ses, e = rng.standard_normal(enrolled), truth.sigma * rng.standard_normal(enrolled)
        below, above = np.flatnonzero(e < 0), np.flatnonzero(e >= 0)
        if len(below) >= low and len(above) >= pupils - low:
            break
    drawn = np.concatenate([rng.choice(below, low, replace=False), rng.choice(above, pupils - low, replace=False)])
    weight = np.repeat([len(below) / low, len(above) / (pupils - low)], [low, pupils - low])
    score = truth.intercept + truth.slope * ses + a + b * ses + e
    return ses[drawn], score[drawn], weight
