"""What every fit offers to the layers above, whatever made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.errors import MixedfxWarning, OptionError
from mixedfx.families.family import Family
from mixedfx.results.singularity import SingularityReport

NewLevels = Literal["error", "population", "sample"]
Uncertainty = Literal["full", "given theta"]
UNCERTAINTIES: tuple[Uncertainty, ...] = ("full", "given theta")


def answering(fit: Any, members: tuple[str, ...], what: str) -> Any:
    """The fit that answers a question: what was given, or the mixed model inside it, as a meta-analysis has one.

    Raises
    ------
    OptionError
        Where neither has the members that the question needs.
    """
    for one in (fit, getattr(fit, "model", None)):
        if one is not None and all(hasattr(one, member) for member in members):
            return one
    raise OptionError(
        f"{what} cannot be asked of a {type(fit).__name__}",
        hint=parts_in_words(fit) or "Give a fit of mixedfx.lmer, mixedfx.glmer or mixedfx.bayes.",
    )


def parts_in_words(fit: Any) -> str | None:
    """What to ask instead of a model in parts, such as a hurdle model; None of other fits."""
    instead = getattr(fit, "asked_instead", None)
    if isinstance(instead, str):
        return instead
    parts = getattr(fit, "parts", None)
    if not isinstance(parts, Mapping):
        return None
    return f"Ask its parts, which are fits by themselves: {' and '.join(f'fit.{name}' for name in parts)}."


@dataclass(frozen=True, eq=False)
class JointSample:
    """Joint draws of all that a fit does not know.

    Attributes
    ----------
    beta, u
        (D, p) and (D, q) draws.
    factors
        For each random term (D, k, k) factors of the covariance of a level's effects, or (1, k, k) one for all.
    auxiliary
        Name -> (D,) values of the family's other parameters; (D, K - 1) thresholds.
    estimated
        (D, a) the same one by one, as the fit names them; None where it has no more names than that.
    """

    beta: NDArray[np.float64]
    u: NDArray[np.float64]
    factors: tuple[NDArray[np.float64], ...]
    auxiliary: Mapping[str, NDArray[np.float64]]
    estimated: NDArray[np.float64] | None = None


@runtime_checkable
class Samples(Protocol):
    """A fit whose draws hold the variances and the family's parameters too."""

    def joint_sample(self, n: int, seed: int | None = None, about_estimate: bool = True) -> JointSample:
        """Joint draws; about the estimates of (beta, u), or as the uncertain variances have them."""
        ...


class LinearEstimate(Protocol):
    """What a fit knows about s linear functionals of (beta, u), on the scale of the linear predictor."""

    @property
    def exact(self) -> bool:
        """Whether mean and covariance say everything, the distribution being normal; else draws do."""
        ...

    @property
    def own_intervals(self) -> bool:
        """Whether it says itself what its intervals are, as an `IntervalEstimate`."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how these rows are answered."""
        ...

    @property
    def mean(self) -> NDArray[np.float64]:
        """(s,) point estimates: BLUE/BLUP, or posterior means."""
        ...

    @property
    def cov(self) -> NDArray[np.float64]:
        """(s, s) covariance of estimate minus truth."""
        ...

    def draws(self, n: int | None = None, seed: int | None = None) -> NDArray[np.float64]:
        """(n, s) joint draws; a posterior ignores `seed` and returns its own draws when `n` is None."""
        ...


class IntervalEstimate(LinearEstimate, Protocol):
    """A `LinearEstimate` that says itself what its intervals are.

    Of one that does not, mean and covariance are those of a normal distribution, or (where it is not `exact`) its draws
    say everything.
    """

    @property
    def sd(self) -> NDArray[np.float64]:
        """(s,) standard errors."""
        ...

    def interval(self, level: float) -> NDArray[np.float64]:
        """(s, 2) ends of central intervals."""
        ...

    def probability(self, greater: float | None = None, less: float | None = None) -> NDArray[np.float64]:
        """(s,) probability of lying above `greater` and below `less`."""
        ...


