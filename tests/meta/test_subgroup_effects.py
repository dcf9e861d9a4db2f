"""Models of reported subgroup effects: evidence against brute force, joint answers, the same `Effects` as of a fit."""

import itertools
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import mixedfx as mx
from mixedfx.errors import DataError, EffectsError, ImproperPosteriorError, OptionError, PriorScaleWarning
from mixedfx.meta.subgroups.models import MODELS, code_levels
from mixedfx.meta.subgroups.scale_integral import integrate_scales
from mixedfx.results.protocol import Fit

FOREST = pd.DataFrame(
    {
        "sex": ["f", "f", "f", "m", "m"],
        "age": ["young", "middle", "old", "young", "old"],
        "n": [410, 300, 380, 260, 150],
        "yi": [0.42, 0.35, 0.18, 0.05, -0.22],
        "sei": [0.12, 0.15, 0.13, 0.16, 0.21],
    }
)
Y, SE = FOREST["yi"].to_numpy(), FOREST["sei"].to_numpy()
# Errors of overlapping subgroups.
CORRELATED = np.outer(SE, SE) * (0.3 + 0.7 * np.eye(5))


def analyse(data=FOREST, by=("sex", "age"), **options):
    return mx.subgroup_effects(data, list(by), **options)


def same_level(column):
    """(G, G) prior correlations of a main effect of L levels at distance 1 from each other: (1[l = m] - 1/L) / 2."""
    values = FOREST[column].to_numpy()
    return (values[:, None] == values) / 2 - 1 / (2 * len(set(values)))


ONES = np.ones((5, 5))
MAIN = same_level("sex") + same_level("age")
BOTH = same_level("sex") * same_level("age")


def covariance(model, *scales, overall=1.0, stratum=1.0, coef=0.5):
    """Prior covariance of the five effects, written without any design matrix."""
    return {
        "homogeneous": lambda: overall**2 * ONES,
        "stratified": lambda: stratum**2 * np.eye(5),
        "regression": lambda: overall**2 * ONES + coef**2 * MAIN,
        "shrinkage": lambda s: overall**2 * ONES + s**2 * np.eye(5),
        "regression_shrinkage": lambda s: overall**2 * ONES + coef**2 * MAIN + s**2 * np.eye(5),
        "dixon_simon": lambda s: overall**2 * ONES + s**2 * MAIN,
        "extended_dixon_simon": lambda s, t: overall**2 * ONES + s**2 * MAIN + t**2 * BOTH,
    }[model](*scales)


HALF_NORMAL = stats.halfnorm(scale=0.5)


def brute_force(model, V, prior=HALF_NORMAL, **sds):
    """Log evidence, and mean and sd of the first effect: dense normal densities, trapezoids over logs of the scales.

    The integrand is analytic within pi / 4 of the real axis: the rule errs by exp(-2 pi (pi / 4) / step), 1e-15; below
    exp(-22) lies a share of some 1e-9.
    """
    step = 0.14
    s = np.exp(np.arange(-22.0, 22.0, step))
    s = s[prior.sf(s) > 1e-18]
    grids = np.meshgrid(*[s] * len(MODELS_WITH_SCALES.get(model, ())), indexing="ij")
    weight = np.prod([prior.pdf(s) * s * step for s in (grid.ravel() for grid in grids)], axis=0)
    K = covariance(model, *(grid.reshape(-1, 1, 1) for grid in grids), **sds).reshape(-1, 5, 5)
    gain = np.linalg.solve(V + K, np.concatenate([np.broadcast_to(Y[:, None], (len(K), 5, 1)), K], axis=2))
    _, logdet = np.linalg.slogdet(V + K)
    density = weight * np.exp(-0.5 * (gain[:, :, 0] @ Y + logdet + 5 * np.log(2 * np.pi)))
    mean = np.einsum("ni,ni->n", K[:, 0], gain[:, :, 0])
    second = mean**2 + K[:, 0, 0] - np.einsum("ni,ni->n", K[:, 0], gain[:, :, 1])
    evidence = density.sum()
    first = (density @ mean) / evidence
    return np.log(evidence), first, np.sqrt((density @ second) / evidence - first**2)


