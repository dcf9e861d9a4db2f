"""What users hand over by mistake is refused in words, and what is meant is read, by every function of this layer."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

import mixedfx as mx
from mixedfx.errors import DataError, MixedfxError, OptionError
from tests.learn.trials import linear_trial

OWN = {"outcome": LinearRegression(), "propensity": 0.5}


@pytest.fixture(scope="module")
def people():
    """300 people whose labels are not their places, in 10 groups."""
    X, y, w, _, _ = linear_trial(300)
    labels = pd.Index(np.random.default_rng(3).permutation(300) + 1000)
    data = X.assign(school=[f"s{i % 10}" for i in range(300)], y=y, w=w).set_axis(labels)
    return data


@pytest.fixture(scope="module")
def scores(people):
    return mx.dr_scores(people[["x1", "x2"]], people["y"], people["w"], groups=people["school"], **OWN)


ASKS = {
    "cate": lambda X, y, w, g: mx.cate("DR", X, y, w, groups=g, effect=LinearRegression(), **OWN).fitted[:, 0],
    "dr_scores": lambda X, y, w, g: mx.dr_scores(X, y, w, groups=g, **OWN).values,
    "tune_cate": lambda X, y, w, g: mx.tune_cate(
        {"T": {"outcome": [LinearRegression()]}}, X, y, w, groups=g, **OWN
    ).best.fitted[:, 0],
}  # fmt: skip


@pytest.mark.parametrize("name", ASKS)
def test_values_go_to_the_rows_of_their_labels(people, name):
    """A Series that was sorted or sampled apart from the frame would else give rows the outcomes of others."""
    X, ask = people[["x1", "x2"]], ASKS[name]
    straight = ask(X, people["y"], people["w"], people["school"])
    mixed = people.sample(frac=1, random_state=1)
    np.testing.assert_array_equal(ask(X, mixed["y"], mixed["w"], mixed["school"]), straight)
    np.testing.assert_array_equal(ask(X, people["y"].to_numpy(), list(people["w"]), people["school"]), straight)
    # sums of an array are in another order than those of a frame
    np.testing.assert_allclose(ask(X.to_numpy(), people["y"], people["w"], people["school"]), straight, atol=1e-12)
    with pytest.raises(DataError, match="y is a pandas Series whose index has no"):
        ask(X, people["y"].reset_index(drop=True), people["w"], people["school"])


@pytest.mark.parametrize("name", ASKS)
def test_labels_may_be_duplicated_where_all_have_the_same(people, name):
    twice = people.set_axis(people.index // 2)
    X, ask = twice[["x1", "x2"]], ASKS[name]
    straight = ask(people[["x1", "x2"]], people["y"], people["w"], people["school"])
    np.testing.assert_array_equal(ask(X, twice["y"], twice["w"], twice["school"]), straight)
    with pytest.raises(DataError, match="stands for several rows"):
        ask(X, twice["y"].iloc[::-1], twice["w"], twice["school"])


@pytest.mark.parametrize("name", ASKS)
def test_text_treatments_and_frames_of_polars_are_read(people, name):
    ask, named = ASKS[name], people["w"].map({0: "no", 1: "yes"})
    straight = ask(people[["x1", "x2"]], people["y"], people["w"], people["school"])
    for told in (named, named.astype("category"), named.astype("string"), people["w"] == 1):
        np.testing.assert_array_equal(ask(people[["x1", "x2"]], people["y"], told, people["school"]), straight)
    frame = pl.from_pandas(people.assign(w=named))
    np.testing.assert_array_equal(ask(frame[["x1", "x2"]], frame["y"], frame["w"], frame["school"]), straight)


WRONG = [
    (lambda d: d.assign(w=1), r"the treatment has one value, 1, in all 300 rows"),
    (lambda d: d.assign(w=d["w"].astype(object).replace({1: "a"})), "values of several kinds: int, str"),
    (lambda d: d.assign(y="good"), "outcomes must be numbers"),
    (lambda d: d.assign(y=d["y"].round().astype("Int64").where(d["y"] > -50).mask(d.index < 1002)),
     "2 outcomes are missing or infinite"),
    (lambda d: d.assign(w=d["w"].where(d.index > 1002)), "the treatment is missing in rows"),
    (lambda d: d.assign(school=d["school"].where(d.index > 1002)), "groups is missing in 3 rows"),
]  # fmt: skip


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(("change", "says"), WRONG)
def test_what_cannot_be_meant_is_said_by_counts(people, name, change, says):
    bad = change(people)
    with pytest.raises(DataError, match=says):
        ASKS[name](bad[["x1", "x2"]], bad["y"], bad["w"], bad["school"])


@pytest.mark.parametrize("shape", [(300, 1), ()])
def test_shapes_are_told(people, shape):
    w = np.ones(shape)
    with pytest.raises(DataError, match="w has shape"):
        mx.cate("T", people[["x1"]], people["y"], w)
    with pytest.raises(DataError, match="y has shape"):
        mx.cate("T", people[["x1"]], w, people["w"])


def test_clusters_are_named_in_what_is_said_of_them(people, scores):
    effects = mx.cate("T", people[["x1", "x2"]], people["y"], people["w"], outcome=LinearRegression()).out_of_fold
    for judge in (mx.calibration, mx.targeting):
        with pytest.raises(DataError, match="cluster is 'school'; there are 300 rows"):
            judge(effects, scores, cluster="school")
        with pytest.raises(DataError, match="cluster is missing in 1 rows"):
            judge(effects, scores, cluster=["a"] * 299 + [None])
        with pytest.raises(DataError, match="scores must be numbers"):
            judge(effects, people["school"])
        with pytest.raises(DataError, match="effects must be numbers"):
            judge(people["school"].tolist(), scores, cross_fitted=True)
        with pytest.raises(DataError, match="there are 299 effects and 300 rows"):
            judge(effects.values[:-1], scores, cross_fitted=True)
        with pytest.raises(DataError, match="1 effects are NaN or infinite"):
            judge(np.r_[np.nan, effects.values[1:]], scores, cross_fitted=True)
    with pytest.raises(DataError, match="by is missing in 1 rows"):
        mx.policy_value(1, scores, by=["a"] * 299 + [None])


def test_a_projection_takes_clusters_by_name(people, scores):
    named = mx.best_linear_projection(scores.values, "1 + x1", people, cluster="school")
    for given in (people["school"], people["school"].to_numpy(), people["school"].sample(frac=1, random_state=0)):
        pd.testing.assert_frame_equal(mx.best_linear_projection(scores.values, "1 + x1", people, cluster=given), named)
    with pytest.raises(OptionError, match="the data have no column 'scool'"):
        mx.best_linear_projection(scores.values, "1 + x1", people, cluster="scool")


def test_scores_and_effects_go_to_the_rows_of_their_labels(people, scores):
    series = pd.Series(scores.values, people.index)
    mixed = series.sample(frac=1, random_state=2)
    for ask in (
        lambda s, data: mx.pool_scores(s, "1 + (1 | school)", data, by="school").table["estimate"],
        lambda s, data: mx.effects_from(s, data, by="school").table["estimate"],
        lambda s, data: mx.best_linear_projection(s, "1 + x1", data)["estimate"],
    ):
        straight = ask(series, people)
        np.testing.assert_allclose(ask(mixed, people), straight, rtol=1e-12)
        np.testing.assert_allclose(ask(pd.DataFrame(scores.values), people), straight, rtol=1e-12)  # one column
        np.testing.assert_allclose(ask(scores.values, pl.from_pandas(people)), straight, rtol=1e-12)
        with pytest.raises(MixedfxError, match="whose index has no"):
            ask(series.reset_index(drop=True), people)
        with pytest.raises(DataError, match="there are 299"):
            ask(scores.values[1:], people)


def test_groups_without_a_name_are_refused_where_scores_are_pooled(people, scores):
    bad = people.assign(school=people["school"].where(np.arange(300) > 2))
    with pytest.raises(MixedfxError, match=r"'school' is missing in 3 rows"):
        mx.pool_scores(scores.values, "1 + (1 | school)", bad)


def test_explanations_ask_for_the_fit(people, scores):
    fit = mx.cate("T", people[["x1", "x2"]], people["y"], people["w"], outcome=LinearRegression())
    for given in (fit.out_of_fold, None, scores):
        for ask in (mx.explain_cate, lambda one: mx.permutation_importance(one, scores)):
            with pytest.raises(OptionError, match=r"Give what mx\.cate returns"):
                ask(given)


@pytest.fixture(scope="module")
def three(people):
    """Fit and scores of three arms."""
    X, w = people[["x1", "x2"]], np.arange(300) % 3
    own = {"outcome": LinearRegression(), "propensity": [0.3, 0.3, 0.4]}
    scores = mx.dr_scores(X, people["y"], w, **own)
    return mx.cate("DR", X, people["y"], w, effect=LinearRegression(), **own), scores


def test_a_contrast_is_of_effects_and_of_scores(people, three):
    fit, scores = three
    for judge in (mx.calibration, mx.targeting):
        asked = judge(fit.out_of_fold, scores, contrast="2 - 0")
        by_hand = judge(fit.out_of_fold.of("2 - 0"), scores.of("2 - 0"), **(
            {"baseline": scores.arms[:, 0]} if judge is mx.targeting else {}))  # fmt: skip
        first, second = (one.table if judge is mx.calibration else one.curve for one in (asked, by_hand))
        pd.testing.assert_frame_equal(first, second)
    with pytest.raises(OptionError, match="there are 2 effects"):
        mx.explain_cate(fit)


def learn(X, learner="T", **options):
    """Ask for effects of the treatment in a table of 300 people."""
    own = {"outcome": LinearRegression(), "effect": LinearRegression(), **options}
    y, w = own.pop("y", np.arange(300.0)), own.pop("w", np.arange(300) % 2)
    return mx.cate(learner, X, y, w, **own)


TABLE = pd.DataFrame(np.random.default_rng(0).standard_normal((300, 2)), columns=["a", "b"])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: learn(None), r"X has shape \(\)"),
        (lambda: learn([[1, 2], [3]]), "X is no table"),
        (lambda: learn(TABLE[[]]), "X has no columns to learn from"),
        (lambda: learn(pd.concat([TABLE, TABLE["a"]], axis=1)), "X has several columns of one name: a"),
        (lambda: learn(TABLE.to_numpy() * 1j), "X holds complex numbers"),
        (lambda: learn(TABLE, y="a", w="a"), "outcome and treatment are one column, 'a'"),
        (lambda: learn(TABLE.mask(TABLE > 1)), "the outcome model, LinearRegression, cannot be fitted"),
        (lambda: learn(TABLE, seed="one"), "seed='one'"),
        (lambda: learn(TABLE, "R", propensity=0.5, clip="low"), "clip='low'"),
        (lambda: learn(TABLE, n_jobs=0), "n_jobs=0 is no number of processes"),
        (lambda: learn(TABLE, "R", propensity=[None] * 300), "propensity=a list is neither"),
        (lambda: mx.cate(TABLE, "T", "a", "b"), "learner=a DataFrame is not known"),
        (lambda: learn(TABLE).predict(TABLE[:0]), "X has no rows"),
        (lambda: learn(TABLE).predict(TABLE.to_numpy()[:, :1]), "X has 1 columns; 2 were learnt from"),
        (lambda: mx.treat_best(learn(TABLE), 0.3), "Use fit.out_of_fold"),
        (lambda: mx.treat_best(0.3, 0.3, cross_fitted=True), "effects are one number"),
        (lambda: mx.treat_best([0.1, 0.2], "30%", cross_fitted=True), "share='30%'"),
        (lambda: mx.effects_from(learn(TABLE), TABLE), "Use fit.out_of_fold"),
        (lambda: mx.effects_from("a", TABLE, se=np.ones(300), rho="a"), "rho='a' is no correlation"),
        (lambda: mx.effects_from("a", TABLE, weights=["x"] * 300), "weights must be numbers"),
        (lambda: mx.effects_from("a", TABLE, by=3), "by cannot be read: 3"),
        (lambda: mx.targeting(TABLE["a"], TABLE["b"], "half", cross_fitted=True), "shares must be numbers"),
        (lambda: mx.calibration(TABLE["a"], TABLE["b"], bins=301, cross_fitted=True), "301 bins of 300 people"),
        (lambda: mx.policy_value(learn(TABLE).out_of_fold, TABLE["a"], TABLE["b"] > 0, 0.5), "Use mx.treat_best"),
        (lambda: mx.policy_value(1, TABLE["a"], TABLE["b"] > 0, 0.5, outcomes=np.full((300, 2), np.nan)),
         "expected outcomes of 300 rows are NaN"),
        (lambda: mx.policy_value(1, 2.0, 1, 0.5), r"y has shape \(\)"),
        (lambda: mx.datasets.simulate_mindset(propensities=0.3), "propensities=0.3 are no range"),
    ],
)  # fmt: skip
def test_slips_are_answered_in_words(ask, says):
    with pytest.raises(MixedfxError, match=says):
        ask()


def test_one_cluster_says_nothing_of_the_variation_between_clusters():
    tau, scores = TABLE["a"], TABLE["b"]
    for ask in (
        lambda cluster: mx.calibration(tau, scores, cluster=cluster, cross_fitted=True),
        lambda cluster: mx.targeting(tau, scores, cluster=cluster, n_boot=5, cross_fitted=True),
        lambda cluster: mx.policy_value(1, scores, tau > 0, 0.5, cluster=cluster),
    ):
        with pytest.raises(DataError, match="all 300 rows are in one cluster"):
            ask(["only"] * 300)
        ask(range(300))
