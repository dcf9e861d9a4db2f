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
# # Schools in districts: a meta-analysis with two levels
#
# Some school districts have moved their holidays: instead of one long summer, several shorter breaks. Does that help
# pupils learn? Konstantopoulos (2011) collects what 56 schools in 11 districts found: standardised mean differences in
# achievement, schools with a modified calendar against schools with the traditional one, each with its sampling
# variance. A positive number speaks for the modified calendar.
#
# A meta-analysis averages such numbers. The usual one acts as if the 56 schools had nothing in common. They do: schools
# of a district share a calendar, a school board, pupils, and often the evaluator. This page does the analysis without
# the districts and with them, and shows why the answers differ: first with maximum likelihood (sections 1 to 9), then with
# probabilities for whole models (from section 10), where bias can be asked about as well.

# %%
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mixedfx as mx

schools = mx.datasets.load("school_calendars")
schools["label"] = "school " + schools["school"].astype(str)
schools.head()

# %% tags=["fold"]
plt.rcParams.update(
    {
        "figure.dpi": 110,
        "savefig.dpi": 110,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "legend.frameon": False,
    }
)
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
size = schools.groupby("district", observed=True)["yi"].agg(["size", "mean"])
by_size = size.sort_values(["size", "mean"], ascending=[False, True]).index
n_districts = len(size)
largest, highest = by_size[0], size["mean"].idxmax()

# %% tags=["fold"] alt="Effects of the schools in one row for each district. Schools of a district lie close together; the rows differ."
figure, axes = plt.subplots(figsize=(6.8, 4.2))
for row, district in enumerate(by_size):
    own = schools[schools["district"] == district]
    axes.plot(own["yi"], np.full(len(own), row), "o", color=BLUE, alpha=0.6, ms=5, mew=0)
    axes.vlines(own["yi"].mean(), row - 0.33, row + 0.33, color="black", lw=2)
axes.axvline(0, color=GREY, lw=0.8)
axes.set_yticks(range(n_districts), [f"district {d} ({size.loc[d, 'size']} schools)" for d in by_size])
axes.tick_params(axis="y", length=0)
axes.invert_yaxis()
axes.set_xlabel("effect of the modified calendar (standardised mean difference)")
axes.set_title("Schools by district, with the mean of each")

# %% [markdown]
# Districts differ: the mean of district {{highest}} is {{size.loc[highest, "mean"]:.2f}}, that of district
# {{largest}}, which has {{size.loc[largest, "size"]}} schools, {{size.loc[largest, "mean"]:.2f}}. And within most
# districts the schools agree more with each other than with the rest.

# %% [markdown]
# ## 1. Without the districts
#
#     effect of a school = mean + deviation of the school + sampling error
#                                 N(0, tau²)                N(0, vi), vi known

# %%
ignoring = mx.rma("yi ~ 1", schools)
ignoring.summary()

# %% tags=["fold"]
flat = ignoring.tidy().iloc[0]
flat_tau2 = ignoring.tau2

# %% [markdown]
# The mean effect is {{flat["estimate"]:.3f}} with a standard error of {{flat["std_error"]:.3f}}: z =
# {{flat["statistic"]:.2f}}, p = {{flat["p_value"]:.4f}}. True effects of schools vary with a standard deviation of
# {{ignoring.tau:.3f}} around it. That reads like a settled matter. It rests on the assumption that we have
# {{ignoring.k}} independent schools.

# %% [markdown]
# ## 2. With the districts
#
#     effect of a school = mean
#                        + deviation of the district    N(0, σ²_district)
#                        + deviation of the school      N(0, σ²_school)
#                        + sampling error               N(0, vi)
#
# One more term, and the formula says it as it does in any mixed model: `(1 | district/school)`.

# %%
nested = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
nested.summary()

# %% tags=["fold"]
deep = nested.tidy().iloc[0]
between, within = nested.components["estimate"]

# %% [markdown]
# The mean is now {{deep["estimate"]:.3f}}, its standard error {{deep["std_error"]:.3f}}, nearly twice as large: z =
# {{deep["statistic"]:.2f}}, p = {{deep["p_value"]:.3f}}.
#
# The same model can be written with one variance for all true effects, tau², and a correlation rho of any two schools of
# a district, which metafor's users know as compound symmetry. tau² is the sum of the two variances, rho the share that
# districts have in it.

# %%
shared = mx.rma_mv("yi ~ 1 + homcs(0 + school | district)", schools)
shared.confint("components").round(4)

