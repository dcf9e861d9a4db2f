"""mixedfx.rma: every estimator and test against metafor, the mixed model it is a case of, few studies, bad input."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import (
    ConvergenceWarning,
    DataError,
    EmptyIntervalWarning,
    FewEffectsWarning,
    ModelError,
    OptionError,
)
from mixedfx.meta.univariate.estimates import _design, read_estimates, sampling_variances
from mixedfx.meta.univariate.heterogeneity import ESTIMATORS, eigenvalues
from mixedfx.meta.univariate.likelihood import loglik
from mixedfx.meta.univariate.location_scale import derivatives
from mixedfx.meta.univariate.quadratic_forms import upper_probability
from mixedfx.meta.univariate.weighted import Effects, orthonormal

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "meta" / "rma.json").read_text())
DATA = {name: pd.DataFrame(columns) for name, columns in REFERENCE["data"].items()}
BCG = DATA["bcg"]
# metafor's iterations stop at steps of 1e-13; what is left differs by rounding that weights of 1e2 enlarge.
TOLERANCE = 1e-8

FORMULAS = {
    "ablat": "yi ~ ablat",
    "ablat year": "yi ~ ablat + year",
    "ablat year alloc": "yi ~ ablat + year + alloc",
    "alloc no intercept": "yi ~ 0 + alloc",
    "weeks": "yi ~ few",
}


def fitted(name, **options):
    """The fit that a name of the reference describes: data, perhaps moderators, method, perhaps a test."""
    data, *words = name.split()
    test = words.pop() if words[-1] in ("t", "knha", "adhoc") else "z"
    method = words.pop()
    frame = DATA[data]
    if words == ["small"]:
        frame, words = frame[:3], []
    return mx.rma(FORMULAS.get(" ".join(words), "yi ~ 1"), frame, method=method, test=test, **options)


def close(found, expected, tolerance=TOLERANCE, small=1e-10):
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=tolerance, atol=small)


@pytest.mark.parametrize("name", REFERENCE["fits"])
def test_figures_are_those_of_metafor(name):
    expected, fit = REFERENCE["fits"][name], fitted(name)
    table, one = fit.tidy(), fit.glance().iloc[0]
    close(fit.tau2, expected["tau2"])
    if expected["se_tau2"] is not None and fit.estimator.heterogeneous:
        close(fit.se_tau2, expected["se_tau2"])
    columns = {"estimate": "beta", "std_error": "se", "statistic": "statistic", "p_value": "p", "conf_low": "low"}
    for column, key in {**columns, "conf_high": "high"}.items():
        close(table[column], np.atleast_1d(expected[key]))
    close(fit.covariance.ravel(), np.atleast_1d(expected["vcov"]))
    for column in ("QE", "I2", "H2"):
        close(one[column], expected[column])
    # far in the tail rounding of Q is enlarged by Q itself
    close(one["QE_p_value"], expected["QEp"], 1e-6, 1e-300)
    if fit.p > 1:
        close(one["QM"], expected["QM"])
        close(one["QM_p_value"], expected["QMp"])
        if expected["R2"] is not None and fit.estimator.heterogeneous:
            close(one["R2"], expected["R2"])
    close(fit.s2, expected["s2w"])
    close(one[["logLik", "deviance", "AIC", "BIC", "AICc"]].astype(float), expected["stats"])


@pytest.mark.parametrize("name", REFERENCE["QP"])
def test_q_profile_intervals_are_those_of_metafor(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyIntervalWarning)
        table = fitted(name).confint("heterogeneity", method="QP").set_index("term")
    # metafor's bisection ends 1e-12 of tau^2's range away
    for term in ("tau2", "I2", "H2"):
        expected = REFERENCE["QP"][name][term]
        close(table.loc[term], expected, 1e-7, 1e-9)


@pytest.mark.parametrize("name", REFERENCE["PL"])
def test_profile_likelihood_intervals_are_those_of_metafor(name):
    table = fitted(name).confint("heterogeneity", method="PL").set_index("term")
    for term in ("tau2", "I2", "H2"):
        close(table.loc[term], REFERENCE["PL"][name][term], 1e-7, 1e-9)


PUBLISHED = {
    "REML": (0.088438, 0.313243), "DL": (0.047097, 0.308760), "PM": (0.085902, 0.318094), "EB": (0.085914, 0.318069),
    "HE": (0.080142, 0.328564), "HS": (0.044156, 0.228363), "SJ": (0.088499, 0.345516), "ML": (0.086537, 0.280028),
    "PMM": (0.087171, 0.343409), "HSk": (0.045045, 0.249170),
}  # fmt: skip


@pytest.mark.parametrize("method", PUBLISHED)
def test_estimates_of_tau2_as_packages_print_them(method):
    """Six decimals; PM and EB of others stop iterating at steps of 1e-5."""
    loose = 3e-5 if method in ("PM", "PMM", "EB") else 6e-7
    for name, printed in zip(("konstantopoulos", "bcg"), PUBLISHED[method], strict=True):
        assert mx.rma("yi ~ 1", DATA[name], method=method).tau2 == pytest.approx(printed, abs=loose)


def test_weights_that_are_given_are_those_of_metafor():
    total = BCG.tpos + BCG.tneg
    root = 1 / np.sqrt(BCG.vi)
    cases = {
        "bcg weights REML": mx.rma("yi ~ 1", BCG, weights=total),
        "bcg weights GENQ": mx.rma("yi ~ 1", BCG, weights=root, method="GENQ"),
        "bcg ablat weights GENQ": mx.rma("yi ~ ablat", BCG, weights=root, method="GENQ"),
    }
    for name, fit in cases.items():
        expected = REFERENCE["weighted"][name]
        close(fit.tau2, expected["tau2"])
        close(fit.se_tau2, expected["se_tau2"])
        close(fit.beta, np.atleast_1d(expected["beta"]))
        close(fit.covariance.ravel(), np.atleast_1d(expected["vcov"]))
        close(fit.QM, expected["QM"])


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("formula", ["yi ~ 1", "yi ~ ablat", "yi ~ ablat + alloc"])
def test_it_is_the_mixed_model_with_known_errors(method, formula):
    """All is the same at its tau^2; its optimiser stops where the criterion is flat to rounding, 1e-6 errors away."""
    fit = mx.rma(formula, BCG, method=method)
    data = BCG.assign(sei=np.sqrt(BCG.vi))
    left, right = formula.split(" ~ ")
    mixed = mx.lmer(
        f"{left} | se(sei) ~ {right} + (1 | trial)", data, REML=method == "REML", control={"tolerance": 1e-18}
    )
    tau2 = mixed.varcorr["vcov"][0]
    assert fit.tau2 == pytest.approx(tau2, abs=1e-6 * fit.se_tau2)
    assert (abs(fit.beta - mixed.fixef) < 1e-6 * fit.se).all()
    same = mx.rma(formula, BCG, method=method, tau2=tau2)
    close(same.beta, mixed.fixef, 1e-10)
    close(same.covariance, mixed.vcov, 1e-10)
    constant = 0.5 * np.linalg.slogdet(fit.data.X.T @ fit.data.X)[1] if method == "REML" else 0.0
    close(same.loglik(), -mixed.criterion / 2 + constant, 1e-10)
    assert fit.loglik() >= same.loglik() - 1e-13


NAMES = [name for name, e in ESTIMATORS.items() if e.heterogeneous]


def options_of(method, data):
    return {"weights": 1 / np.sqrt(data["vi"])} if ESTIMATORS[method].needs_weights else {}


@pytest.mark.parametrize("method", NAMES)
class TestEveryEstimator:
    """Laws that hold for an estimator because of what it is; a new entry is tested by being there."""

    def fit(self, method, data, formula="yi ~ 1"):
        return mx.rma(formula, data, method=method, **options_of(method, data))

    def test_is_not_negative_and_has_a_standard_error(self, method):
        fit = self.fit(method, BCG)
        assert fit.tau2 > 0
        assert np.isfinite(fit.se_tau2)

    def test_scales_with_the_units(self, method):
        ten = BCG.assign(yi=10 * BCG.yi, vi=100 * BCG.vi)
        close(self.fit(method, ten).tau2, 100 * self.fit(method, BCG).tau2)

    def test_does_not_depend_on_the_order_or_a_shift(self, method):
        moved = BCG.sample(frac=1, random_state=1).assign(yi=lambda d: d.yi + 3)
        close(self.fit(method, moved).tau2, self.fit(method, BCG).tau2)

    def test_does_not_depend_on_the_units_of_moderators(self, method):
        large = BCG.assign(ablat=1e4 * BCG.ablat + 1e6)
        close(self.fit(method, large, "yi ~ ablat").tau2, self.fit(method, BCG, "yi ~ ablat").tau2, 1e-6)

    def test_finds_no_heterogeneity_where_estimates_agree(self, method):
        same = BCG.assign(yi=0.3)
        assert self.fit(method, same).tau2 == pytest.approx(0, abs=1e-12)

    def test_the_batch_is_the_loop(self, method):
        """Subsets in one call are what they are one at a time."""
        rng = np.random.default_rng(3)
        use = (rng.random((20, 13)) < 0.7).astype(float)
        use[:, :4] = 1.0
        Q = orthonormal(np.column_stack([np.ones(13), BCG.ablat]))[0]
        y, v = BCG.yi.to_numpy()[None], BCG.vi.to_numpy()[None]
        weights = 1 / np.sqrt(v)
        together, found = ESTIMATORS[method].estimate(Effects(y, v, Q, use), weights)
        assert found.all()
        for b, chosen in enumerate(use.astype(bool)):
            rows = orthonormal(np.column_stack([np.ones(chosen.sum()), BCG.ablat[chosen]]))[0]
            alone = ESTIMATORS[method].estimate(Effects(y[:, chosen], v[:, chosen], rows), weights[:, chosen])[0]
            close(together[b], alone[0], 1e-8, 1e-10)


def test_equal_variances_make_the_estimators_alike():
    """With one sampling variance the weights are equal, and HE, DL, PM, EB, REML solve the same equation."""
    data = BCG.assign(vi=0.02)
    expected = np.var(BCG.yi, ddof=1) - 0.02
    for method in ("HE", "DL", "PM", "EB", "REML", "SJIT"):
        close(mx.rma("yi ~ 1", data, method=method).tau2, expected)


def test_generalised_q_of_equal_variances_is_the_q_profile():
    """The quadratic form is then chi-square times a constant."""
    fit = mx.rma("yi ~ ablat", BCG.assign(vi=0.02))
    one, other = (fit.confint("heterogeneity", method=m).iloc[0] for m in ("QP", "GENQ"))
    close(other[["conf_low", "conf_high"]].astype(float), one[["conf_low", "conf_high"]].astype(float), 1e-8)


def test_generalised_q_limits_have_their_probabilities():
    """At the limits simulated quadratic forms exceed the one seen in 2.5 and 97.5 %: four errors of 2e5 draws."""
    fit = mx.rma("yi ~ 1", BCG, method="DL")
    low, high = fit.confint("heterogeneity", method="GENQ").iloc[0][["conf_low", "conf_high"]]
    rng = np.random.default_rng(7)
    for limit, share in ((low, 0.025), (high, 0.975)):
        y = rng.normal(size=(200_000, 13)) * np.sqrt(BCG.vi.to_numpy() + limit)
        drawn = Effects(y, BCG.vi.to_numpy()[None], fit.effects.Q).at(0.0).yPy
        assert np.mean(drawn > fit.QE) == pytest.approx(share, abs=4 * np.sqrt(0.025 * 0.975 / 200_000))


def test_the_median_estimator_is_at_the_median():
    fit = mx.rma("yi ~ 1", BCG, method="GENQM", weights=1 / BCG.vi)
    lam = eigenvalues(fit.effects, 1 / fit.vi, fit.tau2)
    assert upper_probability(fit.QE, lam) == pytest.approx(0.5, abs=1e-10)


@pytest.mark.parametrize("df", [1, 2, 3, 12, 55])
def test_sums_of_chi_squares_against_the_chi_square(df):
    """The trapezoidal rule on a parabola: absolute errors of rounding, from the lower tail to the upper."""
    from scipy import stats

    for q in stats.chi2.ppf([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9], df):
        assert upper_probability(3 * q, np.full(df, 3.0)) == pytest.approx(stats.chi2.sf(q, df), abs=1e-12)


@pytest.mark.parametrize("ratio", [1.5, 10, 1e3, 1e5])
def test_sums_of_chi_squares_of_unequal_weights(ratio):
    """Two pairs are a sum of two exponential variables, which has a closed form."""
    a, b = 2.0, 2.0 / ratio
    for q in (1e-3, 0.1, 1.0, 5.0, 20.0):
        expected = (a * np.exp(-q / a) - b * np.exp(-q / b)) / (a - b)
        assert upper_probability(q, np.array([a, a, b, b]) / 2) == pytest.approx(expected, abs=1e-11)


def test_reml_starts_where_the_likelihood_is_largest():
    """Two maxima: the one that Newton's method finds is the higher, by a fine grid."""
    rng = np.random.default_rng(11)
    for _ in range(200):
        k = int(rng.integers(3, 7))
        data = pd.DataFrame({"yi": 2 * rng.standard_t(1, size=k), "vi": np.exp(rng.normal(0, 3, size=k))})
        fit = mx.rma("yi ~ 1", data)
        tau2 = np.concatenate([[0], np.geomspace(1e-6, 1e4, 400) * max(np.var(data.yi), 1e-3)])
        grid = Effects(fit.effects.y, fit.effects.v, fit.effects.Q, np.ones((len(tau2), k)))
        assert fit.loglik() >= loglik(grid.at(tau2), True).max() - 1e-3


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", ["REML", "DL", "PM", "EE", "HE"])
@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
def test_few_studies_have_an_answer(k, method, test):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyIntervalWarning)
        if k == 1 and method != "EE":
            with pytest.warns(FewEffectsWarning, match="1 estimate and 1 coefficient say nothing of tau"):
                fit = mx.rma("yi ~ 1", BCG[:k], method=method, test=test)
        else:
            fit = mx.rma("yi ~ 1", BCG[:k], method=method, test=test)
        fit.confint()
    assert np.isfinite(fit.tidy()["std_error"][0])
    assert str(fit.summary())
    assert len(fit.predict()) == 1
    if k == 1:
        assert fit.beta[0] == pytest.approx(BCG.yi[0], rel=1e-14)
        assert fit.tidy()["std_error"][0] == pytest.approx(np.sqrt(BCG.vi[0]), rel=1e-14)


