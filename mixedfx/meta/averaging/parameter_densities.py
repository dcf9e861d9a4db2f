r"""Prior and posterior of one parameter of an averaged meta-analysis: a density, and probabilities of single values.

Averaged over models a parameter has the mixture sum_m P(m) p_m. A model without it adds P(m) to a point, the value that
it says the parameter has; the others add a density. Priors of mu, tau, rho, PET, PEESE and of coefficients are known;
with cumulative-Dirichlet weights, w_j = 1 - (eta_0 + ... + eta_{j-1}), the prior of w_j is Beta(alpha_j + ... +
alpha_J, alpha_0 + ... + alpha_{j-1}). Probabilities of points are exact before and after the data; the posterior
density is a kernel estimate from the weighted draws of the models that have the parameter, reflected at the ends of its
support, with Silverman's bandwidth (1986, Density Estimation for Statistics and Data Analysis, section 3.4) for the
effective number of draws.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.draws import Key
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import OptionError
from mixedfx.meta.averaging import report
from mixedfx.meta.averaging.members import Member, known_or
from mixedfx.meta.averaging.pooled import interval_of, quantiles
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.measure import Array
from mixedfx.priors.bounded import Beta
from mixedfx.priors.location import Normal
from mixedfx.priors.marginal import Marginal, marginal

POINTS = 801
INNER = 0.8  # of the prior that the axis holds at least, where its parameter has no ends
ATOMS = 512  # points that stand for a prior where its quantiles are asked


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter in every model that speaks of it.

    Attributes
    ----------
    key
        Its name in `RobmaFit.draws`.
    models
        Positions of these models.
    priors
        Prior in each of them, or the value that it has there.
    prior, posterior
        Their probabilities, with sum 1.
    """

    key: Key
    models: tuple[int, ...]
    priors: tuple[Marginal | float, ...]
    prior: Array
    posterior: Array

    @property
    def points(self) -> pd.DataFrame:
        """Values of positive probability: x, prior, posterior."""
        rows = [
            (one, p, q) for one, p, q in zip(self.priors, self.prior, self.posterior, strict=True)
            if not isinstance(one, Marginal)
        ]  # fmt: skip
        table: Any = pd.DataFrame(rows, columns=["x", "prior", "posterior"])
        return table.groupby("x", as_index=False, sort=True).sum()

    def prior_atoms(self) -> tuple[Array, Array]:
        """Values and weights that stand for the prior: its quantiles."""
        inner = (np.arange(ATOMS) + 0.5) / ATOMS
        parts = [one.quantile(inner) if isinstance(one, Marginal) else np.full(ATOMS, one) for one in self.priors]
        return np.concatenate(parts), np.repeat(self.prior / ATOMS, ATOMS)


def find_parameter(fit: RobmaState, name: str, conditional: bool = False) -> Parameter:
    """A parameter by its name in `RobmaFit.estimates`.

    All models speak of it, but of rho those with heterogeneity only; with `conditional` those that have it.

    Raises
    ------
    OptionError
        A name that no parameter has; `conditional` where no model has it.
    """
    known = report.parameters(fit)
    rows = report.estimates(fit, False, None, None).index  # in the order of the parameters
    by_name = dict(zip(rows, known, strict=True))
    if name not in by_name:
        raise OptionError(f"there is no parameter {name!r}", hint=did_you_mean(name, by_name, all_of="Parameters"))
    key = by_name[name]
    present = known[key][1]
    if key == ("rho",):
        present = report.component_flags(fit)["hierarchical"]
    models = [i for i, flag in enumerate(present) if (flag if conditional else flag is not None)]
    if not models:
        raise OptionError(f"no model has the parameter {name!r}", hint="Draw it without conditional=True.")
    chosen = np.array(models)
    with np.errstate(invalid="ignore"):
        after = fit.posterior[chosen] / fit.posterior[chosen].sum()
    before = fit.prior[chosen] / fit.prior[chosen].sum()
    priors = tuple(prior_in(fit, fit.members[i], key) for i in models)
    return Parameter(key, tuple(models), priors, before, np.nan_to_num(after))


def prior_in(fit: RobmaState, member: Member, key: Key) -> Marginal | float:
    """Prior of a parameter in one model, or the value that it has there."""
    if key == ("mu",):
        return known_or(member.effect.prior, -np.inf, np.inf)
    if key == ("tau",):
        return member.tau
    if key == ("rho",):
        return member.rho
    if key[0] in ("PET", "PEESE"):
        return member.slope if member.kind == key[0] and member.slope is not None else 0.0
    if key[0] == "omega":
        return _prior_of_weight(fit, member, key[1])
    j = [moderator.name for moderator in fit.given.moderators].index(key[1])
    moderator, prior = fit.given.moderators[j], member.moderators[j].prior
    if not isinstance(prior, Normal):
        return 0.0
    row = moderator.report[moderator.labels.index(key[2]) if moderator.factor else 0]
    return marginal(Normal(0.0, prior.scale * float(np.linalg.norm(row))))


