"""A hypothesis has one answer, however its rows are written, and degrees of freedom do not know units."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.inference.canonical_contrasts import contrast_metric, independent_contrasts

CODINGS = ("treatment", "sum", "helmert", "diff", "poly")


def unbalanced(seed: int, groups: int = 9, n: int = 90) -> pd.DataFrame:
    """A factor between groups, one within, a covariate, and groups that differ."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, groups, n)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=n), "f": rng.choice(list("abcd"), n)})
    data["arm"] = np.array(list("uvw"))[g % 3]
    slope = rng.normal(size=groups)
    data["y"] = rng.normal(size=groups)[g] * 1.5 + slope[g] * data["x"] + rng.normal(size=n)
    return data


def fitted(formula: str, data: pd.DataFrame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mx.lmer(formula, data, **options)


def answer(fit, L, rhs=0.0, **options):
    return fit.test(L, rhs, **options)[["f_value", "num_df", "den_df", "p_value"]].iloc[0].to_numpy(dtype=float)


@pytest.fixture(scope="module")
def fits():
    return [
        fitted("y ~ arm + f + x + (1 + x | g)", unbalanced(3)),
        fitted("y ~ arm * x + f + (1 | g) + (0 + x | g)", unbalanced(4)),
        fitted("y ~ arm * f + (1 | g)", unbalanced(7, groups=12, n=140)),
    ]


@settings(max_examples=20)
@given(st.integers(0, 2), st.integers(0, 10_000), st.integers(2, 4))
def test_every_invertible_recombination_of_the_rows_is_the_same_test(fits, which, seed, q):
    """Satterthwaite, Kenward-Roger and CR2 alike, with values tested other than zero and a redundant row."""
    fit = fits[which]
    rng = np.random.default_rng(seed)
    p = len(fit.fixef)
    L, rhs = rng.normal(size=(q, p)), rng.normal(size=q)
    if seed % 2:
        L[: q // 2] = np.eye(p)[rng.choice(p, q // 2, replace=False)]
    A = rng.normal(size=(q, q)) * 10.0 ** rng.uniform(-3, 3, q)[:, None]
    assume(np.linalg.cond(A / np.linalg.norm(A, axis=1)[:, None]) < 100)
    A = np.vstack([A, rng.normal(size=q)])  # rows may be linearly dependent
    for options in ({}, {"ddf": "kenward-roger"}, {"vcov": fit.vcov_robust("CR2")}):
        with warnings.catch_warnings():  # CR2: sometimes too few clusters, which is NaN for both
            warnings.simplefilter("ignore", mx.errors.DegreesOfFreedomWarning)
            one, other = answer(fit, L, rhs, **options), answer(fit, A @ L, A @ rhs, **options)
        # rounding of the recombination, magnified by the condition of A and of the covariance
        np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-300)


@settings(max_examples=5)
@given(st.integers(0, 10_000))
def test_types_two_and_three_test_drop1_and_emmeans_give_one_answer(seed):
    """Of a factor in no interaction they are one hypothesis."""
    data = unbalanced(seed)
    for ddf in ("satterthwaite", "kenward-roger"):
        for factor in ("arm", "f"):
            fit = fitted("y ~ arm + f + x + (1 | g)", data)
            names = [n for n in fit.fixef.index if n.startswith(factor + "[")]
            wanted = answer(fit, names, ddf=ddf)
            for kind in ("II", "III"):
                row = fit.anova(kind, ddf=ddf).set_index("term").loc[factor]
                found = row[["f_value", "num_df", "den_df", "p_value"]].to_numpy(dtype=float)
                np.testing.assert_allclose(found, wanted, rtol=1e-8)
            row = fit.drop1(ddf=ddf).set_index("term").loc[factor]
            np.testing.assert_allclose(row["den_df"], wanted[2], rtol=1e-8)
            joint = mx.emmeans(fit, factor, ddf=ddf).joint().iloc[0]
            np.testing.assert_allclose(joint[["statistic", "df1", "df2", "p_value"]].astype(float), wanted, rtol=1e-8)


@pytest.mark.parametrize(
    "formula", ["y ~ arm * f + (1 | g)", "y ~ arm * x + f + (1 | g)", "y ~ C(arm) + f:x + (1 | g)"]
)
def test_the_answer_does_not_depend_on_the_coding_of_factors_or_on_units(formula):
    data = unbalanced(11, groups=12, n=140)
    factors = ["C(arm)" if "C(arm)" in formula else "arm", "f"]
    wanted = fitted(formula, data).anova("II")
    for coding in CODINGS[1:]:
        found = fitted(formula, data, contrasts=dict.fromkeys(factors, coding)).anova("II")
        # both fits stop at about 1e-6 of theta
        np.testing.assert_allclose(found["den_df"], wanted["den_df"], rtol=1e-5)
    found = fitted(formula, data.assign(x=1e4 * data["x"])).anova("II")
    np.testing.assert_allclose(found["den_df"], wanted["den_df"], rtol=1e-5)


def test_covariates_in_any_unit_are_tested_jointly_with_one_answer():
    data = unbalanced(5)
    data["z"] = data["g"] % 4 + np.random.default_rng(5).normal(size=len(data))
    wanted = answer(fitted("y ~ x + z + (1 + x | g)", data), ["x", "z"])
    found = answer(fitted("y ~ x + z + (1 + x | g)", data.assign(z=data["z"] / 1e5)), ["x", "z"])
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_a_coding_with_fewer_columns_than_levels_is_measured_by_its_own_coefficients():
    data = unbalanced(6)
    linear = np.array([[-3.0], [-1.0], [1.0], [3.0]])
    fit = fitted("y ~ arm + f + (1 | g)", data, contrasts={"f": linear})
    metric = contrast_metric(fit.design)
    assert np.count_nonzero(metric - np.diag(np.diag(metric))) == 0
    assert np.isfinite(answer(fit, ["arm[v]", "arm[w]"])).all()


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_uncorrelated_rows_are_one_basis_of_the_row_space(seed, q):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, 5))
    V, L, metric = root.T @ root, rng.normal(size=(q, 5)), rng.normal(size=(5, 5))
    A = rng.normal(size=(q, q))
    assume(np.linalg.cond(A) < 50 and np.linalg.cond(metric) < 50)
    beta = rng.normal(size=5)
    rows, t2 = independent_contrasts(L, V, L @ beta, metric)
    again, t2_again = independent_contrasts(A @ L, V, A @ L @ beta, metric)
    covariance = rows @ V @ rows.T
    gaps = np.diff(np.sort(np.diag(covariance))) / np.diag(covariance).max()
    assume(q == 1 or gaps.min() > 1e-4)  # eigenvectors of equal eigenvalues are not determined
    np.testing.assert_allclose(np.abs((again * rows).sum(axis=1)), (rows * rows).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(t2_again, t2, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9 * np.abs(covariance).max())
    wald = (L @ beta) @ np.linalg.solve(L @ V @ L.T, L @ beta)
    assert t2.sum() == pytest.approx(wald, rel=1e-6)


# --- layouts whose degrees of freedom are known ---------------------------------------------------------------------


def one_way(rng, ratio):
    unit = np.repeat(np.arange(12), 4)
    y = ratio * rng.normal(size=12)[unit] + rng.normal(size=48)
    return "y ~ 1 + (1 | unit)", pd.DataFrame({"y": y, "unit": unit}), [11.0]


def nested(rng, ratio):
    g, h = np.repeat(np.arange(8), 12), np.tile(np.repeat(np.arange(4), 3), 8)
    y = ratio * rng.normal(size=8)[g] + ratio / 3 * rng.normal(size=(8, 4))[g, h] + rng.normal(size=96)
    return "y ~ 1 + (1 | g / h)", pd.DataFrame({"y": y, "g": g, "h": h}), [7.0]


def split_plot(rng, ratio):
    """Whole plots a in blocks, split plots b: (6 - 1)(3 - 1), 3 (6 - 1)(4 - 1) twice."""
    row = np.arange(6 * 3 * 4)
    block, a, b = row // 12, row // 4 % 3, row % 4
    y = ratio * rng.normal(size=6)[block] + ratio / 3 * rng.normal(size=(6, 3))[block, a] + rng.normal(size=72)
    data = pd.DataFrame({"y": y, "a": np.array(list("abc"))[a], "b": np.array(list("wxyz"))[b], "block": block})
    return "y ~ a * b + (1 | block / a)", data, [10.0, 45.0, 45.0]


@settings(max_examples=25)
@given(
    st.sampled_from([one_way, nested, split_plot]),
    st.integers(0, 10_000),
    st.floats(-0.5, 5.0),
    st.floats(-6.0, 6.0),
)
def test_degrees_of_freedom_of_balanced_layouts_are_exact_at_every_ratio_of_sds_and_in_every_unit(
    layout, seed, ratio, unit
):
    formula, data, expected = layout(np.random.default_rng(seed), 10.0**ratio)
    data["y"] *= 10.0**unit
    fit = fitted(formula, data)
    assume((fit.theta > 0.05).all())  # on the boundary the df are others
    # What rounding leaves of second derivatives: 1e-3 where sds differ 10^5 times, below 1e-6 up to 10^2 (for 31 seeds
    # each); three times as much for those that were not tried.
    tolerance = 3e-6 if ratio < 2 else 3e-3
    for ddf in ("satterthwaite", "kenward-roger"):
        found = fit.anova(ddf=ddf)["den_df"] if len(expected) > 1 else fit.tidy(ddf=ddf)["df"]
        np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_where_rounding_leaves_nothing_of_the_second_derivatives_it_is_said():
    formula, data, _ = one_way(np.random.default_rng(1), 1e8)
    fit = fitted(formula, data)
    with pytest.warns(mx.errors.DegreesOfFreedomWarning, match="lost in rounding"):
        fit.tidy()
