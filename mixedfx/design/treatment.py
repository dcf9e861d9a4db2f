"""Right-hand sides that add up numbers and factors, ``1 + x + race``: their columns without formulaic.

Most fixed parts are of this kind: an intercept, products of numeric columns, and factors that stand alone, each coded
by treatments. Their columns are an indicator for each level after the first. They are the columns that
`mixedfx.design.materialize` makes, in a tenth of its time; whatever else a formula may hold is left to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Frame, category_codes, column
from mixedfx.design.expressions import Scope, finite
from mixedfx.design.grouping import compress
from mixedfx.design.labels import level_label, quoted
from mixedfx.errors import UnseenLevelError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TreatmentPart:
    """An intercept, products of numeric columns, and treatment-coded factors.

    Attributes
    ----------
    text
        The part in formula notation.
    products
        For each term, the data columns multiplied; the empty product is the intercept.
    levels
        Levels of each factor, in the order of its coding.
    """

    text: str
    products: tuple[tuple[str, ...], ...]
    levels: Mapping[str, tuple[Any, ...]]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Labels of the k columns."""
        names: list[str] = []
        for product in self.products:
            if product and product[0] in self.levels:
                names += [f"{product[0]}[{_field(level)}]" for level in self.levels[product[0]][1:]]
            else:
                names.append(":".join(product) or "Intercept")
        return tuple(names)

    @property
    def constant_factors(self) -> Mapping[str, str]:
        """Factors with a single level, which have no column, each with that level."""
        return {name: level_label(known[0]) for name, known in self.levels.items() if len(known) == 1}

    @property
    def term_columns(self) -> tuple[range, ...]:
        """Positions of the columns of each term."""
        out, at = [], 0
        for product in self.products:
            width = len(self.levels[product[0]]) - 1 if product and product[0] in self.levels else 1
            out.append(range(at, at + width))
            at += width
        return tuple(out)

    def matrix(self, frame: Frame, scope: Scope, rows: NDArray[np.intp]) -> Array:
        """(n, k) columns for the rows of `frame`; `rows` are their positions in the data as given.

        Raises
        ------
        DataError
            For numbers that are not finite.
        UnseenLevelError
            Where a factor has a level that the fit has not seen.
        """
        codes = {name: known_codes(name, column(frame, name), known) for name, known in self.levels.items()}
        return self.filled(frame, codes, rows)

    def filled(self, frame: Frame, codes: Mapping[str, NDArray[np.intp]], rows: NDArray[np.intp]) -> Array:
        """The same with the codes (n,) of each factor worked out."""
        n = len(frame)
        out = np.zeros((n, len(self.columns)))
        for product, places in zip(self.products, self.term_columns, strict=True):
            if product and product[0] in codes:
                at = np.flatnonzero(codes[product[0]])
                out[at, places.start - 1 + codes[product[0]][at]] = 1.0
                continue
            values = np.ones(n)
            for name in product:
                values *= column(frame, name).to_numpy()
            if product and not np.isfinite(values).all():
                for name in product:
                    finite(name, column(frame, name).to_numpy(dtype=np.float64), rows)
                finite(":".join(product), values, rows)
            out[:, places.start] = values
        return out


def treatment_part(
    text: str, products: tuple[tuple[str, ...], ...], factors: frozenset[str], frame: Frame,
    rows: NDArray[np.intp],
) -> tuple[Array, TreatmentPart]:  # fmt: skip
    """Columns (n, k) of the terms `products`, those of `factors` standing alone, and what repeats them."""
    found = {name: observed(column(frame, name)) for product in products for name in product if name in factors}
    part = TreatmentPart(text, products, {name: levels for name, (_, levels) in found.items()})
    return part.filled(frame, {name: codes for name, (codes, _) in found.items()}, rows), part


def observed(values: pd.Series) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
    """Codes and levels of a plain column without missing values: sorted, or in the order of its categories."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, seen = compress(category_codes(values).astype(np.int64))
        return codes, tuple(values.dtype.categories[seen].tolist())
    codes, levels = pd.factorize(values, sort=True)
    return codes.astype(np.intp, copy=False), tuple(levels.tolist())


def known_codes(name: str, values: pd.Series, known: tuple[Any, ...]) -> NDArray[np.intp]:
    """(n,) positions of the values of a factor among the levels of the fit.

    Raises
    ------
    UnseenLevelError
        Naming the levels that are not among them.
    """
    refuse_unseen(name, unseen_levels(values, known), known)
    return np.asarray(pd.Categorical(values, categories=pd.Index(known)).codes, dtype=np.intp)


def unseen_levels(values: Any, known: Any) -> list[str]:
    """Labels of the levels of a factor that are not among `known`; none where `known` is None."""
    if known is None:
        return []
    levels = set(known)
    return [level_label(v) for v in pd.unique(pd.Series(values)) if v not in levels]


def refuse_unseen(name: str, unknown: list[str], known: Any) -> None:
    """Raise `UnseenLevelError` where there are levels that the fit has not seen."""
    if unknown:
        raise UnseenLevelError(
            f"'{name}' has {'a level' if len(unknown) == 1 else 'levels'} the fit has never seen: "
            f"{quoted(unknown)}; it knows {quoted([level_label(v) for v in known])}",
            hint="Correct the spelling, or leave these rows out: the model has no coefficient for them.",
        )


def _field(level: Any) -> Any:
    return level_label(level) if isinstance(level, float) else level
