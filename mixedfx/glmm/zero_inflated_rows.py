r"""Rows of a zero-inflated model: predictions, draws of means, simulated counts.

A row has two functionals of (beta, u), eta of the counts and zeta = logit pi. Of the mean (1 - pi) mu, log mu = eta,

    d log mean = d eta - pi d zeta,

so that its standard error is that of the linear functional eta - pi zeta, and its interval is on the logarithm. Over
the population of groups the effects of the two parts are independent, and the mean is the product of the means of both
factors: exp(eta + s^2 / 2), and that of 1 - pi by quadrature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, special

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.population import population_covariates, population_variance
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_index
from mixedfx.design.two_designs import fetched
from mixedfx.errors import OptionError, check_flag, check_option
from mixedfx.glmm.rows import auxiliary_draws, dispersion_columns, simulate_responses
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.uncertainty import GlmmUncertain
from mixedfx.glmm.zero_inflated_state import ZeroInflatedState
from mixedfx.glmm.zero_inflation import Both, refuse_separated
from mixedfx.inference.new_predictors import new_predictors
from mixedfx.inference.normal_estimate import new_level_root
from mixedfx.inference.predictor import draw_effects
from mixedfx.inference.profile import quantile
from mixedfx.linalg.quadrature import normal_rule
from mixedfx.linalg.shape import shape_of
from mixedfx.results.undetermined import warn_rows

Array = NDArray[np.float64]

KINDS = ("response", "zero", "conditional")
DRAWS = 1000


def functionals(both: Both, newdata: Any, new_levels: Any) -> tuple[Functional, Functional]:
    """Eta and zeta of rows over (beta, u) of the stacked design."""
    parts = (both.count, both.zero)
    sizes = [(len(d.fixed_names), d.n_random) for d in parts]
    out = []
    for number, design in enumerate(parts):
        own = functional_for(design, newdata, new_levels)
        (p, q), m = sizes[1 - number], len(own)
        fixed, random = [own.fixed, np.zeros((m, p))], [own.random, sparse.csr_array((m, q))]
        if number:
            fixed.reverse()
            random.reverse()
        later = len(both.count.random) if number else 0
        out.append(
            replace(
                own, fixed=np.hstack(fixed), random=sparse.csr_array(sparse.hstack(random, format="csr")),
                new_levels=tuple(replace(new, term=new.term + later) for new in own.new_levels),
            )
        )  # fmt: skip
    return out[0], out[1]


def _values(solution: GlmmSolution, rows: Functional, seed: int | None) -> Array:
    """(m,) values at the estimates; unseen levels that have columns are drawn."""
    found = rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset
    if rows.new_levels:
        root = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, 1.0))
        found = found + root @ np.random.default_rng(seed).standard_normal(shape_of(root)[1])
    return np.asarray(found)


def predict(
    fit: ZeroInflatedState, newdata: Any, new_levels: Any, groups: str, kind: str, se: bool, level: float,
    seed: int | None,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predicted means; see `mixedfx.glmm.zero_inflated_fit.ZeroInflatedFit.predict`."""
    check_option("kind", kind, KINDS)
    check_option("groups", groups, ("fitted", "average", "integrate"))
    check_flag("se", se)
    z = quantile(level)
    both, solution = fit.both, fit.solution
    frame = _fetched(both, newdata)
    eta, zeta = functionals(both, frame, new_levels if groups == "fitted" else "population")
    for design, rows in ((both.count, eta), (both.zero, zeta)):
        warn_rows(design, rows.null)
    used = {"response": (eta, zeta), "zero": (zeta,), "conditional": (eta,)}[kind]
    known = np.logical_and.reduce([rows.estimable for rows in used])
    if groups != "fitted":
        eta, zeta = eta.without_random(), zeta.without_random()
    if groups == "integrate":
        if se:
            raise OptionError(
                "standard errors of means over the population of groups are not known of a zero-inflated model",
                hint="Ask groups='average', or mx.effects, whose estimates are averages over draws.",
            )
        found: Any = _over_population(both, solution, frame, eta, zeta, kind)
    elif se:
        found = _table(fit.uncertain, eta, zeta, kind, z)
    else:
        mu, pi = np.exp(_values(solution, eta, seed)), special.expit(_values(solution, zeta, seed))
        found = {"response": mu * (1.0 - pi), "zero": pi, "conditional": mu}[kind]
    values: Any = pd.DataFrame(found) if se else pd.Series(found, name="predicted")
    values[~known] = np.nan
    index = row_index(both.count, newdata, len(eta))
    return values if index is None else values.set_axis(index, axis=0)


