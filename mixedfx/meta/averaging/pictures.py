"""Pictures of an averaged meta-analysis by name: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, OptionError, check_level, check_option
from mixedfx.meta.averaging import report
from mixedfx.meta.averaging.page import NAMES
from mixedfx.meta.averaging.parameter_densities import densities, find_parameter
from mixedfx.meta.averaging.pooled import described
from mixedfx.meta.averaging.sensitivity import FACTORS, scaled_components, sensitivity
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.univariate.rma_report import critical_value
from mixedfx.progress import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.plots.picture import Picture

STEPS = 60  # standard errors at which the lines of PET and PEESE are drawn
PARAMETERS = {
    "mu": "mean effect (mu)",
    "tau": "standard deviation of true effects (tau)",
    "rho": "share of clusters in the heterogeneity (rho)",
    "PET": "PET (effect per standard error)",
    "PEESE": "PEESE (effect per sampling variance)",
}
ENDS = ("estimate", "conf_low", "conf_high")


def plot(fit: RobmaState, kind: str, ax: Axes | None, **options: Any) -> Picture:
    """Draw one picture.

    Raises
    ------
    OptionError
        For an unknown kind, or options that it does not have.
    ModelError
        For a kind that the ensemble has nothing for.
    """
    from mixedfx.plots.picture import Picture

    check_option("kind", kind, tuple(KINDS))
    return Picture(KINDS[kind](fit, ax, **options))


def _effect(fit: RobmaState) -> str:
    """What the reported effects are."""
    measure = fit.given.measure
    return NAMES.get(measure, measure) or "effect"


def _parameter(
    fit: RobmaState, ax: Axes | None, parameter: str = "mu", conditional: bool = False, **options: Any
) -> Axes:
    from mixedfx.plots.spike_densities import spike_densities

    curves, spikes = densities(fit, find_parameter(fit, parameter, conditional))
    label = PARAMETERS.get(parameter, parameter.replace("omega[", "weight of one-sided p in ["))
    return spike_densities(curves, spikes, ax=ax, **{"xlabel": label, **options})


def forest_tables(
    fit: RobmaState, level: float, transf: Any, cluster: str, order: str, studies: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates, true effects and means as `mixedfx.plots.study_forest` draws them.

    Effects are on the scale of the estimates, before `transf`. Where there are clusters, estimates are below the name
    of theirs, or with `studies` false the mean true effects of clusters are the lines.
    """
    check_option("order", order, ("data", "estimate"))
    measure = fit.given.measure if fit.given.fisher else None
    ends = ["mean", "lower", "upper"]
    every, new = report.estimates(fit, False, measure, level), report.predict(fit, None, measure, level)
    pooled = [_mean_row("All models", every, new.iloc[0])]
    if len({member.alternative("effect") for member in fit.members}) == 2:
        pooled.append(_mean_row("Models with an effect", report.estimates(fit, True, measure, level)))
    means = pd.DataFrame(pooled)
    clusters: Any = None
    if fit.clustered:
        clusters = report.cluster_effects(fit, measure, level).rename(columns=dict(zip(ends, ENDS, strict=True)))
        first = pd.unique(fit.given.owner[np.argsort(fit.given.order)])  # as in the data
        clusters = clusters.iloc[first].reset_index(drop=True)
        clusters["label"] = [f"{cluster} {name}" if name.isdigit() else name for name in clusters["cluster"]]
    table: Any
    if not studies:
        if clusters is None:
            raise OptionError("studies=False draws clusters, and the fit has none", hint="Fit with cluster='...'.")
        table = clusters[["label", *ENDS]]
    else:
        truth = report.true_effects(fit, measure, level)
        y, half = truth["yi"].to_numpy(), critical_value(np.inf, level) * np.sqrt(fit.source.vi)
        table = pd.DataFrame({"label": truth["label"], "estimate": y, "conf_low": y - half, "conf_high": y + half})
        table[["true", "true_low", "true_high"]] = truth[ends]
        if clusters is not None:
            names = dict(zip(clusters["cluster"], clusters["label"], strict=True))
            table["group"] = [names[one] for one in truth["cluster"]]
            own = clusters[list(ENDS)].assign(label="Mean true effect", group=clusters["label"])
            means = pd.concat([own, means.assign(group=None)], ignore_index=True)
    if order == "estimate":
        table = table.sort_values("estimate", kind="stable")
    back = find_back(transf)
    for frame in (table, means):
        for column in (*ENDS, "true", "true_low", "true_high", "pred_low", "pred_high"):
            if column in frame:
                frame[column] = back(frame[column].to_numpy(dtype=np.float64))
    return table, means


