"""Replicate weights: every method is its formula, and refits in one array are fits one by one."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.fit import fit_responses
from mixedfx.surveys.reading import read_sample
from mixedfx.surveys.replication import METHODS, level_weights, seen_method
from tests.surveys.reference import factors
from tests.surveys.samples import pupils

W = {"row": "w_pupil", "school": "w_school"}
F = "y ~ x + (1 + x | school)"


@pytest.fixture(scope="module")
def data():
    """Sixteen schools."""
    return pupils(seed=6, schools=16, size=8)


def with_replicates(data, method):
    values = factors(data, method) * data["w_pupil"].to_numpy()[:, None]
    own = pd.DataFrame(values, index=data.index, columns=[f"R{r + 1}" for r in range(values.shape[1])])
    return pd.concat([data, own], axis=1)


SCALE = {"brr": 1 / 16, "fay": 1 / (16 * 0.25), "jk1": 15 / 16, "jk2": 1.0, "jkn": 3 / 4}


def asked(method):
    return mx.replicates("R*", method, scales=[0.75] * 16 if method == "jkn" else None)


@pytest.mark.parametrize("method", METHODS)
def test_the_variance_of_weighted_least_squares_is_the_methods_formula(method, data):
    """Without random terms: replicates of a regression as survey packages have them, about the full estimate."""
    sample = with_replicates(data, method)
    fit = mx.lmer("y ~ x", sample, sampling_weights={"row": "w_pupil"}, replicates=asked(method))
    X, y = np.column_stack([np.ones(len(data)), data["x"]]), data["y"].to_numpy()

    def wls(w):
        return np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * y))

    full = wls(data["w_pupil"].to_numpy())
    rest = np.array([wls(sample[f"R{r + 1}"].to_numpy()) for r in range(factors(data, method).shape[1])]) - full
    np.testing.assert_allclose(fit.fixef, full, rtol=1e-9)
    np.testing.assert_allclose(fit.vcov, SCALE[method] * rest.T @ rest, rtol=1e-8)
    assert fit.df == np.linalg.matrix_rank(sample.filter(regex=r"R\d")) - 1
    assert METHODS[method].words in str(fit.summary())


@pytest.mark.parametrize("method", ["brr", "fay", "jk1", "jk2"])
def test_methods_are_seen_from_the_weights(method, data):
    found, rho = seen_method(factors(data, method).T)
    assert (found, rho) == (method, 0.5)
    rng = np.random.default_rng(1)  # adjusted for non-response: a few in a thousand
    assert seen_method(factors(data, method).T * rng.uniform(0.998, 1.002, (1, len(data))))[0] == method
    sample = with_replicates(data, method)
    fit = mx.lmer(F, sample, sampling_weights=W, replicates="R*")
    said = mx.lmer(F, sample, sampling_weights=W, replicates=asked(method))
    np.testing.assert_array_equal(fit.vcov, said.vcov)
    assert "as seen from the weights" in fit.solution.spread.words


@pytest.mark.parametrize("method", ["fay", "jk1"])
def test_refits_in_one_array_are_fits_one_by_one(method, data):
    """What a replicate multiplies a school by is the school's; a school of zero leaves."""
    sample = with_replicates(data, method)
    fit = mx.lmer(F, sample, sampling_weights=W, replicates=asked(method))
    refits = fit.solution.refits
    assert refits.converged.all()
    f = pd.DataFrame(factors(data, method), index=data.index)
    for r in (0, 3, 7):
        changed = data.assign(w_school=data["w_school"] * f[r], w_pupil=data["w_pupil"] * f[r])
        alone = mx.lmer(F, changed.loc[f[r] > 0], sampling_weights=W)
        np.testing.assert_allclose(refits.beta[r], alone.fixef, atol=1e-7)
        assert refits.sigma[r] == pytest.approx(alone.sigma, abs=1e-7)
        np.testing.assert_allclose(np.abs(refits.par[r]), np.abs(alone.theta), atol=1e-5)


def test_replicates_agree_with_linearisation():
    """Two ways to one number: the jackknife of 100 schools, and linearised."""
    data = pupils(seed=3, schools=100, size=9)
    linear = mx.lmer(F, data, sampling_weights=W)
    values = np.array([np.where(data["school"] == s, 0.0, 100 / 99) for s in data["school"].unique()]).T
    jack = mx.lmer(
        F, data, sampling_weights=W, replicates=mx.replicates(values * data["w_pupil"].to_numpy()[:, None], "jk1")
    )
    np.testing.assert_allclose(np.sqrt(np.diag(jack.vcov)), np.sqrt(np.diag(linear.vcov)), rtol=0.05)  # some 1 / 100
    np.testing.assert_allclose(jack.varcorr["se_sdcor"], linear.varcorr["se_sdcor"], rtol=0.1)


