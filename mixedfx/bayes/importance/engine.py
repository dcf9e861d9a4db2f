r"""The engine: modes, forecast, proposal, weights, and the decision whether they can be trusted.

A point psi of the proposal has the weight

    exp R = prior(psi) L(psi) / q(psi),

L an unbiased estimate of the likelihood that comes with a draw of the random effects: (psi, effects) so weighted are
exactly distributed as the posterior (`mixedfx.bayes.importance.levels`). Nothing is approximated; what an estimate is
worth shows in the variance of the weights, of which k-hat is the certificate.

**Forecast.** Two estimates at the same psi differ by what the effects alone contribute: by d ~ N(0, 2 V), V = Var R
given psi, were they lognormal. V is read off the mean of the hyperbolic secant of d, which no few differences decide.
With one point for each draw V is twice the terms of third derivatives in the next order of Laplace's approximation
(Shun & McCullagh 1995), 2 (t'C t / 8 + sum w'w'C^3 / 12); reflected pairs take these away, and V is of the order after.
It is estimated from `PILOT` points around the mode, weighted as Laplace's approximation has them, for rules with more
and more points a level, and the rule is taken that promises most effective draws for its work, which grows as the
passes over the rows while effective draws fall as exp(-V). Above `MOST_VARIANCE` no rule will do: the weights would
rest on a few draws. The engine then refuses before it has drawn.

**Trial.** The forecast knows nothing of how well the proposal of psi fits. Where adaptation ends with few effective
points, so that many would have to be weighed, a few hundred are first, in the best way there is: if they fail by k-hat
and by their effective share, the engine refuses then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.importance.importance_course import ImportanceSampling
from mixedfx.bayes.importance.levels import Rule
from mixedfx.bayes.importance.modes import find_modes
from mixedfx.bayes.importance.target import STEPS, GlmmTarget, Point
from mixedfx.errors import ImportanceError
from mixedfx.sampling.importance import RELIABLE, resample, smooth
from mixedfx.sampling.mixture_proposal import Adapted, MixtureProposal, adapt, at_modes
from mixedfx.sampling.mode import Modes

Array = NDArray[np.float64]
Report = Callable[[str, int, int], None]

MOST_COORDINATES = 24
MOST_SECOND = 200  # effects of the second level, whose precision is a dense matrix for each draw
PAIRS = (1, 4, 8, 16, 32)  # of points for each level, tried in turn
PILOT = 150  # pairs of estimates
NO_LESS = 0.8  # ratio of variances from which on more points do not help: it is of the second level
EVEN = 0.05  # variance of log weights that more points need not lower
MOST_VARIANCE = 1.8  # above it the weights cannot be trusted, or too few points count
LEAST_SHARE = 0.05  # of effective points, below which chains are as good
ROUNDS, ADAPTATION = 4, (400, 50)  # of adaptation; points in each, at least and for each coordinate
MOST_HELD = 2**26  # effects of all weighted points that are kept, half a gigabyte
TRIAL = (1000, 500)  # points before many are weighed that may be for nothing: for the proposal, and for k-hat
FEWEST = 1000  # weighted points, however few draws are kept: k-hat needs a tail
EXTRA = (1.25, 6.0)  # proposals for each draw kept, fewest and most


@dataclass(frozen=True)
class ImportanceSettings:
    """Options of the engine, as `mixedfx.control` describes them; None where it decides."""

    proposals: int | None = None
    k_hat: float = RELIABLE
    max_coordinates: int = MOST_COORDINATES


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of the weights.

    Attributes
    ----------
    rule
        The points for each level that promise most.
    variance
        Variance of the log weights given psi under that rule.
    evaluations
        Estimates made.
    """

    rule: Rule
    variance: float
    evaluations: int

    @property
    def passes(self) -> bool:
        """Whether weights can be expected that can be trusted."""
        return self.variance <= MOST_VARIANCE


@dataclass(frozen=True, eq=False)
class WeightedSample:
    """Joint draws of everything.

    Attributes
    ----------
    psi, u
        (D, d) and (D, q).
    sampling
        How they were made.
    """

    psi: Array
    u: Array
    sampling: ImportanceSampling


