"""Priors over many scales together in Stan: their chunk, their numbers, and what of them is kept.

A joint prior has one entry of `JOINT_PRIORS`, under its name in `mixedfx.priors.distributions`, and its chunk
``mixedfx/_stan/priors/<name>.stan``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixedfx.bayes.stan.chunks import Blocks
from mixedfx.bayes.stan.shape import ModelShape
from mixedfx.draws import Key


@dataclass(frozen=True)
class JointPrior:
    """What a program needs of a joint prior.

    Attributes
    ----------
    numbers
        Variable of the data -> attribute of the prior.
    kept
        Key of draws -> variable that is kept.
    in_residuals
        Whether its scales count in residual standard deviations; a family without one gives the data ``residual``.
    """

    numbers: Mapping[str, str]
    kept: Mapping[Key, str]
    in_residuals: bool


JOINT_PRIORS: dict[str, JointPrior] = {
    "horseshoe": JointPrior(
        numbers={f"horseshoe_{n}": n for n in ("df", "df_global", "scale_global", "df_slab", "scale_slab")},
        kept={("horseshoe", "tau"): "horseshoe_tau", ("horseshoe", "c2"): "horseshoe_c2"},
        in_residuals=False,
    ),
    "r2d2": JointPrior(
        numbers={"r2d2_mean": "mean_R2", "r2d2_prec": "prec_R2", "r2d2_concentration": "concentration"},
        kept={("r2d2", "R2"): "R2"},
        in_residuals=True,
    ),
}
"""Name -> the prior."""


def add_joint_prior(blocks: Blocks, shape: ModelShape) -> None:
    """Add the chunk of the joint prior of a model that has one."""
    if shape.sparse is None:
        return
    blocks.head("one prior for the scales of many effects together")
    if not JOINT_PRIORS[shape.sparse].in_residuals:
        blocks.add(f"priors/{shape.sparse}")
        return
    known = "real<lower=0> residual;  // residual standard deviation, for the unit of the scales"
    blocks.add(
        f"priors/{shape.sparse}",
        residual="sigma" if shape.sigma else "residual",
        residual_data="" if shape.sigma else known,
    )


def kept(shape: ModelShape) -> Mapping[Key, str]:
    """Key of draws -> variable, of what is kept of the joint prior of a model."""
    return {} if shape.sparse is None else JOINT_PRIORS[shape.sparse].kept
