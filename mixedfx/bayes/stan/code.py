"""stan_code and stan_data: the program and the data of a model, without sampling anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mixedfx.bayes.model_design import model_design, model_family
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import Centred, ModelShape, model_shape
from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.distributions import Prior
from mixedfx.priors.resolve import ResolvedPriors, resolve
from mixedfx.priors.sets import Key, PriorSet, prior_set


def stan_code(
    formula: str,
    data: Any,
    family: str | Family = "gaussian",
    priors: str | Mapping[Key, Prior] | PriorSet | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    zi: str | MixedFormula | None = None,
    centred: Centred = False,
    threads: int = 1,
    log_lik: bool = False,
    y_rep: bool = False,
) -> str:
    """Stan program of a model: one self-contained text, ready for any Stan.

    It depends on the shape of the model only. Sizes, data and the scales of priors come in through `stan_data`, so one
    compilation serves every data set of the same shape.

    Parameters
    ----------
    formula, data, family, priors, weights, offset, na, contrasts, env, zi
        As in `mixedfx.bayes`.
    centred
        True, or the names of grouping factors (``["school"]``): the effects of their levels are parameters themselves.
        That samples better where every level has many rows. By default they are standard normal and scaled, which
        samples better where levels have few.
    threads
        More than 1: the likelihood is summed over slices of the rows by ``reduce_sum``, in parallel threads of CmdStan.
    log_lik, y_rep
        Whether to generate the log likelihood of each row (``log_lik``) and replicated responses (``y_rep``).

    Returns
    -------
    str
        The program.

    Raises
    ------
    FormulaError, DataError, ModelError, OptionError
        As in `mixedfx.bayes`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> text = mx.stan_code("score ~ style + (1 | professor)", course)
    >>> print(text[text.index("model {") : text.index("generated quantities")])
    model {
      if (!prior_only) {
        // X beta is left to the likelihood
        vector[N] eta = alpha + u_1[g_1];
        y ~ normal_id_glm(Xc, eta, beta, sigma);
      }
      sigma ~ exponential(prior_sigma_rate);
      alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
      beta ~ normal(prior_beta_loc, prior_beta_scale);
      sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
      std_u_1 ~ std_normal();
    }
    """
    options = {"weights": weights, "offset": offset, "na": na, "contrasts": contrasts, "env": env}
    *_, shape = _model(formula, data, family, priors, zi, options, centred, threads, log_lik, y_rep)
    return program_text(shape)


def stan_data(
    formula: str,
    data: Any,
    family: str | Family = "gaussian",
    priors: str | Mapping[Key, Prior] | PriorSet | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    zi: str | MixedFormula | None = None,
    centred: Centred = False,
    threads: int = 1,
    prior_only: bool = False,
) -> dict[str, Any]:
    """Data of the program that `stan_code` writes for the same arguments.

    Parameters
    ----------
    formula, data, family, priors, weights, offset, na, contrasts, env, zi, centred, threads
        As in `stan_code`.
    prior_only
        Whether to leave the likelihood out, so that draws come from the prior.

    Returns
    -------
    dict
        Variable of the data block -> whole number, number or array; indices count from one.

    Raises
    ------
    FormulaError, DataError, ModelError, OptionError
        As in `mixedfx.bayes`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> data = mx.stan_data("score ~ style + (1 | professor)", course)
    >>> data["N"], data["K"], data["J_1"], data["X"].shape
    (375, 2, 15, (375, 2))
    """
    options = {"weights": weights, "offset": offset, "na": na, "contrasts": contrasts, "env": env}
    model = _model(formula, data, family, priors, zi, options, centred, threads, False, False)
    return program_data(*model, prior_only=prior_only)


def _model(
    formula: str, data: Any, family: str | Family, priors: str | Mapping[Key, Prior] | PriorSet | None, zi: Any,
    options: Mapping[str, Any], centred: Centred, threads: int, log_lik: bool, y_rep: bool,
) -> tuple[Design, Family, ResolvedPriors, ModelShape]:  # fmt: skip
    """Design, family, priors and shape of a model."""
    if threads < 1:
        raise OptionError(f"threads={threads}", hint="Use 1, or the number of threads of each chain.")
    found = model_family(family, zi)
    design = model_design(formula, data, found, stacklevel=4, zi=zi, **options)
    resolved = resolve(prior_set(priors), scales_of(design, found))
    shape = model_shape(design, found, resolved, centred=centred, threads=threads, log_lik=log_lik, y_rep=y_rep)
    return design, found, resolved, shape
