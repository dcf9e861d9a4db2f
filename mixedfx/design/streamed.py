"""Designs whose rows are read in batches: what is known of all rows, and each batch as a design of its own.

Two readings make a fit. The first learns levels, counts and a sample (`mixedfx.design.first_pass`); the sample, which
has a row of every level, goes through the code that builds designs in memory, and what transforms learn is learnt anew
from all rows (`mixedfx.design.streamed_transforms`). From then on a batch of rows is a small `Design` with the levels
of all rows: its cross-products add up to theirs (`mixedfx.pls.streamed`), and whatever is asked of rows one by one,
fitted values or residuals, is asked of one batch after the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.aggregates import Aggregates, Pushdown, aggregates, refused
from mixedfx.design.checks import warn_structures
from mixedfx.design.columns import Columns
from mixedfx.design.design import Design, RandomTerm, RowReport
from mixedfx.design.dispersion import dispersion_formula
from mixedfx.design.estimable import NullSpace
from mixedfx.design.expression_levels import expressions_with_levels, with_levels
from mixedfx.design.expressions import Scope, columns_read, number, value_of
from mixedfx.design.first_pass import Learnt, first_pass, unplaced, used_rows
from mixedfx.design.frame import nearest, plain
from mixedfx.design.group_codes import GroupCodes, other_rows
from mixedfx.design.grouping import group
from mixedfx.design.identifiers import identifier_slopes
from mixedfx.design.parts import FormulaicPart, Part, build_parts
from mixedfx.design.relation import with_relations
from mixedfx.design.response import check_arguments, read_response
from mixedfx.design.spec import DesignSpec, OffsetSpec, RandomSpec
from mixedfx.design.sql_learning import key_of
from mixedfx.design.streamed_transforms import learn_states
from mixedfx.design.streams import Stream
from mixedfx.design.unheld import Unheld
from mixedfx.errors import DataError, FormulaError, IdentifierSlopeWarning, ModelError, OptionError, outside
from mixedfx.formula.mixed_formula import MixedFormula

Array = NDArray[np.float64]


@dataclass
class RowFacts:
    """What is known of the rows without holding them, taken in a batch at a time.

    Attributes
    ----------
    lowest, highest
        Of the response less the offset.
    values
        The first distinct values of the response, up to three.
    offset
        Whether there is an offset that is not zero.
    sizes
        For each random term the rows (q,) of its levels.
    square
        Sum of the squares of the response.
    """

    lowest: float = np.inf
    highest: float = -np.inf
    values: set[float] = field(default_factory=set)
    offset: bool = False
    rows: int = 0
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    square: float = 0.0

    def add(self, part: Design) -> None:
        """Take in a batch."""
        centred = part.y - part.offset
        self.rows += len(part.y)
        self.lowest, self.highest = min(self.lowest, centred.min()), max(self.highest, centred.max())
        self.offset |= bool(part.offset.any())
        if len(self.values) < 3:
            self.values |= set(np.unique(part.y)[:3].tolist())
        if not self.sizes:
            self.sizes = [np.zeros(t.n_levels, dtype=np.int64) for t in part.random]
        for size, term in zip(self.sizes, part.random, strict=True):
            size += np.bincount(term.codes, minlength=term.n_levels)


@dataclass(frozen=True, eq=False)
class Streamed:
    """The rows of a design, to be read again batch by batch.

    Attributes
    ----------
    stream
        The source.
    spec
        What repeats the design, all columns of the fixed part kept.
    columns
        What is read of the source.
    weights
        Column of precision weights.
    na
        What becomes of rows with missing values.
    learnt
        What the first reading found.
    terms
        The random terms, without rows.
    codes
        Columns of each grouping factor -> what codes it.
    sigma
        Factor of the residual standard deviations as the caller gave it.
    facts
        What the second reading found of the rows.
    cache
        The cross-products, once they are there.
    aggregates
        What a database made of all rows; None where they were read in batches.
    reason
        Why a source that has a database was not summed up by it.
    """

    stream: Stream
    spec: DesignSpec
    columns: tuple[str, ...]
    weights: str | None
    na: Literal["drop", "raise"]
    learnt: Learnt
    terms: tuple[RandomTerm, ...]
    codes: Mapping[tuple[str, ...], GroupCodes]
    sigma: float | Literal["estimate"] | None
    facts: RowFacts = field(default_factory=RowFacts)
    cache: dict[str, Any] = field(default_factory=dict)
    aggregates: Aggregates | None = None
    reason: str = ""

    @property
    def how(self) -> str:
        """How the rows came to their cross-products, in words."""
        if self.aggregates is not None:
            return self.aggregates.words
        return f"read in batches and not held ({self.reason})" if self.reason else "read in batches and not held"

    @property
    def n(self) -> int:
        """Number of rows used."""
        return self.learnt.n

    def products(self, REML: bool) -> Any:
        """The cross-products of all rows, formed once (`mixedfx.pls.streamed`)."""
        return replace(self.cache["problem"], REML=REML)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Read the rows used once more, in plain columns."""
        for used in used_rows(self.stream, self.columns, self.weights, self.na):
            if len(used.places):
                yield self.learnt.as_categories(plain(used.frame))

    def parts(self, spec: DesignSpec | None = None) -> Iterator[Design]:
        """Read the rows once more: each batch as a design with the levels of all rows.

        Parameters
        ----------
        spec
            That of the design; None for all columns of the fixed part.

        Raises
        ------
        DataError
            Where other rows come than in the first reading.
        """
        spec, rows = self.spec if spec is None else spec, 0
        for used in used_rows(self.stream, self.columns, self.weights, self.na):
            rows += len(used.places)
            if len(used.places):
                frame = self.learnt.as_categories(plain(used.frame)).set_axis(used.places, axis=0)
                yield self.part(spec, frame, used.places, used.weights)
        if rows != self.n:
            raise other_rows()

    def part(self, spec: DesignSpec, frame: pd.DataFrame, places: NDArray[np.intp], weights: Array | None) -> Design:
        """The design of some rows in plain columns, at `places` of the source, -1 where these are not known."""
        scope = Scope.of(spec.env, spec.contrasts)
        matrices: dict[str, Array] = {}

        def matrix(part: Part) -> Array:
            if part.text not in matrices:
                matrices[part.text] = part.matrix(frame, scope, places)
            return matrices[part.text]

        offset = np.zeros(len(frame))
        for one in spec.offsets:
            offset += number(one.expression, frame, scope, one.state, places, "offset")
        response = read_response(spec.formula, None, frame, scope, places)
        full = matrix(spec.fixed)
        codes = {columns: ask.of(frame) for columns, ask in self.codes.items()}
        random = tuple(
            replace(term, codes=codes[r.grouping.columns], z=matrix(r.part), counts=None)
            for term, r in zip(self.terms, spec.random, strict=True)
        )
        whole = len(spec.kept) == full.shape[1]
        return Design(
            formula=spec.formula,
            y=response.y,
            X=full if whole else np.ascontiguousarray(full[:, spec.kept]),
            fixed_names=tuple(spec.fixed.columns[int(j)] for j in spec.kept),
            random=random,
            weights=weights,
            offset=offset,
            columns=Columns.of(frame),
            spec=spec,
            rows=RowReport(self.learnt.total, places),
            known_sd=response.known_sd,
            response_name=spec.formula.response or "",
            scale=self.sigma,
        )

    def sample(self) -> Design:
        """The rows of the sample as a design of all columns."""
        frame, weights = self.learnt.sample, self.learnt.sample_weights
        return self.part(self.spec, frame, unplaced(len(frame)), weights)

    def whole(self, kept: NDArray[np.intp], aliased: tuple[str, ...], null: NullSpace | None) -> Design:
        """The design of all rows: names, terms and what repeats it, but no rows."""
        learnt, n, fixed = self.learnt, self.n, self.spec.fixed
        spec = replace(self.spec, kept=kept, null=null)
        sizes = self.facts.sizes or [None] * len(self.terms)
        terms = tuple(replace(t, counts=counts) for t, counts in zip(self.terms, sizes, strict=True))
        knows = self.spec.formula.knows_errors
        return Design(
            formula=spec.formula,
            y=_unheld("the response", n),
            X=_unheld("the fixed part", n, len(kept)),
            fixed_names=tuple(fixed.columns[int(j)] for j in kept),
            random=terms,
            weights=None if self.weights is None else _unheld("the weights", n),
            offset=_unheld("the offset", n),
            columns=cast(Columns, Unheld("the data", (n,))),
            spec=spec,
            rows=RowReport(
                learnt.total, _unheld("the numbers of the rows used", n), learnt.missing, learnt.dropped_missing,
                learnt.dropped_zero,
            ),
            aliased=aliased,
            known_sd=_unheld("the sampling errors", n) if knows else None,
            response_name=spec.formula.response or "",
            scale=self.sigma,
            streamed=self,
        )  # fmt: skip


