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
# # Flipped classrooms: the style or the professor?
#
# In a *flipped* classroom students meet the material at home and use the hours in class to work on it. A large course
# tries it out: 15 classes of 25 students, each taught by another professor, and **each professor is randomly assigned
# one style**: **Fully Flipped**, flipped in part (**Some Flipped**), or lectures as ever (**No Flipped**). Five
# professors teach in each style. All students sit the same exam.
#
# The question of this course story is one number and how far to trust it:
#
# > How do students in partly flipped classes score against students in fully flipped ones, *Some Flipped − Fully
# > Flipped*, in points of the exam?
#
# We ask a linear model that ignores the professors, one that has a dummy variable for each of them, and a mixed model.
# At the end another plan, in which every professor teaches in all styles, shows what a better experiment would be.
#
# The data are simulated. That makes them useless for deciding how to teach, and perfect for learning how to analyse:
# the true answer lies in an envelope that we open at the end.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mixedfx as mx

course = mx.datasets.load("flipped_classroom")
course.head()

# %% tags=["fold"]
STYLES = list(course["style"].cat.categories)
COLORS = dict(zip(STYLES, ["#0072B2", "#E69F00", "#6B6B6B"], strict=True))
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

n_students = len(course)
n_professors = course["professor"].nunique()
style_means = course.groupby("style", observed=True)["score"].mean()
professor_means = course.groupby("professor", observed=True)["score"].mean().sort_values()
raw_difference = style_means["Some Flipped"] - style_means["Fully Flipped"]

# %% [markdown]
# ## 1. Look first
#
# One line draws the data with the roles that the formula gives them: students are points, professors are bars at the
# means of their classes, styles are panels. Nothing is fitted yet.

# %% alt="Three panels, one for each style. In each, five columns of points, one for each professor's class, with a bar at its mean, and a dashed line at the mean of the style. Bars within a panel are further apart than the dashed lines."
mx.plot_groups("score ~ style + (1 | professor)", course)

# %% tags=["fold"]
within_styles = course.groupby(["style", "professor"], observed=True)["score"].mean()
ranges = within_styles.groupby("style", observed=True).agg(lambda means: means.max() - means.min())

# %% [markdown]
# What do we see? Students of *Some Flipped* score {{abs(raw_difference):.1f}} points
# {{"more" if raw_difference > 0 else "less"}} than those of *Fully Flipped* on average. But look at the bars: within
# one and the same style the means of the professors are up to {{ranges.max():.0f}} points apart. The difference between
# the styles may be
#
# * the style (a **treatment effect**),
# * the professors who happened to be assigned to it (a **group effect**),
# * or the students who happened to sit there (an **individual effect**).
#
# A model has to tell the three apart, or say that it cannot.

# %% [markdown]
# ## 2. The linear model with the style only
#
#     score = mean of the style + individual
#
# A formula without random terms is a linear model, fitted by least squares. The reference style is Fully Flipped, so
# the coefficient `style[Some Flipped]` *is* the difference we ask about.

# %%
ignoring = mx.lmer("score ~ style", course)
ignoring.summary()

# %% tags=["fold"]
TERM = "style[Some Flipped]"
ignoring_row = ignoring.tidy(ddf="residual").set_index("term").loc[TERM]

# %% [markdown]
# {{ignoring_row["estimate"]:.1f}} points with a standard error of {{ignoring_row["std_error"]:.1f}},
# *p* = {{ignoring_row["p_value"]:.4f}}: partly flipped classes are better, and that is nearly certain. What does the
# model assume in return?
#
# 1. The individual deviations have mean zero in each style: nothing else that matters goes with the style.
# 2. They all have the same standard deviation, here estimated as {{ignoring.sigma:.1f}} points.
# 3. They are **independent**: once the style is known, the score of one student says nothing about the score of
#    another.
#
# It holds a treatment effect and individual effects, and no group effect at all. The third assumption is wrong if
# students of one professor are alike, and we can look. If deviations were independent, the mean of the 25 students of a
# professor would scatter around zero with a standard deviation of {{ignoring.sigma:.1f}} / √25 =
# {{ignoring.sigma / 5:.1f}} points.

