"""Pooled numbers against mice and mitml (tests/reference/pooling/gen_pooling.R), and the rules by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.surveys.rubin import barnard_rubin, d1, d2, missing_information, moments

FOLDER = Path(__file__).parents[1] / "reference" / "pooling"
LARGE, SMALL = "score ~ ses + arm + (1 + ses | school)", "score ~ ses + (1 + ses | school)"


@pytest.fixture(scope="module")
def mitml():
    found = json.loads((FOLDER / "pooling.json").read_text())
    return found | {"covariances": list(found["covariances"].values())}


@pytest.fixture(scope="module")
def imputed():
    return pd.read_csv(FOLDER / "imputed.csv").astype({"school": str})


@pytest.fixture(scope="module")
def fits(imputed):
    def fit(formula, REML):
        return mx.lmer(formula, imputed, REML, imputations=".imp")

    return {(size, REML): fit(f, REML) for size, f in (("large", LARGE), ("small", SMALL)) for REML in (True, False)}


def frame_of(rows):
    return pd.DataFrame(rows)[["Estimate", "Std.Error", "df", "RIV", "FMI"]].to_numpy(float)


@pytest.mark.parametrize(("name", "df"), [("large", np.inf), ("small", 36.5)])
def test_the_rules_are_those_of_mitml_on_its_own_estimates(mitml, name, df):
    """The reference has 12 digits; df divide by squares of small shares."""
    found = mx.pool([dict(zip(mitml["names"], row, strict=True)) for row in mitml["estimates"]],
                    mitml["covariances"], df=df).tidy()  # fmt: skip
    ours = found[["estimate", "std_error", "df", "riv", "fmi"]].to_numpy()
    np.testing.assert_allclose(ours, frame_of(mitml[name]), rtol=1e-8)


@pytest.mark.parametrize(("name", "df"), [("D1", np.inf), ("D1_small", 36.5)])
def test_so_is_the_test_of_two_coefficients(mitml, name, df):
    found = mx.pool([dict(zip(mitml["names"], row, strict=True)) for row in mitml["estimates"]],
                    mitml["covariances"], df=df).test(["armb", "armc"]).iloc[0]  # fmt: skip
    reference = [mitml[name][key] for key in ("F", "num_df", "den_df", "p")]
    np.testing.assert_allclose([found.f_value, found.num_df, found.den_df, found.p_value], reference, rtol=1e-8)


def test_fits_and_their_pooled_numbers_are_those_of_lme4_and_mitml(fits, mitml):
    """lme4's optimiser stops about 1e-6 from the optimum of theta, ours at it."""
    found = fits["large", True].tidy(ddf="normal")
    ours = found[["estimate", "std_error", "df", "riv", "fmi"]].to_numpy()
    np.testing.assert_allclose(ours, frame_of(mitml["large"]), rtol=3e-4)
    np.testing.assert_allclose(ours[:, :2], frame_of(mitml["large"])[:, :2], rtol=2e-5, atol=2e-5)
    v = mitml["variances"]
    expected = [v[f"{name}|school"] for name in ("Intercept~~Intercept", "ses~~ses", "Intercept~~ses")]
    np.testing.assert_allclose(fits["large", True].varcorr["vcov"][:3], expected, rtol=5e-4)
    assert fits["large", True].sigma ** 2 == pytest.approx(v["Residual~~Residual"], rel=1e-5)


@pytest.mark.parametrize("method", ["D2 wald", "D2", "D3"])
def test_models_are_compared_as_in_mitml(fits, mitml, method):
    found = fits["large", False].compare(fits["small", False], method).iloc[0]
    reference = mitml[method.replace(" ", "_")]
    # F within the tolerance of lme4's fits; df and riv are ratios of differences between data sets
    assert found.f_value == pytest.approx(reference["F"], rel=3e-5)
    assert [found.num_df, found.riv] == pytest.approx([reference["num_df"], reference["riv"]], rel=2e-4)
    assert found.den_df == pytest.approx(reference["den_df"], rel=3e-4)
    assert found.p_value == pytest.approx(reference["p"], rel=1e-4)


def test_a_comparison_by_coefficients_is_their_test(fits):
    compared = fits["large", True].compare(fits["small", True], "D1").iloc[0]
    tested = fits["large", True].test(["arm[b]", "arm[c]"]).iloc[0]
    assert compared[["f_value", "num_df", "den_df", "p_value"]].tolist() == tested.iloc[[3, 1, 2, 4]].tolist()
    terms = fits["large", True].anova().set_index("term")
    assert terms.loc["arm", "f_value"] == pytest.approx(tested.f_value, rel=1e-12)


def test_satterthwaites_df_are_those_that_complete_data_would_have(fits):
    """Never above them, and by the formula from those of each fit."""
    pooled = fits["large", True]
    complete = np.mean([fit.tidy()["df"] for fit in pooled.fits], axis=0)
    found = pooled.tidy()
    assert (found["df"] < complete).all()
    np.testing.assert_allclose(found["df"], barnard_rubin(7, found["riv"], complete), rtol=1e-12)


numbers = st.floats(-5, 5).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8), st.integers(0, 5))
def test_the_order_of_data_sets_and_the_basis_of_a_hypothesis_do_not_matter(rows, seed):
    rng = np.random.default_rng(seed)
    q = np.array(rows) + rng.normal(size=(len(rows), 2))
    U = np.array([np.cov(rng.normal(size=(2, 9))) for _ in rows])
    found, turned = moments(q, U), moments(q[::-1], U[::-1])
    np.testing.assert_allclose(found.total, turned.total)
    A = np.array([[1.0, 2.0], [0.5, -1.0]])
    other = moments(q @ A.T, A @ U @ A.T)
    np.testing.assert_allclose(d1(found, found.mean, 30.0), d1(other, other.mean, 30.0), rtol=1e-7)


@given(st.floats(0.0, 50.0).map(lambda r: round(r, 6)), st.integers(2, 40), st.floats(1.0, 1e6))
def test_degrees_of_freedom_are_at_most_those_of_complete_data_and_of_the_imputations(r, m, complete):
    df = float(barnard_rubin(m, r, complete))
    assert 0 < df <= complete
    if r > 0:
        assert df <= (m - 1) * (1 + 1 / r) ** 2 * (1 + 1e-12)
    assert 0 <= float(missing_information(np.array(r), np.array(df))) <= 1.0


def test_equal_data_sets_lose_no_more_than_the_rules_say():
    q, U = np.ones((4, 1)), np.full((4, 1, 1), 0.25)
    found = moments(q, U)
    assert found.total.item() == 0.25
    assert float(barnard_rubin(4, found.increase, 20.0)[0]) == pytest.approx(21 / 23 * 20)
    assert d2(np.full(4, 6.0), 2)[0] == pytest.approx(3.0)
