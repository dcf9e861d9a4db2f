"""Which columns a formula needs."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from mixedfx.errors import FormulaError
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.safety import check_tokens, relocate
from mixedfx.formula.scan import scan


def variables(formula: MixedFormula, env: Collection[str] = ()) -> tuple[str, ...]:
    """Every data column a formula needs, and the last check before anything is evaluated.

    Parameters
    ----------
    formula
        A parsed formula; ``.`` in it stands for no column.
    env
        Names the caller passes to the evaluation. Where a column of the data has the same name, the column is meant:
        leave such names out of `env`.

    Returns
    -------
    tuple of str
        Column names without backticks, in order of appearance, each once.

    Raises
    ------
    UnsafeFormulaError
        The formula calls a function that is neither documented nor in `env`.

    Examples
    --------
    >>> from mixedfx.formula.parse import parse_formula
    >>> from mixedfx.formula.variables import variables
    >>> variables(parse_formula("np.log(y) ~ C(x, Treatment('a')) + (z | `my school`) + offset(w)"))
    ('y', 'x', 'z', 'my school', 'w')
    """
    return tuple(name for name in free_names(formula, env) if name not in env)


def free_names(formula: MixedFormula, env: Collection[str] | None) -> tuple[str, ...]:
    """Names a formula uses, columns or names in `env`, in order of appearance; ``.`` is left out.

    Parameters
    ----------
    formula
        A parsed formula.
    env
        As in `mixedfx.formula.safety.check_tokens`; None lets calls of unknown functions through.
    """
    return _free_names(formula, None if env is None else frozenset(env))


@lru_cache(maxsize=512)
def _free_names(formula: MixedFormula, env: frozenset[str] | None) -> tuple[str, ...]:
    names: dict[str, None] = {}
    pieces = [formula.response or "", *(addition.argument for addition in formula.additions), formula.fixed]
    for piece in pieces:
        names.update(dict.fromkeys(_names(piece, formula, env)))
    for part in formula.random:
        names.update(dict.fromkeys((*_names(part.left, formula, env), *part.group)))
    for piece in formula.offsets:
        names.update(dict.fromkeys(_names(piece, formula, env)))
    return tuple(names)


def _names(piece: str, formula: MixedFormula, env: Collection[str] | None) -> tuple[str, ...]:
    try:
        return check_tokens(scan(piece), piece, env)
    except FormulaError as error:
        raise relocate(error, piece, formula.text) from None
