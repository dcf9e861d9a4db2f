r"""Laplace's criterion of nested intercepts: mode, gradient and exact second derivatives by walks along a tree.

What `mixedfx.glmm.modes`, `laplace` and `curvature` do for any random terms is done here for intercepts of factors each
nested in the next (`mixedfx.pls.nesting`), in the notation there and in `mixedfx.glmm.curvature`. All that the rows
contribute are sums over the finest levels: g of the scores, G of the weights, and of the third and fourth derivatives.
With C the covariance of the sums U of the finest levels, leverages are its diagonal c, and

    rho = C (c w'),    b = c w' - G rho,    [Z'V^{-1}Z]_jj = G_j (1 - S_j G_j)    for each level j of each factor.

The second derivatives of `mixedfx.glmm.curvature` that it knows for one factor only are exact here. With
k_j = 1 - 2 S_j G_j + sum_l C_jl^2 G_l^2, the squared length of row j of K, alpha the product of 1 / M along a path,
and tau the sums of w' Ydot over the finest levels,

    Ydot' w'(C o C)w' Ydot = sum over levels j of all factors of (S_j^2 - S_parent^2 / M_j^4) x x', x = sum alpha^2 tau,
    tr(K dSigma_f K' sum w' Ydot z z') = 2 t_f sum over levels j of f of k_j sum alpha^2 tau,
    tr(U dSigma_f U dSigma_g) = 4 t_f t_g sum over levels j of g of k_j sum over levels of f below of alpha^2 G^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.likelihood import Slopes
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import Mode
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.nesting import Tree, TreeFactor

Vector = NDArray[np.float64]
Parts = list[Vector]

LOOSE = 1e-3  # gain from which on gamma stays where it is, as in `mixedfx.glmm.modes`
MOST = 100
SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Point:
    """What one pass over the rows finds; as `mixedfx.glmm.model.Scan`, effects and products by factor."""

    gamma: Vector
    base: Vector
    v: Parts
    value: float
    eta: Vector
    s: Vector
    w: Vector
    g: Vector


@dataclass(frozen=True, eq=False)
class Found:
    """The mode of v: the point, A there, and Z's, the gradient of l and what is left of Newton's method, by factor."""

    at: Point
    factor: TreeFactor
    h: Parts
    gradient: Parts
    step: Parts
    steps: int


class TreeFactorization(Factorization):
    """`Factorization` of the same matrix for whoever needs more of it than products: that is made when it is asked for.

    Parameters
    ----------
    model, w
        The rows, and their weights.
    factor
        The same along the tree.
    T
        The factors of the covariances.
    """

    def __init__(self, model: Model, w: Vector, factor: TreeFactor, T: Parts) -> None:
        self.T, self.logdet = T, factor.logdet
        self._model, self._w, self.factor = model, w, factor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_model" not in self.__dict__ or "second" in self.__dict__:
            raise AttributeError(name)
        super().__init__(self._model.rows.refilled(self._w), self.T)
        return getattr(self, name)

    def release(self) -> None:
        """Forget the inverse, where there is one."""
        if "second" in self.__dict__:
            super().release()

    def solve(self, b: Pair) -> Pair:
        """M^{-1} b along the tree."""
        tree = self.factor.tree
        return pair(tree, self.factor.solve(by_factor(tree, b)))

    def gram(self, b: Pair) -> Pair:
        """Z'Z b along the tree."""
        tree = self.factor.tree
        return pair(tree, tree.upwards(self.factor.G[0] * tree.total(by_factor(tree, b))))


def by_factor(tree: Tree, b: Pair) -> Parts:
    """(r, q_f) of each factor, from a pair."""
    return [b[0][tree.order, 0].T, *(b[1][place].T for place in tree.places)]


