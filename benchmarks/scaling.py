"""How the time of one evaluation grows: ``python benchmarks/scaling.py`` writes SCALING.md and scaling.png.

One evaluation is what the optimiser calls at each step: factorisation, criterion, gradient and information at one
theta. It makes no pass over the rows; the cross-products, made once for each fit, do. Growth is measured along five
lines, all else fixed or in proportion:

* rows: more ratings by the same users of the same items;
* levels, nested: more schools of the same size (the factor stays block diagonal);
* levels, crossed at random: as many items for each user, both growing (the factor of the items fills in);
* levels, crossed locally: each unit meets 30 neighbours (the factor stays banded);
* terms: one to six crossed factors of 200 levels each.

The exponent is the slope of log time on log size by least squares over the larger half of the sizes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from report import describe_machine, markdown_table

from mixedfx.datasets import benchmark_shapes as shapes
from mixedfx.design.build import build_design
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from mixedfx.reml.starting import moment_start

HERE = Path(__file__).resolve().parent
TERM_ROWS, TERM_LEVELS = 100_000, 200


@dataclass(frozen=True)
class Line:
    """Problems of growing size: what grows, the sizes, and formula and data for a size."""

    name: str
    axis: str
    sizes: tuple[int, ...]
    make: Callable[[int], tuple[str, pd.DataFrame]]


def _rows(n: int) -> tuple[str, pd.DataFrame]:
    return _simulated(shapes.simulate_crossed_ratings(n, 3_000, 1_500, seed=1))


def _nested(schools: int) -> tuple[str, pd.DataFrame]:
    return _simulated(shapes.simulate_nested_slopes(schools, classes=5, pupils=10, seed=1))


def _crossed(users: int) -> tuple[str, pd.DataFrame]:
    return _simulated(shapes.simulate_crossed_ratings(40 * users, users, users // 2, seed=1))


def _local(units: int) -> tuple[str, pd.DataFrame]:
    return _simulated(shapes.simulate_locally_crossed(units, units // 5, seed=1))


def _terms(count: int) -> tuple[str, pd.DataFrame]:
    rng = np.random.default_rng(1)
    codes = rng.integers(TERM_LEVELS, size=(count, TERM_ROWS))
    frame = pd.DataFrame({f"g{t}": pd.Categorical(codes[t]) for t in range(count)})
    frame["y"] = rng.standard_normal((count, TERM_LEVELS))[np.arange(count)[:, None], codes].sum(0)
    frame["y"] += rng.standard_normal(TERM_ROWS)
    return "y ~ 1 + " + " + ".join(f"(1 | g{t})" for t in range(count)), frame


def _simulated(simulated: object) -> tuple[str, pd.DataFrame]:
    return simulated.formula, simulated.data  # pyright: ignore[reportAttributeAccessIssue]


LINES = (
    Line("rows", "rows", (50_000, 100_000, 200_000, 400_000, 800_000), _rows),
    Line("levels, nested", "schools", (250, 500, 1_000, 2_000, 4_000, 8_000), _nested),
    Line("levels, crossed at random", "users", (500, 1_000, 2_000, 4_000, 8_000), _crossed),
    Line("levels, crossed locally", "units", (1_000, 2_000, 4_000, 8_000, 16_000, 32_000), _local),
    Line("terms", "crossed factors", (1, 2, 3, 4, 5, 6), _terms),
)


def measure(line: Line, quick: bool) -> Iterator[dict[str, float]]:
    """Seconds for the cross-products and for an evaluation at each size."""
    for size in line.sizes[: len(line.sizes) - 2] if quick else line.sizes:
        formula, frame = line.make(size)
        design = build_design(formula, frame)
        problem, once = _time(lambda design=design: build_problem(design))
        par = moment_start(problem)
        _, each = _time(lambda problem=problem, par=par: evaluate(problem, par))
        print(f"{line.name:26s} {size:9,d} rows {len(frame):9,d}  once {once:8.4f} s  each {each:8.4f} s", flush=True)
        yield {"size": size, "rows": len(frame), "once": once, "each": each}


def _time(call: Callable[[], object]) -> tuple[object, float]:
    """Value and median seconds of a call, after one that is not counted."""
    value, runs, begin = call(), [], time.perf_counter()
    while len(runs) < 3 or (time.perf_counter() - begin < 1.0 and len(runs) < 100):
        start = time.perf_counter()
        call()
        runs.append(time.perf_counter() - start)
    return value, float(np.median(runs))


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """Slope of log time on log size over the larger half of the sizes, three at least."""
    keep = slice(-max(3, len(sizes) // 2), None)
    return float(np.polyfit(np.log(sizes[keep]), np.log(seconds[keep]), 1)[0])


def report(results: dict[str, list[dict[str, float]]], machine: dict[str, str]) -> str:
    """Write the table of times and the exponents as Markdown."""
    lines = {line.name: line for line in LINES}
    summary, detail = [], []
    for name, points in results.items():
        sizes = [p["size"] for p in points]
        slopes = [f"{exponent(sizes, [p[kind] for p in points]):.2f}" for kind in ("each", "once")]
        summary.append([name, lines[name].axis, f"{sizes[0]:,} to {sizes[-1]:,}", *slopes])
        detail += [
            [name, f"{p['size']:,}", f"{p['rows']:,}", f"{p['each'] * 1e3:.3g}", f"{p['once'] * 1e3:.3g}"]
            for p in points
        ]
    return "\n".join(
        [
            "# How the time of an evaluation grows\n",
            "\n".join(f"* {key}: {value}" for key, value in machine.items()) + "\n",
            "Exponents of the time of one evaluation (criterion, gradient, information) and of the cross-products, "
            "made once for each fit: slope of log time on log size over the larger half of the sizes.\n",
            markdown_table(["line", "size", "range", "each evaluation", "once"], summary),
            "![time against size](scaling.png)\n",
            markdown_table(["line", "size", "rows", "each evaluation, ms", "once, ms"], detail),
        ]
    )


def plot(results: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw one panel for each line, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator

    figure, panels = plt.subplots(1, len(results), figsize=(3.2 * len(results), 3.2), layout="constrained")
    axes = {line.name: line.axis for line in LINES}
    for panel, (name, points) in zip(np.atleast_1d(panels), results.items(), strict=True):
        sizes = [p["size"] for p in points]
        for kind, mark, label in (("each", "o-", "one evaluation"), ("once", "s--", "cross-products, once")):
            seconds = [p[kind] for p in points]
            panel.loglog(sizes, seconds, mark, label=f"{label}: {exponent(sizes, seconds):.2f}")
        panel.set(title=name, xlabel=axes[name])
        panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], rotation=60, fontsize="x-small")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.legend(title="exponent", fontsize="x-small", title_fontsize="x-small")
    np.atleast_1d(panels)[0].set_ylabel("seconds")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the two largest sizes of each line")
    parser.add_argument("--output", type=Path, default=HERE, metavar="FOLDER", help="for SCALING.md and scaling.png")
    options = parser.parse_args()
    machine = describe_machine()
    results = {line.name: list(measure(line, options.quick)) for line in LINES}
    plot(results, options.output / "scaling.png")
    (options.output / "SCALING.md").write_text(report(results, machine))


if __name__ == "__main__":
    main()
