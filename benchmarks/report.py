"""From measurements to RESULTS.md: times and ratios, memory, criteria, evaluations, targets, and what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, Sources

Record = dict[str, Any]

# A peer counts as the fastest only where its criterion is within this of the lowest: one that stops early is not fast.
SOLVED = 0.01
# mixedfx must not stop above the best peer by more than this.
CRITERION_TOLERANCE = 1e-6
# Under this share of processor time in wall time a process was kept waiting; told from runs of half a second together.
BUSY, LONG_ENOUGH = 0.9, 0.5
SETTINGS = {
    "glmm-lean": "glmm without degrees of freedom and without the exact Hessian behind its standard errors",
    "lme4-lean": "lme4 with `calc.derivs = FALSE`: without the check of convergence by finite differences",
}


def describe_machine() -> dict[str, str]:
    """Say what the numbers depend on."""
    import numpy.__config__ as config

    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = (line.partition(":") for line in cpu.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    blas = config.CONFIG["Build Dependencies"]["blas"]
    return {
        "Date": date.today().isoformat(),
        "Machine": f"{model}, {os.cpu_count()} cores, {gigabytes:.0f} GB, {platform.system()} {platform.machine()}",
        "Python": f"{platform.python_version()}, NumPy {np.__version__} with {blas['name']} {blas['version']}",
        "Load": f"{os.getloadavg()[0]:.2f} at the start (one-minute average)",
    }


def render(
    records: Sequence[Record],
    cases: Sequence[Case],
    packages: Sequence[str],
    machine: dict[str, str],
    command: str,
    sources: Sources,
) -> str:
    """Write the whole report.

    Parameters
    ----------
    records
        One for each case and package.
    cases, packages
        Rows and columns, in order.
    machine
        From `describe_machine`.
    command
        As typed.
    sources
        Where the data came from.
    """
    table = {(r["case"], r["package"]): r for r in records}
    cases = [case for case in cases if any((case.name, p) in table for p in packages)]
    packages = [p for p in packages if any((case.name, p) in table for case in cases)]
    lowest = _lowest_column(table)
    parts = [
        "# mixedfx against its peers\n",
        _facts(records, packages, machine, command, sources),
        _section("Cases", _models(cases, table, packages)),
        _section(
            "Time",
            "From formula and data frame to the fit; median of the runs after the first, their number in brackets "
            "(where the first took 20 seconds, it alone counts); after `·` the ratio to mixedfx. †: the machine was "
            "busy with other work, wall time says nothing, and this is processor time.\n",
            _grid(cases, packages, lambda case, package: _time_cell(table, case.name, package)),
        ),
        _section(
            "Peak memory",
            "Resident megabytes of the whole process at its largest during the first fit, and after `+` by how much "
            "that is more than before the fit (interpreter, libraries and data).\n",
            _grid(cases, packages, lambda case, package: _memory_cell(table.get((case.name, package)))),
        ),
        _section(
            "Criterion",
            "REML criterion above the lowest that any package found. gpboost has maximum likelihood only: its value is "
            "not comparable and is given as it is. `refits`: sum over the responses; what lme4's refit() leaves in "
            "the fit as criterion is not that of its estimates and is left out.\n",
            _grid(cases, packages, lambda case, package: _criterion_cell(table, case.name, package), lowest),
        ),
        _section(
            "Agreement of the estimates",
            "Largest relative difference of a standard deviation (random effects and residual) from that of the "
            "package with the lowest criterion; for one under 1e-3 of the residual's, the difference in that unit.\n",
            _grid(cases, packages, lambda case, package: _agreement_cell(table, case, package)),
        ),
        _section(
            "Evaluations",
            "Evaluations of the criterion (glmm: with those of the gradient; lme-python and gpboost: iterations).\n",
            _grid(cases, packages, lambda case, package: _evaluations_cell(table.get((case.name, package)))),
        ),
        _section("What mixedfx has to show", _targets(cases, packages, table)),
        _section("Not measured, and why", _missing(cases, packages, table)),
        "How the time of an evaluation grows with rows, levels and terms is in [SCALING.md](SCALING.md).\n",
    ]
    return "\n".join(part for part in parts if part)


def _facts(
    records: Sequence[Record], packages: Sequence[str], machine: dict[str, str], command: str, sources: Sources
) -> str:
    versions = {r["package"]: r["version"] for r in records if r.get("version")}
    described = []
    for name in packages:
        if name in SETTINGS:
            described.append(f"{name}: {SETTINGS[name]}")
        elif name in versions:
            described.append(f"{name} {versions[name]}")
    r_facts = next((r for r in records if r.get("runtime")), None)
    rows = dict(machine) | {"Packages": "; ".join(described)}
    if r_facts:
        rows["R"] = f"{r_facts['runtime']} with {r_facts['blas']}"
    loads = [r["load"] for r in records if r.get("load") is not None]
    started = sorted(r["started"] for r in records if r.get("started"))
    if started:
        rows["Measured"] = f"{started[0]} to {started[-1]}, load from {min(loads):.1f} to {max(loads):.1f}"
    rows["Threads"] = f"one for each library in every process; {_threads(records)}"
    rows["InstEval"] = (
        "the data of lme4" if sources.insteval else "a simulation of its shape (--insteval names the data)"
    )
    rows["MixedModels.jl"] = "not measured: no Julia here"
    rows["Command"] = f"`{command}`"
    return "\n".join(f"* {name}: {value}" for name, value in rows.items()) + "\n"


def _threads(records: Sequence[Record]) -> str:
    """Say whether processor time shows a second thread: it is at most the wall time of one."""
    shares = {
        (r["package"], r["case"]): sum(r["cpu"]) / sum(r["seconds"])
        for r in records
        if r["status"] == "ok" and sum(r["seconds"]) > 0.5
    }
    if not shares:
        return "no run was long enough to tell from processor time"
    (package, case), share = max(shares.items(), key=lambda item: item[1])
    return f"processor time is at most {share:.2f} of wall time ({package}, {case})"


def _models(cases: Sequence[Case], table: dict[tuple[str, str], Record], packages: Sequence[str]) -> str:
    rows = []
    for case in cases:
        record = next(table[case.name, p] for p in packages if (case.name, p) in table)
        levels = " x ".join(f"{n:,}" for n in record["levels"])
        rows.append([case.name, case.what, f"{record['rows']:,}", levels, f"`{case.formula}`"])
    return markdown_table(["case", "", "rows", "levels", "model"], rows)


def _time_cell(table: dict[tuple[str, str], Record], case: str, package: str) -> str:
    record = table.get((case, package))
    if record is None or record["status"] != "ok":
        return _status(record)
    text = f"{_marked(record)} ({len(record['seconds'])})"
    ours = table.get((case, "mixedfx"))
    if package != "mixedfx" and ours and ours["status"] == "ok":
        text += f" · {_significant(_median(record) / _median(ours))}"
    return text


def _memory_cell(record: Record | None) -> str:
    if record is None or record["status"] != "ok":
        return _status(record)
    if record.get("peak_mb") is None:
        return "?"
    rise = "" if record.get("baseline_mb") is None else f" (+{record['peak_mb'] - record['baseline_mb']:,.0f})"
    return f"{record['peak_mb']:,.0f}{rise}"


def _lowest(table: dict[tuple[str, str], Record], case: str) -> Record | None:
    """Find the record with the lowest REML criterion; None without one."""
    done = [r for (name, _), r in table.items() if name == case and _has_criterion(r)]
    return min(done, key=lambda r: r["criterion"], default=None)


def _has_criterion(record: Record) -> bool:
    return record["status"] == "ok" and record["method"] != "ML" and record.get("criterion") is not None


def _lowest_column(table: dict[tuple[str, str], Record]) -> tuple[str, Callable[[Case], str]]:
    def cell(case: Case) -> str:
        best = _lowest(table, case.name)
        return f"{best['criterion']:.7f}" if best else ""

    return "lowest", cell


def _criterion_cell(table: dict[tuple[str, str], Record], case: str, package: str) -> str:
    record = table.get((case, package))
    if record is None or record["status"] != "ok":
        return _status(record)
    if not _has_criterion(record):
        return f"ML {record['criterion']:.3f}" if record["method"] == "ML" else "none"
    best = _lowest(table, case)
    assert best is not None
    return f"{record['criterion'] - best['criterion']:.1e}"


def _agreement_cell(table: dict[tuple[str, str], Record], case: Case, package: str) -> str:
    record, best = table.get((case.name, package)), _lowest(table, case.name)
    if record is None or record["status"] != "ok" or best is None or "sds" not in record or "sds" not in best:
        return _status(record) if record is None or record["status"] != "ok" else ""
    worst = abs(record["sigma"] / best["sigma"] - 1)
    for term in case.terms:
        mine, theirs = np.array(record["sds"][term.group]), np.array(best["sds"][term.group])
        worst = max(worst, float(np.max(np.abs(mine - theirs) / np.maximum(theirs, 1e-3 * best["sigma"]))))
    return f"{worst:.1e}"


def _evaluations_cell(record: Record | None) -> str:
    if record is None or record["status"] != "ok":
        return _status(record)
    count = record.get("evaluations")
    return "" if count is None else f"{count:,}"


def _targets(cases: Sequence[Case], packages: Sequence[str], table: dict[tuple[str, str], Record]) -> str:
    rows = []
    for case in cases:
        ours = table.get((case.name, "mixedfx"))
        for asked, found, met in _claims(case, packages, table, ours):
            rows.append([case.name, asked, found, met])
    return markdown_table(["case", "asked", "measured", "met"], rows)


def _claims(
    case: Case, packages: Sequence[str], table: dict[tuple[str, str], Record], ours: Record | None
) -> Iterable[tuple[str, str, str]]:
    target = case.target
    if ours is None:
        return
    if ours["status"] != "ok":
        yield "a fit", _status(ours), "no"
        return
    mine = _median(ours)
    best = _lowest(table, case.name)
    assert best is not None
    solved = [
        table[case.name, p]
        for p in packages
        if p != "mixedfx"
        and (case.name, p) in table
        and table[case.name, p]["status"] == "ok"
        and (case.refits or table[case.name, p]["method"] == "ML" or _near(table[case.name, p], best))
    ]
    fastest = min(solved, key=_median, default=None)
    if target.peer is not None:
        asked = f"fastest peer / mixedfx at least {target.peer:.2g}"
        yield _ratio_claim(asked, fastest, mine, target.peer)
    if target.lme4 is not None:
        lme4 = table.get((case.name, "lme4"))
        lme4 = lme4 if lme4 and lme4["status"] == "ok" else None
        yield _ratio_claim(f"lme4 / mixedfx at least {target.lme4:.2g}", lme4, mine, target.lme4)
    if target.seconds is not None:
        yield f"at most {_duration(target.seconds)}", _marked(ours), _yes(mine <= target.seconds)
    if target.peak_mb is not None:
        peak = ours["peak_mb"]
        yield f"peak at most {target.peak_mb:,.0f} MB", f"{peak:,.0f} MB", _yes(peak <= target.peak_mb)
    if target.evaluations is not None:
        count = ours["evaluations"]
        yield f"at most {target.evaluations} evaluations", str(count), _yes(count <= target.evaluations)
    others = [r for r in solved if r["method"] != "ML" and not case.refits]
    if others:
        excess = ours["criterion"] - min(r["criterion"] for r in others)
        asked = f"criterion at most {CRITERION_TOLERANCE:.0e} above the best peer's"
        yield asked, f"{excess:+.1e}", _yes(excess <= CRITERION_TOLERANCE)


def _ratio_claim(asked: str, peer: Record | None, mine: float, least: float) -> tuple[str, str, str]:
    if peer is None:
        return asked, "no peer measured", "not measured"
    ratio = _median(peer) / mine
    return asked, f"{_significant(ratio)} ({peer['package']} {_marked(peer)})", _yes(ratio >= least)


def _near(record: Record, best: Record) -> bool:
    return _has_criterion(record) and record["criterion"] - best["criterion"] <= SOLVED


def _missing(cases: Sequence[Case], packages: Sequence[str], table: dict[tuple[str, str], Record]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for package in packages:
        for case in cases:
            record = table.get((case.name, package))
            if record is None:
                reasons.setdefault((package, "not run"), []).append(case.name)
            elif record["status"] != "ok":
                reasons.setdefault((package, f"{_status(record)}: {record['reason']}"), []).append(case.name)
    lines = [f"* {package}: {reason} ({', '.join(names)})" for (package, reason), names in reasons.items()]
    return "\n".join(lines) + "\n" if lines else "Nothing.\n"


def _section(title: str, *body: str) -> str:
    return f"## {title}\n\n" + "\n".join(body)


def _grid(
    cases: Sequence[Case],
    packages: Sequence[str],
    cell: Callable[[Case, str], str],
    first: tuple[str, Callable[[Case], str]] | None = None,
) -> str:
    title, value = first or (None, lambda case: "")
    rows = [[c.name, *([value(c)] if title else []), *(cell(c, p) for p in packages)] for c in cases]
    return markdown_table(["case", *([title] if title else []), *packages], rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)]) + "\n"


def _status(record: Record | None) -> str:
    words = {None: "not run", "missing": "missing", "cannot": "cannot", "timeout": "too long", "failed": "failed"}
    return words[None if record is None else record["status"]]


def _busy(record: Record) -> bool:
    """Whether other processes kept this one waiting: the packages compute throughout, on one thread."""
    wall, processor = sum(record["seconds"]), sum(record["cpu"])
    return wall > LONG_ENOUGH and processor < BUSY * wall


def _median(record: Record) -> float:
    """Median seconds: of wall time, or of processor time where the machine was busy."""
    return float(np.median(record["cpu" if _busy(record) else "seconds"]))


def _marked(record: Record) -> str:
    return _duration(_median(record)) + ("†" if _busy(record) else "")


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{_significant(seconds * 1e3)} ms" if seconds < 1 else f"{_significant(seconds)} s"


def _significant(value: float) -> str:
    """Three digits, without an exponent."""
    digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    return f"{value:,.{digits}f}"


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"
