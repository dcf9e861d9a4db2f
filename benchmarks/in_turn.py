"""Fits of two checkouts in turn, to tell whether this one is slower than another commit.

Usage: python benchmarks/in_turn.py OTHER [--cases NAME ...] [--rounds 3] [--insteval FILE]

OTHER is a checkout of the other commit (git worktree add OTHER COMMIT). Each round fits each case in a process of its
own, first by the other checkout and then by this one, and takes the median processor time of several fits; what is
printed are the medians over the rounds and every ratio, so that a machine whose speed drifts can be told from a change
of the code. Both times come from the cases of this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 1.0  # processor time that the fits of one process may take, the first left out
FEWEST, MOST = 3, 60  # fits of one process


def measure(name: str, insteval: str | None) -> dict[str, float]:
    """Median processor time of a fit of one case, and the criterion, by the package that Python finds."""
    import warnings

    from cases import CASES, Sources

    import mixedfx as mx

    warnings.simplefilter("ignore")
    case = next(case for case in CASES if case.name == name)
    data = case.data(Sources(False, None if insteval is None else Path(insteval)))
    fit = mx.lmer(case.formula, data)
    responses = fit.simulate(case.refits, seed=1) if case.refits else None
    times: list[float] = []
    while len(times) < FEWEST or (sum(times) < SECONDS and len(times) < MOST):
        begin = time.process_time()
        if responses is None:
            mx.lmer(case.formula, data)
        else:
            fit.refits(responses)
        times.append(time.process_time() - begin)
    return {"seconds": statistics.median(times), "criterion": fit.criterion}


def _child(tree: Path, name: str, insteval: str | None) -> dict[str, float]:
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", name]
    command += [] if insteval is None else ["--insteval", insteval]
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join([str(tree), str(HERE)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Read the command line, measure, print a Markdown table."""
    from cases import CASES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--insteval")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.insteval)))
        return
    if options.other is None or not (options.other / "mixedfx").is_dir():
        parser.error("name a checkout of the other commit")
    print("| case | other, ms | this, ms | ratios | criterion, this less other |\n|---|---|---|---|---|")
    for name in options.cases:
        pairs = [
            [_child(t, name, options.insteval) for t in (options.other, HERE.parent)] for _ in range(options.rounds)
        ]
        other, this = (1e3 * statistics.median(pair[k]["seconds"] for pair in pairs) for k in (0, 1))
        ratios = ", ".join(f"{pair[1]['seconds'] / pair[0]['seconds']:.2f}" for pair in pairs)
        gain = pairs[0][1]["criterion"] - pairs[0][0]["criterion"]
        print(f"| {name} | {other:.2f} | {this:.2f} | {ratios} | {gain:+.0e} |", flush=True)


if __name__ == "__main__":
    main()
