"""The data of a program: sizes, response, predictors, random terms, and the numbers of the priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.stan.joint_priors import JOINT_PRIORS
from mixedfx.bayes.stan.likelihood import likelihood
from mixedfx.bayes.stan.shape import SHORT, ZEROS, ModelShape, TermShape, term_number
from mixedfx.design.design import Design, RandomTerm
from mixedfx.errors import ModelError
from mixedfx.families.family import Family
from mixedfx.priors.joint import Decov, Share
from mixedfx.priors.resolve import ResolvedPriors, TermPrior

SLICES = 16
"""Slices for each thread-parallel sum, at least: enough for threads to share the work evenly."""


def program_data(
    design: Design, family: Family, resolved: ResolvedPriors, shape: ModelShape, *, prior_only: bool = False
) -> dict[str, Any]:
    """Data of the program of a model.

    Parameters
    ----------
    design, family, resolved, shape
        The model, its priors, and the shape that the program was written for.
    prior_only
        Whether to leave the likelihood out, so that draws come from the prior.

    Returns
    -------
    dict
        Variable -> whole number, number or array, in the order of the program's declarations; counting from one, as
        Stan does. The response of an ordinal or categorical model holds the numbers of its categories.
    """
    n = len(design.y)
    spec = likelihood(shape)
    data: dict[str, Any] = {"N": n}
    if family.categories:
        data["C"] = _categories(design)
        data["y"] = _whole(design.y) + 1
    else:
        data["y"] = _whole(design.y) if spec.discrete else np.asarray(design.y, dtype=np.float64)
    if shape.trials:
        if design.trials is None:
            raise ModelError(
                f"the {family.name} family needs the number of trials of each row",
                hint="Write k | trials(m) ~ ..., or use family='bernoulli' for zeros and ones.",
            )
        data["trials"] = _whole(design.trials)
    if shape.known_sd:
        data["se"] = design.known_sd
    if shape.weights:
        data["weights"] = design.weights
    if shape.offset:
        data["offsets"] = design.offset
    predictors = _at_predictors(design)
    data |= _predictors(design, shape, "")
    if resolved.threshold is not None:
        data |= _numbers("prior_cut", (resolved.threshold,))
    elif shape.intercept:
        data |= _numbers("prior_alpha", (resolved.coefficients[design.fixed_names.index("Intercept")],))
    for name, prior in resolved.auxiliary.items():
        data |= _numbers(f"prior_{name}", (prior,))
    coefficients = [resolved.coefficients[j] for j in predictors]
    if shape.sparse:
        data |= _sparse(design, resolved, coefficients, sigma=shape.sigma)
    data |= _coefficients(coefficients, "")
    first = 1 + sum(isinstance(prior, Share) for prior in coefficients)
    for t, (term, prior, structure) in enumerate(zip(design.random, resolved.terms, shape.terms, strict=True), start=1):
        data |= _term(str(t), term, prior, structure, first)
        first += _shares(prior)
    if shape.zero is not None and design.zero is not None and resolved.zero is not None:
        data |= _zeros(design.zero, resolved.zero, shape.zero)
    data["prior_only"] = int(prior_only)
    if shape.threads:
        data["grainsize"] = max(1, n // SLICES)
    return data


def _at_predictors(design: Design) -> list[int]:
    """Columns of X besides the intercept."""
    return [j for j, name in enumerate(design.fixed_names) if name != "Intercept"]


def _predictors(design: Design, shape: ModelShape, p: str) -> dict[str, Any]:
    """Columns of X besides the intercept, in a linear predictor whose names end with `p`."""
    at = _at_predictors(design)
    return {f"K{p}": len(at), f"X{p}": np.ascontiguousarray(design.X[:, at])} if shape.predictors else {}


def _zeros(design: Design, resolved: ResolvedPriors, shape: ModelShape) -> dict[str, Any]:
    """The linear predictor of the zeros: predictors, offset, priors, random terms."""
    data = _predictors(design, shape, ZEROS)
    if shape.offset:
        data[f"offsets{ZEROS}"] = design.offset
    if shape.intercept:
        intercept = resolved.coefficients[design.fixed_names.index("Intercept")]
        data |= _numbers(f"prior_alpha{ZEROS}", (intercept,))
    data |= _coefficients([resolved.coefficients[j] for j in _at_predictors(design)], ZEROS)
    for number, each in enumerate(zip(design.random, resolved.terms, shape.terms, strict=True), start=1):
        data |= _term(term_number(ZEROS, number), *each, first=1)
    return data


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.rint(values), dtype=np.int64)


def _categories(design: Design) -> int:
    """Number of categories K."""
    return len(design.categories) if design.categories is not None else int(np.max(design.y)) + 1


def _numbers(name: str, priors: Sequence[Any], *, vector: bool = False) -> dict[str, Any]:
    """Numbers of priors of one kind: scalars for a single parameter, arrays for the elements of a vector."""
    return {
        f"{name}_{number}": np.array([float(getattr(p, number)) for p in priors])
        if vector
        else float(getattr(priors[0], number))
        for number in priors[0].numbers
    }


def _elements(name: str, priors: Sequence[Any]) -> dict[str, Any]:
    """Numbers of the priors of the elements of a vector, by kind where there are several."""
    kinds = sorted({prior.stan for prior in priors})
    if len(kinds) == 1:
        return _numbers(name, priors, vector=True)
    data: dict[str, Any] = {}
    for kind in kinds:
        at = [j for j, prior in enumerate(priors) if prior.stan == kind]
        if kind != "flat":
            one = f"{name}_{SHORT.get(kind, kind)}"
            data |= {f"{one}_n": len(at), f"{one}_at": np.array(at, dtype=np.int64) + 1}
            data |= _numbers(one, [priors[j] for j in at], vector=True)
    return data


def _split(priors: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Positions, from one, of the parameters under the joint prior and of the others."""
    share = [j for j, prior in enumerate(priors, start=1) if isinstance(prior, Share)]
    return share, [j for j in range(1, len(priors) + 1) if j not in share]


