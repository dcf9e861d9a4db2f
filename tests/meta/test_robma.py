"""Averaged meta-analyses: evidences and Bayes factors of published ensembles, answers, words, refusals, speed."""

import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.errors import (
    DataError,
    EvidenceErrorWarning,
    ExcludedDirectionWarning,
    FewInIntervalWarning,
    ImportanceWarning,
    ModelError,
    OptionError,
)
from tests.meta.robma_data import BEM, SEVEN_EVIDENCES, THREE, THREE_EVIDENCES

SPIKE = p.spike(0)


@pytest.fixture(scope="module")
def schools():
    return mx.datasets.load("school_calendars")


@pytest.fixture(scope="module")
def bem():
    return mx.robma(BEM, sei="sei", measure="SMD")


@pytest.fixture(scope="module")
def clustered(schools):
    """All 36 models with clusters, and the processor time they took after compilation."""
    ask = lambda: mx.robma(schools, cluster="district", measure="SMD")  # noqa: E731
    mx.robma(schools, cluster="district", measure="SMD", bias="2w")
    begin = time.process_time()
    fit = ask()
    return fit, time.process_time() - begin


def bf(fit):
    return fit.components["inclusion_bf"]


class TestPublished:
    """The evidences of other programs; see robma_data."""

    def test_schools_in_districts(self, schools):
        alone = mx.bma(schools, measure="SMD").log_evidence
        fit = mx.bma(schools, measure="SMD", cluster="district")
        # spike, spike; spike, tau; mu, spike; mu, tau. Quadrature with more nodes agrees to 1e-6
        np.testing.assert_allclose(alone, [-197.075288, 16.727002, -187.632925, 17.670488], atol=1e-5)
        np.testing.assert_allclose(fit.log_evidence, [-197.075288, 25.785240, -187.632925, 25.701022], atol=1e-5)
        assert bf(fit)["effect"] == pytest.approx(0.91923, abs=1e-5)
        assert bf(fit)["heterogeneity"] == pytest.approx(9.3202e92, rel=1e-4)
        # published with the errors of their chains: .087 [0, .314], .326 [.231, .472], .659 [.354, .879]
        wanted = [[0.087, 0.0, 0.314], [0.326, 0.231, 0.472], [0.659, 0.354, 0.879]]
        np.testing.assert_allclose(fit.estimates[["mean", "lower", "upper"]], wanted, atol=0.004)
        assert fit.estimates.loc["mu", "median"] == 0.0

    def test_whether_districts_matter(self, schools):
        fit = mx.bma(schools, cluster="district", measure="SMD", priors=p.robma3(hierarchical=[SPIKE, p.beta(1, 1)]))
        assert bf(fit)["hierarchical"] == pytest.approx(4618.84, rel=1e-5)
        assert bf(fit)["effect"] == pytest.approx(0.91942, abs=1e-5)
        assert len(fit.members) == 6  # the hypotheses of rho are one where tau is 0
        assert fit.prior[[m.tau == 0.0 for m in fit.members]].sum() == pytest.approx(0.5)

    def test_36_models_of_three_studies(self):
        fit = mx.robma(THREE, measure="SMD")
        np.testing.assert_allclose(fit.log_evidence, THREE_EVIDENCES, atol=1e-4)
        np.testing.assert_allclose(bf(fit), [0.97209, 0.85740, 1.17855], atol=2e-5)
        assert max(e.error for e in fit.evidences) < 1e-4
        # of 4,096 weighted points: .197 [-.071, .825] and .110 [0, .630]
        np.testing.assert_allclose(
            fit.estimates.loc["mu", ["mean", "lower", "upper"]].astype(float), [0.197, -0.071, 0.825], atol=0.005
        )
        np.testing.assert_allclose(
            fit.estimates.loc["tau", ["mean", "lower", "upper"]].astype(float), [0.110, 0, 0.630], atol=0.005
        )

    def test_three_studies_two_of_one_laboratory(self):
        fit = mx.robma(THREE, measure="SMD", cluster="cluster", mechanism="joint")
        # .9726 .8743 1.1690 by importance sampling of its own, published .971 .869 1.167
        np.testing.assert_allclose(bf(fit)[["effect", "heterogeneity", "bias"]], [0.9726, 0.8743, 1.1690], rtol=2e-3)
        assert fit.estimates.loc["rho", "mean"] == pytest.approx(0.235, abs=0.003)

    def test_precognition(self, bem):
        np.testing.assert_allclose(bf(bem), [0.48045, 0.14331, 16.3361], rtol=2e-5)
        table = bem.estimates
        # importance sampling of 4,096 points in every model agrees to its error; published .037 [-.041, .213]
        assert table.loc["mu", "mean"] == pytest.approx(0.038, abs=0.001)
        np.testing.assert_allclose(table.loc["mu", ["lower", "upper"]].astype(float), [-0.037, 0.216], atol=0.004)
        assert table.loc["tau", "mean"] == pytest.approx(0.010, abs=0.001)
        assert table.loc["PET", "mean"] == pytest.approx(0.753, abs=0.002)
        assert table.loc["PEESE", "mean"] == pytest.approx(6.194, abs=0.01)
        # published .935 .780 .768 .786 .801
        omega = table.loc[table.index.str.startswith("omega"), "mean"]
        np.testing.assert_allclose(omega, [1, 0.934, 0.783, 0.770, 0.787, 0.803], atol=0.002)

    def test_seven_models_of_precognition(self):
        mu = p.truncated(p.normal(0.15, 0.10), lower=0)
        biases = [
            p.weight_function("one-sided", 0.05),
            p.weight_function("one-sided", (0.05, 0.10)),
            p.pet(),
            p.peese(),
        ]
        models = [p.model(SPIKE, SPIKE), p.model(mu, SPIKE), p.model(mu, p.inv_gamma(1, 0.15))]
        models += [p.model(SPIKE, SPIKE, bias) for bias in biases]
        ensemble = p.ensemble(models=models, scale="fisher_z", direction="positive")
        fit = mx.robma(BEM, sei="sei", measure="SMD", priors=ensemble)
        np.testing.assert_allclose(fit.log_evidence, SEVEN_EVIDENCES, atol=1e-3)
        np.testing.assert_allclose(bf(fit), [0.5838, 0.1322, 3.2118], rtol=1e-3)

    def test_schools_in_districts_with_bias(self, clustered):
        fit, _ = clustered
        found = {(str(m.effect), m.kind, str(m.bias)): e for m, e in zip(fit.members, fit.evidences, strict=True)
                 if m.clustered}  # fmt: skip
        for kind, wanted in (("none", 25.701022), ("PET", 24.282022), ("PEESE", 23.816666)):
            (value,) = [e.value for (effect, k, _), e in found.items() if effect == "normal(0, 1)" and k == kind]
            assert value == pytest.approx(wanted, abs=1e-5)
        one = found["normal(0, 1)", "weights", "one-sided 0.05"]
        # 23.7384 with an error of .0004 by 4,096 x 8 points
        assert abs(one.value - 23.7384) < 4 * np.hypot(one.error, 0.0004)
        assert max(e.error for e in fit.evidences) < 0.02
        assert max(e.k_hat for e in fit.evidences) < 0.7
        assert bf(fit)["effect"] == pytest.approx(0.796, abs=0.002)
        assert bf(fit)["bias"] == pytest.approx(0.230, abs=0.002)

    def test_of_the_joint_mechanism(self, schools):
        ensemble = p.ensemble(
            effect=[p.normal(0, 1)], heterogeneity=[p.inv_gamma(1, 0.15)], bias=[p.weight_function("one-sided", 0.05)],
            scale="fisher_z", direction="positive",
        )  # fmt: skip
        fit = mx.robma(schools, cluster="district", measure="SMD", priors=ensemble, mechanism="joint")
        (one,) = fit.evidences
        assert abs(one.value - 23.1846) < 4 * np.hypot(one.error, 0.0005)


