"""The distribution of the response in Stan's words: which function, with which arguments, and which GLM kernel.

A likelihood is stated once and serves the model block, the slices of `reduce_sum`, the pointwise log likelihood and
replicated responses. Arguments are written with placeholders: ``{eta}`` is the linear predictor, ``{mu}`` the mean,
``{scale}`` the residual standard deviation, ``{trials}`` the numbers of trials.

`*_glm` functions take the matrix of predictors and differentiate it by hand; everything else about the linear
predictor (offset, random effects) enters through their intercept, which may differ between rows. Two of them take no
such intercept, those of the ordered and the nominal family: they serve models without random terms and offsets.

Probit and complementary log-log probabilities go through their logarithms (functions of our own), as 1 - Phi(eta) has
no digits left where eta is large.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.bayes.stan.shape import ModelShape

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
    """

    name: str
    arguments: str
    response: str
    rng: tuple[str, str] | None = None
    glm: str | None = None
    glm_arguments: str = "{X}, {alpha}, {beta}"
    glm_alpha: bool = True
    function: str | None = None

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
COUNT, BINARY, CATEGORY = "int<lower=0>", "int<lower=0, upper=1>", "int<lower=1, upper=C>"

GLM = {
    ("gaussian", "identity"): ("normal_id_glm", "{X}, {alpha}, {beta}, {scale}"),
    ("bernoulli", "logit"): ("bernoulli_logit_glm", "{X}, {alpha}, {beta}"),
    ("binomial", "logit"): ("binomial_logit_glm", "{trials}, {X}, {alpha}, {beta}"),
    ("poisson", "log"): ("poisson_log_glm", "{X}, {alpha}, {beta}"),
    ("negbinomial", "log"): ("neg_binomial_2_log_glm", "{X}, {alpha}, {beta}, shape"),
    ("cumulative", "logit"): ("ordered_logistic_glm", "{X}, {beta}, cut"),
    ("categorical", "logit"): ("categorical_logit_glm", "{X}, {alpha}, {beta}"),
}
"""(family, link) -> GLM kernel and its arguments."""

# The rate of a gamma distribution is shape / mean.
_RATE = {"log": "shape * exp(-{eta})", "inverse": "shape * {eta}", "identity": "shape * inv({eta})"}


def likelihood(shape: ModelShape) -> Likelihood:
    """Distribution of the response of a model."""
    family, link = shape.family, shape.link
    own: str | None = None
    rng: tuple[str, str] | None = None
    mean = MEAN[link]
    if family == "gaussian":
        name, arguments, response = "normal", mean + ", {scale}", REAL
    elif family == "student":
        name, arguments, response = "student_t", f"nu, {mean}, {{scale}}", REAL
    elif family == "lognormal":
        name, arguments, response = "lognormal", mean + ", {scale}", POSITIVE
    elif family == "gamma":
        name, arguments, response = "gamma", f"shape, {_RATE[link]}", POSITIVE
    elif family == "beta":
        name, arguments, response = "beta_proportion", mean + ", phi", UNIT
        rng = ("beta", f"({mean}) * phi, (1 - ({mean})) * phi")
    elif family in ("poisson", "negbinomial"):
        name = {"poisson": "poisson", "negbinomial": "neg_binomial_2"}[family] + ("_log" if link == "log" else "")
        arguments = ("{eta}" if link == "log" else mean) + (", shape" if family == "negbinomial" else "")
        response = COUNT
    elif family in ("bernoulli", "binomial"):
        before, response = ("{trials}, ", COUNT) if family == "binomial" else ("", BINARY)
        if link in ("logit", "probit", "cloglog"):
            name, arguments = f"{family}_{link}", before + "{eta}"
            own = None if link == "logit" else name
            rng = (family, before + mean)
        else:
            name, arguments = family, before + mean
    elif family == "cumulative":
        name = {"logit": "ordered_logistic", "probit": "ordered_probit"}.get(link, f"cumulative_{link}")
        own = name if name.startswith("cumulative") else None
        arguments, response = "{eta}, cut", CATEGORY
        rng = ("cumulative", mean.format(eta="cut - {eta}"))
    else:
        name, arguments, response = "categorical_logit", "{eta}", CATEGORY
    glm, glm_arguments = GLM.get((family, link), (None, ""))
    by_row = family not in ("cumulative", "categorical")
    if not shape.predictors or (not by_row and (shape.terms or shape.offset)):
        glm = None
    return Likelihood(name, arguments, response, rng, glm, glm_arguments, by_row, own)
