"""A fit of every family answers every question: whatever can be asked of one, in shapes that agree."""

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import (
    DataError,
    MixedfxWarning,
    ModelError,
    NoVariationWarning,
    OptionError,
    RankDeficiencyWarning,
    SamplingWarning,
    UnseenLevelsWarning,
)
from mixedfx.families.registry import FAMILIES
from mixedfx.results.protocol import Fit

RESPONSES = {
    "gaussian": "y", "student": "y", "lognormal": "positive", "gamma": "positive", "beta": "share",
    "bernoulli": "success", "binomial": "k | trials(m)", "poisson": "count", "negbinomial": "count",
    "nbinom1": "count", "beta_binomial": "k | trials(m)", "tweedie": "amount",
    "truncated_poisson": "visits", "truncated_negbinomial": "visits",
    "cumulative": "opinion", "categorical": "choice",
}  # fmt: skip
SHORT = {"engine": "stanli", "draws": 160, "chains": 2, "warmup": 150, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(5)
    n = 180
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice([f"g{i}" for i in range(9)], n)})
    eta = 0.3 + 0.8 * data["x"] + 0.7 * rng.normal(size=9)[data["g"].str[1:].astype(int)]
    p = 1 / (1 + np.exp(-eta))
    data["success"] = rng.random(n) < p
    data["m"] = rng.integers(1, 9, n)
    data["k"] = rng.binomial(data["m"], p)
    data["count"] = rng.negative_binomial(3, 3 / (3 + np.exp(eta)))
    data["positive"] = rng.gamma(2, np.exp(eta / 2) / 2)
    data["visits"], data["amount"] = data["count"] + 1, data["count"] * data["positive"]
    data["share"] = np.clip(rng.beta(4 * p, 4 * (1 - p)), 1e-4, 1 - 1e-4)
    data["y"] = eta + rng.normal(size=n)
    levels = ["low", "middle", "high"]
    data["opinion"] = pd.cut(eta + rng.logistic(size=n), [-np.inf, -0.5, 1, np.inf], labels=levels)
    data["choice"] = rng.choice(["A", "B", "C"], n)
    return data


@pytest.fixture(scope="module")
def fits(people):
    """Give a function that fits a family once; Tweedie's series takes minutes."""

    @cache
    def fit(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # 160 draws are few
            return mx.bayes(f"{RESPONSES[name]} ~ x + (1 + x | g)", people, family=name, **SHORT)

    return fit


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "tweedie")) for name in RESPONSES])
def fit(request, fits):
    return fits(request.param)


def test_all_families_are_here():
    assert set(RESPONSES) == set(FAMILIES)


def test_it_is_a_fit(fit):
    assert isinstance(fit, Fit)
    assert fit.nobs == 180
    assert fit.n_draws == 160
    assert fit.collapsed is None
    assert fit.family.name in repr(fit) or fit.family.name == "gaussian"
    assert fit.sampling.engine == "stanli"
    assert "NUTS on all parameters by stanli" in fit.diagnostics().text()
    assert max(map(len, str(fit).splitlines())) <= 100


def test_draws_have_a_key_for_every_parameter(fit):
    draws = fit.draws()
    assert draws.array.shape[:2] == (2, 80)
    for name in fit.family.auxiliary:
        assert (draws[name] > 0).all()
    assert len({key for key in draws if key[0] == "threshold"}) == (2 if fit.family.name == "cumulative" else 0)
    where = [()] if fit.family.name != "categorical" else [("B",), ("C",)]
    for category in where:
        u, sd = draws["u", *category, "g", "g3", "x"], draws["sd", *category, "g", "x"]
        assert u.shape == sd.shape
        assert (np.abs(draws["cor", *category, "g", "Intercept", "x"]) <= 1).all()
        assert ("beta", *category, "x") in draws.names


