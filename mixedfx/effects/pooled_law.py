r"""What several data sets know of every linear combination of some functionals, as matrices: see `exact_law` for one.

Of a combination w, data set k has an estimate w'm_k and its variance w'C_k w, and where w holds fixed effects alone the
degrees of freedom that complete data would give (Satterthwaite's, from w'C_k w and w'D_km w). Rubin's rules make one
answer of these (`mixedfx.surveys.rubin`), the page does so for each combination that its reader asks for. A subgroup
need not be the same combination in every data set: imputed columns put other rows into it, so cells have weights of
each data set (`data_set_weights`).

Where the numbers are draws, those of each data set stay apart, since the rules move them as a whole (`set_draws`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.effects.exact_law import LARGEST, law_of_t
from mixedfx.effects.pooling import PooledRows
from mixedfx.effects.quantities import Drawn, Exact, Monotone, Quantities
from mixedfx.effects.state import EffectsState
from mixedfx.explorer.content import PooledLaw
from mixedfx.inference.full_estimate import FullEstimate
from mixedfx.results.undetermined import Undetermined

Array = NDArray[np.float64]


def pooled_law(quantities: Exact, J: int, s: int) -> PooledLaw | None:
    """The law of J series of s cells that several data sets know, ordered as in a table of effects.

    Returns
    -------
    PooledLaw or None
        None where degrees of freedom are none that the page can compute, or the matrices would be too large.
    """
    pooled: Any = quantities.fit
    assert isinstance(pooled, PooledRows)
    m = len(pooled.parts)
    if m * J * s * (s + 1) // 2 * 4 > LARGEST:
        return None
    rows = [np.arange(j, s * J, J) for j in range(J)]
    every = []
    for part in pooled.parts:
        found: Any = part.fit.apply(part.functional.combine(quantities.functional.fixed))
        one = _one(found.found if isinstance(found, Undetermined) else found, rows)
        if one is None:
            return None
        every.append(one)
    random, means, mixed, fixed, derivatives, nu = zip(*every, strict=True)
    # What only some data sets have rows for counts as zero in the others, which do not ask for it.
    law = PooledLaw(
        random=np.stack(random),
        means=np.stack(means) + np.stack([quantities.functional.offset[at] for at in rows]),
        mixed=_alike(mixed),
        fixed=_alike(fixed),
        derivatives=_alike(derivatives),
        nu=np.array(nu),
    )
    return law if 4 * (law.mixed.size + law.fixed.size + law.derivatives.size) <= LARGEST else None


def _one(found: Any, rows: list[NDArray[np.intp]]) -> tuple[Any, ...] | None:
    """Of one data set: which cells hold random effects, means, covariances, derivatives, degrees of freedom."""
    upper = np.triu_indices(len(rows[0]))
    mean = np.asarray(found.mean)
    means = np.stack([mean[at] for at in rows])
    none, no_derivatives = np.zeros((len(rows), 0)), np.zeros((len(rows), 0, 0))
    if not isinstance(found, FullEstimate):
        cov = np.asarray(found.cov)
        mixed = np.stack([cov[np.ix_(at, at)][upper] for at in rows])
        return np.ones(means.shape, dtype=bool), means, mixed, none, no_derivatives, np.inf
    random = np.stack([~found.of_beta[at] for at in rows])
    mixed = none
    if random.any():
        nodes = found.theta()
        mixed = np.stack([_mixture(nodes, found, at)[upper] for at in rows])
    if random.all():
        return random, means, mixed, none, no_derivatives, np.inf
    known = law_of_t(found, rows)
    return None if known is None else (random, means, mixed, *known)


def _mixture(nodes: Any, found: FullEstimate, at: NDArray[np.intp]) -> Array:
    """(s, s) covariances of estimate minus truth under the mixture over nodes, of fixed effects too."""
    functional = found.functional.take(at)
    gap = found.mean[at] - nodes.weights @ nodes.moments(functional)[0]
    return nodes.covariance(functional) + np.outer(gap, gap)


def _alike(arrays: Any) -> Array:
    """Arrays of the data sets in one; those that are smaller are filled with zeros."""
    shape = np.max([one.shape for one in arrays], axis=0)
    return np.stack([np.pad(one, [(0, int(full - own)) for full, own in zip(shape, one.shape, strict=True)])
                     for one in arrays])  # fmt: skip


def data_set_weights(effects: EffectsState) -> Array | None:
    """(m, s) weights of the cells in each data set; None where they do not differ, or there is one data set."""
    per = effects.per_subgroup
    every = [one.table["weight"].to_numpy(dtype=float)[::per] for one in effects.sets]
    return None if all(np.array_equal(every[0], other) for other in every) else np.stack(every)


def set_draws(effects: EffectsState) -> list[Array]:
    """Draws of each data set, (D, rows of the table), before they are pooled: as many of each.

    Of a monotone function those of its argument.
    """
    return _as_many([_draws(one.quantities) for one in effects.sets])


def set_averages(effects: EffectsState) -> list[Array]:
    """Draws of each data set of the averages that were compared, as many of each; none where there is one data set."""
    return _as_many([one.averages.quantities.draws() for one in effects.sets if one.averages is not None])


def _draws(quantities: Quantities) -> Array:
    base = quantities.base if isinstance(quantities, Monotone) else quantities
    return base.known if isinstance(base, Drawn) else base.draws()


def _as_many(draws: list[Array]) -> list[Array]:
    count = min(map(len, draws), default=0)
    return [one[:count] for one in draws]
