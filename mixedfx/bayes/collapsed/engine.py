"""The engine: modes, proposal, weights, the decision whether they can be trusted, then exact (beta, u) for each draw.

Importance sampling serves up to two dozen coordinates: in models of Project STAR with 11, 19 and 21 of them, 40 %, 30 %
and 9 % of the points were effective, and k-hat was about 0.5. Several modes are covered by a mixture of proposals.
Beyond that, or where k-hat says that the weights cannot be trusted, NUTS samples the same low-dimensional density with
its exact gradient.

**What k-hat cannot see** is a part of the posterior that was never proposed. So the mass near each mode to which the
starting points lead, the REML estimate among them, is compared with the mass that the draws stand for there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.collapsed import nuts
from mixedfx.bayes.collapsed.exact_course import Sampling
from mixedfx.errors import MemoryForecastError, OptionError
from mixedfx.pls.evaluate import evaluate
from mixedfx.sampling.importance import RELIABLE, ImportanceSample, resample, smooth
from mixedfx.sampling.mixture_proposal import Adapted, MixtureProposal, adapt, at_modes, log_masses
from mixedfx.sampling.mode import Modes, find_modes
from mixedfx.sampling.nuts import ACCEPTANCE, DEEPEST
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]
Report = Callable[[str, int, int], None]

MOST_COORDINATES = 24
ROUNDS = 6
ADAPTATION = {
    True: (1000, 100),
    False: (60, 20),
}  # points in a round: at least, and for each coordinate; batched or not
POOR = 0.1  # share of effective points below which the basis of the priors is tried
ATTEMPTS = {True: 3, False: 2}  # final rounds before the weights are given up; batched or not
EXTRA = {True: (2.0, 12.0), False: (1.25, 4.0)}  # proposals for each draw kept, fewest and most; batched or not
PART = 1000  # draws of (beta, u) between two reports
LARGEST_DRAWS = 0.25  # share of the free memory that draws may take: proposals and copies need as much again


@dataclass(frozen=True)
class EngineSettings:
    """Options of the engine, as `mixedfx.control` describes them; None where it decides."""

    proposals: int | None = None
    k_hat: float = RELIABLE
    max_coordinates: int = MOST_COORDINATES
    start: tuple[float, ...] | None = None
    adapt_delta: float = ACCEPTANCE
    max_treedepth: int = DEEPEST


DEFAULT = EngineSettings()


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
    transitions
        What NUTS says of each transition, by ArviZ's names; None for independent draws.
    """

    phi: Array
    beta: Array
    u: Array
    sampling: Sampling
    transitions: dict[str, Array] | None = None


