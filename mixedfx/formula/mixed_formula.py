"""What a mixed-model formula says, before any data: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.formula.names import quote

BARS = {"us": "|", "diag": "||"}
"""Structures that are written with bars."""


@dataclass(frozen=True)
class RandomPart:
    """One random-effects term after expansion: a left side, one grouping factor, one covariance structure.

    Attributes
    ----------
    left
        The left side in formula notation, its own intercept written out: ``"1 + z"``, ``"0 + z"``, ``"1 + a * b"``.
    group
        The columns (or ``factor(g)`` calls reduced to their column) whose observed combinations are the levels:
        ``("school",)`` or ``("x3", "x4")`` for ``x3:x4``.
    structure
        Name of the covariance structure of the effects of a level: ``us`` for ``|`` (one unconstrained covariance
        matrix), ``diag`` for ``||`` (also for factors), or as written, ``cs(x | g)``.
    column
        Zero-based position of the term's beginning in the text, for error messages.
    relation
        Name of the known correlations of the levels, as in ``gr(species, cov=A)``; empty where levels are independent.
    """

    left: str
    group: tuple[str, ...]
    structure: str
    column: int
    relation: str = ""

    @property
    def label(self) -> str:
        """Name of the grouping factor, ``"x3:x4"``."""
        return f"gr({self.group[0]})" if self.relation else ":".join(self.group)

    @property
    def correlated(self) -> bool:
        """Whether every two effects of a level have a correlation of their own: the term is written with one bar."""
        return BARS.get(self.structure) == "|"

    def __str__(self) -> str:
        groups = ":".join(quote(name) for name in self.group)
        if self.relation:
            groups = f"gr({groups}, cov={self.relation})"
        if self.structure in BARS:
            return f"({self.left} {BARS[self.structure]} {groups})"
        return f"{self.structure}({self.left} | {groups})"


@dataclass(frozen=True)
class Addition:
    """An addition on the left, ``se(s)`` in ``y | se(s) ~ ...``.

    Attributes
    ----------
    name
        Which one: ``se`` (known sampling standard deviations) or ``trials`` (number of trials).
    argument
        One factor of a formula: a column, a number, a call.
    column
        Zero-based position in the text, for error messages.
    """

    name: str
    argument: str
    column: int

    def __str__(self) -> str:
        return f"{self.name}({self.argument})"


@dataclass(frozen=True)
class MixedFormula:
    """A parsed formula; ``str()`` gives text that parses to an equal model.

    The response, the arguments of additions and the offsets are each one factor of a formula: a number, a column (in
    backticks where its name is not a plain word), a call, or ``I(...)`` around anything else.

    Attributes
    ----------
    text
        What the user wrote, line breaks as blanks; positions in errors count from its beginning.
    response
        Expression left of ``~`` (without additions), or None for a one-sided formula.
    additions
        Additions on the left, in order.
    fixed
        Right side without random terms and offsets, in formulaic's notation, its intercept written out: ``"1 + x"``,
        ``"0 + x"``; ``"1"`` where nothing is left.
    random
        Random terms, expanded: one entry for each grouping factor.
    offsets
        Expressions inside ``offset(...)``.
    """

    text: str
    response: str | None
    additions: tuple[Addition, ...]
    fixed: str
    random: tuple[RandomPart, ...]
    offsets: tuple[str, ...]

    def __str__(self) -> str:
        left = self.response or ""
        if self.additions:
            left += " | " + " + ".join(str(addition) for addition in self.additions)
        right = [self.fixed, *(str(part) for part in self.random), *(f"offset({offset})" for offset in self.offsets)]
        return f"{left} ~ {' + '.join(right)}".strip()

    @property
    def knows_errors(self) -> bool:
        """Whether ``se(...)`` says what the standard deviations of the rows are."""
        return any(addition.name == "se" for addition in self.additions)

    def equivalent(self, other: MixedFormula) -> bool:
        """Whether two formulas have the same one spelling, however they were written.

        Examples
        --------
        >>> from mixedfx.formula.parse import parse_formula
        >>> parse_formula("y ~ x + (1 | a/b)").equivalent(parse_formula("y ~ 1+x + (1|a) + (1|a:b)"))
        True
        """
        return str(self) == str(other)
