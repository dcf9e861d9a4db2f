r"""Rows with two linear predictors, as three rows of the engine each.

The density of a zero-inflated count depends on the pair (eta, zeta) of the counts and of the zeros besides. With

    [[a, b], [b, c]]

minus its second derivatives, x and y the rows of eta and zeta in (X, Z), each filled up with zeros,

    a x x' + b (x y' + y x') + c y y' = (a - b) x x' + (c - b) y y' + b (x + y)(x + y)',

so that all cross-products with weights are those of three rows x, y and x + y, with weights a - b, c - b and b which
may have any sign. The engine is given a design of these rows (`stacked`): first all x, then all y, then all x + y.
Scores are those of the first two. Whatever it derives of rows it derives of these; the leverages of x + y hold what
those of x and y have in common. `PairLikelihood` says what the rows say, in the order of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.dispersion import Dispersion
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Family
from mixedfx.families.zero_inflated import ZeroInflated
from mixedfx.glmm.auxiliary import auxiliary_of
from mixedfx.glmm.likelihood import Likelihood, Slopes
from mixedfx.pls.factorization import Pair
from mixedfx.pls.row_map import RowMap

Vector = NDArray[np.float64]
Index = NDArray[np.intp]

MARK = "zi__"  # begins the names of what the second predictor has
NEVER = 0.01  # expected number of zeros besides those of the counts that is none
FARTHEST = 2.5  # logit of a zero at which a search begins
COPIES = 3  # rows of the engine for each row of the data


def stacked(count: Design, zero: Design) -> Design:
    """The design of the rows x, y and x + y of two designs of the same rows.

    Fixed effects and random terms of the second, whose names begin with `MARK`, follow those of the first.
    """
    X1, X2 = count.X, zero.X
    none1, none2 = np.zeros_like(X1), np.zeros_like(X2)
    X = np.block([[X1, none2], [none1, X2], [X1, X2]])
    terms = [_repeated(term, (1, 0, 1)) for term in count.random]
    terms += [
        replace(_repeated(term, (0, 1, 1)), columns=tuple(MARK + name for name in term.columns),
                shared=MARK + term.shared)
        for term in zero.random
    ]  # fmt: skip
    return replace(
        count, y=np.tile(count.y, COPIES), X=np.ascontiguousarray(X), random=tuple(terms),
        fixed_names=(*count.fixed_names, *(MARK + name for name in zero.fixed_names)),
        offset=np.concatenate([count.offset, zero.offset, count.offset + zero.offset]),
        dispersion=None if count.dispersion is None else _tiled(count.dispersion),
    )  # fmt: skip


def _repeated(term: RandomTerm, shares: tuple[int, int, int]) -> RandomTerm:
    """The term in the rows whose share is one."""
    z = np.concatenate([share * term.z for share in shares])
    return replace(term, codes=np.tile(term.codes, COPIES), z=np.ascontiguousarray(z))


def _tiled(dispersion: Dispersion) -> Dispersion:
    return replace(dispersion, columns=np.tile(dispersion.columns, (COPIES, 1)))


@dataclass(frozen=True, eq=False)
class PairLikelihood(Likelihood):
    """Rows whose density depends on two linear predictors; `y` (n,) and all else of rows is in the order of the data.

    Attributes
    ----------
    places
        (3, n) where the engine has each of the three rows of a row of the data.
    """

    family: ZeroInflated
    places: Index

    @staticmethod
    def of(design: Design, family: ZeroInflated, order: Index) -> PairLikelihood:  # type: ignore[override]
        """The rows of a stacked design, which the engine has in the order given."""
        n = len(design.y) // COPIES
        places = np.empty(len(order), dtype=np.intp)
        places[order] = np.arange(len(order))
        rows = slice(0, n)
        parameters = auxiliary_of(design, family, rows)
        return PairLikelihood(family, design.y[rows], NO_FACTS, parameters, places.reshape(COPIES, n))

    def pair(self, eta: Vector) -> Vector:
        """(1, n, 2) both linear predictors of the rows of the data, from (3 n,)."""
        return np.stack([eta[self.places[0]], eta[self.places[1]]], axis=-1)[None]

    def placed(self, *parts: Vector | float) -> Vector:
        """(..., 3 n) numbers of the rows x, y and x + y in the order of the engine."""
        shape = np.broadcast_shapes(*(np.shape(part) for part in parts))
        out = np.empty((*shape[:-1], self.places.size))
        for place, part in zip(self.places, parts, strict=True):
            out[..., place] = part
        return out

    def signed(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """(..., 3 n) weights of the rows from the entries (..., n) of symmetric matrices."""
        return self.placed(a - b, c - b, b)

    def value(self, eta: Vector, phi: Vector) -> float:
        """Sum of the log densities; -inf where a row is impossible."""
        total = float(self.family.log_density(self.y, self.pair(eta), self.auxiliary(phi)).sum())
        return total if np.isfinite(total) else -np.inf

    def scan(self, eta: Vector, phi: Vector) -> tuple[float, Vector, Vector]:
        """Sum of the log densities, scores and observed weights."""
        total = self.value(eta, phi)
        if total == -np.inf:
            return total, np.zeros(len(eta)), np.zeros(len(eta))
        first, second = self._derivatives(eta, phi, 2)
        return total, self.placed(first[0], first[1], 0.0), self.signed(*-second)

    def _derivatives(self, eta: Vector, phi: Vector, order: int) -> list[Vector]:
        found = self.family.pair_derivatives(self.y, self.pair(eta), self.auxiliary(phi), order)
        return [one[:, 0] for one in found]

    def bends(self, eta: Vector, phi: Vector) -> PairBends:
        """How the weights change."""
        _, _, third, fourth = self._derivatives(eta, phi, 4)
        return PairBends(self, -third, -fourth)

    def information(self, eta: Vector, phi: Vector) -> Vector:
        """(3 n,) weights of the information of the complete data, all positive."""
        own = self.family.complete_information(self.y, self.pair(eta), self.auxiliary(phi))[:, 0]
        return self.placed(own[0], own[1], 0.0)

    def slopes(self, eta: Vector, phi: Vector) -> Slopes:
        """Derivatives in phi."""
        a = len(self.names)
        if not a:
            return Slopes(np.zeros(0), np.zeros((0, len(eta))), np.zeros((0, len(eta))))
        found = self.family.auxiliary_derivatives(self.y, self.pair(eta), self.auxiliary(phi))
        every = self.parameters.chain(phi, found, (6, 1, len(self.y)))[:, :, 0]
        own, score, weight = every[:, 0], every[:, 1:3], every[:, 3:]
        zero = np.zeros((a, len(self.y)))
        return Slopes(
            own.sum(axis=1), self.placed(score[:, 0], score[:, 1], zero),
            self.signed(-weight[:, 0], -weight[:, 1], -weight[:, 2]),
        )  # fmt: skip

    def vanished(self, eta: Vector) -> bool:
        """Whether there are no zeros besides those of the counts, in all rows together."""
        return bool(eta[self.places[1]].max() < np.log(NEVER / len(self.y)))

    def centre(self, share: float) -> Vector:
        """(3 n,) linear predictors where a share of rows is zero whatever, and the means are those of the responses."""
        eta = float(np.log((self.y.sum() + 0.5) / ((1.0 - share) * len(self.y) + 1.0)))
        zeta = float(np.log(share / (1.0 - share)))
        one = np.ones(len(self.y))
        return self.placed(eta * one, zeta * one, (eta + zeta) * one)

    def within(self, eta: Vector) -> Vector:
        """(3 n,) linear predictors with logits of zeros no farther out than `FARTHEST`, where they are not flat."""
        at, zeta = eta[self.places[0]], np.clip(eta[self.places[1]], -FARTHEST, FARTHEST)
        return self.placed(at, zeta, at + zeta)

    def start(self) -> tuple[Vector, float, Vector]:  # type: ignore[override]
        """(3 n,) linear predictors, a standard deviation of these to begin with, and phi."""
        return self.centre(self.family.starting_share(self.y)), 0.7, self.starting_phi()

    def draw(self, rng: np.random.Generator, eta: Vector, auxiliary: dict[str, Vector], facts: RowFacts) -> Vector:
        """(D, 3 n) responses of the rows of the stacked design, from linear predictors (D, 3 n) in its order."""
        n = len(self.y)
        own = {name: x if np.ndim(x) < 2 else x[:, :n] for name, x in auxiliary.items()}
        drawn = self.family.draw(rng, np.stack([eta[:, :n], eta[:, n : 2 * n]], axis=-1), own)
        return np.tile(drawn, (1, COPIES))

    def pearson(self, eta: Vector, phi: Vector) -> Vector:
        """(n,) Pearson residuals of the rows of the data, from (3 n,) linear predictors."""
        at, auxiliary = self.pair(eta), self.auxiliary(phi)
        mean, variance = self.family.mean(at, auxiliary)[0], self.family.variance(at, auxiliary)[0]
        return (self.y - mean) / np.sqrt(variance)


def likelihood_of(design: Design, family: Family, order: Index) -> Likelihood:
    """What the rows of a design say, which the engine has in the order given; the design is stacked for a pair."""
    if isinstance(family, ZeroInflated):
        return PairLikelihood.of(design, family, order)
    return Likelihood.of(design, family, order)


@dataclass(frozen=True, eq=False)
class PairBends:
    """How the weights of pairs change.

    Attributes
    ----------
    rows
        The rows.
    third, fourth
        (4, n) and (5, n) minus the third and fourth derivatives of log f; entry j is j times in zeta.
    """

    rows: PairLikelihood
    third: Vector
    fourth: Vector

    def _common(self, leverages: Vector) -> tuple[Vector, Vector, Vector]:
        """Entries x'Cx, x'Cy and y'Cy, from the leverages of x, y and x + y."""
        x, y, both = leverages[self.rows.places]
        return x, (both - x - y) / 2.0, y

    def pulled(self, leverages: Vector) -> Vector:
        """Derivatives of sum of a x'Cx + 2 b x'Cy + c y'Cy in eta and zeta; there is none of x + y."""
        x, cross, y = self._common(leverages)
        d = self.third
        return self.rows.placed(d[0] * x + 2 * d[1] * cross + d[2] * y, d[1] * x + 2 * d[2] * cross + d[3] * y, 0.0)

    def moments(self, rows: RowMap, Q: Vector, u: Pair, leverages: Vector, Zr: Vector) -> tuple[Vector, Vector]:
        """The same with matrices of second derivatives in (eta, zeta) in the place of numbers."""
        x, cross, y = self._common(leverages)
        (r1, r2, _), d3, d4 = Zr[self.rows.places], self.third, self.fourth
        entries = (d4[j] * x + 2 * d4[j + 1] * cross + d4[j + 2] * y - d3[j] * r1 - d3[j + 1] * r2 for j in range(3))
        weight = self.rows.signed(*entries)
        Y = rows.times(u)
        Y[:, : Q.shape[1]] += Q
        Y1, Y2 = Y[self.rows.places[0]].T, Y[self.rows.places[1]].T
        moved = self.rows.signed(*(d3[j] * Y1 + d3[j + 1] * Y2 for j in range(3))).T
        k = rows.z.shape[1]
        tensor = np.asarray(rows.squares @ moved).reshape(rows.first_size // k, k, k, Y.shape[1])
        return Y.T @ (weight[:, None] * Y), tensor
