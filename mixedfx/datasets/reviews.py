r"""A simulated review of trials: effect sizes in studies, moderators in five blocks, and the truth behind them.

It has the shape of a large review of mathematics interventions: 191 studies with 1,109 effect sizes, 43 moderators
sorted by the MUTOS framework (methods, units, treatments, outcomes, settings), and more variance between effects than
moderators explain. Effect i of study s is

    y_si = mu + f(x_si) + a_s + b_si + e_si,    a_s ~ N(0, tau_s^2),  b_si ~ N(0, tau_e^2),  e_si ~ N(0, v_si),

with f centred and scaled so that its variance is `r2` of Var(f) + tau_s^2 + tau_e^2 = tau^2. The kinds of f are

* ``"thresholds"``: more than 20 weeks; technology, in the first four grades only; a measure that the researchers made,
  where no pretest was like it: steps and interactions that no line follows;
* ``"windows"``: a delay of two to seven weeks, of measures that the researchers made: an interaction with a window, of
  moderators that differ within studies, so that 1,109 effects tell of it and not 191 studies;
* ``"linear"``: weeks, grade, hours and delay, each with the same share;
* ``"none"``: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_option, check_seed

Array = NDArray[np.float64]
Kind = Literal["thresholds", "windows", "linear", "none"]

YES = ("no", "yes")
BLOCKS: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "methods": {
        "design": ("random", "matched", "discontinuity"), "attrition": None, "baseline": YES, "clustered": YES,
        "analysis": ("ancova", "multilevel", "gain"), "size": None, "published": YES, "year": None,
    },
    "units": {
        "grade": None, "minority": None, "low_income": None, "female": None, "learners": None, "disability": None,
        "at_risk": YES, "region": ("north", "south", "west", "many"), "urbanicity": ("city", "suburb", "country"),
    },
    "treatments": {
        "weeks": None, "hours": None, "group_size": None, "technology": YES, "tutoring": YES, "supplemental": YES,
        "training": YES, "coaching": YES, "curriculum": YES, "fidelity": YES, "software": YES,
        "provider": ("teacher", "researcher", "other"),
    },
    "outcomes": {
        "measure": ("standardised", "researcher"), "domain": ("number", "algebra", "geometry", "all"), "delay": None,
        "subscale": YES, "pretest": YES, "repeated": YES,
    },
    "settings": {
        "place": ("public", "private", "clinic"), "stage": ("primary", "middle", "secondary"), "after_school": YES,
        "class_size": None, "school_size": None, "selective": YES, "summer": YES, "funded": YES,
    },
}  # fmt: skip
"""Block -> moderator -> its levels; None where it is a number."""

OF_EFFECTS = frozenset(BLOCKS["outcomes"])  # the others are the same for all effects of a study
ACTIVE: Mapping[str, tuple[str, ...]] = {
    "thresholds": ("weeks", "grade", "technology", "measure", "pretest"),
    "windows": ("delay", "measure"),
    "linear": ("weeks", "grade", "hours", "delay"),
    "none": (),
}
"""Kind of truth -> the moderators that it has."""


@dataclass(frozen=True)
class ReviewTruth:
    """What made the effect sizes.

    Attributes
    ----------
    mean
        (n,) mean true effect of each row, mu + f.
    moderators
        Those that f has.
    r2
        Share of f in the variance of true effects.
    tau2_study, tau2_effect
        Variances between studies, and between effects within them, that no moderator explains.
    """

    mean: Array
    moderators: tuple[str, ...]
    r2: float
    tau2_study: float
    tau2_effect: float


def simulate_review(
    seed: int, kind: Kind = "thresholds", *, r2: float = 0.10, studies: int = 191, effects: int = 1109,
    mu: float = 0.31, tau: float = 0.47,
) -> tuple[pd.DataFrame, ReviewTruth]:  # fmt: skip
    """Simulate a review.

    Parameters
    ----------
    seed
        Whole number.
    kind
        ``"thresholds"``, ``"windows"``, ``"linear"`` or ``"none"``: what the moderators do (see the module).
    r2
        Share of the variance of true effects that they explain.
    studies, effects
        How many; every study has at least one effect.
    mu, tau
        Mean and standard deviation of true effects.

    Returns
    -------
    DataFrame
        study, esid, yi, vi and 43 moderators (`BLOCKS`).
    ReviewTruth

    Examples
    --------
    >>> import mixedfx as mx
    >>> review, truth = mx.datasets.simulate_review(seed=1)
    >>> review.shape, review["study"].nunique(), truth.moderators
    ((1109, 47), 191, ('weeks', 'grade', 'technology', 'measure', 'pretest'))
    """
    check_option("kind", kind, tuple(ACTIVE))
    check_count("studies", studies, 2)
    check_count("effects", effects, studies)
    if not 0.0 <= r2 < 1.0:
        raise OptionError(f"r2={r2!r} is no share", hint="Give a number from 0 to below 1.")
    if not (np.isfinite(mu) and np.isfinite(tau) and tau >= 0.0):
        raise OptionError(f"mu={mu!r} and tau={tau!r} are no mean and standard deviation of effects")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    extra = rng.multinomial(effects - studies, rng.dirichlet(np.full(studies, 0.8)))
    study = np.repeat(np.arange(studies), 1 + extra)
    columns = {name: _moderator(name, levels, study, rng) for part in BLOCKS.values() for name, levels in part.items()}
    frame = pd.DataFrame({"study": study, "esid": np.arange(effects), **columns})
    raw = _SHAPES[kind](frame)
    scale = float(raw.std())
    f = (raw - raw.mean()) * (np.sqrt(r2) * tau / scale if scale > 0.0 else 0.0)
    explained = r2 if scale > 0.0 else 0.0
    tau2_study, tau2_effect = 0.6 * tau**2 * (1.0 - explained), 0.4 * tau**2 * (1.0 - explained)
    size = 20.0 * np.exp(rng.normal(1.0, 0.8, studies))[study]  # per arm
    v = 2.0 / size * (1.0 + mu**2 / 8.0)
    y = mu + f + rng.normal(0.0, np.sqrt(tau2_study), studies)[study] + rng.normal(0.0, np.sqrt(tau2_effect), effects)
    frame.insert(2, "yi", y + rng.normal(0.0, np.sqrt(v)))
    frame.insert(3, "vi", v)
    return frame, ReviewTruth(mu + f, ACTIVE[kind], explained, tau2_study, tau2_effect)


def _moderator(name: str, levels: tuple[str, ...] | None, study: NDArray[np.intp], rng: np.random.Generator) -> object:
    n = len(study) if name in OF_EFFECTS else int(study[-1]) + 1
    if levels is not None:
        found: NDArray[np.generic] = rng.choice(np.array(levels, dtype=object), n, p=_shares(len(levels)))
    else:
        found = _NUMBERS.get(name, _standard)(rng, n)
    return found if name in OF_EFFECTS else found[study]


def _shares(levels: int) -> Array:
    first = {2: (0.6, 0.4), 3: (0.5, 0.3, 0.2), 4: (0.4, 0.25, 0.2, 0.15)}[levels]
    return np.array(first)


def _standard(rng: np.random.Generator, n: int) -> Array:
    return np.round(rng.normal(size=n), 2)


_NUMBERS = {
    "weeks": lambda rng, n: np.clip(np.round(rng.lognormal(2.6, 0.7, n)), 1, 80),
    "grade": lambda rng, n: rng.integers(0, 13, n).astype(np.float64),
    "hours": lambda rng, n: np.round(rng.lognormal(3.0, 0.8, n)),
    "delay": lambda rng, n: np.round(rng.exponential(6.0, n)),
    "year": lambda rng, n: rng.integers(1990, 2019, n).astype(np.float64),
    "minority": lambda rng, n: np.round(rng.beta(1.2, 1.2, n), 2),
    "low_income": lambda rng, n: np.round(rng.beta(1.5, 1.2, n), 2),
    "female": lambda rng, n: np.round(rng.beta(20.0, 20.0, n), 2),
}


def _thresholds(frame: pd.DataFrame) -> Array:
    long = frame["weeks"].to_numpy() > 20
    early = (frame["technology"].to_numpy() == "yes") & (frame["grade"].to_numpy() <= 4)
    own = (frame["measure"].to_numpy() == "researcher") & (frame["pretest"].to_numpy() == "no")
    return sum((part / part.std() for part in (long, early, own)), np.zeros(len(frame)))


def _windows(frame: pd.DataFrame) -> Array:
    delay = frame["delay"].to_numpy()
    return ((delay >= 2) & (delay <= 7) & (frame["measure"].to_numpy() == "researcher")).astype(np.float64)


def _linear(frame: pd.DataFrame) -> Array:
    columns = [frame[name].to_numpy(dtype=np.float64) for name in ACTIVE["linear"]]
    return sum((column / column.std() for column in columns), np.zeros(len(frame)))


_SHAPES = {
    "thresholds": _thresholds, "windows": _windows, "linear": _linear, "none": lambda frame: np.zeros(len(frame)),
}  # fmt: skip
