"""Confidence intervals of a fit by the method asked for: Wald, profile or bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_option
from mixedfx.inference.bootstrap import Interval
from mixedfx.inference.degrees_of_freedom import Ddf, find_ddf
from mixedfx.inference.parameters import Names, choose, interval_frame, parameters_of
from mixedfx.reml.bootstrapping import Make, bootstrap
from mixedfx.reml.profiling import profile_intervals
from mixedfx.reml.report import tidy
from mixedfx.reml.state import LmerState
from mixedfx.reml.testing import Vcov

Method = Literal["wald", "profile", "boot"]
METHODS = ("wald", "profile", "boot")


def confint(
    fit: LmerState,
    make: Make,
    method: Method,
    parm: str | Sequence[str] | None,
    level: float,
    *,
    ddf: Ddf | None,
    vcov: Vcov | None,
    interval: Interval,
    names: Names,
    **options: Any,
) -> pd.DataFrame:
    """Table behind `LmerFit.confint`; `make` and `options` are those of the bootstrap."""
    check_option("method", method, METHODS)
    find_ddf(ddf, unknown=True)
    if options and method != "boot":
        raise OptionError(f"{next(iter(options))!r} is an argument of method='boot', not of method={method!r}")
    if vcov is not None and method != "wald":
        raise OptionError(f"vcov= is for method='wald', not for method={method!r}")
    if method == "profile":
        return profile_intervals(fit.design, fit.solution, parm, level, names)
    if method == "boot":
        if not callable(options.get("statistic")):
            options = {"statistic": parm, **options}
        return bootstrap(fit.design, fit.solution, make, **options).confint(level, interval, None, names)
    return _wald(fit, "fixed" if parm is None else parm, level, ddf, vcov, names)


def _wald(
    fit: LmerState, parm: str | Sequence[str], level: float, ddf: Ddf | None, vcov: Vcov | None,
    names: Names,
) -> pd.DataFrame:  # fmt: skip
    chosen = choose(parameters_of(fit.design), parm)
    if any(p.kind != "beta" for p in chosen):
        raise OptionError(
            "Wald intervals are for fixed effects: a standard deviation is not normal around its estimate",
            hint="Use method='profile' or method='boot'.",
        )
    table = tidy(fit, "fixed", ddf, level, vcov).iloc[[p.position for p in chosen]]
    estimate, low, high = (table[c].to_numpy(dtype=np.float64) for c in ("estimate", "conf_low", "conf_high"))
    return interval_frame(chosen, estimate, low, high, level, names)
