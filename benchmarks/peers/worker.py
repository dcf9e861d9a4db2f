"""One package on one case, in a process of its own: reads a task, prints measurements as JSON lines.

Usage: ``python worker.py TASK.json OUT.jsonl``. The task names an adapter: a module of this folder with

* ``DISTRIBUTION``: the name of the package for its version;
* ``cannot(task)``: why the package cannot express the model, or None;
* ``prepare(frame, task)``: the data in the type the package is fastest with; not timed;
* ``fit(data, task)``: from formula and data to a fit; timed;
* ``describe(model, task)``: criterion, its method, standard deviations, evaluations; not timed;
* ``refit(model, data, responses, task)``: criteria of the model for further responses (columns); timed; may be missing.

A fit of the small warm-up problem comes first, so that imports and lazily made tables are not counted. The first fit of
the case itself gives the peak memory. Where it took less than `LONG` seconds it is not counted but repeated, and the
repetitions are what is reported. The process has one thread for each library (see `run.py`); processor time is written
beside wall time.

Nothing here imports mixedfx: its memory and its import are no part of what a peer costs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import io
import json
import math
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

SHORT, LONG = 0.1, 20.0
LEAST, MOST, ENOUGH, TOO_MUCH = 5, 100, 3.0, 30.0


def main(task_path: str, out_path: str) -> None:
    task = json.loads(Path(task_path).read_text())
    warnings.simplefilter("ignore")

    def write(record: dict[str, Any]) -> None:
        with Path(out_path).open("a") as out:
            out.write(json.dumps(_finite(record)) + "\n")

    try:
        adapter = importlib.import_module(f"peer_{task['adapter']}")
        version = importlib.metadata.version(adapter.DISTRIBUTION)
    except ImportError as error:
        write({"status": "missing", "reason": f"not installed: {error}"})
        return
    base = {"version": version, "started": time.strftime("%Y-%m-%d %H:%M:%S"), "load": os.getloadavg()[0]}
    reason = adapter.cannot(task)
    if reason is None and task["refits"] and not hasattr(adapter, "refit"):
        reason = "no refit"
    if reason is not None:
        write({"status": "cannot", "reason": reason, **base})
        return
    try:
        _measure(adapter, task, base, write)
    except Exception as error:
        traceback.print_exc()
        write({"status": "failed", "reason": f"{type(error).__name__}: {error}"[:300], **base})


def _measure(adapter: Any, task: dict[str, Any], base: dict[str, Any], write: Any) -> None:
    import pandas as pd

    small = task["warmup"]
    _quiet(adapter.fit, adapter.prepare(pd.read_parquet(small["data"]), small), small)
    data = adapter.prepare(pd.read_parquet(task["data"]), task)
    run = _refitting(adapter, data, task) if task["refits"] else lambda: _quiet(adapter.fit, data, task)

    gc.collect()
    baseline = reset_peak()
    first, model = _timed(run)
    peak = peak_mb()
    description = adapter.describe(model, task) if not task["refits"] else {"criterion": model, "method": "sum"}
    record = {
        "status": "ok", **base, "first": first, "seconds": [first["wall"]], "cpu": [first["cpu"]],
        "peak_mb": peak, "baseline_mb": baseline, **description,
    }  # fmt: skip
    write(record)
    if first["wall"] >= LONG:
        return
    runs: list[dict[str, float]] = []
    begin = time.perf_counter()
    while _again(len(runs), time.perf_counter() - begin):
        del model
        if first["wall"] > SHORT:  # not in short runs: collecting empties the processor's caches
            gc.collect()
        timing, model = _timed(run)
        runs.append(timing)
    write({**record, "seconds": [r["wall"] for r in runs], "cpu": [r["cpu"] for r in runs]})


def _again(count: int, elapsed: float) -> bool:
    return elapsed < TOO_MUCH and count < MOST and (count < LEAST or elapsed < ENOUGH)


def _refitting(adapter: Any, data: Any, task: dict[str, Any]) -> Any:
    """Make a call that fits all further responses and returns the sum of their criteria."""
    import numpy as np
    import pandas as pd

    responses = pd.read_parquet(task["responses"]).to_numpy()
    model = _quiet(adapter.fit, data, task)
    return lambda: float(np.sum(_quiet(adapter.refit, model, data, responses, task)))


def _timed(call: Any) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, value


def _quiet(call: Any, *args: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*args)


def reset_peak() -> float | None:
    """Set the kernel's high-water mark back to the present size; that size in MB, or None off Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_mb()


def peak_mb() -> float:
    """Peak resident memory of this process in MB: since `reset_peak`, or, off Linux, since its start."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _finite(value: Any) -> Any:
    """Copy without NaN, infinities and NumPy scalars, which JSON does not have."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    main(*sys.argv[1:])
