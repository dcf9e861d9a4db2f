"""Write mixedfx/datasets/_data/star.csv.gz from a CSV file with the same columns.

Usage: python tests/datasets/make_star.py star_kindergarten.csv star.csv.gz
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pandas as pd

INTEGERS = dict.fromkeys(("id", "sch", "math", "read", "small"), "Int64")


def main(source: str, target: str) -> None:
    text = pd.read_csv(source, dtype=INTEGERS).to_csv(index=False, lineterminator="\n")
    Path(target).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
