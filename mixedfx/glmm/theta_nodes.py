r"""What a generalised linear mixed model does not know about theta and auxiliary parameters, as weighted nodes.

Given node k a functional of (beta, u) is normal with mean m_k and variance V_k, about the mode of u; altogether it is
the mixture of these with the weights of the nodes (`mixedfx.sampling.nodes`, under the density of
`mixedfx.glmm.theta_density`). Levels the fit has not seen have at each node the covariance of that node.

As many nodes as `SECONDS` allow by a forecast from the sizes of the model, 32 to 128: a rule, not a clock, so that the
same question has the same answer everywhere. Where weights cannot be trusted, nodes are evenly spread over the normal
approximation of the density, and have equal weights; whoever asks is told (`ThetaUncertaintyWarning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.design.functional import Functional
from mixedfx.glmm.integration import nodes_of_a_row
from mixedfx.glmm.joint import ModeJoint
from mixedfx.glmm.solve import GlmmSolution, refused
from mixedfx.glmm.theta_density import ThetaDensity
from mixedfx.inference.forecast import evaluation_seconds
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.inference.row_variances import row_variances
from mixedfx.sampling.coordinates import Variances
from mixedfx.sampling.importance import at_mode, resample
from mixedfx.sampling.nodes import Nodes, evenly_spread, place_nodes

Array = NDArray[np.float64]

FEWEST, MOST = 32, 64
SECONDS = 2.0  # what one round may take, by forecast
OVERHEAD, ROW, TIMES = 5e-3, 5e-7, 5.0  # of an evaluation: seconds, seconds for each row, and forecasts of a REML one
EVEN = 0.3  # share of effective points at which a proposal needs no further round
MOST_COORDINATES = 24  # beyond, importance weights in so many dimensions are hopeless
HELD = 2**26  # numbers of all factorisations up to which they are kept
BATCH = 256  # joint draws held at once


@dataclass(frozen=True, eq=False)
class GlmmNodes:
    """Nodes of one fit.

    Attributes
    ----------
    density
        The density of phi.
    nodes
        Its nodes.
    trusted
        Whether the weights are importance weights with an acceptable k-hat; else the nodes are those of the normal
        approximation.
    affordable
        Number of nodes where the forecast allowed no more; 0 elsewhere.
    """

    density: ThetaDensity
    nodes: Nodes
    trusted: bool
    affordable: int

    def __len__(self) -> int:
        return len(self.nodes.weights)

    @property
    def weights(self) -> Array:
        """(K,) weights, sum 1."""
        return self.nodes.weights

    @property
    def sigma(self) -> Array:
        """(K,) ones: effects are not relative to a residual."""
        return np.ones(len(self))

    @property
    def caveat(self) -> str:
        """What is to be said where weights cannot be trusted."""
        d, k_hat = self.density.size, self.nodes.k_hat
        why = f"{d} variance parameters are too many" if np.isnan(k_hat) else f"k-hat of the weights is {k_hat:.2f}"
        return (
            f"that theta is estimated could not be included by weighted nodes ({why}): intervals of numbers with "
            "random effects include it by a normal approximation of log standard deviations and correlations.\n"
            "mx.bayes samples them; a simpler random part needs no approximation."
        )

    @property
    def note(self) -> str:
        """What is to be said of their number; empty where there is nothing to say."""
        if not self.affordable:
            return ""
        return (
            f"Evaluations of a model of this size are expensive: theta is averaged over {self.affordable} nodes, and "
            "ends of intervals are good to a few percent of their width."
        )

    @cached_property
    def at(self) -> Variances:
        """The nodes in the terms of the model."""
        return self.density.variances(self.nodes.points)

    @property
    def auxiliary(self) -> Array:
        """(K, a) values of the auxiliary parameters."""
        own = self.density.model.likelihood.parameters
        return own.natural(self.nodes.points[:, self.density.coordinates.size :])

    def joint(self, k: int) -> ModeJoint:
        """The joint distribution of (beta, u) given node k."""
        if k in self._joints:
            return self._joints[k]
        found = self.density.joint(self.nodes.points[k])
        if self._kept:
            self._joints[k] = found
        return found

    @cached_property
    def _joints(self) -> dict[int, ModeJoint]:
        return {}

    @cached_property
    def _kept(self) -> bool:
        problem = self.density.model.problem
        second = 0 if problem.coupling is None else problem.coupling.size
        size = 4 * problem.n + problem.gram1.size + second**2 + (0 if problem.coupling is None else 8 * problem.n)
        return size * len(self) < HELD

    def moments(self, rows: Functional, *, fixed: bool = True, random: bool = True) -> tuple[Array, Array]:
        """(K, s) means and (K, s) variances of s functionals at each node.

        Parameters
        ----------
        rows
            The functionals, those of unseen levels with covariances of the node.
        fixed, random
            Whether what is not known of beta, and of u, counts in the variances.
        """
        means, variances = np.empty((len(self), len(rows))), np.zeros((len(self), len(rows)))
        counted = rows.fixed if fixed else 0 * rows.fixed, rows.random if random else 0 * rows.random
        for k in range(len(self)):
            joint = self.joint(k)
            means[k] = rows.fixed @ joint.beta + rows.random @ joint.u
            if fixed or random:
                variances[k] = row_variances(joint, *counted)
        if random and rows.new_levels:
            variances = variances + self._new(rows).variances(self.factors)
        return means + rows.offset, variances

    def covariance(self, rows: Functional) -> Array:
        """(s, s) covariance of s functionals under the mixture."""
        within, means = np.zeros((len(rows), len(rows))), np.empty((len(self), len(rows)))
        for k, weight in enumerate(self.weights):
            joint = self.joint(k)
            means[k] = rows.fixed @ joint.beta + rows.random @ joint.u
            within += weight * joint.covariance(rows.fixed, rows.random)
        deviation = means - self.weights @ means
        if rows.new_levels:
            within += self._new(rows).covariance([np.einsum("k,kab,kcb->ac", self.weights, F, F) for F in self.factors])
        return within + (deviation * self.weights[:, None]).T @ deviation

    def draws(self, rows: Functional, n: int, rng: np.random.Generator) -> Array:
        """(n, s) joint draws of s functionals from the mixture."""
        chosen = self.choose(n, rng)
        out = np.empty((n, len(rows)))
        for k in np.unique(chosen):
            at, joint = np.flatnonzero(chosen == k), self.joint(int(k))
            if len(rows) <= min(BATCH, len(at)):
                mean = rows.fixed @ joint.beta + rows.random @ joint.u
                values, vectors = np.linalg.eigh(joint.covariance(rows.fixed, rows.random))
                root = vectors * np.sqrt(np.clip(values, 0.0, None))
                out[at] = mean + rng.standard_normal((len(at), len(rows))) @ root.T
                continue
            for part in np.array_split(at, -(-len(at) // BATCH)):
                beta, u = joint.draw(len(part), rng)
                out[part] = beta @ rows.fixed.T + (rows.random @ u.T).T
        out += rows.offset
        if rows.new_levels:
            for start in range(0, n, BATCH):
                at = slice(start, start + BATCH)
                out[at] += self._new(rows).draws([F[chosen[at]] for F in self.factors], rng)
        return out

    def choose(self, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """(n,) numbers of nodes, each as often as its weight says."""
        return resample(self.weights, n, rng)

    def effects(self, chosen: NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, Array]:
        """(n, p) and (n, q) joint draws of beta and u, one at each of the nodes that were chosen."""
        model = self.density.model
        beta, u = np.empty((len(chosen), model.sizes[0])), np.empty((len(chosen), model.design.n_random))
        for k in np.unique(chosen):
            at = np.flatnonzero(chosen == k)
            beta[at], u[at] = self.joint(int(k)).draw(len(at), rng)
        return beta, u

    @cached_property
    def mean_effects(self) -> tuple[Array, Array]:
        """(p,) and (q,) means of beta and u under the mixture."""
        beta, u = 0.0, 0.0
        for k, weight in enumerate(self.weights):
            joint = self.joint(k)
            beta, u = beta + weight * joint.beta, u + weight * joint.u
        return np.asarray(beta), np.asarray(u)

    @cached_property
    def factors(self) -> tuple[Array, ...]:
        """For each random term (K, k, k) factors of the covariance of a level's effects."""
        return tuple(self.at.factors(t) for t in range(len(self.density.model.design.random)))

    def _new(self, rows: Functional) -> NewLevelRows:
        return NewLevelRows.of(rows, [term.n_columns for term in self.density.model.design.random])


