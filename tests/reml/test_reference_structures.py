"""Structured covariances and related levels against nlme, glmmTMB and metafor (tests/reference/gen_structures.R).

Criteria agree to 1e-8, what the slackest of the optimisers there leaves. Coefficients and standard deviations are a
square root less well determined by them: 1e-5.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx

FOLDER = Path(__file__).parents[1] / "reference" / "structures"
REFERENCE = json.loads((FOLDER / "structures.json").read_text())
DATA = pd.read_csv(FOLDER / "schools.csv")
RELATION = pd.read_csv(FOLDER / "relation.csv", index_col=0)
PUPILS, SERIAL = pd.read_csv(FOLDER / "pupils.csv"), json.loads((FOLDER / "serial.json").read_text())
CASES = [(p, s, m) for p, of in REFERENCE.items() for s, methods in of.items() for m in methods]


@pytest.mark.parametrize(("package", "structure", "method"), [c for c in CASES if c[0] != "metafor"])
def test_against_nlme_and_glmmtmb(package, structure, method):
    known = REFERENCE[package][structure][method]
    fit = mx.lmer(f"score ~ x + {structure}(0 + outcome | school)", DATA, REML=method == "REML")
    np.testing.assert_allclose(fit.criterion, known["criterion"][0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.fixef, known["beta"], atol=1e-5)
    np.testing.assert_allclose(fit.sigma, known["sigma"], rtol=1e-5)
    F = fit.covariance_factors[0][0]
    covariance = F @ F.T
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), known["sd"], rtol=1e-5)
    np.testing.assert_allclose(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), known["cor"], atol=1e-5)
    if package == "nlme" and method == "REML":  # its standard errors of ML fits have another divisor
        np.testing.assert_allclose(fit.tidy().std_error, known["se"], rtol=1e-5)


@pytest.mark.parametrize(("structure", "method"), [c[1:] for c in CASES if c[0] == "metafor"])
def test_against_metafor_with_known_variances(structure, method):
    """Its restricted log likelihood has log |X'X| / 2 more."""
    known = REFERENCE["metafor"][structure][method]
    data = DATA[DATA.rep == 1].assign(se=lambda d: np.sqrt(d.vi))
    term = "(1 | gr(school, cov=A))" if structure == "relation" else f"{structure}(0 + outcome | school)"
    fit = mx.lmer(f"score | se(se) ~ x + {term}", data, REML=method == "REML", env={"A": RELATION})
    constant = np.linalg.slogdet(fit.design.X.T @ fit.design.X)[1] / 2 if method == "REML" else 0.0
    np.testing.assert_allclose(fit.loglik + constant, known["loglik"][0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.fixef, known["beta"], atol=1e-5)
    np.testing.assert_allclose(fit.tidy(ddf="normal").std_error, known["se"], rtol=2e-5)
    variances = fit.varcorr.vcov[fit.varcorr.var2.isna()]
    np.testing.assert_allclose(variances, known["sigma2" if structure == "relation" else "tau2"], rtol=2e-5)
    correlations = fit.varcorr.sdcor[fit.varcorr.var2.notna()]
    if len(correlations):
        np.testing.assert_allclose(correlations, known["rho"], atol=2e-5)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("response", ["score", "swing"])
def test_serial_correlation_against_glmmtmb(response, method):
    """Positive and negative. Its optimiser stops with 'singular convergence', up to 2e-8 above the minimum."""
    known = SERIAL["glmmTMB"][response][method]
    fit = mx.lmer(f"{response} ~ x + ar1(0 + factor(occasion) | pupil)", PUPILS, REML=method == "REML")
    assert -1e-7 < fit.criterion - known["criterion"][0] < 1e-9
    np.testing.assert_allclose(fit.fixef, known["beta"], atol=1e-5)
    np.testing.assert_allclose([fit.sigma, *fit.varcorr.sdcor[:2]], [known[n][0] for n in ("sigma", "sd", "cor")],
                               rtol=2e-5)  # fmt: skip


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("structure", ["ar1", "hetar1"])
def test_serial_correlation_against_metafor(structure, method):
    """Its AR and HAR with known variances, through lmer and rma_mv."""
    known = SERIAL["metafor"][structure][method]
    data = PUPILS[PUPILS.rep == 1].assign(se=lambda d: np.sqrt(d.vi))
    right = f"x + {structure}(0 + factor(occasion) | pupil)"
    fit = mx.lmer(f"score | se(se) ~ {right}", data, REML=method == "REML")
    meta = mx.rma_mv(f"score ~ {right}", data, vi="vi", method=method)
    constant = np.linalg.slogdet(fit.design.X.T @ fit.design.X)[1] / 2 if method == "REML" else 0.0
    np.testing.assert_allclose([fit.loglik + constant, meta.loglik()], known["loglik"][0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.fixef, known["beta"], atol=1e-5)
    np.testing.assert_allclose(fit.tidy(ddf="normal").std_error, known["se"], rtol=2e-5)
    found = meta.components.estimate
    np.testing.assert_allclose(found, [*known["tau2"], *known["rho"]], rtol=2e-5)
    assert meta.components.term.iloc[-1] == "rho"
