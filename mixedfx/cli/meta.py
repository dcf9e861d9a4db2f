"""Meta-analyses as the command line words them: effect sizes, the fit, its robust tests, and what is written of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.cli.files import rows_as_json
from mixedfx.design.frame import column
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import DataError, ModelError, OptionError, check_level, check_option, some_rows
from mixedfx.formula.parse import parse_formula
from mixedfx.meta.effect_sizes.escalc import check_columns
from mixedfx.meta.effect_sizes.layouts import LAYOUTS
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.meta.univariate.heterogeneity import find_estimator
from mixedfx.meta.univariate.rma import TESTS

if TYPE_CHECKING:
    from mixedfx.inference.robust_report import Robust
    from mixedfx.meta.univariate.rma_fit import RmaFit
    from mixedfx.results.render import SummaryContent

LIKELIHOODS = ("REML", "ML")


@dataclass(frozen=True)
class Analysis:
    """What is asked of the estimates of a file.

    Attributes
    ----------
    formula
        With random terms the model is that of `mixedfx.rma_mv`, without that of `mixedfx.rma`.
    vi, sei
        Column of sampling variances, or of standard errors; the column ``vi`` where both are None.
    method, test, level
        As in `mixedfx.rma`.
    measure, columns
        Effect size that is computed first, and the columns it is computed from; None, {} where the data have effects.
    cluster
        Column of the clusters of robust tests; None for none.
    slab, group
        Columns of the labels and groups of the forest plot.
    transf
        Name of the function that leads means, and the forest plot, to another scale.
    """

    formula: str
    vi: str | None = None
    sei: str | None = None
    method: str = "REML"
    test: str = "z"
    level: float = 0.95
    measure: str | None = None
    columns: dict[str, str] | None = None
    cluster: str | None = None
    slab: str | None = None
    group: str | None = None
    transf: str | None = None

    def __post_init__(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises
        ------
        FormulaError, ModelError, OptionError
            A formula that cannot be read; options that do not exist, contradict each other or lack another.
        """
        check_level(self.level)
        find_estimator(self.method)
        check_option("--test", self.test, TESTS)
        find_back(self.transf)
        if self.multilevel:
            for option, value, known in (("--method", self.method, LIKELIHOODS), ("--test", self.test, ("z", "t"))):
                if value not in known:
                    raise ModelError(
                        f"{option} {value} is for independent estimates, and the formula has random terms",
                        hint=f"Use one of {', '.join(known)}.",
                    )
        if self.vi is not None and self.sei is not None:
            raise OptionError("both --vi and --sei are given", hint="Give one of them.")
        if self.measure is None:
            if self.columns:
                raise OptionError("--columns goes with --measure", hint="Say what is computed: --measure RR.")
            return
        if self.vi is not None or self.sei is not None:
            raise OptionError(
                "--measure computes the sampling variances, and --vi or --sei is given", hint="Leave one out."
            )
        entry = find_measure(self.measure)
        check_columns(entry, LAYOUTS[entry.layout], dict(self.columns or {}))

    @property
    def multilevel(self) -> bool:
        """Whether the formula has random terms."""
        return bool(parse_formula(self.formula).random)

    def check(self, data: pd.DataFrame) -> None:
        """Refuse columns that the data do not have, before anything is fitted.

        Raises
        ------
        DataError
            Names the column and those it may have been meant for.
        """
        named = (self.vi, self.sei, self.cluster, self.slab, self.group, *(self.columns or {}).values())
        for name in dict.fromkeys(named):
            if name is not None and name not in data.columns:
                raise DataError(
                    f"the data have no column {name!r}", hint=did_you_mean(name, data.columns, all_of="Columns")
                )

    def fit(self, data: pd.DataFrame) -> RmaFit | RmaMvFit:
        """The effects, if they are to be computed, and the fit to them."""
        if self.measure is not None:
            given: Any = self.columns or {}
            data = mx.escalc(self.measure, data, **given)
        options: Any = {"method": self.method, "test": self.test, "level": self.level}
        if not self.multilevel:
            return mx.rma(
                self.formula, data, vi=self.vi, sei=self.sei, slab=self.slab, measure=self.measure, **options
            )  # fmt: skip
        vi: Any = self.vi if self.sei is None else _squares(self.sei, data)
        return mx.rma_mv(self.formula, data, vi=vi, **options)


