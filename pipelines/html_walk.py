"""HTML to blocks in reading order: one walk over the tree, without recursion, that decides nothing.

A *block* is a paragraph, a heading, a list item, a table row, a caption, code, or an image. A *container* is an
element that holds blocks (`div`, `ul`, `main`, ...); containers form a tree by their `parent` positions, so that
`pipelines.html_content` can judge whole regions of the page without the HTML.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from infimm_data.document import ImageNode
from pipelines.html_images import Attributes, image_url, is_lazy, pixels
from pipelines.html_vocabulary import (
    BLOCK_KINDS,
    BREAKS,
    CAPTION_CLASS,
    CELLS,
    CONTAINERS,
    FIGURE_CLASS,
    GLYPH_CLASS,
    UNREAD,
    BlockKind,
)

CELL = " | "  # between the cells of a table row, as Markdown writes it

_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u200b\u00ad\ufffe\uffff]")
_LINE_BREAK = "\v"  # stands for <br> until the block is complete; text itself has its white space folded
MAX_GLYPH_SIDE = 32  # pixels; an image declared smaller on both sides is an icon inside a sentence


@dataclass(slots=True)
class Block:
    """A unit of reading. link_chars: how many characters of `text` stand in links; image: for kind "image"."""

    kind: BlockKind
    text: str
    container: int
    link_chars: int = 0
    image: ImageNode | None = None


@dataclass(slots=True)
class Container:
    """An element that holds blocks. parent: position in `Page.containers`, -1 for the root; names: class and id."""

    parent: int
    tag: str
    names: str = ""
    role: str = ""
    is_hidden: bool = False


@dataclass(slots=True)
class Page:
    """What a walk finds: blocks in reading order, the containers they stand in (a parent before its children)."""

    blocks: list[Block] = field(default_factory=list)
    containers: list[Container] = field(default_factory=lambda: [Container(parent=-1, tag="html")])


@dataclass(slots=True)
class _Open:
    """An element that is open during the walk, with what to restore when it closes."""

    tag: str
    kind: BlockKind | None = None
    is_container: bool = False
    is_block: bool = False
    figure_start: int | None = None
    is_link: bool = False
    is_noscript: bool = False


def walk(root: Any, base_url: str) -> Page:
    """Return the blocks below `root` (a selectolax node); base_url: what image addresses stand against."""
    walker = _Walker(base_url)
    node, opened = root, [_Open(tag="")]
    while True:
        entered = walker.enter(node)
        child = node.child if entered is not None else None
        if entered is not None and child is not None:
            opened.append(entered)
            node = child
            continue
        if entered is not None:
            walker.leave(entered)
        while (following := node.next if len(opened) > 1 else None) is None:
            if len(opened) == 1:
                walker.flush()
                return walker.page
            node = node.parent
            walker.leave(opened.pop())
        node = following


class _Walker:
    """The state of one walk: the text of the block being read, and what is open around it."""

    def __init__(self, base_url: str) -> None:
        self.page = Page()
        self.base_url = base_url
        self.parts: list[str] = []
        self.link_chars = 0
        self.links = 0
        self.noscripts = 0
        self.kinds: list[BlockKind] = ["paragraph"]
        self.container = 0
        self.marker = ""
        self.figures = 0
        self.sources: list[Attributes] = []
        self.lazy_image_at = -1  # position after a lazy image: a <noscript> here repeats it
        self.seen_urls: set[str] = set()

    def enter(self, node: Any) -> _Open | None:
        """Read a node; return what `leave` needs, or None where its children are not to be read."""
        tag: str = node.tag
        if tag == "-text":
            self.text(node.text_content)
            return None
        if tag in UNREAD:
            return None
        if tag == "br":
            self.parts.append(_LINE_BREAK)
            return None
        if tag in ("img", "amp-img", "image"):
            self.image(node.attributes)
            return None
        if tag == "source":
            self.sources.append(node.attributes)
            return None
        if tag == "picture":
            self.sources = []
            return _Open(tag)
        if tag == "a":
            self.links += 1
            return _Open(tag, is_link=True)
        if tag in BREAKS or tag in BLOCK_KINDS:
            return self._enter_block(node, tag)
        attributes = node.attributes
        return None if attributes and _is_hidden(attributes) else _Open(tag)

    def _enter_block(self, node: Any, tag: str) -> _Open:
        attributes: Attributes = node.attributes
        names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}" if attributes else ""
        opened = _Open(tag, kind=BLOCK_KINDS.get(tag), is_container=tag in CONTAINERS)
        opened.is_block = tag not in CELLS
        if opened.is_block:
            self.flush()
        if opened.is_container or (attributes and _is_hidden(attributes)):
            opened.is_container = True
            hidden = bool(attributes) and _is_hidden(attributes)
            role = (attributes.get("role") or "").lower()
            self.page.containers.append(Container(self.container, tag, names, role, hidden))
            self.container = len(self.page.containers) - 1
        if tag == "noscript":
            self.noscripts += 1
            opened.is_noscript = True
        if tag == "figure" or (tag == "div" and names and FIGURE_CLASS.search(names)):
            opened.figure_start = len(self.page.blocks)
            self.figures += 1
        if opened.kind is None and self.figures and names and CAPTION_CLASS.search(names):
            opened.kind = "caption"
        if opened.kind is not None:
            inside_caption = self.kinds[-1] == "caption"
            self.kinds.append("caption" if inside_caption else opened.kind)
            self.marker = "- " if tag == "li" else self.marker
        return opened

    def leave(self, opened: _Open) -> None:
        """Close an element."""
        if opened.is_link:
            self.links -= 1
        if opened.tag in CELLS and self.parts:
            self.parts.append(CELL)
        if opened.is_block:
            self.flush()
        if opened.kind is not None:
            self.kinds.pop()
            self.marker = ""
        if opened.is_noscript:
            self.noscripts -= 1
        if opened.figure_start is not None:
            self.figures -= 1
            _place_captions(self.page.blocks, opened.figure_start)
        if opened.is_container:
            self.container = self.page.containers[self.container].parent

    def text(self, text: str) -> None:
        """Take a run of text into the current block."""
        if self.kinds[-1] != "code":
            stripped = " ".join(text.split())
            if self.links:
                self.link_chars += len(stripped)
            if not stripped:
                if self.parts:
                    self.parts.append(" ")
                return
            text = f"{' ' * text[0].isspace()}{stripped}{' ' * text[-1].isspace()}"
        self.parts.append(text)

    def flush(self) -> None:
        """End the current block."""
        if not self.parts:
            return
        kind = self.kinds[-1]
        joined = "".join(self.parts)
        self.parts.clear()
        texts = [_code(joined)] if kind == "code" else _paragraphs(joined, is_row=kind == "row")
        for text in texts:
            if text:
                self.page.blocks.append(Block(kind, self.marker + text, self.container, self.link_chars))
                self.marker, self.link_chars = "", 0
        self.link_chars = 0

    def image(self, attributes: Attributes) -> None:
        """Take an image, unless it is a glyph, a tracking pixel, or the copy of one that a script loads."""
        sources, self.sources = self.sources, []
        width, height = pixels(attributes.get("width")), pixels(attributes.get("height"))
        if _is_glyph(attributes, width, height):
            return
        url = image_url(attributes, sources, self.base_url)
        if self.noscripts and (url in self.seen_urls or self.lazy_image_at == len(self.page.blocks)):
            return
        if url is None:
            return
        self.flush()
        self.seen_urls.add(url)
        alt = clean(attributes.get("alt") or "")
        image = ImageNode(url=url, alt=alt, width=width, height=height)
        self.page.blocks.append(Block("image", "", self.container, image=image))
        if is_lazy(attributes):
            self.lazy_image_at = len(self.page.blocks)


def clean(text: str) -> str:
    """Return text with white space folded, control and invisible characters removed, in Unicode form NFC."""
    if not text.isprintable():
        text = _CONTROL.sub("", text.replace("\t", " ").replace("\n", " ").replace("\r", " ").replace("\v", " "))
    text = " ".join(text.split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _paragraphs(text: str, *, is_row: bool) -> list[str]:
    """Split at two or more <br>; one <br> stays a line break."""
    if is_row:
        text = text.replace(_LINE_BREAK, " ")
        cells = [clean(cell) for cell in text.split(CELL)]
        return [CELL.join(cells).strip(" |") if any(cells) else ""]
    if _LINE_BREAK not in text:
        return [clean(text)]
    paragraphs: list[list[str]] = [[]]
    for line in map(clean, text.split(_LINE_BREAK)):
        if line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return ["\n".join(lines) for lines in paragraphs]


def _code(text: str) -> str:
    lines = text.replace(_LINE_BREAK, "\n").replace("\r\n", "\n").expandtabs(4).split("\n")
    lines = [_CONTROL.sub("", line).rstrip() for line in lines]
    return unicodedata.normalize("NFC", "\n".join(lines).strip("\n"))


def _is_hidden(attributes: Attributes) -> bool:
    if "hidden" in attributes and attributes.get("hidden") != "until-found":
        return True
    style = attributes.get("style")
    return bool(style) and _HIDDEN_STYLE.search(style or "") is not None


def _is_glyph(attributes: Attributes, width: int | None, height: int | None) -> bool:
    if min(width or 99, height or 99) <= 2:
        return True
    if width and height and max(width, height) <= MAX_GLYPH_SIDE:
        return True
    return GLYPH_CLASS.search(attributes.get("class") or "") is not None


def _place_captions(blocks: list[Block], start: int) -> None:
    """Put the captions of a figure (blocks from `start`) right after its last image, and note them on its images."""
    figure = blocks[start:]
    captions = [block for block in figure if block.kind == "caption"]
    images = [block for block in figure if block.kind == "image"]
    if not captions or not images:
        return
    caption = clean(" ".join(block.text for block in captions))
    for block in images:
        if block.image is not None and not block.image.caption:
            block.image = ImageNode(
                url=block.image.url,
                alt=block.image.alt,
                caption=caption,
                width=block.image.width,
                height=block.image.height,
            )
    rest = [block for block in figure if block.kind != "caption"]
    last = max(at for at, block in enumerate(rest) if block.kind == "image")
    blocks[start:] = [*rest[: last + 1], *captions, *rest[last + 1 :]]
