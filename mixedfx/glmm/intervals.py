"""Confidence intervals of a generalised linear mixed model by the method asked for: Wald, profile or bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_option
from mixedfx.glmm.bootstrapping import Make, bootstrap, parameters
from mixedfx.glmm.profiling import profile_intervals
from mixedfx.glmm.report import tidy
from mixedfx.glmm.state import GlmerState
from mixedfx.inference.bootstrap import Interval
from mixedfx.inference.parameters import Names, choose, interval_frame

Method = Literal["wald", "profile", "boot"]
METHODS = ("wald", "profile", "boot")


def confint(
    fit: GlmerState,
    make: Make,
    method: Method,
    parm: str | Sequence[str] | None,
    level: float,
    *,
    vcov: Any,
    interval: Interval,
    names: Names,
    **options: Any,
) -> pd.DataFrame:
    """Table behind `GlmerFit.confint`; `make` and `options` are those of the bootstrap."""
    check_option("method", method, METHODS)
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
    return _wald(fit, "fixed" if parm is None else parm, level, vcov, names)


def _wald(fit: GlmerState, parm: str | Sequence[str], level: float, vcov: Any, names: Names) -> pd.DataFrame:
    chosen = choose(parameters(fit.design, fit.solution), parm)
    if any(p.kind != "beta" for p in chosen):
        raise OptionError(
            "Wald intervals are for fixed effects: a standard deviation is not normal around its estimate",
            hint="Use method='profile' or method='boot'.",
        )
    table = tidy(fit, "fixed", level, vcov).iloc[[p.position for p in chosen]]
    estimate, low, high = (table[c].to_numpy(dtype=np.float64) for c in ("estimate", "conf_low", "conf_high"))
    return interval_frame(chosen, estimate, low, high, level, names)
