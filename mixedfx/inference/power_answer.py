"""How many groups a study needs: read off simulated powers, between the sizes that were tried or beyond them.

The power of a test at level alpha of an effect d with standard error s / sqrt(n) is about Phi(d sqrt(n) / s - z), z the
quantile of 1 - alpha / 2: its normal quantile is a line in sqrt(n). A line is fitted to the quantiles of the simulated
shares, each weighed by its binomial information; a single size gives the slope alone, with -z for the constant. Sizes
beyond those tried are extrapolations, and said to be.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
NORMAL = NormalDist()


def size_for(n: Array, power: Array, count: Array, alpha: float, target: float = 0.8) -> float:
    """Size at which the power reaches the target; NaN where it does not grow with the size.

    Parameters
    ----------
    n
        (m,) sizes tried.
    power, count
        (m,) shares of rejections, and out of how many.
    alpha
        Level of the test.
    target
        Power wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.power_answer import size_for
    >>> n = np.array([10.0, 20.0, 40.0])
    >>> exact = np.array([NORMAL.cdf(0.5 * np.sqrt(k) - 1.959964) for k in n])
    >>> round(size_for(n, exact, np.full(3, 1000.0), 0.05), 1)  # ((1.96 + 0.84) / 0.5)^2
    31.4
    """
    # a share of 0 or 1 is half a count away from it
    share = np.clip(power, 0.5 / count, 1.0 - 0.5 / count)
    quantile = np.array([NORMAL.inv_cdf(float(p)) for p in share])
    density = np.array([NORMAL.pdf(float(q)) for q in quantile])
    weight = count * density**2 / (share * (1 - share))
    root = np.sqrt(n)
    wanted = NORMAL.inv_cdf(target)
    if len(np.unique(n)) == 1:
        constant = -NORMAL.inv_cdf(1 - alpha / 2)
        slope = float(np.average(quantile, weights=weight) - constant) / float(root[0])
    else:
        centre, level = np.average(root, weights=weight), np.average(quantile, weights=weight)
        slope = float((weight * (root - centre) * (quantile - level)).sum() / (weight * (root - centre) ** 2).sum())
        constant = float(level - slope * centre)
    return float(((wanted - constant) / slope) ** 2) if slope > 0 and wanted > constant else float("nan")


def needed_table(table: pd.DataFrame, alpha: float, target: float = 0.8, by: str = "n_groups") -> pd.DataFrame:
    """For each effect (and each value of the other size) the size that the target needs.

    Returns
    -------
    DataFrame
        effect, size, the other size where it was varied, needed (rounded up; NaN where power does not grow), beyond
        (whether it lies outside the sizes tried).
    """
    other = "n_per_group" if by == "n_groups" else "n_groups"
    each: Any = table.groupby([other, "effect"])[by].nunique()
    apart = bool((each > 1).all()) and len(set(table[other])) > 1
    rows = []
    parts: Any = table.groupby(["effect", "size", *([other] if apart else [])], sort=False)
    for key, part in parts:
        n, power, count = (part[c].to_numpy(dtype=float) for c in (by, "power", "n_sim"))
        known = np.isfinite(power) & (count > 0)
        found = size_for(n[known], power[known], count[known], alpha, target) if known.any() else float("nan")
        row = dict(zip(["effect", "size", other], key, strict=False))
        tried = bool(n[known].min() <= found <= n[known].max()) if known.any() else False
        rows.append(row | {"needed": np.ceil(found - 1e-9), "beyond": not tried})
    return pd.DataFrame(rows)


def needed_sentences(table: pd.DataFrame, alpha: float, group: str, target: float = 0.8) -> tuple[str, ...]:
    """The answer to "how many groups for 80 %?", a sentence for each effect."""
    out = []
    for row in needed_table(table, alpha, target).to_dict("records"):
        own = table.loc[(table["effect"] == row["effect"]).to_numpy(), "n_groups"]
        rows = f" with {row['n_per_group']:g} rows each" if "n_per_group" in row else ""
        start = f"To find {row['effect']} = {row['size']:.3g} with a power of {100 * target:g} %"
        if np.isnan(row["needed"]):
            out.append(f"{start}: power did not grow with the number of {group}s{rows}, so that no number is known.")
            continue
        how = (
            f"beyond the {own.min():,} to {own.max():,} that were tried"
            if own.min() < own.max()
            else f"from {own.min():,} alone"
        )
        way = f" (extrapolated {how})" if row["beyond"] else ""
        out.append(f"{start}, about {row['needed']:,.0f} levels of {group} are needed{rows}{way}.")
    return tuple(out)
