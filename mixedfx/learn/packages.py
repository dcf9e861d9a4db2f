"""The optional packages of this layer, asked for in one place."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mixedfx.errors import MissingPackageError


def package(name: str) -> Any:
    """Import a module of an optional package.

    Raises
    ------
    MissingPackageError
        With the line that installs it.

    Examples
    --------
    >>> from mixedfx.learn.packages import package
    >>> package("sklearn.base").is_regressor.__name__
    'is_regressor'
    """
    try:
        return import_module(name)
    except ImportError as error:
        root = {"sklearn": "scikit-learn"}.get(name.partition(".")[0], name.partition(".")[0])
        raise MissingPackageError(f"{root} is not installed", hint="pip install 'mixedfx[learn]'") from error
