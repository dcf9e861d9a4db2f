"""Optional packages that are absent or broken are said in one sentence, with the line that installs them."""

from __future__ import annotations

import sys
import warnings
from importlib.abc import MetaPathFinder

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


def test_a_package_that_is_there_is_returned():
    assert package("json", "this needs", "files").__name__ == "json"
