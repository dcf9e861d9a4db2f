"""Fits of two checkouts in turn, to tell whether this one is slower than another commit.

Usage: python benchmarks/in_turn.py OTHER [--cases NAME ...] [--rounds 3] [--insteval FILE]

OTHER is a checkout of the other commit (git worktree add OTHER COMMIT). Each round starts a process of each checkout;
they take turns, fit by fit, one waiting while the other works, so that a machine whose speed drifts slows both alike.
Printed are the medians over the rounds of the median processor time of a fit, and of every round the ratio of the
medians and that of the fastest fits. Both times come from the cases of this checkout.
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


def serve(name: str, insteval: str | None) -> None:
    """Fit one case by the package that Python finds, once for each line of the input; print seconds and criterion."""
    import warnings

    from cases import CASES, Sources

    import mixedfx as mx

    warnings.simplefilter("ignore")
    case = next(case for case in CASES if case.name == name)
    data = case.data(Sources(False, None if insteval is None else Path(insteval)))
    fit = mx.lmer(case.formula, data)
    responses = fit.simulate(case.refits, seed=1) if case.refits else None
    for _ in sys.stdin:
        begin = time.process_time()
        if responses is None:
            mx.lmer(case.formula, data)
        else:
            fit.refits(responses)
        print(json.dumps([time.process_time() - begin, fit.criterion]), flush=True)


def _child(tree: Path, name: str, insteval: str | None) -> subprocess.Popen[str]:
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", name]
    command += [] if insteval is None else ["--insteval", insteval]
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join([str(tree), str(HERE)])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def _fit(child: subprocess.Popen[str]) -> tuple[float, float]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"a fit ended with exit status {child.wait()}")
    seconds, criterion = json.loads(line)
    return seconds, criterion


def in_turn(trees: list[Path], name: str, insteval: str | None) -> tuple[list[list[float]], list[float]]:
    """Processor times of the fits of each checkout in one round, the first left out, and their criteria."""
    children = [_child(tree, name, insteval) for tree in trees]
    criteria = [_fit(child)[1] for child in children]
    times: list[list[float]] = [[] for _ in children]
    while len(times[0]) < FEWEST or (sum(times[0]) < SECONDS and len(times[0]) < MOST):
        for own, child in zip(times, children, strict=True):
            own.append(_fit(child)[0])
    for child in children:
        child.communicate()
    return times, criteria


def main() -> None:
    """Read the command line, measure, print a Markdown table."""
    from cases import CASES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--insteval")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.insteval)
        return
    if options.other is None or not (options.other / "mixedfx").is_dir():
        parser.error("name a checkout of the other commit")
    trees = [options.other, HERE.parent]
    print("| case | other, ms | this, ms | ratios of medians | of the fastest fits | criterion, this less other |")
    print("|---|---|---|---|---|---|")
    for name in options.cases:
        rounds = [in_turn(trees, name, options.insteval) for _ in range(options.rounds)]
        medians = [[statistics.median(own) for own in times] for times, _ in rounds]
        fastest = [[min(own) for own in times] for times, _ in rounds]
        other, this = (1e3 * statistics.median(pair[k] for pair in medians) for k in (0, 1))
        of_medians, of_fastest = (", ".join(f"{b / a:.2f}" for a, b in pairs) for pairs in (medians, fastest))
        gain = rounds[0][1][1] - rounds[0][1][0]
        print(f"| {name} | {other:.2f} | {this:.2f} | {of_medians} | {of_fastest} | {gain:+.0e} |", flush=True)


if __name__ == "__main__":
    main()
