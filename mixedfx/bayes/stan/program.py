"""From the shape of a model to the text of its Stan program.

The text is put together from chunks (`mixedfx.bayes.stan.chunks`) in the order in which a reader wants to meet them:
response, predictors, random terms, priors. The likelihood is written here, since its form hangs on everything else.
"""

from __future__ import annotations

from functools import lru_cache

from mixedfx.bayes.stan.chunks import Blocks
from mixedfx.bayes.stan.joint_priors import add_joint_prior
from mixedfx.bayes.stan.likelihood import likelihood
from mixedfx.bayes.stan.model import add_generated, add_likelihood
from mixedfx.bayes.stan.shape import SHORT, ModelShape, TermShape, term_number
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.distributions import DISTRIBUTIONS


@lru_cache(maxsize=256)
def program_text(shape: ModelShape) -> str:
    """Stan program of a model shape: one self-contained text, the same for every data set of that shape."""
    blocks = Blocks(shape.nominal)
    _response(blocks, shape)
    add_joint_prior(blocks, shape)
    for part, p in shape.parts:
        _fixed(blocks, part, p)
        _coefficients(blocks, part, p)
        for number, term in enumerate(part.terms, start=1):
            _term(blocks, part, term, term_number(p, number), " of the zeros" if p else "")
    blocks.head("computation")
    blocks.put("data", "int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out")
    terms = [term for part, _ in shape.parts for term in part.terms]
    if any(term.correlated and term.centred for term in terms):
        blocks.add("functions/level_effects")
    if ("share" in shape.beta and len(shape.beta) > 1) or any(_mixed(term) for term in terms):
        blocks.add("functions/merge")
    add_likelihood(blocks, shape)
    add_generated(blocks, shape)
    return HEADER.format(family=shape.family, link=shape.link) + blocks.text()


HEADER = """\
// A multilevel model, {family} response with {link} link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.
"""


def _response(blocks: Blocks, shape: ModelShape) -> None:
    """Declare the response, what is known of each row, and the auxiliary parameters."""
    spec = likelihood(shape)
    blocks.head("response")
    blocks.put("data", "int<lower=1> N;  // rows")
    if shape.ordered or shape.nominal:
        blocks.put("data", "int<lower=2> C;  // categories")
    if spec.discrete:
        blocks.put("data", f"array[N] {spec.response} y;")
    else:
        blocks.put("data", f"{spec.response}[N] y;")
    if shape.trials:
        blocks.put("data", "array[N] int<lower=0> trials;")
    if shape.known_sd:
        blocks.put("data", "vector<lower=0>[N] se;  // known standard deviations of the response")
    if shape.weights:
        blocks.put("data", "vector<lower=0>[N] weights;  // precisions: the variance of a row is sigma^2 / weight")
        blocks.put("transformed data", "vector[N] relative_sd = inv_sqrt(weights);")
    if shape.offset:
        blocks.put("data", "vector[N] offsets;  // known parts of the linear predictor")
    for name in (spec.needs, spec.function):
        if name:
            blocks.add(f"functions/{name}")
    for name, kind in shape.auxiliary:
        about = AUXILIARY[name]
        blocks.put("parameters", f"real{about.constraint} {name};  // {about.what}")
        _prior(blocks, name, (kind,), each=False)


def _fixed(blocks: Blocks, shape: ModelShape, p: str) -> None:
    """Declare predictors, intercept and thresholds of a linear predictor, whose names end with `p`."""
    blocks.head("fixed effects of the zeros" if p else "fixed effects")
    if shape.predictors:
        blocks.add("fixed/predictors", p=p)
    if shape.centring:
        blocks.add("fixed/centring", p=p)
    if p and shape.offset:
        blocks.put("data", f"vector[N] offsets{p};  // known parts of the linear predictor")
    if shape.intercept:
        units = _units(blocks, shape, f"alpha{p}", (str(shape.alpha),))
        blocks.add("fixed/intercept_centred" if shape.predictors else "fixed/intercept", units=units, p=p)
        _prior(blocks, f"alpha{p}", (str(shape.alpha),), each=True)
    if shape.ordered:
        blocks.add("fixed/thresholds_centred" if shape.predictors else "fixed/thresholds")
        _prior(blocks, "cut", (str(shape.alpha),), each=False)


def _coefficients(blocks: Blocks, shape: ModelShape, p: str) -> None:
    if not shape.predictors:
        return
    own = tuple(kind for kind in shape.beta if kind != "share")
    if not own:
        blocks.add("fixed/share")
    elif len(own) == len(shape.beta):
        blocks.add("fixed/free", units=_units(blocks, shape, f"beta{p}", own, f"K{p}"), p=p)
        _prior(blocks, f"beta{p}", own, each=True, size=f"K{p}")
    else:
        blocks.add("fixed/mixed", units=_units(blocks, shape, "own_beta", own, "K_own"))
        _prior(blocks, "own_beta", own, each=True, size="K_own")


