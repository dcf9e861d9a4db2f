r"""The models of subgroup effects that are reported with their standard errors: what each believes of the effects.

The G reported estimates are y ~ N(theta, V), V known; subgroups are cells of a crossing of covariates. A model says
theta = B beta with independent beta_j ~ N(m_j, d_j^2), where d_j is a number of the prior or one of a few scales omega
that have a prior themselves. With tau ~ N(., .) the overall effect, h(g) the coded levels of subgroup g:

======================  ==========================================================  ==========================
homogeneous             theta_g = tau                                               no scale
stratified              theta_g ~ N(., .), independent                              no scale
regression              theta_g = tau + h_1(g)'gamma, gamma_j ~ N(., .)             no scale
shrinkage               theta_g = tau + phi_g, phi_g ~ N(0, omega^2)                omega
regression_shrinkage    theta_g = tau + h_1(g)'gamma + phi_g                        omega of phi
dixon_simon             theta_g = tau + h_1(g)'gamma, gamma_j ~ N(0, omega^2)       omega
extended_dixon_simon    theta_g = tau + sum_k h_k(g)'gamma_k, k = 1 ... K           omega_k for each order
======================  ==========================================================  ==========================

h_1 holds the main effects, h_k the products of k of them. Jones, Ohlssen, Neuenschwander, Racine & Branson (2011),
Clinical Trials 8:129, compare these models but for the fifth, which is that of Wang, Louis, Henderson, Weiss & Varadhan
(2018), Journal of Statistical Software 85(7); the sixth is due to Dixon & Simon (1991), Biometrics 47:871.

**Coding.** A factor of L levels has L - 1 columns with rows c_l such that |c_l - c_m| = 1 for any two levels and
sum c_l = 0. So under gamma ~ N(0, omega^2 I) the difference of any two levels has the standard deviation omega, the
difference of differences of two factors too, and so on: whichever level is named first, and however many there are.
For two levels that is -1/2 and 1/2, and gamma the difference itself, as under indicators of the second level. With
indicators (``coding="treatment"``) the reference level is a part of the prior: with products the cell of all
non-reference levels has by far the widest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import column
from mixedfx.errors import OptionError
from mixedfx.priors.distributions import Positive
from mixedfx.priors.location import Normal

Array = NDArray[np.float64]

AVERAGED = "averaged"
"""What stands in the place of a model's name for all of them."""
CODINGS = ("symmetric", "treatment")
MOST_ORDERS = 3  # scales that are integrated over together


@dataclass(frozen=True)
class SubgroupPriors:
    """Priors in the units of the estimates.

    Attributes
    ----------
    overall
        Of tau.
    stratum
        Of each effect of the stratified model.
    coef
        Of each coefficient of the regressions.
    sd
        Of the scale of `shrinkage`, and of every other scale that has none of its own.
    orders
        Order -> prior of the scale of the coefficients of that order.
    """

    overall: Normal
    stratum: Normal
    coef: Normal
    sd: Positive
    orders: Mapping[int, Positive]

    def scaled(self, factor: float) -> SubgroupPriors:
        """The same priors, `factor` times as wide; means of normal ones stay."""
        return SubgroupPriors(
            self.overall.rescaled(factor),
            self.stratum.rescaled(factor),
            self.coef.rescaled(factor),
            self.sd.rescaled(factor),
            {order: prior.rescaled(factor) for order, prior in self.orders.items()},
        )

    def of_order(self, order: int) -> Positive:
        """Prior of the scale of the coefficients of an order."""
        return self.orders.get(order, self.sd)


@dataclass(frozen=True, eq=False)
class Cells:
    """The subgroups.

    Attributes
    ----------
    levels
        (G, c) covariates, one row for each subgroup.
    coding
        One of `CODINGS`.
    order
        Highest order of products.
    """

    levels: pd.DataFrame
    coding: str
    order: int

    def __len__(self) -> int:
        return len(self.levels)

    def main(self, name: str) -> Array:
        """(G, L - 1) coded levels of a covariate."""
        values = column(self.levels, name)
        if isinstance(values.dtype, pd.CategoricalDtype):  # in the order of the categories
            codes, known = pd.factorize(values.cat.codes, sort=True)
        else:
            codes, known = pd.factorize(values)
        return code_levels(len(known), self.coding)[codes]

    def products(self, order: int) -> Array:
        """(G, .) products of `order` covariates, all choices of these side by side."""
        parts = []
        for chosen in combinations(self.levels.columns, order):
            block = np.ones((len(self), 1))
            for name in chosen:
                block = (block[:, :, None] * self.main(str(name))[:, None, :]).reshape(len(self), -1)
            parts.append(block)
        return np.hstack(parts)


@dataclass(frozen=True, eq=False)
class SubgroupModel:
    """theta = B beta, beta_j normal with a standard deviation that is known, or one of the scales.

    Attributes
    ----------
    name
        As users write it.
    basis
        (G, p) B.
    loc
        (p,) prior means of beta.
    sd
        (p,) prior standard deviations of beta, NaN where these are a scale.
    scale
        (p,) which scale, -1 where the standard deviation is known.
    scales
        Names of the d scales.
    scale_priors
        Their priors.
    """

    name: str
    basis: Array
    loc: Array
    sd: Array
    scale: NDArray[np.intp]
    scales: tuple[str, ...]
    scale_priors: tuple[Positive, ...]

    def roots(self, scales: Array) -> Array:
        """(m, p) prior standard deviations of beta at (m, d) scales."""
        known = np.broadcast_to(self.sd, (len(scales), len(self.sd)))
        if not self.scales:
            return known
        return np.where(self.scale < 0, known, scales[:, np.maximum(self.scale, 0)])


