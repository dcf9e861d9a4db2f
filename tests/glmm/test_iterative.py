"""Generalised linear mixed models by iteration: exact over all signs, and the direct engine's within their error."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import IterativeSolverError, MemoryForecastError, MonteCarloError, SingularFitWarning
from mixedfx.families.registry import family
from mixedfx.glmm import engine
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.iterative_model import build_iterative_model, bytes_of_a_row
from mixedfx.glmm.laplace import pieces
from mixedfx.glmm.model import build_model
from mixedfx.glmm.solve import starting_point
from mixedfx.glmm.stochastic import evaluate_by_probes, with_criterion
from mixedfx.inference import common_probes
from mixedfx.pls import incidence
from mixedfx.pls.choice import choose, forecast
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.reweighted import Pull
from tests.glmm.data import five_point

ITERATIVE = {"solver": "iterative"}
TIGHT = 1e-22  # decrement at which modes are exact
TINY = {  # so few effects that all combinations of their signs can be taken
    "two crossed": ("b ~ x + (1 | g) + (1 | h)", "bernoulli", None),
    "three crossed": ("b ~ x + (1 | g) + (1 | h) + (1 | k)", "bernoulli", "probit"),
    "slopes in both": ("c ~ x + (1 + x | g) + (1 + x | k)", "poisson", None),
    "slopes in the second": ("c ~ x + (1 | g) + (1 + x | h)", "negbinomial", None),
    "two terms of a factor": ("c ~ x + (1 + x || g) + (1 | h)", "poisson", "sqrt"),
    "an ordered response": ("o ~ x + (1 | g) + (1 | h)", "cumulative", None),
}


@pytest.fixture(autouse=True, scope="module")
def few_levels_are_few():
    """Factors of these tests have so few levels that all would be exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 40)
        yield


