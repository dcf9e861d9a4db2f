"""glmer: from a formula, a data frame and a family to a fitted generalised linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.glmm.call import Call
from mixedfx.glmm.fit import GlmerFit, fit_call
from mixedfx.glmm.hurdle import HURDLES, HurdleFit, fit_hurdle
from mixedfx.glmm.zero_inflated_fit import ZeroInflatedFit, fit_zero_inflated
from mixedfx.glmm.zero_inflation import NAMES
from mixedfx.options import Control
from mixedfx.progress import Asked
from mixedfx.surveys.asked import is_several

if TYPE_CHECKING:
    from mixedfx.surveys.generalised.fit import WeightedGlmerFit
    from mixedfx.surveys.options import Replicates, SamplingWeights


@overload
def glmer(
    formula: str | MixedFormula,
    data: Any,
    family: str | Family,
    link: str | None = None,
    nAGQ: int | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    *,
    zi: str | MixedFormula,
) -> HurdleFit | ZeroInflatedFit: ...
@overload
def glmer(
    formula: str | MixedFormula,
    data: Any,
    family: str | Family,
    link: str | None = None,
    nAGQ: int | Literal["auto"] | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    priors: Literal["default"] | Mapping[Any, Any] | None = None,
    zi: None = None,
) -> GlmerFit: ...
@overload
def glmer(
    formula: str | MixedFormula,
    data: Any,
    family: str | Family,
    link: str | None = None,
    nAGQ: int | Literal["auto"] | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    *,
    sampling_weights: SamplingWeights | Mapping[str, Any],
    replicates: Replicates | Any = None,
    progress: Asked = None,
    responses: None = None,
    imputations: None = None,
) -> WeightedGlmerFit: ...
def glmer(
    formula: str | MixedFormula,
    data: Any,
    family: str | Family,
    link: str | None = None,
    nAGQ: int | Literal["auto"] | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    dispersion: str | MixedFormula | None = None,
    priors: Literal["default"] | Mapping[Any, Any] | None = None,
    zi: str | MixedFormula | None = None,
    responses: Sequence[str] | None = None,
    imputations: Any = None,
    *,
    sampling_weights: SamplingWeights | Mapping[str, Any] | None = None,
    replicates: Replicates | Any = None,
    progress: Asked = None,
) -> GlmerFit | HurdleFit | ZeroInflatedFit | WeightedGlmerFit:
    """Fit a generalised linear mixed model by maximum likelihood.

    The linear predictor is eta = X beta + Z u + offset with u ~ N(0, Lambda Lambda'), and the responses are independent
    given it, with the distribution and link of `family`. The integral over u is taken by Laplace's approximation with
    the observed second derivatives (as glmmTMB has it; lme4's are expected ones, which differ off the canonical link),
    all constants included, so that likelihoods compare with any program's. Everything is estimated together: beta,
    theta, and the family's own parameters. A formula without random terms is a generalised linear model.

    Parameters
    ----------
    formula
        lme4's notation: ``"passed ~ style + (1 | professor)"``. Successes out of trials are ``k | trials(m) ~ ...``.
    data
        Any frame narwhals understands: pandas, polars, pyarrow.
    family
        ``"bernoulli"``, ``"binomial"``, ``"beta_binomial"``; counts ``"poisson"``, ``"negbinomial"`` (variance mu +
        mu^2 / shape), ``"nbinom1"`` (mu (1 + dispersion)), from one on ``"truncated_poisson"`` and
        ``"truncated_negbinomial"``; ``"gamma"``, ``"tweedie"`` (amounts that may be zero, variance dispersion
        mu^power), ``"beta"`` (between 0 and 1), ``"gaussian"``, ``"student"`` (heavy tails); ``"cumulative"`` (ordered
        categories, whose thresholds stand before the coefficients in tables). Their other parameters are estimated. Or
        a family with its link and with what is known, ``mx.families.bernoulli("probit")``,
        ``mx.families.student(nu=4)``.
    link
        One of the family's links; its default where None: logit, probit, cloglog, cauchit (bernoulli, binomial,
        beta_binomial, beta, cumulative); log, sqrt, identity (poisson, negbinomial); log, sqrt (nbinom1); log (the
        truncated ones, tweedie); log, inverse, identity (gamma); identity, log, inverse (gaussian, student).
    nAGQ
        Nodes of adaptive Gauss-Hermite quadrature for each effect of a level. 1, which None means where there are no
        `sampling_weights`, is Laplace's approximation, which makes standard deviations too small where groups have few
        rows of zeros and ones. More nodes integrate over one grouping factor, or two nested ones with few effects to a
        level, to any accuracy; with other factors over the one that has most effects, given the others, and those by
        Laplace. ``"auto"`` raises them until -2 log L moves less than 0.01. The summary says what was done, and of
        Laplace's approximation how far off it is. Tests, profiles, refits and the uncertainty of theta rest on the same
        criterion; random effects given the estimates are taken to be normal about their modes in any case.
    weights
        Precision weights of a gaussian or student response, as in `mixedfx.lmer`; the other families have none. Trials
        are written in the formula.
    offset
        Name of a column or values, added to the linear predictor, besides any ``offset(...)`` in the formula: the
        logarithm of an exposure, say.
    na
        ``"drop"``: rows with a missing value are left out. ``"raise"``: a missing value is an error.
    contrasts
        Column -> coding, for the fixed and the random part alike.
    env
        Names that the formula may use besides the columns and the documented functions.
    control
        Options of the optimiser: `mixedfx.control`, or a mapping such as ``{"tolerance": 1e-10}``. ``{"solver":
        "iterative"}`` solves crossed terms without a factor, in memory that grows with the rows, by Laplace's
        approximation, for families whose log density is concave (bernoulli, binomial, poisson, negbinomial, gamma,
        tweedie, cumulative, gaussian under their usual links), with a Monte Carlo error that ``fit.monte_carlo`` has;
        by default that is done where a factor would not fit or take minutes.
    dispersion
        One side of fixed terms for the parameter of the family that its variance depends on, ``"~ arm"``: sigma
        (gaussian, student), shape (gamma, negbinomial, truncated_negbinomial), dispersion (nbinom1, tweedie), phi
        (beta, beta_binomial). Its logarithm has these terms, so that a unit multiplies it by the exponential of a
        coefficient; ``fit.dispersion`` has them.
    priors
        None: maximum likelihood. ``"default"``, or a mapping from ``"intercept"``, ``"coef"`` and ``("coef", name)`` to
        normal, student_t, cauchy or flat of `mixedfx.priors`: the maximum a posteriori estimate, finite where a
        combination of predictors decides the response. The default of coefficients is that of `mixedfx.bayes`,
        normal(0, 2.5) on the logit and log scales for a predictor of unit standard deviation; variances have no prior.
        ``loglik`` is without the prior, and tests that compare likelihoods are refused.
    zi
        One side of a formula, ``"~ 1"`` or ``"~ x + (1 | g)"``, for a probability on the logit scale. With
        ``"poisson"``, ``"negbinomial"`` and ``"nbinom1"``: that of a zero besides those of the counts, a zero-inflated
        model (glmmTMB's ziformula), fitted together by Laplace's approximation, random effects of both parts
        independent. With ``"hurdle_poisson"`` and ``"hurdle_negbinomial"``: that of any zero, a hurdle model, whose
        counts above zero have `formula`.
    responses, imputations
        Plausible values and multiple imputations, as in `mixedfx.lmer`; with a list of frames `data` is None.
    sampling_weights
        How many rows (schools) of the population a row (school) stands for, as in `mixedfx.lmer`; `weights` are
        something else. The model is then fitted by pseudo maximum likelihood (Rabe-Hesketh & Skrondal 2006), all
        integrals by adaptive quadrature, levels nested, and `nAGQ` is 3 or more: by default 11 with one effect at a
        row, 7 with two, 5 with three. Families of one linear predictor whose parameters are single numbers.
    replicates, progress
        Replicate weights of rows, and whether to show how many refits are done, as in `mixedfx.lmer`.

    Returns
    -------
    GlmerFit
        The fit; with ``zi=`` a `mixedfx.glmm.zero_inflated_fit.ZeroInflatedFit`, or of a hurdle model a
        `mixedfx.glmm.hurdle.HurdleFit`; with ``sampling_weights=`` a
        `mixedfx.surveys.generalised.fit.WeightedGlmerFit`.

    Raises
    ------
    FormulaError
        A formula that cannot be read; points at the character.
    DataError
        Unknown columns, no rows, infinities, responses that the family cannot have (naming the rows).
    OptionError
        A family, a link or an option that is not known; weights in a family without a residual variance.
    ModelError
        A grouping factor with one level; a link under which no parameters give the data a density; ``zi=`` of counts
        that are never or always zero.
    MemoryForecastError
        Crossed terms whose factor would not fit in the memory that is free, where iteration does not serve.
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.

    Warns
    -----
    SingularFitWarning
        A variance is zero or a correlation is one; names the direction and the smaller formula.
    ConvergenceWarning
        The optimiser could not certify a maximum.
    SeparationWarning
        A combination of predictors decides the response; names the columns and a prior that was tried.
    NoOverdispersionWarning
        A family that has become a simpler one: a negative binomial model of counts that vary no more than Poisson's.
    NoZeroInflationWarning
        Counts that have no more zeros than their family says, so that the probability of others runs to zero.
    FewLevelsWarning
        A variance is estimated from fewer than five levels.
    MonteCarloWarning
        The iterative solver's error is larger than was asked for.
    QuadratureWarning
        The most nodes that ``nAGQ="auto"`` may take still move the criterion; with `sampling_weights`, more nodes do.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
    >>> course["passed"] = (course["score"] > 60).astype(int)
    >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
    >>> print(fit.varcorr[["grp", "sdcor"]].round(2).to_string(index=False))
          grp  sdcor
    professor   0.91
    >>> fit.optimization.evaluations
    5
    """
    if is_several(formula, responses, imputations):
        from mixedfx.surveys.several import fit_several

        arguments = (family, link, nAGQ, weights, offset, na, contrasts, env, control, dispersion, priors, zi)
        sample = {"sampling_weights": sampling_weights, "replicates": replicates, "progress": progress}
        again: Any = glmer
        return fit_several(formula, data, responses, imputations, lambda f, d, _: again(f, d, *arguments, **sample))
    if sampling_weights is not None or replicates is not None:
        from mixedfx.surveys.call import GeneralCall, refuse_beside
        from mixedfx.surveys.generalised.fit import fit_general

        refuse_beside({"control": control, "dispersion": dispersion, "priors": priors, "zi": zi})
        asked = (sampling_weights, replicates, weights, offset, na, contrasts, env, progress)
        return fit_general(GeneralCall(formula, data, *asked, family, link, nAGQ))
    nAGQ = 1 if nAGQ is None else nAGQ
    call = Call(formula, data, family, link, nAGQ, weights, offset, na, contrasts, env, control, dispersion, priors)
    if family in HURDLES:
        return fit_hurdle(call, zi)
    if zi is None and family not in NAMES:
        return fit_call(call)
    return fit_zero_inflated(call, zi)
