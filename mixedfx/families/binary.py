"""Families of successes: bernoulli (one trial in each row) and binomial (a number of trials in each row).

Densities use log p and log(1 - p) of the link, so that a linear predictor far out gives its log density to all digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import DataError
from mixedfx.families.derivatives import HIGHEST, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, refuse, times


class _Successes(Family):
    """A probability p of success."""

    links = ("logit", "probit", "cloglog", "cauchit")
    concave = ("logit", "probit", "cloglog")

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """There are no auxiliary parameters."""
        return {}

    def _one_trial(self, eta: Array) -> Array:
        """Information of one trial, (d p)^2 / (p (1 - p)), without forming p (1 - p)."""
        return -self.link.log_inverse_derivatives(eta, 1)[0] * self.link.log_complement_derivatives(eta, 1)[0]

    def _spread(self, eta: Array) -> Array:
        """P (1 - p)."""
        return np.exp(self.link.log_inverse(eta) + self.link.log_complement(eta))


@dataclass(frozen=True, repr=False)
class Bernoulli(_Successes):
    """One success or failure; see `bernoulli`."""

    name = "bernoulli"
    outcome: ClassVar[Outcome] = "binary"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse anything but 0 and 1."""
        refuse(
            (y != 0) & (y != 1),
            y,
            rows,
            "bernoulli responses are 0 or 1, but the response is {value} in {where}",
            "Of two other codes write I(y == 2) for the success; counts out of a total are k | trials(m) ~ ... with "
            "family='binomial'; more categories are family='categorical' or 'cumulative'.",
        )

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The logarithm of p for a success, of 1 - p for a failure."""
        out, success = np.empty(np.shape(eta)), y == 1
        out[:, success] = self.link.log_inverse(eta[:, success])
        out[:, ~success] = self.link.log_complement(eta[:, ~success])
        return out

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of log p, or of log(1 - p)."""
        out, success = np.empty((order, *np.shape(eta))), y == 1
        out[:, :, success] = self.link.log_inverse_derivatives(eta[:, success], order)
        out[:, :, ~success] = self.link.log_complement_derivatives(eta[:, ~success], order)
        return out

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d p)^2 / (p (1 - p))."""
        return self._one_trial(eta)

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """P (1 - p)."""
        return self._spread(eta)

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Probability of success."""
        return self.link.inverse(eta)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Zeros and ones."""
        return (rng.random(np.shape(eta)) < self.link.inverse(eta)).astype(np.float64)


@dataclass(frozen=True, repr=False)
class Binomial(_Successes):
    """Successes out of known numbers of trials; see `binomial`."""

    name = "binomial"
    outcome: ClassVar[Outcome] = "trials"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse what is no count, and more successes than trials."""
        trials = facts.trials
        if trials is None:
            raise DataError(
                "binomial needs the number of trials of each row",
                hint="Write k | trials(m) ~ ...; a response of zeros and ones is family='bernoulli'.",
            )
        for values, what in ((trials, "numbers of trials"), (y, "responses")):
            refuse(
                ~((values >= 0) & (values == np.floor(values)) & np.isfinite(values)),
                values,
                rows,
                f"binomial {what} are counts 0, 1, 2, ..., but there is {{value}} in {{where}}",
                "The response is the number of successes; of a share p write np.round(p * m) | trials(m) ~ ....",
            )
        refuse(
            y > trials,
            y,
            rows,
            "there are more successes than trials in {where}; the first has {value} successes",
            "The left side is successes | trials(all trials), not failures.",
        )

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The sum of log C(m, y), y log p and (m - y) log(1 - p)."""
        m = _given(facts)
        choose = -np.log1p(m) - special.betaln(y + 1, m - y + 1)
        return choose + times(y, self.link.log_inverse(eta)) + times(m - y, self.link.log_complement(eta))

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of y log p + (m - y) log(1 - p)."""
        m = _given(facts)
        of_p, of_rest = self.link.log_inverse_derivatives(eta, order), self.link.log_complement_derivatives(eta, order)
        return stacked(
            tuple(times(y, one) + times(m - y, other) for one, other in zip(of_p, of_rest, strict=True)), np.shape(eta)
        )

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """M (d p)^2 / (p (1 - p))."""
        return _given(facts) * self._one_trial(eta)

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """M p (1 - p); of one trial where the trials are not given."""
        return self._spread(eta) * (1.0 if facts.trials is None else facts.trials)

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Probability of success; the expected number of successes where the trials are given."""
        p = self.link.inverse(eta)
        return p if facts.trials is None else facts.trials * p

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Numbers of successes."""
        m = np.broadcast_to(_given(facts), np.shape(eta)).astype(np.int64)
        return rng.binomial(m, self.link.inverse(eta)).astype(np.float64)


def _given(facts: RowFacts) -> Array:
    if facts.trials is None:
        raise DataError("binomial needs the number of trials of each row", hint="Pass RowFacts(trials=...).")
    return np.asarray(facts.trials, dtype=np.float64)


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
