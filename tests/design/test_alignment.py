"""Values given beside the data go to the rows of their labels, wherever they are given, or are refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.alignment import aligned, per_row
from mixedfx.errors import DataError, EffectsError, UnweightedRowsWarning

N = 40


def labelled(labels) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"x": rng.normal(size=N), "g": np.repeat(list("abcdefgh"), 5), "z": np.tile([0, 1], N // 2)})
    data["y"] = rng.normal(size=N) + data["x"] + rng.normal(size=8).repeat(5)
    data["w"], data["o"] = rng.uniform(0.3, 4.0, N), rng.normal(size=N)
    return data.set_axis(pd.Index(labels))


LABELS = st.sampled_from(
    [
        list(range(N)),
        list(range(100, 100 + N)),
        [f"row {i}" for i in range(N)],
        pd.date_range("2020-01-01", periods=N),
        pd.MultiIndex.from_product([list("abcd"), range(10)]),
    ]
)
USES = {
    "lmer": lambda d, w, o: mx.lmer("y ~ x + (1 | g)", d, weights=w, offset=o).fixef,
    "design": lambda d, w, o: np.column_stack([(b := mx.design("y ~ x", d, weights=w, offset=o)).weights, b.offset]),
    "stan_data": lambda d, w, o: mx.stan_data("y ~ x + (1 | g)", d, weights=w, offset=o)["weights"],
    "rake": lambda d, w, o: mx.rake(d, {"g": dict.fromkeys("abcdefgh", 5)}, weights=w),
    "effects": lambda d, w, o: mx.effects(mx.lmer("y ~ x * z + (1 | g)", d), "z", weights=w).table["estimate"],
    "effects of new rows": lambda d, w, o: mx.effects(
        mx.lmer("y ~ x * z + (1 | g)", d), "z", newdata=d.iloc[::-1], weights=w
    ).table["estimate"],
    "draws of weights": lambda d, w, o: mx.effects(
        mx.lmer("y ~ x * z + (1 | g)", d),
        "z",
        weights=pd.DataFrame([w, 2 * w]) if isinstance(w, pd.Series) else np.stack([w, 2 * w]),
        seed=1,
    ).table["estimate"],
    "predict": lambda d, w, o: mx.lmer("y ~ x + (1 | g)", d).predict(d, interval="prediction", weights=w)["se"],
    "cluster": lambda d, w, o: (
        mx.lmer("y ~ x + (1 | g)", d).vcov_robust(cluster=d["g"] if w is not o else None).vcov
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@pytest.mark.parametrize("use", USES)
@given(labels=LABELS, seed=st.integers(0, 1000), sorted_data=st.booleans())
@settings(max_examples=8, deadline=None)
def test_a_shuffled_series_means_what_the_column_means(use, labels, seed, sorted_data):
    data = labelled(labels)
    if not sorted_data:  # labels need not be in order
        data = data.sample(frac=1, random_state=seed + 1)
    shuffled = data.sample(frac=1, random_state=seed)
    by_label = USES[use](data, shuffled["w"], shuffled["o"])
    by_position = USES[use](data, *_in_order(use, data))
    np.testing.assert_allclose(by_label, by_position, rtol=1e-9, atol=1e-12)


def _in_order(use, data):
    rows = data.iloc[::-1] if use == "effects of new rows" else data
    return rows["w"].to_numpy(), rows["o"].to_numpy()


@pytest.mark.parametrize(
    ("labels", "index", "message"),
    [
        (["a", "b", "c"], ["a", "b", "d"], "whose index has no 'c'"),
        (["a", "b", "c"], [0, 1, 2], "whose index has no 'a', a row of the data \\(3 are lacking\\)"),
        (["a", "b", "a"], ["b", "a", "c"], "the data's label 'a' stands for several rows"),
        (["a", "b", "c"], ["b", "a", "a"], "its label 'a' stands for several rows"),
        (["a", "b", "c"], ["a", "b"], "has 2 values, the data have 3 rows"),
        (["a", "b"], ["a", "b", "c"], "has 3 values, the data have 2 rows"),
        (None, ["a", "b", "c"], "have no labels to match it"),
        (None, [2, 1, 0], "have no labels to match it"),
        (None, [0, 1], "has 2 values, the data have 3 rows"),
    ],
)
def test_a_series_that_cannot_be_aligned_is_refused(labels, index, message):
    n = 3 if labels is None else len(labels)
    with pytest.raises(DataError, match=message) as caught:
        per_row(pd.Series(1.0, index=index), None if labels is None else pd.Index(labels), n, "weights")
    assert caught.value.hint


def test_the_same_index_is_aligned_even_where_labels_repeat():
    twice = pd.concat([labelled(range(N))] * 2)  # two surveys on top of each other
    right = mx.design("y ~ x", twice, weights="w").weights
    np.testing.assert_array_equal(mx.design("y ~ x", twice, weights=twice["w"]).weights, right)
    with pytest.raises(DataError, match="stands for several rows"):
        mx.design("y ~ x", twice, weights=twice["w"].sort_values())


def test_data_without_labels_take_a_series_without_labels():
    data = labelled(range(N))
    frame = pl.from_pandas(data)
    right = data["w"].to_numpy()
    np.testing.assert_array_equal(mx.design("y ~ x", frame, weights=data["w"]).weights, right)
    with pytest.raises(DataError, match="have no labels"):
        mx.design("y ~ x", frame, weights=data["w"].sort_values())
    # And labelled data take the columns of libraries that have none, by position.
    np.testing.assert_array_equal(mx.design("y ~ x", data, weights=frame["w"]).weights, right)
    assert aligned([1, 2], None, 2, "weights") == [1, 2]


def test_values_for_all_rows_of_the_data_follow_the_rows_that_were_dropped():
    data = labelled([f"row {i}" for i in range(N)])
    data.iloc[[3, 17], 0] = np.nan
    fit = mx.lmer("y ~ x * z + (1 | g)", data)
    used = data.dropna()
    for people in (data["w"], used["w"]):
        table = mx.effects(fit, "z", weights=people.sample(frac=1, random_state=2)).table
        pd.testing.assert_frame_equal(table, mx.effects(fit, "z", weights=used["w"].to_numpy()).table)
        response = (people * 2).sample(frac=1, random_state=3)
        np.testing.assert_allclose(fit.refit(response).fixef, fit.refit(2 * used["w"].to_numpy()).fixef, rtol=1e-12)
        right = fit.refits(2 * used["w"].to_numpy()).beta
        np.testing.assert_array_equal(fit.refits(response.to_frame()).beta, right)
    right = fit.vcov_robust(cluster="g").vcov
    np.testing.assert_array_equal(fit.vcov_robust(cluster=data["g"].iloc[::-1]).vcov, right)


def test_simulated_responses_count_rows_and_are_taken_so():
    data = labelled(np.random.default_rng(1).permutation(N))
    fit = mx.lmer("y ~ x + (1 | g)", data)
    simulated = fit.simulate(3, seed=1)
    right = fit.refits(simulated.to_numpy()).beta
    np.testing.assert_array_equal(fit.refits(simulated).beta, right)
    # In another order these numbers may as well be the labels of the data, which are the same numbers.
    with pytest.raises(DataError, match="may be that of the data or count their rows"):
        fit.refits(simulated.iloc[::-1])
    apart = mx.lmer("y ~ x + (1 | g)", data.set_axis(range(100, 100 + N)))
    np.testing.assert_array_equal(apart.refits(simulated.iloc[::-1]).beta, right)


def test_costs_of_a_decision_are_those_of_the_subgroups_they_name():
    data = labelled(range(N))
    eff = mx.effects(mx.lmer("y ~ x * z * g + (1 | x)", data.assign(x=data["x"].round(1))), "z", by="g")
    costs = pd.Series(np.linspace(0, 2, 8), index=list("abcdefgh"))
    right = eff.decide(cost=costs.tolist())
    for given_costs in (costs, costs.iloc[::-1], costs.to_dict()):
        pd.testing.assert_frame_equal(eff.decide(cost=given_costs).table, right.table)
    with pytest.raises(EffectsError, match="no entry for 'a'"):
        eff.decide(cost=costs.reset_index(drop=True))
    with pytest.raises(EffectsError, match="names a subgroup twice"):
        eff.decide(cost=pd.concat([costs, costs]))


def test_new_rows_of_a_weighted_fit_have_weights_or_a_warning():
    data = labelled(range(N))
    for given_weights in ("w", data["w"]):
        fit = mx.lmer("y ~ x + (1 | g)", data, weights=given_weights)
        bare = data.drop(columns="w")
        with pytest.warns(UnweightedRowsWarning, match="predicted with weight 1") as heard:
            alone = fit.predict(bare, uncertainty="residual")
        assert heard[0].filename == __file__
        np.testing.assert_allclose(alone["se"], fit.sigma)
        named = fit.predict(bare, uncertainty="residual", weights=data["w"].sort_values())
        np.testing.assert_allclose(named["se"], fit.sigma / np.sqrt(data["w"]))
