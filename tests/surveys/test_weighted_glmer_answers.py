"""Effects and draws of weighted generalised fits: every family, and the same after a file."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError, QuadratureWarning
from mixedfx.linalg.roots import symmetric_root
from mixedfx.surveys.call import FAMILIES
from tests.surveys.samples import pupils
from tests.surveys.test_weighted_glmer import RESPONSE, W, responses


@pytest.fixture(scope="module")
def data():
    return responses(pupils(seed=9, schools=12, size=8))


@pytest.mark.filterwarnings("ignore::mixedfx.errors.NoOverdispersionWarning")  # of the normal responses to a t
@pytest.mark.parametrize("family", FAMILIES)
def test_effects_over_the_population_are_those_of_predictions(data, family):
    """Draws of 11 degrees of freedom about estimates: their mean differs by curvature, less than half a deviation."""
    fit = mx.glmer(f"{RESPONSE[family]} ~ x + (1 | school)", data, family, nAGQ=7, sampling_weights=W)
    low, high = (fit.predict(data.assign(x=data["x"] + step), groups="integrate").mean() for step in (0.0, 1.0))
    for groups in ("integrate", "fitted"):
        found = mx.effects(fit, {"x": "per unit"}, groups=groups).table.iloc[0]
        assert 0 < found["sd"] < 2 * abs(found["estimate"])
        if groups == "integrate":
            assert found["estimate"] == pytest.approx(high - low, abs=0.5 * found["sd"])
    assert mx.answers(fit, "x") is not None
    draws = fit.draws(2)
    for name, value in fit.auxiliary.items():
        np.testing.assert_array_equal(draws[(name,)], np.full((1, 2), value))


def test_joint_samples_have_the_covariance_of_the_fit(data):
    """20,000 draws: standard deviations are known to 1 %, a t of 11 degrees of freedom to a little less."""
    fit = mx.glmer("g ~ x + (1 | school)", data, "gamma", nAGQ=7, sampling_weights=W)
    sample = fit.joint_sample(20_000, seed=1)
    scale = np.sqrt(fit.df / (fit.df - 2))
    np.testing.assert_allclose(sample.beta.std(axis=0), scale * np.sqrt(np.diag(fit.vcov)), rtol=0.05)
    rows = fit.design_for()
    eta = sample.beta @ rows.fixed.T + (rows.random @ sample.u.T).T
    np.testing.assert_allclose(eta.std(axis=0), scale * fit.apply(rows).sd, rtol=0.05)


def test_pooled_fits_of_shapes_answer(data):
    more = data.assign(PV1=data["g"], PV2=data["g"] * np.exp(0.1 * np.sin(data["x"] * 9)))
    fit = mx.glmer("[PV1:PV2] ~ x + (1 | school)", more, "gamma", nAGQ=7, sampling_weights=W)
    found = mx.effects(fit, {"x": "per unit"}, groups="integrate").table["estimate"].iloc[0]
    each = [mx.effects(one, {"x": "per unit"}, groups="integrate").table["estimate"].iloc[0] for one in fit.fits]
    assert found == pytest.approx(np.mean(each), abs=1e-10)


def test_roots_do_not_turn_on_rounding():
    """Eigenvalues that agree, and one of zero, a rounding error apart: roots differ by no more than its root allows."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    V = turn @ np.diag([2.0, 2.0, 1.0, 0.0]) @ turn.T
    noise = 1e-16 * rng.normal(size=(4, 4))
    root = symmetric_root(V)
    np.testing.assert_allclose(root @ root, V, atol=1e-14)
    np.testing.assert_allclose(symmetric_root(V + noise + noise.T), root, atol=1e-14)


@pytest.mark.parametrize(("formula", "family"), [("b ~ x + sex + (1 | school)", "bernoulli"),
                                                 ("c ~ x + (1 + x | school)", "negbinomial")])  # fmt: skip
def test_effects_are_the_same_after_a_file(data, tmp_path, formula, family):
    fit = mx.glmer(formula, data, family, nAGQ=5, sampling_weights=W)
    back = mx.load(fit.save(tmp_path / "fit.mfx"))
    for groups in ("fitted", "average", "integrate"):
        before, after = (mx.effects(one, "x", groups=groups).table for one in (fit, back))
        numbers = before.select_dtypes("number").columns
        np.testing.assert_allclose(after[numbers], before[numbers], rtol=0, atol=1e-9)
    np.testing.assert_allclose(back.draws(50, 1).array, fit.draws(50, 1).array, rtol=0, atol=1e-9)


@pytest.mark.parametrize("unit", [200.0, 0.001])
def test_nodes_do_not_depend_on_the_unit_of_the_weights(unit):
    """Few pupils, all or none of whom pass: one number of nodes is too few, another is enough, whatever a weight is."""
    rng = np.random.default_rng(4)
    school = np.repeat(np.arange(40), 3)
    frame = pd.DataFrame({"school": school.astype(str), "x": rng.normal(size=120)})
    frame["b"] = (8 * rng.normal(size=40)[school] + frame["x"] + rng.logistic(size=120) > 0).astype(int)
    w = rng.uniform(1, 3, 40)[school]

    def fitted(factor, nAGQ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            weights = mx.sampling_weights(school=factor * w)
            fit = mx.glmer("b ~ x + (1 | school)", frame, "bernoulli", nAGQ=nAGQ, sampling_weights=weights)
        return fit, [str(one.message) for one in caught if issubclass(one.category, QuadratureWarning)]

    for nAGQ in (3, "auto"):
        (one, heard), (other, also) = fitted(1.0, nAGQ), fitted(unit, nAGQ)
        assert other.nAGQ == one.nAGQ
        assert one.nAGQ == 3 or one.nAGQ > 11
        assert also == heard
        assert len(heard) == (nAGQ == 3)
        assert other.solution.change == pytest.approx(one.solution.change, rel=1e-3)


def test_no_rows_are_not_weights_of_zero(data):
    for ask in (mx.lmer, partial(mx.glmer, family="bernoulli")):
        with pytest.raises(DataError, match="the data have no rows"):
            ask("b ~ x + (1 | school)", data.iloc[:0], sampling_weights=W)


@pytest.mark.parametrize("kind", ["response", "pearson"])
def test_residuals_of_linear_and_generalised_fits_are_the_same(data, kind):
    """Normal responses are fitted alike by closed form and by quadrature, to the optimiser's tolerance."""
    weighted = data.assign(precision=1.0 + np.arange(len(data)) % 3)
    arguments = {"weights": "precision", "sampling_weights": W}
    linear = mx.lmer("y ~ x + (1 | school)", weighted, **arguments).residuals(kind)
    general = mx.glmer("y ~ x + (1 | school)", weighted, "gaussian", **arguments).residuals(kind)
    np.testing.assert_allclose(linear, general, atol=1e-4)
    assert linear.index.equals(general.index)
    with pytest.raises(OptionError, match="kind"):
        mx.lmer("y ~ x", weighted, sampling_weights={"row": "w_pupil"}).residuals("deviance")


def test_summaries_without_random_terms_do_not_speak_of_units(data):
    for ask, formula in ((mx.lmer, "y ~ x"), (partial(mx.glmer, family="bernoulli"), "b ~ x")):
        without = str(ask(formula, data, sampling_weights={"row": "w_pupil"}).summary())
        assert "row 'w_pupil': as they are\n" in without
        assert "unit above" not in without
        assert "scaled within" not in without
        within = str(ask(f"{formula} + (1 | school)", data, sampling_weights=W).summary())
        assert "overall, made conditional on the unit above; scaled within units" in " ".join(within.split())
