"""Meta-regression by blocks of moderators: each block beside the one that is always in, then what passed, together.

The path of a review whose moderators are sorted beforehand, such as the MUTOS framework's methods, units, treatments,
outcomes and settings (Becker & Aloe 2008; Williams et al. 2022): one model for each block, the moderators of the block
`always` in all of them; a moderator whose p value is below a threshold goes into the final model. All tests are
cluster-robust: CR2 covariances, Satterthwaite's degrees of freedom for one coefficient, Hotelling's T^2 (HTZ) for the
levels of a category together.

P values of the final model are those of moderators chosen by their p values in the same data: too small, and the table
says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.frame import kind, to_pandas
from mixedfx.errors import (
    FewClustersWarning,
    MissingModeratorsWarning,
    MixedfxWarning,
    ModelError,
    OptionError,
    check_level,
    outside,
)
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.formula.parse import parse_formula
from mixedfx.inference.robust_report import Robust
from mixedfx.means.emmeans import emmeans
from mixedfx.meta.moderators.features import columns_of, present, refuse_own_levels, terms_of
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.meta.multivariate.rma_mv import rma_mv
from mixedfx.meta.reading import kept
from mixedfx.meta.robust import beside
from mixedfx.results.frames import frame_table
from mixedfx.results.model_table import ModelRow, ModelSection, ModelTable
from mixedfx.results.numbers import p_values
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Blocks = Mapping[str, Sequence[str]]
COLUMNS = ["block", "moderator", "level", "estimate", "std_error", "m", "k", "df", "p_value", "kept"]


@dataclass(frozen=True, eq=False, repr=False)
class Screening(Shown):
    """Moderators by blocks.

    Attributes
    ----------
    table
        block, moderator, level (empty for the whole moderator), estimate (adjusted mean of a level, slope of a number),
        std_error, m (clusters), k (estimates), df, p_value (of the whole moderator), kept.
    fits
        Block -> its model.
    final
        The model of all that was kept.
    kept
        The moderators of the final model as a formula has them.
    cluster
        What is independent.
    threshold
        P value below which a moderator is kept.
    always
        The block in all models; None where there is none.
    """

    table: pd.DataFrame
    fits: dict[str, RmaMvFit]
    final: RmaMvFit
    kept: tuple[str, ...]
    cluster: str
    threshold: float
    always: str | None
    level: float = 0.95

    @cached_property
    def final_table(self) -> pd.DataFrame:
        """The same columns for the final model."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # said when the models were fitted
            return pd.DataFrame(_rows(self.final, "final", self.kept, self.cluster), columns=COLUMNS[:-1])

    @property
    def robust(self) -> Robust:
        """Cluster-robust tests of the final model."""
        return self.final.robust(self.cluster, level=self.level)

    def content(self) -> SummaryContent:
        """What is shown."""
        always = "" if self.always is None else f", '{self.always}' in every model"
        facts = SummaryFacts(
            (("Models", f"one for each of {len(self.fits)} blocks{always}; then the {len(self.kept)} moderators kept"),
             ("Tests", f"CR2 by {self.cluster}, Satterthwaite's degrees of freedom; HTZ for the levels of a category"),
             ("Kept", f"p < {self.threshold:g}{'' if self.always is None else f', and all of {self.always!r}'}"),
             ("Caveat", "p values of the final model are of moderators that the same data chose: they are too small"))
        )  # fmt: skip
        shown = [frame_table(_worded(self.table), "By block"), frame_table(_worded(self.final_table), "Final model")]
        return SummaryContent("Moderators by blocks", (*shown, facts))

    def page(self, final: bool = False) -> ModelTable:
        """The table for a paper: ``.latex()``, ``.markdown()``, ``.html()``, ``.gt()``.

        Parameters
        ----------
        final
            Of the final model, instead of those of the blocks.
        """
        table = self.final_table if final else self.table
        sections = []
        for block, part in table.groupby("block", sort=False):
            rows = []
            for row in part.to_dict("records"):
                label = f"  {row['level']}" if row["level"] else row["moderator"]
                cells = [_number(row["estimate"]), _number(row["std_error"]), f"{row['m']:,}", f"{row['k']:,}"]
                rows.append(ModelRow(label, (*cells, _number(row["df"], 1), _p(row["p_value"]))))
            sections.append(ModelSection(str(block), tuple(rows)))
        notes = (f"m: levels of {self.cluster}; k: estimates; CR2 standard errors, Satterthwaite's df",)
        return ModelTable(("b", "SE", "m", "k", "df", "p"), tuple(sections), notes)


