"""The engine cmdstan with CmdStan itself, wherever it is installed; `test_contract.py` has the contract of all engines.

This is the one file of the tests that may be left out, and it says why: CmdStan is no Python package, so that nothing
that installs mixedfx brings it. Executables are kept in pytest's own cache, since each takes up to a minute to compile.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from scipy import stats

from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.engines.cmdstan import CmdStan
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.errors import ModelError
from tests.bayes.engines.programs import BERNOULLI, BERNOULLI_DATA, REDUCE_SUM, SHAPES, SHAPES_DATA, UNCONSTRAINED
from tests.bayes.engines.standin import is_gone

ENGINE = CmdStan()
MISSING = ENGINE.available()

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING).replace("\n", ": "))


def test_its_log_density_is_that_of_stanli():
    """Two compilers, two interpreters of one language: equal to rounding in sums of up to 1e5."""
    points = np.random.default_rng(1).normal(size=(5, UNCONSTRAINED))
    theirs, ours = (engine.log_density(SHAPES, SHAPES_DATA, points) for engine in (ENGINE, Stanli()))
    assert theirs == pytest.approx(ours, rel=1e-12)


def test_a_conjugate_posterior_is_recovered_by_nuts_and_its_approximations():
    """beta(8, 4). Laplace and ADVI are normal on the logit scale, hence within a tenth of an sd or so of the mean."""
    exact = stats.beta(8, 4)
    for algorithm, tolerance in {"nuts": 0.01, "pathfinder": 0.02, "laplace": 0.03, "variational": 0.05}.items():
        draws = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1, draws=8000, algorithm=algorithm), ["p"])
        assert draws.variables["p"].shape == (4, 2000)
        assert draws.variables["p"].mean() == pytest.approx(exact.mean(), abs=tolerance), algorithm
        assert draws.variables["p"].std() == pytest.approx(exact.std(), rel=0.25), algorithm


def test_pathfinder_starts_chains_of_a_program_with_a_parameter_without_elements():
    draws = ENGINE.sample(SHAPES, SHAPES_DATA, Settings(seed=1, draws=400, inits="pathfinder"), ["tau", "z"])
    assert draws.variables["tau"].mean() == pytest.approx(2, abs=0.3)
    assert draws.variables["z"].shape == (4, 100, 0)


def test_threads_within_chains_sum_the_same_density(monkeypatch):
    data = {"N": 400, "y": [0, 1] * 200}
    draws = ENGINE.sample(REDUCE_SUM, data, Settings(seed=1, chains=2, draws=1000, threads=2), keep=["a"])
    # The likelihood has information N / 4 and the prior 1; both are symmetric about 0.
    assert draws.variables["a"].std() == pytest.approx(1 / np.sqrt(400 / 4 + 1), rel=0.15)
    assert draws.variables["a"].shape == (2, 500)


def test_data_that_do_not_fit_are_an_error_with_stans_message():
    with pytest.raises(ModelError, match="less than or equal to 1"):
        ENGINE.sample(BERNOULLI, {"N": 2, "y": [0, 2]}, Settings(seed=1), keep=["p"])


def test_progress_shows_every_chain(capsys):
    ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=0, draws=400, progress=True), ["p"])
    assert capsys.readouterr().err.count("1100/1100") == 4


def test_an_interrupt_ends_the_compiler(tmp_path):
    """With make, the compiler it called and what that called; nothing of the entry is left."""
    text = BERNOULLI + f"// {tmp_path}"  # a program never compiled before
    code = f"from mixedfx.bayes.engines.cmdstan import CmdStan; CmdStan().executable({text!r})"
    environment = {**os.environ, "MIXEDFX_CACHE": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 60
    # make, the driver of the compiler, the compiler
    while len(started := psutil.Process(process.pid).children(recursive=True)) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.rstrip().endswith(b"KeyboardInterrupt")
    assert all(is_gone(each) for each in started)
    assert list((tmp_path / "stan").iterdir()) == []