MODELS_WITH_SCALES = {
    "shrinkage": ("subgroups",),
    "regression_shrinkage": ("subgroups",),
    "dixon_simon": ("order 1",),
    "extended_dixon_simon": ("order 1", "order 2"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("errors", ["independent", "correlated"])
def test_evidence_and_effects_are_those_of_brute_force(model, errors):
    """The issue asks for 1e-4."""
    V = np.diag(SE**2) if errors == "independent" else CORRELATED
    data = FOREST.drop(columns="sei") if errors == "correlated" else FOREST
    found = analyse(data, models=[model], V=V if errors == "correlated" else None)
    evidence, mean, sd = brute_force(model, V)
    row = found.models.iloc[0]
    assert row["log_evidence"] == pytest.approx(evidence, abs=1e-7)
    assert row["error"] < 1e-8
    assert row["posterior"] == 1.0
    first = found.effects().table.iloc[0]
    assert first["estimate"] == pytest.approx(mean, abs=1e-6)
    assert first["sd"] == pytest.approx(sd, abs=1e-6)


@pytest.mark.parametrize(
    ("prior", "density"),
    [
        (mx.priors.half_cauchy(0.3), stats.halfcauchy(scale=0.3)),
        (mx.priors.exponential(4.0), stats.expon(scale=0.25)),
        (mx.priors.inv_gamma(1.0, 0.15), stats.invgamma(1.0, scale=0.15)),
        (mx.priors.gamma(2.0, 5.0), stats.gamma(2.0, scale=0.2)),
    ],
)
def test_any_proper_prior_of_a_scale(prior, density):
    found = analyse(models=["shrinkage"], priors={"sd": prior})
    assert found.models["log_evidence"].item() == pytest.approx(
        brute_force("shrinkage", np.diag(SE**2), density)[0], abs=1e-7
    )


def test_priors_and_units_go_where_they_belong():
    priors = {"overall": mx.priors.normal(0, 0.7), "coef": mx.priors.normal(0, 0.2), "stratum": mx.priors.normal(0, 2)}
    found = analyse(models=["stratified", "regression"], priors=priors)
    sds = {"overall": 0.7, "coef": 0.2, "stratum": 2.0}
    wanted = [brute_force(model, np.diag(SE**2), **sds)[0] for model in found.names]
    np.testing.assert_allclose(found.models["log_evidence"], wanted, atol=1e-12)
    # an order of its own
    one = analyse(models=["extended_dixon_simon"], priors={("sd", "order 2"): mx.priors.half_normal(1e-6)})
    two = analyse(models=["dixon_simon"])
    assert one.models["log_evidence"].item() == pytest.approx(two.models["log_evidence"].item(), abs=1e-8)


def test_three_scales_at_once_against_a_fine_grid():
    """A product of trapezoidal rules in the logarithm, written with dense covariances."""
    cells = list(itertools.product("ab", "cd", "ef"))
    rng = np.random.default_rng(3)
    data = pd.DataFrame(cells, columns=["x", "y", "z"]).assign(yi=rng.normal(0.1, 0.3, 8), sei=rng.uniform(0.1, 0.2, 8))
    found = mx.subgroup_effects(data, ["x", "y", "z"], models=["extended_dixon_simon"])
    k = {c: (data[c].to_numpy()[:, None] == data[c].to_numpy()) / 2 - 0.25 for c in "xyz"}
    orders = [k["x"] + k["y"] + k["z"], k["x"] * k["y"] + k["x"] * k["z"] + k["y"] * k["z"], k["x"] * k["y"] * k["z"]]
    t = np.linspace(-14, 1.6, 53)
    s, step = np.exp(t), t[1] - t[0]
    weight = stats.halfnorm(scale=0.5).pdf(s) * s * step
    total = 0.0
    for i, a in enumerate(s):
        K = np.ones((8, 8)) + np.diag(data["sei"] ** 2) + a**2 * orders[0]
        both = K + s[:, None, None, None] ** 2 * orders[1] + s[None, :, None, None] ** 2 * orders[2]
        _, logdet = np.linalg.slogdet(both)
        y = np.broadcast_to(data["yi"].to_numpy()[:, None], (len(s), len(s), 8, 1))
        square = (y * np.linalg.solve(both, y)).sum(axis=(-1, -2))
        total += weight[i] * weight @ np.exp(-0.5 * (square + logdet + 8 * np.log(2 * np.pi))) @ weight
    # the grid leaves out what lies below exp(-14), a share of some 1e-6
    assert found.models["log_evidence"].item() == pytest.approx(np.log(total), abs=5e-6)
    assert found.models["error"].item() < 1e-6


def test_narrow_and_wide_scales_are_found():
    """Errors a thousandth of the unit, and a thousand times it: the quadrature is over log(1 + omega / error)."""
    for factor in (1e-3, 1e3):
        y, se = factor * Y, factor * SE

        t = np.linspace(-40, 3, 2001)
        K = np.diag(se**2) + ONES + np.exp(2 * t)[:, None, None] * np.eye(5)
        square = np.linalg.solve(K, np.broadcast_to(y[:, None], (len(t), 5, 1)))[:, :, 0] @ y
        logs = -0.5 * (square + np.linalg.slogdet(K)[1] + 5 * np.log(2 * np.pi))
        logs += stats.halfnorm.logpdf(np.exp(t), scale=0.5) + t
        wanted = np.log(integrate.trapezoid(np.exp(logs), t))
        with_unit = {"unit": 1.0}
        data = FOREST.assign(yi=y, sei=se)
        if factor > 1:
            with pytest.warns(PriorScaleWarning):
                found = analyse(data, models=["shrinkage"], **with_unit)
        else:
            found = analyse(data, models=["shrinkage"], **with_unit)
        assert found.models["log_evidence"].item() == pytest.approx(wanted, abs=1e-6)


def test_integral_of_a_sharp_likelihood():
    """(1 + 4)^(-1/2) by hand, and a likelihood that decides the scale to 2 %."""
    found = integrate_scales(lambda s: -0.5 * s[:, 0] ** 2, [mx.priors.half_normal(2.0)], 0.1)
    assert found.log_integral == pytest.approx(-0.5 * np.log(5), abs=1e-12)
    median = stats.halfnorm.ppf(0.5, scale=2 / 5**0.5)
    np.testing.assert_allclose(found.quantiles(0, np.array([0.5])), median, rtol=1e-3)
    exponential = mx.priors.exponential(1.0)
    sharp = integrate_scales(lambda s: stats.norm.logpdf(np.log(s[:, 0] + 1e-300), 0.0, 0.02), [exponential], 0.1)
    assert sharp.log_integral == pytest.approx(-1.0, abs=1e-3)
    assert sharp.weights @ sharp.scales[:, 0] == pytest.approx(1.0, abs=1e-3)


def test_levels_of_a_factor_are_at_distance_one():
    for L in (2, 3, 6):
        rows = code_levels(L, "symmetric")
        gaps = np.linalg.norm(rows[:, None] - rows, axis=2)
        np.testing.assert_allclose(gaps, 1 - np.eye(L), atol=1e-14)
        np.testing.assert_allclose(rows.sum(axis=0), 0.0, atol=1e-14)
    assert code_levels(3, "treatment").tolist() == [[0, 0], [1, 0], [0, 1]]


def test_weights_of_models():
    found = analyse()
    table = found.models
    assert tuple(table["model"]) == tuple(name for name, kind in MODELS.items() if kind.jones)
    assert table["prior"].sum() == pytest.approx(1.0)
    posterior = np.exp(table["log_evidence"] - table["log_evidence"].max())
    np.testing.assert_allclose(table["posterior"], posterior / posterior.sum(), rtol=1e-12)
    weights = dict(zip(found.names, [1, 2, 3, 1, 1, 2], strict=True))
    other = analyse(prior_weights=weights).models
    np.testing.assert_allclose(other["prior"], np.array([1, 2, 3, 1, 1, 2]) / 10)
    ratio = other["posterior"] / table["posterior"] / np.array([1, 2, 3, 1, 1, 2])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
    odds = table["posterior"] / (1 - table["posterior"]) * 5
    np.testing.assert_allclose(table["inclusion_bf"], odds, rtol=1e-10)


def test_the_average_is_the_mixture_of_the_models():
    found = analyse()
    table = found.table
    weights = found.models.set_index("model")["posterior"]
    wide = table.pivot_table(index=["sex", "age"], columns="model", values="estimate", sort=False)
    np.testing.assert_allclose(wide[list(weights.index)] @ weights, wide["averaged"], atol=1e-12)
    above = table.pivot_table(index=["sex", "age"], columns="model", values="prob_above_null", sort=False)
    np.testing.assert_allclose(above[list(weights.index)] @ weights, above["averaged"], atol=1e-12)


def test_draws_contrasts_and_exact_answers_are_of_one_joint_distribution():
    """200,000 draws against exact numbers, within five Monte Carlo standard errors."""
    eff = analyse(n="n").effects()
    draws = eff.draws(200_000, seed=1)
    contrast = eff.contrast(("f", "young"), ("m", "old"))
    np.testing.assert_allclose(contrast.draws(200_000, seed=1)[:, 0], draws[:, 0] - draws[:, 4], atol=1e-12)
    row, gap = contrast.table.iloc[0], draws[:, 0] - draws[:, 4]
    mc = gap.std() / np.sqrt(len(gap))
    assert row["estimate"] == pytest.approx(gap.mean(), abs=5 * mc)
    assert row["sd"] == pytest.approx(gap.std(), rel=0.01)
    assert contrast.prob(greater=0)["prob"].item() == pytest.approx((gap > 0).mean(), abs=5 * 0.5 / np.sqrt(len(gap)))
    assert contrast.prob(less=0)["prob"].item() == pytest.approx((gap < 0).mean(), abs=5 * 0.5 / np.sqrt(len(gap)))
    for q, end in ((0.025, "lower"), (0.975, "upper")):
        assert (gap < row[end]).mean() <= q + 0.002
        assert (gap <= row[end]).mean() >= q - 0.002
    assert row["lower"] == 0.0  # the end lies in the point mass of no subgroup effect
    np.testing.assert_allclose(np.cov(draws.T), eff.fit.linear(np.eye(5)).cov, atol=3e-4)
    # draws of columns by themselves, which one package takes, have another difference: it is no wider for nothing
    rng = np.random.default_rng(2)
    apart = rng.permutation(draws[:, 0]) - rng.permutation(draws[:, 1])
    assert apart.std() > 1.15 * eff.contrast(("f", "young"), ("f", "middle")).table["sd"].item()


def test_no_subgroup_effect_is_a_point_mass_in_every_difference():
    found = analyse()
    eff = found.effects()
    share = found.models["posterior"].iloc[0]
    contrast = eff.contrast(("f", "young"), ("m", "old"))
    rest = 1 - contrast.prob(greater=0)["prob"].item() - contrast.prob(less=0)["prob"].item()
    assert rest == pytest.approx(share, abs=1e-12)
    complement = eff.contrast(against="complement").table
    below = eff.contrast(against="complement").prob(less=0)["prob"]
    np.testing.assert_allclose(complement["prob_above_null"] + below, 1 - share, atol=1e-12)
    assert any("exactly zero" in note for note in eff.notes)
    draws = contrast.draws(20_000, seed=4)
    assert np.mean(draws == 0) == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 20_000))
    # of additive models no interaction is left
    additive = analyse(models=["regression"]).effects().interaction_excess()
    np.testing.assert_array_equal(analyse(models=["homogeneous"]).effects().interaction_excess().table["sd"], 0.0)
    assert additive.table["sd"].max() < 1e-7


