"""Crossed factors of rows that are read in batches, solved by iteration: the fit of the same rows in memory."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

import mixedfx as mx
from mixedfx.datasets.benchmark_shapes import simulate_insteval
from mixedfx.design import streams
from mixedfx.design.build import build_design
from mixedfx.design.streamed import read_streamed
from mixedfx.errors import (
    DataError,
    IterativeSolverError,
    MemoryForecastError,
    RowsNotHeldError,
)
from mixedfx.pls import choice, incidence
from mixedfx.pls.choice import forecast
from mixedfx.pls.streamed import whole_design
from mixedfx.pls.streamed_rows import forecast_of_rows, levels_of
from mixedfx.reml.control import OptimiserControl
from mixedfx.reml.solution import solve_design
from tests.reml.test_streamed import SOURCES, parquet, quiet, same

ITERATIVE = {"solver": "iterative"}
MODELS = {
    "insteval": ("y ~ service + (1 | s) + (1 | d) + (1 | dept)", {}),
    "weighted slopes": ("y ~ x + offset(o) + (1 + x | g) + (1 + x | h)", {"weights": "w"}),
}


@pytest.fixture(autouse=True, scope="module")
def few_levels_are_few():
    """Factors of these tests have so few levels that all would be exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 20)
        yield


def slopes(n: int = 3000) -> pd.DataFrame:
    """Two crossed factors whose slopes vary, weights, an offset, a covariate far from zero, rows that are not used."""
    rng = np.random.default_rng(5)
    g, h = rng.integers(0, 120, n), rng.choice(70, n, p=np.arange(1, 71) / np.arange(1, 71).sum())
    data = pd.DataFrame({"g": g + 500, "h": np.char.add("h", h.astype(str)), "x": rng.normal(2015.0, 3.0, n)})
    data["w"], data["o"] = rng.uniform(0.2, 5.0, n), rng.normal(size=n)
    x = data["x"] - 2015
    data["y"] = 4 + data["o"] + 0.4 * x + rng.normal(size=120)[g] + 0.2 * x * rng.normal(size=120)[g]
    data["y"] += 0.8 * rng.normal(size=70)[h] + 0.1 * x * rng.normal(size=70)[h] + rng.normal(size=n)
    data.loc[rng.choice(n, 40, replace=False), "y"] = np.nan
    data.loc[rng.choice(n, 30, replace=False), "x"] = np.nan
    data.loc[7, "w"] = 0.0
    return data


@pytest.fixture(scope="module")
def data():
    ratings = simulate_insteval(1).data
    few = ratings[ratings["d"].isin(ratings["d"].unique()[:100])].sample(2500, random_state=1)
    return {"insteval": few.astype(dict.fromkeys(["s", "d", "dept"], str)), "weighted slopes": slopes()}


@pytest.fixture(scope="module")
def fits(data):
    return {
        name: quiet(formula, data[name], control=ITERATIVE, **options) for name, (formula, options) in MODELS.items()
    }


