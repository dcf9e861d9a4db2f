"""Data and output of Stan programs as text and columns: one encoder and one decoder for every engine.

Data go in as JSON, as Stan reads it: an integer for ``int``, nested lists for containers, row by row. The libraries of
both engines give draws back in the shapes that the program declares, save for a variable without elements: it has no
column, so that no library knows of it, and `gather` gives it the shape 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ModelError, UnknownQuantityError

Array = NDArray[np.float64]


def data_json(data: Mapping[str, Any]) -> str:
    """JSON text of the data of a program; arrays may be NumPy's or pandas's, truth values become 0 and 1.

    Raises
    ------
    ModelError
        A value that Stan has no type for, such as text.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.bayes.engines.data import data_json
    >>> data_json({"N": np.int64(2), "x": np.array([[1.0, 2.5], [0.0, np.inf]]), "prior_only": True})
    '{"N": 2, "x": [[1.0, 2.5], [0.0, Infinity]], "prior_only": 1}'
    """
    return json.dumps({name: _plain(name, value) for name, value in data.items()})


def _plain(name: str, value: Any) -> Any:
    """A number or nested lists of numbers."""
    array = np.asarray(value)
    if array.dtype == bool:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iuf":
        raise ModelError(f"the data {name!r} of the Stan program are no numbers: {value!r:.60}")
    return array.tolist()


def declares(text: str, name: str) -> bool:
    """Whether a name occurs as a word in a program, comments left out.

    Examples
    --------
    >>> from mixedfx.bayes.engines.data import declares
    >>> declares("parameters { real mu; } // sigma", "mu"), declares("parameters { real mu; } // sigma", "sigma")
    (True, False)
    """
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return re.search(rf"\b{re.escape(name)}\b", code) is not None


def gather(found: Mapping[str, Array], keep: Collection[str], text: str, layout: tuple[int, int]) -> dict[str, Array]:
    """Variables of `keep`, in its order; those without elements with the shape (chains, draws, 0).

    Raises
    ------
    UnknownQuantityError
        A name that the program does not have.
    """
    kept = {}
    for name in keep:
        if name in found:
            kept[name] = found[name]
        elif declares(text, name):
            kept[name] = np.empty((*layout, 0))
        else:
            near = get_close_matches(name, list(found), n=3) or list(found)[:3]
            raise UnknownQuantityError(
                f"the Stan program declares no {name!r}", hint=f"It has {', '.join(map(repr, near))}."
            )
    return kept