def test_ranks_heterogeneity_and_decisions_are_answered_as_of_a_fit():
    eff = analyse(n="n").effects(seed=3)
    ranks = eff.rank()
    draws = eff.draws()
    best = draws == draws.max(axis=1, keepdims=True)
    np.testing.assert_allclose(ranks["prob_best"], (best / best.sum(axis=1, keepdims=True)).mean(axis=0), atol=1e-12)
    assert ranks["prob_best"].sum() == pytest.approx(1.0)
    assert eff.heterogeneity()["component"].tolist() == ["between subgroups", "sex", "age", "interaction"]
    decision = eff.decide(cost=0.2)
    assert decision.table["weight"].tolist() == FOREST["n"].tolist()
    gain = draws @ FOREST["n"].to_numpy() - 0.2 * FOREST["n"].sum()
    assert decision.policies.set_index("policy").loc["all", "gain"] == pytest.approx(gain.mean(), abs=1e-9)
    with pytest.raises(EffectsError, match="add up"):
        analyse(comparison="lnratio").effects().decide()


def test_shrinkage_is_from_the_reported_estimates():
    table = analyse(n="n").effects().shrinkage()
    np.testing.assert_allclose(table["raw"], Y)
    np.testing.assert_allclose(table["raw_se"], SE)
    by_sex = analyse(n="n").effects(by="sex").shrinkage()
    share = FOREST["n"].where(FOREST["sex"] == "m", 0) / FOREST.loc[FOREST["sex"] == "m", "n"].sum()
    assert by_sex["raw"].iloc[1] == pytest.approx(share @ Y)
    assert by_sex["raw_se"].iloc[1] == pytest.approx(np.sqrt(share**2 @ SE**2))


