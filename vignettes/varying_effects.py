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
# # Varying effects: for whom do small classes work?
#
# In Project STAR lots were drawn within each school of the experiment: some pupils entered kindergarten in a small
# class, the others in a regular one. That small classes help with mathematics *on average* is settled. The next
# question is always the same. Do they help Black boys? Girls who get free lunch in the country? And who else?
#
# An experiment that is large enough for one number is not large enough for dozens. The multilevel answer, which Andrew
# Gelman has urged for decades, is to let the effect vary over everything it plausibly varies over, and to let the data
# say how much: subgroups borrow from each other where their own data are few. With a treatment `z`, two traits `x1` and
# `x2`, and two factors `x3` and `x4` with many levels, the formula ends as
#
#     y ~ z*x1*x2 + (1 + z | x3*x4)
#
# and whoever arrives there has four questions, which are those of this page:
#
# 1. Is this reasonable?
# 2. How do I get intervals?
# 3. What about intersections, such as Black boys?
# 4. Would it be easier in Stan?
#
# Two more sections are about people who are not in the data, and about the risk of reading too much into many
# subgroups.

# %%
import time
import warnings
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mixedfx as mx

star = mx.datasets.load("star")
traits = ["race", "gender", "lunch", "schtype"]
star["group"] = star[traits].astype(str).agg(" ".join, axis=1)
star[["math", "small", "sch", *traits, "group"]].head()

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
BLUE, RED, ORANGE, GREY = "#0072B2", "#B2182B", "#E69F00", "#6B6B6B"


def said(caught):
    """Print warnings that were caught."""
    for warning in caught:
        print(f"{warning.category.__name__}: {warning.message}\n")


n_pupils, n_schools, n_groups = len(star), star["sch"].nunique(), star["group"].nunique()
per_group = star["group"].value_counts()

# %% [markdown]
# There are {{n_pupils:,}} pupils in {{n_schools}} schools. The traits are `race` and `gender`; the factors with many
# levels are the school, `sch`, and `group`, which crosses race, gender, school lunch (free or paid, a sign of income)
# and the kind of place the school is in. The {{n_groups}} groups have from {{per_group.min()}} to {{per_group.max()}}
# pupils.

# %% [markdown]
# ## The ladder
#
# From one effect for everybody to an effect that varies over schools, groups, and every group within every school:

# %%
LADDER = [
    "math ~ small",
    "math ~ small*race + small*gender",
    "math ~ small*race*gender",
    "math ~ small*race*gender + (1 | sch) + (1 | group)",
    "math ~ small*race*gender + (1 + small | sch) + (1 + small | group)",
    "math ~ small*race*gender + (1 + small | sch*group)",
]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ladder = [mx.lmer(formula, star) for formula in LADDER]
    answers = [mx.effects(fit, "small", by=["race", "gender"], newdata=star) for fit in ladder]
said(caught)

# %% [markdown]
# These are three caveats. The last two fits are *singular*; question 1 comes back to that. And under the first
# formula the effect cannot vary by race and gender, so that a table by race and gender would say nothing about them.
# The line that mends it is part of the message. (`newdata=star` hands over columns that a formula does not use.)

# %% tags=["fold"] alt="Effect of a small class for Black boys, Black girls, White boys and White girls under each of the six formulas, with intervals. On the first rung all four agree; from the second on they differ; the last three rungs nearly agree."
who = [f"{race} {gender}s" for race, gender in answers[0].table[["race", "gender"]].to_numpy()]
figure, axes = plt.subplots(figsize=(7.2, 4.2))
for rung, answer in enumerate(answers):
    for position, (name, row) in enumerate(zip(who, answer.table.itertuples(), strict=True)):
        y = rung + 0.16 * (position - 1.5)
        color = BLUE if name.startswith("Black") else ORANGE
        marker = "o" if name.endswith("boys") else "s"
        axes.hlines(y, row.lower, row.upper, color=color, lw=1.5)
        axes.plot(
            row.estimate, y, marker, color=color, ms=5.5, mfc=color if marker == "o" else "white",
            label=name if rung == 0 else None,
        )  # fmt: skip
