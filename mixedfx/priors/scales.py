"""What the scales of priors are taken from: the response, the predictors, the varying effects of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Covariance(Protocol):
    """What priors ask of a covariance structure; the members are those of `mixedfx.covariance.structures.Structure`."""

    @property
    def n_sds(self) -> int: ...  # noqa: D102
    @property
    def n_correlations(self) -> int: ...  # noqa: D102
    @property
    def free(self) -> bool: ...  # noqa: D102
    @property
    def least_eta(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class TermScales:
    """One random term: its name, its columns with their means and sds, and the structure of their covariance.

    `orders` are the numbers of variables of each column, and `group_order` of columns of the grouping factor: 1 where
    there is no interaction.
    """

    group: str
    columns: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    covariance: Covariance
    orders: tuple[int, ...]
    group_order: int

    @property
    def has_correlations(self) -> bool:
        """Whether there are two effects or more, and they are correlated."""
        return self.covariance.n_correlations > 0

    @property
    def has_one_sd(self) -> bool:
        """Whether several effects share one standard deviation."""
        return self.covariance.n_sds < len(self.columns)


@dataclass(frozen=True)
class ResponseScale:
    """What the response tells priors.

    Attributes
    ----------
    centre
        Where the prior of the intercept counts from.
    unit
        Unit of the linear predictor: sd(y) on the identity link.
    sigma
        Unit of sigma: sd(y), off the identity link too.
    """

    centre: float
    unit: float
    sigma: float


@dataclass(frozen=True, eq=False)
class Scales:
    """What the scales of priors are taken from.

    Attributes
    ----------
    response
        A `ResponseScale` for each `PriorSet.unit`.
    n
        Number of rows.
    fixed_names
        Labels of the p coefficients; ``Intercept`` for the constant.
    mean, sd
        (p,) means and standard deviations of the columns of X; sd 1 for constant columns.
    terms
        The random terms.
    orders
        (p,) number of variables of each coefficient: 1 for a main effect, 2 for an interaction of two.
    auxiliary
        Auxiliary parameters of the family that are estimated: ``("sigma",)`` for a Gaussian response.
    sigma_known
        Whether sigma is known for each row, so that it has no prior.
    thresholds
        Whether thresholds take the place of the intercept.
    weight
        Mean of the precision weights, 1 where there are none.
    zero
        Those of the model of the zeros of counts; None of other models.
    """

    response: Mapping[str, ResponseScale]
    n: int
    fixed_names: tuple[str, ...]
    mean: Array
    sd: Array
    terms: tuple[TermScales, ...]
    orders: tuple[int, ...]
    auxiliary: tuple[str, ...] = ("sigma",)
    sigma_known: bool = False
    thresholds: bool = False
    weight: float = 1.0
    zero: Scales | None = None
