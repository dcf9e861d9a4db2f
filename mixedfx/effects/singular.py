"""Caveat of effects in single groups under a singular fit.

Where REML puts a correlation at one or a variance at zero, the estimated effect of the treatment in a group follows
from the estimated variances and the group's other effects, whatever its own rows say. Intervals that include theta's
uncertainty reach what the rows say; given theta-hat they are far too short, however few groups there are. With 20
groups and effects that do not differ, such intervals report several "significant" groups in most data sets (section on
multiple comparisons of the vignette on varying effects).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.effects.wording import listed
from mixedfx.errors import SingularEffectsWarning
from mixedfx.results.protocol import Fit, Uncertainty

# Share of a subgroup's weight on random effects that one level must hold for the subgroup to rest on that level.
MOSTLY = 0.5


def warn_singular(fit: Fit, functional: Functional, labels: Sequence[str], uncertainty: Uncertainty) -> None:
    """Warn of subgroups that rest on one level of a singular term.

    Parameters
    ----------
    fit
        Any fit; those without estimated variances have nothing to say here.
    functional
        One row for each subgroup.
    labels
        Names of the subgroups.
    uncertainty
        What their intervals include.
    """
    report = fit.singularity
    if report is None or not report.singular:
        return
    design: Any = fit.design
    random = sparse.csr_array(functional.random)
    concerned = np.zeros(len(labels), dtype=bool)
    found = []
    for direction in report.directions:
        start, stop = design.starts[direction.term], design.starts[direction.term + 1]
        k = len(direction.columns)
        loaded = np.flatnonzero(np.tile(direction.direction != 0, (stop - start) // k))
        weight = np.abs(random[:, start:stop][:, loaded].toarray()).reshape(len(labels), -1)
        total = weight.sum(axis=1)
        rests = (total > 0) & (weight.max(axis=1, initial=0.0) > MOSTLY * total)
        if rests.any():
            concerned |= rests
            found.append(direction.text)
    if not found:
        return
    which = listed([label for label, c in zip(labels, concerned, strict=True) if c])
    if uncertainty == "full":
        consequence = (
            f"Estimates for {which} follow from that more than from their own rows; their intervals include that "
            "variances and correlations may be others.\nmx.bayes averages the estimates over them too"
        )
    else:
        consequence = (
            f"Effects for {which} follow from these estimates, which their intervals take as known: they are too "
            'short, and too many subgroups seem to differ.\nuncertainty="full" and mx.bayes keep that uncertainty'
        )
    warnings.warn(
        f"the fit is singular: {'; '.join(found)}. {consequence}"
        f"{f'; among REML fits, try {report.to_try}' if report.to_try else ''}.",
        SingularEffectsWarning,
        stacklevel=4,
    )
