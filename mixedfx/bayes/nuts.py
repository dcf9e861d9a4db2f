"""NUTS on the collapsed posterior of phi, by nutpie (Rust; MIT licence), with the exact gradient.

Few coordinates, no funnel (the random effects are integrated out), and a gradient at the price of one factorisation: a
thousand iterations are enough. nutpie adapts step size and a diagonal mass matrix; here the coordinates are first
standardised by the curvature at the mode, so that its adaptation begins near the truth.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import MissingPackageError
from mixedfx.sampling.mode import Mode
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]


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
    divergences
        Number of divergent transitions.
    evaluations
        Evaluations of density and gradient.
    """

    phi: Array
    ess: float
    r_hat: float
    divergences: int
    evaluations: int


def sample(target: Target, mode: Mode, draws: int, chains: int, warmup: int, rng: np.random.Generator) -> NutsCourse:
    """Run NUTS from points around the modes.

    Raises
    ------
    MissingPackageError
        If nutpie is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces its next release
            import nutpie
            from nutpie.compiled_pyfunc import from_pyfunc
    except ImportError as error:
        raise MissingPackageError(
            "this posterior needs NUTS, and the package nutpie is not installed", mend="pip install 'mixedfx[bayes]'"
        ) from error
    d, root = target.size, np.linalg.cholesky(mode.covariance)
    starts = [np.zeros(d), *(np.linalg.solve(root, other - mode.phi) for other in mode.others)]
    scatter = rng.standard_normal((chains, d))
    count = 0

    def make_log_density():
        def log_density(x: Array) -> tuple[float, Array]:
            nonlocal count
            count += 1
            value, gradient = target.value_and_gradient(mode.phi + root @ x)
            if not np.isfinite(value):
                return -np.inf, np.zeros(d)
            return value, root.T @ gradient

        return log_density

    def make_expand(*_: object):
        return lambda x: {"x": np.asarray(x, dtype=np.float64)}

    used = 0

    def start(_: int) -> Array:
        nonlocal used
        chain, used = used % chains, used + 1
        return starts[chain % len(starts)] + scatter[chain]

    model = from_pyfunc(
        d, make_log_density, make_expand, [np.dtype(np.float64)], [(d,)], ["x"], make_initial_point_fn=start
    )
    trace = nutpie.sample(
        model, draws=-(-draws // chains), tune=warmup, chains=chains, cores=1, seed=int(rng.integers(2**31)),
        progress_bar=False,
    )  # fmt: skip
    x = np.asarray(trace["posterior"]["x"], dtype=np.float64)
    divergences = int(np.asarray(trace["sample_stats"]["diverging"]).sum())
    r_hat = max(_diagnostic("rhat", x[:, :, j]) for j in range(d))
    ess = min(
        min(_diagnostic("ess", x[:, :, j], method="bulk"), _diagnostic("ess", x[:, :, j], method="tail", prob=0.9))
        for j in range(d)
    )
    phi = mode.phi + x.reshape(-1, d) @ root.T
    return NutsCourse(phi, ess, r_hat, divergences, count)


def _diagnostic(name: str, values: Array, **options: object) -> float:
    """A diagnostic of arviz-stats for (chains, draws) values."""
    from arviz_stats.base.array import array_stats

    return float(np.asarray(getattr(array_stats, name)(values, **options)))
