"""Parquet files that are read as one source: the columns they share, in types that hold the numbers of all."""

from __future__ import annotations

from typing import Any

from mixedfx.errors import DataError


def one_schema(paths: list[str], schemas: list[Any], pa: Any) -> Any:
    """The schema of files that have the same columns; widths of numbers may differ.

    Raises
    ------
    DataError
        Naming the file and the column.
    """
    first = schemas[0]
    fields = {field.name: field for field in first}
    for path, schema in zip(paths[1:], schemas[1:], strict=True):
        for name in [*fields, *schema.names]:
            if name not in fields or name not in schema.names:
                has, lacks = (paths[0], path) if name in fields else (path, paths[0])
                raise DataError(
                    f"the files have different columns: '{name}' is in '{has}' and not in '{lacks}'",
                    hint="Name files of one kind, or write them anew with the same columns.",
                )
            ours, theirs = fields[name].type, schema.field(name).type
            if ours != theirs:
                wider = _wider(ours, theirs, pa)
                if wider is None:
                    raise DataError(
                        f"the files disagree about '{name}': {ours} in '{paths[0]}', {theirs} in '{path}'",
                        hint="Write them anew with one type for the column.",
                    )
                fields[name] = fields[name].with_type(wider)
    return pa.schema(list(fields.values()), metadata=first.metadata)


def _wider(a: Any, b: Any, pa: Any) -> Any:
    """A type that holds numbers of both types, or text; None where one holds no such."""
    types = pa.types

    def number(t: Any) -> bool:
        return types.is_integer(t) or types.is_floating(t) or types.is_decimal(t)

    if types.is_null(a) or types.is_null(b):
        return b if types.is_null(a) else a
    if types.is_integer(a) and types.is_integer(b):
        return pa.int64()
    if number(a) and number(b):
        return pa.float64()
    text = [types.is_string(t) or types.is_large_string(t) for t in (a, b)]
    return pa.large_string() if all(text) else None
