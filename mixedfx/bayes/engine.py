"""The engine: mode, proposal, weights, the decision whether they can be trusted, then exact (beta, u) for each draw.

Importance sampling serves up to two dozen coordinates and one mode: in models of Project STAR with 11, 19 and 21 of
them, 40 %, 30 % and 9 % of the points were effective, and k-hat was about 0.5. Beyond that, or where k-hat says that
the weights cannot be trusted, NUTS samples the same low-dimensional density with its exact gradient.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes import nuts
from mixedfx.errors import MemoryForecastError
from mixedfx.sampling.importance import RELIABLE, ImportanceSample, Proposal, adapt, at_mode, refit, resample, smooth
from mixedfx.sampling.mode import Mode, find_mode
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

MOST_COORDINATES = 24
ROUNDS = 6
ADAPTATION = {
    True: (1000, 100),
    False: (60, 20),
}  # points in a round: at least, and for each coordinate; batched or not
ATTEMPTS = {True: 3, False: 2}  # final rounds before the weights are given up; batched or not
EXTRA = {True: (2.0, 12.0), False: (1.25, 4.0)}  # proposals for each draw kept, fewest and most; batched or not
LARGEST_DRAWS = 0.25  # share of the free memory that draws may take: proposals and copies need as much again


@dataclass(frozen=True, eq=False)
class Sampling:
    """How draws were made, and how far they can be trusted.

    Attributes
    ----------
    method
        ``"importance"`` or ``"nuts"``.
    reason
        Why NUTS was used; empty for importance sampling.
    k_hat
        Shape of the tail of the importance weights; NaN where there are none.
    ess
        Effective number of draws: of the weights before resampling, or the smallest over the coordinates for NUTS.
    proposals
        Number of weighted points; 0 for NUTS.
    distinct
        Number of distinct (theta, sigma) among the draws kept.
    r_hat
        Largest R-hat over the coordinates; NaN for independent draws.
    divergences
        Divergent transitions of NUTS.
    evaluations
        Evaluations of the density, of all stages.
    seconds
        Time taken.
    log_evidence
        Log marginal likelihood and its Monte Carlo error; NaN for NUTS.
    modes
        Modes that matter.
    """

    method: str
    reason: str
    k_hat: float
    ess: float
    proposals: int
    distinct: int
    r_hat: float
    divergences: int
    evaluations: int
    seconds: float
    log_evidence: tuple[float, float]
    modes: int


@dataclass(frozen=True, eq=False)
class PosteriorSample:
    """Joint draws of everything.

    Attributes
    ----------
    phi
        (D, d) coordinates.
    beta, u
        (D, p) and (D, q).
    sampling
        How they were made.
    """

    phi: Array
    beta: Array
    u: Array
    sampling: Sampling


def sample(
    target: Target, draws: int, chains: int, warmup: int, rng: np.random.Generator, engine: str = "auto",
    proposals: int | None = None,
) -> PosteriorSample:  # fmt: skip
    """Draw from the posterior.

    Parameters
    ----------
    target
        The posterior of phi.
    draws
        Number of draws kept, over all chains.
    chains, warmup
        For NUTS: chains, and warm-up iterations of each.
    rng
        Random numbers.
    engine
        ``"auto"``: importance sampling if it can be trusted, else NUTS. ``"collapsed"``: the same. ``"nuts"``: NUTS.
    proposals
        Number of weighted points.

    Raises
    ------
    MemoryForecastError
        If the draws would not fit in the memory that is free.
    """
    check_memory(draws, target.collapsed.design.n_random + target.collapsed.problem.p + target.size)
    begin = time.perf_counter()
    mode = find_mode(target)
    reason = _why_not_importance(target, mode, engine)
    weighted = None
    if not reason:
        weighted = _weighted(target, mode, draws, proposals, rng)
        if weighted.sample.k_hat > RELIABLE:
            reason = f"k-hat of the importance weights is {weighted.sample.k_hat:.2f}, above {RELIABLE}"
    if weighted is not None and not reason:
        return _kept(target, mode, weighted, draws, rng, begin)
    spent = mode.evaluations + (0 if weighted is None else weighted.sample.evaluations)
    course = nuts.sample(target, mode, draws, chains, warmup, rng)
    beta, u = _effects(target, course.phi, rng)
    sampling = Sampling(
        "nuts", reason, np.nan if weighted is None else weighted.sample.k_hat, course.ess, 0, len(course.phi),
        course.r_hat, course.divergences, spent + course.evaluations, time.perf_counter() - begin, (np.nan, np.nan),
        1 + len(mode.others),
    )  # fmt: skip
    return PosteriorSample(course.phi, beta, u, sampling)


def check_memory(draws: int, width: int, mend: str | None = None) -> None:
    """Refuse draws that would not fit; `mend` where something better can be done than to ask for fewer."""
    import psutil

    needed, free = 8.0 * draws * width, psutil.virtual_memory().available
    if needed > LARGEST_DRAWS * free:
        raise MemoryForecastError(
            f"{draws} draws of {width} quantities need {needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free",
            mend=mend or f"Ask for fewer draws: draws={int(LARGEST_DRAWS * free / (8.0 * width))} would do.",
        )


def _why_not_importance(target: Target, mode: Mode, engine: str) -> str:
    if engine == "nuts":
        return "asked for"
    if target.size > MOST_COORDINATES:
        return f"{target.size} coordinates, more than {MOST_COORDINATES}"
    if mode.others:
        return f"{1 + len(mode.others)} modes were found"
    return ""


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Weighted points; where each took a factorisation of its own, with the draw of (beta, u) made there."""

    sample: ImportanceSample
    beta: Array | None
    u: Array | None


