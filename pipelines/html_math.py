r"""Formulas of a page as LaTeX between dollar signs, from what MathJax, KaTeX, MathML, MediaWiki and WordPress leave.

A page holds a formula twice: as rendered, which reads as noise, and as its source. The source is taken:
`<script type="math/tex">` (MathJax 2), `<annotation encoding="application/x-tex">` or `alttext` of `<math>` (KaTeX,
MathJax 3, MediaWiki, LaTeXML), and the alternative text of a formula's picture. What stands in the text between
`$`, `\(` or `\[` is text, and stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

from pipelines.html_images import Attributes

_RENDERED = re.compile(r"(?:^|\s)(?:katex-html|MathJax(?:_\w+)?|MJX_\w+)(?:\s|$)")
_PICTURE = re.compile(r"(?:^|\s)(?:mwe-math-fallback-image-\w+|latex|tex)(?:\s|$)")
_STYLE = re.compile(r"\{\\(?:displaystyle|textstyle)\s+(.*)\}\Z", re.S)
_CDATA = re.compile(r"%?\s*(?:<!\[CDATA\[|\]\]>)")  # how kramdown guards a script's formula
MAX_CHARS = 10_000  # of a formula; longer ones are data that a script keeps


def is_rendered(attributes: Attributes) -> bool:
    """Say whether an element holds the rendering of a formula whose source stands beside it."""
    names = attributes.get("class")
    return bool(names) and _RENDERED.search(names or "") is not None


def of_script(node: Any) -> str:
    """Return the formula of a `<script>`, "" where it holds none."""
    kind = (node.attributes.get("type") or "").lower()
    return _formula(node.text(), "display" in kind) if kind.startswith("math/tex") else ""


def of_mathml(node: Any) -> str:
    """Return the formula of a `<math>`, "" where it tells no LaTeX."""
    attributes = node.attributes
    source = node.css_first("annotation[encoding='application/x-tex']")
    tex = source.text() if source is not None else attributes.get("alttext") or ""
    return _formula(tex, attributes.get("display") == "block")


def of_picture(attributes: Attributes) -> str:
    """Return the formula that an `<img>` shows, "" where it shows none."""
    names, alt = attributes.get("class"), attributes.get("alt")
    return _formula(alt, is_display=False) if names and alt and _PICTURE.search(names) else ""


def _formula(tex: str, is_display: bool) -> str:
    tex = _CDATA.sub("", tex).strip()
    if not tex or len(tex) > MAX_CHARS:
        return ""
    if (styled := _STYLE.match(tex)) is not None:
        tex = styled[1].strip()
    return f"$${tex}$$" if is_display else f"${tex}$"
