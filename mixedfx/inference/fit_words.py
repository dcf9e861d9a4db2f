"""What a fit is in words that a paper needs: the call that makes it again, a methods paragraph, and its answer.

Whatever fitted, the facts are those that all fits have (design, family, posterior) and those of the one or the other
kind: `REML` of linear mixed models, `nAGQ` of generalised ones, priors and sampling of posteriors. Arguments that a
program cannot write down (arrays, functions) are named in a comment behind the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixedfx.families.registry import find_family
from mixedfx.results.numbers import decimals
from mixedfx.results.page import software
from mixedfx.results.sentences import listed, sized
from mixedfx.results.tables import group_sizes

MOST = 3  # coefficients that each get a sentence


def fit_code(fit: Any, data: str = "data") -> str:
    """The line that fits the model again.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.fit_words import fit_code
    >>> fit = mx.lmer("math ~ small + (1 | sch)", mx.datasets.load("star"), REML=False)
    >>> print(fit_code(fit, "star"))
    fit = mx.lmer('math ~ 1 + small + (1 | sch)', star, REML=False)
    """
    design = fit.design
    if fit.posterior:
        name, options, comments = "bayes", *_of_posterior(fit)
    elif hasattr(fit, "nAGQ"):
        name, options, comments = "glmer", *_of_glmer(fit)
    else:
        name, options, comments = "lmer", [] if fit.REML else ["REML=False"], []
    call = getattr(fit, "call", None)
    given = {
        "weights": design.weights is not None,
        "offset": design.spec.given_offset is not None,
        "contrasts": bool(design.spec.contrasts),
        "env": bool(design.spec.env),
        "V": call is not None and getattr(call, "V", None) is not None,
        "control": call is not None and getattr(call, "control", None) is not None,
        "dispersion": call is not None and getattr(call, "dispersion", None) is not None,
        "sampling_weights": call is not None and getattr(call, "sampling_weights", None) is not None,
        "replicates": call is not None and getattr(call, "replicates", None) is not None,
    }
    left = []
    for argument, there in given.items():
        value = getattr(call, argument, None) if call is not None else None
        if there and isinstance(value, str):
            options.append(f"{argument}={value!r}")
        elif there:
            left.append(f"{argument}=")
    if left:
        comments.append(f"{' and '.join(left)} as in the original fit")
    written = ", ".join([repr(str(design.formula)), data, *options])
    return f"fit = mx.{name}({written})" + (f"  # {'; '.join(comments)}" if comments else "")


def _family_option(fit: Any) -> list[str]:
    family = find_family(fit.family.name)
    if fit.family.link.name != family.link.name:
        return [f"family=mx.families.{family.name}(link={fit.family.link.name!r})"]
    return [f"family={family.name!r}"] if family.name != "gaussian" else []


def _of_posterior(fit: Any) -> tuple[list[str], list[str]]:
    options, comments = _family_option(fit), []
    if fit.n_draws != 4000:
        options.append(f"draws={fit.n_draws}")
    options.append(f"seed={fit.seed}")
    if fit.priors.name in ("rstanarm", "brms"):
        options.append(f"priors={fit.priors.name!r}")
    elif fit.priors.name != "default":
        comments.append(f"priors: {fit.priors.name}")
    return options, comments


def _of_glmer(fit: Any) -> tuple[list[str], list[str]]:
    options = _family_option(fit) or ["family='gaussian'"]
    if _weighted(fit):
        return [*options, f"nAGQ={fit.nAGQ}"], []
    if fit.nAGQ != 1:
        options.append(f"nAGQ={fit.nAGQ}")
    return options, ["priors= as in the original fit"] if len(fit.priors) else []


def methods_paragraph(fit: Any) -> str:
    """A paragraph for the methods section: model, estimation, tests or priors, rows, program.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.fit_words import methods_paragraph
    >>> fit = mx.lmer("math ~ small + (1 | sch)", mx.datasets.load("star"))
    >>> methods_paragraph(fit).split(" with mixedfx")[0]
    'We fitted a linear mixed model, math ~ 1 + small + (1 | sch), by restricted maximum likelihood (REML)'
    """
    design = fit.design
    mixed = bool(design.random)
    if fit.family.linear_gaussian:
        kind = "linear mixed model" if mixed else "linear model"
    else:
        kind = f"generalised linear {'mixed ' if mixed else ''}model"
        kind += f" ({fit.family.name} response, {fit.family.link.name} link)"
    start = f"We fitted a {kind}, {design.formula}, {_estimated_by(fit)} with {software()}"
    groups = [f"{count:,} levels of {name}" for name, count in group_sizes(design).items()]
    rows = f"{len(design.y):,} rows" + (f" ({listed(groups)})" if groups else "")
    left = design.rows.dropped_missing
    start += f" to {rows}"
    if left:
        start += f"; {left:,} rows with missing values were left out"
    return " ".join([start + ".", *_tests(fit)])


def _estimated_by(fit: Any) -> str:
    if fit.posterior:
        how = {
            "importance": "by importance sampling with Pareto-smoothed weights",
            "nuts": "by the No-U-Turn sampler",
        }.get(fit.sampling.method, f"by {fit.sampling.method}")
        return f"to {fit.n_draws:,} posterior draws, sampled {how},"
    if _weighted(fit):
        nodes = fit.nAGQ if hasattr(fit, "nAGQ") and fit.design.random else None
        way = "" if nodes is None else f" and adaptive quadrature with {nodes} nodes for each effect"
        return f"by pseudo maximum likelihood with sampling weights{way}"
    if not fit.design.random and not hasattr(fit, "nAGQ"):
        return "by least squares"
    if hasattr(fit, "nAGQ"):
        if not fit.design.random:
            return "by maximum likelihood"
        way = "Laplace's approximation" if fit.nAGQ == 1 else f"adaptive quadrature with {fit.nAGQ} nodes"
        how = f"by maximum likelihood ({way})"
    else:
        how = "by restricted maximum likelihood (REML)" if fit.REML else "by maximum likelihood"
    if getattr(fit, "monte_carlo", None) is None:
        return how
    return f"{how}, solved by conjugate gradients with traces from {fit.solution.monte_carlo.probes} random probes,"


def _weighted(fit: Any) -> bool:
    """Whether a fit has sampling weights."""
    return getattr(fit, "usual_ddf", None) == "sample"


def _tests(fit: Any) -> list[str]:
    if _weighted(fit):
        return [f"Standard errors are those of the sample ({fit.sample_words}), and tests of coefficients use t."]
    if fit.posterior:
        name = fit.priors.name
        priors = {"default": "mixedfx's default priors", "rstanarm": "the default priors of rstanarm",
                  "brms": "the default priors of brms"}.get(name, f"priors of our own ({name})")  # fmt: skip
        course = fit.sampling
        seen = []
        if np.isfinite(course.k_hat):
            seen.append(f"Pareto k-hat was {course.k_hat:.2f}")
        if np.isfinite(course.r_hat):
            seen.append(f"the largest R-hat was {course.r_hat:.3f}")
        if course.method == "nuts":
            seen.append(f"there were {course.divergences} divergent transitions")
        if np.isfinite(course.ess):
            seen.append(f"the smallest effective number of draws was {course.ess:,.0f}")
        text = [f"We used {priors}; estimates are posterior means, intervals central ones."]
        return text + ([f"Of the draws, {listed(seen)}."] if seen else [])
    if hasattr(fit, "nAGQ"):
        return ["Tests of coefficients are Wald's, by the normal distribution."]
    if not fit.design.random:
        return [f"Tests use t and F with {len(fit.design.y) - len(fit.fixef)} residual degrees of freedom."]
    return ["Tests of coefficients use t with Satterthwaite's degrees of freedom."]


def fit_answer(fit: Any, labels: Mapping[str, str] | None = None, level: float = 0.95) -> tuple[str, ...]:
    """Sentences of the coefficients, the first few, and of how much lies between groups.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.fit_words import fit_answer
    >>> fit = mx.lmer("math ~ small + (1 | sch)", mx.datasets.load("star"))
    >>> print(fit_answer(fit)[0])
    The coefficient of small is 8.9 (95 % interval 6.5 to 11.3).
    """
    labels = labels or {}
    table = fit.tidy(level=level)
    if "category" in table:
        return ()
    known = [str(name) for name in fit.design.fixed_names if name != "Intercept"]
    rows = table.set_index("term")
    out = []
    for name in known[:MOST]:
        if name not in rows.index:
            continue
        row: Any = rows.loc[name]
        places = decimals([float(row["std_error"])], 2)
        interval = f"{100 * level:g} % interval {sized(row['conf_low'], places)} to {sized(row['conf_high'], places)}"
        known_ends = "" if np.isnan(row["conf_low"]) else f" ({interval})"
        out.append(f"The coefficient of {labels.get(name, name)} is {sized(row['estimate'], places)}{known_ends}.")
    if len(known) > MOST:
        out.append(f"There are {len(known) - MOST} further coefficients.")
    share = _shares(fit)
    return (*out, *([share] if share else []))


def _shares(fit: Any) -> str:
    """How the variance that the fixed effects leave is spread, where every random term is an intercept."""
    random = fit.design.random
    if not random or not fit.family.linear_gaussian or any(term.columns != ("Intercept",) for term in random):
        return ""
    found = fit.varcorr
    if "Residual" not in set(found["grp"]):
        return ""
    total = float(found["vcov"].sum())
    if not total > 0:
        return ""
    shares = zip(found["grp"], found["vcov"], strict=True)
    parts = [f"{100 * v / total:.0f} % lies between levels of {g}" for g, v in shares if g != "Residual"]
    return f"Of the variance that the fixed effects leave, {listed(parts)}."
