"""Pictures of a multilevel meta-analysis by name: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.design.frame import opened, to_pandas
from mixedfx.errors import ModelError, check_level, check_option
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.measure import Array
from mixedfx.meta.multivariate.mv_report import predict
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.reading import values
from mixedfx.meta.univariate.pictures import held_note, moderator_grid, moderators
from mixedfx.meta.univariate.rma_report import critical_value, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture


def plot(fit: RmaMvState, what: str, ax: Axes | None, **options: Any) -> Picture:
    """Draw one picture.

    Raises
    ------
    OptionError
        For an unknown kind, or options that it does not have.
    ModelError
        For a kind that this fit has no data for.
    """
    from mixedfx.plots.picture import Picture

    check_option("kind", what, tuple(KINDS))
    return Picture(KINDS[what](fit, ax, **options))


def labels_of(fit: RmaMvState, what: Any, name: str) -> Array:
    """(k,) a value for each estimate: of a grouping factor, a column of the data, or values for its rows."""
    if isinstance(what, str):
        for term in fit.design.random:
            if term.label == what:
                return np.asarray(term.levels, dtype=object)[term.codes]
    data = fit.design.frame if fit.model.call is None else opened(fit.model.call.data)
    frame = data if isinstance(data, pd.DataFrame) else to_pandas(data)
    return values(what, frame, frame.index, name)[fit.design.rows.used]


def group_means(fit: RmaMvState, group: str, level: float) -> pd.DataFrame | None:
    """Predicted mean true effect of each level of a grouping factor; None where the fit has none of the kind.

    Of an intercept it is mu + u. A structured term, ``homcs(0 + school | district)``, has effects of the inner levels:
    their mean is shown, each level that the group has counted once. The interval is that of the error of this mean, the
    components taken as known.
    """
    design = fit.design
    of_group = [i for i, term in enumerate(design.random) if term.label == group]
    own = [i for i in of_group if design.random[i].columns == ("Intercept",)] or of_group
    if fit.names != ("Intercept",) or len(own) != 1:
        return None
    term, starts = design.random[own[0]], design.starts
    rows = fit.model.design_for()
    keep = np.zeros(design.n_random)
    keep[starts[own[0]] : starts[own[0] + 1]] = 1.0
    only = replace(rows, random=sparse.csr_array(rows.random @ sparse.diags_array(keep)))
    keys = np.array([_key(only.random, row) for row in range(len(only))], dtype=object)
    different = pd.factorize(keys)[0]
    first = np.sort(np.unique(np.column_stack([term.codes, different]), axis=0, return_index=True)[1])
    groups, member = np.unique(term.codes[first], return_inverse=True)
    weights = sparse.csr_array((1 / np.bincount(member)[member], (member, first)), shape=(len(groups), len(only)))
    found = fit.model.with_uncertainty("given theta").apply(only.combine(weights))
    low, high = limits(found.mean, critical_value(fit.df, level) * found.sd)
    names = [term.levels[code] for code in groups]
    return pd.DataFrame({"estimate": found.mean, "conf_low": low, "conf_high": high, "group": names})


def _key(rows: sparse.csr_array, row: int) -> str:
    """What tells rows of random effects apart."""
    at = slice(rows.indptr[row], rows.indptr[row + 1])
    kept = np.flatnonzero(rows.data[at])
    return repr([(int(rows.indices[at][i]), float(rows.data[at][i])) for i in kept])


def forest_tables(
    fit: RmaMvState, level: float, transf: Any, group: Any, order: str, slab: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates and means as `mixedfx.plots.study_forest` draws them."""
    check_level(level)
    design = fit.design
    y, half = design.y, critical_value(np.inf, level) * np.sqrt(design.precision.variances)
    alone = fit.names == ("Intercept",)
    columns: dict[str, Any] = {"label": [str(name) for name in _slab(fit, slab)], "estimate": y}
    columns |= {"conf_low": y - half, "conf_high": y + half}
    if alone:
        columns["weight"] = fit.study_weights.to_numpy()
    studies = pd.DataFrame(columns)
    parts: list[pd.DataFrame] = []
    if group is not None:
        studies["group"] = _headings(group, labels_of(fit, group, "group"))
        means = group_means(fit, group, level) if isinstance(group, str) else None
        if means is not None:
            simple = any(term.label == group and term.columns == ("Intercept",) for term in fit.design.random)
            label = "Predicted mean" if simple else "Mean true effect"
            parts.append(means.assign(label=label, group=_headings(group, means["group"])))
    if alone:
        parts.append(
            predict(fit, None, level, None).iloc[[0]].assign(label="Mean" if group is None else "All", group=None)
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"label": [], "estimate": []})
    back = find_back(transf)
    for frame in (studies, table):
        for column in ("estimate", "conf_low", "conf_high", "pred_low", "pred_high"):
            if column in frame:
                frame[column] = back(frame[column].to_numpy(dtype=np.float64))
    if order != "data":
        check_option("order", order, ("data", "estimate", "weight"))
        by = y if order == "estimate" else -1.0 / half
        studies = studies.iloc[np.argsort(by, kind="stable")]
    return studies, table


