"""The terms of a design: for each its text, the columns of the data that it reads, and the coefficients that it owns.

This is the one place where the text of a formula is read back once a design is built; everything above asks it
instead of taking labels apart. What a term is made of comes from what made its columns (`mixedfx.design.parts`), so
that a column called ``a:b`` and the interaction of a and b are different things here although they are written alike
in tables.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixedfx.design.degree import degree
from mixedfx.design.expressions import column_of, columns_read
from mixedfx.design.parts import NumericPart, Part
from mixedfx.design.treatment import TreatmentPart
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.formula.python_code import read_code

SPLINES = frozenset({"bs", "cr", "cs", "cc"})


@dataclass(frozen=True)
class Variable:
    """One variable of a product: a column of the data, or an expression such as ``C(dose)`` or ``log(x)``.

    Attributes
    ----------
    text
        The name of the column as it is, without backticks; or the expression.
    columns
        Columns of the data that it reads.
    plain
        Whether it is a name, not an expression.
    categorical
        Whether its columns are codings of levels.
    coded
        Whether it makes levels of whatever it reads, as ``C(...)`` and ``factor(...)`` do.
    """

    text: str
    columns: tuple[str, ...]
    plain: bool = True
    categorical: bool = False
    coded: bool = False

    @property
    def written(self) -> str:
        """How a formula has it."""
        return quote(self.text) if self.plain else self.text

    @property
    def calls(self) -> frozenset[str]:
        """Names of the functions that it calls."""
        if self.plain:
            return frozenset()
        calls = (node for node in ast.walk(read_code(self.text, 0, self.text).tree) if isinstance(node, ast.Call))
        return frozenset(call.func.id for call in calls if isinstance(call.func, ast.Name))

    def degree_in(self, column: str, env: Collection[str] = ()) -> int | None:
        """Degree as a polynomial in a column of the data: 0, 1, or None for neither."""
        if column not in self.columns:
            return 0
        return 1 if self.plain else degree(self.text, column, env)


@dataclass(frozen=True)
class Term:
    """One term of a right-hand side: a product of variables, empty for the intercept.

    Attributes
    ----------
    product
        Its variables, in the order of the labels of its columns.
    coefficients
        Positions of its columns: in X for the fixed part, in `RandomTerm.columns` for a left side. A term all of
        whose columns were dropped as aliased has none.
    """

    product: tuple[Variable, ...]
    coefficients: tuple[int, ...]

    @property
    def text(self) -> str:
        """Its name in tables, ``"recipe:temperature"``; ``"Intercept"`` for the intercept."""
        return ":".join(v.text for v in self.product) or "Intercept"

    @property
    def written(self) -> str:
        """How a formula has it: names that are no plain words in backticks, ``"1"`` for the intercept."""
        return ":".join(v.written for v in self.product) or "1"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that it reads."""
        return _once(c for v in self.product for c in v.columns)

    @property
    def factors(self) -> frozenset[str]:
        """Texts of its categorical variables."""
        return frozenset(v.text for v in self.product if v.categorical)

    @property
    def numbers(self) -> frozenset[str]:
        """Texts of its numeric variables."""
        return frozenset(v.text for v in self.product if not v.categorical)

    @property
    def variables(self) -> frozenset[str]:
        """Texts of all of its variables; empty for the intercept."""
        return frozenset(v.text for v in self.product)


