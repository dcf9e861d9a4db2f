r"""The parameters of a family besides the linear predictor, as the engine estimates them: parts of phi.

A part takes entries of phi to what the family is asked with, and the family's derivatives, which are in the logarithm
of a parameter (in the thresholds themselves), back to derivatives in phi:

* `Single`: one parameter v with the coordinate of its range (`mixedfx.priors.auxiliary`), d log v / d phi = v' / v;
* `ByRow`: log v_i = phi_0 + d_i' phi_rest, the model of ``dispersion=``; d log v_i / d phi = (1, d_i);
* `Thresholds`: those of an ordered response are the coordinates themselves. Their density is log-concave in (eta,
  thresholds), as long as they are in order (Burridge 1981, JRSS B 43:41; Pratt 1981, JASA 76:103), and zero where not,
  so that Newton's steps need no other coordinates, and profiles are straight lines;
* `Known`: nothing is estimated.

Every map is one of single entries, so that what users read is an elementwise function of phi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.checks import check_held
from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.families.family import Family
from mixedfx.priors.auxiliary import AUXILIARY, AuxiliaryParameter

Vector = NDArray[np.float64]
Key = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Single:
    """One parameter, the same in all rows."""

    name: str

    @property
    def about(self) -> AuxiliaryParameter:
        """What it is."""
        return AUXILIARY[self.name]

    @property
    def labels(self) -> tuple[str, ...]:
        """As users read it."""
        return (self.name,)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of draws."""
        return ((self.name,),)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Ends of what users read."""
        return (self.about.bounds,)

    def natural(self, phi: Vector) -> Vector:
        """(..., 1) what users read, at (..., 1) entries of phi."""
        return self.about.value(phi)

    def coordinates(self, natural: Vector) -> Vector:
        """The entries of phi."""
        return self.about.coordinate(natural)

    def slopes(self, phi: Vector) -> Vector:
        """Derivatives of what users read in phi."""
        return self.about.slope(phi)

    def of_family(self, natural: Vector) -> Vector:
        """(D,) what the family is asked with, from (D, 1) of what users read."""
        return natural[:, 0]

    def chain(self, phi: Vector, found: Vector) -> Vector:
        """(1, 3, D, n) derivatives in phi, from (3, D, n) of the family."""
        return found[None] * (self.about.slope(phi) / self.about.value(phi))[0]


@dataclass(frozen=True, eq=False)
class ByRow:
    """A parameter above zero whose logarithm has a model, with columns (n, k) of the rows."""

    name: str
    columns: Vector
    terms: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Its value where the columns are zero, and the coefficients."""
        return (self.name, *(f"dispersion__{term}" for term in self.terms))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of draws."""
        return ((self.name,), *(("dispersion", term) for term in self.terms))

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Ends of what users read."""
        return ((0.0, np.inf), *((-np.inf, np.inf) for _ in self.terms))

    def natural(self, phi: Vector) -> Vector:
        """The value is the exponential of its entry, coefficients are theirs."""
        return np.concatenate([np.exp(phi[..., :1]), phi[..., 1:]], axis=-1)

    def coordinates(self, natural: Vector) -> Vector:
        """The entries of phi."""
        return np.concatenate([np.log(natural[..., :1]), natural[..., 1:]], axis=-1)

    def slopes(self, phi: Vector) -> Vector:
        """Derivatives of what users read in phi."""
        return np.concatenate([np.exp(phi[..., :1]), np.ones_like(phi[..., 1:])], axis=-1)

    def of_family(self, natural: Vector) -> Vector:
        """(D, n) values of the rows."""
        return natural[:, :1] * np.exp(natural[:, 1:] @ self.columns.T)

    def chain(self, phi: Vector, found: Vector) -> Vector:
        """(k + 1, 3, D, n) derivatives in phi."""
        return np.concatenate([found[None], found[None] * self.columns.T[:, None, None, :]])

    def of_rows(self, columns: Vector) -> ByRow:
        """The same of other rows."""
        return replace(self, columns=columns)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds between the categories of an ordered response."""

    categories: tuple[str, ...]
    name: str = "threshold"

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories on both sides."""
        return tuple(f"{a}|{b}" for a, b in zip(self.categories, self.categories[1:], strict=False))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of draws, as those of a posterior."""
        return tuple((self.name, str(k + 1)) for k in range(len(self.categories) - 1))

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Ends of what users read."""
        return ((-np.inf, np.inf),) * (len(self.categories) - 1)

    def natural(self, phi: Vector) -> Vector:
        """Phi itself."""
        return phi

    def coordinates(self, natural: Vector) -> Vector:
        """The same."""
        return natural

    def slopes(self, phi: Vector) -> Vector:
        """Ones."""
        return np.ones_like(phi)

    def of_family(self, natural: Vector) -> Vector:
        """(D, K - 1) thresholds."""
        return natural

    def chain(self, phi: Vector, found: Vector) -> Vector:
        """(K - 1, 3, D, n) derivatives in phi: those of the family."""
        return found


@dataclass(frozen=True, eq=False)
class Known:
    """A parameter with a known value."""

    name: str
    number: float
    labels: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()

    def natural(self, phi: Vector) -> Vector:
        """Nothing."""
        return phi

    def coordinates(self, natural: Vector) -> Vector:
        """Nothing."""
        return natural

    def slopes(self, phi: Vector) -> Vector:
        """Nothing."""
        return phi

    def of_family(self, natural: Vector) -> Vector:
        """(D,) the value."""
        return np.full(len(natural), self.number)

    def chain(self, phi: Vector, found: Vector) -> Vector:
        """Nothing is estimated."""
        return np.zeros((0, *found.shape))


