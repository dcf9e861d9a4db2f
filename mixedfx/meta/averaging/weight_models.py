r"""Evidence and draws of models with a weight function, without clusters or moderators: nested quadrature.

Parameters are mu, tau = unit sinh(u) and the sticks s_1, ..., s_J, whose products are the weights of the intervals,

    log L = sum_i { log phi(y_i; mu, v_i + tau^2) + log w(y_i) - log A_i },    A_i = sum_j w_j P_ij(mu, tau).

Given mu and tau the probabilities P of the intervals serve every node of the weights: the k x (J + 1) numbers at each
(mu, tau) times (J + 1) x Q weights are one matrix product. u is integrated over a window of its own, mu over one for
each u, as the posterior of mu is far wider where tau is large; sticks are squares, s = x^2, which puts nodes near
weights of 0, where data without insignificant results lead.

**Draws.** The weights of a Gauss-Legendre rule cut its window into cells, one around each node (Chebyshev, Markov and
Stieltjes), so that a coarser rule is a proposal that is constant in every cell of the whole space: points are spread
evenly over it, and their ratios to the density, which hardly vary, are importance weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from mixedfx.meta.averaging.given import Cells, Given, Spread, cells, spread_of
from mixedfx.meta.averaging.legendre import axis, log_sum, windows
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.normal_models import REMAINDER, Evidence, Sampled, tau_range
from mixedfx.meta.measure import Array
from mixedfx.priors.bias import Weights
from mixedfx.priors.marginal import Marginal, marginal
from mixedfx.sampling.nodes import evenly_spread

LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))
DROP = 20.0
ENOUGH, TURNS = 0.7, 3  # share of a window at which it is not searched again; searches at most
SEARCH_U, SEARCH_MU, SEARCH_STICKS = 33, 49, 8
NODES, CHECK, PROPOSAL = 30, 24, 20
STICKS = {1: (40, 30, 20), 2: (22, 18, 14), 3: (15, 12, 10)}  # of the rule, its check, and the proposal
FEW = {1: 6, 2: 5, 3: 4}  # of the search
MOST = 3_000_000
EVERY = 16  # factors multiplied before a logarithm is taken: they are above 1e-17 each


class Rule(NamedTuple):
    """Nodes of the sticks: (Q, J + 1) weights of the intervals, (Q,) logs of quadrature weight times prior."""

    omega: Array
    log_weights: Array


Ends = tuple[tuple[float, float], ...]


def stick_rule(weights: Weights, n: int, ends: Ends | None = None) -> Rule:
    """Product rule over the square roots of the sticks, each in a window."""
    J = len(weights.steps)
    axes = [axis(n, *window) for window in (ends or ((0.0, 1.0),) * J)]
    grid = np.stack(np.meshgrid(*[rule.nodes**2 for rule in axes], indexing="ij"), axis=-1).reshape(-1, J)
    parts = [rule.log_weights + stick_density(rule.nodes, *ab) for rule, ab in zip(axes, weights.sticks, strict=True)]
    logs = sum(np.meshgrid(*parts, indexing="ij"), np.zeros((n,) * J)).ravel()
    return Rule(np.column_stack([np.ones(len(grid)), np.cumprod(grid, axis=1)]), logs)


def stick_density(x: Array, a: float, b: float) -> Array:
    """Log prior density of the square root of a stick ~ beta(a, b)."""
    s = x * x
    with np.errstate(divide="ignore"):
        return np.log(2 * x) + special.xlogy(a - 1, s) + special.xlog1py(b - 1, -s) - special.betaln(a, b)


def exceed(found: Cells, mean: Array, sd: Array) -> Array:
    """(J, ..., k) P(p <= a_j) of means and standard deviations (..., k) in the direction of the p values."""
    out = np.empty((found.cuts.shape[1], *np.broadcast_shapes(mean.shape, sd.shape)))
    for j, cut in enumerate(found.cuts.T):
        out[j] = special.ndtr((mean - cut) / sd)
        if found.two_sided:
            out[j] += special.ndtr((-mean - cut) / sd)
    return out


def normal_part(found: Cells, mean: Array, variance: Array) -> Array:
    """(...,) log density without selection, of means and variances (..., k)."""
    return -0.5 * ((found.y - mean) ** 2 / variance + np.log(variance)).sum(axis=-1) - len(found.y) * LOG_ROOT_2PI


def log_likelihood(found: Cells, mean: Array, variance: Array, omega: Array) -> Array:
    """(N,) log likelihood of means and variances (N, k) and weights (N, J + 1), estimates being independent."""
    T = exceed(found, mean, np.sqrt(variance))
    A = omega[:, -1:] + np.einsum("nj,jnk->nk", omega[:, :-1] - omega[:, 1:], T)
    seen = np.log(np.maximum(omega, 1e-300)) @ found.counts
    return normal_part(found, mean, variance) + seen - np.log(np.maximum(A, 1e-300)).sum(axis=1)


def over_sticks(given: Given, found: Cells, mu: Array, tau: Array, rule: Rule, each: bool = False) -> Array:
    """Log likelihood at mu (T, M) and tau (T,), summed over the nodes of the sticks, or at each of them (T, M, Q)."""
    s2 = (given.scale * tau) ** 2
    mean = (given.sign * given.scale * mu).ravel()
    variance = np.repeat(given.v + s2[:, None], mu.shape[1], axis=0)
    base = normal_part(found, mean[:, None], variance)
    seen = np.log(rule.omega) @ found.counts + rule.log_weights
    n, Q = len(mean), len(seen)
    out = np.empty((n, Q) if each else n)
    step = max(1, MOST // (Q + given.k * found.cuts.shape[1]))
    for begin in range(0, n, step):
        at = slice(begin, begin + step)
        T = exceed(found, mean[at, None], np.sqrt(variance[at]))
        P = np.concatenate([T, np.ones((1, *T.shape[1:]))])
        P[1:] -= T
        logs = np.zeros((T.shape[1], Q))
        product = np.ones_like(logs)
        for i in range(given.k):
            product *= P[:, :, i].T @ rule.omega.T
            if i % EVERY == EVERY - 1 or i == given.k - 1:
                logs -= np.log(np.maximum(product, 1e-300))
                product.fill(1.0)
        logs += seen
        if each:
            out[at] = logs + base[at, None]
        else:
            top = logs.max(axis=1)
            out[at] = base[at] + top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
    return out.reshape(*mu.shape, Q) if each else out.reshape(mu.shape)


@dataclass(frozen=True, eq=False)
class WeightModel:
    """A model with weights whose evidence is known, ready to be drawn from.

    Attributes
    ----------
    member, evidence
        Which, and its evidence.
    cells
        Intervals of the estimates.
    u_window
        Ends of the window of u.
    low, high
        (T,) ends of the windows of mu at the nodes of the proposal in u.
    ends
        Windows of the square roots of the sticks.
    """

    member: Member
    evidence: Evidence
    cells: Cells
    u_window: tuple[float, float]
    low: Array
    high: Array
    ends: Ends


@dataclass(frozen=True, eq=False)
class _Work:
    """What the steps of one model share."""

    given: Given
    member: Member
    found: Cells
    prior: Marginal | None

    @property
    def spread(self) -> Spread:
        """Coordinate of tau."""
        return spread_of(self.given, self.member.tau)

    def log_prior(self, mu: Array, u: Array) -> Array:
        """Log prior density of mu (T, M) and u (T,)."""
        total = np.zeros(mu.shape) if self.prior is None else self.prior.log_density(mu)
        if isinstance(self.member.tau, Marginal):
            slope = self.spread.log_slope(u)
            total = total + (self.member.tau.log_density(self.spread.tau(u)) + slope)[:, None]
        return total

    def density(self, mu: Array, u: Array, rule: Rule) -> Array:
        """Log of the density of mu and u, the sticks integrated out."""
        return over_sticks(self.given, self.found, mu, self.spread.tau(u), rule) + self.log_prior(mu, u)


def solve(given: Given, member: Member) -> WeightModel:
    """Evidence of one model."""
    weights: Weights = member.bias.prior
    J = len(weights.steps)
    prior = marginal(member.effect.prior) if member.coefficients.free_mean else None
    work = _Work(given, member, cells(given, weights), prior)
    sizes = STICKS[J]
    few, u_window, ends = _search(work, sizes[2])
    values = []
    for n, m in ((NODES, sizes[0]), (CHECK, sizes[1])):
        u, log_u = _rule_u(u_window, n)
        low, high = _windows_of_mu(work, u, few)
        mu, log_mu = _rule_mu(low, high, n)
        logs = work.density(mu, u, stick_rule(weights, m, ends))
        values.append(log_sum((logs + log_mu + log_u[:, None]).ravel()))
    u, _ = _rule_u(u_window, PROPOSAL)
    low, high = _windows_of_mu(work, u, few)
    return WeightModel(
        member, Evidence(values[0], abs(values[0] - values[1])), work.found, u_window, low, high, ends
    )  # fmt: skip


def _search(work: _Work, n: int) -> tuple[Rule, tuple[float, float], Ends]:
    """A rule of few nodes of the sticks, and the windows of u and the sticks, each found with the others' last."""
    weights: Weights = work.member.bias.prior
    J = len(weights.steps)
    ends: Ends = ((0.0, 1.0),) * J
    turn = 0
    while True:
        few = stick_rule(weights, FEW[J], ends)
        u_window = _window_of_u(work, few)
        narrower = _windows_of_sticks(work, u_window, few, ends, n)
        pairs = zip(narrower, ends, strict=True)
        turn += 1
        if turn == TURNS or all(b - a > ENOUGH * (d - c) for (a, b), (c, d) in pairs):
            return few, u_window, narrower
        ends = narrower


