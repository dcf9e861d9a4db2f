"""Standard errors of a sample: sandwiches of numerical derivatives, strata and sampling units by the formula."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, FewClustersWarning, SamplingWeightsWarning
from mixedfx.surveys.levels import nesting
from mixedfx.surveys.linearised import linearised, meat, sampled
from tests.oracles.weighted_lmm import Level, gradient, of_units

W = {"row": "w_pupil", "school": "w_school"}


@pytest.fixture(scope="module")
def fit(two):
    return mx.lmer("y ~ x + (1 + x | school)", two, sampling_weights=W)


def scores_and_hessian(fit):
    """Of beta, theta and log sigma, by differences of the textbook's likelihoods of schools."""
    order = nesting(fit.design)
    level = order.levels[0]
    w = np.empty(level.size)
    w[level.code] = fit.solution.weights.conditional.units[0][0]
    rows = np.empty(fit.nobs)
    rows[order.order] = fit.solution.weights.conditional.rows[0]
    term = fit.design.random[0]
    of_level = Level(term.codes, term.z, w)

    def of_schools(x):
        T = np.array([[x[2], 0.0], [x[3], x[4]]])
        return of_units(fit.design.y, fit.design.X, rows, of_level, x[:2], T, np.exp(x[5])) * w

    at = np.array([*fit.fixef, *fit.theta, np.log(fit.sigma)])
    H = gradient(lambda x: gradient(lambda z: of_schools(z).sum(), x, 1e-4), at, 1e-4)
    return gradient(of_schools, at).T, H, level