def test_unions_of_subgroups_and_other_populations():
    found = analyse(n="n")
    cells = found.effects().table.set_index(["sex", "age"])["estimate"]
    women = found.effects(by="sex").table.iloc[0]
    n = FOREST["n"].to_numpy()
    assert women["estimate"] == pytest.approx(cells.to_numpy()[:3] @ n[:3] / n[:3].sum())
    assert women["n"] == n[:3].sum()
    named = found.effects(subgroups={"old": "age == 'old'", "women": "sex == 'f'"}, weights=[1, 1, 1, 1, 3])
    assert named.table["estimate"].iloc[0] == pytest.approx((cells.to_numpy()[2] + 3 * cells.to_numpy()[4]) / 4)
    assert named.overlap is not None
    # a series goes by its index, as everywhere
    labelled = FOREST.set_axis(list("vwxyz"))
    census = pd.Series([3.0, 1, 1, 1, 1], index=list("zyxwv"))
    other = analyse(labelled, n="n").effects(subgroups={"old": "age == 'old'"}, weights=census)
    assert other.table["estimate"].item() == pytest.approx(named.table["estimate"].iloc[0])
    unweighted = analyse().effects(by="sex")
    assert any("counts once" in note for note in unweighted.notes)
    assert unweighted.table["estimate"].iloc[0] != pytest.approx(women["estimate"], abs=1e-4)


