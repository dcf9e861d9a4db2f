"""Codes with labels -> categories: what Stata, SPSS and R's haven call labelled values.

Three questions are answered for each column, in this order, and the same for every kind of file.

* Which codes stand for a missing value: those that the file declares. They are counted by kind.
* Whether labels make it categories. They do where at least as many of the codes that occur have a label as have
  none; otherwise (a scale of which only the ends are labelled, an age whose 98 means "98 or older") they are numbers,
  and the labels a few words about some of them.
* In which order. That of the file's labels; a code without a label is called by its number, and stands in its place
  among the codes where labels are in the order of their codes, after them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from mixedfx.files.recognised import cells, counted, listed

Values = Literal["auto", "labels", "codes"]
VALUES = ("auto", "labels", "codes")
FEW = 3  # labels that a note shows of a column


@dataclass
class LabelNotes:
    """Columns to tell of.

    Attributes
    ----------
    categories
        Column -> number of its categories, where labels made it categories.
    numbers
        Column -> code -> label, where codes stayed numbers.
    unlabelled
        Column -> code -> rows, where codes without a label became categories.
    missing
        Column -> kind of missing value -> rows.
    shared
        Column -> labels that several codes have.
    """

    categories: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, dict[Any, str]] = field(default_factory=dict)
    unlabelled: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    shared: dict[str, list[str]] = field(default_factory=dict)

    def lost(self, name: str, kind: str, rows: int) -> None:
        """Count rows whose value is missing."""
        kinds = self.missing.setdefault(name, {})
        kinds[kind] = kinds.get(kind, 0) + rows

    def sentences(self) -> list[str]:
        """What to say of them."""
        said = []
        if self.categories:
            shown = listed([f"{name} ({n})" for name, n in self.categories.items()])
            said.append(f"categories, by the labels of codes: {shown}")
        if self.unlabelled:
            said.append(f"codes without a label, categories of their own: {cells(self.unlabelled)}")
        if self.shared:
            shown = listed([f"{' and '.join(map(repr, texts))} in {name}" for name, texts in self.shared.items()])
            said.append(f"labels of several codes, which stand beside them: {shown}")
        if self.numbers:
            shown = listed([f"{name} ({_some(labels)})" for name, labels in self.numbers.items()])
            said.append(f'numbers, since most codes have no label (values="labels" makes categories): {shown}')
        if self.missing:
            said.append(f"missing, by kind: {listed([_kinds(*column) for column in self.missing.items()])}")
        return said


def decoded(
    values: pd.Series, labels: Mapping[Any, Any], is_missing: Callable[[Any], bool], how: Values, notes: LabelNotes,
    ordered: bool = False,
) -> pd.Series:  # fmt: skip
    """One column with labels in place of its codes.

    Parameters
    ----------
    values
        (n,) codes, numbers or text, of a named column; NaN where nothing is known.
    labels
        Code -> label, in the order of the file.
    is_missing
        Whether the file declares a code missing; it is counted under its label, or its code.
    how
        ``"labels"`` and ``"codes"`` decide; ``"auto"``: as the module says.
    notes
        Takes what is to be told.
    ordered
        Whether categories are ordered.

    Returns
    -------
    Series
        (n,) categories, or the codes.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.files.labelled import LabelNotes, decoded
    >>> notes, codes = LabelNotes(), pd.Series([2.0, 1.0, 3.0, -9.0], name="trust")
    >>> decoded(codes, {1.0: "low", 3.0: "high", -9.0: "refused"}, lambda code: code < 0, "auto", notes).tolist()
    ['2', 'low', 'high', nan]
    >>> notes.missing, notes.unlabelled
    ({'trust': {'refused': 1}}, {'trust': {'2': 1}})
    """
    name, counts = str(values.name), cast(dict[Any, int], values.value_counts(sort=False).to_dict())
    lost = [code for code in counts if is_missing(code)]
    for code in lost:
        notes.lost(name, str(labels.get(code, written(code))), int(counts[code]))
    if lost:
        values = values.mask(values.isin(lost))
    given = [code for code in labels if not is_missing(code)]
    alone = [code for code in _in_order(list(counts)) if code not in labels and code not in lost]
    if how == "codes" or not given:
        return values
    if how == "auto" and len(alone) > len(set(given) & set(counts)):
        notes.numbers[name] = {code: str(labels[code]) for code in given}
        return values
    order = _in_order([*given, *alone]) if given == _in_order(given) else [*given, *alone]
    notes.categories[name] = len(order)
    if alone:
        notes.unlabelled[name] = {written(code): int(counts[code]) for code in alone}
    codes = values.map({code: i for i, code in enumerate(order)}).fillna(-1).to_numpy(dtype=np.intp)
    texts = _texts([(code, str(labels.get(code, "")).strip() or written(code)) for code in order], name, notes)
    made = pd.Categorical.from_codes(codes, pd.Index(texts), ordered=ordered)
    return pd.Series(made, index=values.index, name=values.name)


def _texts(pairs: Sequence[tuple[Any, str]], name: str, notes: LabelNotes) -> list[str]:
    """What categories are called: labels, with the code where several codes have the same."""
    texts = [text for _, text in pairs]
    shared = sorted({text for text in texts if texts.count(text) > 1})
    if shared:
        notes.shared[name] = shared
    return [f"{text} ({written(code)})" if text in shared else text for code, text in pairs]


def _in_order(codes: Sequence[Any]) -> list[Any]:
    """Codes from the smallest on, numbers before text."""
    return sorted(codes, key=lambda code: (isinstance(code, str), code))


def written(code: Any) -> str:
    """A code as text: whole numbers without a decimal point.

    Examples
    --------
    >>> from mixedfx.files.labelled import written
    >>> written(-9.0), written(1.5), written("a")
    ('-9', '1.5', 'a')
    """
    if isinstance(code, float | np.floating):
        return str(int(code)) if float(code).is_integer() else repr(float(code))
    return str(code)


def _some(labels: Mapping[Any, str]) -> str:
    shown = [f"{written(code)} = {text!r}" for code, text in labels.items()]
    return ", ".join(shown[:FEW] + (["..."] if len(shown) > FEW else []))


def _kinds(name: str, kinds: Mapping[str, int]) -> str:
    shown = [f"{kind}: {counted(rows, 'row')}" for kind, rows in kinds.items()]
    return f"{name} ({', '.join(shown)})"
