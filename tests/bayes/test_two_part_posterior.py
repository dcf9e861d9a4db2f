"""Posteriors of counts with a model of their zeros: simulated values come back, and every question has its answer.

Answers about rows are compared with the same worked out from the draws of coefficients and effects, row by row.
"""

from __future__ import annotations

import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from scipy import special

import mixedfx as mx
from mixedfx.bayes.posterior.two_part_fit import TwoPartPosteriorFit
from mixedfx.errors import DataError, MixedfxWarning, ModelError, OptionError
from mixedfx.families.registry import find_two_parts
from mixedfx.results.protocol import PredictsMean
from tests.test_saving import head_of, places, repacked, used

TRUTH = {
    ("beta", "count", "Intercept"): 1.2, ("beta", "count", "x"): 0.4, ("sd", "count", "g", "Intercept"): 0.5,
    ("beta", "zero", "Intercept"): -0.4, ("beta", "zero", "w"): 0.8, ("sd", "zero", "h", "Intercept"): 0.7,
}  # fmt: skip
FAMILIES = {"zero-inflated": "poisson", "hurdle": "hurdle_negbinomial"}


def simulated(family, n=500, seed=3, places=20, years=15):
    """Counts at places g and in years h, from `TRUTH`; shape 2."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(n) % places, rng.integers(0, years, n)
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n), "g": g.astype(str), "h": h.astype(str)})
    data["arm"] = rng.choice(["old", "new"], n)
    u, v = 0.5 * rng.normal(size=places), 0.7 * rng.normal(size=years)
    eta = 1.2 + 0.4 * data["x"].to_numpy() + u[g]
    zeta = -0.4 + 0.8 * data["w"].to_numpy() + v[h]
    drawn = find_two_parts(family, "~ 1").draw(rng, np.stack([eta, zeta], -1)[None], {"shape": np.array([2.0])})
    return data.assign(y=drawn[0].astype(int))


@pytest.fixture(scope="module", params=FAMILIES)
def both(request):
    """Data and a posterior of them, of 800 draws in two chains."""
    data = simulated(FAMILIES[request.param])
    return data, sampled(data, FAMILIES[request.param], draws=800, warmup=300)


def sampled(data, family, **options):
    """The posterior, of chains that went through and agree as far as so few draws can tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes(
            "y ~ x + (1 | g)", data, family, zi="~ w + (1 | h)", chains=2, seed=1, cores=1, progress=False, **options
        )
    assert fit.sampling.divergences == 0
    assert fit.sampling.r_hat < 1.05
    return fit


def etas(fit, rows):
    """(D, m, 2) linear predictors of rows of the data, from the draws by their names."""
    draws = fit.draws()

    def one(*key):
        return draws[key].ravel()[:, None]

    eta = one("beta", "count", "Intercept") + one("beta", "count", "x") * rows["x"].to_numpy()
    eta = eta + np.concatenate([one("u", "count", "g", level, "Intercept") for level in rows["g"]], axis=1)
    zeta = one("beta", "zero", "Intercept") + one("beta", "zero", "w") * rows["w"].to_numpy()
    zeta = zeta + np.concatenate([one("u", "zero", "h", level, "Intercept") for level in rows["h"]], axis=1)
    return np.stack([eta, zeta], axis=-1)


def test_simulated_values_come_back(both):
    """Each within 3.5 posterior standard deviations: 8 of two fits, where one in 2,000 would be farther out."""
    _, fit = both
    draws = fit.draws()
    for key, true in TRUTH.items():
        values = draws[key].ravel()
        assert abs(values.mean() - true) < 3.5 * values.std(), key
    if "shape" in fit.joint.auxiliary:
        values = np.log(draws["shape",].ravel())
        assert abs(values.mean() - np.log(2.0)) < 3.5 * values.std()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES.values())
