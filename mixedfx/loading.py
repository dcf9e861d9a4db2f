"""load: a saved fit of any kind as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mixedfx.archive import FORMAT, read_archive
from mixedfx.errors import DataError

READERS = {
    "posterior": "mixedfx.bayes.posterior.load:read_posterior",
    "lmer": "mixedfx.reml.load:read_lmer",
    "glmer": "mixedfx.glmm.load:read_glmer",
    "glmer_zi": "mixedfx.glmm.load:read_zero_inflated",
    "rma": "mixedfx.meta.univariate.load:read_rma",
    "rma_mv": "mixedfx.meta.multivariate.load:read_rma_mv",
    "robma": "mixedfx.meta.averaging.load:read_robma",
    "lmer_weighted": "mixedfx.surveys.load:read_weighted",
    "glmer_weighted": "mixedfx.surveys.load:read_weighted_glmer",
    "pooled": "mixedfx.pooled_loading:read_pooled",
}
"""Kind of fit, as the head of a file says -> who makes one of (path, head, members)."""


def load(path: str | Path) -> Any:
    """Read a fit that its ``save`` wrote: of `mixedfx.bayes`, `lmer`, `glmer`, `rma`, `rma_mv`, `robma` or `bma`.

    Fits with sampling weights and pooled fits are among them.

    A file is a zip archive of arrays and JSON, which holds no code; nothing in it is run, and sizes, types and
    ranges of what it holds are checked, so that a file from elsewhere may be opened.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    PosteriorFit, LmerFit, GlmerFit, ZeroInflatedFit, RmaFit, RmaMvFit, RobmaFit, WeightedFit or PooledFit
        With the same draws or estimates; predictions and effects are as before. The data of the fit are the rows that
        were used.

    Raises
    ------
    DataError
        A file that is no saved fit, is damaged, or was written by another version of mixedfx in another format.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.load("nowhere.mfx")
    Traceback (most recent call last):
    mixedfx.errors.DataError: there is no file nowhere.mfx
    """
    return read_fit(path, *read_archive(path))


def read_fit(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> Any:
    """The fit that a head and tables hold.

    Raises
    ------
    DataError
        As for `load`.
    """
    kind, version = head.get("kind", "posterior"), head.get("format")
    if not isinstance(version, int):
        raise DataError(f"{path} is no saved fit, or is damaged: it has no format", hint="Save the fit again.")
    if version != FORMAT or not isinstance(kind, str) or kind not in READERS:
        when = "an earlier" if version < FORMAT else "a later"
        raise DataError(
            f"{path} was written by mixedfx {head.get('mixedfx')!s:.20}, in {when} format",
            hint="Read it with that version, or fit and save the model again.",
        )
    module, name = READERS[kind].split(":")
    return getattr(import_module(module), name)(path, head, members)
