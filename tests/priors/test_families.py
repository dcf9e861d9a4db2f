"""Scales of priors for every family: the unit and the centre of the linear predictor, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import OptionError
from mixedfx.families.registry import FAMILIES, family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.joint import Share
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import SETS, prior_set

RNG = np.random.default_rng(3)
N = 60
DATA = pd.DataFrame(
    {
        "real": RNG.normal(10, 3, N),
        "positive": RNG.gamma(3, 2, N),
        "unit": RNG.beta(2, 5, N),
        "nonnegative": np.resize([0.0, 1.2, 3.4, 0.6], N),
        "count": RNG.poisson(6, N),
        "visits": np.resize([1, 4, 2, 7, 3], N),
        "binary": RNG.integers(0, 2, N),
        "ordered": np.resize([1, 2, 3], N),
        "nominal": np.resize(list("ABC"), N),
        "m": 12,
        "x": RNG.normal(2, 4, N),
        "g": np.resize(list("abcdef"), N),
        "o": RNG.normal(1, 0.2, N),
    }
)


def resolved(name, priors=None, link=None, **options):
    known = family(name, link)
    left = {"trials": "count | trials(m)", "positive count": "visits"}.get(known.outcome, known.outcome)
    design = build_design(f"{left} ~ x + (1 + x | g)", DATA, family=known, **options)
    return resolve(prior_set(priors), scales_of(design, known))


def centre_and_unit(found):
    """Of the intercept's prior, whose scale is 2.5 units."""
    prior = found.threshold if found.threshold is not None else found.coefficients[0]
    return prior.loc, prior.scale / 2.5


def expected(name, link):
    """Centre and unit of the default priors."""
    outcome = FAMILIES[name].outcome
    column = {"trials": "count", "positive count": "visits"}.get(outcome, outcome)
    y = DATA[column] / DATA["m"] if outcome == "trials" else DATA[column]
    if name == "lognormal":
        return np.log(y).mean(), np.log(y).std()
    if link in ("logit", "cloglog", "cauchit"):
        return 0.0, 1.0
    if link == "probit":  # equal slopes at one half: logistic density over normal density
        return 0.0, stats.logistic.pdf(0) / stats.norm.pdf(0)
    mean, sd = y.mean(), y.std()
    return {
        "identity": (mean, sd),
        "log": (np.log(mean), 1.0),
        "inverse": (1 / mean, sd / mean**2),
        "sqrt": (np.sqrt(mean), sd / (2 * np.sqrt(mean))),
    }[link]


@pytest.mark.parametrize(("name", "link"), [(name, link) for name, f in FAMILIES.items() for link in f.links])
def test_the_default_is_on_the_scale_of_the_linear_predictor(name, link):
    found = resolved(name, link=link)
    centre, unit = expected(name, link)
    assert centre_and_unit(found) == (pytest.approx(centre, rel=1e-9), pytest.approx(unit, rel=1e-9))
    assert found.coefficients[-1].scale == pytest.approx(2.5 * unit / DATA["x"].std())
    assert [sd.scale for sd in found.terms[0].sd] == [
        pytest.approx(unit),
        pytest.approx(unit / 4 / DATA["x"].std()),
    ]
    if name in ("gaussian", "student"):  # sigma stays in the units of y whatever the link
        assert 1 / found.sigma.rate == pytest.approx(DATA["real"].std())
    assert set(found.auxiliary) == set(FAMILIES[name].auxiliary)


def test_an_offset_moves_the_centre_only():
    plain, moved = resolved("poisson"), resolved("poisson", offset="o")
    assert moved.coefficients[0].loc == pytest.approx(plain.coefficients[0].loc - DATA["o"].mean())
    assert moved.coefficients[0].scale == plain.coefficients[0].scale


OFFSET = DATA["o"]


@pytest.mark.parametrize(("name", "link"), [(name, link) for name, f in FAMILIES.items() for link in f.links])
def test_offsets_and_the_named_sets(name, link):
    """brms: scale of link(y), location less the mean of the offset (R/priors.R); probabilities: neither. rstanarm: of y
    itself. The default: y - offset on the identity link, else the centre less the mean of the offset."""
    brms, without = (resolved(name, "brms", link, **o) for o in ({"offset": "o"}, {}))
    probability = FAMILIES[name].outcome in ("binary", "trials", "unit", "ordered", "nominal")
    (at, unit), (plain, plain_unit) = centre_and_unit(brms), centre_and_unit(without)
    assert at == pytest.approx(plain if probability else plain - OFFSET.mean(), abs=1e-12)
    assert unit == plain_unit
    assert brms.terms[0].sd == without.terms[0].sd
    rstanarm, without = (resolved(name, "rstanarm", link, **o) for o in ({"offset": "o"}, {}))
    assert centre_and_unit(rstanarm) == centre_and_unit(without)
    assert rstanarm.auxiliary == without.auxiliary
    default, without = (resolved(name, None, link, **o) for o in ({"offset": "o"}, {}))
    if name in ("gaussian", "student", "lognormal") and link == "identity":
        y = DATA["real"] if name != "lognormal" else np.log(DATA["positive"])
        assert centre_and_unit(default) == (pytest.approx((y - OFFSET).mean()), pytest.approx((y - OFFSET).std()))
    elif link in ("logit", "probit", "cloglog", "cauchit"):
        assert centre_and_unit(default) == centre_and_unit(without)
    else:
        (at, unit), (plain, plain_unit) = centre_and_unit(default), centre_and_unit(without)
        assert (at, unit) == (pytest.approx(plain - OFFSET.mean()), plain_unit)


