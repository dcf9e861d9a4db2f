"""The published default sets, number by number, on sleepstudy; which key wins; what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx import priors
from mixedfx.design.build import build_design
from mixedfx.errors import OptionError
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.joint import Decov
from mixedfx.priors.location import Flat
from mixedfx.priors.positive import Exponential
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set

HERE = Path(__file__).resolve().parents[1]


def reference(name):
    return json.loads((HERE / "reference" / "bayes" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def sleepstudy():
    return pd.read_csv(HERE / "data" / "sleepstudy.csv")


def resolved(data, given, formula="Reaction ~ Days + (Days | Subject)"):
    return resolve(prior_set(given), scales_of(build_design(formula, data)))


def test_rstanarm_has_the_scales_that_rstanarm_reports(sleepstudy):
    found, want = resolved(sleepstudy, "rstanarm"), reference("bayes_rstanarm_sleepstudy")["priors"]
    intercept, days = found.coefficients
    assert intercept.loc == pytest.approx(want["prior_intercept"]["location"][0], rel=1e-12)
    assert intercept.scale == pytest.approx(want["prior_intercept"]["adjusted_scale"], rel=1e-12)
    assert (days.loc, days.scale) == (0, pytest.approx(want["prior"]["adjusted_scale"][0], rel=1e-12))
    assert isinstance(found.sigma, Exponential)
    assert 1 / found.sigma.rate == pytest.approx(want["prior_aux"]["adjusted_scale"], rel=1e-12)
    covariance = want["prior_covariance"]
    assert found.terms[0].sd == Decov(*(covariance[k] for k in ("regularization", "concentration", "shape", "scale")))
    assert found.centring.tolist() == [0.0, 4.5]
    assert found.from_data
    assert found.improper == ()


def test_brms_has_the_priors_that_brms_reports(sleepstudy):
    found = resolved(sleepstudy, "brms")
    rows = reference("bayes_brms_default_priors_sleepstudy")["priors"]
    want = {(r["class"], r["coef"]): r["prior"] for r in rows if not r["group"]}
    assert str(found.coefficients[0]) == want["Intercept", ""]
    assert isinstance(found.coefficients[1], Flat)
    assert want["b", "Days"] == ""
    half = want["sd", ""].replace("student_t(3, 0, ", "half_student_t(3, ")
    assert [str(sd) for sd in found.terms[0].sd] == [half, half]
    assert str(found.sigma) == want["sigma", ""].replace("student_t(3, 0, ", "half_student_t(3, ")
    assert f"lkj({found.terms[0].eta:g})" == want["cor", ""]
    assert found.improper == ("Days",)


def test_the_default_is_on_the_scale_of_the_data(sleepstudy):
    found = resolved(sleepstudy, None)
    y, x = sleepstudy["Reaction"].std(), sleepstudy["Days"].std()
    assert found.coefficients[1].scale == pytest.approx(2.5 * y / x)
    assert [sd.scale for sd in found.terms[0].sd] == [pytest.approx(y), pytest.approx(y / x / 4)]
    assert found.terms[0].eta == 2.0


def test_an_sd_of_zero_counts_as_one():
    data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 9], "one": 1.0, "g": list("aabbcc")})
    found = resolved(data, {"coef": priors.normal(0, 2, autoscale=True)}, "y ~ 0 + one + (1 | g)")
    assert found.coefficients[0].scale == pytest.approx(2 * data["y"].std())


def test_the_most_specific_key_wins(sleepstudy):
    given = {
        "coef": priors.normal(0, 1),
        ("coef", "Days"): priors.normal(0, 2),
        "sd": priors.exponential(1),
        ("sd", "Subject"): priors.exponential(2),
        ("sd", "Subject", "Days"): priors.exponential(3),
        "cor": priors.lkj(1),
        ("cor", "Subject"): priors.lkj(5),
    }
    found = resolved(sleepstudy, given)
    assert found.coefficients[1].scale == 2
    assert [sd.rate for sd in found.terms[0].sd] == [2, 3]
    assert found.terms[0].eta == 5
    assert str(found.sigma).startswith("exponential")  # the default's, where the user says nothing


def test_interactions_are_pooled_by_their_order():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.choice([0.0, 1.0], (200, 2)), columns=["a", "b"])
    data["g"], data["h"], data["y"] = rng.integers(5, size=200), rng.integers(4, size=200), rng.normal(size=200)
    formula = "y ~ a * b + (1 + a * b || g) + (1 + a * b || g:h)"
    plain, pooled = (resolved(data, p, formula) for p in (None, priors.pooled_interactions(0.5)))
    ratio = [p.scale / q.scale for p, q in zip(pooled.coefficients, plain.coefficients, strict=True)]
    assert ratio == pytest.approx([1, 1, 1, 0.5])
    ratios = [
        [p.scale / q.scale for p, q in zip(t.sd, s.sd, strict=True)]
        for t, s in zip(pooled.terms, plain.terms, strict=True)
    ]
    assert ratios == [pytest.approx([1, 1, 1, 0.5]), pytest.approx([0.5, 0.5, 0.5, 0.25])]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("stan", "'rstanarm'"),
        ({"b": priors.normal()}, "('coef', name)"),
        ({("coef", "Dayz"): priors.normal()}, "'Days'"),
        ({("sd", "Subjekt"): priors.half_normal()}, "'Subject'"),
        ({("sd", "Subject", "Dayz"): priors.half_normal()}, "('sd', 'Subject', 'Days')"),
        ({"coef": priors.half_normal()}, "takes normal"),
        ({"cor": priors.normal()}, "lkj"),
        ({"sigma": priors.lkj()}, "exponential"),
        ({"coef": priors.horseshoe(), "sd": priors.r2d2()}, "same one"),
        ({"cor": priors.horseshoe()}, "lkj"),
        ({"intercept": priors.r2d2()}, "takes normal"),
        ({("sd", "Subject", "Days"): priors.decov()}, "('sd', 'Subject')"),
        ({("sd", "Subject"): priors.decov(), ("sd", "Subject", "Days"): priors.half_normal()}, "of its own"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(sleepstudy, given, words):
    with pytest.raises(OptionError) as error:
        resolved(sleepstudy, given)
    assert words in str(error.value)


def test_decov_needs_a_sigma():
    data = pd.DataFrame({"y": [1.0, 2, 4], "s": 1.0, "g": list("abc")})
    design = build_design("y | se(s) ~ 1 + (1 | g)", data, sigma_free=False)
    with pytest.raises(OptionError, match="sigma, which is known"):
        resolve(prior_set("rstanarm"), scales_of(design))


def test_priors_of_varying_intercepts_hold_at_the_means_where_the_set_says_so():
    """Of terms with an intercept and correlations; products and dummies have means like any other column."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(5, 1, 60), "w": rng.normal(2, 1, 60)})
    data["f"], data["g"] = np.resize(list("klm"), 60), np.resize(list("abcdefgh"), 60)
    formula = "y ~ 1 + (1 + x * w + f | g) + (1 + x || f) + (0 + x + w | f:g) + (1 | w)"
    design = build_design(formula, data, sigma_free=False)
    means = design.random[0].z.mean(axis=0)
    told = {"sd of Intercept over g, predictors at their means", "correlations over g, predictors at their means"}
    whole = {"covariance of g over sigma^2, predictors at their means"}
    for given, labels in ((None, told), (priors.pooled_interactions(), told), ({"cor": priors.lkj(1)}, told),
                          ({"sd": priors.decov()}, whole), ("brms", set()), ("rstanarm", set())):  # fmt: skip
        found = resolve(prior_set(given), scales_of(design))
        assert [term.at_means for term in found.terms] == [bool(labels), False, False, False]
        assert found.terms[0].means == (0.0, *map(pytest.approx, means[1:]))
        assert [term.means for term in found.terms[1:]] == [(), (), ()]
        assert {what for what, *_ in found.described if what in told | whole} == labels


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_no_scale_of_the_default_sees_where_zero_is(sleepstudy, shift):
    plain, moved = (resolved(sleepstudy.assign(Days=sleepstudy["Days"] + s), None) for s in (0.0, shift))
    for one, other in zip(plain.terms[0].sd, moved.terms[0].sd, strict=True):
        assert other.scale == pytest.approx(one.scale, rel=1e-9)
    assert moved.coefficients[0] == plain.coefficients[0]
    assert moved.coefficients[1].scale == pytest.approx(plain.coefficients[1].scale, rel=1e-9)
    assert moved.terms[0].means[1] == pytest.approx(4.5 + shift)


