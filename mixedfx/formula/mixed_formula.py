"""What a mixed-model formula says, before any data: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RandomPart:
    """One random-effects term after expansion: a left side, one grouping factor, one covariance structure.

    Attributes
    ----------
    left
        The left side in formula notation, its own intercept written out: ``"1 + z"``, ``"0 + z"``, ``"a * b"``.
    group
        The columns (or ``factor(g)`` calls reduced to their column) whose observed combinations are the levels:
        ``("school",)`` or ``("x3", "x4")`` for ``x3:x4``.
    correlated
        True for ``|`` (one unconstrained covariance matrix), False for ``||`` (diagonal, also for factors).
    column
        Zero-based position of the term's opening parenthesis in the text, for error messages.
    """

    left: str
    group: tuple[str, ...]
    correlated: bool
    column: int

    @property
    def label(self) -> str:
        """Name of the grouping factor, ``"x3:x4"``."""
        return ":".join(self.group)


@dataclass(frozen=True)
class Addition:
    """An addition on the left, ``se(s)`` in ``y | se(s) ~ ...``."""

    name: str
    argument: str
    column: int


@dataclass(frozen=True)
class MixedFormula:
    """A parsed formula; ``str()`` gives text that parses to an equal model.

    Attributes
    ----------
    text
        What the user wrote.
    response
        Expression left of ``~`` (without additions), or None for a one-sided formula.
    additions
        Additions on the left, in order.
    fixed
        Right side without random terms and offsets, in formulaic's notation; ``"1"`` where nothing is left.
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
            left += " | " + " + ".join(f"{a.name}({a.argument})" for a in self.additions)
        right = [self.fixed]
        right += [f"({r.left} {'|' if r.correlated else '||'} {r.label})" for r in self.random]
        right += [f"offset({o})" for o in self.offsets]
        return f"{left} ~ {' + '.join(right)}".strip()
