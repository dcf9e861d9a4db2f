"""What several fits say, gathered for one table: coefficients, variance components, facts, R2 and ICC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.inference.degrees_of_freedom import find_ddf
from mixedfx.inference.linear_fit import is_linear
from mixedfx.inference.robust import covariance_words
from mixedfx.inference.variance_explained import VarianceParts, r2_table, variance_parts
from mixedfx.results.model_table import ModelRow, ModelSection, ModelTable
from mixedfx.results.numbers import decimals
from mixedfx.results.protocol import answering
from mixedfx.results.sheet import sheet_of
from mixedfx.results.summary import rows_text

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
Show = Literal["se", "ci", "none"]


def table(
    *fits: Any,
    names: Sequence[str] | None = None,
    show: Show = "se",
    level: float = 0.95,
    stars: bool = False,
    digits: int = 3,
    labels: Mapping[str, str] | None = None,
    ddf: str | None = None,
    vcov: Any = None,
    drop: str | Sequence[str] = (),
    groups: Mapping[str, str | Sequence[str]] | None = None,
) -> Any:
    """Models side by side, or one table, for a paper.

    Parameters
    ----------
    *fits
        Fits of `mixedfx.lmer`, `mixedfx.glmer` and `mixedfx.bayes`, in any mixture; a list of them; or a dictionary of
        names and fits. A single data frame (``fit.tidy()``) or answer (of `mixedfx.effects`) becomes a table of its
        own, rounded and with headers for people; only `digits` and `labels` (of its columns) concern it.
    names
        Heading of each; (1), (2), ... where None.
    show
        What stands below an estimate: ``"se"`` (standard error, or posterior standard deviation), ``"ci"`` (interval),
        ``"none"``.
    level
        Probability inside the intervals.
    stars
        Whether to mark p values below 0.05, 0.01 and 0.001.
    digits
        Significant digits of the smallest standard error of a coefficient.
    labels
        Coefficient -> what to write instead. Coefficients stand in the order of their first appearance.
    ddf
        Degrees of freedom of intervals and p values of linear mixed models, as in ``fit.tidy``; Satterthwaite's where
        None. Those of generalised ones are infinite (z). A note says which.
    vcov
        One covariance of the fixed effects for each fit, or None, as in ``fit.tidy``: those of ``fit.vcov_robust()``.
    drop
        Coefficients that are not shown, by their name or that of their term (``"professor"`` is all its dummies); a
        row says which models have them.
    groups
        Heading -> coefficients or terms that stand under it, after the others.

    Returns
    -------
    ModelTable
        Prints as text; ``.to_markdown()``, ``.to_latex()``, ``.to_html()``, ``.to_excel("table.xlsx")``, ``.gt()``,
        ``.rich()``, ``.frame``. Of a frame or an answer a `Sheet`, with the same forms.

    Raises
    ------
    OptionError
        Names or covariances that do not match the fits; stars for a posterior; coefficients that no fit has.

    Examples
    --------
    >>> import mixedfx as mx
    >>> data = mx.datasets.load("flipped_classroom")
    >>> a = mx.lmer("score ~ 1 + (1 | professor)", data)
    >>> b = mx.lmer("score ~ style + (1 | professor)", data)
    >>> print(mx.table(a, b, names=["empty", "style"]).frame.loc["Fixed effects"])
                                empty         style
    Intercept            64.07 (2.11)  62.36 (3.75)
    style[Some Flipped]                 5.19 (5.30)
    style[No Flipped]                  -0.04 (5.30)
    """
    check_option("show", show, ("se", "ci", "none"))
    check_level(level)
    kind = find_ddf("satterthwaite" if ddf is None else ddf)
    fits, names = _given(fits, names)
    if len(fits) == 1 and isinstance(fits[0], pd.DataFrame):
        return sheet_of(fits[0], headers=labels, digits=digits)
    if len(fits) == 1 and hasattr(fits[0], "sheet"):
        return fits[0].sheet(labels)
    if not fits:
        raise OptionError("a table needs a fit", hint="Write mx.table(fit1, fit2).")
    fits = tuple(answering(fit, ("posterior", "varcorr", "tidy", "design"), "a table of models") for fit in fits)
    heads = tuple(f"({i})" for i in range(1, len(fits) + 1)) if names is None else tuple(map(str, names))
    covariances = [None] * len(fits) if vcov is None else list(vcov)
    for what, given in (("names", heads), ("vcov", covariances)):
        if len(given) != len(fits):
            raise OptionError(f"{what}= has {len(given)} entries for {len(fits)} fits", hint="Give one for each.")
    if stars and any(_posterior(fit) for fit in fits):
        raise OptionError("stars mark p values, and a posterior has none", hint='Use show="ci".')
    fixed = [_fixed(fit, level, ddf, v) for fit, v in zip(fits, covariances, strict=True)]
    places = _placed(fits, fixed, drop, groups or {})
    write = partial(_coefficients, fixed, show, stars, digits, labels or {})
    sections = [
        *(ModelSection(title, write(terms)) for title, terms in places.shown.items()),
        ModelSection("Random effects", _components(fits)),
        ModelSection("Fit", (*places.dropped, *_facts(fits))),
    ]
    notes = _notes(fits, show, level, stars)
    notes += _basis(heads, fits, covariances, kind.words if show == "ci" or stars else None)
    return ModelTable(heads, tuple(s for s in sections if s.rows), notes)


def _given(fits: tuple[Any, ...], names: Sequence[str] | None) -> tuple[tuple[Any, ...], Sequence[str] | None]:
    """Fits and their names, however they were given."""
    if len(fits) == 1 and isinstance(fits[0], Mapping):
        return tuple(fits[0].values()), list(map(str, fits[0])) if names is None else names
    if len(fits) == 1 and isinstance(fits[0], list | tuple):
        return tuple(fits[0]), names
    return fits, names


@dataclass(frozen=True)
class _Places:
    """Which coefficients stand under which heading, and rows that say which models have those left out."""

    shown: Mapping[str, list[str]]
    dropped: tuple[ModelRow, ...]


def _placed(
    fits: Sequence[Any], tables: Sequence[pd.DataFrame], drop: str | Sequence[str], groups: Mapping[str, Any]
) -> _Places:
    every = list(dict.fromkeys(str(term) for t in tables for term in t.index))

    def read(wanted: str | Sequence[str], argument: str) -> dict[str, list[str]]:
        listed = [wanted] if isinstance(wanted, str) else list(wanted)
        out = {name: [term for term in every if term == name or name in _terms_of(fits, term)] for name in listed}
        for name, found in out.items():
            if not found:
                raise OptionError(
                    f"{argument} names {name!r}, which no fit has", hint=f"Coefficients: {', '.join(every)}."
                )
        return out

    dropped = read(drop, "drop=")
    taken = {
        heading: [t for found in read(names, "groups=").values() for t in found] for heading, names in groups.items()
    }
    gone = {term for found in dropped.values() for term in found}
    apart = {term for found in taken.values() for term in found}
    shown = {"Fixed effects": [t for t in every if t not in gone | apart]}
    shown |= {heading: [t for t in found if t not in gone] for heading, found in taken.items()}
    rows = []
    for name, found in dropped.items():
        count = [sum(term in t.index for term in found) for t in tables]
        rows.append(ModelRow(f"{name}: coefficients", tuple(str(c) if c else "" for c in count)))
    return _Places(shown, tuple(rows))


def _terms_of(fits: Sequence[Any], coefficient: str) -> set[str]:
    """Texts of the terms that a coefficient belongs to in the fits that have it."""
    found = set()
    for fit in fits:
        names = list(fit.design.fixed_names)
        if coefficient in names:
            found.add(fit.design.terms.owner(names.index(coefficient)).text)
    return found


def _basis(heads: Sequence[str], fits: Sequence[Any], covariances: Sequence[Any], ddf: str | None) -> tuple[str, ...]:
    """What intervals and p values rest on: a covariance not the model's, and the degrees of freedom in words."""
    notes = []
    given = {head: covariance_words(v) for head, v in zip(heads, covariances, strict=True) if v is not None}
    if given and len(set(given.values())) == 1 and len(given) == len(heads):
        notes.append(f"Covariance of the fixed effects: {next(iter(given.values()))}.")
    else:
        notes += [f"Covariance of the fixed effects of {head}: {words}." for head, words in given.items()]
    if ddf is not None:
        estimated = [(head, fit) for head, fit in zip(heads, fits, strict=True) if not _posterior(fit)]
        normal = [head for head, fit in estimated if fit.usual_ddf == "normal"]
        words = [ddf] if len(normal) < len(estimated) else []
        if normal:
            of = f"of {', '.join(normal)} " if words else ""
            words.append(f"{of}{find_ddf('normal').words}")
        if words:
            notes.append(f"Degrees of freedom: {'; '.join(words)}.")
    return tuple(notes)


