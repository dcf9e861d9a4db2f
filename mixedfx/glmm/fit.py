"""GlmerFit: a generalised linear mixed model fitted by maximum likelihood, and the questions that can be asked of it.

Estimates and predictions are in state.py. Methods are one line each; the work is done by functions of a design and its
estimates, in files by subject.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.checks import check_levels_of
from mixedfx.design.design import Design
from mixedfx.errors import (
    ConvergenceWarning,
    MixedfxWarning,
    NoOverdispersionWarning,
    QuadratureWarning,
    SeparationWarning,
    SingularFitWarning,
    outside,
)
from mixedfx.glmm import (
    bootstrapping,
    comparison,
    intervals,
    power,
    profiling,
    random_tests,
    report,
    robust,
    storage,
    term_deletion,
    testing,
)
from mixedfx.glmm.call import Call, changed
from mixedfx.glmm.control import read_control
from mixedfx.glmm.criticism import GlmerCriticism
from mixedfx.glmm.engine import solve_chosen
from mixedfx.glmm.integration import SETTLED
from mixedfx.glmm.intervals import Method
from mixedfx.glmm.penalised import coefficient_prior, read_priors
from mixedfx.glmm.refits import Refits, refit, refits
from mixedfx.glmm.robust import ClusterCovariance, ClusterKind
from mixedfx.glmm.separation import UNTRIED, tried, without_prior
from mixedfx.glmm.state import GlmerState
from mixedfx.inference.bootstrap import Bootstrap, Interval
from mixedfx.inference.fit_report import fit_report
from mixedfx.inference.parameters import Names
from mixedfx.inference.profile import Profile
from mixedfx.inference.separation import in_words, separated_columns
from mixedfx.progress import Asked
from mixedfx.results import tables
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.tried import tried as tried_smaller
from mixedfx.surveys.asked import check_plausible

if TYPE_CHECKING:
    from mixedfx.formula.mixed_formula import MixedFormula
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class GlmerFit(GlmerCriticism):
    """A fitted generalised linear mixed model, as `mixedfx.glmer` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
    >>> course["passed"] = (course["score"] > 60).astype(int)
    >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
    >>> fit
    <GlmerFit passed ~ 1 + style + (1 | professor), bernoulli(logit): -2 log L 449.71, 375 rows, professor 15>
    """

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95, vcov: Any = None) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients, on the scale of the linear predictor. ``"ran_pars"``: standard deviations and
            correlations. ``"ran_vals"``: the conditional modes with their conditional standard deviations.
        level
            Confidence level.
        vcov
            Covariance to use for the coefficients: what `vcov_robust` returns, or a (p, p) table or matrix.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic (z), df (infinite: there are no degrees of freedom), p_value, conf_low,
            conf_high; random effects begin with group (and level).

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.tidy()[["term", "estimate", "std_error", "statistic"]].round(2).to_string(index=False))
                       term  estimate  std_error  statistic
                  Intercept      1.48       0.35       4.21
        style[Some Flipped]     -1.07       0.34      -3.15
          style[No Flipped]     -1.54       0.34      -4.58
        """
        return report.tidy(self, effects, level, vcov)

    def vcov_robust(self, kind: ClusterKind = "CR1", cluster: Any = None, progress: Asked = None) -> ClusterCovariance:
        """Cluster-robust covariance of the fixed effects, for ``vcov=`` wherever a table or test takes one.

        These are `tidy`, `test`, `anova`, `drop1`, `confint`, `summary`, `mixedfx.emmeans`, `mixedfx.emtrends` and
        `mixedfx.table`. The sandwich is made of the scores of the clusters in all parameters, the covariance of the
        random effects and the parameters of the family included (see `mixedfx.glmm.robust`). It is valid where the
        dependence within clusters is not as modelled, for the coefficients that the model then estimates, and with
        many clusters: tests are z and chi square, and no correction for few clusters is known here but CR1's.

        Parameters
        ----------
        kind
            ``"CR0"``: the sandwich. ``"CR1"``: times m / (m - 1), m clusters. ``"CR1p"``: times m / (m - p).
        cluster
            Grouping factor or column of the formula, or a value for each row used; by default the grouping factor in
            which all others are nested.
        progress
            As in `bootstrap`.

        Returns
        -------
        ClusterCovariance
            ``table`` is the covariance as a data frame.

        Raises
        ------
        ModelError
            One cluster; random effects that several clusters share; a likelihood that is flat at the estimate.

        Warns
        -----
        SingleClusterWarning
            Where one cluster alone tells a coefficient.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.tidy(vcov=fit.vcov_robust())[["term", "std_error"]].round(2).to_string(index=False))
                       term  std_error
                  Intercept       0.35
        style[Some Flipped]       0.29
          style[No Flipped]       0.31
        """
        return robust.cluster_covariance(self.design, self.solution, kind, cluster, progress)

    def glance(self) -> pd.DataFrame:
        """One row about the whole fit: nobs, npar, sigma, logLik, AIC, BIC, deviance (-2 log L), converged, shape."""
        return report.glance(self)

    def summary(self, vcov: Any = None) -> SummaryContent:
        """Page for reading, with ``text()`` and ``html()``; printing the fit prints it. `vcov` as in `tidy`."""
        return report.summary(self, vcov)

    def test(
        self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, vcov: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs by Wald's chi square.

        Parameters
        ----------
        hypothesis
            The name of a coefficient; a dict of names and weights, one contrast; a list of these, or a dict of labels
            and these; a data frame whose columns are names of coefficients; an (m, p) or (p,) array.
        rhs
            What the contrasts are under the hypothesis, one value or m; on the scale of the linear predictor.
        joint
            True: one chi-square test of all rows together. False: a row with estimate, z test and interval for each,
            without adjustment for their number.
        vcov, level
            As in `tidy`.

        Returns
        -------
        DataFrame
            hypothesis, chisq, df (rows that are independent), p_value; or broom's columns where ``joint=False``.

        Raises
        ------
        OptionError
            Unknown coefficients; rows that are all zero or contradict each other.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> found = fit.test(["style[Some Flipped]", "style[No Flipped]"])
        >>> print(found[["chisq", "df"]].round(2).to_string(index=False))
         chisq  df
         21.13 2.0
        """
        ask = partial(self.reference, "normal", vcov)
        return testing.linear_hypothesis(self.design, self.solution, ask, hypothesis, rhs, joint, level)

    def anova(self, type: Literal["I", "II", "III", 1, 2, 3] = "III", vcov: Any = None) -> pd.DataFrame:
        """Wald's chi-square test of each term of the fixed part.

        Likelihood-ratio tests, which are better in small samples, are those of `drop1` and `mixedfx.anova`.

        Parameters
        ----------
        type
            ``"I"``: each term after those before it. ``"II"``: after all terms that do not contain it. ``"III"``:
            marginal, every other factor averaged over its levels with equal weights; the same for every coding of the
            factors. A numeric variable in an interaction is taken at zero. 1, 2 and 3 serve as well.
        vcov
            As in `tidy`.

        Returns
        -------
        DataFrame
            term, chisq, df, p_value.

        Raises
        ------
        ModelError
            Type III where cells of the factors have no data.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.anova().round(2).to_string(index=False))
         term  chisq  df  p_value
        style  21.13 2.0      0.0
        """
        return testing.anova(self.design, self.solution, partial(self.reference, "normal", vcov), type)

    def criteria(self, fits: Sequence[GlmerState], refit: bool) -> list[float]:
        """-2 log likelihood of each of `fits`, as `mixedfx.anova` compares them."""
        return comparison.criteria(fits)

    @property
    def designs(self) -> tuple[Design, ...]:
        """The design, of its one linear predictor."""
        return (self.design,)

    @property
    def compared_with(self) -> str:
        """Fits whose likelihoods `mixedfx.anova` compares with that of this one."""
        return "glmer"

    @property
    def chi_square_only(self) -> bool:
        """True: tests of a generalised linear mixed model know no degrees of freedom."""
        return True

    def null_blocks(self, larger: GlmerState, refit: bool) -> tuple[Callable[[int, Any], NDArray[np.float64]], int]:
        """How `mixedfx.anova` simulates statistics from this fit against a larger one, and how many at once."""
        return comparison.null_blocks(self, larger)

    def drop1(self, test: Literal["chisq", "wald"] = "chisq", vcov: Any = None, progress: Asked = None) -> pd.DataFrame:
        """Test the deletion of each term of the fixed part that no other term contains.

        Parameters
        ----------
        test
            ``"chisq"``: likelihood-ratio tests, the model fitted without each term. ``"wald"``: Wald's chi square of
            the coefficients, without refitting.
        vcov
            As in `tidy`; for ``"wald"``.
        progress
            Of the refits, as in `bootstrap`.

        Returns
        -------
        DataFrame
            term, npar, aic, lrt, df, p_value, the row ``<none>`` being the fit itself; or as `anova`.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.drop1()[["term", "npar", "lrt", "df"]].round(2).to_string(index=False))
          term  npar   lrt  df
        <none>     4   NaN NaN
         style     2 24.43 2.0
        """
        ask = partial(self.reference, "normal", vcov)
        return term_deletion.drop1(self.design, self.solution, ask, test, progress)

    def ranova(self, simulate: int = 0, seed: int | None = None, progress: Asked = None) -> pd.DataFrame:
        """Likelihood-ratio test of each random term against the model without it, the fixed part unchanged.

        Parameters
        ----------
        simulate
            Number of responses to simulate from each smaller model for the null distribution of the statistic; 0 for
            none. Both models are fitted to each.
        seed
            Seed of the simulation.
        progress
            As in `bootstrap`.

        Returns
        -------
        DataFrame
            term (``<none>`` is the fit itself), npar, loglik, aic, lrt, df, p_value (chi square: too large, since a
            variance cannot be negative), p_mixture (half and half of chi square with df - 1 and df; NaN where several
            variances go at once, for which no simple mixture holds); with ``simulate`` also p_simulated = (1 + count) /
            (1 + B) and mc_error, its standard error.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.ranova()[["term", "npar", "lrt", "df"]].round(2).to_string(index=False))
                   term  npar  lrt  df
                 <none>     4  NaN NaN
        (1 | professor)     3 33.6 1.0
        """
        return random_tests.ranova(self.design, self.solution, simulate, seed, progress)

    def profile(self, parm: str | Sequence[str] | None = None, level: float = 0.99, progress: Asked = None) -> Profile:
        """Profile the likelihood of coefficients, standard deviations, correlations and parameters of the family.

        Where a curve reaches a boundary (an sd of 0, a correlation of -1 or 1) it ends there.

        Parameters
        ----------
        parm
            None: every parameter. ``"fixed"``, ``"ran_pars"``, or names such as ``"Days"``, ``"sd__Days|Subject"``,
            ``"shape"`` (lme4's names serve too).
        level
            Curves go as far as intervals of this level need.
        progress
            As in `bootstrap`.

        Returns
        -------
        Profile
            ``.table`` (parameter, value, zeta, slope), ``.confint(level)``, ``.plot()``.

        Warns
        -----
        ConvergenceWarning
            A profile found a smaller criterion than the fit's.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.profile("ran_pars").confint(0.95).round(2)
               group           term  estimate  conf_low  conf_high
        0  professor  sd__Intercept      0.91      0.57       1.49
        """
        return profiling.profile(self.design, self.solution, parm, level, progress)

    def bootstrap(
        self,
        n: int = 1000,
        *,
        use_u: bool = False,
        statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
        seed: int | None = None,
        n_jobs: int | None = 1,
        progress: Asked = None,
    ) -> Bootstrap:
        """Fit the model to new responses drawn from the fit, and collect what is asked for: a parametric bootstrap.

        Parameters
        ----------
        n
            Number of replicates.
        use_u
            Whether the groups keep their estimated effects.
        statistic
            None: every parameter. Names of parameters, as in `profile`. Or a function of a fit that returns a number, a
            vector or a Series; it is called with each refitted model, one at a time.
        seed
            Seed of the random numbers; the result does not depend on `n_jobs`.
        n_jobs
            Processes (by joblib); -1: one for each core; None: as the surrounding ``joblib.parallel_config`` says.
        progress
            Whether to show how many are done: True, False, or None, which shows it on a terminal and in a notebook
            after a second. Or a function, called with each `mixedfx.progress.Report`.

        Returns
        -------
        Bootstrap
            ``.replicates``, ``.tidy()`` (bias and standard error), ``.confint()``, counts of failed and singular fits.

        Warns
        -----
        ResamplingWarning
            Some replicates could not be fitted and were left out.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> len(fit.bootstrap(40, seed=1))
        40
        """
        return bootstrapping.bootstrap(
            self.design, self.solution, GlmerFit, n, use_u=use_u, statistic=statistic, seed=seed, n_jobs=n_jobs,
            progress=progress,
        )  # fmt: skip

    def confint(
        self,
        method: Method = "wald",
        parm: str | Sequence[str] | None = None,
        level: float = 0.95,
        *,
        vcov: Any = None,
        interval: Interval = "percentile",
        names: Names = "tidy",
        **bootstrap: Any,
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method
            ``"wald"``: estimate -+ z se, for fixed effects. ``"profile"``: the values that a likelihood-ratio test does
            not reject, for every parameter (see `profile`). ``"boot"``: from `bootstrap`.
        parm
            None: every parameter the method can give. ``"fixed"``, ``"ran_pars"``, or names, as in `profile`.
        level
            Confidence level.
        vcov
            Covariance of Wald intervals, as in `tidy`.
        interval
            Of the bootstrap: ``"percentile"``, ``"basic"`` or ``"normal"``.
        names
            ``"tidy"``: columns group, term, estimate, conf_low, conf_high. ``"lme4"``: lme4's row names and columns.
        **bootstrap
            Arguments of `bootstrap`: n, seed, n_jobs, ...

        Returns
        -------
        DataFrame
            One row for each parameter, coefficients on the scale of the linear predictor.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.confint("profile", names="lme4").round(2)
                                  2.5 %  97.5 %
        sd_(Intercept)|professor   0.57    1.49
        (Intercept)                0.80    2.22
        styleSome Flipped         -1.76   -0.42
        styleNo Flipped           -2.22   -0.90
        """
        return intervals.confint(
            self, GlmerFit, method, parm, level, vcov=vcov, interval=interval, names=names, **bootstrap
        )

    def power_study(self, design: Design, beta: NDArray[np.float64], index: list[int], ddf: str) -> power.Study:
        """How `mixedfx.power` simulates, fits and tests in another design; `beta` (p,) holds the effects."""
        return power.study(design, self.solution, beta, index, ddf)

    def refit(self, y: NDArray[np.float64]) -> GlmerFit:
        """The same model fitted to another response, (n,) values for the rows of the design; see `refits` for many.

        Of binomial responses they are numbers of successes, of ordered ones categories as the data have them; what
        `simulate` gives serves. A pandas Series is aligned by its index: that of the data, or the number of each row.

        Raises
        ------
        DataError
            A response of another length, or one that the family cannot have, naming the rows.
        """
        return GlmerFit(*refit(self.design, self.solution, y))

    def refits(self, Y: NDArray[np.float64] | pd.DataFrame, progress: Asked = None) -> Refits:
        """Estimates for each column of `Y` (n, B), each started at the estimates of the fit; see `Refits`.

        `progress` as in `bootstrap`.
        """
        return refits(self.design, self.solution, Y, progress)

    def report(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        data: str = "data",
        labels: Mapping[str, str] | None = None,
        level: float = 0.95,
    ) -> str:
        """One self-contained page: answer, caveats, pictures, coefficients, summary, a methods paragraph, code.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        title
            Heading.
        data
            Name of the data in the code shown.
        labels
            Coefficient or response -> what to write instead.
        level
            Probability inside the intervals.

        Returns
        -------
        str
            The page. Pictures are inside it; nothing is loaded from elsewhere. It is light or dark as the reader is.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.glmer("small ~ race + (1 | sch)", mx.datasets.load("star").head(600), family="bernoulli")
        >>> page = fit.report(title="The course")
        >>> "<h1>The course</h1>" in page and "mx.glmer(" in page
        True
        """
        return fit_report(self, path, title=title, data=data, labels=labels, level=level)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of arrays (the rows used, of the columns that the formula uses) and JSON (formula,
        family, estimates, priors, the course of the optimiser); it holds no code. It appears whole or not at all.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            A fit that a file cannot hold: one whose formula uses functions from `env`, or codings of factors other than
            names and matrices.
        DataError
            A file that cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "course.mfx"))
        >>> bool(abs(again.fixef - fit.fixef).max() < 1e-6)
        True
        """
        return storage.save(self.design, self.solution, self.call, path)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> GlmerFit:
        """Fit again with some arguments of `mixedfx.glmer` changed.

        Parameters
        ----------
        formula
            A change such as ``". ~ . + x - (1 | g)"``, where a dot stands for what was there; None keeps the formula.
        data
            New data; None keeps the data of the fit, which are held by reference.
        **changes
            family, link, nAGQ, weights, offset, na, contrasts, env, control, priors.
        """
        call = changed(self.call, self.design.formula, formula, data, changes)
        return fit_call(call)

    def __repr__(self) -> str:
        kind = f"{self.family.name}({self.family.link.name}): -2 log L {self.criterion:.2f}"
        return f"<GlmerFit {self.formula}, {kind}, {tables.sizes_text(self.design)}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_call(call: Call) -> GlmerFit:
    """Read the data of a call and fit them."""
    from mixedfx.design.build import build_design

    call.check()
    design = build_design(**call.of_design)
    check_plausible(design, call.data)
    return fit_design(design, call)


def _singularity_of(call: Call, formula: MixedFormula) -> SingularityReport:
    """Null directions of the same data under another formula."""
    from mixedfx.design.build import build_design

    family = call.found_family
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        design = build_design(**replace(call, formula=formula).of_design)
        prior = coefficient_prior(design, family, read_priors(call.priors))
        solution = solve_chosen(design, family, call.nAGQ, read_control(call.control), prior)
    return singularity(design, solution.factors, solution.bases)


def fit_design(design: Design, call: Call) -> GlmerFit:
    """Fit the design that `call` made, with the warnings of `mixedfx.glmer`."""
    family = call.found_family
    check_levels_of(design, family)
    prior = coefficient_prior(design, family, read_priors(call.priors))
    fit = GlmerFit(design, solve_chosen(design, family, call.nAGQ, read_control(call.control), prior), call)
    found = without_prior(separated_columns(design, family, fit.solution.beta), fit.solution)
    if found:
        way = "" if fit.solution.iterative else tried(design, fit.solution, found) or UNTRIED
        warnings.warn(in_words(found, family, way), SeparationWarning, outside())
    elif not fit.converged:
        course = fit.optimization
        text = f"{course.message} after {course.evaluations} evaluations; the estimates may be off"
        warnings.warn(text, ConvergenceWarning, outside())
    solution = fit.solution
    for text in solution.model.likelihood.limits(solution.model.split(solution.psi)[2]).values():
        warnings.warn(text, NoOverdispersionWarning, outside())
    if solution.settled is not None and solution.settled >= SETTLED:
        warnings.warn(
            f"-2 log L still moves by {solution.settled:.2g} with {solution.nAGQ} nodes for each effect of a level, "
            "the most that are tried",
            QuadratureWarning,
            outside(),
        )
    if fit.singular:
        fit.__dict__["singularity"] = tried_smaller(fit.singularity, fit.nobs, partial(_singularity_of, call))
        warnings.warn(fit.singularity.line, SingularFitWarning, outside())
    return fit
