# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Who should be coached?
#
# A coaching programme helps pupils on average, there is money for three in ten, and pupils differ in what they gain.
# Learners of *conditional average treatment effects* (CATE) rank pupils by what they are predicted to gain, with any
# regression model inside. This page walks that way from the data to the value of a policy, and then asks what learners
# do not know: that pupils come in schools.
#
# The data are simulated (`mx.datasets.simulate_mindset`), in the shape of a study that is often used to compare such
# methods: schools of very different size, fifteen ethnicities, and pupils with high expectations of themselves coached
# more often than others. So the truth is at hand, and every claim can be held against it.

# %%
import warnings

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor

import mixedfx as mx

warnings.simplefilter("ignore", mx.errors.SingularFitWarning)
pupils, truth = mx.datasets.simulate_mindset(11, n=6000)
y, w = pupils["achievement_score"], pupils["intervention"]
X = pupils.drop(columns=["achievement_score", "intervention"])
pupils.head()

# %% [markdown]
# ## 1. What not to do
#
# Coached pupils score higher, but they expected more of themselves to begin with.

# %%
raw = y[w == 1].mean() - y[w == 0].mean()
by_expectation = pupils.groupby("success_expect")["intervention"].mean()
by_expectation.round(3)

# %% [markdown]
# The raw difference is {{raw:.2f}}; the true mean effect of these pupils is {{truth.tau.mean():.2f}}.
#
# ## 2. Doubly robust scores
#
# A score for each pupil, from cross-fitted models of outcome and propensity, whose average over any group of pupils is
# the effect in that group, if either model is right. The report says how far the arms overlap.

# %%
scores = mx.dr_scores(X, y, w, groups="schoolid")
average = scores.average().iloc[0]
scores

# %% [markdown]
# The average effect is {{average["estimate"]:.2f}} ({{average["std_error"]:.3f}}), its error that of
# {{pupils["schoolid"].nunique()}} schools and not of {{len(pupils):,}} pupils that have nothing in common.
#
# ## 3. Effects of pupils
#
# The R-learner with LightGBM as it comes. Its predictions for these pupils are out of fold: each was made by models that
# have not seen the pupil. Predictions for the rows a model has learnt from would be judged too well: `predict` knows these
# rows again, in whatever order, and mixedfx refuses to judge them.

# %%
plain = mx.cate("R", X, y, w, groups="schoolid")
slope = mx.calibration(plain.out_of_fold, scores)
slope.table.round(3)

# %% [markdown]
# A slope of one would mean that pupils differ as much as they are said to. Here it is {{slope.slope:.2f}}: most of the
# differences are noise, and defaults that predict outcomes well overfit effects. (An S-learner of another package that is
# popular for this data set gives every pupil an effect of zero with models of trees, since it codes the treatment anew
# at prediction: look at predictions before ranking by them.)
#
# Learner, models and parameters are chosen by a loss on held-out pupils:

# %%
trees = LGBMRegressor(verbosity=-1, n_jobs=1, random_state=0)
grid = {"outcome": [trees], "effect": [trees], "effect__n_estimators": [5, 20], "effect__num_leaves": [4, 8]}
tuned = mx.tune_cate({"R": grid, "T": {"outcome": [trees]}}, X, y, w, groups="schoolid")
tuned.table.drop(columns=["outcome", "effect", "seconds"]).round(4)

# %%
better = mx.calibration(tuned.best.out_of_fold, scores)
better.table.round(3)

# %% [markdown]
# The slope is now {{better.slope:.2f}}.
#
# ## 4. What is it worth to coach the most promising?

# %%
best = mx.treat_best(tuned.best.out_of_fold, 0.3)
value = mx.policy_value({"most promising": best, "at random": 0.3, "all": 1, "none": 0}, scores)
value.table.round(3)

# %%
gain = value.contrast("most promising", "at random").iloc[0]
true_gain = float((best * truth.tau).mean() - 0.3 * truth.tau.mean())
curve = mx.targeting(tuned.best.out_of_fold, scores, n_boot=500)
curve.rate.round(4)

# %% [markdown]
# Choosing the {{100 * best.mean():.0f}} % most promising gains {{gain["value"]:.3f}} ({{gain["std_error"]:.3f}}) over
# coaching as many at random; in truth {{true_gain:.3f}}. The error is that of the difference on the same pupils, summed
# by school. At every budget:

# %% alt="Mean score against the share of pupils coached, from 5 to 100 percent: the curve of the most promising first begins at the straight line of coaching at random, lies above it within a wide band, and meets it where everybody is coached."
picture = curve.plot("value")
picture

# %% [markdown]
# Whom does the policy leave out? Value and share by group:

# %%
fair = mx.policy_value({"most promising": best}, scores, by=pupils["school_urbanicity"]).groups
fair.round(3)

# %% [markdown]
# ## 5. What do effects depend on?
#
# Shapley values show what the model of effects uses, and not what the world depends on. These effects were made of school
# and ethnicity alone. What the trees use beside these are stand-ins (a number of the school tells schools apart) or noise.

# %% alt="Shapley values of the columns in the model of effects, one line for each column and one dot for each pupil: the school has the widest spread."
shapley = mx.explain_cate(tuned.best)
picture = shapley.plot()
picture

# %%
line = mx.best_linear_projection(scores, "1 + success_expect + school_mindset + frst_in_family", pupils)
columns = pd.DataFrame({"success_expect": pupils["success_expect"], "school_mindset": pupils["school_mindset"],
                        "first": pupils["frst_in_family"] == "yes"}).astype(float)  # fmt: skip
true_line = np.linalg.lstsq(np.column_stack([np.ones(len(pupils)), columns]), truth.tau, rcond=None)[0]
line.round(3)

# %% [markdown]
# A linear projection of the scores describes these pupils, and is not a cause either. The mindset of the school had no
# part in making the effects and has a p-value of {{line["p_value"].iloc[2]:.3f}}. Schools are few: among those of these
# data the true effects happen to fall with it, by {{-true_line[2]:.3f}} for each unit, and the estimate of
# {{-line["estimate"].iloc[2]:.3f}} ({{line["std_error"].iloc[2]:.3f}}) adds chance to that.

# %% [markdown]
# ## 6. What the multilevel view adds
#
# Effects by ethnicity: means of scores are unbiased and noisy, means of predicted effects are whatever the trees made of
# them. Partial pooling of the scores takes both apart: a mixed model of scores, in which groups differ as much as the
# data say, and every group is drawn to the mean as far as its own scores are noisy.

# %%
pooled = mx.pool_scores(scores, "1 + (1 | schoolid) + (1 | ethnicity)", pupils, by="ethnicity", level=0.9)
learnt = mx.effects_from(plain.out_of_fold, pupils, by="ethnicity").table["estimate"]
after_tuning = mx.effects_from(tuned.best.out_of_fold, pupils, by="ethnicity").table["estimate"]
true = truth.average("ethnicity").to_numpy()
beside = pooled.shrinkage().assign(untuned=learnt, tuned=after_tuning, truth=true)
beside[["ethnicity", "n", "raw", "untuned", "tuned", "pooled", "pooled_sd", "truth"]].round(3)


# %% tags=["fold"]
def rmse(found):
    return float(np.sqrt(np.mean((np.asarray(found) - true) ** 2)))


errors = pd.Series({
    "means of scores": rmse(beside["raw"]),
    "R-learner, untuned": rmse(beside["untuned"]),
    "R-learner, tuned": rmse(beside["tuned"]),
    "pooled scores": rmse(beside["pooled"]),
})  # fmt: skip
inside = int(((pooled.table["lower"] <= true) & (true <= pooled.table["upper"])).sum())

# %% [markdown]
# The root mean squared error over the {{len(true)}} ethnicities is {{errors["means of scores"]:.3f}} for means of scores,
# {{errors["R-learner, untuned"]:.3f}} for the R-learner of section 3 with its defaults, {{errors["R-learner, tuned"]:.3f}}
# for the tuned one and {{errors["pooled scores"]:.3f}} for pooled scores, and {{inside}} of the {{len(true)}} intervals
# of 90 % hold the truth. Tuning takes most of the learner's error away; intervals for these it does not give.

# %% alt="Effects of coaching by ethnicity with 90 percent intervals from pooled scores, all close to the mean effect, the rare ethnicities with wider intervals."
picture = pooled.plot()
picture

# %% [markdown]
# The answer is the object that a fit of `mx.lmer` gives, with the same questions:

# %%
pooled.contrast("ethnicity=e01", "ethnicity=e02").table.round(3)

# %% [markdown]
# ## 7. Mixed models inside learners, and for whom
#
# A mixed model is a scikit-learn estimator too. What is pooled depends on the learner: in an R-learner, whose effect model
# is one, and in an S-learner, where the treatment is a varying slope (`treatment_` is its column), effects are. A T-learner
# wants a model of each arm; a mixed model is fitted to both together, so that what differs between them is pooled, unless
# it is told to keep arms apart.

# %%
covariates = "success_expect + gender + frst_in_family + school_achievement + school_poverty"
model = mx.MixedRegressor(f"1 + treatment_ + {covariates} + (1 + treatment_ | schoolid) + (1 + treatment_ | ethnicity)")
outcome = mx.MixedRegressor(f"1 + {covariates} + (1 | schoolid) + (1 | ethnicity)")
apart = mx.MixedRegressor(f"1 + {covariates} + (1 | schoolid) + (1 | ethnicity)", arms="apart")
effect = mx.MixedRegressor("1 + (1 | schoolid) + (1 | ethnicity)")
these = mx.cate("S", X, y, w, outcome=model, groups="schoolid")
new = mx.cate("S", X, y, w, outcome=model, groups="schoolid", target="new groups")
rows = {}
for name, fit in {
    "R, defaults": plain,
    "R, tuned": tuned.best,
    "T, arms together": mx.cate("T", X, y, w, outcome=outcome, groups="schoolid"),
    "T, arms apart": mx.cate("T", X, y, w, outcome=apart, groups="schoolid"),
    "R, mixed models": mx.cate("R", X, y, w, outcome=outcome, effect=effect, groups="schoolid"),
    "mixed model": these,
    "mixed model, new schools": new,
}.items():
    found = mx.calibration(fit.out_of_fold, scores).table.iloc[0]
    correlation = np.corrcoef(fit.out_of_fold.values, truth.tau)[0, 1]
    rows[name] = {"slope": found["estimate"], "std_error": found["std_error"], "correlation with truth": correlation}
compared = pd.DataFrame(rows).T
compared.round(3)

# %% [markdown]
# The mixed model has a slope of {{compared.loc["mixed model", "slope"]:.2f}}, the R-learner with mixed models of
# {{compared.loc["R, mixed models", "slope"]:.2f}}, the T-learner of
# {{compared.loc["T, arms together", "slope"]:.2f}}; two mixed models, one for each arm, have one of
# {{compared.loc["T, arms apart", "slope"]:.2f}}: schools differ more in level than in effect, so that an arm by itself
# keeps most of what it sees of a school, noise included, and the difference of two arms does too.
#
# Which to take? The T-learner where covariates may change the effect as well (it pools by how much), the R-learner where
# outcomes are learnt by trees, the mixed model itself where its coefficients are to be read.
#
# *Whom* predictions are for is part of the question: folds that spread each school judge predictions for other pupils of
# these schools, folds that hold schools out for pupils of new schools, where what was learnt of a school is of no use (the
# correlation with the true effects falls from {{compared.loc["mixed model", "correlation with truth"]:.2f}} to
# {{compared.loc["mixed model, new schools", "correlation with truth"]:.2f}}).
#
# ## 8. A decision about schools
#
# Where schools are what can be chosen, their pooled effects and the costs of coaching decide:

# %%
schools = mx.pool_scores(scores, "1 + (1 | schoolid) + (1 | ethnicity)", pupils, by="schoolid")
schools.decide(cost=0.4).policies.round(3)

# %% [markdown]
# On the command line:
#
#     mixedfx learn pupils.csv --outcome achievement_score --treatment intervention --groups schoolid \
#         --pool "1 + (1 | schoolid) + (1 | ethnicity)" --by ethnicity --plot curve.png --json answer.json
#
# ---
# **Methods.** R-learner: X. Nie and S. Wager (2021), *Biometrika* 108:299–319. Scores and policies: J. Robins, A. Rotnitzky
# and L. Zhao (1994), *JASA* 89:846–866; S. Athey and S. Wager (2021), *Econometrica* 89:133–161. RATE: S. Yadlowsky and
# others (2025), *JASA* 120:38–51.
