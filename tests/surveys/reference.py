"""The sample that tests/reference/gen_surveys.R fits: pupils of sixteen schools with every kind of replicate weights.

``python -m tests.surveys.reference`` writes tests/reference/surveys/pupils.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import linalg

from tests.surveys.samples import pupils

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "surveys"


def factors(data: pd.DataFrame, method: str) -> np.ndarray:
    """(n, R) what each replicate multiplies weights by: sixteen schools, in eight pairs or four strata of four."""
    school = data["school"].str[1:].astype(int).to_numpy()
    if method == "jk1":
        return np.array([np.where(school == s, 0.0, 16 / 15) for s in range(16)]).T
    if method == "jk2":
        return np.array(
            [np.where(school == 2 * h, 2.0, np.where(school == 2 * h + 1, 0.0, 1.0)) for h in range(8)]
        ).T  # fmt: skip
    if method == "jkn":
        return np.array(
            [np.where(school == s, 0.0, np.where(school // 4 == s // 4, 4 / 3, 1.0)) for s in range(16)]
        ).T  # fmt: skip
    half = linalg.hadamard(16)[1:9]  # (pairs, replicates), rows orthogonal
    first = (school % 2 == 0)[:, None] == (half[school // 2] > 0)
    return np.where(first, 2.0, 0.0) if method == "brr" else np.where(first, 1.5, 0.5)


def sample() -> pd.DataFrame:
    """The pupils, their region, and replicate weights BRR1 ... JKn16."""
    data = pupils(seed=6, schools=16, size=8)[["y", "x", "sex", "school", "w_school", "w_pupil"]]
    school = data["school"].str[1:].astype(int)
    parts = [data.assign(region=[f"r{k}" for k in school // 4])]
    for name in ("BRR", "Fay", "JK1", "JK2", "JKn"):
        values = factors(data, name.lower()) * data["w_pupil"].to_numpy()[:, None]
        parts.append(pd.DataFrame(values, columns=[f"{name}{r + 1}" for r in range(values.shape[1])]))
    return pd.concat(parts, axis=1)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    sample().to_csv(FOLDER / "pupils.csv", index=False, float_format="%.6g")
