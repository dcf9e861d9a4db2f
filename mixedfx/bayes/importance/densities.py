"""Log densities of rows at many draws at once, with score and weight: rows on the first axis, draws on the last.

The commonest families have formulas that take one exponential function a number; they leave out of the log density what
does not depend on eta, which `RowDensity.constant` puts back. Their compiled twin is `mixedfx.linalg.density_rows`.
All other families are asked themselves. Weights are the observed ones; where log f is not concave a negative one counts
as zero, as they serve proposals only, whose shape may be any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family

Array = NDArray[np.float64]
Two = tuple[Array, Array]


def _logit(y: Array, m: Array, eta: Array, shape: Array) -> Two:
    p = special.expit(eta)
    mean = m * p
    return y - mean, mean - mean * p


def _logit_value(y: Array, m: Array, eta: Array, shape: Array) -> Array:
    q = np.abs(eta)  # in place from here on: half the time is that of fresh memory
    np.exp(np.negative(q, out=q), out=q)
    np.log1p(q, out=q)
    q += np.maximum(eta, 0.0)
    q *= m
    return np.subtract(y * eta, q, out=q)


def _mu(eta: Array) -> Array:
    return np.exp(np.minimum(eta, 700.0))


def _poisson(y: Array, m: Array, eta: Array, shape: Array) -> Two:
    mu = _mu(eta)
    return y - mu, mu


def _poisson_value(y: Array, m: Array, eta: Array, shape: Array) -> Array:
    return y * eta - _mu(eta)


def _negbinomial(y: Array, m: Array, eta: Array, shape: Array) -> Two:
    mu = _mu(eta)
    total = shape + mu
    a = (y + shape) * (mu / total)
    return y - a, a * (shape / total)


def _negbinomial_value(y: Array, m: Array, eta: Array, shape: Array) -> Array:
    return y * eta - (y + shape) * np.log1p(_mu(eta) / shape)


def _gamma(y: Array, m: Array, eta: Array, shape: Array) -> Two:
    a = shape * y / _mu(eta)
    return a - shape, a


def _gamma_value(y: Array, m: Array, eta: Array, shape: Array) -> Array:
    return -shape * eta - shape * y / _mu(eta)


@dataclass(frozen=True)
class Formulas:
    """One distribution with its link.

    Attributes
    ----------
    kind
        Its number in `mixedfx.linalg.density_rows`.
    slopes
        (y, trials, eta, shape) -> (n, D) derivatives of log f in eta, and minus its second ones.
    value
        The same -> (n, D) log f without what eta does not move.
    """

    kind: int
    slopes: Callable[[Array, Array, Array, Array], Two]
    value: Callable[[Array, Array, Array, Array], Array]


FORMULAS: dict[tuple[str, str], Formulas] = {
    ("bernoulli", "logit"): Formulas(0, _logit, _logit_value),
    ("binomial", "logit"): Formulas(0, _logit, _logit_value),
    ("poisson", "log"): Formulas(1, _poisson, _poisson_value),
    ("negbinomial", "log"): Formulas(2, _negbinomial, _negbinomial_value),
    ("gamma", "log"): Formulas(3, _gamma, _gamma_value),
}
"""Family and link -> formulas."""


@dataclass(frozen=True, eq=False)
class RowDensity:
    """Rows y | eta, independent.

    Attributes
    ----------
    family
        Their distribution.
    y
        (n,) responses.
    facts
        Trials, weights, known standard deviations.
    """

    family: Family
    y: Array
    facts: RowFacts

    @property
    def formulas(self) -> Formulas | None:
        """Formulas of this family and link; None where the family itself is asked."""
        return FORMULAS.get((self.family.name, self.family.link.name))

    @property
    def trials(self) -> Array:
        """(n,) numbers of trials; ones where there are none."""
        return np.ones(len(self.y)) if self.facts.trials is None else np.asarray(self.facts.trials, dtype=np.float64)

    def slopes(self, eta: Array, aux: Mapping[str, Array]) -> Two:
        """(n, D) derivatives of the log densities in eta, and weights of zero at least."""
        if self.formulas is not None:
            return self.formulas.slopes(self.y[:, None], self.trials[:, None], eta, shape_of(aux))
        first, second = self.family.derivatives(self.y, eta.T, aux, self.facts, 2)
        fine = np.isfinite(first.T) & np.isfinite(second.T)
        return np.where(fine, first.T, 0.0), np.where(fine, np.maximum(-second.T, 0.0), 0.0)

    def value(self, eta: Array, aux: Mapping[str, Array]) -> Array:
        """(n, D) log densities, up to `constant`."""
        if self.formulas is not None:
            return self.formulas.value(self.y[:, None], self.trials[:, None], eta, shape_of(aux))
        found = self.family.log_density(self.y, eta.T, aux, self.facts).T
        return np.where(np.isnan(found), -np.inf, found)

    def constant(self, aux: Mapping[str, Array], draws: int) -> Array:
        """(D,) sums over the rows of what the formulas leave out."""
        if self.formulas is None:
            return np.zeros(draws)
        size = draws if aux else 1
        centre = np.zeros((len(self.y), size))
        whole = self.family.log_density(self.y, centre.T, aux, self.facts).sum(axis=1)
        return np.broadcast_to(whole - self.value(centre, aux).sum(axis=0), (draws,))


def shape_of(aux: Mapping[str, Array]) -> Array:
    """(1, D) the auxiliary parameter, or one where there is none."""
    for values in aux.values():
        return values[None]
    return np.ones((1, 1))
