"""Small designs with random shapes, for property tests of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from mixedfx.design.design import Design, RandomTerm, RowReport

absent: Any = None  # no formula, data frame or specification stands behind a design made of numbers


def make_design(seed, shapes, n=50, p=2, weighted=True, known_sd=False):
    """A design with one term for each (levels, columns, structure, label) of `shapes`; labels may repeat.

    A structure may be True or False, for unstructured and diagonal; the levels of a label that begins with gr are
    related.
    """
    rng = np.random.default_rng(seed)
    codes_of = {}
    terms = []
    for levels, columns, given, label in shapes:
        structure = {True: "us", False: "diag"}.get(given, given)
        if label not in codes_of:
            codes_of[label] = np.unique(rng.integers(0, levels, n), return_inverse=True)[1].astype(np.intp)
        codes = codes_of[label]
        z = np.column_stack([np.ones(n), *(3.0 * rng.normal(size=n) + 1.0 for _ in range(columns - 1))])
        names = tuple(f"c{j}" for j in range(columns))
        q = int(codes.max()) + 1
        relation = None
        if label.startswith("gr"):
            positions = np.random.default_rng([seed, len(label), q, len(terms) if seed % 2 else 0]).uniform(0, 3, q)
            relation = np.exp(-np.abs(positions[:, None] - positions)) + 0.05 * np.eye(q)
        terms.append(
            RandomTerm(
                label, names, tuple(map(str, range(codes.max() + 1))), codes, z, structure, f"s{len(terms)}", relation
            )
        )
    X = np.column_stack([np.ones(n), *(rng.normal(size=n) + 5.0 for _ in range(p - 1))])
    y = X @ np.ones(p) + rng.normal(size=n)
    for term in terms:
        y += 0.7 * np.einsum("nk,nk->n", term.z, rng.normal(size=(term.n_levels, term.n_columns))[term.codes])
    return Design(
        formula=absent, y=y, X=X, fixed_names=tuple(f"x{j}" for j in range(p)), random=tuple(terms),
        weights=rng.uniform(0.5, 2.0, n) if weighted else None, offset=rng.normal(size=n), columns=absent, spec=absent,
        rows=RowReport(n, np.arange(n)), known_sd=rng.uniform(0.5, 2.0, n) if known_sd else None,
    )  # fmt: skip


shapes = st.lists(
    st.tuples(st.integers(2, 9), st.integers(1, 3), st.booleans(), st.sampled_from(["g", "h", "k"])),
    min_size=1,
    max_size=3,
)
