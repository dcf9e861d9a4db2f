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
ALIASED = 1e-13  # share of a column of bias that other columns leave, below which nothing is left


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


class Lines(NamedTuple):
    """Likelihoods of the coefficient b of bias, all else known or integrated out; arrays (...) of any one shape.

    Attributes
    ----------
    top
        Log evidence where b = `centre`, but for the probability of the interval of mu.
    centre, precision
        Of the normal distribution that the likelihood of b is proportional to.
    mean, slope, sd
        mu has mean ``mean - slope b`` and standard deviation `sd` given b and the data.
    lower, upper
        Where the prior of mu is cut off; infinite where it is not.
    """

    top: Array
    centre: Array
    precision: Array
    mean: Array
    slope: Array
    sd: Array
    lower: float
    upper: float

    def log_likelihood(self, b: Array) -> Array:
        """Log evidences given b, broadcast."""
        value = self.top - 0.5 * self.precision * (b - self.centre) ** 2
        if self.lower > -np.inf or self.upper < np.inf:
            value = value + log_between(self.mean - self.slope * b, self.sd, self.lower, self.upper)
        return value

    def spread_out(self) -> Lines:
        """The same with one axis more, along which b varies."""
        top, centre, precision, mean, slope, sd = (one[..., None] for one in self[:6])
        return Lines(top, centre, precision, mean, slope, sd, self.lower, self.upper)


def lines(found: Gram, coefficients: Coefficients, precision: Array, k: int) -> Lines:
    """Likelihoods of b for broadcast arrays of G (..., q, q) and the precision of mu relative to scale (...).

    With e = y - s C m and the products <a, c> = a' V^-1 c - h_a' P^-1 h_c, h_a = s C' V^-1 a, the exponent of the
    evidence is -1/2 (<e, e> - 2 b <e, x> + b^2 <x, x>): a normal density of b about <e, x> / <x, x>. Where x is a
    combination of the other columns whose coefficients have no prior, <x, x> is 0 and b free.
    """
    G, log_det = found
    q = G.shape[-1]
    prior = coefficients.mean
    e = np.zeros(q)
    e[q - 1], e[0] = 1.0, e[0] - prior.loc
    x = np.zeros(q)
    x[q - 2] = 1.0
    Ge, Gx = G @ e, G @ x
    ee, ex, xx = Ge @ e, Gx @ e, Gx @ x
    value = k * LOG_2PI + log_det
    shape = np.broadcast_shapes(value.shape, np.shape(precision))
    mean, slope, sd, size = np.full(shape, prior.loc), np.zeros(shape), np.zeros(shape), xx
    if coefficients.size:
        free, covariance, log_prior = _posterior(G, coefficients, precision)
        he, hx = Ge[..., free], Gx[..., free]
        te, tx = ((covariance @ h[..., None])[..., 0] for h in (he, hx))
        ee, ex, xx = ee - (he * te).sum(axis=-1), ex - (hx * te).sum(axis=-1), xx - (hx * tx).sum(axis=-1)
        log_det = np.log(covariance[..., 0, 0]) if len(free) == 1 else np.linalg.slogdet(covariance)[1]
        value = value - log_det - log_prior
        if coefficients.free_mean:
            value = value + 2 * prior.log_mass
            mean, slope, sd = prior.loc + te[..., 0], tx[..., 0], np.sqrt(covariance[..., 0, 0])
    aliased = xx <= ALIASED * size
    xx = np.where(aliased, 0.0, xx)
    centre = np.where(aliased, 0.0, ex / np.where(aliased, 1.0, xx))
    top = -0.5 * (value + ee - xx * centre**2)
    top, centre, xx, mean, slope, sd = (np.broadcast_to(one, shape) for one in (top, centre, xx, mean, slope, sd))
    lower, upper = (prior.lower, prior.upper) if coefficients.free_mean else (-np.inf, np.inf)
    return Lines(top, centre, xx, mean, slope, sd, lower, upper)


def _posterior(G: Array, coefficients: Coefficients, precision: Array) -> tuple[list[int], Array, Array]:
    """Which columns have coefficients, their covariance (..., p, p) given b, and sums of logs of prior precisions."""
    prior = coefficients.mean
    free = ([0] if coefficients.free_mean else []) + [1 + c for c in coefficients.columns]
    own = [] if not coefficients.free_mean else [0.0 if prior.kind == "uniform" else 1 / prior.scale**2]
    own += [1 / sd**2 for sd in coefficients.sds]
    diagonal = np.broadcast_to(np.array(own), (*np.shape(precision), len(free))).copy()
    if coefficients.free_mean:
        diagonal[..., 0] = diagonal[..., 0] * precision
    P = G[..., free, :][..., free] + diagonal[..., None] * np.eye(len(free))
    covariance = 1 / P if len(free) == 1 else np.linalg.inv(P)
    return free, covariance, np.log(np.where(diagonal > 0, diagonal, 2 * np.pi)).sum(axis=-1)


def integrated(found: Gram, coefficients: Coefficients, b: Array, precision: Array, k: int) -> Integrated:
    """Log evidence for broadcast arrays of G (..., q, q), b (...) and the precision of mu relative to scale (...)."""
    value = lines(found, coefficients, precision, k).log_likelihood(b)
    prior, G = coefficients.mean, found.G
    if not coefficients.size:
        return Integrated(value, np.zeros((*value.shape, 0)), np.zeros((*value.shape, 0, 0)))
    free, covariance, _ = _posterior(G, coefficients, precision)
    q = G.shape[-1]
    h = np.stack([G[..., i, q - 1] - b * G[..., i, q - 2] - prior.loc * G[..., i, 0] for i in free], axis=-1)
    mean = (covariance @ h[..., None])[..., 0]
    if coefficients.free_mean:
        mean[..., 0] += prior.loc
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
