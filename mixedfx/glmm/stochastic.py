r"""Laplace's criterion of a model that is solved by iteration: gradients probe by probe, average second derivatives.

In the notation of `mixedfx.glmm.laplace`, with Ydot the total derivatives of eta in the parameters, those through the
mode included (`mixedfx.glmm.curvature`), the derivative of D = -2 l + log|A| in a parameter is

    -2 dl + tr(dT' sum over levels of [Z'V^{-1}Z]_jj T) 2 + sum_i (w'_i Ydot_i + w_phi,i) c_i,

the first and the second with the parameter's own dT, dl that of the log density at the mode, which is stationary in the
random effects. The traces and the leverages c are what signs estimate (`mixedfx.pls.reweighted`); everything else is
solved for. The last sum is linear in c, so that every probe gives a gradient of its own, and the spread of these is the
Monte Carlo covariance of their mean. Z't, t = w' c, and the solve r with it, enter the second derivatives only, with
the mean over all probes. The criterion itself takes log|A| by quadrature, where it is asked for (`with_criterion`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.curvature import average, directions
from mixedfx.glmm.derivatives import Formed
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.model import Model, inner, plus
from mixedfx.glmm.modes import DECREMENT, find_mode
from mixedfx.pls.factorization import Pair
from mixedfx.pls.reweighted import Pull, ReweightedFactorization

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class StochasticEvaluation(Evaluation):
    """The score of Laplace's criterion at one point, estimated; `criterion` is NaN until it is asked for.

    Attributes
    ----------
    noise
        (d, d) Monte Carlo covariance of `gradient`.
    probes
        Number of probes it rests on.
    known
        The criterion without log|A|.
    """

    noise: Vector
    probes: int
    known: float

    @property
    def factorization(self) -> ReweightedFactorization:
        """A."""
        assert isinstance(self.mode.factorization, ReweightedFactorization)
        return self.mode.factorization

    @property
    def rough(self) -> float:
        """The criterion with the determinant of the blocks of A: off by what changes little from point to point."""
        return self.known + self.factorization.logdet_blocks


def evaluate_by_probes(
    model: Model, psi: Vector, probes: int, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT
) -> StochasticEvaluation:
    """Gradient and average second derivatives at psi (d,), the mode sought from `v`; arguments as in `evaluate`.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is no mode.
    IterativeSolverError
        If conjugate gradients do not come to an end.
    """
    (p, _, a), (gamma, par, phi) = model.sizes, model.split(psi)
    T = model.problem.matrices(par)
    mode = find_mode(model, gamma, T, phi, v, joint, decrement)
    at = mode.factorization
    assert isinstance(at, ReweightedFactorization)
    slopes, third = model.likelihood.slopes(mode.eta, phi), model.higher(mode.eta, phi)[0]
    moves = directions(model, mode, par, slopes.score)
    found = at.probed(0, probes, Pull(third, model.Q, moves.direct, slopes.weight))
    zt = model.rows.score_products(third * found.leverages)
    r = at.solve(model.scaled(T, zt, transposed=True))
    b = plus(zt, at.gram(model.scaled(T, r)), -1.0)

    gradients = found.sums.copy()
    gradients[:, :p] -= 2.0 * (model.Q.T @ mode.s)
    if a:
        gradients[:, -a:] -= 2.0 * slopes.own
    Q, QT = [], []
    parts = zip(model.by_factor(mode.h), model.by_factor(b), model.problem.directions(par), strict=True)
    for f, (h_f, b_f, (where, dT)) in enumerate(parts):
        hf, bf = h_f[:, :, 0], b_f[:, :, 0]
        cross, own = bf.T @ hf, hf.T @ hf
        if len(where):
            direct = found.traces.scaled[f] - own @ T[f]
            gradients[:, p + where] += 2.0 * (direct.reshape(probes, -1) @ dT.reshape(len(where), -1).T)
        rest = (cross + cross.T) / 2.0 - own
        Q.append(found.traces.plain[f].mean(axis=0) + rest)
        QT.append(found.traces.scaled[f].mean(axis=0) + rest @ T[f])
    near = average(model, mode, par, moves.V, Q, QT)[0]
    d = len(psi)
    noise = np.atleast_2d(np.cov(gradients.T)) / probes if probes > 1 else np.full((d, d), np.nan)
    known = -2.0 * mode.value + inner(mode.gradient, plus(r, mode.step, -1.0))
    return StochasticEvaluation(
        np.concatenate([mode.gamma, par, phi]), np.nan, gradients.mean(axis=0), Formed(near, near), mode, moves.beside,
        False, noise, probes, known,
    )  # fmt: skip


def with_criterion(at: StochasticEvaluation, log_determinants: Vector) -> StochasticEvaluation:
    """The evaluation with its criterion, from estimates of log|A|."""
    return replace(at, criterion=at.known + float(log_determinants.mean()))
