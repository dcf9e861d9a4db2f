r"""What one unit more of a numeric treatment adds to the linear predictor, whatever numbers it is measured in.

With x in nanoseconds since 1970, x + 1 is x in double precision, and a second is lost to seven digits: differences of
rows at x + 1 and x round. A row c(x) of the design is affine in x in most models, c(x) = a + b x with b made of the
other columns, and then the slope b follows from any two values without such a loss,

    b = (c(X) - c(x)) / (X - x),    X so much larger than every x that x hardly counts: the error is a few units of
                                    rounding, whatever was added to x.

Where a column bends (``log(x)``, ``poly(x, 2)``), one unit more is what counts, X = x + 1, as long as it is not lost.
Of numbers beyond 2^26, whose unit keeps less than half of the digits, the step is 2^-26 of the largest, and the answer
is the slope over that step. The division is by the step that was taken after rounding, (x + h) - x.

A spline (``bs``, ``cr``, ``cc``) ends with the data: rows that one unit more would lead beyond the largest value of the
fit's data have the unit that ends there. Where all of the data lie within one unit, and where the slope is asked for,
the step is 2^-18 of their range with the row's own value in its middle: such a difference is off by h^2 / 24 times the
third derivative, and by 1e-11 from rounding; at the two ends of a spline it is one-sided.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.functional import Functional
from mixedfx.effects.treatment import Treatment

Array = NDArray[np.float64]

# How many times larger than the largest number a number is beside which it hardly counts.
FAR = 2.0**60
# Half of the digits of a double.
HALF = 2.0**-26


def affine_in(design: Design, column: str) -> bool:
    """Whether every column of the design, and the offset, is affine in a column of the data.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.effects.increments import affine_in
    >>> star = mx.datasets.load("star")
    >>> [affine_in(mx.design(f"math ~ {x} * race", star), "read") for x in ("read", "center(read)", "log(read)")]
    [True, True, False]
    """
    terms, env = design.terms, design.spec.env
    outside = terms.offsets if terms.given_offset is None else (*terms.offsets, terms.given_offset)
    sides = (terms.fixed, *(random.left for random in terms.random))
    products = [term.product for side in sides for term in side] + [(offset,) for offset in outside]
    for product in products:
        reading = [variable for variable in product if column in variable.columns]
        if len(reading) > 1 or any(variable.degree_in(column, env) != 1 for variable in reading):
            return False
    return True


SMALL = 2.0**-18


def stepped(treated: Treatment, design: Design, values: Array) -> Treatment:
    """The treatment with the step that its rows take.

    Parameters
    ----------
    treated
        A numeric treatment, ``"unit"``.
    design
        The design of the fit.
    values
        (m,) values of the rows averaged over.
    """
    own = fetch(design.frame, treated.column).to_numpy(dtype=np.float64)
    low, high = float(own.min()), float(own.max())
    bounded, step = design.terms.ends_with_data(treated.column), unit_step(values)
    if treated.slope or (bounded and high - low < step):
        small = float(2.0 ** np.floor(np.log2((high - low) * SMALL)))
        return replace(treated, step=small, slope=True, within=(low, high) if bounded else None)
    return replace(treated, step=step, within=(low, high) if bounded else None)


def far_from(values: Array) -> float:
    """A power of two beside which `values` hardly count."""
    return FAR * 2.0 ** np.ceil(np.log2(max(float(np.max(np.abs(values), initial=0.0)), 1.0)))


def unit_step(values: Array) -> float:
    """The step taken from `values`: 1, or the power of two that leaves them half of their digits."""
    largest = float(np.max(np.abs(values), initial=0.0)) * HALF
    return 1.0 if largest <= 1 else float(2.0 ** np.ceil(np.log2(largest)))


def increments(rows: Functional, step: Array) -> Functional:
    """The first m rows, and for each what a unit adds.

    Parameters
    ----------
    rows
        2 m rows: those of m cells as they are, and those of the same cells some steps further.
    step
        (m,) the steps.
    """
    m = len(step)
    slope = sparse.diags_array(1.0 / step)
    eye = sparse.eye_array(m)
    found = rows.combine(sparse.csr_array(sparse.block_array([[eye, None], [-slope, slope]])))
    return replace(found, unseen=rows.unseen)
