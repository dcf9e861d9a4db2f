"""The distribution of the response in Stan's words: which function, with which arguments, and which GLM kernel.

A family has one function here and one line of `LIKELIHOODS`. A likelihood is stated once and serves the model block,
the slices of `reduce_sum`, the pointwise log likelihood and replicated responses. Arguments are written with
placeholders: ``{eta}`` is the linear predictor, ``{zeta}`` that of the zeros of counts, ``{mu}`` the mean, ``{scale}``
the residual standard deviation, ``{trials}`` the numbers of trials.

`*_glm` functions take the matrix of predictors and differentiate it by hand; everything else about the linear
predictor (offset, random effects) enters through their intercept, which may differ between rows. Two of them take no
such intercept, those of the ordered and the nominal family: they serve models without random terms and offsets.

Probit and complementary log-log probabilities go through their logarithms (functions of our own), as 1 - Phi(eta) has
no digits left where eta is large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mixedfx.bayes.stan.shape import ModelShape
from mixedfx.errors import ModelError

MEAN = {
    "identity": "{eta}",
    "log": "exp({eta})",
    "logit": "inv_logit({eta})",
    "probit": "Phi({eta})",
    "cloglog": "inv_cloglog({eta})",
    "cauchit": "0.5 + atan({eta}) / pi()",
    "inverse": "inv({eta})",
    "sqrt": "square({eta})",
}
"""Link -> mean as a function of the linear predictor."""


@dataclass(frozen=True)
class Likelihood:
    """How the response is distributed, in Stan.

    Attributes
    ----------
    name
        Distribution, without ``_lpdf`` or ``_lpmf``.
    arguments
        After the bar.
    response
        Declaration of y without its size: ``"vector"``, or an array of whole numbers with these bounds.
    rng
        Distribution and arguments to draw from; those of the density where None.
    glm
        Name of the GLM kernel, or None.
    glm_arguments
        Its arguments, with ``{X}``, ``{alpha}`` and ``{beta}`` besides.
    glm_alpha
        Whether the kernel takes an intercept for each row.
    function
        Chunk with the function that is not Stan's own.
    needs
        Chunk with functions that this one calls.
    """

    name: str
    arguments: str
    response: str
    rng: tuple[str, str] | None = None
    glm: str | None = None
    glm_arguments: str = "{X}, {alpha}, {beta}"
    glm_alpha: bool = True
    function: str | None = None
    needs: str | None = None

    @property
    def discrete(self) -> bool:
        """Whether y is an array of whole numbers."""
        return self.response.startswith("int")

    @property
    def density(self) -> str:
        """Suffix of the normalised log density."""
        return "lpmf" if self.discrete else "lpdf"

    @property
    def unnormalised(self) -> str:
        """Suffix of the log density without its constants."""
        return "lupmf" if self.discrete else "lupdf"


REAL, POSITIVE, UNIT = "vector", "vector<lower=0>", "vector<lower=0, upper=1>"
COUNT_FROM_ONE = "int<lower=1>"
COUNT, BINARY, CATEGORY = "int<lower=0>", "int<lower=0, upper=1>", "int<lower=1, upper=C>"

# The rate of a gamma distribution is shape / mean.
_RATE = {"log": "shape * exp(-{eta})", "inverse": "shape * {eta}", "identity": "shape * inv({eta})"}


def _gaussian(link: str, mean: str) -> Likelihood:
    glm = "normal_id_glm" if link == "identity" else None
    return Likelihood("normal", mean + ", {scale}", REAL, glm=glm, glm_arguments="{X}, {alpha}, {beta}, {scale}")


def _student(link: str, mean: str) -> Likelihood:
    return Likelihood("student_t", f"nu, {mean}, {{scale}}", REAL)


def _lognormal(link: str, mean: str) -> Likelihood:
    return Likelihood("lognormal", mean + ", {scale}", POSITIVE)


def _gamma(link: str, mean: str) -> Likelihood:
    return Likelihood("gamma", f"shape, {_RATE[link]}", POSITIVE)


def _beta(link: str, mean: str) -> Likelihood:
    return Likelihood(
        "beta_proportion", mean + ", phi", UNIT, rng=("beta", f"({mean}) * phi, (1 - ({mean})) * phi")
    )  # fmt: skip


def _poisson(link: str, mean: str) -> Likelihood:
    if link == "log":
        return Likelihood("poisson_log", "{eta}", COUNT, glm="poisson_log_glm")
    return Likelihood("poisson", mean, COUNT)


def _negbinomial(link: str, mean: str) -> Likelihood:
    if link == "log":
        arguments = "{X}, {alpha}, {beta}, shape"
        return Likelihood(
            "neg_binomial_2_log", "{eta}, shape", COUNT, glm="neg_binomial_2_log_glm", glm_arguments=arguments
        )  # fmt: skip
    return Likelihood("neg_binomial_2", mean + ", shape", COUNT)


def _nbinom1(link: str, mean: str) -> Likelihood:
    return Likelihood("neg_binomial_2", f"{mean}, {mean} / dispersion", COUNT)


def _beta_binomial(link: str, mean: str) -> Likelihood:
    return Likelihood("beta_binomial", f"{{trials}}, ({mean}) * phi, (1 - ({mean})) * phi", COUNT)


def _truncated_poisson(link: str, mean: str) -> Likelihood:
    return Likelihood("truncated_poisson_log", "{eta}", COUNT_FROM_ONE, function="truncated_poisson_log")


def _truncated_negbinomial(link: str, mean: str) -> Likelihood:
    name = "truncated_neg_binomial_log"
    return Likelihood(name, "{eta}, shape", COUNT_FROM_ONE, function=name)


def _zero_inflated(name: str, more: str = "") -> Callable[[str, str], Likelihood]:
    """Counts and zeros besides, by a function of ours of both linear predictors."""
    return lambda link, mean: Likelihood(name, "{eta}, {zeta}" + more, COUNT, function=name)


def _hurdle(name: str, above: str, more: str = "") -> Callable[[str, str], Likelihood]:
    """Zeros and counts above zero, by a function of ours that calls that of `above`."""
    return lambda link, mean: Likelihood(name, "{eta}, {zeta}" + more, COUNT, function=name, needs=above)


def _tweedie(link: str, mean: str) -> Likelihood:
    return Likelihood("tweedie", "{eta}, dispersion, power", POSITIVE, function="tweedie")


def _successes(name: str, before: str, response: str, link: str, mean: str) -> Likelihood:
    """Successes out of one or more trials, `before` being the argument with their numbers."""
    if link not in ("logit", "probit", "cloglog"):
        return Likelihood(name, before + mean, response)
    return Likelihood(
        f"{name}_{link}", before + "{eta}", response, rng=(name, before + mean),
        glm=f"{name}_logit_glm" if link == "logit" else None, glm_arguments=before + "{X}, {alpha}, {beta}",
        function=None if link == "logit" else f"{name}_{link}",
    )  # fmt: skip


def _bernoulli(link: str, mean: str) -> Likelihood:
    return _successes("bernoulli", "", BINARY, link, mean)


def _binomial(link: str, mean: str) -> Likelihood:
    return _successes("binomial", "{trials}, ", COUNT, link, mean)


def _cumulative(link: str, mean: str) -> Likelihood:
    name = {"logit": "ordered_logistic", "probit": "ordered_probit"}.get(link, f"cumulative_{link}")
    return Likelihood(
        name, "{eta}, cut", CATEGORY, rng=("cumulative", mean.format(eta="cut - {eta}")),
        glm="ordered_logistic_glm" if link == "logit" else None, glm_arguments="{X}, {beta}, cut", glm_alpha=False,
        function=name if name.startswith("cumulative") else None,
    )  # fmt: skip


def _categorical(link: str, mean: str) -> Likelihood:
    return Likelihood("categorical_logit", "{eta}", CATEGORY, glm="categorical_logit_glm", glm_alpha=False)


LIKELIHOODS: dict[str, Callable[[str, str], Likelihood]] = {
    "gaussian": _gaussian,
    "student": _student,
    "lognormal": _lognormal,
    "gamma": _gamma,
    "beta": _beta,
    "poisson": _poisson,
    "negbinomial": _negbinomial,
    "nbinom1": _nbinom1,
    "beta_binomial": _beta_binomial,
    "truncated_poisson": _truncated_poisson,
    "truncated_negbinomial": _truncated_negbinomial,
    "tweedie": _tweedie,
    "bernoulli": _bernoulli,
    "binomial": _binomial,
    "cumulative": _cumulative,
    "categorical": _categorical,
    "zero_inflated_poisson": _zero_inflated("zero_inflated_poisson_log"),
    "zero_inflated_negbinomial": _zero_inflated("zero_inflated_neg_binomial_log", ", shape"),
    "zero_inflated_nbinom1": _zero_inflated("zero_inflated_nbinom1_log", ", dispersion"),
    "hurdle_poisson": _hurdle("hurdle_poisson_log", "truncated_poisson_log"),
    "hurdle_negbinomial": _hurdle("hurdle_neg_binomial_log", "truncated_neg_binomial_log", ", shape"),
}
"""Family -> its likelihood, given the link and the mean in terms of ``{eta}``; the only list of them."""


def likelihood(shape: ModelShape) -> Likelihood:
    """Distribution of the response of a model, its GLM kernel only where the model can use it.

    Raises
    ------
    ModelError
        For a family without a likelihood in Stan.
    """
    if shape.family not in LIKELIHOODS:
        raise ModelError(
            f"the family {shape.family} has no likelihood in Stan",
            hint=f"Use {', '.join(map(repr, LIKELIHOODS))}.",
        )
    found = LIKELIHOODS[shape.family](shape.link, MEAN[shape.link])
    if not shape.predictors or (not found.glm_alpha and (shape.terms or shape.offset)):
        return replace(found, glm=None)
    return found
