"""Exit codes: 0 done, 1 a defect, 2 bad input, 130 interrupted, 141 closed pipe; a traceback only when asked for."""

import os
import pty
import subprocess
import sys

import pytest

import mixedfx as mx
from mixedfx.cli.app import run

EFFECTS = ["effects", "math ~ small + (1 | sch)", "star"]
SMALL = [*EFFECTS, "--treatment", "small"]

META = ["meta", "yi ~ 1", "school_calendars"]
NESTED = ["meta", "yi ~ 1 + (1 | district)", "school_calendars"]
ROBMA = ["robma", "yi ~ 1", "school_calendars"]

BAD_INPUT = {
    "unknown command": (["fti"], "No such command 'fti'"),
    "no formula": (["fit"], "Missing argument 'FORMULA'"),
    "no data": (["fit", "math ~ small"], "Missing argument 'DATA'"),
    "unknown option": (["fit", "math ~ small", "star", "--reml"], "--reml"),
    "no treatment": (EFFECTS, "Missing option '--treatment'"),
    "level is no number": ([*SMALL, "--level", "high"], "Invalid value for '--level'"),
    "level out of range": ([*SMALL, "--level", "95"], "--level 95 does not lie between 0 and 1"),
    "level is NaN": ([*SMALL, "--level", "nan"], "--level nan"),
    "missing file": (["fit", "math ~ small", "none.csv"], "none.csv: no such file"),
    "unknown data set": (["fit", "math ~ small", "sleepstudy"], "neither a file nor a data set"),
    "unknown column": (["fit", "maths ~ small", "star"], "Did you mean 'math'?"),
    "response is text": (["fit", "race ~ small", "star"], "race"),
    "one level": (["fit", "y ~ x + (1 | g)", "one_level.csv"], "g"),
    "unsafe formula": (["fit", "math ~ __import__('os').system('true')", "star"], "__import__"),
    "unknown weights": (["fit", "math ~ small", "star", "--precision-weights", "w"], "'w'"),
    "treatment not in the model": ([*EFFECTS, "--treatment", "smal"], "Did you mean 'small'?"),
    "unknown by": ([*SMALL, "--by", "race,gendr"], "Did you mean 'gender'?"),
    "empty by": ([*SMALL, "--by", "race,"], "lacks a column"),
    "subgroup without a name": ([*SMALL, "--subgroup", "race == 'Black'"], "Write a name, a colon and a query"),
    "two subgroups of a name": ([*SMALL, "--subgroup", "a: small == 1", "--subgroup", "a: small == 0"], "twice"),
    "subgroup of nobody": ([*SMALL, "--subgroup", "none: small == 7"], "none"),
    "unknown level": ([*SMALL, "--subgroup", "a: race == 'black'"], "Did you mean 'Black'?"),
    "query is code": ([*SMALL, "--subgroup", "a: __import__('os')"], "__import__"),
    "unknown column of newdata": ([*SMALL, "--newdata", "one_level.csv", "--weights", "N"], "no column 'N'"),
    "format of the picture": ([*SMALL, "--plot", "plot.docx"], "must end in .png"),
    "folder of the picture": ([*SMALL, "--plot", "none/plot.png"], "there is no folder 'none'"),
    "format of the numbers": ([*SMALL, "--json", "out.txt"], "must end in .json"),
    "unknown estimator": ([*META, "--method", "DLL"], "method='DLL' is not known"),
    "unknown test": ([*META, "--test", "F"], "--test='F' is not known"),
    "estimator of independent effects": ([*NESTED, "--method", "DL"], "the formula has random terms"),
    "test of independent effects": ([*NESTED, "--test", "knha"], "the formula has random terms"),
    "both kinds of errors": ([*META, "--vi", "vi", "--sei", "vi"], "both --vi and --sei"),
    "no errors": (["meta", "y ~ 1", "one_level.csv"], "no column 'vi'"),
    "errors of zero": (["meta", "y ~ 1", "one_level.csv", "--sei", "x"], "standard error"),
    "errors of zero, levels": (["meta", "y ~ 1 + (1 | g)", "one_level.csv", "--sei", "x"], "x is a standard error"),
    "unknown clusters": ([*META, "--cluster", "distric"], "Did you mean 'district'?"),
    "clusters that cut districts": ([*NESTED, "--cluster", "school"], "not independent"),
    "unknown measure": ([*META, "--measure", "XX"], "measure='XX' is not known"),
    "measure without columns": ([*META, "--measure", "RR"], "needs ai="),
    "columns without a measure": ([*META, "--columns", "ai=a"], "--columns goes with --measure"),
    "columns that cannot be read": ([*META, "--measure", "RR", "--columns", "ai"], "Write --columns ai=tpos"),
    "a column named twice": ([*META, "--measure", "RR", "--columns", "ai=a,ai=b"], "names ai= twice"),
    "unknown column of a measure": ([*META, "--measure", "IRLN", "--columns", "xi=study,ti=yeer"], "'year'"),
    "measure and errors": (
        [*META, "--measure", "IRLN", "--columns", "xi=study,ti=year", "--vi", "vi"],
        "Leave one out",
    ),
    "unknown scale": ([*META, "--transf", "logg"], "logg"),
    "level of a meta-analysis": ([*META, "--level", "95"], "95"),
    "funnel with moderators": (["meta", "yi ~ year", "school_calendars", "--funnel", "f.png"], "without moderators"),
    "format of the forest": ([*META, "--forest", "forest.txt"], "must end in .png"),
    "random terms of averaged models": (["robma", *NESTED[1:]], "Name what estimates share: --cluster"),
    "unknown hypotheses of bias": ([*ROBMA, "--bias", "3w"], "--bias='3w' is not known"),
    "unknown priors": ([*ROBMA, "--priors", "robma5"], "--priors='robma5' is not known"),
    "priors without a unit": ([*ROBMA, "--priors", "robma4"], "--priors robma4 needs to know"),
    "measure without a way to d": ([*ROBMA, "--measure", "RR"], "measure='RR' is none"),
    "unknown mechanism": ([*ROBMA, "--mechanism", "jont"], "--mechanism='jont' is not known"),
    "unknown direction": ([*ROBMA, "--direction", "up"], "--direction='up' is not known"),
    "clusters to test are not named": ([*ROBMA, "--test-clusters"], "--test-clusters goes with --cluster"),
    "unknown clusters of averaged models": ([*ROBMA, "--cluster", "distric"], "Did you mean 'district'?"),
    "sample sizes that are none": ([*ROBMA, "--measure", "SMD", "--ni", "school"], "samples of 3 or fewer"),
    "both errors of averaged models": ([*ROBMA, "--vi", "vi", "--sei", "vi"], "both --vi and --sei"),
    "averaged columns without a measure": ([*ROBMA, "--columns", "ai=a"], "--columns goes with --measure"),
    "averaged columns that are not there": (
        [*ROBMA, "--measure", "COR", "--columns", "ri=yi,ni=yeer"],
        "Did you mean 'year'?",
    ),
    "averaged columns and errors": (
        [*ROBMA, "--measure", "COR", "--columns", "ri=yi,ni=year", "--vi", "vi"],
        "Leave one out",
    ),
    "level of averaged models": ([*ROBMA, "--level", "95"], "95"),
    "unknown moderator of averaged models": (["robma", "yi ~ yeer", *ROBMA[2:]], "Did you mean 'year'?"),
    "weights of models without": (
        [*ROBMA, "--measure", "SMD", "--bias", "none", "--weights", "w.png"],
        "weight function",
    ),
    "format of averaged pictures": ([*ROBMA, "--models", "models.doc"], "must end in .png"),
    "place of the demo": (["demo", "--plot", "none/plot.png"], "there is no folder 'none'"),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_level.csv").write_text("y,x,g\n" + "".join(f"{i * i % 7},{i},a\n" for i in range(9)))
    return tmp_path


def mixedfx(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "mixedfx", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_code_2_and_one_line(case, capsys, here):
    arguments, message = BAD_INPUT[case]
    before = sorted(os.listdir(here))
    assert run(arguments) == 2
    shown, said = capsys.readouterr()
    assert shown == ""
    assert message in said
    errors = [line for line in said.splitlines() if line.startswith("mixedfx: ")]
    assert len(errors) == 1
    assert "Traceback" not in said
    assert sorted(os.listdir(here)) == before


def test_a_formula_error_points_at_the_character(capsys):
    assert run(["fit", "math ~ small + 1|sch", "star"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].strip() == "math ~ small + 1|sch"
    assert lines[2].index("^") == lines[1].index("|")


def test_codes_of_the_process(here):
    bad = mixedfx("fit", "math ~ small", "none.csv", cwd=here)
    assert (bad.returncode, bad.stdout, bad.stderr) == (2, "", "mixedfx: none.csv: no such file\n")
    done = mixedfx("--version", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_defect_is_code_1_and_asks_for_a_report(capsys, monkeypatch):
    monkeypatch.setattr(mx, "lmer", lambda *_, **__: 1 / 0)
    monkeypatch.delenv("MIXEDFX_DEBUG", raising=False)
    assert run(["fit", "math ~ small", "star"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mixedfx: unexpected ZeroDivisionError: division by zero. Please report")
    assert said.count("\n") == 1
    monkeypatch.setenv("MIXEDFX_DEBUG", "1")
    assert run(["fit", "math ~ small", "star"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_warning_made_an_error_is_bad_input(capsys):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", mx.errors.FewLevelsWarning)
        assert run(["fit", "math ~ small + (1 | race)", "star"]) == 2
    assert "race" in capsys.readouterr().err


def test_an_interrupt_is_code_130(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(mx, "lmer", interrupt)
    assert run(["fit", "math ~ small", "star"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [["datasets"], ["--help"]])
def test_a_closed_pipe_is_silent(command):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.Popen([sys.executable, "-m", "mixedfx", *command], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    _, said = process.communicate(timeout=120)
    assert said == b""
    assert process.returncode == 141


def test_progress_is_for_terminals_only():
    """In a pipe standard error stays empty; on a terminal it shows what is being done, and takes it away again."""
    piped = mixedfx("fit", "math ~ small + (1 | sch)", "star")
    assert piped.stderr == ""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "mixedfx", "fit", "math ~ small + (1 | sch)", "star"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env={**os.environ, "TERM": "xterm"})
    os.close(end)
    shown, _ = process.communicate(timeout=120)
    said = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert process.returncode == 0
    assert "fitting the model" in said
    assert shown.decode() == piped.stdout


def test_a_full_disk_behind_standard_output_is_one_line():
    """``mixedfx fit ... > file`` where the disk is full; /dev/full is such a disk."""
    command = [sys.executable, "-m", "mixedfx", "datasets"]
    with open("/dev/full", "w") as full:
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2
    assert found.stderr == "mixedfx: the output cannot be written (No space left on device)\n"