def test_it_agrees_with_maximum_likelihood(family):
    """3,000 rows: priors move means by a hundredth of a standard error, the skewness of a posterior by less than a
    third; 1,400 draws, of 200 effective ones at least, by 0.07. Standard errors within 15 %."""
    data = simulated(family, 3000, places=60, years=50)
    fit = sampled(data, family, draws=1400, warmup=400, centred=True)
    ml = mx.glmer("y ~ x + (1 | g)", data, family, zi="~ w + (1 | h)")
    theirs, ours = ml.tidy().set_index(["part", "term"]), fit.tidy().set_index(["part", "term"])
    assert list(ours.index) == list(theirs.index)
    gap = (ours["estimate"] - theirs["estimate"]) / theirs["std_error"]
    assert (gap.abs() < 0.4).all()
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=0.15)
    sds = fit.varcorr.set_index("part")["sdcor"] / ml.varcorr.set_index("part")["sdcor"]
    assert sds.between(0.95, 1.12).all()  # of 60 and 50 groups a posterior mean is above the mode
    # effects of groups, and means of rows, on the same scales
    for part, group in (("count", "g"), ("zero", "h")):
        a, b = fit.ranef[part][group]["Intercept"], ml.ranef[part][group]["Intercept"]
        assert np.corrcoef(a, b.loc[a.index])[0, 1] > 0.995
    assert np.corrcoef(fit.predict(), ml.predict())[0, 1] > 0.999


def test_predictions_are_those_of_the_draws(both):
    data, fit = both
    rows = data.iloc[5:13]
    eta = etas(fit, rows)
    linear = fit.predict(rows, kind="link")
    assert list(linear.columns) == ["count", "zero"]
    np.testing.assert_allclose(linear, eta.mean(axis=0), rtol=1e-10)
    pi = special.expit(eta[..., 1])
    np.testing.assert_allclose(fit.predict(rows, kind="zero"), pi.mean(axis=0), rtol=1e-10)
    if fit.family.name == "zero_inflated_poisson":
        mu = np.exp(eta[..., 0])
    else:
        k = fit.draws()["shape",].ravel()[:, None]
        mu = np.exp(eta[..., 0])
        mu = mu / (1 - (k / (k + mu)) ** k)
    np.testing.assert_allclose(fit.predict(rows, kind="conditional"), mu.mean(axis=0), rtol=1e-9)
    mean = (1 - pi) * mu
    np.testing.assert_allclose(fit.predict(rows), mean.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fit.epred(rows), mean, rtol=1e-9)
    np.testing.assert_allclose(fit.linpred(rows), eta, rtol=1e-10)
    table = fit.predict(rows, interval="confidence", level=0.8)
    np.testing.assert_allclose(table["lower"], np.quantile(mean, 0.1, axis=0), rtol=1e-9)
    np.testing.assert_allclose(fit.fitted.iloc[5:13], mean.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fit.residuals().iloc[5:13], rows["y"] - mean.mean(axis=0), rtol=1e-8, atol=1e-10)
    parts = fit.predict(rows, kind="link", se=True)
    assert list(parts.columns) == ["part", "estimate", "se", "lower", "upper"]
    with pytest.raises(OptionError):
        fit.predict(rows, kind="zero", interval="prediction")


def test_predictions_of_groups_without_data(both):
    """At their population mean, drawn from the population, or with all random effects at zero."""
    data, fit = both
    rows = data.iloc[:3].assign(g="new", h="other")
    draws = fit.draws()
    zeta = (
        draws["beta", "zero", "Intercept"].ravel()[:, None]
        + draws["beta", "zero", "w"].ravel()[:, None] * rows["w"].to_numpy()
    )
    found = fit.predict(rows, "population", kind="zero")
    np.testing.assert_allclose(found, special.expit(zeta).mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found, fit.predict(rows, groups="average", kind="zero"))
    with pytest.warns(mx.errors.UnseenLevelsWarning):
        sampled = fit.linpred(rows, "sample")
    spread = sampled[:, 0, 1] - zeta[:, 0]
    sd = np.sqrt((draws["sd", "zero", "h", "Intercept"] ** 2).mean())
    assert spread.std() == pytest.approx(sd, rel=0.12)  # 800 draws: 2.5 % and the spread of the sd itself
    assert np.corrcoef(sampled[:, 0, 1], sampled[:, 1, 1])[0, 1] > 0.5  # rows of one new group share its effect
    lacking = rows.assign(w=[np.nan, 1.0, 2.0])
    assert fit.predict(lacking, "population").isna().tolist() == [True, False, False]
    with pytest.raises(mx.errors.DataError, match="'w'"):
        fit.predict(rows.drop(columns="w"), "population")