# %% tags=["fold"] alt="Mean residual of each professor under the model that ignores professors, with the band in which nearly all would lie if students were independent. Several professors lie far outside."
residual_means = ignoring.residuals().groupby(course["professor"], observed=True).mean().sort_values()
expected_sd = ignoring.sigma / 5
outside = int((residual_means.abs() > 2 * expected_sd).sum())
figure, axes = plt.subplots(figsize=(6.8, 2.9))
axes.axhspan(-2 * expected_sd, 2 * expected_sd, color="#E3E3E3", lw=0)
axes.axhline(0, color="black", lw=0.8)
axes.plot(range(n_professors), residual_means, "o", color="#B2182B")
axes.text(
    n_professors - 0.4,
    -2 * expected_sd + 0.25,
    "± 2 standard deviations\nif students were independent",
    ha="right",
    va="bottom",
    fontsize=8.5,
    color="#555555",
)
axes.set_xticks(range(n_professors), residual_means.index)
axes.set_xlabel("professor")
axes.set_ylabel("mean residual (points)")
axes.set_title("What the model calls chance has a name")

# %% [markdown]
# In fact these means have a standard deviation of {{residual_means.std():.1f}} points, and {{outside}} of
# {{n_professors}} professors lie outside a band that should hold all but about one in twenty. Students of the same
# professor share something, and so the precision of the model is **false precision**: its standard error is that of
# {{n_students}} unrelated students, but the styles were given to {{n_professors}} professors.

# %% [markdown]
# ## 3. The linear model with a dummy for each professor
#
#     score = mean of the style + coefficient of the professor + individual
#
# The first remedy that comes to mind: give each professor a coefficient of his or her own. One of the
# {{n_professors}} must be the reference, which leaves {{n_professors - 1}} dummy variables.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    dummies = mx.lmer("score ~ style + professor", course)
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

# %%
dummies.tidy(ddf="residual").round(3)

# %% tags=["fold"]
dropped = list(dummies.design.aliased)
dummy_table = dummies.tidy(ddf="residual").set_index("term")
of_professors = dummy_table[dummy_table.index.str.startswith("professor")]
significant = int((of_professors["p_value"] < 0.05).sum())
style_of = course.groupby("professor", observed=True)["style"].first()
left_some = style_of.index[style_of == "Some Flipped"].difference(
    [name.split("[")[1].rstrip("]") for name in of_professors.index]
)
left_fully = style_of.index[style_of == "Fully Flipped"].difference(
    [name.split("[")[1].rstrip("]") for name in of_professors.index]
)
single_difference = (
    course.loc[course["professor"] == left_some[0], "score"].mean()
    - course.loc[course["professor"] == left_fully[0], "score"].mean()
)

# %% [markdown]
# {{len(dropped)}} columns were dropped, {{" and ".join(f"`{name}`" for name in dropped)}}, because they say nothing
# new: once the professor is known, the style is known too. A column of a style is the sum of the columns of its
# professors, so **{{n_professors - 1}} dummies leave no room for the styles**. The row
# `style[Some Flipped]` that is left in the table is no difference of styles any more. It is the difference between two
# persons, Professor {{left_some[0]}} (the one of *Some Flipped* without a dummy) and Professor {{left_fully[0]}} (the
# one of *Fully Flipped*): {{single_difference:.2f}} points, and drop other columns, and it is the difference between
# two others. The question has no answer in this model.
#
# And what is in the table instead? {{len(of_professors)}} rows about persons, on which nobody wants inference:
#
# * **They answer a question nobody asked.** Each compares a professor with whichever colleague became the reference.
#   {{significant}} of {{len(of_professors)}} are "significant"; with another order of the alphabet it would be others.
# * **They are about these {{n_professors}} and no others.** Next year's professor has no coefficient. How much
#   professors differ *in general* is not among the numbers.
# * **They are read too literally.** Each rests on 25 students, so each is partly luck, and the best and the worst of
#   many estimates are the luckiest and the unluckiest.

# %% [markdown]
# ## 4. The mixed model: treatment, group, individual
#
#     score = b0 + b1 some + b2 none   +   u of the professor      +   e of the student
#             (treatment)                  (group)                     (individual)
#             fixed effects                N(0, sd_professor²)         N(0, sd_student²)
#
# The middle part is the idea. Professors are seen as a sample from the population of professors, and the model
# estimates how much that population varies: one number in place of {{n_professors - 1}}. In a formula it is written
# `(1 | professor)`: an intercept that varies by professor.

# %%
mixed = mx.lmer("score ~ style + (1 | professor)", course)
mixed.summary()