# %% tags=["fold"]
components = shared.confint("components").set_index("term")
tau2, rho = components["estimate"]
rho_low, rho_high = components.loc["rho", ["conf_low", "conf_high"]]
likelihood_gap = nested.loglik() - shared.loglik()

# %% [markdown]
# tau² = {{tau2:.4f}} and rho = {{rho:.3f}}: two schools of one district are much alike. The interval of rho, from
# {{rho_low:.2f}} to {{rho_high:.2f}}, is far from zero, where the model of section 1 has it. (Both ways of writing are one
# model: {{between:.4f}} + {{within:.4f}} = {{between + within:.4f}}, and the log likelihoods differ by
# {{abs(likelihood_gap):.0e}}. They part where rho is negative, which only the second can be.)

# %% [markdown]
# ## 3. Why: who has a say
#
# A mean of estimates is a vote, and the model hands out the votes. The weights of all schools of a district, added up,
# under either model:

# %%
weights = pd.DataFrame(
    {
        "district": schools["district"],
        "ignoring districts": ignoring.study_weights.to_numpy(),
        "with districts": nested.study_weights.to_numpy(),
    }
)
by_district = weights.groupby("district", observed=True).sum().loc[by_size]
by_district.insert(0, "schools", size["size"])
by_district.insert(1, "mean effect", size["mean"])
by_district.round(2)

# %% tags=["fold"] alt="Weight of each district in either model. Ignoring districts, the weight grows with the number of schools, from under 4 to over 20 per cent; with districts all have between 7 and 10 per cent."
figure, axes = plt.subplots(figsize=(6.8, 4.4))
rows = np.arange(n_districts)
first, second = by_district["ignoring districts"], by_district["with districts"]
axes.axvline(100 / n_districts, color=GREY, lw=0.8, ls=":")
axes.text(100 / n_districts, -1.0, " equal weights", color=GREY, fontsize=8.5, va="center")
axes.hlines(rows, first, second, color="#c8c8c8", lw=2, zorder=1)
axes.plot(first, rows, "s", color=ORANGE, ms=7, label="ignoring districts", zorder=2)
axes.plot(second, rows, "o", color=BLUE, ms=7, label="with districts", zorder=2)
minus = "\N{MINUS SIGN}"
names = [
    f"district {d}: {r['size']:.0f} schools, mean {r['mean']:.2f}".replace("-", minus)
    for d, r in size.loc[by_size].iterrows()
]
axes.set_yticks(rows, names)
axes.tick_params(axis="y", length=0)
axes.set_ylim(n_districts - 0.4, -1.5)
axes.set_xlim(0, None)
axes.set_xlabel("weight in the mean effect (per cent)")
axes.legend(loc="lower right")
axes.set_title("What each district weighs")

# %% tags=["fold"]
two = by_district.sort_values("schools").index[-2:]
two_flat, two_deep = by_district.loc[two, "ignoring districts"].sum(), by_district.loc[two, "with districts"].sum()
two_means = size.loc[two, "mean"]
same = schools["district"].to_numpy()[:, None] == schools["district"].to_numpy()
M = np.diag(schools["vi"] + within) + between * same
w = ignoring.study_weights.to_numpy() / 100
honest = np.sqrt(w @ M @ w)
v_typical = nested.typical_variance
variance_of = {m: between + (within + v_typical) / m for m in (3, 11)}

# %% [markdown]
# **The estimate moves because the votes move.** Without districts a school's weight is 1 / (vi + tau²). As tau²
# ({{flat_tau2:.3f}}) is much larger than most vi, all schools weigh about the same, and a district weighs by how many
# schools it has. Districts {{two[0]}} and {{two[1]}} have {{by_district.loc[two, "schools"].sum()}} of the 56 schools and
# {{two_flat:.0f}} % of the votes, and they found nothing ({{two_means.iloc[0]:.2f}} and {{two_means.iloc[1]:.2f}}): they
# pull the mean down. With districts they have {{two_deep:.0f}} %.
#
# With districts, the mean of a district with m typical schools tells the overall mean with a variance of σ²_district +
# (σ²_school + v) / m. For 3 schools this is {{variance_of[3]:.3f}}, for 11 it is {{variance_of[11]:.3f}}, and for
# infinitely many it is σ²_district = {{between:.3f}}: the second school of a district helps, the eleventh hardly. So all
# districts weigh about the same.
#
# **The standard error grows because there are {{n_districts}} districts and not 56 of anything.** Even the mean of section
# 1, {{flat["estimate"]:.3f}}, does not have the standard error of {{flat["std_error"]:.3f}} that was printed beside it.
# If the model with districts is right, it is {{honest:.3f}}: larger than that of the better weighted mean,
# {{deep["std_error"]:.3f}}. Ignoring the districts has cost precision and hidden the cost.

