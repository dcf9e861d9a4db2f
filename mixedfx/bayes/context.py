"""What the priors need to know of a design: scales of the response, of the predictors, of the varying effects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.pls.collapsed import CoefficientPrior
from mixedfx.priors.distributions import Flat, StudentT
from mixedfx.priors.resolve import ResolvedPriors, Scales, TermScales
from mixedfx.results.tables import term_names


def scales_of(design: Design) -> Scales:
    """Scales of a design, rows unweighted; the response less its offset."""
    sd = _sd(design.X)
    terms = tuple(
        TermScales(name, term.columns, tuple(_sd(term.z)), term.correlated)
        for name, term in zip(term_names(design.random), design.random, strict=True)
    )
    return Scales(
        design.y - design.offset, design.fixed_names, design.X.mean(axis=0), sd, terms, design.known_sd is not None
    )


def _sd(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of columns, 1 for constant ones."""
    sd = columns.std(axis=0, ddof=1) if len(columns) > 1 else np.zeros(columns.shape[1])
    return np.where(sd > 1e-12 * np.abs(columns).max(axis=0, initial=1.0), sd, 1.0)


def coefficient_prior(design: Design, priors: ResolvedPriors) -> tuple[CoefficientPrior, NDArray[np.float64]]:
    """Normal priors of combinations of beta, and for each the degrees of freedom of its t (infinite: normal).

    The intercept's prior is that of intercept + centring' beta; flat priors have no row.
    """
    p = len(design.fixed_names)
    rows, loc, scale, df = [], [], [], []
    for j, (name, prior) in enumerate(zip(design.fixed_names, priors.coefficients, strict=True)):
        if isinstance(prior, Flat):
            continue
        row = np.zeros(p)
        if name == "Intercept":
            row += priors.centring
        row[j] = 1.0
        rows.append(row)
        loc.append(prior.loc)
        scale.append(prior.scale)
        df.append(prior.df if isinstance(prior, StudentT) else np.inf)
    return CoefficientPrior(
        np.array(rows, dtype=np.float64).reshape(len(rows), p), np.array(loc), np.array(scale)
    ), np.array(df)
