"""Pictures of averaged meta-analyses and their sensitivity: what they show is what the tables say."""

import inspect

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.errors import ModelError, OptionError
from mixedfx.meta.averaging.fit import RobmaFit
from mixedfx.meta.averaging.parameter_densities import densities, find_parameter, kernel_density
from mixedfx.meta.averaging.pictures import KINDS, forest_tables, model_labels, regression_table, weight_tables
from mixedfx.meta.averaging.sensitivity import FACTORS, wider
from mixedfx.plots.picture import Picture
from mixedfx.priors.ensembles import MEAN_PRIORS, POSITIVE_PRIORS
from mixedfx.priors.marginal import marginal
from tests.meta.robma_data import BEM

SPIKE = p.spike(0)


@pytest.fixture(scope="module")
def bem():
    return mx.robma(BEM, sei="sei", measure="SMD")


@pytest.fixture(scope="module")
def schools():
    """Six models: with and without an effect, heterogeneity, and clustering."""
    data = mx.datasets.load("school_calendars")
    ensemble = p.robma3(hierarchical=[SPIKE, p.beta(1, 1)])
    return mx.bma(data, cluster="district", measure="SMD", priors=ensemble, slab="school")


def both(fit, name, conditional=False):
    curves, spikes = densities(fit, find_parameter(fit, name, conditional))
    none = pd.DataFrame({"x": [], "prior": [], "posterior": []})
    return curves, none if spikes is None else spikes


