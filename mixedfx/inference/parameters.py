"""The parameters of a mixed model as a user names them: standard deviations, correlations, sigma, coefficients.

They come in lme4's order: for each random term the columns one after the other, each sd followed by its correlations
with the columns behind it; then sigma; then the fixed effects. An sd or a correlation is a function of (theta, sigma),

    sd_i = sigma |T_i|,    cor_ij = T_i'T_j / (|T_i| |T_j|),    T_i the i-th row of the term's factor T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.components import Component
from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.pls.problem import Problem
from mixedfx.results.tables import term_names

Vector = NDArray[np.float64]
Kind = Literal["sd", "cor", "sigma", "auxiliary", "beta"]
Names = Literal["tidy", "lme4"]
VARIANCES = ("sd", "cor", "sigma", "auxiliary")
GROUPS = {"fixed": ("beta",), "ran_pars": VARIANCES, "beta_": ("beta",), "theta_": VARIANCES}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes
    ----------
    kind
        ``"sd"``, ``"cor"``, ``"sigma"``, ``"auxiliary"`` (another parameter of the family) or ``"beta"``.
    group
        Name of the random term; ``"Residual"`` for sigma and the family's parameters, ``""`` for a coefficient.
    term
        Label in a tidy table: ``sd__x``, ``cor__Intercept.x``, ``sd__Observation``, ``shape``, the coefficient.
    lme4
        The name lme4 gives it: ``sd_x|g``, ``cor_x.(Intercept)|g``, ``sigma``, ``(Intercept)``.
    position
        Random term, coefficient, or parameter of the family; -1 for sigma of a linear model.
    component
        Of a random term's covariance; None for sigma and coefficients.
    """

    kind: Kind
    group: str
    term: str
    lme4: str
    position: int
    component: Component | None = None

    @property
    def label(self) -> str:
        """One name for both parts: ``sd__x|g``, ``sigma``, or the coefficient."""
        own = {"beta": self.term, "auxiliary": self.term, "sigma": "sigma"}
        return own.get(self.kind, f"{self.term}|{self.group}")


def _r_name(name: str) -> str:
    """Coefficients as R writes them: ``race[White]:x`` becomes ``raceWhite:x``."""
    return "(Intercept)" if name == "Intercept" else name.replace("[", "").replace("]", "")


def parameters_of(design: Design, auxiliary: Sequence[str] | None = None) -> tuple[Parameter, ...]:
    """Every parameter of a design, in lme4's order.

    Parameters
    ----------
    design
        What was fitted.
    auxiliary
        Estimated parameters of the family besides the mean; None for a linear model, whose sigma is one where it is
        not known.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.parameters import parameters_of
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> [p.lme4 for p in parameters_of(fit.design)][:3]
    ['sd_(Intercept)|professor', 'sigma', '(Intercept)']
    """
    out: list[Parameter] = []
    for t, (name, term) in enumerate(zip(term_names(design.random), design.random, strict=True)):
        for component in term.covariance.components:
            of = component.names(term.columns, term.shared)
            lme4 = f"{component.kind}_{'.'.join(_r_name(c) for c in reversed(of))}|{name}"
            out.append(Parameter(component.kind, name, f"{component.kind}__{'.'.join(of)}", lme4, t, component))
    if auxiliary is None and design.sigma is None:
        out.append(Parameter("sigma", "Residual", "sd__Observation", "sigma", -1))
    for i, name in enumerate(auxiliary or ()):
        kind, term = ("sigma", "sd__Observation") if name == "sigma" else ("auxiliary", name)
        out.append(Parameter(kind, "Residual", term, name, i))
    out += [Parameter("beta", "", name, _r_name(name), b) for b, name in enumerate(design.fixed_names)]
    return tuple(out)


