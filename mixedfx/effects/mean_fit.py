"""Effects of what predicts means of rows and has no linear predictor: non-linear fits, learners, bootstraps of either.

A `PredictsMean` answers "frame in, points or draws of the mean out", and nothing else is asked of it. `MeanFit` is one
as the pipeline of effects sees a fit. Its design holds the data and one term, a product of all columns that it reads:
nothing is known of how they go together, so the effect of a treatment may vary with every other. It has no
coefficients, and nobody asks for its linear predictor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.columns import Columns
from mixedfx.design.design import Design, RowReport
from mixedfx.design.expressions import column_of
from mixedfx.design.frame import column, column_names, has_text_categories, kind, nearest, opened, plain, to_pandas
from mixedfx.design.functional import Functional
from mixedfx.design.parts import NumericPart
from mixedfx.design.spec import DesignSpec
from mixedfx.effects.grid import Grid
from mixedfx.effects.subgroups import block_diagonal
from mixedfx.effects.treatment import Treatment
from mixedfx.effects.wording import listed
from mixedfx.errors import DataError, EffectsError, MixedfxWarning, OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.results.protocol import (
    Concerned,
    Fit,
    Formulated,
    NewLevels,
    PredictsMean,
    Uncertainty,
    answering,
)

Array = NDArray[np.float64]

# Cells that are predicted at once.
CELLS = 2**16


@dataclass(frozen=True, eq=False)
class MeanFit:
    """A `PredictsMean` as the pipeline of effects sees a fit.

    Attributes
    ----------
    source
        What predicts.
    """

    source: PredictsMean

    @property
    def design(self) -> Design:
        """The data, and one term that reads every column the predictions depend on.

        Raises
        ------
        DataError
            A column that the data do not have.
        """
        return self._design

    @cached_property
    def _design(self) -> Design:
        given = opened(self.source.data)
        names = column_names(given)
        for name in (self.source.response, *self.source.columns):
            if name not in names:
                raise DataError(
                    f"the predictions depend on '{name}', which the data do not have", hint=nearest(name, names)
                )
        frame = plain(to_pandas(given))
        n, read = len(frame), tuple(self.source.columns)
        side = ":".join(map(quote, read)) or "1"
        shown = f"{type(self.source).__name__}({', '.join(map(quote, read))})"  # for readers; nothing parses it
        if isinstance(self.source, Formulated) and self.source.formula:
            shown = str(self.source.formula)
        formula = MixedFormula(shown, quote(self.source.response), (), shown, (), ())
        y = column(frame, self.source.response)
        return Design(
            formula=formula,
            y=y.to_numpy(dtype=np.float64) if kind(y) in ("number", "boolean") else np.full(n, np.nan),
            X=np.empty((n, 0)),
            fixed_names=(),
            random=(),
            weights=None,
            offset=np.zeros(n),
            columns=Columns.of(frame),
            spec=DesignSpec(
                formula=formula,
                kinds={str(name): kind(column(frame, name)) for name in frame.columns},
                fixed=NumericPart(side, (side,), (read,)),
                kept=np.empty(0, dtype=np.intp),
                random=(),
                text_categories=frozenset(str(c) for c in frame.columns if has_text_categories(column(frame, c).dtype)),
            ),
            rows=RowReport(n, np.arange(n, dtype=np.intp)),
            response_name=column_of(quote(self.source.response)),
        )

    @property
    def family(self) -> Family:
        """That of a number about which nothing is known but its mean."""
        return gaussian()

    @property
    def posterior(self) -> bool:
        """True: it answers from draws."""
        return True

    @property
    def uncertainty(self) -> str:
        """What the draws include and what they leave out."""
        return self.source.uncertainty

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What the source says against its draws."""
        return self.source.concerns if isinstance(self.source, Concerned) else ()

    @property
    def singularity(self) -> None:
        """None: there are no random effects."""
        return None

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """None: there are no random effects."""
        return ()

    @property
    def varcorr(self) -> pd.DataFrame:
        """Without rows."""
        return pd.DataFrame(columns=["grp", "var1", "var2", "vcov", "sdcor"])

    def with_uncertainty(self, uncertainty: Uncertainty) -> MeanFit:
        """Itself: it has the uncertainty of its draws."""
        check_option("uncertainty", uncertainty, ("full",))
        return self

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> NoReturn:
        """Refuse: there is no linear predictor."""
        raise OptionError("this fit predicts means and has no linear predictor")

    def apply(self, functional: Functional) -> NoReturn:
        """Refuse: there is no linear predictor."""
        raise OptionError("this fit predicts means and has no linear predictor")

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NoReturn:
        """Refuse: there is no linear predictor."""
        raise OptionError("this fit predicts means and has no linear predictor")

    def mean_draws(self, frame: pd.DataFrame) -> Array:
        """(D, m) draws of the means of rows; D is 1 where the source gives points.

        Raises
        ------
        DataError
            Rows without a column that the predictions depend on; predictions of another shape, or not finite.
        """
        lacking = [name for name in self.source.columns if name not in frame.columns]
        if lacking:
            raise DataError(
                f"the predictions depend on {listed(lacking)}, which the new data do not have",
                hint="Add the column to newdata.",
            )
        found = np.asarray(self.source.mean_draws(frame), dtype=np.float64)
        found = found[None] if found.ndim == 1 else found
        if found.ndim != 2 or found.shape[1] != len(frame):
            raise DataError(
                f"mean_draws gave an array of shape {found.shape} for {len(frame)} rows",
                hint=f"Return draws (D, {len(frame)}), or points ({len(frame)},).",
            )
        if not np.isfinite(found).all():
            raise DataError("mean_draws gave values that are not finite")
        return found