# %% tags=["fold"]
sd_professor = float(mixed.varcorr["sdcor"].iloc[0])
sd_student = mixed.sigma
share_professor = sd_professor**2 / (sd_professor**2 + sd_student**2)
mixed_row = mixed.tidy().set_index("term").loc[TERM]
f_test = mixed.anova().iloc[0]

# %% [markdown]
# The three parts, read off the summary:
#
# * **treatment**: the fixed effects. `style[Some Flipped]` is {{mixed_row["estimate"]:.2f}} points, the same number as
#   before, since all classes are of one size; but its standard error is {{mixed_row["std_error"]:.2f}};
# * **group**: professors vary with a standard deviation of {{sd_professor:.1f}} points;
# * **individual**: students of one professor vary with a standard deviation of {{sd_student:.1f}} points.
#
# {{100 * share_professor:.0f}} % of the variance within a style lies between professors. (This share is also the
# correlation of two students of the same professor, the *intraclass correlation*.)
#
# And the tests of the styles have **{{mixed_row["df"]:.0f}} degrees of freedom**: {{n_professors}} professors less
# three means. The {{n_students}} students do not count here, because the styles were not given to students. With
# *p* = {{mixed_row["p_value"]:.2f}} for the difference, and *p* = {{f_test["p_value"]:.2f}} for all three styles
# together, the model says that this course cannot tell. Every single score is taken apart into the three:

# %% tags=["fold"] alt="Three students. For each, an arrow from the mean of the style to that mean plus the professor's deviation, and an arrow from there to the score of the student."
u = mixed.ranef["professor"]["Intercept"]
fixed_part = mixed.predict(groups="average")
residuals = mixed.residuals()
chosen = []
for professor in (u.idxmin(), u.idxmax(), u.abs().sort_values().index[4]):
    own = residuals[course["professor"] == professor]
    chosen.append(own.abs().sort_values().index[-1])

RED, GREY = "#B2182B", "#555555"
arrow = {"arrowstyle": "-|>", "lw": 2, "shrinkA": 0, "shrinkB": 0}
figure, axes = plt.subplots(figsize=(7.4, 2.9))
figure.subplots_adjust(left=0.15, right=0.57)
for position, row in enumerate(chosen[::-1]):
    student, start = course.loc[row], fixed_part[row]
    name, score, color = student["professor"], student["score"], COLORS[student["style"]]
    middle = start + u[name]
    axes.plot(start, position, "D", color=color, ms=8, zorder=3)
    axes.plot(score, position - 0.2, "o", color="black", ms=6, zorder=3)
    axes.vlines(middle, position - 0.2, position, color="#999999", lw=0.8)
    axes.annotate("", (middle, position), (start, position), arrowprops={**arrow, "color": RED})
    axes.annotate("", (score, position - 0.2), (middle, position - 0.2), arrowprops={**arrow, "color": GREY})
    parts = [f"{start:.1f}", f"{name}: {u[name]:+.1f}", f"{score - middle:+.1f}", f"= {score:.1f}"]
    for x, part, part_color in zip([1.1, 1.34, 1.58, 1.8], parts, [color, RED, GREY, "black"], strict=True):
        text = part.replace("-", "−")
        axes.text(
            x, position - 0.1, text, color=part_color, ha="center", va="center", transform=axes.get_yaxis_transform()
        )
for x, heading in zip([1.1, 1.34, 1.58, 1.8], ["style", "professor", "student", "score"], strict=True):
    axes.text(x, 2.55, heading, ha="center", va="bottom", fontweight="bold", transform=axes.get_yaxis_transform())
axes.set_yticks(
    np.arange(3) - 0.1, [f"Student {course.loc[row, 'student']}\n{course.loc[row, 'style']}" for row in chosen[::-1]]
)
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.55, 2.45)
axes.set_xlabel("exam score")
axes.set_title("Three scores taken apart", pad=16)

# %% [markdown]
# In words, for the whole of it:

# %%
mx.effects(mixed, "style")

# %% [markdown]
# And the {{n_professors}} professors? They are still there, as *predictions* of their deviations. Each is the
# deviation of the class from the mean of its style, drawn towards zero: a mean of 25 students is partly luck, and the
# model knows how large a part.

