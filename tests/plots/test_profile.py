"""Profile plots draw every parameter, its intervals as far as they go, and refuse tables they cannot read."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import DataError
from mixedfx.plots.profile import profile


def table(names=("a", "b", "c"), zeta=(-2.5, -1.0, 0.0, 1.0, 2.5)):
    rows = [(name, 10 + z, z, 1.0) for name in names for z in zeta]
    return pd.DataFrame(rows, columns=["parameter", "value", "zeta", "slope"])


def test_a_panel_for_each_parameter_with_its_intervals():
    figure = profile(table())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "c"]
    axes = figure.axes[0]
    ends = sorted(line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] > 1)
    expected = 10 + np.array([-1.959964, -1.281552, -0.67449, 0.67449, 1.281552, 1.959964])
    np.testing.assert_allclose(ends, expected, atol=1e-6)


def test_intervals_beyond_the_profile_are_not_drawn():
    axes = profile(table(("a",), (0.0, 0.5, 1.0, 1.5))).axes[0]  # the curve of an sd estimated as zero
    ends = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] > 1]
    assert len(ends) == 2


def test_the_density_of_a_straight_profile_is_normal():
    axes = profile(table(("a",), np.linspace(-3, 3, 13)), density=True).axes[0]
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(y, np.exp(-((x - 10) ** 2) / 2) / np.sqrt(2 * np.pi), rtol=1e-9)


def test_tables_without_rows_or_columns_are_refused():
    with pytest.raises(DataError, match="missing"):
        profile(table().drop(columns="zeta"))
    with pytest.raises(DataError, match="needs rows"):
        profile(table().iloc[:0])
