"""Averages over many blocks of cells are those of one block, whatever the weights, the levels and the kind of fit.

Cells pass by a few at a time, and draws times cells a few numbers at a time. Each case here is answered with blocks so
small that every one of them ends inside a subgroup and between levels that no data have; what is expected is written
out as loops over draws and cells, or is the answer of one block where that has been compared with loops already.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from mixedfx.effects import averages, summary
from mixedfx.effects.effects import effects
from mixedfx.effects.grid import distinct
from mixedfx.effects.poststratify import poststratify
from tests.effects.dense_fit import DenseFit
from tests.effects.drawn_fit import draw_fit

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

# Terms of three widths; the widest is not the last, and the first of the design not the first of the formula.
FORMULA = "y ~ z*race + dose + (1 | district) + (1 + z + dose | school) + (1 + z | urban:race)"
D = 12


@pytest.fixture(scope="module")
def seen(people):
    return people.iloc[:80].assign(urban=lambda d: np.where(d["urban"], "urban", "rural"))


@pytest.fixture(scope="module")
def cells(seen):
    """45 cells in no order: most schools are new, districts and crossings now and then, each in several blocks."""
    rng = np.random.default_rng(6)
    n = 45
    return pd.DataFrame(
        {
            "z": rng.integers(0, 2, n),
            "race": rng.choice(["Asian", "Black", "White"], n),
            "dose": rng.uniform(0, 3, n).round(1),
            "school": rng.choice(["s1", "s4", "north", "east", "south", "west"], n).astype(object),
            "district": rng.choice(["d0", "d1", "far", "off"], n).astype(object),
            "urban": rng.choice(["rural", "urban", "island"], n).astype(object),
            "gender": rng.choice(["girl", "boy"], n).astype(object),
            "N": rng.gamma(2.0, size=n),
        }
    )


@pytest.fixture(scope="module")
def counts(cells):
    """(D, 45) draws of the counts: one for each draw of the fits."""
    return np.random.default_rng(7).gamma(0.7, size=(D, len(cells)))


@pytest.fixture(scope="module")
def fits(seen):
    thresholds = {("threshold", "1"): np.linspace(-1, -0.5, D), ("threshold", "2"): np.linspace(0.3, 0.8, D)}
    return {
        "gaussian": draw_fit(FORMULA, seen, "gaussian", draws=D),
        "bernoulli": draw_fit(FORMULA, seen, "bernoulli", draws=D),
        "cumulative": draw_fit(
            FORMULA, seen, "cumulative", draws=D, categories=("low", "mid", "high"), auxiliary=thresholds
        ),
    }


def cut(monkeypatch, cells=4, numbers=None):
    monkeypatch.setattr(averages, "CELLS", cells)
    monkeypatch.setattr(averages, "NUMBERS", 3 * D if numbers is None else numbers)


def average(mean, weights):
    """(D,) weighted means of (D, m) numbers, loops written out; weights (m,) or (D, m)."""
    out = np.zeros(len(mean))
    for d in range(len(mean)):
        total = weight = 0.0
        for j in range(mean.shape[1]):
            w = weights[d, j] if weights.ndim == 2 else weights[j]
            total += w * mean[d, j]
            weight += w
        out[d] = total / weight
    return out


def mean_of(name, fit, frame):
    """(D, m) or (D, m, K) expected outcomes from coefficients and effects multiplied out."""
    eta = fit.apply(fit.design_for(frame, "sample")).sample
    if name == "gaussian":
        return eta[..., None]
    if name == "bernoulli":
        return expit(eta)[..., None]
    below = [expit(fit.auxiliary["threshold", str(k)][:, None] - eta) for k in (1, 2)]
    return np.stack([below[0], below[1] - below[0], 1 - below[1]], axis=2)


@pytest.mark.parametrize("weighted", ["certain", "draw by draw", "chosen"])
@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "cumulative"])
@pytest.mark.parametrize(("size", "numbers"), [(4, None), (7, D // 2), (45, 4 * D)])
def test_blocks_of_cells_and_of_draws_give_the_sums_written_out(
    fits, cells, counts, monkeypatch, name, weighted, size, numbers
):
    fit = fits[name]
    cut(monkeypatch, size, numbers)
    weights, by_hand = cells["N"].to_numpy(), cells["N"].to_numpy()
    if weighted == "draw by draw":
        weights = by_hand = counts
    elif weighted == "chosen":
        weights = counts[:7]
        by_hand = weights[np.random.default_rng(3).integers(7, size=D)]
    out = effects(fit, "z", by="gender", newdata=cells, weights=weights, seed=3)
    high, low = (mean_of(name, fit, cells.assign(z=z)) for z in (1, 0))
    K = high.shape[2]
    for i, gender in enumerate(["boy", "girl"]):
        mine = (cells["gender"] == gender).to_numpy()
        for k in range(K):
            expected = average((high - low)[:, mine, k], by_hand[..., mine])
            # Sums in another order.
            np.testing.assert_allclose(out.draws()[:, K * i + k], expected, rtol=1e-9, atol=1e-12)
        new = ~cells["school"].isin(["s1", "s4"]) | ~cells["district"].isin(["d0", "d1"]) | (cells["urban"] == "island")
        share = np.average(new[mine], weights=np.atleast_2d(weights)[:, mine].mean(axis=0))
        assert out.table["unseen"][K * i] == pytest.approx(share, rel=1e-9)
        assert out.table["weight"][K * i] == pytest.approx(np.atleast_2d(weights)[:, mine].sum(axis=1).mean(), rel=1e-9)
        assert out.table["n"][K * i] == mine.sum()


def test_an_exact_answer_over_blocks_keeps_the_columns_of_every_unseen_level(seen, cells, dense_fit, monkeypatch):
    """Terms of one, two and three columns: mean, covariance and the functional itself, against dense products."""
    fit = dense_fit(FORMULA, seen)
    w = cells["N"].to_numpy()
    rows = [fit.design_for(cells.assign(z=z), "sample") for z in (0, 1)]
    A = np.array([(cells["gender"] == g) * w for g in ("boy", "girl")], dtype=float)
    A /= A.sum(axis=1, keepdims=True)
    C = A @ (fit.dense(rows[1]) - fit.dense(rows[0]))
    assert rows[0].new_levels == rows[1].new_levels
    B = A @ (rows[1].new - rows[0].new)
    G = np.zeros((B.shape[1],) * 2)
    at = 0
    for level in rows[0].new_levels:
        k = len(fit.populations[level.term])
        G[at : at + k, at : at + k] = fit.populations[level.term]
        at += k
    expected = C @ fit.cov @ C.T + B @ G @ B.T
    widths = [fit.design.random[t].n_columns for t in {level.term for level in rows[0].new_levels}]
    assert sorted(widths) == [1, 2, 3]
    for size in (1, 4, 44):
        cut(monkeypatch, size)
        eff = effects(fit, "z", by="gender", newdata=cells, weights="N")
        assert set(eff.functional.new_levels) == set(rows[0].new_levels)
        found = fit.apply(eff.functional)
        np.testing.assert_allclose(found.mean, C @ fit.mean, rtol=1e-9)
        np.testing.assert_allclose(found.cov, expected, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(eff.table["sd"], np.sqrt(np.diag(expected)), rtol=1e-9)


def test_unseen_levels_that_stand_in_the_first_or_in_the_last_block_alone(seen, cells, dense_fit, monkeypatch):
    """Where levels of the terms come one after another, blocks differ in which terms have any."""
    fit = dense_fit(FORMULA, seen)
    known = cells.assign(school="s1", district="d1", urban="rural")
    for columns in (["school"], ["district"], ["school", "urban"], ["urban", "district"]):
        frame = known.copy()
        for j, column in enumerate(columns):
            part = slice(0, 6) if j == 0 else slice(39, 45)
            frame.loc[frame.index[part], column] = [f"new {i % 3}" for i in range(6)]
        whole = poststratify(fit, frame, weights="N", by="race")
        with monkeypatch.context() as patch:
            patch.setattr(averages, "CELLS", 5)
            parts = poststratify(fit, frame, weights="N", by="race")
        pd.testing.assert_frame_equal(parts.table, whole.table, rtol=1e-9)
        np.testing.assert_allclose(
            fit.apply(parts.functional).cov, fit.apply(whole.functional).cov, rtol=1e-9, atol=1e-13
        )


@dataclass(frozen=True)
class Upper:
    """An exact answer whose one draw is the mean plus the standard deviation: a number that says both."""

    mean: np.ndarray
    cov: np.ndarray
    exact = True
    own_intervals = False
    notes = ()

    def draws(self, n=None, seed=None):
        return np.tile(self.mean + np.sqrt(np.diag(self.cov)), (n or 1, 1))


@dataclass(frozen=True)
class UpperFit(DenseFit):
    def apply(self, functional):
        found = super().apply(functional)
        return Upper(found.mean, found.cov)


@pytest.mark.parametrize("size", [4, 44])
def test_an_exact_fit_answers_every_draw_of_the_weights_over_all_blocks(
    seen, cells, counts, dense_fit, monkeypatch, size
):
    dense = dense_fit(FORMULA, seen)
    fit = UpperFit(**vars(dense))
    cut(monkeypatch, size)
    out = poststratify(fit, cells, weights=counts, by="gender")
    rows = dense.design_for(cells, "sample")
    C, B = dense.dense(rows), rows.new.toarray()
    G = np.zeros((B.shape[1],) * 2)
    at = 0
    for level in rows.new_levels:
        k = len(fit.populations[level.term])
        G[at : at + k, at : at + k] = fit.populations[level.term]
        at += k
    cov, mean = C @ fit.cov @ C.T + B @ G @ B.T, C @ fit.mean
    for d in range(D):
        for i, gender in enumerate(["boy", "girl"]):
            a = np.where(cells["gender"] == gender, counts[d], 0.0)
            a /= a.sum()
            assert out.draws()[d, i] == pytest.approx(a @ mean + np.sqrt(a @ cov @ a), rel=1e-9)
    for i, gender in enumerate(["boy", "girl"]):
        w = np.where(cells["gender"] == gender, counts.mean(axis=0), 0.0)
        assert out.table["unseen"][i] == pytest.approx(w @ rows.unseen / w.sum(), rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("groups", ["fitted", "average", "integrate"])
@pytest.mark.parametrize("scale", ["response", "link"])
@pytest.mark.parametrize("name", ["bernoulli", "cumulative"])
def test_every_way_to_average_over_groups_is_the_same_in_blocks(
    fits, cells, counts, monkeypatch, name, scale, groups, weighted
):
    """Without a grouping column too, whose effects are then averaged over their population."""
    few = cells.head(11)
    fit, weights = fits[name], counts[:, :11] if weighted else "N"
    for frame in (few, few.drop(columns="school")):
        options = {"by": [[], ["race"]], "weights": weights, "scale": scale, "groups": groups, "seed": 1}
        whole = poststratify(fit, frame, **options)
        with monkeypatch.context() as patch:
            patch.setattr(averages, "CELLS", 4)
            patch.setattr(averages, "NUMBERS", 3 * D)
            parts = poststratify(fit, frame, **options)
        pd.testing.assert_frame_equal(parts.table, whole.table, rtol=1e-9)
        np.testing.assert_allclose(parts.draws(), whole.draws(), rtol=1e-9, atol=1e-12)
        assert parts.notes == whole.notes


def test_blocks_warn_once_of_each_unseen_level(fits, cells, monkeypatch):
    cut(monkeypatch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        poststratify(fits["bernoulli"], cells, weights="N")
    said = sorted((str(w.message).split("'")[1], sorted(str(w.message).split("'")[3::2])) for w in caught)
    assert said == [
        ("district", ["far", "off"]),
        ("school", ["east", "north", "south", "west"]),
        ("urban:race", ["island:Asian", "island:Black", "island:White"]),
    ]


def test_a_table_of_many_rows_is_summarised_in_blocks(fits, seen, cells, dense_fit, monkeypatch):
    """Means, standard deviations, intervals and probabilities of 1,000s of subgroups never need one covariance."""
    for fit in (dense_fit(FORMULA, seen), fits["gaussian"]):
        whole = effects(fit, "z", by=["race", "school"], newdata=cells, weights="N")
        with monkeypatch.context() as patch:
            patch.setattr(summary, "BLOCK", 4)
            parts = effects(fit, "z", by=["race", "school"], newdata=cells, weights="N")
            pd.testing.assert_frame_equal(parts.table, whole.table, rtol=1e-9)
            inner = parts.prob(greater=0.1)
        pd.testing.assert_frame_equal(inner, whole.prob(greater=0.1), rtol=1e-9)


@pytest.mark.parametrize("groups", ["fitted", "average", "integrate"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cells_that_differ_by_their_offset_alone_are_counted_apart(seen, cells, counts, groups, weighted):
    """Expected counts with an exposure of their own; without random effects, cells of one fixed part are few."""
    rng = np.random.default_rng(3)
    data = seen.assign(e=rng.uniform(-1, 1, len(seen)))
    fit = draw_fit("y ~ z + offset(e) + (1 + z | school)", data, "poisson", draws=D, scale=0.3)
    frame = cells.assign(e=rng.uniform(-1, 1, len(cells)), school="s1")
    found = poststratify(fit, frame, by="gender", groups=groups, weights=counts if weighted else "N")
    rows = fit.design_for(frame)
    p = rows.fixed.shape[1]
    eta = fit.sample[:, :p] @ rows.fixed.T + rows.offset
    if groups == "fitted":
        eta = eta + (rows.random @ fit.sample[:, p:].T).T
    elif groups == "integrate":
        Z, F = np.column_stack([np.ones(len(frame)), frame["z"]]), fit.covariance_factors[0]
        eta = eta + 0.5 * np.einsum("na,dab,nb->dn", Z, F @ F.transpose(0, 2, 1), Z)
    for i, gender in enumerate(["boy", "girl"]):
        mine = (frame["gender"] == gender).to_numpy()
        w = counts[:, mine] if weighted else frame["N"].to_numpy()[mine]
        # The expectation of a lognormal variable: what quadrature is good to, elsewhere rounding.
        np.testing.assert_allclose(found.draws()[:, i], average(np.exp(eta[:, mine]), w), rtol=1e-6)


@pytest.mark.parametrize("groups", ["average", "integrate"])
def test_cells_that_differ_by_the_variance_of_their_groups_alone_are_counted_apart(seen, cells, groups):
    """A slope that varies and has no mean of its own: cells of one fixed part with another population variance."""
    fit = draw_fit("y ~ z + (1 + dose | school)", seen, "poisson", draws=D, scale=0.3)
    found = poststratify(fit, cells, by="gender", groups=groups, weights="N")
    rows = fit.design_for(cells, "sample")
    Z, F = np.column_stack([np.ones(len(cells)), cells["dose"]]), fit.covariance_factors[0]
    eta = fit.sample[:, : rows.fixed.shape[1]] @ rows.fixed.T
    if groups == "integrate":
        eta = eta + 0.5 * np.einsum("na,dab,nb->dn", Z, F @ F.transpose(0, 2, 1), Z)
    for i, gender in enumerate(["boy", "girl"]):
        mine = (cells["gender"] == gender).to_numpy()
        expected = average(np.exp(eta[:, mine]), cells["N"].to_numpy()[mine])
        np.testing.assert_allclose(found.draws()[:, i], expected, rtol=1e-6)


def test_rows_of_many_wide_columns_are_told_apart():
    """Nine columns of 256 values have more combinations than a whole number holds; rows may differ in one alone."""
    rng = np.random.default_rng(1)
    base = pd.DataFrame({f"c{j}": rng.permutation(256) for j in range(9)})
    other = base.iloc[rng.integers(0, 256, 300)].reset_index(drop=True)
    for i in range(300):
        column = f"c{i % 9}"
        other.loc[i, column] = (other.loc[i, column] + 1 + i // 9) % 256
    frame = pd.concat([base, other, base.iloc[::2]], ignore_index=True)
    first, cell, _ = distinct(frame)
    known = frame.groupby(list(frame.columns), sort=False).ngroup().to_numpy()
    np.testing.assert_array_equal(cell, known)
    np.testing.assert_array_equal(first, [np.flatnonzero(known == k)[0] for k in range(known.max() + 1)])
