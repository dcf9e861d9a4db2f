#!/usr/bin/env bash
# pyarrow 26.0.1: batches of a data set of Parquet, read one by one and let go, keep the file in memory.
#
# Input: one Parquet file of 2 x 10^7 rows in row groups of 10^6; its batches are read in turn, none is kept.
# Expected: memory of a few batches, as with `pyarrow.parquet.ParquetFile.iter_batches`.
# Seen: what Arrow has allocated grows to more than the file, since the columns are buffered beforehand (`pre_buffer`
# of ParquetFragmentScanOptions, on by default) and stay until the last row group is read; with it off it does not.
# Where: dataset.to_batches; a fit of 10^8 rows of 1.6 GB took 2.4 GB with it and 0.9 GB without.
#
# Fails if that changes. usage: bash findings/pyarrow_dataset_prebuffer.sh [python3.11]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet pyarrow==26.0.1 numpy
cd "$folder"
"$folder/bin/python" -W ignore - <<'PYTHON'
import os

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

rng = np.random.default_rng(0)
with pq.ParquetWriter("rows.parquet", pa.schema({"x": pa.float64()})) as writer:
    for _ in range(20):
        writer.write_table(pa.table({"x": rng.normal(size=10**6)}))
size = os.path.getsize("rows.parquet")


def share(**options):
    """Largest number of bytes allocated while batches are read and let go, as a share of the file."""
    most = 0
    batches = ds.dataset("rows.parquet").to_batches(batch_size=2**16, batch_readahead=4, fragment_readahead=1, **options)
    for batch in batches:
        del batch
        most = max(most, pa.total_allocated_bytes())
    return most / size


buffered = share()
plain = share(fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False))
print(f"pyarrow {pa.__version__}: {size / 2**20:.0f} MB; held at most {buffered:.2f} of it, without pre_buffer {plain:.2f}")
if buffered < 0.7 or plain > 0.6:
    raise SystemExit("this is not what was seen")
PYTHON
