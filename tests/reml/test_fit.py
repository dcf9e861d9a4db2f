"""LmerFit: what a fit answers, against dense textbook formulas."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.design.build import build_design
from mixedfx.errors import (
    ConvergenceWarning,
    IdentifiabilityWarning,
    MixedfxWarning,
    OptionError,
    SingularFitWarning,
)
from mixedfx.formula.parse import parse_formula
from mixedfx.reml.fit import LmerFit
from mixedfx.reml.lmer import lmer
from mixedfx.results.optimization import Outcome
from mixedfx.results.protocol import Fit
from tests.oracles import dense_lmm

DATA = Path(__file__).parents[1] / "data"


def sleepstudy():
    return pd.read_csv(DATA / "sleepstudy.csv", dtype={"Subject": str})


@pytest.fixture(scope="module")
def sleep():
    return lmer("Reaction ~ Days + (Days | Subject)", sleepstudy())


def random_fit(seed, formula="y ~ x + f + (x | g) + (1 | h)", n=60, REML=True):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 7, n), rng.integers(0, 6, n)
    x = rng.normal(size=n)
    effects = rng.normal(size=(7, 2)) * [1.0, 0.7]
    data = pd.DataFrame(
        {
            "x": x,
            "f": rng.choice(list("abc"), n),
            "g": g,
            "h": h,
            "w": rng.uniform(0.3, 3, n),
            "o": rng.normal(size=n),
        }
    )
    data["y"] = 3 + x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=6)[h] + data["o"] + rng.normal(size=n)
    data["g"], data["h"] = data["g"].astype(str), data["h"].astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # some of these data sets are singular: that is wanted
        return lmer(formula, data, REML, weights="w", offset="o"), data


def fit_from(design, solution: Any):
    """The fit around a solution of the dense oracle, which has the fields of the package's own."""
    return LmerFit(design, solution)


FORMULAS = [
    "y ~ x + f + (x | g) + (1 | h)",
    "y ~ x + (x || g)",
    "y ~ 0 + f + (1 | g) + (0 + x | g)",
    "y ~ x * f + (0 + f | g)",
    "y ~ f + (1 | g:h) + (1 | h)",
]


