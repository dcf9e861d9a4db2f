"""fit.check(): planted defects are found, clean fits are left alone."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.inference.findings import CheckReport, Finding

STATISTICAL = (
    "normality of residuals",
    "normality of random effects",
    "constant variance",
    "variance between groups",
    "outlying groups",
    "omitted slopes",
)


def simulated(seed, q=30, n=20, slope=0.0, noise=None):
    """Rows of a varying-intercept model; `slope` is the sd of a slope, `noise(rng, size, x)` the residuals."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(q), n)
    x = rng.normal(size=q * n)
    e = rng.normal(size=q * n) if noise is None else noise(rng, q * n, x)
    y = 1 + 0.5 * x + rng.normal(size=q)[g] + slope * rng.normal(size=q)[g] * x + e
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})


def checked(data, formula="y ~ x + (1 | g)"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mx.lmer(formula, data).check()


@pytest.mark.parametrize(("fits", "most"), [pytest.param(40, 5), pytest.param(200, 15, marks=pytest.mark.slow)])
def test_false_alarms_on_clean_fits(fits, most):
    """Six tests of size 0.005: 200 clean fits raise about 6 alarms, 40 about 1.2; more than `most` have p = 0.001."""
    alarms = [f.check for seed in range(fits) for f in checked(simulated(seed)).problems]
    assert len(alarms) <= most, alarms
    assert set(alarms) <= set(STATISTICAL)


DEFECTS = {
    "normality of residuals": lambda s: simulated(s, noise=lambda rng, n, x: rng.standard_t(3, n)),
    "constant variance": lambda s: simulated(s, noise=lambda rng, n, x: rng.normal(size=n) * np.exp(0.4 * x)),
    "omitted slopes": lambda s: simulated(s, slope=0.5),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_planted_defects_are_found(defect):
    """Each in at least 9 of 10 data sets, and the finding says what it changes."""
    found = [checked(DEFECTS[defect](seed))[defect] for seed in range(10)]
    assert sum(f.status == "problem" for f in found) >= 9
    assert all(f.consequence for f in found if f.status == "problem")


def test_an_outlying_group_is_found_and_named():
    for seed in range(5):
        data = simulated(seed)
        data.loc[data["g"] == "7", "y"] += 12.0
        finding = checked(data)["outlying groups"]
        assert finding.status == "problem"
        assert "g 7" in finding.seen


def test_unequal_groups_are_found():
    for seed in range(5):
        data = simulated(seed)
        wide = data["g"].astype(int) % 3 == 0
        data.loc[wide, "y"] += np.random.default_rng(seed + 1000).normal(size=int(wide.sum())) * 2.0
        assert checked(data)["variance between groups"].status == "problem"


def test_advice_fits_the_design_and_small_departures_are_called_small():
    """A robust covariance is offered where clusters exist; what is certain but small is no problem."""
    wild = simulated(2, noise=lambda rng, n, x: rng.normal(size=n) * np.exp(0.4 * x))
    assert "vcov=fit.vcov_robust()" in checked(wild)["constant variance"].consequence
    wild["h"] = np.random.default_rng(0).integers(0, 12, len(wild)).astype(str)
    crossed = checked(wild, "y ~ x + (1 | g) + (1 | h)")["constant variance"]
    assert "vcov_robust" not in crossed.consequence
    assert "weights=" in crossed.consequence
    slight = simulated(5, q=100, n=60, noise=lambda rng, n, x: rng.normal(size=n) * np.exp(0.06 * x))
    finding = checked(slight)["constant variance"]
    assert finding.status == "ok"
    assert finding.p_value < 0.005
    assert finding.seen.endswith("seen for certain, but too little to change conclusions")


def test_tiny_p_values_are_written_as_bounds():
    report = CheckReport("x", (Finding("a", "ok", "seen", p_value=0.0), Finding("b", "ok", "seen", p_value=0.5)), {})
    assert "seen (p < 1e-300)" in report.text()
    assert "seen (p = 0.500)" in report.text()


def test_collinearity_is_found_and_named():
    data = simulated(1)
    data["copy"] = data["x"] + 0.05 * np.random.default_rng(99).normal(size=len(data))
    finding = checked(data, "y ~ x + copy + (1 | g)")["collinearity"]
    assert finding.status == "problem"
    assert "x, copy" in finding.consequence


def test_singularity_and_convergence_are_reported():
    data = simulated(3)
    data["y"] = np.random.default_rng(98).normal(size=len(data))
    data["y"] -= data.groupby("g")["y"].transform("mean")
    report = checked(data)
    assert report["singularity"].status == "note"
    assert "zero" in report["singularity"].seen
    assert report["convergence"].status == "ok"


def test_the_page_prints_and_draws():
    report = checked(simulated(0))
    text = report.text()
    assert all(f.check in text for f in report.findings)
    assert max(map(len, text.splitlines())) <= 100
    assert "<table" in report._repr_html_()
    titles = [ax.get_title(loc="left") for ax in report.plot().axes]
    assert titles == ["Residuals", "Spread", "Distribution", "Quantiles of residuals", "Quantiles of random effects",
                      "Influence"]  # fmt: skip
    assert report.table["check"].tolist() == [f.check for f in report.findings]


def test_a_model_without_random_terms_is_refused():
    with pytest.raises(mx.errors.ModelError, match="no random term"):
        mx.lmer("y ~ x", simulated(0)).check()


def test_the_four_moment_p_value_is_exact_for_equal_weights():
    """A sum of equally weighted chi-squared variables is a scaled chi-squared one: nothing is approximated."""
    from scipy import stats

    from mixedfx.inference.checks import quadratic_form_p_value

    assert quadratic_form_p_value(30.0, np.full(7, 2.0)) == pytest.approx(stats.chi2.sf(15.0, 7), rel=1e-10)


@pytest.mark.slow
def test_the_score_of_an_omitted_slope_has_its_distribution():
    """p values of 200 data sets without the slope are uniform (Kolmogorov-Smirnov, p > 0.01)."""
    from scipy import stats

    p = [checked(simulated(seed, q=12, n=8))["omitted slopes"].p_value for seed in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("values", [(0, 1), (1, 2), (-1, 1), (0, 100), (False, True)])
def test_a_response_of_two_values_is_sent_to_a_model_of_its_probability(values):
    """Residuals of two values cannot be normal, of equal spread, or mended by a transformation or heavy tails."""
    rng = np.random.default_rng(3)
    g, z = rng.integers(0, 12, 1500), rng.integers(0, 2, 1500)
    yes = rng.random(1500) < 1 / (1 + np.exp(2.0 - 0.5 * z - 0.4 * (g % 6)))
    data = pd.DataFrame({"g": g, "z": z, "y": np.where(yes, *values[::-1])})
    report = mx.lmer("y ~ z + (1 | g)", data).check()
    found = report["kind of response"]
    assert found.status == "problem"
    assert "bernoulli" in found.consequence
    assert ("recode" in found.consequence) == (values not in ((0, 1), (False, True)))
    for check in ("normality of residuals", "constant variance", "variance between groups"):
        assert report[check].status == "ok"
    assert not any(word in report.text() for word in ("student", "weights=", "transform"))


def test_counts_shares_and_few_ordered_answers_are_told_the_family_made_for_them():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 20)
    mean = np.exp(0.4 * rng.normal(size=30)[g])
    counts = mx.lmer(
        "y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": rng.poisson(mean * rng.gamma(0.5, 2.0, 600))})
    ).check()
    assert counts["kind of response"].status == "ok"
    assert "negbinomial" in counts["normality of residuals"].consequence
    shares = mx.lmer("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": rng.beta(0.5, 3.0, 600)})).check()
    assert "'beta'" in shares["normality of residuals"].consequence
    answers = mx.lmer("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": rng.integers(1, 6, 600) + (g > 15)})).check()
    assert answers["kind of response"].status == "note"
    assert "cumulative" in answers["kind of response"].consequence
