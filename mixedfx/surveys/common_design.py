"""One design for several completed data sets, for what is asked of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.design.columns import Columns
from mixedfx.design.design import Design
from mixedfx.design.frame import column, kind


def common_design(designs: Sequence[Design]) -> Design:
    """The first design, with `averaged_frame`."""
    first = designs[0]
    frame = averaged_frame([design.frame for design in designs])
    return first if frame is first.frame else replace(first, columns=Columns.of(frame))


def named_by(design: Design, text: str) -> Design:
    """The design, for readers: its response called by the left side of the formula, ``[PV1MATH:PV10MATH]``."""
    left = text.partition("~")[0].strip()
    if not left.startswith("["):
        return design
    return replace(design, formula=replace(design.formula, text=text, response=left), response_name=left)


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
