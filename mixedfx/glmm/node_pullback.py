r"""Derivatives of anything that is made of the levels' integrals and their moments, nodes that move included.

Let F be made of the integrals of `mixedfx.glmm.level_nodes`, with

    dF = sum_j alpha_j d log I_j + sum_i beta_i d s-bar_i + sum_i pi_i d w-bar_i - sum_j d tr(S Cov_j(h)),

h_q = Z2's_q in the level's entries and S a symmetric matrix. Under the terms p_q the mean of f_q has the derivative
E[df_q] + E[(f_q - E f) dl_q], which makes of it, with c_q = h_q - h-bar, b_q = sum beta s_q, o_q = sum pi w_q and
d_q = c_q'S c_q,

    dF = sum_q p_q {phi_q dl_q + sum_i psi_iq ds_iq + pi_i dw_iq} + nodes,
    phi_q = alpha + (b_q - E b) + (o_q - E o) - (d_q - E d),     psi_iq = beta_i - 2 z2_i'S c_q:

third cumulants over the nodes, contracted. As ds = -w d eta and dw = w' d eta, a row has at node q the coefficient

    kappa_iq = p_q (phi_q s_iq - psi_iq w_iq + pi_i w'_iq)

of d eta_iq = d xi_i + z_i'(dT v_q + T dv_q), and what is left is -p_q phi_q v_q'dv_q. Nodes move as in
`mixedfx.glmm.quadrature`: with m and M the coefficients of dv-hat and dL, N = L X L', X symmetric with the lower
triangle of M'L, leverages c_i = z_i'T N T'z_i, t = w' c at the mode and r = A^{-1}(m - T'Z't / 2), they add

    xi:  -t / 2 - W Z T r,      T:  sum over levels of -G T N - (Z't / 2 + G T r) v-hat' + h r',
    phi: -c w_phi / 2 + s_phi Z T r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.level_nodes import LevelIntegrals, finite, gram_of, inverse_transposed, product
from mixedfx.glmm.model import Model
from mixedfx.glmm.node_densities import derivatives, slopes

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Seed:
    """What F is made of.

    Attributes
    ----------
    alpha
        (q,) coefficients of log I.
    beta
        (n,) coefficients of the mean scores; None where there are none.
    pi
        (n,) coefficients of the mean weights; None likewise.
    S_c
        (e, N) entries of S c_q times the root of p_q; None where there is no S.
    c
        (e, N) c_q times the root of p_q.
    """

    alpha: Vector
    beta: Vector | None = None
    pi: Vector | None = None
    S_c: Vector | None = None
    c: Vector | None = None

    @property
    def order(self) -> int:
        """Derivatives of the log densities at the nodes that are needed."""
        if self.pi is not None:
            return 3
        return 1 if self.beta is None and self.S_c is None else 2


@dataclass(frozen=True)
class Pulled:
    """Derivatives of F in what the levels' integrals are given: xi (n,), T (k, k), phi (a,)."""

    xi: Vector
    T: Vector
    phi: Vector

    def plus(self, other: Pulled, size: float = 1.0) -> Pulled:
        """The sum with `size` times another."""
        return Pulled(self.xi + size * other.xi, self.T + size * other.T, self.phi + size * other.phi)


def pull_back(model: Model, at: LevelIntegrals, seed: Seed) -> Pulled:
    """The derivatives of F, exact for any number of nodes."""
    if model.looped_nodes:
        return _looped(model, at, seed)
    rows, own, modes, a = model.rows, model.likelihood, at.modes, model.sizes[2]
    assert at.eta is not None
    s, w, by_row = at.s, at.w, None
    if s is None:
        s = derivatives(own, at.eta, modes.phi, 1)[0]
    if seed.order > 1 or a or not np.isfinite(s).all():
        by_row = at.p[rows.codes]
        s = finite(s, by_row)
    phi_p, psi_p = at.p * seed.alpha[:, None], None
    if seed.beta is not None:
        assert by_row is not None
        b = model.levels.by_level(seed.beta[:, None] * s)
        phi_p = phi_p + at.p * (b - (at.p * b).sum(axis=1, keepdims=True))
        psi_p = by_row * seed.beta[:, None]
    if seed.pi is not None:
        assert w is not None
        o = model.levels.by_level(seed.pi[:, None] * w)
        phi_p = phi_p + at.p * (o - (at.p * o).sum(axis=1, keepdims=True))
    if seed.S_c is not None:
        assert seed.c is not None
        assert by_row is not None
        assert model.levels.from_entries is not None
        d = model.levels.entries_by_level(seed.c * seed.S_c)
        phi_p = phi_p + at.p * d.sum(axis=1, keepdims=True) - d
        across = 2.0 * np.sqrt(by_row) * (model.levels.from_entries @ seed.S_c)
        psi_p = -across if psi_p is None else psi_p - across
    kappa = phi_p[rows.codes] * s
    if psi_p is not None:
        assert w is not None
        kappa -= psi_p * w
    if seed.pi is not None:
        assert by_row is not None
        third = finite(derivatives(own, at.eta, modes.phi, 3)[2], by_row)
        kappa += by_row * seed.pi[:, None] * third
    of_phi = np.zeros(a)
    if a:
        assert by_row is not None
        of_value, of_score, of_weight = slopes(own, at.eta, modes.phi)
        of_phi = np.einsum("nq,anq->a", phi_p[rows.codes], finite(of_value, by_row))
        if psi_p is not None:
            of_phi += np.einsum("nq,anq->a", psi_p, finite(of_score, by_row))
        if seed.pi is not None:
            of_phi += np.einsum("nq,anq->a", by_row * seed.pi[:, None], finite(of_weight, by_row))
    return _gathered(model, at, seed, phi_p, kappa.sum(axis=1), model.levels.z_by_level(kappa), of_phi)


