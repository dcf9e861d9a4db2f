"""What is asked of the parts of a model in two parts, and refused of the whole in words that name them.

The parts are fits of their own with independent estimates, so that every question about coefficients, variances and
residuals of a part has its answer there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from mixedfx.errors import ModelError
from mixedfx.glmm.two_parts import TwoParts


def refused(what: str) -> ModelError:
    """The error of a question that the whole does not answer."""
    return ModelError(
        f"a hurdle model has no {what} as a whole",
        hint=f"Ask its parts, fit.count.{what}(...) and fit.zero.{what}(...), whose estimates are independent.",
    )


@dataclass(frozen=True, eq=False, repr=False)
class AskedOfParts(TwoParts):
    """The questions of `mixedfx.glmm.fit.GlmerFit` that are those of the parts; each raises `ModelError`."""

    def save(self, path: Any) -> NoReturn:
        """Refused: files are of the parts, ``fit.count.save(...)`` and ``fit.zero.save(...)``."""
        raise refused("save")

    def confint(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: intervals are those of the parts."""
        raise refused("confint")

    def profile(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: profiles are those of the parts."""
        raise refused("profile")

    def bootstrap(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: a part is simulated and fitted again by itself."""
        raise refused("bootstrap")

    def refit(self, y: Any) -> NoReturn:
        """Refused: which rows are above zero changes with the response; ``fit.update(data=...)`` fits it anew."""
        raise refused("refit")

    def refits(self, Y: Any, progress: Any = None) -> NoReturn:
        """Refused, as `refit`."""
        raise refused("refits")

    def test(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: hypotheses are about coefficients of a part."""
        raise refused("test")

    def anova(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: terms are those of a part."""
        raise refused("anova")

    def drop1(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: terms are those of a part."""
        raise refused("drop1")

    def ranova(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: random terms are those of a part."""
        raise refused("ranova")

    def vcov_robust(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: scores are those of a part."""
        raise refused("vcov_robust")

    def check(self) -> NoReturn:
        """Refused: each part is checked by itself; `quantile_residuals` are those of the whole."""
        raise refused("check")

    def report(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: pages are of a part."""
        raise refused("report")

    def plot(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: pictures are of a part."""
        raise refused("plot")

    def influence(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: groups are left out of a part."""
        raise refused("influence")

    def leverage(self) -> NoReturn:
        """Refused: rows have a leverage in each part."""
        raise refused("leverage")

    def cooks_distance(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: groups are left out of a part."""
        raise refused("cooks_distance")

    def dfbetas(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: groups are left out of a part."""
        raise refused("dfbetas")

    def icc(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: variances are those of a part."""
        raise refused("icc")

    def r2(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: variances are those of a part."""
        raise refused("r2")

    def dispersion_test(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: the dispersion is that of a part."""
        raise refused("dispersion_test")

    def zero_inflation_test(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: the zeros have a model of their own, ``fit.zero``."""
        raise ModelError(
            "a hurdle model has a model of its zeros, which are as many as it says",
            hint="Look at fit.zero: fit.zero.check(), fit.predict(kind='zero').",
        )
