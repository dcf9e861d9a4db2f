"""Pages for readers who have no Python: what a report holds, and the one HTML file made of it.

A page has a title in words, the answer, what changes it, pictures, tables, how it was computed, a paragraph for the
methods of a paper and the code that gives the numbers again. Nothing is loaded from elsewhere and nothing runs in it.
It follows the reader's choice of light or dark; pictures keep a white ground, since they are made for paper.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from mixedfx.errors import MissingPackageError, MixedfxError

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --ground: #ffffff; --soft: #555555; --rule: #dddddd;
  --code: #f5f5f5; --caveat: #fdf3ec; --edge: #C4520A; --answer: #eef5fa; --blue: #0072B2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --ground: #17191c; --soft: #b0b0b0; --rule: #3a3d42;
  --code: #22252a; --caveat: #33261c; --edge: #E69F00; --answer: #1b2a36; --blue: #6db9e8; } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin-bottom: 0.3rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
.answer { border-left: 4px solid var(--blue); background: var(--answer); padding: 0.1rem 0.9rem; font-size: 1.05rem; }
.caveat { border-left: 4px solid var(--edge); background: var(--caveat); padding: 0.1rem 0.9rem; margin-top: 0.8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid var(--rule); text-align: left; }
td[style*="right"], th[style*="right"] { text-align: right; }
caption { text-align: left; font-weight: 600; padding-top: 1rem; }
figure { display: inline-block; vertical-align: top; margin: 0.5rem 1rem 0.5rem 0; max-width: 27rem; }
figure img { max-width: 100%; background: #ffffff; padding: 4px; border-radius: 3px; }
figcaption { font-size: 0.85rem; color: var(--soft); }
pre { background: var(--code); padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
details summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 3rem; font-size: 0.8rem; color: var(--soft); }
@media print { body { margin: 0; max-width: none; } figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Figure:
    """A picture on a page: PNG bytes, and what it shows in words."""

    png: bytes
    caption: str

    def html(self) -> str:
        """The picture as part of the page."""
        source = base64.b64encode(self.png).decode("ascii")
        image = f'<img alt="{escape(self.caption)}" src="data:image/png;base64,{source}">'
        return f"<figure>{image}<figcaption>{escape(self.caption)}</figcaption></figure>"


def not_drawn(kind: str, error: MixedfxError) -> str:
    """Why a picture is missing; without what draws pictures the same sentence for all of them.

    Examples
    --------
    >>> from mixedfx.errors import MissingPackageError
    >>> from mixedfx.results.page import not_drawn
    >>> not_drawn("forest", MissingPackageError("Pictures need x, which is not installed", hint="pip install x"))
    'Pictures need x, which is not installed: pip install x.'
    """
    message = getattr(error, "message", str(error))
    if isinstance(error, MissingPackageError):
        return f"{message}: {(error.hint or '').rstrip('.')}."
    return f"Not drawn, {kind}: {message}."


@dataclass(frozen=True)
class Page:
    """What a report holds, in reading order.

    Attributes
    ----------
    title
        In words.
    answer
        Sentences.
    model
        The formula.
    caveats
        What to keep in mind, the gravest first.
    table
        The numbers, as an HTML fragment.
    figures
        Pictures.
    left_out
        Why a picture is missing.
    sections
        Heading -> HTML fragment: summaries, priors, diagnostics.
    computed
        How the numbers were made, a sentence each.
    methods
        A paragraph for the methods section of a paper.
    code
        Python that gives the numbers again.
    """

    title: str
    answer: tuple[str, ...]
    model: str
    caveats: tuple[str, ...]
    table: str
    figures: tuple[Figure, ...] = ()
    left_out: tuple[str, ...] = ()
    sections: tuple[tuple[str, str], ...] = ()
    computed: tuple[str, ...] = ()
    methods: str = ""
    code: str = ""

    def html(self) -> str:
        """The whole page as text."""
        parts = [f"<h1>{escape(self.title)}</h1>", f"<p>Model: <code>{escape(self.model)}</code></p>"]
        if self.answer:
            parts += ["<h2>Answer</h2>", f'<div class="answer">{_paragraphs([" ".join(self.answer)])}</div>']
        if self.caveats:
            parts += ["<h2>What to keep in mind</h2>", f'<div class="caveat">{_paragraphs(self.caveats)}</div>']
        if self.figures or self.left_out:
            parts += ["<h2>Pictures</h2>", *(f.html() for f in self.figures), _paragraphs(self.left_out)]
        parts += ["<h2>Table</h2>", f'<div class="wide">{self.table}</div>']
        for heading, fragment in self.sections:
            parts += [f"<h2>{escape(heading)}</h2>", f'<div class="wide">{fragment}</div>']
        if self.computed:
            parts += ["<h2>How it was computed</h2>", _paragraphs(self.computed)]
        if self.methods:
            parts += ["<h2>For the methods section</h2>", f"<blockquote><p>{escape(self.methods)}</p></blockquote>"]
        if self.code:
            parts += ["<h2>Code</h2>", f"<pre><code>{escape(self.code)}</code></pre>"]
        parts.append(f"<footer>{escape(versions())}</footer>")
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
        )
        return (
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"
        )


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def versions() -> str:
    """With what a page was made, and when."""
    import sys
    from importlib.metadata import version

    names = ", ".join(f"{name} {version(name)}" for name in ("mixedfx", "numpy", "scipy", "pandas"))
    return f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with {names}, Python {sys.version.split()[0]}."


def software() -> str:
    """The program with its version, for a methods paragraph."""
    from importlib.metadata import version

    return f"mixedfx {version('mixedfx')} for Python"
