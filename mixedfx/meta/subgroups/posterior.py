r"""Posteriors of subgroup effects under each model, and under all of them: finite mixtures of normal distributions.

Given the scales, with D = diag(d_j^2) the prior variances of beta (`mixedfx.meta.subgroups.models`), r = y - B m and
A = I + D^1/2 B'V^-1 B D^1/2 = L L',

    log p(y) = -1/2 { r'V^-1 r + log |V| + G log 2 pi } - log |L| + 1/2 |L^-1 D^1/2 B'V^-1 r|^2,
    beta | y ~ N(m + D^1/2 A^-1 D^1/2 B'V^-1 r,  F F'),     F = D^1/2 L'^-1,

which holds at a scale of zero too. Over the nodes of the scales (`scale_integral`) and over the models, a linear
combination of effects is a mixture of normal distributions, the same nodes for all of them: intervals and probabilities
come from its distribution function and draws from one joint distribution. A difference that a model has at zero is zero
there to the last digit, and holds that model's probability in one point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import triangular
from mixedfx.meta.subgroups.models import SubgroupModel
from mixedfx.meta.subgroups.scale_integral import ScaleNodes, integrate_scales
from mixedfx.sampling import mixture

Array = NDArray[np.float64]

CHUNK = 2**21  # numbers of one batch of matrices
ROUNDING = 1e-12
DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Evidence:
    """The likelihood of the scales of a model, beta integrated out.

    Attributes
    ----------
    model
        Any of `mixedfx.meta.subgroups.models`.
    cross
        (p, p) B'V^-1 B.
    score
        (p,) B'V^-1 r.
    constant
        -1/2 { r'V^-1 r + log |V| + G log 2 pi }.
    """

    model: SubgroupModel
    cross: Array
    score: Array
    constant: float

    @classmethod
    def of(cls, model: SubgroupModel, y: Array, factor: Array) -> Evidence:
        """From the estimates and the lower Cholesky factor of V."""
        r = triangular.solve(factor, y - model.basis @ model.loc, lower=True)
        B = triangular.solve(factor, model.basis, lower=True)
        constant = -0.5 * (r @ r + len(y) * np.log(2 * np.pi)) - np.log(np.diag(factor)).sum()
        return cls(model, B.T @ B, B.T @ r, float(constant))

    def factors(self, roots: Array) -> tuple[Array, Array]:
        """L (m, p, p), and L^-1 D^1/2 B'V^-1 r (m, p), at (m, p) prior standard deviations."""
        A = np.eye(roots.shape[1]) + roots[:, :, None] * self.cross * roots[:, None, :]
        L = np.asarray(np.linalg.cholesky(A), dtype=np.float64)
        return L, np.asarray(np.linalg.solve(L, (roots * self.score)[:, :, None])[:, :, 0], dtype=np.float64)

    def log_likelihood(self, scales: Array) -> Array:
        """(m,) log p(y | scales)."""
        roots = self.model.roots(scales)
        step = max(1, CHUNK // roots.shape[1] ** 2)
        out = np.empty(len(roots))
        for start in range(0, len(roots), step):
            L, half = self.factors(roots[start : start + step])
            logs = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
            out[start : start + step] = self.constant - logs + 0.5 * (half**2).sum(axis=1)
        return out


@dataclass(frozen=True, eq=False)
class ModelPosterior:
    """One model given the data: beta is a mixture of normal distributions over the nodes of the scales.

    Attributes
    ----------
    model
        The model.
    nodes
        Of its scales.
    mean
        (K, p) means of beta at the nodes.
    factor
        (K, p, p) F, F F' their covariances.
    """

    model: SubgroupModel
    nodes: ScaleNodes
    mean: Array
    factor: Array

    def components(self, rows: Array) -> tuple[Array, Array]:
        """Means and standard deviations (K, s) of (s, G) combinations of effects at the nodes."""
        L = self.loadings(rows)
        return self.mean @ L.T, np.sqrt((np.einsum("sp,kpq->ksq", L, self.factor) ** 2).sum(axis=2))

    def loadings(self, rows: Array) -> Array:
        """(s, p) combinations of beta that (s, G) combinations of effects are; rounding errors are zero."""
        basis = self.model.basis
        L, size = rows @ basis, (np.abs(rows) @ np.abs(basis)).max(axis=1, initial=0.0, keepdims=True)
        # averages and contrasts of effects have weights of order one
        return np.where(np.abs(L) <= ROUNDING * np.maximum(size, np.abs(basis).max()), 0.0, L)

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        """(n, p) draws of beta."""
        at = rng.choice(len(self.nodes.weights), n, p=self.nodes.weights)
        normal = rng.standard_normal((n, self.mean.shape[1]))
        return self.mean[at] + np.einsum("npq,nq->np", self.factor[at], normal)


def fit_model(model: SubgroupModel, y: Array, V: Array) -> ModelPosterior:
    """Integrate a model over its scales.

    Parameters
    ----------
    model
        The model.
    y, V
        (G,) estimates and (G, G) covariance of their errors.
    """
    evidence = Evidence.of(model, y, np.asarray(np.linalg.cholesky(V), dtype=np.float64))
    nodes = integrate_scales(evidence.log_likelihood, model.scale_priors, _unit(V))
    roots = model.roots(nodes.scales)
    L, half = evidence.factors(roots)
    F = roots[:, :, None] * np.linalg.solve(L, np.broadcast_to(np.eye(L.shape[1]), L.shape)).transpose(0, 2, 1)
    # A^-1 D^1/2 B'V^-1 r = L'^-1 half, and F = D^1/2 L'^-1
    mean = model.loc + np.einsum("kpq,kq->kp", F, half)
    return ModelPosterior(model, nodes, mean, F)


def prior_of(model: SubgroupModel, V: Array) -> ModelPosterior:
    """The model before the data, over nodes of the prior of its scales; V (G, G) sets what a small scale is."""
    nodes = integrate_scales(lambda scales: np.zeros(len(scales)), model.scale_priors, _unit(V))
    roots = model.roots(nodes.scales)
    mean = np.broadcast_to(model.loc, roots.shape)
    return ModelPosterior(model, nodes, mean, roots[:, :, None] * np.eye(roots.shape[1]))


def _unit(V: Array) -> float:
    """A typical standard error."""
    return float(np.sqrt(np.median(np.diag(V))))


@dataclass(frozen=True, eq=False)
class Averaged:
    """Several models, each with its posterior probability: what is known of the effects of G subgroups.

    Attributes
    ----------
    parts
        The models.
    weights
        Their posterior probabilities.
    """

    parts: tuple[ModelPosterior, ...]
    weights: Array

    def linear(self, rows: Array) -> MixtureEstimate:
        """What is known of (s, G) linear combinations of the effects."""
        return MixtureEstimate(self, rows)


@dataclass(frozen=True, eq=False)
class MixtureEstimate:
    """s linear combinations of subgroup effects, a mixture over models and nodes.

    Attributes
    ----------
    known
        The models.
    rows
        (s, G) the combinations.
    """

    known: Averaged
    rows: Array
    exact = True
    own_intervals = True
    notes = ()

    @cached_property
    def _mixture(self) -> tuple[Array, Array, Array]:
        """Weights (K,), means (K, s), sds (K, s)."""
        found = [part.components(self.rows) for part in self.known.parts]
        weights = [w * part.nodes.weights for w, part in zip(self.known.weights, self.known.parts, strict=True)]
        return np.concatenate(weights), np.concatenate([m for m, _ in found]), np.concatenate([s for _, s in found])

    @property
    def mean(self) -> Array:
        """(s,) posterior means."""
        return mixture.moments(*self._mixture)[0]

    @property
    def sd(self) -> Array:
        """(s,) posterior standard deviations."""
        return np.sqrt(mixture.moments(*self._mixture)[1])

    @property
    def cov(self) -> Array:
        """(s, s) posterior covariance."""
        weights, means, _ = self._mixture
        gap = means - weights @ means
        out = (gap * weights[:, None]).T @ gap
        for w, part in zip(self.known.weights, self.known.parts, strict=True):
            loadings, share = part.loadings(self.rows), w * part.nodes.weights
            within = np.einsum("k,kpr,kqr->pq", share, part.factor, part.factor)
            out = out + loadings @ within @ loadings.T
        return out

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        weights, means, sds = self._mixture
        ends = np.column_stack([mixture.quantiles(weights, means, sds, q) for q in (0.5 - level / 2, 0.5 + level / 2)])
        for j in np.flatnonzero((sds == 0).any(axis=0)):
            # an end that lies in a point mass lies in the point
            points, near = means[sds[:, j] == 0, j], 10 * mixture.NARROWEST * self.sd[j]
            nearest = points[np.abs(points - ends[j][:, None]).argmin(axis=1)]
            ends[j] = np.where(np.abs(nearest - ends[j]) <= near, nearest, ends[j])
        return ends

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying strictly above `greater` and below `less`."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        return mixture.share_between(*self._mixture, low, high)

    def density(self, x: Array) -> Array:
        """(m, s) densities of the continuous part at x (m, s), its area one less `points`; as fine as the steps of x.

        Scales near zero make peaks that no grid could show: components narrower than half a step are as wide as that.
        """
        weights, means, sds = self._mixture
        step = (x[-1] - x[0]) / (2 * max(len(x) - 1, 1))
        out = np.empty(x.shape)
        for j in range(x.shape[1]):
            own = sds[:, j] > 0
            wide = np.maximum(sds[own, j], step[j])
            z = (x[:, [j]] - means[own, j]) / wide
            out[:, j] = np.exp(-0.5 * z**2) @ (weights[own] / wide) / np.sqrt(2 * np.pi)
        return out

    def points(self, j: int) -> tuple[Array, Array]:
        """Values that have a probability in row j, and these."""
        weights, means, sds = self._mixture
        own = sds[:, j] == 0
        values, at = np.unique(means[own, j], return_inverse=True)
        return values, np.bincount(at.ravel(), weights[own], len(values)).astype(np.float64)

    def draws(self, n: int | None = None, seed: int | np.random.Generator | None = None) -> Array:
        """(n, s) joint draws, 4,000 where `n` is None; the same ones of beta whatever the rows."""
        n, rng = DRAWS if n is None else n, np.random.default_rng(seed)
        counts = rng.multinomial(n, self.known.weights)
        draws = [
            part.draws(count, rng) @ part.loadings(self.rows).T
            for part, count in zip(self.known.parts, counts, strict=True)
        ]
        return np.concatenate(draws)[rng.permutation(n)]
