r"""Permutation tests: exact over all rearrangements, or a random sample of them.

Without moderators every estimate could have had the opposite sign if the mean were zero, so that the 2^k signs are
equally likely (Follmann and Proschan 1999, Biometrics 55(3)); with moderators, these could have been found in any order
(Higgins and Thompson 2004, Statistics in Medicine 23(11)), and rows of estimates with their variances are permuted
against rows of X. The test statistic is computed anew for each, tau^2 included, and the p value is the share of
rearrangements whose statistic is at least as large, the one that was seen counted. All are refitted in batches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_count, check_flag, check_option, check_seed
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Statistic = Literal["test", "coefficient"]

EQUAL = 1e-8  # relative: statistics of rearrangements that are the same, differently computed
BATCH = 4096
MOST = 5_000_000  # rearrangements that an exact test goes through


@dataclass(frozen=True, repr=False)
class PermutationTest(Shown):
    """What a permutation test found.

    Attributes
    ----------
    table
        term, estimate, statistic, p_value of each coefficient.
    omnibus
        p value of all moderators together; NaN without moderators.
    exact
        Whether all rearrangements were gone through.
    n
        How many there were.
    """

    table: pd.DataFrame
    omnibus: float
    exact: bool
    n: int

    def content(self) -> SummaryContent:
        """What is shown."""
        kind = "all" if self.exact else "a random sample of"
        facts = [("Rearrangements", f"{kind} {self.n:,}")]
        if not np.isnan(self.omnibus):
            facts.append(("All moderators", f"p = {self.omnibus:.4g}"))
        return SummaryContent("Permutation test", (SummaryFacts(tuple(facts)), frame_table(self.table, "Coefficients")))


def permutation_test(
    fit: RmaState, n: int = 1000, exact: bool | None = None, statistic: Statistic = "test", seed: int | None = None
) -> PermutationTest:
    """Test behind `RmaFit.permutation_test`."""
    check_count("n", n)
    check_seed(seed)
    check_option("statistic", statistic, ("test", "coefficient"))
    if exact is not None:
        check_flag("exact", exact)
    signs = fit.names == ("Intercept",)
    X = fit.data.X
    codes = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    total = 2**fit.k if signs else math.factorial(fit.k) // math.prod(
        math.factorial(int(c)) for c in np.bincount(codes)
    )  # fmt: skip
    everything = total <= n if exact is None else exact
    if everything and total > MOST:
        raise OptionError(
            f"there are {total:.3g} rearrangements, too many for an exact test",
            hint="Use exact=False and n=10000, say.",
        )
    observed = _statistics(fit, np.arange(fit.k)[None], None if not signs else np.ones((1, fit.k)), statistic)
    counts, done = np.zeros(fit.p + 1), 0
    batches = _batches(fit, codes, signs) if everything else _random(fit, signs, n - 1, seed)
    for batch in batches:
        order, sign = (np.arange(fit.k)[None], batch) if signs else (batch, None)
        found = _statistics(fit, order, sign, statistic)
        counts += np.sum(found >= observed * (1 - EQUAL), axis=0)
        done += len(batch)
    if not everything:
        counts, done = counts + 1, done + 1
    p = counts / done
    seen = fit.beta if statistic == "coefficient" else fit.beta / np.sqrt(np.diag(fit.covariance))
    table = pd.DataFrame({"term": list(fit.names), "estimate": fit.beta, "statistic": seen, "p_value": p[: fit.p]})
    return PermutationTest(table, np.nan if fit.p == 1 else float(p[-1]), everything, done)


def _statistics(fit: RmaState, order: Array, sign: Array | None, statistic: str) -> Array:
    """(B, p + 1) sizes of the statistics of the coefficients, and the omnibus statistic."""
    y, v = fit.effects.y[0], fit.effects.v[0]
    data = Effects(y[order], v[order], fit.effects.Q) if sign is None else Effects(y * sign, v[None], fit.effects.Q)
    weights = None if fit.weights is None else fit.weights[order]  # they go with the estimates
    found = refits(data, fit.R, fit.estimator, fit.test, fit.call.tau2, weights)
    beta, vcov = found.beta, found.vcov
    single = np.abs(beta) if statistic == "coefficient" else np.abs(beta) / np.sqrt(
        np.diagonal(vcov, axis1=1, axis2=2)
    )  # fmt: skip
    t = list(fit.tested)
    part = beta[:, t]
    joint = np.sum(part * np.linalg.solve(vcov[:, t][:, :, t], part[:, :, None])[:, :, 0], axis=1)
    return np.column_stack([single, joint])


def _batches(fit: RmaState, codes: Array, signs: bool) -> Iterator[Array]:
    """All signs (B, k), or all orders that give different rows of X a different order."""
    if signs:
        for start in range(0, 2**fit.k, BATCH):
            numbers = np.arange(start, min(start + BATCH, 2**fit.k))
            yield 1.0 - 2.0 * ((numbers[:, None] >> np.arange(fit.k)) & 1)
        return
    orders = _distinct(codes)
    while chunk := list(itertools.islice(orders, BATCH)):
        yield np.array(chunk)


def _distinct(codes: Array) -> Iterator[list[int]]:
    """Orders of the estimates, one for each way to deal them to equal rows of X."""
    k = len(codes)
    places = [np.flatnonzero(codes == c).tolist() for c in np.unique(codes)]

    def deal(group: int, left: list[int], found: list[int]) -> Iterator[list[int]]:
        if group == len(places):
            yield found.copy()
            return
        for chosen in itertools.combinations(left, len(places[group])):
            for place, estimate in zip(places[group], chosen, strict=True):
                found[place] = estimate
            yield from deal(group + 1, [e for e in left if e not in chosen], found)

    yield from deal(0, list(range(k)), [0] * k)


def _random(fit: RmaState, signs: bool, n: int, seed: int | None) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        if signs:
            yield rng.choice([-1.0, 1.0], size=(size, fit.k))
        else:
            yield np.argsort(rng.random((size, fit.k)), axis=1)
