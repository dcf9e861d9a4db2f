"""What is solved by iteration equals what is factored; over all signs, so do traces and determinants."""

import itertools

import numpy as np
import pytest

from mixedfx.errors import IterativeSolverError
from mixedfx.pls import incidence
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.factorization import Factorization
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.iterative_joint import IterativeJoint
from mixedfx.pls.iterative_problem import build_iterative
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import build_problem
from mixedfx.pls.stochastic import evaluate_by_probes, with_criterion
from tests.oracles.random_designs import make_design

TINY = {  # so few effects that all combinations of their signs can be taken
    "two crossed": [(5, 1, True, "g"), (4, 1, True, "h")],
    "three crossed": [(4, 1, True, "g"), (3, 1, True, "h"), (3, 1, True, "k")],
    "slopes in the second": [(4, 1, True, "g"), (3, 2, True, "h")],
    "slopes in both": [(3, 2, True, "g"), (2, 2, False, "h")],
    "two terms of a factor": [(4, 1, True, "g"), (2, 1, True, "h"), (2, 1, True, "h")],
}


@pytest.fixture(params=["numpy", "compiled"])
def path(request, monkeypatch):
    if request.param == "compiled":
        monkeypatch.setattr(incidence, "FEW_ROWS", 0)
    return request.param


def all_signs(self, begin, end):
    """Every combination of signs, in the place of probes."""
    few = self.known.columns
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=self.incidence.size))).T
    every[few] = 0.0
    return every


def theta_at(r, kind, seed=0):
    theta = 0.3 + np.abs(np.random.default_rng(seed).normal(size=r))
    if kind == "one zero":
        theta[-1] = 0.0
    elif kind == "all zero":
        theta[:] = 0.0
    return theta


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("shape", TINY)
def test_products_and_solves_equal_those_of_the_factor(shape, weights, path):
    design = make_design(1, TINY[shape], n=40, weighted=weights)
    direct, other = build_problem(design), build_iterative(design)
    par = direct.parameters(theta_at(direct.n_parameters, "random"))
    exact, found = Factorization(direct, direct.matrices(par)), IterativeFactorization(other, other.matrices(par))
    rng = np.random.default_rng(2)
    b = rng.normal(size=(*other.zw1.shape[:2], 3)), rng.normal(size=(len(other.zw2), 3))
    order = direct.coupling.positions, other.coupling.positions

    def to_direct(pair):
        second = np.empty_like(pair[1])
        for one, two in zip(*order, strict=True):
            second[one] = pair[1][two]
        return pair[0], second

    np.testing.assert_allclose(other.zw1, direct.zw1, atol=1e-12)
    np.testing.assert_allclose(to_direct((other.zw1, other.zw2))[1], direct.zw2, atol=1e-12)
    for verb in ("gram", "solve", "scale", "scale_transposed"):
        for mine, theirs in zip(to_direct(getattr(found, verb)(b)), getattr(exact, verb)(to_direct(b)), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-9)  # the tolerance of the solves is 1e-10


@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("kind", ["random", "one zero", "all zero"])
@pytest.mark.parametrize("shape", TINY)
@pytest.mark.parametrize("few", [0, 3])
def test_over_all_signs_score_information_and_criterion_are_exact(shape, kind, REML, few, path, monkeypatch):
    """The mean over every combination of signs has no Monte Carlo error: what is left is that of the solves."""
    monkeypatch.setattr(IterativeFactorization, "signs", all_signs)
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", few)
    for name in ("PROBE", "QUADRATURE"):
        monkeypatch.setattr(f"mixedfx.pls.iterative.{name}", 1e-12)
    design = make_design(3, TINY[shape], n=40)
    direct, other = build_problem(design, REML), build_iterative(design, REML)
    par = direct.parameters(theta_at(direct.n_parameters, kind, 4))
    exact = evaluate(direct, par)
    monkeypatch.setattr("mixedfx.pls.iterative.BATCH", 10**6)
    count = 2**other.coupling.size
    found = evaluate_by_probes(other, par, count)
    found = with_criterion(found, found.factorization.log_determinants(0, count))
    assert found.criterion == pytest.approx(exact.criterion, abs=1e-6)
    size = max(1.0, np.abs(exact.information).max())
    np.testing.assert_allclose(found.gradient, exact.gradient, atol=1e-6 * size)
    np.testing.assert_allclose(found.information, exact.information, atol=1e-6 * size)
    assert found.sigma2 == pytest.approx(exact.sigma2, rel=1e-10)
    np.testing.assert_allclose(found.gamma, exact.gamma, atol=1e-9)


def test_probes_are_the_same_in_every_run_and_every_model_that_has_the_factor(monkeypatch):
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 0)
    small, large = [(9, 1, True, "g"), (7, 1, True, "h")], [(9, 1, True, "g"), (7, 1, True, "h"), (5, 1, True, "k")]
    one, two = build_iterative(make_design(5, small)), build_iterative(make_design(5, large))
    first = IterativeFactorization(one, [np.eye(1)] * 2).signs(0, 4)
    again = IterativeFactorization(one, [np.eye(1)] * 2).signs(2, 4)
    np.testing.assert_array_equal(first[:, 2:], again)  # more probes leave those before as they are
    other = IterativeFactorization(two, [np.eye(1)] * 3).signs(0, 4)
    np.testing.assert_array_equal(first, other[:7])