# %% tags=["fold"] alt="For each professor, the deviation of the class from the mean of its style and the deviation predicted by the mixed model, which lies a little nearer to zero."
own_means = course.groupby("professor", observed=True)["score"].mean()
by_class = own_means - style_means[style_of[own_means.index]].to_numpy()
pulled = 1 - float(u @ by_class[u.index] / (by_class @ by_class))
pulled_if_three = sd_student**2 / (sd_student**2 + 3 * sd_professor**2)
order = by_class.sort_values().index
figure, axes = plt.subplots(figsize=(6.8, 3.1))
axes.axhline(0, color="black", lw=0.8)
for position, name in enumerate(order):
    axes.plot([position, position], [by_class[name], u[name]], color="#BBBBBB", lw=2, zorder=1)
axes.plot(range(n_professors), by_class[order], "o", mfc="white", mec="#555555", label="class minus its style")
axes.plot(range(n_professors), u[order], "o", color="#B2182B", label="mixed model")
axes.set_xticks(range(n_professors), order)
axes.set_xlabel("professor")
axes.set_ylabel("deviation (points)")
axes.set_title("Predicted deviations of the professors are drawn towards zero")
axes.legend(loc="upper left")

# %% [markdown]
# With 25 students each the pull is mild, about {{100 * pulled:.0f}} % of the way to zero. A professor with three
# students would be drawn {{100 * pulled_if_three:.0f}} % of the way.

# %% [markdown]
# ## 5. What changes in the standard error
#
# The two answers side by side. (The intervals are the estimate ± 1.96 standard errors, the same rule for both.)


# %%
def answer(fit):
    """Estimate, standard error and 95 % interval of Some Flipped - Fully Flipped."""
    row = fit.tidy(ddf="normal").set_index("term").loc[TERM]
    return row[["estimate", "std_error", "conf_low", "conf_high"]].astype(float)


FITS = {"ignoring professors": ignoring, "mixed model": mixed}
answers = pd.DataFrame({name: answer(fit) for name, fit in FITS.items()}).T
answers.round(2)


# %% tags=["fold"] alt="Estimate and 95 % interval of the difference under the two models. The estimates agree; the interval of the mixed model is several times as long and holds zero."
def forest(axes, table):
    for position, (name, row) in enumerate(table.iloc[::-1].iterrows()):
        color = RED if name == "mixed model" else GREY
        axes.hlines(position, row["conf_low"], row["conf_high"], color=color, lw=2)
        axes.plot(row["estimate"], position, "o", color=color)
        label = f"{row['estimate']:.2f}  (se {row['std_error']:.2f})".replace("-", "−")
        over_lines = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(
            row["estimate"], position + 0.16, label, ha="center", va="bottom", color=color, fontsize=9, bbox=over_lines
        )
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(table)), list(table.index)[::-1])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.4, len(table) - 0.4)
    axes.set_xlabel("Some Flipped − Fully Flipped (points)")


figure, axes = plt.subplots(figsize=(6.8, 2.0))
forest(axes, answers)
axes.set_title("One number, two claims")

# %% tags=["fold"]
se = answers["std_error"]
ratio = se["mixed model"] / se["ignoring professors"]
by_hand = ignoring.sigma * np.sqrt(2 / 125)
by_hand_mixed = np.sqrt(2 * (sd_professor**2 / 5 + sd_student**2 / 125))

# %% [markdown]
# From the model that ignores professors to the mixed model the standard error grows from {{se.iloc[0]:.2f}} to
# {{se.iloc[1]:.2f}}, {{ratio:.1f}} times. Where does it come from? For the first the formula of the textbook is enough,
# with 125 students on each side and a standard deviation of {{ignoring.sigma:.1f}}, *professors included*:
#
#     sd · √(1 / 125 + 1 / 125) = {{by_hand:.2f}}
#
# But the mean of a style is a mean over five professors, and over 125 students:
#
#     √(2 · (sd_professor² / 5 + sd_student² / 125)) = {{by_hand_mixed:.2f}}
#
# More students per class make the second part small and leave the first as it is.

# %% [markdown]
# ## 6. Is the printed standard error true?
#
# A standard error is a claim: *if the course were held again and again, with other professors and other students, the
# estimate would scatter this much.* As the data are simulated, the claim can be checked without a single repetition.
# The envelope holds the true standard deviations; for students i and j they give the covariance of the scores,
#
#     V[i, j] = sd_professor² (same professor) + sd_student² (i = j),
#
# and an estimate that is a weighted sum *a·y* of scores scatters with variance *aᵀVa*. Weights of least squares: a
# row of (XᵀX)⁻¹Xᵀ.