def _windows_of_sticks(work: _Work, u_window: tuple[float, float], few: Rule, ends: Ends, n: int) -> Ends:
    """Ends of the windows of the square roots of the sticks, where any mu and tau make them likely."""
    weights: Weights = work.member.bias.prior
    u, _ = _rule_u(u_window, SEARCH_STICKS)
    mu, _ = _rule_mu(*_windows_of_mu(work, u, few), SEARCH_STICKS)
    rule = stick_rule(weights, n, ends)
    logs = over_sticks(work.given, work.found, mu, work.spread.tau(u), rule, each=True)
    logs = (logs + work.log_prior(mu, u)[:, :, None]).max(axis=(0, 1)).reshape((n,) * len(ends))
    grids = [axis(n, *window).nodes for window in ends]
    found = []
    for (low, high), (first, last), grid in zip(windows(logs, grids, DROP), ends, grids, strict=True):
        found.append((first if low <= grid[0] else low, last if high >= grid[-1] else high))
    return tuple(found)


def _rule_u(window: tuple[float, float], n: int) -> tuple[Array, Array]:
    if window[0] == window[1]:
        return np.array([window[0]]), np.zeros(1)
    rule = axis(n, *window)
    return rule.nodes, rule.log_weights


def _rule_mu(low: Array, high: Array, n: int) -> tuple[Array, Array]:
    """(T, M) nodes of mu in the window of each u, and the logs of their weights."""
    if (low == high).all():
        return low[:, None], np.zeros((len(low), 1))
    rule = axis(n, 0.0, 1.0)
    length = (high - low)[:, None]
    return low[:, None] + length * rule.nodes, np.log(length) + rule.log_weights


