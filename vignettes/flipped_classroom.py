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
# In a *flipped* classroom students meet the material at home and use the hours in class to work on it. The professors
# of a large course have tried it: some of their lessons were **Fully Flipped**, some were flipped in part (**Some
# Flipped**), and some were lectures as ever (**No Flipped**). All students sat the same exam.
#
# The question of this course story is one number and how far to trust it:
#
# > How do students in partly flipped lessons score against students in fully flipped ones, *Some Flipped − Fully
# > Flipped*, in points of the exam?
#
# We answer it three times: with a linear model that ignores the professors, with one that has a dummy variable for
# each of them, and with a mixed model. The estimates differ, and so do their standard errors; the point is to see
# why.
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
# There are {{n_students}} students of {{n_professors}} professors, and three styles.

# %% tags=["fold"] alt="Scores of all students in three columns, one for each style, with the mean of each column marked. The columns overlap widely."
jitter = np.random.default_rng(1)
figure, axes = plt.subplots(figsize=(6.4, 3.6))
for position, style in enumerate(STYLES):
    scores = course.loc[course["style"] == style, "score"]
    axes.scatter(
        position + jitter.uniform(-0.17, 0.17, len(scores)), scores, s=13, alpha=0.55, color=COLORS[style], lw=0
    )
    axes.hlines(scores.mean(), position - 0.3, position + 0.3, color="black", lw=2)
    axes.text(position + 0.33, scores.mean(), f"{scores.mean():.1f}", va="center")
axes.set_xticks(range(3), [f"{style}\n{(course['style'] == style).sum()} students" for style in STYLES])
axes.set_xlim(-0.5, 2.65)
axes.set_ylabel("exam score")
axes.set_title("Scores by style, with the mean of each")
axes.tick_params(axis="x", length=0)

# %% [markdown]
# Students of partly flipped lessons score {{abs(raw_difference):.1f}} points
# {{"less" if raw_difference < 0 else "more"}} than those of fully flipped ones on average. Students differ a good
# deal within each style. Some of that has a name: the name of the professor.

# %% tags=["fold"] alt="Scores of all students in one row for each professor, rows sorted by mean. The means of the professors differ by many points."
figure, axes = plt.subplots(figsize=(6.8, 5.2))
for position, professor in enumerate(professor_means.index):
    own = course[course["professor"] == professor]
    axes.scatter(
        own["score"],
        position + jitter.uniform(-0.2, 0.2, len(own)),
        s=13,
        alpha=0.75,
        lw=0,
        color=own["style"].map(COLORS).astype(str),
    )
    axes.vlines(own["score"].mean(), position - 0.36, position + 0.36, color="black", lw=2)
axes.axvline(course["score"].mean(), color="black", lw=0.8, ls=":")
axes.set_yticks(range(n_professors), [f"Professor {name}" for name in professor_means.index])
axes.tick_params(axis="y", length=0)
axes.set_ylim(-0.7, n_professors - 0.3)
axes.set_xlabel("exam score")
axes.set_title("The same scores by professor, sorted by mean", pad=24)
handles = [plt.Line2D([], [], marker="o", ls="", ms=5, color=COLORS[style], label=style) for style in STYLES]
axes.legend(
    handles=handles, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 0.995), handletextpad=0.1, columnspacing=1.2
)

# %% [markdown]
# The mean score of a professor runs from {{professor_means.iloc[0]:.1f}} (Professor {{professor_means.index[0]}}) to
# {{professor_means.iloc[-1]:.1f}} (Professor {{professor_means.index[-1]}}):
# {{professor_means.iloc[-1] - professor_means.iloc[0]:.0f}} points apart. Is that the professors, or do those on top
# just flip more? Here is who taught how many students in which style:

# %%
counts = pd.crosstab(course["professor"], course["style"])
counts.assign(mean_score=professor_means.round(1)).sort_values("mean_score")

# %% tags=["fold"]
lowest = professor_means.index[:3]
fully_at_lowest = counts.loc[lowest, "Fully Flipped"].sum() / counts["Fully Flipped"].sum()
some_at_lowest = counts.loc[lowest, "Some Flipped"].sum() / counts["Some Flipped"].sum()

# %% [markdown]
# Every professor used every style, but not to the same extent. The three professors with the lowest means taught
# {{100 * fully_at_lowest:.0f}} % of all fully flipped students and {{100 * some_at_lowest:.0f}} % of the partly
# flipped ones. A comparison of the two styles that takes no notice of professors therefore compares, in part,
# professors.

