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
# # Why do effects differ? Theory, forests, and a fair comparison
#
# A review of trials finds that effects differ a great deal, and has dozens of moderators that might say why. Two ways are
# open. Theory: sort the moderators into blocks, fit a meta-regression for each, and put together what passed. Search:
# grow a forest over all of them and look at what it used. Williams and colleagues (2022) did both for interventions in
# mathematics and compared them by one number: how much of the heterogeneity each explains in studies that it has not seen.
# This page repeats every step on simulated trials of the same shape, whose truth is known.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import mixedfx as mx
from mixedfx.datasets.reviews import BLOCKS

warnings.simplefilter("ignore")
review, truth = mx.datasets.simulate_review(seed=8, kind="thresholds", r2=0.5, studies=80, effects=220)
blocks = {
    name: [one for i, one in enumerate(part) if i < 4 or one in truth.moderators] for name, part in BLOCKS.items()
}
moderators = [name for names in blocks.values() for name in names]
review[["study", "yi", "vi", "design", "grade", "weeks", "technology", "measure"]].head()

# %% tags=["fold"]
plt.rcParams.update({"figure.dpi": 110, "savefig.dpi": 110, "font.size": 10})
studies = review["study"].nunique()

# %% [markdown]
# {{len(review)}} effect sizes in {{studies}} studies, and {{len(moderators)}} of its moderators (to save time) in the five
# blocks of the MUTOS framework: methods, units, treatments, outcomes, settings. In truth {{100 * truth.r2:.0f}} % of the variance of true
# effects comes from {{len(truth.moderators)}} of them: trials of more than twenty weeks, technology in the first four
# grades only, and measures made by the researchers where there was no pretest. No straight line has that shape.
#
# ## 1. How much do effects differ?

# %%
average = mx.rma_mv("yi ~ 1 + (1 | study/esid)", review)
average.summary()

# %% tags=["fold"]
mean = average.robust("study").tidy().iloc[0]
tau = np.sqrt(average.components["estimate"].sum())

# %% [markdown]
# The mean effect is {{mean["estimate"]:.2f}} [{{mean["conf_low"]:.2f}}, {{mean["conf_high"]:.2f}}], with standard errors
# that hold whatever the dependence within studies is. True effects have a standard deviation of {{tau:.2f}} around it, so
# that many are negative and some very large. The question is which.
#
# ## 2. Theory: one block at a time
#
# Moderators of method are in every model. A moderator with p below a tenth goes into the final model; tests are
# cluster-robust (CR2, Satterthwaite's degrees of freedom, HTZ for the levels of a category together).

# %%
screened = mx.screen_moderators(
    "yi ~ 1 + (1 | study/esid)", review, cluster="study", blocks=blocks, always="methods", threshold=0.10
)
screened.page(final=True)

# %% tags=["fold"]
found = [name for name in screened.kept if name in truth.moderators]
missed = [name for name in truth.moderators if name not in screened.kept]
false = [name for name in screened.kept if name not in truth.moderators and name not in blocks["methods"]]

# %% [markdown]
# Besides the methods, {{len(screened.kept) - len(blocks["methods"])}} moderators passed; of the true ones it kept
# {{", ".join(found) or "none"}} and missed {{", ".join(missed) or "none"}}; of those that are noise it kept {{len(false)}}.
# Tests at a tenth let one in ten of these pass, and the p values of the final model do not know that it was selected.
#
# ## 3. Search: a forest
#
# Trees see every moderator at once, find thresholds and interactions themselves, and are judged by the studies that each
# tree has not seen. Whole studies are drawn and left out, precise estimates more often than others.

# %%
forest = mx.metaforest("yi ~ " + " + ".join(moderators), review, cluster="study", n_trees=80, seed=1)
forest.importance.head(8)

# %% alt="Importance of the moderators as points on lines; true moderators stand at the top and noise lies around zero."
picture = forest.plot("importance")
picture

# %% tags=["fold"]
top = forest.importance["moderator"].head(5).tolist()
right = [name for name in top if name in truth.moderators]

# %% [markdown]
# Of its five most important moderators {{len(right)}} are true: {{", ".join(right)}}. Out of bag it explains
# {{100 * forest.r2_oob:.0f}} % of the variance of the effect sizes. The forest knows no p values; how often a moderator
# stays while the useless ones are left out one by one, over and over, takes their place.