def crossed(n, levels, seed):
    """Rows of crossed groups: yes or no, counts, and an ordered response."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.integers(0, q, n) for name, q in levels.items()})
    x = rng.normal(size=n)
    u = {name: rng.normal(size=(2, q)) for name, q in levels.items()}
    eta = 0.3 + 0.5 * x + 0.8 * u["g"][0][frame.g] + 0.6 * u["h"][0][frame.h]
    steep = 0.4 + 0.3 * x + 0.5 * u["g"][0][frame.g] + 0.25 * x * u["g"][1][frame.g] + 0.4 * u["h"][0][frame.h]
    return frame.assign(
        x=x, b=(rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int), c=rng.poisson(np.exp(steep)),
        o=pd.Categorical(np.digitize(eta + rng.logistic(size=n), [-1.0, 1.0]), ordered=True),
    )  # fmt: skip


# --- exact over all signs ---------------------------------------------------------------------------------------------
@pytest.fixture(params=["numpy", "compiled"])
def path(request, monkeypatch):
    if request.param == "compiled":
        monkeypatch.setattr(incidence, "FEW_ROWS", 0)


@pytest.fixture
def all_signs(monkeypatch):
    """Every combination of signs in the place of probes, solved for to the last digits."""

    def every(self, begin, end):
        signs = np.array(list(itertools.product([-1.0, 1.0], repeat=self.incidence.size))).T.copy()
        signs[self.known.columns] = 0.0
        return signs

    monkeypatch.setattr(IterativeFactorization, "signs", every)
    monkeypatch.setattr("mixedfx.pls.iterative.BATCH", 10**6)
    for name in ("iterative.PROBE", "iterative.QUADRATURE", "reweighted.MOVES", "reweighted.STEP"):
        monkeypatch.setattr(f"mixedfx.pls.{name}", 1e-12)


def both_models(shape):
    formula, name, link = TINY[shape]
    kind = family(name, link)
    data = crossed(60, {"g": 6, "h": 4, "k": 3}, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = build_design(formula, data, family=kind)
    return build_model(design, kind), build_iterative_model(design, kind)


def somewhere(model, zero):
    psi, (p, r, _) = starting_point(model), model.sizes
    psi += 0.1 * np.random.default_rng(1).normal(size=len(psi))
    if zero:
        psi[p + r - 1] = 0.0
    return psi


@pytest.mark.parametrize(("few", "zero"), [(0, False), (0, True), (4, False)])
@pytest.mark.parametrize("shape", TINY)
def test_over_all_signs_criterion_gradient_and_leverages_are_exact(shape, few, zero, path, all_signs, monkeypatch):
    """The mean over every combination of signs has no Monte Carlo error: what is left is that of the solves."""
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", few)
    direct, other = both_models(shape)
    psi, count = somewhere(direct, zero), 2**other.problem.coupling.size
    exact = evaluate(direct, psi, decrement=TIGHT)
    found = evaluate_by_probes(other, psi, count, decrement=TIGHT)
    found = with_criterion(found, found.factorization.log_determinants(0, count))
    size = max(1.0, np.abs(exact.average).max())
    assert found.criterion == pytest.approx(exact.criterion, abs=1e-7)
    np.testing.assert_allclose(found.gradient, exact.gradient, atol=1e-7 * size)
    np.testing.assert_allclose(found.average, exact.average, atol=1e-7 * size)
    none = Pull(np.zeros(60), other.Q[:, :0], other.zero(0), np.zeros((0, 60)))
    leverages = np.empty(60)
    leverages[direct.rows.order] = pieces(direct, exact.mode, direct.split(psi)[1]).leverages
    own = found.factorization.probed(0, count, none).leverages
    np.testing.assert_allclose(own, leverages[other.rows.order], atol=1e-9)


@pytest.mark.parametrize("shape", ["two crossed", "slopes in both"])
def test_over_all_signs_the_gradient_is_that_of_differences(shape, all_signs, monkeypatch):
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 0)
    _, model = both_models(shape)
    psi, count = somewhere(model, False), 2**model.problem.coupling.size
    at = evaluate_by_probes(model, psi, count, decrement=TIGHT)

    def criterion(there):
        found = evaluate_by_probes(model, there, count, at.mode.v, decrement=TIGHT)
        return found.known + found.factorization.log_determinants(0, count).mean()

    found = five_point(criterion, psi, 1e-3)
    np.testing.assert_allclose(at.gradient, found, atol=1e-6 * max(1.0, np.abs(found).max()))


def test_the_spread_of_probes_is_the_error_of_their_mean(monkeypatch):
    """1,600 probes: the mean gradient against the exact one, within 3.5 standard errors."""
    monkeypatch.setattr("mixedfx.pls.iterative.FEW_OF_FEW", 0)
    kind = family("bernoulli")
    design = build_design("b ~ x + (1 | g) + (1 | h)", crossed(400, {"g": 60, "h": 50, "k": 2}, 6), family=kind)
    direct, other = build_model(design, kind), build_iterative_model(design, kind)
    psi = somewhere(direct, False)
    exact, found = evaluate(direct, psi, decrement=TIGHT), evaluate_by_probes(other, psi, 1600, decrement=TIGHT)
    errors = np.sqrt(np.diag(found.noise))
    assert (np.abs(found.gradient - exact.gradient) < 3.5 * errors).all()
    fewer = evaluate_by_probes(other, psi, 100, decrement=TIGHT)  # sd of a ratio of such variances about .15
    np.testing.assert_allclose(np.diag(fewer.noise) / np.diag(found.noise), 16.0, rtol=0.5)


# --- fits -------------------------------------------------------------------------------------------------------------
FITS = {
    "bernoulli": ("b ~ x + (1 | g) + (1 | h)", "bernoulli"),
    "poisson with a slope": ("c ~ x + (1 + x | g) + (1 | h)", "poisson"),
    "negative binomial": ("c ~ x + (1 | g) + (1 | h) + (1 | k)", "negbinomial"),
}


@pytest.fixture(scope="module")
def data():
    return crossed(5_000, {"g": 300, "h": 200, "k": 50}, 3)


@pytest.fixture(scope="module")
def pairs(data, few_levels_are_few):
    """Each model by both solvers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: [mx.glmer(formula, data, kind, control=control) for control in (None, ITERATIVE)]
            for name, (formula, kind) in FITS.items()
        }


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs["bernoulli"]


@pytest.mark.parametrize("name", FITS)
def test_estimates_agree_with_the_direct_engine(name, pairs):
    """Within 3 Monte Carlo errors and 5 % of a standard error; the search ends within .1 % of one of its zero."""
    direct, found = pairs[name]
    table = found.monte_carlo
    own, exact = (
        np.concatenate(
            [fit.varcorr[fit.varcorr["var2"].isna()]["sdcor"], fit.fixef, fit.auxiliary]
        ) for fit in (found, direct)
    )  # fmt: skip
    off = np.abs(own - exact)
    assert table["share"].max() <= 0.02
    assert (off <= 0.05 * table["std_error"]).all()
    assert (off <= 3.0 * table["monte_carlo_error"] + 0.001 * table["std_error"]).all()
    assert found.criterion == pytest.approx(
        direct.criterion, abs=4.0 * found.solution.monte_carlo.criterion_error + 1e-3
    )
    # scores whose differences the second derivatives are have the error of 16 probes
    np.testing.assert_allclose(np.sqrt(np.diag(found.vcov_full)), np.sqrt(np.diag(direct.vcov_full)), rtol=0.005)
    assert found.converged
    assert found.optimization.evaluations <= direct.optimization.evaluations + 3


