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
from mixedfx.results.protocol import Fit, JointSample, NewLevels, Samples

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
    sample
        Its draws.
    seed
        Of the effects of unseen levels.
    """

    fit: Any
    sample: JointSample
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
        """One for all draws, or one for each where the fit draws them too."""
        return self.sample.factors

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """As the fit has it."""
        return self.fit.design_for(newdata, new_levels)

    def apply(self, functional: Functional) -> SampledEstimate:
        """Draws of linear functionals."""
        drawn = self.sample
        values = drawn.beta @ functional.fixed.T + (functional.random @ drawn.u.T).T + functional.offset
        if functional.new_levels:
            new = [self._new(level.term, level.level) for level in functional.new_levels]
            values = values + (functional.new @ np.concatenate(new, axis=1).T).T
        return SampledEstimate(np.asarray(values))

    def _new(self, term: int, level: str) -> Array:
        """(D, k) effects of an unseen level."""
        factors = self.sample.factors[term]
        rng = np.random.default_rng([self.seed, term, crc32(level.encode())])
        normal = rng.standard_normal((len(self.sample.beta), factors.shape[1]))
        return normal @ factors[0].T if len(factors) == 1 else np.einsum("dab,db->da", factors, normal)

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
        """(D, m) draws of mean responses."""
        values = self.apply(functional).values
        found = self.family.mean(values, self.sample.auxiliary)
        return found if chosen is None else found[chosen]

    def draws(self) -> Mapping[tuple[str, ...], Array]:
        """The residual standard deviation and what else the family has."""
        out: dict[tuple[str, ...], Array] = {}
        for name, values in self.sample.auxiliary.items():
            if values.ndim == 1:
                out[(name,)] = values
            elif name == "threshold":
                out |= {(name, str(k + 1)): column for k, column in enumerate(values.T)}
        return out


def sampled(fit: Fit, seed: int, groups: str = "fitted") -> Any:
    """Draw (beta, u) of a fit once, and the variances where it draws these.

    Parameters
    ----------
    fit
        A fit that answers exactly.
    seed
        Of the draws.
    groups
        As in `mixedfx.effects.effects.effects`.

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
    n = int(np.clip(NUMBERS // m, FEWEST, DRAWS))
    if isinstance(fit, Samples):
        return SampledFit(fit, fit.joint_sample(n, seed, groups != "integrate"), seed)
    eye = sparse.csr_array(sparse.eye_array(m))
    none = sparse.csr_array((m, 0))
    rows = Functional(eye[:, :p].toarray(), sparse.csr_array(eye[:, p:]), none, (), np.zeros(m), np.zeros(m))
    values = fit.apply(rows).draws(n, seed)
    known: Any = fit
    auxiliary = {"sigma": np.full(len(values), known.sigma)}
    return SampledFit(fit, JointSample(values[:, :p], values[:, p:], fit.covariance_factors, auxiliary), seed)
