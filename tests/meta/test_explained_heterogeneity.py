"""What moderators explain in clusters left out, and moderators by blocks."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import (
    DataError,
    MissingModeratorsWarning,
    ModelError,
    OptionError,
    SingleClusterWarning,
    UnknownLevelWarning,
)
from mixedfx.meta.moderators.screening import passing
from mixedfx.meta.moderators.tuning import cluster_folds

ASSINK = pd.read_csv(Path(__file__).parents[1] / "reference" / "meta" / "assink2016.csv")
BLOCKS = {"methods": ["design"], "treatment": ["weeks", "place"], "units": ["grade"]}
FORMULA = "yi ~ year + pubstatus + deltype + (1 | study/esid)"


def review(seed: int = 3, studies: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 3 * studies
    frame = pd.DataFrame({"study": np.repeat(np.arange(studies), 3), "esid": np.arange(n), "vi": 0.03})
    frame["design"] = rng.choice(["random", "matched"], studies)[frame["study"]]
    frame["weeks"] = rng.normal(size=n)
    frame["place"] = rng.choice(["a", "b", "c"], n)
    frame["grade"] = rng.normal(size=n)
    effect = rng.normal(0, 0.2, studies)[frame["study"]] + rng.normal(0, 0.15, n)
    frame["yi"] = 0.2 + 0.3 * frame["weeks"] + effect + rng.normal(0, np.sqrt(0.03), n)
    return frame


class TestLeftOut:
    def test_assink_2016(self):
        """Computed once with metafor: leave-one-study-out predictions as the only moderator of the two-level model."""
        with pytest.warns(UnknownLevelWarning, match="'covert' of deltype in study 16"):
            found = mx.explained_heterogeneity(FORMULA, ASSINK, cluster="study", approaches=["regression"])
        row = found.table.iloc[0]
        # printed to four and three digits
        assert row["r2_in_sample"] == pytest.approx(0.2961, abs=5e-5)
        assert row["r2"] == pytest.approx(-0.0255, abs=5e-5)
        assert row["slope"] == pytest.approx(0.784, abs=5e-4)
        spread = np.sum((ASSINK["yi"] - ASSINK["yi"].mean()) ** 2)
        assert 1 - row["mse"] * len(ASSINK) / spread == pytest.approx(0.0913, abs=5e-5)

    def test_predictions_are_of_models_without_the_cluster(self):
        frame = review(studies=14)
        found = mx.explained_heterogeneity(
            "yi ~ weeks + place + (1 | study/esid)", frame, cluster="study", forest={"n_trees": 5}, seed=4
        )
        for study in (0, 11):
            rest, own = frame[frame["study"] != study], frame[frame["study"] == study]
            fit = mx.rma_mv("yi ~ weeks + place + (1 | study/esid)", rest)
            expected = fit.predict(own)["estimate"].to_numpy()
            mine = found.predictions[found.predictions["study"] == study]
            np.testing.assert_allclose(mine["regression"], expected, rtol=1e-10)
            forest = mx.metaforest("yi ~ weeks + place", rest, cluster="study", n_trees=5, seed=4, importance=False)
            np.testing.assert_array_equal(mine["forest"], forest.predict(own))
        super_model = mx.rma_mv("yi ~ p + (1 | study/esid)", frame.assign(p=found.predictions["regression"].to_numpy()))
        null = mx.rma_mv("yi ~ 1 + (1 | study/esid)", frame)
        r2 = 1 - super_model.components["estimate"].sum() / null.components["estimate"].sum()
        assert found.table["r2"].iloc[0] == pytest.approx(r2, rel=1e-6)
        parts = found.components[found.components["approach"] == "regression"]
        assert parts["group"].tolist() == null.components["group"].tolist()
        np.testing.assert_allclose(parts["null"], null.components["estimate"], atol=1e-10)
        np.testing.assert_allclose(parts["super"], super_model.components["estimate"], atol=1e-10)
        assert 0.1 < r2 < 1.0

    def test_noise_may_have_a_negative_share_and_it_is_shown(self):
        found = mx.explained_heterogeneity(
            "yi ~ grade + place + (1 | study/esid)", review(), cluster="study", approaches=["regression"]
        )
        assert found.table["r2"].iloc[0] < 0
        assert "-0.0" in repr(found)

    def test_a_run_that_was_stopped_goes_on_and_a_file_of_other_options_is_refused(self, tmp_path):
        path, frame = tmp_path / "run.jsonl", review(studies=10)
        formula = "yi ~ weeks + (1 | study/esid)"
        options = {"cluster": "study", "forest": {"n_trees": 5}, "seed": 1, "checkpoint": path}
        whole = mx.explained_heterogeneity(formula, frame, **options)
        lines = path.read_text().splitlines()
        assert len(lines) == 21
        path.write_text("\n".join(lines[:14]) + '\n["forest", "3", [0.1,')  # stopped in the middle of a line
        again = mx.explained_heterogeneity(formula, frame, **options)
        pd.testing.assert_frame_equal(again.predictions, whole.predictions)
        third = mx.explained_heterogeneity(formula, frame, **options)
        pd.testing.assert_frame_equal(third.table, whole.table)
        with pytest.raises(DataError, match="other data or options"):
            mx.explained_heterogeneity(formula, frame, **{**options, "forest": {"n_trees": 6}})
        with pytest.raises(DataError, match="other data or options"):
            mx.explained_heterogeneity(formula, frame, folds=5, **options)

    def test_selection_on_all_data_and_anew_without_each_cluster(self):
        frame = review()
        formula = "yi ~ design + weeks + place + grade + (1 | study/esid)"
        options = {"cluster": "study", "blocks": BLOCKS, "always": "methods", "folds": 3, "seed": 2}
        forest = {"forest": {"n_trees": 20}, "preselect": {"repeats": 2, "kind": "replicate"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            once = mx.explained_heterogeneity(formula, frame, selection="once", **options, **forest)
            nested = mx.explained_heterogeneity(
                formula, frame, selection="nested", approaches=["regression"], **options
            )
            kept = mx.screen_moderators(formula, frame, cluster="study", blocks=BLOCKS, always="methods").kept
        assert set(once.kept["regression"][once.kept["regression"] == 1].index) == set(kept)
        assert once.kept["regression"].isin([0, 1]).all()
        assert nested.kept["regression"][["design", "weeks"]].tolist() == [1, 1]
        assert "on all data" in repr(once)
        assert "anew without each study" in repr(nested)

    def test_forests_are_tuned_without_each_part_or_once_on_all_data(self):
        frame = review()
        formula, options = "yi ~ weeks + grade + (1 | study/esid)", {"cluster": "study", "folds": 3, "seed": 2}
        grid = {"mtry": [1, 2], "min_node_size": [3, 60], "folds": 4}
        forest = {"n_trees": 10, "weights": "uniform"}
        asked = {"approaches": ["forest"], "forest": forest, "tune": grid, **options}
        nested = mx.explained_heterogeneity(formula, frame, **asked)
        once = mx.explained_heterogeneity(
            formula, frame, selection="once", preselect={"repeats": 1, "kind": "replicate", "cutoff": 0.0}, **asked
        )
        fold = cluster_folds(30, 3, 2)[frame["study"]]
        shared = {"cluster": "study", "n_trees": 10, "seed": 2}
        kept = "yi ~ " + " + ".join(once.kept["forest"][once.kept["forest"] == 1].index)
        whole = mx.tune_metaforest(kept, frame, weights=["uniform"], **grid, **shared).forest
        for f in range(3):
            train, test = frame[fold != f], frame[fold == f]
            best = mx.tune_metaforest("yi ~ weeks + grade", train, weights=["uniform"], **grid, **shared).forest
            np.testing.assert_array_equal(nested.predictions["forest"][fold == f], best.predict(test))
            growth = {"mtry": whole.growth.mtry, "min_node_size": whole.growth.min_node_size}
            one = mx.metaforest(kept, train, weights="uniform", **growth, **shared)
            np.testing.assert_array_equal(once.predictions["forest"][fold == f], one.predict(test))
        assert "weeks" in kept
        with pytest.raises(OptionError, match="tune: option='trees'"):
            mx.explained_heterogeneity(formula, frame, **{**asked, "tune": {"trees": [1]}})

    def test_intervals_are_percentiles_over_clusters(self):
        found = mx.explained_heterogeneity(
            "yi ~ weeks + (1 | study/esid)", review(), cluster="study", approaches=["regression"], folds=5,
            bootstrap=20, seed=1,
        )  # fmt: skip
        row = found.table.iloc[0]
        assert row["conf_low"] < row["r2"] < row["conf_high"]
        assert row["conf_high"] - row["conf_low"] > 0.05

    def test_bad_input(self):
        frame = review()
        with pytest.raises(ModelError, match="no random terms"):
            mx.explained_heterogeneity("yi ~ weeks", frame, cluster="study")
        with pytest.raises(ModelError, match="no moderators"):
            mx.explained_heterogeneity("yi ~ 1 + (1 | study/esid)", frame, cluster="study")
        with pytest.raises(DataError, match="2 levels of 'study' are too few"):
            mx.explained_heterogeneity("yi ~ weeks + (1 | esid)", frame[frame["study"] < 2], cluster="study")
        with pytest.raises(DataError, match="one study alone has a level"):
            mx.explained_heterogeneity(FORMULA, ASSINK, cluster="study", unseen="refuse")
        with pytest.raises(OptionError, match="selection='twice'"):
            mx.explained_heterogeneity(FORMULA, ASSINK, cluster="study", selection="twice")  # pyright: ignore
        rare = frame.assign(rare=np.where(frame["study"] == 4, frame["weeks"], 0.0))
        with pytest.raises(ModelError, match="without study 4: moderators say the same"):
            mx.explained_heterogeneity(
                "yi ~ weeks + rare + (1 | study/esid)", rare, cluster="study", approaches=["regression"]
            )


class TestMissing:
    def holes(self):
        frame = review()
        frame.loc[[2, 40], "weeks"] = np.nan
        frame.loc[7, "place"] = None
        return frame

    def test_they_are_told_by_moderator_and_nothing_is_dropped_in_silence(self):
        with pytest.raises(DataError, match="missing in some of 90 rows: weeks in 2, place in 1") as told:
            mx.explained_heterogeneity("yi ~ weeks + place + (1 | study/esid)", self.holes(), cluster="study")
        assert 'impute="median"' in str(told.value)

    def test_on_request_they_get_the_medians_of_the_training_rows_under_both_approaches(self):
        frame = self.holes()
        found = mx.explained_heterogeneity(
            "yi ~ weeks + place + (1 | study/esid)", frame, cluster="study", impute="median", folds=3, seed=1,
            forest={"n_trees": 5},
        )  # fmt: skip
        fold = cluster_folds(30, 3, 1)[frame["study"]]
        for f in range(3):
            train = frame[fold != f]
            values = {"weeks": train["weeks"].median(), "place": train["place"].mode()[0]}
            fit = mx.rma_mv("yi ~ weeks + place + (1 | study/esid)", train.fillna(values))
            expected = fit.predict(frame[fold == f].fillna(values))["estimate"].to_numpy()
            np.testing.assert_allclose(found.predictions["regression"][fold == f], expected, rtol=1e-10)
            forest = mx.metaforest("yi ~ weeks + place", train.fillna(values), cluster="study", n_trees=5, seed=1)
            expected = forest.predict(frame[fold == f].fillna(values))
            np.testing.assert_array_equal(found.predictions["forest"][fold == f], expected)

    def test_whole_numbers_and_truth_values_that_may_be_missing_are_filled_in(self):
        frame = review().assign(
            grade=lambda d: (10 * d["grade"]).round(), new=lambda d: (d["weeks"] > 0).astype(object)
        )
        frame.loc[[1, 2, 50], "grade"] = np.nan
        frame.loc[[1, 2, 50], "new"] = None
        options = {"cluster": "study", "impute": "median", "folds": 3, "seed": 1, "forest": {"n_trees": 3}}
        formula = "yi ~ grade + new + (1 | study/esid)"
        one, two = (mx.explained_heterogeneity(formula, data, **options) for data in (frame, frame.convert_dtypes()))
        assert str(frame.convert_dtypes()["grade"].dtype) == "Int64"
        assert str(frame.convert_dtypes()["new"].dtype) == "boolean"
        # text and truth values are coded in the same order
        np.testing.assert_allclose(one.predictions["regression"], two.predictions["regression"], rtol=1e-9)
        np.testing.assert_array_equal(one.predictions["forest"], two.predictions["forest"])

    def test_folds_of_tuning_and_pruning_fill_in_by_themselves(self):
        frame = self.holes()
        fold = cluster_folds(30, 3, 1)[frame["study"]]
        tuned = mx.tune_metaforest(
            "yi ~ weeks", frame, cluster="study", weights=["uniform"], mtry=[1], min_node_size=[5], folds=3, n_trees=5,
            impute="median", seed=1,
        )  # fmt: skip
        squares = np.empty(len(frame))
        for f in range(3):
            median = frame["weeks"][fold != f].median()
            train, test = (frame[side].fillna({"weeks": median}) for side in (fold != f, fold == f))
            forest = mx.metaforest("yi ~ weeks", train, cluster="study", weights="uniform", mtry=1, n_trees=5, seed=1)
            squares[fold == f] = (test["yi"] - forest.predict(test)) ** 2
        assert tuned.table["rmse"][0] == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)
        tree = mx.metacart("yi ~ weeks", frame, cluster="study", impute="median", folds=3, seed=1)
        assert tree.predict(frame)[2] == tree.predict(frame.assign(weeks=frame["weeks"].median()))[2]

    def test_blocks_with_missing_moderators_say_so(self):
        with pytest.warns(MissingModeratorsWarning, match="weeks in 2, place in 1 of 90 rows") as said:
            found = mx.screen_moderators(
                "yi ~ 1 + (1 | study/esid)", self.holes(), cluster="study", blocks=BLOCKS, always="methods"
            )
        assert "models of blocks rest on different rows" in str(said[0].message)
        assert found.table.set_index("moderator").loc["weeks", "k"] == 87


class TestBadModerators:
    @pytest.mark.parametrize(
        ("formula", "changes", "error", "words"),
        [
            ("yi ~ one + weeks", {"one": 3.0}, ModelError, "one: constant, as the intercept is"),
            ("yi ~ one + weeks", {"one": "a"}, ModelError, "one: has the one level 'a'"),
            ("yi ~ weeks", {"study": 1}, ModelError, "all estimates are of one level of 'study'"),
            ("yi ~ title + weeks", {"title": lambda d: d["study"].map("t{}".format)}, DataError,
             "no two clusters share a level of moderator 'title', which has 30 in 30 clusters"),
            ("yi ~ weeks", {"weeks": lambda d: d["weeks"].round(1).astype(str)}, DataError,
             "'weeks' is text that reads as numbers"),
            ("yi ~ weeks", {"weeks": lambda d: d["weeks"].where(d.index != 3, np.inf)}, DataError, "infinite"),
            ("yi ~ wekks", {}, DataError, "no column 'wekks'"),
            ("yi ~ log(weeks + 10)", {}, ModelError, r"^'log\(weeks \+ 10\)' is not a column"),
            ("yi ~ rare + weeks", {"rare": lambda d: 1.0 * (d["study"] == 4)}, ModelError,
             "without study .*: moderators say the same"),
        ],
    )  # fmt: skip
    def test_are_refused_in_words(self, formula, changes, error, words):
        with pytest.raises(error, match=words):
            mx.explained_heterogeneity(
                f"{formula} + (1 | study/esid)", review().assign(**changes), cluster="study", folds=3, seed=1,
                forest={"n_trees": 3},
            )  # fmt: skip

    def test_a_moderator_that_varies_in_one_part_alone_is_said_with_the_part(self):
        frame = review().assign(rare=lambda d: 1.0 * (d["study"] == 4))
        with pytest.raises(DataError, match=r"without study .*4.*: moderators that do not vary explain nothing: rare"):
            mx.explained_heterogeneity(
                "yi ~ rare + weeks + (1 | study/esid)", frame, cluster="study", folds=3, seed=1, approaches=["forest"]
            )

    def test_blocks_refuse_them_too(self):
        frame = review().assign(title=lambda d: d["study"].map("t{}".format), one=3.0)
        for name, error, words in (
            ("title", DataError, "no two clusters share a level"),
            ("one", ModelError, "one: constant"),
            ("wekks", DataError, "no column 'wekks'"),
        ):
            with pytest.raises(error, match=words):
                mx.screen_moderators(
                    "yi ~ 1 + (1 | study/esid)", frame, cluster="study", blocks={"a": [name], "b": ["weeks"]}
                )
        with pytest.raises(ModelError, match="one cluster carries no information"):
            mx.screen_moderators(
                "yi ~ 1 + (1 | esid)", review().assign(study=1), cluster="study", blocks={"a": ["weeks"]}
            )

    def test_rows_without_an_estimate_and_predictions_that_point_the_wrong_way_are_said(self):
        frame = review()
        frame.loc[:2, "yi"] = np.nan
        found = mx.explained_heterogeneity(
            "yi ~ grade + (1 | study/esid)", frame, cluster="study", approaches=["regression"], folds=3, seed=1
        )
        assert found.dropped == 3
        assert len(found.predictions) == 87
        assert "3 not used" in repr(found)
        assert ("point the wrong way" in repr(found)) == (found.table["slope"].iloc[0] < 0)
        turned = replace(found, table=found.table.assign(slope=-0.2))
        assert "slope below zero (regression)" in repr(turned)


class TestLevelsOfOnePart:
    def test_a_level_of_two_studies_in_one_fold_is_told_by_the_fold(self):
        frame = review()
        fold = cluster_folds(30, 3, 1)
        pair = np.flatnonzero(fold == 1)[:2]
        frame.loc[frame["study"].isin(pair), "place"] = "moon"
        with pytest.warns(UnknownLevelWarning, match=r"one fold alone has a level .* 'moon' of place in fold 2"):
            found = mx.explained_heterogeneity(
                "yi ~ weeks + place + (1 | study/esid)", frame, cluster="study", folds=3, seed=1,
                forest={"n_trees": 3},
            )  # fmt: skip
        assert np.isfinite(found.predictions[["regression", "forest"]].to_numpy()).all()
        with pytest.raises(DataError, match="one fold alone"):
            mx.explained_heterogeneity(
                "yi ~ weeks + place + (1 | study/esid)", frame, cluster="study", folds=3, seed=1, unseen="refuse"
            )


class TestScreening:
    def test_in_folds_the_same_moderators_pass(self):
        for always in ("methods", None):
            kept = mx.screen_moderators(
                "yi ~ 1 + (1 | study/esid)", review(), cluster="study", blocks=BLOCKS, always=always
            ).kept
            assert passing("yi ~ 1 + (1 | study/esid)", review(), "vi", "study", BLOCKS, always, 0.10) == kept

    def found(self):
        return mx.screen_moderators(
            "yi ~ 1 + (1 | study/esid)", review(), cluster="study", blocks=BLOCKS, always="methods"
        )

    def test_rows_are_the_robust_tests_of_the_model_of_each_block(self):
        found = self.found()
        table = found.table.set_index(["moderator", "level"])
        fit = mx.rma_mv("yi ~ design + weeks + place + (1 | study/esid)", review())
        robust = fit.robust("study")
        single = robust.tidy().set_index("term")
        for name in ("estimate", "std_error", "df", "p_value"):
            assert table.loc[("weeks", ""), name] == pytest.approx(single.loc["weeks", name], rel=1e-8)
        joint = robust.test(["place[b]", "place[c]"]).iloc[0]
        assert table.loc[("place", ""), "p_value"] == pytest.approx(joint["p_value"], rel=1e-8)
        assert table.loc[("place", ""), "df"] == pytest.approx(joint["den_df"], rel=1e-8)
        means = mx.emmeans(fit.model, "place", vcov=robust.covariance).table.set_index("place")
        for level in "abc":
            row = table.loc[("place", level)]
            assert row["estimate"] == pytest.approx(means.loc[level, "emmean"], rel=1e-8)
            assert row["std_error"] == pytest.approx(means.loc[level, "SE"], rel=1e-8)
            assert row["k"] == (review()["place"] == level).sum()
            assert row["m"] == review().loc[review()["place"] == level, "study"].nunique()

    def test_what_passes_is_in_the_final_model_and_the_block_that_is_always_in(self):
        found = self.found()
        assert found.kept == ("design", "weeks")
        assert list(found.final.names) == ["Intercept", "design[random]", "weeks"]
        assert found.table.loc[found.table["moderator"] == "weeks", "p_value"].iloc[0] < 0.1
        assert "the same data chose" in repr(found)
        assert list(found.fits) == ["methods", "treatment", "units"]

    def test_tables_for_papers(self):
        page = self.found().page()
        assert r"\multicolumn{7}{l}{\textit{treatment}}" in page.latex()
        assert "| place" in page.markdown()
        assert self.found().page(final=True).sections[0].title == "final"

    def test_one_cluster_that_tells_a_level_is_said_once(self):
        with pytest.warns(SingleClusterWarning, match="study 16 alone") as said:
            mx.screen_moderators(
                "yi ~ 1 + (1 | study/esid)",
                ASSINK,
                cluster="study",
                blocks={"methods": ["pubstatus"], "x": ["deltype"]},
            )
        texts = [str(w.message) for w in said]
        assert len(texts) == len(set(texts))

    def test_blocks_are_checked(self):
        frame = review()

        def ask(**options: object) -> object:
            return mx.screen_moderators("yi ~ 1 + (1 | study)", frame, cluster="study", **options)  # pyright: ignore

        with pytest.raises(OptionError, match="weeks is in two blocks"):
            ask(blocks={"a": ["weeks"], "b": ["weeks", "grade"]})
        with pytest.raises(OptionError, match="always='c' is no block"):
            ask(blocks={"a": ["weeks"]}, always="c")
        with pytest.raises(OptionError, match="without a list"):
            ask(blocks={"a": "weeks"})
        with pytest.raises(OptionError, match="grade of the formula is in no block"):
            mx.screen_moderators("yi ~ grade + (1 | study)", frame, cluster="study", blocks={"a": ["weeks"]})
        with pytest.raises(OptionError, match="threshold=2"):
            ask(blocks={"a": ["weeks"]}, threshold=2.0)


class TestSimulator:
    @pytest.mark.parametrize("kind", ["thresholds", "windows", "linear", "none"])
    def test_shape_and_share(self, kind):
        frame, truth = mx.datasets.simulate_review(5, kind)
        assert frame.shape == (1109, 47)
        assert frame["study"].nunique() == 191
        assert truth.mean.var() / 0.47**2 == pytest.approx(truth.r2, rel=1e-9)
        assert truth.mean.var() + truth.tau2_study + truth.tau2_effect == pytest.approx(0.47**2, rel=1e-9)
        again, _ = mx.datasets.simulate_review(5, kind)
        pd.testing.assert_frame_equal(frame, again)

    def test_moderators_of_studies_do_not_differ_within_them(self):
        from mixedfx.datasets import reviews

        frame, _ = mx.datasets.simulate_review(6)
        assert sum(len(part) for part in reviews.BLOCKS.values()) == 43
        for block, part in reviews.BLOCKS.items():
            if block != "outcomes":
                assert (frame.groupby("study")[list(part)].nunique() == 1).all(axis=None)
