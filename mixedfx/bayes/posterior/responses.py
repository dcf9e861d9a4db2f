"""Responses and their means from draws of linear predictors: streams of blocks, summaries, new responses.

Everything that takes draws times rows numbers is done a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.posterior.estimate import blocks
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.rows import Rows, functionals
from mixedfx.errors import OptionError
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.families.two_parts import TwoParts
from mixedfx.inference.original_scale import PredictionKind

Array = NDArray[np.float64]
Scale = Literal["response", "link", "zero", "conditional"]


def stream(
    posterior: Posterior,
    functional: Rows,
    scale: Scale = "response",
    chosen: NDArray[np.intp] | None = None,
    rows: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Draws of the linear predictor or of the mean response of rows, a block at a time; see `PosteriorFit.stream`."""
    parameters = posterior.joint.family_parameters(slice(None) if chosen is None else chosen)
    if rows is None and posterior.categories:
        n = posterior.n_draws if chosen is None else len(chosen)
        rows = max(1, 2**23 // (max(n, 1) * len(posterior.categories)))
    for at, eta in blocks(functional, posterior.joint, posterior.seed, chosen, rows):
        yield at, _blanked(_on(scale, posterior.family, eta, parameters), functional, at)


def _on(scale: Scale, family: Family, eta: Array, parameters: Mapping[str, Array]) -> Array:
    """Linear predictors on the scale that is asked for."""
    if scale == "link":
        return eta
    if scale == "response" or not isinstance(family, TwoParts):
        return family.mean(eta, parameters)
    return family.zero(eta) if scale == "zero" else family.conditional(eta, parameters)


def _blanked(values: Array, functional: Rows, at: slice) -> Array:
    """(D, b, ...) draws of a block of rows, NaN where the data do not determine the row."""
    if all(one.null is None for one in functionals(functional)):
        return values
    lost = ~functional.take(at).estimable
    if lost.any():
        values = np.array(values, dtype=np.float64)
        values[:, lost] = np.nan
    return values


def together(found: Iterator[tuple[slice, Array]], n_draws: int, m: int, last: tuple[int, ...]) -> Array:
    """All blocks of a stream as one (D, m, ...) array; a single block as it is, which spares a copy."""
    out = np.empty((n_draws, 0, *last))
    for at, values in found:
        if values.shape[1] == m:
            return values
        if at.start == 0:
            out = np.empty((n_draws, m, *last))
        out[:, at] = values
    return out


def new_responses(
    posterior: Posterior,
    functional: Rows,
    facts: RowFacts,
    rng: np.random.Generator,
    chosen: NDArray[np.intp] | None = None,
    rows: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Draws of new responses of rows, a block at a time; codes for categories."""
    parameters = posterior.joint.family_parameters(slice(None) if chosen is None else chosen)
    for at, eta in blocks(functional, posterior.joint, posterior.seed, chosen, rows):
        yield at, _blanked(posterior.family.draw(rng, eta, parameters, facts.take(at)), functional, at)


def summaries(found: Iterator[tuple[slice, Array]], m: int, last: tuple[int, ...], level: float) -> dict[str, Array]:
    """Mean, standard deviation (`se`) and equal-tailed interval of each row: (m, ...) arrays."""
    out = {name: np.empty((m, *last)) for name in ("estimate", "se", "lower", "upper")}
    tails = [0.5 - level / 2, 0.5 + level / 2]
    for at, values in found:
        rows = np.ascontiguousarray(np.moveaxis(values, 0, -1))  # the draws of a row side by side: three times as fast
        out["estimate"][at] = rows.mean(axis=-1)
        out["se"][at] = rows.std(axis=-1, ddof=1) if len(values) > 1 else np.nan
        out["lower"][at], out["upper"][at] = np.quantile(rows, tails, axis=-1, overwrite_input=True)
    return out


def predicted(
    found: Iterator[tuple[slice, Array]], m: int, last: tuple[int, ...], index: pd.Index | None, names: tuple[str, ...]
) -> pd.Series | pd.DataFrame:
    """Posterior mean of each row; where there are several columns, one for each."""
    mean = np.empty((m, *last))
    for at, values in found:
        mean[at] = values.mean(axis=0)
    index = pd.RangeIndex(m) if index is None else index
    if not names:
        return pd.Series(mean, index=index, name="predicted")
    return pd.DataFrame(mean, index=index, columns=list(names))


def prediction_table(
    found: dict[str, Array], index: pd.Index | None, names: tuple[str, ...], label: str
) -> pd.DataFrame:
    """One row for each row of the data; or, where there are several columns, for each row and column."""
    m = len(found["estimate"])
    index = pd.RangeIndex(m) if index is None else index
    if not names:
        return pd.DataFrame(found, index=index)
    table = pd.DataFrame({name: values.ravel() for name, values in found.items()}, index=index.repeat(len(names)))
    table.insert(0, label, pd.Categorical(list(names) * m, categories=list(names)))
    return table


def refuse_categories(posterior: Posterior, what: str) -> None:
    """Refuse a question that needs a response that is a number."""
    if posterior.categories:
        raise OptionError(
            f"{what} have no meaning for the categories of a {posterior.family.name} response",
            hint="Use kind='response' for the probability of each category, or fit.simulate().",
        )


def refuse_weights(posterior: Posterior, kind: PredictionKind) -> None:
    """Refuse precision weights where there is no residual variance for them to divide."""
    if kind != "predictive":
        raise OptionError(
            "weights= divide the residual variance, which only new responses have", hint='Use kind="predictive".'
        )
    if not posterior.family.weights or posterior.design.knows_errors:
        what = (
            "se(...), or V=, says what it is"
            if posterior.family.weights
            else f"the {posterior.family.name} family has none"
        )
        raise OptionError(f"weights= divide a residual variance that is estimated, and {what}", hint="Leave them out.")