def code_levels(count: int, coding: str) -> Array:
    """(L, L - 1) coding of a factor.

    Examples
    --------
    >>> from mixedfx.meta.subgroups.models import code_levels
    >>> code_levels(2, "symmetric").ravel().tolist()
    [-0.5, 0.5]
    """
    if coding == "treatment":
        return np.eye(count)[:, 1:]
    # Helmert's contrasts, their columns of length sqrt(1/2): rows of the projection I - 11'/L, at distance 1
    out = np.zeros((count, count - 1))
    for j in range(1, count):
        out[:j, j - 1], out[j, j - 1] = -1.0, float(j)
        out[:, j - 1] /= np.sqrt(2.0 * j * (j + 1))
    return out


def _model(
    name: str, parts: Sequence[tuple[Array, Normal | int]], scales: Sequence[tuple[str, Positive]] = ()
) -> SubgroupModel:
    """A model of blocks of columns, each with a normal prior or the number of a scale."""
    loc, sd, scale = [], [], []
    for block, prior in parts:
        p = block.shape[1]
        known = isinstance(prior, Normal)
        loc.append(np.full(p, prior.loc if isinstance(prior, Normal) else 0.0))
        sd.append(np.full(p, prior.scale if isinstance(prior, Normal) else np.nan))
        scale.append(np.full(p, -1 if known else prior, dtype=np.intp))
    return SubgroupModel(
        name,
        np.hstack([block for block, _ in parts]),
        np.concatenate(loc),
        np.concatenate(sd),
        np.concatenate(scale),
        tuple(text for text, _ in scales),
        tuple(prior for _, prior in scales),
    )


def _one(cells: Cells) -> Array:
    return np.ones((len(cells), 1))


def _homogeneous(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    return _model("homogeneous", [(_one(cells), priors.overall)])


def _stratified(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    return _model("stratified", [(np.eye(len(cells)), priors.stratum)])


def _regression(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    return _model("regression", [(_one(cells), priors.overall), (cells.products(1), priors.coef)])


def _shrinkage(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    parts = [(_one(cells), priors.overall), (np.eye(len(cells)), 0)]
    return _model("shrinkage", parts, [("subgroups", priors.sd)])


def _regression_shrinkage(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    parts = [(_one(cells), priors.overall), (cells.products(1), priors.coef), (np.eye(len(cells)), 0)]
    return _model("regression_shrinkage", parts, [("subgroups", priors.sd)])


def _dixon_simon(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    parts = [(_one(cells), priors.overall), (cells.products(1), 0)]
    return _model("dixon_simon", parts, [("order 1", priors.of_order(1))])


def _extended_dixon_simon(cells: Cells, priors: SubgroupPriors) -> SubgroupModel:
    orders = range(1, cells.order + 1)
    parts = [(_one(cells), priors.overall), *((cells.products(k), k - 1) for k in orders)]
    return _model("extended_dixon_simon", parts, [(f"order {k}", priors.of_order(k)) for k in orders])


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes
    ----------
    build
        Cells and priors -> the model.
    title
        In words.
    jones
        Whether it is one of the six of Jones et al. (2011), which are compared where none are named.
    least
        Covariates it needs, to be another model than those before.
    """

    build: Callable[[Cells, SubgroupPriors], SubgroupModel]
    title: str
    jones: bool = True
    least: int = 1


MODELS: dict[str, Kind] = {
    "homogeneous": Kind(_homogeneous, "no subgroup effect"),
    "stratified": Kind(_stratified, "full stratification"),
    "regression": Kind(_regression, "simple regression"),
    "shrinkage": Kind(_shrinkage, "basic shrinkage"),
    "regression_shrinkage": Kind(_regression_shrinkage, "regression and shrinkage", jones=False),
    "dixon_simon": Kind(_dixon_simon, "Dixon-Simon"),
    "extended_dixon_simon": Kind(_extended_dixon_simon, "extended Dixon-Simon", least=2),
}
"""Name -> kind of model. A new one is one entry, and a row of the table above and of `subgroup_effects`."""


def chosen_models(models: str | Sequence[str] | None, cells: Cells) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the models to compare, and notes on those left out.

    Raises
    ------
    OptionError
        An unknown name, one named twice, or a model that these covariates do not tell from another.
    """
    several = cells.order
    if models is None or (isinstance(models, str) and models == "all"):
        wanted = [name for name, kind in MODELS.items() if kind.jones or models == "all"]
        left = [name for name in wanted if MODELS[name].least > several]
        notes = tuple(f"{name} is left out: without products of covariates it is dixon_simon." for name in left)
        return tuple(name for name in wanted if name not in left), notes
    names = (models,) if isinstance(models, str) else tuple(models)
    for name in names:
        if name not in MODELS:
            raise OptionError(f"models: {name!r} is not known", hint=f"Use {', '.join(map(repr, MODELS))}, or 'all'.")
        if MODELS[name].least > several:
            raise OptionError(
                f"models: {name!r} without products of covariates is 'dixon_simon'",
                hint="Leave it out, or give two covariates or more and order=2 or higher.",
            )
    if not names or len(set(names)) < len(names):
        raise OptionError(f"models={models!r} names no model, or one twice", hint="Name each model once.")
    return names, ()
