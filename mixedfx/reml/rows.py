"""The three parts of a row, fixed, random and individual: fitted values, residuals, and new responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import check_option

ResidualKind = Literal["response", "pearson", "scaled", "standardized", "marginal", "marginal_standardized"]
PROJECTED = ("standardized", "marginal", "marginal_standardized")  # kinds that need the joint covariance of the rows


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


def residual_values(
    design: Design, fitted: NDArray[np.float64], sigma: float, kind: ResidualKind
) -> NDArray[np.float64]:
    """(n,) y minus fitted; ``"pearson"`` times the root of the precision; ``"scaled"`` divided by sigma too."""
    check_option("kind", kind, ("response", "pearson", "scaled", *PROJECTED))
    out = design.y - fitted
    if kind != "response":
        out = design.precision.whiten(out)
    return out / sigma if kind == "scaled" else out


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


def simulate_responses(
    design: Design,
    beta: NDArray[np.float64],
    u: NDArray[np.float64],
    sigma: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(draws, n) responses X beta + offset + Z u + e, one for each row of u (draws, q); var(e) = sigma^2 V."""
    mean = fitted_values(design, beta, u)
    return mean + sigma * design.precision.color(rng.standard_normal(mean.shape).T).T
