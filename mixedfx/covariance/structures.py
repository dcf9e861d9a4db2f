"""The registry of covariance structures, and what a random term asks of one.

The effects of one level of a term with k columns have covariance sigma^2 T T' (Bates et al. 2015, equation 4, where
Lambda is block diagonal with T repeated for each level). A structure is a family of such covariances. It has two sets
of numbers:

* `parameters`, in which the engine optimises. They are free of bounds: where a standard deviation is zero, or a
  correlation at the end of its range, the criterion is stationary by symmetry, and its curvature says whether the
  minimum is there (see `mixedfx.reml.trust_region`). `factor` gives T, `directions` its first derivatives and
  `curvature` the second ones, None where T is linear;
* `theta`, as users read and give it.

A new structure is one class with the members of `Structure`, most of which `Family` gives it, and one line of
`STRUCTURES`; where one more correlation is all, one class of `Correlation`. Contract tests run over the registry
(tests/covariance), and no other folder asks for the name of a structure (tests/test_house.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component, Scaling
from mixedfx.covariance.correlations import Correlation
from mixedfx.covariance.exchangeable import CompoundSymmetry, HomogeneousSymmetry
from mixedfx.covariance.sampled import Sampled
from mixedfx.covariance.serial import Autoregressive, HeterogeneousAutoregressive
from mixedfx.covariance.triangular import Diagonal, Identity, Unstructured

Vector = NDArray[np.float64]


class Structure(Protocol):
    """What is asked of a covariance structure of k columns; leading axes (...) are any number of points.

    Attributes
    ----------
    k
        Number of columns.
    name
        As in formulas, ``us(x | g)``.
    scaling
        Which changes of the columns leave the family as it is: any (upper triangles), of each unit, of a common unit.
    n_parameters
        Length r of the parameters, and of theta.
    entries
        Row and column in T of each parameter where parameters are entries of a triangle; None elsewhere.
    stationary
        (r,) which parameters enter the covariance by their squares: at zero the criterion is stationary, and a
        variance is zero or a correlation at an end of its range.
    components
        The standard deviations and correlations, in the order of lme4's tables.
    n_sds, n_correlations
        How many there are of each.
    free
        Whether every covariance is of the family, and parameters are the entries of a triangle.
    in_order
        Whether the order of the columns matters.
    manner
        How columns are correlated, in a word, for headings.
    stan
        The chunk of Stan that has the correlations (`mixedfx/_stan/random/`); empty where there are none.
    least_eta
        The LKJ prior of the correlations needs an eta above this.
    sampled
        The coordinates in which its covariances are sampled.
    """

    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scaling(self) -> Scaling: ...  # noqa: D102
    @property
    def n_parameters(self) -> int: ...  # noqa: D102
    @property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None: ...  # noqa: D102
    @property
    def stationary(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def components(self) -> tuple[Component, ...]: ...  # noqa: D102
    @property
    def n_sds(self) -> int: ...  # noqa: D102
    @property
    def n_correlations(self) -> int: ...  # noqa: D102
    @property
    def free(self) -> bool: ...  # noqa: D102
    @property
    def in_order(self) -> bool: ...  # noqa: D102
    @property
    def manner(self) -> str: ...  # noqa: D102
    @property
    def stan(self) -> str: ...  # noqa: D102
    @property
    def least_eta(self) -> float: ...  # noqa: D102
    @property
    def sampled(self) -> Sampled: ...  # noqa: D102

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) factors T at parameters (..., r)."""
        ...

    def parameters(self, T: Vector) -> Vector:
        """(..., r) parameters of the covariances T T' (..., k, k) of the family, `stationary` ones not negative."""
        ...

    def directions(self, par: Vector) -> Vector:
        """(..., r, k, k) first derivatives of `factor`."""
        ...

    def curvature(self, par: Vector) -> Vector | None:
        """(..., r, r, k, k) second derivatives of `factor`; None where it is linear."""
        ...

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., r) which `stationary` parameters are within `near` of an end of their range."""
        ...

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., r) parameters with those that are `at_end` put there."""
        ...

    def theta(self, T: Vector) -> Vector:
        """(..., r) theta, as users read it, of factors T (..., k, k) of the family."""
        ...

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at theta (..., r); the inverse of `theta`."""
        ...

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """(r,) names of theta; `shared` names what belongs to all columns."""
        ...

    def patterns(self, T: Vector) -> Vector:
        """(m, k, k) derivatives of the covariance in parameters of its own, at the factor T (k, k).

        They must not vanish at an end of the range: variances and covariances rather than `parameters`.
        """
        ...

    def held(self, component: Component) -> tuple[Structure, int, Correlation | None]:
        """A structure of the same family that has a component for a parameter, and which parameter that is.

        A standard deviation is the parameter itself; of a correlation it is an angle, and what it is an angle of comes
        third.
        """
        ...


STRUCTURES: dict[str, Any] = {
    "us": Unstructured,
    "diag": Diagonal,
    "id": Identity,
    "cs": CompoundSymmetry,
    "homcs": HomogeneousSymmetry,
    "ar1": Autoregressive,
    "hetar1": HeterogeneousAutoregressive,
}
"""Name in formulas -> class. ``us`` is written ``|`` and ``diag`` ``||``, too."""


def structure_for(k: int, name: str) -> Structure:
    """The structure `name` of a term with k columns; with one column all are the same.

    Examples
    --------
    >>> from mixedfx.covariance.structures import structure_for
    >>> structure_for(3, "us").n_parameters, structure_for(3, "homcs").n_parameters
    (6, 2)
    """
    found: Any = Diagonal(1) if k == 1 and name != "us" else STRUCTURES[name](k)
    return found


TRIES, TOLERANCE = 20, 1e-9  # points at which families are compared, and the relative difference that is rounding


def is_special_case(small: Structure, large: Structure, places: Sequence[int]) -> bool:
    """Whether each covariance of `small` is one of `large`, its columns being those at `places` of the other's.

    Seen at points all over the ranges of the parameters: two families are analytic, so that one that holds the other
    at points enough holds it everywhere.

    Examples
    --------
    >>> from mixedfx.covariance.structures import is_special_case, structure_for
    >>> is_special_case(structure_for(3, "homcs"), structure_for(3, "cs"), (0, 1, 2))
    True
    >>> is_special_case(structure_for(3, "cs"), structure_for(3, "homcs"), (0, 1, 2))
    False
    """
    par = np.random.default_rng(0).uniform(-3.0, 3.0, (TRIES, small.n_parameters))
    T = np.zeros((TRIES, large.k, large.k))
    T[:, list(places), : small.k] = small.factor(par)
    found = large.factor(large.parameters(T))
    ours, theirs = T @ T.transpose(0, 2, 1), found @ found.transpose(0, 2, 1)
    return bool(np.all(np.abs(ours - theirs).max(axis=(1, 2)) <= TOLERANCE * np.abs(ours).max(axis=(1, 2))))