# %% [markdown]
# ## 4. Where effects differ
#
# Almost nothing of the scatter is sampling error. Most of it is between districts:

# %%
shares = nested.i2()
shares.round(3)

# %% tags=["fold"]
i2 = shares.set_index("group")["i2"]
ends = nested.confint("components").set_index("group")
sd_d = np.sqrt(ends.loc["district", ["conf_low", "conf_high"]].astype(float))
sd_s = np.sqrt(ends.loc["district:school", ["conf_low", "conf_high"]].astype(float))

# %% [markdown]
# Of the variance of a typical estimate {{i2["district"]:.0f}} % lies between districts, {{i2["district:school"]:.0f}} %
# between schools of a district, and {{i2["(sampling)"]:.0f}} % is sampling error. (The last depends on how large the
# studies happen to be; the variances themselves do not.)
#
# How well are the variances known? Variances from {{n_districts}} districts have a skew distribution, and "estimate ± 2
# standard errors" would be wrong at both ends. Profile likelihood asks instead which values the data can live with:

# %%
nested.confint("components").round(4)

# %% alt="Profiles of both standard deviations. The lines bend: that of the districts flattens to the right, so that the interval reaches further up than down."
nested.profile().plot()

# %% [markdown]
# Each panel shows one standard deviation, and on the vertical axis how far (in standard normal units) the likelihood
# falls when it is held there; the vertical lines are the 50, 80 and 95 % intervals. A straight line would mean that ±
# works. The line of the districts flattens to the right: the standard deviation of districts may be as small as
# {{sd_d.iloc[0]:.2f}} or as large as {{sd_d.iloc[1]:.2f}}. That of schools within districts, of which there are more, lies
# between {{sd_s.iloc[0]:.2f}} and {{sd_s.iloc[1]:.2f}}.

# %% [markdown]
# ## 5. Each district, and the next one

# %% alt="Forest plot of all schools under the heading of their district, with the predicted mean of each district as a diamond and the overall mean at the end."
nested.plot("forest", group="district", slab="label", xlabel="effect of the modified calendar")

# %% tags=["fold"]
ahead = nested.predict().iloc[0]
fixed_width = deep["conf_high"] - deep["conf_low"]
pred_width = ahead["pred_high"] - ahead["pred_low"]

# %% [markdown]
# The diamonds of the districts are predictions of their mean true effect. They borrow from each other: that of district
# {{highest}}, whose schools average {{size.loc[highest, "mean"]:.2f}}, is drawn towards the overall mean.
#
# The last line has two intervals, and they answer two questions. *What is the mean effect over districts like these?*
# {{ahead["estimate"]:.2f}}, between {{ahead["conf_low"]:.2f}} and {{ahead["conf_high"]:.2f}}. *What will happen in a
# school of the next district?* Anything from {{ahead["pred_low"]:.2f}} to {{ahead["pred_high"]:.2f}}, an interval
# {{pred_width / fixed_width:.1f}} times as wide. A mean above zero does not promise a gain to anybody in particular.

# %% [markdown]
# ## 6. Few districts: tests that do not lean on the model
#
# All of the above believes the model: one variance for all districts, normal deviations, known vi. Cluster-robust
# standard errors need only that districts are independent. With few clusters the choice matters: CR2 removes the bias
# that the plain sandwich has, and Satterthwaite's degrees of freedom say how well the standard error itself is known.

# %%
tests = pd.concat(
    {
        df: nested.robust("district", kind="CR2", df=df).tidy().iloc[0]
        for df in ("naive", "satterthwaite", "saddlepoint")
    },
    axis=1,
).T
tests[["estimate", "std_error", "df", "p_value", "conf_low", "conf_high"]].astype(float).round(4)

# %% [markdown]
# For the mean all three agree: all {{n_districts}} districts take part in it about equally, which was the point of
# section 3, and so {{tests.loc["satterthwaite", "df"]:.1f}} degrees of freedom are nearly the naive
# {{tests.loc["naive", "df"]:.0f}} (districts less one). But p moves from {{deep["p_value"]:.3f}} under the normal
# distribution to {{tests.loc["satterthwaite", "p_value"]:.3f}}. The evidence is weaker than a z test says.
#
# Naive degrees of freedom go wrong where **few clusters decide**. Take a question like "did districts with reports of 1989
# to 1995 find other effects?":

