"""Selection models by maximum likelihood: metafor's numbers, published ones in clusters, pages, warnings, refusals."""

import json
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import (
    ConvergenceWarning,
    DataError,
    FewInIntervalWarning,
    MergedIntervalsWarning,
    ModelError,
    OptionError,
)
from mixedfx.meta.selection.weights import WEIGHT_FUNCTIONS

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
REFERENCE = json.loads((FOLDER / "selmodel.json").read_text())
DATA = {name: pd.DataFrame(columns) for name, columns in REFERENCE["data"].items()}
HACKSHAW = DATA["hackshaw"]
KONSTANTOPOULOS = pd.read_csv(FOLDER / "konstantopoulos2011.csv")
ASSINK = pd.read_csv(FOLDER / "assink2016.csv")
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.FewInIntervalWarning")


# likelihood, estimates in standard errors, and standard errors relatively, where metafor's numbers are of another
# model or less exact: it clips p also for the power function, which is bounded without (a brute force with the clip has
# its likelihood of -9.151541), and adaptive integrals over the line miss what the two-sided beta function does near 0
INTEGRATED = {"power": (1e-5, 2e-5, 2e-5), "beta": (1e-7, 1e-5, 1e-3)}


def fitted(case):
    data, _, kind = case["data"].partition(" ")
    formula = "yi ~ year" if kind == "year" else "yi ~ 1"
    steps = np.atleast_1d(case["steps"]).tolist() or None
    return mx.rma(formula, DATA[data], method="EE" if kind == "EE" else "REML").selmodel(
        case["type"], steps, case["alternative"]
    )


@pytest.mark.parametrize(
    "case", REFERENCE["fits"], ids=lambda c: f"{c['data']} {c['type']} {c['steps']} {c['alternative']}"
)
class TestAgainstMetafor:
    def test_likelihood(self, case):
        fit = fitted(case)
        slack = INTEGRATED.get(case["type"], (1e-7, 0, 0))[0]  # metafor's maxima are this near
        assert fit.loglik == pytest.approx(case["loglik"], abs=slack)
        assert fit.lrt == pytest.approx(case["lrt"], abs=2 * slack)
        assert fit.df == case["df"]

    def test_estimates(self, case):
        fit = fitted(case)
        found = np.concatenate([fit.beta, [fit.tau2], fit.delta])
        se = np.concatenate([fit.se, [fit.se_tau2], fit.se_delta])
        expected, errors = (
            np.concatenate([np.atleast_1d(np.array(case[name], dtype=float)) for name in names])
            for names in (("beta", "tau2", "delta"), ("se", "se_tau2", "se_delta"))
        )
        # in standard errors: 2e-6 of them move the likelihood by 2e-12, which no optimiser sees
        _, distance, relative = INTEGRATED.get(case["type"], (0, 2e-6, 3e-6))
        assert (np.abs(found - expected) / np.where(np.isnan(se), 1.0, se)).max() < distance
        known = ~np.isnan(errors)
        np.testing.assert_array_equal(known, ~np.isnan(se))
        np.testing.assert_allclose(se[known], errors[known], rtol=relative)


def test_numbers_of_the_literature():
    """Hackshaw 1998: one step, and three, as metafor prints them."""
    one = mx.rma("yi ~ 1", HACKSHAW).selmodel(steps=0.025)
    assert one.delta[1] == pytest.approx(0.764394, abs=1e-6)
    assert one.lrt == pytest.approx(0.11705, abs=5e-6)
    assert one.beta[0] == pytest.approx(0.194402, abs=1e-6)
    assert one.loglik == pytest.approx(-10.090076, abs=1e-6)
    assert mx.rma("yi ~ 1", HACKSHAW).selmodel(steps=(0.025, 0.1, 0.5)).lrt == pytest.approx(6.40198, abs=5e-6)


