"""The built wheel, in an empty environment outside the checkout, runs the demo.

No network: the wheel is built without isolation, and the new environment finds the dependencies, but not the checkout,
through a path file that names the site-packages of the environment the tests run in.
"""

import os
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Folder of a virtual environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    # Path files are not followed twice, so the editable install of the checkout stays out of reach.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def clean():
    """Environment variables of a shell that knows nothing of the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "PYTEST"))}


def test_the_wheel_holds_code_types_and_data_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "mixedfx/__init__.py",
        "mixedfx/py.typed",
        "mixedfx/datasets/_data/star.csv.gz",
        "mixedfx/datasets/_data/school_calendars.csv",
    ):
        assert needed in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mixedfx"}
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "mixedfx").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == code
    assert any(name.endswith("licenses/LICENSE") for name in names)
    chunks = {str(path.relative_to(ROOT)) for path in (ROOT / "mixedfx" / "_stan").rglob("*.stan")}
    assert {name for name in names if name.endswith(".stan")} == chunks
    assert len(chunks) > 30


def test_the_wheel_writes_stan_programs(environment, tmp_path):
    code = (
        "import mixedfx as mx; course = mx.datasets.load('flipped_classroom'); "
        "print(mx.stan_code('score ~ style + (1 + style | professor)', course))"
    )
    text = run(environment / "bin" / "python", "-c", code, cwd=tmp_path, env=clean()).stdout
    assert "y ~ normal_id_glm(Xc, eta, beta, sigma);" in text


def test_the_installed_package_is_the_wheels(environment, tmp_path):
    code = "import mixedfx, pandas; print(mixedfx.__file__); print(pandas.__file__)"
    ours, theirs = run(environment / "bin" / "python", "-c", code, cwd=tmp_path, env=clean()).stdout.split()
    assert Path(ours).is_relative_to(environment)
    assert not Path(theirs).is_relative_to(environment)


def test_the_demo_runs_from_the_wheel(environment, tmp_path):
    start = time.monotonic()
    shown = run(environment / "bin" / "mixedfx", "demo", cwd=tmp_path, env=clean()).stdout
    # Ten seconds are promised for an idle machine, first compilation included; other tests may share this one.
    assert time.monotonic() - start < 30
    assert "Linear mixed model fit by REML" in shown
    rows = [line.split()[:3] for line in shown.splitlines()]
    for race in ("Black", "White"):
        for gender in ("boy", "girl"):
            for lunch in ("free", "paid"):
                assert [race, gender, lunch] in rows
    assert (tmp_path / "demo-output" / "star_forest.png").read_bytes().startswith(b"\x89PNG")
