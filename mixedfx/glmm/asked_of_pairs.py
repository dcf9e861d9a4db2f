"""What a zero-inflated model is not asked: questions of one linear predictor, refused with the way out."""

from __future__ import annotations

from typing import Any, NoReturn

from mixedfx.errors import ModelError

INSTEAD = (
    "A zero-inflated model answers fit.predict(...), fit.test(...), fit.anova(), fit.drop1(), fit.confint(...) and "
    "mx.effects, which is about its mean count."
)


def refused(what: str, why: str, way: str = INSTEAD) -> ModelError:
    """The error of a question that is not answered."""
    return ModelError(f"a zero-inflated model has no {what}: {why}", hint=way)


class AskedOfPairs:
    """The questions of `mixedfx.glmm.fit.GlmerFit` that are about one linear predictor; each raises `ModelError`."""

    @property
    def asked_instead(self) -> str:
        """Which questions it answers."""
        return INSTEAD

    def vcov_robust(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: the scores of clusters are known of one linear predictor only."""
        raise refused(
            "vcov_robust", "the scores of clusters are known of one linear predictor only",
            "fit.bootstrap() refits it to simulated counts; a hurdle model has robust covariances of its parts.",
        )  # fmt: skip

    def influence(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: rows have no working linear model."""
        raise refused("influence", "its rows have two linear predictors, and no working linear model")

    def leverage(self) -> NoReturn:
        """Refused: rows have no working linear model."""
        raise refused("leverage", "its rows have two linear predictors, and no working linear model")

    def cooks_distance(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: rows have no working linear model."""
        raise refused("cooks_distance", "its rows have two linear predictors, and no working linear model")

    def dfbetas(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: rows have no working linear model."""
        raise refused("dfbetas", "its rows have two linear predictors, and no working linear model")

    def icc(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: variances are on two scales."""
        raise refused("icc", "its variances are on two scales", "fit.varcorr has the variances of both.")

    def r2(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: variances are on two scales."""
        raise refused("r2", "its variances are on two scales", "fit.varcorr has the variances of both.")

    def report(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: a page has the coefficients of one linear predictor."""
        raise refused(
            "report", "its page would have the coefficients of one linear predictor",
            "mx.effects(fit, ...).to_html() is a page about its mean count; print(fit.summary()) has both parts.",
        )  # fmt: skip

    def plot(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: pictures of a fit are of one linear predictor."""
        raise refused(
            "plot", "pictures of a fit are of one linear predictor",
            "fit.profile().plot() draws profiles, mx.effects(fit, ...).plot() effects on the mean count.",
        )  # fmt: skip
