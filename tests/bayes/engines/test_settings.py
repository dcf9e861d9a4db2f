"""Settings refuse what no sampler could do, before anything is compiled."""

import numpy as np
import pytest

from mixedfx.bayes.engines import base
from mixedfx.bayes.engines.base import Settings, cores_available
from mixedfx.errors import OptionError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.0),
        ("seed", None),
        ("chains", 0),
        ("chains", 2.5),
        ("chains", True),
        ("warmup", 0),
        ("draws", 0),
        ("adapt_delta", 0.0),
        ("adapt_delta", 1.0),
        ("adapt_delta", float("nan")),
        ("max_treedepth", 0),
        ("threads", 0),
        ("cores", 0),
        ("algorithm", "hmc"),
        ("inits", "zero"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(option, value):
    with pytest.raises(OptionError, match=f"{option}={value!r}"):
        Settings(**{"seed": 1, option: value})


def test_numpy_integers_are_whole_numbers():
    assert Settings(seed=np.int64(3), chains=np.int32(2)).draws_per_chain == 2000


@pytest.mark.parametrize(("draws", "chains", "each"), [(4000, 4, 1000), (4001, 4, 1001), (1, 4, 1), (10, 3, 4)])
def test_the_total_of_draws_is_kept_rounded_up(draws, chains, each):
    assert Settings(seed=1, draws=draws, chains=chains).draws_per_chain == each


def test_chains_share_the_cores_with_the_threads_within_them(monkeypatch):
    monkeypatch.setattr(base, "cores_available", lambda: 8)
    assert Settings(seed=1).parallel_chains == 4
    assert Settings(seed=1, threads=4).parallel_chains == 2
    assert Settings(seed=1, threads=16).parallel_chains == 1
    assert Settings(seed=1, cores=3).parallel_chains == 3
    assert Settings(seed=1, chains=2, cores=3).parallel_chains == 2


def test_there_is_a_core():
    assert cores_available() >= 1
