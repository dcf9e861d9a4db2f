"""A posterior fit answers what a REML fit answers, from its draws; and the same seed gives the same draws."""

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.collapsed import engine
from mixedfx.errors import (
    DataError,
    FewLevelsWarning,
    ImproperPosteriorError,
    MemoryForecastError,
    OptionError,
    SamplingWarning,
    UnknownQuantityError,
    UnseenLevelsWarning,
)
from mixedfx.results.protocol import Fit

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def crossed():
    """Ten schools crossed with two genders, a treatment whose effect varies over both."""
    rng = np.random.default_rng(12)
    n = 400
    frame = pd.DataFrame({"z": rng.integers(2, size=n) * 1.0, "school": rng.integers(10, size=n)})
    frame["gender"] = rng.choice(["man", "woman"], n)
    effect = 1 + 0.5 * (frame["gender"] == "man") + 0.4 * rng.normal(size=10)[frame["school"]]
    frame["y"] = 5 + effect * frame["z"] + rng.normal(size=10)[frame["school"]] + rng.normal(size=n)
    return frame.astype({"school": str})


@pytest.fixture(scope="module")
def crossed_fit(crossed):
    return mx.bayes("y ~ z + (1 + z | school) + (0 + z | gender)", crossed, seed=3)


def test_it_satisfies_the_protocol(sleep_fit):
    assert isinstance(sleep_fit, Fit)
    assert sleep_fit.nobs == 180
    assert sleep_fit.ngroups == {"Subject": 18}
    assert "variances and correlations is included" in sleep_fit.uncertainty


def test_draws_have_the_keys_of_the_design(sleep_fit):
    draws = sleep_fit.draws()
    assert draws.array.shape == (4, 1000, 42)
    assert list(draws)[:6] == [
        ("beta", "Intercept"),
        ("beta", "Days"),
        ("sigma",),
        ("sd", "Subject", "Intercept"),
        ("sd", "Subject", "Days"),
        ("cor", "Subject", "Intercept", "Days"),
    ]
    assert list(draws)[6] == ("u", "Subject", "308", "Intercept")
    with pytest.raises(UnknownQuantityError):
        draws["sd", "Subject", "Dayz"]
    few = sleep_fit.draws(50, seed=1)
    assert few.array.shape == (1, 50, 42)
    assert set(few["sigma"].ravel()) <= set(draws["sigma"].ravel())


def test_estimates_are_moments_of_the_draws(sleep_fit):
    draws = sleep_fit.draws()
    assert sleep_fit.fixef["Days"] == pytest.approx(draws["beta", "Days"].mean())
    assert sleep_fit.vcov.loc["Days", "Days"] == pytest.approx(draws["beta", "Days"].var(ddof=1))
    assert sleep_fit.sigma == pytest.approx(draws["sigma"].mean())
    assert sleep_fit.ranef["Subject"].loc["308", "Days"] == pytest.approx(draws["u", "Subject", "308", "Days"].mean())
    assert sleep_fit.ranef_sd["Subject"].loc["308", "Days"] == pytest.approx(
        draws["u", "Subject", "308", "Days"].std(ddof=1)
    )
    table = sleep_fit.varcorr.set_index(["grp", "var1", "var2"])
    sd, cor = draws["sd", "Subject", "Days"], draws["cor", "Subject", "Intercept", "Days"]
    row = sleep_fit.varcorr.iloc[1]
    assert (row["vcov"], row["sdcor"]) == (pytest.approx((sd**2).mean()), pytest.approx(sd.mean()))
    row = sleep_fit.varcorr.iloc[2]
    covariance = (cor * sd * draws["sd", "Subject", "Intercept"]).mean()
    assert (row["vcov"], row["sdcor"]) == (pytest.approx(covariance), pytest.approx(cor.mean()))
    assert table.loc[("Residual", None, None), "sdcor"].item() == pytest.approx(sleep_fit.sigma)


def test_tidy_holds_quantiles(sleep_fit):
    fixed = sleep_fit.tidy(level=0.5).set_index("term")
    x = sleep_fit.draws()["beta", "Days"]
    assert fixed.loc["Days", ["conf_low", "conf_high"]].tolist() == pytest.approx(np.quantile(x, [0.25, 0.75]).tolist())
    pars = sleep_fit.tidy("ran_pars")
    assert pars["term"].tolist() == ["sd__Observation", "sd__Intercept", "sd__Days", "cor__Intercept.Days"]
    assert len(sleep_fit.tidy("ran_vals")) == 36
    assert sleep_fit.glance()["method"].tolist() == ["importance"]


