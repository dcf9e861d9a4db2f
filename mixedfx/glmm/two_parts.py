"""Two fits that make one model of counts, whether a count is zero and counts above zero: what follows from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import to_pandas
from mixedfx.design.functional import Functional
from mixedfx.design.two_designs import fetched
from mixedfx.errors import OptionError
from mixedfx.families.family import Family
from mixedfx.glmm.fit import GlmerFit
from mixedfx.glmm.rows import auxiliary_draws, dispersion_columns
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.inference.new_predictors import new_rows
from mixedfx.inference.predictor import draw_effects
from mixedfx.inference.profile import quantile
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent

Array = NDArray[np.float64]

DRAWS = 1000


@dataclass(frozen=True, eq=False, repr=False)
class TwoParts:
    """Both fits and the rows that they are of; `mixedfx.glmm.hurdle.HurdleFit` is one, and says what the fields are."""

    count: GlmerFit
    zero: GlmerFit
    name: str
    data: pd.DataFrame
    response: str

    @property
    def parts(self) -> dict[str, GlmerFit]:
        """Both fits by name."""
        return {"count": self.count, "zero": self.zero}

    @property
    def criterion(self) -> float:
        """-2 log likelihood: the sum of those of the parts."""
        return self.count.criterion + self.zero.criterion

    @property
    def loglik(self) -> float:
        """Log likelihood."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Parameters of both parts."""
        return self.count.n_parameters + self.zero.n_parameters

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.zero.nobs

    @property
    def aic(self) -> float:
        """-2 log likelihood + 2 k."""
        return tables.aic(self.criterion, self.n_parameters)

    @property
    def bic(self) -> float:
        """-2 log likelihood + k log n."""
        return tables.bic(self.criterion, self.n_parameters, self.nobs)

    @property
    def y(self) -> pd.Series:
        """(n,) counts of the rows used."""
        out = np.zeros(self.nobs)
        out[self.zero.design.y == 0.0] = self.count.design.y
        return pd.Series(out, index=self.data.index, name=self.response)


def _levels(part: GlmerFit, fit: TwoParts, newdata: Any, new_levels: NewLevels) -> NewLevels:
    """Groups of the data without counts above zero are average ones in the part of the counts."""
    if part is fit.zero or new_levels != "error":
        return new_levels
    if newdata is None:
        return "population"
    for term in part.design.terms.random:
        seen, asked = (to_pandas(rows, term.grouping).astype(str) for rows in (fit.data, newdata))
        if not set(asked.itertuples(index=False)) <= set(seen.itertuples(index=False)):
            return "error"
    return "population"


def predict(
    fit: TwoParts, newdata: Any, new_levels: NewLevels, groups: Any, kind: str, se: bool, level: float
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predicted means; see `mixedfx.glmm.hurdle.HurdleFit.predict`."""
    if kind not in ("response", "zero", "conditional"):
        raise OptionError(f"kind={kind!r} is not known", hint="Use 'response', 'zero' or 'conditional'.")
    z = quantile(level)
    frame = fit.data if newdata is None else newdata

    def of(part: GlmerFit) -> Any:
        levels = _levels(part, fit, newdata, new_levels)
        return part.predict(frame, levels, groups, se=se, level=level)

    if kind != "response":
        return of(fit.zero if kind == "zero" else fit.count)
    count, zero = of(fit.count), of(fit.zero)
    if not se:
        return (count * (1.0 - zero)).rename("predicted")
    mean = count["estimate"] * (1.0 - zero["estimate"])
    error = np.hypot(count["se"] * (1.0 - zero["estimate"]), count["estimate"] * zero["se"])
    half = np.exp(z * error / mean)
    return pd.DataFrame({"estimate": mean, "se": error, "lower": mean / half, "upper": mean * half})


def _predictors(part: GlmerFit, rows: Functional, n: int, rng: np.random.Generator, use_u: bool) -> Array:
    """(n, m) linear predictors of rows, groups with their modes or with new effects; unseen ones with new effects."""
    solution, design = part.solution, part.design
    u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(design, solution.factors, 1.0, n, rng)
    eta = rows.fixed @ solution.beta + rows.offset + (rows.random @ u.T).T
    if rows.new_levels:
        factors = tuple(np.broadcast_to(F, (n, *F.shape)) for F in solution.factors)
        eta = eta + NewLevelRows.of(rows, [term.n_columns for term in design.random]).draws(factors, rng)
    return np.asarray(eta)


def simulated(fit: TwoParts, n: int, rng: np.random.Generator, use_u: bool, frame: pd.DataFrame | None = None) -> Array:
    """(n, rows) counts of the rows of the fit, or of new ones; groups that a part has not seen get new effects."""
    rows = fit.data.reset_index(drop=True) if frame is None else frame
    of_zeros = fit.zero.design_for(None) if frame is None else new_rows(fit.zero.design, frame)
    none = fit.zero.family.draw(rng, _predictors(fit.zero, of_zeros, n, rng, use_u), {}) == 1.0
    count = _predictors(fit.count, new_rows(fit.count.design, rows), n, rng, use_u)
    solution = fit.count.solution
    auxiliary = auxiliary_draws(solution, n, dispersion_columns(solution.design, rows))
    return np.where(none, 0.0, solution.model.family.draw(rng, count, auxiliary))


def mean_draws(part: GlmerFit, frame: pd.DataFrame) -> Array:
    """(D, m) draws of the mean of a part."""
    rows, sample = part.design_for(frame, "population"), part.joint_sample(DRAWS, 0)
    eta = sample.beta @ rows.fixed.T + (rows.random @ sample.u.T).T + rows.offset
    family: Family = part.family
    return np.asarray(family.mean(eta, sample.auxiliary))


def summary(fit: TwoParts) -> SummaryContent:
    """Page of the whole, and then of each part."""
    from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
    from mixedfx.results.summary import statistics_block

    whole = {
        "-2 log L": fit.criterion, "logLik": fit.loglik, "AIC": fit.aic, "BIC": fit.bic,
        "Parameters": fit.n_parameters,
    }  # fmt: skip
    zeros = int(fit.zero.design.y.sum())
    facts = SummaryFacts((("Family", f"{fit.name}: {zeros} zeros of {fit.nobs} rows"),))
    blocks: list[SummaryFacts | SummaryTable] = [facts, statistics_block(whole)]
    for part, words in ((fit.count, "counts above zero"), (fit.zero, "whether a count is zero")):
        blocks += [SummaryFacts((("Part", words),)), *part.summary().blocks]
    return SummaryContent("Hurdle model fit by maximum likelihood", tuple(blocks))


def new_frame(fit: TwoParts, newdata: Any) -> pd.DataFrame | None:
    """The columns of new data that either part reads, under the labels of its rows; None for the rows of the fit."""
    return None if newdata is None else fetched(fit.count.design, fit.zero.design, newdata)
