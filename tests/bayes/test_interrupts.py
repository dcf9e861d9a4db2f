"""Ctrl-C ends every engine with KeyboardInterrupt, soon, and leaves no fit that looks complete.

Each runs in a process of its own, which sends the signal to itself once the sampler is at work; the sampler alone would
run for many minutes.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, threading, time, warnings
import numpy as np, pandas as pd
import mixedfx as mx
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
rng = np.random.default_rng(0)
g = np.repeat(np.arange(20), 10)
data = pd.DataFrame({"g": g, "x": rng.normal(size=200), "y": rng.normal(size=20)[g] + rng.normal(size=200)})
options = dict(engine=ENGINE, seed=1, progress=False)
mx.bayes("y ~ x + (1 | g)", data, draws=8, chains=2, warmup=10, **options)  # imports, and what is compiled once
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
begin = time.monotonic()
try:
    fit = mx.bayes("y ~ x + (1 | g)", data, draws=DRAWS, chains=2, **options)
except KeyboardInterrupt:
    print(f"interrupted after {time.monotonic() - begin:.1f} s")
else:
    print(f"{fit.n_draws} draws came back")
"""


@pytest.mark.parametrize(("engine", "draws"), [("nuts", 2_000_000), ("collapsed", 6_000_000), ("stanli", 2_000_000)])
def test_an_interrupt_ends_the_engine(engine, draws):
    program = PROGRAM.replace("ENGINE", repr(engine)).replace("DRAWS", str(draws))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.startswith("interrupted after"), run.stdout + run.stderr
    assert float(run.stdout.split()[2]) < 30
    assert run.returncode == 0
