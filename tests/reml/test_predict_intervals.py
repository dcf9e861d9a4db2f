"""Standard errors and intervals of predictions: brute force, moments by simulation, rows in blocks."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.errors import DataError, OptionError, UnseenLevelError
from mixedfx.inference.predictor import draw_effects, fitted_values
from mixedfx.reml import predictive
from mixedfx.reml.lmer import lmer
from mixedfx.reml.predictive import row_variances
from mixedfx.reml.solve import solve
from tests.oracles.random_designs import make_design, shapes

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def data(name):
    return pd.read_csv(DATA / f"{name}.csv")


@pytest.fixture(scope="module")
def weighted():
    return lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy_weighted"), weights="w", offset="off")


def test_nothing_asked_gives_a_series_as_before(sleepstudy):
    found = sleepstudy.predict()
    assert isinstance(found, pd.Series)
    np.testing.assert_allclose(found, sleepstudy.fitted)


def test_each_source_adds_its_variance(sleepstudy):
    rows = data("sleepstudy").iloc[[0, 40, 90]]
    joint = sleepstudy.solution.joint
    at = sleepstudy.design_for(rows)
    none = 0 * at.random
    variance = {u: sleepstudy.predict(rows, uncertainty=u)["se"].to_numpy() ** 2 for u in ("beta", "u")}
    np.testing.assert_allclose(variance["beta"], np.diag(joint.covariance(at.fixed, none)))
    np.testing.assert_allclose(variance["u"], np.diag(joint.covariance(0 * at.fixed, at.random)))
    given = sleepstudy.predict(rows, uncertainty=("beta", "u"))
    np.testing.assert_allclose(given["se"] ** 2, sleepstudy.apply(at).variances)
    np.testing.assert_allclose(given["upper"] - given["estimate"], 1.959963984540054 * given["se"])
    with_noise = sleepstudy.predict(rows, uncertainty=("beta", "u", "residual"))["se"] ** 2
    np.testing.assert_allclose(with_noise, given["se"] ** 2 + sleepstudy.sigma**2)


def test_theta_is_averaged_over_nodes(sleepstudy):
    """By hand from the nodes: each source given the node, the movement of the estimates, and their gap to the mean."""
    rows = data("sleepstudy").iloc[[0, 40, 90]]
    at, nodes = sleepstudy.design_for(rows), sleepstudy.uncertain.nodes
    fit = sleepstudy.solution
    estimate = at.fixed @ fit.beta + at.random @ fit.u
    parts = {"beta": (True, False), "u": (False, True), "both": (True, True), "none": (False, False)}
    known = {name: nodes.moments(at, fixed=f, random=r)[1] for name, (f, r) in parts.items()}
    means = nodes.moments(at)[0]
    moved = nodes.weights @ (means - estimate) ** 2  # between nodes, and the gap
    asked = {"beta": ("beta", "theta"), "u": ("u", "theta"), "both": ("beta", "u", "theta"), "none": ("theta",)}
    for name, sources in asked.items():
        se = sleepstudy.predict(rows, uncertainty=sources)["se"]
        # estimate - mean enters as a source of its own: its square, beside that of the movement about the mean
        gap = estimate - nodes.weights @ means
        expected = nodes.weights @ known[name] + moved - gap**2 + gap**2
        np.testing.assert_allclose(se**2, expected, rtol=1e-9)
    everything = sleepstudy.predict(rows, interval="prediction")["se"] ** 2
    confidence = sleepstudy.predict(rows, se=True)["se"] ** 2
    np.testing.assert_allclose(everything - confidence, nodes.weights @ nodes.sigma**2, rtol=1e-9)
    wide = sleepstudy.predict(rows, interval="confidence", level=0.99)
    assert (wide["upper"] > sleepstudy.predict(rows, se=True)["upper"]).all()
    assert list(wide.index) == list(rows.index)


def test_the_population_and_new_groups(sleepstudy):
    rows = data("sleepstudy").iloc[[0, 5]]
    average = sleepstudy.predict(rows, groups="average", uncertainty=("beta", "u"))
    x = np.column_stack([np.ones(2), rows["Days"]])
    np.testing.assert_allclose(average["se"] ** 2, np.diag(x @ sleepstudy.vcov.to_numpy() @ x.T))
    new = rows.assign(Subject="new")
    with pytest.raises(UnseenLevelError):
        sleepstudy.predict(new, se=True)
    T = sleepstudy.sigma * sleepstudy.solution.factors[0]
    drawn = sleepstudy.predict(new, new_levels="sample", uncertainty=("beta", "u"))
    population = np.diag(x @ (sleepstudy.vcov.to_numpy() + T @ T.T) @ x.T)
    np.testing.assert_allclose(drawn["se"] ** 2, population)
    np.testing.assert_allclose(drawn["estimate"], average["estimate"])
    mean = sleepstudy.predict(new, new_levels="population", uncertainty=("beta", "u"))
    np.testing.assert_allclose(mean["se"], average["se"])


def test_weights_of_rows_divide_the_residual_variance(weighted):
    frame = data("sleepstudy_weighted").iloc[:4]
    fixed = weighted.predict(frame, uncertainty="residual", weights=[1.0, 2.0, 4.0, 0.5])
    np.testing.assert_allclose(fixed["se"], weighted.sigma / np.sqrt([1.0, 2.0, 4.0, 0.5]))
    own = weighted.predict(frame, uncertainty="residual")
    np.testing.assert_allclose(own["se"], weighted.sigma / np.sqrt(frame["w"]))
    inside = weighted.predict(uncertainty="residual")
    np.testing.assert_allclose(inside["se"], weighted.sigma / np.sqrt(weighted.design.weights))
    named = weighted.predict(frame.assign(v=3.0), uncertainty="residual", weights="v")
    np.testing.assert_allclose(named["se"], weighted.sigma / np.sqrt(3.0))
    with pytest.raises(DataError, match="4 positive numbers"):
        weighted.predict(frame, se=True, uncertainty="residual", weights=[1.0, -1.0, 1.0, 1.0])


@given(shapes=shapes, seed=st.integers(0, 10_000))
@settings(max_examples=12)
def test_shared_covariances_equal_those_of_every_row(shapes, seed):
    design = make_design(seed, shapes)
    solution = solve(design)
    joint = solution.joint
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, 50, 400)  # many rows on few combinations of levels
    from mixedfx.design.rows import functional_for

    whole = functional_for(design)
    fixed, random = whole.fixed[picked], whole.random[picked]
    expected = joint.variances(fixed, random)
    np.testing.assert_allclose(row_variances(joint, fixed, random), expected, rtol=1e-9, atol=1e-12 * solution.sigma**2)


def test_without_random_effects_intervals_are_the_exact_t():
    from scipy import stats

    frame = data("sleepstudy")
    for REML in (True, False):
        plain = lmer("Reaction ~ Days", frame, REML=REML)
        x, tidy = plain.design.X, plain.tidy()
        var = np.einsum("np,pq,nq->n", x, plain.vcov.to_numpy(), x)
        t = stats.t.ppf(0.975, 178)
        table = plain.predict(interval="confidence")
        np.testing.assert_allclose(table["se"] ** 2, var)
        np.testing.assert_allclose(table["upper"] - table["estimate"], t * table["se"])
        zero = plain.predict(pd.DataFrame({"Days": [0]}), se=True)
        np.testing.assert_allclose(zero[["lower", "upper"]], tidy.iloc[[0]][["conf_low", "conf_high"]])
        new = plain.predict(interval="prediction")
        np.testing.assert_allclose(new["se"] ** 2, var + plain.sigma**2)
        np.testing.assert_allclose(new["upper"] - new["estimate"], t * new["se"])
        normal = plain.predict(uncertainty=("beta", "residual"))
        np.testing.assert_allclose(normal["upper"] - normal["estimate"], stats.norm.ppf(0.975) * new["se"])


def test_a_variance_of_zero_is_not_taken_as_known():
    fit = lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))
    assert fit.singular
    assert (fit.predict(uncertainty="theta")["se"] > 0).all()


def test_prediction_error_has_the_variance_that_is_claimed():
    """By simulation, theta estimated anew each time: the mean claimed variance equals the mean squared error.

    Twelve groups of four rows, so that leaving theta out shows.
    """
    rng = np.random.default_rng(12)
    g = np.repeat(np.arange(12), 4)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=48)})
    frame["y"] = frame["x"] + 0.8 * rng.normal(size=12)[g] + rng.normal(size=48)
    fit = lmer("y ~ x + (1 | g)", frame)
    design, beta, T = fit.design, np.array([0.0, 1.0]), (np.array([[0.8]]),)
    squared, given_theta, whole, covered = [], [], [], []
    for _ in range(200):
        u = draw_effects(design, T, 1.0, 1, rng)
        mean = fitted_values(design, beta, u)[0]
        again = fit.refit(mean + rng.standard_normal(48))
        table = again.predict(interval="confidence")
        error = table["estimate"].to_numpy() - mean
        squared.append(np.mean(error**2))
        given_theta.append(np.mean(again.predict(uncertainty=("beta", "u"))["se"] ** 2))
        whole.append(np.mean(table["se"] ** 2))
        covered.append(np.mean((table["lower"] <= mean) & (mean <= table["upper"])))
    # of 300: 0.187 claimed without theta, 0.226 with it, mean squared error 0.227 with a Monte Carlo error of 0.005
    mse, noise = np.mean(squared), np.std(squared) / np.sqrt(200)
    assert np.mean(given_theta) < mse - 2 * noise  # theta left out: too small
    assert abs(np.mean(whole) - mse) < 4 * noise + 0.06 * mse  # under the weak prior twelve groups give a little more
    # rows of a group share their error: the standard error over data sets, not rows
    assert abs(np.mean(covered) - 0.95) < 4 * np.std(covered) / np.sqrt(200) + 0.01


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": rng.integers(0, 40, 800), "x": rng.normal(size=800)})
    frame["y"] = frame["x"] + rng.normal(size=40)[frame["g"]] + rng.normal(size=800)
    fit = lmer("y ~ x + (x | g)", frame)
    monkeypatch.setattr(predictive, "ROWS", 500)
    peaks = []
    for n in (4000, 16_000):
        new = pd.DataFrame({"g": rng.integers(0, 40, n), "x": rng.normal(size=n)})
        whole = fit.predict(new, interval="prediction")
        tracemalloc.start()
        fit.predict(new, interval="prediction")
        peaks.append(tracemalloc.get_traced_memory()[1] - 8 * 8 * n)  # less the results: four columns and their parts
        tracemalloc.stop()
        pieces = fit.predict(new.iloc[3000:3010], interval="prediction")
        pd.testing.assert_frame_equal(whole.iloc[3000:3010], pieces)
    assert peaks[1] < peaks[0] + 2**22


def test_five_groups_are_covered_as_those_of_tidy_are():
    """The mean of the population, and the effect of a new group: 0.87 of 0.95 where intervals are normal."""
    rng = np.random.default_rng(2)
    hits, runs, g = np.zeros(3), 60, np.repeat(np.arange(5), 20)
    for _ in range(runs):
        u = rng.normal(size=6)
        fit = lmer("y ~ 1 + (1 | g)", pd.DataFrame({"y": u[g] + 0.7 * rng.normal(size=100), "g": g}))
        mean = fit.predict(pd.DataFrame({"g": [0]}), groups="average", interval="confidence").iloc[0]
        new = fit.predict(pd.DataFrame({"g": [99]}), new_levels="sample", interval="confidence").iloc[0]
        tidy = fit.tidy().iloc[0]
        assert mean["lower"] == pytest.approx(tidy["conf_low"], rel=1e-10)
        hits += [mean["lower"] < 0 < mean["upper"], new["lower"] < u[5] < new["upper"], new["lower"] < 0 < new["upper"]]
    # of 200: 0.955 and 0.955; four standard errors of 60
    assert (np.abs(hits[:2] / runs - 0.95) < 4 * np.sqrt(0.95 * 0.05 / runs)).all()


def test_options_are_checked(sleepstudy):
    with pytest.raises(OptionError, match="'sigma' is no source of uncertainty"):
        sleepstudy.predict(uncertainty=("beta", "sigma"))
    with pytest.raises(OptionError, match="'residual' is one of its sources"):
        sleepstudy.predict(interval="prediction", uncertainty=("beta", "u"))
    with pytest.raises(OptionError, match="interval='tolerance'"):
        sleepstudy.predict(interval="tolerance")
    with pytest.raises(OptionError, match="level=95"):
        sleepstudy.predict(se=True, level=95)
    unknown = replace(sleepstudy, call=None)
    assert len(unknown.predict(data("sleepstudy").iloc[:3], se=True)) == 3
