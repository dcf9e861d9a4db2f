"""cate: conditional average treatment effects by any of the learners, cross-fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.learn.crossfit import Plan, check_model, cross_fit, mean_of, probabilities
from mixedfx.learn.folds import Target, folds_of
from mixedfx.learn.models import boosted, outcome_model, propensity_model
from mixedfx.learn.outcomes import outcome_plans
from mixedfx.learn.predicted import Cate
from mixedfx.learn.propensity import OverlapReport, checked, overlap, read_known
from mixedfx.learn.pseudo_outcomes import Learner, Nuisances, Regression, find_learner
from mixedfx.learn.seen import row_keys
from mixedfx.learn.trial import Trial, in_order, read_trial
from mixedfx.progress import Asked
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]


def cate(
    learner: str,
    X: Any,
    y: Any,
    w: Any,
    *,
    outcome: Any = None,
    propensity: Any = None,
    effect: Any = None,
    groups: Any = None,
    target: Target = "these groups",
    folds: int | Sequence[int] | NDArray[Any] = 5,
    clip: float | None = None,
    seed: int | None = 0,
    n_jobs: int | None = None,
    progress: Asked = None,
) -> CateFit:
    """Learn conditional average treatment effects (CATE), cross-fitted.

    Parameters
    ----------
    learner
        ``"S"``, ``"T"``, ``"X"``, ``"R"``, ``"DR"``, ``"F"``, ``"M"`` or ``"M+"``; `mixedfx.learn.pseudo_outcomes` has
        their table.
    X
        (n, p) covariates in any frame, array or sparse matrix; categories reach the models as they are, text as
        categories.
    y, w
        (n,) outcomes (numbers; 0/1 for two classes) and treatments, or columns of X. Two arms or more, the first level
        is the control.
    outcome, effect
        scikit-learn estimators, `mixedfx.MixedRegressor` among them; LightGBM where None, with its own defaults, which
        overfit effects: tune them. A classifier as `outcome` answers with probabilities.
    propensity
        A classifier; or known probabilities, one for all, (n,) of the second arm or (n, K) of all arms.
    groups
        (n,) groups of people, such as schools, or a column of X (which the models see too).
    target
        Whom predictions are for. ``"these groups"``: other people of the same groups; every group is spread over the
        folds. ``"new groups"``: people of other groups; a group is held out as a whole.
    folds
        How many, or the number of the fold of each row.
    clip
        Probabilities are at least this; none are changed where None.
    seed
        Of the folds and the default models.
    n_jobs
        Processes for fits, as joblib has them.
    progress
        True, False, None (where somebody looks) or a function that is told.

    Returns
    -------
    CateFit
        `out_of_fold` for the rows learnt from, `predict` for others.

    Raises
    ------
    DataError
        A treatment with one value, propensities of 0 or 1, missing outcomes or treatments: by counts; dates in X.
    OptionError
        An unknown learner, a model that cannot do what the learner asks of it, folds without which an arm has no rows
        or that split groups which predictions should be new for.

    Warns
    -----
    OneArmWarning
        Groups that hold one arm only.
    OverlapWarning
        Rows in an arm that was very improbable for them.

    Notes
    -----
    **Effects of groups that are pooled.** Give an R-learner mixed models, and its effect model the groups whose effects
    differ::

        mx.cate("R", X, y, w, groups="school", outcome=mx.MixedRegressor("1 + x + (1 | school)"),
                effect=mx.MixedRegressor("1 + (1 | school)"))

    Its targets have residual variances proportional to 1 / weight, which is what weights of `mixedfx.MixedRegressor`
    are, so that effects are pooled as far as effects ask for it. An S-learner whose mixed model has the arm as a
    varying slope, ``"1 + treatment_ + x + (1 + treatment_ | school)"``, does likewise; and so does a T-learner, for
    which `mixedfx.MixedRegressor` fits its formula to the arms together::

        mx.cate("T", X, y, w, groups="school", outcome=mx.MixedRegressor("1 + x + (1 | school)"))

    It pools what differs between arms: deviations of schools, and of the coefficients of x, from what is common. With
    ``arms="apart"`` each arm is a model by itself, which keeps far too much of the differences of schools (on a study
    of 76 schools the slope of scores on effects is .55; .91 of arms together, .94 of the R-learner, .87 of the
    S-learner). Means by arm of X-, DR- and M+-learners and of `mixedfx.dr_scores` come from the same model.

    **S-learners and trees.** The arm is a number beside the covariates. Where another package's S-learner makes it a
    category, trees may not see it in prediction: metalearners 0.13 then answers zero for everybody.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from sklearn.linear_model import LinearRegression
    >>> data, truth = mx.datasets.simulate_mindset(1, n=4000)
    >>> X = data[["success_expect", "school_mindset"]]
    >>> fit = mx.cate("DR", X, data["achievement_score"], data["intervention"], groups=data["schoolid"],
    ...               outcome=LinearRegression(), effect=LinearRegression(), propensity=0.33)
    >>> fit.out_of_fold.values.shape, fit.out_of_fold.cross_fitted
    ((4000,), True)
    """
    line, trial = find_learner(learner), read_trial(X, y, w, groups)
    split = folds_of(in_order(folds, X, "folds"), trial.arm, trial.arms, trial.group, target, seed)
    models = _models(line, trial, outcome, propensity, effect, seed)
    K = len(trial.arms)
    e = None
    if line.propensity:
        if models[1] is None:
            e = read_known(in_order(propensity, X, "propensity"), len(trial), K)
        else:
            (e,) = cross_fit([_propensity_plan(models[1], trial)], split, n_jobs, progress)
        e = checked(e, trial.arm, clip, known=models[1] is None)
    known = Nuisances(trial.y, trial.arm, e=e)
    plans, mu_by_fold = outcome_plans(line.outcome, trial, models[0]), None
    if plans and line.by_fold:
        parts = cross_fit(plans, split, n_jobs, progress, everywhere=True)
        mu_by_fold = np.concatenate([np.atleast_3d(one) for one in parts], axis=-1)
        known = replace(known, mu=mu_by_fold[split, np.arange(len(trial))])
    elif plans:
        found = np.column_stack(cross_fit(plans, split, n_jobs, progress))
        known = replace(known, m=found) if line.outcome == "pooled" else replace(known, mu=found)
    fit = CateFit(learner, line, trial, models, known, split, target, np.zeros((0, 0)), clip, mu_by_fold)
    values = fit.differences(known.mu) if line.regressions is None else fit.from_regressions(n_jobs, progress)
    return replace(fit, fitted=values)


def _models(
    line: Learner, trial: Trial, outcome: Any, propensity: Any, effect: Any, seed: int | None
) -> tuple[Any, Any, Any]:
    """Models of outcome, propensity and effect; None where none is used."""
    first = second = third = None
    if line.outcome is not None:
        first = outcome_model(outcome, trial.binary, seed=seed)
        check_model(first, "outcome")
    if line.propensity:
        second = propensity_model(propensity, seed=seed)
        if second is not None:
            check_model(second, "propensity", classes=True)
    if line.regressions is not None:
        third = boosted(classes=False, seed=seed) if effect is None else effect
        check_model(third, "effect", weighted=line.weighted)
        if hasattr(third, "predict_proba"):
            raise OptionError(f"effect={type(third).__name__} is a classifier", hint="Effects need a regressor.")
    return first, second, third


def _propensity_plan(model: Any, trial: Trial) -> Plan:
    rows = np.arange(len(trial))
    return Plan("propensity", model, trial.X, rows, trial.arm, partial(probabilities, K=len(trial.arms)))


@dataclass(frozen=True, eq=False, repr=False)
class CateFit(Shown):
    """Conditional average treatment effects, learnt.

    Attributes
    ----------
    name, learner
        Which learner.
    trial
        What was observed.
    models
        Models of outcome, propensity and effect, not fitted; None where none is used.
    nuisances
        Out-of-fold predictions of outcomes and probabilities of arms.
    folds
        (n,) numbers of folds.
    target
        Whom out-of-fold predictions are for.
    fitted
        (n, K - 1) out-of-fold effects.
    clip
        Bound of the probabilities.
    mu_by_fold
        (J, n, K) expected outcomes by models without each fold, of learners that need them.
    """

    name: str
    learner: Learner
    trial: Trial
    models: tuple[Any, Any, Any]
    nuisances: Nuisances
    folds: NDArray[np.intp]
    target: Target
    fitted: Array
    clip: float | None = None
    mu_by_fold: Array | None = None

    @property
    def out_of_fold(self) -> Cate:
        """Effects on the rows learnt from, each predicted by models that have not seen its outcome."""
        trial = self.trial
        labels = None if trial.group is None or trial.groups is None else np.asarray(trial.groups)[trial.group]
        return self._cate(self.fitted, 0, labels)

    @property
    def overlap(self) -> OverlapReport:
        """How far the probabilities of the arms overlap.

        Raises
        ------
        OptionError
            For learners that use none.
        """
        if self.nuisances.e is None:
            raise OptionError(f"the {self.name}-learner uses no propensities", hint="Ask mx.dr_scores for them.")
        return overlap(self.nuisances.e, self.trial.arm, self.trial.arms)

    def predict(self, X: Any, propensity: Any = None, *, other_people: bool = False) -> Cate:
        """Effects on other people, by models fitted to all rows.

        Parameters
        ----------
        X
            (m, p) covariates, as those learnt from. Of a frame the columns learnt from are read, and outcome and
            treatment, where they are columns, are left out.
        propensity
            Known probabilities of their arms, where an X-learner was given known ones.
        other_people
            Say that nobody here was learnt from, where people have covariates in common with some who were (few
            covariates that are categories, say).

        Returns
        -------
        Cate
            Which says that it is in-sample where X holds any row that was learnt from, in whatever order and type,
            and `other_people` was not said.

        Raises
        ------
        DataError
            Columns that are not there, or dates.
        OptionError
            All rows that were learnt from, called other people.
        """
        rows = self.trial.covariates(X)
        keys, learnt = row_keys(rows), self._keys
        seen = int(np.isin(keys, learnt).sum())
        if other_people and seen and len(keys) == len(learnt) and np.array_equal(np.sort(keys), np.sort(learnt)):
            raise OptionError("these are the rows that were learnt from", hint="Use fit.out_of_fold for them.")
        shares = None if self.learner.combine is None else self._shares(rows, propensity)
        return self._cate(self.answer(self.models_of_all, rows, shares), 0 if other_people else seen)

    @cached_property
    def _keys(self) -> NDArray[np.uint64]:
        return row_keys(self.trial.X)

    def answer(self, models: list[list[Any]], rows: Any, shares: Array | None = None) -> Array:
        """(m, K - 1) effects that fitted models, arranged as `models_of_all`, predict of rows.

        `shares` (m, K - 1), e_k / (e_0 + e_k), are needed where effects of several models are combined.
        """
        if self.learner.regressions is None:
            (own,) = models
            plans = self._plans()[0]
            mu = np.column_stack([plan.answer(model, rows) for plan, model in zip(plans, own, strict=True)])
            return self.differences(mu)
        parts = [[mean_of(model, rows) for model in own] for own in models]
        combine = self.learner.combine
        if combine is None:
            return np.column_stack([one for (one,) in parts])
        assert shares is not None
        return np.column_stack([combine(one, share) for one, share in zip(parts, shares.T, strict=True)])

    def _plans(self, fold: int | None = None) -> list[list[Plan]]:
        """What the last stage fits: effect models by arm, or the outcome models where these are the last stage."""
        if self.learner.regressions is None:
            return [outcome_plans(self.learner.outcome, self.trial, self.models[0])]
        return self._effect_plans(fold)

    @cached_property
    def models_of_all(self) -> list[list[Any]]:
        """Models of the last stage, fitted to all rows."""
        return [[plan.fitted() for plan in own] for own in self._plans()]

    def models_without(self, fold: int) -> list[list[Any]]:
        """Models of the last stage, fitted without a fold."""
        return [[plan.fitted(self.folds != fold) for plan in own] for own in self._plans(fold)]

    def differences(self, mu: Array | None) -> Array:
        """(n, K - 1) differences of expected outcomes."""
        assert mu is not None
        return mu[:, 1:] - mu[:, :1]

    def from_regressions(self, n_jobs: int | None, progress: Asked) -> Array:
        """(n, K - 1) out-of-fold predictions of the effect models."""
        J = int(self.folds.max()) + 1
        by_fold = [self._effect_plans(j) for j in range(J)] if self.learner.by_fold else [self._effect_plans()] * J
        shape = [len(one) for one in by_fold[0]]
        flat: list[list[Plan]] = [
            [by_fold[j][k][i] for j in range(J)] for k, size in enumerate(shape) for i in range(size)
        ]
        found, out = iter(cross_fit(flat, self.folds, n_jobs, progress)), []
        for k, size in enumerate(shape, start=1):
            parts = [next(found) for _ in range(size)]
            combine = self.learner.combine
            out.append(parts[0] if combine is None else combine(parts, self.nuisances.share(k)))
        return np.column_stack(out)

    def regressions(self, k: int, fold: int | None = None) -> tuple[Regression, ...]:
        """What the effect models of arm k are fitted to, for the fold that is held out or for people elsewhere."""
        assert self.learner.regressions is not None
        known = self.nuisances
        if self.mu_by_fold is not None:
            known = replace(known, mu=self._mu_of_all if fold is None else self.mu_by_fold[fold])
        return self.learner.regressions(known, k)

    @cached_property
    def _mu_of_all(self) -> Array:
        """(n, K) expected outcomes by models of all rows of each arm, which have not seen people of the others."""
        plans, everybody = outcome_plans(self.learner.outcome, self.trial, self.models[0]), np.arange(len(self.trial))
        return np.column_stack([plan.ask(plan.fitted(), everybody) for plan in plans])

    def _effect_plans(self, fold: int | None = None) -> list[list[Plan]]:
        def plan(one: Regression) -> Plan:
            return Plan("effect", self.models[2], self.trial.X, one.rows, one.target, mean_of, weights=one.weights)

        return [[plan(one) for one in self.regressions(k, fold)] for k in range(1, len(self.trial.arms))]

    @cached_property
    def _propensity_model(self) -> Any:
        return _propensity_plan(self.models[1], self.trial).fitted()

    def _shares(self, X: Any, propensity: Any) -> Array:
        """(m, K - 1) e_k / (e_0 + e_k) of other people."""
        K, m = len(self.trial.arms), X.shape[0]
        if self.models[1] is not None:
            e = probabilities(self._propensity_model, X, K)
        elif propensity is None:
            raise OptionError(
                "known propensities say nothing about other people", hint="Give theirs: predict(X, propensity=...)."
            )
        else:
            e = read_known(propensity, m, K)
        return e[:, 1:] / (e[:, :1] + e[:, 1:])

    def _cate(self, values: Array, seen: int, labels: NDArray[Any] | None = None) -> Cate:
        one = values[:, 0] if values.shape[1] == 1 else values
        return Cate(one, self.trial.contrasts, not seen, self.name, self.target, labels, seen)

    def content(self) -> SummaryContent:
        """Learner, models, folds and the spread of effects."""
        trial, values = self.trial, self.fitted
        used = zip(("outcome", "propensity", "effect"), self.models, strict=True)
        models = ", ".join(f"{what} {type(model).__name__}" for what, model in used if model is not None)
        whom = "other people of these groups" if self.target == "these groups" else "people of new groups"
        spread = "; ".join(
            f"{name}: mean {v.mean():.3f}, sd {v.std():.3f}, {v.min():.2f} to {v.max():.2f}"
            for name, v in zip(trial.contrasts, values.T, strict=True)
        )
        facts = (
            ("Learner", f"{self.name} ({self.learner.title})"),
            ("Rows", f"{len(trial):,}" + ("" if trial.groups is None else f" in {len(trial.groups):,} groups")),
            ("Models", models),
            ("Folds", f"{int(self.folds.max()) + 1}; predictions are for {whom}"),
            ("Effects out of fold", spread),
        )
        return SummaryContent("Conditional average treatment effects", (SummaryFacts(facts),))
