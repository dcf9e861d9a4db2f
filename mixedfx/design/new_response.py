"""New responses of a design whose response is a category: codes of what users have, which are labels or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.labels import is_number, level_label, quoted
from mixedfx.errors import DataError, some_rows


def response_codes(design: Design, values: Any) -> NDArray[np.float64]:
    """Codes 0 to K - 1 of new responses (n,) or (n, B); numbers as they are where the response is no category.

    Values are categories as the data have them or as text. Numbers may be codes too where they cannot be mistaken: of
    two categories, which are simulated as zeros and ones, and of categories none of which is a number.

    Raises
    ------
    DataError
        Values that are no category, naming the rows.
    """
    labels = design.categories
    if labels is None:
        return np.asarray(values, dtype=np.float64)
    found = np.asarray(values, dtype=object)
    texts, place = np.unique([level_label(v) for v in found.ravel()], return_inverse=True)
    codes = {str(k): k for k in range(len(labels))}
    ways = [{label: k for k, label in enumerate(labels)}]
    if len(labels) == 2:
        ways.insert(0, codes)
    elif not any(is_number(label) for label in labels):
        ways.append(codes)
    for way in ways:
        if all(text in way for text in texts):
            return np.array([way[text] for text in texts], dtype=np.float64)[place].reshape(found.shape)
    strange = np.array([text not in ways[-1] and text not in ways[0] for text in texts])
    bad = strange[place].reshape(found.shape)
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    where = (
        f" in {some_rows(design.rows.used[rows])} (counted from 0)" if len(rows) and len(bad) == len(design.y) else ""
    )
    wrong = texts[strange] if strange.any() else texts
    if pd.isna(found.ravel()[np.argmax(bad)]) and strange.any():
        raise DataError(f"a new response is missing{where}", hint="Give a category for each row the fit used.")
    raise DataError(
        f"a new response is {quoted(wrong.tolist())}{where}, and the categories of '{design.response_name}' are "
        f"{quoted(labels)}",
        hint="Give the categories as the data have them, as fit.simulate does.",
    )
