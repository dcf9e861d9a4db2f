"""Pictures of averaged models: what they show is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixedfx.errors import DataError, OptionError
from mixedfx.plots.bayes_factors import bf_sensitivity
from mixedfx.plots.funnel import funnel
from mixedfx.plots.model_probabilities import model_probabilities
from mixedfx.plots.picture import Picture
from mixedfx.plots.spike_densities import spike_densities
from mixedfx.plots.weight_function import weight_function

X = np.linspace(0, 1, 401)
RHO = pd.DataFrame({"x": X, "prior": np.full(401, 0.5), "posterior": 0.98 * stats.beta(7, 4).pdf(X)})
SPIKE = pd.DataFrame({"x": [0.0], "prior": [0.5], "posterior": [0.02]})
WEIGHTS = pd.DataFrame(
    {
        "low": [0, 0.025, 0.05, 0.5, 0.95, 0.975],
        "high": [0.025, 0.05, 0.5, 0.95, 0.975, 1],
        "mean": [1, 0.934, 0.783, 0.770, 0.787, 0.803],
        "lower": [1, 0.35, 0.12, 0.09, 0.10, 0.12],
        "upper": 1.0,
        "k": [12, 5, 9, 1, 0, 0],
    }
)
FACTORS = pd.DataFrame(
    [(c, s, b * s**-0.5) for c, b in (("effect", 0.9), ("bias", 0.2)) for s in (4.0, 0.25, 1.0)],
    columns=["component", "scale", "inclusion_bf"],
)
MODELS = pd.DataFrame({"model": list("abcdef"), "prior": 1 / 6, "posterior": [0.1, 0.4, 0.02, 0.25, 0.0002, 0.2298]})


def drawn(axes):
    """It can be rendered."""
    assert Picture(axes).render("png").startswith(b"\x89PNG")
    return axes


def arrows(axes):
    """Tips of the arrows: (x, height in densities)."""
    return [text.xy for text in axes.texts if text.arrow_patch is not None]


def tick_texts(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


class TestSpikes:
    def test_curves_are_the_densities(self):
        axes = drawn(spike_densities(RHO, xlabel="rho"))
        lines = {tuple(line.get_ydata()) for line in axes.lines}
        assert lines == {tuple(RHO["prior"]), tuple(RHO["posterior"])}
        assert axes.child_axes == []
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["prior", "posterior"]

    def test_arrows_are_as_high_as_the_axis_of_probabilities_says(self):
        axes = drawn(spike_densities(RHO, SPIKE))
        (right,) = axes.child_axes
        to_probability = right._functions[0]
        tips = arrows(axes)
        np.testing.assert_allclose([to_probability(y) for _, y in tips], [0.5, 0.02], rtol=1e-12)
        assert all(abs(x) < 0.02 for x, _ in tips)
        assert tips[0][0] < tips[1][0]  # beside each other
        low, high = axes.get_xlim()
        assert low < min(x for x, _ in tips)
        assert high >= 1.0

    def test_a_point_without_probability_has_no_arrow(self):
        axes = spike_densities(RHO, SPIKE.assign(posterior=0.0))
        assert len(arrows(axes)) == 1

    def test_an_arrow_shorter_than_its_head_is_a_line(self):
        """It would hang below the axis."""
        axes = drawn(spike_densities(RHO, SPIKE.assign(posterior=0.0002)))
        heads = [type(t.arrow_patch.get_arrowstyle()).__name__ for t in axes.texts if t.arrow_patch is not None]
        assert heads == ["CurveFilledB", "Curve"]

    def test_points_alone(self):
        three = pd.DataFrame({"x": [-1.0, 0.0, 1.0], "prior": [0.3, 0.4, 0.3], "posterior": [0.1, 0.85, 0.05]})
        axes = drawn(spike_densities(None, three))
        assert len(arrows(axes)) == 6
        assert axes.get_ylabel() == ""

    def test_a_density_that_is_infinite_at_an_end_is_cut_off(self):
        x = np.linspace(1e-6, 1, 500)
        axes = drawn(spike_densities(pd.DataFrame({"x": x, "posterior": stats.beta(0.3, 2).pdf(x)})))
        assert axes.get_ylim()[1] < 100

    @pytest.mark.parametrize(
        ("curves", "spikes", "text"),
        [
            (None, None, "nothing to draw"),
            (RHO.drop(columns="x"), None, "need columns x"),
            (RHO[::-1], None, "does not increase"),
            (RHO.assign(prior=-1.0), None, "below zero"),
            (RHO, SPIKE.assign(x=np.inf), "not finite"),
            (RHO, pd.concat([SPIKE.assign(prior=0.7)] * 2), "more than one"),
        ],
    )
    def test_what_is_no_distribution_is_refused(self, curves, spikes, text):
        with pytest.raises(DataError, match=text):
            spike_densities(curves, spikes)


class TestWeights:
    def test_steps_lie_between_the_cuts(self):
        axes = drawn(weight_function(WEIGHTS))
        (line,) = [line for line in axes.lines if line.get_label() == "posterior"]
        np.testing.assert_allclose(line.get_ydata()[::2], WEIGHTS["mean"])
        np.testing.assert_allclose(line.get_ydata()[1::2], WEIGHTS["mean"])
        np.testing.assert_allclose(line.get_xdata()[::2], range(6))
        assert tick_texts(axes.xaxis) == ["0", ".025", ".05", ".5", ".95", ".975", "1"]
        assert [text.get_text() for text in axes.texts] == ["k = 12", "5", "9", "1", "0", "0"]
        band = axes.collections[0].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(0.09)

    def test_on_the_scale_of_p_labels_do_not_stand_on_each_other(self):
        axes = drawn(weight_function(WEIGHTS, spacing="p"))
        assert [text for text in tick_texts(axes.xaxis) if text] == ["0", ".05", ".5", ".95", "1"]

    def test_a_prior_with_other_cuts(self):
        prior = pd.DataFrame({"low": [0, 0.1], "high": [0.1, 1], "mean": [1, 0.5], "lower": [1, 0.1], "upper": 1.0})
        axes = drawn(weight_function(WEIGHTS, prior=prior))
        assert ".1" in tick_texts(axes.xaxis)
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["posterior", "prior"]
        (line,) = [line for line in axes.lines if line.get_label() == "prior"]
        assert line.get_xdata().tolist() == [0, 3, 3, 7]

    def test_a_curve(self):
        p = np.geomspace(1e-4, 1, 50)
        curve = pd.DataFrame({"p": p, "mean": np.exp(-p), "lower": np.exp(-2 * p), "upper": np.exp(-p / 2)})
        axes = drawn(weight_function(curve))
        assert axes.get_xscale() == "log"
        assert drawn(weight_function(curve.iloc[30:])).get_xscale() == "linear"

    @pytest.mark.parametrize(
        ("table", "text"),
        [
            (WEIGHTS.iloc[:0], "a table with rows"),
            (WEIGHTS.drop(columns="upper"), "a column 'upper'"),
            (WEIGHTS.drop(index=2), "follow each other"),
            (WEIGHTS[::-1], "follow each other"),
            (WEIGHTS.assign(mean=-1.0), "numbers from 0"),
            (WEIGHTS.assign(high=[0.025, 0.05, 0.5, 0.95, 0.975, 2.0]), "from 0 to 1"),
        ],
    )
    def test_what_is_no_weight_function_is_refused(self, table, text):
        with pytest.raises(DataError, match=text):
            weight_function(table)

    def test_unknown_spacing(self):
        with pytest.raises(OptionError, match="spacing"):
            weight_function(WEIGHTS, spacing="log")


class TestRegressionInAFunnel:
    ESTIMATES = pd.DataFrame({"estimate": [0.1, 0.4, 0.5], "std_error": [0.1, 0.3, 0.4]})
    SE = np.linspace(0, 1, 41)
    PET = pd.DataFrame({"label": "PET", "std_error": SE, "estimate": 0.1 + 0.8 * SE})
    PEESE = pd.DataFrame({"label": "PEESE", "std_error": SE, "estimate": 0.2 + SE**2})

    def test_lines_run_through_the_funnel_from_its_top_to_its_bottom(self):
        both = pd.concat([self.PET, self.PEESE]).assign(lower=lambda d: d["estimate"] - 0.1, upper=0.9)
        axes = drawn(funnel(self.ESTIMATES, 0.2, regression=both))
        lines = {line.get_label(): line for line in axes.lines}
        for name, f in (("PET", lambda s: 0.1 + 0.8 * s), ("PEESE", lambda s: 0.2 + s**2)):
            x, y = lines[name].get_data()
            np.testing.assert_allclose(x, f(y))
            assert y[0] == 0.0
            assert y[-1] <= axes.get_ylim()[0]
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["PET", "PEESE"]
        assert len(axes.collections) == 3  # the region of chance and two bands

    def test_one_line_without_a_band_or_a_name(self):
        axes = drawn(funnel(self.ESTIMATES, 0.2, regression=self.PET.drop(columns="label")))
        assert axes.get_legend() is None
        assert len(axes.collections) == 1

    def test_a_table_that_is_no_line_is_refused(self):
        with pytest.raises(DataError, match="'estimate'"):
            funnel(self.ESTIMATES, 0.2, regression=self.PET.drop(columns="estimate"))
        with pytest.raises(DataError, match="rows"):
            funnel(self.ESTIMATES, 0.2, regression=self.PET.iloc[:0])


class TestModels:
    def test_the_most_probable_is_on_top(self):
        axes = drawn(model_probabilities(MODELS))
        assert tick_texts(axes.yaxis) == list("bdface")
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], sorted(MODELS["posterior"])[::-1])
        assert tick_texts(axes.child_axes[0].yaxis) == ["40.0 %", "25.0 %", "23.0 %", "10.0 %", "2.0 %", "< 0.1 %"]
        priors = [path.vertices[0, 0] for path in axes.collections[0].get_paths()]
        np.testing.assert_allclose(priors, 1 / 6)

    def test_the_rest_is_one_bar(self):
        axes = drawn(model_probabilities(MODELS, most=2, order="table"))
        assert tick_texts(axes.yaxis) == ["b", "d", "4 others together"]
        assert axes.patches[-1].get_width() == pytest.approx(0.35)
        # one model more than fits is shown
        assert len(model_probabilities(MODELS, most=5).patches) == 6

    @pytest.mark.parametrize(
        ("table", "text"),
        [
            (MODELS.iloc[:0], "a table with models"),
            (MODELS.drop(columns="prior"), "a column 'prior'"),
            (MODELS.assign(posterior=2.0), "probabilities"),
        ],
    )
    def test_what_are_no_probabilities_is_refused(self, table, text):
        with pytest.raises(DataError, match=text):
            model_probabilities(table)


class TestSensitivity:
    def test_a_line_for_each_component_in_the_order_of_the_scale(self):
        axes = drawn(bf_sensitivity(FACTORS, group="component", used=1.0))
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["effect"].get_xdata().tolist() == [0.25, 1.0, 4.0]
        np.testing.assert_allclose(lines["bias"].get_ydata(), [0.4, 0.2, 0.1])
        assert tick_texts(axes.yaxis) == ["1/10", "1/3", "1", "3"]
        assert [text.get_text() for text in axes.texts] == ["used"]

    def test_weak_evidence_is_not_blown_up(self):
        flat = FACTORS.assign(inclusion_bf=1.02)
        low, high = bf_sensitivity(flat).get_ylim()
        assert low <= 1 / 3.9
        assert high >= 3.9

    def test_overwhelming_evidence_has_powers_of_ten(self):
        wide = drawn(bf_sensitivity(FACTORS.assign(inclusion_bf=9.3e92 * FACTORS["scale"])))
        texts = tick_texts(wide.yaxis)
        assert texts[0] == "1"
        assert len(texts) < 9
        assert all(text.startswith("10") and set(text[2:]) <= set("⁰¹²³⁴⁵⁶⁷⁸⁹") for text in texts[1:])
        some = bf_sensitivity(FACTORS.assign(inclusion_bf=4600 * FACTORS["scale"]))
        assert tick_texts(some.yaxis) == ["1/3", "1", "3", "10", "100", "1,000", "10,000"]

    @pytest.mark.parametrize(
        ("table", "text"),
        [
            (FACTORS.iloc[:0], "a table with rows"),
            (FACTORS.drop(columns="scale"), "a column 'scale'"),
            (FACTORS.assign(inclusion_bf=0.0), "positive"),
            (FACTORS.assign(scale=np.nan), "positive"),
        ],
    )
    def test_what_are_no_bayes_factors_is_refused(self, table, text):
        with pytest.raises(DataError, match=text):
            bf_sensitivity(table)