axes.axvline(0, color="black", lw=0.8)
labels = [formula.removeprefix("math ~ ").replace(" + (", "\n+ (", 1) for formula in LADDER]
axes.set_yticks(range(len(LADDER)), labels, fontsize=8.5)
axes.invert_yaxis()
axes.tick_params(axis="y", length=0)
axes.set_xlabel("effect of a small class on mathematics (points of the test), 95 % interval")
axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(-0.45, 1.0), handletextpad=0.1, columnspacing=1.2)
figure.tight_layout()

# %% tags=["fold"]
sd_math = star["math"].std()
overall = [mx.effects(fit, "small") for fit in ladder]
third, fourth, last = (overall[rung].table["sd"].iloc[0] for rung in (2, 3, 5))
change = [abs(answers[5].table["estimate"] - answers[rung].table["estimate"]).max() for rung in (2, 4)]

# %% [markdown]
# (A standard deviation of pupils is {{sd_math:.0f}} points.) Schools take noise away: from the third to the fourth rung
# the standard error of the average effect falls from {{third:.2f}} to {{fourth:.2f}}. Letting the *effect* vary changes
# little for these four large subgroups, at most {{change[1]:.1f}} points from the fifth rung to the last. What it is
# for are the small ones.

# %% [markdown]
# ## 1. Is this reasonable?
#
# A model is reasonable if data that it makes up look like the data in the respect that matters. Here that is: how much
# do effects differ from school to school, and from group to group within schools? So we take the raw difference of
# small and regular classes in each, and its standard deviation over schools and over groups within schools, in the data
# and in data that each rung makes up. The random effects are made up anew, too.


# %%
def raw_differences(cell, at_least):
    """Rows that take the raw difference of means in each cell with enough pupils in both arms."""
    member = pd.get_dummies(cell).to_numpy(dtype=float).T
    small = star["small"].to_numpy() == 1
    in_small, in_regular = member @ small, member @ ~small
    enough = (in_small >= at_least) & (in_regular >= at_least)
    member, in_small, in_regular = member[enough], in_small[enough, None], in_regular[enough, None]
    return member * np.where(small, 1 / in_small, -1 / in_regular)


CELLS = {
    "between schools": raw_differences(star["sch"], at_least=3),
    "between groups within schools": raw_differences(star["sch"].astype(str) + star["group"], at_least=3),
}
observed = {name: float(np.std(rows @ star["math"].to_numpy())) for name, rows in CELLS.items()}
made_up = [np.asarray(fit.simulate(200, seed=1)) for fit in ladder]
replicated = {name: np.array([np.std(rows @ Y, axis=0) for Y in made_up]) for name, rows in CELLS.items()}

# %% tags=["fold"] alt="Standard deviation of raw differences between schools and between groups within schools: a vertical line for the data, and for each rung the range of data made up by it. The first four rungs lie left of the line, the last two hold it."
figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.1), sharey=True)
for axes, (name, values) in zip(panels, replicated.items(), strict=True):
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=1)
    for rung in range(len(LADDER)):
        color = BLUE if low[rung] <= observed[name] <= high[rung] else RED
        axes.hlines(rung, low[rung], high[rung], color=color, lw=2.5)
        axes.plot(middle[rung], rung, "o", color=color, ms=5)
    axes.axvline(observed[name], color="black", lw=1.2, ls="--")
    axes.set_title(f"{name}; dashed: data", fontsize=10)
    axes.set_xlabel("sd of raw differences (points)")
panels[0].set_yticks(range(len(LADDER)), [f"rung {rung + 1}" for rung in range(len(LADDER))])
panels[0].set_ylim(len(LADDER) - 0.5, -0.5)
for axes in panels:
    axes.tick_params(axis="y", length=0)
figure.tight_layout()

# %% tags=["fold"]
top = ladder[-1]
as_large = {name: (values >= observed[name]).mean(axis=1) for name, values in replicated.items()}
expected_without = replicated["between schools"][3].mean()
reml_sds = top.varcorr.query("var1 == 'small' and var2.isna()", engine="python").set_index("grp")["sdcor"]

