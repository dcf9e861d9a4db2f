r"""The joint distribution of fixed and random effects around their estimates.

Given (gamma, par, phi) the random effects have, in Laplace's approximation, the covariance A^{-1} about their mode, and
the mode moves with gamma by -A^{-1} Lambda'Z'WQ: the equations of `mixedfx.pls.joint.Joint` with sigma = 1 and weighted
products. The covariance of gamma is that of its maximum likelihood estimate, from the second derivatives of the whole
criterion, so that functionals of the fixed effects alone have the standard errors of `GlmerFit.tidy`. That is so where
the criterion is one of quadrature, too: with several grouping factors the effects of the second level are then at the
mode of what the first factor's integrals leave, those of the first factor at theirs given them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.model import Model, products
from mixedfx.glmm.modes import Mode
from mixedfx.pls.evaluate import Evaluation
from mixedfx.pls.joint import Joint

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ModeJoint(Joint):
    """`Joint` about a mode.

    Attributes
    ----------
    mode
        The estimates.
    """

    mode: Mode

    @cached_property
    def beta(self) -> Vector:
        """(p,) fixed effects."""
        return self._unrotate(self.mode.gamma[:, None])[:, 0]

    @cached_property
    def u(self) -> Vector:
        """(q,) conditional modes, ordered as the design orders them."""
        return self._to_design(self.mode.factorization.scale(self.mode.v))[:, 0]


def mode_joint(
    model: Model, mode: Mode, criterion: float, par: Vector, precision: Vector | None, kind: type[ModeJoint] = ModeJoint
) -> ModeJoint:
    """The joint distribution; `precision` (p, p) is that of gamma, given the rest where None."""
    QWQ, zq = model.rows.column_products(mode.w, model.Q)
    scaled = model.scaled(mode.T, zq, transposed=True)
    S = QWQ - products(scaled, mode.factorization.solve(scaled))
    if precision is not None:
        S = precision
    blank = [np.zeros((*part.shape[:-1], 1)) for part in zq]
    zw1, zw2 = (np.concatenate([part, none], axis=-1) for part, none in zip(zq, blank, strict=True))
    weighted = mode.factorization.problem
    problem = replace(model.problem, gram1=weighted.gram1, coupling=weighted.coupling, zw1=zw1, zw2=zw2)
    at = Evaluation(par, criterion, None, None, None, 1.0, mode.gamma, S, 0.0, mode.factorization)
    return kind(model.design, problem, at, mode)
