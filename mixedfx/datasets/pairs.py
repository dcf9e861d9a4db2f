"""Drawing distinct pairs of levels: who rates what, at most once.

A pair (i, j) is held as the single integer ``i * n_second + j``; sets of pairs are then sorted arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError

Codes = NDArray[np.intp]


def cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative probabilities in proportion to the weights, for `sample`.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.datasets.pairs import cumulative
    >>> cumulative(np.array([1.0, 3.0])).tolist()
    [0.25, 1.0]
    """
    total = np.cumsum(weights)
    return total / total[-1]


def sample(probabilities: NDArray[np.float64], size: int, rng: np.random.Generator) -> Codes:
    """Draw codes 0, 1, ... with the probabilities whose cumulative sums are given."""
    position = np.searchsorted(probabilities, rng.random(size), side="right")
    return np.minimum(position, len(probabilities) - 1)


def distinct_pairs(
    n: int,
    n_second: int,
    obliged: tuple[Codes, Codes],
    pairs: Callable[[int], tuple[Codes, Codes]],
    rng: np.random.Generator,
) -> tuple[Codes, Codes]:
    """Draw n distinct pairs, in random order: the obliged ones, filled up with draws from `pairs`.

    Draws that repeat an earlier pair are lost, so popular levels get fewer pairs than their weights promise.

    Parameters
    ----------
    n
        Number of pairs; not fewer than the obliged ones.
    n_second
        Number of levels of the second factor.
    obliged
        Codes of the pairs that must be there; repetitions count once.
    pairs
        Given a number, draws that many pairs of codes, with repetitions.
    rng
        Source of randomness.

    Returns
    -------
    first, second
        (n,) codes of the pairs.

    Raises
    ------
    DataError
        If `pairs` no longer gives a pair that is not there yet.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.datasets.pairs import distinct_pairs
    >>> rng = np.random.default_rng(1)
    >>> nothing = np.empty(0, dtype=np.intp)
    >>> first, second = distinct_pairs(
    ...     4, 2, (nothing, nothing), lambda k: (rng.integers(2, size=k), rng.integers(2, size=k)), rng
    ... )
    >>> sorted(zip(first.tolist(), second.tolist()))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    keys = _unique(obliged[0] * n_second + obliged[1])
    rounds_without_new = 0
    while len(keys) < n:
        if rounds_without_new == 20:
            raise DataError(f"{n} distinct pairs were asked for, but 20 rounds gave none beyond {len(keys)}")
        first, second = pairs(int(1.1 * (n - len(keys))) + 100)
        drawn = _unique(first * n_second + second)
        fresh = drawn[~np.isin(drawn, keys, assume_unique=True)]
        rounds_without_new = 0 if len(fresh) else rounds_without_new + 1
        keys = np.sort(np.concatenate([keys, rng.permutation(fresh)[: n - len(keys)]]))
    keys = rng.permutation(keys)
    return keys // n_second, keys % n_second


def _unique(keys: Codes) -> Codes:
    """Sort and keep each key once; for 10^6 integers several times faster than numpy's hash table."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]
