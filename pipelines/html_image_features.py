"""Features of the images of a page, beside those of every block: size, caption, and how much content stands around."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import numpy as np

from pipelines.html_blocks import Page
from pipelines.html_features import UP, Floats
from pipelines.html_head import Head

KEPT = 0.5  # probability from which a text counts as content when an image asks what stands around it


def image_features(page: Page, head: Head, rows: Floats, probabilities: Floats) -> tuple[Floats, list[int]]:
    """Return [images, features] and the positions of the images in `page.blocks`.

    rows: what `features` returned for the page; probabilities: [blocks], of a text to be content.
    """
    at = [position for position, block in enumerate(page.blocks) if block.image is not None]
    own = _own(page, head, at)
    return np.concatenate([rows[at], own, _around(page, probabilities, at)], axis=1), at


def _own(page: Page, head: Head, at: list[int]) -> Floats:
    """Return what each image says of itself."""
    images = [image for position in at if (image := page.blocks[position].image) is not None]
    times = Counter(image.url for image in images)
    cover = _file(head.image)
    found = np.zeros((len(at), 12), np.float32)
    for number, (row, position, image) in enumerate(zip(found, at, images, strict=True)):
        before = page.blocks[position - 1].image if position else None
        after = page.blocks[position + 1].image if position + 1 < len(page.blocks) else None
        row[0] = np.log1p(len(image.alt))
        row[1], row[2] = image.width or -1, image.height or -1
        row[3] = image.width / image.height if image.width and image.height else -1
        row[4] = np.log1p(len(image.caption))
        row[5] = page.blocks[position].link_chars
        row[6] = times[image.url]
        row[7] = number
        row[8] = len(images)
        row[9] = bool(cover) and _file(image.url) == cover
        row[10], row[11] = before is not None, after is not None
    return found


def _file(url: str) -> str:
    try:
        return urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return ""


def _around(page: Page, probabilities: Floats, at: list[int]) -> Floats:
    """Return [images, ...]: how much of the text before, after and in the regions around is content."""
    count = len(page.blocks)
    chars = np.sqrt(np.fromiter((len(block.text) for block in page.blocks), np.float64, count))
    kept = chars * probabilities
    index = np.arange(count)
    all_chars, all_kept = np.concatenate([[0.0], np.cumsum(chars)]), np.concatenate([[0.0], np.cumsum(kept)])
    columns = []
    for before, after in ((1, 0), (0, 1), (4, 0), (0, 4), (15, 15)):
        low, high = np.maximum(index - before, 0), np.minimum(index + after + 1, count)
        columns.append((all_kept[high] - all_kept[low]) / (all_chars[high] - all_chars[low] + 1e-6))
    columns.append(all_kept[1:] / (all_kept[-1] + 1e-6))
    content = (probabilities >= KEPT) & (chars > 0)
    first = int(np.argmax(content)) if content.any() else count
    last = count - 1 - int(np.argmax(content[::-1])) if content.any() else -1
    columns += [np.clip(index - first, -50, 50), np.clip(index - last, -50, 50)]
    columns += _regions(page, chars, kept)
    return np.stack([np.asarray(column[at], np.float32) for column in columns], axis=1)


def _regions(page: Page, chars: Floats, kept: Floats) -> list[Floats]:
    """Return the share of content in the regions around each block, and the share of all content that they hold."""
    sizes = page.regions.sums(np.stack([chars, kept]))
    return page.regions.upwards(np.stack([sizes[1] / (sizes[0] + 1e-6), sizes[1] / (sizes[1, 0] + 1e-6)]), UP)
