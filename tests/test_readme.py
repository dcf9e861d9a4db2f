"""What the README tells a newcomer to type works."""

import re
import shlex
from pathlib import Path

import pytest

from mixedfx.cli.app import run

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = blocks("sh")[0].replace("\\\n", " ").splitlines()


def test_the_first_lines_print_what_stands_below_them(capsys):
    """As one text: the README folds lines that are long."""
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == blocks("text")[0].split()
    assert README.index("```text") < README.index("## "), "on the first screen"
    assert len(blocks("python")[0].strip().splitlines()) <= 7


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[1], "README.md", "exec"), {})
    assert "Linear mixed model fit by REML" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} >= {"forest.png", "for_whom.html"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "mixedfx"
    assert run(arguments) == 0
    shown, noted = capsys.readouterr()
    assert shown
    assert noted == ""
    written = {"out.png", "out.json"} if "--plot" in arguments else set()
    written |= {arguments[arguments.index("--out") + 1]} if "--out" in arguments else set()
    assert {path.name for path in tmp_path.iterdir()} == written


def test_pictures_and_documents_it_points_at_exist():
    root = Path(__file__).resolve().parent.parent
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (root / target).is_file()] == []
    assert (root / "docs" / "star_forest.png").stat().st_size < 100_000
