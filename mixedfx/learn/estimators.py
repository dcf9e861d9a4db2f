"""Mixed models as scikit-learn estimators: `MixedRegressor` and `MixedClassifier`.

They go wherever a regressor or a classifier goes: pipelines, cross-validation, the learners of this layer and those of
other packages. Grouping factors are columns of X, since whoever predicts passes X and nothing else. A level that was
not fitted has the population's effect: its random effects are zero.

What scikit-learn calls ``sample_weight`` are precision weights of a regressor (the residual variance of a row is
sigma^2 / weight, as of `mixedfx.lmer`), and counts of a classifier (a row of weight 3 stands for three such rows).

Learners of effects fit them to all arms at once where ``arms="together"``: `mixedfx.learn.arms_together` has the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, RowsDroppedWarning, check_option, outside
from mixedfx.learn.arms_together import Together
from mixedfx.learn.base_frame import OUTCOME, as_frame, check_complete, is_frame, right_side, with_outcome
from mixedfx.learn.engine_options import refuse_repeated
from mixedfx.learn.packages import package

_base = package("sklearn.base")
_validation = package("sklearn.utils.validation")

Array = NDArray[np.float64]
Groups = str | int | Sequence[str | int] | None
Arms = Literal["together", "apart"]


class _Mixed(_base.BaseEstimator):
    """What both have in common: the reading of X, and predictions of the mean."""

    def _read(self, X: Any, y: Any = None, *, fitting: bool) -> tuple[pd.DataFrame, Any]:
        """X as a frame, and y; frames keep their categories, all else is numbers."""
        numeric = self._estimator_type == "regressor"  # type: ignore[attr-defined]
        if is_frame(X):
            _validation.validate_data(self, X, reset=fitting, skip_check_array=True)
            if fitting:
                if y is None:
                    raise ValueError(f"This {type(self).__name__} estimator requires y to be passed")
                y = _validation.column_or_1d(y, warn=True)
                _validation.check_consistent_length(X, y)
        elif fitting:
            X, y = _validation.validate_data(self, X, y, y_numeric=numeric, ensure_min_samples=2)
        else:
            X = _validation.validate_data(self, X, reset=False)
        return as_frame(X, self.columns), y  # type: ignore[attr-defined]

    def _mean(self, X: Any) -> Array:
        """(n,) predicted means; unseen levels have the population's effect."""
        _validation.check_is_fitted(self, "fit_")
        frame, _ = self._read(X, fitting=False)
        if self.together_ is not None:  # type: ignore[attr-defined]
            raise OptionError("arms were fitted together, and each has a mean", hint="Use model.predict_arms(X).")
        return self._mean_at(frame)

    def _mean_at(self, frame: pd.DataFrame) -> Array:
        fit = self.fit_  # type: ignore[attr-defined]
        check_complete(frame, list(fit.design.spec.kinds))
        predicted = fit.predict(frame.reset_index(drop=True), new_levels="population", na="raise")
        return np.asarray(predicted, dtype=np.float64)

    def predict_arms(self, X: Any) -> Array:
        """Expected outcomes (n, K) in each of the arms that `fit_arms` was given; of classes P(second).

        Parameters
        ----------
        X
            (n, p) rows as in `fit_arms`.

        Raises
        ------
        OptionError
            A model that was fitted by `fit`, which knows of no arms.
        """
        _validation.check_is_fitted(self, "fit_")
        together: Together | None = self.together_  # type: ignore[attr-defined]
        if together is None:
            raise OptionError("this model was fitted without arms", hint="Use fit_arms(X, y, arm), or predict(X).")
        frame, _ = self._read(X, fitting=False)
        check_complete(frame, list(together.columns.kinds))
        frame = frame.reset_index(drop=True)
        return np.column_stack([self._mean_at(together.beside(frame, arm)) for arm in together.arms])

    def _with_arms(self, data: pd.DataFrame, arm: Any) -> pd.DataFrame:
        """The rows with what the model of all arms reads besides, where there are arms."""
        self.together_ = None
        if arm is not None:
            self.together_ = Together.of(self.formula_, data, arm, self.options or {})  # type: ignore[attr-defined]
            self.formula_ = self.together_.right
            return self.together_.beside(data, np.asarray(arm))
        return data

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = False
        return tags


