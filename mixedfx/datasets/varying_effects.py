"""Simulated data for the ladder of models with ever more varying treatment effects.

A treatment z is randomised over people who are described by two demographic factors with few levels (x1, x2) and two
crossed grouping factors with many (x3, x4: think of schools and regions, or states and occupations). Six rungs, each
containing the one before:

    1  y ~ z                                                     one effect for everybody
    2  y ~ z + x1*z + x2*z                                       it varies with x1 and with x2
    3  y ~ x1*x2*z                                               ... and with their combination
    4  y ~ x1*x2*z + (1 | x3) + (1 | x4)                         the outcome varies over x3 and x4
    5  y ~ x1*x2*z + (1 + z | x3) + (1 + z | x4)                 the effect varies over x3 and x4
    6  y ~ x1*x2*z + (1 + z | x3*x4)                             ... and over their combinations

The last is short for ``(1 + z | x3) + (1 + z | x4) + (1 + z | x3:x4)``, each with a covariance matrix of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.datasets.simulated import Column, Group, Simulated, categorical, draw, level_names
from mixedfx.errors import DataError

T = TypeVar("T")

LADDER: Mapping[int, str] = {
    1: "y ~ z",
    2: "y ~ z + x1*z + x2*z",
    3: "y ~ x1*x2*z",
    4: "y ~ x1*x2*z + (1 | x3) + (1 | x4)",
    5: "y ~ x1*x2*z + (1 + z | x3) + (1 + z | x4)",
    6: "y ~ x1*x2*z + (1 + z | x3*x4)",
}
"""Rung -> formula."""

DEFAULT_SDS: Mapping[str, tuple[float, float]] = {"x3": (0.6, 0.4), "x4": (0.5, 0.3), "x3:x4": (0.3, 0.3)}
"""Grouping factor -> standard deviations of its intercepts and of its slopes on z."""

DEFAULT_CORRELATIONS: Mapping[str, float] = {"x3": 0.4, "x4": -0.3, "x3:x4": 0.0}
"""Grouping factor -> correlation of its intercepts with its slopes."""

# Terms of the fixed part in the order in which formulaic lays out their columns.
_ADDITIVE = ((), ("z",), ("x1",), ("x2",), ("x1", "z"), ("x2", "z"))
_SATURATED = ((), ("x1",), ("x2",), ("z",), ("x1", "x2"), ("x1", "z"), ("x2", "z"), ("x1", "x2", "z"))
_FIXED_TERMS = {1: ((), ("z",)), 2: _ADDITIVE, 3: _SATURATED, 4: _SATURATED, 5: _SATURATED, 6: _SATURATED}
_GROUPS = {4: ("x3", "x4"), 5: ("x3", "x4"), 6: ("x3", "x4", "x3:x4")}


def simulate_varying_effects(
    rung: int,
    *,
    n: int = 1000,
    x1_levels: int = 2,
    x2_levels: int = 2,
    x3_levels: int = 20,
    x4_levels: int = 15,
    beta: Mapping[str, float] | None = None,
    sds: Mapping[str, tuple[float, float]] | None = None,
    correlations: Mapping[str, float] | None = None,
    sigma: float = 1.0,
    seed: int | np.random.Generator = 0,
) -> Simulated:
    """Simulate one rung of the ladder of varying treatment effects.

    Covariates: x1, x2, x3 and x4 are drawn independently and uniformly over their levels; half of the rows, chosen at
    random, are treated. Fixed effects: those given in `beta`; where `beta` is None, the effect of z is drawn from
    N(0.5, 0.3^2) and the others, but for an intercept of 0, from N(0, 0.3^2). Random effects are drawn from the
    population of the rung's own model, for every level (on rung 6 for every combination of x3 and x4, also those
    that no row holds), and are part of the truth.

    Parameters
    ----------
    rung
        1 to 6; see the table above `LADDER`.
    n
        Number of rows.
    x1_levels, x2_levels
        Number of levels of the demographic factors, labelled ``a1, a2, ...`` and ``b1, b2, ...``; the first is the
        reference.
    x3_levels, x4_levels
        Number of levels of the grouping factors, labelled ``g01, g02, ...`` and ``h01, h02, ...``.
    beta
        Coefficient label -> value (``{"z": 0.5, "x1[a2]:z": 0.2}``); labels left out are 0. None draws them.
    sds
        Grouping factor (``"x3"``, ``"x4"``, ``"x3:x4"``) -> standard deviation of intercepts and of slopes; factors
        left out keep `DEFAULT_SDS`. Rung 4 uses the first only.
    correlations
        Grouping factor -> correlation of intercepts and slopes, -1 to 1; factors left out keep
        `DEFAULT_CORRELATIONS`.
    sigma
        Residual standard deviation.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Data with columns y, z (0/1), x1, x2, x3, x4 (categories); the truth; the formula; and the true effects through
        `Simulated.treatment_effects` and `Simulated.subgroup_effects`.

    Raises
    ------
    DataError
        If the rung, a label of `beta` or a grouping factor does not exist, or a standard deviation or a correlation is
        out of range.

    Examples
    --------
    >>> from mixedfx.datasets.varying_effects import simulate_varying_effects
    >>> simulated = simulate_varying_effects(5, n=500, seed=1)
    >>> simulated.formula
    'y ~ x1*x2*z + (1 + z | x3) + (1 + z | x4)'
    >>> simulated.data.shape
    (500, 6)
    >>> list(simulated.truth.u)
    ['x3', 'x4']
    >>> simulated.truth.cov["x3"].round(3).to_numpy().tolist()
    [[0.36, 0.096], [0.096, 0.16]]
    """
    if rung not in LADDER:
        raise DataError(f"the ladder has no rung {rung!r}", hint="Give a rung from 1 to 6.")
    if n < 2:
        raise DataError(f"{n} rows were asked for", hint="Give n >= 2, so that a row is treated and a row is not.")
    levels = {
        "x1": level_names("a", x1_levels),
        "x2": level_names("b", x2_levels),
        "x3": level_names("g", x3_levels),
        "x4": level_names("h", x4_levels),
    }
    sd = _overlay(DEFAULT_SDS, sds, "sds")
    correlation = _overlay(DEFAULT_CORRELATIONS, correlations, "correlations")

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"z": rng.permutation(np.arange(n) % 2)})
    for name, labels in levels.items():
        frame[name] = categorical(rng.integers(len(labels), size=n), labels)

    fixed = tuple(column for term in _FIXED_TERMS[rung] for column in _term_columns(term, levels))
    coefficients = _drawn_beta(fixed, rng) if beta is None else _given_beta(fixed, beta)
    columns = (Column(),) if rung == 4 else (Column(), Column((("z", None),)))
    random = []
    for label in _GROUPS.get(rung, ()):
        factors = tuple(label.split(":"))
        combined = tuple(":".join(combination) for combination in product(*(levels[f] for f in factors)))
        factor = _factor(label, sd[label], correlation[label])[: len(columns), : len(columns)]
        random.append(Group(factors, combined, columns, factor))
    return draw(frame, LADDER[rung], fixed=fixed, beta=coefficients, random=random, sigma=sigma, treatment="z", rng=rng)


def _term_columns(term: tuple[str, ...], levels: Mapping[str, tuple[str, ...]]) -> Iterable[Column]:
    """Treatment-coded columns of one term; the levels of the first factor vary fastest, as in formulaic."""
    choices = [[(name, None)] if name == "z" else [(name, level) for level in levels[name][1:]] for name in term]
    for reverse in product(*choices[::-1]):
        yield Column(tuple(reverse[::-1]))


def _drawn_beta(fixed: tuple[Column, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    center = {"z": 0.5}
    scale = {"Intercept": 0.0}
    standard = rng.standard_normal(len(fixed))
    return np.array(
        [center.get(c.label, 0.0) + scale.get(c.label, 0.3) * e for c, e in zip(fixed, standard, strict=True)]
    )


def _given_beta(fixed: tuple[Column, ...], beta: Mapping[str, float]) -> NDArray[np.float64]:
    labels = [c.label for c in fixed]
    for label in beta:
        if label not in labels:
            raise DataError(f"beta has the label {label!r}, which this rung has not", hint=f"Labels: {labels}.")
    return np.array([float(beta.get(label, 0.0)) for label in labels])


def _overlay(defaults: Mapping[str, T], given: Mapping[str, T] | None, argument: str) -> dict[str, T]:
    for label in given or {}:
        if label not in defaults:
            raise DataError(
                f"{argument} has the grouping factor {label!r}", hint=f"Grouping factors: {list(defaults)}."
            )
    return {**defaults, **(given or {})}


def _factor(label: str, sds: tuple[float, float], correlation: float) -> NDArray[np.float64]:
    """Lower triangle T with T T' the covariance; exact also at correlations of -1 and 1."""
    intercept, slope = sds
    if not (intercept >= 0 and slope >= 0):
        raise DataError(f"the standard deviations of {label} are {sds}", hint="Standard deviations cannot be negative.")
    if not -1 <= correlation <= 1:
        raise DataError(f"the correlation of {label} is {correlation}", hint="Give a correlation from -1 to 1.")
    return np.array([[intercept, 0.0], [slope * correlation, slope * np.sqrt(1 - correlation**2)]])
