"""What a posterior fit tells its reader: tables in broom's columns, priors as used, diagnostics, the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.importance import RELIABLE
from mixedfx.results import tables
from mixedfx.results.numbers import column
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text

if TYPE_CHECKING:
    from mixedfx.bayes.fit import PosteriorFit

Array = NDArray[np.float64]

FEW = 400  # effective draws below which quantiles in the tails are rough
CONVERGED = 1.01  # largest R-hat of chains that have mixed (Vehtari et al. 2021)


def _moments(values: Array, level: float) -> pd.DataFrame:
    """Estimate, std_error, conf_low, conf_high of the columns of (D, m) draws."""
    lower, upper = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    columns = {"estimate": values.mean(axis=0), "std_error": values.std(axis=0, ddof=1)}
    return pd.DataFrame(columns | {"conf_low": lower, "conf_high": upper})


def tidy_table(fit: PosteriorFit, effects: tables.Effects, level: float) -> pd.DataFrame:
    """Table behind `PosteriorFit.tidy`."""
    if effects == "fixed":
        table = _moments(fit.sample.beta, level)
        table.insert(0, "term", list(fit.design.fixed_names))
        return table
    if effects == "ran_pars":
        keys, values = fit._parameters
        table = _moments(values, level)
        table.insert(0, "group", ["Residual" if key[0] == "sigma" else key[1] for key in keys])
        table.insert(1, "term", [_parameter_name(key) for key in keys])
        return table
    keys = tables.draw_keys(fit.design)[fit.sample.beta.shape[1] :]
    table = _moments(fit.sample.u, level)
    for at, name in enumerate(("group", "level", "term")):
        table.insert(at, name, [key[at + 1] for key in keys])
    return table


def _parameter_name(key: tuple[str, ...]) -> str:
    if key[0] == "sigma":
        return "sd__Observation"
    return f"sd__{key[2]}" if key[0] == "sd" else f"cor__{key[2]}.{key[3]}"


def prior_summary(fit: PosteriorFit) -> SummaryContent:
    """The priors, as given and as used."""
    header = ("Parameter", "Prior", "As used, in the units of the data")
    table = SummaryTable("Priors", header, fit.priors.described, "lll")
    note = "scaled from the data" if fit.priors.from_data else "as given; nothing was taken from the data"
    return SummaryContent(
        f"Priors of {fit.formula}", (SummaryFacts((("Set", fit.priors.name), ("Scales", note))), table)
    )


def concerns(fit: PosteriorFit) -> tuple[str, ...]:
    """What a user has to know before using the draws; empty where all is well."""
    s, found = fit.sampling, []
    if s.method == "importance" and s.k_hat > RELIABLE:
        found.append(f"k-hat is {s.k_hat:.2f}, above {RELIABLE}: a few draws dominate, and intervals may be wrong.")
    if s.method == "nuts" and s.r_hat > CONVERGED:
        found.append(
            f"R-hat is {s.r_hat:.3f}, above {CONVERGED}: the chains disagree; run more iterations (warmup, draws)."
        )
    if s.divergences:
        found.append(f"{s.divergences} divergent transitions: NUTS could not follow the density everywhere.")
    if s.ess < FEW:
        found.append(
            f"only {s.ess:.0f} effective draws of (theta, sigma): quantiles in the tails are rough; ask for more draws."
        )
    return tuple(found)


def diagnostics(fit: PosteriorFit) -> SummaryContent:
    """How far the draws can be trusted, in plain words."""
    s = fit.sampling
    if s.method == "prior":
        return SummaryContent("Diagnostics", (SummaryFacts((("Method", "independent draws from the prior"),)),))
    facts: list[tuple[str, str]] = []
    if s.method == "importance":
        share = s.ess / s.proposals
        facts.append(
            ("Method", "beta and u integrated out; (theta, sigma) by importance sampling; draws are independent")
        )
        facts.append(("k-hat", f"{s.k_hat:.2f}; weights can be trusted up to {RELIABLE}"))
        facts.append(("Weights", f"{s.ess:.0f} effective of {s.proposals} weighted points ({share:.0%})"))
        facts.append(
            ("Draws", f"{fit.n_draws}, with {s.distinct} distinct (theta, sigma), each with its own (beta, u)")
        )
    else:
        facts.append(("Method", "beta and u integrated out; (theta, sigma) by NUTS"))
        facts.append(("Why NUTS", s.reason))
        facts.append(("R-hat", f"{s.r_hat:.3f}, largest over the coordinates; chains agree up to {CONVERGED}"))
        facts.append(("ESS", f"{s.ess:.0f} effective of {fit.n_draws} draws, smallest over the coordinates"))
        facts.append(("Divergences", str(s.divergences)))
    facts.append(("Work", f"{s.evaluations} evaluations, {s.seconds:.2f} s"))
    found = concerns(fit)
    facts.append(("Verdict", " ".join(found) if found else "nothing speaks against these draws"))
    return SummaryContent("Diagnostics", (SummaryFacts(tuple(facts)),))


def summary(fit: PosteriorFit, level: float) -> SummaryContent:
    """Data, priors in brief, variances, fixed effects, diagnostics."""
    design = fit.design
    facts = [("Formula", " ".join(design.formula.text.split())), ("Data", rows_text(design.rows))]
    facts.append(("Groups", ", ".join(f"{label} {n}" for label, n in fit.ngroups.items())))
    facts.append(("Priors", f"{fit.priors.name}; fit.prior_summary() lists them"))
    title = "Prior predictive" if fit.sampling.method == "prior" else "Posterior"
    (verdict,) = (
        (text for name, text in _facts(diagnostics(fit)) if name == "Verdict") if title == "Posterior" else ("",)
    )
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    blocks.append(_estimates("Random effects", fit.tidy("ran_pars", level), ("group", "term"), level))
    blocks.append(_estimates("Fixed effects", fit.tidy("fixed", level), ("term",), level))
    if verdict:
        blocks.append(SummaryFacts((("Draws", f"{fit.n_draws} by {fit.sampling.method}; {verdict}"),)))
    return SummaryContent(f"{title} of a linear mixed model", tuple(blocks))


def _facts(content: SummaryContent) -> list[tuple[str, str]]:
    return [item for block in content.blocks if isinstance(block, SummaryFacts) for item in block.items]


def _estimates(title: str, table: pd.DataFrame, names: tuple[str, ...], level: float) -> SummaryTable:
    tail = (1 - level) / 2
    header = (*("" for _ in names), "Mean", "SD", f"{tail:.1%}", f"{1 - tail:.1%}")
    values = [column(table[c]) for c in ("estimate", "std_error", "conf_low", "conf_high")]
    rows = tuple(zip(*(list(table[n]) for n in names), *values, strict=True))
    return SummaryTable(title, header, rows, "l" * len(names) + "rrrr")