def _everywhere(work: _Work) -> Array:
    """Values of mu at which its posterior is looked for: dense about the estimates, and over all of its prior."""
    given, prior = work.given, work.prior
    if prior is None:
        return np.array([work.member.coefficients.mean.loc])
    w = 1 / (given.v + 0.01)
    centre = float(np.average(given.y, weights=w)) / given.scale
    unit = float(1 / np.sqrt((1 / given.v).sum())) / given.scale
    ends = np.array([float(prior.quantile(q)) for q in (REMAINDER, 1 - REMAINDER)])
    low, high = np.arcsinh((ends - centre) / unit)
    found = centre + unit * np.sinh(np.linspace(low, high, SEARCH_MU))
    return np.clip(found, *ends)


def _window_of_u(work: _Work, few: Rule) -> tuple[float, float]:
    low, high = tau_range(work.given, work.member.tau)
    if low == high:
        return low, high
    mu = _everywhere(work)
    for n in (SEARCH_U, 25, 25):
        grid = np.linspace(low, high, n)
        logs = work.density(np.broadcast_to(mu, (n, len(mu))), grid, few).max(axis=1)
        ((low, high),) = windows(logs, [grid], DROP)
    return low, high


def _windows_of_mu(work: _Work, u: Array, few: Rule) -> tuple[Array, Array]:
    """(T,) ends of the window of mu at each u."""
    mu = np.tile(_everywhere(work), (len(u), 1))
    if mu.shape[1] == 1:
        return mu[:, 0], mu[:, 0]
    low, high = mu[:, 0], mu[:, -1]
    for _ in range(2):
        logs = work.density(mu, u, few)
        inside = logs > logs.max(axis=1, keepdims=True) - DROP
        first = np.maximum(inside.argmax(axis=1) - 1, 0)
        last = np.minimum(mu.shape[1] - inside[:, ::-1].argmax(axis=1), mu.shape[1] - 1)
        rows = np.arange(len(u))
        low, high = mu[rows, first], mu[rows, last]
        mu = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 33)
    return low, high


