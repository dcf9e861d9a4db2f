"""Frozen values as JSON and back: priors, and whatever classes the caller knows besides.

Only classes that are listed are ever built, from their fields; nothing else is imported, called or evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, get_origin, get_type_hints

import numpy as np

from mixedfx.archive import fits

KIND = "class"


@cache
def known() -> dict[str, type]:
    """The classes that every file may name: priors."""
    from mixedfx.priors.bias import PEESE, PET, NoBias, Weights
    from mixedfx.priors.bounded import Beta, Spike, Truncated, Uniform
    from mixedfx.priors.distributions import DISTRIBUTIONS, SPECIAL
    from mixedfx.priors.ensembles import Ensemble, ModelPrior, Option
    from mixedfx.priors.joint import Share
    from mixedfx.priors.resolve import ResolvedPriors, TermPrior

    averaged = (Spike, Uniform, Beta, Truncated, NoBias, Weights, PET, PEESE, Option, ModelPrior, Ensemble)
    return {c.__name__: c for c in (*DISTRIBUTIONS, *SPECIAL, Share, ResolvedPriors, TermPrior, *averaged)}


def encode(value: Any) -> Any:
    """A value as lists, dictionaries, numbers and text.

    Examples
    --------
    >>> from mixedfx.priors.plain_values import decode, encode
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
        return encode_record(value)
    raise TypeError(f"a {type(value).__name__} has no place in a saved fit")


def encode_record(value: Any) -> dict[str, Any]:
    """A frozen dataclass of plain values, whatever its class; who reads it names the class (`decode_record`)."""
    return {KIND: type(value).__name__} | {f.name: encode(getattr(value, f.name)) for f in fields(value)}


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
        return np.array([decode(x) for x in value["items"]], dtype=np.float64).reshape(value["shape"])
    if kind == "tuple":
        return tuple(decode(x) for x in value["items"])
    if kind == "mapping":
        return {decode(k): decode(v) for k, v in value["items"]}
    return decode_record(value, known())


def decode_record(value: dict[str, Any], classes: Mapping[str, type]) -> Any:
    """The inverse of `encode_record`, for classes that are listed and fields of their types (else `ValueError`)."""
    if not isinstance(value, dict) or KIND not in value:
        raise ValueError(f"{value!r:.60} is no record")
    kind = value[KIND]
    if not isinstance(kind, str) or kind not in classes:
        raise ValueError(f"unknown class {kind!r:.60}")
    found = classes[kind](**{name: decode(x) for name, x in value.items() if name != KIND})
    for name, hint in _types(classes[kind]).items():
        if not fits(getattr(found, name), hint):
            raise ValueError(f"'{name}' of {kind} is not what it should be: {getattr(found, name)!r:.60}")
    return found


@cache
def _types(kind: type) -> dict[str, Any]:
    """Annotations of the fields of a dataclass."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind) if get_origin(hints[one.name]) is not ClassVar}
