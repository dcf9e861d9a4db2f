"""The priors a user writes: `normal`, `student_t`, `cauchy`, `exponential`, `half_normal`, `lkj`, `decov`, `flat`, ...

They check their numbers and return the values of `mixedfx.priors.distributions`.
"""

from __future__ import annotations

from mixedfx.errors import OptionError
from mixedfx.priors.joint import LKJ, R2D2, Decov, Horseshoe
from mixedfx.priors.location import Flat, Normal, StudentT
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < float("inf"):
            raise OptionError(f"{name}={value} is not positive", hint=f"Give a finite {name} greater than 0.")


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


def gamma(shape: float, rate: float, autoscale: bool = False) -> Gamma:
    """Gamma prior of a positive parameter, mean shape / rate."""
    _positive(shape=shape, rate=rate)
    return Gamma(shape, rate, autoscale)


def inv_gamma(shape: float, scale: float, autoscale: bool = False) -> InverseGamma:
    """Inverse gamma prior of a positive parameter: that of scale / x with x ~ gamma(shape, 1)."""
    _positive(shape=shape, scale=scale)
    return InverseGamma(shape, scale, autoscale)


def horseshoe(
    df: float = 1.0,
    scale_global: float = 1.0,
    df_global: float = 1.0,
    df_slab: float = 4.0,
    scale_slab: float = 2.0,
    par_ratio: float | None = None,
    autoscale: bool = True,
) -> Horseshoe:
    r"""Regularised horseshoe (Piironen & Vehtari 2017, Electronic Journal of Statistics 11:5018).

    For ``"coef"``, for ``"sd"``, or for both: it covers all quantities it is given for together, and those with a prior
    of their own under a more specific key are left out. With unit_k the width of quantity k, its scale is

        s_k = unit_k tau lambda_k c / (c^2 + tau^2 lambda_k^2)^(1/2),    c^2 ~ scale_slab^2 inv_gamma(df_slab / 2,
        df_slab / 2),    tau ~ half_student_t(df_global, scale_global),    lambda_k ~ half_student_t(df, 1);

    a coefficient is normal(0, s_k), and a standard deviation of a random term is s_k itself, so that the effects of its
    levels are shrunk as coefficients are. A Stan engine is needed.

    Parameters
    ----------
    df, df_global, df_slab
        Degrees of freedom of the local and the global scales and of the slab.
    scale_global
        Width of the global scale tau.
    scale_slab
        Width of the slab: beyond it a large coefficient is shrunk too.
    par_ratio
        Expected number of quantities away from zero over that of those near zero; then `scale_global` is par_ratio /
        sqrt(n), n rows, as Piironen & Vehtari recommend.
    autoscale
        True: unit_k = sd(y) / sd(x_k), on the scale of the linear predictor, as in `normal`. False: 1.
    """
    _positive(df=df, scale_global=scale_global, df_global=df_global, df_slab=df_slab, scale_slab=scale_slab)
    if par_ratio is not None:
        _positive(par_ratio=par_ratio)
    return Horseshoe(df, scale_global, df_global, df_slab, scale_slab, par_ratio, autoscale)


def r2d2(mean_R2: float = 0.5, prec_R2: float = 2.0, concentration: float = 0.5, autoscale: bool = True) -> R2D2:
    r"""R2D2 prior: R^2, and how it is divided (Zhang, Naughton, Bondell & Reich 2022, JASA 117:862).

    For ``"coef"``, for ``"sd"``, or for both; given for both, standard deviations of random terms take their shares of
    the same R^2 (Aguilar & Buerkner 2023, Electronic Journal of Statistics 17:1711). With R^2 ~ beta(mean_R2 prec_R2,
    (1 - mean_R2) prec_R2), phi ~ Dirichlet(concentration) and sigma the residual standard deviation,

        s_k = unit_k sigma (phi_k R^2 / (1 - R^2))^(1/2);

    a coefficient is normal(0, s_k), and a standard deviation of a random term is s_k itself. Families without sigma
    have 1 in its place; where it is known for each row, the root mean square. A Stan engine is needed.

    Parameters
    ----------
    mean_R2, prec_R2
        Mean and precision of the beta distribution of R^2.
    concentration
        Of the Dirichlet distribution: small values give few quantities most of R^2.
    autoscale
        True: unit_k = 1 / sd(x_k), so that phi_k is the share of the variance. False: 1.
    """
    _positive(mean_R2=mean_R2, prec_R2=prec_R2, concentration=concentration)
    if mean_R2 >= 1:
        raise OptionError(f"mean_R2={mean_R2} is not below 1", hint="Give the share of variance you expect, say 0.5.")
    return R2D2(mean_R2, prec_R2, concentration, autoscale)
