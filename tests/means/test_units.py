"""Marginal means and predictions in the units of a transformed response, against closed forms and draws."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import mixedfx as mx
from mixedfx.errors import OptionError

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def stays() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    ward, drug = np.repeat(np.arange(15), 10), rng.choice(["none", "old", "new"], 150)
    dose, sex = rng.uniform(0, 2, 150), rng.choice(["f", "m"], 150)
    u = rng.normal(size=(15, 2)) * [0.3, 0.1]
    eta = 1.5 + 0.6 * (drug == "new") + 0.2 * (drug == "old") + (0.2 + u[ward, 1]) * dose + u[ward, 0]
    days = np.exp(eta + 0.4 * rng.normal(size=150))
    counts = rng.poisson(np.exp(0.3 * eta))
    return pd.DataFrame(
        {
            "days": days,
            "share": days / (days + 5),
            "drug": pd.Categorical(drug, ["none", "old", "new"]),
            "dose": dose,
            "sex": sex,
            "ward": ward,
            "falls": counts,
            "hurt": (rng.random(150) < expit(eta - 2)).astype(int),
        }
    )


RIGHT = "drug * sex + dose + (1 + dose | ward)"


@pytest.fixture(scope="module")
def reml(stays):
    return mx.lmer(f"log(days) ~ {RIGHT}", stays)


@pytest.fixture(scope="module")
def posterior(stays):
    return mx.bayes(f"log(days) ~ {RIGHT}", stays, seed=1, draws=1000)


class TestMeans:
    def test_geometric_means_are_those_of_the_model_through_the_exponential(self, reml):
        """As emmeans gives them with type = "response": ends through exp, SE by the delta method, df as they were."""
        link, found = (mx.emmeans(reml, "drug", by="sex", scale=s).table for s in ("link", "response"))
        for column in ("lower", "upper"):
            np.testing.assert_allclose(found[column], np.exp(link[column]), rtol=1e-12)
        np.testing.assert_allclose(found["response"], np.exp(link["emmean"]), rtol=1e-12)
        np.testing.assert_allclose(found["SE"], found["response"] * link["SE"], rtol=1e-12)
        np.testing.assert_allclose(found["df"], link["df"], rtol=1e-12)

    def test_contrasts_of_logarithms_are_ratios_with_the_tests_of_the_differences(self, reml):
        link, found = (mx.emmeans(reml, "drug", by="sex", scale=s).pairs().table for s in ("link", "response"))
        assert found["contrast"].tolist() == [c.replace(" - ", " / ") for c in link["contrast"]]
        for column, own in (("ratio", "estimate"), ("lower", "lower"), ("upper", "upper")):
            np.testing.assert_allclose(found[column], np.exp(link[own]), rtol=1e-12)
        np.testing.assert_allclose(found["p_value"], link["p_value"], rtol=1e-12)
        np.testing.assert_allclose(found["SE"], found["ratio"] * link["SE"], rtol=1e-12)

    def test_ratios_of_ratios(self, reml):
        pairs = [mx.emmeans(reml, "drug", by="sex", scale=s).contrast("consec") for s in ("link", "response")]
        link, found = (p.contrast("pairwise", by="contrast").table for p in pairs)
        np.testing.assert_allclose(found["ratio"], np.exp(link["estimate"]), rtol=1e-12)

    @pytest.mark.parametrize("left", ["log(days)", "log2(days)", "3 * log10(days / 7)", "-log(days)"])
    def test_the_base_and_the_sign_of_a_logarithm_do_not_matter(self, left, stays, reml):
        fit = mx.lmer(f"{left} ~ {RIGHT}", stays)
        a, b = (mx.emmeans(f, "drug", scale="response") for f in (reml, fit))
        for x, y in ((a.table, b.table), (a.pairs().table, b.pairs().table)):
            for column in x.columns[1:]:
                # Two runs of the optimiser: estimates to 1e-6, the rest to the accuracy of theta.
                np.testing.assert_allclose(y[column], x[column], rtol=2e-4)
        for side in ("greater", "less"):
            one, other = (m.pairs(adjust="none").test(side=side)["p_value"] for m in (a, b))
            np.testing.assert_allclose(other, one, rtol=1e-3)
        one, other = (m.test(null=6.0, side="greater")["p_value"] for m in (a, b))
        np.testing.assert_allclose(other, one, rtol=1e-3)

    @pytest.mark.parametrize("left", ["scale(days)", "days / 7", "10 - 2 * days", "center(days)"])
    def test_shifts_and_factors_give_what_the_variable_itself_gives(self, left, stays):
        plain, fit = (mx.lmer(f"{y} ~ {RIGHT}", stays) for y in ("days", left))
        a, b = mx.emmeans(plain, "drug"), mx.emmeans(fit, "drug", scale="response")
        for x, y in ((a.table, b.table), (a.pairs().table, b.pairs().table), (a.test(), b.test())):
            for mine, his in zip(y.columns[1:], x.columns[1:], strict=True):
                np.testing.assert_allclose(y[mine], x[his], rtol=2e-3)

    def test_logits_give_odds_ratios(self, stays):
        fit = mx.lmer(f"logit(share) ~ {RIGHT}", stays)
        link, found = (mx.emmeans(fit, "drug", scale=s) for s in ("link", "response"))
        np.testing.assert_allclose(found.table["response"], expit(link.table["emmean"]), rtol=1e-12)
        np.testing.assert_allclose(
            found.pairs().table["odds_ratio"], np.exp(link.pairs().table["estimate"]), rtol=1e-12
        )
        found.pairs().plot()

    def test_other_contrasts_stay_on_the_scale_of_the_model_and_say_so(self, stays, reml):
        fit = mx.lmer(f"sqrt(days) ~ {RIGHT}", stays)
        means = mx.emmeans(fit, "drug", scale="response")
        np.testing.assert_allclose(means.table["response"], mx.emmeans(fit, "drug").table["emmean"] ** 2, rtol=1e-12)
        pairs = means.pairs()
        pd.testing.assert_frame_equal(pairs.table, mx.emmeans(fit, "drug").pairs().table)
        assert pairs.notes[-1].startswith("contrasts are on the scale of the linear predictor")
        # An average of means is no contrast, so it is no ratio.
        half = mx.emmeans(reml, "drug", scale="response").contrast({"old and new": [0, 0.5, 0.5]})
        assert "estimate" in half.table

    def test_arithmetic_means_hold_the_variance_of_residuals_and_groups(self, reml, posterior, stays):
        """exp(m + s^2 / 2), with s^2 = sigma^2 + z' Sigma z at the mean dose."""
        link = mx.emmeans(reml, "drug").table
        z = np.array([1.0, stays["dose"].mean()])
        T = reml.covariance_factors[0][0]
        variance = reml.sigma**2 + z @ T @ T.T @ z
        found = mx.emmeans(reml, "drug", scale="response", bias_adjust=True)
        for column, own in (("response", "emmean"), ("lower", "lower"), ("upper", "upper")):
            np.testing.assert_allclose(found.table[column], np.exp(link[own] + variance / 2), rtol=1e-9)
        # The derivative of the mean is a sum over nodes.
        np.testing.assert_allclose(found.table["SE"], found.table["response"] * link["SE"], rtol=1e-6)
        drawn = mx.emmeans(posterior, "drug").answer.draws
        factors = posterior.covariance_factors[0]
        G = factors @ factors.transpose(0, 2, 1)
        each = np.ravel(posterior.draws()["sigma"]) ** 2 + np.einsum("i,dij,j->d", z, G, z)
        table = mx.emmeans(posterior, "drug", scale="response", bias_adjust=True).table
        means = np.exp(drawn + each[:, None] / 2)
        np.testing.assert_allclose(table["lower"], np.quantile(means, 0.025, axis=0), rtol=1e-9)
        np.testing.assert_allclose(table["sd"], means.std(axis=0, ddof=1), rtol=1e-9)

    def test_a_posterior_gives_quantiles_of_what_is_taken_back(self, posterior):
        found = mx.emmeans(posterior, "drug", scale="response")
        draws = np.exp(mx.emmeans(posterior, "drug").answer.draws)
        np.testing.assert_allclose(found.table["upper"], np.quantile(draws, 0.975, axis=0), rtol=1e-3)
        pairs = found.pairs().table
        ratio = draws[:, 0] / draws[:, 1]
        assert pairs["prob_above"][0] == np.mean(ratio > 1)
        assert "prob > 1" in repr(found.pairs())
        assert "ratios of geometric means of days" in repr(found.pairs())

    def test_links_of_a_posterior_are_undone_too(self, stays):
        options = {"seed": 1, "draws": 300, "warmup": 200, "progress": False}
        falls = mx.bayes("falls ~ drug + (1 | ward)", stays, family="poisson", **options)
        link, found = (mx.emmeans(falls, "drug", scale=s) for s in ("link", "response"))
        np.testing.assert_allclose(found.table["response"], np.exp(link.table["emmean"]), rtol=1e-12)
        assert list(found.pairs().table.columns[:2]) == ["contrast", "ratio"]
        sd = falls.covariance_factors[0][:, 0, 0]
        over = np.exp(link.answer.draws + sd[:, None] ** 2 / 2)
        adjusted = mx.emmeans(falls, "drug", scale="response", bias_adjust=True).table
        np.testing.assert_allclose(adjusted["upper"], np.quantile(over, 0.975, axis=0), rtol=1e-9)
        hurt = mx.bayes("hurt ~ drug + (1 | ward)", stays, family="bernoulli", **options)
        found = mx.emmeans(hurt, "drug", scale="response")
        assert ((found.table["lower"] > 0) & (found.table["upper"] < 1)).all()
        assert "odds_ratio" in found.pairs().table
        assert not any("linear predictor" in note for note in found.notes)

    def test_pictures_are_in_the_units_of_the_table(self, reml):
        means = mx.emmeans(reml, "drug", scale="response")
        axes = means.plot(comparisons=True).ax
        assert axes.get_xlabel().startswith("mean of days")
        low, high = axes.get_xlim()
        assert low < means.table["lower"].min() < means.table["upper"].max() < high
        assert means.pairs().plot().ax.get_xlabel().startswith("ratio")

    @pytest.mark.parametrize(
        ("left", "options", "message"),
        [
            ("np.sin(days)", {}, r"np.sin\(...\) is no function that can be undone"),
            ("1 / days", {"bias_adjust": True}, "days has no mean"),
            ("log(days)", {"scale": "link", "bias_adjust": True}, "bias_adjust=True is about means"),
            ("log(days)", {"scale": "log"}, "scale='log' is not known"),
        ],
    )
    def test_what_cannot_be_answered_says_why(self, left, options, message, stays):
        fit = mx.lmer(f"{left} ~ drug + (1 | ward)", stays)
        with pytest.raises(OptionError, match=message):
            mx.emmeans(fit, "drug", **({"scale": "response"} | options))

    def test_nulls_are_values_of_the_variable(self, reml):
        means = mx.emmeans(reml, "drug", scale="response")
        with pytest.raises(OptionError, match="null=-1 is no value that days can have"):
            means.test(null=-1)
        with pytest.raises(OptionError, match="without bias_adjust"):
            mx.emmeans(reml, "drug", scale="response", bias_adjust=True).test(null=5)
        p = means.pairs(adjust="none").test(null=1.0)["p_value"]
        np.testing.assert_allclose(p, means.pairs(adjust="none").test()["p_value"])


