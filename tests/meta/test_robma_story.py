"""The Bayesian half of the vignette on schools in districts, against what was published of the same models.

The published figures are of samplers with bridge sampling: evidences with two decimals, estimates with Monte Carlo
errors of a few thousandths at the ends of intervals.
"""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx import priors as p

ONE = {"effect": [p.normal(0, 1)], "heterogeneity": [p.inv_gamma(1, 0.15)]}


@pytest.fixture(scope="module")
def schools():
    return mx.datasets.load("school_calendars")


@pytest.mark.parametrize(
    ("cluster", "evidence", "published"),
    [
        (None, 17.67, {"mu": (0.126, 0.041, 0.211), "tau": (0.292, 0.233, 0.364)}),
        (
            "district",
            25.70,
            {"mu": (0.181, 0.017, 0.346), "tau": (0.308, 0.223, 0.442), "rho": (0.627, 0.320, 0.864)},
        ),
    ],
)
def test_the_twins_of_both_models(cluster, evidence, published, schools):
    fit = mx.bma(schools, cluster=cluster, measure="SMD", priors=p.robma3(**ONE))
    assert float(fit.log_evidence[0]) == pytest.approx(evidence, abs=0.005)
    for name, wanted in published.items():
        np.testing.assert_allclose(fit.estimates.loc[name, ["mean", "lower", "upper"]], wanted, atol=0.005)


def test_the_effect_depends_on_the_width_of_its_prior(schools):
    """What the page says in words: nobody gets strong evidence, and wide priors get evidence against an effect."""
    table = mx.bma(schools, measure="SMD", cluster="district").sensitivity("effect")
    bf = table[table["component"] == "effect"].set_index("factor")["inclusion_bf"]
    assert list(bf) == sorted(bf, reverse=True)
    assert bf.loc[1.0] == pytest.approx(0.91923, abs=1e-5)
    assert bf.max() < 3
    assert bf.min() > 0.1
    # Savage and Dickey: among models with tau, BF = prior density at 0 over posterior density at 0; wide priors change
    # the latter little, so that the factor is halved where the scale is doubled
    assert bf.loc[4.0] / bf.loc[2.0] == pytest.approx(0.5, abs=0.01)


def test_the_likelihood_of_one_step_wants_weights_above_one(schools):
    """And the mechanism moves the mean from .17 to .53."""
    step = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools).selmodel(steps=(0.025,))
    estimates = step.sensitivity.set_index("mechanism")["estimate"]
    assert float(step.delta[-1]) > 3
    np.testing.assert_allclose(estimates.loc[["conditional", "joint", "best"]], [0.25488, 0.53301, 0.16690], atol=2e-5)


@pytest.mark.slow
def test_the_mechanism_in_the_average(schools):
    """Bayes factors of bias .230 and .209 by importance sampling with errors of evidences up to .02."""
    fit = mx.robma(schools, measure="SMD", cluster="district")
    table = fit.sensitivity([], mechanisms=("conditional", "joint", "best")).set_index(["mechanism", "component"])
    bf = table["inclusion_bf"]
    assert bf.loc[("conditional", "bias")] == pytest.approx(0.230, abs=0.003)
    assert bf.loc[("joint", "bias")] == pytest.approx(0.209, abs=0.003)
    assert bf.loc[("joint", "effect")] == pytest.approx(0.793, abs=0.003)
    assert bf.loc[("best", "bias")] > 1