def screen_moderators(
    formula: str | MixedFormula,
    data: Any,
    vi: Any = "vi",
    *,
    cluster: str,
    blocks: Blocks,
    always: str | None = None,
    threshold: float = 0.10,
    level: float = 0.95,
    **options: Any,
) -> Screening:
    """Fit a meta-regression for each block of moderators, and one of all moderators that passed.

    Parameters
    ----------
    formula
        Response and random terms, ``"yi ~ 1 + (1 | study/esid)"``; its moderators, if any, are those of the blocks.
    data, vi
        As for `mixedfx.rma_mv`.
    cluster
        Column whose levels are independent, such as the study.
    blocks
        Block -> its moderators, written as in a formula: ``{"methods": ["design", "attrition"], "units": ["grade"]}``.
    always
        The block whose moderators are in every model, and in the final one whatever their p values.
    threshold
        A moderator is kept where its p value is smaller.
    level
        Of intervals.
    options
        Further arguments of `mixedfx.rma_mv`.

    Returns
    -------
    Screening

    Raises
    ------
    OptionError
        Blocks without moderators, a moderator in two blocks, an `always` that is no block.
    ModelError
        Moderators that are combinations of others.

    Warns
    -----
    MissingModeratorsWarning
        Moderators that are missing in some rows: each model leaves out the rows that lack one of its own.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(4)
    >>> data = pd.DataFrame({"study": np.repeat(np.arange(40), 3), "esid": np.arange(120), "vi": 0.03})
    >>> data["random"] = rng.choice(["yes", "no"], 40)[data["study"]]
    >>> data["weeks"] = rng.normal(size=120)
    >>> data["grade"] = rng.normal(size=120)
    >>> data["yi"] = 0.2 + 0.3 * data["weeks"] + rng.normal(0, 0.25, 120)
    >>> found = mx.screen_moderators("yi ~ 1 + (1 | study/esid)", data, cluster="study", always="methods",
    ...                              blocks={"methods": ["random"], "treatment": ["weeks"], "units": ["grade"]})
    >>> found.kept
    ('random', 'weeks')
    """
    check_level(level)
    path = _Path.read(formula, data, vi, cluster, blocks, always, threshold, {"level": level, **options})
    path.check()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fits, rows, passed = path.walk(True)
        final = path.fit(passed)
    for text, category in dict.fromkeys((str(w.message), w.category) for w in said):
        if not issubclass(category, FewClustersWarning):  # the df stand in the table
            warnings.warn(text, category, outside())
    return Screening(pd.DataFrame(rows, columns=COLUMNS), fits, final, passed, cluster, threshold, always, level)


def passing(
    formula: str | MixedFormula, data: Any, vi: Any, cluster: str, blocks: Blocks, always: str | None, threshold: float
) -> tuple[str, ...]:
    """The moderators that `screen_moderators` keeps, without the means of levels, which take most of its time."""
    return _Path.read(formula, data, vi, cluster, blocks, always, threshold, {}).walk(False)[2]


@dataclass(frozen=True)
class _Path:
    """What the models of all blocks share: data, response with random terms, terms by block."""

    data: Any
    vi: Any
    cluster: str
    response: str | None
    random: str
    terms: dict[str, tuple[str, ...]]
    always: str | None
    threshold: float
    options: Mapping[str, Any]

    @classmethod
    def read(
        cls, formula: str | MixedFormula, data: Any, vi: Any, cluster: str, blocks: Blocks, always: str | None,
        threshold: float, options: Mapping[str, Any],
    ) -> _Path:  # fmt: skip
        """Check what was given.

        Raises
        ------
        OptionError, ModelError
            See `screen_moderators`.
        """
        if not (isinstance(threshold, float) and 0.0 < threshold <= 1.0):
            raise OptionError(f"threshold={threshold!r} is no p value", hint="Give a number above 0, such as 0.10.")
        parsed = parse_formula(formula) if isinstance(formula, str) else formula
        data = kept(data)  # read once for all models
        terms = _terms(blocks, always, terms_of(parsed.fixed))
        if not parsed.random:
            raise ModelError("the formula has no random terms", hint="Write (1 | study/esid).")
        random = " + ".join(str(part) for part in parsed.random)
        return cls(data, vi, cluster, parsed.response, random, terms, always, threshold, options)

    def check(self) -> None:
        """Refuse categories that name clusters, and warn of moderators that are missing in some rows."""
        frame = to_pandas(self.data)
        written = " + ".join(term for own in self.terms.values() for term in own)
        names = columns_of(parse_formula(f"y ~ {written}"), [str(name) for name in frame.columns])
        names = [name for name in names if name in frame.columns]
        if self.cluster in frame.columns:
            levels = {name: frame[name] for name in names if kind(present(frame, name)) in ("text", "category")}
            refuse_own_levels(levels, frame[self.cluster], "cluster")
        counts = {name: int(frame[name].isna().to_numpy().sum()) for name in names}
        if any(counts.values()):
            listed = ", ".join(f"{name} in {count}" for name, count in counts.items() if count)
            warnings.warn(
                f"moderators are missing ({listed} of {len(frame):,} rows): models of blocks rest on different rows, "
                "those that have all their moderators; k says how many", MissingModeratorsWarning, outside(),
            )  # fmt: skip

    def fit(self, chosen: Sequence[str]) -> RmaMvFit:
        """The model of some moderators."""
        right = " + ".join(["1", *chosen, self.random])
        return rma_mv(f"{self.response} ~ {right}", self.data, vi=self.vi, **self.options)

    def walk(self, levels: bool) -> tuple[dict[str, RmaMvFit], list[tuple[Any, ...]], tuple[str, ...]]:
        """Models of the blocks, rows of the table (with those of levels where asked for), moderators that pass."""
        first = () if self.always is None else self.terms[self.always]
        fits, rows, passed = {}, [], []
        for block, own in self.terms.items():
            if block == self.always and not levels:
                passed += own  # whatever their p values
                continue
            fits[block] = model = self.fit([*first, *(() if block == self.always else own)])
            found = _rows(model, block, own, self.cluster, levels)
            p = {row[1]: row[8] for row in found if row[2] == ""}
            stay = {name for name in p if block == self.always or p[name] < self.threshold}
            passed += [name for name in own if name in stay]
            rows += [(*row, row[1] in stay) for row in found]
        return fits, rows, tuple(passed)