# %% [markdown]
# ## 2. The linear model that ignores professors
#
#     score = mean of the style + individual
#
# `lmer` fits a formula without random terms by ordinary least squares. The reference style is Fully Flipped, so the
# coefficient `style[Some Flipped]` *is* the difference we ask about.

# %%
ignoring = mx.lmer("score ~ style", course)
ignoring.tidy(ddf="residual").round(3)

# %% [markdown]
# What does the model assume in return for that standard error of {{ignoring.tidy()["std_error"][1]:.2f}}?
#
# 1. The individual deviations have mean zero in each style: nothing else that matters goes with the style.
# 2. They all have the same standard deviation, here estimated as {{ignoring.sigma:.1f}} points.
# 3. They are **independent**: once the style is known, the score of one student says nothing about the score of
#    another.
#
# The third is wrong if students of one professor are alike, and we can look. If deviations were independent, the mean
# of the 25 students of a professor would scatter around zero with a standard deviation of {{ignoring.sigma:.1f}} /
# √25 = {{ignoring.sigma / 5:.1f}} points.

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
# professor share something. Two things follow:
#
# * the **estimate** is disturbed by which professors happened to use which style;
# * the **standard error** is that of {{n_students}} unrelated students, whom we do not have.

# %% [markdown]
# ## 3. The linear model with a dummy for each professor
#
#     score = mean of the style + coefficient of the professor + individual
#
# The first remedy that comes to mind: give each professor a coefficient of his or her own. One of the
# {{n_professors}} must be the reference, which leaves {{n_professors - 1}} dummy variables.

# %%
dummies = mx.lmer("score ~ style + professor", course)
dummies.tidy(ddf="residual").round(3)

# %% tags=["fold"]
dummy_table = dummies.tidy(ddf="residual").set_index("term")
of_professors = dummy_table[dummy_table.index.str.startswith("professor")]
significant = int((of_professors["p_value"] < 0.05).sum())

others_first = ["B", *[name for name in course["professor"].cat.categories if name != "B"]]
from_b = mx.lmer(
    "score ~ style + professor", course.assign(professor=course["professor"].cat.reorder_categories(others_first))
)
table_b = from_b.tidy(ddf="residual").set_index("term")
of_professors_b = table_b[table_b.index.str.startswith("professor")]
significant_b = int((of_professors_b["p_value"] < 0.05).sum())
contrast_change = abs(
    table_b.loc["style[Some Flipped]", "estimate"] - dummy_table.loc["style[Some Flipped]", "estimate"]
)

# %% [markdown]
# For the question it does well: styles are now compared among students of the *same* professor, and the difference is
# {{dummy_table.loc["style[Some Flipped]", "estimate"]:.2f}} with a standard error of
# {{dummy_table.loc["style[Some Flipped]", "std_error"]:.2f}}. But look at what came along: {{len(of_professors)}} of
# the {{len(dummy_table)}} rows are about persons, and nobody wants inference on those.
#
# * **They answer a question nobody asked.** Each is the difference between a professor and Professor A, who is the
#   reference for coming first in the alphabet. {{significant}} of the {{len(of_professors)}} differ from A
#   "significantly". Take Professor B as the reference instead and it is {{significant_b}}: other numbers, other
#   stars, the same data. (The difference of the styles does not care: it changes by {{contrast_change:.0e}} points.)
# * **They are about these {{n_professors}} and no others.** Next year's professor has no coefficient. How much
#   professors differ *in general* is not among the {{len(dummy_table)}} numbers.
# * **They are read too literally.** Each rests on 25 students, so each is partly luck, and the best and the worst of
#   many estimates are the luckiest and the unluckiest.
# * **They cost.** Every further professor adds a coefficient. And if each professor kept to one style, the dummies
#   would use up the whole comparison; section 7 tries that.

# %% [markdown]
# ## 4. The mixed model: treatment, group, individual
#
#     score = mean of the style   +   deviation of the professor   +   deviation of the student
#             (treatment)             (group)                          (individual)
#             fixed effect            N(0, sd_professor²)              N(0, sd_student²)
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
mixed_se = float(np.sqrt(mixed.vcov.loc["style[Some Flipped]", "style[Some Flipped]"]))

