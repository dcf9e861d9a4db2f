"""Regression trees: every cut is the best of all, sums are exact, and compiled loops grow the same trees as NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.linalg import regression_trees, tree_twins
from mixedfx.linalg.tree_twins import salts_of, whole_numbers
from mixedfx.meta.moderators.trees import Sample, Trees


def problem(seed, least=6, most=20):
    """Features with ties, one of them with the same divisions as another, and draws that leave rows out."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(least, most)), int(rng.integers(1, 5))
    X = np.column_stack([rng.normal(size=n), *(rng.integers(0, 4, n) for _ in range(p))]).astype(float)
    X = np.column_stack([X, -X[:, 0]])
    y = np.round(rng.normal(size=n), 1) if rng.random() < 0.5 else rng.normal(size=n)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=3)
    keys = rng.integers(2**64 - 1, size=3, dtype=np.uint64, endpoint=True)
    return X, y, weights, keys


def best_reduction(X, y, w, inside, features):
    """The largest reduction of the squared deviations over all cuts of some features, by their definition."""
    best = -np.inf
    for f in features:
        for cut in np.unique(X[inside, f])[:-1]:
            right = X[inside, f] > cut
            parts = [(y[inside][side], w[inside][side]) for side in (right, ~right)]
            left_over = sum(np.sum(v * (z - np.average(z, weights=v)) ** 2) for z, v in parts)
            whole = np.sum(w[inside] * (y[inside] - np.average(y[inside], weights=w[inside])) ** 2)
            best = max(best, whole - left_over)
    return best


def tried_at(key, salts, tried):
    """The features whose hashes with the key are the smallest, by whole Python numbers."""
    mask = 2**64 - 1

    def stirred(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    hashes = [stirred((int(key) + int(salt)) & mask) for salt in salts]
    return hashes[:2], sorted(range(len(salts) - 2), key=lambda f: hashes[2 + f])[:tried]


@settings(max_examples=200)
@given(st.integers(0, 100_000), st.integers(1, 4), st.integers(1, 5))
def test_every_cut_is_the_best_of_the_features_that_its_node_tries(seed, tried, smallest):
    X, y, weights, keys = problem(seed)
    tried = min(tried, X.shape[1])
    sample = Sample.of(X, y, len(y))
    trees = sample.grow(weights, keys, tried, smallest, compiled=False)
    for b in range(3):
        tree, w = trees[b], weights[b]
        rows, key = {0: np.flatnonzero(w)}, {0: keys[b]}
        for node, feature in enumerate(tree.feature):
            inside = rows[node]
            mean = np.average(y[inside], weights=w[inside])
            assert tree.value[node] == pytest.approx(mean, abs=1e-13)  # y are rounded to 2^-52 of the largest
            sides, features = tried_at(key[node], sample.salts, tried)
            allowed = w[inside].sum() > smallest and np.ptp(y[inside]) > 0
            best = best_reduction(X, y, w, inside, features) if allowed else -np.inf
            if feature < 0:
                assert best == -np.inf  # too few draws, one y, or features that do not vary
                continue
            assert feature in features
            right = X[inside, feature] > tree.threshold[node]
            found = best_reduction((right * 1.0)[:, None], y[inside], w[inside], np.arange(len(inside)), [0])
            assert found == pytest.approx(best, abs=1e-12 * max(1.0, np.sum(w * y**2)))
            for side in (0, 1):
                rows[tree.left[node] + side] = inside[right == side]
                key[tree.left[node] + side] = np.uint64(sides[side])


@settings(max_examples=60)
@given(st.integers(0, 100_000), st.integers(1, 5))
def test_compiled_loops_grow_the_same_trees(seed, tried):
    """To the last bit, ties included: sums of whole numbers do not depend on the order of rows."""
    X, y, weights, keys = problem(seed, 6, 80)
    tried = min(tried, X.shape[1])
    sample = Sample.of(X, y, len(y))
    one, two = (sample.grow(weights, keys, tried, 2, compiled) for compiled in (False, True))
    for name in ("feature", "threshold", "left", "value", "start"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_compiled_loops_sort_and_count_alike():
    """Many values beside few rows are sorted, few are counted; both are met in this one, and in NumPy neither."""
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=700), rng.integers(0, 30, 700), rng.integers(0, 2, 700)]).astype(float)
    y = X[:, 0] + rng.normal(size=700)
    weights = rng.multinomial(700, np.full(700, 1 / 700), size=4)
    keys = np.arange(4, dtype=np.uint64)
    sample = Sample.of(X, y, 700)
    one, two = (sample.grow(weights, keys, 2, 5, compiled) for compiled in (False, True))
    np.testing.assert_array_equal(one.threshold, two.threshold)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_allclose(one.predict(X), np.mean([one[b].each(X)[0] for b in range(4)], axis=0), rtol=1e-14)
    total = np.zeros(700)
    regression_trees.predict_sums(one.feature, one.threshold, one.left, one.value, one.start, X, total)
    np.testing.assert_allclose(total / 4, one.predict(X), rtol=0, atol=1e-14)


