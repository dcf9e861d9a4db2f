"""Fits by iteration: they agree with the direct engine within their Monte Carlo error, and answer what it answers."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import (
    IterativeSolverError,
    MonteCarloError,
    OptionError,
    SingularFitWarning,
)
from mixedfx.inference import common_probes
from mixedfx.pls import incidence

ITERATIVE = {"solver": "iterative"}
FORMULAS = {
    "two crossed": "y ~ x + (1 | g) + (1 | h)",
    "three crossed": "y ~ x + (1 | g) + (1 | h) + (1 | k)",
    "nested and crossed": "y ~ x + (1 | g) + (1 | c) + (1 | h)",
    "slopes": "y ~ x + (1 + x | g) + (1 + x | h)",
    "uncorrelated slopes": "y ~ x + (1 + x || g) + (1 | h)",
}


@pytest.fixture(autouse=True, scope="module")
def few_levels_are_few():
    """Factors of these tests have so few levels that all would be exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 40)
        yield


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = 3_000
    g, h, k = rng.integers(0, 120, n), rng.integers(0, 80, n), rng.integers(0, 30, n)
    x = rng.normal(size=n) + 2.0
    frame = pd.DataFrame({"g": g, "h": h, "k": k, "c": g // 4, "x": x, "w": rng.uniform(0.5, 2.0, n), "o": x**2})
    u = {name: rng.normal(size=200) for name in "ghkc"}
    y = 1.0 + 0.5 * x + 0.8 * u["g"][g] + 0.6 * u["h"][h] + 0.4 * u["k"][k] + 0.5 * u["c"][g // 4]
    y += 0.3 * x * rng.normal(size=120)[g] + 0.2 * x * rng.normal(size=80)[h] + rng.normal(size=n)
    return frame.assign(y=y, flat=rng.normal(size=n))


@pytest.fixture(scope="module")
def pair(data):
    formula = "y ~ x + (1 | g) + (1 | h)"
    return mx.lmer(formula, data), mx.lmer(formula, data, control=ITERATIVE)


def agree(direct, found):
    """Every standard deviation within 3 Monte Carlo errors and 5 % of a standard error of the exact one."""
    table = found.monte_carlo
    own = found.varcorr[found.varcorr["var2"].isna()]["sdcor"].to_numpy()
    exact = direct.varcorr[direct.varcorr["var2"].isna()]["sdcor"].to_numpy()
    off = np.abs(own - exact)
    assert table["share"].max() <= 0.02
    assert (off <= 0.05 * table["std_error"] + 1e-12).all()
    # the search ends within a tenth of 2 % of a standard error of the zero of its score
    assert (off <= 3.0 * table["monte_carlo_error"] + 0.002 * table["std_error"] + 1e-12).all()
    assert found.criterion == pytest.approx(
        direct.criterion, abs=4.0 * found.solution.monte_carlo.criterion_error + 0.01
    )
    se = np.sqrt(np.diag(direct.vcov))
    np.testing.assert_allclose(found.fixef / se, direct.fixef / se, atol=0.05)
    np.testing.assert_allclose(np.sqrt(np.diag(found.vcov)), se, rtol=0.02)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("shape", FORMULAS)
def test_estimates_agree_with_the_direct_engine(shape, REML, data):
    arguments = {"REML": REML} | ({"weights": "w", "offset": "o"} if REML else {})
    direct = mx.lmer(FORMULAS[shape], data, **arguments)
    agree(direct, mx.lmer(FORMULAS[shape], data, control=ITERATIVE, **arguments))


def test_a_variance_of_zero_is_found_and_said(data):
    formula = "flat ~ x + (1 | g) + (1 | h)"
    with pytest.warns(SingularFitWarning):
        direct = mx.lmer(formula, data)
    with pytest.warns(SingularFitWarning):
        found = mx.lmer(formula, data, control=ITERATIVE)
    assert found.singular
    assert found.converged
    np.testing.assert_allclose(found.varcorr["sdcor"], direct.varcorr["sdcor"], atol=0.005)


def test_compiled_passes_and_threads_change_nothing_but_rounding(data, pair, monkeypatch):
    monkeypatch.setattr(incidence, "FEW_ROWS", 100)
    monkeypatch.setattr(incidence, "MANY_ROWS", 100)
    formula, found = "y ~ x + (1 | g) + (1 | h)", []
    for cores in (1, 2):
        monkeypatch.setattr(incidence, "free_cores", lambda cores=cores: cores)
        found.append(mx.lmer(formula, data, control=ITERATIVE))
    assert found[0].criterion == found[1].criterion
    np.testing.assert_array_equal(found[0].theta, found[1].theta)
    np.testing.assert_allclose(found[0].theta, pair[1].theta, rtol=1e-6)


def test_the_same_fit_twice_is_the_same_to_the_last_bit(data, pair):
    again = mx.lmer("y ~ x + (1 | g) + (1 | h)", data, control=ITERATIVE)
    assert again.criterion == pair[1].criterion
    assert (again.theta == pair[1].theta).all()


def test_a_smaller_error_takes_more_probes_and_is_met(data, pair):
    less = pair[1].monte_carlo["share"].max() / 2
    fine = mx.lmer("y ~ x + (1 | g) + (1 | h)", data, control=ITERATIVE | {"monte_carlo": less})
    assert fine.monte_carlo["share"].max() <= less
    assert fine.solution.monte_carlo.probes > pair[1].solution.monte_carlo.probes


def test_summary_says_engine_probes_and_errors(pair):
    text = " ".join(str(pair[1].summary()).split())
    assert f"iterative, {pair[1].solution.monte_carlo.probes} probes" in text
    assert "of a standard error" in text
    assert "iterative" not in str(pair[0].summary())
    assert pair[0].monte_carlo is None


def test_tables_means_and_effects_are_those_of_the_direct_fit(data, pair):
    direct, found = pair
    np.testing.assert_allclose(found.tidy()["std_error"], direct.tidy()["std_error"], rtol=0.01)
    np.testing.assert_allclose(found.tidy()["df"], direct.tidy()["df"], rtol=0.05)  # average for observed information
    for group in ("g", "h"):
        np.testing.assert_allclose(found.ranef[group], direct.ranef[group], atol=0.01)
        np.testing.assert_allclose(found.ranef_sd[group], direct.ranef_sd[group], rtol=0.02)
    new = data.head(20)
    np.testing.assert_allclose(found.predict(new), direct.predict(new), atol=0.01)
    given = direct.predict(new, se=True, uncertainty=["beta", "u"])
    np.testing.assert_allclose(found.predict(new, se=True)["se"], given["se"], rtol=0.02)
    assert found.simulate(2, seed=1).shape == (len(data), 2)
    rows = found.design_for(new)
    np.testing.assert_allclose(found.apply(rows).cov, direct.apply(rows).cov, rtol=0.02, atol=1e-4)
    frame = data.assign(treated=(data.k < 15).astype(int))
    formula = "y ~ treated + x + (1 + treated | g) + (1 | h)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = mx.effects(mx.lmer(formula, frame), "treated", by="g", uncertainty="given theta")
        two = mx.effects(mx.lmer(formula, frame, control=ITERATIVE), "treated", by="g")
    np.testing.assert_allclose(two.table["estimate"], one.table["estimate"], atol=0.03)
    np.testing.assert_allclose(two.table["sd"], one.table["sd"], rtol=0.05)
    assert "iterative" in two.uncertainty


def test_likelihood_ratios_share_their_probes_and_say_where_they_are_too_noisy(data, monkeypatch):
    small, large = "y ~ 1 + (1 | g) + (1 | h)", "y ~ x + (1 | g) + (1 | h)"
    exact = mx.anova(mx.lmer(small, data, REML=False), mx.lmer(large, data, REML=False))
    fits = [mx.lmer(f, data, REML=False, control=ITERATIVE) for f in (small, large)]
    found = mx.anova(*fits)
    assert found["chisq"].iloc[1] == pytest.approx(exact["chisq"].iloc[1], abs=0.4)  # four errors of .1
    monkeypatch.setattr(common_probes, "MOST", 32)
    three = mx.lmer("y ~ x + (1 | g) + (1 | h) + (1 | k)", data, REML=False, control=ITERATIVE)
    monkeypatch.setattr(common_probes, "NEEDED", 1e-6)
    with pytest.raises(MonteCarloError, match="is known to"):
        mx.anova(fits[1], three)


def test_what_needs_an_exact_inverse_says_so(data, pair):
    found = pair[1]
    for ask in (
        lambda: found.tidy(ddf="kenward-roger"), lambda: found.profile("x"), lambda: found.bootstrap(3, seed=1),
        lambda: found.predict(data.head(2), se=True, uncertainty=["beta", "theta"]),
    ):  # fmt: skip
        with pytest.raises(IterativeSolverError, match="direct"):
            ask()
    with pytest.raises(IterativeSolverError, match="single grouping factor"):
        mx.lmer("y ~ x + (1 | g)", data, control=ITERATIVE)
    with pytest.raises(IterativeSolverError, match="correlated"):
        mx.lmer("y ~ x + (1 | g) + (1 | h)", data.head(60), V=np.eye(60) + 0.1, control=ITERATIVE)
    for wrong in ({"solver": "fast"}, {"monte_carlo": 0}, {"monte_carlo": "small"}):
        with pytest.raises(OptionError):
            mx.lmer("y ~ x + (1 | g) + (1 | h)", data, control=wrong)


def test_a_saved_fit_is_read_as_it_was(pair, tmp_path):
    again = mx.load(pair[1].save(tmp_path / "fit.mfx"))
    assert again.criterion == pytest.approx(pair[1].criterion, rel=1e-9)
    np.testing.assert_allclose(again.fixef, pair[1].fixef, rtol=1e-8)
    assert again.monte_carlo is not None
    pd.testing.assert_frame_equal(again.monte_carlo, pair[1].monte_carlo, rtol=1e-6)


def test_progress_shows_the_standard_deviations_so_far(data, capsys):
    mx.lmer("y ~ x + (1 | g) + (1 | h)", data, control=ITERATIVE | {"progress": True})
    said = capsys.readouterr()
    assert "residual" in said.out + said.err
