"""One model, several completed data sets: plausible values on the left of a formula, imputations as frames.

``[PV1MATH:PV10MATH] ~ ses + (1 | school)`` names the plausible values of the response, by their first and last or one
by one; ``responses=`` lists them for a formula whose response is a name of their own. ``imputations=`` is a list of
frames, or the column of a long frame that says to which imputation a row belongs, as mice writes it (0 being the data
with their gaps). The model is fitted to each data set, and the fits are one `PooledFit`.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.frame import column, column_names, nearest, to_pandas
from mixedfx.errors import DataError, FormulaError, MixedfxWarning, OptionError, PlausibleValueWarning, outside
from mixedfx.formula.names import quote
from mixedfx.surveys.pool import check_alike, pooled_fits

BRACKET = re.compile(r"\s*\[(?P<inside>[^\]]*)\](?P<rest>[^~]*~.*)", re.DOTALL)
NUMBER = re.compile(r"\d+")
WORD = re.compile(r"`[^`]+`|[A-Za-z_.][\w.]*")
PLAUSIBLE, IMPUTED = "plausible values", "imputations"
Combine = Callable[[Sequence[Any], tuple[str, ...], str, str], Any]
ORIGINAL = 0  # what mice calls the data before imputation


@dataclass(frozen=True)
class DataSet:
    """One of the data sets.

    Attributes
    ----------
    label
        What it is called.
    formula
        The formula for it.
    data
        Its rows.
    """

    label: str
    formula: str
    data: Any


def fit_several(
    formula: Any,
    data: Any,
    responses: Sequence[str] | None,
    imputations: Any,
    fit: Callable[[str, Any, int], Any],
    combine: Combine = pooled_fits,
) -> Any:
    """Fit each data set and pool.

    Parameters
    ----------
    formula, data, responses, imputations
        As `mixedfx.lmer` takes them.
    fit
        Formula, data and number of data sets -> a fit.
    combine
        Fits, names of the data sets, formula, what they are -> one fit.

    Raises
    ------
    DataError, FormulaError, OptionError
        What cannot be read as several data sets of the same rows.
    """
    sets = data_sets(formula, data, responses, imputations)
    what = PLAUSIBLE if imputations is None else IMPUTED
    heard: Counter[tuple[type[Warning], str]] = Counter()
    fits = []
    for one in sets:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", PlausibleValueWarning)  # the others are fitted too
            fits.append(fit(one.formula, one.data, len(sets)))
        heard.update({(w.category, str(w.message)) for w in caught if issubclass(w.category, MixedfxWarning)})
    for (kind, text), count in heard.items():
        where = "all" if count == len(sets) else f"{count} of {len(sets)}"
        warnings.warn(f"{text} (in {where} {what})", kind, outside())
    check_alike(fits, tuple(one.label for one in sets))
    return combine(fits, tuple(one.label for one in sets), str(formula).strip(), what)


def data_sets(formula: Any, data: Any, responses: Sequence[str] | None, imputations: Any) -> list[DataSet]:
    """The data sets that a call asks for; see `fit_several`.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.surveys.several import data_sets
    >>> pupils = pd.DataFrame({"PV1": [1.0, 2.0], "PV2": [1.5, 2.5], "x": [0, 1]})
    >>> [one.formula for one in data_sets("[PV1:PV2] ~ x", pupils, None, None)]
    ['PV1 ~ x', 'PV2 ~ x']
    """
    text = str(formula)
    if imputations is not None:
        if responses is not None or text.lstrip().startswith("["):
            raise OptionError(
                "plausible values and imputations= are two sets of data sets",
                hint="Put plausible value k into imputation k, as one column, and give imputations= alone.",
            )
        return _imputed(text, data, imputations)
    names = column_names(data)
    found = BRACKET.fullmatch(text)
    if found is not None:
        if responses is not None:
            raise OptionError("responses= and [...] in the formula name responses twice", hint="Leave one of them out.")
        columns = _listed(found["inside"], names, text)
        _check_same_rows(to_pandas(data, columns), columns)
        return [DataSet(name, f"{quote(name)}{found['rest']}", data) for name in columns]
    if responses is None:
        raise FormulaError(
            "the left side begins with [ and is no list of responses", formula=text, column=0,
            hint="Write [PV1MATH:PV10MATH] ~ ..., or [PV1MATH, PV2MATH] ~ ...",
        )  # fmt: skip
    columns = [str(name) for name in responses]
    _check_known(columns, names)
    _check_several(columns, "responses=")
    _check_same_rows(to_pandas(data, columns), columns)
    left, tilde, right = text.partition("~")
    place = _placeholder(left, names, text)
    pieces = [word if word.strip("`") != place else None for word in re.split(f"({WORD.pattern})", left)]
    lefts = ["".join(quote(name) if piece is None else piece for piece in pieces) for name in columns]
    return [DataSet(name, own + tilde + right, data) for name, own in zip(columns, lefts, strict=True)]


def _placeholder(left: str, names: Sequence[Any], formula: str) -> str:
    """The name on the left that stands for each response: one that is no column, or the only one there is."""
    words = list(dict.fromkeys(m[0].strip("`") for m in WORD.finditer(left)))
    unknown = [word for word in words if word not in names and f"{word}(" not in left.replace(" ", "")]
    chosen = unknown or [word for word in words if word in names]
    if len(chosen) != 1:
        raise FormulaError(
            "it is not clear where on the left side the responses belong", formula=formula, column=0,
            hint='Write one name there, as in mx.lmer("math ~ ses + (1 | school)", data, responses=[...]).',
        )  # fmt: skip
    return chosen[0]


def _listed(inside: str, names: Sequence[Any], formula: str) -> list[str]:
    """Columns named in brackets: separated by commas, ``first:last`` for all between."""
    out: list[str] = []
    for piece in inside.split(","):
        ends = [end.strip().strip("`") for end in piece.split(":")]
        if len(ends) > 2 or not all(ends):
            raise FormulaError(
                f"[{inside}] is no list of responses", formula=formula, column=0,
                hint="Write [PV1MATH:PV10MATH] ~ ..., or [PV1MATH, PV2MATH] ~ ...",
            )  # fmt: skip
        out += ends if len(ends) == 1 else _between(ends[0], ends[1], names)
    _check_known(out, names)
    _check_several(out, "the formula")
    return out


def _between(first: str, last: str, names: Sequence[Any]) -> list[str]:
    """PV1MATH ... PV10MATH: the names that differ in one number, counting from the first to the last."""
    for a, b in zip(NUMBER.finditer(first), NUMBER.finditer(last), strict=False):
        head, tail = first[: a.start()], first[a.end() :]
        if last[: b.start()] == head and last[b.end() :] == tail and int(a[0]) < int(b[0]):
            width = len(a[0]) if a[0].startswith("0") else 0
            return [f"{head}{number:0{width}d}{tail}" for number in range(int(a[0]), int(b[0]) + 1)]
    _check_known([first, last], names)
    raise DataError(
        f"[{first}:{last}] does not count: the two names differ in more than one number",
        hint="Name the columns one by one: [a, b, c] ~ ...",
    )


def _check_known(columns: Sequence[str], names: Sequence[Any]) -> None:
    for name in columns:
        if name not in names:
            raise DataError(f"the data have no column '{name}'", hint=nearest(name, names))


def _check_several(columns: Sequence[str], where: str) -> None:
    if len(set(columns)) < len(columns):
        raise DataError(f"{where} names a response twice", hint="Name each once.")
    if len(columns) < 2:
        raise DataError(
            f"{where} names one response, and what differs between data sets needs several",
            hint="A single response is written without brackets.",
        )


def _check_same_rows(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse responses that are missing in different rows."""
    first = column(frame, columns[0]).isna().to_numpy()
    for name in columns[1:]:
        other = column(frame, name).isna().to_numpy()
        if not np.array_equal(first, other):
            count = int((first != other).sum())
            raise DataError(
                f"{name} and {columns[0]} are missing in different rows ({count} of them)",
                hint=f"Leave out rows without all of them: data.dropna(subset={list(columns[:2])!r} ...).",
            )


