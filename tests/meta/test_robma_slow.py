"""Calibration of averaged meta-analyses: data sets drawn from the ensemble's own prior, ten minutes long.

Each data set has 20 estimates in clusters of one to five. A model is drawn by its prior probability, its parameters
from their priors, and estimates as the mechanism "conditional" has them: a cluster's effect first, then estimate after
estimate, each made anew until it is seen; a cluster of one is made anew as a whole. Then of the data sets to which the
fit gives a component the probability q a share q has it, and the posterior probability below the true value of a
parameter, given that the component is there, is uniform.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.meta.averaging.pooled import interval_of
from mixedfx.priors.marginal import marginal

SETS, K = 300, 20


def seen(rng, mean, sd, se, bias):
    """One estimate of N(mean, sd^2), selected by its p value: the interval first, then the estimate in it."""
    if bias is None:
        return rng.normal(mean, sd)
    weights, omega = bias
    steps = np.array(weights.steps)
    tails = np.concatenate([steps / 2, 1 - steps[::-1] / 2]) if weights.two_sided else steps
    edges = np.concatenate([[0.0], tails, [1.0]])
    cuts = -special.ndtri(edges) * se  # falling: from plus to minus infinity
    above = special.ndtr((mean - cuts) / sd)
    own = omega[interval_of(weights, (edges[1:] + edges[:-1]) / 2)]
    mass = own * np.diff(above)
    if not mass.sum() > 0:
        mass = own * (np.arange(len(own)) == len(own) - 1) + 1e-300
    cell = rng.choice(len(mass), p=mass / mass.sum())
    return stats.truncnorm.rvs((cuts[cell + 1] - mean) / sd, (cuts[cell] - mean) / sd, mean, sd, random_state=rng)


def simulated(ensemble, seed):
    """A data set, and the truth behind it."""
    rng = np.random.default_rng(seed)
    pick = lambda options: rng.choice(np.array(options, dtype=object), p=_shares(options))  # noqa: E731
    draw = lambda prior, low=-np.inf, high=np.inf: float(marginal(prior, low, high).quantile(rng.random()))  # noqa: E731
    effect, tau_option, bias_option = pick(ensemble.effect), pick(ensemble.heterogeneity), pick(ensemble.bias)
    truth = {
        "effect": not effect.null, "heterogeneity": not tau_option.null, "bias": not bias_option.null,
        "mu": 0.0 if effect.null else draw(effect.prior),
        "tau": 0.0 if tau_option.null else draw(tau_option.prior, 0.0),
        "rho": draw(ensemble.hierarchical[0].prior, 0.0, 1.0),
    }  # fmt: skip
    bias, line = None, (0.0, 0.0)
    kind = type(bias_option.prior).__name__
    if kind == "Weights":
        sticks = [rng.beta(a, b) for a, b in bias_option.prior.sticks]
        bias = bias_option.prior, np.concatenate([[1.0], np.cumprod(sticks)])
    elif kind in ("PET", "PEESE"):
        b = draw(bias_option.prior.prior, 0.0)
        line = (b, 0.0) if kind == "PET" else (0.0, b)
    se = rng.uniform(0.08, 0.4, K)
    lab = np.repeat(np.arange(K), rng.integers(1, 6, K))[:K]
    y = np.empty(K)
    shared, within = truth["rho"] * truth["tau"] ** 2, (1 - truth["rho"]) * truth["tau"] ** 2
    for c in np.unique(lab):
        rows = np.flatnonzero(lab == c)
        g = rng.normal(0, np.sqrt(shared)) if len(rows) > 1 else 0.0
        spread = within if len(rows) > 1 else truth["tau"] ** 2
        for i in rows:
            mean = truth["mu"] + g + line[0] * se[i] + line[1] * se[i] ** 2
            y[i] = seen(rng, mean, np.sqrt(se[i] ** 2 + spread), se[i], bias)
    return pd.DataFrame({"yi": y, "sei": se, "lab": lab}), truth


def _shares(options):
    odds = np.array([o.odds for o in options])
    return odds / odds.sum()


def one(ensemble, seed):
    """Posterior probabilities of components, and of parameters below their true values given the component."""
    data, truth = simulated(ensemble, seed)
    fit = mx.robma(data, sei="sei", cluster="lab", priors=ensemble)
    row = dict(truth)
    row |= {f"p_{name}": fit.components.loc[name, "posterior"] for name in ("effect", "heterogeneity", "bias")}
    at = fit.pooled
    for name, component in (("mu", "effect"), ("tau", "heterogeneity"), ("rho", "heterogeneity")):
        if truth[component]:
            has = np.array([bool(m.alternative(component)) for m in fit.members])[at.model]
            w = at.weights * has
            row[f"u_{name}"] = w[getattr(at, name) < truth[name]].sum() / w.sum()
    row["error"], row["chains"] = (
        max(e.error for e in fit.evidences), sum(e.method == "bridge sampling" for e in fit.evidences)
    )  # fmt: skip
    return row


def figures(table):
    """What is recorded of a run: components present less their posterior probabilities, ranks, errors, chains."""
    lines = []
    for name in ("effect", "heterogeneity", "bias"):
        q, has = table[f"p_{name}"], table[name].astype(float)
        lines.append(f"{name}: {(has - q).sum():.1f} (standard deviation {np.sqrt((q * (1 - q)).sum()):.1f})")
    for name in ("mu", "tau", "rho"):
        u = table[f"u_{name}"].dropna()
        lines.append(f"{name}: {len(u)} ranks, Kolmogorov-Smirnov p = {stats.kstest(u, 'uniform').pvalue:.3f}")
    errors, chains = table["error"], int(table["chains"].sum())
    lines.append(f"errors of evidences: median {errors.median():.4f}, largest {errors.max():.4f}; {chains} chains")
    return "\n".join([f"{len(table)} data sets", *lines])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfx.errors.FewInIntervalWarning", "ignore::mixedfx.errors.ImportanceWarning")
def test_posteriors_are_calibrated_over_the_prior():
    ensemble = p.robma3(scale="yi")
    table = pd.DataFrame([one(ensemble, seed) for seed in range(SETS)])
    print(figures(table))  # shown by pytest -s, and where the test fails
    for name in ("effect", "heterogeneity", "bias"):
        q, has = table[f"p_{name}"], table[name].astype(float)
        # sums over all data sets and over thirds of them: each within 3.3 standard errors, 1 in 1,000
        for part in (slice(None), q <= 1 / 3, (q > 1 / 3) & (q <= 2 / 3), q > 2 / 3):
            off, sd = (has - q)[part].sum(), np.sqrt((q * (1 - q))[part].sum())
            assert abs(off) <= 3.3 * sd + 1e-6, (name, off, sd)
    for name in ("mu", "tau", "rho"):
        u = table[f"u_{name}"].dropna()
        assert len(u) > 100
        assert stats.kstest(u, "uniform").pvalue > 1e-3, name