def test_the_same_fit_twice_is_the_same_to_the_last_bit(data, pair):
    again = mx.glmer(*FITS["bernoulli"][:1], data, "bernoulli", control=ITERATIVE)
    assert again.criterion == pair[1].criterion
    assert (again.solution.psi == pair[1].solution.psi).all()


def test_compiled_passes_and_threads_change_nothing_but_rounding(data, pairs, monkeypatch):
    monkeypatch.setattr(incidence, "FEW_ROWS", 100)
    monkeypatch.setattr(incidence, "MANY_ROWS", 100)
    for name in ("bernoulli", "poisson with a slope"):
        found = []
        for cores in (1, 2):
            monkeypatch.setattr(incidence, "free_cores", lambda cores=cores: cores)
            found.append(mx.glmer(FITS[name][0], data, FITS[name][1], control=ITERATIVE))
        assert found[0].criterion == found[1].criterion
        np.testing.assert_array_equal(found[0].theta, found[1].theta)
        np.testing.assert_allclose(found[0].theta, pairs[name][1].theta, rtol=1e-6)


def test_a_smaller_error_takes_more_probes_and_is_met(data, pair):
    less = pair[1].monte_carlo["share"].max() / 2
    fine = mx.glmer("b ~ x + (1 | g) + (1 | h)", data, "bernoulli", control=ITERATIVE | {"monte_carlo": less})
    assert fine.monte_carlo["share"].max() <= less
    assert fine.solution.monte_carlo.probes > pair[1].solution.monte_carlo.probes


def test_a_variance_of_zero_is_found_and_said():
    rng = np.random.default_rng(0)
    data = crossed(2_000, {"g": 120, "h": 80, "k": 60}, 4).assign(flat=rng.integers(0, 2, 2_000))
    with pytest.warns(SingularFitWarning):
        direct = mx.glmer("flat ~ x + (1 | g) + (1 | k)", data, "bernoulli")
    with pytest.warns(SingularFitWarning):
        found = mx.glmer("flat ~ x + (1 | g) + (1 | k)", data, "bernoulli", control=ITERATIVE)
    assert found.singular
    assert found.converged
    np.testing.assert_allclose(found.varcorr["sdcor"], direct.varcorr["sdcor"], atol=0.005)
    assert found.criterion == pytest.approx(direct.criterion, abs=0.01)


def test_summary_says_engine_probes_and_errors(pair):
    text = " ".join(str(pair[1].summary()).split())
    assert f"iterative, {pair[1].solution.monte_carlo.probes} probes; Monte Carlo errors: estimates at most" in text
    assert "iterative" not in str(pair[0].summary())
    assert pair[0].monte_carlo is None
    assert set(pair[1].monte_carlo["grp"]) == {"g", "h", "(fixed)"}


def test_tables_predictions_and_effects_are_those_of_the_direct_fit(data, pair):
    direct, found = pair
    given = direct.with_uncertainty("given theta")
    for group in ("g", "h"):
        np.testing.assert_allclose(found.ranef[group], direct.ranef[group], atol=0.001)
        np.testing.assert_allclose(found.ranef_sd[group], direct.ranef_sd[group], rtol=0.002)
    new = data.head(20)
    np.testing.assert_allclose(found.predict(new), direct.predict(new), atol=1e-3)
    np.testing.assert_allclose(found.predict(new, se=True)["se"], given.predict(new, se=True)["se"], rtol=0.005)
    one, two = (fit.predict(new.head(3), groups="integrate", se=True) for fit in (given, found))
    np.testing.assert_allclose(two["estimate"], one["estimate"], atol=1e-3)
    np.testing.assert_allclose(two["se"], one["se"], rtol=0.2)  # from 1,000 other draws: 10 % is four errors
    assert found.simulate(2, seed=1).shape == (len(data), 2)
    rows = found.design_for(new)
    np.testing.assert_allclose(found.apply(rows).cov, direct.apply(rows).cov, rtol=0.01, atol=1e-4)
    np.testing.assert_allclose(found.fitted, direct.fitted, atol=1e-3)
    np.testing.assert_allclose(found.anova()["chisq"], direct.anova()["chisq"], rtol=0.01)
    assert mx.emmeans(found, "x").table["emmean"].iloc[0] == pytest.approx(0.35, abs=0.5)
    frame = data.head(800).assign(treated=lambda rows: (rows.k < 25).astype(int))
    formula = "b ~ treated + x + (1 + treated | g) + (1 | h)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = mx.effects(mx.glmer(formula, frame, "bernoulli"), "treated", by="h", uncertainty="given theta")
        two = mx.effects(mx.glmer(formula, frame, "bernoulli", control=ITERATIVE), "treated", by="h")
    np.testing.assert_allclose(two.table["estimate"], one.table["estimate"], atol=0.01)
    np.testing.assert_allclose(two.table["sd"], one.table["sd"], rtol=0.15)  # both from draws
    assert "iterative" in two.uncertainty


