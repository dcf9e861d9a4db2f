r"""Leave one group out: how well a fit predicts all rows of a group it has not seen.

For a group g with rows y_g the density of a new group is wanted, its own effects unknown:

    p(y_g | psi) = \int p(y_g | psi, u_g) N(u_g; 0, Sigma) du_g,

psi being everything but u_g. With 1 / p(y_g | psi) as importance ratios, draws from the posterior given all data stand
for draws given the data without the group; integrating u_g out first is what keeps these ratios tame (Vehtari et al.
2016, JMLR 17(103); Merkle, Furr & Rabe-Hesketh 2019). u_g holds the effects of every term that is the group's own:
those of the grouping factor and of factors nested in it. Effects of crossed factors are shared with other groups, and
are conditioned on.

Gaussian with identity link: y_g ~ N(mean, Z Sigma Z' + R) exactly, by k x k matrices. Otherwise the integrand is
centred at its mode m with curvature H (Newton steps), and with H^-1 = L L'

    p = |L| (2 pi)^(k/2) \sum_j w_j exp(h(m + L x_j) + x_j'x_j / 2),

x_j, w_j being Gauss-Hermite nodes (k up to 3: adaptive quadrature, Pinheiro & Bates 1995) or 512 points of a low
discrepancy sequence, multiples of powers of a generalised golden ratio modulo one, mapped to the normal distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.posterior.criticism import psis
from mixedfx.bayes.posterior.estimate import blocks
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.prediction import residual_sd
from mixedfx.design.row_facts import row_facts
from mixedfx.design.rows import functional_for
from mixedfx.errors import ModelError, check_option
from mixedfx.progress import Asked, Progress

Array = NDArray[np.float64]

NODES = {1: 15, 2: 9, 3: 7}  # Gauss-Hermite nodes in each dimension
POINTS = 512  # of the sequence, in more dimensions
STEPS, DAMPED, SMALL = 12, 20.0, 1e-4
LOG_2PI = float(np.log(2 * np.pi))


def logo(posterior: Posterior, group: str, progress: Asked = None) -> Any:
    """Leave-one-group-out cross-validation of a fit; see `PosteriorFit.logo`."""
    labels = [term.label for term in posterior.design.random]
    check_option("group", group, tuple(dict.fromkeys(labels)))
    own = posterior.design.random[labels.index(group)]
    if own.relation is not None:
        raise ModelError(
            f"levels of '{group}' are related: what the others say of a level left out is not in this method",
            hint="Leave out rows instead: fit.loo().",
        )
    return psis(
        posterior,
        group_log_likelihood(posterior, group, progress),
        list(own.levels),
        "group",
        "Refit without these groups to be sure.",
    )


def group_log_likelihood(posterior: Posterior, group: str, progress: Asked = None) -> Array:
    """(D, groups) log density of all rows of each group, its own effects integrated out."""
    design, family = posterior.design, posterior.family
    if len(posterior.joint.predictors) > 1:
        what = "a categorical response" if design.zero is None else "counts with a model of their zeros"
        raise ModelError(
            f"leave-one-group-out is not there for {what}: groups have effects in several linear predictors",
            hint="Use fit.loo(), or refit without a group.",
        )
    main = next(t for t, term in enumerate(design.random) if term.label == group)
    codes, levels = design.random[main].codes, design.random[main].n_levels
    nested = tuple(t for t, term in enumerate(design.random) if _nested(term.codes, codes, term.n_levels))
    check_memory(posterior.n_draws, levels)
    rows, facts, parameters = (
        functional_for(design, None, "error"),
        row_facts(design),
        posterior.joint.family_parameters(),
    )
    out = np.empty((posterior.n_draws, levels))
    order = np.argsort(codes, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=levels))])
    with Progress(progress, "leaving out", levels, f"levels of {group}") as report:
        for g in report.over(range(levels)):
            at = order[ends[g] : ends[g + 1]]
            Z, places, factor = _own_effects(posterior, nested, at)
            functional = rows.take(at)
            random = functional.random.tolil()
            random[:, places] = 0.0
            eta = next(
                values for _, values in blocks(_with(functional, random), posterior.joint, posterior.seed, rows=len(at))
            )
            known = facts.take(at)
            if family.linear_gaussian:
                sd = residual_sd(posterior)[at].T
                out[:, g] = _gaussian(design.y[at] - eta, Z @ factor, sd)
            else:
                y = design.y[at]
                out[:, g] = _integrated(
                    lambda eta, y=y, known=known: family.log_density(y, eta, parameters, known),
                    lambda eta, y=y, known=known: family.derivatives(y, eta, parameters, known, order=2),
                    eta,
                    Z,
                    factor,
                )
    return out


def _with(functional: Any, random: Any) -> Any:
    from dataclasses import replace

    from scipy import sparse

    return replace(functional, random=sparse.csr_array(random))


def _nested(inner: NDArray[np.intp], outer: NDArray[np.intp], n_inner: int) -> bool:
    """Whether every level of one factor lies in one level of the other."""
    first = np.zeros(n_inner, dtype=np.intp)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def _own_effects(
    posterior: Posterior, nested: tuple[int, ...], at: NDArray[np.intp]
) -> tuple[Array, NDArray[np.intp], Array]:
    """Of a group's rows: Z (n, k) of its own effects, their places in u, and (D, k, k) factors of their covariance."""
    design, predictor = posterior.design, posterior.predictor
    columns, places, blocks_of = [], [], []
    for t in nested:
        term = design.random[t]
        for level in np.unique(term.codes[at]):
            columns.append(np.where((term.codes[at] == level)[:, None], term.z[at], 0.0))
            places.append(design.starts[t] + level * term.n_columns + np.arange(term.n_columns))
            blocks_of.append(predictor.factors[t])
    k = sum(block.shape[1] for block in blocks_of)
    factor = np.zeros((posterior.n_draws, k, k))
    start = 0
    for block in blocks_of:
        stop = start + block.shape[1]
        factor[:, start:stop, start:stop] = block
        start = stop
    return np.concatenate(columns, axis=1), np.concatenate(places), factor


