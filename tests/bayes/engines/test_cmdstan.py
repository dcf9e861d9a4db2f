"""The engine cmdstan up to the call of CmdStan and from its output on: cmdstanpy's own classes, a stand-in executable.

`standin.py` says what stands in for what. `test_cmdstan_installed.py` repeats the essentials with CmdStan itself.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cmdstanpy
import numpy as np
import psutil
import pytest

from mixedfx.bayes.engines import cache
from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.engines.cmdstan import CmdStan
from mixedfx.bayes.engines.cmdstan_output import read_output
from mixedfx.errors import MissingPackageError, ModelError
from tests.bayes.engines.programs import SHAPES, SHAPES_DATA, SHAPES_KEEP, SHAPES_OF
from tests.bayes.engines.standin import RECORDED, is_gone

ENGINE = CmdStan()
RECORDED_AS = Settings(seed=1, chains=2, draws=40, warmup=50)


def column(name, file="nuts_1.csv"):
    """A column of a recording, read by hand."""
    rows = [line for line in (RECORDED / file).read_text().splitlines() if line and not line.startswith("#")]
    at = rows[0].split(",").index(name)
    return np.array([float(row.split(",")[at]) for row in rows[1:]])


def test_recorded_draws_have_the_shapes_of_the_program():
    fit = cmdstanpy.from_csv([str(RECORDED / f"nuts_{chain}.csv") for chain in (1, 2)])
    variables, sampler = read_output(fit, RECORDED_AS, [*SHAPES_KEEP, "unknown"])
    assert {name: value.shape for name, value in variables.items()} == {
        name: (2, 20, *shape) for name, shape in SHAPES_OF.items() if name != "z"
    }
    for chain in (0, 1):
        file = f"nuts_{chain + 1}.csv"
        assert np.array_equal(variables["B"][chain, :, 1, 2], column("B.2.3", file))
        assert np.array_equal(variables["v"][chain, :, 0, 1], column("v.1.2", file))
        assert np.array_equal(variables["mu"][chain], column("mu", file))
        assert np.array_equal(sampler.energy[chain], column("energy__", file))
        assert np.array_equal(sampler.treedepth[chain], column("treedepth__", file))
        assert sampler.step_size[chain] == column("stepsize__", file)[0]
    assert sampler.max_treedepth == 10


def test_a_program_is_compiled_once_and_kept_away_from_sources(environment, log):
    first = ENGINE.executable(SHAPES)
    assert ENGINE.executable(SHAPES) == first
    assert first.is_relative_to(environment["MIXEDFX_CACHE"])
    assert sorted(path.name for path in first.parent.iterdir()) == ["program", "program.stan"]
    assert (first.parent / "program.stan").read_text() == SHAPES
    assert len([line for line in log() if line.startswith("make")]) == 1
    assert cache.cache_table()["bytes"].sum() > 0


def test_text_options_and_installation_each_have_their_own_executable(environment, log):
    """Threads are compiled in; a changed makefile is another CmdStan at the same place."""
    places = [ENGINE.executable(SHAPES), ENGINE.executable(SHAPES + "\n"), ENGINE.executable(SHAPES, threads=True)]
    (Path(environment["CMDSTAN"]) / "makefile").write_text("CMDSTAN_VERSION := 2.36.0\n")
    places.append(ENGINE.executable(SHAPES))
    assert len(set(places)) == 4
    makes = [line for line in log() if line.startswith("make")]
    assert ["STAN_THREADS=True" in line for line in makes] == [False, False, True, False]


def test_a_cache_in_a_folder_with_a_space(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXEDFX_CACHE", str(tmp_path / "my cache"))
    assert ENGINE.executable(SHAPES).is_file()


def test_settings_are_in_the_command_line_of_every_chain(environment, log):
    settings = Settings(seed=7, chains=2, draws=40, warmup=50, adapt_delta=0.93, max_treedepth=12)
    draws = ENGINE.sample(SHAPES, SHAPES_DATA, settings, SHAPES_KEEP)
    calls = [line.split() for line in log() if line.startswith("sample")]
    assert len(calls) == 2
    assert sorted(word for call in calls for word in call if word.startswith("id=")) == ["id=1", "id=2"]
    for call in calls:
        assert {"seed=7", "num_samples=20", "num_warmup=50", "delta=0.93", "max_depth=12", "sig_figs=17"} <= set(call)
    assert (draws.engine, draws.version, draws.algorithm) == ("cmdstan", "2.35.0", "nuts")
    assert list(draws.variables) == SHAPES_KEEP
    assert draws.variables["z"].shape == (2, 20, 0)
    assert np.array_equal(draws.variables["tau"][1], column("tau", "nuts_2.csv"))


@pytest.mark.parametrize("algorithm", ["pathfinder", "laplace", "variational"])
def test_approximations_leave_draws_in_the_layout_of_chains(environment, log, algorithm):
    settings = Settings(seed=1, chains=2, draws=40, algorithm=algorithm)
    draws = ENGINE.sample(SHAPES, SHAPES_DATA, settings, SHAPES_KEEP)
    recorded = column("B.2.3", f"{algorithm}.csv")[-40:]  # ADVI writes its mean first
    assert np.array_equal(draws.variables["B"][:, :, 1, 2].ravel(), recorded)
    assert {name: value.shape[2:] for name, value in draws.variables.items()} == SHAPES_OF
    assert draws.algorithm == algorithm
    assert not draws.sampler.divergent.any()
    assert np.isnan(draws.sampler.energy).all()
    density = {"pathfinder": "lp__", "laplace": "log_p__", "variational": "log_p__"}[algorithm]
    assert np.array_equal(draws.sampler.lp.ravel(), column(density, f"{algorithm}.csv")[-40:])
    called = next(line for line in log() if line.startswith(algorithm))
    assert {"pathfinder": "num_psis_draws=40", "laplace": "draws=40", "variational": "output_samples=40"}[
        algorithm
    ] in called.split()


def test_pathfinder_gives_each_chain_a_start_of_its_own(environment, log):
    ENGINE.sample(SHAPES, SHAPES_DATA, Settings(seed=1, chains=2, draws=40, warmup=50, inits="pathfinder"), ["mu"])
    calls = [line.split() for line in log()]
    assert [call[0] for call in calls if call[0] in ("pathfinder", "sample")] == ["pathfinder", "sample", "sample"]
    starts = {word for call in calls if call[0] == "sample" for word in call if word.startswith("init=")}
    assert len(starts) == 2


def test_nothing_is_left_behind_after_sampling(environment, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before, others = dict(os.environ), set(psutil.Process().children())  # workers of tests that ran before
    ENGINE.sample(SHAPES, SHAPES_DATA, RECORDED_AS, ["mu"])
    assert list(scratch.iterdir()) == []
    assert dict(os.environ) == before
    assert set(psutil.Process().children()) <= others


def test_progress_shows_every_chain(environment, capsys):
    settings = Settings(seed=1, chains=2, draws=40, warmup=50, progress=True)
    ENGINE.sample(SHAPES, SHAPES_DATA, settings, ["mu"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("70/70") == 2
    assert "CmdStan compiles" in said.err
    ENGINE.sample(SHAPES, SHAPES_DATA, settings, ["mu"])
    assert "CmdStan compiles" not in capsys.readouterr().err  # the second time it is there


def test_sampling_is_silent_otherwise(environment, capfd):
    ENGINE.sample(SHAPES, SHAPES_DATA, RECORDED_AS, ["mu"])
    assert capfd.readouterr() == ("", "")


def test_errors_carry_what_the_compiler_and_the_sampler_said(environment, monkeypatch):
    with pytest.raises(ModelError, match="stanc refuses"):
        ENGINE.check("refuse")
    with pytest.raises(ModelError, match="the compiler refuses"):
        ENGINE.executable("refuse")
    assert len(cache.cache_table()) == 0
    monkeypatch.setenv("STANDIN_FAIL", "1")
    with pytest.raises(ModelError, match=r"Initialization between[\s\S]*Check the data and the priors"):
        ENGINE.sample(SHAPES, SHAPES_DATA, RECORDED_AS, ["mu"])


def test_a_missing_make_is_told_from_a_program_that_does_not_compile(environment, monkeypatch):
    monkeypatch.setenv("MAKE", "no-such-make")
    with pytest.raises(MissingPackageError, match=r"no-such-make[\s\S]*engine='stanli'"):
        ENGINE.executable(SHAPES)


def test_what_is_missing_is_installed_by_one_command(monkeypatch, tmp_path):
    monkeypatch.delenv("CMDSTAN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingPackageError, match=r"CmdStan is not installed\npython -m cmdstanpy.install_cmdstan$"):
        ENGINE.sample(SHAPES, SHAPES_DATA, RECORDED_AS, ["mu"])
    monkeypatch.setenv("CMDSTAN", str(tmp_path / "gone"))
    assert (
        ENGINE.available()
        == f"CmdStan is not installed in CMDSTAN={tmp_path / 'gone'}\npython -m cmdstanpy.install_cmdstan"
    )
    monkeypatch.setitem(sys.modules, "cmdstanpy", None)
    with pytest.raises(MissingPackageError, match=r"cmdstanpy is not installed\npip install 'mixedfx\[bayes\]'$"):
        ENGINE.check(SHAPES)


def start(environment):
    """A process that samples, and says how it ends."""
    code = f"""
        import signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests behind it
        from mixedfx.bayes.engines.base import Settings
        from mixedfx.bayes.engines.cmdstan import CmdStan
        settings = Settings(seed=1, chains=3, draws=60, warmup=50, cores=2)
        try:
            CmdStan().sample({SHAPES!r}, {SHAPES_DATA!r}, settings, ["mu"])
        except KeyboardInterrupt:
            print("interrupted", threading.active_count())
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def hanging(log, expected):
    """Processes of the stand-ins that hang, and their children, once there are as many as expected."""
    deadline = time.monotonic() + 30
    while len(lines := [line for line in log() if line.startswith("hanging")]) < expected:
        assert time.monotonic() < deadline, log()
        time.sleep(0.02)
    children = [psutil.Process(int(line.split()[1])) for line in lines]
    return [parent for child in children if (parent := child.parent())] + children


@pytest.mark.parametrize(("what", "expected"), [("make", 1), ("sample", 2)])
def test_an_interrupt_leaves_no_process_and_no_half_written_entry(environment, log, what, expected):
    """Sent to Python alone, as a notebook does: what it started, and what that started, ends with it."""
    process = start({**environment, "STANDIN_HANG": what})
    started = hanging(log, expected)
    assert len(started) == 2 * expected
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "interrupted 1\n"
    assert all(is_gone(each) for each in started)
    entries = sorted(path.name for path in cache.programs_folder().iterdir())
    assert len(entries) == len(cache.cache_table()) == (0 if what == "make" else 1)


def test_a_process_killed_while_it_compiles_does_not_block_the_next(environment, log):
    """Its compiler is orphaned, and goes on writing into a folder that is no entry and never becomes one."""
    process = start({**environment, "STANDIN_HANG": "make"})
    orphans = hanging(log, 1)
    process.kill()
    process.communicate()
    try:
        assert ENGINE.executable(SHAPES).is_file()
        assert [path.name for path in cache.programs_folder().iterdir()] == cache.cache_table()["key"].tolist()
    finally:
        for orphan in orphans:
            orphan.kill()
