"""Concerns about draws: what a concern is, the limits that samplers share, and how numbers are written."""

from __future__ import annotations

import numpy as np

from mixedfx.draws import Key
from mixedfx.errors import SamplingWarning

FEW = 400  # effective draws below which quantiles in the tails are rough
FEW_PER_CHAIN = 100  # the same for each of several chains (Vehtari et al. 2021)
CONVERGED = 1.01  # largest R-hat of chains that have mixed (Vehtari et al. 2021)
SLOW_ENERGY = 0.3  # E-BFMI below which momentum resampling hardly moves the energy (Betancourt 2016)

Concern = tuple[type[SamplingWarning], str]


def upwards(r_hat: float) -> str:
    """Three decimals, rounded up, so that what is above the limit is not shown as the limit."""
    return f"{np.ceil(r_hat * 1000) / 1000:.3f}"


def of_key(key: Key) -> str:
    """What a number is of, to stand behind it; nothing where that is not known."""
    return f" of {shown(key)}" if key else ""


def shown(key: Key) -> str:
    """A key as text."""
    return repr(key[0]) if len(key) == 1 else repr(key)
