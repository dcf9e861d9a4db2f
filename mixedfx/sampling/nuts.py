r"""NUTS for a few chains that move together, on a density whose gradient costs little more at many points than at one.

Each transition doubles a trajectory of Hamiltonian dynamics forwards or backwards until it turns back on itself, and
draws the next state from its points in proportion to their densities, preferring the later half (Hoffman & Gelman
2014, JMLR 15:1593; multinomial weights: Betancourt 2017, arXiv:1701.02434). A subtree of 2^j leapfrog steps is built
in a loop rather than by recursion: the left ends of its open sub-subtrees are kept, at most j of them, at the place
that the number of one bits of the leaf's index names (Phan, Pradhan & Jankowiak 2019, arXiv:1912.11554). All chains at
the same depth are at the same leaf, so that their gradients are one call; a chain that has turned leaves the others to
go on.

A density that is zero or not a number ends a trajectory as a divergence, no more.

**Metric.** x = W z, and z moves under the identity. W first is the factor of the covariance that is handed in, and
then that of the chains' own draws: of windows of the warm-up that double in length, all chains pooled, correlations
shrunk towards zero by as much as few draws ask for. One step size serves all chains, by dual averaging of their mean
acceptance rate.

**When a trajectory has turned.** Under a metric that nobody has checked, where its first or last momentum has a
negative product with the sum of all of them (the two ends counted half): half a period of the slowest direction. Once
the metric is that of the draws, all directions have much the same period, and a quarter of it leads to the state that
depends least on where it began: the trajectory ends where its first and last momenta are at right angles. Any
condition on the ends of a subtree serves, as long as it reads the same backwards. In the normal distribution of 100
dimensions with learned metric, that gives twice as many effective draws of squares for each gradient, and half as many
of means, which have many more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Density = Callable[[Array], tuple[Array, Array]]
Report = Callable[[int, str], None]

ACCEPTANCE = 0.8  # that the step size is adapted to
DEEPEST = 8  # doublings of a trajectory
DIVERGENT = 1000.0  # loss of log density and kinetic energy that no step of a stable trajectory has
FIRST_SHARE, LAST_SHARE = 0.15, 0.1  # of the warm-up: before the first window and after the last
FIRST_WINDOW = 25  # iterations of the first window
NEAR_ZERO = 3.0  # mean size of a symmetric coordinate, in standard deviations, below which it is on both sides of zero
TRUST = 5.0  # correlations of n draws in d dimensions are multiplied by n / (n + TRUST d)


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of c chains, d coordinates, and how the transitions that led to them went.

    Attributes
    ----------
    x
        (c, draws, d).
    log_density, energy
        (c, draws): at each draw, and minus it with the kinetic energy that the transition began with.
    acceptance
        (c, draws) mean acceptance probabilities along the trajectories.
    depth, steps
        (c, draws) doublings and leapfrog steps.
    divergent, cut
        (c, draws) whether a trajectory lost its energy, and whether it had not turned after the most doublings.
    step
        The step size.
    evaluations
        Evaluations of density and gradient, warm-up included.
    """

    x: Array
    log_density: Array
    energy: Array
    acceptance: Array
    depth: NDArray[np.int64]
    steps: NDArray[np.int64]
    divergent: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    step: float
    evaluations: int