@pytest.fixture(scope="module")
def streamed(data):
    """The crossed model with slopes, from batches of a frame."""
    formula, options = MODELS["weighted slopes"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BATCH", 1000)
        yield quiet(formula, data["weighted slopes"], stream=True, control=ITERATIVE, **options)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("model", MODELS)
def test_every_source_gives_the_fit_of_the_rows_in_memory(model, kind, data, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula, options = MODELS[model]
    found = quiet(formula, SOURCES[kind](data[model], tmp_path), stream=True, control=ITERATIVE, **options)
    assert not found.design.held
    assert found.solution.problem.iterative
    same(found, fits[model])
    pd.testing.assert_frame_equal(found.monte_carlo, fits[model].monte_carlo, rtol=1e-6)


def test_compiled_passes_and_maximum_likelihood(data, tmp_path, monkeypatch):
    """As many rows as are placed and passed over by compiled loops."""
    monkeypatch.setattr(incidence, "FEW_ROWS", 100)
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula, options = MODELS["weighted slopes"]
    options = options | {"REML": False, "control": ITERATIVE}
    found = quiet(formula, parquet(data["weighted slopes"], tmp_path), stream=True, **options)
    same(found, quiet(formula, data["weighted slopes"], **options))


def test_the_order_of_rows_is_nothing_that_probes_depend_on(data, fits, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula, options = MODELS["weighted slopes"]
    frame = data["weighted slopes"].sample(frac=1.0, random_state=3)
    same(quiet(formula, frame, stream=True, control=ITERATIVE, **options), fits["weighted slopes"])
    same(quiet(formula, frame, control=ITERATIVE, **options), fits["weighted slopes"])


# --- which solver ----------------------------------------------------------------------------------------------------
def test_the_forecast_of_batches_is_that_of_the_frame(data, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 700)
    for name, (formula, options) in MODELS.items():
        rows = read_streamed(formula, streams.slices(data[name]), **options)
        design = build_design(formula, data[name], **options)
        levels = levels_of(rows, keep=True)
        for term, spec in zip(design.random, rows.spec.random, strict=True):
            np.testing.assert_array_equal(levels.codes[spec.grouping.columns], term.codes)
            np.testing.assert_array_equal(levels.counts[spec.grouping.columns], np.bincount(term.codes))
        found = forecast_of_rows(rows, rows.sample(), levels)
        assert replace(found, iterative=0.0) == replace(forecast(design), iterative=0.0)
        assert found.iterative > forecast(design).iterative  # the levels that are kept, and what reading takes


def test_the_solver_is_chosen_by_time_and_memory_as_for_a_frame(data, monkeypatch):
    formula, frame = "y ~ service + (1 | s) + (1 | d)", data["insteval"]

    def read(solver="auto"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            design = whole_design(read_streamed(formula, streams.slices(frame)), solver)
        return design.streamed.products(True)

    assert not read().iterative  # few levels: nothing to think about
    monkeypatch.setattr("mixedfx.pls.streamed_rows.LARGE", 10)
    assert not read().iterative
    assert read("iterative").iterative
    with monkeypatch.context() as patch:
        patch.setattr(choice, "SLOW", 0.0)
        patch.setattr(choice, "GAIN", 0.0)  # a factor that would take minutes
        assert read().iterative
        assert not read("direct").iterative
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=30_000))
    for solver, what in (("iterative", "iterative solver needs"), ("direct", "a fit of this model needs")):
        with pytest.raises(MemoryForecastError, match=what):
            read(solver)


def test_a_model_that_cannot_be_iterated_says_so(data, streamed):
    for formula, options, match in (
        ("y ~ x + (1 | g)", {}, "single grouping factor"),
        ("y ~ x + (1 | gr(h, cov=A)) + (1 | g)", {"env": {"A": _correlations(data)}}, "known correlations"),
    ):
        with pytest.raises(IterativeSolverError, match=match):
            quiet(formula, data["weighted slopes"], stream=True, control=ITERATIVE, **options)
    with pytest.raises(IterativeSolverError, match=r"(?s)other solver.*call that reads them"):
        solve_design(streamed.design, control=OptimiserControl(solver="direct"))
    assert quiet("y ~ x", data["weighted slopes"], stream=True, control=ITERATIVE).converged  # least squares


def _correlations(data):
    levels = sorted(data["weighted slopes"]["h"].unique())
    return pd.DataFrame(np.eye(len(levels)) * 0.5 + 0.5, levels, levels)


def test_a_source_that_gives_other_rows_is_refused_before_they_are_placed(data):
    """Rows beyond those that were counted would be written over others, or beyond the end."""
    frame = data["insteval"].reset_index(drop=True)
    readings = 0

    def read(columns):
        nonlocal readings
        readings += 1
        rows = frame if readings < 3 else frame.assign(s=frame["s"].where(frame.index != 5, frame["s"].iloc[9]))
        yield pa.Table.from_pandas(rows[columns], preserve_index=False)

    changing = replace(streams.slices(frame), read=read)
    with pytest.raises(DataError, match="other rows each time"):
        whole_design(read_streamed("y ~ service + (1 | s) + (1 | d)", changing), "iterative")
    assert readings == 3
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(frame, preserve_index=False))
    with pytest.raises(DataError, match="other rows each time"):
        quiet(
            "y ~ service + (1 | s) + (1 | d)", (connection, "SELECT * FROM given WHERE random() < 0.9"),
            stream=True, control=ITERATIVE,
        )  # fmt: skip


def test_a_killed_run_leaves_no_file(data, tmp_path):
    """The process is killed while it iterates: incidences are in its memory, and nowhere else."""
    data["insteval"].to_parquet(tmp_path / "rows.parquet")
    script = f"""
import time
import mixedfx as mx
from mixedfx.pls import iterative_solves
def endless(*_):
    print("iterating", flush=True)
    time.sleep(60)
iterative_solves.conjugate_gradients = endless
mx.lmer("y ~ service + (1 | s) + (1 | d)", {str(tmp_path / "rows.parquet")!r}, stream=True, control={ITERATIVE})
"""
    run = {"cwd": Path(mx.__file__).parents[1], "env": os.environ | {"TMPDIR": str(tmp_path)}}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, **run)
    assert process.stdout.readline() == b"iterating\n"
    process.kill()
    process.wait(timeout=30)
    assert os.listdir(tmp_path) == ["rows.parquet"]