class TestClusters:
    @pytest.mark.parametrize(
        ("mechanism", "mean", "se", "delta", "lrt"),
        [
            ("conditional", 0.25488, 0.087, 3.4015, 5.3439),
            ("joint", 0.53301, 0.145, 3.0916, 8.8853),
            ("best", 0.16690, 0.114, 0.7915, 0.0530),
        ],
    )
    def test_schools_in_districts(self, mechanism, mean, se, delta, lrt):
        fit = mx.selmodel("yi ~ 1", KONSTANTOPOULOS, cluster="district", steps=0.025, mechanism=mechanism)
        assert fit.beta[0] == pytest.approx(mean, abs=6e-6)
        assert fit.se.iloc[0] == pytest.approx(se, abs=6e-4)
        assert fit.delta[1] == pytest.approx(delta, abs=6e-5)
        assert fit.lrt == pytest.approx(lrt, abs=6e-5)
        assert fit.loglik_unselected == pytest.approx(-8.39494, abs=6e-6)
        assert fit.estimate.unselected.theta[0] == pytest.approx(0.18446, abs=6e-6)

    def test_without_clusters(self):
        fit = mx.rma("yi ~ 1", KONSTANTOPOULOS).selmodel(steps=0.025)
        assert fit.beta[0] == pytest.approx(0.2810, abs=6e-5)
        assert fit.delta[1] == pytest.approx(3.59, abs=6e-3)
        assert fit.lrt == pytest.approx(7.250, abs=6e-4)

    def test_no_selection_is_the_fit_of_a_mixed_model(self):
        data = KONSTANTOPOULOS
        fit = mx.selmodel("yi ~ 1", data, cluster="district")
        mixed = mx.rma_mv("yi ~ 1 + (1 | district/school)", data, method="ML")
        none = fit.estimate.unselected
        # both are within 1e-9 of the maximum of the likelihood, and an error of 2e-5 se moves it by 2e-10
        assert none.theta[0] == pytest.approx(mixed.beta[0], rel=1e-6)
        np.testing.assert_allclose(none.theta[1:], mixed.components["estimate"], rtol=1e-5)
        assert none.loglik == pytest.approx(mixed.loglik(), abs=1e-9)

    def test_clusters_up_to_22_in_half_a_second(self):
        mx.selmodel("yi ~ 1", ASSINK, cluster="study")
        took = []
        for _ in range(3):
            start = time.process_time()
            fit = mx.selmodel("yi ~ 1", ASSINK, cluster="study")
            took.append(time.process_time() - start)
        assert min(took) < 0.5
        assert np.bincount(fit.estimate.given.codes).max() == 22
        assert fit.estimate.maximum.converged

    @pytest.mark.parametrize("mechanism", ["conditional", "joint", "best"])
    def test_order_of_rows_and_names_of_clusters_do_not_matter(self, mechanism):
        order = np.random.default_rng(3).permutation(len(ASSINK))
        mixed = ASSINK.iloc[order].assign(study=lambda d: "s" + d["study"].astype(str))
        one = mx.selmodel("yi ~ deltype", ASSINK, cluster="study", mechanism=mechanism)
        other = mx.selmodel("yi ~ deltype", mixed, cluster="study", mechanism=mechanism)
        np.testing.assert_allclose(one.fixef, other.fixef[one.fixef.index], rtol=1e-7)
        assert one.loglik == pytest.approx(other.loglik, abs=1e-9)

    def test_the_method_of_a_fit_is_the_function(self):
        fit = mx.rma("yi ~ 1", ASSINK).selmodel(cluster="study")
        assert fit.beta[0] == mx.selmodel("yi ~ 1", ASSINK, cluster="study").beta[0]
        assert fit.before == "REML"

    def test_the_method_of_a_multilevel_fit_is_the_function(self):
        fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", KONSTANTOPOULOS, method="ML")
        for mechanism in ("conditional", "joint", "best"):
            one = fit.selmodel(steps=0.025, mechanism=mechanism)
            other = mx.selmodel("yi ~ 1", KONSTANTOPOULOS, cluster="district", mechanism=mechanism)
            assert one.beta[0] == pytest.approx(other.beta[0], abs=1e-12)
        assert one.loglik_unselected == pytest.approx(fit.loglik(), abs=1e-9)
        single = mx.rma_mv("yi ~ 1 + (1 | study)", KONSTANTOPOULOS).selmodel("negexp")
        assert single.beta[0] == pytest.approx(mx.selmodel("yi ~ 1", KONSTANTOPOULOS, type="negexp").beta[0], abs=1e-12)

    @pytest.mark.parametrize("formula", ["yi ~ 1 + (1 | district)", "yi ~ 1 + (1 | year/district/study)",
                                         "yi ~ 1 + (year | district) + (1 | study)"])  # fmt: skip
    def test_other_levels_are_refused(self, formula):
        data = KONSTANTOPOULOS.assign(year=KONSTANTOPOULOS["year"] % 7)
        with pytest.raises(ModelError, match="effects of single estimates and of one level of clusters"):
            mx.rma_mv(formula, data).selmodel()

    def test_correlated_errors_are_refused(self):
        V = mx.vcalc("vi", cluster="district", obs="school", data=KONSTANTOPOULOS, rho=0.6)
        with pytest.raises(ModelError, match="sampling errors are correlated"):
            mx.rma_mv("yi ~ 1 + (1 | district/school)", KONSTANTOPOULOS, V=V).selmodel()

    def test_every_page_shows_every_mechanism(self):
        for mechanism in ("conditional", "joint", "best"):
            page = mx.selmodel("yi ~ 1", KONSTANTOPOULOS, cluster="district", mechanism=mechanism).text()
            rows = re.findall(r"^ (none|conditional|joint|best) +([\d.]+)", page, re.MULTILINE)
            assert dict(rows) == {"none": "0.1845", "conditional": "0.2549", "joint": "0.5330", "best": "0.1669"}

    def test_a_mechanism_that_cannot_be_fitted_says_why(self):
        data = KONSTANTOPOULOS.copy()
        first = data.groupby("district").cumcount() == 0
        data.loc[first, "yi"] = 3 * np.sqrt(data.loc[first, "vi"])
        fit = mx.selmodel("yi ~ 1", data, cluster="district")
        row = fit.sensitivity.set_index("mechanism").loc["best"]
        assert np.isnan(row["estimate"])
        assert "all 11 best estimates" in row["note"]
        assert row["note"] in " ".join(fit.text().split())


