"""bayes: from a formula and a data frame to draws from the posterior."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mixedfx.bayes.context import scales_of
from mixedfx.bayes.engine import PosteriorSample, Sampling, check_memory, sample
from mixedfx.bayes.fit import PosteriorFit
from mixedfx.bayes.propriety import check_proper
from mixedfx.bayes.reports import concerns
from mixedfx.bayes.target import Target, build_target
from mixedfx.design.design import Design
from mixedfx.errors import (
    FewLevelsWarning,
    ImproperPosteriorError,
    ModelError,
    OptionError,
    SamplingWarning,
    check_option,
)
from mixedfx.priors.distributions import Prior
from mixedfx.priors.resolve import ResolvedPriors, resolve
from mixedfx.priors.sets import Key, PriorSet, prior_set

Priors = str | Mapping[Key, Prior] | PriorSet | None

ENGINES = ("auto", "collapsed", "nuts")
OPTIONS = ("proposals",)


def bayes(
    formula: str,
    data: Any,
    family: str = "gaussian",
    priors: Priors = None,
    engine: str = "auto",
    draws: int = 4000,
    chains: int = 4,
    warmup: int = 1000,
    seed: int | None = None,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    **engine_options: Any,
) -> PosteriorFit:
    """Draw from the posterior of a linear mixed model.

    The model is y = X beta + Z u + offset + e, u ~ N(0, Sigma) for each level, e ~ N(0, sigma^2 / weight). Given the
    variances, beta and u have a normal posterior and are integrated out exactly; the few variance parameters are
    sampled by importance sampling from an adapted multivariate t distribution with Pareto-smoothed weights, and each
    draw of them is completed by an exact draw of (beta, u). Draws are independent. Where the weights cannot be trusted
    (k-hat above 0.7), where there are more than two dozen variance parameters, or several modes, NUTS samples the same
    low-dimensional density; `PosteriorFit.diagnostics` says what happened.

    Parameters
    ----------
    formula
        lme4's notation: ``"math ~ small * race + (1 + small | school)"``. ``y | se(s) ~ 1 + (1 | study)`` gives each
        row a known standard deviation s.
    data
        Any frame narwhals understands: pandas, polars, pyarrow.
    family
        ``"gaussian"``.
    priors
        None or ``"default"``: see `mixedfx.priors.default`, which argues for its choice. ``"rstanarm"``, ``"brms"``:
        the defaults of those packages. A mapping: entries that replace the default's, with the keys ``"intercept"``,
        ``"coef"``, ``("coef", name)``, ``"sd"``, ``("sd", group)``, ``("sd", group, column)``, ``"cor"``, ``("cor",
        group)``, ``"sigma"``; the most specific wins. A set, such as `mixedfx.priors.pooled_interactions()`.
    engine
        ``"auto"`` and ``"collapsed"``: as said above. ``"nuts"``: NUTS at once.
    draws
        Number of draws kept over all chains, rounded up to a multiple of `chains`.
    chains
        Chains of NUTS, and the layout of the draws.
    warmup
        Warm-up iterations of each chain of NUTS.
    seed
        Seed of everything random; the same seed gives the same draws.
    weights
        Precision weights: the name of a column or an array with a value for each row of `data`.
    offset
        Name of a column or an array, added to the linear predictor.
    na
        ``"drop"``: rows with a missing value are left out. ``"raise"``: a missing value is an error.
    contrasts
        Column -> coding, for the fixed and the random part alike.
    env
        Names that the formula may use besides the columns and the documented functions.
    **engine_options
        ``proposals``: number of weighted points, at least `draws`. By default as many as promise `draws` effective
        ones: 2 to 12 times `draws`, or 1.25 to 4 times where each takes a factorisation of its own.

    Returns
    -------
    PosteriorFit
        The draws, and everything that can be asked of them.

    Raises
    ------
    FormulaError
        A formula that cannot be read; points at the character.
    DataError
        Unknown columns, no rows, infinities, a response that is not numeric.
    ModelError
        A formula without random terms, or a model whose effects cannot be told from the residual.
    ImproperPosteriorError
        Flat priors under which the posterior does not exist.
    OptionError
        A prior, an engine or an option that is not known.
    MemoryForecastError
        Draws that would not fit in the memory that is free.
    MissingPackageError
        Where NUTS is needed and nutpie is not installed.

    Warns
    -----
    SamplingWarning
        Draws that should not be used as they are; says what was seen.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> fit = mx.bayes("score ~ style + (1 | professor)", course, seed=1)
    >>> print(fit.tidy()[["term", "estimate", "std_error"]].round(0).to_string(index=False))
                   term  estimate  std_error
              Intercept      67.0        2.0
    style[Some Flipped]      -3.0        1.0
      style[No Flipped]      -8.0        1.0
    """
    check_option("family", family, ("gaussian",))
    check_option("engine", engine, ENGINES)
    for name in engine_options:
        check_option("engine_options", name, OPTIONS)
    n_draws = _rounded(draws, chains)
    design = _design(formula, data, weights=weights, offset=offset, na=na, contrasts=contrasts, env=env)
    target, resolved = _model(design, priors)
    check_proper(design, resolved)
    seed = _seed(seed)
    found = sample(
        target, n_draws, chains, warmup, np.random.default_rng(seed), engine, engine_options.get("proposals")
    )
    fit = PosteriorFit(design, resolved, target, found, chains, seed)
    for concern in concerns(fit):
        warnings.warn(concern, SamplingWarning, 2)
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
) -> PosteriorFit:
    """What the priors say before the response is seen: draws of parameters, responses and subgroup effects.

    Returned is a fit whose draws come from the prior: ``simulate()`` gives responses, ``mixedfx.effects`` subgroup
    effects, ``ppc()`` the density of the data over simulated ones. Scales that are taken from the data still look at
    its spread.

    Parameters
    ----------
    formula, data, priors, seed, weights, offset, na, contrasts, env
        As in `mixedfx.bayes`.
    draws
        Number of draws.

    Returns
    -------
    PosteriorFit
        One chain of draws from the prior.

    Raises
    ------
    ImproperPosteriorError
        Where a prior is flat, so that it has no draws.

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
    design = _design(formula, data, weights=weights, offset=offset, na=na, contrasts=contrasts, env=env)
    target, resolved = _model(design, priors)
    if resolved.improper:
        raise ImproperPosteriorError(
            f"flat priors have no draws: {', '.join(resolved.improper)}", mend="Give them proper priors."
        )
    seed = _seed(seed)
    n_draws = _rounded(draws, 1)
    check_memory(n_draws, design.n_random + len(design.fixed_names) + target.size)
    found = prior_sample(target, n_draws, np.random.default_rng(seed))
    return PosteriorFit(design, resolved, target, found, 1, seed)


