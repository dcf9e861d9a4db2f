r"""The penalised least squares problem of a design: scaled, weighted, and reduced to cross-products.

Everything a fit needs of the data is in the cross-products of Omega = [Z X y] (Bates et al. 2015, section 3; the
blocked layout is that of Bates, Alday & Kokandakar 2025). They are formed once, here; no evaluation passes over the
rows.

Before they are formed,

* rows are multiplied by the root of their precision, sqrt(w) where they are independent, which gives them independent
  residuals of variance sigma^2 (`mixedfx.design.precision`);
* the response is replaced by its least squares residual, y - X b (any b serves, since the criterion depends on y only
  through its residual; b is added to beta afterwards), so that a large mean does not eat the digits of the sums of
  squares;
* X is replaced by Q = X R^{-1} with R from the Cholesky factor of X'X: gamma = R beta, and
  log|X'V^{-1}X| = log|Q'V^{-1}Q| + 2 log|R|;
* the columns of a random term are made orthogonal and of unit mean square, z = q B (`mixedfx.pls.basis`): T becomes
  B T, u becomes B u, and the optimiser sees parameters without location and without units.

Random terms over the same grouping are amalgamated into one factor, whose T is block diagonal. The factor with the
most random effects is eliminated first: its block of Z'Z is block diagonal. The others form the second level, whose
columns may be permuted (`Coupling.permutation`) to keep its Cholesky factor sparse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.linalg import triangular
from mixedfx.pls.coupling import Coupling, couple
from mixedfx.pls.crossproducts import accumulated
from mixedfx.pls.factors import Block, GroupFactor, group_factors
from mixedfx.pls.second_products import SecondProducts

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Cross-products of one design; all a criterion needs.

    Attributes
    ----------
    factors
        The grouping factors in order of elimination: most random effects first.
    gram1
        (k1, k1, q1) diagonal blocks of Z1'Z1.
    coupling
        Z1'Z2 and Z2'Z2, or None for a single factor.
    zw1, zw2
        (q1, k1, p + 1) and (q2, p + 1) products of Z with W = [Q, y0].
    ww
        (p + 1, p + 1) products W'W.
    R
        (p, p) upper triangle with X = Q R (rows weighted).
    shift
        (p,) least squares coefficients b taken out of y.
    n
        Number of rows.
    log_weights
        Log determinant of the precision of the rows, the sum of log w.
    REML
        Whether the criterion is REML's or -2 log L.
    sigma
        The residual standard deviation where it is known, else None.
    n_parameters
        Length of theta.
    frames
        Random term -> orthogonal (k, k) C: T = C L, L the lower triangle that the parameters fill. A permutation is an
        order in which the columns are taken. Terms that are not named have L = T. Every frame describes the same
        covariances; see `mixedfx.pls.pivoting` and `mixedfx.inference.term_charts`.
    """

    factors: tuple[GroupFactor, ...]
    gram1: Vector
    coupling: Coupling | None
    zw1: Vector
    zw2: Vector
    ww: Vector
    R: Vector
    shift: Vector
    n: int
    log_weights: float
    REML: bool
    sigma: float | None
    n_parameters: int
    frames: Mapping[int, Vector] = field(default_factory=dict)
    iterative: ClassVar[bool] = False
    """Whether it is solved by iteration; see `mixedfx.pls.iterative_problem`."""

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.R.shape[0]

    @property
    def dof(self) -> int:
        """Divisor of sigma^2: n - p for REML, n for ML."""
        return self.n - self.p if self.REML else self.n

    @property
    def blocks(self) -> list[Block]:
        """The random terms, in the order of the design."""
        return sorted((block for group in self.factors for block in group.blocks), key=lambda block: block.term)

    @property
    def bases(self) -> tuple[Vector, ...]:
        """For each random term the triangle B of the columns used: z_used B are those as given."""
        blocks = {block.term: (group, block) for group in self.factors for block in group.blocks}
        found = [blocks[t] for t in range(len(blocks))]
        return tuple(group.basis[block.columns, block.columns] for group, block in found)

    @cached_property
    def entries(self) -> list[tuple[int, int, int]] | None:
        """Factor, row and column in its L of each parameter; T = L where there are no frames.

        None where a structure has other parameters than entries of a triangle.
        """
        out: list[tuple[int, int, int]] = [(0, 0, 0)] * self.n_parameters
        for f, group in enumerate(self.factors):
            for block in group.blocks:
                if block.structure.entries is None:
                    return None
                for m, (a, b) in enumerate(zip(*block.structure.entries, strict=True)):
                    out[block.par + m] = (f, block.first + int(a), block.first + int(b))
        return out

    @cached_property
    def linear(self) -> bool:
        """Whether T is linear in the parameters."""
        zero = np.zeros(self.n_parameters)
        return all(block.structure.curvature(zero[block.parameters]) is None for block in self.blocks)

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """(r,) factor of each parameter."""
        out = np.zeros(self.n_parameters, dtype=np.intp)
        for f, group in enumerate(self.factors):
            for block in group.blocks:
                out[block.parameters] = f
        return out

    @cached_property
    def stationary(self) -> NDArray[np.bool_]:
        """(r,) which parameters enter the covariance by their squares."""
        out = np.zeros(self.n_parameters, dtype=bool)
        for block in self.blocks:
            out[block.parameters] = block.structure.stationary
        return out

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., r) parameters with those within `near` of an end of their range put there."""
        out = np.array(par, dtype=np.float64)
        for block in self.blocks:
            out[..., block.parameters] = block.structure.snapped(out[..., block.parameters], near)
        return out

    def on_boundary(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(...) whether a variance is within `near` of zero, or a correlation of an end of its range."""
        found = [np.any(b.structure.at_end(par[..., b.parameters], near), axis=-1) for b in self.blocks]
        return np.any(np.array(found), axis=0) if found else np.zeros(par.shape[:-1], dtype=bool)

    def directions(self, par: Vector) -> list[tuple[NDArray[np.intp], Vector]]:
        """For each factor the positions of its m parameters and (..., m, k, k) first derivatives of its T."""
        if par.ndim == 1 and self.linear:
            return self._constant_directions
        return self._directions(par)

    @cached_property
    def _constant_directions(self) -> list[tuple[NDArray[np.intp], Vector]]:
        return self._directions(np.zeros(self.n_parameters))

    def _directions(self, par: Vector) -> list[tuple[NDArray[np.intp], Vector]]:
        out = []
        for group, C in zip(self.factors, self.turns, strict=True):
            where = np.concatenate([np.r_[b.parameters] for b in group.blocks] or [np.zeros(0)]).astype(np.intp)
            dT = np.zeros((*par.shape[:-1], len(where), group.k, group.k))
            at = 0
            for block in group.blocks:
                own = block.structure.directions(par[..., block.parameters])
                dT[..., at : at + own.shape[-3], block.columns, block.columns] = own
                at += own.shape[-3]
            out.append((where, dT if C is None else C @ dT))
        return out

    def along_curvature(self, par: Vector, slope: Sequence[Vector]) -> Vector:
        """(..., r, r) sums of `slope`, the derivative of a criterion in each T (..., k, k), times T's second ones."""
        out = np.zeros((*par.shape[:-1], self.n_parameters, self.n_parameters))
        for group, C, of_T in zip(self.factors, self.turns, slope, strict=True):
            of_L = of_T if C is None else C.T @ of_T
            for block in group.blocks:
                second = block.structure.curvature(par[..., block.parameters])
                if second is not None:
                    own = of_L[..., block.columns, block.columns]
                    out[..., block.parameters, block.parameters] = np.einsum("...mlab,...ab->...ml", second, own)
        return out

    @cached_property
    def turns(self) -> list[Vector | None]:
        """For each factor the (k, k) orthogonal C with T = C L; None where it is the identity."""
        out: list[Vector | None] = []
        for group in self.factors:
            C = None
            for block in group.blocks:
                if block.term in self.frames:
                    C = np.eye(group.k) if C is None else C
                    C[block.columns, block.columns] = self.frames[block.term]
            out.append(C)
        return out

    def matrices(self, par: Vector) -> list[Vector]:
        """The (..., k, k) T of each factor, of the columns used, at parameters `par` (..., r)."""
        T = [np.zeros((*par.shape[:-1], group.k, group.k)) for group in self.factors]
        if self.entries is None:
            for f, group in enumerate(self.factors):
                for block in group.blocks:
                    T[f][..., block.columns, block.columns] = block.structure.factor(par[..., block.parameters])
        else:
            for m, (f, a, b) in enumerate(self.entries):
                T[f][..., a, b] = par[..., m]
        return [one if C is None else C @ one for one, C in zip(T, self.turns, strict=True)]

    def lower(self, T: Sequence[Vector]) -> Vector:
        """(..., r) the parameters of the same covariances without frames, `stationary` ones not negative."""
        out = np.empty((*T[0].shape[:-2], self.n_parameters))
        for group, one in zip(self.factors, T, strict=True):
            for block in group.blocks:
                out[..., block.parameters] = block.structure.parameters(one[..., block.columns, block.columns])
        return out

    def natural_theta(self, T: Sequence[Vector]) -> Vector:
        """(..., r) theta as users see it, such as lme4's lower triangles, of the columns as given."""
        out = np.empty((*T[0].shape[:-2], self.n_parameters))
        for group, one in zip(self.factors, T, strict=True):
            natural = group.natural(one)
            for block in group.blocks:
                out[..., block.parameters] = block.structure.theta(natural[..., block.columns, block.columns])
        return out

    def used_factors(self, natural: Sequence[Vector]) -> list[Vector]:
        """For each factor (..., k, k) T = B T_natural; `natural` holds (..., k, k) factors of each random term."""
        out = []
        for group in self.factors:
            T = np.zeros((*natural[0].shape[:-2], group.k, group.k))
            for block in group.blocks:
                T[..., block.columns, block.columns] = natural[block.term]
            out.append(group.basis @ T)
        return out

    def parameters(self, theta: Vector) -> Vector:
        """(..., r) parameters, without frames, of theta (..., r) as users see it."""
        theta = np.asarray(theta, dtype=np.float64)
        return self.lower(self.used_factors([b.structure.factor_at(theta[..., b.parameters]) for b in self.blocks]))

    def theta(self, par: Vector) -> Vector:
        """(..., r) theta as users see it, diagonals not negative, of parameters `par` (..., r)."""
        return self.natural_theta(self.matrices(par))


