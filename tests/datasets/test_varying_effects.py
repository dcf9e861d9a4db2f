"""The ladder of varying treatment effects."""

from __future__ import annotations

import re

import formulaic
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.datasets.simulated import Simulated
from mixedfx.datasets.varying_effects import DEFAULT_SDS, LADDER, simulate_varying_effects
from mixedfx.design.build import build_design
from mixedfx.errors import DataError, UnseenLevelError

RUNGS = sorted(LADDER)


def fixed_part(formula: str) -> str:
    return re.sub(r"\s*\+\s*\([^)]*\|[^)]*\)", "", formula.split("~")[1])


@pytest.mark.parametrize("rung", RUNGS)
def test_each_rung_gives_its_data_its_formula_and_its_truth(rung):
    simulated = simulate_varying_effects(rung, n=300, seed=1)
    assert simulated.formula == LADDER[rung]
    assert list(simulated.data.columns) == ["y", "z", "x1", "x2", "x3", "x4"]
    assert len(simulated.data) == 300
    assert simulated.data["z"].sum() == 150
    expected = {4: ["x3", "x4"], 5: ["x3", "x4"], 6: ["x3", "x4", "x3:x4"]}.get(rung, [])
    assert list(simulated.truth.u) == list(simulated.truth.cov) == expected
    for label, effects in simulated.truth.u.items():
        assert list(effects.columns) == (["Intercept"] if rung == 4 else ["Intercept", "z"])
        assert len(effects) == {"x3": 20, "x4": 15, "x3:x4": 300}[label]
        assert effects.index.is_unique


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("levels", [2, 3])
def test_coefficients_are_labelled_and_ordered_as_the_model_matrix_of_the_formula(rung, levels):
    simulated = simulate_varying_effects(rung, n=500, x1_levels=levels, x2_levels=levels, seed=2)
    matrix = formulaic.model_matrix(fixed_part(simulated.formula), simulated.data)
    assert [name.replace("[T.", "[") for name in matrix.columns] == list(simulated.truth.beta.index)
    fixed = np.column_stack([column.values(simulated.data) for column in simulated.fixed])
    np.testing.assert_array_equal(fixed, matrix.to_numpy(dtype=float))


