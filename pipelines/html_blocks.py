"""Blocks and containers: what a page is once its HTML is read.

A *block* is a paragraph, a heading, a list item, a table row, a caption, code, or an image. A *container* is an
element that holds blocks (`div`, `ul`, `main`, ...); containers form a tree by their `parent` positions, so that
whole regions of the page can be judged without the HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infimm_data.document import ImageNode
from pipelines.html_text import clean
from pipelines.html_vocabulary import BlockKind


@dataclass(slots=True)
class Block:
    """A unit of reading. link_chars: how many characters of `text` stand in links, of an image 1 in a
    link and else 0; image: for kind "image";
    tag, names: of the element it fills, with class and id; is_placed: a caption that
    stands after its image.
    """

    kind: BlockKind
    text: str
    container: int
    link_chars: int = 0
    image: ImageNode | None = None
    tag: str = ""
    names: str = ""
    is_placed: bool = False


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


def region_sums(page: Page, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return [containers, values]: the sums over all blocks inside each container; values: [blocks, values]."""
    own = np.zeros((len(page.containers), values.shape[1]))
    np.add.at(own, [block.container for block in page.blocks], values)
    sums = own.tolist()
    for at in range(len(sums) - 1, 0, -1):  # a parent stands before its children
        above = sums[page.containers[at].parent]
        for column, value in enumerate(sums[at]):
            above[column] += value
    return np.asarray(sums)


def place_captions(blocks: list[Block], start: int) -> None:
    """Put the captions of a figure (blocks from `start`) right after its last image, and note them on its images.

    Captions that an inner figure has placed stay where they are, and so do its images' captions.
    """
    figure = blocks[start:]
    captions = [block for block in figure if block.kind == "caption" and not block.is_placed]
    if not captions or not any(block.image for block in figure):
        return
    text = clean(" ".join(block.text for block in captions))
    for block in captions:
        block.is_placed = True
    for block in figure:
        if block.image is not None and not block.image.caption:
            block.image = replace(block.image, caption=text)
    rest = [block for block in figure if block not in captions]
    after = 1 + max(at for at, block in enumerate(rest) if block.image is not None)
    while after < len(rest) and rest[after].kind == "caption":
        after += 1
    blocks[start:] = [*rest[:after], *captions, *rest[after:]]