def _coefficients(priors: Sequence[Any], p: str) -> dict[str, Any]:
    share, own = _split(priors)
    if not own:
        return {}
    if not share:
        return _elements(f"prior_beta{p}", priors)
    sizes = {"K_share": len(share), "K_own": len(own)}
    at = {"at_share": np.array(share), "at_own": np.array(own)}
    return sizes | at | _elements("prior_own_beta", [priors[j - 1] for j in own])


def _shares(prior: TermPrior) -> int:
    """Number of standard deviations of a term that are under the joint prior."""
    return 0 if isinstance(prior.sd, Decov) else sum(isinstance(sd, Share) for sd in prior.sd)


def _term(t: str, term: RandomTerm, prior: TermPrior, shape: TermShape, first: int) -> dict[str, Any]:
    """Levels, covariates and priors of one random term."""
    data: dict[str, Any] = {f"J_{t}": term.n_levels, f"g_{t}": np.asarray(term.codes, dtype=np.int64) + 1}
    if shape.several:
        data |= {f"M_{t}": term.n_columns, f"Z_{t}": term.z}
    elif not shape.constant:
        data[f"Z_{t}"] = np.ascontiguousarray(term.z[:, 0])
    if isinstance(prior.sd, Decov):
        data |= {f"prior_tau_{t}_shape": prior.sd.shape, f"prior_tau_{t}_scale": prior.sd.scale}
        if shape.correlated and not shape.shared:
            data[f"prior_pi_{t}_concentration"] = prior.sd.concentration
    else:
        share, own = _split(prior.sd)
        if share:
            data[f"first_{t}"] = first
        if share and own:
            data |= {f"M_share_{t}": len(share), f"M_own_{t}": len(own)}
            data |= {f"at_share_{t}": np.array(share), f"at_own_{t}": np.array(own)}
            data |= _elements(f"prior_own_sd_{t}", [prior.sd[j - 1] for j in own])
        elif shape.shared:
            data |= _numbers(f"prior_one_sd_{t}", prior.sd)
        elif own and shape.several:
            data |= _elements(f"prior_sd_{t}", prior.sd)
        elif own:
            data |= _numbers(f"prior_sd_{t}", prior.sd)
    if term.mixing is not None:
        data[f"A_{t}"] = term.mixing
    if shape.correlated:
        data[f"prior_L_{t}_eta"] = float(prior.eta or 1.0)
    return data


def _sparse(design: Design, resolved: ResolvedPriors, coefficients: Sequence[Any], *, sigma: bool) -> dict[str, Any]:
    """Units and numbers of the joint prior: coefficients first, then the terms in their order."""
    sds = [sd for term in resolved.terms if not isinstance(term.sd, Decov) for sd in term.sd]
    units = [prior.unit for prior in (*coefficients, *sds) if isinstance(prior, Share)]
    data: dict[str, Any] = {"S": len(units), "unit": np.array(units)}
    prior = resolved.sparse
    assert prior is not None
    about = JOINT_PRIORS[prior.name]
    if about.in_residuals and not sigma:
        data["residual"] = 1.0 if design.known_sd is None else float(np.sqrt(np.mean(design.known_sd**2)))
    return data | {variable: float(getattr(prior, name)) for variable, name in about.numbers.items()}
