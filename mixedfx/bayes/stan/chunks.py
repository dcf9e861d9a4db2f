"""Chunks of Stan text, and the blocks of a program that they are gathered in.

A chunk is a file in ``mixedfx/_stan``. After a comment on what it is for come sections, each headed by ``//@`` and the
block its lines belong to::

    //@ parameters each
    vector[J_${t}] std_u_${t}@;  // effects over their standard deviation
    //@ transformed parameters each
    vector[J_${t}] u_${t}@ = sd_${t}@ * std_u_${t}@;  // effects of the levels

``${t}`` is filled in. A section that is for ``each`` linear predictor marks the variables of a predictor with ``@``. In
most models there is one predictor and the mark goes. A categorical response has one for each category but the first:
there declarations become arrays, and definitions and statements move into one loop over the categories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template

BLOCKS = (
    "functions",
    "data",
    "transformed data",
    "parameters",
    "transformed parameters",
    "model",
    "generated quantities",
)
EACH = "array[C - 1] "
LOOP = "for (c in 1:(C - 1)) {"


@cache
def chunk(name: str) -> dict[str, str]:
    """Sections of one chunk file: block (with ``" each"`` where it is) -> text."""
    text = files("mixedfx").joinpath("_stan", *f"{name}.stan".split("/")).read_text(encoding="utf-8")
    sections: dict[str, str] = {}
    for part in text.split("//@ ")[1:]:
        head, _, body = part.partition("\n")
        sections[head.strip()] = body.rstrip("\n")
    return sections


@dataclass
class Blocks:
    """A program while it is put together.

    Attributes
    ----------
    nominal
        Whether there is a linear predictor for each category but the first.
    lines
        Block -> its lines so far.
    loops
        Block -> lines of its loop over predictors.
    """

    nominal: bool
    lines: dict[str, list[str]] = field(default_factory=lambda: {block: [] for block in BLOCKS})
    loops: dict[str, list[str]] = field(default_factory=lambda: {block: [] for block in BLOCKS})
    _heading: str = ""
    _headed: set[tuple[str, str]] = field(default_factory=set)
    _functions: set[str] = field(default_factory=set)

    def head(self, heading: str) -> None:
        """Put a comment before whatever is added next, in each block that something is added to."""
        self._heading = heading

    def add(self, name: str, /, **values: str) -> None:
        """Add a chunk, its ``${...}`` filled in."""
        for section, template in chunk(name).items():
            text = "\n".join(line for line in Template(template).substitute(values).split("\n") if line)
            block = section.removesuffix(" each").removesuffix("${each}")
            each = section.endswith(" each") or (section.endswith("${each}") and bool(values["each"]))
            if text:
                self.put(block, text, each)

    def put(self, block: str, text: str, each: bool = False) -> None:
        """Add lines to a block; `each` marks those that belong to each predictor. A function is added once."""
        if block == "functions" and text in self._functions:
            return
        if self._heading and (block, self._heading) not in self._headed and block != "functions":
            self._headed.add((block, self._heading))
            if block in ("data", "parameters"):
                gap = [""] if self.lines[block] else []
                self.lines[block] += [*gap, f"// {self._heading}"]
        if block == "functions":
            self._functions.add(text)
            self.lines[block] += [""] if self.lines[block] else []
        if not (each and self.nominal):
            self.lines[block] += text.replace("@", "").split("\n")
        elif block == "parameters":
            self.lines[block] += [EACH + line.replace("@", "") for line in text.split("\n")]
        elif block == "model":
            self.loops[block] += text.replace("@", "[c]").split("\n")
        else:
            for statement in _statements(text):
                self._define(block, statement)

    def _define(self, block: str, statement: str) -> None:
        """Split a definition into its declaration, as an array, and its assignment, in the loop."""
        before, _, after = statement.partition("=")
        code, _, comment = after.partition(";")
        kind, _, name = before.replace("@", "").strip().rpartition(" ")
        self.lines[block].append(f"{EACH}{kind} {name};{comment}")
        self.loops[block] += f"{name}[c] = {code.strip().replace('@', '[c]')};".split("\n")

    def text(self) -> str:
        """The program."""
        out = []
        for block in BLOCKS:
            lines = list(self.lines[block])
            if self.loops[block]:
                lines += [LOOP, *(f"  {line}" for line in self.loops[block]), "}"]
            if lines:
                out += ["", f"{block} {{", *(f"  {line}" if line else "" for line in lines), "}"]
        return "\n".join(out) + "\n"


def _statements(text: str) -> list[str]:
    """Split a section into definitions, each with the comment that follows it."""
    found: list[str] = []
    for line in text.split("\n"):
        if line.startswith("  ") and found:
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found
