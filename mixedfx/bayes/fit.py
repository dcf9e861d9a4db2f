"""PosteriorFit: what `mixedfx.bayes` returns. State is in state.py; the work is done by functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.bayes import diagnose, reports
from mixedfx.bayes.checking import PosteriorChecking
from mixedfx.bayes.collapsed import LogEvidence, evidence
from mixedfx.bayes.engine import Sampling
from mixedfx.errors import ModelError, check_level, check_option
from mixedfx.results import tables

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent

__all__ = ["LogEvidence", "PosteriorFit"]


class PosteriorFit(PosteriorChecking):
    """The posterior of a multilevel model, as `mixedfx.bayes` returns it.

    Its fields are those of `mixedfx.bayes.state.PosteriorState`; predictions, criticism and reports are methods.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), draws=1000, seed=1)
    >>> fit
    <PosteriorFit score ~ 1 + style + (1 | professor): 1000 draws, 375 rows, professor 15>
    """

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Posterior means, standard deviations and equal-tailed intervals in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients, after the thresholds of an ordinal response. ``"ran_pars"``: standard
            deviations, correlations, sigma and the other parameters of the family. ``"ran_vals"``: the random effects.
        level
            Probability inside the interval.

        Returns
        -------
        DataFrame
            term, estimate, std_error (posterior sd), conf_low, conf_high; random effects begin with group (and level),
            a categorical response with category.
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        check_level(level)
        return reports.tidy_table(self, effects, level)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, draws, method, k_hat, ess, r_hat, sigma, family, divergences."""
        return reports.glance(self)

    @property
    def log_evidence(self) -> LogEvidence:
        """Log marginal likelihood with its Monte Carlo error.

        Raises
        ------
        ImproperPosteriorError
            Under flat priors: the marginal likelihood is defined up to an arbitrary factor only.
        ModelError
            Where the draws came from NUTS, which does not give it.

        Warns
        -----
        DataDependentPriorWarning
            Where scales of priors were taken from the data.
        """
        if not isinstance(self.sampling, Sampling):
            raise ModelError(
                f"draws by {self.sampling.engine} do not give the marginal likelihood",
                hint="It comes with engine='collapsed', for Gaussian models.",
            )
        return evidence(self.priors, self.sampling)

    def diagnostics(self) -> SummaryContent:
        """How far the draws can be trusted, in plain words."""
        return diagnose.diagnostics(self)

    def prior_summary(self) -> SummaryContent:
        """The priors, as given and as used after scaling."""
        return reports.prior_summary(self)

    def summary(self, level: float = 0.95) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        check_level(level)
        return reports.summary(self, level)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of Parquet (draws and data) and JSON (formula, family, priors, diagnostics); it holds
        no code. It appears whole or not at all.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            A fit that a file cannot hold: one whose formula uses functions from `env`, or codings of factors other than
            names and matrices.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import mixedfx as mx
        >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "course.mfx"))
        >>> bool((again.fixef == fit.fixef).all())
        True
        """
        from mixedfx.bayes.storage import save

        return save(self, path)

    def __repr__(self) -> str:
        groups = "".join(f", {label} {n}" for label, n in self.ngroups.items())
        family = "" if self.family.linear_gaussian else f"{self.family.name}, "
        return f"<PosteriorFit {self.formula}: {family}{self.n_draws} draws, {self.nobs} rows{groups}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
