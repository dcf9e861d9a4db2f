"""TwoPartPosteriorFit: the posterior of counts with a model of their zeros, a zero-inflated or a hurdle model.

It answers what a posterior answers of rows, draws and predictions; tables have a column part. `mixedfx.effects` asks
for its mean counts, since no single linear predictor has them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.posterior import prediction
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.rows import PairedRows, rows_for
from mixedfx.design.design import Design
from mixedfx.design.two_designs import data_of
from mixedfx.errors import ModelError
from mixedfx.formula.part_formulas import right_side
from mixedfx.inference.incomplete_rows import Na
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels

Array = NDArray[np.float64]

Kind = Literal["response", "link", "predictive", "zero", "conditional"]


def _refused(what: str, why: str, way: str) -> ModelError:
    return ModelError(f"counts with a model of their zeros have no {what}: {why}", hint=way)


class TwoPartPosteriorFit(PosteriorFit):
    """The posterior of counts with a model of their zeros, as `mixedfx.bayes` returns it where ``zi=`` is given.

    A row has two linear predictors, that of the counts and the logit of the probability pi of a zero: of one besides
    those of the counts (zero-inflated models), or of any (hurdle models). Keys of draws and tables have the part second
    or first, ``"count"`` or ``"zero"``: ``("beta", "zero", "x")``, ``("sd", "count", "g", "Intercept")``; `ranef` is a
    mapping from parts.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"pond": np.repeat([f"p{i}" for i in range(30)], 10), "depth": rng.normal(size=300)})
    >>> level = np.exp(0.8 + 0.3 * data["depth"] + 0.4 * np.repeat(rng.normal(size=30), 10))
    >>> data["frogs"] = np.where(rng.random(300) < 0.3, 0, rng.poisson(level))
    >>> fit = mx.bayes("frogs ~ depth + (1 | pond)", data, "poisson", zi="~ depth", seed=1)
    >>> print(fit.formula)
    frogs ~ 1 + depth + (1 | pond); zi ~ 1 + depth
    >>> print(fit.tidy()[["part", "term", "estimate", "std_error"]].round(1).to_string(index=False))
     part      term  estimate  std_error
    count Intercept       0.8        0.1
    count     depth       0.2        0.1
     zero Intercept      -1.0        0.2
     zero     depth      -0.1        0.2
    """

    @property
    def zeros(self) -> Design:
        """The design of the model of the zeros; that of the counts is `design`."""
        assert self.design.zero is not None
        return self.design.zero

    @property
    def formula(self) -> str:
        """The formula of the counts and that of the zeros."""
        return f"{self.design.formula}; zi {self.zi}"

    @property
    def zi(self) -> str:
        """The formula of the zeros, with its tilde."""
        return right_side(self.zeros.formula)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels, of both parts."""
        return tables.group_sizes(self.design) | tables.group_sizes(self.zeros)

    # --- rows ---------------------------------------------------------------------------------------------------------
    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> PairedRows:  # type: ignore[override]
        """Rows of both linear predictors, for `newdata` or the data of the fit: what `expected` and `stream` take."""
        found = rows_for(self.design, newdata, new_levels)
        assert isinstance(found, PairedRows)
        return found

    def predict(  # type: ignore[override]
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        seed: int | None = None,
        *,
        kind: Kind = "response",
        se: bool = False,
        interval: Literal["confidence", "prediction"] | None = None,
        level: float = 0.95,
        na: Na = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Mean counts, parts of them, linear predictors or new counts, with intervals where they are asked for.

        Parameters
        ----------
        newdata, new_levels, groups, seed, se, interval, level, na
            As in `PosteriorFit.predict`.
        kind
            ``"response"``: the mean count, (1 - pi) times that of the counts. ``"zero"``: pi. ``"conditional"``: the
            mean of the counts, of a hurdle model of those above zero. ``"link"``: both linear predictors.
            ``"predictive"``: a new count.

        Returns
        -------
        Series or DataFrame
            As `PosteriorFit.predict`; of ``kind="link"`` a column for each part, or in tables a column part.
        """
        return prediction.predict(
            self, newdata, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level, weights=None,  # pyright: ignore[reportArgumentType]
            back_transform=False, bias_adjust=False, na=na,
        )  # fmt: skip

    # --- what mx.effects asks of it: means of rows (`mixedfx.results.protocol.PredictsMean`) --------------------------
    @cached_property
    def data(self) -> pd.DataFrame:
        """The rows used, of the columns that either part reads, indexed by their position in the data."""
        return data_of(self.design, self.zeros)

    @property
    def response(self) -> str:
        """The response as the formula has it."""
        return self.design.response_name

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the means depend on."""
        return tuple(c for c in self.data.columns if c != self.response)

    def mean_draws(self, frame: pd.DataFrame) -> Array:
        """(D, m) draws of the mean counts of rows, groups that the fit has not seen as average ones."""
        return self.expected(self.design_for(frame, "population"))  # type: ignore[arg-type]

    # --- what is asked of one linear predictor ------------------------------------------------------------------------
    def apply(self, functional: Any) -> NoReturn:
        """Refused: a row has two linear predictors."""
        raise _refused(
            "single linear predictor", "a row has one of its counts and one of its zeros",
            "Use fit.linpred(...), fit.epred(...) or mx.effects, which is about the mean count.",
        )  # fmt: skip

    def report(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: a page has the coefficients of one linear predictor."""
        raise _refused(
            "page of one linear predictor", "coefficients are on two scales",
            "mx.effects(fit, ...).to_html() has a page about the mean count; fit.summary() both parts.",
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"<TwoPartPosteriorFit {self.formula}: {self.family.name}, {self.n_draws} draws, "
            f"{tables.sizes_text(self.design)}>"
        )


def posterior_fit(design: Design) -> type[PosteriorFit]:
    """The class of the fit of a design."""
    return PosteriorFit if design.zero is None else TwoPartPosteriorFit
