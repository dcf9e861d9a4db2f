r"""One model of an ensemble by Stan: a program written apart from the integrals, its draws, and its evidence.

In the program clusters have their effects, g = (rho tau^2)^(1/2) z with z ~ N(0, 1), and estimates are independent
given them, each divided by its own probability of being seen: nothing is integrated. Its density at draws of NUTS and
at those of a proposal gives the evidence (`chain_models.bridge_sampling`), with the dimensions that the integrals do
not have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.errors import ModelError, OptionError
from mixedfx.meta.averaging.chain_models import bridge_sampling, effective_size, moments
from mixedfx.meta.averaging.given import cells
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.pooled import described
from mixedfx.meta.averaging.solve import sample
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.measure import Array
from mixedfx.priors.bounded import Beta, Uniform
from mixedfx.priors.marginal import Marginal, marginal
from mixedfx.sampling.importance import at_mode

CHAINS = 4
NUMBERS = {Uniform: ("uniform", ("lower", "upper")), Beta: ("beta", ("alpha", "beta"))}

PROGRAM = """data {{
  int<lower=1> k;
  int<lower=0> C;
  int<lower=0> q;
  int<lower=0> J;
  vector[k] y;
  vector[k] v;
  vector[k] x;
  matrix[k, q] M;
  vector[q] sds;
  array[k] int<lower=0, upper=C> cluster;
  matrix[k, J] cuts;
  array[k] int<lower=1, upper=J + 1> cell;
  int<lower=0, upper=1> two_sided;
  real scale;
  real direction;
  vector[J] a;
  vector[J] b;
}}
parameters {{
{parameters}  vector[q] beta;
  vector<lower=0, upper=1>[J] stick;
  vector[C] z;
}}
model {{
{known}  real tau2 = square(scale * tau);
  vector[J + 1] omega;
  omega[1] = 1;
  for (j in 1:J) omega[j + 1] = omega[j] * stick[j];
{priors}  target += normal_lpdf(beta | 0, sds) + beta_lpdf(stick | a, b) + std_normal_lpdf(z);
  for (i in 1:k) {{
    real m = scale * (mu + dot_product(M[i], beta)) + slope * x[i];
    real s = v[i] + tau2;
    if (cluster[i] > 0) {{
      m += sqrt(rho * tau2) * z[cluster[i]];
      s -= rho * tau2;
    }}
    s = sqrt(s);
    target += normal_lpdf(y[i] | m, s);
    if (J > 0) {{
      real A = omega[J + 1];
      for (j in 1:J) {{
        real T = Phi((direction * m - cuts[i, j]) / s);
        if (two_sided) T += Phi((-direction * m - cuts[i, j]) / s);
        A += (omega[j] - omega[j + 1]) * T;
      }}
      target += log(omega[cell[i]]) - log(A);
    }}
  }}
}}
"""


def cross_check(fit: RobmaState, which: int | None, draws: int, seed: int) -> pd.DataFrame:
    """Table behind `RobmaFit.cross_check`."""
    which = int(np.argmax(fit.posterior)) if which is None else which
    if not 0 <= which < len(fit.members):
        raise OptionError(f"model={which!r} is none of {len(fit.members)}", hint="Give its position in fit.models.")
    member = fit.members[which]
    if member.kind == "weights" and member.clustered and fit.mechanism != "conditional":
        raise ModelError(
            f"the mechanism {fit.mechanism!r} has normalisers of whole clusters, which the program does not have",
            hint="Check a model without clusters or weights, or a fit with mechanism='conditional'.",
        )
    text, free = program(member)
    if not free and member.coefficients.size == 0 and member.kind != "weights":
        raise ModelError("the model has no parameter, and nothing is integrated", hint="Check another model.")
    data = _data(fit, member)
    settings = Settings(seed=seed, chains=CHAINS, draws=draws, adapt_delta=0.95, progress=False)
    found = Stanli().sample(text, data, settings, [*free, "beta", "stick", "z"]).variables
    x = _unconstrained(found, free)
    half = x.shape[1] // 2
    target = _Density(text, data)
    bridge = at_mode(*moments(x[:, :half].reshape(-1, x.shape[2])))
    rest = x[:, half:]
    thinned = rest.reshape(-1, x.shape[2])
    value, error = bridge_sampling(target, thinned, bridge, effective_size(rest), np.random.default_rng(seed))
    ours = fit.evidences[which]
    rows = {"log_evidence": [ours.value, ours.error, value, error]}
    at = sample(fit.given, fit.solved[which], 4096)
    for name in free:
        chains = found[name]
        mine = described(getattr(at, name), at.weights, fit.level)[0]
        n = effective_size(chains[:, :, None])
        rows[member.kind if name == "slope" else name] = [
            mine, 0.0, float(chains.mean()), float(chains.std() / np.sqrt(n))
        ]  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "error", "stan", "stan_error"])


class _Density:
    """The log density of the program on its unconstrained scale."""

    def __init__(self, text: str, data: dict[str, Any]) -> None:
        self.text, self.data = text, data

    def log_density(self, x: Array) -> Array:
        """(n,) log densities of (n, d) points."""
        return Stanli().log_density(self.text, self.data, x)


def program(member: Member) -> tuple[str, dict[str, Marginal]]:
    """Text of the program of a model, and the priors of its scalar parameters in order."""
    free: dict[str, Marginal] = {}
    known = ""
    values: dict[str, Marginal | float] = {
        "mu": marginal(member.effect.prior) if member.coefficients.free_mean else member.coefficients.mean.loc,
        "tau": member.tau,
        "rho": member.rho,
        "slope": member.slope or 0.0,
    }
    for name, value in values.items():
        if isinstance(value, Marginal):
            free[name] = value
        else:
            known += f"  real {name} = {float(value)!r};\n"
    parameters = "".join(f"  real{_bounds(prior)} {name};\n" for name, prior in free.items())
    priors = "".join(f"  target += {_density(name, prior)};\n" for name, prior in free.items())
    return PROGRAM.format(parameters=parameters, known=known, priors=priors), free


def _bounds(prior: Marginal) -> str:
    ends = [
        f"{name}={float(end)!r}" for name, end in (("lower", prior.lower), ("upper", prior.upper)) if np.isfinite(end)
    ]
    return f"<{', '.join(ends)}>" if ends else ""


def _density(name: str, prior: Marginal) -> str:
    base = prior.base
    stan, numbers = NUMBERS.get(type(base)) or (base.stan, base.numbers)
    given = ", ".join(repr(float(getattr(base, number))) for number in numbers)
    return f"{stan}_lpdf({name} | {given}) - ({float(np.log(prior.mass))!r})"


def _data(fit: RobmaState, member: Member) -> dict[str, Any]:
    given, k = fit.given, fit.k
    columns = list(member.coefficients.columns)
    cluster = np.zeros(k, dtype=int)
    if member.clustered and given.start is not None:
        many = np.flatnonzero(np.diff(given.start) > 1)
        number = np.zeros(len(given.start) - 1, dtype=int)
        number[many] = np.arange(1, len(many) + 1)
        cluster = number[given.owner]
    J, cuts, cell, sticks, two_sided = 0, np.zeros((k, 0)), np.zeros(k, dtype=int), np.zeros((0, 2)), False
    if member.kind == "weights":
        found = cells(given, member.bias.prior)
        J, cuts, cell, sticks = found.cuts.shape[1], found.cuts, found.cell, member.bias.prior.sticks
        two_sided = found.two_sided
    return {
        "k": k, "C": int(cluster.max()), "q": len(columns), "J": J, "y": given.y, "v": given.v,
        "x": given.bias_column(member.kind), "M": given.M[:, columns], "sds": np.array(member.coefficients.sds),
        "cluster": cluster, "cuts": cuts, "cell": cell + 1, "two_sided": int(two_sided), "scale": given.scale,
        "direction": float(given.sign), "a": sticks[:, 0], "b": sticks[:, 1],
    }  # fmt: skip


def _unconstrained(found: Any, free: dict[str, Marginal]) -> Array:
    """(c, n, d) draws on the scale on which Stan samples."""
    columns = []
    for name, prior in free.items():
        value = found[name]
        low, high = np.isfinite(prior.lower), np.isfinite(prior.upper)
        with np.errstate(divide="ignore"):
            if low and high:
                share = (value - prior.lower) / (prior.upper - prior.lower)
                value = np.log(share) - np.log1p(-share)
            elif low:
                value = np.log(value - prior.lower)
            elif high:
                value = np.log(prior.upper - value)
        columns.append(value[:, :, None])
    stick = found["stick"]
    return np.concatenate([*columns, found["beta"], np.log(stick) - np.log1p(-stick), found["z"]], axis=2)
