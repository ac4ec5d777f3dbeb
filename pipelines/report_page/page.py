"""The page itself: escaped text, sections with a table of contents, a strict content policy, light and dark.

Nothing on the page can run or load: its policy allows pictures in `data:` URIs and one style sheet by its hash, no
script at all. The choice of the theme is a form and a selector.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NewType

from pipelines.report import printable

Markup = NewType("Markup", str)
"""HTML that is safe to place: made by this project, every text from outside escaped."""

_THEMES = (("auto", "as the system"), ("light", "light"), ("dark", "dark"))


@dataclass(frozen=True)
class Section:
    """key: its anchor; body: what stands under the title."""

    key: str
    title: str
    body: Markup


def escaped(value: object) -> Markup:
    """Return a text as HTML shows it, in an attribute too; control characters are replaced."""
    return Markup(html.escape(printable(str(value))))


def joined(parts: Iterable[str]) -> Markup:
    """Return pieces of markup one after the other."""
    return Markup("\n".join(parts))


def counted(number: int, what: str) -> str:
    """Return a count of things as people write it: "1 shard", "2,000 shards"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def paragraph(text: object, *, kind: str = "") -> Markup:
    """Return a text as a paragraph; its direction is that of its own script."""
    return Markup(f'<p dir="auto"{_class(kind)}>{escaped(text)}</p>')


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str) -> Markup:
    """Return a table that scrolls inside itself where it is wider than the screen; numbers stand to the right."""
    cells = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    lines = ("".join(_cell(value) for value in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return Markup(
        f'<div class="wide" tabindex="0" role="region" aria-label="{escaped(caption)}"><table>'
        f"<caption>{escaped(caption)}</caption><thead><tr>{cells}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    is_number = isinstance(value, int | float)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else value
    return f"<td{_class('number') if is_number else ''}>{escaped(shown)}</td>"


def ranked(rows: Sequence[tuple[str, int, int]], *, caption: str, is_lost: bool = False) -> Markup:
    """Return named counts as bars, longest first as given; each row: name, how many, how many of these are kept.

    is_lost: all of them are losses, of which none can be kept.
    """
    most = max((total for _, total, _ in rows), default=0) or 1
    lines = []
    for name, total, kept in rows:
        bar = (
            f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="lost" width="{100 * total / most:.2f}" height="10"/>'
            f'<rect class="kept" width="{100 * kept / most:.2f}" height="10"/></svg>'
        )
        numbers = f"<b>{total:,}</b>" if is_lost or kept == total else f"<b>{total:,}</b>, {kept:,} kept"
        lines.append(f"<li><bdi>{escaped(name)}</bdi><span>{numbers}</span>{bar}</li>")
    return Markup(f"<figure><figcaption>{escaped(caption)}</figcaption><ol class=ranked>{''.join(lines)}</ol></figure>")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def style_sheet() -> str:
    """Return the style of every page."""
    return files("pipelines.report_page").joinpath("page.css").read_text(encoding="utf-8")


def page(title: str, lead: Markup, sections: Sequence[Section], *, style: str = "") -> bytes:
    """Return the whole file. lead: what stands under the title; style: rules beside those of `style_sheet`."""
    sheet = style_sheet() + style
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-src 'none'"
    )
    links = "".join(f'<li><a href="#{one.key}">{escaped(one.title)}</a></li>' for one in sections)
    bodies = joined(map(_section, sections))
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escaped(title)}</title>
<style>{sheet}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><h1>{escaped(title)}</h1>{_theme_choice()}</header>
<nav aria-label="Contents"><ul>{links}</ul></nav>
<main id="content">
{lead}
{bodies}
</main>
</body>
</html>
"""
    return text.encode()


def _section(one: Section) -> str:
    title = f'<h2 id="{one.key}-title">{escaped(one.title)}</h2>'
    return f'<section id="{one.key}" aria-labelledby="{one.key}-title">{title}\n{one.body}\n</section>'


def _theme_choice() -> str:
    choices = "".join(
        f'<label><input type="radio" name="theme" id="{key}"{" checked" if key == "auto" else ""}>{name}</label>'
        for key, name in _THEMES
    )
    return f'<fieldset class="theme"><legend>Theme</legend>{choices}</fieldset>'
