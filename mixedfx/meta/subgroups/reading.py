"""A table of reported subgroup effects, checked: what subgroups are, their estimates, the errors of these, and priors.

Cells have to be disjoint, since estimates from the same people are not independent: each row is another combination of
the covariates, and none of them is missing (a row for "all ages" holds the people of other rows). Estimates that share
people can be given with the covariance of their errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import column
from mixedfx.design.precision import read_covariance
from mixedfx.effects.subgroups import read_plan
from mixedfx.errors import DataError, ImproperPosteriorError, OptionError, some_rows
from mixedfx.meta.reading import fetched, named, numbers
from mixedfx.meta.subgroups.models import SubgroupPriors
from mixedfx.priors.construct import half_normal, normal
from mixedfx.priors.distributions import DISTRIBUTIONS
from mixedfx.priors.location import Flat, Normal
from mixedfx.priors.positive import Gamma

Array = NDArray[np.float64]

DEFAULTS: dict[str, Any] = {
    "overall": normal(0.0, 1.0, autoscale=True),
    "stratum": normal(0.0, 1.0, autoscale=True),
    "coef": normal(0.0, 0.5, autoscale=True),
    "sd": half_normal(0.5, autoscale=True),
}
"""What a prior is for -> the prior where none is given, in units."""
NORMAL = ("overall", "stratum", "coef")


@dataclass(frozen=True, eq=False)
class Reported:
    """A checked table.

    Attributes
    ----------
    frame
        (G, c) covariates.
    labels
        The G subgroups in words.
    y, V
        (G,) estimates and (G, G) covariance of their errors.
    n
        (G,) people; None where they are not known.
    source, index
        (G, .) all columns of the data, by which a question can name others, and labels of its rows.
    """

    frame: pd.DataFrame
    labels: tuple[str, ...]
    y: Array
    V: Array
    n: Array | None
    source: pd.DataFrame
    index: pd.Index | None


def read_reported(data: Any, by: str | Sequence[str], *, yi: Any, vi: Any, sei: Any, V: Any, n: Any) -> Reported:
    """Read and check; see `mixedfx.meta.subgroups.subgroup_effects.subgroup_effects`.

    Raises
    ------
    DataError
        Naming rows and the reason.
    OptionError
        Errors of the estimates that are given twice, or not at all.
    """
    if data is None:
        raise DataError("there are no data", hint="Give a table with one row for each subgroup.")
    columns = [by] if isinstance(by, str) else list(by)
    read_plan(columns, None)  # refuses what is no list of different columns, and names that tables of effects need
    if not columns:
        raise OptionError("by names no covariate", hint='Write by="age", or by=["age", "sex"].')
    source, labels = fetched(data, {"yi": yi, "n": n}, whole=True)
    frame = pd.DataFrame({name: named(name, source) for name in columns}).reset_index(drop=True)
    G = len(frame)
    if G < 2:
        raise DataError(
            f"the data have {G} subgroup{'' if G == 1 else 's'}: there is nothing to compare",
            hint="Give a row for each subgroup of the trial.",
        )
    _check_cells(frame)
    y = numbers(yi, source, labels, "yi")
    bad = np.flatnonzero(~np.isfinite(y))
    if len(bad):
        raise DataError(
            f"the estimate (yi) is missing or infinite in {some_rows(bad)} (counted from 0)",
            hint="Leave these rows out: of a subgroup without an estimate nothing is known.",
        )
    people = None if n is None else numbers(n, source, labels, "n")
    if people is not None and not ((people > 0) & np.isfinite(people)).all():
        bad = np.flatnonzero(~((people > 0) & np.isfinite(people)))
        raise DataError(
            f"n is missing, infinite or not positive in {some_rows(bad)} (counted from 0)",
            hint="Give the people of each subgroup, or leave n= out.",
        )
    rows = frame.astype(object).to_numpy()
    texts = tuple(", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True)) for row in rows)
    covariance = _covariance(source, labels, vi=vi, sei=sei, V=V)
    return Reported(frame, texts, y, covariance, people, source, labels)


def _check_cells(frame: pd.DataFrame) -> None:
    columns = [str(name) for name in frame.columns]
    for name in columns:
        bad = np.flatnonzero(frame[name].isna().to_numpy())
        if len(bad):
            raise DataError(
                f"{name} is missing in {some_rows(bad)} (counted from 0)",
                hint="A subgroup is a value of every covariate of by=. Rows for all values of one hold the people of "
                "other rows: leave them out, or analyse one covariate at a time.",
            )
    cell = frame.groupby(columns, sort=False, observed=True).ngroup().to_numpy()
    most = int(np.bincount(cell).argmax())
    rows = np.flatnonzero(cell == most)
    if len(rows) > 1:
        text = ", ".join(f"{c}={frame[c].iloc[rows[0]]}" for c in columns)
        raise DataError(
            f"{some_rows(rows)} (counted from 0) are the same subgroup, {text}",
            hint="Add the covariate that tells them apart to by=, or combine them with mixedfx.aggregate.",
        )
    for name in columns:
        if len(set(column(frame, name))) < 2:
            raise DataError(
                f"{name} has the single value {frame[name].iloc[0]!r} in all subgroups", hint="Leave it out of by=."
            )


def _covariance(source: pd.DataFrame, labels: pd.Index | None, *, vi: Any, sei: Any, V: Any) -> Array:
    """(G, G) covariance of the errors of the estimates."""
    given = [name for name, value in (("vi", vi), ("sei", sei), ("V", V)) if value is not None]
    if len(given) > 1:
        raise OptionError(
            f"{' and '.join(f'{name}=' for name in given)} are given", hint="Give one: vi is the square of sei."
        )
    if not given:
        name = next((column for column in ("sei", "vi") if column in source.columns), None)
        if name is None:
            raise OptionError(
                "the errors of the estimates are not given, and the data have no column 'sei' or 'vi'",
                hint="Name the column: sei='...' for standard errors; of a 95 % interval (upper - lower) / 3.92.",
            )
        sei, vi = (name, None) if name == "sei" else (None, name)
    if V is not None:
        return read_covariance(V, len(source), np.arange(len(source)), labels).toarray()
    value, what = (sei, "sei") if sei is not None else (vi, "vi")
    found = numbers(value, source, labels, what)
    bad = np.flatnonzero(~((found > 0) & np.isfinite(found)))
    if len(bad):
        words = "standard error" if what == "sei" else "sampling variance"
        raise DataError(
            f"the {words} ({what}) is {found[bad[0]]:g} in {some_rows(bad[:1])} (counted from 0)"
            + (f", and so in {len(bad) - 1} more" if len(bad) > 1 else ""),
            hint="It is positive and finite; correct these rows or leave them out.",
        )
    return np.diag(found**2 if what == "sei" else found)


def read_unit(unit: float | str, reported: Reported) -> tuple[float, str]:
    """The unit of the priors, and where it comes from.

    Raises
    ------
    OptionError
        Neither a positive number nor ``"information"``, or that without numbers of people.
    """
    if isinstance(unit, str):
        if unit != "information":
            raise OptionError(f"unit={unit!r} is not known", hint="Give a number, or 'information'.")
        if reported.n is None:
            raise OptionError("unit='information' needs the people of each subgroup", hint="Name their column: n='n'.")
        found = float(np.sqrt(reported.n.sum() / (1 / np.diag(reported.V)).sum()))
        return found, "the standard error that one person alone would give, from n and the standard errors"
    if isinstance(unit, bool) or not isinstance(unit, int | float | np.number) or not 0 < float(unit) < np.inf:
        raise OptionError(f"unit={unit!r} is no positive number", hint="Give a large effect in units of the estimates.")
    return float(unit), ""


def read_priors(given: Mapping[Any, Any] | None, unit: float, orders: int) -> SubgroupPriors:
    """Priors in the units of the estimates.

    Raises
    ------
    OptionError
        An unknown key, or a prior that the model cannot have.
    ImproperPosteriorError
        Priors that are no distributions, under which models have no evidence.
    """
    entries: dict[Any, Any] = dict(DEFAULTS)
    keys: list[Any] = [*DEFAULTS, *(("sd", f"order {k}") for k in range(1, orders + 1))]
    for key, prior in (given or {}).items():
        if key not in keys:
            raise OptionError(f"priors: {key!r} is not known", hint=f"Keys: {', '.join(map(repr, keys))}.")
        if not isinstance(prior, tuple(DISTRIBUTIONS)):
            raise OptionError(
                f"priors: {prior!r} is no prior of one parameter", hint="Write mixedfx.priors.normal(0, 1), say."
            )
        if isinstance(prior, Flat):
            raise ImproperPosteriorError(
                f"priors[{key!r}]: a flat prior is no distribution, and models under it have no evidence",
                hint="Give a wide one that is, such as mixedfx.priors.normal(0, 10).",
            )
        entries[key] = prior
    for key in NORMAL:
        prior = entries[key]
        if not isinstance(prior, Normal) or prior.half:
            raise OptionError(
                f"priors[{key!r}] must be normal: given the scales the effects then are normal too",
                hint="Write mixedfx.priors.normal(0, 1).",
            )
    for key, prior in entries.items():
        if key in NORMAL:
            continue
        if isinstance(prior, Gamma) and prior.shape < 1:
            raise OptionError(
                f"priors[{key!r}]: the density of {prior} is infinite at zero", hint="Give a shape of 1 or more."
            )
    ready = {key: prior.rescaled(unit) if prior.autoscale else prior for key, prior in entries.items()}
    own = {k: ready[("sd", f"order {k}")] for k in range(1, orders + 1) if ("sd", f"order {k}") in ready}
    return SubgroupPriors(ready["overall"], ready["stratum"], ready["coef"], ready["sd"], own)


def read_model_weights(given: Mapping[str, float] | None, names: tuple[str, ...]) -> Array:
    """Prior probabilities of the models, sum 1.

    Raises
    ------
    OptionError
        A model without a weight or one that is unknown; weights that are not positive.
    """
    if given is None:
        return np.full(len(names), 1 / len(names))
    odd = [name for name in given if name not in names]
    lacking = [name for name in names if name not in given]
    if odd or lacking:
        what = f"names {odd[0]!r}, which is not compared" if odd else f"has no entry for {lacking[0]!r}"
        raise OptionError(f"prior_weights {what}", hint=f"Give each of {', '.join(map(repr, names))} a weight.")
    values = np.array([given[name] for name in names], dtype=np.float64)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise OptionError("prior_weights are not all positive", hint="Leave a model out with models=[...].")
    return values / values.sum()