def _posterior(fit: Any) -> bool:
    return fit.posterior


def _fixed(fit: Any, level: float, ddf: str | None, vcov: Any) -> pd.DataFrame:
    if _posterior(fit):
        if vcov is not None:
            raise OptionError("vcov= is for fits by REML or ML", hint="Give None for a posterior.")
        found = fit.tidy(level=level)
        return found.set_index(_within(found) + found["term"])
    options = {} if ddf is None or fit.usual_ddf == "normal" else {"ddf": ddf}
    return fit.tidy(level=level, vcov=vcov, **options).set_index("term")


def _within(table: pd.DataFrame) -> pd.Series:
    """What stands before a name where there are several linear predictors: ``"zero: "``, of a part or a category."""
    along = next((name for name in ("part", "category") if name in table), None)
    names = ["" if along is None else f"{name}: " for name in (table.index if along is None else table[along])]
    return pd.Series(names, index=table.index, dtype=object)


def _coefficients(
    tables: Sequence[pd.DataFrame],
    show: Show,
    stars: bool,
    digits: int,
    labels: Mapping[str, str],
    terms: Sequence[str],
) -> tuple[ModelRow, ...]:
    rows = []
    for term in terms:
        found = [t.loc[term] if term in t.index else None for t in tables]
        places = decimals([float(f["std_error"]) for f in found if f is not None], digits)
        cells = tuple("" if f is None else f"{f['estimate']:.{places}f}{_stars(f, stars)}" for f in found)
        below = () if show == "none" else tuple("" if f is None else _spread(f, show, places) for f in found)
        rows.append(ModelRow(labels.get(term, term), cells, below))
    return tuple(rows)


