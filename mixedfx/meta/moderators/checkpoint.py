"""Predictions that are kept in a file as they are made, so that work of hours goes on where it was stopped.

The file is text, a line of JSON for each model; its first line says which data and options it belongs to, and a file of
others is refused. A line that was cut off in the middle is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError

Found = tuple[NDArray[np.float64], tuple[str, ...]]


@dataclass
class Checkpoint:
    """What was found so far.

    Attributes
    ----------
    path
        The file; None keeps nothing.
    found
        (approach, cluster) -> predictions and moderators.
    """

    path: Path | None
    found: dict[tuple[str, str], Found] = field(default_factory=dict)

    @classmethod
    def at(cls, path: str | Path | None, task: Any, seed: int | None, folds: int | None) -> Checkpoint:
        """Read what a file has, or begin it.

        Raises
        ------
        DataError
            A file of other data or options, or one that cannot be read or written.
        """
        if path is None:
            return cls(None)
        path, mark = Path(path), fingerprint(task, seed, folds)
        try:
            if not path.exists() or not path.stat().st_size:
                path.write_text(json.dumps({"mixedfx": mark}) + "\n", encoding="utf-8")
                return cls(path)
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            raise DataError(f"checkpoint={str(path)!r} cannot be used: {error}") from None
        first = _parsed(lines[0])
        if not isinstance(first, dict) or first.get("mixedfx") != mark:
            raise DataError(
                f"checkpoint={str(path)!r} belongs to other data or options", hint="Name another file, or remove it."
            )
        out = cls(path)
        for line in lines[1:]:
            one = _parsed(line)
            if isinstance(one, list) and len(one) == 4:
                approach, cluster, predictions, terms = one
                out.found[approach, cluster] = np.array(predictions, dtype=np.float64), tuple(terms)
        return out

    def get(self, approach: str, cluster: str, make: Callable[[], Found]) -> Found:
        """What was found for a cluster, made and kept where it was not."""
        key = approach, cluster
        if key not in self.found:
            predictions, terms = self.found[key] = make()
            if self.path is not None:
                line = json.dumps([approach, cluster, predictions.tolist(), list(terms)])
                try:
                    with self.path.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")
                except OSError as error:
                    raise DataError(
                        f"checkpoint={str(self.path)!r} cannot be written ({error.strerror})",
                        hint="What it holds stays; the same call goes on from there.",
                    ) from error
        return self.found[key]


def fingerprint(task: Any, seed: int | None, folds: int | None) -> str:
    """A mark of the data and all options that predictions depend on."""
    made = hashlib.sha256(repr((str(task.formula), task.vi, task.cluster, task.selection)).encode())
    made.update(repr((task.blocks, task.always, task.threshold, sorted(task.forest.items()))).encode())
    made.update(
        repr((sorted(task.preselect.items()), sorted(task.once.items()), seed, folds, task.impute, task.tune)).encode()
    )
    made.update(task.frame.to_csv(index=False).encode())
    return made.hexdigest()[:32]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
