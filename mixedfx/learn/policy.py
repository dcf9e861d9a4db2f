r"""policy_value: what the mean outcome would be if people were treated by a policy.

A policy pi_k(i) is the probability that person i gets arm k (0 or 1 where it decides). With scores Gamma_ik of the
outcome of i under arm k, its value is estimated by the mean of V_i = sum_k pi_k(i) Gamma_ik:

* ``"ipw"``: Gamma_ik = 1(w_i = k) y_i / e_k(i), the inverse-propensity weighting of Horvitz and Thompson (1952);
* ``"aipw"``: the doubly robust scores of `mixedfx.learn.pseudo_outcomes`, of smaller variance (Athey and Wager 2021,
  Econometrica 89:133).

Values of several policies are means over the same people, and their errors are joint: the standard error of a
difference is that of the mean of V_i - V'_i, which is often much smaller than those of the values. Errors are those of
sums over clusters (`mixedfx.learn.clusters`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, check_level, check_option, some_rows
from mixedfx.learn.clusters import means
from mixedfx.learn.folds import cluster_codes, group_codes
from mixedfx.learn.predicted import Cate, as_numbers, read_cross_fitted
from mixedfx.learn.propensity import checked, read_known
from mixedfx.learn.pseudo_outcomes import arm_scores
from mixedfx.learn.scores import Scores
from mixedfx.learn.trial import read_arms, read_outcome
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts, SummaryTable

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def policy_value(
    policy: Any,
    y: Any,
    w: Any = None,
    propensity: Any = None,
    method: Literal["ipw", "aipw"] | None = None,
    *,
    outcomes: Any = None,
    cluster: Any = None,
    by: Any = None,
    level: float = 0.95,
) -> PolicyValue:
    """Mean outcome under policies, from data in which people were treated otherwise.

    Parameters
    ----------
    policy
        Whom to treat: (n,) arms, or probabilities of the second of two arms (0/1, booleans), or (n, K) probabilities.
        Or a dictionary of several, by name: ``{"chosen": ..., "all": 1, "none": 0}``, a number being one for everybody.
        Of two arms, 0 and 1 mean not treated and treated whatever the arms are called; whole numbers for each row that
        could be labels of arms as well, and would then mean something else, are refused.
    y, w
        (n,) outcomes and treatments; or `Scores` in the place of y, and nothing else.
    propensity
        Probabilities of arms, as in `mixedfx.cate`.
    method
        ``"ipw"``, or ``"aipw"``, which needs `outcomes`. Where None: aipw of `Scores` or with `outcomes`, else ipw.
    outcomes
        (n, K) expected outcomes in each arm, cross-fitted.
    cluster
        (n,) clusters of dependent rows; the groups of `Scores` where None.
    by
        (n,) groups of people, whose values and shares are told apart in `groups`. Their errors are those of sums over
        clusters too: NaN in a group that lies within one cluster.
    level
        Probability that intervals hold.

    Returns
    -------
    PolicyValue
        `table`, `contrast`, `groups`.

    Raises
    ------
    DataError
        Lengths that differ, policies that are no probabilities, numbers that could be arms or probabilities,
        propensities of 0 or 1: by counts.
    OptionError
        AIPW without outcome models, outcome models that IPW would not use, an unknown method, no policy.

    Notes
    -----
    The value of a policy that was learnt from these people is right only if each was decided upon without their own
    outcome, as by `mixedfx.treat_best` of cross-fitted effects.

    Examples
    --------
    >>> import mixedfx as mx
    >>> y, w = [1.0, 3.0, 2.0, 6.0], [0, 1, 0, 1]
    >>> value = mx.policy_value({"all": 1, "none": 0}, y, w, propensity=0.5)
    >>> value.table[["policy", "share", "value"]].values.tolist()
    [['all', 1.0, 4.5], ['none', 0.0, 1.5]]
    >>> float(value.contrast("all", "none")["value"].item())
    3.0
    """
    check_level(level)
    gamma, labels, cluster = _arm_scores(y, w, propensity, method, outcomes, cluster)
    given = policy if isinstance(policy, Mapping) else {"policy": policy}
    if not given:
        raise OptionError("there is no policy", hint='Give one, or several by name: {"all": 1, "none": 0}.')
    shares = {str(name): read_policy(one, labels, len(gamma), str(name)) for name, one in given.items()}
    V = np.column_stack([(share * gamma).sum(axis=1) for share in shares.values()])
    treated = np.column_stack([1 - share[:, 0] for share in shares.values()])
    codes = cluster_codes(cluster, len(gamma))
    people, names = group_codes(by, len(gamma), "by")
    groups = (
        None if people is None or names is None else _by_group(tuple(shares), V, treated, people, names, codes, level)
    )
    return PolicyValue(tuple(shares), V, treated, codes, level, groups)


def treat_best(cate: Any, share: float, *, cross_fitted: bool | None = None, benefit: str = "higher") -> Array:
    """Policy that treats the most promising share of people.

    Parameters
    ----------
    cate
        `Cate` that is cross-fitted, or (n,) effects with `cross_fitted=True`.
    share
        Of people who can be treated, 0 to 1.
    cross_fitted
        Of effects from elsewhere: whether no model has seen the outcome of the person it predicts.
    benefit
        ``"higher"`` outcomes are better, or ``"lower"``.

    Returns
    -------
    (n,) array
        Probabilities of treatment: 1 and 0, and between them for people whose effects are tied at the margin.

    Raises
    ------
    OptionError
        In-sample effects, a share that is none.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.treat_best([0.3, 0.1, 0.5, 0.1], 0.75, cross_fitted=True)
    array([1. , 0.5, 1. , 0.5])
    """
    check_option("benefit", benefit, ("higher", "lower"))
    if isinstance(share, bool | str) or not 0 <= share <= 1:
        raise OptionError(f"share={share!r} is no share of people", hint="Use a number from 0 to 1.")
    tau = read_cross_fitted(cate, None, cross_fitted) * (1 if benefit == "higher" else -1)
    _, block, count = np.unique(-tau, return_inverse=True, return_counts=True)
    before = np.cumsum(count) - count
    return np.clip((share * len(tau) - before) / count, 0.0, 1.0)[block]


@dataclass(frozen=True, eq=False, repr=False)
class PolicyValue(Shown):
    """Values of policies.

    Attributes
    ----------
    names
        Of the J policies.
    scores
        (n, J) what each person adds to the value of each.
    treated
        (n, J) probability of any arm but the control.
    cluster
        (n,) codes of clusters; None for independent rows.
    level
        Probability that intervals hold.
    groups
        Values and shares by group; None where none were asked for.
    """

    names: tuple[str, ...]
    scores: Array
    treated: Array
    cluster: Codes | None
    level: float
    groups: pd.DataFrame | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row for each policy: policy, share (treated), value, std_error, lower, upper."""
        value, V = means(self.scores, np.ones((len(self.scores), 1)), self.cluster)
        told = {"policy": list(self.names), "share": self.treated.mean(axis=0)}
        return _with_interval(told, value, np.sqrt(np.diag(V)), self.level)

    def contrast(self, first: str, second: str) -> pd.DataFrame:
        """Difference in value of two policies, first minus second, with its joint standard error."""
        for name in (first, second):
            if name not in self.names:
                raise OptionError(f"there is no policy {name!r}", hint=f"Policies: {', '.join(self.names)}.")
        i, j = self.names.index(first), self.names.index(second)
        gap = self.scores[:, [i]] - self.scores[:, [j]]
        value, V = means(gap, np.ones((len(gap), 1)), self.cluster)
        share = self.treated[:, i].mean() - self.treated[:, j].mean()
        return _with_interval(
            {"policy": [f"{first} - {second}"], "share": [share]}, value, np.sqrt(np.diag(V)), self.level
        )

    def content(self) -> SummaryContent:
        """Values, and by group."""
        errors = "independent rows" if self.cluster is None else f"{int(self.cluster.max()) + 1:,} clusters"
        facts = SummaryFacts((("People", f"{len(self.scores):,}"), ("Standard errors", f"of {errors}")))
        tables = [_shown("Values", self.table)]
        if self.groups is not None:
            tables.append(_shown("By group", self.groups))
        return SummaryContent("Value of policies", (facts, *tables))


