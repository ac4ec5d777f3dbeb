"""The text of a block: white space folded, invisible characters removed, Unicode form NFC."""

from __future__ import annotations

import re
import unicodedata

CELL = " | "  # between the cells of a table row, as Markdown writes it
LINE_BREAK = "\v"  # stands for <br> until the block is complete; text itself has its white space folded

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u200b\u00ad\ufffe\uffff]")


def clean(text: str) -> str:
    """Return text with white space folded, control and invisible characters removed, in Unicode form NFC."""
    text = " ".join(text.split())
    if not text.isprintable():
        text = " ".join(_CONTROL.sub("", text).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def paragraphs(text: str, *, is_row: bool) -> list[str]:
    """Return the paragraphs of a block, split at two or more <br>; one <br> stays a line break.

    is_row: the block is a table row: one line, its cells cleaned one by one.
    """
    if is_row:
        text = text.replace(LINE_BREAK, " ")
        cells = [clean(cell) for cell in text.split(CELL)]
        return [CELL.join(cells).strip(" |") if any(cells) else ""]
    if LINE_BREAK not in text:
        return [clean(text)]
    found: list[list[str]] = [[]]
    for line in map(clean, text.split(LINE_BREAK)):
        if line:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(lines) for lines in found]


def code(text: str) -> str:
    """Return preformatted text with its line breaks and indentation, tabs as four spaces."""
    lines = text.replace(LINE_BREAK, "\n").replace("\r\n", "\n").expandtabs(4).split("\n")
    lines = [_CONTROL.sub("", line).rstrip() for line in lines]
    return unicodedata.normalize("NFC", "\n".join(lines).strip("\n"))
