"""Singular fits in words: which direction of a random term has no variance, and the smaller formula to try.

The covariance of a level's k effects relative to sigma^2 is C = T T'. Columns of z carry units and a location, so it is
judged in the columns that the engine uses (`mixedfx.pls.basis`): orthogonal, of unit weighted mean square, with the
covariance B C B'. There a diagonal entry is what a column adds to the variance of a row, as a share of the residual
variance of that row, and a correlation says nothing of where a covariate has its zero: an intercept at the year 0 and
the slope of the years 2015 to 2019 are correlated to seven decimals whatever the data say.

* A column used is null when its share is below 1e-8, a standard deviation below 1e-4 of the residual's (lme4's
  ``isSingular`` draws its line at the same 1e-4, on theta). A data set would need some 10^8 rows on one level to tell
  it from zero.
* Among the other columns of an unconstrained term, a direction is null when an eigenvalue of their correlation matrix
  is below 1e-8: for two columns, 1 - |r| < 1e-8. Correlations, unlike C, have no units, so a small but real variance
  is never mistaken for a perfect correlation.

What is null is told in the columns as given, a = B'n for a null direction n: first the columns that do not vary
themselves, by the same line on their share (of the mean square about the intercept, where the term has one), then the
null space of the others, in reduced form: each pivot column as a combination of the others.

An intercept that does not vary stays in the smaller formula where a predictor varies between the levels of its grouping
factor only, as a treatment given to whole clusters does: without the term the rows of a cluster would count as so many
independent pieces of information on it, which the design of the study denies whatever was estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design, RandomTerm
from mixedfx.formula.mixed_formula import MixedFormula, RandomPart
from mixedfx.pls.basis import term_basis
from mixedfx.results.smaller import smaller_parts

NULL = 1e-8
CLEAR = 1e3
BETWEEN = 0.1  # share of a predictor's variance that lies within levels, below which it varies between them only
FAR = 10.0  # standard deviations from zero at which independence of intercept and slope is no idea of anybody's


LINEAR = " (a linear model: no random term is left)"


@dataclass(frozen=True)
class NullDirection:
    """One direction in which a random term does not vary.

    Attributes
    ----------
    term
        Position of the term in ``design.random``.
    label
        Its grouping factor.
    columns
        Its k columns.
    direction
        (k,) coefficients a, in the units of the columns, with var(a'u) = 0; largest absolute value 1.
    text
        The same in words.
    """

    term: int
    label: str
    columns: tuple[str, ...]
    direction: NDArray[np.float64]
    text: str


@dataclass(frozen=True)
class SingularityReport:
    """Every null direction of a fit, and the formula without them.

    Attributes
    ----------
    directions
        The null directions; empty for a fit that is not singular.
    untried
        The formula without the null directions, or None where the fit is not singular or nothing should be left out.
    far
        Columns far from zero that should be centred before effects are made independent by ``||``.
    kept
        Grouping factors whose intercept does not vary but stays in the model, each with the columns of the fixed part
        that vary between its levels only.
    attempt
        Fits smaller formulas and returns the first that is not singular; None where none is, or nobody fits them.
    """

    directions: tuple[NullDirection, ...]
    untried: MixedFormula | None
    far: tuple[str, ...] = ()
    kept: tuple[tuple[str, tuple[str, ...]], ...] = ()
    attempt: Callable[[], MixedFormula | None] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def _regular(self) -> MixedFormula | None:
        return None if self.attempt is None else self.attempt()

    @property
    def smaller(self) -> MixedFormula | None:
        """The formula to try; it is fitted when it is first asked for, where it can be."""
        return self._regular or self.untried

    @property
    def fitted(self) -> bool:
        """Whether `smaller` was fitted and is not singular."""
        return self._regular is not None

    @property
    def singular(self) -> bool:
        """Whether there is a null direction."""
        return bool(self.directions)

    @property
    def found(self) -> str:
        """What is null, in words."""
        if not self.singular:
            return "not singular: every variance is positive and no correlation is one"
        return "; ".join(direction.text for direction in self.directions)

    @property
    def to_keep(self) -> str:
        """Which terms have to stay although they do not vary, and how to test what they are for; else empty."""
        return " ".join(
            f"Keep the random intercept of {_shown(label)}: {_listed(names)} between its levels only, and without it "
            'rows of one level would count as independent. Test with ddf="kenward-roger", which counts the levels; '
            "Satterthwaite's df act as if they did not exist."
            for label, names in self.kept
        )

    @property
    def to_try(self) -> str:
        """The smaller formula, and what it is where no random term is left; empty where there is none."""
        if self.smaller is None:
            return ""
        if not self.smaller.random:
            return f"{self.smaller}{LINEAR}"
        if self.far:
            names = ", ".join(map(_shown, self.far))
            return f"{self.smaller} with {names} centred (|| makes effects independent at the zero of a covariate)"
        return str(self.smaller)

    @property
    def line(self) -> str:
        """The first null direction, how many more there are, and what needs no fit to be suggested; see `text`."""
        if not self.singular:
            return self.found
        more = len(self.directions) - 1
        parts = [f"singular fit: {self.directions[0].text}{f', and {more} more' if more else ''}."]
        if self.to_keep:
            parts.append(self.to_keep)
        several = self.untried is not None and bool(self.untried.random)
        if self.untried is not None and not several:
            parts.append(f"Try {self.untried}{LINEAR}.")
        if more or several:
            parts.append("fit.singularity.text says all, and what to try.")
        return " ".join(parts)

    @property
    def text(self) -> str:
        """What is null, what to keep and what to try, in a few sentences."""
        if not self.singular:
            return self.found
        hint = [self.to_keep, f"Try the smaller model {self.to_try}" if self.smaller is not None else ""]
        return " ".join([f"singular fit: {self.found}.", *filter(None, hint)])


def singularity(
    design: Design, factors: Sequence[NDArray[np.float64]], bases: Sequence[NDArray[np.float64]] | None = None
) -> SingularityReport:
    """Find the null directions of a fit.

    Parameters
    ----------
    design
        The design that was fitted.
    factors
        For each random term its (k, k) relative covariance factor T.
    bases
        For each random term its (k, k) triangle B; found from the rows where None.

    Returns
    -------
    SingularityReport
        The null directions and the smaller formula.

    Examples
    --------
    A covariance of rank one between an intercept and a slope:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.design.build import build_design
    >>> from mixedfx.results.singularity import singularity
    >>> data = pd.DataFrame({"y": np.arange(8.0) % 3, "x": np.arange(8.0), "g": list("aaabbbcc")})
    >>> design = build_design("y ~ x + (x | g)", data, sigma_free=False)
    >>> print(singularity(design, [np.array([[0.9, 0.0], [-0.2, 0.0]])]).directions[0].text)
    Intercept and `x` within `g` are perfectly correlated (r = -1)
    """
    if bases is None:
        bases = [term_basis(design.precision.whiten(term.z), term.covariance.scaling) for term in design.random]
    directions: list[NullDirection] = []
    parts: list[RandomPart] = []
    far: list[str] = []
    kept: dict[str, tuple[str, ...]] = {}
    for t, (term, part, T, B) in enumerate(zip(design.random, design.formula.random, factors, bases, strict=True)):
        if term.covariance.entries is None:
            found = _structured(t, term, B @ T)
            directions += found
            parts.append(part)
            continue
        several = term.correlated and term.n_columns > 1
        if _regular(T, B, several):
            parts.append(part)
            continue
        if several:
            T = _without_null(T, B)
        zero = (T**2).sum(axis=1) * _own_scale(term, B) ** 2 < NULL
        mixtures = _null_mixtures(T, B, zero) if several else []
        directions += [_zero_direction(t, term, c) for c in range(term.n_columns) if zero[c]]
        directions += [_mixture_direction(t, term, T, a) for a in mixtures]
        can_go = zero.copy()
        if zero.any() and "Intercept" in term.columns and zero[term.columns.index("Intercept")]:
            between = _between(design, term)
            if between:
                kept[term.label] = between
                can_go[term.columns.index("Intercept")] = False
        if not can_go.any() and not mixtures:
            parts.append(part)
        elif not can_go.all():  # else the term goes
            parts += smaller_parts(part, design.terms.random[t].left, can_go, bool(mixtures))
        if mixtures:
            far += [term.columns[c] for c in np.flatnonzero(~zero & _far(term, B))]
    random = tuple(dict.fromkeys(parts))
    smaller = _with_random(design.formula, random) if directions and random != design.formula.random else None
    return SingularityReport(tuple(directions), smaller, tuple(dict.fromkeys(far)), tuple(kept.items()))


def _structured(t: int, term: RandomTerm, U: NDArray[np.float64]) -> list[NullDirection]:
    """Null directions of a term whose columns share variances or a correlation; `U` is of the columns used.

    The smaller model is another structure, which is for whoever named this one to choose.
    """
    zero = [c for c in range(len(U)) if float(U[c] @ U[c]) < NULL]
    out = [_zero_direction(t, term, c) for c in zero]
    varying = [c for c in range(len(U)) if c not in zero]
    if len(varying) > 1 and any(component.kind == "cor" for component in term.covariance.components):
        root = U[varying] / np.linalg.norm(U[varying], axis=1)[:, None]
        values, vectors = np.linalg.eigh(root @ root.T)
        if values[0] < NULL:
            a = np.zeros(len(U))
            a[varying] = vectors[:, 0] / np.abs(vectors[:, 0]).max()
            cor = next(component for component in term.covariance.components if component.kind == "cor")
            rho = float(cor.value(U))
            end = "one" if rho > 0 else "the lowest there can be"
            text = (
                f"the correlation of {cor.among or 'both'} of {term.shared} within `{term.label}` is {end} ({rho:.3g})"
            )
            out.append(NullDirection(t, term.label, term.columns, a, text))
    return out


def _between(design: Design, term: RandomTerm) -> tuple[str, ...]:
    """Columns of the fixed part that vary between the levels of a term only, or nearly so."""
    n, q = len(term.codes), term.n_levels
    size = np.maximum(np.bincount(term.codes, minlength=q), 1)
    found = []
    for j, name in enumerate(design.fixed_names):
        x = design.X[:, j] - design.X[:, j].mean()
        total = float(x @ x) / max(n - 1, 1)
        within = x - (np.bincount(term.codes, weights=x, minlength=q) / size)[term.codes]
        if total > 0 and float(within @ within) <= BETWEEN * total * max(n - q, 0):
            found.append(name)
    return tuple(found)


def _with_random(formula: MixedFormula, random: tuple[RandomPart, ...]) -> MixedFormula:
    changed = replace(formula, random=random)
    return replace(changed, text=str(changed))


def _intercept_first(term: RandomTerm) -> bool:
    return term.correlated and term.columns[0] == "Intercept"


def _own_scale(term: RandomTerm, B: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) root mean square of each column; about the intercept, where the term has one."""
    scale = np.sqrt((B**2).sum(axis=0))
    if _intercept_first(term):
        scale[1:] = np.sqrt((B[1:, 1:] ** 2).sum(axis=0))
    return scale


def _far(term: RandomTerm, B: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(k,) whether a column is far from zero, in standard deviations, beside an intercept."""
    return _intercept_first(term) & (np.arange(len(B)) > 0) & (np.abs(B[0]) > FAR * _own_scale(term, B))


def _null_directions(U: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, d) directions n with var(n'u) = 0 for columns used, with the relative factor U."""
    share = (U**2).sum(axis=1)
    rows = np.flatnonzero(share >= NULL)
    zero = np.eye(len(U))[:, share < NULL]
    root = U[rows] / np.sqrt(share[rows])[:, None]
    values, vectors = np.linalg.eigh(root @ root.T)
    mixtures = np.zeros((len(U), int((values < NULL).sum())))
    mixtures[rows] = vectors[:, values < NULL] / np.sqrt(share[rows])[:, None]
    return np.hstack([zero, mixtures])


def _regular(T: NDArray[np.float64], B: NDArray[np.float64], several: bool) -> bool:
    """Whether a term is far from singular, by a factor of `CLEAR` in variances: the usual case, told in one look."""
    enough = CLEAR * NULL
    if ((T**2).sum(axis=1) * np.diag(B) ** 2).min() < enough:  # at most what `_own_scale` gives
        return False
    if not several:
        return True
    U = B @ T
    share = (U**2).sum(axis=1)
    root = U / np.sqrt(share)[:, None]
    return bool(share.min() >= enough and np.linalg.eigvalsh(root @ root.T)[0] >= enough)


def _without_null(T: NDArray[np.float64], B: NDArray[np.float64]) -> NDArray[np.float64]:
    """T with what it has along null directions taken out: far from zero, a trace of it is a large sd at zero."""
    U = B @ T
    null = _null_directions(U)
    return T - linalg.solve_triangular(B, null @ np.linalg.lstsq(null, U, rcond=None)[0]) if null.size else T


def _null_mixtures(
    T: NDArray[np.float64], B: NDArray[np.float64], zero: NDArray[np.bool_]
) -> list[NDArray[np.float64]]:
    """Null directions among the columns that do vary, as (k,) coefficients in the units of the columns."""
    rows = np.flatnonzero(~zero)
    if len(rows) < 2:
        return []
    own = np.asarray(np.linalg.qr(B[:, rows], mode="r"))
    sd = np.sqrt((T[rows] ** 2).sum(axis=1))
    null = (own.T @ _null_directions(own @ T[rows])) * sd[:, None]  # in sd units, so that pivots mean something
    out = []
    for direction in _reduced(null).T:
        a = np.zeros(len(T))
        a[rows] = direction / sd
        out.append(a / np.abs(a).max())
    return out


def _reduced(null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Basis (m, d) of the same space in which d pivot columns form the identity: the readable form."""
    if null.shape[1] == 0:
        return null
    order = linalg.qr(null.T, mode="r", pivoting=True)[-1]
    pivots = np.sort(order[: null.shape[1]])
    return null @ linalg.inv(null[pivots])


def _shown(column: str) -> str:
    return column if column == "Intercept" else f"`{column}`"


def _listed(names: Sequence[str]) -> str:
    """``"`a` varies"``, ``"`a` and `b` vary"``."""
    shown = [_shown(name) for name in names[:4]] + (["others"] if len(names) > 4 else [])
    return f"{shown[0]} varies" if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]} vary"


def _zero_direction(t: int, term: RandomTerm, column: int) -> NullDirection:
    a = np.zeros(term.n_columns)
    a[column] = 1.0
    text = f"the sd of {_shown(term.columns[column])} within `{term.label}` is zero"
    return NullDirection(t, term.label, term.columns, a, text)


def _mixture_direction(t: int, term: RandomTerm, factor: NDArray[np.float64], a: NDArray[np.float64]) -> NullDirection:
    # in sd units, so that a column with small units is not mistaken for one that takes no part
    part = np.abs(a) * np.sqrt((factor**2).sum(axis=1))
    involved = np.flatnonzero(part > 1e-3 * part.max())
    if len(involved) == 2:
        i, j = involved
        sign = "-" if a[i] * a[j] > 0 else ""
        first, second = _shown(term.columns[i]), _shown(term.columns[j])
        text = f"{first} and {second} within `{term.label}` are perfectly correlated (r = {sign}1)"
    else:
        pivot = involved[np.argmax(part[involved])]
        others = [(float(-a[i] / a[pivot]), _shown(term.columns[i])) for i in involved if i != pivot]
        text = (
            f"within `{term.label}` the effect of {_shown(term.columns[pivot])} is a fixed combination of the others: "
            f"{_shown(term.columns[pivot])} = {_combination(others)}"
        )
    return NullDirection(t, term.label, term.columns, a, text)


def _combination(terms: list[tuple[float, str]]) -> str:
    out = ""
    for value, name in terms:
        sign = ("-" if value < 0 else "") if not out else (" - " if value < 0 else " + ")
        out += f"{sign}{abs(value):.3g} {name}"
    return out