# %%
def true_spread(fit, truth, professor):
    """Standard deviation of the estimate over courses with new professors and new students."""
    same = np.equal.outer(professor.to_numpy(), professor.to_numpy())
    V = truth.sd_professor**2 * same + truth.sigma**2 * np.eye(len(same))
    X, column = fit.design.X, fit.design.fixed_names.index(TERM)
    if fit.design.random:  # generalised least squares: the weights the mixed model aims at
        return float(np.sqrt(np.linalg.inv(X.T @ np.linalg.solve(V, X))[column, column]))
    a = np.linalg.pinv(X)[column]
    return float(np.sqrt(a @ V @ a))


_, truth = mx.datasets.simulate_flipped_classroom()
claims = pd.DataFrame(
    {
        "printed": se,
        "true": {name: true_spread(fit, truth, course["professor"]) for name, fit in FITS.items()},
    }
).loc[list(FITS)]
claims.round(2)

# %% tags=["fold"]
# five professors and, with ten times the students, 1,250 students on each side
spread_of_ten_times = np.sqrt(2 * (truth.sd_professor**2 / 5 + truth.sigma**2 / (10 * n_students / 3)))

# %% [markdown]
# Both estimates are the same number and scatter alike, by {{claims["true"].iloc[0]:.2f}} points. The model that ignores
# professors claims {{claims["printed"].iloc[0]:.2f}}, a third of it or less. The mixed model prints
# {{claims["printed"].iloc[1]:.2f}}: off as well, since it estimates the spread of professors from {{n_professors}} of
# them, but honest. With ten times the students the true figure would still be {{spread_of_ten_times:.2f}}; only more
# professors help. How many? `mx.power` simulates studies of other sizes from the fit (20 of each here, enough to see
# the way to ask; take 500 for an answer):

# %%
mx.power(mixed, {TERM: 5.0}, n_groups=[15, 60, 120], n_sim=20, seed=1)

# %% [markdown]
# ## 7. How many degrees of freedom?
#
# The intervals above were the estimate ± 1.96 standard errors, as if standard deviations were known. They are
# estimated, and the one that matters, that of professors, from {{n_professors}} professors. A *t* distribution makes up
# for that, if somebody says with how many degrees of freedom. In a mixed model no formula of a textbook does; there are
# two good approximations, after Satterthwaite and after Kenward and Roger. The first is what `summary()` and `tidy()`
# use unless told otherwise; Wald's *z* is what ± 1.96 amounts to:

# %%
METHODS = {"Satterthwaite": "satterthwaite", "Kenward-Roger": "kenward-roger", "Wald z": "normal"}
rows = {name: mixed.tidy(ddf=ddf).set_index("term").loc[TERM] for name, ddf in METHODS.items()}
tests = pd.DataFrame(rows).T[["std_error", "df", "conf_low", "conf_high"]].astype(float)
tests.round(2)

# %% tags=["fold"]
length = tests["conf_high"] - tests["conf_low"]
n_courses = 400
longer = length["Kenward-Roger"] / length["Wald z"]

# %% [markdown]
# {{n_professors}} professors less three means leave {{tests["df"].iloc[0]:.0f}}, and an honest interval is
# {{100 * (longer - 1):.0f}} % longer than that of Wald's *z*.
#
# Does it matter? Let us hold {{n_courses}} courses in which the style makes no difference at all, and test in each
# whether it does, at the level of 5 %. Professors and students are drawn anew with the standard deviations of the
# envelope; `refit` replaces the scores and keeps everything else.

# %%
rng = np.random.default_rng(1)
own_professor = course["professor"].cat.codes.to_numpy()
scores_without_effect = (
    truth.styles.mean()
    + truth.sd_professor * rng.standard_normal((n_professors, n_courses))[own_professor]
    + truth.sigma * rng.standard_normal((n_students, n_courses))
)
HYPOTHESES = {
    "Some Flipped = Fully Flipped (t)": TERM,
    "all three styles equal (F)": [TERM, "style[No Flipped]"],
}
TESTS = pd.MultiIndex.from_product([HYPOTHESES, METHODS])
p_values = []
for scores in scores_without_effect.T:
    refitted = mixed.refit(scores)
    tried = [refitted.test(HYPOTHESES[which], ddf=METHODS[how]) for which, how in TESTS]
    p_values.append([table["p_value"].iloc[0] for table in tried])
