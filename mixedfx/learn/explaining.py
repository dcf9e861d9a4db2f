r"""What predicted effects depend on: Shapley values, permutation importance, and the best linear projection.

* **Shapley values** of the model that predicts effects. Where the effect is a combination of models (T: mu_k - mu_0; X:
  (1 - e) tau1 + e tau0) they are the same combination of theirs, since Shapley values are linear in the function; in X
  the propensity is taken as given. They explain the model, and not the world.
* **Permutation importance**: by how much the DR-loss of held-out predictions grows when a column is shuffled among the
  held-out people, each fold by the models that were fitted without it.
* **Best linear projection** (Semenova and Chernozhukov 2021, Econometrics Journal 24:264): the regression of doubly
  robust scores on covariates. It needs no model of effects, and its errors are valid: cluster-robust (CR2), with
  Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import to_pandas
from mixedfx.errors import OptionError, check_count, check_seed
from mixedfx.learn.cate import CateFit
from mixedfx.learn.crossfit import take
from mixedfx.learn.folds import group_codes
from mixedfx.learn.outcomes import fits_arms
from mixedfx.learn.packages import package
from mixedfx.learn.pooled import SCORE, _right
from mixedfx.learn.scores import Scores, read_scores
from mixedfx.learn.trial import in_order
from mixedfx.progress import Asked, Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Shapley values of predicted effects.

    Attributes
    ----------
    values
        (n, p) what each column adds to each person's effect.
    base
        (n,) the effect before any column is known.
    X
        (n, p) the columns.
    """

    values: Array
    base: Array
    X: pd.DataFrame

    @property
    def importance(self) -> pd.Series:
        """Mean absolute Shapley value of each column, the largest first."""
        return pd.Series(np.abs(self.values).mean(axis=0), self.X.columns).sort_values(ascending=False)

    def plot(self, most: int = 10, ax: Axes | None = None) -> Picture:
        """Shapley values of the most important columns, one dot for each person."""
        from mixedfx.plots.picture import Picture
        from mixedfx.plots.shapley import shapley_summary

        return Picture(shapley_summary(self.values, self.X, most=most, ax=ax))


def explain_cate(fit: CateFit, X: Any = None, contrast: str | None = None) -> Explanation:
    """Shapley values of the model that predicts effects, by the package shap.

    Parameters
    ----------
    fit
        Of `mixedfx.cate`: a T- or X-learner or one with a single effect model, with tree models.
    X
        (m, p) people; those learnt from where None.
    contrast
        Which effect, where there are several.

    Raises
    ------
    OptionError
        For the S-learner, and for models that shap's TreeExplainer does not know.

    Examples
    --------
    >>> import mixedfx as mx
    >>> data, truth = mx.datasets.simulate_mindset(1, n=3040)
    >>> X = data[["success_expect", "school_mindset"]]
    >>> fit = mx.cate("R", X, data["achievement_score"], data["intervention"], propensity=truth.propensity)
    >>> mx.explain_cate(fit).values.shape
    (3040, 2)
    """
    _check_fit(fit)
    if fit.learner.outcome == "joint":
        raise OptionError("the effect of an S-learner has no model of its own", hint="Explain a T- or R-learner.")
    k = _which(fit, contrast)
    rows = fit.trial.X if X is None else fit.trial.covariates(X)
    models = fit.models_of_all
    if fit.learner.regressions is None and fits_arms(fit.models[0]):
        raise OptionError("arms that were fitted together have no models of their own", hint='Say arms="apart" of it.')
    if fit.learner.regressions is None:
        parts = [(1.0, models[0][k + 1]), (-1.0, models[0][0])]
    elif fit.learner.combine is None:
        parts = [(1.0, models[k][0])]
    else:
        share = fit.nuisances.share(k + 1) if X is None else fit._shares(rows, None)[:, k]
        parts = [(1 - share[:, None], models[k][0]), (share[:, None], models[k][1])]
    values, base = 0.0, 0.0
    for factor, model in parts:
        own, start = _shap(model, rows)
        values = values + factor * own
        base = base + np.ravel(factor) * start
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(np.asarray(rows)).add_prefix("x")
    return Explanation(np.asarray(values), np.broadcast_to(base, len(frame)).astype(np.float64), frame)


