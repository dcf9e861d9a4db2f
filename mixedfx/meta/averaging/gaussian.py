r"""Normal likelihoods with the coefficients integrated out: models without bias, PET and PEESE.

Given tau, rho and the coefficient b of PET or PEESE the estimates are normal,

    y ~ N(s (mu + M beta) + b x, V),    V = diag(v + (1 - rho) s^2 tau^2) + rho s^2 tau^2 (1 1' within clusters),

s the scale of the fit. With Z = [1, M, x, y] and G = Z' V^-1 Z, log |V|, everything is algebra of G, for every b, every
prior of the coefficients and every model that shares tau and rho: G is computed once for a grid of them. V has rank one
within clusters: with w_i = 1 / (v_i + within), V^-1 = diag(w) - b w w' / (1 + b sum w) (b the shared variance).

Coefficients have normal priors N(m, diag(1 / p)), so that with r = y - b x - s C m, P = s^2 C' V^-1 C + diag(p) and
h = s C' V^-1 r

    log evidence = -1/2 { k log 2 pi + log |V| + r' V^-1 r - h' P^-1 h + log |P| - sum log p },

and given the data they are N(m + P^-1 h, P^-1). A prior of mu that is cut off divides by its own probability of the
interval and multiplies with that of the posterior; a uniform one has p = 0 and the density 1 / (upper - lower);
Student's t is normal given a precision that has a gamma distribution, one coordinate of the quadrature more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from mixedfx.meta.averaging.given import Given
from mixedfx.meta.measure import Array
from mixedfx.priors.bounded import Spike, Uniform
from mixedfx.priors.location import Normal, StudentT
from mixedfx.priors.marginal import marginal

LOG_2PI = float(np.log(2 * np.pi))
MOST = 4_000_000  # numbers of one temporary array


class Gram(NamedTuple):
    """G (n, q, q) and log |V| (n,) for n pairs of tau and rho."""

    G: Array
    log_det: Array


def gram(given: Given, Z: Array, tau: Array, rho: Array) -> Gram:
    """G of the columns Z (k, q) for n values of tau and rho; clusters count where the data have them."""
    n, (k, q) = len(tau), Z.shape
    total = (given.scale * tau) ** 2
    start = given.start
    products = (Z[:, :, None] * Z[:, None, :]).reshape(k, q * q)
    if start is None or not np.any(rho):
        w = 1 / (given.v + total[:, None])
        return Gram((w @ products).reshape(n, q, q), -np.log(w).sum(axis=1))
    G, log_det = np.empty((n, q, q)), np.empty(n)
    step = max(1, MOST // (k * (q + 1)))
    for begin in range(0, n, step):
        at = slice(begin, begin + step)
        shared = (rho[at] * total[at])[:, None]
        w = 1 / (given.v + (1 - rho[at, None]) * total[at, None])
        sums = np.add.reduceat(w, start[:-1], axis=1)
        columns = np.add.reduceat(w[:, :, None] * Z, start[:-1], axis=1)
        factor = shared / (1 + shared * sums)
        inner = columns.transpose(0, 2, 1) @ (factor[:, :, None] * columns)
        G[at] = (w @ products).reshape(-1, q, q) - inner
        log_det[at] = np.log1p(shared * sums).sum(axis=1) - np.log(w).sum(axis=1)
    return Gram(G, log_det)


@dataclass(frozen=True, eq=False)
class MeanPrior:
    """Prior of mu, normal given a precision of its own.

    Attributes
    ----------
    loc, scale
        Of the normal or t distribution; the value of a spike.
    df
        Degrees of freedom of t; infinite of a normal distribution.
    lower, upper
        Where it is cut off.
    log_mass
        Log probability of the whole distribution between them; of a uniform prior the log of its length.
    kind
        ``"spike"``, ``"normal"``, ``"t"``, ``"uniform"``.
    """

    kind: str
    loc: float
    scale: float
    df: float
    lower: float
    upper: float
    log_mass: float

    @property
    def cut(self) -> bool:
        """Whether it is cut off anywhere."""
        return self.lower > -np.inf or self.upper < np.inf


def mean_prior(prior: Any) -> MeanPrior:
    """What the integrals need of a prior of mu."""
    if isinstance(prior, Spike):
        return MeanPrior("spike", prior.at, 0.0, np.inf, -np.inf, np.inf, 0.0)
    found = marginal(prior)
    base = found.base
    if isinstance(base, Uniform):
        return MeanPrior(
            "uniform", 0.0, np.inf, np.inf, found.lower, found.upper, float(np.log(found.upper - found.lower))
        )
    assert isinstance(base, Normal | StudentT)
    kind = "normal" if isinstance(base, Normal) else "t"
    return MeanPrior(kind, base.loc, base.scale, base.df, found.lower, found.upper, float(np.log(found.mass)))


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Which coefficients a model has: mu, unless it is known, and columns of moderators with normal priors.

    Attributes
    ----------
    mean
        Prior of mu.
    columns
        Columns of the moderators that are included.
    sds
        Their prior standard deviations.
    """

    mean: MeanPrior
    columns: tuple[int, ...]
    sds: tuple[float, ...]

    @property
    def free_mean(self) -> bool:
        """Whether mu is a parameter."""
        return self.mean.kind != "spike"

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.free_mean + len(self.columns)


