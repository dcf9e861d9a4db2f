"""The optimiser: few evaluations, certified ends, nothing false at the boundary."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from mixedfx.datasets.benchmark_shapes import simulate_subjects_items
from mixedfx.design.build import build_design
from mixedfx.errors import ConvergenceWarning, ModelError
from mixedfx.linalg.trust_region import trust_region_step
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from mixedfx.reml.lmer import lmer
from mixedfx.reml.solve import solve, solve_problem
from mixedfx.reml.starting import RANGE, moment_start
from mixedfx.reml.trust_region import minimise
from mixedfx.results.optimization import Outcome
from tests.oracles import dense_lmm
from tests.oracles.random_designs import make_design, shapes

DATA = Path(__file__).parents[1] / "data"
CLASSICS = {
    "dyestuff": "Yield ~ 1 + (1 | Batch)",
    "dyestuff2": "Yield ~ 1 + (1 | Batch)",
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes": "strength ~ 1 + (1 | batch/cask)",
    "cake": "angle ~ recipe * temperature + (1 | recipe:replicate)",
}

quiet = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@quiet
@pytest.mark.parametrize("name", CLASSICS)
@pytest.mark.parametrize("REML", [True, False])
def test_classics_need_at_most_twelve_evaluations(name, REML):
    fit = lmer(CLASSICS[name], pd.read_csv(DATA / f"{name}.csv"), REML=REML)
    assert fit.optimization.converged
    assert fit.optimization.evaluations <= 12


@quiet
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("singular", [False, True])
def test_twenty_parameters_need_at_most_twenty_five_evaluations(seed, singular):
    data = simulate_subjects_items(singular=singular, seed=seed).data
    formula = "y ~ a * b * c + (1 + a + b + c | subject) + (1 + a + b + c | item)"
    problem = build_problem(build_design(formula, data))
    assert problem.n_parameters == 20
    best, course = minimise(problem, moment_start(problem))
    assert course.converged
    assert course.evaluations <= 25
    # an independent optimiser, started at the answer and with the exact gradient, finds nothing lower
    other = optimize.minimize(
        lambda x: (e := evaluate(problem, x)) and (e.criterion, e.gradient), best.par, jac=True, method="BFGS"
    )
    assert best.criterion <= other.fun + 1e-6


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), shapes=shapes, REML=st.booleans())
def test_no_other_start_finds_a_lower_criterion(seed, shapes, REML):
    design = make_design(seed, shapes)
    problem = build_problem(design, REML)
    best, course = minimise(problem, moment_start(problem))
    rng = np.random.default_rng(seed)
    for _ in range(3):
        other, _ = minimise(problem, rng.normal(size=problem.n_parameters))
        # small random designs can have several local minima; the start by moments is to find the lowest of them
        assert best.criterion <= other.criterion + 1e-6
    assert course.outcome in (Outcome.INTERIOR, Outcome.BOUNDARY)


@quiet
def test_boundary_is_certified_by_the_derivative_in_theta_squared():
    fit = lmer(CLASSICS["dyestuff2"], pd.read_csv(DATA / "dyestuff2.csv"))
    assert fit.optimization.outcome is Outcome.BOUNDARY
    assert fit.theta.iloc[0] == 0.0
    assert fit.optimization.curvature > 0
    # the criterion rises on either side of zero
    assert dense_lmm.criterion(fit.design, [0.05]) > fit.criterion


def test_zero_that_is_no_minimum_is_left():
    """theta = 0 is stationary by symmetry; negative curvature in the information leads away from it."""
    design = build_design(CLASSICS["sleepstudy"], pd.read_csv(DATA / "sleepstudy.csv"))
    solution = solve(design, start=np.zeros(3))
    # lme4 1.1-31: 1743.62827195849
    assert solution.criterion == pytest.approx(1743.62827195849, abs=1e-7)
    assert solution.optimization.outcome is Outcome.INTERIOR


def test_balanced_designs_are_solved_by_their_moments():
    """The analysis of variance solves the REML equations of a balanced design: one evaluation certifies it."""
    for name in ("dyestuff", "penicillin", "pastes", "sleepstudy"):
        design = build_design(CLASSICS[name], pd.read_csv(DATA / f"{name}.csv"))
        assert solve(design).optimization.evaluations == 1


def test_units_do_not_matter():
    data = pd.read_csv(DATA / "sleepstudy.csv")
    fit = lmer(CLASSICS["sleepstudy"], data)
    other = lmer(CLASSICS["sleepstudy"], data.assign(Days=1e4 * data["Days"], Reaction=1e-3 * data["Reaction"]))
    assert other.optimization.evaluations == fit.optimization.evaluations
    np.testing.assert_allclose(other.theta, fit.theta * [1.0, 1e-4, 1e-4], rtol=1e-7)
    assert other.sigma == pytest.approx(1e-3 * fit.sigma, rel=1e-9)


def test_every_step_is_kept():
    fit = lmer(CLASSICS["sleepstudy"], pd.read_csv(DATA / "sleepstudy.csv"))
    course = fit.optimization.to_frame()
    assert list(course.columns) == [
        "theta[0]", "theta[1]", "theta[2]", "criterion", "max_gradient", "radius", "accepted",
    ]  # fmt: skip
    assert course["criterion"].iloc[-1] == fit.criterion
    for _, row in course.iterrows():
        theta = row.iloc[:3].to_numpy(dtype=float)
        assert dense_lmm.criterion(fit.design, theta) == pytest.approx(row["criterion"], rel=1e-10)


def test_exact_fits_are_named():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 6)
    x = rng.normal(size=60)
    with pytest.raises(ModelError, match="fixed part reproduces the response exactly"):
        lmer("y ~ x + (1 | g)", pd.DataFrame({"y": 3 + 2 * x, "x": x, "g": group}))
    with pytest.warns(ConvergenceWarning, match="reproduces the response exactly"):
        fit = lmer("y ~ x + (1 | g)", pd.DataFrame({"y": group**1.5, "x": x, "g": group}))
    assert fit.optimization.outcome is Outcome.EXACT


def test_rounding_of_many_columns_is_no_variance():
    """It grows as columns do: 1.5e-26 of y'y was left by 1,501 columns of text that said the response."""
    rng = np.random.default_rng(0)
    code = np.arange(600) % 200
    frame = pd.DataFrame({"y": rng.normal(size=200)[code], "x": [f"t{c}" for c in code], "g": rng.integers(0, 8, 600)})
    design = build_design("y ~ x + (1 | g)", frame)
    problem = build_problem(design)
    ww = problem.ww.copy()
    ww[-1, -1] = 5e-26 * float(design.y @ design.y)
    with pytest.raises(ModelError, match="fixed part reproduces the response exactly"):
        solve_problem(design, dataclasses.replace(problem, ww=ww))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), r=st.integers(1, 5), radius=st.floats(0.01, 100.0), definite=st.booleans())
