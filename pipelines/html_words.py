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

from pipelines.html_blocks import Block, Page

WORD = re.compile(r"[^\W\d_]{2,}")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
_NO_LETTERS = {code: " " for code in range(128) if not chr(code).isalpha()}
FIRST_CHARS = 160  # of a text: what its words are read from
MAX_NAME_CHARS = 400  # of the class and id names of an element
MAX_REMEMBERED = 20_000  # elements: of a few hundred pages

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
        self._of_element: dict[tuple[str, str, str], Weights] = {}
        self._in_name: dict[str, dict[str, frozenset[str]]] = {place: {} for place in self._known}

    def of_element(self, place: str, tag: str, names: str) -> Weights:
        """Return the weights of an element's tag, class and id."""
        key = (place, tag, names)
        if (found := self._of_element.get(key)) is None:
            if len(self._of_element) >= MAX_REMEMBERED:
                self._of_element.clear()
            found = self._of_element[key] = _summed(self._weights(place, self._in_element(place, tag, names)))
        return found

    def of_text(self, words: Iterable[str]) -> Weights:
        """Return the weights of the words of a text."""
        return _summed(self._weights("t", self._words["t"].intersection(words)))

    def of_image(self, block: Block) -> Weights:
        """Return the weights of all that an image names: its element, its address and its alternative text."""
        found = self._weights("ic", self._in_element("ic", block.tag, block.names))
        for place, words in _image_words(block).items():
            found += self._weights(place, self._words[place].intersection(words))
        return _summed(found)

    def _in_element(self, place: str, tag: str, names: str) -> set[str]:
        """Return the known words of an element."""
        words, known = self._words[place], self._in_name[place]
        found = {tag} if tag in words else set()
        for name in _split_names(names):
            if (of_name := known.get(name)) is None:
                if len(known) >= MAX_REMEMBERED:
                    known.clear()
                of_name = known[name] = words.intersection(_name_words(name))
            if of_name:
                found |= of_name
        return found

    def _weights(self, place: str, known: Iterable[str]) -> list[float]:
        weights = self._known[place]
        return [weights[word] for word in known]


def _summed(weights: list[float]) -> Weights:
    """Return sum, smallest and largest; the exact sum does not depend on the order, which sets do not have."""
    return (math.fsum(weights), min(0.0, *weights), max(0.0, *weights)) if weights else (0.0, 0.0, 0.0)


def words_of(text: str) -> list[str]:
    """Return the words, in lower case, that a text begins with; a single letter may stand among them."""
    start = text[:FIRST_CHARS].lower()
    return start.translate(_NO_LETTERS).split() if start.isascii() else WORD.findall(start)


def _split_names(names: str) -> list[str]:
    return names[:MAX_NAME_CHARS].split()[:20]


@lru_cache(maxsize=MAX_REMEMBERED)
def _name_words(name: str) -> tuple[str, ...]:
    """Return the words of one class or id, single, and each two that follow each other."""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)][:8]
    return (*parts, *[f"{a}-{b}" for a, b in pairwise(parts)])


def _element_words(tag: str, names: str) -> list[str]:
    return [tag, *chain.from_iterable(map(_name_words, _split_names(names)))]


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
    own = [_placed({"c": _element_words(container.tag, container.names)}) for container in page.containers]
    paths: list[frozenset[str]] = [frozenset(own[0])]
    for at in range(1, len(own)):
        paths.append(paths[page.containers[at].parent] | frozenset(own[at]))
    found = []
    for block in page.blocks:
        element = _element_words(block.tag, block.names)
        if block.image is not None:
            found.append(_placed({"ic": element, **_image_words(block)}))
            continue
        words = WORD.findall(block.text[:FIRST_CHARS].lower())
        found.append([*sorted(paths[block.container]), *_placed({"bc": element, "t": words})])
    return found


def _placed(words: Mapping[str, Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(f"{place}:{word}" for place, of_place in words.items() for word in of_place))