# %% [markdown]
# The three parts, read off the summary:
#
# * **treatment**: the fixed effects. `style[Some Flipped]` is {{mixed.fixef["style[Some Flipped]"]:.2f}} points, with
#   a standard error of {{mixed_se:.2f}};
# * **group**: professors vary with a standard deviation of {{sd_professor:.1f}} points;
# * **individual**: students of one professor in one style vary with a standard deviation of {{sd_student:.1f}}
#   points.
#
# So {{100 * share_professor:.0f}} % of the variance within a style lies between professors. (This share is also the
# correlation of two students of the same professor, the *intraclass correlation*.) Every single score is taken apart
# into the three:

# %% tags=["fold"] alt="Three students. For each, an arrow from the mean of the style to that mean plus the professor's deviation, and an arrow from there to the score of the student."
u = mixed.ranef["professor"]["Intercept"]
fixed_part = mixed.predict(groups="average")
residuals = mixed.residuals()
chosen = []
for professor, style in [
    (u.idxmin(), STYLES[0]),
    (u.idxmax(), STYLES[1]),
    (u.abs().sort_values().index[8], STYLES[2]),
]:
    own = residuals[(course["professor"] == professor) & (course["style"] == style)]
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
# And the {{n_professors}} professors? They are still there, as *predictions* of their deviations. Each is the
# estimate the dummies give, drawn towards zero: a mean of 25 students is partly luck, and the model knows how large a
# part.

# %% tags=["fold"] alt="For each professor, the deviation estimated by the dummies and the deviation predicted by the mixed model, which lies a little nearer to zero."
coefficients = pd.Series(0.0, index=course["professor"].cat.categories)
coefficients.update(of_professors["estimate"].rename(lambda term: term.split("[")[1].rstrip("]")))
by_dummies = coefficients - coefficients.mean()
pulled = 1 - float(u @ by_dummies / (by_dummies @ by_dummies))
pulled_if_three = sd_student**2 / (sd_student**2 + 3 * sd_professor**2)
order = by_dummies.sort_values().index
figure, axes = plt.subplots(figsize=(6.8, 3.1))
axes.axhline(0, color="black", lw=0.8)
for position, name in enumerate(order):
    axes.plot([position, position], [by_dummies[name], u[name]], color="#BBBBBB", lw=2, zorder=1)
axes.plot(range(n_professors), by_dummies[order], "o", mfc="white", mec="#555555", label="dummies (minus their mean)")
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
# The three answers to the question side by side. (The intervals are the estimate ± 1.96 standard errors, the same
# rule for all three.)

# %%
TERM = "style[Some Flipped]"


def answer(fit):
    """Estimate, standard error and 95 % interval of Some Flipped - Fully Flipped."""
    row = fit.tidy(ddf="normal").set_index("term").loc[TERM]
    return row[["estimate", "std_error", "conf_low", "conf_high"]].astype(float)


FITS = {"ignoring professors": ignoring, "professor dummies": dummies, "mixed model": mixed}
answers = pd.DataFrame({name: answer(fit) for name, fit in FITS.items()}).T
answers.round(2)


# %% tags=["fold"] alt="Estimate and 95 % interval of the difference under the three models. The interval of the model that ignores professors is the longest and the only one that holds zero."
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


figure, axes = plt.subplots(figsize=(6.8, 2.5))
forest(axes, answers)
axes.set_title("One question, three answers")

# %% tags=["fold"]
se = answers["std_error"]
n_some, n_fully = (int((course["style"] == style).sum()) for style in ("Some Flipped", "Fully Flipped"))
by_hand = ignoring.sigma * np.sqrt(1 / n_some + 1 / n_fully)
by_hand_within = sd_student * np.sqrt(1 / n_some + 1 / n_fully)

# %% [markdown]
# From the model that ignores professors to the mixed model the standard error falls from {{se.iloc[0]:.2f}} to
# {{se.iloc[2]:.2f}}. Where does the difference come from? For the first model the formula of the textbook is enough:
#
#     standard error = sd · √(1 / students in Some Flipped + 1 / students in Fully Flipped)
#
# With {{n_some}} and {{n_fully}} students and a standard deviation of {{ignoring.sigma:.1f}}, *professors included*,
# that is {{by_hand:.2f}}. The mixed model knows that a comparison within a professor is not disturbed by who the
# professor is; with the standard deviation of students alone, {{sd_student:.1f}}, the formula gives
# {{by_hand_within:.2f}}. It ends at {{se.iloc[2]:.2f}}, a little higher, because professors used the styles unevenly,
# so that not every student of one style has a counterpart in the other.
#
# The dummies make the same comparison within professors, and arrive at nearly the same standard error
# ({{se.iloc[1]:.2f}}). The mixed model gets there with one number for the professors, and it may also use what little
# the comparison *between* professors tells.

