"""A stand-in for an installation of CmdStan: everything cmdstanpy calls, without a compiler and without sampling.

`install` makes a folder with a makefile, a stanc and a make. The make "compiles" a program by writing an executable
that answers as CmdStan does: it copies the output that CmdStan 2.35.0 left for the program `SHAPES`
(tests/data/cmdstan) to where the command line says. cmdstanpy itself is the real one. The environment tells the
stand-ins to hang: ``STANDIN_HANG=make`` or ``STANDIN_HANG=sample``. Every call appends a line to ``STANDIN_LOG``.

The recordings were made by ``program <method> ... data file=data.json output file=<name>.csv sig_figs=8 refresh=0``,
with the data `SHAPES_DATA` and ``random seed=1``: ``sample num_warmup=50 num_samples=20 id=<1, 2>``, ``pathfinder
num_paths=2 num_psis_draws=40 num_draws=1000``, ``optimize jacobian=1``, ``laplace mode=optimize.csv jacobian=1
draws=40`` and ``variational output_samples=40``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

RECORDED = Path(__file__).resolve().parents[2] / "data" / "cmdstan"

LOG = """#!{python} -SE
import os, subprocess, sys, time
def log(what):
    if os.environ.get("STANDIN_LOG"):
        with open(os.environ["STANDIN_LOG"], "a") as file:
            file.write(f"{{what}} {{os.getpid()}}\\n")
def hang(what):
    if os.environ.get("STANDIN_HANG") == what:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        log(f"hanging {{child.pid}}")
        time.sleep(600)
"""

MAKE = """
import shutil
target = sys.argv[-1]
log("make " + " ".join(sys.argv[1:]))
open(target + ".hpp", "w").close()
time.sleep(float(os.environ.get("STANDIN_SECONDS", "0")))
hang("make")
text = open(target + ".stan").read()
if "refuse" in text:
    sys.exit("error: the compiler refuses")
shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "program"), target)
"""

STANC = """
text = open(sys.argv[-1]).read()
if "refuse" in text:
    sys.exit("Syntax error: stanc refuses")
print("{{}}")
"""

PROGRAM = """
import shutil
words = sys.argv[1:]
values = dict(word.split("=", 1) for word in words if "=" in word)
method = words[0]
if len(words) > 1 and words[1] == "method=pathfinder":
    method = "pathfinder"
for word in words:
    if word.startswith("method="):
        method = word.partition("=")[2]
if method == "info":
    print("stan_version_major = 2\\nstan_version_minor = 35\\nstan_version_patch = 0\")
    sys.exit()
output = [word.partition("=")[2] for word in words[words.index("output"):] if word.startswith("file=")][0]
log(f"{{method}} {{' '.join(words)}}")
if "fail" in values["file"] or os.environ.get("STANDIN_FAIL"):
    sys.exit("Initialization between (-2, 2) failed after 100 attempts.")
if method == "log_prob":
    with open(output, "w") as file:
        file.write("# CmdStan\\nlp__,g.1\\n-1.5,0.0\\n")
    sys.exit()
name = f"nuts_{{values.get('id', '1')}}" if method == "sample" else method
for done in range(0, 71, 10):
    phase = "Warmup" if done <= 50 else "Sampling"
    print(f"Iteration: {{done:2d}} / 70 [{{100 * done // 70:3d}}%]  ({{phase}})", flush=True)
hang("sample")
shutil.copy(os.path.join({recorded!r}, name + ".csv"), output)
"""


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, one that nobody has asked after included."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def install(folder: Path) -> dict[str, str]:
    """Make the installation; returns the environment that leads cmdstanpy to it and the cache beside it."""
    cmdstan = folder / "cmdstan-2.35.0"
    (cmdstan / "bin").mkdir(parents=True)
    (cmdstan / "makefile").write_text("CMDSTAN_VERSION := 2.35.0\n")
    fill = {"python": sys.executable, "recorded": str(RECORDED)}
    for path, code in {"bin/stanc": STANC, "bin/make": MAKE, "bin/program": PROGRAM}.items():
        script = cmdstan / path
        script.write_text((LOG + code).format(**fill))
        script.chmod(0o755)
    return {
        "CMDSTAN": str(cmdstan),
        "MAKE": str(cmdstan / "bin" / "make"),
        "MIXEDFX_CACHE": str(folder / "cache"),
        "STANDIN_LOG": str(folder / "log"),
    }