class TestAnswers:
    def test_components_are_sums_over_models(self, bem):
        models = bem.models
        assert models["prior"].sum() == pytest.approx(1)
        assert models["posterior"].sum() == pytest.approx(1)
        effect = models.loc[models["effect"] != "spike(0)", "posterior"].sum()
        assert bem.components.loc["effect", "posterior"] == pytest.approx(effect)
        assert bem.components.loc["effect", "models"] == 18
        odds = models["posterior"] / (1 - models["posterior"]) * (1 - models["prior"]) / models["prior"]
        np.testing.assert_allclose(models["inclusion_bf"], odds, rtol=1e-10)

    def test_spikes_have_the_probability_of_their_models(self, bem):
        at = bem.pooled
        assert at.weights[at.mu == 0].sum() == pytest.approx(1 - bem.components.loc["effect", "posterior"])
        assert at.weights[at.pet > 0].sum() == pytest.approx(
            sum(q for q, m in zip(bem.posterior, bem.members, strict=True) if m.kind == "PET")
        )

    def test_conditional_means_add_up(self, bem):
        share = bem.components.loc["effect", "posterior"]
        assert bem.estimates.loc["mu", "mean"] == pytest.approx(share * bem.conditional.loc["mu", "mean"])

    def test_draws_are_those_of_the_tables(self, bem):
        draws = bem.draws
        assert draws.n_draws == 4000
        # 4,000 systematic draws of the same points
        assert draws["mu"].mean() == pytest.approx(bem.estimates.loc["mu", "mean"], abs=0.003)
        assert draws["omega", "0.05,0.5"].mean() == pytest.approx(
            bem.estimates.loc["omega[0.05,0.5]", "mean"], abs=0.01
        )
        assert [key for key in draws if key[0] == "theta"] == [("theta", str(i)) for i in range(9)]
        assert set(draws["model"].ravel()) <= set(range(36))

    def test_estimates_do_not_depend_on_the_seed_of_draws(self):
        ask = lambda seed: mx.robma(BEM, sei="sei", measure="SMD", bias="PP", seed=seed).estimates  # noqa: E731
        pd.testing.assert_frame_equal(ask(1), ask(2))

    def test_other_measures_are_functions_of_the_same_draws(self, bem):
        d, r, log_or = (bem.tidy(measure=m) for m in ("SMD", "COR", "OR"))
        back = d["lower"]["mu"] / np.sqrt(d["lower"]["mu"] ** 2 + 4)
        assert r.loc["mu", "lower"] == pytest.approx(back)
        assert np.isnan(r.loc["tau", "mean"])
        assert log_or.loc["tau", "upper"] == pytest.approx(d.loc["tau", "upper"] * np.pi / np.sqrt(3))
        assert log_or.loc["PET", "mean"] == d.loc["PET", "mean"]
        with pytest.raises(OptionError, match="no way"):
            mx.bma(BEM, sei="sei").tidy(measure="COR")

    def test_a_mirrored_analysis_is_the_mirror(self, bem):
        mirrored = mx.robma(BEM.assign(yi=-BEM["yi"]), sei="sei", measure="SMD", direction="negative")
        np.testing.assert_allclose(mirrored.log_evidence, bem.log_evidence, atol=1e-9)
        assert mirrored.estimates.loc["PET", "mean"] == pytest.approx(bem.estimates.loc["PET", "mean"], abs=0.002)
        assert mirrored.estimates.loc["mu", "mean"] == pytest.approx(-bem.estimates.loc["mu", "mean"], abs=0.001)
        found = mx.robma(BEM.assign(yi=-BEM["yi"]), sei="sei", measure="SMD", priors="robma4", bias="PP")
        assert found.given.sign == -1

    def test_the_order_of_rows_does_not_matter(self, schools):
        ask = lambda data: mx.bma(data, cluster="district", measure="SMD")  # noqa: E731
        order = np.random.default_rng(1).permutation(len(schools))
        one, other = ask(schools), ask(schools.iloc[order])
        np.testing.assert_allclose(one.log_evidence, other.log_evidence, atol=1e-8)
        table = other.true_effects()
        assert table["yi"].tolist() == schools["yi"].iloc[order].tolist()

    def test_true_effects_shrink_towards_their_districts(self, schools):
        fit = mx.bma(schools, cluster="district", measure="SMD")
        table, clusters = fit.true_effects(), fit.cluster_effects().set_index("cluster")
        assert list(clusters["k"]) == [int(n) for n in schools.groupby(schools["district"].astype(str)).size()]
        for name, rows in table.groupby("cluster"):
            low, high = rows["yi"].min(), rows["yi"].max()
            assert (rows["mean"].max() - rows["mean"].min()) < (high - low) + 1e-9
            assert clusters.loc[name, "lower"] < clusters.loc[name, "mean"] < clusters.loc[name, "upper"]
        prediction = fit.predict()
        assert prediction.loc[0, "pred_low"] < prediction.loc[0, "lower"] <= prediction.loc[0, "upper"]
        assert prediction.loc[0, "pred_high"] > prediction.loc[0, "upper"]

    def test_the_page_says_what_was_done(self, clustered):
        text = clustered[0].summary().text()
        for words in (
            "56 estimates in 11 clusters: 36 models", "large estimates are likelier to be seen",
            "fitted as Fisher's z, parameters are about the standardised mean difference",
            "belongs to the more significant interval", "each estimate of a cluster passes by its own p value",
            "by quadrature, error of the log at most", "by importance sampling", "k-hat at most",
        ):  # fmt: skip
            assert words in " ".join(text.split())
        assert "one-sided 0.05, 0.5" in text
        assert "<table" in clustered[0]._repr_html_()

    def test_counts_of_ties(self, schools):
        """Five estimates are exactly 0: p = .5 is not above .5."""
        counts = mx.robma(schools, measure="SMD", bias=[p.no_bias(), p.weight_function("one-sided", 0.5)]).counts
        assert counts["k"].tolist() == [int((schools["yi"] >= 0).sum()), int((schools["yi"] < 0).sum())]
        assert (schools["yi"] == 0).sum() == 5


