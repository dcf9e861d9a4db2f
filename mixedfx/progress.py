"""How far long work has come: one protocol for samplers, refits and averages, wherever somebody looks.

Whatever loops long opens a `Progress` with what the user said as ``progress=`` and tells it how much is done. A
terminal shows a bar on standard error, a notebook a display that is updated in place; both go away at the end. Nothing
is shown where nobody can see it, and nothing before a second has gone by, unless it was asked for. A function as
``progress=`` is called with each `Report` instead.

A report that nobody sees costs a comparison of two numbers; nothing that draws is imported before there is something to
draw. No thread draws: displays change when the work reports.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, TypeVar

from mixedfx.errors import OptionError

T = TypeVar("T")

PATIENCE = 1.0  # seconds before anything is shown that was not asked for
PAUSE = 0.1  # seconds between two changes of a display


@dataclass(frozen=True)
class Report:
    """How far one line of work has come.

    Attributes
    ----------
    what
        The work, in a few words.
    done, total
        How much is done, and how much there is (0: not known).
    unit
        What they count; empty for shares.
    note
        More, such as the phase.
    line
        Number of the line, where several things go on at once (chains).
    seconds
        Since the work began.
    """

    what: str
    done: float
    total: float = 0.0
    unit: str = ""
    note: str = ""
    line: int = 0
    seconds: float = 0.0

    @property
    def count(self) -> str:
        """``"30/100 replicates"``, ``"30%"``, or nothing where the whole is not known."""
        if not self.total:
            return ""
        if not self.unit:
            return f"{self.done / self.total:.0%}"
        return f"{self.done:.0f}/{self.total:.0f} {self.unit}"


Asked = bool | None | Callable[[Report], object]
"""What ``progress=`` can be: True, False, None (where somebody looks) or a function that is told."""


class Display(Protocol):
    """Something that shows lines of progress."""

    def show(self, reports: Sequence[Report]) -> None:
        """Show how far each line has come."""
        ...

    def close(self) -> None:
        """Go away."""
        ...


def check_progress(progress: object) -> None:
    """Refuse what ``progress=`` cannot be (`OptionError`)."""
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        hint = "Use True, False, None (on a terminal and in a notebook), or a function that is called with each report."
        raise OptionError(f"progress={progress!r}", hint=hint)


def is_shown(progress: Asked) -> bool:
    """Whether anybody will see it: as asked, by default on a terminal and in a notebook."""
    check_progress(progress)
    return in_notebook() or sys.stderr.isatty() if progress is None else bool(progress)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return getattr(found, "kernel", None) is not None


class Progress:
    """Progress of one piece of work, as a context.

    Parameters
    ----------
    progress
        What the user said.
    what
        The work, in a few words; several where several things go on at once, a line for each.
    total
        How much there is, of each; 0 where that is not known.
    unit
        What is counted; empty for shares.
    clock
        Seconds, from any beginning.

    Raises
    ------
    OptionError
        For a `progress` that is nothing of the kind.

    Examples
    --------
    >>> from mixedfx.progress import Progress
    >>> seen = []
    >>> with Progress(seen.append, "bootstrap", 300, "replicates") as report:
    ...     report(100)
    ...     report(200, note="half of it failed")
    >>> [(r.count, r.note) for r in seen]
    [('100/300 replicates', ''), ('200/300 replicates', 'half of it failed')]
    """

    def __init__(
        self,
        progress: Asked,
        what: str | Sequence[str] = "",
        total: float = 0.0,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shown = is_shown(progress)
        self.told = progress if callable(progress) else None
        self.clock = clock
        self.began = clock() if self.shown else 0.0
        self.due = self.began + (PATIENCE if progress is None else 0.0)
        names = [what] if isinstance(what, str) else what
        self.reports = [Report(name, 0.0, total, unit, line=line) for line, name in enumerate(names)]
        self.display: Display | None = None
        self.lock = threading.RLock()  # Stan's chains tell from threads of their own; reentrant for what the user calls

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.lock:
            if self.display is not None:
                self.display.show(self.reports)
                self.display.close()
                self.display = None

    def __call__(
        self, done: float, total: float | None = None, *, what: str | None = None, note: str = "", line: int = 0
    ) -> None:
        """Tell how much is done, from any thread; `what` and `total` are as before where they are not given."""
        if not self.shown or not 0 <= line < len(self.reports):
            return
        with self.lock:
            self._tell(done, total, what, note, line)

    def _tell(self, done: float, total: float | None, what: str | None, note: str, line: int) -> None:
        now, old = self.clock(), self.reports[line]
        new = Report(
            old.what if what is None else what, done, old.total if total is None else total, old.unit, note, line,
            now - self.began,
        )  # fmt: skip
        self.reports[line] = new
        if self.told is not None:
            self.told(new)
            return
        another = self.display is not None and (new.what, new.note) != (old.what, old.note)
        if now < self.due and not another:
            return
        if self.display is None:
            self.display = _Notebook() if in_notebook() else _Terminal()
        self.display.show(self.reports)
        self.due = now + PAUSE

    def over(self, items: Iterable[T], size: Callable[[T], float] = lambda _: 1.0) -> Iterator[T]:
        """Yield `items`, each `size` of the whole, and tell before each how much is done."""
        done = 0.0
        for item in items:
            self(done)
            done += size(item)
            yield item


class _Terminal:
    """Bars on standard error; where that is no terminal, their last state."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=console,
            auto_refresh=False, transient=console.is_terminal, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self.bars.start()

    def show(self, reports: Sequence[Report]) -> None:
        """Show how far each line has come."""
        for report in reports[len(self.bars.task_ids) :]:
            self.bars.add_task(report.what, count="", note="")
        for task, report in zip(self.bars.task_ids, reports, strict=True):
            self.bars.update(
                task, description=report.what, completed=report.done, total=report.total or None, count=report.count,
                note=report.note,
            )  # fmt: skip
        self.bars.refresh()

    def close(self) -> None:
        """Go away, from a terminal."""
        self.bars.stop()


class _Notebook:
    """One display of a notebook, updated in place and emptied at the end."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, reports: Sequence[Report]) -> None:
        """Show how far each line has come."""
        self._put("".join(_html(report) for report in reports), "\n".join(_text(report) for report in reports))

    def close(self) -> None:
        """Leave nothing behind."""
        self._put("", "")

    def _put(self, as_html: str, as_text: str) -> None:
        display = import_module("IPython.display").display  # a kernel has it; no dependency of ours
        bundle = {"text/html": as_html, "text/plain": as_text}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)


def _text(report: Report) -> str:
    parts = (report.what, report.count, report.note, f"{report.seconds:.0f} s")
    return ", ".join(part for part in parts if part)


def _html(report: Report) -> str:
    value = f' value="{report.done:g}" max="{report.total:g}"' if report.total else ""
    return f"<div><progress{value}></progress> {html.escape(_text(report))}</div>"
