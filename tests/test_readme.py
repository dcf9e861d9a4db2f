"""What the README tells a newcomer to type works."""

import re
import shlex
from pathlib import Path

import pytest

from mixedfx.cli.app import run

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def block(language):
    """The one fenced block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return found


COMMANDS = block("sh").replace("\\\n", " ").splitlines()


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {})
    assert "Linear mixed model fit by REML" in capsys.readouterr().out
    assert (tmp_path / "forest.png").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "mixedfx"
    assert run(arguments) == 0
    shown, noted = capsys.readouterr()
    assert shown
    assert noted == ""
    written = {"out.png", "out.json"} if "--plot" in arguments else {"report.html"} if "--out" in arguments else set()
    assert {path.name for path in tmp_path.iterdir()} == written


def test_pictures_and_documents_it_points_at_exist():
    root = Path(__file__).resolve().parent.parent
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (root / target).is_file()] == []
    assert (root / "docs" / "star_forest.png").stat().st_size < 100_000
