"""What the calibration study rests on: its simulator, its resumption, its mutant. The study itself is a slow test."""

import numpy as np
import pytest

from mixedfx.bayes.stan import program
from tests.bayes.stan import sbc


def test_the_truth_is_drawn_from_the_priors_that_the_fit_is_told():
    """Second moments over 4,000 simulations, each within 4 of its standard errors (about 2 % of a variance)."""
    study = sbc.STUDIES["poisson"]
    rng = np.random.default_rng(1)
    truths = [sbc.parameters(study, rng) for _ in range(4000)]
    square = {key: np.mean([truth[key] ** 2 for truth in truths]) for key in truths[0]}
    assert square["beta", "t"] == pytest.approx(0.25, rel=0.09)
    # t has mean 2 / 3: the intercept at zero is that at the mean, less 2 / 3 of the slope.
    assert square["beta", "Intercept"] == pytest.approx(0.49 + 4 / 9 * 0.25, rel=0.09)
    assert square["sd", "g", "t"] == pytest.approx(0.36, rel=0.09)
    # sd and correlation have their priors at the mean, where the intercepts are those at zero and 2 / 3 of the slopes
    assert square["sd", "g", "Intercept"] == pytest.approx(0.36 * (1 + 4 / 9), rel=0.09)
    sd, slope, r = (
        np.array([truth[key] for truth in truths])
        for key in (("sd", "g", "Intercept"), ("sd", "g", "t"), ("cor", "g", "Intercept", "t"))
    )
    at_mean = sd**2 + 4 / 3 * r * sd * slope + 4 / 9 * slope**2
    assert np.mean(at_mean) == pytest.approx(0.36, rel=0.09)
    correlation = (r * sd * slope + 2 / 3 * slope**2) / (np.sqrt(at_mean) * slope)
    assert np.mean(correlation**2) == pytest.approx(0.2, rel=0.09)  # of 2 beta(2, 2) - 1


def test_the_effect_on_the_response_scale_is_that_of_the_rows():
    study = sbc.STUDIES["bernoulli"]
    data, rows, truth = sbc.simulate(study, np.random.default_rng(3))
    assert set(data["y"]) == {0.0, 1.0}
    assert len(data) == sbc.GROUPS * sbc.ROWS
    assert -1 < truth["group"] < 1
    assert set(rows["region"]["g"]) < set(data["g"])
    assert not set(rows["unseen"]["g"]) & set(data["g"])


def test_ranks_of_one_data_set_are_kept_and_not_done_again(tmp_path, monkeypatch):
    study = sbc.STUDIES["poisson"]
    table = sbc.run(study, 1, tmp_path)
    assert len(table) == 1
    names = [column for column in table.columns if column != "index"]
    assert len(names) == 18
    assert table[names].to_numpy().min() > 0
    assert table[names].to_numpy().max() < 1
    honest = table[[n for n in names if not n.startswith("mutant")]].to_numpy()
    assert not np.allclose(honest, table[[n for n in names if n.startswith("mutant")]].to_numpy())
    monkeypatch.setattr(sbc, "ranks", lambda *_: pytest.fail("done before"))
    assert sbc.run(study, 1, tmp_path).equals(table)


def test_the_mutation_is_gone_afterwards():
    original = program.program_text
    with sbc.mutation():
        assert program.program_text is not original
    assert program.program_text is original
