"""formulaic's pandas materializer, held to the rules of this package.

It differs from formulaic's own in these ways, each of which a test pins down:

* an expression sees the columns, the documented functions and the caller's ``env``, never all of numpy (`evaluate`);
* booleans are factors with two levels, as in R;
* ``contrasts=`` applies to a factor by its name, whichever part of the formula it stands in;
* a level that the specification does not know is an error, where formulaic warns and codes it as a row of zeros;
* splines whose columns sum to one (``cr``, ``cs``, ``cc``, ``bs`` with ``include_intercept=True``) hold the intercept
  as the levels of a factor do, and leave their last column out where there is one already;
* numbers are float64 before columns are multiplied, so that small integer types cannot wrap around;
* treatment-coded columns are called ``race[White]``; other codings keep their mark, ``race[S.White]``.

This module imports formulaic and is itself imported only inside functions.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.materializers.types import FactorValues
from formulaic.parser.types import Factor
from formulaic.transforms.contrasts import C
from formulaic.utils.layered_mapping import LayeredMapping
from formulaic.utils.variables import Variable
from interface_meta import override
from numpy.typing import NDArray

from mixedfx.design.contrasts import coding
from mixedfx.design.expressions import Scope, evaluate, finite
from mixedfx.design.frame import column, kind
from mixedfx.design.labels import level_label, quoted
from mixedfx.design.treatment import refuse_unseen, unseen_levels
from mixedfx.errors import DataError, MixedfxError


class DesignMaterializer(PandasMaterializer):
    """Builds columns from plain pandas columns under a `Scope`."""

    REGISTER_NAME = "mixedfx"
    REGISTER_INPUTS = ()

    def __init__(self, frame: pd.DataFrame, scope: Scope) -> None:
        super().__init__(frame, context={})
        self.frame = frame
        self.scope = scope
        self.layered_context = LayeredMapping(LayeredMapping(cast(Any, frame), name="data"))

    @override
    def _lookup(self, name: str) -> tuple[Any, set[Variable]]:
        if name not in self.frame.columns:
            if name in self.scope.env and np.ndim(self.scope.env[name]) == 0:
                return float(self.scope.env[name]) * np.ones(len(self.frame)), set()
            raise DataError(f"the data have no column '{name}'")
        values = column(self.frame, name)
        if kind(values) == "time":
            raise DataError(
                f"column '{name}' holds dates, which have no unit to estimate a slope in",
                hint="Turn it into a number (days since a start), or into a factor with astype(str).",
            )
        return self._coded(name, values), {Variable(name, roles=("value",), source="data")}

    @override
    def _evaluate(self, expr: str, metadata: Any, spec: Any) -> tuple[Any, set[Variable]]:
        value = evaluate(expr, self.frame, self.scope, spec.transform_state, spec)
        _refuse_tables(expr, value)
        return self._coded(expr, _without_intercept(expr, value)), set()

    def _coded(self, name: str, value: Any) -> Any:
        """`value` as a factor coded by ``contrasts=`` where the caller named it there."""
        if name not in self.scope.contrasts:
            return value
        metadata = getattr(value, "__formulaic_metadata__", None)
        categorical = self._is_categorical(value) or (metadata is not None and metadata.kind is Factor.Kind.CATEGORICAL)
        if not categorical:
            raise DataError(
                f"contrasts= names '{name}', which is numeric",
                hint=f"Write C({name}) in the formula to make it a factor.",
            )
        return C(getattr(value, "__wrapped__", value), coding(name, self.scope.contrasts[name]))

    @override
    def _is_categorical(self, values: Any) -> bool:
        raw = getattr(values, "__wrapped__", values)
        return getattr(getattr(raw, "dtype", None), "kind", "") in ("b", "U") or super()._is_categorical(values)

    @override
    def _encode_numerical(
        self, values: Any, metadata: Any, encoder_state: Any, spec: Any, drop_rows: Any
    ) -> NDArray[np.float64]:
        numbers = np.asarray(getattr(values, "__wrapped__", values), dtype=np.float64)
        return np.full(len(self.frame), float(numbers)) if numbers.ndim == 0 else numbers

    @override
    def _encode_evaled_factor(
        self, factor: Any, spec: Any, drop_rows: Any, reduced_rank: bool = False
    ) -> dict[str, Any]:
        if factor.metadata.kind is not Factor.Kind.CATEGORICAL:
            return super()._encode_evaled_factor(factor, spec, drop_rows, reduced_rank)
        known = spec.encoder_state.get(factor.expr, (None, {}))[1].get("categories")
        refuse_unseen(factor.expr, unseen_levels(_raw(factor), known), known)
        columns = super()._encode_evaled_factor(factor, spec, drop_rows, reduced_rank)
        if known is None and factor.metadata.encoder is not None:  # C(x, levels=...) fixes its levels while it encodes
            unknown = unseen_levels(_raw(factor), spec.encoder_state[factor.expr][1].get("categories"))
            if unknown:
                raise DataError(
                    f"the levels= of '{factor.expr}' leave out {quoted(unknown)}, which the data have",
                    hint="List every level of the data.",
                )
        return columns

    @override
    def _flatten_encoded_evaled_factor(self, name: str, values: Any) -> dict[str, Any]:
        metadata = getattr(values, "__formulaic_metadata__", None)
        if metadata is not None and metadata.kind is Factor.Kind.CATEGORICAL and isinstance(values, dict):
            fields = {level_label(f) if isinstance(f, float) else f: c for f, c in values.items()}
            plain = metadata.get_format().replace("[T.{field}]", "[{field}]")
            values = FactorValues(fields, metadata=metadata.replace(format=plain, format_reduced=plain))
        return super()._flatten_encoded_evaled_factor(name, values)

    def build(self, spec: Any, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], Any]:
        """Matrix (n, k) and the specification that repeats it.

        Parameters
        ----------
        spec
            Formula text or formula at first, later the specification this method returned.
        rows
            (n,) positions of the rows in the data as given, for messages.

        Raises
        ------
        DataError
            Where an expression cannot be evaluated or is not finite.
        UnseenLevelError
            Where a factor has a level the specification does not know.
        """
        try:
            result: Any = self.get_model_matrix(spec, output="numpy", na_action="ignore")
            matrix = np.asarray(result.__wrapped__, dtype=np.float64)
        except MixedfxError:
            raise
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:  # formulaic wraps what an expression raised
                if isinstance(cause, MixedfxError):
                    raise cause from None
                cause = cause.__cause__
            text = str(error) if isinstance(error, FormulaicError) else f"{type(error).__name__}: {error}"
            raise DataError(f"the formula could not be evaluated on the data: {text}") from error
        if not np.isfinite(matrix).all():
            for expression, factor in self.factor_cache.items():
                if factor.metadata.kind is Factor.Kind.NUMERICAL:
                    finite(expression, _numbers(factor.values), rows)
            finite(" + ".join(str(t) for t in result.model_spec.formula), matrix, rows)
        return np.ascontiguousarray(matrix), result.model_spec


def _without_intercept(expr: str, value: Any) -> Any:
    """Say of a spline basis that its columns sum to one, so that they and an intercept are not all needed.

    formulaic then treats it as a factor: beside an intercept, or a factor that spans one, its last column goes.
    """
    metadata = getattr(value, "__formulaic_metadata__", None)
    text = expr.replace(" ", "")
    natural = text.startswith(("cr(", "cs(", "cc(")) and "extrapolation" not in text
    if metadata is None or not (natural or (text.startswith("bs(") and "include_intercept=True" in text)):
        return value
    columns = {k: np.asarray(v, dtype=np.float64) for k, v in value.items()}
    if len(columns) < 2 or not np.allclose(sum(columns.values()), 1.0, rtol=0.0, atol=1e-8):
        return value  # centred by constraints=
    last = list(columns)[-1]
    return FactorValues(columns, metadata=metadata.replace(spans_intercept=True, drop_field=last))


def _raw(factor: Any) -> Any:
    """The values of an evaluated factor."""
    return getattr(factor.values, "__wrapped__", factor.values)


def _refuse_tables(expression: str, value: Any) -> None:
    """Refuse columns that are tables themselves: a transform into several columns of several columns.

    Raises
    ------
    DataError
        Naming the expression.
    """
    raw = getattr(value, "__wrapped__", value)
    if not isinstance(raw, dict):
        return
    if any(np.ndim(getattr(v, "__wrapped__", v)) > 1 for k, v in raw.items() if not str(k).startswith("__")):
        raise DataError(
            f"'{expression}' makes several columns of each of several",
            hint="Transform one column, or make the columns beforehand and name them.",
        )


def _numbers(values: Any) -> NDArray[np.float64]:
    """Columns of an evaluated factor; those of a spline of several columns are in dictionaries of dictionaries."""
    raw = getattr(values, "__wrapped__", values)
    if isinstance(raw, dict):
        raw = np.column_stack([_numbers(v) for k, v in raw.items() if not str(k).startswith("__")])
    return np.atleast_1d(np.asarray(raw, dtype=np.float64))
