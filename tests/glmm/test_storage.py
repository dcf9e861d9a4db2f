"""Files of generalised linear mixed models: every family, what is known of it, its dispersion, priors, and quadrature.

`tests/test_saving.py` has what all kinds of fits have in common.
"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, MixedfxWarning, OptionError
from mixedfx.families.registry import family
from tests.glmm.data import FAMILIES, formula, simulated
from tests.test_saving import head_of, repacked

KNOWN = {"student": mx.families.student(nu=4.0), "tweedie": mx.families.tweedie(power=1.5)}
CASES = [
    *((name, link, None, None) for name, link in FAMILIES),
    *(
        (name, link, "~ x", None)
        for name, link in FAMILIES
        if family(name).dispersed and link == family(name).link.name
    ),
    *((name, kind.link.name, None, kind) for name, kind in KNOWN.items()),
    *((name, kind.link.name, "~ x", kind) for name, kind in KNOWN.items()),
]


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return function(*args, **options)


def saved_again(fit, tmp_path):
    return mx.load(fit.save(tmp_path / "fit.mfx"))


@pytest.mark.parametrize(("name", "link", "dispersion", "known"), CASES)
def test_every_family_comes_back(name, link, dispersion, known, tmp_path):
    """Estimates to rounding; the modes are sought anew, to 1e-5 of their standard deviation."""
    data = simulated(name, link)
    text = formula(name, "intercept")
    if name == "cumulative":
        data = data.assign(y=pd.Categorical(data["y"].astype(int), ordered=True))
    fit = quietly(mx.glmer, text, data, known or family(name, link), dispersion=dispersion)
    again = saved_again(fit, tmp_path)
    assert again.family == fit.family
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-7)
    np.testing.assert_allclose(again.fixef, fit.fixef, rtol=1e-12, atol=1e-12)
    pd.testing.assert_series_equal(again.auxiliary, fit.auxiliary, rtol=1e-12)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-12)
    new = data.iloc[:5]
    np.testing.assert_allclose(again.predict(new), fit.predict(new), rtol=1e-6)
    assert str(again.summary()).splitlines()[0] == str(fit.summary()).splitlines()[0]
    if dispersion:
        pd.testing.assert_frame_equal(again.dispersion, fit.dispersion, rtol=1e-5)
    assert quietly(again.update).criterion == pytest.approx(fit.criterion, abs=1e-5)


def test_what_was_done_about_the_integral_comes_back(tmp_path):
    fit = quietly(mx.glmer, "y ~ x + (1 | g)", simulated("bernoulli", "logit"), "bernoulli", nAGQ="auto")
    again = saved_again(fit, tmp_path)
    assert again.solution.settled == fit.solution.settled is not None
    assert again.nAGQ == fit.nAGQ
    assert str(again.summary()) == str(fit.summary())
    assert again.update().solution.settled == pytest.approx(fit.solution.settled, abs=1e-6)
    assert saved_again(fit.update(nAGQ=3), tmp_path).call.nAGQ == 3


@pytest.mark.parametrize(
    "priors", ["default", {"coef": mx.priors.normal(0, 1.5)}, {("coef", "x"): mx.priors.cauchy(0, 1)}]
)
def test_priors_are_those_that_were_given(priors, tmp_path):
    """A smaller model has its own default priors, and other priors keep their keys."""
    data = simulated("bernoulli", "logit")
    fit = quietly(mx.glmer, "y ~ x + k + (1 | g)", data, "bernoulli", priors=priors)
    again = saved_again(fit, tmp_path)
    assert again.call.priors == priors
    pd.testing.assert_frame_equal(again.priors, fit.priors)
    smaller, wanted = (quietly(one.update, ". ~ . - k") for one in (again, fit))
    np.testing.assert_allclose(smaller.fixef, wanted.fixef, atol=1e-6)
    pd.testing.assert_frame_equal(smaller.priors, wanted.priors)


def test_a_prior_of_a_coefficient_that_is_gone_is_said_with_the_way_out(tmp_path):
    data = simulated("bernoulli", "logit")
    fit = quietly(mx.glmer, "y ~ x + k + (1 | g)", data, "bernoulli", priors={("coef", "x"): mx.priors.normal(0, 1)})
    for one in (fit, saved_again(fit, tmp_path)):
        with pytest.raises(OptionError, match=r"'x'(.|\n)*update\(\.\.\., priors="):
            one.update(". ~ . - x")
        assert quietly(one.update, ". ~ . - x", priors=None).solution.model.prior is None


def test_files_without_coordinates_are_read(tmp_path):
    """Version 0.1 wrote the parameters of the family as users read them."""
    fit = quietly(mx.glmer, "y ~ x + (1 | g)", simulated("gamma", "log"), "gamma")
    path = fit.save(tmp_path / "fit.mfx")
    head = head_of(path.read_bytes())
    old = {k: v for k, v in head.items() if k not in ("phi", "held", "settled", "priors")}
    path.write_bytes(repacked(path.read_bytes(), old | {"auxiliary": [float(fit.auxiliary["shape"])]}))
    assert mx.load(path).criterion == pytest.approx(fit.criterion, abs=1e-7)


@pytest.mark.parametrize("held", [{"nu": 0.5}, {"sigma2": 1.0}, {"nu": float("inf")}, [4.0]])
def test_parameters_that_cannot_be_known_are_refused(held, tmp_path):
    fit = quietly(mx.glmer, "y ~ x + (1 | g)", simulated("student", "identity"), KNOWN["student"])
    path = fit.save(tmp_path / "fit.mfx")
    head = head_of(path.read_bytes())
    assert head["held"] == {"nu": 4.0}
    path.write_bytes(repacked(path.read_bytes(), json.dumps(head | {"held": held}).encode()))
    with pytest.raises(DataError, match="damaged"):
        mx.load(path)


def test_priors_of_an_ordered_response_are_those_of_its_coefficients(tmp_path):
    """Thresholds have none here, and no row in the table."""
    data = simulated("cumulative", "logit")
    data = data.assign(y=pd.Categorical(data["y"].astype(int), ordered=True))
    fit = quietly(mx.glmer, "y ~ x + k + (1 | g)", data, "cumulative", priors="default")
    assert fit.priors["parameter"].tolist() == list(fit.fixef.index)
    pd.testing.assert_frame_equal(saved_again(fit, tmp_path).priors, fit.priors)