class TestInvariance:
    @pytest.mark.parametrize("name", WEIGHT_FUNCTIONS)
    def test_signs_and_units(self, name):
        fit = mx.selmodel("yi ~ year", HACKSHAW, type=name)
        turned = HACKSHAW.assign(yi=-HACKSHAW["yi"] * 1e3, vi=HACKSHAW["vi"] * 1e6)
        other = mx.selmodel("yi ~ year", turned, type=name, alternative="less")
        np.testing.assert_allclose(-1e3 * fit.beta, other.beta, rtol=1e-5)
        np.testing.assert_allclose(1e6 * fit.tau2, other.tau2, rtol=1e-5)
        np.testing.assert_allclose(fit.delta, other.delta, rtol=1e-5)
        np.testing.assert_allclose(1e3 * fit.se, other.se, rtol=1e-5)
        assert fit.lrt == pytest.approx(other.lrt, abs=1e-8)

    def test_two_sided_p_values_know_no_sign(self):
        one = mx.selmodel("yi ~ 1", HACKSHAW, alternative="two.sided")
        other = mx.selmodel("yi ~ 1", HACKSHAW.assign(yi=-HACKSHAW["yi"]), alternative="two.sided")
        assert one.steps == (0.05,)
        assert one.loglik == pytest.approx(other.loglik, abs=1e-10)
        assert one.beta[0] == pytest.approx(-other.beta[0], rel=1e-7)

    def test_an_offset_moves_the_mean_but_not_p_values(self):
        data = HACKSHAW.assign(known=0.1)
        one = mx.selmodel("yi ~ 1", data)
        other = mx.selmodel("yi ~ 1 + offset(known)", data)
        assert other.beta[0] == pytest.approx(one.beta[0] - 0.1, rel=1e-7)
        assert other.counts().equals(one.counts())