class MixedRegressor(_base.RegressorMixin, _Mixed):
    """A linear or generalised linear mixed model as a scikit-learn regressor.

    Parameters
    ----------
    formula
        Right side in lme4's notation, ``"1 + x1 + (1 + x1 | school)"``. None: all columns, and an intercept for each
        of `groups`.
    groups
        Grouping columns by name or position, where there is no formula.
    columns
        Names of the columns of an array, in their order; those left out are ``x0``, ``x1``, ... by position. Frames
        have names.
    family
        None or ``"gaussian"`` for `mixedfx.lmer`; another family for `mixedfx.glmer`, whose predictions are means.
    engine
        ``"likelihood"``, or ``"bayes"`` for `mixedfx.bayes`.
    options
        Further arguments of the function that fits, such as ``{"REML": False}`` or ``{"seed": 1, "draws": 1000}``.
    arms
        How learners that want a mean for each arm fit it (`mixedfx.cate` with T, X, DR and M+, `mixedfx.dr_scores`).
        ``"together"``: one model of all arms, in which whatever differs between them is pooled
        (`mixedfx.learn.arms_together`); with ``options={"dispersion": "~ arm_"}`` each has a residual variance of its
        own. ``"apart"``: a model for each arm, which pools that arm and not the difference. In a pipeline arms are
        apart.

    Attributes
    ----------
    fit_
        The fit of mixedfx, with all that can be asked of one.
    formula_
        The right side that was fitted; of arms together that of all arms.
    together_
        After `fit_arms` what that model reads besides X; else None.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    DataError
        Missing values in a frame.
    OptionError
        A formula with a left side, a grouping column that X does not have.

    Notes
    -----
    Rows of weight zero count for nothing. A level of a factor in the fixed part that was not fitted is an error of
    `predict`: write such factors as random terms.

    Inside learners of effects it fits arms together, or is the effect model of an R-learner (`mixedfx.cate`). A learner
    of another package that fits a model for each arm calls `fit`, and pools each arm and not the difference.

    Other packages: metalearners takes the class and its parameters, ``nuisance_model_factory=mx.MixedRegressor,
    nuisance_model_params={"formula": ...}``, and needs scikit-learn below 1.8, with which this class works too (install
    mixedfx without the extra ``learn`` there). econml takes instances, and passes arrays of numbers without names: find
    groups by position, ``"1 + x0 + (1 | x2)"``. causalml takes instances; its T-learner passes frames as they are.

    Examples
    --------
    >>> import mixedfx as mx
    >>> star = mx.datasets.load("star")
    >>> model = mx.MixedRegressor("1 + small + gender + (1 + small | sch)").fit(star, star["math"])
    >>> model.predict(star.assign(sch="elsewhere"))[:3].round(1)
    array([494.8, 486.4, 494.8])
    """

    _estimator_type = "regressor"

    def __init__(
        self,
        formula: str | None = None,
        *,
        groups: Groups = None,
        columns: Sequence[str] | None = None,
        family: str | None = None,
        engine: Literal["likelihood", "bayes"] = "likelihood",
        options: Mapping[str, Any] | None = None,
        arms: Arms = "together",
    ) -> None:
        self.formula = formula
        self.groups = groups
        self.columns = columns
        self.family = family
        self.engine = engine
        self.options = options
        self.arms = arms

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MixedRegressor:
        """Fit the model.

        Parameters
        ----------
        X
            (n, p) frame or array, grouping columns among its columns.
        y
            (n,) response.
        sample_weight
            (n,) precision weights.
        """
        return self._fit(X, y, sample_weight, None)

    def fit_arms(self, X: Any, y: Any, arm: Any) -> MixedRegressor:
        """Fit one model to several arms, in which whatever differs between them is pooled.

        Parameters
        ----------
        X, y
            As in `fit`.
        arm
            (n,) arms; `predict_arms` answers in their sorted order.

        Examples
        --------
        >>> import mixedfx as mx
        >>> star = mx.datasets.load("star")
        >>> model = mx.MixedRegressor("1 + gender + (1 | sch)").fit_arms(star, star["math"], star["small"])
        >>> model.formula_
        '1 + gender + arm_ + id(0 + q1_ | arm_) + (1 | sch) + (1 | arm_:sch)'
        >>> model.predict_arms(star.assign(sch="elsewhere"))[:3].round(1).tolist()
        [[486.8, 493.8], [486.8, 493.8], [486.8, 493.8]]
        """
        return self._fit(X, y, None, arm)

    def _fit(self, X: Any, y: Any, sample_weight: Any, arm: Any) -> MixedRegressor:
        frame, y = self._read(X, y, fitting=True)
        y = np.asarray(y, dtype=np.float64)
        if not np.isfinite(y).all():
            raise ValueError(f"Input y contains NaN or infinity in {int((~np.isfinite(y)).sum())} rows")
        check_option("engine", self.engine, ("likelihood", "bayes"))
        check_option("arms", self.arms, ("together", "apart"))
        gaussian = self.family in (None, "gaussian")
        weights = _weights(sample_weight, len(frame))
        if weights is not None and not gaussian:
            raise OptionError(f"family={self.family!r} has no precision weights", hint="Leave sample_weight out.")
        self.formula_ = right_side(self.formula, self.groups, frame)
        data = with_outcome(frame, y, self.formula_)
        if weights is not None:
            data, weights = data.iloc[np.flatnonzero(weights)].reset_index(drop=True), weights[weights > 0]
        data = self._with_arms(data, arm)
        self.fit_ = _fitted(
            f"{OUTCOME} ~ {self.formula_}",
            data,
            self.family or "gaussian",
            self.engine,
            weights,
            self.options,
            self.together_,
        )
        return self

    def predict(self, X: Any) -> Array:
        """Predicted means (n,).

        Parameters
        ----------
        X
            (n, p) rows as in `fit`.
        """
        return self._mean(X)


