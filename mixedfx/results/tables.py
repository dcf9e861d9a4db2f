"""Tables of a fit: fixed effects, variance components, random effects, and broom's tidy and glance.

Everything here takes estimates and returns pandas tables; nothing here estimates. Degrees of freedom are an argument:
where they are unknown, p values and intervals are NaN, never silently those of a normal distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.components import sds_first
from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.dispersion import Dispersion
from mixedfx.errors import OptionError, check_level, check_option

Effects = Literal["fixed", "ran_pars", "ran_vals"]
TIDY_COLUMNS = ("term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high")


def term_names(random: Sequence[RandomTerm]) -> tuple[str, ...]:
    """Name of each random term in tables and in the keys of draws.

    The label of its grouping factor; terms may share a label as long as their columns differ, as in
    ``(1 | g) + (0 + x | g)``. A term that repeats a column under the same label becomes ``g.1``, ``g.2``, ...

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.design import RandomTerm
    >>> from mixedfx.results.tables import term_names
    >>> def term(label, *columns):
    ...     return RandomTerm(label, columns, ("a",), np.zeros(2, int), np.ones((2, len(columns))))
    >>> term_names([term("g", "Intercept"), term("g", "x"), term("g", "x", "w")])
    ('g', 'g', 'g.1')
    """
    taken: set[tuple[str, str]] = set()
    names = []
    for term in random:
        name, repeat = term.label, 0
        while any((name, column) in taken for column in term.columns):
            repeat += 1
            name = f"{term.label}.{repeat}"
        taken.update((name, column) for column in term.columns)
        names.append(name)
    return tuple(names)


def group_name(random: Sequence[RandomTerm], group: str | None) -> str:
    """Name of a table of random effects, as `term_names` has them; the first where `group` is None.

    Raises
    ------
    OptionError
        There is no random term, or none of that name.
    """
    names = term_names(random)
    if not names:
        raise OptionError("this fit has no random effects")
    if group is not None:
        check_option("group", group, names)
    return names[0] if group is None else group


def group_sizes(design: Design) -> dict[str, int]:
    """Grouping factor -> number of levels."""
    return {term.label: term.n_levels for term in design.random}


def sizes_text(design: Design) -> str:
    """Rows and groups of a fit on one line: ``"375 rows, professor 15"``."""
    used = f"{len(design.y)} rows"
    if len(design.y) < design.rows.total:
        used = f"{len(design.y)} of {design.rows.total} rows"
    return ", ".join([used, *(f"{label} {n}" for label, n in group_sizes(design).items())])


def draw_keys(design: Design) -> tuple[tuple[str, ...], ...]:
    """Keys of the draws of (beta, u): ``("beta", name)``, then ``("u", group, level, column)`` as `Design` orders u."""
    keys: list[tuple[str, ...]] = [("beta", name) for name in design.fixed_names]
    for group, term in zip(term_names(design.random), design.random, strict=True):
        keys += [("u", group, level, column) for level in term.levels for column in term.columns]
    return tuple(keys)


def theta_names(random: Sequence[RandomTerm]) -> tuple[str, ...]:
    """Labels of theta: ``g.x`` on the diagonal of a factor, ``g.x.Intercept`` for row x, column Intercept below it."""
    return tuple(
        f"{name}.{label}"
        for name, term in zip(term_names(random), random, strict=True)
        for label in term.covariance.theta_labels(term.columns, term.shared)
    )


def varcorr_table(
    random: Sequence[RandomTerm], factors: Sequence[NDArray[np.float64]], sigma: float | None, residual: bool = True
) -> pd.DataFrame:
    """Variances and covariances, one row each, in the layout of lme4's ``as.data.frame(VarCorr(fit))``.

    Parameters
    ----------
    random, factors
        The random terms and their (k, k) relative covariance factors T: the covariance of a level is sigma^2 T T'.
    sigma
        Residual standard deviation.
    residual
        Whether sigma is a parameter, and gets a row.

    Returns
    -------
    DataFrame
        grp, var1, var2 (None for a variance), vcov (variance or covariance), sdcor (standard deviation or
        correlation; NaN where a standard deviation is zero). Residual comes last, if there is one. What the columns of
        a structured term share has a row, named by the left side of the term; a correlation of several pairs of
        columns with variances of their own, ``cs()``, belongs to no single covariance, which is NaN.
    """
    scale = 1.0 if sigma is None else sigma
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    for name, term, factor in zip(term_names(random), random, factors, strict=True):
        # standard deviations first, then correlations
        for component in sds_first(term.covariance.components):
            value = float(component.value(factor))
            if component.kind == "sd":
                column = component.names(term.columns, term.shared)[0]
                rows.append((name, column, None, (scale * value) ** 2, scale * value))
                continue
            first, second = component.names(term.columns, term.shared)
            product = factor @ factor.T
            single = len(component.pairs) == 1 or term.covariance.n_sds == 1
            at = component.columns[:2] if single else None
            rows.append((name, first, second, np.nan if at is None else scale**2 * product[at], value))
    if sigma is not None and residual:
        rows.append(("Residual", None, None, sigma**2, sigma))
    # built as objects: pandas would turn the None of a variance into NaN
    table = pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"], dtype=object)
    return table.astype({"vcov": float, "sdcor": float})


def ranef_tables(random: Sequence[RandomTerm], values: Sequence[NDArray[np.float64]]) -> dict[str, pd.DataFrame]:
    """Random effects, or anything shaped like them, as one table for each grouping factor.

    Parameters
    ----------
    random
        The random terms.
    values
        For each term (levels, k).

    Returns
    -------
    dict
        Name -> table with a row for each level and a column for each effect. Terms that share a name share a table,
        as in lme4's ``ranef``.
    """
    tables: dict[str, pd.DataFrame] = {}
    for name, term, value in zip(term_names(random), random, values, strict=True):
        part = pd.DataFrame(value, index=pd.Index(term.levels, name=term.label), columns=list(term.columns))
        tables[name] = tables[name].join(part, how="outer", sort=False) if name in tables else part
    return tables


def split_effects(design: Design, u: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut u (q,), ordered as `Design` orders it, into one (levels, k) array for each term."""
    starts = design.starts
    return [u[starts[t] : starts[t + 1]].reshape(r.n_levels, r.n_columns) for t, r in enumerate(design.random)]


