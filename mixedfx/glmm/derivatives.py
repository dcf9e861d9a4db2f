"""Second derivatives of a criterion at one point: formed with it, or late, when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class SecondDerivatives(Protocol):
    """(d, d) second derivatives of a criterion.

    Attributes
    ----------
    average
        A positive approximation.
    curvature
        The best that is known (see `mixedfx.glmm.curvature`).
    """

    @property
    def average(self) -> Vector: ...  # noqa: D102
    @property
    def curvature(self) -> Vector: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Formed:
    """Second derivatives that came with the criterion."""

    average: Vector
    curvature: Vector


class Near(Protocol):
    """What the full second derivatives are formed from: the positive approximation is its `value`."""

    @property
    def value(self) -> Vector: ...  # noqa: D102


N = TypeVar("N", bound=Near)


@dataclass(frozen=True, eq=False)
class Late(Generic[N]):
    """Second derivatives that are formed when they are asked for, the positive approximation first.

    Attributes
    ----------
    form_average
        Gives the approximation and what it is made of.
    form_curvature
        Gives the full ones from that.
    """

    form_average: Callable[[], N]
    form_curvature: Callable[[N], Vector]

    @cached_property
    def _near(self) -> N:
        return self.form_average()

    @property
    def average(self) -> Vector:
        """(d, d) positive."""
        return self._near.value

    @cached_property
    def _full(self) -> Vector:
        return self.form_curvature(self._near)

    @property
    def curvature(self) -> Vector:
        """(d, d)."""
        return self._full
