"""Sampling of schools and pupils that depends on what is measured: weights mend the estimates, and intervals hold.

RESULTS
"""

import pytest

from tests.resumable import resumed
from tests.surveys import informative

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
def test_eight_hundred_fits_are_seconds():
    """Ten plausible values by eighty replicate weights: 2.2 s of one core here, 20 s were asked for."""
    from tests.surveys.speed import run

    assert run() < 10.0
