"""Families of successes: bernoulli (one trial in each row) and binomial (a number of trials in each row).

Densities use log p and log(1 - p) of the link, so that a linear predictor far out gives its log density to all digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import DataError
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, refuse, times


class _Successes(Family):
    """A probability p of success."""

    links = ("logit", "probit", "cloglog", "cauchit")


@dataclass(frozen=True, repr=False)
class Bernoulli(_Successes):
    """One success or failure; see `bernoulli`."""

    name = "bernoulli"
    outcome: ClassVar[Outcome] = "binary"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Refuse anything but 0 and 1."""
        refuse(
            (y != 0) & (y != 1),
            y,
            rows,
            "bernoulli responses are 0 or 1, but the response is {value} in {where}",
            "Of two other codes write I(y == 2) for the success; counts out of a total are k | trials(m) ~ ... with "
            "family='binomial'; more categories are family='categorical' or 'cumulative'.",
        )

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """The logarithm of p for a success, of 1 - p for a failure."""
        out, success = np.empty(np.shape(eta)), y == 1
        out[:, success] = self.link.log_inverse(eta[:, success])
        out[:, ~success] = self.link.log_complement(eta[:, ~success])
        return out

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """Probability of success."""
        return self.link.inverse(eta)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Zeros and ones."""
        return (rng.random(np.shape(eta)) < self.link.inverse(eta)).astype(np.float64)


@dataclass(frozen=True, repr=False)
class Binomial(_Successes):
    """Successes out of known numbers of trials; see `binomial`."""

    name = "binomial"
    outcome: ClassVar[Outcome] = "trials"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Refuse what is no count, and more successes than trials."""
        if trials is None:
            raise DataError(
                "binomial needs the number of trials of each row",
                mend="Write k | trials(m) ~ ...; a response of zeros and ones is family='bernoulli'.",
            )
        for values, what in ((trials, "numbers of trials"), (y, "responses")):
            refuse(
                ~((values >= 0) & (values == np.floor(values)) & np.isfinite(values)),
                values,
                rows,
                f"binomial {what} are counts 0, 1, 2, ..., but there is {{value}} in {{where}}",
                "The response is the number of successes, not their share.",
            )
        refuse(
            y > trials,
            y,
            rows,
            "there are more successes than trials in {where}; the first has {value} successes",
            "The left side is successes | trials(all trials), not failures.",
        )

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """The sum of log C(m, y), y log p and (m - y) log(1 - p)."""
        m = _given(trials)
        choose = -np.log1p(m) - special.betaln(y + 1, m - y + 1)
        return choose + times(y, self.link.log_inverse(eta)) + times(m - y, self.link.log_complement(eta))

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """Probability of success; the expected number of successes where `trials` is given."""
        p = self.link.inverse(eta)
        return p if trials is None else trials * p

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Numbers of successes."""
        m = np.broadcast_to(_given(trials), np.shape(eta)).astype(np.int64)
        return rng.binomial(m, self.link.inverse(eta)).astype(np.float64)


def _given(trials: Array | None) -> Array:
    if trials is None:
        raise DataError("binomial needs the number of trials of each row", mend="Pass trials=.")
    return np.asarray(trials, dtype=np.float64)


def bernoulli(link: str = "logit") -> Bernoulli:
    """One success (1) or failure (0) in each row, with probability mu.

    The response may be zeros and ones, booleans, or a text or categorical column with two levels, of which the second
    is the success. Links ``"logit"``, ``"probit"``, ``"cloglog"``, ``"cauchit"``.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.families.bernoulli(link="probit")
    bernoulli(link='probit')
    """
    return Bernoulli.linked(link)


def binomial(link: str = "logit") -> Binomial:
    """Successes out of m trials, written ``k | trials(m) ~ ...``. Links as in `bernoulli`."""
    return Binomial.linked(link)
