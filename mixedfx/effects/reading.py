"""From averages on the scale of the model to the numbers of a table: taken back to a variable, and compared.

Under a transformed response f(y) an average m of f(y) is read as f^-1(m), a generalised mean of y. A comparison that
depends on the difference of two averages only is a linear functional again, or a monotone function of one: a difference
under shifts and factors, a ratio of geometric means under a logarithm, an odds ratio under a logit. Any other is taken
draw by draw. For a numeric treatment "per unit" the second of two averages may be the increment itself (see
`mixedfx.effects.increments`), or lie more than one unit further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mixedfx.design.transforms import Transformation
from mixedfx.effects.comparisons import Comparison
from mixedfx.effects.quantities import Drawn, Monotone, Quantities, shifted


@dataclass(frozen=True)
class Reading:
    """How averages are to be read before they are compared.

    Attributes
    ----------
    back
        The transformation to undo; None where averages are in the units that the answer is in.
    increments
        Whether the second value of a numeric treatment holds what a unit adds to the first.
    step
        How many units lie between the two values otherwise.
    """

    back: Transformation | None = None
    increments: bool = False
    step: float = 1.0

    @property
    def factor(self) -> float | None:
        """What a difference of averages is multiplied with; None where it is not that simple."""
        if self.back is None:
            return 1.0
        return None if self.back.affine is None else self.back.affine.factor

    def rate(self, comparison: Comparison) -> float | None:
        """What the logarithm behind a comparison is of a difference of averages, where it is a multiple of that."""
        if self.back is None:
            return None
        return {"ratio": self.back.rate, "odds": self.back.odds}.get(comparison.through)

    def only_difference(self, comparison: Comparison | None) -> bool:
        """Whether a comparison takes nothing of two averages but their difference."""
        if comparison is None:
            return False
        if comparison.coefficients is not None:
            return self.factor is not None
        return self.rate(comparison) is not None


AS_THEY_ARE = Reading()


def outcomes(quantities: Quantities, reading: Reading) -> Quantities:
    """The averages themselves, in the units of the answer."""
    back = reading.back
    if back is None or isinstance(quantities, Monotone):
        return quantities
    if back.affine is None:
        return Monotone(quantities, back)
    whole = quantities.combine(sparse.csr_array(back.affine.factor * sparse.eye_array(len(quantities))))
    return shifted(whole, back.affine.shift)


def compared(
    quantities: Quantities,
    shape: tuple[int, int, int],
    pairs: Sequence[tuple[int, int]],
    comparison: Comparison,
    labels: Sequence[str],
    reading: Reading = AS_THEY_ARE,
) -> Quantities:
    """Compare average outcomes.

    Parameters
    ----------
    quantities
        V * r * K averages, ordered as in `Averages`.
    shape
        (V, r, K).
    pairs
        (higher, lower) values of the treatment of each of the P contrasts.
    comparison
        How two averages become one number.
    labels
        Names of the r subgroups, for errors.
    reading
        How the averages are to be read.

    Returns
    -------
    Exact, Drawn or Monotone
        r * P * K rows: for each subgroup each contrast, for each of those each category. Exact, or a monotone function
        of something exact, where `quantities` are exact and the comparison depends on their difference only.
    """
    rows = np.arange(int(np.prod(shape))).reshape(shape)
    high = np.stack([rows[h] for h, _ in pairs], axis=1).ravel()
    low = np.stack([rows[base] for _, base in pairs], axis=1).ravel()
    if reading.only_difference(comparison):
        factor, rate = reading.factor, reading.rate(comparison)
        a, b = comparison.coefficients or (1.0, -1.0)
        scale = (rate if rate is not None else factor or 1.0) / (1.0 if reading.increments else reading.step)
        at = np.arange(len(high))
        # Of a value and an increment the sum is the higher average.
        values = np.repeat([a, a + b if reading.increments else b], len(high)) * scale
        entries = (values, (np.concatenate([at, at]), np.concatenate([high, low])))
        difference = quantities.combine(sparse.csr_array(sparse.coo_array(entries, shape=(len(high), rows.size))))
        if comparison.coefficients is not None or comparison.of_log is None or isinstance(difference, Monotone):
            return difference
        return Monotone(difference, comparison.of_log)
    draws = quantities.draws()
    above, below = draws[:, high], draws[:, low]
    if reading.increments:
        above = below + reading.step * above
    if reading.back is not None:
        above, below = reading.back.inverse(above), reading.back.inverse(below)
    names = [label for label in labels for _ in range(len(pairs) * shape[2])]
    for side in (above, below):
        comparison.check(side, names)
    values = comparison.compare(above, below)
    if reading.step != 1:
        values = comparison.per_unit(values, reading.step)
    return Drawn(values, (quantities.unseen[high] + quantities.unseen[low]) / 2, center="median")
