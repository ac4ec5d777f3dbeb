"""Features of the blocks of a page, for the content model: what a block says, where it stands, and among what.

Everything is relative to the page or a count on a log scale, so that long and short pages look alike. Words of class
and id names, of short texts and of the headings above enter as weights of a lexicon (`pipelines.content_model`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pipelines.html_blocks import Block, Page, region_sums
from pipelines.html_head import Head
from pipelines.html_vocabulary import BOILERPLATE_NAME, BOILERPLATE_ROLES, COMMENTS_NAME, CONTENT_NAME
from pipelines.html_words import FIRST_CHARS, WORD, image_words, name_words

Floats = NDArray[np.float32]
Lexicon = Mapping[str, float]

KINDS = ("paragraph", "heading", "item", "row", "quote", "code", "caption", "image")
_TAGS = (
    "article", "main", "section", "header", "footer", "nav", "aside", "ul", "ol", "table", "form", "figure",
    "details", "dl", "blockquote", "noscript", "td", "menu",
)  # fmt: skip
_TAG_BITS = {tag: 1 << at for at, tag in enumerate(_TAGS)}
_ROLE, _BOILERPLATE, _COMMENTS, _CONTENT, _HIDDEN = (1 << len(_TAGS) + at for at in range(5))
_BITS = len(_TAGS) + 5
_DIGIT = re.compile(r"[0-9]")
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_IMAGE = _KIND_NUMBERS["image"]
_SENTENCE_END = re.compile(r"[.!?。！？؟।](?:\s|$)|[。！？]")
_PATH_NUMBERS = re.compile(r"\d{4,}")
LONG = 100  # characters outside links from which a block counts as running text
UP = 4  # ancestors of which the size is a feature


def features(page: Page, head: Head, lexicon: Lexicon) -> Floats:
    """Return [blocks, features] in the order of `page.blocks`; lexicon: weight of each known word."""
    blocks = page.blocks
    raw = _own(blocks, head, lexicon)
    containers = _containers(page, lexicon)
    at = np.fromiter((block.container for block in blocks), np.int64, len(blocks))
    columns = [*raw.values()]
    columns += _path(containers, at)
    columns += _regions(page, raw, at)
    columns += _alike(page, raw)
    columns += _around(raw)
    columns += _page(page, head, raw)
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def _own(blocks: list[Block], head: Head, lexicon: Lexicon) -> dict[str, Floats]:
    """Return what each block says of itself."""
    title = frozenset(WORD.findall(head.title.lower()))
    description = head.description[:60].lower()
    rows: list[tuple[float, ...]] = []
    cache: dict[tuple[str, str], tuple[float, float, float]] = {}
    for block in blocks:
        text, chars = block.text, len(block.text)
        key = (block.tag, block.names)
        if (names := cache.get(key)) is None:
            names = cache[key] = _weights([f"b{word}" for word in name_words(*key)], lexicon)
        if block.image is not None:
            rows.append((*names, *_weights(image_words(block), lexicon), _IMAGE, 0, 0, 0, 0, 0, 0, 0, 0, 0))
            continue
        start = text[:FIRST_CHARS].lower()
        words = WORD.findall(start)
        is_described = False
        if chars > 20 and len(description) > 20:
            is_described = start[:60] in description or description in text[:2_000].lower()
        rows.append((
            *names,
            *_weights(["t:" + word for word in dict.fromkeys(words)], lexicon),
            _KIND_NUMBERS[block.kind],
            chars,
            min(block.link_chars, chars) / chars if chars else 0.0,
            len(_SENTENCE_END.findall(text, 0, 2_000)),
            text.count(",", 0, 2_000) + text.count("،", 0, 2_000) + text.count("，", 0, 2_000),
            len(_DIGIT.findall(start)) / min(chars, FIRST_CHARS) if chars else 0.0,
            int(block.tag[1]) if block.kind == "heading" and block.tag[1:].isdigit() else 0,
            _overlap(title, words) if title else 0.0,
            is_described,
            text[:1].islower() - text[:1].isupper(),
        ))  # fmt: skip
    table = np.array(rows, np.float32).reshape(len(blocks), 16)
    names_of_columns = (
        "names_sum names_min names_max words_sum words_min words_max kind chars links sentences commas digits level "
        "title description case"
    )
    return dict(zip(names_of_columns.split(), table.T.copy(), strict=True))


def _overlap(title: frozenset[str], words: list[str]) -> float:
    return len(title.intersection(words)) / max(len(title), len(words)) if 0 < len(words) < 40 else 0.0


def _weights(words: list[str], lexicon: Lexicon) -> tuple[float, float, float]:
    """Return sum, smallest and largest weight of the words that the lexicon knows; zeros where it knows none."""
    known = [weight for weight in map(lexicon.get, words) if weight is not None]
    return (sum(known), min(0.0, *known), max(0.0, *known)) if known else (0.0, 0.0, 0.0)


@lru_cache(maxsize=20_000)
def _flags(tag: str, role: str, names: str) -> int:
    flags = _TAG_BITS.get(tag, 0)
    if role in BOILERPLATE_ROLES:
        flags |= _ROLE
    if role == "main":
        flags |= _TAG_BITS["main"]
    if names and tag not in ("html", "body"):
        flags |= _BOILERPLATE if BOILERPLATE_NAME.search(names) else 0
        flags |= _COMMENTS if COMMENTS_NAME.search(names) else 0
        flags |= _CONTENT if CONTENT_NAME.search(names) else 0
    return flags


def _containers(page: Page, lexicon: Lexicon) -> Floats:
    """Return per container: what its path from the root says."""
    count = len(page.containers)
    rows = np.zeros((count, 9 + _BITS), np.float32)
    masks, depths, articles = [0] * count, [0] * count, [0] * count
    sums, lows, highs = [0.0] * count, [0.0] * count, [0.0] * count
    near: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)] * count
    cache: dict[tuple[str, str], tuple[float, float, float]] = {}
    for at, container in enumerate(page.containers):
        up, key = max(container.parent, 0), (container.tag, container.names)
        if (own := cache.get(key)) is None:
            own = cache[key] = _weights(list(name_words(*key)), lexicon)
        near[at] = own
        flags = _flags(container.tag, container.role, container.names) | (_HIDDEN if container.is_hidden else 0)
        masks[at] = masks[up] | flags
        depths[at] = depths[up] + 1
        articles[at] = articles[up] + (container.tag == "article")
        sums[at], lows[at], highs[at] = sums[up] + own[0], min(lows[up], own[1]), max(highs[up], own[2])
    rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = sums, lows, highs, depths
    rows[:, 4] = articles
    rows[:, 5:8] = near
    above = [max(container.parent, 0) for container in page.containers]
    rows[:, 8] = rows[above, 5]
    rows[:, 9:] = (np.asarray(masks)[:, None] >> np.arange(_BITS)) & 1
    return rows


def _path(containers: Floats, at: NDArray[np.int64]) -> list[Floats]:
    return list(containers[at].T)


def _regions(page: Page, raw: dict[str, Floats], at: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return the size, link density and running text of the regions around each block, nearest first."""
    chars, linked = raw["chars"], raw["chars"] * raw["links"]
    is_long = chars - linked >= LONG
    sizes = region_sums(page, np.stack([chars, linked, np.ones_like(chars), is_long], axis=1)).astype(np.float32)
    plain = max(float(sizes[0, 0] - sizes[0, 1]), 1.0)
    up = np.array([max(container.parent, 0) for container in page.containers])
    columns: list[NDArray[Any]] = []
    for _ in range(UP):
        size = sizes[at]
        links = size[:, 1] / np.maximum(size[:, 0], 1)
        share, running = (size[:, 0] - size[:, 1]) / plain, size[:, 3] / np.maximum(size[:, 2], 1)
        columns += [np.log1p(size[:, 0]), links, np.log1p(size[:, 2]), share, running]
        at = up[at]
    return columns