def sample(
    target: GlmmTarget, draws: int, rng: np.random.Generator, settings: ImportanceSettings, report: Report
) -> WeightedSample:
    """Draw from the posterior.

    Raises
    ------
    ImportanceError
        Where weights cannot be trusted, or a forecast says so.
    """
    begin = time.perf_counter()
    if target.size > settings.max_coordinates:
        raise _refusal(
            f"there are {target.size} parameters besides the random effects, more than {settings.max_coordinates}"
        )
    if target.rows.q2 > MOST_SECOND:
        raise _refusal(
            f"{target.rows.q2} random effects are of other grouping factors than the largest, more than {MOST_SECOND}"
        )
    report("searching for modes", 0, 0)
    modes, start = find_modes(target)
    report("weighing a pilot", 0, 0)
    expected = forecast(target, modes, start, rng)
    if not expected.passes:
        raise _refusal(
            f"the log weights are forecast to have variance {expected.variance:.1f} given the parameters, above "
            f"{MOST_VARIANCE:g}"
        )
    report("adapting the proposal", 0, 0)
    adapted = _adapted(target, modes, start, expected.rule, rng)
    spent = modes.evaluations + expected.evaluations + adapted.evaluations
    wanted = max(FEWEST, int(np.ceil(draws * np.clip(1.1 / max(adapted.share, 1e-3), *EXTRA))))
    n, proposal = max(settings.proposals or wanted, draws), adapted.proposal
    if adapted.share < LEAST_SHARE and n > sum(TRIAL):
        tried = trial(target, proposal, start, expected.rule, rng)
        spent += sum(TRIAL)
        if tried.k_hat > settings.k_hat and tried.share < LEAST_SHARE:
            raise _refusal(
                f"k-hat of the first {TRIAL[1]} importance weights is {tried.k_hat:.2f}, above {settings.k_hat:g}, and "
                f"{tried.share:.0%} of them are effective, less than {LEAST_SHARE:.0%}"
            )
    found, rule, more = weigh(target, proposal, start, expected.rule, n, rng, report, settings.k_hat)
    if found.k_hat <= settings.k_hat and found.share >= LEAST_SHARE:
        return _kept(target, found, draws, replace(expected, rule=rule), modes, start, spent + more, begin, rng)
    if found.k_hat > settings.k_hat:
        raise _refusal(f"k-hat of the importance weights is {found.k_hat:.2f}, above {settings.k_hat:g}")
    raise _refusal(f"{found.share:.0%} of the weighted points are effective, less than {LEAST_SHARE:.0%}")


def _refusal(why: str) -> ImportanceError:
    return ImportanceError(
        f"importance sampling refuses this model: {why}",
        hint="Use engine='stanli', which samples by NUTS, or 'auto', which goes on to it.",
    )


def forecast(target: GlmmTarget, modes: Modes, start: Point, rng: np.random.Generator) -> Forecast:
    """The rule that promises most, and the variance of the log weights under it."""
    mode, spent = modes.best, 0
    psi = mode.phi + rng.standard_normal((PILOT, target.size)) @ np.linalg.cholesky(mode.covariance).T
    weights, _ = smooth(target.laplace(psi, start)[0] + 0.5 * mode.distance(psi) ** 2)
    spent += PILOT
    if not np.isfinite(weights).all():  # one point has all the weight
        weights = np.full(PILOT, 1.0 / PILOT)
    best, least, before = Forecast(Rule(PAIRS[0]), np.inf, 0), np.inf, np.inf
    for pairs in PAIRS:
        rule = Rule(pairs)
        work = STEPS + 1 + rule.points
        if work > least:  # could not be better, were its weights all equal
            break
        twice, _ = target.estimates(np.concatenate([psi, psi]), start, rule, rng, effects=False)
        spent += 2 * PILOT
        one, two = np.split(twice, 2)
        with np.errstate(invalid="ignore"):
            alike = np.nan_to_num(1.0 / np.cosh(np.minimum(np.abs(one - two), 50.0)))  # not a number: none at all
        variance = float(np.interp(-(weights @ alike), *_variances()))
        worth = work * np.exp(min(variance, 50.0))
        if worth < least:
            best, least = Forecast(rule, variance, 0), worth
        if variance < EVEN or (pairs > PAIRS[1] and variance > NO_LESS * before):
            break
        before = variance
    return Forecast(best.rule, best.variance, spent)


@cache
def _variances() -> tuple[Array, Array]:
    """Minus the mean of the hyperbolic secant of d, ascending, and V, for d ~ N(0, 2 V)."""
    V, z = np.geomspace(1e-4, 100.0, 200), np.linspace(-8.0, 8.0, 1001)
    share = np.exp(-0.5 * z**2)
    return -(1.0 / np.cosh(np.sqrt(2.0 * V)[:, None] * z)) @ (share / share.sum()), V


def _adapted(target: GlmmTarget, modes: Modes, start: Point, rule: Rule, rng: np.random.Generator) -> Adapted:
    def log_density(psi: Array) -> Array:
        return target.estimates(psi, start, rule, rng, effects=False)[0]

    points = max(ADAPTATION[0], ADAPTATION[1] * target.size) * len(modes.found)
    return adapt(log_density, at_modes(modes.found), points, rng, ROUNDS)


