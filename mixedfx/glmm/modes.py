r"""The mode of the random effects given the parameters, by Newton's method on the blocks (penalised reweighting).

With s and w the derivative and minus the second derivative of log f in eta, at v

    l(v) = sum log f(y | eta) - v'v / 2,    g = Lambda'Z's - v,    A = Lambda'Z'W Z Lambda + I,

and the step is A^{-1} g, halved until l does not fall. The decrement g'A^{-1}g, twice the gain that the step promises,
certifies convergence. Weights are the observed ones, so that A is the curvature that Laplace's approximation asks for.
Where log f is not concave (cauchit, student) single weights may be negative; where A then is not positive definite the
step takes the expected information, and only at the mode must A itself be.

`joint` begins with steps in (gamma, v) together: the maximum of l over both, which is near the maximum likelihood
estimate of gamma for given covariances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.model import Model, Scan, inner, plus, products
from mixedfx.pls.factorization import Factorization, Pair

Vector = NDArray[np.float64]

DECREMENT = 1e-10  # what is left enters the criterion to first order
LOOSE = 1e-3  # gain from which on gamma stays where it is
MOST = 100  # Newton steps
ITERATIONS = 8  # of the inverse iteration, each a power of the ratio of the smallest eigenvalues
SMALLEST = 1e-6  # share of a step below which there is no step that gains


@dataclass(frozen=True)
class Mode:
    """Random effects at their mode, or within its decrement.

    Attributes
    ----------
    gamma, phi, T, v
        Where it is.
    eta, s, w
        (n,) linear predictor, score and weight of each row.
    value
        l(v).
    h, gradient
        Z's, and g.
    step
        A^{-1} g: what is left of Newton's method.
    factorization
        A.
    steps
        Newton steps that were taken.
    """

    gamma: Vector
    phi: Vector
    T: list[Vector]
    v: Pair
    eta: Vector
    s: Vector
    w: Vector
    value: float
    h: Pair
    gradient: Pair
    step: Pair
    factorization: Factorization
    steps: int


def find_mode(
    model: Model, gamma: Vector, T: list[Vector], phi: Vector, v: Pair | None = None, joint: bool = False,
    decrement: float = DECREMENT,
) -> Mode:  # fmt: skip
    """The mode of v, from `v` (zero where None); with `joint` gamma is moved first.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no mode to be found from here: a start without density, or curvature that stays negative.
    """
    at = model.scan(gamma, T, phi, model.zero() if v is None else v)
    if not np.isfinite(at.value) and v is not None:
        at = model.scan(gamma, T, phi, model.zero())
    if not np.isfinite(at.value):
        raise np.linalg.LinAlgError("the response has no density here")
    joint = joint and len(gamma) > 0
    for count in range(MOST):
        g = plus(model.scaled(T, at.h, transposed=True), at.v, -1.0)
        factorization, observed = _factorized(model, at, phi, T)
        step = factorization.newton_step(g)
        gain, move, own = inner(g, step), None, step
        if joint:
            used = at.w if observed else model.likelihood.information(at.eta, phi)
            move, step, gain = _joint_step(model, factorization, T, used, at.s, g, step)
            if gain < 0.0:  # the density curves upwards in gamma: it stays
                joint, move, step, gain = False, None, own, inner(g, own)
        if abs(gain) < decrement and observed:
            return Mode(at.gamma, phi, T, at.v, at.eta, at.s, at.w, at.value, at.h, g, own, factorization, count)
        if not gain >= 0.0:
            raise np.linalg.LinAlgError("the step to the mode is not uphill")
        joint = joint and gain > LOOSE
        at = _searched(model, T, phi, at, move, step)
    raise np.linalg.LinAlgError("the mode was not found")


def _factorized(model: Model, at: Scan, phi: Vector, T: list[Vector]) -> tuple[Factorization, bool]:
    """A with the observed weights, or where that is not positive definite with the expected ones."""
    try:
        return model.rows.factorized(at.w, at.blocks, T), True
    except np.linalg.LinAlgError:
        if at.w.min() >= 0.0:
            raise
    return model.rows.factorized(model.likelihood.information(at.eta, phi), None, T), False


def _joint_step(
    model: Model, factorization: Factorization, T: list[Vector], w: Vector, s: Vector, g: Pair, step: Pair
) -> tuple[Vector, Pair, float]:  # fmt: skip
    """Newton's step of (gamma, v), and its decrement."""
    QWQ, zq = model.rows.column_products(w, model.Q)
    zq = model.scaled(T, zq, transposed=True)
    solved = factorization.newton_step(zq)
    S = QWQ - products(zq, solved)
    slope = model.Q.T @ s - products(zq, step)[:, 0]
    move = np.asarray(np.linalg.solve(S, slope), dtype=np.float64)
    together = plus(step, (solved[0] @ move[:, None], solved[1] @ move[:, None]), -1.0)
    return move, together, float(slope @ move) + inner(g, step)


def _searched(model: Model, T: list[Vector], phi: Vector, at: Scan, move: Vector | None, step: Pair) -> Scan:
    """The step, halved until the value does not fall."""
    size = 1.0
    while size > SMALLEST:
        gamma = at.gamma if move is None else at.gamma + size * move
        new = model.scan(gamma, T, phi, plus(at.v, step, size))
        if new.value >= at.value - 1e-9 * abs(at.value):
            return new
        size /= 2.0
    raise np.linalg.LinAlgError("no step gains")


def flattest(model: Model, mode: Mode) -> float:
    """The smallest eigenvalue of A, at least one where the density is log-concave, by inverse iteration."""
    rng = np.random.default_rng(0)
    v, size = model.zero(), 1.0
    v = rng.standard_normal(v[0].shape), rng.standard_normal(v[1].shape)
    for _ in range(ITERATIONS):
        solved = mode.factorization.solve(v)
        size = float(np.sqrt(inner(solved, solved) / inner(v, v)))
        v = solved[0] / size, solved[1] / size
    return 1.0 / size
