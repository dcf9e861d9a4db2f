"""Posteriors of one model given several completed data sets, as one: their draws put together.

A draw of what is not known of the data, and a draw of the parameters given it, is a draw of the parameters (Gelman et
al. 2013, Bayesian Data Analysis, section 18.2): as many draws from each of the m posteriors. Unlike Rubin's rules there
is no factor 1 + 1/m; with few data sets the spread between them is known as badly as m numbers tell a spread.

What needs one data set (log likelihoods, predictive checks, residuals) is asked of each fit; rows of the data, over
which effects are averaged, are those of the first, its numbers averaged over the data sets where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixedfx.bayes.concerns import Concern
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.errors import SamplingWarning
from mixedfx.surveys.common_design import common_design


@dataclass(frozen=True)
class StackedSampling:
    """How the draws of each data set were made.

    Attributes
    ----------
    sets
        What the data sets are called.
    what
        ``"plausible values"`` or ``"imputations"``.
    engine, method
        Who made the draws, and by which algorithm; of the first data set.
    independent
        Whether draws are.
    ess
        Smallest effective number of draws of the single posteriors, times their number.
    r_hat, k_hat
        The largest of all.
    divergences
        The sum.
    said
        What speaks against single posteriors.
    """

    sets: tuple[str, ...]
    what: str
    engine: str
    method: str
    independent: bool
    ess: float
    r_hat: float
    k_hat: float
    divergences: int
    said: tuple[str, ...] = ()
    log_evidence: None = None

    @property
    def label(self) -> str:
        """How they were made."""
        return f"{self.engine}, {len(self.sets)} {self.what}"

    def concerns(self, random: bool) -> tuple[Concern, ...]:
        """What speaks against single posteriors, each with its data set."""
        return tuple((SamplingWarning, text) for text in self.said)

    def facts(self, n_draws: int) -> list[tuple[str, str]]:
        """What was done."""
        per = n_draws // len(self.sets)
        return [
            ("Draws", f"{n_draws} of {len(self.sets)} posteriors put together, {per} of each"),
            ("Data sets", f"{self.what}: {', '.join(self.sets)}"),
        ]


def stacked(fits: Sequence[PosteriorFit], sets: tuple[str, ...], text: str, what: str) -> PosteriorFit:
    """Put the draws of posteriors of one model together; they have the same coefficients, groups and rows."""
    first = fits[0]
    design = common_design([fit.design for fit in fits])
    courses = [fit.sampling for fit in fits]
    said = tuple(f"{label}: {words}" for label, one in zip(sets, fits, strict=True) for _, words in one.concerns)
    course = StackedSampling(
        sets, what, courses[0].engine, courses[0].method, all(one.independent for one in courses),
        float(len(fits) * np.nanmin([one.ess for one in courses])) if not _unknown(courses, "ess") else np.nan,
        _largest(courses, "r_hat"), _largest(courses, "k_hat"), sum(one.divergences for one in courses), said,
    )  # fmt: skip
    joint = _together([fit.joint for fit in fits])
    return replace(
        first, design=design, joint=joint, sampling=course, chains=len(fits), collapsed=None, transitions=None
    )


def _unknown(courses: Sequence[object], name: str) -> bool:
    return all(np.isnan(getattr(one, name)) for one in courses)


def _largest(courses: Sequence[object], name: str) -> float:
    return np.nan if _unknown(courses, name) else float(np.nanmax([getattr(one, name) for one in courses]))


def _together(parts: Sequence[JointDraws]) -> JointDraws:
    """All draws, those of one data set after those of another."""
    predictors = tuple(
        Predictor(
            np.concatenate([one.beta for one in every]),
            np.concatenate([one.u for one in every]),
            tuple(np.concatenate(factor) for factor in zip(*(one.factors for one in every), strict=True)),
            every[0].category,
        )
        for every in zip(*(part.predictors for part in parts), strict=True)
    )
    auxiliary = {name: np.concatenate([part.auxiliary[name] for part in parts]) for name in parts[0].auxiliary}
    thresholds = None
    if parts[0].thresholds is not None:
        thresholds = np.concatenate([part.thresholds for part in parts if part.thresholds is not None])
    extra = {key: np.concatenate([part.extra[key] for part in parts]) for key in parts[0].extra}
    return JointDraws(predictors, auxiliary, thresholds, extra)