class TestPredictions:
    def test_medians_and_intervals_go_through_the_inverse(self, reml, stays):
        for interval in ("confidence", "prediction"):
            model = reml.predict(stays, interval=interval)
            found = reml.predict(stays, interval=interval, back_transform=True)
            for column in ("estimate", "lower", "upper"):
                np.testing.assert_allclose(found[column], np.exp(model[column]), rtol=1e-12)
            np.testing.assert_allclose(found["se"], found["estimate"] * model["se"], rtol=1e-12)
        np.testing.assert_allclose(reml.predict(stays, back_transform=True), np.exp(reml.predict(stays)), rtol=1e-12)
        assert reml.predict(stays).equals(mx.lmer(f"log(days) ~ {RIGHT}", stays).predict(stays))

    def test_means_hold_the_residual_variance(self, stays):
        fit = mx.lmer(f"log(days) ~ {RIGHT}", stays.assign(w=np.linspace(0.5, 2, 150)), weights="w")
        model = fit.predict(interval="confidence")
        variance = fit.sigma**2 / np.linspace(0.5, 2, 150)
        found = fit.predict(interval="confidence", back_transform=True, bias_adjust=True)
        for column in ("estimate", "lower", "upper"):
            np.testing.assert_allclose(found[column], np.exp(model[column] + variance / 2), rtol=1e-9)
        new = fit.predict(interval="prediction", back_transform=True, bias_adjust=True)
        quantiles = fit.predict(interval="prediction")
        np.testing.assert_allclose(new["estimate"], found["estimate"], rtol=1e-12)
        np.testing.assert_allclose(new["lower"], np.exp(quantiles["lower"]), rtol=1e-9)

    def test_a_falling_function_turns_intervals_round(self, stays):
        fit = mx.lmer("1 / days ~ drug + (1 | ward)", stays)
        table = fit.predict(stays, se=True, back_transform=True)
        inside = table["lower"] > 0
        assert (table["lower"] < table["estimate"])[inside].all()
        assert (table["estimate"] < table["upper"])[inside].all()

    def test_a_posterior_takes_its_draws_back(self, posterior, stays):
        new = stays.iloc[:5]
        eta = posterior.linpred(new)
        found = posterior.predict(new, back_transform=True)
        np.testing.assert_allclose(found, np.exp(eta).mean(axis=0), rtol=1e-12)
        sigma = np.ravel(posterior.draws()["sigma"])[:, None]
        adjusted = posterior.predict(new, back_transform=True, bias_adjust=True, interval="confidence")
        np.testing.assert_allclose(adjusted["upper"], np.quantile(np.exp(eta + sigma**2 / 2), 0.975, axis=0), rtol=1e-9)
        model, drawn = (posterior.predict(new, kind="predictive", seed=2, back_transform=b) for b in (False, True))
        # A quantile of 1,000 draws lies between two of them.
        np.testing.assert_allclose(drawn["lower"], np.exp(model["lower"]), rtol=0.02)
        # The mean of new values is the arithmetic mean: 1,000 log-normal values, an error of 2 %.
        np.testing.assert_allclose(drawn["estimate"], adjusted["estimate"], rtol=0.1)

    def test_what_is_no_transformation_stays_as_it_is(self, stays):
        fit = mx.lmer(f"days ~ {RIGHT}", stays)
        assert fit.predict(stays, back_transform=True, bias_adjust=True).equals(fit.predict(stays))

    def test_what_cannot_be_answered_says_why(self, reml, posterior, stays):
        with pytest.raises(OptionError, match="Add back_transform=True"):
            reml.predict(bias_adjust=True)
        with pytest.raises(OptionError, match="ask for different scales"):
            posterior.predict(kind="link", back_transform=True)
        with pytest.raises(OptionError, match="ask for different scales"):
            posterior.predict(kind="predictive", back_transform=True, bias_adjust=True)
        unknown = mx.lmer("np.sin(days) ~ drug + (1 | ward)", stays)
        with pytest.raises(OptionError, match="cannot be taken back to the scale of a variable"):
            unknown.predict(back_transform=True)
        inverse = mx.lmer("1 / days ~ drug + (1 | ward)", stays)
        with pytest.raises(OptionError, match=r"days has no mean\nLeave bias_adjust out: .*harmonic means of days"):
            inverse.predict(back_transform=True, bias_adjust=True)


