"""Three models by an independent sampler of the joint density: the same posterior, to Monte Carlo error.

Means and standard deviations of every variance parameter, every coefficient and two random effects are compared, each
within 4.5 Monte Carlo errors (of about forty comparisons, one in several thousand repetitions would fail by chance).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from scipy import stats

import mixedfx as mx
from mixedfx import priors
from tests.bayes.joint_sampler import Joint, Term, run

DATA = Path(__file__).resolve().parents[1] / "data"


def given(scale, slope, rate):
    return {
        "intercept": priors.normal(scale, scale),
        "coef": priors.normal(0, slope),
        "sd": priors.half_normal(scale / 5),
        "sigma": priors.exponential(rate),
        "cor": priors.lkj(2),
    }


def one_factor():
    data = pd.read_csv(DATA / "dyestuff.csv").assign(x=lambda d: np.arange(len(d)) % 5 / 2.0)
    codes = pd.factorize(data["Batch"])[0]
    X = np.column_stack([np.ones(30), data["x"]])
    terms = (Term(codes, np.ones((30, 1)), False, np.array([300.0])),)
    model = Joint(data["Yield"].to_numpy(float), X, terms, 0.02, np.array([1500.0, 0.0]), np.array([1500.0, 50.0]))
    return "Yield ~ x + (1 | Batch)", data, given(1500.0, 50.0, 0.02), model, [4.0, 3.5, 1500.0, 0.0]


def correlated_slopes():
    data = pd.read_csv(DATA / "sleepstudy.csv")
    codes = pd.factorize(data["Subject"])[0]
    X = np.column_stack([np.ones(180), data["Days"]])
    terms = (Term(codes, X, True, np.array([50.0, 50.0])),)
    model = Joint(data["Reaction"].to_numpy(), X, terms, 0.02, np.array([250.0, 0.0]), np.array([250.0, 20.0]))
    return "Reaction ~ Days + (Days | Subject)", data, given(250.0, 20.0, 0.02), model, [3.2, 3.0, 1.8, 0.0, 250, 10.0]


def crossed():
    rng = np.random.default_rng(3)
    n = 120
    g, h, x = rng.integers(9, size=n), rng.integers(4, size=n), rng.normal(size=n)
    y = 2 + x + 0.7 * rng.normal(size=9)[g] + 0.5 * rng.normal(size=9)[g] * x + 0.5 * rng.normal(size=4)[h]
    data = pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "g": [f"g{j}" for j in g], "h": [f"h{j}" for j in h]})
    X = np.column_stack([np.ones(n), x])
    one = np.array([1.0, 1.0])
    terms = (Term(g, X, False, one), Term(h, np.ones((n, 1)), False, one[:1]))
    model = Joint(data["y"].to_numpy(), X, terms, 0.5, np.array([5.0, 0.0]), np.array([5.0, 2.0]))
    return "y ~ x + (x || g) + (1 | h)", data, given(5.0, 2.0, 0.5), model, [0.0, -0.5, -0.5, -0.5, 2.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("case", [one_factor, correlated_slopes, crossed])
def test_the_posterior_is_that_of_an_independent_sampler(case):
    formula, data, prior, model, start = case()
    fit = mx.bayes(formula, data, priors=prior, seed=1)
    draws = fit.draws()
    first = np.concatenate([start, np.zeros(model.size - len(start))])
    joint = run(model, first, 1500, 900, seed=2)
    log_sigma, parts, beta, vs = model.split(joint.reshape(-1, model.size))
    other = {("sigma",): np.exp(log_sigma)}
    columns = [t.columns for t in fit.design.random]
    names = [t.label for t in fit.design.random]
    for name, cs, term, part in zip(names, columns, model.terms, parts, strict=True):
        F = term.at_zero @ model.factor(*part)
        sd = np.sqrt((F**2).sum(axis=2))
        other |= {("sd", name, c): sd[:, i] for i, c in enumerate(cs)}
        if part[1] is not None:
            other["cor", name, *cs] = (F[:, 0] * F[:, 1]).sum(axis=1) / sd.prod(axis=1)
    other |= {("beta", name): beta[:, j] for j, name in enumerate(fit.design.fixed_names)}
    F = model.terms[0].at_zero @ model.factor(*parts[0])
    k = F.shape[1]
    for level in (0, 3):
        u = np.einsum("cab,cb->ca", F, vs[0][:, level * k : (level + 1) * k])
        label = str(data[names[0]].iloc[np.flatnonzero(model.terms[0].codes == level)[0]])
        other |= {("u", names[0], label, c): u[:, i] for i, c in enumerate(columns[0])}
    for key, flat in other.items():
        theirs, ours = flat.reshape(joint.shape[:2]), draws[key].ravel()
        n_theirs = float(array_stats.ess(theirs, method="mean"))
        assert n_theirs > 1000, key
        assert float(array_stats.rhat(theirs)) < 1.02, key
        n = 1 / (1 / n_theirs + 1 / min(fit.sampling.ess, len(ours)))
        assert abs(theirs.mean() - ours.mean()) < 4.5 * ours.std() / np.sqrt(n), key
        kurtosis = stats.kurtosis(flat, fisher=False)
        assert abs(theirs.std() - ours.std()) < 4.5 * ours.std() * np.sqrt((kurtosis - 1) / (4 * n)), key
