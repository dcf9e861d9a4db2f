"""Rows of Spark's data frames as Arrow tables, some at a time: for what a database is not asked to sum up.

Rows come through Spark's iterator, which holds a partition on either side and is slow: a hundred thousand rows a second
or so. A fit whose rows Spark sums up needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from mixedfx.optional import package


def spark_batches(frame: Any, columns: Sequence[str], size: int) -> Iterator[Any]:
    """Read columns of a data frame, `size` rows at a time, as tables of Arrow."""
    pa = package("pyarrow", "rows of Spark need", "spark")
    arrow = package("pyspark.sql.pandas.types", "data frames of Spark need", "spark")
    chosen = frame.select(*("`" + name.replace("`", "``") + "`" for name in columns))
    schema = arrow.to_arrow_schema(chosen.schema)
    rows = chosen.toLocalIterator()
    while batch := list(islice(rows, size)):
        by_column = zip(*batch, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(by_column, schema, strict=True)]
        yield pa.table(arrays, schema=schema)
