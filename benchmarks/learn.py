"""Learners of heterogeneous effects: known truth, the file of the coached pupils, and timings.

    python benchmarks/learn.py truth --sets 20 --out truth.jsonl
    python benchmarks/learn.py mindset PATH/learning_mindset.csv
    python benchmarks/learn.py slopes PATH/learning_mindset.csv
    python benchmarks/learn.py speed PATH/learning_mindset.csv --peer-python OTHER/bin/python

`truth` simulates data sets of `mixedfx.datasets.simulate_mindset` and reports the root mean squared error of effects by
ethnicity and school, coverage of 90 % intervals, and calibration slopes; with `--out` a run that was broken off goes on
where it stopped. `mindset`, `slopes` and `speed` read the file of the study by the path given; it is not part of this
repository, since its licence forbids that. `speed` times the package metalearners in turn with ours where
`--peer-python` names the interpreter of an environment that has it (`make peers` makes one).
"""

import argparse
import json
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfx as mx

warnings.simplefilter("ignore")

Y, W, SCHOOL, KIND = "achievement_score", "intervention", "schoolid", "ethnicity"
POOLING = f"1 + (1 | {SCHOOL}) + (1 | {KIND})"
OTHERS = "success_expect + gender + frst_in_family + school_urbanicity + school_mindset + school_achievement + \
school_ethnic_minority + school_poverty + school_size"
OUTCOME = f"1 + {OTHERS} + (1 | {SCHOOL}) + (1 | {KIND})"
JOINT = f"1 + treatment_ + {OTHERS} + (1 + treatment_ | {SCHOOL}) + (1 + treatment_ | {KIND})"
M0 = f"{Y} ~ {W} + {OTHERS} + {KIND} + (1 + {W} | {SCHOOL})"
MIXED = f"{Y} ~ {W} + {OTHERS} + (1 + {W} | {SCHOOL}) + (1 + {W} | {KIND})"


def rmse(found, truth):
    return float(np.sqrt(np.mean((np.asarray(found) - np.asarray(truth)) ** 2)))


def covered(table, truth):
    return float(((table["lower"] <= truth.to_numpy()) & (truth.to_numpy() <= table["upper"])).mean())


def learners():
    """Learner and models by name: the defaults, and mixed models in each way."""
    outcome, effect = mx.MixedRegressor(OUTCOME), mx.MixedRegressor(POOLING)
    return {
        "R": ("R", {}),
        "T": ("T", {}),
        "X": ("X", {}),
        "T mixed": ("T", {"outcome": outcome}),
        "T mixed, arms apart": ("T", {"outcome": mx.MixedRegressor(OUTCOME, arms="apart")}),
        "S mixed": ("S", {"outcome": mx.MixedRegressor(JOINT)}),
        "X mixed": ("X", {"outcome": outcome, "effect": effect}),
        "X mixed, arms apart": ("X", {"outcome": mx.MixedRegressor(OUTCOME, arms="apart"), "effect": effect}),
        "R mixed": ("R", {"outcome": outcome, "effect": effect}),
        "DR mixed": ("DR", {"outcome": outcome, "effect": effect}),
    }


def one_set(seed, wide):
    """Errors and coverage of all methods on one data set."""
    options = {"propensities": (0.1, 0.9)} if wide else {}
    data, truth = mx.datasets.simulate_mindset(seed, **options)
    X = data.drop(columns=[Y, W])
    true = {by: truth.average(by) for by in (KIND, SCHOOL)}
    scores = mx.dr_scores(X, data[Y], data[W], groups=SCHOOL)
    out = {"seed": seed, "wide": wide}
    fit = mx.lmer(MIXED, data)
    for by in (KIND, SCHOOL):
        pooled = mx.pool_scores(scores, POOLING, data, by=by, level=0.9).table
        mixed = mx.effects(fit, W, by=by, level=0.9).table
        for name, table in (("pool_scores", pooled), ("mixed", mixed)):
            out[f"{name} rmse {by}"] = rmse(table["estimate"], true[by])
            out[f"{name} cover {by}"] = covered(table, true[by])
    if wide:
        return out
    for name, (learner, own) in learners().items():
        cate = mx.cate(learner, X, data[Y], data[W], groups=SCHOOL, **own).out_of_fold
        for by in (KIND, SCHOOL):
            out[f"{name} rmse {by}"] = rmse(mx.effects_from(cate, data, by=by).table["estimate"], true[by])
        slope = mx.calibration(cate, scores).table.iloc[0]
        out[f"{name} slope"], out[f"{name} slope se"] = float(slope["estimate"]), float(slope["std_error"])
        out[f"{name} true slope"] = float(np.polyfit(cate.values, truth.tau, 1)[0])
    return out


