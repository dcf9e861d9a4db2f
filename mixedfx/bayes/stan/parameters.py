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
from mixedfx.bayes.stan.shape import ZEROS, ModelShape, term_number
from mixedfx.design.design import Design
from mixedfx.draws import Key
from mixedfx.families.family import Family
from mixedfx.families.two_parts import TwoParts
from mixedfx.priors.resolve import ResolvedPriors

Array = NDArray[np.float64]


def variables(shape: ModelShape) -> tuple[str, ...]:
    """Variables of a program that `joint_draws` reads, all an engine has to keep."""
    names = [name for name, _ in shape.auxiliary]
    for part, p in shape.parts:
        names += [_intercept(part, p)] if part.intercept else []
        names += [_threshold(part)] if part.ordered else []
        names += [f"beta{p}"] if part.predictors else []
        for number, term in enumerate(part.terms, start=1):
            t = term_number(p, number)
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
    first = variables(shape)[0]

    def flat(name: str) -> Array:
        values = np.asarray(drawn[name], dtype=np.float64)
        return values.reshape(-1, *values.shape[2:])

    def of(name: str, category: int | None) -> Array:
        return flat(name) if category is None else flat(name)[:, category]

    def predictor(
        category: int | None, name: str | None, design: Design, priors: ResolvedPriors, shape: ModelShape, p: str = ""
    ) -> Predictor:  # fmt: skip
        u, factors = [], []
        for number, term in enumerate(shape.terms, start=1):
            t = term_number(p, number)
            effects, sd = of(f"u_{t}", category), of(f"sd_{t}", category)
            sd = sd.reshape(len(sd), -1)
            correlation = of(f"L_{t}", category) if term.correlated else np.eye(sd.shape[1])
            factor = sd[:, :, None] * correlation
            if term.at_means:
                means = np.array(priors.terms[number - 1].means)
                effects, factor = effects.copy(), factor.copy()
                effects[:, :, 0] -= effects @ means
                factor[:, 0] -= means @ factor
            u.append(effects.reshape(len(effects), -1))
            factors.append(factor)
        D = flat(first).shape[0]
        beta = np.zeros((D, len(design.fixed_names)))
        at = np.array([name != "Intercept" for name in design.fixed_names], dtype=bool)
        if shape.predictors:
            beta[:, at] = of(f"beta{p}", category)
        if shape.intercept:
            beta[:, ~at] = of(_intercept(shape, p), category)[:, None]
        return Predictor(beta, np.concatenate(u, axis=1) if u else np.zeros((D, 0)), tuple(factors), name)

    if shape.nominal:
        assert design.categories is not None
        names = design.categories[1:]
        predictors = tuple(predictor(c, name, design, priors, shape) for c, name in enumerate(names))
    elif shape.zero is not None and design.zero is not None and priors.zero is not None:
        count, zero = TwoParts.PREDICTORS
        predictors = (
            predictor(None, count, design, priors, shape),
            predictor(None, zero, design.zero, priors.zero, shape.zero, ZEROS),
        )
    else:
        predictors = (predictor(None, None, design, priors, shape),)
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


def _intercept(shape: ModelShape, p: str) -> str:
    """Variable of the intercept at zero."""
    return f"intercept{p}" if shape.predictors else f"alpha{p}"


def _threshold(shape: ModelShape) -> str:
    """Variable of the thresholds at zero."""
    return "threshold" if shape.predictors else "cut"