@pytest.mark.parametrize("formula", ["y ~ z + (1 | g)", "y ~ z + (1 + z || g)", "y ~ z + (1 | g) + (0 + z | g)"])
def test_priors_of_correlations_that_are_not_there_are_refused(formula):
    data = pd.DataFrame(
        {"y": np.arange(24.0) ** 0.5, "z": np.resize([0.0, 1, 1], 24), "g": np.resize(list("abcdef"), 24)}
    )
    with pytest.raises(OptionError, match="no correlations"):
        resolved(data, {("cor", "g"): priors.lkj(5)}, formula)
    resolved(data, {"cor": priors.lkj(5)}, formula)  # of all correlations there are: none
    found = resolved(data, {("cor", "g"): priors.lkj(5)}, "y ~ z + (1 + z | g) + (1 | z)")
    assert found.terms[0].eta == 5


@pytest.mark.parametrize("key", ["cor", ("cor", "Subject")])
def test_correlations_under_decov_have_no_second_prior(sleepstudy, key):
    with pytest.raises(OptionError, match="regularization=2"):
        resolved(sleepstudy, {"sd": priors.decov(), key: priors.lkj(3)})
    # one term of each kind: the prior has something to do
    data = sleepstudy.assign(h=np.resize(list("abcdefgh"), len(sleepstudy)))
    given = {("sd", "h"): priors.decov(), key: priors.lkj(3)}
    found = resolved(data, given, "Reaction ~ Days + (Days | Subject) + (Days | h)")
    assert [term.eta for term in found.terms] == [3, 1]
