"""GOSH: the model fitted to all subsets of the estimates, or to many random ones, in batches.

A graphical display of study heterogeneity (Olkin, Dahabreh and Trikalinos 2012, Research Synthesis Methods 3(3)) shows
how estimates and I^2 of subsets scatter: two clouds are two kinds of studies, and the colour of one estimate's subsets
says whether it makes the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_count, check_seed
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.influence import subsets
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.plots.picture import Picture
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

BATCH = 16384
SUBSETS = 100_000


@dataclass(frozen=True, repr=False)
class Gosh(Shown):
    """Fits of subsets.

    Attributes
    ----------
    table
        k, the coefficients (``estimate`` without moderators), QE, I2, H2, tau2 of each subset.
    included
        (B, k) which estimates a subset has.
    slab
        Labels of the estimates.
    complete
        Whether there are all subsets.
    """

    table: pd.DataFrame
    included: NDArray[np.bool_]
    slab: tuple[str, ...]
    complete: bool

    def content(self) -> SummaryContent:
        """What is shown."""
        kind = "all that have enough estimates" if self.complete else "a random sample"
        facts = SummaryFacts((("Subsets", f"{len(self.table):,}, {kind}"),))
        spread: Any = self.table.describe(percentiles=[0.025, 0.5, 0.975]).T.drop(columns="count")
        return SummaryContent("Fits of subsets", (facts, frame_table(spread.rename_axis("of"), "Distribution")))

    def plot(self, x: str = "estimate", y: str = "I2", out: str | None = None, ax: Any = None) -> Picture:
        """Scatter of two columns; subsets with the estimate `out` (a label) in another colour."""
        from mixedfx.plots.gosh import gosh as draw

        chosen = None if out is None else self.included[:, self.slab.index(out)]
        return Picture(draw(self.table, x, y, chosen, out, ax))


def gosh(fit: RmaState, n: int, seed: int | None) -> Gosh:
    """Fits behind `RmaFit.gosh`."""
    check_count("n", n)
    check_seed(seed)
    complete = 2**fit.k - 1 <= n
    parts, included = [], []
    for use in _all(fit.k) if complete else _random(fit.k, n, np.random.default_rng(seed)):
        use = use[use.sum(axis=1) >= max(fit.p, 1)]
        found = subsets(fit, use)
        columns: dict[str, Any] = {"k": use.sum(axis=1).astype(int)}
        alone = fit.names == ("Intercept",)
        columns |= {"estimate" if alone else name: found.beta[:, j] for j, name in enumerate(fit.names)}
        columns |= {"QE": found.QE, "I2": found.I2, "H2": found.H2, "tau2": found.tau2}
        table = pd.DataFrame(columns)
        whole = table.notna().all(axis=1).to_numpy()
        parts.append(table[whole])
        included.append(use[whole] > 0)
    return Gosh(pd.concat(parts, ignore_index=True), np.concatenate(included), fit.slab, complete)


def _all(k: int) -> Iterator[Array]:
    for start in range(1, 2**k, BATCH):
        numbers = np.arange(start, min(start + BATCH, 2**k))
        yield ((numbers[:, None] >> np.arange(k)) & 1).astype(np.float64)


def _random(k: int, n: int, rng: np.random.Generator) -> Iterator[Array]:
    """Subsets with each estimate in or out by the toss of a coin, none of them empty."""
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        use = (rng.random((size, k)) < 0.5).astype(np.float64)
        while (empty := np.flatnonzero(use.sum(axis=1) == 0)).size:
            use[empty] = rng.random((len(empty), k)) < 0.5
        yield use