# %% [markdown]
# Pure noise makes schools differ, too: without any variation of effects (rung four) raw differences would have a
# standard deviation of about {{expected_without:.0f}} points between schools. In the data it is
# {{observed["between schools"]:.0f}}, which not one of the data sets that the first four rungs made up reaches. The last two rungs reproduce it. So yes: here it
# is the model *without* varying effects that is unreasonable.
#
# Is it too much model? REML said of the last rung that it is singular: levels and effects of groups are estimated as
# perfectly correlated, which is the end of the possible range. That is no error. {{n_groups}} groups say little on how
# effects differ between groups, and the single most likely value happens to lie on the boundary. A single value cannot
# carry that uncertainty, which leads to the second question.

# %% [markdown]
# ## 2. How do I get intervals?
#
# Every table of `mx.effects` has them. The question is what they include, and every table says so:

# %%
print(answers[-1].uncertainty)

# %% [markdown]
# REML estimates how much effects vary, with one number for each variance. Much software then treats these numbers as
# known (here: `uncertainty="given theta"`); the intervals above do not. The estimates themselves still rest on the one
# number. `mx.bayes` takes the same formula and averages estimates and intervals over what is not known. (Priors are weak
# defaults; `posterior.prior_summary()` lists them.)

# %%
began = time.perf_counter()
posterior = mx.bayes(LADDER[-1], star, draws=1000, seed=1)
seconds = time.perf_counter() - began
eff = mx.effects(posterior, "small", by=["race", "gender", "lunch"], newdata=star)
print(eff.uncertainty)
eff.table[["race", "gender", "lunch", "n", "estimate", "sd", "lower", "upper", "prob_above_null"]].round(2)

# %% alt="Effect of a small class in eight subgroups of race, gender and school lunch, with 50 and 95 percent intervals. All estimates are positive; those for Black pupils with paid lunch are the least certain."
eff.plot(width=5)

# %% tags=["fold"]
by_group = {
    "REML": mx.effects(top, "small", by="group", uncertainty="given theta").table.set_index("group"),
    "Bayes": mx.effects(posterior, "small", by="group").table.set_index("group"),
}
ratio = by_group["Bayes"]["sd"] / by_group["REML"]["sd"]
draws = posterior.draws()
slope_sds = {name: draws["sd", name, "small"].ravel() for name in ("sch", "group", "sch:group")}
group_low, group_high = np.quantile(slope_sds["group"], [0.025, 0.975])

# %% [markdown]
# How much longer are they than intervals that take the variances as known? It depends on how well the data know by how
# much effects vary:

# %% tags=["fold"] alt="Left: posterior of the standard deviation of the effect between schools, between groups, and between groups within schools, with the estimate of REML as a line; those for groups are wide. Right: standard deviation of the posterior over that of REML given theta for each group, mostly above one."
figure, (axes, scatter) = plt.subplots(1, 2, figsize=(7.6, 3.0), width_ratios=[1.25, 1])
WORDS = {"sch": "schools", "group": "groups", "sch:group": "groups within\nschools"}
for (name, values), color in zip(slope_sds.items(), (GREY, BLUE, ORANGE), strict=True):
    height, edges = np.histogram(values, bins=np.arange(0, 28, 1.5), density=True)
    axes.stairs(height, edges, color=color, lw=1.5, label=WORDS[name])
    axes.axvline(reml_sds[name], color=color, lw=1.2, ls="--")
axes.set_xlabel("sd of the effect (points); dashed: REML")
axes.set_yticks([])
axes.spines["left"].set_visible(False)
axes.set_title("How much does the effect vary?")
axes.set_xlim(0, 32)
axes.legend(title="between", loc="upper right", fontsize=9, alignment="left")
scatter.axhline(1, color="black", lw=0.8)
scatter.plot(per_group[ratio.index], ratio, "o", color=BLUE, ms=5)
scatter.set_xscale("log")
scatter.set_xlabel("pupils in the group")
scatter.set_title("sd of the posterior / sd given theta")
figure.tight_layout()

# %% [markdown]
# {{n_schools}} schools say well by how much schools differ. That groups differ in the effect by
# {{reml_sds["group"]:.1f}} points (REML) could as well be anything from {{group_low:.1f}} to {{group_high:.1f}}, and so
# intervals for groups should be longer: by {{100 * (ratio.median() - 1):.0f}} % in the median of groups, by
# {{100 * (ratio.max() - 1):.0f}} % at most. That is what a plugged-in estimate costs here. Section 6 has a case in
# which it costs much more.

