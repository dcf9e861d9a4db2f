"""Questions about rows, asked of one batch after the other, and answers that go into a Parquet file as they come.

A file is written whole or not at all (`mixedfx.output`): a run that is stopped leaves none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.inference.predictor import fitted_values
from mixedfx.optional import package
from mixedfx.output import whole_file
from mixedfx.reml.solution import Solution

if TYPE_CHECKING:
    from mixedfx.design.streams import Stream

Array = NDArray[np.float64]
Table = pd.Series | pd.DataFrame


def parts_of(design: Design) -> Iterator[Design]:
    """The rows of a design in batches; those that are held are one."""
    if design.streamed is None:
        yield design
    else:
        yield from design.streamed.parts(design.spec)


def over_rows(design: Design, name: str, ask: Callable[[Design], Array]) -> Iterator[pd.Series]:
    """What `ask` makes of the rows of each batch, with their positions in the data."""
    for part in parts_of(design):
        yield pd.Series(ask(part), index=part.frame.index, name=name)


def fitted_batches(design: Design, solution: Solution) -> Iterator[pd.Series]:
    """Fitted values of each batch."""
    return over_rows(design, "fitted", lambda part: fitted_values(part, solution.beta, solution.u))


def together(batches: Iterable[Table]) -> Table:
    """Answers to all batches in one."""
    return cast(Table, pd.concat(list(batches)))


def written(batches: Iterable[Table], path: str | Path) -> Path:
    """Write answers to a Parquet file, a batch at a time: a column `row`, from 0, and those of the answers.

    Raises
    ------
    DataError
        Where the file cannot be written.
    MissingPackageError
        Without pyarrow.
    """
    pa: Any = package("pyarrow", "Parquet files need", "files")
    pq: Any = package("pyarrow.parquet", "Parquet files need", "files", "pyarrow")
    with whole_file(path) as file:
        writer = None
        for batch in batches:
            frame = batch.to_frame() if isinstance(batch, pd.Series) else batch
            table = pa.Table.from_pandas(frame.rename_axis("row").reset_index(), preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()
    return Path(path)


def of_new_rows(stream: Stream, columns: Callable[[Stream], list[str]], ask: Callable[[Any], Table]) -> Iterator[Table]:
    """What `ask` makes of each batch of new rows, numbered from 0 as the source has them."""
    begin, wanted = 0, columns(stream)
    for frame in stream.frames(wanted):
        found = ask(frame)
        yield found.set_axis(np.arange(begin, begin + len(frame)), axis=0)
        begin += len(frame)