def test_expected_responses_are_the_family_s_means_of_the_linear_predictor(fit, people):
    eta, mean = fit.linpred(), fit.epred()
    assert mean == pytest.approx(fit.family.mean(eta, fit.joint.family_parameters()))
    one = fit.joint.predictors[-1]
    row = 17
    by_hand = one.beta @ fit.design.X[row] + fit.design.offset[row]
    term = fit.design.random[0]
    by_hand = by_hand + one.u.reshape(len(one.u), -1, 2)[:, term.codes[row]] @ term.z[row]
    assert (eta[:, row] if eta.ndim == 2 else eta[:, row, -1]) == pytest.approx(by_hand)
    if fit.categories:
        assert mean.shape == (160, 180, 3)
        assert mean.sum(axis=2) == pytest.approx(np.ones((160, 180)))
    rows = fit.design_for()
    assert fit.expected(rows, np.array([3, 5])) == pytest.approx(mean[[3, 5]])
    assert fit.epred(people.iloc[:4]) == pytest.approx(mean[:, :4])


def test_predictions_summarise_these_draws(fit, people):
    for kind, draws in (("response", fit.epred()), ("link", fit.linpred())):
        table = fit.predict(level=0.8, kind=kind, se=True)
        assert table["estimate"].to_numpy() == pytest.approx(draws.mean(axis=0).ravel())
        assert table["lower"].to_numpy() == pytest.approx(np.quantile(draws, 0.1, axis=0).ravel())
        assert table.index.nunique() == 180
    fitted = np.asarray(fit.fitted)
    assert fitted.ravel() == pytest.approx(np.asarray(fit.predict()).ravel())
    new = people.iloc[[3, 5]].set_index(pd.Index(["a", "b"]))
    assert list(dict.fromkeys(fit.predict(new).index)) == ["a", "b"]


def test_residuals_are_responses_less_their_expectation(fit):
    if fit.categories:
        with pytest.raises(OptionError, match="probability of each"):
            fit.residuals()
        return
    y = fit.design.y if fit.design.trials is None else fit.design.y / fit.design.trials
    assert fit.residuals().to_numpy() + fit.fitted.to_numpy() == pytest.approx(y)


def test_simulated_responses_can_be_responses(fit, people):
    simulated = fit.simulate(5, seed=1)
    assert simulated.shape == (180, 5)
    if fit.categories:
        assert set(np.unique(simulated.to_numpy().astype(str))) <= set(fit.categories)
        return
    for column in simulated:
        fit.family.check(simulated[column].to_numpy(), row_facts(fit.design), np.arange(180))
    table = fit.predict(people.iloc[:20], kind="predictive", seed=1)
    assert (table["se"] > fit.predict(people.iloc[:20], se=True)["se"]).mean() > 0.9


