"""bayes(V=): sampling errors whose covariance is known, against lmer, and what no row can answer for itself."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import ModelError, OptionError


@pytest.fixture(scope="module")
def estimates():
    """60 studies of three estimates whose errors have the correlation 0.6."""
    rng = np.random.default_rng(4)
    study = np.repeat(np.arange(60), 3)
    se = rng.uniform(0.1, 0.3, 180)
    same = study[:, None] == study
    V = np.where(same, 0.6, 0.0) * np.outer(se, se)
    np.fill_diagonal(V, se**2)
    data = pd.DataFrame({"study": [f"s{i}" for i in study], "x": rng.normal(size=180), "se": se})
    data["y"] = 0.3 + 0.2 * data.x + 0.4 * rng.normal(size=60)[study] + np.linalg.cholesky(V) @ rng.normal(size=180)
    return data, V


@pytest.fixture(scope="module")
def posterior(estimates):
    data, V = estimates
    return mx.bayes("y ~ x + (1 | study)", data, V=V, seed=1)


def test_it_is_near_the_restricted_fit(estimates, posterior):
    """With 60 studies the prior says little: means within a tenth of a standard error, which agree to 5 %."""
    data, V = estimates
    fit = mx.lmer("y ~ x + (1 | study)", data, V=V)
    assert posterior.sampling.engine == "collapsed"
    ours, theirs = posterior.tidy().set_index("term"), fit.tidy().set_index("term")
    for name in ("Intercept", "x"):
        assert abs(ours.estimate[name] - theirs.estimate[name]) < 0.1 * theirs.std_error[name]
        assert ours.std_error[name] == pytest.approx(theirs.std_error[name], rel=0.05)
    ignored = mx.lmer("y | se(se) ~ x + (1 | study)", data)
    assert abs(ignored.tidy().std_error[1] / theirs.std_error["x"] - 1) > 0.1  # correlations matter here
    np.testing.assert_allclose(posterior.ranef["study"]["Intercept"], fit.ranef["study"]["Intercept"], atol=0.03)
    assert posterior.sigma == 1.0
    assert "Residual" not in set(posterior.varcorr.grp)
    assert "sigma" not in posterior.joint.auxiliary
    effects = mx.effects(posterior, "x")
    np.testing.assert_allclose(effects.table.estimate, ours.estimate["x"], rtol=1e-6)
    assert np.isfinite(posterior.predict(data.head(3), kind="response")).to_numpy().all()


def test_independent_errors_are_those_of_se(estimates):
    """The same draws, whichever way variances are said."""
    data, _ = estimates
    by_V = mx.bayes("y ~ x + (1 | study)", data, V=data.se**2, seed=1, draws=400)
    by_se = mx.bayes("y | se(se) ~ x + (1 | study)", data, seed=1, draws=400)
    np.testing.assert_allclose(by_V.joint.predictors[0].beta, by_se.joint.predictors[0].beta, rtol=1e-9)


def test_what_a_row_cannot_answer_is_refused(posterior, tmp_path):
    for ask in (posterior.simulate, posterior.loo, posterior.ppc, lambda: posterior.predict(kind="predictive")):
        with pytest.raises(ModelError, match="correlated"):
            ask()
    with pytest.raises(ModelError, match="no part of the formula"):
        posterior.save(tmp_path / "fit.mfx")


def test_engines_and_families_that_cannot_have_it_say_so(estimates):
    data, V = estimates
    with pytest.raises(OptionError, match="errors of V are correlated"):
        mx.bayes("y ~ x + (1 | study)", data, V=V, engine="stanli")
    with pytest.raises(OptionError, match="no engine can sample this model"):
        mx.bayes("y ~ x + (1 | study)", data, V=V, family="student")
    with pytest.raises(OptionError, match="lognormal family has none"):
        mx.bayes("y ~ x + (1 | study)", data.assign(y=np.exp(data.y)), V=V, family="lognormal")
    with pytest.raises(ModelError, match="so does se"):
        mx.bayes("y | se(se) ~ x + (1 | study)", data, V=V)
