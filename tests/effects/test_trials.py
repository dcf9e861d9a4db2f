"""A row of ``k | trials(m)`` is m people: cells and the same people as zeros and ones give the same answers.

Both forms are given the same draws of (beta, u), so every difference is one of counting.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.effects.effects import effects
from mixedfx.errors import DataError, EffectsError
from mixedfx.families.registry import find_family
from mixedfx.means.reference_grid import reference_grid
from tests.effects.drawn_fit import DrawnFit

RIGHT = "z * race + age + (1 + z | school)"
SIZES = st.lists(st.integers(0, 12), min_size=36, max_size=36)


def cells_of(sizes: list[int]) -> pd.DataFrame:
    """36 cells; every level of every factor has somebody."""
    index = pd.MultiIndex.from_product(
        [[0, 1], ["A", "B", "C"], list("nsew"), [20.0]], names=["z", "race", "school", "age"]
    )
    cells = index.to_frame(index=False)
    extra = cells.sample(12, random_state=3).assign(age=55.0)
    cells = pd.concat([cells, extra], ignore_index=True)
    cells["m"] = np.array(sizes) + ((cells["age"] == 20.0) | (cells.index >= 34))
    cells["k"] = cells["m"] // 3
    return cells


def as_rows(cells: pd.DataFrame) -> pd.DataFrame:
    rows = cells.loc[cells.index.repeat(cells["m"])].reset_index(drop=True)
    rank = rows.groupby([c for c in cells if c != "s"]).cumcount()
    return rows.assign(s=(rank < rows["k"]).astype(int))


def drawn(formula: str, data: pd.DataFrame, family: str, draws: int = 25) -> DrawnFit:
    design = build_design(formula, data, sigma_free=False, family=family)
    rng = np.random.default_rng(1)
    sample = 0.6 * rng.normal(size=(draws, design.X.shape[1] + design.n_random))
    sample[:, 4] *= 0.05  # of age, whose unit is a year
    return DrawnFit(design, sample, (0.5 * np.tile(np.eye(2), (draws, 1, 1)),), find_family(family))


def both(sizes: list[int]) -> tuple[DrawnFit, DrawnFit, pd.DataFrame, pd.DataFrame]:
    cells = cells_of(sizes)
    rows = as_rows(cells)
    return drawn(f"k | trials(m) ~ {RIGHT}", cells, "binomial"), drawn(f"s ~ {RIGHT}", rows, "bernoulli"), cells, rows


def same(a, b, skip=("n", "n_against")):
    left, right = (t.drop(columns=[c for c in skip if c in t]) for t in (a, b))
    pd.testing.assert_frame_equal(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@given(sizes=SIZES, data=st.data())
@settings(max_examples=15, deadline=None)
def test_cells_and_people_give_the_same_effects(sizes, data):
    cells_fit, rows_fit, cells, rows = both(sizes)
    options = {
        "by": data.draw(st.sampled_from([None, "race", ["race", "school"], [["race"], ["school"]]])),
        "comparison": data.draw(st.sampled_from(["difference", "ratio", "lift", "odds_ratio"])),
        "groups": data.draw(st.sampled_from(["fitted", "average", "integrate"])),
    }
    if options["comparison"] == "difference":
        options["scale"] = data.draw(st.sampled_from(["response", "link"]))
    newdata = data.draw(st.booleans())
    treatment = data.draw(st.sampled_from(["z", "age", {"race": "pairwise"}]))
    a = effects(cells_fit, treatment, newdata=cells if newdata else None, **options)
    b = effects(rows_fit, treatment, newdata=rows if newdata else None, **options)
    same(a.table, b.table)
    assert "Rows count by their trials(m)" in " ".join(a.notes)
    assert not any("trials" in note for note in b.notes)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@given(sizes=SIZES)
@settings(max_examples=8, deadline=None)
def test_what_is_asked_of_an_answer_counts_people_too(sizes):
    cells_fit, rows_fit, *_ = both(sizes)
    a, b = (effects(fit, "z", by=["race", "school"]) for fit in (cells_fit, rows_fit))
    same(a.contrast(against="complement").table, b.contrast(against="complement").table)
    same(a.interaction_excess().table, b.interaction_excess().table)
    same(a.heterogeneity(), b.heterogeneity())
    same(a.decide(cost=0.01).policies, b.decide(cost=0.01).policies)
    same(a.decide(budget=30).table, b.decide(budget=30).table)
    a, b = (mx.poststratify(fit, None, by="race") for fit in (cells_fit, rows_fit))
    same(a.table, b.table)


@given(sizes=SIZES)
@settings(max_examples=8, deadline=None)
def test_marginal_means_count_people_too(sizes):
    cells_fit, rows_fit, *_ = both(sizes)
    a, b = reference_grid(cells_fit), reference_grid(rows_fit)
    pd.testing.assert_frame_equal(a.frame, b.frame, rtol=1e-12)
    np.testing.assert_array_equal(a.count, b.count)


def test_the_sign_of_an_average_over_people():
    # 4,000 people gain .06, 340 lose .10 or more: the gain is theirs, whatever the number of cells.
    size, share = (
        {"web": 4000, "phone": 300, "post": 40},
        {"web": (0.30, 0.36), "phone": (0.25, 0.15), "post": (0.40, 0.25)},
    )
    cells = pd.DataFrame([(c, z, size[c]) for c in size for z in (0, 1)], columns=["channel", "z", "m"])
    cells["k"] = [round(size[c] * share[c][z]) for c in size for z in (0, 1)]
    design = build_design("k | trials(m) ~ 0 + channel + channel:z", cells, sigma_free=False, family="binomial")
    p = cells["k"] / cells["m"]
    beta = np.linalg.lstsq(design.X, np.log(p / (1 - p)), rcond=None)[0]  # saturated: the shares themselves
    fit = DrawnFit(design, beta[None].repeat(2, axis=0), (), find_family("binomial"))
    people = sum(size[c] * (share[c][1] - share[c][0]) for c in size) / sum(size.values())
    eff = effects(fit, "z")
    assert eff.table["estimate"].item() == pytest.approx(people, abs=1e-9)
    assert eff.table[["n", "weight"]].to_numpy().tolist() == [[6, 8680]]
    assert effects(fit, "z", by="channel").decide().policies.set_index("policy")["gain"]["all"] == pytest.approx(
        8680 * people, rel=1e-9
    )
    by_row = np.mean([share[c][1] - share[c][0] for c in size])
    once = effects(fit, "z", weights=1)
    assert once.table["estimate"].item() == pytest.approx(by_row, abs=1e-9)
    assert once.notes == ()
    assert once.question.weights == 1


def test_weights_that_are_given_replace_the_trials():
    cells_fit, _, cells, _ = both([5] * 36)
    census = cells.assign(N=np.arange(len(cells)) % 7)
    counted = effects(cells_fit, "z", by="race", newdata=census, weights="N")
    blind = effects(cells_fit, "z", by="race", newdata=census.drop(columns="m"), weights="N")
    same(counted.table, blind.table)
    assert counted.table["weight"].sum() == census["N"].sum()
    assert not any("trials" in note for note in counted.notes)


def test_new_data_without_trials_count_rows_and_say_so():
    cells_fit, _, cells, _ = both([5] * 36)
    eff = effects(cells_fit, "z", newdata=cells.drop(columns="m"))
    assert eff.notes == ("newdata does not hold 'm', so that each row counts once, and not by trials(m).",)
    assert eff.table["weight"].item() == len(cells)
    with pytest.raises(EffectsError, match="1 numbers of trials are negative"):
        effects(cells_fit, "z", newdata=cells.assign(m=np.where(np.arange(36) == 4, -1, 2)))
    with pytest.raises(DataError, match="missing values: 'm' in row 4"):
        effects(cells_fit, "z", newdata=cells.assign(m=np.where(np.arange(36) == 4, np.nan, 2.0)))


@pytest.mark.parametrize("written", ["trials(12)", "trials(2 * half)", "trials(a + b)"])
def test_trials_may_be_an_expression(written):
    cells = cells_of([0] * 36).assign(k=1, half=3, a=2, b=np.arange(36))
    right = {"trials(12)": np.full(36, 12), "trials(2 * half)": np.full(36, 6), "trials(a + b)": 2 + np.arange(36)}[
        written
    ]
    fit = drawn(f"k | {written} ~ {RIGHT}", cells, "binomial")
    for newdata in (None, cells):
        assert effects(fit, "z", newdata=newdata).table["weight"].item() == right.sum()


def test_rows_without_trials_weigh_nothing():
    sizes = [0, 7] * 18
    cells_fit, rows_fit, cells, _ = both(sizes)
    empty = (cells["m"] == 0).sum()
    assert empty > 0
    a, b = effects(cells_fit, "z", by="race"), effects(rows_fit, "z", by="race")
    same(a.table, b.table)
    assert f"{empty} rows were left out because of a weight of zero." in a.notes
    with pytest.raises(EffectsError, match="all weights are zero"):
        effects(cells_fit, "z", newdata=cells.assign(m=0))
