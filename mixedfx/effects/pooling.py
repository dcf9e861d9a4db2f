"""Numbers that each of several data sets knows, as one: Rubin's rules for functionals and for draws.

Linear numbers stay functionals: a combination of rows of a table (a contrast of subgroups, say) is put to each fit, and
pooled by Rubin's rules (`mixedfx.surveys.rubin`). Draws are put together, the mean of each data set moved away from
their common mean by sqrt((m + 1) / (m - 1)): the variance of all is then that of the rules, W + (1 + 1/m) B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.effects.quantities import Drawn, Exact, Monotone, Quantities
from mixedfx.surveys.pooled_linear import PooledLinear

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledRows:
    """s numbers that each of m fits knows, in the place of a fit: its coefficients are the numbers.

    Attributes
    ----------
    parts
        For each data set its s functionals and its fit.
    """

    parts: tuple[Exact, ...]

    def rows(self) -> Functional:
        """The numbers themselves."""
        first = self.parts[0].functional
        none = sparse.csr_array((len(first), 0))
        rows = Functional(np.eye(len(first)), none, none, (), np.zeros(len(first)), first.unseen)
        return replace(rows, null=first.null)

    def apply(self, functional: Functional) -> PooledLinear:
        """What is known of combinations of the numbers."""
        K = functional.fixed
        return PooledLinear([part.fit.apply(part.functional.combine(K)) for part in self.parts], functional.offset)


def pooled_quantities(parts: Sequence[Quantities]) -> Quantities:
    """The same numbers, known from each of m data sets."""
    exact = [part for part in parts if isinstance(part, Exact)]
    if len(exact) == len(parts):
        pooled = PooledRows(tuple(exact))
        return Exact(pooled, pooled.rows(), exact[0].seed)  # pyright: ignore[reportArgumentType]
    curves = [part for part in parts if isinstance(part, Monotone)]
    if len(curves) == len(parts):
        base = pooled_quantities([part.base for part in curves])
        assert not isinstance(base, Monotone)
        return Monotone(base, curves[0].curve)
    return _pooled_draws([Drawn(part.draws(), part.unseen) if not isinstance(part, Drawn) else part for part in parts])


def _pooled_draws(parts: Sequence[Drawn]) -> Drawn:
    m = len(parts)
    means = np.array([part.values.mean(axis=0) for part in parts])
    center = means.mean(axis=0)
    away = (np.sqrt((m + 1.0) / (m - 1.0)) - 1.0) * (means - center)
    values = np.concatenate([part.values + shift for part, shift in zip(parts, away, strict=True)])
    return replace(parts[0], values=values)


def pooled_raw(estimates: Array, errors: Array) -> tuple[Array, Array]:
    """Rubin's estimate and standard error of numbers that each data set estimates with an error of its own.

    Parameters
    ----------
    estimates, errors
        (m, s) of each data set.

    Returns
    -------
    tuple of ndarray
        (s,) each; NaN where some data set has no estimate or no error.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.effects.pooling import pooled_raw
    >>> mean, error = pooled_raw(np.array([[1.0], [2.0], [3.0]]), np.full((3, 1), 0.5))
    >>> mean.tolist(), error.round(4).tolist()
    ([2.0], [1.2583])
    """
    m = len(estimates)
    between = estimates.var(axis=0, ddof=1)
    return estimates.mean(axis=0), np.sqrt((errors**2).mean(axis=0) + (1.0 + 1.0 / m) * between)