class MixedClassifier(_base.ClassifierMixin, _Mixed):
    """A logistic mixed model of two classes as a scikit-learn classifier.

    Parameters
    ----------
    formula, groups, columns, engine, options, arms
        As in `MixedRegressor`.
    link
        Link of the probability of the second class; logit where None.

    Attributes
    ----------
    classes_
        The two classes.
    fit_, formula_, together_, n_features_in_, feature_names_in_
        As in `MixedRegressor`.

    Raises
    ------
    ValueError
        More than two classes, or one.
    OptionError
        Sample weights that are no whole numbers.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
    >>> model = mx.MixedClassifier("1 + style + (1 | professor)").fit(course, course["score"] > 60)
    >>> model.predict_proba(course)[:2, 1].round(2)
    array([0.92, 0.92])
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        formula: str | None = None,
        *,
        groups: Groups = None,
        columns: Sequence[str] | None = None,
        link: str | None = None,
        engine: Literal["likelihood", "bayes"] = "likelihood",
        options: Mapping[str, Any] | None = None,
        arms: Arms = "together",
    ) -> None:
        self.formula = formula
        self.groups = groups
        self.columns = columns
        self.link = link
        self.engine = engine
        self.options = options
        self.arms = arms

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MixedClassifier:
        """Fit the model.

        Parameters
        ----------
        X
            (n, p) frame or array, grouping columns among its columns.
        y
            (n,) classes.
        sample_weight
            (n,) whole numbers: how often a row counts.
        """
        return self._fit(X, y, sample_weight, None)

    def fit_arms(self, X: Any, y: Any, arm: Any) -> MixedClassifier:
        """Fit one model to several arms, as `MixedRegressor.fit_arms` does.

        Parameters
        ----------
        X, y
            As in `fit`.
        arm
            (n,) arms; `predict_arms` has the probability of the second class in each.
        """
        return self._fit(X, y, None, arm)

    def _fit(self, X: Any, y: Any, sample_weight: Any, arm: Any) -> MixedClassifier:
        frame, y = self._read(X, y, fitting=True)
        package("sklearn.utils.multiclass").check_classification_targets(y)
        check_option("engine", self.engine, ("likelihood", "bayes"))
        check_option("arms", self.arms, ("together", "apart"))
        self.classes_, coded = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is multiclass: {len(self.classes_)} "
                "classes. Use scikit-learn's OneVsRestClassifier around it."
            )
        weights = _weights(sample_weight, len(frame))
        self.formula_ = right_side(self.formula, self.groups, frame)
        data = with_outcome(frame, coded.astype(np.int64), self.formula_)
        if weights is not None:
            if (weights != np.round(weights)).any():
                raise OptionError(
                    f"{int((weights != np.round(weights)).sum())} sample weights of a classifier are no whole numbers",
                    hint="They are counts here: a Bernoulli response has no precision weights.",
                )
            data = data.iloc[np.repeat(np.arange(len(data)), weights.astype(np.int64))].reset_index(drop=True)
        if len(np.unique(data[OUTCOME].to_numpy())) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        data = self._with_arms(data, arm)
        family = package("mixedfx.families").bernoulli(self.link or "logit")
        self.fit_ = _fitted(
            f"{OUTCOME} ~ {self.formula_}", data, family, self.engine, None, self.options, self.together_
        )
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, 2) of the classes, in the order of `classes_`."""
        second = self._mean(X)
        return np.column_stack([1 - second, second])

    def decision_function(self, X: Any) -> Array:
        """Log odds (n,) of the second class."""
        second = np.clip(self._mean(X), 1e-300, 1 - 1e-16)
        return np.log(second) - np.log1p(-second)

    def predict(self, X: Any) -> NDArray[Any]:
        """The more probable class (n,) of each row."""
        second = self._mean(X) > 0.5
        return self.classes_[second.astype(np.intp)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _weights(given: Any, n: int) -> Array | None:
    """(n,) weights, none negative, or None where all rows count alike."""
    if given is None:
        return None
    weights = np.asarray(given, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    if len(weights) != n:
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(n,)}!")
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        raise DataError(f"{int(bad.sum())} sample weights are negative, missing or infinite", hint="Weights are >= 0.")
    if not weights.any():
        raise OptionError("all sample weights are zero", hint="Leave sample_weight out for rows that count alike.")
    return None if (weights == 1).all() else weights


def _fitted(
    formula: str, data: pd.DataFrame, family: Any, engine: str, weights: Array | None,
    options: Mapping[str, Any] | None, together: Together | None,
) -> Any:  # fmt: skip
    """Ask the engine."""
    refuse_repeated(options or {})
    own: dict[str, Any] = {"na": "raise"} | dict(options or {})
    with warnings.catch_warnings(record=together is not None) as caught:
        if together is not None:
            warnings.simplefilter("always")
        warnings.simplefilter("ignore", RowsDroppedWarning)  # a row of weight zero is asked for here
        if engine == "bayes":
            from mixedfx.bayes.bayes import bayes

            fit = bayes(formula, data, family=family, weights=weights, **own)
        elif isinstance(family, str) and family == "gaussian":
            from mixedfx.reml.lmer import lmer

            fit = lmer(formula, data, weights=weights, **own)
        else:
            from mixedfx.glmm.glmer import glmer

            fit = glmer(formula, data, family=family, **own)
    if together is not None:
        for one in caught or ():
            if not together.is_expected(cast(Warning, one.message), fit):
                warnings.warn(one.message, one.category, outside())
    return fit
