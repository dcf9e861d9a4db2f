"""mixedfx against its peers: ``python benchmarks/run.py`` runs all cases with all packages and writes RESULTS.md.

Each package meets each case in a process of its own with one thread (`peers/worker.py`, `peers/lme4.R`); the time
goes from formula and data frame to the fit. The peers may live in an environment of their own::

    python -m venv .benchmarks/peers
    .benchmarks/peers/bin/pip install -r benchmarks/requirements.txt
    python benchmarks/run.py --insteval insteval.csv

which ``--install`` does first. lme4 is run by ``Rscript`` where there is one. What is missing is named in the tables.
Every measurement is a line of ``.benchmarks/raw.jsonl``; ``--reuse`` takes from there what was measured before on the
same data, so that a single package can be measured anew: ``--reuse --packages mixedfx``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cases import CASES, Case, Sources
from report import describe_machine, render

HERE = Path(__file__).resolve().parent
STORE = HERE.parent / ".benchmarks"
ONE_THREAD = dict.fromkeys(
    (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)
REFIT_NOISE = 20.0


@dataclass(frozen=True)
class Package:
    """A package in one of its settings: the adapter that runs it, and the options the adapter is given."""

    name: str
    adapter: str
    options: dict[str, Any] = field(default_factory=dict)


PACKAGES = (
    Package("mixedfx", "mixedfx"),
    Package("glmm", "glmm"),
    Package("glmm-lean", "glmm", {"lean": True}),
    Package("mixedlm", "mixedlm"),
    Package("lme-python", "lme_python"),
    Package("lme4", "lme4"),
    Package("lme4-lean", "lme4", {"lean": True}),
    Package("gpboost", "gpboost"),
    Package("statsmodels", "statsmodels"),
)


def main() -> None:
    options = _parse()
    cases = _choose(CASES, options.cases, "case")
    packages = _choose(PACKAGES, options.packages, "package")
    STORE.mkdir(exist_ok=True)
    raw = STORE / ("quick.jsonl" if options.quick else "raw.jsonl")
    if not options.reuse:
        raw.unlink(missing_ok=True)
    if options.install:
        _install(options.peers_python)
    insteval = options.insteval or os.environ.get("MIXEDFX_INSTEVAL")
    sources = Sources(options.quick, Path(insteval) if insteval else None)

    machine = describe_machine()
    for case in cases:
        with tempfile.TemporaryDirectory(dir=STORE) as folder:
            task = write_data(case, sources, Path(folder))
            for package in packages:
                record = run_one(package, task, options, Path(folder))
                with raw.open("a") as out:
                    out.write(json.dumps(record) + "\n")
                print(_line(record), flush=True)

    # Under --reuse the report covers everything measured so far, otherwise what was asked for.
    shown_cases, shown_packages = (CASES, PACKAGES) if options.reuse else (cases, packages)
    records = _latest(raw, {case.name for case in shown_cases}, {package.name for package in shown_packages})
    text = render(records, shown_cases, [p.name for p in shown_packages], machine, _command(), sources)
    text = f"{text.rstrip()}\n\n{(HERE / 'studies.md').read_text()}"
    complete = options.reuse or not (options.cases or options.packages)
    output = options.output or (HERE / "RESULTS.md" if complete and not options.quick else STORE / "partial.md")
    output.write_text(text)
    print(f"\nwritten: {output}")


def write_data(case: Case, sources: Sources, folder: Path) -> dict[str, Any]:
    """Write the data of a case as Parquet and CSV; return the task for a worker, without the package."""
    task = _write(case, sources, folder / "case")
    small = next(c for c in CASES if c.name == "sleepstudy")
    task["warmup"] = _write(small, sources, folder / "warmup")
    return task


def _write(case: Case, sources: Sources, stem: Path) -> dict[str, Any]:
    frame = case.data(sources)
    frame.to_parquet(f"{stem}.parquet")
    frame.to_csv(f"{stem}.csv", index=False)
    groups = [term.group for term in case.terms]
    task = {
        "case": case.name,
        "formula": case.formula,
        "response": case.response,
        "fixed": case.fixed,
        "terms": [[term.group, term.slopes] for term in case.terms],
        "columns": case.columns,
        "categorical": groups,
        "nested": _nested(frame, groups),
        "refits": case.refits,
        "data": f"{stem}.parquet",
        "rows": len(frame),
        "levels": [int(frame[group].nunique()) for group in groups],
        "fingerprint": hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy()).hexdigest()[:16],
    }
    if case.refits:
        noise = np.random.default_rng(1).standard_normal((len(frame), case.refits))
        responses = pd.DataFrame(frame[case.response].to_numpy()[:, None] + REFIT_NOISE * noise)
        responses.columns = [f"y{i}" for i in range(case.refits)]
        task["responses"] = f"{stem}-responses.parquet"
        responses.to_parquet(task["responses"])
        responses.to_csv(f"{stem}-responses.csv", index=False)
    return task


def _nested(frame: pd.DataFrame, groups: list[str]) -> bool:
    """Whether each level of a finer factor belongs to one level of the next coarser one."""
    order = sorted(groups, key=lambda group: frame[group].nunique())
    return all(
        (frame.groupby(fine, observed=True)[coarse].nunique() == 1).all() for coarse, fine in itertools.pairwise(order)
    )


def run_one(package: Package, task: dict[str, Any], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one package on one case; never raises for what the package does. Files go to `folder`."""
    key = {name: task[name] for name in ("case", "formula", "rows", "levels", "fingerprint")}
    key["package"] = package.name
    if package.adapter == "lme4" and shutil.which(options.rscript) is None:
        return key | {"status": "missing", "reason": f"no {options.rscript}"}
    task = task | {"options": package.options, "adapter": package.adapter}
    task["warmup"] = task["warmup"] | {"options": package.options}
    task_file, out = folder / "task.json", folder / "out.jsonl"
    out.unlink(missing_ok=True)
    task_file.write_text(json.dumps(task))
    if package.adapter == "lme4":
        script = [options.rscript, str(HERE / "peers" / "lme4.R")]
        for part in (task, task["warmup"]):
            if not Path(part["data"]).with_suffix(".rds").exists():
                (folder / "convert.json").write_text(json.dumps(part))
                subprocess.run([*script, "convert", str(folder / "convert.json")], check=True)
        command = [*script, str(task_file), str(out)]
    else:
        python = sys.executable if package.name == "mixedfx" else str(options.peers_python)
        command = [python, str(HERE / "peers" / "worker.py"), str(task_file), str(out)]

    with (folder / "stderr.txt").open("w+") as stderr:
        process = subprocess.Popen(
            command, env=os.environ | ONE_THREAD, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            preexec_fn=_limit_memory,
        )  # fmt: skip
        try:
            process.wait(options.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            late = {"status": "timeout", "reason": f"over {options.timeout:.0f} s"}
        else:
            late = {"status": "failed"}
        stderr.seek(0)
        last = ([line.strip() for line in stderr if line.strip()] or [""])[-1]
    lines = out.read_text().splitlines() if out.exists() else []
    if lines:
        return key | json.loads(lines[-1])
    return key | {"reason": f"exit status {process.returncode}: {last[:200]}"} | late


def _limit_memory() -> None:
    """Four fifths of the machine: a package that wants more fails, rather than everything else on the machine."""
    limit = int(0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _latest(raw: Path, cases: set[str], packages: set[str]) -> list[dict[str, Any]]:
    """Pick the newest measurement of each package on each case, of those on the newest data of the case."""
    records = [json.loads(line) for line in raw.read_text().splitlines()]
    records = [r for r in records if r["case"] in cases and r["package"] in packages]
    newest = {r["case"]: r["fingerprint"] for r in records}
    latest = {(r["case"], r["package"]): r for r in records if r["fingerprint"] == newest[r["case"]]}
    return list(latest.values())


def _line(record: dict[str, Any]) -> str:
    head = f"{record['case']:16s} {record['package']:12s} {record['status']:8s}"
    if record["status"] != "ok":
        return f"{head} {record['reason']}"
    seconds, criterion, evaluations = record["seconds"], record.get("criterion"), record.get("evaluations")
    found = "" if criterion is None else f"  criterion {criterion:.7f}"
    counted = "" if evaluations is None else f"  evaluations {evaluations}"
    return f"{head} {np.median(seconds):9.4f} s x{len(seconds):<3d} peak {record['peak_mb']:6.0f} MB{found}{counted}"


def _install(python: Path) -> None:
    """Install the peers one by one: one that has no wheel for this machine is missed, the others are there."""
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", line])
            if done.returncode:
                print(f"could not install {line}", file=sys.stderr)


def _choose(things: tuple[Any, ...], names: list[str] | None, kind: str) -> tuple[Any, ...]:
    known = {thing.name: thing for thing in things}
    unknown = set(names or ()) - set(known)
    if unknown:
        sys.exit(f"no {kind} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(known[name] for name in names) if names else things


def _command() -> str:
    """Give the command as typed, without the folders of this machine."""
    hidden = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    return shlex.join(["python", "benchmarks/run.py", *hidden])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", metavar="CASE", help=", ".join(case.name for case in CASES))
    parser.add_argument("--packages", nargs="+", metavar="PACKAGE", help=", ".join(p.name for p in PACKAGES))
    parser.add_argument("--quick", action="store_true", help="simulated data in a tenth of their size")
    parser.add_argument("--reuse", action="store_true", help="keep earlier measurements of what is not measured now")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for a package on a case (600)")
    parser.add_argument("--insteval", metavar="CSV", help="the InstEval data; else MIXEDFX_INSTEVAL, else a simulation")
    parser.add_argument("--peers-python", type=Path, default=STORE / "peers" / "bin" / "python", metavar="PYTHON")
    parser.add_argument("--rscript", default="Rscript", help="the R to run lme4 with")
    parser.add_argument("--install", action="store_true", help="first install the peers for --peers-python")
    parser.add_argument("--output", type=Path, help="the Markdown file; RESULTS.md for a whole run")
    options = parser.parse_args()
    if not options.peers_python.exists() and not options.install:
        print("no environment of peers (--install makes one); trying this Python", file=sys.stderr)
        options.peers_python = Path(sys.executable)
    return options


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)
    begin = time.perf_counter()
    main()
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes")
