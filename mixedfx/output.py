"""Files that are written whole or not at all.

A draft in the same folder takes the content and then the name; an older file of that name stays until then. On Linux
the draft has no name, so that nothing is left of it where the process is killed. All that can go wrong is said as a
`DataError` about the file that was asked for.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mixedfx.errors import DataError


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a draft of the file; it becomes the file when the block ends without an error.

    Parameters
    ----------
    path
        Where; a link is followed, and the file it names replaced.

    Raises
    ------
    DataError
        If there is no such folder, the name is a folder's, or the system refuses (disk full, no permission).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mixedfx.output import whole_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "out.json")) as file:
    ...         _ = file.write(b"{}")
    ...     [file.name for file in Path(folder).iterdir()]
    ['out.json']
    """
    if not str(path):
        raise DataError("the name of the file is empty", hint='Name one: "fit.mfx", say.')
    shown, target = Path(path), Path(path).resolve()
    if target.is_dir():
        raise DataError(f"{shown}: is a folder", hint="Name a file in it.")
    if not target.parent.is_dir():
        raise DataError(f"{shown}: there is no folder '{shown.parent}'", hint="Name a folder that exists.")
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        nameless = _nameless(target.parent)
        with draft.open("xb") if nameless is None else nameless as file:
            yield file
            if nameless is not None:
                file.flush()
                # by its number, since it has no name yet; a folder beside it makes the system follow the link
                os.link(f"/proc/self/fd/{file.fileno()}", draft, src_dir_fd=file.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise DataError(f"{shown}: cannot be written ({error.strerror or error or type(error).__name__})") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _nameless(folder: Path) -> BinaryIO | None:
    """A file without a name, of which nothing stays where the process is killed; None where there are no such."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag:
        return None
    try:
        file = os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:  # a file system without them; one that cannot be written to says so when the draft is opened
        return None
    if os.path.exists(f"/proc/self/fd/{file.fileno()}"):
        return file
    file.close()
    return None


def write_whole(path: str | Path, content: bytes) -> None:
    """Write `content` to a file, whole or not at all; see `whole_file`."""
    with whole_file(path) as file:
        file.write(content)