class TestStan:
    def test_a_program_written_apart_has_the_same_evidence_and_means(self, schools):
        """Effects of clusters are parameters there, and nothing is integrated."""
        one = p.ensemble(
            effect=[p.normal(0, 1)], heterogeneity=[p.inv_gamma(1, 0.15)], direction="positive", scale="fisher_z",
            bias=[p.weight_function("one-sided", (0.025, 0.5)), p.weight_function("two-sided", 0.05), p.pet()],
        )  # fmt: skip
        fit = mx.robma(schools.iloc[:24], cluster="district", measure="SMD", priors=one)
        for i in range(3):
            table = fit.cross_check(i, draws=2000)
            assert set(table.index) >= {"log_evidence", "mu", "tau", "rho"}
            spread = 4 * np.hypot(table["error"], table["stan_error"]) + 0.004
            assert (np.abs(table["value"] - table["stan"]) < spread).all()
            assert table.loc["log_evidence", "stan_error"] < 0.1

    def test_asked_for_with_the_fit(self, schools):
        """The most probable model, in the summary; without it nothing is sampled."""
        asked = {"cluster": "district", "measure": "SMD", "level": 0.9}
        fit = mx.bma(schools.iloc[:24], check="stan", **asked)
        assert fit.checked is not None
        row = fit.checked.loc["log_evidence"]
        assert row["value"] == fit.evidences[int(np.argmax(fit.posterior))].value
        assert abs(row["value"] - row["stan"]) < 4 * row["stan_error"] + 0.004
        assert "sampled by Stan" in str(fit)
        assert mx.bma(schools.iloc[:24], **asked).checked is None
        with pytest.raises(OptionError, match="check"):
            mx.bma(schools.iloc[:24], check="jags", **asked)

    def test_what_the_program_does_not_have_is_refused(self, schools):
        part = schools.iloc[:16]
        fit = mx.robma(part, cluster="district", measure="SMD", bias="2w", mechanism="joint")
        (joint, *_) = [i for i, m in enumerate(fit.members) if m.kind == "weights" and m.clustered]
        with pytest.raises(ModelError, match="joint"):
            fit.cross_check(joint)
        with pytest.raises(ModelError, match="no parameter"):
            fit.cross_check(0)
        with pytest.raises(OptionError, match="none of"):
            fit.cross_check(99)


