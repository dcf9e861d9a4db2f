"""Work that starts processes, and ends them if it is interrupted.

cmdstanpy starts compilers and samplers from threads of its own and waits for all of them, an interrupt or not. Here its
work runs in a thread, while this thread waits where an interrupt reaches it at once; then every process started for the
work, known by a word in its command line, is ended with all its descendants, until the work has nothing left to wait
for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psutil

Result = TypeVar("Result")
PAUSE = 0.05  # seconds between two looks


def run_interruptibly(work: Callable[[], Result], mark: str) -> Result:
    """Result of `work()`; interrupted, no process whose command line holds `mark` outlives the call.

    Parameters
    ----------
    work
        Called in a thread of its own.
    mark
        Text in the command line of each process that the work starts, such as the folder it writes to.

    Raises
    ------
    BaseException
        Whatever the work raised, or the interrupt.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    done = threading.Event()  # Thread.join, interrupted, takes the thread for ended (Python before 3.13)

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller, whatever it is
            errors.append(error)
        finally:
            done.set()

    worker = threading.Thread(target=target, name="mixedfx-engine", daemon=True)
    worker.start()
    try:
        while not done.wait(PAUSE):
            pass
    except BaseException:
        while not done.is_set():
            with suppress(KeyboardInterrupt):  # a second one changes nothing: this is the quickest way out
                end_children(mark)
                done.wait(PAUSE)
        worker.join()
        raise
    worker.join()
    if errors:
        raise errors[0]
    return results[0]


def end_children(mark: str) -> None:
    """End the children of this process with `mark` in their command lines, and their descendants."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(mark in word for word in child.cmdline()):
                _end_tree(child)


def _end_tree(root: psutil.Process) -> None:
    """End a process and its descendants; suspended first, so that none starts another meanwhile."""
    tree: dict[int, psutil.Process] = {}
    waiting = [root]
    while waiting:
        process = waiting.pop()
        if process.pid in tree:
            continue
        tree[process.pid] = process
        with suppress(psutil.Error):
            process.suspend()
            waiting.extend(process.children())
    for process in tree.values():
        with suppress(psutil.Error):
            process.kill()
