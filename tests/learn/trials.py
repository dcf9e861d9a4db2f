"""Small experiments with known effects, for the tests of learners."""

import numpy as np
import pandas as pd


def linear_trial(n=2000, arms=2, seed=0, binary=False):
    """Outcomes linear in x1 and x2; the effect of arm k is k (1 + x1); arms more probable where x2 is high."""
    rng = np.random.default_rng(seed)
    x1, x2 = rng.standard_normal((2, n))
    logits = np.column_stack([np.zeros(n)] + [0.5 * x2] * (arms - 1))
    e = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    w = (rng.random(n)[:, None] > e.cumsum(axis=1)).sum(axis=1)
    tau = np.column_stack([k * (1 + x1) for k in range(arms)])
    mean = 1 + x1 - x2 + tau[np.arange(n), w]
    if binary:
        mean = 0.3 + 0.1 * np.tanh(x1) + 0.2 * w * (x1 > 0)
        y = (rng.random(n) < mean).astype(float)
        tau = np.column_stack([np.zeros(n), 0.2 * (x1 > 0)])
    else:
        y = mean + 0.5 * rng.standard_normal(n)
    return pd.DataFrame({"x1": x1, "x2": x2}), y, w, e, tau[:, 1:]


def folds_of(n, k=3):
    return np.random.default_rng(9).integers(k, size=n)
