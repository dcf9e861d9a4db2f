"""Effects of what predicts means and has no linear predictor: against loops over draws, subgroups and rows."""

import itertools
import sys

import numpy as np
import pandas as pd
import polars
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, EffectsError
from mixedfx.results.protocol import Fit, PredictsMean

RNG = np.random.default_rng(3)
N = 120
DATA = pd.DataFrame(
    {
        "z": RNG.integers(0, 2, N),
        "x": RNG.normal(size=N).round(2),
        "race": RNG.choice(["a", "b:c", "d[1]"], N),
        "site": RNG.choice(["s", "t"], N),
        "w": RNG.integers(1, 4, N).astype(float),
    }
)
DATA["y"] = 1.0 + DATA["x"] ** 2 + DATA["z"] * (1 + (DATA["race"] == "a")) + RNG.normal(0, 0.3, N)


class Neighbours:
    """Bootstrap of the mean of the k nearest rows, the columns of text and the treatment counting as far apart."""

    uncertainty = "Intervals hold the spread of refits to bootstrap samples of the rows."
    response = "y"
    columns = ("z", "x", "race")

    def __init__(self, data, refits=25, k=7):
        rng, self.data, self.k = np.random.default_rng(1), data, k
        self.samples = [rng.integers(len(data), size=len(data)) for _ in range(refits)]
        self.seen = []

    def _points(self, frame):
        return np.column_stack([3.0 * frame["z"], frame["x"], *(3.0 * (frame["race"] == r) for r in ("a", "b:c"))])

    def mean_draws(self, frame):
        self.seen.append(frame)
        points, known, y = self._points(frame), self._points(self.data), self.data["y"].to_numpy()
        far = ((points[:, None] - known) ** 2).sum(axis=2)
        out = []
        for sample in self.samples:
            nearest = np.argsort(far[:, sample], axis=1, kind="stable")[:, : self.k]
            out.append(y[sample][nearest].mean(axis=1))
        return np.array(out)


class Polynomial:
    """Least squares of y on 1, x, x^2, z, z x: points, or draws from the distribution of the coefficients."""

    uncertainty = "Intervals hold the sampling distribution of the coefficients."
    response = "y"
    columns = ("x", "z")

    def __init__(self, data, draws=None):
        self.data = data
        X, y = self._columns(data), data["y"].to_numpy()
        self.coefficients = np.linalg.lstsq(X, y, rcond=None)[0]
        if draws is not None:
            left = y - X @ self.coefficients
            cov = np.linalg.inv(X.T @ X) * (left @ left) / (len(y) - X.shape[1])
            self.coefficients = np.random.default_rng(2).multivariate_normal(self.coefficients, cov, draws)

    @staticmethod
    def _columns(frame):
        x, z = frame["x"].to_numpy(dtype=float), frame["z"].to_numpy(dtype=float)
        return np.column_stack([np.ones(len(x)), x, x**2, z, z * x])

    def mean_draws(self, frame):
        return self.coefficients @ self._columns(frame).T


def by_hand(source, treatment, values, keep, weights=None, compare=lambda high, low: high - low):
    """(D,) effects in the rows where `keep` holds, row by row: every row under either value, weighted, compared."""
    rows = DATA[keep]
    w = np.ones(len(rows)) if weights is None else weights[keep.to_numpy()]
    low, high = (source.mean_draws(rows.assign(**{treatment: v})) for v in values)
    totals = [sum(w[i] * np.atleast_2d(draws)[:, i] for i in range(len(rows))) / w.sum() for draws in (high, low)]
    return compare(*totals)


@pytest.fixture(scope="module")
def neighbours():
    return Neighbours(DATA)


def test_a_fit_has_a_linear_predictor_and_a_learner_has_not(neighbours):
    fit = mx.lmer("y ~ z + (1 | race)", DATA)
    assert isinstance(neighbours, PredictsMean)
    assert not isinstance(neighbours, Fit)
    assert isinstance(fit, Fit)
    assert not isinstance(fit, PredictsMean)


