"""A fit that answers from joint draws of (beta, u) and has any family: the oracle of effects off the identity link.

Everything is dense and written out: draws of the coefficients are at hand, so a test can repeat a question with loops
over draws and rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.errors import check_option
from mixedfx.families.registry import find_family
from tests.effects.dense_fit import fit_densely


@dataclass(frozen=True)
class DrawnEstimate:
    sample: np.ndarray
    exact: bool = False
    own_intervals = False
    notes = ()

    @property
    def mean(self) -> np.ndarray:
        return self.sample.mean(axis=0)

    @property
    def cov(self) -> np.ndarray:
        return np.atleast_2d(np.cov(self.sample.T))

    def draws(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        if n is None:
            return self.sample
        return self.sample[np.random.default_rng(seed).choice(len(self.sample), n, replace=n > len(self.sample))]


@dataclass(frozen=True)
class DrawnFit:
    """Draws of (beta, u) (D, p + q), of the covariance factor of each term, and of auxiliary parameters."""

    design: Any
    sample: np.ndarray
    covariance_factors: tuple[np.ndarray, ...]
    family: Any
    auxiliary: Mapping[tuple[str, ...], np.ndarray] = field(default_factory=dict)
    uncertainty: str = "Draws."
    posterior = True
    concerns = ()
    singularity = None

    def with_uncertainty(self, uncertainty: Any) -> Any:
        check_option("uncertainty", uncertainty, ("full",))
        return self

    @property
    def varcorr(self) -> pd.DataFrame:
        raise NotImplementedError

    def draws(self) -> Mapping[tuple[str, ...], np.ndarray]:
        return self.auxiliary

    def design_for(self, newdata: Any = None, new_levels: Any = "error") -> Functional:
        return functional_for(self.design, newdata, new_levels)

    def new_draws(self, term: int, level: str) -> np.ndarray:
        """(D, k) effects of an unseen level."""
        factor = self.covariance_factors[term]
        rng = np.random.default_rng([term, crc32(level.encode())])
        return np.einsum("dab,db->da", factor, rng.standard_normal(factor.shape[:2]))

    def apply(self, functional: Functional) -> DrawnEstimate:
        C = np.column_stack([functional.fixed, functional.random.toarray()])
        values = self.sample @ C.T + functional.offset
        if functional.new_levels:
            new = np.concatenate([self.new_draws(n.term, n.level) for n in functional.new_levels], axis=1)
            values = values + new @ functional.new.toarray().T
        return DrawnEstimate(values)

    def expected(self, functional: Functional, chosen: Any = None) -> np.ndarray:
        aux = {key[0]: values for key, values in self.auxiliary.items() if len(key) == 1}
        thresholds = [values for key, values in self.auxiliary.items() if key[0] == "threshold"]
        if thresholds:
            aux["threshold"] = np.column_stack(thresholds)
        return self.family.mean(self.apply(functional).sample, aux)


@dataclass(frozen=True)
class Labelled:
    """A design with categories, as the families make it."""

    design: Design
    categories: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.design, name)


def draw_fit(
    formula: str,
    data: pd.DataFrame,
    family: Any,
    draws: int = 400,
    seed: int = 1,
    categories: tuple[str, ...] | None = None,
    scale: float = 1.0,
    auxiliary: Mapping[tuple[str, ...], np.ndarray] | None = None,
) -> DrawnFit:
    """Joint normal draws around the dense solution, with population covariances that differ between draws."""
    dense = fit_densely(formula, data)
    rng = np.random.default_rng(seed)
    sample = rng.multivariate_normal(scale * dense.mean, dense.cov, size=draws, method="eigh")
    stretch = np.exp(0.2 * rng.standard_normal(draws))
    factors = tuple(stretch[:, None, None] * np.linalg.cholesky(G) for G in dense.populations)
    design: Any = dense.design if categories is None else Labelled(dense.design, categories)
    return DrawnFit(design, sample, factors, find_family(family), dict(auxiliary or {}))
