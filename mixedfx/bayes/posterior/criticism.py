"""How well a fit predicts what it has seen: pointwise log likelihood, leave-one-out cross-validation, WAIC, ArviZ.

The pointwise log likelihood is that of a row given its groups' effects: it asks how well new rows of the same groups
are predicted. Leaving whole groups out is in logo.py. ArviZ is imported when it is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.posterior.estimate import blocks
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.prediction import simulated
from mixedfx.bayes.posterior.responses import together
from mixedfx.bayes.posterior.rows import rows_for
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import MissingPackageError, ParetoKWarning
from mixedfx.results import tables

Array = NDArray[np.float64]

KINDS: dict[str, type] = {"diverging": bool, "tree_depth": int, "n_steps": int}  # of transitions that are no reals


def arviz() -> Any:
    """The package ArviZ.

    Raises
    ------
    MissingPackageError
        Where it is not installed or cannot be imported, with the line that mends it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces its next release
            import arviz
    except ModuleNotFoundError as error:
        if error.name != "arviz":
            raise MissingPackageError(
                f"ArviZ is installed and cannot be imported: {error}", hint="pip install 'mixedfx[bayes]'"
            ) from error
        raise MissingPackageError("ArviZ is not installed", hint="pip install 'mixedfx[bayes]'") from error
    except Exception as error:  # it imports arviz-plots where that is installed, and that parts of matplotlib
        raise MissingPackageError(
            f"ArviZ is installed and cannot be imported: {type(error).__name__}: {error}",
            hint="If arviz_plots stands in the traceback, it does not go with this matplotlib: pip uninstall "
            "arviz-plots, or install the two in versions that do.",
        ) from error
    return arviz


def from_groups(az: Any, groups: Mapping[str, Any], coords: Mapping[str, Any], dims: Mapping[str, Any]) -> Any:
    """ArviZ's object of groups of variables: InferenceData, or from 1.0 on a DataTree of xarray."""
    if int(az.__version__.split(".")[0]) >= 1:
        return az.from_dict(dict(groups), coords=dict(coords), dims=dict(dims))
    return az.from_dict(coords=coords, dims=dims, **groups)


def pointwise_log_likelihood(posterior: Posterior) -> Array:
    """(D, n) log density of each row given each draw of all parameters."""
    check_memory(posterior.n_draws, 2 * len(posterior.design.y))
    y, facts, parameters = posterior.design.y, row_facts(posterior.design), posterior.joint.family_parameters()
    found = (
        (at, posterior.family.log_density(y[at], eta, parameters, facts.take(at)))
        for at, eta in blocks(rows_for(posterior.design), posterior.joint, posterior.seed)
    )
    return together(found, posterior.n_draws, len(posterior.design.y), ())


def to_arviz(posterior: Posterior, log_likelihood: bool = True, posterior_predictive: bool = False) -> Any:
    """Draws as ArviZ has them.

    Parameters
    ----------
    posterior
        The draws.
    log_likelihood
        Whether to add the pointwise log likelihood, draws times rows numbers.
    posterior_predictive
        Whether to add one simulated response for each draw.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The second from ArviZ 1.0 on. posterior: ``beta`` (coefficient); ``sigma``, ``nu``, ``shape``, ``phi`` as the
        family has them; ``threshold`` (threshold) of an ordinal response; for each random term ``sd_<group>`` (column),
        ``cor_<group>`` (column, column) and ``u_<group>`` (level, column). Dimensions are labelled. For a categorical
        response the variables of a category end in ``_<category>``; responses are then codes. So do those of the two
        parts of counts with a model of their zeros. sample_stats, for draws
        by NUTS of a Stan engine: ``diverging``, ``energy``, ``lp``, ``tree_depth``, ``n_steps``, ``acceptance_rate``.

    Raises
    ------
    MissingPackageError
        If ArviZ is not installed.
    """
    az = arviz()
    design, chains = posterior.design, posterior.chains
    variables: dict[str, Array] = {}
    dims: dict[str, list[str]] = {}
    coords: dict[str, Any] = {"row": list(design.frame.index)}

    def add(name: str, values: Array, *along: str) -> None:
        variables[name] = values.reshape(chains, -1, *values.shape[1:])
        if along:
            dims[name] = list(along)

    for predictor, own in zip(posterior.joint.predictors, posterior.designs, strict=True):
        end = "" if predictor.category is None else f"_{predictor.category}"
        part = end if design.zero is not None else ""  # parts have coordinates of their own
        coords |= {f"coefficient{part}": list(own.fixed_names)}
        add(f"beta{end}", predictor.beta, f"coefficient{part}")
        for t, (name, term) in enumerate(zip(tables.term_names(own.random), own.random, strict=True)):
            column, level = f"{name}_column{part}", f"{name}_level{part}"
            coords |= {column: list(term.columns), level: list(term.levels)}
            add(f"sd_{name}{end}", predictor.sd(t), column)
            if any(component.kind == "cor" for component in term.covariance.components):
                coords[f"{column}_2"] = list(term.columns)
                add(f"cor_{name}{end}", predictor.correlation(t), column, f"{column}_2")
            start, stop = own.starts[t : t + 2]
            add(f"u_{name}{end}", predictor.u[:, start:stop].reshape(-1, term.n_levels, term.n_columns), level, column)
    for name, values in posterior.joint.auxiliary.items():
        add(name, values)
    if posterior.joint.thresholds is not None:
        coords["threshold_number"] = [str(k + 1) for k in range(posterior.joint.thresholds.shape[1])]
        add("threshold", posterior.joint.thresholds, "threshold_number")
    dims[design.response_name] = ["row"]
    groups: dict[str, Any] = {"observed_data": {design.response_name: design.y}}
    if posterior.transitions is not None:
        groups["sample_stats"] = {
            name: values.reshape(chains, -1).astype(KINDS.get(name, float))
            for name, values in posterior.transitions.items()
        }
    if log_likelihood:
        values = pointwise_log_likelihood(posterior)
        groups["log_likelihood"] = {design.response_name: values.reshape(chains, -1, len(posterior.design.y))}
    if posterior_predictive:
        values = simulated(posterior, None, posterior.seed)
        groups["posterior_predictive"] = {design.response_name: values.reshape(chains, -1, len(posterior.design.y))}
    return from_groups(az, {"posterior": variables} | groups, coords, dims)


