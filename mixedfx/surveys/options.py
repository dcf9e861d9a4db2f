"""What users say of a sample: weights at each level, strata and primary sampling units, replicate weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from mixedfx.errors import OptionError, check_flag, check_option

Scaling = Literal["size", "effective", "none"]
ReplicateMethod = Literal["brr", "fay", "jk1", "jk2", "jkn"]
ROW = "row"


@dataclass(frozen=True, eq=False)
class SamplingWeights:
    """Sampling weights of a survey, as `sampling_weights` makes them.

    Attributes
    ----------
    weights
        ``"row"`` or a grouping factor -> column or values.
    conditional
        Whether they are inverse probabilities of selection within the unit above, instead of overall ones.
    scaling
        How weights within units are scaled.
    strata, psu
        Columns or values, or None.
    """

    weights: Mapping[str, Any]
    conditional: bool = False
    scaling: Scaling = "size"
    strata: Any = None
    psu: Any = None


def sampling_weights(
    weights: Mapping[str, Any] | None = None,
    *,
    conditional: bool = False,
    scaling: Scaling = "size",
    strata: Any = None,
    psu: Any = None,
    **more: Any,
) -> SamplingWeights:
    """Sampling weights at each level, for ``sampling_weights=`` of `mixedfx.lmer`.

    A sampling weight says how many rows (or schools) of the population one in the sample stands for: the inverse of its
    probability of selection. It changes what is estimated. ``weights=`` of `mixedfx.lmer` is precision, the inverse of
    a row's residual variance, and says how exact a row is.

    Parameters
    ----------
    weights
        ``"row"`` and grouping factors of the formula -> the column of their weights, or one value for each row. A
        factor's weight is the same in all rows of a unit. A factor that is not named has weights of one. Keyword
        arguments do as well: ``sampling_weights(row="W_FSTUWT", school="W_SCHGRNRABWT")``.
    conditional
        False: weights are overall ones (the pupil's weight is that of the school times that within it), as survey files
        have them; they are divided by the weight of the unit above. True: they are within the unit above already.
    scaling
        What becomes of weights within units, whose scale matters where units are small. ``"size"``: they add up to the
        number of members of the unit. ``"effective"``: to the effective number, (sum w)^2 / sum w^2. ``"none"``: they
        stay. (Methods 2 and 1 of Pfeffermann et al. 1998, Journal of the Royal Statistical Society B 60:23; Asparouhov
        2006, Communications in Statistics 35:439, compares them.) Weights of the top level are never scaled: their
        scale changes nothing.
    strata
        Column of the strata from which primary sampling units were drawn, for standard errors.
    psu
        Column of the primary sampling units; by default the units of the top level.

    Returns
    -------
    SamplingWeights

    Raises
    ------
    OptionError
        No weights at all, or an option that there is not.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.sampling_weights({"row": "w_pupil", "school": "w_school"}, strata="region").scaling
    'size'
    """
    given = {**({} if weights is None else weights), **more}
    if weights is not None and not isinstance(weights, Mapping):
        raise OptionError(
            f"sampling weights are a mapping of levels, not a {type(weights).__name__}",
            hint='Write {"row": "w_pupil", "school": "w_school"}; "row" is the row of the data.',
        )
    if not given:
        raise OptionError("sampling_weights= names no weight", hint='Write {"row": "w_pupil", "school": "w_school"}.')
    check_flag("conditional", conditional)
    check_option("scaling", scaling, get_args(Scaling))
    return SamplingWeights(given, conditional, scaling, strata, psu)


def read_sampling_weights(given: Any) -> SamplingWeights | None:
    """What was given as ``sampling_weights=``, as one object; None where nothing was."""
    if given is None or isinstance(given, SamplingWeights):
        return given
    if isinstance(given, str):
        raise OptionError(
            f"sampling_weights={given!r} does not say of what these are the weights",
            hint=f'Write sampling_weights={{"row": {given!r}}} where they are those of rows.',
        )
    return sampling_weights(given)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Replicate weights, as `replicates` makes them.

    Attributes
    ----------
    columns
        A pattern with ``*``, columns, or (n, R) values.
    method
        Which replicates they are; None to see it from the weights.
    rho
        Fay's factor.
    scales
        Factor of the squared deviations: one for all, or one each; None for that of the method.
    """

    columns: Any
    method: ReplicateMethod | None = None
    rho: float = 0.5
    scales: Any = None


def replicates(
    columns: str | Sequence[str] | Any,
    method: ReplicateMethod | None = None,
    rho: float | None = None,
    scales: float | Sequence[float] | None = None,
) -> Replicates:
    """Replicate weights of rows, for ``replicates=`` of `mixedfx.lmer`.

    The variance of an estimate is a factor times the sum of squared deviations of the R replicate estimates from that
    of the full weights.

    Parameters
    ----------
    columns
        A pattern, ``"W_FSTURWT*"``; a list of columns; an array (rows, R).
    method
        ``"brr"``: balanced repeated replication, factor 1 / R. ``"fay"``: Fay's variant, 1 / (R (1 - rho)^2), as in
        PISA. ``"jk1"``: the jackknife without strata, (R - 1) / R. ``"jk2"``: of pairs, 1, as in TIMSS and NAEP.
        ``"jkn"``: of strata of any size; `scales` has (n_h - 1) / n_h for each replicate. None: seen from what
        replicate weights are of the full ones, and said.
    rho
        Fay's factor, 0.5 where None.
    scales
        Factors that replace those of the method: one number, or one for each replicate.

    Returns
    -------
    Replicates

    Raises
    ------
    OptionError
        A method that there is not, ``"jkn"`` without `scales`, a `rho` outside 0 to 1.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.replicates("W_FSTURWT*", "fay").rho
    0.5
    """
    check_option("method", method, (*get_args(ReplicateMethod), None))
    if rho is not None and (isinstance(rho, bool) or not isinstance(rho, int | float) or not 0 <= rho < 1):
        raise OptionError(f"rho= is a number from 0 to below 1, not {rho!r}", hint="Fay's usual factor is 0.5.")
    if rho is not None and method not in ("fay", None):
        raise OptionError(f"rho= belongs to Fay's method, and method={method!r}", hint='Say method="fay".')
    if method == "jkn" and scales is None:
        raise OptionError(
            'method="jkn" needs scales=, one factor for each replicate',
            hint="They are (n_h - 1) / n_h, n_h the sampling units of the stratum that a replicate takes one from.",
        )
    if scales is not None:
        factors = np.asarray(scales, dtype=np.float64)
        if factors.ndim > 1 or not np.isfinite(factors).all() or (factors < 0).any():
            raise OptionError("scales= is one number of zero or more, or one for each replicate")
    return Replicates(columns, method, 0.5 if rho is None else float(rho), scales)


def read_replicates(given: Any) -> Replicates | None:
    """What was given as ``replicates=``, as one object; None where nothing was."""
    return given if given is None or isinstance(given, Replicates) else replicates(given)
