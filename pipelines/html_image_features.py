"""Features of the images of a page, beside those of every block: size, caption, and how much content stands around."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.html_blocks import Block, Page
from pipelines.html_features import UP, Floats
from pipelines.html_head import Head
from pipelines.html_images import file_of
from pipelines.html_words import WORD

Integers = NDArray[np.int64]

KEPT = 0.5  # probability from which a text counts as content when an image asks what stands around it
NEAR = 3  # blocks before and after an image whose texts are compared with its own
NUM_OWN = 21
MAX_CHARS = 200  # of a text that is compared
MAX_URL_CHARS = 400  # of an address that a size is looked for in
_BEFORE, _AFTER = np.array([[1, 0, 4, 0, 15], [0, 1, 0, 4, 15]])[
    :, :, None
]  # blocks around an image, looked at at once
_NO_LETTERS = {code: " " for code in range(128) if not chr(code).isalpha()}
_SIZE = re.compile(r"(?<![0-9a-zA-Z])(\d{2,4})x(\d{2,4})(?![0-9])")
_NUMBER = re.compile(r"[=_,:/-](\d{2,4})(?!\d)")
_SIDE = re.compile(r"(?<![a-z])(?:w|width|h|height|size|s|sz|wid|resize|fit|imwidth)\Z", re.I)
_SIDE_CHARS = 8  # the longest such name and the character before it


def image_features(page: Page, head: Head, rows: Floats, probabilities: Floats) -> tuple[Floats, list[int]]:
    """Return [images, features] and the positions of the images in `page.blocks`.

    rows: what `features` returned for the page; probabilities: [blocks], of a text to be content.
    """
    at = [position for position, block in enumerate(page.blocks) if block.image is not None]
    own = _own(page, head, at)
    return np.concatenate([rows[at], own, _around(page, probabilities, at)], axis=1), at


def _own(page: Page, head: Head, at: list[int]) -> Floats:
    """Return what each image says of itself, and how that goes with the title and the texts beside it."""
    blocks = page.blocks
    images = [(position, image) for position in at if (image := blocks[position].image) is not None]
    times = Counter(image.url for _, image in images)
    alike = Counter(blocks[position].element.names for position in at)
    widest = max((image.width or 0 for _, image in images), default=0)
    cover, cover_stem = file_of(head.image), _stem(head.image)
    title = _words(head.title)
    rows = [
        (
            math.log1p(len(image.alt)),
            image.width or -1,
            image.height or -1,
            image.width / image.height if image.width and image.height else -1,
            math.log1p(len(image.caption)),
            blocks[position].link_chars,
            times[image.url],
            number,
            len(images),
            bool(cover) and file_of(image.url) == cover,
            position > 0 and blocks[position - 1].image is not None,
            position + 1 < len(blocks) and blocks[position + 1].image is not None,
            *_size_in(image.url),
            bool(cover_stem) and _stem(image.url) == cover_stem,
            alike[blocks[position].element.names],
            image.width / widest if image.width else -1,
            *_beside(blocks, position, title),
        )
        for number, (position, image) in enumerate(images)
    ]
    return np.array(rows, np.float32).reshape(len(at), NUM_OWN)


def _beside(blocks: list[Block], at: int, title: frozenset[str]) -> tuple[float, float, float, bool]:
    """Return how the alternative text of an image goes with the title and with the texts around, as teasers' do.

    And the share of links in the text that follows, and whether that stands in the same container.
    """
    image = blocks[at].image
    alt = _words(image.alt) if image is not None else frozenset()
    near = [_words(block.text) for block in blocks[max(0, at - NEAR) : at + NEAR + 1] if block.text] if alt else ()
    likeness = max([len(alt & words) / len(alt | words) for words in near if not alt.isdisjoint(words)], default=0.0)
    following = next((block for block in blocks[at + 1 : at + NEAR + 1] if block.image is None), None)
    links, is_beside = -1.0, False
    if following is not None:
        links = min(following.link_chars, len(following.text)) / len(following.text)
        is_beside = following.container == blocks[at].container
    return len(alt & title) / max(len(alt), 1), likeness, links, is_beside


@lru_cache(maxsize=64)  # the same few texts stand beside several images
def _words(text: str) -> frozenset[str]:
    start = text[:MAX_CHARS].lower()
    if not start.isascii():
        return frozenset(WORD.findall(start))
    return frozenset([word for word in start.translate(_NO_LETTERS).split() if len(word) > 1])


def _stem(url: str) -> str:
    """Return the name of a file without its ending and the size that it is scaled to."""
    name = file_of(url[:MAX_URL_CHARS]).lower()
    stem = name.rpartition(".")[0] or name
    return (_SIZE.sub("", stem) if "x" in stem else stem).strip("-_")


def _size_in(url: str) -> tuple[float, float]:
    """Return the width and the ratio of width to height that an address asks for ("-150x150", "?w=300"), or -1."""
    if url.startswith("data:"):
        return -1, -1
    if (match := _SIZE.search(url[:MAX_URL_CHARS])) is not None:
        return int(match[1]), int(match[1]) / max(int(match[2]), 1)
    for match in _NUMBER.finditer(url[:MAX_URL_CHARS]):
        if _SIDE.search(url[max(0, match.start() - _SIDE_CHARS) : match.start()]) is not None:
            return int(match[1]), -1
    return -1, -1


def _around(page: Page, probabilities: Floats, at: list[int]) -> Floats:
    """Return [images, ...]: how much of the text before, after and in the regions around is content."""
    count = len(page.blocks)
    chars = np.sqrt(np.fromiter((len(block.text) for block in page.blocks), np.float64, count))
    kept = chars * probabilities
    index = np.array(at, np.int64)
    totals = np.zeros((2, count + 1))
    np.cumsum(kept, out=totals[0, 1:])
    np.cumsum(chars, out=totals[1, 1:])
    low, high = np.maximum(index - _BEFORE, 0), np.minimum(index + _AFTER + 1, count)
    of_kept, of_chars = totals[:, high] - totals[:, low]
    content = np.flatnonzero((probabilities >= KEPT) & (chars > 0))
    first, last = (content[0], content[-1]) if len(content) else (count, -1)
    columns = [
        *(of_kept / (of_chars + 1e-6)),
        totals[0, 1:][index] / (totals[0, -1] + 1e-6),
        np.clip(index - first, -50, 50),
        np.clip(index - last, -50, 50),
        *_regions(page, chars, kept, index),
    ]
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def _regions(page: Page, chars: Floats, kept: Floats, index: Integers) -> list[Floats]:
    """Return the share of content in the regions around each image, and the share of all content that they hold."""
    sizes = page.regions.sums(np.stack([chars, kept]))
    shares = np.stack([sizes[1] / (sizes[0] + 1e-6), sizes[1] / (sizes[1, 0] + 1e-6)])
    return page.regions.upwards(shares, UP, index)