# %%
middle = schools.assign(middle=schools["year"].between(1989, 1995).astype(int))
with_middle = mx.rma_mv("yi ~ middle + (1 | district/school)", middle)
robust = {df: with_middle.robust("district", df=df) for df in ("naive", "satterthwaite", "saddlepoint")}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    question = pd.concat({df: one.tidy().iloc[1] for df, one in robust.items()}, axis=1).T
question[["estimate", "std_error", "df", "p_value"]].astype(float).round(3)

# %% tags=["fold"]
n_middle = int(middle.groupby("district", observed=True)["middle"].max().sum())
few = dict.fromkeys(str(w.message) for w in caught if isinstance(w.message, mx.errors.FewClustersWarning))
said = next(iter(few), "")

# One simulation: no effect of `middle`, all else as estimated; how often does each test at the 5 % level find one?
rng = np.random.default_rng(20110)
codes = schools["district"].cat.codes.to_numpy()
N_SIM, wrong = 300, {"naive": 0, "satterthwaite": 0}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for _ in range(N_SIM):
        true = deep["estimate"] + np.sqrt(between) * rng.standard_normal(n_districts)[codes]
        true = true + np.sqrt(within) * rng.standard_normal(len(schools))
        data = middle.assign(yi=true + np.sqrt(schools["vi"]) * rng.standard_normal(len(schools)))
        simulated = mx.rma_mv("yi ~ middle + (1 | district/school)", data)
        for df in wrong:
            wrong[df] += simulated.robust("district", df=df).tidy()["p_value"].iloc[1] < 0.05
share = {df: 100 * count / N_SIM for df, count in wrong.items()}
monte_carlo = 2 * 100 * np.sqrt(0.05 * 0.95 / N_SIM)

# %% [markdown]
# Of the {{n_districts}} districts {{n_middle}} have such reports, and the contrast stands or falls with them: it has
# {{question.loc["satterthwaite", "df"]:.1f}} degrees of freedom, not {{question.loc["naive", "df"]:.0f}}. Below four the
# approximation itself is not to be trusted, and mixedfx says so in a warning
# {{"(it did here: " + said.split(". ")[0] + ")" if said else ""}}. We simulated {{N_SIM}} data sets like ours in which
# there was no such difference: the test with naive degrees of freedom found one in {{share["naive"]:.0f}} % of them, that
# with Satterthwaite's in {{share["satterthwaite"]:.0f}} %, where 5 % were promised (the simulation itself is good to ±
# {{monte_carlo:.1f}} points). The saddlepoint approximates the p value itself; the degrees of freedom in its row are
# those of a t distribution with the same p, and mean little where, as here, t is near zero.

# %% [markdown]
# ## 7. What if sampling errors are correlated too?
#
# The model lets true effects of a district be alike. Their *sampling errors* may be correlated as well, if schools are
# compared with the same control group, say. Nobody reported that. `vcalc` writes down the covariance of the errors that
# a correlation would mean; a working model is fitted for several, and robust standard errors are valid for each.

# %%
V = mx.vcalc("vi", schools, cluster="district", rho=0.6)
mx.rma_mv("yi ~ 1 + (1 | district/school)", schools, V=V).components.round(4)

# %%
sensitivity = mx.rho_sensitivity("yi ~ 1 + (1 | district/school)", schools, cluster="district")
sensitivity

# %% alt="Mean effect with its robust interval for correlations of errors from 0 to 0.8; the five intervals are almost the same."
sensitivity.plot()

# %% tags=["fold"]
table = sensitivity.table
drift = table["estimate"].max() - table["estimate"].min()

# %% [markdown]
# From a correlation of {{table["rho"].min():g}} to one of {{table["rho"].max():g}} the mean moves by {{drift:.3f}}, a small
# part of its standard error. What the correlation does move is the split of the variance. Errors that schools share
# make districts look different (and schools alike), so with more of them less is left for the districts, and more for
# the schools. Here the unknown correlation is nothing to worry about, and now that is known and
# not hoped.

# %% [markdown]
# ## 8. Does the year explain it?

# %%
by_year = schools.assign(decade=(schools["year"] - 1990) / 10)
regression = mx.rma_mv("yi ~ decade + (1 | district/school)", by_year)
regression.robust("district").tidy().round(3)

# %% alt="Effects over the year, with the fitted line, its confidence band and the band of true effects. The line is almost level."
mx.rma_mv("yi ~ year + (1 | district/school)", schools).plot("bubble", ylabel="effect")

