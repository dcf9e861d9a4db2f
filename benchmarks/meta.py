"""Meta-analyses of mixedfx and of metafor in turn, in one run: ``python benchmarks/meta.py [--cases NAME ...]``.

Each case is timed by processor time in a process of its own, with one thread: first mixedfx, then R. The estimates must
agree to 1e-4. ``bcg``: random effects by REML, 13 trials; ``konstantopoulos``: schools in districts, 56 estimates;
``large``: 5,000 effects in 800 studies, two levels, six moderators; ``robust``: CR2 with Satterthwaite's df of that;
``gosh``: 100,000 subsets of 56 estimates (1,000 by metafor, times 100).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parent / "tests" / "reference" / "meta"
CASES = ("bcg", "konstantopoulos", "large", "robust", "gosh")
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def write_data(folder: Path) -> None:
    """The data of all cases."""
    import numpy as np
    import pandas as pd

    pd.read_csv(REFERENCE / "bcg.csv").to_csv(folder / "bcg.csv", index=False)
    pd.read_csv(REFERENCE / "konstantopoulos2011.csv").to_csv(folder / "konstantopoulos.csv", index=False)
    rng = np.random.default_rng(1)
    study = np.sort(rng.integers(0, 800, 5000))
    data = pd.DataFrame({"study": study, "esid": np.arange(5000), "vi": rng.uniform(0.01, 0.2, 5000)})
    for j in range(1, 7):
        own = rng.normal(size=800)[study]
        data[f"x{j}"] = own if j <= 3 else 0.5 * own + rng.normal(size=5000)
    mean = 0.2 + 0.1 * data["x1"] - 0.05 * data["x4"]
    data["yi"] = mean + 0.3 * rng.normal(size=800)[study] + rng.normal(size=5000) * np.sqrt(0.04 + data["vi"])
    data.to_csv(folder / "large.csv", index=False)


def measure(case: str, folder: Path) -> dict[str, Any]:
    """Median processor seconds of mixedfx, and the coefficients."""
    import warnings

    import pandas as pd

    import mixedfx as mx

    warnings.simplefilter("ignore")
    name = {"robust": "large", "gosh": "konstantopoulos"}.get(case, case)
    data = pd.read_csv(folder / f"{name}.csv")
    fit: Any = None
    work: Callable[[], Any]
    if case == "bcg":
        work = lambda: mx.rma("yi ~ 1", data)  # noqa: E731
    elif case == "konstantopoulos":
        work = lambda: mx.rma_mv("yi ~ 1 + (1 | district/school)", data)  # noqa: E731
    elif case == "gosh":
        fit = mx.rma("yi ~ 1", data)
        work = lambda: fit.gosh(100_000, seed=1)  # noqa: E731
    else:
        formula = "yi ~ x1 + x2 + x3 + x4 + x5 + x6 + (1 | study/esid)"
        fit = mx.rma_mv(formula, data)
        work = (lambda: mx.rma_mv(formula, data)) if case == "large" else (lambda: fit.robust("study").tidy())
    found = work()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 2.0 and len(times) < 200):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    beta = (fit or found).beta
    return {"seconds": statistics.median(times), "estimate": [float(b) for b in beta]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--rscript", default="Rscript")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], Path(options.one[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        print(f"{'case':16} {'mixedfx':>10} {'metafor':>10} {'times':>7}")
        for case in options.cases:
            ours = _run([sys.executable, str(Path(__file__)), "--one", case, name])
            theirs = _run([options.rscript, str(HERE / "peers" / "metafor.R"), name, case])
            estimate = theirs["estimate"] if isinstance(theirs["estimate"], list) else [theirs["estimate"]]
            gap = max(abs(a - b) for a, b in zip(ours["estimate"], estimate, strict=True))
            if gap > 1e-4:
                raise SystemExit(f"{case}: estimates differ by {gap:.1e}")
            ratio = theirs["seconds"] / ours["seconds"]
            print(f"{case:16} {ours['seconds']:9.4f}s {theirs['seconds']:9.3f}s {ratio:6.1f}x", flush=True)


def _run(command: list[str]) -> dict[str, Any]:
    found = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
    return json.loads(found.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
