"""One right-hand side -> columns: the fixed part of a formula, or the left side of a random term.

Terms that are products of numeric columns are multiplied here, factors that stand alone beside an intercept are coded
by `mixedfx.design.treatment`, and anything else goes through formulaic. All kinds of part remember what they need to
make the same columns from new data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.columns import Frame, as_frame, column
from mixedfx.design.expressions import Scope, finite
from mixedfx.design.frame import kind, nearest
from mixedfx.design.labels import level_label
from mixedfx.design.treatment import TreatmentPart, treatment_part
from mixedfx.errors import DataError
from mixedfx.formula.expansion import plain_sum


@dataclass(frozen=True)
class NumericPart:
    """Columns that are products of numeric columns; the empty product is the intercept.

    Attributes
    ----------
    text
        The part in formula notation.
    columns
        Labels of the k columns.
    products
        For each, the data columns multiplied.
    """

    text: str
    columns: tuple[str, ...]
    products: tuple[tuple[str, ...], ...]

    @property
    def levels(self) -> Mapping[str, tuple[Any, ...]]:
        """No factors, no levels."""
        return {}

    @property
    def constant_factors(self) -> Mapping[str, str]:
        """No factors."""
        return {}

    def matrix(self, frame: Frame, scope: Scope, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """(n, k) columns for the rows of `frame`; `rows` are their positions in the data as given."""
        result = np.ones((len(frame), len(self.columns)))
        for j, product in enumerate(self.products):
            for i, name in enumerate(product):
                if i == 0:
                    result[:, j] = column(frame, name).to_numpy()
                else:
                    result[:, j] *= column(frame, name).to_numpy()
        for j, product in enumerate(self.products):
            if product and not np.isfinite(result[:, j]).all():
                for name in product:
                    finite(name, column(frame, name).to_numpy(dtype=np.float64), rows)
                finite(self.columns[j], result[:, j], rows)
        return result


@dataclass(frozen=True)
class FormulaicPart:
    """Columns made by formulaic.

    Attributes
    ----------
    text, columns
        As in `NumericPart`.
    model_spec
        formulaic's specification: levels, codings and the state of transforms, as learnt from the data of the fit.
    """

    text: str
    columns: tuple[str, ...]
    model_spec: Any

    def matrix(self, frame: Frame, scope: Scope, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """(n, k) columns for the rows of `frame`; `rows` are their positions in the data as given."""
        from mixedfx.design.materialize import DesignMaterializer

        return DesignMaterializer(as_frame(frame), scope).build(self.model_spec, rows)[0]

    @property
    def levels(self) -> Mapping[str, tuple[Any, ...]]:
        """Levels of each factor of the part, in the order of its coding."""
        states = self.model_spec.encoder_state
        return {name: tuple(state["categories"]) for name, (_, state) in states.items() if "categories" in state}

    @property
    def constant_factors(self) -> Mapping[str, str]:
        """Factors with a single level that got no column of their own, each with that level."""
        alone = {str(t.term) for t in self.model_spec.structure if not t.columns}
        return {n: level_label(v[0]) for n, v in self.levels.items() if len(v) == 1 and n in alone}


Part = NumericPart | FormulaicPart | TreatmentPart


@lru_cache(maxsize=256)
def formula_of(text: str) -> Any:
    """One right-hand side as formulaic reads it."""
    from formulaic import Formula

    # The order of terms is R's: by degree, then as written.
    return Formula.from_spec(text)


@lru_cache(maxsize=256)
def _products(text: str) -> tuple[tuple[str, ...], ...] | None:
    """Find the names multiplied in each term; None where a term is more than a product of names."""
    plain = plain_sum(text)
    if plain is not None:
        return plain
    products = []
    for term in formula_of(text):
        names = []
        for factor in term.factors:
            if factor.eval_method.value == "literal" and factor.expr == "1":
                continue
            if factor.eval_method.value != "lookup":
                return None
            names.append(factor.expr)
        products.append(tuple(names))
    return tuple(products)


def _factors(products: tuple[tuple[str, ...], ...], frame: Frame, scope: Scope) -> frozenset[str] | None:
    """The names that are factors, each alone in its term; None where there is more to the columns than that."""
    factors = []
    for product in products:
        for name in product:
            if name not in frame.columns or name in scope.contrasts:
                return None
            found = kind(column(frame, name))
            if found == "time" or (found != "number" and (len(product) > 1 or products[0])):
                return None
            if found != "number":
                factors.append(name)
    return frozenset(factors)


def build_part(text: str, frame: Frame, scope: Scope, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], Part]:
    """Columns of one right-hand side and what repeats them on new data.

    Parameters
    ----------
    text
        Formula notation with its own intercept: ``"1 + x"``, ``"0 + race"``, ``"a * b"``.
    frame
        Plain columns.
    scope
        What expressions may name.
    rows
        (n,) positions of the rows in the data as given, for messages.

    Returns
    -------
    matrix : (n, k) float64, C-contiguous
    part : NumericPart, TreatmentPart or FormulaicPart

    Raises
    ------
    DataError
        Where an expression cannot be evaluated or is not finite, or two columns would have one name.
    """
    part: Part
    products = _products(text)
    factors = None if products is None else _factors(products, frame, scope)
    if products is not None and factors:
        matrix, part = treatment_part(text, products, factors, frame, rows)
    elif products is not None and factors is not None:
        part = NumericPart(text, tuple(":".join(p) or "Intercept" for p in products), products)
        matrix = part.matrix(frame, scope, rows)
    else:
        from mixedfx.design.materialize import DesignMaterializer

        matrix, spec = DesignMaterializer(as_frame(frame), scope).build(formula_of(text), rows)
        part = FormulaicPart(text, tuple(str(c) for c in spec.column_names), spec)
    if len(set(part.columns)) != len(part.columns):
        twice = next(c for c in part.columns if part.columns.count(c) > 1)
        raise DataError(f"two columns of '{text}' would both be called '{twice}'", hint="Rename a column of the data.")
    return matrix, part


def build_parts(
    texts: Iterable[str], frame: Frame, scope: Scope, rows: NDArray[np.intp]
) -> dict[str, tuple[NDArray[np.float64], Part]]:
    """Columns of every right-hand side of a model, each worked out once; arguments as in `build_part`.

    Raises
    ------
    DataError
        As `build_part`, and for codings of factors that none of them has.
    """
    parts = {text: build_part(text, frame, scope, rows) for text in dict.fromkeys(texts)}
    factors = sorted({name for _, part in parts.values() for name in part.levels})
    for name in scope.contrasts:
        if name not in factors:
            raise DataError(
                f"contrasts= names '{name}', which is no factor of the formula",
                hint=nearest(name, factors) or f"Its factors: {', '.join(factors) or 'none'}.",
            )
    return parts
