"""HTML to blocks in reading order: one walk over the tree, without recursion, that decides nothing.

`pipelines.html_blocks` says what blocks and containers are, `pipelines.html_content` which of them are content.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import ImageNode
from pipelines import html_math
from pipelines.html_blocks import Block, Container, Page, place_captions
from pipelines.html_images import Attributes, image_url, names_full_size, pixels
from pipelines.html_text import CELL, LINE_BREAK, clean, code, paragraphs
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

_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
MAX_LOOSE_FIGURE_BLOCKS = 8  # a <div> whose class speaks of images is a figure up to this size, above it a region
MAX_FIGURE_BLOCKS = 200  # of a <figure>: a gallery; the bound keeps nested ones from costing their square
MAX_GLYPH_SIDE = 32  # pixels; an image declared smaller on both sides is an icon inside a sentence


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


def walk(root: Any, base_url: str, is_stored: Callable[[str], bool] | None = None) -> Page:
    """Return the blocks below `root` (a selectolax node); base_url, is_stored: as `image_url` takes them."""
    walker = _Walker(base_url, is_stored)
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

    def __init__(self, base_url: str, is_stored: Callable[[str], bool] | None) -> None:
        self.page = Page()
        self.is_stored = is_stored
        self.base_url = base_url
        self.parts: list[str] = []
        self.link_chars = 0
        self.links = 0
        self.noscripts = 0
        self.kinds: list[BlockKind] = ["paragraph"]
        self.elements: list[tuple[str, str]] = [("", "")]  # tag and names of the open elements that make blocks
        self.container = 0
        self.marker = ""
        self.figures = 0
        self.sources: list[Attributes] = []
        self.is_last_image_full = False  # its address is the one that a script would load
        self.outer_container = 0  # what holds the outermost open <noscript>
        self.seen_urls: set[str] = set()

    def enter(self, node: Any) -> _Open | None:
        """Read a node; return what `leave` needs, or None where its children are not to be read."""
        tag: str = node.tag
        if tag == "-text":
            self.text(node.text_content)
            return None
        if tag in UNREAD:
            if tag == "script" and (formula := html_math.of_script(node)):
                self.parts.append(formula)
            return None
        if tag == "br":
            self.parts.append(LINE_BREAK)
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
        if tag == "math" and (formula := html_math.of_mathml(node)):
            self.parts.append(formula)
            return None
        attributes = node.attributes
        if attributes and (_is_hidden(attributes) or html_math.is_rendered(attributes)):
            return None
        return _Open(tag)

    def _enter_block(self, node: Any, tag: str) -> _Open:
        attributes: Attributes = node.attributes
        names, role, hidden = _names(attributes), "", False
        if attributes:
            hidden = _is_hidden(attributes)
            role = (attributes.get("role") or "").lower()
        opened = _Open(tag, BLOCK_KINDS.get(tag), hidden or tag in CONTAINERS, tag not in CELLS)
        outer = self.container
        if opened.is_block:
            self.flush()
            self.elements.append((tag, names))
        if opened.is_container:
            self.page.containers.append(Container(self.container, tag, names, role, hidden))
            self.container = len(self.page.containers) - 1
        if tag == "noscript":
            self.outer_container = self.outer_container if self.noscripts else outer
            self.noscripts += 1
            opened.is_noscript = True
        if tag == "figure" or (tag == "div" and names and _is_figure(names)):
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
            self.elements.pop()
        if opened.kind is not None:
            self.kinds.pop()
            self.marker = ""
        if opened.is_noscript:
            self.noscripts -= 1
        if opened.figure_start is not None:
            self.figures -= 1
            size = len(self.page.blocks) - opened.figure_start
            if size <= (MAX_FIGURE_BLOCKS if opened.tag == "figure" else MAX_LOOSE_FIGURE_BLOCKS):
                place_captions(self.page.blocks, opened.figure_start)
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
        texts = [code(joined)] if kind == "code" else paragraphs(joined, is_row=kind == "row")
        for text in texts:
            if text:
                block = Block(kind, self.marker + text, self.container, self.link_chars)
                block.tag, block.names = self.elements[-1]
                self.page.blocks.append(block)
                self.marker, self.link_chars = "", 0
        self.link_chars = 0

    def image(self, attributes: Attributes) -> None:
        """Take an image, unless it is a glyph, a tracking pixel, or the copy of one that a script loads."""
        sources, self.sources = self.sources, []
        width, height = pixels(attributes.get("width")), pixels(attributes.get("height"))
        if _is_glyph(attributes, width, height) or _is_hidden(attributes):
            return
        url = image_url(attributes, sources, self.base_url, self.is_stored)
        if url is None:
            return
        self.flush()
        blocks = self.page.blocks
        image = ImageNode(url=url, alt=clean(attributes.get("alt") or ""), width=width, height=height)
        block = Block("image", "", self.outer_container if self.noscripts else self.container, image=image)
        block.tag, block.names = "img", _names(attributes)
        block.link_chars = int(self.links > 0)
        if self.noscripts and (beside := self._image_beside(block.container)) is not None:
            # The copy for readers without scripts of the image right before it, which may be but a preview.
            if not self.is_last_image_full:
                blocks[-1].image = replace(beside, url=url)
            return
        if self.noscripts and url in self.seen_urls:
            return
        self.seen_urls.add(url)
        blocks.append(block)
        self.is_last_image_full = names_full_size(attributes) or bool(sources)

    def _image_beside(self, container: int) -> ImageNode | None:
        """Return the image that is the last block, where it stands in `container` or at most two wrappers deeper."""
        if not self.page.blocks or self.page.blocks[-1].image is None:
            return None
        above = self.page.blocks[-1].container
        for _ in range(3):
            if above == container:
                return self.page.blocks[-1].image
            above = self.page.containers[above].parent if above > 0 else container
        return None


def _names(attributes: Attributes) -> str:
    """Return the attributes whose words tell what an element is for."""
    if not attributes:
        return ""
    get = attributes.get
    return " ".join(filter(None, (get("class"), get("id"), get("itemprop"))))


@functools.lru_cache(maxsize=10_000)
def _is_figure(names: str) -> bool:
    return FIGURE_CLASS.search(names) is not None


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
