"""Residual standard deviations that depend on covariates, against dense matrices and all parameters at once.

The oracle minimises the criterion of y ~ N(X beta, sigma^2 exp(2 D gamma) / w + Z Sigma Z') over sigma, the variances
of the groups and gamma together, by quasi-Newton steps on differences.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import DataError, FormulaError, ModelError, UnseenLevelError
from mixedfx.reml.dispersion import solve_dispersion, with_gamma

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
N, GROUPS = 160, 10


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    g = np.arange(N) % GROUPS
    frame = pd.DataFrame(
        {"g": g, "arm": rng.choice(list("abc"), N), "x": rng.normal(size=N), "w": rng.gamma(3.0, size=N)}
    )
    sd = np.array([1.0, 1.6, 0.7])[np.searchsorted(list("abc"), frame["arm"])] * np.exp(0.2 * frame["x"])
    frame["y"] = 1 + 0.5 * frame["x"] + 0.8 * rng.normal(size=GROUPS)[g] + sd * rng.normal(size=N)
    return frame


def dense(parameters, data, REML, weighted=False, grouped=True):
    log_sigma, log_tau, *gamma = parameters
    D = np.column_stack([data["arm"] == "b", data["arm"] == "c", data["x"]]).astype(float)
    noise = np.exp(2 * log_sigma + 2 * D @ np.array(gamma)) / (data["w"] if weighted else 1.0)
    g = data["g"].to_numpy()
    V = np.diag(noise) + grouped * np.exp(2 * log_tau) * (g[:, None] == g)
    X, y = np.column_stack([np.ones(N), data["x"]]), data["y"].to_numpy()
    L = np.linalg.cholesky(V)
    Xw, yw = (linalg.solve_triangular(L, a, lower=True) for a in (X, y))
    r = yw - Xw @ np.linalg.lstsq(Xw, yw, rcond=None)[0]
    value = 2 * np.log(np.diag(L)).sum() + r @ r + (N - 2 * REML) * np.log(2 * np.pi)
    return value + REML * np.linalg.slogdet(Xw.T @ Xw)[1]


def second_differences(f, at, h=1e-3):
    E = np.eye(len(at)) * h
    return np.array(
        [
            [(f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) / (4 * h * h) for b in E]
            for a in E
        ]
    )  # fmt: skip


@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_it_is_the_minimum_over_all_parameters_and_its_curvature(data, REML, weighted):
    options = {"weights": "w"} if weighted else {}
    fit = mx.lmer("y ~ x + (1 | g)", data, REML=REML, dispersion="~ arm + x", **options)

    def f(p):
        return dense(p, data, REML, weighted)

    found = optimize.minimize(f, [0, -0.2, 0.3, -0.3, 0.1], method="BFGS", options={"gtol": 1e-6})
    # both stop within 1e-8 of the minimum, some 1e-4 standard errors
    assert fit.criterion == pytest.approx(found.fun, abs=1e-7)
    table = fit.dispersion
    assert table["term"].tolist() == ["arm[b]", "arm[c]", "x"]
    np.testing.assert_allclose(table["estimate"], found.x[2:], atol=2e-5)
    assert np.log(fit.sigma) == pytest.approx(found.x[0], abs=2e-5)
    covariance = 2 * np.linalg.inv(second_differences(f, found.x))
    # differences over a hundredth of a standard error leave some 1e-4
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(covariance))[2:], rtol=5e-4)
    np.testing.assert_allclose(table["ratio"], np.exp(table["estimate"]), rtol=1e-12)


def test_without_random_terms(data):
    fit = mx.lmer("y ~ x", data, dispersion="~ arm + x")
    found = optimize.minimize(
        lambda p: dense([p[0], 0.0, *p[1:]], data, True, grouped=False), [0.3, 0.3, -0.3, 0.1], method="BFGS"
    )
    assert fit.criterion == pytest.approx(found.fun, abs=1e-6)
    np.testing.assert_allclose(fit.dispersion["estimate"], found.x[1:], atol=1e-4)


def test_the_gradient_is_that_of_the_criterion(data):
    from mixedfx.reml.dispersion import _slope, _solve
    from mixedfx.reml.trust_region import DEFAULT

    design = with_gamma(build_design("y ~ x + (1 + x | g)", data, dispersion="~ arm"), np.array([0.2, -0.1]))
    for REML in (True, False):
        solution = _solve(design, REML, None, DEFAULT)
        gradient = _slope(design, solution, REML)[0]
        for k in range(2):
            step = 1e-4 * np.eye(2)[k]
            high, low = (
                _solve(with_gamma(design, np.array([0.2, -0.1]) + s * step), REML, None, DEFAULT).criterion
                for s in (1, -1)
            )
            # criteria are known to 1e-9
            assert gradient[k] == pytest.approx((high - low) / 2e-4, abs=1e-4)


def test_a_factor_gives_each_of_its_levels_a_standard_deviation_of_its_own(data):
    """Without groups and by maximum likelihood, with the factor in the mean: the root mean square of its residuals."""
    fit = mx.lmer("y ~ arm", data, REML=False, dispersion="~ arm")
    own = data.groupby("arm")["y"].std(ddof=0)
    assert fit.sigma == pytest.approx(own["a"], rel=1e-5)
    np.testing.assert_allclose(fit.dispersion["ratio"], own[["b", "c"]] / own["a"], rtol=1e-5)


def test_everything_that_draws_or_predicts_knows_the_standard_deviations(data):
    fit = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm")
    sd = fit.sigma * np.concatenate([[1.0], fit.dispersion["ratio"]])
    drawn = fit.simulate(4000, seed=1, use_u=True).to_numpy() - fit.fitted.to_numpy()[:, None]
    for level, wanted in zip("abc", sd, strict=True):
        rows = (data["arm"] == level).to_numpy()
        # 4,000 draws of 40 rows or more: standard errors of 1 / sqrt(2 n)
        assert drawn[rows].std() == pytest.approx(wanted, rel=5 / np.sqrt(2 * 4000 * 40))
    new = pd.DataFrame({"x": 0.0, "g": 0, "arm": list("abc")})
    sources = ["beta", "u", "residual"]
    wide = fit.predict(new, interval="prediction", uncertainty=sources)["se"] ** 2
    narrow = fit.predict(new, interval="confidence", uncertainty=sources[:2])["se"] ** 2
    np.testing.assert_allclose(wide - narrow, sd**2, rtol=1e-9)
    with pytest.raises(DataError, match="arm"):
        fit.predict(new.drop(columns="arm"), interval="prediction")
    fit.predict(new.drop(columns="arm"), interval="confidence")
    with pytest.raises(UnseenLevelError):
        fit.predict(new.assign(arm="z"), interval="prediction")
    scaled = fit.residuals("scaled").to_numpy()
    np.testing.assert_allclose(
        scaled, (data["y"] - fit.fitted.to_numpy()) / sd[np.searchsorted(list("abc"), data["arm"])], rtol=1e-9
    )


def test_refits_estimate_them_anew(data):
    fit = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm")
    y = fit.simulate(2, seed=4).to_numpy()
    again = fit.refit(y[:, 0])
    other = mx.lmer("y ~ x + (1 | g)", data.assign(y=y[:, 0]), dispersion="~ arm")
    assert again.criterion == pytest.approx(other.criterion, abs=1e-7)
    np.testing.assert_allclose(again.dispersion["estimate"], other.dispersion["estimate"], atol=1e-4)
    assert fit.refits(y).criterion[0] == pytest.approx(other.criterion, abs=1e-7)
    bootstrap = fit.bootstrap(12, seed=1)
    # with gamma held at its estimate, criteria would lie higher
    assert np.isfinite(bootstrap.values).all()
    cluster = fit.bootstrap(6, "cluster", seed=1)
    assert np.isfinite(cluster.values).all()


def test_models_of_the_dispersion_are_compared(data):
    plain = mx.lmer("y ~ x + (1 | g)", data)
    arm = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm")
    both = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm + x")
    assert both.n_parameters == arm.n_parameters + 1 == plain.n_parameters + 3
    table = mx.anova(plain, arm, both, refit=False)
    np.testing.assert_allclose(table["chisq"].iloc[1:], -np.diff([f.criterion for f in (plain, arm, both)]), rtol=1e-9)
    assert table["df"].iloc[1:].tolist() == [2, 1]
    likelihood = mx.anova(plain, arm)
    ml = [mx.lmer("y ~ x + (1 | g)", data, REML=False, dispersion=d).criterion for d in (None, "~ arm")]
    assert likelihood["chisq"].iloc[1] == pytest.approx(ml[0] - ml[1], abs=1e-6)
    assert mx.lmer("y ~ x + (1 | g)", data, dispersion="~ 1").criterion == plain.criterion


def test_the_summary_says_it(data):
    text = str(mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm").summary())
    assert "Logarithm of the residual standard deviation" in text
    assert "Times as large" in text
    assert "taken as known" in text


def test_update_keeps_it(data):
    fit = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm").update("y ~ 1 + (1 | g)")
    assert fit.dispersion["term"].tolist() == ["arm[b]", "arm[c]"]


def test_what_cannot_be_is_refused(data):
    formula = "y ~ x + (1 | g)"
    for wrong, match in (("y ~ arm", "a left side"), ("~ (1 | g)", "a random term"), ("~ offset(x)", "an offset")):
        with pytest.raises(FormulaError, match=match):
            mx.lmer(formula, data, dispersion=wrong)
    with pytest.raises(FormulaError, match="needs its intercept"):
        mx.lmer(formula, data, dispersion="~ 0 + x")
    with pytest.raises(ModelError, match="combination of other columns"):
        mx.lmer(formula, data.assign(z=2 * data["x"]), dispersion="~ x + z")
    with pytest.raises(ModelError, match="known sampling errors"):
        mx.lmer("y | se(w) ~ x + (1 | g)", data, dispersion="~ arm")
    with pytest.raises(ModelError, match="is no formula"):
        mx.lmer(formula, data, dispersion=3)
    with pytest.raises(ModelError, match="dispersion= estimates them"):
        mx.lmer(formula, data, dispersion="~ arm").profile()
    with pytest.raises(DataError, match="no column"):
        mx.lmer(formula, data, dispersion="~ gone")


def test_a_group_of_rows_that_is_fitted_exactly_is_no_model(data):
    alone = data.assign(one=(np.arange(N) == 7) * 1.0)
    with pytest.raises(ModelError, match="no residuals"):
        solve_dispersion(build_design("y ~ x + one", alone, dispersion="~ one"), True)


def test_what_predictors_explain_is_compared_with_a_model_of_the_same_dispersion(data):
    fit = mx.lmer("y ~ x + (1 | g)", data, dispersion="~ arm")
    null = mx.lmer("y ~ 1 + (1 | g)", data, dispersion="~ arm")
    table = fit.r2(by="level").set_index("level")
    mean = np.mean(null.design.precision.variances)
    assert table.loc["Residual", "null_variance"] == pytest.approx(null.sigma**2 * mean, rel=1e-5)
    assert table.loc["g", "null_variance"] == pytest.approx(null.varcorr["vcov"][0], rel=1e-4)


def test_it_agrees_with_known_variances_in_the_model_without_predictors(data):
    known = data.assign(s=0.5 + data["w"])
    by_formula = mx.lmer("y | se(s) ~ x + (1 | g)", known).r2(by="level")
    by_v = mx.lmer("y ~ x + (1 | g)", known, V=known["s"].to_numpy() ** 2).r2(by="level")
    np.testing.assert_allclose(by_v["r2"], by_formula["r2"], rtol=1e-9)
