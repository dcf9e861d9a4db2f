"""Profiles, bootstrap and confidence intervals of a fitted linear mixed model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_flag, check_option, check_seed
from mixedfx.inference.parameters import Names, choose, interval_frame, parameters_of
from mixedfx.reml.inference import LmerInference
from mixedfx.reml.testing import Vcov
from mixedfx.results.tables import DegreesOfFreedom

if TYPE_CHECKING:
    from mixedfx.inference.bootstrap import Bootstrap, Interval
    from mixedfx.inference.profile import Profile
    from mixedfx.reml.bootstrapping import BootstrapKind
    from mixedfx.reml.fit import LmerFit

Method = Literal["wald", "profile", "boot"]
METHODS = ("wald", "profile", "boot")


class LmerIntervals(LmerInference):
    """Intervals for every parameter of a fit."""

    def profile(self, parm: str | Sequence[str] | None = None, level: float = 0.99) -> Profile:
        """Profile the likelihood of coefficients, standard deviations, correlations and sigma.

        The curves are those of -2 log L: a REML fit is first refitted by maximum likelihood, as in lme4, since the
        restricted likelihood says nothing of the fixed effects. Where a curve reaches a boundary (an sd of 0, a
        correlation of -1 or 1) it ends there.

        Parameters
        ----------
        parm
            None: every parameter. ``"fixed"``, ``"ran_pars"``, or names such as ``"Days"``, ``"sd__Days|Subject"``,
            ``"sigma"`` (lme4's names serve too).
        level
            Curves go as far as intervals of this level need.

        Returns
        -------
        Profile
            ``.table`` (parameter, value, zeta, slope), ``.confint(level)``, ``.plot()``.

        Warns
        -----
        ConvergenceWarning
            A profile found a smaller deviance than the fit's.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.profile("sigma").confint(0.95).round(2)
              group             term  estimate  conf_low  conf_high
        0  Residual  sd__Observation      9.27      8.63       9.99
        """
        from mixedfx.reml.profiling import profile_fit

        return profile_fit(self, parm, level)

    def bootstrap(
        self,
        n: int = 1000,
        kind: BootstrapKind = "parametric",
        *,
        use_u: bool = False,
        statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
        cluster: str | None = None,
        seed: int | None = None,
        n_jobs: int | None = 1,
        progress: bool | None = None,
    ) -> Bootstrap:
        """Fit the model to new data sets made from the fit, and collect what is asked for.

        Parameters
        ----------
        n
            Number of replicates.
        kind
            ``"parametric"``: new random effects and residuals from their normal distributions. ``"cluster"``: whole
            groups are drawn with replacement; nothing of the model is assumed, but many groups are needed.
            ``"residual"``: modes and residuals, reflated to their estimated covariances, are drawn with replacement.
        use_u
            In the parametric bootstrap: whether the groups keep their estimated effects, so that only residuals are
            new.
        statistic
            None: every parameter. Names of parameters, as in `profile`. Or a function of a fit that returns a number, a
            vector or a Series; it is called with each refitted model, one at a time.
        cluster
            The grouping factor, or column of the data, that ``kind="cluster"`` draws; None: the one all others are
            nested in.
        seed
            Seed of the random numbers; the result does not depend on `n_jobs`.
        n_jobs
            Processes (by joblib); -1: one for each core; None: as the surrounding ``joblib.parallel_config`` says, for
            a Dask or Ray cluster.
        progress
            Whether to show a progress bar; None: on a terminal only.

        Returns
        -------
        Bootstrap
            ``.replicates``, ``.tidy()`` (bias and standard error), ``.confint()``, counts of failed and singular fits.

        Warns
        -----
        ResamplingWarning
            Some replicates could not be fitted and were left out.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.bootstrap(500, seed=1).confint(parm="fixed").round(1)
          group                 term  estimate  conf_low  conf_high
        0                  Intercept      67.2      64.1       70.1
        1        style[Some Flipped]      -3.1      -5.4       -0.5
        2          style[No Flipped]      -8.2     -10.5       -5.7
        """
        from mixedfx.reml.bootstrapping import bootstrap_fit

        check_flag("use_u", use_u)
        check_seed(seed)
        return bootstrap_fit(
            cast("LmerFit", self), n, kind, use_u=use_u, statistic=statistic, cluster=cluster, seed=seed,
            n_jobs=n_jobs, progress=progress,
        )  # fmt: skip

    def confint(
        self,
        method: Method = "wald",
        parm: str | Sequence[str] | None = None,
        level: float = 0.95,
        *,
        ddf: DegreesOfFreedom | None = "satterthwaite",
        vcov: Vcov | None = None,
        interval: Interval = "percentile",
        names: Names = "tidy",
        **bootstrap: Any,
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method
            ``"wald"``: estimate -+ t se, for fixed effects. ``"profile"``: the values that a likelihood-ratio test does
            not reject, for every parameter (see `profile`). ``"boot"``: from `bootstrap`.
        parm
            None: every parameter the method can give. ``"fixed"``, ``"ran_pars"``, or names, as in `profile`.
        level
            Confidence level.
        ddf, vcov
            Degrees of freedom and covariance of Wald intervals, as in `tidy`.
        interval
            Of the bootstrap: ``"percentile"``, ``"basic"`` or ``"normal"``.
        names
            ``"tidy"``: columns group, term, estimate, conf_low, conf_high. ``"lme4"``: lme4's row names and columns.
        **bootstrap
            Arguments of `bootstrap`: n, kind, seed, n_jobs, ...

        Returns
        -------
        DataFrame
            One row for each parameter. The estimates of profile intervals are those of maximum likelihood.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.confint("profile", parm="ran_pars", names="lme4").round(2)
                                  2.5 %  97.5 %
        sd_(Intercept)|professor   3.52    8.03
        sigma                      8.63    9.99
        """
        check_option("method", method, METHODS)
        if bootstrap and method != "boot":
            raise OptionError(f"{next(iter(bootstrap))!r} is an argument of method='boot', not of method={method!r}")
        if vcov is not None and method != "wald":
            raise OptionError(f"vcov= is for method='wald', not for method={method!r}")
        if method == "profile":
            from mixedfx.reml.profiling import profile_intervals

            return profile_intervals(self, parm, level, names)
        if method == "boot":
            if not callable(bootstrap.get("statistic")):
                bootstrap = {"statistic": parm, **bootstrap}
            found = self.bootstrap(**bootstrap)
            return found.confint(level, interval, None, names)
        chosen = choose(parameters_of(self.design), "fixed" if parm is None else parm)
        if any(p.kind != "beta" for p in chosen):
            raise OptionError(
                "Wald intervals are for fixed effects: a standard deviation is not normal around its estimate",
                hint="Use method='profile' or method='boot'.",
            )
        table = self.tidy(ddf=ddf, level=level, vcov=vcov).iloc[[p.position for p in chosen]]
        estimate, low, high = (table[c].to_numpy(dtype=np.float64) for c in ("estimate", "conf_low", "conf_high"))
        return interval_frame(chosen, estimate, low, high, level, names)
