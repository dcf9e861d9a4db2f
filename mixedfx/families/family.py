"""What a family of distributions is: a response given its linear predictor.

A family knows which responses it can have, their log density, their mean and how to draw new ones; it knows nothing of
designs, priors or samplers. Arrays have one row for each posterior draw (D) and one column for each row of data (m).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.families.derivatives import HIGHEST
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.links import LINKS, Link

Array = NDArray[np.float64]
Auxiliary = Mapping[str, Array]
Outcome = Literal[
    "real", "positive", "nonnegative", "unit", "count", "positive count", "binary", "trials", "ordered", "nominal"
]


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
        Parameters besides the linear predictor, one number in each draw, by their names in
        `mixedfx.priors.auxiliary.AUXILIARY`; that of the scale last.
    outcome
        What kind of response it takes.
    weights
        Whether rows can have precision weights.
    location
        Whether the linear predictor, with the identity link, is in the units of y, or of log(y).
    normal
        Whether y is normal around its mean, with the standard deviation sigma.
    log_scale
        Whether eta is the mean of log(y), and sigma the standard deviation there.
    noise
        Auxiliary parameter -> sign, where responses vary as if their mean did: the standard deviation of that, on the
        scale of eta, is about the parameter to the power of half the sign, and zero gives another family.
    dispersed
        The auxiliary parameter that ``dispersion="~ x"`` models; None where there is none.
    mean_is_inverse_link
        Whether the mean of a response is the inverse of the link at eta, of a trial where there are trials.
    concave
        Those of its links under which the log density of every response is concave in the linear predictor, whatever
        the auxiliary parameters.
    held
        Auxiliary parameters that are known, with their values.
    """

    link: Link
    held: tuple[tuple[str, float], ...] = ()
    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    auxiliary: ClassVar[tuple[str, ...]] = ()
    outcome: ClassVar[Outcome]
    weights: ClassVar[bool] = False
    location: ClassVar[bool] = False
    normal: ClassVar[bool] = False
    log_scale: ClassVar[bool] = False
    noise: ClassVar[Mapping[str, int]] = {}
    dispersed: ClassVar[str | None] = None
    mean_is_inverse_link: ClassVar[bool] = True
    concave: ClassVar[tuple[str, ...]] = ()

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
            raise OptionError(f"{cls.name} has no link {name!r}", hint=f"Use {', '.join(map(repr, cls.links))}.")

    def __repr__(self) -> str:
        return f"{self.name}({', '.join([f'link={self.link.name!r}', *(f'{name}={x:g}' for name, x in self.held)])})"

    def with_link(self, link: str) -> Self:
        """The same with another of its links, by name.

        Raises
        ------
        OptionError
            For a link that the family does not have.
        """
        self._check_link(link)
        return replace(self, link=LINKS[link])

    @property
    def identity(self) -> bool:
        """Whether the mean is the linear predictor itself, so that effects are linear functionals."""
        return False

    @property
    def linear_gaussian(self) -> bool:
        """Whether y is normal around the linear predictor itself."""
        return self.normal and self.identity

    @property
    def continuous(self) -> bool:
        """Whether the response has a density, which has no bound where the scale may go to its limit."""
        return self.outcome in ("real", "positive", "unit")

    @property
    def known_sd(self) -> bool:
        """Whether the sampling standard deviations can be known, ``y | se(s) ~ ...``."""
        return self.weights

    @property
    def categories(self) -> bool:
        """Whether the response is one of K categories, so that its mean is K probabilities."""
        return self.outcome in ("ordered", "nominal")

    @abstractmethod
    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse responses that this family cannot have.

        Parameters
        ----------
        y
            (n,) responses; codes 0 to K - 1 of categories.
        facts
            What is known of each row.
        rows
            (n,) positions of the rows in the data as given, for the message.

        Raises
        ------
        DataError
            Naming the rows.
        """

    @abstractmethod
    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of each row in each draw, all constants included.

        Parameters
        ----------
        y
            (m,) responses; codes of categories.
        eta
            (D, m) linear predictor; (D, m, K - 1) for categorical.
        aux
            Name -> (D,) draws of the auxiliary parameters; ``"threshold"`` -> (D, K - 1) for cumulative.
        facts
            What else is known of each row: trials, weights, known standard deviations.

        Returns
        -------
        (D, m) array
            -inf where the parameters do not allow the response.
        """

    @abstractmethod
    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Mean response.

        Returns
        -------
        (D, m) array
            In the units of the response. Binomial: the probability of success, or the expected number of successes
            where `facts` gives the trials. Cumulative, categorical: (D, m, K) probabilities.
        """

    @abstractmethod
    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(D, m) new responses, one for each row and draw; arguments as in `log_density`, codes for categories."""

    @abstractmethod
    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Derivatives of the log density in the linear predictor.

        Parameters
        ----------
        y, eta, aux, facts
            As in `log_density`.
        order
            Highest order, 1 to 4.

        Returns
        -------
        (order, D, m) array
            Orders 1, 2, ...; no number where the parameters do not allow the response.

        Raises
        ------
        OptionError
            For a family with several linear predictors (categorical).
        """

    @abstractmethod
    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """Derivatives of the log density, and of its first two derivatives in eta, in the auxiliary parameters.

        Returns
        -------
        Mapping
            Name -> (3, D, m): d / d log(parameter) of the log density, of its first and of its second derivative in
            eta. ``"threshold"`` -> (K - 1, 3, D, m), in the thresholds themselves. Without sigma where it is known.
        """

    @abstractmethod
    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(D, m) expected information about eta: the mean of minus the second derivative of the log density."""

    @abstractmethod
    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(D, m) variance of the response; of each category's indicator, (D, m, K), where the mean is (D, m, K)."""

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Values of the auxiliary parameters to begin a search with, from moments of responses (n,)."""
        return dict.fromkeys(self.auxiliary, 1.0)

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """What the family has become where an auxiliary parameter runs to an end of its range.

        Parameters
        ----------
        aux
            Name -> estimate of each auxiliary parameter.
        y, facts
            (n,) responses, and what is known of them.

        Returns
        -------
        Mapping
            Parameter -> a sentence that names the family and the limit; nothing where no parameter is at an end.
        """
        return {}

    def dispersion(self, aux: Mapping[str, float]) -> float:
        """The factor of the variance that R's generalised linear models leave out of residuals; one where none is."""
        return 1.0


