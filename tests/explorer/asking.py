"""Random subgroups as a reader ticks them, and the same as Python asks for them."""

import numpy as np


def random_ticks(columns, count, seed):
    """`count` different choices of levels, ``{"race": ["Black"]}``, columns left whole among them.

    columns
        Column -> its levels.
    """
    rng = np.random.default_rng(seed)
    out = []
    while len(out) < count:
        only = {}
        for name, levels in columns.items():
            size = int(rng.integers(1, len(levels) + 1))
            if size < len(levels):
                only[name] = sorted(str(level) for level in rng.choice(levels, size, replace=False))
        if only not in out:
            out.append(only)
    return out


def as_query(only, columns):
    """The query of such a choice; of everybody where all levels are ticked."""
    chosen = only or {next(iter(columns)): [str(level) for level in next(iter(columns.values()))]}
    parts = [f"{name} in [{', '.join(map(repr, levels))}]" for name, levels in chosen.items()]
    return " and ".join(parts)
