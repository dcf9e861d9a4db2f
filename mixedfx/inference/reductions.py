"""Random terms made smaller by one: what the tests of `ranova` compare a model with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfx.design.design import Design, RandomTerm


@dataclass(frozen=True)
class Reduction:
    """A model with a random term made smaller.

    Attributes
    ----------
    label
        What is taken out, ``"Days in (Days | Subject)"`` or ``"(1 | Subject)"``.
    random
        The random terms that are left.
    variances, covariances
        How many parameters go.
    """

    label: str
    random: tuple[RandomTerm, ...]
    variances: int
    covariances: int


def reductions(design: Design) -> tuple[Reduction, ...]:
    """Every random term made smaller by one term of its left side; a term with one only is left out as a whole.

    As in lmerTest, a correlated term keeps its intercept as long as it has slopes. The terms of an uncorrelated one
    go one by one, the intercept too.
    """
    out = []
    for t, (term, spec) in enumerate(zip(design.random, design.spec.random, strict=True)):
        inner = design.terms.random[t].left
        bar = "|" if term.correlated else "||"
        written = f"({spec.part.text} {bar} {term.label})"
        others = design.random[:t], design.random[t + 1 :]
        if term.covariance.entries is None:  # all its columns are one thing
            kinds = [component.kind for component in term.covariance.components]
            whole = f"{term.structure}({spec.part.text} | {term.label})"
            out.append(Reduction(whole, (*others[0], *others[1]), kinds.count("sd"), kinds.count("cor")))
            continue
        candidates = inner
        if term.correlated and len(inner) > 1:
            candidates = tuple(i for i in inner if i.variables)
            candidates = tuple(
                i for i in candidates if not any(i.variables < o.variables for o in candidates if o is not i)
            )
        for candidate in candidates:
            left = [c for c in range(term.n_columns) if c not in candidate.coefficients]
            variances = term.n_columns - len(left)
            covariances = (variances * (variances - 1) // 2 + variances * len(left)) if term.correlated else 0
            names = tuple(term.columns[c] for c in left)
            rest = (replace(term, columns=names, z=np.ascontiguousarray(term.z[:, left])),) if left else ()
            label = f"{candidate.text} in {written}" if left else written
            out.append(Reduction(label, (*others[0], *rest, *others[1]), variances, covariances))
    return tuple(out)