def _unheld(what: str, *shape: int) -> Any:
    return Unheld(what, shape)


def read_streamed(
    formula: str | MixedFormula,
    stream: Stream,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    V: Any = None,
    sigma: float | Literal["estimate"] | None = None,
    dispersion: Any = None,
    pushdown: Pushdown = "auto",
) -> Streamed:
    """Learn from a source what its design is, holding a sample of its rows; arguments as in `build_design`.

    With `pushdown` a database that the source has sums up the rows: where it can (True, else an error), where it can
    and it is worth it (``"auto"``), or never.

    Raises
    ------
    FormulaError, DataError, ModelError, OptionError
        As `mixedfx.design.build.build_design`, and for what rows that are not held cannot be asked.
    """
    if na not in ("drop", "raise"):
        raise DataError(f"na='{na}' is not known", hint="Use na='drop' or na='raise'.")
    for name, value in (("weights", weights), ("offset", offset)):
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{name}= are values for rows that are read in batches, in whichever order they come",
                hint=f"Make them a column of the source and name it: {name}='w'.",
            )
    for name, value in (("V", V), ("dispersion", dispersion)):
        if value is not None:
            raise OptionError(f"{name}= needs all rows at once", hint="Fit with stream=False.")
    env = dict(env or {})
    parsed, columns = needed_columns(formula, stream, env, (weights, offset))
    check_arguments(parsed, None, weights, None, sigma)
    groups = tuple(term.group for term in parsed.random)
    read = {c for text in (parsed.fixed, *(term.left for term in parsed.random)) for c in _names(text, env, stream)}
    reason: Aggregates | str = ""
    if pushdown is True or (pushdown and stream.database is not None):
        reason = aggregates(parsed, stream, columns, weights, offset, na, env, pushdown)
    if isinstance(reason, Aggregates):
        found = _skeleton(parsed, stream, columns, weights, offset, na, contrasts, env, sigma, reason.learnt)
        sizes = reason.sizes(found.codes, found.spec)
        facts = RowFacts(
            reason.lowest, reason.highest, set(reason.values), reason.offset, found.n, sizes, reason.square
        )
        return replace(found, facts=facts, aggregates=reason)
    if pushdown is True:
        raise refused(stream, reason)
    learnt = first_pass(stream, columns, groups, weights, na, [c for c in columns if c in read])
    found = _skeleton(parsed, stream, columns, weights, offset, na, contrasts, env, sigma, learnt)
    return replace(found, reason=reason)