class TestParameters:
    def test_area_and_arrows_are_one(self, bem):
        for name in ("omega[0.025,0.05]", "omega[0.05,0.5]", "omega[0.975,1]"):
            curves, spikes = both(bem, name)
            for column in ("prior", "posterior"):
                area = integrate.trapezoid(curves[column], curves["x"])
                # densities of weights that are steep at an end; 801 points
                assert area + spikes[column].sum() == pytest.approx(1, abs=2e-3)

    def test_arrows_are_the_probabilities_of_components(self, bem, schools):
        for fit in (bem, schools):
            for name, component in (("mu", "effect"), ("tau", "heterogeneity")):
                _, spikes = both(fit, name)
                row = fit.components.loc[component]
                assert list(spikes["x"]) == [0.0]
                assert spikes["prior"][0] == pytest.approx(1 - row["prior"], rel=1e-12)
                assert spikes["posterior"][0] == pytest.approx(1 - row["posterior"], abs=1e-12)

    def test_rho_is_asked_of_models_with_heterogeneity(self, schools):
        curves, spikes = both(schools, "rho")
        np.testing.assert_allclose(spikes[["x", "prior"]], [[0.0, 0.5]])
        # the published Bayes factor of clustering is 4,624.79 +- Monte Carlo; ours is 4,618.84
        odds = (1 - spikes["posterior"][0]) / spikes["posterior"][0]
        assert odds == pytest.approx(4618.84, rel=1e-5)
        np.testing.assert_allclose(curves["prior"], 0.5)  # half of a uniform density
        mean = integrate.trapezoid(curves["x"] * curves["posterior"], curves["x"])
        # smoothing moves the mean of a density within its ends by less than .001
        assert mean == pytest.approx(schools.conditional.loc["rho", "mean"], abs=2e-3)

    def test_posterior_of_tau_has_the_moments_of_the_table(self, schools):
        curves, _ = both(schools, "tau")
        x, density = curves["x"], curves["posterior"]
        assert integrate.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
        assert integrate.trapezoid(x * density, x) == pytest.approx(schools.estimates.loc["tau", "mean"], abs=2e-3)
        own = marginal(p.inv_gamma(1, 0.15), 0.0)
        np.testing.assert_allclose(curves["prior"], 0.5 * np.exp(own.log_density(np.maximum(x, 1e-8))), atol=1e-12)

    def test_conditional_has_no_arrows(self, bem):
        for name in ("mu", "PET", "PEESE"):
            assert len(both(bem, name, conditional=True)[1]) == 0

    def test_prior_of_weights_is_that_of_cumulative_sums(self):
        """The density of w_3 of alpha 2, 1, 3 against draws of Dirichlet shares."""
        weights = p.weight_function("one-sided", (0.05, 0.5), alpha=(2, 1, 3))
        ensemble = p.ensemble(effect=[SPIKE], heterogeneity=[SPIKE], bias=[weights])
        fit = mx.robma(BEM, sei="sei", priors=ensemble)
        shares = np.random.default_rng(1).dirichlet((2, 1, 3), size=200_000)
        for interval, drawn in (("0.05,0.5", 1 - shares[:, 0]), ("0.5,1", 1 - shares[:, 0] - shares[:, 1])):
            prior = find_parameter(fit, f"omega[{interval}]").priors[0]
            assert stats.kstest(drawn, prior.cdf).pvalue > 0.001  # seed fixed
        assert find_parameter(fit, "omega[0,0.05]").priors == (1.0,)

    def test_coefficients_of_factors_have_the_prior_of_their_contrasts(self):
        data = BEM.assign(lab=["a", "b", "c"] * 3, age=np.arange(9.0))
        fit = mx.bma(data, sei="sei", formula="~ lab + age", measure="SMD")
        for name, scale in (("lab[a]", 0.25), ("age", 0.25)):
            found = find_parameter(fit, name)
            priors = [one for one in found.priors if one != 0.0]
            assert found.points["prior"][0] == pytest.approx(0.5)
            moderator = next(m for m in fit.given.moderators if m.name == name.split("[")[0])
            sd = scale * np.linalg.norm(moderator.report[0])
            np.testing.assert_allclose([one.quantile(0.975) for one in priors], sd * 1.959964, rtol=1e-6)

    def test_names_that_are_none(self, bem, schools):
        with pytest.raises(OptionError, match=r"no parameter 'taw'[\s\S]*Did you mean 'tau'"):
            bem.plot("parameter", parameter="taw")
        with pytest.raises(OptionError, match="no parameter 'PET'"):
            schools.plot("parameter", parameter="PET")

    def test_a_parameter_that_no_model_has(self):
        fit = mx.bma(BEM, sei="sei", priors=p.ensemble(effect=[SPIKE], heterogeneity=[p.half_normal(0.3)]))
        with pytest.raises(OptionError, match="no model has the parameter 'mu'"):
            fit.plot("parameter", conditional=True)
        axes = fit.plot("parameter").ax  # all probability at one point
        assert axes.get_ylabel() == ""

    @pytest.mark.parametrize("values", [stats.beta(1, 3), stats.beta(6, 2), stats.uniform()])
    def test_kernel_densities_keep_to_their_ends(self, values):
        points = values.ppf((np.arange(4000) + 0.5) / 4000)
        x = np.linspace(0.0, 1.0, 101)
        found = kernel_density(points, np.full(4000, 1 / 4000), x, 0.0, 1.0)
        # reflection flattens a slope at an end, at most by slope x E|z| x bandwidth, E|z| = .8; .01 for curvature
        slope = np.abs(np.gradient(values.pdf(x), x)).max()
        np.testing.assert_allclose(found, values.pdf(x), atol=0.8 * slope * 0.9 * values.std() * 4000**-0.2 + 0.01)
        assert integrate.trapezoid(found, x) == pytest.approx(1, abs=1e-3)


