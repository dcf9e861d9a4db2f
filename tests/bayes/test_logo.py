"""Leave one group out: the integrals over a group's effects are right, and the answer is that of refitting."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mixedfx as mx
from mixedfx.bayes.posterior import logo
from mixedfx.errors import MixedfxWarning, ModelError, OptionError, ParetoKWarning


def test_the_gaussian_integral_is_the_normal_density():
    rng = np.random.default_rng(1)
    F, sd, r = rng.normal(size=(3, 5, 2)), rng.uniform(0.5, 2, (3, 5)), rng.normal(size=(3, 5))
    found = logo._gaussian(r, F, sd)
    for d in range(3):
        V = F[d] @ F[d].T + np.diag(sd[d] ** 2)
        assert found[d] == pytest.approx(stats.multivariate_normal.logpdf(r[d], np.zeros(5), V))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_quadrature_gives_the_gaussian_integral(k):
    """Exact for normal densities: the integrand is constant at the nodes, whatever they are."""
    rng = np.random.default_rng(k)
    Z, factor, eta = rng.normal(size=(6, k)), np.tril(rng.normal(size=(3, k, k))), rng.normal(size=(3, 6))
    y = rng.normal(size=6)
    normal, aux = mx.families.gaussian(), {"sigma": np.full(3, 0.8)}
    found = logo._integrated(
        lambda eta: normal.log_density(y, eta, aux),
        lambda eta: normal.derivatives(y, eta, aux, order=2),
        eta,
        Z,
        factor,
    )
    assert found == pytest.approx(logo._gaussian(y - eta, Z @ factor, np.full((3, 6), 0.8)), abs=1e-4)


@pytest.mark.parametrize("sd", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("name", ["bernoulli", "poisson", "cumulative"])
def test_quadrature_gives_the_integral_over_an_intercept(name, sd):
    rng = np.random.default_rng(2)
    family = mx.families.registry.find_family(name)
    y = np.array({"bernoulli": [1.0, 1, 1, 1], "poisson": [0.0, 3, 9, 4], "cumulative": [0.0, 2, 2]}[name])
    aux = {"threshold": np.array([[-0.5, 0.8]])}
    eta, Z = rng.normal(size=(1, len(y))), np.ones((len(y), 1))

    def density(b):
        total = family.log_density(y, eta + sd * b, aux).sum()
        return np.exp(total) * stats.norm.pdf(b)

    found = logo._integrated(
        lambda eta: family.log_density(y, eta, aux),
        lambda eta: family.derivatives(y, eta, aux, order=2),
        eta,
        Z,
        np.full((1, 1, 1), sd),
    )
    assert np.exp(found[0]) == pytest.approx(integrate.quad(density, -9, 9, epsabs=0, limit=200)[0], rel=1e-5)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(24), 8)
    data = pd.DataFrame({"x": rng.normal(size=192), "g": [f"g{i:02d}" for i in g]})
    data["h"] = [f"{i:02d}-{j % 2}" for j, i in enumerate(g)]
    data["year"] = rng.choice(list("abcdef"), 192)
    data["y"] = data["x"] + rng.normal(size=24)[g] + rng.normal(size=192)
    data["n"] = rng.poisson(np.exp(0.3 * data["x"] + 0.6 * rng.normal(size=24)[g]))
    return data


def _left_out(data, formula, group, level, **options):
    """log p(y_g | rest) by a refit: the average over draws of the density of the group, its effects integrated out."""
    rest = mx.bayes(formula, data[data[group] != level], **options)
    own = data[data[group] == level]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        eta = rest.linpred(own, "population")
    parameters = rest.joint.family_parameters()
    y = own[str(rest.design.response_name)].to_numpy(dtype=float)
    values = logo._integrated(
        lambda eta: rest.family.log_density(y, eta, parameters),
        lambda eta: rest.family.derivatives(y, eta, parameters, order=2),
        eta,
        np.ones((len(own), 1)),
        rest.covariance_factors[0],
    )
    return np.logaddexp.reduce(values) - np.log(len(values))


def test_it_is_what_refitting_gives(data):
    """The two differ by the Monte Carlo errors of two averages of densities, here below 0.03."""
    fit = mx.bayes("y ~ x + (1 | g)", data, seed=1)
    found = fit.logo("g")
    assert found.n_data_points == 24
    assert (np.asarray(found.pareto_k) < 0.7).all()
    for level in ("g03", "g11"):
        at = fit.design.random[0].levels.index(level)
        wanted = _left_out(data, "y ~ x + (1 | g)", "g", level, seed=2)
        assert float(found.loo_i[at]) == pytest.approx(wanted, abs=0.1)


def test_it_is_what_refitting_gives_for_counts(data):
    options = {"family": "poisson", "draws": 2000, "warmup": 300, "seed": 1, "progress": False}
    fit = mx.bayes("n ~ x + (1 | g)", data, **options)
    found = fit.logo("g")
    for level in ("g05",):
        at = fit.design.random[0].levels.index(level)
        wanted = _left_out(data, "n ~ x + (1 | g)", "g", level, **options)
        assert float(found.loo_i[at]) == pytest.approx(wanted, abs=0.1)


def test_effects_of_nested_groups_are_integrated_out_and_crossed_ones_are_not(data):
    fit = mx.bayes("y ~ x + (1 + x | g) + (1 | h) + (1 | year)", data, draws=300, seed=1)
    design, u = fit.design, fit.predictor.u
    found = logo.group_log_likelihood(fit, "g")
    at = np.flatnonzero(design.random[0].codes == 4)
    d = 17
    beta, known = fit.predictor.beta[d], u[d][design.starts[2] + design.random[2].codes[at]]
    mean = design.X[at] @ beta + known
    F0, F1 = (fit.predictor.factors[t][d] for t in (0, 1))
    V = design.random[0].z[at] @ F0 @ F0.T @ design.random[0].z[at].T
    same = design.random[1].codes[at][:, None] == design.random[1].codes[at]
    V = V + same * F1[0, 0] ** 2 + np.eye(len(at)) * fit.variances.sigma[d] ** 2
    assert found[d, 4] == pytest.approx(stats.multivariate_normal.logpdf(design.y[at], mean, V))


def test_what_it_cannot_do_is_said(data):
    fit = mx.bayes("y ~ x + (1 | g)", data, draws=100, seed=1)
    with pytest.raises(OptionError, match="'g'"):
        fit.logo("school")
    several = SimpleNamespace(design=fit.design, family=fit.family, joint=SimpleNamespace(predictors=(1, 2)))
    with pytest.raises(ModelError, match="several linear predictors"):
        logo.group_log_likelihood(several, "g")


def test_groups_beyond_the_reach_of_importance_sampling_are_named(data):
    few = data.assign(g=np.where(data["g"] < "g12", "a", "b"), y=data["y"] + 30 * (data["g"] < "g12"))
    fit = mx.bayes("y ~ x * g + (1 | g)", few, seed=1, priors={"sd": mx.priors.half_normal(10)})
    with pytest.warns(ParetoKWarning, match=r"2 of 2 groups|1 of 2 groups"):
        fit.logo("g")