def read_policy(given: Any, labels: tuple[Any, ...], n: int, name: str = "policy") -> Array:
    """(n, K) probabilities of the arms under a policy.

    Raises
    ------
    DataError
        Another length, numbers that are neither arms nor probabilities or could be either, by counts.

    Examples
    --------
    >>> from mixedfx.learn.policy import read_policy
    >>> read_policy(["b", "a"], ("a", "b"), 2)
    array([[0., 1.],
           [1., 0.]])
    >>> read_policy(1, (1, 2), 1)  # treated, and not the arm called 1
    array([[0., 1.]])
    """
    K = len(labels)
    if isinstance(given, Cate):
        raise DataError(
            f"{name} holds effects, which decide nothing by themselves", hint="Use mx.treat_best(cate, 0.3)."
        )
    values = np.asarray(given)
    if values.ndim == 0:
        values = np.full(n, float(values) if K == 2 and values.dtype.kind in "fiub" else values.item())
    numbers = values.dtype.kind in "fiub"
    if values.shape == (n, K) and numbers:
        share = values.astype(np.float64)
    elif values.shape != (n,):
        raise DataError(f"{name} has shape {values.shape}; there are {n} rows", hint="One decision for each row.")
    elif K > 2 and values.dtype.kind == "b":
        raise DataError(
            f"{name} is yes or no, and there are {K} arms", hint=f"Say which: {', '.join(map(str, labels))}."
        )
    elif K == 2 and numbers and not _are_labels(values, labels, name):
        second = values.astype(np.float64)
        share = np.column_stack([1 - second, second])
    else:
        known = {label: k for k, label in enumerate(labels)}
        unknown = [row for row, value in enumerate(values.tolist()) if value not in known]
        if unknown:
            raise DataError(
                f"{name} holds {len(unknown)} values that are no arms: {some_rows(unknown)}",
                hint=f"Arms: {', '.join(map(str, labels))}.",
            )
        share = np.eye(K)[[known[value] for value in values.tolist()]]
    bad = np.flatnonzero(
        ~np.isfinite(share).all(axis=1) | (share < 0).any(axis=1) | (np.abs(share.sum(axis=1) - 1) > 1e-9)
    )
    if len(bad):
        raise DataError(
            f"{name} holds {len(bad)} rows that are no probabilities: {some_rows(bad)}", hint="From 0 to 1."
        )
    return share