def _names(side: str, env: Mapping[str, Any], stream: Stream) -> tuple[str, ...]:
    """Columns of a source that one right-hand side reads."""
    return columns_read(MixedFormula(side, None, (), side, (), ()), env, stream.names)


def needed_columns(
    formula: str | MixedFormula, stream: Stream, env: Mapping[str, Any] | None, beside: tuple[Any, ...],
    dispersion: Any = None,
) -> tuple[MixedFormula, tuple[str, ...]]:  # fmt: skip
    """The formula, ``.`` expanded, and the columns of a source that it and the names `beside` it need.

    Raises
    ------
    FormulaError, DataError
        A formula without a response; columns that the source does not have.
    """
    from mixedfx.formula.parse import expand_dot, parse_formula

    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    parsed = expand_dot(parsed, list(stream.names))
    if parsed.response is None:
        raise FormulaError("the formula has no response", formula=parsed.text, column=0, hint="Write y ~ ...")
    used = list(columns_read(parsed, env or {}, stream.names))
    if dispersion is not None:
        used += columns_read(dispersion_formula(dispersion), env or {}, stream.names)
    columns = tuple(dict.fromkeys([*used, *(c for c in beside if isinstance(c, str))]))
    for name in columns:
        if name not in stream.names:
            raise DataError(f"{stream.what} has no column '{name}'", hint=nearest(name, stream.names))
    return parsed, columns


