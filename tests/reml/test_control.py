"""The options of the optimiser do what they say, and what they cannot be is refused."""

import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import mixedfx as mx
from mixedfx.errors import ConvergenceWarning, ModelError, OptionError
from mixedfx.linalg import threads
from mixedfx.reml.control import OptimiserControl, read_control
from mixedfx.reml.trust_region import minimise

FORMULA = "score ~ style + (1 | professor)"


@pytest.fixture(scope="module")
def course():
    return mx.datasets.load("flipped_classroom", plan="crossed")


@pytest.fixture(scope="module")
def fit(course):
    return mx.lmer(FORMULA, course)


def test_a_smaller_tolerance_comes_nearer_to_the_minimum(course, fit):
    """The gradient at the end falls with the tolerance; the criterion is that of the default within its tolerance."""
    close = mx.lmer(FORMULA, course, control=mx.control(tolerance=1e-13))
    loose = mx.lmer(FORMULA, course, control={"tolerance": 1e-2})
    problem = fit.solution.problem
    gradient = [abs(float(minimise(problem, f.solution.par)[1].steps[0].max_gradient)) for f in (close, fit, loose)]
    assert gradient[0] < 1e-5  # the root of twice the tolerance times a curvature of some hundreds
    assert gradient[0] <= gradient[1] < gradient[2]
    assert fit.criterion - 1e-8 < loose.criterion < fit.criterion + 2e-2
    assert close.criterion == pytest.approx(fit.criterion, abs=2e-9)
    assert loose.optimization.evaluations < fit.optimization.evaluations <= close.optimization.evaluations


def test_giving_up_is_said(course):
    with pytest.warns(ConvergenceWarning, match="after 2 evaluations"):
        fit = mx.lmer(FORMULA, course, control={"max_evaluations": 2})
    assert not fit.converged


def test_it_begins_where_it_is_told(course, fit):
    again = mx.lmer(FORMULA, course, control={"start": fit.theta})
    assert again.optimization.evaluations <= 3
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-8)
    far = mx.lmer(FORMULA, course, control={"start": [5.0]})
    assert far.optimization.steps[0].theta == pytest.approx([5.0])
    assert far.criterion == pytest.approx(fit.criterion, abs=1e-7)
    with pytest.raises(OptionError, match="start= has 2 numbers, and theta has 1"):
        mx.lmer(FORMULA, course, control={"start": [1.0, 1.0]})


def test_an_update_keeps_it(course):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mx.lmer(FORMULA, course, control={"max_evaluations": 2}).update("score ~ 1 + (1 | professor)")
    assert fit.optimization.evaluations <= 2


def test_threads_are_those_that_were_said():
    def used():
        return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    with threads.blas_threads(10, threads=1):
        assert used() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"tolerance": 0.0}, {"tolerance": "small"}, {"tolerance": True}, {"radius": np.inf}, {"max_evaluations": 0},
        {"max_evaluations": 2.5}, {"threads": 0}, {"start": [[1.0]]}, {"start": [np.nan]}, {"tolerence": 1e-3}, 1e-3,
        {"adapt_delta": 0.9}, {"k_hat": 0.8}, {"progress": "yes"},
    ],
)  # fmt: skip
def test_what_is_no_option_is_refused(wrong):
    with pytest.raises(OptionError):
        read_control(wrong)


def test_an_option_that_there_is_not_is_answered_with_those_there_are():
    with pytest.raises(OptionError, match="tolerance"):
        read_control({"tolerence": 1e-3})
    assert read_control(None) == OptimiserControl()
    assert read_control(mx.control(radius=0.5)).radius == 0.5


def test_a_start_at_which_nothing_can_be_evaluated_is_an_error_in_words(course):
    data = course.assign(x=np.random.default_rng(1).normal(size=len(course)))
    with pytest.raises(ModelError, match="cannot be evaluated from start="):
        mx.lmer("score ~ x + (1 + x | professor)", data, control=mx.control(start=[1e9, 1e9, 1e9]))
