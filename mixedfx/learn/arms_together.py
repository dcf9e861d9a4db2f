r"""One mixed model of several arms, in which whatever differs between arms is pooled.

Two models of two arms, each fitted by itself, pool each arm: what one believes of a school rests on what that arm alone
shows, and the difference of two such beliefs is too spread out, since levels of schools vary more than effects do.
Whoever wants the difference has to let the difference be pooled. For a model of one arm, fixed columns f(x) and random
terms (z | g), the model of all arms here is

    y = beta_k 1 + f(x)'beta + q(x)'d_k + sum over terms of z'(u_g + v_kg) + e   in arm k,
    d_k ~ N(0, tau^2 I),  u_g ~ N(0, G),  v_kg ~ N(0, H).

* Each arm has an intercept of its own, which nothing pulls.
* Coefficients beta are common, d_k is by how much those of arm k deviate. q(x) is a basis of the columns f(x), centred,
  with mean squares of one and uncorrelated over the rows, so that the deviations q(x)'d_k have the same prior whatever
  unit, coding or reference level f was written in: the prior of Zellner (1986, in Goel and Zellner, eds, Bayesian
  Inference and Decision Techniques, 233-243), with tau^2 estimated. p columns in K arms are pK deviations, of which one
  variance is learnt.
* Levels of a random term have effects u common to the arms, and deviations v_k in each, with a covariance of their own
  and of the structure that the term was written with. The difference of two arms has variance 2H and is shrunk by that,
  while levels are shrunk by G.

Every arm is exchangeable with every other; nothing says which is the control. In lme4's notation, where x stands for
the basis q(x)::

    y ~ 1 + x + arm + id(0 + q | arm) + (1 + x | school) + (1 + x | arm:school)

Without an intercept among f(x) no arm has one, and q is not centred. A variance of deviations that is estimated as zero
is an answer, that arms do not differ there, and no warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.build import build_design
from mixedfx.design.spec import DesignSpec
from mixedfx.errors import (
    DataError,
    FewLevelsWarning,
    MixedfxWarning,
    OptionError,
    SingularFitWarning,
    StructureWarning,
)
from mixedfx.formula.mixed_formula import MixedFormula, RandomPart
from mixedfx.formula.parse import expand_dot, parse_formula
from mixedfx.learn.base_frame import OUTCOME

Array = NDArray[np.float64]
ARM = "arm_"
"""Column of the arm beside the columns of X."""
_NEGLIGIBLE = 1e-8  # of the length of a column: less of it is rounding


@dataclass(frozen=True, eq=False)
class Basis:
    """Columns of mean square one, uncorrelated, that span those of a fixed part less its intercept.

    Attributes
    ----------
    centre
        (p,) means of the columns; zeros where they have no intercept.
    turn
        (p, r) from centred columns to the basis.
    intercept
        Whether the columns span the constant.
    """

    centre: Array
    turn: Array
    intercept: bool

    @classmethod
    def of(cls, X: Array) -> Basis:
        """The basis of the columns X (n, p) of the rows learnt from.

        Examples
        --------
        >>> import numpy as np
        >>> from mixedfx.learn.arms_together import Basis
        >>> X = np.column_stack([np.ones(4), [0.0, 0.0, 1.0, 1.0], [1.0, 3.0, 2.0, 6.0]])
        >>> q = Basis.of(X)(X)
        >>> np.round(q.T @ q / 4, 10).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        n, p = X.shape
        intercept = False
        if p:
            rest = 1 - X @ np.linalg.lstsq(X, np.ones(n), rcond=None)[0]
            intercept = bool(np.abs(rest).max() < _NEGLIGIBLE)
        centre = X.mean(axis=0) if intercept else np.zeros(p)
        length = np.sqrt((X**2).mean(axis=0))
        centred = X - centre
        scale = np.sqrt((centred**2).mean(axis=0))
        varies = scale > _NEGLIGIBLE * length
        scale = np.where(varies, scale, 1.0)
        values, vectors = np.linalg.eigh(np.where(varies, centred / scale, 0.0).T @ (centred / scale) / max(n, 1))
        kept = values > _NEGLIGIBLE
        return cls(centre, vectors[:, kept] / np.sqrt(values[kept]) * (varies / scale)[:, None], intercept)

    def __call__(self, X: Array) -> Array:
        """(m, r) basis of other rows with columns X (m, p)."""
        return (X - self.centre) @ self.turn

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the basis."""
        return tuple(f"q{j + 1}_" for j in range(self.turn.shape[1]))


def joint_formula(formula: MixedFormula, basis: Basis) -> MixedFormula:
    """The formula of all arms, from that of one.

    Parameters
    ----------
    formula
        Of one arm.
    basis
        Of the columns of its fixed part.

    Raises
    ------
    OptionError
        Levels with known correlations, ``gr(...)``.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.formula.parse import parse_formula
    >>> from mixedfx.learn.arms_together import Basis, joint_formula
    >>> basis = Basis.of(np.column_stack([np.ones(3), [1.0, 2.0, 4.0]]))
    >>> print(joint_formula(parse_formula("y ~ x + (1 + x | school)"), basis))
    y ~ 1 + x + arm_ + id(0 + q1_ | arm_) + (1 + x | school) + (1 + x | arm_:school)
    """
    related = [part for part in formula.random if part.relation]
    if related:
        raise OptionError(
            f"{related[0]} has levels with known correlations, of which deviations of arms are not made",
            hint='Say arms="apart" of the model, which fits each arm by itself.',
        )
    own = [RandomPart("0 + " + " + ".join(basis.names), (ARM,), "id", 0)] if basis.names else []
    deviations = (replace(part, group=(ARM, *part.group)) for part in formula.random)
    fixed = f"{formula.fixed} + {ARM}" if basis.intercept else formula.fixed
    return replace(formula, fixed=fixed, random=(*own, *formula.random, *deviations))


@dataclass(frozen=True, eq=False)
class Together:
    """What a model of all arms reads besides the columns of X.

    Attributes
    ----------
    arms
        (K,) codes of the arms, ascending.
    formula
        Of all arms.
    columns
        Makes the columns of the fixed part of one arm.
    basis
        Of these.
    """

    arms: NDArray[Any]
    formula: MixedFormula
    columns: DesignSpec
    basis: Basis

    @classmethod
    def of(cls, right: str, data: pd.DataFrame, arm: Any, options: Mapping[str, Any]) -> Together:
        """Read it from the rows learnt from.

        Parameters
        ----------
        right
            Right side of the model of one arm.
        data
            (n, p) rows, with the outcome.
        arm
            (n,) codes.
        options
            Those of the model; ``contrasts`` and ``env`` concern columns.

        Raises
        ------
        DataError
            Arms of another length, or one only; columns of X with names that are needed.
        OptionError
            As in `joint_formula`.
        """
        codes = np.asarray(arm)
        if codes.shape != (len(data),):
            raise DataError(f"arm has shape {codes.shape}; there are {len(data)} rows", hint="One arm for each row.")
        arms = np.unique(codes)
        if len(arms) < 2:
            raise DataError(f"all {len(data)} rows are of one arm", hint="Give rows of two arms, or use fit.")
        formula = expand_dot(parse_formula(f"{OUTCOME} ~ {right}"), list(data.columns))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # the joint model says the same of these columns
            alone = build_design(
                replace(formula, random=(), offsets=()),
                data,
                na="raise",
                sigma_free=False,
                contrasts=options.get("contrasts"),
                env=options.get("env"),
            )
        basis = Basis.of(alone.X)
        taken = [name for name in (ARM, *basis.names) if name in data.columns]
        if taken:
            raise DataError(
                f"X has a column {taken[0]!r}, which is a name in the joint model of arms", hint="Rename it."
            )
        return cls(arms, joint_formula(formula, basis), alone.spec, basis)

    @property
    def right(self) -> str:
        """Right side of the model of all arms."""
        return str(replace(self.formula, response=None)).removeprefix("~ ")

    def beside(self, frame: pd.DataFrame, arm: Any) -> pd.DataFrame:
        """Rows with the arm, one for all or (m,), and the basis beside them."""
        q = self.basis(self.columns.replay(frame).X)
        codes = np.searchsorted(self.arms, np.broadcast_to(np.asarray(arm), len(frame)))
        labels = pd.Categorical.from_codes(codes, pd.Index([str(one) for one in self.arms]))
        return frame.assign(**{ARM: labels}, **dict(zip(self.basis.names, q.T, strict=True)))

    def is_expected(self, warning: Warning, fit: Any) -> bool:
        """Whether a fit warns of what the terms added here are meant to be.

        A common standard deviation of the basis, few arms, and deviations that do not vary: then arms do not differ
        there.
        """
        text = str(warning)
        if isinstance(warning, SingularFitWarning):
            return all(ARM in one.label.split(":") for one in fit.singularity.directions)
        if isinstance(warning, StructureWarning):
            return text.startswith(f"id(0 + {self.basis.names[0]}") if self.basis.names else False
        return isinstance(warning, FewLevelsWarning) and text.startswith(
            f"fewer than five levels: '{ARM}' ({len(self.arms)}). "
        )
