"""The priors a user writes: `normal`, `student_t`, `cauchy`, `exponential`, `half_normal`, `lkj`, `decov`, `flat`, ...

They check their numbers and return the values of `mixedfx.priors.distributions`.
"""

from __future__ import annotations

from mixedfx.errors import OptionError
from mixedfx.priors.distributions import LKJ, Decov, Exponential, Flat, Normal, SparsePrior, StudentT


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < float("inf"):
            raise OptionError(f"{name}={value} is not positive", mend=f"Give a finite {name} greater than 0.")


def normal(loc: float = 0.0, scale: float = 1.0, autoscale: bool = False) -> Normal:
    """Normal prior; for a standard deviation, its positive half.

    Parameters
    ----------
    loc, scale
        Mean and standard deviation, in the units of the quantity.
    autoscale
        True: `scale` counts in sd(y) for the intercept and sigma, in sd(y) / sd(x) for a coefficient or the standard
        deviation of a varying coefficient of x, and `loc` of the intercept counts from mean(y).

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.priors.normal(0, 2.5, autoscale=True)
    Normal(loc=0, scale=2.5, autoscale=True, half=False)
    """
    _positive(scale=scale)
    return Normal(loc, scale, autoscale)


def student_t(df: float, loc: float = 0.0, scale: float = 1.0, autoscale: bool = False) -> StudentT:
    """Student's t prior with `df` degrees of freedom; for a standard deviation, its positive half.

    On a coefficient it costs the exact engine one more dimension: the coefficient is normal given a scale of its own.
    """
    _positive(df=df, scale=scale)
    return StudentT(df, loc, scale, autoscale)


def cauchy(loc: float = 0.0, scale: float = 1.0, autoscale: bool = False) -> StudentT:
    """Cauchy prior, `student_t` with one degree of freedom."""
    return student_t(1.0, loc, scale, autoscale)


def half_normal(scale: float = 1.0, autoscale: bool = False) -> Normal:
    """Half-normal prior of a standard deviation: |x| with x ~ normal(0, scale)."""
    _positive(scale=scale)
    return Normal(0.0, scale, autoscale, half=True)


def half_student_t(df: float, scale: float = 1.0, autoscale: bool = False) -> StudentT:
    """Half-t prior of a standard deviation (Gelman 2006, Bayesian Analysis 1:515)."""
    _positive(df=df, scale=scale)
    return StudentT(df, 0.0, scale, autoscale, half=True)


def half_cauchy(scale: float = 1.0, autoscale: bool = False) -> StudentT:
    """Half-Cauchy prior of a standard deviation."""
    return half_student_t(1.0, scale, autoscale)


def exponential(rate: float = 1.0, autoscale: bool = False) -> Exponential:
    """Exponential prior of a standard deviation, mean 1 / rate; ``autoscale=True`` divides the rate by the unit."""
    _positive(rate=rate)
    return Exponential(rate, autoscale)


def lkj(eta: float = 1.0) -> LKJ:
    """Prior of a correlation matrix (Lewandowski, Kurowicka & Joe 2009): uniform for eta = 1, towards zero above."""
    _positive(eta=eta)
    return LKJ(eta)


def decov(regularization: float = 1.0, concentration: float = 1.0, shape: float = 1.0, scale: float = 1.0) -> Decov:
    """Prior of the covariance matrix of one random term relative to sigma^2, rstanarm's default; goes under ``"sd"``.

    With k columns the trace of the covariance matrix is k (tau sigma)^2 and its variances are shares pi of the trace.

    Parameters
    ----------
    regularization
        eta of the LKJ prior of the correlations.
    concentration
        pi ~ Dirichlet(concentration).
    shape, scale
        tau ~ Gamma(shape, scale), mean shape * scale.
    """
    _positive(regularization=regularization, concentration=concentration, shape=shape, scale=scale)
    return Decov(regularization, concentration, shape, scale)


def flat() -> Flat:
    """No prior: the density is constant. The posterior may not exist; such a fit is refused with the reason."""
    return Flat()


def horseshoe(df: float = 1.0, scale_global: float = 1.0, df_slab: float = 4.0, scale_slab: float = 2.0) -> SparsePrior:
    """Regularised horseshoe over all coefficients; a Stan engine is needed for it, and the exact one says so."""
    _positive(df=df, scale_global=scale_global, df_slab=df_slab, scale_slab=scale_slab)
    return SparsePrior("horseshoe")


def r2d2(mean_R2: float = 0.5, prec_R2: float = 2.0) -> SparsePrior:
    """R2D2 prior over all coefficients; a Stan engine is needed for it, and the exact one says so."""
    _positive(mean_R2=mean_R2, prec_R2=prec_R2)
    return SparsePrior("r2d2")
