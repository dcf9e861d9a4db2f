"""How much is worked on at once, and by which of two ways, decides no number.

Constants say how many numbers are held at once and from which size on another way is taken. Each is set so low, or so
high, that a small fit takes the way of a large one; the answers are those it gives by itself.
"""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.reml.lmer import lmer

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def data():
    """Two crossed factors and one nested in the first, weights and an offset."""
    rng = np.random.default_rng(11)
    n = 260
    g, h = rng.integers(0, 13, n), rng.integers(0, 7, n)
    x = rng.normal(size=n)
    w = rng.choice([0.25, 1.0, 9.0], n)
    u = rng.normal(size=(13, 2)) @ np.array([[1.0, 0.0], [-0.5, 0.4]]).T
    y = 2 + 0.5 * x + u[g, 0] + u[g, 1] * x + rng.normal(0, 0.8, 7)[h] + rng.normal(size=n) / np.sqrt(w)
    frame = pd.DataFrame({"y": y, "x": x, "w": w, "o": rng.normal(size=n), "g": g, "h": h, "k": rng.integers(0, 2, n)})
    return frame.astype({"g": str, "h": str, "k": str})


def fitted(data):
    return lmer("y ~ x + (1 + x | g) + (1 | g:k) + (1 | h)", data, weights="w", offset="o")


def rows(data):
    """Known and unseen levels side by side, three rows of each row of the data among them."""
    new = data.iloc[np.random.default_rng(3).integers(0, len(data), 60)].reset_index(drop=True)
    new.loc[::4, "g"] = [f"new {i % 3}" for i in range(15)]
    new.loc[::7, "h"] = "new"
    return new.assign(x=np.linspace(-2, 2, 60))


def predictions(fit, data):
    asked = {"interval": "prediction", "uncertainty": ["beta", "u", "residual"], "new_levels": "sample"}
    return np.concatenate([fit.predict(new, **asked).to_numpy() for new in (None, rows(data))])


def estimates(fit, data):
    return np.concatenate([fit.fixef, fit.theta, [fit.sigma, fit.criterion], fit.vcov.to_numpy().ravel()])


QUESTIONS = {
    "fit": estimates,
    "modes": lambda fit, data: np.concatenate([fit.solution.u, fit.fitted]),
    "predictions": predictions,
    "variances": lambda fit, data: fit.apply(fit.design_for(rows(data), "sample")).variances,
    "covariance": lambda fit, data: fit.apply(fit.design_for(rows(data), "sample")).cov,
    "errors of modes": lambda fit, data: np.concatenate([table.to_numpy().ravel() for table in fit.ranef_sd.values()]),
    "refits": lambda fit, data: fit.refits(np.column_stack([data["y"], 2 * data["y"] + data["x"]])).beta,
    "Satterthwaite": lambda fit, data: fit.tidy(ddf="satterthwaite")["df"].to_numpy(),
    "Kenward and Roger": lambda fit, data: fit.tidy(ddf="kenward-roger")[["std_error", "df"]].to_numpy(),
}

WAYS = {
    "variances, one at a time": ("pls.joint", "BLOCK", 1, ["predictions", "variances"]),
    "variances, a few at a time": ("pls.joint", "BLOCK", 500, ["predictions", "variances"]),
    "predictions, seven rows at a time": ("reml.predictive", "ROWS", 7, ["predictions"]),
    "sparse products of levels": ("pls.crossproducts", "SPARSE_FROM", 0, ["fit", "modes"]),
    "rows in chunks": ("pls.crossproducts", "CHUNK", 37, ["fit", "modes", "refits"]),
    "sparse factors": ("pls.coupling", "SMALL", 0, ["fit", "modes", "variances", "covariance", "errors of modes"]),
    "columns of the second level, one at a time": (
        "pls.second_level", "CHUNK", 1, ["fit", "variances", "covariance", "errors of modes", "Satterthwaite"],
    ),
    "traces of sparse kernels": ("inference.kernel_traces", "DENSE_NUMBERS", 0.0, ["Kenward and Roger"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def known(data):
    fit = fitted(data)
    return {name: ask(fit, data) for name, ask in QUESTIONS.items()}


@pytest.mark.parametrize("way", WAYS)
def test_a_large_fits_way_gives_a_small_fits_numbers(way, data, known, monkeypatch):
    module, constant, value, asked = WAYS[way]
    monkeypatch.setattr(importlib.import_module(f"mixedfx.{module}"), constant, value)
    fit = fitted(data)
    for name in asked:
        # One order of additions or another; what the optimiser finds is certified to 1e-9 of deviance.
        np.testing.assert_allclose(QUESTIONS[name](fit, data), known[name], rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("numbers", [1, 300])
def test_refits_of_one_factor_are_cut_into_batches(numbers, monkeypatch):
    data = pd.read_csv(DATA / "sleepstudy.csv")
    fit = lmer("Reaction ~ Days + (Days | Subject)", data)
    Y = fit.simulate(9, seed=2)
    whole = fit.refits(Y)
    monkeypatch.setattr(importlib.import_module("mixedfx.reml.refit"), "BATCH_NUMBERS", numbers)
    parts = fit.refits(Y)
    np.testing.assert_allclose(parts.criterion, whole.criterion, atol=1e-8)
    np.testing.assert_allclose(parts.beta, whole.beta, rtol=1e-6)
    np.testing.assert_allclose(parts.theta, whole.theta, rtol=1e-4, atol=1e-5)


def test_one_pass_over_the_rows_gives_the_products_of_many(monkeypatch):
    """The compiled pass of large data, by one factor with three covariates."""
    from mixedfx.pls import crossproducts

    rng = np.random.default_rng(5)
    n = 300
    frame = pd.DataFrame({"x": rng.normal(size=n), "v": rng.normal(size=n), "g": rng.integers(0, 20, n)})
    frame["y"] = frame["x"] + rng.normal(size=20)[frame["g"]] + rng.normal(size=n)
    frame["w"] = rng.choice([0.5, 2.0], n)
    formula = "y ~ x + v + (1 + x + v || g)"
    one = lmer(formula, frame, weights="w")
    monkeypatch.setattr(crossproducts, "ONE_PASS_FROM", 0)
    other = lmer(formula, frame, weights="w")
    assert other.criterion == pytest.approx(one.criterion, abs=1e-8)
    np.testing.assert_allclose(other.fixef, one.fixef, rtol=1e-6)
    np.testing.assert_allclose(other.vcov, one.vcov, rtol=1e-5)
    np.testing.assert_allclose(other.fitted, one.fitted, rtol=1e-5)