@dataclass(frozen=True, eq=False)
class _Block:
    """Weighted points `at`, their effects (m, q), or None and the random numbers that make them once more."""

    at: NDArray[np.intp]
    u: Array | None
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class _Weighted:
    psi: Array
    blocks: list[_Block]
    log_ratios: Array
    weights: Array
    k_hat: float

    @property
    def share(self) -> float:
        """Share of effective points."""
        return float(1 / np.sum(self.weights**2)) / len(self.weights)


def _weighted(
    target: GlmmTarget, proposal: MixtureProposal, start: Point, rule: Rule, n: int, rng: np.random.Generator,
    report: Report,
) -> _Weighted:  # fmt: skip
    """Weighted points; where all their effects would be too many numbers, those of the chosen ones are made again."""
    psi, q = proposal.draw(rng, n), target.design.n_random
    held = n * q <= MOST_HELD
    count = 1 if held else -(-4 * n * q // MOST_HELD)
    density, blocks = np.empty(n), []
    for at in np.array_split(np.arange(n), count):
        again, first = deepcopy(rng), int(at[0])
        density[at], u = target.estimates(
            psi[at], start, rule, rng, partial(_done, report, first, n), effects=held
        )  # fmt: skip
        blocks.append(_Block(at, u if held else None, again))
    log_ratios = density - proposal.log_density(psi)
    weights, k_hat = smooth(log_ratios)
    return _Weighted(psi, blocks, log_ratios, weights, k_hat)


def trial(
    target: GlmmTarget, proposal: MixtureProposal, start: Point, rule: Rule, rng: np.random.Generator
) -> _Weighted:  # fmt: skip
    """A few points by the best that `weigh` can do: a proposal refitted to others, four times the points for a level.

    Effective shares of few points are too large where tails are heavy, and k-hat has a standard error of a quarter: a
    model that fails both here fails with many points.
    """
    first = _weighted(target, proposal, start, rule, TRIAL[0], rng, _silent)
    return _weighted(
        target, proposal.refit(first.psi, first.weights), start, Rule(4 * rule.pairs), TRIAL[1], rng, _silent
    )


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is told of a trial."""


def weigh(
    target: GlmmTarget, proposal: MixtureProposal, start: Point, rule: Rule, n: int, rng: np.random.Generator,
    report: Report, most: float,
) -> tuple[_Weighted, Rule, int]:  # fmt: skip
    """Weighted points, their rule, and the evaluations; where k-hat is above `most` or few count, once more.

    So many points know the tails better than a round of adaptation did, and with four times the points for each level
    no weight of a level is without a bound.
    """
    found = _weighted(target, proposal, start, rule, n, rng, report)
    if found.k_hat <= most and found.share >= LEAST_SHARE:
        return found, rule, n
    rule = Rule(4 * rule.pairs)
    return _weighted(target, proposal.refit(found.psi, found.weights), start, rule, n, rng, report), rule, 2 * n


def _done(report: Report, first: int, n: int, done: int) -> None:
    report("weighing points", first + done, n)


def _effects(target: GlmmTarget, found: _Weighted, chosen: NDArray[np.intp], start: Point, rule: Rule) -> Array:
    """(D, q) effects of the points that were chosen."""
    out = np.empty((len(chosen), target.design.n_random))
    for block in found.blocks:
        mine = np.flatnonzero((chosen >= block.at[0]) & (chosen <= block.at[-1]))
        if not len(mine):
            continue
        u = block.u
        if u is None:
            u = target.estimates(found.psi[block.at], start, rule, deepcopy(block.rng))[1]
        out[mine] = u[chosen[mine] - block.at[0]]
    return out


def _kept(
    target: GlmmTarget, found: _Weighted, draws: int, expected: Forecast, modes: Modes, start: Point, spent: int,
    begin: float, rng: np.random.Generator,
) -> WeightedSample:  # fmt: skip
    chosen = resample(found.weights, draws, rng)
    u = _effects(target, found, chosen, start, expected.rule)
    top = found.log_ratios.max()
    ratios = np.exp(found.log_ratios - top)
    mean = ratios.mean()
    sampling = ImportanceSampling(
        k_hat=found.k_hat, ess=float(1 / np.sum(found.weights**2)), proposals=len(found.psi),
        distinct=len(np.unique(chosen)), points=expected.rule.points, forecast=expected.variance, evaluations=spent,
        seconds=time.perf_counter() - begin, modes=len(modes.found), starts=modes.starts,
        log_evidence=(float(top + np.log(mean)), float(ratios.std(ddof=1) / mean / np.sqrt(len(ratios)))),
    )  # fmt: skip
    return WeightedSample(found.psi[chosen], u, sampling)
