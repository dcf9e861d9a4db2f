"""Criticism of a posterior fit: cross-validation, predictive checks, ArviZ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.bayes.prediction import PosteriorPrediction
from mixedfx.errors import check_option
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PPC_KINDS = ("auto", "density", "bars", "rootogram")
SUPPORT = {"positive": (0.0, np.inf), "unit": (0.0, 1.0)}  # of continuous responses that are not any number
FEW_VALUES = 12  # of a count: bars up to here, a rootogram beyond


class PosteriorChecking(PosteriorPrediction):
    """What speaks for a model, and what against it."""

    def to_arviz(self, log_likelihood: bool = True, posterior_predictive: bool = False) -> Any:
        """ArviZ's InferenceData: posterior, data, log likelihood, sampler; see `mixedfx.bayes.criticism.to_arviz`."""
        from mixedfx.bayes.criticism import to_arviz

        return to_arviz(self, log_likelihood, posterior_predictive)

    def loo(self) -> Any:
        """Expected log predictive density of rows, each left out in turn, by Pareto-smoothed importance sampling.

        Returns
        -------
        arviz.ELPDData
            ``elpd_loo``, ``se``, ``p_loo``; ``pareto_k`` and ``loo_i`` for each row. ``arviz.compare`` takes several.

        Warns
        -----
        ParetoKWarning
            Where k-hat of a row is above what these draws allow (0.7, less for few draws). A row that says nothing, as
            one without trials, has k-hat 0: without it the posterior is the same.
        """
        from mixedfx.bayes.criticism import loo

        return loo(self)

    def logo(self, group: str) -> Any:
        """Expected log predictive density of whole groups, each left out in turn: how well new groups are predicted.

        The effects of a group, and of groups nested in it, are integrated out: exactly in a Gaussian model, else by
        adaptive quadrature; effects of crossed factors are conditioned on. Then importance sampling with Pareto
        smoothing, as for `loo`. `mixedfx.bayes.logo` has the formulas.

        Parameters
        ----------
        group
            Grouping factor, as in the formula.

        Returns
        -------
        arviz.ELPDData
            ``elpd_loo``, ``se``, ``p_loo`` over groups; ``pareto_k`` and ``loo_i`` for each group.

        Raises
        ------
        ModelError
            For a categorical response.

        Warns
        -----
        ParetoKWarning
            Where k-hat of a group is above what these draws allow: with few groups, or large ones, leaving one out may
            move the posterior further than importance sampling reaches.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), seed=1)
        >>> found = fit.logo("professor")
        >>> len(found.pareto_k), bool((found.pareto_k < 0.7).all())
        (15, True)
        """
        from mixedfx.bayes.logo import logo

        return logo(self, group)

    def waic(self) -> Any:
        """Widely applicable information criterion (ArviZ's ELPDData)."""
        from mixedfx.bayes.criticism import waic

        return waic(self)

    def ppc(self, n: int = 50, seed: int | None = 0, ax: Axes | None = None, kind: str = "auto") -> Picture:
        """Posterior predictive check: the response against `n` simulated ones.

        Parameters
        ----------
        n
            Number of simulated responses.
        seed
            Of the simulations.
        ax
            Axes to draw on; new ones where None.
        kind
            ``"density"``: kernel densities. ``"bars"``: how often each value or category comes. ``"rootogram"``: the
            same for counts, on the scale of square roots. ``"auto"``: density for continuous responses, bars for
            categories and for counts with few values, a rootogram for others.
        """
        check_option("kind", kind, PPC_KINDS)
        from mixedfx.plots import predictive

        y, simulated, name = self.design.y, self._simulated(n, seed), self.design.response_name
        kind = self._ppc_kind(simulated) if kind == "auto" else kind
        if kind == "density":
            bounds = SUPPORT.get(self.family.outcome, (-np.inf, np.inf))
            return Picture(predictive.predictive_check(y, simulated, name, ax, bounds))
        if kind == "rootogram":
            return Picture(predictive.rootogram(y, simulated, name=name, ax=ax))
        labels = self.categories or (("0", "1") if self.family.outcome == "binary" else None)
        return Picture(predictive.bars(y, simulated, labels=labels, name=name, ax=ax))

    def _ppc_kind(self, simulated: np.ndarray) -> str:
        if self.family.outcome in ("count", "trials"):
            return "bars" if max(self.design.y.max(), np.quantile(simulated, 0.99)) < FEW_VALUES else "rootogram"
        return "bars" if self.family.outcome in ("binary", "ordered", "nominal") else "density"
