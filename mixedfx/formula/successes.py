"""Successes out of trials as other packages write them, and how they are written here: ``k | trials(m)``."""

from __future__ import annotations

import ast

from mixedfx.formula.python_code import PythonCode, read_code


def successes_of(code: PythonCode, node: ast.expr | None = None) -> str | None:
    """What to write for ``cbind(k, failures)`` or a share ``k / m``; None for anything else.

    Parameters
    ----------
    code
        The expression.
    node
        The part of its tree that is meant; all of it where None.
    """
    node = code.tree if node is None else node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return f"{code.render(node.left)} | trials({code.render(node.right)})"
    if not isinstance(node, ast.Call) or any(isinstance(part, ast.Starred) for part in node.args):
        return None
    match ast.unparse(node.func), node.args:
        case "I", [inner]:
            return successes_of(code, inner)
        case "np.divide" | "np.true_divide", [successes, trials]:
            return f"{code.render(successes)} | trials({code.render(trials)})"
        case "cbind", [successes, failures]:
            total = ast.BinOp(successes, ast.Add(), failures)
            return f"{code.render(successes)} | trials({code.render(total)})"
    return None


def as_trials(response: str) -> str:
    """What a binomial response without its number of trials is to be replaced by.

    Examples
    --------
    >>> from mixedfx.formula.successes import as_trials
    >>> as_trials("I(k / m)")
    'Write k | trials(m) ~ ...'
    >>> as_trials("p")
    'Write p | trials(m) ~ ..., or of shares np.round(p * m) | trials(m) ~ ..., m a column or a number'
    """
    form = successes_of(read_code(response, 0, response))
    if form is not None:
        return f"Write {form} ~ ..."
    shares = f"np.round({response} * m) | trials(m)"
    return f"Write {response} | trials(m) ~ ..., or of shares {shares} ~ ..., m a column or a number"