def _headings(group: Any, names: Any) -> list[str]:
    """Names of groups; a number says little alone, and gets the name of its column."""
    found = [str(name) for name in names]
    alone = isinstance(group, str) and all(name.isdigit() for name in found)
    return [f"{group} {name}" if alone else name for name in found]


def _slab(fit: RmaMvState, slab: Any) -> Any:
    call = fit.model.call
    if slab is None and (call is None or "slab" not in getattr(call.data, "columns", ())):
        return fit.design.frame.index
    return labels_of(fit, "slab" if slab is None else slab, "slab")


def _forest(
    fit: RmaMvState, ax: Axes | None, transf: Any = None, level: float | None = None, group: Any = None,
    order: str = "data", slab: Any = None, **options: Any,
) -> Axes:  # fmt: skip
    from mixedfx.plots.study_forest import study_forest

    studies, pooled = forest_tables(fit, fit.level if level is None else level, transf, group, order, slab)
    ratio = transf == "exp"
    return study_forest(studies, pooled, ax=ax, **{"null": 1.0 if ratio else 0.0, "log": ratio, **options})


def _funnel(fit: RmaMvState, ax: Axes | None, **options: Any) -> Axes:
    from mixedfx.plots.funnel import funnel

    if fit.names != ("Intercept",):
        raise ModelError("the funnel plot is for fits without moderators", hint="Draw plot('bubble', variable=...).")
    table = pd.DataFrame({"estimate": fit.design.y, "std_error": np.sqrt(fit.design.precision.variances)})
    if options.get("contours"):
        options.setdefault("levels", (0.90, 0.95, 0.99))
    return funnel(table, float(fit.beta[0]), ax=ax, **options)


def bubble_tables(fit: RmaMvState, variable: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates over a moderator by the inverse of their variance, and the fitted line."""
    frame = moderators(fit.design)
    x, grid = moderator_grid(frame, variable)
    line = predict(fit, grid, None, None).reset_index(drop=True)
    line.insert(0, "x", grid[variable].to_numpy())
    spread = float(fit.components.loc[~fit.components["term"].str.startswith("rho"), "estimate"].sum())
    w = 1.0 / (fit.design.precision.variances + spread)
    return pd.DataFrame({"x": x, "estimate": fit.design.y, "weight": 100 * w / w.sum()}), line


def _bubble(fit: RmaMvState, ax: Axes | None, variable: str | None = None, **options: Any) -> Axes:
    from mixedfx.plots.bubble import bubble

    frame = moderators(fit.design)
    if variable is None:
        numeric = [str(c) for c in frame.columns if c in fit.names]
        if not numeric:
            raise ModelError("no moderator of this fit is a number", hint="Draw plot('forest').")
        variable = numeric[0]
    studies, line = bubble_tables(fit, variable)
    note = held_note(frame, variable)
    return bubble(studies, line, ax=ax, **{"xlabel": variable, "note": note, **options})


KINDS: Mapping[str, Callable[..., Any]] = {"forest": _forest, "funnel": _funnel, "bubble": _bubble}
