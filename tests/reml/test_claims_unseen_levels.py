"""Effects of a level without data are N(0, Sigma), Sigma = sigma^2 T T' of its term: in variances and in all draws.

The terms here have one, two and three columns, of unequal standard deviations and high correlations, so that T T' is
far from T'T, and their unseen levels stand in the rows in no order. What is expected is put together from the table of
variance components, which is compared with lme4's elsewhere.
"""

import numpy as np
import pandas as pd
import pytest

from mixedfx.inference import normal_estimate as estimate
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

FORMULA = "y ~ x + w + (1 | f) + (1 + x + w | g) + (1 + x | h)"
COLUMNS = {"f": ["Intercept"], "g": ["Intercept", "x", "w"], "h": ["Intercept", "x"]}


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(8)
    n = 900
    f, g, h = rng.integers(0, 8, n), rng.integers(0, 30, n), rng.integers(0, 25, n)
    x, w = rng.normal(size=(2, n))
    of_g = rng.normal(size=(30, 3)) @ np.array([[2.0, 0, 0], [-0.7, 0.3, 0], [0.8, 0.3, 0.4]]).T
    of_h = rng.normal(size=(25, 2)) @ np.array([[0.5, 0.0], [1.1, 0.4]]).T
    y = 1 + rng.normal(0, 0.8, 8)[f] + of_g[g, 0] + of_g[g, 1] * x + of_g[g, 2] * w + of_h[h, 0] + of_h[h, 1] * x
    data = pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "w": w, "f": f, "g": g, "h": h}).astype(
        {"f": str, "g": str, "h": str}
    )
    return lmer(FORMULA, data)


def covariance(fit, group):
    """(k, k) covariance of a level's effects, from the table."""
    names = COLUMNS[group]
    table = fit.varcorr[fit.varcorr["grp"] == group]
    out = np.zeros((len(names), len(names)))
    for row in table.itertuples():
        i = names.index(row.var1)
        j = i if not isinstance(row.var2, str) else names.index(row.var2)
        out[i, j] = out[j, i] = row.vcov
    return out


def unseen(seed, n):
    """Rows whose groups are all new, a few of each, in a mixed order."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n)})
    for column, q in (("f", 3), ("g", 5), ("h", 4)):
        frame[column] = np.char.add(f"new {column} ", rng.integers(0, q, n).astype(str)).astype(object)
    return frame


def population(fit, frame):
    """(n, n) covariance that effects of unseen levels give to the rows: z_i' Sigma z_j within a level."""
    out = np.zeros((len(frame), len(frame)))
    for group, names in COLUMNS.items():
        z = np.column_stack([np.ones(len(frame)) if c == "Intercept" else frame[c] for c in names])
        level = frame[group].to_numpy()
        out += (z @ covariance(fit, group) @ z.T) * (level[:, None] == level)
    return out


def of_beta(fit, frame):
    X = np.column_stack([np.ones(len(frame)), frame["x"], frame["w"]])
    return X @ fit.vcov.to_numpy() @ X.T


def assert_covariance(draws, expected, errors=5.0):
    """Every entry of a sampled covariance within a number of its errors, those of normal draws."""
    n = len(draws)
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / n)
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - expected), errors * error + 1e-12)


def test_the_covariance_of_rows_with_unseen_levels(fit):
    frame = unseen(1, 40)
    found = fit.apply(fit.design_for(frame, new_levels="sample"))
    expected = of_beta(fit, frame) + population(fit, frame)
    np.testing.assert_allclose(found.cov, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.variances, np.diag(expected), rtol=1e-8)
    np.testing.assert_allclose(found.sd**2, np.diag(expected), rtol=1e-8)


