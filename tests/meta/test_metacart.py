"""Trees of effect sizes: the search is exhaustive, the statistics are those of their formulas, noise is left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.meta.moderators.cart import Variable, between, common_tau2, grow, leaves_of


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, list[Variable]]:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(8, 16))
    y, v = rng.normal(0, 0.5, k), rng.uniform(0.02, 0.3, k)
    levels = ("a", "b", "c", "d")
    variables = [
        Variable("x", rng.integers(0, 6, k).astype(float), None),
        Variable("z", np.round(rng.normal(size=k), 1), None),
        Variable("f", rng.integers(0, 4, k).astype(float), levels),
    ]
    return y, v, variables


def statistics(y: np.ndarray, v: np.ndarray, leaf: np.ndarray) -> tuple[float, float]:
    """tau2 and Q*_B as their formulas are written."""
    mine = (leaf == np.unique(leaf)[:, None]).astype(float)  # (leaves, k)
    w = 1 / v
    total = mine @ w
    means = mine @ (w * y) / total
    Q = np.sum(w * (y - means @ mine) ** 2)
    C = np.sum(total - mine @ w**2 / total)
    tau2 = max(0.0, (Q - (len(y) - len(mine))) / C) if C > 0 else 0.0
    ws = 1 / (v + tau2)
    whole = ws @ y / ws.sum()
    totals = mine @ ws
    return tau2, float(np.sum(totals * (mine @ (ws * y) / totals - whole) ** 2))


def brute_force(y, v, variables, leaf, min_split, min_bucket):
    """The largest Q*_B over every leaf, every moderator and every cut."""
    best = -np.inf
    for j in np.unique(leaf):
        mine = leaf == j
        if mine.sum() < min_split:
            continue
        for one in variables:
            values = one.values.copy()
            if one.levels is not None:
                order = sorted(np.unique(values[mine]), key=lambda c: y[mine & (one.values == c)].mean())
                values = np.array([order.index(c) if c in order else -1 for c in values], dtype=float)
            for cut in np.unique(values[mine])[:-1]:
                right = mine & (values > cut)
                if min(right.sum(), (mine & ~right).sum()) < min_bucket:
                    continue
                split = np.where(right, leaf.max() + 1, leaf)
                best = max(best, statistics(y, v, split)[1])
    return best


@settings(max_examples=200)
@given(st.integers(0, 100_000))
def test_each_split_is_the_best_of_all(seed):
    y, v, variables = problem(seed)
    splits = grow(y, v, variables, 3, 4, 2)
    values = [one.values for one in variables]
    for count, split in enumerate(splits):
        before = leaves_of(splits[:count], values, len(y))
        assert pytest.approx(brute_force(y, v, variables, before, 4, 2), rel=1e-9) == split.Q
        after = leaves_of(splits[: count + 1], values, len(y))
        tau2, Q = statistics(y, v, after)
        assert (split.tau2, split.Q) == (pytest.approx(tau2, abs=1e-10), pytest.approx(Q, rel=1e-9))
        assert common_tau2(y, v, after) == pytest.approx(tau2, abs=1e-10)
        assert between(y, v, after, tau2)[0] == pytest.approx(Q, rel=1e-9)
    if len(splits) < 3:  # nothing that is left gains
        leaf = leaves_of(splits, values, len(y))
        gained = brute_force(y, v, variables, leaf, 4, 2) - (splits[-1].Q if splits else 0.0)
        assert gained < 1e-5


def trials(seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "study": np.repeat(np.arange(40), 2),
            "weeks": rng.integers(2, 30, 80),
            "setting": rng.choice(["clinic", "home", "school"], 80),
            "vi": rng.uniform(0.02, 0.08, 80),
        }
    )
    frame["yi"] = 0.6 * (frame["weeks"] > 12) + 0.5 * ((frame["weeks"] > 12) & (frame["setting"] == "home"))
    return frame.assign(yi=frame["yi"] + rng.normal(0, np.sqrt(frame["vi"] + 0.01)))


def test_an_interaction_is_found_and_said_in_words():
    tree = mx.metacart("yi ~ weeks + setting", trials(), cluster="study", seed=1, permutations=39)
    assert tree.leaves["rule"].tolist() == [
        "weeks <= 12.5",
        "weeks > 12.5 and setting is clinic or school",
        "weeks > 12.5 and setting is home",
    ]
    assert tree.p_value == pytest.approx(1 / 40)
    assert tree.leaves["k"].sum() == 80
    leaf = tree.leaves.set_index("rule")["estimate"]
    assert leaf["weeks > 12.5 and setting is home"] > leaf["weeks <= 12.5"] + 0.7
    new = pd.DataFrame({"weeks": [3, 20, 20], "setting": ["home", "home", "school"]})
    np.testing.assert_array_equal(tree.predict(new), tree.leaves["estimate"].to_numpy()[[0, 2, 1]])
    assert "p = 0.025 by 39 permutations" in repr(tree)


def test_the_mean_of_a_leaf_and_its_error_are_those_of_its_estimates_with_the_common_tau2():
    frame = trials()
    tree = mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=1)
    one = frame[tree.leaf == 0]
    w = 1 / (one["vi"] + tree.tau2)
    row, mean = tree.leaves.iloc[0], np.average(one["yi"], weights=w)
    assert row["estimate"] == pytest.approx(mean, rel=1e-12)
    sums = (w * (one["yi"] - mean)).groupby(one["study"]).sum()
    m = len(sums)
    assert row["std_error"] == pytest.approx(np.sqrt(m / (m - 1) * np.sum(sums**2)) / w.sum(), rel=1e-12)
    assert row["conf_high"] == pytest.approx(mean + stats.t.ppf(0.975, m - 1) * row["std_error"], rel=1e-10)
    alone = mx.metacart("yi ~ weeks + setting", frame, seed=1)
    w = 1 / (frame["vi"][alone.leaf == 0] + alone.tau2)
    assert alone.leaves["std_error"].iloc[0] == pytest.approx(w.sum() ** -0.5, rel=1e-12)


@pytest.mark.slow
def test_intervals_of_leaves_cover_with_effects_that_studies_share():
    """One division that is known, 300 data sets of 40 studies with 4 estimates; se of the share .0126."""
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        study = np.repeat(np.arange(40), 4)
        x = rng.integers(0, 2, 40)[study].astype(float)
        y = 2.0 * x + rng.normal(0, 0.4, 40)[study] + rng.normal(0, 0.2, 160)
        frame = pd.DataFrame({"yi": y, "x": x, "vi": 0.03, "study": study})
        leaves = mx.metacart("yi ~ x", frame, cluster="study", max_splits=1, seed=1, c=0.0).leaves
        covered += int(leaves["conf_low"].iloc[0] <= 0.0 <= leaves["conf_high"].iloc[0])
    assert abs(covered / 300 - 0.95) < 4 * 0.0126


def test_errors_are_those_of_clusters_left_out_and_the_smallest_tree_near_the_best_is_chosen():
    frame = trials()
    tree = mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=1, folds=4)
    from mixedfx.meta.moderators.tuning import cluster_folds

    fold = cluster_folds(40, 4, 1)[frame["study"]]
    squares = np.empty(80)
    for f in range(4):
        train, test = frame[fold != f], frame[fold == f]
        mean = np.average(train["yi"], weights=1 / (train["vi"] + statistics(
            train["yi"].to_numpy(), train["vi"].to_numpy(), np.zeros(len(train)))[0]))  # fmt: skip
        squares[fold == f] = (test["yi"] - mean) ** 2
    total = np.sum((frame["yi"] - frame["yi"].mean()) ** 2)
    table = tree.cross_validation
    assert table["error"].iloc[0] == pytest.approx(squares.sum() / total, rel=1e-12)
    assert table["se"].iloc[0] == pytest.approx(np.sqrt(np.sum((squares - squares.mean()) ** 2)) / total, rel=1e-12)
    best = table["error"].idxmin()
    near = table.loc[table["error"] <= table["error"][best] + table["se"][best], "splits"].iloc[0]
    assert tree.size == near == table.loc[table["chosen"], "splits"].item()
    assert mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=1, folds=4, c=0.0).size >= tree.size


def grown_by_hand(y, v, variables, size, min_split, min_bucket):
    """Leaf rules of 0 to `size` splits, each found by trying every cut; what a rule does to new rows."""
    rules, leaf = [], np.zeros(len(y), dtype=int)
    while len(rules) < size:
        best, found = -np.inf, None
        for j in np.unique(leaf):
            mine = leaf == j
            if mine.sum() < min_split:
                continue
            for i, one in enumerate(variables):
                order = list(np.unique(one.values[mine]))
                if one.levels is not None:
                    order.sort(key=lambda c, mine=mine, one=one: y[mine & (one.values == c)].mean())
                for cut in range(1, len(order)):
                    left = set(order[:cut])
                    right = mine & ~np.isin(one.values, list(left))
                    if min(right.sum(), (mine & ~right).sum()) < min_bucket:
                        continue
                    Q = statistics(y, v, np.where(right, leaf.max() + 1, leaf))[1]
                    if best + 1e-9 < Q:
                        edge = (order[cut - 1] + order[cut]) / 2 if one.levels is None else None
                        best, found = Q, (j, i, edge, left)
        if found is None:
            break
        rules.append(found)
        leaf = divided_by([found], variables, leaf)
    return rules


def divided_by(rules, variables, leaf):
    leaf = leaf.copy()
    for j, i, edge, left in rules:
        values = variables[i].values
        right = values > edge if edge is not None else ~np.isin(values, list(left))
        leaf[(leaf == j) & right] = leaf.max() + 1
    return leaf


def part_of(variables, rows):
    return [Variable(one.name, one.values[rows], one.levels) for one in variables]


def test_pruning_is_that_of_trees_grown_by_hand_without_each_fold():
    from mixedfx.meta.moderators.metacart import variables_of
    from mixedfx.meta.moderators.tuning import cluster_folds

    frame = trials(seed=9).head(48)
    tree = mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=3, folds=3, max_splits=3)
    data, variables = tree.data, variables_of(tree.data)
    fold = cluster_folds(24, 3, 3)[data.clusters]
    squares = np.empty((4, 48))
    for f in range(3):
        train, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        y, v, inside, outside = data.y[train], data.vi[train], part_of(variables, train), part_of(variables, test)
        rules = grown_by_hand(y, v, inside, 3, 6, 3)
        for size in range(4):
            leaf = divided_by(rules[:size], inside, np.zeros(len(train), dtype=int))
            w = 1 / (v + statistics(y, v, leaf)[0])
            means = np.array([np.average(y[leaf == j], weights=w[leaf == j]) for j in range(leaf.max() + 1)])
            new = divided_by(rules[:size], outside, np.zeros(len(test), dtype=int))
            squares[size, test] = (data.y[test] - means[new]) ** 2
    total = np.sum((data.y - data.y.mean()) ** 2)
    np.testing.assert_allclose(tree.cross_validation["error"], squares.sum(axis=1) / total, rtol=1e-10)
    se = np.sqrt(np.sum((squares - squares.mean(axis=1, keepdims=True)) ** 2, axis=1)) / total
    np.testing.assert_allclose(tree.cross_validation["se"], se, rtol=1e-10)
    error = squares.sum(axis=1) / total
    best = int(np.argmin(error))
    assert tree.size == np.flatnonzero(error <= error[best] + se[best])[0] > 0


def test_the_permutation_p_is_the_share_of_trees_grown_by_hand_on_shuffled_moderators():
    from mixedfx.meta.moderators.metacart import variables_of
    from mixedfx.meta.moderators.preselection import shuffled

    frame = trials(seed=9).head(48)
    tree = mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=3, max_splits=2, permutations=12)
    assert tree.size > 0
    rng, reached = np.random.default_rng(3), []
    for _ in range(12):
        rows = shuffled(tree.data.clusters, rng)
        for c in range(24):  # a cluster gets the moderators of one cluster
            assert len(np.unique(tree.data.clusters[rows[tree.data.clusters == c]])) == 1
        moved = part_of(variables_of(tree.data), rows)
        rules = grown_by_hand(tree.data.y, tree.data.vi, moved, tree.size, 6, 3)
        reached.append(statistics(tree.data.y, tree.data.vi, divided_by(rules, moved, np.zeros(48, dtype=int)))[1])
    np.testing.assert_allclose(tree.permutations, reached, rtol=1e-9)
    assert tree.p_value == (1 + np.sum(np.array(reached) >= tree.Q)) / 13


def test_noise_is_not_divided():
    rng = np.random.default_rng(3)
    frame = trials().assign(yi=rng.normal(0, 0.3, 80))
    tree = mx.metacart("yi ~ weeks + setting", frame, cluster="study", seed=1)
    assert tree.size == 0
    assert tree.leaves["rule"].tolist() == ["all"]
    assert np.isnan(tree.p_value)
    assert "no division predicts clusters left out better" in repr(tree)


def test_picture(tmp_path):
    tree = mx.metacart("yi ~ weeks + setting", trials(), cluster="study", seed=1)
    picture = tree.plot()
    words = [text.get_text() for text in picture.ax.texts]
    assert "weeks <= 12.5" in words
    assert picture.save(tmp_path / "tree.png").stat().st_size > 5_000


def test_rules_of_long_names_do_not_meet():
    names = {"weeks": "number of weeks between the first and the last session of the intervention",
             "setting": "whether the intervention takes place at home, in a clinic or at school"}  # fmt: skip
    formula = "yi ~ " + " + ".join(f"`{name}`" for name in names.values())
    tree = mx.metacart(formula, trials().rename(columns=names), cluster="study", seed=1)
    assert tree.size == 2
    axes = tree.plot().ax
    axes.figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in axes.texts]
    assert [(a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[i + 1 :] if one.overlaps(two)] == []


def test_options_are_checked():
    with pytest.raises(OptionError, match="50 folds of 40 clusters"):
        mx.metacart("yi ~ weeks", trials(), cluster="study", folds=50)
    with pytest.raises(OptionError, match="c=-1"):
        mx.metacart("yi ~ weeks", trials(), c=-1)
