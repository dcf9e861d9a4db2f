r"""General linear hypotheses L beta = rhs: how they are written, what they are referred to, and the tables they fill.

A reference (`Reference`) is a covariance of the fixed effects with the degrees of freedom that go with it: those of
`mixedfx.inference.satterthwaite`, `kenward_roger` and `robust`, and `Constant` here. All tests of a fit go through one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import IgnoredGroupsWarning, OptionError, check_flag
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.single_clusters import SingleClusters
from mixedfx.results.tables import TIDY_COLUMNS, t_test

Vector = NDArray[np.float64]

TEST_COLUMNS = ("hypothesis", "num_df", "den_df", "f_value", "p_value")
CHI_SQUARE_COLUMNS = ("chisq", "df", "p_value")


class Reference(Protocol):
    """A covariance of the fixed effects and the distributions of statistics made with it."""

    @property
    def vcov(self) -> Vector:
        """(p, p) covariance of the fixed effects."""
        ...

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) degrees of freedom of t for the rows of (s, p) contrasts."""
        ...

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """F, numerator and denominator df of L beta = rhs; `difference` (m,) is L beta-hat - rhs."""
        ...


@dataclass(frozen=True)
class Constant:
    """One number of degrees of freedom for everything: n - p, or infinity for the normal and chi square.

    `single`: what one cluster alone determines, where `vcov` is cluster-robust.
    """

    vcov: Vector
    df: float
    single: SingleClusters | None = None

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) the same number for every row."""
        if self.single is not None:
            self.single.warn(contrasts, stacklevel=4)
        return np.full(len(contrasts), self.df)

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """Wald's F with the same number as denominator df."""
        if self.single is not None:
            self.single.warn(L, stacklevel=4)
        t2 = independent_contrasts(L, self.vcov, difference)[1]
        return float(np.mean(t2)), float(len(t2)), self.df


def coefficient_df(reference: Reference, names: Sequence[str]) -> Vector:
    """(p,) degrees of freedom of the coefficients, for a table of all of them.

    The intercept is a mean over groups, and its df are rarely read: beside other coefficients it is not warned about.
    """
    eye, df = np.eye(len(names)), np.empty(len(names))
    alone = np.array([name == "Intercept" and len(names) > 1 for name in names], dtype=bool)
    df[~alone] = reference.t_df(eye[~alone])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IgnoredGroupsWarning)
        df[alone] = reference.t_df(eye[alone])
    return df


def contrast_matrix(hypothesis: Any, names: Sequence[str]) -> tuple[Vector, tuple[str, ...]]:
    """Contrast matrix of a hypothesis, and a label for each row.

    Parameters
    ----------
    hypothesis
        The name of a coefficient; a dict of names and weights; a list of these; a dict of labels and any of these; a
        data frame whose columns are names; or an (m, p) or (p,) array.
    names
        The p coefficients.

    Raises
    ------
    OptionError
        For unknown names, wrong shapes, and numbers that are not finite.

    Examples
    --------
    >>> from mixedfx.inference.hypotheses import contrast_matrix
    >>> contrast_matrix({"a - b": {"a": 1, "b": -1}, "a": "a"}, ["Intercept", "a", "b"])
    (array([[ 0.,  1., -1.],
           [ 0.,  1.,  0.]]), ('a - b', 'a'))
    """
    if isinstance(hypothesis, pd.DataFrame):
        L = np.zeros((len(hypothesis), len(names)))
        for column in hypothesis.columns:
            L[:, _position(column, names)] = hypothesis[column]
        return _checked(L, names), tuple(str(i) for i in hypothesis.index)
    if isinstance(hypothesis, str):
        return _row({hypothesis: 1.0}, names)[None], (hypothesis,)
    if isinstance(hypothesis, Mapping):
        if all(isinstance(v, int | float | np.number) for v in hypothesis.values()):
            return _checked(_row(hypothesis, names)[None], names), (_label(hypothesis),)
        parts = [contrast_matrix(value, names)[0] for value in hypothesis.values()]
        labels = [str(k) for k, part in zip(hypothesis, parts, strict=True) for _ in part]
        return np.concatenate(parts), tuple(labels)
    if isinstance(hypothesis, list | tuple) and hypothesis and isinstance(hypothesis[0], str | Mapping):
        parts = [contrast_matrix(value, names) for value in hypothesis]
        return np.concatenate([L for L, _ in parts]), tuple(label for _, part in parts for label in part)
    L = _checked(np.atleast_2d(np.asarray(hypothesis, dtype=np.float64)), names)
    return L, tuple(_label(dict(zip(names, row, strict=True))) for row in L)


