"""What a fit of `mixedfx.rma_mv` tells its reader: tables, intervals, heterogeneity by level, predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.covariance.components import sds_first
from mixedfx.design.frame import opened, to_pandas
from mixedfx.errors import OptionError, check_level
from mixedfx.inference.hypotheses import hypothesis_table
from mixedfx.meta.measure import Array
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.univariate.rma_report import critical_value, means_table
from mixedfx.reml.profiling import profile_intervals
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text
from mixedfx.results.tables import fixed_table, group_sizes, term_names

Back = str | Callable[[Array], Array] | None


def tidy(fit: RmaMvState, level: float | None) -> pd.DataFrame:
    """Table behind `RmaMvFit.tidy`."""
    return fixed_table(fit.names, fit.beta, fit.covariance, fit.df, fit.level if level is None else level)


def glance(fit: RmaMvState) -> pd.DataFrame:
    """Table behind `RmaMvFit.glance`."""
    ll, npar = fit.loglik(), fit.n_parameters
    n = fit.k - fit.p if fit.method == "REML" else fit.k
    row = {
        "k": fit.k,
        "QE": fit.QE,
        "QE_p_value": fit.QE_p_value,
        "QM": fit.QM,
        "QM_p_value": fit.QM_p_value,
        "logLik": ll,
        "logLik_without_constant": fit.loglik(constant=False),
        "AIC": -2 * ll + 2 * npar,
        "BIC": -2 * ll + npar * np.log(n) if n > 0 else np.nan,
        "method": fit.method,
        "test": fit.test,
        "converged": fit.model.converged,
        "singular": fit.model.singular,
    }
    return pd.DataFrame([row])


def hypothesis(fit: RmaMvState, what: Any, rhs: Any, joint: bool, level: float | None) -> pd.DataFrame:
    """Table behind `RmaMvFit.test_hypothesis`."""
    level = fit.level if level is None else level
    return hypothesis_table(what, rhs, fit.names, fit.beta, lambda: fit.reference, joint, level)


def confint(fit: RmaMvState, parm: str | None, level: float | None) -> pd.DataFrame:
    """Table behind `RmaMvFit.confint`."""
    level = fit.level if level is None else level
    check_level(level)
    if parm not in (None, "fixed", "components"):
        raise OptionError(f"parm={parm!r} is not known", hint="Use 'fixed', 'components', or None for both.")
    parts: list[Any] = []
    if parm != "components":
        fixed: Any = tidy(fit, level)[["term", "estimate", "conf_low", "conf_high"]]
        fixed.insert(0, "group", "")
        parts.append(fixed)
    if parm != "fixed" and len(fit.design.random):
        found = profile_intervals(fit.design, fit.model.solution, "ran_pars", level, "tidy", restricted=True)
        table = fit.components
        # lme4's order has the correlations of a column behind its sd; components have sds of a term first
        ends = found[["conf_low", "conf_high"]].to_numpy()[_order(fit)]
        square = np.array(["rho" not in term for term in table["term"]], dtype=bool)
        ends[square] = ends[square] ** 2
        table["conf_low"], table["conf_high"] = ends[:, 0], ends[:, 1]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _order(fit: RmaMvState) -> list[int]:
    """Where lme4's order has each component of the table of components."""
    order: list[int] = []
    for term in fit.design.random:
        components, before = term.covariance.components, len(order)
        order += [before + components.index(component) for component in sds_first(components)]
    return order


def i2(fit: RmaMvState) -> pd.DataFrame:
    """Table behind `RmaMvFit.i2`."""
    variances: dict[str, float] = {}
    for name, term, T in zip(term_names(fit.design.random), fit.design.random, fit.model.solution.factors, strict=True):
        size = np.ones(fit.k) if term.relation is None else np.diag(term.relation)[term.codes]
        mean = float(np.mean(size * ((term.z @ T) ** 2).sum(axis=1)))
        variances[name] = variances.get(name, 0.0) + mean
    total = sum(variances.values())
    rows = [*variances.items(), ("(all)", total), ("(sampling)", fit.typical_variance)]
    table = pd.DataFrame(rows, columns=["group", "variance"])
    table["i2"] = 100.0 * table["variance"] / (total + fit.typical_variance)
    return table