def test_factors_of_schools_go_to_schools_and_of_pupils_to_pupils(data):
    """The product of the conditional weights of a replicate is its overall weight, and scaling takes nothing out."""
    call = WeightedCall("y ~ x + (1 | school)", data, mx.sampling_weights(W, scaling="none"))
    _, order, weights, *_ = read_sample(call)
    rng = np.random.default_rng(3)
    whole = factors(data, "fay").T[:, order.order]
    mixed = whole * rng.uniform(0.5, 1.5, whole.shape)
    top = order.unit_of_rows(0)
    for one in (whole, mixed):
        found = level_weights(weights, order, one)
        np.testing.assert_allclose(found.rows * found.units[0][:, top], one * weights.overall)
    assert len(level_weights(weights, order, whole).rows) == 1, "rows keep their weights, and cross-products are shared"
    found = level_weights(weights, order, mixed)
    total = np.add.reduceat(found.rows, order.levels[0].starts, axis=1)
    np.testing.assert_allclose(
        total, np.add.reduceat(weights.conditional.rows, order.levels[0].starts, axis=1).repeat(16, 0)
    )


def test_three_levels_share_factors_out():
    data = pupils(seed=8, schools=18, districts=6)
    W = {"row": "w_pupil", "school": "w_school", "district": "w_district"}
    _, order, weights, *_ = read_sample(
        WeightedCall("y ~ x + (1 | district/school)", data, mx.sampling_weights(W, scaling="none"))
    )
    f = np.random.default_rng(5).uniform(0.5, 1.5, (4, len(data)))
    found = level_weights(weights, order, f)
    school, district = order.unit_of_rows(0), order.unit_of_rows(1)
    np.testing.assert_allclose(
        found.rows * found.units[0][:, school] * found.units[1][:, district], f * weights.overall
    )


@pytest.mark.parametrize("how", ["replicates", "linearised"])
def test_many_responses_are_fitted_as_one_by_one(how, data):
    """Plausible values with replicate weights share rows, weights and sets of replicates."""
    sample = with_replicates(data, "fay")
    Y = data["y"].to_numpy()[:, None] + 0.3 * np.random.default_rng(1).normal(size=(len(data), 3))
    call = WeightedCall(F, sample, W, asked("fay") if how == "replicates" else None)
    for m, fit in enumerate(fit_responses(call, Y)):
        alone = mx.lmer(
            F, sample.assign(y=Y[:, m]), sampling_weights=W, replicates=asked("fay") if how == "replicates" else None
        )
        assert fit.converged
        assert fit.criterion == pytest.approx(alone.criterion, abs=1e-8)
        np.testing.assert_allclose(fit.fixef, alone.fixef, atol=1e-8)
        np.testing.assert_allclose(fit.vcov, alone.vcov, rtol=1e-6)
        np.testing.assert_allclose(fit.varcorr["se_vcov"], alone.varcorr["se_vcov"], rtol=1e-5)
        np.testing.assert_allclose(fit.predict(), alone.predict(), atol=1e-7)


def test_bad_replicates_are_refused(data):
    sample = with_replicates(data, "fay")
    with pytest.raises(OptionError, match="replicates of sampling weights, and there are none"):
        mx.lmer(F, sample, replicates="R*")
    with pytest.raises(OptionError, match="hold the strata and primary sampling units"):
        mx.lmer(F, sample, sampling_weights=mx.sampling_weights(W, psu="school"), replicates="R*")
    with pytest.raises(OptionError, match=r"replicates='Q\*' matches 0 columns"):
        mx.lmer(F, sample, sampling_weights=W, replicates="Q*")
    odd = np.random.default_rng(1).uniform(0.5, 1.4, (len(data), 5)) * data["w_pupil"].to_numpy()[:, None]
    with pytest.raises(OptionError, match="cannot be seen from the weights"):
        mx.lmer(F, data, sampling_weights=W, replicates=odd)
    with pytest.raises(OptionError, match=r"add up to .* times the full weights of rows.*are no replicates"):
        mx.lmer(F, sample, sampling_weights={"school": "w_school"}, replicates="R*")
    with pytest.raises(OptionError, match="scales= has 3 factors for 16 replicates"):
        mx.lmer(F, sample, sampling_weights=W, replicates=mx.replicates("R*", scales=[1, 1, 1]))
    with pytest.raises(OptionError, match='method="jkn" needs scales='):
        mx.replicates("R*", "jkn")
    with pytest.raises(DataError, match="replicate weights are missing in row 2"):
        mx.lmer(F, sample.assign(R3=sample["R3"].where(sample.index != 2)), sampling_weights=W, replicates=asked("fay"))
    with pytest.raises(DataError, match="replicate weights are negative or infinite in row 2"):
        mx.lmer(F, sample.assign(R3=sample["R3"].where(sample.index != 2, -1)), sampling_weights=W, replicates="R*")
