"""Features of the blocks of a page, for the content model: what a block says, where it stands, and among what.

Everything is relative to the page or a count on a log scale, so that long and short pages look alike. Words of class
and id names, of short texts and of the headings above enter as weights of a lexicon (`pipelines.html_words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, pairwise
from operator import add
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pipelines.html_blocks import Element, Page
from pipelines.html_characters import Words, count_characters, distinct_pairs, find_words
from pipelines.html_head import Head
from pipelines.html_vocabulary import (
    BOILERPLATE_NAMES,
    BOILERPLATE_ROLES,
    COMMENTS_NAMES,
    CONTENT_NAMES,
    NEGATIONS,
)
from pipelines.html_words import FIRST_CHARS, WORD, Lexicon

Floats = NDArray[np.float32]
Columns = Iterable[NDArray[np.generic]]

KINDS = ("paragraph", "heading", "item", "row", "quote", "code", "caption", "image")
_TAGS = (
    "article", "main", "section", "header", "footer", "nav", "aside", "ul", "ol", "table", "form", "figure",
    "details", "dl", "blockquote", "noscript", "td", "menu",
)  # fmt: skip
_TAG_BITS = {tag: 1 << at for at, tag in enumerate(_TAGS)}
_ROLE, _BOILERPLATE, _COMMENTS, _CONTENT, _HIDDEN = (1 << len(_TAGS) + at for at in range(5))
_BITS = len(_TAGS) + 5
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_IMAGE, _HEADING = _KIND_NUMBERS["image"], _KIND_NUMBERS["heading"]
_OWN = (
    "names_sum", "names_min", "names_max", "words_sum", "words_min", "words_max", "kind", "chars", "links",
    "sentences", "commas", "digits", "level", "title", "description", "case",
)  # fmt: skip
_TELLING_NAMES = BOILERPLATE_NAMES | COMMENTS_NAMES | CONTENT_NAMES
_PATH_NUMBERS = re.compile(r"\d{4,}")
LONG = 100  # characters outside links from which a block counts as running text
UP = 4  # ancestors of which the size is a feature


def features(page: Page, head: Head, lexicon: Lexicon) -> Floats:
    """Return [blocks, features] in the order of `page.blocks`."""
    raw = _own(page, head, lexicon)
    columns: list[NDArray[np.generic]] = [
        *raw.values(),
        *_path(page, lexicon),
        *_regions(page, raw),
        *_alike(page, raw),
        *_around(raw),
        *_page(page, head, raw),
    ]
    table = np.empty((len(columns), len(page.blocks)), np.float32)
    for row, column in zip(table, columns, strict=True):
        row[:] = column
    return table.T


def _own(page: Page, head: Head, lexicon: Lexicon) -> dict[str, Floats]:
    """Return what each block says of itself."""
    blocks, (elements, at) = page.blocks, page.block_kinds
    texts = [block.text for block in blocks]
    chars = np.fromiter(map(len, texts), np.float64, len(texts))
    linked = np.fromiter((block.link_chars for block in blocks), np.float64, len(texts))
    kinds = np.array([_KIND_NUMBERS[block.kind] for block in blocks], np.int64)
    levels = np.array([_level(element) for element in elements], np.int64)[at]
    words = find_words(texts, FIRST_CHARS)
    of_texts = lexicon.of_texts(words)
    images = [position for position, block in enumerate(blocks) if block.image is not None]
    of_texts[:, images] = lexicon.of_images([blocks[position] for position in images])
    sentences, commas, digits = count_characters(texts, FIRST_CHARS)
    columns = (
        *lexicon.of_elements("bc", elements)[:, at],
        *of_texts,
        kinds,
        chars,
        np.clip(linked, 0, chars) / np.maximum(chars, 1),
        sentences,
        commas,
        digits / np.clip(chars, 1, FIRST_CHARS),
        np.where(kinds == _HEADING, levels, 0),
        _shared_with(head.title, words),
        _described(texts, head.description[:60].lower()),
        _case(texts),
    )
    return {name: np.asarray(column, np.float32) for name, column in zip(_OWN, columns, strict=True)}


def _case(texts: list[str]) -> NDArray[np.int64]:
    """Return 1 where a text begins with a small letter, -1 with a capital, else 0."""
    first = [text[:1] for text in texts]
    is_small, is_capital = (np.fromiter(map(is_, first), np.int64, len(first)) for is_ in (str.islower, str.isupper))
    return is_small - is_capital


def _level(element: Element) -> int:
    return int(element.tag[1]) if element.tag[1:].isdigit() else 0


def _shared_with(title: str, words: Words) -> NDArray[np.float64]:
    """Return [texts]: the share of words that a short text has in common with the title."""
    known = {word: at for at, word in enumerate(dict.fromkeys(WORD.findall(title.lower())))}
    texts, _ = distinct_pairs(*words.numbers(known), len(known))
    shared = np.bincount(texts, minlength=len(words.counts))
    return np.where(words.counts < 40, shared / np.maximum(words.counts, max(len(known), 1)), 0.0)


def _described(texts: list[str], description: str) -> list[bool]:
    """Return whether a text begins in the description, or holds it."""
    if len(description) <= 20:
        return [False] * len(texts)
    found = [len(text) > 20 and text[:60].lower() in description for text in texts]
    starts = [text[:2_000] for text in texts]
    if description in "\n".join(starts).lower():
        found = [is_in or description in start.lower() for is_in, start in zip(found, starts, strict=True)]
    return found


@lru_cache(maxsize=20_000)
def _name_flags(name: str) -> int:
    """Return what one class or id says."""
    found = parts = name.lower().replace("_", "-").split("-")
    if len(parts) > 1:
        if not NEGATIONS.isdisjoint(parts):
            found = [parts[0], *[part for before, part in pairwise(parts) if before not in NEGATIONS]]
        pairs = [*map(add, parts, parts[1:])]
        found = [*found, *pairs, *map(add, pairs, parts[2:])]
    if _TELLING_NAMES.isdisjoint(found):
        return 0
    return (
        (0 if BOILERPLATE_NAMES.isdisjoint(found) else _BOILERPLATE)
        | (0 if COMMENTS_NAMES.isdisjoint(found) else _COMMENTS)
        | (0 if CONTENT_NAMES.isdisjoint(found) else _CONTENT)
    )


def _flags(element: Element) -> int:
    flags = _TAG_BITS.get(element.tag, 0)
    if element.role in BOILERPLATE_ROLES:
        flags |= _ROLE
    if element.role == "main":
        flags |= _TAG_BITS["main"]
    if element.is_hidden:
        flags |= _HIDDEN
    if element.tag not in ("html", "body"):
        for name in element.names.split():
            flags |= _name_flags(name)
    return flags


def _path(page: Page, lexicon: Lexicon) -> Columns:
    """Return what the path from the root to each block says."""
    elements, kinds = page.kinds
    regions, at = page.regions, page.regions.at
    own = lexicon.of_elements("c", elements)[:, kinds]
    is_article = np.array([element.tag == "article" for element in elements], float)[kinds]
    flags = np.array([_flags(element) for element in elements], np.int64)[kinds]
    sums = regions.along_paths(np.stack([own[0], np.ones(len(kinds)), is_article]), np.add)
    extremes = regions.along_paths(np.stack([-own[1], own[2]]), np.maximum)
    bits = (regions.along_paths(flags[None], np.bitwise_or)[0, at] >> np.arange(_BITS)[:, None]) & 1
    path = np.stack([sums[0], -extremes[0], extremes[1], *sums[1:], *own])[:, at]
    return [*path, own[0, regions.parent[at]], *bits]


def _regions(page: Page, raw: dict[str, Floats]) -> Columns:
    """Return the size, link density and running text of the regions around each block, nearest first."""
    chars, linked = raw["chars"], raw["chars"] * raw["links"]
    is_long = chars - linked >= LONG
    sizes = page.regions.sums(np.stack([chars, linked, np.ones_like(chars), is_long])).astype(np.float32)
    plain = max(float(sizes[0, 0] - sizes[1, 0]), 1.0)
    links, share = sizes[1] / np.maximum(sizes[0], 1), (sizes[0] - sizes[1]) / plain
    table = np.stack([np.log1p(sizes[0]), links, np.log1p(sizes[2]), share, sizes[3] / np.maximum(sizes[2], 1)])
    return page.regions.upwards(table, UP)


def _alike(page: Page, raw: dict[str, Floats]) -> Columns:
    """Return what the blocks that stand in the same kind of place have in common."""
    kinds: dict[tuple[str, str], int] = {}
    of_containers, of_blocks = (
        np.array([kinds.setdefault((e.tag, e.names), len(kinds)) for e in elements], np.int64)[at]
        for elements, at in (page.kinds, page.block_kinds)
    )
    signs = [0] * len(page.containers)
    known: dict[int, int] = {}
    for at, (parent, kind) in enumerate(zip(page.parents, of_containers.tolist(), strict=True)):
        signs[at] = known.setdefault(signs[parent] * len(kinds) + kind, len(known) + 1)  # a root's own sign is still 0
    _, group = np.unique(np.array(signs)[page.regions.at] * len(kinds) + of_blocks, return_inverse=True)
    chars, linked = raw["chars"], raw["chars"] * raw["links"]
    counts = np.bincount(group, minlength=1).astype(np.float32)
    texts = np.bincount(group, chars).astype(np.float32)
    links = np.bincount(group, linked).astype(np.float32)
    ends = np.bincount(group, raw["sentences"]).astype(np.float32)
    plain = max(float((chars - linked).sum()), 1.0)
    share = (texts - links) / plain
    columns = [np.log1p(counts), np.log1p(texts / np.maximum(counts, 1)), links / np.maximum(texts, 1), share]
    columns.append(ends / np.maximum(counts, 1))
    return [column[group] for column in columns]


def _around(raw: dict[str, Floats]) -> Columns:
    """Return what stands before and after each block."""
    chars, links = raw["chars"], raw["links"]
    plain = chars * (1 - links)
    count = len(chars)
    padded = np.full((5, count + 4), -1, np.float32)
    padded[:, 2:-2] = np.log1p(chars), links, raw["kind"], raw["sentences"], raw["words_sum"]
    columns = list(chain.from_iterable(padded[:, 2 + step : 2 + step + count] for step in (-2, -1, 1, 2)))
    total = np.concatenate([[0.0], np.cumsum(plain)])
    index = np.arange(count)
    for width in (3, 10):
        low, high = np.maximum(index - width, 0), np.minimum(index + width + 1, count)
        columns.append(np.log1p(total[high] - total[low]) - np.log1p(total[-1]))
    columns.append(total[1:] / max(total[-1], 1.0))
    columns.append(index / max(count, 1))
    long_ones = plain >= LONG
    before = index - np.maximum.accumulate(np.where(long_ones, index, -1_000))
    after = np.minimum.accumulate(np.where(long_ones, index, count + 1_000)[::-1])[::-1] - index
    columns += [np.minimum(before, 50), np.minimum(after, 50)]
    is_heading = raw["kind"] == _HEADING
    heading = np.maximum.accumulate(np.where(is_heading, index, -1))
    for name in ("words_sum", "words_min", "names_sum", "level", "title"):
        columns.append(np.where(heading >= 0, raw[name][heading], 0))
    columns.append(np.minimum(index - heading, 100))
    titled = is_heading & (raw["title"] > 0.5)
    first = int(np.argmax(titled)) if titled.any() else count
    columns.append(np.clip(index - first, -100, 100))
    return columns


def _page(page: Page, head: Head, raw: dict[str, Floats]) -> Columns:
    """Return what is the same for all blocks of a page: what kind of page it is."""
    chars, links, kind = raw["chars"], raw["links"], raw["kind"]
    plain = chars * (1 - links)
    total, count = max(float(plain.sum()), 1.0), max(len(chars), 1)
    try:
        path = urlsplit(head.url).path
    except ValueError:
        path = ""
    tags = [element.tag for element in page.kinds[0]]
    counts = np.bincount(page.kinds[1])
    last = path.rstrip("/").rpartition("/")[2]
    values = [
        np.log1p(total),
        float((chars * links).sum()) / max(float(chars.sum()), 1.0),
        np.log1p(count),
        float(plain[plain >= LONG].sum()) / total,
        float(plain[kind == _KIND_NUMBERS["item"]].sum()) / total,
        float(plain[kind == _KIND_NUMBERS["row"]].sum()) / total,
        float(plain[kind == _KIND_NUMBERS["code"]].sum()) / total,
        *(
            np.log1p(sum(n for tag, n in zip(tags, counts, strict=True) if tag == wanted))
            for wanted in ("article", "main")
        ),
        np.log1p(float((kind == _IMAGE).sum())),
        float(head.kind == "article") - float(head.kind == "website") - 2.0 * head.kind.startswith("product"),
        path.strip("/").count("/") + (path.strip("/") != ""),
        last.count("-") + last.count("_"),
        float(_PATH_NUMBERS.search(path) is not None),
        np.log1p(float(raw["sentences"].sum())),
        np.log1p(float((kind == _HEADING).sum())),
    ]
    return np.broadcast_to(np.array(values, np.float32)[:, None], (len(values), len(chars)))
