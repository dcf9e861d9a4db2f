"""Power by simulation: exact power where theory knows it, designs that are what was asked for, reproducible."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError
from mixedfx.inference.power import sized_design
from mixedfx.inference.resampling import cluster_of, nested_in
from mixedfx.plots.power import power_curve
from mixedfx.reml.lmer import lmer

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def data(name):
    return pd.read_csv(DATA / f"{name}.csv")


def test_power_of_a_balanced_design_is_that_of_the_noncentral_t(sleepstudy):
    """In a balanced design the slope is tested by the t of one slope for each subject, with 17 df.

    Satterthwaite's df are 17 wherever no variance is estimated as zero, one data set in a hundred.
    """
    size = 4.0
    found = mx.power(sleepstudy, {"Days": size}, n_sim=500, seed=4).table.iloc[0]
    delta = size / np.sqrt(sleepstudy.vcov.loc["Days", "Days"])
    critical = stats.t.ppf(0.975, 17)
    exact = stats.nct.sf(critical, 17, delta) + stats.nct.cdf(-critical, 17, delta)
    assert abs(found["power"] - exact) < 4 * np.sqrt(exact * (1 - exact) / 500)
    assert found["mc_error"] == pytest.approx(np.sqrt(found["power"] * (1 - found["power"]) / 500))
    assert found["lower"] < found["power"] < found["upper"]


def test_without_an_effect_power_is_the_level(sleepstudy):
    found = mx.power(sleepstudy, {"Days": 0.0}, alpha=0.1, n_sim=600, seed=2).table.iloc[0]
    assert abs(found["power"] - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 600)


def test_the_seed_decides_and_not_the_number_of_processes(sleepstudy):
    import joblib

    once = mx.power(sleepstudy, "Days", n_groups=[6], n_sim=100, ddf="normal", seed=3)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        again = mx.power(sleepstudy, "Days", n_groups=[6], n_sim=100, ddf="normal", seed=3, n_jobs=None)
    pd.testing.assert_frame_equal(once.table, again.table)
    assert once.table["size"].iloc[0] == pytest.approx(sleepstudy.fixef["Days"])


def test_the_left_out_degrees_of_freedom_decide_nothing(sleepstudy, monkeypatch):
    """Satterthwaite's df are computed only where the normal distribution rejects: decisions are the same."""
    from mixedfx.reml import power

    quick = mx.power(sleepstudy, {"Days": 3.0}, n_sim=60, seed=9).table["power"].iloc[0]
    every = power._reference
    monkeypatch.setattr(power, "_reference", lambda study, one, theta, ddf: every(study, one, theta, study.ddf))
    assert mx.power(sleepstudy, {"Days": 3.0}, n_sim=60, seed=9).table["power"].iloc[0] == quick


@pytest.mark.parametrize("groups", [7, 18, 40])
@pytest.mark.parametrize("per_group", [None, 4, 23])
def test_designs_have_the_size_that_was_asked_for(sleepstudy, groups, per_group):
    codes = cluster_of(sleepstudy.design)
    design = sized_design(sleepstudy.design, codes, groups, per_group, np.random.default_rng(1))
    assert design.random[0].n_levels == groups
    np.testing.assert_array_equal(np.bincount(design.random[0].codes), 10 if per_group is None else per_group)
    if per_group == 23:  # every day twice, three of them once more
        counts = np.unique(design.X[design.random[0].codes == 0, 1], return_counts=True)[1]
        assert sorted(counts) == [2] * 7 + [3] * 3


def test_nested_factors_are_copied_and_crossed_ones_kept():
    pastes = lmer("strength ~ 1 + (1 | batch/cask)", data("pastes"))
    design = sized_design(pastes.design, cluster_of(pastes.design), 25, None, np.random.default_rng(1))
    levels = {t.label: t.n_levels for t in design.random}
    assert sorted(levels.values()) == [25, 75]
    outer, inner = sorted(design.random, key=lambda t: t.n_levels)
    assert nested_in(inner.codes, outer.codes)
    penicillin = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data("penicillin"))
    crossed = sized_design(
        penicillin.design, cluster_of(penicillin.design, "plate"), 60, None, np.random.default_rng(1)
    )
    assert {t.label: t.n_levels for t in crossed.random} == {"plate": 60, "sample": 6}


def test_the_curve_has_a_point_for_each_design(sleepstudy):
    found = mx.power(sleepstudy, {"Days": 3.0}, n_groups=[6, 12], n_per_group=[4, 8], n_sim=20, ddf="normal", seed=1)
    assert found.table[["n_groups", "n_rows"]].to_numpy().tolist() == [[6, 24], [6, 48], [12, 48], [12, 96]]
    axes = found.plot().ax
    assert axes.get_xlabel() == "levels of Subject"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "Days = 3, 4 rows in a group",
        "Days = 3, 8 rows in a group",
    ]
    assert found.plot("n_per_group").ax.get_xlabel() == "rows in a group"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["6", "12"]
    assert "Power of a 5 % test (df: normal), 20 data sets for each design" in repr(found)
    assert found._repr_html_().count("<tr") == 6  # the answer, a header and four designs
    with pytest.raises(DataError, match="power curve needs rows"):
        power_curve(found.table.drop(columns="power"))


def test_kenward_roger_and_residual_degrees_of_freedom(sleepstudy):
    tables = [mx.power(sleepstudy, {"Days": 4.0}, n_sim=60, ddf=ddf, seed=5).table["power"].iloc[0]
              for ddf in ("kenward-roger", "satterthwaite", "residual", "normal")]  # fmt: skip
    # the same data sets, ever smaller critical values
    assert tables == sorted(tables)
    with pytest.raises(OptionError, match="defined for REML"):
        mx.power(sleepstudy.update(REML=False), "Days", ddf="kenward-roger")


def test_questions_that_cannot_be_answered(sleepstudy):
    with pytest.raises(OptionError, match="no coefficient 'Hours'"):
        mx.power(sleepstudy, {"Hours": 1.0})
    with pytest.raises(OptionError, match="n_groups holds 0"):
        mx.power(sleepstudy, "Days", n_groups=[10, 0])
    with pytest.raises(OptionError, match="alpha=5"):
        mx.power(sleepstudy, "Days", alpha=5)
    with pytest.raises(OptionError, match="the size of 'Days' is nan"):
        mx.power(sleepstudy, {"Days": np.nan})
    with pytest.raises(ModelError, match="random terms"):
        mx.power(lmer("Reaction ~ Days", data("sleepstudy")), "Days")