class TestSpeed:
    """Processor seconds on one thread, after imports and compilation."""

    def test_four_models(self, schools):
        ask = lambda: mx.bma(schools, cluster="district", measure="SMD").estimates  # noqa: E731
        ask()
        seconds = min(_seconds(ask) for _ in range(3))
        assert seconds < 0.15  # .07 measured; a busy machine is half as fast

    def test_precognition_with_draws(self):
        ask = lambda: mx.robma(BEM, sei="sei", measure="SMD").draws  # noqa: E731
        ask()
        assert min(_seconds(ask) for _ in range(2)) < 1.5

    def test_81_studies(self):
        rng = np.random.default_rng(1)
        data = pd.DataFrame({"yi": rng.normal(0.3, 0.3, 81), "vi": rng.uniform(0.01, 0.2, 81)})
        assert _seconds(lambda: mx.robma(data, measure="SMD").estimates) < 5

    def test_36_models_in_clusters(self, clustered):
        assert clustered[1] < 10

    def test_small_data_do_not_import_numba(self):
        code = (
            "import sys, mixedfx as mx; from tests.meta.robma_data import BEM, THREE; "
            "mx.robma(THREE, measure='SMD', cluster='cluster', bias='2w').draws; "
            "mx.robma(BEM, sei='sei', measure='SMD', bias='PP').draws; "
            "sys.exit('mixedfx.meta.averaging.cluster_kernel' in sys.modules)"
        )
        import subprocess

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _seconds(work):
    begin = time.process_time()
    work()
    return time.process_time() - begin