# %% [markdown]
# For questions of this kind there is `mx.effects`, which also answers for subgroups and for groups that were never
# seen. Here it gives the same difference, and that of No Flipped. Its intervals count degrees of freedom, as
# `mixed.tidy()` does, and are a little longer than 1.96 standard errors to either side:

# %%
effects = mx.effects(mixed, "style").table
effects[["contrast", "estimate", "sd", "lower", "upper"]].round(2)

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

# %% [markdown]
# The model that ignores professors is worse in two ways. Its estimate scatters more than the others,
# {{claims["true"].iloc[0]:.2f}} points, and it claims to scatter less than it does,
# {{claims["printed"].iloc[0]:.2f}}. The other two print about what is true.

# %% [markdown]
# ## 7. When every professor keeps to one style
#
# Suppose the course had been planned otherwise: five professors flip fully, five in part, five not at all. As many
# students and professors as before, from the same populations, and the same exam.

# %%
nested_course, nested_truth = mx.datasets.simulate_flipped_classroom(plan="nested")
pd.crosstab(nested_course["style"], nested_course["professor"])

# %%
nested_ignoring = mx.lmer("score ~ style", nested_course)
nested_mixed = mx.lmer("score ~ style + (1 | professor)", nested_course)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    nested_dummies = mx.lmer("score ~ style + professor", nested_course)
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

# %% tags=["fold"]
NESTED = {"ignoring professors": nested_ignoring, "mixed model": nested_mixed}
nested_answers = pd.DataFrame({name: answer(fit) for name, fit in NESTED.items()}).T
nested_claims = pd.DataFrame(
    {
        "printed": nested_answers["std_error"],
        "true": {name: true_spread(fit, nested_truth, nested_course["professor"]) for name, fit in NESTED.items()},
    }
).loc[list(NESTED)]
ratio = nested_answers["std_error"].iloc[1] / nested_answers["std_error"].iloc[0]
# five professors and, with ten times the students, 1,250 students on each side
spread_of_ten_times = np.sqrt(2 * (nested_truth.sd_professor**2 / 5 + nested_truth.sigma**2 / (10 * n_students / 3)))

# %% [markdown]
# The dummies cannot answer any more: once the professor is known the style is known too, so
# {{len(nested_dummies.design.aliased)}} columns are combinations of others and were dropped. Whatever is left in the
# row `style[Some Flipped]` compares single professors.
#
# The other two can answer:

# %%
nested_answers.round(2)

# %% tags=["fold"] alt="Printed and true standard errors of each model, under the crossed plan and under the nested plan. Only the model that ignores professors prints a standard error far below the true one."
figure, panels = plt.subplots(1, 2, figsize=(7.4, 2.6), sharex=True, sharey=True)
for axes, (title, table) in zip(
    panels, [("each professor in all styles", claims), ("each professor in one style", nested_claims)], strict=True
):
    for position, name in enumerate(list(FITS)[::-1]):
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
    axes.set_yticks(range(3), list(FITS)[::-1])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, 2.5)
    axes.set_xlim(0, 1.08 * nested_claims.to_numpy().max())
    axes.set_xlabel("standard error (points)")
panels[0].legend(loc="upper right")
figure.tight_layout()

# %% [markdown]
# Now the standard error of the mixed model is *larger*, {{ratio:.1f}} times that of the model which ignores
# professors, and again the mixed model is the honest one: the truth is {{nested_claims["true"].iloc[1]:.2f}}. (It is
# off by more than before, as it rests on few professors.) With every professor in one style, styles can only be
# compared by comparing professors, of whom there are five on each side. With ten times the students the true figure
# would still be {{spread_of_ten_times:.2f}}; only more professors help.
#
# So ignoring groups does not err in one direction. Where the treatment varies *within* groups, it leaves the groups
# in the noise and makes the comparison less precise than it could be. Where the treatment varies *between* groups, it
# makes the comparison look far more certain than it is. The formula of the mixed model was the same both times.

