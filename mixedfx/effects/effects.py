"""`effects`: from a fit and a question about a treatment to a table.

On the identity link the effect in subgroup S is exactly ``C_S (beta, u)`` with C_S = sum over cells of w_i (c_i(high) -
c_i(low)) / sum of w_i, so the fit is asked once about s rows, however many rows or draws there are. On other links, and
for comparisons that are not linear, it is a function of average outcomes, taken draw by draw. The steps are in
pipeline.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mixedfx.effects.cells import answering_rows
from mixedfx.effects.comparisons import SLOPE, find_comparison
from mixedfx.effects.mean_fit import as_fit
from mixedfx.effects.pipeline import ask
from mixedfx.effects.result import Effects
from mixedfx.effects.row_counts import WeightsLike
from mixedfx.effects.subgroups import ByLike
from mixedfx.effects.treatment import TreatmentLike, read_slope, read_treatment
from mixedfx.results.protocol import Fit, NewLevels, PredictsMean, Uncertainty


def effects(
    fit: Fit | PredictsMean,
    treatment: TreatmentLike,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    newdata: Any = None,
    weights: WeightsLike = None,
    comparison: str = "difference",
    scale: Literal["response", "link"] = "response",
    groups: Literal["fitted", "average", "integrate"] = "fitted",
    level: float = 0.95,
    new_levels: NewLevels = "sample",
    seed: int | None = None,
    uncertainty: Uncertainty = "full",
    bias_adjust: bool = False,
) -> Effects:
    """Average effects of a treatment, for everybody or for subgroups.

    Every row averaged over is taken twice, with the treatment set to one value and to another. The effect in a
    subgroup compares the two weighted averages over its rows. Coefficients shared by both cancel in a difference;
    fixed and random effects that hold the treatment remain, with their joint uncertainty.

    Parameters
    ----------
    fit
        Any fit; or anything that predicts mean outcomes of rows (`mixedfx.results.protocol.PredictsMean`: `data`,
        `columns`, `response`, `uncertainty`, ``mean_draws(frame)``), such as a bootstrap of a non-linear regression or
        of a learner. Of that averages and comparisons are taken draw by draw, or of points without intervals.
    treatment
        A column of the model. 0/1 or boolean: 1 minus 0. Text or categories: each level minus the first. A number with
        two values, such as -0.5 and 0.5: the higher minus the lower. Any other number: one unit more than the value
        each row has, which is the slope where the model is linear in it (where a spline ends within a unit, the unit
        below); ``{"dose": "per unit"}`` asks for that of any number. A dictionary of one column chooses the values, the
        base first: ``{"style": ["Fully", "Some"]}`` is Some minus Fully, ``{"dose": [0, 10]}`` is 10 minus 0.
        ``{"style": "pairwise"}`` compares every two levels, ``"sequential"`` each level with the one before.
    by
        ``"race"``, or ``["race", "gender"]`` for one row per cell of the crossing, or ``[["race"], ["gender"]]`` for
        several margins in one table (``[]`` among them is everybody). Only combinations that occur have a row.
    subgroups
        Names and queries instead of `by`: ``{"Black boys": "race == 'Black' and gender == 'boy'"}``. Subgroups may
        overlap. A query compares columns with constants (``== != < <= > >= in``), joined with ``and``, ``or``,
        ``not``.
    newdata
        Rows to average over instead of the data of the fit: other people, or the cells of a census. A grouping column
        of the model may be missing: its effects are then set to the population mean, and a note says so.
    weights
        What each row counts for: a column, one number per row (a pandas Series is aligned with the index of the rows,
        anything else is taken by position), or one number for all. Population counts for poststratification, survey
        weights, or the weights of `mixedfx.rake`; they take the place of the counts of the sample. Where None, each
        row counts once, a row of ``k | trials(m)`` as often as it has trials, and a note says so; precision weights of
        the fit say how exact a row is, not how many people it stands for. Uncertain counts are given as draws: an
        array or frame (draws, rows). Draw d of an average uses draw d of the weights; where the fit has another number
        of draws, the weights of each are chosen at random.
    comparison
        Of the two averages: ``"difference"``, ``"risk_difference"`` (the same, for probabilities), ``"ratio"``,
        ``"lnratio"``, ``"lift"`` (in percent), ``"odds_ratio"``, ``"log_odds_ratio"``. A ratio is one of weighted
        means, sum w h / sum w l, and not the mean of each row's ratio. ``"slope"``: of a numeric treatment, by how much
        outcomes rise per unit at the value of each row (its derivative), averaged over rows.
    scale
        ``"response"``, or ``"link"`` for differences of linear predictors; the same on the identity link, unless the
        formula transforms the response. ``"response"`` takes a transformed response back to its variable: under
        ``log(days) ~ ...`` a ratio is one of geometric means of days, a difference is in days; ``"link"`` keeps the
        scale of the model, log(days). A note says which. Known are log, log2, log10, log1p, sqrt, logit and other
        functions that can be undone, powers, ``scale``, ``center``, shifts and factors (``I(y / 1000)``), and what is
        composed of them; an unknown function has answers on the scale of the model only.
    groups
        Three questions, and three answers off the identity link; on it, the last two agree. ``"fitted"`` keeps the
        random effects: the effect in the groups of the data, wanted where these groups are the subject. ``"average"``
        sets them to zero: the effect in one group in the middle of the population, wanted for "a typical school".
        ``"integrate"`` averages outcomes over the population of groups within each draw: the effect on people whose
        groups are not in the data, wanted for a policy in other schools. With a logit link and a standard deviation of
        1.5 between groups, outcomes of 0.12 and 0.50 in an average group are 0.19 and 0.50 over the population.
    level
        Probability the intervals hold.
    new_levels
        What a level the fit has not seen gets: ``"sample"``, its population's distribution, each level independently,
        whose variance enters the interval (and a warning lists the levels); ``"population"``, the mean of it;
        ``"error"``.
    seed
        For what needs random numbers: draws of a fit that makes them when asked (0 where None). The linear
        comparisons of REML fits need none.
    uncertainty
        Of fits by REML or maximum likelihood. ``"full"``: intervals include that the variances are estimated.
        ``"given theta"``: they take the estimated variances as known. A posterior is always full.
    bias_adjust
        Of a transformed response: compare arithmetic means of the variable, which take the residual variance into
        account (and that of the groups that are averaged over), instead of taking back the means of the model's
        predictions. exp(mean of log(days)) is the geometric mean, the median day count of a person; exp(mean + sigma^2
        / 2) is the arithmetic one, what days add up to. For gaussian models.

    Returns
    -------
    Effects
        With `table`, `draws`, `contrast`, `prob`, `rope`, `rank`, `interaction_excess`, `shrinkage`,
        `heterogeneity`, `decide`, `plot`, `sentence`, `to_html`, `to_excel`. Responses with
        categories have a row for each category.

    Raises
    ------
    EffectsError
        A question this fit cannot answer: a treatment that is not in the model, an unknown column, level or option, a
        subgroup without rows.
    DataError
        New data that lack a column the model needs, or (UnseenLevelError) hold a level unknown to its fixed part.

    Warns
    -----
    NoVariationWarning
        The formula does not let the effect vary over the subgroups asked about; the message holds one that does.
    NotEstimableWarning
        A number needs columns that were dropped from the fit as aliased (a cell without rows, a column that is a
        combination of others): the data do not determine it, and it is NaN.
    UnseenLevelsWarning
        Levels of grouping factors that the fit has not seen, listed.

    Notes
    -----
    Comparisons that are not linear, and response scales other than the identity, are taken within joint draws of the
    averages, and intervals are quantiles. Estimates are means of the draws for differences, and medians for the
    others, so that ``lnratio`` is the logarithm of ``ratio``.

    Of a transformed response f(y) the average over a subgroup is f^-1 of the average of f(y): the generalised mean,
    which does not depend on the unit of y. Ratios of a logarithm and odds ratios of a logit are then as exact as
    differences; other comparisons are taken draw by draw, and estimates are medians. With ``bias_adjust=True`` means
    of y in each row are averaged, within each draw.
    In the table n counts rows and weight what they stand for: trials of ``k | trials(m)``, or the weights given. So the
    same data give the same effects as counts of cells and as rows of zeros and ones. New data without the column of
    the trials count each row once, and a note says so. ``newdata=census, weights="N"`` counts people of the census,
    whatever trials it may hold.

    Draws of an unseen level depend on its name and the seed of the fit, and so agree between questions. Where averages
    on the identity link rest on thousands of unseen levels, what these add to all rows of the table is drawn at once,
    with the same joint distribution: such draws agree within one answer, and not between two.

    **Intervals of a REML fit.** Numbers that rest on fixed effects alone (all of them where ``groups`` is not
    ``"fitted"``) have the standard error, degrees of freedom and interval that `tidy` and `emmeans` give them. Numbers
    with random effects are averaged over fixed nodes of theta and sigma, weighted by the restricted likelihood and a
    weak prior; estimates stay at theta-hat, no seed is needed, and `mixedfx.reml.theta_prior` says which prior and why.
    In simulations with 10 to 12 crossed groups and 400 rows, 90 % intervals of the effect in each group, of differences
    of groups and of groups without rows held it 88 to 92 times in 100; given theta (``uncertainty="given theta"``, what
    such intervals mostly are elsewhere) 67 to 80 times. Of a generalised linear mixed model (`mixedfx.glmer`) the nodes
    are those of its approximate likelihood (`mixedfx.glmm.theta_density`) and numbers on the scale of the response are
    taken within joint draws of (beta, u) and theta, the same at every call: of risk differences by group such intervals
    held 89 to 90 in 100, given theta 78 to 82.

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> star = mx.datasets.load("star")
    >>> fit = mx.lmer("math ~ small*race + small*gender + (1 + small | sch)", star)
    >>> eff = mx.effects(fit, "small", by=["race", "gender"])
    >>> eff.table[["race", "gender", "contrast"]].iloc[0].tolist()
    ['Black', 'boy', '1 - 0']
    >>> mx.effects(fit, "small", by="race", comparison="lift").table["contrast"].iloc[0]
    '1 over 0, %'

    The ratio of two geometric means, from a model of logarithms:

    >>> log_fit = mx.lmer("log(math) ~ small + (1 | sch)", star)
    >>> ratio = mx.effects(log_fit, "small", comparison="ratio")
    >>> round(float(ratio.table["estimate"].item()), 4), round(float(np.exp(log_fit.fixef["small"])), 4)
    (1.018, 1.018)
    """
    asked, compare = answering_rows(as_fit(fit), treatment), find_comparison(comparison)
    return ask(
        asked,
        read_slope(asked.design, treatment) if compare is SLOPE else read_treatment(asked.design, treatment),
        compare,
        by=by,
        subgroups=subgroups,
        newdata=newdata,
        weights=weights,
        scale=scale,
        groups=groups,
        level=level,
        new_levels=new_levels,
        seed=seed,
        uncertainty=uncertainty,
        bias_adjust=bias_adjust,
    )
