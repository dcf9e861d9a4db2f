"""Type I error of a comparison of teaching styles, by degrees of freedom: the flipped classroom under the null.

    python -m benchmarks.type_one_error [data sets] [plan]

Every professor of the assigned plan keeps to one style, so that 15 professors carry all there is to know on a
difference of styles, and Wald's z, which takes 375 students for granted, rejects too often. The scores of all styles
have the same mean here; each data set is the design of one simulated course with a new response. Refits are batched;
what each method needs beside the estimates is computed for each response.
"""

from __future__ import annotations

import sys
from typing import Literal

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.datasets.flipped_classroom import STYLE_MEANS, simulate_flipped_classroom
from mixedfx.inference.hypotheses import Constant, f_probability
from mixedfx.inference.kenward_roger import kenward_roger
from mixedfx.inference.satterthwaite import satterthwaite
from mixedfx.reml.refit import cross_products, with_response
from mixedfx.reml.solve import RemlSolution

METHODS = ("satterthwaite", "kenward-roger", "residual", "normal")


def type_one_error(
    n: int = 2000, plan: Literal["assigned", "crossed"] = "assigned", seed: int = 1, alpha: float = 0.05
) -> pd.DataFrame:
    """Share of n data sets without any effect in which a test of styles rejects.

    Parameters
    ----------
    n
        Number of data sets.
    plan
        Plan of the course, see `mixedfx.datasets.flipped_classroom`.
    seed
        Seed of the responses; the course itself is that of the package's seed.
    alpha
        Level of the tests.

    Returns
    -------
    DataFrame
        test ("No Flipped - Fully Flipped", the t test of a contrast, or "style", the F test of all), method, rejected
        (share), mc_error (its standard error, were the true level alpha), df (median).
    """
    rng = np.random.default_rng(seed)
    styles = dict.fromkeys(list(STYLE_MEANS), 62.0)
    course, _ = simulate_flipped_classroom(plan=plan, styles=styles)
    fit = mx.lmer("score ~ style + (1 | professor)", course)
    assert isinstance(fit.solution, RemlSolution)
    design, problem = fit.design, fit.solution.problem
    professor = design.random[0]
    Y = 62.0 + 6.0 * rng.standard_normal((professor.n_levels, n))[professor.codes]
    Y += 9.0 * rng.standard_normal((len(course), n))
    found = fit.refits(Y)
    responses = cross_products(design, problem, Y)
    contrast = np.array([[0.0, 0.0, 1.0]])
    L = np.eye(3)[1:]
    rows = []
    for b in range(n):
        one = with_response(problem, responses, b)
        first = satterthwaite(one, found.theta[b])
        references = (
            first, kenward_roger(one, found.theta[b]), Constant(first.vcov, fit.nobs - 3), Constant(first.vcov, np.inf),
        )  # fmt: skip
        for method, used in zip(METHODS, references, strict=True):
            for test, rows_of_L in {"No Flipped - Fully Flipped": contrast, "style": L}.items():
                F, num, den = used.f_test(rows_of_L, rows_of_L @ found.beta[b])
                rows.append((test, method, f_probability(F, num, den) < alpha, den))
    table = pd.DataFrame(rows, columns=["test", "method", "rejected", "df"])
    out = table.groupby(["test", "method"], sort=False).agg(rejected=("rejected", "mean"), df=("df", "median"))
    out.insert(1, "mc_error", np.sqrt(alpha * (1 - alpha) / n))
    return out.reset_index()


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    plan = "crossed" if "crossed" in sys.argv[2:] else "assigned"
    print(type_one_error(count, plan).round(4).to_string(index=False))
