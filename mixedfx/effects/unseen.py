"""Many unseen levels as a few: the same joint distribution of some averages, at the cost of the averages.

A census of deep intersections rests on levels that no data have seen, one for nearly every cell: 10^5 of them, with a
draw each for every draw of a posterior, are 10^9 numbers. But s averages need only their sum. Level l of a term adds
B_l u_l to them, with B_l (s, k) and the u_l independent N(0, Sigma), so that what counts is

    cov(sum_l B_l u_l) = sum_l B_l Sigma B_l',

which depends on the B_l through K = sum_l vec(B_l) vec(B_l)' alone, whatever Sigma is. Any root of K, one column for
each new "level", will do: K = F F' with F (s k, r), and r <= s k is its rank. Each of the r stands for independent
combinations of the levels it replaces. It is exact given Sigma, and so in every draw of a posterior, and nothing else
depends on the effects of unseen levels.
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional, NewLevel

Array = NDArray[np.float64]

# Fewer unseen levels of a term than this keep the draws that their names give them, in every question.
MANY = 2000
# Rows times columns of a term beyond which the root of K costs more than it saves.
LARGEST = 2000
# Relative size of eigenvalues that are rounding: K is scaled to a diagonal of ones.
ROUNDING = 1e-13


def condensed(functional: Functional, design: Design) -> Functional:
    """Replace the unseen levels of a term, where there are many, by few with the same joint distribution.

    Parameters
    ----------
    functional
        s rows, few: averages over subgroups.
    design
        The design of the fit.

    Returns
    -------
    Functional
        The same rows. A level that stands for many is named by their number and by a digest of K, so that the same
        question gets the same draws from a posterior, and another question independent ones.
    """
    terms = np.array([new.term for new in functional.new_levels], dtype=np.intp)
    s = len(functional)
    counts = {int(t): int(np.sum(terms == t)) for t in np.unique(terms)}
    many = {t for t, L in counts.items() if L > MANY and s * design.random[t].n_columns <= min(LARGEST, L / 2)}
    if not many:
        return functional
    widths = np.array([design.random[t].n_columns for t in terms], dtype=np.intp)
    term_of_column = np.repeat(terms, widths)
    blocks: list[sparse.csr_array] = []
    levels: list[NewLevel] = []
    for t in counts:
        part = sparse.csr_array(functional.new[:, np.flatnonzero(term_of_column == t)])
        if t not in many:
            blocks.append(part)
            levels += [new for new in functional.new_levels if new.term == t]
            continue
        k = design.random[t].n_columns
        K = _crossproduct(part, k)
        F = _root(K)
        r = F.shape[1]
        name = f"({counts[t]} unseen levels, {crc32(K.tobytes()):08x})"
        blocks.append(sparse.csr_array(F.reshape(s, k, r).transpose(0, 2, 1).reshape(s, r * k)))
        levels += [NewLevel(t, f"{name} {j}") for j in range(r)]
    return replace(functional, new=sparse.csr_array(sparse.hstack(blocks)), new_levels=tuple(levels))


def _crossproduct(part: sparse.csr_array, k: int) -> Array:
    """(s k, s k) sum over levels of vec(B_l) vec(B_l)', from rows (s, L k)."""
    s, width = part.shape  # pyright: ignore[reportGeneralTypeIssues]
    entries = sparse.coo_array(part)
    rows, columns = entries.coords
    M = sparse.csr_array((entries.data, (rows * k + columns % k, columns // k)), shape=(s * k, width // k))
    return (M @ M.T).toarray()


def _root(K: Array) -> Array:
    """(n, r) F with K = F F', r the rank of K."""
    size = np.sqrt(np.diag(K))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = linalg.eigh(K / scale / scale[:, None])
    kept = values > ROUNDING * len(K)
    return scale[:, None] * vectors[:, kept] * np.sqrt(values[kept])
