"""The simulators of benchmark shapes have the shapes they promise, and a truth their data agree with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mixedfx.datasets.benchmark_shapes import (
    simulate_crossed_ratings,
    simulate_insteval,
    simulate_locally_crossed,
    simulate_nested_slopes,
    simulate_subjects_items,
)
from mixedfx.datasets.pairs import distinct_pairs
from mixedfx.datasets.simulated import Simulated
from mixedfx.design.build import build_design
from mixedfx.errors import DataError

SMALL: dict[str, Callable[[int], Simulated]] = {
    "insteval": lambda seed: simulate_insteval(seed),
    "nested": lambda seed: simulate_nested_slopes(200, 4, 10, seed),
    "ratings": lambda seed: simulate_crossed_ratings(40_000, 600, 400, seed),
    "local": lambda seed: simulate_locally_crossed(2_000, 400, 10, 30, seed),
    "maximal": lambda seed: simulate_subjects_items(seed=seed),
    "singular": lambda seed: simulate_subjects_items(slopes="main", singular=True, seed=seed),
}


@pytest.fixture(scope="module", params=SMALL)
def pair(request) -> tuple[Simulated, Simulated]:
    return SMALL[request.param](1), SMALL[request.param](1)


def test_the_same_seed_gives_the_same_data_and_truth(pair):
    first, second = pair
    pd.testing.assert_frame_equal(first.data, second.data)
    for label, effects in first.truth.u.items():
        pd.testing.assert_frame_equal(effects, second.truth.u[label])


def test_subtracting_the_truth_leaves_white_noise(pair):
    simulated, _ = pair
    noise = simulated.data["y"] - simulated.linear_predictor()
    n = len(noise)
    # Five standard errors of a mean and of a standard deviation.
    assert abs(noise.mean()) < 5 * simulated.truth.sigma / np.sqrt(n)
    assert noise.std() == pytest.approx(simulated.truth.sigma, rel=5 / np.sqrt(2 * n))
    for label in simulated.truth.u:
        sums = noise.groupby(simulated.data[label], observed=True).agg(["sum", "size"])
        chi2 = (sums["sum"] ** 2 / sums["size"]).sum() / simulated.truth.sigma**2
        # Sums over levels are independent normals: chi-squared with as many degrees of freedom as levels.
        assert abs(chi2 - len(sums)) < 5 * np.sqrt(2 * len(sums)), label


def test_levels_of_the_data_are_levels_of_the_truth_and_all_occur(pair):
    simulated, _ = pair
    for label, effects in simulated.truth.u.items():
        column = simulated.data[label]
        assert list(column.cat.categories) == list(effects.index)
        assert column.nunique() == len(effects)


def test_insteval_has_the_sizes_of_the_original_and_its_skew():
    data = simulate_insteval(2).data
    assert len(data) == 73_421
    assert [data[name].nunique() for name in ("s", "d", "dept")] == [2_972, 1_128, 14]
    assert set(data["service"]) == {0, 1}
    assert not data.duplicated(["s", "d"]).any(), "a student rates a lecturer once"
    assert (data.groupby("d", observed=True)["dept"].nunique() == 1).all(), "a lecturer has one department"
    per_lecturer = data["d"].value_counts()
    # The original: from 10 to 792 ratings, median 31, mean 65; 31 % of the ratings are of service lectures.
    assert per_lecturer.min() >= 8
    assert 400 < per_lecturer.max() < 1_500
    assert per_lecturer.median() < 0.75 * per_lecturer.mean()
    assert 0.25 < data["service"].mean() < 0.4


def test_nested_classrooms_belong_to_one_school_each_and_their_labels_do_not_tell_which():
    data = simulate_nested_slopes(200, 4, 10, seed=1).data
    assert len(data) == 8_000
    assert (data.groupby("classroom", observed=True)["school"].nunique() == 1).all()
    assert (data.groupby("school", observed=True)["classroom"].nunique() == 4).all()
    one_school = data.loc[data["school"] == "s001", "classroom"].cat.codes.unique()
    assert one_school.max() - one_school.min() > 3


def test_a_million_ratings_are_distinct_pairs_with_long_tails():
    data = simulate_crossed_ratings(seed=3).data
    assert len(data) == 1_000_000
    users, items = data["user"].value_counts(), data["item"].value_counts()
    assert (len(users), len(items)) == (6_040, 3_706)
    assert users.min() >= 1
    assert items.min() >= 1
    pairs = data["user"].cat.codes.to_numpy(dtype=np.int64) * 3_706 + data["item"].cat.codes.to_numpy()
    assert len(np.unique(pairs)) == 1_000_000
    # The original: users from 20 to 2,314 (median 96), items from 1 to 3,428 (median 124) ratings.
    assert users.max() > 1_000
    assert items.max() > 3_000
    assert items.median() < 0.6 * items.mean()


def test_locally_crossed_units_meet_neighbouring_places_only():
    simulated = simulate_locally_crossed(5_000, 1_000, 12, 30, seed=4)
    data = simulated.data
    assert len(data) == 60_000
    assert (data["unit"].value_counts() == 12).all()
    units = data["unit"].cat.codes.to_numpy()
    places = data["place"].cat.codes.to_numpy()
    # float32 so that the product below goes through BLAS; the counts are small integers, hence exact.
    met = np.zeros((5_000, 1_000), dtype=np.float32)
    met[units, places] = 1
    # Two places share a unit only if fewer than 30 steps apart on the ring: at most 29 on each side.
    together = (met.T @ met > 0).sum(axis=1) - 1
    assert together.max() <= 58
    assert together.min() >= 40
    # The labels are shuffled: neighbours by label are as good as never neighbours on the ring.
    adjacent = (met[:, :-1] * met[:, 1:]).sum(axis=0) > 0
    assert adjacent.mean() < 0.2


def test_the_default_local_crossing_is_the_size_the_benchmarks_ask_for():
    data = simulate_locally_crossed(seed=1).data
    assert (len(data), data["unit"].nunique(), data["place"].nunique()) == (500_000, 50_000, 10_000)


@pytest.mark.parametrize(("slopes", "columns"), [("main", 4), ("maximal", 8)])
@pytest.mark.parametrize("singular", [False, True])
def test_subjects_and_items_have_the_random_slopes_and_the_rank_asked_for(slopes, columns, singular):
    simulated = simulate_subjects_items(slopes=slopes, singular=singular, seed=5)
    assert len(simulated.data) == 56 * 32
    assert list(simulated.truth.beta.index) == ["Intercept", "a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]
    regular = simulate_subjects_items(slopes=slopes, seed=5)
    for label in ("subject", "item"):
        cov = simulated.truth.cov[label].to_numpy()
        sd = np.sqrt(np.diag(cov))
        assert np.linalg.matrix_rank(cov / np.outer(sd, sd), tol=1e-10) == (2 if singular else columns)
        np.testing.assert_allclose(sd, np.sqrt(np.diag(regular.truth.cov[label])), rtol=1e-12)
        assert np.linalg.matrix_rank(simulated.truth.u[label].to_numpy() / sd, tol=1e-8) == (2 if singular else columns)


def test_the_experiment_is_a_latin_square():
    data = simulate_subjects_items(seed=1).data
    assert not data.duplicated(["subject", "item"]).any()
    for unit, count in (("subject", 4), ("item", 7)):
        per_cell = data.groupby([unit, "a", "b", "c"], observed=True).size()
        assert (per_cell == count).all()
    assert set(np.unique(data[["a", "b", "c"]])) == {-1, 1}


@pytest.mark.parametrize(
    ("simulate", "message"),
    [
        (lambda: simulate_crossed_ratings(100, 80, 40), "100 ratings"),
        (lambda: simulate_crossed_ratings(1_000, 40, 40), "1000 ratings"),
        (lambda: simulate_locally_crossed(10, 10, 2, 11), "11 neighbours"),
        (lambda: simulate_subjects_items(slopes="none"), "slopes 'none'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_impossible_shapes_are_refused(simulate, message):
    with pytest.raises(DataError, match=message):
        simulate()


def test_more_pairs_than_there_are_end_in_an_error_and_not_in_an_endless_loop():
    diagonal = np.arange(3)
    with pytest.raises(DataError, match="4 distinct pairs were asked for, but 20 rounds gave none beyond 3"):
        distinct_pairs(4, 3, (diagonal, diagonal), lambda size: (np.zeros(size, int),) * 2, np.random.default_rng(1))


def test_data_without_a_treatment_have_no_treatment_effects():
    with pytest.raises(DataError, match="without a treatment"):
        simulate_subjects_items(seed=1).treatment_effects()


def test_the_truth_is_labelled_as_a_design_of_its_formula_labels_it(pair):
    simulated, _ = pair
    design = build_design(simulated.formula, simulated.data)
    assert list(design.fixed_names) == list(simulated.truth.beta.index)
    assert [term.label for term in design.random] == list(simulated.truth.u)
    mean = design.X @ simulated.truth.beta.to_numpy()
    for term in design.random:
        effects = simulated.truth.u[term.label]
        assert list(term.columns) == list(effects.columns)
        mean += (effects.loc[list(term.levels)].to_numpy()[term.codes] * term.z).sum(axis=1)
    # The largest responses are some thousand milliseconds: rounding of sums of a dozen terms.
    np.testing.assert_allclose(mean, simulated.linear_predictor(), rtol=0, atol=1e-9)