def _fetched(both: Both, newdata: Any) -> pd.DataFrame | None:
    """The columns of new data that either part reads; None for the rows of the fit."""
    return None if newdata is None else fetched(both.count, both.zero, newdata)


def _table(uncertain: GlmmUncertain, eta: Functional, zeta: Functional, kind: str, z: float) -> dict[str, Array]:
    """Estimate, se and ends, that theta is estimated included."""
    solution = uncertain.solution
    at, logit = (rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset for rows in (eta, zeta))
    pi = special.expit(logit)
    if kind == "zero":
        sd = _sd(uncertain, zeta)
        return {
            "estimate": pi, "se": sd * pi * (1.0 - pi), "lower": special.expit(logit - z * sd),
            "upper": special.expit(logit + z * sd),
        }  # fmt: skip
    rows, mean = eta, np.exp(at)
    if kind == "response":
        widths = [term.n_columns for term in uncertain.design.random]
        moved = replace(zeta, null=None).combine(sparse.diags_array(-pi))
        rows = Functional.total([replace(eta, null=None), moved], widths, eta.unseen, ())
        mean = mean * (1.0 - pi)
    sd = _sd(uncertain, rows)
    return {"estimate": mean, "se": mean * sd, "lower": mean * np.exp(-z * sd), "upper": mean * np.exp(z * sd)}


def _sd(uncertain: GlmmUncertain, rows: Functional) -> Array:
    """(m,) standard errors, that theta is estimated included."""
    if uncertain.design.random:
        return uncertain.full(replace(rows, null=None)).sd
    return np.sqrt(uncertain.given_theta(replace(rows, null=None)).variances)


def _over_population(
    both: Both, solution: GlmmSolution, frame: pd.DataFrame | None, eta: Functional, zeta: Functional, kind: str
) -> Array:  # fmt: skip
    """Means over the population of groups."""
    first = len(both.count.random)
    spread = [
        _variance(design, solution.factors[at], frame)
        for design, at in ((both.count, slice(0, first)), (both.zero, slice(first, None)))
    ]
    mean = np.exp(_values(solution, eta, None) + spread[0] / 2.0)
    sd, logit, pi = np.sqrt(spread[1]), _values(solution, zeta, None), 0.0
    for node, weight in zip(*normal_rule(float(sd.max(initial=0.0))), strict=True):
        pi = pi + weight * special.expit(logit + sd * node)
    pi = np.asarray(pi)
    return {"response": mean * (1.0 - pi), "zero": pi, "conditional": mean}[kind]


def _variance(design: Design, factors: tuple[Array, ...], frame: pd.DataFrame | None) -> Array:
    """(m,) variances of the random part of rows."""
    z = population_covariates(design, design.frame if frame is None else frame)
    return population_variance(tuple(factor[None] for factor in factors), z)[0]


def mean_draws(fit: ZeroInflatedState, frame: pd.DataFrame) -> Array:
    """(D, m) joint draws of the means of rows, groups that the fit has not seen as average ones."""
    refuse_separated(fit.both, fit.solution, "means cannot be drawn")
    sample = fit.uncertain.sample(DRAWS, np.random.default_rng(0), "full")
    eta, zeta = (
        sample.beta @ rows.fixed.T + (rows.random @ sample.u.T).T + rows.offset
        for rows in functionals(fit.both, frame, "population")
    )
    return np.exp(np.minimum(eta, 700.0)) * special.expit(-zeta)


def simulated(fit: ZeroInflatedState, n: int, rng: np.random.Generator, use_u: bool) -> Array:
    """(n, rows) new counts."""
    solution = fit.solution
    return simulate_responses(solution.design, solution, n, rng, use_u)[:, : len(fit.both.count.y)]


def simulated_anew(
    fit: ZeroInflatedState, n: int, rng: np.random.Generator, use_u: bool, newdata: Any
) -> pd.DataFrame:  # fmt: skip
    """(rows, n) new counts of new rows; groups that the fit has not seen get effects from their population."""
    both, solution = fit.both, fit.solution
    frame = fetched(both.count, both.zero, newdata)
    u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(solution.design, solution.factors, 1.0, n, rng)
    p, q, first = both.count.X.shape[1], both.count.n_random, len(both.count.random)
    parts = (
        (both.count, solution.beta[:p], u[:, :q], solution.factors[:first]),
        (both.zero, solution.beta[p:], u[:, q:], solution.factors[first:]),
    )
    eta = [new_predictors(design, frame, beta, own, factors, 1.0, rng) for design, beta, own, factors in parts]
    auxiliary = auxiliary_draws(solution, n, dispersion_columns(both.count, frame))
    drawn = solution.model.family.draw(rng, np.stack(eta, axis=-1), auxiliary)
    return pd.DataFrame(drawn.T, index=frame.index)