# %% [markdown]
# ## 8. How many degrees of freedom?
#
# So far every interval was the estimate ± 1.96 standard errors, as if standard deviations were known. They are
# estimated, and under the plan of section 7 the one that matters, that of professors, from {{n_professors}} professors.
# A *t* distribution makes up for that, if somebody says with how many degrees of freedom. In a mixed model no formula
# of a textbook does; there are two good approximations, after Satterthwaite and after Kenward and Roger. The first is
# what `summary()` and `tidy()` use unless told otherwise. Here is the second, for the plan of section 7:

# %%
nested_mixed.summary(ddf="kenward-roger")

# %% [markdown]
# And our question under both plans, by both approximations and by Wald's *z*, which is what ± 1.96 amounts to:

# %%
MIXED = {"each professor in all styles": mixed, "each professor in one style": nested_mixed}
METHODS = {"Satterthwaite": "satterthwaite", "Kenward-Roger": "kenward-roger", "Wald z": "normal"}
rows = {
    (plan, name): fit.tidy(ddf=ddf).set_index("term").loc[TERM]
    for plan, fit in MIXED.items()
    for name, ddf in METHODS.items()
}
tests = pd.DataFrame(rows).T[["std_error", "df", "conf_low", "conf_high"]].astype(float)
tests.round(2)

# %% tags=["fold"]
df_crossed, df_nested = (tests.loc[(plan, "Satterthwaite"), "df"] for plan in MIXED)
length = tests["conf_high"] - tests["conf_low"]
nested_plan = list(MIXED)[1]
n_courses = 400
longer = length[nested_plan, "Kenward-Roger"] / length[nested_plan, "Wald z"]

# %% [markdown]
# Where every professor teaches in all styles, students answer the question, and {{df_crossed:.0f}} degrees of freedom
# are as good as infinitely many. Where every professor keeps to one style, {{n_professors}} professors less three means
# leave {{df_nested:.0f}}, and an honest interval is {{100 * (longer - 1):.0f}} % longer than that of Wald's *z*.
#
# Does it matter? Let us hold {{n_courses}} courses under the second plan (*nested*: five professors flip fully, five in
# part, five not at all), in which the style makes no difference at all, and test in each whether it does, at the level
# of 5 %. Professors and students are drawn anew with the standard deviations of the envelope; `refit` replaces the
# scores and keeps everything else.

# %%
rng = np.random.default_rng(1)
own_professor = nested_course["professor"].cat.codes.to_numpy()
scores_without_effect = (
    nested_truth.styles.mean()
    + nested_truth.sd_professor * rng.standard_normal((n_professors, n_courses))[own_professor]
    + nested_truth.sigma * rng.standard_normal((n_students, n_courses))
)
HYPOTHESES = {
    "Some Flipped = Fully Flipped (t)": TERM,
    "all three styles equal (F)": [TERM, "style[No Flipped]"],
}
TESTS = pd.MultiIndex.from_product([HYPOTHESES, METHODS])
p_values = []
for scores in scores_without_effect.T:
    refitted = nested_mixed.refit(scores)
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

# %% [markdown]
# Wald's *z* finds "significant" differences between styles that do not differ in {{100 * of_z:.1f}} % of the courses
# (*F* test of all three), in place of 5 %. Satterthwaite's and Kenward and Roger's tests lie within twice the Monte
# Carlo error of a simulation of this size, which is {{100 * monte_carlo:.1f}} points. (For more courses there is
# `python -m benchmarks.type_one_error` in the repository.) Under a balanced plan like this the two agree; where groups
# differ in size, Kenward and Roger also correct the standard error.

# %% [markdown]
# ## 9. Every style against every other, and what else to ask of a fit
#
# We go back to the course as it was held, with every professor in all styles. Three styles make three comparisons, and
# who makes three has three chances of a false finding. `emmeans` gives the mean of each style for a professor in the
# middle of the population, and its pairwise contrasts with Tukey's adjustment, in *p* values and in intervals:

# %%
means = mx.emmeans(mixed, "style", ddf="kenward-roger")
pairs = means.pairs()
pairs

# %% alt="Estimated mean score of each style with its 95 % interval, and an arrow each: styles differ where arrows do not overlap. The three arrows do not overlap."
means.plot(comparisons=True, width=5)

