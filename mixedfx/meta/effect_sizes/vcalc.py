r"""vcalc: the covariance of the sampling errors of effects that share people, measures, time points or a control group.

Of effects i and j of one cluster (and subgroup), with variances v, V_ij = r_ij sqrt(v_i v_j), and r_ij is a product:

* rho: 1 for the same type of construct and the same measure of it, ``rho`` (or its entry) for others;
* phi^|t_i - t_j|: of measurements at times t_i and t_j;
* of contrasts between condition 1 (group g1, time t1, weight w1) and 2, each condition's mean having an error of
  variance 1 / w, that of the same group being correlated phi^|difference of times|: with

      c(a, b) = [g_a = g_b] phi^|t_a - t_b| / sqrt(w_a w_b),
      [c(1i, 1j) - c(1i, 2j) - c(2i, 1j) + c(2i, 2j)] / sqrt(s_i s_j),
      s_i = 1 / w_1i + 1 / w_2i - 2 c(1i, 2i)

  (Gleser and Olkin 2009, in Cooper, Hedges and Valentine, The Handbook of Research Synthesis, ch. 19). Where weights
  are equal, two contrasts with a common control group are correlated by a half.

Values that are guessed may contradict each other: blocks that are not positive definite are refused, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.grouping import rows_of
from mixedfx.errors import DataError, OptionError, check_flag, some_rows
from mixedfx.meta.measure import Array
from mixedfx.meta.reading import fetched, numbers, values

SMALLEST = 1e-10  # eigenvalue of the correlations of a cluster below which they contradict each other


def vcalc(
    vi: Any,
    data: Any = None,
    *,
    cluster: Any,
    rho: Any = None,
    phi: float | None = None,
    subgroup: Any = None,
    type: Any = None,
    obs: Any = None,
    time1: Any = None,
    time2: Any = None,
    grp1: Any = None,
    grp2: Any = None,
    w1: Any = None,
    w2: Any = None,
    check: bool = True,
) -> sparse.csr_array:
    """Construct the covariance of the sampling errors of dependent effects.

    Parameters
    ----------
    vi
        Sampling variances: a column or values.
    data
        Any data frame; None where values are given.
    cluster
        What is independent of each other, such as studies: a column or values, as all that follow.
    rho
        Correlation of effects of one cluster: of different measures (`obs`) or types (`type`) of construct; with both a
        pair, within and between types. In the place of a number a data frame of correlations, rows and columns named by
        the values of `obs` or `type`. With neither `obs` nor `type`, of all effects of a cluster.
    phi
        Correlation of measurements one unit of time apart.
    subgroup
        Parts of clusters without common people.
    type, obs
        Types of construct, and measures of one type.
    time1, time2
        Times of measurement, of the first and second condition.
    grp1, grp2
        Groups that an effect contrasts.
    w1, w2
        Their sizes; equal where None.
    check
        Whether clusters whose correlations contradict each other are refused.

    Returns
    -------
    scipy.sparse.csr_array
        (n, n), for ``V=`` of `mixedfx.lmer`.

    Raises
    ------
    OptionError
        A correlation that is lacking or cannot be.
    DataError
        Variances that are not positive, missing values, clusters whose covariance is not positive definite, by name.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"study": ["a", "a", "b"], "scale": [1, 2, 1], "vi": [0.04, 0.09, 0.05]})
    >>> mx.vcalc("vi", data, cluster="study", obs="scale", rho=0.6).toarray().round(3)
    array([[0.04 , 0.036, 0.   ],
           [0.036, 0.09 , 0.   ],
           [0.   , 0.   , 0.05 ]])
    """
    check_flag("check", check)
    given = {"vi": vi, "cluster": cluster, "subgroup": subgroup, "type": type, "obs": obs, "time1": time1}
    given |= {"time2": time2, "grp1": grp1, "grp2": grp2, "w1": w1, "w2": w2}
    frame, labels = fetched(data, given)
    v = numbers(vi, frame, labels, "vi")
    bad = np.flatnonzero(~((v > 0) & np.isfinite(v)))
    if len(bad):
        raise DataError(
            f"vi is missing, infinite or not positive in {some_rows(bad)} (counted from 0)",
            hint="Sampling variances are positive: leave these rows out.",
        )
    read: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name == "vi":
            continue
        numeric = name in ("time1", "time2", "w1", "w2")
        read[name] = numbers(value, frame, labels, name) if numeric else values(value, frame, labels, name)
        lacking = np.flatnonzero(pd.isna(read[name]))
        if len(lacking):
            raise DataError(f"{name} is missing in {some_rows(lacking)} (counted from 0)")
    rule = _read_rule(rho, phi, read)
    names = read["cluster"] if "subgroup" not in read else np.array(
        [f"{c}, {s}" for c, s in zip(read["cluster"], read["subgroup"], strict=True)], dtype=object
    )  # fmt: skip
    codes, levels = pd.factorize(names)
    entries: list[tuple[Array, NDArray[np.intp], NDArray[np.intp]]] = []
    for rows in rows_of(codes.astype(np.intp)):
        r = rule.correlations(rows)
        if check and len(rows) > 1 and np.linalg.eigvalsh(r)[0] < SMALLEST:
            raise DataError(
                f"the correlations of cluster {levels[codes[rows[0]]]!r} ({some_rows(rows)}, counted from 0) "
                "contradict each other: their covariance is not positive definite",
                hint="Effects that are told apart by nothing count as the same one: give obs=, or other values of rho "
                "and phi; check=False returns V as it is.",
            )
        sd = np.sqrt(v[rows])
        i, j = np.meshgrid(rows, rows, indexing="ij")
        entries.append((np.ravel(r * np.outer(sd, sd)), i.ravel(), j.ravel()))
    data_, i, j = (np.concatenate([one[part] for one in entries]) for part in range(3))
    V = sparse.csr_array((data_, (i, j)), shape=(len(v), len(v)))
    V.eliminate_zeros()
    return V


@dataclass(frozen=True)
class _Rule:
    """How two effects of a cluster are correlated."""

    read: Mapping[str, Any]
    within: Any
    between: Any
    everything: float | None
    phi: float | None

    def correlations(self, rows: NDArray[np.intp]) -> Array:
        """(m, m) correlations of some rows of one cluster."""
        r = np.ones((len(rows), len(rows)))
        same_type = np.ones_like(r, dtype=bool)
        if self.everything is not None:
            r = np.where(np.eye(len(rows), dtype=bool), 1.0, self.everything)
        if self.between is not None:
            kind = self.read["type"][rows]
            same_type = kind[:, None] == kind
            r = np.where(same_type, r, _entries(self.between, kind))
        if self.within is not None:
            measure = self.read["obs"][rows]
            differs = same_type & (measure[:, None] != measure)
            r = np.where(differs, _entries(self.within, measure), r)
        if "grp1" in self.read:
            return r * self._contrasts(rows)
        if "time1" in self.read:
            r = r * self._decay(self.read["time1"][rows], self.read["time1"][rows])
        return r

    def _decay(self, one: Array, other: Array) -> Array:
        if self.phi is None:
            return np.ones((len(one), len(other)))
        with np.errstate(invalid="ignore"):
            return np.asarray(self.phi) ** np.abs(one[:, None] - other)

    def _contrasts(self, rows: NDArray[np.intp]) -> Array:
        group = [self.read["grp1"][rows], self.read["grp2"][rows]]
        zero = np.zeros(len(rows))
        first = self.read["time1"][rows] if "time1" in self.read else zero
        time = [first, self.read["time2"][rows] if "time2" in self.read else first]
        one = np.ones(len(rows))
        w = [self.read["w1"][rows], self.read["w2"][rows]] if "w1" in self.read else [one, one]
        sd = [1 / np.sqrt(x) for x in w]

        def shared(a: int, b: int) -> Array:
            return (group[a][:, None] == group[b]) * self._decay(time[a], time[b]) * np.outer(sd[a], sd[b])

        total = shared(0, 0) - shared(0, 1) - shared(1, 0) + shared(1, 1)
        size = sd[0] ** 2 + sd[1] ** 2 - 2 * np.diag(shared(0, 1))
        if (size <= 0).any():
            raise DataError(
                f"grp1 and grp2 are the same at the same time in {some_rows(rows[size <= 0])} (counted from 0)",
                hint="A contrast is between two groups, or two times of one.",
            )
        return total / np.sqrt(np.outer(size, size))


def _read_rule(rho: Any, phi: float | None, read: dict[str, Any]) -> _Rule:
    """How effects are correlated, from the arguments, checked."""
    within = between = everything = None
    has_type, has_obs = "type" in read, "obs" in read
    contrasts = "grp1" in read
    for name, other in (("grp1", "grp2"), ("grp2", "grp1"), ("w1", "grp1"), ("w2", "grp2"), ("w1", "w2")):
        if name in read and other not in read:
            raise OptionError(f"{name}= goes with {other}=", hint=f"Give {other}= too.")
    if "time2" in read and not ("time1" in read and contrasts):
        raise OptionError("time2= goes with time1=, grp1= and grp2=", hint="Of one condition give time1= alone.")
    if "time1" in read and phi is None:
        raise OptionError("time1= needs phi=", hint="Give the correlation of measurements one unit of time apart.")
    if phi is not None:
        if "time1" not in read:
            raise OptionError("phi= needs time1=", hint="Name the column with the times.")
        if not -1 <= phi <= 1:
            raise OptionError(f"phi={phi!r} is no correlation", hint="Use a number between -1 and 1.")
    if has_type and has_obs:
        if isinstance(rho, pd.DataFrame) or not isinstance(rho, Sequence) or len(rho) != 2:
            raise OptionError(
                "type= and obs= need two correlations", hint="Give rho=(0.7, 0.5): within types, between them."
            )
        within, between = _correlation(rho[0], read["obs"]), _correlation(rho[1], read["type"])
    elif has_type or has_obs:
        if rho is None:
            raise OptionError("obs= and type= need rho=", hint="Give a correlation, such as rho=0.6.")
        if has_type:
            between = _correlation(rho, read["type"])
        else:
            within = _correlation(rho, read["obs"])
    elif rho is not None:
        everything = _correlation(rho, None)
    elif not contrasts and "time1" not in read:
        raise OptionError("nothing says how effects are correlated", hint="Give rho=0.6, say.")
    return _Rule(read, within, between, everything, phi)


def _correlation(rho: Any, levels: Any) -> Any:
    """A number, or a frame of correlations with a row and a column for each level."""
    if isinstance(rho, pd.DataFrame):
        lacking = [level for level in pd.unique(levels) if level not in rho.index or level not in rho.columns]
        if lacking:
            raise OptionError(f"rho has no row and column {lacking[0]!r}", hint="Name them by the column's values.")
        if not np.allclose(rho.to_numpy(), rho.loc[rho.columns].T.loc[rho.columns].to_numpy()):
            raise OptionError("the correlations rho are not symmetric")
        return rho
    try:
        number = float(rho)
    except (TypeError, ValueError):
        raise OptionError(f"rho={rho!r} is no correlation", hint="Use a number, such as 0.6.") from None
    if not -1 <= number <= 1:
        raise OptionError(f"rho={rho!r} is no correlation", hint="Use a number between -1 and 1.")
    return number


def _entries(rho: Any, levels: Any) -> Any:
    return rho.loc[list(levels), list(levels)].to_numpy() if isinstance(rho, pd.DataFrame) else rho
