r"""Linearised (sandwich) covariance of all parameters of a weighted fit, by scores of primary sampling units.

With l = sum_k w_k l_k over units of the top level, l_k = -1/2 {N_k log(2 pi sigma^2) + D_k + v'S_k v / sigma^2}, the
scores are

    beta      w_k (S_k v)_X / sigma^2
    theta_a  -w_k (D_k,a + v'S_k,a v / sigma^2) / 2
    log sigma w_k (v'S_k v / sigma^2 - N_k),

and with J minus the Hessian of l in all of them the covariance is J^-1 M J^-1 (Binder 1983, International Statistical
Review 51:279; Rabe-Hesketh & Skrondal 2006, section 4), M estimated as of a sample of primary sampling units c in
strata h, drawn with replacement:

    M = sum_h n_h / (n_h - 1) sum_c (s_hc - mean s_h)(s_hc - mean s_h)'.

Degrees of freedom are primary sampling units less strata. A stratum with a single unit has no variance of its own: its
scores are centred at the mean of all units, which errs on the safe side, and it is named.

A variance that is estimated at zero, and what belongs to it, is held there: its score is zero whatever the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.errors import DataError, FewClustersWarning, SamplingWeightsWarning, outside
from mixedfx.surveys.layout import Layout
from mixedfx.surveys.problem import Products, WeightedProblem, by_unit, whole

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Sampled:
    """How primary sampling units were drawn.

    Attributes
    ----------
    psu
        (K,) primary sampling unit of each unit of the top level.
    stratum
        (C,) stratum of each primary sampling unit.
    single
        Names of strata with one primary sampling unit.
    psu_name, strata_name
        What they are called.
    psu_labels, strata_labels
        Values of the columns that say them, as text, by code; None where there is no such column.
    """

    psu: Index
    stratum: Index
    single: tuple[str, ...]
    psu_name: str
    strata_name: str | None
    psu_labels: tuple[str, ...] | None = None
    strata_labels: tuple[str, ...] | None = None

    @property
    def n_psu(self) -> int:
        """Number of primary sampling units."""
        return len(self.stratum)

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return int(self.stratum.max()) + 1

    @property
    def df(self) -> int:
        """Primary sampling units less strata."""
        return self.n_psu - self.n_strata

    @property
    def words(self) -> str:
        """The same as a sentence fragment."""
        strata = "no strata" if self.strata_name is None else f"{self.n_strata} strata ({self.strata_name})"
        return f"{self.n_psu} primary sampling units ({self.psu_name}), {strata}: {self.df} degrees of freedom"


def sampled(
    top: Index, psu: Sequence[object] | None, strata: Sequence[object] | None, names: tuple[str, str, str]
) -> Sampled:
    """Read the sampling of units.

    Parameters
    ----------
    top
        (n,) unit of the top level of each sorted row.
    psu, strata
        (n,) values of the same rows, or None: units of the top level, and one stratum.
    names
        What to call units of the top level, primary sampling units and strata.

    Raises
    ------
    DataError
        Units of the top level in several primary sampling units, or these in several strata; a single one in all.

    Warns
    -----
    SamplingWeightsWarning
        Strata with a single primary sampling unit.
    """
    unit, psu_name, strata_name = names
    first = np.searchsorted(top, np.arange(int(top[-1]) + 1))
    codes, labels = (top, None) if psu is None else _codes(psu, psu_name)
    if labels is not None:
        _within(codes, top, first, f"a level of '{unit}'", psu_name)
    of_units = codes[first]
    stratum = np.zeros(len(top), dtype=np.intp)
    stratum_labels: Sequence[object] = ("all",)
    if strata is not None:
        stratum, stratum_labels = _codes(strata, strata_name)
        at = np.empty(int(codes.max()) + 1, dtype=np.intp)
        at[codes] = stratum
        bad = np.flatnonzero(at[codes] != stratum)
        if len(bad):
            which = unit if psu is None else psu_name
            raise DataError(
                f"a primary sampling unit ('{which}') lies in several strata of '{strata_name}'",
                hint="Units that are numbered anew in each stratum need names of their own.",
            )
    of_psu = np.zeros(int(of_units.max()) + 1, dtype=np.intp)
    of_psu[of_units] = stratum[first]
    count = np.bincount(of_psu)
    if len(of_psu) - len(count) < 1:
        raise DataError(
            f"{len(of_psu)} primary sampling units in {len(count)} strata leave no degrees of freedom",
            hint="Leave strata= out, or join strata.",
        )
    single = tuple(str(stratum_labels[int(h)]) for h in np.flatnonzero(count == 1))
    if single:
        listed = ", ".join(single[:5]) + (", ..." if len(single) > 5 else "")
        warnings.warn(
            f"{len(single)} {'stratum has' if len(single) == 1 else 'strata have'} a single primary sampling unit "
            f"({listed}): its variance is taken about the mean of all units, which errs on the safe side; join it with "
            "a stratum like it",
            SamplingWeightsWarning,
            outside(),
        )
    found = Sampled(
        of_units, of_psu, single, unit if psu is None else psu_name, None if strata is None else strata_name,
        None if labels is None else tuple(map(str, labels)),
        None if strata is None else tuple(map(str, stratum_labels)),
    )  # fmt: skip
    if found.df < 4:
        warnings.warn(
            f"{found.words}: intervals rest on few, and linearised standard errors are too small then",
            FewClustersWarning,
            outside(),
        )
    return found


def _codes(values: Sequence[object], name: str) -> tuple[Index, Sequence[object]]:
    import pandas as pd

    codes, labels = pd.factorize(pd.Series(values), sort=False)
    if (codes < 0).any():
        raise DataError(f"'{name}' is missing in {int((codes < 0).sum())} rows that are used")
    return np.asarray(codes, dtype=np.intp), list(labels)


def _within(codes: Index, top: Index, first: Index, what: str, name: str) -> None:
    if (codes != codes[first][top]).any():
        raise DataError(
            f"{what} lies in several primary sampling units of '{name}'",
            hint="What is sampled first holds whole units of the model.",
        )


@dataclass(frozen=True, eq=False)
class Linearised:
    """Covariances of one fit.

    Attributes
    ----------
    vcov
        (p + r + 1, p + r + 1) covariance of beta, theta and log sigma; NaN for theta that is held.
    free
        (r,) which of theta are not held at the end of their range.
    scores
        (K, p + r + 1) scores of the units of the top level, weights included.
    """

    vcov: Array
    free: NDArray[np.bool_]
    scores: Array


def linearised(
    problem: WeightedProblem, given: Products, theta: Array, gamma: Array, sigma: float, sample: Sampled
) -> Linearised:
    """Covariance at the estimates of one fit.

    Parameters
    ----------
    problem, given
        Rows, and cross-products of one fit.
    theta
        (r,) parameters of the columns as given.
    gamma, sigma
        (p,) and residual standard deviation.
    sample
        How units were drawn.
    """
    p, r = problem.p, len(theta)
    factors = problem.factors(theta[None], of_given=True)
    units, total, w = by_unit(problem, given, factors), whole(problem, given, factors), given.units[-1][0]
    v, s2 = np.append(-gamma, 1.0), sigma**2
    S = units.S[:, :, 0]
    Sv = np.einsum("cdk,d->ck", S, v)
    scores = np.empty((len(w), p + r + 1))
    scores[:, :p] = (Sv[:p] / s2).T
    for a in range(r):
        square = np.einsum("c,cdk,d->k", v, units.S1[a][:, :, 0], v)
        scores[:, p + a] = -0.5 * (units.D1[a][0] + square / s2)
    scores[:, -1] = np.einsum("c,ck->k", v, Sv) / s2 - given.N[0]
    scores *= w[:, None]
    H = np.zeros((p + r + 1, p + r + 1))
    Svt = total.S[:, :, 0] @ v
    H[:p, :p] = -total.S[:p, :p, 0] / s2
    H[:p, -1] = H[-1, :p] = -2.0 * Svt[:p] / s2
    H[-1, -1] = -2.0 * (v @ Svt) / s2
    for a in range(r):
        S_a = total.S1[a][:, :, 0] @ v
        H[:p, p + a] = H[p + a, :p] = S_a[:p] / s2
        H[-1, p + a] = H[p + a, -1] = (v @ S_a) / s2
        for b in range(a, r):
            square = v @ total.S2[a, b][:, :, 0] @ v if (a, b) in total.S2 else 0.0
            H[p + a, p + b] = H[p + b, p + a] = -0.5 * (total.D2[a, b][0] + square / s2)
    vcov, free = sandwich(problem, theta, H, scores, sample)
    if p:
        scores[:, :p] = scores[:, :p] @ problem.R
    return Linearised(vcov, free, scores)


def sandwich(
    problem: Layout, theta: Array, H: Array, scores: Array, sample: Sampled, held: Sequence[bool] = (False,)
) -> tuple[Array, NDArray[np.bool_]]:  # fmt: skip
    """Covariance of all parameters, beta for gamma, and which of theta are free.

    Parameters
    ----------
    problem
        The levels.
    theta
        (r,) parameters of the columns as given.
    H
        (p + r + a, p + r + a) second derivatives of the log pseudo likelihood in gamma, theta and a others.
    scores
        (K, p + r + a) scores of the units of the top level, weights included.
    sample
        How units were drawn.
    held
        Which of the others are at the end of their range.
    """
    p, free = problem.p, problem.free(theta)
    kept = np.concatenate([np.ones(p, dtype=bool), free, ~np.array(held, dtype=bool)])
    M = meat(scores, sample)
    bread = np.linalg.pinv(-H[np.ix_(kept, kept)], hermitian=True)
    vcov = np.full(H.shape, np.nan)
    vcov[np.ix_(kept, kept)] = bread @ M[np.ix_(kept, kept)] @ bread
    if p:  # from gamma to beta
        turn = linalg.solve_triangular(problem.R, np.eye(p))
        vcov[:p] = turn @ vcov[:p]
        vcov[:, :p] = vcov[:, :p] @ turn.T
    return vcov, free


def meat(scores: Array, sample: Sampled) -> Array:
    """Covariance of the sum of scores (K, m) over a sample of primary sampling units in strata."""
    psu = np.zeros((sample.n_psu, scores.shape[1]))
    np.add.at(psu, sample.psu, scores)
    count = np.bincount(sample.stratum)
    mean = np.zeros((len(count), scores.shape[1]))
    np.add.at(mean, sample.stratum, psu)
    mean /= count[:, None]
    mean[count == 1] = psu.mean(axis=0)
    factor = np.where(count > 1, count / np.maximum(count - 1, 1), 1.0)
    rest = (psu - mean[sample.stratum]) * np.sqrt(factor[sample.stratum])[:, None]
    return rest.T @ rest
