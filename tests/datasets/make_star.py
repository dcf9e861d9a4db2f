"""Write mixedfx/datasets/_data/star.parquet from a CSV file with the same columns.

Usage: python tests/datasets/make_star.py star_kindergarten.csv star.parquet
"""

from __future__ import annotations

import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

CATEGORIES = ("sch", "cltype", "race", "gender", "lunch", "schtype")
INTEGERS = {"id": pa.int32(), "math": pa.int16(), "read": pa.int16(), "small": pa.int8()}


def main(source: str, target: str) -> None:
    frame = pd.read_csv(source)
    columns: dict[str, pa.Array] = {}
    for name in frame.columns:
        if name in CATEGORIES:
            columns[name] = pa.array(frame[name].astype(str), type=pa.string()).dictionary_encode()
        else:
            columns[name] = pa.array(frame[name], type=INTEGERS[name], from_pandas=True)
    metadata = {
        "title": "Project STAR, kindergarten",
        "source": "Harvard Dataverse, doi:10.7910/DVN/SIWH9F",
        "licence": "CC0 1.0",
    }
    table = pa.table(columns).replace_schema_metadata(metadata)
    parquet.write_table(table, target, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(*sys.argv[1:])
