"""A posterior of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.stacked import StackedSampling
from mixedfx.bayes.posterior.storage import read
from mixedfx.bayes.samplers import SAMPLERS


def read_posterior(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> PosteriorFit:
    """Read a fit that `PosteriorFit.save` wrote; see `mixedfx.load`."""
    courses = {course.__name__: course for sampler in SAMPLERS.values() for course in sampler.courses}
    courses |= {StackedSampling.__name__: StackedSampling}
    found = read(path, head, members, courses)
    return PosteriorFit(**{field.name: getattr(found, field.name) for field in fields(found)})
