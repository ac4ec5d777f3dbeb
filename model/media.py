"""Which token sees which image, once per batch: the plan that every cross-attention block shares.

Tokens that see the same image are one run. Scoring runs against their own image costs T*L per row, whatever the
number of images; scoring every token against every image (the published form) costs T*N*L.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Runs cut into Q chunks of `length` tokens, the mean run: with the last of each run padded, at most 2 M slots.

    images [Q]: the image of each chunk; chunk, slot [M]: where each of the M tokens stands. are_images: whether the
    chunks are the N images one by one.
    """

    length: int
    images: Tensor
    chunk: Tensor
    slot: Tensor
    are_images: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlan:
    """Where tokens and images meet in a batch of B rows of T tokens and N images.

    tokens [M]: flat positions (row * T + column) of the M tokens that see an image, those of one image together;
    images [M]: their image. run_bounds [N + 1]: where the run of each image starts among the M, and M; longest_run: the
    largest number of tokens on one image. chunks: the same runs cut into equal pieces. active [A]: flat positions of
    the tokens that a block acts on; the others pass it untouched. is_all_active: whether that is every token.
    """

    num_images: int
    tokens: Tensor
    images: Tensor
    run_bounds: Tensor
    longest_run: int
    chunks: Chunks
    active: Tensor
    is_all_active: bool

    @property
    def is_empty(self) -> bool:
        """Whether no token sees an image and none takes the feed-forward, so that every block is the identity."""
        return len(self.tokens) == 0 and len(self.active) == 0


def plan_media(image_index_BT: Int[Tensor, "B T"], acts_BT: Bool[Tensor, "B T"], *, num_images: int) -> MediaPlan:
    """Return the plan of a batch; raises ValueError when an index points at no image (INFIMM.md 1.9, 3).

    acts_BT: where a block acts, see `model.semantics`.
    """
    flat = image_index_BT.flatten().long()
    if flat.numel() and int(flat.max()) >= num_images:
        raise ValueError(f"image_index goes up to {int(flat.max())}, but the batch has {num_images} images")
    tokens_M = torch.nonzero(flat >= 0).squeeze(1)
    images_M, order = torch.sort(flat[tokens_M], stable=True)
    tokens_M = tokens_M[order]
    counts_N = torch.bincount(images_M, minlength=num_images)
    bounds = F.pad(counts_N.cumsum(0), (1, 0))
    active_A = torch.nonzero(acts_BT.flatten()).squeeze(1)
    return MediaPlan(
        num_images=num_images,
        tokens=tokens_M,
        images=images_M,
        run_bounds=bounds,
        longest_run=int(counts_N.max()) if num_images else 0,
        chunks=_chunks(images_M, counts_N, bounds),
        active=active_A,
        is_all_active=len(active_A) == flat.numel(),
    )


def _chunks(images_M: Tensor, counts_N: Tensor, bounds: Tensor) -> Chunks:
    num_seen = max(int((counts_N > 0).sum()), 1)
    length = max(-(-len(images_M) // num_seen), 1)
    chunks_N = (counts_N + length - 1) // length
    starts_N = chunks_N.cumsum(0) - chunks_N
    place_M = torch.arange(len(images_M), device=images_M.device) - bounds[images_M]
    return Chunks(
        length=length,
        images=torch.arange(len(counts_N), device=images_M.device).repeat_interleave(chunks_N),
        chunk=starts_N[images_M] + place_M // length,
        slot=place_M % length,
        are_images=bool((chunks_N == 1).all()),
    )