class TestIntervals:
    def test_an_estimate_of_zero_has_a_p_value_of_one_half(self):
        data = HACKSHAW.assign(yi=np.where(np.arange(37) == 3, 0.0, HACKSHAW["yi"]))
        table = mx.selmodel("yi ~ 1", data, steps=0.5).counts()
        assert table["k"].tolist() == [int((data["yi"] >= 0).sum()), int((data["yi"] < 0).sum())]

    def test_an_empty_interval_is_refused(self):
        with pytest.raises(DataError, match=r"no estimate has 0.025 < p <= 0.05") as error:
            mx.selmodel("yi ~ 1", HACKSHAW, steps=(0.025, 0.05, 0.5))
        assert "steps=(0.025, 0.5)" in str(error.value)
        assert "empty='merge'" in str(error.value)

    def test_an_empty_reference_is_refused(self):
        with pytest.raises(DataError, match=r"no estimate has 0 < p <= 1e-12"):
            mx.selmodel("yi ~ 1", HACKSHAW, steps=(1e-12, 0.5))

    def test_an_empty_interval_is_merged_where_it_may_be(self):
        with pytest.warns(MergedIntervalsWarning, match=r"steps 0.05 are gone, and 0.025, 0.5 left"):
            fit = mx.selmodel("yi ~ 1", HACKSHAW, steps=(0.025, 0.05, 0.5), empty="merge")
        assert fit.loglik == mx.selmodel("yi ~ 1", HACKSHAW, steps=(0.025, 0.5)).loglik

    def test_estimates_of_one_interval_say_nothing(self):
        with pytest.raises(DataError, match="all 37 estimates have p values in one interval"):
            mx.selmodel("yi ~ 1", HACKSHAW.assign(yi=lambda d: d["yi"] + 9), empty="merge")

    def test_few_in_an_interval(self):
        data = HACKSHAW.copy()
        data.loc[data["yi"] < 0, "yi"] *= -1
        data.loc[:1, "yi"] = -0.1
        with pytest.warns(FewInIntervalWarning, match=r"0.5 < p <= 1 has 2"):
            mx.selmodel("yi ~ 1", data, steps=(0.025, 0.5))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mx.selmodel("yi ~ 1", HACKSHAW, steps=0.025)

    def test_counts_of_the_best_estimates(self):
        fit = mx.selmodel("yi ~ 1", KONSTANTOPOULOS, cluster="district", mechanism="best")
        best = KONSTANTOPOULOS.assign(z=lambda d: d["yi"] / np.sqrt(d["vi"])).groupby("district")["z"].max()
        assert fit.weights()["k"].tolist() == [int((best >= 1.96).sum()), int((best < 1.96).sum())]
        assert fit.counts()["k"].sum() == 56


