r"""Formulas of a page as LaTeX between dollar signs, from what MathJax, KaTeX and MathML leave.

A page holds a formula twice: as rendered, which reads as noise, and as its source. The source is taken:
`<script type="math/tex">` (MathJax 2), `<annotation encoding="application/x-tex">` or `alttext` of `<math>` (KaTeX,
MathJax 3, LaTeXML). What stands in the text between `$`, `\(` or `\[` is text, and stays as it is. A formula that a
page shows as a picture (MediaWiki, WordPress) is an image, whose alternative text holds the LaTeX.
"""

from __future__ import annotations

import re
from typing import Any

from pipelines.html_images import Attributes

_RENDERED = re.compile(r"(?:^|\s)(?:katex-html|MathJax(?:_\w+)?|MJX_\w+)(?:\s|$)")
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


def _formula(tex: str, is_display: bool) -> str:
    tex = _CDATA.sub("", tex).strip()
    if not tex or len(tex) > MAX_CHARS:
        return ""
    if (styled := _STYLE.match(tex)) is not None:
        tex = styled[1].strip()
    return f"$${tex}$$" if is_display else f"${tex}$"
