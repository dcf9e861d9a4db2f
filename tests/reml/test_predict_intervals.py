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
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.joint import Joint
from mixedfx.reml import predictive
from mixedfx.reml.lmer import lmer
from mixedfx.reml.predictive import row_variances, theta_error
from mixedfx.reml.rows import draw_effects, fitted_values
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
    variance = {u: sleepstudy.predict(rows, uncertainty=u)["se"].to_numpy() ** 2 for u in ("beta", "u", "theta")}
    np.testing.assert_allclose(variance["beta"], np.diag(joint.covariance(at.fixed, none)))
    np.testing.assert_allclose(variance["u"], np.diag(joint.covariance(0 * at.fixed, at.random)))
    both = sleepstudy.predict(rows, uncertainty=("beta", "u"))["se"] ** 2
    np.testing.assert_allclose(both, sleepstudy.apply(at).variances)
    everything = sleepstudy.predict(rows, interval="prediction")["se"] ** 2
    np.testing.assert_allclose(everything, both + variance["theta"] + sleepstudy.sigma**2)
    confidence = sleepstudy.predict(rows, se=True)
    np.testing.assert_allclose(confidence["se"] ** 2, both + variance["theta"])
    np.testing.assert_allclose(confidence["upper"] - confidence["estimate"], 1.959963984540054 * confidence["se"])
    wide = sleepstudy.predict(rows, interval="confidence", level=0.99)
    assert (wide["upper"] > confidence["upper"]).all()
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


def test_theta_is_the_delta_method_on_finer_differences(sleepstudy):
    """d(beta-hat, u-hat) / dtheta and the Hessian, from differences of the criterion itself."""
    error = theta_error(sleepstudy)
    problem = sleepstudy.solution.problem
    par = sleepstudy.solution.par

    def criterion(x):
        return evaluate(problem, x, derivatives=False).criterion

    h = 2e-3
    hessian = np.empty((3, 3))
    for i, a in enumerate(np.eye(3) * h):
        for j, b in enumerate(np.eye(3) * h):
            corners = [criterion(par + s * a + t * b) * s * t for s in (1, -1) for t in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * h**2)
    change = np.empty((38, 3))
    for i, a in enumerate(np.eye(3) * h):
        ends = [Joint(sleepstudy.design, problem, evaluate(problem, par + s * a)) for s in (1, -1)]
        change[:, i] = np.concatenate([ends[0].beta - ends[1].beta, ends[0].u - ends[1].u]) / (2 * h)
    expected = 2.0 * change @ np.linalg.inv(hessian) @ change.T
    root = np.concatenate([error.fixed, error.random])
    scale = np.abs(expected).max()
    # the differences of this test are good to h^2 of the fourth derivatives
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-4 * scale)


def test_a_singular_fit_holds_theta_on_its_boundary():
    fit = lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))
    found = fit.predict(uncertainty="theta")
    assert (found["se"] == 0).all()
    plain = lmer("Reaction ~ Days", data("sleepstudy"))
    table = plain.predict(interval="confidence")
    x = plain.design.X
    np.testing.assert_allclose(table["se"] ** 2, np.einsum("np,pq,nq->n", x, plain.vcov.to_numpy(), x))


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
    for _ in range(300):
        u = draw_effects(design, T, 1.0, 1, rng)
        mean = fitted_values(design, beta, u)[0]
        again = fit.refit(mean + rng.standard_normal(48))
        table = again.predict(interval="confidence")
        error = table["estimate"].to_numpy() - mean
        squared.append(np.mean(error**2))
        given_theta.append(np.mean(again.predict(uncertainty=("beta", "u"))["se"] ** 2))
        whole.append(np.mean(table["se"] ** 2))
        covered.append(np.mean(np.abs(error) < 1.959963984540054 * table["se"]))
    # measured: 0.187 claimed without theta, 0.226 with it, mean squared error 0.227 with a Monte Carlo error of 0.005
    mse, noise = np.mean(squared), np.std(squared) / np.sqrt(300)
    assert np.mean(given_theta) < mse - 2 * noise  # theta left out: too small
    assert abs(np.mean(whole) - mse) < 4 * noise + 0.03 * mse  # the expansion leaves out terms of higher order
    # rows of a group share their error: the standard error over data sets, not rows
    assert abs(np.mean(covered) - 0.95) < 4 * np.std(covered) / np.sqrt(300) + 0.01


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": rng.integers(0, 40, 800), "x": rng.normal(size=800)})
    frame["y"] = frame["x"] + rng.normal(size=40)[frame["g"]] + rng.normal(size=800)
    fit = lmer("y ~ x + (x | g)", frame)
    monkeypatch.setattr(predictive, "ROWS", 2000)
    peaks = []
    for n in (20_000, 80_000):
        new = pd.DataFrame({"g": rng.integers(0, 40, n), "x": rng.normal(size=n)})
        whole = fit.predict(new, interval="prediction")
        tracemalloc.start()
        fit.predict(new, interval="prediction")
        peaks.append(tracemalloc.get_traced_memory()[1] - 8 * 8 * n)  # less the results: four columns and their parts
        tracemalloc.stop()
        pieces = fit.predict(new.iloc[3000:3010], interval="prediction")
        pd.testing.assert_frame_equal(whole.iloc[3000:3010], pieces)
    assert peaks[1] < peaks[0] + 2**22


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
