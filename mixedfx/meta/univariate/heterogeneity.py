r"""Estimators of tau^2, the variance of true effects between studies: one entry each.

With P of `mixedfx.meta.univariate.weighted` for weights a, E[y'P y] = tr(P V) + tau^2 tr(P). A moment estimator solves
that for its weights: a = 1 gives Hedges' (HE), 1 / v DerSimonian and Laird's (DL), given ones the generalised Q
estimator (GENQ); with Sigma = V + tau^2 I, Var(y'P y) = 2 tr(P Sigma P Sigma), and its standard error is the root of
this over tr(P). Solved for a = 1 / (v + tau^2), where y'P y is expected to be k - p, it is Paule and Mandel's (PM),
which is the empirical Bayes (EB) estimator as well and the fixed point of Sidik and Jonkman's steps (SJIT); their
squared standard error is 2 k^2 / ((k - p) (sum w)^2) (Morris 1983). Medians in the place of expectations give PMM (of
chi-square) and GENQM (of a sum of weighted chi-squares). Hunter and Schmidt's (HS) sets the mean of y'P y / k at its
expectation under the weights 1 / v. ML and REML are in `mixedfx.meta.univariate.likelihood`.

Viechtbauer (2005, Journal of Educational and Behavioral Statistics 30(3)) compares them; Jackson, Turner, Rhodes and
Viechtbauer (2014, BMC Medical Research Methodology 14:103) have moderators and arbitrary weights; Viechtbauer,
Lopez-Lopez, Sanchez-Meca and Marin-Martinez (2015, Psychological Methods 20(3)) the others. Estimates below 0 are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.meta.measure import Array
from mixedfx.meta.roots import between, root
from mixedfx.meta.univariate.likelihood import best_of_grid, best_of_grids, maximum
from mixedfx.meta.univariate.quadratic_forms import upper_probability
from mixedfx.meta.univariate.weighted import Effects, Weighted

Found = tuple[Array, NDArray[np.bool_]]


@dataclass(frozen=True)
class Estimator:
    """An estimator of tau^2.

    Attributes
    ----------
    title
        In words.
    estimate
        (data sets, (1, k) weights or None) -> ((B,) tau^2, whether each was found).
    variance
        (data set, tau^2, weights) -> (1,) squared standard error.
    source
        Where it was proposed.
    likelihood
        Whether it maximises the likelihood ("ML"), the restricted one ("REML") or none ("").
    needs_weights
        Whether weights are needed.
    heterogeneous
        Whether true effects may differ.
    """

    title: str
    estimate: Callable[[Effects, Array | None], Found]
    variance: Callable[[Effects, Array, Array | None], Array]
    source: str
    likelihood: str = ""
    needs_weights: bool = False
    heterogeneous: bool = True


def _found(tau2: Array) -> Found:
    return np.maximum(tau2, 0.0), np.isfinite(tau2)


def _with(effects: Effects, a: Array | float) -> Weighted:
    """The fit with weights that do not depend on tau^2."""
    return Weighted(effects, effects.used(a))


def _moment(effects: Effects, a: Array | float) -> Array:
    """(B,) estimates of the method of moments for weights a, negative ones included."""
    fit = _with(effects, a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (fit.yPy - fit.trPD(effects.v)) / fit.trP


def _moment_variance(effects: Effects, tau2: Array, a: Array | float) -> Array:
    fit = _with(effects, a)
    return 2 * fit.trPDPD(effects.v + tau2[:, None]) / fit.trP**2


def _spread(effects: Effects) -> Array:
    """(B,) variance of y with divisor k, where the iterations of Sidik and Jonkman begin."""
    use = np.ones((1, effects.y.shape[1])) if effects.use is None else effects.use
    mean = np.sum(effects.y * use, axis=1) / effects.k
    return np.sum(use * (effects.y - mean[:, None]) ** 2, axis=1) / effects.k


def _none(effects: Effects, weights: Array | None) -> Found:
    return np.zeros(effects.size), np.ones(effects.size, dtype=bool)


def _hedges(effects: Effects, weights: Array | None) -> Found:
    return _found(_moment(effects, 1.0))


def _dersimonian_laird(effects: Effects, weights: Array | None) -> Found:
    fit = _with(effects, 1 / effects.v)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _found((fit.yPy - effects.df) / fit.trP)


def _hunter_schmidt(effects: Effects, weights: Array | None) -> Found:
    fit = _with(effects, 1 / effects.v)
    return _found((fit.yPy - effects.k) / fit.w.sum(axis=1))


def _hunter_schmidt_corrected(effects: Effects, weights: Array | None) -> Found:
    fit = _with(effects, 1 / effects.v)
    return _found((effects.k / effects.df * fit.yPy - effects.k) / fit.w.sum(axis=1))


def _hunter_schmidt_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    fit = _with(effects, 1 / effects.v)
    return 2 * fit.trPDPD(effects.v + tau2[:, None]) / fit.w.sum(axis=1) ** 2


def _hunter_schmidt_corrected_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return (effects.k / effects.df) ** 2 * _hunter_schmidt_variance(effects, tau2, weights)


def _sidik_jonkman(effects: Effects, weights: Array | None) -> Found:
    crude = _spread(effects)
    return _found(np.where(crude > 0, crude * effects.at(crude).yPy / effects.df, 0.0))


def _sidik_jonkman_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    crude = _spread(effects)
    fit = effects.at(crude)
    return 2 * (crude / effects.df) ** 2 * fit.trPDPD(effects.v + tau2[:, None])


def solve_Q(effects: Effects, target: Array) -> Found:
    """(B,) tau^2 at which y'P y of the weights 1 / (v + tau^2) is `target` (B,), and whether it was found.

    That falls with tau^2; where it is below the target at 0 already, the answer is 0. Newton's method works on
    target / y'P y, which is nearly a straight line.
    """

    def rises(tau2: Array, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        fit = effects.take(chosen).at(tau2)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = target[chosen] / fit.yPy
            return ratio - 1, ratio * fit.yPPy / fit.yPy

    scale = np.broadcast_to(np.min(effects.v, axis=1), (effects.size,))
    return root(rises, np.zeros(effects.size), scale)


def _paule_mandel(effects: Effects, weights: Array | None) -> Found:
    return solve_Q(effects, effects.df)


def _paule_mandel_median(effects: Effects, weights: Array | None) -> Found:
    from scipy import special

    return solve_Q(effects, special.chdtri(effects.df, 0.5))


def _empirical_bayes_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return 2 * effects.k**2 / effects.df / effects.at(tau2).w.sum(axis=1) ** 2


def _generalised(effects: Effects, weights: Array | None) -> Found:
    return _found(_moment(effects, _given(weights)))


def _generalised_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return _moment_variance(effects, tau2, _given(weights))


def _given(weights: Array | None) -> Array:
    assert weights is not None
    return weights


def eigenvalues(effects: Effects, a: Array, tau2: float) -> Array:
    """(k - p,) weights of the chi-squares that y'P y of one data set is a sum of, P of the weights `a` (k,)."""
    fit = _with(effects, a)
    rows = np.flatnonzero(fit.w[0] > 0)
    w, Q = fit.w[0, rows], effects.Q[rows]
    P = np.diag(w) - (w[:, None] * Q) @ fit.G[0] @ (w[:, None] * Q).T
    sd = np.sqrt(effects.v[0, rows] + tau2)
    return np.linalg.eigvalsh(sd[:, None] * P * sd)[Q.shape[1] :]


