"""What a generalised linear mixed model with sampling weights holds: estimates, rows, and their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import check_option
from mixedfx.families.family import Family
from mixedfx.results import tables
from mixedfx.results.protocol import JointSample
from mixedfx.surveys.generalised.solution import GeneralSolution, has_residual
from mixedfx.surveys.state import WeightedState

Array = NDArray[np.float64]
DIFFERENCE = 1e-5  # of eta


@dataclass(frozen=True, eq=False, repr=False)
class GeneralState(WeightedState):
    """Estimates of a generalised linear mixed model with sampling weights.

    Attributes
    ----------
    solution
        The estimates, their covariance by the sample, and the weights.
    """

    solution: GeneralSolution

    @property
    def family(self) -> Family:
        """Distribution of the response, with its link."""
        return self.solution.family

    @property
    def nAGQ(self) -> int:
        """Nodes of adaptive Gauss-Hermite quadrature for each effect of a level."""
        return self.solution.nAGQ

    @property
    def scale(self) -> float:
        """One: standard deviations of random effects are on the scale of the linear predictor."""
        return 1.0

    @property
    def auxiliary(self) -> pd.Series:
        """Parameters of the family besides the mean, such as ``shape`` and ``dispersion``."""
        return pd.Series(self.solution.auxiliary, name="auxiliary", dtype=float)

    @property
    def family_parameters(self) -> dict[str, float]:
        """Parameters of the family, which draws list at their estimates."""
        return self.solution.auxiliary

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor, se_vcov, se_sdcor.

        As of a weighted linear model; the residual of a gaussian response comes last.
        """
        table = tables.varcorr_table(self.design.random, self.solution.factors, None)
        if has_residual(self.solution.problem):
            sigma = self.solution.auxiliary["sigma"]
            table.loc[len(table)] = ["Residual", None, None, sigma**2, sigma]
        spread = self.solution.spread
        return table.assign(se_vcov=spread.variances, se_sdcor=spread.roots)

    @property
    def n_parameters(self) -> int:
        """Fixed effects, theta, and the family's parameters."""
        return self.solution.problem.size

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
        """(D, m) draws of the mean response of rows, of binomial responses the probability of a success.

        Those of `apply` through the inverse link; `chosen` are numbers of draws.
        """
        found = self.apply(functional).draws(seed=0)
        return mean_of(self.solution, found if chosen is None else found[chosen])

    def joint_sample(self, n: int, seed: int | None = None, about_estimate: bool = True) -> JointSample:
        """Joint draws of (beta, u), multivariate t with the sample's degrees of freedom.

        Variances and the family's parameters stay at their estimates, as in every answer of the fit.

        Parameters
        ----------
        n, seed
            How many, and the seed of the random numbers.
        about_estimate
            Changes nothing here: with variances as known all draws are about the estimates.
        """
        solution, rng = self.solution, np.random.default_rng(seed)
        beta, u = solution.modes.draw(n, rng)
        if np.isfinite(self.df):
            stretch = np.sqrt(self.df / rng.chisquare(self.df, (n, 1)))
            beta = solution.beta + stretch * (beta - solution.beta)
            u = solution.modes.u + stretch * (u - solution.modes.u)
        return JointSample(beta, u, self.covariance_factors, auxiliary_draws(solution, n))

    @property
    def fitted(self) -> pd.Series:
        """(n,) mean responses, random effects at their modes; the index is the row's position in the data.

        Of binomial responses the probability of a success.
        """
        return pd.Series(mean_of(self.solution, self._fitted), index=self.design.frame.index, name="fitted")

    def residuals(self, kind: str = "response") -> pd.Series:
        """(n,) residuals around the fitted means, random effects included.

        Parameters
        ----------
        kind
            ``"response"``: response (of binomial ones the share of successes) minus mean. ``"pearson"``: divided by the
            standard deviation of the response, as `GlmerFit.residuals` has it.
        """
        check_option("kind", kind, ("response", "pearson"))
        values = residual_values(self.design, self.solution, self._fitted, kind)
        return pd.Series(values, index=self.design.frame.index, name="residual")


def auxiliary_draws(solution: GeneralSolution, n: int) -> dict[str, Array]:
    """Name -> (n,) the estimate of each parameter of the family."""
    return {name: np.full(n, value) for name, value in solution.auxiliary.items()}


def mean_of(solution: GeneralSolution, eta: Array) -> Array:
    """(...) mean responses; of binomial responses the probability of a success."""
    flat = np.atleast_2d(eta)
    found = np.asarray(solution.family.mean(flat, auxiliary_draws(solution, len(flat))))
    return found.reshape(np.shape(eta))


def mean_slope(solution: GeneralSolution, eta: Array) -> Array:
    """(m,) derivatives of the mean in eta."""
    if solution.family.mean_is_inverse_link:
        return solution.family.link.derivatives(eta, 1)[0]
    return (mean_of(solution, eta + DIFFERENCE) - mean_of(solution, eta - DIFFERENCE)) / (2.0 * DIFFERENCE)


def residual_values(design: Design, solution: GeneralSolution, eta: Array, kind: str) -> Array:
    """(n,) residuals; see `GeneralState.residuals`."""
    if kind == "response":
        share = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
        return share - mean_of(solution, eta)
    facts, auxiliary, family = row_facts(design), auxiliary_draws(solution, 1), solution.family
    mean, variance = (one(eta[None], auxiliary, facts)[0] for one in (family.mean, family.variance))
    return (design.y - mean) / np.sqrt(variance / family.dispersion(solution.auxiliary))
