"""refit, refits and update give what a fit from scratch gives."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import DataError, FormulaError, ModelError, OptionError
from mixedfx.reml.lmer import lmer
from mixedfx.reml.solve import solve

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

CASES = {
    "one factor": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "one factor, two terms": ("sleepstudy", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
    "singular": ("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    "crossed": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "weighted": ("sleepstudy_weighted", "Reaction ~ Days + (Days || Subject)"),
}


def fitted(case):
    name, formula = CASES[case]
    data = pd.read_csv(DATA / f"{name}.csv")
    extra: dict[str, Any] = {"weights": "w", "offset": "off"} if case == "weighted" else {}
    return lmer(formula, data, **extra)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("REML", [True, False])
def test_refits_equal_fits_from_scratch(case, REML):
    fit = fitted(case).update(REML=REML)
    Y = fit.simulate(12, seed=3)
    many = fit.refits(Y)
    assert many.converged.all()
    for b in range(12):
        scratch = solve(replace(fit.design, y=np.asarray(Y)[:, b]), REML)
        # both stop where no step promises more than 1e-9 of deviance
        assert many.criterion[b] == pytest.approx(scratch.criterion, abs=2e-8)
        se = np.sqrt(np.diag(scratch.vcov))
        np.testing.assert_allclose(many.beta[b], scratch.beta, atol=1e-4 * se.max())
        assert many.sigma[b] == pytest.approx(scratch.sigma, rel=1e-4)
    frame = many.to_frame()
    assert list(frame.columns) == [*fit.fixef.index, *fit.theta.index, "sigma", "criterion", "converged"]


@pytest.mark.parametrize("case", CASES)
def test_refit_of_the_own_response_is_the_fit(case):
    fit = fitted(case)
    again = fit.refit(fit.design.y)
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_allclose(again.fixef, fit.fixef, rtol=1e-8)
    np.testing.assert_allclose(again.solution.u, fit.solution.u, rtol=1e-5, atol=1e-6)


def test_singular_refits_have_exact_zeros():
    fit = fitted("singular")
    many = fit.refits(fit.simulate(200, seed=1))
    # with a zero variance about half of the estimates are zero
    assert 0.3 < np.mean(many.theta[:, 0] == 0.0) < 0.8


def test_a_thousand_refits_take_a_fraction_of_a_second():
    """The benchmark shows 0.1 s on an idle core; the bound here leaves room for a busy machine."""
    fit = fitted("one factor")
    Y = fit.simulate(1000, seed=0)
    fit.refits(Y)
    begin = time.perf_counter()
    assert fit.refits(Y).converged.all()
    assert time.perf_counter() - begin < 2.0


def test_bad_responses_are_refused():
    fit = fitted("one factor")
    with pytest.raises(DataError, match="179 rows, the fit used 180"):
        fit.refits(np.zeros((179, 2)))
    with pytest.raises(DataError, match="missing or infinite"):
        fit.refit(np.where(np.arange(180) == 7, np.nan, fit.design.y))
    with pytest.raises(DataError, match="one response"):
        fit.refit(np.zeros((180, 2)))
    plain = lmer("Reaction ~ Days", pd.read_csv(DATA / "sleepstudy.csv"))
    with pytest.raises(ModelError, match="without random terms"):
        plain.refits(np.zeros((180, 2)))
    assert plain.refit(2.0 * plain.design.y).fixef.at["Days"] == pytest.approx(2.0 * plain.fixef.at["Days"])


def test_update_changes_the_formula_and_the_arguments():
    fit = fitted("one factor")
    simple = fit.update(". ~ . - (1 + Days | Subject) + (1 | Subject)")
    assert simple.formula == "Reaction ~ 1 + Days + (1 | Subject)"
    # lme4 1.1-31 on the same model: REMLcrit 1786.46508539492
    assert simple.criterion == pytest.approx(1786.46508539492, abs=1e-6)
    ml = fit.update(REML=False)
    assert ml.criterion == pytest.approx(1751.9393444632, abs=1e-6)
    half = fit.update(data=pd.read_csv(DATA / "sleepstudy.csv").query("Days < 5"))
    assert half.nobs == 90
    assert fit.update("np.log(Reaction) ~ .").design.response_name == "np.log(Reaction)"


def test_update_says_what_it_cannot_do():
    fit = fitted("one factor")
    with pytest.raises(OptionError, match="no argument 'method'"):
        fit.update(method="ML")
    with pytest.raises(FormulaError) as caught:
        fit.update(". ~ . - (1 | Subject)")
    assert caught.value.column == 8
    with pytest.raises(ModelError, match="does not know the data"):
        fit.refit(fit.design.y).update(REML=False)
