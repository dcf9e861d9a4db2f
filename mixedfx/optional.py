"""Packages that are no dependencies of the core: imported where they are needed, and said in one sentence where absent.

A package that is installed and cannot be imported (a library that this system lacks, versions that do not go together)
fails with whatever it pleases; that too is one sentence.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mixedfx.errors import MissingPackageError


def package(module: str, what: str, extra: str, distribution: str | None = None) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module
        Such as ``"sklearn.base"``.
    what
        What needs it, the beginning of a sentence: ``"Excel files need"``.
    extra
        The extra of mixedfx that installs it.
    distribution
        What it is called where it is installed from; the name of the package where None.

    Raises
    ------
    MissingPackageError
        Where it is absent or broken, with the line that installs it.

    Examples
    --------
    >>> from mixedfx.optional import package
    >>> package("pyreadstoat", "Stata files need", "files")
    Traceback (most recent call last):
    mixedfx.errors.MissingPackageError: Stata files need pyreadstoat, which is not installed
    pip install 'mixedfx[files]'
    """
    root = module.partition(".")[0]
    name = distribution or root
    try:
        return import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or root) == root:
            raise MissingPackageError(
                f"{what} {name}, which is not installed", hint=f"pip install 'mixedfx[{extra}]'"
            ) from error
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise MissingPackageError(
            f"{what} {name}, which is installed and cannot be imported ({said})",
            hint=f"pip install --force-reinstall {name}, in a version that goes with the packages it needs.",
        ) from error
