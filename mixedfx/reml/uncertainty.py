"""What a REML fit does not know: degrees of freedom of fixed effects, nodes of theta and sigma, and what rests on them.

Both cost something and are worked out when they are first asked for, once for each fit and all its views.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.errors import ThetaUncertaintyWarning, check_count, check_seed, outside
from mixedfx.inference.degrees_of_freedom import Ddf, find_ddf
from mixedfx.inference.hypotheses import Reference
from mixedfx.inference.normal_estimate import NormalEstimate, estimate
from mixedfx.reml import testing
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution
from mixedfx.reml.testing import Vcov
from mixedfx.results import tables
from mixedfx.results.protocol import Uncertainty
from mixedfx.results.undetermined import determined

if TYPE_CHECKING:
    from mixedfx.inference.full_estimate import FullEstimate
    from mixedfx.reml.theta_nodes import ThetaNodes

Array = NDArray[np.float64]

ALL_INCLUDED = (
    "That theta and sigma are estimated is included. Numbers of fixed effects alone: t with Satterthwaite's degrees of "
    "freedom, as in tidy() and emmeans(). Numbers with random effects: averages over fixed nodes of theta and sigma, "
    "weighted by the restricted likelihood and a weak prior."
)
EXACT_T = "t with n - p degrees of freedom, as in tidy(): exact, as there are no random effects."
BY_ITERATION = (
    "Given the estimated variances, of an iterative fit: the uncertainty of the fixed effects, the random effects and "
    "unseen levels is included, that of theta and sigma is left out, and so is their Monte Carlo error."
)
THETA_GIVEN = (
    "Given the estimated variances: the uncertainty of the fixed effects, the random effects and unseen levels is "
    "included, that of theta and sigma is left out."
)


def in_words(design: Design, answers: Uncertainty | None, iterative: bool = False) -> str:
    """What intervals include and what they leave out, for a fit that was asked to answer with `answers`."""
    if iterative:
        return BY_ITERATION
    if answers == "given theta":
        return THETA_GIVEN
    return ALL_INCLUDED if design.random else EXACT_T


@dataclass(frozen=True, eq=False)
class Uncertain:
    """The uncertainty of one fit.

    Attributes
    ----------
    design, solution
        The fit.
    """

    design: Design
    solution: Solution

    @cached_property
    def references(self) -> dict[str, Reference]:
        """Kind of degrees of freedom -> what has been computed for it."""
        return {}

    def reference(self, ddf: Ddf | None = "satterthwaite", vcov: Vcov | None = None) -> Reference:
        """Covariance of the fixed effects with its degrees of freedom; see `LmerFit.reference`."""
        if vcov is not None or ddf is None or find_ddf(ddf).of_contrasts is None:
            return testing.reference(self.design, self.solution, ddf, vcov)
        if ddf not in self.references:
            self.references[ddf] = testing.reference(self.design, self.solution, ddf)
        return self.references[ddf]

    @property
    def iterative(self) -> bool:
        """Whether the fit was solved by iteration: then theta is taken as known."""
        return not isinstance(self.solution, LeastSquares) and self.solution.monte_carlo is not None

    @cached_property
    def nodes(self) -> ThetaNodes:
        """Nodes of theta and sigma."""
        from mixedfx.reml.theta_nodes import theta_nodes

        return theta_nodes(cast(Any, self.solution))

    def told_nodes(self) -> ThetaNodes:
        """The nodes, with a warning where they are not what they should be."""
        if not self.nodes.trusted:
            warnings.warn(self.nodes.caveat, ThetaUncertaintyWarning, stacklevel=outside())
        return self.nodes

    def apply(self, functional: Functional, answers: Uncertainty | None) -> NormalEstimate | FullEstimate:
        """Estimate linear functionals of (beta, u); see `LmerFit.apply`."""
        full = answers == "full" and not self.iterative
        found = self.full(functional) if full else self.given_theta(functional)
        return determined(found, functional)

    def given_theta(self, functional: Functional) -> NormalEstimate:
        """Linear functionals with theta and sigma taken as known."""
        found = self.solution
        return estimate(functional, found.beta, found.u, found.factors, found.sigma, found.joint)

    def full(self, functional: Functional, **parts: Any) -> FullEstimate:
        """Linear functionals with the uncertainty of theta and sigma; `parts` as `FullEstimate` has them."""
        from mixedfx.inference.full_estimate import FullEstimate

        found = self.solution
        mean = functional.fixed @ found.beta + functional.random @ found.u + functional.offset
        return FullEstimate(functional, mean, partial(self.reference, "satterthwaite"), self.told_nodes, **parts)

    def draws(self, n: int | None, seed: int | None, answers: Uncertainty | None) -> Draws:
        """Joint draws of (beta, u) around their estimates; see `LmerFit.draws`."""
        n = 1000 if n is None else n
        check_count("n", n)
        check_seed(seed)
        rng = np.random.default_rng(seed)
        full = answers == "full" and not self.iterative
        beta, u = self._full_draws(n, rng) if full else self.solution.joint.draw(n, rng)
        note = in_words(self.design, answers, self.iterative) if answers == "full" else THETA_GIVEN
        return Draws(tables.draw_keys(self.design), np.concatenate([beta, u], axis=1)[None], note)

    def _full_draws(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draws of the mixture about the estimates; see `mixedfx.inference.full_estimate`."""
        found = self.solution
        if not self.design.random:
            p, none = len(found.beta), sparse.csr_array((len(found.beta), 0))
            rows = Functional(np.eye(p), none, none, (), np.zeros(p), np.zeros(p))
            return self.full(rows).draws(n, rng), np.zeros((n, 0))
        nodes = self.told_nodes()
        draws = nodes.effects(n, rng)
        push = 1.0 + rng.standard_normal((n, 1))
        pairs = zip(draws, (found.beta, found.u), nodes.mean_effects, strict=True)
        beta, u = (drawn + push * (estimate - mean) for drawn, estimate, mean in pairs)
        return beta, u
