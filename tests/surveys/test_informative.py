"""Sampling of schools and pupils that depends on what is measured: weights mend the estimates, and intervals hold.

Measured with ``python -m tests.surveys.informative 300 out.csv`` (200 schools of 32 pupils, a random slope, degree 0.6
of simulate_survey; Monte Carlo error of coverage 0.013, 0.12 s of one core a sample). Bias and spread in points of a
score of standard deviation 85; unweighted is maximum likelihood with model-based intervals:

                     weighted                                unweighted
    term             bias  spread  mean se  coverage         bias  coverage
    Intercept        -0.2     2.6      2.5      .957        -27.6         0
    ses               0.0     1.2      1.2      .950          0.0      .960
    sd of schools    -1.7     2.0      1.9      .827         -1.8         -
    sd of slopes      1.2     2.0      1.9      .777         -0.4         -
    sigma             0.5     0.8      0.8      .890         -1.7         -

Coefficients are what they should be. Standard deviations between schools (30 and 6 in truth) keep a bias of the order
of one over the pupils in a school, which every scaling of weights that depend on the response has (Pfeffermann et al.
1998; Rabe-Hesketh & Skrondal 2006, section 6), and which moves their intervals. Where such weights are more unequal it
reaches the mean: at degree 1 (three in four pupils drawn from below the line of their school) the weighted intercept is
off by -0.8, unweighted by -44.9, and its intervals hold the truth 91 times in 100 (240 samples).

Binary responses, ``python -m tests.surveys.informative_glmer 200 out.csv`` (200 schools of some 40 pupils, successes
drawn with two thirds of the chance of failures; Monte Carlo error of coverage 0.02, 0.5 s of one core a sample), on the
logit scale:

                     weighted                                unweighted
    term             bias   spread  mean se  coverage        bias  coverage
    Intercept        -.024    .080     .079      .915       -.814         0
    x                 .006    .034     .033      .945        .003      .940
    sd of schools     .007    .075     .064      .900       -.002         -
"""

import pytest

from tests.resumable import resumed
from tests.surveys import informative, informative_glmer

DATA_SETS = 200


@pytest.mark.slow
def test_weights_mend_informative_sampling(request):
    folder = request.config.cache.mkdir("informative")
    table = informative.summary(resumed("informative", informative.__file__, DATA_SETS, folder, informative.one))
    weighted, unweighted = table.loc["weighted"], table.loc["unweighted"]
    # who ignores the weights is off by a dozen standard errors, and never holds the mean
    assert unweighted.loc["Intercept", "bias"] < -10 * unweighted.loc["Intercept", "se"]
    assert unweighted.loc["Intercept", "coverage"] == 0.0
    for term in ("Intercept", "ses"):
        assert abs(weighted.loc[term, "bias"]) < 0.25 * weighted.loc[term, "se"]
        assert weighted.loc[term, "se"] == pytest.approx(weighted.loc[term, "spread"], rel=0.15)
        assert 0.92 <= weighted.loc[term, "coverage"] <= 0.97


@pytest.mark.slow
def test_weights_mend_informative_sampling_of_binary_responses(request):
    folder, study = request.config.cache.mkdir("informative"), informative_glmer
    table = informative.summary(resumed("informative_glmer", study.__file__, 100, folder, study.one))
    weighted, unweighted = table.loc["weighted"], table.loc["unweighted"]
    assert unweighted.loc["Intercept", "bias"] < -10 * unweighted.loc["Intercept", "se"]
    assert unweighted.loc["Intercept", "coverage"] == 0.0
    for term in ("Intercept", "x"):
        assert abs(weighted.loc[term, "bias"]) < 0.5 * weighted.loc[term, "se"]
        assert weighted.loc[term, "se"] == pytest.approx(weighted.loc[term, "spread"], rel=0.2)  # of 100 samples
        assert 0.85 <= weighted.loc[term, "coverage"] <= 1.0  # .92 in expectation, with an error of .03


@pytest.mark.slow
def test_eight_hundred_fits_are_seconds():
    """Ten plausible values by eighty replicate weights: 2.2 s of one core here, 20 s were asked for."""
    from tests.surveys.speed import run

    assert run() < 10.0
