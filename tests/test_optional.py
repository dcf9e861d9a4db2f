"""Optional packages that are absent or broken are said in one sentence, with the line that installs them."""

from __future__ import annotations

import ast
import sys
import warnings
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.design.spark_rows import spark_batches
from mixedfx.errors import MissingPackageError
from mixedfx.optional import package


class Gone(MetaPathFinder):
    """A package that cannot be imported, for one reason or another."""

    def __init__(self, name, error):
        self.name, self.error = name, error

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == self.name:
            raise self.error
        return None


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.arange(80) // 8, "x": rng.normal(size=80), "t": rng.integers(0, 2, 80)})
    frame["y"] = frame["x"] + rng.normal(size=10)[frame["g"]] + rng.normal(size=80)
    return frame.assign(vi=0.2)


@pytest.fixture(scope="module")
def posterior(data):
    return mx.bayes("y ~ x + (1 | g)", data, seed=1, draws=100)


class SparkFrame:
    """As much of a data frame of Spark as is asked of it before anything of PySpark is."""

    def select(self, *columns):
        return self


def reading(ending):
    def ask(data, posterior, folder):
        path = folder / f"a{ending}"
        path.write_bytes(b"x")
        mx.read(path)

    return ask


def empty(path):
    path.write_bytes(b"")
    return path


NEEDED = {
    "openpyxl": reading(".xlsx"),
    "pyreadstat": reading(".sav"),
    "pyreadstat, Stata": reading(".dta"),
    "rdata": reading(".rds"),
    "pyarrow": reading(".parquet"),
    "pyarrow, batches": lambda data, posterior, folder: mx.lmer("y ~ x", empty(folder / "a.parquet"), stream=True),
    "duckdb": lambda data, posterior, folder: mx.lmer("y ~ x", empty(folder / "a.csv"), stream=True),
    "pyspark": lambda data, posterior, folder: next(spark_batches(SparkFrame(), ["y"], 10)),
    "great_tables": lambda data, posterior, folder: mx.table(mx.lmer("y ~ x", data)).gt(),
    "joblib": lambda data, posterior, folder: mx.lmer("y ~ x + (1 | g)", data).bootstrap(10, seed=1, n_jobs=2),
    "arviz": lambda data, posterior, folder: posterior.to_arviz(),
    "matplotlib": lambda data, posterior, folder: mx.effects(posterior, "x").plot(),
    "matplotlib, groups": lambda data, posterior, folder: mx.plot_groups("y ~ t + (1 | g)", data),
    "stanli": lambda data, posterior, folder: mx.bayes("y ~ x", data, engine="stanli", draws=10, seed=1),
    "cmdstanpy": lambda data, posterior, folder: mx.bayes("y ~ x", data, engine="cmdstan", draws=10, seed=1),
    "sklearn, learners": lambda data, posterior, folder: mx.cate("T", data[["x"]], data["y"], data["t"]),
    "lightgbm": lambda data, posterior, folder: mx.cate("T", data[["x"]], data["y"], data["t"]),
}
FAULTS = {
    "absent": lambda name: ModuleNotFoundError(f"No module named {name!r}", name=name),
    "half": lambda name: ModuleNotFoundError("No module named 'libfoo'", name="libfoo"),
    "library": lambda name: ImportError("libfoo.so.3: cannot open shared object file"),
    "system": lambda name: OSError("libfoo.so.3"),
    "version": lambda name: AttributeError("module 'numpy' has no attribute 'float'"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", NEEDED)
def test_a_package_that_cannot_be_imported_is_one_sentence(data, posterior, tmp_path, monkeypatch, what, fault):
    name = what.partition(",")[0]
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Gone(name, FAULTS[fault](name)), *sys.meta_path])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MissingPackageError) as caught:
            NEEDED[what](data, posterior, tmp_path)
    said = caught.value
    assert {"sklearn": "scikit-learn", "arviz": "ArviZ"}.get(name, name) in said.message
    assert "\n" not in said.message
    assert "install" in f"{said.message} {said.hint}"
    if fault == "absent":
        assert "not installed" in said.message or name == "great_tables"


@pytest.fixture
def without_matplotlib(monkeypatch):
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Gone("matplotlib", FAULTS["absent"]("matplotlib")), *sys.meta_path])


# What draws, by the functions of the package that make figures.
PICTURES = {
    "panels of residuals": lambda fit, table: fit.plot(),
    "caterpillar": lambda fit, table: fit.plot("caterpillar"),
    "fitted, by group": lambda fit, table: fit.plot("fitted"),
    "profile": lambda fit, table: fit.profile().plot(),
    "page of a GLMM": lambda fit, table: mx.glmer("t ~ x + (1 | g)", fit.design.frame, "bernoulli").plot(),
    "forest of studies": lambda fit, table: mx.rma("y ~ 1", table, vi="vi").plot("forest"),
    "funnel": lambda fit, table: mx.rma("y ~ 1", table, vi="vi").plot("funnel"),
    "marginal means": lambda fit, table: mx.emmeans(fit, "x").plot(),
}


@pytest.mark.parametrize("what", PICTURES)
def test_pictures_without_matplotlib_are_refused_in_words(data, without_matplotlib, what):
    fit = mx.lmer("y ~ x + t + (1 | g)", data)
    with pytest.raises(MissingPackageError, match="Pictures need matplotlib, which is not installed") as caught:
        PICTURES[what](fit, data.head(12))
    assert caught.value.hint == "pip install 'mixedfx[plots]'"


def test_matplotlib_is_asked_for_where_a_figure_is_made():
    """Whatever else of it a function needs is imported after that, so that its absence is said in words."""
    seen = 0
    for path in Path(mx.__file__).parent.rglob("*.py"):
        for function in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]:
            nodes = list(ast.walk(function))
            imports = [n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and "matplotlib" in str(n.module)]
            made = [
                n.lineno
                for n in nodes
                if isinstance(n, ast.Call)
                and getattr(n.func, "id", "") in ("new_axes", "new_figure", "need_matplotlib")
            ]
            if imports and made:
                assert min(made) < min(imports), f"{path.name}: {function.name}"
                seen += 1
    assert seen >= 3


def test_reports_without_matplotlib_say_so_once(data, without_matplotlib):
    fit = mx.lmer("y ~ x + t + (1 | g)", data)
    for page in (fit.report(), mx.effects(fit, "t", by="g").to_html()):
        assert page.count("Pictures need matplotlib, which is not installed: pip install") == 1
        assert "data:image/png" not in page
        assert "<table" in page


def test_the_demo_without_matplotlib_draws_in_the_browser(without_matplotlib, tmp_path, monkeypatch, capsys):
    from mixedfx.cli.app import run

    monkeypatch.chdir(tmp_path)
    assert run(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "Pictures need matplotlib" in shown
    page = (tmp_path / "demo-output" / "star_forest.html").read_text()
    assert "Subgroups by" in page
    assert "Content-Security-Policy" in page
    # Asked for by name, a picture is refused before the model is fitted.
    assert run(["effects", "math ~ small + (1 | sch)", "star", "--treatment", "small", "--plot", "a.png"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'mixedfx[plots]'" in said


def test_a_package_that_is_there_is_returned():
    assert package("json", "this needs", "files").__name__ == "json"