class TestTables:
    def test_weights_are_those_of_the_fit_beside_their_prior(self, bem):
        after, before = weight_tables(bem)
        np.testing.assert_array_equal(after["mean"], bem.weights["mean"])
        np.testing.assert_array_equal(after["low"][1:], after["high"][:-1])
        # mean of w from .05 to .5: the share of the intervals from it on, as alpha is 1 everywhere
        rows = [m for m in bem.members if m.kind == "weights"]
        steps = {
            "one-sided 0.05": 1 / 2,
            "one-sided 0.025, 0.05": 1 / 3,
            "one-sided 0.05, 0.5": 2 / 3,
            "one-sided 0.025, 0.05, 0.5": 1 / 2,
            "two-sided 0.05": 1 / 2,
            "two-sided 0.05, 0.1": 1 / 3,
        }
        wanted = 1 - sum(m.prior * (1 - steps[str(m.bias)]) for m in rows)
        assert before["mean"][2] == pytest.approx(wanted, abs=1e-4)  # 512 points of each prior
        assert before["mean"][0] == pytest.approx(1, abs=1e-12)
        assert before["lower"][0] == 1

    def test_conditional_weights_are_the_conditional_table(self, bem):
        after, _ = weight_tables(bem, conditional=True)
        own = bem.conditional.filter(like="omega", axis=0)
        np.testing.assert_allclose(after[["mean", "lower", "upper"]], own[["mean", "lower", "upper"]])

    def test_forest_has_estimates_true_effects_and_means(self, schools):
        table, means = forest_tables(schools, 0.95, None, "district", "data", True)
        truth = schools.true_effects()
        np.testing.assert_array_equal(table["true"], truth["mean"])
        np.testing.assert_allclose(table["conf_high"] - table["estimate"], 1.959964 * np.sqrt(schools.source.vi),
                                   rtol=1e-6)  # fmt: skip
        assert set(table["group"]) == {f"district {name}" for name in schools.given.cluster_labels}
        ends = means[means["group"].isna()].set_index("label")
        assert ends.loc["All models", "estimate"] == schools.estimates.loc["mu", "mean"]
        assert ends.loc["Models with an effect", "conf_low"] == schools.conditional.loc["mu", "lower"]
        assert ends.loc["All models", "pred_high"] == schools.predict()["pred_high"].iloc[0]

    def test_forest_of_clusters(self, schools):
        table, _ = forest_tables(schools, 0.95, None, "district", "data", False)
        assert list(table["label"]) == [f"district {d}" for d in pd.unique(schools.true_effects()["cluster"])]
        by_name = schools.cluster_effects().set_index("cluster")["mean"]
        for label, value in zip(table["label"], table["estimate"], strict=True):
            assert value == by_name[label.split()[1]]
        with pytest.raises(OptionError, match="has none"):
            mx.bma(BEM, sei="sei", measure="SMD").plot("forest", studies=False)

    def test_forest_of_ratios_is_logarithmic(self):
        data = pd.DataFrame({"yi": [0.3, 0.5, -0.1], "sei": [0.2, 0.25, 0.15]})
        fit = mx.bma(data, sei="sei", measure="OR", priors="robma4")
        axes = fit.plot("forest", transf="exp").ax
        assert axes.get_xscale() == "log"
        table, _ = forest_tables(fit, 0.95, "exp", "cluster", "estimate", True)
        np.testing.assert_allclose(table["estimate"], np.exp([-0.1, 0.3, 0.5]))
        np.testing.assert_allclose(np.sort(table["true"]), np.sort(np.exp(fit.true_effects()["mean"])))

    def test_forest_of_correlations_is_about_correlations(self):
        data = pd.DataFrame({"yi": [0.1, 0.2, 0.3], "n": [30, 40, 100]})
        data["vi"] = (1 - data["yi"] ** 2) ** 2 / (data["n"] - 1)
        fit = mx.bma(data, measure="COR", ni="n")
        table, means = forest_tables(fit, 0.95, None, "cluster", "data", True)
        np.testing.assert_array_equal(table["true"], fit.true_effects("COR")["mean"])
        assert means["estimate"][0] == fit.tidy(measure="COR").loc["mu", "mean"]

    def test_lines_of_the_funnel(self, bem):
        """The line of PET starts at the mean effect of the models with PET and rises by the mean of PET."""
        table = regression_table(bem, 0.95)
        line = table[table["label"].str.startswith("PET ")]
        at = bem.pooled
        chosen = np.isin(at.model, [i for i, m in enumerate(bem.members) if m.kind == "PET"])
        weights = at.weights[chosen] / at.weights[chosen].sum()
        assert line["estimate"].iloc[0] == pytest.approx(weights @ at.mu[chosen])
        slope = (line["estimate"].iloc[-1] - line["estimate"].iloc[0]) / line["std_error"].iloc[-1]
        assert slope == pytest.approx(bem.conditional.loc["PET", "mean"])
        curve = table[table["label"].str.startswith("PEESE ")]
        rise = curve["estimate"].iloc[-1] - curve["estimate"].iloc[0]
        assert rise == pytest.approx(bem.conditional.loc["PEESE", "mean"] * curve["std_error"].iloc[-1] ** 2)

    def test_models_are_named_by_what_they_have(self, bem, schools):
        labels = model_labels(schools)
        assert sorted(labels) == ["effect", "effect, heterogeneity", "effect, heterogeneity, clustering",
                                  "heterogeneity", "heterogeneity, clustering", "none of these"]  # fmt: skip
        assert len(set(model_labels(bem))) == 36
        two = p.ensemble(effect=[SPIKE, p.normal(0, 1), p.normal(0, 0.2)], heterogeneity=[p.half_normal(0.3)])
        assert model_labels(mx.bma(BEM, sei="sei", priors=two)) == [
            "none of these", "effect normal(0, 1)", "effect normal(0, 0.2)"]  # fmt: skip