def pair(tree: Tree, parts: Parts) -> Pair:
    """A pair, from (r, q_f) or (q_f,) of each factor."""
    wide = [part.reshape(-1, part.shape[-1]).T for part in parts]
    first, second = np.empty((tree.sizes[0], 1, wide[0].shape[1])), np.empty((sum(tree.sizes[1:]), wide[0].shape[1]))
    first[tree.order, 0] = wide[0]
    for place, part in zip(tree.places, wide[1:], strict=True):
        second[place] = part
    return first, second


def predicted(tree: Tree, mode: Mode, beside: Pair, gamma: Vector, t: list[float], phi: Vector) -> Parts:
    """The mode of v expected at other parameters: one solve with the factor that is there."""
    assert isinstance(mode.factorization, TreeFactorization)
    factor = mode.factorization.factor
    v, h = ([part[0] for part in by_factor(tree, b)] for b in (mode.v, mode.h))
    dt = [new - old for new, old in zip(t, factor.t, strict=True)]
    change = np.concatenate([gamma - mode.gamma, phi - mode.phi])
    moved = beside[0][tree.order, 0] @ change
    moved += factor.G[0] * tree.total([d * x for d, x in zip(dt, v, strict=True)])
    slope = [d * own - old * told for d, own, old, told in zip(dt, h, factor.t, tree.upwards(moved), strict=True)]
    return [x + y for x, y in zip(v, factor.solve(slope), strict=True)]


def find(
    model: Model, tree: Tree, gamma: Vector, t: list[float], phi: Vector, v: Parts | None, joint: bool, decrement: float
) -> Found:  # fmt: skip
    """The mode of v as `mixedfx.glmm.modes.find_mode` finds it.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no mode to be found from here.
    """
    base, zero = model.offset + model.Q @ gamma, [np.zeros(q) for q in tree.sizes]
    at = _scan(model, tree, gamma, base, t, phi, zero if v is None else v)
    if not np.isfinite(at.value) and v is not None:
        at = _scan(model, tree, gamma, base, t, phi, zero)
    if not np.isfinite(at.value):
        raise np.linalg.LinAlgError("the response has no density here")
    joint = joint and len(gamma) > 0
    for count in range(MOST):
        h = tree.upwards(at.g)
        slope = [t_f * h_f - v_f for t_f, h_f, v_f in zip(t, h, at.v, strict=True)]
        used = at.w
        try:
            factor = TreeFactor(tree, t, tree.gathered(used))
        except np.linalg.LinAlgError:
            if at.w.min() >= 0.0:
                raise
            used = model.likelihood.information(at.eta, phi)
            factor = TreeFactor(tree, t, tree.gathered(used))
        step = factor.solve(slope)
        gain, move, zq = _dot(slope, step), None, None
        if joint:
            wq = used * model.columns
            zq = tree.gathered(wq)
            S = wq @ model.Q - zq @ factor.means(zq).T
            down = model.columns @ at.s - zq @ tree.total([t_f * x for t_f, x in zip(t, step, strict=True)])
            move = np.asarray(np.linalg.solve(S, down), dtype=np.float64)
            more = float(down @ move)
            if more >= 0.0:
                gain += more
            else:  # the density curves upwards in gamma: it stays
                joint, move = False, None
        if abs(gain) < decrement and used is at.w:
            return Found(at, factor, h, slope, step, count)
        if move is not None and zq is not None:
            beside = factor.solve([t_f * x for t_f, x in zip(t, tree.upwards(move @ zq), strict=True)])
            step = [x - y for x, y in zip(step, beside, strict=True)]
        if not gain >= 0.0:
            raise np.linalg.LinAlgError("the step to the mode is not uphill")
        joint = joint and gain > LOOSE
        at = _searched(model, tree, t, phi, at, move, step)
    raise np.linalg.LinAlgError("the mode was not found")


def _dot(a: Parts, b: Parts) -> float:
    return float(sum(x @ y for x, y in zip(a, b, strict=True)))


def _scan(model: Model, tree: Tree, gamma: Vector, base: Vector, t: list[float], phi: Vector, v: Parts) -> Point:
    eta = base + tree.total([t_f * v_f for t_f, v_f in zip(t, v, strict=True)]).take(tree.codes)
    total, s, w = model.likelihood.scan(eta, phi)
    return Point(gamma, base, v, total - 0.5 * _dot(v, v), eta, s, w, tree.gathered(s))


