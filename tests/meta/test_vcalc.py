"""Covariances of dependent effects, and effects combined over them, against metafor and by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
REFERENCE = json.loads((FOLDER / "vcalc.json").read_text())
LAB, SAME = (pd.DataFrame(REFERENCE["data"][name]) for name in ("lab", "same"))
ASSINK = pd.read_csv(FOLDER / "assink2016.csv")
TYPES = pd.DataFrame([[1, 0.3], [0.3, 1]], index=["x", "y"], columns=["x", "y"])
SCALES = pd.DataFrame([[1, 0.6], [0.6, 1]], index=[1, 2], columns=[1, 2])
GROUPS = {"grp1": "g1", "grp2": "g2"}
SIZES = {"w1": "w1", "w2": "w2"}
TIMES = {"time1": "t1", "time2": "t2", "phi": 0.8}
CASES = {
    "rho": {"obs": "obs", "rho": 0.6},
    "type": {"type": "type", "rho": 0.4},
    "type_obs": {"type": "type", "obs": "obs", "rho": (0.7, 0.5)},
    "type_matrix": {"type": "type", "rho": TYPES},
    "both_matrices": {"type": "type", "obs": "obs", "rho": (SCALES, TYPES)},
    "subgroup": {"subgroup": "part", "obs": "obs", "rho": 0.6},
    "time": {"time1": "t1", "phi": 0.8},
    "obs_time": {"obs": "obs", "rho": 0.5, "time1": "t1", "phi": 0.8},
    "type_obs_time": {"type": "type", "obs": "obs", "rho": (0.7, 0.5), "time1": "t1", "phi": 0.8},
    "groups": GROUPS,
    "groups_w": {**GROUPS, **SIZES},
    "groups_obs": {**GROUPS, **SIZES, "obs": "obs", "rho": 0.6},
    "within": {**GROUPS, **TIMES},
    "mixed": {**GROUPS, **SIZES, **TIMES, "type": "type", "rho": 0.5},
}


@pytest.mark.parametrize("name", CASES)
def test_covariances_are_those_of_metafor(name):
    V = mx.vcalc("vi", SAME if name == "within" else LAB, cluster="study", check=False, **CASES[name])
    np.testing.assert_allclose(V.toarray(), REFERENCE["V"][name], rtol=0, atol=1e-14)


def test_assink_with_one_correlation():
    expected = REFERENCE["assink"]
    V = mx.vcalc("vi", ASSINK, cluster="study", obs="esid", rho=0.6)
    np.testing.assert_allclose(V.toarray()[np.ix_(ASSINK.study == 1, ASSINK.study == 1)], expected["first"], atol=1e-14)
    assert [V.sum(), (V * V).sum()] == pytest.approx([expected["sum"], expected["squares"]], rel=1e-12)
    two = mx.vcalc("vi", ASSINK, cluster="study", type="deltype", obs="esid", rho=(0.7, 0.5))
    assert [two.sum(), (two * two).sum()] == pytest.approx([expected["sum2"], expected["squares2"]], rel=1e-12)


def test_the_multilevel_model_takes_it():
    """Notes, section 4: variances .080733 between, .154543 within, mean .367755; printed to six digits."""
    V = mx.vcalc("vi", ASSINK, cluster="study", obs="esid", rho=0.6)
    fit = mx.lmer("yi ~ 1 + (1 | study/esid)", ASSINK, V=V, control={"tolerance": 1e-12})
    variances = fit.varcorr.set_index("grp")["vcov"]
    assert sorted(variances) == pytest.approx([0.080733, 0.154543], abs=1e-6)
    assert fit.fixef.iloc[0] == pytest.approx(0.367755, abs=1e-6)


def test_any_frame_serves():
    one = mx.vcalc("vi", pl.from_pandas(LAB), cluster="study", obs="obs", rho=0.6, check=False)
    np.testing.assert_array_equal(one.toarray(), np.array(mx.vcalc(
        LAB.vi, cluster=LAB.study, obs=LAB.obs, rho=0.6, check=False
    ).toarray()))  # fmt: skip


def test_a_shared_control_group_correlates_by_the_share_of_its_variance():
    """By simulation of three group means: four errors of a correlation of 2e5 draws."""
    n = np.array([20.0, 40.0, 10.0])
    means = np.random.default_rng(1).normal(size=(200_000, 3)) / np.sqrt(n)
    drawn = np.corrcoef(means[:, 0] - means[:, 2], means[:, 1] - means[:, 2])[0, 1]
    vi = 1 / n[:2] + 1 / n[2]
    V = mx.vcalc(vi, cluster=[1, 1], grp1=["a", "b"], grp2=["c", "c"], w1=n[:2], w2=[n[2], n[2]]).toarray()
    assert V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]) == pytest.approx(drawn, abs=4 / np.sqrt(200_000))
    assert V[0, 1] == pytest.approx(1 / n[2], rel=1e-12)


GIVEN = {"cluster": "study"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mx.vcalc("vi", LAB, **GIVEN, obs="obs", rho=0.6), DataError, "of cluster 1 .* contradict each other"),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, rho=-0.5), DataError, "not positive definite"),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, obs="obs", rho=1.4), OptionError, "rho=1.4 is no correlation"),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, obs="obs"), OptionError, "need rho="),
        (lambda: mx.vcalc("vi", LAB, **GIVEN), OptionError, "nothing says how effects are correlated"),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, type="type", obs="obs", rho=0.5), OptionError, "two correlations"),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, time1="t1"), OptionError, "time1= needs phi="),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, grp1="g1"), OptionError, "grp1= goes with grp2="),
        (lambda: mx.vcalc("vi", LAB, **GIVEN, type="type", rho=SCALES), OptionError, "no row and column 'x'"),
        (lambda: mx.vcalc("vi", LAB.assign(vi=0.0), **GIVEN, rho=0.2), DataError, "not positive in rows 0, 1"),
        (lambda: mx.vcalc("vi", LAB, cluster="stduy", rho=0.2), DataError, "no column 'stduy'"),
        (lambda: mx.vcalc("vi", LAB.assign(g2=LAB.g1), **GIVEN, **GROUPS), DataError, "the same at the same time"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def combined(name):
    two = mx.vcalc("vi", ASSINK, cluster="study", type="deltype", obs="esid", rho=(0.7, 0.5))
    V = mx.vcalc("vi", LAB, cluster="study", time1="tt", phi=0.7)
    return {
        "ID": lambda: mx.aggregate(ASSINK, "study"),
        "CS": lambda: mx.aggregate(ASSINK, "study", rho=0.6),
        "V": lambda: mx.aggregate(ASSINK, "study", V=two),
        "unweighted": lambda: mx.aggregate(ASSINK, "study", rho=0.6, weighted=False),
        "CAR": lambda: mx.aggregate(LAB, "study", V=V),
        "CS*CAR": lambda: mx.aggregate(
            LAB, "study", V=mx.vcalc("vi", LAB, cluster="study", obs="obs", rho=0.4, time1="tt", phi=0.7)
        ),
    }[name]()


@pytest.mark.parametrize("name", ["ID", "CS", "V", "unweighted", "CAR", "CS*CAR"])
def test_combined_effects_are_those_of_metafor(name):
    found, expected = combined(name), REFERENCE["aggregate"][name]
    np.testing.assert_allclose(found["yi"], expected["yi"], rtol=1e-10)
    np.testing.assert_allclose(found["vi"], expected["vi"], rtol=1e-10)
    assert found["ki"].tolist() == expected["k"]


def test_combined_rows_keep_what_clusters_share():
    found = mx.aggregate(LAB, "study", rho=0.2)
    assert found["w1"].tolist() == pytest.approx(LAB.groupby("study")["w1"].mean().tolist())
    assert "g1" not in found
    named = mx.aggregate(LAB.assign(site=LAB.study.map({1: "u", 2: "v", 3: "u"})), "study", rho=0.2)
    assert named["site"].tolist() == ["u", "v", "u"]


def test_combining_what_cannot_be_is_refused():
    V = np.diag(LAB.vi) + 0.001
    with pytest.raises(DataError, match="V connects different clusters"):
        mx.aggregate(LAB, "study", V=V)
    with pytest.raises(OptionError, match="V= and rho= are both given"):
        mx.aggregate(LAB, "study", V=V, rho=0.5)
    with pytest.raises(DataError, match="in row 2"):
        mx.aggregate(LAB.assign(yi=LAB.yi.where(LAB.index != 2)), "study")
