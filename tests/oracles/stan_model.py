"""Log density of the hierarchical models that Stan programs are generated for, from the definition of the model.

    y_i ~ family(mean g^-1(eta_i), auxiliary parameters)
    eta = alpha + (X - mean X) beta + offset + sum over terms of z_i' u[level of i]
    u_j = D L s_j,  s_j ~ N(0, I)            (or, centred, u_j ~ N(0, D L L' D) itself),  D = diag(standard deviations)

where the covariates z of a term but the first, its constant, are less their means if its priors hold there. Without an
intercept X is not centred; thresholds of an ordinal response take the place of alpha. A categorical response has one
such eta for each category but the first, with parameters of its own.

A model is given in plain terms: arrays, and priors as tuples such as ``("student_t", 3, 0, 2.5)``. A point is a mapping
from names of parameters to values on their own scale; the names are those of the generated programs. Distributions
come from scipy.stats, never from `mixedfx`. `log_density` is that of the point on Stan's unconstrained scale: log
density of the parameters plus the log Jacobian of Stan's transforms,

    x > a            log(x - a)                                   0 < x < 1     log x + log(1 - x)
    ordered          sum of log(x_k - x_{k-1})                    simplex       sum of log x_k  (isometric log-ratio)
    Cholesky factor  sum over i > j of log(1 - z_ij^2) + log(1 - sum_{k<j} L_ik^2) / 2, z_ij the partial correlation
                     L_ij / (1 - sum_{k<j} L_ik^2)^{1/2}

Additive constants, such as the Jacobians of offsets and multipliers that are data, are not kept track of: compare
differences between points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import special, stats

Prior = tuple
"""``("normal", loc, scale)``, ``("student_t", df, loc, scale)``, ``("exponential", rate)``, ``("gamma", shape, rate)``,
``("inv_gamma", shape, scale)``, ``("flat",)``, ``("share", unit)`` of the sparse prior; for all standard deviations
of a term ``("decov", concentration, shape, scale)``."""


@dataclass(frozen=True)
class Term:
    """One random term: levels of the rows, covariates (n, k), priors of its k standard deviations, LKJ parameter.

    `alike`: any two effects have one correlation (equal), or neighbours, whose powers are those of others (serial);
    `shared`: all have one standard deviation; `relation`: known correlations of the levels. `at_means`: whether the
    priors of standard deviations are of effects where the covariates are at their means; the first is the constant.
    """

    codes: np.ndarray
    z: np.ndarray
    correlated: bool
    centred: bool
    sd: tuple
    eta: float = 1.0
    at_means: bool = False
    alike: str = ""
    shared: bool = False
    relation: np.ndarray | None = None

    @property
    def shape(self):
        """Levels and columns."""
        return int(self.codes.max()) + 1, self.z.shape[1]

    @property
    def decov(self):
        """Whether one decov prior is that of all standard deviations."""
        return self.sd[0] == "decov"


@dataclass(frozen=True)
class Model:
    """A model in plain terms; X without the intercept's column."""

    family: str
    link: str
    y: np.ndarray
    X: np.ndarray
    intercept: bool
    alpha: Prior | None
    beta: tuple
    terms: tuple = ()
    auxiliary: Mapping[str, Prior] = field(default_factory=dict)
    sparse: Mapping[str, float] | None = None
    offset: np.ndarray | float = 0.0
    weights: np.ndarray | None = None
    known_sd: np.ndarray | None = None
    trials: np.ndarray | None = None
    categories: int = 0
    zero: "Model | None" = None

    @property
    def shares(self):
        """Units of the quantities under the sparse prior: coefficients first, then standard deviations."""
        sds = [sd for term in self.terms if not term.decov for sd in term.sd]
        return np.array([prior[1] for prior in (*self.beta, *sds) if prior[0] == "share"])

    @property
    def residual(self):
        """What stands for sigma where there is none: 1, or the root mean square of known standard deviations."""
        return 1.0 if self.known_sd is None else float(np.sqrt(np.mean(self.known_sd**2)))


# --- densities --------------------------------------------------------------------------------------------------------


