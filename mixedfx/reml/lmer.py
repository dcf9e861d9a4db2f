"""lmer: from a formula and a data frame to a fitted linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mixedfx.errors import OptionError
from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.options import Control
from mixedfx.progress import Asked
from mixedfx.reml.call import Call
from mixedfx.reml.fit import LmerFit, fit_design
from mixedfx.reml.sourced import design_of
from mixedfx.surveys.asked import check_plausible, is_several

if TYPE_CHECKING:
    from mixedfx.surveys.fit import WeightedFit
    from mixedfx.surveys.options import Replicates, SamplingWeights
    from mixedfx.surveys.pooled_fit import PooledFit


@overload
def lmer(
    formula: str | MixedFormula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    sampling_weights: SamplingWeights | Mapping[str, Any],
    replicates: Replicates | Any = None,
    progress: Asked = None,
    responses: None = None,
    imputations: None = None,
) -> WeightedFit: ...
@overload
def lmer(
    formula: str | MixedFormula,
    data: Any = None,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    family: str | Family | None = None,
    *,
    stream: bool | None = None,
    responses: None = None,
    imputations: None = None,
) -> LmerFit: ...
@overload
def lmer(
    formula: str | MixedFormula,
    data: Any = None,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    family: str | Family | None = None,
    *,
    sampling_weights: SamplingWeights | Mapping[str, Any] | None = None,
    replicates: Replicates | Any = None,
    progress: Asked = None,
    stream: bool | None = None,
    responses: Sequence[str],
    imputations: None = None,
) -> PooledFit: ...
@overload
def lmer(
    formula: str | MixedFormula,
    data: Any = None,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    family: str | Family | None = None,
    *,
    sampling_weights: SamplingWeights | Mapping[str, Any] | None = None,
    replicates: Replicates | Any = None,
    progress: Asked = None,
    stream: bool | None = None,
    responses: None = None,
    imputations: Sequence[Any] | str,
) -> PooledFit: ...
def lmer(
    formula: str | MixedFormula,
    data: Any = None,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    family: str | Family | None = None,
    *,
    sampling_weights: SamplingWeights | Mapping[str, Any] | None = None,
    replicates: Replicates | Any = None,
    progress: Asked = None,
    stream: bool | None = None,
    responses: Sequence[str] | None = None,
    imputations: Any = None,
) -> LmerFit | WeightedFit | PooledFit:
    """Fit a linear mixed model by REML or maximum likelihood.

    The model is y = X beta + Z u + offset + e with u ~ N(0, sigma^2 Lambda Lambda') and e ~ N(0, sigma^2 / weight), or
    errors of known variances (``y | se(s) ~ ...``) or covariance (`V`).
    beta and sigma are profiled out of the criterion, which is minimised over theta, the parameters of Lambda (Bates,
    Maechler, Bolker and Walker 2015, Journal of Statistical Software 67(1)). A formula without random terms is fitted
    by least squares.

    Parameters
    ----------
    formula
        lme4's notation: ``"math ~ small * race + (1 + small | school)"``.
    data
        Any frame narwhals understands: pandas, polars, pyarrow. Or a source whose rows need not fit into memory: a path
        of Parquet or CSV files (a pattern such as ``"data/part-*.parquet"``, a folder, a list of paths), a DuckDB
        relation or ``(connection, query)``, a polars ``LazyFrame``, a pyarrow ``Dataset``, a data frame of Spark, a
        table of ibis; see `stream`.
    REML
        True for the restricted likelihood, False for the likelihood.
    weights
        Precision weights: the name of a column or a value for each row of `data`; a pandas Series is aligned with the
        index of `data`, an array is taken by position. The residual variance of a row is sigma^2 / weight. A weight of
        zero drops the row and says so. How many of a population a row stands for is `sampling_weights`.
    offset
        Name of a column or values as for `weights`, added to the linear predictor, besides any ``offset(...)`` in the
        formula. Values belong to the rows of `data`: predictions for others need a column.
    na
        ``"drop"``: rows with a missing value in a column of the formula are left out, and the summary says how many.
        ``"raise"``: a missing value is an error.
    contrasts
        Column -> coding, for the fixed and the random part alike.
    env
        Names that the formula may use besides the columns and the documented functions.
    V
        Known covariance of the sampling errors of the rows of `data`: (n, n), dense or sparse, or (n,) variances. Rows
        whose errors are correlated, such as estimates from the same people, are blocks of it.
    sigma
        The residual standard deviation where it is known. None: estimated; beside known sampling errors (``y | se(s)
        ~ ...``, `V`) one, so that errors are what they are said to be. ``"estimate"``: estimated beside these too, a
        factor of all of them.
    control
        Options of the optimiser: `mixedfx.control`, or a mapping such as ``{"tolerance": 1e-12}``. ``{"solver":
        "iterative"}`` solves crossed terms without a factor, in memory that grows with the rows, with a Monte Carlo
        error that ``fit.monte_carlo`` has; by default that is done where a factor would not fit or take minutes.
    dispersion
        One-sided formula of the logarithm of the residual standard deviation, ``"~ arm"``: a residual sd of its own in
        each arm; of a number, sds that grow with it. ``fit.dispersion`` has the coefficients. Degrees of freedom and
        intervals of the fixed effects take the ratios of residual sds as known.
    responses
        Plausible values: columns that each take the place of the response, which may be written into the formula as
        well, ``"[PV1MATH:PV10MATH] ~ ses + (1 | school)"``. The model is fitted to each; see Returns.
    imputations
        Multiple imputations: a list of completed frames (`data` is left out), or the column of `data` that says to
        which imputation a row belongs, ``".imp"`` of mice's long form, whose rows of imputation 0 with gaps are left
        out.
    family
        ``"gaussian"``, the only one here: another is refused in words that name `mixedfx.glmer` and `mixedfx.bayes`.
    sampling_weights
        How many rows (schools) of the population a row (school) stands for, which `weights` does not say: that is
        precision. ``{"row": "W_FSTUWT", "school": "W_SCHGRNRABWT"}``, ``"row"`` and grouping factors -> columns of
        overall weights; or `mixedfx.sampling_weights`, for weights within units, another scaling, strata and primary
        sampling units. The model is then fitted by pseudo maximum likelihood (Rabe-Hesketh & Skrondal 2006), for which
        levels have to be nested; there is no REML.
    replicates
        Replicate weights of rows: ``"W_FSTURWT*"``, columns, or `mixedfx.replicates`. Standard errors are then those of
        refits with each, otherwise linearised.
    progress
        Of these refits, as in `LmerFit.bootstrap`.
    stream
        Whether rows are read in batches and not held. A fit of them has the estimates, tests and random effects of any
        other; fitted values, residuals and predictions read the rows anew, and what needs all rows at once (`check`,
        `influence`, a bootstrap) is refused. None: sources of more than 500,000 rows are; smaller ones and frames are
        held. The source is read three times or more and has to give the same rows each time, in whichever order;
        functions in `env` see a batch of rows at a time. Weights and offsets are then names of columns, and `V` and
        `dispersion` are not available. Crossed terms that are solved by iteration hold their incidences: for each row
        four bytes for each column outside the largest grouping factor, and eight for each value of slopes and weights.
        DuckDB and Spark are asked to sum up the rows themselves where the formula can be written in SQL, and then only
        groups of rows come back: the summary says which way was taken, and ``control={"pushdown": ...}``
        (`mixedfx.control`) which to take.

    Returns
    -------
    LmerFit
        The fit; a `WeightedFit` where there are `sampling_weights`. With plausible values or imputations a
        `mixedfx.surveys.pooled_fit.PooledFit`: the fits and their answers pooled by Rubin's rules, `mixedfx.emmeans`
        and `mixedfx.effects` included.

    Raises
    ------
    FormulaError
        A formula that cannot be read, or says ``trials(...)``; points at the character.
    DataError
        Unknown columns, no rows, infinities, a response that is not numeric or does not vary.
    ModelError
        A grouping factor with one level or with as many levels as rows (known sampling errors allow the latter);
        `V` beside ``se(...)`` or `weights`.
    OptionError
        A family that is not normal.
    MemoryForecastError
        Crossed terms whose factor would not fit in the memory that is free, where iteration does not serve.
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.

    Warns
    -----
    SingularFitWarning
        A variance is zero or a correlation is one; names the direction and the smaller formula.
    ConvergenceWarning
        The optimiser could not certify a minimum.
    FewLevelsWarning
        A variance is estimated from fewer than five levels.
    PlausibleValueWarning
        The response is one of several plausible values, or their mean.
    MonteCarloWarning
        The iterative solver's error is larger than was asked for.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> fit = mx.lmer("score ~ style + (1 | professor)", course)
    >>> print(fit.tidy()[["term", "estimate", "std_error", "statistic"]].round(2).to_string(index=False))
                   term  estimate  std_error  statistic
              Intercept     62.36       3.75      16.62
    style[Some Flipped]      5.19       5.30       0.98
      style[No Flipped]     -0.04       5.30      -0.01
    >>> print(fit.varcorr[["grp", "sdcor"]].round(2).to_string(index=False))
          grp  sdcor
    professor   8.19
     Residual   8.93
    """
    if family is not None and getattr(family, "name", family) != "gaussian":
        name = getattr(family, "name", family)
        raise OptionError(
            f"mx.lmer fits normal responses, and family={name!r} is another",
            hint=f"Fit mx.glmer(formula, data, family={name!r}), or mx.bayes(formula, data, family={name!r}).",
        )
    if is_several(formula, responses, imputations):
        from mixedfx.surveys.several import fit_several

        def one(text: str, frame: Any, _: int) -> Any:
            again: Any = lmer
            return again(
                text, frame, REML, weights, offset, na, contrasts, env, V, sigma, control, dispersion, family,
                sampling_weights=sampling_weights, replicates=replicates, progress=progress, stream=stream,
            )  # fmt: skip

        return fit_several(formula, data, responses, imputations, one)
    if sampling_weights is not None or replicates is not None:
        unweighted = {"V": V, "sigma": sigma, "control": control, "dispersion": dispersion}
        return _weighted(
            formula,
            data,
            sampling_weights,
            replicates,
            unweighted,
            weights=weights,
            offset=offset,
            na=na,
            contrasts=contrasts,
            env=env,
            progress=progress,
        )
    call = Call(formula, data, REML, weights, offset, na, contrasts, env, V, sigma, control, dispersion, stream)
    call.check()
    design = design_of(call)
    check_plausible(design, data)
    return fit_design(design, call)


def _weighted(
    formula: Any, data: Any, sampling_weights: Any, replicates: Any, unweighted: Mapping[str, Any], **options: Any
) -> WeightedFit:  # fmt: skip
    """The fit with sampling weights, where nothing is asked for that it cannot have."""
    from mixedfx.surveys.call import WeightedCall, refuse_beside
    from mixedfx.surveys.fit import fit_call

    refuse_beside(unweighted)
    return fit_call(WeightedCall(formula, data, sampling_weights, replicates, **options))
