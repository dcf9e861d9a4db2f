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

    def __init__(self, matrix: NDArray[np.float64], names: Sequence[str]) -> None:
        self.matrix = matrix
        self.names = list(names)

    @Contrasts.override
    def _get_coding_matrix(self, levels: Sequence[Hashable], reduced_rank: bool = True, sparse: bool = False) -> Any:
        return self.matrix if reduced_rank else np.eye(len(levels))

    @Contrasts.override
    def get_coding_column_names(self, levels: Sequence[Hashable], reduced_rank: bool = True) -> Sequence[Hashable]:
        """Name the columns of the coding matrix."""
        return self.names if reduced_rank else list(levels)

    @Contrasts.override
    def get_coefficient_row_names(self, levels: Sequence[Hashable], reduced_rank: bool = True) -> Sequence[Hashable]:
        """Name what the coefficients stand for."""
        return ["avg", *self.names] if reduced_rank else list(levels)


def coding(factor: str, asked: Any, levels: Sequence[Any]) -> Contrasts:
    """Find the coding of one factor.

    Parameters
    ----------
    factor
        Its name, for messages.
    asked
        ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"diff"``, ``"SAS"``; a formulaic contrasts object or
        class; or a matrix (levels, columns), a pandas one giving its column names to the coefficients.
    levels
        The factor's levels, in order.

    Raises
    ------
    DataError
        For an unknown name, or a matrix that does not have one row for each level or that cannot tell the levels apart.
    """
    if isinstance(asked, Contrasts):
        return asked
    if isinstance(asked, type) and issubclass(asked, Contrasts):
        return asked()
    if isinstance(asked, str):
        if asked not in NAMES:
            raise DataError(
                f"contrasts= asks for '{asked}' coding of '{factor}', which is not known",
                mend=f"Known codings: {', '.join(NAMES)}; or pass a matrix with one row for each level.",
            )
        return getattr(ContrastsRegistry, asked)()
    try:
        matrix = np.asarray(asked, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"contrasts= for '{factor}' is a {type(asked).__name__}, neither a name nor a matrix of numbers",
            mend=f"Known codings: {', '.join(NAMES)}; or pass a matrix with one row for each level.",
        ) from None
    if matrix.ndim != 2 or len(matrix) != len(levels):
        raise DataError(
            f"contrasts= for '{factor}' has shape {matrix.shape}, but '{factor}' has {len(levels)} levels",
            mend=f"Pass a matrix with {len(levels)} rows, one for each of {', '.join(map(str, levels))}.",
        )
    full = np.column_stack([np.ones(len(matrix)), matrix])
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(full) < full.shape[1]:
        raise DataError(f"the columns of contrasts= for '{factor}' and the intercept are linearly dependent")
    names = [str(c) for c in getattr(asked, "columns", range(1, matrix.shape[1] + 1))]
    return MatrixContrasts(matrix, names)