# %% tags=["fold"]
slope = regression.robust("district").tidy().set_index("term").loc["decade"]
left_over = regression.components["estimate"]
constant_years = int((schools.groupby("district", observed=True)["year"].nunique() == 1).sum())

# %% [markdown]
# The effect changes by {{slope["estimate"]:.2f}} per decade, from {{slope["conf_low"]:.2f}} to
# {{slope["conf_high"]:.2f}}: nothing can be said about its sign. The variance between districts stays at
# {{left_over.iloc[0]:.3f}} (it was {{between:.3f}}). Note the degrees of freedom, {{slope["df"]:.1f}}. The year is a
# property of districts ({{constant_years}} of {{n_districts}} have a single one), so 56 schools are
# {{n_districts}} points on the axis, and the few early ones decide. An analysis of 56 independent schools would not have
# noticed. Districts chose their calendars and their years, too: no slope here is the effect of time.

# %% [markdown]
# ## 9. Are studies missing?
#
# If small studies are published only where they found something, the small ones (at the bottom of a funnel plot) lean to
# one side.

# %% tags=["fold"] alt="Funnel plot: effects against standard errors. Most points lie outside the region of chance; the eight schools of one district form a row at the top, all near zero."
picture = nested.plot("funnel", xlabel="effect of the modified calendar")
tight = schools.groupby("district", observed=True)["vi"].max().idxmin()
row = schools[schools["district"] == tight]
picture.ax.plot(row["yi"], np.sqrt(row["vi"]), "o", color=ORANGE, ms=5, label=f"district {tight}")
picture.ax.legend(fontsize=7, frameon=False, loc="upper right")
picture

# %% [markdown]
# Be careful with the reading:
#
# * **The funnel is drawn for chance alone.** Its edges say where estimates lie if all schools have one true effect. With
#   a tau of {{np.sqrt(tau2):.2f}} points must lie outside; that is heterogeneity, not bias.
# * **Points come in families.** District {{tight}} is one row of {{len(row)}} points. What looks like a pattern of 56 is a
#   pattern of {{n_districts}}, and tests for asymmetry that count 56 are too sure.
# * **Precision goes with districts.** If the standard error goes with the effect, that may be since districts differ.
#
# Tests for independent studies, applied as if there were no districts, and the same question put to the model that knows
# them (a regression on the standard error, with robust tests):

# %%
naive_test = ignoring.regtest()
filled = ignoring.trimfill()
with_error = schools.assign(standard_error=np.sqrt(schools["vi"]))
egger = mx.rma_mv("yi ~ standard_error + (1 | district/school)", with_error).robust("district").tidy()
egger.round(3)

# %% tags=["fold"]
term = egger.set_index("term").loc["standard_error"]

# %% [markdown]
# The model with districts finds a slope of {{term["estimate"]:.2f}} with p = {{term["p_value"]:.2f}} on
# {{term["df"]:.1f}} degrees of freedom: no evidence, and little power to find any. Egger's test without districts has p =
# {{naive_test.p_value:.2f}}. Trim and fill, which also takes the schools for independent, adds {{filled.k0}} schools on
# the {{filled.side}} and moves the mean from {{flat["estimate"]:.2f}} to {{filled.fit.beta[0]:.2f}}. The side should make
# us stop: it would mean that schools with *large gains* were not reported. What it has filled in is the unlike schools
# of districts with many. **None of these methods turns biased literature into unbiased literature.** They are ways of
# asking "what if"; the answer to bias is a registry of studies.

# %% [markdown]
# ## 10. The same two models, the Bayesian way
#
# So far a parameter was a number to be estimated. Now it has a distribution: before the data (the prior) and after them
# (the posterior). A prior is needed for each parameter, and we take a published set that was made for standardised mean
# differences, `robma3`: the mean effect is likely between -2 and 2, N(0, 1); tau is positive and rather small, an inverse
# gamma distribution; rho, the share of the districts in tau², may be anything between 0 and 1.
#
# Each of the two models is an ensemble of one. Nothing is sampled: the posterior of so few parameters is computed by
# quadrature, to many digits.

# %%
p = mx.priors
one_model = {"effect": [p.normal(0, 1)], "heterogeneity": [p.inv_gamma(1, 0.15)]}
twin_flat = mx.bma(schools, measure="SMD", priors=p.robma3(**one_model))
twin_deep = mx.bma(schools, measure="SMD", priors=p.robma3(**one_model), cluster="district")
twin_deep.estimates.round(3)