def test_an_empty_interval_is_said_to_be_empty():
    data = pd.DataFrame({"yi": [0.1, 0.1001, 0.0999, 0.1], "vi": 0.1})
    with pytest.warns(EmptyIntervalWarning, match="vary less than their sampling variances"):
        table = mx.rma("yi ~ 1", data).confint("heterogeneity")
    assert table["conf_low"].isna().all()


def test_means_alone_are_read_as_the_design_reads_them():
    """The short way for ``y ~ 1`` against the design, with missing values in both columns."""
    data = BCG.set_axis([f"t{i}" for i in range(13)]).copy()
    data.loc["t2", "yi"] = np.nan
    data.loc["t5", "vi"] = np.nan
    fit = mx.rma("yi ~ 1", data)
    call = fit.call
    assert fit.data.built is None
    labels = call.data.index
    design = _design(call, call.data, sampling_variances(call, call.data, labels), labels)
    np.testing.assert_array_equal(fit.data.y, design.y)
    np.testing.assert_allclose(fit.vi, design.known_sd**2, rtol=4e-16)  # the square of a root
    assert fit.slab == tuple(labels[design.rows.used])
    assert "11 of 13 rows used; 2 dropped for missing values" in str(fit.summary())
    whole = read_estimates(mx.rma("yi ~ 1 + offset(0 * vi)", data).call)
    np.testing.assert_array_equal(whole.y, fit.data.y)


