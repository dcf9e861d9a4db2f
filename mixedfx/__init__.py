"""Multilevel models and varying treatment effects from one lme4-style formula.

>>> import mixedfx as mx
>>> star = mx.datasets.load("star")
>>> fit = mx.lmer("math ~ small * race + small * gender + (1 + small | sch)", star)
>>> eff = mx.effects(fit, "small", by=["race", "gender"])
>>> eff.table[["race", "gender", "n"]].to_string(index=False).splitlines()[1]
'Black    boy  939'

Public names are imported on first use, so that ``import mixedfx`` costs little more than ``import pandas``. `bayes`,
`design` and `effects` are functions here and packages of the same names in the source: where the import system would
bind the package, the function stands (see `_Package`).
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mixedfx import errors

if TYPE_CHECKING:
    from mixedfx import datasets, families, priors
    from mixedfx.bayes.bayes import bayes, prior_predictive
    from mixedfx.bayes.engines.cache import clear_cache
    from mixedfx.bayes.stan.code import stan_code, stan_data
    from mixedfx.design.build import design
    from mixedfx.effects.effects import effects
    from mixedfx.effects.over import effects_over
    from mixedfx.effects.poststratify import poststratify
    from mixedfx.effects.rake import rake
    from mixedfx.effects.reconcile import answers
    from mixedfx.files.read import read
    from mixedfx.glmm.glmer import glmer
    from mixedfx.inference.comparison import anova
    from mixedfx.inference.power import power
    from mixedfx.inference.side_by_side import table
    from mixedfx.learn.calibrated import calibration
    from mixedfx.learn.cate import cate
    from mixedfx.learn.estimators import MixedClassifier, MixedRegressor
    from mixedfx.learn.explaining import best_linear_projection, explain_cate, permutation_importance
    from mixedfx.learn.given import effects_from
    from mixedfx.learn.policy import policy_value, treat_best
    from mixedfx.learn.pooled import pool_scores
    from mixedfx.learn.scores import dr_scores
    from mixedfx.learn.targeting import targeting
    from mixedfx.learn.tuning import tune_cate
    from mixedfx.loading import load
    from mixedfx.means.emmeans import emmeans, emtrends
    from mixedfx.means.plot_groups import plot_groups
    from mixedfx.meta.averaging.robma import bma, robma
    from mixedfx.meta.counts.rma_glmm import rma_glmm
    from mixedfx.meta.effect_sizes.aggregate import aggregate
    from mixedfx.meta.effect_sizes.escalc import escalc
    from mixedfx.meta.effect_sizes.transforms import convert_effects
    from mixedfx.meta.effect_sizes.vcalc import vcalc
    from mixedfx.meta.moderators.explained import explained_heterogeneity
    from mixedfx.meta.moderators.metacart import metacart
    from mixedfx.meta.moderators.metaforest import metaforest
    from mixedfx.meta.moderators.screening import screen_moderators
    from mixedfx.meta.moderators.tuning import tune_metaforest
    from mixedfx.meta.multivariate.rho_sensitivity import rho_sensitivity
    from mixedfx.meta.multivariate.rma_mv import rma_mv
    from mixedfx.meta.selection.selmodel import selmodel
    from mixedfx.meta.subgroups.subgroup_effects import subgroup_effects
    from mixedfx.meta.univariate.pooled import rma_mh, rma_peto
    from mixedfx.meta.univariate.rma import rma
    from mixedfx.options import control
    from mixedfx.reml.lmer import lmer
    from mixedfx.surveys.options import replicates, sampling_weights
    from mixedfx.surveys.pool import pool

__version__ = "0.2.0"
__all__ = [
    "MixedClassifier",
    "MixedRegressor",
    "__version__",
    "aggregate",
    "anova",
    "answers",
    "bayes",
    "best_linear_projection",
    "bma",
    "calibration",
    "cate",
    "clear_cache",
    "control",
    "convert_effects",
    "datasets",
    "design",
    "dr_scores",
    "effects",
    "effects_from",
    "effects_over",
    "emmeans",
    "emtrends",
    "errors",
    "escalc",
    "explain_cate",
    "explained_heterogeneity",
    "families",
    "glmer",
    "lmer",
    "load",
    "metacart",
    "metaforest",
    "permutation_importance",
    "plot_groups",
    "policy_value",
    "pool",
    "pool_scores",
    "poststratify",
    "power",
    "prior_predictive",
    "priors",
    "rake",
    "read",
    "replicates",
    "rho_sensitivity",
    "rma",
    "rma_glmm",
    "rma_mh",
    "rma_mv",
    "rma_peto",
    "robma",
    "sampling_weights",
    "screen_moderators",
    "selmodel",
    "stan_code",
    "stan_data",
    "subgroup_effects",
    "table",
    "targeting",
    "treat_best",
    "tune_cate",
    "tune_metaforest",
    "vcalc",
]

_FUNCTIONS = {
    "MixedClassifier": "mixedfx.learn.estimators",
    "MixedRegressor": "mixedfx.learn.estimators",
    "aggregate": "mixedfx.meta.effect_sizes.aggregate",
    "anova": "mixedfx.inference.comparison",
    "answers": "mixedfx.effects.reconcile",
    "bayes": "mixedfx.bayes.bayes",
    "best_linear_projection": "mixedfx.learn.explaining",
    "bma": "mixedfx.meta.averaging.robma",
    "calibration": "mixedfx.learn.calibrated",
    "cate": "mixedfx.learn.cate",
    "clear_cache": "mixedfx.bayes.engines.cache",
    "control": "mixedfx.options",
    "convert_effects": "mixedfx.meta.effect_sizes.transforms",
    "design": "mixedfx.design.build",
    "dr_scores": "mixedfx.learn.scores",
    "effects": "mixedfx.effects.effects",
    "effects_from": "mixedfx.learn.given",
    "effects_over": "mixedfx.effects.over",
    "emmeans": "mixedfx.means.emmeans",
    "emtrends": "mixedfx.means.emmeans",
    "escalc": "mixedfx.meta.effect_sizes.escalc",
    "explain_cate": "mixedfx.learn.explaining",
    "explained_heterogeneity": "mixedfx.meta.moderators.explained",
    "glmer": "mixedfx.glmm.glmer",
    "lmer": "mixedfx.reml.lmer",
    "load": "mixedfx.loading",
    "metacart": "mixedfx.meta.moderators.metacart",
    "metaforest": "mixedfx.meta.moderators.metaforest",
    "permutation_importance": "mixedfx.learn.explaining",
    "plot_groups": "mixedfx.means.plot_groups",
    "policy_value": "mixedfx.learn.policy",
    "pool": "mixedfx.surveys.pool",
    "pool_scores": "mixedfx.learn.pooled",
    "poststratify": "mixedfx.effects.poststratify",
    "power": "mixedfx.inference.power",
    "prior_predictive": "mixedfx.bayes.bayes",
    "rake": "mixedfx.effects.rake",
    "read": "mixedfx.files.read",
    "replicates": "mixedfx.surveys.options",
    "rho_sensitivity": "mixedfx.meta.multivariate.rho_sensitivity",
    "rma": "mixedfx.meta.univariate.rma",
    "rma_glmm": "mixedfx.meta.counts.rma_glmm",
    "rma_mh": "mixedfx.meta.univariate.pooled",
    "rma_mv": "mixedfx.meta.multivariate.rma_mv",
    "rma_peto": "mixedfx.meta.univariate.pooled",
    "robma": "mixedfx.meta.averaging.robma",
    "sampling_weights": "mixedfx.surveys.options",
    "screen_moderators": "mixedfx.meta.moderators.screening",
    "selmodel": "mixedfx.meta.selection.selmodel",
    "stan_code": "mixedfx.bayes.stan.code",
    "stan_data": "mixedfx.bayes.stan.code",
    "subgroup_effects": "mixedfx.meta.subgroups.subgroup_effects",
    "table": "mixedfx.inference.side_by_side",
    "targeting": "mixedfx.learn.targeting",
    "treat_best": "mixedfx.learn.policy",
    "tune_cate": "mixedfx.learn.tuning",
    "tune_metaforest": "mixedfx.meta.moderators.tuning",
    "vcalc": "mixedfx.meta.effect_sizes.vcalc",
}
_MODULES = ("datasets", "families", "priors")


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        value = getattr(import_module(_FUNCTIONS[name]), name)
    elif name in _MODULES:
        value = import_module(f"mixedfx.{name}")
    else:
        raise AttributeError(f"module 'mixedfx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


class _Package(ModuleType):
    """The type of this module: a module in which a sub-package never takes the name of a public function.

    After the first import of a sub-package the import system assigns it to the attribute of that name here, at whatever
    moment that import happens to come.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
