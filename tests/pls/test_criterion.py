"""Criterion, gradient and information of the blocked path against dense V, at any theta, singular ones included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.pls import coupling
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from tests.oracles import dense_lmm
from tests.oracles.natural import natural_gradient
from tests.oracles.random_designs import make_design, shapes

PATHS = ["numpy", "compiled dense", "compiled sparse head"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Force each way the second level can be factored, whatever the size of the problem."""
    return force(request.param, monkeypatch)


def force(name, monkeypatch):
    if name != "numpy":
        monkeypatch.setattr(coupling, "TWIN_LIMIT", 0.0)
        monkeypatch.setattr(coupling, "TWIN_NUMBERS", 0.0)
    if name == "compiled sparse head":
        monkeypatch.setattr(coupling, "SMALL", 0)
        monkeypatch.setattr(coupling, "DENSE_SHARE", 2.0)
        monkeypatch.setattr(coupling, "choose_split", lambda counts: int(0.6 * len(counts)))
    return name


def theta_at(seed, r, kind):
    theta = np.random.default_rng(seed).normal(size=r)
    if kind == "one zero":
        theta[seed % r] = 0.0
    elif kind == "all zero":
        theta[:] = 0.0
    return theta


def numerical_gradient(f, x, step=1e-3):
    """Eighth-order central differences: truncation of order step^8, rounding of order 1e-13 / step."""
    weights = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
    out = np.zeros(len(x))
    for m in range(len(x)):
        e = np.zeros(len(x))
        e[m] = step
        out[m] = sum(w * (f(x + (j + 1) * e) - f(x - (j + 1) * e)) for j, w in enumerate(weights)) / step
    return out


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000), shapes=shapes, REML=st.booleans(),
    kind=st.sampled_from(["random", "one zero", "all zero"]),
)  # fmt: skip
def test_criterion_and_gradient_equal_dense_V(name, seed, shapes, REML, kind):
    with pytest.MonkeyPatch.context() as monkeypatch:
        force(name, monkeypatch)
        design = make_design(seed, shapes)
        problem = build_problem(design, REML)
        theta = theta_at(seed, problem.n_parameters, kind)
        result = evaluate(problem, problem.parameters(theta))
    # the profiled criterion sums n = 50 terms of order 10: 1e-10 is rounding
    assert result.criterion == pytest.approx(dense_lmm.criterion(design, theta, REML), abs=1e-10, rel=1e-12)
    expected = numerical_gradient(lambda t: dense_lmm.criterion(design, t, REML), theta)
    gradient = natural_gradient(design, problem, theta, result)
    # relative to the largest slope; where all are zero, to the rounding of the differences (1e-13 / 1e-3)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * max(1e-3, np.abs(expected).max()))


def test_score_matrix_is_the_derivative_in_theta_squared(path):
    """At theta = 0 the slope in theta vanishes by symmetry; that in theta^2 is Q, on every path."""
    shapes = [(9, 1, True, "g"), (6, 2, False, "h"), (4, 1, True, "k")]
    design = make_design(3, shapes)
    problem = build_problem(design)
    theta = np.array([0.7, 0.0, 0.4, 0.0])
    result = evaluate(problem, problem.parameters(theta))
    assert result.Q is not None
    for m in (1, 3):
        f, a, b = problem.entries[m]
        assert a == b
        e = np.zeros(4)
        e[m] = 1e-3
        at_zero = dense_lmm.criterion(design, theta)
        # f(eps) - f(0) = Q eps^2 + O(eps^4): the remainder is below 1e-4 of Q here
        slope = (dense_lmm.criterion(design, theta + e) - at_zero) / (1e-3 * problem.factors[f].basis[a, a]) ** 2
        assert result.Q[f][a, a] == pytest.approx(slope, rel=2e-3, abs=2e-3)


def test_information_has_the_expectation_of_the_second_derivatives():
    """Known sigma, y drawn from the model at theta: the means of both over data sets agree to Monte Carlo error."""
    design = make_design(11, [(9, 2, True, "g"), (8, 1, True, "h")], n=80, weighted=False, known_sd=True)
    assert design.known_sd is not None
    design.known_sd[:] = 1.0
    theta = np.array([0.8, 0.1, 0.6, 0.7])
    rng = np.random.default_rng(0)
    root = np.hstack([np.eye(80), dense_lmm.dense_Z(design) @ block_factor(design, theta)])
    par = build_problem(design).parameters(theta)
    differences = []
    for _ in range(300):
        design.y[:] = design.offset + root @ rng.normal(size=root.shape[1])
        problem = build_problem(design)
        ends = [evaluate(problem, par + s * e).gradient for e in 1e-5 * np.eye(4) for s in (1, -1)]
        numeric = (np.array(ends[::2]) - np.array(ends[1::2])) / 2e-5
        np.testing.assert_allclose(numeric, numeric.T, rtol=1e-4, atol=1e-4 * np.abs(numeric).max())
        information = evaluate(problem, par).information
        assert information is not None
        differences.append((information - numeric)[np.triu_indices(4)])
    z = np.mean(differences, axis=0) / (np.std(differences, axis=0) / np.sqrt(300))
    # ten entries, correlated: |z| beyond 4 has probability below 1e-3
    assert np.abs(z).max() < 4, z


