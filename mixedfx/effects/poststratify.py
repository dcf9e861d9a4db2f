"""`poststratify`: average outcomes of a population from a fit and a table of its cells (Mister P).

A survey does not hold people in the proportions of the population. Multilevel regression gives an expected outcome for
every cell of a table of the population, small cells pooled with the others, and poststratification weighs the cells by
how many people they hold (Gelman & Little 1997, Survey Methodology 23:127).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mixedfx.effects.pipeline import ask
from mixedfx.effects.result import Effects
from mixedfx.effects.row_counts import WeightsLike
from mixedfx.effects.subgroups import ByLike
from mixedfx.effects.treatment import NO_TREATMENT
from mixedfx.results.protocol import Fit, NewLevels, PredictsMean, Uncertainty


def poststratify(
    fit: Fit | PredictsMean,
    cells: Any,
    weights: WeightsLike = None,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    scale: Literal["response", "link"] = "response",
    groups: Literal["fitted", "average", "integrate"] = "fitted",
    level: float = 0.95,
    new_levels: NewLevels = "sample",
    seed: int | None = None,
    uncertainty: Uncertainty = "full",
    bias_adjust: bool = False,
) -> Effects:
    """Average outcomes of a population, for everybody or for subgroups.

    Parameters
    ----------
    fit
        Any fit.
    cells
        One row for each cell of the population, with the columns of the model; any frame narwhals understands. None
        averages over the rows of the fit. A grouping column may be missing: outcomes are then averaged over the
        population of its groups, and a note says so.
    weights
        People in each cell: a column, one number per row (`mixedfx.rake` makes them from margins), or draws of
        uncertain counts (draws, rows). None: one for each row, or its trials; see `mixedfx.effects`.
    by, subgroups, scale, groups, level, new_levels, seed, uncertainty, bias_adjust
        As in `mixedfx.effects`.

    Returns
    -------
    Effects
        Its table has a row for each subgroup (and category of the response): n (cells), weight (people), estimate, sd,
        lower, upper, unseen (share of the people in cells that rest on levels the fit has not seen). It answers the
        same questions as effects do: `contrast`, `prob`, `rank`, `interaction_excess`, ...

    Raises
    ------
    EffectsError
        An unknown column or option, weights that are no counts.
    DataError
        Cells that lack a column the model needs, or (UnseenLevelError) hold a level unknown to its fixed part.

    Examples
    --------
    >>> import mixedfx as mx
    >>> import pandas as pd
    >>> star = mx.datasets.load("star")
    >>> fit = mx.lmer("math ~ race*lunch + (1 | sch)", star)
    >>> census = pd.DataFrame({"race": ["Black", "White"] * 2, "lunch": ["free"] * 2 + ["paid"] * 2, "N": [3, 4, 1, 8]})
    >>> out = mx.poststratify(fit, census, weights="N", by="race")
    >>> out.table[["race", "n", "weight"]].to_numpy().tolist()
    [['Black', 2, 4.0], ['White', 2, 12.0]]
    >>> out.notes
    ('newdata does not hold sch: estimates are averages over the population of sch.',)
    """
    return ask(
        fit,
        NO_TREATMENT,
        None,
        by=by,
        subgroups=subgroups,
        newdata=cells,
        weights=weights,
        scale=scale,
        groups=groups,
        level=level,
        new_levels=new_levels,
        seed=seed,
        uncertainty=uncertainty,
        bias_adjust=bias_adjust,
    )