class TestSensitivity:
    def test_at_factor_one_it_is_the_analysis(self, bem):
        table = bem.sensitivity("effect", factors=(1.0,))
        np.testing.assert_array_equal(table["inclusion_bf"], bem.components["inclusion_bf"])
        assert table["mu"][0] == pytest.approx(bem.estimates.loc["mu", "mean"], rel=1e-12)

    @pytest.mark.parametrize(
        ("prior", "change"),
        [
            ("effect", {"effect": [SPIKE, p.normal(0, 2)]}),
            ("heterogeneity", {"heterogeneity": [SPIKE, p.inv_gamma(1, 0.3)]}),
            ("bias", {"bias": [p.no_bias(), p.option(p.pet(p.half_cauchy(2)), 0.5),
                               p.option(p.peese(p.half_cauchy(10)), 0.5)]}),
        ],
    )  # fmt: skip
    def test_it_is_the_analysis_with_that_prior(self, prior, change):
        """Against a fit of its own with the prior written out; both are the same integrals."""
        fit = mx.robma(BEM, sei="sei", measure="SMD", bias="PP")
        own = mx.robma(BEM, sei="sei", measure="SMD", priors=p.robma3(**{"bias": "PP", **change}))
        table = fit.sensitivity(prior, factors=(2.0,)).set_index("component")
        np.testing.assert_allclose(table["inclusion_bf"], own.components["inclusion_bf"], rtol=1e-9)
        assert table["mu"].iloc[0] == pytest.approx(own.estimates.loc["mu", "mean"], rel=1e-6)

    def test_moderators_have_priors_of_their_own(self):
        data = BEM.assign(age=np.arange(9.0))
        fit = mx.bma(data, sei="sei", formula="~ age", measure="SMD")
        own = mx.bma(data, sei="sei", formula="~ age", measure="SMD",
                     priors=p.robma3(moderators={"age": [SPIKE, p.normal(0, 0.5)]}))  # fmt: skip
        table = fit.sensitivity("age", factors=(2,)).set_index("component")
        np.testing.assert_allclose(table["inclusion_bf"], own.components["inclusion_bf"], rtol=1e-9)

    def test_listed_models_are_changed_too(self):
        listed = [p.model(SPIKE, p.half_normal(0.3)), p.model(p.normal(0, 0.5), p.half_normal(0.3))]
        fit = mx.robma(BEM, sei="sei", priors=p.ensemble(models=listed))
        other = [listed[0], p.model(p.normal(0, 1), p.half_normal(0.3))]
        own = mx.robma(BEM, sei="sei", priors=p.ensemble(models=other))
        table = fit.sensitivity("effect", factors=(2,)).set_index("component")
        assert table.loc["effect", "inclusion_bf"] == pytest.approx(own.components.loc["effect", "inclusion_bf"])

    def test_mechanisms_are_compared(self):
        """Only models with weights and clusters change, and they are those of a fit with the other mechanism."""
        data = mx.datasets.load("school_calendars").iloc[:15]
        bias = [p.no_bias(), p.weight_function("one-sided", 0.025)]
        ensemble = p.robma3(bias=bias, effect=[p.normal(0, 1)])
        fit = mx.robma(data, cluster="district", measure="SMD", priors=ensemble)
        joint = mx.robma(data, cluster="district", measure="SMD", priors=ensemble, mechanism="joint")
        table = fit.sensitivity([], mechanisms=("conditional", "joint")).set_index(["mechanism", "component"])
        for mechanism, own in (("conditional", fit), ("joint", joint)):
            found = table.loc[mechanism]
            np.testing.assert_allclose(found["inclusion_bf"], own.components["inclusion_bf"], rtol=1e-9)
        assert table.loc[("joint", "bias"), "inclusion_bf"] != table.loc[("conditional", "bias"), "inclusion_bf"]
        assert set(table["scaled"]) == {""}
        picture = fit.plot("sensitivity", prior="heterogeneity", component="bias", factors=(1, 2),
                           mechanisms=("conditional", "joint"))  # fmt: skip
        assert [t.get_text() for t in picture.ax.get_legend().get_texts()] == ["conditional", "joint"]

    def test_it_refuses_nonsense(self, bem, schools):
        with pytest.raises(OptionError, match="not positive"):
            bem.sensitivity("effect", factors=(0, 1))
        with pytest.raises(OptionError, match="hierarchical"):
            schools.sensitivity("hierarchical")  # a beta prior has no scale
        with pytest.raises(OptionError, match="mechanism"):
            bem.sensitivity("effect", mechanisms="jont")

    def test_the_default_factors_are_one_list(self):
        assert inspect.signature(RobmaFit.sensitivity).parameters["factors"].default == FACTORS

    CASES = (p.normal(0, 0.5), p.student_t(4, 0, 0.3), p.uniform(-1, 1), p.exponential(2), p.gamma(2, 3),
             p.inv_gamma(1, 0.15), p.half_normal(0.4), p.half_cauchy(1), p.uniform(0, 2))  # fmt: skip

    @pytest.mark.parametrize("prior", CASES, ids=str)
    @pytest.mark.parametrize("factor", [0.5, 3.0])
    def test_wider_priors_have_quantiles_that_many_times_as_far(self, prior, factor):
        q = np.array([0.05, 0.3, 0.9])
        np.testing.assert_allclose(marginal(wider(prior, factor)).quantile(q), factor * marginal(prior).quantile(q),
                                   atol=1e-12)  # fmt: skip

    def test_every_prior_of_effect_and_heterogeneity_is_among_them(self):
        """But spikes, and beta distributions, which have no scale."""
        without = {"Spike", "Beta"}
        names = {kind.__name__ for kind in (*MEAN_PRIORS, *POSITIVE_PRIORS)} - without
        assert names == {type(prior).__name__ for prior in self.CASES}


