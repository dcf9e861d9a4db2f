r"""Random effects of a weighted generalised fit: modes, and what is known of them given the variances.

At the joint mode of all effects of a unit (`nodes.joint_modes`) the log density is that of a normal response

    y*_i = eta_i - offset_i + s_i / W_i  with variance 1 / (w_i W_i),

s and W minus the first and second derivatives of log f, to second order. So modes, their derivatives in beta and their
covariance given beta and theta are those of `mixedfx.surveys.modes` for these responses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.surveys.generalised.maximum import At
from mixedfx.surveys.generalised.nodes import joint_modes
from mixedfx.surveys.generalised.problem import GeneralProblem, Part
from mixedfx.surveys.modes import Modes, modes
from mixedfx.surveys.problem import WeightedProblem, products
from mixedfx.surveys.weights import LevelWeights

Array = NDArray[np.float64]
SMALLEST = 1e-12  # of the largest weight, that one of a row is taken for


def effects_at(
    design: Design, problem: GeneralProblem, at: At, weights: LevelWeights, beta: Array, vcov: Array
) -> Modes:
    """Random effects at estimates, parameters being those of the columns as given."""
    gamma, par, phi = problem.split(at.psi)
    factors = [factor.T[0] for factor in problem.factors(par[None], of_given=True)]
    found = [_working(part, factors, gamma, phi) for part in at.parts]
    y, W = (np.concatenate(each) for each in zip(*found, strict=True))
    root = np.sqrt(W)
    working = WeightedProblem(
        problem.nesting, problem.R, problem.blocks,
        np.column_stack([*problem.columns, problem.Q]) * root[:, None], (y * root)[:, None],
        np.zeros((1, problem.p)), None,
    )  # fmt: skip
    used = problem.used(par[None])[0]
    return modes(design, working, products(working, weights), used, gamma, 1.0, beta, vcov)


def _working(part: Part, factors: list[Array], gamma: Array, phi: Array) -> tuple[Array, Array]:
    """(n,) working responses and weights of the rows of a part."""
    eta = (part.offset + part.Q @ gamma)[None]
    if part.depth:
        top = part.depth - 1
        begin = [np.zeros((1, len(w), len(T))) for w, T in zip(part.units, factors, strict=True)]
        v, _ = joint_modes(part, top, factors, eta, phi, begin)
        for depth, own in enumerate(v):
            eta = eta + np.einsum("nk,pnk->pn", part.columns[depth] @ factors[depth], own[:, part.unit_of_row[depth]])
    s, h = part.responses.derivatives(eta, phi)
    W = -h[0]
    if (W <= 0.0).any():
        W = np.where(W > 0.0, W, part.responses.information(eta, phi)[0])
    W = np.maximum(W, SMALLEST * max(float(W.max()), 1e-300))
    return eta[0] - part.offset + s[0] / W, W