def _imputed(text: str, data: Any, imputations: Any) -> list[DataSet]:
    if isinstance(imputations, str):
        return _of_long(text, data, imputations)
    if isinstance(imputations, pd.DataFrame) or not isinstance(imputations, Sequence):
        raise OptionError(
            "imputations= is a list of frames, or the name of a column of data",
            hint='For a long frame write imputations=".imp".',
        )
    if data is not None:
        raise OptionError("imputations= holds the data, and data= gives other ones", hint="Leave data out: None.")
    frames = list(imputations)
    if len(frames) < 2:
        raise DataError("imputations= needs at least two data sets", hint="One completed data set is given as data.")
    sizes = [len(to_pandas(frame, column_names(frame)[:1])) for frame in frames]
    if len(set(sizes)) > 1:
        raise DataError(
            f"the imputations have different numbers of rows: {', '.join(map(str, sizes))}",
            hint="Every completed data set has to hold the same rows, in the same order.",
        )
    return [DataSet(f"{k + 1}", text, frame) for k, frame in enumerate(frames)]


def _of_long(text: str, data: Any, name: str) -> list[DataSet]:
    """The imputations of a long frame."""
    frame = data if isinstance(data, pd.DataFrame) else to_pandas(data)
    if name not in frame.columns:
        raise DataError(f"the data have no column '{name}'", hint=nearest(name, frame.columns))
    which = column(frame, name)
    if which.isna().any():
        raise DataError(f"'{name}' is missing in {int(which.isna().sum())} rows", hint="It says whose row it is.")
    parts = {value: frame.loc[which == value].drop(columns=name) for value in pd.unique(which).tolist()}
    if len(parts) > 1 and ORIGINAL in parts and parts[ORIGINAL].isna().to_numpy().any():
        del parts[ORIGINAL]
    if len(parts) < 2:
        raise DataError(f"'{name}' tells fewer than two imputations apart", hint="Give the long frame of all of them.")
    sizes = {str(value): len(part) for value, part in parts.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{value}: {size}" for value, size in sizes.items())
        raise DataError(
            f"the imputations have different numbers of rows ({shown})",
            hint="Every completed data set has to hold the same rows, in the same order.",
        )
    return [DataSet(str(value), text, part.reset_index(drop=True)) for value, part in parts.items()]
