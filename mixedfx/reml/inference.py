"""Tables, tests and intervals of a fitted linear mixed model."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.errors import DegreesOfFreedomWarning, check_flag, check_option
from mixedfx.inference.forecast import satterthwaite_seconds
from mixedfx.inference.hypotheses import Reference, coefficient_df
from mixedfx.inference.robust import RobustCovariance
from mixedfx.inference.satterthwaite import Satterthwaite
from mixedfx.reml import testing
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.prediction import LmerPrediction
from mixedfx.reml.testing import Vcov
from mixedfx.results import tables
from mixedfx.results.summary import lmm_summary

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent


SUMMARY_SECONDS = 5.0  # a summary that is forecast to take longer leaves the degrees of freedom out


class LmerInference(LmerPrediction):
    """What a fit says about its parameters, and how sure it is."""

    @cached_property
    def _references(self) -> dict[str, Reference]:
        """What has been computed of Satterthwaite's and of Kenward and Roger's pieces."""
        return {}

    def reference(self, ddf: tables.DegreesOfFreedom | None = "satterthwaite", vcov: Vcov | None = None) -> Reference:
        """Covariance of the fixed effects with its degrees of freedom: ``vcov``, ``t_df(C)``, ``f_test(L, d)``.

        All tests go through it. Satterthwaite's and Kenward and Roger's pieces are computed once for each fit.

        Parameters
        ----------
        ddf, vcov
            As in `tidy`.
        """
        if vcov is not None or ddf not in ("satterthwaite", "kenward-roger"):
            return testing.reference(self, ddf, vcov)
        if ddf not in self._references:
            self._references[ddf] = testing.reference(self, ddf)
        return self._references[ddf]

    def tidy(
        self,
        effects: tables.Effects = "fixed",
        ddf: tables.DegreesOfFreedom | None = "satterthwaite",
        level: float = 0.95,
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations and correlations. ``"ran_vals"``: the
            conditional modes with their conditional standard deviations.
        ddf
            Degrees of freedom of t. ``"satterthwaite"``: from the uncertainty of the estimated variances.
            ``"kenward-roger"``: the same from expected information, with Kenward and Roger's adjusted standard errors
            (REML only). ``"residual"``: n - p for every coefficient. ``"normal"``: infinite. The last two are
            anti-conservative where there are few groups. None: unknown, so df, p values and intervals are NaN; of
            conditional modes only the last three are known.
        level
            Confidence level.
        vcov
            Covariance to use for the coefficients: what `vcov_robust` returns, whose own Satterthwaite df then are
            used, or a (p, p) matrix, which needs ``ddf`` to be ``"residual"``, ``"normal"`` or None.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; random effects begin with group (and
            level).

        Raises
        ------
        OptionError
            For unknown options, Kenward and Roger's method after maximum likelihood, and df that do not belong to
            `vcov`.

        Warns
        -----
        DegreesOfFreedomWarning
            Where the data leave the uncertainty of a variance unknown.
        IgnoredGroupsWarning
            Where a variance is estimated at zero, and Satterthwaite's df act as if its groups did not exist.
        SingleClusterWarning
            Where `vcov` is cluster-robust and a coefficient rests on one cluster.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.tidy(ddf="kenward-roger")[["term", "std_error", "df"]].round(2).to_string(index=False))
                       term  std_error     df
                  Intercept       1.65  22.13
        style[Some Flipped]       1.28 363.15
          style[No Flipped]       1.24 368.64
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        df = tables.degrees_of_freedom(ddf, self.nobs - len(self.solution.beta))
        if effects == "fixed":
            used = self.reference(ddf, vcov)
            names = self.design.fixed_names
            return tables.fixed_table(names, self.solution.beta, used.vcov, coefficient_df(used, names), level)
        if effects == "ran_pars":
            return tables.ran_pars_table(self.varcorr)
        return tables.ran_vals_table(self.ranef, self.ranef_sd, df, level)

    def coefficients_without_groups(self) -> dict[str, tuple[str, ...]]:
        """Grouping factor -> coefficients whose Satterthwaite df act as if its levels did not exist.

        That is so where a variance is estimated at zero and the coefficient depends on it; a random intercept and a
        treatment of whole groups, say. The intercept is named where it is the only coefficient.
        """
        if not self.singular:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegreesOfFreedomWarning)
            used = self.reference("satterthwaite")
        found = used.coefficients_without_groups() if isinstance(used, Satterthwaite) else {}
        alone = len(self.solution.beta) == 1
        rest = {group: tuple(n for n in names if n != "Intercept" or alone) for group, names in found.items()}
        return {group: names for group, names in rest.items() if names}

    def test(
        self,
        hypothesis: Any,
        rhs: Any = 0.0,
        *,
        joint: bool = True,
        ddf: tables.DegreesOfFreedom | None = "satterthwaite",
        vcov: Vcov | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs.

        Parameters
        ----------
        hypothesis
            The name of a coefficient; a dict of names and weights, one contrast; a list of these, or a dict of labels
            and these; a data frame whose columns are names of coefficients; an (m, p) or (p,) array.
        rhs
            What the contrasts are under the hypothesis, one value or m.
        joint
            True: one F test of all rows together. False: a row with estimate, t test and interval for each, without
            adjustment for their number.
        ddf, vcov, level
            As in `tidy`.

        Returns
        -------
        DataFrame
            hypothesis, num_df, den_df, f_value, p_value; or broom's columns where ``joint=False``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> less = {"style[No Flipped]": 1, "style[Some Flipped]": -1}
        >>> found = fit.test(less, joint=False)[["estimate", "df", "conf_low", "conf_high"]].round(2)
        >>> print(found.to_string(index=False))
         estimate     df  conf_low  conf_high
            -5.17 367.01     -7.61      -2.73
        """
        check_flag("joint", joint)
        return testing.linear_hypothesis(self, hypothesis, rhs, joint, ddf, vcov, level)

    def anova(
        self,
        type: Literal["I", "II", "III", 1, 2, 3] = "III",
        ddf: tables.DegreesOfFreedom | None = "satterthwaite",
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """F test of each term of the fixed part.

        Parameters
        ----------
        type
            ``"I"``: each term after those before it. ``"II"``: after all terms that do not contain it. ``"III"``:
            marginal, every other factor averaged over its levels with equal weights; the same for every coding of the
            factors. A numeric variable in an interaction is taken at zero. 1, 2 and 3 serve as well.
        ddf, vcov
            As in `tidy`; with ``"kenward-roger"`` the F values are Kenward and Roger's scaled ones.

        Returns
        -------
        DataFrame
            term, sum_sq, mean_sq, num_df, den_df, f_value, p_value.

        Raises
        ------
        ModelError
            Type III where cells of the factors have no data.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.anova().round(2).to_string(index=False))
         term  sum_sq  mean_sq  num_df  den_df  f_value  p_value
        style 3927.52  1963.76     2.0  366.51    22.73      0.0
        """
        return testing.anova(self, type, ddf, vcov)

    def drop1(
        self,
        test: Literal["F", "chisq"] = "F",
        ddf: tables.DegreesOfFreedom | None = "satterthwaite",
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """Test the deletion of each term of the fixed part that no other term contains.

        Parameters
        ----------
        test
            ``"F"``: Wald's F of the coefficients, without refitting. ``"chisq"``: likelihood-ratio tests, both models
            refitted by maximum likelihood.
        ddf, vcov
            As in `tidy`; for ``"F"``.

        Returns
        -------
        DataFrame
            As `anova`; or term, npar, aic, lrt, df, p_value, the row ``<none>`` being the fit itself.

        Warns
        -----
        RefittedWarning
            Where a REML fit is refitted by maximum likelihood.
        """
        from mixedfx.reml.term_deletion import drop1

        return drop1(self, test, ddf, vcov)

    def ranova(self, simulate: int = 0, seed: int | None = None) -> pd.DataFrame:
        """Likelihood-ratio test of each random term against the model without it, the fixed part unchanged.

        See `mixedfx.reml.random_tests.ranova`, also for the simulated null distribution.
        """
        from mixedfx.reml.random_tests import ranova

        return ranova(self, simulate, seed)

    def vcov_robust(self, kind: Literal["CR0", "CR1", "CR2"] = "CR2", cluster: Any = None) -> RobustCovariance:
        """Cluster-robust covariance of the fixed effects, for ``vcov=`` wherever a table or test takes one.

        These are `tidy`, `test`, `anova`, `drop1`, `confint`, `summary`, `mixedfx.emmeans`, `mixedfx.emtrends` and
        `mixedfx.table`.

        Parameters
        ----------
        kind
            ``"CR0"``: the sandwich. ``"CR1"``: times m / (m - 1), m clusters. ``"CR2"``: unbiased if the model is
            right, and close to it if not (Pustejovsky & Tipton 2018).
        cluster
            Grouping factor or column of the formula, or a value for each row used; by default the grouping factor in
            which all others are nested.

        Returns
        -------
        RobustCovariance
            ``table`` is the covariance as a data frame.

        Warns
        -----
        SingleClusterWarning
            Where one cluster alone tells a coefficient, such as that of a treatment only it was given: the standard
            error then holds the spread of the other clusters only.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.tidy(vcov=fit.vcov_robust())[["term", "std_error", "df"]].round(2).to_string(index=False))
                       term  std_error    df
                  Intercept       1.54 13.64
        style[Some Flipped]       1.43 12.38
          style[No Flipped]       1.24 13.27
        """
        return testing.robust(self, kind, cluster)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, logLik, AIC, BIC, REMLcrit or deviance, df_residual, converged, singular."""
        return tables.glance_table(
            nobs=self.nobs,
            n_parameters=self.n_parameters,
            sigma=self.sigma,
            criterion=self.criterion,
            REML=self.REML,
            converged=self.converged,
            singular=self.singular,
        )

    def summary(
        self, ddf: tables.DegreesOfFreedom | None = "satterthwaite", vcov: Vcov | None = None
    ) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook.

        Parameters
        ----------
        ddf, vcov
            As in `tidy`. Where Satterthwaite's method is forecast to take more than five seconds the summary leaves df
            and p out and says so; ``fit.tidy()`` computes them, and the next summary shows them. The forecast is made
            from the sizes of the model (`mixedfx.inference.forecast`), not by a clock, so the same program prints the
            same on every machine.
        """
        course = self.optimization
        exact = isinstance(self.solution, LeastSquares) and vcov is None and ddf in ("satterthwaite", "kenward-roger")
        tests = basis_of_tests("residual" if exact else ddf, vcov)
        if ddf == "satterthwaite" and vcov is None and ddf not in self._references:
            seconds = 0.0 if isinstance(self.solution, LeastSquares) else satterthwaite_seconds(self.solution.problem)
            if seconds > SUMMARY_SECONDS:
                ddf = None
                tests = (
                    f"left out: by the sizes of the model Satterthwaite's df take about {seconds:.0f} s; "
                    "fit.tidy() computes them"
                )
        if ddf == "satterthwaite" and vcov is None:
            for group, names in self.coefficients_without_groups().items():
                tests += f"; those of {', '.join(names)} act as if {group} did not exist"
        return lmm_summary(
            self.design,
            REML=self.REML,
            criterion=self.criterion,
            n_parameters=self.n_parameters,
            fixed=self.tidy(ddf=ddf, vcov=vcov),
            varcorr=self.varcorr,
            scaled_residuals=self.residuals("scaled").to_numpy(),
            convergence=f"{course.message} ({course.evaluations} evaluations)"
            if course.evaluations
            else course.message,
            singularity=self.singularity,
            tests=tests,
        )


def basis_of_tests(ddf: tables.DegreesOfFreedom | None, vcov: Vcov | None) -> str:
    """What the t tests of a summary rest on."""
    words = {
        "satterthwaite": "Satterthwaite's degrees of freedom",
        "kenward-roger": "Kenward and Roger's degrees of freedom and standard errors",
        "residual": "n - p degrees of freedom",
        "normal": "the normal distribution",
        None: "",
    }
    covariance = "" if vcov is None else vcov.kind if isinstance(vcov, RobustCovariance) else "given"
    parts = [words.get(ddf, ""), f"{covariance} standard errors" if covariance else ""]
    return ", ".join(part for part in parts if part)