def prior_density(prior, x):
    """Sum of the log densities of the elements of x."""
    kind, *numbers = prior
    if kind == "flat":
        return 0.0
    if kind == "normal":
        return stats.norm.logpdf(x, *numbers).sum()
    if kind == "student_t":
        return stats.t.logpdf(x, *numbers).sum()
    if kind == "exponential":
        return stats.expon.logpdf(x, scale=1 / numbers[0]).sum()
    if kind == "gamma":
        return stats.gamma.logpdf(x, numbers[0], scale=1 / numbers[1]).sum()
    assert kind == "inv_gamma"
    return stats.invgamma.logpdf(x, numbers[0], scale=numbers[1]).sum()


CUMULATED = {"logit": stats.logistic, "probit": stats.norm, "cauchit": stats.cauchy, "cloglog": stats.gumbel_l}
"""Link of a probability -> the distribution whose distribution function is its inverse."""


def mean_of(link, eta):
    """Mean for a linear predictor."""
    if link in CUMULATED:
        return CUMULATED[link].cdf(eta)
    return {"identity": lambda x: x, "log": np.exp, "inverse": lambda x: 1 / x, "sqrt": np.square}[link](eta)


def likelihood(model, eta, values, zeta=None):
    """Log density of the response; eta (n,), for categorical (n, K - 1); zeta (n,) of the zeros of counts."""
    y, link, family = model.y, model.link, model.family
    if family == "categorical":
        logits = np.column_stack([np.zeros(len(y)), eta])
        return np.sum(logits[np.arange(len(y)), y.astype(int)] - special.logsumexp(logits, axis=1))
    if family == "cumulative":
        known, edges = CUMULATED[link], np.concatenate([[-np.inf], values["cut"], [np.inf]])
        lower, upper = edges[y.astype(int)] - eta, edges[y.astype(int) + 1] - eta
        right = known.sf(lower) - known.sf(upper)
        return np.log(np.where(lower > 0, right, known.cdf(upper) - known.cdf(lower))).sum()
    if family in ("bernoulli", "binomial"):
        m, known = (1.0 if family == "bernoulli" else model.trials), CUMULATED[link]
        return np.sum(y * known.logcdf(eta) + (m - y) * known.logsf(eta))
    if model.zero is not None:
        return with_zeros(model, eta, zeta, values)
    mu = mean_of(link, eta)
    if family in ("gaussian", "student"):
        scale = model.known_sd if model.known_sd is not None else values["sigma"]
        scale = scale if model.weights is None else scale / np.sqrt(model.weights)
        known = stats.norm(mu, scale) if family == "gaussian" else stats.t(values["nu"], mu, scale)
        return known.logpdf(y).sum()
    if family == "lognormal":
        return stats.lognorm.logpdf(y, values["sigma"], scale=np.exp(mu)).sum()
    if family == "poisson":
        return stats.poisson.logpmf(y, mu).sum()
    if family == "negbinomial":
        return stats.nbinom.logpmf(y, values["shape"], values["shape"] / (values["shape"] + mu)).sum()
    if family == "nbinom1":
        return stats.nbinom.logpmf(y, mu / values["dispersion"], 1 / (1 + values["dispersion"])).sum()
    if family == "beta_binomial":
        m = np.broadcast_to(model.trials, y.shape).astype(int)
        return stats.betabinom.logpmf(y, m, mu * values["phi"], (1 - mu) * values["phi"]).sum()
    if family == "truncated_poisson":
        return (stats.poisson.logpmf(y, mu) - np.log(stats.poisson.sf(0, mu))).sum()
    if family == "truncated_negbinomial":
        known = stats.nbinom(values["shape"], values["shape"] / (values["shape"] + mu))
        return (known.logpmf(y) - np.log(known.sf(0))).sum()
    if family == "tweedie":
        return tweedie(y, mu, values["dispersion"], values["power"])
    if family == "gamma":
        return stats.gamma.logpdf(y, values["shape"], scale=mu / values["shape"]).sum()
    assert family == "beta"
    return stats.beta.logpdf(y, mu * values["phi"], (1 - mu) * values["phi"]).sum()


def with_zeros(model, eta, zeta, values):
    """Log density of counts with a model of their zeros: the mixture, or the hurdle, written out row by row."""
    y, mu, pi = model.y, np.exp(eta), special.expit(zeta)
    if "poisson" in model.family:
        counts = stats.poisson(mu)
    elif "nbinom1" in model.family:
        counts = stats.nbinom(mu / values["dispersion"], 1 / (1 + values["dispersion"]))
    else:
        counts = stats.nbinom(values["shape"], values["shape"] / (values["shape"] + mu))
    if model.family.startswith("hurdle"):
        density = np.where(y == 0, pi, (1 - pi) * counts.pmf(y) / counts.sf(0))
    else:
        density = pi * (y == 0) + (1 - pi) * counts.pmf(y)
    return np.log(density).sum()