def _skeleton(
    parsed: MixedFormula, stream: Stream, columns: tuple[str, ...], weights: str | None, offset: str | None,
    na: Literal["drop", "raise"], contrasts: Mapping[str, Any] | None, env: Mapping[str, Any],
    sigma: float | Literal["estimate"] | None, learnt: Learnt,
) -> Streamed:  # fmt: skip
    scope = Scope.of(env, contrasts)

    def frames() -> Iterator[pd.DataFrame]:
        for used in used_rows(stream, columns, weights, na):
            if len(used.places):
                yield learnt.as_categories(plain(used.frame))

    texts = [parsed.fixed, *(term.left for term in parsed.random)]
    rows = unplaced(len(learnt.sample))
    built = build_parts(texts, learnt.sample, scope, rows)
    coded = expressions_with_levels([part for _, part in built.values()], learnt.sample)
    if coded and learnt.states is None:
        learnt.sample, learnt.sample_weights = with_levels(coded, learnt, stream, columns, weights, na, scope)
        rows = unplaced(len(learnt.sample))
        built = build_parts(texts, learnt.sample, scope, rows)
    parts = {text: part for text, (_, part) in built.items()}
    sample = learnt.sample
    for part in parts.values():
        if isinstance(part, FormulaicPart) and learnt.states is not None:
            for text, state in part.model_spec.transform_state.items():
                state.update(learnt.states[key_of(text)] if state else {})
        elif isinstance(part, FormulaicPart):
            learn_states(part.model_spec.transform_state, frames, scope, learnt.n)
    outside = [] if offset is None else [f"`{offset}`"]
    offsets = tuple(OffsetSpec(e, {}) for e in (*parsed.offsets, *outside))
    for one in offsets:
        number(one.expression, sample, scope, one.state, rows, "offset")
        learn_states(one.state, frames, scope, learnt.n)
    _refuse_learning_response(parsed, sample, scope)

    groupings = {g: group(learnt.groups[g], g)[1] for g in learnt.groups}
    terms, specs = [], []
    for random in parsed.random:
        left, grouping = parts[random.left], groupings[random.group]
        if not left.columns:
            raise FormulaError(
                f"the left side of ({random.left} | {random.label}) has no columns",
                formula=parsed.text, column=random.column,
                hint=f"Write (1 | {random.label}) for a random intercept.",
            )  # fmt: skip
        shape, shared = (learnt.n, len(left.columns)), random.left.removeprefix("0 + ")
        codes, z = _unheld("the levels", learnt.n), _unheld("the left sides", *shape)
        terms.append(RandomTerm(random.label, left.columns, grouping.levels, codes, z, random.structure, shared))
        specs.append(RandomSpec(random.label, left, grouping))
    fixed = parts[parsed.fixed]
    spec = DesignSpec.of(
        Columns.of(sample).series, formula=parsed, fixed=fixed, kept=np.arange(len(fixed.columns), dtype=np.intp),
        random=tuple(specs), offsets=offsets, given_offset=offset, offset_is_own=False, weights=weights, env=dict(env),
        contrasts=dict(contrasts or {}), null=None,
    )  # fmt: skip
    found = Streamed(
        stream, spec, columns, weights, na, learnt, with_relations(tuple(terms), parsed, env),
        {g: GroupCodes(groupings[g], learnt.groups[g]) for g in groupings}, sigma,
    )  # fmt: skip
    _check_rows_alone(found)
    return found


def _refuse_learning_response(parsed: MixedFormula, sample: pd.DataFrame, scope: Scope) -> None:
    state: dict[str, Any] = {}
    value_of(parsed.response or "", sample, scope, state, "response")
    if any(state.values()):
        raise ModelError(
            f"the response '{parsed.response}' learns from all rows at once",
            hint="Scale or centre it beforehand, or fit with stream=False.",
        )


def _check_rows_alone(found: Streamed) -> None:
    """Refuse formulas whose columns in a row depend on other rows, as functions of `env` may make them.

    Raises
    ------
    ModelError
        Naming the functions.
    """
    whole = found.sample()
    frame, weights = found.learnt.sample, found.learnt.sample_weights
    half = np.arange(0, len(frame), 2)
    some = found.part(found.spec, frame.iloc[half], unplaced(len(half)), None if weights is None else weights[half])
    pairs = [(whole.X, some.X), (whole.y, some.y), (whole.offset, some.offset)]
    pairs += [(a.z, b.z) for a, b in zip(whole.random, some.random, strict=True)]
    if all(np.allclose(a[half], b, rtol=1e-10, atol=1e-300) for a, b in pairs):
        return
    names = ", ".join(name for name, value in found.spec.env.items() if callable(value)) or "a function"
    raise ModelError(
        f"what the formula makes of a row depends on other rows ({names}), and these are read in batches",
        hint="Make the column beforehand, or fit with stream=False.",
    )


def check_sample(found: Streamed) -> None:
    """Warnings that a sample of the rows can give."""
    sample = found.sample()
    for name in identifier_slopes(sample):
        warnings.warn(
            f"{name!r} is a whole number and enters as one, with a single slope. Are these names of groups? Then write "
            f"C({name}) for a coefficient each, or (1 | {name}) for a random intercept; else all is well.",
            IdentifierSlopeWarning,
            outside(),
        )
    warn_structures(sample)