def sample(
    density: Density, starts: Array, covariance: Array, warmup: int, draws: int, rng: np.random.Generator,
    symmetric: Sequence[int] | NDArray[np.intp] = (), report: Report | None = None, *, acceptance: float = ACCEPTANCE,
    deepest: int = DEEPEST,
) -> Chains:  # fmt: skip
    """Run the chains.

    Parameters
    ----------
    density
        Maps (m, d) points to (m,) log densities and (m, d) gradients, m up to the number of chains; minus infinity
        where there is no density.
    starts
        (c, d) a first point for each chain, of finite density.
    covariance
        (d, d) a guess at the covariance.
    symmetric
        Coordinates in each of which the density is symmetric about zero: the metric is learned from their sizes.
    warmup, draws
        Iterations of each chain, dropped and kept.
    rng
        Random numbers.
    report
        Called before each iteration with the number of those done and the phase.
    acceptance
        Acceptance rate that the step size is adapted to.
    deepest
        Most doublings of a trajectory.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.sampling import nuts
    >>> def normal(x):
    ...     return -0.5 * (x**2).sum(axis=1), -x
    >>> chains = nuts.sample(normal, np.ones((4, 2)), np.eye(2), 200, 500, np.random.default_rng(1))
    >>> chains.x.shape, abs(chains.x.mean()) < 0.1, bool(chains.divergent.any())
    ((4, 500, 2), np.True_, False)
    """
    c, d = starts.shape
    space = _Whitened(density, covariance)
    state = space.at(starts)
    adaptation, seen = _StepSize(acceptance), []
    ends = _windows(warmup)
    kept = _Kept(c, draws, d)
    for turn in range(warmup + draws):
        warm = turn < warmup
        if report is not None:
            report(turn, "warm-up" if warm else "sampling")
        state, way = _transition(space, state, adaptation.step if warm else adaptation.final, rng, deepest)
        if not warm:
            kept.take(turn - warmup, space.unwhiten(state.z), state.value, way)
            continue
        adaptation.learn(float(way.acceptance.mean()))
        if ends and ends[0] <= turn <= ends[-1]:
            seen.append(space.unwhiten(state.z))
            if turn in ends[1:]:
                x = space.unwhiten(state.z)
                space.learn(pooled_covariance(np.concatenate(seen), symmetric))
                state, seen = space.at(x), []
                adaptation.restart()
    return Chains(**vars(kept), step=adaptation.final, evaluations=space.count)


class _Kept:
    """Room for the draws of c chains, and for how they came about; its attributes are those of `Chains`."""

    def __init__(self, c: int, draws: int, d: int) -> None:
        self.x = np.empty((c, draws, d))
        self.log_density, self.energy, self.acceptance = (np.empty((c, draws)) for _ in range(3))
        self.depth, self.steps = (np.zeros((c, draws), dtype=np.int64) for _ in range(2))
        self.divergent, self.cut = (np.zeros((c, draws), dtype=bool) for _ in range(2))

    def take(self, at: int, x: Array, value: Array, way: _Way) -> None:
        """Keep the state of every chain after one transition."""
        self.x[:, at], self.log_density[:, at] = x, value
        self.energy[:, at], self.acceptance[:, at] = way.energy, way.acceptance
        self.depth[:, at], self.steps[:, at] = way.depth, way.steps
        self.divergent[:, at], self.cut[:, at] = way.divergent, way.cut


def pooled_covariance(x: Array, symmetric: Sequence[int] | NDArray[np.intp] = ()) -> Array:
    """(d, d) covariance of (n, d) draws, correlations shrunk towards zero: positive definite for any n.

    Coordinates that did not move keep a small variance. Of those in which the density is symmetric about zero the sizes
    count; one whose size comes near zero is on either side of it, and what it has to do with others on one side is the
    opposite on the other: it is taken as uncorrelated.
    """
    n, d = x.shape
    x, two_sided, at = x.copy(), np.zeros(d, dtype=bool), np.asarray(symmetric, dtype=np.intp)
    x[:, at] = np.abs(x[:, at])
    mean = x.mean(axis=0)
    sd = np.maximum(np.sqrt(((x - mean) ** 2).mean(axis=0)), 1e-6)
    two_sided[at] = (mean < NEAR_ZERO * sd)[at]
    standard = (x - mean) / sd
    R = standard.T @ standard / n * (n / (n + TRUST * d))
    R[two_sided], R[:, two_sided] = 0.0, 0.0
    R[np.arange(d), np.arange(d)] = 1.0
    return R * np.outer(sd, sd)


