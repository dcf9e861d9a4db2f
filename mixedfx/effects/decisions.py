"""Whom to treat: a policy chosen on one half of the joint draws and judged on the other.

Treating share t_S of subgroup S of w_S people gains ``G(t) = sum_S t_S w_S (b tau_S - c_S)``, with b = 1 or -1 the
direction that is a benefit and c_S what a treatment costs in units of the outcome. The policy of highest expected gain
treats every subgroup with ``b E tau_S > c_S``; tau_S is that of one person, also where effects are stated per 1,000.
Under a budget, with costs in its currency, it treats subgroups in the order of expected gain per unit of cost until the
budget is spent, the last of them in part: the greedy solution of the continuous knapsack, which is optimal (Dantzig
1957, Operations Research 5:266).

A policy that is chosen and judged on the same draws looks better than it is, since it profits from their Monte Carlo
error. So each half of the draws chooses for the other, and the judged draws of both halves are put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.state import EffectsState
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError, check_option
from mixedfx.results.render import MOST_ROWS, Shown, SummaryContent, SummaryFacts, SummaryTable

Array = NDArray[np.float64]
CostLike = float | Mapping[Any, float] | pd.Series | Sequence[float]


@dataclass(frozen=True, repr=False, eq=False)
class Decision(Shown):
    """Which subgroups to treat, and what that is worth.

    Attributes
    ----------
    table
        One row for each subgroup: what names it; weight (people); estimate and prob_benefit (probability that
        treating one of its people gains more than it costs); cost (of one treatment); treat (share of the subgroup to
        treat, from all draws).
    policies
        One row for each of chosen, all, none, random: share (of people treated), cost, gain (expected) with lower and
        upper, prob_positive, prob_chosen_better (probability that the chosen policy gains more).
    draws
        (D, 4) gains of the four policies, each from draws that did not choose.
    notes
        How to read it.
    """

    table: pd.DataFrame
    policies: pd.DataFrame
    draws: Array
    notes: tuple[str, ...]

    def content(self) -> SummaryContent:
        """The answer (policies) first, then subgroups, sixty at most, and notes."""
        tables = []
        for caption, whole in (("Policies", self.policies), ("Subgroups", self.table)):
            frame = whole.head(MOST_ROWS)
            columns = [[_cell(str(name), value) for value in frame[name]] for name in frame.columns]
            rows = tuple(zip(*columns, strict=True))
            align = "".join("r" if pd.api.types.is_numeric_dtype(t) else "l" for t in frame.dtypes)
            header = tuple(map(str, frame.columns))
            tables.append(SummaryTable(caption, header, rows, align, len(whole) - len(frame)))
        facts = SummaryFacts(tuple(("Note", note) for note in self.notes))
        return SummaryContent("Decision: whom to treat", (*tables, facts))


def decide(
    effects: EffectsState,
    cost: CostLike | None,
    budget: float | None,
    benefit: Literal["higher", "lower"],
    contrast: str | None,
) -> Decision:
    """Choose whom to treat; see `Effects.decide`."""
    check_option("benefit", benefit, ("higher", "lower"))
    rows = _rows(effects, contrast)
    lost = effects.quantities.lost[rows]
    if lost.any():
        names = listed([effects.labels[i] for i in rows[lost]])
        raise EffectsError(
            f"the data do not determine the effect for {names}, so that nothing can be decided about these people",
            hint="Ask about the others, with subgroups= or newdata=, or fit a smaller fixed part.",
        )
    table = effects.table.iloc[rows].reset_index(drop=True)
    weight = table["weight"].to_numpy(dtype=float)
    if cost is None:
        cost = 0.0 if budget is None else 1.0
    price = _prices(cost, effects, rows)
    if budget is not None and not (isinstance(budget, int | float) and np.isfinite(budget) and budget >= 0):
        raise EffectsError(f"budget must be zero or a positive number, not {budget!r}")
    sign = 1.0 if benefit == "higher" else -1.0
    heads = _heads(effects)
    draws = sign * effects.draws()[:, rows] / heads
    # What one treatment gains: under a budget its cost is paid from the budget and not from the gain.
    gain = draws - price if budget is None else draws

    def policy(some: Array) -> Array:
        return best_policy(some.mean(axis=0), weight, price, budget)

    halves = np.array_split(np.random.default_rng(0).permutation(len(gain)), 2)
    judged, shares = [], []
    for choose, judge in (halves, halves[::-1]):
        treat = policy(gain[choose])
        alike = _random_share(treat, weight, price, budget)
        all_gain = gain[judge] @ weight
        judged.append(
            np.column_stack([gain[judge] @ (treat * weight), all_gain, np.zeros(len(judge)), alike * all_gain])
        )
        shares.append([treat, np.ones(len(treat)), np.zeros(len(treat)), np.full(len(treat), alike)])
    values = np.vstack(judged)
    share = np.mean(shares, axis=0)
    tail = [0.5 - effects.level / 2, 0.5 + effects.level / 2]
    lower, upper = np.quantile(values, tail, axis=0)
    better = np.where(values[:, :1] > values, 1.0, np.where(values[:, :1] == values, 0.5, 0.0)).mean(axis=0)
    better[0] = np.nan
    policies = pd.DataFrame(
        {
            "policy": ["chosen", "all", "none", "random"],
            "share": share @ weight / weight.sum(),
            "cost": share @ (weight * price),
            "gain": values.mean(axis=0),
            "lower": lower,
            "upper": upper,
            "prob_positive": (values > 0).mean(axis=0),
            "prob_chosen_better": better,
        }
    )
    who = table[[*effects.keys, "weight", "estimate"]].assign(
        prob_benefit=(draws > (price if budget is None else 0.0)).mean(axis=0), cost=price, treat=policy(gain)
    )
    return Decision(who, policies, values, _notes(effects, budget, policies))


def best_policy(gain: Array, weight: Array, price: Array, budget: float | None) -> Array:
    """Share of each subgroup to treat for the highest expected gain.

    Parameters
    ----------
    gain
        (s,) expected gain of one treatment.
    weight
        (s,) people.
    price
        (s,) cost of one treatment.
    budget
        What may be spent in all; None for no limit.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.effects.decisions import best_policy
    >>> best_policy(np.array([3.0, 2.0, -1.0]), np.array([10.0, 10.0, 10.0]), np.ones(3), budget=15).tolist()
    [1.0, 0.5, 0.0]
    """
    wanted = gain > 0
    if budget is None:
        return wanted.astype(float)
    treat = np.zeros(len(gain))
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.where(wanted, gain / price, -np.inf), kind="stable")
    left = float(budget)
    for i in order[: int(wanted.sum())]:
        whole = weight[i] * price[i]
        treat[i] = 1.0 if whole <= left else left / whole
        left = max(0.0, left - whole)
    return treat


def _random_share(treat: Array, weight: Array, price: Array, budget: float | None) -> float:
    """Share of everybody that random treatment reaches with the same number of treatments, or the same money."""
    size = weight if budget is None or not price.any() else weight * price
    return float(treat @ size / size.sum())


def _rows(effects: EffectsState, contrast: str | None) -> NDArray[np.intp]:
    """Rows of the one contrast of treatment values to decide about."""
    comparison = effects.comparison
    if comparison is None or comparison.coefficients is None or "against" in effects.keys:
        raise EffectsError(
            "a decision needs effects that add up over people", hint='Ask for effects(..., comparison="difference").'
        )
    back = effects.question.back
    if back is not None and back.affine is None and not effects.question.bias_adjust:
        raise EffectsError(
            f"a decision needs effects that add up over people, and a {back.kind} does not",
            hint="Ask for effects(..., bias_adjust=True), which are differences of arithmetic means."
            if back.has_mean
            else f'Ask with scale="link", for sums of {back.text}.',
        )
    if "category" in effects.table:
        raise EffectsError("a decision needs one outcome, and this response has categories")
    if effects.aspect:
        raise EffectsError(f"a decision needs effects, and these are {effects.aspect}es", hint="Ask the effects.")
    if effects.overlap is not None:
        pair = effects.overlap
        raise EffectsError(
            f"a decision needs subgroups that do not overlap: {pair.rows:,} rows belong to both {pair.first!r} and "
            f"{pair.second!r}, and would be treated and paid for twice",
            hint='Ask for one crossing, by=["race", "gender"], or leave the members of one out of the other\'s query.',
        )
    options = list(dict.fromkeys(effects.table["contrast"]))
    if contrast is None and len(options) > 1:
        raise EffectsError(
            f"the table compares several values: {listed(options)}", hint=f"Name one: contrast={options[0]!r}."
        )
    chosen = options[0] if contrast is None else contrast
    if chosen not in options:
        raise EffectsError(f"there is no contrast {chosen!r}", hint=did_you_mean(chosen, options, all_of="Contrasts"))
    return np.flatnonzero((effects.table["contrast"] == chosen).to_numpy())


def _heads(effects: EffectsState) -> float:
    """Number of people that an effect counts: 1,000 of one per 1,000; costs and gains are those of one."""
    comparison = effects.comparison
    assert comparison is not None
    assert comparison.coefficients is not None
    return abs(comparison.coefficients[0])


def _prices(cost: CostLike, effects: EffectsState, rows: NDArray[np.intp]) -> Array:
    """Cost of one treatment in each subgroup."""
    labels = [effects.labels[i] for i in rows]
    if isinstance(cost, pd.Series):  # its index names the subgroups, as the keys of a dictionary do
        if not cost.index.is_unique:
            raise EffectsError(
                "cost is a pandas Series that names a subgroup twice", hint="Give each subgroup one cost."
            )
        cost = dict(cost.items())
    if isinstance(cost, Mapping):
        single = effects.keys[0] if len(effects.keys) == 1 else None
        known = [effects.table[single].iloc[i] if single else label for i, label in zip(rows, labels, strict=True)]
        missing = [k for k, label in zip(known, labels, strict=True) if k not in cost and label not in cost]
        if missing:
            raise EffectsError(f"cost has no entry for {missing[0]!r}", hint=f"Subgroups: {listed(known)}.")
        values = [cost[k] if k in cost else cost[label] for k, label in zip(known, labels, strict=True)]
    else:
        values = cost
    price = np.asarray(values, dtype=float)
    if price.ndim and price.shape != (len(rows),):
        raise EffectsError(f"cost has {price.size} entries; the table has {len(rows)} subgroups")
    price = np.broadcast_to(price, (len(rows),)).astype(float)
    if not np.isfinite(price).all() or (price < 0).any():
        raise EffectsError("a cost must be zero or a positive number")
    return price


def _notes(effects: EffectsState, budget: float | None, policies: pd.DataFrame) -> tuple[str, ...]:
    response = effects.response
    notes = [
        f"Gains are sums of {response} over people, each policy judged on draws that did not choose it; random treats "
        + ("as many people as the chosen policy." if budget is None else "people at random with the same money."),
    ]
    if _heads(effects) != 1.0:
        notes.append(f"Estimates are per {_heads(effects):,.10g}; costs and gains are those of one.")
    cost = float(policies.loc[1, "cost"])  # pyright: ignore[reportArgumentType]
    if budget is not None and cost > budget:
        notes.append(f"Treating all would cost {cost:,.4g}, more than the budget of {budget:,.4g}.")
    return tuple(notes)


def _cell(column: str, value: Any) -> str:
    """Shares and probabilities with three decimals, anything else with four digits or as a whole number."""
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return ""
    if column.startswith("prob") or column in ("share", "treat"):
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