def psis(posterior: Posterior, log_likelihood: Array, labels: list[Any], along: str, hint: str) -> Any:
    """ArviZ's PSIS cross-validation of (D, m) log likelihoods, with our warning where k-hat is too large.

    Where the log likelihood is the same in every draw, as of a row without trials, all importance ratios are alike:
    there is no tail to fit, ArviZ's k-hat is infinite, and leaving the row out changes nothing. Its k-hat is 0 here.
    """
    az = arviz()
    name, chains = posterior.design.response_name, posterior.chains
    groups = {
        "posterior": {"lp": np.zeros((chains, len(log_likelihood) // chains))},
        "log_likelihood": {name: log_likelihood.reshape(chains, -1, log_likelihood.shape[1])},
    }
    data = from_groups(az, groups, {along: labels}, {name: [along]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says below the same in words that name the way out
        found = az.loo(data, pointwise=True, reff=_relative_efficiency(posterior))
    size = np.abs(log_likelihood).max(axis=0)
    silent = np.ptp(log_likelihood, axis=0) <= 1e-12 * np.where(np.isfinite(size), size, 0.0)
    found.pareto_k.values[silent] = 0.0
    bad = int(np.sum(~(np.asarray(found.pareto_k) <= found.good_k)))
    found.warning = bad > 0
    if bad:
        warnings.warn(
            f"k-hat is above {found.good_k:.2f} for {bad} of {len(labels)} {along}s (largest "
            f"{float(found.pareto_k.max()):.2f}): without them the posterior is another, and importance sampling does "
            f"not reach it. {hint}",
            ParetoKWarning,
            4,
        )
    return found


def _relative_efficiency(posterior: Posterior) -> float:
    """Effective draws over draws: 1 for independent ones."""
    ess = posterior.sampling.ess
    return 1.0 if posterior.sampling.independent or np.isnan(ess) else float(np.clip(ess / posterior.n_draws, 0.01, 1))


def loo(posterior: Posterior) -> Any:
    """ArviZ's PSIS-LOO of a fit, pointwise."""
    rows = [int(i) for i in posterior.design.frame.index]
    return psis(
        posterior,
        pointwise_log_likelihood(posterior),
        rows,
        "row",
        "Look at these rows (found.pareto_k), or refit without them.",
    )


def waic(posterior: Posterior) -> Any:
    """ArviZ's WAIC of a fit.

    Raises
    ------
    MissingPackageError
        ArviZ from 1.0 on, which has none any more.
    """
    az = arviz()
    if not hasattr(az, "waic"):
        raise MissingPackageError(
            f"ArviZ {az.__version__} has no WAIC",
            hint="fit.loo() estimates the same and says of which rows it can be trusted; or pip install 'arviz<1'.",
        )
    return az.waic(to_arviz(posterior))
