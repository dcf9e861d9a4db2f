"""Rows in blocks: the same numbers as all at once, in bounded memory."""

import subprocess
import sys
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.collapsed import engine
from mixedfx.bayes.posterior import estimate
from mixedfx.bayes.posterior.estimate import blocks
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.posterior.responses import together
from mixedfx.errors import MemoryForecastError, MixedfxWarning


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    n = 200
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("abcdef"), n), "h": rng.choice(list("uvw"), n)})
    data["y"] = rng.random(n) < 1 / (1 + np.exp(-data["x"]))
    return data


@pytest.fixture(scope="module")
def fit(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.bayes(
            "y ~ x + (1 + x | g) + (1 | h)", data, family="bernoulli", draws=100, chains=2, warmup=100, seed=1,
            progress=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def rows(fit):
    """Known levels, unseen levels of one term and of both, some of them in several rows."""
    new = pd.DataFrame({"x": np.linspace(-1, 1, 12)})
    new["g"] = ["a", "n1", "b", "n1", "n2", "c", "n3", "a", "n2", "f", "n4", "n1"]
    new["h"] = ["u", "v", "m1", "m1", "w", "u", "m2", "v", "m1", "w", "u", "u"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return fit.design_for(new, "sample")


@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_blocks_are_parts_of_the_whole(fit, rows, size):
    whole = fit.apply(rows).values
    found = list(blocks(rows, fit.joint, fit.seed, rows=size))
    assert next(at.stop - at.start for at, _ in found) == min(size, 12)
    assert together(iter(found), 100, 12, ()) == pytest.approx(whole, rel=1e-12)
    assert np.concatenate([v for _, v in fit.stream(rows, "link", rows=size)], axis=1) == pytest.approx(whole)
    mean = np.concatenate([v for _, v in fit.stream(rows, rows=size)], axis=1)
    assert mean == pytest.approx(fit.expected(rows))


def test_chosen_draws_are_rows_of_the_whole(fit, rows):
    chosen = np.array([7, 3, 3])
    assert fit.expected(rows, chosen) == pytest.approx(fit.expected(rows)[chosen])


def test_predictions_do_not_depend_on_the_size_of_blocks(fit, monkeypatch):
    whole = fit.predict(se=True)
    monkeypatch.setattr(estimate, "BLOCK_BYTES", 8 * 100 * 7)  # seven rows
    pd.testing.assert_frame_equal(fit.predict(se=True), whole)
    assert fit.fitted.to_numpy() == pytest.approx(whole["estimate"].to_numpy())


def test_memory_is_that_of_a_block(fit, data, monkeypatch):
    """20,000 rows of 100 draws are 16 MB; a block of 1 MB and the answer take far less."""
    monkeypatch.setattr(estimate, "BLOCK_BYTES", 2**20)
    rows = fit.design_for(pd.concat([data] * 100, ignore_index=True))
    total = np.zeros(100)
    tracemalloc.start()
    for _, values in fit.stream(rows):
        total += values.sum(axis=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
    assert total / len(rows) == pytest.approx(fit.epred(data).mean(axis=1))


QUESTIONS = """
import resource, sys, warnings
import numpy as np, pandas as pd, mixedfx as mx
warnings.simplefilter("ignore")
fit, rng = mx.load(sys.argv[1]), np.random.default_rng(2)
n = 10_000
new = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("abcdef"), n), "h": rng.choice(list("uvw"), n)})
unit = 1 if sys.platform == "darwin" else 1024
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
before = peak()
table = mx.effects(fit, "x", by=["g", "h"], newdata=new).table
assert len(table) == 18 and fit.n_draws == 4000
effects = peak() - before
fit.predict(new)
print(effects, peak() - before)
"""


def test_memory_of_the_process_stays_within_a_few_blocks(fit, tmp_path):
    """4,000 draws of 10,000 rows under two values of x are 640 MB; the process grows by a few blocks of 64 MB.

    python -m benchmarks.epred_memory asks the same of a million rows.
    """
    again = np.resize(np.arange(100), 4000)
    one = fit.joint.predictors[0]
    many = Predictor(one.beta[again], one.u[again], tuple(factor[again] for factor in one.factors))
    path = replace(fit, joint=JointDraws((many,)), transitions=None).save(tmp_path / "fit.mfx")
    done = subprocess.run([sys.executable, "-c", QUESTIONS, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(float(grown) < 400 for grown in done.stdout.split()), done.stdout


def test_all_at_once_is_refused_where_it_would_not_fit(fit, data, monkeypatch):
    monkeypatch.setattr(engine, "LARGEST_DRAWS", 1e-9)
    for ask in (fit.epred, fit.linpred):
        with pytest.raises(MemoryForecastError, match=r"100 draws of 200 quantities[\s\S]*fit\.stream"):
            ask(data)
    assert len(fit.predict(data)) == 200
