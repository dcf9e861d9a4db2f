"""SubgroupState: models of reported subgroup effects with their evidence, effects under each and under all, scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.comparisons import Comparison
from mixedfx.effects.reported import reported_effects
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.result import Effects
from mixedfx.effects.subgroups import ByLike
from mixedfx.effects.treatment import Treatment
from mixedfx.errors import DataError, MixedfxWarning, OptionError, check_option, some_rows
from mixedfx.meta.reading import numbers
from mixedfx.meta.subgroups.models import AVERAGED, MODELS, Cells, SubgroupPriors
from mixedfx.meta.subgroups.posterior import Averaged, ModelPosterior, fit_model
from mixedfx.meta.subgroups.reading import Reported
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]

UNCERTAINTY = "Intervals hold the uncertainty of effects, scales and models; reported standard errors count as known."


@dataclass(frozen=True, repr=False, eq=False)
class SubgroupState(Shown):
    """Models of reported subgroup effects, and their average.

    Attributes
    ----------
    reported
        The estimates.
    cells
        The subgroups as models code them.
    posteriors
        One for each model.
    prior_weights
        Prior probabilities of the models.
    priors
        Of parameters, in the units of the estimates.
    unit
        What priors were stated in.
    treated, comparison, response
        What was compared, how, and on which outcome.
    level
        Probability the intervals hold.
    notes, concerns
        What a reader must know, and what was warned about.
    seed
        Of draws.
    call
        The call that made this, for readers.
    """

    reported: Reported
    cells: Cells
    posteriors: tuple[ModelPosterior, ...]
    prior_weights: Array
    priors: SubgroupPriors
    unit: float
    treated: Treatment
    comparison: Comparison
    response: str
    level: float
    notes: tuple[str, ...] = ()
    concerns: tuple[tuple[type[MixedfxWarning], str], ...] = ()
    seed: int | None = None
    call: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models."""
        return tuple(one.model.name for one in self.posteriors)

    @cached_property
    def weights(self) -> Array:
        """Posterior probabilities of the models."""
        logs = np.array([one.nodes.log_integral for one in self.posteriors]) + np.log(self.prior_weights)
        weights = np.exp(logs - logs.max())
        return weights / weights.sum()

    @cached_property
    def averaged(self) -> Averaged:
        """All models, each with its posterior probability."""
        return Averaged(self.posteriors, self.weights)

    @property
    def models(self) -> pd.DataFrame:
        """Evidence of the models.

        Returns
        -------
        DataFrame
            One row for each model: model, description, scales (their number), log_evidence, error (of it: its change in
            the last refinement of the rule of integration), prior and posterior probability, inclusion_bf (posterior
            odds over prior odds; missing where it is the only model).
        """
        prior, posterior = self.prior_weights, self.weights
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = posterior / (1 - posterior) / (prior / (1 - prior))
        return pd.DataFrame(
            {
                "model": self.names,
                "description": [MODELS[name].title for name in self.names],
                "scales": [len(one.model.scales) for one in self.posteriors],
                "log_evidence": [one.nodes.log_integral for one in self.posteriors],
                "error": [one.nodes.error for one in self.posteriors],
                "prior": prior,
                "posterior": posterior,
                "inclusion_bf": odds if len(prior) > 1 else np.nan,
            }
        )

    @property
    def table(self) -> pd.DataFrame:
        """Effects of the reported subgroups under each model and averaged.

        Returns
        -------
        DataFrame
            model; the covariates; reported, reported_se; estimate, sd, lower, upper, null, prob_above_null.
        """
        parts = []
        known = self.reported.frame.assign(reported=self.reported.y, reported_se=np.sqrt(np.diag(self.reported.V)))
        for name in (*self.names, AVERAGED):
            found = self.effects(None if name == AVERAGED else name).table
            numbers = found[["estimate", "sd", "lower", "upper", "null", "prob_above_null"]]
            parts.append(pd.concat([known, numbers], axis=1))
            parts[-1].insert(0, "model", name)
        return pd.concat(parts, ignore_index=True)

    @property
    def scales(self) -> pd.DataFrame:
        """Standard deviations of what a model shrinks.

        Returns
        -------
        DataFrame
            One row for each scale of each model: model, scale (``"subgroups"``: of effects around what they have in
            common; ``"order k"``: of coefficients, which are differences of levels, differences of differences, ...),
            prior, mean, sd, median, lower, upper. Without rows where no model has any.
        """
        rows = []
        tail = 0.5 - self.level / 2
        for one in self.posteriors:
            for k, name in enumerate(one.model.scales):
                x, w = one.nodes.scales[:, k], one.nodes.weights
                mean = float(w @ x)
                lower, median, upper = one.nodes.quantiles(k, np.array([tail, 0.5, 1 - tail]))
                sd = float(np.sqrt(w @ (x - mean) ** 2))
                rows.append((one.model.name, name, str(one.model.scale_priors[k]), mean, sd, median, lower, upper))
        columns = ["model", "scale", "prior", "mean", "sd", "median", "lower", "upper"]
        return pd.DataFrame(rows, columns=columns)

    def sensitivity(
        self, factors: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0), progress: Asked = None
    ) -> pd.DataFrame:
        """The comparison of models under wider and narrower priors.

        Parameters
        ----------
        factors
            What all standard deviations and scales of the priors are multiplied with.
        progress
            As everywhere, see `mixedfx.progress`.

        Returns
        -------
        DataFrame
            One row for each factor and model: factor, unit (the factor times that of the analysis), model,
            log_evidence, posterior, inclusion_bf.

        Raises
        ------
        OptionError
            Factors that are not positive.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> forest = pd.DataFrame({"age": ["<65", "65+"], "yi": [0.42, 0.05], "sei": [0.12, 0.16]})
        >>> wide = mx.subgroup_effects(forest, "age", models=["homogeneous", "shrinkage"]).sensitivity((1, 10))
        >>> wide[["factor", "model", "posterior"]].round(3)
           factor        model  posterior
        0     1.0  homogeneous      0.430
        1     1.0    shrinkage      0.570
        2    10.0  homogeneous      0.714
        3    10.0    shrinkage      0.286
        """
        values = np.asarray(factors, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not ((values > 0) & np.isfinite(values)).all():
            raise OptionError(f"factors={factors!r} are not positive numbers", hint="Write factors=(0.5, 1, 2).")
        tables = []
        with Progress(progress, "models under other priors", len(values), "priors") as report:
            for factor in report.over(values):
                priors = self.priors.scaled(float(factor))
                models = [MODELS[name].build(self.cells, priors) for name in self.names]
                found = tuple(fit_model(one, self.reported.y, self.reported.V) for one in models)
                table = replace(self, posteriors=found, priors=priors).models
                tables.append(table[["model", "log_evidence", "posterior", "inclusion_bf"]])
                tables[-1].insert(0, "unit", factor * self.unit)
                tables[-1].insert(0, "factor", factor)
        return pd.concat(tables, ignore_index=True)

    def effects(
        self,
        model: str | None = None,
        by: ByLike | None = None,
        subgroups: Mapping[str, str] | None = None,
        weights: Any = None,
        level: float | None = None,
        seed: int | None = None,
    ) -> Effects:
        """Effects of subgroups, with their joint distribution.

        Parameters
        ----------
        model
            One of `names`; None for all of them, each with its posterior probability.
        by, subgroups
            Unions of the reported subgroups, as in `mixedfx.effects`: ``"sex"`` averages over all others. Neither: the
            reported ones.
        weights
            People that each reported subgroup stands for in an average: a column of the data or values, such as those
            of a census. None: those of ``n=``, or one each.
        level
            Probability the intervals hold; that of the analysis where None.
        seed
            Of draws.

        Returns
        -------
        Effects
            As of a fit: `contrast`, `prob`, `rope`, `rank`, `interaction_excess`, `heterogeneity`, `shrinkage` (against
            the reported estimates), `decide`, `plot`, `draws`. A difference that a model has at zero is exactly zero
            there: ``prob(greater=0)`` and ``prob(less=0)`` then do not add up to one.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> forest = pd.DataFrame({"sex": ["f", "f", "m", "m"], "age": ["<65", "65+", "<65", "65+"],
        ...                        "yi": [0.42, 0.35, 0.18, 0.05], "sei": [0.12, 0.15, 0.13, 0.16]})
        >>> analysis = mx.subgroup_effects(forest, by=["sex", "age"])
        >>> analysis.effects(by="sex").contrast("f", "m").table[["sex", "against", "estimate"]].round(3)
          sex against  estimate
        0   f   sex=m     0.123
        """
        if model is not None:
            check_option("model", model, self.names)
        reported = self.reported
        count = np.ones(len(reported.y)) if reported.n is None else reported.n
        weight = count if weights is None else self._weights(weights)
        notes = (*self.notes, *self._point_masses(model))
        if reported.n is None and weights is None and (by is not None or subgroups is not None):
            notes = (*notes, "No numbers of people are known: each reported subgroup counts once in an average.")
        return reported_effects(
            self._fit(model),
            self.treated,
            self.comparison,
            people=count,
            weight=weight,
            by=by,
            subgroups=subgroups,
            level=self.level if level is None else level,
            seed=self.seed if seed is None else seed,
            notes=notes,
        )

    def _point_masses(self, model: str | None) -> tuple[str, ...]:
        """A note on differences that may be exactly zero."""
        if "homogeneous" not in self.names or model not in (None, "homogeneous"):
            return ()
        share = 1.0 if model else self.weights[self.names.index("homogeneous")]
        return (
            f"No subgroup effect (homogeneous) has the posterior probability {share:.3g}: differences of subgroups are "
            "exactly zero with it, which probabilities above or below zero leave out.",
        )

    def _weights(self, weights: Any) -> Array:
        found = numbers(weights, self.reported.source, self.reported.index, "weights")
        bad = np.flatnonzero(~((found > 0) & np.isfinite(found)))
        if len(bad):
            raise DataError(f"weights are missing, infinite or not positive in {some_rows(bad)} (counted from 0)")
        return found

    def _fit(self, model: str | None) -> ReportedFit:
        reported, columns = self.reported, ", ".join(map(str, self.reported.frame.columns))
        if model is None:
            known = self.averaged
            text = f"average of {len(self.names)} models of {len(reported.y)} estimates by {columns}"
        else:
            known = Averaged((self.posteriors[self.names.index(model)],), np.ones(1))
            text = f"{MODELS[model].title} of {len(reported.y)} estimates by {columns}"
        return ReportedFit(
            frame=reported.frame,
            response=self.response,
            estimates=reported.y,
            covariance=reported.V,
            linear=known.linear,
            model=text,
            uncertainty=UNCERTAINTY,
            account=self,
            code=self.call,
            asked=() if model is None else (f"model={model!r}",),
            counted=reported.n is not None,
            concerns=self.concerns,
        )

    def draws(self, n: int = 4000, seed: int | None = None) -> pd.DataFrame:
        """Joint draws (n, G) of the effects of the reported subgroups, averaged over the models."""
        values = self.effects(seed=seed).draws(n)
        return pd.DataFrame(values, columns=pd.Index(self.reported.labels))

    def content(self) -> SummaryContent:
        """Models, effects and what a reader must know."""
        models = self.models.drop(columns=["scales", "error"])
        found = self.table.drop(columns="null")
        own = (found.pop("model") == AVERAGED).to_numpy()
        shown = pd.DataFrame({str(name): found[name].to_numpy()[own] for name in found.columns})
        shown = shown.set_axis([*shown.columns[:-1], f"P(> {self.comparison.null:g})"], axis=1)
        tables = [
            frame_table(models, "Models", whole=".models"),
            frame_table(shown, f"Averaged effects, {100 * self.level:g}% intervals"),
        ]
        if len(self.scales):
            tables.append(frame_table(self.scales, "Standard deviations of what is shrunk", whole=".scales"))
        priors = self.priors
        items = [
            ("Priors", f"overall effect {priors.overall}; each stratum {priors.stratum}; coefficients {priors.coef}; "
             f"scales {priors.sd}" + "".join(f", order {k} {prior}" for k, prior in priors.orders.items())),
            ("Unit", f"{self.unit:.4g}"),
            ("Uncertainty", UNCERTAINTY),
            *(("Note", note) for note in self.notes),
            *(("Warning", text) for _, text in self.concerns),
        ]  # fmt: skip
        title = f"Subgroup effects of {self.treated.column} on {self.response}: {len(self.names)} models"
        return SummaryContent(title, (*tables, SummaryFacts(tuple(items))))
