"""The summary says what was fitted to which rows, and what to know about the answer."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer


@pytest.fixture
def data():
    rng = np.random.default_rng(31)
    n = 120
    g = rng.integers(0, 10, n)
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.uniform(0.5, 2, n), "o": rng.normal(size=n)})
    frame["twice"] = 2 * frame["x"]
    frame["y"] = rng.normal(size=10)[g] + frame["o"] + rng.normal(size=n)
    return frame.assign(g=g.astype(str), h=rng.integers(0, 6, n).astype(str))


def text(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return str(lmer(formula, data, **options))


def test_rows_dropped_are_counted_by_column_and_weights_of_zero_named(data):
    data.loc[[0, 1], "x"] = np.nan
    data.loc[[1, 2], "g"] = None
    data.loc[5, "w"] = 0.0
    shown = text("y ~ x + (1 | g)", data, weights="w")
    assert (
        "116 of 120 rows used; 3 dropped for missing values: x (2), g (2); 1 dropped for a weight of zero"
        in " ".join(shown.split())
    )


def test_weights_offset_and_aliased_columns_are_said(data):
    shown = text("y ~ x + twice + (1 | g)", data, weights="w", offset="o")
    assert "Weights: precision weights: the residual variance of a row is sigma^2 / weight" in shown
    assert "Offset:  an offset is part of the fitted values" in shown
    assert "Aliased: dropped as linear combinations of other columns: twice" in shown
    plain = text("y ~ x + (1 | g)", data)
    for word in ("Weights", "Offset", "Aliased"):
        assert word not in plain


def test_groups_come_with_their_sizes_once_for_each_factor(data):
    shown = text("y ~ x + (1 | g) + (0 + x | g) + (1 | h)", data)
    sizes = data["g"].value_counts()
    [row] = [line for line in shown.split("Random effects")[0].splitlines() if line.startswith(" g ")]
    assert row.split() == ["g", "10", str(sizes.min()), f"{sizes.median():g}", str(sizes.max())]


def test_a_singular_fit_names_the_direction_and_the_smaller_formula_on_lines_of_their_own(data):
    data["y"] = np.random.default_rng(0).normal(size=120)
    data["y"] -= data.groupby("h")["y"].transform("mean")  # no variation between the levels of h is left
    shown = text("y ~ x + (1 | h)", data)
    assert "Singularity:   the sd of Intercept within `h` is zero\n" in shown
    assert shown.endswith("Smaller model: y ~ 1 + x (a linear model: no random term is left)")


def test_df_and_p_are_shown_only_where_they_are_known(data):
    fit = lmer("y ~ x + (1 | g)", data)
    header = fit.summary(ddf=None).text().split("Fixed effects\n")[1].splitlines()[0]
    assert header.split() == ["Estimate", "Std.", "error", "t"]
    assert "Tests:" not in fit.summary(ddf=None).text()
    header = fit.summary().text().split("Fixed effects\n")[1].splitlines()[0]
    assert header.split() == ["Estimate", "Std.", "error", "df", "t", "p"]
    assert "Tests:       Satterthwaite's degrees of freedom\n" in fit.summary().text()
    header = fit.summary(ddf="residual").text().split("Fixed effects\n")[1].splitlines()[0]
    assert header.split() == ["Estimate", "Std.", "error", "df", "t", "p"]


@pytest.mark.parametrize(("REML", "name"), [(True, "REML criterion"), (False, "-2 log L")])
def test_the_criterion_goes_by_its_name(data, REML, name):
    shown = text("y ~ x + (1 | g)", data, REML=REML)
    assert name in shown
    assert shown.startswith(f"Linear mixed model fit by {'REML' if REML else 'maximum likelihood'}\n")


def test_no_line_is_longer_than_a_hundred_columns(data):
    data = data.rename(columns={"x": "a_rather_long_name_of_a_covariate_measured_once_a_year_by_somebody"})
    long = data.columns[0]
    shown = text(f"y ~ {long} * o * w * twice + (1 + {long} + o + w | g)", data)
    assert max(map(len, shown.splitlines())) <= 100


def test_correlations_stand_with_their_effect_in_the_order_of_the_effects_above(data):
    rng = np.random.default_rng(5)
    u = rng.normal(size=(10, 3)) @ np.array([[2.0, 1.0, -1.0], [0, 1.5, 0.5], [0, 0, 1.0]])
    g = data["g"].astype(int).to_numpy()
    data["y"] = u[g, 0] + u[g, 1] * data["x"] + u[g, 2] * data["o"] + rng.normal(size=120)
    fit = lmer("y ~ x + o + (x + o | g)", data)
    [row] = [
        line
        for line in str(fit).split("Random effects")[1].splitlines()
        if line.startswith(" " * 3 + " ") and " o " in line
    ][:1]
    pairs = fit.varcorr.dropna(subset=["var2"])
    expected = pairs.loc[pairs["var2"] == "o", "sdcor"].tolist()
    assert [float(cell) for cell in row.split()[3:]] == [round(r, 2) for r in expected]
