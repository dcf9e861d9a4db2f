"""What a posterior fit tells its reader: tables in broom's columns, priors as used, the summary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.diagnose import verdict
from mixedfx.bayes.posterior.estimates import sigma
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.draws import Key
from mixedfx.errors import check_level, check_option
from mixedfx.families.hurdle import Hurdle
from mixedfx.formula.part_formulas import right_side
from mixedfx.results import tables
from mixedfx.results.numbers import column
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text

Array = NDArray[np.float64]


def _moments(values: Array, level: float) -> pd.DataFrame:
    """Estimate, std_error, conf_low, conf_high of the columns of (D, m) draws."""
    lower, upper = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    columns = {"estimate": values.mean(axis=0), "std_error": values.std(axis=0, ddof=1)}
    return pd.DataFrame(columns | {"conf_low": lower, "conf_high": upper})


def tidy(posterior: Posterior, effects: tables.Effects, level: float) -> pd.DataFrame:
    """Table behind `PosteriorFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
    check_level(level)
    parts = [_FILLED[effects](posterior, level, number) for number in range(len(posterior.joint.predictors))]
    if len(parts) == 1:
        return parts[0]
    for part, predictor in zip(parts, posterior.joint.predictors, strict=True):
        part.insert(0, posterior.along, predictor.category)
    return pd.concat(parts, ignore_index=True)


def _fixed(posterior: Posterior, level: float, number: int) -> pd.DataFrame:
    """Coefficients of one linear predictor, after the thresholds of an ordinal response."""
    names, values = list(posterior.designs[number].fixed_names), posterior.joint.predictors[number].beta
    if posterior.joint.thresholds is not None:
        names = [*(f"threshold[{k + 1}]" for k in range(posterior.joint.thresholds.shape[1])), *names]
        values = np.concatenate([posterior.joint.thresholds, values], axis=1)
    table = _moments(values, level)
    table.insert(0, "term", names)
    return table


def _ran_pars(posterior: Posterior, level: float, number: int) -> pd.DataFrame:
    """Standard deviations and correlations of one linear predictor, and, with the first, what the family has."""
    keys, values = posterior.parameters
    category = posterior.joint.predictors[number].category
    mine = [i for i, key in enumerate(keys) if _belongs(key, category, number)]
    keys = tuple(keys[i] for i in mine)
    table = _moments(values[:, mine], level)
    short = [_without(key, category) for key in keys]
    residual = posterior.family.normal  # elsewhere sigma is a scale, not the standard deviation of the rows
    table.insert(0, "group", [_group(key, residual) for key in short])
    table.insert(1, "term", [_parameter_name(key, residual) for key in short])
    return table


def _ran_vals(posterior: Posterior, level: float, number: int) -> pd.DataFrame:
    own = posterior.designs[number]
    keys = tables.draw_keys(own)[len(own.fixed_names) :]
    table = _moments(posterior.joint.predictors[number].u, level)
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


def prior_summary(posterior: Posterior) -> SummaryContent:
    """The priors, as given and as used."""
    header = ("Parameter", "Prior", "As used, in the units of the data")
    table = SummaryTable("Priors", header, posterior.priors.described, "lll")
    note = "scaled from the data" if posterior.priors.from_data else "as given; nothing was taken from the data"
    return SummaryContent(
        f"Priors of {posterior.design.formula}",
        (SummaryFacts((("Set", posterior.priors.name), ("Scales", note))), table),
    )


def glance(posterior: Posterior) -> pd.DataFrame:
    """Table behind `PosteriorFit.glance`."""
    s = posterior.sampling
    row = {
        "nobs": len(posterior.design.y),
        "draws": posterior.n_draws,
        "method": s.method,
        "k_hat": s.k_hat,
        "ess": s.ess,
    }
    row |= {"r_hat": s.r_hat, "sigma": sigma(posterior), "family": posterior.family.name, "divergences": s.divergences}
    return pd.DataFrame([row])


def summary(posterior: Posterior, level: float) -> SummaryContent:
    """Data, priors in brief, variances, fixed effects, diagnostics."""
    check_level(level)
    design = posterior.design
    facts = [("Formula", " ".join(design.formula.text.split()))]
    if not _plain(posterior):
        facts.append(("Family", f"{posterior.family.name}, {posterior.family.link.name} link"))
    if posterior.categories:
        reference = " (reference)" if posterior.family.outcome == "nominal" else ""
        facts.append(("Categories", ", ".join((posterior.categories[0] + reference, *posterior.categories[1:]))))
    elif design.categories:
        facts.append(("Success", f"{design.response_name} = {design.categories[1]}"))
    facts.append(("Data", rows_text(design.rows)))
    if design.zero is not None:
        facts.append(("Zeros", f"{right_side(design.zero.formula)}, logit link of {_of_zeros(posterior)}"))
    groups = {label: n for one in design.of_predictors(1) for label, n in tables.group_sizes(one).items()}
    if groups:
        facts.append(("Groups", ", ".join(f"{label} {n}" for label, n in groups.items())))
    facts.append(("Priors", f"{posterior.priors.name}; fit.prior_summary() lists them"))
    prior = posterior.sampling.method == "prior"
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    several = (posterior.along,) if len(posterior.joint.predictors) > 1 else ()
    pars = tidy(posterior, "ran_pars", level)
    of_groups = np.array([bool(group) for group in pars["group"]], dtype=bool)
    if of_groups.any():
        title = "Random effects" if groups else "Other parameters"
        blocks.append(_estimates(title, pars.loc[of_groups], (*several, "group", "term"), level))
    fixed = tidy(posterior, "fixed", level)
    if len(fixed):
        blocks.append(_estimates("Fixed effects", fixed, (*several, "term"), level))
    if not of_groups.all():
        blocks.append(_estimates("Other parameters", pars.loc[~of_groups], (*several, "term"), level))
    if not prior:
        blocks.append(SummaryFacts((("Draws", f"{posterior.n_draws} by {_engine(posterior)}; {verdict(posterior)}"),)))
    what = "a linear mixed model" if _plain(posterior) and groups else _kind(posterior)
    return SummaryContent(f"{'Prior predictive' if prior else 'Posterior'} of {what}", tuple(blocks))


def _of_zeros(posterior: Posterior) -> str:
    """Which probability the model of the zeros is of."""
    return "any zero" if isinstance(posterior.family, Hurdle) else "a zero besides those of the counts"


def _plain(posterior: Posterior) -> bool:
    return posterior.family.linear_gaussian


def _kind(posterior: Posterior) -> str:
    multilevel = any(one.random for one in posterior.designs)
    return f"a {posterior.family.name} {'multilevel ' if multilevel else ''}model"


def _engine(posterior: Posterior) -> str:
    return posterior.sampling.label


def _estimates(title: str, table: pd.DataFrame, names: tuple[str, ...], level: float) -> SummaryTable:
    tail = (1 - level) / 2
    header = (*("" for _ in names), "Mean", "SD", f"{tail:.1%}", f"{1 - tail:.1%}")
    values = [column(table[c]) for c in ("estimate", "std_error", "conf_low", "conf_high")]
    rows = tuple(zip(*(list(table[n]) for n in names), *values, strict=True))
    return SummaryTable(title, header, rows, "l" * len(names) + "rrrr")
