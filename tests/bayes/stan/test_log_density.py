"""The log density of generated programs is that of the model: every family x structure x prior, and what goes beside.

Stan's number at random points, with the real compiler and no sampling, against `tests.oracles.stan_model`, which knows
the model and not the program. Sampling statements drop constants, so differences between points are compared. Both
sides add some hundred terms of double precision: 1e-8 leaves five digits for rounding and none for a mistake.
"""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.design.build import build_design
from mixedfx.families.registry import FAMILIES, family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from tests.bayes.stan.models import DATA, NAMED, PRIORS, RESPONSE, STRUCTURES, modelled, plain, priors_of
from tests.oracles import stan_model

STANLI = stan_engines()["stanli"]
WITH_SIGMA = {name for name, known in FAMILIES.items() if "sigma" in known.auxiliary}


def differences(design, family, resolved, centred=False, points=2, seed=1, prior_only=False, at_means=True, **options):
    """Differences of the log density between points, (points - 1,): by Stan, and by the oracle."""
    shape = model_shape(design, family, resolved, centred=centred, **options)
    text, data = program_text(shape), program_data(design, family, resolved, shape, prior_only=prior_only)
    model = plain(design, family, resolved, centred, at_means)
    rng = np.random.default_rng(seed)
    values = [stan_model.random_point(model, rng) for _ in range(points)]
    found = STANLI.log_density(text, data, np.array([STANLI.unconstrain(text, data, point) for point in values]))
    known = np.array([stan_model.log_density(model, point, prior_only=prior_only) for point in values])
    assert np.isfinite(known).all(), "a point outside the support says nothing"
    return np.diff(found), np.diff(known)


def agree(*model, **options):
    found, known = differences(*model, **options)
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-8)
    assert (abs(known) > 1e-3).all(), "the points do not differ"


def test_the_tables_name_every_family():
    assert set(RESPONSE) == set(FAMILIES)


def agree_under(priors, name, structure):
    """Non-centred; centred where that is another program: the effects then do not hang on their scales."""
    for prior in priors:
        model = modelled(name, STRUCTURES[structure], priors_of(prior, structure))
        if not model[0].random and set(PRIORS[prior]) == {"sd"}:
            continue  # there is nothing for it to say
        agree(*model)
        if model[0].random and prior in ("normal", "r2d2 on both"):
            agree(*model, centred=True)


def third_of(priors, name, structure):
    """A third of the sets: over all cells each family meets each set, and so does each structure."""
    shift = list(FAMILIES).index(name) + list(STRUCTURES).index(structure)
    return [prior for p, prior in enumerate(priors) if (p + shift) % 3 == 0]


def test_thirds_leave_no_pair_out():
    cells = {(name, structure): third_of(PRIORS, name, structure) for name in FAMILIES for structure in STRUCTURES}
    for pairs, whole in ((0, FAMILIES), (1, STRUCTURES)):
        met = {(cell[pairs], prior) for cell, priors in cells.items() for prior in priors}
        assert met == {(one, prior) for one in whole for prior in PRIORS}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_structure_and_prior(name, structure):
    """Each pair of family, structure and set of priors; every three of them is the slow test below."""
    agree_under(third_of(PRIORS, name, structure), name, structure)


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_three_of_family_structure_and_prior(name, structure):
    agree_under(PRIORS, name, structure)