def test_levels_seen_and_unseen_stand_side_by_side(fit):
    """Rows of a seen level have its effects, with their covariance; unseen levels of other terms are added to that."""
    frame = unseen(2, 30).assign(g="3")
    frame.loc[::2, "f"] = "1"
    found = fit.apply(fit.design_for(frame, new_levels="sample")).cov
    seen = fit.apply(fit.design_for(frame, new_levels="population")).cov
    new = frame.copy()
    for column in ("f", "g"):  # levels that are known add nothing: as if each of their rows had no such effect
        new[column] = np.where(new[column].astype(str).str.startswith("new"), new[column], "none")
    expected = np.zeros((30, 30))
    for group in ("f", "h"):
        names = COLUMNS[group]
        z = np.column_stack([np.ones(30) if c == "Intercept" else frame[c] for c in names])
        level = new[group].to_numpy()
        mine = (level[:, None] == level) & (level != "none")
        expected += (z @ covariance(fit, group) @ z.T) * mine
    np.testing.assert_allclose(found - seen, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dense_rows", [1000, 5])
def test_draws_of_rows_with_unseen_levels_have_that_covariance(fit, monkeypatch, dense_rows):
    """From the covariance of the rows, and, where there are more of them, from draws of (beta, u) and of new levels."""
    monkeypatch.setattr(estimate, "DENSE_ROWS", dense_rows)
    frame = unseen(3, 12)
    found = fit.apply(fit.design_for(frame, new_levels="sample"))
    assert_covariance(found.draws(6000, seed=1), of_beta(fit, frame) + population(fit, frame))


def test_one_prediction_of_many_unseen_levels_shows_their_covariance(fit):
    """5,000 levels of each term, drawn once: at (0, 0), (1, 0) and (0, 1), from which their coefficients follow."""
    n = 5000
    at = pd.DataFrame({"x": [0.0, 1.0, 0.0], "w": [0.0, 0.0, 1.0]})
    for group, names in COLUMNS.items():
        frame = pd.concat([at] * n, ignore_index=True).assign(f="0", g="0", h="0")
        frame[group] = np.repeat([f"new {i}" for i in range(n)], 3)
        drawn = fit.predict(frame, new_levels="sample", seed=4).to_numpy()
        known = fit.predict(frame, new_levels="population").to_numpy()
        effect = (drawn - known).reshape(n, 3)
        u = np.column_stack([effect[:, 0], effect[:, 1] - effect[:, 0], effect[:, 2] - effect[:, 0]])
        names = ["Intercept", "x", "w"]
        used = [names.index(c) for c in COLUMNS[group]]
        assert_covariance(u[:, used], covariance(fit, group))
        np.testing.assert_allclose(np.delete(u, used, axis=1), 0.0, atol=1e-9)
        # Each level has draws of its own.
        assert np.abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 5 / np.sqrt(n)


def test_intervals_of_predictions_hold_the_variance_of_unseen_levels(fit):
    frame = unseen(5, 25)
    table = fit.predict(frame, new_levels="sample", interval="confidence", uncertainty=["beta", "u"])
    expected = np.sqrt(np.diag(of_beta(fit, frame) + population(fit, frame)))
    np.testing.assert_allclose(table["se"], expected, rtol=1e-7)


def test_responses_simulated_have_the_covariance_of_the_model(fit):
    """Rows of two levels of g and one of h: var(y) = Z Sigma Z' + sigma^2 I."""
    draws = fit.simulate(4000, seed=6).to_numpy().T
    frame = fit.design.frame
    g, h = frame["g"].to_numpy(), frame["h"].to_numpy()
    rows = np.flatnonzero(np.isin(g, g[:2]) | (h == h[0]))[:25]
    assert_covariance(draws[:, rows], population(fit, frame.iloc[rows]) + fit.sigma**2 * np.eye(len(rows)))


def test_moments_and_draws_at_many_points_are_those_of_the_dense_covariance(fit):
    """Factors that differ from point to point, as theta does where it is not known."""
    frame = unseen(6, 15)
    rows = fit.design_for(frame, new_levels="sample")
    widths = [term.n_columns for term in fit.design.random]
    rng = np.random.default_rng(7)
    factors = [np.tril(rng.normal(size=(4, k, k))) * np.arange(1.0, k + 1)[:, None] for k in widths]
    new, dense = NewLevelRows.of(rows, widths), []
    for d in range(4):
        G = np.zeros((rows.new.shape[1],) * 2)
        at = 0
        for level in rows.new_levels:
            k = widths[level.term]
            G[at : at + k, at : at + k] = factors[level.term][d] @ factors[level.term][d].T
            at += k
        dense.append(rows.new.toarray() @ G @ rows.new.toarray().T)
    np.testing.assert_allclose(new.variances(factors), [np.diag(c) for c in dense], rtol=1e-10)
    np.testing.assert_allclose(new.covariance([F[2] @ F[2].T for F in factors]), dense[2], rtol=1e-10, atol=1e-12)
    draws = new.draws([np.repeat(F, 5000, axis=0) for F in factors], np.random.default_rng(8))
    for d in range(4):
        assert_covariance(draws[5000 * d : 5000 * (d + 1)], dense[d])


def test_where_theta_is_not_known_unseen_levels_have_the_covariance_of_each_of_its_values(fit):
    """The mean over theta of z_i' Sigma z_j within a level, on top of what levels that are known have."""
    frame, data = unseen(9, 12), fit.design.frame
    fit = lmer("y ~ x + w + (1 | f) + (1 + x | h)", data.assign(y=fit.design.y).head(300))
    full = fit.with_uncertainty("full")
    new, known = (full.apply(full.design_for(frame, new_levels=how)) for how in ("sample", "population"))
    nodes = new.theta()
    expected = np.zeros((12, 12))
    for t, term in enumerate(fit.design.random):
        names = COLUMNS[term.label]
        z = np.column_stack([np.ones(12) if c == "Intercept" else frame[c] for c in names])
        F = nodes.at.factors(t)
        level = frame[term.label].to_numpy()
        Sigma = np.einsum("k,kab,kcb->ac", nodes.weights, F, F)
        # Twenty-five levels know their standard deviations to a sixth or so, eight to a third.
        np.testing.assert_allclose(np.sqrt(np.diag(Sigma)), np.sqrt(np.diag(covariance(fit, term.label))), rtol=0.5)
        expected += (z @ Sigma @ z.T) * (level[:, None] == level)
    mixture = nodes.covariance(new.functional)
    np.testing.assert_allclose(mixture - nodes.covariance(known.functional), expected, rtol=1e-7, atol=1e-9)
    means, variances = nodes.moments(new.functional)
    centred = means - nodes.weights @ means
    total = nodes.weights @ variances + nodes.weights @ centred**2
    np.testing.assert_allclose(total, np.diag(mixture), rtol=1e-7)
    draws = nodes.draws(new.functional, 20_000, np.random.default_rng(10))
    # A mixture of normal distributions with heavier tails than one: its covariances scatter half as much again.
    assert_covariance(draws, mixture, errors=7.5)
