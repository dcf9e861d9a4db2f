"""Estimates from joint draws: fixed and random effects, variances and correlations, chosen draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.collapsed import CollapsedPart
from mixedfx.bayes.posterior.joint import Predictor
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.covariance.components import sds_first
from mixedfx.design.design import RandomTerm
from mixedfx.draws import Draws
from mixedfx.errors import ModelError, OptionError, check_option
from mixedfx.results import tables
from mixedfx.results.protocol import UNCERTAINTIES, Uncertainty

Array = NDArray[np.float64]

POSTERIOR = (
    "Full posterior: the uncertainty of fixed effects, random effects, unseen levels, variances and correlations is "
    "included."
)
PRIOR = "Prior predictive: nothing was learnt from the response; the draws show what the priors say."


def in_words(posterior: Posterior) -> str:
    """What intervals include and what they leave out."""
    return PRIOR if posterior.sampling.method == "prior" else POSTERIOR


def check_uncertainty(uncertainty: Uncertainty) -> None:
    """Refuse to leave a part of the uncertainty out; see `PosteriorFit.with_uncertainty`."""
    check_option("uncertainty", uncertainty, UNCERTAINTIES)
    if uncertainty != "full":
        raise OptionError(
            f"uncertainty={uncertainty!r} is for fits by REML or ML: draws of a posterior hold the variances too",
            hint='Leave it out, or use uncertainty="full".',
        )


def collapsed_part(posterior: Posterior) -> CollapsedPart:
    """What only the collapsed engine has.

    Raises
    ------
    ModelError
        For draws by another.
    """
    if posterior.collapsed is None:
        raise ModelError(
            f"draws by {posterior.sampling.method} have no collapsed density",
            hint="Use fit.draws() or fit.joint, which every engine leaves.",
        )
    return posterior.collapsed


def draws(posterior: Posterior, n: int | None, seed: int | None) -> Draws:
    """All draws in their chains, or n of them chosen at random; see `PosteriorFit.draws`."""
    keys, array = posterior.joint.every(posterior.design)
    if n is None:
        return Draws(keys, array.reshape(posterior.chains, -1, array.shape[1]), in_words(posterior))
    chosen = np.random.default_rng(seed).choice(len(array), n, replace=n > len(array))
    return Draws(keys, array[chosen][None], in_words(posterior))


def coefficients(posterior: Posterior) -> tuple[pd.Index, Array]:
    """Labels and (D, P) draws of the fixed effects of all linear predictors."""
    if len(posterior.joint.predictors) == 1:
        return pd.Index(list(posterior.design.fixed_names)), posterior.joint.predictors[0].beta
    each = zip(posterior.joint.predictors, posterior.designs, strict=True)
    pairs = [(one.category, name) for one, own in each for name in own.fixed_names]
    index = pd.MultiIndex.from_tuples(pairs, names=[posterior.along, "term"])
    return index, np.concatenate([one.beta for one in posterior.joint.predictors], axis=1)


def vcov(posterior: Posterior) -> pd.DataFrame:
    """(p, p) posterior covariance of the fixed effects."""
    index, beta = coefficients(posterior)
    return pd.DataFrame(np.cov(beta, rowvar=False).reshape(len(index), -1), index=index, columns=index)


def ranef_tables(posterior: Posterior, moment: Any) -> dict[str, Any]:
    """A moment, a function of (D, q) draws, of the random effects: grouping factor -> table of levels by effects.

    Of counts with a model of their zeros such a mapping for each part.
    """
    found = [
        tables.ranef_tables(own.random, tables.split_effects(own, moment(one.u)))
        for one, own in zip(posterior.joint.predictors, posterior.designs, strict=True)
    ]
    if len(found) == 1:
        return found[0]
    names = [str(one.category) for one in posterior.joint.predictors]
    if posterior.design.zero is not None:
        return dict(zip(names, found, strict=True))
    return {group: pd.concat([part[group] for part in found], axis=1, keys=names) for group in found[0]}


def sigma(posterior: Posterior) -> float:
    """Posterior mean of sigma; see `PosteriorFit.sigma`."""
    if posterior.design.knows_errors:
        return 1.0
    return float(posterior.joint.auxiliary["sigma"].mean()) if "sigma" in posterior.joint.auxiliary else float("nan")


def varcorr(posterior: Posterior) -> pd.DataFrame:
    """Variances and covariances; see `PosteriorFit.varcorr`."""
    parts = []
    for predictor, own in zip(posterior.joint.predictors, posterior.designs, strict=True):
        covariances = [predictor.covariance(t).mean(axis=0) for t in range(len(own.random))]
        table = tables.varcorr_table(own.random, [_factor(c) for c in covariances], None)
        sdcor = [_mean_sdcor(predictor, t, term) for t, term in enumerate(own.random)]
        table["sdcor"] = np.concatenate(sdcor) if sdcor else table["sdcor"]
        if predictor.category is not None:
            table.insert(0, posterior.along, predictor.category)
        parts.append(table)
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    if posterior.family.normal and not posterior.design.knows_errors:
        sigma = posterior.joint.auxiliary["sigma"]
        table.loc[len(table)] = ["Residual", None, None, float(np.mean(sigma**2)), float(sigma.mean())]
    return table


def _factor(covariance: Array) -> Array:
    """A lower factor; of a covariance of rank less than full too."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        root = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)[1]
        return np.asarray(root.T, dtype=np.float64)


def _mean_sdcor(predictor: Predictor, t: int, term: RandomTerm) -> Array:
    """Posterior means of the sds of a term, then of its correlations, in the order of `varcorr_table`."""
    components = sds_first(term.covariance.components)
    return np.array([float(np.nanmean(c.value(predictor.factors[t]))) for c in components], dtype=np.float64)
