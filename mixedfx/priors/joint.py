"""Priors of many quantities together: correlations, covariances, and scales or coefficients that share their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class LKJ:
    """Density of a correlation matrix: its determinant to the power eta - 1; see `mixedfx.priors.lkj`."""

    eta: float = 1.0
    name: ClassVar[str] = "lkj"
    serves: ClassVar[tuple[str, ...]] = ("cor",)

    def __str__(self) -> str:
        return f"lkj({self.eta:.4g})"


@dataclass(frozen=True)
class Decov:
    """Decomposed covariance relative to sigma; see `mixedfx.priors.decov`."""

    regularization: float = 1.0
    concentration: float = 1.0
    shape: float = 1.0
    scale: float = 1.0
    name: ClassVar[str] = "decov"
    serves: ClassVar[tuple[str, ...]] = ("sd",)

    def __str__(self) -> str:
        numbers = (self.regularization, self.concentration, self.shape, self.scale)
        return f"decov({', '.join(f'{v:.4g}' for v in numbers)})"


@dataclass(frozen=True)
class Horseshoe:
    """Regularised horseshoe over many quantities together; see `mixedfx.priors.horseshoe`."""

    df: float = 1.0
    scale_global: float = 1.0
    df_global: float = 1.0
    df_slab: float = 4.0
    scale_slab: float = 2.0
    par_ratio: float | None = None
    autoscale: bool = True
    name: ClassVar[str] = "horseshoe"
    serves: ClassVar[tuple[str, ...]] = ("coef", "sd")

    def __str__(self) -> str:
        width = f"scale_global={self.scale_global:.4g}" if self.par_ratio is None else f"par_ratio={self.par_ratio:.4g}"
        return f"horseshoe({self.df:.4g}, {width}, slab {self.scale_slab:.4g})"


@dataclass(frozen=True)
class R2D2:
    """Prior of the share of explained variance, divided between many quantities; see `mixedfx.priors.r2d2`."""

    mean_R2: float = 0.5
    prec_R2: float = 2.0
    concentration: float = 0.5
    autoscale: bool = True
    name: ClassVar[str] = "r2d2"
    serves: ClassVar[tuple[str, ...]] = ("coef", "sd")

    def __str__(self) -> str:
        return f"r2d2({self.mean_R2:.4g}, {self.prec_R2:.4g}, {self.concentration:.4g})"


@dataclass(frozen=True)
class Share:
    """Place of one quantity under a `Horseshoe` or `R2D2` prior: the unit that its share is multiplied by."""

    unit: float
    autoscale: bool = False
    stan: ClassVar[str] = "share"
    exact: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"share, unit {self.unit:.4g}"
