"""RobmaFit: a model-averaged meta-analysis, and the questions that can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.meta.averaging import page, pictures, report, storage
from mixedfx.meta.averaging.sensitivity import sensitivity
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.progress import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.draws import Draws
    from mixedfx.plots.picture import Picture
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class RobmaFit(RobmaState):
    """A Bayesian model-averaged meta-analysis, as `mixedfx.robma` and `mixedfx.bma` return it.

    Its attributes are those of `mixedfx.meta.averaging.state.RobmaState`.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.25, 0.20, 0.26, 0.23, 0.22, 0.15, 0.09, 0.19, 0.42],
    ...                      "sei": [0.10, 0.08, 0.10, 0.10, 0.10, 0.08, 0.07, 0.10, 0.15]})
    >>> fit = mx.robma(data, sei="sei", measure="SMD", bias="PP")
    >>> fit.components.round(3)
                   models  prior  posterior  inclusion_bf
    component
    effect              6    0.5      0.192         0.238
    heterogeneity       6    0.5      0.070         0.076
    bias                8    0.5      0.956        21.885
    """

    @property
    def components(self) -> pd.DataFrame:
        """Evidence for each component: index component; models that have it, prior, posterior, inclusion_bf.

        The hierarchical component is asked of models with heterogeneity. inclusion_bf is NaN where every model has the
        component, or none.
        """
        return report.components(self)

    @property
    def models(self) -> pd.DataFrame:
        """One row a model: its hypotheses, prior, log_evidence, error, posterior, inclusion_bf, method, k_hat.

        error is that of the quadrature, by a second rule, or the Monte Carlo standard error of the log evidence.
        """
        return report.models(self)

    @property
    def estimates(self) -> pd.DataFrame:
        """Parameters averaged over all models: mean, median, lower, upper."""
        return report.estimates(self, False, None, None)

    @property
    def conditional(self) -> pd.DataFrame:
        """Parameters averaged over the models that have them: mean, median, lower, upper."""
        return report.estimates(self, True, None, None)

    def tidy(self, conditional: bool = False, measure: str | None = None, level: float | None = None) -> pd.DataFrame:
        """Parameters averaged over models, on another scale or with other intervals.

        Parameters
        ----------
        conditional
            Whether each is averaged over the models that have it.
        measure
            ``"SMD"``, ``"COR"``, ``"ZCOR"`` or ``"OR"`` (log odds ratio), where the effects are one of these. mu is
            transformed draw by draw; tau by the factor near 0, and is NaN on the scale of correlations; so are
            coefficients of moderators, which are differences. PET and weights have no unit.
        level
            Probability of intervals; that of the fit where None.

        Returns
        -------
        DataFrame
            Index parameter; mean, median, lower, upper.
        """
        return report.estimates(self, conditional, measure, level)

    @property
    def weights(self) -> pd.DataFrame:
        """Weights of the intervals of one-sided p values, averaged over all models.

        Columns interval, k (estimates in it), mean, median, lower, upper; the most significant first.
        """
        return report.weights(self)

    @property
    def counts(self) -> pd.DataFrame:
        """How many estimates are in each interval of each weight function: bias, interval, k."""
        return report.counts(self)

    def moderator_levels(self, level: float | None = None) -> pd.DataFrame:
        """Mean effects at the levels of factors, and one sd below and above the mean of covariates.

        Returns
        -------
        DataFrame
            moderator, at, mean, median, lower, upper; the other moderators at their means.
        """
        return report.moderator_levels(self, level)

    def true_effects(self, measure: str | None = None, level: float | None = None) -> pd.DataFrame:
        """True effects behind the estimates, averaged over models, in the order of the data.

        Parameters
        ----------
        measure, level
            As in `tidy`.

        Returns
        -------
        DataFrame
            label, (cluster,) yi, mean, median, lower, upper.
        """
        return report.true_effects(self, measure, level)

    def cluster_effects(self, measure: str | None = None, level: float | None = None) -> pd.DataFrame:
        """Mean true effects of the clusters: cluster, k, mean, median, lower, upper."""
        return report.cluster_effects(self, measure, level)

    def predict(self, newdata: Any = None, measure: str | None = None, level: float | None = None) -> pd.DataFrame:
        """Mean effects, and prediction intervals of the true effect of a new study in a new cluster.

        Parameters
        ----------
        newdata
            Moderators of the rows; None: one row at their means.
        measure, level
            As in `tidy`.

        Returns
        -------
        DataFrame
            mean, median, lower, upper, pred_low, pred_high.
        """
        return report.predict(self, newdata, measure, level)

    @cached_property
    def draws(self) -> Draws:
        """Equally weighted draws from the averaged posterior.

        Keys: ``("model",)`` (its position in `models`), ``("mu",)``, ``("tau",)``, ``("rho",)``, ``("PET",)``,
        ``("PEESE",)``, ``("omega", interval)``, ``("beta", moderator)`` or ``("beta", moderator, level)``,
        ``("theta", label)`` of each estimate, ``("cluster", label)``.
        """
        return report.draws(self)

    def sensitivity(
        self,
        priors: str | Sequence[str] | None = None,
        factors: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        mechanisms: str | Sequence[str] | None = None,
        progress: Asked = None,
    ) -> pd.DataFrame:
        """Components under wider and narrower priors, one component's at a time, and under other mechanisms.

        Parameters
        ----------
        priors
            Components or moderators whose alternatives are changed: ``"effect"``, ``"heterogeneity"``, ``"bias"`` (PET
            and PEESE), names of moderators; all whose priors have a scale where None, ``[]`` for none of them.
        factors
            What their scales are multiplied by.
        mechanisms
            ``"conditional"``, ``"joint"``, ``"best"``: how clusters are selected; that of the fit where None.
        progress
            As in `mixedfx.bayes`.

        Returns
        -------
        DataFrame
            For each prior, factor and mechanism one row a component: scaled, factor, mechanism, component; prior,
            posterior, inclusion_bf; mu, the mean effect averaged over all models.

        Raises
        ------
        OptionError
            Factors that are not positive; unknown priors and mechanisms.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.bma(mx.datasets.load("school_calendars"), cluster="district", measure="SMD")
        >>> table = fit.sensitivity("effect", factors=(0.5, 1, 2))
        >>> table.loc[table["component"] == "effect", ["factor", "inclusion_bf", "mu"]].round(3)
           factor  inclusion_bf     mu
        0     0.5         1.735  0.112
        3     1.0         0.919  0.086
        6     2.0         0.466  0.058
        """
        return sensitivity(self, priors, factors, mechanisms, progress)

    def plot(self, kind: str = "forest", ax: Axes | None = None, **options: Any) -> Picture:
        """Draw a picture.

        Parameters
        ----------
        kind
            ``"forest"``: estimates with true effects below them, and mean effects averaged over models; options
            `level`, `transf`, `order` (``"estimate"``), `cluster` (a word before numbers of clusters), and
            ``studies=False``, which draws clusters only.
            ``"parameter"``: prior and posterior of `parameter` (a row of `estimates`), with arrows where single values
            have a probability; of rho among models with heterogeneity, with `conditional` among models that have it.
            ``"weights"``: probability of publication by p value, with its band and its prior; `conditional`, `spacing`.
            ``"funnel"``: the estimates on the scale of the fit, with the lines of PET and PEESE; `level` of bands.
            ``"models"``: models by posterior probability; `most`.
            ``"sensitivity"``: inclusion Bayes factors over the scale of each prior; `prior`, `component`, `factors`,
            `mechanisms` and `progress`, as in `sensitivity`.
        ax
            Axes of the picture; new ones where None.
        **options
            Besides these, those of the function of `mixedfx.plots` that draws, such as `xlabel`.

        Returns
        -------
        Picture

        Raises
        ------
        OptionError
            For an unknown kind, parameter or component.
        ModelError
            For a picture that the ensemble has nothing for.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.bma(mx.datasets.load("school_calendars"), cluster="district", measure="SMD")
        >>> fit.plot("parameter", parameter="rho").ax.get_xlabel()
        'share of clusters in the heterogeneity (rho)'
        """
        return pictures.plot(self, kind, ax, **options)

    def cross_check(self, model: int | None = None, draws: int = 4000, seed: int = 1) -> pd.DataFrame:
        """Sample one model with Stan, and compare its evidence and the means of its parameters.

        The program has the effects of clusters as parameters and integrates nothing; its evidence comes from bridge
        sampling. Models whose clusters are selected jointly or by their best estimate are refused.

        Parameters
        ----------
        model
            Position in `models`; None: the most probable one.
        draws, seed
            Of the engine stanli.

        Returns
        -------
        DataFrame
            log_evidence and each parameter: value, error, stan, stan_error (Monte Carlo standard error).

        Raises
        ------
        MissingPackageError
            Stanli is not installed.
        """
        from mixedfx.meta.averaging.stan_check import cross_check

        return cross_check(self, model, draws, seed)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back without a single evidence computed anew.

        The file is a zip archive of arrays (data, and the integral of each model) and JSON (arguments, priors,
        evidences); it holds no code. It appears whole or not at all. Every answer of the fit that is read is that of
        this one, sensitivity and draws included.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            Functions in `env`, columns of mixed types.
        DataError
            A file that cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import mixedfx as mx
        >>> fit = mx.bma(mx.datasets.load("school_calendars"), cluster="district", measure="SMD")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "average.mfx"))
        >>> again.estimates.equals(fit.estimates)
        True
        """
        return storage.save(self, path)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return page.page(self)

    def __repr__(self) -> str:
        mean = self.estimates.loc["mu", "mean"]
        return f"<RobmaFit: {len(self.members)} models of {self.k} estimates, mu {mean:.3f}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
