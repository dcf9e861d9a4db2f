"""What the documentation site is made of is complete: no public name, error or page without its place."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import mixedfx as mx

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site():
    """The modules of docs/."""
    sys.path.insert(0, str(DOCS))
    try:
        yield {name: importlib.import_module(name) for name in ("build", "reference", "what_to_do")}
    finally:
        sys.path.remove(str(DOCS))
        for name in ("build", "reference", "what_to_do"):
            sys.modules.pop(name, None)


def classes(base):
    return [c for _, c in inspect.getmembers(mx.errors, inspect.isclass) if issubclass(c, base) and c is not base]


def test_every_public_function_is_in_the_reference_once(site):
    listed = [name for _, _, functions, _ in site["reference"].PAGES.values() for name in functions]
    assert sorted(listed) == sorted(set(mx.__all__) - site["reference"].ELSEWHERE)
    for _, _, _, paths in site["reference"].PAGES.values():
        for path in paths:
            module, _, name = path.rpartition(".")
            assert inspect.isclass(getattr(importlib.import_module(module), name))


def test_every_error_and_warning_says_what_to_do(site):
    known = {c.__name__ for base in (mx.errors.MixedfxError, mx.errors.MixedfxWarning) for c in classes(base)}
    assert set(site["what_to_do"].WHAT_TO_DO) == known
    assert len(known) > 60
    text = site["build"].error_index()
    for name in known:
        assert f"### {name}\n" in text


def test_every_page_is_in_a_table_of_contents():
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if path.is_relative_to(DOCS)}
    pages = {page for page in pages if not page.startswith(("_made", "_build"))}
    listed = set()
    for page in pages:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL):
            listed |= {line for line in block.splitlines() if line and not line.startswith(":")}
    assert pages - listed == {"index"}
    assert {f"_made/stories/{path.stem}" for path in (ROOT / "vignettes").glob("*.py")} - listed == {
        "_made/stories/build"
    }


def test_a_broken_link_is_found(site, tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">b</a> <a href="#here">a</a> <a href="c.html">c</a>'
    )
    (tmp_path / "b.html").write_text('<a href="a.html#here">a</a> <a href="https://example.org/x">x</a>')
    assert site["build"].broken_links(tmp_path) == ["a.html: b.html#there (no such place)", "a.html: c.html"]
    (tmp_path / "a.html").write_text('<script src="https://example.org/x.js"></script>')
    (tmp_path / "b.html").write_text('<link rel="stylesheet" href="//example.org/x.css"><a href="a.html">a</a>')
    assert site["build"].broken_links(tmp_path) == [
        "a.html: loads https://example.org/x.js", "b.html: loads //example.org/x.css",
    ]  # fmt: skip


def test_the_pages_speak_of_this_version():
    for path in (ROOT / "README.md", DOCS / "start.md"):
        assert re.findall(r"mixedfx-([0-9.]+)-py3", path.read_text(encoding="utf-8")) == [mx.__version__]


def test_names_in_the_tables_from_r_exist():
    """Functions of `mx`, their keyword arguments, and what is asked of a fit, of effects or of a meta-analysis."""
    text = (DOCS / "from_r.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[-1] for line in text.splitlines() if line.startswith("| `")]
    cells = " ".join(rows)
    functions = set(re.findall(r"\bmx\.([a-z_]+)", cells))
    assert len(functions) > 15
    assert functions <= set(mx.__all__)
    kinds = [
        getattr(importlib.import_module(module), name)
        for module, name in (
            ("mixedfx.reml.fit", "LmerFit"),
            ("mixedfx.bayes.posterior.fit", "PosteriorFit"),
            ("mixedfx.meta.univariate.rma_fit", "RmaFit"),
            ("mixedfx.effects.result", "Effects"),
        )
    ]
    asked = set(re.findall(r"\b(?:fit|eff)\.([a-z_0-9]+)", cells))
    assert len(asked) > 12
    assert {name for name in asked if not any(hasattr(kind, name) for kind in kinds)} == set()
    for name, called in re.findall(r"\bfit\.([a-z_0-9]+)(\()?", cells):
        of = next(getattr(kind, name) for kind in kinds if hasattr(kind, name))
        assert callable(of) == bool(called), f"fit.{name} is written as what it is: a method or a value"
    for name, arguments in re.findall(r"mx\.([a-z_]+)\(([^`]*)\)`", cells):
        keywords = set(re.findall(r"\b([a-zA-Z_]+)=", re.sub(r'"[^"]*"', "", arguments)))
        known = inspect.signature(getattr(mx, name)).parameters
        assert keywords <= set(known) or any(p.kind is p.VAR_KEYWORD for p in known.values()), name


PAGES = [
    *DOCS.rglob("*.md"),
    *ROOT.glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
    *(ROOT / "findings").glob("*.md"),
]
WRITTEN = [page for page in PAGES if not {"_build", "_made"} & set(page.parts)]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_rows_of_tables_have_the_cells_of_their_headers(page):
    """A bar inside a cell, as formulas have it, ends the cell unless a backslash stands before it, in code too."""
    width, code = None, False
    for line in page.read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        if code or not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        assert cells == (width or cells), line
        width = width or cells
