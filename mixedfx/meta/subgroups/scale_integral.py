r"""Integrals over one to three scales omega >= 0, each with a prior of its own, without random numbers.

    Z = integral L(omega) prod_k p_k(omega_k) d omega

is taken over w_k = log(1 + omega_k / c), c a typical standard error. For omega far below c, where the likelihood L is
an analytic function of omega^2, w is linear in omega, so that zero is an ordinary end of the interval; far above, where
L changes with log omega, w is that. Gauss-Legendre's rule converges geometrically for such a function (Trefethen 2008,
SIAM Review 50:67). A coarse grid finds the box outside of which the integrand is below exp(-34) of its largest value;
the rule is then refined until two of them agree, and their difference is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.priors.distributions import Positive

Array = NDArray[np.float64]

FAR = 34.0  # log of what the integrand falls by, outside of the box
AGREE = 1e-9  # of two log integrals
COARSE = {1: 301, 2: 61, 3: 25}
FIRST = {1: 120, 2: 40, 3: 18}
MOST = {1: 500, 2: 150, 3: 50}
GROWTH = 1.4
NEGLIGIBLE = 1e-11  # share of the integral that nodes left out may hold
LARGEST = 1e14  # scale, in standard errors, beyond which nothing is looked for


@dataclass(frozen=True, eq=False)
class ScaleNodes:
    """Nodes of the posterior of d scales.

    Attributes
    ----------
    scales
        (K, d) nodes; (1, 0) where there are no scales.
    weights
        (K,) posterior probabilities, sum 1.
    log_integral
        log Z.
    error
        Of log Z: its change in the last refinement.
    """

    scales: Array
    weights: Array
    log_integral: float
    error: float

    def quantiles(self, k: int, q: Array) -> Array:
        """Quantiles of a scale: its distribution function is half of a node's mass further on, at the node."""
        from scipy.interpolate import PchipInterpolator

        x, at = np.unique(self.scales[:, k], return_inverse=True)
        mass = np.bincount(at.ravel(), self.weights)
        below = np.concatenate([[0.0], np.cumsum(mass) - mass / 2])
        return np.asarray(PchipInterpolator(below, np.concatenate([[0.0], x]))(q))


def integrate_scales(log_likelihood: Callable[[Array], Array], priors: Sequence[Positive], unit: float) -> ScaleNodes:
    """Integrate a likelihood over its scales.

    Parameters
    ----------
    log_likelihood
        (m, d) scales -> (m,) log likelihoods.
    priors
        The d priors.
    unit
        c, below which a scale makes no difference to the likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> from mixedfx.meta.subgroups.scale_integral import integrate_scales
    >>> half_normal = mx.priors.half_normal(2.0)
    >>> found = integrate_scales(lambda s: -0.5 * s[:, 0] ** 2, [half_normal], 0.1)  # (1 + 2^2)^(-1/2)
    >>> bool(abs(found.log_integral + 0.5 * np.log(5)) < 1e-12)
    True
    """
    d = len(priors)
    if d == 0:
        none = np.empty((1, 0))
        return ScaleNodes(none, np.ones(1), float(log_likelihood(none)[0]), 0.0)

    def value(w: Array) -> Array:
        """Log of the integrand over w, (m, d)."""
        scales = unit * np.expm1(w)
        out = log_likelihood(scales) + w.sum(axis=1) + d * np.log(unit)
        for k, prior in enumerate(priors):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                density = prior.log_positive(np.maximum(scales[:, k], 1e-300))
            out = out + np.where(np.isnan(density), -np.inf, density)
        return out

    box = _box(value, [_top(prior, unit) for prior in priors], d)
    n, before = FIRST[d], np.nan
    while True:
        w, log_rule = _rule(box, n)
        terms = value(w) + log_rule
        peak = terms.max()
        total = float(peak + np.log(np.exp(terms - peak).sum()))
        error = abs(total - before)
        if error < AGREE or n * GROWTH > MOST[d]:
            break
        before, n = total, int(np.ceil(n * GROWTH))
    weights = np.exp(terms - total)
    order = np.argsort(weights)
    kept = np.sort(order[np.cumsum(weights[order]) > NEGLIGIBLE])
    return ScaleNodes(unit * np.expm1(w[kept]), weights[kept] / weights[kept].sum(), total, error)


def _top(prior: Positive, unit: float) -> float:
    """Upper end of w: beyond it the prior holds next to nothing."""
    w = np.linspace(0.0, np.log1p(LARGEST), 600)[1:]
    scales = unit * np.expm1(w)
    with np.errstate(all="ignore"):
        mass = prior.log_positive(scales) + np.log(scales)
    mass = np.where(np.isnan(mass), -np.inf, mass)
    last = np.flatnonzero(mass > mass.max() - FAR)[-1]
    return float(w[min(last + 1, len(w) - 1)])


def _box(value: Callable[[Array], Array], tops: list[float], d: int) -> list[tuple[float, float]]:
    """For each scale the range of w outside of which the integrand is negligible."""
    box = [(0.0, top) for top in tops]
    for _ in range(2):
        axes = [np.linspace(low, high, COARSE[d]) for low, high in box]
        mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        log = value(mesh).reshape([COARSE[d]] * d)
        found = []
        for k, axis in enumerate(axes):
            along = log.max(axis=tuple(j for j in range(d) if j != k))
            inside = np.flatnonzero(along > log.max() - FAR)
            found.append((float(axis[max(inside[0] - 1, 0)]), float(axis[min(inside[-1] + 1, len(axis) - 1)])))
        box = found
    return box


def _rule(box: list[tuple[float, float]], n: int) -> tuple[Array, Array]:
    """(n^d, d) nodes of the product rule, and logs of their weights."""
    x, v = np.polynomial.legendre.leggauss(n)
    nodes = [low + (high - low) * (x + 1) / 2 for low, high in box]
    logs = [np.log(v * (high - low) / 2) for low, high in box]
    d = len(box)
    mesh = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, d)
    return mesh, sum(np.meshgrid(*logs, indexing="ij")).reshape(-1)  # pyright: ignore[reportAttributeAccessIssue]
