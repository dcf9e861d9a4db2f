"""How the integral over the random effects is taken: which criterion a model has, and how many nodes it needs.

With one node it is Laplace's approximation over all effects (`mixedfx.glmm.evaluation`). With more, adaptive quadrature

* over the effects of the only factor (`quadrature.py`);
* over both of two nested factors with few effects to a level (`nested_quadrature.py`);
* else over the factor with most levels given the others, those by Laplace (`hybrid.py`).

The first two converge to the likelihood as nodes are added. What the last converges to is off by what Laplace's
approximation misses of effects that have many rows each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.glmm.evaluation import Evaluation, evaluate
from mixedfx.glmm.hybrid import evaluate_hybrid, find_centre, mode_at
from mixedfx.glmm.level_nodes import Rule
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import DECREMENT, Mode, find_mode
from mixedfx.glmm.nested_quadrature import evaluate_nested, is_nested
from mixedfx.glmm.penalised import penalised
from mixedfx.glmm.quadrature import evaluate_nodes
from mixedfx.pls.factorization import Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]
Criterion = Callable[..., Evaluation]
Integral = Literal["laplace", "one factor", "nested", "hybrid"]

MOST_NODES = 5000  # of all directions together, for each level
LADDER = (5, 7, 9, 11, 15, 21, 31, 45, 65)  # numbers of nodes that nAGQ="auto" tries in turn
COARSE = 7  # nodes of the hybrid that begins
SETTLED = 0.01  # units of deviance that more nodes may still move the criterion by


def integral_of(problem: Problem, nAGQ: int) -> Integral:
    """How the integral of a model is taken."""
    if nAGQ == 1 or not problem.factors[0].blocks:
        return "laplace"
    if problem.coupling is None:
        return "one factor"
    return "nested" if is_nested(problem) else "hybrid"


def criterion_function(nAGQ: int) -> Criterion:
    """What is minimised, with derivatives: -2 log likelihood, and -2 log prior where the model has one.

    `evaluate` of `mixedfx.glmm.evaluation` says the arguments.
    """
    return penalised(evaluate if nAGQ == 1 else partial(_by_nodes, nAGQ))


def _by_nodes(nAGQ: int, model: Model, *args: Any, **options: Any) -> Evaluation:
    how = integral_of(model.problem, nAGQ)
    if how == "laplace":
        return evaluate(model, *args, **options)
    by = {"one factor": evaluate_nodes, "nested": evaluate_nested, "hybrid": evaluate_hybrid}[how]
    return by(nAGQ, model, *args, **options)


def coarser(problem: Problem, nAGQ: int) -> Criterion | None:
    """A cheaper criterion whose minimum is close by, to begin with; None where there is none that pays.

    Two nested factors have as many nodes as both together: the way there is the hybrid's with few.
    """
    if integral_of(problem, nAGQ) != "nested":
        return None
    return penalised(partial(evaluate_hybrid, min(nAGQ, COARSE)))


def staying(criterion: Criterion) -> Criterion:
    """The same without the joint steps that lead from a poor start to a good one, and from a good one away."""

    def evaluate_there(model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, *rest: Any) -> Evaluation:
        return criterion(model, psi, v, False, *rest)

    return evaluate_there


def directions(problem: Problem) -> int:
    """Directions of the nodes at one place: effects of a level, of nested levels together."""
    first = problem.factors[0].k
    return first + problem.factors[1].k if is_nested(problem) else first


def nodes_of_a_row(problem: Problem, nAGQ: int) -> int:
    """At how many nodes one evaluation of the criterion looks at each row; zero of Laplace's approximation."""
    return 0 if integral_of(problem, nAGQ) == "laplace" else nAGQ ** directions(problem)


def check_quadrature(model: Model, nAGQ: int) -> None:
    """Refuse numbers of nodes that are too large, and models without independent levels (`OptionError`)."""
    if not model.problem.factors[0].blocks:
        raise OptionError(
            f"nAGQ={nAGQ} is for models with a grouping factor whose levels are independent",
            hint="Use nAGQ=1, Laplace's approximation; fit.laplace_error says how far off it is.",
        )
    k = directions(model.problem)
    if nAGQ**k > MOST_NODES:
        raise OptionError(
            f"nAGQ={nAGQ} in {k} directions is {nAGQ**k:,} nodes for each level",
            hint=f"Use at most {most_nodes(model.problem)}.",
        )


def most_nodes(problem: Problem) -> int:
    """The largest number of nodes in each direction that a model may have."""
    k = directions(problem)
    found = round(MOST_NODES ** (1 / k))
    return found if found**k <= MOST_NODES else found - 1


def ladder(problem: Problem) -> list[int]:
    """The numbers of nodes that are tried in turn."""
    return [nodes for nodes in LADDER if nodes <= most_nodes(problem)]


def in_words(design: Design, problem: Problem, nAGQ: int, settled: float | None = None) -> str:
    """What was done, for a summary; `settled` is what `GlmmSolution.settled` says."""
    how = integral_of(problem, nAGQ)
    names = [design.random[group.blocks[0].term].label for group in problem.factors if group.blocks]
    text = f"adaptive Gauss-Hermite quadrature, {nAGQ} nodes for each effect of a level"
    if how == "nested":
        text += f", of {names[0]} within {names[1]}"
    elif how == "hybrid":
        text += f" of {names[0]}; Laplace's approximation over {', '.join(names[1:])}"
    elif how == "laplace":
        text = "Laplace's approximation: no grouping factor has independent levels"
    if settled is not None:
        text += f" (more nodes change -2 log L by {settled:.1g})"
    return text


def better(problem: Problem) -> tuple[str, str]:
    """What to do about an error of Laplace's approximation, as a clause and as a sentence."""
    if not problem.factors[0].blocks:
        return "mx.bayes has none of it", "mx.bayes has none of this error."
    how = integral_of(problem, 2)
    if how == "one factor":
        return "nAGQ=11 or more is exact", "Fit with nAGQ=11 or more, which is exact."
    what = "is exact" if how == "nested" else "takes away most of it"
    return f'nAGQ="auto" {what}', f'Fit with nAGQ="auto": quadrature {what}.'


def find_mode_of(nAGQ: int, model: Model, gamma: Vector, par: Vector, phi: Vector, v: Pair) -> Mode:
    """The modes of the random effects as the criterion has them; see `evaluate_hybrid` for several factors."""
    T = model.problem.matrices(par)
    if integral_of(model.problem, nAGQ) not in ("nested", "hybrid"):
        return find_mode(model, gamma, T, phi, v)
    return mode_at(model, find_centre(model, Rule.of(nAGQ, len(T[0])), gamma, T, phi, v, DECREMENT))