def _checked(L: Vector, names: Sequence[str]) -> Vector:
    if L.ndim != 2 or L.shape[1] != len(names):
        raise OptionError(
            f"a contrast matrix of shape {L.shape} does not fit {len(names)} coefficients",
            hint=f"One column for each of: {', '.join(names)}.",
        )
    if not np.isfinite(L).all():
        raise OptionError("a contrast matrix holds values that are not finite")
    return L


def _position(name: object, names: Sequence[str]) -> int:
    if name not in names:
        hint = f"Coefficients: {', '.join(names)}."
        if "=" in str(name) or " - " in str(name):
            hint += ' The hypothesis a - b = 1 is written test({"a": 1, "b": -1}, rhs=1).'
        raise OptionError(f"there is no coefficient {name!r}", hint=hint)
    return list(names).index(str(name))


def _row(weights: Mapping[str, Any], names: Sequence[str]) -> Vector:
    row = np.zeros(len(names))
    for name, weight in weights.items():
        row[_position(name, names)] = float(weight)
    return row


def _label(weights: Mapping[str, Any]) -> str:
    """``"a - 0.5 b"`` for weights 1 and -0.5."""
    text = ""
    for name, weight in weights.items():
        if weight == 0:
            continue
        size = "" if abs(weight) == 1 else f"{abs(float(weight)):.4g} "
        sign = "-" if weight < 0 else "+"
        text += f" {sign} {size}{name}" if text else f"{'-' if weight < 0 else ''}{size}{name}"
    return text or "0"


def read_hypothesis(hypothesis: Any, names: Sequence[str], rhs: Any) -> tuple[Vector, tuple[str, ...], Vector]:
    """(m, p) contrasts, their labels and the (m,) values they have under the hypothesis.

    Raises
    ------
    OptionError
        As `contrast_matrix`, and where `rhs` is neither one value nor one for each contrast.
    """
    L, labels = contrast_matrix(hypothesis, names)
    values = np.asarray(rhs, dtype=np.float64)
    if values.ndim > 1 or values.size not in (1, len(L)):
        raise OptionError(f"rhs= has {values.size} values for {len(L)} contrasts")
    return L, labels, np.broadcast_to(values, (len(L),)).astype(np.float64)


def check_testable(L: Vector, rhs: Vector) -> None:
    """Refuse a hypothesis that says nothing, or contradicts itself.

    Raises
    ------
    OptionError
        Where every contrast is zero, or two dependent rows ask for different values.
    """
    size = np.abs(L).max(axis=1, keepdims=True, initial=0.0)
    if not np.any(size > 0):
        raise OptionError("every contrast is zero: there is nothing to test")
    size[size == 0] = 1.0
    solution = np.linalg.lstsq(L / size, rhs / size[:, 0], rcond=1e-10)[0]
    if not np.allclose(L @ solution, rhs, rtol=1e-8, atol=1e-8 * max(1.0, float(np.abs(rhs).max(initial=0.0)))):
        raise OptionError(
            "the rows of the hypothesis contradict each other", hint="Drop the rows that depend on others."
        )


def contrast_table(
    labels: Sequence[str], L: Vector, beta: Vector, rhs: Vector, reference: Reference, level: float = 0.95
) -> pd.DataFrame:
    """Each row of L beta - rhs with its t test and interval, in broom's columns."""
    estimate = L @ beta - rhs
    std_error = np.sqrt(np.maximum(np.einsum("sp,pr,sr->s", L, reference.vcov, L), 0.0))
    df = reference.t_df(L)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / std_error
    p_value, half = t_test(statistic, std_error, df, level)
    values = (list(labels), estimate, std_error, statistic, df, p_value, estimate - half, estimate + half)
    return pd.DataFrame(dict(zip(TIDY_COLUMNS, values, strict=True)))