def _windows(warmup: int) -> list[int]:
    """First iteration of the first window, then the last one of each; the last takes what is left over."""
    first, last = int(FIRST_SHARE * warmup), warmup - int(LAST_SHARE * warmup)
    if last - first < FIRST_WINDOW:
        return []
    out, size = [first], FIRST_WINDOW
    while first + 3 * size <= last:  # this window and the next one of twice its length
        first += size
        out.append(first - 1)
        size *= 2
    return [*out, last - 1]


class _Whitened:
    """The density as one of z, x = W z, counting evaluations."""

    def __init__(self, density: Density, covariance: Array) -> None:
        self.density = density
        self.root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        self.learned = False
        self.count = 0

    def learn(self, covariance: Array) -> None:
        """Take the metric from draws."""
        self.root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        self.learned = True

    def __call__(self, z: Array) -> tuple[Array, Array]:
        self.count += len(z)
        value, gradient = self.density(self.unwhiten(z))
        return value, gradient @ self.root

    def unwhiten(self, z: Array) -> Array:
        return z @ self.root.T

    def at(self, x: Array) -> _State:
        """The state at points x."""
        z = np.asarray(np.linalg.solve(self.root, x.T).T, dtype=np.float64)
        return _State(z, *self(z))

    def turns(self, first: Array, last: Array, total: Array) -> NDArray[np.bool_]:
        """Whether trajectories with these momenta at the ends and this sum have gone far enough."""
        if self.learned:
            return (first * last).sum(axis=1) <= 0
        inner = total - 0.5 * (first + last)
        return ((first * inner).sum(axis=1) <= 0) | ((last * inner).sum(axis=1) <= 0)


@dataclass(eq=False)
class _State:
    """Where c chains are: (c, d) z, (c,) log densities, (c, d) gradients in z."""

    z: Array
    value: Array
    gradient: Array

    def put(self, rows: NDArray[np.intp], other: _State, taken: NDArray[np.intp] | NDArray[np.bool_]) -> None:
        """Take over some chains of another state."""
        self.z[rows] = other.z[taken]
        self.value[rows] = other.value[taken]
        self.gradient[rows] = other.gradient[taken]


@dataclass(frozen=True, eq=False)
class _Way:
    """How a transition went, (c,) each."""

    energy: Array
    acceptance: Array
    depth: NDArray[np.int64]
    steps: NDArray[np.int64]
    divergent: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def _transition(
    space: _Whitened, state: _State, step: float, rng: np.random.Generator, deepest: int
) -> tuple[_State, _Way]:
    """The next state of every chain."""
    c, d = state.z.shape
    r = rng.standard_normal((c, d))
    level = state.value - 0.5 * (r**2).sum(axis=1)
    end_z, end_r, end_g = (np.stack([a, a]) for a in (state.z, r, state.gradient))
    new = _State(state.z.copy(), state.value.copy(), state.gradient.copy())
    total_r, weight = r.copy(), np.zeros(c)
    accepted, steps, depth = np.zeros(c), np.zeros(c, dtype=np.int64), np.zeros(c, dtype=np.int64)
    divergent = np.zeros(c, dtype=bool)
    growing = np.arange(c)
    for doubling in range(deepest):
        side = rng.integers(0, 2, len(growing))
        tree = _Subtree(end_z[side, growing], end_r[side, growing], end_g[side, growing])
        tree.grow(space, np.where(side == 1, step, -step), level[growing], doubling, rng)
        accepted[growing] += tree.accepted
        steps[growing] += tree.steps
        depth[growing] += 1
        divergent[growing] |= tree.divergent
        whole = ~(tree.turned | tree.divergent)
        rows = growing[whole]
        take = np.log(rng.random(len(rows))) < tree.weight[whole] - weight[rows]
        new.put(rows[take], tree.chosen, np.flatnonzero(whole)[take])
        end_z[side[whole], rows], end_r[side[whole], rows] = tree.z[whole], tree.r[whole]
        end_g[side[whole], rows] = tree.g[whole]
        weight[rows] = np.logaddexp(weight[rows], tree.weight[whole])
        total_r[rows] += tree.sum_r[whole]
        growing = rows[~space.turns(end_r[0, rows], end_r[1, rows], total_r[rows])]
        if len(growing) == 0:
            break
    cut = np.isin(np.arange(c), growing)
    return new, _Way(-level, accepted / np.maximum(steps, 1), depth, steps, divergent, cut)


