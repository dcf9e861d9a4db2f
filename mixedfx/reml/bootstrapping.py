"""Bootstrap of a linear mixed model: new responses from the fit, resampled groups, or resampled residuals.

*Parametric*: y* = X beta + offset + Z u* + e*, u* and e* from their estimated normal distributions; with ``use_u`` the
groups keep their modes and only e* is new.

*Residual*: u* and e* are drawn with replacement from the modes and the residuals, centred and reflated so that their
empirical covariances are the estimated ones, since modes are shrunken (Carpenter, Goldstein & Rasbash 2003,
Applied Statistics 52:431). Nothing is assumed to be normal.

*Cluster*: whole groups are drawn with replacement, each copy being a group of its own (Davison & Hinkley 1997, section
3.8). Where the group is the only grouping factor a replicate is a count for each of its levels, and replicates are
fitted together (`mixedfx.reml.cluster_refits`); otherwise its design is put together from the rows. Factors nested in
the group are copied with it, factors crossed with it keep their levels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.precision import check_within
from mixedfx.errors import ModelError, OptionError, ResamplingWarning, check_flag, check_option, check_seed, outside
from mixedfx.inference.bootstrap import Bootstrap, Found, named_statistic
from mixedfx.inference.parameters import Parameter, choose, parameters_of, singular_rows, values_of
from mixedfx.inference.predictor import draw_effects, fitted_values, random_part
from mixedfx.inference.replicates import check_count, run_blocks
from mixedfx.inference.resampling import cluster_of, resample_rows
from mixedfx.progress import Asked
from mixedfx.reml.cluster_refits import Estimates, GroupProducts, group_products
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.refit import refit, refit_problem
from mixedfx.reml.resampling import reflated
from mixedfx.reml.rows import simulate_responses
from mixedfx.reml.solution import Solution, solve_design
from mixedfx.reml.solve import RemlSolution

Vector = NDArray[np.float64]
Make = Callable[[Design, Solution], Any]  # a fit of a design and its estimates
BootstrapKind = Literal["parametric", "cluster", "residual"]
KINDS = ("parametric", "cluster", "residual")
BLOCK = 250  # replicates that are fitted together
SMALL_BLOCK = 20  # the same where each is a fit of its own


def bootstrap(
    design: Design,
    solution: Solution,
    make: Make,
    n: int = 1000,
    kind: BootstrapKind = "parametric",
    *,
    use_u: bool = False,
    statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
    cluster: str | None = None,
    seed: int | None = None,
    n_jobs: int | None = 1,
    progress: Asked = None,
) -> Bootstrap:
    """Bootstrap a fit; see `LmerFit.bootstrap`. A statistic is called with what `make` gives for each refit."""
    check_flag("use_u", use_u)
    check_seed(seed)
    check_option("kind", kind, KINDS)
    check_count("n", n, 2)
    if use_u and kind != "parametric":
        raise OptionError(f"use_u belongs to the parametric bootstrap, not to kind={kind!r}", hint="Leave it out.")
    related = [term.label for term in design.random if term.relation is not None]
    if related and kind != "parametric":
        raise ModelError(
            f"levels of {related[0]} are related: drawn one by one, or exchanged, they would not be",
            hint='Use kind="parametric".',
        )
    codes = cluster_of(design, cluster) if kind == "cluster" else None
    if codes is not None:
        check_within(design.precision, codes, "the bootstrap")
    if callable(statistic):
        estimate, parameters = named_statistic(statistic(make(design, solution)))
        work = partial(_own_block, design, solution, make, kind, use_u, codes, statistic, len(parameters))
    else:
        parameters = choose(parameters_of(design), statistic)
        light: Any = None  # workers need the numbers of the design, not its data frame
        small = replace(design, columns=light, spec=light, formula=light)
        plan = Plan(small, solution, parameters, kind, use_u, codes)
        work = plan.block
        estimate = plan.values(np.array([solution.beta]), solution.theta[None], np.array([solution.sigma]))[0]
    size = SMALL_BLOCK if callable(statistic) else BLOCK
    blocks = run_blocks(
        work, n, block=size, seed=seed, n_jobs=n_jobs, progress=progress, title=f"{kind} bootstrap"
    )  # fmt: skip
    good = np.concatenate([b.good for b in blocks])
    values = np.concatenate([b.values for b in blocks])[good]
    failed = int((~good).sum())
    if failed:
        warnings.warn(
            f"{failed} of {n} bootstrap fits broke down or were not certified and were left out",
            ResamplingWarning, stacklevel=outside(),
        )  # fmt: skip
    singular = int(np.concatenate([b.singular for b in blocks])[good].sum())
    return Bootstrap(parameters, estimate, values, kind, failed, singular)


def new_responses(
    design: Design, solution: Solution, kind: str, use_u: bool, n: int, rng: np.random.Generator
) -> Vector:
    """(rows, n) responses of the parametric or the residual bootstrap."""
    if kind == "residual":
        u, e = reflated(design, solution)
        parts = []
        for t, term in enumerate(design.random):
            parts.append(u[t][rng.integers(0, term.n_levels, (n, term.n_levels))].reshape(n, -1))
        effects = np.concatenate(parts, axis=1) if parts else np.zeros((n, 0))
        drawn = design.precision.color(e[rng.integers(0, len(e), (n, len(e)))].T).T
        return (design.X @ solution.beta + design.offset + random_part(design, effects) + drawn).T
    if use_u:
        mean = fitted_values(design, solution.beta, solution.u)
        return (mean + solution.sigma * design.precision.color(rng.standard_normal((n, len(mean))).T).T).T
    u = draw_effects(design, solution.factors, solution.sigma, n, rng)
    return simulate_responses(design, solution.beta, u, solution.sigma, rng).T


@dataclass(frozen=True)
class Plan:
    """Everything one block needs; picklable."""

    design: Design
    solution: Solution
    parameters: tuple[Parameter, ...]
    kind: str
    use_u: bool
    codes: NDArray[np.intp] | None

    def values(self, beta: Vector, theta: Vector, sigma: Vector) -> Vector:
        """(b, m) statistics."""
        return values_of(self.design, self.parameters, beta, theta, sigma)

    def block(self, size: int, seeds: np.random.SeedSequence) -> Found:
        """Draw and fit `size` replicates."""
        rng = np.random.default_rng(seeds)
        found = self._clusters(size, rng) if self.kind == "cluster" else self._responses(size, rng)
        return Found(
            self.values(found.beta, found.theta, found.sigma), found.good, _singular(self.solution, found.theta)
        )

    def _responses(self, size: int, rng: np.random.Generator) -> Estimates:
        design, solution = self.design, self.solution
        Y = new_responses(design, solution, self.kind, self.use_u, size, rng)
        if isinstance(solution, LeastSquares):
            fits = [least_squares(replace(design, y=y), solution.REML) for y in Y.T]
            sigma = np.array([f.sigma for f in fits])
            return Estimates(np.array([f.beta for f in fits]), np.zeros((size, 0)), sigma, np.ones(size, dtype=bool))
        names = tuple(map(str, range(len(solution.theta))))
        try:
            many = refit_problem(design, solution.problem, Y, solution.par, names)
            return Estimates(many.beta, many.theta, many.sigma, many.converged)
        except np.linalg.LinAlgError:  # one of them: find out which
            return _stack([self._alone(y, names) for y in Y.T], design, solution)

    def _alone(self, y: Vector, names: tuple[str, ...]) -> tuple[Vector, Vector, float, bool] | None:
        assert isinstance(self.solution, RemlSolution)
        try:
            one = refit_problem(self.design, self.solution.problem, y[:, None], self.solution.par, names)
        except np.linalg.LinAlgError:
            return None
        return one.beta[0], one.theta[0], float(one.sigma[0]), bool(one.converged[0])

    def _clusters(self, size: int, rng: np.random.Generator) -> Estimates:
        assert self.codes is not None
        q = int(self.codes.max()) + 1
        drawn = rng.integers(0, q, (size, q))
        if self._by_group is not None:
            counts = np.zeros((size, q))
            np.add.at(counts, (np.arange(size)[:, None], drawn), 1.0)
            return self._by_group.fits(counts)
        return _stack([self._resampled(d) for d in drawn], self.design, self.solution)

    def _resampled(self, drawn: NDArray[np.intp]) -> tuple[Vector, Vector, float, bool] | None:
        assert self.codes is not None
        try:
            found = solve_design(resample_rows(self.design, self.codes, drawn), self.solution.REML)
        except (np.linalg.LinAlgError, ModelError, ValueError):
            return None
        return found.beta, found.theta, found.sigma, found.optimization.converged

    @cached_property
    def _by_group(self) -> GroupProducts | None:
        """Cross-products of each group, where the groups drawn are the levels of the only factor."""
        if isinstance(self.solution, LeastSquares):
            return None
        problem = self.solution.problem
        if (
            problem.coupling is not None
            or self.codes is None
            or not np.array_equal(problem.factors[0].codes, self.codes)
        ):
            return None
        return group_products(self.design, problem, self.solution.par)


def _singular(solution: Solution, theta: Vector) -> NDArray[np.bool_]:
    """(b,) whether replicates with theta (b, r) are singular, in the columns that the fit used."""
    if isinstance(solution, LeastSquares):
        return np.zeros(len(theta), dtype=bool)
    return singular_rows(solution.problem, theta)


def _stack(found: Sequence[tuple[Vector, Vector, float, bool] | None], design: Design, solution: Solution) -> Estimates:
    p, r = len(design.fixed_names), len(solution.theta)
    nothing = (np.full(p, np.nan), np.full(r, np.nan), np.nan, False)
    beta, theta, sigma, good = zip(*(nothing if f is None else f for f in found), strict=True)
    return Estimates(np.array(beta), np.array(theta).reshape(len(found), r), np.array(sigma), np.array(good))


def _own_block(
    design: Design, solution: Solution, make: Make, kind: str, use_u: bool, codes: NDArray[np.intp] | None,
    statistic: Callable[[Any], Any], m: int, size: int, seeds: np.random.SeedSequence,
) -> Found:  # fmt: skip
    """One block for a statistic of the user's own, called with each refitted model."""
    rng = np.random.default_rng(seeds)
    values, good, singular = np.full((size, m), np.nan), np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    Y = None if codes is not None else new_responses(design, solution, kind, use_u, size, rng)
    for b in range(size):
        try:
            if Y is not None:
                again = refit(design, solution, Y[:, b])
            else:
                assert codes is not None
                q = int(codes.max()) + 1
                drawn = resample_rows(design, codes, rng.integers(0, q, q))
                again = drawn, solve_design(drawn, solution.REML)
        except (np.linalg.LinAlgError, ModelError, ValueError):
            continue
        values[b] = np.atleast_1d(np.asarray(statistic(make(*again)), dtype=np.float64))
        good[b] = again[1].optimization.converged
        singular[b] = bool(_singular(again[1], again[1].theta[None])[0])
    return Found(values, good, singular)
