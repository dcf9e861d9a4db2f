r"""Linear functionals of (beta, u) with all that an estimate does not know about them: theta and sigma too.

One rule decides by what a row holds.

* **Fixed effects alone**: what `tidy`, `test` and `emmeans` say of the same number. Of a fit by REML that is t with
  Satterthwaite's degrees of freedom and the standard error at theta-hat (without random terms n - p, and exact); of a
  generalised linear mixed model z, with the covariance of beta-hat from the whole likelihood.
* **Random effects**, those of unseen levels among them: with m_k and V_k the mean and variance at node k of theta
  (`mixedfx.reml.theta_nodes`, `mixedfx.glmm.theta_nodes`), m the mean of the m_k and c the estimate at theta-hat,

      truth - c  is distributed as  sum_k w_k N(m_k - m, V_k + b^2),   b = c - m.

  The estimate stays where it is. That it is not the mean of the mixture is an error of known size, b, and enters
  as one more source, normal and common to all rows (they share its factor, so that a contrast of two rows is what their
  difference says): the mean square of truth - c is V + b^2. It matters where theta-hat is on its boundary: an effect
  that is estimated as pooled altogether, whose own rows say otherwise, has an interval that reaches them.

**Draws** are joint draws of the mixture for rows of either kind, so that every linear relation between rows holds in
every draw: what is asked of differences, ranks or shares is answered from one joint distribution. For fixed effects
alone their quantiles are close to those of t and not the same: where the data determine the variances the weak prior
is chosen to agree with Satterthwaite's degrees of freedom. Without random effects draws are multivariate t, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.inference.hypotheses import Reference
from mixedfx.linalg.shape import shape_of
from mixedfx.results.tables import t_between, t_test
from mixedfx.sampling import mixture

Array = NDArray[np.float64]

NOTHING = 1e-12  # coefficient of a random effect, relative to the row's largest, that is rounding


class ThetaNodes(Protocol):
    """Weighted nodes of theta, and what functionals are at each."""

    @property
    def weights(self) -> Array:
        """(K,) weights, sum 1."""
        ...

    @property
    def sigma(self) -> Array:
        """(K,) residual standard deviations."""
        ...

    @property
    def note(self) -> str:
        """What is to be said of them; empty where there is nothing to say."""
        ...

    def moments(self, rows: Functional, *, fixed: bool = True, random: bool = True) -> tuple[Array, Array]:
        """(K, s) means and (K, s) variances of s functionals at each node."""
        ...

    def covariance(self, rows: Functional) -> Array:
        """(s, s) covariance of s functionals under the mixture."""
        ...

    def draws(self, rows: Functional, n: int, rng: np.random.Generator) -> Array:
        """(n, s) joint draws of s functionals from the mixture."""
        ...


@dataclass(frozen=True, eq=False)
class FullEstimate:
    """Estimates of s linear functionals at theta-hat, with the uncertainty of theta and sigma.

    Attributes
    ----------
    functional
        The s rows.
    mean
        (s,) estimates.
    reference
        Gives the covariance of beta-hat and its degrees of freedom; asked where rows hold fixed effects alone.
    theta
        Gives the nodes; asked where rows hold random effects.
    residual
        (s,) variances of independent errors as multiples of sigma^2, of new responses; zero for their means.
    fixed, random
        Whether what is not known of beta, and of u, counts.
    """

    functional: Functional
    mean: Array
    reference: Callable[[], Reference]
    theta: Callable[[], ThetaNodes]
    residual: Array | None = field(default=None)
    fixed: bool = True
    random: bool = True
    exact = True
    own_intervals = True

    @cached_property
    def of_beta(self) -> NDArray[np.bool_]:
        """(s,) rows of fixed effects alone, all of whose uncertainty is asked for."""
        rows = self.functional
        if not self.fixed:
            return np.zeros(len(rows), dtype=bool)
        largest = np.maximum(np.abs(rows.fixed).max(axis=1, initial=0.0), 1e-300)
        out = np.ones(len(rows), dtype=bool)
        for part in (rows.random, rows.new):
            if part.nnz:
                out &= np.asarray(abs(part).max(axis=1).toarray()).ravel() <= NOTHING * largest
        return out if self.residual is None else out & (self.residual == 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside `LmerFit.uncertainty`."""
        note = "" if self.of_beta.all() else self.theta().note
        return (note,) if note else ()

    @cached_property
    def _t(self) -> tuple[Array, Array]:
        """(r,) standard errors and degrees of freedom of the rows of fixed effects alone."""
        L = self.functional.fixed[self.of_beta]
        used = self.reference()
        return np.sqrt(np.clip(np.einsum("sp,pr,sr->s", L, used.vcov, L), 0.0, None)), used.t_df(L)

    @cached_property
    def _moments(self) -> tuple[Array, Array, Array]:
        """Weights (K,), means (K, s) and variances (K, s) of all rows at the nodes."""
        nodes = self.theta()
        means, variances = nodes.moments(self.functional, fixed=self.fixed, random=self.random)
        if self.residual is not None:
            variances = variances + nodes.sigma[:, None] ** 2 * self.residual
        return nodes.weights, means, variances

    @cached_property
    def _gap(self) -> Array:
        """(s,) estimate less mean of the mixture, b."""
        weights, means, _ = self._moments
        return self.mean - weights @ means

    @cached_property
    def _mixture(self) -> tuple[Array, Array, Array]:
        """Weights (K,), means (K, r) and sds (K, r) of the rows that hold random effects, moved to their estimates."""
        weights, means, variances = self._moments
        at = np.flatnonzero(~self.of_beta)
        gap = self._gap[at]
        return weights, means[:, at] + gap, np.sqrt(np.clip(variances[:, at] + gap**2, 0.0, None))

    @cached_property
    def sd(self) -> Array:
        """(s,) standard errors; roots of the mean squared error where there are random effects."""
        out = np.empty(len(self.mean))
        if self.of_beta.any():
            out[self.of_beta] = self._t[0]
        if not self.of_beta.all():
            out[~self.of_beta] = np.sqrt(mixture.moments(*self._mixture)[1])
        return out

    @property
    def variances(self) -> Array:
        """(s,) variances of estimate minus truth."""
        return self.sd**2

    @property
    def cov(self) -> Array:
        """(s, s) covariance of estimate minus truth."""
        return self._cov

    @cached_property
    def _cov(self) -> Array:
        if self.of_beta.all():
            L = self.functional.fixed
            return L @ self.reference().vcov @ L.T
        covariance, gap = self.theta().covariance(self.functional), self._gap
        covariance += np.outer(gap, gap)
        sd = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
        ratio = np.where(self.of_beta & (sd > 0), self.sd / np.where(sd > 0, sd, 1.0), 1.0)
        return covariance * np.outer(ratio, ratio)

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        out = np.empty((len(self.mean), 2))
        if self.of_beta.any():
            se, df = self._t
            half = t_test(np.zeros_like(se), se, df, level)[1]
            out[self.of_beta] = self.mean[self.of_beta, None] + half[:, None] * [-1.0, 1.0]
        if not self.of_beta.all():
            ends = [mixture.quantiles(*self._mixture, q) for q in (0.5 - level / 2, 0.5 + level / 2)]
            out[~self.of_beta] = np.column_stack(ends)
        return out

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        out = np.empty(len(self.mean))
        if self.of_beta.any():
            out[self.of_beta] = t_between(self.mean[self.of_beta], *self._t, low, high)
        if not self.of_beta.all():
            out[~self.of_beta] = mixture.share_between(*self._mixture, low, high)
        return out

    def draws(self, n: int | None = None, seed: int | np.random.Generator | None = None) -> Array:
        """(n, s) joint draws, 1,000 where `n` is None."""
        n = 1000 if n is None else n
        rng = np.random.default_rng(seed)
        if shape_of(self.functional.random)[1] == 0:
            return self._t_draws(n, rng)
        gap = self._gap
        return self.theta().draws(self.functional, n, rng) + (1.0 + rng.standard_normal((n, 1))) * gap

    def _t_draws(self, n: int, rng: np.random.Generator) -> Array:
        """Draws where there are no random effects: one chi square for all rows."""
        L, df = self.functional.fixed, float(self._t[1][0]) if len(self.mean) else np.inf
        values, vectors = np.linalg.eigh(L @ self.reference().vcov @ L.T)
        normal = rng.standard_normal((n, len(L))) @ (vectors * np.sqrt(np.clip(values, 0.0, None))).T
        scale = 1.0 if np.isinf(df) else np.sqrt(df / rng.chisquare(df, (n, 1)))
        return self.mean + normal * scale