rejected = (pd.DataFrame(p_values, columns=TESTS) < 0.05).mean()
rejected.unstack(sort=False).round(3)

# %% tags=["fold"] alt="Share of tests at the 5 % level that reject although styles do not differ, with its Monte Carlo error, for Satterthwaite, Kenward-Roger and Wald z. The first two lie at the 5 % line, Wald z above it."
monte_carlo = np.sqrt(0.05 * 0.95 / n_courses)
figure, axes = plt.subplots(figsize=(6.8, 2.6))
axes.axvspan(5 - 200 * monte_carlo, 5 + 200 * monte_carlo, color="#E9E9E9", lw=0)
axes.axvline(5, color="black", lw=1)
for hypothesis, marker, shift in zip(HYPOTHESES, "os", (0.12, -0.12), strict=True):
    for position, method in enumerate(list(METHODS)[::-1]):
        share = 100 * rejected[hypothesis, method]
        error = 100 * np.sqrt(share / 100 * (1 - share / 100) / n_courses)
        color = "#B2182B" if method == "Wald z" else "#0072B2"
        axes.hlines(position + shift, share - 2 * error, share + 2 * error, color=color, lw=2)
        axes.plot(
            share, position + shift, marker, color=color, ms=7, mfc="white" if marker == "s" else color,
            label=hypothesis if position == 2 else None,
        )  # fmt: skip
axes.set_yticks(range(3), list(METHODS)[::-1])
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.5, 2.5)
axes.set_xlim(0, None)
axes.set_xlabel("rejected (%); bars: ± 2 Monte Carlo errors; grey: the same around 5 %")
axes.set_title("No effect at all, tested at 5 %: fifteen professors, one style each", pad=24)
axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(-0.02, 0.97), handletextpad=0.1, columnspacing=1.2)

# %% tags=["fold"]
of_z, of_kr = (rejected[list(HYPOTHESES)[1], method] for method in ("Wald z", "Kenward-Roger"))
of_ols = float(
    np.mean([mx.lmer("score ~ style", course.assign(score=y)).anova(ddf="residual")["p_value"][0] < 0.05
             for y in scores_without_effect.T[:100]])
)  # fmt: skip

# %% [markdown]
# Wald's *z* finds "significant" differences between styles that do not differ in {{100 * of_z:.1f}} % of the courses
# (*F* test of all three), in place of 5 %. Satterthwaite's and Kenward and Roger's tests lie within twice the Monte
# Carlo error of a simulation of this size, which is {{100 * monte_carlo:.1f}} points. Under a balanced plan like this
# the two agree; where groups differ in size, Kenward and Roger also correct the standard error. And the linear model
# that ignores professors? In the first hundred of these courses it is "significant" {{100 * of_ols:.0f}} times.

# %% [markdown]
# ## 8. Every style against every other, and what else to ask of a fit
#
# Three styles make three comparisons, and who makes three has three chances of a false finding. `emmeans` gives the
# mean of each style for a professor in the middle of the population, and its pairwise contrasts with Tukey's
# adjustment, in *p* values and in intervals:

# %%
means = mx.emmeans(mixed, "style", ddf="kenward-roger")
pairs = means.pairs()
pairs

# %% alt="Estimated mean score of each style with its 95 % interval, and an arrow each: styles differ where arrows do not overlap. All arrows overlap."
means.plot(comparisons=True, width=5)

# %% tags=["fold"]
pair_table = pairs.table.set_index("contrast")
unadjusted = pairs.test(adjust="none").set_index("contrast")
closest = pair_table["p_value"].idxmin()

# %% [markdown]
# Two means differ after Tukey's adjustment where their arrows do not overlap; here all do. The contrast with the most
# evidence, {{closest}}, has *p* = {{pair_table.loc[closest, "p_value"]:.2f}}, and would have
# {{unadjusted.loc[closest, "p_value"]:.2f}} had it been the only question.
#
# A standard deviation is no normal affair: its interval should be longer upwards, and no rule with ± can give that.
# The *profile* interval holds the values that a likelihood-ratio test does not reject; the *bootstrap* simulates
# courses from the fitted model and refits each.

