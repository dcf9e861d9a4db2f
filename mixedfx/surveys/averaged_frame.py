"""One frame for several completed data sets: numbers that differ between them at their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mixedfx.design.frame import column, kind


def averaged_frame(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The first frame, its numbers with more than two values averaged over all frames where these differ.

    Factors, and numbers with two values, stay as they are in the first: an average is none of their values.
    """
    first = frames[0]
    changed = {}
    shared = [str(name) for name in first.columns if all(name in frame.columns for frame in frames)]
    for name in shared:  # plausible values have names of their own
        values = [column(frame, name) for frame in frames]
        if kind(values[0]) != "number" or values[0].nunique() <= 2:
            continue
        arrays = [one.to_numpy() for one in values]
        if any(not np.array_equal(arrays[0], other) for other in arrays[1:]):
            changed[name] = np.mean(arrays, axis=0)
    return first.assign(**changed) if changed else first
