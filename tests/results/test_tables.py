"""Tables: lme4's and broom's layouts, and what is unknown is NaN."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixedfx.design.design import RandomTerm
from mixedfx.results import tables


def term(label, columns, correlated=True, levels=("a", "b", "c")):
    n = len(levels)
    return RandomTerm(label, columns, levels, np.arange(n), np.ones((n, len(columns))), "us" if correlated else "diag")


def test_varcorr_has_lme4s_rows_in_lme4s_order():
    T = np.array([[2.0, 0.0], [-1.0, 0.5]])
    table = tables.varcorr_table([term("g", ("Intercept", "x")), term("h", ("x", "w"), False)], [T, np.eye(2)], 3.0)
    assert list(table.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    keys = list(table[["grp", "var1", "var2"]].itertuples(index=False, name=None))
    assert keys == [
        ("g", "Intercept", None),
        ("g", "x", None),
        ("g", "Intercept", "x"),
        ("h", "x", None),
        ("h", "w", None),
        ("Residual", None, None),
    ]
    # by hand: sigma^2 T T' = 9 [[4, -2], [-2, 1.25]]
    np.testing.assert_allclose(table["vcov"], [36, 11.25, -18, 9, 9, 9], rtol=1e-14)
    np.testing.assert_allclose(table["sdcor"], [6, 11.25**0.5, -18 / (6 * 11.25**0.5), 3, 3, 3], rtol=1e-14)


def test_a_correlation_with_a_zero_sd_is_undefined():
    table = tables.varcorr_table([term("g", ("Intercept", "x"))], [np.array([[1.0, 0.0], [0.0, 0.0]])], 1.0)
    assert np.isnan(table.loc[2, "sdcor"])
    assert table.loc[2, "vcov"] == 0


def test_known_residual_variance_has_no_residual_row():
    table = tables.varcorr_table([term("g", ("Intercept",))], [np.array([[0.5]])], None)
    assert table["grp"].tolist() == ["g"]
    assert table.loc[0, "sdcor"] == 0.5


def test_terms_of_one_factor_share_a_table_and_repeated_columns_get_their_own():
    random = [term("g", ("Intercept",)), term("g", ("x",)), term("h", ("Intercept",)), term("g", ("x",))]
    values = [np.full((3, 1), float(i)) for i in range(4)]
    found = tables.ranef_tables(random, values)
    assert list(found) == ["g", "h", "g.1"]
    assert found["g"].to_dict("list") == {"Intercept": [0.0] * 3, "x": [1.0] * 3}
    assert found["g"].index.tolist() == ["a", "b", "c"]
    assert found["g.1"].to_dict("list") == {"x": [3.0] * 3}


def test_theta_is_named_column_by_column():
    random = [term("g", ("Intercept", "x")), term("h", ("x", "w"), correlated=False)]
    assert tables.theta_names(random) == ("g.Intercept", "g.x.Intercept", "g.x", "h.x", "h.w")


VCOV = np.diag([4.0, 0.25])


def test_unknown_degrees_of_freedom_leave_p_values_and_intervals_empty():
    table = tables.fixed_table(("a", "b"), np.array([3.0, -1.0]), VCOV)
    assert list(table.columns) == list(tables.TIDY_COLUMNS)
    np.testing.assert_allclose(table["statistic"], [1.5, -2.0], rtol=1e-15)
    assert table[["df", "p_value", "conf_low", "conf_high"]].isna().all(axis=None)


@pytest.mark.parametrize("df", [4.0, np.inf])
def test_known_degrees_of_freedom_give_t_tests(df):
    table = tables.fixed_table(("a", "b"), np.array([3.0, -1.0]), VCOV, df, level=0.9)
    np.testing.assert_allclose(table["p_value"], 2 * stats.t(df).cdf([-1.5, -2.0]), rtol=1e-12)
    half = stats.t(df).ppf(0.95) * np.array([2.0, 0.5])
    np.testing.assert_allclose(table["conf_high"] - table["estimate"], half, rtol=1e-12)
    np.testing.assert_allclose(table["estimate"] - table["conf_low"], half, rtol=1e-12)


def test_infinite_degrees_of_freedom_are_the_normal_distribution():
    table = tables.fixed_table(("a", "b"), np.array([3.0, -1.0]), VCOV, np.inf)
    np.testing.assert_allclose(table["p_value"], 2 * stats.norm.sf([1.5, 2.0]), rtol=1e-10)


def test_each_coefficient_may_have_its_own_degrees_of_freedom():
    table = tables.fixed_table(("a", "b"), np.array([3.0, -1.0]), VCOV, np.array([4.0, np.nan]))
    assert table["p_value"].notna().tolist() == [True, False]


def test_ran_pars_are_named_as_broom_mixed_does():
    T = np.array([[1.0, 0.0], [0.5, 1.0]])
    table = tables.ran_pars_table(tables.varcorr_table([term("g", ("Intercept", "x"))], [T], 2.0))
    assert table["term"].tolist() == ["sd__Intercept", "sd__x", "cor__Intercept.x", "sd__Observation"]
    assert table["group"].tolist() == ["g", "g", "g", "Residual"]
    np.testing.assert_allclose(table["estimate"], [2, 5**0.5, 0.2**0.5, 2], rtol=1e-14)
    assert table["std_error"].isna().all()


def test_ran_vals_have_a_row_for_each_level_and_column():
    modes = {"g": pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["a", "b"], columns=["Intercept", "x"])}
    sds = {"g": modes["g"] / 2}
    table = tables.ran_vals_table(modes, sds, df=np.inf, level=0.95)
    assert table[["group", "level", "term", "estimate", "std_error"]].values.tolist() == [
        ["g", "a", "Intercept", 1.0, 0.5],
        ["g", "a", "x", 2.0, 1.0],
        ["g", "b", "Intercept", 3.0, 1.5],
        ["g", "b", "x", 4.0, 2.0],
    ]
    np.testing.assert_allclose(table["conf_high"], table["estimate"] + stats.norm.ppf(0.975) * table["std_error"])
    assert tables.ran_vals_table(modes, sds)["conf_low"].isna().all()
    assert list(tables.ran_vals_table({}, {}).columns) == ["group", "level", *tables.TIDY_COLUMNS]


def test_glance_names_the_criterion_for_what_it_is():
    arguments = {"nobs": 20, "n_parameters": 4, "sigma": 1.5, "criterion": 100.0, "converged": True, "singular": False}
    reml, ml = (tables.glance_table(**arguments, REML=REML) for REML in (True, False))
    assert reml.loc[0, "REMLcrit"] == ml.loc[0, "deviance"] == 100
    assert "deviance" not in reml
    assert reml.loc[0, "AIC"] == 108
    assert reml.loc[0, "BIC"] == pytest.approx(100 + 4 * np.log(20))
    assert reml.loc[0, "logLik"] == -50
    assert reml.loc[0, "df_residual"] == 16
