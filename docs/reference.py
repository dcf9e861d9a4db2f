"""Pages of the API reference: title, a sentence, functions of `mixedfx`, classes of what they return."""

PAGES = {
    "fitting": (
        "Fitting mixed models",
        "From a formula and a data frame to a fit, and what a fit can be asked.",
        ("lmer", "glmer", "design", "control", "load", "read"),
        ("mixedfx.reml.fit.LmerFit", "mixedfx.glmm.fit.GlmerFit"),
    ),
    "posteriors": (
        "Posteriors",
        "The same formulas with priors.",
        ("bayes", "prior_predictive", "stan_code", "stan_data", "clear_cache"),
        ("mixedfx.bayes.posterior.fit.PosteriorFit",),
    ),
    "effects": (
        "Effects of a treatment",
        "For everybody and for subgroups, from any fit.",
        ("effects", "answers", "effects_over", "poststratify", "rake", "effects_from"),
        ("mixedfx.effects.result.Effects",),
    ),
    "inference": (
        "Tests, means, tables, power",
        "What comes after a fit.",
        ("anova", "emmeans", "emtrends", "plot_groups", "pool", "power", "replicates", "sampling_weights", "table"),
        (
            "mixedfx.means.marginal_means.MarginalMeans", "mixedfx.surveys.pooled_fit.PooledFit",
            "mixedfx.surveys.fit.WeightedFit", "mixedfx.surveys.generalised.fit.WeightedGlmerFit",
        ),
    ),
    "meta": (
        "Meta-analysis",
        "Effect sizes, models of several levels, publication bias, averages of models, moderators.",
        (
            "escalc", "vcalc", "aggregate", "convert_effects", "rma", "rma_mv", "rma_glmm", "rma_mh", "rma_peto",
            "rho_sensitivity", "selmodel", "robma", "bma", "subgroup_effects", "metaforest", "tune_metaforest",
            "metacart", "screen_moderators", "explained_heterogeneity",
        ),
        ("mixedfx.meta.univariate.rma_fit.RmaFit", "mixedfx.meta.multivariate.mv_fit.RmaMvFit"),
    ),
    "learning": (
        "Whom to treat",
        "Learners of conditional effects, doubly robust scores, policies.",
        (
            "cate", "dr_scores", "pool_scores", "tune_cate", "treat_best", "policy_value", "targeting", "calibration",
            "explain_cate", "best_linear_projection", "permutation_importance", "MixedRegressor", "MixedClassifier",
        ),
        (),
    ),
}  # fmt: skip
# Modules of `mixedfx` that have pages of their own or none.
ELSEWHERE = {"errors", "datasets", "families", "priors", "__version__"}
