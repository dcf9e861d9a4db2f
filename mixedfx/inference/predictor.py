"""Linear predictors of the rows of a design, fixed and random part, and random effects drawn from their population."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design


def random_part(design: Design, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Z u without forming Z.

    Parameters
    ----------
    design
        The design, n rows.
    u
        (q,) or (draws, q) random effects, ordered as `Design` orders them.

    Returns
    -------
    ndarray
        (n,) or (draws, n).
    """
    out = np.zeros((*u.shape[:-1], len(design.y)))
    for t, term in enumerate(design.random):
        start, stop = design.starts[t : t + 2]
        effects = u[..., start:stop].reshape(*u.shape[:-1], term.n_levels, term.n_columns)
        for c in range(term.n_columns):
            out += effects[..., term.codes, c] * term.z[:, c]
    return out


def fitted_values(design: Design, beta: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) or (draws, n) X beta + offset + Z u, for u (q,) or (draws, q)."""
    return design.X @ beta + design.offset + random_part(design, u)


def draw_effects(
    design: Design, factors: Sequence[NDArray[np.float64]], sigma: float, n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(n, q) random effects from their population: each level of a term is N(0, sigma^2 T T').

    Levels are independent, or have the correlations that are known of them.
    """
    parts = [
        term.related(rng.standard_normal((n, term.n_levels, term.n_columns)) @ (sigma * factor).T).reshape(n, -1)
        for term, factor in zip(design.random, factors, strict=True)
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((n, 0))