def solve_generalised_Q(effects: Effects, a: Array, probability: float) -> float:
    """tau^2 of one data set at which its y'P y is exceeded with a probability; 0 where that is larger at 0 already."""
    q = float(_with(effects, a).yPy[0])

    def rises(tau2: float) -> float:
        return upper_probability(q, eigenvalues(effects, a, tau2)) - probability

    if rises(0.0) >= 0:
        return 0.0
    high = float(np.max(effects.v)) + q
    while rises(high) < 0:
        high *= 4
    return between(rises, 0.0, high)


def _generalised_median(effects: Effects, weights: Array | None) -> Found:
    a = np.broadcast_to(_given(weights), (effects.size, effects.y.shape[1]))
    each = [solve_generalised_Q(effects.take(np.array([b])), a[b], 0.5) for b in range(effects.size)]
    return np.array(each), np.ones(effects.size, dtype=bool)


def _start(effects: Effects, reml: bool) -> Array:
    """The best point of a grid of tau^2."""
    if effects.size == 1 and effects.use is None:
        return np.array([best_of_grid(effects, reml)])
    return best_of_grids(effects, reml)


def _reml(effects: Effects, weights: Array | None) -> Found:
    return maximum(effects, True, _start(effects, True))


def _ml(effects: Effects, weights: Array | None) -> Found:
    return maximum(effects, False, _start(effects, False))


