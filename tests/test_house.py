"""House rules that no other tool checks: what may stand in the tree, where, and that its documents agree."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import mixedfx as mx
from mixedfx.covariance.structures import STRUCTURES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mixedfx"
MAX_LINES = 450
# Classes of fits: a method is one line and its docstring many, so docstrings are not counted there.
DOCUMENTED = {
    PACKAGE / "reml" / "fit.py",
    PACKAGE / "reml" / "state.py",
    PACKAGE / "bayes" / "posterior" / "fit.py",
    PACKAGE / "meta" / "univariate" / "rma_fit.py",
    PACKAGE / "glmm" / "state.py",
    PACKAGE / "glmm" / "fit.py",
}
MAX_BYTES = 700_000


def tree():
    """Files that are in the repository or would be added to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


FILES = tree()
MODULES = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(PACKAGE)]


def text(path):
    """Content of a text file; nothing for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def name_of(requirement):
    """``"arviz-stats"`` of ``"arviz_stats>=0.8"``."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


def places(pattern, files):
    """File and line of every match."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(text(path).splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_the_tree_was_found():
    """The tests below could not fail on an empty list."""
    assert {PACKAGE / "__init__.py", ROOT / "pyproject.toml", Path(__file__).resolve()} <= set(FILES)
    assert len(MODULES) > 50


def test_the_top_of_the_tree_holds_what_it_should():
    """No environment, build folder or note slips in."""
    top = {path.relative_to(ROOT).parts[0] for path in FILES}
    folders = {".ci", ".github", "benchmarks", "docs", "findings", "mixedfx", "stan", "tests", "vignettes"}
    files = {
        ".gitignore",
        ".pre-commit-config.yaml",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "constraints.txt",
        "pyproject.toml",
    }
    assert top - folders == files


# Written in pieces, so that this file does not match itself.
HOSTS = ["pypi", "python" + "hosted", "npmjs", "anaconda", "crates", "debian", "maven"]
FORBIDDEN = {
    "a package registry": rf"(?i)\b(?:{'|'.join(map(re.escape, HOSTS))})\.(?:org|com|io)\b",
    "a path of some machine": r"(?<![\w.])/(?:work|root|opt|home)" + "/",
    "a file address": "file:" + "//",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    assert places(FORBIDDEN[what], FILES) == []


def test_the_patterns_find_what_they_are_for():
    for what, line in {
        "a package registry": "index-url = https://pypi" + ".org/simple",
        "a path of some machine": "see /work" + "/main/README.md",
        "a file address": "numpy @ file:" + "///tmp/numpy.whl",
    }.items():
        assert re.search(FORBIDDEN[what], line)


def test_nothing_is_left_unfinished():
    words = "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"])
    assert places(rf"\b(?:{words})\b", FILES) == []
    assert places(r"\bNotImplementedError\b", MODULES) == []


# CmdStan is no Python package: where it is not installed, the tests of this one file give that as their reason.
MAY_SKIP = {ROOT / "tests" / "bayes" / "engines" / "test_cmdstan_installed.py"}


def test_no_test_is_skipped():
    tests = [path for path in FILES if path.is_relative_to(ROOT / "tests") and path not in MAY_SKIP]
    assert places(r"pytest\.(?:" + "skip|xfail|importorskip)|mark" + r"\.(?:skip|xfail)", tests) == []


def test_every_module_says_what_lives_in_it():
    assert [str(path) for path in MODULES if not ast.get_docstring(ast.parse(text(path)))] == []


def lines_without_docstrings(path):
    """Lines of a module less those of the docstrings in it."""
    found = ast.walk(ast.parse(text(path)))
    documented = [
        n for n in found if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.Module) and ast.get_docstring(n)
    ]
    return text(path).count("\n") - sum(node.body[0].end_lineno - node.body[0].lineno + 1 for node in documented)


def test_modules_are_short():
    length = {
        path: lines_without_docstrings(path) if path in DOCUMENTED else text(path).count("\n") for path in MODULES
    }
    assert [str(path) for path, lines in length.items() if lines > MAX_LINES] == []


def test_files_are_small():
    assert [str(path) for path in FILES if path.stat().st_size > MAX_BYTES] == []


# Used as `mx.datasets.load` and `mixedfx.priors.normal`; a name bound here is part of the public surface.
BINDING_NAMES = {"datasets", "families", "priors"}


def named_structures(tree):
    """Lines that ask for structures by name: comparisons with one, and dictionaries keyed by two or more."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            keys = [key for key in node.keys if key is not None]
            sides = keys if sum(bool(_names(key)) for key in keys) > 1 else []
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        if any(_names(side) for side in sides):
            yield node.lineno if not isinstance(node, ast.MatchValue) else node.value.lineno


