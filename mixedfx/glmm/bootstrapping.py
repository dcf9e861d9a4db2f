"""Parametric bootstrap of a generalised linear mixed model: new responses from the fit, and the model fitted to each.

Responses are drawn from the family at its estimates, groups with new effects from their population or, with
``use_u``, with their modes. Replicates are fitted from the estimates of the fit, together where the model allows it
(`mixedfx.glmm.batch`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, ResamplingWarning, check_flag, check_seed, outside
from mixedfx.glmm.batch import can_batch
from mixedfx.glmm.refits import many, with_new_response
from mixedfx.glmm.rows import simulate_responses
from mixedfx.glmm.solve import GlmmSolution, refused
from mixedfx.inference.bootstrap import Bootstrap, Found, named_statistic
from mixedfx.inference.parameters import Parameter, choose, parameters_of, values_of
from mixedfx.inference.replicates import check_count, run_blocks
from mixedfx.progress import Asked

Vector = NDArray[np.float64]
Make = Callable[[Design, GlmmSolution], Any]  # a fit of a design and its estimates
BLOCK = 20  # replicates of one piece of work,
TOGETHER = 100  # and where they are fitted together


def parameters(design: Design, solution: GlmmSolution) -> tuple[Parameter, ...]:
    """Every parameter of a fit: standard deviations and correlations, those of the family, coefficients."""
    return parameters_of(design, solution.model.likelihood.names)


def bootstrap(
    design: Design,
    solution: GlmmSolution,
    make: Make,
    n: int = 1000,
    *,
    use_u: bool = False,
    statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
    seed: int | None = None,
    n_jobs: int | None = 1,
    progress: Asked = None,
) -> Bootstrap:
    """Bootstrap a fit; see `GlmerFit.bootstrap`. A statistic is called with what `make` gives for each refit."""
    check_flag("use_u", use_u)
    check_seed(seed)
    check_count("n", n, 2)
    if solution.iterative:
        raise refused("a bootstrap refits the model to simulated responses")
    if callable(statistic):
        estimate, chosen = named_statistic(statistic(make(design, solution)))
        work: Any = partial(_own_block, solution, make, use_u, statistic, len(chosen))
    else:
        chosen = choose(parameters(design, solution), statistic)
        light: Any = None  # workers need the numbers of the design, not its data frame
        small = replace(design, columns=light, spec=light, formula=light)
        plan = Plan(small, replace(solution, model=replace(solution.model, design=small)), chosen, use_u)
        work = plan.block
        own = {name: np.array([value]) for name, value in solution.auxiliary.items()}
        estimate = plan.values(solution.beta[None], solution.theta[None], own)[0]
    size = TOGETHER if can_batch(solution) else BLOCK
    blocks = run_blocks(
        work, n, block=size, seed=seed, n_jobs=n_jobs, progress=progress, title="parametric bootstrap"
    )  # fmt: skip
    good = np.concatenate([b.good for b in blocks])
    failed = int((~good).sum())
    if failed:
        warnings.warn(
            f"{failed} of {n} bootstrap fits broke down or were not certified and were left out",
            ResamplingWarning, stacklevel=outside(),
        )  # fmt: skip
    values = np.concatenate([b.values for b in blocks])[good]
    singular = int(np.concatenate([b.singular for b in blocks])[good].sum())
    return Bootstrap(chosen, estimate, values, "parametric", failed, singular)


@dataclass(frozen=True)
class Plan:
    """Everything one block needs; picklable."""

    design: Design
    solution: GlmmSolution
    parameters: tuple[Parameter, ...]
    use_u: bool

    def values(self, beta: Vector, theta: Vector, auxiliary: dict[str, Vector]) -> Vector:
        """(b, m) statistics."""
        return values_of(self.design, self.parameters, beta, theta, np.ones(len(beta)), auxiliary)

    def block(self, size: int, seeds: np.random.SeedSequence) -> Found:
        """Draw and fit `size` replicates."""
        Y = simulate_responses(self.design, self.solution, size, np.random.default_rng(seeds), self.use_u)
        found = many(self.design, self.solution, Y.T)
        return Found(self.values(found.beta, found.theta, found.auxiliary), found.converged, found.singular)


def _own_block(
    solution: GlmmSolution, make: Make, use_u: bool, statistic: Callable[[Any], Any], m: int, size: int,
    seeds: np.random.SeedSequence,
) -> Found:  # fmt: skip
    """One block for a statistic of the user's own, called with each refitted model."""
    Y = simulate_responses(solution.design, solution, size, np.random.default_rng(seeds), use_u)
    values, good, singular = np.full((size, m), np.nan), np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    for b, y in enumerate(Y):
        try:
            found = with_new_response(solution.design, solution, y)
        except (ModelError, np.linalg.LinAlgError):
            continue
        values[b] = np.atleast_1d(np.asarray(statistic(make(found.design, found)), dtype=np.float64))
        good[b] = found.optimization.converged
        problem = found.model.problem
        singular[b] = problem.n_parameters > 0 and bool(problem.on_boundary(found.par, 1e-4))
    return Found(values, good, singular)
