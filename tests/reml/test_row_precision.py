"""Rows of unequal, known or correlated errors: every question against dense matrices, for every kind of precision.

The oracle forms the covariance of y, S = sigma^2 (Z T T'Z' + V), and works from textbook formulas alone.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, optimize, sparse

import mixedfx as mx
from mixedfx.design.precision import Correlated, Independent, read_covariance
from mixedfx.errors import DataError, MixedfxWarning, ModelError, OptionError

REFERENCE = Path(__file__).parents[1] / "reference" / "meta"
N, STUDIES = 36, 9
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def covariance(rng, kind):
    """(n, n) covariance of sampling errors: in blocks by study, in blocks across studies, or all connected."""
    sd = rng.uniform(0.15, 0.5, N)
    block = {"by study": np.repeat(np.arange(STUDIES), 4), "across": np.arange(N) % 5, "full": np.zeros(N, dtype=int)}
    same = block[kind][:, None] == block[kind]
    rho = 0.5 if kind != "full" else 0.3
    return np.outer(sd, sd) * np.where(np.eye(N, dtype=bool), 1.0, rho * same)


@dataclass
class Case:
    """A fit, and what the oracle needs: V relative to sigma^2, and sigma where it is known."""

    fit: object
    data: pd.DataFrame
    V: np.ndarray
    options: dict
    formula: str

    @property
    def Z(self):
        """Dense Z times the relative factors, (n, q)."""
        parts = []
        for term, T in zip(self.fit.design.random, self.fit.solution.factors, strict=True):
            Z = np.zeros((N, term.n_levels, term.n_columns))
            Z[np.arange(N), term.codes] = term.z @ T
            parts.append(Z.reshape(N, -1))
        return np.hstack(parts)

    @property
    def S(self):
        """Covariance of y at the estimate."""
        return self.fit.sigma**2 * (self.Z @ self.Z.T + self.V)


def made(kind, formula, seed=1, REML=True, sigma=None):
    rng = np.random.default_rng(seed)
    study, row, lab = np.repeat(np.arange(STUDIES), 4), np.arange(N), np.arange(N) % 6
    V, options, left = np.eye(N), {}, "y"
    data = pd.DataFrame({"x": rng.normal(size=N), "study": study, "row": row, "lab": lab})
    if kind == "weights":
        data["w"] = rng.gamma(3.0, size=N)
        V, options = np.diag(1 / data["w"]), {"weights": "w"}
    elif kind == "se":
        data["s"] = rng.uniform(0.15, 0.5, N)
        V, left = np.diag(data["s"] ** 2), "y | se(s)"
    elif kind != "none":
        V = covariance(rng, kind)
        options = {"V": V if seed % 2 else sparse.csr_array(V)}
    noise = np.linalg.cholesky(V) @ rng.normal(size=N)
    slope, own = rng.normal(size=STUDIES), rng.normal(size=(2, N))
    data["y"] = 0.3 + (0.5 + 0.5 * slope[study]) * data["x"] + 0.6 * own[0][study] + 0.3 * own[1] + noise
    data["y"] += 0.4 * rng.normal(size=6)[lab]
    if sigma is not None:
        options["sigma"] = sigma
    formula = f"{left} ~ {formula}"
    return Case(mx.lmer(formula, data, REML=REML, **options), data, V, options, formula)


KINDS = ("none", "weights", "se", "by study", "across", "full")
RANDOM = {
    "study": "x + (1 | study)",
    "slope": "x + (1 + x | study)",
    "row": "x + (1 | row)",
    "crossed": "x + (1 | study) + (1 | lab)",
    "nested": "x + (1 | study) + (1 | row)",
}
# a variance for each row cannot be told from a residual variance
CASES = [(k, r) for k in KINDS for r in RANDOM if not (k in ("none", "weights") and r in ("row", "nested"))]


@pytest.fixture(scope="module", params=CASES, ids=lambda pair: f"{pair[0]}, {pair[1]}")
def case(request):
    return made(request.param[0], RANDOM[request.param[1]])


def dense_criterion(S, X, y, REML):
    L = np.linalg.cholesky(S)
    Xw, yw = (linalg.solve_triangular(L, a, lower=True) for a in (X, y))
    beta = np.linalg.lstsq(Xw, yw, rcond=None)[0]
    residual = yw - Xw @ beta
    value = 2 * np.log(np.diag(L)).sum() + residual @ residual + (len(y) - REML * X.shape[1]) * np.log(2 * np.pi)
    return value + REML * np.linalg.slogdet(Xw.T @ Xw)[1]


def test_criterion_coefficients_modes_and_their_covariances_are_those_of_dense_matrices(case):
    fit, S, X = case.fit, case.S, case.fit.design.X
    y = case.data["y"].to_numpy()
    inverse = np.linalg.inv(S)
    vcov = np.linalg.inv(X.T @ inverse @ X)
    beta = vcov @ X.T @ inverse @ y
    # 36 rows and conditions below 1e4: ten digits are left of products and inverses
    assert fit.criterion == pytest.approx(dense_criterion(S, X, y, True), abs=1e-8)
    np.testing.assert_allclose(fit.fixef, beta, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.vcov, vcov, rtol=1e-8, atol=1e-12)
    ZT = fit.sigma * case.Z
    modes = ZT.T @ inverse @ (y - X @ beta)
    np.testing.assert_allclose(fit.fitted, X @ beta + ZT @ modes, rtol=1e-8, atol=1e-9)
    # joint covariance of errors of rows: fitted values as predictors of X beta + Z u
    G = ZT @ ZT.T
    A = X - G @ inverse @ X
    wanted = A @ vcov @ A.T + G - G @ inverse @ G
    functional = fit.design_for(case.data)
    found = fit.solution.joint.covariance(functional.fixed, functional.random)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-10)


def test_the_estimate_is_a_minimum_over_theta_and_sigma(case):
    fit, X, y = case.fit, case.fit.design.X, case.data["y"].to_numpy()
    base, free = np.concatenate([fit.theta, [1.0]]), fit.design.sigma is None

    def criterion(change):
        from mixedfx.inference.parameters import factors_of

        theta, scale = (base + change)[:-1], (1.0 + change[-1] if free else 1.0)
        moved = Case(fit, case.data, case.V, {}, "")
        parts = []
        for term, T in zip(fit.design.random, factors_of(fit.design, theta), strict=True):
            Z = np.zeros((N, term.n_levels, term.n_columns))
            Z[np.arange(N), term.codes] = term.z @ T
            parts.append(Z.reshape(N, -1))
        ZT = np.hstack(parts)
        return dense_criterion((fit.sigma * scale) ** 2 * (ZT @ ZT.T + moved.V), X, y, True)

    lowest = criterion(np.zeros(len(base)))
    rng = np.random.default_rng(1)
    for _ in range(20):  # 1e-3 of theta is far above where the optimiser stops, 1e-6
        assert criterion(1e-3 * rng.normal(size=len(base))) > lowest - 1e-8


def test_leverage_residuals_and_deletion(case):
    fit, S, X, y = case.fit, case.S, case.fit.design.X, case.data["y"].to_numpy()
    inverse = np.linalg.inv(S)
    P = inverse - inverse @ X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    R = np.linalg.inv(np.linalg.cholesky(case.V))
    if case.fit.design.known_covariance is not None:  # the root is one of many
        R = fit.design.precision.whiten(np.eye(N))
        np.testing.assert_allclose(R @ case.V @ R.T, np.eye(N), atol=1e-10)
    # d fitted / d y: y less the conditional residuals sigma^2 V P y
    np.testing.assert_allclose(fit.leverage(), np.diag(np.eye(N) - fit.sigma**2 * case.V @ P), rtol=1e-6, atol=1e-8)
    pearson = R @ (y - fit.fitted.to_numpy())
    np.testing.assert_allclose(fit.residuals("pearson"), pearson, rtol=1e-7, atol=1e-9)
    marginal = y - X @ fit.fixef.to_numpy()
    sd = np.sqrt(np.diag(S - X @ fit.vcov.to_numpy() @ X.T))
    np.testing.assert_allclose(fit.residuals("marginal_standardized"), marginal / sd, rtol=1e-6)


def test_deleted_rows_are_those_of_generalised_least_squares_without_them(case):
    """theta and sigma held: single rows, rows of one block of errors, rows of several."""
    X, y, S = case.fit.design.X, case.data["y"].to_numpy(), case.S
    projection = case.fit.projection
    changes = projection.changes_of_beta
    for rows in (np.array([3]), np.array([0, 1, 2, 3]), np.array([5, 10, 20])):
        kept = np.setdiff1d(np.arange(N), rows)
        inverse = np.linalg.inv(S[np.ix_(kept, kept)])
        without = np.linalg.solve(X[kept].T @ inverse @ X[kept], X[kept].T @ inverse @ y[kept])
        wanted = case.fit.fixef.to_numpy() - without
        np.testing.assert_allclose(projection.change_of_beta(rows), wanted, rtol=1e-6, atol=1e-9)
        if len(rows) == 1:
            np.testing.assert_allclose(changes[rows[0]], wanted, rtol=1e-6, atol=1e-9)


def test_refits_are_the_fits_of_the_new_responses(case):
    Y = case.fit.simulate(3, seed=2).to_numpy()
    for b, found in enumerate(case.fit.refits(Y).criterion):
        again = mx.lmer(case.formula, case.data.assign(y=Y[:, b]), **case.options)
        assert found == pytest.approx(again.criterion, abs=1e-5)  # both stop within 1e-6 of the minimum


def test_simulated_responses_have_the_covariance_of_the_model(case):
    drawn = case.fit.simulate(20_000, seed=3).to_numpy()
    found = np.cov(drawn)
    root = np.linalg.inv(np.linalg.cholesky(case.S))
    # 36 x 36 entries with errors of 1 / sqrt(20000) = .007: six of them
    assert np.abs(root @ found @ root.T - np.eye(N)).max() < 6 * 0.0071 * np.sqrt(2)


@pytest.mark.parametrize("kind", ["none", "weights", "se", "by study"])
@pytest.mark.parametrize("random", ["study", "slope"])
def test_robust_covariances_are_the_sandwich_of_dense_matrices(kind, random):
    """CR0, by clusters that no errors connect."""
    case = made(kind, RANDOM[random])
    X, inverse = case.fit.design.X, np.linalg.inv(case.S)
    e = case.data["y"].to_numpy() - X @ case.fit.fixef.to_numpy()
    bread = np.linalg.inv(X.T @ inverse @ X)
    scores = np.array([(X.T @ inverse)[:, rows] @ e[rows] for rows in np.split(np.arange(N), STUDIES)])
    found = case.fit.vcov_robust("CR0", cluster="study").vcov
    np.testing.assert_allclose(found, bread @ scores.T @ scores @ bread, rtol=1e-6)


@pytest.mark.parametrize("kind", ["se", "by study", "across"])
@pytest.mark.parametrize("random", ["study", "nested"])
def test_profile_intervals_by_brute_force(kind, random):
    """Of sds and a coefficient, sigma known: the dense deviance minimised over the rest, one sd at its end."""
    case = made(kind, RANDOM[random], REML=False)
    X, y, terms = case.fit.design.X, case.data["y"].to_numpy(), case.fit.design.random
    groups = [(t.codes[:, None] == t.codes) * 1.0 for t in terms]

    def deviance(sds):
        return dense_criterion(case.V + sum(s**2 * g for s, g in zip(sds, groups, strict=True)), X, y, False)

    assert set(case.fit.profile().confint(0.9)["term"]) == {"sd__Intercept", "Intercept", "x"}
    table = case.fit.profile().confint(0.9)
    for t in range(len(terms)):
        end = float(table["conf_high"].iloc[t])

        def rest(others, t=t, end=end):
            sds = list(np.abs(others))
            sds.insert(t, end)
            return deviance(sds)

        start = np.full(len(terms) - 1, 0.3)
        held = (
            optimize.minimize(rest, start, method="Nelder-Mead", options={"xatol": 1e-7}).fun
            if len(start)
            else rest([])
        )
        # the quantile of chi square with one df at 90 %
        assert held - case.fit.criterion == pytest.approx(2.705543, abs=1e-4)


def test_estimated_scale_of_known_errors():
    """sigma="estimate": a factor of all standard errors, found by the dense criterion over both parameters."""
    case = made("by study", RANDOM["nested"], sigma="estimate")
    X, y = case.fit.design.X, case.data["y"].to_numpy()
    groups = [(t.codes[:, None] == t.codes) * 1.0 for t in case.fit.design.random]

    def criterion(log):
        a, b, s = np.exp(2 * log)
        return dense_criterion(s * case.V + a * groups[0] + b * groups[1], X, y, True)

    found = optimize.minimize(criterion, np.log([0.5, 0.3, 1.0]), method="Nelder-Mead", options={"fatol": 1e-10})
    assert case.fit.criterion == pytest.approx(found.fun, abs=1e-6)
    assert case.fit.varcorr["grp"].tolist()[-1] == "Residual"


def test_a_known_residual_standard_deviation_is_no_parameter():
    free, fixed = made("none", RANDOM["study"]), made("none", RANDOM["study"], sigma=0.7)
    assert fixed.fit.sigma == 0.7
    assert fixed.fit.n_parameters == free.fit.n_parameters - 1
    assert fixed.fit.criterion > free.fit.criterion
    assert "fixed at 0.7" in str(fixed.fit.summary())
    assert "Residual" not in set(fixed.fit.varcorr["grp"])
    same = mx.lmer(free.formula, free.data, sigma=free.fit.sigma)
    assert same.criterion == pytest.approx(free.fit.criterion, abs=1e-6)
    assert fixed.fit.tidy(ddf="normal")["df"].eq(np.inf).all()


def test_without_random_terms_it_is_generalised_least_squares():
    for kind in ("se", "by study", "full"):
        case = made(kind, "x")
        X, y = case.fit.design.X, case.data["y"].to_numpy()
        inverse = np.linalg.inv(case.V)
        vcov = np.linalg.inv(X.T @ inverse @ X)
        np.testing.assert_allclose(case.fit.vcov, vcov, rtol=1e-9)
        np.testing.assert_allclose(case.fit.fixef, vcov @ X.T @ inverse @ y, rtol=1e-9)
        assert case.fit.criterion == pytest.approx(dense_criterion(case.V, X, y, True), abs=1e-9)
        z = case.fit.tidy()
        np.testing.assert_array_equal(z["df"], np.inf)
        # one number, one interval: at the rows where x is zero that of the intercept
        at_zero = case.fit.predict(pd.DataFrame({"x": [0.0]}), interval="confidence").iloc[0]
        np.testing.assert_allclose(at_zero[["lower", "upper"]].astype(float), z[["conf_low", "conf_high"]].iloc[0])
        low = case.fit.profile("x").confint(0.95)
        wanted = case.fit.fixef["x"] + np.array([-1, 1]) * 1.959964 * np.sqrt(vcov[1, 1])
        np.testing.assert_allclose(low[["conf_low", "conf_high"]].iloc[0].astype(float), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["se", "by study", "across"])
def test_effects_predictions_and_bootstraps_answer(kind):
    """With a factor that only holds a place (`across` and rows), too; means do not depend on the way they are asked."""
    case = made(kind, RANDOM["nested"])
    answer = mx.effects(case.fit, "x", by="study").table
    np.testing.assert_allclose(answer["estimate"], case.fit.fixef["x"], rtol=1e-9)
    again = mx.effects(case.fit, "x", uncertainty="given theta").table
    assert again["sd"].iloc[0] == pytest.approx(np.sqrt(case.fit.vcov.loc["x", "x"]), rel=1e-6)
    table = case.fit.predict(interval="prediction", uncertainty=["beta", "u", "residual"])
    mean = case.fit.predict(interval="confidence", uncertainty=["beta", "u"])
    np.testing.assert_allclose(table["se"] ** 2 - mean["se"] ** 2, np.diag(case.V), rtol=1e-6)
    found = case.fit.bootstrap(20, seed=1)
    assert np.isfinite(found.confint()[["conf_low", "conf_high"]].to_numpy()).all()
    residual = case.fit.bootstrap(20, "residual", seed=1)
    assert np.isfinite(residual.values).all()


def test_new_rows_need_their_errors_for_prediction_only():
    case = made("se", RANDOM["study"])
    new = pd.DataFrame({"x": [0.0], "study": [0]})
    case.fit.predict(new, interval="confidence")
    with pytest.raises(DataError, match="no column 's'"):
        case.fit.predict(new, interval="prediction")
    wide, narrow = (
        case.fit.predict(new.assign(s=s), interval="prediction", uncertainty=["beta", "u", "residual"])["se"].iloc[0]
        for s in (1.0, 0.1)
    )
    assert wide**2 - narrow**2 == pytest.approx(1.0 - 0.01, rel=1e-8)
    correlated = made("by study", RANDOM["study"])
    with pytest.raises(DataError, match="covariance V is that of the fit's own rows"):
        correlated.fit.predict(new, interval="prediction")


def test_rows_in_another_order_and_rows_left_out_keep_their_errors():
    case = made("across", RANDOM["nested"])
    order = np.random.default_rng(1).permutation(N)
    V = case.V[np.ix_(order, order)]
    moved = mx.lmer(case.formula, case.data.iloc[order], V=V)
    assert moved.criterion == pytest.approx(case.fit.criterion, abs=1e-7)
    holes = case.data.assign(x=case.data["x"].where(case.data.index % 7 != 3))
    kept = holes["x"].notna().to_numpy()
    some = mx.lmer(case.formula, holes, V=case.V)
    alone = mx.lmer(case.formula, holes[kept], V=case.V[np.ix_(kept, kept)])
    assert some.criterion == pytest.approx(alone.criterion, abs=1e-9)
    with pytest.raises(DataError, match="28 by 28"):
        mx.lmer(case.formula, case.data, V=case.V[:28, :28])


def test_variances_alone_are_known_standard_errors():
    case = made("se", RANDOM["nested"])
    variances = case.data["s"].to_numpy() ** 2
    for V in (variances, np.diag(variances), sparse.diags_array(variances)):
        found = mx.lmer("y ~ x + (1 | study) + (1 | row)", case.data, V=V)
        assert found.criterion == case.fit.criterion


def test_what_is_no_covariance_is_refused():
    V = covariance(np.random.default_rng(1), "by study")
    rows = np.arange(N)
    bad = V.copy()
    bad[3, 2] = 9.0
    with pytest.raises(DataError, match="not symmetric"):
        read_covariance(bad, N, rows)
    bad = V.copy()
    bad[5, 5] = 0.0
    with pytest.raises(DataError, match="no variance to row 5"):
        read_covariance(bad, N, rows)
    bad = V.copy()
    bad[4, 4] = np.nan
    with pytest.raises(DataError, match="missing or infinite in row 4"):
        read_covariance(bad, N, rows)
    ones = np.ones((N, N))
    with pytest.raises(DataError, match="not positive definite"):
        read_covariance(ones, N, rows)
    data = made("se", RANDOM["study"]).data
    with pytest.raises(ModelError, match=r"so does se\(...\)"):
        mx.lmer("y | se(s) ~ x + (1 | study)", data, V=V)
    with pytest.raises(ModelError, match="so does weights="):
        mx.lmer("y ~ x + (1 | study)", data, V=V, weights=np.ones(N))
    for sigma in (0, -1.0, "free", True, np.nan, np.inf):
        with pytest.raises(OptionError, match="residual standard deviation"):
            mx.lmer("y ~ x + (1 | study)", data, sigma=sigma)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from(["none", "weights", "blocks"]))
def test_the_verbs_of_a_precision(seed, n, kind):
    rng = np.random.default_rng(seed)
    block = rng.integers(0, 4, n)
    V = np.diag(rng.gamma(2.0, size=n)) + 0.5 * (block[:, None] == block)
    if kind == "blocks":
        precision = Correlated(sparse.csr_array(V))
    else:
        weights = None if kind == "none" else 1 / np.diag(V)
        precision, V = Independent(n, weights), np.eye(n) if weights is None else np.diag(np.diag(V))
    a, B = rng.normal(size=n), rng.normal(size=(n, 3))
    inverse = np.linalg.inv(V)
    np.testing.assert_allclose(precision.whiten(a) @ precision.whiten(B), a @ inverse @ B, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(precision.unwhiten(precision.whiten(B)), inverse @ B, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(precision.color(precision.whiten(B)), B, rtol=1e-8, atol=1e-10)
    thin = sparse.csr_array(B * (B > 0))
    np.testing.assert_allclose(precision.whiten(thin).toarray(), precision.whiten(thin.toarray()), atol=1e-12)
    assert precision.log_determinant == pytest.approx(np.linalg.slogdet(inverse)[1], abs=1e-8)
    np.testing.assert_allclose(precision.variances, np.diag(V))
    rows = rng.permutation(n)[: max(n // 2, 1)]
    np.testing.assert_allclose(precision.covariance(rows), V[np.ix_(rows, rows)])
    np.testing.assert_allclose(precision.take(rows).covariance(np.arange(len(rows))), V[np.ix_(rows, rows)])
    if precision.within(block):
        assert precision.log_determinants(block, 4).sum() == pytest.approx(precision.log_determinant, abs=1e-9)


def test_a_block_drawn_twice_is_two_blocks():
    V = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    taken = Correlated(sparse.csr_array(V)).take(np.array([0, 1, 2, 0, 1]))
    wanted = linalg.block_diag(V, V[:2, :2])
    np.testing.assert_array_equal(taken.covariance(np.arange(5)), wanted)


# --- metafor ----------------------------------------------------------------------------------------------------------

MODELS = {
    ("konstantopoulos2011", "rma yi,vi REML"): "yi | se(s) ~ 1 + (1 | study)",
    ("konstantopoulos2011", "rma.mv ~1|district/school"): "yi | se(s) ~ 1 + (1 | district / school)",
    ("konstantopoulos2011", "rma with year moderator"): "yi | se(s) ~ center(year) + (1 | study)",
    ("assink2016", "~1|study/esid"): "yi | se(s) ~ 1 + (1 | study / esid)",
    ("assink2016", "mods pubstatus+year"): "yi | se(s) ~ pubstatus + year + (1 | study / esid)",
}


@pytest.fixture(scope="module")
def metafor():
    return json.loads((REFERENCE / "meta.json").read_text())


def fit_of(name, model, **options):
    data = pd.read_csv(REFERENCE / f"{name}.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.lmer(MODELS[name, model], data.assign(s=np.sqrt(data["vi"])), **options)


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_meta_analyses_are_those_of_metafor(metafor, name, model):
    """Both stop within 1e-9 of the largest likelihood, which is 1e-5 of a variance; metafor's has |X'X| beside."""
    fit, wanted = fit_of(name, model), metafor[name][model]
    # terms of `a / b` come with the interaction last, metafor's sigma2 with the outer level first
    np.testing.assert_allclose(fit.varcorr["vcov"], wanted["variances"], rtol=1e-5)
    np.testing.assert_allclose(fit.fixef, wanted["estimate"], rtol=2e-6)
    np.testing.assert_allclose(fit.tidy()["std_error"], wanted["se"], rtol=5e-6)
    X = fit.design.X
    loglik = fit.loglik + 0.5 * np.linalg.slogdet(X.T @ X)[1]
    assert loglik == pytest.approx(wanted["logLik"], abs=1e-9)
    assert "known" in str(fit.summary())


@pytest.mark.parametrize(
    ("name", "model", "robust", "cluster"),
    [
        ("konstantopoulos2011", "rma.mv ~1|district/school", "CR2 Satterthwaite of nested", "district"),
        ("assink2016", "mods pubstatus+year", "mods CR2", "study"),
    ],
)
def test_robust_standard_errors_are_those_of_clubsandwich(metafor, name, model, robust, cluster):
    fit, wanted = fit_of(name, model), metafor[name][robust]
    table = fit.tidy(vcov=fit.vcov_robust("CR2", cluster=cluster))
    np.testing.assert_allclose(table["std_error"], wanted["se"], rtol=1e-5)
    np.testing.assert_allclose(table["df"], wanted["df"], rtol=1e-4)


def test_covariances_of_pandas_are_aligned_by_their_index():
    case = made("across", RANDOM["nested"])
    names = [f"effect {i}" for i in range(N)]
    data = case.data.set_axis(pd.Index(names))
    V = pd.DataFrame(case.V, index=names, columns=names)
    order = np.random.default_rng(2).permutation(N)
    for one in (V, V.iloc[order], V.iloc[:, order], V.iloc[order, order[::-1]]):
        assert mx.lmer(case.formula, data, V=one).criterion == pytest.approx(case.fit.criterion, abs=1e-9)
    variances = pd.Series(np.diag(case.V), index=names)
    wanted = mx.lmer(case.formula, data, V=np.diag(case.V)).criterion
    assert mx.lmer(case.formula, data, V=variances.iloc[order]).criterion == pytest.approx(wanted, abs=1e-9)
    with pytest.raises(DataError):
        mx.lmer(case.formula, data, V=V.set_axis([f"other {i}" for i in range(N)]))


def test_clusters_that_errors_connect_are_refused():
    case = made("across", RANDOM["study"])
    with pytest.raises(OptionError, match="different clusters of study"):
        case.fit.vcov_robust("CR2", cluster="study")
    with pytest.raises(OptionError, match="not independent"):
        case.fit.bootstrap(5, "cluster", cluster="study", seed=1)
    whole = made("by study", RANDOM["study"]).fit.bootstrap(5, "cluster", seed=1)
    assert np.isfinite(whole.values).all()
