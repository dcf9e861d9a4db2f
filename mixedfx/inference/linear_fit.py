"""What belongs to a linear model alone: R squared, its F test, and the comparison of nested ones by F.

With weighted residual squares RSS = sum w (y - X b)^2 on n - p degrees of freedom and MSS = sum w (f - m)^2, f the
fitted values without the offset and m their weighted mean (0 where there is no intercept), R^2 = MSS / (MSS + RSS), and
F = (MSS / k) / (RSS / (n - p)) with k the coefficients besides the intercept. Of two nested models, F = ((RSS_0 -
RSS_1) / (p_1 - p_0)) / (RSS / (n - p)), the scale that of the largest model compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearStatistics:
    """Numbers about a whole linear model.

    Attributes
    ----------
    r2, adjusted
        Share of the variance explained, and adjusted for the number of coefficients.
    f, num_df, den_df, p_value
        F test of all coefficients besides the intercept; NaN where there are none.
    rss
        Weighted residual sum of squares.
    """

    r2: float
    adjusted: float
    f: float
    num_df: int
    den_df: int
    p_value: float
    rss: float


def linear_statistics(design: Design, beta: Array) -> LinearStatistics:
    """R squared and F of a design without random terms.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> from mixedfx.inference.linear_fit import linear_statistics
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
    >>> fit = mx.lmer("y ~ x", data)
    >>> round(linear_statistics(fit.design, fit.fixef.to_numpy()).r2, 2)
    0.98
    """
    n, p = design.X.shape
    constant = "Intercept" in design.fixed_names
    if design.streamed is not None:  # the same lengths and angles, of rows that are not held
        problem = design.streamed.products(True)
        rss, scaled = float(problem.ww[-1, -1]), problem.R @ beta
        ones = problem.R[:, design.fixed_names.index("Intercept")] if constant else scaled
    else:
        precision = design.precision
        fitted = design.X @ beta
        residual = precision.whiten(design.y - design.offset - fitted)
        rss = float(residual @ residual)
        ones, scaled = precision.whiten(np.ones(n)), precision.whiten(fitted)
    centred = scaled - ones * float(ones @ scaled) / float(ones @ ones) if constant else scaled
    mss = float(centred @ centred)
    num, den = p - constant, n - p
    r2 = mss / (mss + rss) if mss + rss > 0 else np.nan
    if num == 0 or den <= 0:
        return LinearStatistics(r2, np.nan, np.nan, num, den, np.nan, rss)
    from scipy import special

    f = np.inf if rss == 0 else (mss / num) / (rss / den)
    adjusted = 1 - (1 - r2) * (n - constant) / den
    return LinearStatistics(r2, adjusted, f, num, den, float(special.fdtrc(num, den, f)), rss)


def is_linear(fit: Any) -> bool:
    """Whether a fit is a linear model with one unknown residual variance, to which F tests belong."""
    design = fit.design
    return (
        not design.random and design.sigma is None and design.dispersion is None and fit.family.linear_gaussian
        and not hasattr(fit, "nAGQ")
    )  # fmt: skip


def f_comparison(fits: Sequence[Any]) -> pd.DataFrame:
    """Nested linear models by F, from the smallest to the largest.

    Returns
    -------
    DataFrame
        model, den_df (residual degrees of freedom), rss, num_df, sum_sq, f_value, p_value; each row is tested against
        the one above, the scale that of the largest model.
    """
    from scipy import special

    found = [linear_statistics(fit.design, fit.fixef.to_numpy()) for fit in fits]
    largest = found[-1]
    scale = largest.rss / largest.den_df if largest.den_df > 0 else np.nan
    rows: list[dict[str, Any]] = []
    for k, (fit, own) in enumerate(zip(fits, found, strict=True)):
        row = {"model": str(fit.formula), "den_df": own.den_df, "rss": own.rss}
        if k == 0:
            row |= {"num_df": np.nan, "sum_sq": np.nan, "f_value": np.nan, "p_value": np.nan}
        else:
            df, squares = found[k - 1].den_df - own.den_df, found[k - 1].rss - own.rss
            f = squares / df / scale if df > 0 else np.nan
            p = float(special.fdtrc(df, largest.den_df, max(f, 0.0))) if df > 0 else np.nan
            row |= {"num_df": df, "sum_sq": squares, "f_value": f, "p_value": p}
        rows.append(row)
    return pd.DataFrame(rows)
