"""Clusters of estimates that are seen by one of three mechanisms of selection, or by none."""

from collections.abc import Callable

import numpy as np

from mixedfx.errors import DataError
from mixedfx.meta.selection.estimate import SelectionInput, fit_selection
from mixedfx.meta.selection.weights import find_weight_function

CLUSTERS, TAU, RHO, WEIGHT, CUT = 40, 0.3, 0.5, 0.3, 1.959963984540054
Cluster = tuple[np.ndarray, np.ndarray]


def estimates(rng: np.random.Generator, mean: float, sd: np.ndarray, shared: float) -> np.ndarray:
    """Estimates of a cluster of a shared effect."""
    return mean + shared + rng.normal(size=len(sd)) * np.sqrt((1 - RHO) * TAU**2 + sd**2)


def passes(rng: np.random.Generator, z: np.ndarray | float) -> np.ndarray:
    """Whether estimates of z standard errors are seen."""
    return rng.random(np.shape(z)) < np.where(np.asarray(z) >= CUT, 1.0, WEIGHT)


def _drawn(rng: np.random.Generator, mean: float, m: int | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """A cluster of m estimates, one to six where None: estimates, standard errors, shared effect."""
    sd = rng.uniform(0.1, 0.35, rng.integers(1, 7) if m is None else m)
    shared = rng.normal() * np.sqrt(RHO) * TAU
    return estimates(rng, mean, sd, shared), sd, shared


def singly(rng: np.random.Generator, mean: float) -> Cluster:
    """Estimates pass singly; clusters of which none passes are unknown."""
    y, sd, _ = _drawn(rng, mean)
    seen = passes(rng, y / sd)
    return y[seen], sd[seen]


def singly_of_many(rng: np.random.Generator, mean: float) -> Cluster:
    """The same, and M estimates are made with probability proportional to 1 / M, up to 30."""
    shares = 1 / np.arange(1, 31)
    y, sd, _ = _drawn(rng, mean, int(rng.choice(30, p=shares / shares.sum())) + 1)
    seen = passes(rng, y / sd)
    return y[seen], sd[seen]


def replaced(rng: np.random.Generator, mean: float) -> Cluster:
    """Estimates are made anew until they pass, of the same shared effect."""
    y, sd, shared = _drawn(rng, mean)
    left = ~passes(rng, y / sd)
    while left.any():
        y[left] = estimates(rng, mean, sd[left], shared)
        left[left] = ~passes(rng, y[left] / sd[left])
    return y, sd


def together(rng: np.random.Generator, mean: float) -> Cluster:
    """A cluster is seen if all its estimates pass."""
    y, sd, _ = _drawn(rng, mean)
    return (y, sd) if passes(rng, y / sd).all() else (y[:0], sd[:0])


def by_the_best(rng: np.random.Generator, mean: float) -> Cluster:
    """A cluster is seen if its most significant estimate passes."""
    y, sd, _ = _drawn(rng, mean)
    return (y, sd) if passes(rng, float((y / sd).max())) else (y[:0], sd[:0])


def everything(rng: np.random.Generator, mean: float) -> Cluster:
    """All is seen."""
    y, sd, _ = _drawn(rng, mean)
    return y, sd


TRUTHS: dict[str, tuple[float, Callable[[np.random.Generator, float], Cluster]]] = {
    "filtered singly": (0.2, singly),
    "replaced until seen": (0.2, replaced),
    "all or nothing": (0.2, together),
    "best result decides": (0.2, by_the_best),
    "no selection": (0.2, everything),
    "filtered singly, mean 0": (0.0, singly),
    "filtered singly, M made as 1 / M": (0.2, singly_of_many),
}


def simulated(truth: str, seed: int) -> SelectionInput:
    """A data set of 40 clusters that are seen."""
    mean, make = TRUTHS[truth]
    rng = np.random.default_rng([seed, list(TRUTHS).index(truth)])
    clusters: list[Cluster] = []
    while len(clusters) < CLUSTERS:
        found = make(rng, mean)
        if len(found[0]):
            clusters.append(found)
    y, sd = (np.concatenate([c[i] for c in clusters]) for i in (0, 1))
    codes = np.repeat(np.arange(CLUSTERS), [len(c[0]) for c in clusters])
    return SelectionInput(
        y, 0 * y, np.ones((len(y), 1)), sd**2, find_weight_function("stepfun"), (0.025,), codes=codes
    )  # fmt: skip


def fits(given: SelectionInput, mechanisms: tuple[str, ...] = ("conditional", "joint", "best")) -> dict:
    """Mean, its standard error and log likelihood by mechanism, and without selection."""
    from dataclasses import replace

    rows = {}
    for mechanism in mechanisms:
        try:
            fit = fit_selection(replace(given, mechanism=mechanism))
        except DataError:  # no cluster's best estimate is beyond the step, or all are
            rows[mechanism] = (np.nan, np.nan, np.nan)
            continue
        found, none = fit.maximum, fit.unselected
        rows[mechanism] = (found.theta[0], np.sqrt(found.covariance[0, 0]), found.loglik)
        rows["none"] = (none.theta[0], np.sqrt(none.covariance[0, 0]), none.loglik)
    return rows