def _stars(row: pd.Series, wanted: bool) -> str:
    if not wanted:
        return ""
    p: Any = row["p_value"]
    return next((mark for limit, mark in STARS if p < limit), "")


def _spread(row: pd.Series, show: Show, places: int) -> str:
    if show == "se":
        return f"({row['std_error']:.{places}f})"
    return f"[{row['conf_low']:.{places}f}, {row['conf_high']:.{places}f}]"


def _components(fits: Sequence[Any]) -> tuple[ModelRow, ...]:
    values: list[dict[str, float]] = []
    for fit in fits:
        found = fit.varcorr
        values.append(
            {
                _component(before + g, first, second): float(sdcor)
                for before, (g, first, second, sdcor) in zip(
                    _within(found), found[["grp", "var1", "var2", "sdcor"]].itertuples(index=False), strict=True
                )
            }
        )
    order = list(dict.fromkeys(name for v in values for name in v if name != "SD residual"))
    rows = []
    for name in [*order, *(["SD residual"] if any("SD residual" in v for v in values) else [])]:
        known = [v[name] for v in values if name in v and not np.isnan(v[name])]
        places = 2 if name.startswith("r ") else decimals(known, 4)
        rows.append(ModelRow(name, tuple(_number(v.get(name), places) for v in values)))
    return tuple(rows)