def test_average_effects_are_those_of_loops(neighbours):
    eff = mx.effects(neighbours, "z")
    expected = by_hand(neighbours, "z", (0, 1), DATA["z"] >= 0)
    np.testing.assert_allclose(eff.draws()[:, 0], expected, rtol=1e-12)
    row = eff.table.iloc[0]
    assert row["estimate"] == pytest.approx(expected.mean())
    assert row["sd"] == pytest.approx(expected.std(ddof=1))
    assert [row["lower"], row["upper"]] == pytest.approx(np.quantile(expected, [0.025, 0.975]))
    assert (row["contrast"], row["n"], eff.uncertainty) == ("1 - 0", N, neighbours.uncertainty)


def test_effects_in_crossed_subgroups_with_weights_are_those_of_loops(neighbours):
    eff = mx.effects(neighbours, "z", by=["race", "site"], weights="w")
    assert len(eff) == 6
    for i, (race, site) in enumerate(itertools.product(sorted(DATA["race"].unique()), ["s", "t"])):
        keep = (DATA["race"] == race) & (DATA["site"] == site)
        assert eff.table.loc[i, ["race", "site", "n"]].tolist() == [race, site, keep.sum()]
        expected = by_hand(neighbours, "z", (0, 1), keep, DATA["w"].to_numpy())
        np.testing.assert_allclose(eff.draws()[:, i], expected, rtol=1e-12)


def test_named_subgroups_and_other_comparisons(neighbours):
    eff = mx.effects(neighbours, "z", subgroups={"high": "x > 0", "a": "race == 'a'"}, comparison="ratio")
    for i, keep in enumerate((DATA["x"] > 0, DATA["race"] == "a")):
        expected = by_hand(neighbours, "z", (0, 1), keep, compare=lambda high, low: high / low)
        np.testing.assert_allclose(eff.draws()[:, i], expected, rtol=1e-12)
    assert eff.table["estimate"].to_numpy() == pytest.approx(np.median(eff.draws(), axis=0))


def test_contrasts_of_subgroups_are_joint(neighbours):
    eff = mx.effects(neighbours, "z", by="race")
    contrast = eff.contrast("a", "b:c")
    np.testing.assert_allclose(contrast.draws()[:, 0], eff.draws()[:, 0] - eff.draws()[:, 1], rtol=1e-12)
    assert len(eff.contrast(against="overall")) == 3


def test_a_treatment_of_text_is_given_as_text_and_compared_in_pairs(neighbours):
    neighbours.seen.clear()
    eff = mx.effects(neighbours, {"race": "pairwise"})
    assert len(eff) == 3
    assert {frame["race"].dtype for frame in neighbours.seen} == {DATA["race"].dtype}
    for i, (low, high) in enumerate((("a", "b:c"), ("a", "d[1]"), ("b:c", "d[1]"))):
        expected = by_hand(neighbours, "race", (low, high), DATA["z"] >= 0)
        np.testing.assert_allclose(eff.draws()[:, i], expected, rtol=1e-12)


def test_a_number_is_taken_one_unit_further():
    source = Polynomial(DATA, draws=50)
    eff = mx.effects(source, "x", by="z")
    for i, z in enumerate((0, 1)):
        rows = DATA[DATA["z"] == z]
        found = source.mean_draws(rows.assign(x=rows["x"] + 1)) - source.mean_draws(rows)
        np.testing.assert_allclose(eff.draws()[:, i], found.mean(axis=1), rtol=1e-10)


def test_a_linear_model_gives_what_lmer_gives_up_to_its_draws():
    """Of 4,000 draws: the mean within five Monte Carlo errors, the standard error within 5 %."""
    data = DATA.assign(x2=DATA["x"] ** 2)
    draws = mx.effects(Polynomial(DATA, draws=4000), "z", by="site").table
    exact = mx.effects(mx.lmer("y ~ x + x2 + z + z:x", data), "z", by="site", newdata=data).table
    assert draws["n"].tolist() == exact["n"].tolist()
    assert ((draws["estimate"] - exact["estimate"]).abs() < 5 * exact["sd"] / np.sqrt(4000)).all()
    np.testing.assert_allclose(draws["sd"], exact["sd"], rtol=0.05)


