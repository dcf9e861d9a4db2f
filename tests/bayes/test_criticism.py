"""Rows that say nothing are no finding of cross-validation; rows with a heavy tail are, whatever stands beside them."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from mixedfx.bayes.posterior.criticism import psis
from mixedfx.errors import ParetoKWarning

FIT = SimpleNamespace(
    chains=2,
    n_draws=400,
    design=SimpleNamespace(response_name="y"),
    sampling=SimpleNamespace(ess=400.0, independent=True),
)


def found(log_likelihood):
    return psis(FIT, log_likelihood, list(range(log_likelihood.shape[1])), "row", "Look.")


def draws(*columns):
    rng = np.random.default_rng(0)
    first, last = 0.2 * rng.normal(size=(2, 400))
    return np.column_stack([first, *(np.broadcast_to(c, 400) for c in columns), last])


@pytest.mark.parametrize("value", [0.0, -1.2345678, -700.0, -1.0 + 1e-16 * np.arange(400)])
def test_a_row_whose_likelihood_never_changes_is_left_out_without_loss(value):
    """Its elpd is its log likelihood, its k-hat no finding, and nothing is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loo = found(draws(value))
    assert np.asarray(loo.pareto_k)[1] == 0
    assert not loo.warning
    assert np.asarray(loo.loo_i)[1] == pytest.approx(np.mean(value), rel=1e-12)


def test_rows_that_say_nothing_do_not_hide_others():
    heavy = -3 * np.random.default_rng(1).exponential(size=400)  # ratios with a tail of index 3
    with pytest.warns(ParetoKWarning, match="for 1 of 4 rows"):
        loo = found(draws(0.0, heavy))
    assert loo.warning
    assert np.asarray(loo.pareto_k)[2] > loo.good_k
