"""Executables of compiled programs, kept in the user's cache and shared between processes.

An entry is a folder named by the hash of all that its content depends on. It is built beside its place under the lock
of its key and moved there by one rename, so that an entry that exists is whole, and readers need no lock. Locks are the
operating system's (flock, or LockFile on Windows): they end with the process that holds them, however it ends. What a
killed process left half built is removed by the next one that holds the lock.

The cache is ``$MIXEDFX_CACHE`` if that is set; else the folder ``mixedfx`` in ``%LOCALAPPDATA%`` on Windows, in
``~/Library/Caches`` on macOS, in ``$XDG_CACHE_HOME`` or ``~/.cache`` elsewhere.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pandas as pd

VARIABLE = "MIXEDFX_CACHE"
POLL = 0.05  # seconds between two attempts at a lock
BUILDING = ".building-"
LEAVING = ".leaving"
LOCK = ".lock"


def _home() -> Path:
    """The user's home, or a place that cannot be made where there is no user: `entry` knows what to do."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def cache_folder() -> Path:
    """Where mixedfx keeps what it can make again; not created by asking."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else _home() / "AppData" / "Local") / "mixedfx"
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "mixedfx"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else _home() / ".cache") / "mixedfx"


def programs_folder() -> Path:
    """Where the compiled programs are."""
    return cache_folder() / "stan"


@cache
def process_folder(closed: str) -> Path:
    """A folder that ends with this process, in the place of the one that is closed; said once."""
    folder = Path(tempfile.mkdtemp(prefix="mixedfx-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    print(
        f"compiled programs cannot be kept in {closed}: they are kept while this process runs. {VARIABLE} names "
        "another folder",
        file=sys.stderr,
    )
    return folder


def key_of(*parts: str) -> str:
    """Hash of the parts; each is delimited, so that moving text from one to the next gives another key.

    Examples
    --------
    >>> from mixedfx.bayes.engines.cache import key_of
    >>> key_of("ab", "c") == key_of("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()[:32]


def entry(key: str, build: Callable[[Path], object]) -> Path:
    """The folder of this key, built if it is not there.

    Parameters
    ----------
    key
        From `key_of`.
    build
        Called with an empty folder to fill. If it raises, nothing is kept.

    Notes
    -----
    Where the cache cannot be written to, the folder is one of this process (`process_folder`).
    """
    place = programs_folder() / key
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place.parent):
            pass
    except OSError as error:  # no home, or one that is closed: a container
        place = process_folder(f"{place.parent} ({error.strerror})") / key
        if place.is_dir():
            return place
    with locked(place.with_name(key + LOCK)):
        if place.is_dir():  # another process was faster
            return place
        _remove_drafts(key)
        # A name of its own: the compiler of a killed process may be running still, and writes where it was told to.
        draft = Path(tempfile.mkdtemp(prefix=key + BUILDING, dir=place.parent))
        try:
            build(draft)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def cache_table() -> pd.DataFrame:
    """The compiled programs: key, bytes, when they were built; one row each, the newest first.

    Examples
    --------
    >>> from mixedfx.bayes.engines.cache import cache_table
    >>> list(cache_table().columns)
    ['key', 'bytes', 'built']
    """
    rows = [(path.name, _bytes_in(path), pd.Timestamp(path.stat().st_mtime, unit="s")) for path in _entries()]
    table = pd.DataFrame(rows, columns=["key", "bytes", "built"])
    return table.sort_values("built", ascending=False, ignore_index=True)


def clear_cache() -> int:
    """Remove the compiled programs that CmdStan left in the user's cache; they are compiled again when needed.

    Returns
    -------
    int
        Number of bytes freed. What another process is building at this moment stays.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.clear_cache() >= 0
    True
    """
    folder = programs_folder()
    freed = 0
    keys = {path.name.partition(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()
    for key in sorted(keys):
        with locked(folder / (key + LOCK), wait=False) as held:
            if not held:
                continue
            place = folder / key
            with suppress(FileNotFoundError):  # one rename: nobody sees half an entry
                place.rename(folder / (key + LEAVING))
            freed += _remove(folder / (key + LEAVING)) + _remove_drafts(key)
    return freed


def _remove_drafts(key: str) -> int:
    """Remove what killed processes left of this key, whose lock is held; the bytes freed."""
    return sum(_remove(draft) for draft in programs_folder().glob(f"{key}{BUILDING}*"))


def _remove(folder: Path) -> int:
    """Remove a folder, which need not exist; the bytes freed."""
    size = _bytes_in(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _entries() -> list[Path]:
    """Folders of whole entries."""
    folder = programs_folder()
    return [path for path in folder.iterdir() if path.is_dir() and not path.suffix] if folder.is_dir() else []


def _bytes_in(folder: Path) -> int:
    """Size of all files in a folder; files that vanish meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file for as long as the context lasts; gives False where it is held already and `wait` is off.

    The file goes with the lock. Who waited for a file that has gone meanwhile holds the lock of nothing: once more.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            held = _try_lock(descriptor)
            while wait and not held:
                time.sleep(POLL)
                held = _try_lock(descriptor)
            if held and not _is_still_at(descriptor, path):
                continue
            try:
                yield held
            finally:
                if held:
                    with suppress(OSError):  # Windows keeps files that are open; an old file is no lock
                        path.unlink()
            return
        finally:
            os.close(descriptor)  # which ends the lock


def _is_still_at(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the file that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        """Lock the file if nobody else has."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        """Lock the file if nobody else has."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
