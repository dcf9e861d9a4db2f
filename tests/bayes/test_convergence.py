"""R-hat, effective sample sizes and E-BFMI: those of arviz-stats, for many quantities at once."""

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from mixedfx.bayes.convergence import convergence, energy_mixing


@pytest.fixture(scope="module")
def chains():
    """Independent, positively and negatively correlated, disagreeing, tied and heavy-tailed chains."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 500, 6))
    for t in range(1, 500):
        x[:, t, 1] += 0.9 * x[:, t - 1, 1]
        x[:, t, 2] -= 0.6 * x[:, t - 1, 2]
    x[:, :, 3] += 0.3 * np.arange(4)[:, None]
    x[:, :, 4] = np.round(x[:, :, 4])
    x[:, :, 5] = np.exp(3 * x[:, :, 5])
    return x


@pytest.mark.parametrize("n", [500, 499])
def test_they_are_those_of_arviz_stats(chains, n):
    """Chains of an odd length are halved without their middle draw."""
    chains = chains[:, :n]
    found = convergence(chains)
    for j in range(chains.shape[2]):
        one = chains[:, :, j]
        assert found.r_hat[j] == pytest.approx(float(array_stats.rhat(one)), rel=1e-6)
        # the last pair of lags, where the sum stops, is counted a little differently
        assert found.bulk[j] == pytest.approx(float(array_stats.ess(one, method="bulk")), rel=0.01)
        tail = float(array_stats.ess(one, method="tail", prob=(0.05, 0.95)))
        assert found.tail[j] == pytest.approx(tail, rel=0.01)


def test_columns_are_independent_of_the_block_they_are_in(chains, monkeypatch):
    from mixedfx.bayes import convergence as module

    whole = convergence(chains)
    monkeypatch.setattr(module, "BLOCK", 1)
    parts = convergence(chains)
    assert whole.bulk == pytest.approx(parts.bulk, rel=1e-9)
    assert whole.r_hat == pytest.approx(parts.r_hat, rel=1e-9)


def test_constants_and_short_chains_have_no_diagnostics(chains):
    assert np.isnan(convergence(np.ones((4, 100, 1))).r_hat).all()
    assert np.isnan(convergence(chains[:, :9]).bulk).all()
    assert np.isfinite(convergence(chains[:, :10]).bulk[0])


def test_one_chain_is_compared_with_itself(chains):
    drifting = chains[:1, :, :1] + np.linspace(0, 3, 500)[None, :, None]
    assert convergence(drifting).r_hat[0] > 1.2


def test_energy_mixing_is_small_where_the_energy_drifts():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2, 1000))
    walk = np.cumsum(rng.normal(size=(2, 1000)), axis=1)
    assert energy_mixing(noise) == pytest.approx([2.0, 2.0], rel=0.1)
    assert (energy_mixing(walk) < 0.3).all()