def _gathered(
    model: Model, at: LevelIntegrals, seed: Seed, phi_p: Vector, of_xi: Vector, of_z: Vector, of_phi: Vector
) -> Pulled:  # fmt: skip
    """The pull-back from the sums of kappa over nodes (n,) and, times z, over rows (q, N, k)."""
    modes, k = at.modes, len(at.modes.T)
    of_nodes = of_z @ modes.T - phi_p[:, :, None] * at.v
    m = of_nodes.sum(axis=1)
    M = of_nodes.transpose(0, 2, 1) @ at.rule.x
    M += seed.alpha[:, None, None] * inverse_transposed(modes.L)
    of_T = of_z.reshape(-1, k).T @ at.v.reshape(-1, k)
    return _nodes_move(model, at, m, M).plus(Pulled(of_xi, of_T, of_phi))


def _looped(model: Model, at: LevelIntegrals, seed: Seed) -> Pulled:
    """The same by compiled loops over many rows."""
    from mixedfx.linalg.node_rows import pulled_rows

    own, modes, none = model.likelihood, at.modes, np.zeros(0)
    start, z, z2, entries = model.node_rows
    assert own.fast is not None
    phi_p, S_c = at.p * seed.alpha[:, None], np.zeros((0, at.p.shape[1]))
    if seed.S_c is not None:
        assert seed.c is not None
        S_c = np.ascontiguousarray(seed.S_c)
        d = model.levels.entries_by_level(seed.c * S_c)
        phi_p = phi_p + at.p * d.sum(axis=1, keepdims=True) - d
    beta, pi = (none if one is None else one for one in (seed.beta, seed.pi))
    unknown = np.zeros((0, at.p.shape[1]))
    known_s, known_w = (unknown if one is None else one for one in (at.s, at.w))
    of_xi, of_z = np.empty(len(modes.xi)), np.zeros_like(at.v)
    pulled_rows(
        own.fast.kind, own.y, own.trials, own.shape(modes.phi), modes.xi, start, z, at.v @ modes.T.T, z2, entries,
        at.p, known_s, known_w, phi_p, beta, pi, S_c, of_xi, of_z,
    )  # fmt: skip
    return _gathered(model, at, seed, phi_p, of_xi, of_z, np.zeros(0))


def _nodes_move(model: Model, at: LevelIntegrals, m: Vector, M: Vector) -> Pulled:
    """What modes and curvatures add, from the coefficients m (q, k) of dv-hat and M (q, k, k) of dL."""
    own, modes, T, z, codes = model.likelihood, at.modes, at.modes.T, model.rows.z, model.rows.codes
    X = M.transpose(0, 2, 1) @ modes.L
    X = np.tril(X) + np.tril(X, -1).transpose(0, 2, 1)
    N = X * gram_of(modes.L) if len(T) == 1 else modes.L @ X @ modes.L.transpose(0, 2, 1)
    TN = T @ N
    leverages = forms(z, (TN @ T.T)[codes])
    third = derivatives(own, modes.eta[:, None], modes.phi, 3)[2][:, 0]
    t = third * leverages
    zt = model.levels.z_by_level(t[:, None])[:, 0]
    r = product(modes.A_inverse, m - 0.5 * zt @ T)
    Tr = r @ T.T
    ZTr = model.levels.times_z(Tr[:, None])[:, 0]
    h = model.levels.z_by_level(modes.s[:, None])[:, 0]
    back = 0.5 * zt + product(modes.gram, Tr)
    of_T = h.T @ r - back.T @ modes.v - (modes.gram @ TN).sum(axis=0)
    if not own.names:
        return Pulled(-0.5 * t - modes.w * ZTr, of_T, np.zeros(0))
    found = own.slopes(modes.eta, modes.phi)
    return Pulled(-0.5 * t - modes.w * ZTr, of_T, found.score @ ZTr - 0.5 * found.weight @ leverages)


def forms(z: Vector, N: Vector) -> Vector:
    """(n,) z'N z of rows z (n, k) and matrices N (n, k, k)."""
    return z[:, 0] ** 2 * N[:, 0, 0] if z.shape[1] == 1 else np.einsum("na,nab,nb->n", z, N, z, optimize=True)