def sample(
    target: Target, draws: int, chains: int, warmup: int, rng: np.random.Generator, engine: str = "auto",
    settings: EngineSettings = DEFAULT, report: Report | None = None,
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
    settings
        Limits, tolerances and starts.
    report
        Called with the stage, how much of it is done and how much there is (0: not known).

    Returns
    -------
    PosteriorSample
        In the coordinates of `target`, whichever were sampled.

    Raises
    ------
    MemoryForecastError
        If the draws would not fit in the memory that is free.
    """
    check_memory(draws, target.collapsed.design.n_random + target.collapsed.problem.p + target.size)
    report, begin = report or _silent, time.perf_counter()
    report("searching for modes", 0, 0)
    way = _Way(target, find_modes(target, [] if settings.start is None else [point_of(target, settings.start)]))
    reason = _why_not_importance(target, engine, settings.max_coordinates)
    weighted, spent = None, way.modes.evaluations
    if not reason:
        way, adapted, spent = _adapted(way, rng, report)
        weighted = _weighted(way, adapted, draws, settings, rng, report)
        spent += weighted.sample.evaluations
        if weighted.sample.k_hat > settings.k_hat:
            reason = f"k-hat of the importance weights is {weighted.sample.k_hat:.2f}, above {settings.k_hat:g}"
    if weighted is not None and not reason:
        found = _kept(way, weighted, draws, spent, rng, begin, report)
    else:
        k_hat = np.nan if weighted is None else weighted.sample.k_hat
        found = _by_nuts(way, reason, k_hat, draws, chains, warmup, spent, rng, begin, report, settings)
    if way.target is target:
        return found
    return replace(found, phi=target.coordinates.translated(found.phi, way.target.coordinates))


@dataclass(frozen=True, eq=False)
class _Way:
    """The coordinates that are sampled, and the modes there."""

    target: Target
    modes: Modes


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is told."""


def check_memory(draws: int, width: int, hint: str | None = None) -> None:
    """Refuse draws that would not fit; `hint` where something better can be done than to ask for fewer."""
    import psutil

    needed, free = 8.0 * draws * width, psutil.virtual_memory().available
    if needed > LARGEST_DRAWS * free:
        raise MemoryForecastError(
            f"{draws} draws of {width} quantities need {needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free",
            hint=hint or f"Ask for fewer draws: draws={int(LARGEST_DRAWS * free / (8.0 * width))} would do.",
        )


def point_of(target: Target, theta: Sequence[float]) -> Array:
    """(d,) the point with covariance factors theta, as ``fit.theta`` has them, and the sigma that suits them best.

    Raises
    ------
    OptionError
        For another number of parameters than the model has.
    """
    problem = target.collapsed.problem
    if len(theta) != problem.n_parameters:
        raise OptionError(
            f"start= has {len(theta)} numbers, and theta has {problem.n_parameters}",
            hint="Give theta, as fit.theta of another fit.",
        )
    par = problem.parameters(np.asarray(theta, dtype=np.float64))
    sigma = float(np.sqrt(evaluate(problem, par, derivatives=False).sigma2))
    return target.coordinates.from_used(sigma, problem.matrices(par))


def _why_not_importance(target: Target, engine: str, most: int) -> str:
    if engine == "nuts":
        return "asked for"
    if target.size > most:
        return f"{target.size} coordinates, more than {most}"
    return ""


def _mass_of_draws(modes: Modes, phi: Array) -> tuple[float, ...]:
    """Log mass near each mode if the draws are right about shares; a draw belongs to the mode that it is nearest to."""
    log_mass = np.array([mode.log_mass for mode in modes.found])
    total = float(np.logaddexp.reduce(log_mass))
    if len(log_mass) == 1:
        return (total,)
    nearest = np.argmin([mode.distance(phi) for mode in modes.found], axis=0)
    counts = np.bincount(nearest, minlength=len(log_mass))
    return tuple(float(total + np.log(n / len(phi))) if n else -np.inf for n in counts)


def _adapted(way: _Way, rng: np.random.Generator, report: Report) -> tuple[_Way, Adapted, int]:
    """The proposal that fits best, in the basis where it fits, and the evaluations that it took to find it.

    Where few points are effective and priors are stated for another basis than the one that is sampled, that is tried:
    a prior that says more than the data has its own shape there.
    """
    found, spent = _adapt(way, rng, report), way.modes.evaluations
    other = way.target.as_stated if found.share < POOR else None
    if other is None:
        return way, found, spent
    there = _Way(other, find_modes(other))
    again = _adapt(there, rng, report)
    if again.share > found.share:
        return there, again, spent + found.evaluations + there.modes.evaluations
    return way, found, spent + again.evaluations + there.modes.evaluations


def _adapt(way: _Way, rng: np.random.Generator, report: Report) -> Adapted:
    least, each = ADAPTATION[way.target.batch is not None]
    report("adapting the proposal", 0, 0)
    points = max(least, each * way.target.size) * len(way.modes.found)
    return adapt(way.target.log_density, at_modes(way.modes.found), points, rng, ROUNDS)


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Weighted points and the adaptation that led to them; (beta, u) as in `_Points`."""

    sample: ImportanceSample
    adapted: Adapted
    beta: Array | None
    u: Array | None


def _weighted(
    way: _Way, adapted: Adapted, draws: int, settings: EngineSettings, rng: np.random.Generator, report: Report
) -> _Weighted:  # fmt: skip
    target, proposal = way.target, adapted.proposal
    fast, proposals = target.batch is not None, settings.proposals
    if proposals is None:  # as many effective points as draws, if that can be had
        proposals = int(np.ceil(draws * np.clip(1 / max(adapted.share, 1e-3), *EXTRA[fast])))
    n, spent = max(draws, proposals), adapted.evaluations
    found = _final_round(target, proposal, n, rng, report)
    for _ in range(ATTEMPTS[fast] - 1):
        spent += n
        if found.sample.k_hat <= settings.k_hat:
            break
        # so many points know the tails better than a round of adaptation did
        proposal = proposal.refit(found.sample.points, found.sample.weights)
        found = _final_round(target, proposal, n, rng, report)
    else:
        spent += n
    counted = replace(found.sample, rounds=adapted.rounds, evaluations=spent)
    return _Weighted(counted, adapted, found.beta, found.u)


@dataclass(frozen=True, eq=False)
class _Points:
    """Weighted points; where each took a factorisation of its own, with the draw of (beta, u) made there."""

    sample: ImportanceSample
    beta: Array | None
    u: Array | None


def _final_round(
    target: Target, proposal: MixtureProposal, n: int, rng: np.random.Generator, report: Report
) -> _Points:  # fmt: skip
    points = proposal.draw(rng, n)
    density, beta, u = _densities(target, points, rng, report)
    log_ratios = density - proposal.log_density(points)
    weights, k_hat = smooth(log_ratios)
    found = ImportanceSample(points, log_ratios, weights, k_hat, float(1 / np.sum(weights**2)), 0, n)
    return _Points(found, beta, u)


def _densities(
    target: Target, points: Array, rng: np.random.Generator, report: Report
) -> tuple[Array, Array | None, Array | None]:
    """Densities of points; where each takes a factorisation of its own, with a draw of (beta, u) while it is there."""
    if target.batch is not None or target.points is not None:
        return target.log_density(points), None, None
    problem, q = target.collapsed.problem, target.collapsed.design.n_random
    density = target.coordinates.log_prior(points)
    beta, u = np.zeros((len(points), problem.p)), np.zeros((len(points), q))
    for d, phi in enumerate(points):
        report("weighing points", d, len(points))
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
    way: _Way, weighted: _Weighted, draws: int, spent: int, rng: np.random.Generator, begin: float, report: Report
) -> PosteriorSample:  # fmt: skip
    """Resample, and complete each draw with its own (beta, u)."""
    target, modes, found, adapted = way.target, way.modes, weighted.sample, weighted.adapted
    chosen = resample(found.weights, draws, rng)
    phi = found.points[chosen]
    if weighted.beta is None or weighted.u is None:
        beta, u = _effects(target, phi, rng, report)
    else:
        beta, u = weighted.beta[chosen], weighted.u[chosen]
        _, first = np.unique(chosen, return_index=True)
        again = np.setdiff1d(np.arange(draws), first)  # copies get (beta, u) of their own
        beta[again], u[again] = _effects(target, phi[again], rng, report)
    drawn = log_masses(found.log_ratios, at_modes(modes.found).responsibilities(found.points))
    sampling = Sampling(
        method="importance", reason="", k_hat=found.k_hat, ess=found.ess, proposals=len(found.points),
        distinct=len(np.unique(chosen)), r_hat=np.nan, divergences=0, evaluations=spent,
        seconds=time.perf_counter() - begin, log_evidence=found.log_evidence, modes=len(modes.found),
        starts=modes.starts, log_mass=tuple(map(float, adapted.log_mass)), drawn=tuple(map(float, drawn)),
        mass_error=float(adapted.error),
    )  # fmt: skip
    return PosteriorSample(phi, beta, u, sampling)


def _by_nuts(
    way: _Way, reason: str, k_hat: float, draws: int, chains: int, warmup: int, spent: int, rng: np.random.Generator,
    begin: float, report: Report, settings: EngineSettings,
) -> PosteriorSample:  # fmt: skip
    """Draws of NUTS, each with its own (beta, u)."""
    target, modes, total = way.target, way.modes, warmup + -(-draws // chains)
    course = nuts.sample(
        target, modes, draws, chains, warmup, rng, lambda done, phase: report(f"NUTS, {phase}", done, total),
        acceptance=settings.adapt_delta, deepest=settings.max_treedepth,
    )  # fmt: skip
    beta, u = _effects(target, course.phi, rng, report)
    sampling = Sampling(
        method="nuts", reason=reason, k_hat=k_hat, ess=course.ess, proposals=0, distinct=len(course.phi),
        r_hat=course.r_hat, divergences=course.divergences, evaluations=spent + course.evaluations,
        seconds=time.perf_counter() - begin, log_evidence=(np.nan, np.nan), modes=len(modes.found),
        starts=modes.starts, log_mass=tuple(mode.log_mass for mode in modes.found),
        drawn=_mass_of_draws(modes, course.phi), at_max_treedepth=course.at_max_treedepth, energy=course.energy,
    )  # fmt: skip
    return PosteriorSample(course.phi, beta, u, sampling, course.transitions)


def _effects(target: Target, phi: Array, rng: np.random.Generator, report: Report) -> tuple[Array, Array]:
    """(D, p) and (D, q) exact draws of (beta, u), one for each phi."""
    parts = []
    for at in range(0, max(len(phi), 1), PART):
        report("drawing the effects", at, len(phi))
        parts.append(target.draw(phi[at : at + PART], rng))
    return np.concatenate([beta for beta, _ in parts]), np.concatenate([u for _, u in parts])
