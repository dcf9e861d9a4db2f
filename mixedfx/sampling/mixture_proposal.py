r"""Importance sampling around several modes at once: a mixture of proposals, one for each, adapted together.

Weights are ratios of the density to that of the whole mixture, so that a point counts the same whichever component it
came from, and a mode that is covered is weighted right however much of the mass it holds. In each round a component
takes the points in proportion to its share in their density under the mixture (population Monte Carlo with weights
that are integrated over the choice of the component; Cappé, Douc, Guillin, Marin & Robert 2008, Statistics and
Computing 18:447); none loses its place altogether. With one mode this is adaptive importance sampling as in
`mixedfx.sampling.importance`.

**Mass near a mode.** With r_c(x) the share of component c, as it is first made from the curvature at its mode, in the
density of the mixture at x, the integral of the density near mode c is that of density times r_c: the mean of weight
times r_c over the points. It is estimated twice, by the first round, whose proposals stand at the modes by
construction, and by the points that draws are taken from. If adaptation has drifted from a mode, the first estimate is
the larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.sampling.importance import CALM, EVEN, Proposal, at_mode, refit, smooth
from mixedfx.sampling.mode import Mode

Array = NDArray[np.float64]

LEAST_SHARE = 0.05  # of the points that go to a component, divided by the number of components
FEWEST = 2.0  # effective points from which a component learns


@dataclass(frozen=True, eq=False)
class MixtureProposal:
    """A mixture of proposals.

    Attributes
    ----------
    components
        The proposals.
    shares
        (c,) their probabilities.
    """

    components: tuple[Proposal, ...]
    shares: Array

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """(n, d) draws, component by component."""
        counts = [n] if len(self.components) == 1 else rng.multinomial(n, self.shares)
        return np.concatenate([one.draw(rng, int(m)) for one, m in zip(self.components, counts, strict=True)])

    def log_densities(self, x: Array) -> Array:
        """(n, c) log density of (n, d) points under each component, its share included."""
        return np.column_stack([one.log_density(x) for one in self.components]) + np.log(self.shares)

    def log_density(self, x: Array) -> Array:
        """(n,) log density of (n, d) points."""
        found = self.log_densities(x)
        return found[:, 0] if found.shape[1] == 1 else np.asarray(special.logsumexp(found, axis=1))

    def responsibilities(self, x: Array) -> Array:
        """(n, c) shares of the components in the density at (n, d) points."""
        if len(self.components) == 1:
            return np.ones((len(x), 1))
        return np.asarray(special.softmax(self.log_densities(x), axis=1))

    def refit(self, points: Array, weights: Array) -> MixtureProposal:
        """The mixture moved to weighted points."""
        own = weights[:, None] * self.responsibilities(points)
        shares, total = own.sum(axis=0), 1 / np.sum(weights**2)
        components = []
        for one, w, share in zip(self.components, own.T, shares, strict=True):
            ess = min(share**2 / np.sum(w**2), share * total) if share > 0 else 0.0
            components.append(refit(one, points, w / share, ess) if ess > FEWEST else one)
        least = LEAST_SHARE / len(shares)
        return MixtureProposal(tuple(components), np.maximum(shares, least) / np.maximum(shares, least).sum())


def at_modes(modes: Sequence[Mode]) -> MixtureProposal:
    """The first mixture: a proposal at each mode, in proportion to their masses."""
    log_mass = np.array([mode.log_mass for mode in modes])
    shares = np.maximum(special.softmax(log_mass), LEAST_SHARE / len(modes))
    return MixtureProposal(tuple(at_mode(mode.phi, mode.covariance) for mode in modes), shares / shares.sum())


@dataclass(frozen=True, eq=False)
class Adapted:
    """What rounds of adaptation lead to.

    Attributes
    ----------
    proposal
        The last one.
    rounds
        Rounds taken.
    share
        Share of effective points in the last round.
    log_mass
        (c,) log mass near each mode, by the first round.
    error
        Standard error of the largest of them.
    evaluations
        Evaluations of the density.
    """

    proposal: MixtureProposal
    rounds: int
    share: float
    log_mass: Array
    error: float
    evaluations: int


def adapt(
    log_density: Callable[[Array], Array], proposal: MixtureProposal, n: int, rng: np.random.Generator, rounds: int
) -> Adapted:
    """Give a proposal the location, spread and skewness of the posterior.

    Parameters
    ----------
    log_density
        Maps (n, d) points to (n,) log densities.
    proposal
        The first one.
    n
        Points in each round.
    rng
        Random numbers.
    rounds
        Largest number of rounds; fewer where the weights are even already.
    """
    log_mass, error = np.full(len(proposal.components), -np.inf), np.inf
    share = 0.0
    for turn in range(1, rounds + 1):
        points = proposal.draw(rng, n)
        log_ratios = log_density(points) - proposal.log_density(points)
        weights, k_hat = smooth(log_ratios)
        share = float(1 / np.sum(weights**2)) / n
        if turn == 1:
            log_mass = log_masses(log_ratios, proposal.responsibilities(points))
            error = 1 / np.sqrt(share * n)
        if share > EVEN and k_hat < CALM:
            return Adapted(proposal, turn, share, log_mass, error, turn * n)
        proposal = proposal.refit(points, weights)
    return Adapted(proposal, rounds, share, log_mass, error, rounds * n)


def log_masses(log_ratios: Array, responsibilities: Array) -> Array:
    """(c,) log mass near each mode from (n,) log ratios of density to proposal and (n, c) responsibilities."""
    with np.errstate(divide="ignore"):
        terms = log_ratios[:, None] + np.log(responsibilities)
    return np.asarray(special.logsumexp(terms, axis=0)) - np.log(len(log_ratios))