def test_fitted_values_predictions_and_simulations_agree(sleep_fit, sleepstudy):
    fitted = sleep_fit.fitted
    assert fitted.to_numpy() + sleep_fit.residuals().to_numpy() == pytest.approx(sleepstudy["Reaction"].to_numpy())
    predicted = sleep_fit.predict(sleepstudy.iloc[:5], se=True)
    assert predicted["estimate"].to_numpy() == pytest.approx(fitted.to_numpy()[:5])
    assert (predicted["lower"] < predicted["estimate"]).all()
    simulated = sleep_fit.simulate(None, seed=1, use_u=True).to_numpy()
    assert simulated.shape == (180, 4000)
    expected = np.sqrt(sleep_fit.predict(se=True)["se"].to_numpy() ** 2 + (sleep_fit.variances.sigma**2).mean())
    # a standard deviation of 4,000 draws has an error of 1.2 %; 180 of them stay within 5 %
    assert simulated.std(axis=1) == pytest.approx(expected, rel=0.05)


def test_a_functional_has_the_moments_of_its_draws(sleep_fit):
    rows = sleep_fit.design_for()
    found = sleep_fit.apply(rows.combine(np.vstack([np.full(180, 1 / 180), np.eye(180)[3]])))
    assert found.exact is False
    assert found.cov == pytest.approx(np.cov(found.values.T))
    assert found.sd == pytest.approx(np.sqrt(np.diag(found.cov)))
    assert found.draws() is found.values
    assert found.draws(10, seed=1).shape == (10, 2)
    assert found.draws(5000, seed=1).shape == (5000, 2)


def test_every_unseen_level_has_a_draw_of_its_own_and_keeps_it(sleep_fit):
    new = pd.DataFrame({"Days": [3.0, 3.0, 3.0], "Subject": ["new", "newer", "new"]})
    with pytest.warns(UnseenLevelsWarning):
        rows = sleep_fit.design_for(new, "sample")
    values = sleep_fit.apply(rows).values
    assert values[:, 0] == pytest.approx(values[:, 2], rel=1e-12)
    factor = sleep_fit.covariance_factors[0]
    between = ((factor @ factor.transpose(0, 2, 1)) @ np.array([1.0, 3.0]) @ np.array([1.0, 3.0])).mean()
    assert np.var(values[:, 0] - values[:, 1]) == pytest.approx(2 * between, rel=0.1)
    with pytest.warns(UnseenLevelsWarning):
        again = sleep_fit.apply(sleep_fit.design_for(new.iloc[[1]], "sample")).values
    assert again[:, 0] == pytest.approx(values[:, 1], rel=1e-12)


def test_effects_work_unchanged_and_carry_the_uncertainty_of_theta(crossed, crossed_fit):
    effects = mx.effects(crossed_fit, "z", by="gender")
    table = effects.table.set_index("gender")
    rows = crossed.loc[crossed["gender"] == "man"]
    new = pd.concat([rows.assign(z=1.0), rows.assign(z=0.0)])
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)), np.full(len(rows), -1 / len(rows))])
    values = crossed_fit.apply(crossed_fit.design_for(new).combine(weights[None])).values[:, 0]
    assert table.loc["man", "estimate"] == pytest.approx(values.mean())
    assert table.loc["man", ["lower", "upper"]].tolist() == pytest.approx(np.quantile(values, [0.025, 0.975]).tolist())
    assert effects.draws().shape == (4000, 2)
    contrast = effects.contrast("man", "woman").table
    assert contrast["estimate"].item() == pytest.approx(table.loc["man", "estimate"] - table.loc["woman", "estimate"])


