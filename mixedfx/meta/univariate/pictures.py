"""Pictures of a meta-analysis by name: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, OptionError, check_option
from mixedfx.meta.bias.trim_fill import TrimFill
from mixedfx.meta.effect_sizes.measures import MEASURES
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.influence import without_each
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_report import blup, critical_value, predict
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects, orthonormal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture


def plot(fit: RmaState, what: str, ax: Axes | None, **options: Any) -> Picture:
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


def _label(fit: RmaState) -> str:
    return MEASURES[fit.measure].title if fit.measure in MEASURES else "effect"


def _means_only(fit: RmaState, what: str) -> None:
    if fit.names != ("Intercept",):
        raise ModelError(f"the {what} plot is for fits without moderators", hint="Draw plot('bubble', variable=...).")


def forest_tables(
    fit: RmaState, level: float, transf: Any, group: Any, order: Sequence[int] | Array | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Studies and pooled effects as `mixedfx.plots.study_forest` draws them.

    Pooled effects of groups are those of a fit to each group alone.
    """
    half = critical_value(np.inf, level) * np.sqrt(fit.vi)
    y = fit.data.y
    w = fit.fit.w[0]
    studies = pd.DataFrame(
        {
            "label": list(fit.slab),
            "estimate": y,
            "conf_low": y - half,
            "conf_high": y + half,
            "weight": 100 * w / w.sum(),
        }
    )
    pooled = []
    if group is not None:
        names = fit.data.labels_beside(group, "group")
        studies["group"] = names
        for name in pd.unique(names):
            rows = np.flatnonzero(names == name)
            part = _alone(fit, rows)
            pooled.append(predict(part, None, level, None).assign(label="Mean", group=name))
    if fit.names == ("Intercept",):
        pooled.append(predict(fit, None, level, None).assign(label="Mean" if group is None else "All", group=None))
    back = find_back(transf)
    table = pd.concat(pooled, ignore_index=True) if pooled else pd.DataFrame({"label": [], "estimate": []})
    for frame in (studies, table):
        for column in ("estimate", "conf_low", "conf_high", "pred_low", "pred_high"):
            if column in frame:
                frame[column] = back(frame[column].to_numpy(dtype=np.float64))
    return (studies if order is None else studies.iloc[np.asarray(order)]), table


def _alone(fit: RmaState, rows: Array) -> RmaState:
    """The same model of some studies, without moderators."""
    from dataclasses import replace

    data = replace(
        fit.data, y=fit.data.y[rows], offset=fit.data.offset[rows], X=np.ones((len(rows), 1)), names=("Intercept",),
        vi=fit.vi[rows], weights=None if fit.weights is None else fit.weights[rows],
        slab=tuple(fit.slab[i] for i in rows),
    )  # fmt: skip
    Q, R = orthonormal(data.X)
    weights = None if data.weights is None else data.weights[None]
    effects = Effects((data.y - data.offset)[None], data.vi[None], Q)
    found = refits(effects, R, fit.estimator, fit.test, fit.call.tau2, weights)
    few = len(rows) <= 1
    return replace(
        fit, data=data, tau2=float(found.tau2[0]), method="EE" if few else fit.method, test="z" if few else fit.test
    )


def _forest(
    fit: RmaState,
    ax: Axes | None,
    transf: Any = None,
    level: float | None = None,
    group: Any = None,
    order: str = "data",
    **options: Any,
) -> Axes:
    from mixedfx.plots.study_forest import study_forest

    check_option("order", order, ("data", "estimate", "weight"))
    by = {"data": None, "estimate": np.argsort(fit.data.y), "weight": np.argsort(-fit.fit.w[0])}[order]
    studies, pooled = forest_tables(fit, fit.level if level is None else level, transf, group, by)
    ratio = transf == "exp"
    defaults: dict[str, Any] = {"null": 1.0 if ratio else 0.0, "log": ratio, "xlabel": _label(fit)}
    if ratio:
        defaults["xlabel"] = defaults["xlabel"].removeprefix("log ")
    return study_forest(studies, pooled, ax=ax, **{**defaults, **options})