# %% tags=["fold"]
flat_b, deep_b = twin_flat.estimates, twin_deep.estimates
gap = float(twin_deep.log_evidence[0] - twin_flat.log_evidence[0])


def interval(row):
    return f"{row['mean']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]".replace("-", "\N{MINUS SIGN}")


pd.DataFrame(
    {
        "REML": [
            f"{flat['estimate']:.3f} [{flat['conf_low']:.3f}, {flat['conf_high']:.3f}]",
            f"{deep['estimate']:.3f} [{deep['conf_low']:.3f}, {deep['conf_high']:.3f}]",
        ],
        "Bayes": [interval(flat_b.loc["mu"]), interval(deep_b.loc["mu"])],
        "log evidence": [round(float(one.log_evidence[0]), 2) for one in (twin_flat, twin_deep)],
    },
    index=pd.Index(["ignoring districts", "with districts"], name="mean effect"),
)

# %% [markdown]
# The answers are those of sections 1 and 2, drawn a little towards zero by the prior. tau is
# {{interval(deep_b.loc["tau"])}} and rho {{interval(deep_b.loc["rho"])}}, where REML had {{np.sqrt(tau2):.3f}} and
# {{rho:.3f}}. What is new is the last column. The **evidence** of a model is the probability that it had given to these
# data before they were seen, and evidences of two models can be compared: the data are exp({{gap:.2f}}) =
# {{np.exp(gap):,.0f}} times as probable if districts may share an effect as if they may not.
#
# What the data taught about rho is the difference between two curves:

# %% alt="Prior and posterior of rho. The prior is a level line; the posterior is a hill over .4 to .9 with its top near .7, and next to nothing at zero."
twin_deep.plot("parameter", parameter="rho")

# %% [markdown]
# ## 11. Is there an effect? An average over models
#
# A p value cannot speak *for* the absence of an effect. Evidences can. Four models, each with prior probability 1/4: with
# and without a mean effect, with and without heterogeneity. A **Bayes factor** says how much the data shift the odds of
# "there is one" against "there is none": above 1 for it, below 1 against it, and between 1/3 and 3 they have said little.

# %%
average = mx.bma(schools, measure="SMD", cluster="district")
average.components.map("{:.4g}".format)

# %% tags=["fold"]
bf = average.components["inclusion_bf"]
posterior = average.components["posterior"]
mean_all, mean_given = average.estimates.loc["mu"], average.conditional.loc["mu"]

# %% alt="Prior and posterior of the mean effect, with arrows at zero of about one half each; the posterior curve stands around .18, the prior is wide and flat."
average.plot("parameter", xlabel="mean effect of the modified calendar")

# %% [markdown]
# * **Heterogeneity** is beyond doubt: the Bayes factor is {{bf["heterogeneity"]:.1e}}.
# * **A mean effect** is as likely after the data as before them: the Bayes factor is {{bf["effect"]:.2f}}, the probability
#   {{posterior["effect"]:.2f}}. The arrows at zero are the models without an effect, before and after the data.
#
# In section 2 the test of the mean had p = {{deep["p_value"]:.3f}}, and many a reader would have called that an effect.
# Both are computed from the same {{n_districts}} districts, and they do not contradict each other. p asks how surprising the
# data would be without an effect. The Bayes factor also asks how surprising they are *with* one, and an effect of N(0, 1)
# would most likely have been much larger than what was seen.
#
# Averaged over all four models the mean effect is {{interval(mean_all)}}, with a median of {{mean_all["median"]:.0f}},
# since half of the probability is at zero. Among the models that have an effect it is {{interval(mean_given)}}.
#
# That answer rests on the prior, and how much it does can be seen:

# %% alt="Bayes factor of the effect over the scale of its prior, falling from above two at a quarter of the scale to below one third at four times the scale."
average.plot("sensitivity", prior="effect")

# %% tags=["fold"]
scales = average.sensitivity("effect")
bf_by_scale = scales[scales["component"] == "effect"].set_index("factor")["inclusion_bf"]

# %% [markdown]
# Who expects effects of a tenth or two (a quarter of the scale) gets a Bayes factor of
# {{bf_by_scale.loc[0.25]:.1f}} in favour of one; who holds effects of 4 for possible gets {{bf_by_scale.loc[4.0]:.2f}}.
# Nobody gets strong evidence in either direction. **The data do not settle whether there is a mean effect.**
#
# The districts, averaged over the four models:

# %% alt="Forest plot with a line for each district, its mean true effect and interval, and two diamonds: averaged over all models, and over the models with an effect."
average.plot("forest", studies=False, cluster="district", xlabel="mean effect in the district")

