"""Crossed intercepts in the shape of MovieLens 32M by the iterative solver: time, peak memory and growth in rows.

    python benchmarks/recommender.py                                  1e5, 3e5 and 1e6 rows, with the exponent
    python benchmarks/recommender.py --rows 32e6                      the shape itself, 200,948 x 84,432 levels
    python benchmarks/recommender.py --rows 1e6 --levels 6040 3706 --solver direct
    python benchmarks/recommender.py --rows 2e7 --levels 100000 40000 --parquet FOLDER
    python benchmarks/recommender.py --rows 1e6 --levels 6040 3706 --outcome liked     of 0 and 1, by mx.glmer

Numbers of rows of users and items are log-normal, those of items with the longer tail: at 32e6 rows one item has some
hundred thousand. Where rows are fewer so are the levels, in proportion, unless ``--levels`` says otherwise. Every
size is a process of its own; its peak holds the data frame, the design and the fit. The published time of this shape
is 5.2 hours and 56 GB, by a blocked dense Cholesky factor (MixedModels.jl).

With ``--parquet`` the rows are written to a file in a folder, in a process of its own too, and the fit reads them in
batches, as a source whose rows never enter memory; the file is removed at the end, unless ``--keep`` is said.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

USERS, ITEMS, ROWS = 200_948, 84_432, 32_000_000
TRUE = {"user": 0.43, "item": 0.49, "residual": 0.88}
LIKED = {"user": 0.9, "item": 1.1}  # standard deviations of the log odds


def simulate(rows: int, users: int, items: int, outcome: str = "rating") -> pd.DataFrame:
    """Ratings, or likes, with the columns y, user, item; whole numbers of 32 bits name the levels."""
    whole = {"y": np.empty(rows), "user": np.empty(rows, dtype=np.int32), "item": np.empty(rows, dtype=np.int32)}
    begin = 0
    for batch in batches(rows, users, items, outcome):
        for name, values in batch.items():
            whole[name][begin : begin + len(values)] = values
        begin += len(batch["y"])
    return pd.DataFrame(whole, copy=False)


def batches(
    rows: int, users: int, items: int, outcome: str = "rating", seed: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """The same, some at a time."""
    rng = np.random.default_rng(seed)
    liked, sds = outcome == "liked", LIKED if outcome == "liked" else TRUE
    cut = [np.cumsum(np.exp(s * rng.normal(size=q))) for q, s in ((users, 1.1), (items, 2.2))]
    effects = [sd * rng.normal(size=q) for q, sd in ((users, sds["user"]), (items, sds["item"]))]
    for begin in range(0, rows, 2**20):
        m = min(2**20, rows - begin)
        y, codes = rng.logistic(0.3, size=m) if liked else 3.5 + TRUE["residual"] * rng.normal(size=m), []
        for c, effect in zip(cut, effects, strict=True):
            codes.append(np.minimum(np.searchsorted(c / c[-1], rng.random(m)), len(c) - 1).astype(np.int32))
            y += effect[codes[-1]]
        yield {"y": (y > 0.0).astype(float) if liked else y, "user": codes[0], "item": codes[1]}


def write(path: Path, rows: int, users: int, items: int) -> None:
    """A Parquet file of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draft, writer = path.with_suffix(".draft"), None
    for batch in batches(rows, users, items):
        table = pa.table(batch)
        writer = pq.ParquetWriter(draft, table.schema) if writer is None else writer
        writer.write_table(table)
    assert writer is not None
    writer.close()
    draft.rename(path)


def run_one(rows: int, users: int, items: int, solver: str, outcome: str, path: Path | None) -> dict[str, object]:
    """Fit once, in this process: a frame, or the rows of a file."""
    import mixedfx as mx

    def fitted(data: Any) -> Any:
        formula, control = "y ~ 1 + (1 | user) + (1 | item)", {"solver": solver}
        if outcome == "liked":
            return mx.glmer(formula, data, "bernoulli", control=control)
        return mx.lmer(formula, data, control=control, stream=None if path is None else True)

    fitted(simulate(30_000, 300, 200, outcome))  # loaded and compiled
    data = simulate(rows, users, items, outcome) if path is None else path
    before = peak()
    clock, cpu = time.perf_counter(), time.process_time()
    fit = fitted(data)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    found = {
        "rows": rows, "levels": list(fit.ngroups.values()), "solver": solver, "seconds": clock,
        "cpu_seconds": cpu, "data_mb": before, "peak_mb": peak(), "sd": fit.varcorr["sdcor"].tolist(),
        "evaluations": fit.optimization.evaluations, "outcome": outcome, "intercept": float(fit.fixef.iloc[0]),
        "criterion": fit.criterion,
    }  # fmt: skip
    if fit.monte_carlo is not None:
        found["probes"] = fit.solution.monte_carlo.probes  # pyright: ignore
        found["share"] = float(fit.monte_carlo["share"].max())
        found["criterion_error"] = fit.solution.monte_carlo.criterion_error  # pyright: ignore
    clock = time.process_time()
    found["se_intercept"] = float(np.sqrt(fit.vcov.iloc[0, 0]))
    found["se_cpu_seconds"] = time.process_time() - clock
    return found


def peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run each size in a process of its own and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 3e5, 1e6])
    parser.add_argument("--levels", type=int, nargs=2, metavar=("USERS", "ITEMS"))
    parser.add_argument("--solver", default="iterative", choices=("auto", "direct", "iterative"))
    parser.add_argument("--parquet", type=Path, metavar="FOLDER", help="fit a file that is written there")
    parser.add_argument("--keep", action="store_true", help="leave the file there")
    parser.add_argument("--outcome", default="rating", choices=("rating", "liked"))
    parser.add_argument("--one", choices=("fit", "write"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parquet is not None and options.outcome == "liked":
        parser.error("mx.glmer holds its rows: leave --parquet out")
    found = []
    for size in options.rows:
        rows = int(size)
        share = min(1.0, rows / ROWS)
        users, items = options.levels or (max(300, int(USERS * share)), max(200, int(ITEMS * share)))
        path = None if options.parquet is None else options.parquet / f"ratings-{rows}-{users}-{items}.parquet"
        if options.one == "write" and path is not None:
            return write(path, rows, users, items)
        if options.one == "fit":
            print(json.dumps(run_one(rows, users, items, options.solver, options.outcome, path)))
            return None
        command = [sys.executable, __file__, "--rows", str(rows), "--levels", str(users), str(items)]
        command += ["--solver", options.solver, "--outcome", options.outcome]
        command += [] if path is None else ["--parquet", str(options.parquet)]
        if path is not None and not path.exists():
            answered([*command, "--one", "write"])
        found.append(json.loads(answered([*command, "--one", "fit"]).splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
        if path is not None and not options.keep:
            path.unlink()
    if len(found) > 1:
        logs = np.log([[one["rows"], one["cpu_seconds"]] for one in found])
        print(f"time grows as rows to the power {np.polyfit(logs[:, 0], logs[:, 1], 1)[0]:.2f}")
    return None


def answered(command: list[str]) -> str:
    """What a process prints; where it fails, its words end this one."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    return answer.stdout


if __name__ == "__main__":
    main()
