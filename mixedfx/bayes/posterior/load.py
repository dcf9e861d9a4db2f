"""load: a saved posterior as a fit again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.storage import read
from mixedfx.bayes.samplers import SAMPLERS


def load(path: str | Path) -> PosteriorFit:
    """Read a fit that `PosteriorFit.save` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    PosteriorFit
        With the same draws; predictions and effects are as before.

    Raises
    ------
    DataError
        A file that is no saved fit, is damaged, or was written by a later version of mixedfx.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.load("nowhere.mfx")
    Traceback (most recent call last):
    mixedfx.errors.DataError: there is no file nowhere.mfx
    """
    found = read(path, {course.__name__: course for sampler in SAMPLERS.values() for course in sampler.courses})
    return PosteriorFit(**{field.name: getattr(found, field.name) for field in fields(found)})