# %% [markdown]
# ## 12. Do districts matter? A test
#
# Sections 2 to 5 took for granted that districts share something. Now it is a question: models in which rho is exactly 0
# beside models in which it may be anything between 0 and 1.

# %%
clustered_or_not = p.robma3(hierarchical=[p.spike(0), p.beta(1, 1)])
tested = mx.bma(schools, measure="SMD", cluster="district", priors=clustered_or_not)
tested.components.map("{:.4g}".format)

# %% alt="Prior and posterior of rho with an arrow at zero: one half before the data, invisible after them."
tested.plot("parameter", parameter="rho")

# %% tags=["fold"]
clustering = tested.components.loc["hierarchical", "inclusion_bf"]

# %% [markdown]
# The Bayes factor for clustering is {{clustering:,.0f}}. Before the data half of the probability was at rho = 0 (the dashed
# arrow); after them one part in {{1 + clustering:,.0f}} is left there.

# %% [markdown]
# ## 13. Are studies missing? Now in clusters
#
# Section 9 asked with tools that have no place for districts. A selection model says what it believes about publication:
# estimates with a small p value are seen, others only with a certain probability, their weight. For dependent estimates
# such models were long held to be out of reach, since the probability that a whole district is seen is an integral over
# as many dimensions as it has schools. But given what the schools of a district share they are independent: one
# integral over that one effect, for any number of schools.
#
# We do not know which form bias has, so many are averaged over: six weight functions of p values, and two lines on
# which effects rise with the standard error (PET) or its square (PEESE); half of the prior probability is on no bias.

# %%
began = time.perf_counter()
biased = mx.robma(schools, measure="SMD", cluster="district")
seconds = time.perf_counter() - began
biased.components.map("{:.4g}".format)

# %% tags=["fold"]
bias = biased.components.loc["bias"]
bias_mean = biased.estimates.loc["mu"]
evidence_error = biased.models["error"].max()

# %% alt="The most probable of the 36 models as bars: two without bias have most of the probability, then those with PET and PEESE; all weight functions are below their prior probability."
biased.plot("models", most=8)

# %% [markdown]
# These are {{len(biased.models)}} models, computed in {{seconds:.0f}} seconds. (Where weights and districts meet, the
# evidence comes from quasi-Monte Carlo integration, and each has its error; the largest is {{evidence_error:.3f}} on the log
# scale.)
#
# The Bayes factor of bias is {{bias["inclusion_bf"]:.2f}}: the data speak moderately against it. The mean effect stays
# where it was, {{interval(bias_mean)}}. Why so? Of the estimates {{biased.weights["k"].iloc[0]}} are significant in the
# direction of an effect, and {{int(biased.weights["k"].iloc[3:].sum())}} are on the wrong side of zero. Had those been hard
# to publish, they would not be here. The weights, averaged over the models that have some:

# %% alt="Weights by p value with their band, above the prior everywhere: about .95 just below .05, .75 to .85 beyond."
biased.plot("weights", conditional=True)

# %% alt="Funnel with the lines of PET and PEESE, nearly upright, with wide bands."
biased.plot("funnel")

# %% [markdown]
# ## 14. What the mechanism changes
#
# "Seen only with a certain probability": who is? With one estimate to a study there is one answer. With schools in
# districts there are several:
#
# * *conditional*: every school passes or fails on its own;
# * *joint*: a district is seen only if all of its schools pass, as one report;
# * *best*: a district is seen if its most significant school passes, and then all of it is reported.
#
# **The data cannot tell these apart**: each school that we see has been seen. Which one is plausible must be known from how
# the studies came about. So look at what hangs on it. First by maximum likelihood, with a single step at p = .025:

# %%
step = nested.selmodel(steps=(0.025,))
by_mechanism = step.sensitivity
by_mechanism.drop(columns="note").round(4)

# %% tags=["fold"]
ml = by_mechanism.set_index("mechanism")
weight_seen = float(step.delta[-1])

# %% [markdown]
# From {{ml.loc["best", "estimate"]:.2f}} to {{ml.loc["joint", "estimate"]:.2f}}: the choice of a mechanism moves the mean
# more than anything else on this page. (The log likelihoods are no vote on it: in simulations of schools that were filtered
# one by one that of *joint* was mostly the highest.) And look at the weight: under "conditional" it is {{weight_seen:.1f}}, so that schools
# which found *nothing* would be {{weight_seen:.1f}} times as likely to be seen. A likelihood is free to say so. It has
# noticed what trim and fill had noticed, too many schools without an effect for its idea of a distribution, and calls it
# selection, from the wrong side.
#
# The 36 models cannot: their weights are at most 1 by their prior, as bias means that findings are preferred. The same
# average under the three mechanisms (only models that have weights and districts are computed anew):

