"""Bootstrap: reproducible whoever runs it, honest counts, moments that theory knows, and resampled designs."""

import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import OptionError, ResamplingWarning
from mixedfx.inference.bootstrap import Bootstrap
from mixedfx.inference.parameters import parameters_of
from mixedfx.inference.predictor import random_part
from mixedfx.inference.resampling import cluster_of, nested_in, resample_rows
from mixedfx.reml import cluster_refits
from mixedfx.reml.bootstrapping import Plan
from mixedfx.reml.cluster_refits import group_products
from mixedfx.reml.lmer import lmer
from mixedfx.reml.resampling import reflated
from mixedfx.reml.solution import solve_design

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def data(name):
    return pd.read_csv(DATA / f"{name}.csv")


@pytest.fixture(scope="module")
def pastes():
    return lmer("strength ~ 1 + (1 | batch/cask)", data("pastes"))


def test_a_thousand_sleepstudy_refits_take_less_than_a_second(sleepstudy):
    """0.1 s on an idle core; the issue asks for 1 s."""
    sleepstudy.bootstrap(10, seed=0)
    begin = time.perf_counter()
    found = sleepstudy.bootstrap(1000, seed=0)
    assert time.perf_counter() - begin < 1.0
    assert len(found) == 1000
    assert found.failed == 0


@pytest.mark.parametrize("kind", ["parametric", "cluster", "residual"])
def test_the_seed_decides_and_not_the_backend(kind):
    fit = lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff"))
    one = fit.bootstrap(260, kind, seed=7)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        two = fit.bootstrap(260, kind, seed=7, n_jobs=None)
    np.testing.assert_array_equal(one.values, two.values)


def test_the_seed_decides_and_not_the_number_of_processes(sleepstudy):
    one = sleepstudy.bootstrap(260, seed=7)
    np.testing.assert_array_equal(one.values, sleepstudy.bootstrap(260, seed=7, n_jobs=2).values)
    assert not np.array_equal(one.values, sleepstudy.bootstrap(260, seed=8).values)


def test_a_statistic_of_ones_own_agrees_with_the_parameter_it_computes(sleepstudy):
    def slope(fit):
        return fit.fixef["Days"]

    own = sleepstudy.bootstrap(20, statistic=slope, seed=1)
    # a block of 20 draws the same numbers whichever way the models are fitted
    named = sleepstudy.bootstrap(20, statistic="Days", seed=1)
    np.testing.assert_allclose(own.values, named.values, atol=1e-4 * named.values.std())
    assert own.tidy()["term"].tolist() == ["statistic"]
    series = sleepstudy.bootstrap(3, statistic=lambda fit: fit.fixef, seed=1)
    assert series.replicates.columns.tolist() == ["Intercept", "Days"]


def test_parametric_moments_are_those_of_the_estimators(sleepstudy):
    """The GLS estimator's covariance in a balanced design does not depend on theta: it is vcov, exactly."""
    n = 4000
    found = sleepstudy.bootstrap(n, seed=11).replicates
    sd = np.sqrt(np.diag(sleepstudy.vcov))
    bias = (found[["Intercept", "Days"]].mean() - sleepstudy.fixef) / (sd / np.sqrt(n))
    assert np.abs(bias).max() < 4
    # the variance of a sample variance is 2 sd^4 / n
    ratio = found[["Intercept", "Days"]].var().to_numpy() / sd**2
    assert np.abs(ratio - 1).max() < 4 * np.sqrt(2 / n)
    # sigma^2 of a balanced REML fit away from the boundary is chi square over its 144 = 180 - 18 x 2 df
    residual = found["sigma"] ** 2 / sleepstudy.sigma**2
    assert abs(residual.mean() - 1) < 4 * np.sqrt(2 / 144 / n) + 0.005


def test_with_use_u_the_groups_stay(sleepstudy):
    """Given u, the mean response of the design is X beta-hat + Z u-hat: the grand mean is unbiased for it."""
    found = sleepstudy.bootstrap(2000, use_u=True, statistic="fixed", seed=3).replicates
    fixed = sleepstudy.bootstrap(2000, statistic="fixed", seed=3).replicates
    assert (found.var() < 0.5 * fixed.var()).all()


def test_residual_bootstrap_has_the_estimated_covariances(sleepstudy):
    effects, e = reflated(sleepstudy.design, sleepstudy.solution)
    T, sigma = sleepstudy.solution.factors[0], sleepstudy.sigma
    np.testing.assert_allclose(effects[0].T @ effects[0] / 18, sigma**2 * T @ T.T, rtol=1e-10)
    np.testing.assert_allclose(effects[0].mean(axis=0), 0.0, atol=1e-10)
    assert np.mean(e**2) == pytest.approx(sigma**2)
    found = sleepstudy.bootstrap(2000, "residual", seed=5).replicates
    ratio = found["Days"].var() / sleepstudy.vcov.loc["Days", "Days"]
    assert ratio == pytest.approx(1.0, abs=4 * np.sqrt(2 / 2000))