def test_prediction_intervals_on_the_original_scale_hold_new_stays(stays, reml):
    """Their ends are quantiles, whatever the mean is: of new responses of the fit 95 in 100 lie between them."""
    table = reml.predict(interval="prediction", uncertainty=["residual"], back_transform=True)
    new = np.exp(reml.simulate(2000, seed=3, use_u=True)).to_numpy()
    held = ((new > table["lower"].to_numpy()[:, None]) & (new < table["upper"].to_numpy()[:, None])).mean()
    assert held == pytest.approx(0.95, abs=4 * stats.binom.std(new.size, 0.95) / new.size)


def test_arithmetic_means_where_a_number_varies_over_groups_as_a_factor():
    """Left sides of random terms are read at the mean of a number, and at a level of what is coded as a factor."""
    rng = np.random.default_rng(0)
    n = 400
    data = pd.DataFrame(
        {"day": rng.integers(1, 4, n), "g": rng.integers(0, 12, n).astype(str), "t": rng.choice(["a", "b"], n)}
    )
    data["y"] = np.exp(0.3 * rng.normal(size=n) + 0.1 * data["day"])
    fit = mx.lmer("log(y) ~ t + (1 + C(day) || g)", data)
    level = data["day"].iloc[0]
    variances = fit.varcorr.set_index("var1")["vcov"]
    spread = variances["Intercept"] + variances.get(f"C(day)[{level}]", 0.0) + fit.sigma**2
    expected = np.exp(mx.emmeans(fit, "t").table["emmean"] + spread / 2)
    found = mx.emmeans(fit, "t", scale="response", bias_adjust=True).table["response"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
