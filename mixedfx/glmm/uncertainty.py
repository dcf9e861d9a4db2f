"""What a generalised linear mixed model does not know: nodes of theta, and the estimates and draws that rest on them.

They cost something and are worked out when they are first asked for, once for each fit and all its views.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.errors import ThetaUncertaintyWarning, check_count, check_seed, outside
from mixedfx.glmm.rows import auxiliary_draws
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.hypotheses import Constant, Reference
from mixedfx.inference.normal_estimate import NormalEstimate, estimate
from mixedfx.results import tables
from mixedfx.results.protocol import JointSample, Uncertainty
from mixedfx.results.undetermined import Undetermined, determined

if TYPE_CHECKING:
    from mixedfx.glmm.theta_nodes import GlmmNodes
    from mixedfx.inference.full_estimate import FullEstimate

Array = NDArray[np.float64]

ALL_INCLUDED = (
    "That theta is estimated is included. Numbers of fixed effects alone: z, as in tidy(). Numbers with random "
    "effects: averages over fixed nodes of theta, weighted by the approximate likelihood and a weak prior."
)
NO_GROUPS = "z, from the second derivatives of the likelihood, as in tidy(); there are no random effects."
THETA_GIVEN = (
    "Given the estimated variances: the uncertainty of the fixed effects, the random effects and unseen levels is "
    "included, that of theta in the fixed effects only."
)
BY_ITERATION = (
    "Given the estimated variances, of an iterative fit: the uncertainty of the fixed effects, the random effects and "
    "unseen levels is included, that of theta in the fixed effects only, and the Monte Carlo error is left out."
)


def in_words(design: Design, answers: Uncertainty | None, iterative: bool = False) -> str:
    """What intervals include and what they leave out, for a fit that was asked to answer with `answers`."""
    if not design.random:
        return NO_GROUPS
    if iterative:
        return BY_ITERATION
    return ALL_INCLUDED if answers == "full" else THETA_GIVEN


@dataclass(frozen=True, eq=False)
class GlmmUncertain:
    """The uncertainty of one fit.

    Attributes
    ----------
    design, solution
        The fit.
    """

    design: Design
    solution: GlmmSolution

    @property
    def iterative(self) -> bool:
        """Whether the fit was solved by iteration: then theta is taken as known."""
        return self.solution.iterative

    def includes_theta(self, answers: Uncertainty | None) -> bool:
        """Whether answers that were asked for with `answers` include that theta is estimated."""
        return answers == "full" and bool(self.design.random) and not self.iterative

    @cached_property
    def nodes(self) -> GlmmNodes:
        """Nodes of theta and the auxiliary parameters."""
        from mixedfx.glmm.theta_nodes import theta_nodes

        return theta_nodes(self.solution)

    def told_nodes(self) -> GlmmNodes:
        """The nodes, with a warning where they are not what they should be."""
        if not self.nodes.trusted:
            warnings.warn(self.nodes.caveat, ThetaUncertaintyWarning, stacklevel=outside())
        return self.nodes

    def apply(
        self, functional: Functional, answers: Uncertainty | None
    ) -> NormalEstimate | FullEstimate | Undetermined:
        """Estimate linear functionals of (beta, u); see `GlmerFit.apply`."""
        full = self.includes_theta(answers)
        return determined(self.full(functional) if full else self.given_theta(functional), functional)

    def given_theta(self, functional: Functional) -> NormalEstimate:
        """Linear functionals, theta at its estimate."""
        found = self.solution
        return estimate(functional, found.beta, found.u, found.factors, 1.0, found.joint)

    def full(self, functional: Functional, *, fixed: bool = True, random: bool = True) -> FullEstimate:
        """Linear functionals with the uncertainty of theta; `fixed` and `random` as `FullEstimate` has them."""
        from mixedfx.inference.full_estimate import FullEstimate

        found = self.solution
        mean = functional.fixed @ found.beta + functional.random @ found.u + functional.offset
        return FullEstimate(functional, mean, self._reference, self.told_nodes, fixed=fixed, random=random)

    def _reference(self) -> Reference:
        return Constant(self.solution.vcov, np.inf)

    def sample(
        self, n: int, rng: np.random.Generator, answers: Uncertainty | None, about_estimate: bool = True
    ) -> JointSample:  # fmt: skip
        """Joint draws of all that is not known.

        Parameters
        ----------
        n, rng
            How many, from which generator.
        answers
            ``"full"``: theta and auxiliary parameters too; else at their estimates.
        about_estimate
            Whether draws of (beta, u) are moved to the estimates, as `mixedfx.inference.full_estimate` says. Averages
            over the population need beta and theta of one node as they are: the mean response of a population hardly
            changes where both grow together, and does where one of them is moved.
        """
        found = self.solution
        if not self.includes_theta(answers):
            beta, u = found.joint.draw(n, rng)
            natural = np.tile(np.array([*found.auxiliary.values()], dtype=np.float64), (n, 1))
            factors = tuple(factor[None] for factor in found.factors)
            return JointSample(beta, u, factors, auxiliary_draws(found, natural=natural), natural)
        nodes = self.told_nodes()
        chosen = nodes.choose(n, rng)
        beta, u = nodes.effects(chosen, rng)
        if about_estimate:
            push = 1.0 + rng.standard_normal((n, 1))
            means = nodes.mean_effects
            beta, u = beta + push * (found.beta - means[0]), u + push * (found.u - means[1])
        natural = nodes.auxiliary[chosen]
        auxiliary = auxiliary_draws(found, natural=natural)
        return JointSample(beta, u, tuple(F[chosen] for F in nodes.factors), auxiliary, natural)

    def draws(self, n: int | None, seed: int | None, answers: Uncertainty | None) -> Draws:
        """Joint draws of (beta, u) and the auxiliary parameters; see `GlmerFit.draws`."""
        n = 1000 if n is None else n
        check_count("n", n)
        check_seed(seed)
        found = self.sample(n, np.random.default_rng(seed), answers)
        keys = (*tables.draw_keys(self.design), *self.solution.model.likelihood.parameters.keys)
        assert found.estimated is not None
        values = np.concatenate([found.beta, found.u, found.estimated], axis=1)
        return Draws(keys, values[None], in_words(self.design, answers, self.iterative))
