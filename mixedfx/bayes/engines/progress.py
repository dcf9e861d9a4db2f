"""Progress of chains, read from the lines that Stan's samplers print.

Both engines report in Stan's own words, ``Chain [2] Iteration:  300 / 2000 [ 15%]  (Warmup)``: stanli on standard
output, CmdStan in its console files. `mixedfx.progress` shows them, a line for each chain.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import get_ident
from typing import Protocol

from mixedfx.progress import Asked, Progress, is_shown

LINE = re.compile(r"^(?:Chain \[(?P<chain>\d+)\] )*Iteration: +(?P<done>\d+) / +\d+ .*\((?P<phase>Warmup|Sampling)\)")


class ChainReport(Protocol):
    """Called with the chain (from 0), iterations done and the phase."""

    def __call__(self, chain: int, done: int, phase: str) -> None:
        """Show how far a chain has come."""
        ...


def read_line(line: str, chain: int = 0) -> tuple[int, int, str] | None:
    """Chain (from 0), iterations done and phase, from a line of Stan's output; None for any other line.

    `chain` is assumed where the line does not say.

    Examples
    --------
    >>> from mixedfx.bayes.engines.progress import read_line
    >>> read_line("Chain [2] Iteration:  300 / 2000 [ 15%]  (Warmup)")
    (1, 300, 'Warmup')
    >>> read_line("Iteration: 2000 / 2000 [100%]  (Sampling)", chain=3)
    (3, 2000, 'Sampling')
    >>> read_line("Gradient evaluation took 1e-05 seconds") is None
    True
    """
    found = LINE.match(line)
    if found is None:
        return None
    said = found["chain"]
    return (chain if said is None else int(said) - 1), int(found["done"]), found["phase"]


@contextmanager
def chain_lines(chains: int, iterations: int, progress: Asked) -> Iterator[ChainReport | None]:
    """A line of progress for each chain, for as long as the context lasts; None where nobody looks."""
    if not is_shown(progress):
        yield None
        return
    names = [f"chain {chain + 1}" for chain in range(chains)]
    with Progress(progress, names, iterations, "iterations") as lines:

        def report(chain: int, done: int, phase: str) -> None:
            lines(done, note=phase.lower(), line=chain)

        yield report


class LineReader(io.TextIOBase):
    """A text stream that hands lines of progress to `report` and drops every other line.

    Several threads may print to it: each has its own unfinished line.
    """

    def __init__(self, report: ChainReport) -> None:
        self.report = report
        self.unfinished: dict[int, str] = {}

    def writable(self) -> bool:
        """A stream to print to."""
        return True

    def write(self, text: str) -> int:
        """Take text as it comes, a line or a part of one."""
        thread = get_ident()
        *lines, self.unfinished[thread] = (self.unfinished.get(thread, "") + text).split("\n")
        for line in lines:
            seen = read_line(line)
            if seen is not None:
                self.report(*seen)
        return len(text)


@contextmanager
def standard_output_read_by(report: ChainReport | None) -> Iterator[None]:
    """Standard output of this process read for lines of progress; nothing happens where `report` is None.

    Its other lines are dropped: they are the sampler's own summary, which `StanDraws` holds as numbers.
    """
    if report is None:
        yield
        return
    with redirect_stdout(LineReader(report)):
        yield