def _reml_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return 2 / effects.at(tau2).trPP


def _ml_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return 2 / np.sum(effects.at(tau2).w ** 2, axis=1)


def _no_variance(effects: Effects, tau2: Array, weights: Array | None) -> Array:
    return np.full(effects.size, np.nan)


_HUNTER = "Hunter and Schmidt 1990, Methods of Meta-Analysis"
_JACKSON = "Jackson, Turner, Rhodes and Viechtbauer 2014, BMC Medical Research Methodology 14:103"
_SIDIK = "Sidik and Jonkman 2005, Journal of the Royal Statistical Society C 54(2); 2007, Statistics in Medicine 26(9)"

ESTIMATORS: dict[str, Estimator] = {
    "REML": Estimator("restricted maximum likelihood", _reml, _reml_variance, "Harville 1977", "REML"),
    "ML": Estimator("maximum likelihood", _ml, _ml_variance, "Harville 1977", "ML"),
    "DL": Estimator(
        "DerSimonian and Laird's", _dersimonian_laird, lambda e, t, a: _moment_variance(e, t, 1 / e.v),
        "DerSimonian and Laird 1986, Controlled Clinical Trials 7(3)",
    ),
    "HE": Estimator(
        "Hedges'", _hedges, lambda e, t, a: _moment_variance(e, t, 1.0), "Hedges 1983, Psychological Bulletin 93(2)"
    ),
    "HS": Estimator("Hunter and Schmidt's", _hunter_schmidt, _hunter_schmidt_variance, _HUNTER),
    "HSk": Estimator(
        "Hunter and Schmidt's with k / (k - p)", _hunter_schmidt_corrected, _hunter_schmidt_corrected_variance,
        "Brannick, Potter, Benitez and Morris 2019, Journal of Applied Psychology 104(3)",
    ),
    "SJ": Estimator("Sidik and Jonkman's", _sidik_jonkman, _sidik_jonkman_variance, _SIDIK),
    "SJIT": Estimator("Sidik and Jonkman's, iterated", _paule_mandel, _empirical_bayes_variance, _SIDIK),
    "PM": Estimator(
        "Paule and Mandel's", _paule_mandel, _empirical_bayes_variance,
        "Paule and Mandel 1982, Journal of Research of the National Bureau of Standards 87(5)",
    ),
    "PMM": Estimator(
        "median-unbiased Paule and Mandel's", _paule_mandel_median, _empirical_bayes_variance,
        "Viechtbauer 2021, in Schmid, Stijnen and White, Handbook of Meta-Analysis, ch. 11",
    ),
    "EB": Estimator(
        "empirical Bayes", _paule_mandel, _empirical_bayes_variance,
        "Morris 1983, Journal of the American Statistical Association 78(381)",
    ),
    "GENQ": Estimator("generalised Q", _generalised, _generalised_variance, _JACKSON, needs_weights=True),
    "GENQM": Estimator(
        "median-unbiased generalised Q", _generalised_median, _generalised_variance, _JACKSON, needs_weights=True
    ),
    "EE": Estimator("none: equal effects", _none, _no_variance, "Hedges and Olkin 1985, Statistical Methods",
        heterogeneous=False),
}  # fmt: skip
ESTIMATORS["FE"] = ESTIMATORS["CE"] = ESTIMATORS["EE"]


def find_estimator(method: Any) -> Estimator:
    """The estimator of a name.

    Raises
    ------
    OptionError
        Lists those there are.
    """
    found = ESTIMATORS.get(method) if isinstance(method, str) else None
    if found is None:
        raise OptionError(f"method={method!r} is not known", hint=f"Use one of {', '.join(ESTIMATORS)}.")
    return found