LATE = ("gram1", "coupling", "zw1", "zw2", "ww", "log_weights")
"""What `LateProblem` forms when it is asked for."""


class LateProblem(Problem):
    """The problem of a design by maximum likelihood, whose cross-products are formed when one of them is asked for.

    Parameters
    ----------
    design
        Of which; None where `fields` are all there are.
    fields
        The other attributes of the problem.
    """

    def __init__(self, design: Design | None = None, **fields: object) -> None:
        self.__dict__.update({"frames": {}} | fields)
        if design is not None:
            self.__dict__["_design"] = design

    def __getattr__(self, name: str) -> Any:
        if name not in LATE or "_design" not in self.__dict__:
            raise AttributeError(name)
        whole = build_problem(self.__dict__.pop("_design"), REML=False)
        self.__dict__.update({late: getattr(whole, late) for late in LATE if late not in self.__dict__})
        return self.__dict__[name]


def build_problem(design: Design, REML: bool = True) -> Problem:
    """Cross-products of `design`, for REML or ML; those of rows that are not held are there already.

    Raises
    ------
    MemoryForecastError
        If the factor of the second level would not fit in the memory that is free.
    """
    if design.streamed is not None:
        return design.streamed.products(REML)
    factors = group_factors(design)
    found = accumulated(design, factors)
    R, p = found.fixed.R, len(found.fixed.R)
    second = found.second
    shift = triangular.solve(R, found.fixed.gamma)
    gram1 = np.ascontiguousarray(found.by_level[:, :, p + 1 :].transpose(1, 2, 0))
    zw1 = found.by_level[:, :, : p + 1].copy()
    coupling, zw2 = (None, np.zeros((0, p + 1))) if second is None else couple(cast(SecondProducts, second))
    return Problem(
        factors, gram1, coupling, zw1, zw2, found.ww, R, shift, len(design.y),
        design.precision.log_determinant, REML, design.sigma,
        sum(b.structure.n_parameters for g in factors for b in g.blocks),
    )  # fmt: skip


def random_index(design: Design, problem: Problem) -> list[NDArray[np.intp]]:
    """For each factor the positions (q_f * k_f,) in u, as the design orders it, of the factor's effects.

    None, where it has no effects.
    """
    out = []
    starts = design.starts
    for group in problem.factors:
        if not group.blocks:
            out.append(np.zeros(0, dtype=np.intp))
            continue
        index = np.empty((group.n_levels, group.k), dtype=np.intp)
        for block in group.blocks:
            k = block.structure.k
            index[:, block.columns] = starts[block.term] + np.arange(group.n_levels * k).reshape(-1, k)
        out.append(index.ravel())
    return out
