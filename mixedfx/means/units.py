"""Marginal means in the units of a variable: through the inverse of a link, and of a transformation of the response.

A mean on the scale of the linear predictor is taken through the inverse, ends of intervals as they are, the standard
error times its derivative (the delta method); tests stay those of the linear predictor. A difference does not pass
through an inverse. Of logarithms it is a ratio of means, exp(difference), of logits an odds ratio, under a shift and a
factor a difference again; any other stays on the scale of the model, and a note says so.

With ``bias_adjust=True`` a mean is that of a response drawn from the population, E g(eta + s x): s^2 is the population
variance of the random effects and, where residuals are on the scale of the linear predictor, theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.backtransform import Unknown, read_transformation
from mixedfx.design.population import population_covariates, population_variance
from mixedfx.design.transforms import CURVES, Affine, Curve, Transformation, argument_of
from mixedfx.errors import OptionError
from mixedfx.families.family import Family
from mixedfx.means.reference_grid import ReferenceGrid
from mixedfx.results.protocol import Fit

Array = NDArray[np.float64]
LEAVE_OUT = "Leave bias_adjust out."


@dataclass(frozen=True, eq=False)
class Units:
    """How s means or contrasts on the scale of the linear predictor read in the units of a variable.

    Attributes
    ----------
    curve
        Whose inverse the values are.
    variable
        What they are about.
    quantity
        Name of their column: ``"response"``, ``"ratio"``, ``"odds_ratio"``, ``"estimate"``.
    note
        How to read them.
    contrasts
        How contrasts of them read; None for the scale of the linear predictor.
    variance
        (D, s) variance over which means are taken; None where none is.
    """

    curve: Transformation
    variable: str
    quantity: str
    note: str
    contrasts: Units | None = None
    variance: Array | None = None

    @property
    def ratio(self) -> bool:
        """Whether the values are ratios."""
        return self.quantity in ("ratio", "odds_ratio")

    def value(self, eta: Array) -> Array:
        """(s,) or (D, s) values."""
        if self.variance is None:
            return self.curve.inverse(eta)
        return self.curve.mean(eta, np.sqrt(self._variance(eta)))

    def slope(self, eta: Array) -> Array:
        """(s,) derivatives of the values."""
        if self.variance is None:
            return self.curve.slope(eta)
        return self.curve.mean_slope(eta, np.sqrt(self._variance(eta)))

    def argument(self, value: float | None) -> float:
        """Where the value is a number that a test is about; where None, 0 if that is a shift and a factor away.

        Raises
        ------
        OptionError
            For adjusted means, and where no mean can have this value.
        """
        if value is None and self.curve.affine is None:
            return 0.0
        value = 0.0 if value is None else value
        if self.variance is not None:
            raise OptionError(
                "null= of adjusted means has no counterpart on the scale of the linear predictor",
                hint="Test the means without bias_adjust.",
            )
        found = argument_of(self.curve, value)
        if np.isnan(found):
            raise OptionError(f"null={value!r} is no value that {self.variable} can have")
        return found

    def of_contrasts(self, K: sparse.csr_array) -> Units | None:
        """Units of linear combinations of these rows; None for the scale of the linear predictor."""
        sums = np.asarray(K.sum(axis=1))
        return None if self.quantity == "response" and np.any(np.abs(sums) > 1e-8) else self.contrasts

    def _variance(self, eta: Array) -> Array:
        assert self.variance is not None
        return self.variance if eta.ndim == 2 else self.variance.mean(axis=0)


def units_of(fit: Fit, grid: ReferenceGrid, W: sparse.csr_array, bias_adjust: bool) -> Units | None:
    """Units of marginal means; None where the response is the linear predictor.

    Parameters
    ----------
    fit
        Any fit.
    grid
        The m points of the reference grid.
    W
        (s, m) weights of the points in each mean.
    bias_adjust
        Whether means of single responses are wanted.

    Raises
    ------
    OptionError
        A response that cannot be given in other units, or means that do not exist.
    """
    family = fit.family
    if family.categories:
        raise OptionError(
            f"a mean on the scale of a {family.name} response is a probability of each category",
            hint="Ask mx.poststratify, or fit.predict.",
        )
    if not family.mean_is_inverse_link and not family.log_scale:
        raise OptionError(
            f"the mean of a {family.name} response is not its linear predictor taken back",
            hint='Ask with scale="link", or mx.effects and fit.predict, which know the mean.',
        )
    name = fit.design.response_name
    found = read_transformation(fit.design, family)
    if isinstance(found, Unknown):
        raise OptionError(
            f"the response {found.text} cannot be taken back to the scale of a variable: {found.reason}",
            hint='Ask with scale="link".',
        )
    link = _of_link(family)
    steps = (*((link,) if link is not None else ()), *(found.steps if found is not None else ()))
    if not steps:
        return None
    whole = Transformation(name, name if found is None else found.variable, steps)
    scale = name
    if link is not None:
        own = "inverse" if link.name == "reciprocal" else link.name
        scale = f"the linear predictor ({own})" if found is None else f"{own}({name})"
    kind = "means" if whole.affine is not None or link is not None else f"{whole.kind}s"
    note, variance = f"{kind} of {whole.variable}, taken back from {scale}", None
    if bias_adjust and whole.affine is None:
        residual = link is None or _lognormal(family)
        variance = _variance(fit, grid, W, whole, residual=residual)
        over = " and ".join(["groups"] * bool(fit.design.random) + ["residuals"] * residual)
        weight = " (of a row of weight 1)" if residual and fit.design.weights is not None else ""
        note = f"arithmetic means of {whole.variable} over {over}{weight}, taken back from {scale}"
    return Units(whole, whole.variable, "response", note, _contrasts(whole, kind), variance)


def _contrasts(whole: Transformation, kind: str) -> Units | None:
    """How differences of what is taken back read."""
    variable = whole.variable
    if whole.affine is not None:
        scaled = Transformation("", variable, (Affine(0.0, whole.affine.factor),))
        own = Units(scaled, variable, "estimate", f"differences of means of {variable}")
        return replace(own, contrasts=own)
    rate, quantity = (whole.rate, "ratio") if whole.rate is not None else (whole.odds, "odds_ratio")
    if rate is None:
        return None
    curve = Transformation("", variable, (Affine(0.0, rate), CURVES["log"]))
    words = f"ratios of {kind} of {variable}" if quantity == "ratio" else f"odds ratios of {variable}"
    own = Units(curve, variable, quantity, words)
    return replace(own, contrasts=own)


def _variance(fit: Any, grid: ReferenceGrid, W: sparse.csr_array, whole: Transformation, *, residual: bool) -> Array:
    """(D, s) variance of a response drawn from the population around each mean."""
    design, family = fit.design, fit.family
    reason = None
    if not whole.has_mean:
        reason = f"under a normal distribution on the scale of the model, {whole.variable} has no mean"
    elif residual and not (family.normal or family.log_scale):
        reason = f"means behind a transformed response are known for gaussian residuals, not for {family.name}"
    elif residual and design.known_sd is not None:
        reason = "se(...) is the error of each row's own estimate, and no part of what varies in the population"
    if reason is not None:
        raise OptionError(reason, hint=LEAVE_OUT)
    total: Array = np.zeros((1, len(grid.frame)))
    if design.random:
        z = population_covariates(design, grid.with_left_sides())
        total = total + population_variance(fit.covariance_factors, z)
    if residual:
        # A fit by REML or ML has one value of sigma, a posterior its draws.
        sigma = np.ravel(fit.draws()[("sigma",)]) if fit.posterior else fit.sigma
        total = total + np.atleast_1d(sigma)[:, None] ** 2
    return np.asarray((W @ total.T).T)


def _of_link(family: Family | None) -> Curve | None:
    """The link of a family as a curve; None for the identity."""
    if family is None or family.identity:
        return None
    if _lognormal(family):
        return CURVES["log"]
    name = family.link.name
    return None if name == "identity" else CURVES["reciprocal" if name == "inverse" else name]


def _lognormal(family: Family | None) -> bool:
    return family is not None and family.log_scale
