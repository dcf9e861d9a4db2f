"""Execute the vignettes and write them as HTML.

Usage: python vignettes/build.py [NAME ...]      (all of them where no name is given)

A vignette is a Python script in jupytext's percent format. Three conventions go beyond it:

* ``{{difference:.1f}}`` in a text cell is replaced by the value at that place of the run, formatted as in an f-string, so
  that no number in the prose can differ from the computation.
* The tag ``fold`` hides the code of a cell under a line to click on.
* ``alt="..."`` in the header of a cell is the description of its picture for those who cannot see it; of such a cell
  nothing but the picture is shown.

The result is vignettes/_build/NAME.html, pictures included.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TARGET = HERE / "_build"
PLACEHOLDER = re.compile(r"\{\{(.+?)\}\}")


def sources(names: list[str]) -> list[Path]:
    """Paths of the vignettes named, or of all."""
    found = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.name != Path(__file__).name}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise SystemExit(f"no vignette {', '.join(unknown)}; there are: {', '.join(found)}")
    return [found[name] for name in names or found]


def prose_code(text: str) -> str:
    """Python code that shows `text` as Markdown with its placeholders filled in."""
    pieces = PLACEHOLDER.split(text)
    # re.split alternates literal text and the captured expressions.
    parts = [
        repr(piece) if position % 2 == 0 else f'f"""{{{piece.strip()}}}"""' for position, piece in enumerate(pieces)
    ]
    return f"__import__('IPython.display').display.Markdown(''.join([{', '.join(parts)}]))"


def read(path: Path) -> Any:
    """Notebook of a vignette; text cells with placeholders have become code cells tagged ``prose``."""
    import jupytext
    from nbformat.v4 import new_code_cell

    notebook = jupytext.read(path)
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and PLACEHOLDER.search(cell.source):
            notebook.cells[position] = new_code_cell(prose_code(cell.source), metadata={"tags": ["prose"]})
    return notebook


def settle(notebook: Any) -> None:
    """After execution: turn prose back into text cells, and leave pictures without the echo of their last line."""
    from nbformat.v4 import new_markdown_cell

    for position, cell in enumerate(notebook.cells):
        if "prose" in cell.metadata.get("tags", []):
            notebook.cells[position] = new_markdown_cell(cell.outputs[0].data["text/markdown"])
        pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        if pictures and "alt" not in cell.metadata:
            raise SystemExit(f"a picture has no description; add alt=... to its cell:\n{cell.source}")
        if pictures:
            cell.outputs = pictures


def build(path: Path) -> Path:
    """Execute one vignette; returns the path of its HTML."""
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    notebook = read(path)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(HERE)}},
    ).execute()
    settle(notebook)
    exporter = HTMLExporter(template_name="_template", extra_template_basedirs=[str(HERE)])
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    target = TARGET / f"{path.stem}.html"
    target.write_text(page, encoding="utf-8")
    return target


def main(names: list[str]) -> None:
    """Build the vignettes named on the command line."""
    # The kernel inherits this; under Agg (set by make) it would draw pictures and show none.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    TARGET.mkdir(exist_ok=True)
    for path in sources(names):
        began = time.perf_counter()
        target = build(path)
        print(f"{target}  ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main(sys.argv[1:])