def across(aux: Auxiliary, name: str) -> Array:
    """Draws (D,) of an auxiliary parameter as (D, 1), to go with (D, m); what differs by row, (D, m), as it is."""
    values = np.asarray(aux[name], dtype=np.float64)
    return values if values.ndim > 1 else values[..., None]


def moments_of(y: Array) -> tuple[float, float]:
    """Mean and variance of responses, the latter kept off zero."""
    return float(np.mean(y)), max(float(np.var(y)), 1e-300)


def times(count: Array, log_probability: Array) -> Array:
    """Multiply count and log_probability, where nothing happened no times counts as certain: 0 * -inf is 0."""
    return np.where(count == 0, 0.0, count * np.where(count == 0, 0.0, log_probability))


def refuse(bad: NDArray[np.bool_], y: Array, rows: NDArray[np.intp], what: str, hint: str) -> None:
    """Raise `DataError` for the rows where `bad` holds, quoting the first value.

    `what` is a sentence with ``{where}`` and ``{value}`` in it.
    """
    if bad.any():
        value = y[bad][0]
        raise DataError(what.format(where=f"{some_rows(rows[bad])} (counted from 0)", value=f"{value:g}"), hint=hint)


def known(**values: float | None) -> tuple[tuple[str, float], ...]:
    """Auxiliary parameters that are known, as `Family.held` has them; those that are None are estimated."""
    return tuple((name, float(value)) for name, value in values.items() if value is not None)