def test_standard_errors_serve_for_variances():
    one = mx.rma("yi ~ ablat", BCG.assign(s=np.sqrt(BCG.vi)).drop(columns="vi"), sei="s")
    close(one.beta, mx.rma("yi ~ ablat", BCG).beta, 1e-12)


def test_any_frame_serves():
    close(mx.rma("yi ~ ablat", pl.from_pandas(BCG)).beta, mx.rma("yi ~ ablat", BCG).beta, 1e-14)
    close(mx.rma("yi ~ 1", pl.from_pandas(BCG).lazy()).beta, mx.rma("yi ~ 1", BCG).beta, 1e-14)


def test_a_fit_stays_as_it_was_when_the_data_change():
    data = BCG.copy()
    fit = mx.rma("yi ~ 1", data)
    data["yi"] = 0.0
    data.loc[3, "vi"] = -1.0
    close(fit.design.y, BCG.yi, 1e-15)
    close(fit.cumul("year")["estimate"].iloc[-1], mx.rma("yi ~ 1", BCG).beta[0], 1e-12)


def test_an_offset_is_taken_off():
    """yi with an offset is yi less it, and predictions add it."""
    fit = mx.rma("yi ~ ablat + offset(shift)", BCG.assign(shift=np.arange(13.0)))
    plain = mx.rma("yi ~ ablat", BCG.assign(yi=BCG.yi - np.arange(13.0)))
    close(fit.beta, plain.beta)
    close(fit.predict()["estimate"], plain.predict()["estimate"] + np.arange(13.0))