# %% [markdown]
# ## 3. What about intersections, such as Black boys?
#
# An intersection is a set of rows, so its effect is an average over these rows, each with the effect of its race and
# gender, its school, its group, and its group within its school. `by` crosses columns; `subgroups` takes them by name,
# and they may overlap:

# %%
free_inner = "race == 'Black' and gender == 'boy' and lunch == 'free' and schtype == 'inner'"
named = mx.effects(
    posterior,
    "small",
    newdata=star,
    subgroups={
        "Black boys": "race == 'Black' and gender == 'boy'",
        "Black boys, free lunch, inner city": free_inner,
        "rural girls with paid lunch": "gender == 'girl' and lunch == 'paid' and schtype == 'rural'",
    },
)
against_others = named.contrast(against="complement")
named.table[["subgroup", "n", "estimate", "lower", "upper", "prob_above_null"]].round(2)

# %%
against_others.table[["subgroup", "against", "estimate", "lower", "upper", "prob_above_null"]].round(2)

# %% tags=["fold"]
black_boys, black_boys_differ = named.table.iloc[0], against_others.table.iloc[0]
at_least_five = named.prob(greater=5)["prob"].iloc[0]

# %% [markdown]
# Small classes help Black boys: by {{black_boys["estimate"]:.0f}} points, {{black_boys["lower"]:.0f}} to
# {{black_boys["upper"]:.0f}}, and the probability of more than five points is {{at_least_five:.2f}}. That they help
# them *more than others* is another claim, with an interval of its own, from {{black_boys_differ["lower"]:.0f}} to
# {{black_boys_differ["upper"]:.0f}} points. Most reports of subgroups mean the second and test the first. Contrasts are
# taken on joint draws, so they need no assumption that the two sides are independent.
#
# All {{n_groups}} intersections at a glance; a square is small where its sign is uncertain:

# %%
star["who"] = star["race"].astype(str) + " " + star["gender"].astype(str)
star["home"] = star["lunch"].astype(str) + ", " + star["schtype"].astype(str)
crossing = mx.effects(posterior, "small", by=["who", "home"], newdata=star)

# %% alt="Matrix of effects with race and gender as rows, lunch and place as columns; each cell holds the effect and its standard deviation, coloured by the effect. Most cells are positive; the few negative ones are small squares, which are uncertain."
crossing.plot("matrix", width=6.5)

# %% [markdown]
# What did pooling do? Here is the effect in each group from its own pupils alone (raw) and from the model:

# %% alt="Raw and pooled effect of each group against its number of pupils, over the funnel that noise alone would fill. Nearly all raw effects lie inside the funnel; pooled ones are closer together."
mx.effects(posterior, "small", by="group").plot("funnel", width=6)

# %% tags=["fold"]
shrinkage = mx.effects(posterior, "small", by="group").shrinkage()
n_small = int((shrinkage["n"] < 100).sum())
small_groups = shrinkage[shrinkage["n"] < 100]
spread_raw, spread_pooled = small_groups["raw"].std(), small_groups["pooled"].std()
spread_of_noise = np.sqrt((small_groups["raw_se"] ** 2).mean())
spread = mx.effects(posterior, "small", by="group").heterogeneity().iloc[0]

# %% [markdown]
# The raw effects of the {{n_small}} groups with fewer than a hundred pupils have a standard deviation of
# {{spread_raw:.0f}} points, no more than what their standard errors alone would give ({{spread_of_noise:.0f}}); pooled
# they have {{spread_pooled:.0f}}. Neither is how much groups
# *truly* differ: `heterogeneity()` takes that within each joint draw, and finds a standard deviation of
# {{spread["sd"]:.1f}} points between groups, weighted by pupils, with an interval from {{spread["lower"]:.1f}} to
# {{spread["upper"]:.1f}}.

# %% [markdown]
# ## 4. Would it be easier in Stan?
#
# It is the same model. `mx.stan_code` writes the program for the formula, and `mx.stan_data` the data that go with it:

# %%
program = mx.stan_code(LADDER[-1], star)
print(program[program.index("model {") : program.index("generated quantities")])