def _mean_row(label: str, estimates: pd.DataFrame, ahead: Any = None) -> dict[str, Any]:
    mean, _, lower, upper = estimates.loc["mu"]
    row = {"label": label, "estimate": mean, "conf_low": lower, "conf_high": upper}
    return row if ahead is None else row | {"pred_low": ahead["pred_low"], "pred_high": ahead["pred_high"]}


def _forest(
    fit: RobmaState, ax: Axes | None, transf: Any = None, level: float | None = None, cluster: str = "cluster",
    order: str = "data", studies: bool = True, **options: Any,
) -> Axes:  # fmt: skip
    from mixedfx.plots.study_forest import study_forest

    level = fit.level if level is None else level
    check_level(level)
    table, means = forest_tables(fit, level, transf, cluster, order, studies)
    ratio = transf == "exp"
    label = _effect(fit) + ("" if studies else "\n(squares: mean true effects of clusters)")
    return study_forest(
        table, means, ax=ax, **{"null": 1.0 if ratio else 0.0, "log": ratio, "xlabel": label, **options}
    )  # fmt: skip


def weight_tables(fit: RobmaState, conditional: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weights after and before the data by intervals of one-sided p: low, high, (k,) mean, median, lower, upper.

    With `conditional` averaged over the models with a weight function.
    """
    after = report.weights(fit)
    edges = fit.pooled.edges
    if conditional:
        flags = np.array([member.kind == "weights" for member in fit.members])[fit.pooled.model]
        rows = [described(column, fit.pooled.weights * flags, fit.level) for column in fit.pooled.omega.T]
        after[report.STATISTICS] = rows
    before = []
    for low, high in itertools.pairwise(edges):
        parameter = find_parameter(fit, f"omega[{low:g},{high:g}]", conditional)
        before.append(described(*parameter.prior_atoms(), fit.level))
    ends = {"low": edges[:-1], "high": edges[1:]}
    return after.drop(columns="interval").assign(**ends), pd.DataFrame(before, columns=report.STATISTICS).assign(**ends)


def _weights(fit: RobmaState, ax: Axes | None, conditional: bool = False, prior: bool = True, **options: Any) -> Axes:
    from mixedfx.plots.weight_function import weight_function

    after, before = weight_tables(fit, conditional)
    return weight_function(after, prior=before if prior else None, ax=ax, **options)


def regression_table(fit: RobmaState, level: float) -> pd.DataFrame:
    """Mean estimates by standard error under PET and PEESE, averaged over the models with each.

    Columns label, std_error, estimate, lower, upper, in the units of mu.
    """
    check_level(level)
    at, given = fit.pooled, fit.given
    kinds = np.array([member.kind for member in fit.members])
    grid = np.linspace(0.0, 1.08 * float(given.se.max()) / given.scale, STEPS)
    rows = []
    for kind, slope in (("PET", at.pet), ("PEESE", at.peese)):
        chosen = (kinds == kind)[at.model] & (at.weights > 0)
        if not chosen.any():
            continue
        share = float(fit.posterior[kinds == kind].sum())
        for se in grid:
            # PET multiplies the standard error on any scale, PEESE the variance in units of mu
            values = at.mu[chosen] + given.sign * slope[chosen] * (se if kind == "PET" else se * se)
            mean, _, lower, upper = described(values, at.weights[chosen], level)
            rows.append((f"{kind} (probability {share:.2g})", se, mean, lower, upper))
    if not rows:
        raise ModelError(
            "no model of the ensemble has PET or PEESE", hint="Fit with bias='PP' or 'PSMA', or draw plot('forest')."
        )
    return pd.DataFrame(rows, columns=["label", "std_error", "estimate", "lower", "upper"])


def _funnel(fit: RobmaState, ax: Axes | None, level: float | None = None, **options: Any) -> Axes:
    from mixedfx.plots.funnel import funnel

    if fit.given.moderators:
        raise ModelError("the funnel plot is for fits without moderators", hint="Draw plot('forest').")
    given = fit.given
    table = pd.DataFrame({"estimate": given.y / given.scale, "std_error": given.se / given.scale})
    label = "effect (Fisher's z, in units of mu)" if given.fisher else _effect(fit)
    line = regression_table(fit, fit.level if level is None else level)
    centre = float(report.estimates(fit, False, None, None).loc["mu", "mean"])
    return funnel(table, centre, regression=line, ax=ax, **{"xlabel": label, **options})


WORDS = {"effect": "effect", "heterogeneity": "heterogeneity", "hierarchical": "clustering"}


def model_labels(fit: RobmaState) -> list[str]:
    """What each model has, in words; with its prior where a component has several."""
    labels = []
    several = {
        name: len({str(getattr(m, name)) for m in fit.members if m.alternative(name)}) > 1 for name in (*WORDS, "bias")
    }
    always = {name: all(m.alternative(name) in (True, None) for m in fit.members) for name in WORDS}
    for member in fit.members:
        parts = []
        for name, word in WORDS.items():
            if member.alternative(name) and (several[name] or not always[name]):
                parts.append(f"{word} {getattr(member, name)}" if several[name] else word)
        parts += [m.name for m, o in zip(fit.given.moderators, member.moderators, strict=True) if not o.null]
        if member.alternative("bias"):
            parts.append(member.kind if member.kind in ("PET", "PEESE") else str(member.bias))
        labels.append(", ".join(parts) or "none of these")
    return labels


def _models(fit: RobmaState, ax: Axes | None, **options: Any) -> Axes:
    from mixedfx.plots.model_probabilities import model_probabilities

    table = pd.DataFrame({"model": model_labels(fit), "prior": fit.prior, "posterior": fit.posterior})
    return model_probabilities(table, ax=ax, **options)


def _sensitivity(
    fit: RobmaState,
    ax: Axes | None,
    prior: str | None = None,
    component: str | None = None,
    factors: Sequence[float] = FACTORS,
    mechanisms: str | Sequence[str] | None = None,
    progress: Asked = None,
    **options: Any,
) -> Axes | Figure:
    """A panel for each prior that has a scale, and whose component is in question; one where `prior` is named."""
    from mixedfx.plots.bayes_factors import bf_sensitivity
    from mixedfx.plots.panels import panels

    asked: dict[Any, float] = report.components(fit)["inclusion_bf"].to_dict()
    known = [name for name in scaled_components(fit) if not np.isnan(asked.get(component or name, np.nan))]
    if not known:
        raise ModelError(
            "no component is both in question and has a prior with a scale", hint="Put a spike among its priors."
        )
    if prior is not None:
        check_option("prior", prior, scaled_components(fit))
    if component is not None:
        check_option("component", component, tuple(asked))
    names = known if prior is None else [prior]
    if ax is not None and len(names) > 1:
        raise OptionError(f"ax= is one panel, and there are {len(names)}", hint=f"Name one: prior={names[0]!r}.")
    table = sensitivity(fit, names, factors, mechanisms, progress)
    group = "mechanism" if len(set(table["mechanism"])) > 1 else None

    def draw(name: str, axes: Axes | None) -> Axes:
        shown = component or name
        own: Any = table[(table["scaled"] == name) & (table["component"] == shown)]
        labels = {"xlabel": f"scale of the prior of {name}, multiplied by", "ylabel": f"inclusion BF, {shown}"}
        axes = bf_sensitivity(own, scale="factor", group=group, used=1.0, ax=axes, **{**labels, **options})
        places = sorted(own["factor"].unique())
        axes.set_xticks(places, [f"{place:g}" for place in places])
        return axes

    if len(names) == 1:
        return draw(names[0], ax)
    return panels(names, draw)


KINDS: Mapping[str, Callable[..., Any]] = {
    "forest": _forest,
    "parameter": _parameter,
    "weights": _weights,
    "funnel": _funnel,
    "models": _models,
    "sensitivity": _sensitivity,
}
