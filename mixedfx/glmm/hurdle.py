r"""Hurdle models of counts: a model of whether a count is zero, and one of the counts above zero.

    P(Y = 0) = p,    P(Y = y) = (1 - p) f(y) for y = 1, 2, ...,

f a Poisson or negative binomial distribution without its zero (Mullahy 1986, Journal of Econometrics 33:341). With
effects of groups that are independent between the parts the likelihood is a product of the two, and they are fitted one
by one: `zero`, a bernoulli fit of y = 0 on all rows, and `count`, a fit of the truncated family on the rows above zero.
What follows about both is put together here; tests, intervals and pictures of a part are those of the part.

The mean of a row is (1 - p) E(Y | Y > 0). Given the effects of groups both factors are functions of the linear
predictors; over the population of groups the mean of the product is the product of the means.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.two_designs import read_once
from mixedfx.errors import (
    DataError,
    MixedfxWarning,
    ModelError,
    OptionError,
    check_count,
    check_flag,
    check_seed,
)
from mixedfx.formula.part_formulas import changed_zeros, right_side, zero_formula
from mixedfx.glmm import two_parts
from mixedfx.glmm.asked_of_parts import AskedOfParts
from mixedfx.glmm.call import Call, changed
from mixedfx.glmm.fit import fit_call
from mixedfx.inference.quantile_residuals import normal_scores, uniform_residuals
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent

Array = NDArray[np.float64]

HURDLES = {"hurdle_poisson": "truncated_poisson", "hurdle_negbinomial": "truncated_negbinomial"}
"""Name of a hurdle model -> family of its counts above zero."""

ZERO = "zero"  # response of the part that is about zeros


@dataclass(frozen=True, eq=False, repr=False)
class HurdleFit(AskedOfParts):
    """A hurdle model of counts, as `mixedfx.glmer` returns it where ``zi=`` is given.

    Attributes
    ----------
    count
        The fit of the counts above zero; coefficients are on the logarithm of the mean of the whole distribution, its
        zero included.
    zero
        The fit of whether a count is zero; positive coefficients are for more zeros.
    name
        ``"hurdle_poisson"`` or ``"hurdle_negbinomial"``.
    data
        The rows used, of both parts.
    response
        The response as the formula has it.
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
    >>> data["frogs"] = np.where(rng.random(300) < 0.4, 0, rng.poisson(level))
    >>> fit = mx.glmer("frogs ~ depth + (1 | pond)", data, "hurdle_poisson", zi="~ depth + (1 | pond)")
    >>> fit
    <HurdleFit frogs ~ 1 + depth + (1 | pond), hurdle_poisson, zi ~ 1 + depth + (1 | pond): -2 log L 929.20, 300 rows>
    >>> fit.predict(data.iloc[:2]).round(2).tolist()
    [1.47, 1.63]
    """

    call: Call | None = None

    @property
    def formula(self) -> str:
        """The formula of the counts and that of the zeros."""
        return f"{self.count.design.formula}; zi {right_side(self.zero.design.formula)}"

    @property
    def converged(self) -> bool:
        """Whether both optimisations were certified."""
        return self.count.converged and self.zero.converged

    @property
    def singular(self) -> bool:
        """Whether a variance of either part is zero or a correlation is one."""
        return self.count.singular or self.zero.singular

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects of both parts, indexed by part and coefficient."""
        return pd.concat({name: part.fixef for name, part in self.parts.items()}, names=["part", "term"])

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the fixed effects of both parts, which are independent."""
        index = self.fixef.index
        out = np.zeros((len(index), len(index)))
        p = len(self.count.fixef)
        out[:p, :p], out[p:, p:] = self.count.vcov, self.zero.vcov
        return pd.DataFrame(out, index=index, columns=index)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, with their part."""
        return self._beside("varcorr")

    def _beside(self, name: str) -> pd.DataFrame:
        return pd.concat([_with_part(part, getattr(fit, name)) for part, fit in self.parts.items()], ignore_index=True)

    @property
    def ranef(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Conditional modes of the random effects by part, as each part has them."""
        return {name: part.ranef for name, part in self.parts.items()}

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Estimates of both parts in broom's columns, a column part first; see `GlmerFit.tidy`."""
        found = [_with_part(name, part.tidy(effects, level)) for name, part in self.parts.items()]
        return pd.concat(found, ignore_index=True)

    def glance(self) -> pd.DataFrame:
        """One row about the whole: nobs, zeros, npar, logLik, AIC, BIC, deviance (-2 log L), converged, singular."""
        row = {
            "nobs": self.nobs, "zeros": int(self.zero.design.y.sum()), "npar": self.n_parameters,
            "logLik": self.loglik, "AIC": self.aic, "BIC": self.bic, "deviance": self.criterion,
            "converged": self.converged, "singular": self.singular,
        }  # fmt: skip
        return pd.DataFrame([row])

    def summary(self) -> SummaryContent:
        """Page for reading, of the whole and then of each part; printing the fit prints it."""
        return two_parts.summary(self)

    @property
    def fitted(self) -> pd.Series:
        """(n,) mean counts, random effects at their modes; indexed by the row's position in the data."""
        return pd.Series(self.predict(), name="fitted")

    def residuals(self, kind: Literal["response"] = "response") -> pd.Series:
        """Counts less their means; see `quantile_residuals` for others.

        Raises
        ------
        OptionError
            For another kind.
        """
        if kind != "response":
            raise OptionError(f"kind={kind!r} is none of a hurdle model's residuals", hint="fit.quantile_residuals().")
        return pd.Series(self.y - self.fitted, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average", "integrate"] = "fitted",
        *,
        kind: Literal["response", "zero", "conditional"] = "response",
        se: bool = False,
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
        """Predicted means.

        Parameters
        ----------
        newdata, new_levels, groups
            As in `GlmerFit.predict`. A group of the data without counts above zero is an average one in the part of
            the counts.
        kind
            ``"response"``: the mean count. ``"zero"``: the probability of zero. ``"conditional"``: the mean of the
            counts above zero.
        se
            Whether to give standard errors, by the delta method, and intervals on the scale of the logarithm.
        level
            Level of the intervals.

        Returns
        -------
        Series or DataFrame
            One prediction for each row, or a table with estimate, se, lower and upper.
        """
        return two_parts.predict(self, newdata, new_levels, groups, kind, se, level)

    def simulate(
        self, n: int = 1, seed: int | None = None, use_u: bool = False, newdata: Any = None
    ) -> pd.DataFrame:  # fmt: skip
        """Simulate counts for the rows of the fit, or for new ones.

        Parameters
        ----------
        n, seed
            Number of simulated responses, and the seed.
        use_u
            False: every group gets new effects in both parts. True: groups keep their modes.
        newdata
            Rows to simulate counts for, any frame that holds the columns of both parts; those of the fit where None.
            Groups that a part has not seen get effects from their population.

        Returns
        -------
        DataFrame
            (rows, n), a column for each simulation.
        """
        check_count("n", n)
        check_flag("use_u", use_u)
        check_seed(seed)
        frame = two_parts.new_frame(self, newdata)
        drawn = two_parts.simulated(self, n, np.random.default_rng(seed), use_u, frame)
        return pd.DataFrame(drawn.T, index=(self.data if frame is None else frame).index)

    def quantile_residuals(
        self, n: int = 250, seed: int | None = None, scale: Literal["normal", "uniform"] = "normal"
    ) -> pd.Series:  # fmt: skip
        """(n,) randomised quantile residuals among responses simulated with the modes of the groups."""
        check_count("n", n)
        check_seed(seed)
        rng, y = np.random.default_rng(seed), self.y.to_numpy()
        drawn = two_parts.simulated(self, n, rng, True)
        found = uniform_residuals(y, (drawn < y).sum(axis=0), (drawn == y).sum(axis=0), n, rng)
        values = found if scale == "uniform" else normal_scores(found)
        return pd.Series(values, index=self.data.index, name="residual")

    # --- what mx.effects asks of it: means of rows (`mixedfx.results.protocol.PredictsMean`)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the means depend on."""
        return tuple(c for c in self.data.columns if c != self.response)

    @property
    def uncertainty(self) -> str:
        """What intervals of means include."""
        return self.count.uncertainty

    def mean_draws(self, frame: pd.DataFrame) -> Array:
        """(D, m) joint draws of the mean counts of rows, groups without counts above zero as average ones."""
        found = [two_parts.mean_draws(part, frame) for part in (self.count, self.zero)]
        return found[0] * (1.0 - found[1])

    def update(
        self, formula: str | None = None, data: Any = None, *, zi: str | None = None, **changes: Any
    ) -> HurdleFit:  # fmt: skip
        """Fit both parts again with some arguments of `mixedfx.glmer` changed.

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
        call = changed(self.call, self.count.design.formula, formula, data, changes)
        return fit_hurdle(call, changed_zeros(self.zero.design.formula, zi))

    def __repr__(self) -> str:
        right = right_side(self.zero.design.formula)
        return (
            f"<HurdleFit {self.count.formula}, {self.name}, zi {right}: -2 log L {self.criterion:.2f}, "
            f"{self.nobs} rows>"
        )

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_hurdle(call: Call, zi: Any) -> HurdleFit:
    """Fit both parts of a call whose family is the name of a hurdle model.

    Raises
    ------
    FormulaError
        A model of the zeros with a left side.
    OptionError
        A family that is not a hurdle model; no model of the zeros.
    DataError
        Responses that are no counts, naming the rows.
    ModelError
        Counts that are never or always zero.
    OptionError
        A link or an offset that is no column.
    """
    from mixedfx.design.build import build_design

    if call.family not in HURDLES:
        raise OptionError(
            f"zi= goes with a hurdle model, not with family={call.family!r}",
            hint="Use family='hurdle_poisson' or 'hurdle_negbinomial'; mx.glmer(..., zi=...) with a family of counts "
            "fits a mixture with zeros, zero inflation.",
        )
    if zi is None:
        raise OptionError(
            f"family={call.family!r} needs a model of the zeros", hint="Write zi='~ 1', or '~ x + (1 | g)'."
        )
    if call.link not in (None, "log"):
        raise OptionError(
            f"a hurdle model has no link {call.link!r} of its counts", hint="It is 'log', and logit of zeros."
        )
    if call.offset is not None and not isinstance(call.offset, str):
        raise OptionError("offset= of a hurdle model is the name of a column", hint="Put the values into the data.")
    name = str(call.family)
    text = zero_formula(zi)
    frame, positions = _complete_rows(replace(call, data=read_once(vars(call), text)), text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # the parts say what there is to say
        whole = build_design(
            call.formula, frame, family="poisson", weights=call.weights, offset=call.offset, na=call.na,
            contrasts=call.contrasts, env=call.env,
        )  # fmt: skip
    y = whole.y
    if len(y) < len(frame):
        raise DataError(
            "an expression of the formula is missing where its columns are not", hint="Drop these rows before the fit."
        )
    some = y > 0
    if some.all() or not some.any():
        what = "every" if some.all() else "no"
        raise ModelError(
            f"{what} count is above zero: there is no hurdle to model",
            hint="Counts from one on are family='truncated_poisson' or 'truncated_negbinomial'.",
        )
    count = fit_call(replace(call, data=frame[some], family=HURDLES[name], link=None))
    free = ZERO
    while free in frame.columns:
        free += "_"
    zeros = Call(f"{free} {text}", frame.assign(**{free: (y == 0).astype(int)}), "bernoulli", None, call.nAGQ,
                 na=call.na, contrasts=call.contrasts, env=call.env, control=call.control,
                 priors=call.priors)  # fmt: skip
    return HurdleFit(count, fit_call(zeros), name, frame.set_axis(positions), whole.response_name, call)


def _complete_rows(call: Call, text: str) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Rows without missing values in any column that either part reads, and their positions in the data."""
    from mixedfx.design.source import read_source

    beside = (call.weights, call.offset)
    env: Mapping[str, Any] = call.env or {}
    source = read_source(call.formula, call.data, env, beside, call.dispersion)
    left = source.formula.response
    other = read_source(f"{left} {text}", call.data, env, (), None)
    frame = source.columns.assign(other.columns.series).frame
    good = frame.notna().all(axis=1).to_numpy()
    if call.na == "raise" and not good.all():
        raise DataError(
            f"{int((~good).sum())} rows have missing values", hint="na='drop' leaves them out, or fill them in."
        )  # fmt: skip
    return pd.DataFrame(frame.loc[good]).reset_index(drop=True), np.flatnonzero(good)


def _with_part(name: str, table: pd.DataFrame) -> pd.DataFrame:
    out = table.copy()
    out.insert(0, "part", name)
    return out
