"""Folds of cross-fitting, and what they are for.

A learner predicts for people of groups that it has seen, or for people of others, and these are different questions.

* ``"these groups"``: the rows of each group, and of each arm within it, are spread evenly over the folds, so that every
  training set holds every group (but those with too few rows). Effects of groups can be learnt, and are judged on
  other people of the same groups.
* ``"new groups"``: a group is in one fold as a whole. What is learnt of it says nothing about the fold it is in.

Rows are dealt out at random: shuffled, sorted by group and arm, and numbered in turn. Groups are dealt out by size, the
largest of those that are left to the fold with the fewest rows, ties at random.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, check_count, check_option, check_seed

Codes = NDArray[np.intp]
Target = Literal["these groups", "new groups"]
TARGETS: tuple[Target, ...] = ("these groups", "new groups")


def make_folds(
    n_folds: int, arms: Codes, groups: Codes | None, target: Target = "these groups", seed: int | None = 0
) -> Codes:
    """Number of the fold of each row.

    Parameters
    ----------
    n_folds
        At least 2.
    arms
        (n,) codes of the arms.
    groups
        (n,) codes of the groups, or None where there are none.
    target
        Whom predictions are for; see above.
    seed
        Of the random order.

    Raises
    ------
    OptionError
        New groups without groups, or fewer groups than folds.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.folds import make_folds
    >>> groups = np.repeat([0, 1, 2], 4)
    >>> folds = make_folds(2, np.tile([0, 1], 6), groups)
    >>> np.bincount(folds[groups == 0]).tolist()
    [2, 2]
    >>> whole = make_folds(2, np.tile([0, 1], 6), groups, "new groups")
    >>> [len(set(whole[groups == g])) for g in range(3)]
    [1, 1, 1]
    """
    check_count("folds", n_folds, 2)
    check_seed(seed)
    check_option("target", target, TARGETS)
    n, rng = len(arms), np.random.default_rng(seed)
    if n_folds > n:
        raise OptionError(f"{n_folds} folds of {n} rows", hint="Use fewer folds.")
    order = rng.permutation(n)
    if target == "these groups":
        keys = (arms[order],) if groups is None else (arms[order], groups[order])
        order = order[np.lexsort(keys)]
        folds = np.empty(n, dtype=np.intp)
        folds[order] = np.arange(n) % n_folds
        return folds
    if groups is None:
        raise OptionError('target="new groups" without groups', hint="Say which column holds them: groups=.")
    sizes = np.bincount(groups)
    if n_folds > len(sizes):
        raise OptionError(f"{n_folds} folds of {len(sizes)} groups", hint="Use no more folds than groups.")
    own, filled = np.empty(len(sizes), dtype=np.intp), np.zeros(n_folds)
    mixed = rng.permutation(len(sizes))
    for group in mixed[np.argsort(-sizes[mixed], kind="stable")]:
        own[group] = int(np.argmin(filled))
        filled[own[group]] += sizes[group]
    return own[groups]


def folds_of(
    given: Any, arm: Codes, arms: tuple[Any, ...], group: Codes | None, target: Target, seed: int | None
) -> Codes:
    """(n,) fold numbers, made or chosen by the caller, that leave something to learn from and suit the target.

    Raises
    ------
    OptionError
        As `make_folds` and `read_folds`; all rows of an arm in one fold; new groups that the folds split.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.folds import folds_of
    >>> folds_of([4, 4, 7, 7], np.array([0, 1, 0, 1]), ("a", "b"), None, "these groups", 0)
    array([0, 0, 1, 1])
    """
    check_option("target", target, TARGETS)
    chosen = read_folds(given, len(arm))
    split = make_folds(given, arm, group, target, seed) if chosen is None else chosen
    inside = np.zeros((len(arms), int(split.max()) + 1), dtype=bool)
    inside[arm, split] = True
    alone = np.flatnonzero(inside.sum(axis=1) == 1)
    if len(alone):
        named = ", ".join(str(arms[k]) for k in alone)
        raise OptionError(
            f"all rows of an arm are in one fold ({named}): without it there is nothing to learn that arm from",
            hint='Use other folds, or target="these groups", which spreads every arm over the folds.',
        )
    if chosen is not None and target == "new groups":
        if group is None:
            raise OptionError('target="new groups" without groups', hint="Say which column holds them: groups=.")
        pairs = np.unique(np.column_stack([group, split]), axis=0)
        parted = int((np.bincount(pairs[:, 0]) > 1).sum())
        if parted:
            raise OptionError(
                f'the folds split {parted} groups, and target="new groups" holds groups out as a whole',
                hint="Give all rows of a group one fold, or a number of folds.",
            )
    return split


def read_folds(given: Any, n: int) -> Codes | None:
    """(n,) fold numbers that the caller chose; None where only their number was said.

    Raises
    ------
    OptionError
        Neither a number nor one whole number for each row, or all the same.
    """
    if isinstance(given, int | np.integer):
        return None
    folds = np.asarray(given)
    if folds.shape != (n,) or folds.dtype.kind not in "iu":
        raise OptionError(
            f"folds has shape {folds.shape}; there are {n} rows", hint="Give a number of folds, or one of each row."
        )
    codes = np.unique(folds, return_inverse=True)[1].astype(np.intp)
    if codes.max(initial=0) < 1:
        raise OptionError("all rows are in one fold", hint="Use two folds or more.")
    return codes


def cluster_codes(cluster: Any, n: int) -> Codes | None:
    """(n,) codes of clusters of dependent rows; None where rows are independent.

    Raises
    ------
    DataError
        As `group_codes`; one cluster, whose rows say nothing of the variation between clusters.
    """
    codes, labels = group_codes(cluster, n, "cluster")
    if labels is not None and len(labels) < 2:
        raise DataError(
            f"all {n} rows are in one cluster ({labels[0]}): nothing is known of the variation between clusters",
            hint="Give smaller clusters, or say that rows are independent: cluster=range(n).",
        )
    return codes


def group_codes(groups: Any, n: int, what: str = "groups") -> tuple[Codes, pd.Index] | tuple[None, None]:
    """(n,) codes of the groups and their labels, in the order of the labels; `what` names the argument.

    Raises
    ------
    DataError
        Another length, or missing groups, by counts.
    """
    if groups is None:
        return None, None
    if not isinstance(groups, pd.Series) and np.ndim(groups) != 1:
        given = repr(groups) if np.ndim(groups) == 0 else f"of shape {np.shape(groups)}"
        raise DataError(f"{what} is {given}; there are {n} rows", hint="One value for each row.")
    values = pd.Series(np.asarray(groups)) if not isinstance(groups, pd.Series) else groups
    if len(values) != n:
        raise DataError(f"{what} has {len(values)} values; there are {n} rows", hint="One value for each row.")
    missing = int(np.asarray(pd.isna(values)).sum())
    if missing:
        raise DataError(f"{what} is missing in {missing} rows", hint="Drop these rows, or give them a group of theirs.")
    codes, labels = pd.factorize(values.astype(object), sort=True)
    return np.asarray(codes, dtype=np.intp), pd.Index(labels)
