"""The priors of the coefficients as normal priors of linear combinations of beta, which integrate out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.pls.collapsed import CoefficientPrior
from mixedfx.priors.joint import Share
from mixedfx.priors.location import Flat
from mixedfx.priors.resolve import ResolvedPriors


def coefficient_prior(design: Design, priors: ResolvedPriors) -> tuple[CoefficientPrior, NDArray[np.float64]]:
    """Normal priors of combinations of beta, and for each the degrees of freedom of its t (infinite: normal).

    The intercept's prior is that of intercept + centring' beta; flat priors have no row.

    Raises
    ------
    OptionError
        For a horseshoe or R2D2 prior, which cannot be integrated out.
    """
    if priors.sparse is not None:
        raise OptionError(
            f"the {priors.sparse.name} prior cannot be integrated out by the exact engine",
            hint='Use engine="stanli", or normal, student_t or cauchy priors.',
        )
    p = len(design.fixed_names)
    rows, loc, scale, df = [], [], [], []
    for j, (name, prior) in enumerate(zip(design.fixed_names, priors.coefficients, strict=True)):
        if isinstance(prior, Flat | Share):
            continue
        row = np.zeros(p)
        if name == "Intercept":
            row += priors.centring
        row[j] = 1.0
        rows.append(row)
        loc.append(prior.loc)
        scale.append(prior.scale)
        df.append(prior.df)
    return CoefficientPrior(
        np.array(rows, dtype=np.float64).reshape(len(rows), p), np.array(loc), np.array(scale)
    ), np.array(df)
