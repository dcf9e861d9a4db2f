"""Steps of many searches at once, each halved until its value does not fall."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = TypeVar("Point")

RELATIVE, ABSOLUTE = 1e-10, 1e-12  # by which a value may fall through rounding


def halved(move: Callable[[Array], Point], value: Callable[[Point], tuple[Array, Array]], at: Array, most: int
) -> tuple[Point, Array, Array]:  # fmt: skip
    """The points where no value is below that of before.

    Parameters
    ----------
    move
        From shares of the steps, of the shape of `at`, to the points there.
    value
        From points to what is worked out of them on the way, and values of the shape of `at`.
    at
        Values before the steps.
    most
        Sizes that are tried.

    Returns
    -------
    point, beside, values
        The points and what `value` says of them.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where some step gains in no size.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.halving import halved
    >>> start = np.array([1.0, 1.0])
    >>> move = lambda size: start + size * np.array([-1.0, -4.0])
    >>> halved(move, lambda x: (x, -(x**2)), -(start**2), 20)[0].tolist()
    [0.0, -1.0]
    """
    size = np.ones(at.shape)
    for _ in range(most):
        point = move(size)
        beside, new = value(point)
        bad = ~(new >= at - RELATIVE * np.abs(at) - ABSOLUTE)
        if not bad.any():
            return point, beside, new
        size[bad] /= 2.0
    raise np.linalg.LinAlgError("no step gains")
