r"""The density of theta and the auxiliary parameters of a generalised linear mixed model, beta and u integrated out.

Coordinates are those of `mixedfx.sampling.coordinates` (logarithms of standard deviations, transformed correlations),
and after them those of the auxiliary parameters (`mixedfx.glmm.auxiliary`). With D the criterion of the fit (Laplace's
or that of quadrature) at (gamma, phi), and S the information about gamma given phi, beta is integrated out under a flat
prior,

    log p(phi) = -D(gamma*, phi) / 2 - log|S| / 2 + log prior(phi),    gamma* = gamma - S^{-1} D_gamma / 2,

as D is near its minimum a parabola in gamma: one evaluation and its exact gradient give D(gamma*) = D - D_gamma' S^{-1}
D_gamma / 4, and where that leads far, a second one from there.

**Prior.** That of `mixedfx.reml.theta_prior`, its sigma^2 / n being what the rows say of the mean of all: 1 / sum of
their expected information about eta. A negative binomial response has the noise of a mean that varies with standard
deviation shape^(-1/2), which has the prior of a standard deviation, and so have others whose family says that one of
their parameters is such noise (`Family.noise`). A parameter between two bounds is uniform there; the standard deviation
of a gaussian response and shape^(-1/2) of a gamma one have a prior that is flat in the logarithm, thresholds and
coefficients of the dispersion a flat one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.integration import criterion_function, find_mode_of
from mixedfx.glmm.joint import ModeJoint, mode_joint
from mixedfx.glmm.model import Model
from mixedfx.glmm.penalised import prior_information
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.pls.factorization import Pair
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.location import Flat
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.coordinates import Coordinates, Variances
from mixedfx.sampling.level_scale import ETA, FARTHEST, TURN, LevelScale, level_priors, moved_inside
from mixedfx.sampling.mode import bounded

Array = NDArray[np.float64]

STEEPEST = 1.5  # start of a search: no partial correlation beyond the tanh of this
OUTSIDE = 60.0  # coordinates beyond this, on logarithmic scales, have no density that a computer can tell from zero
LOOSE = 1e-4  # decrement of modes whose density is compared: what is left enters to first order
FAR = 0.5  # gain in log density by a step of gamma, from which on the parabola is not believed
MOST_MOVES = 4  # steps of gamma
STEPS, PROMISED = 12, 0.02  # of the search for the mode: at most, and the gain in log density that ends it
DIFFERENCE = 1e-5  # of the differences of maps that cost nothing


@dataclass(frozen=True, eq=False)
class Profile:
    """One point phi.

    Attributes
    ----------
    psi
        (d,) parameters of the engine, gamma at gamma*.
    v
        Standardised random effects at their mode for the gamma that was evaluated.
    gain
        What the step to gamma* adds to the log density.
    value
        log p, without the prior.
    evaluation
        What was evaluated.
    """

    psi: Array
    v: Pair
    gain: float
    value: float
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class ThetaDensity:
    """Density of phi.

    Attributes
    ----------
    solution
        The fit.
    model
        Its model, covariance factors without frames.
    coordinates
        Of the covariances.
    scale
        Prior of the standard deviation of noise.
    places
        Where the last evaluations found gamma and v, by phi: whoever comes back begins there.
    """

    solution: GlmmSolution
    model: Model
    coordinates: Coordinates
    scale: LevelScale
    places: dict[bytes, tuple[Array, Pair]] = field(default_factory=dict)

    @staticmethod
    def of(solution: GlmmSolution) -> ThetaDensity:
        """The density of a fit with random terms."""
        model = solution.model.with_frames(replace(solution.model.problem, frames={}))
        mode, problem = solution.evaluation.mode, model.problem
        information = model.likelihood.information(mode.eta, mode.phi)
        row = 1.0 / max(float(np.mean(information)), 1e-300)  # sigma^2 of the gaussian model with as much information
        moved = mode.eta - model.offset - model.Q @ mode.gamma
        spread = np.sqrt(row + np.mean(moved**2))
        turn = float(np.sqrt(TURN * row / len(mode.eta)))
        p = problem.p
        terms = level_priors(problem, turn, float(FARTHEST * spread), ETA)
        priors = ResolvedPriors("weak", (Flat(),) * p, np.zeros(p), None, terms, True, ())
        scale = LevelScale(turn, float(FARTHEST * spread))
        return ThetaDensity(solution, model, Coordinates(problem, priors, np.zeros(0)), scale)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.coordinates.size + self.model.sizes[2]

    def variances(self, phi: Array) -> Variances:
        """(D, size) points in the terms of the model."""
        return self.coordinates.variances(phi[:, : self.coordinates.size])

    def parameters(self, phi: Array) -> Array:
        """(D, r + a) parameters (par, phi of the family) of the engine."""
        at = self.variances(phi)
        par = self.model.problem.lower(self.coordinates.relative_factors(at))
        return np.concatenate([par, phi[:, self.coordinates.size :]], axis=1)

    def log_prior(self, phi: Array) -> Array:
        """(D,) log density of the prior of phi, Jacobians included."""
        own = self.coordinates.size
        total = self.coordinates.log_prior(phi[:, :own])
        for at, sign in self._noise:
            half = sign * phi[:, own + at] / 2.0
            total = total + self.scale.log_positive(np.exp(half)) + half
        for at in self._bounded:
            total = total + special.log_expit(phi[:, own + at]) + special.log_expit(-phi[:, own + at])
        return total

    @cached_property
    def _noise(self) -> list[tuple[int, int]]:
        """Places in phi of parameters that are noise, with their signs."""
        names, own = self.model.likelihood.names, self.model.family.noise
        return [(names.index(name), sign) for name, sign in own.items() if name in names]

    @cached_property
    def _bounded(self) -> list[int]:
        """Places in phi of parameters with two bounds."""
        names = self.model.likelihood.names
        return [names.index(name) for name in self.model.family.auxiliary if name in names and AUXILIARY[name].bounded]

    def prior_gradient(self, phi: Array) -> Array:
        """(D, size) its derivatives."""
        own = self.coordinates.size
        rest = np.zeros((len(phi), self.model.sizes[2]))
        for at, sign in self._noise:
            rest[:, at] = sign * (self.scale.score_positive(np.exp(sign * phi[:, own + at] / 2.0)) + 1.0) / 2.0
        for at in self._bounded:
            rest[:, at] = -np.tanh(phi[:, own + at] / 2.0)
        return np.concatenate([self.coordinates.prior_gradient(phi[:, :own]), rest], axis=1)

    def start(self) -> Array:
        """(size,) the estimate moved off its boundaries."""
        T = self.solution.evaluation.mode.T
        phi = moved_inside(self.coordinates, self.coordinates.from_used(1.0, T, steepest=STEEPEST))
        return np.concatenate([phi, self.solution.evaluation.mode.phi])

    def log_density(self, phi: Array) -> Array:
        """(D,) log densities at (D, size) points; minus infinity where there is no mode of the random effects."""
        out = np.full(len(phi), -np.inf)
        inside = np.flatnonzero((np.abs(phi) < OUTSIDE).all(axis=1))
        prior = self.log_prior(phi[inside])
        for i, own in zip(inside, prior, strict=True):
            found = self.profile(phi[i])
            if found is not None:
                out[i] = found.value + own
        return np.where(np.isnan(out), -np.inf, out)

    def profile(self, phi: Array, second: bool = False) -> Profile | None:
        """The best gamma at one point; None where nothing is found."""
        rest = self.parameters(phi[None])[0]
        if not np.isfinite(rest).all():
            return None
        gamma, v = self.places.get(phi.tobytes(), self._near)
        try:
            for move in range(MOST_MOVES):
                found = self._moved(gamma, rest, v, second)
                gamma, v = found.psi[: len(gamma)], found.v
                if found.gain < FAR or move == MOST_MOVES - 1:
                    self.places[phi.tobytes()] = gamma, v
                    return found
        except np.linalg.LinAlgError:
            pass
        return None

    def _moved(self, gamma: Array, rest: Array, v: Pair, second: bool) -> Profile:
        """One evaluation, and the step of gamma from there."""
        criterion = criterion_function(self.solution.nAGQ)
        at = criterion(self.model, np.concatenate([gamma, rest]), v, False, LOOSE, second)
        root = np.linalg.cholesky(information_of(self.model, at))
        slope = np.linalg.solve(root, at.gradient[: len(gamma)])
        gain = float(slope @ slope) / 8.0
        value = gain - at.criterion / 2.0 - float(np.log(np.diag(root)).sum())
        moved = gamma - np.linalg.solve(root.T, slope) / 2.0
        return Profile(np.concatenate([moved, rest]), at.mode.v, gain, value, at)

    @cached_property
    def _near(self) -> tuple[Array, Pair]:
        mode = self.solution.evaluation.mode
        return mode.gamma, mode.v

    def forget(self, kept: Array) -> None:
        """Keep the places of these points only."""
        keys = {phi.tobytes() for phi in kept}
        for key in [key for key in self.places if key not in keys]:
            del self.places[key]

    def joint(self, phi: Array) -> ModeJoint:
        """The joint distribution of (beta, u) given phi: normal about gamma* and the mode of u there."""
        rest = self.parameters(phi[None])[0]
        if phi.tobytes() not in self.places and self.profile(phi) is None:
            raise np.linalg.LinAlgError("no mode of the random effects at a node")
        gamma, v = self.places[phi.tobytes()]
        r = self.model.sizes[1]
        mode = find_mode_of(self.solution.nAGQ, self.model, gamma, rest[:r], rest[r:], v)
        if self.model.prior is None:
            return mode_joint(self.model, mode, np.nan, rest[:r], None)
        given_rest = mode_joint(self.model, mode, np.nan, rest[:r], None).evaluation.S
        return mode_joint(self.model, mode, np.nan, rest[:r], given_rest + prior_information(self.model, gamma))

    def climb(self) -> tuple[Array, Array]:
        """(size,) mode, near the estimate, and (size, size) inverse of the negative Hessian, its eigenvalues bounded.

        Newton's method with the curvature that the optimiser of the fit knows; log|S|, which hardly moves, is left out
        of the slope. It need not be exact, as a proposal that is made from it is adapted afterwards.
        """
        phi = self.start()
        at = self.profile(phi, second=True)
        if at is None:
            return phi, bounded(np.eye(self.size))
        value = at.value + self.log_prior(phi[None])[0]
        covariance = np.eye(self.size)
        for _ in range(STEPS):
            slope, covariance = self._newton(phi, at.evaluation)
            move = covariance @ slope
            if slope @ move / 2.0 < PROMISED:
                break
            better = self._uphill(phi, move, value)
            if better is None:
                break
            phi, at, value = better
        return phi, covariance

    def _uphill(self, phi: Array, move: Array, value: float) -> tuple[Array, Profile, float] | None:
        """The step, halved until the log density grows."""
        for size in (1.0, 0.5, 0.25, 0.125, 0.0625):
            new = phi + size * move
            at = self.profile(new, second=True)
            found = -np.inf if at is None else at.value + float(self.log_prior(new[None])[0])
            if at is not None and found > value:
                return new, at, found
        return None

    def _newton(self, phi: Array, at: Evaluation) -> tuple[Array, Array]:
        """Slope of the log density, and inverse of its negative Hessian, at one point."""
        d, p = self.size, self.model.sizes[0]
        steps = DIFFERENCE * np.eye(d)
        J = ((self.parameters(phi + steps) - self.parameters(phi - steps)) / (2 * DIFFERENCE)).T
        H, g = at.average, at.gradient
        across = np.linalg.solve(H[:p, :p], H[:p, p:]) if p else np.zeros((0, len(H) - p))
        own = H[p:, p:] - H[p:, :p] @ across
        slope = J.T @ (g[p:] - across.T @ g[:p]) / -2.0 + self.prior_gradient(phi[None])[0]
        bend = (self.prior_gradient(phi + steps) - self.prior_gradient(phi - steps)) / (2 * DIFFERENCE)
        return slope, bounded(J.T @ own @ J / 2.0 - (bend + bend.T) / 2.0)


def information_of(model: Model, at: Evaluation) -> Array:
    """(p, p) information about gamma given the rest."""
    given_rest = mode_joint(model, at.mode, at.criterion, model.split(at.psi)[1], None).evaluation.S
    return given_rest + prior_information(model, at.mode.gamma)
