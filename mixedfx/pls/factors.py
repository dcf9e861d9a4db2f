"""Grouping factors: the random terms over one grouping, amalgamated, their columns made orthogonal.

The factor with the most random effects is eliminated first; the others form the second level
(`mixedfx.pls.coupling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.covariance.structures import Structure
from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.precision import RowPrecision
from mixedfx.linalg import triangular
from mixedfx.pls.basis import term_basis, used_columns

Vector = NDArray[np.float64]

LARGE = 5_000  # columns of the second level from which the solver is thought about: 200 MB of a dense factor


@dataclass(frozen=True)
class Block:
    """One random term in its factor: columns ``first`` to ``first + k`` of the factor, parameters from ``par`` on."""

    term: int
    first: int
    par: int
    structure: Structure

    @property
    def columns(self) -> slice:
        """Its columns in the factor."""
        return slice(self.first, self.first + self.structure.k)

    @property
    def parameters(self) -> slice:
        """Its parameters."""
        return slice(self.par, self.par + self.structure.n_parameters)


@dataclass(frozen=True)
class GroupFactor:
    """One grouping factor with all the random terms over it: q levels, k columns.

    Attributes
    ----------
    blocks
        Its random terms; none where the factor only holds the place of the first (see `group_factors`).
    codes, given
        (n,) levels, and for each random term (n, k) covariates: the arrays of the design, of rows as given.
    n_levels
        Number of levels q.
    basis
        (k, k) upper triangle B, block diagonal over the terms, with z_used B the columns as the design gives them:
        T_used = B T, u_used = B u. Any factor with the same T_used T_used' describes the same covariances.
    mixing
        (q, q) lower Cholesky factor L of the known correlations of the levels; None where these are independent. The
        effects of the levels are L times those used, which are independent: Z_used has the columns of Z times L.
    """

    blocks: tuple[Block, ...]
    codes: NDArray[np.intp]
    given: tuple[Vector, ...]
    n_levels: int
    basis: Vector
    mixing: Vector | None = None

    @property
    def k(self) -> int:
        """Number of columns."""
        return len(self.basis)

    @property
    def z(self) -> Vector:
        """(n, k) covariates z_used, formed anew each time: a factor keeps no numbers of rows of its own."""
        return self.used(slice(None))

    def used(self, rows: slice) -> Vector:
        """(m, k) covariates z_used of some rows."""
        own = [
            used_columns(z[rows], self.basis[b.columns, b.columns])
            for b, z in zip(self.blocks, self.given, strict=True)
        ]
        if not own:
            return np.zeros((len(self.codes[rows]), self.k))
        return own[0] if len(own) == 1 else np.hstack(own)

    @cached_property
    def inverse(self) -> Vector:
        """(k, k) B^{-1}."""
        return np.asarray(triangular.solve(self.basis, np.eye(self.k)))

    def natural(self, used: Vector) -> Vector:
        """(..., k, m) effects or factors of the columns as given, B^{-1} used."""
        return used / self.basis[0, 0] if self.k == 1 else np.matmul(self.inverse, used)

    def mixed(self, used: Vector) -> Vector:
        """(..., q, k, m) what rows of each level have of effects (..., q, k, m) that are independent."""
        return used if self.mixing is None else np.einsum("ij,...jkm->...ikm", self.mixing, used)

    def effects(self, used: Vector) -> Vector:
        """(..., q, k, m) effects of the columns as given, of the levels as given, from those used."""
        return self.natural(self.mixed(used))

    def coefficients(self, of_natural: Vector) -> Vector:
        """(q, k, m) coefficients of u_used from those of u: B'^{-1} times them, by substitution.

        For an intercept and a slope that is (x - mean) / sd, which the inverse would form from two large numbers.
        """
        q, k, m = of_natural.shape
        if self.mixing is not None:
            of_natural = np.einsum("ij,ikm->jkm", self.mixing, of_natural)
        flat = of_natural.transpose(1, 0, 2).reshape(k, q * m)
        found = triangular.solve(self.basis, flat, transposed=True)
        return np.asarray(found).reshape(k, q, m).transpose(1, 0, 2)


def group_factors(design: Design) -> tuple[GroupFactor, ...]:
    """Random terms over the same grouping, amalgamated, in order of elimination.

    The factor with the most random effects comes first, of those whose levels are independent and share no correlated
    errors. Where there is none of these, a factor without effects takes the place, so that all others are of the second
    level.
    """
    alike: dict[tuple[str, bytes], list[int]] = {}
    for t, term in enumerate(design.random):
        key = (term.label, b"" if term.relation is None else term.relation.tobytes())
        alike.setdefault(key, []).append(t)
    starts = np.cumsum([0, *(term.covariance.n_parameters for term in design.random)])
    groups = []
    for members in alike.values():
        terms = [design.random[t] for t in members]
        firsts = np.cumsum([0, *(t.n_columns for t in terms)])
        blocks = tuple(Block(t, int(firsts[m]), int(starts[t]), terms[m].covariance) for m, t in enumerate(members))
        groups.append(_group(terms, blocks, design.precision))

    def apart(group: GroupFactor) -> bool:
        return group.mixing is None and design.precision.within(group.codes)

    groups.sort(key=lambda g: (not apart(g), -g.n_levels * g.k))
    if not groups or not apart(groups[0]):
        n = len(design.y)
        groups.insert(0, GroupFactor((), np.broadcast_to(np.intp(0), (n,)), (), 1, np.eye(1)))
    return tuple(groups)


def _group(terms: list[RandomTerm], blocks: tuple[Block, ...], precision: RowPrecision) -> GroupFactor:
    bases = [term_basis(precision.whiten(term.z), term.covariance.scaling) for term in terms]
    basis = bases[0] if len(terms) == 1 else np.asarray(linalg.block_diag(*bases))
    relation = terms[0].relation
    mixing = None if relation is None else np.asarray(np.linalg.cholesky(relation), dtype=np.float64)
    return GroupFactor(blocks, terms[0].codes, tuple(t.z for t in terms), terms[0].n_levels, basis, mixing)


def second_level_columns(design: Design) -> int:
    """Random effects outside the largest grouping factor."""
    sizes: dict[str, int] = {}
    for term in design.random:
        sizes[term.label] = sizes.get(term.label, 0) + term.n_levels * term.n_columns
    return sum(sizes.values()) - max(sizes.values(), default=0)
