"""What the page computes in the browser, in NumPy: it reads the page's own data, and shares no code with the package.

Distributions are SciPy's, quantiles NumPy's; the formulas are those of `mixedfx/explorer/web/laws.js`, `rubin.js` and
`raw.js`.
"""

import base64
import json
import re

import numpy as np
from scipy import optimize, special, stats

KINDS = {"f8": "<f8", "f4": "<f4", "u2": "<u2", "u1": "u1"}
INVERSES = {
    "log": np.exp,
    "log2": np.exp2,
    "log10": lambda x: 10.0**x,
    "log1p": np.expm1,
    "sqrt": lambda x: np.maximum(x, 0) ** 2,
    "logit": special.expit,
}
COMPARISONS = {
    "difference": lambda high, low: high - low,
    "ratio": lambda high, low: high / low,
    "lnratio": lambda high, low: np.log(high / low),
    "lift": lambda high, low: 100 * (high / low - 1),
    "odds_ratio": lambda high, low: high / (1 - high) * (1 - low) / low,
}


def data_of(page):
    """The JSON inside a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def numbers(packed, shape=None):
    values = np.frombuffer(base64.b64decode(packed["base64"]), KINDS[packed["kind"]]).astype(np.float64)
    return values if shape is None else values.reshape(shape)


def undo(steps, value):
    for name, *arguments in steps or []:
        value = arguments[0] + arguments[1] * value if name == "affine" else INVERSES[name](value)
    return value


class Twin:
    """A page as its reader's browser sees it."""

    def __init__(self, page, population=0):
        self.data = data_of(page)
        self.columns = self.data["columns"]
        found = self.data["populations"][population]
        self.n, self.weight = numbers(found["n"]), numbers(found["weight"])
        self.s = len(self.n)
        self.codes = numbers(found["codes"], (self.s, len(self.columns))).astype(int)
        self.law = found["law"]
        drawn = self.law["draws"]
        steps = numbers(drawn["steps"], (-1, drawn["count"]))
        self.draws = (numbers(drawn["low"])[:, None] + numbers(drawn["step"])[:, None] * steps).T
        self.draws = self.draws.reshape(drawn["count"], -1, self.s)
        # of each data set, where cells weigh differently in them
        self.set_weights = None if found["weights"] is None else numbers(found["weights"], (-1, self.s))
        self.exact = self.law["exact"] is not None or self.law["pooled"] is not None

    def members(self, codes, only):
        """Which of some cells hold the levels that are ticked, ``{"race": ["Black"]}``."""
        inside = np.ones(len(codes), dtype=bool)
        for k, column in enumerate(self.columns):
            if column["name"] in only:
                inside &= np.isin(codes[:, k], [column["keys"].index(key) for key in only[column["name"]]])
        return inside

    def weights(self, only, m):
        """(m, cells) what cells weigh in each of m data sets."""
        every = np.tile(self.weight, (m, 1)) if self.set_weights is None else self.set_weights
        w = np.where(self.members(self.codes, only), every, 0.0)
        return w / w.sum(axis=1, keepdims=True)

    def answer(self, only, series=0, level=0.95, threshold=0.0, less=None):
        """Estimate, lower, upper and the probability of more than the threshold."""
        law, rule = self.law, self.law["rule"]
        m = law["sets"] if law["pooled"] is None else law["pooled"]["sets"]
        W = self.weights(only, m) - (0.0 if less is None else self.weights(less, m))
        w = W[0]
        if rule is not None:
            draws = self._apart([self._compared(draws, w, series, rule) for draws, w in self._sets(W)])
            return np.median(draws), *np.quantile(draws, _ends(level)), np.mean(draws > threshold)
        if law["pooled"] is not None:
            estimate, known = self._pooled(law["pooled"], series, W)
            (lower, upper), above = known.ppf(_ends(level)), known.sf
        elif m > 1:
            estimate = np.mean(np.sum(numbers(law["means"], (m, -1, self.s))[:, series] * W, axis=1))
            draws = self._apart([draws[:, series] @ w for draws, w in self._sets(W)])
            lower, upper = np.quantile(draws, _ends(level))
            above = lambda x: np.mean(draws > x)  # noqa: E731
        else:
            estimate, lower, upper, above = self._of_one(series, w, level)
        curve = law["curve"]
        if curve is None:
            return estimate, lower, upper, above(threshold)
        ends = [float(undo(curve, np.float64(v))) for v in (estimate, lower, upper)]
        at = optimize.brentq(lambda x: float(undo(curve, np.float64(x))) - threshold, estimate - 50, estimate + 50)
        return *ends, above(at)

    def _sets(self, W):
        """Draws of each data set with its weights."""
        return zip(np.split(self.draws, len(W)), W, strict=True)

    def _apart(self, draws):
        """Draws of all data sets with the variance of Rubin's rules."""
        m = len(draws)
        if m == 1:
            return draws[0]
        means = [one.mean() for one in draws]
        further = np.sqrt((m + 1) / (m - 1)) - 1
        return np.concatenate([one + further * (mean - np.mean(means)) for one, mean in zip(draws, means, strict=True)])

    def _pooled(self, pooled, series, W):
        """Rubin's rules with Barnard and Rubin's degrees of freedom."""
        m, used = pooled["sets"], (W != 0).any(axis=0)
        i, j = np.triu_indices(self.s)
        random = numbers(pooled["random"], (m, -1, self.s))[:, series][:, used].any(axis=1)
        means = np.sum(numbers(pooled["means"], (m, -1, self.s))[:, series] * W, axis=1)
        pairs = np.where(i == j, 1.0, 2.0) * W[:, i] * W[:, j]
        J = len(numbers(pooled["random"])) // m // self.s
        v, complete = np.empty(m), np.full(m, np.inf)
        for k in range(m):
            v[k] = numbers(pooled["mixed" if random[k] else "fixed"], (m, J, -1))[k, series] @ pairs[k]
            if not random[k]:
                D = numbers(pooled["derivatives"], (m, J, pooled["directions"], -1))[k, series]
                inverse = (0.0 if pooled["nu"][k] is None else 1 / pooled["nu"][k]) + np.sum((D @ pairs[k]) ** 2) / v[
                    k
                ] ** 2
                complete[k] = 1 / inverse if inverse else np.inf
        added = (1 + 1 / m) * means.var(ddof=1)
        total = v.mean() + added
        share, com = added / total, complete.mean()
        inverse = share**2 / (m - 1)
        inverse += 0.0 if np.isinf(com) else (com + 3) / (com + 1) / com / (1 - share)
        return means.mean(), stats.t(1 / inverse if inverse else np.inf, means.mean(), np.sqrt(total))

    def _of_one(self, series, w, level):
        law = self.law
        estimate = numbers(law["means"], (-1, self.s))[series] @ w
        if law["exact"] is None:
            draws = self.draws[:, series] @ w
            lower, upper = np.quantile(draws, _ends(level))
            above = lambda x: np.mean(draws > x)  # noqa: E731
        else:
            lower, upper, above = self._exact(law["exact"], series, w, estimate, level)
        return estimate, lower, upper, above

    def _compared(self, draws, w, series, rule):
        K = rule["categories"]
        pair, k = rule["pairs"][series // K], series % K
        high, low = (undo(rule["back"], draws[:, v * K + k] @ w) for v in pair)
        return COMPARISONS[rule["name"]](high, low)

    def _exact(self, exact, series, w, estimate, level):
        J = len(numbers(exact["random"])) // self.s
        i, j = np.triu_indices(self.s)
        pairs = np.where(i == j, 1.0, 2.0) * w[i] * w[j]
        used = w != 0
        if numbers(exact["random"], (J, self.s))[series][used].any():
            K, R = exact["nodes"], exact["rank"]
            weights = numbers(exact["weights"])
            means = numbers(exact["means"], (J, K, self.s))[series] @ w
            basis = numbers(exact["basis"], (J, R, -1))[series] @ pairs
            variance = numbers(exact["loadings"], (J, K, R))[series] @ basis
            sds = np.sqrt(variance + (numbers(exact["gap"], (J, self.s))[series] @ w) ** 2)
            means = means + estimate - weights @ means
            above = lambda x: weights @ special.ndtr((means - x) / sds)  # noqa: E731
            wide = 60 * sds.max()
            ends = [optimize.brentq(lambda x, q=q: 1 - above(x) - q, estimate - wide, estimate + wide, xtol=1e-12)
                    for q in _ends(level)]  # fmt: skip
            return *ends, above
        v = numbers(exact["cov"], (J, -1))[series] @ pairs
        g = numbers(exact["derivatives"], (J, exact["directions"], len(i)))[series] @ pairs
        inverse = (0.0 if exact["nu"] is None else 1 / exact["nu"]) + (g @ g) / v**2
        known = stats.t(1 / inverse if inverse else np.inf, estimate, np.sqrt(v))
        return *known.ppf(_ends(level)), known.sf

    def raw(self, only, series=0):
        """Raw estimate, its standard error, and the rows that it rests on."""
        every = np.array([self._raw(raw, only, series) for raw in self.data["raw"]])
        if len(every) == 1:
            return tuple(every[0])
        estimate, se, n = every.T
        total = np.mean(se**2) + (1 + 1 / len(every)) * estimate.var(ddof=1)
        return estimate.mean(), np.sqrt(total), n.mean()

    def _raw(self, raw, only, series):
        cells, K = raw["cells"], raw["categories"]
        inside = self.members(numbers(raw["codes"], (cells, len(self.columns))).astype(int), only)
        count, sw, swy, swyy = (numbers(raw[name], (-1, K, cells)) @ inside for name in ("count", "sw", "swy", "swyy"))
        k = series % K
        if raw["slope"] is not None:
            swx, swxx, swxy = (numbers(raw["slope"][name], (K, cells))[k] @ inside for name in ("swx", "swxx", "swxy"))
            n, sw, swy, swyy, factor = count[0, k], sw[0, k], swy[0, k], swyy[0, k], raw["slope"]["factor"]
            spread = swxx - swx**2 / sw
            slope = (swxy - swx * swy / sw) / spread
            error = 1.0 if raw["errors"] == "known" else (swyy - swy**2 / sw - slope**2 * spread) / (n - 2)
            return factor * slope, abs(factor) * np.sqrt(error / spread), n
        mean = raw["centre"] + swy[:, k] / sw[:, k]
        if raw["errors"] == "shares":
            se = np.sqrt(mean * (1 - mean) / sw[:, k])
        else:
            se = np.sqrt((swyy[:, k] - swy[:, k] ** 2 / sw[:, k]) / (count[:, k] - 1) / sw[:, k])
        high, low = raw["pairs"][series // K]
        return mean[high] - mean[low], np.hypot(se[high], se[low]), count[high, k] + count[low, k]


def _ends(level):
    return np.array([0.5 - level / 2, 0.5 + level / 2])