def _funnel(fit: RmaState, ax: Axes | None, trimfill: TrimFill | None = None, **options: Any) -> Axes:
    from mixedfx.plots.funnel import funnel

    _means_only(fit, "funnel")
    shown = fit if trimfill is None else trimfill.fit
    table = pd.DataFrame({"estimate": shown.data.y, "std_error": np.sqrt(shown.vi)})
    if trimfill is not None:
        table["filled"] = np.arange(shown.k) >= shown.k - trimfill.k0
    if options.get("contours"):
        options.setdefault("levels", (0.90, 0.95, 0.99))
    return funnel(table, float(shown.beta[0]), ax=ax, **{"xlabel": _label(fit), **options})


def bubble_tables(fit: RmaState, variable: str, steps: int = 100) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Studies over a moderator, and the fitted line, other moderators at their means or first levels."""
    x, grid = moderator_grid(moderators(fit.design), variable, steps)
    line = predict(fit, grid, None, None).reset_index(drop=True)
    line.insert(0, "x", grid[variable].to_numpy())
    w = fit.fit.w[0]
    return pd.DataFrame({"x": x, "estimate": fit.data.y, "weight": 100 * w / w.sum()}), line


def moderators(design: Design) -> pd.DataFrame:
    """The columns that the fixed part reads."""
    found: Any = design.frame[list(design.terms.fixed_columns)]
    return found


def moderator_grid(frame: pd.DataFrame, variable: str, steps: int = 100) -> tuple[Array, pd.DataFrame]:
    """(k,) values of a moderator, and rows along its range with the others where `held` has them."""
    if variable not in frame.columns or not pd.api.types.is_numeric_dtype(frame[variable]):
        raise OptionError(f"variable={variable!r} is no number among the moderators", hint="Name a numeric moderator.")
    x = frame[variable].to_numpy(dtype=np.float64)
    grid = pd.DataFrame({variable: np.linspace(x.min(), x.max(), steps)})
    for name, value in held(frame, variable).items():
        number = isinstance(value, float)
        grid[name] = pd.Series([value] * steps, dtype=None if number else frame[name].dtype)
    return x, grid


def held(frame: pd.DataFrame, variable: str) -> dict[str, Any]:
    """Where the other columns are held: numbers at their means, others at their most frequent value."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        if name != variable:
            values: Any = frame[name]
            number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
            found[str(name)] = float(values.mean()) if number else values.mode().iloc[0]
    return found


def held_note(frame: pd.DataFrame, variable: str) -> str:
    """The same in words."""
    parts = [f"{n} = {f'{v:.4g}' if isinstance(v, float) else v}" for n, v in held(frame, variable).items()]
    return f"line where {', '.join(parts)}" if parts else ""


def _bubble(fit: RmaState, ax: Axes | None, variable: str | None = None, **options: Any) -> Axes:
    from mixedfx.plots.bubble import bubble

    if variable is None:
        numeric = [c for c in fit.design.frame.columns if c in fit.names]
        if not numeric:
            raise ModelError("no moderator of this fit is a number", hint="Draw plot('forest').")
        variable = str(numeric[0])
    studies, line = bubble_tables(fit, variable)
    note = held_note(moderators(fit.design), variable)
    return bubble(studies, line, ax=ax, **{"xlabel": variable, "ylabel": _label(fit), "note": note, **options})


def baujat_table(fit: RmaState) -> pd.DataFrame:
    """Label, share of heterogeneity and influence of each study."""
    found = without_each(fit)
    X, variance = fit.data.X, fit.vi + fit.tau2
    residual = fit.effects.y[0] - X @ fit.beta
    change = np.sum(X * (fit.beta - found.beta), axis=1)
    spread = np.einsum("ip,ipq,iq->i", X, found.vcov, X)
    columns = {"label": list(fit.slab), "heterogeneity": residual**2 / variance, "influence": change**2 / spread}
    return pd.DataFrame(columns)


