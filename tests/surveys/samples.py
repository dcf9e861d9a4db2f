"""Small samples of pupils in schools (in districts), with weights that matter."""

import numpy as np
import pandas as pd


def pupils(seed=3, schools=14, size=7, slope=0.7, districts=None, spread=0.9):
    """Rows of pupils; weights of pupils and schools are conditional and overall ones."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(schools), rng.integers(3, size + 4, schools))
    n = len(school)
    data = pd.DataFrame({"school": [f"s{s:02d}" for s in school], "x": rng.normal(0.4, 1.0, n)})
    data["sex"] = rng.choice(["f", "m"], n)
    data["y"] = (
        2.0 + 0.5 * data["x"] + 0.3 * (data["sex"] == "m")
        + spread * rng.normal(size=schools)[school] + slope * rng.normal(size=schools)[school] * data["x"]
        + rng.normal(size=n)
    )  # fmt: skip
    data["w_within"] = rng.uniform(1.0, 4.0, n)
    of_school = rng.uniform(1.0, 4.0, schools)
    of_district = np.ones(1)
    if districts:
        district = np.sort(np.arange(schools) % districts)
        of_district = rng.uniform(1.0, 3.0, districts)
        data["district"] = [f"d{d}" for d in district[school]]
        data["y"] += 0.8 * rng.normal(size=districts)[district[school]]
        data["w_district"] = of_district[district[school]]
    else:
        data["w_district"] = 1.0
    data["w_school_within"] = of_school[school]
    data["w_school"] = data["w_school_within"] * data["w_district"]
    data["w_pupil"] = data["w_within"] * data["w_school"]
    order = rng.permutation(n)
    return data.iloc[order].reset_index(drop=True)
