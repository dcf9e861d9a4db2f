r"""Where the nodes of each unit's integral are: about the mode of its effects, as wide as the curvature there says.

At the linear predictors eta of everything above a level, the effects v of its units, and of the units within them, have
the joint log density (weights w of the members as in `mixedfx.surveys.recursion`)

    l(v) = sum_j w_j { sum_i w_i log f(y_i | eta_i) - v_j'v_j / 2 } - v'v / 2.

Its mode is found by Newton's method, unit by unit: a level with curvature A = I + T'Z'WZT of its own effects and
gradient b is eliminated, what is left of the curvature and the gradient of the levels above being
H - B'A^{-1}B and g - B'A^{-1}b, times the weight of the unit. The nodes of the unit are v-hat + L x (Pinheiro & Bates
1995, JCGS 4:12), x those of Gauss and Hermite's rule for the normal distribution and L L' = A^{-1}; those of a lower
level are placed anew at every node of the levels above (Rabe-Hesketh, Skrondal & Pickles 2005, Journal of Econometrics
128:301, who take moments instead).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.halving import halved
from mixedfx.surveys.generalised.problem import Part

Array = NDArray[np.float64]
MOST, HALVINGS = 80, 40  # Newton steps to the modes, and halvings of one
DECREMENT = 1e-11  # g'A^{-1}g of a unit, at which its mode is found


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes of the standard normal distribution in k directions.

    Attributes
    ----------
    x, logs
        (N, k) nodes, and (N,) logarithms of their weights plus x'x / 2.
    """

    x: Array
    logs: Array

    @staticmethod
    def of(count: int, k: int) -> Rule:
        """The product of Gauss and Hermite's rule with `count` nodes in each direction.

        Examples
        --------
        >>> from mixedfx.surveys.generalised.nodes import Rule
        >>> Rule.of(3, 2).x.shape
        (9, 2)
        """
        x, w = np.polynomial.hermite_e.hermegauss(count)
        grid = np.stack([one.ravel() for one in np.meshgrid(*[x] * k, indexing="ij")], axis=1)
        logs = sum(one.ravel() for one in np.meshgrid(*[np.log(w / w.sum())] * k, indexing="ij"))
        return Rule(grid, logs + 0.5 * (grid**2).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of the units of one level.

    Attributes
    ----------
    mode
        (P, U, k) where they are centred, at each of the P nodes of the levels above.
    v
        (P, N, U, k) nodes, standardised.
    logs
        (P, N, U) what is added to the logarithm of a term of the sum.
    """

    mode: Array
    v: Array
    logs: Array


def shifted(part: Part, depth: int, T: Array, eta: Array, v: Array) -> Array:
    """(P N, n) linear predictors with the effects v (P, N, U, k) of one level added to eta (P, n)."""
    u, z = v @ T.T, part.columns[depth]
    out = np.repeat(eta, v.shape[1], axis=0).reshape(*v.shape[:2], -1)
    for k in range(len(T)):
        out += u[:, :, part.unit_of_row[depth], k] * z[:, k]
    return out.reshape(-1, eta.shape[1])


def place(
    part: Part, factors: list[Array], gamma: Array, phi: Array, rules: list[Rule], begin: list[Nodes] | None = None
) -> list[Nodes]:
    """Nodes of all levels of a part, finest first.

    Parameters
    ----------
    part
        The units.
    factors
        For each level its (k, k) factor T.
    gamma, phi
        (p,) and (a,).
    rules
        For each level its rule.
    begin
        Nodes near which modes are looked for.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there are none.
    """
    found: list[Nodes] = []
    eta = (part.offset + part.Q @ gamma)[None]
    v = [np.zeros((1, len(w), len(T))) for w, T in zip(part.units, factors, strict=True)]
    if begin is not None:
        v = [one.mode[len(one.mode) // 2][None] for one in begin]
    for depth in range(part.depth - 1, -1, -1):
        v, L = joint_modes(part, depth, factors, eta, phi, v)
        mode, rule = v[depth], rules[depth]
        nodes = mode[:, None] + np.einsum("puab,xb->pxua", L, rule.x)
        scale = np.log(np.abs(np.diagonal(L, axis1=2, axis2=3))).sum(axis=2)
        logs = rule.logs[:, None] - 0.5 * (nodes**2).sum(axis=3) + scale[:, None]
        found.insert(0, Nodes(mode, nodes, logs))
        eta = shifted(part, depth, factors[depth], eta, nodes)
        v = [np.repeat(one, len(rule.x), axis=0) for one in v[:depth]]
    return found


def joint_modes(
    part: Part, depth: int, factors: list[Array], eta: Array, phi: Array, v: list[Array]
) -> tuple[list[Array], Array]:
    """Modes (P, U, k) of the levels up to one at linear predictors (P, n) of the others, and L (P, U, k, k) of that."""
    columns = [part.columns[d] @ factors[d] for d in range(depth + 1)]
    starts = [part.starts[d] for d in range(depth + 1)]

    def value(v: list[Array]) -> tuple[Array, Array]:
        lin = eta
        for d, z in enumerate(columns):
            lin = lin + np.einsum("nk,pnk->pn", z, v[d][:, part.unit_of_row[d]])
        total = np.add.reduceat(part.rows * part.responses.log_density(lin, phi), starts[0], axis=1)
        for d in range(depth + 1):
            total = total - 0.5 * (v[d] ** 2).sum(axis=2)
            if d < depth:
                total = np.add.reduceat(total * part.units[d], starts[d + 1], axis=1)
        return lin, np.where(np.isnan(total), -np.inf, total)

    lin, at = value(v)
    if not np.isfinite(at).all():
        v = [np.zeros_like(one) for one in v]
        lin, at = value(v)
        if not np.isfinite(at).all():
            raise np.linalg.LinAlgError("the response has no density here")
    for _ in range(MOST):
        s, h = part.responses.derivatives(lin, phi)
        observed = True
        try:
            step, decrement, L = _newton(part, depth, columns, part.rows * s, -part.rows * h, v)
        except np.linalg.LinAlgError:
            observed, information = False, part.rows * part.responses.information(lin, phi)
            step, decrement, L = _newton(part, depth, columns, part.rows * s, information, v)
        if observed and decrement.max(initial=0.0) < DECREMENT:
            return v, L

        def move(size: Array, v: list[Array] = v, step: list[Array] = step) -> list[Array]:
            return [one + _of_top(part, depth, d, size)[:, :, None] * own for d, (one, own) in
                    enumerate(zip(v, step, strict=True))]  # fmt: skip

        v, lin, at = halved(move, value, at, HALVINGS)
    raise np.linalg.LinAlgError("the modes of the units were not found")


def _of_top(part: Part, depth: int, lower: int, values: Array) -> Array:
    """(P, U) of the units of a lower level, from (P, U) of those that they lie in."""
    if lower == depth:
        return values
    return values[:, part.unit_of_row[depth][first_rows(part, lower)]]


def first_rows(part: Part, depth: int) -> NDArray[np.intp]:
    """(U,) first row of each unit of a level."""
    rows = part.starts[0]
    for d in range(1, depth + 1):
        rows = rows[part.starts[d]]
    return rows


def _newton(
    part: Part, depth: int, columns: list[Array], s: Array, W: Array, v: list[Array]
) -> tuple[list[Array], Array, Array]:
    """Newton steps (P, U, k) of all levels, g'A^{-1}g of the units of the last (P, U), and its L (P, U, k, k)."""
    C = np.concatenate(columns, axis=1)
    K = C.shape[1]
    P, starts = len(s), part.starts
    H = np.empty((P, len(starts[0]), K, K))
    g = np.empty((P, len(starts[0]), K))
    for a in range(K):
        g[:, :, a] = np.add.reduceat(s * C[:, a], starts[0], axis=1)
        for b in range(a, K):
            H[:, :, a, b] = H[:, :, b, a] = np.add.reduceat(W * (C[:, a] * C[:, b]), starts[0], axis=1)
    left: list[tuple[NDArray[Any], NDArray[Any]]] = []
    decrement = np.zeros(H.shape[:2])
    root = np.zeros((0, 0))
    for d in range(depth + 1):
        k = columns[d].shape[1]
        A = H[:, :, :k, :k] + np.eye(k)
        b = g[:, :, :k] - v[d]
        root = np.linalg.cholesky(A)
        inverse = np.linalg.inv(root)
        X = inverse @ H[:, :, :k, k:]
        e = np.einsum("puab,pub->pua", inverse, b)
        decrement = decrement + (e**2).sum(axis=2)
        left.append((inverse, np.concatenate([e[..., None], X], axis=3)))
        if d < depth:
            w = part.units[d]
            H = np.add.reduceat((H[:, :, k:, k:] - X.swapaxes(2, 3) @ X) * w[:, None, None], starts[d + 1], axis=1)
            g = np.add.reduceat((g[:, :, k:] - np.einsum("puka,puk->pua", X, e)) * w[:, None], starts[d + 1], axis=1)
            decrement = np.add.reduceat(decrement * w, starts[d + 1], axis=1)
    steps: list[Array] = []
    for d in range(depth, -1, -1):
        inverse, eX = left[d]
        rest = eX[..., 0]
        at = 1
        for upper, own in zip(range(d + 1, depth + 1), steps, strict=True):
            k = own.shape[2]
            rest = rest - np.einsum("puab,pub->pua", eX[..., at : at + k], _spread(part, d, upper, own))
            at += k
        steps.insert(0, np.einsum("puba,pub->pua", inverse, rest))
    L = left[depth][0].swapaxes(2, 3)  # A = C C', so that C'^{-1} is a root of A^{-1}
    return steps, decrement, L


def _spread(part: Part, lower: int, upper: int, values: Array) -> Array:
    """(P, U, k) of the units of a lower level, from those of the units that they lie in."""
    return values[:, part.unit_of_row[upper][first_rows(part, lower)]]
