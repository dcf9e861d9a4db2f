"""stanli: stanc, stan-math and NUTS in one wheel, without a C++ compiler; the engine used by default.

The program is translated and interpreted in this process. Chains run in threads of the library, each with its own
random stream, which depends on the seed and the number of the chain only: draws do not depend on how many run at a
time.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.engines.base import OPTIONS, SamplerStats, Settings, StanDraws, require
from mixedfx.bayes.engines.data import data_json, gather
from mixedfx.bayes.engines.progress import chain_lines, standard_output_read_by
from mixedfx.errors import ModelError, OptionError

Array = NDArray[np.float64]

INSTALL = "pip install 'mixedfx[bayes]'"
REPORTS = 50  # progress reports of a chain


class Stanli:
    """The engine `stanli`; see `mixedfx.bayes.engines.base.Engine` for the verbs.

    Examples
    --------
    >>> from mixedfx.bayes.engines.base import Settings
    >>> from mixedfx.bayes.engines.stanli import Stanli
    >>> text = "data { int N; array[N] int y; } parameters { real<lower=0, upper=1> p; } model { y ~ bernoulli(p); }"
    >>> draws = Stanli().sample(text, {"N": 4, "y": [0, 1, 1, 1]}, Settings(seed=1), keep=["p"])
    >>> draws.variables["p"].shape, draws.variables["p"].mean().round(1)
    ((4, 1000), np.float64(0.7))
    """

    name = "stanli"
    options = OPTIONS
    algorithms = ("nuts",)
    compiles = False

    def available(self) -> str | None:
        """None if stanli is installed and loads; else the reason and the command that installs it."""
        try:
            import stanli  # noqa: F401
        except ModuleNotFoundError:
            return f"stanli is not installed\n{INSTALL}"
        except Exception as error:  # a library that this system cannot load, and whatever else a package raises
            return f"stanli does not load here: {error}\n{INSTALL} --force-reinstall"
        return None

    def sample(self, text: str, data: Mapping[str, Any], settings: Settings, keep: Collection[str]) -> StanDraws:
        """Sample the program by NUTS and keep the variables named in `keep`."""
        started = time.perf_counter()
        if settings.algorithm not in self.algorithms:
            raise OptionError(
                f"the engine stanli has no algorithm={settings.algorithm!r}",
                hint=f"Use algorithm='nuts', or engine='cmdstan', algorithm={settings.algorithm!r}.",
            )
        require(self)
        import stanli

        model = _model(text, data)
        iterations = settings.warmup + settings.draws_per_chain
        with chain_lines(settings.chains, iterations, settings.progress) as report:
            try:
                with standard_output_read_by(report):
                    fit = model.sample(
                        chains=settings.chains,
                        seed=int(settings.seed),
                        warmup=settings.warmup,
                        samples=settings.draws_per_chain,
                        delta=settings.adapt_delta,
                        max_depth=settings.max_treedepth,
                        pathfinder_init={} if settings.inits == "pathfinder" else None,
                        parallel_chains=settings.parallel_chains,
                        threads_per_chain=settings.threads,
                        refresh=0 if report is None else max(1, iterations // REPORTS),
                    )
            except RuntimeError as error:
                raise ModelError(
                    f"the Stan program could not be sampled\n{error}",
                    hint="Check the data and the priors: some point between -2 and 2 on the unconstrained scale "
                    "must have a finite density.",
                ) from error
        found = {name: np.ascontiguousarray(fit.draws(name)) for name in keep if name in fit.variables}
        columns = {name: fit.sampler_stats[:, :, i] for i, name in enumerate(stanli.SAMPLER_COLUMNS)}
        return StanDraws(
            variables=gather(found, keep, text, (settings.chains, settings.draws_per_chain)),
            sampler=SamplerStats.of_columns(columns, settings.max_treedepth),
            engine=self.name,
            version=stanli.__version__,
            algorithm=settings.algorithm,
            seconds=time.perf_counter() - started,
        )

    def log_density(self, text: str, data: Mapping[str, Any], unconstrained: Array) -> Array:
        """Log density at points on the unconstrained scale, (s, d) -> (s,)."""
        require(self)
        model = _model(text, data)
        points = np.atleast_2d(np.asarray(unconstrained, dtype=np.float64))
        if points.shape[1] != model.n_unconstrained:
            raise ModelError(
                f"the program has {model.n_unconstrained} unconstrained parameters, these points {points.shape[1]}"
            )
        return np.array([_log_density_at(model, point) for point in points])

    def unconstrain(self, text: str, data: Mapping[str, Any], values: Mapping[str, Any]) -> Array:
        """Values of all parameters, constrained, as one point on the unconstrained scale, (d,).

        Containers are nested lists or arrays in their declared shape.

        Raises
        ------
        ModelError
            A parameter that is missing, has the wrong size or is out of its support.
        """
        require(self)
        model = _model(text, data)
        # Stan lists the elements of a container with the first index fastest.
        flat = {name: np.asarray(value).flatten(order="F") for name, value in values.items()}
        scalars = {name: value[0] if np.ndim(values[name]) == 0 else value for name, value in flat.items()}
        try:
            return model.unconstrain(data_json(scalars))
        except ValueError as error:
            raise ModelError(f"these values are no point of the Stan program\n{error}") from error

    def check(self, text: str) -> None:
        """Parse and type-check the program."""
        require(self)
        _translated(text)


@lru_cache(maxsize=64)
def _translated(text: str) -> str:
    """The program as stanli's interpreter reads it; kept, since many data sets have the same program."""
    import stanli

    try:
        return stanli.stan_to_mir(text)
    except RuntimeError as error:
        raise ModelError(f"the Stan program does not compile\n{error}") from error


def _model(text: str, data: Mapping[str, Any]) -> Any:
    """Program and data together."""
    import stanli

    program = _translated(text)
    try:
        return stanli.Model(mir=program, data=data_json(data))
    except RuntimeError as error:
        raise ModelError(f"the data do not fit the Stan program\n{error}") from error


def _log_density_at(model: Any, point: Array) -> float:
    """Minus infinity where a distribution or a function refuses the point."""
    try:
        return model.log_prob_grad(point)[0]
    except RuntimeError:
        return -np.inf