def test_labels_come_from_slab_or_the_index():
    assert mx.rma("yi ~ 1", BCG, slab="author").slab[0] == "Aronson"
    assert mx.rma("yi ~ 1", BCG.set_index("author")).slab[1] == "Ferguson & Simes"


def test_hypotheses_are_those_of_the_table():
    fit = mx.rma("yi ~ ablat + alloc", BCG, test="knha")
    joint = fit.test_hypothesis(list(fit.names[1:])).iloc[0]
    close(joint["f_value"], fit.QM, 1e-10)
    close(joint["p_value"], fit.QM_p_value, 1e-10)
    single = fit.test_hypothesis("ablat", joint=False)
    close(single["p_value"], fit.tidy()["p_value"][fit.names.index("ablat")], 1e-10)


def test_exact_permutation_tests_are_those_of_metafor():
    expected = REFERENCE["permuted"]
    fit = mx.rma("yi ~ 1", DATA["follmann"], method="DL")
    assert fit.permutation_test(statistic="coefficient").table["p_value"][0] == 10 / 256 == expected["coefficient"]
    assert fit.permutation_test().table["p_value"][0] == expected["test"]
    six = mx.rma("yi ~ ablat", BCG[:6], method="DL").permutation_test(exact=True)
    close(six.table["p_value"], expected["moderator"], 1e-12)
    assert six.omnibus == pytest.approx(expected["moderator_QMp"], rel=1e-12)
    seven = mx.rma("yi ~ ablat", BCG[:7], test="knha").permutation_test(exact=True)
    assert seven.n == 2520, "two trials have the same latitude"
    close(seven.table["p_value"], expected["knha"], 1e-12)