class TestPictures:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_can_be_drawn(self, kind, bem):
        options = {"factors": (1.0, 2.0), "prior": "heterogeneity"} if kind == "sensitivity" else {}
        picture = bem.plot(kind, **options)
        assert isinstance(picture, Picture)
        assert picture.render("png").startswith(b"\x89PNG")

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_docstring_has_it(self, kind):
        assert f'``"{kind}"``' in inspect.getdoc(RobmaFit.plot)

    def test_a_panel_for_each_prior(self, schools):
        picture = schools.plot("sensitivity", factors=(0.5, 1))
        assert [ax.get_ylabel() for ax in picture.axes] == ["inclusion BF, effect", "inclusion BF, heterogeneity"]
        lines = [line for line in picture.axes[0].lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
        table = schools.sensitivity("effect", factors=(0.5, 1))
        np.testing.assert_allclose(
            lines[0].get_ydata(), table.loc[table["component"] == "effect", "inclusion_bf"], rtol=1e-12
        )

    def test_pictures_that_an_ensemble_has_not(self, schools):
        with pytest.raises(ModelError, match="PET or PEESE"):
            schools.plot("funnel")
        with pytest.raises(OptionError, match="weight function"):
            schools.plot("weights")
        with pytest.raises(OptionError, match="kind"):
            schools.plot("forrest")
        one = mx.bma(BEM, sei="sei", priors=p.ensemble(effect=[p.normal(0, 1)], heterogeneity=[p.half_normal(0.3)]))
        with pytest.raises(ModelError, match="in question"):
            one.plot("sensitivity")
        assert [t.get_text() for t in one.plot("forest").ax.get_yticklabels()][-1] == "All models"

    def test_axes_of_the_caller(self, schools):
        from mixedfx.plots.style import new_axes

        axes = new_axes(4, 3)
        assert schools.plot("parameter", ax=axes, parameter="rho").ax is axes
        with pytest.raises(OptionError, match="one panel"):
            schools.plot("sensitivity", ax=axes)

    def test_funnels_are_for_means(self):
        data = BEM.assign(age=np.arange(9.0))
        with pytest.raises(ModelError, match="without moderators"):
            mx.robma(data, sei="sei", formula="~ age", measure="SMD", bias="PP").plot("funnel")
