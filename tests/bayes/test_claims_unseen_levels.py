"""Effects of a level without data are N(0, Sigma_d) in posterior draw d, whoever made the draws and whatever the term.

Whitened by the factor of Sigma_d, put together from the draws of standard deviations and correlations, the effects of
many unseen levels over all draws are independent standard normal numbers: a factor taken the wrong way round, a factor
of another term or another draw, or a level whose numbers are those of another, is not. Standard deviations are unequal
and correlations strong, so that L L' is far from L'L.
"""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

COLUMNS = {"f": ["Intercept"], "g": ["Intercept", "x", "w"], "h": ["Intercept", "x"]}
FORMULA = "x + w + (1 | f) + (1 + x + w | g) + (1 + x | h)"
LEVELS = 60
GIVEN = {
    ("sd", "g", "Intercept"): priors.half_normal(3.0),
    ("sd", "g", "x"): priors.half_normal(0.3),
    ("sd", "g", "w"): priors.half_normal(1.0),
    "cor": priors.lkj(0.8),
}


GIVEN_SD = {"sd": priors.half_normal(1.0)}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 480
    f, g, h = rng.integers(0, 5, n), rng.integers(0, 12, n), rng.integers(0, 12, n)
    x, w = rng.normal(size=(2, n))
    of_g = rng.normal(size=(12, 3)) @ np.array([[2.0, 0, 0], [-0.7, 0.3, 0], [0.8, 0.3, 0.4]]).T
    of_h = rng.normal(size=(12, 2)) @ np.array([[0.4, 0.0], [1.1, 0.3]]).T
    eta = 0.3 + of_g[g, 0] + of_g[g, 1] * x + of_g[g, 2] * w + of_h[h, 0] + of_h[h, 1] * x
    frame = pd.DataFrame({"y": eta + rng.normal(0, 0.7, n), "x": x, "w": w, "f": f, "g": g, "h": h})
    frame["mood"] = np.array(["calm", "glad", "sad"])[np.clip(np.round(1 + eta + rng.normal(size=n)), 0, 2).astype(int)]
    return frame.astype({"f": str, "g": str, "h": str})


@pytest.fixture(scope="module", params=["collapsed", "prior", "stanli", "categorical"])
def fit(request, data):
    """A fit of every kind that has draws: exact, of the prior, of Stan, and of several linear predictors."""
    stan = {"engine": "stanli", "draws": 200, "warmup": 200, "chains": 2, "progress": False}
    if request.param == "collapsed":
        return mx.bayes(f"y ~ {FORMULA}", data, seed=1, draws=1000)
    if request.param == "prior":
        return mx.prior_predictive(f"y ~ {FORMULA}", data, priors=GIVEN, seed=1, draws=1000)
    if request.param == "stanli":
        return mx.bayes(f"y ~ {FORMULA}", data, seed=1, **stan)
    return mx.bayes(f"mood ~ {FORMULA}", data, family="categorical", seed=1, **stan)


def categories(fit):
    """What tells apart the keys of several linear predictors."""
    return [(c,) for c in fit.categories[1:]] if fit.categories else [()]


def white(fit, group, category, effects):
    """(D, levels, k) effects in units of the factor of each draw's covariance."""
    draws, names = fit.draws(), COLUMNS[group]
    k = len(names)
    sd = np.column_stack([np.ravel(draws[("sd", *category, group, c)]) for c in names])
    R = np.broadcast_to(np.eye(k), (len(sd), k, k)).copy()
    for i in range(k):
        for j in range(i + 1, k):
            R[:, i, j] = R[:, j, i] = np.ravel(draws[("cor", *category, group, names[i], names[j])])
    L = np.linalg.cholesky(R) * sd[:, :, None]
    return np.linalg.solve(L[:, None], effects[..., None])[..., 0]


def assert_standard(white):
    """Mean zero, covariance the identity, no correlation between neighbouring levels; all within five errors."""
    D, levels, k = white.shape
    values = white.reshape(-1, k)
    n = D * levels
    assert np.abs(values.mean(axis=0)).max() < 5 / np.sqrt(n)
    error = np.sqrt((1 + np.eye(k)) / n)
    np.testing.assert_array_less(np.abs(values.T @ values / n - np.eye(k)), 5 * error)
    if levels > 1:
        across = np.einsum("dla,dlb->ab", white[:, 1:], white[:, :-1]) / (D * (levels - 1))
        assert np.abs(across).max() < 5 / np.sqrt(D * (levels - 1))


