"""One case for every family and link: parameters at which its density is neither flat nor degenerate."""

from dataclasses import dataclass

import numpy as np
import pytest

from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Family
from mixedfx.families.registry import FAMILIES, family

AUX = {
    "sigma": [0.7, 0.4],
    "nu": [9.0, 14.0],
    "shape": [3.5, 6.0],
    "phi": [5.0, 9.0],
    "dispersion": [1.5, 0.4],
    "power": [1.4, 1.7],
}
ETA = {"inverse": [[0.4, 0.9, 1.6], [0.5, 0.7, 1.1]], "sqrt": [[1.3, 0.8, 2.2], [1.0, 1.9, 0.6]]}
POSITIVE_MEAN = [[1.2, 0.6, 3.0], [2.0, 1.5, 0.9]]
REAL = [[-0.8, 0.3, 1.1], [0.5, -0.2, 0.9]]


@dataclass(frozen=True)
class Case:
    """A family with two draws of its parameters for three rows."""

    family: Family
    eta: np.ndarray
    aux: dict
    facts: RowFacts = NO_FACTS


def case(name: str, link: str) -> Case:
    found = family(name, link)
    positive = link == "identity" and found.outcome in ("positive", "count") and name != "lognormal"
    eta = np.array(ETA.get(link, POSITIVE_MEAN if positive else REAL))
    aux = {key: np.array(AUX[key]) for key in found.auxiliary}
    if name == "cumulative":
        aux["threshold"] = np.array([[-1.0, 0.2, 1.4], [-0.6, 0.0, 0.5]])
    if name == "categorical":
        eta = np.stack([eta, -0.5 * eta, 0.3 + eta], axis=2)
    return Case(found, eta, aux, RowFacts(np.array([7.0, 3.0, 12.0])) if found.outcome == "trials" else NO_FACTS)


CASES = {f"{name}-{link}": case(name, link) for name, known in FAMILIES.items() for link in known.links}


@pytest.fixture(params=CASES)
def each(request) -> Case:
    """Every family with every link."""
    return CASES[request.param]