# %% tags=["fold"]
lines = len(program.splitlines())
sampled = posterior.varcorr.shape[0]
coefficients = len(posterior.fixef) + sum(table.size for table in posterior.ranef.values())
both = pd.DataFrame(
    {
        (name, column): mx.effects(fit, "small", by=["race", "gender"]).table[column]
        for name, fit in (("REML", top), ("posterior", posterior))
        for column in ("estimate", "sd")
    }
).set_index(pd.Index(who))
apart = (both["posterior"]["estimate"] - both["REML"]["estimate"]).abs().max()

# %% [markdown]
# That is one of its blocks; the whole program has {{lines}} lines. `engine="stanli"` runs it without a compiler,
# `engine="cmdstan"` with CmdStan, and models of other families go there by themselves. For this one it is not the
# quickest way: in a Gaussian model the {{coefficients:,}} coefficients can be integrated out exactly, which leaves {{sampled}} standard
# deviations and correlations to sample. That is how `mx.bayes` got the posterior of section 2, in {{seconds:.0f}}
# seconds on the computer that wrote this page. Whether the draws can be trusted is part of the answer:

# %%
posterior.diagnostics()

# %% [markdown]
# The engine changes; the questions and the tables do not. Here is the table of race and gender by both:

# %%
both.round(2)

# %% [markdown]
# For subgroups as large as these the two agree, within {{apart:.1f}} points. So: easier, no; but it is there where it
# is needed, and nothing has to be rewritten to get there.

# %% [markdown]
# ## 5. People who are not in the data
#
# A district wants to know what small classes would do for *its* pupils. It knows how many are Black, how many are boys,
# how many get free lunch and where its schools are, not how these cross. `mx.rake` finds the table that has these
# margins and otherwise looks like STAR. (The numbers of this district are invented.)
#
# To make it harder, suppose STAR had had no Black boys in suburbs at all:

# %%
missing = (star["race"] == "Black") & (star["gender"] == "boy") & (star["schtype"] == "suburb")
census = star.groupby([*traits, "group"], observed=True).size().rename("n").reset_index()
census["people"] = mx.rake(
    census,
    {
        "race": {"Black": 4000, "White": 6000},
        "gender": {"boy": 5100, "girl": 4900},
        "lunch": {"free": 5500, "paid": 4500},
        "schtype": {"inner": 2000, "suburb": 4000, "rural": 2500, "urban": 1500},
    },
    weights="n",
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    without = mx.lmer(LADDER[-1], star[~missing])
    district = mx.effects(without, "small", newdata=census, weights="people", by=["race", "gender"])
said(caught)
district.table[["race", "gender", "weight", "estimate", "sd", "lower", "upper", "unseen"]].round(2)

# %%
print(*district.notes, sep="\n")

# %% [markdown]
# Three things are said here that are often left unsaid. The groups nobody has seen are listed (they might be typing
# errors). `unseen` is the share of each number's weight that rests on them. And the census has no schools, so effects
# are averages over the *population* of schools, with the uncertainty of which schools the district has.
#
# The same table weighs outcomes instead of effects with `mx.poststratify`: mathematics, if all were in small classes.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the same unseen groups as above
    if_small = mx.poststratify(without, census.assign(small=1), weights="people", by="race")
if_small.table[["race", "weight", "estimate", "lower", "upper", "unseen"]].round(1)

# %% [markdown]
# How good is an effect for a subgroup that was not observed? This one was only put aside, so we can look:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the same unseen groups as above
    predicted = mx.effects(without, "small", newdata=star[missing]).table.iloc[0]
put_aside = star[missing].groupby("small")["math"].agg(["mean", "sem"])
raw = put_aside["mean"][1] - put_aside["mean"][0]
raw_error = np.hypot(*put_aside["sem"])
with_data = mx.effects(top, "small", newdata=star[missing]).table.iloc[0]

# %% tags=["fold"] alt="Effect for Black boys in suburbs: predicted without any of them, estimated with them, and raw from their own data alone. The three intervals overlap; the raw one is the longest."
figure, axes = plt.subplots(figsize=(6.8, 1.9))
rows = {
    "predicted, none observed": (predicted["estimate"], predicted["sd"]),
    "model with their data": (with_data["estimate"], with_data["sd"]),
    "their own data alone": (raw, raw_error),
}
for position, (center, error) in enumerate(list(rows.values())[::-1]):
    axes.hlines(position, center - 1.96 * error, center + 1.96 * error, color=BLUE if position else GREY, lw=2)
    axes.plot(center, position, "o", color=BLUE if position else GREY)
axes.axvline(0, color="black", lw=0.8)
axes.set_yticks(range(3), list(rows)[::-1])
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.5, 2.5)
axes.set_xlabel("effect for Black boys in suburbs (points), 95 % interval")

