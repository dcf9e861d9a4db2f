"""The optional packages of this layer, asked for in one place."""

from __future__ import annotations

from typing import Any

from mixedfx import optional


def package(name: str) -> Any:
    """Import a module of an optional package.

    Raises
    ------
    MissingPackageError
        Absent, or broken; with the line that installs it.

    Examples
    --------
    >>> from mixedfx.learn.packages import package
    >>> package("sklearn.base").is_regressor.__name__
    'is_regressor'
    """
    distribution = "scikit-learn" if name.partition(".")[0] == "sklearn" else None
    return optional.package(name, "this needs", "learn", distribution)
