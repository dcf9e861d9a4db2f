"""Publication bias: tests of asymmetry, trim and fill, fail-safe numbers, excess significance, PET-PEESE."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError
from mixedfx.meta.bias.excess import excess_probability

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
REFERENCE = json.loads((FOLDER / "after.json").read_text())
DATA = {name: pd.DataFrame(columns) for name, columns in json.loads((FOLDER / "rma.json").read_text())["data"].items()}
BCG = DATA["bcg"].assign(ni=lambda d: d.tpos + d.tneg + d.cpos + d.cneg)
SETS = {"bcg": BCG, "hackshaw": DATA["hackshaw"], "tied": pd.DataFrame(REFERENCE["data"]["tied"])}
# moment estimators have closed forms: what differs is rounding
TOLERANCE = 1e-9


def close(found, expected, tolerance=TOLERANCE, small=1e-12):
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=tolerance, atol=small)


def fitted(name, method="DL", **options):
    return mx.rma("yi ~ 1", SETS[name], method=method, **options)


@pytest.mark.parametrize("name", REFERENCE["regtest"])
def test_regression_tests_are_those_of_metafor(name):
    model, predictor = name.split()
    found, expected = fitted("bcg").regtest(predictor, model, ni="ni"), REFERENCE["regtest"][name]
    close([found.statistic, found.p_value], [expected["z"], expected["p"]])
    assert (found.limit is None) == (expected["est"] is None)
    if found.limit is not None:
        close(found.limit, [expected["est"], expected["low"], expected["high"]])


def test_the_regression_test_is_a_moderator():
    fit = mx.rma("yi ~ ablat", BCG, test="knha")
    with_se = mx.rma("yi ~ ablat + sei", BCG.assign(sei=np.sqrt(BCG.vi)), test="knha").tidy()
    close(fit.regtest().table["p_value"], with_se["p_value"])
    assert fit.regtest().limit is None


@pytest.mark.parametrize("name", SETS)
def test_rank_tests_are_those_of_metafor(name):
    found = fitted(name).ranktest()
    close([found.tau, found.p_value], REFERENCE["ranktest"][name])
    assert found.exact == (name != "tied")


@pytest.mark.parametrize("name", REFERENCE["trimfill"])
def test_trim_and_fill_is_that_of_metafor(name):
    data, estimator, side = name.split()
    expected = REFERENCE["trimfill"][name]
    found = fitted(data).trimfill(None if side == "auto" else side, estimator)
    assert (found.k0, found.side) == (expected["k0"], expected["side"])
    close(found.std_error, expected["se"])
    close([found.fit.beta[0], found.fit.se.iloc[0], found.fit.tau2], [expected[k] for k in ("beta", "se_beta", "tau2")])
    close(np.sort(found.filled[0]), np.sort(np.atleast_1d(expected["filled"])))
    if expected["p_k0"] is not None:
        close(found.p_value, expected["p_k0"])


def test_filled_estimates_mirror_the_far_ones():
    found = fitted("hackshaw").trimfill()
    y, filled = DATA["hackshaw"].yi.to_numpy(), found.filled[0]
    sums = np.sort(y)[-found.k0 :] + np.sort(filled)[::-1]
    close(sums, np.full(found.k0, sums[0]))
    assert found.fit.slab[-1] == f"filled {found.k0}"
    again = mx.rma("yi ~ 1", found.fit.call.data, method="DL")
    close(again.beta, found.fit.beta, 1e-12)


def test_fail_safe_numbers_are_those_of_metafor():
    expected, fit = REFERENCE["fsn"], fitted("bcg")
    small = np.log(0.95)
    assert fit.fail_safe().n == expected["Rosenthal"]
    assert fit.fail_safe("Orwin", target=small).n == expected["Orwin"]
    assert fit.fail_safe("Orwin", target=small, weighted=True).n == expected["Orwin weighted"]
    assert fit.fail_safe("Rosenberg").n == expected["Rosenberg"]
    assert fitted("hackshaw").fail_safe().n == expected["hackshaw"]
    close(fit.fail_safe().p_value, expected["Rosenthal_p"])
    close(fit.fail_safe("Rosenberg").p_value, expected["Rosenberg_p"])


def test_rosenthals_number_undoes_the_finding():
    """With so many estimates of zero the sum of z is no longer significant, with one less it is."""
    from scipy import special

    fit = fitted("bcg")
    z, n = np.abs(np.sum(fit.data.y / np.sqrt(fit.vi))), fit.fail_safe().n
    p = [special.ndtr(-z / np.sqrt(fit.k + m)) for m in (n - 1, n)]
    assert p[0] < 0.05 <= p[1]


EXCESS = {
    "bcg": lambda: fitted("bcg", "EE").excess_test(),
    "bcg_binom": lambda: fitted("bcg", "EE").excess_test("binomial"),
    "hackshaw": lambda: fitted("hackshaw", "EE").excess_test("chisq"),
    "hackshaw_greater": lambda: fitted("hackshaw", "EE").excess_test("chisq", "greater", theta=0.1),
    "random": lambda: fitted("bcg", "REML").excess_test(),
}


@pytest.mark.parametrize("name", EXCESS)
def test_excess_of_significance_is_that_of_metafor(name):
    """Metafor integrates the power over true effects numerically, to six digits, and looks for the limit to four."""
    found, expected = EXCESS[name](), REFERENCE["tes"][name]
    tolerance = 1e-5 if name == "random" else TOLERANCE
    close([found.theta, found.observed, found.expected], [expected[k] for k in ("theta", "O", "E")], tolerance)
    close(found.power, expected["power"], tolerance)
    close(found.p_value, expected["p"], tolerance)
    close(found.limit, expected["limit"], 3e-4)


def test_the_exact_distribution_of_significant_estimates():
    """Against all 2^7 outcomes."""
    power = np.array([0.1, 0.3, 0.05, 0.9, 0.5, 0.22, 0.7])
    for observed in range(8):
        total = sum(
            np.prod(np.where(np.array(outcome), power, 1 - power))
            for outcome in product([0, 1], repeat=7)
            if sum(outcome) >= observed
        )
        assert excess_probability(observed, power, "exact")[0] == pytest.approx(total, rel=1e-12)


def test_at_the_limit_estimate_the_p_value_is_a_tenth():
    fit = fitted("hackshaw", "EE")
    assert fit.excess_test(theta=fit.excess_test().limit).p_value == pytest.approx(0.1, abs=1e-9)


def test_pet_peese_takes_peese_where_pet_finds_an_effect():
    table = fitted("bcg").pet_peese()
    assert table["estimator"].tolist() == ["PET", "PEESE", "PET-PEESE: PET"]
    close(table["estimate"], [REFERENCE["regtest"][k]["est"] for k in ("lm sei", "lm vi", "lm sei")])
    rng = np.random.default_rng(2)
    sei = rng.uniform(0.05, 0.3, 30)
    strong = pd.DataFrame({"yi": -0.8 + sei * rng.normal(size=30), "vi": sei**2})
    table = mx.rma("yi ~ 1", strong).pet_peese()
    assert table["estimator"][2] == "PET-PEESE: PEESE"
    close(table["estimate"][2], table["estimate"][1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fitted("bcg").regtest("ni"), OptionError, "needs the sample sizes"),
        (lambda: fitted("bcg").regtest("size"), OptionError, "predictor='size' is not known"),
        (lambda: fitted("bcg").regtest("ni", ni=[np.nan] * 13), DataError, "ni is missing in rows 0"),
        (lambda: mx.rma("yi ~ 1", BCG.assign(vi=0.1)).regtest(), ModelError, "is the same in all studies"),
        (lambda: mx.rma("yi ~ 1", BCG[:2]).regtest(), ModelError, "2 estimates are too few"),
        (lambda: mx.rma("yi ~ ablat", BCG).ranktest(), ModelError, "without moderators"),
        (lambda: mx.rma("yi ~ ablat", BCG).trimfill("left"), ModelError, "without moderators"),
        (lambda: mx.rma("yi ~ ablat", BCG).excess_test(), ModelError, "without moderators"),
        (lambda: mx.rma("yi ~ ablat", BCG).pet_peese(), ModelError, "without moderators"),
        (lambda: fitted("bcg").trimfill("top"), OptionError, "side='top' is not known"),
        (lambda: fitted("bcg").fail_safe("Orwin", target=0.1), OptionError, "not between 0 and the mean"),
        (lambda: fitted("bcg").excess_test(alpha=5), OptionError, "alpha=5 is not a probability"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_findings_print_as_pages():
    fit = fitted("bcg")
    for found in (fit.regtest(), fit.ranktest(), fit.trimfill(), fit.fail_safe(), fit.excess_test()):
        assert len(str(found).splitlines()) > 2
        assert found._repr_html_().startswith("<div")