def _alike(page: Page, raw: dict[str, Floats]) -> list[Floats]:
    """Return what the blocks that stand in the same kind of place have in common."""
    signs = [0] * len(page.containers)
    known: dict[tuple[int, str, str], int] = {}
    for at, container in enumerate(page.containers):
        key = (signs[max(container.parent, 0)], container.tag, container.names)
        signs[at] = known.setdefault(key, len(known) + 1)
    group = np.fromiter(
        (known.setdefault((-signs[b.container], b.tag, b.names), len(known) + 1) for b in page.blocks),
        np.int64,
        len(page.blocks),
    )
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


def _around(raw: dict[str, Floats]) -> list[Floats]:
    """Return what stands before and after each block."""
    chars, links = raw["chars"], raw["links"]
    plain = chars * (1 - links)
    count = len(chars)
    signals = np.stack([np.log1p(chars), links, raw["kind"], raw["sentences"], raw["words_sum"]], axis=1)
    padded = np.pad(signals, ((2, 2), (0, 0)), constant_values=-1)
    columns = list(chain.from_iterable(padded[2 + step : 2 + step + count].T for step in (-2, -1, 1, 2)))
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
    is_heading = raw["kind"] == KINDS.index("heading")
    heading = np.maximum.accumulate(np.where(is_heading, index, -1))
    for name in ("words_sum", "words_min", "names_sum", "level", "title"):
        columns.append(np.where(heading >= 0, raw[name][heading], 0))
    columns.append(np.minimum(index - heading, 100))
    titled = is_heading & (raw["title"] > 0.5)
    first = int(np.argmax(titled)) if titled.any() else count
    columns.append(np.clip(index - first, -100, 100))
    return columns


def _page(page: Page, head: Head, raw: dict[str, Floats]) -> list[Floats]:
    """Return what is the same for all blocks of a page: what kind of page it is."""
    chars, links, kind = raw["chars"], raw["links"], raw["kind"]
    plain = chars * (1 - links)
    total, count = max(float(plain.sum()), 1.0), max(len(chars), 1)
    try:
        path = urlsplit(head.url).path
    except ValueError:
        path = ""
    tags = [container.tag for container in page.containers]
    last = path.rstrip("/").rpartition("/")[2]
    values = [
        np.log1p(total),
        float((chars * links).sum()) / max(float(chars.sum()), 1.0),
        np.log1p(count),
        float(plain[plain >= LONG].sum()) / total,
        float(plain[kind == KINDS.index("item")].sum()) / total,
        float(plain[kind == KINDS.index("row")].sum()) / total,
        float(plain[kind == KINDS.index("code")].sum()) / total,
        np.log1p(tags.count("article")),
        np.log1p(tags.count("main")),
        np.log1p(float((kind == KINDS.index("image")).sum())),
        float(head.kind == "article") - float(head.kind == "website") - 2.0 * head.kind.startswith("product"),
        path.strip("/").count("/") + (path.strip("/") != ""),
        last.count("-") + last.count("_"),
        float(_PATH_NUMBERS.search(path) is not None),
        np.log1p(float(raw["sentences"].sum())),
        np.log1p(float((kind == KINDS.index("heading")).sum())),
    ]
    return [np.full(len(chars), value, np.float32) for value in values]