@cache
def every_model():
    """The analysis by all models, and its effects."""
    found = analyse(models="all")
    return found.models, found.effects().table


@settings(max_examples=12, deadline=None)
@given(
    st.permutations(range(5)),
    st.floats(0.01, 100.0),
    st.sampled_from([{}, {"f": "zz", "m": "aa"}]),
)
def test_order_names_and_units_of_the_table_do_not_matter(order, factor, names):
    models, effects = every_model()
    data = FOREST.iloc[list(order)].assign(
        yi=lambda d: factor * d["yi"], sei=lambda d: factor * d["sei"], sex=lambda d: d["sex"].replace(names)
    )
    found = analyse(data, models="all", unit=factor)
    # of five estimates in another unit
    np.testing.assert_allclose(found.models["log_evidence"] + 5 * np.log(factor), models["log_evidence"], atol=1e-8)
    mine, theirs = found.effects().table, effects
    np.testing.assert_allclose(mine["estimate"] / factor, theirs["estimate"].to_numpy()[list(order)], atol=1e-8)


def test_with_treatment_coding_the_first_level_is_a_part_of_the_prior():
    base = analyse(coding="treatment", models=["extended_dixon_simon", "shrinkage"]).models
    other = analyse(
        FOREST.assign(sex=pd.Categorical(FOREST["sex"], ["m", "f"])),
        coding="treatment",
        models=["extended_dixon_simon", "shrinkage"],
    ).models
    gap = (base["log_evidence"] - other["log_evidence"]).abs()
    assert gap[0] > 0.01
    assert gap[1] < 1e-12
    # of one factor with two levels, symmetric: the prior of their mean is narrower than that of the second level
    two = FOREST.iloc[[0, 3]]
    coded = {c: mx.subgroup_effects(two, "sex", models=["regression"], coding=c) for c in ("symmetric", "treatment")}
    V = np.diag(two["sei"] ** 2)
    for coding, K in (
        ("symmetric", np.ones((2, 2)) + 0.25 * np.array([[0.25, -0.25], [-0.25, 0.25]])),
        ("treatment", np.ones((2, 2)) + 0.25 * np.array([[0.0, 0.0], [0.0, 1.0]])),
    ):
        wanted = stats.multivariate_normal.logpdf(two["yi"], np.zeros(2), V + K)
        assert coded[coding].models["log_evidence"].item() == pytest.approx(wanted, abs=1e-12)


