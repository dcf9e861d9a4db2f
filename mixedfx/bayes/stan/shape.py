"""The shape of a model: everything the text of its Stan program depends on, and nothing else.

Two data sets of the same shape share one program text, and so one compilation. Sizes, numbers and names are data: a
shape says which parts there are (an intercept, predictors, random terms and their structure), which family and link,
and of which *kind* the priors are, never with which scales.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.families.binary import bernoulli
from mixedfx.families.family import Family, Outcome
from mixedfx.priors.joint import Decov, Share
from mixedfx.priors.resolve import ResolvedPriors, TermPrior
from mixedfx.results.tables import term_names

SHORT = {"student_t": "t"}
"""Kinds that have shorter names in the names of data."""

Centred = bool | Collection[str]

ZEROS = "_zi"
"""What the names of the variables of the model of the zeros end with; those of its random terms have a number after."""


@dataclass(frozen=True)
class TermShape:
    """Structure of one random term.

    Attributes
    ----------
    several
        Whether a level has several effects.
    constant
        Whether the one effect of a level is an intercept, without a covariate.
    manner
        How the effects of a level are correlated, in a word.
    correlations
        The chunk that has their correlations; empty where they are independent.
    centred
        Whether the effects themselves are parameters, instead of standard normal ones that are scaled.
    sd
        Sorted kinds of the priors of the standard deviations; ``("decov",)`` for a decov prior.
    shared
        Whether all effects of a level have one standard deviation.
    related
        Whether the levels have known correlations.
    at_means
        Whether covariates are centred, so that the priors hold at their means. The first covariate is the constant.
    """

    several: bool
    constant: bool
    manner: str
    correlations: str
    centred: bool
    sd: tuple[str, ...]
    at_means: bool = False
    shared: bool = False
    related: bool = False

    @property
    def correlated(self) -> bool:
        """Whether the effects of a level are correlated."""
        return bool(self.correlations)


@dataclass(frozen=True)
class ModelShape:
    """What the text of a program depends on; equal shapes have equal texts.

    Attributes
    ----------
    family, link
        Names.
    outcome
        What kind of response the family takes.
    intercept
        Whether there is an intercept.
    predictors
        Whether there are predictors besides it.
    offset, weights, known_sd
        Whether the rows have offsets, precision weights, known standard deviations.
    terms
        The random terms.
    alpha
        Kind of the prior of the intercept, or of the thresholds; None where there is neither.
    beta
        Sorted kinds of the priors of the coefficients.
    auxiliary
        (name, kind of prior) of each auxiliary parameter that is estimated.
    sparse
        Name of the prior over many quantities together, if there is one.
    threads
        Whether the likelihood is summed in parallel slices.
    log_lik, y_rep
        Whether the pointwise log likelihood and replicated responses are generated.
    zero
        The shape of the model of the zeros of counts, a linear predictor of its own; None of other models.
    """

    family: str
    link: str
    outcome: Outcome
    intercept: bool
    predictors: bool
    offset: bool
    weights: bool
    known_sd: bool
    terms: tuple[TermShape, ...]
    alpha: str | None
    beta: tuple[str, ...]
    auxiliary: tuple[tuple[str, str], ...]
    sparse: str | None = None
    threads: bool = False
    log_lik: bool = False
    y_rep: bool = False
    zero: ModelShape | None = None

    @property
    def ordered(self) -> bool:
        """Whether thresholds take the place of the intercept."""
        return self.outcome == "ordered"

    @property
    def nominal(self) -> bool:
        """Whether each category but the first has a linear predictor."""
        return self.outcome == "nominal"

    @property
    def trials(self) -> bool:
        """Whether each row has a number of trials."""
        return self.outcome == "trials"

    @property
    def centring(self) -> bool:
        """Whether predictors are centred, there being an intercept or thresholds to take up their means."""
        return self.predictors and (self.intercept or self.ordered)

    @property
    def sigma(self) -> bool:
        """Whether sigma is estimated."""
        return any(name == "sigma" for name, _ in self.auxiliary)

    @property
    def parts(self) -> tuple[tuple[ModelShape, str], ...]:
        """The shape of each linear predictor, and what the names of its variables end with."""
        return ((self, ""),) if self.zero is None else ((self, ""), (self.zero, ZEROS))


def model_shape(
    design: Design,
    family: Family,
    resolved: ResolvedPriors,
    *,
    centred: Centred = False,
    threads: int = 1,
    log_lik: bool = False,
    y_rep: bool = False,
) -> ModelShape:
    """Shape of a model.

    Parameters
    ----------
    design, family, resolved
        The model and its priors.
    centred
        True, or names of random terms (``"school"``): their effects are parameters themselves. That samples better
        where every level has many rows; the default samples better where levels have few.
    threads
        Threads for each chain; the likelihood is summed in slices where there are several.
    log_lik, y_rep
        Whether to generate the pointwise log likelihood, and replicated responses.

    Raises
    ------
    OptionError
        For a name in `centred` that is no random term.
    """
    names = term_names(design.random)
    chosen = _chosen(centred, design)
    coefficients = dict(zip(design.fixed_names, resolved.coefficients, strict=True))
    intercept = coefficients.pop("Intercept", None)
    alpha = resolved.threshold if resolved.threshold is not None else intercept
    sparse = None if resolved.sparse is None else resolved.sparse.name
    shares = [*resolved.coefficients, *(sd for t in resolved.terms if not isinstance(t.sd, Decov) for sd in t.sd)]
    return ModelShape(
        family=family.name,
        link=family.link.name,
        outcome=family.outcome,
        intercept=intercept is not None,
        predictors=bool(coefficients),
        offset=bool(design.offset.any()),
        weights=design.weights is not None,
        known_sd=design.known_sd is not None,
        terms=tuple(
            TermShape(
                several=term.n_columns > 1,
                constant=term.columns == ("Intercept",),
                manner=term.covariance.manner,
                correlations=term.covariance.stan if term.covariance.n_correlations else "",
                centred=bool({name, term.label} & chosen),
                sd=_sd_kinds(prior),
                at_means=prior.at_means,
                shared=term.covariance.n_sds < term.n_columns,
                related=term.relation is not None,
            )
            for name, term, prior in zip(names, design.random, resolved.terms, strict=True)
        ),
        alpha=None if alpha is None else alpha.stan,
        beta=tuple(sorted({prior.stan for prior in coefficients.values()})),
        auxiliary=tuple((name, prior.stan) for name, prior in resolved.auxiliary.items()),
        sparse=sparse if any(isinstance(prior, Share) for prior in shares) else None,
        threads=threads > 1,
        log_lik=log_lik,
        y_rep=y_rep,
        zero=None
        if design.zero is None or resolved.zero is None
        else model_shape(design.zero, bernoulli(), resolved.zero, centred=chosen & _chosen(True, design.zero)),
    )


def _chosen(centred: Centred, design: Design) -> set[str]:
    """Names and labels of the random terms whose effects are parameters themselves."""
    every = [
        (name, term.label)
        for one in design.of_predictors(1)
        for name, term in zip(term_names(one.random), one.random, strict=True)
    ]
    labels = {text for pair in every for text in pair}
    chosen = labels if centred is True else set(() if centred is False else _names(centred))
    if chosen - labels:
        names = list(dict.fromkeys(name for name, _ in every))
        raise OptionError(
            f"centred= names {sorted(chosen - labels)[0]!r}, which is no random term",
            hint=f"There {'is' if len(names) == 1 else 'are'} {', '.join(map(repr, names)) or 'none'}.",
        )
    return chosen


def term_number(p: str, number: int) -> str:
    """What the names of the variables of a random term end with, in the linear predictor whose names end with `p`."""
    return f"{p}_{number}".removeprefix("_")


def _names(centred: Collection[str]) -> Collection[str]:
    return (centred,) if isinstance(centred, str) else centred


def _sd_kinds(prior: TermPrior) -> tuple[str, ...]:
    if isinstance(prior.sd, Decov):
        return ("decov",)
    return tuple(sorted({sd.stan for sd in prior.sd}))
