"""Codings of factors asked for with ``contrasts=``: by name, as a formulaic object, or as a matrix.

This module imports formulaic and is itself imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from formulaic.transforms.contrasts import Contrasts, ContrastsRegistry
from numpy.typing import NDArray

from mixedfx.errors import DataError

NAMES = ("treatment", "sum", "helmert", "poly", "diff", "SAS")


class MatrixContrasts(Contrasts):
    """A coding matrix given by the caller, one row for each level.

    Where a term needs all levels (``0 + race``), they are dummy coded, as R does and as the named codings do.
    """

    FACTOR_FORMAT_REDUCED = "{name}[{field}]"

    def __init__(self, factor: str, matrix: NDArray[np.float64], names: Sequence[str]) -> None:
        self.factor = factor
        self.matrix = matrix
        self.names = list(names)

    @Contrasts.override
    def _get_coding_matrix(self, levels: Sequence[Hashable], reduced_rank: bool = True, sparse: bool = False) -> Any:
        if len(self.matrix) != len(levels):
            raise DataError(
                f"contrasts= for '{self.factor}' has shape {self.matrix.shape}, but '{self.factor}' has "
                f"{len(levels)} levels",
                hint=f"Pass a matrix with {len(levels)} rows, one for each of {', '.join(map(str, levels))}.",
            )
        return self.matrix if reduced_rank else np.eye(len(levels))

    @Contrasts.override
    def get_coding_column_names(self, levels: Sequence[Hashable], reduced_rank: bool = True) -> Sequence[Hashable]:
        """Name the columns of the coding matrix."""
        return self.names if reduced_rank else list(levels)

    @Contrasts.override
    def get_coefficient_row_names(self, levels: Sequence[Hashable], reduced_rank: bool = True) -> Sequence[Hashable]:
        """Name what the coefficients stand for."""
        return ["avg", *self.names] if reduced_rank else list(levels)


def coding(factor: str, asked: Any) -> Contrasts:
    """Find the coding of one factor.

    Parameters
    ----------
    factor
        Its name, for messages.
    asked
        ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"diff"``, ``"SAS"``; a formulaic contrasts object or
        class; or a matrix (levels, columns), a pandas one giving its column names to the coefficients.

    Raises
    ------
    DataError
        For an unknown name, or a matrix whose columns are linearly dependent, alone or with the intercept.
    """
    if isinstance(asked, Contrasts):
        return asked
    if isinstance(asked, type) and issubclass(asked, Contrasts):
        return asked()
    known = f"Known codings: {', '.join(NAMES)}; or pass a matrix with one row for each level."
    if isinstance(asked, str):
        if asked not in NAMES:
            raise DataError(f"contrasts= asks for '{asked}' coding of '{factor}', which is not known", hint=known)
        return getattr(ContrastsRegistry, asked)()
    try:
        matrix: NDArray[np.float64] | None = np.asarray(asked, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = None
    if matrix is None or matrix.ndim != 2:
        raise DataError(
            f"contrasts= for '{factor}' is a {type(asked).__name__}, neither a name nor a matrix of numbers", hint=known
        )
    full = np.column_stack([np.ones(len(matrix)), matrix])
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(full) < full.shape[1]:
        raise DataError(f"the columns of contrasts= for '{factor}' and the intercept are linearly dependent")
    names = [str(c) for c in getattr(asked, "columns", range(1, matrix.shape[1] + 1))]
    return MatrixContrasts(factor, matrix, names)
