r"""Cross-products of a design from sums that a database made of cells of rows, for the accumulator of all rows.

Rows that share all levels are a cell. There every column is the same combination of the centred values d that the
database summed (`mixedfx.design.aggregates`): x = A'd, z_t = A_t'd, y = e'd + c_y. The columns that products are formed
of, W = [Q, y - Q gamma] with Q = X R_0^{-1}, and the covariates z B^{-1} of the factors, are then combinations as well,

    W = d'T_W,    T_W = [A R_0^{-1}, e_y - A R_0^{-1} gamma],        z_used = d'T_z,    T_z = A_t B^{-1},

and with S = sum w d d' of the cell

    W'W = sum_cells T_W'S T_W,       z'[W, z] = T_z'S [T_W, T_z]    in each cell.

R_0, gamma and B come from a sample, as where rows are read in batches (`mixedfx.pls.streamed`). The sums are of numbers
about their means, so that columns far from zero lose no digits in them; monomials that are nearly combinations of each
other (a column and its square) lose twice those that rows would, as always where products are formed first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.aggregates import Aggregates, Cells
from mixedfx.design.group_codes import GroupCodes
from mixedfx.design.spec import DesignSpec
from mixedfx.pls.basis import used_columns
from mixedfx.pls.crossproducts import Accumulator, Fixed, orthogonal_columns
from mixedfx.pls.factors import GroupFactor

Vector = NDArray[np.float64]

NUMBERS = 2**23  # in one array of a block of cells


def add_aggregates(
    found: Accumulator, factors: tuple[GroupFactor, ...], whole: Aggregates, spec: DesignSpec,
    codes: Mapping[tuple[str, ...], GroupCodes],
) -> None:  # fmt: skip
    """Take in all cells, a block of them at a time."""
    width = len(found.fixed.R) + 1 + sum(group.k for group in factors)
    size = max(1, NUMBERS // (width * (len(whole.centres) + 1)))
    for cells in whole.cells(spec, codes, size):
        found.add_cells(*cell_products(cells, found.fixed, factors, float(whole.centres[-1])))


def cell_products(
    cells: Cells, fixed: Fixed, factors: tuple[GroupFactor, ...], centre: float
) -> tuple[tuple[NDArray[np.intp], ...], Vector, Vector]:
    """Levels of each factor (q,), z'[W, z] (q, K, p + 1 + K) of each cell, and W'W (p + 1, p + 1) of all.

    Parameters
    ----------
    cells
        The cells.
    fixed
        R_0 and gamma.
    factors
        The factors in the order of elimination, with their bases.
    centre
        c_y, the centre of the response.
    """
    q, m, p = cells.fixed.shape
    T = np.zeros((q, m, p + 1 + sum(group.k for group in factors)))
    Q = orthogonal_columns(cells.fixed.reshape(q * m, p), fixed.R, fixed.inverse).reshape(q, m, p)
    T[:, :, :p] = Q
    T[:, :, p] = -(Q @ fixed.gamma)
    T[:, m - 1, p] += 1.0
    T[:, 0, p] += centre
    at, levels = p + 1, []
    for group in factors:
        for block in group.blocks:
            left = cells.left[block.term]
            k, basis = left.shape[2], group.basis[block.columns, block.columns]
            first = at + block.first
            T[:, :, first : first + k] = used_columns(left.reshape(q * m, k), basis).reshape(q, m, k)
        levels.append(cells.levels[group.blocks[0].term] if group.blocks else np.zeros(q, dtype=np.intp))
        at += group.k
    ST = cells.sums @ T
    ww = T[:, :, : p + 1].reshape(q * m, p + 1).T @ ST[:, :, : p + 1].reshape(q * m, p + 1)
    return tuple(levels), T[:, :, p + 1 :].transpose(0, 2, 1) @ ST, (ww + ww.T) / 2.0