def f_row(L: Vector, beta: Vector, rhs: Vector, reference: Reference) -> tuple[float, float, float, float]:
    """Numerator df, denominator df, F and p of one joint hypothesis."""
    F, num, den = reference.f_test(L, L @ beta - rhs)
    return num, den, F, f_probability(F, num, den)


def f_probability(F: float, num: float, den: float) -> float:
    """Upper tail of F(num, den); of chi square / num where den is infinite, 1 where num is zero."""
    from scipy import stats

    if num == 0:
        return 1.0
    if np.isinf(den):
        return float(stats.chi2.sf(num * F, num))
    return float(stats.f.sf(F, num, den))


def joint_table(labels: Sequence[str], L: Vector, beta: Vector, rhs: Vector, reference: Reference) -> pd.DataFrame:
    """One row for L beta = rhs as a whole."""
    text = "; ".join(f"{label} = {value:.4g}" for label, value in zip(labels, rhs, strict=True))
    row = (text, *f_row(L, beta, rhs, reference))
    return pd.DataFrame([dict(zip(TEST_COLUMNS, row, strict=True))])


def hypothesis_table(
    hypothesis: Any,
    rhs: Any,
    names: Sequence[str],
    beta: Vector,
    reference: Callable[[], Reference],
    joint: bool,
    level: float,
) -> pd.DataFrame:
    """Test of a hypothesis as it was written: of its rows as a whole (`joint_table`), or each (`contrast_table`).

    `reference` is asked when the hypothesis is known to make sense: it may be dear, and warn.
    """
    check_flag("joint", joint)
    L, labels, values = read_hypothesis(hypothesis, names, rhs)
    used = reference()
    if not joint:
        return contrast_table(labels, L, beta, values, used, level)
    check_testable(L, values)
    return joint_table(labels, L, beta, values, used)


def anova_table(
    contrasts: Mapping[str, Vector], beta: Vector, sigma: float, reference: Reference
) -> pd.DataFrame:  # fmt: skip
    """LmerTest's table of terms.

    Returns
    -------
    DataFrame
        term, sum_sq, mean_sq, num_df, den_df, f_value, p_value. mean_sq is F times the residual variance and sum_sq is
        that times num_df: what a balanced analysis of variance would print.
    """
    rows = []
    for term, L in contrasts.items():
        num, den, F, p = f_row(L, beta, np.zeros(len(L)), reference)
        rows.append((term, num * F * sigma**2, F * sigma**2, num, den, F, p))
    columns = ["term", "sum_sq", "mean_sq", "num_df", "den_df", "f_value", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    return table if rows else table.astype(dict.fromkeys(columns[1:], float))


def wald_row(L: Vector, beta: Vector, rhs: Vector, reference: Reference) -> dict[str, float]:
    """Wald's chi square of L beta = rhs, its df (rows that are independent), and p; `reference` is normal."""
    F, num, _ = reference.f_test(L, L @ beta - rhs)
    values = (num * F if num else 0.0, num, f_probability(F, num, np.inf))
    return dict(zip(CHI_SQUARE_COLUMNS, values, strict=True))


def wald_table(
    hypothesis: Any, rhs: Any, names: Sequence[str], beta: Vector, reference: Callable[[], Reference]
) -> pd.DataFrame:  # fmt: skip
    """One row: hypothesis, chisq, df, p_value of all rows of a hypothesis together.

    Raises
    ------
    OptionError
        As `read_hypothesis` and `check_testable`.
    """
    L, labels, values = read_hypothesis(hypothesis, names, rhs)
    check_testable(L, values)
    text = "; ".join(f"{label} = {value:.4g}" for label, value in zip(labels, values, strict=True))
    return pd.DataFrame([{"hypothesis": text} | wald_row(L, beta, values, reference())])


def wald_terms(contrasts: Mapping[str, Vector], beta: Vector, reference: Reference) -> pd.DataFrame:
    """A row for each term: term, chisq, df, p_value."""
    rows = [{"term": term} | wald_row(L, beta, np.zeros(len(L)), reference) for term, L in contrasts.items()]
    return pd.DataFrame(rows, columns=["term", *CHI_SQUARE_COLUMNS])