def test_a_random_permutation_test_is_near_the_exact_one():
    """Within four standard errors of a share of 4,000."""
    fit = mx.rma("yi ~ ablat", BCG[:7], test="knha")
    exact = fit.permutation_test(exact=True).table["p_value"]
    drawn = fit.permutation_test(4000, exact=False, seed=5)
    assert drawn.n == 4000
    assert (abs(drawn.table["p_value"] - exact) < 4 * np.sqrt(exact * (1 - exact) / 4000)).all()
    again = fit.permutation_test(4000, exact=False, seed=5)
    pd.testing.assert_frame_equal(drawn.table, again.table)


SCALES = {
    "bangert grade ML": ("yi ~ 1", "~ grade", "ML"),
    "bcg ablat REML": ("yi ~ ablat", "~ ablat", "REML"),
    "bangert ni REML": ("yi ~ I(ni / 100)", "~ I(ni / 100)", "REML"),
    "bangert ni ML": ("yi ~ I(ni / 100)", "~ I(ni / 100)", "ML"),
}


@pytest.mark.parametrize("name", SCALES)
def test_location_scale_models_are_those_of_metafor(name):
    """metafor's optimiser stops where -2 log L changes by 1e-10, which moves estimates by 1e-5 standard errors."""
    formula, scale, method = SCALES[name]
    fit, expected = mx.rma(formula, DATA[name.split()[0]], method=method, scale=scale), REFERENCE["scale"][name]
    assert fit.estimate.loglik == pytest.approx(expected["logLik"], abs=1e-10)
    table = fit.tidy("scale")
    errors = np.array(expected["se_alpha"])
    assert (abs(table["estimate"] - expected["alpha"]) < 1e-6 * errors).all()
    close(table["std_error"], expected["se_alpha"], 1e-4)  # metafor differentiates numerically
    close(fit.beta, np.atleast_1d(expected["beta"]), 1e-6)
    close(np.sqrt(np.diag(fit.covariance)), np.atleast_1d(expected["se"]), 1e-6)


@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_of_the_scale_part(reml):
    """Central differences of a step of 1e-5 are good to 1e-9 or so."""
    data = DATA["bangert"]
    X = np.column_stack([np.ones(len(data)), data.grade])
    effects = Effects(data.yi.to_numpy()[None], data.vi.to_numpy()[None], orthonormal(X)[0])
    Z, alpha = np.column_stack([np.ones(len(data)), data.ni / 100]), np.array([-2.0, -0.5])

    def slope(f, i):
        step = 1e-5 * np.eye(2)[i]
        return (f(alpha + step) - f(alpha - step)) / 2e-5

    _, gradient, hessian, _ = derivatives(effects, Z, alpha, reml)
    for i in range(2):
        assert gradient[i] == pytest.approx(slope(lambda a: derivatives(effects, Z, a, reml)[0], i), abs=1e-7)
        close(hessian[i], slope(lambda a: derivatives(effects, Z, a, reml)[1], i), 1e-6, 1e-7)


