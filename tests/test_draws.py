"""Draws: named joint draws with tuple keys."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.draws import Draws
from mixedfx.errors import MixedfxError, OptionError, UnknownQuantityError

NAMES = (("beta", "x"), ("sigma",), ("u", "g", "1", "x"), ("u", "g", "2", "x"))


@pytest.fixture
def draws():
    rng = np.random.default_rng(1)
    return Draws(NAMES, rng.normal(size=(2, 500, 4)), "A note.")


def test_a_key_gives_chain_by_draw_and_a_bare_string_is_a_tuple_of_one(draws):
    assert draws["beta", "x"].shape == (2, 500)
    np.testing.assert_array_equal(draws["sigma"], draws.array[:, :, 1])
    np.testing.assert_array_equal(draws["u", "g", "2", "x"], draws.array[:, :, 3])


def test_it_is_a_mapping_over_its_keys_in_order(draws):
    assert tuple(draws.keys()) == NAMES
    assert len(draws) == 4
    assert ("sigma",) in draws
    assert ("tau",) not in draws


def test_an_unknown_key_offers_the_nearest(draws):
    with pytest.raises(UnknownQuantityError, match=r"\('u', 'g', '1', 'x'\)"):
        draws["u", "g", "11", "x"]
    with pytest.raises(KeyError):  # so that code written for mappings works
        draws["nothing like it"]
    assert issubclass(UnknownQuantityError, MixedfxError)


def test_selection_by_prefix_keeps_order_and_note(draws):
    chosen = draws.select("u", "g")
    assert chosen.names == NAMES[2:]
    assert chosen.note == "A note."
    with pytest.raises(UnknownQuantityError):
        draws.select("u", "h")


def test_summary_equals_numpy_by_hand(draws):
    table = draws.summary(level=0.9)
    flat = draws["beta", "x"].ravel()
    row = table.iloc[0]
    assert row["key"] == ("beta", "x")
    expected = [flat.mean(), flat.std(ddof=1), np.median(flat), np.quantile(flat, 0.05), np.quantile(flat, 0.95)]
    # the same operations on the same numbers: rounding only
    np.testing.assert_allclose(row[["mean", "sd", "median", "lower", "upper"]].astype(float), expected, rtol=1e-12)
    with pytest.raises(OptionError, match="between 0 and 1"):
        draws.summary(level=95)


def test_frame_has_a_row_for_each_draw_and_tuples_for_columns(draws):
    frame = draws.to_frame()
    assert frame.shape == (1000, 4)
    assert frame.index.names == ["chain", "draw"]
    np.testing.assert_array_equal(frame[("u", "g", "1", "x")].loc[1], draws["u", "g", "1", "x"][1])


def test_stack_puts_chains_below_each_other_and_keeps_draws_joint(draws):
    both = draws.stack([("u", "g", "2", "x"), "sigma"])
    np.testing.assert_array_equal(both[500:, 0], draws["u", "g", "2", "x"][1])
    np.testing.assert_array_equal(both[:500, 1], draws["sigma"][0])


def test_repr_counts_what_is_held_and_shows_the_note(draws):
    assert repr(draws) == "Draws: 2 x 500 (chains x draws) of beta (1), sigma (1), u (2)\nA note."
    assert "sigma" in draws._repr_html_()


def test_shapes_and_keys_must_agree():
    with pytest.raises(ValueError, match="chains, draws, 2"):
        Draws(NAMES[:2], np.zeros((1, 5, 3)))
    with pytest.raises(ValueError, match="share one key"):
        Draws((("a",), ("a",)), np.zeros((1, 5, 2)))


def test_html_of_many_quantities_says_how_many_are_not_shown():
    many = Draws(tuple(("u", "g", str(i), "x") for i in range(60)), np.zeros((1, 2, 60)))
    assert "and 10 more" in many._repr_html_()


def test_one_draw_has_a_mean_and_no_sd():
    table = Draws((("a",),), np.ones((1, 1, 1))).summary()
    assert table["mean"].item() == 1
    assert pd.isna(table["sd"].item())