def test_groups_drawn_from_cross_products_equal_fits_of_their_rows(sleepstudy):
    codes = cluster_of(sleepstudy.design)
    weighted = lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy_weighted"), weights="w", offset="off")
    two_terms = lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data("sleepstudy"), REML=False)
    for fit in (sleepstudy, weighted, two_terms):
        drawn = np.random.default_rng(2).integers(0, 18, (5, 18))
        counts = np.array([np.bincount(d, minlength=18) for d in drawn], dtype=float)
        by_group = group_products(fit.design, fit.solution.problem, fit.solution.theta).fits(counts)
        assert by_group.good.all()
        for b in range(5):
            scratch = solve_design(resample_rows(fit.design, codes, drawn[b]), fit.REML)
            # both are good to 1e-9 of the criterion
            np.testing.assert_allclose(by_group.beta[b], scratch.beta, rtol=1e-5)
            np.testing.assert_allclose(by_group.theta[b], scratch.theta, rtol=1e-4, atol=1e-5)
            assert by_group.sigma[b] == pytest.approx(scratch.sigma, rel=1e-5)


def test_a_batch_that_breaks_down_is_fitted_one_by_one(sleepstudy, monkeypatch):
    """And gives the same; of a data set without a coefficient's column nothing is tried."""
    products = group_products(sleepstudy.design, sleepstudy.solution.problem, sleepstudy.solution.theta)
    counts = np.array([np.bincount(d, minlength=18) for d in np.random.default_rng(3).integers(0, 18, (4, 18))])
    together = products.fits(counts.astype(float))

    def broken(*args):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(cluster_refits, "fit_together", broken)
    alone = products.fits(counts.astype(float))
    assert alone.good.all()
    np.testing.assert_allclose(alone.beta, together.beta, rtol=1e-6)
    np.testing.assert_allclose(alone.theta, together.theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone.sigma, together.sigma, rtol=1e-6)
    nothing = products.fits(np.zeros((1, 18)))
    assert not nothing.good.any()
    assert np.isnan(nothing.beta).all()


def test_a_thousand_cluster_refits_take_a_fraction_of_a_second(sleepstudy):
    """Measured 0.3 s with all else running, against 6 s one by one; the bound leaves room for a busy machine."""
    begin = time.perf_counter()
    found = sleepstudy.bootstrap(1000, "cluster", seed=1)
    assert time.perf_counter() - begin < 2.0
    assert len(found) + found.failed == 1000


def test_every_group_once_is_the_fit_itself(pastes):
    codes = cluster_of(pastes.design)
    design = resample_rows(pastes.design, codes, np.random.default_rng(1).permutation(10))
    again = solve_design(design, True)
    assert again.criterion == pytest.approx(pastes.criterion, abs=1e-7)
    assert again.sigma == pytest.approx(pastes.sigma, rel=1e-5)


def test_copies_of_a_group_are_groups_of_their_own(pastes):
    """Ten batches with three casks each: a batch drawn twice gives two batches and six casks."""
    terms = {t.label: t for t in pastes.design.random}
    codes = cluster_of(pastes.design)
    np.testing.assert_array_equal(codes, terms["batch"].codes)
    design = resample_rows(pastes.design, codes, np.array([4, 4, 4, 7]))
    by_label = {t.label: t.n_levels for t in design.random}
    assert by_label["batch"] == 4
    assert by_label[next(label for label in by_label if label != "batch")] == 12
    inner = next(t.codes for t in design.random if t.label != "batch")
    assert nested_in(inner, next(t.codes for t in design.random if t.label == "batch"))
    crossed = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data("penicillin"))
    drawn = resample_rows(crossed.design, cluster_of(crossed.design, "plate"), np.zeros(5, dtype=int))
    assert {t.label: t.n_levels for t in drawn.random} == {"plate": 5, "sample": 6}


def test_crossed_factors_need_a_choice():
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data("penicillin"))
    with pytest.raises(OptionError, match="crossed"):
        fit.bootstrap(10, "cluster")
    with pytest.raises(OptionError, match="cluster='dish'"):
        fit.bootstrap(10, "cluster", cluster="dish")
    assert len(fit.bootstrap(10, "cluster", cluster="plate", seed=1)) == 10