def _baujat(fit: RmaState, ax: Axes | None, **options: Any) -> Axes:
    from mixedfx.plots.baujat import baujat

    return baujat(baujat_table(fit), ax=ax, **options)


def _radial(fit: RmaState, ax: Axes | None, **options: Any) -> Axes:
    from mixedfx.plots.radial import radial

    _means_only(fit, "radial")
    sd = np.sqrt(fit.vi + fit.tau2)
    return radial(pd.DataFrame({"precision": 1 / sd, "z": fit.data.y / sd}), float(fit.beta[0]), ax=ax, **options)


WIDE = 20.0  # times the smallest risk of a study the largest is where L'Abbe plots are logarithmic

# log risk, log odds and risk of a group, and the way back
_OUTCOMES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], str]] = {
    "RR": (np.log, np.exp, "risk"),
    "OR": (lambda p: np.log(p / (1 - p)), lambda z: 1 / (1 + np.exp(-z)), "risk"),
    "RD": (lambda p: p, lambda p: p, "risk"),
}


def labbe_tables(fit: RmaState, ai: Any, n1i: Any, ci: Any, n2i: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Risks of both groups of each study, and the curve of the mean effect."""
    if fit.measure not in _OUTCOMES:
        raise ModelError(
            f"L'Abbe plots are of the measures {', '.join(_OUTCOMES)}, and this one is {fit.measure}",
            hint="Say what the estimates are: measure='RR' in mixedfx.rma.",
        )
    a, n1, c, n2 = (fit.data.beside(v, n) for v, n in ((ai, "ai"), (n1i, "n1i"), (ci, "ci"), (n2i, "n2i")))
    x, y = c / n2, a / n1
    there, back, _ = _OUTCOMES[str(fit.measure)]
    grid = np.linspace(max(1e-4, 0.5 * float(x[x > 0].min())), min(0.9999, 1.05 * float(x.max())), 100)
    w = fit.fit.w[0]
    line = pd.DataFrame({"x": grid, "y": back(there(grid) + float(fit.beta[0]))})
    return pd.DataFrame({"x": x, "y": y, "weight": 100 * w / w.sum()}), line


def _labbe(fit: RmaState, ax: Axes | None, *, ai: Any, n1i: Any, ci: Any, n2i: Any, **options: Any) -> Axes:
    from mixedfx.plots.labbe import labbe

    _means_only(fit, "L'Abbe")
    studies, line = labbe_tables(fit, ai, n1i, ci, n2i)
    word = _OUTCOMES[str(fit.measure)][2]
    labels: dict[str, Any] = {"xlabel": f"{word}, second group", "ylabel": f"{word}, first group"}
    risks = studies[["x", "y"]].to_numpy()
    labels["log"] = bool(fit.measure != "RD" and risks.min() > 0 and risks.max() > WIDE * risks.min())
    return labbe(studies, line, ax=ax, **{**labels, **options})


def _heterogeneity(fit: RmaState, ax: Axes | None, **options: Any) -> Axes:
    from mixedfx.plots.heterogeneity import heterogeneity

    _means_only(fit, "heterogeneity")
    interval = predict(fit, None, None, None)[["pred_low", "pred_high"]].to_numpy()[0]
    known = bool(np.isfinite(interval).all())
    table = pd.DataFrame({"estimate": fit.data.y, "blup": blup(fit, None, None)["estimate"].to_numpy()})
    defaults = {"prediction": (float(interval[0]), float(interval[1])) if known else None, "xlabel": _label(fit)}
    return heterogeneity(table, float(fit.beta[0]), fit.tau, ax=ax, **{**defaults, **options})


KINDS: Mapping[str, Callable[..., Any]] = {
    "forest": _forest,
    "funnel": _funnel,
    "bubble": _bubble,
    "baujat": _baujat,
    "radial": _radial,
    "labbe": _labbe,
    "heterogeneity": _heterogeneity,
}
