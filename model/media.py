"""Which token sees which image, once per batch: the plan that every cross-attention block shares.

Tokens that see the same image are one run. Scoring runs against their own image costs T*L per row, whatever the
number of images; scoring every token against every image (the published form) costs T*N*L.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlan:
    """Where tokens and images meet in a batch of B rows of T tokens and N images.

    image_index [B, T]: the image each token sees, -1 for none. tokens [M]: flat positions (row * T + column) of the M
    tokens that see an image, those of one image together; images [M]: their image; slots [M]: their place in its run.
    longest_run: the largest number of tokens on one image. active [A]: flat positions of the tokens whose document
    has an image; the others pass the block untouched. is_all_active: whether that is every token.
    """

    image_index: Tensor
    num_images: int
    tokens: Tensor
    images: Tensor
    slots: Tensor
    longest_run: int
    active: Tensor
    is_all_active: bool

    @property
    def is_empty(self) -> bool:
        """Whether no token of the batch sees an image, so that every block is the identity."""
        return len(self.tokens) == 0


def plan_media(
    image_index_BT: Int[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"], *, num_images: int
) -> MediaPlan:
    """Return the plan of a batch; raises ValueError when an index points at no image (INFIMM.md 1.9, 3)."""
    flat = image_index_BT.flatten().long()
    if flat.numel() and int(flat.max()) >= num_images:
        raise ValueError(f"image_index goes up to {int(flat.max())}, but the batch has {num_images} images")
    tokens_M = torch.nonzero(flat >= 0).squeeze(1)
    images_M, order = torch.sort(flat[tokens_M], stable=True)
    tokens_M = tokens_M[order]
    counts_N = torch.bincount(images_M, minlength=num_images)
    starts_N = counts_N.cumsum(0) - counts_N
    slots_M = torch.arange(len(images_M), device=flat.device) - starts_N[images_M]
    active_A = torch.nonzero(documents_with_images(image_index_BT, document_ids_BT).flatten()).squeeze(1)
    return MediaPlan(
        image_index=image_index_BT,
        num_images=num_images,
        tokens=tokens_M,
        images=images_M,
        slots=slots_M,
        longest_run=int(counts_N.max()) if num_images else 0,
        active=active_A,
        is_all_active=len(active_A) == flat.numel(),
    )


def documents_with_images(
    image_index_BT: Int[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"]
) -> Bool[Tensor, "B T"]:
    """Return whether the document of each token has an image anywhere; False on padding (-1).

    This is InfiMM's row flag, per document: the same where a row is one document, as in the published model.
    """
    rows = torch.arange(len(document_ids_BT), device=document_ids_BT.device)[:, None]
    width = int(document_ids_BT.max()) + 2 if document_ids_BT.numel() else 1
    document_BT = rows * width + document_ids_BT.long() + 1  # each document of the batch, and each row's padding
    has_image = torch.zeros(len(document_ids_BT) * width, dtype=torch.bool, device=document_ids_BT.device)
    has_image[document_BT[image_index_BT >= 0]] = True
    return has_image[document_BT] & (document_ids_BT >= 0)
