"""ZeroInflatedFit: counts with zeros from two sources, and the questions that can be asked of the fit.

Methods are one line; the work is done by functions of both designs and the estimates, in files by subject, and by those
of `mixedfx.glmm` for the stacked design (`pairs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.two_designs import data_of
from mixedfx.errors import check_count, check_flag, check_option, check_seed
from mixedfx.formula.part_formulas import changed_zeros
from mixedfx.glmm import (
    bootstrapping,
    checking,
    comparison,
    intervals,
    profiling,
    simulated,
    zero_inflated_report,
    zero_inflated_rows,
    zero_inflated_storage,
    zero_inflated_tests,
)
from mixedfx.glmm.call import Call, changed
from mixedfx.glmm.intervals import Method
from mixedfx.glmm.pairs import COPIES
from mixedfx.glmm.refits import Refits, check_possible, refit, refits
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.uncertainty import in_words
from mixedfx.glmm.zero_inflated_state import ZeroInflatedState
from mixedfx.glmm.zero_inflation import Both, of_counts, read_both, refuse_separated, solved
from mixedfx.inference.bootstrap import Bootstrap, Interval
from mixedfx.inference.parameters import Names
from mixedfx.inference.profile import Profile
from mixedfx.progress import Asked
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels

if TYPE_CHECKING:
    from mixedfx.inference.findings import CheckReport
    from mixedfx.inference.simulated_test import SimulatedTest
    from mixedfx.results.render import SummaryContent

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ZeroInflatedFit(ZeroInflatedState):
    """A zero-inflated model of counts, as `mixedfx.glmer` returns it where ``zi=`` goes with a family of counts.

    A share pi of rows is zero whatever; the others are counts of the family with mean mu. log mu has the formula, logit
    pi that of ``zi=``, with effects of groups that are independent between the two.

    Tables have a column part, ``"count"`` or ``"zero"``. Where one name stands for a parameter (`test`, `confint`,
    `profile`, `bootstrap`, `refits`), those of the zeros begin with ``zi__``: ``"zi__x"``, ``"sd__zi__Intercept|g"``.

    Attributes
    ----------
    both
        The designs of the counts, ``both.count``, and of the zeros, ``both.zero``.
    solution
        The estimates, as the solver left them, of the design of both.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"pond": np.repeat([f"p{i}" for i in range(30)], 10), "depth": rng.normal(size=300)})
    >>> level = np.exp(0.8 + 0.3 * data["depth"] + 0.4 * np.repeat(rng.normal(size=30), 10))
    >>> data["frogs"] = np.where(rng.random(300) < 0.3, 0, rng.poisson(level))
    >>> fit = mx.glmer("frogs ~ depth + (1 | pond)", data, "poisson", zi="~ depth")
    >>> fit
    <ZeroInflatedFit frogs ~ 1 + depth + (1 | pond), zero_inflated_poisson, zi ~ 1 + depth: -2 log L 1013.07, 300 rows>
    >>> print(fit.tidy()[["part", "term", "estimate", "std_error"]].round(2).to_string(index=False))
     part      term  estimate  std_error
    count Intercept      0.77       0.09
    count     depth      0.18       0.06
     zero Intercept     -0.99       0.18
     zero     depth     -0.15       0.18
    >>> fit.predict(data.iloc[:2]).round(2).tolist()
    [1.68, 1.86]
    """

    # --- tables ------------------------------------------------------------------------------------------------------
    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Estimates of both parts in broom's columns, a column part first; see `GlmerFit.tidy`."""
        return zero_inflated_report.tidy(self.both, self.stacked, effects, level)

    def glance(self) -> pd.DataFrame:
        """One row about the whole: nobs, zeros, npar, logLik, AIC, BIC, deviance (-2 log L), converged, singular."""
        row = {
            "nobs": self.nobs, "zeros": int((self.both.count.y == 0).sum()), "npar": self.n_parameters,
            "logLik": self.loglik, "AIC": self.aic, "BIC": self.bic, "deviance": self.criterion,
            "converged": self.converged, "singular": self.singular,
        }  # fmt: skip
        return pd.DataFrame([row | {name: self.auxiliary[name] for name in self.family.auxiliary}])

    def summary(self) -> SummaryContent:
        """Page for reading, of the whole and then of each part; printing the fit prints it."""
        return zero_inflated_report.summary(self.both, self.stacked, self.name)

    # --- tests and intervals -----------------------------------------------------------------------------------------
    def test(self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, level: float = 0.95) -> pd.DataFrame:
        """Test a general linear hypothesis about the coefficients of both parts by Wald's chi square.

        As `GlmerFit.test`; coefficients of the zeros are named ``zi__x``.
        """
        return self.stacked.test(hypothesis, rhs, joint=joint, level=level)

    def anova(self, type: Literal["I", "II", "III", 1, 2, 3] = "III") -> pd.DataFrame:
        """Wald's chi-square test of each term of either part: part, term, chisq, df, p_value; see `GlmerFit.anova`."""
        return zero_inflated_tests.anova(self.both, self.solution, self.solution.vcov, type)

    def drop1(self, test: Literal["chisq", "wald"] = "chisq", progress: Asked = None) -> pd.DataFrame:
        """Test the deletion of each term of the fixed part of either part; see `GlmerFit.drop1`."""
        return zero_inflated_tests.drop1(self.both, self.solution, self.solution.vcov, test, progress)

    def ranova(self, simulate: int = 0, seed: int | None = None, progress: Asked = None) -> pd.DataFrame:
        """Likelihood-ratio test of each random term of either part; see `GlmerFit.ranova`."""
        return zero_inflated_tests.ranova(self.both, self.solution, simulate, seed, progress)

    def profile(self, parm: str | Sequence[str] | None = None, level: float = 0.99, progress: Asked = None) -> Profile:
        """Profile the likelihood of parameters of either part; see `GlmerFit.profile`."""
        return profiling.profile(self.solution.design, self.solution, parm, level, progress)

    def confint(
        self,
        method: Method = "wald",
        parm: str | Sequence[str] | None = None,
        level: float = 0.95,
        *,
        interval: Interval = "percentile",
        names: Names = "tidy",
        **bootstrap: Any,
    ) -> pd.DataFrame:
        """Confidence intervals of parameters of either part; see `GlmerFit.confint`."""
        return intervals.confint(
            self.stacked, self._made, method, parm, level, vcov=None, interval=interval, names=names, **bootstrap
        )

    def bootstrap(
        self,
        n: int = 1000,
        *,
        use_u: bool = False,
        statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
        seed: int | None = None,
        n_jobs: int | None = 1,
        progress: Asked = None,
    ) -> Bootstrap:
        """Fit the model to new counts drawn from the fit: a parametric bootstrap; see `GlmerFit.bootstrap`."""
        return bootstrapping.bootstrap(
            self.solution.design, self.solution, self._made, n, use_u=use_u, statistic=statistic, seed=seed,
            n_jobs=n_jobs, progress=progress,
        )  # fmt: skip

    def _made(self, design: Design, solution: GlmmSolution) -> ZeroInflatedFit:
        """The fit of a stacked design that differs in its response only."""
        y = design.y[: self.nobs]
        return ZeroInflatedFit(Both(replace(self.both.count, y=y), replace(self.both.zero, y=y)), solution)

    def refit(self, y: Any) -> ZeroInflatedFit:
        """The same model fitted to another response, (n,) counts for the rows used; see `GlmerFit.refit`."""
        Y = check_possible(self.both.count, self.solution, y)
        return self._made(*refit(self.solution.design, self.solution, np.tile(Y, (COPIES, 1))))

    def refits(self, Y: Any, progress: Asked = None) -> Refits:
        """Estimates for each column of `Y` (n, B); see `GlmerFit.refits`."""
        found = check_possible(self.both.count, self.solution, Y)
        return refits(self.solution.design, self.solution, np.tile(found, (COPIES, 1)), progress)

    # --- what `mixedfx.anova` asks -----------------------------------------------------------------------------------
    @property
    def compared_with(self) -> str:
        """Fits whose likelihoods compare."""
        return "glmer"

    @property
    def chi_square_only(self) -> bool:
        """True: there are no degrees of freedom."""
        return True

    def criteria(self, fits: Sequence[Any], refit: bool) -> list[float]:
        """-2 log likelihood of each of `fits`, as `mixedfx.anova` compares them."""
        return comparison.criteria(fits)

    def null_blocks(self, larger: Any, refit: bool) -> tuple[Callable[[int, Any], Array], int]:
        """How `mixedfx.anova` simulates statistics from this fit against a larger one, and how many at once."""
        return comparison.null_blocks(self, larger)

    # --- rows --------------------------------------------------------------------------------------------------------
    @property
    def fitted(self) -> pd.Series:
        """(n,) mean counts, random effects at their modes; indexed by the row's position in the data."""
        values = zero_inflated_rows.predict(self, None, "error", "fitted", "response", False, 0.95, None)
        return pd.Series(np.asarray(values), index=self.data.index, name="fitted")

    def residuals(self, kind: Literal["response", "pearson"] = "response") -> pd.Series:
        """Counts less their means; ``"pearson"``: divided by the standard deviation that the model gives the row.

        See `quantile_residuals` for others.
        """
        check_option("kind", kind, ("response", "pearson"))
        own, mode = self.solution.model.likelihood, self.solution.evaluation.mode
        values = own.pearson(mode.eta, mode.phi) if kind == "pearson" else self.both.count.y - self.fitted.to_numpy()
        return pd.Series(values, index=self.data.index, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average", "integrate"] = "fitted",
        seed: int | None = None,
        *,
        kind: Literal["response", "zero", "conditional"] = "response",
        se: bool = False,
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
        """Predicted means.

        Parameters
        ----------
        newdata, new_levels, groups, seed
            As in `GlmerFit.predict`.
        kind
            ``"response"``: the mean count, (1 - pi) mu. ``"zero"``: pi, the probability of a zero besides those of the
            counts. ``"conditional"``: mu, the mean of the counts.
        se
            Whether to give standard errors, by the delta method, and intervals on the scale of the logarithm (of the
            logit for ``"zero"``); that theta is estimated is included.
        level
            Level of the intervals.

        Returns
        -------
        Series or DataFrame
            One prediction for each row, or a table with estimate, se, lower and upper.

        Raises
        ------
        OptionError
            Standard errors with ``groups="integrate"``.
        """
        return zero_inflated_rows.predict(self, newdata, new_levels, groups, kind, se, level, seed)

    def simulate(
        self, n: int = 1, seed: int | None = None, use_u: bool = False, newdata: Any = None
    ) -> pd.DataFrame:  # fmt: skip
        """(rows, n) simulated counts, for the rows of the fit or for new ones (`newdata`); see `HurdleFit.simulate`."""
        check_count("n", n)
        check_flag("use_u", use_u)
        check_seed(seed)
        rng = np.random.default_rng(seed)
        if newdata is not None:
            return zero_inflated_rows.simulated_anew(self, n, rng, use_u, newdata)
        return pd.DataFrame(zero_inflated_rows.simulated(self, n, rng, use_u).T, index=self.data.index)

    def quantile_residuals(
        self,
        n: int = 250,
        seed: int | None = None,
        groups: Literal["drawn", "new", "fitted"] = "drawn",
        scale: Literal["normal", "uniform"] = "normal",
    ) -> pd.Series:
        """Randomised quantile residuals among simulated counts; see `GlmerFit.quantile_residuals`.

        Raises
        ------
        ModelError
            Groups (and coefficients) that are drawn where those of the zeros have no finite estimate.
        """
        if groups == "drawn":
            refuse_separated(self.both, self.solution, "residuals take a draw")
        values, _ = simulated.quantile_residuals(self.solution.design, self.solution, n, seed, groups, scale)
        return pd.Series(values[: self.nobs], index=self.data.index, name="residual")

    def dispersion_test(self, n: int = 250, seed: int | None = None, progress: Asked = None) -> SimulatedTest:
        """Whether counts vary as the model says; see `GlmerFit.dispersion_test`."""
        return simulated.dispersion_test(self.solution.design, self.solution, n, seed, progress)

    def zero_inflation_test(self, n: int = 250, seed: int | None = None) -> SimulatedTest:
        """Whether there are as many zeros as the model says; see `GlmerFit.zero_inflation_test`."""
        return simulated.zero_inflation_test(self.solution.design, self.solution, n, seed)

    def check(self) -> CheckReport:
        """Every check of the fit: convergence, singularity, zeros, dispersion; see `GlmerFit.check`."""
        return checking.check_zero_inflated(self.both, self.solution)

    # --- what mx.effects asks of it: means of rows (`mixedfx.results.protocol.PredictsMean`)
    @cached_property
    def data(self) -> pd.DataFrame:
        """The rows used, indexed by their position in the data."""
        return data_of(self.both.count, self.both.zero)

    @property
    def response(self) -> str:
        """The response as the formula has it."""
        return self.both.count.response_name

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the means depend on."""
        return tuple(c for c in self.data.columns if c != self.response)

    @property
    def uncertainty(self) -> str:
        """What intervals of means include."""
        return in_words(self.solution.design, "full")

    def mean_draws(self, frame: pd.DataFrame) -> Array:
        """(D, m) joint draws of the mean counts of rows, groups that the fit has not seen as average ones."""
        return zero_inflated_rows.mean_draws(self, frame)

    # --- the fit itself ----------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back; see `GlmerFit.save`."""
        return zero_inflated_storage.save(self.both, self.solution, path)

    def update(
        self, formula: str | None = None, data: Any = None, *, zi: str | None = None, **changes: Any
    ) -> ZeroInflatedFit:  # fmt: skip
        """Fit again with some arguments of `mixedfx.glmer` changed.

        Parameters
        ----------
        formula
            A change of the formula of the counts, as in `GlmerFit.update`.
        data
            New data; None keeps the data of the fit.
        zi
            A change of the formula of the zeros, ``"~ . - x"``, where a dot stands for what was there; None keeps it.
        **changes
            As in `GlmerFit.update`.
        """
        call = changed(self.call, self.both.count.formula, formula, data, changes)
        return fit_zero_inflated(call, changed_zeros(self.both.zero.formula, zi))

    def __repr__(self) -> str:
        return (
            f"<ZeroInflatedFit {self.both.count.formula}, {self.name}, zi {self.zi}: -2 log L {self.criterion:.2f}, "
            f"{self.nobs} rows>"
        )

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_zero_inflated(call: Call, zi: Any) -> ZeroInflatedFit:
    """Fit a zero-inflated model; see `mixedfx.glmer`.

    Raises
    ------
    OptionError
        Families, links and options that it has not.
    FormulaError, DataError
        As `mixedfx.glmer`; a model of the zeros with a left side.
    ModelError
        Counts that are never or always zero.
    """
    call = of_counts(call)
    both = read_both(call, zi)
    return ZeroInflatedFit(both, solved(both, call.found_family, call.control), call)