@dataclass(frozen=True)
class RandomTerms:
    """What one random term reads.

    Attributes
    ----------
    left
        Terms of its left side; their coefficients are positions among its k columns.
    grouping
        Columns of the data whose combinations are its levels.
    """

    left: tuple[Term, ...]
    grouping: tuple[str, ...]

    @property
    def left_columns(self) -> tuple[str, ...]:
        """Columns of the data that its left side reads."""
        return _once(c for term in self.left for c in term.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that it reads, left side and grouping."""
        return _once((*self.left_columns, *self.grouping))


@dataclass(frozen=True)
class Terms:
    """All terms of a design.

    Attributes
    ----------
    fixed
        Terms of the fixed part in the order of its columns, the intercept included, aliased terms too.
    random
        One entry for each random term.
    offsets
        What is inside ``offset(...)``, in the order of the formula.
    given_offset
        The column of what ``offset=`` gave; None where it gave nothing.
    order
        Columns of the fixed part and of offsets in the order in which the formula has them.
    """

    fixed: tuple[Term, ...]
    random: tuple[RandomTerms, ...]
    offsets: tuple[Variable, ...]
    given_offset: Variable | None = None
    order: tuple[str, ...] = field(default=(), compare=False)

    @property
    def fixed_columns(self) -> tuple[str, ...]:
        """Columns of the data that the fixed part and the offsets of the formula read, as they stand in it."""
        read = {c for term in self.fixed for c in term.columns} | {c for o in self.offsets for c in o.columns}
        return tuple(c for c in self.order if c in read)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the right side of the formula reads."""
        return _once((*self.fixed_columns, *(c for random in self.random for c in random.columns)))

    @property
    def categories(self) -> frozenset[str]:
        """Columns used as categories whatever their type: in ``C(...)``, or as a grouping factor."""
        sides = (self.fixed, *(random.left for random in self.random))
        coded = {c for side in sides for term in side for v in term.product if v.coded for c in v.columns}
        return frozenset(coded.union(*(random.grouping for random in self.random)))

    def ends_with_data(self, column: str) -> bool:
        """Whether a spline reads a column of the data, so that the model says nothing beyond its values."""
        sides = (self.fixed, *(random.left for random in self.random))
        variables = [*(v for side in sides for term in side for v in term.product), *self.offsets]
        return any(column in variable.columns and variable.calls & SPLINES for variable in variables)

    def owner(self, coefficient: int) -> Term:
        """The term of the fixed part that a column of X belongs to."""
        return next(term for term in self.fixed if coefficient in term.coefficients)


@dataclass(frozen=True)
class Reader:
    """Reads expressions of a formula: which columns of the data they name.

    Attributes
    ----------
    env
        Names that the caller passed.
    available
        Columns of the data.
    """

    env: Collection[str]
    available: Collection[str]

    def columns(self, side: str, offsets: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Columns of the data that a right-hand side, or an expression, names, in order of appearance."""
        read = columns_read(MixedFormula(side, None, (), side, (), offsets), self.env, self.available)
        return tuple(name for name in read if name in self.available)

    def variable(self, text: str, *, plain: bool, categorical: bool = False) -> Variable:
        """One variable, given as the materialiser has it: the bare name of a column, or an expression."""
        if plain:
            return Variable(text, (text,) if text in self.available else (), True, categorical)
        tree = read_code(text.strip(), 0, text).tree
        coded = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("C", "factor")
        return Variable(text, self.columns(text), False, categorical, coded)

    def expression(self, text: str) -> Variable:
        """What an offset is made of; in a formula a column may stand in backticks."""
        name = column_of(text)
        return self.variable(name, plain=True) if name in self.available else self.variable(text, plain=False)

    def part(self, part: Part, place: Mapping[int, int] | None = None) -> tuple[Term, ...]:
        """Terms of a right-hand side, in the order of its columns.

        Parameters
        ----------
        part
            What made the columns.
        place
            Position of each column that is kept; all are where None.
        """

        def kept(columns: Iterable[Any]) -> tuple[int, ...]:
            found = (int(c) for c in columns)
            return tuple(found) if place is None else tuple(place[c] for c in found if c in place)

        if isinstance(part, NumericPart):
            return tuple(
                Term(tuple(self.variable(name, plain=True) for name in product), kept([j]))
                for j, product in enumerate(part.products)
            )
        if isinstance(part, TreatmentPart):
            return tuple(
                Term(tuple(self.variable(c, plain=True, categorical=c in part.levels) for c in product), kept(columns))
                for product, columns in zip(part.products, part.term_columns, strict=True)
            )
        spec, terms = part.model_spec, []
        kinds = {name: kind.name == "CATEGORICAL" for name, (kind, _) in spec.encoder_state.items()}
        known: dict[tuple[str, bool], Variable] = {}
        for term, columns in spec.term_indices.items():
            product = []
            for factor in term.factors:
                if factor.eval_method.value == "literal":
                    continue
                key = str(factor.expr), factor.eval_method.value == "lookup"
                if key not in known:
                    known[key] = self.variable(key[0], plain=key[1], categorical=kinds.get(key[0], False))
                product.append(known[key])
            terms.append(Term(tuple(product), kept(columns)))
        return tuple(terms)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
