"""The words by which blocks are told apart: of class and id names, of the beginnings of texts, of image addresses.

A word stands in a place: "c:" names of a container, "bc:" names of a block's own element, "t:" text; of an image "ic:"
names, "u:" address, "a:" alternative text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

from pipelines.html_blocks import Block, Page

WORD = re.compile(r"[^\W\d_]{2,}")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
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
        self._of_names: dict[tuple[str, str, str], Weights] = {}

    def of_names(self, place: str, tag: str, names: str) -> Weights:
        """Return the weights of an element's tag, class and id."""
        key = (place, tag, names)
        if (found := self._of_names.get(key)) is None:
            if len(self._of_names) >= MAX_REMEMBERED:
                self._of_names.clear()
            found = self._of_names[key] = self.of_words(place, name_words(tag, names))
        return found

    def of_words(self, place: str, words: Iterable[str]) -> Weights:
        """Return the weights of some words, each taken once."""
        return _summed(self._weights(place, words))

    def of_image(self, block: Block) -> Weights:
        """Return the weights of all that an image names: its element, its address and its alternative text."""
        found: list[float] = []
        for place, words in _image_words(block).items():
            found += self._weights(place, words)
        return _summed(found)

    def _weights(self, place: str, words: Iterable[str]) -> list[float]:
        get = self._known[place].get
        return [weight for word in dict.fromkeys(words) if (weight := get(word)) is not None]


def _summed(weights: list[float]) -> Weights:
    return (sum(weights), min(0.0, *weights), max(0.0, *weights)) if weights else (0.0, 0.0, 0.0)


@lru_cache(maxsize=MAX_REMEMBERED)
def _parts(name: str) -> tuple[str, ...]:
    """Return the words of one class or id, single, and each two that follow each other."""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)][:8]
    return (*parts, *[f"{a}-{b}" for a, b in pairwise(parts)])


def name_words(tag: str, names: str) -> list[str]:
    """Return the words of an element's tag, class and id."""
    found = [tag]
    for name in names[:MAX_NAME_CHARS].split()[:20]:
        found += _parts(name)
    return found


def _image_words(block: Block) -> dict[str, Iterable[str]]:
    assert block.image is not None
    url = block.image.url[:300] if not block.image.url.startswith("data:") else "data uri"
    return {
        "ic": name_words(block.tag, block.names),
        "u": [part.lower() for part in _NAME_PARTS.findall(url.partition("://")[2].partition("/")[2])],
        "a": WORD.findall(block.image.alt[:FIRST_CHARS].lower()),
    }


def page_words(page: Page) -> list[list[str]]:
    """Return per block the words whose weights its features read: what a lexicon is learned from."""
    own = [_placed({"c": name_words(container.tag, container.names)}) for container in page.containers]
    paths: list[frozenset[str]] = [frozenset(own[0])]
    for at in range(1, len(own)):
        paths.append(paths[page.containers[at].parent] | frozenset(own[at]))
    found = []
    for block in page.blocks:
        if block.image is not None:
            found.append(_placed(_image_words(block)))
            continue
        words = WORD.findall(block.text[:FIRST_CHARS].lower())
        found.append([
            *sorted(paths[block.container]),
            *_placed({"bc": name_words(block.tag, block.names), "t": words}),
        ])
    return found


def _placed(words: Mapping[str, Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(f"{place}:{word}" for place, of_place in words.items() for word in of_place))
