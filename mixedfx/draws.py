"""Draws: named (chain, draw) arrays with tuple keys, whatever made them.

Keys are tuples, so that no name ever has to be taken apart: ``("beta", "race[White]")``, ``("sigma",)``,
``("sd", "school", "small")``, ``("cor", "school", "Intercept", "small")``, ``("u", "school", "17", "small")``. A
posterior holds all of them; a REML fit holds the joint draws of beta and u given its variance parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import UnknownQuantityError, check_level

Key = tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Draws(Mapping[Key, NDArray[np.float64]]):
    """Joint draws of m named quantities.

    Attributes
    ----------
    names
        The m keys, in the order of the last axis of `array`.
    array
        (chains, draws, m) values.
    note
        One sentence on which uncertainty the draws carry and which they leave out.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.draws import Draws
    >>> draws = Draws((("beta", "Intercept"), ("sigma",)), np.arange(12.0).reshape(2, 3, 2))
    >>> draws["sigma"]
    array([[ 1.,  3.,  5.],
           [ 7.,  9., 11.]])
    >>> draws["beta", "Intercept"].shape
    (2, 3)
    >>> list(draws)
    [('beta', 'Intercept'), ('sigma',)]
    """

    names: tuple[Key, ...]
    array: NDArray[np.float64]
    note: str = ""

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or self.array.shape[2] != len(self.names):
            raise ValueError(f"array is {self.array.shape}; (chains, draws, {len(self.names)}) is needed")
        if len(self._position) != len(self.names):
            raise ValueError("two quantities share one key")

    @cached_property
    def _position(self) -> dict[Key, int]:
        return {key: i for i, key in enumerate(self.names)}

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self.array.shape[0]

    @property
    def n_draws(self) -> int:
        """Number of draws over all chains."""
        return self.array.shape[0] * self.array.shape[1]

    def __getitem__(self, key: str | Key) -> NDArray[np.float64]:
        """(chain, draw) values of one quantity; a bare string stands for the tuple of one."""
        return self.array[:, :, self._index(key)]

    def __iter__(self) -> Iterator[Key]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _index(self, key: str | Key) -> int:
        wanted = (key,) if isinstance(key, str) else key
        position = self._position.get(wanted)
        if position is None:
            raise UnknownQuantityError(f"no draws of {wanted!r}", hint=self._suggest(wanted))
        return position

    def _suggest(self, wanted: Key) -> str:
        known = {", ".join(name): name for name in self.names}
        near = get_close_matches(", ".join(map(str, wanted)), known, n=3, cutoff=0.5)
        if near:
            return "Nearest: " + "; ".join(repr(known[text]) for text in near)
        return "There are draws of " + ", ".join(sorted({name[0] for name in self.names}))

    def select(self, *prefix: str) -> Draws:
        """Draws of every quantity whose key begins with `prefix`, in order.

        Raises
        ------
        UnknownQuantityError
            Where no key begins so.

        Examples
        --------
        >>> import numpy as np
        >>> from mixedfx.draws import Draws
        >>> draws = Draws((("beta", "x"), ("u", "g", "1", "x"), ("u", "g", "2", "x")), np.zeros((1, 4, 3)))
        >>> list(draws.select("u", "g"))
        [('u', 'g', '1', 'x'), ('u', 'g', '2', 'x')]
        """
        keep = [i for i, name in enumerate(self.names) if name[: len(prefix)] == prefix]
        if not keep:
            raise UnknownQuantityError(f"no draws whose key begins with {prefix!r}", hint=self._suggest(prefix))
        return Draws(tuple(self.names[i] for i in keep), self.array[:, :, keep], self.note)

    def stack(self, keys: Iterable[str | Key] | None = None) -> NDArray[np.float64]:
        """Draws of all chains one below the other, (draws, m), for `keys` or for everything."""
        flat = self.array.reshape(self.n_draws, len(self.names))
        return flat if keys is None else flat[:, [self._index(key) for key in keys]]

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Mean, sd, median and equal-tailed interval of every quantity.

        Parameters
        ----------
        level
            Probability inside the interval, between 0 and 1.

        Returns
        -------
        DataFrame
            Columns key (tuple), mean, sd, median, lower, upper; one row for each quantity.
        """
        check_level(level)
        flat = self.stack()
        tail = (1 - level) / 2
        lower, median, upper = np.quantile(flat, [tail, 0.5, 1 - tail], axis=0)
        sd = flat.std(axis=0, ddof=1) if self.n_draws > 1 else np.full(len(self.names), np.nan)
        columns = {"mean": flat.mean(axis=0), "sd": sd, "median": median, "lower": lower, "upper": upper}
        table = pd.DataFrame(columns)
        table.insert(0, "key", pd.Series(list(self.names), dtype=object))
        return table

    def to_frame(self) -> pd.DataFrame:
        """One row for each draw (index chain, draw), one column for each key (the tuples themselves)."""
        chains, draws = self.array.shape[:2]
        index = pd.MultiIndex.from_product([range(chains), range(draws)], names=["chain", "draw"])
        columns = pd.Index(list(self.names), tupleize_cols=False)
        return pd.DataFrame(self.stack(), index=index, columns=columns)

    def __repr__(self) -> str:
        kinds = pd.Series([name[0] for name in self.names], dtype=object).value_counts(sort=False)
        held = ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
        head = f"Draws: {self.n_chains} x {self.array.shape[1]} (chains x draws) of {held}"
        return f"{head}\n{self.note}" if self.note else head

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.summary() if len(self) <= 50 else Draws(self.names[:50], self.array[:, :, :50]).summary()
        more = "" if len(self) <= 50 else f"<p>and {len(self) - 50} more</p>"
        shown["key"] = [", ".join(key) for key in shown["key"]]
        return f"<p>{escape(repr(self))}</p>{shown.to_html(index=False)}{more}"
