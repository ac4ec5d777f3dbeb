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
from pipelines.html_images import Attributes, image_url, is_glyph, link_kind, names_full_size, pixels
from pipelines.html_text import CELL, LINE_BREAK, clean, code, paragraphs
from pipelines.html_vocabulary import (
    BLOCK_KINDS,
    BREAKS,
    CAPTION_CLASS,
    CELLS,
    CONTAINERS,
    FIGURE_CLASS,
    FIGURE_WORDS,
    UNREAD,
    BlockKind,
)

_NAMING = ("class", "id", "itemprop")
_TELLING = (*_NAMING, "role", "style", "hidden")  # attributes that say what a block is
_ABSENT = (0,) * len(_TELLING)  # unlike None and "", which are attributes without a value
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
MAX_LOOSE_FIGURE_BLOCKS = 8  # a <div> whose class speaks of images is a figure up to this size, above it a region
MAX_FIGURE_BLOCKS = 200  # of a <figure>: a gallery; the bound keeps nested ones from costing their square

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
    parts, kinds = walker.parts, walker.kinds
    if (of_root := enter(root, root.tag)) is None:
        return walker.page
    opened = [of_root]  # what the open elements need when they close
    node = root.child
    while node is not None:
        tag = node.tag
        if tag == "-text":
            found = node.text_content
            if parts or kinds[-1] == "code" or not found.isspace():  # half of all texts stand between blocks
                text(found)
        elif (closing := enter(node, tag)) is not None:
            if (child := node.child) is not None:
                opened.append(closing)
                node = child
                continue
            if closing:
                leave(closing)
        while (following := node.next) is None and len(opened) > 1:
            if closing := opened.pop():
                leave(closing)
            node = node.parent
        node = following
    leave(of_root)
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
        self.openings: dict[
            tuple[str | int | None, ...], _Opening
        ] = {}  # by tag and telling attributes, what was met before
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
        key = (tag, *map(attributes.get, _TELLING, _ABSENT))
        if (opening := self.openings.get(key)) is None:
            is_hidden = _is_hidden(attributes)
            names = _names(attributes)
            _, closing, kind = _PLAIN[tag]
            if is_hidden:
                closing |= _CONTAINER
            if names and tag == "div" and _is_figure(names):
                closing |= _FIGURE
            element = Element(tag, names, (attributes.get("role") or "").lower(), is_hidden)
            opening = self.openings[key] = (element, closing, kind)
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
        if closing >= _FIGURE:
            if closing & _FIGURE:
                self.figures.append((element.tag, len(self.page.blocks)))
            if closing & _NOSCRIPT:
                self.outer_container = self.outer_container if self.noscripts else outer
                self.noscripts += 1
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
        if closing & _BLOCK:
            if self.parts:
                self.flush()
            self.elements.pop()
        elif closing & _CELL and self.parts:
            self.parts.append(CELL)
        if closing & _KIND:
            self.kinds.pop()
            self.marker = ""
        if closing & _NOSCRIPT:
            self.noscripts -= 1
        if closing & _FIGURE:
            self._end_figure()
        if closing & _CONTAINER:
            self.container = self.page.parents[self.container]

    def _end_figure(self) -> None:
        tag, start = self.figures.pop()
        if len(self.page.blocks) - start <= (MAX_FIGURE_BLOCKS if tag == "figure" else MAX_LOOSE_FIGURE_BLOCKS):
            place_captions(self.page.blocks, start)

    def text(self, text: str) -> None:
        """Take a run of text into the current block."""
        if not text or text.isspace():
            if self.parts or self.kinds[-1] == "code":
                self.parts.append(text if self.kinds[-1] == "code" else " ")
            return
        if self.kinds[-1] != "code":
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
        joined = self.parts[0] if len(self.parts) == 1 else "".join(self.parts)
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
        if is_glyph(attributes, width, height) or _is_hidden(attributes):
            return
        url = image_url(attributes, sources, self.base_url, self.is_stored)
        if url is None:
            return
        self.flush()
        blocks = self.page.blocks
        image = ImageNode(url=url, alt=clean(attributes.get("alt") or ""), width=width, height=height)
        block = Block("image", "", self.outer_container if self.noscripts else self.container, image=image)
        block.element = Element("img", _names(attributes))
        block.link_chars = link_kind(node, url) if self.links else 0
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


def _names(attributes: Attributes) -> str:
    """Return the attributes whose words tell what an element is for."""
    return " ".join(filter(None, map(attributes.get, _NAMING)))


def _is_figure(names: str) -> bool:
    lower = names.lower()
    for word in FIGURE_WORDS:
        if word in lower:
            return FIGURE_CLASS.search(names) is not None
    return False


@functools.lru_cache(maxsize=10_000)
def _is_caption(names: str) -> bool:
    return CAPTION_CLASS.search(names) is not None


def _is_hidden(attributes: Attributes) -> bool:
    if "hidden" in attributes and attributes.get("hidden") != "until-found":
        return True
    style = attributes.get("style") or ""
    return bool(style) and _HIDDEN_STYLE.search(style) is not None