def _gaussian(residual: Array, F: Array, sd: Array) -> Array:
    """(D,) log N(residual; 0, F F' + diag(sd^2)) with F (D, n, k), by the determinant lemma and Woodbury's identity."""
    k = F.shape[2]
    W = F / sd[:, :, None]
    r = residual / sd
    M = W.transpose(0, 2, 1) @ W + np.eye(k)
    L = np.linalg.cholesky(M)
    a = np.linalg.solve(L, np.einsum("dnk,dn->dk", W, r)[:, :, None])[:, :, 0]
    log_det = 2 * np.log(sd).sum(axis=1) + 2 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    return -0.5 * (r.shape[1] * LOG_2PI + log_det + (r * r).sum(axis=1) - (a * a).sum(axis=1))


def _integrated(log_density: Any, derivatives: Any, eta: Array, Z: Array, factor: Array) -> Array:
    """(D,) log of the integral over standardised effects b, u = factor b, of the rows' density times N(b; 0, I)."""
    ZF = Z @ factor
    D, _, k = ZF.shape

    def at(b: Array) -> Array:
        return eta + np.einsum("dnk,dk->dn", ZF, b)

    def height(b: Array) -> Array:
        return log_density(at(b)).sum(axis=1) - 0.5 * (b * b).sum(axis=1) - 0.5 * k * LOG_2PI

    b = np.zeros((D, k))
    value = height(b)
    L = np.broadcast_to(np.eye(k), (D, k, k))
    for _ in range(STEPS):
        slope, curvature = derivatives(at(b))
        curvature = np.minimum(curvature, 0.0)
        gradient = np.einsum("dnk,dn->dk", ZF, slope) - b
        precision = np.einsum("dnk,dn,dnl->dkl", ZF, -curvature, ZF) + np.eye(k)
        step = np.linalg.solve(precision, gradient[:, :, None])[:, :, 0]
        size = np.abs(step).max(axis=1, keepdims=True)
        step *= np.minimum(1.0, DAMPED / np.maximum(size, SMALL))
        found = height(b + step)
        worse = ~(found >= value - 1e-9)
        for _ in range(8):  # halve where the step went too far
            if not worse.any():
                break
            step[worse] *= 0.5
            found = height(b + step)
            worse = ~(found >= value - 1e-9)
        step[worse] = 0.0
        b, value = b + step, np.where(worse, value, found)
        L = np.linalg.cholesky(np.linalg.inv(precision))
        if np.abs(step).max() < SMALL:
            break
    nodes, log_weights = _nodes(k)
    total = np.full(D, -np.inf)
    for x, log_weight in zip(nodes, log_weights, strict=True):
        total = np.logaddexp(total, log_weight + height(b + L @ x) + 0.5 * float(x @ x))
    return total + np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1) + 0.5 * k * LOG_2PI


def _nodes(k: int) -> tuple[Array, Array]:
    """Points (J, k) and log weights (J,) that integrate against the standard normal density."""
    if k in NODES:
        x, w = np.polynomial.hermite_e.hermegauss(NODES[k])
        grid = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
        weights = np.stack(np.meshgrid(*[w / w.sum()] * k, indexing="ij"), axis=-1).reshape(-1, k)
        return grid, np.log(weights).sum(axis=1)
    from scipy import special

    golden = 2.0
    for _ in range(60):  # golden^(k + 1) = golden + 1
        golden = (1 + golden) ** (1 / (k + 1))
    uniform = (0.5 + np.arange(1, POINTS + 1)[:, None] * golden ** -np.arange(1.0, k + 1)) % 1.0
    return special.ndtri(np.clip(uniform, 1e-9, 1 - 1e-9)), np.full(POINTS, -np.log(POINTS))