def choose(parameters: Sequence[Parameter], parm: str | Sequence[str] | None) -> tuple[Parameter, ...]:
    """The parameters asked for, in their own order.

    Parameters
    ----------
    parameters
        Those there are.
    parm
        None: all. ``"fixed"`` (lme4: ``"beta_"``) or ``"ran_pars"`` (``"theta_"``): a group of them. Else one name or
        several: a coefficient, ``sd__x|g``, ``sigma``, or lme4's name; ``sd__x`` where that names one only.

    Raises
    ------
    OptionError
        A name that is none of theirs, or stands for several.
    """
    if parm is None:
        return tuple(parameters)
    if isinstance(parm, str) and parm in GROUPS:
        return tuple(p for p in parameters if p.kind in GROUPS[parm])
    wanted: set[Parameter] = set()
    for name in [parm] if isinstance(parm, str) else parm:
        found = [p for p in parameters if name in (p.label, p.lme4)] or [p for p in parameters if name == p.term]
        if len(found) != 1:
            what = "is not a parameter of this model" if not found else "names several parameters"
            raise OptionError(
                f"parm={name!r} {what}",
                hint=f"Use 'fixed', 'ran_pars', or some of {', '.join(repr(p.label) for p in parameters)}.",
            )
        wanted.add(found[0])
    return tuple(p for p in parameters if p in wanted)


def values_of(
    design: Design, parameters: Sequence[Parameter], beta: Vector, theta: Vector, sigma: Vector,
    auxiliary: Mapping[str, Vector] | None = None,
) -> Vector:  # fmt: skip
    """(B, m) values of m parameters for B estimates beta (B, p), theta (B, r), sigma (B,).

    `sigma` is the unit of the standard deviations of random effects, and the value of that name unless `auxiliary` has
    one: (B,) estimates of the family's parameters. A correlation is NaN where one of its standard deviations is zero.
    """
    out = np.empty((len(sigma), len(parameters)))
    factors = factors_of(design, theta)
    for c, parameter in enumerate(parameters):
        if parameter.kind == "beta":
            out[:, c] = beta[:, parameter.position]
        elif auxiliary is not None and parameter.kind in ("sigma", "auxiliary"):
            out[:, c] = auxiliary[parameter.lme4]
        elif parameter.kind == "sigma":
            out[:, c] = sigma
        else:
            assert parameter.component is not None
            value = parameter.component.value(factors[parameter.position])
            out[:, c] = sigma * value if parameter.kind == "sd" else value
    return out


def factors_of(design: Design, theta: Vector) -> list[Vector]:
    """(..., k, k) relative factor T of each random term at theta (..., r)."""
    out, at = [], 0
    for term in design.random:
        structure = term.covariance
        out.append(structure.factor_at(theta[..., at : at + structure.n_parameters]))
        at += structure.n_parameters
    return out


def singular_rows(problem: Problem, theta: Vector, tolerance: float = 1e-4) -> NDArray[np.bool_]:
    """(B,) whether a variance is zero or a correlation is one at theta (B, r).

    lme4's rule, a diagonal entry of T below 1e-4, for the columns the engine uses: orthogonal and of unit mean square,
    so that neither the location nor the unit of a covariate matters (`mixedfx.pls.basis`).
    """
    return problem.on_boundary(problem.parameters(theta), tolerance)


def interval_frame(
    parameters: Sequence[Parameter], estimate: Vector, low: Vector, high: Vector, level: float, names: Names
) -> pd.DataFrame:
    """Intervals as a table.

    Returns
    -------
    DataFrame
        group, term, estimate, conf_low, conf_high; with ``names="lme4"`` lme4's row names and its columns ``2.5 %``
        and ``97.5 %``.
    """
    if names == "lme4":
        heads = [f"{100 * q:.3g} %" for q in ((1 - level) / 2, (1 + level) / 2)]
        return pd.DataFrame(dict(zip(heads, (low, high), strict=True)), index=[p.lme4 for p in parameters])
    columns = {
        "group": [p.group for p in parameters],
        "term": [p.term for p in parameters],
        "estimate": estimate,
        "conf_low": low,
        "conf_high": high,
    }
    table = pd.DataFrame(columns)
    table.attrs["level"] = level
    return table