def tweedie(y, mu, phi, p):
    """Log density: a Poisson number of gamma variables, summed over up to 200 of them."""
    rate, a, scale = mu ** (2 - p) / (phi * (2 - p)), (2 - p) / (p - 1), phi * (p - 1) * mu ** (p - 1)
    total = -rate[y == 0].sum()
    j, some = np.arange(1, 201)[:, None], y > 0
    parts = stats.gamma.pdf(y[some], j * a, scale=scale[some]) * stats.poisson.pmf(j, rate[some])
    return total + np.log(parts.sum(axis=0)).sum()


# --- one linear predictor ---------------------------------------------------------------------------------------------


def sparse_scales(model, values):
    """Scales s_k of the quantities under the sparse prior."""
    if "df_slab" in model.sparse:
        c2 = model.sparse["scale_slab"] ** 2 * values["horseshoe_c2"]
        wide = values["horseshoe_tau"] * values["horseshoe_lambda"]
        return model.shares * wide * np.sqrt(c2 / (c2 + wide**2))
    sigma = values.get("sigma", model.residual)
    explained = values["R2"] / (1 - values["R2"])
    return model.shares * sigma * np.sqrt(values["phi_R2"] * explained)


def sparse_density(model, values):
    """Log density of the parameters of the sparse prior."""
    s = model.sparse
    if "df_slab" in s:
        return (
            stats.t.logpdf(values["horseshoe_tau"], s["df_global"], scale=s["scale_global"])
            + stats.t.logpdf(values["horseshoe_lambda"], s["df"]).sum()
            + stats.invgamma.logpdf(values["horseshoe_c2"], s["df_slab"] / 2, scale=s["df_slab"] / 2)
        )
    a, b = s["mean_R2"] * s["prec_R2"], (1 - s["mean_R2"]) * s["prec_R2"]
    division = (s["concentration"] - 1) * np.log(values["phi_R2"]).sum()
    return stats.beta.logpdf(values["R2"], a, b) + division


def coefficients(model, values, scales):
    """Coefficients, and the log density of what they are made from."""
    share = np.array([prior[0] == "share" for prior in model.beta], dtype=bool)
    beta, total = np.zeros(len(share)), 0.0
    if share.any():
        standard = np.asarray(values["std_beta"])
        beta[share] = scales[: share.sum()] * standard
        total += stats.norm.logpdf(standard).sum()
    if not share.all():
        beta[~share] = values["own_beta" if share.any() else "beta"]
        total += sum(prior_density(model.beta[j], beta[j]) for j in np.flatnonzero(~share))
    return beta, total


def standard_deviations(model, t, values, scales, first):
    """Standard deviations of term t, the log density of what they are made from, and the next unused scale."""
    term = model.terms[t]
    k = term.shape[1]
    at, total = str(t + 1), 0.0
    if term.decov:
        _, concentration, shape, scale = term.sd
        sigma, tau = values.get("sigma", 1.0), np.asarray(values[f"tau_{at}"])
        total += stats.gamma.logpdf(tau, shape, scale=scale).sum()
        if term.shared:
            return np.full(k, tau * sigma), total, first
        if term.correlated and k > 1:
            shares = np.asarray(values[f"pi_{at}"])
            total += (concentration - 1) * np.log(shares).sum()
            return tau * sigma * np.sqrt(k * shares), total, first
        return np.atleast_1d(tau * sigma), total, first
    if term.shared:
        sd = float(values[f"one_sd_{at}"])
        return np.full(k, sd), prior_density(term.sd[0], sd), first
    share = np.array([prior[0] == "share" for prior in term.sd])
    sd = np.zeros(k)
    sd[share] = scales[first : first + share.sum()]
    if not share.all():
        sd[~share] = values[f"own_sd_{at}" if share.any() else f"sd_{at}"]
        total += sum(prior_density(term.sd[j], sd[j]) for j in np.flatnonzero(~share))
    return sd, total, first + int(share.sum())


