"""Frozen values as JSON and back: priors and what is known of the sampling.

Only classes of the list below are ever built, from their fields; nothing else is imported, called or evaluated.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np

KIND = "class"


@cache
def known() -> dict[str, type]:
    """The classes that a file may name: priors, and how draws were made."""
    from mixedfx.bayes.course import StanSampling
    from mixedfx.bayes.engine import Sampling
    from mixedfx.priors import distributions
    from mixedfx.priors.resolve import ResolvedPriors, TermPrior

    priors = [c for c in vars(distributions).values() if isinstance(c, type) and is_dataclass(c)]
    return {c.__name__: c for c in (*priors, ResolvedPriors, TermPrior, Sampling, StanSampling)}


def encode(value: Any) -> Any:
    """A value as lists, dictionaries, numbers and text.

    Examples
    --------
    >>> from mixedfx.bayes.plain_values import decode, encode
    >>> from mixedfx.priors import normal
    >>> encode((normal(0, 2.5), float("nan")))["items"][1]
    {'class': 'float', 'text': 'nan'}
    >>> decode(encode({("cor", "g"): normal(0, 2.5)}))
    {('cor', 'g'): Normal(loc=0, scale=2.5, autoscale=False, half=False)}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {KIND: "float", "text": repr(value)}
    if isinstance(value, np.ndarray):
        return {KIND: "array", "shape": list(value.shape), "items": [encode(x) for x in value.ravel().tolist()]}
    if isinstance(value, tuple):
        return {KIND: "tuple", "items": [encode(x) for x in value]}
    if hasattr(value, "items"):
        return {KIND: "mapping", "items": [[encode(k), encode(v)] for k, v in value.items()]}
    if type(value).__name__ in known():
        return {KIND: type(value).__name__} | {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    raise TypeError(f"a {type(value).__name__} has no place in a saved fit")


def decode(value: Any) -> Any:
    """The inverse of `encode`.

    Raises
    ------
    ValueError
        For a class that is not on the list.
    """
    if not isinstance(value, dict):
        return value
    kind = value[KIND]
    if kind == "float":
        return float(value["text"])
    if kind == "array":
        return np.array([decode(x) for x in value["items"]]).reshape(value["shape"])
    if kind == "tuple":
        return tuple(decode(x) for x in value["items"])
    if kind == "mapping":
        return {decode(k): decode(v) for k, v in value["items"]}
    if kind not in known():
        raise ValueError(f"unknown class {kind!r}")
    return known()[kind](**{name: decode(x) for name, x in value.items() if name != KIND})
