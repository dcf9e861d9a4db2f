"""Forests of effect sizes: time beside scikit-learn's, and of the comparison that leaves out every study.

    python benchmarks/forests.py speed [REPEATS]
    python benchmarks/forests.py once [PRESELECTIONS]
    python benchmarks/forests.py nested PRESELECTIONS FOLDS

All on `mixedfx.datasets.simulate_review`: 1,109 effects of 191 studies, 43 moderators. `speed` grows 500 trees with
permutation importance by `mixedfx.metaforest`, and 500 by `RandomForestRegressor` followed by scikit-learn's generic
`permutation_importance` (one repetition, and once five, its default), in turn; scikit-learn's are not out of bag and
know no clusters. `once` and `nested` are `mixedfx.explained_heterogeneity` with both approaches.
"""

import sys
import time
import warnings
from contextlib import contextmanager

import numpy as np

import mixedfx as mx
from mixedfx.datasets.reviews import BLOCKS

warnings.simplefilter("ignore")

MODERATORS = [name for part in BLOCKS.values() for name in part]
FORMULA = "yi ~ " + " + ".join(MODERATORS)
JOBS = 2


@contextmanager
def timed(name, into):
    """Processor and wall seconds of a block."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    into.setdefault(name, []).append((time.process_time() - cpu, time.perf_counter() - wall))


def speed(repeats):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    review, _ = mx.datasets.simulate_review(seed=1)
    found = {}
    mx.metaforest(FORMULA, review, cluster="study", n_trees=20, seed=0)  # compiled code is loaded
    for seed in range(repeats):
        for jobs in (1, JOBS):
            with timed(f"metaforest, {jobs} threads", found):
                forest = mx.metaforest(FORMULA, review, cluster="study", seed=seed, n_jobs=jobs)
        X, y = forest.data.X, forest.data.y
        peer = RandomForestRegressor(500, max_features="sqrt", min_samples_split=6, n_jobs=JOBS, random_state=seed)
        with timed(f"scikit-learn, fit, {JOBS} threads", found):
            peer.fit(X, y)
        for again in (1, 5) if seed == 0 else (1,):
            with timed(f"scikit-learn, importance, n_repeats={again}", found):
                permutation_importance(peer, X, y, n_repeats=again, random_state=seed)
    for name, values in found.items():
        cpu, wall = np.array(values).T
        print(
            f"{name:40s} CPU {np.median(cpu):7.3f} s ({cpu.min():.3f} to {cpu.max():.3f}), wall {np.median(wall):7.3f}"
        )
    mine = np.array(found[f"metaforest, {JOBS} threads"])
    fit = np.array(found[f"scikit-learn, fit, {JOBS} threads"])
    for again in (1, 5):
        own = np.array(found[f"scikit-learn, importance, n_repeats={again}"])
        cpu, wall = ((fit[: len(own)] + own) / mine[: len(own)]).T
        print(
            f"ratio, n_repeats={again}: CPU {np.median(cpu):.1f} (smallest {cpu.min():.1f}), wall {np.median(wall):.1f}"
        )


def compared(selection, folds, repeats):
    review, _ = mx.datasets.simulate_review(seed=1)
    blocks = {name: list(part) for name, part in BLOCKS.items()}
    found = {}
    forest = mx.metaforest(FORMULA, review, cluster="study", importance=False, seed=1, n_jobs=JOBS)
    with timed("one preselection", found):
        forest.preselect(1)
    with timed(selection, found):
        answer = mx.explained_heterogeneity(
            f"{FORMULA} + (1 | study/esid)", review, cluster="study", selection=selection, blocks=blocks,
            always="methods", forest={"n_jobs": JOBS}, preselect={"repeats": repeats}, folds=folds, seed=1,
        )  # fmt: skip
    print(answer.table.to_string())
    for name, values in found.items():
        cpu, wall = values[0]
        print(f"{name}, {folds or 191} parts, {repeats} preselections: CPU {cpu:.0f} s, wall {wall:.0f} s")


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        speed(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    else:
        repeats, folds = [*map(int, sys.argv[2:]), None, None][:2]
        compared(sys.argv[1], folds, repeats or 100)
