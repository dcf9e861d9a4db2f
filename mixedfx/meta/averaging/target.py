r"""Posterior of a model with weights as a density of unconstrained numbers: where quadrature would have too many axes.

Coordinates are the coefficients (mu, unless it is known, and moderators), u = log tau, logit rho, and the logits of the
sticks, those that are parameters; the log density holds prior, Jacobians and likelihood, so that its integral is the
evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from mixedfx.meta.averaging.cluster_weights import cluster_log_likelihood
from mixedfx.meta.averaging.given import Cells, Given, cells
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.normal_models import Sampled
from mixedfx.meta.averaging.weight_models import log_likelihood
from mixedfx.meta.measure import Array
from mixedfx.priors.bias import Weights
from mixedfx.priors.location import LOG_2PI
from mixedfx.priors.marginal import Marginal, marginal

LOWEST, HIGHEST = -60.0, 12.0  # of log tau: beyond, nothing changes but overflow
LARGEST = 40.0  # of logits


@dataclass(frozen=True, eq=False)
class Target:
    """The density of one model.

    Attributes
    ----------
    given, member
        Data and model.
    mechanism
        How clusters are selected.
    """

    given: Given
    member: Member
    mechanism: str

    @cached_property
    def weights(self) -> Weights:
        """Prior of the weights."""
        return self.member.bias.prior

    @cached_property
    def cells(self) -> Cells:
        """Intervals of the estimates."""
        return cells(self.given, self.weights)

    @cached_property
    def _mean(self) -> Marginal | None:
        return marginal(self.member.effect.prior) if self.member.coefficients.free_mean else None

    @cached_property
    def has_tau(self) -> bool:
        """Whether tau is a parameter."""
        return isinstance(self.member.tau, Marginal)

    @cached_property
    def has_rho(self) -> bool:
        """Whether rho is a parameter."""
        return isinstance(self.member.rho, Marginal)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.member.coefficients.size + self.has_tau + self.has_rho + len(self.weights.steps)

    def natural(self, theta: Array) -> tuple[Sampled, Array]:
        """Parameters of (N, d) points, and log prior plus log Jacobian."""
        member, coefficients, N = self.member, self.member.coefficients, len(theta)
        c, log_prior = coefficients.size, np.zeros(N)
        mu = np.full(N, float(coefficients.mean.loc))
        if self._mean is not None:
            mu = theta[:, 0]
            log_prior = log_prior + self._mean.log_density(mu)
        moderators = np.zeros((N, self.given.M.shape[1]))
        if coefficients.columns:
            values, sds = theta[:, int(coefficients.free_mean) : c], np.array(coefficients.sds)
            moderators[:, list(coefficients.columns)] = values
            log_prior = log_prior - 0.5 * ((values / sds) ** 2 + LOG_2PI).sum(axis=1) - np.log(sds).sum()
        tau = np.full(N, member.tau) if not isinstance(member.tau, Marginal) else np.zeros(N)
        if isinstance(member.tau, Marginal):
            u = np.clip(theta[:, c], LOWEST, HIGHEST)
            tau = np.exp(u)
            log_prior = log_prior + member.tau.log_density(tau) + u
            c += 1
        rho = np.full(N, member.rho) if not isinstance(member.rho, Marginal) else np.zeros(N)
        if isinstance(member.rho, Marginal):
            q = np.clip(theta[:, c], -LARGEST, LARGEST)
            rho = special.expit(q)
            log_prior = log_prior + member.rho.log_density(rho) + special.log_expit(q) + special.log_expit(-q)
            c += 1
        q = np.clip(theta[:, c:], -LARGEST, LARGEST)
        a, b = self.weights.sticks.T
        log_prior = log_prior + (a * special.log_expit(q) + b * special.log_expit(-q) - special.betaln(a, b)).sum(
            axis=1
        )
        omega = np.cumprod(special.expit(q), axis=1)
        return Sampled(mu, tau, rho, np.zeros(N), moderators, omega, np.full(N, 1 / N)), log_prior

    def means(self, at: Sampled) -> Array:
        """(N, k) means in the direction of the p values."""
        mean = at.mu[:, None] + (at.moderators @ self.given.M.T if self.given.M.shape[1] else 0.0)
        return np.broadcast_to(self.given.sign * self.given.scale * mean, (len(at.mu), self.given.k))

    def log_density(self, theta: Array) -> Array:
        """(N,) log of prior times likelihood times Jacobian."""
        given = self.given
        at, log_prior = self.natural(theta)
        omega = np.column_stack([np.ones(len(theta)), at.omega])
        tau2 = (given.scale * at.tau) ** 2
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.member.clustered and given.start is not None:
                value = cluster_log_likelihood(
                    self.cells, given.v, given.start, self.mechanism, self.means(at), tau2, at.rho, omega
                )
            else:
                value = log_likelihood(self.cells, self.means(at), given.v + tau2[:, None], omega)
        total = value + log_prior
        return np.where(np.isfinite(total), total, -np.inf)