# %%
mechanisms = ["conditional", "joint", "best"]
compared = biased.sensitivity([], mechanisms=mechanisms)
wide = compared.pivot(index="mechanism", columns="component", values="inclusion_bf").loc[mechanisms]
wide[["effect", "bias"]].assign(mu=compared.groupby("mechanism")["mu"].first()).round(3)

# %% tags=["fold"]
of_bias = wide["bias"]
mu_by = compared.groupby("mechanism")["mu"].first()
best_z = (schools["yi"] / np.sqrt(schools["vi"])).groupby(schools["district"], observed=True).max()
n_best = int((best_z > 1.96).sum())

# %% [markdown]
# Averaged, the mean effect goes from {{mu_by["best"]:.3f}} to {{mu_by.max():.3f}}, a fraction of what it did above, since
# none of the weight functions has much probability to begin with. The Bayes factor of bias does depend on the mechanism:
# {{of_bias["conditional"]:.2f}} and {{of_bias["joint"]:.2f}} if schools or whole districts are filtered,
# {{of_bias["best"]:.2f}} if a district is published for its best school. In the last case the data say nothing:
# {{n_best}} of the {{n_districts}} districts have a school with p below .025, which is much like what such a filter would
# leave. Report the mechanism with any number that was adjusted for bias, and the others beside it.

# %% [markdown]
# ## 15. What to report
#
# * The mean with districts, {{deep["estimate"]:.2f}}, with a robust interval,
#   {{tests.loc["satterthwaite", "conf_low"]:.3f}} to {{tests.loc["satterthwaite", "conf_high"]:.3f}}: a gain is likely,
#   not shown.
# * Both variances with their intervals, and the prediction interval, {{ahead["pred_low"]:.2f}} to
#   {{ahead["pred_high"]:.2f}}: the districts differ more than the mean differs from zero.
# * That ignoring the districts would have given {{flat["estimate"]:.2f}} ± {{flat["std_error"]:.2f}}, a smaller effect
#   with more confidence in it, and that both come from counting schools where districts should be counted.
# * What a Bayesian adds: districts matter (a Bayes factor of {{clustering:,.0f}}), effects differ beyond doubt, and for a
#   *mean* effect the data have next to nothing to say, {{bf["effect"]:.2f}}; that this number depends on the prior, and how.
# * Bias with the mechanism that was assumed: a Bayes factor of {{of_bias["conditional"]:.2f}} if schools are filtered one by
#   one, {{of_bias["best"]:.2f}} if districts are published for their best school.
#
# On the command line:
#
#     mixedfx meta "yi ~ 1 + (1 | district/school)" school_calendars \
#         --cluster district --group district --slab school \
#         --forest forest.png --json answer.json
#     mixedfx robma "yi ~ 1" school_calendars --measure SMD \
#         --cluster district --test-clusters --forest averaged.png \
#         --weights weights.png --json averaged.json

# %% [markdown]
# ---
# **Data.** S. Konstantopoulos (2011), Fixed effects and variance components estimation in three-level meta-analysis,
# *Research Synthesis Methods* 2(1):61–76; collected by H. Cooper, J. C. Valentine, K. Charlton and A. Melson (2003),
# *Review of Educational Research* 73(1):1–52.
#
# **Methods.** Profile likelihood: W. Viechtbauer (2010), *Journal of Statistical Software* 36(3). CR2 and its degrees of
# freedom: J. E. Pustejovsky and E. Tipton (2018), *Journal of Business & Economic Statistics* 36(4):672–683. Working models of
# correlated and hierarchical effects: the same (2022), *Prevention Science* 23:425–438. Shares of levels: S. Nakagawa and
# E. Santos (2012), *Evolutionary Ecology* 26:1253–1274. Averaging over models, with bias: M. Maier, F. Bartoš and E.-J.
# Wagenmakers (2023), *Psychological Methods* 28(1):107–122; F. Bartoš, M. Maier, E.-J. Wagenmakers, H. Doucouliagos and T.
# D. Stanley (2023), *Research Synthesis Methods* 14(1):99–116. PET and PEESE: T. D. Stanley and H. Doucouliagos (2014),
# *Research Synthesis Methods* 5(1):60–78.
