"""A progress bar with one line a chain, fed by the lines that Stan's samplers print.

Both engines report in Stan's own words, ``Chain [2] Iteration:  300 / 2000 [ 15%]  (Warmup)``: stanli on standard
output, CmdStan in its console files. Progress goes to standard error, where it cannot spoil what is piped, and is off
where that is no terminal, unless asked for.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import get_ident
from typing import Protocol

LINE = re.compile(r"^(?:Chain \[(?P<chain>\d+)\] )*Iteration: +(?P<done>\d+) / +\d+ .*\((?P<phase>Warmup|Sampling)\)")


class Report(Protocol):
    """Called with the chain (from 0), iterations done and the phase."""

    def __call__(self, chain: int, done: int, phase: str) -> None:
        """Show how far a chain has come."""
        ...


def is_shown(progress: bool | None) -> bool:
    """Whether to show a bar: as asked, by default where standard error is a terminal."""
    return sys.stderr.isatty() if progress is None else progress


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
def chain_bars(chains: int, iterations: int, shown: bool) -> Iterator[Report | None]:
    """Bars for as long as the context lasts; None where they are not shown.

    They are drawn when a line of progress arrives, so that no thread has to draw them and none is left behind.
    """
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[phase]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bars:
        tasks = [bars.add_task(f"chain {chain + 1}", total=iterations, phase="") for chain in range(chains)]

        def report(chain: int, done: int, phase: str) -> None:
            if 0 <= chain < chains:
                bars.update(tasks[chain], completed=done, phase=phase.lower(), refresh=True)

        yield report


class LineReader(io.TextIOBase):
    """A text stream that hands lines of progress to `report` and drops every other line.

    Several threads may print to it: each has its own unfinished line.
    """

    def __init__(self, report: Report) -> None:
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
def standard_output_read_by(report: Report | None) -> Iterator[None]:
    """Standard output of this process read for lines of progress; nothing happens where `report` is None.

    Its other lines are dropped: they are the sampler's own summary, which `StanDraws` holds as numbers.
    """
    if report is None:
        yield
        return
    with redirect_stdout(LineReader(report)):
        yield
