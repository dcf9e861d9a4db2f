"""Modules that are imported when something is first asked of them, so that a first fit does not wait for the rest."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module until one of its names is wanted."""

    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name), name)


def lazy(package: str, *names: str) -> tuple[Any, ...]:
    """Modules of a package, not yet imported.

    For a class whose methods are one line each and ask a module each; beside it stands the ordinary import for readers
    and type checkers, under ``if TYPE_CHECKING``.

    Examples
    --------
    >>> from mixedfx.lazy import lazy
    >>> (profiling,) = lazy("mixedfx.reml", "profiling")
    >>> profiling.profile.__name__
    'profile'
    """
    return tuple(LazyModule(f"{package}.{name}") for name in names)
