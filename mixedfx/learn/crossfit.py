"""The cross-fitting scaffold: models fitted without a fold predict the rows of it.

A `Plan` is one quantity to predict: a model, the rows it may learn from, their targets and weights, and how it is
asked. `cross_fit` turns plans into jobs, one for each plan and fold, does them in this process or in several, and puts
the predictions of held-out rows together. A row is never predicted by a model that was fitted to its outcome. The
pseudo-outcomes of other rows, which an effect model learns from, rest on nuisances that have seen it, as is usual
(Chernozhukov and others 2018, Econometrics Journal 21:C1): their first-order effect is zero for the R and DR targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError
from mixedfx.learn.packages import package
from mixedfx.progress import Asked, Progress

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
Answer = Callable[[Any, Any], Array]
TREATMENT = "treatment_"
"""Column of the arm beside the covariates of an S-learner; of more than two arms ``treatment_1``, ..."""


@dataclass(frozen=True, eq=False)
class Plan:
    """One quantity that a model predicts.

    Attributes
    ----------
    what
        In words, for messages.
    model
        An estimator that is not fitted; it is cloned.
    X
        (n, p) rows.
    rows
        Those to learn from.
    target
        (len(rows),) what is learnt.
    answer
        What is asked of the fitted model about rows of `about`.
    about
        Rows as the answer reads them; X where None.
    weights
        (len(rows),) or None.
    arm
        (len(rows),) codes of arms, where one model is fitted to all arms together.
    """

    what: str
    model: Any
    X: Any
    rows: Codes
    target: NDArray[Any]
    answer: Answer
    about: Any = None
    weights: Array | None = None
    arm: Codes | None = None

    def fitted(self, outside: NDArray[np.bool_] | None = None) -> Any:
        """The model fitted to all rows, or to those where `outside` is true."""
        used = slice(None) if outside is None else np.flatnonzero(outside[self.rows])
        rows = self.rows[used]
        if not len(rows):
            raise DataError(
                f"a fold leaves no rows to learn the {self.what} from",
                hint='Use fewer folds, or target="these groups", which spreads every arm over the folds.',
            )
        own = {} if self.weights is None else {"sample_weight": self.weights[used]}
        model = package("sklearn.base").clone(self.model)
        try:
            if self.arm is not None:
                return model.fit_arms(take(self.X, rows), self.target[used], self.arm[used])
            return model.fit(take(self.X, rows), self.target[used], **own)
        except ValueError as error:  # as scikit-learn's models say what they do not read
            first = str(error).strip().partition("\n")[0]
            raise DataError(
                f"the {self.what} model, {type(self.model).__name__}, cannot be fitted: {first}",
                hint="Missing values and categories are read by boosted trees (the default); else impute and encode.",
            ) from error

    def ask(self, model: Any, rows: Codes) -> Array:
        """What the model answers about some rows."""
        return self.answer(model, take(self.X if self.about is None else self.about, rows))


def take(X: Any, rows: Any) -> Any:
    """Some rows of a frame, an array or a sparse matrix."""
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def cross_fit(
    plans: Sequence[Plan | Sequence[Plan]],
    folds: Codes,
    n_jobs: int | None = None,
    progress: Asked = None,
    *,
    everywhere: bool = False,
) -> list[Array]:
    """Predictions of every row by models that were fitted without its fold.

    Parameters
    ----------
    plans
        What is predicted; several for one quantity are one for each fold that is held out.
    folds
        (n,) numbers of folds, 0, 1, ..., J - 1.
    n_jobs
        Processes, as joblib has them; this one alone where None.
    progress
        Where to show how far it is.
    everywhere
        Whether the models of each fold predict all rows, and not those of the fold only.

    Returns
    -------
    list of arrays
        (n,) or (n, K), one for each plan; everywhere (J, n) or (J, n, K).
    """
    held = [np.flatnonzero(folds == j) for j in range(int(folds.max()) + 1)]
    jobs = [(p, j) for p in range(len(plans)) for j in range(len(held))]
    out: list[Any] = [None] * len(plans)
    by_fold = [[plan] * len(held) if isinstance(plan, Plan) else list(plan) for plan in plans]
    first, every = by_fold[0][0].what, np.arange(len(folds))
    what = first if len(plans) == 1 else f"{first} and {len(plans) - 1} more"
    with Progress(progress, f"cross-fitting: {what}", len(jobs), "fits") as report:
        calls = ((_one, (by_fold[p][j], folds != j, every if everywhere else held[j])) for p, j in jobs)
        for done, ((p, j), found) in enumerate(zip(jobs, in_parallel(calls, n_jobs), strict=True)):
            if out[p] is None:
                out[p] = np.empty((*([len(held)] if everywhere else []), len(folds), *found.shape[1:]))
            out[p][j if everywhere else held[j]] = found
            report(done + 1, note=first)
    return out


def in_parallel(calls: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]], n_jobs: int | None) -> Iterator[Any]:
    """Results of calls in their order, from this process or from `n_jobs` of them."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer) or n_jobs == 0):
        raise OptionError(f"n_jobs={n_jobs!r} is no number of processes", hint="Use None, 2, or -1 for all cores.")
    if n_jobs is None or n_jobs == 1:
        return (call(*arguments) for call, arguments in calls)
    joblib = package("joblib")
    return joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(call)(*arguments) for call, arguments in calls
    )


