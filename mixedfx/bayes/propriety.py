r"""Whether the posterior exists: flat priors on standard deviations, and what the data can hold against them.

Let sd be that of one column of a term with J levels, and r the number of linear combinations of X's columns that vary
only between those levels along that column. For sd -> infinity the integrated likelihood falls off like sd^-(J - r): J
- r contrasts between levels are left to inform it (Hobert & Casella 1996, JASA 91:1461; Gelman 2006 for J = 2). Under
a flat prior on sd the posterior needs J - r >= 2. A proper prior of the coefficients formally adds what r takes away,
but then the posterior exists by the grace of that prior alone, and is refused all the same.

Under a flat prior on sigma the likelihood falls off like sigma^-(n - p), and n - p >= 2 is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design, RandomTerm
from mixedfx.errors import ImproperPosteriorError
from mixedfx.priors.joint import Decov
from mixedfx.priors.location import Flat
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.results.tables import term_names


def check_proper(design: Design, priors: ResolvedPriors) -> None:
    """Refuse a posterior that does not exist.

    Raises
    ------
    ImproperPosteriorError
        Names the parameter and the prior that would do.
    """
    if design.zero is not None and priors.zero is not None:
        check_proper(design.zero, priors.zero)
    n, p = design.X.shape
    if isinstance(priors.sigma, Flat) and n - p < 2:
        raise ImproperPosteriorError(
            f"sigma has a flat prior, and {n} rows leave {n - p} after {p} coefficients: the posterior is improper",
            hint="Give sigma a prior, such as mx.priors.exponential(1, autoscale=True).",
        )
    for name, term, prior in zip(term_names(design.random), design.random, priors.terms, strict=True):
        if isinstance(prior.sd, Decov):
            continue
        sds = [component for component in term.covariance.components if component.kind == "sd"]
        for component, sd in zip(sds, prior.sd, strict=True):
            if not isinstance(sd, Flat):
                continue
            column = component.names(term.columns, term.shared)[0]
            left = sum(term.n_levels - absorbed(design.X, term, c) for c in component.columns)
            if left < 2:
                raise ImproperPosteriorError(
                    f"the sd of {column} over '{name}' has a flat prior, and its {term.n_levels} levels leave "
                    f"{left} contrast{'' if left == 1 else 's'} to inform it: the posterior is improper",
                    hint=f"Give ('sd', {name!r}) a prior, such as mx.priors.half_normal(1, autoscale=True).",
                )


def absorbed(X: NDArray[np.float64], term: RandomTerm, c: int) -> int:
    """Number of independent combinations of the columns of X that lie in the span of one column of a term."""
    z, q = term.z[:, c], term.n_levels
    norm = np.bincount(term.codes, weights=z * z, minlength=q)
    inside = np.empty_like(X)
    for j in range(X.shape[1]):
        sums = np.bincount(term.codes, weights=z * X[:, j], minlength=q)
        inside[:, j] = z * (sums / np.where(norm > 0, norm, 1.0))[term.codes]
    scale = np.linalg.norm(X, axis=0)
    return int(X.shape[1] - np.linalg.matrix_rank((X - inside) / scale, tol=1e-8)) if X.shape[1] else 0
