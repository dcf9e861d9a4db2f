r"""What transforms that learn from the data learn, when the data are read in batches: exactly what all rows teach.

``center(x)``, ``scale(x)`` and ``standardize(x)`` take a mean and a sum of squares about it; ``poly(x, d)`` the
coefficients of the orthogonal recurrence

    P_0 = 1,   P_{k+1} = (x - a_k) P_k - (n_k / n_{k-1}) P_{k-1},   a_k = sum x P_k^2 / n_k,   n_k = sum P_k^2,

a reading of x for each k, as the sums of one step need the polynomials of those before. Splines take the bounds and
knots of x: smallest and largest values, and quantiles, which are found exactly by counting into bins and reading again
what falls into those that hold a quantile. Sums over batches are compensated (`mixedfx.linalg.sums`).

Splines that learn something else (``cr``, ``cs`` and ``cc`` with knots of their own choice or constraints) are refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.expressions import Scope, evaluate
from mixedfx.errors import ModelError
from mixedfx.linalg.sums import Sum

Array = NDArray[np.float64]
Values = Callable[[], Iterator[Array]]

BINS = 2**16
HELD = 2_000_000  # values that are sorted in memory to find quantiles among them
_ALIAS = re.compile(r"\bcolumn_((?:[0-9a-f]{2})+)\b")


def learn_states(
    states: MutableMapping[str, dict[str, Any]], frames: Callable[[], Iterator[pd.DataFrame]], scope: Scope, n: int
) -> bool:
    """Put in the place of what transforms learnt from a sample what all rows teach; whether anything was learnt.

    Parameters
    ----------
    states
        Call of a transform -> its state, as formulaic keeps it; what is inside others comes first.
    frames
        Reads the rows used, in plain columns, once.
    scope
        What expressions may name.
    n
        Number of rows.

    Raises
    ------
    ModelError
        For a transform that learns what a few readings do not tell.
    """
    learnt = False
    for text in sorted(states, key=len):
        state = states[text]
        if not state:
            continue
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise _refused(text)
        inner = ast.unparse(call.args[0]) if call.args else ""
        given = _given(call)

        def values(inner: str = inner) -> Iterator[Array]:
            for frame in frames():
                yield _values(inner, frame, scope, states)

        learn = _LEARN.get(call.func.id)
        if learn is None or not inner:
            raise _refused(text)
        learn(text, state, given, values, n)
        learnt = True
    return learnt


def _values(inner: str, frame: pd.DataFrame, scope: Scope, states: MutableMapping[str, dict[str, Any]]) -> Array:
    aliases = {m.group(0): bytes.fromhex(m.group(1)).decode() for m in _ALIAS.finditer(inner)}
    named = frame.assign(**{alias: frame[name] for alias, name in aliases.items() if name in frame.columns})
    found = evaluate(inner, named, scope, dict(states))
    out = np.asarray(getattr(found, "__wrapped__", found), dtype=np.float64)
    if out.ndim != 1:
        raise _refused(inner)
    return out


def _given(call: ast.Call) -> dict[str, Any]:
    """What the call says besides its first argument: position or name -> value, None where it is no constant."""
    out: dict[str, Any] = {}
    for i, node in enumerate(call.args[1:], start=1):
        out[str(i)] = _constant(node)
    return out | {str(k.arg): _constant(k.value) for k in call.keywords}


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _refused(text: str) -> ModelError:
    text = _ALIAS.sub(lambda m: bytes.fromhex(m.group(1)).decode(), text)
    return ModelError(
        f"'{text}' learns from all rows at once what reading them in batches does not tell",
        hint="Give it its numbers (knots=, lower_bound=, upper_bound=), make the column beforehand, or fit with "
        "stream=False.",
    )


def _scaled(text: str, state: dict[str, Any], given: dict[str, Any], values: Values, n: int) -> None:
    centre = given.get("center", given.get("1", True))
    factor = given.get("scale", given.get("rescale", given.get("2", True)))
    if text.startswith("center("):
        centre, factor = True, False
    if centre is True:
        total = Sum()
        for x in values():
            total.add(x.sum())
        state["center"] = np.float64(total.value / n)
    if factor is True:
        squares, at = Sum(), 0.0 if state["center"] is None else state["center"]
        for x in values():
            squares.add(((x - at) ** 2).sum())
        state["scale"] = np.sqrt(squares.value / (n - state["ddof"]))


def _polynomial(text: str, state: dict[str, Any], given: dict[str, Any], values: Values, n: int) -> None:
    degree = max(state["norms2"])
    alpha, norms2 = dict[int, float](), dict[int, float]()
    for k in range(degree + 1):
        square, moment = Sum(), Sum()
        for x in values():
            P = _recurrence(x, alpha, norms2, k)
            square.add((P**2).sum())
            moment.add((x * P**2).sum())
        norms2[k] = float(square.value)
        if k < degree:
            alpha[k] = float(moment.value) / norms2[k]
    state["alpha"], state["norms2"] = alpha, norms2


def _recurrence(x: Array, alpha: dict[int, float], norms2: dict[int, float], k: int) -> Array:
    """P_k at x."""
    before, now = np.zeros_like(x), np.ones_like(x)
    for i in range(k):
        step = (x - alpha[i]) * now
        if i:
            step -= norms2[i] / norms2[i - 1] * before
        before, now = now, step
    return now


def _spline(text: str, state: dict[str, Any], given: dict[str, Any], values: Values, n: int) -> None:
    name = text[:2]
    degree = given.get("degree", given.get("3", 3)) if name == "bs" else 0
    chosen = given.get("knots", given.get("2"))
    free = given.get("df", given.get("1"))
    inside = [] if chosen is None else [float(knot) for knot in chosen]
    if name != "bs" and (chosen is None or state.get("constraints") is not None):
        raise _refused(text)
    if free is not None and given.get("extrapolation", "raise") in ("clip", "na", "zero"):
        raise _refused(text)
    lowest, highest = np.inf, -np.inf
    for x in values():
        lowest, highest = min(lowest, float(x.min())), max(highest, float(x.max()))
    place = ("5", "6") if name == "bs" else ("3", "4")
    low = given.get("lower_bound", given.get(place[0], lowest))
    high = given.get("upper_bound", given.get(place[1], highest))
    if (low, high) != (lowest, highest) and free is not None:
        raise _refused(text)
    state["lower_bound"], state["upper_bound"] = float(low), float(high)
    if name != "bs":
        state["knots"] = sorted({float(low), float(high), *inside})
        return
    whole = given.get("include_intercept", given.get("4", False))
    inner = inside
    if free is not None:
        count = free - degree - (1 if whole else 0)
        inner = quantiles(values, n, np.linspace(0, 1, count + 2), lowest, highest, text)[1:-1]
    state["knots"] = [float(low)] * (degree + 1) + inner + [float(high)] * (degree + 1)


def quantiles(values: Values, n: int, at: Array, lowest: float, highest: float, text: str = "x") -> list[float]:
    """Quantiles of all values, as `numpy.quantile` gives them: between the two order statistics next to each.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.streamed_transforms import quantiles
    >>> x = np.random.default_rng(1).normal(size=1000)
    >>> found = quantiles(lambda: iter(np.split(x, 4)), 1000, np.array([0.1, 0.5]), x.min(), x.max())
    >>> bool(np.allclose(found, np.quantile(x, [0.1, 0.5]), rtol=0, atol=1e-15))
    True
    """
    if highest == lowest:
        return [lowest] * len(at)
    ranks = sorted({int(f(q * (n - 1))) for q in at for f in (np.floor, np.ceil)})
    factor = BINS / (highest - lowest)

    def bins(x: Array) -> NDArray[np.intp]:
        return np.minimum(((x - lowest) * factor).astype(np.intp), BINS - 1)

    counts = np.zeros(BINS, dtype=np.int64)
    for x in values():
        counts += np.bincount(bins(x), minlength=BINS)
    ends = np.cumsum(counts)
    wanted = np.unique(np.searchsorted(ends, ranks, side="right"))
    if counts[wanted].sum() > HELD:
        raise _refused(text)
    inside = np.zeros(BINS, dtype=bool)
    inside[wanted] = True
    kept = np.sort(np.concatenate([x[inside[bins(x)]] for x in values()]))
    starts = np.cumsum(counts[wanted]) - counts[wanted]
    found = {}
    for rank in ranks:
        b = int(np.searchsorted(ends, rank, side="right"))
        place = int(np.searchsorted(wanted, b))
        found[rank] = float(kept[starts[place] + rank - (ends[b] - counts[b])])
    out = []
    for q in at:
        position = q * (n - 1)
        below, above = found[int(np.floor(position))], found[int(np.ceil(position))]
        share = position - np.floor(position)
        # as NumPy does, so that the last bit is the same
        out.append(above - (above - below) * (1 - share) if share >= 0.5 else below + (above - below) * share)
    return out


_LEARN: dict[str, Callable[[str, dict[str, Any], dict[str, Any], Values, int], None]] = {
    "center": _scaled,
    "scale": _scaled,
    "standardize": _scaled,
    "poly": _polynomial,
    "bs": _spline,
    "cr": _spline,
    "cs": _spline,
    "cc": _spline,
}