# %% [markdown]
# The prediction is known to ± {{1.96 * predicted["sd"]:.0f}} points, the raw difference of the
# {{int(missing.sum())}} pupils themselves to ± {{1.96 * raw_error:.0f}}, and the two are compatible. Seeing these pupils
# *and* pooling is better than either: ± {{1.96 * with_data["sd"]:.0f}}.

# %% [markdown]
# ## 6. Many subgroups, many chances to be wrong
#
# Who looks at twenty subgroups finds something. What is a reader of such a report to believe? We simulate experiments
# in which the effect differs between subgroups not at all, somewhat, or much, and write the report of each in five ways.
# A *claim* is "in this subgroup the effect differs from the average", made where the 95 % interval of the difference
# does not hold zero.
#
# * **separate**: each subgroup's own difference of means, no pooling.
# * **Bonferroni**: the same with intervals made longer for the number of subgroups.
# * **REML**: `mx.lmer` with `y ~ z + (1 + z | g)`, the estimated variances plugged in: intervals given theta, as most
#   software has them.
# * **REML ||**: the same with `(1 + z || g)`, which has no correlation of levels and effects.
# * **posterior**: `mx.bayes` with the formula of REML.

# %%
rng = np.random.default_rng(1)
size = 2 * np.round(np.geomspace(10, 60, 20)).astype(int)
g = np.repeat(np.arange(len(size)), size)
z = np.arange(len(g)) % 2
experiment = pd.DataFrame({"y": rng.standard_normal(len(g)), "z": z, "g": [f"g{k:02d}" for k in g]})
FORMULA = "y ~ z + (1 + z | g)"
AGAINST_AVERAGE = np.eye(len(size)) - size / size.sum()
BONFERRONI = NormalDist().inv_cdf(1 - 0.025 / len(size))
N_EXPERIMENTS = 40

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # noise alone: singular, as it should be
    noise = [mx.lmer(formula, experiment) for formula in (FORMULA, FORMULA.replace("|", "||"))]
questions = [mx.effects(fit, "z", by="g").contrast(against="overall").functional for fit in noise]


def separate(y, quantile):
    """Estimates and intervals from the cell means alone."""
    means = np.bincount(2 * g + z, y) / np.repeat(size / 2, 2)
    sigma = np.sqrt(np.sum((y - means[2 * g + z]) ** 2) / (len(y) - 2 * len(size)))
    estimate = AGAINST_AVERAGE @ (means[1::2] - means[::2])
    half = quantile * sigma * np.sqrt(AGAINST_AVERAGE**2 @ (4 / size))
    return estimate, estimate - half, estimate + half


def report(y):
    """One experiment, five ways: estimates and ends of intervals."""
    yield "separate", *separate(y, 1.96)
    yield "Bonferroni", *separate(y, BONFERRONI)
    for method, fit, question in zip(["REML", "REML ||"], noise, questions, strict=True):
        answer = fit.refit(y).apply(question)
        yield method, answer.mean, answer.mean - 1.96 * answer.sd, answer.mean + 1.96 * answer.sd
    sampled = mx.bayes(FORMULA, experiment.assign(y=y), draws=400, seed=1)
    drawn = sampled.apply(questions[0]).draws()
    yield "posterior", drawn.mean(axis=0), *np.quantile(drawn, [0.025, 0.975], axis=0)


