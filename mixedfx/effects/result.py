"""The answer: a table of effects, and the questions that can be asked of it without going back to the data.

`Effects` keeps the linear functionals behind its table. A contrast of subgroups is a difference of their rows, put to
the fit again, so its standard deviation comes from the joint covariance and not from adding two variances. What later
questions (ranks, interaction excess, decisions) need is the same: the functional, its joint draws, the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.effects import contrasts
from mixedfx.effects.comparisons import Comparison
from mixedfx.effects.render import content
from mixedfx.effects.summary import inner_interval, probabilities
from mixedfx.errors import EffectsError
from mixedfx.results.protocol import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Overall:
    """The effect averaged over all rows, which contrasts against the overall and the complement need.

    Attributes
    ----------
    functional
        One row for each contrast of treatment values.
    count, weight
        Rows averaged over, and their summed weights.
    needs
        Columns it needs that were dropped from the fit as aliased: where there are any, the data do not determine it.
    """

    functional: Functional
    count: int
    weight: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False, eq=False)
class Effects:
    """Effects of one treatment for subgroups.

    Attributes
    ----------
    table
        One row for each subgroup and contrast. Columns: the `by` columns (after `margin` where there are several
        margins) or `subgroup`; contrast (which values of the treatment); n (rows averaged over); weight (their
        weights); estimate; sd; lower; upper; null; prob_above_null; unseen (share of the weight in cells the fit has
        no data for). ``table.attrs`` holds level, uncertainty and notes.
    functional
        The rows of the table as linear functionals of (beta, u).
    fit
        The fit that answers.
    labels
        Name of each row's subgroup.
    keys
        Columns of the table that name the subgroup.
    treatment
        Column of the treatment.
    comparison
        How two average outcomes become one number.
    level
        Probability the intervals hold.
    notes
        What a reader must know to read the table.
    overall
        The effect averaged over all rows; None in a table of contrasts.
    seed
        Passed to fits that need random numbers to answer.
    """

    table: pd.DataFrame
    functional: Functional
    fit: Fit
    labels: tuple[str, ...]
    keys: tuple[str, ...]
    treatment: str
    comparison: Comparison
    level: float
    notes: tuple[str, ...] = ()
    overall: Overall | None = None
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def uncertainty(self) -> str:
        """One sentence on what the intervals include and what they leave out."""
        return self.fit.uncertainty

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def draws(self, n: int | None = None, seed: int | None = None) -> NDArray[np.float64]:
        """Joint draws of all rows.

        Parameters
        ----------
        n
            Number of draws; a posterior fit returns those it has where None.
        seed
            For fits that make their draws when asked.

        Returns
        -------
        ndarray
            (n, rows of the table).
        """
        return self.fit.apply(self.functional).draws(n, self.seed if seed is None else seed)

    def contrast(
        self, a: Any = None, b: Any = None, *, against: Literal["overall", "complement"] | None = None
    ) -> Effects:
        """Differences between the effects of subgroups, with their joint covariance.

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
            Its table has the columns of this one, and `against`, `n_against`, `weight_against`.

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
                    mend='Write contrast("A", "B"), or contrast(against="overall").',
                )
            return contrasts.between(self, a, b)
        if b is not None:
            raise EffectsError("give b or against=, not both")
        if against not in ("overall", "complement"):
            raise EffectsError(f"against={against!r} is not known", mend="Values: 'overall', 'complement'.")
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
            Exactly one of them; in units of the response.

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
                mend="Write prob(greater=0), or prob(between=(-1, 1)).",
            )
        if between is not None:
            greater, less = between
            if not greater < less:
                raise EffectsError(f"between={between!r} holds no number", mend="Write the smaller number first.")
        value = probabilities(self.fit, self.functional, self.seed, greater, less)
        return self.table[[*self.keys, "contrast"]].assign(prob=value)

    def plot(self, **options: Any) -> Axes:
        """Forest plot of the table: points with 50 % intervals and intervals at `level`.

        Parameters
        ----------
        **options
            Passed to `mixedfx.plots.forest.forest`: `order`, `group`, `width`, `ax`, `title`, ...

        Returns
        -------
        Axes
            Its figure is ``axes.figure``; save it with ``axes.figure.savefig("effects.png")``.
        """
        from mixedfx.plots.forest import forest

        inner = inner_interval(self.fit, self.functional, 0.5, self.seed)
        what = f"effect of {self.treatment} on {self.fit.design.response_name}"
        labels = list(self.keys)
        if "against" in labels:
            what = f"difference in the {what}"
            others = set(self.table["against"])
            if len(others) == 1:
                what += f", against {others.pop()}"
                labels.remove("against")
        options.setdefault("labels", labels)
        options.setdefault("xlabel", what)
        return forest(self.table.assign(lower_50=inner[:, 0], upper_50=inner[:, 1]), level=self.level, **options)

    def __repr__(self) -> str:
        return content(self).text()

    def _repr_html_(self) -> str:
        return content(self).html()