def theta_nodes(solution: GlmmSolution) -> GlmmNodes:
    """Nodes of a fit with random terms."""
    if solution.iterative:
        raise refused("the uncertainty of theta is averaged over fits at other theta, each")
    density = ThetaDensity.of(solution)
    mode, covariance = density.climb()
    problem = density.model.problem
    per_row = 1.0 + nodes_of_a_row(problem, solution.nAGQ) / 2.0
    seconds = OVERHEAD + ROW * problem.n * per_row + TIMES * evaluation_seconds(problem)
    count = 2 ** int(np.clip(np.log2(SECONDS / seconds), np.log2(FEWEST), np.log2(MOST)))
    affordable = 0 if count == MOST else count
    if density.size <= MOST_COORDINATES:
        nodes = place_nodes(
            density.log_density,
            at_mode(mode, covariance),
            count,
            rounds=3,
            attempts=2 if count == MOST else 1,
            even=EVEN,
        )
        if nodes.reliable:
            density.forget(nodes.points)
            return GlmmNodes(density, nodes, True, affordable)
    else:
        nodes = Nodes(mode[None], np.ones(1), np.nan, np.nan, 0)
    density.forget(mode[None])
    normal = mode + special.ndtri(evenly_spread(count, len(mode))) @ np.linalg.cholesky(covariance).T
    equal = Nodes(normal, np.full(count, 1.0 / count), nodes.k_hat, float(count), nodes.evaluations)
    return GlmmNodes(density, equal, False, affordable)
