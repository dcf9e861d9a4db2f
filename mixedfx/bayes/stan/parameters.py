"""From the variables of a program back to the model: which to keep, and what they are.

The numbers of random terms in a program are their positions in the design, and the positions in its arrays are those of
levels, columns and categories. So draws find their names by position; no name is ever taken apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.stan.joint_priors import kept
from mixedfx.bayes.stan.shape import ModelShape
from mixedfx.design.design import Design
from mixedfx.draws import Key
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors

Array = NDArray[np.float64]


def variables(shape: ModelShape) -> tuple[str, ...]:
    """Variables of a program that `joint_draws` reads, all an engine has to keep."""
    names = [name for name, _ in shape.auxiliary]
    names += [_intercept(shape)] if shape.intercept else []
    names += [_threshold(shape)] if shape.ordered else []
    names += ["beta"] if shape.predictors else []
    for t, term in enumerate(shape.terms, start=1):
        names += [f"sd_{t}", *([f"L_{t}"] if term.correlated else []), f"u_{t}"]
    names += kept(shape).values()
    names += [name for name, asked in (("log_lik", shape.log_lik), ("y_rep", shape.y_rep)) if asked]
    return tuple(names)


def joint_draws(
    drawn: Mapping[str, Array], design: Design, family: Family, priors: ResolvedPriors, shape: ModelShape
) -> JointDraws:
    """Arrange the draws of a program as joint draws of the model.

    Where a program has the covariates of a term at their means, its effects v = C u, and their factor, are taken back
    to the effects u of covariates at zero: the first less the means times the others.

    Parameters
    ----------
    drawn
        Variable -> (chains, draws, ...) draws, at least those of `variables`.
    design, family, priors, shape
        The model.

    Returns
    -------
    JointDraws
        D = chains * draws joint draws, chain by chain.
    """

    def flat(name: str) -> Array:
        values = np.asarray(drawn[name], dtype=np.float64)
        return values.reshape(-1, *values.shape[2:])

    def of(name: str, category: int | None) -> Array:
        return flat(name) if category is None else flat(name)[:, category]

    def predictor(category: int | None) -> Predictor:
        u, factors = [], []
        for t, term in enumerate(shape.terms, start=1):
            effects, sd = of(f"u_{t}", category), of(f"sd_{t}", category)
            sd = sd.reshape(len(sd), -1)
            correlation = of(f"L_{t}", category) if term.correlated else np.eye(sd.shape[1])
            factor = sd[:, :, None] * correlation
            if term.at_means:
                means = np.array(priors.terms[t - 1].means)
                effects, factor = effects.copy(), factor.copy()
                effects[:, :, 0] -= effects @ means
                factor[:, 0] -= means @ factor
            u.append(effects.reshape(len(effects), -1))
            factors.append(factor)
        D = flat(variables(shape)[0]).shape[0]
        beta = np.zeros((D, len(design.fixed_names)))
        at = np.array([name != "Intercept" for name in design.fixed_names], dtype=bool)
        if shape.predictors:
            beta[:, at] = of("beta", category)
        if shape.intercept:
            beta[:, ~at] = of(_intercept(shape), category)[:, None]
        name = None if category is None or design.categories is None else design.categories[category + 1]
        return Predictor(beta, np.concatenate(u, axis=1) if u else np.zeros((D, 0)), tuple(factors), name)

    if shape.nominal:
        assert design.categories is not None
        predictors = tuple(predictor(c) for c in range(len(design.categories) - 1))
    else:
        predictors = (predictor(None),)
    extra: dict[Key, Array] = {}
    for key, variable in kept(shape).items():
        if shape.nominal:
            for c, one in enumerate(predictors):
                extra[(key[0], str(one.category), *key[1:])] = of(variable, c)
        else:
            extra[key] = flat(variable)
    return JointDraws(
        predictors,
        {name: flat(name) for name, _ in shape.auxiliary},
        flat(_threshold(shape)) if shape.ordered else None,
        extra,
    )


def _intercept(shape: ModelShape) -> str:
    """Variable of the intercept at zero."""
    return "intercept" if shape.predictors else "alpha"


def _threshold(shape: ModelShape) -> str:
    """Variable of the thresholds at zero."""
    return "threshold" if shape.predictors else "cut"
