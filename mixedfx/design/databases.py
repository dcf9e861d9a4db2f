"""Databases that sum rows up themselves: how each is asked, and the words in which their SQL differs.

Everything that is asked is written in the part of SQL that both have (`mixedfx.design.sql_queries`); what differs, and
that is how names are quoted, which sum is compensated and how rows are hashed, is here. A question is a SELECT from a
table called `ROWS`, which stands for the source, and its answer a table of Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from mixedfx.errors import MissingPackageError
from mixedfx.optional import package

ROWS = "mixedfx_rows"


@dataclass(frozen=True)
class Dialect:
    """The words of one database.

    Attributes
    ----------
    quote
        The character around names, doubled inside them.
    total
        Its sum of doubles, compensated where it has such a one.
    hashed
        A whole number that depends on the values of some columns, which are filled in.
    exact
        Text that is equal only where all its characters are, whatever the collation of its column says.
    """

    quote: str
    total: str
    hashed: str
    exact: str = "{}"

    def name(self, column: str) -> str:
        """The name of a column, whatever it is made of."""
        return self.quote + column.replace(self.quote, self.quote * 2) + self.quote

    def hash_of(self, columns: Sequence[str]) -> str:
        """A whole number of several columns."""
        return self.hashed.format(", ".join(columns))


# FSUM is Kahan's sum; SUM of doubles is as they come. A column's collation, or the connection's, may take 'ab' and 'AB'
# for one value where rows are grouped, compared and hashed.
DUCKDB = Dialect('"', "FSUM", "HASH({})", '{} COLLATE "binary"')
# Spark adds doubles as they come, partition by partition, and adds these sums: rounding grows with the rows of one.
SPARK = Dialect("`", "SUM", "XXHASH64({})")


@dataclass(frozen=True, eq=False)
class Database:
    """A source that answers questions about all its rows.

    Attributes
    ----------
    name
        What it is called where a fit says how its rows were read.
    dialect
        Its words.
    ask
        SQL that reads `ROWS` -> the answer, a pyarrow Table.
    remote
        Whether rows are slow to fetch, so that summing up is never the slower way.
    """

    name: str
    dialect: Dialect
    ask: Callable[[str], Any]
    remote: bool = False


def duckdb_relation(relation: Any, keep: Any = None) -> Database:
    """DuckDB on one of its relations; `keep` is what has to live as long."""
    pa = package("pyarrow", "Answers of DuckDB need", "files")

    def ask(sql: str) -> Any:
        _ = keep
        answer = relation.query(ROWS, sql)
        reader = (getattr(answer, "to_arrow_reader", None) or answer.fetch_arrow_reader)(2**18)
        return pa.Table.from_batches(list(reader), reader.schema)

    return Database("DuckDB", DUCKDB, ask)


def duckdb_files(paths: Sequence[str], names: Sequence[str]) -> Database | str:
    """DuckDB on Parquet files with these columns; why not, where it is not installed or sees others in them.

    Parameters
    ----------
    paths
        The files. DuckDB reads patterns in their names, so that names with such characters are left alone.
    names
        The columns as pyarrow reads them.
    """
    if any(character in path for path in paths for character in "*?["):
        return "DuckDB would read the name of a file as a pattern"
    try:
        duckdb = package("duckdb", "Files that a database sums up need", "stream")
    except MissingPackageError as error:
        return f"without DuckDB: {error.hint}"
    try:
        connection = duckdb.connect()
        relation = connection.read_parquet(list(paths), union_by_name=len(paths) > 1, hive_partitioning=False)
    except duckdb.Error:
        return "DuckDB cannot read the files"
    if tuple(relation.columns) != tuple(names):
        return "DuckDB calls the columns of the files otherwise"
    return duckdb_relation(relation, connection)


def spark_frame(frame: Any) -> Database:
    """Spark on one of its data frames, through the session that it belongs to."""

    def ask(sql: str) -> Any:
        view = f"{ROWS}_{uuid4().hex}"
        frame.createOrReplaceTempView(view)
        try:
            return frame.sparkSession.sql(sql.replace(ROWS, view)).toArrow()
        finally:
            frame.sparkSession.catalog.dropTempView(view)

    return Database("Spark", SPARK, ask, remote=True)
