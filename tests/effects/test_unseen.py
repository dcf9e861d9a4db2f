"""Many unseen levels become few, and the joint distribution of averages stays what it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.functional import Functional
from mixedfx.effects import unseen
from mixedfx.effects.effects import effects
from mixedfx.effects.poststratify import poststratify
from tests.effects.drawn_fit import draw_fit

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

FORMULA = "y ~ z*race + (1 + z | school:age) + (1 | district)"
NUMBERS = ["n", "weight", "estimate", "sd", "lower", "upper", "prob_above_null", "unseen"]


@pytest.fixture(scope="module")
def cells(people):
    """600 cells, most of them combinations of school and age without data; one district has no data either."""
    rng = np.random.default_rng(4)
    cells = pd.MultiIndex.from_product(
        [sorted(set(people["school"])), range(20, 45), ["Black", "White"]], names=["school", "age", "race"]
    ).to_frame(index=False)
    cells["district"] = np.where(cells["age"] % 7 == 0, "far", "d1")
    return cells.assign(N=rng.gamma(1.0, size=len(cells)))


@pytest.fixture
def low(monkeypatch):
    monkeypatch.setattr(unseen, "MANY", 50)


def ask(fit, cells):
    return effects(fit, "z", by=["race", "district"], newdata=cells, weights="N")


def test_the_exact_answer_does_not_change(people, cells, dense_fit, monkeypatch):
    fit = dense_fit(FORMULA, people)
    whole = ask(fit, cells)
    monkeypatch.setattr(unseen, "MANY", 50)
    few = ask(fit, cells)
    # (4 subgroups + everybody) x 2 values x 2 columns = 20 at most instead of hundreds; the district keeps its own.
    count = pd.Series([new.term for new in few.functional.new_levels]).value_counts()
    assert count[0] <= 20 < 100 < pd.Series([new.term for new in whole.functional.new_levels]).value_counts()[0]
    assert [new.level for new in few.functional.new_levels if new.term == 1] == ["far"]
    pd.testing.assert_frame_equal(few.table, whole.table, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.apply(few.functional).cov, fit.apply(whole.functional).cov, rtol=1e-9, atol=1e-12)
    for against in ("overall", "complement"):
        one, other = (e.contrast(against=against).table[NUMBERS] for e in (few, whole))
        pd.testing.assert_frame_equal(one, other, rtol=1e-8, atol=1e-12)


def test_what_cancels_in_a_difference_still_cancels(people, cells, dense_fit, low):
    """Intercepts of unseen levels are in both averages and in no effect."""
    fit = dense_fit("y ~ z*race + (1 | school:age)", people)
    table = ask(fit, cells).table
    fixed = fit.dense(fit.design_for(cells.assign(z=1), "sample")) - fit.dense(
        fit.design_for(cells.assign(z=0), "sample")
    )
    mine = ((cells["race"] == "Black") & (cells["district"] == "d1")).to_numpy()
    c = np.average(fixed[mine], axis=0, weights=cells["N"][mine])
    assert table["sd"][0] == pytest.approx(np.sqrt(c @ fit.cov @ c), rel=1e-9)


def test_draws_of_a_posterior_have_the_covariance_of_all_levels(people, cells, low):
    """Known coefficients and one Sigma: averages vary through unseen levels alone."""
    fit = draw_fit(FORMULA, people, "gaussian", draws=20_000)
    factors = tuple(np.broadcast_to(f[:1], f.shape) for f in fit.covariance_factors)
    fit = type(fit)(fit.design, np.zeros_like(fit.sample), factors, fit.family)
    eff = poststratify(fit, cells.assign(z=1), weights="N", by="race")
    names = eff.functional.new_levels
    assert len(names) < 50
    rows = fit.design_for(cells.assign(z=1), "sample")
    G = np.zeros((rows.new.shape[1],) * 2)
    at = 0
    for new in rows.new_levels:
        root = factors[new.term][0]
        k = len(root)
        G[at : at + k, at : at + k] = root @ root.T
        at += k
    A = np.array([np.where(cells["race"] == race, cells["N"], 0.0) for race in ("Black", "White")])
    A /= A.sum(axis=1, keepdims=True)
    expected = A @ (rows.new @ G @ rows.new.T) @ A.T
    # Sampling error of a covariance of 20,000 normal draws, five of them.
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 20_000)
    np.testing.assert_array_less(np.abs(np.cov(eff.draws().T) - expected), 5 * error)
    # Draws, not only tables, are those of this question wherever it is asked.
    again = poststratify(fit, cells.assign(z=1), weights="N", by="race")
    np.testing.assert_array_equal(eff.draws(), again.draws())
    np.testing.assert_allclose(
        eff.contrast("Black", "White").draws()[:, 0], eff.draws()[:, 0] - eff.draws()[:, 1], atol=1e-12
    )
    other = poststratify(fit, cells.assign(z=1, N=1.0), weights="N", by="race")
    assert not {new.level for new in other.functional.new_levels} & {n.level for n in names if n.term == 0}


def test_few_levels_keep_their_names(people, cells, dense_fit):
    rows = dense_fit(FORMULA, people).design_for(cells.assign(z=1), "sample")
    assert isinstance(rows, Functional)
    assert unseen.condensed(rows, dense_fit(FORMULA, people).design) is rows