def _prior_of_weight(fit: RobmaState, member: Member, interval: str) -> Marginal | float:
    if member.kind != "weights":
        return 1.0
    edges = fit.pooled.edges
    names = [f"{low:g},{high:g}" for low, high in itertools.pairwise(edges)]
    j = int(interval_of(member.bias.prior, (edges[1:] + edges[:-1]) / 2)[names.index(interval)])
    alpha = member.bias.prior.alpha
    return marginal(Beta(sum(alpha[j:]), sum(alpha[:j]))) if j else 1.0


def densities(fit: RobmaState, parameter: Parameter) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Curves and spikes as `mixedfx.plots.spike_densities` draws them."""
    spikes = parameter.points
    free = [(i, one, p) for i, one, p in zip(parameter.models, parameter.priors, parameter.prior, strict=True)
            if isinstance(one, Marginal)]  # fmt: skip
    if not free:
        return None, spikes
    at = fit.pooled
    rows = np.isin(at.model, [i for i, _, _ in free])
    values, weights = report.parameters(fit)[parameter.key][0][rows], at.weights[rows]
    share = 1.0 - spikes["posterior"].to_numpy().sum()
    lower, upper = min(one.lower for _, one, _ in free), max(one.upper for _, one, _ in free)
    x = np.linspace(*_shown(values, weights, [one for _, one, _ in free], lower, upper), POINTS)
    inner = np.clip(x, *_inside(lower, upper, x[-1] - x[0]))
    prior = sum(p * np.exp(one.log_density(inner)) for _, one, p in free)
    posterior = share * kernel_density(values, weights, x, lower, upper) if weights.sum() > 0 else np.zeros(POINTS)
    return pd.DataFrame({"x": x, "prior": prior, "posterior": posterior}), spikes if len(spikes) else None


def _shown(values: Array, weights: Array, priors: list[Marginal], lower: float, upper: float) -> tuple[float, float]:
    """What the axis holds: all values there are, or most of the prior and next to all of the posterior."""
    if np.isfinite([lower, upper]).all():
        return lower, upper
    tail = (1 - INNER) / 2
    low, high = min(float(p.quantile(tail)) for p in priors), max(float(p.quantile(1 - tail)) for p in priors)
    if weights.sum() > 0:
        first, last = quantiles(values, weights, (0.001, 0.999))
        low, high = min(low, first - 0.05 * (last - first)), max(high, last + 0.05 * (last - first))
    return (lower if np.isfinite(lower) else low), (upper if np.isfinite(upper) else high)


def _inside(lower: float, upper: float, width: float) -> tuple[float, float]:
    """The support less its ends, where a density may be infinite or nothing over nothing."""
    return lower + 1e-9 * width, upper - 1e-9 * width


def kernel_density(values: Array, weights: Array, x: Array, lower: float = -np.inf, upper: float = np.inf) -> Array:
    """Density of weighted draws at x: normal kernel, what falls beyond the ends of the support reflected.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.averaging.parameter_densities import kernel_density
    >>> even = (np.arange(2000) + 0.5) / 2000
    >>> kernel_density(even, np.full(2000, 1 / 2000), np.array([0.0, 0.5]), 0.0, 1.0).round(2)
    array([1., 1.])
    """
    keep = weights > 0
    values, w = values[keep], weights[keep] / weights[keep].sum()
    sd = float(np.sqrt(w @ (values - w @ values) ** 2))
    first, third = quantiles(values, w, (0.25, 0.75))
    spread = min(sd, (third - first) / 1.349) or sd
    width = 0.9 * (spread or 1e-8) * (1 / (w @ w)) ** -0.2
    near = (values > x[0] - 9 * width) & (values < x[-1] + 9 * width)
    if not near.any():
        return np.zeros(len(x))
    values, w = values[near], w[near]
    # draws go to the bins of a fine grid first: what a kernel a few bins wide makes of them is the same
    step = width / 8
    start = values.min()
    counts = np.bincount(((values - start) / step).astype(np.intp), weights=w)
    used = np.flatnonzero(counts)
    centres, mass = start + (used + 0.5) * step, counts[used]
    total = np.zeros(len(x))
    for at in (centres, *(2 * end - centres for end in (lower, upper) if np.isfinite(end))):
        total += np.exp(-0.5 * ((x[:, None] - at) / width) ** 2) @ mass
    inside = (x >= lower) & (x <= upper)
    return np.where(inside, total / (width * np.sqrt(2 * np.pi)), 0.0)
