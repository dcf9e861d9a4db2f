"""Every fit of glmmTMB, lme4 and glm kept in tests/reference/glmm is reproduced; tests/reference/gen_glmm.R made them.

The criterion is the same function to all digits, so that the minima agree: 1e-6. At a minimum found to 1e-8 units of
deviance estimates agree to 1e-4 standard errors or so; glmmTMB's standard errors are differences of its gradient, good
to 1e-3.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning
from tests.glmm.data import classic

PLACE = Path(__file__).parents[1] / "reference" / "glmm"
CASES = sorted(path.stem for path in PLACE.glob("*.json"))
TMB = [case for case in CASES if "lme4" not in case and not case.startswith("glm_")]
GLM = [case for case in CASES if case.startswith("glm_")]


@cache
def reference(case):
    return json.loads((PLACE / f"{case}.json").read_text())


@cache
def fit(case):
    ref = reference(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)  # none of these fits has a caveat
        return mx.glmer(ref["formula"], classic(ref["data"]), ref["family"], ref["link"], nAGQ=ref.get("nAGQ", 1))


@pytest.mark.parametrize("case", TMB)
def test_glmmtmb(case):
    ref, ours = reference(case), fit(case)
    assert ours.converged
    assert ours.criterion == pytest.approx(ref["criterion"], abs=1e-6)
    se = np.array(ref["se"])
    np.testing.assert_array_less(np.abs(ours.fixef - ref["fixef"]), 1e-3 * se)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov)), se, rtol=2e-3)
    for group, found in ref["sds"].items():
        table = ours.varcorr[ours.varcorr["grp"] == group]
        pair = table["var2"].notna()
        np.testing.assert_allclose(table.loc[~pair, "sdcor"], found["sd"], rtol=2e-4)
        np.testing.assert_allclose(table.loc[pair, "sdcor"], np.atleast_1d(found["cor"]), atol=1e-3)
    expected = {"negbinomial": ours.auxiliary.get("shape"), "gamma": ours.sigma, "gaussian": ours.sigma}
    if ref["family"] in expected:
        assert expected[ref["family"]] == pytest.approx(ref["sigma"], rel=1e-4)


@pytest.mark.parametrize("nodes", [1, 9, 25])
def test_lme4(nodes):
    """lme4's optimiser stops at 1e-8; its standard errors are differences of the deviance, good to 1e-3."""
    ref, ours = reference(f"cbpp_lme4_agq{nodes}"), fit(f"cbpp_lme4_agq{nodes}")
    if nodes == 1:
        assert ours.criterion == pytest.approx(ref["criterion"], abs=1e-6)
    np.testing.assert_allclose(ours.fixef, ref["fixef"], atol=1e-4)
    np.testing.assert_allclose(ours.theta, ref["theta"], atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov)), ref["se"], rtol=5e-3)
    herds = sorted(ours.ranef["herd"].index, key=int)
    np.testing.assert_allclose(ours.ranef["herd"].loc[herds, "Intercept"], ref["ranef"], atol=1e-4)
    np.testing.assert_allclose(ours.fitted, ref["fitted"], atol=1e-4)
    for kind in ("response", "pearson", "deviance", "working"):
        np.testing.assert_allclose(ours.residuals(kind), ref[kind], atol=2e-4 * np.abs(ref[kind]).max())


@pytest.mark.parametrize("case", GLM)
def test_glm(case):
    """A formula without random terms is R's glm: coefficients, and residuals of four kinds.

    Where the family has a dispersion it is estimated with them here and by moments there, which leaves the mean as it
    is. Within 1e-8 units of deviance of the maximum a coefficient is within 1e-4 of its standard error.
    """
    ref, ours = reference(case), fit(case)
    np.testing.assert_allclose(ours.fixef, ref["fixef"], rtol=1e-4)
    for kind in ("response", "pearson", "deviance", "working"):
        scale = np.abs(ref[kind]).max()
        np.testing.assert_allclose(ours.residuals(kind), ref[kind], atol=5e-5 * scale)


EXACT = {
    "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", "binomial", 184.052564, 1e-6),
    "grouseticks": (
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson", 1780.542660, 1e-6,
    ),
    "grouseticks nb": ("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", "negbinomial", 1777.816852, 1e-6),
    "verbagg": ("r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)", "bernoulli", 8135.832856, 1e-6),
}  # fmt: skip


@pytest.mark.parametrize("case", EXACT)
def test_classics_to_all_digits_in_ten_evaluations(case):
    """Minima that glmmTMB, glmm and this engine agree on; the last digit is rounded."""
    text, kind, expected, near = EXACT[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)
        ours = mx.glmer(text, classic(case.split()[0]), kind)
    assert ours.converged
    assert ours.criterion == pytest.approx(expected, abs=near)
    assert ours.optimization.evaluations <= 10


def test_likelihood_by_quadrature_has_all_constants():
    """183.96674: what 25 nodes give, comparable with 184.05256 of Laplace's approximation."""
    assert fit("cbpp_lme4_agq25").criterion == pytest.approx(183.96674, abs=5e-6)
