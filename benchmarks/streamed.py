"""Rows that never enter memory: a nested random-slope model of as many rows of Parquet as the disk holds.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.streamed 1e8 FOLDER [--keep]

Simulates pupils in classes in schools batch by batch (y ~ x + t + (1 + x | school) + (1 | class), 1,000 rows a class,
ten classes a school), writes them to a file in FOLDER, reads it once without doing anything, fits it in processes of
their own, by batches of rows and summed up by DuckDB, and prints the times (wall and CPU, without a fit of 100,000 rows
before, which loads and compiles), the peak of the memory of the fit, and how far the estimates are from the truth. The
file is removed at the end, unless it is kept; one that is there already is used again.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

FORMULA = "y ~ x + t + (1 + x | school) + (1 | class)"
CLASS, CLASSES = 1000, 10  # rows of a class, classes of a school
BATCH = 10**6
TRUTH = {"Intercept": 50.0, "x": 2.0, "t": 1.5}
SDS = {"school": 3.0, "slope": 0.5, "class": 2.0, "residual": 10.0}


def simulate(path: Path, n: int) -> None:
    """Write n rows, a batch at a time; the effects of a school depend on its number only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draft = path.with_suffix(".draft")
    writer = None
    for begin in range(0, n, BATCH):
        rows = np.arange(begin, min(n, begin + BATCH))
        rng = np.random.default_rng((1, begin))
        group = rows // CLASS
        school = group // CLASSES
        level, slope, own = _effects(school), _effects(school, 1), _effects(group, 2)
        x, t = rng.normal(0.3, 1.0, len(rows)), rng.integers(0, 2, len(rows))
        y = 50 + SDS["school"] * level + SDS["class"] * own + (2 + SDS["slope"] * slope) * x + 1.5 * t
        y += SDS["residual"] * rng.standard_normal(len(rows))
        columns = {"y": y, "x": x, "t": t.astype(np.int8), "school": school.astype(np.int32)}
        table = pa.table(columns | {"class": group.astype(np.int32)})
        writer = pq.ParquetWriter(draft, table.schema) if writer is None else writer
        writer.write_table(table)
    assert writer is not None
    writer.close()
    draft.rename(path)


def _effects(levels: np.ndarray, kind: int = 0) -> np.ndarray:
    """One standard normal number for each level, the same wherever its rows are."""
    known, place = np.unique(levels, return_inverse=True)
    return np.array([np.random.default_rng((kind + 10, int(k))).standard_normal() for k in known])[place]


def read_once(path: Path) -> float:
    """Seconds to read every column of the file once, a batch at a time."""
    import pyarrow.dataset as ds

    begin = perf_counter()
    for _ in ds.dataset(path).to_batches(batch_size=2**18, batch_readahead=4, fragment_readahead=1):
        pass
    return perf_counter() - begin


def peak() -> float:
    """Most memory that this process has held, in MB; what its parent held is no part, as it is of ``getrusage``."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def fit(path: Path, pushdown: bool) -> None:
    """Fit and print; in a process of its own, whose peak is that of the fit."""
    import mixedfx as mx

    first = path.with_name(f"first-{pushdown}.parquet")
    simulate(first, 100_000)
    mx.lmer(FORMULA, first, stream=True, control={"pushdown": pushdown})
    first.unlink()
    begin, cpu = perf_counter(), process_time()
    found = mx.lmer(FORMULA, path, stream=True, control={"pushdown": pushdown})
    seconds, cpu = perf_counter() - begin, process_time() - cpu
    print(f"{found.design.streamed.how}: {seconds:.1f} s, CPU {cpu:.1f} s, peak {peak():,.0f} MB", flush=True)
    error = np.sqrt(np.diag(found.vcov))
    away = [(float(found.fixef[name]) - value) / e for (name, value), e in zip(TRUTH.items(), error, strict=True)]
    print(f"coefficients, in standard errors from the truth: {', '.join(f'{a:.2f}' for a in away)}")
    sds = found.varcorr.loc[found.varcorr["var2"].isna(), "sdcor"]
    print(f"standard deviations (class 2, school 3 and 0.5, residual 10): {', '.join(f'{s:.3f}' for s in sds)}")


def main() -> None:
    """Simulate, read, fit."""
    arguments = argparse.ArgumentParser(description="A fit of rows that are not held.")
    arguments.add_argument("rows", type=float)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--keep", action="store_true", help="leave the file there")
    arguments.add_argument("--fit", choices=["batches", "database"], help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    path = asked.folder / f"rows-{int(asked.rows)}.parquet"
    if asked.fit:
        return fit(path, asked.fit == "database")
    if not path.exists():
        begin = perf_counter()
        simulate(path, int(asked.rows))
        print(f"simulated in {perf_counter() - begin:.1f} s: {path.stat().st_size / 2**20:,.0f} MB", flush=True)
    read_once(path)  # the second time from the same cache as the fit
    print(f"read once: {read_once(path):.1f} s", flush=True)
    for way in ("batches", "database"):
        again = [sys.executable, "-m", "benchmarks.streamed", str(asked.rows), str(asked.folder), "--fit", way]
        subprocess.run(again, check=True)
    if not asked.keep:
        path.unlink()


if __name__ == "__main__":
    main()
