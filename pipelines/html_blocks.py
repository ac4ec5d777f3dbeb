"""Blocks and containers: what a page is once its HTML is read.

A *block* is a paragraph, a heading, a list item, a table row, a caption, code, or an image. A *container* is an
element that holds blocks (`div`, `ul`, `main`, ...); containers form a tree by `Page.parents`, so that whole regions
of the page can be judged without the HTML.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infimm_data.document import ImageNode
from pipelines.html_text import clean
from pipelines.html_vocabulary import BlockKind


@dataclass(slots=True, eq=False)
class Element:
    """What an HTML element says of itself; names: its class, id and itemprop.

    A walk makes one for all elements of a page that say the same, so that what is asked of it is asked once.
    """

    tag: str
    names: str = ""
    role: str = ""
    is_hidden: bool = False


NO_ELEMENT = Element("")


@dataclass(slots=True)
class Block:
    """A unit of reading. container: position in `Page.containers`; link_chars: how many characters of `text` stand in
    links; of an image 1 in a link, -1 in one to a picture, else 0; image: for kind "image"; element: that it fills;
    is_placed: a caption that stands after its image.
    """

    kind: BlockKind
    text: str
    container: int
    link_chars: int = 0
    image: ImageNode | None = None
    element: Element = NO_ELEMENT
    is_placed: bool = False


@dataclass
class Page:
    """What a walk finds: blocks in reading order, the containers they stand in, those inside one right after it.

    parents: position of the container around each one, -1 for the root.
    """

    blocks: list[Block] = field(default_factory=list)
    containers: list[Element] = field(default_factory=lambda: [Element("html")])
    parents: list[int] = field(default_factory=lambda: [-1])

    @functools.cached_property
    def kinds(self) -> tuple[list[Element], NDArray[np.int64]]:
        """The different elements among the containers, and which of them each one is, once the walk is over."""
        return distinct(self.containers)

    @functools.cached_property
    def block_kinds(self) -> tuple[list[Element], NDArray[np.int64]]:
        """The different elements that blocks fill, and which of them each block does, once the walk is over."""
        return distinct([block.element for block in self.blocks])

    @functools.cached_property
    def regions(self) -> Regions:
        """The containers as arrays, once the walk is over."""
        return Regions(self)


class Regions:
    """The containers of a page as arrays: `at` [blocks] container of each block, `parent` [containers], root's 0."""

    def __init__(self, page: Page) -> None:
        """page: as a walk leaves it."""
        parents = page.parents
        ends = list(range(1, len(parents) + 1))
        for at in range(len(parents) - 1, 0, -1):
            if ends[at] > ends[parents[at]]:
                ends[parents[at]] = ends[at]
        self.at = np.fromiter((block.container for block in page.blocks), np.int64, len(page.blocks))
        self.parent = np.maximum(parents, 0)
        self._above = _steps(np.array([*parents, -1]))
        self._ends = np.asarray(ends)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return [values, containers]: the sums over all blocks inside each container; values: [values, blocks]."""
        count = len(self.parent)
        totals = np.zeros((len(values), count + 1))
        for row, of_blocks in zip(totals, values, strict=True):
            np.cumsum(np.bincount(self.at, of_blocks, count), out=row[1:])
        return np.asarray(totals[:, self._ends] - totals[:, :-1])

    def upwards(self, values: NDArray[Any], count: int, blocks: Any = slice(None)) -> list[NDArray[Any]]:
        """Return [blocks] arrays: the values of the `count` containers around each block, nearest first.

        values: [values, containers]; blocks: positions of the blocks to look from, all by default.
        """
        found: list[NDArray[Any]] = []
        at = self.at[blocks]
        for _ in range(count):
            found += list(values[:, at])
            at = self.parent[at]
        return found

    def along_paths(self, values: NDArray[Any], how: np.ufunc) -> NDArray[Any]:
        """Return [values, containers]: `how` of the values of each container and all around it, up to the root.

        values: [values, containers]; how: a function of two values (sum, smaller, ...) that 0 does not change.
        """
        found = np.zeros((len(values), len(self.parent) + 1), values.dtype)
        found[:, :-1] = values
        for above in self._above:
            found = how(found, found[:, above])
        return np.asarray(found[:, :-1])

    def inside(self, roots: Sequence[int]) -> NDArray[np.bool_]:
        """Return [blocks]: whether a block stands inside any of the containers `roots`."""
        depth = np.zeros(len(self.parent) + 1, np.int64)
        np.add.at(depth, roots, 1)
        np.add.at(depth, self._ends[roots], -1)
        return np.asarray(np.cumsum(depth)[self.at] > 0)


def distinct(elements: Sequence[Element]) -> tuple[list[Element], NDArray[np.int64]]:
    """Return the elements without repeats, and of each one its position among these."""
    kinds = list(dict.fromkeys(elements))
    numbers = {element: number for number, element in enumerate(kinds)}
    return kinds, np.fromiter(map(numbers.__getitem__, elements), np.int64, len(elements))


def _steps(parents: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return, per container, what stands 1, 2, 4, 8, ... steps above it; -1 beyond the root, as in `parents`.

    What is taken over these in turn is taken over the whole path, in as many steps as the depth has digits.
    """
    found = []
    while (parents >= 0).any():
        found.append(parents)
        parents = parents[parents]
    return found


def place_captions(blocks: list[Block], start: int) -> None:
    """Put the captions of a figure (blocks from `start`) right after its last image, and note them on its images.

    Captions that an inner figure has placed stay where they are, and so do its images' captions.
    """
    figure = blocks[start:]
    captions = [block for block in figure if block.kind == "caption" and not block.is_placed]
    if not captions or not any(block.image for block in figure):
        return
    text = clean(" ".join(block.text for block in captions))
    rest = [block for block in figure if block.kind != "caption" or block.is_placed]
    for block in captions:
        block.is_placed = True
    for block in figure:
        if block.image is not None and not block.image.caption:
            block.image = replace(block.image, caption=text)
    after = 1 + max(at for at, block in enumerate(rest) if block.image is not None)
    while after < len(rest) and rest[after].kind == "caption":
        after += 1
    blocks[start:] = [*rest[:after], *captions, *rest[after:]]