def _are_labels(values: NDArray[Any], labels: tuple[Any, ...], name: str) -> bool:
    """Whether numbers can only be labels of the two arms, and not probabilities of the second.

    Zeros and ones of type bool or float say not treated and treated. Other numbers that are both probabilities and
    labels, and mean something else as the one than as the other, are refused (`DataError`).
    """
    numbers = all(isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels)
    if values.dtype.kind == "b" or not numbers or not np.isin(values, list(labels)).all():
        return False
    if not ((values >= 0) & (values <= 1)).all():
        return True
    second = values == labels[1]
    if (second == values).all() or (values.dtype.kind == "f" and np.isin(values, (0, 1)).all()):
        return False
    raise DataError(
        f"{name} holds numbers that are labels of arms ({labels[0]} and {labels[1]}) and probabilities of treatment",
        hint="Give booleans or floats (1.0: treated, 0.0: not), or (n, 2) probabilities of the arms.",
    )


def _arm_scores(
    y: Any, w: Any, propensity: Any, method: str | None, outcomes: Any, cluster: Any
) -> tuple[Array, tuple[Any, ...], Any]:
    """(n, K) scores of outcomes under each arm, labels of the arms, and clusters."""
    if method is not None:
        check_option("method", method, ("ipw", "aipw"))
    if isinstance(y, Scores):
        if w is not None or propensity is not None or outcomes is not None:
            raise OptionError("scores hold treatments and propensities", hint="Give policy_value(policy, scores).")
        trial, mu = y.trial, y.mu
        gamma = arm_scores(trial.y, trial.arm, np.zeros_like(mu) if method == "ipw" else mu, y.e)
        return gamma, trial.arms, trial.group if cluster is None else cluster
    if w is None or propensity is None:
        raise OptionError("values need treatments and their propensities", hint="Give w and propensity, or scores.")
    n = np.size(y)
    outcome, (arm, labels) = read_outcome(y, n), read_arms(w, n)
    e = checked(read_known(propensity, n, len(labels)), arm, None, known=True)
    mu = np.zeros((n, len(labels)))
    if method == "ipw" and outcomes is not None:
        raise OptionError("method='ipw' does not use outcomes=", hint='Say method="aipw", or leave one of the two out.')
    if method == "aipw" or outcomes is not None:
        if outcomes is None:
            raise OptionError("method='aipw' needs outcomes=", hint="Give expected outcomes (n, K), or mx.dr_scores.")
        mu = as_numbers(outcomes, "outcomes")
        if mu.shape != (n, len(labels)):
            raise DataError(f"outcomes have shape {mu.shape}; there are {n} rows and {len(labels)} arms")
        bad = np.flatnonzero(~np.isfinite(mu).all(axis=1))
        if len(bad):
            raise DataError(f"expected outcomes of {len(bad)} rows are NaN or infinite: {some_rows(bad)}")
    return arm_scores(outcome, arm, mu, e), labels, cluster


def _by_group(
    names: tuple[str, ...],
    V: Array,
    treated: Array,
    people: Codes,
    labels: pd.Index,
    cluster: Codes | None,
    level: float,
) -> pd.DataFrame:
    """Value and share treated of each policy in each group, errors those of sums over clusters within the group."""
    rows = []
    for g, label in enumerate(labels):
        own = people == g
        n = int(own.sum())
        codes = None if cluster is None else np.unique(cluster[own], return_inverse=True)[1]
        value, covariance = means(V[own], np.ones((n, 1)), codes)
        told = {"group": [label] * len(names), "policy": list(names), "n": n, "share": treated[own].mean(axis=0)}
        rows.append(_with_interval(told, value, np.sqrt(np.diag(covariance)), level))
    return pd.concat(rows, ignore_index=True)


def _with_interval(told: Mapping[str, Any], value: Array, se: Array, level: float) -> pd.DataFrame:
    z = NormalDist().inv_cdf(0.5 + level / 2)
    own = {"value": value, "std_error": se, "lower": value - z * se, "upper": value + z * se}
    return pd.DataFrame({**told, **own})


def _shown(title: str, table: pd.DataFrame, most: int = 60) -> SummaryTable:
    """A table of text and numbers as a part of a page."""
    columns = [
        [f"{v:.4f}" if isinstance(v, float) else str(v) for v in table[name].head(most)] for name in table.columns
    ]
    align = "".join("r" if pd.api.types.is_numeric_dtype(table[name].dtype) else "l" for name in table.columns)
    header = tuple(map(str, table.columns))
    return SummaryTable(title, header, tuple(zip(*columns, strict=True)), align, max(0, len(table) - most))
