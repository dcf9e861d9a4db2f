"""Between the factors of the columns as given, which oracles know, and those of the columns an engine uses."""

import numpy as np

from tests.oracles.dense_lmm import factors_of


def used_factors(design, problem, theta):
    """For each factor of the problem B T, T the block-diagonal factor of the columns as given at theta."""
    return problem.used_factors(factors_of(design, theta))


def natural_gradient(design, problem, theta, result):
    """(r,) derivatives in theta of the criterion at theta: 2 B'Q B T in every entry of T, Q the score matrix.

    The gradient of the engine, in its own parameters, is checked on the way: 2 Q T_used.
    """
    own = [2.0 * Q @ T for Q, T in zip(result.Q, problem.matrices(result.par), strict=True)]
    np.testing.assert_allclose(result.gradient, [own[f][a, b] for f, a, b in problem.entries], rtol=1e-9, atol=1e-9)
    out = np.empty(len(theta))
    for group, Q, T in zip(problem.factors, result.Q, used_factors(design, problem, theta), strict=True):
        slope = 2.0 * group.basis.T @ Q @ T
        for block in group.blocks:
            rows, columns = block.structure.entries
            out[block.parameters] = slope[block.first + rows, block.first + columns]
    return out