class TestWarnings:
    def test_no_estimate_beyond_a_step(self):
        data = pd.DataFrame({"yi": [0.5, 0.6, 0.7, 0.55], "sei": [0.1] * 4})
        with pytest.warns(FewInIntervalWarning, match="one interval"):
            fit = mx.robma(data, sei="sei", measure="SMD", bias="6w")
        assert np.isfinite(fit.log_evidence).all()

    def test_an_evidence_that_is_uncertain_and_matters(self, monkeypatch):
        from mixedfx.meta.averaging import robma

        monkeypatch.setattr(robma, "UNCERTAIN", -1.0)
        with pytest.warns(EvidenceErrorWarning, match="of the posterior probability are uncertain"):
            mx.bma(BEM, sei="sei")

    def test_a_direction_that_is_excluded(self):
        positive = p.ensemble(effect=[SPIKE, p.truncated(p.normal(0, 1), 0)], heterogeneity=[SPIKE])
        with pytest.warns(ExcludedDirectionWarning, match="below 0 on average"):
            fit = mx.bma(BEM.assign(yi=-BEM["yi"]), sei="sei", priors=positive)
        assert bf(fit)["effect"] < 0.2

    def test_weights_that_fail_are_sampled_by_chains(self, monkeypatch):
        """Made to fail: evidence by bridge sampling agrees with quadrature, and the fit says what happened."""
        from mixedfx.meta.averaging import importance_models, solve, weight_models

        data = BEM.iloc[:6]
        ensemble = p.ensemble(
            effect=[p.normal(0, 1)], heterogeneity=[p.inv_gamma(1, 0.15)], scale="fisher_z", direction="positive",
            bias=[p.weight_function("one-sided", (0.025, 0.5))],
        )  # fmt: skip
        exact = mx.robma(data, sei="sei", measure="SMD", priors=ensemble)
        assert exact.evidences[0].method == "quadrature"
        monkeypatch.setattr(solve, "by_quadrature", lambda member: False)
        monkeypatch.setattr(solve, "RELIABLE", -np.inf)
        with pytest.warns(ImportanceWarning, match="NUTS"):
            fit = mx.robma(data, sei="sei", measure="SMD", priors=ensemble)
        (evidence,) = fit.evidences
        assert evidence.method == "bridge sampling"
        assert abs(evidence.value - exact.evidences[0].value) < 4 * evidence.error < 0.4
        assert fit.estimates.loc["mu", "mean"] == pytest.approx(exact.estimates.loc["mu", "mean"], abs=0.02)
        assert "bridge sampling" in fit.summary().text()
        assert importance_models.RELIABLE == 0.7
        assert weight_models.DROP > 0