# %% tags=["fold"]
HETEROGENEITY = {"no": 0.0, "some": 0.2, "much": 0.5}
found, boundary = [], []
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for amount, sd in HETEROGENEITY.items():
        for run in range(N_EXPERIMENTS):
            level, effect = 0.5 * rng.standard_normal(len(size)), 0.3 + sd * rng.standard_normal(len(size))
            y = level[g] + effect[g] * z + rng.standard_normal(len(g))
            true = AGAINST_AVERAGE @ effect if sd else np.zeros(len(size))
            if not sd:
                correlation = noise[0].refit(y).varcorr.query("var2 == 'z'")["sdcor"].iloc[0]
                boundary.append(abs(correlation) > 0.999)
            for method, estimate, lower, upper in report(y):
                columns = {"true": true, "estimate": estimate, "lower": lower, "upper": upper}
                found.append(pd.DataFrame(columns).assign(heterogeneity=amount, method=method, run=run))
found = pd.concat(found, ignore_index=True)

# Estimates of exactly zero with an interval of no length claim nothing; the margin is for rounding.
found["claimed"] = (found["lower"] > 1e-9) | (found["upper"] < -1e-9)
found["held"] = (found["lower"] <= found["true"] + 1e-9) & (found["upper"] >= found["true"] - 1e-9)
found["wrong_sign"] = found["estimate"] * found["true"] < 0


def rates(rows):
    """What a reader of the reports would want to know."""
    claims = rows[rows["claimed"]]
    truth_differs = rows["true"].abs().max() > 0
    return pd.Series(
        {
            "claims per report": len(claims) / N_EXPERIMENTS,
            "reports with a false claim": np.nan if truth_differs else rows.groupby("run")["claimed"].any().mean(),
            "wrong sign among claims": claims["wrong_sign"].mean() if truth_differs else np.nan,
            "claimed size / true size": claims["estimate"].abs().sum() / claims["true"].abs().sum()
            if truth_differs and len(claims)
            else np.nan,
            "coverage of claims": claims["held"].mean() if truth_differs else np.nan,
            "coverage of all": rows["held"].mean(),
        }
    )


METHODS = ["separate", "Bonferroni", "REML", "REML ||", "posterior"]
errors = pd.DataFrame(
    {key: rates(rows) for key, rows in found.groupby(["heterogeneity", "method"], sort=False)}
).T.rename_axis(["heterogeneity", "method"])

# %% [markdown]
# The outcome has a residual standard deviation of one; effects have one of nothing, {{HETEROGENEITY["some"]}} or
# {{HETEROGENEITY["much"]}} between {{len(size)}} subgroups of {{size.min()}} to {{size.max()}} people. For each, the
# {{N_EXPERIMENTS}} experiments said (so few that a share of reports is known to ± {{200 * np.sqrt(0.25 / N_EXPERIMENTS):.0f}}
# percentage points only):

# %%
errors.round(2)

# %% tags=["fold"] alt="For no, some and much heterogeneity and five ways to report: claims per report, share of claims with the wrong sign, claimed over true size, and coverage of the intervals of claims. The posterior makes few claims and keeps close to the ideal values; separate estimates exaggerate, and REML fails where effects do not differ."
COLUMNS = {
    "claims per report": ("claims per report", None),
    "wrong sign among claims": ("wrong sign\n(% of claims)", 0),
    "claimed size / true size": ("claimed size\n/ true size", 1),
    "coverage of claims": ("true value in the\ninterval (% of claims)", 95),
}
LOOKS = dict(zip(METHODS, [(GREY, "o"), (ORANGE, "^"), (RED, "s"), ("black", "P"), (BLUE, "D")], strict=True))
figure, panels = plt.subplots(1, 4, figsize=(8.2, 3.3), sharey=True)
for axes, (column, (title, ideal)) in zip(panels, COLUMNS.items(), strict=True):
    if ideal is not None:
        axes.axvline(ideal, color="black", lw=0.8, ls="--")
    scale = 100 if "%" in title else 1
    for row, amount in enumerate(HETEROGENEITY):
        for position, (method, (color, marker)) in enumerate(LOOKS.items()):
            axes.plot(
                scale * errors.loc[(amount, method), column], row + 0.15 * (position - 2), marker, color=color, ms=6,
                label=method if axes is panels[0] and row == 0 else None, clip_on=False,
            )  # fmt: skip
    axes.set_title(title, fontsize=9.5)
    axes.set_ylim(2.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.08 * axes.get_xlim()[1], None)
    if column != "claims per report":
        axes.text(0.5, 0.86, "all are false", transform=axes.transAxes, ha="center", color="#777777", style="italic")