def test_errors_after_permutation_are_those_of_permuted_copies():
    """The compiled loop sends only rows through the tree again whose way asks for the moderator."""
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=(120, 2)), rng.integers(0, 2, (120, 3))]).astype(float)
    y = X[:, 0] * (X[:, 2] > 0) + rng.normal(size=120)
    sample = Sample.of(X, y, 120)
    tree = sample.grow(rng.multinomial(120, np.full(120, 1 / 120), size=1), np.array([7], np.uint64), 2, 3, False)[0]
    rows, owner = np.arange(0, 120, 3), np.array([0, 1, 2, 2, 3])
    u = rng.random((4, 40))
    moved = tree_twins.permutations(u)
    np.testing.assert_array_equal(moved, regression_trees.permutations(u))
    assert (np.sort(moved, axis=1) == np.arange(40)).all()
    answers = []
    for module in (tree_twins, regression_trees):
        predicted, rise = np.zeros(120), np.zeros(4)
        module.left_out_errors(
            tree.feature, tree.threshold, tree.left, tree.value, X, y, rows, owner, u, predicted, rise
        )
        answers.append((predicted, rise))
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_allclose(answers[0][1], answers[1][1], rtol=0, atol=1e-13)  # sums in another order
    for j in range(4):  # by the definition
        copy = X.copy()
        own = owner == j
        copy[np.ix_(rows, own)] = X[rows[moved[j]]][:, own]
        rise = np.mean((y - tree.each(copy)[0])[rows] ** 2) - np.mean((y - tree.each(X)[0])[rows] ** 2)
        assert answers[0][1][j] == pytest.approx(rise, abs=1e-13)


def test_features_are_drawn_alike():
    """8,000 nodes draw 3 of 9 features: each a third of the times, 4 standard errors."""
    keys = tree_twins.mixed(np.arange(8000, dtype=np.uint64))
    drawn = np.argsort(tree_twins.mixed(keys[:, None] + salts_of(9)[2:]), axis=1)[:, :3]
    share = np.bincount(drawn.ravel(), minlength=9) / 8000
    assert np.abs(share - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 8000)


@pytest.mark.parametrize("draws", [10, 5000, 10**9])
def test_whole_numbers_add_up_without_overflow(draws):
    y = np.array([1e8 + 1.0, 1e8 + 2.5, 1e8 - 7.0])
    whole, mean, unit = whole_numbers(y, draws)
    assert int(np.abs(whole).max()) * draws < 2**63
    np.testing.assert_allclose(mean + unit * whole, y, rtol=0, atol=max(unit, 1e-7))


def test_one_value_of_y_is_one_leaf():
    sample = Sample.of(np.arange(5.0)[:, None], np.full(5, 2.0), 5)
    trees: Trees = sample.grow(np.ones((1, 5), np.int64), np.array([1], np.uint64), 1, 1, False)
    assert (len(trees.feature), trees.value.tolist()) == (1, [2.0])


def test_a_threshold_lies_below_the_value_above_it_even_between_neighbouring_numbers():
    x = np.array([1.0, np.nextafter(1.0, 2.0)])
    sample = Sample.of(x[:, None], np.array([0.0, 1.0]), 2)
    trees = sample.grow(np.ones((1, 2), np.int64), np.array([1], np.uint64), 1, 1, False)
    np.testing.assert_array_equal(trees.predict(x[:, None]), [0.0, 1.0])