def prior_sample(target: Target, n: int, rng: np.random.Generator) -> PosteriorSample:
    """Draws of (phi, beta, u) from a proper prior."""
    coordinates, prior, design = target.coordinates, target.collapsed.prior, target.collapsed.design
    phi = coordinates.draw_prior(rng, n)
    at = coordinates.variances(phi)
    combined = prior.loc + prior.scale * rng.standard_normal((n, prior.size)) / np.sqrt(at.mixing)
    beta = np.asarray(np.linalg.solve(prior.rows, combined.T).T, dtype=np.float64)
    parts = [
        np.einsum("dab,djb->dja", at.factors(t), rng.standard_normal((n, term.n_levels, term.n_columns))).reshape(n, -1)
        for t, term in enumerate(design.random)
    ]
    nothing = Sampling("prior", "", np.nan, float(n), 0, n, np.nan, 0, 0, 0.0, (np.nan, np.nan), 0)
    return PosteriorSample(phi, beta, np.concatenate(parts, axis=1), nothing)


def _design(formula: str, data: Any, **options: Any) -> Design:
    """The design of a formula; without the warnings that are about estimating a variance without a prior."""
    from mixedfx.design.build import build_design
    from mixedfx.formula.parse import parse_formula

    parsed = parse_formula(formula)
    known = any(addition.name == "se" for addition in parsed.additions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewLevelsWarning)
        return build_design(parsed, data, sigma_free=not known, **options)


def _model(design: Design, priors: Priors) -> tuple[Target, ResolvedPriors]:
    if not design.random:
        raise ModelError("bayes fits models with random terms", mend="Add one, such as (1 | group).")
    resolved = resolve(prior_set(priors), scales_of(design))
    return build_target(design, resolved), resolved


def _rounded(draws: int, chains: int) -> int:
    if draws < 1 or chains < 1:
        raise OptionError(f"draws={draws}, chains={chains}", mend="Both must be at least 1.")
    return -(-draws // chains) * chains


def _seed(seed: int | None) -> int:
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