def test_information_unit():
    found = analyse(n="n", unit="information")
    assert found.unit == pytest.approx(np.sqrt(FOREST["n"].sum() / (SE**-2.0).sum()))
    assert found.priors.overall.scale == pytest.approx(found.unit)
    assert any("one person" in note for note in found.notes)


def test_one_covariate_has_no_products():
    data = FOREST.iloc[:3]
    found = mx.subgroup_effects(data, "age")
    assert "extended_dixon_simon" not in found.names
    assert any("extended_dixon_simon is left out" in note for note in found.notes)
    with pytest.raises(OptionError, match="without products"):
        mx.subgroup_effects(data, "age", models=["extended_dixon_simon"])


def test_pages_and_pictures():
    found = analyse(n="n", treatment={"drug": ["placebo", "active"]}, response="blood pressure")
    text = str(found)
    assert "Subgroup effects of drug on blood pressure: 6 models" in text
    assert "half_normal(0.5)" in text
    eff = found.effects()
    assert eff.table["contrast"].iloc[0] == "active - placebo"
    for kind in ("forest", "ridges", "pooling", "funnel", "ranks", "matrix"):
        assert eff.plot(kind).ax is not None
    for kind in ("forest", "models", "probabilities"):
        assert found.plot(kind).ax is not None
    with pytest.raises(OptionError, match="needs a subgroup"):
        found.plot("prior")
    page = eff.to_html()
    assert "mx.subgroup_effects(data, by=[&#x27;sex&#x27;, &#x27;age&#x27;], n=&#x27;n&#x27;" in page
    assert "5 reported estimates" in page
    assert "model=&#x27;shrinkage&#x27;, by=[&#x27;sex&#x27;]" in found.effects("shrinkage", by="sex").to_html()


def test_sensitivity_is_the_analysis_under_other_units():
    found = analyse(models=["homogeneous", "stratified", "shrinkage"], priors={"overall": mx.priors.normal(0.1, 1.0)})
    seen = []
    table = found.sensitivity((0.5, 1.0, 3.0), progress=seen.append)
    assert [report.done for report in seen][:3] == [0, 1, 2]
    own = table[table["factor"] == 1.0]
    np.testing.assert_allclose(own["log_evidence"], found.models["log_evidence"], atol=1e-12)
    np.testing.assert_allclose(own["inclusion_bf"], found.models["inclusion_bf"], rtol=1e-10)
    priors = {"overall": mx.priors.normal(0.1, 3.0)}  # in units of the estimates: its width is tripled by hand
    wide = analyse(models=found.names, priors=priors, unit=3.0).models
    np.testing.assert_allclose(table.loc[table["factor"] == 3.0, "log_evidence"], wide["log_evidence"], atol=1e-12)
    # Jones et al.: what is not shared costs the more, the wider its prior
    stratified = table[table["model"] == "stratified"]["inclusion_bf"].to_numpy()
    assert (np.diff(stratified) < 0).all()
    axes = found.plot("sensitivity", factors=(0.5, 2.0)).ax
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found.names)
    with pytest.raises(OptionError, match="not positive"):
        found.sensitivity((0.0, 1.0))
    with pytest.raises(OptionError, match="no Bayes factor"):
        analyse(models=["shrinkage"]).plot("sensitivity")


