r"""Evidence and draws of models without weights: quadrature over tau, rho, the coefficient of bias, and no more.

Coordinates are u, tau = unit sinh(u) (`Spread`), s with rho = sin^2(pi s / 2), which spreads nodes at both ends, and
l = log of the precision of mu under a Student's t prior. The coefficient b of PET or PEESE is integrated out where
these are known, in a window of its own (`slopes.py`). Gauss-Legendre nodes are placed in windows where some model of a
*family*, those that share the priors of tau and rho, is within e^-DROP of its top: they share one Gram matrix for each
(tau, rho). The evidence is computed by two rules, and their difference is its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx.meta.averaging.gaussian import Gram, Integrated, design, gram, integrated, lines, normal_between
from mixedfx.meta.averaging.given import Given, spread_of
from mixedfx.meta.averaging.legendre import Axis, axis_or_point, draw, log_sum, outer, spread_out, windows
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.slopes import slope_axis
from mixedfx.meta.measure import Array
from mixedfx.priors.marginal import Marginal
from mixedfx.sampling.nodes import evenly_spread

DROP = 25.0
REMAINDER = 1e-11  # probability of a prior beyond which its parameter is not looked for
NODES, CHECK = 40, 32
SLOPE_NODES, SLOPE_CHECK = 72, 52
MIXING_NODES = 40
SEARCH = (65, 17, 17)  # points of the search for windows, u, s, l
SLOPE_SEARCH = 24
APART = 0.5  # share of the window of a family that a model needs, or it is solved apart
MOST = 400_000  # nodes at once
POINTS = 64  # at which the distribution function of mu is computed


@dataclass(frozen=True, eq=False)
class Evidence:
    """Log evidence of a model.

    Attributes
    ----------
    value, error
        Log evidence, and its numerical error.
    k_hat
        Tail of the importance weights; minus infinity of quadrature.
    method
        ``"quadrature"``, ``"importance sampling"`` or ``"bridge sampling"``.
    """

    value: float
    error: float
    k_hat: float = -np.inf
    method: str = "quadrature"


@dataclass(frozen=True, eq=False)
class NormalModel:
    """A model without weights whose evidence is known, ready to be drawn from.

    Attributes
    ----------
    member
        Which.
    evidence
        Its evidence.
    axes, logs
        Nodes of u, s and l, and the log of their joint density there.
    """

    member: Member
    evidence: Evidence
    axes: tuple[Axis, ...]
    logs: Array


def families(found: Sequence[Member]) -> list[list[int]]:
    """Positions of models without weights that share priors of tau and rho."""
    groups: dict[object, list[int]] = {}
    for i, one in enumerate(found):
        if one.kind != "weights":
            groups.setdefault((one.heterogeneity.prior, one.hierarchical and one.hierarchical.prior), []).append(i)
    return list(groups.values())


def solve(given: Given, group: Sequence[Member]) -> list[NormalModel]:
    """Evidence of the models of one family."""
    first = group[0]
    designs = {kind: design(given, kind) for kind in {one.kind for one in group}}
    rho = _share_range(first.rho)
    return _solved(given, group, designs, [_even(*tau_range(given, first.tau), SEARCH[0]), _even(*rho, SEARCH[1])])


def _solved(
    given: Given, group: Sequence[Member], designs: dict[str, Array], grids: Sequence[Array]
) -> list[NormalModel]:
    """Evidence of the models of one family, looked for in the ranges of two grids.

    A model that needs a small part of the window of all is solved apart: the nodes would be too far from each other.
    """
    found: list[list[tuple[float, float]]] = []
    for _ in range(4):
        axes = [_grid(grid) for grid in grids]
        shared = _grams(given, group[0].tau, designs, axes)
        tops = [_joint(given, m, shared[m.kind], (*axes, _coarse(m)), SLOPE_SEARCH).max(axis=2) for m in group]
        found = [windows(top, grids, DROP) for top in tops]
        joined = [(min(w[i][0] for w in found), max(w[i][1] for w in found)) for i in range(2)]
        if all(_covers(window, (grid[0], grid[-1]), 0.6) for window, grid in zip(joined, grids, strict=True)):
            break
        grids = [_even(low, high, min(33, n)) for (low, high), n in zip(joined, SEARCH, strict=False)]
    ends = [(float(grid[0]), float(grid[-1])) for grid in grids]
    apart = [i for i, own in enumerate(found) if not all(map(_covers, own, ends, (APART, APART)))]
    if len(group) > 1 and apart:
        own = {i: [_even(*found[i][j], 33 if j == 0 else SEARCH[1]) for j in range(2)] for i in apart}
        out = {i: _solved(given, [group[i]], designs, own[i])[0] for i in apart}
        rest = [i for i in range(len(group)) if i not in out]
        if rest:
            out |= zip(rest, _solved(given, [group[i] for i in rest], designs, grids), strict=True)
        return [out[i] for i in range(len(group))]
    rules = [tuple(axis_or_point(n, low, high) for low, high in ends) for n in (NODES, CHECK)]
    grams = [_grams(given, group[0].tau, designs, rule) for rule in rules]
    return [_by_rules(given, member, designs, grids, rules, grams) for member in group]


def _by_rules(
    given: Given, member: Member, designs: dict[str, Array], grids: Sequence[Array], rules: Sequence[tuple[Axis, ...]],
    grams: Sequence[dict[str, Gram]],
) -> NormalModel:  # fmt: skip
    """One model by two rules of u and s, the first the finer one."""
    mixing = _mixing(given, member, designs, grids)
    values = []
    for i, (rule, found) in enumerate(zip(rules, grams, strict=True)):
        axes = (*rule, axis_or_point((MIXING_NODES, CHECK)[i], *mixing))
        logs = _joint(given, member, found[member.kind], axes, (SLOPE_NODES, SLOPE_CHECK)[i])
        values.append((log_sum((logs + outer(axes)).ravel()), axes, logs))
    value, axes, logs = values[0]
    return NormalModel(member, Evidence(value, abs(value - values[1][0])), axes, logs)


def _covers(window: tuple[float, float], whole: tuple[float, float], share: float) -> bool:
    """Whether a window is at least a share of a range."""
    return window[1] - window[0] >= share * (whole[1] - whole[0])


def _coarse(member: Member) -> Axis:
    """Even points of l over its whole range."""
    low, high = _mixing_range(member)
    return _grid(np.linspace(low, high, SEARCH[2] if low < high else 1))


def _even(low: float, high: float, n: int) -> Array:
    return np.array([low]) if low == high else np.linspace(low, high, n)


def tau_range(given: Given, tau: Marginal | float) -> tuple[float, float]:
    """Where the coordinate of tau is looked for."""
    spread = spread_of(given, tau)
    if not isinstance(tau, Marginal):
        return spread.coordinate(tau), spread.coordinate(tau)
    return spread.coordinate(float(tau.quantile(REMAINDER))), spread.coordinate(float(tau.quantile(1 - REMAINDER)))


def _share_range(rho: Marginal | float) -> tuple[float, float]:
    """Where s is looked for."""
    if isinstance(rho, float):
        at = float(2 / np.pi * np.arcsin(np.sqrt(rho)))
        return at, at
    return tuple(float(2 / np.pi * np.arcsin(np.sqrt(end))) for end in (max(rho.lower, 0.0), min(rho.upper, 1.0)))  # type: ignore[return-value]


def share(s: Array) -> Array:
    """Rho of the coordinate s."""
    return np.sin(np.pi / 2 * s) ** 2


def log_prior(given: Given, member: Member, u: Array, s: Array) -> Array:
    """Log prior density of the coordinates of tau and rho, broadcast."""
    total = np.zeros(np.broadcast_shapes(np.shape(u), np.shape(s)))
    if isinstance(member.tau, Marginal):
        spread = spread_of(given, member.tau)
        total = total + member.tau.log_density(spread.tau(u)) + spread.log_slope(u)
    if isinstance(member.rho, Marginal):
        with np.errstate(divide="ignore"):
            total = total + member.rho.log_density(share(s)) + np.log(np.pi / 2 * np.sin(np.pi * np.clip(s, 0, 1)))
    return total


def _grams(given: Given, tau: Marginal | float, designs: dict[str, Array], axes: Sequence[Axis]) -> dict[str, Gram]:
    nodes = spread_of(given, tau).tau(axes[0].nodes), share(axes[1].nodes)
    pairs = [grid.ravel() for grid in np.meshgrid(*nodes, indexing="ij")]
    return {kind: gram(given, Z, *pairs) for kind, Z in designs.items()}


def _mixing_range(member: Member) -> tuple[float, float]:
    """Where the log precision of mu is looked for."""
    if member.coefficients.mean.kind != "t":
        return 0.0, 0.0
    half = member.coefficients.mean.df / 2
    ends = special.gammaincinv(half, 1e-8) / half, special.gammainccinv(half, 1e-11) / half
    return float(np.log(max(ends[0], 1e-16))), float(np.log(ends[1]))


def _mixing(given: Given, member: Member, designs: dict[str, Array], grids: Sequence[Array]) -> tuple[float, float]:
    """Window of the log precision of mu."""
    low, high = _mixing_range(member)
    if low == high:
        return low, high
    few = [_even(float(grid[0]), float(grid[-1]), 9) for grid in grids]
    outer_axes = [_grid(one) for one in few]
    found = _grams(given, member.tau, {member.kind: designs[member.kind]}, outer_axes)[member.kind]
    for _ in range(4):
        nodes = np.linspace(low, high, SEARCH[2])
        logs = _joint(given, member, found, (*outer_axes, _grid(nodes)), SLOPE_SEARCH)
        ((low, high),) = windows(logs.max(axis=(0, 1)), (nodes,), DROP)
    return low, high


def _grid(nodes: Array) -> Axis:
    return Axis(nodes, np.zeros(len(nodes)), float(nodes[0]), float(nodes[-1]))


def _joint(given: Given, member: Member, found: Gram, axes: Sequence[Axis], slopes: int) -> Array:
    """Log of likelihood times prior on the product of the nodes, coefficients integrated out; `slopes` nodes of b."""
    shape = tuple(one.n for one in axes)
    q = found.G.shape[-1]
    G, log_det = found.G.reshape(shape[0], shape[1], 1, q, q), found.log_det.reshape(shape[0], shape[1], 1)
    mixing = axes[2].nodes
    out = np.empty(shape)
    step = max(1, MOST // (int(np.prod(shape[1:])) * (slopes if member.slope is not None else 1)))
    for begin in range(0, shape[0], step):
        at = slice(begin, begin + step)
        of_b = lines(Gram(G[at], log_det[at]), member.coefficients, np.exp(mixing), given.k)
        if member.slope is None:
            out[at] = of_b.log_likelihood(np.zeros(1))
        else:
            out[at] = slope_axis(member.slope, of_b).log_integral(slopes)
    prior = log_prior(given, member, axes[0].nodes[:, None], axes[1].nodes)
    return out + prior[:, :, None] + _log_mixing(member, mixing)


def _log_mixing(member: Member, mixing: Array) -> Array:
    """Log density of the log precision of mu under a t prior."""
    if member.coefficients.mean.kind != "t":
        return np.zeros_like(mixing)
    half = member.coefficients.mean.df / 2
    return half * np.log(half) - special.gammaln(half) + half * mixing - half * np.exp(mixing)


@dataclass(frozen=True, eq=False)
class Sampled:
    """Weighted draws of one model, on the scale of the priors.

    Attributes
    ----------
    mu, tau, rho, slope
        (N,) each; the slope is that of PET or PEESE.
    moderators
        (N, q) coefficients, 0 of those left out.
    omega
        (N, J) weights of intervals after the first; J = 0 without a weight function.
    weights
        (N,) sum 1.
    """

    mu: Array
    tau: Array
    rho: Array
    slope: Array
    moderators: Array
    omega: Array
    weights: Array


def sample(given: Given, model: NormalModel, n: int) -> Sampled:
    """Draws of equal weight, n a power of two."""
    member, coefficients = model.member, model.member.coefficients
    p = coefficients.size
    uniform = evenly_spread(n, 4 + p)
    at = draw(model.logs, model.axes, uniform[:, :3])
    tau, rho = spread_of(given, member.tau).tau(at[:, 0]), share(at[:, 1])
    b = _slopes(given, member, tau, rho, at[:, 2], uniform[:, 3])
    mu = np.full(n, float(coefficients.mean.loc))
    moderators = np.zeros((n, given.M.shape[1]))
    if p:
        values, means, sds = np.empty((3, n, p))
        for rows, found in _conditionals(given, member, tau, rho, b, at[:, 2]):
            values[rows] = _coefficients(member, found, uniform[rows, 4:])
            means[rows], sds[rows] = found.mean, np.sqrt(np.diagonal(found.covariance, axis1=-2, axis2=-1))
        if not coefficients.mean.cut:
            values = np.column_stack([_spread_out(*columns) for columns in zip(values.T, means.T, sds.T, strict=True)])
        if coefficients.free_mean:
            mu = values[:, 0]
        moderators[:, list(coefficients.columns)] = values[:, int(coefficients.free_mean) :]
    return Sampled(mu, tau, rho, b, moderators, np.zeros((n, 0)), np.full(n, 1 / n))


def _slopes(given: Given, member: Member, tau: Array, rho: Array, mixing: Array, uniform: Array) -> Array:
    """Coefficients of PET or PEESE given the rest."""
    if member.slope is None:
        return np.zeros_like(tau)
    Z = design(given, member.kind)
    found = [gram(given, Z, tau[rows], rho[rows]) for rows in _chunks(given, len(tau))]
    both = Gram(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
    return slope_axis(member.slope, lines(both, member.coefficients, np.exp(mixing), given.k)).draw(uniform)


def _chunks(given: Given, n: int) -> list[Array]:
    return np.array_split(np.arange(n), max(1, n * given.k // 1_000_000))


def _spread_out(drawn: Array, means: Array, sds: Array) -> Array:
    """Draws in the place of quantiles of the mixture of their normal distributions, in their order.

    Interpolated are normal scores, which are nearly straight lines.
    """
    low, high = float((means - 7 * sds).min()), float((means + 7 * sds).max())
    inner = np.quantile(drawn, np.linspace(0, 1, POINTS))
    grid = np.unique(np.concatenate([np.linspace(low, inner[0], 9), inner, np.linspace(inner[-1], high, 9)]))
    cdf = special.ndtr((grid[:, None] - means) / sds).mean(axis=1)
    inside = (cdf > 1e-15) & (cdf < 1 - 1e-15)
    if inside.sum() < 2:
        return drawn
    wanted = special.ndtri((np.arange(len(drawn)) + 0.5) / len(drawn))
    at = np.interp(wanted, special.ndtri(cdf[inside]), grid[inside])
    return spread_out(drawn, at)


def _conditionals(
    given: Given, member: Member, tau: Array, rho: Array, b: Array, mixing: Array
) -> Iterator[tuple[Array, Integrated]]:
    Z = design(given, member.kind)
    for rows in _chunks(given, len(tau)):
        found = gram(given, Z, tau[rows], rho[rows])
        yield rows, integrated(found, member.coefficients, b[rows], np.exp(mixing[rows]), given.k)


def _coefficients(member: Member, found: Integrated, uniform: Array) -> Array:
    """Coefficients given the rest: mu from its own marginal, cut off, the others given mu."""
    prior = member.coefficients.mean
    mean, covariance = found.mean, found.covariance
    p = mean.shape[-1]
    sd = np.sqrt(covariance[:, 0, 0])
    first = normal_between(mean[:, 0], sd, *((prior.lower, prior.upper) if member.coefficients.free_mean else (
        -np.inf, np.inf)), uniform[:, 0])  # fmt: skip
    if p == 1:
        return first[:, None]
    slope = covariance[:, 1:, 0] / covariance[:, :1, 0]
    rest = covariance[:, 1:, 1:] - slope[:, :, None] * covariance[:, :1, 1:]
    root = np.linalg.cholesky(rest)
    others = mean[:, 1:] + slope * (first - mean[:, 0])[:, None]
    others = others + (root @ special.ndtri(uniform[:, 1:])[:, :, None])[:, :, 0]
    return np.column_stack([first, others])