class _Subtree:
    """2^j leapfrog steps onwards from one end of each trajectory."""

    def __init__(self, z: Array, r: Array, g: Array) -> None:
        n = len(z)
        self.z, self.r, self.g = z, r, g
        self.chosen = _State(z.copy(), np.full(n, -np.inf), g.copy())
        self.weight = np.full(n, -np.inf)
        self.sum_r = np.zeros_like(r)
        self.turned, self.divergent = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.accepted, self.steps = np.zeros(n), np.zeros(n, dtype=np.int64)

    def grow(self, space: _Whitened, step: Array, level: Array, doublings: int, rng: np.random.Generator) -> None:
        """Take the steps; `level` is the log density less kinetic energy that the trajectory began with."""
        n, d = self.z.shape
        left_r, left_sum = np.zeros((doublings + 1, n, d)), np.zeros((doublings + 1, n, d))
        alive = np.arange(n)
        for leaf in range(2**doublings):
            e = step[alive, None]
            half = self.r[alive] + 0.5 * e * self.g[alive]
            z = self.z[alive] + e * half
            value, g = space(z)
            r = half + 0.5 * e * g
            gain = value - 0.5 * (r**2).sum(axis=1) - level[alive]
            gain = np.where(np.isnan(gain), -np.inf, gain)
            self.z[alive], self.r[alive], self.g[alive] = z, r, g
            self.accepted[alive] += np.exp(np.minimum(gain, 0.0))
            self.steps[alive] += 1
            gone = gain < -DIVERGENT
            weight = np.where(gone, self.weight[alive], np.logaddexp(self.weight[alive], gain))
            take = np.log(rng.random(len(alive))) < np.where(gone, -np.inf, gain) - np.where(gone, 0.0, weight)
            self.chosen.put(alive[take], _State(z, value, g), take)
            self.weight[alive] = weight
            self.sum_r[alive] += r
            place = (leaf >> 1).bit_count()
            turned = np.zeros(len(alive), dtype=bool)
            if leaf % 2 == 0:
                left_r[place, alive], left_sum[place, alive] = r, self.sum_r[alive]
            else:
                # sub-subtrees that end here: as many as the index has trailing ones
                for at in range(place, place - (~leaf & (leaf + 1)).bit_length() + 1, -1):
                    between = self.sum_r[alive] - left_sum[at, alive] + left_r[at, alive]
                    turned |= space.turns(left_r[at, alive], r, between)
            self.turned[alive[turned]], self.divergent[alive[gone]] = True, True
            alive = alive[~(turned | gone)]
            if len(alive) == 0:
                return


class _StepSize:
    """Dual averaging towards the wanted acceptance rate (Hoffman & Gelman 2014, section 3.2)."""

    SHRINKAGE, DELAY, FORGETTING = 0.05, 10.0, 0.75

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted
        self.step = self.final = 0.5
        self.restart()

    def restart(self) -> None:
        """Begin anew around the present step."""
        self.centre = np.log(2.0 * self.step)
        self.count, self.error, self.log_mean = 0, 0.0, 0.0

    def learn(self, acceptance: float) -> None:
        """Take note of the mean acceptance rate of one iteration."""
        self.count += 1
        rate = 1.0 / (self.count + self.DELAY)
        self.error = (1.0 - rate) * self.error + rate * (self.wanted - acceptance)
        log_step = self.centre - np.sqrt(self.count) / self.SHRINKAGE * self.error
        memory = self.count**-self.FORGETTING
        self.log_mean = memory * log_step + (1.0 - memory) * self.log_mean
        self.step, self.final = float(np.exp(log_step)), float(np.exp(self.log_mean))