def test_the_picture_of_a_difference_has_its_densities_and_its_point_of_no_effect():
    found = analyse(n="n")
    picture = found.plot("prior", a=("f", "young"), b=("m", "old"))
    prior, posterior = picture.ax.lines
    x, height = posterior.get_data()
    share = found.models["posterior"].iloc[0]
    # the area that the axis holds: all of the posterior but the point, up to the rule and the rest of its tails
    assert integrate.trapezoid(height, x) == pytest.approx(1 - share, abs=2e-3)
    right = picture.ax.child_axes[0]
    tips = [right._functions[0](t.xy[1]) for t in picture.ax.texts if t.arrow_patch is not None]
    np.testing.assert_allclose(tips, [1 / 6, share], rtol=1e-9)
    # prior density by hand: differences have the variance c'K c, scales integrated by a fine rule
    c = np.array([1, 0, 0, 0, -1.0])
    sd = {m: np.sqrt(c @ covariance(m) @ c) for m in ("stratified", "regression")}
    wanted = sum(stats.norm(0, s).pdf(0.4) for s in sd.values())
    s = np.linspace(1e-4, 4, 4001)
    for m in ("shrinkage", "dixon_simon"):
        scale = np.sqrt([c @ covariance(m, v) @ c for v in s])
        wanted += integrate.trapezoid(stats.norm(0, scale).pdf(0.4) * HALF_NORMAL.pdf(s), s)
    t = np.linspace(1e-3, 4, 301)
    one, two = np.meshgrid(t, t, indexing="ij")
    scale = np.sqrt(one**2 * (c @ MAIN @ c) + two**2 * (c @ BOTH @ c))
    inner = stats.norm(0, scale).pdf(0.4) * HALF_NORMAL.pdf(one) * HALF_NORMAL.pdf(two)
    wanted += integrate.trapezoid(integrate.trapezoid(inner, t), t)
    assert np.interp(0.4, *prior.get_data()) == pytest.approx(wanted / 6, rel=5e-3)
    assert "difference" in picture.ax.get_xlabel()
    alone = found.plot("prior", a={"sex": "f", "age": "old"})
    assert not alone.ax.child_axes  # an effect itself has no point
    only = analyse(models=["homogeneous"]).plot("prior", a=("f", "young"), b=("m", "old"))
    assert len(only.ax.lines) == 0
    assert only.ax.child_axes
    sure = analyse(prior_weights=dict.fromkeys(found.names, 1e-6) | {"homogeneous": 1.0})
    assert len(sure.plot("prior", a=("f", "young"), b=("m", "old")).ax.lines) == 0


def changed(column, row, value):
    data = FOREST.copy()
    data[column] = data[column].astype(object)
    data.loc[row, column] = value
    return data


BAD = [
    (changed("sei", 1, 0.0), {}, DataError, r"standard error \(sei\) is 0 in row 1"),
    (changed("sei", 2, -0.1), {}, DataError, "-0.1 in row 2"),
    (changed("sei", 2, None), {}, DataError, "nan in row 2"),
    (changed("yi", 3, None), {}, DataError, r"estimate \(yi\) is missing or infinite in row 3"),
    (changed("yi", 3, np.inf), {}, DataError, "infinite in row 3"),
    (changed("age", 4, "young"), {}, DataError, "rows 3 and 4 .* same subgroup, sex=m, age=young"),
    (changed("age", 4, None), {}, DataError, "age is missing in row 4"),
    (changed("n", 0, 0), {"n": "n"}, DataError, "n is missing, infinite or not positive in row 0"),
    (FOREST.iloc[:1], {}, DataError, "1 subgroup: there is nothing to compare"),
    (FOREST.iloc[:3], {}, DataError, "sex has the single value 'f'"),
    (FOREST.drop(columns="sei"), {}, OptionError, "not given"),
    (FOREST, {"sei": "sei", "vi": "sei"}, OptionError, "vi= and sei= are given"),
    (FOREST, {"V": np.ones((5, 5))}, DataError, "not positive definite"),
    (FOREST, {"V": np.eye(4)}, DataError, "4 by 4"),
    (FOREST, {"by": ["sex", "country"]}, DataError, "no column 'country'"),
    (FOREST, {"by": []}, (OptionError, EffectsError), "by"),
    (FOREST.rename(columns={"sex": "weight"}), {"by": ["weight", "age"]}, EffectsError, "of its own"),
    (FOREST, {"models": ["bayes"]}, OptionError, "'bayes' is not known"),
    (FOREST, {"models": ["shrinkage", "shrinkage"]}, OptionError, "one twice"),
    (FOREST, {"prior_weights": {"shrinkage": 1.0}}, OptionError, "no entry for 'homogeneous'"),
    (FOREST, {"models": ["shrinkage"], "prior_weights": {"shrinkage": 0.0}}, OptionError, "not all positive"),
    (FOREST, {"priors": {"tau": mx.priors.normal()}}, OptionError, "'tau' is not known"),
    (FOREST, {"priors": {"sd": mx.priors.flat()}}, ImproperPosteriorError, "no evidence"),
    (FOREST, {"priors": {"overall": mx.priors.flat()}}, ImproperPosteriorError, "no evidence"),
    (FOREST, {"priors": {"overall": mx.priors.cauchy()}}, OptionError, "must be normal"),
    (FOREST, {"priors": {"overall": mx.priors.half_normal()}}, OptionError, "must be normal"),
    (FOREST, {"priors": {"sd": mx.priors.gamma(0.5, 1.0)}}, OptionError, "infinite at zero"),
    (FOREST, {"priors": {"sd": mx.priors.lkj(2)}}, OptionError, "no prior of one parameter"),
    (FOREST, {"unit": 0.0}, OptionError, "no positive number"),
    (FOREST, {"unit": "information"}, OptionError, "needs the people"),
    (FOREST, {"order": 3}, OptionError, "there are 2 covariates"),
    (FOREST, {"coding": "sum"}, OptionError, "coding"),
    (FOREST, {"comparison": "ratio"}, OptionError, "normal errors"),
    (FOREST, {"treatment": {"drug": ["a"]}}, OptionError, "two arms"),
    (FOREST, {"level": 95}, OptionError, "level"),
]