def truth(sets, out):
    """Every data set a line of `out`; those that are there are not made again."""
    path = Path(out) if out else None
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
    done = {(row["seed"], row["wide"]) for row in rows}
    for wide in (False, True):
        for seed in range(sets):
            if (seed, wide) not in done:
                rows.append(one_set(seed, wide))
                if path:
                    with path.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    table = pd.DataFrame(rows).query("seed < @sets").drop(columns="seed").groupby("wide").mean()
    print(table.T.to_string(), flush=True)


def read(path):
    data = pd.read_csv(path)
    for name in (SCHOOL, KIND, "gender", "frst_in_family", "school_urbanicity"):
        data[name] = data[name].astype("category")
    return data


def tuned():
    """Models of the talk: outcome of 25 trees of depth 5, propensity 5 / 3, effect 20 / 3."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    own = {"random_state": 42, "verbosity": -1, "n_jobs": 1}
    return {
        "outcome": LGBMRegressor(n_estimators=25, max_depth=5, **own),
        "propensity": LGBMClassifier(n_estimators=5, max_depth=3, **own),
        "effect": LGBMRegressor(n_estimators=20, max_depth=3, **own),
    }


def mindset(path):
    """Figures of the real file."""
    data = read(path)
    X = data.drop(columns=[Y, W])
    fit = mx.lmer(M0, data)
    sd = fit.varcorr.query(f"grp == '{SCHOOL}' and var1 == '{W}' and var2 != var2 or var1 == '{W}'")["sdcor"].iloc[0]
    z = fit.tidy().set_index("term").loc[W]
    print(f"lmer: criterion {fit.criterion:.4f}, z {z['estimate']:.5f} ({z['std_error']:.5f}), sd of z {sd:.5f}")
    # As in the talk, folds are plain ones: rows shuffled with seed 42 and cut into ten.
    from sklearn.model_selection import KFold

    folds = np.empty(len(data), dtype=int)
    for j, (_, held) in enumerate(KFold(10, shuffle=True, random_state=42).split(X)):
        folds[held] = j
    learnt = mx.cate("R", X, data[Y], data[W], folds=folds, **tuned())
    e = learnt.nuisances.e
    policies = {"none": 0, "all": 1}
    for share in (0.1, 0.3, 0.5, 0.55):
        policies[f"{share:.0%}"] = mx.treat_best(learnt.out_of_fold, share)
        policies[f"{share:.0%} at random"] = share
    print(mx.policy_value(policies, data[Y], data[W], e, cluster=data[SCHOOL]).table.round(4).to_string())
    scores = mx.dr_scores(X, data[Y], data[W], groups=SCHOOL)
    print(mx.calibration(learnt.out_of_fold, scores).table.round(3).to_string())
    print(mx.targeting(learnt.out_of_fold, scores).rate.round(4).to_string())
    print(mx.pool_scores(scores, POOLING, data, by=KIND).table.round(3).to_string())
    print(mx.pool_scores(scores, POOLING, data).table.round(4).to_string())


def slopes(path):
    """Calibration slopes on the real file, and what two arms that are pooled apart make of schools."""
    data = read(path)
    arms_apart(mx.lmer(M0, data), data)
    X, y, w = data.drop(columns=[Y, W]), data[Y], data[W]
    scores = mx.dr_scores(X, y, w, groups=SCHOOL)
    for name, (learner, own) in learners().items():
        cate = mx.cate(learner, X, y, w, groups=SCHOOL, **own).out_of_fold
        slope = mx.calibration(cate, scores).table.iloc[0]
        by_school = pd.Series(cate.values).groupby(data[SCHOOL], observed=True).mean()
        print(
            f"{name}: slope {slope['estimate']:.2f} ({slope['std_error']:.2f}), sd of effects {cate.values.std():.3f}, "
            f"between schools {by_school.std():.3f}",
            flush=True,
        )


def arms_apart(fit, data):
    """Slope to expect where the mean of each arm of a school is shrunk by itself, from the variances of a joint model.

    Schools have levels a_j and effects g_j, means of an arm errors of variance s^2 / n. An arm keeps B of what it sees
    of its own level (a, or a + g), and the slope is the covariance of g with B1 (a + g + e1) - B0 (a + e0) over the
    variance of the latter; by itself a difference would keep D.
    """
    V = fit.varcorr.query(f"grp == '{SCHOOL}'").set_index(["var1", "var2"])["vcov"]
    of = {key: float(value) for key, value in V.items()}
    a, g = (next(v for (i, j), v in of.items() if i == name and pd.isna(j)) for name in ("Intercept", W))
    ag = next(v for (i, j), v in of.items() if not pd.isna(j))
    n = data.groupby([SCHOOL, W], observed=True).size().unstack().to_numpy()
    e0, e1 = fit.sigma**2 / n.T
    u1 = a + g + 2 * ag
    B0, B1, D = a / (a + e0), u1 / (u1 + e1), g / (g + e0 + e1)
    found = B1**2 * (u1 + e1) + B0**2 * (a + e0) - 2 * B1 * B0 * (a + ag)
    slope = (n.sum(axis=1) * (B1 * (g + ag) - B0 * ag)).sum() / (n.sum(axis=1) * found).sum()
    kept = ", ".join(f"{name} {np.median(B):.2f}" for name, B in (("control", B0), ("treated", B1), ("difference", D)))
    print(f"kept of what a median school shows: {kept}; slope to expect of arms pooled apart {slope:.2f}", flush=True)


def speed(path, peer_python, rounds=3):
    """Seconds of processor time and of the clock; the peer in turn with ours."""
    data = read(path)
    X, y, w = data.drop(columns=[Y, W]), data[Y], data[W]
    bases = {
        "outcome": mx.MixedRegressor(OUTCOME),
        "effect": mx.MixedRegressor(POOLING),
        "propensity": mx.MixedClassifier("1 + success_expect + (1 | schoolid)"),
    }
    scores = mx.dr_scores(X, y, w, groups=SCHOOL)
    mx.pool_scores(scores, POOLING, data, by=SCHOOL)  # compiled kernels are loaded once
    cate = mx.cate("R", X, y, w, folds=10).out_of_fold
    for name, work in {
        "DR-learner, mixed models, 5 folds": lambda: mx.cate("DR", X, y, w, groups=SCHOOL, **bases),
        "pool_scores": lambda: mx.pool_scores(scores, POOLING, data, by=SCHOOL),
        "budget curve, 1,000 samples": lambda: mx.targeting(cate, scores),
    }.items():
        cpu, clock = timed(work)
        print(f"{name}: {cpu:.2f} s CPU, {clock:.2f} s", flush=True)
    peer = None
    if peer_python:
        script = Path(__file__).parent / "peers" / "metalearners_r.py"
        peer = subprocess.Popen(
            [peer_python, str(script), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert peer.stdout is not None
        print(peer.stdout.readline().strip())  # versions, once its first fit is done
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(timed(lambda: mx.cate("R", X, y, w, folds=10, seed=42)))
        told = f"R-learner, LightGBM, 10 folds: {ours[-1][0]:.2f} s CPU, {ours[-1][1]:.2f} s"
        if peer is not None:
            assert peer.stdin is not None
            assert peer.stdout is not None
            peer.stdin.write("again\n")
            peer.stdin.flush()
            theirs.append(json.loads(peer.stdout.readline()))
            told += f"; metalearners {theirs[-1][0]:.2f} s CPU, {theirs[-1][1]:.2f} s"
        print(told, flush=True)
    if peer is not None:
        peer.communicate("")
        ratio = np.array([mine[0] / other[0] for mine, other in zip(ours, theirs, strict=True)])
        print(f"ours / metalearners, CPU: {', '.join(f'{one:.2f}' for one in ratio)}; median {np.median(ratio):.2f}")


def timed(work):
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - clock


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["truth", "mindset", "slopes", "speed"])
    parser.add_argument("path", nargs="?")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--out")
    parser.add_argument("--peer-python")
    given = parser.parse_args()
    {
        "truth": lambda: truth(given.sets, given.out),
        "mindset": lambda: mindset(given.path),
        "slopes": lambda: slopes(given.path),
        "speed": lambda: speed(given.path, given.peer_python),
    }[given.what]()
