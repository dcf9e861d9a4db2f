"""The degrees of freedom that tests and intervals can have: one entry each, and everything that is known of it.

What `ddf=` accepts, what it is called in tables and summaries, by what covariance and distribution it refers a
statistic, after which fits and beside which covariances it is defined: all read it here. Another kind is an entry of
`DDF` and a word of `Ddf`; tests run over the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_option
from mixedfx.inference.forecast import satterthwaite_seconds
from mixedfx.inference.hypotheses import Reference
from mixedfx.inference.satterthwaite import satterthwaite
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]
OfContrasts = Callable[[Problem, Vector, Design | None], Reference]

Ddf = Literal["satterthwaite", "kenward-roger", "residual", "normal"]


@dataclass(frozen=True)
class DegreesOfFreedom:
    """One kind of degrees of freedom.

    Attributes
    ----------
    words
        What it is called below a table: "Degrees of freedom: ...".
    tests
        What tests rest on with it: "Tests: ...".
    of_contrasts
        Covariance of the fixed effects and distributions that depend on the contrast, from cross-products, scaled
        parameters and (for warnings that name groups) the design. None where one number serves for everything.
    constant
        That number, from the residual degrees of freedom n - p (infinite where sigma is known).
    reml_only
        Whether it is defined after REML only.
    own_covariance
        Whether it brings a covariance of the fixed effects of its own, so that no other can be given beside it.
    of_robust
        Whether a cluster-robust covariance has degrees of freedom of this kind, its own.
    seconds
        Forecast of `of_contrasts`, which a summary does not wait for without being asked.
    """

    words: str
    tests: str
    of_contrasts: OfContrasts | None = None
    constant: Callable[[float], float] | None = None
    reml_only: bool = False
    own_covariance: bool = False
    of_robust: bool = False
    seconds: Callable[[Problem], float] | None = None

    def number(self, residual: float) -> float:
        """The number that serves for everything; NaN where there is none."""
        return np.nan if self.constant is None else self.constant(residual)

    def forecast(self, problem: Problem) -> float:
        """Seconds that `of_contrasts` will take; 0 where nobody would notice."""
        return 0.0 if self.seconds is None else self.seconds(problem)


def _kenward_roger(problem: Problem, par: Vector, design: Design | None) -> Reference:
    from mixedfx.inference.kenward_roger import kenward_roger

    return kenward_roger(problem, par)


DDF: dict[str, DegreesOfFreedom] = {
    "satterthwaite": DegreesOfFreedom(
        "Satterthwaite",
        "Satterthwaite's degrees of freedom",
        of_contrasts=satterthwaite,
        of_robust=True,
        seconds=satterthwaite_seconds,
    ),
    "kenward-roger": DegreesOfFreedom(
        "Kenward-Roger, with its adjusted covariance",
        "Kenward and Roger's degrees of freedom and standard errors",
        of_contrasts=_kenward_roger,
        reml_only=True,
        own_covariance=True,
    ),
    "residual": DegreesOfFreedom(
        "rows less coefficients, as if rows were independent",
        "n - p degrees of freedom",
        constant=lambda residual: residual,
    ),
    "normal": DegreesOfFreedom(
        "infinite (normal distribution)",
        "the normal distribution",
        constant=lambda residual: np.inf,
    ),
}
UNKNOWN = DegreesOfFreedom("", "", constant=lambda residual: np.nan)
"""What None means where degrees of freedom may be left open: p values and intervals are NaN."""

OF_SAMPLE = DegreesOfFreedom(
    "of the sample: primary sampling units less strata, or replicates less one",
    "the sample's degrees of freedom",
)
"""What ``"sample"`` means, the usual one of fits with sampling weights, which only these have."""


def find_ddf(ddf: object, unknown: bool = False, sample: bool = False) -> DegreesOfFreedom:
    """The entry of this name.

    Parameters
    ----------
    ddf
        A name of the registry.
    unknown
        Whether None serves as well, for unknown degrees of freedom.
    sample
        Whether ``"sample"`` does, of a fit with sampling weights.

    Raises
    ------
    OptionError
        For any other name; lists those there are.

    Examples
    --------
    >>> from mixedfx.inference.degrees_of_freedom import find_ddf
    >>> find_ddf("normal").number(12.0)
    inf
    >>> find_ddf("kr")
    Traceback (most recent call last):
    mixedfx.errors.OptionError: ddf='kr' is not known
    Use 'satterthwaite', 'kenward-roger', 'residual', 'normal'.
    """
    if sample and ddf == "sample":
        return OF_SAMPLE
    check_option("ddf", ddf, (*DDF, None) if unknown else tuple(DDF))
    return DDF[str(ddf)] if ddf is not None else UNKNOWN


def check_criterion(ddf: object, REML: bool) -> None:
    """Refuse degrees of freedom that are defined for REML after maximum likelihood (`OptionError`)."""
    if not REML and ddf is not None and find_ddf(ddf).reml_only:
        raise OptionError(
            f'ddf="{ddf}" is defined for REML, and this fit is by maximum likelihood',
            hint="Fit with REML=True, or use fit.update(REML=True).",
        )
