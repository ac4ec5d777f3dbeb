"""Formulas become LaTeX once, whichever script rendered them."""

from __future__ import annotations

import pytest
from selectolax.lexbor import LexborHTMLParser

from pipelines.html_math import MAX_CHARS
from pipelines.html_walk import walk


def texts(html: str) -> list[str]:
    return [block.text for block in walk(LexborHTMLParser(html).root, "http://a.b/").blocks]


MATHML = "<math{}><semantics><mi>x</mi><annotation encoding='application/x-tex'>{}</annotation></semantics></math>"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('let <script type="math/tex">x^2</script> be', "let $x^2$ be"),
        ('<script type="math/tex; mode=display">a < b</script>', "$$a < b$$"),
        ('<script type="math/tex">% <![CDATA[\na < b %]]></script>', "$a < b$"),
        ('<span class="MathJax">x2</span><script type="math/tex">x^2</script>', "$x^2$"),
        ("a " + MATHML.format("", r"\frac12") + " b", r"a $\frac12$ b"),
        (MATHML.format(" display=block", "x"), "$$x$$"),
        (
            f"<span class=katex><span class=katex-mathml>{MATHML.format('', 'x+1')}</span>"
            "<span class=katex-html aria-hidden=true>x+1</span></span>",
            "$x+1$",
        ),
        (r'<math alttext="{\displaystyle x+1}"><mi>x</mi></math>', "$x+1$"),
        ("<math><mi>x</mi><mo>=</mo><mn>1</mn></math>", "x=1"),
        (r"so $a_1$ and \(b\) and \[c\]", r"so $a_1$ and \(b\) and \[c\]"),
    ],
)
def test_a_formula_is_its_latex(html: str, text: str) -> None:
    assert texts(f"<p>{html}</p>") == [text]


@pytest.mark.parametrize(
    "html",
    [
        "<script>var x = '$y$'</script>",
        '<script type="math/tex"> </script>',
        f'<script type="math/tex">{"x" * (MAX_CHARS + 1)}</script>',
    ],
)
def test_what_is_no_formula_is_not_read(html: str) -> None:
    assert texts(f"<p>{html}</p>") == []


def test_a_formula_of_the_largest_size_is_read() -> None:
    assert texts(f'<p><script type="math/tex">{"x" * MAX_CHARS}</script></p>') == [f"${'x' * MAX_CHARS}$"]


def test_a_formula_shown_as_a_picture_is_an_image_with_its_latex_as_alternative_text() -> None:
    html = r"""<span style="display:none"><math alttext="y"></math></span>
    <img class="mwe-math-fallback-image-inline" alt="{\displaystyle y}" src=y.svg>"""
    (block,) = walk(LexborHTMLParser(f"<p>{html}</p>").root, "http://a.b/").blocks
    assert block.image is not None
    assert (block.image.url, block.image.alt) == ("http://a.b/y.svg", r"{\displaystyle y}")
