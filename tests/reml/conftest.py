"""Fits that several modules of this room ask questions of."""

from pathlib import Path

import pandas as pd
import pytest

from mixedfx.reml.lmer import lmer

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def sleepstudy():
    return lmer("Reaction ~ Days + (Days | Subject)", pd.read_csv(DATA / "sleepstudy.csv"))
