"""Products of cells, from their sums, are those of their rows."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.aggregates import Cells
from mixedfx.design.build import build_design
from mixedfx.pls.cell_products import cell_products
from mixedfx.pls.crossproducts import Accumulator, accumulated, fixed_part
from mixedfx.pls.factors import group_factors


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_sums_of_cells_give_the_products_of_rows():
    """y ~ x * f + (1 + x | g) + (1 | h) with weights, two rows to a dozen in each cell of g, h and f."""
    rng = np.random.default_rng(3)
    n = 1500
    frame = pd.DataFrame({name: rng.integers(0, q, n) for name, q in (("g", 15), ("h", 6), ("f", 2))})
    frame["x"], frame["w"] = rng.normal(50.0, 2.0, n), rng.uniform(0.5, 2.0, n)
    frame["y"] = 3 * frame["x"] + rng.normal(size=n)
    design = build_design("y ~ x * f + (1 + x | g) + (1 | h)", frame, weights="w")
    factors, fixed = group_factors(design), fixed_part(design)
    rows = accumulated(design, factors)

    cell, keys = frame.groupby(["g", "h", "f"]).ngroup().to_numpy(), frame[["g", "h", "f"]].drop_duplicates()
    keys = keys.sort_values(["g", "h", "f"]).to_numpy()
    centres = np.array([frame["x"].mean(), frame["y"].mean()])
    d = np.column_stack([np.ones(n), frame["x"] - centres[0], frame["y"] - centres[1]])
    sums = np.zeros((len(keys), 3, 3))
    np.add.at(sums, cell, frame["w"].to_numpy()[:, None, None] * d[:, :, None] * d[:, None, :])
    one = np.tile(np.array([1.0, 0.0, 0.0]), (len(keys), 1))
    x, f = one * centres[0] + np.array([0.0, 1.0, 0.0]), keys[:, 2, None]
    assert design.fixed_names == ("Intercept", "x", "f", "x:f")
    cells = Cells(
        sums, np.stack([one, x, one * f, x * f], axis=2), (np.stack([one, x], axis=2), one[:, :, None]),
        (keys[:, 0], keys[:, 1]),
    )  # fmt: skip

    found = Accumulator(fixed, factors)
    found.add_cells(*cell_products(cells, fixed, factors, float(centres[1])))
    # cancelled: x is 25 deviations from zero, and Q = X / R subtracts what rows subtract as well
    np.testing.assert_allclose(found.ww, rows.ww, rtol=1e-11, atol=1e-11 * np.abs(rows.ww).max())
    np.testing.assert_allclose(found.by_level, rows.by_level, rtol=1e-11, atol=1e-11 * np.abs(rows.by_level).max())
    for name in ("gram", "zw"):
        ours, theirs = (getattr(a.second, name) for a in (found, rows))
        ours, theirs = (a if isinstance(a, np.ndarray) else a.toarray() for a in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * np.abs(theirs).max())
    np.testing.assert_allclose(found.second.values, rows.second.values, rtol=1e-11, atol=1e-10)