class Integrated(NamedTuple):
    """Log evidence, and what is known of the coefficients given the rest: mean (..., p), covariance (..., p, p)."""

    log_evidence: Array
    mean: Array
    covariance: Array


def design(given: Given, kind: str) -> Array:
    """Z = [s, s M, x, y] for a kind of bias."""
    return np.column_stack([np.full(given.k, given.scale), given.scale * given.M, given.bias_column(kind), given.y])


def integrated(found: Gram, coefficients: Coefficients, b: Array, precision: Array, k: int) -> Integrated:
    """Log evidence for broadcast arrays of G (..., q, q), b (...) and the precision of mu relative to scale (...)."""
    G, log_det = found
    q = G.shape[-1]
    prior = coefficients.mean
    free = ([0] if coefficients.free_mean else []) + [1 + c for c in coefficients.columns]
    yy, xy, xx = G[..., q - 1, q - 1], G[..., q - 2, q - 1], G[..., q - 2, q - 2]
    oy, ox, oo = G[..., 0, q - 1], G[..., 0, q - 2], G[..., 0, 0]
    quadratic = yy - 2 * b * xy + b * b * xx - 2 * prior.loc * (oy - b * ox) + prior.loc**2 * oo
    value = -0.5 * (k * LOG_2PI + log_det + quadratic)
    p = len(free)
    if p == 0:
        shape = np.broadcast_shapes(value.shape, np.shape(precision))
        return Integrated(np.broadcast_to(value, shape), np.zeros((*shape, 0)), np.zeros((*shape, 0, 0)))
    h = np.stack([G[..., i, q - 1] - b * G[..., i, q - 2] - prior.loc * G[..., i, 0] for i in free], axis=-1)
    P = G[..., free, :][..., free]
    own = [] if not coefficients.free_mean else [0.0 if prior.kind == "uniform" else 1 / prior.scale**2]
    own += [1 / sd**2 for sd in coefficients.sds]
    diagonal = np.broadcast_to(np.array(own), (*np.shape(precision), p)).copy()
    if coefficients.free_mean:
        diagonal[..., 0] = diagonal[..., 0] * precision
    P = P + diagonal[..., None] * np.eye(p)
    log_prior = np.log(np.where(diagonal > 0, diagonal, 2 * np.pi)).sum(axis=-1)
    if p == 1:
        covariance = 1 / P
        log_P = np.log(P[..., 0, 0])
    else:
        covariance = np.linalg.inv(P)
        log_P = np.linalg.slogdet(P)[1]
    mean = (covariance @ h[..., None])[..., 0]
    value = value + 0.5 * ((h * mean).sum(axis=-1) - log_P + log_prior)
    if coefficients.free_mean:
        mean = mean.copy()
        mean[..., 0] += prior.loc
        value = value - prior.log_mass
        if prior.cut:
            value = value + log_between(mean[..., 0], np.sqrt(covariance[..., 0, 0]), prior.lower, prior.upper)
    return Integrated(value, mean, covariance)


def log_between(mean: Array, sd: Array, lower: float, upper: float) -> Array:
    """Log probability that a normal variable is between two numbers, from the nearer tail."""
    a, b = (lower - mean) / sd, (upper - mean) / sd
    flip = a > 0
    low, high = np.where(flip, -b, a), np.where(flip, -a, b)
    top = special.log_ndtr(high)
    with np.errstate(divide="ignore"):
        return top + np.log(-np.expm1(np.minimum(special.log_ndtr(low) - top, 0.0)))


def normal_between(mean: Array, sd: Array, lower: float, upper: float, u: Array) -> Array:
    """Quantiles u of normal variables cut off below `lower` and above `upper`."""
    a, b = (lower - mean) / sd, (upper - mean) / sd
    flip = a > 0
    low, high = np.where(flip, -b, a), np.where(flip, -a, b)
    u = np.where(flip, 1 - u, u)
    below = special.ndtr(low)
    z = special.ndtri(below + u * (special.ndtr(high) - below))
    z = np.clip(z, low, high)
    return np.clip(mean + sd * np.where(flip, -z, z), lower, upper)
