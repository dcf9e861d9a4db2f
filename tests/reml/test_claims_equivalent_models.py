"""One model written in two ways gives the same answers to every question.

* An offset is a part of the response that is known: y with offset o is y - o.
* Precision weights are rows multiplied by their root: sqrt(w) (y, X, Z) without weights, column for column.

Questions are those of a fit that do not depend on how it was written; what does (fitted values, R2, criteria up to the
Jacobian of the weights) is left out or put right.
"""

import numpy as np
import pandas as pd
import pytest

from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

FORMULAS = {"nested": "{one} + {x} + ({one} + {x} | g)", "crossed": "{one} + {x} + ({one} | g) + ({one} | h)"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(31)
    n = 150
    g, h = rng.integers(0, 12, n), rng.integers(0, 6, n)
    x, w = rng.normal(size=n), rng.choice([0.1, 1.0, 6.0], n)
    u = rng.normal(size=(12, 2)) @ np.array([[1.0, 0.0], [0.4, 0.6]]).T
    y = 1 + 0.5 * x + u[g, 0] + u[g, 1] * x + rng.normal(0, 0.7, 6)[h] + rng.normal(size=n) / np.sqrt(w)
    o = 3.0 * rng.normal(size=n)
    frame = pd.DataFrame({"y": y + o, "x": x, "o": o, "w": w, "g": g.astype(str), "h": h.astype(str)})
    root = np.sqrt(w)
    return frame.assign(d=y, one=1.0, root=root, rx=root * x, ry=root * y)


def numbers(table):
    return table.select_dtypes("number").to_numpy()


def resampled(fit, kind):
    return fit.bootstrap(20, kind, seed=4).values


QUESTIONS = {
    "coefficients": lambda fit: fit.fixef.to_numpy(),
    "covariance": lambda fit: fit.vcov.to_numpy(),
    "theta": lambda fit: fit.theta.to_numpy(),
    "variances": lambda fit: numbers(fit.varcorr),
    "modes": lambda fit: np.concatenate([numbers(table).ravel() for table in fit.ranef.values()]),
    "errors of modes": lambda fit: np.concatenate([numbers(table).ravel() for table in fit.ranef_sd.values()]),
    "Satterthwaite": lambda fit: numbers(fit.tidy(ddf="satterthwaite")),
    "Kenward and Roger": lambda fit: numbers(fit.tidy(ddf="kenward-roger")),
    "CR0": lambda fit: fit.vcov_robust("CR0", cluster="g").vcov,
    "CR1": lambda fit: fit.vcov_robust("CR1", cluster="g").vcov,
    "CR2": lambda fit: fit.vcov_robust("CR2", cluster="g").vcov,
    "df of CR2": lambda fit: numbers(fit.tidy(vcov=fit.vcov_robust("CR2", cluster="g"))),
    "profile intervals": lambda fit: numbers(fit.confint("profile")),
    "likelihood ratio": lambda fit: fit.ranova()["lrt"].to_numpy()[-1:],
    "simulated likelihood ratio": lambda fit: fit.ranova(simulate=8, seed=3)["p_simulated"].to_numpy()[-1:],
    "leverage": lambda fit: fit.leverage().to_numpy(),
    "pearson residuals": lambda fit: fit.residuals("pearson").to_numpy(),
    "standardised residuals": lambda fit: fit.residuals("standardized").to_numpy(),
    "standardised marginal residuals": lambda fit: fit.residuals("marginal_standardized").to_numpy(),
    "influence of rows": lambda fit: fit.influence().dfbeta.to_numpy(),
    "influence of groups": lambda fit: fit.influence(by="g").dfbeta.to_numpy(),
    "influence, refitted": lambda fit: numbers(fit.influence(by="g", refit=True).table.sort_index()),
    "residual bootstrap": lambda fit: resampled(fit, "residual"),
    "parametric bootstrap": lambda fit: resampled(fit, "parametric"),
    "refit": lambda fit: fit.refit(fit.design.y).fixef.to_numpy(),
    "covariance of groups": lambda fit: np.concatenate([c.ravel() for c in fit.ranef_cov]),
}
CLUSTERED = ("CR0", "CR1", "CR2", "df of CR2")
# The adjustment of CR2 is one of many that are unbiased under the model; which, depends on the scale of the rows.
TIED_TO_ROWS = ("CR2", "df of CR2")


@pytest.fixture(scope="module", params=FORMULAS)
def fits(request, data):
    """The model with an offset and weights; with weights; and with neither."""
    text = FORMULAS[request.param]
    plain, scaled = text.format(one="1", x="x"), text.format(one="0 + root", x="rx")
    return request.param, {
        "offset and weights": lmer(f"y ~ {plain}", data, weights="w", offset="o"),
        "weights": lmer(f"d ~ {plain}", data, weights="w"),
        "offset in the formula": lmer(f"y ~ {plain} + offset(o)", data, weights="w"),
        "neither": lmer(f"ry ~ {scaled}", data),
    }


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_one_answer(fits, question):
    kind, several = fits
    if kind == "crossed" and question in CLUSTERED:
        return  # groups that share the levels of the other factor are no clusters
    known = "weights" if question in TIED_TO_ROWS else "neither"
    found = {name: QUESTIONS[question](fit) for name, fit in several.items() if name != "neither" or known == "neither"}
    # Optimisations are certified to 1e-9 of deviance each: 1e-5 of a standard error, and so in what hangs on theta.
    scale = np.nanmax(np.abs(found[known]), initial=0.0)
    for name, values in found.items():
        np.testing.assert_allclose(values, found[known], rtol=2e-4, atol=2e-5 * scale, err_msg=name)


def test_criteria_differ_by_the_jacobian_of_the_weights(fits, data):
    _, several = fits
    jacobian = np.log(data["w"]).sum()
    for name in ("weights", "offset and weights", "offset in the formula"):
        assert several[name].criterion + jacobian == pytest.approx(several["neither"].criterion, abs=1e-6)