REFUSED = {
    "one study": (lambda: mx.robma(BEM.iloc[:1], sei="sei"), DataError, "1 estimate"),
    "variance of 0": (lambda: mx.robma(BEM.assign(sei=[0.0, *BEM["sei"][1:]]), sei="sei"), DataError, "row 0"),
    "no variances": (lambda: mx.robma(BEM), OptionError, "not given"),
    "missing variances": (lambda: mx.robma(BEM.assign(sei=np.nan), sei="sei"), DataError, "missing"),
    "missing, raise": (
        lambda: mx.robma(BEM.assign(sei=[np.nan, *BEM["sei"][1:]]), sei="sei", na="raise"), DataError, "missing"),
    "one cluster": (lambda: mx.robma(BEM.assign(c=1), sei="sei", cluster="c"), DataError, "one cluster, '1'"),
    "all clusters": (lambda: mx.robma(BEM.assign(c=range(9)), sei="sei", cluster="c"), DataError, "of its own"),
    "no cluster": (
        lambda: mx.robma(BEM.assign(c=[None, *range(4), *range(4)]), sei="sei", cluster="c"), DataError, "missing"),
    "priors": (lambda: mx.robma(BEM, sei="sei", priors="robma5"), OptionError, "robma3"),
    "priors of another kind": (lambda: mx.robma(BEM, sei="sei", priors=3), OptionError, "no ensemble"),
    "mechanism": (lambda: mx.robma(BEM, sei="sei", mechanism="worst"), OptionError, "conditional"),
    "bias": (lambda: mx.robma(BEM, sei="sei", bias="all"), OptionError, "PSMA"),
    "measure": (lambda: mx.robma(BEM, sei="sei", measure="RR"), OptionError, "robma4"),
    "correlation of 1": (lambda: mx.robma(BEM.assign(yi=1.0), sei="sei", measure="COR"), DataError, "between -1 and 1"),
    "tiny samples": (lambda: mx.robma(BEM.assign(sei=3.0), sei="sei", measure="SMD"), DataError, "3 or fewer"),
    "interaction": (
        lambda: mx.bma(BEM.assign(x=range(9), w=[1, 2, 0] * 3), sei="sei", formula="yi ~ x * w"), ModelError, "x:w"),
    "random term": (
        lambda: mx.bma(BEM.assign(g=range(9)), sei="sei", formula="yi ~ 1 + (1 | g)"), ModelError, "random"),
    "constant moderator": (
        lambda: mx.bma(BEM.assign(x=1.0), sei="sei", formula="yi ~ x"), ModelError, "constant"),
    "unknown moderator": (
        lambda: mx.bma(BEM, sei="sei", priors=p.robma3(moderators={"x": [SPIKE]})), OptionError, "moderator 'x'"),
    "the same model twice": (
        lambda: mx.robma(BEM, sei="sei", priors=p.ensemble(models=[p.model(SPIKE, SPIKE)] * 2)), OptionError,
        "the same"),
    "bias of listed models": (
        lambda: mx.robma(BEM, sei="sei", bias="PP", priors=p.ensemble(models=[p.model(SPIKE, SPIKE)])), OptionError,
        "one by one"),
    "cluster effects": (lambda: mx.bma(BEM, sei="sei").cluster_effects(), OptionError, "no clusters"),
    "weights": (lambda: mx.bma(BEM, sei="sei").weights, OptionError, "weight function"),
    "level": (lambda: mx.bma(BEM, sei="sei", level=95), OptionError, "probability"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::mixedfx.errors.RankDeficiencyWarning")
def test_what_cannot_be_is_refused_in_words(name):
    ask, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        ask()


def test_moderators_may_have_any_name_and_the_left_side_be_left_out():
    data = BEM.assign(rho=[0.1, 0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.6, 0.7])
    fit = mx.bma(data, sei="sei", formula="~ rho")
    assert "beta[rho]" in fit.estimates.index
    assert "beta[rho]" in fit.components.index
    same = mx.bma(data, sei="sei", formula="yi ~ rho")
    np.testing.assert_array_equal(fit.log_evidence, same.log_evidence)


def test_rows_without_variance_are_dropped():
    data = BEM.assign(sei=[np.nan, *BEM["sei"][1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mx.bma(data, sei="sei", measure="SMD")
    np.testing.assert_allclose(fit.log_evidence, mx.bma(BEM.iloc[1:], sei="sei", measure="SMD").log_evidence)


def test_models_listed_one_by_one_are_averaged_without_bias_too():
    """The four models of the set, listed; one with a bias is refused."""
    p = mx.priors
    effects, spreads = (SPIKE, p.normal(0, 1)), (SPIKE, p.inv_gamma(1, 0.15))
    models = [p.model(effect, spread) for effect in effects for spread in spreads]
    listed = mx.bma(BEM, sei="sei", priors=p.ensemble(models=models))
    crossed = mx.bma(BEM, sei="sei", priors=p.ensemble(effect=list(effects), heterogeneity=list(spreads)))
    np.testing.assert_allclose(sorted(listed.models["log_evidence"]), sorted(crossed.models["log_evidence"]), rtol=1e-9)
    biased = p.ensemble(models=[*models, p.model(SPIKE, SPIKE, p.pet())])
    with pytest.raises(OptionError, match="has no bias"):
        mx.bma(BEM, sei="sei", priors=biased)