def _weighted(target: Target, mode: Mode, draws: int, proposals: int | None, rng: np.random.Generator) -> _Weighted:
    fast = target.batch is not None
    least, each = ADAPTATION[fast]
    proposal, rounds, share = adapt(
        target.log_density, at_mode(mode.phi, mode.covariance), max(least, each * target.size), rng, ROUNDS
    )
    if proposals is None:  # as many effective points as draws, if that can be had
        proposals = int(np.ceil(draws * np.clip(1 / max(share, 1e-3), *EXTRA[fast])))
    n = max(draws, proposals)
    spent = rounds * max(least, each * target.size)
    for _ in range(ATTEMPTS[fast] - 1):
        found = _final_round(target, proposal, n, rng)
        spent += n
        if found.sample.k_hat <= RELIABLE:
            break
        # so many points know the tails better than a round of adaptation did
        proposal = refit(proposal, found.sample.points, found.sample.weights, found.sample.ess)
    else:
        found = _final_round(target, proposal, n, rng)
        spent += n
    return replace(found, sample=replace(found.sample, rounds=rounds, evaluations=spent))


def _final_round(target: Target, proposal: Proposal, n: int, rng: np.random.Generator) -> _Weighted:
    points = proposal.draw(rng, n)
    if target.batch is not None:
        density, beta, u = target.log_density(points), None, None
    else:
        density, beta, u = _evaluate_and_draw(target, points, rng)
    log_ratios = density - proposal.log_density(points)
    weights, k_hat = smooth(log_ratios)
    return _Weighted(ImportanceSample(points, log_ratios, weights, k_hat, float(1 / np.sum(weights**2)), 0, n), beta, u)


def _evaluate_and_draw(target: Target, points: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Densities of points, and one draw of (beta, u) at each while its factor is there."""
    problem, q = target.collapsed.problem, target.collapsed.design.n_random
    density = target.coordinates.log_prior(points)
    beta, u = np.zeros((len(points), problem.p)), np.zeros((len(points), q))
    for d, phi in enumerate(points):
        try:
            at = target.evaluate(phi)
        except np.linalg.LinAlgError:
            density[d] = -np.inf
            continue
        density[d] += at.value
        one_beta, one_u = target.collapsed.draw(at, 1, rng)
        beta[d], u[d] = one_beta[0], one_u[0]
    return np.where(np.isnan(density), -np.inf, density), beta, u


def _kept(
    target: Target, mode: Mode, weighted: _Weighted, draws: int, rng: np.random.Generator, begin: float
) -> PosteriorSample:
    """Resample, and complete each draw with its own (beta, u)."""
    found = weighted.sample
    chosen = resample(found.weights, draws, rng)
    phi = found.points[chosen]
    if weighted.beta is None or weighted.u is None:
        beta, u = _effects(target, phi, rng)
    else:
        beta, u = weighted.beta[chosen], weighted.u[chosen]
        _, first = np.unique(chosen, return_index=True)
        again = np.setdiff1d(np.arange(draws), first)  # copies get (beta, u) of their own
        beta[again], u[again] = _effects(target, phi[again], rng)
    sampling = Sampling(
        "importance", "", found.k_hat, found.ess, len(found.points), len(np.unique(chosen)), np.nan, 0,
        mode.evaluations + found.evaluations, time.perf_counter() - begin, found.log_evidence, 1,
    )  # fmt: skip
    return PosteriorSample(phi, beta, u, sampling)


def _effects(target: Target, phi: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """(D, p) and (D, q) exact draws of (beta, u), one for each phi."""
    if len(phi) == 0:
        return np.zeros((0, target.collapsed.problem.p)), np.zeros((0, target.collapsed.design.n_random))
    if target.batch is not None:
        at = target.coordinates.variances(phi)
        return target.batch.draw(target.coordinates.relative_factors(at), at.sigma, at.mixing, rng)
    parts = [target.collapsed.draw(target.evaluate(point), 1, rng) for point in phi]
    return np.concatenate([b for b, _ in parts]), np.concatenate([u for _, u in parts])
