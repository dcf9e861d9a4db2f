"""Data with every kind of column, and a fit whose (beta, u) has a known dense distribution: the tests' oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for


@dataclass(frozen=True)
class DenseEstimate:
    mean: np.ndarray
    cov: np.ndarray

    def draws(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.multivariate_normal(self.mean, self.cov, size=n or 1000, method="eigh")


@dataclass(frozen=True)
class DenseFit:
    """Henderson's equations solved by a dense inverse, with covariances that are given and not estimated."""

    design: Design
    mean: np.ndarray
    cov: np.ndarray
    populations: tuple[np.ndarray, ...]
    uncertainty: str = "Everything is known but beta and u."

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


def fit_densely(formula: str, data: pd.DataFrame, sigma: float = 1.3, **options: Any) -> DenseFit:
    design = build_design(formula, data, sigma_free=False, **options)
    Z = functional_for(design).random.toarray()
    precision = np.zeros((Z.shape[1],) * 2)
    populations = []
    for t, (term, start) in enumerate(zip(design.random, design.starts[:-1], strict=True)):
        k = term.n_columns
        # Any covariance will do; it differs between terms and its columns are correlated.
        root = np.tril(0.2 * np.ones((k, k))) + np.diag(0.5 + 0.3 * np.arange(k) + 0.1 * t)
        population = root @ root.T
        populations.append(population)
        for level in range(term.n_levels):
            i = start + level * k
            precision[i : i + k, i : i + k] = np.linalg.inv(population)
    W = np.column_stack([design.X, Z])
    p = design.X.shape[1]
    A = W.T @ W / sigma**2
    A[p:, p:] += precision
    cov = np.linalg.inv(A)
    return DenseFit(design, cov @ W.T @ (design.y - design.offset) / sigma**2, cov, tuple(populations))


@pytest.fixture(scope="session")
def dense_fit():
    return fit_densely


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    """240 people: binary, three-level and numeric treatments, demography, schools nested in districts."""
    rng = np.random.default_rng(20)
    n = 240
    school = rng.integers(0, 12, n)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "z": rng.integers(0, 2, n),
            "treated": rng.random(n) < 0.5,
            "style": pd.Categorical(rng.choice(["None", "Some", "Fully"], n), categories=["None", "Some", "Fully"]),
            "dose": rng.uniform(0, 3, n).round(1),
            "step": rng.integers(1, 4, n),
            "race": rng.choice(["Asian", "Black", "White"], n, p=[0.15, 0.35, 0.5]),
            "gender": pd.Categorical(rng.choice(["girl", "boy"], n), categories=["girl", "boy"]),
            "age": rng.integers(20, 60, n),
            "school": np.char.add("s", school.astype(str)).astype(object),
            "district": np.char.add("d", (school % 3).astype(str)).astype(object),
            "urban": rng.random(n) < 0.4,
            "w": rng.integers(1, 5, n).astype(float),
            "test score": rng.normal(size=n).round(1),
        }
    )
    frame["y"] += 0.5 * frame["z"] + 0.3 * (frame["race"] == "Black") * frame["z"]
    return frame
