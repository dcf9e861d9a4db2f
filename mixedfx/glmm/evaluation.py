"""Laplace's criterion with its derivatives at one point: what the optimiser asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm import nested
from mixedfx.glmm.curvature import curvature
from mixedfx.glmm.derivatives import Formed, Late, SecondDerivatives
from mixedfx.glmm.laplace import Pieces, gradient, pieces
from mixedfx.glmm.model import Model, inner, plus
from mixedfx.glmm.modes import DECREMENT, Mode, find_mode
from mixedfx.glmm.pairs import PairLikelihood
from mixedfx.pls.factorization import Pair
from mixedfx.pls.nesting import Tree

Vector = NDArray[np.float64]

STEP = 1e-4  # of phi, in standard errors, between gradients that are subtracted
TIGHT = 1e-18  # decrement of their modes


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one point.

    Attributes
    ----------
    psi
        (d,) parameters (gamma, par, phi); with a joint step gamma is where it led.
    criterion
        -2 log likelihood, approximate, constants included.
    gradient
        (d,) its exact derivatives.
    second
        Second derivatives in psi.
    mode
        The random effects there.
    beside
        Z'W Q and -Z's_phi, for the prediction of the next mode.
    exact
        Whether `curvature` is the matrix of second derivatives itself.
    """

    psi: Vector
    criterion: float
    gradient: Vector
    second: SecondDerivatives
    mode: Mode
    beside: Pair
    exact: bool

    @property
    def average(self) -> Vector:
        """(d, d) positive approximation of the second derivatives."""
        return self.second.average

    @property
    def curvature(self) -> Vector:
        """(d, d) second derivatives, the best that is known."""
        return self.second.curvature


def evaluate(
    model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT,
    second: bool = True,
) -> Evaluation:  # fmt: skip
    """Criterion, gradient and (with `second`) second derivatives at psi (d,), the mode sought from `v`.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is no mode.
    """
    if model.tree is not None:
        return _nested(model, model.tree, psi, v, joint, decrement)
    exact = model.problem.coupling is None and not model.likelihood.names
    bent = second and _bends_with_phi(model) and decrement <= DECREMENT
    gamma, par, phi = model.split(psi)
    T = model.problem.matrices(par)
    mode = find_mode(model, gamma, T, phi, v, joint, TIGHT if bent else decrement)
    parts = pieces(model, mode, par)
    left = plus(parts.r, mode.step, -1.0)
    criterion = -2.0 * mode.value + mode.factorization.logdet + inner(mode.gradient, left)
    average, full, beside = second_derivatives(model, parts, second)
    mode.factorization.release()
    at, slope = np.concatenate([mode.gamma, par, phi]), gradient(model, parts)
    if bent:
        full = _with_columns_of_phi(model, at, mode, slope, average, full)
    return Evaluation(at, criterion, slope, Formed(average, full), mode, beside, exact or bent)


def _bends_with_phi(model: Model) -> bool:
    """Whether second derivatives in phi are taken as differences, and with them all are exact.

    The share of zeros besides those of the counts may run to nothing, where the likelihood is as flat as the
    exponential function of its logit: second derivatives learnt one step before are too large there.
    """
    own = model.likelihood
    return isinstance(own, PairLikelihood) and bool(own.names) and model.problem.coupling is None


def _with_columns_of_phi(
    model: Model, psi: Vector, mode: Mode, slope: Vector, average: Vector, full: Vector
) -> Vector:  # fmt: skip
    """Second derivatives (d, d) with those in phi by forward differences of the gradient, a small step apart."""
    a, d = model.sizes[2], len(psi)
    out: Vector = full.copy()
    for i in range(d - a, d):
        moved = psi.copy()
        moved[i] += STEP / np.sqrt(max(abs(float(average[i, i])), 1e-8) / 2.0)
        gamma, par, phi = model.split(moved)
        there = find_mode(model, gamma, mode.T, phi, mode.v, False, TIGHT)
        out[i] = out[:, i] = (gradient(model, pieces(model, there, par)) - slope) / (moved[i] - psi[i])
    own = out[d - a :, d - a :]
    out[d - a :, d - a :] = (own + own.T) / 2.0
    return out


def _nested(
    model: Model, tree: Tree, psi: Vector, v: Pair | None, joint: bool, decrement: float
) -> Evaluation:  # fmt: skip
    """The same along the tree of nested intercepts."""
    gamma, par, phi = model.split(psi)
    T = model.problem.matrices(par)
    start = None if v is None else [part[0] for part in nested.by_factor(tree, v)]
    found = nested.find(model, tree, gamma, [float(one[0, 0]) for one in T], phi, start, joint, decrement)
    own, at = nested.slope(model, tree, found, phi), found.at
    whole = nested.TreeFactorization(model, at.w, found.factor, T)
    h = nested.pair(tree, own.h)
    v, gradient, step = (nested.pair(tree, parts) for parts in (at.v, found.gradient, found.step))
    mode = Mode(at.gamma, phi, T, v, at.eta, at.s, at.w, at.value, h, gradient, step, whole, found.steps)
    beside = nested.pair(tree, tree.upwards(np.concatenate([own.zq, own.zs])))
    second = Late(
        partial(nested.average, model, tree, found, own, phi), partial(nested.curvature, model, tree, found, own)
    )
    psi = np.concatenate([at.gamma, par, phi])
    return Evaluation(psi, own.criterion, own.gradient, second, mode, beside, not model.likelihood.names)


def second_derivatives(model: Model, parts: Pieces, wanted: bool) -> tuple[Vector, Vector, Pair]:
    """What `curvature` gives; without being `wanted`, zeros and what the next mode is predicted from."""
    if wanted:
        return curvature(model, parts)
    d = sum(model.sizes)
    zq = model.rows.column_products(parts.mode.w, model.Q)[1]
    if model.sizes[2]:
        zs = model.rows.transposed(-parts.slopes.score.T)
        zq = np.concatenate([zq[0], zs[0]], axis=-1), np.concatenate([zq[1], zs[1]], axis=-1)
    return np.zeros((d, d)), np.zeros((d, d)), zq
