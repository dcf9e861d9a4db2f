"""Forests of effect sizes: what is drawn, what is left out, what is predicted, and what importance means."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from sklearn.tree import DecisionTreeRegressor

import mixedfx as mx
from mixedfx.errors import DataError, FewEffectsWarning, ModelError, OptionError, UnknownLevelWarning
from mixedfx.linalg.tree_twins import permutations
from mixedfx.meta.moderators.features import read_coding, read_formula
from mixedfx.meta.moderators.forest import Growth, draw_rows, grow_forest
from mixedfx.meta.moderators.forest_data import draw_weights, tau2_of
from mixedfx.meta.moderators.trees import Sample


def trials(seed: int = 1, studies: int = 60, each: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = studies * each
    frame = pd.DataFrame(
        {
            "study": np.repeat([f"s{i}" for i in range(studies)], each),
            "weeks": rng.integers(2, 30, n).astype(float),
            "setting": rng.choice(["clinic", "home", "school"], n),
            "noise": rng.normal(size=n),
            "vi": rng.uniform(0.01, 0.1, n),
        }
    )
    frame["yi"] = 0.5 * (frame["weeks"] > 12) + 0.4 * (frame["setting"] == "home") + rng.normal(0, 0.25, n)
    return frame


class TestDraws:
    def test_estimates_are_drawn_in_proportion_to_their_weights_through_their_clusters(self):
        rng = np.random.default_rng(2)
        clusters = np.repeat(np.arange(12), rng.integers(1, 7, 12))
        weights = rng.uniform(0.2, 4.0, len(clusters))
        drawn = np.concatenate([draw_rows(weights, clusters, rng) for _ in range(4000)])
        # Rows of one cluster come together, which makes counts vary more than multinomial ones: the chi square is
        # compared with that of counts of whole draws, whose variances are estimated from the draws themselves.
        counts = np.array(
            [np.bincount(draw_rows(weights, clusters, rng), minlength=len(clusters)) for _ in range(4000)]
        )
        share = weights / weights.sum()
        expected = share * counts.sum(axis=1).mean()
        z = (counts.mean(axis=0) - expected) / (counts.std(axis=0, ddof=1) / np.sqrt(len(counts)))
        assert np.abs(z).max() < stats.norm.isf(1e-4 / len(clusters))
        assert np.abs(np.bincount(drawn) / len(drawn) - share).max() < 0.01

    def test_without_clusters_counts_are_multinomial(self):
        rng = np.random.default_rng(3)
        weights = rng.uniform(0.2, 4.0, 40)
        counts = np.bincount(np.concatenate([draw_rows(weights, np.arange(40), rng) for _ in range(500)]), minlength=40)
        assert stats.chisquare(counts, counts.sum() * weights / weights.sum()).pvalue > 1e-3

    def test_clusters_are_drawn_or_left_out_as_a_whole(self):
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + noise", frame, cluster="study", n_trees=20, seed=4)
        for out in fit.forest.out:
            by = pd.Series(out).groupby(frame["study"]).nunique()
            assert (by == 1).all()

    def test_weights_are_those_of_the_docstring(self):
        v = np.array([0.1, 0.2, 0.4])
        np.testing.assert_allclose(draw_weights("random", v, 0.3), 1 / (v + 0.3))
        np.testing.assert_allclose(draw_weights("fixed", v, 0.3), 1 / v)
        np.testing.assert_array_equal(draw_weights("uniform", v, 0.3), np.ones(3))

    def test_tau2_is_that_of_rma(self):
        frame = trials()
        tau2 = mx.rma("yi ~ 1", frame, vi="vi").tau2
        assert tau2_of(frame["yi"].to_numpy(), frame["vi"].to_numpy()) == pytest.approx(tau2, rel=1e-10)


class TestTrees:
    def test_a_forest_is_the_mean_of_trees_on_the_rows_drawn(self):
        rng = np.random.default_rng(5)
        X, y = rng.normal(size=(80, 5)), rng.normal(size=80)
        growth = Growth(n_trees=15, mtry=2, min_node_size=4)
        weights, clusters = np.ones(80), np.arange(80)
        forest = grow_forest(X, y, weights, clusters, growth, 7)
        total, count, whole = np.zeros(80), np.zeros(80), np.zeros(80)
        sample = Sample.of(X, y, 80)
        for stream in np.random.SeedSequence(7).spawn(15):  # by hand
            draws = np.random.default_rng(stream)
            rows = draw_rows(weights, clusters, draws)
            key = draws.integers(2**64 - 1, size=1, dtype=np.uint64, endpoint=True)
            tree = sample.grow(np.bincount(rows, minlength=80)[None], key, 2, 4, False)
            out = ~np.isin(np.arange(80), rows)
            total[out] += tree.predict(X[out])
            count += out
            whole += tree.predict(X) / 15
        np.testing.assert_allclose(forest.predict(X), whole, rtol=0, atol=1e-13)
        np.testing.assert_allclose(forest.predicted, total / count, rtol=0, atol=1e-13)

    def test_with_every_column_tried_trees_are_those_of_scikit_learn(self):
        """Continuous columns: no ties but in nodes that columns divide alike, which min_node_size avoids."""
        rng = np.random.default_rng(6)
        X, y = rng.normal(size=(300, 4)), rng.normal(size=300)
        rows = draw_rows(np.ones(300), np.arange(300), rng)
        key = np.array([1], dtype=np.uint64)
        mine = Sample.of(X, y, 300).grow(np.bincount(rows, minlength=300)[None], key, 4, 20, False)
        peer = DecisionTreeRegressor(min_samples_split=21).fit(X[rows], y[rows])
        # scikit-learn rounds features to single precision: rows that lie between two thresholds would differ
        np.testing.assert_allclose(mine.predict(X), peer.predict(X), rtol=0, atol=1e-12)
        assert len(mine.feature) == peer.tree_.node_count

    def test_errors_out_of_bag_are_those_of_trees_of_scikit_learn_on_the_same_draws(self):
        """Columns that never are constant in a node, so that both try one column a node; three standard errors."""
        rng = np.random.default_rng(8)
        X = rng.normal(size=(150, 3))
        y, rows, differences = X[:, 0] + rng.normal(size=150), np.arange(150), []
        for seed in range(6):
            forest = grow_forest(X, y, np.ones(150), rows, Growth(100, 1, 5), seed)
            total, count = np.zeros(150), np.zeros(150)
            for stream in np.random.SeedSequence(seed).spawn(100):
                drawn = draw_rows(np.ones(150), rows, np.random.default_rng(stream))
                tree = DecisionTreeRegressor(max_features=1, min_samples_split=6, random_state=seed)
                out = ~np.isin(rows, drawn)
                total[out] += tree.fit(X[drawn], y[drawn]).predict(X[out])
                count += out
            errors = [np.mean((y - one) ** 2) for one in (forest.predicted, total / count)]
            differences.append(errors[0] - errors[1])
        assert abs(np.mean(differences)) < 3 * np.std(differences, ddof=1) / np.sqrt(6)
        assert np.abs(differences).max() < 0.1 * np.var(y)

    def test_compiled_loops_grow_the_same_forest(self):
        frame = trials()
        data = mx.metaforest("yi ~ weeks + setting + noise", frame, cluster="study", n_trees=2, seed=1).data
        weights = draw_weights("random", data.vi, 0.1)
        one, two = (
            grow_forest(
                data.X, data.y, weights, data.clusters, Growth(30), 3, data.coding.columns, jobs, compiled=compiled
            )
            for compiled, jobs in ((False, 1), (True, 2))
        )
        np.testing.assert_array_equal(one.trees.threshold, two.trees.threshold)
        np.testing.assert_array_equal(one.out, two.out)
        # sums over trees and rows in another order
        np.testing.assert_allclose(one.predicted, two.predicted, rtol=0, atol=1e-13)
        np.testing.assert_allclose(one.importance, two.importance, rtol=0, atol=1e-13)

    def test_small_forests_compile_nothing(self):
        code = (
            "import sys, numpy as np, pandas as pd, mixedfx as mx; r = np.random.default_rng(1);"
            "f = pd.DataFrame({'yi': r.normal(size=40), 'x': r.normal(size=40), 'z': r.normal(size=40), 'vi': 0.1});"
            "print(mx.metaforest('yi ~ x + z', f, n_trees=50, seed=1).r2_oob, 'numba' in sys.modules,"
            "'sklearn' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split()[1:] == ["False", "False"]

    def test_threads_and_importance_do_not_change_predictions(self):
        frame = trials()
        one, two = (mx.metaforest("yi ~ weeks + setting", frame, n_trees=30, seed=1, n_jobs=jobs) for jobs in (1, 2))
        np.testing.assert_array_equal(one.forest.predicted, two.forest.predicted)
        np.testing.assert_array_equal(one.forest.importance, two.forest.importance)
        plain = mx.metaforest("yi ~ weeks + setting", frame, n_trees=30, seed=1, importance=False)
        np.testing.assert_array_equal(plain.predict(frame), one.predict(frame))

    def test_the_order_of_the_rows_of_new_data_does_not_matter(self):
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + setting", frame, n_trees=20, seed=1)
        shuffled = frame.sample(frac=1.0, random_state=1)
        np.testing.assert_array_equal(fit.predict(shuffled), pd.Series(fit.predict(frame))[shuffled.index])


class TestImportance:
    def test_it_is_the_rise_of_the_error_by_permuting_a_moderator_out_of_bag(self):
        """By brute force, with the same permutations: a category moves as one."""
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + setting + noise", frame, cluster="study", n_trees=12, seed=9)
        data, rise = fit.data, np.zeros((12, 3))
        weights = draw_weights("random", data.vi, fit.tau2)
        for b, stream in enumerate(np.random.SeedSequence(9).spawn(12)):
            rng = np.random.default_rng(stream)
            draw_rows(weights, data.clusters, rng)
            rng.integers(2**64 - 1, dtype=np.uint64, endpoint=True)
            tree, out = fit.forest.trees[b], fit.forest.out[b]
            order = permutations(rng.random((3, int(out.sum()))))
            before = np.mean((data.y[out] - tree.predict(data.X[out])) ** 2)
            for j, columns in enumerate(data.coding.columns):
                if not set(columns) & set(tree.feature):
                    continue
                moved = data.values[out].copy()
                name = data.coding.names[j]
                moved[name] = moved[name].to_numpy()[order[j]]
                rise[b, j] = np.mean((data.y[out] - tree.predict(data.coding.features(moved))) ** 2) - before
        np.testing.assert_allclose(fit.forest.importance, rise.mean(axis=0), atol=1e-12)

    def test_a_forest_without_importance_says_so_and_shows_itself(self):
        fit = mx.metaforest("yi ~ weeks + noise", trials(), n_trees=10, seed=1, importance=False)
        assert fit.importance["importance"].isna().all()
        assert "Permutation importance" not in repr(fit)
        with pytest.raises(OptionError, match="grown without importance"):
            fit.plot()

    def test_what_matters_is_above_noise_and_a_category_is_reported_once(self):
        table = mx.metaforest("yi ~ weeks + setting + noise", trials(), cluster="study", n_trees=150, seed=2).importance
        assert table["moderator"].tolist() == ["weeks", "setting", "noise"]
        assert abs(table["importance"].iloc[2]) < 0.1 * table["importance"].iloc[1]

    def test_r2_is_that_of_the_out_of_bag_predictions(self):
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + setting", frame, n_trees=100, seed=2)
        left = frame["yi"] - fit.oob
        assert fit.r2_oob == pytest.approx(1 - (left**2).mean() / frame["yi"].var(ddof=1), rel=1e-12)
        assert fit.tau2_residual == pytest.approx(mx.rma("yi ~ 1", frame.assign(yi=left), vi="vi").tau2, rel=1e-8)
        assert fit.tau2_residual < fit.tau2


class TestPreselection:
    def test_moderators_that_matter_stay_every_time(self):
        frame = trials()
        for i in range(4):
            frame[f"n{i}"] = np.random.default_rng(i).normal(size=len(frame))
        forest = mx.metaforest(
            "yi ~ weeks + setting + noise + n0 + n1 + n2 + n3", frame, cluster="study", n_trees=40, seed=3
        )
        for kind in ("recursive", "replicate", "bootstrap", "shadow"):
            found = forest.preselect(6, kind=kind)
            table = found.table.set_index("moderator")
            assert table.loc[["weeks", "setting"], "share"].tolist() == [1.0, 1.0], kind
            assert set(found.kept) >= {"weeks", "setting"}, kind
            assert table["share"].drop(["weeks", "setting"]).mean() < 0.6, kind

    def test_recursion_leaves_out_the_smallest_until_none_is_negative(self):
        frame = trials()
        forest = mx.metaforest("yi ~ weeks + noise", frame, cluster="study", n_trees=40, seed=3)
        found = forest.preselect(3).table.set_index("moderator")
        assert (found.loc[found["share"] == 1.0, "low"] >= 0).all()

    @pytest.mark.slow
    def test_shadows_keep_noise_no_more_often_than_they_promise(self):
        """Four moderators of noise, 60 data sets: at most 1 / (c (m + 1)) = .4 are kept by Markov's inequality."""
        kept = 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            frame = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
            frame = frame.assign(yi=rng.normal(0, 0.3, 80), vi=0.05)
            forest = mx.metaforest("yi ~ a + b + c + d", frame, n_trees=60, seed=seed)
            kept += len(forest.preselect(10, kind="shadow").kept)
        share = kept / 240
        assert share < 0.4 + 3 * np.sqrt(0.4 * 0.6 / 240)


