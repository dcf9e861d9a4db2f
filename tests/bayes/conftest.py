"""Fits that several tests ask questions of."""

from pathlib import Path

import pandas as pd
import pytest

import mixedfx as mx

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="session")
def sleepstudy():
    return pd.read_csv(DATA / "sleepstudy.csv").astype({"Subject": str})


@pytest.fixture(scope="session")
def sleep_fit(sleepstudy):
    """Sleepstudy under rstanarm's defaults."""
    return mx.bayes("Reaction ~ Days + (Days | Subject)", sleepstudy, priors="rstanarm", seed=1)


@pytest.fixture(scope="session")
def schools():
    """The eight schools (Rubin 1981): estimated effects of coaching and their standard errors."""
    y = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
    s = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
    return pd.DataFrame({"y": y, "s": s, "school": list("ABCDEFGH")})
