"""Formula and data -> `Design`: rows chosen, response, X of full rank, random terms as codes and covariates.

The order of work, each step in a file that is visited once: fetch the columns the formula needs (`source`), align what
is given beside them (`alignment`), choose the rows (`select`), evaluate offsets (`expressions`) and the response
(`response`), build the columns of every part (`parts`), drop aliased ones of X (`rank`, `estimable`), code the groups
(`grouping`), remember what repeats all this on new data (`spec`), and run the checks that hold for the model
(`checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.alignment import per_row
from mixedfx.design.checks import check_design
from mixedfx.design.columns import Frame
from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.dispersion import read_dispersion
from mixedfx.design.estimable import null_space
from mixedfx.design.expressions import Scope, number
from mixedfx.design.grouping import Codes, Grouping, group
from mixedfx.design.parts import Part, build_parts
from mixedfx.design.precision import read_covariance
from mixedfx.design.rank import full_rank
from mixedfx.design.relation import with_relations
from mixedfx.design.response import check_arguments, check_varies, read_response
from mixedfx.design.select import choose_rows
from mixedfx.design.source import known_errors_beside_dispersion, read_source
from mixedfx.design.spec import DesignSpec, OffsetSpec, RandomSpec
from mixedfx.errors import DataError, FormulaError
from mixedfx.families.family import Family
from mixedfx.families.registry import find_family
from mixedfx.formula.mixed_formula import MixedFormula

Array = NDArray[np.float64]


def design(
    formula: str | MixedFormula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    family: str | Family | None = None,
) -> Design:
    """Show what a formula makes of a data frame before any model is fitted: X, the random terms, the rows used.

    Nothing is refused that only a fit would have to refuse, such as a response without variation.

    Parameters
    ----------
    formula
        lme4's notation, ``"Reaction ~ Days + (Days | Subject)"``.
    data
        Any data frame narwhals understands: pandas, polars, pyarrow.
    weights, offset, na, contrasts, env, family
        As in `build_design`.

    Returns
    -------
    Design
        Prints as a short description; ``X``, ``fixed_names``, ``random`` and ``rows`` hold the details.

    Raises
    ------
    FormulaError, DataError
        As in `build_design`.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.build import design
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0, 1, 2, 3], "g": ["a", "a", "b", "b"]})
    >>> design("y ~ x", data)
    Design of y ~ x
    4 rows
    fixed effects (2): Intercept, x
    """
    return build_design(
        formula,
        data,
        weights=weights,
        offset=offset,
        na=na,
        contrasts=contrasts,
        env=env,
        sigma_free=False,
        family=family,
    )


def build_design(
    formula: str | MixedFormula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    sigma_free: bool = True,
    family: str | Family | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    dispersion: str | MixedFormula | None = None,
) -> Design:
    """Build the design of a mixed model.

    Strings are treatment coded with their levels sorted, categorical columns in their own order (unused categories
    dropped), booleans as factors with levels False and True; whole numbers are numbers unless written ``C(x)``.
    Stateful transforms (``center``, ``poly``, ``bs``) learn from the rows used.

    Parameters
    ----------
    formula
        Text or a parsed formula.
    data
        Any data frame narwhals understands; only the columns the formula needs are read.
    weights
        Precision weights (var = sigma^2 / w): a column name or one value for each row of `data`. A pandas Series is
        aligned with the index of `data`, anything else is taken by position. Rows of weight zero are dropped with a
        warning.
    offset
        Added to the ``offset(...)`` terms of the formula: a column name, or one value for each row of `data`, aligned
        as `weights` are. A name is looked up again in new data; values belong to the rows of `data`, and questions
        about others that need an offset are refused.
    na
        What to do with rows in which a column that is needed is missing: ``"drop"`` leaves them out (`Design.rows`
        says how many, because of which columns), ``"raise"`` refuses.
    contrasts
        Factor -> coding, for the fixed and the random part alike: ``"treatment"``, ``"sum"``, ``"helmert"``,
        ``"poly"``, ``"diff"``, ``"SAS"``, a formulaic contrasts object, or a matrix with one row for each level.
    env
        Functions and constants that the formula may use besides the documented ones.
    sigma_free
        Whether sigma is estimated, as in a linear mixed model. Then a constant response, a grouping factor with one
        level and a term with as many effects as there are rows are errors, and few levels are warned about unless
        `family` is given, since then there are priors. Of families other than gaussian and student with the identity
        link it concerns a constant response only.
    family
        Distribution of the response, a name or a family. It decides which responses are read (see
        `mixedfx.design.response`), whether `weights` are possible, and whether X has an intercept: not under
        cumulative. None: numbers only, as in a linear mixed model.

    V
        Known covariance of the sampling errors: (n, n) for the rows of `data`, dense or sparse, or (n,) variances.
    sigma
        Factor of the residual standard deviations: a number where it is known; None: one beside known sampling errors
        (`V`, ``se(...)``), else estimated; ``"estimate"``: estimated beside these too.
    dispersion
        One-sided formula of the logarithm of the residual standard deviation, its intercept log sigma; see
        `mixedfx.design.dispersion`.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        The formula cannot be read.
    UnsafeFormulaError
        The formula asks for a function that is neither documented nor in `env`.
    DataError
        Unknown or unusable columns, a response that is not numeric or that the family cannot have (naming rows),
        infinities, negative weights, no rows left.
    OptionError
        `weights` for a family without a residual variance.
    ModelError
        The model cannot be estimated from these data; `weights` beside ``se(...)``.

    Warns
    -----
    RowsDroppedWarning, RankDeficiencyWarning, IdentifiabilityWarning, FewLevelsWarning, UnusedCategoryWarning

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.build import build_design
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0, 1, 2, 0, 1, 2], "g": list("aabbcc")})
    >>> built = build_design("y ~ x + (1 | g)", data, sigma_free=False)
    >>> built.fixed_names, built.random[0].levels, built.random[0].codes.tolist()
    (('Intercept', 'x'), ('a', 'b', 'c'), [0, 0, 1, 1, 2, 2])
    """
    if na not in ("drop", "raise"):
        raise DataError(f"na='{na}' is not known", hint="Use na='drop' or na='raise'.")
    family = None if family is None else find_family(family)
    ordered = family is not None and family.outcome == "ordered"
    source = read_source(formula, data, env or {}, (weights, offset), dispersion, V)
    parsed, total = source.formula, len(source.columns)
    if ordered:
        _refuse_no_intercept(parsed)
    if source.spread is not None and V is not None:
        raise known_errors_beside_dispersion()

    given = {"weights": weights, "offset": offset}
    arrays = {
        name: per_row(values, source.labels, total, name)
        for name, values in given.items()
        if values is not None and not isinstance(values, str)
    }
    if source.variances is not None and np.isnan(source.variances).any():
        arrays["V"] = source.variances
    all_weights = arrays.get("weights")
    if isinstance(weights, str):
        column_of_weights = source.columns[weights]
        all_weights = per_row(column_of_weights, column_of_weights.index, total, "weights")
    rows, kept_weights, frame = choose_rows(source.columns, all_weights, arrays, na)
    rows = replace(rows, labels=source.labels)
    offset_column = offset if isinstance(offset, str) else None
    if "offset" in arrays:
        offset_column = _free_name("(offset)", source.names)
        frame = frame.with_values(offset_column, arrays["offset"][rows.used])

    scope = Scope.of(env, contrasts)
    outside = [] if offset_column is None else [f"`{offset_column}`"]
    offsets = tuple(OffsetSpec(e, {}) for e in (*parsed.offsets, *outside))
    total_offset = np.zeros(len(frame))
    for offset_spec in offsets:
        total_offset += number(offset_spec.expression, frame, scope, offset_spec.state, rows.used, "offset")
    check_arguments(parsed, family, weights, V, sigma)
    response = read_response(parsed, family, frame, scope, rows.used, source.columns)
    if family is not None and not family.identity and sigma_free:
        check_varies(response, family, parsed.response or "")

    spreads = [] if source.spread is None else [source.spread.fixed]
    parts = build_parts([parsed.fixed, *(term.left for term in parsed.random), *spreads], frame, scope, rows.used)
    full, fixed = parts[parsed.fixed]
    kept, aliased = full_rank(full, fixed.columns, fixed.constant_factors)
    null = null_space(full, kept, fixed.columns)
    if ordered:
        kept = kept[np.array([fixed.columns[j] != "Intercept" for j in kept], dtype=bool)]
    X = full if len(kept) == full.shape[1] else np.ascontiguousarray(full[:, kept])
    random, random_specs = _random_terms(parsed, frame, parts.__getitem__, env or {})

    model = None if source.spread is None else read_dispersion(source.spread, *parts[source.spread.fixed])
    covariance, known_sd = None, response.known_sd
    if V is not None:
        covariance = read_covariance(V, total, rows.used, source.labels)
        if covariance.nnz == len(frame):  # nothing beside the diagonal
            covariance, known_sd = None, np.sqrt(covariance.diagonal())
    spec = DesignSpec.of(
        frame.series,
        formula=parsed,
        fixed=fixed,
        kept=kept,
        random=random_specs,
        offsets=offsets,
        given_offset=offset_column,
        offset_is_own="offset" in arrays,
        weights=weights if isinstance(weights, str) else None,
        env=dict(env or {}),
        contrasts=dict(contrasts or {}),
        null=null,
    )
    beside = [c for c in frame.columns if c not in source.used and c != offset_column]
    built = Design(
        formula=parsed,
        y=response.y,
        X=X,
        fixed_names=tuple(fixed.columns[j] for j in kept),
        random=random,
        weights=kept_weights,
        offset=total_offset,
        columns=frame.without(beside),
        spec=spec,
        rows=rows,
        aliased=aliased,
        known_sd=known_sd,
        response_name=parsed.response or "",
        trials=response.trials,
        categories=response.categories,
        known_covariance=covariance,
        scale=sigma,
        dispersion=model,
    )
    check_design(built, family, sigma_free)
    return built


def _free_name(name: str, taken: Sequence[Any]) -> str:
    """`name`, with a mark where a column of the data has it already."""
    while name in taken:
        name += "_"
    return name


def _refuse_no_intercept(formula: MixedFormula) -> None:
    """Refuse ``0 +`` in the fixed part of a model whose thresholds take the place of the intercept."""
    if formula.fixed.split("+")[0].strip() == "0":
        raise FormulaError(
            "the thresholds of a cumulative model take the place of its intercept: `0 +` has no meaning",
            formula=formula.text,
            column=formula.text.find("~") + 1,
            hint="Leave `0 +` (or `- 1`) out of the fixed part.",
        )


def _random_terms(
    formula: MixedFormula, frame: Frame, part: Callable[[str], tuple[Array, Part]], env: Mapping[str, Any]
) -> tuple[tuple[RandomTerm, ...], tuple[RandomSpec, ...]]:
    """Build the random terms in the order of the formula; each left side and grouping factor is worked out once."""
    groups: dict[tuple[str, ...], tuple[Codes, Grouping]] = {}
    terms, specs = [], []
    for random in formula.random:
        if random.group not in groups:
            groups[random.group] = group(frame, random.group)
        codes, grouping = groups[random.group]
        z, left = part(random.left)
        if not left.columns:
            raise FormulaError(
                f"the left side of ({random.left} | {random.label}) has no columns",
                formula=formula.text,
                column=random.column,
                hint=f"Write (1 | {random.label}) for a random intercept.",
            )
        shared = random.left.removeprefix("0 + ")
        terms.append(RandomTerm(random.label, left.columns, grouping.levels, codes, z, random.structure, shared))
        specs.append(RandomSpec(random.label, left, grouping))
    return with_relations(tuple(terms), formula, env), tuple(specs)
