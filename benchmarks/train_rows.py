"""Documents as long as OBELICS', as the rows of a training step: padded as published, and packed. For train_step.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from infimm_data.stream.batch import Batch
from infimm_data.stream.pack import pack
from infimm_data.stream.tokens import IGNORED

MAX_IMAGES = 6  # of a padded row, as published
IMAGE = 1  # the id that stands for <image>


@dataclass(frozen=True)
class Pages:
    """Documents as (tokens, positions of their images)."""

    lengths: list[int]
    images: list[list[int]]


def pages(count: int, seed: int = 0) -> Pages:
    """Return documents as long as OBELICS', each image at the start of a part of its document."""
    rng = np.random.default_rng(seed)
    lengths = (np.exp(rng.normal(np.log(815) - 0.5, 1.0, count)).astype(int) + 10).tolist()
    numbers = np.minimum(rng.geometric(1 / 2.5, count), 30).tolist()
    places = [
        sorted(rng.choice(np.arange(1, n), min(k, n - 1), replace=False).tolist())
        for n, k in zip(lengths, numbers, strict=True)
    ]
    return Pages(lengths, places)


def batch_of(rows: list[list[tuple[int, list[int]]]], tokens: int, side: int, vocabulary: int) -> Batch:
    """Return rows of (length, positions of images) as a batch; ids and pixels are random, from a fixed seed."""
    torch.manual_seed(1)
    ids = torch.randint(2, vocabulary, (len(rows), tokens))
    document_ids, image_index = torch.full_like(ids, -1), torch.full_like(ids, -1)
    position_ids, number = torch.zeros_like(ids), 0
    for row, parts in enumerate(rows):
        start = 0
        for document, (length, images) in enumerate(parts):
            document_ids[row, start : start + length] = document
            position_ids[row, start : start + length] = torch.arange(length)
            for place in images:
                ids[row, start + place] = IMAGE
                image_index[row, start + place : start + length] = number
                number += 1
            start += length
    labels = torch.where((document_ids < 0) | (ids == IMAGE) | (position_ids == 0), IGNORED, ids)
    images = torch.randint(0, 256, (number, 3, side, side), dtype=torch.uint8)
    known = {"input_ids": ids, "labels": labels, "document_ids": document_ids.int(), "position_ids": position_ids}
    return Batch(**known, image_index=image_index.int(), images=images, sources=torch.zeros_like(ids).short())


def padded_rows(found: Pages, tokens: int) -> list[list[tuple[int, list[int]]]]:
    """Return a document a row, cut off at `tokens` tokens and MAX_IMAGES images."""
    cut = [
        (min(n, tokens), [i for i in images if i < tokens][:MAX_IMAGES])
        for n, images in zip(found.lengths, found.images, strict=True)
    ]
    return [[one] for one in cut]


def packed_rows(found: Pages, tokens: int) -> list[list[tuple[int, list[int]]]]:
    """Return all documents, split at `tokens`, best fit."""
    parts = [
        (min(tokens, n - start), [i - start for i in images if start <= i < start + tokens])
        for n, images in zip(found.lengths, found.images, strict=True)
        for start in range(0, n, tokens)
    ]
    return [[parts[i] for i in row] for row in pack([n for n, _ in parts], tokens)]
