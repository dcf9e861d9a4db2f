r"""What a REML fit does not know about theta and sigma, as weighted nodes, and what linear functionals are at each.

Given node k a functional of (beta, u) is normal with mean m_k and variance V_k; altogether it is the mixture of these
with the weights of the nodes (`mixedfx.sampling.nodes`, under the weak prior of `mixedfx.reml.theta_prior`). Levels the
fit has not seen have at each node the covariance of that node.

**How many nodes.** Where many points cost little more than one, 512; 128 where the data determine every variance well,
since the mixture then is close to one normal distribution. Where each point takes a factorisation of its own, as many
as `SECONDS` allow by the forecast from the sizes of the model (`mixedfx.inference.forecast`), 32 to 128: a rule, not a
clock, so that the same question has the same answer everywhere.

**Where weights cannot be trusted.** With very many variance parameters, or where k-hat stays too large, nodes are
evenly spread over the normal approximation of the density at its mode, in logarithms of standard deviations and
transformed correlations, and have equal weights. Whoever asks is told (`ThetaUncertaintyWarning`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.design.functional import Functional
from mixedfx.inference.forecast import evaluation_seconds
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.inference.row_variances import row_variances
from mixedfx.pls.collapsed import CollapsedEvaluation
from mixedfx.pls.conditional_moments import conditional_moments, rows_of
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.joint import Joint
from mixedfx.reml.solve import RemlSolution
from mixedfx.reml.theta_prior import starting_point, theta_density
from mixedfx.sampling.coordinates import Variances
from mixedfx.sampling.importance import at_mode, resample
from mixedfx.sampling.mode import bounded
from mixedfx.sampling.nearby import mode_near
from mixedfx.sampling.nodes import Nodes, evenly_spread, place_nodes
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

TOGETHER, WELL_KNOWN = 512, 128  # nodes where many points cost little more than one; where variances are well known
WELL = 0.3  # standard deviation of the logarithm of a standard deviation below which it counts as well known
FEWEST, MOST = 32, 128  # nodes where each point takes a factorisation of its own
SECONDS = 1.5  # what one round of these may take, by forecast
CHEAP = 0.01  # forecast of one evaluation up to which the mode and its curvature are searched for with care
DIFFERENCE = 1e-5  # step of the differences of maps that cost nothing
MOST_COORDINATES = 24  # beyond, importance weights in so many dimensions are hopeless
BATCH = 256  # joint draws held at once
SMALL = 2e7  # numbers: draws times effects up to which functionals are drawn through all effects


@dataclass(frozen=True, eq=False)
class ThetaNodes:
    """Nodes of one fit.

    Attributes
    ----------
    target
        The density of phi = (sigma, standard deviations, correlations).
    nodes
        Its nodes.
    trusted
        Whether the weights are importance weights with an acceptable k-hat; else the nodes are those of the normal
        approximation.
    affordable
        Number of nodes where a factorisation for each allowed no more; 0 elsewhere.
    """

    target: Target
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
    def caveat(self) -> str:
        """What is to be said where weights cannot be trusted."""
        d, k_hat = self.target.size, self.nodes.k_hat
        why = f"{d} variance parameters are too many" if np.isnan(k_hat) else f"k-hat of the weights is {k_hat:.2f}"
        return (
            f"that theta and sigma are estimated could not be included by weighted nodes ({why}): intervals of numbers "
            "with random effects include it by a normal approximation of log standard deviations and correlations.\n"
            "mx.bayes samples them; a simpler random part needs no approximation."
        )

    @property
    def note(self) -> str:
        """What is to be said of their number; empty where there is nothing to say."""
        if not self.affordable:
            return ""
        return (
            f"Evaluations of a model of this size are expensive: theta and sigma are averaged over {self.affordable} "
            "nodes, and ends of intervals are good to a few percent of their width."
        )

    @cached_property
    def at(self) -> Variances:
        """The nodes in the terms of the model."""
        return self.target.coordinates.variances(self.nodes.points)

    @property
    def sigma(self) -> Array:
        """(K,) residual standard deviations."""
        return self.at.sigma

    @cached_property
    def _relative(self) -> list[Array]:
        return self.target.coordinates.relative_factors(self.at)

    def moments(self, rows: Functional, *, fixed: bool = True, random: bool = True) -> tuple[Array, Array]:
        """(K, s) means and (K, s) variances of s functionals at each node.

        Parameters
        ----------
        rows
            The functionals, those of unseen levels with covariances of the node.
        fixed, random
            Whether what is not known of beta, and of u, counts in the variances.
        """
        means, variances = self._known(rows.fixed, rows.random)
        if not (fixed and random):
            only = (rows.fixed if fixed else 0 * rows.fixed, rows.random if random else 0 * rows.random)
            variances = self._known(*only)[1] if fixed or random else np.zeros_like(variances)
        if random and rows.new_levels:
            variances = variances + self._new(rows).variances([self.at.factors(t) for t in range(self._n_terms)])
        return means + rows.offset, variances

    def _known(self, fixed: Array, random) -> tuple[Array, Array]:
        batch, at = self.target.batch, self.at
        if batch is not None:
            return conditional_moments(
                batch, self._relative, at.sigma, at.mixing, rows_of(self.target.collapsed, fixed, random)
            )
        means, variances = np.empty((len(self), len(fixed))), np.empty((len(self), len(fixed)))
        for k in range(len(self)):
            joint = self.joint(k)
            means[k] = fixed @ joint.beta + random @ joint.u
            variances[k] = row_variances(joint, fixed, random)
        return means, variances

    def covariance(self, rows: Functional) -> Array:
        """(s, s) covariance of s functionals under the mixture."""
        within, means = np.zeros((len(rows), len(rows))), np.empty((len(self), len(rows)))
        for k, weight in enumerate(self.weights):
            joint = self.joint(k)
            means[k] = rows.fixed @ joint.beta + rows.random @ joint.u
            within += weight * joint.covariance(rows.fixed, rows.random)
        deviation = means - self.weights @ means
        if rows.new_levels:
            covariances = []
            for t in range(self._n_terms):
                F = self.at.factors(t)
                covariances.append(np.einsum("k,kab,kcb->ac", self.weights, F, F))
            within += self._new(rows).covariance(covariances)
        return within + (deviation * self.weights[:, None]).T @ deviation

    def draws(self, rows: Functional, n: int, rng: np.random.Generator) -> Array:
        """(n, s) joint draws of s functionals from the mixture."""
        chosen = resample(self.weights, n, rng)
        if self.target.batch is not None and n * self.target.collapsed.design.n_random <= SMALL:
            out = np.empty((n, len(rows)))
            for start in range(0, n, BATCH):
                at = slice(start, start + BATCH)
                beta, u = self._batched(chosen[at], rng)
                out[at] = beta @ rows.fixed.T + (rows.random @ u.T).T
        else:
            out = self._by_node(rows, chosen, rng)
        out += rows.offset
        if rows.new_levels:
            factors = [self.at.factors(t) for t in range(self._n_terms)]
            for start in range(0, n, BATCH):
                at = slice(start, start + BATCH)
                out[at] += self._new(rows).draws([F[chosen[at]] for F in factors], rng)
        return out

    def effects(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """(n, p) and (n, q) joint draws of beta and u from the mixture."""
        chosen = resample(self.weights, n, rng)
        if self.target.batch is not None:
            return self._batched(chosen, rng)
        beta = np.empty((n, self.target.collapsed.problem.p))
        u = np.empty((n, self.target.collapsed.design.n_random))
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

    def joint(self, k: int) -> Joint:
        """The joint distribution of (beta, u) given node k."""
        return joint_given(self.target, self.target.evaluate(self.nodes.points[k]))

    @property
    def _n_terms(self) -> int:
        return len(self.target.collapsed.design.random)

    def _new(self, rows: Functional) -> NewLevelRows:
        return NewLevelRows.of(rows, [term.n_columns for term in self.target.collapsed.design.random])

    def _batched(self, chosen: NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, Array]:
        batch, at = self.target.batch, self.at
        assert batch is not None
        return batch.draw([T[chosen] for T in self._relative], at.sigma[chosen], at.mixing[chosen], rng)

    def _by_node(self, rows: Functional, chosen: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """Draws of known effects, node by node: from the covariance of few rows, through all effects for many."""
        out = np.empty((len(chosen), len(rows)))
        for k in np.unique(chosen):
            at, joint = np.flatnonzero(chosen == k), self.joint(int(k))
            if len(rows) <= 2 * BATCH:
                mean = rows.fixed @ joint.beta + rows.random @ joint.u
                values, vectors = np.linalg.eigh(joint.covariance(rows.fixed, rows.random))
                root = vectors * np.sqrt(np.clip(values, 0.0, None))
                out[at] = mean + rng.standard_normal((len(at), len(rows))) @ root.T
                continue
            for part in np.array_split(at, -(-len(at) // BATCH)):
                beta, u = joint.draw(len(part), rng)
                out[part] = beta @ rows.fixed.T + (rows.random @ u.T).T
        return out


def joint_given(target: Target, at: CollapsedEvaluation) -> Joint:
    """The joint distribution of (beta, u) at one point of a density whose beta is flat."""
    collapsed = target.collapsed
    nothing = np.zeros(0)
    evaluation = Evaluation(
        nothing, np.nan, None, None, None, at.sigma**2, at.gamma, at.L @ at.L.T, np.nan, at.factorization
    )
    return Joint(collapsed.design, collapsed.problem, evaluation)


def theta_nodes(solution: RemlSolution) -> ThetaNodes:
    """Nodes of a fit with random terms."""
    joint, problem = solution.joint, solution.problem
    target = theta_density(joint.design, problem, solution.sigma)
    start = starting_point(target, solution.sigma, joint.evaluation.factorization.T)
    together = target.batch is not None
    seconds = evaluation_seconds(problem)
    cheap = together or seconds < CHEAP
    mode, covariance = mode_near(target, start, None if cheap else guessed_covariance(target, start))
    if together:
        sds = np.sqrt(np.diag(covariance)[np.concatenate([np.r_[t.sds] for t in target.coordinates.terms])])
        count = WELL_KNOWN if sds.max(initial=0.0) < WELL else TOGETHER
    else:
        allowed = np.log2(max(SECONDS / max(seconds, 1e-9), 1.0))
        count = 2 ** int(np.clip(allowed, np.log2(FEWEST), np.log2(MOST)))
    affordable = 0 if together or count == MOST else count
    if target.size <= MOST_COORDINATES:
        effort = {"rounds": 5, "attempts": 3} if together else {"rounds": 3, "attempts": 1, "even": 0.3}
        nodes = place_nodes(target.log_density, at_mode(mode, covariance), count, **effort)  # type: ignore[arg-type]
        if nodes.reliable:
            return ThetaNodes(target, nodes, True, affordable)
    else:
        nodes = Nodes(mode[None], np.ones(1), np.nan, np.nan, 0)
    normal = mode + special.ndtri(evenly_spread(count, len(mode))) @ np.linalg.cholesky(covariance).T
    equal = Nodes(normal, np.full(count, 1.0 / count), nodes.k_hat, float(count), nodes.evaluations)
    return ThetaNodes(target, equal, False, affordable)


def guessed_covariance(target: Target, phi: Array) -> Array:
    """(d, d) inverse of the negative Hessian of a density, from the average information at one point.

    Second derivatives of the map from phi to the parameters of the problem are left out, which count where the
    gradient is not zero; so is the curvature that sigma and T share beyond T being relative to sigma.
    """
    coordinates, problem = target.coordinates, target.collapsed.problem

    def parameters(points: Array) -> Array:
        return problem.lower(coordinates.relative_factors(coordinates.variances(points)))

    steps = DIFFERENCE * np.eye(len(phi))
    J = ((parameters(phi + steps) - parameters(phi - steps)) / (2 * DIFFERENCE)).T
    information = evaluate(replace(problem, REML=True), parameters(phi[None])[0]).information
    assert information is not None
    hessian = J.T @ information @ J / 2
    if coordinates.has_sigma:
        hessian[0, 0] += 2.0 * (problem.n - problem.p)
    ends = coordinates.prior_gradient(phi + steps) - coordinates.prior_gradient(phi - steps)
    return bounded(hessian - (ends + ends.T) / (4 * DIFFERENCE))
