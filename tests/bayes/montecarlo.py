"""Agreement of two posteriors within Monte Carlo error.

An answer may differ by a number of Monte Carlo errors, those of both sides added in squares:

    mean       sd / sqrt(n)
    sd         sd sqrt((kurtosis - 1) / (4 n))
    quantile   sqrt(q (1 - q) / n) / density

with n the effective draws.
"""

import numpy as np
from scipy import stats

from mixedfx.bayes.convergence import convergence


def effective(draws):
    """Effective draws of (chain, draw) values: the smallest of bulk, tails and squares.

    Of standard deviations the squares decide: over seeds that of a coefficient of cbpp by NUTS varies by .0067, where
    the draws that are effective for its mean promise .0045.
    """
    found = convergence(np.stack([draws, (draws - draws.mean()) ** 2], axis=-1))
    return min(found.bulk.min(), found.tail[0], draws.size)


def errors_of_mean_and_sd(x, n):
    kurtosis = stats.kurtosis(x, fisher=False)
    return x.std() / np.sqrt(n), x.std() * np.sqrt((kurtosis - 1) / (4 * n))


def assert_same_posterior(ours, n_ours, theirs, n_theirs, errors=4.5):
    """Means and standard deviations of two samples."""
    n = 1 / (1 / n_ours + 1 / n_theirs)
    of_mean, of_sd = errors_of_mean_and_sd(ours, n)
    assert abs(ours.mean() - theirs.mean()) < errors * of_mean
    assert abs(ours.std() - theirs.std()) < errors * of_sd


def assert_agrees_with_summary(ours, n_ours, row, errors=4.0):
    """Mean, standard deviation, 2.5 % and 97.5 % quantiles of a row of rstanarm's summary."""
    n = 1 / (1 / row["n_eff"] + 1 / n_ours)
    of_mean, of_sd = errors_of_mean_and_sd(ours, n)
    assert abs(ours.mean() - row["mean"]) < errors * of_mean
    assert abs(ours.std() - row["sd"]) < errors * of_sd
    for q in (0.025, 0.975):
        at = np.quantile(ours, q)
        density = stats.gaussian_kde(ours)(at)[0]
        assert abs(at - row[f"{100 * q:g}%"]) < errors * np.sqrt(q * (1 - q) / n) / density