@given(seed=st.integers(0, 10**6), formula=st.sampled_from(FORMULAS), REML=st.booleans())
@settings(max_examples=40, deadline=None)
def test_everything_equals_the_dense_formulas_at_the_same_theta(seed, formula, REML):
    fit, _ = random_fit(seed, formula, REML=REML)
    dense = fit_from(fit.design, dense_lmm.solution_at(fit.design, fit.theta.to_numpy(), REML))
    # 1e-7 relative: the dense inverse of V loses some digits where theta is large
    assert fit.criterion == pytest.approx(dense.criterion, rel=1e-8)
    assert fit.sigma == pytest.approx(dense.sigma, rel=1e-7)
    scale = fit.sigma
    np.testing.assert_allclose(fit.fixef, dense.fixef, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(fit.vcov, dense.vcov, rtol=1e-6, atol=1e-8 * scale**2)
    np.testing.assert_allclose(fit.fitted, dense.fitted, atol=1e-6 * scale)
    np.testing.assert_allclose(fit.varcorr["vcov"], dense.varcorr["vcov"], rtol=1e-6, atol=1e-9 * scale**2)
    for name in fit.ranef:
        np.testing.assert_allclose(fit.ranef[name], dense.ranef[name], atol=1e-6 * scale)
        np.testing.assert_allclose(fit.ranef_sd[name], dense.ranef_sd[name], atol=1e-6 * scale)
    rng = np.random.default_rng(seed)
    rows = fit.design_for().combine(rng.normal(size=(5, fit.nobs)))
    fast, slow = fit.apply(rows), dense.apply(rows)
    size = np.sqrt(np.diag(slow.cov))
    np.testing.assert_allclose(fast.mean, slow.mean, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(fast.cov / np.outer(size, size), slow.cov / np.outer(size, size), atol=1e-6)
    np.testing.assert_allclose(fast.variances, np.diag(slow.cov), rtol=1e-6)


@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_derivative_free_search_finds_a_lower_criterion(seed, REML):
    fit, _ = random_fit(seed, "y ~ x + (x | g)", REML=REML)
    assert fit.criterion <= dense_lmm.solve(fit.design, REML).criterion + 1e-7


def test_it_is_a_fit(sleep):
    assert isinstance(sleep, Fit)
    assert "theta" in sleep.uncertainty


def test_names_follow_the_design(sleep):
    assert sleep.fixef.index.tolist() == ["Intercept", "Days"]
    assert sleep.vcov.columns.tolist() == ["Intercept", "Days"]
    assert sleep.theta.index.tolist() == ["Subject.Intercept", "Subject.Days.Intercept", "Subject.Days"]
    assert sleep.ranef["Subject"].columns.tolist() == ["Intercept", "Days"]
    assert sleep.ranef["Subject"].index[0] == "308"
    assert sleep.ngroups == {"Subject": 18}
    assert sleep.nobs == 180


def test_the_formula_can_be_parsed_again(sleep):
    assert str(parse_formula(sleep.formula)) == sleep.formula


def test_fitted_and_residuals_add_up_and_keep_the_rows_of_the_data():
    fit, data = random_fit(3)
    data.loc[[4, 9], "x"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = lmer("y ~ x + (1 | g)", data, weights="w", offset="o")
    kept = [i for i in range(60) if i not in (4, 9)]
    assert fit.fitted.index.tolist() == kept
    np.testing.assert_allclose(fit.fitted + fit.residuals(), data["y"][kept], rtol=1e-12)
    root = np.sqrt(data["w"][kept])
    np.testing.assert_allclose(fit.residuals("pearson"), root * fit.residuals(), rtol=1e-12)
    np.testing.assert_allclose(fit.residuals("scaled"), root * fit.residuals() / fit.sigma, rtol=1e-12)
    with pytest.raises(OptionError, match="'scaled'"):
        fit.residuals("deviance")  # pyright: ignore[reportArgumentType]


def test_information_criteria_count_fixed_effects_theta_and_sigma(sleep):
    assert sleep.n_parameters == 2 + 3 + 1
    assert sleep.aic == pytest.approx(sleep.criterion + 12)
    assert sleep.bic == pytest.approx(sleep.criterion + 6 * np.log(180))
    assert sleep.loglik == -sleep.criterion / 2


def test_predictions_for_the_rows_of_the_fit_are_the_fitted_values():
    fit, data = random_fit(4)
    np.testing.assert_allclose(fit.predict(), fit.fitted, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(data), fit.fitted, rtol=1e-10)


def test_a_polars_frame_gives_the_same_fit_and_predictions(sleep):
    frame = pl.from_pandas(sleepstudy())
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame)
    assert fit.criterion == sleep.criterion
    np.testing.assert_array_equal(fit.predict(frame), sleep.predict(sleepstudy()))
    assert fit.predict(frame[:3]).index.tolist() == [0, 1, 2]


def test_a_fit_survives_pickling(sleep):
    again = pickle.loads(pickle.dumps(sleep))
    assert str(again) == str(sleep)
    np.testing.assert_array_equal(again.predict(sleepstudy().head(2)), sleep.predict(sleepstudy().head(2)))


def test_average_groups_leave_the_fixed_part(sleep):
    new = pd.DataFrame({"Days": [0.0, 4.0], "Subject": ["308", "nobody"]}, index=["a", "b"])
    found = sleep.predict(new, groups="average")
    assert found.index.tolist() == ["a", "b"]
    np.testing.assert_allclose(found, sleep.fixef["Intercept"] + sleep.fixef["Days"] * new["Days"], rtol=1e-12)
    with pytest.raises(OptionError, match="'average'"):
        sleep.predict(new, groups="none")


def test_new_levels_predict_the_population_or_a_draw_from_it(sleep):
    new = pd.DataFrame({"Days": [0.0, 4.0, 0.0], "Subject": ["x", "x", "y"]})
    mean = sleep.predict(new, groups="average")
    np.testing.assert_allclose(sleep.predict(new, new_levels="population"), mean, rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        drawn = np.array([sleep.predict(new, new_levels="sample", seed=s) - mean for s in range(600)])
    T = sleep.solution.factors[0] * sleep.sigma
    z = np.array([[1.0, 0.0], [1.0, 4.0]])
    within = z @ T @ T.T @ z.T
    expected = np.block([[within, np.zeros((2, 1))], [np.zeros((1, 2)), (T @ T.T)[:1, :1]]])
    # 600 draws: a covariance is off by less than 5 of its standard errors, sqrt(2 / 600) of the variances
    sd = np.sqrt(np.diag(expected))
    assert np.abs((np.cov(drawn.T) - expected) / np.outer(sd, sd)).max() < 5 * np.sqrt(2 / 600)


def test_summary_of_sleepstudy_reads_like_this():
    data = sleepstudy()
    data.loc[[0, 1, 50], "Reaction"] = np.nan
    data.loc[1, "Days"] = np.nan
    fit = lmer("Reaction ~ Days + (Days | Subject)", data)
    assert str(fit) == SUMMARY.format(evaluations=fit.optimization.evaluations)


SUMMARY = """\
Linear mixed model fit by REML

Formula: Reaction ~ Days + (Days | Subject)
Data:    177 of 180 rows used; 3 dropped for missing values: Reaction (3), Days (1)

Fit
 REML criterion   logLik      AIC      BIC  Parameters
        1716.04  -858.02  1728.04  1747.09           6

Groups
 Group    Levels  Rows per level: min  median  max
 Subject      18                    8      10   10

Random effects
 Group     Effect     Variance  Std. dev.  Correlations
 Subject   Intercept    650.33     25.502
           Days          33.95      5.827   0.07
 Residual               658.57     25.663

Fixed effects
            Estimate  Std. error    df      t        p
 Intercept   252.605       7.056  17.3  35.80  1.0e-17
 Days         10.282       1.534  16.7   6.70  4.1e-06

Scaled residuals
   Min     1Q  Median    3Q   Max
 -3.94  -0.46    0.04  0.47  5.13

Tests:       Satterthwaite's degrees of freedom
Convergence: converged: gradient zero and curvature positive ({evaluations} evaluations)
Singularity: not singular: every variance is positive and no correlation is one"""


def test_html_tells_the_same_numbers(sleep):
    html = sleep._repr_html_()
    for number in ("1743.63", "251.405", "24.740", "0.07", "not singular"):
        assert number in html
        assert number in str(sleep)


def test_repr_is_one_line(sleep):
    assert repr(sleep) == (
        "<LmerFit Reaction ~ 1 + Days + (1 + Days | Subject): REML criterion 1743.63, 180 rows, Subject 18>"
    )


def test_tidy_and_glance(sleep):
    fixed = sleep.tidy()
    assert fixed["p_value"].notna().all()
    assert sleep.tidy(ddf=None)["p_value"].isna().all()
    assert sleep.tidy(ddf="residual")["df"].tolist() == [178, 178]
    assert sleep.tidy("ran_pars")["term"].tolist() == [
        "sd__Intercept",
        "sd__Days",
        "cor__Intercept.Days",
        "sd__Observation",
    ]
    values = sleep.tidy("ran_vals")
    assert len(values) == 36
    np.testing.assert_allclose(values["std_error"], sleep.ranef_sd["Subject"].to_numpy().ravel())
    with pytest.raises(OptionError, match="'ran_vals'"):
        sleep.tidy("random")
    assert sleep.glance().loc[0, "REMLcrit"] == sleep.criterion
    assert "p" in sleep.summary(ddf="normal").text().split("Fixed effects")[1]


def test_a_singular_fit_warns_with_direction_and_smaller_formula():
    with pytest.warns(SingularFitWarning, match="sd of Intercept within `Batch` is zero") as caught:
        fit = lmer("Yield ~ 1 + (1 | Batch)", pd.read_csv(DATA / "dyestuff2.csv"))
    assert caught[0].filename == __file__  # the warning points at the caller's line
    assert fit.singular
    assert fit.converged
    assert "Yield ~ 1" in str(fit)
    assert fit.glance().loc[0, "singular"]


def test_the_smaller_formula_of_a_fit_without_groups_can_be_fitted():
    with pytest.warns(SingularFitWarning):
        fit = lmer("Yield ~ 1 + (1 | Batch)", pd.read_csv(DATA / "dyestuff2.csv"))
    smaller = lmer(str(fit.singularity.smaller), pd.read_csv(DATA / "dyestuff2.csv"))
    # a variance of zero is no variance: the same criterion, sigma and standard error
    assert smaller.criterion == pytest.approx(fit.criterion, abs=1e-9)
    assert smaller.sigma == pytest.approx(fit.sigma, rel=1e-9)
    np.testing.assert_allclose(smaller.vcov, fit.vcov, rtol=1e-9)


def test_a_stalled_optimiser_warns(monkeypatch):
    from mixedfx.reml import solution as module

    def stalled(design, REML=True, **options):
        found = original(design, REML, **options)
        return replace(found, optimization=replace(found.optimization, outcome=Outcome.STALLED))

    original = module.solve
    monkeypatch.setattr(module, "solve", stalled)
    with pytest.warns(ConvergenceWarning, match="gradient is not zero"):
        fit = lmer("Reaction ~ Days + (Days | Subject)", sleepstudy())
    assert not fit.converged
    assert "gradient is not zero" in str(fit)


@pytest.mark.parametrize("REML", [True, False])
def test_without_random_terms_it_is_weighted_least_squares(REML):
    _, data = random_fit(5)
    fit = lmer("y ~ x + f", data, REML, weights="w", offset="o")
    dense = dense_lmm.solution_at(fit.design, [], REML)
    assert fit.criterion == pytest.approx(dense.criterion, rel=1e-12)
    np.testing.assert_allclose(fit.fixef, dense.beta, rtol=1e-10)
    np.testing.assert_allclose(fit.vcov, dense.vcov, rtol=1e-10)
    rows = fit.design_for(data.head(3))
    np.testing.assert_allclose(fit.apply(rows).cov, dense.joint.covariance(rows.fixed, rows.random), rtol=1e-10)
    np.testing.assert_allclose(fit.apply(rows).variances, np.diag(fit.apply(rows).cov), rtol=1e-12)
    assert fit.converged
    assert not fit.singular
    assert fit.ranef == {}
    assert fit.varcorr["grp"].tolist() == ["Residual"]
    assert str(fit).startswith("Linear model fit by")
    assert fit.simulate(2, seed=1).shape == (60, 2)
    assert list(fit.draws(3, seed=1)) == [("beta", name) for name in fit.fixef.index]


def test_terms_that_share_a_factor_share_a_ranef_table():
    fit, _ = random_fit(6, "y ~ x + (1 | g) + (0 + x | g)")
    assert list(fit.ranef) == ["g"]
    assert fit.ranef["g"].columns.tolist() == ["Intercept", "x"]
    assert [key for key in fit.draws(2, seed=1) if key[:3] == ("u", "g", "0")] == [
        ("u", "g", "0", "Intercept"),
        ("u", "g", "0", "x"),
    ]


def test_duplicate_columns_under_one_factor_keep_keys_apart():
    with pytest.warns(IdentifiabilityWarning):
        design = build_design("y ~ x + (1 | g) + (x | g)", random_fit(7)[1])
    fit = fit_from(design, dense_lmm.solution_at(design, [0.5, 0.5, 0.1, 0.3]))
    assert list(fit.ranef) == ["g", "g.1"]
    assert len(set(fit.draws(2, seed=1))) == 2 + 7 * 3