def _component(group: str, first: Any, second: Any) -> str:
    if not isinstance(first, str):
        return "SD residual"
    return f"r {group}: {first}, {second}" if isinstance(second, str) else f"SD {group}: {first}"


def _number(value: float | None, places: int) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.{places}f}"


def _facts(fits: Sequence[Any]) -> tuple[ModelRow, ...]:
    glances = [fit.glance().iloc[0] for fit in fits]
    parts = [_parts(fit) for fit in fits]
    r2 = [None if p is None else r2_table(p).iloc[0] for p in parts]
    rows = [ModelRow("Rows", tuple(f"{fit.nobs}" for fit in fits))]
    for group in dict.fromkeys(g for fit in fits for g in fit.ngroups):
        rows.append(ModelRow(f"Levels of {group}", tuple(str(fit.ngroups.get(group, "")) for fit in fits)))
    rows.append(ModelRow("Estimated by", tuple(_method(fit) for fit in fits)))
    if any(_family(fit) != "gaussian" for fit in fits):
        rows.append(ModelRow("Family", tuple(_family(fit) for fit in fits)))
    for label, key in (("Log likelihood", "logLik"), ("AIC", "AIC"), ("BIC", "BIC")):
        rows.append(ModelRow(label, tuple(_number(g.get(key), 1) for g in glances)))
    if any("shape" in g for g in glances):
        rows.append(ModelRow("Shape", tuple(_number(g.get("shape"), 3) for g in glances)))
    rows.append(ModelRow("R2 marginal", tuple(_number(None if r is None else r["marginal"], 3) for r in r2)))
    rows.append(ModelRow("R2 conditional", tuple(_number(None if r is None else r["conditional"], 3) for r in r2)))
    iccs = (p.of_random / (p.of_random + p.residual) if p is not None and p.random else None for p in parts)
    rows.append(ModelRow("ICC", tuple(_number(i, 3) for i in iccs)))
    return tuple(row for row in rows if any(row.cells))


def _parts(fit: Any) -> VarianceParts | None:
    """Parts of the variance of a normal response, where the residual has one."""
    if _family(fit) != "gaussian":
        return None
    residual = fit.varcorr.set_index("grp")["vcov"].get("Residual", 1.0)
    return variance_parts(fit.design, fit.fixef.to_numpy(), fit.covariance_factors, float(residual))


def _family(fit: Any) -> str:
    return "gaussian" if fit.family.linear_gaussian else str(fit.family)


def _method(fit: Any) -> str:
    if _posterior(fit):
        return "posterior"
    if fit.usual_ddf == "sample":
        return "pseudo ML"
    return "least squares" if is_linear(fit) and fit.REML else "REML" if fit.REML else "ML"


def _notes(fits: Sequence[Any], show: Show, level: float, stars: bool) -> tuple[str, ...]:
    notes = []
    posterior = [_posterior(fit) for fit in fits]
    if show == "se":
        words = "posterior standard deviations" if all(posterior) else "standard errors"
        both = "; of a posterior, standard deviations" if any(posterior) and not all(posterior) else ""
        notes.append(f"In brackets: {words}{both}.")
    elif show == "ci":
        notes.append(f"In brackets: {100 * level:g} % intervals.")
    if stars:
        notes.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    dropped = {i: fit.design.rows for i, fit in enumerate(fits, 1) if len(fit.design.y) < fit.design.rows.total}
    notes += [f"({i}): {rows_text(rows)}." for i, rows in dropped.items()]
    methods = {_method(fit) for fit in fits}
    fixed_parts = {tuple(fit.design.fixed_names) for fit in fits if _method(fit) == "REML"}
    if len(fixed_parts) > 1:
        notes.append("Log likelihood, AIC and BIC of REML fits with different fixed parts cannot be compared.")
    if {"REML", "ML"} <= methods:
        notes.append("Log likelihood, AIC and BIC by REML and by ML cannot be compared.")
    if len({fit.nobs for fit in fits}) > 1:
        notes.append("The fits use different numbers of rows.")
    return tuple(notes)