def test_new_counts_have_the_zeros_and_the_moments_of_the_model(both):
    data, fit = both
    drawn = fit.simulate(None, seed=2, use_u=True)
    assert drawn.shape == (500, 800)
    assert drawn.index.equals(fit.data.index)
    # a posterior predictive check: shares of zeros and means within the spread of the simulations
    for statistic in (lambda y: (y == 0).mean(), lambda y: y.mean(), lambda y: y.std()):
        values = np.array([statistic(drawn[column].to_numpy()) for column in drawn.columns[::4]])
        assert abs(statistic(data["y"].to_numpy()) - values.mean()) < 4 * values.std()
    new = fit.simulate(3, seed=2, newdata=data.iloc[:4].assign(g="somewhere"))
    assert new.shape == (4, 3)
    fit.ppc(10)
    table = fit.predict(data.iloc[:2], kind="predictive", seed=1)
    assert (table["upper"] > table["estimate"]).all()


def test_the_log_likelihood_and_leaving_rows_out(both):
    data, fit = both
    from mixedfx.bayes.posterior.criticism import pointwise_log_likelihood

    found = pointwise_log_likelihood(fit)
    eta, aux = etas(fit, data.iloc[:20]), dict(fit.joint.auxiliary)
    known = fit.family.log_density(data["y"].to_numpy(dtype=float)[:20], eta, aux)
    np.testing.assert_allclose(found[:, :20], known, rtol=1e-9, atol=1e-11)
    loo = fit.loo()
    elpd = getattr(loo, "elpd_loo", None) if hasattr(loo, "elpd_loo") else loo.elpd
    assert found.mean(axis=0).sum() - 80 < elpd < found.mean(axis=0).sum()
    names = set(fit.to_arviz(log_likelihood=False)["posterior"].data_vars)
    assert {"beta_count", "beta_zero", "sd_g_count", "sd_h_zero", "u_g_count", "u_h_zero"} <= names


def test_tables_name_the_part(both):
    _, fit = both
    assert fit.fixef.index.names == ["part", "term"]
    assert set(fit.varcorr["part"]) == {"count", "zero"}
    pars = fit.tidy("ran_pars")
    assert {"part", "group", "term"} <= set(pars.columns)
    assert set(fit.tidy("ran_vals")["part"]) == {"count", "zero"}
    assert len(fit.ranef["zero"]["h"]) == 15
    assert fit.ngroups == {"g": 20, "h": 15}
    text = str(fit)
    assert "~ 1 + w + (1 | h)" in text
    assert ("any zero" in text) == fit.family.name.startswith("hurdle")
    described = fit.prior_summary().text()
    assert "zi: w" in described
    assert repr(fit).startswith("<TwoPartPosteriorFit y ~ 1 + x + (1 | g); zi ~ 1 + w + (1 | h): ")
    assert fit.glance()["family"].item() == fit.family.name


@pytest.mark.filterwarnings("ignore::mixedfx.errors.SamplingWarning")
def test_effects_are_of_the_mean_count(both):
    """(1 - pi) times the mean of the counts, averaged over rows draw by draw."""
    data, fit = both
    assert isinstance(fit, PredictsMean)
    eff = mx.effects(fit, {"x": [0.0, 1.0]})
    low, high = (fit.epred(data.assign(x=value)).mean(axis=1) for value in (0.0, 1.0))
    np.testing.assert_allclose(np.asarray(eff.draws()).ravel(), high - low, rtol=1e-9)
    assert "y ~ 1 + x + (1 | g); zi ~ 1 + w + (1 | h)" in str(eff)
    by_zeros = mx.effects(fit, {"w": [0.0, 1.0]}, comparison="ratio")
    low, high = (fit.epred(data.assign(w=value)).mean(axis=1) for value in (0.0, 1.0))
    assert by_zeros.table["estimate"].item() == pytest.approx(np.median(high / low))
    assert by_zeros.table["estimate"].item() < 1.0  # w makes zeros


def test_a_saved_posterior_is_the_same(both, tmp_path):
    data, fit = both
    again = mx.load(fit.save(tmp_path / "counts.mfx"))
    assert isinstance(again, TwoPartPosteriorFit)
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())
    pd.testing.assert_series_equal(again.predict(data.iloc[:5]), fit.predict(data.iloc[:5]))
    assert again.prior_summary().text() == fit.prior_summary().text()
    assert again.formula == fit.formula


