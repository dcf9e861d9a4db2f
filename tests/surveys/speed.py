"""Ten plausible values by eighty replicate weights, 10,000 pupils in 400 schools, a random slope: seconds of one core.

``python -m tests.surveys.speed`` prints milliseconds a fit; ``python -m tests.surveys.speed rows`` where replicates
differ within schools, so that cross-products are formed anew; ``lmer`` those of `mixedfx.lmer`, value by value;
``glmer`` those of generalised models; ``csv FILE`` writes the data for tests/reference/time_surveys.R.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.estimates import replicated, solve_all
from mixedfx.surveys.reading import read_sample


def sample(schools: int = 400, size: int = 25, values: int = 10, replicates: int = 80, within: bool = False):
    """Pupils with plausible values, (n, replicates) weights, and names."""
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(schools), size)
    n = len(school)
    ses = rng.normal(size=n)
    a, b = rng.normal(size=(2, schools))
    y = 500 + 30 * ses + 30 * a[school] + 8 * b[school] * ses + 70 * rng.normal(size=n)
    pupils = pd.DataFrame({"school": school.astype(str), "ses": ses, "y": y})
    w_school = rng.uniform(1, 6, schools)
    pupils["w_school"], pupils["w"] = w_school[school], w_school[school] * rng.uniform(1, 3, n)
    half = rng.choice([-1, 1], (schools // 2, replicates))
    sign = half[school // 2] * np.where(school % 2, 1, -1)[:, None]
    factor = 1 + 0.5 * sign
    if within:
        factor = factor * rng.uniform(0.95, 1.05, factor.shape)
    return pupils, y[:, None] + 20 * rng.normal(size=(n, values)), factor * pupils["w"].to_numpy()[:, None]


def run(within: bool = False) -> float:
    """CPU seconds of all fits, reading included."""
    pupils, Y, weights = sample(within=within)
    began = time.process_time()
    call = WeightedCall(
        "y ~ ses + (1 + ses | school)", pupils, {"row": "w", "school": "w_school"}, mx.replicates(weights, "fay")
    )
    design, order, full_weights, _, replicates, _ = read_sample(call)
    full = solve_all(design, order, full_weights.conditional, Y)
    every = replicated(full.problem, full_weights, replicates, full.estimates)
    seconds = time.process_time() - began
    assert full.estimates.converged.all()
    assert every.converged.all()
    assert len(every.beta) == 800
    return seconds


def with_values() -> tuple[pd.DataFrame, np.ndarray]:
    """Pupils with their plausible values PV1 to PV10, and replicate weights."""
    pupils, Y, weights = sample()
    return pupils.assign(**{f"PV{k + 1}": Y[:, k] for k in range(Y.shape[1])}), weights


def by_values() -> float:
    """CPU seconds of `mixedfx.lmer` with plausible values and replicates."""
    pupils, weights = with_values()
    began = time.process_time()
    mx.lmer(
        "[PV1:PV10] ~ ses + (1 + ses | school)", pupils, sampling_weights={"row": "w", "school": "w_school"},
        replicates=mx.replicates(weights, "fay"),
    )  # fmt: skip
    return time.process_time() - began


def generalised(formula: str, replicated: bool) -> float:
    """CPU seconds of `mixedfx.glmer` with a binary response."""
    pupils, weights = with_values()
    pupils["b"] = (pupils["PV1"] > 520).astype(int)
    asked = mx.replicates(weights, "fay") if replicated else None
    began = time.process_time()
    mx.glmer(
        formula, pupils, "bernoulli", sampling_weights={"row": "w", "school": "w_school"}, replicates=asked
    )  # fmt: skip
    return time.process_time() - began


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "csv":
        pupils, weights = with_values()
        pupils.assign(replicate=weights[:, 0]).to_csv(sys.argv[2], index=False)
    elif what == "glmer":
        for formula in ("b ~ ses + (1 | school)", "b ~ ses + (1 + ses | school)"):
            print(formula, *(f"{generalised(formula, replicated):.2f} s" for replicated in (False, True)))
    else:
        seconds = by_values() if what == "lmer" else run(what == "rows")
        print(f"{seconds:.2f} s of one core for 800 fits, {1000 * seconds / 800:.2f} ms each")
