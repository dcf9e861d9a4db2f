"""Many replicates of one piece of work: blocks with their own seeds, run here or by joblib.

The replicates are cut into blocks whose size does not depend on who runs them, and every block has a child of the same
seed sequence: results are those of one process, whatever `n_jobs` and whatever the backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.new_response import response_codes
from mixedfx.design.rows_used import in_order
from mixedfx.errors import DataError, OptionError
from mixedfx.optional import package
from mixedfx.progress import Asked, Progress

Vector = NDArray[np.float64]
Result = TypeVar("Result")


def check_count(name: str, n: int, least: int = 1) -> None:
    """Refuse a number of replicates that is none (`OptionError`)."""
    if not (isinstance(n, int | np.integer) and n >= least):
        raise OptionError(f"{name}={n!r} is not a number of replicates", hint=f"Use a whole number from {least} on.")


def run_blocks(
    work: Callable[[int, np.random.SeedSequence], Result],
    n: int,
    *,
    block: int,
    seed: int | None = None,
    n_jobs: int | None = 1,
    progress: Asked = None,
    title: str = "",
    unit: str = "replicates",
) -> list[Result]:
    """Do n replicates in blocks.

    Parameters
    ----------
    work
        Takes the size of a block and its seeds; must be picklable where `n_jobs` is not 1.
    n
        Replicates in all.
    block
        Replicates in one block.
    seed
        Seed of everything.
    n_jobs
        1: here. Another number: that many processes of joblib (-1: every core). None: as the surrounding
        ``joblib.parallel_config`` says, so that a Dask or Ray backend serves.
    progress
        Whether and to whom it is told how many are done; see `mixedfx.progress`.
    title, unit
        What is done, and what is counted.

    Returns
    -------
    list
        Results of the blocks, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.replicates import run_blocks
    >>> run_blocks(lambda size, seeds: size, 10, block=4)
    [4, 4, 2]
    """
    sizes = [min(block, n - begin) for begin in range(0, n, block)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    results: Iterable[Result]
    with Progress(progress, title, n, unit) as report:
        if n_jobs == 1:
            results = (work(size, child) for size, child in zip(sizes, seeds, strict=True))
        else:
            results = _in_parallel(work, list(zip(sizes, seeds, strict=True)), n_jobs, report.shown)
        out, done = [], 0
        for size, result in zip(sizes, results, strict=True):
            out.append(result)
            done += size
            report(done)
    return out


def _in_parallel(
    work: Callable[[int, np.random.SeedSequence], Result],
    tasks: list[tuple[int, np.random.SeedSequence]],
    n_jobs: int | None,
    progress: bool,
) -> Iterable[Result]:
    joblib = package("joblib", "n_jobs other than 1 needs the package", "parallel")
    # a generator tells of each block as it ends, but not every backend can give one
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator" if progress else "list")
    found: Iterable[Result] = parallel(joblib.delayed(work)(*task) for task in tasks)  # pyright: ignore
    return found


def check_responses(design: Design, Y: Vector | pd.DataFrame) -> Vector:
    """(n, B) finite responses, codes of categories; those of pandas in the order of their index.

    Raises
    ------
    DataError
        If the number of rows is not the fit's, the index is not that of its rows, or a value is not finite or no
        category of the response.
    """
    Y = response_codes(design, in_order(design, Y, "the new responses"))
    if Y.ndim == 1:
        Y = Y[:, None]
    n = len(design.y)
    if Y.shape[0] != n:
        raise DataError(
            f"a new response has {Y.shape[0]} rows, the fit used {n}",
            hint="Give one value for each row the fit used (fit.design.rows.used lists them).",
        )
    if not np.all(np.isfinite(Y)):
        raise DataError("a new response holds missing or infinite values")
    return Y
