"""Vignettes executed in this process, once for all tests about them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "vignettes"


@dataclass(frozen=True)
class Vignette:
    """A vignette after its run.

    cells: (header, body) in order. names: what its code left behind. prose: its text cells, placeholders filled in.
    """

    cells: list[tuple[str, str]]
    names: dict[str, Any]
    prose: list[str]


@pytest.fixture(scope="session")
def build() -> Any:
    """Give the module vignettes/build.py."""
    spec = importlib.util.spec_from_file_location("vignettes_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells_of(name: str) -> list[tuple[str, str]]:
    """(header, body) of the cells of a vignette, without running it."""
    pieces = re.split(r"(?m)^# %%(.*)$", (FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


@pytest.fixture(scope="session")
def read_vignette() -> Callable[[str], list[tuple[str, str]]]:
    """Give a function that reads the cells of a vignette by its name."""
    return cells_of


@pytest.fixture(scope="session")
def run_vignette(build: Any) -> Callable[[str], Vignette]:
    """Give a function that runs a vignette by its name, cell after cell, as a notebook would."""
    import matplotlib
    import matplotlib.pyplot as plt

    @cache
    def run(name: str) -> Vignette:
        cells = cells_of(name)
        names: dict[str, Any] = {"__name__": name}
        prose = []
        plt.switch_backend("Agg")
        with matplotlib.rc_context():
            for header, body in cells:
                if "[markdown]" in header:
                    plain = re.sub(r"(?m)^# ?", "", body)
                    prose.append(build.PLACEHOLDER.sub(lambda m: eval(f'f"""{{{m[1].strip()}}}"""', names), plain))
                else:
                    exec(compile(body, name, "exec"), names)
                    plt.close("all")
        return Vignette(cells, names, prose)

    return run


@pytest.fixture(scope="session")
def filled() -> Callable[[Vignette], bool]:
    """Give a function that says whether the prose of a vignette is there, every number of it filled in."""

    def complete(run: Vignette) -> bool:
        odd = any("{{" in text or re.search(r"\bnan\b", text) for text in run.prose)
        return len(run.prose) > 3 and not odd

    return complete