def test_the_default_prior_narrows_the_effects_of_two_groups(crossed, crossed_fit):
    wide = mx.bayes(
        "y ~ z + (1 + z | school) + (0 + z | gender)", crossed,
        priors={("sd", "gender"): priors.half_cauchy(50.0)}, seed=3,
    )  # fmt: skip
    newcomer = pd.DataFrame({"school": ["0"], "gender": ["nonbinary"], "z": [0.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLevelsWarning)
        width = [
            mx.effects(fit, "z", newdata=newcomer, new_levels="sample").table.eval("upper - lower").item()
            for fit in (crossed_fit, wide)
        ]
    assert width[0] < 0.5 * width[1]


def test_the_same_seed_gives_the_same_draws(sleepstudy):
    one, two = (mx.bayes(FORMULA, sleepstudy, draws=200, seed=7).draws() for _ in range(2))
    assert np.array_equal(one.array, two.array)
    other = mx.bayes(FORMULA, sleepstudy, draws=200, seed=8).draws()
    assert not np.array_equal(one.array, other.array)


def test_large_and_small_models_take_different_ways_to_one_posterior(crossed, crossed_fit, monkeypatch):
    """Point by point, as large models go, the same posterior comes out as by many points at once."""
    from mixedfx.sampling import target

    monkeypatch.setattr(target, "batch", lambda _: None)
    slow = mx.bayes("y ~ z + (1 + z | school) + (0 + z | gender)", crossed, draws=1000, seed=4)
    assert slow.target.batch is None
    a, b = slow.draws(), crossed_fit.draws()
    for key in [
        ("beta", "z"),
        ("sigma",),
        ("sd", "school", "z"),
        ("u", "gender", "man", "z"),
        ("u", "school", "3", "z"),
    ]:
        x, y = a[key].ravel(), b[key].ravel()
        error = np.sqrt(x.var() / min(1000, slow.sampling.ess) + y.var() / min(4000, crossed_fit.sampling.ess))
        assert abs(x.mean() - y.mean()) < 4.5 * error
        assert x.std() == pytest.approx(y.std(), rel=0.15)


def test_few_levels_are_no_reason_to_warn(crossed):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FewLevelsWarning)
        mx.bayes("y ~ z + (1 | gender)", crossed, draws=100, seed=1)


def test_weights_and_offset_mean_what_they_mean_to_lmer(sleepstudy):
    weights = np.random.default_rng(3).uniform(0.5, 2, 180)
    flat = {"intercept": priors.flat(), "coef": priors.flat()}
    fit = mx.bayes(FORMULA, sleepstudy, priors=flat, weights=weights, offset=np.full(180, 100.0), seed=2)
    reml = mx.lmer(FORMULA, sleepstudy, weights=weights, offset=np.full(180, 100.0))
    # posterior mean and REML estimate differ by what theta's uncertainty does: less than a third of a standard error
    error = np.sqrt(np.diag(reml.vcov))
    assert np.abs((fit.fixef - reml.fixef) / error).max() < 0.33
    assert fit.sigma == pytest.approx(reml.sigma, rel=0.05)
    assert fit.residual_sd()[:, 0] == pytest.approx(fit.variances.sigma[0] / np.sqrt(weights))


@pytest.mark.parametrize(
    ("given", "formula", "words"),
    [
        ({"sd": priors.flat()}, "y ~ z + (1 | gender)", "its 2 levels leave 1 contrast"),
        ({"sd": priors.flat()}, "y ~ z + (0 + z | gender)", "sd of z over 'gender'"),
        ({("sd", "gender", "z"): priors.flat()}, "y ~ z + (1 + z || gender)", "sd of z over 'gender'"),
    ],
)
def test_improper_posteriors_are_refused_with_the_reason(crossed, given, formula, words):
    with pytest.raises(ImproperPosteriorError) as error:
        mx.bayes(formula, crossed, priors=given)
    assert words in str(error.value)
    assert "half_normal" in str(error.value)


def test_a_flat_sigma_needs_rows():
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 5.0], "g": list("aab")})
    with pytest.raises(ImproperPosteriorError, match="3 rows leave 1 after 2 coefficients"):
        mx.bayes("y ~ x + (1 | g)", data, priors={"sigma": priors.flat()})


def test_flat_priors_with_enough_levels_are_fine(crossed):
    fit = mx.bayes(
        "y ~ z + (1 | school)", crossed, priors={"sd": priors.flat(), "sigma": priors.flat()}, draws=200, seed=1
    )
    assert fit.sampling.k_hat < 0.7
    assert fit.priors.improper == ("sigma", "sd of Intercept over school")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"family": "poison"}, OptionError),
        ({"family": "poisson"}, DataError),
        ({"engine": "jags"}, OptionError),
        ({"draws": 0}, OptionError),
        ({"draws": "many"}, OptionError),
        ({"seed": -1}, OptionError),
        ({"seed": 1.5}, OptionError),
        ({"algorithm": "lapalce", "engine": "auto", "family": "student"}, OptionError),
        ({"priors": {"phi": priors.exponential(1)}}, OptionError),
        ({"inits": "random"}, OptionError),
        ({"adapt_delta": 1.0}, OptionError),
        ({"engine": "stanli", "proposals": 100}, OptionError),
        ({"engine": "stanli", "algorithm": "pathfinder"}, OptionError),
        ({"priors": "weak"}, OptionError),
        ({"formula": "y ~ z", "engine": "collapsed"}, OptionError),
    ],
)
def test_arguments_that_cannot_be_are_refused(crossed, arguments, error):
    with pytest.raises(error):
        mx.bayes(**{"formula": "y ~ z + (1 | school)", "data": crossed, **arguments})


