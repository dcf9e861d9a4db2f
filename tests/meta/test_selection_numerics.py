"""Weight functions, their normalisers, gradients and maxima, by registries and brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from mixedfx.meta.selection.clusters import MECHANISMS, Shared
from mixedfx.meta.selection.intervals import critical_values, intervals
from mixedfx.meta.selection.likelihood import SelectionProblem, loglik
from mixedfx.meta.selection.normalisers import SmoothWeights, StepWeights
from mixedfx.meta.selection.weights import BETA_CLIP, WEIGHT_FUNCTIONS

SMOOTH = {name: function for name, function in WEIGHT_FUNCTIONS.items() if function.smooth}
RNG = np.random.default_rng(5)
V = RNG.uniform(0.01, 0.2, 30)
Y = RNG.normal(0.3, 0.4, 30)
X = np.column_stack([np.ones(30), RNG.normal(size=30)])
OFFSET = RNG.normal(0, 0.1, 30)
Z, SD = Y / np.sqrt(V), np.sqrt(V)


def problem(name, two_sided, begin=0.0, steps=(0.025, 0.1, 0.5), mechanism="conditional", start=None):
    if name == "stepfun":
        weights = StepWeights(critical_values(steps, two_sided), intervals(Z, steps, two_sided), SD, two_sided)
    else:
        weights = SmoothWeights(WEIGHT_FUNCTIONS[name], Z, SD, two_sided, begin)
    shared = None if start is None else Shared(np.array(start))
    return SelectionProblem(Y, X, OFFSET, V, weights, shared, mechanism)


def slopes(f, x):
    """Differences of the fourth order."""
    found = np.empty(len(x))
    for i, value in enumerate(x):
        h = np.zeros(len(x))
        h[i] = 1e-4 * max(0.01, abs(value))
        found[i] = (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h[i])
    return found


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
class TestSmooth:
    def test_no_selection_at_the_null(self, name, two_sided):
        p = problem(name, two_sided)
        null = np.array(SMOOTH[name].null)
        assert np.allclose(p.weights.observed(null)[0], 0.0, atol=1e-15)
        assert np.allclose(p.weights.normaliser(X[:, 1], V + 0.2, null).log_value, 0.0, atol=1e-13)

    @pytest.mark.parametrize(("delta", "tau2"), [(0.3, 0.0), (1.7, 0.05), (6.0, 0.05), (1.2, 40.0)])
    def test_normaliser_by_adaptive_quadrature(self, name, two_sided, delta, tau2):
        weights = SmoothWeights(SMOOTH[name], np.array([0.3]), np.array([0.25]), two_sided)
        parameters = np.full(weights.size, delta)
        found = weights.normaliser(np.array([0.2]), np.array([0.0625 + tau2]), parameters)
        spread = np.sqrt(0.0625 + tau2)

        def integrand(y):
            return np.exp(weights.log_weight(np.array([y / 0.25]), parameters)[0][0]) * stats.norm.pdf(y, 0.2, spread)

        clip = special.ndtri(BETA_CLIP) * 0.25
        middle = 0.25 * np.array([-9.0, -2.0, -1e-3, -1e-5, 0.0, 1e-5, 1e-3, 2.0, 9.0])
        kinks = sorted({-12 * spread - 10, *middle, clip, -clip, 12 * spread + 10})
        parts = [
            integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-11, limit=400)[0] for a, b in itertools.pairwise(kinks)
        ]
        # two-sided beta: the clip at p = 1 - 1e-5 lies between the kinks that the brute force knows
        assert np.exp(found.log_value[0]) == pytest.approx(sum(parts), rel=1e-7 if name == "beta" else 1e-9)

    def test_gradient(self, name, two_sided):
        p = problem(name, two_sided)
        theta = np.array([0.2, 0.1, 0.04, *([1.4, 0.6] if p.weights.size == 2 else [1.3])])
        found = loglik(p, theta)[1]
        np.testing.assert_allclose(found, slopes(lambda t: loglik(p, t)[0], theta), rtol=1e-7, atol=1e-7)

    def test_where_it_begins(self, name, two_sided):
        if not SMOOTH[name].starts_at_step:
            return
        p = problem(name, two_sided, begin=0.1)
        theta = np.array([0.2, 0.1, 0.04, 1.3])
        np.testing.assert_allclose(loglik(p, theta)[1], slopes(lambda t: loglik(p, t)[0], theta), rtol=1e-7, atol=1e-7)
        cut = critical_values([0.1], two_sided)[0]
        logs = p.weights.log_weight(np.array([cut + 1e-9, cut + 3.0, cut - 1e-9, cut - 0.5]), np.array([1.3]))[0]
        assert logs[:2].tolist() == [0.0, 0.0]
        assert abs(logs[2]) < 1e-8
        assert logs[3] < -1e-3


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_gradient_in_clusters(mechanism, two_sided):
    p = problem("stepfun", two_sided, mechanism=mechanism, start=[0, 1, 4, 6, 7, 15, 30])
    for b, w in ((0.05, 0.03), (0.4, 0.002), (1e-5, 0.2)):
        theta = np.array([0.2, 0.1, b, w, 1.0, 0.6, 0.3, 1.4])
        numbers = slopes(lambda t: loglik(p, t)[0], theta)
        # of b = 1e-5 the differences lose digits, not the gradient
        np.testing.assert_allclose(loglik(p, theta)[1], numbers, rtol=1e-6, atol=1e-5 if b < 1e-3 else 1e-6)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_selection_in_clusters_at_equal_weights(mechanism):
    p = problem("stepfun", False, mechanism=mechanism, start=[0, 1, 4, 6, 7, 15, 30])
    theta = np.array([0.2, 0.1, 0.05, 0.03, 1.0, 1.0, 1.0, 1.0])
    value, slope = loglik(p, theta)
    plain, plain_slope = loglik(p.unselected, theta[:4])
    assert value == pytest.approx(plain, abs=1e-11)
    np.testing.assert_allclose(slope[:4], plain_slope, atol=1e-9)
    blocks = [range(a, b) for a, b in zip(p.shared.start[:-1], p.shared.start[1:], strict=True)]
    mean = X @ theta[:2] + OFFSET
    brute = sum(
        stats.multivariate_normal.logpdf(Y[list(r)], mean[list(r)], np.diag(V[list(r)] + 0.03) + 0.05) for r in blocks
    )
    assert plain == pytest.approx(brute, rel=1e-13)


@given(
    delta=st.lists(st.floats(-6, 6), min_size=4, max_size=4), mean=st.floats(-3, 3), tau2=st.floats(0, 5),
    two_sided=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_step_normaliser_is_the_sum_of_interval_probabilities(delta, mean, tau2, two_sided):
    weights = np.exp(np.array(delta))
    steps = (0.025, 0.1, 0.5)
    sd = np.array([0.2])
    found = StepWeights(critical_values(steps, two_sided), np.array([0]), sd, two_sided).normaliser(
        np.array([mean]), np.array([0.04 + tau2]), weights
    )
    spread, cuts = np.sqrt(0.04 + tau2), critical_values(steps, two_sided) * 0.2
    if two_sided:
        ends = np.concatenate([[np.inf], cuts, [0.0]])
        inside = [stats.norm.cdf(c, mean, spread) - stats.norm.cdf(-c, mean, spread) for c in ends]
        shares = -np.diff(inside)
    else:
        shares = np.diff([0.0, *stats.norm.sf(cuts, mean, spread), 1.0])
    assert np.exp(found.log_value[0]) == pytest.approx(float(weights @ shares), rel=1e-9)


def test_the_beta_function_is_no_model_without_its_clip():
    """Where delta1 < tau2 / (tau2 + v), E[w] of the unclipped function diverges: it grows as the clip goes to 0."""
    v, tau2 = 0.04, 0.12
    limit = tau2 / (tau2 + v)

    def mean_weight(delta1, clip):
        far = -special.ndtri(clip)
        inner = integrate.quad(
            lambda x: np.exp((delta1 - 1) * special.log_ndtr(-x)) * stats.norm.pdf(x, 0, np.sqrt(1 + tau2 / v)),
            -far, far,
            epsrel=1e-10, limit=500,
        )[0]  # fmt: skip
        return inner + clip ** (delta1 - 1) * stats.norm.sf(far, 0, np.sqrt(1 + tau2 / v))

    below = [mean_weight(limit - 0.15, 10.0**-e) for e in (5, 20, 80, 300)]
    above = [mean_weight(limit + 0.15, 10.0**-e) for e in (5, 20, 80, 300)]
    assert below[3] > 1e6 * below[0]
    assert above[3] == pytest.approx(above[2], rel=1e-3)
