"""The words by which blocks are told apart: of class and id names, of the beginnings of texts, of image addresses.

A word stands in a place: "c:" names of a container, "bc:" names of a block's own element, "t:" text; of an image "ic:"
names, "u:" address, "a:" alternative text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.html_blocks import Block, Element, Page
from pipelines.html_characters import Words

WORD = re.compile(r"[^\W\d_]{2,}")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
FIRST_CHARS = 160  # of a text: what its words are read from
MAX_NAME_CHARS = 400  # of the class and id names of an element
MAX_REMEMBERED = 20_000  # class and id names: of a few hundred pages

Weights = tuple[float, float, float]
"""Sum, smallest and largest weight of the words that a lexicon knows; zeros where it knows none."""


class Lexicon:
    """The weights of words (log-odds of content), by the place where they stand."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """weights: place and word ("t:circle") -> weight."""
        self._known: dict[str, dict[str, float]] = {place: {} for place in ("c", "bc", "t", "ic", "u", "a")}
        for word, weight in weights.items():
            place, _, rest = word.partition(":")
            self._known[place][rest] = weight
        self._words = {place: frozenset(known) for place, known in self._known.items()}
        self._text_words = {word: at for at, word in enumerate(self._known["t"])}
        self._text_weights = np.array([*self._known["t"].values()])
        self._in_name: dict[str, dict[str, tuple[str, ...]]] = {place: {} for place in self._known}

    def of_elements(self, place: str, elements: Iterable[Element]) -> NDArray[np.float64]:
        """Return [elements, 3]: the weights of the tag, class and id of each."""
        found = [_summed(self._weights(place, self._in_element(place, element))) for element in elements]
        return np.array(found).reshape(-1, 3)

    def of_texts(self, words: Words) -> NDArray[np.float64]:
        """Return [3, texts]: the weights of the words of each text, repeats counted once."""
        texts, numbers = words.distinct(self._text_words)
        weights = self._text_weights[numbers]
        begins = np.flatnonzero(np.diff(texts, prepend=-1))
        found = np.zeros((3, len(words.counts)))
        # Long doubles hold sums of such weights without loss: the same whatever their order, as `math.fsum` has them.
        found[0, texts[begins]] = np.add.reduceat(weights.astype(np.longdouble), begins)
        found[1, texts[begins]] = np.minimum.reduceat(np.minimum(weights, 0), begins)
        found[2, texts[begins]] = np.maximum.reduceat(np.maximum(weights, 0), begins)
        return found

    def of_image(self, block: Block) -> Weights:
        """Return the weights of all that an image names: its element, its address and its alternative text."""
        found = self._weights("ic", self._in_element("ic", block.element))
        for place, words in _image_words(block).items():
            found += self._weights(place, self._words[place].intersection(words))
        return _summed(found)

    def _in_element(self, place: str, element: Element) -> Iterable[str]:
        """Return the known words of an element, without repeats."""
        words, known = self._words[place], self._in_name[place]
        found = [element.tag] if element.tag in words else []
        for name in _split_names(element.names):
            if (of_name := known.get(name)) is None:
                if len(known) >= MAX_REMEMBERED:
                    known.clear()
                of_name = known[name] = tuple(words.intersection(_name_words(name)))
            found += of_name
        return set(found) if len(found) > 1 else found

    def _weights(self, place: str, known: Iterable[str]) -> list[float]:
        weights = self._known[place]
        return [weights[word] for word in known]


def _summed(weights: list[float]) -> Weights:
    """Return sum, smallest and largest; the exact sum does not depend on the order, which sets do not have."""
    return (math.fsum(weights), min(0.0, *weights), max(0.0, *weights)) if weights else (0.0, 0.0, 0.0)


def _split_names(names: str) -> list[str]:
    return names[:MAX_NAME_CHARS].split()[:20]


@lru_cache(maxsize=MAX_REMEMBERED)
def _name_words(name: str) -> tuple[str, ...]:
    """Return the words of one class or id, single, and each two that follow each other."""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)][:8]
    return (*parts, *[f"{a}-{b}" for a, b in pairwise(parts)])


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