def _names(side):
    """Names of structures among literals, alone or in a tuple, list or set."""
    parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
    return [p.value for p in parts if isinstance(p, ast.Constant) and p.value in STRUCTURES]


def test_only_the_covariance_folder_knows_structures_by_name():
    """Others ask a structure what they need to know, so that a new one is a class and a line of the registry.

    What the bars of a formula stand for, `BARS`, is the language's.
    """
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        if not path.is_relative_to(PACKAGE / "covariance")
        for line in named_structures(ast.parse(text(path)))
    ]
    assert [place.rpartition(":")[0] for place in found] == ["mixedfx/formula/mixed_formula.py"], found


def test_structures_that_are_named_are_found():
    for code in ('a.structure == "us"', 'name in ("cs", "homcs")', 'x = {"us": 1, "diag": 2}[name]',
                 'match a:\n    case "id": pass'):  # fmt: skip
        assert list(named_structures(ast.parse(code)))
    assert not list(named_structures(ast.parse('frame["id"]; {"id": 1, "x": 2}; structure_for(k, "us")')))


def test_sub_packages_hold_no_code():
    """All but three say what they are and nothing else; those three bind their public names."""
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            _, *rest = ast.parse(text(path)).body
            if path.parent.name in BINDING_NAMES:
                rest = [node for node in rest if not isinstance(node, ast.ImportFrom | ast.Assign)]
            assert rest == [], f"{path} holds code"


def test_the_documents_speak_of_this_version():
    assert f"## [{mx.__version__}]" in text(ROOT / "CHANGELOG.md")
    assert f"version: {mx.__version__}\n" in text(ROOT / "CITATION.cff")


def test_constraints_pin_every_dependency_and_nothing_but_versions():
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    declared = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    lines = [line for line in text(ROOT / "constraints.txt").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    pinned = {name_of(line) for line in lines}
    needed = {re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower() for requirement in declared}
    assert needed - pinned == {"mixedfx"}, "an extra that contains another names the package itself"


def test_continuous_integration_runs_targets_that_exist():
    targets = re.findall(r"^([a-z-]+):.*##", text(ROOT / "Makefile"), re.MULTILINE)
    called = re.findall(r"^ *make ([a-z-]+)$", text(ROOT / ".ci" / "run"), re.MULTILINE)
    assert called == ["test", "lint", "types", "contract", "docs-quick", "test-spark", "test-browser"]
    hosted = re.findall(
        r"make PYTHON=python ([a-z-]+)$", text(ROOT / ".github" / "workflows" / "check.yml"), re.MULTILINE
    )
    assert hosted == called, "hosted checks are the same"
    assert set(re.findall(r"entry: make ([a-z-]+)", text(ROOT / ".pre-commit-config.yaml"))) <= set(called)
    assert set(called) <= set(targets)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def imported(paths):
    """Top-level names of the modules that files import, ours left out."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"mixedfx"}


def test_whatever_the_package_imports_is_declared():
    """What is imported without being a dependency or an extra works on the machine of its author only."""
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    optional = project["optional-dependencies"]
    extras = ("plots", "bayes", "tables", "parallel", "learn")
    wanted = [*project["dependencies"], *(one for extra in extras for one in optional[extra])]
    declared = {name_of(requirement) for requirement in wanted}
    provides = packages_distributions()
    undeclared = {
        name for name in imported(MODULES) if not declared & {name_of(found) for found in provides.get(name, [])}
    }
    assert undeclared == set()
