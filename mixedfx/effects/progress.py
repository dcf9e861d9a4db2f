"""One line on a terminal for work that takes longer than a moment; nothing in a file, a notebook or a test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")

# Seconds before the line appears: shorter work needs none.
PATIENCE = 1.0


def progress(
    items: Iterable[T],
    total: float,
    what: str,
    stream: TextIO | None = None,
    size: Callable[[T], float] = lambda _: 1.0,
) -> Iterator[T]:
    """Yield `items`, and show what share of `total` is done; an item is `size` of it.

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
    done = 0.0
    for item in items:
        if shown or time.monotonic() - start > PATIENCE:
            out.write(f"\r{what}: {done / total:.0%}")
            out.flush()
            shown = True
        done += size(item)
        yield item
    if shown:
        out.write("\r" + " " * (len(what) + 6) + "\r")
        out.flush()
