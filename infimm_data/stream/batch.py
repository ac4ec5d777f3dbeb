"""`Batch`: what the stream hands to training; the only thing of it that a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infimm_data.stream.images import Pixels
from infimm_data.stream.tokens import IGNORED, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One packed row of T tokens; `images` in the order of their first use, `image_index` points into them.

    shown: for each image, the document in the row and the number of the image in it, both from 0.
    """

    input_ids: Ints
    labels: Ints
    document_ids: Ints
    position_ids: Ints
    image_index: Ints
    sources: Ints
    images: tuple[Pixels, ...]
    shown: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B packed rows of T tokens and their N images; axes as in the legend of `model`.

    input_ids [B, T] int64 · labels [B, T] int64, -100 where no loss, aligned with input_ids (the model shifts) ·
    document_ids [B, T] int32, 0, 1, ... within a row, -1 on padding · position_ids [B, T] int64, restart at each
    document · image_index [B, T] int32, which of the N images a token looks at, -1 for none · images
    [N, 3, H, W] uint8, all images of the batch, flat (N may be 0) · sources [B, T] int16, the number of the dataset
    that a token comes from (`Stream.source_names`), -1 on padding.
    """

    input_ids: Tensor
    labels: Tensor
    document_ids: Tensor
    position_ids: Tensor
    image_index: Tensor
    images: Tensor
    sources: Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.document_ids >= 0).sum())

    @property
    def num_targets(self) -> int:
        """Tokens with a loss; a row's first token has none, as nothing predicts it."""
        return int((self.labels[:, 1:] != IGNORED).sum())

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in self.__slots__}
        return Batch(**moved)


def collate(rows: Sequence[Row], *, image_side: int) -> Batch:
    """Return rows of equal length as a batch. image_side: H and W in pixels, needed where there is no image."""
    first_image, image_index = 0, []
    for row in rows:
        image_index.append(np.where(row.image_index >= 0, row.image_index + first_image, -1))
        first_image += len(row.images)
    pixels = [image for row in rows for image in row.images]
    images = np.stack(pixels) if pixels else np.zeros((0, 3, image_side, image_side), np.uint8)
    return Batch(
        input_ids=torch.from_numpy(np.stack([row.input_ids for row in rows])),
        labels=torch.from_numpy(np.stack([row.labels for row in rows])),
        document_ids=torch.from_numpy(np.stack([row.document_ids for row in rows]).astype(np.int32)),
        position_ids=torch.from_numpy(np.stack([row.position_ids for row in rows])),
        image_index=torch.from_numpy(np.stack(image_index).astype(np.int32)),
        images=torch.from_numpy(images),
        sources=torch.from_numpy(np.stack([row.sources for row in rows]).astype(np.int16)),
    )
