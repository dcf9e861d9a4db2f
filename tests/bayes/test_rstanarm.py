"""Sleepstudy under rstanarm's default priors, against 12,000 draws of rstanarm (tests/reference/gen_bayes.R).

Means, standard deviations and the 2.5 % and 97.5 % quantiles of all 42 quantities: fixed effects, sigma, the
covariance matrix, and both effects of all 18 subjects. An answer may differ by four Monte Carlo errors, those of both
sides added in squares:

    mean       sd / sqrt(n)
    sd         sd sqrt((kurtosis - 1) / (4 n))
    quantile   sqrt(q (1 - q) / n) / density

with n the effective draws: n_eff of the reference, and the effective number of the weights here, at most the draws
kept.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

FILE = Path(__file__).resolve().parents[1] / "reference" / "bayes" / "bayes_rstanarm_sleepstudy.json"
ROWS = {r["par"]: r for r in json.loads(FILE.read_text())["summary"]}
QUANTITIES = [name for name in ROWS if name not in ("mean_PPD", "log-posterior")]


def draws_of(fit, name):
    d = fit.draws()
    intercept, days = (d["sd", "Subject", c] for c in ("Intercept", "Days"))
    known = {
        "(Intercept)": lambda: d["beta", "Intercept"],
        "Days": lambda: d["beta", "Days"],
        "sigma": lambda: d["sigma"],
        "Sigma[Subject:(Intercept),(Intercept)]": lambda: intercept**2,
        "Sigma[Subject:Days,(Intercept)]": lambda: intercept * days * d["cor", "Subject", "Intercept", "Days"],
        "Sigma[Subject:Days,Days]": lambda: days**2,
    }
    if name in known:
        return known[name]().ravel()
    column, subject = name.removeprefix("b[").removesuffix("]").split(" Subject:")
    return d["u", "Subject", subject, "Intercept" if column == "(Intercept)" else column].ravel()


def test_the_reference_holds_all_quantities():
    assert len(QUANTITIES) == 42


@pytest.mark.parametrize("name", QUANTITIES)
def test_posterior_is_rstanarms(sleep_fit, name):
    x, reference = draws_of(sleep_fit, name), ROWS[name]
    n = 1 / (1 / reference["n_eff"] + 1 / min(sleep_fit.sampling.ess, len(x)))
    assert abs(x.mean() - reference["mean"]) < 4 * x.std() / np.sqrt(n)
    kurtosis = stats.kurtosis(x, fisher=False)
    assert abs(x.std() - reference["sd"]) < 4 * x.std() * np.sqrt((kurtosis - 1) / (4 * n))
    for q in (0.025, 0.975):
        at = np.quantile(x, q)
        density = stats.gaussian_kde(x)(at)[0]
        assert abs(at - reference[f"{100 * q:g}%"]) < 4 * np.sqrt(q * (1 - q) / n) / density


def test_draws_are_as_good_as_independent(sleep_fit):
    assert sleep_fit.sampling.method == "importance"
    assert sleep_fit.sampling.k_hat < 0.7
    assert sleep_fit.sampling.ess > 0.75 * sleep_fit.sampling.proposals
    assert sleep_fit.sampling.distinct > 0.95 * sleep_fit.n_draws
