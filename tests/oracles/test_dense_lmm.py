"""The oracle itself, against numbers of lme4 at lme4's own theta."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from tests.oracles import dense_lmm

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "case", ["sleepstudy_reml", "sleepstudy_ml", "sleepstudy_weights_offset", "penicillin_crossed"]
)
def test_dense_formulas_at_lme4s_theta_give_lme4s_numbers(case):
    ref = json.loads((TESTS / "reference" / "lmm" / f"lmm_{case}.json").read_text())
    data = pd.read_csv(TESTS / ref["data"], dtype={"Subject": str})
    options = {key: ref[key] for key in ("weights", "offset") if ref[key]}
    design = build_design(ref["formula"], data, **options)
    found = dense_lmm.solution_at(design, list(ref["theta"].values()), ref["REML"])
    # theta is given, so only rounding is left: 1e-9 of the criterion, 1e-8 of a dense inverse
    assert found.criterion == pytest.approx(ref["criterion"], abs=1e-8)
    assert found.sigma == pytest.approx(ref["sigma"], rel=1e-9)
    np.testing.assert_allclose(found.beta, list(ref["fixef"].values()), rtol=1e-9)
    np.testing.assert_allclose(found.vcov, ref["vcov"], rtol=1e-8)
    for term, label in enumerate(ref["ranef"]):
        assert design.random[term].label == label
        first = np.atleast_2d(ref["ranef_condvar_first"][label])
        np.testing.assert_allclose(found.joint.conditional_covariances(term)[0], first, rtol=1e-7)
        modes = [[row[c] for c in row if c not in ("level", "_row")] for row in ref["ranef"][label]]
        start, stop = design.starts[term : term + 2]
        np.testing.assert_allclose(found.u[start:stop], np.ravel(modes), rtol=1e-7, atol=1e-8)
