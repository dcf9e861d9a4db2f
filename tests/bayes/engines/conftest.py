"""A stand-in for CmdStan, and cmdstanpy led to it."""

from pathlib import Path

import pytest

from tests.bayes.engines import standin


@pytest.fixture(scope="session", autouse=True)
def kept_executables(pytestconfig):
    """Executables of the real CmdStan, where it is installed, in the cache of pytest: compiled once for many runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXEDFX_CACHE", str(pytestconfig.cache.mkdir("mixedfx")))
        yield


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Variables of the environment that lead cmdstanpy to the stand-in, set for this test and given."""
    variables = standin.install(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def log(environment):
    """Lines that the stand-ins have written so far, as a function."""
    path = Path(environment["STANDIN_LOG"])
    return lambda: path.read_text().splitlines() if path.is_file() else []