panels[0].set_yticks(range(3), [f"{amount}\nheterogeneity" for amount in HETEROGENEITY])
figure.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, -0.02))
figure.tight_layout(rect=(0, 0.07, 1, 1))

# %% tags=["fold"]
no, some, much = (errors.loc[amount] for amount in HETEROGENEITY)
perfect = 100 * np.mean(boundary)
as_percent = 100 * errors

# %% [markdown]
# **Separate** estimates find something in most reports. Where effects do not differ at all,
# {{as_percent.loc[("no", "separate"), "reports with a false claim"]:.0f}} % of the reports make a false claim. Where they
# differ somewhat, what is claimed is {{some.loc["separate", "claimed size / true size"]:.1f}} times the true size, and
# only {{as_percent.loc[("some", "separate"), "coverage of claims"]:.0f}} % of the intervals that led to a claim hold the
# truth, although {{as_percent.loc[("some", "separate"), "coverage of all"]:.0f}} % of all intervals do. **Bonferroni**
# cures false claims and not exaggeration: with much heterogeneity what is claimed is still
# {{much.loc["Bonferroni", "claimed size / true size"]:.1f}} times the true size, much as without the correction
# ({{much.loc["separate", "claimed size / true size"]:.1f}}). And it pays with silence,
# {{much.loc["Bonferroni", "claims per report"]:.1f}} claims a report in place of
# {{much.loc["posterior", "claims per report"]:.1f}} by the posterior.
#
# The **posterior** makes false claims in {{as_percent.loc[("no", "posterior"), "reports with a false claim"]:.0f}} % of
# these reports without any correction for their number: if subgroups do not differ, it finds that they do not. With
# some heterogeneity it claims little ({{some.loc["posterior", "claims per report"]:.1f}} a report, where separate
# estimates claim {{some.loc["separate", "claims per report"]:.1f}}), and that is
# {{some.loc["posterior", "claimed size / true size"]:.1f}} times the true size. With much, what it claims is
# {{much.loc["posterior", "claimed size / true size"]:.2f}} times the true size, and
# {{as_percent.loc[("much", "posterior"), "coverage of claims"]:.0f}} % of the intervals that led to a claim hold the
# truth. Pooling is the correction. (Over all subgroups, its intervals hold
# {{as_percent.loc[("some", "posterior"), "coverage of all"]:.0f}} % with some heterogeneity: a posterior is right on
# average over its prior, not under every single truth.)
#
# **REML** is the warning. With much heterogeneity it is as good as the posterior. Without any it is the worst of all,
# {{no.loc["REML", "claims per report"]:.0f}} false claims a report. The reason is the boundary of question 1: in
# {{perfect:.0f}} % of these experiments the estimated correlation of levels and effects is one or minus one. Taken at
# its word, that says that the level of a subgroup *determines* its effect, and intervals that take it at its word have
# next to no length. `SingularFitWarning` names the smaller model, **REML ||**, and it is right: false claims in
# {{as_percent.loc[("no", "REML ||"), "reports with a false claim"]:.0f}} % of reports. It still treats the variances as
# known, and its intervals hold the truth in {{as_percent.loc[("some", "REML ||"), "coverage of all"]:.0f}} % with some
# heterogeneity. So for intervals of many subgroups do not take the variances as known: `mx.effects` does not unless it
# is asked to, nor does `mx.bayes`.

# %% [markdown]
# ## 7. What is left out, even so
#
# * **The model.** Intervals include the uncertainty of everything *in* the formula. Effects that vary over what is not
#   in it (classrooms and their teachers, which these data do not name) are in nobody's interval.
# * **The prior.** With {{n_groups}} groups it has a say in how much groups differ. Fit with another
#   (`priors=`) and compare; `eff.plot("prior", prior=...)` draws a quantity before and after the data.
# * **Choice.** Pooling protects from chance among the subgroups in the model. It does not protect from trying ten
#   models and showing one.
#
# **To try.** `eff.rank()` for the probability that a subgroup profits most, `eff.decide(cost=...)` for whom to treat when
# a small class costs something, and `eff.to_html("report.html")` for all of it on one page to send to somebody.
