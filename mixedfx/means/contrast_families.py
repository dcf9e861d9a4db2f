"""Families of contrasts among k means: each a (c, k) matrix of coefficients whose rows have names.

Polynomial contrasts are those of equally spaced levels: the powers of 1, ..., k made orthogonal in rational arithmetic
and scaled to the smallest integers, as in the tables of Fisher & Yates (1938).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.frame import nearest
from mixedfx.errors import OptionError

Array = NDArray[np.float64]
METHODS = ("pairwise", "revpairwise", "trt.vs.ctrl", "consec", "eff", "poly")
DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


def contrast_family(
    method: str | Mapping[str, Sequence[float]], labels: Sequence[str], base: Any = None, joint: str = " - "
) -> tuple[tuple[str, ...], Array]:
    """Names and coefficients of a family.

    Parameters
    ----------
    method
        ``"pairwise"`` (each level less each later one), ``"revpairwise"`` (each later one less the earlier),
        ``"trt.vs.ctrl"`` (each less `base`), ``"consec"`` (each less the one before), ``"eff"`` (each less the mean of
        all), ``"poly"`` (orthogonal polynomials, up to degree 6), or name -> k coefficients.
    labels
        The k means.
    base
        Label of the control, for ``"trt.vs.ctrl"``; the first where None.
    joint
        What stands between the two means of a pair.

    Raises
    ------
    OptionError
        For an unknown method or base, or coefficients that are not k finite numbers.

    Examples
    --------
    >>> from mixedfx.means.contrast_families import contrast_family
    >>> names, K = contrast_family("poly", ["low", "mid", "high", "top"])
    >>> names[1], K.tolist()
    ('quadratic', [[-3.0, -1.0, 1.0, 3.0], [1.0, -1.0, -1.0, 1.0], [-1.0, 3.0, -3.0, 1.0]])
    """
    k = len(labels)
    if base is not None and method != "trt.vs.ctrl":
        raise OptionError("base= goes with 'trt.vs.ctrl' only", hint='Write contrast("trt.vs.ctrl", base=...).')
    if isinstance(method, Mapping):
        return _custom(method, labels)
    if method not in METHODS:
        known = f"Use {', '.join(map(repr, METHODS))}, or a dictionary of coefficients."
        raise OptionError(f"{method!r} is no known family of contrasts", hint=known)
    if k < 2:
        raise OptionError("a contrast needs two means; there is one", hint="Name fewer columns in by=.")
    if method == "poly":
        rows = _polynomials(k, min(len(DEGREES), k - 1))
        return DEGREES[: len(rows)], np.array(rows, dtype=float)
    if method == "eff":
        return tuple(f"{label} effect" for label in labels), np.eye(k) - 1 / k
    if method in ("pairwise", "revpairwise"):
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        if method == "revpairwise":
            pairs = [(i, j) for i in range(k) for j in range(i)]
    elif method == "consec":
        pairs = [(i + 1, i) for i in range(k - 1)]
    else:
        control = _position(base, labels)
        pairs = [(i, control) for i in range(k) if i != control]
    K = np.zeros((len(pairs), k))
    for row, (i, j) in zip(K, pairs, strict=True):
        row[i], row[j] = 1.0, -1.0
    return tuple(f"{labels[i]}{joint}{labels[j]}" for i, j in pairs), K


def _position(base: Any, labels: Sequence[str]) -> int:
    if base is None:
        return 0
    wanted = ", ".join(map(str, base)) if isinstance(base, tuple) else str(base)
    if wanted not in labels:
        raise OptionError(
            f"base={base!r} is none of the means", hint=nearest(wanted, labels) or f"They are: {'; '.join(labels)}."
        )
    return list(labels).index(wanted)


def _custom(given: Mapping[str, Sequence[float]], labels: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    if not given:
        raise OptionError("a dictionary of contrasts is empty", hint="Give name: coefficients.")
    rows = []
    for name, coefficients in given.items():
        row = np.asarray(coefficients, dtype=float)
        if row.shape != (len(labels),) or not np.isfinite(row).all():
            raise OptionError(
                f"the contrast {name!r} has {np.size(row)} coefficients; there are {len(labels)} means",
                hint=f"Give one finite number for each of: {'; '.join(labels)}.",
            )
        rows.append(row)
    return tuple(map(str, given)), np.array(rows)


def _polynomials(k: int, degree: int) -> list[list[int]]:
    """Orthogonal polynomials on 1, ..., k in smallest integers, the last coefficient positive."""
    basis: list[list[Fraction]] = [[Fraction(1)] * k]
    rows = []
    for d in range(1, degree + 1):
        power = [Fraction(x) ** d for x in range(1, k + 1)]
        for earlier in basis:
            share = _dot(power, earlier) / _dot(earlier, earlier)
            power = [a - share * b for a, b in zip(power, earlier, strict=True)]
        basis.append(power)
        whole = [int(a * lcm(*(b.denominator for b in power))) for a in power]
        rows.append([a // gcd(*whole) for a in whole])
    return rows


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))