@pytest.mark.parametrize("group", COLUMNS)
def test_effects_of_unseen_levels_have_the_covariance_of_their_draw(fit, group):
    at = pd.DataFrame({"x": [0.0, 1.0, 0.0], "w": [0.0, 0.0, 1.0], "f": "0", "g": "0", "h": "0"})
    frame = pd.concat([at] * LEVELS, ignore_index=True)
    frame[group] = np.repeat([f"new {i}" for i in range(LEVELS)], 3)
    drawn, known = (fit.linpred(frame, new_levels=how) for how in ("sample", "population"))
    effect = (drawn - known).reshape(fit.n_draws, LEVELS, 3, -1)
    every = ["Intercept", "x", "w"]
    used = [every.index(c) for c in COLUMNS[group]]
    whites = []
    for c, category in enumerate(categories(fit)):
        e = effect[..., c]
        u = np.stack([e[..., 0], e[..., 1] - e[..., 0], e[..., 2] - e[..., 0]], axis=2)
        np.testing.assert_allclose(np.delete(u, used, axis=2), 0.0, atol=1e-8)
        whites.append(white(fit, group, category, u[..., used]))
        assert_standard(whites[-1])
    if len(whites) > 1:  # predictors have effects of their own
        n = fit.n_draws * LEVELS
        assert np.abs(np.einsum("dla,dlb->ab", *whites) / n).max() < 5 / np.sqrt(n)


def test_levels_of_one_name_are_others_in_other_terms(data):
    """A teacher "new 3" and a school "new 3" have nothing to do with each other, nor have their slopes."""
    fit = mx.prior_predictive("y ~ x + (1 + x | f) + (1 + x | h)", data, priors=GIVEN_SD, seed=1, draws=500)
    new = pd.DataFrame({"x": 0.0, "f": "0", "h": "0"}, index=range(LEVELS))
    whites = []
    for group in ("f", "h"):
        frame = new.assign(**{group: [f"new {i}" for i in range(LEVELS)]})
        for x in (0.0, 1.0):
            drawn, known = (fit.linpred(frame.assign(x=x), new_levels=how) for how in ("sample", "population"))
            whites.append((drawn - known) / np.std(drawn - known, axis=1, keepdims=True))
    for one in whites[:2]:
        for other in whites[2:]:
            assert abs(np.mean(one * other)) < 5 / np.sqrt(one.size)


def test_unseen_levels_are_the_same_one_by_one_in_blocks_and_through_a_functional(fit):
    """The numbers of a level depend on its name: not on the rows it is asked with, their order or their blocks."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=14), "w": rng.normal(size=14)})
    for column, q in (("f", 3), ("g", 4), ("h", 3)):
        frame[column] = np.char.add("new ", rng.integers(0, q, 14).astype(str)).astype(object)
    frame.loc[::3, "g"] = "3"
    whole = fit.linpred(frame, new_levels="sample")
    for i in (0, 5, 13):
        one = fit.linpred(frame.iloc[[i]], new_levels="sample")
        np.testing.assert_allclose(one[:, 0], whole[:, i], rtol=1e-9, atol=1e-9)
    order = rng.permutation(14)
    shuffled = fit.linpred(frame.iloc[order], new_levels="sample")
    np.testing.assert_allclose(shuffled, whole[:, order], rtol=1e-9, atol=1e-9)
    functional = fit.design_for(frame, new_levels="sample")
    for rows in (1, 3, 14):
        blocks = [values for _, values in fit.stream(functional, scale="link", rows=rows)]
        np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, rtol=1e-9, atol=1e-9)
    if not fit.categories:
        np.testing.assert_allclose(fit.apply(functional).values, whole, rtol=1e-9, atol=1e-9)


def test_effects_drawn_from_the_prior_have_the_covariance_of_their_draw(data):
    """Levels that the data have: before the response is seen they are as any other."""
    fit = mx.prior_predictive(f"y ~ {FORMULA}", data, priors=GIVEN, seed=3, draws=3000)
    draws = fit.draws()
    for group, names in COLUMNS.items():
        levels = sorted(set(data[group]))
        u = np.stack([[np.ravel(draws["u", group, level, c]) for c in names] for level in levels])
        assert_standard(white(fit, group, (), u.transpose(2, 0, 1)))
