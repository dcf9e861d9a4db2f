"""Variances of many rows over (beta, u), given theta, shared among rows with the same levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.inference.normal_estimate import JointUncertainty
from mixedfx.pls.joint import Joint

Vector = NDArray[np.float64]


def row_variances(joint: JointUncertainty, fixed: Vector, random: sparse.csr_array) -> Vector:
    """(s,) variances of fixed (beta-hat - beta) + random (u-hat - u), shared among rows with the same levels.

    Parameters
    ----------
    joint
        The joint distribution of (beta, u).
    fixed, random
        (s, p) and sparse (s, q) coefficients.
    """
    if not isinstance(joint, Joint) or random.nnz == 0:
        return joint.variances(fixed, random)
    out = np.empty(len(fixed))
    count = np.diff(random.indptr)
    for k in np.unique(count):
        rows = np.flatnonzero(count == k)
        at = random.indptr[rows][:, None] + np.arange(k)
        columns, z = random.indices[at].astype(np.intp), random.data[at]
        patterns, which = _patterns(columns)
        if k == 0 or len(patterns) * k > len(rows):
            out[rows] = joint.variances(fixed[rows], sparse.csr_array(random[rows]))
            continue
        among, with_beta = joint.group_covariances(patterns)
        x = fixed[rows]
        own = np.einsum("sp,pr,sr->s", x, joint.vcov, x, optimize=True)
        half = np.einsum("sp,spk->sk", x, with_beta[which]) * 2.0 + np.einsum("skl,sl->sk", among[which], z)
        out[rows] = own + (half * z).sum(axis=1)
    return out


def _patterns(columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Distinct rows of (s, k) whole numbers, and which of them each row is."""
    s, k = columns.shape
    which = np.zeros(s, dtype=np.intp)
    for j in range(k):
        column = np.unique(columns[:, j], return_inverse=True)[1].reshape(-1)
        which = np.unique(which * (int(column.max(initial=0)) + 1) + column, return_inverse=True)[1].reshape(-1)
    first = np.unique(which, return_index=True)[1]
    return columns[first], which