@pytest.mark.parametrize("rung", RUNGS)
def test_the_linear_predictor_is_that_of_the_truth_written_out_by_hand(rung):
    simulated = simulate_varying_effects(rung, n=200, x1_levels=3, seed=3)
    matrix = formulaic.model_matrix(fixed_part(simulated.formula), simulated.data)
    expected = []
    for position, row in enumerate(simulated.data.itertuples()):
        value = float(matrix.to_numpy(dtype=float)[position] @ simulated.truth.beta.to_numpy())
        for label, effects in simulated.truth.u.items():
            u = effects.loc[":".join(getattr(row, name) for name in label.split(":"))]
            value += u["Intercept"] + (u["z"] * row.z if "z" in u else 0.0)
        expected.append(value)
    np.testing.assert_allclose(simulated.linear_predictor(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rung", RUNGS)
def test_without_residuals_the_response_is_the_linear_predictor(rung):
    simulated = simulate_varying_effects(rung, n=100, sigma=0.0, seed=4)
    np.testing.assert_array_equal(simulated.data["y"], simulated.linear_predictor())


@pytest.mark.parametrize("rung", RUNGS)
def test_the_true_effects_are_recovered_by_averaging_the_data(rung):
    simulated = simulate_varying_effects(rung, n=200_000, x3_levels=3, x4_levels=2, sigma=1.0, seed=5)
    data = simulated.data
    # The residuals of a randomised treatment: differences of raw means estimate the effect in each cell of everything.
    keys = ["x1", "x2", "x3", "x4"]
    cells = data.groupby([*keys, "z"], observed=True)["y"].mean().unstack("z")
    truth = simulated.subgroup_effects(keys)
    assert len(truth) == 24
    # Each of the 48 means rests on about 4,170 rows: the difference has a standard error of 0.022; five of them.
    assert (cells[1] - cells[0] - truth).abs().max() < 0.11


def test_drawn_effects_have_the_covariance_of_their_population():
    simulated = simulate_varying_effects(
        5, n=10, x3_levels=40_000, sds={"x3": (0.7, 0.2)}, correlations={"x3": -0.6}, seed=6
    )
    u = simulated.truth.u["x3"]
    expected = np.array([[0.49, -0.6 * 0.14], [-0.6 * 0.14, 0.04]])
    np.testing.assert_allclose(simulated.truth.cov["x3"], expected, atol=1e-12)
    # Relative standard error of a variance from 40,000 values: sqrt(2 / 40,000) = 0.7 %; four of them.
    np.testing.assert_allclose(u.cov(), expected, rtol=0.03)
    assert u.mean().abs().max() < 4 * 0.7 / np.sqrt(40_000)


@pytest.mark.parametrize("correlation", [-1.0, 1.0])
def test_a_correlation_of_one_gives_slopes_in_proportion_to_intercepts(correlation):
    simulated = simulate_varying_effects(5, n=10, sds={"x3": (0.5, 0.25)}, correlations={"x3": correlation}, seed=7)
    u = simulated.truth.u["x3"]
    np.testing.assert_allclose(u["z"], 0.5 * correlation * u["Intercept"], atol=1e-15)


def test_subgroup_effects_are_means_of_row_effects():
    simulated = simulate_varying_effects(6, n=400, seed=8)
    effects = simulated.treatment_effects()
    for by in ("x1", ["x1", "x2"], ["x3"]):
        expected = effects.groupby([simulated.data[key] for key in np.atleast_1d(by)], observed=True).mean()
        got = simulated.subgroup_effects(by)
        np.testing.assert_allclose(got.to_numpy(), expected.to_numpy(), atol=1e-12)
    assert list(simulated.subgroup_effects(["x1", "x2"]).index.names) == ["x1", "x2"]


def test_population_cells_are_averaged_with_their_counts():
    simulated = simulate_varying_effects(5, n=50, seed=9)
    cells = pd.DataFrame({"x1": "a1", "x2": ["b1", "b2"], "x3": "g01", "x4": "h02", "N": [30, 10]})
    row_effects = simulated.treatment_effects(cells)
    assert simulated.subgroup_effects("x1", cells, weights="N")["a1"] == pytest.approx(
        0.75 * row_effects[0] + 0.25 * row_effects[1], abs=1e-12
    )
    beta, u = simulated.truth.beta, simulated.truth.u
    assert row_effects[0] == pytest.approx(beta["z"] + u["x3"].loc["g01", "z"] + u["x4"].loc["h02", "z"], abs=1e-12)


def test_the_effect_is_the_same_for_all_on_the_first_rung_and_varies_by_cell_only_up_to_the_fourth():
    assert simulate_varying_effects(1, n=50, seed=1).treatment_effects().std() == pytest.approx(0, abs=1e-12)
    for rung in (2, 3, 4):
        simulated = simulate_varying_effects(rung, n=200, seed=1)
        within = simulated.treatment_effects().groupby([simulated.data["x1"], simulated.data["x2"]], observed=True)
        assert within.std().max() < 1e-12
        assert simulated.treatment_effects().std() > 0.01
    assert simulate_varying_effects(5, n=200, seed=1).subgroup_effects("x3").std() > 0.1


def test_given_coefficients_are_used_and_those_left_out_are_zero():
    simulated = simulate_varying_effects(3, n=50, beta={"Intercept": 2.0, "x1[a2]:x2[b2]:z": 0.7}, seed=1)
    assert simulated.truth.beta["Intercept"] == 2.0
    assert simulated.truth.beta["x1[a2]:x2[b2]:z"] == 0.7
    assert simulated.truth.beta.abs().sum() == pytest.approx(2.7)


def test_sds_left_out_keep_their_defaults():
    simulated = simulate_varying_effects(6, n=50, sds={"x3:x4": (0.0, 0.0)}, seed=1)
    assert simulated.truth.u["x3:x4"].abs().to_numpy().max() == 0.0
    assert simulated.truth.cov["x4"].loc["z", "z"] == pytest.approx(DEFAULT_SDS["x4"][1] ** 2)


@settings(max_examples=25, deadline=None)
@given(
    rung=st.sampled_from(RUNGS),
    n=st.integers(2, 60),
    levels=st.tuples(*[st.integers(1, 4)] * 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size_is_reproducible_and_consistent(rung, n, levels, seed):
    def simulate() -> Simulated:
        x1, x2, x3, x4 = levels
        return simulate_varying_effects(rung, n=n, x1_levels=x1, x2_levels=x2, x3_levels=x3, x4_levels=x4, seed=seed)

    first, second = simulate(), simulate()
    pd.testing.assert_frame_equal(first.data, second.data)
    pd.testing.assert_series_equal(first.truth.beta, second.truth.beta)
    assert [len(first.data[name].cat.categories) for name in ("x1", "x2", "x3", "x4")] == list(levels)
    treated = first.linear_predictor(first.data.assign(z=1)) - first.linear_predictor(first.data.assign(z=0))
    np.testing.assert_allclose(first.treatment_effects(), treated, atol=1e-12)


def test_a_generator_goes_on_where_it_stands():
    rng = np.random.default_rng(1)
    first = simulate_varying_effects(1, n=20, seed=rng)
    second = simulate_varying_effects(1, n=20, seed=rng)
    assert not first.data["y"].equals(second.data["y"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rung": 7}, "no rung 7"),
        ({"rung": 5, "n": 1}, "1 rows"),
        ({"rung": 2, "beta": {"x1[a2]:x2[b2]:z": 1.0}}, r"which this rung has not"),
        ({"rung": 5, "sds": {"school": (1, 1)}}, "'school'"),
        ({"rung": 5, "correlations": {"x5": 0.1}}, "'x5'"),
        ({"rung": 5, "sds": {"x3": (-1, 1)}}, "standard deviations of x3"),
        ({"rung": 5, "correlations": {"x4": 1.5}}, "correlation of x4"),
        ({"rung": 5, "x3_levels": 0}, "0 levels"),
        ({"rung": 5, "sigma": -0.1}, "sigma is -0.1"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        simulate_varying_effects(**arguments)


def test_rows_with_a_level_outside_the_population_are_refused():
    simulated = simulate_varying_effects(6, n=50, seed=1)
    rows = simulated.data.assign(x3="g99")
    with pytest.raises(UnseenLevelError, match="x3 has the level 'g99'"):
        simulated.treatment_effects(rows)
    with pytest.raises(UnseenLevelError, match="x3 has the level 'nan'"):
        simulated.treatment_effects(simulated.data.assign(x3=simulated.data["x3"].where(simulated.data["z"] == 1)))


@pytest.mark.parametrize("rung", RUNGS)
def test_the_truth_is_labelled_as_a_design_of_its_formula_labels_it(rung):
    simulated = simulate_varying_effects(rung, n=1500, x1_levels=3, seed=11)
    design = build_design(simulated.formula, simulated.data)
    assert list(design.fixed_names) == list(simulated.truth.beta.index)
    assert [term.label for term in design.random] == list(simulated.truth.u)
    mean = design.X @ simulated.truth.beta.to_numpy()
    for term in design.random:
        effects = simulated.truth.u[term.label]
        assert list(term.columns) == list(effects.columns)
        mean += (effects.loc[list(term.levels)].to_numpy()[term.codes] * term.z).sum(axis=1)
    np.testing.assert_allclose(mean, simulated.linear_predictor(), rtol=0, atol=1e-12)