@pytest.mark.parametrize(("data", "options", "error", "text"), BAD)
def test_bad_input_is_refused_with_row_and_reason(data, options, error, text):
    given = {"data": data, "by": ["sex", "age"]} | options
    with pytest.raises(error, match=text):
        analyse(**given)


def test_a_reported_fit_is_a_fit():
    eff = analyse().effects()
    assert isinstance(eff.fit, Fit)
    assert eff.fit.with_uncertainty("full") is eff.fit
    assert (eff.fit.posterior, eff.fit.singularity, len(eff.fit.varcorr)) == (True, None, 0)
    assert np.isfinite(eff.fit.apply(eff.functional).cov).all()


def test_questions_that_reported_effects_cannot_answer():
    found = analyse()
    with pytest.raises(OptionError, match="model="):
        found.effects("bayes")
    with pytest.raises(OptionError, match="kind="):
        found.plot("funnel")
    with pytest.raises(DataError, match="weights"):
        found.effects(by="sex", weights=[1, 1, 1, 1, 0])
    with pytest.raises(OptionError, match="no outcomes"):
        found.effects().fit.design_for()


def test_priors_that_do_not_fit_the_estimates_are_warned_about():
    with pytest.warns(PriorScaleWarning, match="all but excludes"):
        found = analyse(FOREST.assign(yi=100 * Y, sei=100 * SE))
    assert "all but excludes" in str(found)


@pytest.mark.slow
def test_of_tables_drawn_from_the_prior_intervals_and_probabilities_are_right():
    """400 tables from the average of six models: intervals, ranks of the truth, and probabilities of models by bins."""
    found = analyse()
    names = list(found.names)
    rng = np.random.default_rng(20)
    inside, below, probable, true_model = [], [], [], []
    for _ in range(400):
        model = names[rng.integers(len(names))]
        scales = [abs(rng.normal(0, 0.5)) for _ in MODELS_WITH_SCALES.get(model, ())]
        theta = rng.multivariate_normal(np.zeros(5), covariance(model, *scales), method="eigh")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PriorScaleWarning)  # one in a few hundred prior draws is as far out
            answer = analyse(FOREST.assign(yi=theta + SE * rng.standard_normal(5)))
        eff = answer.effects(level=0.9)
        inside.append((eff.table["lower"] <= theta) & (theta <= eff.table["upper"]))
        below.append(eff.fit.linear(np.eye(5)[:1]).probability(less=theta[0])[0])
        probable.append(answer.weights)
        true_model.append(names.index(model))
    # 400 tables: standard error of a coverage .015, of effects that depend on each other not much less
    assert np.mean(inside) == pytest.approx(0.9, abs=3 * 0.015)
    assert stats.kstest(below, "uniform").pvalue > 0.001
    chosen = np.eye(len(names))[true_model]
    flat, hit = np.ravel(probable), np.ravel(chosen)
    for low, high in ((0.0, 0.05), (0.05, 0.15), (0.15, 0.3), (0.3, 0.6), (0.6, 1.0)):
        own = (flat >= low) & (flat < high)
        if own.sum() >= 20:
            error = np.sqrt(max(flat[own].mean() * (1 - flat[own].mean()), 0.01) / own.sum())
            assert hit[own].mean() == pytest.approx(flat[own].mean(), abs=4 * error)