def test_draws_that_would_not_fit_in_memory_are_refused():
    with pytest.raises(MemoryForecastError, match="would do"):
        engine.check_memory(10**9, 10**6)


def test_diagnostics_speak_plainly(sleep_fit):
    text = sleep_fit.diagnostics().text()
    assert "nothing speaks against these draws" in text
    assert "distinct (theta, sigma)" in text
    assert "exponential(0.01775)" in sleep_fit.prior_summary().text()
    assert "sd__Days" in str(sleep_fit)
    assert max(map(len, str(sleep_fit).splitlines())) <= 100


def test_weights_that_cannot_be_trusted_are_reported(crossed, monkeypatch):
    """Where NUTS is no way out either, the fit warns and says so."""
    real = engine.smooth
    monkeypatch.setattr(engine, "smooth", lambda ratios: (real(ratios)[0], 0.9))
    with pytest.warns(SamplingWarning, match=r"k-hat is 0\.90"):
        fit = mx.bayes("y ~ z + (1 | school)", crossed, draws=200, seed=1, control={"k_hat": 10})
    assert "may be wrong" in fit.diagnostics().text()


def test_prior_predictive_draws_are_those_of_the_priors(crossed):
    given = {"sd": priors.half_normal(2.0), "coef": priors.normal(1.0, 3.0), "sigma": priors.exponential(1.0)}
    prior = mx.prior_predictive("y ~ z + (1 + z | school)", crossed, given, draws=4000, seed=1)
    draws = prior.draws()
    slope = draws["beta", "z"].ravel()
    assert slope.mean() == pytest.approx(1.0, abs=4 * 3 / np.sqrt(4000))
    assert slope.std() == pytest.approx(3.0, rel=0.06)
    assert (draws["sd", "school", "z"] ** 2).mean() == pytest.approx(4.0, rel=0.1)
    assert draws["u", "school", "3", "z"].var() == pytest.approx(4.0, rel=0.2)
    # the prior of the intercept holds at the mean of the predictors
    centred = draws["beta", "Intercept"].ravel() + crossed["z"].mean() * slope
    assert centred.mean() == pytest.approx(crossed["y"].mean(), abs=0.3)
    assert prior.simulate(5, seed=1).shape == (400, 5)
    assert "nothing was learnt" in prior.uncertainty
    assert mx.effects(prior, "z").draws().shape == (4000, 1)
    assert "Prior predictive" in str(prior)
    assert "from the prior" in prior.diagnostics().text()


def test_flat_priors_have_no_prior_predictive(crossed):
    with pytest.raises(ImproperPosteriorError, match="flat priors have no draws: z"):
        mx.prior_predictive("y ~ z + (1 | school)", crossed, {"coef": priors.flat()})


def test_ppc_draws_the_data_over_simulations(sleep_fit):
    axes = sleep_fit.ppc(n=10).ax
    assert len(axes.lines) == 11
    assert axes.get_xlabel() == "Reaction"
    x, y = axes.lines[-1].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.03)


def test_arviz_is_there_for_the_tests():
    assert importlib.util.find_spec("arviz")


def test_inference_data_hold_the_draws(sleep_fit):
    data = sleep_fit.to_arviz(posterior_predictive=True)
    posterior = data["posterior"]
    draws = sleep_fit.draws()
    assert posterior["sd_Subject"].sel(Subject_column="Days").to_numpy() == pytest.approx(
        draws["sd", "Subject", "Days"]
    )
    u = posterior["u_Subject"].sel(Subject_level="308", Subject_column="Days")
    assert u.to_numpy() == pytest.approx(draws["u", "Subject", "308", "Days"])
    assert posterior["beta"].sel(coefficient="Days").to_numpy() == pytest.approx(draws["beta", "Days"])
    assert data["log_likelihood"]["Reaction"].shape == (4, 1000, 180)
    assert data["posterior_predictive"]["Reaction"].shape == (4, 1000, 180)


def test_loo_and_waic_agree_with_the_predictive_density(sleep_fit):
    loo, waic = sleep_fit.loo(), sleep_fit.waic()
    from mixedfx.bayes.posterior.criticism import pointwise_log_likelihood

    density = pointwise_log_likelihood(sleep_fit)
    lppd = np.log(np.exp(density).mean(axis=0)).sum()
    assert waic.elpd_waic == pytest.approx(lppd - density.var(axis=0).sum(), rel=1e-3)
    assert loo.elpd_loo == pytest.approx(waic.elpd_waic, abs=4)