class TestPage:
    def test_beta_shows_its_clip(self):
        page = " ".join(mx.selmodel("yi ~ 1", HACKSHAW, type="beta").text().split())
        assert "p is clipped to [1e-05, 1 - 1e-05]" in page
        assert "the clip is part of the model" in page

    def test_half_of_chi_square_at_a_boundary(self):
        from scipy import special

        fit = mx.selmodel("yi ~ 1", HACKSHAW, type="negexp")
        assert fit.p_value == pytest.approx(special.chdtrc(1, fit.lrt) / 2, rel=1e-12)
        assert "half of it at 0" in fit.text()
        step = mx.selmodel("yi ~ 1", HACKSHAW)
        assert step.p_value == pytest.approx(special.chdtrc(1, step.lrt), rel=1e-12)

    def test_a_parameter_on_its_boundary(self):
        """Insignificant estimates in excess: weights that fall are no better than none."""
        data = DATA["bcg"]
        fit = mx.selmodel("yi ~ 1", data, type="negexp", alternative="greater")
        assert "taken as known by the others' errors: delta" in fit.text()
        assert fit.delta[0] == 0
        assert fit.lrt < 1e-12
        assert fit.p_value == 1
        assert np.isnan(fit.se_delta[0])
        plain = mx.rma("yi ~ 1", data, method="ML")
        assert fit.beta[0] == pytest.approx(plain.beta[0], abs=1e-6)
        assert fit.loglik == pytest.approx(plain.loglik(), abs=1e-9)

    def test_weights_of_p_values(self):
        fit = mx.selmodel("yi ~ 1", HACKSHAW, steps=(0.025, 0.5))
        np.testing.assert_array_equal(fit.weight_at([0.01, 0.025, 0.3, 0.9]), fit.delta[[0, 0, 1, 2]])
        smooth = mx.selmodel("yi ~ 1", HACKSHAW, type="halfnorm", steps=0.025)
        expected = np.exp(-smooth.delta[0] * (0.4**2 - 0.025**2))
        np.testing.assert_allclose(smooth.weight_at([0.01, 0.4]), [1.0, expected], rtol=1e-12)

    def test_rows_that_lack_a_value_are_counted(self):
        data = HACKSHAW.assign(yi=HACKSHAW["yi"].mask(np.arange(37) == 3), vi=HACKSHAW["vi"].mask(np.arange(37) == 5))
        fit = mx.selmodel("yi ~ 1", data, cluster=np.arange(37) // 4)
        assert fit.k == 35
        assert "35" in fit.text().split("Data:")[1].split("Weights:")[0]
        assert fit.estimate.given.codes.tolist() == np.delete(np.arange(37) // 4, [3, 5]).tolist()

    def test_html(self):
        assert "<table" in mx.selmodel("yi ~ 1", HACKSHAW)._repr_html_()


class TestIntervalsOfParameters:
    def test_profile_limits_are_where_the_likelihood_has_fallen(self):
        fit = mx.selmodel("yi ~ 1", KONSTANTOPOULOS, cluster="district")
        table = fit.confint(method="profile").set_index("term")
        weight = table.loc["weight of 0.025 < p <= 1"]
        # no selection is a weight of 1: rejected by a test of 5.34 at the .05 level, and the limit at its own p value
        assert 1 < weight["conf_low"] < fit.delta[1] < weight["conf_high"]
        exact = fit.confint(1 - fit.p_value, method="profile").set_index("term").loc["weight of 0.025 < p <= 1"]
        assert exact["conf_low"] == pytest.approx(1.0, abs=1e-6)

    def test_wald_limits(self):
        fit = mx.selmodel("yi ~ 1", HACKSHAW, type="negexp")
        table = fit.confint()
        assert table["term"].tolist() == ["Intercept", "tau2", "delta"]
        assert table.loc[0, "conf_low"] == pytest.approx(fit.beta[0] - 1.959963984540054 * fit.se.iloc[0])
        assert (table.loc[1:, "conf_low"] >= 0).all()


class TestRefusals:
    def test_smooth_weights_in_clusters(self):
        with pytest.raises(ModelError, match="for independent estimates"):
            mx.selmodel("yi ~ 1", ASSINK, cluster="study", type="negexp")

    def test_one_cluster_and_as_many_as_estimates(self):
        with pytest.raises(DataError, match="all estimates are in one cluster"):
            mx.selmodel("yi ~ 1", HACKSHAW.assign(c=1), cluster="c")
        with pytest.raises(DataError, match="a cluster of its own"):
            mx.selmodel("yi ~ 1", HACKSHAW.assign(c=range(37)), cluster="c")

    def test_missing_clusters(self):
        with pytest.raises(DataError, match=r"cluster is missing in row 3"):
            mx.selmodel("yi ~ 1", HACKSHAW.assign(c=[1, 2, 1, None, *[2] * 33]), cluster="c")

    @pytest.mark.parametrize("steps", [0.0, (0.5, 0.025), (0.025, 0.025), "a", (), (0.025, 1.5)])
    def test_steps_that_are_none(self, steps):
        with pytest.raises(OptionError, match="steps="):
            mx.selmodel("yi ~ 1", HACKSHAW, steps=steps)

    def test_a_last_step_of_one_is_understood(self):
        assert mx.selmodel("yi ~ 1", HACKSHAW, steps=(0.025, 1)).steps == (0.025,)

    def test_options(self):
        for change in (
            {"type": "gauss"},
            {"alternative": "up"},
            {"mechanism": "all"},
            {"empty": "drop"},
            {"tau2": -1.0},
        ):
            with pytest.raises(OptionError):
                mx.selmodel("yi ~ 1", HACKSHAW, **change)
        with pytest.raises(OptionError, match="where selection begins"):
            mx.selmodel("yi ~ 1", HACKSHAW, type="negexp", steps=(0.025, 0.5))
        with pytest.raises(OptionError, match="Leave steps= out"):
            mx.selmodel("yi ~ 1", HACKSHAW, type="beta", steps=0.025)

    def test_too_few_estimates(self):
        data = pd.DataFrame({"yi": [0.9, 0.1], "vi": [0.04, 0.09]})
        with pytest.raises(ModelError, match="2 estimates are too few"):
            mx.selmodel("yi ~ 1", data)

    def test_weights_and_known_heterogeneity(self):
        with pytest.raises(ModelError, match="weights="):
            mx.rma("yi ~ 1", HACKSHAW, weights=np.ones(37)).selmodel()
        with pytest.raises(ModelError, match="heterogeneity is fixed"):
            mx.rma("yi ~ 1", ASSINK, method="EE").selmodel(cluster="study")

    def test_a_weight_without_a_maximum_is_said(self):
        """Every estimate beyond the step but one, and it is the one far from all others."""
        rng = np.random.default_rng(2)
        v = np.full(12, 0.01)
        data = pd.DataFrame({"yi": np.append(0.196 + 0.002 * rng.random(11), -0.9), "vi": v})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit = mx.selmodel("yi ~ 1", data, tau2=0.0)
        kinds = {w.category for w in caught}
        assert FewInIntervalWarning in kinds
        assert fit.estimate.maximum.converged or ConvergenceWarning in kinds