def test_the_spread_of_probes_is_the_error_of_their_mean(monkeypatch):
    """3,200 probes: their mean against the exact sums, and means of 8 spread as independent ones do."""
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 0)
    design = make_design(6, [(60, 1, True, "g"), (50, 1, True, "h")], n=400)
    direct, other = build_problem(design), build_iterative(design)
    par = direct.parameters(theta_at(direct.n_parameters, "random"))
    at = IterativeFactorization(other, other.matrices(par))
    whole = at.traces(0, 3_200)
    ZVZT, _ = Factorization(direct, direct.matrices(par)).score_sums()
    for f, wanted in enumerate(ZVZT):
        own = whole.scaled[f][:, 0, 0]
        assert abs(own.mean() - wanted[0, 0]) < 3.5 * own.std() / np.sqrt(len(own))
        # sd of the ratio about sqrt(2 / 400) = .07, and more by the tails of squares of signs
        assert own.reshape(400, 8).mean(axis=1).var() * 8 / own.var() == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("shape", ["two crossed", "slopes in the second", "slopes in both"])
def test_covariances_of_estimates_equal_those_of_the_factor(shape, path):
    design = make_design(7, TINY[shape], n=40)
    direct, other = build_problem(design), build_iterative(design)
    par = direct.parameters(theta_at(direct.n_parameters, "random"))
    exact = Joint(design, direct, evaluate(direct, par))
    found = IterativeJoint(design, other, evaluate_by_probes(other, par, 4))
    from mixedfx.design.rows import functional_for

    rows = functional_for(design, None, "error")
    close = {"rtol": 1e-7, "atol": 1e-8}
    np.testing.assert_allclose(found.beta, exact.beta, **close)
    np.testing.assert_allclose(found.u, exact.u, **close)
    np.testing.assert_allclose(found.vcov, exact.vcov, **close)
    fixed, random = rows.fixed, rows.random
    np.testing.assert_allclose(found.covariance(fixed, random), exact.covariance(fixed, random), **close)
    np.testing.assert_allclose(found.variances(fixed, random), exact.variances(fixed, random), **close)
    for t in range(len(design.random)):
        np.testing.assert_allclose(found.conditional_covariances(t), exact.conditional_covariances(t), **close)
    k = design.random[0].n_columns
    columns = np.arange(design.random[0].n_levels * k).reshape(-1, k)
    for mine, theirs in zip(found.group_covariances(columns), exact.group_covariances(columns), strict=True):
        np.testing.assert_allclose(mine, theirs, **close)


def test_draws_have_the_covariance_of_the_estimates(path):
    """20,000 draws: variances to 4 standard errors of their own, 4 sqrt(2 / 20,000) = 4 %."""
    design = make_design(8, TINY["slopes in the second"], n=40)
    other = build_iterative(design)
    par = other.parameters(theta_at(other.n_parameters, "random"))
    joint = IterativeJoint(design, other, evaluate_by_probes(other, par, 4))
    from mixedfx.design.rows import functional_for

    rows = functional_for(design, None, "error")
    beta, u = joint.draw(20_000, np.random.default_rng(9))
    drawn = beta @ rows.fixed.T + (rows.random @ u.T).T
    np.testing.assert_allclose(drawn.var(axis=0), joint.variances(rows.fixed, rows.random), rtol=0.045)


def test_what_needs_a_factor_says_so_and_names_the_way_out():
    other = build_iterative(make_design(1, TINY["two crossed"]))
    at = IterativeFactorization(other, [np.eye(1)] * 2)
    for ask in (
        at.inverse_blocks, at.score_sums, lambda: at.second, lambda: at.logdet, lambda: other.coupling.cross,
        lambda: at.half_solve((other.zw1, other.zw2)),
    ):  # fmt: skip
        with pytest.raises(IterativeSolverError, match='solver": "direct"'):
            ask()
    with pytest.raises(IterativeSolverError, match="single grouping factor"):
        build_iterative(make_design(1, [(5, 1, True, "g")]))


def test_noise_stays_bounded_where_a_covariance_loses_a_direction(monkeypatch):
    """The score's noise at a standard deviation near zero is that of a larger one: nothing is divided by it."""
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 0)
    design = make_design(11, [(100, 1, True, "g"), (40, 2, True, "h")], n=900)
    other = build_iterative(design)
    spread = []
    for smallest in (0.1, 2e-3, 2e-4, 0.0):  # the last two are divided by nothing
        T = [np.array([[0.7]]), np.array([[0.6, 0.0], [0.2, smallest]])]
        at = IterativeFactorization(other, T)
        scaled, plain = (part[1] for part in (at.traces(0, 64).scaled, at.traces(0, 64).plain))
        np.testing.assert_allclose(scaled, plain @ T[1], atol=1e-9 * np.abs(scaled).max())
        np.testing.assert_allclose(plain, plain.transpose(0, 2, 1), atol=1e-9 * np.abs(plain).max())
        spread.append(scaled[:, [0, 1], 0].std(axis=0))
    assert (np.array(spread[1:]) < 4.0 * spread[0]).all()  # 50 times it, if they were
