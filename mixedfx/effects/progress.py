"""One line on a terminal for work that takes longer than a moment; nothing in a file, a notebook or a test."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")

# Seconds before the line appears: shorter work needs none.
PATIENCE = 1.0


def progress(items: Iterable[T], total: int, what: str, stream: TextIO | None = None) -> Iterator[T]:
    """Yield `items`, and show how many of `total` are done.

    Examples
    --------
    >>> from mixedfx.effects.progress import progress
    >>> list(progress("ab", 2, "averaging cells"))
    ['a', 'b']
    """
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield from items
        return
    start, shown = time.monotonic(), False
    for done, item in enumerate(items):
        if shown or time.monotonic() - start > PATIENCE:
            out.write(f"\r{what}: {done / total:.0%}")
            out.flush()
            shown = True
        yield item
    if shown:
        out.write("\r" + " " * (len(what) + 6) + "\r")
        out.flush()
