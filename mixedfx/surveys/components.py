r"""Variances, covariances, standard deviations and correlations of random effects, with their derivatives.

Of a term with factor T the covariance of a level's effects is sigma^2 T T'. In a parameter a of T and log sigma

    d V / d a = sigma^2 (T_a T' + T T_a'),   d V / d log sigma = 2 V,

and of a standard deviation s = sqrt(V_ii) and a correlation rho = V_ij / (s_i s_j)

    ds = dV_ii / (2 s),   d rho = dV_ij / (s_i s_j) - rho (dV_ii / V_ii + dV_jj / V_jj) / 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component, sds_first
from mixedfx.covariance.structures import Structure
from mixedfx.design.design import Design

Array = NDArray[np.float64]
WHOLE = 1e-10  # by which a correlation of one may be off by rounding


def term_factors(design: Design, par: Array) -> tuple[Array, ...]:
    """For each random term its factors T (..., k, k) at parameters (..., r)."""
    return tuple(structure.factor(par[..., own]) for structure, own in _places(design))


def thetas(design: Design, par: Array) -> Array:
    """(..., r) theta, as users read it, from parameters of the columns as given."""
    out = np.empty_like(par)
    for structure, own in _places(design):
        out[..., own] = structure.theta(structure.factor(par[..., own]))
    return out


def component_values(design: Design, par: Array, sigma: Array) -> tuple[Array, Array]:
    """Variances or covariances (..., m), and standard deviations or correlations (..., m), as `varcorr` lists them.

    Parameters
    ----------
    design
        The design.
    par, sigma
        (..., r) parameters of the columns as given, and (...).
    """
    variances, roots = [], []
    for structure, own, component in _components(design):
        T = structure.factor(par[..., own])
        V = sigma[..., None, None] ** 2 * (T @ np.swapaxes(T, -1, -2))
        if component.kind == "sd":
            i = component.columns[0]
            variances.append(V[..., i, i])
            roots.append(np.sqrt(V[..., i, i]))
        else:
            i, j = component.pairs[0]
            variances.append(V[..., i, j])
            roots.append(component.value(T))
    variances.append(sigma**2)
    roots.append(sigma)
    return np.stack(variances, axis=-1), np.stack(roots, axis=-1)


def component_jacobians(design: Design, par: Array, sigma: float) -> tuple[Array, Array]:
    """(m, r + 1) derivatives of the same in the parameters and log sigma.

    NaN of a standard deviation of zero, and of a correlation of one, which is stationary there.
    """
    r = len(par)
    of_variances, of_roots = [], []
    for structure, own, component in _components(design):
        T, directions = structure.factor(par[own]), structure.directions(par[own])
        V = sigma**2 * T @ T.T
        half = sigma**2 * directions @ T.T
        dV = np.zeros((r + 1, *V.shape))
        dV[own] = half + half.transpose(0, 2, 1)
        dV[-1] = 2.0 * V
        with np.errstate(divide="ignore", invalid="ignore"):
            if component.kind == "sd":
                i = component.columns[0]
                of_variances.append(dV[:, i, i])
                of_roots.append(dV[:, i, i] / (2.0 * np.sqrt(V[i, i])))
            else:
                i, j = component.pairs[0]
                size = np.sqrt(V[i, i] * V[j, j])
                rho = V[i, j] / size
                of_variances.append(dV[:, i, j])
                slope = dV[:, i, j] / size - rho * (dV[:, i, i] / V[i, i] + dV[:, j, j] / V[j, j]) / 2.0
                of_roots.append(slope if abs(rho) < 1.0 - WHOLE else np.full(r + 1, np.nan))
    last = np.append(np.zeros(r), 1.0)
    of_variances.append(last * 2.0 * sigma**2)
    of_roots.append(last * sigma)
    return np.array(of_variances), np.array(of_roots)


def _places(design: Design) -> Iterator[tuple[Structure, slice]]:
    at = 0
    for term in design.random:
        stop = at + term.covariance.n_parameters
        yield term.covariance, slice(at, stop)
        at = stop


def _components(design: Design) -> Iterator[tuple[Structure, slice, Component]]:
    for structure, own in _places(design):
        for component in sds_first(structure.components):
            yield structure, own, component
