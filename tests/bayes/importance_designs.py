"""Random designs of generalised linear mixed models, easy and hard, for the forecast of importance weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.bayes.importance import engine
from mixedfx.bayes.importance.modes import find_modes
from mixedfx.bayes.importance.target import GlmmTarget, build_target
from mixedfx.bayes.model_design import model_design
from mixedfx.errors import MixedfxWarning
from mixedfx.families.registry import find_family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from tests.resumable import resumed

DRAWS = 2000


def target_of(formula: str, data: pd.DataFrame, family: str, priors=None) -> GlmmTarget:
    """The posterior of a model, as the engine sees it."""
    kind = find_family(family)
    design = model_design(formula, data, kind, stacklevel=2)
    return build_target(design, kind, resolve(prior_set(priors), scales_of(design, kind)))


def design(rng: np.random.Generator) -> tuple[str, pd.DataFrame, str]:
    """Formula, data and family: one factor, slopes, crossed or nested factors, of random sizes and sds."""
    kind = rng.choice(["one", "slopes", "crossed", "nested", "crossed", "nested"])
    family = rng.choice(["bernoulli", "binomial", "poisson"])
    levels = int(np.exp(rng.uniform(np.log(8), np.log(80))))
    rows = int(rng.integers(1, 5))
    g = np.repeat(np.arange(levels), rows)
    n, x = len(g), rng.normal(size=len(g))
    sd = rng.uniform(0.5, 4.0, 3)
    others = int(np.exp(rng.uniform(np.log(4), np.log(60))))
    h = rng.integers(0, others, n) if kind == "crossed" else rng.integers(0, others, levels)[g]
    eta = rng.normal() + 0.5 * x + sd[0] * rng.normal(size=levels)[g]
    terms = "(1 | g)"
    if kind == "slopes":
        eta, terms = eta + sd[1] * rng.normal(size=levels)[g] * x, "(1 + x | g)"
    elif kind != "one":
        eta, terms = eta + sd[2] * rng.normal(size=others)[h], "(1 | g) + (1 | h)"
    frame = pd.DataFrame({"x": x, "g": g.astype(str), "h": h.astype(str), "m": 5})
    if family == "poisson":
        frame["y"] = rng.poisson(np.exp(np.minimum(eta - 1, 5)))
    else:
        frame["y"] = rng.binomial(5 if family == "binomial" else 1, 1 / (1 + np.exp(-eta)))
    return f"y{' | trials(m)' if family == 'binomial' else ''} ~ x + {terms}", frame, str(family)


def compare(index: int) -> dict[str, float]:
    """The forecast of one design, and k-hat of its weights, whatever the forecast says."""
    rng = np.random.default_rng([20261128, index])
    target = target_of(*design(rng))
    modes, start = find_modes(target)
    expected = engine.forecast(target, modes, start, rng)
    adapted = engine._adapted(target, modes, start, expected.rule, rng)
    found, rule, _ = engine.weigh(
        target, adapted.proposal, start, expected.rule, DRAWS, rng, lambda *stage: None, engine.RELIABLE
    )
    passes = found.k_hat <= engine.RELIABLE and found.share >= engine.LEAST_SHARE
    return {
        "variance": expected.variance, "points": float(rule.points), "k_hat": found.k_hat,
        "share": found.share, "forecast": float(expected.passes), "passes": float(passes),
        "q2": float(target.rows.q2), "n": float(target.rows.n), "levels": float(target.rows.n_levels),
    }  # fmt: skip


def compared(count: int, folder: Path) -> pd.DataFrame:
    """Forecasts and outcomes of `count` designs."""

    def one(index: int) -> list[dict[str, float]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # of few levels, and of levels with a row each
            return [compare(index)]

    return resumed("forecast", __file__, count, folder, one)
