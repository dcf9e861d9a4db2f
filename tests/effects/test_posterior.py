"""A fit that answers from draws: quantiles instead of normal intervals, through the same door."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixedfx.effects.effects import effects


@dataclass(frozen=True)
class SampledEstimate:
    sample: np.ndarray
    exact: bool = False
    own_intervals = False
    notes = ()

    @property
    def mean(self):
        return self.sample.mean(axis=0)

    @property
    def cov(self):
        return np.atleast_2d(np.cov(self.sample.T))

    def draws(self, n=None, seed=None):
        return self.sample


@pytest.fixture(scope="module")
def sampled(people, dense_fit):
    """Skewed draws of (beta, u): the distribution is far from normal."""
    fit = dense_fit("y ~ z*race + (1 | gender)", people)
    rng = np.random.default_rng(5)
    draws = fit.mean + rng.exponential(size=(5000, len(fit.mean))) ** 2 - 1.0

    class Sampled(type(fit)):
        def apply(self, functional):
            return SampledEstimate(draws @ self.dense(functional).T)

    return Sampled(fit.design, fit.mean, fit.cov, fit.populations), draws


def test_intervals_and_probabilities_are_shares_of_the_draws(sampled):
    fit, draws = sampled
    eff = effects(fit, "z", by="race", level=0.8)
    names = list(fit.design.fixed_names)
    for i, race in enumerate(["Asian", "Black", "White"]):
        effect = draws[:, names.index("z")]
        if race != "Asian":
            effect = effect + draws[:, names.index(f"z:race[{race}]")]
        row = eff.table.iloc[i]
        assert row["race"] == race
        assert row["estimate"] == pytest.approx(effect.mean(), rel=1e-10)
        assert row["sd"] == pytest.approx(effect.std(ddof=1), rel=1e-10)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(effect, [0.1, 0.9])), rel=1e-10)
        assert row["prob_above_null"] == np.mean(effect > 0)
        assert eff.prob(between=(0, 1))["prob"][i] == np.mean((effect > 0) & (effect < 1))
        # Skewed: the interval is not symmetric about the mean.
        assert row["upper"] - row["estimate"] != pytest.approx(row["estimate"] - row["lower"], rel=0.1)


def test_contrasts_are_taken_draw_by_draw(sampled):
    fit, draws = sampled
    contrast = effects(fit, "z", by="race").contrast("Black", "Asian")
    effect = draws[:, list(fit.design.fixed_names).index("z:race[Black]")]
    np.testing.assert_allclose(contrast.draws()[:, 0], effect, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        contrast.table[["lower", "upper"]].iloc[0], np.quantile(effect, [0.025, 0.975]), rtol=1e-9
    )


def test_the_thick_line_of_the_plot_holds_half_of_the_draws(sampled):
    fit, draws = sampled
    axes = effects(fit, "z", by="race").plot().ax
    thick = [line.get_xdata() for line in axes.lines if line.get_linewidth() > 2]
    effect = draws[:, list(fit.design.fixed_names).index("z")]
    np.testing.assert_allclose(thick[0], np.quantile(effect, [0.25, 0.75]), rtol=1e-9)


def test_an_answer_compares_by_identity(sampled):
    eff = effects(sampled[0], "z")
    assert eff == eff
    assert eff != replace(eff)
