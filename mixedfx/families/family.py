"""What a family of distributions is: a response given its linear predictor.

A family knows which responses it can have, their log density, their mean and how to draw new ones; it knows nothing of
designs, priors or samplers. Arrays have one row for each posterior draw (D) and one column for each row of data (m).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.families.links import LINKS, Link

Array = NDArray[np.float64]
Auxiliary = Mapping[str, Array]
Outcome = Literal["real", "positive", "unit", "count", "binary", "trials", "ordered", "nominal"]


@dataclass(frozen=True, repr=False)
class Family(ABC):
    """A distribution of the response with its link; `mixedfx.families.registry` lists them.

    Two families are equal if they are the same distribution with the same link.

    Attributes
    ----------
    link
        The link between mean and linear predictor.
    name
        brms's name.
    links
        Names of the links it can have, the default first.
    auxiliary
        Parameters besides the linear predictor, one number in each draw: ``sigma``, ``nu``, ``shape``, ``phi``.
    outcome
        What kind of response it takes.
    weights
        Whether rows can have precision weights.
    """

    link: Link
    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    auxiliary: ClassVar[tuple[str, ...]] = ()
    outcome: ClassVar[Outcome]
    weights: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._check_link(self.link.name)

    @classmethod
    def linked(cls, link: str | None = None) -> Self:
        """Make the family with one of its links, by name; with the first where None.

        Raises
        ------
        OptionError
            For a link that the family does not have.
        """
        name = cls.links[0] if link is None else link
        cls._check_link(name)
        return cls(LINKS[name])

    @classmethod
    def _check_link(cls, name: str) -> None:
        if name not in cls.links:
            raise OptionError(f"{cls.name} has no link {name!r}", mend=f"Use {', '.join(map(repr, cls.links))}.")

    def __repr__(self) -> str:
        return f"{self.name}(link={self.link.name!r})"

    @property
    def identity(self) -> bool:
        """Whether the mean is the linear predictor itself, so that effects are linear functionals."""
        return False

    @property
    def known_sd(self) -> bool:
        """Whether the sampling standard deviations can be known, ``y | se(s) ~ ...``."""
        return self.weights

    @property
    def categories(self) -> bool:
        """Whether the response is one of K categories, so that its mean is K probabilities."""
        return self.outcome in ("ordered", "nominal")

    @abstractmethod
    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Refuse responses that this family cannot have.

        Parameters
        ----------
        y
            (n,) responses; codes 0 to K - 1 of categories.
        trials
            (n,) numbers of trials, for binomial only.
        rows
            (n,) positions of the rows in the data as given, for the message.

        Raises
        ------
        DataError
            Naming the rows.
        """

    @abstractmethod
    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of each row in each draw, all constants included.

        Parameters
        ----------
        y
            (m,) responses; codes of categories.
        eta
            (D, m) linear predictor; (D, m, K - 1) for categorical.
        aux
            Name -> (D,) draws of the auxiliary parameters; ``"threshold"`` -> (D, K - 1) for cumulative.
        trials
            (m,) numbers of trials (binomial).
        weights
            (m,) precision weights: the scale of a row is sigma / sqrt(weight).
        known_sd
            (m,) known standard deviations, which take the place of sigma.

        Returns
        -------
        (D, m) array
            -inf where the parameters do not allow the response.
        """

    @abstractmethod
    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """Mean response.

        Returns
        -------
        (D, m) array
            In the units of the response. Binomial: the probability of success, or the expected number of successes
            where `trials` is given. Cumulative, categorical: (D, m, K) probabilities.
        """

    @abstractmethod
    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """(D, m) new responses, one for each row and draw; arguments as in `log_density`, codes for categories."""


def across(aux: Auxiliary, name: str) -> Array:
    """Draws (D,) of an auxiliary parameter as (D, 1), to go with (D, m)."""
    return np.asarray(aux[name], dtype=np.float64)[..., None]


def times(count: Array, log_probability: Array) -> Array:
    """Multiply count and log_probability, where nothing happened no times counts as certain: 0 * -inf is 0."""
    return np.where(count == 0, 0.0, count * np.where(count == 0, 0.0, log_probability))


def refuse(bad: NDArray[np.bool_], y: Array, rows: NDArray[np.intp], what: str, mend: str) -> None:
    """Raise `DataError` for the rows where `bad` holds, quoting the first value.

    `what` is a sentence with ``{where}`` and ``{value}`` in it.
    """
    if bad.any():
        value = y[bad][0]
        raise DataError(what.format(where=f"{some_rows(rows[bad])} (counted from 0)", value=f"{value:g}"), mend=mend)
