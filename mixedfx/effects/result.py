"""The answer: a table of effects, how it is shown, and the questions that can be asked of it.

`Effects` keeps the joint quantities behind its table (state.py), so that every later question (questions.py) is
answered from their joint distribution: a contrast of subgroups is a difference of their rows, and its standard
deviation comes from the joint covariance and not from adding two variances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixedfx.effects.pictures import EffectsPictures
from mixedfx.effects.render import content
from mixedfx.results.render import Shown, SummaryContent
from mixedfx.results.sheet import Sheet

if TYPE_CHECKING:
    from pathlib import Path


class Effects(Shown, EffectsPictures):
    """Effects of one treatment, or average outcomes, for subgroups."""

    def to_html(self, path: str | Path | None = None, **options: Any) -> str:
        """One self-contained page: answer, caveats, pictures, table, model, priors, a methods paragraph, code.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        **options
            ``title``; ``data`` (the name of the data in the code shown); ``labels``, ``unit`` and ``plural`` of
            `sentence`.

        Returns
        -------
        str
            The page. Pictures are inside it; nothing is loaded from elsewhere.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 | sch)", mx.datasets.load("star"))
        >>> page = mx.effects(fit, "small", by="race").to_html()
        >>> "data:image/png;base64" in page and "mx.effects(fit, " in page
        True
        """
        from mixedfx.effects.report import report
        from mixedfx.output import write_whole

        page = report(self, **options)
        if path is not None:
            write_whole(path, page.encode())
        return page

    def explore(
        self,
        path: str | Path | None = None,
        also: Mapping[str, EffectsPictures] | None = None,
        draws: int | None = None,
        **options: Any,
    ) -> str:
        """One self-contained page in which readers ask for any subgroup, without Python and without a server.

        Readers choose what to cross and whom to include, and see the effect with its interval, how probable it is to
        exceed a number of their choice, a forest of the crossing, raw against pooled estimates, a heat map of two
        columns, ranks and differences of two subgroups; they can save numbers and pictures, and link what they see.
        Everything is computed in the browser, from what the page holds of each cell of ``by``.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        also
            Label -> the same question asked of other rows or other weights, so that readers can choose whom averages
            are over: ``{"the sample": mx.effects(fit, "small", by=[...])}`` beside effects over a census.
        draws
            Joint draws kept, evenly thinned; where None, 4,000, or fewer where the page would exceed 5 MB.
        **options
            ``title``; ``data`` (the name of the data in the code shown); ``labels``, ``unit`` and ``plural`` of
            `sentence`.

        Returns
        -------
        str
            The page, at most 5 MB. Nothing is loaded from elsewhere.

        Raises
        ------
        EffectsError
            An answer that is not over one crossing (``by=["race", "gender"]``), a page that would exceed 5 MB, other
            answers in `also` to another question, or what a page cannot compute: uncertain weights, transformations
            of the response besides logarithms, roots and logits.

        Notes
        -----
        Numbers of subgroups are those of `effects`. Of fits by REML or maximum likelihood the page holds what intervals
        are made of, covariances of cells at nodes of the variance parameters, for up to 126 cells; over several data
        sets (plausible values, imputations) means and covariances of each, to which the page applies Rubin's rules for
        every subgroup. Beyond, and of posteriors and reported effects, intervals are quantiles of the draws, which are
        kept to 16 bits. Raw estimates of a numeric treatment are slopes.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + small*gender + (1 | sch)", mx.datasets.load("star"))
        >>> page = mx.effects(fit, "small", by=["race", "gender"]).explore(unit="points")
        >>> "Content-Security-Policy" in page and len(page.encode()) < 5e6
        True
        """
        from mixedfx.effects.exploring import explorer
        from mixedfx.output import write_whole

        page = explorer(self, also, draws, **options)
        if path is not None:
            write_whole(path, page.encode())
        return page

    def sentence(self, labels: Mapping[Any, str] | None = None, unit: str = "", plural: bool = False) -> str:
        """The answer in words.

        Parameters
        ----------
        labels
            Column, level or subgroup -> what to write instead.
        unit
            Of the outcome: ``"points"``.
        plural
            Whether the label of the treatment is a plural, "small classes raise".

        Returns
        -------
        str
            One or a few sentences. "raises" and "lowers" are said where the interval leaves the null out.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small + (1 + small | sch)", mx.datasets.load("star"))
        >>> words = {"small": "small classes", "math": "mathematics"}
        >>> print(mx.effects(fit, "small").sentence(words, unit="points", plural=True))
        On average over 5,826 rows, small classes raise mathematics by 9.2 points (95 % interval 6.8 to 11.6).
        """
        from mixedfx.effects.answer import answer
        from mixedfx.effects.wording import Wording

        return " ".join(answer(self, Wording(labels or {}, unit, plural)))

    def sheet(self, labels: Mapping[Any, str] | None = None) -> Sheet:
        """The table for a paper: headers for people, rounded; ``to_markdown()``, ``to_latex()``, ``to_excel()``, ...

        Parameters
        ----------
        labels
            Column or level -> what to write instead.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("math ~ small*race + (1 | sch)", mx.datasets.load("star"))
        >>> print(mx.effects(fit, "small", by="race").to_markdown().splitlines()[0])
        | Race | n | Estimate | Std. error | 95 % interval, lower | upper | P(> 0) |
        """
        from mixedfx.effects.paper import effects_sheet

        return effects_sheet(self, labels or {})

    def to_markdown(self, path: str | Path | None = None, labels: Mapping[Any, str] | None = None) -> str:
        """The table in GitHub's Markdown, also into a file where a path is given."""
        return self.sheet(labels).to_markdown(path)

    def to_latex(self, path: str | Path | None = None, labels: Mapping[Any, str] | None = None) -> str:
        """The table in LaTeX (booktabs), also into a file where a path is given."""
        return self.sheet(labels).to_latex(path)

    def to_excel(self, path: str | Path, labels: Mapping[Any, str] | None = None) -> Path:
        """Write the table as an Excel file: numbers as numbers, shown rounded; needs openpyxl."""
        return self.sheet(labels).to_excel(path)

    def gt(self, labels: Mapping[Any, str] | None = None) -> Any:
        """Make a ``great_tables.GT`` of the table, to style further."""
        return self.sheet(labels).gt()

    def content(self) -> SummaryContent:
        """Title, answer, table of at most sixty rows, and notes."""
        return content(self)
