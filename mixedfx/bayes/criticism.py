"""What other packages compute from draws: ArviZ's InferenceData, leave-one-out cross-validation, WAIC.

The pointwise log likelihood is that of a row given its groups' effects: it asks how well new rows of the same groups
are predicted. ArviZ is imported when it is asked for.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.engine import check_memory
from mixedfx.errors import MissingPackageError
from mixedfx.results import tables

if TYPE_CHECKING:
    from mixedfx.bayes.fit import PosteriorFit

LOG_2PI = float(np.log(2 * np.pi))


def _arviz() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces its next release
            import arviz
    except ImportError as error:
        raise MissingPackageError("ArviZ is not installed", mend="pip install 'mixedfx[bayes]'") from error
    return arviz


def pointwise_log_likelihood(fit: PosteriorFit) -> NDArray[np.float64]:
    """(D, n) log density of each row given each draw of (beta, u, sigma)."""
    check_memory(fit.n_draws, 2 * fit.nobs)
    rows, sample, design = fit.design_for(), fit.sample, fit.design
    mean = sample.beta @ rows.fixed.T + (rows.random @ sample.u.T).T + rows.offset
    sd = fit.residual_sd().T
    return -0.5 * LOG_2PI - np.log(sd) - 0.5 * ((design.y - mean) / sd) ** 2


def to_arviz(fit: PosteriorFit, log_likelihood: bool = True, posterior_predictive: bool = False) -> Any:
    """Draws as ArviZ's InferenceData.

    Parameters
    ----------
    fit
        The fit.
    log_likelihood
        Whether to add the pointwise log likelihood, draws times rows numbers.
    posterior_predictive
        Whether to add one simulated response for each draw.

    Returns
    -------
    arviz.InferenceData
        posterior: ``beta`` (coefficient); ``sigma``; for each random term ``sd_<group>`` (column), ``cor_<group>``
        (column, column) and ``u_<group>`` (level, column). Dimensions are labelled.

    Raises
    ------
    MissingPackageError
        If ArviZ is not installed.
    """
    az = _arviz()
    design, chains = fit.design, fit.chains

    def layout(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.reshape(chains, -1, *values.shape[1:])

    posterior = {"beta": layout(fit.sample.beta)}
    dims: dict[str, list[str]] = {"beta": ["coefficient"]}
    coords: dict[str, Any] = {"coefficient": list(design.fixed_names)}
    if design.known_sd is None:
        posterior["sigma"] = layout(fit.variances.sigma)
    for t, (name, term) in enumerate(zip(tables.term_names(design.random), design.random, strict=True)):
        column, level = f"{name}_column", f"{name}_level"
        coords |= {column: list(term.columns), level: list(term.levels)}
        posterior[f"sd_{name}"] = layout(fit.variances.sd[t])
        dims[f"sd_{name}"] = [column]
        if term.correlated and term.n_columns > 1:
            L = fit.variances.L[t]
            coords[f"{column}_2"] = list(term.columns)
            posterior[f"cor_{name}"] = layout(L @ L.transpose(0, 2, 1))
            dims[f"cor_{name}"] = [column, f"{column}_2"]
        start, stop = design.starts[t : t + 2]
        u = fit.sample.u[:, start:stop].reshape(-1, term.n_levels, term.n_columns)
        posterior[f"u_{name}"] = layout(u)
        dims[f"u_{name}"] = [level, column]
    groups: dict[str, Any] = {"observed_data": {design.response_name: design.y}}
    dims[design.response_name] = ["row"]
    coords["row"] = list(design.frame.index)
    if log_likelihood:
        groups["log_likelihood"] = {design.response_name: layout(pointwise_log_likelihood(fit))}
    if posterior_predictive:
        groups["posterior_predictive"] = {design.response_name: layout(fit.simulate(seed=fit.seed).to_numpy().T)}
    return az.from_dict(posterior=posterior, coords=coords, dims=dims, **groups)


def loo(fit: PosteriorFit) -> Any:
    """ArviZ's PSIS-LOO of a fit."""
    return _arviz().loo(to_arviz(fit))


def waic(fit: PosteriorFit) -> Any:
    """ArviZ's WAIC of a fit."""
    return _arviz().waic(to_arviz(fit))