def _one(plan: Plan, outside: NDArray[np.bool_], held: Codes) -> Array:
    return plan.ask(plan.fitted(outside), held)


def mean_of(model: Any, X: Any) -> Array:
    """(n,) predicted means: of a classifier of zeros and ones the probability of one."""
    if hasattr(model, "predict_proba"):
        return probabilities(model, X, 2)[:, 1]
    return np.asarray(model.predict(X), dtype=np.float64).reshape(X.shape[0])


def probabilities(model: Any, X: Any, K: int) -> Array:
    """(n, K) probabilities of classes 0 to K - 1; zero of a class that the model has not seen."""
    found = np.asarray(model.predict_proba(X), dtype=np.float64)
    out = np.zeros((len(found), K))
    out[:, np.asarray(model.classes_, dtype=np.intp)] = found
    return out


def each_arm(model: Any, X: Any, K: int) -> Array:
    """(n, K) answers of a joint model of covariates and arm, with the arm set to each."""
    return np.column_stack([mean_of(model, with_arm(X, np.full(X.shape[0], k), K)) for k in range(K)])


def with_arm(X: Any, arm: NDArray[Any], K: int) -> Any:
    """Covariates and the arm beside them: 0/1, or an indicator of each arm but the control.

    Numbers, not categories: a category of one value in prediction is coded anew by some learners, whose effects would
    all be zero.
    """
    indicators = (arm[:, None] == np.arange(1, K)).astype(np.float64)
    if isinstance(X, pd.DataFrame):
        names = [TREATMENT] if K == 2 else [f"{TREATMENT}{k}" for k in range(1, K)]
        if set(names) & set(X.columns):
            raise OptionError(f"X has a column {names[0]!r}, which is that of the arm here", hint="Rename it.")
        return X.assign(**dict(zip(names, indicators.T, strict=True)))
    if hasattr(X, "toarray"):
        from scipy import sparse

        return sparse.hstack([X, sparse.csr_array(indicators)], format="csr")
    return np.column_stack([X, indicators])


def check_model(model: Any, what: str, *, weighted: bool = False, classes: bool = False) -> None:
    """Refuse an estimator that cannot do what is asked of it (`OptionError`)."""
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "get_params")):
        raise OptionError(f"{what}={model!r} is no scikit-learn estimator", hint="Give an instance of one.")
    if classes and not hasattr(model, "predict_proba"):
        raise OptionError(
            f"{what}={type(model).__name__} has no predict_proba", hint="Probabilities come from a classifier."
        )
    if weighted and not package("sklearn.utils.validation").has_fit_parameter(model, "sample_weight"):
        raise OptionError(
            f"{what}={type(model).__name__} takes no sample_weight in fit, which this learner needs",
            hint="Use another model, or a learner without weights: 'DR', 'X', 'T'.",
        )