def _searched(
    model: Model, tree: Tree, t: list[float], phi: Vector, at: Point, move: Vector | None, step: Parts
) -> Point:  # fmt: skip
    """The step, halved until the value does not fall."""
    size = 1.0
    along = None if move is None else model.Q @ move
    while size > SMALLEST:
        gamma = at.gamma if move is None else at.gamma + size * move
        base = at.base if along is None else at.base + size * along
        new = _scan(model, tree, gamma, base, t, phi, [x + size * y for x, y in zip(at.v, step, strict=True)])
        if new.value >= at.value - 1e-9 * abs(at.value):
            return new
        size /= 2.0
    raise np.linalg.LinAlgError("no step gains")


@dataclass(frozen=True, eq=False)
class Slope:
    """Criterion and gradient at a mode, and what second derivatives are made of.

    Attributes
    ----------
    criterion, gradient
        As `mixedfx.glmm.evaluation.Evaluation` has them.
    leverages, third, fourth, Zr
        (n,) as in `mixedfx.glmm.laplace.Pieces`.
    w3
        (q_1,) sums of w'.
    wq
        (p, n) w times the columns of X, orthogonal.
    zq, zs
        (p, q_1) and (a, q_1) sums of these, and of minus the derivative of the score in phi.
    h, b
        Z's and Z'e, by factor.
    Q
        The score of each factor's variance.
    slopes
        Derivatives in phi.
    """

    criterion: float
    gradient: Vector
    leverages: Vector
    third: Vector
    fourth: Vector
    Zr: Vector
    w3: Vector
    wq: Vector
    zq: Vector
    zs: Vector
    h: Parts
    b: Parts
    Q: Vector
    slopes: Slopes


@dataclass(frozen=True, eq=False)
class Average:
    """The positive approximation of the second derivatives, (d, d), and what the full ones add to.

    Attributes
    ----------
    value
        2 Y'V^{-1}Y for gamma, the average information for par.
    u
        (m, q_1) derivatives of the sums U of the finest levels in par, effects held.
    zy, solved
        (d, q_1) sums of W Y over the finest levels, and C times them.
    information
        What is in `value` in place of exact second derivatives in par.
    """

    value: Vector
    u: Vector
    zy: Vector
    solved: Vector
    information: Vector


def slope(model: Model, tree: Tree, found: Found, phi: Vector) -> Slope:
    """Criterion and gradient at a mode."""
    at, factor, t = found.at, found.factor, found.factor.t
    p, m, a = model.sizes
    own, G, S = model.likelihood, factor.G, factor.variances
    third, fourth = own.higher(at.eta, phi)
    w3 = tree.gathered(third)
    told = S[0] * w3
    rho = factor.means(told)
    slopes = own.slopes(at.eta, phi)
    leverages, Zr = S[0].take(tree.codes), rho.take(tree.codes)
    e = third * leverages - at.w * Zr
    h, b = found.h, tree.upwards(told - G[0] * rho)
    Q = np.array([
        G_f.sum() - G_f @ (S_f * G_f) - h_f @ h_f + b_f @ h_f for G_f, S_f, h_f, b_f in zip(G, S, h, b, strict=True)
    ])  # fmt: skip
    left = tree.total([t_f * x for t_f, x in zip(t, found.step, strict=True)])
    criterion = -2.0 * at.value + factor.logdet + float(left @ told) - _dot(found.gradient, found.step)
    gradient = np.empty(p + m + a)
    gradient[:p] = model.columns @ (e - 2.0 * at.s)
    gradient[_places(model)] = 2.0 * Q * np.array(t)
    if a:
        gradient[p + m :] = -2.0 * slopes.own + slopes.weight @ leverages + slopes.score @ Zr
    wq = at.w * model.columns
    zq, zs = tree.gathered(wq), tree.gathered(-slopes.score)
    return Slope(criterion, gradient, leverages, third, fourth, Zr, w3, wq, zq, zs, h, b, Q, slopes)


