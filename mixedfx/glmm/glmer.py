"""glmer: from a formula, a data frame and a family to a fitted generalised linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.glmm.call import Call
from mixedfx.glmm.fit import GlmerFit, fit_call
from mixedfx.options import Control


def glmer(
    formula: str | MixedFormula,
    data: Any,
    family: str | Family,
    link: str | None = None,
    nAGQ: int | Literal["auto"] = 1,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
) -> GlmerFit:
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
        ``"bernoulli"``, ``"binomial"``, ``"poisson"``, ``"negbinomial"`` (shape estimated), ``"gamma"`` (shape
        estimated) or ``"gaussian"``; or a family with its link, ``mx.families.bernoulli("probit")``.
    link
        One of the family's links; its default where None: logit, probit, cloglog, cauchit (bernoulli, binomial); log,
        sqrt, identity (poisson, negbinomial); log, inverse, identity (gamma); identity, log, inverse (gaussian).
    nAGQ
        Nodes of adaptive Gauss-Hermite quadrature for each effect of a level. 1 is Laplace's approximation, which makes
        standard deviations too small where groups have few rows of zeros and ones. More nodes integrate over one
        grouping factor, or two nested ones with few effects to a level, to any accuracy; with other factors over the
        one that has most effects, given the others, and those by Laplace. ``"auto"`` raises them until -2 log L moves
        less than 0.01. The summary says what was done, and of Laplace's approximation how far off it is. Tests,
        profiles, refits and the uncertainty of theta rest on the same criterion; random effects given the estimates are
        taken to be normal about their modes in any case.
    weights
        Precision weights of a gaussian response, as in `mixedfx.lmer`; the other families have none. Trials are written
        in the formula.
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
        Options of the optimiser: `mixedfx.control`, or a mapping such as ``{"tolerance": 1e-10}``.

    Returns
    -------
    GlmerFit
        The fit.

    Raises
    ------
    FormulaError
        A formula that cannot be read; points at the character.
    DataError
        Unknown columns, no rows, infinities, responses that the family cannot have (naming the rows).
    OptionError
        A family, a link or an option that is not known; weights in a family without a residual variance.
    ModelError
        A grouping factor with one level; a link under which no parameters give the data a density.

    Warns
    -----
    SingularFitWarning
        A variance is zero or a correlation is one; names the direction and the smaller formula.
    ConvergenceWarning
        The optimiser could not certify a maximum.
    SeparationWarning
        A combination of predictors decides the response; names the columns.
    NoOverdispersionWarning
        A negative binomial model of counts that vary no more than Poisson's.
    FewLevelsWarning
        A variance is estimated from fewer than five levels.
    QuadratureWarning
        The most nodes that ``nAGQ="auto"`` may take still move the criterion.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> course["passed"] = (course["score"] > 60).astype(int)
    >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
    >>> print(fit.varcorr[["grp", "sdcor"]].round(2).to_string(index=False))
          grp  sdcor
    professor   0.91
    >>> fit.optimization.evaluations
    5
    """
    return fit_call(Call(formula, data, family, link, nAGQ, weights, offset, na, contrasts, env, control))
