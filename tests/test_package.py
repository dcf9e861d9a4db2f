"""What `import mixedfx` gives: light, and functions that stay functions whatever is imported before or after."""

import subprocess
import sys

import pytest

import mixedfx as mx

HEAVY = ("formulaic", "narwhals", "numba", "matplotlib", "rich", "typer", "pyarrow", "polars", "arviz", "scipy")
FUNCTIONS = ("bayes", "design", "effects", "lmer", "prior_predictive")


def python(code, *options):
    """Standard output of a fresh interpreter."""
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_importing_adds_less_than_a_fifth_of_a_second_to_pandas():
    """The least of several runs: what the machine does besides only ever adds."""
    code = """
import time, pandas
start = time.perf_counter()
import mixedfx
print(time.perf_counter() - start)
"""
    seconds = [float(python(code)) for _ in range(3)]
    assert min(seconds) < 0.2


def test_importing_loads_nothing_heavy_that_pandas_has_not_loaded():
    code = f"""
import sys, pandas
before = set(sys.modules)
import mixedfx
print([name for name in {HEAVY} if name in sys.modules and name not in before])
"""
    assert python(code) == "[]\n"


def test_a_fit_of_a_frame_loads_no_way_to_read_sources():
    code = """
import sys, mixedfx as mx
str(mx.lmer("math ~ small + (1 | sch)", mx.datasets.load("star")).summary())
print([name for name in sys.modules if name.startswith("mixedfx.design.") and ("stream" in name or "sql" in name)])
print("mixedfx.design.databases" in sys.modules)
"""
    assert python(code) == "[]\nFalse\n"


FIRST = {
    "mixedfx": "import mixedfx",
    "the package of effects": "import mixedfx.effects",
    "the module of effects": "import mixedfx.effects.effects",
    "a name from the module of effects": "from mixedfx.effects.effects import effects",
    "another module of that package": "import mixedfx.effects.query",
    "the package of designs": "import mixedfx.design",
    "the module of designs": "from mixedfx.design.build import build_design",
    "the package of posteriors": "import mixedfx.bayes",
    "the fitter": "import mixedfx.reml.lmer",
    "the command line": "import contextlib, io, mixedfx.cli.app as app\n"
    "with contextlib.redirect_stdout(io.StringIO()): app.run(['fit', 'math ~ small + (1 | sch)', 'star'])",
}


@pytest.mark.parametrize("first", FIRST)
def test_public_functions_are_functions_whatever_is_imported_first(first):
    code = f"""
{FIRST[first]}
import types
import mixedfx as mx
def check():
    for name in {FUNCTIONS}:
        function = getattr(mx, name)
        assert isinstance(function, types.FunctionType), (name, function)
        assert function.__name__ == name
        assert function is mx.__dict__[name]
    assert all(isinstance(module, types.ModuleType) for module in (mx.datasets, mx.errors, mx.families, mx.priors))
check()
import mixedfx.effects.effects, mixedfx.design.rows, mixedfx.effects.treatment, mixedfx.reml.fit
check()
from mixedfx import design, effects
assert (design, effects) == (mx.design, mx.effects)
"""
    python(code, "-W", "error::ImportWarning")


def test_a_public_function_can_be_replaced_but_not_by_a_package(monkeypatch):
    def other():
        """Stand in."""

    monkeypatch.setattr(mx, "effects", other)
    assert mx.effects is other
    mx.effects = sys.modules["mixedfx.effects"]
    assert mx.effects is other


def test_every_public_name_is_there_and_listed():
    for name in mx.__all__:
        assert hasattr(mx, name)
    assert set(mx.__all__) <= set(dir(mx))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'mixedfx' has no attribute 'lmre'"):
        _ = mx.lmre


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_have_docstrings_with_examples(name):
    text = getattr(mx, name).__doc__
    for section in ("Parameters\n", "Returns\n", "Examples\n", ">>> "):
        assert section in text, f"{name} has no {section.strip()}"
