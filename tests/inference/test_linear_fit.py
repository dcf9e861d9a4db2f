"""Linear models speak as linear models: R squared and F, comparisons by F, no word of REML."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.inference.linear_fit import linear_statistics


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=60), "f": rng.choice(list("abc"), 60), "w": rng.uniform(0.5, 2, 60)})
    frame["y"] = 1 + 0.5 * frame["x"] + (frame["f"] == "b") + rng.normal(size=60)
    return frame


def by_hand(y, X, w=None):
    """Weighted residual and total sums of squares."""
    w = np.ones(len(y)) if w is None else w
    root = np.sqrt(w)
    beta = np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0]
    rss = float((w * (y - X @ beta) ** 2).sum())
    total = float((w * (y - np.average(y, weights=w)) ** 2).sum())
    return rss, total


def design_of(data):
    return np.column_stack([np.ones(60), data["x"], data["f"] == "b", data["f"] == "c"])


@pytest.mark.parametrize("weighted", [False, True])
def test_r2_and_f_are_those_of_sums_of_squares(data, weighted):
    weights = data["w"].to_numpy() if weighted else None
    fit = mx.lmer("y ~ x + f", data, weights="w" if weighted else None)
    found = linear_statistics(fit.design, fit.fixef.to_numpy())
    rss, total = by_hand(data["y"].to_numpy(), design_of(data), weights)
    assert found.r2 == pytest.approx(1 - rss / total, rel=1e-10)
    assert found.adjusted == pytest.approx(1 - rss / 56 / (total / 59), rel=1e-10)
    f = (total - rss) / 3 / (rss / 56)
    assert found.f == pytest.approx(f, rel=1e-9)
    assert (found.num_df, found.den_df) == (3, 56)
    assert found.p_value == pytest.approx(stats.f.sf(f, 3, 56), rel=1e-9)


def test_without_an_intercept_squares_are_about_zero(data):
    fit = mx.lmer("y ~ 0 + x", data)
    found = linear_statistics(fit.design, fit.fixef.to_numpy())
    rss, _ = by_hand(data["y"].to_numpy(), data[["x"]].to_numpy())
    assert found.r2 == pytest.approx(1 - rss / float((data["y"] ** 2).sum()), rel=1e-10)
    constant = mx.lmer("y ~ 1", data)
    assert np.isnan(linear_statistics(constant.design, constant.fixef.to_numpy()).f)


def test_the_summary_and_the_fit_do_not_speak_of_reml(data):
    fit = mx.lmer("y ~ x + f", data)
    text = str(fit.summary())
    assert text.startswith("Linear model fit by least squares")
    for word in ("REML", "Convergence", "Random effects", "logLik"):
        assert word not in text
    assert text.split("Fit\n")[1].split("\n")[0].split() == [
        "R2", "Adjusted", "R2", "F", "Num.", "df", "Den.", "df", "p", "Residual", "sd",
    ]  # fmt: skip
    assert repr(fit).startswith("<LmerFit y ~ 1 + x + f: least squares, residual sd ")
    assert "REML" in str(mx.lmer("y ~ x + (1 | f)", data).summary())


def test_nested_linear_models_compare_by_f_with_the_scale_of_the_largest(data):
    small, middle, large = (mx.lmer(f, data) for f in ("y ~ 1", "y ~ x", "y ~ x + f"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is refitted
        table = mx.anova(large, small, middle)
    y = data["y"].to_numpy()
    X = design_of(data)
    rss = [by_hand(y, X[:, :k])[0] for k in (1, 2, 4)]
    assert table["rss"].tolist() == pytest.approx(rss, rel=1e-10)
    assert table["den_df"].tolist() == [59, 58, 56]
    expected = [(rss[0] - rss[1]) / (rss[2] / 56), (rss[1] - rss[2]) / 2 / (rss[2] / 56)]
    assert table["f_value"].tolist()[1:] == pytest.approx(expected, rel=1e-9)
    assert table["p_value"].tolist()[1:] == pytest.approx(
        [stats.f.sf(expected[0], 1, 56), stats.f.sf(expected[1], 2, 56)]
    )
    # of one term it is the F of anova(fit)
    one = middle.anova(ddf="residual").iloc[0]
    two = mx.anova(small, middle).iloc[1]
    assert two["f_value"] == pytest.approx(one["f_value"], rel=1e-9)


def test_beside_a_mixed_model_likelihoods_are_compared(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = mx.anova(mx.lmer("y ~ x", data), mx.lmer("y ~ x + (1 | f)", data))
    assert "chisq" in table


def test_a_family_is_refused_in_words_that_name_the_way(data):
    binary = data.assign(y=(data["y"] > 1).astype(int))
    with pytest.raises(mx.errors.OptionError, match=r"mx\.glmer\(formula, data, family='bernoulli'\)"):
        mx.lmer("y ~ x + (1 | f)", binary, family="bernoulli")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mx.lmer("y ~ x + (1 | f)", data, family="gaussian").nobs == 60
        fit = mx.lmer("y ~ x + (1 | f)", binary)
    assert "linear probability model" in " ".join(str(fit.summary()).split())
    assert "mx.glmer" in " ".join(str(fit.check()).split())
