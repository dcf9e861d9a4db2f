"""What a user has to know before using draws: each concern in words, with what to do, and the class of its warning.

The words are those of the sampler's `Course`; here they become warnings, a page, and a verdict.
"""

from __future__ import annotations

import warnings

from mixedfx.bayes.concerns import Concern
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.results.render import SummaryContent, SummaryFacts


def concerns(posterior: Posterior) -> tuple[Concern, ...]:
    """What speaks against the draws, the class of its warning first; empty where all is well."""
    return posterior.sampling.concerns(bool(posterior.design.random))


def warn(posterior: Posterior, stacklevel: int = 3) -> None:
    """Issue each concern as a warning."""
    for kind, text in concerns(posterior):
        warnings.warn(text, kind, stacklevel)


def diagnostics(posterior: Posterior) -> SummaryContent:
    """How far the draws can be trusted, in plain words."""
    facts = posterior.sampling.facts(posterior.n_draws)
    if posterior.sampling.method != "prior":
        facts = [*facts, ("Verdict", verdict(posterior))]
    return SummaryContent("Diagnostics", (SummaryFacts(tuple(facts)),))


def verdict(posterior: Posterior) -> str:
    """All concerns in one text."""
    return " ".join(text for _, text in concerns(posterior)) or "nothing speaks against these draws"
