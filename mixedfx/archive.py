"""Files of fits: a zip archive of JSON and tables, written whole, and read as what a stranger may have sent.

Nothing in an archive is run. Members are stored, not compressed by the archive, so that a member is never larger than
the file; tables, which compress on their own (`mixedfx.stored_tables`), are refused where they would unpack to far more
than they take. Values are checked against the types that they should have. Whatever fails on the way is a `DataError`
about the file.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from mixedfx.errors import DataError
from mixedfx.output import whole_file

HEAD = "fit.json"
FORMAT = 2
"""Version of what files hold; each version of mixedfx reads its own."""


def write_archive(path: str | Path, head: Mapping[str, Any], members: Mapping[str, bytes]) -> Path:
    """Write a head and tables, whole or not at all (`mixedfx.output.whole_file`)."""
    content = {HEAD: json.dumps({"format": FORMAT, **head}, allow_nan=False).encode(), **members}
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    return Path(path)


def read_archive(path: str | Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The head of a file and its other members.

    Raises
    ------
    DataError
        No such file, or one that is no archive of a fit.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with being_read(path):
        return _opened(path, path.stat().st_size)


def read_inner(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The same of an archive that is a member of another.

    Raises
    ------
    ValueError, zipfile.BadZipFile
        Bytes that are no archive of a fit.
    """
    return _opened(io.BytesIO(content), len(content))


def _opened(file: Path | io.BytesIO, size: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
            raise ValueError("its members are compressed or encrypted")
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its members are larger than the file")
        members = {info.filename: archive.read(info) for info in infos}
    head = json.loads(members.pop(HEAD))
    if not isinstance(head, dict):
        raise ValueError("its head is no record")
    return head, members


@contextmanager
def being_read(path: str | Path) -> Iterator[None]:
    """What fails inside is a `DataError` about the file, whatever it was.

    A damaged file can fail anywhere: in the archive, in a table, in a value that is none, in what the values build.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise DataError(
            f"{path} is no saved fit, or is damaged: {said[0][:200]}", hint="Save the fit again."
        ) from error


def require(found: Any, wanted: Mapping[str, Any], where: str = "its head") -> None:
    """Check that a record of a file has the fields it should have, of the types they should have.

    Parameters
    ----------
    found
        A dictionary.
    wanted
        Field -> type, as annotations write it: ``int``, ``list[str]``, ``dict[str, float]``, ``str | None``.
    where
        What the record is called.

    Raises
    ------
    ValueError
        Naming the field.

    Examples
    --------
    >>> from mixedfx.archive import require
    >>> require({"chains": 4}, {"chains": int})
    >>> require({"chains": "4"}, {"chains": int})
    Traceback (most recent call last):
    ValueError: 'chains' in its head is not what it should be: '4'
    """
    if not isinstance(found, dict):
        raise ValueError(f"{where} is no record")
    for name, hint in wanted.items():
        if name not in found:
            raise ValueError(f"'{name}' is missing in {where}")
        if not fits(found[name], hint):
            raise ValueError(f"'{name}' in {where} is not what it should be: {found[name]!r:.60}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that an annotation names."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is NoneType:
        return value is None
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(fits(one, inner[0]) for one in value)
        return len(value) == len(inner) and all(fits(one, each) for one, each in zip(value, inner, strict=True))
    if origin is list:
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    return isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)


def plain(values: Any) -> list[Any]:
    """Numbers as JSON has them: those that are not finite as text."""
    return [x if math.isfinite(x) else repr(x) for x in np.asarray(values, dtype=np.float64).ravel().tolist()]


Numbers = list[float | Literal["nan", "inf", "-inf"]]


def numbers(values: Sequence[Any], size: int | None = None) -> Any:
    """(size,) what `plain` wrote.

    Raises
    ------
    ValueError
        Other values, or another number of them.
    """
    if not fits(values, Numbers) or (size is not None and len(values) != size):
        raise ValueError(f"{values!r:.60} are not {'' if size is None else size} numbers")
    return np.array([float(x) for x in values])
