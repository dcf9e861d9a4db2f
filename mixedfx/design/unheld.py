"""Numbers of rows that nobody holds: they have a shape, and anything else that is asked of them is refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from mixedfx.errors import RowsNotHeldError


class Unheld:
    """The place of an array or a frame over the rows of a fit that read them in batches.

    Parameters
    ----------
    what
        What it would hold, for the message.
    shape
        Its shape.

    Examples
    --------
    >>> from mixedfx.design.unheld import Unheld
    >>> y = Unheld("the response", (10,))
    >>> len(y), y.shape
    (10, (10,))
    >>> y + 1
    Traceback (most recent call last):
    mixedfx.errors.RowsNotHeldError: this needs the response row by row, and the fit read its rows in batches ...
    """

    __array_ufunc__ = None  # NumPy's operators leave the answer to this class

    def __init__(self, what: str, shape: tuple[int, ...]) -> None:
        self.what, self.shape = what, shape

    def __len__(self) -> int:
        return self.shape[0]

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RowsNotHeldError(
            f"this needs {self.what} row by row, and the fit read its rows in batches without holding them",
            hint="fitted, residuals(), predict(..., to=) and mx.effects read them anew; for all else fit with "
            "stream=False, which holds the rows in memory.",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    __array__ = __getitem__ = __iter__ = __contains__ = __eq__ = __ne__ = __lt__ = __gt__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = __pow__ = _refuse
    __truediv__ = __rtruediv__ = __neg__ = __abs__ = __bool__ = _refuse
    __hash__ = object.__hash__


class BatchedRows(Protocol):
    """What reads the rows of a design batch by batch; `mixedfx.design.streamed.Streamed` does."""

    @property
    def n(self) -> int:
        """Number of rows used."""
        ...

    @property
    def how(self) -> str:
        """How they came to their cross-products, in words."""
        ...

    @property
    def facts(self) -> Any:
        """What is known of all rows."""
        ...

    def parts(self, spec: Any = None) -> Iterator[Any]:
        """Each batch as a design."""
        ...

    def products(self, REML: bool) -> Any:
        """The cross-products of all rows, formed once."""
        ...