def fixed_table(
    names: Sequence[str],
    estimate: NDArray[np.float64],
    vcov: NDArray[np.float64],
    df: NDArray[np.float64] | float = np.nan,
    level: float = 0.95,
) -> pd.DataFrame:
    """Table of fixed effects in broom's columns.

    Parameters
    ----------
    names
        Labels of the p coefficients.
    estimate
        (p,) estimates.
    vcov
        (p, p) their covariance.
    df
        Degrees of freedom of t, one for all or (p,); NaN where unknown, infinite for the normal distribution.
    level
        Confidence level of the intervals.

    Returns
    -------
    DataFrame
        term, estimate, std_error, statistic, df, p_value (two-sided), conf_low, conf_high.
    """
    std_error = np.sqrt(np.diag(vcov))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / std_error
    df = np.broadcast_to(np.asarray(df, dtype=float), estimate.shape)
    p_value, half = t_test(statistic, std_error, df, level)
    values = (list(names), estimate, std_error, statistic, df, p_value, estimate - half, estimate + half)
    return pd.DataFrame(dict(zip(TIDY_COLUMNS, values, strict=True)))


def t_test(
    statistic: NDArray[np.float64], std_error: NDArray[np.float64], df: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided p values and half widths of intervals; NaN where df is NaN."""
    check_level(level)
    if np.isnan(df).all():
        return np.full(df.shape, np.nan), np.full(df.shape, np.nan)
    return 2 * t_below(df, -np.abs(statistic)), std_error * _t_quantile(df, (1 + level) / 2)


def t_below(df: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution function of t; normal where df is infinite. `scipy.stats` has the same, and takes long to import."""
    from scipy import special

    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(np.isinf(df), special.ndtr(t), special.stdtr(finite, t))


def t_between(
    mean: NDArray[np.float64], se: NDArray[np.float64], df: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """Probability of lying between two numbers; as a difference of the nearer tails, which loses none that is small.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.results.tables import t_between
    >>> float(t_between(np.zeros(1), np.ones(1), np.full(1, np.inf), -1.96, 1.96).round(3)[0])
    0.95
    """
    safe = np.where(se > 0, se, 1.0)
    a, b = (low - mean) / safe, (high - mean) / safe
    inside = np.where(a > 0, t_below(df, -a) - t_below(df, -b), t_below(df, b) - t_below(df, a))
    return np.clip(np.where(se > 0, inside, (mean > low) & (mean < high)), 0.0, 1.0)


def _t_quantile(df: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    from scipy import special

    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(np.isinf(df), special.ndtri(share), special.stdtrit(finite, share))


def ran_pars_table(varcorr: pd.DataFrame) -> pd.DataFrame:
    """Table of standard deviations and correlations in broom.mixed's notation.

    Returns
    -------
    DataFrame
        group, then broom's columns; terms are ``sd__x``, ``cor__Intercept.x`` and, for the residual,
        ``sd__Observation``. Only term and estimate are filled: these estimates carry no standard error.
    """
    terms = [_ran_par(first, second) for first, second in zip(varcorr["var1"], varcorr["var2"], strict=True)]
    table = pd.DataFrame({"term": terms, "estimate": varcorr["sdcor"].to_numpy()}).reindex(columns=list(TIDY_COLUMNS))
    table.insert(0, "group", varcorr["grp"].to_numpy())
    return table.astype(dict.fromkeys(TIDY_COLUMNS[1:], float))


def _ran_par(first: object, second: object) -> str:
    if not isinstance(first, str):
        return "sd__Observation"
    return f"cor__{first}.{second}" if isinstance(second, str) else f"sd__{first}"


def ran_vals_table(
    ranef: Mapping[str, pd.DataFrame],
    ranef_sd: Mapping[str, pd.DataFrame],
    df: float = np.nan,
    level: float = 0.95,
) -> pd.DataFrame:
    """Conditional modes, one row for each level and column.

    Returns
    -------
    DataFrame
        group, level, then broom's columns; std_error is the conditional standard deviation, statistic and p_value are
        NaN.
    """
    parts = []
    for name, modes in ranef.items():
        estimate, sd = modes.to_numpy().ravel(), ranef_sd[name].to_numpy().ravel()
        _, half = t_test(estimate, sd, np.full(estimate.shape, df), level)
        columns = {
            "group": name,
            "level": np.repeat(np.asarray(modes.index, dtype=object), modes.shape[1]),
            "term": np.tile(np.asarray(modes.columns, dtype=object), modes.shape[0]),
            "estimate": estimate,
            "std_error": sd,
            "statistic": np.nan,
            "df": df,
            "p_value": np.nan,
            "conf_low": estimate - half,
            "conf_high": estimate + half,
        }
        parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame(columns=["group", "level", *TIDY_COLUMNS])
    return pd.concat(parts, ignore_index=True)


def glance_table(
    *, nobs: int, n_parameters: int, sigma: float, criterion: float, REML: bool, converged: bool, singular: bool
) -> pd.DataFrame:
    """One row of numbers about the whole fit, in broom's names.

    AIC is criterion + 2 k and BIC criterion + k log n, with k the fixed effects, theta and sigma, for REML as for ML:
    lme4's convention. Between REML fits both compare models with the same fixed part only.
    """
    name = "REMLcrit" if REML else "deviance"
    row = {
        "nobs": nobs,
        "npar": n_parameters,
        "sigma": sigma,
        "logLik": -criterion / 2,
        "AIC": aic(criterion, n_parameters),
        "BIC": bic(criterion, n_parameters, nobs),
        name: criterion,
        "df_residual": nobs - n_parameters,
        "converged": converged,
        "singular": singular,
    }
    return pd.DataFrame([row])


def dispersion_table(dispersion: Dispersion) -> pd.DataFrame:
    """Coefficients of log residual standard deviations: term, estimate, std_error, statistic, p_value, ratio."""
    from scipy import special

    estimate = dispersion.gamma
    se = np.full(len(estimate), np.nan) if dispersion.vcov is None else np.sqrt(np.diag(dispersion.vcov))
    z = estimate / se
    return pd.DataFrame(
        {
            "term": list(dispersion.names), "estimate": estimate, "std_error": se, "statistic": z,
            "p_value": 2.0 * special.ndtr(-np.abs(z)), "ratio": np.exp(estimate),
        }
    )  # fmt: skip


def aic(criterion: float, n_parameters: int) -> float:
    """Akaike's criterion, -2 log L + 2 k."""
    return criterion + 2 * n_parameters


def bic(criterion: float, n_parameters: int, nobs: int) -> float:
    """Schwarz's criterion, -2 log L + k log n."""
    return criterion + n_parameters * float(np.log(nobs))
