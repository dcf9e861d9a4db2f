r"""Standard deviations on a line that goes on through zero, where a sampler that follows gradients takes long steps.

The posterior of a small standard deviation s has a density that is finite at zero: in log s that is a tail as long as
e^{log s}, and the few draws that go far out there set the pace of all others. On the scale of s itself the density
reflected at zero is smooth and nearly normal, but a variance known from few levels has a tail to the right that is
a power of s. With

    s = s_0 |sinh v|,      log p(v) = log p(log s) + log coth |v|,

v is proportional to s below s_0 and to log s above it, and both tails are short. The density is symmetric in v: a
trajectory that passes through zero comes out with the same variances, and the sign has no meaning. It must not be
dropped on the way, though: under a metric with correlations what comes next depends on it. s_0 is the s of the mode.
The derivative in v is (d / d log s) coth v - 2 / sinh 2v; its two terms cancel at zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

FARTHEST = 300.0  # of v: beyond, sinh overflows


@dataclass(frozen=True, eq=False)
class Unfolded:
    """The density of a target with its logarithms of standard deviations unfolded.

    Attributes
    ----------
    target
        The density.
    log_scale
        (m,) logarithms of s_0, one for each standard deviation.
    folded
        (m,) positions of the standard deviations in phi and in v.

    Examples
    --------
    The density at a point and at its mirror image is the same.

    >>> import numpy as np
    >>> import mixedfx as mx
    >>> from mixedfx.sampling.unfolded import unfold
    >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), seed=1)
    >>> density = unfold(fit.target, fit.target.coordinates.even(10.0, 0.5))
    >>> v = np.array([[2.3, 0.4], [2.3, -0.4]])
    >>> value, gradient = density(v)
    >>> bool(value[0] == value[1]), bool(gradient[0, 1] == -gradient[1, 1])
    (True, True)
    """

    target: Target
    log_scale: Array
    folded: NDArray[np.intp]

    def __call__(self, v: Array) -> tuple[Array, Array]:
        """(D,) log densities and (D, d) gradients at points v (D, d)."""
        value, gradient = np.full(len(v), -np.inf), np.zeros(v.shape)
        inside = np.flatnonzero((np.abs(v) < FARTHEST).all(axis=1) & (v[:, self.folded] != 0).all(axis=1))
        points = v[inside]
        found, slope = self.target.values_and_gradients(self.phi(points))
        s = points[:, self.folded]
        slope[:, self.folded] = slope[:, self.folded] / np.tanh(s) - 2.0 / np.sinh(2.0 * s)
        fine = np.isfinite(found)
        value[inside[fine]] = (found - np.log(np.abs(np.tanh(s))).sum(axis=1))[fine]
        gradient[inside[fine]] = slope[fine]
        return value, gradient

    def phi(self, v: Array) -> Array:
        """(..., d) coordinates of the target."""
        out = v.copy()
        s = np.abs(v[..., self.folded])
        out[..., self.folded] = self.log_scale + s + np.log(-np.expm1(-2.0 * s) / 2.0)
        return out

    def v(self, phi: Array) -> Array:
        """(..., d) points on the positive side."""
        out = phi.copy()
        log_s = phi[..., self.folded] - self.log_scale
        # asinh(e^x) = x + log(1 + (1 + e^{-2x})^(1/2)) for large x
        large = log_s + np.log1p(np.sqrt(1.0 + np.exp(-2.0 * np.maximum(log_s, 0.0))))
        out[..., self.folded] = np.where(log_s > 0, large, np.arcsinh(np.exp(np.minimum(log_s, 0.0))))
        return out

    def covariance(self, of_phi: Array) -> Array:
        """(d, d) covariance of v from that of phi, to first order at the mode."""
        slope = np.ones(len(of_phi))
        slope[self.folded] = np.sqrt(0.5)  # d v / d log s = tanh v, with sinh v = 1
        return of_phi * np.outer(slope, slope)


def unfold(target: Target, mode: Array) -> Unfolded:
    """Unfold the standard deviations of a target around the scale of its mode (d,)."""
    terms = target.coordinates.terms
    folded = np.concatenate([np.arange(t.sds.start, t.sds.stop) for t in terms] or [np.zeros(0, dtype=np.intp)])
    return Unfolded(target, mode[folded], folded.astype(np.intp))
