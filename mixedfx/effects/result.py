"""The answer: a table of effects, how it is shown, and the questions that can be asked of it.

`Effects` keeps the joint quantities behind its table (state.py), so that every later question (questions.py) is
answered from their joint distribution: a contrast of subgroups is a difference of their rows, and its standard
deviation comes from the joint covariance and not from adding two variances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixedfx.effects.pictures import EffectsPictures
from mixedfx.effects.render import content
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    from pathlib import Path


class Effects(Shown, EffectsPictures):
    """Effects of one treatment, or average outcomes, for subgroups."""

    def to_html(self, path: str | Path | None = None, **options: Any) -> str:
        """One self-contained page: table, pictures, model, priors, caveats, how it was computed, code to reproduce it.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        **options
            ``title``, and ``data`` (the name of the data in the code shown).

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

    def content(self) -> SummaryContent:
        """Title, table of at most sixty rows, and notes."""
        return content(self)
