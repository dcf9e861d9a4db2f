r"""Minimisers of quadratic models within a radius of trust.

The minimiser of g's + s'Hs / 2 with |s| at most the radius is found exactly from the eigenvalues of H (Moré & Sorensen
1983, SIAM Journal on Scientific and Statistical Computing 4:553), so that negative curvature, as at a saddle, is
followed downhill.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def next_radius(radius: float, ratio: float, length: float) -> float:
    """Radius of trust after a step of some length whose gain was `ratio` times what the model promised.

    Poor models are trusted less far than the step went, good ones twice as far where the radius had held the step.

    Examples
    --------
    >>> from mixedfx.linalg.trust_region import next_radius
    >>> next_radius(1.0, 0.1, 0.8), next_radius(1.0, 0.9, 1.0), next_radius(1.0, 0.9, 0.2)
    (0.2, 2.0, 1.0)
    """
    if ratio < 0.25:
        return 0.25 * length
    return 2.0 * radius if ratio > 0.75 and length > 0.9 * radius else radius


def next_radii(radius: Vector, ratio: Vector, length: Vector) -> Vector:
    """The same of many searches: (B,) each."""
    grown = np.where((ratio > 0.75) & (length > 0.9 * radius), 2.0, 1.0) * radius
    return np.where(ratio < 0.25, 0.25 * length, grown)


def with_secant(learnt: Vector, rest: Vector, step: Vector, least: float) -> Vector:
    """(r, r) what was learnt of second derivatives, with the symmetric matrix of rank one that a step (r,) shows.

    `rest` (r,) is the change of the gradient less what is known of it. Where its product with the step is not above
    `least` in size it may be rounding, and nothing is learnt.
    """
    along = float(rest @ step)
    return learnt + np.outer(rest, rest) / along if abs(along) > least else learnt


def trust_region_step(gradient: Vector, information: Vector, radius: float) -> tuple[Vector, float]:
    """Minimiser (r,) of g's + s'Hs / 2 within the radius, and the decrease it predicts.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.trust_region import trust_region_step
    >>> step, decrease = trust_region_step(np.array([2.0, 0.0]), np.diag([1.0, -1.0]), 4.0)
    >>> np.round(np.abs(step), 6), round(float(decrease), 6)
    (array([1.      , 3.872983]), 9.0)
    """
    return step_within(gradient, *np.linalg.eigh(information), radius)


def step_within(gradient: Vector, values: Vector, vectors: Vector, radius: float) -> tuple[Vector, float]:
    """The same from eigenvalues (r,) and eigenvectors (r, r) of the information."""
    if len(values) and values[0] > _tiny(values):
        g = gradient @ vectors
        s = g / values
        if s @ s <= radius * radius:
            return vectors @ -s, float(g @ s) / 2.0
    step, decrease = steps_within(gradient[None], values[None], vectors[None], np.array([radius]))
    return step[0], float(decrease[0])


def _tiny(values: Vector) -> Vector:
    """Eigenvalues (..., r) below this (...) are not above zero for certain."""
    return 1e-12 * np.maximum(1.0, np.abs(values).max(axis=-1))


def trust_region_steps(gradient: Vector, information: Vector, radius: Vector) -> tuple[Vector, Vector]:
    """Steps (B, r) and predicted decreases (B,) of B quadratic models, each within its radius.

    Where the Newton step is not downhill or too long, the shift of the eigenvalues solves |s(shift)| = radius by
    Newton's method on 1 / |s|, which is nearly linear in the shift and converges monotonely from the left (Conn,
    Gould & Toint 2000, section 7.3).

    Parameters
    ----------
    gradient, information, radius
        (B, r), (B, r, r) and (B,).
    """
    return steps_within(gradient, *np.linalg.eigh(information), radius)


def steps_within(gradient: Vector, values: Vector, vectors: Vector, radius: Vector) -> tuple[Vector, Vector]:
    """The same from eigenvalues (B, r) and eigenvectors (B, r, r) of the information."""
    g = np.einsum("bij,bi->bj", vectors, gradient)
    smallest = values[:, 0]
    tiny = _tiny(values)
    downhill = smallest > tiny
    shift = np.where(downhill, 0.0, np.maximum(0.0, -smallest) + tiny)
    s = -g / (values + shift[:, None])
    length = np.linalg.norm(s, axis=1)
    hard = ~downhill & (length < radius)
    for b in np.flatnonzero(hard):  # go on along the most negative direction
        rest = np.sqrt(max(radius[b] ** 2 - s[b, 1:] @ s[b, 1:], 0.0))
        s[b, 0] = np.copysign(rest, -g[b, 0] if g[b, 0] != 0.0 else 1.0)
    cut = np.flatnonzero(~hard & (length > radius))
    for _ in range(60):
        if len(cut) == 0:
            break
        shifted = values[cut] + shift[cut, None]
        slope = (s[cut] ** 2 / shifted).sum(axis=1)
        shift[cut] += length[cut] ** 2 / slope * (length[cut] - radius[cut]) / radius[cut]
        s[cut] = -g[cut] / (values[cut] + shift[cut, None])
        length[cut] = np.linalg.norm(s[cut], axis=1)
        cut = cut[length[cut] > radius[cut] * (1.0 + 1e-10)]
    decrease = -(g * s + 0.5 * values * s**2).sum(axis=1)
    return np.einsum("bij,bj->bi", vectors, s), decrease
