"""What a posterior fit holds, and the numbers it can be asked for.

`PosteriorFit` is put together from four rooms: draws and estimates (here), predictions (prediction.py), criticism
(checking.py), and reports (fit.py). Each is a class that adds methods and no state to the one before; the work is done
by functions. Nothing here knows which engine made the draws; what only the collapsed engine has is in `collapsed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.engine import Sampling, check_memory
from mixedfx.bayes.estimate import PosteriorEstimate, estimate
from mixedfx.bayes.joint import JointDraws, Predictor
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws, Key
from mixedfx.errors import MixedfxWarning, ModelError, OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.results import tables
from mixedfx.results.protocol import UNCERTAINTIES, NewLevels, Uncertainty
from mixedfx.results.undetermined import determined

if TYPE_CHECKING:
    from mixedfx.bayes.collapsed import CollapsedPart
    from mixedfx.bayes.course import StanSampling
    from mixedfx.sampling.coordinates import Variances
    from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

POSTERIOR = (
    "Full posterior: the uncertainty of fixed effects, random effects, unseen levels, variances and correlations is "
    "included."
)
PRIOR = "Prior predictive: nothing was learnt from the response; the draws show what the priors say."


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorState:
    """Draws from the posterior of a multilevel model, and estimates from them.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    family
        Distribution of the response, with its link.
    priors
        Priors as they were used, after scaling.
    joint
        Joint draws of all parameters.
    sampling
        How the draws were made, and how far they can be trusted.
    chains
        Number of chains the draws are laid out in.
    seed
        Seed of everything random about this fit.
    collapsed
        What only the collapsed engine has; None for draws by another.
    transitions
        What a Stan engine says of each transition of NUTS: name -> (D,). None for draws made otherwise.
    """

    design: Design
    family: Family
    priors: ResolvedPriors
    joint: JointDraws
    sampling: Sampling | StanSampling
    chains: int
    seed: int
    collapsed: CollapsedPart | None = None
    transitions: Mapping[str, Array] | None = None

    # --- the draws -------------------------------------------------------------------------------------------------
    @property
    def n_draws(self) -> int:
        """Number of draws over all chains."""
        return self.joint.n_draws

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an ordinal or categorical response, in order; empty for other families."""
        if self.family.outcome == "nominal":
            return self.design.categories or ()
        if self.joint.thresholds is None:
            return ()
        known = self.design.categories
        return known or tuple(str(k + 1) for k in range(self.joint.thresholds.shape[1] + 1))

    @property
    def predictor(self) -> Predictor:
        """Draws of the linear predictor.

        Raises
        ------
        ModelError
            For a categorical response, which has several: ``joint.predictors``.
        """
        if len(self.joint.predictors) != 1:
            raise ModelError(
                "a categorical response has a linear predictor for each category but the first",
                hint="Use fit.linpred() or fit.epred(), or fit.joint.predictors.",
            )
        return self.joint.predictors[0]

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (D, k, k) factors F of the covariance F F' of a level's effects."""
        return self.predictor.factors

    @property
    def target(self) -> Target:
        """The density that the collapsed engine sampled."""
        return self._collapsed.target

    @property
    def variances(self) -> Variances:
        """Draws of the variance parameters as the collapsed engine has them."""
        return self._collapsed.variances

    @property
    def _collapsed(self) -> CollapsedPart:
        if self.collapsed is None:
            raise ModelError(
                f"draws by {self.sampling.method} have no collapsed density",
                hint="Use fit.draws() or fit.joint, which every engine leaves.",
            )
        return self.collapsed

    @cached_property
    def _parameters(self) -> tuple[tuple[Key, ...], Array]:
        """Keys and (D, m) draws of everything but beta and u."""
        return self.joint.parameters(self.design)

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of everything.

        Parameters
        ----------
        n
            Number of draws; None for all, in the chains they came in. Fewer are chosen at random, as one chain.
        seed
            Of that choice.

        Returns
        -------
        Draws
            Keys ``("beta", name)``; ``("sigma",)``, ``("nu",)``, ``("shape",)``, ``("phi",)`` as the family has them;
            ``("threshold", "1")``, ... of an ordinal response; ``("sd", group, column)``, ``("cor", group, first,
            second)`` and ``("u", group, level, column)``. For a categorical response the category comes second:
            ``("beta", category, name)``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> data = mx.datasets.load("flipped_classroom")
        >>> fit = mx.bayes("score ~ style + (1 | professor)", data, draws=1000, seed=1)
        >>> fit.draws()["sd", "professor", "Intercept"].shape
        (4, 250)
        """
        keys, array = self.joint.every(self.design)
        if n is None:
            return Draws(keys, array.reshape(self.chains, -1, array.shape[1]), self.uncertainty)
        chosen = np.random.default_rng(seed).choice(len(array), n, replace=n > len(array))
        return Draws(keys, array[chosen][None], self.uncertainty)

    # --- estimates -------------------------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def _coefficients(self) -> tuple[pd.Index, Array]:
        """Labels and (D, P) draws of the fixed effects of all linear predictors."""
        names = list(self.design.fixed_names)
        if len(self.joint.predictors) == 1:
            return pd.Index(names), self.joint.predictors[0].beta
        pairs = [(one.category, name) for one in self.joint.predictors for name in names]
        index = pd.MultiIndex.from_tuples(pairs, names=["category", "term"])
        return index, np.concatenate([one.beta for one in self.joint.predictors], axis=1)

    @property
    def fixef(self) -> pd.Series:
        """Posterior means of the fixed effects, indexed by coefficient; for a categorical response after category."""
        index, beta = self._coefficients
        return pd.Series(beta.mean(axis=0), index=index, name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) posterior covariance of the fixed effects."""
        index, beta = self._coefficients
        return pd.DataFrame(np.cov(beta, rowvar=False).reshape(len(index), -1), index=index, columns=index)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Posterior means of the random effects: grouping factor -> table of levels by effects.

        For a categorical response the columns are labelled by category and effect.
        """
        return self._ranef_tables(lambda u: u.mean(axis=0))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Posterior standard deviations of the random effects, shaped as `ranef`."""
        return self._ranef_tables(lambda u: u.std(axis=0, ddof=1))

    def _ranef_tables(self, moment: Any) -> dict[str, pd.DataFrame]:
        found = [
            tables.ranef_tables(self.design.random, tables.split_effects(self.design, moment(one.u)))
            for one in self.joint.predictors
        ]
        if len(found) == 1:
            return found[0]
        names = [str(one.category) for one in self.joint.predictors]
        return {group: pd.concat([part[group] for part in found], axis=1, keys=names) for group in found[0]}

    @property
    def sigma(self) -> float:
        """Posterior mean of sigma: standard deviation of y (gaussian) or of log y (lognormal), scale of t (student).

        1 where sampling standard deviations are known, NaN for families without a sigma.
        """
        if self.design.known_sd is not None:
            return 1.0
        return float(self.joint.auxiliary["sigma"].mean()) if "sigma" in self.joint.auxiliary else float("nan")

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor; Residual last, of a gaussian response.

        vcov is the posterior mean of a variance or covariance, sdcor that of a standard deviation or correlation. For
        a categorical response a column `category` comes first.
        """
        parts = []
        for predictor in self.joint.predictors:
            covariances = [predictor.covariance(t).mean(axis=0) for t in range(len(self.design.random))]
            table = tables.varcorr_table(self.design.random, [_factor(c) for c in covariances], None)
            sdcor = [_mean_sdcor(predictor, t, term.correlated) for t, term in enumerate(self.design.random)]
            table["sdcor"] = np.concatenate(sdcor) if sdcor else table["sdcor"]
            if predictor.category is not None:
                table.insert(0, "category", predictor.category)
            parts.append(table)
        table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
        if self.family.normal and self.design.known_sd is None:
            sigma = self.joint.auxiliary["sigma"]
            table.loc[len(table)] = ["Residual", None, None, float(np.mean(sigma**2)), float(sigma.mean())]
        return table

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return {term.label: term.n_levels for term in self.design.random}

    @property
    def posterior(self) -> bool:
        """True: it answers from posterior draws."""
        return True

    @property
    def singularity(self) -> None:
        """None: variances are averaged over, not estimated."""
        return None

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return PRIOR if self.sampling.method == "prior" else POSTERIOR

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What speaks against the draws, the class of its warning first; empty where all is well."""
        from mixedfx.bayes.diagnose import concerns

        return concerns(self)

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The fit itself: a posterior has all its uncertainty, and no estimate of variances that it could be given.

        Raises
        ------
        OptionError
            For anything but ``"full"``.
        """
        check_option("uncertainty", uncertainty, UNCERTAINTIES)
        if uncertainty != "full":
            raise OptionError(
                f"uncertainty={uncertainty!r} is for fits by REML or ML: draws of a posterior hold the variances too",
                hint='Leave it out, or use uncertainty="full".',
            )
        return self

    # --- linear functionals ----------------------------------------------------------------------------------------
    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit."""
        from mixedfx.design.rows import functional_for

        return functional_for(self.design, newdata, new_levels)

    def apply(self, functional: Functional) -> PosteriorEstimate:
        """Joint posterior draws of linear functionals of (beta, u); see `PosteriorEstimate`.

        Raises
        ------
        MemoryForecastError
            If draws of so many rows would not fit; combine rows first, or take them in parts with `stream`.
        ModelError
            For a categorical response, which has several linear predictors.
        """
        check_memory(self.n_draws, len(functional))
        one = self.predictor
        return determined(estimate(functional, one.beta, one.u, one.factors, self.seed), functional)


def _factor(covariance: Array) -> Array:
    """A lower factor; of a covariance of rank less than full too."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        root = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)[1]
        return np.asarray(root.T, dtype=np.float64)


def _mean_sdcor(predictor: Predictor, t: int, correlated: bool) -> Array:
    """Posterior means of the sds of a term, then of its correlations, in the order of `varcorr_table`."""
    sd = predictor.sd(t).mean(axis=0)
    if not correlated or len(sd) == 1:
        return np.asarray(sd, dtype=np.float64)
    rows, columns = np.triu_indices(len(sd), 1)
    cor = np.nanmean(predictor.correlation(t)[:, rows, columns], axis=0)
    return np.concatenate([sd, cor], dtype=np.float64)