def test_likelihood_ratios_share_their_probes(data, pair, monkeypatch):
    small, large = "b ~ 1 + (1 | g) + (1 | h)", pair[1]
    exact = mx.anova(mx.glmer(small, data, "bernoulli"), pair[0])["chisq"].iloc[1]
    fits = [mx.glmer(small, data, "bernoulli", control=ITERATIVE), large]
    assert mx.anova(*fits)["chisq"].iloc[1] == pytest.approx(exact, abs=0.4)  # four errors of .1
    monkeypatch.setattr(common_probes, "NEEDED", 1e-9)
    with pytest.raises(MonteCarloError, match="is known to"):
        mx.anova(*fits)


def test_what_needs_a_factor_says_so_and_what_is_not_taken_too(data, pair):
    found = pair[1]
    for ask in (
        lambda: found.profile("x"), lambda: found.bootstrap(3, seed=1), lambda: found.refit(data.b.to_numpy()),
        lambda: found.refits(found.simulate(2, seed=1)), lambda: found.drop1(), lambda: found.ranova(),
        lambda: found.vcov_robust(), lambda: found.influence(), lambda: found.check(), found.uncertain.told_nodes,
    ):  # fmt: skip
        with pytest.raises(IterativeSolverError, match='solver": "direct"'):
            ask()
    small = data.head(300)
    for formula, kind, more, why in (
        ("b ~ x + (1 | g)", "bernoulli", {}, "single grouping factor"),
        ("b ~ x", "bernoulli", {}, "without random effects"),
        ("b ~ x + (1 | g) + (1 | h)", "bernoulli", {"nAGQ": 5}, "nAGQ=5"),
        ("b ~ x + (1 | g) + (1 | h)", "bernoulli", {"priors": "default"}, "priors"),
        ("b ~ x + (1 | g) + (1 | h)", "bernoulli", {"link": "cauchit"}, "not concave"),
        ("c ~ x + (1 | g) + (1 | h)", "nbinom1", {}, "not concave"),
        ("c ~ x + (1 | g) + (1 | h)", "poisson", {"zi": "~ 1"}, "two linear predictors"),
    ):
        with pytest.raises(IterativeSolverError, match=why):
            mx.glmer(formula, small, kind, control=ITERATIVE, **more)


def test_a_saved_fit_is_read_as_it_was(pair, tmp_path):
    again = mx.load(pair[1].save(tmp_path / "fit.mfx"))
    assert again.criterion == pytest.approx(pair[1].criterion, rel=1e-9)
    np.testing.assert_allclose(again.fixef, pair[1].fixef, rtol=1e-8)
    pd.testing.assert_frame_equal(again.monte_carlo, pair[1].monte_carlo, rtol=1e-3)
    assert again.update(". ~ .").monte_carlo is not None


def test_a_large_model_is_iterated_before_anything_is_planned(monkeypatch):
    """40,000 x 40,000 levels in 480,000 rows: a factor of 23 GB, where iteration takes .3."""
    rng = np.random.default_rng(0)
    a, b = np.repeat(np.arange(40_000), 12), rng.integers(0, 40_000, 480_000)
    frame = pd.DataFrame({"a": a, "b": b, "y": rng.integers(0, 2, len(a))})
    design = build_design("y ~ 1 + (1 | a) + (1 | b)", frame, family=family("bernoulli"))
    said = forecast(design, bytes_of_a_row(design))
    assert said.direct > 20_000
    assert 100 < said.iterative < 500
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * 2**30))
    chosen = []
    monkeypatch.setattr("mixedfx.glmm.iterative_solution.solve_by_probes", lambda *given: chosen.append(given))
    control = engine.GlmmControl()
    engine.solve_chosen(design, family("bernoulli"), 1, control)
    assert len(chosen) == 1
    for kind, nAGQ in ((family("bernoulli", "cauchit"), 1), (family("bernoulli"), 3)):
        with pytest.raises(MemoryForecastError):  # not taken by iteration
            engine.solve_chosen(design, kind, nAGQ, control)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * 2**20))
    with pytest.raises(MemoryForecastError):
        choose(design, "auto", bytes_of_a_row(design))


def test_progress_shows_the_standard_deviations_so_far(data, capsys):
    mx.glmer("b ~ x + (1 | g) + (1 | h)", data.head(1_000), "bernoulli", control=ITERATIVE | {"progress": True})
    said = capsys.readouterr()
    assert "g 0." in said.out + said.err
