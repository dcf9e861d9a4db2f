"""Standard deviations of random effects as functions of the engine's parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

DIFFERENCE = 1e-5


def standard_deviations(problem: Problem, par: Vector) -> Vector:
    """Relative standard deviation of each column of each random term, in the order of the design."""
    T = problem.matrices(par)
    found: dict[int, Vector] = {}
    for group, Tf in zip(problem.factors, T, strict=True):
        natural = group.natural(Tf)
        for block in group.blocks:
            found[block.term] = np.sqrt((natural[block.columns, block.columns] ** 2).sum(axis=-1))
    return np.concatenate([found[t] for t in sorted(found)])


def jacobian(function: Callable[[Vector], Vector], at: Vector) -> Vector:
    """(s, r) derivatives of a function of r numbers, by central differences."""
    steps = DIFFERENCE * np.maximum(1.0, np.abs(at))
    out = np.empty((len(function(at)), len(at)))
    for m, h in enumerate(steps):
        e = np.zeros(len(at))
        e[m] = h
        out[:, m] = (function(at + e) - function(at - e)) / (2.0 * h)
    return out