def _mixed(term: TermShape) -> bool:
    """Whether some standard deviations of a term are under the joint prior and others are not."""
    return "share" in term.sd and len(term.sd) > 1


def _term(blocks: Blocks, shape: ModelShape, term: TermShape, t: str, of: str) -> None:
    """Add one random term of a linear predictor: its levels, standard deviations, correlations and effects."""
    structure = "correlated" if term.correlated else "diagonal" if term.several else "one"
    words = f"{term.manner} effects" if term.several else "one effect"
    words = f"{words}, of one standard deviation," if term.shared else words
    related_words = ", levels related" if term.related else ""
    where = ", covariates at their means" if term.at_means else ""
    number, parameters = t.rpartition("_")[2], ", centred" if term.centred else ""
    blocks.head(f"random term {number}{of}: {words} of each level{parameters}{where}{related_words}")
    blocks.add("random/levels", t=t)
    if not term.constant:
        blocks.add("random/covariates" if term.several else "random/covariate", t=t)
    if term.at_means:
        blocks.add("random/centring", t=t)
    count, size = ("several", f"M_{t}") if term.several else ("one", "")
    own = tuple(kind for kind in term.sd if kind != "share")
    if term.shared and term.sd == ("decov",):
        blocks.add("random/decov_shared", t=t, sigma="sigma * " if shape.sigma else "")
    elif term.shared:
        blocks.add("random/sd_shared", t=t)
        _prior(blocks, f"one_sd_{t}", own, each=True)
    elif term.sd == ("decov",):
        blocks.add(f"random/decov_{structure}", t=t, sigma="sigma * " if shape.sigma else "")
    elif not own:
        blocks.add(f"random/sd_{count}_share", t=t)
    elif _mixed(term):
        blocks.add("random/sd_mixed", t=t)
        _prior(blocks, f"own_sd_{t}", own, each=True, size=f"M_own_{t}")
    else:
        blocks.add(f"random/sd_{count}", t=t)
        _prior(blocks, f"sd_{t}", own, each=True, size=size)
    if term.correlated:
        blocks.add(f"random/{term.correlations}", t=t)
    related, before, after = "", "", ""
    if term.related:
        blocks.add("random/relation", t=t)
        related, before, after = f"A_{t} * ", f"mdivide_left_tri_low(A_{t}, ", ")"
    if term.centred:
        blocks.add(f"random/effects_{structure}_centred", t=t, before=before, after=after)
    else:
        blocks.add(f"random/effects_{structure}", t=t, related=related)


def _units(blocks: Blocks, shape: ModelShape, parameter: str, kinds: tuple[str, ...], size: str = "") -> str:
    """Units that a parameter is sampled in, from its prior; the product has a name in the transformed data.

    (CmdStan 2.35 keeps a reference to the expression of a vector's multiplier: as a temporary it is gone when used.)

    Stan starts between -2 and 2 on the unconstrained scale. In raw units that is hopeless for the coefficient of an
    income; in units of 0.4 prior scales, of which the default priors have 2.5, the linear predictor starts within a few
    of its own units. (Stan has no such units for arrays of vectors, as a categorical response has them.)
    """
    scaled = {distribution.stan for distribution in DISTRIBUTIONS if distribution.location_scale}
    if shape.nominal or len(kinds) != 1 or kinds[0] not in scaled:
        return ""
    declared = f"vector<lower=0>[{size}]" if size else "real<lower=0>"
    unit = f"{parameter}_unit = 0.4 * prior_{parameter}_scale"
    blocks.put("transformed data", f"{declared} {unit};  // unit that {parameter} is sampled in")
    return f"<offset=prior_{parameter}_loc, multiplier={parameter}_unit>"


def _prior(blocks: Blocks, parameter: str, kinds: tuple[str, ...], *, each: bool, size: str = "") -> None:
    """Add the priors of a parameter, or of the elements of a vector of `size`, which may be of several kinds."""
    for kind in kinds:
        name, marked, length = f"prior_{parameter}", f"{parameter}@", size
        if kind == "flat":
            continue
        if len(kinds) > 1:
            name = f"{name}_{SHORT.get(kind, kind)}"
            blocks.add("priors/which", name=name, size=size)
            marked, length = f"{marked}[{name}_at]", f"{name}_n"
        real, positive = "real", "real<lower=0>"
        if length:
            real, positive = f"vector[{length}]", f"vector<lower=0>[{length}]"
        blocks.add(
            f"priors/{kind}", name=name, parameter=marked, type=real, positive=positive, each="each" if each else ""
        )