# %% tags=["fold"]
pair_table = pairs.table.set_index("contrast")
unadjusted = pairs.test(adjust="none").set_index("contrast")
closest = pair_table["p_value"].idxmax()

# %% [markdown]
# Two means differ after Tukey's adjustment where their arrows do not overlap. (Overlap of the *intervals* says little:
# they hold what professors do to all means alike.) The contrast with the least evidence, {{closest}}, has
# *p* = {{pair_table.loc[closest, "p_value"]:.3f}}, and would have {{unadjusted.loc[closest, "p_value"]:.3f}} had it
# been the only question.
#
# A standard deviation is no normal affair: its interval should be longer upwards, and no rule with ± can give that.
# The *profile* interval holds the values that a likelihood-ratio test does not reject; the *bootstrap* simulates
# courses from the fitted model and refits each. Its percentiles lie lower: with few professors, estimates of their
# standard deviation are too small more often than too large.

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
low, high = intervals.loc[("profile", "professor"), ["conf_low", "conf_high"]]

# %% [markdown]
# From {{n_professors}} professors, their standard deviation is known to lie between {{low:.1f}} and {{high:.1f}}: the
# interval reaches {{high - sd_professor:.1f}} points above the estimate and {{sd_professor - low:.1f}} below it.
#
# Last, `check()` looks at what the model takes for granted, and says what it saw and what that would change:

# %%
checked = mixed.check()
checked

# %% [markdown]
# It found nothing to object to, which is as it should be with data simulated from this very model.

# %% [markdown]
# ## 10. The envelope

# %% tags=["fold"]
true_difference = truth.contrast("Some Flipped", "Fully Flipped")
misses = (answers["estimate"] - true_difference).abs()

# %% tags=["fold"] alt="Left: the three estimates with their intervals and the true difference as a line. Right: predicted against true deviations of the professors, close to the diagonal."
figure, (axes, scatter) = plt.subplots(1, 2, figsize=(8.2, 3.2), width_ratios=[1.35, 1])
forest(axes, answers)
axes.axvline(true_difference, color="#0072B2", lw=2, ls="--", zorder=0)
axes.text(true_difference, 2.64, "truth", color="#0072B2", ha="center", va="bottom", fontsize=9)
limit = 1.15 * max(truth.professors.abs().max(), u.abs().max())
scatter.plot([-limit, limit], [-limit, limit], color="#999999", lw=0.8)
scatter.plot(truth.professors, u.loc[truth.professors.index], "o", color="#B2182B")
scatter.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
scatter.set_xlabel("true deviation of the professor")
scatter.set_ylabel("predicted")
figure.tight_layout()

# %% [markdown]
# The true difference is {{true_difference:.1f}} points. The model that ignores professors misses it by
# {{misses.iloc[0]:.1f}}, the mixed model by {{misses.iloc[2]:.1f}}. Professors were drawn with a standard deviation
# of {{truth.sd_professor:.0f}} (we estimated {{sd_professor:.1f}}), students with {{truth.sigma:.0f}} (we estimated
# {{sd_student:.1f}}).
#
# One course proves little, and this one was picked from ten for making the point visibly. Section 6 is the better
# argument: its true values follow from who taught whom, not from the luck of these scores.

# %% [markdown]
# ## 11. What is still assumed
#
# The mixed model is honest about professors; it is not free of assumptions.
#
# * **The deviations of professors have nothing to do with the styles they choose.** Had better professors flipped
#   more, the comparison between professors would mislead, and the mixed model uses a little of it. The dummies do
#   not: this is the one thing they do better. If the two disagree by much, ask why. Here they differ by
#   {{abs(answers["estimate"].iloc[1] - answers["estimate"].iloc[2]):.2f}} points.
# * **The difference of the styles is the same for every professor.** If flipping suits some professors and not
#   others, let it vary: `score ~ style + (style | professor)`.
# * **The deviations of professors are normal.** With {{n_professors}} of them nobody can tell. Degrees of freedom
#   (section 8) account for the standard deviations being estimates, not for deviations of another shape.
#
# **To try.** Change the plan: `mx.datasets.simulate_flipped_classroom(seed=1, sd_professor=0)` has professors who do
# not differ. How do the three standard errors compare now, and what does the mixed model say about its own variances?
# Then let `n_professors` grow with the students held at 375, under both plans, and watch the standard error of the
# mixed model.
