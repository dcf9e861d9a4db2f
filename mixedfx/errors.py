"""Every error and warning mixedfx raises, one class for each thing a user can act on.

An error says what is wrong, where it is and the line that mends it. A warning accompanies an answer that has a caveat;
each has a class of its own, so that a user can silence or escalate exactly one of them.
"""

from __future__ import annotations

import numbers
import operator
import sys
from collections.abc import Collection, Sequence
from typing import Any, cast


class MixedfxError(Exception):
    """Base class of all errors raised by mixedfx.

    Parameters
    ----------
    message
        What is wrong.
    hint
        What to do about it; shown on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class FormulaError(MixedfxError):
    """A formula that cannot be read; points at the character where reading stopped making sense.

    Parameters
    ----------
    message, hint
        As in `MixedfxError`.
    formula
        The whole text the user wrote.
    column
        Zero-based position in `formula` of the offending character.

    Examples
    --------
    >>> from mixedfx.errors import FormulaError
    >>> print(FormulaError("unbalanced bracket", formula="y ~ (1 | g", column=4, hint="Close it."))
    unbalanced bracket
      y ~ (1 | g
          ^
    Close it.
    """

    def __init__(self, message: str, *, formula: str, column: int, hint: str | None = None) -> None:
        self.formula = formula
        self.column = column
        super().__init__(message, hint=hint)

    def __str__(self) -> str:
        lines = [self.message, f"  {self.formula}", "  " + " " * self.column + "^"]
        return "\n".join(lines if self.hint is None else [*lines, self.hint])


class UnsafeFormulaError(FormulaError):
    """Formula text that asks for more than the documented functions and what the caller passed in `env`."""


class DataError(MixedfxError):
    """Data that do not fit the formula: an unknown column, no rows, infinities, a non-numeric response."""


class RowsNotHeldError(MixedfxError):
    """A question about the rows of a fit that read them batch by batch and does not hold them."""


class UnseenLevelError(DataError):
    """New data hold a level that the fit has never seen, where none is allowed."""


class ModelError(MixedfxError):
    """A model that cannot be estimated from these data, whatever the optimiser does."""


class MemoryForecastError(ModelError):
    """The factorisation would need more memory than is free; the message holds the forecast."""


class IterativeSolverError(ModelError):
    """A question that needs the factor of all crossed effects, asked of a fit without one, or a solve without end."""


class MonteCarloError(ModelError):
    """Likelihoods that are known less exactly than their comparison needs."""


class ImportanceError(ModelError):
    """Importance weights that cannot be trusted, or are forecast to be such: another engine has to draw."""


class UnknownQuantityError(MixedfxError, KeyError):
    """A name that these draws or this table do not hold; the message offers the nearest ones."""


class OptionError(MixedfxError, ValueError):
    """An argument with a value that it cannot take; the message lists those it can."""


class MissingPackageError(MixedfxError, ImportError):
    """An optional package is needed for what was asked; the message names the line that installs it."""


class ImproperPosteriorError(ModelError):
    """Under these priors the posterior is no distribution; the message names the parameter and the way out."""


class EffectsError(MixedfxError):
    """A question about effects that this fit cannot answer."""


class MixedfxWarning(UserWarning):
    """Base class of all warnings issued by mixedfx."""


class RowsDroppedWarning(MixedfxWarning):
    """Rows with a weight of zero were left out."""


class MissingModeratorsWarning(MixedfxWarning):
    """Moderators are missing in some rows, so that models of different moderators rest on different rows."""


class SamplingWeightsWarning(MixedfxWarning):
    """Sampling weights, strata or replicates of which something was supposed; the message says what."""


class UnweightedRowsWarning(MixedfxWarning):
    """New responses of a weighted fit were predicted without weights of their own, as rows of weight 1."""


class UnusedCategoryWarning(MixedfxWarning):
    """A category of the response that the data list but no row has; the message names it and what becomes of it."""


class UnsavableWarning(MixedfxWarning):
    """A posterior that is about to be sampled and could not be saved; the message says why."""


class RankDeficiencyWarning(MixedfxWarning):
    """Aliased columns of the fixed part were dropped; the message names them."""


class IdentifiabilityWarning(MixedfxWarning):
    """Two parts of the model explain the same variation; the message names them and the way out."""


class StructureWarning(MixedfxWarning):
    """A covariance structure that has nothing to structure, or that depends on the units of its columns."""


class IdentifierSlopeWarning(MixedfxWarning):
    """A whole number that looks like an identifier enters as a number, with one slope; the message says the way out."""


class PlausibleValueWarning(MixedfxWarning):
    """A response that is one of several plausible values, or their mean."""


class FewLevelsWarning(MixedfxWarning):
    """A variance estimated from fewer than five levels is barely identified."""


class FewGroupsWarning(MixedfxWarning):
    """Tests by chi square suppose many groups, and there are few."""


class FewEffectsWarning(MixedfxWarning):
    """No more estimates than coefficients: the heterogeneity of a meta-analysis is unknown, and taken as none."""


class EmptyIntervalWarning(MixedfxWarning):
    """A confidence interval that holds no value: estimates are more alike than their sampling errors allow for."""


class FewInIntervalWarning(MixedfxWarning):
    """Few estimates have p values in an interval whose weight a selection model estimates."""


class MergedIntervalsWarning(MixedfxWarning):
    """Intervals of p values without estimates were merged with others: fewer weights are estimated than asked for."""


class EvidenceErrorWarning(MixedfxWarning):
    """The evidence of a model that counts is uncertain; the message says by how much."""


class ExcludedDirectionWarning(MixedfxWarning):
    """No prior of an effect allows for the side of zero on which the estimates are."""


class SingularFitWarning(MixedfxWarning):
    """A variance is zero or a correlation is one: an answer, but one to know about."""


class SingularEffectsWarning(SingularFitWarning):
    """Effects of single groups rest on a variance of zero or a correlation of one that REML has estimated."""


class ConvergenceWarning(MixedfxWarning):
    """The optimiser stopped before it could certify a minimum."""


class SeparationWarning(MixedfxWarning):
    """A combination of predictors decides the response, so that coefficients have no finite estimate."""


class NoOverdispersionWarning(MixedfxWarning):
    """Counts vary no more than a Poisson distribution says, so that a negative binomial one has no finite shape."""


class NoZeroInflationWarning(MixedfxWarning):
    """Counts have no more zeros than their family says, so that the share of others has no finite logit."""


class BoundaryTestWarning(MixedfxWarning):
    """A likelihood-ratio test of a parameter at the end of its range, whose chi-square p value is too large."""


class MonteCarloWarning(MixedfxWarning):
    """The Monte Carlo error of an estimate is larger than was asked for."""


class QuadratureWarning(MixedfxWarning):
    """The number of nodes of a quadrature does not suffice."""


class ThetaUncertaintyWarning(MixedfxWarning):
    """Intervals include that variances are estimated by an approximation only; the message says which and why."""


class DegreesOfFreedomWarning(MixedfxWarning):
    """Degrees of freedom that leave something out or are not defined; the message says what."""


class IgnoredGroupsWarning(DegreesOfFreedomWarning):
    """A variance is estimated at zero, and degrees of freedom act as if its groups did not exist."""


class FewClustersWarning(DegreesOfFreedomWarning):
    """Degrees of freedom below four: tests with a cluster-robust covariance say little, however small p is."""


class SingleClusterWarning(MixedfxWarning):
    """A cluster-robust standard error of what one cluster alone tells, which the other clusters say nothing about."""


class RefittedWarning(MixedfxWarning):
    """Fits were made again by another criterion, because theirs cannot be compared."""


class NestingWarning(MixedfxWarning):
    """A test that supposes nested models, of models that are not seen to be nested."""


class ResamplingWarning(MixedfxWarning):
    """Some refits of a bootstrap or a simulation broke down or were not certified; the message counts them."""


class NotEstimableWarning(MixedfxWarning):
    """Numbers that these data do not determine, given as NaN; the message names them and the columns they need."""


class NotDrawableWarning(MixedfxWarning):
    """A picture cannot show everything it should; the message names what is left out and another picture."""


class SamplingWarning(MixedfxWarning):
    """Draws that did not converge, or too few effective ones; the message says what was seen."""


class ImportanceWarning(SamplingWarning):
    """A few importance weights dominate the draws (k-hat above 0.7)."""


class ModeWarning(SamplingWarning):
    """Modes that chains do not go between, or mass near a starting point that the draws do not stand for."""


class DivergenceWarning(SamplingWarning):
    """Divergent transitions: the sampler could not follow the density everywhere."""


class RHatWarning(SamplingWarning):
    """R-hat above 1.01: the chains disagree."""


class EffectiveSizeWarning(SamplingWarning):
    """Too few effective draws for what is read from them."""


class EnergyWarning(SamplingWarning):
    """E-BFMI below 0.3: the sampler moves along the energy too slowly."""


class TreedepthWarning(SamplingWarning):
    """Trajectories were cut short at the largest tree depth."""


class ApproximationWarning(SamplingWarning):
    """Draws from an approximation of the posterior, not from the posterior."""


class ParetoKWarning(MixedfxWarning):
    """Cross-validation by importance sampling that cannot be trusted for some rows or groups."""


class DataDependentPriorWarning(MixedfxWarning):
    """A marginal likelihood under priors that were scaled from the data compares models only roughly."""


class PriorScaleWarning(MixedfxWarning):
    """Priors whose unit does not fit the estimates: too narrow for them, or all that is known."""


class NoVariationWarning(MixedfxWarning):
    """The effect asked about cannot vary over the groups asked about under this formula."""


class UnknownLevelWarning(MixedfxWarning):
    """A model was asked about a level of a moderator that it has never seen; the message says what it took instead."""


class OverlapWarning(MixedfxWarning):
    """Rows in an arm that was very improbable for them count like many rows; the message counts them."""


class OneArmWarning(MixedfxWarning):
    """Groups hold one arm only, so that the effect in them is not compared there; the message counts them."""


class ConstantEffectsWarning(MixedfxWarning):
    """Predicted effects are all alike, so that they rank nobody and a test of the ranking has no p-value."""


class DependentErrorsWarning(MixedfxWarning):
    """Standard errors of averages rest on errors that were taken as independent without having been said to be."""


class UnseenLevelsWarning(MixedfxWarning):
    """New levels were drawn from the population; the message lists them, so that a typing error shows."""


def check_option(name: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is none of those allowed.

    Raises
    ------
    OptionError
        Names the argument and what it can be.

    Examples
    --------
    >>> from mixedfx.errors import check_option
    >>> check_option("kind", "deviance", ("response", "pearson"))
    Traceback (most recent call last):
    mixedfx.errors.OptionError: kind='deviance' is not known
    Use 'response', 'pearson'.
    """
    if not any(value is known or (isinstance(value, type(known)) and value == known) for known in allowed):
        raise OptionError(f"{name}={value!r} is not known", hint=f"Use {', '.join(map(repr, allowed))}.")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False (`OptionError`).

    Examples
    --------
    >>> from mixedfx.errors import check_flag
    >>> check_flag("REML", "ML")
    Traceback (most recent call last):
    mixedfx.errors.OptionError: REML='ML' is neither True nor False
    Use REML=True or REML=False.
    """
    if type(value).__name__ not in ("bool", "bool_"):  # of NumPy too, which is not imported here
        raise OptionError(f"{name}={value!r} is neither True nor False", hint=f"Use {name}=True or {name}=False.")


def check_count(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, or one that is too small (`OptionError`)."""
    try:
        whole = not isinstance(value, bool) and operator.index(cast(Any, value)) >= least
    except TypeError:
        whole = False
    if not whole:
        hint = f"Use {name}={max(least, 1)}, say."
        raise OptionError(f"{name}={value!r} is not a whole number from {least}", hint=hint)


def check_seed(seed: object) -> None:
    """Refuse a seed that is neither None nor a whole number from 0 (`OptionError`)."""
    if seed is not None:
        check_count("seed", seed, 0)


def check_level(level: float) -> None:
    """Refuse a confidence level that is no number between 0 and 1 (`OptionError`)."""
    if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0 < level < 1:
        raise OptionError(f"level={level!r} is not a probability", hint="Use a number between 0 and 1, such as 0.95.")


def outside() -> int:
    """The `stacklevel` at which a warning of the calling function names the first line that is not of this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mixedfx":
        frame, level = frame.f_back, level + 1
    return level


def some_rows(rows: Sequence[Any] | Any, limit: int = 5) -> str:
    """Write the first few row positions: ``rows 3, 8 and 12``, ``rows 0, 1, 2, 3, 4, ... (90 in all)``."""
    listed = [str(int(r)) for r in rows[:limit]]
    if len(rows) > limit:
        return f"rows {', '.join(listed)}, ... ({len(rows)} in all)"
    if len(listed) == 1:
        return f"row {listed[0]}"
    return f"rows {', '.join(listed[:-1])} and {listed[-1]}"


def counted_rows(rows: Sequence[Any] | Any) -> str:
    """`some_rows` of positions in the data, counted from 0; ``some rows`` where they are not known, as -1 says.

    Examples
    --------
    >>> from mixedfx.errors import counted_rows
    >>> counted_rows([3, 8]), counted_rows([-1, -1])
    ('rows 3 and 8 (counted from 0)', 'some rows')
    """
    return "some rows" if int(rows[0]) < 0 else f"{some_rows(rows)} (counted from 0)"