def random_effects(model, t, sd, values):
    """Effects (J, k) of term t and the log density of what they and their correlations are made from."""
    term = model.terms[t]
    J, k = term.shape
    at, total = str(t + 1), 0.0
    L = np.eye(k)
    A = np.eye(J) if term.relation is None else np.linalg.cholesky(term.relation)
    if term.alike == "serial":
        x = float(values[f"x_{at}"])
        L = np.linalg.cholesky((2 * x - 1) ** np.abs(np.subtract.outer(np.arange(k), np.arange(k))))
        total += (term.eta - 1) * np.linalg.slogdet(L @ L.T)[1]
    elif term.alike == "equal":
        x = float(values[f"x_{at}"])
        rho = (k * x - 1) / (k - 1)
        L = np.linalg.cholesky(np.full((k, k), rho) + (1 - rho) * np.eye(k))
        # det(R)^(eta - 1) is x^(eta - 1) (1 - x)^((k - 1)(eta - 1)) times a constant
        total += (term.eta - 1) * (np.log(x) + (k - 1) * np.log1p(-x))
    elif term.correlated and k > 1:
        L = np.asarray(values[f"L_{at}"])
        # det(R)^(eta - 1) for R = L L', times the Jacobian of R -> L, the product of L_ii^(k - i).
        total += 2 * (term.eta - 1) * np.log(np.diag(L)).sum() + (np.arange(k)[::-1] * np.log(np.diag(L))).sum()
    if term.centred:
        u = np.asarray(values[f"u_{at}"]).reshape(J, k)
        covariance = np.diag(sd) @ L @ L.T @ np.diag(sd)
        own = np.linalg.solve(A, u)
        return u, total + np.sum(stats.multivariate_normal.logpdf(own, np.zeros(k), covariance))
    # Columns of a matrix of standard normal effects are levels where they are correlated, rows where they are not.
    standard = np.asarray(values[f"std_u_{at}"])
    standard = standard.T if term.correlated and k > 1 else standard.reshape(J, k)
    return A @ standard @ (np.diag(sd) @ L).T, total + stats.norm.logpdf(standard).sum()


def predictor(model, values):
    """Linear predictor (n,) under one set of parameters, and their log density."""
    scales, total = np.zeros(0), 0.0
    if model.sparse is not None:
        scales = sparse_scales(model, values)
        total += sparse_density(model, values)
    eta = np.zeros(len(model.y)) + model.offset
    if model.intercept:
        eta += values["alpha"]
        total += prior_density(model.alpha, values["alpha"])
    if model.beta:
        beta, density = coefficients(model, values, scales)
        total += density
        centred = model.intercept or model.family == "cumulative"
        eta += (model.X - model.X.mean(axis=0) if centred else model.X) @ beta
    first = sum(prior[0] == "share" for prior in model.beta)
    for t, term in enumerate(model.terms):
        sd, density, first = standard_deviations(model, t, values, scales, first)
        u, effects = random_effects(model, t, sd, values)
        total += density + effects
        z = term.z - (np.append(0.0, term.z[:, 1:].mean(axis=0)) if term.at_means else 0.0)
        eta += (z * u[term.codes]).sum(axis=1)
    return eta, total


# --- the whole --------------------------------------------------------------------------------------------------------


def log_density(model, values, prior_only=False):
    """Log density of a point on Stan's unconstrained scale, up to a constant; without the response if asked."""
    total = log_jacobian(model, values)
    for name, prior in model.auxiliary.items():
        total += prior_density(prior, values[name])
    if model.family == "cumulative":
        total += prior_density(model.alpha, values["cut"])
    if model.family != "categorical":
        eta, density = predictor(model, values)
        zeta = None
        if model.zero is not None:
            zeta, more = predictor(model.zero, of_zeros(model.zero, values))
            density += more
        return total + density + (0.0 if prior_only else likelihood(model, eta, values, zeta))
    parts = [predictor(model, {name: value[c] for name, value in values.items()}) for c in range(model.categories - 1)]
    eta = np.column_stack([part[0] for part in parts])
    total += sum(part[1] for part in parts)
    return total + (0.0 if prior_only else likelihood(model, eta, values))


def zero_name(name):
    """The name of a parameter in the linear predictor of the zeros: beta_zi, sd_zi_1."""
    head, _, last = name.rpartition("_")
    return f"{head}_zi_{last}" if last.isdigit() else f"{name}_zi"


def of_zeros(zero, values):
    """The values of the parameters of the linear predictor of the zeros, by the names of one that stands alone."""
    return {name: values[zero_name(name)] for name in support(zero)}