def sample(given: Given, model: WeightModel, n: int) -> Sampled:
    """Weighted draws, n a power of two."""
    member = model.member
    weights: Weights = member.bias.prior
    J = len(weights.steps)
    prior = marginal(member.effect.prior) if member.coefficients.free_mean else None
    work = _Work(given, member, model.cells, prior)
    m = STICKS[J][2]
    rule = stick_rule(weights, m, model.ends)
    u, log_u = _rule_u(model.u_window, PROPOSAL)
    mu, log_mu = _rule_mu(model.low, model.high, PROPOSAL)
    logs = over_sticks(given, model.cells, mu, work.spread.tau(u), rule, each=True)
    logs = logs + (work.log_prior(mu, u) + log_mu + log_u[:, None])[:, :, None]
    mass = np.exp(logs - logs.max()).ravel()
    mass /= mass.sum()
    uniform = evenly_spread(n, J + 3)
    flat = np.searchsorted(np.cumsum(mass), uniform[:, 0] * (1 - 1e-12))
    flat = np.minimum(flat, len(mass) - 1)
    at = np.unravel_index(flat, (*mu.shape, *(m,) * J))
    u_at, log_volume = _in_cells(at[0], len(u), np.full(n, model.u_window[0]), model.u_window[1], uniform[:, 1])
    mu_at, log_mu_volume = _in_cells(at[1], mu.shape[1], model.low[at[0]], model.high[at[0]], uniform[:, 2])
    log_volume = log_volume + log_mu_volume
    x = np.empty((n, J))
    density = np.zeros(n)
    for j in range(J):
        low, high = model.ends[j]
        x[:, j], log_stick = _in_cells(at[2 + j], m, np.full(n, low), high, uniform[:, 3 + j])
        log_volume = log_volume + log_stick
        density += stick_density(x[:, j], *weights.sticks[j])
    omega = np.column_stack([np.ones(n), np.cumprod(x * x, axis=1)])
    tau = work.spread.tau(u_at)
    variance = given.v + (given.scale * tau[:, None]) ** 2
    mean = np.broadcast_to(given.sign * given.scale * mu_at[:, None], variance.shape)
    density += log_likelihood(model.cells, mean, variance, omega) + _pointwise_prior(work, mu_at, u_at)
    ratio = density - np.log(mass[flat]) + log_volume
    ratio = np.exp(ratio - ratio.max())
    return Sampled(
        mu_at, tau, np.zeros(n), np.zeros(n), np.zeros((n, given.M.shape[1])), omega[:, 1:], ratio / ratio.sum()
    )


def _pointwise_prior(work: _Work, mu: Array, u: Array) -> Array:
    return work.log_prior(mu[:, None], u)[:, 0]


def _in_cells(at: Array, n: int, low: Array, high: Array | float, uniform: Array) -> tuple[Array, Array]:
    """Points within the cells of a rule, and the logs of the cells' lengths; of a point itself and 0."""
    if n == 1:
        return np.asarray(low, dtype=np.float64), np.zeros(len(at))
    ends = np.concatenate([[0.0], np.cumsum(np.exp(axis(n, 0.0, 1.0).log_weights))])
    length = np.asarray(high - low)
    return low + length * (ends[at] + uniform * np.diff(ends)[at]), np.log(length * np.diff(ends)[at])
