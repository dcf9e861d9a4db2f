r"""Simulated pupils of 76 schools, a third of them coached: a synthetic stand-in for a study of learning mindsets.

Shape and column names are those of the table that is used to compare methods for heterogeneous effects (10,391 pupils,
76 schools of 14 to 529, 15 ethnicities, selection into coaching by the pupils' own expectations); every number here is
drawn from distributions of our own, and no row or joint distribution of that table is used. Pupil i of school j and
ethnicity k, with w_i coached or not:

    y_i = m(x_i) + a_j + b_k + w_i tau_i + sigma e_i,     tau_i = effect + g_j + h_k,
    a_j ~ N(0, .25^2),  b_k ~ N(0, .15^2),  g_j ~ N(0, sd_school^2),  h_k ~ N(0, sd_ethnicity^2),
    e(x_i) = low + (high - low) Phi(.8 z_i + school_selection q_j),

z the standardised expectation of success, q_j ~ N(0, 1), and m smooth with an interaction of expectation and school.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.datasets.simulated import categorical, level_names
from mixedfx.errors import DataError, OptionError, check_count, check_seed

Array = NDArray[np.float64]

SCHOOLS, SMALLEST, LARGEST, MEDIAN = 76, 14, 529, 111
EXPECTATIONS = np.array([0.01, 0.02, 0.05, 0.12, 0.35, 0.35, 0.10])  # of 1 to 7
ETHNICITIES = np.array([0.45, 0.14, 0.10, 0.07, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.015, 0.015, 0.01, 0.005, 0.005])
MOST = 36_000  # pupils that so many schools of such sizes hold
URBANICITIES = np.array([0.1, 0.2, 0.2, 0.15, 0.35])
SCHOOL_NUMBERS = ("school_mindset", "school_achievement", "school_ethnic_minority", "school_poverty", "school_size")


@dataclass(frozen=True, eq=False)
class MindsetTruth:
    """What made a data set of `simulate_mindset`.

    Attributes
    ----------
    tau
        (n,) effect of being coached on each pupil.
    mu0
        (n,) expected score without.
    propensity
        (n,) probability of being coached.
    school, ethnicity
        Deviations g and h of each level from the mean effect.
    effect
        The mean effect over the population of schools and ethnicities.
    frame
        Rows that `average` groups by.
    """

    tau: Array
    mu0: Array
    propensity: Array
    school: pd.Series
    ethnicity: pd.Series
    effect: float
    frame: pd.DataFrame

    def average(self, by: str | Sequence[str]) -> pd.Series:
        """True average effect on the pupils of each group.

        Parameters
        ----------
        by
            One or more columns.

        Examples
        --------
        >>> from mixedfx.datasets.mindset import simulate_mindset
        >>> _, truth = simulate_mindset(1)
        >>> truth.average("schoolid").head(2).round(2).to_dict()
        {'s01': 0.25, 's02': 0.63}
        """
        keys = [by] if isinstance(by, str) else list(by)
        groups = [self.frame[key] for key in keys]
        return cast(pd.Series, pd.Series(self.tau, self.frame.index).groupby(groups, observed=True).mean())


def simulate_mindset(
    seed: int | np.random.Generator = 0,
    *,
    n: int = 10_391,
    effect: float = 0.36,
    sd_school: float = 0.16,
    sd_ethnicity: float = 0.08,
    propensities: tuple[float, float] = (0.25, 0.4),
    school_selection: float = 0.3,
    sigma: float = 0.8,
) -> tuple[pd.DataFrame, MindsetTruth]:
    """Simulate pupils of whom some are coached, with the effect on every one of them.

    Parameters
    ----------
    seed
        Seed, or a generator to draw from.
    n
        Pupils; at least 40 for each of the 76 schools on average, so 3,040, and at most 36,000.
    effect
        Mean effect, in standard deviations of the score.
    sd_school, sd_ethnicity
        Standard deviations of the effect between schools and between ethnicities.
    propensities
        Lowest and highest probability of being coached.
    school_selection
        How much schools differ in whom they coach, relative to what pupils' expectations do.
    sigma
        Residual standard deviation.

    Returns
    -------
    DataFrame
        schoolid (category), intervention (0/1), achievement_score, success_expect (1 to 7), ethnicity, gender,
        frst_in_family, school_urbanicity (categories), and five numbers of the school.
    MindsetTruth
        Effects, propensities and expected scores of all rows.

    Raises
    ------
    DataError
        Too few pupils, a negative standard deviation, propensities out of order or not within (0, 1).
    OptionError
        A seed or a number of pupils that is no whole number, or more pupils than the schools hold.

    Examples
    --------
    >>> import mixedfx as mx
    >>> data, truth = mx.datasets.simulate_mindset(1)
    >>> data.shape, data["schoolid"].nunique(), round(float(data["intervention"].mean()), 2)
    ((10391, 13), 76, 0.33)
    >>> round(float(truth.tau.mean()), 2)
    0.43
    """
    try:
        low, high = map(float, propensities)
    except (TypeError, ValueError):
        raise DataError(f"propensities={propensities!r} are no range", hint="Give two: (0.25, 0.4).") from None
    if not isinstance(seed, np.random.Generator):
        check_seed(seed)
    check_count("n", n)
    if n > MOST:
        raise OptionError(f"n={n} pupils are more than the schools hold", hint=f"Use n={MOST:,} or fewer.")
    if n < 40 * SCHOOLS:
        raise DataError(
            f"{n} pupils were asked for", hint=f"Give n >= {40 * SCHOOLS}: 40 for each of {SCHOOLS} schools."
        )
    if min(sd_school, sd_ethnicity, school_selection) < 0 or not sigma > 0:
        raise DataError("standard deviations cannot be negative", hint="Give numbers >= 0, and sigma > 0.")
    if not 0 < low <= high < 1:
        raise DataError(f"propensities={propensities} are no range of probabilities", hint="Give 0 < low <= high < 1.")
    rng = np.random.default_rng(seed)
    schools, kinds = level_names("s", SCHOOLS), level_names("e", len(ETHNICITIES))
    school = rng.permutation(np.repeat(np.arange(SCHOOLS), _sizes(n, rng)))
    ethnicity = _each_at_least_once(rng.choice(len(kinds), n, p=ETHNICITIES), len(kinds))
    expect = rng.choice(7, n, p=EXPECTATIONS / EXPECTATIONS.sum()) + 1
    gender, first = rng.integers(2, size=n), (rng.random(n) < 0.6).astype(int)
    urbanicity = rng.choice(len(URBANICITIES), SCHOOLS, p=URBANICITIES)
    numbers = rng.standard_normal((SCHOOLS, len(SCHOOL_NUMBERS)))

    z = (expect - 5.2) / 1.2
    share = _normal_cdf(0.8 * z + school_selection * rng.standard_normal(SCHOOLS)[school])
    propensity = low + (high - low) * share
    treated = (rng.random(n) < propensity).astype(int)
    g, h = sd_school * rng.standard_normal(SCHOOLS), sd_ethnicity * rng.standard_normal(len(kinds))
    tau = effect + g[school] + h[ethnicity]
    a, b = 0.25 * rng.standard_normal(SCHOOLS), 0.15 * rng.standard_normal(len(kinds))
    own = numbers[school]
    mu0 = (
        -0.2 + 0.25 * z + 0.06 * z**2 + 0.1 * gender - 0.12 * first
        + 0.2 * own[:, 1] - 0.1 * own[:, 3] + 0.08 * z * own[:, 0] + a[school] + b[ethnicity]
    )  # fmt: skip
    frame = pd.DataFrame(
        {
            "schoolid": categorical(school, schools),
            "intervention": treated,
            "achievement_score": mu0 + treated * tau + sigma * rng.standard_normal(n),
            "success_expect": expect,
            "ethnicity": categorical(ethnicity, kinds),
            "gender": categorical(gender, ("g1", "g2")),
            "frst_in_family": categorical(first, ("no", "yes")),
            "school_urbanicity": categorical(urbanicity[school], level_names("u", len(URBANICITIES))),
            **dict(zip(SCHOOL_NUMBERS, own.T, strict=True)),
        }
    )
    truth = MindsetTruth(
        tau, mu0, propensity, pd.Series(g, schools, name="effect"), pd.Series(h, kinds, name="effect"), effect, frame
    )
    return frame, truth


def _sizes(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pupils of each school, n in all: log-normal around the median, between the two ends."""
    sizes = np.sort(np.clip(MEDIAN * np.exp(0.75 * rng.standard_normal(SCHOOLS)), SMALLEST, LARGEST))
    sizes[0], sizes[-1] = SMALLEST, LARGEST
    inner = sizes[1:-1]
    for _ in range(50):  # clipping takes away what scaling gave
        inner = np.clip(inner * (n - SMALLEST - LARGEST) / inner.sum(), SMALLEST, LARGEST)
    whole = np.floor(inner).astype(np.int64)
    missing = n - SMALLEST - LARGEST - whole.sum()
    order = np.argsort((whole >= LARGEST) * 2.0 - (inner - whole))
    whole[order[np.arange(missing) % len(whole)]] += 1
    return rng.permutation(np.concatenate([[SMALLEST], whole, [LARGEST]]))


def _each_at_least_once(codes: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """The same codes, the first rows of which are given to levels that none has."""
    absent = np.setdiff1d(np.arange(levels), codes)
    codes[: len(absent)] = absent
    return codes


def _normal_cdf(x: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))