class TestPartialDependence:
    def test_it_is_the_mean_prediction_with_the_moderator_put_at_each_value(self):
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + setting", frame, n_trees=30, seed=2)
        table = fit.partial_dependence("weeks", points=5, rows=None, level=0.8).table
        for row in table.to_dict("records"):
            found = fit.predict(frame.assign(weeks=row["weeks"]))
            expected = [found.mean(), *np.quantile(found, [0.5, 0.1, 0.9])]
            np.testing.assert_allclose([row[name] for name in ("mean", "median", "low", "high")], expected, rtol=1e-12)
        both = fit.partial_dependence("weeks", "setting", points=3, rows=None).table
        assert len(both) == 9
        at = both.iloc[4]
        expected = fit.predict(frame.assign(weeks=at["weeks"], setting=at["setting"])).mean()
        assert at["mean"] == pytest.approx(expected, rel=1e-12)

    def test_pictures(self, tmp_path):
        frame = trials()
        fit = mx.metaforest("yi ~ weeks + setting", frame, n_trees=20, seed=2)
        line = mx.rma_mv("yi ~ weeks + (1 | study)", frame)
        for number, picture in enumerate(
            [
                fit.plot(),
                fit.plot("partial"),
                fit.plot("convergence"),
                fit.partial_dependence("weeks").plot(),
                fit.partial_dependence("weeks").plot(line),
                fit.partial_dependence("weeks", "setting").plot(),
            ]
        ):
            assert picture.save(tmp_path / f"{number}.png").stat().st_size > 5_000
        assert len(fit.partial_dependence("weeks").plot(line).axes) == 2
        with pytest.raises(OptionError, match="kind='tree' is not known"):
            fit.plot("tree")  # pyright: ignore[reportArgumentType]


