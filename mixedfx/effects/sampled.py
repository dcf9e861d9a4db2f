"""A fit that answers exactly, as joint draws: what is not linear in (beta, u) is averaged within each draw.

Cells pass by in blocks, and their outcomes have to belong to the same draws of (beta, u) in every block. A fit by REML
draws anew for every question; here (beta, u) is drawn once, and every block is a product with these draws. Effects of
levels the fit has not seen depend on the level's name and the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.effects.quantities import DRAWS
from mixedfx.families.family import Family
from mixedfx.results.protocol import Fit, NewLevels

Array = NDArray[np.float64]

# Numbers of the joint draws held at once.
NUMBERS = 2**27
FEWEST = 500


@dataclass(frozen=True, eq=False)
class SampledEstimate:
    """Joint draws of s linear functionals."""

    values: Array
    exact = False
    own_intervals = False
    notes = ()

    @property
    def mean(self) -> Array:
        """(s,) means."""
        return self.values.mean(axis=0)

    @property
    def cov(self) -> Array:
        """(s, s) covariance."""
        return np.atleast_2d(np.cov(self.values.T))

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(D, s) draws, all there are."""
        return self.values


@dataclass(frozen=True, eq=False)
class SampledFit:
    """The fit behind joint draws of its coefficients.

    Attributes
    ----------
    fit
        A fit that answers exactly.
    beta, u
        (D, p) and (D, q) draws.
    seed
        Of the effects of unseen levels.
    """

    fit: Any
    beta: Array
    u: Array
    seed: int

    @property
    def design(self) -> Design:
        """That of the fit."""
        return self.fit.design

    @property
    def family(self) -> Family:
        """That of the fit."""
        return self.fit.family

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """Those of the fit, one for all draws."""
        return self.fit.covariance_factors

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """As the fit has it."""
        return self.fit.design_for(newdata, new_levels)

    def apply(self, functional: Functional) -> SampledEstimate:
        """Draws of linear functionals."""
        values = self.beta @ functional.fixed.T + (functional.random @ self.u.T).T + functional.offset
        if functional.new_levels:
            new = [self._new(level.term, level.level) for level in functional.new_levels]
            values = values + (functional.new @ np.concatenate(new, axis=1).T).T
        return SampledEstimate(np.asarray(values))

    def _new(self, term: int, level: str) -> Array:
        """(D, k) effects of an unseen level."""
        factor = self.fit.covariance_factors[term][0]
        rng = np.random.default_rng([self.seed, term, crc32(level.encode())])
        return rng.standard_normal((len(self.beta), len(factor))) @ factor.T

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
        """(D, m) draws of mean responses."""
        values = self.apply(functional).values
        parameters = {name: np.full(len(values), self.draws()[(name,)][0]) for name in self.family.auxiliary}
        found = self.family.mean(values, parameters)
        return found if chosen is None else found[chosen]

    def draws(self) -> Mapping[tuple[str, ...], Array]:
        """The residual standard deviation and what else the family has, of which such a fit has one value each."""
        found = {("sigma",): np.array([self.fit.sigma])}
        others = [name for name in self.family.auxiliary if name != "sigma"]
        drawn = self.fit.draws(1, 0) if others else {}
        return found | {(name,): np.ravel(drawn[(name,)]) for name in others}


def sampled(fit: Fit, seed: int) -> Any:
    """Draw (beta, u) of a fit once.

    Parameters
    ----------
    fit
        A fit that answers exactly.
    seed
        Of the draws.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.effects.sampled import sampled
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> sampled(fit, 0).apply(fit.design_for()).values.shape
    (4000, 375)
    """
    p, q = fit.design.X.shape[1], fit.design.n_random
    m = p + q
    eye = sparse.csr_array(sparse.eye_array(m))
    none = sparse.csr_array((m, 0))
    rows = Functional(eye[:, :p].toarray(), sparse.csr_array(eye[:, p:]), none, (), np.zeros(m), np.zeros(m))
    values = fit.apply(rows).draws(int(np.clip(NUMBERS // m, FEWEST, DRAWS)), seed)
    return SampledFit(fit, values[:, :p], values[:, p:], seed)
