"""What a posterior fit tells its reader: tables in broom's columns, priors as used, the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.diagnose import verdict
from mixedfx.draws import Key
from mixedfx.results import tables
from mixedfx.results.numbers import column
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text

if TYPE_CHECKING:
    from mixedfx.bayes.fit import PosteriorFit

Array = NDArray[np.float64]


def _moments(values: Array, level: float) -> pd.DataFrame:
    """Estimate, std_error, conf_low, conf_high of the columns of (D, m) draws."""
    lower, upper = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    columns = {"estimate": values.mean(axis=0), "std_error": values.std(axis=0, ddof=1)}
    return pd.DataFrame(columns | {"conf_low": lower, "conf_high": upper})


def tidy_table(fit: PosteriorFit, effects: tables.Effects, level: float) -> pd.DataFrame:
    """Table behind `PosteriorFit.tidy`."""
    parts = [_FILLED[effects](fit, level, number) for number in range(len(fit.joint.predictors))]
    if len(parts) == 1:
        return parts[0]
    for part, predictor in zip(parts, fit.joint.predictors, strict=True):
        part.insert(0, "category", predictor.category)
    return pd.concat(parts, ignore_index=True)


def _fixed(fit: PosteriorFit, level: float, number: int) -> pd.DataFrame:
    """Coefficients of one linear predictor, after the thresholds of an ordinal response."""
    names, values = list(fit.design.fixed_names), fit.joint.predictors[number].beta
    if fit.joint.thresholds is not None:
        names = [*(f"threshold[{k + 1}]" for k in range(fit.joint.thresholds.shape[1])), *names]
        values = np.concatenate([fit.joint.thresholds, values], axis=1)
    table = _moments(values, level)
    table.insert(0, "term", names)
    return table


def _ran_pars(fit: PosteriorFit, level: float, number: int) -> pd.DataFrame:
    """Standard deviations and correlations of one linear predictor, and, with the first, what the family has."""
    keys, values = fit._parameters
    category = fit.joint.predictors[number].category
    mine = [i for i, key in enumerate(keys) if _belongs(key, category, number)]
    keys = tuple(keys[i] for i in mine)
    table = _moments(values[:, mine], level)
    short = [_without(key, category) for key in keys]
    residual = fit.family.normal  # elsewhere sigma is a scale, not the standard deviation of the rows
    table.insert(0, "group", [_group(key, residual) for key in short])
    table.insert(1, "term", [_parameter_name(key, residual) for key in short])
    return table


def _ran_vals(fit: PosteriorFit, level: float, number: int) -> pd.DataFrame:
    keys = tables.draw_keys(fit.design)[len(fit.design.fixed_names) :]
    table = _moments(fit.joint.predictors[number].u, level)
    for at, name in enumerate(("group", "level", "term")):
        table.insert(at, name, [key[at + 1] for key in keys])
    return table


_FILLED = {"fixed": _fixed, "ran_pars": _ran_pars, "ran_vals": _ran_vals}
_OF_TERMS = ("sd", "cor")


def _belongs(key: Key, category: str | None, number: int) -> bool:
    if key[0] == "threshold":
        return False
    if key[0] in _OF_TERMS:
        return category is None or key[1] == category
    return number == 0


def _without(key: Key, category: str | None) -> Key:
    return (key[0], *key[2:]) if category is not None and key[0] in _OF_TERMS else key


def _group(key: Key, residual: bool) -> str:
    if residual and key == ("sigma",):
        return "Residual"
    return key[1] if key[0] in _OF_TERMS else ""


def _parameter_name(key: Key, residual: bool) -> str:
    if residual and key == ("sigma",):
        return "sd__Observation"
    if key[0] == "sd":
        return f"sd__{key[2]}"
    return f"cor__{key[2]}.{key[3]}" if key[0] == "cor" else ".".join(key)


def prior_summary(fit: PosteriorFit) -> SummaryContent:
    """The priors, as given and as used."""
    header = ("Parameter", "Prior", "As used, in the units of the data")
    table = SummaryTable("Priors", header, fit.priors.described, "lll")
    note = "scaled from the data" if fit.priors.from_data else "as given; nothing was taken from the data"
    return SummaryContent(
        f"Priors of {fit.formula}", (SummaryFacts((("Set", fit.priors.name), ("Scales", note))), table)
    )


def glance(fit: PosteriorFit) -> pd.DataFrame:
    """Table behind `PosteriorFit.glance`."""
    s = fit.sampling
    row = {"nobs": fit.nobs, "draws": fit.n_draws, "method": s.method, "k_hat": s.k_hat, "ess": s.ess}
    row |= {"r_hat": s.r_hat, "sigma": fit.sigma, "family": fit.family.name, "divergences": s.divergences}
    return pd.DataFrame([row])


def summary(fit: PosteriorFit, level: float) -> SummaryContent:
    """Data, priors in brief, variances, fixed effects, diagnostics."""
    design = fit.design
    facts = [("Formula", " ".join(design.formula.text.split()))]
    if not _plain(fit):
        facts.append(("Family", f"{fit.family.name}, {fit.family.link.name} link"))
    if fit.categories:
        reference = " (reference)" if fit.family.outcome == "nominal" else ""
        facts.append(("Categories", ", ".join((fit.categories[0] + reference, *fit.categories[1:]))))
    elif design.categories:
        facts.append(("Success", f"{design.response_name} = {design.categories[1]}"))
    facts.append(("Data", rows_text(design.rows)))
    if fit.ngroups:
        facts.append(("Groups", ", ".join(f"{label} {n}" for label, n in fit.ngroups.items())))
    facts.append(("Priors", f"{fit.priors.name}; fit.prior_summary() lists them"))
    prior = fit.sampling.method == "prior"
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    several = ("category",) if len(fit.joint.predictors) > 1 else ()
    pars = fit.tidy("ran_pars", level)
    of_groups = np.array([bool(group) for group in pars["group"]], dtype=bool)
    if of_groups.any():
        title = "Random effects" if fit.ngroups else "Other parameters"
        blocks.append(_estimates(title, pars.loc[of_groups], (*several, "group", "term"), level))
    fixed = fit.tidy("fixed", level)
    if len(fixed):
        blocks.append(_estimates("Fixed effects", fixed, (*several, "term"), level))
    if not of_groups.all():
        blocks.append(_estimates("Other parameters", pars.loc[~of_groups], (*several, "term"), level))
    if not prior:
        blocks.append(SummaryFacts((("Draws", f"{fit.n_draws} by {_engine(fit)}; {verdict(fit)}"),)))
    what = "a linear mixed model" if _plain(fit) and fit.ngroups else _kind(fit)
    return SummaryContent(f"{'Prior predictive' if prior else 'Posterior'} of {what}", tuple(blocks))


def _plain(fit: PosteriorFit) -> bool:
    return fit.family.linear_gaussian


def _kind(fit: PosteriorFit) -> str:
    return f"a {fit.family.name} {'multilevel ' if fit.ngroups else ''}model"


def _engine(fit: PosteriorFit) -> str:
    engine = getattr(fit.sampling, "engine", None)
    return fit.sampling.method if engine is None else f"{fit.sampling.method} ({engine})"


def _estimates(title: str, table: pd.DataFrame, names: tuple[str, ...], level: float) -> SummaryTable:
    tail = (1 - level) / 2
    header = (*("" for _ in names), "Mean", "SD", f"{tail:.1%}", f"{1 - tail:.1%}")
    values = [column(table[c]) for c in ("estimate", "std_error", "conf_low", "conf_high")]
    rows = tuple(zip(*(list(table[n]) for n in names), *values, strict=True))
    return SummaryTable(title, header, rows, "l" * len(names) + "rrrr")