def test_trust_region_step_is_the_minimum_in_the_ball(seed, r, radius, definite):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(r, r))
    H = root @ root.T if definite else root + root.T
    g = rng.normal(size=r)
    step, decrease = trust_region_step(g, H, radius)
    assert np.linalg.norm(step) <= radius * (1 + 1e-9)
    model = g @ step + 0.5 * step @ H @ step
    assert decrease == pytest.approx(-model, rel=1e-9, abs=1e-12)
    points = rng.normal(size=(2000, r))
    points *= (radius * rng.random(2000) ** (1 / r) / np.linalg.norm(points, axis=1))[:, None]
    values = points @ g + 0.5 * np.einsum("ni,ij,nj->n", points, H, points)
    assert model <= values.min() + 1e-9 * max(1.0, abs(model))


@quiet
def test_a_term_within_the_span_of_the_fixed_effects_does_not_stop_the_start():
    """With a mean for each level in X, the moments of (1 | g) are zero but for rounding; it starts at the lower end."""
    rng = np.random.default_rng(7)
    g, h = np.repeat(np.arange(8), 20), np.tile(np.arange(20), 8)
    x = rng.normal(size=160)
    data = pd.DataFrame({"y": x + rng.normal(size=160) + rng.normal(size=20)[h], "x": x, "g": g.astype(str), "h": h})
    problem = build_problem(build_design("y ~ g * x + (1 + x | g) + (1 | h)", data))
    start = dict(zip(problem.entries, moment_start(problem), strict=True))
    small = {(f, a, b): value for (f, a, b), value in start.items() if problem.factors[f].k == 2 and a == b}
    assert list(small.values()) == [RANGE[0], RANGE[0]]
    best, _ = minimise(problem, moment_start(problem))
    assert np.isfinite(best.criterion)


def _nested_estimates(rng, schools):
    district = np.repeat(np.arange(len(schools)), schools)
    k = len(district)
    v = rng.uniform(0.005, 0.05, k)
    y = rng.normal(0, 0.3, len(schools))[district] + rng.normal(0, 0.2, k) + rng.normal(0, np.sqrt(v))
    return pd.DataFrame({"y": y, "se": np.sqrt(v), "district": district, "school": np.arange(k)})


def test_with_a_known_sigma_a_balanced_design_starts_at_its_estimate():
    """Equal known variances, districts of one size: the moments are the analysis of variance, and so is REML."""
    data = _nested_estimates(np.random.default_rng(3), [5] * 12).assign(se=0.1)
    fit = lmer("y | se(se) ~ 1 + (1 | district) + (1 | school)", data)
    assert fit.converged
    assert fit.optimization.evaluations == 1
    assert min(fit.varcorr["sdcor"]) > 0.05  # inside, or the start would not be the estimate


@quiet
@pytest.mark.parametrize("seed", range(6))
def test_few_estimates_of_known_variance_converge_superlinearly(seed):
    """Fifty estimates: the information alone gains less than a digit a step, and took up to 12 evaluations."""
    rng = np.random.default_rng(seed)
    data = _nested_estimates(rng, rng.integers(2, 9, 11))
    course = lmer("y | se(se) ~ 1 + (1 | district) + (1 | school)", data).optimization
    assert course.outcome is Outcome.INTERIOR
    assert course.evaluations <= 9
    slopes = [step.max_gradient for step in course.steps if step.accepted]
    assert slopes[-1] < 1e-3 * slopes[-3]
