"""What a linear mixed model fitted by REML or ML holds, and the numbers it can be asked for.

`LmerFit` is put together from four rooms: the estimates (here), predictions (prediction.py), tests and intervals
(inference.py), and diagnostics (diagnostics.py). Each is a class that adds methods and no state to the one before; the
work is done by functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.errors import ThetaUncertaintyWarning, check_count, check_option, check_seed
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.reml.estimate import RemlEstimate, estimate
from mixedfx.results import tables
from mixedfx.results.protocol import UNCERTAINTIES, NewLevels, Uncertainty
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.undetermined import determined

if TYPE_CHECKING:
    from mixedfx.reml.full_estimate import FullEstimate
    from mixedfx.reml.least_squares import LeastSquares
    from mixedfx.reml.optimization import Optimization
    from mixedfx.reml.solve import RemlSolution
    from mixedfx.reml.theta_nodes import ThetaNodes
    from mixedfx.reml.update import Call

ALL_INCLUDED = (
    "That theta and sigma are estimated is included. Numbers of fixed effects alone: t with Satterthwaite's degrees of "
    "freedom, as in tidy() and emmeans(). Numbers with random effects: averages over fixed nodes of theta and sigma, "
    "weighted by the restricted likelihood and a weak prior."
)
EXACT_T = "t with n - p degrees of freedom, as in tidy(): exact, as there are no random effects."
THETA_GIVEN = (
    "Given the estimated variances: the uncertainty of the fixed effects, the random effects and unseen levels is "
    "included, that of theta and sigma is left out."
)


@dataclass(frozen=True, eq=False, repr=False)
class LmerState:
    """Estimates of a linear mixed model.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them; `LeastSquares` where the formula has no random term.
    call
        What the fit was made from, by reference, for `update`.
    """

    design: Design
    solution: RemlSolution | LeastSquares
    call: Call | None = None
    # What `apply` and `draws` answer with, and the fit that `with_uncertainty` made this one of, whose work it shares.
    _answers: Uncertainty = field(default="given theta", init=False)
    _original: LmerState | None = field(default=None, init=False)

    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def REML(self) -> bool:
        """True for REML, False for maximum likelihood."""
        return self.solution.REML

    @property
    def fixef(self) -> pd.Series:
        """Estimated fixed effects, indexed by coefficient."""
        return pd.Series(self.solution.beta, index=list(self.design.fixed_names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance of the estimated fixed effects, sigma^2 (X' V^-1 X)^-1 given theta-hat."""
        names = list(self.design.fixed_names)
        return pd.DataFrame(self.solution.vcov, index=names, columns=names)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs) of the random effects: grouping factor -> table of levels by effects."""
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, self.solution.u))

    @cached_property
    def ranef_cov(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (levels, k, k) conditional covariances of the modes, given beta, theta and sigma.

        These are what lme4's ``ranef(condVar = TRUE)`` gives: the uncertainty of beta is left out. `apply` includes it.
        """
        return tuple(self.solution.joint.conditional_covariances(t) for t in range(len(self.design.random)))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the modes, shaped as `ranef`; see `ranef_cov`."""
        sds = [np.sqrt(np.diagonal(c, axis1=1, axis2=2)) for c in self.ranef_cov]
        return tables.ranef_tables(self.design.random, sds)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor; Residual last."""
        residual = self.design.sigma is None
        return tables.varcorr_table(self.design.random, self.solution.factors, self.sigma, residual)

    @property
    def theta(self) -> pd.Series:
        """Parameters of the relative covariance factors, in lme4's order (lower triangles, column by column)."""
        return pd.Series(self.solution.theta, index=list(tables.theta_names(self.design.random)), name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation; of a row with weight 1 where there are weights."""
        return self.solution.sigma

    @property
    def criterion(self) -> float:
        """REML criterion, or -2 log likelihood for an ML fit."""
        return self.solution.criterion

    @property
    def loglik(self) -> float:
        """Log likelihood; for REML the restricted one, minus half the criterion."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Fixed effects, theta, and sigma unless it is known: the k of AIC and BIC."""
        return len(self.solution.beta) + len(self.solution.theta) + (self.design.sigma is None)

    @property
    def aic(self) -> float:
        """Criterion + 2 k; REML fits with different fixed parts cannot be compared by it."""
        return tables.aic(self.criterion, self.n_parameters)

    @property
    def bic(self) -> float:
        """Criterion + k log n; REML fits with different fixed parts cannot be compared by it."""
        return tables.bic(self.criterion, self.n_parameters, self.nobs)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return {term.label: term.n_levels for term in self.design.random}

    @property
    def optimization(self) -> Optimization:
        """Every step of the optimiser, why it stopped, and the certificate."""
        return self.solution.optimization

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a minimum."""
        return self.solution.optimization.converged

    @cached_property
    def singularity(self) -> SingularityReport:
        """Directions in which the random effects do not vary, and the smaller formula to try."""
        return singularity(self.design, self.solution.factors, self.solution.bases)

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation is one."""
        return self.singularity.singular

    @property
    def family(self) -> Family:
        """Distribution of the response: normal, its mean the linear predictor itself."""
        return gaussian()

    @property
    def posterior(self) -> bool:
        """False: it has estimates, standard errors and degrees of freedom."""
        return False

    @property
    def concerns(self) -> tuple[()]:
        """Empty: what speaks against an estimate is said when it is fitted, and by `check`."""
        return ()

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        if self._original is not None and self._answers == "given theta":
            return THETA_GIVEN
        return ALL_INCLUDED if self.design.random else EXACT_T

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The same fit, answering linear questions with all its uncertainty or with that given theta-hat.

        Parameters
        ----------
        uncertainty
            ``"full"``: `apply`, `draws` and `expected` include that theta and sigma are estimated; see
            `mixedfx.reml.full_estimate` for the rule. ``"given theta"``: they take them as known.

        Returns
        -------
        LmerFit
            For ``mx.effects`` and the like. Tables, tests and predictions are those of this fit.

        Examples
        --------
        With 15 professors the standard error of one professor's mean grows by a few percent:

        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> row = fit.design_for(fit.design.frame.iloc[:1])
        >>> full, given = (fit.with_uncertainty(u).apply(row) for u in ("full", "given theta"))
        >>> bool(1 < full.sd[0] / given.sd[0] < 1.05)
        True
        """
        check_option("uncertainty", uncertainty, UNCERTAINTIES)
        return self._original_fit._views[uncertainty]

    @property
    def _original_fit(self) -> Self:
        return self if self._original is None else cast(Any, self._original)

    @cached_property
    def _views(self) -> dict[str, Self]:
        out = {}
        for answers in UNCERTAINTIES:
            out[answers] = view = replace(self)
            object.__setattr__(view, "_answers", answers)
            object.__setattr__(view, "_original", self)
        return out

    @cached_property
    def _theta_nodes(self) -> ThetaNodes:
        """Nodes of theta and sigma, made when they are first needed."""
        from mixedfx.reml.theta_nodes import theta_nodes

        return theta_nodes(cast(Any, self.solution))

    def full_estimate(self, functional: Functional, **parts: Any) -> FullEstimate:
        """Linear functionals with the uncertainty of theta and sigma; `parts` as `FullEstimate` has them."""
        from mixedfx.reml.full_estimate import FullEstimate

        original: Any = self._original_fit
        reference: Callable[[], Any] = lambda: original.reference("satterthwaite")  # noqa: E731
        mean = functional.fixed @ self.solution.beta + functional.random @ self.solution.u + functional.offset
        return FullEstimate(functional, mean, reference, original._told_theta_nodes, **parts)

    def _told_theta_nodes(self) -> ThetaNodes:
        """The nodes, with a warning where they are not what they should be."""
        if not self._theta_nodes.trusted:
            warnings.warn(self._theta_nodes.caveat, ThetaUncertaintyWarning, stacklevel=4)
        return self._theta_nodes

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit.

        `mixedfx.design.rows.functional_for` says what becomes of unseen levels and of absent grouping columns.
        """
        from mixedfx.design.rows import functional_for

        return functional_for(self.design, newdata, new_levels)

    @property
    def covariance_factors(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (1, k, k) a lower factor of the covariance of a level's effects."""
        return tuple(self.sigma * factor[None] for factor in self.solution.factors)

    def apply(self, functional: Functional) -> RemlEstimate | FullEstimate:
        """Estimate linear functionals of (beta, u).

        Mean, covariance and draws are exact given theta-hat and sigma-hat; nothing is computed before it is asked for,
        and the cost is that of the s rows, never of a (q, q) inverse. ``fit.with_uncertainty("full").apply(...)``
        includes that theta and sigma are estimated, as `mx.effects` does.

        Parameters
        ----------
        functional
            s rows, from `design_for` and its `combine`.

        Examples
        --------
        The mean over all rows, with its standard error:

        >>> import numpy as np
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> found = fit.apply(fit.design_for().combine(np.full((1, fit.nobs), 1 / fit.nobs)))
        >>> found.mean.round(2), found.sd.round(2)
        (array([63.03]), array([0.48]))
        """
        found = self.full_estimate(functional) if self._answers == "full" else self._given_theta(functional)
        return determined(found, functional)

    def _given_theta(self, functional: Functional) -> RemlEstimate:
        fit = self.solution
        return estimate(functional, fit.beta, fit.u, fit.factors, fit.sigma, fit.joint)

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Draws of the mean response of rows; the mean response of a linear mixed model is its linear predictor.

        Parameters
        ----------
        functional
            m rows, from `design_for`.
        chosen
            Numbers of the draws wanted; all 1,000 where None. They are the same in every call.

        Returns
        -------
        ndarray
            (D, m) draws, given theta-hat as those of `apply` are.
        """
        found = self.apply(functional).draws(seed=0)
        return found if chosen is None else found[chosen]

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of (beta, u) around their estimates.

        The draws hold theta and sigma at their estimates: the uncertainty of the variances is left out, so intervals
        from few groups are too narrow. Those of ``fit.with_uncertainty("full")`` include it: each comes from a node of
        theta and sigma that is chosen by its weight, and their means are the estimates. So do draws of a posterior.

        Parameters
        ----------
        n
            Number of draws; 1,000 where None.
        seed
            Seed of the random numbers.

        Returns
        -------
        Draws
            One chain of n draws, keys ``("beta", name)`` and ``("u", group, level, column)``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.draws(200, seed=1)["u", "professor", "A", "Intercept"].shape
        (1, 200)
        """
        n = 1000 if n is None else n
        check_count("n", n)
        check_seed(seed)
        rng = np.random.default_rng(seed)
        if self._answers == "full":
            beta, u = self._full_draws(n, rng)
        else:
            beta, u = self.solution.joint.draw(n, rng)
        note = self.uncertainty if self._answers == "full" else THETA_GIVEN
        return Draws(tables.draw_keys(self.design), np.concatenate([beta, u], axis=1)[None], note)

    def _full_draws(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draws of the mixture about the estimates; see `mixedfx.reml.full_estimate`."""
        fit = self.solution
        if not self.design.random:
            p, none = len(fit.beta), sparse.csr_array((len(fit.beta), 0))
            rows = Functional(np.eye(p), none, none, (), np.zeros(p), np.zeros(p))
            return self.full_estimate(rows).draws(n, rng), np.zeros((n, 0))
        nodes = self._original_fit._told_theta_nodes()
        draws = nodes.effects(n, rng)
        push = 1.0 + rng.standard_normal((n, 1))
        pairs = zip(draws, (fit.beta, fit.u), nodes.mean_effects, strict=True)
        beta, u = (drawn + push * (estimate - mean) for drawn, estimate, mean in pairs)
        return beta, u
