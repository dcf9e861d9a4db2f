"""The optional packages that read files, asked for in one place."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mixedfx.errors import MissingPackageError


def package(name: str, what: str) -> Any:
    """Import a module that reads a kind of file.

    Parameters
    ----------
    name
        Of the package.
    what
        What it reads.

    Raises
    ------
    MissingPackageError
        Where it is absent or broken, with the line that installs it.

    Examples
    --------
    >>> from mixedfx.files.packages import package
    >>> package("pyreadstoat", "Stata files")
    Traceback (most recent call last):
    mixedfx.errors.MissingPackageError: Stata files are read by pyreadstoat, which is not installed
    pip install 'mixedfx[files]'
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise _broken(name, what, error) from error
        raise MissingPackageError(
            f"{what} are read by {name}, which is not installed", hint="pip install 'mixedfx[files]'"
        ) from error
    except Exception as error:  # a broken package fails as it pleases
        raise _broken(name, what, error) from error


def _broken(name: str, what: str, error: Exception) -> MissingPackageError:
    said = " ".join(str(error).split())[:200]
    return MissingPackageError(
        f"{what} are read by {name}, which cannot be imported ({said})", hint="pip install --upgrade 'mixedfx[files]'"
    )