def test_replicates_that_cannot_be_fitted_are_counted():
    """A treatment given to one group of six is missing from about a third of the resampled data sets."""
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(6), 8)
    frame = pd.DataFrame({"g": g, "t": (g == 0).astype(float), "h": np.tile(np.arange(8) // 2, 6)})
    frame["y"] = rng.normal(size=6)[g] + rng.normal(size=48)
    fit = lmer("y ~ t + (1 | g) + (1 | g:h)", frame)
    with pytest.warns(ResamplingWarning, match="of 60 bootstrap fits"):
        found = fit.bootstrap(60, "cluster", seed=1)
    assert found.failed + len(found) == 60
    # (5 / 6)^6 = 0.335
    assert abs(found.failed / 60 - 0.335) < 4 * np.sqrt(0.335 * 0.665 / 60)


def test_singular_replicates_are_counted_and_kept():
    fit = lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))
    found = fit.bootstrap(400, seed=2)
    assert len(found) == 400
    assert found.singular == int((found.replicates["sd__Intercept|Batch"] == 0).sum())
    counts = f"Parametric bootstrap: 400 replicates, 0 failed and left out, {found.singular} singular"
    assert repr(found).splitlines()[0] == counts
    assert counts in found._repr_html_()
    assert 0.3 < found.singular / 400 < 0.8


def test_intervals_by_their_definitions():
    rng = np.random.default_rng(0)
    fit = lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"))
    parameters = parameters_of(fit.design)[-2:]
    values = rng.gamma(2.0, size=(999, 2))
    values[:50, 1] = np.nan
    found = Bootstrap(parameters, np.array([1.5, 1.0]), values, "parametric", 0, 0)
    low, high = np.nanquantile(values, [0.05, 0.95], axis=0)
    percentile, basic, normal = (found.confint(0.9, kind) for kind in ("percentile", "basic", "normal"))
    np.testing.assert_allclose(percentile[["conf_low", "conf_high"]].to_numpy().T, [low, high])
    np.testing.assert_allclose(basic["conf_low"], 2 * np.array([1.5, 1.0]) - high)
    centre = 2 * np.array([1.5, 1.0]) - np.nanmean(values, axis=0)
    half = 1.6448536269514722 * np.nanstd(values, axis=0, ddof=1)
    np.testing.assert_allclose(normal["conf_high"], centre + half)
    assert found.tidy()["n"].tolist() == [999, 949]
    with pytest.raises(OptionError, match="interval='bca'"):
        found.confint(interval="bca")


def test_confint_takes_every_method(sleepstudy):
    wald = sleepstudy.confint(ddf="normal")
    tidy = sleepstudy.tidy(ddf="normal")
    np.testing.assert_allclose(wald["conf_low"], tidy["conf_low"])
    assert wald["term"].tolist() == ["Intercept", "Days"]
    default = sleepstudy.confint()
    np.testing.assert_allclose(default["conf_high"], sleepstudy.tidy()["conf_high"])
    robust = sleepstudy.vcov_robust("CR2")
    given = sleepstudy.confint(vcov=robust)
    np.testing.assert_allclose(given["conf_low"], sleepstudy.tidy(vcov=robust)["conf_low"])
    assert (given["conf_low"] != default["conf_low"]).any()
    with pytest.raises(OptionError, match="vcov= is for method='wald'"):
        sleepstudy.confint("profile", vcov=robust)
    boot = sleepstudy.confint("boot", "sigma", n=200, seed=1, names="lme4")
    assert boot.index.tolist() == ["sigma"]
    with pytest.raises(OptionError, match="Wald intervals are for fixed effects"):
        sleepstudy.confint(parm="sigma")
    with pytest.raises(OptionError, match="'seed' is an argument of method='boot'"):
        sleepstudy.confint("profile", seed=1)
    with pytest.raises(OptionError, match="method='hpd'"):
        sleepstudy.confint("hpd")


def test_options_are_checked(sleepstudy):
    with pytest.raises(OptionError, match="use_u belongs"):
        sleepstudy.bootstrap(10, "cluster", use_u=True)
    with pytest.raises(OptionError, match="kind='wild'"):
        sleepstudy.bootstrap(10, "wild")
    with pytest.raises(OptionError, match="n=0"):
        sleepstudy.bootstrap(0)


def test_a_model_without_random_terms_has_a_bootstrap_too():
    fit = lmer("Reaction ~ Days", data("sleepstudy"))
    found = fit.bootstrap(500, seed=1)
    assert found.replicates["Days"].std() == pytest.approx(np.sqrt(fit.vcov.loc["Days", "Days"]), rel=0.15)
    clusters = fit.bootstrap(300, "cluster", cluster="Days", seed=1)
    assert len(clusters) > 250


def test_a_plan_carries_no_data_frame(sleepstudy):
    """What goes to a worker is numbers; a formula or a frame may not even be picklable."""
    light = replace(sleepstudy.design, columns=None, spec=None, formula=None)
    plan = Plan(light, sleepstudy.solution, parameters_of(sleepstudy.design), "parametric", False, None)
    found = plan.block(5, np.random.SeedSequence(1))
    assert found.values.shape == (5, 6)
    assert np.isfinite(random_part(light, sleepstudy.solution.u)).all()


def test_the_progress_bar_is_shown_when_asked(sleepstudy, capsys):
    sleepstudy.bootstrap(50, seed=1)
    assert capsys.readouterr().err == ""
    sleepstudy.bootstrap(50, seed=1, progress=True)
    assert "parametric bootstrap" in capsys.readouterr().err