def _places(model: Model) -> list[int]:
    """Where the standard deviation of each factor stands in psi."""
    return [model.sizes[0] + group.blocks[0].par for group in model.problem.factors]


def average(model: Model, tree: Tree, found: Found, own: Slope, phi: Vector) -> Average:
    """Positive second derivatives at a mode."""
    factor, t = found.factor, found.factor.t
    p, m, a = model.sizes
    d, G, place = p + m + a, factor.G, _places(model)
    theta, at_phi = slice(p, p + m), slice(p + m, d)
    u = np.zeros((m, len(G[0])))
    for f in range(len(t)):
        change = 2.0 * t[f] * own.h[f]
        for g in range(f - 1, -1, -1):
            change = change.take(tree.parents[g])
        u[place[f] - p] = change
    zy = np.concatenate([own.zq, G[0] * u, own.zs])
    solved = factor.means(zy)
    V = np.zeros((d, d))
    V[:p, :p] = own.wq @ model.Q
    V[theta] = u @ zy.T
    if a:
        V[:p, at_phi] = -(model.columns @ own.slopes.score.T)
    V[:, theta], V[at_phi] = V[theta].T, V[:, at_phi].T
    V -= zy @ solved.T
    out = 2.0 * V
    information = -V[theta, theta]
    if p:
        information = information + V[:p, theta].T @ np.linalg.solve(V[:p, :p], V[:p, theta])
    out[theta, theta] += information
    if a:
        bend = model.likelihood.bend(found.at.eta, phi)
        out[at_phi, at_phi] -= 2.0 * bend
        diagonal = np.arange(p + m, d)
        out[diagonal, diagonal] = np.maximum(out[diagonal, diagonal], 0.1 * np.abs(np.diag(bend)))
    out[place, place] += 2.0 * own.Q
    return Average((out + out.T) / 2.0, u, zy, solved, information)


def curvature(model: Model, tree: Tree, found: Found, own: Slope, near: Average) -> Vector:
    """(d, d) second derivatives at a mode, exact but for phi."""
    factor, t = found.factor, found.factor.t
    p, m, _ = model.sizes
    depth, G, place = len(t), factor.G, _places(model)
    theta, at_phi = slice(p, p + m), slice(p + m, None)
    direct = -near.solved
    direct[theta] += near.u
    turned = near.zy - G[0] * near.solved
    direct[at_phi], turned[at_phi] = 0.0, 0.0
    weight = own.fourth * own.leverages - own.third * own.Zr
    weighted = weight * model.columns
    across = tree.gathered(weighted) @ direct.T
    extra = (direct * tree.gathered(weight)) @ direct.T
    extra[:p] += across
    extra[:, :p] += across.T
    extra[:p, :p] += weighted @ model.Q
    tau = own.w3 * direct
    tau[:p] += tree.gathered(own.third * model.columns)
    carried, below = factor.carried(0, tau), tree.upwards(turned)
    for squares, sums in zip(factor.own_squares, carried, strict=True):
        extra -= (sums * squares) @ sums.T
    length, paths = [], []
    for f in range(depth):
        path = factor.carried(f, G[f] ** 2)
        paths.append(path)
        length.append(1.0 - 2.0 * factor.variances[f] * G[f] + factor.squares(f, path))
        mixed = 2.0 * t[f] * (carried[f] @ length[f] - below[f] @ own.b[f])
        extra[place[f]] += mixed
        extra[:, place[f]] += mixed
    extra[theta, theta] -= near.information
    for f in range(depth):
        for g in range(f, depth):
            product = 4.0 * t[f] * t[g] * float(paths[f][g - f] @ length[g])
            extra[place[f], place[g]] -= product
            if g > f:
                extra[place[g], place[f]] -= product
    full = near.value + extra
    return (full + full.T) / 2.0
