"""What `mixedfx.tune_cate` searches: learners, their models and parameters, listed or drawn.

A `Space` is one learner with one grid. Its candidates are all combinations of the listed values, as scikit-learn's
ParameterGrid has them, or are suggested one by one by optuna, whose distributions may stand in the place of lists.
Optuna is asked and told (`Study.ask`, `Study.tell`), so that it runs nothing; values of lists are chosen by position,
since models are nothing that it could store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixedfx.errors import MissingPackageError, OptionError
from mixedfx.learn.packages import package
from mixedfx.learn.pseudo_outcomes import find_learner

Candidate = tuple[str, Mapping[str, Any]]
PARTS = ("outcome", "propensity", "effect")


@dataclass(frozen=True)
class Space:
    """One learner with one grid.

    Attributes
    ----------
    learner
        Its name.
    grid
        Part or parameter -> list of values, or a distribution of optuna.
    """

    learner: str
    grid: Mapping[str, Any]

    def candidates(self) -> list[Candidate]:
        """Every combination of the listed values."""
        return [(self.learner, one) for one in package("sklearn.model_selection").ParameterGrid(self.grid)]


def read_spaces(given: Any, *, drawn: bool) -> list[Space]:
    """Every learner with each of its grids, checked before anything is fitted.

    Parameters
    ----------
    given
        Learner -> grid or list of grids.
    drawn
        Whether distributions can be drawn from.

    Raises
    ------
    OptionError
        No candidates, an unknown learner, part or parameter, a value that is no list.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from mixedfx.learn.grids import read_spaces
    >>> spaces = read_spaces({"R": {"effect": [Ridge()], "effect__alpha": [1.0, 2.0]}}, drawn=False)
    >>> len(spaces[0].candidates())
    2
    """
    if not isinstance(given, Mapping):
        raise OptionError(
            f"candidates is a {type(given).__name__}", hint='Give learner -> grid: {"R": {"effect": [...]}}.'
        )
    out = []
    for learner, grids in given.items():
        find_learner(learner)
        for grid in list(grids) if isinstance(grids, list | tuple) else [grids]:
            out.append(Space(learner, _checked(learner, grid, drawn)))
    if not out:
        raise OptionError("there are no candidates", hint='Give {"R": {"effect": [...]}}.')
    return out


def _checked(learner: str, grid: Any, drawn: bool) -> Mapping[str, Any]:
    """A grid whose parts, models and parameters exist."""
    if not isinstance(grid, Mapping):
        raise OptionError(f"{learner}: the grid is a {type(grid).__name__}", hint='Give {"effect": [model]}.')
    listed = {}
    for name, values in grid.items():
        if str(name).partition("__")[0] not in PARTS:
            raise OptionError(f"{learner}: there is no part {name!r}", hint=f"Parts: {', '.join(PARTS)}.")
        if _is_distribution(values):
            if not drawn:
                raise OptionError(
                    f"{learner}: {name} is a distribution, from which only optuna draws",
                    hint='Say search="optuna", or list the values.',
                )
            if name in PARTS:
                raise OptionError(f"{learner}: {name} is a model", hint="List models; distributions are of parameters.")
            listed[name] = [_inside(values)]
        else:
            listed[name] = values
    try:
        combinations = list(package("sklearn.model_selection").ParameterGrid(listed))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{learner}: the grid is none: {error}",
            hint='Give lists, of one value too: {"effect": [model], "effect__max_depth": [2, 4]}.',
        ) from None
    for parameters in combinations:
        with_parameters(parameters)
    return grid


def with_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Models of the parts with their parameters set.

    Raises
    ------
    OptionError
        Parameters without a model, or of which it has none.
    """
    models = {name: value for name, value in parameters.items() if name in PARTS}
    for name, value in parameters.items():
        part, _, key = name.partition("__")
        if not key:
            continue
        model: Any = models.get(part)
        if not hasattr(model, "set_params"):
            raise OptionError(f"{name} needs a model", hint=f'Give one: "{part}": [model].')
        if key not in model.get_params():
            raise OptionError(
                f"{type(model).__name__} has no parameter {key!r} ({name})",
                hint=f"Parameters: {', '.join(sorted(model.get_params()))}.",
            )
        models[part] = package("sklearn.base").clone(model).set_params(**{key: value})
    return models


def suggested(
    spaces: list[Space], n_trials: int, seed: int | None
) -> Iterator[tuple[Candidate, tuple[Any, ...], Callable[[float], None]]]:
    """Candidates that optuna suggests, each with a key of its values and a function that is told what it lost.

    Raises
    ------
    MissingPackageError
        Without optuna.
    """
    try:
        optuna = package("optuna")
    except MissingPackageError:
        raise MissingPackageError("optuna is not installed", hint="pip install optuna") from None
    return _suggestions(optuna, spaces, n_trials, seed)


def _suggestions(
    optuna: Any, spaces: list[Space], n_trials: int, seed: int | None
) -> Iterator[tuple[Candidate, tuple[Any, ...], Callable[[float], None]]]:
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the table says what was found
    try:
        study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
        for _ in range(n_trials):
            trial = study.ask()
            at = trial.suggest_categorical("space", list(range(len(spaces)))) if len(spaces) > 1 else 0
            space, parameters, key = spaces[at], {}, [at]
            for name, values in sorted(space.grid.items()):
                named = f"{space.learner} {at}: {name}"
                if _is_distribution(values):
                    parameters[name] = _drawn(trial, named, values)
                    key.append(parameters[name])
                else:
                    position = trial.suggest_categorical(named, list(range(len(values)))) if len(values) > 1 else 0
                    parameters[name] = values[position]
                    key.append(position)
            yield (space.learner, parameters), tuple(key), lambda loss, own=trial: study.tell(own, loss)
    finally:
        optuna.logging.set_verbosity(said)


def _is_distribution(values: Any) -> bool:
    return type(values).__module__.startswith("optuna.distributions")


def _inside(distribution: Any) -> Any:
    """A value of a distribution, for a first check."""
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def _drawn(trial: Any, name: str, distribution: Any) -> Any:
    """A value that optuna suggests."""
    if hasattr(distribution, "choices"):
        return trial.suggest_categorical(name, distribution.choices)
    kind = trial.suggest_int if type(distribution).__name__.startswith("Int") else trial.suggest_float
    step = {} if distribution.step is None else {"step": distribution.step}
    return kind(name, distribution.low, distribution.high, log=distribution.log, **step)
