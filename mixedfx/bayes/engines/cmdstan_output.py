"""What CmdStan left, as cmdstanpy reads it, in the shapes that all engines share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.engines.base import SamplerStats, Settings

Array = NDArray[np.float64]

# The column with the log density, which each approximation names in its own way.
LOG_DENSITY = {"pathfinder": "lp__", "laplace": "log_p__", "variational": "log_p__"}


def read_output(fit: Any, settings: Settings, keep: Collection[str]) -> tuple[dict[str, Array], SamplerStats]:
    """Variables (chains, draws, *shape) and statistics of the sampler.

    Parameters
    ----------
    fit
        A ``CmdStanMCMC``, ``CmdStanPathfinder``, ``CmdStanLaplace`` or ``CmdStanVB``.
    settings
        With which it was made.
    keep
        Names of variables; those that the output does not have are left out.
    """
    layout = (settings.chains, settings.draws_per_chain)
    names = [name for name in keep if name in fit.metadata.stan_vars]
    # cmdstanpy stacks draws chain by chain.
    variables = {name: _values(fit, name, settings) for name in names}
    arrays = {name: np.ascontiguousarray(value.reshape(*layout, *value.shape[1:])) for name, value in variables.items()}
    if settings.algorithm == "nuts":
        columns = {name: np.asarray(values).T for name, values in fit.method_variables().items()}
        return arrays, SamplerStats.of_columns(columns, settings.max_treedepth)
    lp = _log_density(fit, settings).reshape(layout)
    return arrays, SamplerStats.of_approximation(lp, settings.max_treedepth)


def _values(fit: Any, name: str, settings: Settings) -> Array:
    """All draws of a variable, (chains * draws, *shape)."""
    if settings.algorithm == "variational":
        return np.asarray(fit.stan_variable(name, mean=False), dtype=np.float64)
    return np.asarray(fit.stan_variable(name), dtype=np.float64)


def _log_density(fit: Any, settings: Settings) -> Array:
    """Log density of each draw of an approximation."""
    column = LOG_DENSITY[settings.algorithm]
    if settings.algorithm == "variational":  # the only class without method_variables()
        return fit.variational_sample[:, fit.column_names.index(column)]
    return np.asarray(fit.method_variables()[column], dtype=np.float64)