def test_what_has_one_linear_predictor_only_is_refused(both):
    _, fit = both
    with pytest.raises(ModelError, match=r"two linear predictors|single linear predictor"):
        fit.apply(fit.design_for())
    with pytest.raises(ModelError, match="two linear predictors"):
        fit.predictor  # noqa: B018
    with pytest.raises(ModelError, match="counts with a model of their zeros"):
        fit.logo("g")
    with pytest.raises(ModelError, match="to_html"):
        fit.report()


def test_rows_that_either_part_lacks_are_left_out_of_both():
    data = simulated("poisson", 200)
    data.loc[[3, 7], "w"] = np.nan
    data.loc[[7, 9], "x"] = np.nan
    fit = mx.prior_predictive("y ~ x", data, family="poisson", zi="~ w", draws=40, seed=1)
    assert fit.nobs == 197
    assert not {3, 7, 9} & set(fit.data.index)


def test_prior_predictive_counts():
    """Coefficients have the moments of the prior, simulated counts zeros of both sources; without a response too."""
    data = simulated("poisson", 300)
    priors = {
        "intercept": mx.priors.normal(0.5, 0.3), "coef": mx.priors.normal(0, 0.2), "sd": mx.priors.half_normal(0.2),
        ("zi", "intercept"): mx.priors.normal(1.0, 0.4), ("zi", "coef"): mx.priors.normal(0, 0.3),
    }  # fmt: skip
    given = {"family": "poisson", "zi": "~ w", "priors": priors, "seed": 1}
    fit = mx.prior_predictive("y ~ x + (1 | g)", data, draws=2000, **given)
    draws = fit.draws()
    w = draws["beta", "zero", "w"].ravel()
    assert abs(w.mean()) < 0.05
    assert w.std() == pytest.approx(0.3, rel=0.1)  # 2,000 draws by NUTS
    centred = draws["beta", "zero", "Intercept"].ravel() + w * data["w"].mean()
    assert centred.mean() == pytest.approx(1.0, abs=0.05)
    zeros = (fit.simulate(200, seed=2) == 0).to_numpy().mean()
    expected = special.expit(fit.linpred()[..., 1]).mean()
    assert zeros > expected  # those of the counts besides
    without = mx.prior_predictive("y ~ x + (1 | g)", data.drop(columns="y"), draws=40, **given)
    assert np.isnan(without.design.y).all()
    assert without.simulate(2, seed=1).shape == (300, 2)
    assert mx.effects(without, "x").draws().shape == (40, 1)


def test_effects_of_fits_by_maximum_likelihood_name_the_model_too():
    data = simulated("poisson", 600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        zi = mx.glmer("y ~ x + (1 | g)", data, "poisson", zi="~ w")
        hurdle = mx.glmer("y ~ x + (1 | g)", data, "hurdle_poisson", zi="~ w")
        for fit in (zi, hurdle):
            text = str(mx.effects(fit, {"x": [0.0, 1.0]}))
            assert "y ~ 1 + x + (1 | g); zi ~ 1 + w" in text
            assert "Fit(" not in text


def test_tables_of_models_tell_the_parts_apart(both):
    _, fit = both
    text = mx.table(fit).to_markdown()
    for name in ("count: x", "zero: w", "SD count: g: Intercept", "SD zero: h: Intercept"):
        assert name in text


def test_files_that_are_damaged_are_refused_or_harmless(tmp_path):
    """A wrong value anywhere in what the head says of the zeros; tables, priors or parts that are not there."""
    data = simulated("poisson", 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes("y ~ x", data, "poisson", zi="~ w", draws=20, warmup=20, chains=1, seed=1, progress=False)
    path = tmp_path / "counts.mfx"
    content = fit.save(path).read_bytes()
    head = head_of(content)
    assert used(path)
    for place in places(head["zero"]):
        for wrong in (None, "x", -1) if place else ():
            changed = deepcopy(head)
            at = changed["zero"]
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = wrong
            path.write_bytes(repacked(content, changed))
            used(path)
    without = {name: value for name, value in head.items() if name != "zero"}
    priors = deepcopy(head["priors"])
    priors["zero"] = None
    for broken in (
        repacked(content, drop=("zero_data.table",)), repacked(content, without),
        repacked(content, head | {"family": ["poisson", "log"]}),
        repacked(content, head | {"categories": ["zero", "count"]}),
        repacked(content, head | {"priors": priors}), repacked(content, head | {"family": ["hurdle", "log"]}),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(DataError):
            mx.load(path)