Part = Single | ByRow | Thresholds | Known


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """All parts of phi, one after the other."""

    parts: tuple[Part, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """(a,) entries as users read them."""
        return tuple(label for part in self.parts for label in part.labels)

    @property
    def keys(self) -> tuple[Key, ...]:
        """(a,) keys of draws."""
        return tuple(key for part in self.parts for key in part.keys)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """(a,) ends of what users read."""
        return tuple(ends for part in self.parts for ends in part.ranges)

    @property
    def plain(self) -> bool:
        """Whether every parameter is one number for all rows."""
        return all(isinstance(part, Single | Known) for part in self.parts)

    def places(self) -> list[tuple[Part, slice]]:
        """Each part with its entries."""
        out, start = [], 0
        for part in self.parts:
            stop = start + len(part.labels)
            out.append((part, slice(start, stop)))
            start = stop
        return out

    def natural(self, phi: Vector) -> Vector:
        """(..., a) what users read, at phi (..., a)."""
        return self._mapped("natural", phi)

    def coordinates(self, natural: Vector) -> Vector:
        """(..., a) phi of what users read."""
        return self._mapped("coordinates", natural)

    def slopes(self, phi: Vector) -> Vector:
        """(..., a) derivatives of what users read in phi."""
        return self._mapped("slopes", phi)

    def coordinate(self, index: int, value: float) -> float:
        """The entry of phi where what users read in its place is `value`; other entries have other ranges."""
        return self._entry("coordinates", index, value)

    def slope(self, index: int, phi: float) -> float:
        """Derivative of what users read in an entry of phi, where that is `phi`."""
        return self._entry("slopes", index, phi)

    def _entry(self, name: str, index: int, value: float) -> float:
        part, at = next((part, at) for part, at in self.places() if at.start <= index < at.stop)
        values = np.ones(at.stop - at.start)  # which every other entry of a part may be
        values[index - at.start] = value
        return float(getattr(part, name)(values)[index - at.start])

    def _mapped(self, name: str, values: Vector) -> Vector:
        values = np.asarray(values, dtype=np.float64)
        parts = [getattr(part, name)(values[..., at]) for part, at in self.places()]
        return np.concatenate([*parts, values[..., :0]], axis=-1)

    def of_family(self, natural: Vector) -> dict[str, Vector]:
        """Name -> values that a family is asked with, from (D, a) of what users read."""
        return {part.name: part.of_family(natural[:, at]) for part, at in self.places()}

    def chain(self, phi: Vector, found: Mapping[str, Vector], shape: tuple[int, ...]) -> Vector:
        """(a, 3, D, n) derivatives in phi (a,), from the family's; `shape` is (3, D, n)."""
        parts = [part.chain(phi[at], found[part.name]) for part, at in self.places() if part.name in found]
        return np.concatenate([*parts, np.zeros((0, *shape))])

    def of_rows(self, columns: Vector | None) -> Auxiliary:
        """The same of other rows, with these columns (n, k) of the model of the dispersion."""
        if columns is None:
            return self
        return Auxiliary(tuple(part.of_rows(columns) if isinstance(part, ByRow) else part for part in self.parts))


def auxiliary_of(design: Design, family: Family, order: NDArray[np.intp] | slice = slice(None)) -> Auxiliary:
    """The parameters of a family for the rows of a design, in the order given.

    Raises
    ------
    ModelError
        ``dispersion=`` of a family that has none, or whose standard deviations are known.
    OptionError
        A known value outside the range of its parameter.
    """
    held, parts = dict(family.held), []
    check_held(family)
    spread = design.dispersion
    if spread is not None:
        _check_dispersed(design, family, held)
    for name in family.auxiliary:
        if name == "sigma" and design.known_sd is not None:
            continue
        if name in held:
            parts.append(Known(name, held[name]))
        elif spread is not None and name == family.dispersed:
            parts.append(ByRow(name, np.ascontiguousarray(spread.columns[order]), spread.names))
        else:
            parts.append(Single(name))
    if family.outcome == "ordered":
        parts.append(Thresholds(tuple(map(str, design.categories or ()))))
    return Auxiliary(tuple(parts))


def _check_dispersed(design: Design, family: Family, held: Mapping[str, float]) -> None:
    if family.dispersed is None:
        raise ModelError(
            f"dispersion= models a parameter of the family, and {family.name} has none that its variance depends on",
            hint="Counts may have family='negbinomial', successes out of trials family='beta_binomial'.",
        )
    if family.dispersed in held or (family.dispersed == "sigma" and design.known_sd is not None):
        raise ModelError(f"dispersion= models {family.dispersed}, which is known", hint="Leave one of them out.")


def check_occurring(categories: Sequence[str], y: Vector) -> None:
    """Refuse an ordered response one of whose categories never occurs.

    Raises
    ------
    ModelError
        Naming it.
    """
    missing = np.setdiff1d(np.arange(len(categories)), y.astype(int))
    if len(missing):
        raise ModelError(
            f"no response is {categories[missing[0]]!r}: the thresholds beside it have no maximum likelihood estimate",
            hint="Drop or join the category; mx.bayes estimates it with its priors.",
        )
