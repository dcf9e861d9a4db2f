"""bayes: from a formula and a data frame to draws from the posterior."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mixedfx.bayes import diagnose
from mixedfx.bayes.choice import Choice, check_options, choose, instead, with_control
from mixedfx.bayes.model_design import model_design, model_family
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.propriety import check_proper
from mixedfx.bayes.unseen_response import (
    columns_of_zeros,
    read_once,
    resolve_without_response,
    standing_in,
    without_response,
)
from mixedfx.design.frame import opened
from mixedfx.design.saved import refusal
from mixedfx.errors import (
    ImportanceError,
    ImproperPosteriorError,
    OptionError,
    UnsavableWarning,
    check_count,
    check_seed,
    outside,
)
from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.inference.prior_scales import scales_of
from mixedfx.options import Control
from mixedfx.priors.distributions import Prior
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import Key, PriorSet, prior_set
from mixedfx.progress import Asked
from mixedfx.surveys.asked import is_several

Priors = str | Mapping[Key, Prior] | PriorSet | None


def bayes(
    formula: str,
    data: Any = None,
    family: str | Family = "gaussian",
    priors: Priors = None,
    engine: str = "auto",
    draws: int = 4000,
    chains: int = 4,
    warmup: int | None = None,
    seed: int | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    *,
    zi: str | MixedFormula | None = None,
    V: Any = None,
    adapt_delta: float | None = None,
    max_treedepth: int | None = None,
    threads: int | None = None,
    algorithm: str | None = None,
    inits: str | None = None,
    centred: bool | Collection[str] | None = None,
    progress: Asked = None,
    cores: int | None = None,
    proposals: int | None = None,
    control: Control | Mapping[str, Any] | None = None,
    responses: Sequence[str] | None = None,
    imputations: Any = None,
) -> PosteriorFit:
    """Draw from the posterior of a multilevel model.

    The linear predictor is eta = X beta + Z u + offset with u ~ N(0, Sigma) for each level of a grouping factor, and
    the response follows the family given eta. Gaussian models with random terms are sampled by the collapsed engine:
    given the variances, beta and u have a normal posterior and are integrated out exactly; the few variance parameters
    are sampled by importance sampling from an adapted multivariate t distribution (a mixture of them where there are
    several modes) with Pareto-smoothed weights, and each draw of them is completed by an exact draw of (beta, u). Draws
    are independent. Where the weights cannot be trusted (k-hat above 0.7), or where there are more than two dozen
    variance parameters, NUTS samples the same low-dimensional density.

    Other models with random terms (all families but the Gaussian on its own scale, cumulative, categorical, and
    tweedie, whose power lies between two bounds; no known correlations of levels) are sampled by importance without
    chains too: beta, variances and auxiliary parameters from such a mixture, adapted to the posterior, and the random
    effects with an unbiased estimate of the likelihood that comes with a draw of them (the levels of the largest
    grouping factor are integrated one by one, by randomly shifted points around their modes; the effects of others are
    drawn together). Weights are exact: nothing of Laplace's approximation remains but the shape of the proposal. A
    forecast of the variance of the log weights says before any draw whether they can be trusted, and k-hat says so
    afterwards; where they cannot, as with hundreds of effects that few rows inform in several crossed factors, NUTS
    samples. All other models are written as Stan programs and sampled by NUTS. `PosteriorFit.diagnostics` says what
    happened. An interrupt (Ctrl-C) ends every engine with KeyboardInterrupt, and leaves no draws behind.

    Parameters
    ----------
    formula
        lme4's notation: ``"math ~ small * race + (1 + small | school)"``. ``y | se(s) ~ 1 + (1 | study)`` gives each
        row a known standard deviation s, ``k | trials(m) ~ ...`` a number of trials. Random terms may be absent.
    data
        Any frame narwhals understands: pandas, polars, pyarrow.
    family
        A name, ``"gaussian"``, ``"student"``, ``"lognormal"``, ``"bernoulli"``, ``"binomial"``, ``"poisson"``,
        ``"negbinomial"``, ``"nbinom1"``, ``"beta_binomial"``, ``"truncated_poisson"``, ``"truncated_negbinomial"``,
        ``"tweedie"``, ``"gamma"``, ``"beta"``, ``"cumulative"``, ``"categorical"``, or a family with its link, such as
        ``mx.families.bernoulli(link="probit")``.
    priors
        None or ``"default"``: see `mixedfx.priors.default`, which argues for its choice. ``"rstanarm"``, ``"brms"``:
        the defaults of those packages. A mapping: entries that replace the default's, with the keys ``"intercept"``,
        ``"coef"``, ``("coef", name)``, ``"sd"``, ``("sd", group)``, ``("sd", group, column)``, ``"cor"``, ``("cor",
        group)``, ``"sigma"``, ``"nu"``, ``"shape"``, ``"phi"``, ``"dispersion"``, ``"power"``; the most specific wins.
        A set, such as `mixedfx.priors.pooled_interactions()`.
    engine
        ``"auto"``: the collapsed engine where it can, else importance sampling; where that cannot, or refuses, or an
        option was given that it does not have, stanli; CmdStan where it is installed and a large model asks for threads
        within chains, or for an approximation (`algorithm`). ``"collapsed"``, ``"importance"``: as said above; by name
        importance sampling raises where it refuses. ``"nuts"``: NUTS on the collapsed density at once. ``"stanli"``:
        NUTS on all parameters, no compiler needed.
        ``"cmdstan"``: the same by CmdStan, which compiles the program once.
    draws
        Number of draws kept over all chains, rounded up to a multiple of `chains`.
    chains
        Chains of NUTS, and the layout of the draws.
    warmup
        Warm-up iterations of each chain of NUTS: by default 1000 for Stan programs, and 300 for chains on the collapsed
        density, which start around its modes and adapt together.
    seed
        Seed of everything random; the same seed and engine give the same draws.
    weights
        Precision weights, var = sigma^2 / weight: the name of a column or a value for each row of `data`; a pandas
        Series is aligned with the index of `data`, an array is taken by position.
        Their unit is that of sigma and of nothing else: every prior of sigma, and those that count in sigmas (decov,
        R2D2), are for a row of average weight, sigma over the root of the weights' mean. To state one for a row of
        weight one, give weights whose mean is one. Not beside ``se(...)``, which knows the variances.
    offset
        Name of a column or values as for `weights`, added to the linear predictor. Values belong to the rows of `data`:
        predictions for others need a column.
    na
        ``"drop"``: rows with a missing value are left out. ``"raise"``: a missing value is an error.
    contrasts
        Column -> coding, for the fixed and the random part alike.
    env
        Names that the formula may use besides the columns and the documented functions.
    zi
        One side of a formula, ``"~ 1"`` or ``"~ x + (1 | g)"``, for the logit of a probability, as in
        `mixedfx.glmer`. With ``"poisson"``, ``"negbinomial"`` and ``"nbinom1"``: that of a zero besides those of the
        counts, a zero-inflated model. With ``"hurdle_poisson"`` and ``"hurdle_negbinomial"``: that of any zero, a
        hurdle model, whose counts above zero have `formula`. Both are in one Stan program, their random effects
        independent. Priors of this part have keys that begin with ``"zi"``: ``("zi", "intercept")``, ``("zi", "coef",
        name)``, ``("zi", "sd", group)``, ...; by default they are those of a yes/no answer.
    V
        Known covariance of the sampling errors of the rows of `data`, as in `mixedfx.lmer`: (n, n), dense or sparse, or
        (n,) variances, which are what ``y | se(s) ~ ...`` says. Correlated errors go with the collapsed engine; no row
        has a density of its own then, so that loo, simulate and ppc refuse.
    adapt_delta, max_treedepth
        Of NUTS as Stan has them, 0.8 and 10 by default, 0.8 and 8 on the collapsed density; 0.95 in Stan programs of
        yes/no answers or trials with random terms, which diverge easily.
    threads
        Threads within each chain, which sum the likelihood in slices (stanli, cmdstan); of BLAS (collapsed, nuts).
    algorithm
        ``"nuts"``; or an approximation, ``"pathfinder"``, ``"laplace"``, ``"variational"`` (cmdstan).
    inits
        ``"random"``, or ``"pathfinder"`` (stanli, cmdstan).
    centred
        True, or names of grouping factors, whose effects are parameters themselves; that samples better where levels
        have many rows. By default they are standard normal ones that are scaled (stanli, cmdstan).
    progress
        Whether to show how far the sampler has come: True, False, or None, which shows it on a terminal and in a
        notebook after a second. Or a function, called with each `mixedfx.progress.Report`.
    cores
        Chains that run at the same time (stanli, cmdstan). The other engines use one core.
    proposals
        Number of weighted points of the engines collapsed and importance, at least `draws`. By default as many as
        promise `draws` effective ones: 2 to 12 times `draws`, or 1.25 to 4 times where each takes a factorisation of
        its own; 1.25 to 6 times by importance.
    control
        Options of the engine together, these and those that are no arguments of their own (``k_hat``, ``start``, ...):
        `mixedfx.control`, or a mapping. An option given here and by its own name has to have one value.
    responses, imputations
        Plausible values and multiple imputations, as in `mixedfx.lmer`; each data set has its share of `draws`.

    Returns
    -------
    PosteriorFit
        The draws, and everything that can be asked of them. With ``zi=`` a
        `mixedfx.bayes.posterior.two_part_fit.TwoPartPosteriorFit`. Of several data sets the draws of all, put together
        (`mixedfx.bayes.posterior.stacked`).

    Raises
    ------
    FormulaError
        A formula that cannot be read; points at the character.
    DataError
        Unknown columns, no rows, infinities, responses that the family cannot have (naming the rows).
    ModelError
        A model whose effects cannot be told from the residual; weights beside ``se(...)``; `V` beside either.
    ImproperPosteriorError
        Flat priors under which the posterior does not exist.
    OptionError
        A family, a prior, an engine or an option that is not known, or that the engine does not have; weights in a
        family without a scale.
    MemoryForecastError
        Draws that would not fit in the memory that is free.
    ImportanceError
        With ``engine="importance"``, where the weights cannot be trusted or are forecast to be such.
    MissingPackageError
        Where the engine is not installed; the message names the line that installs it.

    Warns
    -----
    SamplingWarning
        Draws that should not be used as they are; says what was seen and what to do. Each concern has a class of its
        own: ImportanceWarning, DivergenceWarning, RHatWarning, EffectiveSizeWarning, EnergyWarning, TreedepthWarning,
        ApproximationWarning.
    UnsavableWarning
        Before anything is sampled: what `PosteriorFit.save` would refuse, such as functions in `env`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> fit = mx.bayes("score ~ style + (1 | professor)", course, seed=1)
    >>> print(fit.tidy()[["term", "estimate", "std_error"]].round(0).to_string(index=False))
                   term  estimate  std_error
              Intercept      62.0        4.0
    style[Some Flipped]       5.0        6.0
      style[No Flipped]       0.0        6.0
    """
    if is_several(formula, responses, imputations):
        from mixedfx.bayes.posterior.stacked import stacked
        from mixedfx.surveys.several import fit_several

        seed = _seed(seed)

        def one(text: str, frame: Any, m: int) -> PosteriorFit:
            return bayes(
                text, frame, family, priors, engine, -(-draws // m), chains, warmup, seed, weights, offset, na,
                contrasts, env, V=V, adapt_delta=adapt_delta, max_treedepth=max_treedepth, threads=threads,
                algorithm=algorithm, inits=inits, centred=centred, progress=progress, cores=cores, proposals=proposals,
                control=control, zi=zi,
            )  # fmt: skip

        return fit_several(formula, data, responses, imputations, one, stacked)
    family, n_draws = model_family(family, zi), _rounded(draws, chains)
    options = {"weights": weights, "offset": offset, "na": na, "contrasts": contrasts, "env": env, "V": V}
    design = model_design(formula, data, family, stacklevel=3, zi=zi, **options)
    resolved = resolve(prior_set(priors), scales_of(design, family))
    given = {"adapt_delta": adapt_delta, "max_treedepth": max_treedepth, "threads": threads, "algorithm": algorithm}
    given |= {"inits": inits, "centred": centred, "progress": progress, "cores": cores, "proposals": proposals}
    given = with_control(given, control)
    choice = choose(engine, design, family, resolved, given)
    given = check_options(choice, given)
    check_proper(design, resolved)
    if warmup is not None:
        check_count("warmup", warmup, 0)
    seed = _seed(seed)
    unsavable = next(filter(None, map(refusal, design.of_predictors(1))), "")
    if unsavable:
        warnings.warn(f"fit.save will refuse this fit: {unsavable}.", UnsavableWarning, stacklevel=outside())

    def draw(choice: Choice) -> PosteriorFit:
        own = {name: value for name, value in given.items() if name in choice.sampler.options}
        return choice.sampler.sample(
            design, family, resolved, reason=choice.reason, draws=n_draws, chains=chains,
            warmup=choice.sampler.warmup if warmup is None else warmup, seed=seed, options=own,
        )  # fmt: skip

    try:
        fit = draw(choice)
    except ImportanceError as refused:
        if engine != "auto":
            raise
        fit = draw(instead(refused, design, family, resolved, given))
    diagnose.warn(fit)
    return fit


def prior_predictive(
    formula: str,
    data: Any,
    priors: Priors = None,
    draws: int = 1000,
    seed: int | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    family: str | Family = "gaussian",
    zi: str | MixedFormula | None = None,
) -> PosteriorFit:
    """What the priors say before the response is seen: draws of parameters, responses and subgroup effects.

    Returned is a fit whose draws come from the prior: ``simulate()`` gives responses, ``mixedfx.effects`` subgroup
    effects, ``ppc()`` the density of the data over simulated ones. Scales that are taken from the data still look at
    its spread. Draws for models that the engines collapsed and importance can sample are independent; those of
    other models come from four chains of NUTS on the prior.

    The response need not be there: where the data lack its column, or it is missing in all rows or the same in all, the
    fit has a response of NaN, and all priors must be given in units (categories must be there, since their number is
    the model's).

    Parameters
    ----------
    formula, data, priors, seed, weights, offset, na, contrasts, env, family, zi
        As in `mixedfx.bayes`.
    draws
        Number of draws.

    Returns
    -------
    PosteriorFit
        Draws from the prior.

    Raises
    ------
    ImproperPosteriorError
        Where a prior is flat, so that it has no draws.
    OptionError
        Without a response: priors that are scaled by it.

    Examples
    --------
    How different may the effects in two subgroups be, in points of the test?

    >>> import mixedfx as mx
    >>> star = mx.datasets.load("star").head(500)
    >>> prior = mx.prior_predictive("math ~ small + (1 + small | gender)", star, seed=1)
    >>> effects = mx.effects(prior, "small", by="gender")
    >>> effects.draws().shape
    (1000, 2)
    """
    family = model_family(family, zi)
    options = {"weights": weights, "offset": offset, "na": na, "contrasts": contrasts, "env": env}
    named = [name for name in (weights, offset) if isinstance(name, str)]
    data = opened(data)
    named += [] if zi is None else columns_of_zeros(zi, data, env or {})
    data = read_once(formula, data, env or {}, named)
    plan = standing_in(formula, data, family, env or {}, named)
    design = model_design(formula, data if plan is None else plan, family, stacklevel=3, zi=zi, **options)
    given, scales = prior_set(priors), scales_of(design, family)
    name = design.response_name
    resolved = resolve(given, scales) if plan is None else resolve_without_response(given, scales, name)
    if resolved.improper:
        raise ImproperPosteriorError(
            f"flat priors have no draws: {', '.join(resolved.improper)}", hint="Give them proper priors."
        )
    seed, choice = _seed(seed), choose("auto", design, family, resolved)
    fit = choice.sampler.sample_prior(
        design, family, resolved, reason=choice.reason, draws=_rounded(draws, 1), seed=seed
    )  # fmt: skip
    return fit if plan is None else without_response(fit)


def _rounded(draws: int, chains: int) -> int:
    whole = all(isinstance(value, int | np.integer) for value in (draws, chains))
    if not whole or draws < 1 or chains < 1:
        raise OptionError(f"draws={draws!r}, chains={chains!r}", hint="Both are whole numbers, at least 1.")
    return -(-draws // chains) * chains


def _seed(seed: int | None) -> int:
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    check_seed(seed)
    return int(seed)