def test_a_scale_without_moderators_is_the_plain_model():
    fit, plain = mx.rma("yi ~ ablat", BCG, scale="~ 1"), mx.rma("yi ~ ablat", BCG)
    close(fit.tau2, np.full(13, plain.tau2), 1e-7)
    close(fit.beta, plain.beta, 1e-7)
    close(fit.predict(BCG[:2])[["pred_low", "pred_high"]], plain.predict(BCG[:2])[["pred_low", "pred_high"]], 1e-7)


def test_a_scale_that_goes_to_zero_is_warned_about():
    data = pd.DataFrame({"yi": [0.3, 0.3, 0.3, 0.3, 0.5, -0.9, 1.6, -0.7], "vi": 0.04, "lab": ["a"] * 4 + ["b"] * 4})
    with pytest.warns(ConvergenceWarning, match="minus infinity"):
        mx.rma("yi ~ 1", data, scale="~ lab")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mx.rma("yi ~ 1", BCG.assign(vi=-BCG.vi)),
            DataError,
            r"vi is a sampling variance, and -0.32\d+ in rows",
        ),
        (lambda: mx.rma("yi ~ 1", BCG.assign(vi=BCG.vi.where(BCG.index != 3, 0))), DataError, "0 in row 3"),
        (lambda: mx.rma("yi ~ 1", BCG, sei=np.full(13, np.inf)), DataError, "sei is a standard error, and inf in rows"),
        (lambda: mx.rma("yi ~ 1", BCG.assign(vi=np.nan)), DataError, "every sampling variance is missing"),
        (lambda: mx.rma("yi ~ 1", BCG.assign(yi=np.nan)), DataError, "no rows"),
        (lambda: mx.rma("yi ~ 1", BCG[:0]), DataError, "no rows"),
        (lambda: mx.rma("yi ~ 1", BCG.assign(yi=np.inf)), DataError, "infinite"),
        (lambda: mx.rma("yi ~ 1", BCG, vi=BCG.vi.where(BCG.index != 3), na="raise"), DataError, "missing in row 3"),
        (lambda: mx.rma("yi ~ 1", BCG, "vi", "vi"), OptionError, "both vi= and sei= are given"),
        (lambda: mx.rma("yi ~ 1", BCG.drop(columns="vi")), OptionError, "no column 'vi'"),
        (lambda: mx.rma("yi ~ 1", BCG, method="reml"), OptionError, "method='reml' is not known"),
        (lambda: mx.rma("yi ~ 1", BCG, test="kh"), OptionError, "test='kh' is not known"),
        (lambda: mx.rma("yi ~ 1", BCG, method="GENQ"), OptionError, "needs weights="),
        (lambda: mx.rma("yi ~ 1", BCG, weights="vi", test="knha"), OptionError, "has the weights 1 / "),
        (lambda: mx.rma("yi ~ 1", BCG, weights=-BCG.vi), DataError, "weights are missing, negative or infinite"),
        (lambda: mx.rma("yi ~ 1", BCG, tau2=-1.0), OptionError, "tau2=-1.0 is no variance"),
        (lambda: mx.rma("yi ~ (1 | author)", BCG), ModelError, "one random effect for each estimate"),
        (lambda: mx.rma("yi | se(vi) ~ ablat", BCG), ModelError, r"the formula has se\(...\)"),
        (lambda: mx.rma("yi ~ 1", BCG, method="DL", scale="~ ablat"), ModelError, "maximum likelihood"),
        (lambda: mx.rma("yi ~ 1", BCG, scale="ablat"), ModelError, "no one-sided formula"),
        (lambda: mx.rma("yi ~ 1", BCG, method="DL").confint(method="PL"), OptionError, "maximises no likelihood"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("yi ~ ablat + twice", "twice: a combination of ablat"),
        ("yi ~ ablat + one", "one: has the one level 'x'"),
        ("yi ~ alloc + recoded", "recoded.*a combination of"),
    ],
)
def test_aliased_moderators_are_refused_by_name(formula, message):
    data = BCG.assign(twice=2 * BCG.ablat, one="x", recoded=BCG.alloc.map(lambda a: f"{a}!"), study=range(len(BCG)))
    for fitted in (lambda: mx.rma(formula, data), lambda: mx.rma_mv(f"{formula} + (1 | study)", data)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # refused, and nothing else said
            with pytest.raises(ModelError, match=message):
                fitted()