def block_factor(design, theta):
    """(q, q) block diagonal of the T of each level."""
    from scipy.linalg import block_diag

    factors = dense_lmm.factors_of(design, theta)
    blocks = [np.kron(np.eye(t.n_levels), T) for t, T in zip(design.random, factors, strict=True)]
    return np.asarray(block_diag(*blocks))


def test_paths_agree_to_rounding(monkeypatch):
    design = make_design(5, [(40, 2, True, "g"), (30, 2, True, "h"), (12, 1, True, "k")], n=500)
    theta = np.array([0.5, 0.2, 0.4, 0.3, -0.1, 0.6, 0.8])
    results = []
    for name in PATHS:
        with monkeypatch.context() as patch:
            force(name, patch)
            problem = build_problem(design)
            results.append(evaluate(problem, problem.parameters(theta)))
    for other in results[1:]:
        assert other.criterion == pytest.approx(results[0].criterion, rel=1e-13)
        np.testing.assert_allclose(other.gradient, results[0].gradient, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(other.information, results[0].information, rtol=1e-9, atol=1e-9)


def test_terms_over_one_grouping_are_one_factor():
    split = make_design(2, [(9, 1, True, "g"), (9, 2, False, "g")])
    problem = build_problem(split)
    assert len(problem.factors) == 1
    assert problem.coupling is None
    theta = np.array([0.5, 0.3, 0.8])
    result = evaluate(problem, problem.parameters(theta))
    assert result.criterion == pytest.approx(dense_lmm.criterion(split, theta), rel=1e-12)


def test_known_variances_fix_sigma():
    """y | se(s): V = diag(s^2) + Z D Z', no sigma left to profile."""
    design = make_design(8, [(20, 1, True, "g")], weighted=False, known_sd=True)
    assert design.known_sd is not None
    problem = build_problem(design)
    par = problem.parameters(np.array([0.9]))
    result = evaluate(problem, par)
    Z = dense_lmm.dense_Z(design)
    V = np.diag(design.known_sd**2) + 0.81 * Z @ Z.T
    inverse = np.linalg.inv(V)
    S = design.X.T @ inverse @ design.X
    y = design.y - design.offset
    r = y - design.X @ np.linalg.solve(S, design.X.T @ inverse @ y)
    n, p = design.X.shape
    expected = np.linalg.slogdet(V)[1] + np.linalg.slogdet(S)[1] + r @ inverse @ r + (n - p) * np.log(2 * np.pi)
    assert result.criterion == pytest.approx(expected, rel=1e-12)
    numeric = numerical_gradient(lambda t: evaluate(problem, t, derivatives=False).criterion, par)
    assert result.gradient == pytest.approx(numeric, rel=1e-7)


def test_a_large_mean_costs_no_digits():
    """1e8 added to y is taken out before squares are summed; it costs the digits that y itself has lost."""
    design = make_design(4, [(9, 1, True, "g")], weighted=False)
    shifted = make_design(4, [(9, 1, True, "g")], weighted=False)
    shifted.y[:] += 1e8
    at = [evaluate(build_problem(d), np.array([0.7])).criterion for d in (design, shifted)]
    # y = 1e8 + O(1) keeps 8 decimals, sums of 50 of them 7
    assert at[0] == pytest.approx(at[1], abs=1e-6)


def test_nearly_collinear_X_is_handled_by_its_basis():
    design = make_design(6, [(9, 1, True, "g")], p=3, weighted=False)
    design.X[:, 2] = design.X[:, 1] + 1e-6 * design.X[:, 2]
    theta = np.array([0.7])
    result = evaluate(build_problem(design), theta)
    half = design.X.copy()
    half[:, 2] = (half[:, 2] - half[:, 1]) * 1e6
    better = make_design(6, [(9, 1, True, "g")], p=3, weighted=False)
    better.X[:] = half
    reference = evaluate(build_problem(better), theta).criterion - 2 * np.log(1e6)
    # the condition number of X is 1e7: nine digits are left of sixteen
    assert result.criterion == pytest.approx(reference, abs=1e-6)
