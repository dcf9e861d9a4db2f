"""NUTS on the collapsed posterior of phi, with the exact gradient, and how its chains went.

Few coordinates, no funnel (the random effects are integrated out), and a gradient that costs the same however many rows
there are. Chains move together (`mixedfx.sampling.nuts`), so that their gradients are evaluated at once, in coordinates
where small standard deviations have no long tails (`mixedfx.sampling.unfolded`). They begin around the modes, more of
them around the larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.convergence import convergence, energy_mixing
from mixedfx.sampling import nuts
from mixedfx.sampling.mode import Mode, Modes
from mixedfx.sampling.target import Target
from mixedfx.sampling.unfolded import unfold

Array = NDArray[np.float64]

SCATTER = (1.0, 0.5, 0.1, 0.0)  # spreads of starting points around a mode, tried in turn


@dataclass(frozen=True, eq=False)
class NutsCourse:
    """Draws of phi, chains one after another.

    Attributes
    ----------
    phi
        (chains * draws, d).
    ess
        Smallest effective number of draws over the coordinates (bulk and tail).
    r_hat
        Largest rank-normalised split R-hat over the coordinates.
    divergences, at_max_treedepth
        Number of transitions that diverged, and that were cut short.
    energy
        (chains,) E-BFMI.
    transitions
        What NUTS says of each transition, (chains * draws,), under ArviZ's names.
    evaluations
        Evaluations of density and gradient.
    """

    phi: Array
    ess: float
    r_hat: float
    divergences: int
    at_max_treedepth: int
    energy: tuple[float, ...]
    transitions: dict[str, Array]
    evaluations: int


def sample(
    target: Target, modes: Modes, draws: int, chains: int, warmup: int, rng: np.random.Generator,
    report: nuts.Report | None = None, *, acceptance: float = nuts.ACCEPTANCE, deepest: int = nuts.DEEPEST,
) -> NutsCourse:  # fmt: skip
    """Run NUTS from points around the modes; `report` is told the iteration and the phase."""
    density = unfold(target, modes.best.phi)
    found = nuts.sample(
        density, density.v(_starts(target, modes, chains, rng)), density.covariance(modes.best.covariance), warmup,
        -(-draws // chains), rng, density.folded, report, acceptance=acceptance, deepest=deepest,
    )  # fmt: skip
    phi = density.phi(found.x)
    seen = convergence(phi)
    least = np.fmin(seen.bulk, seen.tail)
    looked = not np.isnan(seen.r_hat).all()
    transitions = {
        "lp": found.log_density, "energy": found.energy, "diverging": found.divergent, "tree_depth": found.depth,
        "n_steps": found.steps, "acceptance_rate": found.acceptance,
    }  # fmt: skip
    return NutsCourse(
        phi.reshape(-1, target.size),
        float(np.nanmin(least)) if looked else np.nan,
        float(np.nanmax(seen.r_hat)) if looked else np.nan,
        int(found.divergent.sum()),
        int(found.cut.sum()),
        tuple(float(value) for value in energy_mixing(found.energy)),
        {name: np.asarray(values, dtype=np.float64).ravel() for name, values in transitions.items()},
        found.evaluations,
    )


def _starts(target: Target, modes: Modes, chains: int, rng: np.random.Generator) -> Array:
    """(chains, d) points of positive density: every mode has one if there are enough, then each by its mass."""
    mass = np.array([mode.log_mass for mode in modes.found])
    share = np.exp(mass - mass.max())
    counts = np.zeros(len(share), dtype=int)
    for turn in range(chains):  # the mode with fewest chains for its mass comes next, those without any before all
        counts[turn if turn < len(share) else int(np.argmax(share / counts))] += 1
    return np.array([_near(target, mode, rng) for mode, m in zip(modes.found, counts, strict=True) for _ in range(m)])


def _near(target: Target, mode: Mode, rng: np.random.Generator) -> Array:
    """A point near a mode where the density is positive."""
    root = np.linalg.cholesky(mode.covariance)
    points = mode.phi + np.multiply.outer(SCATTER, root @ rng.standard_normal(len(root)))
    return points[int(np.argmax(np.isfinite(target.values_and_gradients(points)[0])))]
