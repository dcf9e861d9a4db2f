r"""pool_scores: partial pooling of doubly robust scores, anyone's, by a mixed model of them.

A score s_i is an unbiased and very noisy measurement of the effect on person i. A mixed model of scores,

    s_i = x_i'beta + z_i'u + e_i,     u ~ N(0, Sigma),     e_i ~ N(0, phi v_g(i)),

has the effects of groups as its random effects: means of scores that are pooled as far as their errors ask for it.
Groups in which an arm is rare have scores of larger variance, and that of each group is respected: v_g are variances
within groups, known up to the common factor phi, which is estimated beside Sigma by REML. Weights are the same for all
rows of a group, so that a group's effect stays the average over its people, and not over those with convenient
propensities.

**Variances within groups.** The sample variance V_g of the n_g scores of a group has log V_g approximately normal about
log v_g - k_g / 2 with variance k_g = (kurtosis - 1) / (n_g - 1), the kurtosis being that of scores divided by their
group's standard deviation (3 and the usual 2 / (n_g - 1) for normal ones; scores have more). Groups differ around a
common mean, log v_g ~ N(m, t^2), with t^2 by the method of moments (DerSimonian and Laird 1986), and each has its
posterior mean: small groups are near the mean of all. Smyth (2004, Statistical Applications in Genetics and Molecular
Biology 3:3) shrinks variances likewise, from normal data.

Intervals include that Sigma and phi are estimated (`mixedfx.reml.theta_nodes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.result import Effects
from mixedfx.effects.subgroups import ByLike
from mixedfx.errors import DataError, OptionError, check_option, check_seed
from mixedfx.learn.cells import effects_of_cells, find_cells
from mixedfx.learn.folds import group_codes
from mixedfx.learn.scores import Scores, read_scores
from mixedfx.learn.trial import in_order
from mixedfx.results.protocol import UNCERTAINTIES, IntervalEstimate, Uncertainty
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    from mixedfx.reml.fit import LmerFit

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

SCORE = "score_"
"""Name of the scores beside the columns of the data."""


def pool_scores(
    scores: Any,
    formula: str,
    data: Any,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    weights: Any = None,
    variances: str | Literal["largest"] | None = "largest",
    contrast: str | None = None,
    treatment: str | Mapping[str, Any] | None = None,
    response: str | None = None,
    uncertainty: Uncertainty = "full",
    level: float = 0.95,
    seed: int | None = None,
) -> Effects:
    """Pool doubly robust scores partially over groups: effects of subgroups with honest intervals.

    Parameters
    ----------
    scores
        `Scores` of `mixedfx.dr_scores`, or (n,) scores that another package made (grf's ``get_scores``, econml's).
    formula
        Right side of the model of scores, in lme4's notation: ``"1 + (1 | school) + (1 | ethnicity)"``; covariates that
        the effect may depend on are fixed effects.
    data
        Any frame of the n people.
    by, subgroups, level
        As in `mixedfx.effects`.
    weights
        What each row counts for in averages: a column, or numbers.
    variances
        Column whose levels have score variances of their own; ``"largest"``: the grouping factor of the formula with
        the most levels; None: one variance for all.
    contrast
        Which effect, where scores are of several.
    treatment, response
        Names for tables and axes; those of the scores where None.
    uncertainty
        ``"full"``, or ``"given theta"``, which takes the estimated variances as known.
    seed
        For draws.

    Returns
    -------
    Effects
        As of a fit. ``eff.fit.account.model`` is the fitted model of the scores; `shrinkage` shows means of
        scores beside the pooled effects.

    Raises
    ------
    DataError
        Scores of another length than the data, or NaN, by counts.
    OptionError
        A formula with a left side, an unknown column.
    EffectsError
        An unknown column in `by`, a subgroup without rows.

    Notes
    -----
    Subgroups by columns that the formula does not read differ through their mix of the columns that it does read.

    Examples
    --------
    >>> import mixedfx as mx
    >>> data, truth = mx.datasets.simulate_mindset(1)
    >>> noise = (data["intervention"] / truth.propensity - 1) * 0.5  # of known scores, for a quick example
    >>> eff = mx.pool_scores(truth.tau + noise, "1 + (1 | schoolid) + (1 | ethnicity)", data, by="ethnicity")
    >>> eff.table["n"].iloc[:3].tolist()
    [4788, 1426, 1015]
    """
    from mixedfx.reml.lmer import lmer

    check_option("uncertainty", uncertainty, UNCERTAINTIES)
    check_seed(seed)
    cells, frame = find_cells(data, by, subgroups, weights)
    values = read_scores(in_order(scores, data, "scores"), len(frame), contrast)
    right = _right(formula)
    if SCORE in frame.columns:
        raise DataError(f"the data have a column {SCORE!r}, which is the name of the scores here", hint="Rename it.")
    named = frame.reset_index(drop=True).assign(**{SCORE: values})
    column = _variance_column(variances, right, named)
    codes = np.zeros(len(values), dtype=np.intp) if column is None else _codes(named, column)
    v = shrunk_variances(values, codes) if column is not None else np.array([values.var(ddof=1)])
    if not (v > 0).all():
        raise DataError("the scores do not vary", hint="Scores are noisy measurements; these are a constant.")
    own = v[codes]
    given = None if column is None else own.mean() / own
    fit = lmer(f"{SCORE} ~ {right}", named, weights=given, na="raise").with_uncertainty(uncertainty)
    functional = fit.design_for().combine(cells.averaging)
    how = (
        f"{len(values):,} doubly robust scores were put to the mixed model above"
        + ("." if column is None else f", with a residual variance for each level of {column}, known up to a factor."),
        "The effect in a subgroup is the average over its people of the model's expected score.",
    )
    trial = scores.trial if isinstance(scores, Scores) else None
    arms, outcome = _names(trial, contrast)
    reported = ReportedFit(
        frame=cells.frame,
        response=response or outcome,
        estimates=np.asarray(cells.averaging @ values),
        covariance=np.diag(np.asarray(cells.averaging.power(2) @ own)),
        linear=partial(_linear, fit, functional),
        model=right,
        uncertainty=fit.uncertainty,
        account=ScoreModel(fit),
        code=f"mx.pool_scores(scores, {formula!r}, data",
        concerns=fit.concerns,
        how=how,
        direct=True,
    )
    return effects_of_cells(
        reported, cells, treatment or arms, by=by, subgroups=subgroups, level=level, seed=seed, notes=()
    )


@dataclass(frozen=True, eq=False, repr=False)
class ScoreModel(Shown):
    """The model that scores were put to.

    Attributes
    ----------
    model
        A fit of `mixedfx.lmer`.
    """

    model: LmerFit

    def content(self) -> SummaryContent:
        """Its summary."""
        return self.model.summary()


def shrunk_variances(scores: Array, codes: Codes) -> Array:
    """Variances (G,) of scores within groups, those of small groups near the geometric mean of all.

    Parameters
    ----------
    scores
        (n,).
    codes
        (n,) groups 0 to G - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.pooled import shrunk_variances
    >>> rng = np.random.default_rng(0)
    >>> codes = np.repeat([0, 1, 2], [4000, 4000, 3])
    >>> shrunk_variances(rng.standard_normal(8003) * np.array([1.0, 2.0, 9.0])[codes], codes).round(1)
    array([ 1. ,  4.1, 25.7])
    """
    G, n = int(codes.max()) + 1, np.bincount(codes)
    centred = scores - (np.bincount(codes, scores, G) / n)[codes]
    square = np.bincount(codes, centred**2, G)
    able = (n > 1) & (square > 0)
    if not able.any():
        return np.full(G, float(np.var(scores)))
    V = square[able] / (n[able] - 1)
    every = np.ones(G)
    every[able] = V
    inside = able[codes]
    scaled = centred[inside] ** 2 / every[codes[inside]] * (n / np.maximum(n - 1, 1))[codes[inside]]
    kurtosis = max(float(np.mean(scaled**2)) / float(np.mean(scaled)) ** 2, 1.5)
    k = (kurtosis - 1) / (n[able] - 1)
    logs = np.log(V) + k / 2
    between = _moment_variance(logs, k)
    w = 1 / (k + between)
    centre = float((w * logs).sum() / w.sum())
    out = np.full(G, np.exp(centre))
    out[able] = np.exp((between * logs + k * centre) / (between + k))
    return out


def _moment_variance(y: Array, v: Array) -> float:
    """Variance between estimates with known error variances, by the method of moments; zero where there is none."""
    w = 1 / v
    mean = (w * y).sum() / w.sum()
    spread = w.sum() - (w**2).sum() / w.sum()
    if len(y) < 2 or spread <= 0:
        return 0.0
    return max(0.0, float(((w * (y - mean) ** 2).sum() - (len(y) - 1)) / spread))


def _linear(fit: Any, cells: Functional, rows: Array) -> IntervalEstimate:
    return fit.apply(cells.combine(rows))


def _right(formula: str) -> str:
    if not isinstance(formula, str):
        raise OptionError(f"formula={formula!r} is no text", hint='Write "1 + (1 | school)".')
    head, tilde, tail = formula.partition("~")
    if tilde and head.strip():
        raise OptionError(
            f"{formula!r} has a left side, but the response are the scores", hint=f"Write {tail.strip()!r}."
        )
    return (tail if tilde else head).strip()


def _variance_column(variances: str | None, right: str, frame: pd.DataFrame) -> str | None:
    """Column whose levels have variances of their own."""
    if variances is None:
        return None
    if variances != "largest":
        if variances not in frame.columns:
            columns = ", ".join(name for name in frame.columns if name != SCORE)
            raise OptionError(
                f"variances={variances!r} is no column of the data", hint=f'Use "largest", None, or one of {columns}.'
            )
        return variances
    from mixedfx.formula.parse import parse_formula

    factors = {f for term in parse_formula(f"{SCORE} ~ {right}").random for f in term.group}
    sizes = {name: frame[name].nunique() for name in sorted(factors) if name in frame.columns}
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def _codes(frame: pd.DataFrame, column: str) -> Codes:
    codes, _ = group_codes(frame[column], len(frame), repr(column))
    assert codes is not None
    return codes


def _names(trial: Any, contrast: str | None) -> tuple[Any, str]:
    """What the treatment and the outcome are called."""
    if trial is None:
        return "treatment", "outcome"
    k = 1 if contrast is None else 1 + trial.contrasts.index(contrast)
    return {trial.names[1]: [str(trial.arms[0]), str(trial.arms[k])]}, trial.names[0]