# --- questions afterwards --------------------------------------------------------------------------------------------
def test_tables_and_predictions_are_those_of_the_fit_in_memory(data, fits, streamed, tmp_path):
    found, expected = streamed, fits["weighted slopes"]
    pd.testing.assert_frame_equal(found.tidy(), expected.tidy(), rtol=1e-6)
    pd.testing.assert_frame_equal(found.varcorr, expected.varcorr, rtol=1e-8)
    pd.testing.assert_frame_equal(found.ranef_sd["g"], expected.ranef_sd["g"], rtol=1e-6)
    text = " ".join(found.summary().text().split())
    assert "read in batches" in text
    assert f"iterative, {found.solution.monte_carlo.probes} probes" in text
    new = data["weighted slopes"].query("w > 0").dropna().iloc[:30]
    pd.testing.assert_frame_equal(
        found.predict(new, interval="prediction"), expected.predict(new, interval="prediction"), rtol=1e-6
    )
    np.testing.assert_allclose(found.predict(new, se=True)["se"], expected.predict(new, se=True)["se"], rtol=1e-6)
    pd.testing.assert_series_equal(found.fitted, expected.fitted, rtol=1e-9, check_index_type=False)
    written = pd.read_parquet(found.predict(to=tmp_path / "own.parquet"))
    np.testing.assert_allclose(written["predicted"], expected.fitted, rtol=1e-9)
    rows = found.design_for(new)
    np.testing.assert_allclose(found.apply(rows).cov, expected.apply(rows).cov, rtol=1e-6, atol=1e-12)
    with pytest.raises(RowsNotHeldError):
        found.simulate(2, seed=1)
    with pytest.raises(IterativeSolverError, match="direct"):
        found.tidy(ddf="kenward-roger")


def test_effects_average_over_the_batches(data, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 1000)
    formula = "y ~ arm * lot + (1 + arm | h) + (1 | g)"
    frame = data["weighted slopes"].dropna().assign(arm=lambda d: (d["x"] > 2014) * 1, lot=lambda d: d["g"] % 3)
    ours, theirs = (
        mx.effects(quiet(formula, frame, control=ITERATIVE, stream=s), "arm", by="lot").table for s in (True, None)
    )
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, check_dtype=False)


def test_models_of_batches_are_compared_by_common_probes(data):
    """Fits of batches among themselves, and with one of a frame; weights that differ are seen by their names."""
    frame, formulas = data["weighted slopes"], ("y ~ 1 + (1 | g) + (1 | h)", "y ~ o + (1 | g) + (1 | h)")
    held, batches = (
        [quiet(f, frame, REML=False, weights="w", control=ITERATIVE, stream=s) for f in formulas] for s in (None, True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that models are not seen to be nested
        wanted = mx.anova(*held)
        for pair in (batches, (held[0], batches[1])):
            pd.testing.assert_frame_equal(mx.anova(*pair), wanted, rtol=1e-6)
    with pytest.raises(DataError, match="different weights"):
        mx.anova(batches[0], quiet(formulas[1], frame.query("w > 0"), REML=False, stream=True))
    with pytest.raises(DataError, match="different responses"):
        mx.anova(batches[0], quiet("o ~ y + (1 | g)", frame, REML=False, weights="w", stream=True))
