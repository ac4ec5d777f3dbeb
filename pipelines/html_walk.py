"""HTML to blocks in reading order: one walk over the tree, without recursion, that decides nothing.

`pipelines.html_blocks` says what blocks and containers are, `pipelines.html_content` which of them are content.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from infimm_data.document import ImageNode
from pipelines import html_math
from pipelines.html_blocks import NO_ELEMENT, Block, Element, Page, place_captions
from pipelines.html_images import (
    MAX_URL_CHARS,
    Attributes,
    file_of,
    image_url,
    is_image_address,
    names_full_size,
    pixels,
)
from pipelines.html_text import CELL, LINE_BREAK, clean, code, paragraphs
from pipelines.html_vocabulary import (
    BLOCK_KINDS,
    BREAKS,
    CAPTION_CLASS,
    CELLS,
    CONTAINERS,
    FIGURE_CLASS,
    FIGURE_WORDS,
    GLYPH_CLASS,
    UNREAD,
    BlockKind,
)

_NAMING = ("class", "id", "itemprop")
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
MAX_LOOSE_FIGURE_BLOCKS = 8  # a <div> whose class speaks of images is a figure up to this size, above it a region
MAX_FIGURE_BLOCKS = 200  # of a <figure>: a gallery; the bound keeps nested ones from costing their square
MAX_LINK_DEPTH = 12  # elements between an image and the link around it
MAX_GLYPH_SIDE = 32  # pixels; an image declared smaller on both sides is an icon inside a sentence

# What is to be done when an element closes; 0 is nothing.
_LINK, _CELL, _BLOCK, _CONTAINER, _KIND, _FIGURE, _NOSCRIPT = (1 << at for at in range(7))
_Opening = tuple[Element, int, BlockKind | None]  # an element, what is to be done at its end, the kind of its text
_PLAIN: dict[str, _Opening] = {
    tag: (
        Element(tag),
        (_CELL if tag in CELLS else _BLOCK)
        | (_CONTAINER if tag in CONTAINERS else 0)
        | (_KIND if tag in BLOCK_KINDS else 0)
        | {"figure": _FIGURE, "noscript": _NOSCRIPT}.get(tag, 0),
        BLOCK_KINDS.get(tag),
    )
    for tag in BREAKS | BLOCK_KINDS.keys()
}  # of elements without attributes
_IMAGES = frozenset(("img", "amp-img", "image"))
_LEAVES = UNREAD | _IMAGES | {"br", "source"}


def walk(root: Any, base_url: str, is_stored: Callable[[str], bool] | None = None) -> Page:
    """Return the blocks below `root` (a selectolax node); base_url, is_stored: as `image_url` takes them."""
    walker = _Walker(base_url, is_stored)
    enter, leave, text = walker.enter, walker.leave, walker.text
    node = root
    opened: list[int] = []  # what the open elements need when they close
    while True:
        tag = node.tag
        if tag == "-text":
            text(node.text_content)
        elif (closing := enter(node, tag)) is not None:
            if (child := node.child) is not None:
                opened.append(closing)
                node = child
                continue
            leave(closing)
        while (following := node.next if opened else None) is None and opened:
            if closing := opened.pop():
                leave(closing)
            node = node.parent
        if following is None:
            break
        node = following
    walker.flush()
    return walker.page


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
        self.elements = [NO_ELEMENT]  # the open ones that make blocks
        self.openings: dict[tuple[str, ...], _Opening] = {}  # by tag and telling attributes, what was met before
        self.container = 0
        self.marker = ""
        self.figures: list[tuple[str, int]] = []  # tag of each open one, and its first block
        self.sources: list[Attributes] = []
        self.is_last_image_full = False  # its address is the one that a script would load
        self.outer_container = 0  # what holds the outermost open <noscript>
        self.seen_urls: set[str] = set()

    def enter(self, node: Any, tag: str) -> int | None:
        """Read an element; return what `leave` needs, or None where its children are not to be read."""
        if (opening := _PLAIN.get(tag)) is not None:
            if attributes := node.attributes:
                opening = self._opening(attributes, tag)
            return self._open(*opening)
        if tag == "a":
            self.links += 1
            return _LINK
        if tag in _LEAVES:
            self._leaf(node, tag)
            return None
        if tag == "picture":
            self.sources = []
            return 0
        if tag == "math" and (formula := html_math.of_mathml(node)):
            self.parts.append(formula)
            return None
        attributes = node.attributes
        return None if attributes and (_is_hidden(attributes) or html_math.is_rendered(attributes)) else 0

    def _leaf(self, node: Any, tag: str) -> None:
        if tag == "br":
            self.parts.append(LINE_BREAK)
        elif tag in _IMAGES:
            self.image(node)
        elif tag == "source":
            self.sources.append(node.attributes)
        elif tag == "script" and (formula := html_math.of_script(node)):
            self.parts.append(formula)

    def _opening(self, attributes: Attributes, tag: str) -> _Opening:
        """Return what an element with attributes is; of those that say the same, the same."""
        get = attributes.get
        is_hidden = ("style" in attributes or "hidden" in attributes) and _is_hidden(attributes)
        key = (tag, get("class"), get("id"), get("itemprop"), get("role"), is_hidden)
        if (opening := self.openings.get(key)) is None:
            names = _names(attributes)
            _, closing, kind = _PLAIN[tag]
            if is_hidden:
                closing |= _CONTAINER
            if names and tag == "div" and _is_figure(names):
                closing |= _FIGURE
            opening = (Element(tag, names, (get("role") or "").lower(), is_hidden), closing, kind)
            self.openings[key] = opening
        return opening

    def _open(self, element: Element, closing: int, kind: BlockKind | None) -> int:
        outer = self.container
        if closing & _BLOCK:
            if self.parts:
                self.flush()
            self.elements.append(element)
        if closing & _CONTAINER:
            page = self.page
            self.container = len(page.containers)
            page.containers.append(element)
            page.parents.append(outer)
        if closing & _NOSCRIPT:
            self.outer_container = self.outer_container if self.noscripts else outer
            self.noscripts += 1
        if closing & _FIGURE:
            self.figures.append((element.tag, len(self.page.blocks)))
        if kind is None and self.figures and element.names and _is_caption(element.names):
            kind = "caption"
            closing |= _KIND
        if kind is not None:
            self.kinds.append("caption" if self.kinds[-1] == "caption" else kind)
            if element.tag == "li":
                self.marker = "- "
        return closing

    def leave(self, closing: int) -> None:
        """Close an element."""
        if closing <= _LINK:
            self.links -= closing
            return
        if closing & _CELL and self.parts:
            self.parts.append(CELL)
        if closing & _BLOCK:
            if self.parts:
                self.flush()
            self.elements.pop()
        if closing & _KIND:
            self.kinds.pop()
            self.marker = ""
        if closing & _NOSCRIPT:
            self.noscripts -= 1
        if closing & _FIGURE:
            tag, start = self.figures.pop()
            if len(self.page.blocks) - start <= (MAX_FIGURE_BLOCKS if tag == "figure" else MAX_LOOSE_FIGURE_BLOCKS):
                place_captions(self.page.blocks, start)
        if closing & _CONTAINER:
            self.container = self.page.parents[self.container]

    def text(self, text: str) -> None:
        """Take a run of text into the current block."""
        if self.kinds[-1] != "code":
            if not text or text.isspace():
                if self.parts:
                    self.parts.append(" ")
                return
            if self.links:
                self.link_chars += len(" ".join(text.split()))
            if LINE_BREAK in text:
                text = text.replace(LINE_BREAK, " ")
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
                block = Block(kind, self.marker + text, self.container, self.link_chars, None, self.elements[-1])
                self.page.blocks.append(block)
                self.marker, self.link_chars = "", 0
        self.link_chars = 0

    def image(self, node: Any) -> None:
        """Take an image, unless it is a glyph, a tracking pixel, or the copy of one that a script loads."""
        attributes: Attributes = node.attributes
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
        block.element = Element("img", _names(attributes))
        block.link_chars = _link_kind(node, url) if self.links else 0
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
            above = self.page.parents[above] if above > 0 else container
        return None


def _link_kind(node: Any, url: str) -> int:
    """Return -1 where an image stands in a link to a picture, as itself in full size, and 1 in any other link."""
    above = node.parent
    for _ in range(MAX_LINK_DEPTH):
        if above is None or above.tag == "a":
            break
        above = above.parent
    href = ((above.attributes.get("href") if above is not None else None) or "")[:MAX_URL_CHARS]
    return -1 if is_image_address(href) or (href and file_of(href) == file_of(url)) else 1


def _names(attributes: Attributes) -> str:
    """Return the attributes whose words tell what an element is for."""
    return " ".join([value for name in _NAMING if (value := attributes.get(name))])


@functools.lru_cache(maxsize=10_000)
def _is_figure(names: str) -> bool:
    lower = names.lower()
    return any(word in lower for word in FIGURE_WORDS) and FIGURE_CLASS.search(names) is not None


@functools.lru_cache(maxsize=10_000)
def _is_caption(names: str) -> bool:
    return CAPTION_CLASS.search(names) is not None


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
    names = attributes.get("class")
    return bool(names) and GLYPH_CLASS.search(names or "") is not None
