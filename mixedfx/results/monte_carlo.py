"""What the Monte Carlo error of a fit by iteration is: of its standard deviations and of its criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MonteCarlo:
    """Errors that come from probes, beside those that come from the sample.

    Attributes
    ----------
    probes
        Number of probes that traces were estimated with.
    terms, columns
        For each standard deviation of the random effects, then the residual one, its grouping factor and column.
    errors
        Monte Carlo standard error of each, in its units.
    standard_errors
        Its asymptotic standard error by the average information; 0 for one that is estimated at zero.
    criterion_error
        Monte Carlo standard error of the criterion.
    of
        What they are errors of, in a word or two. Of a generalised linear mixed model coefficients and parameters of
        the family, too, have them, and stand behind the standard deviations.
    """

    probes: int
    terms: tuple[str, ...]
    columns: tuple[str, ...]
    errors: Vector
    standard_errors: Vector
    criterion_error: float
    of: str = "standard deviations"

    @property
    def largest(self) -> float:
        """Largest Monte Carlo error of a standard deviation as a share of its standard error."""
        return largest_share(self.errors, self.standard_errors)

    @property
    def words(self) -> str:
        """What a summary says of the engine.

        Examples
        --------
        >>> import numpy as np
        >>> from mixedfx.results.monte_carlo import MonteCarlo
        >>> MonteCarlo(16, ("g",), ("Intercept",), np.array([0.001]), np.array([0.1]), 0.25).words
        'iterative, 16 probes; Monte Carlo errors: standard deviations at most 1.0% of a standard error, criterion 0.25'
        """
        return (
            f"iterative, {self.probes} probes; Monte Carlo errors: {self.of} at most {self.largest:.1%} of a standard "
            f"error, criterion {self.criterion_error:.2g}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each standard deviation: grp, var1, std_error, monte_carlo_error, share."""
        share = np.divide(
            self.errors, self.standard_errors, out=np.zeros(len(self.errors)), where=self.standard_errors > 0
        )
        return pd.DataFrame(
            {
                "grp": self.terms, "var1": self.columns, "std_error": self.standard_errors,
                "monte_carlo_error": self.errors, "share": share,
            }
        )  # fmt: skip


def largest_share(errors: Vector, standard_errors: Vector) -> float:
    """Largest error as a share of its standard error, of those that have one."""
    known = standard_errors > 0.0
    return float((errors[known] / standard_errors[known]).max(initial=0.0))
