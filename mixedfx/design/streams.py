"""Sources whose rows are read in batches and never held: files, queries, lazy frames, and what they are called.

A `Stream` is read as often as it is asked, a batch of rows at a time, each batch as the pandas columns that
`mixedfx.design.frame.to_pandas` would make of the whole. The rows of two readings may come in another order; who reads
twice uses nothing that depends on it, and says so where other rows come.

* Parquet: a path, several, or a pattern (``"data/part-*.parquet"``), or a folder, through pyarrow's data sets, which
  keep what DuckDB forgets (the order of categories);
* CSV: a path, several, or a pattern, through DuckDB, which looks at all rows before it says what a column is;
* a pyarrow ``Dataset``, a DuckDB relation or ``(connection, query)``, a polars ``LazyFrame``, a data frame of Spark, an
  ibis table.

What other engines hold comes through ibis; its tables of DuckDB and Spark are read as those of DuckDB and Spark.

Where DuckDB or Spark reads a source, it can also be asked to sum up its rows (`mixedfx.design.aggregates`).
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.design.databases import Database, duckdb_files, duckdb_relation, spark_frame
from mixedfx.design.frame import collected, opened
from mixedfx.design.parquet_schemas import one_schema
from mixedfx.design.spark_rows import spark_batches
from mixedfx.errors import DataError, MissingPackageError, MixedfxError
from mixedfx.optional import package

BATCH = 2**18  # rows of a batch, more or less

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_MISSING = ("", "NA", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows that are read in batches, anew each time.

    Attributes
    ----------
    what
        What the source is called in messages.
    names
        Its columns.
    types
        Column -> narwhals data type.
    read
        Columns -> the batches, as eager frames (pyarrow or polars).
    database
        Opens what can sum up the rows, or says why it cannot; None where there is none.
    count
        Counts the rows, where that is faster than reading them.
    folded
        Whether its engine takes names that differ in case only for one.
    """

    what: str
    names: tuple[str, ...]
    types: Mapping[str, Any]
    read: Callable[[list[str]], Iterator[Any]]
    database: Callable[[], Database | str] | None = None
    count: Callable[[], int] | None = None
    folded: bool = False

    def refuse_repeated(self, columns: Sequence[str]) -> None:
        """Refuse columns of which the source has several by one name (`DataError`): it would hand out the first."""
        by_name: dict[str, list[str]] = {}
        for name in self.names:
            by_name.setdefault(name.casefold() if self.folded else name, []).append(name)
        for name in columns:
            found = by_name.get(name.casefold() if self.folded else name, [])
            if len(found) > 1:
                listed = " and ".join(f"'{one}'" for one in found)
                case = "" if len(set(found)) == 1 else ", which are one name where case is ignored, as it is there"
                raise DataError(
                    f"{self.what} has several columns called '{name}': {listed}{case}",
                    hint="Rename all but one of them, in SQL by AS.",
                )

    def natives(self, columns: Sequence[str]) -> Iterator[Any]:
        """Batches of the columns as they come.

        Raises
        ------
        DataError
            Where the source fails while it is read.
        """
        import narwhals as nw

        self.refuse_repeated(columns)
        wanted = list(columns) or list(self.names[:1])
        try:
            for native in self.read(wanted):
                yield nw.from_native(native, eager_only=True)
        except MixedfxError:
            raise
        except Exception as error:
            if "unfinished result" in str(error):
                raise DataError(
                    f"{self.what} cannot be read: its connection is in use by an answer that was not read to its end",
                    hint="Read it with fetchall(), or give another connection.",
                ) from error
            raise DataError(f"{self.what} cannot be read: {_said(error)}") from error

    def frames(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Batches of the columns as pandas, those without rows left out."""
        for batch in self.natives(columns):
            if len(batch):
                yield self.as_pandas(batch, columns)

    def as_pandas(self, batch: Any, columns: Sequence[str]) -> pd.DataFrame:
        """One batch of `natives`, or several put together, as `mixedfx.design.frame.to_pandas` would read them."""
        try:
            return collected(batch, columns, self.types)
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"{self.what}: batches are read through the package {error.name}, which is not installed",
                hint="pip install 'mixedfx[files]'",
            ) from error


def open_stream(data: Any) -> Stream | None:
    """The stream of a source; None of a frame, whose rows are there already.

    Parameters
    ----------
    data
        Anything that `mixedfx.lmer` takes.

    Raises
    ------
    DataError
        No such file, a pattern without files, files that do not go together, or of a kind that is read whole.
    MissingPackageError
        Without the package that reads it.
    """
    given: Any = data
    if isinstance(data, str | Path) or (isinstance(data, list) and data and all(_is_path(d) for d in data)):
        return _of_files(data if isinstance(data, list) else [data])
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "sql") and isinstance(data[1], str):
        return _of_query(*data)
    module, name = type(data).__module__.partition(".")[0], type(data).__name__
    if module == "narwhals" and name == "LazyFrame":
        return open_stream(given.to_native())
    if module in ("duckdb", "_duckdb") and name == "DuckDBPyRelation":
        return _of_relation(data, "the DuckDB relation")
    if module == "polars" and name == "LazyFrame":
        return _of_polars(data)
    if module == "pyarrow" and hasattr(data, "to_batches") and hasattr(data, "get_fragments"):
        return _of_dataset(data, "the pyarrow data set")
    if module == "pyspark" and hasattr(data, "toLocalIterator"):
        return _of_spark(data, "the data frame of Spark")
    if module == "ibis" and hasattr(data, "to_pyarrow_batches"):
        return _of_ibis(data)
    return None


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


# --- files -----------------------------------------------------------------------------------------------------------
def _of_files(given: Sequence[str | Path]) -> Stream:
    """Parquet or CSV files by path and pattern."""
    paths: list[str] = []
    for one in map(str, given):
        found = [one] if Path(one).exists() else sorted(glob.glob(one, recursive=True))
        if not found and glob.has_magic(one):
            raise DataError(f"no file matches '{one}'", hint="Patterns are relative to the working directory.")
        if not found:
            raise DataError(f"there is no file '{one}'", hint="Paths are relative to the working directory.")
        for path in found:
            inside = sorted(str(p) for p in Path(path).rglob("*") if p.name.lower().endswith(PARQUET))
            if Path(path).is_dir() and not inside:
                raise DataError(f"the folder '{path}' holds no Parquet files", hint="Name the files by a pattern.")
            paths += inside if Path(path).is_dir() else [path]
    what = f"'{given[0]}'" if len(given) == 1 else f"the files '{given[0]}', ..."
    kinds = {"parquet" if p.lower().endswith(PARQUET) else "csv" if p.lower().endswith(CSV) else "" for p in paths}
    if kinds == {"parquet"}:
        return _of_parquet(paths, what)
    if kinds == {"csv"}:
        return _of_csv(paths, what)
    if len(kinds) > 1:
        raise DataError(f"{what} names files of several kinds", hint="Name Parquet files alone, or CSV files alone.")
    raise DataError(
        f"{what} is neither a Parquet nor a CSV file, which are those that are read batch by batch",
        hint="mx.read(path) reads files of other kinds into a data frame.",
    )


def _of_parquet(paths: list[str], what: str) -> Stream:
    ds = package("pyarrow.dataset", "Parquet files need", "files", "pyarrow")
    pq = package("pyarrow.parquet", "Parquet files need", "files", "pyarrow")
    pa = package("pyarrow", "Parquet files need", "files")
    schemas = []
    for path in paths:
        try:
            schemas.append(pq.read_schema(path))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"'{path}' cannot be read as a Parquet file: {_said(error)}") from error
    schema = one_schema(paths, schemas, pa)
    stream = _of_dataset(ds.dataset(paths, schema=schema, format="parquet"), what)
    return replace(stream, database=lambda: duckdb_files(paths, stream.names))


def _of_csv(paths: list[str], what: str) -> Stream:
    duckdb = package("duckdb", "CSV files that are read batch by batch need", "stream")
    connection = duckdb.connect()
    tables = {}
    for path in paths:
        try:
            found = connection.read_csv(path, sample_size=-1, na_values=list(_MISSING))
            tables[path] = list(zip(found.columns, map(str, found.types), strict=True))
        except duckdb.Error as error:
            raise DataError(f"'{path}' cannot be read as a CSV file: {_said(error)}") from error
    first = dict(tables[paths[0]])
    for path, columns in tables.items():
        own = dict(columns)
        for name in [*first, *own]:
            if name not in first or name not in own:
                has, lacks = (paths[0], path) if name in first else (path, paths[0])
                raise DataError(
                    f"the files have different columns: '{name}' is in '{has}' and not in '{lacks}'",
                    hint="Name files of one kind, or write them anew with the same columns.",
                )
            if "VARCHAR" in (first[name], own[name]) and first[name] != own[name]:
                text, number = (paths[0], path) if first[name] == "VARCHAR" else (path, paths[0])
                raise DataError(
                    f"the files disagree about '{name}': '{text}' has text, '{number}' {_kind(first, own, name)}",
                    hint="Repair the cells that are no numbers, or leave them empty.",
                )
    try:
        relation = connection.read_csv(paths, sample_size=-1, na_values=list(_MISSING), union_by_name=True)
    except duckdb.Error as error:
        raise DataError(f"{what} cannot be read as CSV files: {_said(error)}") from error
    return _of_relation(relation, what, keep=connection)


def _kind(first: Mapping[str, str], own: Mapping[str, str], name: str) -> str:
    other = own[name] if first[name] == "VARCHAR" else first[name]
    return "numbers" if other in ("BIGINT", "DOUBLE", "INTEGER") else other


# --- engines ---------------------------------------------------------------------------------------------------------
def _types(native: Any) -> dict[str, Any]:
    """Data types of the columns of a frame, lazy or not, as narwhals has them."""
    return dict(opened(native).collect_schema())


def _of_dataset(dataset: Any, what: str) -> Stream:
    pa = package("pyarrow", "Data sets of Arrow need", "files")
    types = _types(dataset.schema.empty_table())
    options: dict[str, Any] = {"batch_size": BATCH, "batch_readahead": 4, "fragment_readahead": 1}
    arrow = package("pyarrow.dataset", "Data sets of Arrow need", "files")
    if isinstance(getattr(dataset, "format", None), arrow.ParquetFileFormat):
        # What is buffered beforehand stays until the last row group is read: 1.8 GB of 10^8 rows.
        options["fragment_scan_options"] = arrow.ParquetFragmentScanOptions(pre_buffer=False)

    def read(columns: list[str]) -> Iterator[Any]:
        yield from _gathered(dataset.to_batches(columns=columns, **options), pa)

    return Stream(what, tuple(dataset.schema.names), types, read)


def _gathered(batches: Iterator[Any], pa: Any) -> Iterator[Any]:
    """Tables of about as many rows each: files of small row groups give many small batches."""
    waiting, rows = [], 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= BATCH:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _of_relation(relation: Any, what: str, keep: Any = None) -> Stream:
    pa = package("pyarrow", "DuckDB's batches of rows need", "files")
    try:
        names, types = tuple(relation.columns), _types(relation)
    except Exception as error:
        raise DataError(
            f"{what} cannot be read: {_said(error)}",
            hint="Keep its connection open as long as the rows are needed, or make it anew of an open one.",
        ) from error

    def read(columns: list[str]) -> Iterator[Any]:
        _ = keep  # the connection lives as long as its relation is read
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        chosen = relation.project(quoted)
        ask = getattr(chosen, "to_arrow_reader", None) or chosen.fetch_arrow_reader
        yield from _gathered(iter(ask(BATCH)), pa)

    return Stream(what, names, types, read, lambda: duckdb_relation(relation, keep), folded=True)


def _of_query(connection: Any, query: str) -> Stream:
    try:
        relation = connection.sql(query)
    except Exception as error:
        raise DataError(f"the query cannot be asked: {_said(error)}", hint=f"The query is: {query:.200}") from error
    if relation is None:
        raise DataError("the query gives no rows to read", hint="Write a SELECT.")
    return _of_relation(relation, "the query", keep=connection)


def _of_polars(frame: Any) -> Stream:
    if not hasattr(frame, "collect_batches"):
        raise MissingPackageError(
            "this version of polars cannot hand out a lazy frame in batches", hint="pip install --upgrade polars"
        )
    schema = frame.collect_schema()

    def read(columns: list[str]) -> Iterator[Any]:
        yield from frame.select(columns).collect_batches(chunk_size=BATCH)

    return Stream("the lazy frame of polars", tuple(schema.names()), _types(frame), read)


def _of_spark(frame: Any, what: str) -> Stream:
    def read(columns: list[str]) -> Iterator[Any]:
        yield from spark_batches(frame, columns, BATCH)

    return Stream(what, tuple(frame.columns), _types(frame), read, lambda: spark_frame(frame), frame.count)


def _of_ibis(table: Any) -> Stream:
    backend = table.get_backend()
    if backend.name == "pyspark":
        return _of_spark(backend._session.sql(table.compile()), "the table of ibis")
    if backend.name == "duckdb":
        return _of_relation(backend.con.sql(table.compile()), "the table of ibis", keep=backend)
    pa = package("pyarrow", "Tables of ibis need", "files")
    names = tuple(table.columns)
    empty = table.schema().to_pyarrow().empty_table()

    def read(columns: list[str]) -> Iterator[Any]:
        reader = table.select(columns).to_pyarrow_batches(chunk_size=BATCH)
        try:
            yield from _gathered(iter(reader), pa)
        finally:
            with suppress(Exception):
                reader.close()

    return Stream("the table of ibis", names, _types(empty), read)


# --- frames ----------------------------------------------------------------------------------------------------------
def slices(data: Any) -> Stream:
    """A frame in memory as a stream of its own rows, a batch after the other."""
    frame = opened(data)
    if isinstance(frame, pd.DataFrame):
        import narwhals as nw

        frame = nw.from_native(frame, eager_only=True)

    def read(columns: list[str]) -> Iterator[Any]:
        chosen = frame.select(columns)
        for begin in range(0, len(chosen), BATCH):
            yield chosen[begin : begin + BATCH].to_native()

    return Stream("the data", tuple(frame.columns), dict(frame.schema), read)


def held_frame(stream: Stream, columns: Sequence[str], most: int | None = None) -> pd.DataFrame | None:
    """All rows of a source in memory, read once; None where there are more than `most`."""
    import narwhals as nw

    parts, rows = [], 0
    if most is not None and stream.count is not None and stream.count() > most:
        return None
    for batch in stream.natives(columns):
        parts.append(batch)
        rows += len(batch)
        if most is not None and rows > most:
            return None
    if not parts:
        raise DataError(f"{stream.what}: the data have no rows")
    whole = parts[0] if len(parts) == 1 else nw.concat(parts)
    return stream.as_pandas(whole, columns)
