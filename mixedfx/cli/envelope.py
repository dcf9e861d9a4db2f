"""What happens around a command: warnings become notes, errors become one line and an exit code.

===== ==============================================================================================
 code meaning
===== ==============================================================================================
    0 done
    1 unexpected error: a defect of mixedfx; ``MIXEDFX_DEBUG=1`` shows the traceback
    2 bad input: options, files, formula, data, or a question the fit cannot answer; output that cannot be written
  130 interrupted from the keyboard (128 + SIGINT)
  141 the reader of the output went away, as ``| head`` does (128 + SIGPIPE); nothing is said
===== ==============================================================================================
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import typer

from mixedfx.cli.show import note
from mixedfx.errors import FormulaError, MixedfxError, MixedfxWarning

BAD_INPUT = 2
UNEXPECTED = 1
INTERRUPTED = 130
CLOSED_PIPE = 141
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # what a disk says of standard output


def guarded(command: Callable[[], Any]) -> int:
    """Run `command` and return the exit code, having printed notes and errors to standard error.

    Parameters
    ----------
    command
        Takes nothing; an integer it returns is the exit code, anything else means 0.

    Examples
    --------
    >>> from mixedfx.cli.envelope import guarded
    >>> guarded(lambda: None)
    0
    """
    try:
        with warnings.catch_warnings():
            _collect_notes()
            result = command()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):  # typer and rich leave by the latter when the pipe closes, and only then
        _close_quietly()
        return CLOSED_PIPE
    except (KeyboardInterrupt, typer.Abort):  # typer makes one of the other, or the exit code, as its version pleases
        return INTERRUPTED
    except (MixedfxError, MixedfxWarning) as error:  # a warning where the user made warnings errors
        print(f"mixedfx: {brief(error)}", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            _close_quietly()
            print(f"mixedfx: the output cannot be written ({error.strerror})", file=sys.stderr)
            return BAD_INPUT
        if (misuse := _misuse(error)) is not None:
            print(f"mixedfx: {misuse}", file=sys.stderr)
            return BAD_INPUT
        if os.environ.get("MIXEDFX_DEBUG") == "1":
            traceback.print_exc()
        what = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "Please report this with the command; MIXEDFX_DEBUG=1 shows where it happened."
        print(f"mixedfx: unexpected {what}. {hint}", file=sys.stderr)
        return UNEXPECTED


def brief(error: Exception) -> str:
    """Message and hint on one line; where the message points at a character of the input, its lines are kept.

    Examples
    --------
    >>> from mixedfx.cli.envelope import brief
    >>> from mixedfx.errors import DataError
    >>> brief(DataError("no column 'rcae'", hint="Did you mean 'race'?"))
    "no column 'rcae'. Did you mean 'race'?"
    """
    pointing = isinstance(error, FormulaError) or "\n" in str(getattr(error, "message", ""))
    if pointing or not isinstance(error, MixedfxError) or error.hint is None:
        return str(error)
    return f"{_sentence(error.message)} {error.hint}"


def _misuse(error: Exception) -> str | None:
    """What is wrong with the options, where that is the error; typer has no public class for these errors."""
    message = getattr(error, "format_message", None)
    if not callable(message):
        return None
    path = getattr(getattr(error, "ctx", None), "command_path", "mixedfx")
    return f"{_sentence(str(message()))} See {path} --help."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!", ":", ";")) else f"{text}."


def _collect_notes() -> None:
    """Show each of our warnings once, as a note; other warnings go the way they always go."""
    shown: set[str] = set()
    show_as_usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, MixedfxWarning):
            show_as_usual(message, category, *where, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            note(str(message))

    warnings.showwarning = show


def _close_quietly() -> None:
    """Point standard output at nothing, so that Python's last flush finds no closed pipe either."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is not a file
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open until the process ends