@pytest.mark.parametrize("structure", NAMED)
@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "categorical"])
def test_named_structures_and_related_levels(name, structure):
    """Under priors of every kind that they can have; centred and not."""
    for prior in ("normal", "student_t", "decov", "flat", "default"):
        model = modelled(name, NAMED[structure], PRIORS.get(prior, prior))
        agree(*model)
        agree(*model, centred=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_link(name):
    """With an offset, which keeps the linear predictor above zero where the link needs that."""
    for link in FAMILIES[name].links:
        offset = (
            "four" if link in ("inverse", "sqrt") or name in ("poisson", "gamma", "negbinomial", "nbinom1") else "s"
        )
        for right in ("x + w", STRUCTURES["correlated slopes"]):
            agree(*modelled(family(name, link), right, "default", offset=offset if link != "log" else "s"))


@pytest.mark.parametrize("right", ["1", "1 + (1 | g)", "0 + x", "0 + x + (1 | g)", "offset(s) + (1 | g)"])
@pytest.mark.parametrize("name", FAMILIES)
def test_formulas_without_intercept_or_predictors(name, right):
    if name == "cumulative" and right.startswith("0"):
        with pytest.raises(mx.errors.FormulaError, match="thresholds"):
            modelled(name, right, "default")
        return
    agree(*modelled(name, right, "default"))


@pytest.mark.parametrize("right", ["x + w", STRUCTURES["two crossed"]])
@pytest.mark.parametrize("name", ["gaussian", "student"])
def test_weights_and_known_standard_deviations(name, right):
    for prior in ("default", PRIORS["r2d2 on both"], PRIORS["horseshoe"]):
        agree(*modelled(name, right, prior, weights="s"))
        agree(*modelled(name, right, prior, left="real | se(s)"))
        agree(*modelled(family(name, "log"), right, prior, left="real | se(s)", offset="s"))


@pytest.mark.parametrize("prior", ["rstanarm", "brms", mx.priors.pooled_interactions()])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_named_sets_of_priors(name, prior):
    """Those of rstanarm and brms have the priors of varying intercepts where the covariates are zero."""
    agree(*modelled(name, "x * w + (1 + x | g) + (1 | h)", prior), at_means=prior not in ("rstanarm", "brms"))


@pytest.mark.parametrize("prior", ["default", "rstanarm", "brms"])
@pytest.mark.parametrize("shift", [5.0, -2017.0])
def test_covariates_far_from_zero(shift, prior):
    """The default's effects are at the means, and see nothing of the shift; the oracle knows from its data alone. Those
    of named sets are at zero, where the sums are of numbers as large as the square of the shift: eight digits less
    those of the square."""
    far = DATA.assign(x=DATA["x"] + shift)
    for name in ("gaussian", "bernoulli") if prior == "default" else ("gaussian",):
        design = build_design(f"{RESPONSE[name]} ~ x + w + (1 + w + x | g) + (1 + x || h)", far, family=family(name))
        model = (design, family(name), resolve(prior_set(prior), scales_of(design, family(name))))
        found, known = differences(*model, at_means=prior == "default")
        np.testing.assert_allclose(found, known, rtol=1e-12, atol=1e-8 + 1e-12 * shift**2)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_likelihood_can_be_left_out(name):
    agree(*modelled(name, STRUCTURES["correlated slopes"], "default"), prior_only=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_slices_for_threads_add_up_to_the_same(name):
    for right in ("x + w", STRUCTURES["two crossed"]):
        agree(*modelled(name, right, "default"), threads=2)


def test_decov_uses_sigma_where_there_is_one():
    """Doubling sigma at the same tau doubles the standard deviations of families with sigma and leaves the others."""
    for name in FAMILIES:
        design, known, resolved = modelled(name, STRUCTURES["one scalar"], PRIORS["decov"])
        model = plain(design, known, resolved)
        point = stan_model.random_point(model, np.random.default_rng(3))
        if name == "categorical":
            point = {key: value[0] for key, value in point.items()}
        sd = stan_model.standard_deviations(model, 0, point, np.zeros(0), 0)[0]
        np.testing.assert_allclose(sd, point["tau_1"] * (point["sigma"] if name in WITH_SIGMA else 1.0))


def test_a_wrong_program_is_noticed():
    """The comparison sees a standard deviation that is off by one part in a million."""
    design, known, resolved = modelled("poisson", STRUCTURES["one scalar"], "default")
    shape = model_shape(design, known, resolved)
    text, data = program_text(shape), program_data(design, known, resolved, shape)
    wrong = text.replace("sd_1 * std_u_1", "sd_1 * 1.000001 * std_u_1")
    assert wrong != text
    model, rng = plain(design, known, resolved), np.random.default_rng(1)
    values = [stan_model.random_point(model, rng) for _ in range(3)]
    at = np.array([STANLI.unconstrain(text, data, point) for point in values])
    exact = [stan_model.log_density(model, point) for point in values]
    assert abs(np.diff(STANLI.log_density(wrong, data, at) - exact)).max() > 1e-7


def test_data_frames_hold_what_the_models_need():
    assert {"x", "w", "g", "h", "s", "m", "four"} <= set(DATA)
