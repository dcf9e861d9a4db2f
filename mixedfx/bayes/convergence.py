"""Convergence of chains: R-hat, effective sample sizes and E-BFMI of many quantities at once.

**R-hat** compares the variance between chains, each cut in half, with that within: once for the ranks of the draws,
turned into normal scores, and once for those of their distances from the median, so that chains that differ in
location or in spread are both seen; the larger counts (Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, Bayesian
Analysis 16:667). **ESS**: with autocorrelations rho_t pooled over chains, N / (-1 + 2 sum of rho_2k + rho_2k+1), the
sum ended where a pair is negative and made monotone (Geyer 1992); "bulk" for the normal scores, "tail" the smaller of
those for the indicators of the 5 % and 95 % quantiles. **E-BFMI** of a chain: the mean squared step of the energy over
its variance; small where momentum resampling moves along the energy too slowly (Betancourt 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST = 10  # draws in a chain: its halves need two lags and more
BLOCK = 2**21  # numbers worked on at once: columns are taken in parts of as many draws


@dataclass(frozen=True, eq=False)
class Convergence:
    """Diagnostics of m quantities; NaN for constant ones.

    Attributes
    ----------
    r_hat, bulk, tail
        (m,) R-hat, and effective sample sizes of the bulk and the tails.
    """

    r_hat: Array
    bulk: Array
    tail: Array


def convergence(draws: Array) -> Convergence:
    """R-hat and effective sample sizes of the bulk and the tails.

    Parameters
    ----------
    draws
        (chains, draws, m); with fewer than ten draws in a chain nothing is known, and all is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.bayes.convergence import convergence
    >>> stuck = np.random.default_rng(1).normal(size=(4, 500, 2)) + np.array([0.0, 1.0]) * np.arange(4)[:, None, None]
    >>> convergence(stuck).r_hat.round(1)
    array([1. , 1.5])
    """
    chains, n, m = draws.shape
    if n < FEWEST:
        nothing = np.full(m, np.nan)
        return Convergence(nothing, nothing, nothing)
    width = max(1, BLOCK // (chains * n))
    parts = [_convergence(draws[:, :, at : at + width]) for at in range(0, m, width)]
    return Convergence(*(np.concatenate([part[i] for part in parts]) for i in range(3)))


def _convergence(draws: Array) -> tuple[Array, Array, Array]:
    n, m = draws.shape[1:]
    half = n // 2
    split = np.concatenate([draws[:, :half], draws[:, n - half :]])
    flat = split.reshape(-1, m)
    constant = (flat == flat[0]).all(axis=0) | ~np.isfinite(flat).all(axis=0)
    scores = _normal_scores(flat).reshape(split.shape)
    folded = _normal_scores(np.abs(flat - np.median(flat, axis=0))).reshape(split.shape)
    r_hat = np.maximum(_r_hat(scores), _r_hat(folded))
    low, high = np.quantile(flat, [0.05, 0.95], axis=0)
    tail = np.fmin(_ess((split <= low).astype(np.float64)), _ess((split <= high).astype(np.float64)))
    found = (r_hat, _ess(scores), tail)
    r_hat, bulk, tail = (np.where(constant, np.nan, values) for values in found)
    return r_hat, bulk, tail


def _normal_scores(flat: Array) -> Array:
    """Normal quantiles of the ranks of each column, ties sharing theirs."""
    from scipy import special, stats

    ranks = stats.rankdata(flat, axis=0)
    return special.ndtri((ranks - 0.375) / (len(flat) + 0.25))


def _r_hat(draws: Array) -> Array:
    n = draws.shape[1]
    between = draws.mean(axis=1).var(axis=0, ddof=1)
    within = draws.var(axis=1, ddof=1).mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((n - 1) / n + between / within)


def _ess(draws: Array) -> Array:
    """(m,) effective sample sizes of (chains, n, m) draws."""
    from scipy import fft

    chains, n, _ = draws.shape
    deviation = draws - draws.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(2 * n, real=True)
    power = np.abs(np.asarray(fft.rfft(deviation, size, axis=1))) ** 2
    covariance = np.asarray(fft.irfft(power, size, axis=1))[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    total = within * (n - 1) / n + (draws.mean(axis=1).var(axis=0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: 2 * ((n - 3) // 2)].reshape(-1, 2, rho.shape[1])
    even, both = pairs[:, 0], pairs.sum(axis=1)
    ended = both <= 0
    ended[0] = False
    stop = np.where(ended.any(axis=0), ended.argmax(axis=0), len(both))
    counts = np.arange(len(both))[:, None] < stop
    monotone = np.minimum.accumulate(both, axis=0)
    last = np.take_along_axis(even, np.minimum(stop, len(both) - 1)[None], axis=0)[0]
    last = np.where(stop < len(both), np.maximum(last, 0.0), 0.0)
    tau = -1.0 + 2.0 * np.where(counts, monotone, 0.0).sum(axis=0) + last
    count = chains * n
    return count / np.maximum(tau, 1 / np.log10(count))


def energy_mixing(energy: Array) -> Array:
    """(chains,) E-BFMI of (chains, draws) energies."""
    variance = energy.var(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, (np.diff(energy, axis=1) ** 2).mean(axis=1) / variance, np.nan)
