"""Averaged meta-analyses as the command line words them: what is asked, the fit, and what is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

import mixedfx as mx
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import DataError, ModelError, OptionError, check_level, check_option
from mixedfx.formula.parse import parse_formula
from mixedfx.meta.averaging.page import MECHANISM
from mixedfx.meta.averaging.read import SETS
from mixedfx.meta.effect_sizes.escalc import check_columns
from mixedfx.meta.effect_sizes.layouts import LAYOUTS
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.priors.ensembles import BIAS_SETS, UNIT_SD

if TYPE_CHECKING:
    from mixedfx.meta.averaging.fit import RobmaFit
    from mixedfx.priors.ensembles import Ensemble

DIRECTIONS = ("positive", "negative", "detect")
PLOTS = ("forest", "funnel", "weights", "models")


@dataclass(frozen=True)
class Averaging:
    """What is asked of the estimates of a file.

    Attributes
    ----------
    formula
        ``yi ~ 1``, or with moderators.
    vi, sei
        Column of sampling variances, or of standard errors; the column ``vi`` where both are None.
    measure, columns
        What the estimates are; with columns, the effect size that is computed from them first.
    cluster, test_clusters
        Column of clusters, and whether models without clustering are averaged over as well.
    priors, bias, mechanism, direction
        As in `mixedfx.robma`.
    ni, slab
        Columns of sample sizes and labels.
    transf
        Name of the function that leads the forest plot to another scale.
    level, seed
        As in `mixedfx.robma`.
    """

    formula: str
    vi: str | None = None
    sei: str | None = None
    measure: str | None = None
    columns: dict[str, str] | None = None
    cluster: str | None = None
    test_clusters: bool = False
    priors: str = "robma3"
    bias: str = "PSMA"
    mechanism: str = "conditional"
    direction: str | None = None
    ni: str | None = None
    slab: str | None = None
    transf: str | None = None
    level: float = 0.95
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises
        ------
        FormulaError, ModelError, OptionError
            A formula that cannot be read or has random terms; options that do not exist, contradict each other or lack
            another.
        """
        check_level(self.level)
        check_option("--priors", self.priors, SETS)
        check_option("--bias", self.bias, BIAS_SETS)
        check_option("--mechanism", self.mechanism, tuple(MECHANISM))
        if self.direction is not None:
            check_option("--direction", self.direction, DIRECTIONS)
        find_back(self.transf)
        if parse_formula(self.formula).random:
            raise ModelError(
                "the formula has random terms: averaged models have them already",
                hint="Name what estimates share: --cluster COLUMN.",
            )
        if self.test_clusters and self.cluster is None:
            raise OptionError("--test-clusters goes with --cluster", hint="Name the column of the clusters.")
        if self.vi is not None and self.sei is not None:
            raise OptionError("both --vi and --sei are given", hint="Give one of them.")
        if self.priors == "robma4" and self.measure not in UNIT_SD:
            raise OptionError(
                "--priors robma4 needs to know what the estimates are", hint=f"--measure {', '.join(UNIT_SD)}."
            )
        if not self.columns:
            return
        if self.measure is None:
            raise OptionError("--columns goes with --measure", hint="Say what is computed: --measure SMD.")
        if self.vi is not None or self.sei is not None:
            raise OptionError(
                "--columns computes the sampling variances, and --vi or --sei is given", hint="Leave one out."
            )
        entry = find_measure(self.measure)
        check_columns(entry, LAYOUTS[entry.layout], dict(self.columns))

    def check(self, data: pd.DataFrame) -> None:
        """Refuse columns that the data do not have, before anything is fitted.

        Raises
        ------
        DataError
            Names the column and those it may have been meant for.
        """
        named = (self.vi, self.sei, self.cluster, self.ni, self.slab, *(self.columns or {}).values())
        for name in dict.fromkeys(named):
            if name is not None and name not in data.columns:
                raise DataError(
                    f"the data have no column {name!r}", hint=did_you_mean(name, data.columns, all_of="Columns")
                )

    def ensemble(self) -> Ensemble:
        """Priors of the models."""
        p = mx.priors
        shared: Any = {"hierarchical": [p.spike(0), p.beta(1, 1)]} if self.test_clusters else {}
        return p.robma3(**shared) if self.priors == "robma3" else p.robma4(self.measure, **shared)

    def fit(self, data: pd.DataFrame) -> RobmaFit:
        """The effects, if they are to be computed, and the models fitted to them."""
        if self.columns:
            given: Any = self.columns
            data = mx.escalc(str(self.measure), data, **given)
        options: Any = {"mechanism": self.mechanism, "direction": self.direction}
        return mx.robma(
            data, vi=self.vi, sei=self.sei, cluster=self.cluster, measure=self.measure, formula=self.formula,
            priors=self.ensemble(), bias=self.bias, ni=self.ni, slab=self.slab, level=self.level, seed=self.seed,
            progress=False, **options,
        )  # fmt: skip

    def pictures(self, fit: RobmaFit, asked: dict[str, str]) -> dict[str, bytes]:
        """Pictures by kind, each in the format of the ending of its file."""
        words: dict[str, dict[str, Any]] = {"forest": {"transf": self.transf}}
        if self.cluster is not None:
            words["forest"]["cluster"] = self.cluster
        return {
            kind: fit.plot(kind, **words.get(kind, {})).render(suffix.lower().lstrip("."))
            for kind, suffix in asked.items()
        }

    def as_json(self, fit: RobmaFit, data: str) -> dict[str, Any]:
        """Content of ``--json``."""
        found = {
            "mixedfx": mx.__version__,
            "formula": self.formula,
            "data": data,
            "measure": fit.measure,
            "fitted_as_fisher_z": fit.given.fisher,
            "priors": fit.ensemble.name,
            "bias": self.bias,
            "mechanism": fit.mechanism,
            "direction": "positive" if fit.given.sign > 0 else "negative",
            "level": fit.level,
            "k": fit.k,
            "clusters": len(fit.given.cluster_labels) if fit.clustered else None,
            "components": fit.components.reset_index(),
            "estimates": fit.estimates.reset_index(),
            "conditional": fit.conditional.reset_index(),
            "prediction": fit.predict().reset_index(drop=True),
            "models": fit.models,
            "counts": fit.counts,
            "true_effects": fit.true_effects(),
        }
        return found | ({"cluster_effects": fit.cluster_effects()} if fit.clustered else {})
