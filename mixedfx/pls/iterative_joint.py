r"""The joint distribution of fixed and random effects of a fit that was solved by iteration.

As `mixedfx.pls.joint`, with full solves where a factor allows half ones: the covariance of functionals a is
a'M^{-1}a, and a draw with covariance M^{-1} is M^{-1}(Lambda'Z'e + z), e one standard normal number for each row and
z one for each random effect, since the right-hand side has the covariance M (perturb and solve; Papandreou & Yuille
2010).
"""

from __future__ import annotations

from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.errors import IterativeSolverError
from mixedfx.linalg import triangular
from mixedfx.pls.evaluate import inner
from mixedfx.pls.factorization import Pair
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.joint import Joint
from mixedfx.pls.stochastic import StochasticEvaluation

Vector = NDArray[np.float64]

HELD = 2**24  # numbers of effects that are solved for at once
SOLVES = 1e-8  # tolerance of solves for covariances: their error is of its square
DRAWS = 1e-6  # of solves for draws
MOST_LEVELS = 5_000  # effects of a term whose conditional variances are solved for one by one


class IterativeJoint(Joint):
    """Estimates of (beta, u) and the covariance of their errors, by solves."""

    @property
    def _at(self) -> IterativeFactorization:
        return cast(IterativeFactorization, self.evaluation.factorization)

    @cached_property
    def _solved(self) -> Pair:
        """M^{-1} Lambda'Z'W."""
        assert isinstance(self.evaluation, StochasticEvaluation)
        return self.evaluation.solved

    def _forms(self, fixed: Vector, random: sparse.csr_array) -> tuple[Pair, Pair, Vector]:
        """a, M^{-1}a, and the half solve with S of what is left for gamma."""
        p, a = self.problem.p, self._at.scale_transposed(self._from_design(random))
        rest = self._rotate(fixed)
        for solved, part in zip(self._solved, a, strict=True):
            rest = rest - np.tensordot(solved[..., :p], part, axes=(range(part.ndim - 1), range(part.ndim - 1)))
        return a, self._at.solve(a, SOLVES), triangular.solve(self._S_factor, rest, lower=True)

    @property
    def _step(self) -> int:
        return max(1, HELD // max(1, self.design.n_random))

    def covariance(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """(s, s) covariance of the errors of s functionals; see `Joint.covariance`."""
        if random.nnz == 0:
            rest = triangular.solve(self._S_factor, self._rotate(fixed), lower=True)
            return self.evaluation.sigma2 * (rest.T @ rest)
        a, x, rest = self._forms(fixed, random)
        found = inner(a, x)
        return self.evaluation.sigma2 * ((found + found.T) / 2.0 + rest.T @ rest)

    def variances(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """(s,) the diagonal of `covariance`, in blocks of bounded memory."""
        out = np.empty(len(fixed))
        for begin in range(0, len(fixed), self._step):
            rows = slice(begin, begin + self._step)
            a, x, rest = self._forms(fixed[rows], sparse.csr_array(random[rows]))
            forms = sum((one * two).reshape(-1, one.shape[-1]).sum(axis=0) for one, two in zip(a, x, strict=True))
            out[rows] = forms + (rest**2).sum(axis=0)
        return self.evaluation.sigma2 * out

    def group_covariances(self, columns: NDArray[np.intp]) -> tuple[Vector, Vector]:
        """Covariances of the errors of G sets of k random effects, among themselves and with beta; see `Joint`."""
        (groups, k), q, p = columns.shape, self.design.n_random, self.problem.p
        among, with_beta = np.empty((groups, k, k)), np.empty((groups, p, k))
        beta = triangular.solve(self._S_factor, self._rotate(np.eye(p)), lower=True)
        step = max(1, self._step // k)
        for begin in range(0, groups, step):
            part = columns[begin : begin + step]
            s = part.size
            unit = sparse.csr_array((np.ones(s), part.ravel(), np.arange(s + 1)), shape=(s, q))
            a, x, rest = self._forms(np.zeros((s, p)), unit)
            blocks = np.einsum("pgk,pgl->gkl", *(two.reshape(p, len(part), k) for two in (rest, rest)))
            for one, two in zip(a, x, strict=True):
                left, right = (half.reshape(-1, len(part), k) for half in (one, two))
                blocks = blocks + np.einsum("hgk,hgl->gkl", left, right, optimize=True)
            among[begin : begin + step] = (blocks + blocks.transpose(0, 2, 1)) / 2.0
            with_beta[begin : begin + step] = np.einsum("cp,cgk->gpk", beta, rest.reshape(p, len(part), k))
        return self.evaluation.sigma2 * among, self.evaluation.sigma2 * with_beta

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Vector, Vector]:
        """(n, p) and (n, q) joint draws of (beta, u) around the estimates."""
        p, at = self.problem.p, self._at
        betas, effects = np.empty((n, p)), np.empty((n, self.design.n_random))
        for begin in range(0, n, self._step):
            m = min(self._step, n - begin)
            gamma = triangular.solve(self._S_factor, rng.standard_normal((p, m)), lower=True, transposed=True)
            noise = at.scale_transposed(at.incidence.noise(rng, m))
            right = tuple(part + rng.standard_normal(part.shape) for part in noise)
            x = at.solve(cast(Pair, right), DRAWS)
            v1, v2 = (e - s[..., :p] @ gamma for e, s in zip(x, self._solved, strict=True))
            betas[begin : begin + m] = (self.beta[:, None] + self.sigma * self._unrotate(gamma)).T
            moved = self._to_design(at.scale((v1, v2)))
            effects[begin : begin + m] = (self.u[:, None] + self.sigma * moved).T
        return betas, effects

    def conditional_covariances(self, term: int) -> Vector:
        """(q, k, k) covariance of each level's effects given the data, with beta held; one solve for each effect.

        Raises
        ------
        IterativeSolverError
            For a term with more than `MOST_LEVELS` effects.
        """
        start, stop = self.design.starts[term : term + 2]
        k, width = self.design.random[term].n_columns, int(stop - start)
        if width > MOST_LEVELS:
            raise IterativeSolverError(
                f"conditional variances of all {width:,} effects of '{self.design.random[term].label}' take a solve "
                "each in a fit without a factor",
                hint="Ask for those of chosen levels: fit.apply(fit.design_for(rows)).sd, or fit with "
                'control={"solver": "direct"} where memory allows.',
            )
        out = np.empty((width // k, k, k))
        step = max(1, self._step // k) * k
        for begin in range(0, width, step):
            s = min(step, width - begin)
            entries = (np.ones(s), (np.arange(s), np.arange(start + begin, start + begin + s)))
            a = self._at.scale_transposed(self._from_design(sparse.csr_array(entries, (s, self.design.n_random))))
            x = self._at.solve(a, SOLVES)
            blocks = np.zeros((s // k, k, k))
            for one, two in zip(a, x, strict=True):
                left, right = (half.reshape(-1, s // k, k) for half in (one, two))
                blocks += np.einsum("hgk,hgl->gkl", left, right, optimize=True)
            out[begin // k : (begin + s) // k] = (blocks + blocks.transpose(0, 2, 1)) / 2.0
        return self.evaluation.sigma2 * out
