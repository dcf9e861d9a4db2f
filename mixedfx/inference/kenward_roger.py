r"""Kenward and Roger's adjusted covariance, degrees of freedom and F scaling, in the space of the random effects.

Let Sigma = sigma^2 sum_i rho_i G_i be linear in its (co)variances. Kenward & Roger (1997) need, with
Phi = (X'Sigma^{-1}X)^{-1} and P = V^{-1} - V^{-1}X S^{-1}X'V^{-1}, S = X'V^{-1}X,

    W = 2 I^{-1},  I_ij = tr(P G_i P G_j)                                  covariance of the REML estimates,
    Phi P_i Phi = -sigma^2 S^{-1} (X'V^{-1}G_iV^{-1}X) S^{-1}              derivative of Phi, up to its sign,
    Phi_A = Phi + 2 sigma^2 S^{-1} [sum_ij W_ij X'V^{-1}G_i P G_jV^{-1}X] S^{-1}.

The residual's G_0 is (in weighted rows) the identity, which has no form in the space of the random effects; but V is a
combination of all G_i, the results do not change under a linear change of parameters, and PVP = P. With V in the place
of the identity

    I_VV = n - p,   I_Vi = tr(P G_i),   Phi P_V Phi = -Phi,   and V adds nothing to the bracket.

For the others G_i = Z E_i Z', E_i the pattern of one (co)variance, so with K = Z'V^{-1}Z, H = Z'V^{-1}X, K_P = Z'PZ =
K - H S^{-1}H' all is in the space of the random effects:

    I_ij = tr(K_P E_i K_P E_j) = tr(K E_i K E_j) - 2 tr(S^{-1} H'E_iKE_jH) + tr(S^{-1}H'E_iH S^{-1}H'E_jH).

Where (co)variances are functions of fewer parameters (`mixedfx.covariance.structures`), G_i is a combination of such
patterns, and everything above is linear in each G; where Sigma is not linear in them, as with ``cs``, these are its
first derivatives, and the second ones that a full expansion would have are left out.

Only tr(K E_i K E_j) is more than products with p columns; it is in `mixedfx.inference.kernel_traces`.

**F tests.** With Theta = L'(L Phi L')^{-1}L, A_1 = sum_ij W_ij tr(Theta Phi P_i Phi) tr(Theta Phi P_j Phi) and
A_2 = sum_ij W_ij tr(Theta Phi P_i Phi Theta Phi P_j Phi), the scaled statistic lambda F with F = difference'
(L Phi_A L')^{-1} difference / q is referred to F(q, m); m and lambda match two moments, and are exact for Hotelling's
T^2 and for the F test of a balanced analysis of variance (Kenward & Roger 1997, section 3). For q = 1, lambda is 1
and m = 2 / A_2.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.errors import DegreesOfFreedomWarning
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.covariance_derivatives import (
    Products,
    covariance_pairs,
    pattern_weights,
    products,
    to_beta,
)
from mixedfx.inference.kernel_traces import kernel_traces
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

UNINFORMED = 1e-10  # information, in units of the (co)variances, below which a combination of them is not estimable


@dataclass(frozen=True)
class KenwardRoger:
    """Kenward and Roger's adjustment of one REML fit.

    Attributes
    ----------
    vcov
        (p, p) adjusted covariance Phi_A of the fixed effects.
    unadjusted
        (p, p) Phi.
    derivatives
        (m, p, p) derivatives of Phi in uncorrelated combinations of the (co)variances, scaled so that the asymptotic
        covariance of these combinations is the identity: sums over i, j with W_ij become sums of squares.
    """

    vcov: Vector
    unadjusted: Vector
    derivatives: Vector

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) degrees of freedom of the rows of (s, p) contrasts."""
        v = np.einsum("sp,pr,sr->s", contrasts, self.unadjusted, contrasts)
        g = np.einsum("sp,mpr,sr->sm", contrasts, self.derivatives, contrasts, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(v > 0, 2.0 * v**2 / (g**2).sum(axis=1), np.inf)

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """Scaled F statistic, numerator and denominator df of L beta = rhs; `difference` (m,) is L beta-hat - rhs."""
        t2 = independent_contrasts(L, self.vcov, difference)[1]
        rows = independent_contrasts(L, self.unadjusted, difference)[0]
        q = len(rows)
        if q == 0:
            return np.nan, 0.0, np.nan
        df, scale = _moments(rows, self.unadjusted, self.derivatives)
        return scale * float(np.sum(t2)) / q, float(q), df


def _moments(rows: Vector, phi: Vector, derivatives: Vector) -> tuple[float, float]:
    """Denominator df m and scale lambda of the F statistic of q uncorrelated rows."""
    q = len(rows)
    v = np.einsum("sp,pr,sr->s", rows, phi, rows)
    rows = rows / np.sqrt(v)[:, None]
    G = np.einsum("sp,mpr,tr->mst", rows, derivatives, rows, optimize=True)
    A1 = float((np.einsum("mss->m", G) ** 2).sum())
    A2 = float((G**2).sum())
    if A2 == 0.0:
        return np.inf, 1.0
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    below = 3.0 * q + 2.0 * (1.0 - g)
    c1, c2, c3 = g / below, (q - g) / below, (q + 2 - g) / below
    if q == 1:
        return 2.0 / A2, 1.0
    mean_inverse = 1.0 - A2 / q
    # Of an F with m <= 4 the variance, and with m <= 2 the mean does not exist; the formulas then continue
    # analytically, which keeps them exact where F is exact.
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.float64(mean_inverse**2 * (1.0 + c1 * B)) / (q * (1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        df = 4.0 + (q + 2.0) / (q * rho - 1.0)
        scale = df * mean_inverse / (df - 2.0)
    if not (np.isfinite(df) and df > 0.0 and np.isfinite(scale) and scale > 0.0):
        warnings.warn(
            "no F distribution has the moments of Kenward and Roger's statistic: the variances are estimated from too "
            "few groups for this hypothesis; the smallest df of its single contrasts is used, without scaling",
            DegreesOfFreedomWarning,
            stacklevel=4,
        )
        return float(2.0 / (np.einsum("mss->sm", G) ** 2).sum(axis=1).max()), 1.0
    return float(df), float(scale)


def kenward_roger(problem: Problem, par: Vector) -> KenwardRoger:
    """Adjustment at the REML estimate.

    Parameters
    ----------
    problem
        Cross-products of a REML fit.
    par
        (r,) the estimate in the parameters of `problem`.

    Raises
    ------
    MemoryForecastError
        If the crossed random effects are too many for the memory that is free.

    Warns
    -----
    DegreesOfFreedomWarning
        Where the data carry no information on some combination of the (co)variances, which is then left out.
    """
    at = evaluate(problem, par)
    found = products(problem, at)
    pairs = covariance_pairs(problem)
    phi = at.sigma2 * (found.unrotate @ found.S_inverse @ found.unrotate.T)
    moved = np.array([_moved(found, pair) for pair in pairs])
    middle = _middle(problem, at.factorization, found, pairs)
    information = _information(problem, at.factorization, found, pairs, moved, middle)
    units = _units(at.factorization.T, pairs)
    if any(block.structure.entries is None for block in problem.blocks):
        C = pattern_weights(problem, at.factorization.T, pairs)
        with_V = np.asarray(linalg.block_diag(C, np.eye(1)))
        known = information[-1, -1]
        information[-1, -1] = 0.0  # infinite where sigma is known, and no parameter's
        information = with_V @ information @ with_V.T
        information[-1, -1] = known
        units = np.append([units[:-1][row != 0.0].max(initial=1.0) for row in C], 1.0)
        moved, middle = np.tensordot(C, moved, axes=1), np.einsum("mi,ijab,nj->mnab", C, middle, C, optimize=True)
    # derivatives of Phi; V itself multiplies it
    derivatives = np.concatenate([to_beta(moved, at.sigma2, found), phi[None]])
    root = _root_of_inverse(information, units)
    W = 2.0 * (root.T @ root)[: len(moved), : len(moved)]
    bracket = np.einsum("ij,ijab->ab", W, middle - _fixed_part(found, moved))
    adjusted = phi + 2.0 * to_beta((bracket + bracket.T)[None] / 2.0, at.sigma2, found)[0]
    return KenwardRoger(adjusted, phi, np.einsum("km,mab->kab", np.sqrt(2.0) * root, derivatives))


def _moved(found: Products, pair: tuple[int, int, int]) -> Vector:
    """(p, p) H'E_iH."""
    f, a, c = pair
    F = found.F[f]
    return F[a, a] if a == c else F[a, c] + F[c, a]


def _fixed_part(found: Products, moved: Vector) -> Vector:
    """(m, m, p, p) H'E_iH S^{-1} H'E_jH."""
    return np.einsum("iab,bc,jcd->ijad", moved, found.S_inverse, moved, optimize=True)


def _middle(
    problem: Problem, factorization: Factorization, found: Products, pairs: list[tuple[int, int, int]]
) -> Vector:
    """(m, m, p, p) H'E_i K E_jH, K = Z'Z - Z'Z Lambda M^{-1} Lambda'Z'Z."""
    p, m = problem.p, len(pairs)
    first = np.zeros((*problem.zw1.shape[:2], m * p))
    second = np.zeros((problem.zw2.shape[0], m * p))
    for i, (f, a, c) in enumerate(pairs):
        columns = slice(i * p, (i + 1) * p)
        for to, source in {(a, c), (c, a)}:
            if f == 0:
                first[:, to, columns] += found.H[0][:, source]
            else:
                assert problem.coupling is not None
                position = problem.coupling.positions[f - 1]
                second[position[:, to], columns] += found.H[1][position[:, source]]
    EH: Pair = (first, second)
    ZZ = factorization.gram(EH)
    half = factorization.half_solve(factorization.scale_transposed(ZZ))
    out = _inner(EH, ZZ) - _inner(half, half)
    return out.reshape(m, p, m, p).transpose(0, 2, 1, 3)


def _inner(a: Pair, b: Pair) -> Vector:
    return np.tensordot(a[0], b[0], axes=([0, 1], [0, 1])) + a[1].T @ b[1]


def _information(
    problem: Problem, factorization: Factorization, found: Products, pairs: list[tuple[int, int, int]],
    moved: Vector, middle: Vector,
) -> Vector:  # fmt: skip
    """(m + 1, m + 1) tr(P G_i P G_j), V last."""
    m = len(pairs)
    out = np.empty((m + 1, m + 1))
    S = found.S_inverse
    both = np.einsum("ab,ibc,cd,jda->ij", S, moved, S, moved, optimize=True)
    out[:m, :m] = kernel_traces(factorization, pairs) - 2.0 * np.einsum("ab,ijba->ij", S, middle) + both
    plain = factorization.score_sums()[1]
    factorization.release()
    for i, (f, a, c) in enumerate(pairs):
        trace = plain[f][a, a] if a == c else plain[f][a, c] + plain[f][c, a]
        out[i, m] = out[m, i] = float(trace) - float(np.sum(S * moved[i]))
    out[m, m] = problem.n - problem.p
    if problem.sigma is not None:  # a known sigma: the scale of V is not estimated
        out[m, :m] = out[:m, m] = 0.0
        out[m, m] = np.inf
    return (out + out.T) / 2.0


def _units(T: list[Vector], pairs: list[tuple[int, int, int]]) -> Vector:
    """(m + 1,) size of a change of each (co)variance that matters, V last: products of the units of two rows of T."""
    row = [np.maximum(1.0, np.linalg.norm(factor, axis=1)) for factor in T]
    return np.array([*(row[f][a] * row[f][c] for f, a, c in pairs), 1.0])


def _root_of_inverse(information: Vector, units: Vector) -> Vector:
    """Rows whose gram matrix is the inverse of the information, directions without information left out."""
    known = np.isinf(np.diag(information))
    A = np.where(known[:, None] | known, 0.0, information)
    # what is well informed in units of its standard error, what is not in its own
    scale = np.sqrt(np.maximum(np.diag(A), units**-2.0))
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    good = values > UNINFORMED
    if (~good).sum() > known.sum():
        warnings.warn(
            "the data carry no information on some combination of the (co)variances; Kenward and Roger's adjustment "
            "leaves its uncertainty out",
            DegreesOfFreedomWarning,
            stacklevel=3,
        )
    return (vectors[:, good] / np.sqrt(values[good])).T / scale
