"""Catalogues of SAS (sas7bcat): the value labels of data files (sas7bdat), which name formats and do not hold them.

A data file says which format a column has, a catalogue what the format writes in place of a code. Catalogues travel
beside data under the same name, or as ``formats.sas7bcat``, which is what SAS calls the catalogue of a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedfx.errors import DataError, OptionError
from mixedfx.optional import package

ENDING = ".sas7bcat"
LIBRARY = f"formats{ENDING}"


@dataclass(frozen=True)
class Catalogue:
    """Formats, and a sentence on where they come from.

    Attributes
    ----------
    formats
        Name of a format in capitals -> code -> label, in the order of the file.
    said
        What to say where columns have these formats.
    idle
        What to say where none has; empty for nothing.
    """

    formats: Mapping[str, Mapping[Any, str]]
    said: str = ""
    idle: str = ""

    def labels_of(self, formats: Mapping[str, str]) -> dict[str, Mapping[Any, str]]:
        """Column -> code -> label, of the columns whose format (column -> format) is here."""
        known = {name: self.formats.get(str(given).upper()) for name, given in formats.items()}
        return {name: labels for name, labels in known.items() if labels}


def catalogue(data: Path, given: str | Path | None, encoding: str | None) -> Catalogue:
    """The formats of a data file: of the catalogue that was named, or one that stands beside the data.

    Raises
    ------
    OptionError
        A catalogue of another kind of file.
    DataError
        One that was named and is not there, or cannot be read. One beside the data that cannot be read is told of.
    """
    if given is not None and Path(given).suffix.lower() != ENDING:
        raise OptionError(f"{str(given)!r} is no catalogue of SAS", hint=f"Its name ends in {ENDING}.")
    path = _beside(data) if given is None else Path(given)
    if path is None:
        return Catalogue({})
    if not path.is_file():
        raise DataError(f"{given}: no such file")
    reader = package("pyreadstat", "SAS files need", "files")
    try:
        about = reader.read_sas7bcat(str(path), encoding=encoding)[1]
    except Exception as error:  # a catalogue of another system fails anywhere in the library that reads it
        why = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        if given is not None:
            raise DataError(f"{given}: cannot be read as {ENDING} ({why})") from error
        return Catalogue({}, idle=f"{path.name} beside the file cannot be read, so codes have no labels ({why})")
    where = f"{path.name}, which stands beside the file" if given is None else str(given)
    formats = {str(name).upper(): labels for name, labels in about.value_labels.items()}
    return Catalogue(formats, f"labels of codes come from {where}", f"{path.name} has labels for none of the columns")


def _beside(data: Path) -> Path | None:
    """The catalogue of the same name, or that of the library, however its letters are written."""
    found = {path.name.lower(): path for path in data.parent.iterdir() if path.suffix.lower() == ENDING}
    return found.get(f"{data.stem.lower()}{ENDING}", found.get(LIBRARY))