LONG = {
    "weeks": "number of weeks between the first and the last session of the intervention",
    "setting": "whether the intervention takes place at home, in a clinic or at school",
    "noise": "a number that was drawn by chance and has nothing to do with anything at all",
}


def overlaps(texts):
    """Pairs of texts whose boxes meet, in pixels of the drawn picture."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, two in boxes[i + 1 :] if one.overlaps(two)]


@pytest.mark.parametrize("count", [3, 12, 43])
def test_labels_of_importance_do_not_meet_and_all_moderators_of_a_large_review_are_drawn(count):
    from mixedfx.plots.importance import importance

    names = [f"{LONG['noise']} {i}" if i % 2 else f"n{i}" for i in range(count)]
    axes = importance(pd.DataFrame({"moderator": names, "importance": np.linspace(1, -0.1, count)}))
    axes.figure.canvas.draw()
    assert len(axes.get_yticklabels()) == count
    assert overlaps(axes.get_yticklabels()) == []
    inside = axes.figure.bbox
    assert all(inside.x0 <= label.get_window_extent().x0 for label in axes.get_yticklabels())


def test_long_names_stay_inside_their_panels():
    frame = trials().rename(columns=LONG)
    fit = mx.metaforest("yi ~ " + " + ".join(f"`{name}`" for name in LONG.values()), frame, n_trees=10, seed=1)
    figure = fit.plot("partial").figure
    figure.canvas.draw()
    labels = [axes.xaxis.label for axes in figure.axes]
    assert overlaps(labels) == []
    assert all(figure.bbox.x0 <= one.get_window_extent().x0 <= figure.bbox.x1 for one in labels)


class TestTuning:
    def test_the_best_combination_comes_first_and_makes_the_forest(self):
        tuned = mx.tune_metaforest(
            "yi ~ weeks + noise", trials(), cluster="study", weights=["uniform"], mtry=[1, 2], min_node_size=[3, 5000],
            folds=4, n_trees=30, seed=1,
        )  # fmt: skip
        assert tuned.table["rmse"].is_monotonic_increasing
        assert tuned.table["min_node_size"].iloc[0] == 3
        assert tuned.forest.growth == Growth(30, int(tuned.table["mtry"].iloc[0]), 3)

    def test_errors_are_those_of_clusters_left_out(self):
        from mixedfx.meta.moderators.tuning import cluster_folds

        frame = trials()
        tuned = mx.tune_metaforest(
            "yi ~ weeks",
            frame,
            cluster="study",
            weights=["fixed"],
            mtry=[1],
            min_node_size=[5],
            folds=3,
            n_trees=20,
            seed=8,
        )
        fold = cluster_folds(60, 3, 8)[pd.factorize(frame["study"])[0]]
        errors = np.empty(len(frame))
        for f in range(3):
            one = mx.metaforest(
                "yi ~ weeks", frame[fold != f], cluster="study", weights="fixed", mtry=1, n_trees=20, seed=8
            )
            errors[fold == f] = frame["yi"][fold == f] - one.predict(frame[fold == f])
        assert tuned.table["rmse"].iloc[0] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-12)


class TestReading:
    def test_a_formula_is_a_list_of_columns(self):
        columns = ["a", "b c", "d"]
        assert read_formula("yi ~ a + `b c` + C(d)", columns) == ("yi", ("a", "b c", "d"), frozenset({"d"}))
        assert read_formula("yi ~ .", ["yi", "a", "d"])[1] == ("a", "d")

    @pytest.mark.parametrize(
        ("formula", "words"),
        [
            ("yi ~ log(weeks)", r"'log\(weeks\)' is not a column"),
            ("yi ~ weeks * noise", "is not a column"),
            ("yi ~ weeks + (1 | study)", "no random terms"),
            ("yi ~ 1", "names no moderator"),
            ("~ weeks", "no response"),
            ("yi ~ absent", "no column 'absent'"),
        ],
    )
    def test_anything_else_is_refused(self, formula, words):
        with pytest.raises((ModelError, DataError), match=words):
            mx.metaforest(formula, trials())

    def test_missing_moderators_are_told_or_filled_in(self):
        frame = trials()
        frame.loc[[3, 7], "weeks"] = np.nan
        frame.loc[5, "setting"] = None
        with pytest.raises(DataError, match="weeks in 2, setting in 1"):
            mx.metaforest("yi ~ weeks + setting", frame)
        fit = mx.metaforest("yi ~ weeks + setting", frame, impute="median", n_trees=10, seed=1)
        assert fit.data.values["weeks"].iloc[3] == frame["weeks"].median()
        assert fit.data.values["setting"].iloc[5] == frame["setting"].mode()[0]
        assert np.isfinite(fit.predict(frame)).all()

    def test_bad_data_are_refused_in_words(self):
        frame = trials()
        with pytest.raises(DataError, match="do not vary explain nothing: one"):
            mx.metaforest("yi ~ one + weeks", frame.assign(one=3))
        with pytest.raises(DataError, match="1 cluster cannot be split"):
            mx.metaforest("yi ~ weeks", frame.assign(study="a"), cluster="study")
        with pytest.raises(DataError, match="vi is a sampling variance, and -1 in row 0"):
            mx.metaforest("yi ~ weeks", frame.assign(vi=np.r_[-1, frame["vi"][1:]]))
        with pytest.raises(DataError, match="no column 'weeks'"):
            mx.metaforest("yi ~ weeks", frame, n_trees=5, seed=1).predict(frame.drop(columns="weeks"))
        with pytest.raises(OptionError, match="weights='v' is not known"):
            mx.metaforest("yi ~ weeks", frame, weights="v")  # pyright: ignore[reportArgumentType]
        with pytest.warns(FewEffectsWarning, match="12 estimates are few for a forest"):
            mx.metaforest("yi ~ weeks", frame.head(12), n_trees=5, seed=1)

    @pytest.mark.parametrize(
        ("name", "values", "words", "hint"),
        [
            ("when", pd.date_range("2001-01-01", periods=180, freq="W"), "'when' is a date", "Give the year"),
            ("weeks", [str(i % 9) for i in range(180)], r"'weeks' is text that reads as numbers \('0', '1', '2'\)",
             r"write C\(weeks\)"),
            ("title", [f"trial {i // 3}" for i in range(180)], "no two clusters share a level of moderator 'title', "
             "which has 60 in 60 clusters", "put levels together"),
            ("weeks", [np.inf, *range(179)], "infinite in some rows: weeks", "finite"),
            ("weeks", [np.nan] * 180, "do not vary explain nothing: weeks", "Leave them out"),
        ],
    )  # fmt: skip
    def test_what_is_no_moderator_is_refused_in_words(self, name, values, words, hint):
        frame = trials().assign(**{name: values})
        for verb in (mx.metaforest, mx.metacart, mx.tune_metaforest):
            with pytest.raises(DataError, match=words) as told:
                verb(f"yi ~ noise + {name}", frame, cluster="study")
            assert re.search(hint, str(told.value))

    def test_numbers_as_text_are_levels_where_that_is_said_or_there_are_two(self):
        frame = trials().assign(code=[str(i % 4) for i in range(180)], yes=[str(i % 2) for i in range(180)])
        fit = mx.metaforest("yi ~ C(code) + yes", frame, cluster="study", n_trees=3, seed=1)
        assert [one.levels for one in fit.data.coding.moderators] == [("0", "1", "2", "3"), ("0", "1")]

    def test_one_study_is_refused_by_every_verb(self):
        frame = trials().assign(study="a")
        for verb in (mx.metaforest, mx.metacart, mx.tune_metaforest):
            with pytest.raises(DataError, match="1 cluster cannot be split into drawn and left out"):
                verb("yi ~ weeks", frame, cluster="study")
        with pytest.raises(DataError, match="1 estimate cannot be split"):
            mx.metaforest("yi ~ weeks", trials().head(1))

    def test_text_of_polars_is_the_same_forest(self):
        frame = trials()
        frame.loc[3, "setting"] = None
        one, two = (
            mx.metaforest("yi ~ setting + weeks", data, cluster="study", impute="median", n_trees=10, seed=1)
            for data in (frame, pl.from_pandas(frame))
        )
        np.testing.assert_array_equal(one.forest.predicted, two.forest.predicted)
        assert one.data.coding == two.data.coding

    def test_an_unknown_level_is_said_and_is_none_of_those_known(self):
        frame = trials()
        fit = mx.metaforest("yi ~ setting + weeks", frame, n_trees=20, seed=1)
        with pytest.warns(UnknownLevelWarning, match="setting: moon"):
            strange = fit.predict(frame.head(3).assign(setting="moon"))
        assert np.isfinite(strange).all()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit.predict(frame.head(3))

    def test_levels_keep_the_order_of_the_data_and_every_level_has_a_column(self):
        frame = pd.DataFrame(
            {"a": pd.Categorical(["z", "b", "z"], categories=["z", "b", "x"]), "n": [1, 2, 3], "t": [True, False, True]}
        )
        coding = read_coding(frame, ("a", "n", "t"))
        assert coding.moderators[0].levels == ("z", "b")
        X = coding.features(coding.values(frame))
        np.testing.assert_array_equal(X[:, :3], [[1, 0, 1], [0, 1, 2], [1, 0, 3]])
        assert X.shape == (3, 5)