def predict(fit: RmaMvState, newdata: Any, level: float | None, transf: Back) -> pd.DataFrame:
    """Table behind `RmaMvFit.predict`."""
    level = fit.level if level is None else level
    check_level(level)
    X, offset, spread, labels = _rows(fit, newdata)
    mean = X @ fit.beta + offset
    variance = np.sum((X @ fit.covariance) * X, axis=1)
    return means_table(mean, variance, critical_value(fit.df, level), transf, labels, spread)


def _rows(fit: RmaMvState, newdata: Any) -> tuple[Array, Array, Array, pd.Index | None]:
    """(m, p) rows of X, (m,) offsets, (m,) variances of true effects of new levels, and labels."""
    design = fit.design
    factors = fit.model.solution.factors
    if newdata is None:
        spread = _spread([term.z for term in design.random], factors, fit.k)
        constant = float(np.ptp(spread)) <= 1e-12 * max(1.0, float(spread.max()))
        if fit.names == ("Intercept",) and not design.offset.any() and constant:
            return design.X[:1], design.offset[:1], spread[:1], None
        return design.X, design.offset, spread, pd.Index(design.frame.index)
    from mixedfx.design.alignment import row_labels

    labels = row_labels(newdata)
    frame = opened(newdata)
    frame = frame if isinstance(frame, pd.DataFrame) else to_pandas(frame)
    # levels of grouping factors do not matter to what a new level may have
    groups = {name for part in design.formula.random for name in part.group}
    frame = frame.assign(**{g: design.frame[g].iloc[0] for g in groups if g not in frame.columns})
    replay = design.spec.replay(frame)
    zs = [np.zeros((len(replay.X), 0)) if term.z is None else term.z for term in replay.terms]
    return replay.X, replay.offset, _spread(zs, factors, len(replay.X)), labels


def _spread(zs: Iterable[Array], factors: Sequence[Array], n: int) -> Array:
    """(n,) variance of the true effect of each row, of levels whose relation to others is that of an average one."""
    total = np.zeros(n)
    for z, factor in zip(zs, factors, strict=True):
        total += ((z @ factor) ** 2).sum(axis=1)
    return total


def summary(fit: RmaMvState) -> SummaryContent:
    """Page behind `RmaMvFit.summary`."""
    kind = "meta-analysis" if fit.names == ("Intercept",) else "meta-regression"
    title = f"Multilevel {kind} of {fit.k} estimates ({fit.method})"
    sizes = ", ".join(f"{label} {n}" for label, n in group_sizes(fit.design).items())
    facts = [("Formula", fit.formula), ("Data", rows_text(fit.design.rows)), ("Levels", sizes or "none")]
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    numbers = glance(fit)
    blocks.append(frame_table(numbers[["logLik", "logLik_without_constant", "AIC", "BIC"]], "Fit"))  # type: ignore[arg-type]
    if len(fit.design.random):
        table = fit.components
        table["sd"] = np.where(table["term"].str.startswith("rho"), np.nan, np.sqrt(table["estimate"].abs()))
        blocks.append(frame_table(table, "True effects"))
    tests: list[tuple[str, float, float, float, float]] = [
        ("Residual heterogeneity" if fit.p > 1 else "Heterogeneity", fit.QE, fit.k - fit.p, np.nan, fit.QE_p_value)
    ]
    if fit.p > 1:
        num, den, _, p = fit.omnibus
        tests.append(("Moderators", fit.QM, num, den if np.isfinite(den) else np.nan, p))
    shown = pd.DataFrame(tests, columns=["test", "statistic", "df", "den_df", "p_value"]).astype({"df": int})
    blocks.append(frame_table(shown if fit.p > 1 and np.isfinite(fit.df) else shown.drop(columns="den_df"), "Tests"))
    fixed = tidy(fit, None).rename(columns={"std_error": "se"})
    blocks.append(frame_table(fixed if np.isfinite(fit.df) else fixed.drop(columns="df"), "Model"))
    words = "the normal distribution" if fit.test == "z" else f"t with {fit.df:g} degrees of freedom"
    few = min(group_sizes(fit.design).values(), default=fit.k)
    advice = "; with few clusters they are too optimistic: see fit.robust()" if few < 40 else ""
    notes = [("Tests and intervals", words + advice)]
    if fit.model.singular:
        notes.append(("Singularity", fit.model.singularity.found))
    blocks.append(SummaryFacts(tuple(notes)))
    return SummaryContent(title, tuple(blocks))
