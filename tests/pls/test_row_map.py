"""Blocks of Z'WZ for any weights, and leverages from blocks: three ways, and by laying Z out."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.linalg import batched
from mixedfx.pls.coupling import SMALL
from mixedfx.pls.factorization import Factorization
from mixedfx.pls.problem import build_problem
from mixedfx.pls.row_map import LoopedRows, MappedRows, RelatedRows, row_map

LEVELS = [f"h{i}" for i in range(7)]
R = pd.DataFrame(0.4 + 0.6 * np.eye(7), index=LEVELS, columns=LEVELS)
TERMS = ["(1 | g)", "(1 + x | g)", "(1 | g) + (1 | h)", "(x | g) + (x | h) + (1 | a)", "(x | g) + (1 | gr(h, cov=R))"]


def problem_of(terms, n=200, groups=40):
    rng = np.random.default_rng(3)
    g, h = rng.integers(0, groups, n), rng.integers(0, 7, n)
    columns = {"g": [f"g{i:04d}" for i in g], "h": [f"h{i}" for i in h], "a": [f"a{i % 5}" for i in g]}
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), **columns})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return build_problem(build_design(f"y ~ x + {terms}", frame, env={"R": R}), REML=False)


def ways(problem):
    return [row_map(problem, False)] if len(problem.factors) > 1 and problem.factors[-1].mixing is not None else [
        row_map(problem, compiled) for compiled in (False, True)
    ]  # fmt: skip


@pytest.mark.parametrize("terms", TERMS)
def test_blocks_are_those_of_the_products_laid_out(terms):
    problem, w = problem_of(terms), np.random.default_rng(1).uniform(-0.2, 2.0, 200)
    for rows in ways(problem):
        Z = rows.Z.toarray()
        full = Z.T @ (w[:, None] * Z)
        found = rows.refilled(w)
        k, split = found.factors[0].k, rows.first_size
        for j in range(found.factors[0].n_levels):
            at = slice(j * k, (j + 1) * k)
            np.testing.assert_allclose(found.gram1[:, :, j], full[at, at], atol=1e-12)
        if found.coupling is not None:
            np.testing.assert_allclose(found.coupling.cross.toarray(), full[:split, split:], atol=1e-12)
            np.testing.assert_allclose(found.coupling.gram.toarray(), full[split:, split:], atol=1e-12)
            if found.coupling.dense is not None:
                dense = found.coupling.dense.transpose(0, 2, 1).reshape(split, -1)
                np.testing.assert_allclose(dense, full[:split, split:], atol=1e-12)


@pytest.mark.parametrize("terms", TERMS)
def test_leverages_are_those_of_the_inverse_laid_out(terms):
    problem, rng = problem_of(terms), np.random.default_rng(2)
    w, T = rng.uniform(0.1, 2.0, 200), [np.tril(rng.normal(size=(g.k, g.k))) for g in problem.factors]
    for rows in ways(problem):
        filled = rows.refilled(w)
        at = Factorization(filled, T)
        Z = rows.Z.toarray()
        Lam = np.zeros((Z.shape[1], Z.shape[1]))
        k = filled.factors[0].k
        for j in range(filled.factors[0].n_levels):
            Lam[j * k : (j + 1) * k, j * k : (j + 1) * k] = T[0]
        if filled.coupling is not None:
            for one, position in zip(T[1:], filled.coupling.positions, strict=True):
                for level in position + rows.first_size:
                    Lam[np.ix_(level, level)] = one
        full = Lam @ np.linalg.inv(Lam.T @ (Z.T * w) @ Z @ Lam + np.eye(len(Lam))) @ Lam.T
        first, across, second = rows.covariance_blocks(at)
        found = rows.leverages(first.transpose(2, 0, 1).ravel(), across.ravel(), second)
        np.testing.assert_allclose(found, np.einsum("ia,ab,ib->i", Z, full, Z), atol=1e-10)


def test_the_kind_of_map_follows_the_rows():
    assert isinstance(row_map(problem_of(TERMS[2])), MappedRows)
    assert isinstance(row_map(problem_of(TERMS[2]), True), LoopedRows)
    assert isinstance(row_map(problem_of(TERMS[4])), RelatedRows)


@pytest.mark.parametrize("terms", ["(1 | g)", "(x | g) + (x | h) + (1 | a)"])
def test_products_by_column_are_those_of_the_matrix(terms):
    problem, rng = problem_of(terms), np.random.default_rng(4)
    for rows in ways(problem):
        Z, s, Q, w = rows.Z.toarray(), rng.normal(size=200), rng.normal(size=(200, 3)), rng.normal(size=200)
        u = (
            rng.normal(size=(problem.factors[0].n_levels, problem.factors[0].k, 5)),
            rng.normal(size=(Z.shape[1] - rows.first_size, 5)),
        )
        flat = np.concatenate([u[0].reshape(-1, 5), u[1]])
        np.testing.assert_allclose(rows.times(u), Z @ flat, atol=1e-12)
        np.testing.assert_allclose(rows.predictor(s, (u[0][..., :1], u[1][:, :1])), s + Z @ flat[:, 0], atol=1e-12)
        h = rows.score_products(s)
        np.testing.assert_allclose(np.r_[h[0].ravel(), h[1].ravel()], Z.T @ s, atol=1e-12)
        QWQ, zq = rows.column_products(w, Q)
        np.testing.assert_allclose(QWQ, Q.T @ (w[:, None] * Q), atol=1e-12)
        np.testing.assert_allclose(np.concatenate([zq[0].reshape(-1, 3), zq[1]]), Z.T @ (w[:, None] * Q), atol=1e-12)
        squares, tensor = rows.moments(Q, u, w, s)
        ydot = Z @ flat
        ydot[:, :3] += Q
        np.testing.assert_allclose(squares, ydot.T @ (w[:, None] * ydot), atol=1e-10)
        j = 5
        mine = rows.codes == j
        z = rows.z[mine]
        expected = np.einsum("n,na,nb,nd->abd", s[mine], z, z, ydot[mine])
        np.testing.assert_allclose(tensor[j], expected, atol=1e-11)


@pytest.mark.parametrize("sparse", [False, True])
def test_sums_over_pairs_kernels_and_products_agree(sparse):
    """The same factor by pairs of entries, by dense products and, where it stays sparse, by the compiled loops."""
    rng = np.random.default_rng(6)
    n, groups = (2500, 1200) if sparse else (400, 90)
    g = rng.integers(0, groups, n)
    frame = pd.DataFrame(
        {"y": rng.normal(size=n), "x": rng.normal(size=n), "g": g.astype(str), "b": (g // 2).astype(str)}
    )
    problem = build_problem(build_design("y ~ x + (x | g) + (x | b)", frame), REML=False)
    coupling = problem.coupling
    assert (coupling.layout.split > 0) == (sparse and coupling.size > SMALL)
    T = [np.array([[0.7, 0.0], [0.3, 0.4]]), np.array([[0.5, 0.0], [-0.2, 0.6]])]
    at = Factorization(problem, T)
    rows = row_map(problem)
    Z = rows.Z.toarray()
    dense = np.zeros((Z.shape[1], Z.shape[1]))
    k = 2
    for j in range(problem.factors[0].n_levels):
        dense[j * k : (j + 1) * k, j * k : (j + 1) * k] = T[0]
    for level in coupling.positions[0] + rows.first_size:
        dense[np.ix_(level, level)] = T[1]
    M = dense.T @ Z.T @ Z @ dense + np.eye(len(dense))
    assert at.logdet == pytest.approx(np.linalg.slogdet(M)[1], rel=1e-12)
    full = dense @ np.linalg.inv(M) @ dense.T
    first, across, second = rows.covariance_blocks(at)
    found = rows.leverages(first.transpose(2, 0, 1).ravel(), across.ravel(), second)
    np.testing.assert_allclose(found, np.einsum("ia,ab,ib->i", Z, full, Z), atol=1e-9)
    forms = at.second.quadratic_forms()
    again = Factorization(problem, T)
    np.testing.assert_allclose(again.second.forms_of_products(again.second.inverse_products()), forms, atol=1e-10)
    assert batched.sandwich(T[0], problem.gram1).shape == problem.gram1.shape
