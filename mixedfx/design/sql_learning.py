"""Transforms that learn a mean and a standard deviation from all rows, by a database: center, scale, standardize.

One question more gives the means and variances of what they are applied to, before anything else is asked; databases
find variances by updating them row by row or part by part (Welford 1962, Technometrics 4:419), which loses no digits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx.design.sql_expressions import NotInSQL, number_text

_ALIAS = re.compile(r"\bcolumn_((?:[0-9a-f]{2})+)\b")
_PARAMETERS = {
    "center": ("x",),
    "scale": ("data", "center", "scale", "ddof"),
    "standardize": ("x", "center", "rescale", "ddof"),
}


@dataclass(frozen=True)
class Learner:
    """One call of such a transform.

    Attributes
    ----------
    key
        Its text, as `key_of` writes it.
    inner
        What it is applied to, in SQL.
    centre, factor
        Whether a mean is taken off, and whether it is divided by a standard deviation.
    ddof
        What is taken off the number of rows for it.
    """

    key: str
    inner: str
    centre: bool
    factor: bool
    ddof: int

    def applied(self, state: Mapping[str, Any]) -> str:
        """The transform in SQL, with what it learnt."""
        out = self.inner
        if state["center"] is not None:
            out = f"({out} - {number_text(state['center'])})"
        if state["scale"] is not None:
            out = f"({out} / {number_text(state['scale'])})"
        return out


def key_of(text: str) -> str:
    """The text of a call, whatever its columns are called while it is evaluated."""
    plain = ast.unparse(ast.parse(text, mode="eval"))
    return _ALIAS.sub(lambda m: bytes.fromhex(m.group(1)).decode(), plain)


def learner_of(call: ast.Call, inner: str) -> Learner | None:
    """What a call learns; None where its function learns nothing or too much; `inner` is its argument in SQL.

    Raises
    ------
    NotInSQL
        Where its options are more than True, False and a number of ddof.
    """
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in _PARAMETERS:
        return None
    text, names = ast.unparse(call), _PARAMETERS[name]
    given: dict[str, Any] = {"ddof": 1 if name == "scale" else 0}
    written = [*zip(names[1:], call.args[1:], strict=False), *((k.arg or "", k.value) for k in call.keywords)]
    for option, node in written:
        if not isinstance(node, ast.Constant) or option not in names[1:]:
            raise NotInSQL(f"'{text}' is not written in SQL")
        given[option] = node.value
    centre = given.get("center", True)
    factor = name != "center" and given.get("scale", given.get("rescale", True))
    if not isinstance(centre, bool) or not isinstance(factor, bool) or not isinstance(given["ddof"], int):
        raise NotInSQL(f"'{text}' is not written in SQL")
    return Learner(key_of(text), inner, centre, factor, given["ddof"])


def asked_of(learners: Sequence[Learner]) -> str:
    """What is asked for them, of rows that are used: n, and a mean and a variance of each."""
    return ", ".join(
        ["COUNT(*) AS n"]
        + [f"AVG({one.inner}) AS mean{i}, VAR_POP({one.inner}) AS var{i}" for i, one in enumerate(learners)]
    )


def states_of(learners: Sequence[Learner], answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each, by its key, what formulaic keeps of it.

    Raises
    ------
    NotInSQL
        Where it is applied to what is not finite in some row, or is constant.
    """
    out, n = {}, int(answer["n"])
    for i, one in enumerate(learners):
        mean, variance = answer[f"mean{i}"], answer[f"var{i}"]
        if n and (mean is None or variance is None or not np.isfinite([mean, variance]).all()):
            raise NotInSQL(f"'{one.key}' is not finite in some rows")
        mean, variance = (float(mean), float(variance)) if n else (0.0, 1.0)
        squares = n * variance if one.centre else n * (variance + mean**2)
        if one.factor and n and (n <= one.ddof or squares == 0.0):
            raise NotInSQL(f"'{one.key}' divides by zero")
        out[one.key] = {
            "ddof": one.ddof,
            "center": np.float64(mean) if one.centre else None,
            "scale": np.sqrt(squares / max(n - one.ddof, 1)) if one.factor else None,
        }
    return out
