"""Pooled fits of what a file holds: each member is the file of one data set's fit, read as such.

`mixedfx.surveys.pooled_storage` writes it; since the fits may be of any engine, it is read above them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read, read_inner, require
from mixedfx.errors import DataError
from mixedfx.loading import read_fit
from mixedfx.surveys.pool import check_alike, pooled_fits
from mixedfx.surveys.pooled_fit import PooledFit
from mixedfx.surveys.pooled_storage import HEAD, KINDS, member


def read_pooled(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> PooledFit:
    """Read a fit that `PooledFit.save` wrote; see `mixedfx.load`.

    Raises
    ------
    DataError
        A file whose fits are damaged, of kinds that are not pooled, or not alike.
    """
    with being_read(path):
        require(head, HEAD)
        sets = tuple(head["sets"])
        if len(sets) < 2 or set(members) != {member(k) for k in range(len(sets))}:
            raise ValueError("its fits are not as many as its data sets")
        fits = []
        for k in range(len(sets)):
            own, tables = read_inner(members[member(k)])
            if own.get("kind") not in KINDS:
                raise ValueError(f"fits of the kind {own.get('kind')!r:.40} are not pooled")
            fits.append(read_fit(path, own, tables))
        if len({type(fit) for fit in fits}) > 1:
            raise DataError(f"{path} holds fits of several kinds", hint="Save the fit again.")
        check_alike(fits, sets)
        return pooled_fits(fits, sets, head["written"], head["what"])