# %%
few = forest.keep(*forest.importance["moderator"].head(12))
kept = few.preselect(repeats=4, kind="recursive")
kept.table[["moderator", "share", "median", "keep"]]

# %% tags=["fold"]
noise = [name for name in kept.kept if name not in truth.moderators]

# %% [markdown]
# {{len(kept.kept)}} stay in more than a tenth of the repetitions, {{len(noise)}} of them noise: recursion makes no promise
# about noise. Shuffled copies of the moderators beside them, `kind="shadow"`, do.

# %% [markdown]
# ## 4. What it learnt about weeks
#
# The same moderator under both approaches: the line of a meta-regression with its confidence band, and the mean prediction
# of the forest with the band that most rows lie in.

# %% alt="Effect sizes over weeks, twice: a straight line with a confidence band, and the forest's prediction, which steps up near twenty weeks."
line = mx.rma_mv("yi ~ weeks + (1 | study/esid)", review)
picture = forest.partial_dependence("weeks").plot(line)
picture

# %% [markdown]
# The regression must spread the difference over all weeks; the forest puts it where it is. Technology depends on the grade,
# which a map of both shows:

# %% alt="A map of mean predictions over grade and technology: brightest for technology in the lowest grades."
picture = forest.partial_dependence("grade", "technology").plot()
picture

# %% [markdown]
# ## 5. A tree to talk about
#
# A forest predicts; it is no sentence. A single tree, pruned on studies left out and tested by permutation, is.

# %%
chosen = kept.kept[:6]
tree = mx.metacart("yi ~ " + " + ".join(chosen), review, cluster="study", seed=1, permutations=19)
tree.leaves[["rule", "k", "clusters", "estimate", "conf_low", "conf_high"]]

# %% alt="A tree of rules; below each leaf the mean effect of its trials with an interval."
picture = tree.plot()
picture

# %% [markdown]
# ## 6. The fair comparison
#
# Each study is predicted by models fitted without it (here in four parts, to save time). The predictions then are the only
# moderator of an ordinary meta-analysis, and what they take away of the variance of true effects is what an approach
# explains. It can be negative: predictions may be worse than one mean for all.

# %%
formula = "yi ~ " + " + ".join(moderators) + " + (1 | study/esid)"
compared = mx.explained_heterogeneity(
    formula, review, cluster="study", folds=4, forest={"n_trees": 40}, bootstrap=20, seed=1
)
compared.table[["approach", "r2", "conf_low", "conf_high", "slope", "r2_in_sample"]]

# %% tags=["fold"]
by = compared.table.set_index("approach")
inside, outside, trees = by.loc["regression", "r2_in_sample"], by.loc["regression", "r2"], by.loc["forest", "r2"]

# %% [markdown]
# On the data it was fitted to, the meta-regression with all moderators explains {{100 * inside:.0f}} % of the variance; of
# studies that it has not seen {{100 * outside:.0f}} %. The forest explains {{100 * trees:.0f}} % of them. Its slope is
# {{by.loc["forest", "slope"]:.1f}}: above one means that its predictions differ too little, which is what averaging many
# trees does; the regression's is {{by.loc["regression", "slope"]:.1f}}: its predictions differ too much.
#
# R2 adds up the variance between studies and that of effects within them. The components say from which of the two the
# predictions take away; predictions that are right within studies may even add to the variance between.

# %%
compared.components

# %% [markdown]
# Moderators that are selected on all data first (`selection="once"`) have seen every study, and make this number too good;
# `selection="nested"` selects them anew without each part and takes as many times longer.
#
# ## 7. What to tell
#
# * Effects differ by {{tau:.2f}} around {{mean["estimate"]:.2f}}; both approaches explain a part of it, and the numbers that
#   say so come from studies left out.
# * The forest found thresholds that no line shows; it gives no p values, and its importance is no effect size.
# * The regression's coefficients have standard errors, which hold for moderators that were chosen beforehand.
# * What neither explains is not noise of estimation: it is variation whose reasons the moderators do not record, or that
#   {{studies}} studies are too few to learn; in truth the moderators stand for {{100 * truth.r2:.0f}} %.
