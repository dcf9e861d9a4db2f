"""The full model in less than a minute, by draws that agree with NUTS on all parameters.

`python -m pytest -m slow tests/bayes/test_full_model_slow.py -s` prints a table; the one of benchmarks/studies.md took
an hour of a busy machine. Compared are posterior means, and means of squares, of every coefficient, standard
deviation, correlation, random effect and of the effect of z in 45 subgroups: each within 4.5 Monte Carlo errors of
both samplers together. With some 400 quantities the largest of them is 3 to 3.5 errors.
"""

import time
import warnings

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.convergence import convergence
from mixedfx.errors import MixedfxWarning
from mixedfx.priors import pooled_interactions
from tests.bayes.full_model import CORRELATED, INDEPENDENT, draw_data

pytestmark = pytest.mark.slow

SUBGROUPS = [["x1"], ["x2"], ["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"], ["x1", "x3"]]
SECONDS = 60.0  # of one core, for 4,000 draws
FORMULAS = {"|": CORRELATED, "||": INDEPENDENT}
PRIORS = {"pooled": pooled_interactions(), "default": None}


def fitted(formula, n, given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        begin = time.process_time()
        fit = mx.bayes(FORMULAS[formula], draw_data(n), priors=PRIORS[given], seed=1, progress=False, **options)
        return fit, time.process_time() - begin


def quantities(fit):
    """(4, draws, m) of everything that is read from the fit, the squares of their deviations, and their kinds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        effects = mx.effects(fit, "z", by=SUBGROUPS).draws()
    keys, values = fit.joint.every(fit.design)
    order = sorted(range(len(keys)), key=lambda i: keys[i])
    all_of_them = np.hstack([values[:, order], effects])
    kinds = np.array([keys[i][0] for i in order] + ["effect"] * effects.shape[1])
    return all_of_them.reshape(4, -1, len(kinds)), kinds


@pytest.mark.parametrize("given", PRIORS)
@pytest.mark.parametrize("n", [400, 6000])
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_full_model_converges_in_less_than_a_minute(formula, n, given):
    fit, seconds = fitted(formula, n, given)
    found = convergence(quantities(fit)[0])
    print(
        f"\n{formula:2} {n:4} rows, {given:7}: {seconds:5.1f} s of a core, {fit.sampling.evaluations} evaluations, "
        f"R-hat {np.nanmax(found.r_hat):.3f}, ESS {np.nanmin(found.bulk):.0f}, in the tails {np.nanmin(found.tail):.0f}"
    )
    assert seconds < SECONDS
    assert fit.concerns == ()
    assert np.nanmax(found.r_hat) < 1.01
    assert min(np.nanmin(found.bulk), np.nanmin(found.tail)) > 400


@pytest.mark.parametrize(
    ("formula", "n", "given", "options"),
    [
        *((formula, 400, given, {"adapt_delta": 0.95}) for formula in FORMULAS for given in PRIORS),
        ("|", 6000, "pooled", {"adapt_delta": 0.9, "draws": 1200, "warmup": 400}),
    ],
)
def test_its_posterior_is_that_of_nuts_on_all_parameters(formula, n, given, options):
    ours, kinds = quantities(fitted(formula, n, given)[0])
    stan, seconds = fitted(formula, n, given, engine="stanli", **options)
    theirs, _ = quantities(stan)
    print(f"\n{formula:2} {n:4} rows, {given:7}: stanli took {seconds:.0f} s of a core")
    for name, power in (("means", 1), ("squares", 2)):
        centre = theirs.mean(axis=(0, 1)) if power == 2 else 0.0
        a, b = ((one - centre) ** power for one in (ours, theirs))
        error = np.sqrt(sum(one.var(axis=(0, 1)) / convergence(one).bulk for one in (a, b)))
        z = (a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))) / error
        for kind in dict.fromkeys(kinds):
            some = z[kinds == kind]
            print(
                f"   {name:7} {kind:7} {len(some):4}: rms {np.sqrt(np.mean(some**2)):.2f}, max {np.abs(some).max():.2f}"
            )
        assert np.abs(z).max() < 4.5
        assert 0.7 < np.sqrt(np.mean(z**2)) < 1.35
