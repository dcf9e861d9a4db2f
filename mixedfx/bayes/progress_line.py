"""One line that says how far the exact engine has come, where it takes long enough for anybody to wonder.

It appears after a second on standard error, so that fits that are done by then show nothing and do not load what draws
the line; by default only where that is a terminal, from which it goes away again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from mixedfx.bayes.engines.progress import is_shown

PATIENCE = 1.0  # seconds before the line appears
PAUSE = 0.1  # seconds between two changes of it


class ProgressLine:
    """A line that is told the stage, how much of it is done and how much there is (0: not known).

    Parameters
    ----------
    progress
        True and False switch it on and off; None shows it where standard error is a terminal.
    clock
        Seconds, from any beginning.
    patience
        Seconds before the line appears.

    Examples
    --------
    >>> from mixedfx.bayes.progress_line import ProgressLine
    >>> with ProgressLine(False) as report:
    ...     report("NUTS, warm-up", 10, 100)
    """

    def __init__(
        self, progress: bool | None, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
    ) -> None:
        self.shown = is_shown(progress)
        self.clock = clock
        self.due = clock() + patience
        self.stage = ""
        self.bar: Any = None

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far the work has come."""
        now = self.clock()
        if not self.shown or (now < self.due and not (self.bar is not None and stage != self.stage)):
            return
        if self.bar is None:
            self.bar = _bar()
            self.bar.start()
            self.bar.add_task("", count="")
        self.stage, self.due = stage, now + PAUSE
        count = f"{done}/{total}" if total else ""
        task = self.bar.task_ids[0]
        self.bar.update(task, description=stage, completed=done, total=total or None, count=count, refresh=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn(),
        console=console, auto_refresh=False, transient=console.is_terminal, redirect_stdout=False,
        redirect_stderr=False,
    )  # fmt: skip
