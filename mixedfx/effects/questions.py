"""Questions put to an answer, without going back to the data; each is a function in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from mixedfx.effects import contrasts, excess
from mixedfx.effects.heterogeneity import heterogeneity_table
from mixedfx.effects.ranks import Best, Competitors, rank_table
from mixedfx.effects.shrinkage import shrinkage_table
from mixedfx.effects.state import EffectsState
from mixedfx.errors import EffectsError

if TYPE_CHECKING:
    from mixedfx.effects.decisions import CostLike, Decision


class EffectsQuestions(EffectsState):
    """Contrasts, probabilities, ranks, excesses, shrinkage, heterogeneity and decisions."""

    def contrast(
        self, a: Any = None, b: Any = None, *, against: Literal["overall", "complement"] | None = None
    ) -> Self:
        """Differences between the effects of subgroups, with their joint distribution.

        Parameters
        ----------
        a, b
            Subgroups: a name; a level where `by` is one column; a tuple of levels in the order of `by`; or a dictionary
            ``{"race": "Black", "gender": "boy"}``. The contrast is a minus b.
        against
            Instead of `b`: ``"overall"`` (all rows, the subgroup among them) or ``"complement"`` (all other rows).
            Without `a`, every subgroup of the table.

        Returns
        -------
        Effects
            Its table has the columns of this one, and `against`, `n_against`, `weight_against`. Ratios are subtracted
            too; to compare them as ratios, ask for ``comparison="lnratio"``, whose differences are logarithms of
            ratios of ratios.

        Raises
        ------
        EffectsError
            A subgroup that is not in the table, or one that holds all rows and so has no complement.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 + small | sch)", mx.datasets.load("star"))
        >>> eff = mx.effects(fit, "small", by="race")
        >>> eff.contrast("Black", "White").table[["race", "against", "estimate"]].shape
        (1, 3)
        """
        if against is None:
            if a is None or b is None:
                raise EffectsError(
                    "a contrast needs two subgroups, or against=",
                    hint='Write contrast("A", "B"), or contrast(against="overall").',
                )
            return contrasts.between(self, a, b)
        if b is not None:
            raise EffectsError("give b or against=, not both")
        if against not in ("overall", "complement"):
            raise EffectsError(f"against={against!r} is not known", hint="Values: 'overall', 'complement'.")
        return contrasts.against(self, a, against)

    def prob(
        self,
        *,
        greater: float | None = None,
        less: float | None = None,
        between: tuple[float, float] | None = None,
    ) -> pd.DataFrame:
        """Probability that each effect is greater than, less than, or between numbers.

        Parameters
        ----------
        greater, less, between
            Exactly one of them; in units of the table.

        Returns
        -------
        DataFrame
            The columns that name a row, and `prob`.

        Raises
        ------
        EffectsError
            None or several of the three, or a range that is empty.
        """
        if sum(q is not None for q in (greater, less, between)) != 1:
            raise EffectsError(
                "prob takes exactly one of greater=, less= and between=",
                hint="Write prob(greater=0), or prob(between=(-1, 1)).",
            )
        if between is not None:
            greater, less = between
            if not greater < less:
                raise EffectsError(f"between={between!r} holds no number", hint="Write the smaller number first.")
        return self.table[self.names].assign(prob=self.quantities.probability(greater, less))

    def rope(self, low: float, high: float) -> pd.DataFrame:
        """Hold each effect against a region of practical equivalence: effects too small to matter.

        Parameters
        ----------
        low, high
            Ends of the region, in units of the table.

        Returns
        -------
        DataFrame
            The columns that name a row; prob_below, prob_inside, prob_above; and verdict, by the table's interval:
            ``"equivalent"`` (all of it inside), ``"different"`` (all of it outside) or ``"undecided"`` (Kruschke
            2018, Advances in Methods and Practices in Psychological Science 1:270).

        Raises
        ------
        EffectsError
            A region that is empty.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 + small | sch)", mx.datasets.load("star"))
        >>> mx.effects(fit, "small", by="race").rope(-2, 2)["verdict"].tolist()
        ['different', 'different']
        """
        if not low < high:
            raise EffectsError(f"the region from {low!r} to {high!r} is empty", hint="Write the smaller number first.")
        ask = self.quantities.probability
        lower, upper = self.table["lower"], self.table["upper"]
        inside, outside = (lower >= low) & (upper <= high), (lower > high) | (upper < low)
        return self.table[self.names].assign(
            prob_below=ask(less=low),
            prob_inside=ask(low, high),
            prob_above=ask(greater=high),
            verdict=np.select([inside, outside], ["equivalent", "different"], "undecided"),
        )

    def rank(self, best: Best = "highest", of: Competitors | None = None) -> pd.DataFrame:
        """Rank the subgroups, or the values of the treatment, within each joint draw.

        Parameters
        ----------
        best
            Which end of the scale has rank 1.
        of
            Who competes: ``"subgroups"``; or ``"values"`` of the treatment, the base among them, within each subgroup:
            the probability that an arm is the best one. Where None, values if there is one subgroup only.

        Returns
        -------
        DataFrame
            The columns that name a row, estimate (of values: the column of the treatment instead); prob_best
            (probability of having rank 1); rank (its mean), median, lower, upper (its interval at the table's level).
            Subgroups compete within their margin, contrast of treatment values and category; those with the same
            effect share their places.

        Raises
        ------
        EffectsError
            A single subgroup, or a treatment that is a number and not chosen values of it.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 + small | sch)", mx.datasets.load("star"))
        >>> ranks = mx.effects(fit, "small", by="race").rank()
        >>> bool(abs(ranks["prob_best"].sum() - 1) < 1e-12)
        True
        """
        return rank_table(self, best, of)

    def interaction_excess(self) -> Self:
        """What each intersection has beyond the main effects of its factors.

        With effects tau of the cells of a crossing and their weights, the projection of tau on the main effects
        (weighted least squares) is what one would expect of a Black boy from what is known of Black children and of
        boys; the excess is tau minus that. Any number of factors; exact where the table is.

        Returns
        -------
        Effects
            One row for each cell of a crossing of two or more columns; null is 0.

        Raises
        ------
        EffectsError
            A table without such a crossing.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race*gender + (1 | sch)", mx.datasets.load("star"))
        >>> mx.effects(fit, "small", by=["race", "gender"]).interaction_excess().table.shape[0]
        4
        """
        return excess.interaction_excess(self)

    def shrinkage(self) -> pd.DataFrame:
        """Raw estimates from each subgroup's own rows beside the pooled ones of the model.

        Returns
        -------
        DataFrame
            The columns that name a row; n (rows of the data of the fit it uses); raw, raw_se (missing where a subgroup
            lacks rows); pooled, pooled_sd (the table's); pooling, the share of the raw uncertainty that other
            subgroups remove: 0 none, 1 all. A raw estimate compares means, or of a numeric treatment is a slope, and
            adjusts for nothing. Over several data sets raw estimates are pooled by Rubin's rules.

        Raises
        ------
        EffectsError
            On the scale of a link, or where the data of the fit lack a column of the subgroups.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small + (1 + small | sch)", mx.datasets.load("star"))
        >>> table = mx.effects(fit, "small", by="sch").shrinkage()
        >>> bool(table["raw"].std() > table["pooled"].std())
        True
        """
        return shrinkage_table(self)

    def heterogeneity(self) -> pd.DataFrame:
        """Standard deviation of the effects between subgroups, in all and by factor, from joint draws.

        Returns
        -------
        DataFrame
            One row for each component: ``"between subgroups"``, each column of a crossing (its margin), and
            ``"interaction"``. Columns: margin, contrast and category where the table has them; component; subgroups
            (their number); sd with lower and upper; share of the variance with share_lower and share_upper. A
            standard deviation is never negative, so an interval that begins near zero is what no heterogeneity looks
            like.

        Raises
        ------
        EffectsError
            A single subgroup.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race*gender + (1 | sch)", mx.datasets.load("star"))
        >>> mx.effects(fit, "small", by=["race", "gender"]).heterogeneity()["component"].tolist()
        ['between subgroups', 'race', 'gender', 'interaction']
        """
        return heterogeneity_table(self)

    def decide(
        self,
        cost: CostLike | None = None,
        budget: float | None = None,
        benefit: Literal["higher", "lower"] = "higher",
        contrast: str | None = None,
    ) -> Decision:
        """Which subgroups to treat, and what that is worth against treating all, none, or people at random.

        Parameters
        ----------
        cost
            Of one treatment: a number, one for each subgroup, or a dictionary or pandas Series by subgroup. Without
            `budget` in units of the outcome (default 0); with `budget` in its currency (default 1, so that the budget
            is a number of treatments).
        budget
            What may be spent in all; None for no limit.
        benefit
            Whether a higher or a lower outcome is a benefit.
        contrast
            Which values of the treatment, where the table has several.

        Returns
        -------
        Decision
            With `table` (whom to treat) and `policies` (what that gains), each policy judged on draws that did not
            choose it. `weight` is the number of people: rows, or trials of ``k | trials(m)``; for those of a population
            give census counts as `weights` of the effects.

        Raises
        ------
        EffectsError
            Effects that do not add up over people (ratios), or two subgroups that have members in common.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 + small | sch)", mx.datasets.load("star"))
        >>> decision = mx.effects(fit, "small", by="race").decide(cost=8)
        >>> decision.policies["policy"].tolist()
        ['chosen', 'all', 'none', 'random']
        """
        from mixedfx.effects.decisions import decide

        return decide(self, cost, budget, benefit, contrast)