# %%
intervals = {
    "profile": mixed.confint("profile", parm="ran_pars"),
    "bootstrap": mixed.confint("boot", parm="ran_pars", n=1000, seed=1),
}
intervals = pd.concat({method: table.set_index("group") for method, table in intervals.items()})
intervals.drop(columns="term").round(2)

# %% tags=["fold"] alt="Intervals of the two standard deviations by profile likelihood and by bootstrap. That of professors is more than twice as long as that of students."
figure, axes = plt.subplots(figsize=(6.8, 2.1))
for position, group in enumerate(["Residual", "professor"]):
    for method, shift, color in [("profile", 0.12, "#0072B2"), ("bootstrap", -0.12, "#E69F00")]:
        row = intervals.loc[(method, group)]
        axes.hlines(position + shift, row["conf_low"], row["conf_high"], color=color, lw=2.5, label=method)
    axes.plot(sd_student if group == "Residual" else sd_professor, position, "|", color="black", ms=22, mew=2)
axes.set_yticks(range(2), ["students", "professors"])
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.5, 1.6)
axes.set_xlabel("standard deviation (points); black: the estimate of REML")
axes.set_title("How well two standard deviations are known")
axes.legend(*[part[:2] for part in axes.get_legend_handles_labels()], loc="upper right")

# %% tags=["fold"]
sd_ml, low, high = intervals.loc[("profile", "professor"), ["estimate", "conf_low", "conf_high"]]

# %% [markdown]
# From {{n_professors}} professors, their standard deviation is known to lie between {{low:.1f}} and {{high:.1f}}: the
# interval reaches {{high - sd_ml:.1f}} points above the estimate of maximum likelihood ({{sd_ml:.1f}}), to which it
# belongs, and {{sd_ml - low:.1f}} below it.
#
# Last, `check()` looks at what the model takes for granted, and says what it saw and what that would change:

# %%
checked = mixed.check()
checked

# %% [markdown]
# It found nothing to object to, which is as it should be with data simulated from this very model.

# %% [markdown]
# ## 9. A better experiment: every professor teaches in all styles
#
# Suppose the course had been planned otherwise: every professor teaches some students in each style. As many students
# and professors as before, from the same populations, and the same exam.

# %%
crossed = mx.datasets.load("flipped_classroom", plan="crossed")
pd.crosstab(crossed["style"], crossed["professor"])

# %%
crossed_fits = {
    "ignoring professors": mx.lmer("score ~ style", crossed),
    "professor dummies": mx.lmer("score ~ style + professor", crossed),
    "mixed model": mx.lmer("score ~ style + (1 | professor)", crossed),
}
mx.table(crossed_fits, drop="professor")

# %% tags=["fold"] alt="Printed and true standard errors of each model, under the assigned plan and under the plan in which professors teach all styles. Only under the first does the model that ignores professors print a standard error far below the true one."
_, crossed_truth = mx.datasets.simulate_flipped_classroom(plan="crossed")
crossed_claims = pd.DataFrame(
    {
        "printed": {name: answer(fit)["std_error"] for name, fit in crossed_fits.items()},
        "true": {name: true_spread(fit, crossed_truth, crossed["professor"]) for name, fit in crossed_fits.items()},
    }
).loc[list(crossed_fits)]
crossed_df = float(crossed_fits["mixed model"].tidy().set_index("term").loc[TERM, "df"])
gain = (claims.loc["mixed model", "true"] / crossed_claims.loc["mixed model", "true"]) ** 2
figure, panels = plt.subplots(1, 2, figsize=(7.4, 2.6), sharex=True, sharey=True)
for axes, (title, table) in zip(
    panels, [("each professor in one style", claims), ("each professor in all styles", crossed_claims)], strict=True
):
    for position, name in enumerate(list(crossed_fits)[::-1]):
        if name in table.index:
            row = table.loc[name]
            axes.plot([row["printed"], row["true"]], [position, position], color="#BBBBBB", lw=2, zorder=1)
            axes.plot(
                row["true"], position, "o", mfc="white", mec="black", ms=9, label="true" if position == 0 else None
            )
            axes.plot(row["printed"], position, "o", color="#B2182B", ms=5, label="printed" if position == 0 else None)
        else:
            axes.text(0.12, position, "no answer", va="center", color="#777777", style="italic")
    axes.set_title(title)
    axes.set_yticks(range(3), list(crossed_fits)[::-1])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, 2.5)
    axes.set_xlim(0, 1.08 * claims.to_numpy().max())
    axes.set_xlabel("standard error (points)")
