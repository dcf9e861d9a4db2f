"""Project STAR as if it were known in several data sets: plausible values, imputed columns, a numeric treatment."""

import numpy as np


def plausible_values(star, every=4):
    """Four plausible values of mathematics; `dose` is a numeric treatment that helps Black pupils more.

    Of every fourth school, or whatever is said, since several data sets take several times as long.
    """
    rng = np.random.default_rng(5)
    star = star[star["sch"].cat.codes % every == every // 2].assign(
        sch=lambda d: d["sch"].cat.remove_unused_categories()
    )
    black = (star["race"] == "Black").to_numpy()
    dose = rng.normal(10.0, 2.0, len(star))
    known = star["math"] + dose * (1.0 + black)
    values = {f"PV{k + 1}": known + rng.normal(0.0, 15.0, len(star)) for k in range(4)}
    return star.assign(dose=dose, **values)


def imputations(star, every=4):
    """Three data sets in which one pupil in ten is imputed: lunch, and so the subgroup, and the mathematics score."""
    star = plausible_values(star, every)
    frames = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        gap = rng.random(len(star)) < 0.1
        lunch = np.where(gap, rng.permutation(star["lunch"].to_numpy()), star["lunch"].to_numpy())
        math = star["math"] + np.where(gap, rng.normal(0.0, 25.0, len(star)), 0.0)
        frames.append(star.assign(lunch=lunch, math=math, passed=(math > 480).astype(int)))
    return frames