def _terms(blocks: Blocks, always: str | None, written: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Block -> its terms as a formula has them.

    Raises
    ------
    OptionError
        See `screen_moderators`.
    """
    if not blocks or any(isinstance(names, str) or not len(names) for names in blocks.values()):
        raise OptionError("blocks= has a block without a list of moderators", hint='{"methods": ["design"], ...}.')
    terms = {block: tuple(terms_of(parse_formula(f"y ~ {' + '.join(map(_quoted, names))}").fixed))
             for block, names in blocks.items()}  # fmt: skip
    everything = [name for own in terms.values() for name in own]
    twice = sorted({name for name in everything if everything.count(name) > 1})
    if twice:
        raise OptionError(f"{', '.join(twice)} is in two blocks")
    if always is not None and always not in terms:
        raise OptionError(f"always={always!r} is no block", hint=f"Blocks: {', '.join(terms)}.")
    beside_blocks = [name for name in written if name not in everything]
    if beside_blocks:
        raise OptionError(
            f"{', '.join(beside_blocks)} of the formula is in no block", hint="Put every moderator into a block."
        )
    return terms


def _quoted(name: str) -> str:
    """A column whose name is no plain word in backticks; an expression as it is."""
    return quote(name) if not any(sign in name for sign in "()`*:") else name


def _rows(
    model: RmaMvFit, block: str, terms: Sequence[str], cluster: str, levels: bool = True
) -> list[tuple[Any, ...]]:
    """Rows of the table for some terms of a model: the whole moderator first, the levels of a category below."""
    design, robust = model.design, model.robust(cluster)
    single = robust.tidy()
    codes = pd.factorize(np.asarray(_clusters(model, cluster)))[0]
    out: list[tuple[Any, ...]] = []
    for text in terms:
        term = next(t for t in design.terms.fixed if t.written == text)
        where, category = list(term.coefficients), len(term.product) == 1 and bool(term.factors)
        row: Any = single.iloc[where[0]]
        b, se, df, p = (float(row[name]) for name in ("estimate", "std_error", "df", "p_value"))
        if len(where) > 1:
            joint: Any = robust.test([design.fixed_names[j] for j in where]).iloc[0]
            b, se, df, p = np.nan, np.nan, float(joint["den_df"]), float(joint["p_value"])
        elif category:
            b = se = np.nan  # the means of its levels stand below
        out.append((block, text, "", b, se, len(np.unique(codes)), len(codes), df, p))
        if category and levels:
            out += _levels(model, block, text, term.product[0], robust, codes)
    return out


def _levels(model: RmaMvFit, block: str, text: str, variable: Any, robust: Robust, codes: Any) -> list[tuple[Any, ...]]:
    """A row for each level of a category: its adjusted mean, and how many clusters and estimates have it."""
    name = variable.columns[0]
    table = emmeans(model.model, name, vcov=robust.covariance).table
    values = model.design.frame[name].astype(str).to_numpy()
    out = []
    for row in table.to_dict("records"):
        mine = values == str(row[name])
        m = len(np.unique(codes[mine]))
        out.append((block, text, str(row[name]), row["emmean"], row["SE"], m, int(mine.sum()), row["df"], np.nan))
    return out


def _clusters(model: RmaMvFit, cluster: str) -> Any:
    for term in model.design.random:
        if term.label == cluster:
            return np.asarray(term.levels, dtype=object)[term.codes]
    return beside(model.design, None if model.model.call is None else model.model.call.data, cluster)[0]


def _worded(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="kept", errors="ignore").rename(columns={"estimate": "mean or b"})


def _number(value: float, digits: int = 3) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def _p(value: float) -> str:
    return "" if np.isnan(value) else p_values([value])[0]
