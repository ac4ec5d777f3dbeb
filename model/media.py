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
class MediaPlan:
    """Where tokens and images meet in a batch of B rows of T tokens and N images.

    tokens [M]: flat positions (row * T + column) of the M tokens that see an image, those of one image together;
    images [M]: their image; slots [M]: their place in its run; run_bounds [N + 1]: where the run of each image starts
    among the M, and M. longest_run: the largest number of tokens on one image. active [A]: flat positions of the
    tokens that a block acts on; the others pass it untouched. is_all_active: whether that is every token.
    """

    num_images: int
    tokens: Tensor
    images: Tensor
    slots: Tensor
    run_bounds: Tensor
    longest_run: int
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
    slots_M = torch.arange(len(images_M), device=flat.device) - bounds[images_M]
    active_A = torch.nonzero(acts_BT.flatten()).squeeze(1)
    return MediaPlan(
        num_images=num_images,
        tokens=tokens_M,
        images=images_M,
        slots=slots_M,
        run_bounds=bounds,
        longest_run=int(counts_N.max()) if num_images else 0,
        active=active_A,
        is_all_active=len(active_A) == flat.numel(),
    )