def test_effects_are_on_the_response_scale(fit, people):
    """Against expected responses of every row with x one higher and as it is, averaged within each half of the rows.

    A binomial row is as many people as it has trials.
    """
    new = people.assign(side=np.where(np.arange(180) < 100, "left", "right"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NoVariationWarning)
        warnings.simplefilter("ignore", SamplingWarning)  # chains this short are no basis for conclusions, as it says
        found = mx.effects(fit, "x", by="side", newdata=new)
    difference = fit.epred(new.assign(x=new["x"] + 1)) - fit.epred(new)
    for side, rows in (("left", slice(0, 100)), ("right", slice(100, 180))):
        people_in = np.ones(180) if fit.design.trials is None else fit.design.trials
        wanted = np.average(difference[:, rows], axis=1, weights=people_in[rows]).reshape(160, -1)
        at = np.flatnonzero(found.table["side"] == side)
        assert len(at) == max(1, len(fit.categories))
        np.testing.assert_allclose(found.draws()[:, at], wanted, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.table["estimate"].to_numpy()[at], wanted.mean(axis=0), rtol=1e-9, atol=1e-12)


def test_marginal_means_of_ordered_categories_lie_on_the_scale_of_the_thresholds(fits):
    """The thresholds stand for the intercept, so that nothing is missing: the mean at x is x times its coefficient."""
    fit = fits("cumulative")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means = mx.emmeans(fit, "x", at={"x": [0.0, 2.0]}).table["emmean"].to_numpy()
    assert means == pytest.approx([0.0, 2 * fit.fixef["x"]], abs=1e-12)


def test_the_summary_says_what_the_numbers_are(fits, people):
    """sigma is the standard deviation of the rows under a gaussian response only."""
    for name in RESPONSES:
        if name == "tweedie":
            continue
        found = fits(name)
        pars, shown = found.tidy("ran_pars").set_index("term"), str(found)
        assert ("sd__Observation" in pars.index) == (name == "gaussian")
        assert ("sigma" in pars.index) == (name in ("student", "lognormal"))
        assert ("Residual" in set(found.varcorr["grp"])) == (name == "gaussian")
        others = set(found.family.auxiliary) if name != "gaussian" else set()
        assert ("Other parameters" in shown) == bool(others)
        assert others == set(pars.index[pars["group"] == ""])
    assert "Categories: A (reference), B, C" in str(fits("categorical"))
    assert "Categories: low, middle, high" in str(fits("cumulative"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        named = mx.bayes("won ~ x", people.assign(won=np.where(people["success"], "yes", "no")), "bernoulli", **SHORT)
    assert "Success: won = yes" in str(named)


def test_criticism_needs_no_more_than_the_fit(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few draws have large k-hats
        loo, waic = fit.loo(), fit.waic()
    assert len(loo.pareto_k) == 180
    assert loo.elpd_loo == pytest.approx(waic.elpd_waic, abs=6)
    data = fit.to_arviz(posterior_predictive=True)
    name = "beta_C" if fit.family.name == "categorical" else "beta"
    key = ("beta", "C", "x") if fit.family.name == "categorical" else ("beta", "x")
    assert data["posterior"][name].sel(coefficient="x").to_numpy() == pytest.approx(fit.draws()[key])
    assert data["posterior_predictive"][fit.design.response_name].shape == (2, 80, 180)
    stats = data["sample_stats"]
    assert stats["diverging"].dtype == bool
    assert int(stats["diverging"].sum()) == fit.sampling.divergences
    assert int((stats["tree_depth"] >= 10).sum()) == fit.sampling.at_max_treedepth
    assert (stats["energy"].to_numpy() > -stats["lp"].to_numpy()).all()  # the kinetic energy is positive


def test_predictive_checks_choose_a_plot_that_suits_the_response(fit):
    axes = fit.ppc(10).ax
    continuous = fit.family.outcome in ("real", "positive", "nonnegative", "unit")
    assert bool(axes.patches) != continuous
    assert axes.get_xlabel() == fit.design.response_name


def test_tables_have_a_row_for_each_parameter(fit):
    fixed, pars = fit.tidy(), fit.tidy("ran_pars")
    several = 2 if fit.family.name == "categorical" else 1
    thresholds = 2 if fit.family.name == "cumulative" else 0
    assert len(fixed) == several * len(fit.design.fixed_names) + thresholds
    assert len(pars) == several * 3 + len(fit.family.auxiliary)
    assert len(fit.tidy("ran_vals")) == several * 18
    assert len(fit.fixef) == len(fit.vcov) == several * len(fit.design.fixed_names)
    assert fit.ranef["g"].shape == (9, 2 * several)
    assert fit.glance()["family"].tolist() == [fit.family.name]
    assert np.isnan(fit.sigma) != ("sigma" in fit.family.auxiliary)


def test_each_of_six_unseen_levels_has_its_own_draws_with_the_population_s_covariance(fits):
    """Moments over draws of levels: their covariance is the posterior mean of Sigma (160 draws, 300 levels)."""
    fit = fits("bernoulli")
    new = pd.DataFrame({"x": np.tile([0.0, 1.0], 300), "g": np.repeat([f"new{i}" for i in range(300)], 2)})
    with pytest.warns(UnseenLevelsWarning):
        eta = fit.linpred(new, "sample").reshape(160, 300, 2)
    beta = fit.joint.predictors[0].beta
    u = np.stack([eta[:, :, 0] - beta[:, :1], eta[:, :, 1] - eta[:, :, 0] - beta[:, 1:]], axis=2)
    assert len({tuple(np.round(u[:, level, 0], 12)) for level in range(6)}) == 6
    between = np.corrcoef(u[:, :6, 0].T)[np.triu_indices(6, 1)]
    assert np.abs(between).max() < 4.5 / np.sqrt(160)
    for d in (0, 80):  # the same posterior draw, over 300 levels
        wanted = fit.joint.predictors[0].covariance(0)[d]
        found = np.cov(u[d].T)
        error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / 300)
        assert (np.abs(found - wanted) < 4.5 * error).all()
    with pytest.warns(UnseenLevelsWarning):
        again = fit.linpred(new.iloc[[5]], "sample")
    assert again[:, 0] == pytest.approx(eta[:, 2, 1])


def test_predictors_of_a_categorical_response_have_unseen_levels_of_their_own(fits):
    fit = fits("categorical")
    with pytest.warns(UnseenLevelsWarning):
        eta = fit.linpred(pd.DataFrame({"x": [0.0], "g": ["new"]}), "sample")[:, 0]
    u = eta - np.stack([one.beta[:, 0] for one in fit.joint.predictors], axis=1)
    assert abs(np.corrcoef(u.T)[0, 1]) < 4.5 / np.sqrt(160)
    with pytest.raises(ModelError, match="for each category"):
        fit.apply(fit.design_for())


def test_new_responses_need_what_the_left_side_says(fits, people):
    fit = fits("binomial")
    assert fit.predict(people[["x", "g"]].head(2)).between(0, 1).all()
    with pytest.raises(DataError, match=r"trials\(m\), and the new data have no column 'm'"):
        fit.predict(people[["x", "g"]].head(2), kind="predictive")
    counts = fit.predict(people.head(2).assign(m=1000), kind="predictive")
    assert counts["estimate"].max() > 100


def test_intervals_of_new_categories_are_refused(fits):
    with pytest.raises(OptionError, match=r"fit\.simulate"):
        fits("cumulative").predict(kind="predictive")


BAD = {
    "gaussian": ("y", 2, np.inf, "in row 2 "),
    "student": ("y", 2, -np.inf, "in row 2 "),
    "lognormal": ("positive", 3, 0.0, "greater than 0, but the response is 0 in row 3 "),
    "gamma": ("positive", 3, -1.0, "greater than 0, but the response is -1 in row 3 "),
    "beta": ("share", 4, 1.0, "between 0 and 1, both left out, but the response is 1 in row 4 "),
    "bernoulli": ("success", 5, 2.0, "0 or 1, but the response is 2 in row 5 "),
    "binomial": ("k", 6, 99.0, "more successes than trials in row 6 "),
    "poisson": ("count", 2, -1.0, "counts 0, 1, 2, ..., but the response is -1 in row 2 "),
    "negbinomial": ("count", 2, 0.5, "counts 0, 1, 2, ..., but the response is 0.5 in row 2 "),
    "nbinom1": ("count", 2, 0.5, "counts 0, 1, 2, ..., but the response is 0.5 in row 2 "),
    "beta_binomial": ("k", 6, 99.0, "more successes than trials in row 6 "),
    "truncated_poisson": ("visits", 3, 0.0, "counts 1, 2, ..., but the response is 0 in row 3 "),
    "truncated_negbinomial": ("visits", 3, 1.5, "counts 1, 2, ..., but the response is 1.5 in row 3 "),
    "tweedie": ("amount", 3, -1.0, "zero or greater, but the response is -1 in row 3 "),
    "cumulative": ("count", 7, 1.5, "whole numbers or text, but the response is 1.5 in row 7 "),
    "categorical": ("count", 7, 1.5, "whole numbers or text, but the response is 1.5 in row 7 "),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_responses_that_cannot_be_are_refused_before_anything_is_compiled(people, monkeypatch, name):
    from mixedfx.bayes.engines import run_stan

    monkeypatch.setattr(run_stan, "stan_fit", lambda *_, **__: pytest.fail("compiled"))
    column, row, value, words = BAD[name]
    bad = people.astype({column: float})
    bad.loc[row, column] = value
    left = "k | trials(m)" if FAMILIES[name].outcome == "trials" else column
    with pytest.raises(DataError, match=re.escape(words)):
        mx.bayes(f"{left} ~ x + (1 | g)", bad, family=name)


def test_priors_of_parameters_that_a_family_does_not_have_are_refused(people):
    given = {"shape": priors.exponential(1.0)}
    with pytest.raises(OptionError, match="'shape', but the model has no shape\nIts family has phi"):
        mx.bayes("share ~ x + (1 | g)", people, family="beta", priors=given)
    with pytest.raises(OptionError, match="no parameter of this kind"):
        mx.stan_code("count ~ x", people, "poisson", given)
    assert "shape ~ exponential" in mx.stan_code("count ~ x", people, "negbinomial", given)


def test_three_categories_are_not_bernoulli(people):
    with pytest.raises(DataError, match=r"'choice' has 3: 'A', 'B', 'C'; 'C' is in rows \d+, \d+, "):
        mx.bayes("choice ~ x", people, family="bernoulli")


@pytest.mark.parametrize("name", [name for name, known in FAMILIES.items() if not known.weights])
def test_weights_go_with_a_scale_only(people, name):
    with pytest.raises(OptionError, match=f"weights= divide a residual variance, and the {name} family has none"):
        mx.bayes(f"{RESPONSES[name]} ~ x + (1 | g)", people, family=name, weights="m")


def test_warnings_about_the_data_point_to_the_line_of_the_user(people):
    twice = people.assign(w=2 * people["x"])
    for ask in (
        lambda: mx.bayes("y ~ x + w + (1 | g)", twice, draws=500, seed=1),
        lambda: mx.stan_code("y ~ x + w", twice),
    ):
        with pytest.warns(RankDeficiencyWarning, match="w: a combination of x") as caught:
            ask()
        assert [each.filename for each in caught] == [__file__]


def test_formulas_without_random_terms(people):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes("y ~ x", people, draws=400, chains=2, warmup=200, seed=1, progress=False)
    assert fit.sampling.engine == "stanli"
    assert "no random terms" in fit.diagnostics().text()
    ols = np.linalg.lstsq(fit.design.X, fit.design.y, rcond=None)[0]
    assert fit.fixef.to_numpy() == pytest.approx(ols, abs=0.03)
    assert fit.ranef == {}
    assert fit.varcorr["grp"].tolist() == ["Residual"]
    assert len(fit.predict(people.head(3))) == 3
    assert "Other parameters" in str(fit)


def test_the_prior_of_every_family_can_be_looked_at(people):
    given = {"coef": priors.normal(1.0, 0.5), "sd": priors.half_normal(2.0), "intercept": priors.normal(0.0, 1.0)}
    fit = mx.prior_predictive(
        "success ~ x + (1 | g)", people, given, draws=1000, seed=1, family=mx.families.bernoulli(link="probit")
    )
    x, sd = fit.draws()["beta", "x"].ravel(), fit.draws()["sd", "g", "Intercept"].ravel()
    assert x.mean() == pytest.approx(1.0, abs=0.1)  # sd 0.5, about 1,000 draws
    assert x.std() == pytest.approx(0.5, rel=0.15)
    assert (sd**2).mean() == pytest.approx(4.0, rel=0.3)
    assert "nothing was learnt" in fit.uncertainty
    assert "from the prior" in fit.diagnostics().text()
    assert set(np.unique(fit.simulate(3, seed=1))) == {0.0, 1.0}


def test_priors_that_only_stan_knows_choose_stan(people):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes(
            "y ~ x + (1 | g)", people, priors={"coef": priors.horseshoe()}, draws=100, chains=2, warmup=100, seed=1,
            progress=False,
        )  # fmt: skip
    assert fit.sampling.engine == "stanli"
    assert "no normal or t distribution" in fit.diagnostics().text()
    with pytest.raises(OptionError, match="cannot be done here"):
        mx.bayes("y ~ x + (1 | g)", people, priors={"coef": priors.horseshoe()}, engine="collapsed")


def test_the_same_seed_gives_the_same_draws(people):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        one, two = (mx.bayes("count ~ x", people, family="poisson", **SHORT).draws() for _ in range(2))
    assert np.array_equal(one.array, two.array)
