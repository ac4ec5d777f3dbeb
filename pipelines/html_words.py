"""The words by which blocks are told apart: of class and id names, of the beginnings of texts, of image addresses.

A word stands in a place: "c:" names of a container, "bc:" names of a block's own element, "t:" text; of an image "ic:"
names, "u:" address, "a:" alternative text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.html_blocks import Block, Element, Page
from pipelines.html_characters import Words, distinct_pairs

WORD = re.compile(r"[^\W\d_]{2,}")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
FIRST_CHARS = 160  # of a text: what its words are read from
MAX_NAME_CHARS = 400  # of the class and id names of an element
MAX_REMEMBERED = 20_000  # class and id names: of a few hundred pages

Integers = NDArray[np.int64]
Weights = NDArray[np.float64]
"""[3, owners]: sum, smallest and largest weight of the words that a lexicon knows; zeros where it knows none."""


class Lexicon:
    """The weights of words (log-odds of content), by the place where they stand."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """weights: place and word ("t:circle") -> weight."""
        self._numbers: dict[str, dict[str, int]] = {place: {} for place in ("c", "bc", "t", "ic", "u", "a")}
        for number, word in enumerate(weights):
            place, _, rest = word.partition(":")
            self._numbers[place][rest] = number
        self._weights = np.array([*weights.values()], np.float64)
        self._in_name: dict[str, dict[str, list[int]]] = {place: {} for place in self._numbers}

    def of_elements(self, place: str, elements: Iterable[Element]) -> Weights:
        """Return the weights of the tag, class and id of each element."""
        numbers: list[int] = []
        ends: list[int] = []
        for element in elements:
            self._add_element(numbers, place, element)
            ends.append(len(numbers))
        return self._weigh(*_by_owner(numbers, ends), len(ends))

    def of_texts(self, words: Words) -> Weights:
        """Return the weights of the words of each text."""
        return self._weigh(*words.numbers(self._numbers["t"]), len(words.counts))

    def of_images(self, blocks: Iterable[Block]) -> Weights:
        """Return the weights of all that each image names: its element, its address and its alternative text."""
        numbers: list[int] = []
        ends: list[int] = []
        for block in blocks:
            self._add_element(numbers, "ic", block.element)
            for place, words in _image_words(block).items():
                known = self._numbers[place]
                numbers += [known[word] for word in words if word in known]
            ends.append(len(numbers))
        return self._weigh(*_by_owner(numbers, ends), len(ends))

    def _add_element(self, numbers: list[int], place: str, element: Element) -> None:
        """Append the known words of an element."""
        words, known = self._numbers[place], self._in_name[place]
        if (of_tag := words.get(element.tag)) is not None:
            numbers.append(of_tag)
        for name in _split_names(element.names):
            if (of_name := known.get(name)) is None:
                if len(known) >= MAX_REMEMBERED:
                    known.clear()
                of_name = known[name] = [words[word] for word in _name_words(name) if word in words]
            numbers += of_name

    def _weigh(self, owners: Integers, numbers: Integers, count: int) -> Weights:
        """Return the weights of `count` owners of words, owners in order; a word counts once per owner."""
        owners, numbers = distinct_pairs(owners, numbers, len(self._weights))
        weights = self._weights[numbers]
        begins = np.flatnonzero(np.concatenate([owners[:1] >= 0, owners[1:] != owners[:-1]]))
        found = np.zeros((3, count))
        # Long doubles hold sums of such weights without loss: the same whatever their order, as `math.fsum` has them.
        found[0, owners[begins]] = np.add.reduceat(weights.astype(np.longdouble), begins)
        found[1, owners[begins]] = np.minimum.reduceat(np.minimum(weights, 0), begins)
        found[2, owners[begins]] = np.maximum.reduceat(np.maximum(weights, 0), begins)
        return found


def _by_owner(numbers: list[int], ends: list[int]) -> tuple[Integers, Integers]:
    """Return the owner of each number, and the numbers; ends: where those of each owner end."""
    counts = np.array(ends, np.int64)
    counts[1:] -= counts[:-1].copy()
    return np.repeat(np.arange(len(ends)), counts), np.array(numbers, np.int64)


def _split_names(names: str) -> list[str]:
    return names[:MAX_NAME_CHARS].split()[:20]


def _name_words(name: str) -> list[str]:
    """Return the words of one class or id, single, and each two that follow each other."""
    parts = _NAME_PARTS.findall(name)[:8]
    if not name.islower():
        parts = [part.lower() for part in parts]
    return [*parts, *[f"{a}-{b}" for a, b in pairwise(parts)]] if len(parts) > 1 else parts


def _element_words(element: Element) -> list[str]:
    return [element.tag, *chain.from_iterable(map(_name_words, _split_names(element.names)))]


def _image_words(block: Block) -> dict[str, list[str]]:
    """Return the words of an image's address and alternative text."""
    assert block.image is not None
    url = block.image.url[:300] if not block.image.url.startswith("data:") else "data uri"
    return {
        "u": [part.lower() for part in _NAME_PARTS.findall(url.partition("://")[2].partition("/")[2])],
        "a": WORD.findall(block.image.alt[:FIRST_CHARS].lower()),
    }


def page_words(page: Page) -> list[list[str]]:
    """Return per block the words whose weights its features read: what a lexicon is learned from."""
    own = [_placed({"c": _element_words(container)}) for container in page.containers]
    paths: list[frozenset[str]] = [frozenset(own[0])]
    for at in range(1, len(own)):
        paths.append(paths[page.parents[at]] | frozenset(own[at]))
    found = []
    for block in page.blocks:
        element = _element_words(block.element)
        if block.image is not None:
            found.append(_placed({"ic": element, **_image_words(block)}))
            continue
        words = WORD.findall(block.text[:FIRST_CHARS].lower())
        found.append([*sorted(paths[block.container]), *_placed({"bc": element, "t": words})])
    return found


def _placed(words: Mapping[str, Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(f"{place}:{word}" for place, of_place in words.items() for word in of_place))
