"""Build the documentation site: `python docs/build.py [--quick]`.

What is generated goes to `docs/_made`: the stories (vignettes, executed as `vignettes/build.py` has it, each with its
first picture below its title), the index of errors and warnings, the API reference. Sphinx then makes
`docs/_build/html`, in which warnings are errors, and every link within the site is followed. No network is needed.

``--quick`` leaves the vignettes unexecuted (minutes of computation); all other examples run.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import inspect
import os
import re
import shutil
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MADE, SITE = HERE / "_made", HERE / "_build" / "html"
STORIES = ("flipped_classroom", "varying_effects", "hierarchical_meta", "explore_heterogeneity", "who_to_coach")


def vignettes() -> Any:
    """The module vignettes/build.py."""
    spec = importlib.util.spec_from_file_location("vignettes_build", ROOT / "vignettes" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def story(name: str, quick: bool) -> None:
    """Write one vignette as a notebook whose outputs are there already, its lead picture first."""
    import nbformat
    from nbclient import NotebookClient
    from nbformat.v4 import new_markdown_cell

    tools = vignettes()
    folder = MADE / "stories"
    if quick:
        import jupytext

        notebook = jupytext.read(ROOT / "vignettes" / f"{name}.py")
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = tools.PLACEHOLDER.sub("…", cell.source)
        notebook.cells.insert(1, new_markdown_cell("*This copy was built without running its code: `make docs` does.*"))
    else:
        notebook = tools.read(ROOT / "vignettes" / f"{name}.py")
        NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(ROOT / "vignettes")}},
        ).execute()
        tools.settle(notebook)
    lead(notebook, name, folder)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "fold" in tags:
            tags.append("hide-input")
        alt = cell.metadata.pop("alt", None)
        if alt:
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
        cell.attachments = {} if cell.cell_type == "markdown" else None
        if cell.cell_type != "markdown":
            del cell["attachments"]
    nbformat.write(notebook, folder / f"{name}.ipynb")


def lead(notebook: Any, name: str, folder: Path) -> None:
    """Put the first picture of a story below the first paragraph of its title cell.

    A story that was not executed has the picture that the repository keeps of it, if it does.
    """
    from nbformat.v4 import new_markdown_cell

    alt, png = "", b""
    for cell in notebook.cells:
        shown = [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if shown:
            alt, png = str(cell.metadata.get("alt", "A picture of this story")), base64.b64decode(shown[0])
            break
    if not png and name != "varying_effects":
        return
    if not png:
        alt, png = "Effects of small classes in intersections", (HERE / "varying_effects.png").read_bytes()
    (folder / f"{name}_lead.png").write_bytes(png)
    first = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith("# "))
    title, _, rest = notebook.cells[first].source.partition("\n")
    text = f"{title}\n\n![{alt.replace('[', '(').replace(']', ')')}]({name}_lead.png)\n\n{rest.strip()}"
    notebook.cells[first] = new_markdown_cell(text)


def error_index() -> str:
    """Every class of mixedfx/errors.py: what it means, and what to do."""
    sys.path.insert(0, str(HERE))
    from what_to_do import WHAT_TO_DO

    from mixedfx import errors

    lines = [
        "# Errors and warnings",
        "",
        "An error says what is wrong, where it is and the line that mends it. A warning comes with an answer that has "
        "a caveat. Each has a class of its own, in `mixedfx.errors`, so that one can be silenced or made an error:",
        "",
        "```python",
        "import warnings",
        "import mixedfx as mx",
        "",
        'warnings.filterwarnings("ignore", category=mx.errors.SingularFitWarning)  # I know',
        'warnings.filterwarnings("error", category=mx.errors.ConvergenceWarning)  # stop there',
        "```",
        "",
        "All errors are `mixedfx.errors.MixedfxError`, all warnings `mixedfx.errors.MixedfxWarning`.",
    ]
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    order = {name: i for i, name in enumerate(vars(errors))}
    classes.sort(key=lambda c: order[c.__name__])
    for heading, base in (("Errors", errors.MixedfxError), ("Warnings", errors.MixedfxWarning)):
        lines += ["", f"## {heading}"]
        for one in classes:
            if issubclass(one, base) and one is not base:
                meaning = inspect.cleandoc(one.__doc__ or "").split("\n\n")[0].replace("\n", " ")
                parent = one.__bases__[0].__name__
                kind = "" if parent == base.__name__ else f" *(a {parent})*"
                lines += [
                    "",
                    f"### {one.__name__}",
                    "",
                    f"{meaning}{kind}",
                    "",
                    f"**What to do.** {WHAT_TO_DO[one.__name__]}",
                ]
    return "\n".join(lines) + "\n"


def reference() -> dict[str, str]:
    """Name of a page -> its text: functions and what they return, with signatures and examples."""
    sys.path.insert(0, str(HERE))
    from reference import PAGES

    made = {}
    for name, (title, intro, functions, classes) in PAGES.items():
        lines = [title, "=" * len(title), "", intro, ""]
        for function in functions:
            kind = "autoclass" if function[0].isupper() else "autofunction"
            lines += [f".. {kind}:: mixedfx.{function}", ""]
            if kind == "autoclass":
                # What scikit-learn puts on every estimator is described there.
                lines[-1:] = ["   :members:", "   :exclude-members: set_fit_request, set_score_request", ""]
        for path in classes:
            lines += [f".. autoclass:: {path}()", "   :members:", "   :inherited-members:", ""]
        made[name] = "\n".join(lines)
    listed = "\n".join(f"   {name}" for name in PAGES)
    made["index"] = (
        "Reference\n=========\n\nEvery public function, by what it is for.\n\n"
        f".. toctree::\n   :maxdepth: 2\n\n{listed}\n"
    )
    return made


def generate(quick: bool) -> None:
    """Write docs/_made."""
    shutil.rmtree(MADE, ignore_errors=True)
    for folder in ("stories", "reference"):
        (MADE / folder).mkdir(parents=True)
    (MADE / "errors.md").write_text(error_index(), encoding="utf-8")
    for name, text in reference().items():
        (MADE / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")
    for name in STORIES:
        began = time.perf_counter()
        story(name, quick)
        print(f"{name}  ({time.perf_counter() - began:.0f} s)")
    for name in ("RESULTS", "GLMER", "SCALING"):
        text = (ROOT / "benchmarks" / f"{name}.md").read_text(encoding="utf-8")
        # The site's names of these files are small.
        text = re.sub(r"\]\((RESULTS|GLMER|SCALING)\.md", lambda found: f"]({found[1].lower()}.md", text)
        (MADE / f"{name.lower()}.md").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "benchmarks" / "scaling.png", MADE)
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (MADE / "changelog.md").write_text(text, encoding="utf-8")


class Links(HTMLParser):
    """Where a page points, and what it can be pointed at."""

    def __init__(self) -> None:
        super().__init__()
        self.out: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.out.append(value)
                if name == "src" or (tag == "link" and ("rel", "stylesheet") in attrs):
                    self.loaded.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Links within the site that lead nowhere, and whatever would be loaded from elsewhere."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        if "_static" in path.relative_to(site).parts:  # templates that the theme keeps there
            continue
        links = Links()
        links.feed(path.read_text(encoding="utf-8"))
        pages[path.resolve()] = links
    found = []
    for path, links in pages.items():
        loaded = (link for link in links.loaded if re.match(r"^(https?:)?//", link))
        found += [f"{path.relative_to(site)}: loads {link}" for link in loaded]
        for link in links.out:
            if re.match(r"^(//|(https?|mailto|data|javascript):)", link):
                continue
            name, anchor = urldefrag(unquote(link))
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            if target.is_dir():
                target = target / "index.html"
            if not target.exists():
                found.append(f"{path.relative_to(site)}: {link}")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{path.relative_to(site)}: {link} (no such place)")
    return found


def main(arguments: list[str]) -> int:
    """Generate, build, check."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--quick", action="store_true", help="leave the vignettes unexecuted")
    options = parser.parse_args(arguments)
    # The kernels inherit these; under Agg they would draw pictures and show none.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    generate(options.quick)
    from sphinx.cmd.build import build_main

    shutil.rmtree(SITE.parent, ignore_errors=True)
    code = build_main(
        ["-W", "--keep-going", "-q", "-b", "html", "-d", str(SITE.parent / "doctrees"), str(HERE), str(SITE)]
    )
    if code:
        return code
    broken = broken_links(SITE)
    for line in broken:
        print(f"broken link: {line}", file=sys.stderr)
    words = (SITE / "searchindex.js").read_text(encoding="utf-8")
    missing = [word for word in ("singular", "satterthwaite", "lmer") if word not in words]
    if missing:
        print(f"the search does not know {missing}", file=sys.stderr)
    print(f"{SITE / 'index.html'}: {len(list(SITE.rglob('*.html')))} pages")
    return 1 if broken or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
