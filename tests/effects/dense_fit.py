"""A fit whose (beta, u) has a known dense distribution: Henderson's equations with covariances that are given.

The oracle of the tests of effects: what goes through ``design_for`` and ``apply`` is checked against dense products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.build import build_design
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.errors import check_option
from mixedfx.families.registry import find_family


@dataclass(frozen=True)
class DenseEstimate:
    mean: np.ndarray
    cov: np.ndarray
    exact = True
    own_intervals = False
    notes = ()

    def draws(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.multivariate_normal(self.mean, self.cov, size=n or 1000, method="eigh")


@dataclass(frozen=True)
class DenseFit:
    """Posterior mean and covariance of (beta, u), flat in beta."""

    design: Design
    mean: np.ndarray
    cov: np.ndarray
    populations: tuple[np.ndarray, ...]
    uncertainty: str = "Everything is known but beta and u."
    family = find_family("gaussian")
    posterior = False
    concerns = ()
    singularity = None

    @property
    def covariance_factors(self) -> tuple[np.ndarray, ...]:
        return tuple(np.linalg.cholesky(G)[None] for G in self.populations)

    def with_uncertainty(self, uncertainty: Any) -> Any:
        check_option("uncertainty", uncertainty, ("full",))
        return self

    @property
    def varcorr(self) -> pd.DataFrame:
        raise NotImplementedError

    def design_for(self, newdata: Any = None, new_levels: Any = "error") -> Functional:
        return functional_for(self.design, newdata, new_levels)

    def dense(self, rows: Functional) -> np.ndarray:
        return np.column_stack([rows.fixed, rows.random.toarray()])

    def apply(self, functional: Functional) -> DenseEstimate:
        C = self.dense(functional)
        cov = C @ self.cov @ C.T
        if functional.new.shape[1]:
            G = np.zeros((functional.new.shape[1],) * 2)
            at = 0
            for level in functional.new_levels:
                k = len(self.populations[level.term])
                G[at : at + k, at : at + k] = self.populations[level.term]
                at += k
            new = functional.new.toarray()
            cov = cov + new @ G @ new.T
        return DenseEstimate(C @ self.mean + functional.offset, cov)


def fit_densely(
    formula: str, data: pd.DataFrame, sigma: float = 1.3, populations: Mapping[str, Any] | None = None, **options: Any
) -> DenseFit:
    """Solve for (beta, u) given sigma and the covariance of each grouping factor, by label; any will do where None."""
    design = build_design(formula, data, sigma_free=False, **options)
    Z = functional_for(design).random.toarray()
    precision = np.zeros((Z.shape[1],) * 2)
    used = []
    for t, (term, start) in enumerate(zip(design.random, design.starts[:-1], strict=True)):
        k = term.n_columns
        # Different between terms, and the columns correlated.
        root = np.tril(0.2 * np.ones((k, k))) + np.diag(0.5 + 0.3 * np.arange(k) + 0.1 * t)
        population = root @ root.T if populations is None else np.asarray(populations[term.label], dtype=float)
        used.append(population)
        for level in range(term.n_levels):
            i = start + level * k
            precision[i : i + k, i : i + k] = np.linalg.inv(population)
    W = np.column_stack([design.X, Z])
    p = design.X.shape[1]
    A = W.T @ W / sigma**2
    A[p:, p:] += precision
    cov = np.linalg.inv(A)
    return DenseFit(design, cov @ W.T @ (design.y - design.offset) / sigma**2, cov, tuple(used))