def test_the_covariance_is_the_sandwich_of_numerical_derivatives(fit):
    scores, H, _ = scores_and_hessian(fit)
    n = len(scores)
    J = np.linalg.inv(-H)
    V = J @ (n / (n - 1) * (scores - scores.mean(axis=0)).T @ (scores - scores.mean(axis=0))) @ J
    np.testing.assert_allclose(scores.sum(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(fit.vcov, V[:2, :2], rtol=1e-5)  # second differences of step 1e-4
    T, s = fit.solution.factors[0], fit.sigma

    def components(x):
        T = np.array([[x[0], 0.0], [x[1], x[2]]])
        S = np.exp(2 * x[3]) * T @ T.T
        sd = np.sqrt(np.diag(S))
        return np.array([*np.diag(S), S[0, 1], np.exp(2 * x[3]), *sd, S[0, 1] / sd.prod(), np.exp(x[3])])

    G = gradient(components, np.array([T[0, 0], T[1, 0], T[1, 1], np.log(s)])).T
    se = np.sqrt(np.einsum("ma,ab,mb->m", G, V[2:, 2:], G))
    np.testing.assert_allclose(fit.varcorr["se_vcov"], se[:4], rtol=1e-5)
    np.testing.assert_allclose(fit.varcorr["se_sdcor"], se[4:], rtol=1e-5)


def test_scores_of_schools_are_the_derivatives_of_their_likelihoods(fit):
    scores, _, level = scores_and_hessian(fit)
    solved = fit.solution.solved
    one = solved.estimates
    top = np.repeat(np.arange(level.size), np.diff(np.append(level.first_rows, fit.nobs)))
    sample = sampled(top, None, None, ("school", "psu", "strata"))
    found = linearised(solved.problem, solved.given, one.par[0], one.gamma[0], one.sigma[0], sample)
    np.testing.assert_allclose(found.scores, scores[level.code], atol=1e-6)  # differences of step 1e-5


def test_the_covariance_does_not_depend_on_the_order_of_rows_or_the_scale_of_top_weights(two, fit):
    moved = two.iloc[::-1].assign(w_school=two["w_school"] * 50, w_pupil=two["w_pupil"] * 50)
    again = mx.lmer("y ~ x + (1 + x | school)", moved, sampling_weights=W)
    np.testing.assert_allclose(again.vcov, fit.vcov, rtol=1e-6)
    np.testing.assert_allclose(again.varcorr["se_vcov"], fit.varcorr["se_vcov"], rtol=1e-6)


def strata_of(data):
    return data.assign(
        stratum=np.where(data["school"] < "s05", "A", np.where(data["school"] < "s10", "B", "C")),
        unit="u" + (data["school"].str[1:].astype(int) // 2).astype(str),
    )


def test_strata_and_sampling_units_are_the_formula(two):
    data = strata_of(two).loc[lambda d: d["school"] < "s13"]
    data["stratum"] = np.where(data["unit"] < "u3", "A", "B")
    fit = mx.lmer(
        "y ~ x + (1 + x | school)", data, sampling_weights=mx.sampling_weights(W, strata="stratum", psu="unit")
    )
    scores, H, _ = scores_and_hessian(fit)
    frame = pd.DataFrame(scores, index=fit.design.random[0].levels)
    unit = data.groupby("school")["unit"].first()[frame.index]
    of_units_ = frame.groupby(unit.to_numpy()).sum()
    stratum = data.groupby("unit")["stratum"].first()[of_units_.index]
    M = 0.0
    for _, part in of_units_.groupby(stratum.to_numpy()):
        rest = (part - part.mean()).to_numpy()
        M = M + len(part) / (len(part) - 1) * rest.T @ rest
    J = np.linalg.inv(-H)
    np.testing.assert_allclose(fit.vcov, (J @ M @ J)[:2, :2], rtol=1e-5)
    assert fit.df == len(of_units_) - 2
    assert "7 primary sampling units (unit), 2 strata (stratum): 5 degrees of freedom" in fit.solution.spread.words


def test_a_stratum_of_one_unit_is_named(two):
    data = two.assign(stratum=np.where(two["school"] == "s03", "alone", "others"))
    with pytest.warns(SamplingWeightsWarning, match=r"1 stratum has a single primary sampling unit \(alone\)"):
        fit = mx.lmer("y ~ x + (1 | school)", data, sampling_weights=mx.sampling_weights(W, strata="stratum"))
    assert fit.df == 12
    scores = np.array([[1.0], [2.0], [6.0]])
    sample = sampled_of([0, 0, 1])
    assert meat(scores, sample).item() == pytest.approx(2 * 0.5**2 * 2 + (6 - 3) ** 2)


def sampled_of(stratum):
    from mixedfx.surveys.linearised import Sampled

    return Sampled(np.arange(len(stratum)), np.array(stratum), (), "psu", "strata")


def test_bad_sampling_units_are_refused(two):
    split = two.assign(unit=np.arange(len(two)) % 2)
    with pytest.raises(DataError, match="a level of 'school' lies in several primary sampling units of 'unit'"):
        mx.lmer("y ~ x + (1 | school)", split, sampling_weights=mx.sampling_weights(W, psu="unit"))
    split = two.assign(stratum=np.arange(len(two)) % 2)
    with pytest.raises(DataError, match=r"'school'\) lies in several strata of 'stratum'"):
        mx.lmer("y ~ x + (1 | school)", split, sampling_weights=mx.sampling_weights(W, strata="stratum"))
    with pytest.raises(DataError, match="leave no degrees of freedom"):
        mx.lmer("y ~ x + (1 | school)", two, sampling_weights=mx.sampling_weights(W, strata="school"))
    few = two.assign(unit=(two["school"] < "s07").astype(int))
    with pytest.warns(FewClustersWarning, match="2 primary sampling units"):
        mx.lmer("y ~ x + (1 | school)", few, sampling_weights=mx.sampling_weights(W, psu="unit"))


def test_without_random_terms_it_is_the_sandwich_of_weighted_least_squares(two):
    """The formula of every survey package: rows are the sampling units."""
    fit = mx.lmer("y ~ x", two, sampling_weights={"row": "w_pupil"})
    X, y, w = np.column_stack([np.ones(len(two)), two["x"]]), two["y"].to_numpy(), two["w_pupil"].to_numpy()
    A = np.linalg.inv(X.T @ (w[:, None] * X))
    beta = A @ X.T @ (w * y)
    s = X * (w * (y - X @ beta))[:, None]
    n = len(y)
    np.testing.assert_allclose(fit.fixef, beta, rtol=1e-10)
    np.testing.assert_allclose(fit.vcov, A @ (n / (n - 1) * s.T @ s) @ A, rtol=1e-9)
    assert fit.df == n - 1
