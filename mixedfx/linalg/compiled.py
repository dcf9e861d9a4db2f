"""Compilation of the loops that NumPy has no expression for, with the result kept on disk where that is possible.

numba keeps compiled code beside its source, or in the user's cache, and refuses to compile at all where neither can be
written: in a container without a home directory and with a read-only root. There it is compiled for the process alone,
a second or two for the first large fit of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` when it is first called, without the lock of the interpreter.

    Examples
    --------
    >>> from mixedfx.linalg.compiled import compiled
    >>> compiled(lambda x: 2 * x)(21)
    42
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "cannot cache function": no place on disk for it
        return njit(nogil=True)(function)
