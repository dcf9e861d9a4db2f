"""One HTML file of a content and the modules of `web/`: nothing is loaded from elsewhere, and nothing else may run.

The modules are plain JavaScript with imports and exports. Here each becomes a function that returns its exports, in the
order in which they need each other, and together they are one script. The page carries a content-security-policy that
allows this script and this style by their hashes, pictures from within, and nothing besides: a label cannot become
code, and the page cannot call home. Text that comes from data is escaped here, and is only ever a text node in the
script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files

from mixedfx.explorer.content import Content
from mixedfx.explorer.packing import packed
from mixedfx.results.page import versions

# In the order in which they need each other.
MODULES = (
    "decode", "distributions", "comparisons", "forms", "rubin", "laws", "subgroups", "raw", "words", "state",
    "pictures", "app",
)  # fmt: skip
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|const) ([A-Za-z0-9_]+))", re.MULTILINE)


def _read(name: str) -> str:
    return files("mixedfx.explorer").joinpath("web", name).read_text(encoding="utf-8")


@cache
def bundle() -> str:
    """All modules as one script."""
    parts = ['"use strict";']
    for name in MODULES:
        source = _read(f"{name}.js")
        exported = _EXPORT.findall(source)
        body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{{found[1]}}} = of_{found[2]};", source))
        parts.append(f"const of_{name} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();")
    return "\n".join(parts) + "\n"


def source_hash(text: str) -> str:
    """A hash by which a content-security-policy allows an inline script or style.

    Examples
    --------
    >>> from mixedfx.explorer.page import source_hash
    >>> source_hash("")
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def page(content: Content, draws: int) -> str:
    """The page as text, with so many draws of each population at most."""
    script, style = bundle(), _read("style.css")
    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    reference = "" if content.null is None else f"The line is at {content.null:g}, the dashed one at the threshold."
    filled = {
        "policy": policy,
        "title": escape(content.title), "lead": escape(content.lead), "model": escape(content.model),
        "reference": escape(reference), "caveats": _paragraphs(content.caveats),
        "computed": _paragraphs(content.computed), "code": escape(content.code), "made": escape(versions()),
        "style": style, "data": packed(content, draws), "script": script,
    }  # fmt: skip
    # In one pass, so that nothing that was filled in is taken for a place to fill.
    return re.sub(r"\{\{([a-z]+)\}\}", lambda found: filled[found[1]], _read("page.html"))


def _paragraphs(texts: tuple[str, ...]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)