def test_brms_and_rstanarm_on_the_identity_link_as_r_has_them():
    """student_t(3, 500, 2.5) by brms 2.23 and normal(3300, 3813) by rstanarm 2.32: get_prior and prior_summary in R."""
    y = 1000 * np.array([3.0] * 15 + [1, 2, 4, 5, 9])
    data = pd.DataFrame({"y": y, "g": list("abcde") * 4, "x": np.arange(20.0), "o": [1000.0, 2000, 3000, 4000] * 5})
    design = build_design("y ~ x + offset(o) + (1 | g)", data)
    brms, rstanarm = (resolve(prior_set(name), scales_of(design)) for name in ("brms", "rstanarm"))
    assert str(brms.coefficients[0]) == "student_t(3, 500, 2.5)"
    assert str(brms.terms[0].sd[0]) == "half_student_t(3, 2.5)"
    assert str(rstanarm.coefficients[0]) == "normal(3300, 3813)"


def test_rstanarm_counts_in_ones_off_the_gaussian_family():
    for name in ("bernoulli", "poisson", "negbinomial", "gamma"):
        assert centre_and_unit(resolved(name, "rstanarm")) == (0.0, 1.0)
    assert centre_and_unit(resolved("bernoulli", "rstanarm", "probit"))[1] == pytest.approx(1.5957691, rel=1e-7)
    assert str(resolved("negbinomial", "rstanarm").auxiliary["shape"]) == "exponential(1)"


def test_brms_looks_at_median_and_mad_of_the_transformed_response():
    """By brms 2.23's rule: zero counts as 0.1 under the logarithm; probabilities have student_t(3, 0, 2.5)."""
    log = np.log(DATA["count"].replace(0, 0.1))
    mad = max(2.5, round(1.4826 * np.median(np.abs(log - np.median(log))), 1))
    found = resolved("poisson", "brms").coefficients[0]
    assert (found.df, found.loc, found.scale) == (3, round(np.median(log), 1), mad)
    for name in ("bernoulli", "binomial", "beta", "categorical"):
        assert str(resolved(name, "brms").coefficients[0]) == "student_t(3, 0, 2.5)"
    assert str(resolved("cumulative", "brms").threshold) == "student_t(3, 0, 2.5)"
    assert (
        str(resolved("lognormal", "brms").coefficients[0])
        == f"student_t(3, {np.median(np.log(DATA['positive'])):.1f}, 2.5)"
    )


@pytest.mark.parametrize("priors", SETS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_set_has_proper_auxiliary_priors(name, priors):
    found = resolved(name, priors)
    assert set(found.auxiliary) == set(FAMILIES[name].auxiliary)
    assert not set(found.auxiliary) & set(found.improper)


def test_counts_that_are_all_zero_leave_a_prior_that_can_be_used():
    data = DATA.assign(count=0)
    design = build_design("count ~ x + (1 | g)", data, family="poisson", sigma_free=False)
    found = resolve(prior_set(None), scales_of(design, "poisson"))
    assert centre_and_unit(found) == (0.0, 1.0)


def test_a_prior_over_many_quantities_marks_its_shares():
    found = resolved("bernoulli", {"coef": mx.priors.horseshoe(), "sd": mx.priors.horseshoe()})
    sd = DATA["x"].std()
    assert found.coefficients[1] == Share(pytest.approx(1 / sd))
    assert found.terms[0].sd == (Share(1.0), Share(pytest.approx(1 / sd)))
    assert found.sparse == mx.priors.horseshoe()
    assert resolved("gaussian").sparse is None


def test_interactions_have_smaller_shares_where_they_are_pooled():
    priors = mx.priors.PriorSet("own", {**mx.priors.default().entries, "coef": mx.priors.r2d2()}, interaction_ratio=0.5)
    design = build_design("real ~ x * o + (1 | g)", DATA)
    found = resolve(priors, scales_of(design))
    assert found.coefficients[3].unit == pytest.approx(0.5 / (DATA["x"] * DATA["o"]).std())


def test_the_exact_engine_refuses_what_it_cannot_integrate_out():
    with pytest.raises(OptionError, match="stanli"):
        mx.bayes("real ~ x + (1 | g)", DATA, priors={"coef": mx.priors.r2d2()}, engine="collapsed")
