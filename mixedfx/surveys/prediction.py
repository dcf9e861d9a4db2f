"""Predictions and draws of a weighted fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.design.rows_used import row_index
from mixedfx.draws import Draws
from mixedfx.errors import check_count, check_flag, check_level, check_option, check_seed
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.results.protocol import NewLevels
from mixedfx.results.tables import draw_keys, t_test
from mixedfx.results.undetermined import determined, warn_rows
from mixedfx.surveys.state import WeightedState


def predict(
    fit: WeightedState, newdata: Any, new_levels: NewLevels, groups: Literal["fitted", "average"], se: bool,
    level: float, na: Na,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predicted means, NaN for rows that lack a value; see `WeightedFit.predict`."""
    check_option("groups", groups, ("fitted", "average"))
    check_flag("se", se)
    check_level(level)

    def ask(frame: Any, _: Any) -> pd.Series | pd.DataFrame:
        rows = fit.design_for(frame, "population" if groups == "average" else new_levels)
        if groups == "average":
            rows = replace(rows, random=sparse.csr_array(rows.random.shape))
        found = determined(fit.apply(rows), rows)
        warn_rows(fit.design, rows.null)
        index = row_index(fit.design, frame, len(rows))
        if not se:
            return pd.Series(found.mean, index=index, name="predicted")
        sd = np.sqrt(found.variances)
        half = t_test(np.zeros_like(sd), sd, np.full(len(sd), fit.df), level)[1]
        table = {"estimate": found.mean, "se": sd, "lower": found.mean - half, "upper": found.mean + half}
        return pd.DataFrame(table, index=index)

    return over_incomplete(fit.design, newdata, None, na, (), ask)


def draws(fit: WeightedState, n: int | None, seed: int | None) -> Draws:
    """Joint draws of (beta, u), with the family's parameters at their estimates."""
    check_seed(seed)
    count = 1000 if n is None else n
    check_count("n", count)
    beta, u = fit.solution.modes.draw(count, np.random.default_rng(seed))
    known = fit.family_parameters
    others = np.tile(list(known.values()), (count, 1)).reshape(count, len(known))
    keys = (*draw_keys(fit.design), *((name,) for name in known))
    return Draws(keys, np.concatenate([beta, u, others], axis=1)[None], fit.uncertainty)