def permutation_importance(
    fit: CateFit, scores: Scores, *, contrast: str | None = None, repeats: int = 5, seed: int | None = 0,
    progress: Asked = None,
) -> pd.DataFrame:  # fmt: skip
    """By how much held-out predictions of effects get worse when a column is shuffled.

    Parameters
    ----------
    fit
        Of `mixedfx.cate`.
    scores
        Doubly robust scores of the same people, which predictions are compared with.
    contrast
        Which effect, where there are several.
    repeats
        Shuffles of each column.
    seed
        Of the shuffles.
    progress
        True, False, None (where somebody looks) or a function that is told.

    Returns
    -------
    DataFrame
        column, importance (mean growth of the DR-loss) and sd over shuffles, the largest first.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from sklearn.linear_model import LinearRegression
    >>> data, truth = mx.datasets.simulate_mindset(1, n=3040)
    >>> X = data[["success_expect", "school_mindset"]]
    >>> options = {"outcome": LinearRegression(), "propensity": truth.propensity}
    >>> fit = mx.cate("T", X, data["achievement_score"], data["intervention"], **options)
    >>> scores = mx.dr_scores(X, data["achievement_score"], data["intervention"], **options)
    >>> sorted(mx.permutation_importance(fit, scores)["column"])
    ['school_mindset', 'success_expect']
    """
    _check_fit(fit)
    check_count("repeats", repeats)
    check_seed(seed)
    X, k = fit.trial.X, _which(fit, contrast)
    gamma, rng = read_scores(scores, len(fit.trial), contrast), np.random.default_rng(seed)
    names = list(X.columns) if isinstance(X, pd.DataFrame) else [f"x{i}" for i in range(X.shape[1])]
    grown = np.zeros((len(names), repeats))
    share = None
    if fit.learner.combine is not None:
        share = np.column_stack([fit.nuisances.share(j) for j in range(1, len(fit.trial.arms))])
    with Progress(progress, "shuffling columns", int(fit.folds.max()) + 1, "folds") as report:
        for j in range(int(fit.folds.max()) + 1):
            held, models = np.flatnonzero(fit.folds == j), fit.models_without(j)
            own, part = take(X, held), None if share is None else share[held]
            before = ((gamma[held] - fit.answer(models, own, part)[:, k]) ** 2).sum()
            for c in range(len(names)):
                for r in range(repeats):
                    shuffled = _with_column(own, c, rng.permutation(len(held)))
                    after = ((gamma[held] - fit.answer(models, shuffled, part)[:, k]) ** 2).sum()
                    grown[c, r] += (after - before) / len(fit.trial)
            report(j + 1)
    table = pd.DataFrame({"column": names, "importance": grown.mean(axis=1)})
    table["sd"] = grown.std(axis=1, ddof=1) if repeats > 1 else np.nan
    return table.sort_values("importance", ascending=False, ignore_index=True)


def best_linear_projection(
    scores: Any, formula: str, data: Any, *, cluster: Any = None, contrast: str | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Regression of doubly robust scores on covariates, with cluster-robust errors.

    Parameters
    ----------
    scores
        `Scores`, or (n,) scores of the effect.
    formula
        Right side without random terms, ``"1 + x1 + x2"``.
    data
        Any frame of the n people.
    cluster
        (n,) clusters, or a column of the data; the groups of `Scores` where None, else rows.
    contrast
        Which effect, where scores are of several.
    level
        Probability that intervals hold.

    Returns
    -------
    DataFrame
        term, estimate, std_error, statistic, df, p_value, conf_low, conf_high.

    Raises
    ------
    OptionError
        A formula with a left side.

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> data, truth = mx.datasets.simulate_mindset(1, n=3040)
    >>> scores = truth.tau + np.random.default_rng(0).standard_normal(3040)
    >>> mx.best_linear_projection(scores, "1 + success_expect", data, cluster=data["schoolid"])["term"].tolist()
    ['Intercept', 'success_expect']
    """
    from mixedfx.reml.lmer import lmer

    frame = (data if isinstance(data, pd.DataFrame) else to_pandas(data)).reset_index(drop=True)
    values = read_scores(in_order(scores, data, "scores"), len(frame), contrast)
    if cluster is None and isinstance(scores, Scores) and scores.trial.group is not None:
        cluster = scores.trial.group
    codes, _ = group_codes(_cluster(cluster, data, frame), len(frame), "cluster")
    fit = lmer(f"{SCORE} ~ {_right(formula)}", frame.assign(**{SCORE: values}), na="raise")
    if fit.design.random:
        raise OptionError("a projection has no random terms", hint="mx.pool_scores takes them.")
    return fit.tidy(level=level, vcov=fit.vcov_robust("CR2", cluster=np.arange(len(frame)) if codes is None else codes))


def _cluster(given: Any, data: Any, frame: pd.DataFrame) -> Any:
    """Clusters, or those of the column that a text names."""
    if not isinstance(given, str):
        return in_order(given, data, "cluster")
    if given not in frame.columns:
        raise OptionError(f"the data have no column {given!r}", hint=f"Columns: {', '.join(map(str, frame.columns))}.")
    return frame[given]


def _check_fit(fit: Any) -> None:
    if not isinstance(fit, CateFit):
        raise OptionError(f"fit is a {type(fit).__name__}", hint="Give what mx.cate returns, which has the models.")


def _which(fit: CateFit, contrast: str | None) -> int:
    names = fit.trial.contrasts
    if contrast is None and len(names) == 1:
        return 0
    if contrast not in names:
        wrong = f"there are {len(names)} effects" if contrast is None else f"there is no contrast {contrast!r}"
        raise OptionError(wrong, hint=f"Contrasts: {', '.join(names)}.")
    return names.index(contrast)


def _shap(model: Any, X: Any) -> tuple[Array, float]:
    """(n, p) Shapley values of a model of trees, and what it starts from."""
    if hasattr(model, "predict_proba"):
        raise OptionError(
            f"{type(model).__name__} is a classifier, whose Shapley values are of log odds", hint="Use a regressor."
        )
    shap = package("shap")
    try:
        explainer = shap.TreeExplainer(model)
        values = np.asarray(explainer.shap_values(X), dtype=np.float64)
    except Exception as error:
        raise OptionError(
            f"shap's TreeExplainer cannot explain {type(model).__name__}: {error}",
            hint="Use models of trees, or mx.best_linear_projection and mx.permutation_importance.",
        ) from error
    return values, float(np.ravel(explainer.expected_value)[0])


def _with_column(X: Any, c: int, order: Sequence[int] | NDArray[Any]) -> Any:
    """The same rows with one column in another order."""
    if isinstance(X, pd.DataFrame):
        name = X.columns[c]
        return X.assign(**{name: X[name].iloc[order].set_axis(X.index)})
    if hasattr(X, "toarray"):
        X = X.tolil(copy=True)
        X[:, [c]] = X[order, :][:, [c]]
        return X.tocsr()
    out = np.array(X)
    out[:, c] = out[order, c]
    return out
