r"""Evidence and draws of models whose weights meet clusters or moderators: quasi-Monte Carlo importance sampling.

The proposal is the bent t distribution of `mixedfx.sampling.importance`. It begins at the moments of the same model
without weights, made wider, and of the sticks' prior, and is adapted to its own weighted points. The evidence is the
mean ratio over several scramblings of a Sobol sequence, its error theirs. k-hat above 0.7 says that the ratios have no
reliable mean: after more points a chain takes over (`chain_models.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mixedfx.meta.averaging import normal_models
from mixedfx.meta.averaging.given import Given
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.normal_models import Evidence, Sampled
from mixedfx.meta.averaging.target import Target
from mixedfx.meta.measure import Array
from mixedfx.priors.bias import NoBias
from mixedfx.priors.ensembles import Option
from mixedfx.sampling.importance import RELIABLE, Proposal, at_mode, refit, smooth
from mixedfx.sampling.nodes import SCRAMBLING, evenly_spread

ADAPT, ROUNDS, EVEN = 1024, 6, 0.45  # points of a round, rounds, share of effective points that is enough
FINAL, REPLICATES = 512, 8
MORE = 4  # times as many points where k-hat is too large
WIDER = 1.6  # of the standard deviations without weights
START = 512


@dataclass(frozen=True, eq=False)
class ImportanceModel:
    """A model with weighted points.

    Attributes
    ----------
    member, evidence
        Which, and its evidence.
    target
        Its density.
    points, weights
        (N, d) points and (N,) weights, sum 1.
    """

    member: Member
    evidence: Evidence
    target: Target
    points: Array
    weights: Array


def solve(given: Given, member: Member, mechanism: str) -> ImportanceModel:
    """Evidence and weighted points of one model; see `Evidence.k_hat` whether they can be trusted."""
    target = Target(given, member, mechanism)
    proposal = _adapted(target, at_mode(*_start(given, member, target)))
    found = _final(target, proposal, FINAL)
    if found.evidence.k_hat > RELIABLE:
        weights, points = found.weights, found.points
        proposal = refit(proposal, points, weights, float(1 / np.sum(weights**2)))
        found = _final(target, replace(proposal, scale=1.2 * proposal.scale), MORE * FINAL)
    return found


def _start(given: Given, member: Member, target: Target) -> tuple[Array, Array]:
    """Mean and covariance to begin with."""
    plain = replace(member, bias=Option(NoBias(), 1.0, True))
    (model,) = normal_models.solve(given, [plain])
    at = normal_models.sample(given, model, START)
    columns: list[Array] = [at.mu[:, None]] if member.coefficients.free_mean else []
    columns += [at.moderators[:, [c]] for c in member.coefficients.columns]
    if target.has_tau:
        columns.append(np.log(np.maximum(at.tau, 1e-12))[:, None])
    if target.has_rho:
        columns.append(special.logit(np.clip(at.rho, 1e-9, 1 - 1e-9))[:, None])
    a, b = target.weights.sticks.T
    mean = special.digamma(a) - special.digamma(b)
    variance = special.polygamma(1, a) + special.polygamma(1, b)
    x = np.concatenate([np.zeros((START, 0)), *columns], axis=1)
    d, p = x.shape[1], x.shape[1] + len(a)
    covariance = np.zeros((p, p))
    if d:
        covariance[:d, :d] = WIDER**2 * np.atleast_2d(np.cov(x.T)) + 1e-8 * np.eye(d)
    covariance[range(d, p), range(d, p)] = variance
    return np.concatenate([x.mean(axis=0), mean]), covariance


def _adapted(target: Target, proposal: Proposal) -> Proposal:
    """The proposal after some rounds of adaptation."""
    uniform = evenly_spread(ADAPT, target.dim + 2)
    best, most = proposal, 0.0
    for _ in range(ROUNDS):
        points = proposal.place(uniform)
        with np.errstate(all="ignore"):
            weights, _ = smooth(target.log_density(points) - proposal.log_density(points))
        if not (np.isfinite(weights).all() and weights.any()):
            break
        ess = float(1 / np.sum(weights**2))
        if ess > most:
            best, most = proposal, ess
        if ess > EVEN * ADAPT:
            break
        proposal = refit(proposal, points, weights, ess)
    return best


def _final(target: Target, proposal: Proposal, n: int) -> ImportanceModel:
    """Evidence from replicates of the sequence, and all their points."""
    every, logs = [], []
    for replicate in range(REPLICATES):
        points = proposal.place(evenly_spread(n, target.dim + 2, SCRAMBLING + 1 + replicate))
        every.append(points)
        with np.errstate(all="ignore"):
            logs.append(target.log_density(points) - proposal.log_density(points))
    ratios = np.concatenate(logs)
    top = ratios[np.isfinite(ratios)].max(initial=-np.inf)
    if not np.isfinite(top):
        return ImportanceModel(
            target.member, Evidence(-np.inf, np.inf, np.inf, "importance sampling"), target, every[0],
            np.full(n, 1 / n),
        )  # fmt: skip
    means = np.array([np.exp(one - top).mean() for one in logs])
    mean = means.mean()
    error = float(means.std(ddof=1) / mean / np.sqrt(REPLICATES))
    weights, k_hat = smooth(ratios)
    evidence = Evidence(float(top + np.log(mean)), error, k_hat, "importance sampling")
    return ImportanceModel(target.member, evidence, target, np.concatenate(every), weights)


def sample(model: ImportanceModel) -> Sampled:
    """Its weighted points as parameters."""
    return replace(model.target.natural(model.points)[0], weights=model.weights)