def as_fit(fit: Fit | PredictsMean) -> Fit:
    """The fit itself, or what predicts means as one."""
    return MeanFit(fit) if isinstance(fit, PredictsMean) else answering(fit, ("design", "apply"), "effects")


def check_predicts(scale: str, groups: str, bias_adjust: bool) -> None:
    """Refuse questions about a linear predictor that is not there.

    Raises
    ------
    EffectsError
        Naming the option.
    """
    if scale == "link":
        raise EffectsError("what predicts means has no linear predictor", hint='Use scale="response".')
    if groups != "fitted":
        raise EffectsError(f"groups={groups!r}: what predicts means has no random effects", hint="Leave it out.")
    if bias_adjust:
        raise EffectsError("bias_adjust=True: predictions of means are means already", hint="Leave it out.")


def mean_averages(
    fit: MeanFit, grid: Grid, treated: Treatment, membership: sparse.csr_array, seed: int | None
) -> tuple[Array, Array]:
    """Average means of subgroups under every value of the treatment, draw by draw.

    Draw d of uncertain weights goes with draw d of the means, or with one chosen at random where their numbers differ.

    Parameters
    ----------
    fit
        What predicts.
    grid
        The m cells averaged over, and the (E, m) draws of their weights.
    treated
        Which V values of the treatment are compared.
    membership
        (s, m) ones where a cell belongs to a subgroup.
    seed
        Of the choice.

    Returns
    -------
    values : (D, V * s)
    totals : (D or 1, s) weights of the subgroups
    """
    V, s = len(treated.values), cast(tuple[int, int], membership.shape)[0]
    weights = grid.weight_draws
    members = sparse.csc_array(membership)
    sums: Array | None = None
    chosen = np.zeros(1, dtype=np.intp)
    for start in range(0, len(grid), CELLS):
        cells = np.arange(start, min(start + CELLS, len(grid)))
        found = fit.mean_draws(grid.counterfactual(treated, cells))
        D = len(found)
        if sums is None:
            if len(weights) > 1 and D == 1:
                found, D = np.repeat(found, len(weights), axis=0), len(weights)
            chosen = paired(len(weights), D, seed)
            sums = np.zeros((D, V * s))
        elif D == 1:
            found = np.repeat(found, len(sums), axis=0)
        own = weights[:, cells][chosen] if len(weights) > 1 else weights[:, cells]
        part = sparse.csr_array(members[:, cells])
        sums += (block_diagonal(part, V) @ (found * np.tile(own, V)).T).T
    assert sums is not None
    totals = np.atleast_2d((membership @ weights.T).T)
    totals = totals[chosen] if len(weights) > 1 else totals
    return sums / np.tile(totals, V), totals


def paired(weightings: int, draws: int, seed: int | None) -> NDArray[np.intp]:
    """Which draw of the weights goes with each draw of the fit: the same one, or one chosen at random."""
    if weightings in (1, draws):
        return np.arange(draws) % weightings
    return np.random.default_rng(0 if seed is None else seed).integers(weightings, size=draws)


def notes_on_means(fit: MeanFit, columns: tuple[str, ...], points: bool) -> tuple[str, ...]:
    """What a reader must know of subgroups by columns that predictions do not depend on, and of points."""
    notes = []
    unread = [c for c in columns if c not in fit.source.columns]
    if unread:
        notes.append(
            f"Predictions do not depend on {listed(unread)}: subgroups by these differ only through their mix of the "
            "columns that they do depend on."
        )
    if points:
        notes.append("Predictions are points without uncertainty: there are no intervals.")
    return tuple(notes)
