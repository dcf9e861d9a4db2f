"""An independent sampler: plain HMC on the joint density of (variances, beta, u), written down by hand.

Nothing is integrated out and nothing is shared with the package. With u = F v, F = diag(sd) L and v standard normal,

    log p = -n log sigma - |y - X beta - Z F v|^2 / (2 sigma^2) - |v|^2 / 2 + log prior,

priors: sigma ~ exponential(rate), sd ~ half-normal, correlation of two columns ~ LKJ(2), intercept at the mean of the
predictors and slopes ~ normal. sd and correlation of a correlated term are those of the lines of its levels at the mean
of the covariate: Z holds the covariate less its mean, and `Term.at_zero` takes u back. Sixty-four chains move at
once; step size and scales are tuned in the warm-up only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHAINS = 64


@dataclass(frozen=True)
class Term:
    """Levels of each row, covariates (n, k) with k at most 2, whether correlated, and the scales of the sds' priors.

    The first covariate of a correlated term is the constant.
    """

    codes: np.ndarray
    z: np.ndarray
    correlated: bool
    scale: np.ndarray

    @property
    def means(self):
        """(k,) means of the covariates where the priors hold there, else zeros."""
        return np.append(0.0, self.z[:, 1:].mean(axis=0)) if self.correlated else np.zeros(self.z.shape[1])

    @property
    def at_zero(self):
        """(k, k) effects of covariates at zero, from those at the means."""
        out = np.eye(self.z.shape[1])
        out[0] -= self.means
        return out

    @property
    def Z(self):
        """(n, levels * k), effects of one level side by side."""
        n, k = self.z.shape
        out = np.zeros((n, (self.codes.max() + 1) * k))
        for c in range(k):
            out[np.arange(n), self.codes * k + c] = self.z[:, c] - self.means[c]
        return out


@dataclass(frozen=True)
class Joint:
    """The model: response, X with the intercept first, terms, and the numbers of the priors."""

    y: np.ndarray
    X: np.ndarray
    terms: tuple[Term, ...]
    rate: float
    loc: np.ndarray
    scale: np.ndarray

    def split(self, q):
        """log sigma, and for each term log sd, partial correlation or None, v; then beta."""
        at, parts = 1, []
        for term in self.terms:
            k = term.z.shape[1]
            log_sd, at = q[:, at : at + k], at + k
            partial = None
            if term.correlated and k == 2:
                partial, at = q[:, at], at + 1
            parts.append((log_sd, partial))
        p = self.X.shape[1]
        beta, at = q[:, at : at + p], at + p
        vs = []
        for term in self.terms:
            size = (term.codes.max() + 1) * term.z.shape[1]
            vs.append(q[:, at : at + size])
            at += size
        return q[:, 0], parts, beta, vs

    @property
    def size(self):
        count = 1 + self.X.shape[1]
        for term in self.terms:
            k = term.z.shape[1]
            count += k + (term.correlated and k == 2) + (term.codes.max() + 1) * k
        return count

    def factor(self, log_sd, partial):
        """(C, k, k) F."""
        k = log_sd.shape[1]
        F = np.zeros((len(log_sd), k, k))
        F[:, range(k), range(k)] = np.exp(log_sd)
        if partial is not None:
            F[:, 1, 0] = F[:, 1, 1] * np.tanh(partial)
            F[:, 1, 1] = F[:, 1, 1] / np.cosh(partial)
        return F

    def value_and_gradient(self, q):
        """(C,) log densities and (C, size) gradients."""
        log_sigma, parts, beta, vs = self.split(q)
        C, sigma2 = len(q), np.exp(2 * log_sigma)
        eta = beta @ self.X.T
        factors = [self.factor(*part) for part in parts]
        us = []
        for term, F, v in zip(self.terms, factors, vs, strict=True):
            k = term.z.shape[1]
            u = np.einsum("cab,cjb->cja", F, v.reshape(C, -1, k))
            us.append(u)
            eta = eta + u.reshape(C, -1) @ term.Z.T
        r = self.y - eta
        square = (r**2).sum(axis=1) / sigma2
        value = -len(self.y) * log_sigma - square / 2 - self.rate * np.exp(log_sigma) + log_sigma
        gradient = [(-len(self.y) + square - self.rate * np.exp(log_sigma) + 1)[:, None]]
        pull = r / sigma2[:, None]
        of_v = []
        for term, (log_sd, partial), F, v in zip(self.terms, parts, factors, vs, strict=True):
            k = term.z.shape[1]
            back = (pull @ term.Z).reshape(C, -1, k)
            v3 = v.reshape(C, -1, k)
            of_v.append((np.einsum("cab,cja->cjb", F, back) - v3).reshape(C, -1))
            G = np.einsum("cja,cjb->cab", back, v3)
            relative = np.exp(2 * log_sd) / term.scale**2
            value += (log_sd - relative / 2).sum(axis=1) - (v**2).sum(axis=1) / 2
            gradient.append((G * F).sum(axis=2) + 1 - relative)
            if partial is not None:
                rho, sd = np.tanh(partial), np.exp(log_sd[:, 1])
                value += 2 * np.log1p(-(rho**2))
                of_rho = G[:, 1, 0] * sd * (1 - rho**2) - G[:, 1, 1] * sd * rho / np.cosh(partial) - 4 * rho
                gradient.append(of_rho[:, None])
        centred = beta.copy()
        centred[:, 0] += beta[:, 1:] @ self.X[:, 1:].mean(axis=0)
        z = (centred - self.loc) / self.scale
        value -= (z**2).sum(axis=1) / 2
        of_beta = pull @ self.X
        of_beta -= z / self.scale
        of_beta[:, 1:] -= (z[:, :1] / self.scale[0]) * self.X[:, 1:].mean(axis=0)
        return value, np.concatenate([*gradient, of_beta, *of_v], axis=1)


@np.errstate(all="ignore")  # trajectories that leave the region of finite densities are rejected
def run(model, start, iterations, warmup, seed):
    """(chains, iterations, size) draws."""
    rng = np.random.default_rng(seed)
    q = start + 0.1 * rng.standard_normal((CHAINS, model.size))
    scale, step = np.ones(model.size), 0.02
    value, gradient = model.value_and_gradient(q)
    recent, out = [], []
    for turn in range(warmup + iterations):
        momentum = rng.standard_normal(q.shape)
        new, p, g = q, momentum, gradient
        length = rng.integers(8, 25)
        jitter = step * rng.uniform(0.8, 1.2)
        p = p + 0.5 * jitter * scale * g
        for leap in range(length):
            new = new + jitter * scale * p
            new_value, g = model.value_and_gradient(new)
            p = p + (0.5 if leap == length - 1 else 1.0) * jitter * scale * g
        change = new_value - value + 0.5 * ((momentum**2).sum(axis=1) - (p**2).sum(axis=1))
        change = np.where(np.isfinite(change), change, -np.inf)
        accept = np.log(rng.random(CHAINS)) < change
        q = np.where(accept[:, None], new, q)
        value = np.where(accept, new_value, value)
        gradient = np.where(accept[:, None], g, gradient)
        if turn < warmup:
            step *= np.exp(0.2 * (np.exp(np.minimum(change, 0)).mean() - 0.85))
            recent.append(q)
            if turn in (warmup // 3, 2 * warmup // 3):
                scale = np.concatenate(recent[len(recent) // 2 :]).std(axis=0)
                recent, step = [], 0.15
        else:
            out.append(q)
    return np.stack(out, axis=1)
