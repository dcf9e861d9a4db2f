"""Joint draws of everything in a model, whatever sampler left them, and the keys they go by.

A model has one linear predictor, X beta + Z u, or, for a categorical response, one for each category but the first, or
for counts with a model of their zeros two, which read different columns; each has its own fixed effects, random effects
and covariances. Besides there are auxiliary parameters of the family (sigma, nu, shape, phi), the thresholds of an
ordinal response, and whatever else a prior brings along. Draws are ordered chain by chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import sds_first
from mixedfx.design.design import Design
from mixedfx.draws import Key
from mixedfx.results import tables

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Draws of one linear predictor.

    Attributes
    ----------
    beta
        (D, p) fixed effects.
    u
        (D, q) random effects, ordered as `Design` orders them.
    factors
        For each random term (D, k, k) factors F of the covariance F F' of a level's effects; not always triangular.
    category
        The category, or the part of the model, this is the predictor of; None where there is one predictor only.
    """

    beta: Array
    u: Array
    factors: tuple[Array, ...]
    category: str | None = None

    def sd(self, term: int) -> Array:
        """(D, k) standard deviations of the effects of a level."""
        return np.sqrt(np.sum(self.factors[term] ** 2, axis=2))

    def covariance(self, term: int) -> Array:
        """(D, k, k) covariances of the effects of a level."""
        return self.factors[term] @ self.factors[term].transpose(0, 2, 1)

    def new_effects(self, design: Design, rng: np.random.Generator) -> Array:
        """(D, q) effects of as many new levels as the design has, each N(0, F F') with the draw's own F."""
        parts = []
        for term, factor in zip(design.random, self.factors, strict=True):
            normal = rng.standard_normal((len(factor), term.n_levels, term.n_columns))
            parts.append(term.related(normal @ factor.transpose(0, 2, 1)).reshape(len(factor), -1))
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(self.beta), 0))

    def correlation(self, term: int) -> Array:
        """(D, k, k) correlations of the effects of a level; NaN where a standard deviation is zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            L = self.factors[term] / self.sd(term)[:, :, None]
        return L @ L.transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Joint draws of all parameters.

    Attributes
    ----------
    predictors
        One; for a categorical response one for each category but the first; of counts and of zeros, where these have a
        model.
    auxiliary
        Name (``"sigma"``, ``"nu"``, ``"shape"``, ``"phi"``) -> (D,).
    thresholds
        (D, K - 1) thresholds of an ordinal response with K categories; None for others.
    extra
        Draws of what priors bring along, by key: (D,).
    """

    predictors: tuple[Predictor, ...]
    auxiliary: Mapping[str, Array] = field(default_factory=dict)
    thresholds: Array | None = None
    extra: Mapping[Key, Array] = field(default_factory=dict)

    @property
    def n_draws(self) -> int:
        """Number of draws D."""
        return len(self.predictors[0].beta)

    def family_parameters(self, chosen: NDArray[np.intp] | slice = slice(None)) -> dict[str, Array]:
        """What a family needs besides the linear predictor, for the chosen draws."""
        out = {name: values[chosen] for name, values in self.auxiliary.items()}
        return out if self.thresholds is None else out | {"threshold": self.thresholds[chosen]}

    def take(self, chosen: NDArray[np.intp]) -> JointDraws:
        """The chosen draws, of everything."""
        predictors = tuple(
            Predictor(one.beta[chosen], one.u[chosen], tuple(f[chosen] for f in one.factors), one.category)
            for one in self.predictors
        )
        auxiliary = {name: values[chosen] for name, values in self.auxiliary.items()}
        thresholds = None if self.thresholds is None else self.thresholds[chosen]
        return JointDraws(predictors, auxiliary, thresholds, {key: v[chosen] for key, v in self.extra.items()})

    def with_new_groups(self, design: Design, rng: np.random.Generator) -> JointDraws:
        """The same draws with random effects of groups that were not seen: each level's from N(0, F F')."""
        drawn = (replace(one, u=one.new_effects(own, rng)) for one, own in self._with_designs(design))
        return replace(self, predictors=tuple(drawn))

    def _with_designs(self, design: Design) -> Iterator[tuple[Predictor, Design]]:
        return zip(self.predictors, design.of_predictors(len(self.predictors)), strict=True)

    def parameters(self, design: Design) -> tuple[tuple[Key, ...], Array]:
        """Keys and (D, m) draws of all but beta and u: auxiliary, thresholds, sds, correlations, extra."""
        keys: list[Key] = [(name,) for name in self.auxiliary]
        columns: list[Array] = list(self.auxiliary.values())
        if self.thresholds is not None:
            keys += [("threshold", str(k + 1)) for k in range(self.thresholds.shape[1])]
            columns += list(self.thresholds.T)
        for predictor, own in self._with_designs(design):
            where = () if predictor.category is None else (predictor.category,)
            for t, (name, term) in enumerate(zip(tables.term_names(own.random), own.random, strict=True)):
                for component in sds_first(term.covariance.components):
                    keys.append((component.kind, *where, name, *component.names(term.columns, term.shared)))
                    columns.append(component.value(predictor.factors[t]))
        keys += list(self.extra)
        columns += list(self.extra.values())
        return tuple(keys), np.column_stack(columns) if columns else np.zeros((self.n_draws, 0))

    def every(self, design: Design) -> tuple[tuple[Key, ...], Array]:
        """Keys and (D, m) draws of everything: beta, then `parameters`, then u."""
        keys, values = self.parameters(design)
        fixed, random = [], []
        for predictor, own in self._with_designs(design):
            names, p = tables.draw_keys(own), len(own.fixed_names)
            where = () if predictor.category is None else (predictor.category,)
            fixed += [(key[0], *where, *key[1:]) for key in names[:p]]
            random += [(key[0], *where, *key[1:]) for key in names[p:]]
        parts = [*(one.beta for one in self.predictors), values, *(one.u for one in self.predictors)]
        return (*fixed, *keys, *random), np.concatenate(parts, axis=1)
