"""Rows that were seen before: a key of each row from its values, neutral to types, to order and to how missing is said.

A row's key is the sum, over its columns, of a hash of position and value, in 64 bits. Zeros add nothing, so that sparse
and dense rows agree; numbers count to seven digits, so that copies in single precision agree; numbers written as text
are numbers; all missing values are one. Two different rows of n have the same key with probability n^2 / 2^64 or so.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Keys = NDArray[np.uint64]


def row_keys(X: Any) -> Keys:
    """(n,) keys of the rows of a frame, an array or a sparse matrix.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.learn.seen import row_keys
    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    >>> bool((row_keys(frame) == row_keys(frame.to_numpy())).all())
    True
    """
    if hasattr(X, "toarray"):
        entries = X.tocoo()
        keys = np.zeros(X.shape[0], dtype=np.uint64)
        np.add.at(keys, entries.row, _salted(_hashed(pd.Series(entries.data)), np.asarray(entries.col)))
        return keys
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    keys = np.zeros(len(frame), dtype=np.uint64)
    for j in range(frame.shape[1]):
        keys += _salted(_hashed(frame.iloc[:, j]), np.full(len(frame), j))
    return keys


def _salted(hashes: Keys, position: NDArray[Any]) -> Keys:
    """Hashes of values in columns; zero where the value was zero."""
    salt = _mixed(position.astype(np.uint64))
    return np.where(hashes == 0, np.uint64(0), _mixed(hashes ^ salt))


def _hashed(column: pd.Series) -> Keys:
    """(n,) hashes of values, zero for zeros."""
    text: NDArray[Any] | None = None
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = column.astype(object).to_numpy()
        values = np.asarray(pd.to_numeric(pd.Series(text), errors="coerce"), dtype=np.float64)
    with np.errstate(over="ignore"):
        short = values.astype(np.float32).astype(np.float64) + 0.0  # no negative zero
    short[np.isnan(short)] = np.nan  # one of the many
    out = _mixed(short.view(np.uint64))
    out[short == 0] = 0
    if text is not None:
        words = np.isnan(short) & ~np.asarray(pd.isna(text), dtype=bool)
        codes, different = pd.factorize(np.array([str(one) for one in text[words]], dtype=object))
        out[words] = np.array([_of_text(one) for one in different], dtype=np.uint64)[codes]
    return out


def _of_text(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(bits: Keys) -> Keys:
    """A permutation of 64 bits that leaves none of them as it was: splitmix64 (Steele, Lea and Flood 2014)."""
    found = bits + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))