@runtime_checkable
class Fit(Protocol):
    """A fitted model with a linear predictor, as the effects layer sees it."""

    @property
    def design(self) -> Design:
        """What was fitted."""
        ...

    @property
    def family(self) -> Family:
        """Distribution of the response, with its link."""
        ...

    @property
    def posterior(self) -> bool:
        """Whether it answers from posterior draws; else it has estimates, standard errors and degrees of freedom."""
        ...

    @property
    def uncertainty(self) -> str:
        """One sentence on what the intervals of this fit include and what they leave out."""
        ...

    def with_uncertainty(self, uncertainty: Uncertainty) -> Fit:
        """The same fit, answering with all its uncertainty or with that given theta-hat.

        Raises
        ------
        OptionError
            Where there is only one of them.
        """
        ...

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What speaks against its numbers, the class of the warning first; empty where all is well."""
        ...

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor for `newdata` (the data of the fit where None)."""
        ...

    def apply(self, functional: Functional) -> LinearEstimate:
        """Mean, covariance and draws of linear functionals of (beta, u)."""
        ...

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """(D, m) draws of the mean response of the rows, (D, m, K) probabilities of K categories.

        The residual variation is left out. `chosen` are numbers of draws, all where None.
        """
        ...

    @property
    def covariance_factors(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (D, k, k) factors F of the covariance F F' of a level's effects; D = 1 of estimates."""
        ...

    @property
    def singularity(self) -> SingularityReport | None:
        """Directions in which estimated random effects do not vary; None where variances are not estimated."""
        ...

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor."""
        ...


@runtime_checkable
class PredictsMean(Protocol):
    """Anything that predicts mean outcomes of rows: a non-linear fit, a learner, a bootstrap of either.

    It has no linear predictor that others could take apart. `mixedfx.effects` and `mixedfx.poststratify` set the
    treatment of its rows, ask for their means, and average and compare these draw by draw.

    Examples
    --------
    A cubic fitted to three bootstrap samples:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.results.protocol import PredictsMean
    >>> class Cubic:
    ...     uncertainty = "Intervals hold the spread of refits to bootstrap samples."
    ...     response = "y"
    ...     columns = ("x",)
    ...
    ...     def __init__(self, data):
    ...         self.data, rng = data, np.random.default_rng(1)
    ...         samples = [data.sample(frac=1, replace=True, random_state=rng) for _ in range(3)]
    ...         self.fits = [np.polyfit(s["x"], s["y"], 3) for s in samples]
    ...
    ...     def mean_draws(self, frame):
    ...         return np.array([np.polyval(fit, frame["x"]) for fit in self.fits])
    >>> x = np.linspace(0, 1, 40)
    >>> isinstance(Cubic(pd.DataFrame({"x": x, "y": x**2})), PredictsMean)
    True
    """

    @property
    def data(self) -> Any:
        """The rows that it was fitted to, in any frame; averages are over these where no others are given."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that its predictions depend on."""
        ...

    @property
    def response(self) -> str:
        """Column of the data that holds the outcome."""
        ...

    @property
    def uncertainty(self) -> str:
        """One sentence on what its draws include and what they leave out."""
        ...

    def mean_draws(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Mean outcome of each row.

        Parameters
        ----------
        frame
            (m, .) rows that have `columns`.

        Returns
        -------
        (D, m) array
            Joint draws, draw d of every call from the same refit, sample or posterior draw; or (m,) points, which have
            no intervals.
        """
        ...


@runtime_checkable
class Formulated(Protocol):
    """A fit with a formula, which readers are shown."""

    @property
    def formula(self) -> str:
        """The formula, expanded; of a model in parts those of all."""
        ...


@runtime_checkable
class Concerned(Protocol):
    """A fit that says what speaks against its numbers."""

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What speaks against its numbers, the class of the warning first; empty where all is well."""
        ...
