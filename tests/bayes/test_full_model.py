"""The full model is sampled by NUTS on the collapsed density, whatever its number of rows, and says how far it is.

How fast, and that it agrees with NUTS on all parameters, is in test_full_model_slow.
"""

import warnings

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.collapsed.engine import sample
from mixedfx.errors import MixedfxWarning
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors import pooled_interactions
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target
from tests.bayes.full_model import CORRELATED, INDEPENDENT, draw_data

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.mark.parametrize(("formula", "coordinates"), [(CORRELATED, 109), (INDEPENDENT, 25)])
def test_the_full_model_runs_and_says_how_far_it_is(formula, coordinates):
    design = mx.design(formula, draw_data(400))
    target = build_target(design, resolve(prior_set(pooled_interactions()), scales_of(design)))
    heard = []
    found = sample(target, 80, 4, 40, np.random.default_rng(1), report=lambda *said: heard.append(said))
    assert target.size == coordinates
    assert found.sampling.reason == f"{coordinates} coordinates, more than 24"
    assert found.sampling.divergences == 0
    assert found.sampling.at_max_treedepth == 0
    assert np.isfinite(found.phi).all()
    assert found.u.shape == (80, 8 * (4 + 5 + 20))
    assert heard[0] == ("searching for modes", 0, 0)
    assert [done for stage, done, total in heard if stage == "NUTS, warm-up"] == list(range(40))
    assert [done for stage, done, total in heard if stage == "NUTS, sampling"] == list(range(40, 60))
    assert heard[-1] == ("drawing the effects", 0, 80)


def test_its_effects_in_subgroups_come_with_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes(INDEPENDENT, draw_data(400), priors=pooled_interactions(), draws=80, chains=2, warmup=40, seed=1)
        effects = mx.effects(fit, "z", by=[["x1"], ["x1", "x2"], ["x3", "x4"]])
    assert len(effects.table) == 2 + 4 + 20
    assert np.isfinite(effects.draws()).all()


def test_the_time_of_an_evaluation_does_not_grow_with_the_rows():
    """All that an evaluation sees of the data are cross-products of the same size."""
    sizes = []
    for n in (400, 6000):
        design = mx.design(CORRELATED, draw_data(n))
        points = build_target(design, resolve(prior_set(None), scales_of(design))).points
        sizes.append((points.ZF.shape, points.products.shape, points.touched.shape))
    assert sizes[0] == sizes[1] == ((20, 8, 25), (81, 81), (20, 25))
