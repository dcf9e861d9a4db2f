"""How much a correlated-and-hierarchical-effects analysis hangs on the correlation of errors that was assumed.

Estimates of one study share people, and the correlation rho of their sampling errors is rarely reported. Working models
with one rho for all (Pustejovsky & Tipton 2022, Prevention Science 23:425) are fitted for several values; robust
standard errors are valid for any of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import MixedfxWarning, OptionError, SingleClusterWarning
from mixedfx.meta.effect_sizes.vcalc import vcalc
from mixedfx.meta.multivariate.rma_mv import rma_mv
from mixedfx.meta.reading import kept
from mixedfx.plots.picture import Picture
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, eq=False, repr=False)
class RhoSensitivity(Shown):
    """Fits of one model for several correlations of sampling errors.

    Attributes
    ----------
    table
        rho, term, estimate, std_error, df, conf_low, conf_high (all robust), and each variance and correlation.
    cluster
        What has correlated errors.
    """

    table: pd.DataFrame
    cluster: str

    def content(self) -> SummaryContent:
        """The table."""
        facts = SummaryFacts((("Standard errors", f"CR2 by {self.cluster}, Satterthwaite's degrees of freedom"),))
        return SummaryContent("Sensitivity to the correlation of errors", (frame_table(self.table, "By rho"), facts))

    def plot(self, term: str | None = None) -> Picture:
        """Estimates with their intervals by rho.

        Parameters
        ----------
        term
            A coefficient; the first where None.
        """
        from mixedfx.plots.sensitivity import sensitivity

        terms = list(dict.fromkeys(self.table["term"]))
        chosen = terms[0] if term is None else term
        if chosen not in terms:
            raise OptionError(f"there is no coefficient {chosen!r}", hint=f"Coefficients: {', '.join(terms)}.")
        part: Any = self.table[self.table["term"] == chosen]
        what = "mean effect" if terms == ["Intercept"] else chosen
        return Picture(sensitivity(part, "rho", f"correlation of errors within {self.cluster}", what))


def rho_sensitivity(
    formula: str, data: Any, vi: Any = "vi", *, cluster: str, rhos: Sequence[float] = RHOS, **options: Any
) -> RhoSensitivity:
    """Fit a working model of correlated and hierarchical effects for several correlations of sampling errors.

    Parameters
    ----------
    formula
        As for `mixedfx.rma_mv`: ``"yi ~ 1 + (1 | study/esid)"``.
    data
        Any data frame.
    vi
        Sampling variances: a column or values.
    cluster
        Column whose levels have independent errors.
    rhos
        Correlations of the errors of one cluster.
    options
        Further arguments of `mixedfx.rma_mv`.

    Returns
    -------
    RhoSensitivity

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.1, 0.2, 0.5, 0.4, 0.3, 0.8, 0.6, 0.0, 0.2, 0.1, 0.4, 0.3], "vi": 0.04,
    ...                      "study": list("aabbcccdeeff"), "esid": range(12)})
    >>> found = mx.rho_sensitivity("yi ~ 1 + (1 | study/esid)", data, cluster="study", rhos=(0.2, 0.8))
    >>> found.table[["rho", "estimate", "std_error"]].round(3)
       rho  estimate  std_error
    0  0.2     0.297      0.086
    1  0.8     0.293      0.086
    """
    values = np.atleast_1d(np.asarray(rhos, dtype=np.float64))
    if not len(values):
        raise OptionError("rhos= is empty", hint=f"Use some of {RHOS}.")
    if "V" in options:
        raise OptionError("V= is what this makes, for each of rhos=", hint="Leave V= out.")
    frame = kept(data)  # read once, so that V and the estimates have their rows in the same order
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingleClusterWarning)  # said by the fit's own robust()
        for rho in values:
            V = vcalc(vi, frame, cluster=cluster, rho=float(rho))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MixedfxWarning)
                fit = rma_mv(formula, frame, V=V, **options)
                table = fit.robust(cluster).tidy()[["term", "estimate", "std_error", "df", "conf_low", "conf_high"]]
            table.insert(0, "rho", float(rho))
            for group, name, value in fit.components.itertuples(index=False):
                table[f"{name} {group}"] = value
            parts.append(table)
    return RhoSensitivity(pd.concat(parts, ignore_index=True), cluster)