def support(model):
    """Each parameter of one linear predictor: its shape and its kind of support."""
    found = {}
    share = [prior[0] == "share" for prior in model.beta]
    if model.sparse is not None:
        S = len(model.shares)
        if "df_slab" in model.sparse:
            found |= {"horseshoe_tau": ((), "positive"), "horseshoe_lambda": ((S,), "positive")}
            found["horseshoe_c2"] = ((), "positive")
        else:
            found |= {"R2": ((), "unit"), "phi_R2": ((S,), "simplex")}
    if model.intercept:
        found["alpha"] = ((), "real")
    if any(share):
        found["std_beta"] = ((sum(share),), "real")
    if not all(share):
        found["own_beta" if any(share) else "beta"] = ((len(share) - sum(share),), "real")
    for t, term in enumerate(model.terms, start=1):
        J, k = term.shape
        full = term.correlated and k > 1
        if term.decov:
            found[f"tau_{t}"] = (() if full or k == 1 or term.shared else (k,), "positive")
            if full and not term.shared:
                found[f"pi_{t}"] = ((k,), "simplex")
        elif term.shared:
            found[f"one_sd_{t}"] = ((), "positive")
        elif any(prior[0] != "share" for prior in term.sd):
            own = [prior for prior in term.sd if prior[0] != "share"]
            mixed = len(own) < k
            found[f"own_sd_{t}" if mixed else f"sd_{t}"] = ((len(own),) if mixed or k > 1 else (), "positive")
        if term.alike:
            found[f"x_{t}"] = ((), "unit")
        elif full:
            found[f"L_{t}"] = ((k, k), "correlation")
        effects = (J,) if k == 1 else (J, k)
        found[f"u_{t}" if term.centred else f"std_u_{t}"] = (
            effects[::-1] if full and not term.centred else effects,
            "real",
        )
    return found


def random_point(model, rng):
    """A point with every parameter in its support."""
    categories = model.categories - 1 if model.family == "categorical" else 1
    values = {}
    for name, (shape, kind) in support(model).items():
        drawn = np.array([_random(kind, shape, rng) for _ in range(categories)])
        values[name] = drawn if model.family == "categorical" else drawn[0]
    for name in model.auxiliary:
        values[name] = rng.uniform(0.6, 1.6) + (name == "nu") * 3
        if name == "power":
            values[name] = rng.uniform(1.3, 1.7)
    if model.zero is not None:
        values |= {zero_name(name): value for name, value in random_point(model.zero, rng).items()}
    if model.family == "cumulative":
        values["cut"] = np.cumsum(rng.uniform(0.4, 1.2, model.categories - 1)) - 1.0
    return values


def _random(kind, shape, rng):
    if kind == "real":
        return rng.normal(0, 0.3, shape)
    if kind == "positive":
        return rng.uniform(0.3, 1.4, shape)
    if kind == "unit":
        return rng.uniform(0.2, 0.7)
    if kind == "simplex":
        return rng.dirichlet(np.full(shape[0], 3.0))
    factor = np.tril(rng.normal(size=shape), -1) + rng.uniform(1.0, 3.0) * np.eye(shape[0])
    return factor / np.sqrt((factor**2).sum(axis=1, keepdims=True))


def log_jacobian(model, values):
    """Log Jacobian of the map from Stan's unconstrained scale to the point."""
    total = sum(np.log(values[name] - (name in ("nu", "power"))) for name in model.auxiliary)
    if "power" in model.auxiliary:
        total += np.log(2 - values["power"])
    if model.family == "cumulative":
        total += np.log(np.diff(values["cut"])).sum()
    if model.zero is not None:
        total += log_jacobian(model.zero, of_zeros(model.zero, values))
    for name, (_, kind) in support(model).items():
        x = np.asarray(values[name])
        if kind in ("positive", "simplex"):
            total += np.log(x).sum()
        elif kind == "unit":
            total += np.sum(np.log(x) + np.log1p(-x))
        elif kind == "correlation":
            total += sum(_cholesky_jacobian(L) for L in x.reshape(-1, *x.shape[-2:]))
    return total


def _cholesky_jacobian(L):
    total = 0.0
    for i in range(1, len(L)):
        for j in range(i):
            left = 1 - np.sum(L[i, :j] ** 2)
            total += np.log1p(-(L[i, j] ** 2) / left) + 0.5 * np.log(left)
    return total