panels[1].legend(loc="upper right")
figure.tight_layout()

# %% [markdown]
# Styles are now compared within professors, and who the professor is cancels. The dummies have an answer too, since no
# style is a sum of professors any more; the mixed model arrives at nearly the same with one number in their place. Its
# standard error is true to what it prints, {{crossed_claims.loc["mixed model", "printed"]:.2f}} against
# {{claims.loc["mixed model", "printed"]:.2f}} before, and there are {{crossed_df:.0f}} degrees of freedom. To be as
# exact, the first plan would need {{gain:.0f}} times the professors.
#
# Ignoring professors does not err in one direction. Where the treatment varies *between* groups, it makes the
# comparison look far more certain than it is. Where it varies *within* groups, it leaves the groups in the noise, and
# makes the comparison less precise than it could be. The formula of the mixed model was the same both times.

# %% [markdown]
# ## 10. The envelope

# %% tags=["fold"]
true_difference = truth.contrast("Some Flipped", "Fully Flipped")
mixed_interval = (float(mixed_row["conf_low"]), float(mixed_row["conf_high"]))
crossed_row = crossed_fits["mixed model"].tidy().set_index("term").loc[TERM]
luck = float(
    truth.professors[style_of.index[style_of == "Some Flipped"]].mean()
    - truth.professors[style_of.index[style_of == "Fully Flipped"]].mean()
)

# %% tags=["fold"] alt="Left: the estimates with their intervals and the true difference as a line, which lies left of zero and outside the interval of the model that ignores professors. Right: predicted against true deviations of the professors."
figure, (axes, scatter) = plt.subplots(1, 2, figsize=(8.2, 3.0), width_ratios=[1.35, 1])
forest(axes, answers)
axes.axvline(true_difference, color="#0072B2", lw=2, ls="--", zorder=0)
axes.text(true_difference, 1.64, "truth", color="#0072B2", ha="center", va="bottom", fontsize=9)
limit = 1.15 * max(truth.professors.abs().max(), u.abs().max())
scatter.plot([-limit, limit], [-limit, limit], color="#999999", lw=0.8)
scatter.plot(truth.professors, u.loc[truth.professors.index], "o", color="#B2182B")
scatter.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
scatter.set_xlabel("true deviation of the professor")
scatter.set_ylabel("predicted")
figure.tight_layout()

# %% [markdown]
# The true difference is {{true_difference:.1f}} points: partly flipped classes are **worse** than fully flipped ones,
# and the model that ignores professors was nearly certain of the contrary. The five professors of *Some Flipped* happen
# to be better than those of *Fully Flipped* by {{luck:.1f}} points. That is the luck of the draw, which no analysis can
# undo; but the mixed model's interval, {{mixed_interval[0]:.1f}} to {{mixed_interval[1]:.1f}}, allows for it. In the
# better experiment the estimate is {{crossed_row["estimate"]:.1f}} ({{crossed_row["conf_low"]:.1f}} to
# {{crossed_row["conf_high"]:.1f}}).
#
# One course proves little, and this one was picked from ten for making the point visibly. Sections 6 and 7 are the
# better argument: their true values follow from the plan, not from the luck of these scores.

# %% [markdown]
# ## 11. What is still assumed
#
# The mixed model is honest about professors; it is not free of assumptions.
#
# * **The deviations of professors have nothing to do with the styles they teach.** Here styles were assigned at
#   random, so that it holds by design. Had better professors chosen to flip, no model could tell the style from them.
# * **The difference of the styles is the same for every professor.** Where professors teach in several styles, it can
#   be let vary: `score ~ style + (style | professor)`.
# * **The deviations of professors are normal.** With {{n_professors}} of them nobody can tell. Degrees of freedom
#   (section 7) account for the standard deviations being estimates, not for deviations of another shape.
#
# **To try.** `mx.datasets.simulate_flipped_classroom(seed=1, sd_professor=0)` has professors who do not differ. How do
# the two standard errors compare now, and what does the mixed model say about its own variances? Then let
# `n_professors` grow with the students held at 375, under both plans, and watch the standard error of the mixed model.
# A page of it all for readers without Python: `mx.effects(mixed, "style").to_html("course.html")`.
