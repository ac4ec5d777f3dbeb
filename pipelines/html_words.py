"""The words by which blocks are told apart: of class and id names, of the beginnings of texts, of image addresses."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from pipelines.html_blocks import Block, Page

WORD = re.compile(r"[^\W\d_]{2,}")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
FIRST_CHARS = 160  # of a text: what its words are read from


@lru_cache(maxsize=20_000)
def name_words(tag: str, names: str) -> tuple[str, ...]:
    """Return the words of an element's tag, class and id: single, and each two that follow each other."""
    found = [f"c:{tag}"]
    for name in names[:400].split()[:20]:
        parts = [part.lower() for part in _NAME_PARTS.findall(name)][:8]
        found += [f"c:{part}" for part in parts]
        found += [f"c:{a}-{b}" for a, b in pairwise(parts)]
    return tuple(dict.fromkeys(found))


def text_words(text: str) -> list[str]:
    """Return the different words of the beginning of a text."""
    return [f"t:{word}" for word in dict.fromkeys(WORD.findall(text[:FIRST_CHARS].lower()))]


def image_words(block: Block) -> list[str]:
    """Return the words of an image's class and id names, of its address and of its alternative text."""
    assert block.image is not None
    url = block.image.url[:300] if not block.image.url.startswith("data:") else "data uri"
    parts = [f"u:{part.lower()}" for part in _NAME_PARTS.findall(url.partition("://")[2].partition("/")[2])]
    alt = [f"a:{word}" for word in WORD.findall(block.image.alt[:FIRST_CHARS].lower())]
    return list(dict.fromkeys([*(f"i{word}" for word in name_words(block.tag, block.names)), *parts, *alt]))


def page_words(page: Page) -> list[list[str]]:
    """Return per block the words whose weights its features read: what a lexicon is learned from."""
    own = [name_words(container.tag, container.names) for container in page.containers]
    paths: list[frozenset[str]] = [frozenset(own[0])]
    for at in range(1, len(own)):
        paths.append(paths[page.containers[at].parent] | frozenset(own[at]))
    found = []
    for block in page.blocks:
        if block.image is not None:
            found.append(image_words(block))
            continue
        names = [f"b{word}" for word in name_words(block.tag, block.names)]
        found.append([*sorted(paths[block.container]), *names, *text_words(block.text)])
    return found