def _squares(name: str, data: pd.DataFrame) -> Any:
    """Sampling variances from a column of standard errors."""
    errors = column(data, name).to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isnan(errors) & ~((errors > 0) & np.isfinite(errors)))
    if len(bad):
        raise DataError(
            f"{name} is a standard error, and not positive or infinite in {some_rows(bad)} (counted from 0)",
            hint="Correct these rows or leave them out.",
        )
    return errors**2


def read_columns(option: str | None) -> dict[str, str]:
    """Columns of a measure from the value of ``--columns``.

    Examples
    --------
    >>> from mixedfx.cli.meta import read_columns
    >>> read_columns("ai=tpos, n1i=treated")
    {'ai': 'tpos', 'n1i': 'treated'}
    """
    found: dict[str, str] = {}
    for part in (option or "").split(",") if option is not None else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise OptionError(
                f"--columns {option!r} cannot be read", hint="Write --columns ai=tpos,bi=tneg,ci=cpos,di=cneg."
            )
        if name in found:
            raise OptionError(f"--columns names {name}= twice")
        found[name] = value
    return found


@dataclass(frozen=True)
class Findings:
    """A fit and what is said of it.

    Attributes
    ----------
    analysis, fit
        What was asked, and the fit.
    robust
        Its robust tests, where clusters were named.
    """

    analysis: Analysis
    fit: RmaFit | RmaMvFit
    robust: Robust | None

    def pages(self) -> Iterator[SummaryContent]:
        """What is printed."""
        yield self.fit.summary()
        if self.robust is not None:
            yield self.robust.content()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Intervals of heterogeneity, mean and prediction interval (of fits without moderators), shares of levels."""
        found: dict[str, pd.DataFrame] = {}
        if isinstance(self.fit, RmaMvFit):
            found["components"] = self.fit.confint("components")
            if not any("[" in term for term in found["components"]["term"]):
                found["i2"] = self.fit.i2()
        elif self.fit.estimator.heterogeneous:
            found["heterogeneity"] = self.fit.confint("heterogeneity")
        if self.fit.names == ("Intercept",):
            found["mean"] = self.fit.predict(transf=self.analysis.transf)
        return found

    def as_json(self, data: str) -> dict[str, Any]:
        """Content of ``--json``."""
        robust = self.robust
        return {
            "mixedfx": mx.__version__,
            "formula": self.fit.formula,
            "data": data,
            "rows": rows_as_json(self.fit.design.rows),
            "measure": self.analysis.measure,
            "method": self.fit.method,
            "test": self.fit.test,
            "level": self.fit.level,
            "transf": self.analysis.transf,
            "glance": self.fit.glance(),
            "fixed": self.fit.tidy(),
            **self.tables(),
            "robust": None if robust is None else {"kind": robust.covariance.kind, "cluster": robust.covariance.cluster,
                                                   "clusters": robust.covariance.n_clusters, "fixed": robust.tidy()},
        }  # fmt: skip

    def forest(self, suffix: str) -> bytes:
        """The forest plot in the format of a file name."""
        options: dict[str, Any] = {"transf": self.analysis.transf, "group": self.analysis.group}
        if isinstance(self.fit, RmaMvFit):
            options["slab"] = self.analysis.slab
        return self.fit.plot("forest", **options).render(suffix.lower().lstrip("."))

    def funnel(self, suffix: str) -> bytes:
        """The funnel plot in the format of a file name."""
        return self.fit.plot("funnel").render(suffix.lower().lstrip("."))


def analyse(analysis: Analysis, data: pd.DataFrame) -> Findings:
    """Fit what was asked for."""
    fit = analysis.fit(data)
    return Findings(analysis, fit, None if analysis.cluster is None else fit.robust(analysis.cluster))


TITLES: dict[str, str] = {
    "components": "Intervals of variances and correlations (profile likelihood)",
    "heterogeneity": "Intervals of the heterogeneity",
    "i2": "Shares of the levels in the variance of a typical estimate, per cent",
    "mean": "Mean effect, and the true effect of a new study (pred)",
}
