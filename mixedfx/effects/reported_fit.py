"""Effects that others have estimated, as the pipeline of effects sees a fit.

What is known is a joint distribution of the effects of cells, one for each reported estimate: there are no rows of
people, no outcomes and no linear predictor. A `ReportedFit` has the effects as its coefficients, so that averages over
cells, contrasts of subgroups and excesses are linear functionals of these, as they are of a fit's beta.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.columns import Columns
from mixedfx.design.design import Design, RowReport
from mixedfx.design.frame import column, kind
from mixedfx.design.functional import Functional
from mixedfx.design.parts import NumericPart
from mixedfx.design.spec import DesignSpec
from mixedfx.errors import MixedfxWarning, OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.results.protocol import IntervalEstimate, NewLevels, Uncertainty
from mixedfx.results.render import Shown

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReportedFit:
    """A distribution of the effects of G cells, in the place of a fit.

    Attributes
    ----------
    frame
        (G, .) what the cells are.
    response
        What the effects are effects on.
    estimates, covariance
        (G,) what was reported, and the (G, G) covariance of its errors.
    linear
        (s, G) combinations of the effects of cells -> what is known of them.
    model
        In words, for readers.
    uncertainty
        One sentence on what the intervals include and what they leave out.
    account
        What is shown beside the answers: the models and their priors.
    code, asked
        The call that leads here, and first arguments of `effects` of what it gives, for readers.
    counted
        Whether it is known how many people the cells hold; else a table counts cells.
    concerns
        What speaks against the numbers, the class of the warning first.
    how
        How the numbers were made, in sentences; empty for estimates that were put to a model.
    direct
        Whether `code` gives the effects themselves, but for its closing bracket, and not a fit that is asked for them.
    """

    frame: pd.DataFrame
    response: str
    estimates: Array
    covariance: Array
    linear: Callable[[Array], IntervalEstimate]
    model: str
    uncertainty: str
    account: Shown
    code: str
    asked: tuple[str, ...] = ()
    counted: bool = True
    concerns: tuple[tuple[type[MixedfxWarning], str], ...] = ()
    how: tuple[str, ...] = ()
    direct: bool = False

    @property
    def design(self) -> Design:
        """Cells as rows, and one column for each."""
        return self._design

    @cached_property
    def _design(self) -> Design:
        n, read = len(self.frame), tuple(map(str, self.frame.columns))
        formula = MixedFormula(self.model, quote(self.response), (), self.model, (), ())
        cells = tuple(f"cell {i}" for i in range(n))
        return Design(
            formula=formula,
            y=self.estimates,
            X=np.eye(n),
            fixed_names=cells,
            random=(),
            weights=None,
            offset=np.zeros(n),
            columns=Columns.of(self.frame),
            spec=DesignSpec(
                formula=formula,
                kinds={name: kind(column(self.frame, name)) for name in read},
                fixed=NumericPart(self.model, cells, (read,) * n),
                kept=np.arange(n),
                random=(),
                text_categories=frozenset(),
            ),
            rows=RowReport(n, np.arange(n, dtype=np.intp)),
            known_sd=np.sqrt(np.diag(self.covariance)),
            response_name=self.response,
        )

    @property
    def family(self) -> Family:
        """Normal: that of the errors of the estimates."""
        return gaussian()

    @property
    def posterior(self) -> bool:
        """True."""
        return True

    @property
    def singularity(self) -> None:
        """None: there are no random effects that were estimated."""
        return None

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """None."""
        return ()

    @property
    def varcorr(self) -> pd.DataFrame:
        """Without rows."""
        return pd.DataFrame(columns=["grp", "var1", "var2", "vcov", "sdcor"])

    def with_uncertainty(self, uncertainty: Uncertainty) -> ReportedFit:
        """Itself: it has the uncertainty of its posterior."""
        check_option("uncertainty", uncertainty, ("full",))
        return self

    def rows(self, weights: Array) -> Functional:
        """Combinations (s, G) of the effects of cells."""
        s = len(weights)
        none = sparse.csr_array((s, 0))
        return Functional(np.asarray(weights, dtype=np.float64), none, none, (), np.zeros(s), np.zeros(s))

    def apply(self, functional: Functional) -> IntervalEstimate:
        """What is known of linear functionals of the effects of cells."""
        return self.linear(functional.fixed)

    def raw(self, functional: Functional) -> tuple[Array, Array]:
        """Reported estimates (s,) combined as the effects are, and their standard errors."""
        L = functional.fixed
        variance = np.einsum("sg,gh,sh->s", L, self.covariance, L)
        return L @ self.estimates, np.sqrt(np.clip(variance, 0.0, None))

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> NoReturn:
        """Refuse: effects were reported, and nothing about outcomes."""
        raise OptionError("reported effects hold no outcomes, which could be predicted")

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NoReturn:
        """Refuse: effects were reported, and nothing about outcomes."""
        raise OptionError("reported effects hold no outcomes, which could be predicted")

    def summary(self) -> Shown:
        """The models and their priors."""
        return self.account
