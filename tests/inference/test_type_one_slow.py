"""Under the null hypothesis tests of styles reject as often as they say, but for Wald's z."""

from __future__ import annotations

import pytest

from benchmarks.type_one_error import type_one_error


@pytest.mark.slow
def test_satterthwaite_and_kenward_roger_keep_their_level_with_15_professors_and_z_does_not():
    found = type_one_error(2000, "assigned", seed=1).set_index(["test", "method"])
    error = found["mc_error"].iloc[0]
    for test in ("No Flipped - Fully Flipped", "style"):
        rejected = found.loc[test, "rejected"]
        # within Monte Carlo error of 5 %: 2.6 standard errors, 99 % of simulations of an exact test
        assert abs(rejected["satterthwaite"] - 0.05) < 2.6 * error
        assert abs(rejected["kenward-roger"] - 0.05) < 2.6 * error
        # t with 12 df exceeds 1.96 in 7.4 % of samples, F(2, 12) its chi square limit in more
        assert rejected["normal"] > 0.05 + 4 * error
        assert rejected["residual"] > 0.05 + 4 * error
