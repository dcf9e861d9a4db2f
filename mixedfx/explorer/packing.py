"""The content of a page as JSON: arrays as base64, draws as 16-bit steps between the ends of their column.

Quantising moves a draw by half a step at most, the range of its column over 131,070: of 4,000 normal draws, whose range
is some seven standard deviations, 0.00006 standard deviations.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.explorer.content import Content, ExactLaw, Law, PooledLaw, Population, Raw

Array = NDArray[np.float64]
LEVELS = 2**16 - 1
KINDS = {"f8": "<f8", "f4": "<f4", "u2": "<u2", "u1": "u1"}


def numbers(values: Any, kind: str) -> dict[str, str]:
    """An array as text that the page reads.

    Examples
    --------
    >>> from mixedfx.explorer.packing import numbers
    >>> numbers([1, 2], "u2")
    {'kind': 'u2', 'base64': 'AQACAA=='}
    """
    data = np.ascontiguousarray(values, dtype=KINDS[kind]).tobytes()
    return {"kind": kind, "base64": base64.b64encode(data).decode("ascii")}


def quantised(columns: Array) -> tuple[NDArray[np.uint16], Array, Array]:
    """Draws (C, D) of C columns as steps (C, D), with low ends (C,) and sizes of a step (C,).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.explorer.packing import quantised
    >>> steps, low, step = quantised(np.array([[-1.0, 0.5, 2.0]]))
    >>> steps.tolist(), bool(np.allclose(low[:, None] + step[:, None] * steps, [[-1.0, 0.5, 2.0]], atol=3e-5))
    ([[0, 32768, 65535]], True)
    """
    low, high = columns.min(axis=1), columns.max(axis=1)
    step = (high - low) / LEVELS
    known = np.isfinite(step) & (step > 0)
    safe = np.where(known, step, 1.0)[:, None]
    place = np.where(known[:, None], (columns - low[:, None]) / safe, 0.0)
    steps = np.clip(np.rint(place), 0, LEVELS).astype(np.uint16)
    return steps, np.nan_to_num(low), np.where(known, step, 0.0)


def thinned(draws: Array, count: int) -> Array:
    """`count` of the draws (D, ...), evenly spread over them in their order."""
    D = len(draws)
    if count >= D:
        return draws
    return draws[np.floor((np.arange(count) + 0.5) * D / count).astype(np.intp)]


def kept_of(law: Law, count: int) -> int:
    """How many draws of a law are kept where `count` are the most: as many of each data set."""
    return min(max(count // law.sets, 1), len(law.draws) // law.sets) * law.sets


def packed(content: Content, draws: int) -> str:
    """JSON of a page with so many draws; safe inside an element of HTML.

    Parameters
    ----------
    content
        What the page holds.
    draws
        The most that are kept of each population.
    """
    pages = {
        "file": _file_name(content.title),
        "quantity": content.quantity, "short": content.short, "unit": content.unit, "null": content.null,
        "threshold": content.threshold,
        "level": content.level, "counted": content.counted,
        "columns": [
            {"name": c.name, "label": c.label, "keys": list(c.keys), "levels": list(c.levels)} for c in content.columns
        ],
        "contrasts": list(content.contrasts),
        "categories": list(content.categories),
        "populations": [_population(p, draws) for p in content.populations],
        "raw": [_raw(raw) for raw in content.raw],
    }  # fmt: skip
    text = json.dumps(pages, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # No label can end the element that holds the data, nor open a comment in it.
    return (
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _file_name(title: str) -> str:
    kept = "".join(c if c.isalnum() and c.isascii() else "-" for c in title.lower())
    return "-".join(part for part in kept.split("-") if part)[:60] or "effects"


def _population(population: Population, draws: int) -> dict[str, Any]:
    return {
        "name": population.label, "label": population.label,
        "codes": numbers(population.codes, "u2"), "n": numbers(population.n, "f8"),
        "weight": numbers(population.weight, "f8"), "law": _law(population.law, draws),
        "weights": None if population.weights is None else numbers(population.weights, "f8"),
    }  # fmt: skip


def _law(law: Law, draws: int) -> dict[str, Any]:
    D = kept_of(law, draws)
    kept = np.concatenate([thinned(one, D // law.sets) for one in np.split(law.draws, law.sets)])
    steps, low, step = quantised(np.moveaxis(kept, 0, -1).reshape(-1, D))
    rule = law.rule
    return {
        "form": "linear" if rule is None else "compared",
        "sets": law.sets,
        "draws": {"count": D, "total": law.total, "steps": numbers(steps, "u2"), "low": numbers(low, "f8"),
                  "step": numbers(step, "f8")},
        "lost": numbers(law.lost, "u1"),
        "means": None if law.means is None else numbers(np.nan_to_num(law.means), "f8"),
        "exact": _exact(law.exact) if isinstance(law.exact, ExactLaw) else None,
        "pooled": _pooled(law.exact) if isinstance(law.exact, PooledLaw) else None,
        "curve": _steps(law.curve),
        "rule": None if rule is None else {
            "name": rule.name, "pairs": [list(pair) for pair in rule.pairs], "categories": rule.categories,
            "back": _steps(rule.back), "increments": rule.increments, "units": rule.units,
        },
    }  # fmt: skip


def _exact(law: ExactLaw) -> dict[str, Any]:
    return {
        "nodes": len(law.weights), "rank": law.basis.shape[1], "directions": law.derivatives.shape[1],
        "nu": None if np.isinf(law.nu) else law.nu,
        "random": numbers(law.random, "u1"), "weights": numbers(law.weights, "f8"), "means": numbers(law.means, "f4"),
        "loadings": numbers(law.loadings, "f8"), "basis": numbers(law.basis, "f4"), "gap": numbers(law.gap, "f8"),
        "cov": numbers(law.cov, "f8"), "derivatives": numbers(law.derivatives, "f4"),
    }  # fmt: skip


def _pooled(law: PooledLaw) -> dict[str, Any]:
    return {
        "sets": len(law.means), "directions": law.derivatives.shape[2],
        "nu": [None if np.isinf(nu) else float(nu) for nu in law.nu],
        "random": numbers(law.random, "u1"), "means": numbers(np.nan_to_num(law.means), "f8"),
        "mixed": numbers(np.nan_to_num(law.mixed), "f4"), "fixed": numbers(np.nan_to_num(law.fixed), "f4"),
        "derivatives": numbers(np.nan_to_num(law.derivatives), "f4"),
    }  # fmt: skip


def _raw(raw: Raw) -> dict[str, Any]:
    own: Mapping[str, Any] = {
        "errors": raw.errors, "cells": len(raw.codes), "categories": raw.sw.shape[1], "centre": raw.centre,
        "comparison": raw.comparison, "pairs": [list(pair) for pair in raw.pairs], "back": _steps(raw.back),
        "codes": numbers(raw.codes, "u2"), "count": numbers(raw.count, "f8"), "sw": numbers(raw.sw, "f8"),
        "swy": numbers(raw.swy, "f8"), "swyy": numbers(raw.swyy, "f8"),
    }  # fmt: skip
    if raw.slope is not None:
        found = raw.slope
        sums = {"swx": found.swx, "swxx": found.swxx, "swxy": found.swxy}
        own = {**own, "slope": {name: numbers(of, "f8") for name, of in sums.items()} | {"factor": found.factor}}
    if raw.estimates is None or raw.cov is None:
        return {"slope": None, **own}
    return {"slope": None, **own, "estimates": numbers(raw.estimates, "f8"), "cov": numbers(raw.cov, "f8")}


def _steps(steps: Any) -> list[list[str | float]] | None:
    return [list(step) for step in steps] or None
