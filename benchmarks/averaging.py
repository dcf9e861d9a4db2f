"""Averaged meta-analyses, timed: ``python -m benchmarks.averaging``, with ``OPENBLAS_NUM_THREADS=1``.

Processor seconds, the best of three after imports and compilation; estimates, and where it says so draws, included.
``four``: 56 schools in 11 districts, four models; ``bem``: the 36 models of nine experiments, with draws; ``81``: the
36 of 81 studies; ``clusters``: the 36 of the 56 schools in districts, selection in clusters; ``moderators``:
two moderators of 56 schools, 16 models without bias; ``mods-psma``: one moderator, 72 models.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mx


def cases() -> dict[str, Callable[[], Any]]:
    """Name -> what is timed."""
    schools = mx.datasets.load("school_calendars")
    rng = np.random.default_rng(1)
    many = pd.DataFrame({"yi": rng.normal(0.3, 0.3, 81), "vi": rng.uniform(0.01, 0.2, 81)})
    schools = schools.assign(x=rng.normal(size=56), kind=list("abcd") * 14)
    bem = pd.DataFrame({
        "yi": [0.25, 0.20, 0.26, 0.23, 0.22, 0.15, 0.09, 0.19, 0.42],
        "sei": [0.1016, 0.0825, 0.1032, 0.1018, 0.1012, 0.0821, 0.0709, 0.1009, 0.1475],
    })  # fmt: skip
    districts: dict[str, Any] = {"cluster": "district", "measure": "SMD"}
    return {
        "four": lambda: mx.bma(schools, **districts).estimates,
        "bem": lambda: mx.robma(bem, sei="sei", measure="SMD").draws,
        "81": lambda: mx.robma(many, measure="SMD").estimates,
        "clusters": lambda: mx.robma(schools, **districts).estimates,
        "moderators": lambda: mx.bma(schools, formula="yi ~ x + kind", **districts).estimates,
        "mods-psma": lambda: mx.robma(schools, formula="yi ~ x", measure="SMD").estimates,
    }


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"{'case':12} {'seconds':>9}")
    for name, work in cases().items():
        work()
        times = []
        for _ in range(3):
            begin = time.process_time()
            work()
            times.append(time.process_time() - begin)
        print(f"{name:12} {min(times):9.3f}s", flush=True)


if __name__ == "__main__":
    main()