def test_points_have_estimates_and_no_intervals():
    eff = mx.effects(Polynomial(DATA), "z", by="site")
    for i, site in enumerate(("s", "t")):
        assert eff.table["estimate"][i] == pytest.approx(
            by_hand(Polynomial(DATA), "z", (0, 1), DATA["site"] == site)[0]
        )
    assert eff.table[["sd", "lower", "upper", "prob_above_null"]].isna().all(axis=None)
    assert any("points" in note for note in eff.notes)
    contrast = eff.contrast("s", "t").table
    assert contrast["estimate"].item() == pytest.approx(eff.table["estimate"][0] - eff.table["estimate"][1])


def test_subgroups_by_what_predictions_do_not_depend_on_are_explained(neighbours):
    assert any("do not depend on 'site'" in note for note in mx.effects(neighbours, "z", by="site").notes)
    assert not any("do not depend" in note for note in mx.effects(neighbours, "z", by="race").notes)


def test_poststratification_over_other_rows(neighbours):
    census = pd.DataFrame({"z": [0, 1, 0], "x": [0.0, 1.0, 2.0], "race": ["a", "a", "d[1]"], "N": [5.0, 1.0, 2.0]})
    out = mx.poststratify(neighbours, census, weights="N", by="race")
    found = neighbours.mean_draws(census)
    np.testing.assert_allclose(out.draws(), np.column_stack([found[:, :2] @ [5 / 6, 1 / 6], found[:, 2]]), rtol=1e-12)


def test_uncertain_weights_go_with_the_draws(neighbours):
    weights = np.random.default_rng(5).uniform(0.5, 2.0, (25, N))
    eff = mx.effects(neighbours, "z", weights=weights)
    low, high = (neighbours.mean_draws(DATA.assign(z=v)) for v in (0, 1))
    share = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(eff.draws()[:, 0], (share * (high - low)).sum(axis=1), rtol=1e-10)


def test_many_cells_pass_by_in_blocks(neighbours, monkeypatch):
    whole = mx.effects(neighbours, "z", by="race").draws()
    monkeypatch.setattr(sys.modules["mixedfx.effects.mean_fit"], "CELLS", 17)
    np.testing.assert_allclose(mx.effects(neighbours, "z", by="race").draws(), whole, rtol=1e-12)


def test_other_frames_than_pandas_are_read():
    source = Polynomial(DATA, draws=20)
    source.data = polars.from_pandas(DATA)
    np.testing.assert_allclose(
        mx.effects(source, "z").draws(), mx.effects(Polynomial(DATA, draws=20), "z").draws(), rtol=1e-12
    )


def test_the_answer_prints_and_reports(neighbours):
    eff = mx.effects(neighbours, "z", by="race")
    assert "bootstrap samples" in str(eff)
    assert "y ~ Neighbours(z, x, race)" in str(eff)
    assert "<table" in eff._repr_html_()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"scale": "link"}, EffectsError, "no linear predictor"),
        ({"groups": "average"}, EffectsError, "no random effects"),
        ({"bias_adjust": True}, EffectsError, "means already"),
        ({"uncertainty": "given theta"}, mx.errors.OptionError, "given theta"),
        ({"by": "nothing"}, EffectsError, "nothing"),
        ({"newdata": DATA[["z", "x"]]}, DataError, "'race'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(neighbours, options, error, match):
    with pytest.raises(error, match=match):
        mx.effects(neighbours, "z", **options)


def test_a_treatment_that_predictions_do_not_depend_on_is_refused(neighbours):
    with pytest.raises(EffectsError, match="'site' is not in the model"):
        mx.effects(neighbours, "site")


def test_wrong_predictions_are_refused_in_words():
    source = Polynomial(DATA)
    source.mean_draws = lambda frame: np.zeros(3)
    with pytest.raises(DataError, match=r"shape \(1, 3\) for"):
        mx.effects(source, "z")
    source.mean_draws = lambda frame: np.full(len(frame), np.nan)
    with pytest.raises(DataError, match="not finite"):
        mx.effects(source, "z")
    source.columns = ("x", "z", "age")
    with pytest.raises(DataError, match="'age'"):
        mx.effects(source, "z")
