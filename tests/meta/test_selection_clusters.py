"""Normalisers of selection models in clusters: against multivariate normal probabilities, and against finer rules."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from mixedfx.meta.selection.clusters import MECHANISMS, Shared, selected
from mixedfx.meta.selection.intervals import critical_values, intervals
from mixedfx.meta.selection.normalisers import StepWeights

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(72)
FAR = 9.0


def above(limits, L):
    """P(X_i > limits_i for all i), X = L z: iterated Gauss-Legendre rules over z, one less than there are variables."""
    m = len(limits)

    def inner(i, z):
        low = (limits[i] - sum(L[i, j] * z[j] for j in range(i))) / L[i, i]
        if i == m - 1:
            return special.ndtr(-low)
        half = np.maximum(FAR - low, 0.0) / 2
        x = (low + half)[..., None] + half[..., None] * NODES
        value = inner(i + 1, [np.broadcast_to(c[..., None], x.shape) for c in z] + [x])
        return np.sum(value * stats.norm.pdf(x) * NODE_WEIGHTS, axis=-1) * half

    return float(inner(0, []))


def enumerated(cuts, steps, mean, covariance):
    """E[prod of steps[i] if X_i is above cuts[i] (any number of them)], steps[0] what every X has."""
    total, m = 0.0, len(mean)
    for chosen in itertools.product(range(len(steps)), repeat=m):
        at = [i for i in range(m) if chosen[i] > 0]
        weight = np.prod([steps[c] for c in chosen])
        if at:
            limits = np.array([cuts[chosen[i] - 1, i] - mean[i] for i in at])
            weight *= above(limits, np.linalg.cholesky(covariance[np.ix_(at, at)]))
        total += weight
    return total


def cluster(v, steps, two_sided=False, y=None):
    """Weights of a cluster, all its estimates in the most significant interval unless they are given."""
    sd = np.sqrt(v)
    z = np.full(len(v), 9.0) if y is None else y / sd
    weights = StepWeights(critical_values(steps, two_sided), intervals(z, steps, two_sided), sd, two_sided)
    return weights, Shared(np.array([0, len(v)]))


class TestBruteForce:
    def test_the_brute_force_itself(self):
        covariance = np.array([[1.0, 0.9], [0.9, 1.2]])
        expected = stats.multivariate_normal.cdf([-0.3, 0.4], [0, 0], covariance)  # exact for two variables
        assert above(np.array([0.3, -0.4]), np.linalg.cholesky(covariance)) == pytest.approx(expected, abs=1e-13)

    @pytest.mark.parametrize(("tau2", "rho"), [(0.01, 0.5), (0.3, 0.2), (0.3, 0.95), (1.0, 0.9), (1.0, 0.995)])
    @pytest.mark.parametrize("m", [2, 3, 4])
    def test_all_estimates_pass(self, m, tau2, rho):
        v = np.array([0.02, 0.11, 0.05, 0.3])[:m]
        mean = np.array([0.1, -0.2, 0.15, 0.3])[:m]
        delta, steps = np.array([1.0, 0.55, 0.3]), [0.025, 0.5]
        weights, shared = cluster(v, steps)
        variance, b = v + (1 - rho) * tau2, rho * tau2
        found = selected("joint", weights, shared, 0 * v, mean, variance, b, delta)
        cuts = np.outer(critical_values(steps, False), np.sqrt(v))
        expected = enumerated(cuts, [0.3, 0.45, 0.25], mean, np.diag(variance) + b)
        assert np.exp(-found.value) == pytest.approx(expected, abs=1e-8)

    @pytest.mark.parametrize(("tau2", "rho"), [(0.01, 0.5), (0.3, 0.95), (1.0, 0.995)])
    @pytest.mark.parametrize("m", [2, 3, 4])
    def test_best_estimate_passes(self, m, tau2, rho):
        v = np.array([0.02, 0.11, 0.05, 0.3])[:m]
        mean = np.array([0.1, -0.2, 0.15, 0.3])[:m]
        delta, steps = np.array([1.0, 0.55, 0.3]), [0.025, 0.5]
        weights, shared = cluster(v, steps)
        variance, b = v + (1 - rho) * tau2, rho * tau2
        found = selected("best", weights, shared, 0 * v, mean, variance, b, delta)
        L = np.linalg.cholesky(np.diag(variance) + b)
        none = [above(mean - cut * np.sqrt(v), L) for cut in critical_values(steps, False)]  # P(no estimate beyond)
        expected = (1 - none[0]) + 0.55 * (none[0] - none[1]) + 0.3 * none[1]
        assert np.exp(-found.value) == pytest.approx(expected, abs=1e-8)

    @pytest.mark.parametrize("mechanism", ["joint", "best"])
    def test_two_sided_pairs(self, mechanism):
        v, mean, delta = np.array([0.02, 0.11]), np.array([0.1, -0.2]), np.array([1.0, 0.3])
        weights, shared = cluster(v, [0.05], two_sided=True)
        found = selected(mechanism, weights, shared, 0 * v, mean, v + 0.06, 0.24, delta)
        covariance, cut = np.diag(v + 0.06) + 0.24, 1.959963984540054 * np.sqrt(v)
        inside = [stats.norm.cdf(cut[i], mean[i], covariance[i, i] ** 0.5) - stats.norm.cdf(
            -cut[i], mean[i], covariance[i, i] ** 0.5) for i in range(2)]  # fmt: skip
        corners = {s: stats.multivariate_normal.cdf(np.array(s) * cut, mean, covariance)
                   for s in itertools.product((-1, 1), repeat=2)}  # fmt: skip
        both = corners[1, 1] - corners[-1, 1] - corners[1, -1] + corners[-1, -1]
        expected = {
            "joint": 0.3**2 * both + 0.3 * (sum(inside) - 2 * both) + 1 - sum(inside) + both,
            "best": 0.3 * both + 1 - both,
        }[mechanism]
        assert np.exp(-found.value) == pytest.approx(expected, abs=1e-10)

    @pytest.mark.parametrize("rho", [0.2, 0.9, 0.995])
    def test_conditional(self, rho):
        v, y = np.array([0.02, 0.11, 0.05]), np.array([0.5, 0.2, -0.1])
        mean, delta, b = np.array([0.1, -0.2, 0.15]), np.array([1.0, 0.4]), rho * 0.6
        variance = v + (1 - rho) * 0.6
        weights, shared = cluster(v, [0.025], y=y)
        found = selected("conditional", weights, shared, y - mean, mean, variance, b, delta)
        cut = 1.959963984540054 * np.sqrt(v)

        def density(g):
            A = 0.4 + 0.6 * special.ndtr((mean + g - cut) / np.sqrt(variance))
            return stats.norm.pdf(g, 0, b**0.5) * np.prod(stats.norm.pdf(y, mean + g, np.sqrt(variance)) / A)

        whole = integrate.quad(density, -7, 7, epsabs=0, epsrel=1e-12, limit=500, points=[0.0, 0.3])[0]
        plain = stats.multivariate_normal.logpdf(y, mean, np.diag(variance) + b)
        expected = np.log(whole) - plain + np.sum(np.where(y < cut, np.log(0.4), 0.0))
        assert found.value == pytest.approx(expected, abs=1e-9)


@given(
    m=st.sampled_from([2, 3, 7, 22, 60]),
    tau2=st.floats(0.001, 4.0),
    rho=st.floats(0.05, 0.999),
    logs=st.lists(st.floats(-5, 5), min_size=1, max_size=3),
    two_sided=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_a_rule_four_times_as_fine_agrees(m, tau2, rho, logs, two_sided, seed):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.005, 0.3, m)
    variance, b = v + (1 - rho) * tau2, rho * tau2
    mean = np.full(m, rng.normal() * 0.5)
    residual = rng.normal() * b**0.5 + rng.normal(size=m) * variance**0.5
    weights, shared = cluster(v, [0.025, 0.1, 0.5][: len(logs)], two_sided, mean + residual)
    delta = np.exp(np.array([0.0, *logs]))
    for mechanism in MECHANISMS:
        one = selected(mechanism, weights, shared, residual, mean, variance, b, delta)
        finer = selected(mechanism, weights, shared, residual, mean, variance, b, delta, 4.0)
        # 4e-10 is the worst of 1,500 such; a fit checks its own at the maximum
        assert one.value == pytest.approx(finer.value, abs=1e-8), mechanism


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_without_a_shared_effect_estimates_are_independent(mechanism):
    v = np.array([0.02, 0.11, 0.05])
    mean, residual, delta = np.array([0.1, -0.2, 0.15]), np.array([0.3, 0.2, -0.3]), np.array([1.0, 0.4])
    weights, shared = cluster(v, [0.025], y=mean + residual)
    found = selected(mechanism, weights, shared, residual, mean, v + 0.1, 0.0, delta)
    A = weights.normaliser(mean, v + 0.1, delta).log_value
    S = special.ndtr((1.959963984540054 * np.sqrt(v) - mean) / np.sqrt(v + 0.1))
    single = float(np.log(delta[weights.cells]).sum() - A.sum())
    best = float(np.log(delta[weights.cells.min()]) - np.log(1 - 0.6 * S.prod()))
    assert found.value == pytest.approx(best if mechanism == "best" else single, abs=1e-9)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_large_clusters(mechanism):
    rng = np.random.default_rng(1)
    v, residual, mean = rng.uniform(0.01, 0.2, 400), rng.normal(0, 0.4, 400), np.full(400, 0.2)
    weights, shared = cluster(v, [0.025], y=mean + residual)
    one, finer = (
        selected(mechanism, weights, shared, residual, mean, v + 0.05, 0.05, np.array([1.0, 0.3]), fine)
        for fine in (1.0, 3.0)
    )
    assert one.value == pytest.approx(finer.value, abs=1e-8)
